/* schedule - the learning rate of a step: warm-up, then constant, cosine (Loshchilov and Hutter,
 * arXiv:1608.03983), or warm-up, stable, decay (Hu et al., arXiv:2404.06395). Pure functions. */
#ifndef HONE_TRAIN_SCHEDULE_H
#define HONE_TRAIN_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

typedef enum hone_schedule_kind {
    HONE_SCHEDULE_CONSTANT,
    HONE_SCHEDULE_COSINE,
    HONE_SCHEDULE_WSD,
    HONE_SCHEDULE_COUNT
} hone_schedule_kind;

typedef struct hone_schedule {
    hone_schedule_kind kind;
    double rate;     /* the highest */
    double floor;    /* the last one, as a share of it */
    uint64_t warmup; /* steps of linear rise */
    uint64_t steps;  /* all */
    uint64_t decay;  /* WSD: steps of linear fall at the end */
} hone_schedule;

/* Of step 0, 1, ... */
double hone_schedule_rate(const hone_schedule *s, uint64_t step);

bool hone_schedule_by_name(const char *name, hone_schedule_kind *out);
const char *hone_schedule_name(hone_schedule_kind k);

#endif
