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
enum { CORE_F32, CORE_BF16, CORE_I8, CORE_U4, CORE_U4_LINEAR };

enum { CORE_P = 4, CORE_R = 4 };

/* What one call of the template works on: `blocks` blocks of 32 along K from
 * some k0. */
typedef struct core_job {
    const float *a; /* activations at k0, row r at a + r * lda */
    size_t lda;
    const uint8_t *b[CORE_P]; /* codes of each panel at k0 */
    size_t blocks;
    size_t group;                 /* blocks per scale; 0 = no scales */
    const uint8_t *scale[CORE_P]; /* float16 [16] per group, from k0's group */
    const uint8_t *min[CORE_P];   /* or NULL */
    const float *sums; /* activation sums per block from k0, row r at sums + r * ld_sums */
    size_t ld_sums;
    float *c[CORE_P]; /* results of each panel, row r at c + r * ldc */
    size_t ldc;
    size_t columns[CORE_P];    /* of each panel that exist (1..16); 0 = do not write
                                  it */
    bool more;                 /* add to what c holds; otherwise from +0 */
    const float *bias[CORE_P]; /* added at the very end, or NULL */
    const float *table;
    size_t ahead; /* blocks ahead of which lines are asked for; 0 = not */
    size_t next;  /* bytes from these panels to those that will be read after them */
} core_job;

V16_INLINE void core_pair(int layout, const uint8_t *b, size_t unit, int i, v16_table t, v16 *even,
                          v16 *odd)
{
    if (layout == CORE_F32)
        v16_pair_f32(b, unit, i, even, odd);
    else if (layout == CORE_BF16)
        v16_pair_bf16(b, unit, i, even, odd);
    else if (layout == CORE_I8)
        v16_pair_i8(b, unit, i, even, odd);
    else
        v16_pair_u4(b, unit, i, t, layout == CORE_U4_LINEAR, even, odd);
}

/* Bytes of codes of 8 rows of k */
V16_INLINE size_t core_unit_bytes(int layout)
{
    return layout == CORE_F32 ? 512 : layout == CORE_BF16 ? 256 : layout == CORE_I8 ? 128 : 64;
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

/* E + O of one block for R x P, both chains at once */
V16_INLINE void core_block(int layout, int R, int P, const core_job *j, size_t block, v16_table t,
                           v16 s[CORE_P][CORE_R])
{
    v16 e[CORE_P][CORE_R], o[CORE_P][CORE_R];
    UNROLL for (int p = 0; p < P; p++) UNROLL for (int r = 0; r < R; r++) e[p][r] = o[p][r] =
        v16_zero();
    size_t ahead = core_ahead(j, block, j->blocks, j->ahead, 4 * core_unit_bytes(layout));
    for (size_t unit = 4 * block; unit < 4 * block + 4; unit++) {
        const float *a = j->a + 8 * unit;
        if (layout != CORE_F32 && j->ahead) {
            UNROLL for (int p = 0; p < P; p++) core_prefetch(layout, j->b[p] + ahead);
            ahead += core_unit_bytes(layout);
        }
        UNROLL for (int i = 0; i < 4; i++)
        {
            v16 we[CORE_P], wo[CORE_P];
            UNROLL for (int p = 0; p < P; p++)
                core_pair(layout, j->b[p], unit, i, t, &we[p], &wo[p]);
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
        size_t ahead = core_ahead(j, g, groups, j->ahead / j->group + 1, 32);
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
        v16 scale = v16_load_f16((const uint16_t *)(const void *)(j->scale[p] + g * 32));
        UNROLL for (int r = 0; r < R; r++) c[p][r] = v16_fma(scale, d[p][r], c[p][r]);
    }
    if (!j->min[0])
        return;
    UNROLL for (int p = 0; p < P; p++)
    {
        v16 min = v16_load_f16((const uint16_t *)(const void *)(j->min[p] + g * 32));
        UNROLL for (int r = 0; r < R; r++) c[p][r] = v16_fma(min, v16_set1(ones[r]), c[p][r]);
    }
}

V16_INLINE void core(int layout, int R, int P, const core_job *j)
{
    v16_table t = v16_table_load(j->table);
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

#define FEW_FNS(L, layout)                                                                         \
    CORE_FN(few_##L##_1, layout, 1, FEW_PANELS_1)                                                  \
    CORE_FN(few_##L##_2, layout, 2, FEW_PANELS_2)                                                  \
    FEW_FNS_34(L, layout)                                                                          \
    static core_fn *const few_##L[] = {few_##L##_1, few_##L##_2, FEW_LIST_34(L)};
#if FEW_PANELS_3
#define FEW_FNS_34(L, layout)                                                                      \
    CORE_FN(few_##L##_3, layout, 3, FEW_PANELS_3)                                                  \
    CORE_FN(few_##L##_4, layout, 4, FEW_PANELS_4)
#define FEW_LIST_34(L) few_##L##_3, few_##L##_4
enum { FEW_ROWS = 4 };
#else
#define FEW_FNS_34(L, layout)
#define FEW_LIST_34(L) NULL, NULL
enum { FEW_ROWS = 2 };
#endif
FEW_FNS(f32, CORE_F32)
FEW_FNS(bf16, CORE_BF16)
FEW_FNS(i8, CORE_I8)
FEW_FNS(u4, CORE_U4)
FEW_FNS(u4_linear, CORE_U4_LINEAR)

static core_fn *const *const few_fns[] = {few_f32, few_bf16, few_i8, few_u4, few_u4_linear};

static const size_t few_panels[] = {FEW_PANELS_1, FEW_PANELS_2, FEW_PANELS_3, FEW_PANELS_4};

static int core_layout(const hone_packed *w)
{
    switch (w->layout) {
    case HONE_LAYOUT_F32:
        return CORE_F32;
    case HONE_LAYOUT_BF16:
        return CORE_BF16;
    case HONE_LAYOUT_I8:
        return CORE_I8;
    default:
        break;
    }
    for (int i = 1; i < 16; i++)
        if (w->table[i] != w->table[0] + (float)i)
            return CORE_U4;
    return w->table[0] >= -15.0f && w->table[0] <= 0.0f ? CORE_U4_LINEAR : CORE_U4;
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
    j->c[s] = y + real * 16;
    j->bias[s] = bias ? bias + real * 16 : NULL;
    size_t left = w->n - real * 16;
    j->columns[s] = p >= panel_end ? 0 : left < 16 ? left : 16;
}

static void few_rows(const hone_packed *w, int layout, const hone_act *a, size_t row, size_t rows,
                     size_t panel0, size_t panel1, float *y, size_t ldy, const float *bias)
{
    size_t step = few_panels[rows - 1], blocks = w->k_pad / 32;
    core_job j = {.a = a->f32 + row * a->ld,
                  .lda = a->ld,
                  .blocks = blocks,
                  .group = w->scale_bytes ? w->group / 32 : 0,
                  .sums = a->sums ? a->sums + row * blocks : NULL,
                  .ld_sums = blocks,
                  .ldc = ldy,
                  .table = w->table,
                  .ahead = FEW_PREFETCH / (4 * core_unit_bytes(layout)),
                  .next = step * w->panel_bytes};
    for (size_t p = panel0; p < panel1; p += step) {
        for (size_t s = 0; s < step; s++)
            job_panel(&j, (int)s, w, p + s, panel1, y + row * ldy, bias);
#ifdef FEW_U4_OWN
        if (rows == 1 && layout >= CORE_U4) {
            few_u4_own(&j);
            continue;
        }
#endif
        few_fns[layout][rows - 1](&j);
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
#define CHAIN_LOOP(R)                                                                              \
    for (int n = 0; n < 4; n++) {                                                                  \
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
 * C = fma(scale, E + O, C); in longer ones D += E + O. */
typedef void tile_fn(const float *a, size_t lda, const float *b0, const float *b1, size_t blocks,
                     const uint16_t *scale0, const uint16_t *scale1, float *to, tile *t);

#define TILE_FN(R)                                                                                 \
    static __attribute__((noinline)) void tile_##R(                                                \
        const float *a, size_t lda, const float *b0, const float *b1, size_t blocks,               \
        const uint16_t *scale0, const uint16_t *scale1, float *to, tile *t)                        \
    {                                                                                              \
        const float *p0 = a, *p1 = a + 3 * lda, *p2 = a + 6 * lda;                                 \
        for (size_t b = 0; b < blocks; b++) {                                                      \
            {ROWS_##R(CHAIN_DECL) CHAIN_LOOP(R) ROWS_##R(CHAIN_SAVE)} p0 -= 31, p1 -= 31,          \
                p2 -= 31, b0 -= 496, b1 -= 496;                                                    \
            ROWS_##R(CHAIN_DECL) CHAIN_LOOP(R) if (!scale0)                                        \
            {                                                                                      \
                ROWS_##R(CHAIN_ADD)                                                                \
            }                                                                                      \
            else                                                                                   \
            {                                                                                      \
                v16 s0 = v16_load_f16(scale0 + b * 16), s1 = v16_load_f16(scale1 + b * 16);        \
                (void)s1;                                                                          \
                ROWS_##R(CHAIN_SCALE)                                                              \
            }                                                                                      \
            p0--, p1--, p2--, b0 -= 16, b1 -= 16;                                                  \
        }                                                                                          \
        (void)p1, (void)p2, (void)b1;                                                              \
    }

TILE_FN(1)
TILE_FN(2)
TILE_FN(3)
TILE_FN(4)
TILE_FN(5)
TILE_FN(6)
#if MANY_ROWS > 6
TILE_FN(7)
#endif

static tile_fn *const tile_fns[] = {tile_1, tile_2, tile_3, tile_4, tile_5, tile_6,
#if MANY_ROWS > 6
                                    tile_7
#endif
};

_Static_assert(MANY_ROWS <= 7 && MANY_PANELS <= 2, "tile_R is written for at most 7 x 2");

V16_INLINE const uint16_t *scales_at(const uint8_t *scales, size_t group)
{
    return (const uint16_t *)(const void *)(scales + group * 32);
}

/* C = fma(scale, D, C) unless the scales are in C already; then C = fma(min,
 * SA, C), SA in ones[R] */
static void many_group(int R, const core_job *j, size_t g, bool scale, const float *ones, tile *t)
{
    for (int p = 0; p < MANY_PANELS; p++) {
        v16 s = v16_load_f16(scales_at(j->scale[p], g));
        v16 m = j->min[p] ? v16_load_f16(scales_at(j->min[p], g)) : s;
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
    tile_fn *fn = tile_fns[R - 1];
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
            fn(j->a + 32 * b, j->lda, b0 + 512 * b, b1 + 512 * b, n,
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
    for (size_t unit = 0; unit < units; unit++) {
        UNROLL for (int i = 0; i < 4; i++)
        {
            v16 even, odd;
            core_pair(layout, codes, unit, i, t, &even, &odd);
            v16_store(to + (unit * 8 + 2 * (size_t)i) * 16, even);
            v16_store(to + (unit * 8 + 2 * (size_t)i + 1) * 16, odd);
        }
    }
}

/* to[8 * units][16] = the codes' values */
static void expand(int layout, const uint8_t *codes, size_t units, const float *table, float *to)
{
    v16_table t = v16_table_load(table);
    if (layout == CORE_BF16)
        expand_layout(CORE_BF16, codes, units, t, to);
    else if (layout == CORE_I8)
        expand_layout(CORE_I8, codes, units, t, to);
    else if (layout == CORE_U4)
        expand_layout(CORE_U4, codes, units, t, to);
    else
        expand_layout(CORE_U4_LINEAR, codes, units, t, to);
}

/* A chunk's panels in float stay in L2, the MANY_PANELS of one step (16 KB) in
 * L1. */
enum { CHUNK_K_MAX = 256, CHUNK_K = CHUNK_K_MAX / MANY_PANELS, CHUNK_PANELS = 8, CHUNK_ROWS = 256 };

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
    float *expanded; /* [CHUNK_PANELS][CHUNK_K_MAX][16] */
} chunk;

static void expand_panels(const chunk *c)
{
    const hone_packed *w = c->w;
    for (size_t p = c->panel0; p < c->panel1 && c->layout != CORE_F32; p++)
        expand(c->layout, w->data + p * w->panel_bytes + c->k0 / 8 * core_unit_bytes(c->layout),
               (c->k1 - c->k0) / 8, w->table, c->expanded + (p - c->panel0) * CHUNK_K_MAX * 16);
}

/* The product of one chunk of K, of panels (expanded already) and of rows, into sums
 * [panel][row][16] */
static void many_chunk(const chunk *c, float *sums)
{
    const hone_packed *w = c->w;
    size_t span = c->k1 - c->k0, blocks = w->k_pad / 32;
    core_job j = {.lda = c->a->ld,
                  .blocks = span / 32,
                  .group = w->scale_bytes ? w->group / 32 : 0,
                  .ld_sums = blocks,
                  .ldc = 16,
                  .more = c->k0 > 0,
                  .table = w->table};
    /* the panels of one step stay in L1 while the rows pass */
    for (size_t p = c->panel0; p < c->panel1; p += MANY_PANELS) {
        j.a = c->a->f32 + c->row0 * c->a->ld + c->k0;
        j.sums = c->a->sums ? c->a->sums + c->row0 * blocks + c->k0 / 32 : NULL;
        for (int s = 0; s < MANY_PANELS; s++) {
            size_t real = p + (size_t)s < c->panel1 ? p + (size_t)s : c->panel1 - 1;
            job_panel(&j, s, w, p + (size_t)s, c->panel1, NULL, NULL);
            if (c->layout == CORE_F32)
                j.b[s] += c->k0 * 64;
            else
                j.b[s] = (const uint8_t *)(c->expanded + (real - c->panel0) * CHUNK_K_MAX * 16);
            j.scale[s] += w->scale_bytes ? c->k0 / w->group * 32 : 0;
            if (j.min[s])
                j.min[s] += c->k0 / w->group * 32;
            j.c[s] = sums + (real - c->panel0) * CHUNK_ROWS * 16;
            j.columns[s] = p + (size_t)s < c->panel1 ? 16 : 0;
        }
        rows_past(&j, c->row1 - c->row0);
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
    chunk c = {.w = w, .a = a, .layout = core_layout(w), .expanded = scratch};
    float *sums = c.expanded + CHUNK_PANELS * CHUNK_K_MAX * 16;
    size_t step = w->scale_bytes && w->group > CHUNK_K ? CHUNK_K_MAX : CHUNK_K;
    for (c.row0 = row0; c.row0 < row1; c.row0 = c.row1) {
        c.row1 = row1 - c.row0 < CHUNK_ROWS ? row1 : c.row0 + CHUNK_ROWS;
        for (c.panel0 = panel0; c.panel0 < panel1; c.panel0 = c.panel1) {
            c.panel1 = panel1 - c.panel0 < CHUNK_PANELS ? panel1 : c.panel0 + CHUNK_PANELS;
            for (c.k0 = 0; c.k0 < w->k_pad; c.k0 = c.k1) {
                c.k1 = w->k_pad - c.k0 < step ? w->k_pad : c.k0 + step;
                expand_panels(&c);
                many_chunk(&c, sums);
            }
            write_sums(&c, sums, y, ldy, bias);
        }
    }
}

static void product_few(const hone_packed *w, const hone_act *a, size_t row0, size_t row1,
                        size_t panel0, size_t panel1, float *y, size_t ldy, const float *bias,
                        void *scratch)
{
    if (row1 - row0 > FEW_ROWS) {
        product_many(w, a, row0, row1, panel0, panel1, y, ldy, bias, scratch);
        return;
    }
    if (row0 < row1 && panel0 < panel1)
        few_rows(w, core_layout(w), a, row0, row1 - row0, panel0, panel1, y, ldy, bias);
}

/* ---- activations
 * ------------------------------------------------------------------------------
 */

/* E + O of 16 blocks of 32 at once would need a transposition: one block's
 * chains are short enough.
 */
static float block_ones(const float *x)
{
    float e = 0.0f, o = 0.0f;
    for (int i = 0; i < 32; i += 2) {
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
            act->sums[r * (act->k_pad / 32) + b] = block_ones(to + 32 * b);
    }
}

#endif
