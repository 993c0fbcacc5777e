/*
 * few - products of some 4 to 16 rows with TDPBF16PS, which takes as long for one row as for
 * sixteen: fewer go by FMA chains, and so do bit planes. Included by amx.c alone.
 *
 * Four panels side by side, whose four accumulators hide the latency of the products.
 * bf16    the panels are tiles as they lie; C stays in the tiles for the whole of K.
 * scaled  each block of 32 becomes four tiles in L1, one block ahead of the products; D comes out
 * of the tiles at the end of each group and is added to C, in L1, a group later.
 */
#ifndef HONE_KERNEL_AMX_FEW_H
#define HONE_KERNEL_AMX_FEW_H

#include "kernel/cpu/avx512/vec.h"

#include "kernel/cpu/amx/expand.h"
#include "kernel/cpu/amx/scaled.h"
#include "kernel/cpu/amx/tile.h"
#include "kernel/cpu/generic/unroll.h"
#include "kernel/layout.h"

enum { TILE_FEW = 16, FEW_P = 4, FEW_AHEAD = 2048 }; /* bytes of a panel asked for ahead */

/* Rows [0, rows) of the 16 at `a` x four panels (the last ones again where there are fewer) */
typedef struct few_job {
    const tile_call *v;
    const uint16_t *a; /* the rows' first tile, the others `next` elements apart */
    size_t next, row;  /* row: of the first */
    size_t rows;
    const uint8_t *panel[FEW_P];
} few_job;

/* Accumulators 0..3 and activations 4 of some rows, weights 5..7 */
static void few_shape(size_t rows, size_t k)
{
    tile_config c;
    tile_fill_config(&c, (int)rows, (int)k);
    c.row_bytes[5] = 64;
    c.rows[5] = (uint8_t)(k / 4);
    tile_set_config(&c);
}

/* The four panels' tiles times that of the activations */
V16_INLINE void few_products(const uint16_t *a, const uint8_t *b0, const uint8_t *b1,
                             const uint8_t *b2, const uint8_t *b3)
{
    tile_load(4, a, 64);
    tile_load(5, b0, 64);
    tile_load(6, b1, 64);
    tile_dpbf16(0, 4, 5);
    tile_load(7, b2, 64);
    tile_dpbf16(1, 4, 6);
    tile_load(5, b3, 64);
    tile_dpbf16(2, 4, 7);
    tile_dpbf16(3, 4, 5);
}

static void few_zero(void)
{
    tile_zero(0);
    tile_zero(1);
    tile_zero(2);
    tile_zero(3);
}

static void few_store(float d[FEW_P][TILE_FEW][16])
{
    tile_store(0, d[0], 64);
    tile_store(1, d[1], 64);
    tile_store(2, d[2], 64);
    tile_store(3, d[3], 64);
}

/* Asks for what lies FEW_AHEAD bytes after `at` of the codes of each panel, or, past their end, in
 * the panels that come next. */
V16_INLINE void few_ask(const few_job *j, size_t at, size_t bytes, size_t end)
{
    size_t to = at + FEW_AHEAD;
    if (to >= end)
        to = to - end + FEW_P * j->v->w->panel_bytes;
    UNROLL for (int p = 0; p < FEW_P; p++) for (size_t i = 0; i < bytes; i += 64)
        __builtin_prefetch(j->panel[p] + to + i, 0, 3);
}

static void few_bf16(const few_job *j, float c[FEW_P][TILE_FEW][16])
{
    const size_t blocks = j->v->w->k_pad / 32;
    const uint16_t *a = j->a;
    few_zero();
    for (size_t b = 0; b < blocks; b++, a += j->next) {
        few_ask(j, b * 1024, 1024, blocks * 1024);
        few_products(a, j->panel[0] + b * 1024, j->panel[1] + b * 1024, j->panel[2] + b * 1024,
                     j->panel[3] + b * 1024);
    }
    few_store(c);
}

/* Block b of the four panels, codes of 8 or 4 bits, to their tiles at `to` */
V16_INLINE void few_expand(bool bytes, const few_job *j, __m512i words, size_t b, uint8_t *to)
{
    const size_t size = bytes ? 512 : 256;
    for (int p = 0; p < FEW_P; p++, to += 1024) {
        if (bytes)
            expand_i8(j->panel[p] + b * size, 1, to);
        else
            expand_words_u4(j->panel[p] + b * size, 1, words, to);
    }
    few_ask(j, b * size, size, j->v->w->k_pad / 32 * size);
}

/* C = fma(scale, D, C) of group g, and the minimum's */
static void few_scale(const few_job *j, size_t g, size_t size, float d[FEW_P][TILE_FEW][16],
                      float c[FEW_P][TILE_FEW][16])
{
    const hone_packed *w = j->v->w;
    const size_t blocks = w->k_pad / size, from = g * (w->group / size),
                 left = blocks - from < w->group / size ? blocks - from : w->group / size;
    const float *sums = size == 16 ? j->v->a->sums16 : j->v->a->sums;
    float ones[TILE_FEW];
    for (size_t r = 0; w->has_min && r < j->rows; r++) {
        ones[r] = 0.0f;
        for (size_t b = from; b < from + left; b++)
            ones[r] += sums[(j->row + r) * blocks + b];
    }
    for (size_t p = 0; p < FEW_P; p++) {
        const uint8_t *at = j->panel[p];
        v16 s = scales_of(w, at + w->scale_offset, at + w->super_offset, g), m = v16_zero();
        if (w->has_min)
            m = scales_of(w, at + w->min_offset, at + w->min_super_offset, g);
        for (size_t r = 0; r < j->rows; r++) {
            v16 x = v16_fma(s, v16_load(d[p][r]), v16_load(c[p][r]));
            v16_store(c[p][r], w->has_min ? v16_fma(m, v16_set1(ones[r]), x) : x);
        }
    }
}

/* half: groups of 16 */
V16_INLINE void few_scaled(bool bytes, bool half, const few_job *j, float c[FEW_P][TILE_FEW][16])
{
    uint8_t tiles[2][FEW_P * 1024] __attribute__((aligned(64)));
    float d[2][FEW_P][TILE_FEW][16] __attribute__((aligned(64)));
    const hone_packed *w = j->v->w;
    const size_t size = half ? 16 : 32, group = w->group / size, blocks = w->k_pad / 32;
    const __m512i words = words_u4(w->table);
    const uint16_t *a = j->a;
    size_t g = 0, in = 0; /* groups that are through; blocks of size in the one that is not */
    few_expand(bytes, j, words, 0, tiles[0]);
    for (size_t b = 0; b < blocks; b++, a += j->next) {
        if (b + 1 < blocks)
            few_expand(bytes, j, words, b + 1, tiles[(b + 1) % 2]);
        for (size_t h = 0; h < 32 / size; h++) {
            const uint8_t *t = tiles[b % 2] + h * 512;
            if (in == 0)
                few_zero();
            few_products(a + h * 16, t, t + 1024, t + 2048, t + 3072);
            if (++in == group || (b + 1 == blocks && h + 1 == 32 / size)) {
                few_store(d[g % 2]);
                if (g > 0)
                    few_scale(j, g - 1, size, d[(g - 1) % 2], c);
                g++, in = 0;
            }
        }
    }
    few_scale(j, g - 1, size, d[(g - 1) % 2], c);
}

#define FEW_SCALED(name, bytes)                                                                    \
    static void name(const few_job *j, float c[FEW_P][TILE_FEW][16])                               \
    {                                                                                              \
        if (j->v->w->group == 16)                                                                  \
            few_scaled(bytes, true, j, c);                                                         \
        else                                                                                       \
            few_scaled(bytes, false, j, c);                                                        \
    }
FEW_SCALED(few_i8, true)
FEW_SCALED(few_u4, false)

typedef void few_fn(const few_job *j, float c[FEW_P][TILE_FEW][16]);

/* The layouts that tiles are for, and from how many rows on */
static const struct {
    few_fn *fn;
    size_t least;
} few_of[HONE_LAYOUT_COUNT] = {[HONE_LAYOUT_BF16] = {few_bf16, 5},
                               [HONE_LAYOUT_I8] = {few_i8, 5},
                               [HONE_LAYOUT_U4] = {few_u4, 4}};

/* Rows that lie in one strip of 16; k: bytes of a row of activations in a tile */
static void few_tiles(const tile_call *v, few_fn *fn, size_t k)
{
    const hone_packed *w = v->w;
    float c[FEW_P][TILE_FEW][16] __attribute__((aligned(64)));
    few_job j = {.v = v, .next = v->a->tile_rows * 32, .row = v->row0 / TILE_FEW * TILE_FEW};
    j.rows = v->row1 - j.row;
    j.a = act_tile(v->a, j.row, 0);
    few_shape(j.rows, k);
    for (size_t p = v->panel0; p < v->panel1; p += FEW_P) {
        for (size_t i = 0; i < FEW_P; i++) {
            size_t last = v->panel1 - 1;
            j.panel[i] = w->data + (p + i < last ? p + i : last) * w->panel_bytes;
            memset(c[i], 0, j.rows * sizeof c[i][0]);
        }
        fn(&j, c);
        for (size_t i = 0; i < FEW_P && p + i < v->panel1; i++) {
            size_t column = (p + i) * 16, n = w->n - column;
            v16 bias = v->bias ? v16_load_n(v->bias + column, n) : v16_zero();
            for (size_t r = v->row0 - j.row; r < j.rows; r++) {
                v16 x = v16_load(c[i][r]);
                v16_store_n(v->y + (j.row + r) * v->ldy + column, v->bias ? v16_add(x, bias) : x,
                            n);
            }
        }
    }
    tile_release();
}

#endif
