/*
 * bench_records - benchmarks and measured limits in the registry (store/registry.h: its errors,
 * ownership and threading hold here too).
 *
 * A bench is one `hone bench`: a result (JSON) and one point per test, the median cost in seconds.
 * Its history is what the same machine measured of the same model, configuration and test.
 */
#ifndef HONE_STORE_BENCH_RECORDS_H
#define HONE_STORE_BENCH_RECORDS_H

#include "hw/limits.h"
#include "store/registry.h"

#include <jansson.h>

typedef struct hone_bench_record {
    int64_t id, model, environment;
    const char *config;  /* canonical JSON */
    const char *machine; /* hone_fingerprint_machine */
    const char *name;    /* of a baseline; NULL or "" = none */
    const char *at;      /* UTC, ISO 8601 */
    const char *result;  /* JSON */
} hone_bench_record;

typedef struct hone_bench_point {
    const char *test; /* "decode 64, depth 0, batch 1" */
    double seconds;
} hone_bench_point;

/* Stores a bench (id and at are ignored) with its points: one transaction. A name moves to it from
 * an earlier bench of the same model and machine. */
HONE_CHECKED hone_status hone_registry_put_bench(hone_registry *r, const hone_bench_record *b,
                                                 const hone_bench_point *points, size_t n,
                                                 int64_t *id);

typedef hone_status hone_bench_fn(void *arg, const hone_bench_record *b);
/* Benches in the order of their ids; model 0, name NULL, id 0: all. */
HONE_CHECKED hone_status hone_registry_each_bench(hone_registry *r, int64_t model, const char *name,
                                                  int64_t id, hone_bench_fn *fn, void *arg);

/* One measurement of a series: benches of equal model, machine, configuration and test. */
typedef struct hone_history_point {
    int64_t bench, model;
    const char *machine, *config, *test, *at, *environment; /* environment: JSON */
    double seconds;
} hone_history_point;
typedef hone_status hone_history_fn(void *arg, const hone_history_point *p);
/* Every point of a machine's history (machine NULL: of all), series by series, each in the order of
 * time; model 0 = all. */
HONE_CHECKED hone_status hone_registry_each_point(hone_registry *r, int64_t model,
                                                  const char *machine, hone_history_fn *fn,
                                                  void *arg);

/* What became of hone_registry_limits. */
typedef struct hone_limits_news {
    bool cached;    /* found in the registry, else measured now */
    bool drifted;   /* what is measured now differs from what was kept by more than the noise */
    char text[200]; /* when drifted: in words, with the command that mends it */
    char measured_at[40]; /* of the cached ones */
} hone_limits_news;

typedef enum hone_limits_use {
    HONE_LIMITS_TRUST, /* cached ones as they are */
    HONE_LIMITS_CHECK, /* cached ones, after a quick measurement that may say that they drifted */
    HONE_LIMITS_FRESH, /* measure, and replace what is cached */
    HONE_LIMITS_KEPT   /* cached ones; zeros if there are none: nothing is measured */
} hone_limits_use;

/* This machine's limits with so many threads (0 = CPUs allowed): from the registry if they were
 * measured before, else measured now and kept. r NULL: measured, not kept. A registry that cannot
 * be written to (PERMISSION, BUSY, DISK) costs the keeping, nothing else. news may be NULL. */
HONE_CHECKED hone_status hone_registry_limits(hone_registry *r, int threads, hone_limits_use use,
                                              hone_limits *out, hone_limits_news *news);

/* Limits as the registry keeps them; the caller's. NULL: no memory. */
json_t *hone_limits_json(const hone_limits *l);

#endif
