/*
 * bench_run - tests of a benchmark on one engine: listed, prepared, timed. Private to `hone bench`
 * and `hone compare`. Ownership: bench_close frees what bench_open and bench_list made. Threading:
 * one thread.
 */
#ifndef HONE_CLI_BENCH_RUN_H
#define HONE_CLI_BENCH_RUN_H

#include "cli/cli.h"
#include "cli/engine_args.h"
#include "hw/limits.h"
#include "stat/stat.h"

#include <jansson.h>

/* INTERVAL_REPS: fewer have no interval */
enum { BENCH_TESTS_MAX = 256, BENCH_REPS_MAX = 1000, BENCH_INTERVAL_REPS = 3 };

/* Which tests: what bench_list reads. */
#define BENCH_TEST_OPTIONS                                                                         \
    {.name = "prefill",                                                                            \
     .type = CLI_INTS,                                                                             \
     .argument = "LENGTHS",                                                                        \
     .fallback = "512",                                                                            \
     .min = 0,                                                                                     \
     .max = 1 << 20,                                                                               \
     .help = "prompt lengths (0: none)"},                                                          \
        {.name = "decode",                                                                         \
         .type = CLI_INT,                                                                          \
         .argument = "N",                                                                          \
         .fallback = "64",                                                                         \
         .min = 0,                                                                                 \
         .max = 1 << 20,                                                                           \
         .help = "steps of one token per sequence (0: none)"},                                     \
        {.name = "depth",                                                                          \
         .type = CLI_INTS,                                                                         \
         .argument = "DEPTHS",                                                                     \
         .fallback = "0",                                                                          \
         .min = 0,                                                                                 \
         .max = 1 << 20,                                                                           \
         .help = "tokens in the context before"},                                                  \
        {.name = "batch",                                                                          \
         .type = CLI_INTS,                                                                         \
         .argument = "SIZES",                                                                      \
         .fallback = "1",                                                                          \
         .min = 1,                                                                                 \
         .max = 512,                                                                               \
         .help = "sequences decoded together"},                                                    \
    {                                                                                              \
        .name = "suite", .type = CLI_TEXT, .argument = "FILE",                                     \
        .help = "tests from a file (JSON: {\"tests\": [{\"decode\": 64, \"depth\": 0}]})"          \
    }

typedef struct bench_test {
    bool prefill;
    uint32_t tokens; /* prompt, or steps of each sequence */
    uint32_t depth;  /* tokens in the context before */
    uint32_t batch;
    double tok_s[BENCH_REPS_MAX];
    hone_interval speed; /* lo = hi = NAN: one repetition tells nothing of the others */
    double limit;        /* tok/s at the roofline; 0 = unknown */
} bench_test;

typedef struct bench {
    const cli_context *c;
    const char *model;
    hone_engine *engine;
    bench_test *tests;
    size_t n_tests, reps;
    bool kv_asked;           /* the bound of the KV pages was given, not made to fit the tests */
    hone_session **sessions; /* [batch_max], of the depth in hand */
    hone_row *rows;          /* [batch_max] */
    uint32_t batch_max, tokens_max;
    int32_t *tokens; /* [batch_max][tokens_max] */
    float *logits;   /* [batch_max][vocab] */
    hone_limits limits;
    double peak_ops_s; /* of the arithmetic that the products run on; 0 = not measured */
    hone_isa peak_isa;
    const char *peak_name; /* the set, or the products that are a technique */
} bench;

/* The tests of --suite FILE, else of --prefill, --decode, --depth and --batch. A suite is JSON:
 * {"tests": [{"prefill": 512}, {"decode": 64, "depth": 4096, "batch": 8}]}. */
HONE_CHECKED hone_status bench_list(bench *b);
/* One such test. */
HONE_CHECKED hone_status bench_read_test(json_t *o, bench_test *t);
/* Opens the model under a configuration that has room for every test. */
HONE_CHECKED hone_status bench_open(bench *b, const char *model, hone_config config);
void bench_close(bench *b);
/* One repetition: tokens per second, all sequences together. */
HONE_CHECKED hone_status bench_measure(bench *b, const bench_test *t, double *tok_s);
/* Seconds per token: the median of as many repetitions as fit 20 ms. Of a short test, a process
 * that takes the core for a moment spoils a repetition, not the sample. */
HONE_CHECKED hone_status bench_sample(bench *b, const bench_test *t, double *cost);
/* "decode 64, depth 0, batch 1" into buf, which is returned. */
const char *bench_test_name(const bench_test *t, char *buf, size_t size);
/* "tok_s" into the row, and "tok_s_lo" and "tok_s_hi" where they are known. */
void bench_put_speed(json_t *row, const hone_interval *speed);

#endif
