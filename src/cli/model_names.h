/*
 * model_names - OWNER/NAME[@REVISION][:QUANT] wherever a command takes MODEL.
 *
 * Every operand that the command's table calls MODEL, or whose command says .models, and every
 * option with .model may be a path or the name of a model that `hone pull` (or another program) put
 * into the hub's cache. main() calls this once after parsing, so that commands see paths only.
 */
#ifndef HONE_CLI_MODEL_NAMES_H
#define HONE_CLI_MODEL_NAMES_H

#include "cli/parse.h"

/* Replaces names by the paths of what the cache has; what exists as a path stays. Errors: those of
 * hone_hub_resolve; NOT_FOUND says what to pull. */
HONE_CHECKED hone_status cli_find_models(cli_context *c);

#endif
