/*
 * attention - tiles of 64 keys with online softmax over v16 (docs/numerics.md, "Attention").
 * Included after what multiplies: attn_product.h, or a set's own, which give
 *     attn_query(work, q, row)            a row's query, to be rounded, for
 *     attn_keys(work, at, rows)           rows at.. of these with the page's keys into w->s
 *     attn_put(work, row, rounded, p[4])  64 probabilities of a row, for
 *     attn_values(work, at, rows, state)  rows at.. of these, times scales and rounded, with the
 *                                         page's values added to the rows' states
 *
 * A block of up to BLOCK_ROWS rows goes through a piece together: each page is read once for all of
 * them (all query heads of the group, and the tokens of a prompt).
 */
#ifndef HONE_KERNEL_GENERIC_ATTENTION_H
#define HONE_KERNEL_GENERIC_ATTENTION_H

#include "kernel/cpu/generic/attn_work.h"
#include "kernel/cpu/generic/math.h"
#include "kernel/cpu/generic/unroll.h"

static const float attn_lanes[64] = {
    0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
    22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
    44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};

enum { SOFTMAX_ROWS = 16 }; /* whose corrections are one vector */

/* What the rows of a tile have in common, and of each: the keys [lo, hi) that it sees */
typedef struct softmax_work {
    size_t rows, v_pad, ld;
    bool rounded;
    float scale, cap;
    const float *k_scales, *v_scales; /* or NULL */
    float lo[SOFTMAX_ROWS], hi[SOFTMAX_ROWS];
    float *s;
    float *states;
} softmax_work;

/* lane < lo or >= hi: other, else x */
V16_INLINE v16 softmax_seen(const softmax_work *k, size_t r, int i, v16 x, v16 other)
{
    v16 lane = v16_load(attn_lanes + 16 * i);
    return v16_select_lt(lane, v16_set1(k->lo[r]), other,
                         v16_select_lt(lane, v16_set1(k->hi[r]), x, other));
}

V16_INLINE bool softmax_all(const softmax_work *k, size_t r)
{
    return k->lo[r] == 0.0f && k->hi[r] == 64.0f;
}

/* Scores 16 i.. of a row, scaled */
V16_INLINE v16 softmax_scaled(const softmax_work *k, size_t r, int i)
{
    v16 x = v16_load(k->s + r * 64 + 16 * (size_t)i);
    if (k->k_scales)
        x = v16_mul(x, v16_load(k->k_scales + 16 * i));
    return v16_mul(x, v16_set1(k->scale));
}

V16_INLINE v16 softmax_score(const softmax_work *k, size_t r, int i, bool all)
{
    v16 x = softmax_scaled(k, r, i);
    return all ? x : softmax_seen(k, r, i, x, v16_set1(-__builtin_inff()));
}

/* A soft-cap once and for all: what follows finds nothing to scale any more. */
static void softmax_cap(softmax_work *k)
{
    for (size_t r = 0; r < k->rows; r++)
        for (int i = 0; i < 4; i++)
            v16_store(k->s + r * 64 + 16 * (size_t)i,
                      hone_v16_softcap(softmax_scaled(k, r, i), v16_set1(k->cap)));
    k->k_scales = NULL;
    k->scale = 1.0f;
}

V16_INLINE float softmax_top(const softmax_work *k, size_t r)
{
    const bool all = softmax_all(k, r);
    v16 top = v16_zero();
    UNROLL for (int i = 0; i < 4; i++)
    {
        v16 x = softmax_score(k, r, i, all);
        top = i ? v16_max(top, x) : x;
    }
    return v16_reduce_max(top);
}

/* Probabilities times the values' scales; their sum before that */
V16_INLINE float softmax_exp(const softmax_work *k, size_t r, float m, v16 x[4])
{
    const bool all = softmax_all(k, r);
    v16 sum = v16_zero();
    UNROLL for (int i = 0; i < 4; i++)
    {
        v16 p = hone_v16_exp_below(v16_sub(softmax_score(k, r, i, all), v16_set1(m)));
        if (!all)
            p = softmax_seen(k, r, i, p, v16_zero());
        sum = i ? v16_add(sum, p) : p;
        x[i] = k->v_scales ? v16_mul(p, v16_load(k->v_scales + 16 * i)) : p;
    }
    return v16_reduce_add(sum);
}

/* Scores of rows at.. of the block to probabilities; m, l and O of the rows' states rescaled. Loop
 * by loop, so that no row waits for its own maximum or sum. */
static void attn_softmax(attn_work *w, const softmax_work *k, size_t at)
{
    float corr[SOFTMAX_ROWS] = {0}, m[SOFTMAX_ROWS], sums[SOFTMAX_ROWS], *state = k->states;
    for (size_t r = 0; r < k->rows; r++, state += k->ld) {
        float top = softmax_top(k, r), old = state[k->v_pad];
        m[r] = old > top ? old : top;
        corr[r] = old - m[r];
        state[k->v_pad] = m[r];
    }
    v16_store(corr, hone_v16_exp(v16_load(corr)));
    for (size_t r = 0; r < k->rows; r++) {
        v16 x[4];
        sums[r] = softmax_exp(k, r, m[r], x);
        attn_put(w, at + r, k->rounded, x);
    }
    state = k->states;
    for (size_t r = 0; r < k->rows; r++, state += k->ld) {
        state[k->v_pad + 1] = __builtin_fmaf(state[k->v_pad + 1], corr[r], sums[r]);
        v16 c = v16_set1(corr[r]);
        for (size_t d = 0; d < k->v_pad; d += 16)
            v16_store(state + d, v16_mul(v16_load(state + d), c));
    }
}

/* Row r has other pages than the one before. */
static bool attn_turns(const hone_attn *t, size_t r)
{
    return t->head_step && r % t->group == 0;
}

/* The keys that the rows of a block see: [begin, end); any and all of them: [most[0], most[1]) and
 * [least[0], least[1]) */
typedef struct attn_seen {
    int64_t begin[BLOCK_ROWS], end[BLOCK_ROWS], most[2], least[2];
} attn_seen;

static bool attn_overlaps(int64_t begin, int64_t end, int64_t tile)
{
    begin = begin > tile ? begin : tile;
    return (end < tile + 64 ? end : tile + 64) > begin;
}

static attn_seen attn_seen_by(const hone_attn *t, size_t r0, size_t rows)
{
    attn_seen s = {.most = {INT64_MAX, 0}, .least = {0, INT64_MAX}};
    for (size_t r = 0; r < rows; r++) {
        hone_attn_visible(t, (r0 + r) / t->group, &s.begin[r], &s.end[r]);
        s.most[0] = s.begin[r] < s.most[0] ? s.begin[r] : s.most[0];
        s.most[1] = s.end[r] > s.most[1] ? s.end[r] : s.most[1];
        s.least[0] = s.begin[r] > s.least[0] ? s.begin[r] : s.least[0];
        s.least[1] = s.end[r] < s.least[1] ? s.end[r] : s.least[1];
    }
    return s;
}

/* Where the run of rows from `first` on ends that see the tile on one page */
static size_t attn_run(const hone_attn *t, const attn_seen *seen, int64_t tile, size_t r0,
                       size_t rows, size_t first)
{
    size_t r = first;
    if (!t->head_step && attn_overlaps(seen->least[0], seen->least[1], tile))
        return rows;
    while (r < rows && attn_overlaps(seen->begin[r], seen->end[r], tile) &&
           (r == first || !attn_turns(t, r0 + r)))
        r++;
    return r;
}

/* Rows at index `at` of the block, all of which see the tile */
static void attn_rows(attn_work *w, const attn_seen *seen, int64_t tile, size_t at, size_t rows,
                      float *states)
{
    const hone_kv *kv = &w->t->kv;
    const hone_kv_form *form = hone_kv_form_of(kv);
    const bool scaled = form->top > 0.0f && !form->grouped;
    const float *k_scales = (const float *)(const void *)(w->page + hone_kv_k_scales(kv)),
                *v_scales = (const float *)(const void *)(w->page + hone_kv_v_scales(kv));
    softmax_work k = {.v_pad = w->v_pad,
                      .ld = w->ld,
                      .rounded = kv->format != HONE_KV_F32 && !form->grouped,
                      .cap = w->t->softcap,
                      .v_scales = scaled ? v_scales : NULL};
    attn_keys(w, at, rows);
    for (size_t r = at; r < at + rows; r += k.rows) {
        k.rows = at + rows - r < SOFTMAX_ROWS ? at + rows - r : SOFTMAX_ROWS;
        k.s = w->s + r * 64;
        k.states = states + r * w->ld;
        k.k_scales = scaled ? k_scales : NULL;
        k.scale = w->t->scale;
        for (size_t i = 0; i < k.rows; i++) {
            int64_t lo = seen->begin[r + i] - tile, hi = seen->end[r + i] - tile;
            k.lo[i] = lo > 0 ? (float)lo : 0.0f;
            k.hi[i] = hi < 64 ? (float)hi : 64.0f;
        }
        if (k.cap != 0.0f)
            softmax_cap(&k);
        attn_softmax(w, &k, r);
    }
    attn_values(w, at, rows, states + at * w->ld);
}

/* The page of rows [first, end), and the one that comes after it: of [row0, row1), which go through
 * the context together, the next head's, or the first one's of the next tile */
static void attn_turn(attn_work *w, int64_t tile, size_t first, size_t end, size_t row0,
                      size_t row1)
{
    const uint8_t *page = hone_attn_page(w->t, (size_t)tile / 64, first);
    int64_t from, to;
    w->expanded = w->expanded && page == w->page;
    w->page = page;
    hone_attn_visible(w->t, (end - 1) / w->t->group, &from, &to);
    if (w->t->head_step && end < row1)
        w->next = hone_attn_page(w->t, (size_t)tile / 64, end);
    else
        w->next = tile + 64 < to ? hone_attn_page(w->t, (size_t)tile / 64 + 1, row0) : NULL;
}

static void attn_block(attn_work *w, size_t r0, size_t rows, size_t piece, float *states)
{
    const int64_t from = (int64_t)(piece * HONE_ATTN_PIECE);
    const attn_seen seen = attn_seen_by(w->t, r0, rows);
    for (size_t r = 0; r < rows; r++) {
        memset(states + r * w->ld, 0, w->ld * sizeof(float));
        states[r * w->ld + w->v_pad] = -__builtin_inff();
        attn_query(w,
                   w->t->q + (r0 + r) / w->t->group * w->t->ldq +
                       (r0 + r) % w->t->group * w->t->kv.k_dim,
                   r);
    }
    for (int64_t tile = from; tile < from + HONE_ATTN_PIECE; tile += 64) {
        if (!attn_overlaps(seen.most[0], seen.most[1], tile))
            continue;
        w->page = NULL;
        for (size_t first = 0, r; first < rows; first = r) {
            r = attn_run(w->t, &seen, tile, r0, rows, first);
            if (r == first) {
                r++;
                continue;
            }
            attn_turn(w, tile, r0 + first, r0 + r, r0, r0 + rows);
            attn_rows(w, &seen, tile, first, r - first, states);
        }
    }
}

static void attn_piece(const hone_attn *t, size_t row0, size_t row1, size_t piece, float *partial,
                       void *scratch)
{
    attn_work w = attn_work_in(t, scratch);
    for (size_t r = row0; r < row1; r += BLOCK_ROWS)
        attn_block(&w, r, row1 - r < BLOCK_ROWS ? row1 - r : BLOCK_ROWS, piece,
                   partial + (r - row0) * w.ld);
}

static void attn_merge(const hone_attn *t, size_t row0, size_t row1, float *into,
                       const float *partial)
{
    size_t ld = hone_attn_partial_floats(&t->kv), v_pad = hone_kv_v_pad(&t->kv);
    for (size_t r = row0; r < row1; r++, into += ld, partial += ld) {
        if (partial[v_pad + 1] == 0.0f) /* it sees no key of this piece */
            continue;
        if (into[v_pad + 1] == 0.0f) {
            memcpy(into, partial, ld * sizeof(float));
            continue;
        }
        float ma = into[v_pad], mb = partial[v_pad], m = ma > mb ? ma : mb;
        float ca = hone_exp1(ma - m), cb = hone_exp1(mb - m);
        for (size_t d = 0; d < v_pad; d += 16) {
            v16 b = v16_mul(v16_load(partial + d), v16_set1(cb));
            v16_store(into + d, v16_fma(v16_load(into + d), v16_set1(ca), b));
        }
        into[v_pad] = m;
        into[v_pad + 1] = __builtin_fmaf(into[v_pad + 1], ca, partial[v_pad + 1] * cb);
    }
}

static void attn_finish(const hone_attn *t, size_t row0, size_t row1, const float *partial)
{
    size_t ld = hone_attn_partial_floats(&t->kv), v_pad = hone_kv_v_pad(&t->kv);
    for (size_t r = row0; r < row1; r++, partial += ld) {
        float *out = t->out + r / t->group * t->ldo + r % t->group * t->kv.v_dim;
        bool none = partial[v_pad + 1] == 0.0f;
        v16 l = v16_set1(partial[v_pad + 1]);
        for (size_t d = 0; d < t->kv.v_dim; d += 16) {
            v16 o = none ? v16_zero() : v16_div(v16_load(partial + d), l);
            v16_store_n(out + d, o, t->kv.v_dim - d);
        }
        hone_attn_put_stats(t, r, partial[v_pad], partial[v_pad + 1]);
    }
}

#endif
