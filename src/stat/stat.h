/*
 * stat - what a handful of noisy measurements allow to be said.
 *
 * Plain functions over arrays of double; nothing is kept. Resampling is counter-based (base/rng.h):
 * the same seed gives the same interval, in any order and on any machine. Functions that need
 * scratch memory return a status (MEMORY; USAGE for too few values); the others cannot fail.
 *
 * Threading: everything here may be called from any thread.
 */
#ifndef HONE_STAT_STAT_H
#define HONE_STAT_STAT_H

#include "base/status.h"

#include <stdint.h>

/* An estimate with the bounds of its confidence interval. */
typedef struct hone_interval {
    double point, lo, hi;
} hone_interval;

double hone_stat_mean(const double *x, size_t n); /* compensated sum; n > 0 */
double hone_stat_sd(const double *x, size_t n); /* sample standard deviation (n - 1); 0 if n < 2 */
void hone_stat_sort(double *x, size_t n);       /* ascending, in place */
/* Quantile q in [0, 1] of ascending values, linear between order statistics (Hyndman & Fan 1996,
 * type 7: the default of R and numpy); n > 0. */
double hone_stat_quantile_sorted(const double *x, size_t n, double q);
/* The same of values in any order (on a copy). Errors: USAGE (n = 0), MEMORY. */
HONE_CHECKED hone_status hone_stat_quantile(const double *x, size_t n, double q, double *out);
HONE_CHECKED hone_status hone_stat_median(const double *x, size_t n, double *out);

/* Standard normal: the z with P(Z <= z) = p, p in (0, 1). */
double hone_stat_normal_quantile(double p);
/* Student's t with df > 0 degrees of freedom (through the regularised incomplete beta function,
 * DLMF 8.17; continued fraction 8.17.22). */
double hone_stat_t_cdf(double t, double df);
double hone_stat_t_quantile(double p, double df);

/* Mean with its two-sided t interval at `level` (0.95). Errors: USAGE (n < 2). */
HONE_CHECKED hone_status hone_stat_t_interval(const double *x, size_t n, double level,
                                              hone_interval *out);

/* Median with its percentile-bootstrap interval (Efron 1979). Errors: USAGE (n < 2), MEMORY. */
HONE_CHECKED hone_status hone_stat_bootstrap_median(const double *x, size_t n, double level,
                                                    uint64_t seed, size_t resamples,
                                                    hone_interval *out);

/*
 * How many times larger a is than b, from interleaved pairs (a[i] and b[i] measured next to each
 * other; all > 0): exp of the mean (t interval) or of the median (paired percentile bootstrap) of
 * log(a[i] / b[i]). Pairing takes out what drifts slowly: clocks, temperature, neighbours.
 * Errors: USAGE (n < 2, or a value that is not positive and finite), MEMORY.
 */
HONE_CHECKED hone_status hone_stat_ratio_t(const double *a, const double *b, size_t n, double level,
                                           hone_interval *out);
HONE_CHECKED hone_status hone_stat_ratio_bootstrap(const double *a, const double *b, size_t n,
                                                   double level, uint64_t seed, size_t resamples,
                                                   hone_interval *out);

/*
 * The same ratio by the median of the pairs with its distribution-free interval (order statistics
 * and the binomial distribution: Conover 1999, section 3.2): it covers the true median at least as
 * often as `level` says, whatever the noise looks like, and a few disturbed samples do not widen
 * it. Errors: USAGE also if n is too small for the level (6 pairs for 95 %, 9 for 99.6 %).
 */
HONE_CHECKED hone_status hone_stat_ratio_median(const double *a, const double *b, size_t n,
                                                double level, hone_interval *out);

/*
 * Mean of x (paired differences, in the order of the text) with a one-sided upper bound at `level`:
 * the true mean lies below *upper with that confidence. Neighbouring tokens are not independent, so
 * the bound is that of the means of consecutive runs of `cluster` values (t with clusters - 1
 * degrees of freedom; a last partial run joins the one before it). cluster 1 treats the values as
 * independent. Errors: USAGE (fewer than two clusters), MEMORY.
 */
HONE_CHECKED hone_status hone_stat_mean_upper(const double *x, size_t n, size_t cluster,
                                              double level, double *mean, double *upper);

#endif
