/*
 * square - products of many rows whose sums stay in the tiles: of bfloat16 weights (codes with a
 * scale per column among them, spread.h), and (whole) of int8 activations with a scale per row and
 * weights with a scale per column.
 *
 * 32 x 32 blocks of the result (2 x 2 tiles) over 16 steps of K. The weights of a pair of panels
 * (32 KB) stay in L1 while the activations of 256 rows pass (TILELOADDT1: so that they do not drive
 * them out), and what comes next, weights from memory and activations from L3, is asked for to L2
 * meanwhile, a few lines a step: all at once they would hold up what is read from L2. Finished
 * blocks leave the tiles through L1, and go to y while the tiles do the next; those that are
 * results already and stay in the caches go to y at once.
 */
#ifndef HONE_KERNEL_AMX_SQUARE_H
#define HONE_KERNEL_AMX_SQUARE_H

#include "kernel/cpu/amx/order.h"
#include "kernel/cpu/amx/tile.h"

enum { SQUARE_SPAN = 16 }; /* steps of a part */

/* A finished block on its way to y: rows [row, end) of 32 x panels `panel` and, if pair, the next
 */
typedef struct square_out {
    const tile_call *v;
    const float *sums; /* [2][32][16], float or int32 */
    size_t block;      /* row of y of the first of 32 */
    size_t row, end, panel;
    bool pair, stream;
    bool scaled;       /* a scale per column on each sum, as in all that are whole */
    const float *ones; /* whole, with minimums: sums of the activations' codes of 32 rows */
} square_out;

/* A call: what the parts have in common */
typedef struct square {
    const uint8_t *a; /* tiles [rows/strip][steps][strip][64 bytes] */
    size_t strip, steps;
    size_t step_bytes;   /* of packed weights for each step */
    const float *ones;   /* [rows of the call, from the first strip on], or NULL */
    square_out out;      /* what waits */
    float (*sums)[1024]; /* two blocks */
    size_t turn;
} square;

/* What a column's sum is multiplied by, and what is added for minimums and the bias */
typedef struct square_columns {
    v16 scale, min, bias;
} square_columns;

V16_INLINE square_columns square_columns_of(bool whole, const square_out *o, size_t panel)
{
    const tile_call *v = o->v;
    const hone_packed *w = v->w;
    const uint8_t *at = w->data + panel * w->panel_bytes;
    square_columns c = {v16_zero(), v16_zero(), v16_zero()};
    if (whole || o->scaled)
        c.scale = scales_of(w, at + w->scale_offset, at + w->super_offset, 0);
    if (whole && w->has_min)
        c.min = scales_of(w, at + w->min_offset, at + w->min_super_offset, 0);
    if (v->bias)
        c.bias = v16_load_n(v->bias + panel * 16, w->n - panel * 16);
    return c;
}

V16_INLINE v16 square_result(bool whole, const square_out *o, const square_columns *c,
                             const float *sums, size_t row)
{
    const hone_act *a = o->v->a;
    v16 x = v16_load(sums);
    if (!whole && o->scaled)
        x = v16_fma(c->scale, x, v16_zero());
    if (whole) {
        x = v16_fma(c->scale, _mm512_cvtepi32_ps(_mm512_castps_si512(x)), v16_zero());
        if (o->ones)
            x = v16_fma(c->min, v16_set1(o->ones[row - o->block]), x);
        x = v16_mul(x, v16_set1(a->scales8[row * (a->k_pad / 32)]));
    }
    return o->v->bias ? v16_add(x, c->bias) : x;
}

/* At most so many of the rows that wait go to y. */
V16_INLINE void square_put(bool whole, square_out *o, const square_columns c[2], size_t rows)
{
    const tile_call *v = o->v;
    for (; rows && o->row < o->end; rows--, o->row++) {
        const float *sums = o->sums + (o->row - o->block) * 16;
        float *y = v->y + o->row * v->ldy + o->panel * 16;
        size_t n = v->w->n - o->panel * 16;
        put_row(o->stream, y, n, square_result(whole, o, &c[0], sums, o->row));
        if (o->pair)
            put_row(o->stream, y + 16, n - 16, square_result(whole, o, &c[1], sums + 512, o->row));
    }
}

V16_INLINE void square_flush(bool whole, square_out *o)
{
    const square_columns c[2] = {square_columns_of(whole, o, o->panel),
                                 square_columns_of(whole, o, o->panel + o->pair)};
    square_put(whole, o, c, 32);
    _mm_sfence();
}

/* At most 32 rows x two panels over some steps */
typedef struct square_job {
    const uint8_t *a;
    size_t next;         /* bytes from step to step of a */
    const uint8_t *b[2]; /* [steps][1024] */
    size_t steps;
    const float *from[2]; /* sums up to here [32][16] of each panel, or NULL */
    float *to[2];         /* with these, rows ld_to apart */
    size_t ld_to;
    const uint8_t *weights; /* asked for meanwhile: so many bytes of each panel with each step */
    size_t weights_bytes, weights_next; /* next: from panel to panel */
    const uint8_t *rows;                /* likewise of activations */
    size_t rows_bytes;
} square_job;

V16_INLINE void square_ask(const square_job *j, size_t step)
{
    const uint8_t *w = j->weights + step * j->weights_bytes, *r = j->rows + step * j->rows_bytes;
    for (size_t i = 0; i < j->weights_bytes; i += 64) {
        __builtin_prefetch(w + i, 0, 2);
        __builtin_prefetch(w + j->weights_next + i, 0, 2);
    }
    for (size_t i = 0; i < j->rows_bytes; i += 64)
        __builtin_prefetch(r + i, 0, 2);
}

#define SQUARE_DP(whole, c, a, b)                                                                  \
    do {                                                                                           \
        if (whole)                                                                                 \
            tile_dpbssd(c, a, b);                                                                  \
        else                                                                                       \
            tile_dpbf16(c, a, b);                                                                  \
    } while (0)

/* high: more than 16 rows. out: what waits is written meanwhile. */
V16_INLINE void square_block(bool whole, bool high, const square_job *j, square_out *out)
{
    const uint8_t *a = j->a, *b0 = j->b[0], *b1 = j->b[1];
    const square_columns columns[2] = {square_columns_of(whole, out, out->panel),
                                       square_columns_of(whole, out, out->panel + out->pair)};
    tile_zero(0);
    tile_zero(1);
    tile_zero(2);
    tile_zero(3);
    if (j->from[0]) {
        tile_load(0, j->from[0], 64);
        tile_load(1, j->from[1], 64);
        if (high) {
            tile_load(2, j->from[0] + 256, 64);
            tile_load(3, j->from[1] + 256, 64);
        }
    }
    for (size_t i = 0; i < j->steps; i++, a += j->next, b0 += 1024, b1 += 1024) {
        square_ask(j, i);
        tile_load(6, b0, 64);
        tile_load_past(4, a, 64);
        tile_load(7, b1, 64);
        SQUARE_DP(whole, 0, 4, 6);
        if (high)
            tile_load_past(5, a + 1024, 64);
        SQUARE_DP(whole, 1, 4, 7);
        if (high) {
            SQUARE_DP(whole, 2, 5, 6);
            SQUARE_DP(whole, 3, 5, 7);
        }
        square_put(whole, out, columns, 2);
    }
    square_put(whole, out, columns, 32);
    const size_t apart = j->ld_to * sizeof(float);
    tile_store(0, j->to[0], apart);
    tile_store(1, j->to[1], apart);
    if (high) {
        tile_store(2, j->to[0] + 16 * j->ld_to, apart);
        tile_store(3, j->to[1] + 16 * j->ld_to, apart);
    }
}

/* Whether 32 x 32 results from `row` on, of panels p and p + 1, are what leaves the tiles and stay
 * in the caches: then they go to y at once. */
static inline bool square_direct(const square_out *o, size_t row, size_t p, size_t q)
{
    const tile_call *v = o->v;
    return !o->stream && !o->scaled && !v->bias && q > p && (q + 1) * 16 <= v->w->n &&
           row >= v->row0 && row + 32 <= v->row1;
}

/* Panels p and q (q may be p again, its results unread), whose weights lie at b. */
V16_INLINE void square_pair(bool whole, const tile_call *v, square *s, const part *j, size_t p,
                            size_t q, const uint8_t *b0, const uint8_t *b1)
{
    const size_t strips = (j->rows + s->strip - 1) / s->strip,
                 pairs = (j->panel1 - j->panel0 + 1) / 2;
    const size_t share = (s->step_bytes / strips + 63) / 64 * 64, row_bytes = s->strip * 64;
    const bool last = j->to == j->steps;
    size_t step;
    const uint8_t *soon = weights_after(v, j, q + 1, &step);
    square_job x = {.next = row_bytes, .b = {b0, b1}, .steps = j->to - j->from};
    x.weights = soon + step * s->step_bytes;
    x.weights_next = v->w->panel_bytes;
    for (size_t i = 0; i < strips; i++, x.weights += x.steps * share) {
        const size_t row = j->row + i * s->strip, end = row + 32 < v->row1 ? row + 32 : v->row1;
        float *c = j->c + (p - j->panel0) * j->ldc + i * s->strip * 16;
        x.a = s->a + (row / s->strip * s->steps + j->from) * row_bytes;
        x.weights_bytes = i * share < s->step_bytes ? share : 0;
        /* of the part that follows the same strip, a share with each pair */
        x.rows_bytes = pairs >= 4 ? (row_bytes / pairs + 63) / 64 * 64 : 0;
        x.rows = s->a + ((j->next_row / s->strip + i) * s->steps + j->next_from) * row_bytes +
                 (p - j->panel0) / 2 * x.steps * x.rows_bytes;
        const bool direct = last && !whole && square_direct(&s->out, row, p, q);
        x.to[0] = c;
        x.to[1] = c + j->ldc;
        x.ld_to = 16;
        x.from[0] = j->from ? x.to[0] : NULL;
        x.from[1] = x.to[1];
        if (direct) {
            x.to[0] = v->y + row * v->ldy + p * 16;
            x.to[1] = x.to[0] + 16;
            x.ld_to = v->ldy;
        } else if (last) {
            x.to[0] = s->sums[s->turn];
            x.to[1] = x.to[0] + 512;
        }
        if (j->rows - i * s->strip > 16)
            square_block(whole, true, &x, &s->out);
        else
            square_block(whole, false, &x, &s->out);
        if (!last || direct)
            continue;
        s->out.sums = s->sums[s->turn];
        s->out.block = row;
        s->out.row = row < v->row0 ? v->row0 : row;
        s->out.end = end;
        s->out.panel = p;
        s->out.pair = q > p;
        s->out.ones = s->ones ? s->ones + (row - v->row0 / s->strip * s->strip) : NULL;
        s->turn ^= 1;
    }
}

#endif
