/*
 * attention - its products with TDPBF16PS: pages of bfloat16 are tiles as they lie, codes become
 * such once for all rows of the block. Of float32 pages the weaker set's. Included by amx.c alone.
 */
#ifndef HONE_KERNEL_AMX_ATTENTION_H
#define HONE_KERNEL_AMX_ATTENTION_H

#include "kernel/cpu/avx512/vec.h"

#include "kernel/cpu/amx/expand.h"
#include "kernel/cpu/amx/tile.h"
#include "kernel/cpu/generic/attn_work.h"
#include "kernel/kernel.h"

static hone_attn_piece_fn *attn_below;

/* c[rows][16 * panels] (+)= a[rows][32 * blocks] x the tiles at b, [panels][blocks] */
typedef struct attn_job {
    const uint16_t *a;
    const uint8_t *b, *ahead; /* ahead: what will be read as b is now, or NULL */
    size_t lda, panels, blocks, ldc;
    float *c;
    bool more;
} attn_job;

/* Rounded and packed at once, unless scales of groups come first */
V16_INLINE void attn_put(attn_work *w, size_t row, bool rounded, const v16 p[4])
{
    if (!rounded) {
        attn_put_floats(w, row, false, p);
        return;
    }
    UNROLL for (int i = 0; i < 4; i += 2) _mm512_storeu_si512(
        (void *)(w->p16 + row * 64 + 16 * (size_t)i), (__m512i)_mm512_cvtne2ps_pbh(p[i + 1], p[i]));
}

/* n floats that bfloat16 holds, n a multiple of 16 */
static void attn_pack(const float *x, size_t n, uint16_t *to)
{
    for (size_t i = 0; i < n; i += 16) {
        __m512i v = _mm512_srli_epi32(_mm512_loadu_si512((const void *)(x + i)), 16);
        _mm256_storeu_si256((__m256i *)(void *)(to + i), _mm512_cvtepi32_epi16(v));
    }
}

/* Tiles 0, 1, 4 have 16 rows; 2, 3, 5 what is left of the block's. */
static void attn_shape(attn_work *w, size_t rest)
{
    tile_config c;
    if (w->shape == rest + 1)
        return;
    tile_fill_config(&c, 16, 64);
    c.rows[2] = c.rows[3] = c.rows[5] = (uint8_t)(rest ? rest : 1);
    tile_set_config(&c);
    w->shape = rest + 1;
}

#define ATTN_PAIR(name, c0, c1, at)                                                                \
    static void name(const attn_job *j, size_t row, const uint8_t *b0, const uint8_t *b1,          \
                     float *to, float *to1)                                                        \
    {                                                                                              \
        const uint16_t *a = j->a + row * j->lda;                                                   \
        if (j->more) {                                                                             \
            tile_load(c0, to, (int64_t)(4 * j->ldc));                                              \
            tile_load(c1, to1, (int64_t)(4 * j->ldc));                                             \
        } else {                                                                                   \
            tile_zero(c0);                                                                         \
            tile_zero(c1);                                                                         \
        }                                                                                          \
        for (size_t i = 0; i < j->blocks; i++) {                                                   \
            tile_load(at, a + 32 * i, (int64_t)(2 * j->lda));                                      \
            tile_load(6, b0 + 1024 * i, 64);                                                       \
            tile_load(7, b1 + 1024 * i, 64);                                                       \
            tile_dpbf16(c0, at, 6);                                                                \
            tile_dpbf16(c1, at, 7);                                                                \
        }                                                                                          \
        tile_store(c0, to, (int64_t)(4 * j->ldc));                                                 \
        tile_store(c1, to1, (int64_t)(4 * j->ldc));                                                \
    }
ATTN_PAIR(attn_pair_16, 0, 1, 4)
ATTN_PAIR(attn_pair_rest, 2, 3, 5)

static void attn_ahead(const uint8_t *at, size_t bytes)
{
    for (size_t i = 0; at && i < bytes; i += 64)
        __builtin_prefetch(at + i, 0, 2);
}

static void attn_product(attn_work *w, const attn_job *j, size_t rows)
{
    size_t panel = j->blocks * 1024, bytes = hone_kv_bytes(&w->t->kv, j->blocks * 512);
    attn_shape(w, rows % 16);
    for (size_t p = 0; p < j->panels; p += 2) {
        size_t q = p + 1 < j->panels ? p + 1 : p; /* the last again: the same result twice */
        attn_ahead(j->ahead ? j->ahead + p * bytes : NULL, (q - p + 1) * bytes);
        for (size_t r = 0; r < rows; r += 16)
            (rows - r < 16 ? attn_pair_rest
                           : attn_pair_16)(j, r, j->b + p * panel, j->b + q * panel,
                                           j->c + r * j->ldc + 16 * p, j->c + r * j->ldc + 16 * q);
    }
}

static void attn_query(attn_work *w, const float *q, size_t row)
{
    const size_t n = w->t->kv.k_dim;
    uint16_t *to = w->q16 + row * w->k_pad;
    for (size_t d = 0; d < w->k_pad; d += 16) {
        v16 x = v16_load_n(q + (d < n ? d : 0), d < n ? n - d : 0);
        _mm256_storeu_si256((__m256i *)(void *)(to + d), (__m256i)_mm512_cvtneps_pbh(x));
    }
}

static void attn_expand(const attn_work *w, const uint8_t *codes, size_t blocks, float *to)
{
    static const float table[16] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};
    const hone_kv_form *form = hone_kv_form_of(&w->t->kv);
    if (form->bits == 4)
        expand_u4(codes, blocks, table, (uint8_t *)to);
    else if (form->mantissa == 3)
        expand_fp8(codes, blocks, 3, (uint8_t *)to);
    else if (form->mantissa == 2)
        expand_fp8(codes, blocks, 2, (uint8_t *)to);
    else
        expand_i8(codes, blocks, (uint8_t *)to);
}

/* Each block of 32 dimensions by itself, times the scales of its 16 keys */
static void attn_keys_grouped(attn_work *w, const attn_job *j, size_t rows)
{
    const uint16_t *scales =
        (const uint16_t *)(const void *)(w->page + hone_kv_k_scales(&w->t->kv));
    attn_job one = *j;
    one.panels = 1, one.blocks = 1, one.c = w->p, one.ldc = 16, one.ahead = NULL;
    for (size_t p = 0; p < 4; p++)
        for (size_t b = 0; b < j->blocks; b++) {
            v16 scale = v16_load_f16(scales + (p * j->blocks + b) * 16);
            one.a = j->a + 32 * b;
            one.b = j->b + (p * j->blocks + b) * 1024;
            attn_product(w, &one, rows);
            for (size_t r = 0; r < rows; r++) {
                float *c = j->c + r * j->ldc + 16 * p;
                v16_store(c, v16_fma(scale, v16_load(w->p + 16 * r), b ? v16_load(c) : v16_zero()));
            }
        }
}

static void attn_keys(attn_work *w, size_t at, size_t rows)
{
    const hone_kv *kv = &w->t->kv;
    bool direct = kv->format == HONE_KV_BF16;
    if (!direct && !w->expanded) {
        attn_expand(w, w->page, 4 * w->k_pad / 32, w->keys);
        attn_expand(w, w->page + hone_kv_bytes(kv, 64 * w->k_pad), w->v_pad / 16 * 2, w->values);
        w->expanded = true;
    }
    attn_job j = {.a = w->q16 + at * w->k_pad,
                  .b = direct ? w->page : (const uint8_t *)w->keys,
                  .ahead = w->next,
                  .lda = w->k_pad,
                  .panels = 4,
                  .blocks = w->k_pad / 32,
                  .c = w->s + at * 64,
                  .ldc = 64};
    if (hone_kv_form_of(kv)->grouped)
        attn_keys_grouped(w, &j, rows);
    else
        attn_product(w, &j, rows);
}

static void attn_values(attn_work *w, size_t at, size_t rows, float *states)
{
    const hone_kv *kv = &w->t->kv;
    const bool grouped = hone_kv_form_of(kv)->grouped;
    size_t panels = w->v_pad / 16, step = grouped ? 2 : panels;
    size_t codes = hone_kv_bytes(kv, 64 * w->k_pad);
    const uint8_t *values =
        kv->format == HONE_KV_BF16 ? w->page + codes : (const uint8_t *)w->values;
    for (size_t p = 0; p < panels; p += step) {
        if (grouped) { /* probabilities of each 32 dimensions have scales of their own */
            attn_scale(w->s + at * 64, w->page + hone_kv_v_scales(kv) + p / 2 * 128, rows, w->p);
            attn_pack(w->p, rows * 64, w->p16 + at * 64);
        }
        attn_job j = {.a = w->p16 + at * 64,
                      .b = values + p * 2048,
                      .ahead = w->next ? w->next + codes + hone_kv_bytes(kv, p * 1024) : NULL,
                      .lda = 64,
                      .panels = panels - p < step ? panels - p : step,
                      .blocks = 2,
                      .c = states + 16 * p,
                      .ldc = w->ld,
                      .more = true};
        attn_product(w, &j, rows);
    }
}

#include "kernel/cpu/generic/attention.h"

static void attn_tiles(const hone_attn *t, size_t row0, size_t row1, size_t piece, float *partial,
                       void *scratch)
{
    if (t->kv.format == HONE_KV_F32) {
        attn_below(t, row0, row1, piece, partial, scratch);
        return;
    }
    attn_piece(t, row0, row1, piece, partial, scratch);
    tile_release();
}

#endif
