/*
 * registry_args - what the commands over the registry share: its option, and a model's row in it.
 * Threading: one thread.
 */
#ifndef HONE_CLI_REGISTRY_ARGS_H
#define HONE_CLI_REGISTRY_ARGS_H

#include "cli/cli.h"
#include "store/registry.h"

#define CLI_REGISTRY_OPTION                                                                        \
    {                                                                                              \
        .name = "registry", .type = CLI_TEXT, .argument = "FILE",                                  \
        .help = "registry of experiments (default: $HONE_HOME/registry.db, else "                  \
                "~/.local/share/hone/registry.db)"                                                 \
    }

HONE_CHECKED hone_status cli_open_registry(const cli_context *c, bool create, hone_registry **out);

/* The row of the model at path, known by the hash of its content (reads the whole file). NOT_FOUND.
 */
HONE_CHECKED hone_status cli_find_model(hone_registry *r, const char *path, int64_t *id);

/* The configuration in force for the model at path (canonical JSON, hone_free) and the run that
 * promoted it (0 = by hand); *config NULL: none, no registry, or a model that it does not know. A
 * file that the registry has seen is known by its fingerprint; hashing waits for a file that could
 * be a promoted model's copy. */
HONE_CHECKED hone_status cli_promoted_config(const cli_context *c, const char *path, char **config,
                                             int64_t *run);

#endif
