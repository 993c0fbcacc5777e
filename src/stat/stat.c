#include "stat/stat.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double hone_stat_mean(const double *x, size_t n)
{
    double sum = 0, low = 0; /* Neumaier's compensation */
    for (size_t i = 0; i < n; i++) {
        double t = sum + x[i];
        low += fabs(sum) >= fabs(x[i]) ? (sum - t) + x[i] : (x[i] - t) + sum;
        sum = t;
    }
    return (sum + low) / (double)n;
}

double hone_stat_sd(const double *x, size_t n)
{
    if (n < 2)
        return 0;
    double mean = hone_stat_mean(x, n), squares = 0;
    for (size_t i = 0; i < n; i++)
        squares += (x[i] - mean) * (x[i] - mean);
    return sqrt(squares / (double)(n - 1));
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void hone_stat_sort(double *x, size_t n)
{
    if (n > 1)
        qsort(x, n, sizeof *x, compare_doubles);
}

double hone_stat_quantile_sorted(const double *x, size_t n, double q)
{
    double at = q * (double)(n - 1);
    size_t i = (size_t)at;
    if (i + 1 >= n)
        return x[n - 1];
    double part = at - (double)i;
    return part > 0 ? x[i] + part * (x[i + 1] - x[i]) : x[i];
}

hone_status hone_stat_quantile(const double *x, size_t n, double q, double *out)
{
    if (n == 0)
        return hone_fail(HONE_USAGE, "a quantile needs at least one value");
    double *copy = hone_malloc(n * sizeof *copy);
    if (!copy)
        return hone_fail_memory(n * sizeof *copy, "sorting measurements");
    memcpy(copy, x, n * sizeof *copy);
    hone_stat_sort(copy, n);
    *out = hone_stat_quantile_sorted(copy, n, q);
    hone_free(copy);
    return HONE_OK;
}

hone_status hone_stat_median(const double *x, size_t n, double *out)
{
    return hone_stat_quantile(x, n, 0.5, out);
}

static double normal_cdf(double z)
{
    return 0.5 * erfc(-z / sqrt(2.0));
}

/* Regularised incomplete beta function I_x(a, b): DLMF 8.17.22 by the modified Lentz method; the
 * symmetry I_x(a, b) = 1 - I_(1-x)(b, a) keeps the fraction where it converges fast. */
static double beta_fraction(double a, double b, double x)
{
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double f = d;
    for (int m = 1; m < 1000; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        double step = 1;
        for (int half = 0; half < 2; half++) {
            double term = half ? odd : even;
            d = 1 + term * d;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = 1 + term / c;
            c = fabs(c) < tiny ? tiny : c;
            step = d * c;
            f *= step;
        }
        if (fabs(step - 1) < 1e-15)
            break;
    }
    return f;
}

static double beta_inc(double a, double b, double x)
{
    if (x <= 0)
        return 0;
    if (x >= 1)
        return 1;
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2))
        return front * beta_fraction(a, b, x) / a;
    return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double hone_stat_t_cdf(double t, double df)
{
    double tail = 0.5 * beta_inc(df / 2, 0.5, df / (df + t * t));
    return t > 0 ? 1 - tail : tail;
}

/* The z in [lo, 0] with tail(z, df) = p, p <= 1/2: the left tail is increasing. Bisection to the
 * last bit; a tail keeps its relative precision where 1 - p would lose it. */
static double bisect_tail(double (*tail)(double, double), double df, double p)
{
    double lo = -1, hi = 0;
    while (tail(lo, df) > p && lo > -1e300)
        lo *= 2;
    for (int i = 0; i < 200; i++) {
        double mid = lo + (hi - lo) / 2;
        if (mid <= lo || mid >= hi)
            break;
        if (tail(mid, df) < p)
            lo = mid;
        else
            hi = mid;
    }
    return hi;
}

static double normal_tail(double z, double unused)
{
    (void)unused;
    return normal_cdf(z);
}

double hone_stat_normal_quantile(double p)
{
    return p <= 0.5 ? bisect_tail(normal_tail, 0, p) : -bisect_tail(normal_tail, 0, 1 - p);
}

double hone_stat_t_quantile(double p, double df)
{
    return p <= 0.5 ? bisect_tail(hone_stat_t_cdf, df, p)
                    : -bisect_tail(hone_stat_t_cdf, df, 1 - p);
}

static hone_interval t_bounds(const double *x, size_t n, double level)
{
    double mean = hone_stat_mean(x, n);
    double half = hone_stat_t_quantile(0.5 + level / 2, (double)(n - 1)) * hone_stat_sd(x, n) /
                  sqrt((double)n);
    return (hone_interval){mean, mean - half, mean + half};
}

hone_status hone_stat_t_interval(const double *x, size_t n, double level, hone_interval *out)
{
    if (n < 2)
        return hone_fail(HONE_USAGE, "an interval needs at least two measurements, got %zu", n);
    *out = t_bounds(x, n, level);
    return HONE_OK;
}

hone_status hone_stat_bootstrap_median(const double *x, size_t n, double level, uint64_t seed,
                                       size_t resamples, hone_interval *out)
{
    if (n < 2 || resamples < 1)
        return hone_fail(HONE_USAGE, "an interval needs at least two measurements, got %zu", n);
    double *medians = hone_malloc((resamples + n) * sizeof *medians);
    if (!medians)
        return hone_fail_memory((resamples + n) * sizeof *medians, "a bootstrap");
    double *draw = medians + resamples;
    for (size_t r = 0; r < resamples; r++) {
        for (size_t i = 0; i < n; i++)
            draw[i] = x[hone_rng_below(seed, r, i, n)];
        hone_stat_sort(draw, n);
        medians[r] = hone_stat_quantile_sorted(draw, n, 0.5);
    }
    hone_stat_sort(medians, resamples);
    out->lo = hone_stat_quantile_sorted(medians, resamples, (1 - level) / 2);
    out->hi = hone_stat_quantile_sorted(medians, resamples, (1 + level) / 2);
    memcpy(draw, x, n * sizeof *draw);
    hone_stat_sort(draw, n);
    out->point = hone_stat_quantile_sorted(draw, n, 0.5);
    hone_free(medians);
    return HONE_OK;
}

/* log(a[i] / b[i]) in a fresh array. */
static hone_status log_ratios(const double *a, const double *b, size_t n, double **out)
{
    if (n < 2)
        return hone_fail(HONE_USAGE, "a ratio needs at least two pairs of measurements, got %zu",
                         n);
    for (size_t i = 0; i < n; i++)
        if (!(a[i] > 0 && b[i] > 0 && isfinite(a[i]) && isfinite(b[i])))
            return hone_fail(HONE_USAGE, "pair %zu of measurements (%g, %g) is not positive", i,
                             a[i], b[i]);
    double *logs = hone_malloc(n * sizeof *logs);
    if (!logs)
        return hone_fail_memory(n * sizeof *logs, "ratios of measurements");
    for (size_t i = 0; i < n; i++)
        logs[i] = log(a[i] / b[i]);
    *out = logs;
    return HONE_OK;
}

static hone_interval exp_interval(hone_interval x)
{
    return (hone_interval){exp(x.point), exp(x.lo), exp(x.hi)};
}

hone_status hone_stat_ratio_t(const double *a, const double *b, size_t n, double level,
                              hone_interval *out)
{
    double *logs;
    HONE_TRY(log_ratios(a, b, n, &logs));
    *out = exp_interval(t_bounds(logs, n, level));
    hone_free(logs);
    return HONE_OK;
}

hone_status hone_stat_ratio_bootstrap(const double *a, const double *b, size_t n, double level,
                                      uint64_t seed, size_t resamples, hone_interval *out)
{
    double *logs;
    HONE_TRY(log_ratios(a, b, n, &logs));
    hone_interval bounds;
    hone_status s = hone_stat_bootstrap_median(logs, n, level, seed, resamples, &bounds);
    hone_free(logs);
    HONE_TRY(s);
    *out = exp_interval(bounds);
    return HONE_OK;
}

/* The largest k with P(B < k) <= tail for B ~ Binomial(n, 1/2): the k-th smallest and k-th largest
 * value bound the median. 0 = n is too small. */
static size_t median_rank(size_t n, double tail)
{
    double term = -(double)n * log(2.0), below = 0; /* log of P(B = 0) */
    for (size_t k = 0; k < n; k++) {
        below += exp(term);
        if (below > tail)
            return k;
        term += log((double)(n - k) / (double)(k + 1));
    }
    return n;
}

hone_status hone_stat_ratio_median(const double *a, const double *b, size_t n, double level,
                                   hone_interval *out)
{
    size_t rank = median_rank(n, (1 - level) / 2);
    if (!rank)
        return hone_fail(HONE_USAGE, "%zu pairs are too few for an interval at %.4g %%", n,
                         100 * level);
    double *logs;
    HONE_TRY(log_ratios(a, b, n, &logs));
    hone_stat_sort(logs, n);
    *out = exp_interval(
        (hone_interval){hone_stat_quantile_sorted(logs, n, 0.5), logs[rank - 1], logs[n - rank]});
    hone_free(logs);
    return HONE_OK;
}

hone_status hone_stat_mean_upper(const double *x, size_t n, size_t cluster, double level,
                                 double *mean, double *upper)
{
    size_t clusters = cluster ? n / cluster : 0;
    if (clusters < 2)
        return hone_fail(HONE_USAGE, "%zu values are too few for a bound over runs of %zu", n,
                         cluster);
    double *means = hone_malloc(clusters * sizeof *means);
    if (!means)
        return hone_fail_memory(clusters * sizeof *means, "means of runs");
    for (size_t c = 0; c < clusters; c++) {
        size_t from = c * cluster, to = c + 1 < clusters ? from + cluster : n;
        means[c] = hone_stat_mean(x + from, to - from);
    }
    *mean = hone_stat_mean(x, n);
    *upper = *mean + hone_stat_t_quantile(level, (double)(clusters - 1)) *
                         hone_stat_sd(means, clusters) / sqrt((double)clusters);
    hone_free(means);
    return HONE_OK;
}
