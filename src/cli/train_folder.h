/* train_folder - what hone train starts from, in the folder that it writes. Private to hone train.
 * Threading: one thread. */
#ifndef HONE_CLI_TRAIN_FOLDER_H
#define HONE_CLI_TRAIN_FOLDER_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct cli_train_start {
    const char *model;     /* a folder whose weights are trained on, or NULL */
    const char *like;      /* a folder whose config.json (and tokenizer) is taken, or NULL */
    const char *config;    /* a config.json, or NULL */
    const char *branch;    /* a run from whose checkpoint another one starts, or NULL */
    const char *tokenizer; /* a tokenizer.json, or a folder with a tokenizer's files, or NULL */
    const char *data;      /* the data set's path, for messages */
    uint64_t fingerprint;  /* of the tokenizer that cut it (train/data/dataset.h) */
    uint64_t seed;         /* of fresh weights */
    int threads;           /* that make them; 0 = the CPUs allowed */
} cli_train_start;

/* Makes `folder` ready if no run was begun there: config.json (without what it says of quantised
 * weights) and tokenizer, fresh weights. *source is the folder to load weights from (not to be
 * freed), *begun whether files were put there. A run that was stopped before its first checkpoint
 * is begun again; of one that goes on the options that are given must say what the folder holds. If
 * *begun, cli_train_settle must follow, also after an error. Errors: USAGE (none or several of
 * model, like, config, branch; the folder holds another model or a run of another), NOT_FOUND, DATA
 * (the tokenizer is not that of the data, or has more tokens than the model), DISK, and those of
 * hone_arch_read, hone_tokenizer_open and hone_fresh_write. */
HONE_CHECKED hone_status cli_train_prepare(const cli_train_start *s, const char *folder,
                                           const char **source, bool *begun);
/* The same for an adapter beside `model`, a folder or a GGUF file, which stays where it is. Errors:
 * USAGE (no model; the folder holds something else), DISK. */
HONE_CHECKED hone_status cli_train_prepare_adapter(const char *model, const char *folder,
                                                   bool *begun);
/* From its first checkpoint on the folder is continued; without one, what was put there is taken
 * away again. */
void cli_train_settle(const char *folder);

#endif
