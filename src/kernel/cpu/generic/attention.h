/*
 * attention - tiles of 64 keys with online softmax over v16 (docs/numerics.md, "Attention").
 * Included after what multiplies: attn_product.h, or a set's own, which give
 *     attn_begin(work, rows)              the queries of `rows` rows are in w->q
 *     attn_keys(work, at, rows)           rows at.. of w->q with the page's keys into w->s
 *     attn_values(work, at, rows, state)  rows at.. of w->s, times scales and rounded, with the
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

/* Rows whose softmax goes on together, step by step, so that none waits for its own sums */
enum { SOFTMAX_ROWS = 4 };

/* What the rows of a tile have in common, and of each: the keys [lo, hi) that it sees */
typedef struct softmax_work {
    const hone_attn *t;
    size_t rows, v_pad, ld;
    bool scaled, rounded;
    const float *k_scales, *v_scales;
    float lo[SOFTMAX_ROWS], hi[SOFTMAX_ROWS];
    float *s, *states;
} softmax_work;

/* lane < lo or >= hi: other, else x */
V16_INLINE v16 softmax_seen(const softmax_work *k, size_t r, int i, v16 x, v16 other)
{
    v16 lane = v16_load(attn_lanes + 16 * i);
    return v16_select_lt(lane, v16_set1(k->lo[r]), other,
                         v16_select_lt(lane, v16_set1(k->hi[r]), x, other));
}

/* Scores scaled, in place, and their maximum */
V16_INLINE float softmax_scores(const softmax_work *k, size_t r)
{
    const v16 low = v16_set1(-__builtin_inff()), scale = v16_set1(k->t->scale);
    float *s = k->s + r * 64;
    bool all = k->lo[r] == 0.0f && k->hi[r] == 64.0f;
    v16 top = low;
    UNROLL for (int i = 0; i < 4; i++)
    {
        v16 x = v16_load(s + 16 * i);
        if (k->scaled)
            x = v16_mul(x, v16_load(k->k_scales + 16 * i));
        x = v16_mul(x, scale);
        if (k->t->softcap != 0.0f)
            x = hone_v16_softcap(x, v16_set1(k->t->softcap));
        if (!all)
            x = softmax_seen(k, r, i, x, low);
        v16_store(s + 16 * i, x);
        top = i ? v16_max(top, x) : x;
    }
    return v16_reduce_max(top);
}

/* Scores to probabilities, rounded for the product; their sum before that */
V16_INLINE float softmax_exp(const softmax_work *k, size_t r, float m)
{
    float *s = k->s + r * 64;
    bool all = k->lo[r] == 0.0f && k->hi[r] == 64.0f;
    v16 sum = v16_zero();
    UNROLL for (int i = 0; i < 4; i++)
    {
        v16 p = hone_v16_exp(v16_sub(v16_load(s + 16 * i), v16_set1(m)));
        if (!all)
            p = softmax_seen(k, r, i, p, v16_zero());
        sum = i ? v16_add(sum, p) : p;
        if (k->scaled)
            p = v16_mul(p, v16_load(k->v_scales + 16 * i));
        v16_store(s + 16 * i, k->rounded ? v16_round_bf16(p) : p);
    }
    return v16_reduce_add(sum);
}

/* Scores to probabilities; m, l and O of the rows' states rescaled */
static void attn_softmax(const softmax_work *k)
{
    float m[SOFTMAX_ROWS], corr[16] = {0}, *state = k->states;
    for (size_t r = 0; r < k->rows; r++) {
        float top = softmax_scores(k, r), old = state[r * k->ld + k->v_pad];
        m[r] = old > top ? old : top;
        corr[r] = old - m[r];
    }
    v16_store(corr, hone_v16_exp(v16_load(corr)));
    for (size_t r = 0; r < k->rows; r++, state += k->ld) {
        float sum = softmax_exp(k, r, m[r]);
        state[k->v_pad] = m[r];
        state[k->v_pad + 1] = __builtin_fmaf(state[k->v_pad + 1], corr[r], sum);
        v16 c = v16_set1(corr[r]);
        for (size_t d = 0; d < k->v_pad; d += 16)
            v16_store(state + d, v16_mul(v16_load(state + d), c));
    }
}

/* The keys of the tile at position `tile` that row r sees: [*lo, *hi), empty if none */
static bool attn_sees(const hone_attn *t, size_t r, int64_t tile, size_t *lo, size_t *hi)
{
    int64_t begin, end;
    hone_attn_visible(t, r / t->group, &begin, &end);
    begin = begin > tile ? begin - tile : 0;
    end = end - tile < 64 ? end - tile : 64;
    *lo = (size_t)begin;
    *hi = end > begin ? (size_t)end : *lo;
    return end > begin;
}

/* Rows [r0, r0 + rows) of the task, at index `at` of the block, all of which see the tile. */
static void attn_rows(attn_work *w, int64_t tile, size_t r0, size_t at, size_t rows, float *states)
{
    const hone_kv *kv = &w->t->kv;
    const hone_kv_form *form = hone_kv_form_of(kv);
    softmax_work k = {.t = w->t,
                      .v_pad = w->v_pad,
                      .ld = w->ld,
                      .scaled = form->top > 0.0f && !form->grouped,
                      .rounded = kv->format != HONE_KV_F32 && !form->grouped,
                      .k_scales = (const float *)(const void *)(w->page + hone_kv_k_scales(kv)),
                      .v_scales = (const float *)(const void *)(w->page + hone_kv_v_scales(kv))};
    attn_keys(w, at, rows);
    for (size_t r = 0; r < rows; r += k.rows) {
        k.rows = rows - r < SOFTMAX_ROWS ? rows - r : SOFTMAX_ROWS;
        k.s = w->s + (at + r) * 64;
        k.states = states + (at + r) * w->ld;
        for (size_t i = 0; i < k.rows; i++) {
            size_t lo, hi;
            attn_sees(w->t, r0 + r + i, tile, &lo, &hi);
            k.lo[i] = (float)lo, k.hi[i] = (float)hi;
        }
        attn_softmax(&k);
    }
    attn_values(w, at, rows, states + at * w->ld);
}

/* hone_attn_load_q, sixteen at a time */
static void attn_load_q(const attn_work *w, size_t r, float *to)
{
    const hone_attn *t = w->t;
    const float *q = t->q + r / t->group * t->ldq + r % t->group * t->kv.k_dim;
    for (size_t d = 0; d < w->k_pad; d += 16) {
        size_t n = d < t->kv.k_dim ? t->kv.k_dim - d : 0;
        v16 x = v16_load_n(q + (n ? d : 0), n);
        v16_store(to + d, t->kv.format == HONE_KV_F32 ? x : v16_round_bf16(x));
    }
}

/* Row r has other pages than the one before. */
static bool attn_turns(const hone_attn *t, size_t r)
{
    return t->head_step && r % t->group == 0;
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
    int64_t from = (int64_t)(piece * HONE_ATTN_PIECE);
    for (size_t r = 0; r < rows; r++) {
        memset(states + r * w->ld, 0, w->ld * sizeof(float));
        states[r * w->ld + w->v_pad] = -__builtin_inff();
        attn_load_q(w, r0 + r, w->q + r * w->k_pad);
    }
    attn_begin(w, rows);
    for (int64_t tile = from; tile < from + HONE_ATTN_PIECE; tile += 64) {
        size_t lo, hi;
        w->page = NULL;
        for (size_t r = 0; r < rows;) {
            size_t first = r; /* a run of rows that see the tile on one page */
            while (r < rows && attn_sees(w->t, r0 + r, tile, &lo, &hi) &&
                   (r == first || !attn_turns(w->t, r0 + r)))
                r++;
            if (r == first) {
                r++;
                continue;
            }
            attn_turn(w, tile, r0 + first, r0 + r, r0, r0 + rows);
            attn_rows(w, tile, r0 + first, first, r - first, states);
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
    }
}

#endif
