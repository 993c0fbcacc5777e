/*
 * attention - tiles of 64 keys with online softmax over v16 (docs/numerics.md, "Attention").
 * Included after product.h: scores and values are products of its template, with pages as packed
 * weights.
 *
 * A block of up to BLOCK_ROWS rows goes through a piece together: each page is read once for all of
 * them (all query heads of the group, and the tokens of a prompt).
 */
#ifndef HONE_KERNEL_GENERIC_ATTENTION_H
#define HONE_KERNEL_GENERIC_ATTENTION_H

#include "kernel/cpu/generic/math.h"
#include "kernel/cpu/generic/product.h"
#include "kernel/layout.h"

enum { BLOCK_ROWS = 64 };

typedef struct attn_work {
    const hone_attn *t;
    size_t k_pad, v_pad, ld; /* ld: floats of a row's state: O[v_pad], m, l */
    float *q;                /* [BLOCK_ROWS][k_pad] */
    float *s;                /* [BLOCK_ROWS][64]: scores, then probabilities */
    float *keys, *values;    /* the tile expanded to float */
    const uint8_t *page;
    bool expanded;
} attn_work;

static const float attn_lanes[64] = {
    0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
    22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
    44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};

static int attn_layout(hone_kv_format f)
{
    return f == HONE_KV_F32 ? CORE_F32 : f == HONE_KV_BF16 ? CORE_BF16 : CORE_I8;
}

/* c[rows][16 * panels] (+)= a[rows][8 * units] x the panels at `codes` (or, expanded, at `floats`)
 */
static void attn_product(const attn_work *w, size_t rows, const float *a, size_t lda,
                         const uint8_t *codes, const float *floats, size_t panels, size_t units,
                         float *c, size_t ldc, bool more)
{
    static const float no_table[16];
    bool few = rows <= FEW_ROWS;
    int layout = few ? attn_layout(w->t->kv.format) : CORE_F32;
    size_t step = few ? few_panels[rows - 1] : MANY_PANELS;
    size_t panel_bytes = units * core_unit_bytes(layout);
    const uint8_t *from =
        layout == CORE_F32 && w->t->kv.format != HONE_KV_F32 ? (const uint8_t *)floats : codes;
    core_job j = {
        .a = a, .lda = lda, .blocks = units / 4, .ldc = ldc, .more = more, .table = no_table};
    if (few && layout != CORE_F32)
        j.ahead = 1024 / (4 * core_unit_bytes(layout)), j.next = step * panel_bytes;
    for (size_t p = 0; p < panels; p += step) {
        for (size_t i = 0; i < step; i++) {
            size_t real = p + i < panels ? p + i : panels - 1;
            j.b[i] = from + real * panel_bytes;
            j.c[i] = c + real * 16;
            j.columns[i] = p + i < panels ? 16 : 0;
        }
        if (few)
            few_fns[layout][rows - 1](&j);
        else
            rows_past(&j, rows);
    }
}

/* Scores to probabilities for one row of which keys [lo, hi) are visible; its m, l and O rescaled.
 */
static void attn_softmax(const attn_work *w, size_t lo, size_t hi, float *s, float *state)
{
    const hone_attn *t = w->t;
    const float *scales = (const float *)(const void *)(w->page + 64 * (w->k_pad + w->v_pad));
    const v16 low = v16_set1(-__builtin_inff()), from = v16_set1((float)lo),
              to = v16_set1((float)hi), scale = v16_set1(t->scale);
    bool i8 = t->kv.format == HONE_KV_I8, all = lo == 0 && hi == 64;
    v16 x[4], top = low, sum = v16_zero();
    UNROLL for (int i = 0; i < 4; i++)
    {
        x[i] = v16_load(s + 16 * i);
        if (i8)
            x[i] = v16_mul(x[i], v16_load(scales + 16 * i));
        x[i] = v16_mul(x[i], scale);
        if (t->softcap != 0.0f)
            x[i] = hone_v16_softcap(x[i], v16_set1(t->softcap));
        if (!all) {
            v16 lane = v16_load(attn_lanes + 16 * i);
            x[i] = v16_select_lt(lane, from, low, v16_select_lt(lane, to, x[i], low));
        }
        top = i ? v16_max(top, x[i]) : x[i];
    }
    float m = v16_reduce_max(top);
    m = state[w->v_pad] > m ? state[w->v_pad] : m;
    float corr = hone_exp1(state[w->v_pad] - m);
    UNROLL for (int i = 0; i < 4; i++)
    {
        v16 p = hone_v16_exp(v16_sub(x[i], v16_set1(m)));
        if (!all) {
            v16 lane = v16_load(attn_lanes + 16 * i), none = v16_zero();
            p = v16_select_lt(lane, from, none, v16_select_lt(lane, to, p, none));
        }
        sum = i ? v16_add(sum, p) : p;
        if (i8)
            p = v16_mul(p, v16_load(scales + 64 + 16 * i));
        v16_store(s + 16 * i, t->kv.format == HONE_KV_F32 ? p : v16_round_bf16(p));
    }
    state[w->v_pad] = m;
    state[w->v_pad + 1] = __builtin_fmaf(state[w->v_pad + 1], corr, v16_reduce_add(sum));
    v16 c = v16_set1(corr);
    for (size_t d = 0; d < w->v_pad; d += 16)
        v16_store(state + d, v16_mul(v16_load(state + d), c));
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
    size_t element = hone_kv_element_bytes(&w->t->kv), lo, hi;
    const uint8_t *values = w->page + 64 * w->k_pad * element;
    float *s = w->s + at * 64;
    if (rows > FEW_ROWS && !w->expanded && w->t->kv.format != HONE_KV_F32) {
        static const float no_table[16];
        int layout = attn_layout(w->t->kv.format);
        /* panels follow each other, so that all of them are one long panel here */
        expand(layout, w->page, 4 * w->k_pad / 8, no_table, 0.0f, w->keys);
        expand(layout, values, w->v_pad / 16 * 8, no_table, 0.0f, w->values);
        w->expanded = true;
    }
    attn_product(w, rows, w->q + at * w->k_pad, w->k_pad, w->page, w->keys, 4, w->k_pad / 8, s, 64,
                 false);
    for (size_t r = 0; r < rows; r++) {
        attn_sees(w->t, r0 + r, tile, &lo, &hi);
        attn_softmax(w, lo, hi, s + r * 64, states + (at + r) * w->ld);
    }
    attn_product(w, rows, s, 64, values, w->values, w->v_pad / 16, 8, states + at * w->ld, w->ld,
                 true);
}

static void attn_block(attn_work *w, size_t r0, size_t rows, size_t piece, float *states)
{
    int64_t from = (int64_t)(piece * HONE_ATTN_PIECE);
    for (size_t r = 0; r < rows; r++) {
        memset(states + r * w->ld, 0, w->ld * sizeof(float));
        states[r * w->ld + w->v_pad] = -__builtin_inff();
        hone_attn_load_q(w->t, r0 + r, w->q + r * w->k_pad);
    }
    for (int64_t tile = from; tile < from + HONE_ATTN_PIECE; tile += 64) {
        size_t lo, hi;
        w->expanded = false;
        for (size_t r = 0; r < rows; r++) {
            size_t first = r; /* a run of rows that see the tile */
            while (r < rows && attn_sees(w->t, r0 + r, tile, &lo, &hi))
                r++;
            if (r == first)
                continue;
            w->page = w->t->pages[tile / 64];
            attn_rows(w, tile, r0 + first, first, r - first, states);
        }
    }
}

static void attn_piece(const hone_attn *t, size_t row0, size_t row1, size_t piece, float *partial,
                       void *scratch)
{
    attn_work w = {.t = t, .k_pad = hone_kv_k_pad(&t->kv), .v_pad = hone_kv_v_pad(&t->kv)};
    w.ld = hone_attn_partial_floats(&t->kv);
    w.q = scratch;
    w.s = w.q + BLOCK_ROWS * w.k_pad;
    w.keys = w.s + BLOCK_ROWS * 64;
    w.values = w.keys + 64 * w.k_pad;
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
