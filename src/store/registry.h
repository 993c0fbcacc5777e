/*
 * registry - what was measured, decided and promoted, kept in one SQLite file.
 *
 * A run is one `hone optimize` session. It is found again by its key (model, data, goal, bound,
 * seed, numerics, environment), and its experiments by theirs, so that an interrupted run goes on
 * without repeating what was finished. Promotions are append-only: a rollback is a new line,
 * nothing is erased.
 *
 * Invariants:
 *  1. Write-ahead log, foreign keys on, synchronous FULL: whatever was committed survives kill -9
 * and a power cut, whatever was not leaves no trace.
 *  2. Each function below is one transaction, unless the caller holds one (hone_registry_begin).
 *  3. An experiment is `done` only together with its metrics and all its samples.
 *
 * Errors of every function: BUSY (locked by another process for longer than ten seconds), DISK
 * (full or a write failed), PERMISSION, FORMAT (damaged, or not a registry), IO, MEMORY.
 *
 * Ownership: texts in records passed in stay the caller's; texts in records passed to a callback
 * are valid until it returns. Threading: a registry belongs to one thread; any number of processes
 * may open the same file.
 */
#ifndef HONE_STORE_REGISTRY_H
#define HONE_STORE_REGISTRY_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct hone_registry hone_registry;

/* $HONE_HOME/registry.db, else $XDG_DATA_HOME/hone/registry.db, else
 * ~/.local/share/hone/registry.db, in a fresh string (hone_free). Errors: USAGE (none of the three
 * is set), MEMORY. */
HONE_CHECKED hone_status hone_registry_default_path(char **path);

/* path NULL = the default path. create: makes the file and its folder if they are missing; else
 * that is NOT_FOUND. A file of an earlier version is migrated; of a later one: UNSUPPORTED.
 * Without create, one that cannot be written (no permission for the file or its folder, a full
 * disk) is opened to be read only; if it is of an earlier version, a copy in memory is migrated. */
HONE_CHECKED hone_status hone_registry_open(const char *path, bool create, hone_registry **out);
void hone_registry_close(hone_registry *r); /* NULL is fine; an open transaction is rolled back */
bool hone_registry_is_read_only(const hone_registry *r);
const char *hone_registry_path(const hone_registry *r);

/* Holds a run against other processes until *lock is closed, or its process ends. Errors: BUSY
 * (another one holds it), PERMISSION, DISK. */
HONE_CHECKED hone_status hone_registry_lock_run(hone_registry *r, int64_t run, int *lock);

/* Several functions as one transaction. They do not nest. */
HONE_CHECKED hone_status hone_registry_begin(hone_registry *r);
HONE_CHECKED hone_status hone_registry_commit(hone_registry *r);
void hone_registry_abort(hone_registry *r);

typedef struct hone_model_record {
    int64_t id;
    const char *sha256; /* 64 hexadecimal digits (hone_file_hash) */
    const char *path, *name, *arch;
    uint64_t bytes;
} hone_model_record;

typedef struct hone_run_record {
    int64_t id, model, environment;
    const char *key; /* unique: what makes two calls the same run */
    const char *goal;
    double max_loss; /* 0.01 = 1 % */
    const char *data_hash;
    uint64_t seed;
    const char *settings;           /* JSON: whatever else it was asked with */
    const char *state;              /* "running", "done" */
    const char *result;             /* JSON; NULL until done */
    const char *started, *finished; /* UTC, ISO 8601 */
} hone_run_record;

typedef struct hone_experiment_record {
    int64_t id, run;
    const char *key; /* unique within the run */
    const char *label;
    const char *config;    /* canonical JSON of the configuration */
    const char *predicted; /* JSON, may be NULL */
    const char *state;     /* "running", "done", "failed" */
    const char *metrics;   /* JSON, NULL while running */
} hone_experiment_record;

typedef struct hone_decision_record {
    int64_t id, run, experiment;
    const char *label;   /* of the experiment */
    const char *verdict; /* "chosen", "accepted", "rejected" */
    const char *why;
} hone_decision_record;

typedef struct hone_promotion_record {
    int64_t id, model, run; /* run 0: none */
    const char *model_sha256, *model_path;
    const char *action; /* "promote", "rollback" */
    const char *config; /* canonical JSON; NULL = the file as it is, nothing promoted */
    const char *when;   /* UTC, ISO 8601 */
} hone_promotion_record;

/* Insert or find; *id is the row's. */
HONE_CHECKED hone_status hone_registry_put_model(hone_registry *r, const hone_model_record *m,
                                                 int64_t *id);
HONE_CHECKED hone_status hone_registry_put_environment(hone_registry *r, const char *key,
                                                       const char *json, int64_t *id);
HONE_CHECKED hone_status hone_registry_put_configuration(hone_registry *r, const char *json,
                                                         int64_t *id);

/* Starts the run of this key or finds it again; *done: it had been finished. */
HONE_CHECKED hone_status hone_registry_start_run(hone_registry *r, const hone_run_record *run,
                                                 int64_t *id, bool *done);
HONE_CHECKED hone_status hone_registry_finish_run(hone_registry *r, int64_t run,
                                                  const char *result);
/* Forgets a run's experiments, samples and decisions, so that it is measured again. */
HONE_CHECKED hone_status hone_registry_restart_run(hone_registry *r, int64_t run);

/* Starts an experiment (by run, key, label, config, predicted) or finds it again: *metrics
 * (hone_free) is NULL unless it had been finished, *failed says that it had ended in an error, told
 * in the metrics. */
HONE_CHECKED hone_status hone_registry_start_experiment(hone_registry *r,
                                                        const hone_experiment_record *e,
                                                        int64_t *id, bool *failed, char **metrics);
/* Samples: n pairs measured next to each other. */
HONE_CHECKED hone_status hone_registry_finish_experiment(hone_registry *r, int64_t experiment,
                                                         bool failed, const char *metrics,
                                                         const double *baseline,
                                                         const double *candidate, size_t n);

HONE_CHECKED hone_status hone_registry_put_decision(hone_registry *r,
                                                    const hone_decision_record *d);

/* Makes a configuration (canonical JSON) the one in force for a model; run 0 = by hand. The same as
 * the one in force changes nothing. */
HONE_CHECKED hone_status hone_registry_promote(hone_registry *r, int64_t model, const char *config,
                                               int64_t run);
/* Puts the configuration back in force that the last promotion replaced; repeated calls go further
 * back. *config (hone_free): the one now in force, NULL = the file as it is. NOT_FOUND: nothing is
 * promoted. */
HONE_CHECKED hone_status hone_registry_rollback(hone_registry *r, int64_t model, char **config);
/* The configuration in force for a model; *config NULL = none (also for a model that is unknown).
 */
HONE_CHECKED hone_status hone_registry_current(hone_registry *r, const char *model_sha256,
                                               char **config);

/* A file whose hash need not be taken again while its fingerprint (hone_file_fingerprint) stays. */
HONE_CHECKED hone_status hone_registry_put_file(hone_registry *r, const char *fingerprint,
                                                int64_t model);
/* *model: what is known of the file; 0 = nothing. *candidates: models of this size under which
 * something was promoted, so that hashing an unknown file is worth its time. */
HONE_CHECKED hone_status hone_registry_find_file(hone_registry *r, const char *fingerprint,
                                                 uint64_t bytes, int64_t *model,
                                                 int64_t *candidates);
/* As hone_registry_current, by the model's id; *run: that promoted it, 0 = by hand. */
HONE_CHECKED hone_status hone_registry_current_of(hone_registry *r, int64_t model, char **config,
                                                  int64_t *run);

/* Rows in the order of their ids. model, run 0 = all. A callback that returns a failure ends the
 * walk. */
typedef hone_status hone_model_fn(void *arg, const hone_model_record *m);
typedef hone_status hone_run_fn(void *arg, const hone_run_record *run);
typedef hone_status hone_experiment_fn(void *arg, const hone_experiment_record *e);
typedef hone_status hone_decision_fn(void *arg, const hone_decision_record *d);
typedef hone_status hone_promotion_fn(void *arg, const hone_promotion_record *p);
typedef hone_status hone_sample_fn(void *arg, int64_t pair, double baseline, double candidate);
HONE_CHECKED hone_status hone_registry_each_model(hone_registry *r, hone_model_fn *fn, void *arg);
HONE_CHECKED hone_status hone_registry_each_run(hone_registry *r, int64_t model, hone_run_fn *fn,
                                                void *arg);
HONE_CHECKED hone_status hone_registry_each_experiment(hone_registry *r, int64_t run,
                                                       hone_experiment_fn *fn, void *arg);
HONE_CHECKED hone_status hone_registry_each_decision(hone_registry *r, int64_t run,
                                                     hone_decision_fn *fn, void *arg);
HONE_CHECKED hone_status hone_registry_each_promotion(hone_registry *r, int64_t model,
                                                      hone_promotion_fn *fn, void *arg);
HONE_CHECKED hone_status hone_registry_each_sample(hone_registry *r, int64_t experiment,
                                                   hone_sample_fn *fn, void *arg);
/* The environment's JSON in a fresh string (hone_free). NOT_FOUND. */
HONE_CHECKED hone_status hone_registry_environment(hone_registry *r, int64_t id, char **json);
/* id of a model by its hash; NOT_FOUND. */
HONE_CHECKED hone_status hone_registry_find_model(hone_registry *r, const char *sha256,
                                                  int64_t *id);

#endif
