#include "stat/changes.h"

#include "base/mem.h"
#include "base/rng.h"
#include "stat/stat.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

typedef struct split {
    size_t at;
    double q; /* negative: too short to be divided */
} split;

typedef struct segment {
    size_t from, to;
    split best;
    double p; /* of the division at `from` */
} segment;

/* The state of a search: segments are contiguous and in order. */
typedef struct search {
    const double *x;
    size_t n;
    hone_changes_options o;
    double *values;    /* [n] x, clipped */
    double *order;     /* [n] values in a random order */
    double *distances; /* [n][n]: row k: sums of the distances of value k to the first j values */
    segment *segments; /* [n] */
    size_t count;
} search;

/* Q from the sums of distances: within the m values before, within the n after, between them. */
static double energy(double before, double after, double between, double m, double n)
{
    double e = 2 * between / (m * n) - 2 * before / (m * (m - 1)) - 2 * after / (n * (n - 1));
    return m * n / (m + n) * e;
}

double hone_stat_energy(const double *x, size_t n, size_t at)
{
    double before = 0, after = 0, between = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++)
            *(j < at ? &before : i >= at ? &after : &between) += fabs(x[i] - x[j]);
    return energy(before, after, between, (double)at, (double)(n - at));
}

/* The best of values [0, tau) against [tau, kappa), over tau and kappa, both sides of segment_min
 * values at least (equation 7). The sums grow with kappa by one value's distances: O(n^2). */
static split best_split(const search *s, const double *x, size_t n)
{
    size_t least = s->o.segment_min;
    split best = {0, -1};
    if (n < 2 * least)
        return best;
    for (size_t k = 0; k < n; k++) {
        double sum = 0, *row = s->distances + k * s->n;
        for (size_t j = 0; j < k; j++) {
            row[j] = sum;
            sum += fabs(x[k] - x[j]);
        }
        row[k] = sum;
    }
    double before = 0;
    for (size_t k = 0; k + 1 < least; k++)
        before += s->distances[k * s->n + k];
    for (size_t tau = least; tau + least <= n; tau++) {
        double after = 0, between = 0;
        before += s->distances[(tau - 1) * s->n + tau - 1];
        for (size_t k = tau; k < n; k++) {
            const double *row = s->distances + k * s->n;
            between += row[tau];
            after += row[k] - row[tau];
            size_t m = k + 1 - tau;
            double q = m < least ? -1 : energy(before, after, between, (double)tau, (double)m);
            if (q > best.q)
                best = (split){tau, q};
        }
    }
    return best;
}

/* The same values in a random order (Fisher & Yates). */
static void shuffle(const search *s, size_t from, size_t to, uint64_t stream)
{
    memcpy(s->order + from, s->values + from, (to - from) * sizeof *s->order);
    for (size_t i = to - from; i > 1; i--) {
        size_t j = hone_rng_below(s->o.seed, stream, from + i, i);
        double t = s->order[from + i - 1];
        s->order[from + i - 1] = s->order[from + j];
        s->order[from + j] = t;
    }
}

/* Share of random orders, within the segments as they are, whose best division is at least as good
 * (section 3.2); ends as soon as it is above the level. */
static double permutation_p(const search *s, double q)
{
    size_t as_good = 1, all = s->o.permutations + 1;
    for (size_t r = 0; r < s->o.permutations; r++) {
        double most = -1;
        for (size_t i = 0; i < s->count; i++) {
            const segment *g = &s->segments[i];
            if (g->to - g->from < 2 * s->o.segment_min)
                continue;
            shuffle(s, g->from, g->to, s->count * s->o.permutations + r);
            split b = best_split(s, s->order + g->from, g->to - g->from);
            most = fmax(most, b.q);
        }
        as_good += most >= q;
        if ((double)as_good / (double)all > s->o.level)
            break;
    }
    return (double)as_good / (double)all;
}

/* Divides the best segment; false when no division is believed any more. */
static bool divide(search *s)
{
    size_t i = 0;
    for (size_t k = 1; k < s->count; k++)
        if (s->segments[k].best.q > s->segments[i].best.q)
            i = k;
    segment *g = &s->segments[i];
    if (!(g->best.q > 0))
        return false;
    double p = permutation_p(s, g->best.q);
    if (p > s->o.level)
        return false;
    memmove(g + 2, g + 1, (s->count - i - 1) * sizeof *g);
    s->count++;
    size_t at = g->from + g->best.at;
    g[1] = (segment){.from = at, .to = g->to, .p = p};
    g->to = at;
    for (int k = 0; k < 2; k++)
        g[k].best = best_split(s, s->values + g[k].from, g[k].to - g[k].from);
    return true;
}

static hone_status report(const search *s, hone_change *out, size_t room)
{
    for (size_t i = 1; i < s->count && i <= room; i++) {
        const segment *g = &s->segments[i];
        hone_change *c = &out[i - 1];
        *c = (hone_change){.at = g->from, .p = g->p};
        HONE_TRY(hone_stat_median(s->x + g[-1].from, g[-1].to - g[-1].from, &c->before));
        HONE_TRY(hone_stat_median(s->x + g->from, g->to - g->from, &c->after));
    }
    return HONE_OK;
}

static hone_status check(const double *x, size_t n, const hone_changes_options *o)
{
    if (n > HONE_CHANGES_VALUES_MAX)
        return hone_fail(HONE_USAGE, "%zu measurements: at most %d can be searched for changes", n,
                         (int)HONE_CHANGES_VALUES_MAX);
    if (o->segment_min < 2)
        return hone_fail(HONE_USAGE, "segments of %zu measurements: at least 2", o->segment_min);
    if (!(o->level * (double)(o->permutations + 1) >= 1))
        return hone_fail(HONE_USAGE, "%zu random orders cannot show a level of %g", o->permutations,
                         o->level);
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return hone_fail(HONE_USAGE, "measurement %zu is not a finite number", i);
    return HONE_OK;
}

/* Median +- clip x 1.4826 x the median absolute deviation (of normal noise: its standard
 * deviation). */
static hone_status clip(search *s)
{
    double median, deviation;
    memcpy(s->values, s->x, s->n * sizeof *s->values);
    if (!(s->o.clip > 0))
        return HONE_OK;
    HONE_TRY(hone_stat_median(s->x, s->n, &median));
    for (size_t i = 0; i < s->n; i++)
        s->order[i] = fabs(s->x[i] - median);
    HONE_TRY(hone_stat_median(s->order, s->n, &deviation));
    double most = s->o.clip * 1.4826 * deviation;
    for (size_t i = 0; i < s->n && most > 0; i++)
        s->values[i] = fmax(median - most, fmin(median + most, s->x[i]));
    return HONE_OK;
}

static hone_status work(search *s, hone_change *out, size_t room)
{
    HONE_TRY(clip(s));
    s->segments[0] = (segment){.to = s->n, .best = best_split(s, s->values, s->n)};
    while (divide(s))
        continue;
    return report(s, out, room);
}

hone_status hone_stat_changes(const double *x, size_t n, const hone_changes_options *o,
                              hone_change *out, size_t room, size_t *count)
{
    search s = {.x = x, .n = n, .o = *o, .count = 1};
    s.o.level = s.o.level > 0 ? s.o.level : 0.01;
    s.o.segment_min = s.o.segment_min ? s.o.segment_min : 5;
    s.o.permutations = s.o.permutations ? s.o.permutations : 999;
    *count = 0;
    HONE_TRY(check(x, n, &s.o));
    if (n < 2 * s.o.segment_min)
        return HONE_OK;
    s.values = hone_malloc(2 * n * sizeof *s.values);
    s.order = s.values ? s.values + n : NULL;
    s.distances = hone_malloc(n * n * sizeof *s.distances);
    s.segments = hone_malloc((n + 1) * sizeof *s.segments);
    hone_status status = s.values && s.distances && s.segments
                             ? work(&s, out, room)
                             : hone_fail_memory(n * n * sizeof *s.distances, "changes");
    *count = status == HONE_OK ? s.count - 1 : 0;
    hone_free(s.values);
    hone_free(s.distances);
    hone_free(s.segments);
    return status;
}
