/* train_folder - what hone train starts from, in the folder that it writes. Private to hone train.
 * Threading: one thread. */
#ifndef HONE_CLI_TRAIN_FOLDER_H
#define HONE_CLI_TRAIN_FOLDER_H

#include "base/status.h"

#include <stdint.h>

typedef struct cli_train_start {
    const char *model;     /* a folder whose weights are trained on, or NULL */
    const char *like;      /* a folder whose config.json (and tokenizer) is taken, or NULL */
    const char *config;    /* a config.json, or NULL */
    const char *branch;    /* a run from whose checkpoint another one starts, or NULL */
    const char *tokenizer; /* a tokenizer.json that goes with it, or NULL */
    uint64_t seed;         /* of fresh weights */
} cli_train_start;

/* Makes `folder` ready if no run was begun there: config.json and tokenizer, fresh weights. *source
 * is the folder to load weights from (not to be freed). A run that was stopped before its first
 * checkpoint is begun again. Errors: USAGE (none or several of model, like, config, branch; the
 * folder holds another model), NOT_FOUND, DISK, and those of hone_fresh_write. */
HONE_CHECKED hone_status cli_train_prepare(const cli_train_start *s, const char *folder,
                                           const char **source);
/* The same for an adapter beside `model`, a folder or a GGUF file, which stays where it is. Errors:
 * USAGE (no model; the folder holds something else), DISK. */
HONE_CHECKED hone_status cli_train_prepare_adapter(const char *model, const char *folder);
/* The first checkpoint is written: from now on the folder is continued. */
void cli_train_begun(const char *folder);

#endif
