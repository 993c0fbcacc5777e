/*
 * compare_live - sides that are measured now: opened, judged on a text, and timed in turns. Private
 * to `hone compare`.
 *
 * As many sides as fit the memory allowed are open at once; the first one stays open, so that each
 * other is timed in turns with it. Ownership: compare_live_close frees what the job has. Threading:
 * one thread.
 */
#ifndef HONE_CLI_COMPARE_LIVE_H
#define HONE_CLI_COMPARE_LIVE_H

#include "cli/bench_run.h"
#include "eval/eval.h"
#include "report/report_compare.h"

typedef struct compare_text {
    char *text; /* NULL = none is given */
    size_t bytes;
    int32_t *ids;
    size_t n;
    hone_eval_protocol protocol;
    char words[200];
    hone_eval_reference reference; /* logits NULL: the first side, still to be taken */
} compare_text;

typedef struct compare_live {
    const cli_context *c;
    hone_compare *page;
    compare_text data;
    bench *benches;                /* [HONE_COMPARE_SIDES]; engine NULL = not open */
    double *costs;                 /* [HONE_COMPARE_SIDES][rounds_max], of the test in hand */
    size_t rounds_max, first_open; /* sides 0 and first_open.. are open and not timed yet */
    double memory_max;
} compare_live;

/* Reads --data, lists the tests. n sides are to come. */
HONE_CHECKED hone_status compare_live_open(compare_live *l, const cli_context *c, size_t n,
                                           hone_compare *page);
void compare_live_close(compare_live *l);
/* The original's predictions in float32 are what all sides are judged by; without this call the
 * first side's are. */
HONE_CHECKED hone_status compare_live_original(compare_live *l, const char *model);
/* One side more: opened, weighed, judged. Times the open ones first if it does not fit beside them.
 * The file may be deleted afterwards. */
HONE_CHECKED hone_status compare_live_add(compare_live *l, const char *label, const char *path,
                                          const hone_config *config, const char *note);
/* Times what is still open. */
HONE_CHECKED hone_status compare_live_finish(compare_live *l);

#endif
