#include "stat/versus.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* log(median a / median b) of one round; draw: 2 x reps doubles of scratch, filled already. */
static double log_ratio(double *draw, size_t reps)
{
    hone_stat_sort(draw, reps);
    hone_stat_sort(draw + reps, reps);
    return log(hone_stat_quantile_sorted(draw, reps, 0.5) /
               hone_stat_quantile_sorted(draw + reps, reps, 0.5));
}

static double draw_round(const double *a, const double *b, size_t reps, uint64_t seed,
                         uint64_t stream, uint64_t at, double *draw)
{
    if (reps == 1)
        return log(*a / *b);
    for (size_t i = 0; i < reps; i++) {
        draw[i] = a[hone_rng_below(seed, stream, at + 2 * i, reps)];
        draw[reps + i] = b[hone_rng_below(seed, stream, at + 2 * i + 1, reps)];
    }
    return log_ratio(draw, reps);
}

static double point(const double *a, const double *b, size_t rounds, size_t reps, double *logs,
                    double *draw)
{
    for (size_t k = 0; k < rounds; k++) {
        memcpy(draw, a + k * reps, reps * sizeof *draw);
        memcpy(draw + reps, b + k * reps, reps * sizeof *draw);
        logs[k] = log_ratio(draw, reps);
    }
    hone_stat_sort(logs, rounds);
    return hone_stat_quantile_sorted(logs, rounds, 0.5);
}

hone_status hone_stat_ratio_rounds(const double *a, const double *b, size_t rounds, size_t reps,
                                   double level, uint64_t seed, size_t resamples,
                                   hone_interval *out)
{
    if (rounds < 2 || reps < 1 || resamples < 1)
        return hone_fail(HONE_USAGE, "a ratio needs two rounds of measurements, got %zu of %zu",
                         rounds, reps);
    for (size_t i = 0; i < rounds * reps; i++)
        if (!(a[i] > 0 && b[i] > 0 && isfinite(a[i]) && isfinite(b[i])))
            return hone_fail(HONE_USAGE, "measurements %zu (%g, %g) are not positive", i, a[i],
                             b[i]);
    double *medians = hone_malloc((resamples + rounds + 2 * reps) * sizeof *medians);
    if (!medians)
        return hone_fail_memory(resamples * sizeof *medians, "a bootstrap");
    double *logs = medians + resamples, *draw = logs + rounds;
    for (size_t r = 0; r < resamples; r++) {
        uint64_t stride = 1 + 2 * reps;
        for (size_t k = 0; k < rounds; k++) {
            size_t from = hone_rng_below(seed, r, k * stride, rounds) * reps;
            logs[k] = draw_round(a + from, b + from, reps, seed, r, k * stride + 1, draw);
        }
        hone_stat_sort(logs, rounds);
        medians[r] = hone_stat_quantile_sorted(logs, rounds, 0.5);
    }
    hone_stat_sort(medians, resamples);
    out->lo = exp(hone_stat_quantile_sorted(medians, resamples, (1 - level) / 2));
    out->hi = exp(hone_stat_quantile_sorted(medians, resamples, (1 + level) / 2));
    out->point = exp(point(a, b, rounds, reps, logs, draw));
    hone_free(medians);
    return HONE_OK;
}

size_t hone_versus_look(size_t i, size_t rounds_max)
{
    static const size_t rounds[HONE_VERSUS_LOOKS] = {10, 15, 23, 35, 53, HONE_VERSUS_ROUNDS_MAX};
    if (i >= HONE_VERSUS_LOOKS || (i > 0 && rounds[i - 1] >= rounds_max))
        return 0;
    return rounds[i] < rounds_max ? rounds[i] : rounds_max;
}

double hone_versus_level(size_t rounds_max, double level)
{
    size_t looks = 0;
    while (hone_versus_look(looks, rounds_max))
        looks++;
    return 1 - (1 - level) / (double)(looks ? looks : 1);
}

hone_verdict hone_versus_judge(const hone_interval *r, double margin)
{
    if (r->lo > 1 / (1 + margin) && r->hi < 1 + margin)
        return HONE_VERDICT_EQUAL;
    return r->lo > 1 ? HONE_VERDICT_FASTER : r->hi < 1 ? HONE_VERDICT_SLOWER : HONE_VERDICT_UNKNOWN;
}

bool hone_versus_done(const hone_interval *r, double margin)
{
    double half = log(r->hi / r->lo) / 2;
    return hone_versus_judge(r, margin) != HONE_VERDICT_UNKNOWN &&
           (half <= log1p(margin) || half <= fabs(log(r->point)) / 3);
}

const char *hone_verdict_name(hone_verdict v)
{
    static const char *const names[] = {"faster", "slower", "equal", "unknown"};
    return v < HONE_VERDICT_COUNT ? names[v] : "?";
}

const char *hone_versus_say(const hone_interval *r, double margin, const char *a, const char *b,
                            char *buf, size_t size)
{
    double hidden = fmax(r->hi, 1 / r->lo) - 1;
    switch (hone_versus_judge(r, margin)) {
    case HONE_VERDICT_FASTER:
        snprintf(buf, size, "%s is %.1f %% faster than %s (%.1f %% to %.1f %%)", b,
                 100 * (r->point - 1), a, 100 * (r->lo - 1), 100 * (r->hi - 1));
        break;
    case HONE_VERDICT_SLOWER:
        snprintf(buf, size, "%s is %.1f %% slower than %s (%.1f %% to %.1f %%)", b,
                 100 * (1 - r->point), a, 100 * (1 - r->hi), 100 * (1 - r->lo));
        break;
    case HONE_VERDICT_EQUAL:
        snprintf(buf, size, "no difference that matters: %s and %s are equal to within %.1f %%", a,
                 b, 100 * margin);
        break;
    default:
        snprintf(buf, size,
                 "no difference can be claimed: the noise hides anything below %.1f %%; measure "
                 "longer or on a quieter machine",
                 100 * hidden);
    }
    return buf;
}
