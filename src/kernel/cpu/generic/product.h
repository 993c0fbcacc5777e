/*
 * product - products with packed weights over v16 (docs/numerics.md,
 * "Products"). Included by a set's folder after its vec.h, with these choices:
 * FEW_PANELS_1..4  panels in flight for 1, 2, 3, 4 rows read straight from the
 * packed codes (0 = the set expands them instead, as for many rows) MANY_ROWS,
 * MANY_PANELS  block of the many-row kernel, whose weights are expanded to
 * float first
 *
 *   FEW_U4_OWN  optional: the set brings few_u4_own(job), one row x FEW_PANELS_1 panels of 4-bit
 * codes
 *
 * One template does all: `core` multiplies R rows with P panels over some
 * blocks of 32, and the compiler makes one function of it for every layout, R
 * and P in use.
 */
#ifndef HONE_KERNEL_GENERIC_PRODUCT_H
#define HONE_KERNEL_GENERIC_PRODUCT_H

#include "kernel/kernel.h"

#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

/* The layouts as the template knows them. */
enum { CORE_F32, CORE_BF16, CORE_I8, CORE_U4, CORE_U4_LINEAR, CORE_U2, CORE_U3, CORE_U5, CORE_U6 };

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
    else
        v16_pair_u4(b, unit, i, t, layout == CORE_U4_LINEAR, even, odd);
}

/* Bytes of codes of 8 rows of k */
V16_INLINE size_t core_unit_bytes(int layout)
{
    return layout == CORE_F32    ? 512
           : layout == CORE_BF16 ? 256
           : layout == CORE_I8   ? 128
           : layout == CORE_U2   ? 32
           : layout == CORE_U3   ? 48
           : layout == CORE_U5   ? 80
           : layout == CORE_U6   ? 96
                                 : 64;
}

V16_INLINE bool core_is_planes(int layout)
{
    return layout >= CORE_U2;
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
    const float *a = j->a + 8 * unit + parity;
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
            v16 x = v16_set1(a[(size_t)r * j->lda + 2 * (size_t)i]);
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

#ifdef FEW_U4_OWN
static void few_u4_own(const core_job *j);
#endif

#define CORE_FN(name, layout, R, P)                                                                \
    static __attribute__((noinline)) void name(const core_job *j)                                  \
    {                                                                                              \
        core(layout, R, P, j);                                                                     \
    }

typedef void core_fn(const core_job *j);

/* ---- a few rows: straight from the codes
 * ----------------------------------------------------- */

#define FEW_FNS_4(L, layout)                                                                       \
    CORE_FN(few_##L##_1, layout, 1, FEW_PANELS_1)                                                  \
    CORE_FN(few_##L##_2, layout, 2, FEW_PANELS_2)                                                  \
    CORE_FN(few_##L##_3, layout, 3, FEW_PANELS_3)                                                  \
    CORE_FN(few_##L##_4, layout, 4, FEW_PANELS_4)
#define FEW_LIST_4(L) few_##L##_1, few_##L##_2, few_##L##_3, few_##L##_4, NULL
/* Six rows pay where codes are cheap to read. */
#ifdef FEW_PANELS_6
#define FEW_FNS(L, layout)                                                                         \
    FEW_FNS_4(L, layout)                                                                           \
    CORE_FN(few_##L##_6, layout, 6, FEW_PANELS_6)                                                  \
    static core_fn *const few_##L[] = {FEW_LIST_4(L), few_##L##_6};
#else
#define FEW_PANELS_6 0
#define FEW_FNS(L, layout)                                                                         \
    FEW_FNS_4(L, layout)                                                                           \
    static core_fn *const few_##L[] = {FEW_LIST_4(L), NULL};
#endif
#define FEW_FNS_PLANES(L, layout)                                                                  \
    FEW_FNS_4(L, layout)                                                                           \
    static core_fn *const few_##L[] = {FEW_LIST_4(L), NULL};
FEW_FNS(f32, CORE_F32)
FEW_FNS(bf16, CORE_BF16)
FEW_FNS(i8, CORE_I8)
FEW_FNS(u4, CORE_U4)
FEW_FNS(u4_linear, CORE_U4_LINEAR)
FEW_FNS_PLANES(u2, CORE_U2)
FEW_FNS_PLANES(u3, CORE_U3)
FEW_FNS_PLANES(u5, CORE_U5)
FEW_FNS_PLANES(u6, CORE_U6)

static core_fn *const *const few_fns[] = {few_f32, few_bf16, few_i8, few_u4, few_u4_linear,
                                          few_u2,  few_u3,   few_u5, few_u6};

static const size_t few_panels[] = {FEW_PANELS_1, FEW_PANELS_2, FEW_PANELS_3, FEW_PANELS_4, 0,
                                    FEW_PANELS_6};

static int core_layout(const hone_packed *w)
{
    static const int cores[HONE_LAYOUT_COUNT] = {CORE_F32, CORE_BF16, CORE_I8, CORE_U4,
                                                 CORE_U2,  CORE_U3,   CORE_U5, CORE_U6};
    if (w->layout != HONE_LAYOUT_U4)
        return cores[w->layout];
    for (int i = 1; i < 16; i++)
        if (w->table[i] != w->table[0] + (float)i)
            return CORE_U4;
    bool whole =
        w->table[0] >= -15.0f && w->table[0] <= 0.0f && w->table[0] == (float)(int)w->table[0];
    return whole ? CORE_U4_LINEAR : CORE_U4;
}

/* Points slot s of the job at panel p of w from block 0 on; panels past the
 * last repeat it unwritten. */
static void job_panel(core_job *j, int s, const hone_packed *w, size_t p, size_t panel_end,
                      float *y, const float *bias)
{
    size_t real = p < panel_end ? p : panel_end - 1;
    const uint8_t *panel = w->data + real * w->panel_bytes;
    j->b[s] = panel;
    j->scale[s] = panel + w->scale_offset;
    j->min[s] = w->has_min ? panel + w->min_offset : NULL;
    j->super[s] = panel + w->super_offset;
    j->min_super[s] = panel + w->min_super_offset;
    j->c[s] = y ? y + real * 16 : NULL;
    j->bias[s] = bias ? bias + real * 16 : NULL;
    size_t left = w->n - real * 16;
    j->columns[s] = p >= panel_end ? 0 : left < 16 ? left : 16;
}

/* Groups per super-scale: 256 / group, a power of two */
static unsigned super_shift(const hone_packed *w)
{
    return w->scale_bytes == 1 ? (unsigned)__builtin_ctzll(256 / w->group) : 0;
}

static void few_rows(const hone_packed *w, int layout, const hone_act *a, size_t row, size_t rows,
                     size_t panel0, size_t panel1, float *y, size_t ldy, const float *bias)
{
    bool half = w->group == 16;
    size_t step = few_panels[rows - 1], block = half ? 16 : 32, blocks = w->k_pad / block;
    const float *sums = half ? a->sums16 : a->sums;
    core_job j = {.a = a->f32 + row * a->ld,
                  .lda = a->ld,
                  .blocks = blocks,
                  .half = half,
                  .group = w->group / block,
                  .scale_bytes = w->scale_bytes,
                  .super_shift = super_shift(w),
                  .sums = sums ? sums + row * blocks : NULL,
                  .ld_sums = blocks,
                  .ldc = ldy,
                  .table = w->table,
                  .low = w->low,
                  .ahead = FEW_PREFETCH / (block / 8 * core_unit_bytes(layout)),
                  .next = step * w->panel_bytes};
    for (size_t p = panel0; p < panel1; p += step) {
        for (size_t s = 0; s < step; s++)
            job_panel(&j, (int)s, w, p + s, panel1, y + row * ldy, bias);
#ifdef FEW_U4_OWN
        if (rows == 1 && layout == CORE_U4 && !half) {
            few_u4_own(&j);
            continue;
        }
#endif
        few_fns[layout][rows - 1](&j);
    }
}

/* How many of `rows` rows go through the codes together next */
static size_t few_group(int layout, size_t rows)
{
    static const uint8_t sixes[] = {0, 1, 2, 3, 4, 3, 6, 4, 4, 6, 6},
                         fours[] = {0, 1, 2, 3, 4, 3, 3};
    if (few_fns[layout][5])
        return rows < sizeof sixes ? sixes[rows] : 6;
    return rows < sizeof fours ? fours[rows] : 4;
}

/* Any number of rows straight from the codes: a few panels, which stay in the cache while the rows
 * pass in groups */
static void few_groups(const hone_packed *w, const hone_act *a, size_t row0, size_t row1,
                       size_t panel0, size_t panel1, float *y, size_t ldy, const float *bias)
{
    int layout = core_layout(w);
    for (size_t p = panel0; p < panel1; p += 4)
        for (size_t row = row0; row < row1;) {
            size_t rows = few_group(layout, row1 - row), end = panel1 - p < 4 ? panel1 : p + 4;
            few_rows(w, layout, a, row, rows, p, end, y, ldy, bias);
            row += rows;
        }
}

/* ---- many rows: a chunk of panels expanded to float, then all rows past it
 * ---------------------
 */

/* The inner loop is written out with one named variable per sum (compilers keep
 * those in registers, arrays not always): R rows x MANY_PANELS, first E over
 * the even k of a block, then O over the odd. */
#define ROWS_1(M) M(0, p0)
#define ROWS_2(M) ROWS_1(M) M(1, p0)
#define ROWS_3(M) ROWS_2(M) M(2, p0)
#define ROWS_4(M) ROWS_3(M) M(3, p1)
#define ROWS_5(M) ROWS_4(M) M(4, p1)
#define ROWS_6(M) ROWS_5(M) M(5, p1)
#define ROWS_7(M) ROWS_6(M) M(6, p2)

/* Rows go in threes, so that few registers hold pointers: row r is at p(r/3) +
 * (r % 3) * lda. */
#define CHAIN_DECL(r, p) v16 x##r = v16_zero(), y##r = v16_zero();
#define CHAIN_FMA(r, p)                                                                            \
    {                                                                                              \
        v16 ar = v16_set1(p[(r) % 3 * lda + i]);                                                   \
        x##r = v16_fma(ar, w0, x##r);                                                              \
        if (MANY_PANELS > 1)                                                                       \
            y##r = v16_fma(ar, w1, y##r);                                                          \
    }
#define CHAIN_STEP(R, offset)                                                                      \
    {                                                                                              \
        const size_t i = (offset);                                                                 \
        v16 w0 = v16_load(b0 + i * 16), w1 = MANY_PANELS > 1 ? v16_load(b1 + i * 16) : w0;         \
        (void)w1;                                                                                  \
        ROWS_##R(CHAIN_FMA)                                                                        \
    }
#define CHAIN_LOOP(R, N)                                                                           \
    for (int n = 0; n < N; n++) {                                                                  \
        CHAIN_STEP(R, 0)                                                                           \
        CHAIN_STEP(R, 2)                                                                           \
        CHAIN_STEP(R, 4)                                                                           \
        CHAIN_STEP(R, 6)                                                                           \
        p0 += 8, p1 += 8, p2 += 8, b0 += 128, b1 += 128;                                           \
    }
/* the sums of row r: x of the first panel, y of the second */
#define CHAIN_SAVE(r, p)                                                                           \
    v16_store(t->e + (r)*16, x##r);                                                                \
    if (MANY_PANELS > 1)                                                                           \
        v16_store(t->e + (MANY_ROWS + (r)) * 16, y##r);
#define CHAIN_SUM(at, o)      v16_add(v16_load(t->e + (at)), o)
#define CHAIN_ADD1(to, at, o) v16_store(to + (at), v16_add(v16_load(to + (at)), CHAIN_SUM(at, o)));
#define CHAIN_ADD(r, p)                                                                            \
    CHAIN_ADD1(to, (r)*16, x##r)                                                                   \
    if (MANY_PANELS > 1)                                                                           \
    CHAIN_ADD1(to, (MANY_ROWS + (r)) * 16, y##r)
#define CHAIN_SCALE1(s, at, o)                                                                     \
    v16_store(t->c + (at),                                                                         \
              v16_fma(s, v16_add(v16_zero(), CHAIN_SUM(at, o)), v16_load(t->c + (at))));
#define CHAIN_SCALE(r, p)                                                                          \
    CHAIN_SCALE1(s0, (r)*16, x##r)                                                                 \
    if (MANY_PANELS > 1)                                                                           \
    CHAIN_SCALE1(s1, (MANY_ROWS + (r)) * 16, y##r)

enum { TILE = MANY_PANELS * MANY_ROWS * 16 };

/* One tile of the result, [panel][MANY_ROWS][16] each: C, D of the group so
 * far, E of the block */
typedef struct tile {
    float c[TILE], d[TILE], e[TILE];
} __attribute__((aligned(64))) tile;

/* tile_R: `blocks` blocks of R rows x MANY_PANELS. For each, the chains E and
 * O; then, without scales, C += E + O; in groups of one block (scale0 != NULL),
 * C = fma(scale, E + O, C); in longer ones D += E + O. Blocks of N units of 8 rows of k. */
typedef void tile_fn(const float *a, size_t lda, const float *b0, const float *b1, size_t blocks,
                     const float *scale0, const float *scale1, float *to, tile *t);

#define TILE_FN(name, R, N)                                                                        \
    static __attribute__((noinline)) void name##_##R(                                              \
        const float *a, size_t lda, const float *b0, const float *b1, size_t blocks,               \
        const float *scale0, const float *scale1, float *to, tile *t)                              \
    {                                                                                              \
        const float *p0 = a, *p1 = a + 3 * lda, *p2 = a + 6 * lda;                                 \
        for (size_t b = 0; b < blocks; b++) {                                                      \
            {ROWS_##R(CHAIN_DECL) CHAIN_LOOP(R, N) ROWS_##R(CHAIN_SAVE)} p0 -= 8 * N - 1,          \
                p1 -= 8 * N - 1, p2 -= 8 * N - 1, b0 -= 128 * N - 16, b1 -= 128 * N - 16;          \
            ROWS_##R(CHAIN_DECL) CHAIN_LOOP(R, N) if (!scale0)                                     \
            {                                                                                      \
                ROWS_##R(CHAIN_ADD)                                                                \
            }                                                                                      \
            else                                                                                   \
            {                                                                                      \
                v16 s0 = v16_load(scale0 + b * 16), s1 = v16_load(scale1 + b * 16);                \
                (void)s1;                                                                          \
                ROWS_##R(CHAIN_SCALE)                                                              \
            }                                                                                      \
            p0--, p1--, p2--, b0 -= 16, b1 -= 16;                                                  \
        }                                                                                          \
        (void)p1, (void)p2, (void)b1;                                                              \
    }

#if MANY_ROWS > 6
#define TILE_LAST(name, N) TILE_FN(name, 7, N)
#define TILE_NAMED(name)   name##_7
#else
#define TILE_LAST(name, N)
#define TILE_NAMED(name) NULL
#endif
#define TILE_FNS(name, N)                                                                          \
    TILE_FN(name, 1, N)                                                                            \
    TILE_FN(name, 2, N)                                                                            \
    TILE_FN(name, 3, N)                                                                            \
    TILE_FN(name, 4, N)                                                                            \
    TILE_FN(name, 5, N)                                                                            \
    TILE_FN(name, 6, N)                                                                            \
    TILE_LAST(name, N)                                                                             \
    static tile_fn *const name##_fns[] = {NULL,     name##_1, name##_2, name##_3,                  \
                                          name##_4, name##_5, name##_6, TILE_NAMED(name)};
TILE_FNS(tile, 4)
TILE_FNS(half, 2)

_Static_assert(MANY_ROWS <= 7 && MANY_PANELS <= 2, "tile_R is written for at most 7 x 2");

/* For many rows scales have been expanded to float. */
V16_INLINE const float *scales_at(const uint8_t *scales, size_t group)
{
    return (const float *)(const void *)(scales + group * 64);
}

/* C = fma(scale, D, C) unless the scales are in C already; then C = fma(min,
 * SA, C), SA in ones[R] */
static void many_group(int R, const core_job *j, size_t g, bool scale, const float *ones, tile *t)
{
    for (int p = 0; p < MANY_PANELS; p++) {
        v16 s = v16_load(scales_at(j->scale[p], g));
        v16 m = j->min[p] ? v16_load(scales_at(j->min[p], g)) : s;
        for (int r = 0; r < R; r++) {
            float *c = t->c + (p * MANY_ROWS + r) * 16;
            v16 x = v16_load(c);
            if (scale)
                x = v16_fma(s, v16_load(t->d + (p * MANY_ROWS + r) * 16), x);
            if (j->min[p])
                x = v16_fma(m, v16_set1(ones[r]), x);
            v16_store(c, x);
        }
    }
}

static void many_load(int R, const core_job *j, tile *t)
{
    for (int p = 0; p < MANY_PANELS; p++)
        for (int r = 0; r < R; r++) {
            v16 x = v16_zero();
            if (j->more && j->columns[p] == 16)
                x = v16_load(j->c[p] + (size_t)r * j->ldc);
            else if (j->more && j->columns[p])
                x = v16_load_n(j->c[p] + (size_t)r * j->ldc, j->columns[p]);
            v16_store(t->c + (p * MANY_ROWS + r) * 16, x);
        }
}

static void many_store(int R, const core_job *j, const tile *t)
{
    for (int p = 0; p < MANY_PANELS; p++) {
        size_t n = j->columns[p];
        v16 bias = n && j->bias[p] ? v16_load_n(j->bias[p], n) : v16_zero();
        for (int r = 0; n && r < R; r++) {
            v16 x = v16_load(t->c + (p * MANY_ROWS + r) * 16);
            if (j->bias[p])
                x = v16_add(x, bias);
            if (n == 16)
                v16_store(j->c[p] + (size_t)r * j->ldc, x);
            else
                v16_store_n(j->c[p] + (size_t)r * j->ldc, x, n);
        }
    }
}

/* As `core` for R rows and weights that are float already. (Tiles are functions
 * of their own: inlined, the compiler would keep C in registers too, and spill
 * the chains' sums.) */
static void many(int R, const core_job *j)
{
    tile t;
    tile_fn *fn = (j->half ? half_fns : tile_fns)[R];
    size_t block = j->half ? 16 : 32;
    const float *b0 = (const float *)(const void *)j->b[0],
                *b1 = (const float *)(const void *)j->b[MANY_PANELS - 1];
    many_load(R, j, &t);
    if (!j->group) {
        fn(j->a, j->lda, b0, b1, j->blocks, NULL, NULL, t.c, &t);
    } else if (j->group == 1 && !j->min[0]) {
        fn(j->a, j->lda, b0, b1, j->blocks, scales_at(j->scale[0], 0),
           scales_at(j->scale[MANY_PANELS - 1], 0), NULL, &t);
    } else {
        for (size_t g = 0, b = 0; b < j->blocks; g++) {
            size_t n = j->blocks - b < j->group ? j->blocks - b : j->group;
            float ones[MANY_ROWS] = {0};
            for (int i = 0; n > 1 && i < TILE; i += 16)
                v16_store(t.d + i, v16_zero());
            bool one = n == 1;
            fn(j->a + block * b, j->lda, b0 + 16 * block * b, b1 + 16 * block * b, n,
               one ? scales_at(j->scale[0], g) : NULL,
               one ? scales_at(j->scale[MANY_PANELS - 1], g) : NULL, t.d, &t);
            for (int r = 0; j->min[0] && r < R; r++)
                for (size_t i = b; i < b + n; i++)
                    ones[r] += j->sums[(size_t)r * j->ld_sums + i];
            if (!one || j->min[0])
                many_group(R, j, g, !one, ones, &t);
            b += n;
        }
    }
    many_store(R, j, &t);
}

V16_INLINE void expand_layout(int layout, const uint8_t *codes, size_t units, v16_table t,
                              float *to)
{
    for (size_t n = 0; n < units; n += 2) {
        UNROLL for (int i = 0; i < 8; i++)
        {
            v16 even, odd;
            core_pair(layout, codes, n + (size_t)i / 4, i / 4, i % 4, t, &even, &odd);
            v16_store(to + (n * 8 + 2 * (size_t)i) * 16, even);
            v16_store(to + (n * 8 + 2 * (size_t)i + 1) * 16, odd);
        }
    }
}

/* to[8 * units][16] = the codes' values */
#define EXPAND_FN(name, layout)                                                                    \
    static void expand_##name(const uint8_t *codes, size_t units, const float *table, float low,   \
                              float *to)                                                           \
    {                                                                                              \
        expand_layout(layout, codes, units, core_table(layout, table, low), to);                   \
    }
EXPAND_FN(bf16, CORE_BF16)
EXPAND_FN(i8, CORE_I8)
EXPAND_FN(u4, CORE_U4)
EXPAND_FN(u4_linear, CORE_U4_LINEAR)
EXPAND_FN(u2, CORE_U2)
EXPAND_FN(u3, CORE_U3)
EXPAND_FN(u5, CORE_U5)
EXPAND_FN(u6, CORE_U6)

static void expand(int layout, const uint8_t *codes, size_t units, const float *table, float low,
                   float *to)
{
    typedef void expand_fn(const uint8_t *, size_t, const float *, float, float *);
    static expand_fn *const fns[] = {NULL,      expand_bf16, expand_i8, expand_u4, expand_u4_linear,
                                     expand_u2, expand_u3,   expand_u5, expand_u6};
    fns[layout](codes, units, table, low, to);
}

/* A chunk's panels in float stay in L2, the MANY_PANELS of one step (16 KB) in
 * L1. */
enum {
    CHUNK_K_MAX = 256,
    CHUNK_K = CHUNK_K_MAX / MANY_PANELS,
    CHUNK_PANELS = 8,
    CHUNK_ROWS = 256,
    CHUNK_GROUPS = CHUNK_K_MAX / 16
};

/* rows cut into the fewest groups of at most MANY_ROWS, as even as can be */
static void rows_past(core_job *j, size_t rows)
{
    size_t groups = (rows + MANY_ROWS - 1) / MANY_ROWS;
    core_job job = *j;
    for (size_t g = 0, r = 0; g < groups; g++) {
        size_t n = (rows - r) / (groups - g);
        many((int)n, &job);
        r += n;
        job.a += n * job.lda;
        if (job.sums)
            job.sums += n * job.ld_sums;
        for (int p = 0; p < MANY_PANELS; p++)
            job.c[p] += n * job.ldc;
    }
}

typedef struct chunk {
    const hone_packed *w;
    const hone_act *a;
    size_t row0, row1, panel0, panel1, k0, k1;
    int layout;
    float *expanded;      /* [CHUNK_PANELS][CHUNK_K_MAX][16] */
    float *scales, *mins; /* [CHUNK_PANELS][CHUNK_GROUPS][16] */
    bool within;          /* inside one group: D alone, whose scale comes at its end */
} chunk;

static size_t block_of(const hone_packed *w)
{
    return w->group == 16 ? 16 : 32;
}

/* The chunk's scales and mins as floats (of a long group: the one it lies in) */
static void expand_scales(const chunk *c)
{
    const hone_packed *w = c->w;
    size_t first = c->k0 / w->group, n = (c->k1 - 1) / w->group - first + 1;
    core_job j = {.scale_bytes = w->scale_bytes, .super_shift = super_shift(w)};
    for (size_t p = c->panel0; p < c->panel1; p++) {
        const uint8_t *panel = w->data + p * w->panel_bytes;
        float *to = c->scales + (p - c->panel0) * CHUNK_GROUPS * 16;
        float *min = c->mins + (p - c->panel0) * CHUNK_GROUPS * 16;
        for (size_t g = 0; g < n; g++) {
            v16_store(to + g * 16,
                      core_scales(&j, panel + w->scale_offset, panel + w->super_offset, first + g));
            if (w->has_min)
                v16_store(min + g * 16, core_scales(&j, panel + w->min_offset,
                                                    panel + w->min_super_offset, first + g));
        }
    }
}

static void expand_panels(const chunk *c)
{
    const hone_packed *w = c->w;
    for (size_t p = c->panel0; p < c->panel1 && c->layout != CORE_F32; p++)
        expand(c->layout, w->data + p * w->panel_bytes + c->k0 / 8 * core_unit_bytes(c->layout),
               (c->k1 - c->k0) / 8, w->table, w->low,
               c->expanded + (p - c->panel0) * CHUNK_K_MAX * 16);
    if (w->scale_bytes)
        expand_scales(c);
}

/* The product of one chunk of K, of panels (expanded already) and of rows, into sums
 * [panel][row][16] */
static void many_chunk(const chunk *c, float *sums)
{
    const hone_packed *w = c->w;
    size_t span = c->k1 - c->k0, block = block_of(w), blocks = w->k_pad / block;
    const float *ones = block == 16 ? c->a->sums16 : c->a->sums;
    core_job j = {.lda = c->a->ld,
                  .blocks = span / block,
                  .half = block == 16,
                  .group = c->within ? 0 : w->group / block,
                  .ld_sums = blocks,
                  .ldc = 16,
                  .more = c->within ? c->k0 % w->group > 0 : c->k0 > 0,
                  .table = w->table};
    /* the panels of one step stay in L1 while the rows pass */
    for (size_t p = c->panel0; p < c->panel1; p += MANY_PANELS) {
        j.a = c->a->f32 + c->row0 * c->a->ld + c->k0;
        j.sums = ones ? ones + c->row0 * blocks + c->k0 / block : NULL;
        for (int s = 0; s < MANY_PANELS; s++) {
            size_t real = p + (size_t)s < c->panel1 ? p + (size_t)s : c->panel1 - 1;
            job_panel(&j, s, w, p + (size_t)s, c->panel1, NULL, NULL);
            if (c->layout == CORE_F32)
                j.b[s] += c->k0 * 64;
            else
                j.b[s] = (const uint8_t *)(c->expanded + (real - c->panel0) * CHUNK_K_MAX * 16);
            j.scale[s] = (const uint8_t *)(c->scales + (real - c->panel0) * CHUNK_GROUPS * 16);
            if (j.min[s])
                j.min[s] = (const uint8_t *)(c->mins + (real - c->panel0) * CHUNK_GROUPS * 16);
            j.c[s] = sums + (real - c->panel0) * CHUNK_ROWS * 16;
            j.columns[s] = p + (size_t)s < c->panel1 ? 16 : 0;
        }
        rows_past(&j, c->row1 - c->row0);
    }
}

/* The end of a long group: C = fma(scale, D, C), C = fma(min, SA, C) */
static void scale_sums(const chunk *c, const float *d, float *sums)
{
    const hone_packed *w = c->w;
    size_t blocks = w->k_pad / 32, begin = (c->k1 - 1) / w->group * w->group / 32;
    for (size_t p = 0; p < c->panel1 - c->panel0; p++) {
        v16 scale = v16_load(c->scales + p * CHUNK_GROUPS * 16);
        v16 min = w->has_min ? v16_load(c->mins + p * CHUNK_GROUPS * 16) : scale;
        for (size_t r = 0; r < c->row1 - c->row0; r++) {
            size_t at = (p * CHUNK_ROWS + r) * 16;
            v16 x = v16_fma(scale, v16_load(d + at), begin ? v16_load(sums + at) : v16_zero());
            float ones = 0.0f;
            for (size_t b = begin; w->has_min && b < c->k1 / 32; b++)
                ones += c->a->sums[(c->row0 + r) * blocks + b];
            if (w->has_min)
                x = v16_fma(min, v16_set1(ones), x);
            v16_store(sums + at, x);
        }
    }
}

static void write_sums(const chunk *c, const float *sums, float *y, size_t ldy, const float *bias)
{
    for (size_t p = c->panel0; p < c->panel1; p++) {
        const float *from = sums + (p - c->panel0) * CHUNK_ROWS * 16;
        size_t n = c->w->n - p * 16;
        v16 b = bias ? v16_load_n(bias + p * 16, n) : v16_zero();
        for (size_t r = c->row0; r < c->row1; r++, from += 16) {
            v16 x = v16_load(from);
            v16_store_n(y + r * ldy + p * 16, bias ? v16_add(x, b) : x, n);
        }
    }
}

static void product_many(const hone_packed *w, const hone_act *a, size_t row0, size_t row1,
                         size_t panel0, size_t panel1, float *y, size_t ldy, const float *bias,
                         void *scratch)
{
    if (row1 - row0 <= DIRECT_ROWS) {
        few_groups(w, a, row0, row1, panel0, panel1, y, ldy, bias);
        return;
    }
    chunk c = {.w = w, .a = a, .layout = core_layout(w), .expanded = scratch};
    enum { SUMS = CHUNK_PANELS * CHUNK_ROWS * 16, SCALES = CHUNK_PANELS * CHUNK_GROUPS * 16 };
    float *sums = c.expanded + CHUNK_PANELS * CHUNK_K_MAX * 16, *d = sums + SUMS;
    size_t step = w->group > CHUNK_K ? CHUNK_K_MAX : CHUNK_K;
    c.scales = d + SUMS;
    c.mins = c.scales + SCALES;
    c.within = w->group && step % w->group;
    for (c.row0 = row0; c.row0 < row1; c.row0 = c.row1) {
        c.row1 = row1 - c.row0 < CHUNK_ROWS ? row1 : c.row0 + CHUNK_ROWS;
        for (c.panel0 = panel0; c.panel0 < panel1; c.panel0 = c.panel1) {
            c.panel1 = panel1 - c.panel0 < CHUNK_PANELS ? panel1 : c.panel0 + CHUNK_PANELS;
            for (c.k0 = 0; c.k0 < w->k_pad; c.k0 = c.k1) {
                size_t end = c.within ? (c.k0 / w->group + 1) * w->group : w->k_pad;
                end = end < w->k_pad ? end : w->k_pad;
                c.k1 = end - c.k0 < step ? end : c.k0 + step;
                expand_panels(&c);
                many_chunk(&c, c.within ? d : sums);
                if (c.within && c.k1 == end)
                    scale_sums(&c, d, sums);
            }
            write_sums(&c, sums, y, ldy, bias);
        }
    }
}

static void product_few(const hone_packed *w, const hone_act *a, size_t row0, size_t row1,
                        size_t panel0, size_t panel1, float *y, size_t ldy, const float *bias,
                        void *scratch)
{
    (void)scratch;
    if (row1 - row0 <= FEW_ROWS && row0 < row1) /* in one sweep over the panels */
        few_rows(w, core_layout(w), a, row0, row1 - row0, panel0, panel1, y, ldy, bias);
    else
        few_groups(w, a, row0, row1, panel0, panel1, y, ldy, bias);
}

/* ---- activations
 * ------------------------------------------------------------------------------
 */

/* E + O of 16 blocks at once would need a transposition: one block's chains are short enough. */
static float block_ones(const float *x, int n)
{
    float e = 0.0f, o = 0.0f;
    for (int i = 0; i < n; i += 2) {
        e += x[i]; /* fma(x, 1, e) */
        o += x[i + 1];
    }
    return e + o;
}

static void act_pack(hone_act *act, const float *x, size_t ldx, size_t row0, size_t row1)
{
    bool rounded = !(act->flags & HONE_ACT_F32);
    for (size_t r = row0; r < row1; r++) {
        float *to = act->f32 + r * act->ld;
        for (size_t i = 0; i < act->k_pad; i += 16) {
            size_t n = i < act->k ? act->k - i : 0;
            v16 v = v16_load_n(x + r * ldx + (n ? i : 0), n);
            v16_store(to + i, rounded ? v16_round_bf16(v) : v);
        }
        for (size_t b = 0; act->sums && b < act->k_pad / 32; b++)
            act->sums[r * (act->k_pad / 32) + b] = block_ones(to + 32 * b, 32);
        for (size_t b = 0; act->sums16 && b < act->k_pad / 16; b++)
            act->sums16[r * (act->k_pad / 16) + b] = block_ones(to + 16 * b, 16);
    }
}

#endif
