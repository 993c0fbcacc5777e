/*
 * core - the template of all products (docs/numerics.md, "Products"): R rows with P panels over
 * some blocks of 32 or 16 along K, of any layout. The compiler makes one function of it for every
 * layout, R and P in use. Included by few.h after a set's vec.h, which chooses: CORE_SUMS registers
 * of v16 that may hold the sums of E and O together
 */
#ifndef HONE_KERNEL_GENERIC_CORE_H
#define HONE_KERNEL_GENERIC_CORE_H

#include "kernel/cpu/generic/unroll.h"
#include "kernel/kernel.h"

/* M(row, pointer) for each row of a tile that is written out. Rows go in threes, so that few
 * registers hold pointers: row r is at p(r/3) + (r % 3) * lda. */
#define ROWS_1(M) M(0, p0)
#define ROWS_2(M) ROWS_1(M) M(1, p0)
#define ROWS_3(M) ROWS_2(M) M(2, p0)
#define ROWS_4(M) ROWS_3(M) M(3, p1)
#define ROWS_5(M) ROWS_4(M) M(4, p1)
#define ROWS_6(M) ROWS_5(M) M(5, p1)
#define ROWS_7(M) ROWS_6(M) M(6, p2)

/* The layouts as the template knows them. */
enum {
    CORE_F32,
    CORE_BF16,
    CORE_I8,
    CORE_U4,
    CORE_U4_LINEAR,
    CORE_U2,
    CORE_U3,
    CORE_U5,
    CORE_U6,
    CORE_E4M3, /* fp8, of keys and values only */
    CORE_E5M2
};

enum { CORE_P = 4, CORE_R = 6, FEW_ROWS = 4 };

/* What one call of the template works on: `blocks` blocks of 32 (of 16 if half) along K from some
 * k0. */
typedef struct core_job {
    const float *a; /* activations at k0, row r at a + r * lda */
    size_t lda;
    const uint8_t *b[CORE_P]; /* codes of each panel at k0 */
    size_t blocks;
    bool half;                    /* blocks of 16 */
    size_t group;                 /* blocks per scale; 0 = no scales */
    int scale_bytes;              /* as hone_packed has them */
    unsigned super_shift;         /* nested: groups per super-scale, as a power of two */
    const uint8_t *scale[CORE_P]; /* [16] per group, from k0's group */
    const uint8_t *min[CORE_P];   /* or NULL */
    const uint8_t *super[CORE_P], *min_super[CORE_P]; /* nested */
    const float *sums; /* activation sums per block from k0, row r at sums + r * ld_sums */
    size_t ld_sums;
    float *c[CORE_P]; /* results of each panel, row r at c + r * ldc */
    size_t ldc;
    size_t columns[CORE_P];    /* of each panel that exist (1..16); 0 = do not write
                                  it */
    bool more;                 /* add to what c holds; otherwise from +0 */
    const float *bias[CORE_P]; /* added at the very end, or NULL */
    const float *table;
    float low;    /* planes */
    size_t ahead; /* blocks ahead of which lines are asked for; 0 = not */
    size_t next;  /* bytes from these panels to those that will be read after them */
    /* asked for meanwhile: of expanded panels what will be expanded next, codes and scales; of
     * panels one behind the other (no `ahead`) as many bytes as they have, in order */
    const uint8_t *soon[CORE_P], *soon_scale[CORE_P];
    size_t soon_bytes, soon_scale_bytes;
} core_job;

/* u = unit % 2, known when compiled */
V16_INLINE void core_pair(int layout, const uint8_t *b, size_t unit, int u, int i, v16_table t,
                          v16 *even, v16 *odd)
{
    (void)u;
    if (layout == CORE_F32)
        v16_pair_f32(b, unit, i, even, odd);
    else if (layout == CORE_BF16)
        v16_pair_bf16(b, unit, i, even, odd);
    else if (layout == CORE_I8)
        v16_pair_i8(b, unit, i, even, odd);
    else if (layout == CORE_U2)
        v16_pair_planes(b + unit / 4 * 128, unit / 2 % 2, u, i, 2, 0, t, even, odd);
    else if (layout == CORE_U3)
        v16_pair_planes(b + unit / 4 * 192, unit / 2 % 2, u, i, 2, 1, t, even, odd);
    else if (layout == CORE_U5)
        v16_pair_planes(b + unit / 4 * 320, unit / 2 % 2, u, i, 4, 1, t, even, odd);
    else if (layout == CORE_U6)
        v16_pair_planes(b + unit / 4 * 384, unit / 2 % 2, u, i, 4, 2, t, even, odd);
    else if (layout == CORE_E4M3 || layout == CORE_E5M2)
        v16_pair_fp8(b, unit, i, layout == CORE_E4M3 ? 3 : 2, even, odd);
    else
        v16_pair_u4(b, unit, i, t, layout == CORE_U4_LINEAR, even, odd);
}

/* Bytes of codes of 8 rows of k */
V16_INLINE size_t core_unit_bytes(int layout)
{
    return layout == CORE_F32                         ? 512
           : layout == CORE_BF16                      ? 256
           : layout == CORE_I8 || layout >= CORE_E4M3 ? 128
           : layout == CORE_U2                        ? 32
           : layout == CORE_U3                        ? 48
           : layout == CORE_U5                        ? 80
           : layout == CORE_U6                        ? 96
                                                      : 64;
}

V16_INLINE bool core_is_planes(int layout)
{
    return layout >= CORE_U2 && layout <= CORE_U6;
}

V16_INLINE v16_table core_table(int layout, const float *table, float low)
{
    return core_is_planes(layout) ? v16_table_linear(low) : v16_table_load(table);
}

/* Scales (or mins) of 16 columns of group g */
V16_INLINE v16 core_scales(const core_job *j, const uint8_t *at, const uint8_t *super, size_t g)
{
    if (j->scale_bytes == 2)
        return v16_load_f16((const uint16_t *)(const void *)(at + g * 32));
    if (j->scale_bytes == 4)
        return v16_load((const float *)(const void *)(at + g * 64));
    v16 s = v16_load_f16((const uint16_t *)(const void *)(super + (g >> j->super_shift) * 32));
    return v16_mul(s, v16_load_i8(at + g * 16));
}

/* Where the item `index` + ahead of `count` lies, of the next panels once these are through: bytes
 * from the first of these panels */
V16_INLINE size_t core_ahead(const core_job *j, size_t index, size_t count, size_t ahead,
                             size_t bytes)
{
    size_t at = index + ahead;
    return at < count ? at * bytes : (at - count) * bytes + j->next;
}

V16_INLINE void core_prefetch(int layout, const uint8_t *at)
{
    for (size_t i = 0; i < core_unit_bytes(layout); i += 64)
        __builtin_prefetch(at + i, 0, 3);
}

/* acc += the even (parity 0) or odd k of one unit of 8 rows of k, for R x P */
V16_INLINE void core_half(int layout, int R, int P, const core_job *j, size_t unit, int u,
                          int parity, v16_table t, v16 acc[CORE_P][CORE_R])
{
    const size_t lda = j->lda; /* rows in threes, so that few registers hold pointers */
    const float *a[CORE_R / 3] = {j->a + 8 * unit + parity, j->a + 8 * unit + parity + 3 * lda};
    UNROLL for (int i = 0; i < 4; i++)
    {
        v16 w[CORE_P];
        UNROLL for (int p = 0; p < P; p++)
        {
            v16 even, odd;
            core_pair(layout, j->b[p], unit, u, i, t, &even, &odd);
            w[p] = parity ? odd : even;
        }
        UNROLL for (int r = 0; r < R; r++)
        {
            v16 x = v16_set1(a[r / 3][(size_t)(r % 3) * lda + 2 * (size_t)i]);
            UNROLL for (int p = 0; p < P; p++) acc[p][r] = v16_fma(x, w[p], acc[p][r]);
        }
    }
}

/* Both at once, for layouts whose codes of even and odd k come together */
V16_INLINE void core_both(int layout, int R, int P, const core_job *j, size_t unit, int u,
                          v16_table t, v16 e[CORE_P][CORE_R], v16 o[CORE_P][CORE_R])
{
    const float *a = j->a + 8 * unit;
    UNROLL for (int i = 0; i < 4; i++)
    {
        v16 we[CORE_P], wo[CORE_P];
        UNROLL for (int p = 0; p < P; p++)
            core_pair(layout, j->b[p], unit, u, i, t, &we[p], &wo[p]);
        UNROLL for (int r = 0; r < R; r++)
        {
            v16 ae = v16_set1(a[(size_t)r * j->lda + 2 * (size_t)i]);
            v16 ao = v16_set1(a[(size_t)r * j->lda + 2 * (size_t)i + 1]);
            UNROLL for (int p = 0; p < P; p++)
            {
                e[p][r] = v16_fma(ae, we[p], e[p][r]);
                o[p][r] = v16_fma(ao, wo[p], o[p][r]);
            }
        }
    }
}

/* E + O of one block for R x P. Both chains go on together, unless their sums would not fit the
 * registers: then one after the other. */
V16_INLINE void core_block(int layout, int R, int P, const core_job *j, size_t block, v16_table t,
                           v16 s[CORE_P][CORE_R])
{
    v16 e[CORE_P][CORE_R], o[CORE_P][CORE_R];
    const bool together = 2 * R * P <= CORE_SUMS;
    UNROLL for (int p = 0; p < P; p++) UNROLL for (int r = 0; r < R; r++) e[p][r] = o[p][r] =
        v16_zero();
    const size_t step = core_is_planes(layout) ? 2 : 1; /* u counts where the code needs it */
    size_t units = j->half ? 2 : 4, end = units * (block + 1);
    size_t ahead = core_ahead(j, block, j->blocks, j->ahead, units * core_unit_bytes(layout));
    for (size_t n = units * block; n < end; n += step)
        UNROLL for (size_t u = 0; u < step; u++)
        {
            if (layout != CORE_F32 && j->ahead) {
                UNROLL for (int p = 0; p < P; p++) core_prefetch(layout, j->b[p] + ahead);
                ahead += core_unit_bytes(layout);
            } else if (j->soon[0]) {
                const size_t bytes = (size_t)P * core_unit_bytes(layout);
                for (size_t i = 0; i < bytes; i += 64)
                    __builtin_prefetch(j->soon[0] + (n + u) * bytes + i, 0, 3);
            }
            if (together && core_is_planes(layout)) {
                core_both(layout, R, P, j, n + u, (int)u, t, e, o);
                continue;
            }
            core_half(layout, R, P, j, n + u, (int)u, 0, t, e);
            if (together)
                core_half(layout, R, P, j, n + u, (int)u, 1, t, o);
        }
    for (size_t n = units * block; !together && n < end; n += step)
        UNROLL for (size_t u = 0; u < step; u++) core_half(layout, R, P, j, n + u, (int)u, 1, t, o);
    UNROLL for (int p = 0; p < P; p++) UNROLL for (int r = 0; r < R; r++) s[p][r] =
        v16_add(e[p][r], o[p][r]);
}

/* One group: D from its blocks, then C = fma(scale, D, C) and C = fma(min, SA,
 * C) */
V16_INLINE void core_group(int layout, int R, int P, const core_job *j, size_t g, v16_table t,
                           v16 c[CORE_P][CORE_R])
{
    v16 d[CORE_P][CORE_R], s[CORE_P][CORE_R];
    float ones[CORE_R];
    size_t end = (g + 1) * j->group < j->blocks ? (g + 1) * j->group : j->blocks;
    UNROLL for (int p = 0; p < P; p++) UNROLL for (int r = 0; r < R; r++) d[p][r] = v16_zero();
    UNROLL for (int r = 0; r < R; r++) ones[r] = 0.0f;
    if (j->ahead) {
        size_t groups = (j->blocks + j->group - 1) / j->group;
        size_t ahead =
            core_ahead(j, g, groups, j->ahead / j->group + 1, 16 * (size_t)j->scale_bytes);
        UNROLL for (int p = 0; p < P; p++)
        {
            __builtin_prefetch(j->scale[p] + ahead, 0, 3);
            if (j->min[0])
                __builtin_prefetch(j->min[p] + ahead, 0, 3);
        }
    }
    for (size_t block = g * j->group; block < end; block++) {
        core_block(layout, R, P, j, block, t, s);
        UNROLL for (int p = 0; p < P; p++) UNROLL for (int r = 0; r < R; r++) d[p][r] =
            v16_add(d[p][r], s[p][r]);
        if (j->min[0])
            UNROLL for (int r = 0; r < R; r++) ones[r] += j->sums[(size_t)r * j->ld_sums + block];
    }
    UNROLL for (int p = 0; p < P; p++)
    {
        v16 scale = core_scales(j, j->scale[p], j->super[p], g);
        UNROLL for (int r = 0; r < R; r++) c[p][r] = v16_fma(scale, d[p][r], c[p][r]);
    }
    if (!j->min[0])
        return;
    UNROLL for (int p = 0; p < P; p++)
    {
        v16 min = core_scales(j, j->min[p], j->min_super[p], g);
        UNROLL for (int r = 0; r < R; r++) c[p][r] = v16_fma(min, v16_set1(ones[r]), c[p][r]);
    }
}

V16_INLINE void core(int layout, int R, int P, const core_job *j)
{
    v16_table t = core_table(layout, j->table, j->low);
    v16 c[CORE_P][CORE_R], s[CORE_P][CORE_R];
    UNROLL for (int p = 0; p < P; p++) UNROLL for (int r = 0; r < R; r++) c[p][r] =
        j->more && j->columns[p] ? v16_load_n(j->c[p] + (size_t)r * j->ldc, j->columns[p])
                                 : v16_zero();
    if (j->group) {
        for (size_t g = 0; g * j->group < j->blocks; g++)
            core_group(layout, R, P, j, g, t, c);
    } else {
        for (size_t block = 0; block < j->blocks; block++) {
            core_block(layout, R, P, j, block, t, s);
            UNROLL for (int p = 0; p < P; p++) UNROLL for (int r = 0; r < R; r++) c[p][r] =
                v16_add(c[p][r], s[p][r]);
        }
    }
    UNROLL for (int p = 0; p < P; p++)
    {
        if (!j->columns[p])
            continue;
        UNROLL for (int r = 0; r < R; r++)
        {
            if (j->bias[p])
                c[p][r] = v16_add(c[p][r], v16_load_n(j->bias[p], j->columns[p]));
            v16_store_n(j->c[p] + (size_t)r * j->ldc, c[p][r], j->columns[p]);
        }
    }
}

/* Sums [panel][stride][16] of some rows with panels [panel0, panel1), and the bias, to y: row by
 * row, so that lines of y that lie side by side are written one after the other */
V16_INLINE void core_write(const hone_packed *w, size_t rows, size_t panel0, size_t panel1,
                           const float *sums, size_t stride, float *y, size_t ldy,
                           const float *bias)
{
    for (size_t r = 0; r < rows; r++, sums += 16, y += ldy)
        for (size_t p = panel0; p < panel1; p++) {
            size_t n = w->n - p * 16;
            v16 x = v16_load(sums + (p - panel0) * stride * 16);
            if (bias)
                x = v16_add(x, v16_load_n(bias + p * 16, n));
            v16_store_n(y + p * 16, x, n);
        }
}

#define CORE_FN(name, layout, R, P)                                                                \
    static __attribute__((noinline)) void name(const core_job *j)                                  \
    {                                                                                              \
        core(layout, R, P, j);                                                                     \
    }

typedef void core_fn(const core_job *j);

#endif
