/*
 * engine_args - the options that every command with an engine has, and what turns them into one.
 *
 * Put CLI_ENGINE_OPTIONS into the command's option list; then cli_open_engine() gives the engine
 * that the user asked for. Threading: one thread.
 */
#ifndef HONE_CLI_ENGINE_ARGS_H
#define HONE_CLI_ENGINE_ARGS_H

#include "cli/machine_args.h"
#include "cli/registry_args.h"
#include "engine/engine.h"

#define CLI_ENGINE_OPTIONS                                                                         \
    {.name = "dtype",                                                                              \
     .type = CLI_CHOICE,                                                                           \
     .argument = "TYPE",                                                                           \
     .choices = "f32|bf16",                                                                        \
     .help =                                                                                       \
         "arithmetic of products: bf16 (default), or f32, the reference; given, it starts from "   \
         "the file as it is, not from what is promoted"},                                          \
        {.name = "weights",                                                                        \
         .type = CLI_TEXT,                                                                         \
         .argument = "FORMATS",                                                                    \
         .help = "round weights while loading: q8_0, or attention=q8_0,mlp=q4_0,head=q8_0"},       \
        {.name = "products",                                                                       \
         .type = CLI_CHOICE,                                                                       \
         .argument = "KIND",                                                                       \
         .choices = "exact|int8|int8-row|bf16-dot|bf16-weights",                                   \
         .help = "exact (default), or techniques that change the logits: docs/numerics.md"},       \
        {.name = "kv",                                                                             \
         .type = CLI_CHOICE,                                                                       \
         .argument = "FORMAT",                                                                     \
         .choices = "f32|bf16|int8|int4|fp8_e4m3|fp8_e5m2",                                        \
         .help = "format of cached keys and values (default: that of --dtype)"},                   \
        CLI_THREADS_OPTION, CLI_ISA_OPTION,                                                        \
        {.name = "adapter",                                                                        \
         .type = CLI_TEXT,                                                                         \
         .argument = "FOLDER",                                                                     \
         .help =                                                                                   \
             "a LoRA or DoRA adapter beside the weights, as PEFT writes them; given, it starts "   \
             "from the file as it is: what is promoted was judged without"},                       \
    {                                                                                              \
        .name = "config", .type = CLI_TEXT, .argument = "FILE",                                    \
        .help = "configuration (JSON) to start from, or none; the options above change it"         \
    }

/* Options of the commands that start from the configuration in force for their model. */
#define CLI_PROMOTED_OPTIONS CLI_ENGINE_OPTIONS, CLI_REGISTRY_OPTION

/* As cli_engine_config, but starts from the configuration that is in force for the model, and says
 * so on standard error; unless --config (FILE, or "none" for the file as it is), --dtype or
 * --adapter is given. For commands with CLI_PROMOTED_OPTIONS. */
HONE_CHECKED hone_status cli_model_config(const cli_context *c, const char *model,
                                          hone_config *out);

/* The configuration that the options ask for. Errors: USAGE, and those of hone_config_from_json. */
HONE_CHECKED hone_status cli_engine_config(const cli_context *c, hone_config *out);

/* Opens the model with progress on standard error. */
HONE_CHECKED hone_status cli_open_engine(const char *path, const hone_config *config,
                                         hone_engine **out);

/* The same with the cache of packed weights ($HONE_CACHE, model/packed_cache.h); says on standard
 * error if it was damaged, and why nothing is kept (of a folder that cannot be used, hone doctor
 * does). For commands that measure
 * nothing: the first start writes. */
HONE_CHECKED hone_status cli_open_engine_cached(const char *path, const hone_config *config,
                                                hone_engine **out);
/* Closes it; while packed weights are still being written, a line on standard error says so. */
void cli_close_engine(hone_engine *e);

/* hone_progress_fn for commands: one line on standard error. arg is not used. */
void cli_engine_progress(void *arg, const char *what, double done, double total);

/* The engine's configuration as a JSON object (NULL: out of memory). */
json_t *cli_config_json(const hone_engine *e);

#endif
