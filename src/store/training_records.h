/*
 * training_records - runs of `hone train` and their curves in the registry (store/registry.h: its
 * errors, ownership and threading hold here too).
 *
 * A training is known by its folder and its settings: the same command that goes on after an
 * interruption goes on in the same record, whose points after the checkpoint are taken back.
 */
#ifndef HONE_STORE_TRAINING_RECORDS_H
#define HONE_STORE_TRAINING_RECORDS_H

#include "store/registry.h"

#include <stddef.h>

typedef struct hone_training_record {
    int64_t id, environment;
    const char *folder;   /* absolute */
    const char *settings; /* all that the bits depend on, in words */
    const char *arch;
    uint64_t parameters, steps;    /* steps: all of the schedule */
    const char *state;             /* "running", "done", "stopped" */
    const char *started, *updated; /* UTC, ISO 8601 */
} hone_training_record;

/* NAN = unknown. */
typedef struct hone_training_point {
    uint64_t step, tokens;
    double loss, rate, norm, tokens_s, validation;
} hone_training_point;

/* Starts the record of this folder and settings, or finds it again and forgets its points after
 * step `done`. */
HONE_CHECKED hone_status hone_registry_start_training(hone_registry *r,
                                                      const hone_training_record *t, uint64_t done,
                                                      int64_t *id);
/* Adds points (of steps that are there already: nothing) and sets the state: one transaction. */
HONE_CHECKED hone_status hone_registry_add_training(hone_registry *r, int64_t id,
                                                    const hone_training_point *points, size_t n,
                                                    const char *state);

typedef hone_status hone_training_fn(void *arg, const hone_training_record *t);
/* In the order of their ids; folder NULL, id 0: all. */
HONE_CHECKED hone_status hone_registry_each_training(hone_registry *r, const char *folder,
                                                     int64_t id, hone_training_fn *fn, void *arg);
typedef hone_status hone_training_point_fn(void *arg, const hone_training_point *p);
/* In the order of steps. */
HONE_CHECKED hone_status hone_registry_each_training_point(hone_registry *r, int64_t id,
                                                           hone_training_point_fn *fn, void *arg);

#endif
