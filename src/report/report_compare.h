/*
 * report_compare - models, configurations or earlier measurements side by side: what was found of
 * each, and the page of it.
 *
 * The first side is what the others are held against. What is not known is NAN (numbers) or ""
 * (texts). Ownership: texts that are pointers are the caller's. Threading: one thread.
 */
#ifndef HONE_REPORT_REPORT_COMPARE_H
#define HONE_REPORT_REPORT_COMPARE_H

#include "base/status.h"
#include "stat/versus.h"

#include <jansson.h>

enum { HONE_COMPARE_SIDES = 48, HONE_COMPARE_TESTS = 16, HONE_COMPARE_DIFFERENCES = 32 };

typedef struct hone_compare_speed {
    hone_interval tok_s; /* all sequences together; lo = hi = NAN: only the median is known */
    hone_interval ratio; /* times as fast as the first side; point NAN = not compared */
    size_t rounds;       /* measured in turns with the first side; 0 = not in turns */
} hone_compare_speed;

typedef struct hone_compare_side {
    char label[160], note[400]; /* note: what is special, e.g. which type another one stands for */
    char *path, *config;        /* config: canonical JSON */
    double stored_bytes;        /* tensors in the file */
    double bits;                /* per weight in the file */
    double memory_bytes; /* packed weights and KV of one context; of a run: if that is its goal */
    double perplexity;
    double perplexity_ratio;      /* to the original's on the same text */
    double kl_mean, kl_p99, top1; /* against the reference; top1: share of equal first tokens */
    double cost_seconds;          /* of a run of the registry: what it ended on costs */
    hone_compare_speed speed[HONE_COMPARE_TESTS];
} hone_compare_side;

typedef struct hone_compare {
    const char *title, *data, *protocol, *reference; /* "" = no text */
    const char *environment;                         /* JSON object, or NULL */
    double margin;                                   /* differences below it do not matter */
    bool in_turns;
    char tests[HONE_COMPARE_TESTS][96];
    size_t n_tests;
    hone_compare_side *sides;
    size_t n_sides;
    char skipped[HONE_COMPARE_SIDES][400]; /* "name: why" */
    size_t n_skipped;
    char differences[HONE_COMPARE_DIFFERENCES][256]; /* "threads: 2, 1": a value per side */
    size_t n_differences;
} hone_compare;

/* A side of which nothing is known yet. */
void hone_compare_side_clear(hone_compare_side *s);
/* Which configuration keys differ between sides, into c->differences. */
HONE_CHECKED hone_status hone_compare_configs(hone_compare *c);
/* In words: how fast side i is against the first in this test. Returns buf. */
const char *hone_compare_words(const hone_compare *c, size_t i, size_t test, char *buf,
                               size_t size);
/* Whether no other side has less of both x (bytes, or -tok/s of a test) and divergence. */
bool hone_compare_on_front(const hone_compare *c, size_t i, int test);

/* Everything as JSON; what is unknown is left out. NULL = no memory. */
json_t *hone_compare_json(const hone_compare *c);
/* One self-contained page (no scripts, nothing fetched) in a fresh string (hone_free). */
HONE_CHECKED hone_status hone_compare_html(const hone_compare *c, char **html, size_t *bytes);

#endif
