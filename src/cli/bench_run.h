/*
 * bench_run - tests of a benchmark on one engine: listed, prepared, timed. Private to `hone bench`.
 * Ownership: bench_close frees what bench_open and bench_list made. Threading: one thread.
 */
#ifndef HONE_CLI_BENCH_RUN_H
#define HONE_CLI_BENCH_RUN_H

#include "cli/cli.h"
#include "cli/engine_args.h"
#include "hw/limits.h"
#include "stat/stat.h"

enum { BENCH_TESTS_MAX = 256, BENCH_REPS_MAX = 1000 };

typedef struct bench_test {
    bool prefill;
    uint32_t tokens; /* prompt, or steps of each sequence */
    uint32_t depth;  /* tokens in the context before */
    uint32_t batch;
    double tok_s[BENCH_REPS_MAX];
    hone_interval speed;
    double limit; /* tok/s at the roofline; 0 = unknown */
} bench_test;

typedef struct bench {
    const cli_context *c;
    const char *model;
    hone_engine *engine;
    bench_test *tests;
    size_t n_tests, reps;
    hone_session **sessions; /* [batch_max], of the depth in hand */
    hone_row *rows;          /* [batch_max] */
    uint32_t batch_max, tokens_max;
    int32_t *tokens; /* [batch_max][tokens_max] */
    float *logits;   /* [batch_max][vocab] */
    hone_limits limits;
    double peak_ops_s; /* of the arithmetic that the products run on; 0 = not measured */
    hone_isa peak_isa;
} bench;

/* The tests of --suite FILE, else of --prefill, --decode, --depth and --batch. A suite is JSON:
 * {"tests": [{"prefill": 512}, {"decode": 64, "depth": 4096, "batch": 8}]}. */
HONE_CHECKED hone_status bench_list(bench *b);
/* Opens the model under a configuration that has room for every test. */
HONE_CHECKED hone_status bench_open(bench *b, const char *model, hone_config config);
void bench_close(bench *b);
/* One repetition: tokens per second, all sequences together. */
HONE_CHECKED hone_status bench_measure(bench *b, const bench_test *t, double *tok_s);
/* "decode 64, depth 0, batch 1" into buf, which is returned. */
const char *bench_test_name(const bench_test *t, char *buf, size_t size);

#endif
