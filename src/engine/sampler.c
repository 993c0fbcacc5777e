#include "engine/sampler.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

typedef struct candidate {
    double x; /* logit, later the weight exp(x - max) */
    int32_t id;
} candidate;

struct hone_sampler {
    hone_sampling settings; /* bias points to the copy below */
    hone_logit_bias *bias;
    uint32_t vocab;
    candidate *candidates; /* [vocab] */
    uint32_t *counts;      /* [vocab], zero between calls */
};

hone_sampling hone_sampling_default(void)
{
    return (hone_sampling){.top_p = 1, .repetition_penalty = 1};
}

static hone_status check(const hone_sampling *s, uint32_t vocab)
{
    if (!(s->temperature >= 0 && s->temperature <= 1000))
        return hone_fail(HONE_USAGE, "temperature %g: give 0 (greedy) to 1000", s->temperature);
    if (!(s->top_p > 0 && s->top_p <= 1))
        return hone_fail(HONE_USAGE, "top-p %g: give more than 0, at most 1", s->top_p);
    if (!(s->min_p >= 0 && s->min_p <= 1))
        return hone_fail(HONE_USAGE, "min-p %g: give 0 to 1", s->min_p);
    if (!(s->repetition_penalty > 0 && s->repetition_penalty <= 1000))
        return hone_fail(HONE_USAGE, "repetition penalty %g: give more than 0 (1 = off)",
                         s->repetition_penalty);
    if (!(fabs(s->frequency_penalty) <= 1000 && fabs(s->presence_penalty) <= 1000))
        return hone_fail(HONE_USAGE, "frequency and presence penalty %g and %g: give numbers",
                         s->frequency_penalty, s->presence_penalty);
    for (size_t i = 0; i < s->n_bias; i++) {
        if (s->bias[i].token < 0 || (uint32_t)s->bias[i].token >= vocab)
            return hone_fail(HONE_USAGE, "logit bias for token %d, outside the vocabulary of %u",
                             s->bias[i].token, vocab);
        if (isnan(s->bias[i].bias) || s->bias[i].bias == INFINITY)
            return hone_fail(HONE_USAGE, "logit bias %g for token %d: give a number",
                             (double)s->bias[i].bias, s->bias[i].token);
    }
    return HONE_OK;
}

hone_status hone_sampler_open(const hone_sampling *settings, uint32_t vocab, hone_sampler **out)
{
    *out = NULL;
    HONE_TRY(check(settings, vocab));
    hone_sampler *s = hone_calloc(1, sizeof *s);
    if (!s)
        return hone_fail_memory(sizeof *s, "a sampler");
    s->settings = *settings;
    s->vocab = vocab;
    s->candidates = hone_calloc(vocab, sizeof *s->candidates);
    s->counts = hone_calloc(vocab, sizeof *s->counts);
    s->bias = hone_calloc(settings->n_bias + 1, sizeof *s->bias);
    if (!s->candidates || !s->counts || !s->bias) {
        hone_sampler_close(s);
        return hone_fail_memory(vocab * sizeof *s->candidates, "a sampler");
    }
    if (settings->n_bias)
        memcpy(s->bias, settings->bias, settings->n_bias * sizeof *s->bias);
    s->settings.bias = s->bias;
    *out = s;
    return HONE_OK;
}

void hone_sampler_close(hone_sampler *s)
{
    if (!s)
        return;
    hone_free(s->candidates);
    hone_free(s->counts);
    hone_free(s->bias);
    hone_free(s);
}

/* e^x for x <= 0, the same on every machine: 2^k * e^r with |r| <= ln2 / 2 and the Taylor series of
 * e^r to r^13 (error below 2^-56). No branches and no calls: compilers make vectors of it. */
static inline double exp_of(double x)
{
    static const double inverse[] = {1.0 / 13, 1.0 / 12, 1.0 / 11, 1.0 / 10, 1.0 / 9,
                                     1.0 / 8,  1.0 / 7,  1.0 / 6,  1.0 / 5,  1.0 / 4,
                                     1.0 / 3,  1.0 / 2,  1.0};
    const double magic = 0x1.8p52;
    double t = x < -700 ? -700 : x;
    double shifted = t * 1.4426950408889634 + magic, k = shifted - magic; /* to the nearest */
    /* ln 2 in two parts (fdlibm's split): k * the first is exact. */
    double r = (t - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10;
    double y = 1, power;
    for (int i = 0; i < 13; i++)
        y = 1 + y * (r * inverse[i]);
    uint64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 1023) << 52;
    memcpy(&power, &bits, sizeof power);
    return x < -700 ? 0 : y * power;
}

/* Before in rank: the larger value, the lower id among equals. */
static bool before(const candidate *a, const candidate *b)
{
    return a->x > b->x || (a->x == b->x && a->id < b->id);
}

static void sift_down(candidate *heap, size_t n, size_t i)
{
    candidate moved = heap[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(&heap[child + 1], &heap[child]))
            child++;
        if (!before(&heap[child], &moved))
            break;
        heap[i] = heap[child];
    }
    heap[i] = moved;
}

static void make_heap(candidate *heap, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sift_down(heap, n, i);
}

static hone_status bad_logit(uint32_t token, float x)
{
    return hone_fail(HONE_FORMAT,
                     "the logit of token %u is %s: the model's weights are damaged or "
                     "overflow in this arithmetic",
                     token, isnan(x) ? "not a number" : "infinite");
}

static hone_status load(hone_sampler *s, const float *logits)
{
    for (uint32_t i = 0; i < s->vocab; i++) {
        if (!(logits[i] < INFINITY))
            return bad_logit(i, logits[i]);
        s->candidates[i] = (candidate){(double)logits[i], (int32_t)i};
    }
    for (size_t i = 0; i < s->settings.n_bias; i++)
        s->candidates[s->bias[i].token].x += (double)s->bias[i].bias;
    return HONE_OK;
}

static hone_status penalise(hone_sampler *s, const int32_t *history, size_t n)
{
    const hone_sampling *o = &s->settings;
    if (o->repetition_penalty == 1 && o->frequency_penalty == 0 && o->presence_penalty == 0)
        return HONE_OK;
    size_t from = o->penalty_window && n > o->penalty_window ? n - o->penalty_window : 0;
    for (size_t i = from; i < n; i++)
        if (history[i] < 0 || (uint32_t)history[i] >= s->vocab)
            return hone_fail(HONE_DATA, "token %d is outside the vocabulary of %u", history[i],
                             s->vocab);
    for (size_t i = from; i < n; i++)
        s->counts[history[i]]++;
    for (size_t i = from; i < n; i++) {
        uint32_t *count = &s->counts[history[i]];
        double *x = &s->candidates[history[i]].x;
        if (*count == 0)
            continue; /* seen already */
        if (o->repetition_penalty != 1)
            *x = *x > 0 ? *x / o->repetition_penalty : *x * o->repetition_penalty;
        *x -= *count * o->frequency_penalty + o->presence_penalty;
        *count = 0;
    }
    return HONE_OK;
}

static hone_status nothing_left(void)
{
    return hone_fail(HONE_DATA, "no token is left to choose from: every logit is -infinity");
}

static hone_status best(const hone_sampler *s, size_t *at)
{
    *at = 0;
    for (uint32_t i = 1; i < s->vocab; i++)
        if (before(&s->candidates[i], &s->candidates[*at]))
            *at = i;
    return s->candidates[*at].x == -INFINITY ? nothing_left() : HONE_OK;
}

/* Whether nothing changes the logits and the largest is wanted: then one look at each is enough. */
static bool is_plain(const hone_sampling *o)
{
    return o->temperature == 0 && o->n_bias == 0 && o->repetition_penalty == 1 &&
           o->frequency_penalty == 0 && o->presence_penalty == 0;
}

static hone_status pick_plain(const hone_sampler *s, const float *logits, int32_t *token)
{
    float most = -INFINITY;
    for (uint32_t i = 0; i < s->vocab; i++) {
        if (!(logits[i] < INFINITY))
            return bad_logit(i, logits[i]);
        if (logits[i] > most) {
            most = logits[i];
            *token = (int32_t)i;
        }
    }
    return most == -INFINITY ? nothing_left() : HONE_OK;
}

/* Moves the top of the heap candidates[0..*n) to its end: candidates[vocab - 1], then vocab - 2...
 */
static candidate pop(candidate *heap, size_t *n)
{
    candidate top = heap[0];
    heap[0] = heap[--*n];
    if (*n > 0)
        sift_down(heap, *n, 0);
    heap[*n] = top;
    return top;
}

/* Filters, once x holds weights. The kept ones end at candidates[*first .. vocab), the best last.
 */
static void filter(hone_sampler *s, size_t *first)
{
    const hone_sampling *o = &s->settings;
    size_t n = s->vocab, most = o->top_k && o->top_k < n ? o->top_k : n, kept = 0;
    make_heap(s->candidates, n);
    double total = 0, mass = 0, floor = 0;
    if (most < s->vocab) {
        while (kept < most) {
            total += pop(s->candidates, &n).x;
            kept++;
        }
    } else {
        for (size_t i = 0; i < s->vocab; i++)
            total += s->candidates[i].x;
    }
    /* Of those (popped already, or popped now), as many as top-p and min-p let through. */
    size_t keep = 0;
    for (; keep < most; keep++) {
        if (keep == kept) {
            pop(s->candidates, &n);
            kept++;
        }
        double w = s->candidates[s->vocab - 1 - keep].x;
        if (keep == 0)
            floor = o->min_p * w;
        else if (w <= 0 || w < floor || (o->top_p < 1 && mass >= o->top_p * total))
            break;
        mass += w;
    }
    *first = s->vocab - keep;
}

/* candidates[*first .. vocab) with their weights; greedy leaves one. */
static hone_status shape(hone_sampler *s, const float *logits, const int32_t *history, size_t n,
                         size_t *first)
{
    const hone_sampling *o = &s->settings;
    size_t top;
    HONE_TRY(load(s, logits));
    HONE_TRY(penalise(s, history, n));
    HONE_TRY(best(s, &top));
    if (o->temperature == 0) {
        *first = s->vocab - 1;
        s->candidates[*first] = (candidate){1, s->candidates[top].id};
        return HONE_OK;
    }
    double max = s->candidates[top].x;
    for (uint32_t i = 0; i < s->vocab; i++)
        s->candidates[i].x = exp_of((s->candidates[i].x - max) / o->temperature);
    *first = 0;
    if (o->top_k || o->top_p < 1 || o->min_p > 0)
        filter(s, first);
    return HONE_OK;
}

hone_status hone_sampler_pick(hone_sampler *s, const float *logits, const int32_t *history,
                              size_t n, uint64_t position, int32_t *token)
{
    size_t first;
    if (is_plain(&s->settings))
        return pick_plain(s, logits, token);
    HONE_TRY(shape(s, logits, history, n, &first));
    double total = 0, at = 0;
    for (size_t i = first; i < s->vocab; i++)
        total += s->candidates[i].x;
    double want = total * hone_rng_uniform(s->settings.seed, s->settings.sample, position);
    *token = s->candidates[first].id;
    for (size_t i = first; i < s->vocab; i++) {
        if (s->candidates[i].x <= 0)
            continue;
        *token = s->candidates[i].id;
        at += s->candidates[i].x;
        if (at > want)
            break;
    }
    return HONE_OK;
}

hone_status hone_sampler_distribution(hone_sampler *s, const float *logits, const int32_t *history,
                                      size_t n, double *probability)
{
    size_t first;
    HONE_TRY(shape(s, logits, history, n, &first));
    double total = 0;
    for (size_t i = first; i < s->vocab; i++)
        total += s->candidates[i].x;
    memset(probability, 0, s->vocab * sizeof *probability);
    for (size_t i = first; i < s->vocab; i++)
        probability[s->candidates[i].id] = s->candidates[i].x / total;
    return HONE_OK;
}
