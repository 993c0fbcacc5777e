/*
 * encoder_args - what embed, classify and rerank share: a model with its tokenizer and its task,
 * and texts turned into tokens.
 *
 * Texts are turned into tokens before the engine is opened, so that its steps can be made as long
 * as the longest of them. Ownership: close frees all. Threading: one thread.
 */
#ifndef HONE_CLI_ENCODER_ARGS_H
#define HONE_CLI_ENCODER_ARGS_H

#include "cli/engine_args.h"
#include "cli/texts.h"
#include "engine/task.h"
#include "text/pair.h"

#define CLI_ENCODER_OPTIONS                                                                        \
    {.name = "truncate",                                                                           \
     .type = CLI_FLAG,                                                                             \
     .help = "cut texts that are longer than the model takes (else they are an error)"},           \
        {.name = "max-tokens",                                                                     \
         .type = CLI_INT,                                                                          \
         .argument = "N",                                                                          \
         .min = 1,                                                                                 \
         .max = 1 << 27,                                                                           \
         .help = "most tokens of a text (default: what the model's files say)"},                   \
        CLI_ENGINE_OPTIONS

typedef struct cli_encoder {
    hone_file *file;
    hone_tokenizer *tokenizer;
    hone_task task;
    bool bidirectional;
    uint32_t labels; /* of its classifier, 0 = has none */
    uint32_t max_tokens;
    hone_engine *engine; /* after cli_encoder_start */
    hone_encoded *encoded;
    hone_text *texts; /* [n] views of encoded */
    size_t n, capacity;
} cli_encoder;

/* modules: heed modules.json. Errors: those of the file, its task and its tokenizer; USAGE for
 * --max-tokens beyond the context. Close in either case. */
HONE_CHECKED hone_status cli_encoder_open(const cli_context *c, const char *model, bool modules,
                                          cli_encoder *out);
void cli_encoder_close(cli_encoder *x);
/* Adds a text with `prompt` ("" = none) before it, and its pair or NULL. LIMIT names the item's
 * line if it is too long and --truncate was not given. */
HONE_CHECKED hone_status cli_encoder_add(const cli_context *c, cli_encoder *x, const char *prompt,
                                         const cli_item *item);
/* Opens the engine for the texts that were added. */
HONE_CHECKED hone_status cli_encoder_start(const cli_context *c, const char *model, cli_encoder *x);
/* The pooling: that of `wish` ("" = none), of the task, or what suits the model. */
HONE_CHECKED hone_status cli_encoder_pooling(const cli_encoder *x, const char *wish,
                                             hone_pooling *out);
/* The task's prompt of this name; USAGE lists those there are. */
HONE_CHECKED hone_status cli_encoder_prompt(const cli_encoder *x, const char *name,
                                            const char **out);
/* hone_encode_progress: a line on standard error; arg is not used. */
void cli_encoder_progress(void *arg, size_t done, size_t n);

#endif
