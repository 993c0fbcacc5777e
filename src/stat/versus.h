/*
 * versus - is B faster than A? Rounds of interleaved measurements, looked at several times on the
 * way, so that as many are taken as the noise asks for and no more.
 *
 * A round holds `reps` costs of either side, taken in turns next to each other. What differs from
 * round to round (clocks, neighbours, where memory came to lie) is noise of its own, which more
 * repetitions within a round do not make smaller; so the bootstrap is hierarchical: rounds are
 * drawn, then repetitions within each drawn round (Davison & Hinkley 1997, section 3.8; Kalibera &
 * Jones, "Rigorous benchmarking in reasonable time", ISMM 2013).
 *
 * Stopping when the result looks good would make a 95 % interval wrong far more often than in 5 %.
 * So the moments of looking are fixed beforehand (hone_versus_look), and each look gets its share
 * of the 5 % (Bonferroni): whichever look the measurement ends at, its interval misses the truth in
 * at most 5 % of all measurements.
 *
 * Threading: any thread; the same seed gives the same interval everywhere.
 */
#ifndef HONE_STAT_VERSUS_H
#define HONE_STAT_VERSUS_H

#include "stat/stat.h"

#include <stdbool.h>

enum { HONE_VERSUS_LOOKS = 6, HONE_VERSUS_ROUNDS_MAX = 80 };

typedef enum hone_verdict {
    HONE_VERDICT_FASTER,  /* B costs less: the interval lies above 1 */
    HONE_VERDICT_SLOWER,  /* B costs more */
    HONE_VERDICT_EQUAL,   /* the interval lies within 1 +- margin */
    HONE_VERDICT_UNKNOWN, /* the noise hides whatever difference there is */
    HONE_VERDICT_COUNT
} hone_verdict;

/* How many times larger a is than b: the median over rounds of log(median a / median b) with its
 * percentile interval. a, b: [rounds][reps] costs, all positive. Errors: USAGE (fewer than two
 * rounds, no repetition, a value that is not positive and finite), MEMORY. */
HONE_CHECKED hone_status hone_stat_ratio_rounds(const double *a, const double *b, size_t rounds,
                                                size_t reps, double level, uint64_t seed,
                                                size_t resamples, hone_interval *out);

/* Rounds after which look i of HONE_VERSUS_LOOKS is taken, the last at most rounds_max; 0 = no
 * such look. */
size_t hone_versus_look(size_t i, size_t rounds_max);
/* The level of the interval at each of the looks with rounds_max. */
double hone_versus_level(size_t rounds_max, double level);

/* What an interval of the ratio (cost of A over cost of B) allows to be said. margin 0.01: a
 * difference below 1 % does not matter. */
hone_verdict hone_versus_judge(const hone_interval *ratio, double margin);
/* No need for more rounds: the answer is known, and to a third of the difference or to the margin.
 */
bool hone_versus_done(const hone_interval *ratio, double margin);
const char *hone_verdict_name(hone_verdict v); /* "faster", "slower", "equal", "unknown" */
/* The verdict in a sentence: "B is 3.1 % faster than A (2.5 % to 3.8 %)". Returns buf. */
const char *hone_versus_say(const hone_interval *ratio, double margin, const char *a, const char *b,
                            char *buf, size_t size);

#endif
