/*
 * advise - what bounds a run, in words, and which techniques address it. The optimiser and
 * `hone profile` name the bottleneck by the same function.
 *
 * Threading: pure functions.
 */
#ifndef HONE_PIPELINE_ADVISE_H
#define HONE_PIPELINE_ADVISE_H

#include "observe/profile.h"
#include "technique/technique.h"

enum { HONE_ADVICE_ROWS = 64 };

/* What the roofline says, unless most of the time is spent on neither memory nor arithmetic, or the
 * model is so small that it stays in the caches. cost: measured, in the goal's unit. */
hone_bottleneck hone_bottleneck_find(hone_goal g, const hone_roofline *r, double cost);

typedef struct hone_advice_row {
    const hone_technique *technique;
    const char *label;    /* of the value */
    double predicted;     /* times better; 0 = unknown */
    bool addressed;       /* the bottleneck that was found, and it gains by the roofline */
    hone_bottleneck next; /* what the roofline is bound by after it */
} hone_advice_row;

typedef struct hone_advice {
    hone_phase phase;
    hone_goal goal;
    double cost, least; /* measured and by the roofline, in the goal's unit; 0 = unknown */
    hone_bottleneck bottleneck;
    bool cached;
    char words[1024]; /* what bounds it: plain text, one paragraph */
    char next[512];   /* what to try, and what would be next */
    hone_advice_row rows[HONE_ADVICE_ROWS];
    size_t n_rows; /* those that apply: that address it first, then by what they promise */
} hone_advice;

/* The goal of a phase: PROMPT is TTFT, DECODE decode-latency. The profile must have been held
 * against the limits. */
void hone_advise(const hone_profile *p, hone_phase phase, const hone_technique_facts *f,
                 const hone_config *c, hone_advice *out);

/* A phase's parts by their seconds, the largest first: order[HONE_SPAN_KINDS] of span kinds;
 * returns how many have any. */
size_t hone_profile_rank(const hone_profile_phase *f, int order[HONE_SPAN_KINDS]);

/* What changed from one profile to a later one (both as hone_profile_json, with "advice" as `hone
 * profile --json` prints it), in plain text without a line break: speeds, the bottleneck before and
 * now, the part that takes most now. "" if they cannot be compared. */
void hone_profile_compare(const json_t *before, const json_t *now, char *buf, size_t size);

#endif
