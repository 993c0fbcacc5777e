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

#endif
