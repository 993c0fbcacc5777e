/*
 * trainer - steps over a data set: batches, gradient, optimiser, validation, checkpoints.
 *
 * A step takes `rows` rows of the data set (dataset.h), goes through them in parts of at most
 * `max_rows` tokens, adds their gradients and makes one step of the optimiser. Everything that a
 * later step depends on is in the checkpoint, so that a run that was killed and goes on from
 * it gives the bits of one that was not.
 *
 * Several ranks take rows of each step, sum gradients and losses, and then make the same step of
 * the optimiser, each of its own weights: what they decide by is the same on all of them.
 *
 * A step whose loss or gradient is not finite changes nothing; three in a row halve the learning
 * rate, ten end the run with a reason. Until one is finite again there is no checkpoint.
 * One whose rows have no token to learn changes nothing either, and is no such step: its loss is
 * NAN.
 *
 * The folder: model.safetensors (for whoever loads the model; of an adapter
 * adapter_model.safetensors in float32 and adapter_config.json, as PEFT has them) and
 * training.safetensors (master weights, means, cursor, settings), each replaced as a whole;
 * log.jsonl, a line a step, and the same for TensorBoard (events.h).
 *
 * Ownership: a trainer owns everything but the data sets. Threading: one thread drives it.
 */
#ifndef HONE_TRAIN_TRAINER_H
#define HONE_TRAIN_TRAINER_H

#include "train/data/dataset.h"
#include "train/optimizer.h"
#include "train/schedule.h"

/* Processes that make the steps of one run together, each with a share of every step's rows: what
 * MPI, or whoever connects them, has to give. All are called with the same options and data. */
typedef struct hone_ranks {
    uint32_t rank, count; /* this one, of all */
    /* x[n] = the sum over all ranks, the same bits on each of them. An error ends the run. In a run
     * a rank that fails tells the others; whoever cannot open his trainer has to end them. */
    hone_status (*sum_floats)(void *arg, float *x, size_t n);
    hone_status (*sum_doubles)(void *arg, double *x, size_t n);
    void *arg;
} hone_ranks;

typedef struct hone_trainer_options {
    hone_trainable_options model; /* max_rows: tokens of a part */
    hone_optimizer_options optimizer;
    hone_schedule schedule;
    uint32_t rows, length;     /* of a step */
    uint64_t checkpoint_every; /* steps; 0 = at the end only */
    uint64_t validate_every;   /* steps; 0 = at the end only */
    uint64_t validation_rows;  /* at most */
    hone_dtype type;           /* of model.safetensors */
    uint64_t seed;             /* of the data's order, for the settings */
    bool whole;                /* the data's too */
    /* Stop after this step, with a checkpoint; 0 = go through the schedule. What is validated does
     * not depend on it: who goes on later has the log of who did not stop. */
    uint64_t until;
    const char *branch; /* a run on the same data, from whose checkpoint this one starts; or NULL */
    const char *base;   /* of an adapter: the model's path or name, for its config */
    /* NULL = alone. Rank 0 alone writes to the folder, which the others must be able to read; the
     * bits of a run depend on the number of ranks. Only copied. */
    const hone_ranks *ranks;
} hone_trainer_options;

/* After a step; validation is NAN but where it was measured. */
typedef struct hone_trainer_state {
    uint64_t step, steps, tokens; /* done, all, tokens seen */
    double loss, validation, rate, norm;
    double tokens_s, seconds; /* of this run */
    bool skipped;
} hone_trainer_state;
typedef void hone_trainer_event(void *arg, const hone_trainer_state *s);

typedef struct hone_trainer hone_trainer;

/* `model` is what the run starts from, or, with weights, optimiser and place in the data, the run
 * o->branch, so that another schedule goes on from there; if `folder` holds a training.safetensors,
 * that is continued (USAGE if its settings are others, or a branch stands behind its last step).
 * validation may be NULL. Errors: those of hone_trainable_open; DATA (the data's vocabulary is
 * larger than the model's, rows longer than its context), BUSY (another run in this folder). */
HONE_CHECKED hone_status hone_trainer_open(const hone_file *model, const char *folder,
                                           const hone_trainer_options *o, hone_dataset *data,
                                           hone_dataset *validation, hone_trainer **out);
void hone_trainer_close(hone_trainer *t); /* NULL is fine */

uint64_t hone_trainer_step(const hone_trainer *t); /* steps done */
const hone_trainable *hone_trainer_model(const hone_trainer *t);
const char *
hone_trainer_settings(const hone_trainer *t); /* all that its bits depend on, in words */
/* Runs to the last step, with a checkpoint there. Errors: DISK (the last checkpoint stays),
 * INTERRUPTED (after a checkpoint, or another rank failed), USAGE (ranks at different steps), DATA
 * (ten steps in a row, or the last one, were not finite), MEMORY. */
HONE_CHECKED hone_status hone_trainer_run(hone_trainer *t, hone_trainer_event *event, void *arg,
                                          hone_trainer_state *out);

/* ---- checkpoint.c ---------------------------------------------------------------------------- */

/* What a later step depends on, besides weights and means. */
typedef struct hone_training_state {
    uint64_t steps, optimizer_steps, tokens, bad; /* bad: steps in a row that were not finite */
    double rate_scale;
    hone_dataset_cursor cursor;
} hone_training_state;

/* Writes both files. settings: text that a run that goes on must have too. */
HONE_CHECKED hone_status hone_checkpoint_write(const char *folder, const hone_trainable *t,
                                               const hone_optimizer *o,
                                               const hone_training_state *s, const char *settings,
                                               hone_dtype type);
bool hone_checkpoint_exists(const char *folder);
/* On failure the weights are of no use. Errors: FORMAT (damaged, another model's or optimiser's),
 * USAGE (other settings: both are told). */
HONE_CHECKED hone_status hone_checkpoint_read(const char *folder, hone_trainable *t,
                                              hone_optimizer *o, hone_training_state *s,
                                              const char *settings);
/* The same for a run that goes on by other settings: what they say of the adapter must be the same,
 * and `data` be a part of the checkpoint's. The rate is not halved any more; the row is that of as
 * many tokens. */
HONE_CHECKED hone_status hone_checkpoint_branch(const char *folder, hone_trainable *t,
                                                hone_optimizer *o, hone_training_state *s,
                                                const char *settings, const char *data);

#endif
