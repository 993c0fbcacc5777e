/*
 * few_tile - six rows x two panels of codes, as CORE_FN does it, for sets with 32
 * registers. The sums of a block are named variables that are added to in place, so that no
 * compiler spills them; first those of E, which then wait in memory, then those of O. The sums of
 * the whole K are in memory too. Included by few.h (docs/experiments/rows-together.md)
 */
#ifndef HONE_KERNEL_GENERIC_FEW_TILE_H
#define HONE_KERNEL_GENERIC_FEW_TILE_H

#include "kernel/cpu/generic/core.h"

enum { FT_ROWS = 6, FT_SUMS = FT_ROWS * 2 * 16, FT_SCALES_AHEAD = 16 };

/* The sums of row r are x(r) of the first panel, y(r) of the second. */
#define FT_DECLARE(r, p) v16 x##r, y##r;
#define FT_ZERO(r, p)                                                                              \
    x##r = v16_zero();                                                                             \
    y##r = v16_zero();
#define FT_FMA(r, p)                                                                               \
    {                                                                                              \
        v16 one = v16_set1(p[(r) % 3 * lda + k]);                                                  \
        v16_fma_to(&x##r, one, w0);                                                                \
        v16_fma_to(&y##r, one, w1);                                                                \
    }
/* k = 2 i of a unit, or with parity 1 the one behind */
#define FT_STEP(layout, i, parity)                                                                 \
    {                                                                                              \
        const size_t k = 2 * (i) + (parity);                                                       \
        v16 even0, odd0, even1, odd1;                                                              \
        core_pair(layout, b0, 0, 0, i, t, &even0, &odd0);                                          \
        core_pair(layout, b1, 0, 0, i, t, &even1, &odd1);                                          \
        v16 w0 = (parity) ? odd0 : even0, w1 = (parity) ? odd1 : even1;                            \
        ROWS_6(FT_FMA)                                                                             \
    }
#define FT_UNIT(layout, parity)                                                                    \
    FT_STEP(layout, 0, parity)                                                                     \
    FT_STEP(layout, 1, parity)                                                                     \
    FT_STEP(layout, 2, parity)                                                                     \
    FT_STEP(layout, 3, parity)                                                                     \
    p0 += 8, p1 += 8, b0 += core_unit_bytes(layout), b1 += core_unit_bytes(layout);

/* S of a block to the sums of its group; of a group of one block straight to C */
#define FT_SAVE(r, p)                                                                              \
    v16_store(e + (r)*32, x##r);                                                                   \
    v16_store(e + (r)*32 + 16, y##r);
#define FT_INTO(at, value) v16_store(to + (at), value);
#define FT_S(r, v, p)      v16_add(v16_load(e + (r)*32 + (p)*16), v##r)
#define FT_ADD(r, p)                                                                               \
    FT_INTO((r)*32, v16_add(v16_load(to + (r)*32), FT_S(r, x, 0)))                                 \
    FT_INTO((r)*32 + 16, v16_add(v16_load(to + (r)*32 + 16), FT_S(r, y, 1)))
#define FT_SCALED(r, v, p, s)                                                                      \
    v16_fma(s, v16_add(v16_zero(), FT_S(r, v, p)), v16_load(to + (r)*32 + (p)*16))
#define FT_SCALE(r, p)                                                                             \
    FT_INTO((r)*32, FT_SCALED(r, x, 0, s0))                                                        \
    FT_INTO((r)*32 + 16, FT_SCALED(r, y, 1, s1))
#define FT_MIN(r, p)                                                                               \
    {                                                                                              \
        v16 ones = v16_set1(0.0f + j->sums[(size_t)(r)*j->ld_sums + block]);                       \
        FT_INTO((r)*32, v16_fma(m0, ones, FT_SCALED(r, x, 0, s0)))                                 \
        FT_INTO((r)*32 + 16, v16_fma(m1, ones, FT_SCALED(r, y, 1, s1)))                            \
    }

/* Scales (or mins) of group g of panel p; later ones are asked for */
V16_INLINE v16 ft_scale(const core_job *j, const uint8_t *const *at, const uint8_t *const *super,
                        int p, size_t g)
{
    const size_t groups = (j->blocks + j->group - 1) / j->group,
                 ahead = core_ahead(j, g, groups, FT_SCALES_AHEAD, 16 * (size_t)j->scale_bytes);
    __builtin_prefetch(at[p] + ahead, 0, 3);
    return core_scales(j, at[p], super[p], g);
}

/* The end of group g, of blocks [begin, end): C = fma(scale, D, C), C = fma(min, SA, C), D = 0 */
static void ft_group_end(const core_job *j, size_t g, size_t begin, size_t end, float *d, float *c)
{
    const bool min = j->min[0];
    v16 s[2], m[2];
    UNROLL for (int p = 0; p < 2; p++)
    {
        s[p] = m[p] = ft_scale(j, j->scale, j->super, p, g);
        if (min)
            m[p] = ft_scale(j, j->min, j->min_super, p, g);
    }
    for (size_t r = 0; r < FT_ROWS; r++) {
        float ones = 0.0f;
        for (size_t b = begin; min && b < end; b++)
            ones += j->sums[r * j->ld_sums + b];
        UNROLL for (int p = 0; p < 2; p++, c += 16, d += 16)
        {
            v16 x = v16_fma(s[p], v16_load(d), v16_load(c));
            v16_store(c, min ? v16_fma(m[p], v16_set1(ones), x) : x);
            v16_store(d, v16_zero());
        }
    }
}

static void ft_write(const core_job *j, const float *c)
{
    for (int r = 0; r < FT_ROWS; r++)
        for (int p = 0; p < 2; p++, c += 16) {
            v16 x = v16_load(c);
            if (!j->columns[p])
                continue;
            if (j->bias[p])
                x = v16_add(x, v16_load_n(j->bias[p], j->columns[p]));
            v16_store_n(j->c[p] + (size_t)r * j->ldc, x, j->columns[p]);
        }
}

/* As CORE_FN of FT_ROWS rows and two panels, from the beginning of K */
#define FEW_TILE(name, layout)                                                                     \
    static __attribute__((noinline)) void name(const core_job *j)                                  \
    {                                                                                              \
        const v16_table t = core_table(layout, j->table, j->low);                                  \
        const size_t lda = j->lda, units = j->half ? 2 : 4,                                        \
                     block_bytes = units * core_unit_bytes(layout);                                \
        float c[FT_SUMS] __attribute__((aligned(64))) = {0},                                       \
                         d[FT_SUMS] __attribute__((aligned(64))) = {0},                            \
                         e[FT_SUMS] __attribute__((aligned(64)));                                  \
        float *const to = j->group > 1 ? d : c;                                                    \
        const float *p0 = j->a, *p1 = j->a + 3 * lda;                                              \
        const uint8_t *b0 = j->b[0], *b1 = j->b[1];                                                \
        ROWS_6(FT_DECLARE)                                                                         \
        for (size_t block = 0, g = 0, begin = 0; block < j->blocks; block++) {                     \
            const size_t ahead =                                                                   \
                core_ahead(j, block, j->blocks, j->ahead, block_bytes) - block * block_bytes;      \
            ROWS_6(FT_ZERO)                                                                        \
            for (size_t n = 0; n < units; n++) {                                                   \
                core_prefetch(layout, b0 + ahead);                                                 \
                core_prefetch(layout, b1 + ahead);                                                 \
                FT_UNIT(layout, 0)                                                                 \
            }                                                                                      \
            ROWS_6(FT_SAVE)                                                                        \
            ROWS_6(FT_ZERO)                                                                        \
            p0 -= 8 * units, p1 -= 8 * units, b0 -= block_bytes, b1 -= block_bytes;                \
            for (size_t n = 0; n < units; n++) {                                                   \
                FT_UNIT(layout, 1)                                                                 \
            }                                                                                      \
            if (j->group == 1) {                                                                   \
                v16 s0 = ft_scale(j, j->scale, j->super, 0, block),                                \
                    s1 = ft_scale(j, j->scale, j->super, 1, block);                                \
                if (!j->min[0]) {                                                                  \
                    ROWS_6(FT_SCALE)                                                               \
                    continue;                                                                      \
                }                                                                                  \
                v16 m0 = ft_scale(j, j->min, j->min_super, 0, block),                              \
                    m1 = ft_scale(j, j->min, j->min_super, 1, block);                              \
                ROWS_6(FT_MIN)                                                                     \
                continue;                                                                          \
            }                                                                                      \
            ROWS_6(FT_ADD)                                                                         \
            if (j->group && (block + 1 == begin + j->group || block + 1 == j->blocks)) {           \
                ft_group_end(j, g++, begin, block + 1, d, c);                                      \
                begin = block + 1;                                                                 \
            }                                                                                      \
        }                                                                                          \
        ft_write(j, c);                                                                            \
    }

#endif
