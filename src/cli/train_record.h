/* train_record - the curves of hone train on their way into the registry. A registry that cannot be
 * written costs the curves there (a note says so), never the training. Private to hone train.
 * Threading: one thread. */
#ifndef HONE_CLI_TRAIN_RECORD_H
#define HONE_CLI_TRAIN_RECORD_H

#include "cli/cli.h"
#include "store/training_records.h"
#include "train/trainer.h"

enum { CLI_TRAIN_POINTS = 256 };

typedef struct cli_train_record {
    hone_registry *registry; /* NULL: not kept */
    int64_t id;
    hone_training_point points[CLI_TRAIN_POINTS]; /* not written yet */
    size_t n;
    double written_s;
} cli_train_record;

void cli_train_record_open(const cli_context *c, const hone_trainer *t, const char *folder,
                           uint64_t steps, cli_train_record *out);
void cli_train_record_add(cli_train_record *r, const hone_trainer_state *s);
void cli_train_record_close(cli_train_record *r, bool done);

#endif
