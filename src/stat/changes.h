/*
 * changes - where a series of measurements changed, by E-divisive (Matteson & James, "A
 * nonparametric approach for multiple change point analysis of multivariate data", JASA 2014), in
 * one dimension with exponent 1.
 *
 * A segment is divided where the energy statistic between what lies before and what follows is
 * largest, and the division is believed if that statistic is larger than in all but a share of
 * random orders of the same values. Nothing is assumed of the noise but that its order carries no
 * information: noise that drifts slowly (a machine that warms up over many runs) IS a change.
 *
 * Threading: any thread; the same seed gives the same answer everywhere.
 */
#ifndef HONE_STAT_CHANGES_H
#define HONE_STAT_CHANGES_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

enum { HONE_CHANGES_VALUES_MAX = 1000 };

typedef struct hone_change {
    size_t at;            /* the first value of the new level */
    double p;             /* share of random orders that look as divided (at least 1 / (R + 1)) */
    double before, after; /* medians of the two neighbouring segments */
} hone_change;

typedef struct hone_changes_options {
    double level;        /* a division is believed if p <= level; 0 = 0.01 */
    size_t segment_min;  /* shortest segment; 0 = 5; at least 2 */
    size_t permutations; /* R; 0 = 999 */
    uint64_t seed;
    double clip; /* values further from the median than so many (scaled) median deviations count as
                    if they were there, so that a disturbed run hides no change; the same whatever
                    the order, so p stays true. 0 = as they are; 2 for measurements */
} hone_changes_options;

/* Change points of x[n] in ascending order of `at`: at most `room` of them are stored, *count are
 * found. A series that is too short to divide has none. Time R n^2, memory 8 n^2 bytes. Errors:
 * USAGE (a value that is not finite, more than HONE_CHANGES_VALUES_MAX, segment_min 1, a level that
 * R cannot reach), MEMORY. */
HONE_CHECKED hone_status hone_stat_changes(const double *x, size_t n, const hone_changes_options *o,
                                           hone_change *out, size_t room, size_t *count);

/* The statistic itself (section 2.2, equation 6 with its scaling): Q of x[0, at) against x[at, n),
 * both of two values or more. */
double hone_stat_energy(const double *x, size_t n, size_t at);

#endif
