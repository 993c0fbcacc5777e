/*
 * spread - products of codes that become bfloat16 tiles in L1 and are multiplied as such, so that
 * sums stay in the tiles for all of K: rounded under their scales (docs/numerics.md, "Techniques"),
 * or, with one scale per column, as they are. Included by amx.c alone.
 *
 * few   up to 16 rows, rounded: in the order of few.h, one block ahead of the products
 * many  in the order of square.h, a pair of panels and 16 blocks at a time
 */
#ifndef HONE_KERNEL_AMX_SPREAD_H
#define HONE_KERNEL_AMX_SPREAD_H

#include "kernel/cpu/amx/expand.h"
#include "kernel/cpu/amx/few.h"
#include "kernel/cpu/amx/square.h"

/* A row of a tile: even and odd k of 16 columns, fma(scale, code, min) of each, rounded */
V16_INLINE __m512i round_row(v16 even, v16 odd, v16 s, v16 m)
{
    const __m512i pairs =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    even = v16_fma(s, even, m);
    odd = v16_fma(s, odd, m);
    return _mm512_permutexvar_epi16(pairs, (__m512i)_mm512_cvtne2ps_pbh(odd, even));
}

/* The same of a row of a tile that holds exact codes */
V16_INLINE __m512i round_words(__m512i words, v16 s, v16 m)
{
    const v16 even = _mm512_castsi512_ps(_mm512_slli_epi32(words, 16)),
              odd = _mm512_castsi512_ps(_mm512_and_si512(words, _mm512_set1_epi32(-65536)));
    return round_row(even, odd, s, m);
}

/* Row i of the tile of a block: of 8 and 4 bits straight from the codes */
V16_INLINE __m512i round_one(hone_layout layout, const uint8_t *codes, size_t i, __m512i table,
                             v16 s, v16 m)
{
    if (layout == HONE_LAYOUT_I8)
        return round_row(v16_load_i8(codes + i * 32), v16_load_i8(codes + i * 32 + 16), s, m);
    if (layout == HONE_LAYOUT_U4) {
        __m512i x = _mm512_loadu_si512((const void *)(codes + i / 4 * 64));
        x = _mm512_permutexvar_epi16(_mm512_srli_epi16(x, (unsigned)(i % 4 * 4)), table);
        return round_words(x, s, m);
    }
    return round_words(_mm512_loadu_si512((const void *)(codes + i * 64)), s, m);
}

V16_INLINE void round_blocks(hone_layout layout, const hone_packed *w, const uint8_t *panel,
                             size_t from, size_t blocks, __m512i table, uint8_t *to,
                             const uint8_t *soon)
{
    const uint8_t *scales = panel + w->scale_offset, *supers = panel + w->super_offset,
                  *mins = panel + w->min_offset, *min_supers = panel + w->min_super_offset;
    const bool own = layout == HONE_LAYOUT_I8 || layout == HONE_LAYOUT_U4;
    const size_t bytes = own ? expand_bytes(layout) : 1024,
                 ask = soon ? expand_bytes(w->layout) : 0;
    const uint8_t *codes = own ? panel + from * bytes : to;
    if (!own)
        expand_codes(w, panel, from, blocks, to);
    for (size_t b = from; b < from + blocks; b++, codes += bytes) {
        for (size_t i = 0; i < ask; i += 64)
            __builtin_prefetch(soon + (b - from) * ask + i, 0, 2);
        for (size_t half = 0; half < 2; half++) {
            const size_t g = (b * 32 + half * 16) / w->group;
            const v16 s = scales_of(w, scales, supers, g),
                      m = w->has_min ? scales_of(w, mins, min_supers, g) : v16_zero();
            UNROLL for (size_t i = 0; i < 8; i++, to += 64) _mm512_storeu_si512(
                (void *)to, round_one(layout, codes, half * 8 + i, table, s, m));
        }
    }
}

#define ROUND_FN(name, layout)                                                                     \
    static void name(const hone_packed *w, const uint8_t *panel, size_t from, size_t blocks,       \
                     __m512i table, uint8_t *to, const uint8_t *soon)                              \
    {                                                                                              \
        round_blocks(layout, w, panel, from, blocks, table, to, soon);                             \
    }
ROUND_FN(round_i8, HONE_LAYOUT_I8)
ROUND_FN(round_u4, HONE_LAYOUT_U4)
ROUND_FN(round_planes, HONE_LAYOUT_U6) /* of any planes */

/* Blocks [from, from + blocks) of 32 of a panel, as tiles at `to`; table: words_u4 of w's; soon: as
 * many codes to ask for meanwhile, or NULL */
static void round_codes(const hone_packed *w, const uint8_t *panel, size_t from, size_t blocks,
                        __m512i table, uint8_t *to, const uint8_t *soon)
{
    (w->layout == HONE_LAYOUT_I8   ? round_i8
     : w->layout == HONE_LAYOUT_U4 ? round_u4
                                   : round_planes)(w, panel, from, blocks, table, to, soon);
}

/* Block b of the four panels to their tiles at `to` */
static void few_round(const few_job *j, size_t b, __m512i table, uint8_t *to)
{
    const hone_packed *w = j->v->w;
    const size_t bytes = expand_bytes(w->layout);
    for (int p = 0; p < FEW_P; p++)
        round_codes(w, j->panel[p], b, 1, table, to + p * 1024, NULL);
    few_ask(j, b * bytes, bytes, w->k_pad / 32 * bytes);
}

static void few_rounded(const few_job *j, float c[FEW_P][TILE_FEW][16])
{
    uint8_t tiles[2][FEW_P * 1024] __attribute__((aligned(64)));
    const size_t blocks = j->v->w->k_pad / 32;
    const __m512i table = words_u4(j->v->w->table);
    const uint16_t *a = j->a;
    few_round(j, 0, table, tiles[0]);
    few_zero();
    for (size_t b = 0; b < blocks; b++, a += j->next) {
        const uint8_t *t = tiles[b % 2];
        if (b + 1 < blocks)
            few_round(j, b + 1, table, tiles[(b + 1) % 2]);
        few_products(a, t, t + 1024, t + 2048, t + 3072);
    }
    few_store(c);
}

typedef struct spread_call {
    square s;
    uint8_t *tiles; /* [2][SQUARE_SPAN][1024] */
    bool rounded;
} spread_call;

/* Of few rows the next codes are asked for while these are rounded: products of one strip take too
 * short for them to come one after the other. */
static bool asks_early(const tile_call *v, bool rounded)
{
    return rounded && v->row1 - v->row0 <= v->a->tile_rows;
}

static void spread_part(const tile_call *v, void *arg, const part *j)
{
    spread_call *r = arg;
    const hone_packed *w = v->w;
    const size_t blocks = j->to - j->from;
    const __m512i table = words_u4(w->table);
    for (size_t p = j->panel0, step; p < j->panel1; p += 2) {
        const size_t n = p + 1 < j->panel1 ? 2 : 1;
        const uint8_t *soon = weights_after(v, j, p + n, &step);
        soon += step * expand_bytes(w->layout);
        for (size_t i = 0; i < n; i++, soon += w->panel_bytes) {
            const uint8_t *panel = w->data + (p + i) * w->panel_bytes;
            uint8_t *to = r->tiles + i * SQUARE_SPAN * 1024;
            if (r->rounded)
                round_codes(w, panel, j->from, blocks, table, to,
                            asks_early(v, true) ? soon : NULL);
            else
                expand_codes(w, panel, j->from, blocks, to);
        }
        square_pair(false, v, &r->s, j, p, p + n - 1, r->tiles,
                    r->tiles + (n - 1) * SQUARE_SPAN * 1024);
    }
}

/* rounded, or with one scale per column and no minimums; the tiles are configured for 16 rows */
static void many_spread(const tile_call *v, bool rounded)
{
    float sums[2][1024] __attribute__((aligned(64)));
    spread_call r = {
        .s = {.a = (const uint8_t *)v->a->bf16,
              .strip = v->a->tile_rows,
              .steps = v->w->k_pad / 32,
              .step_bytes = asks_early(v, rounded) ? 0 : expand_bytes(v->w->layout),
              .out = {.v = v, .panel = v->panel0, .stream = streams(v), .scaled = !rounded},
              .sums = sums},
        .tiles = v->scratch + PART_SUMS * sizeof(float),
        .rounded = rounded};
    in_parts(v, r.s.steps, SQUARE_SPAN, (float *)(void *)v->scratch, spread_part, &r);
    square_flush(false, &r.s.out);
}

#endif
