/*
 * many - a few panels of a chunk of K expanded to float in L1, then all rows past them. Included by
 * product.h; the set chooses how much of the result is kept in registers, MANY_ROWS x MANY_PANELS
 */
#ifndef HONE_KERNEL_GENERIC_MANY_H
#define HONE_KERNEL_GENERIC_MANY_H

#include "kernel/cpu/generic/few.h"

/* The inner loop is written out with one named variable per sum (compilers keep those in registers,
 * arrays not always): R rows x MANY_PANELS. Where MANY_TOGETHER, the chains E and O of a block go
 * on together and meet in registers; otherwise first E, which waits in memory, then O. */
enum { MANY_TOGETHER = MANY_ROWS * MANY_PANELS <= CORE_SUMS };

/* Sums of E are x of the first panel, y of the second; of O u and v. */
#define CHAIN_DECL(r, p)                                                                           \
    v16 x##r = v16_zero(), y##r = v16_zero(), u##r = v16_zero(), v##r = v16_zero();
#define CHAIN_FMA(r, p, a, b)                                                                      \
    {                                                                                              \
        v16 ar = v16_set1(p[(r) % 3 * lda + i]);                                                   \
        v16_fma_to(&a##r, ar, w0);                                                                 \
        if (MANY_PANELS > 1)                                                                       \
            v16_fma_to(&b##r, ar, w1);                                                             \
    }
#define CHAIN_E(r, p) CHAIN_FMA(r, p, x, y)
#define CHAIN_O(r, p) CHAIN_FMA(r, p, u, v)
#define CHAIN_STEP(R, M, offset)                                                                   \
    {                                                                                              \
        const size_t i = (offset);                                                                 \
        v16 w0 = v16_load(b0 + i * 16), w1 = MANY_PANELS > 1 ? v16_load(b1 + i * 16) : w0;         \
        (void)w1;                                                                                  \
        ROWS_##R(M)                                                                                \
    }
#define CHAIN_LOOP(R, N, STEPS)                                                                    \
    for (int n = 0; n < N; n++) {                                                                  \
        STEPS p0 += 8, p1 += 8, p2 += 8, b0 += 128, b1 += 128;                                     \
    }
#define CHAIN_HALF(R, N, M)                                                                        \
    CHAIN_LOOP(R, N,                                                                               \
               CHAIN_STEP(R, M, 0) CHAIN_STEP(R, M, 2) CHAIN_STEP(R, M, 4) CHAIN_STEP(R, M, 6))
#define CHAIN_BOTH(R, N)                                                                           \
    CHAIN_LOOP(R, N,                                                                               \
               CHAIN_STEP(R, CHAIN_E, 0) CHAIN_STEP(R, CHAIN_O, 1) CHAIN_STEP(R, CHAIN_E, 2)       \
                   CHAIN_STEP(R, CHAIN_O, 3) CHAIN_STEP(R, CHAIN_E, 4) CHAIN_STEP(R, CHAIN_O, 5)   \
                       CHAIN_STEP(R, CHAIN_E, 6) CHAIN_STEP(R, CHAIN_O, 7))
#define CHAIN_SAVE(r, p)                                                                           \
    v16_store(e + (r)*16, x##r);                                                                   \
    if (MANY_PANELS > 1)                                                                           \
        v16_store(e + (MANY_ROWS + (r)) * 16, y##r);
#define CHAIN_BACK(r, p)                                                                           \
    x##r = v16_load(e + (r)*16);                                                                   \
    if (MANY_PANELS > 1)                                                                           \
        y##r = v16_load(e + (MANY_ROWS + (r)) * 16);
/* What enters a row of each panel's C, which d0 and d1 walk down */
#define CHAIN_INTO(x0, x1)                                                                         \
    v16_store(d0, x0), d0 += ld0;                                                                  \
    if (MANY_PANELS > 1)                                                                           \
        v16_store(d1, x1), d1 += ld1;
#define CHAIN_ADD(r, p)                                                                            \
    CHAIN_INTO(v16_add(v16_load(d0), v16_add(x##r, u##r)),                                         \
               v16_add(v16_load(d1), v16_add(y##r, v##r)))
#define CHAIN_SUM(a, b) v16_add(v16_zero(), v16_add(a, b))
#define CHAIN_SCALE(r, p)                                                                          \
    CHAIN_INTO(v16_fma(s0, CHAIN_SUM(x##r, u##r), v16_load(d0)),                                   \
               v16_fma(s1, CHAIN_SUM(y##r, v##r), v16_load(d1)))
#define CHAIN_MIN(r, p)                                                                            \
    {                                                                                              \
        v16 sa = v16_set1(0.0f + t->ones[(size_t)(r)*t->ld_ones + b]);                             \
        CHAIN_INTO(v16_fma(m0, sa, v16_fma(s0, CHAIN_SUM(x##r, u##r), v16_load(d0))),              \
                   v16_fma(m1, sa, v16_fma(s1, CHAIN_SUM(y##r, v##r), v16_load(d1))))              \
    }

/* Where a tile adds to: the sums of each panel, row r at c + r * ld. Of groups of one block, scales
 * [block][16] (or NULL), mins (or NULL) and the activations' sums per block. */
typedef struct tile_to {
    float *c[2];
    size_t ld[2];
    const float *scale[2], *min[2], *ones;
    size_t ld_ones;
} tile_to;

/* tile_R: `blocks` blocks of R rows x MANY_PANELS, blocks of N units of 8 rows of k. Without scales
 * C += E + O; otherwise C = fma(scale, E + O, C), C = fma(min, SA, C). */
typedef void tile_fn(const float *a, size_t lda, const float *b0, const float *b1, size_t blocks,
                     const tile_to *t);

#define TILE_FN(name, R, N)                                                                        \
    static __attribute__((noinline)) void name##_##R(const float *a, size_t lda, const float *b0,  \
                                                     const float *b1, size_t blocks,               \
                                                     const tile_to *t)                             \
    {                                                                                              \
        float *c0 = t->c[0], *c1 = t->c[1];                                                        \
        const size_t ld0 = t->ld[0], ld1 = t->ld[1];                                               \
        const float *p0 = a, *p1 = a + 3 * lda, *p2 = a + 6 * lda;                                 \
        for (size_t b = 0; b < blocks; b++) {                                                      \
            ROWS_##R(CHAIN_DECL) if (MANY_TOGETHER)                                                \
            {                                                                                      \
                CHAIN_BOTH(R, N)                                                                   \
            }                                                                                      \
            else                                                                                   \
            {                                                                                      \
                float e[MANY_PANELS * MANY_ROWS * 16];                                             \
                CHAIN_HALF(R, N, CHAIN_E)                                                          \
                ROWS_##R(CHAIN_SAVE) p0 -= 8 * N - 1, p1 -= 8 * N - 1, p2 -= 8 * N - 1,            \
                    b0 -= 128 * N - 16, b1 -= 128 * N - 16;                                        \
                CHAIN_HALF(R, N, CHAIN_O)                                                          \
                ROWS_##R(CHAIN_BACK) p0--, p1--, p2--, b0 -= 16, b1 -= 16;                         \
            }                                                                                      \
            float *d0 = c0, *d1 = c1;                                                              \
            if (!t->scale[0]) {                                                                    \
                ROWS_##R(CHAIN_ADD) continue;                                                      \
            }                                                                                      \
            v16 s0 = v16_load(t->scale[0] + b * 16), s1 = s0, m0 = s0, m1 = s0;                    \
            if (MANY_PANELS > 1)                                                                   \
                s1 = v16_load(t->scale[1] + b * 16);                                               \
            if (!t->min[0]) {                                                                      \
                ROWS_##R(CHAIN_SCALE) continue;                                                    \
            }                                                                                      \
            m0 = v16_load(t->min[0] + b * 16);                                                     \
            if (MANY_PANELS > 1)                                                                   \
                m1 = v16_load(t->min[1] + b * 16);                                                 \
            ROWS_##R(CHAIN_MIN)                                                                    \
        }                                                                                          \
        (void)p1, (void)p2, (void)b1, (void)c1, (void)ld1;                                         \
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
    return scales ? (const float *)(const void *)(scales + group * 64) : NULL;
}

/* The end of a group of many blocks: C = fma(scale, D, C), then C = fma(min, SA, C), SA in
 * ones[R] */
static void many_group(int R, const core_job *j, const tile_to *t, size_t g, const float *d,
                       const float *ones)
{
    for (int p = 0; p < MANY_PANELS; p++) {
        v16 s = v16_load(scales_at(j->scale[p], g));
        v16 m = j->min[p] ? v16_load(scales_at(j->min[p], g)) : s;
        for (int r = 0; r < R; r++) {
            float *c = t->c[p] + (size_t)r * t->ld[p];
            v16 x = v16_fma(s, v16_load(d + (p * MANY_ROWS + r) * 16), v16_load(c));
            if (j->min[p])
                x = v16_fma(m, v16_set1(ones[r]), x);
            v16_store(c, x);
        }
    }
}

/* As `core` for R rows and weights that are float already; panels are whole or do not exist, and
 * there is no bias */
static void many(int R, const core_job *j)
{
    enum { LAST = MANY_PANELS - 1, TILE = MANY_PANELS * MANY_ROWS * 16 };
    tile_fn *fn = (j->half ? half_fns : tile_fns)[R];
    size_t block = j->half ? 16 : 32;
    const float *b0 = (const float *)(const void *)j->b[0],
                *b1 = (const float *)(const void *)j->b[LAST];
    float nobody[16] __attribute__((aligned(64))) = {0}; /* reads what a panel past the end gives */
    tile_to to = {.ones = j->sums, .ld_ones = j->ld_sums};
    for (int p = 0; p < MANY_PANELS; p++) {
        to.c[p] = j->columns[p] ? j->c[p] : nobody;
        to.ld[p] = j->columns[p] ? j->ldc : 0;
        for (int r = 0; !j->more && r < R; r++)
            v16_store(to.c[p] + (size_t)r * to.ld[p], v16_zero());
        if (j->group == 1) {
            to.scale[p] = scales_at(j->scale[p], 0);
            to.min[p] = scales_at(j->min[p], 0);
        }
    }
    if (j->group <= 1) {
        fn(j->a, j->lda, b0, b1, j->blocks, &to);
        return;
    }
    for (size_t g = 0, b = 0; b < j->blocks; g++) {
        size_t n = j->blocks - b < j->group ? j->blocks - b : j->group;
        float ones[MANY_ROWS] = {0}, d[TILE] __attribute__((aligned(64)));
        const tile_to sum = {.c = {d, d + LAST * MANY_ROWS * 16}, .ld = {16, 16}};
        memset(d, 0, sizeof d);
        fn(j->a + block * b, j->lda, b0 + 16 * block * b, b1 + 16 * block * b, n, &sum);
        for (int r = 0; j->min[0] && r < R; r++)
            for (size_t i = b; i < b + n; i++)
                ones[r] += j->sums[(size_t)r * j->ld_sums + i];
        many_group(R, j, &to, g, d, ones);
        b += n;
    }
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

/* MANY_PANELS panels of a chunk of K in float (at most 32 KB) stay in L1 while the rows pass; the
 * rows' activations and their sums with CHUNK_PANELS panels in L2. */
enum { CHUNK_K = 256, CHUNK_PANELS = 8, CHUNK_ROWS = 256, CHUNK_GROUPS = CHUNK_K / 16 };

V16_INLINE void ask_for(const uint8_t *at, size_t from, size_t to)
{
    for (size_t i = from; i < to; i += 64)
        __builtin_prefetch(at + i, 0, 2);
}

/* rows cut into the fewest groups of at most MANY_ROWS, as even as can be */
static void rows_past(core_job *j, size_t rows)
{
    size_t groups = (rows + MANY_ROWS - 1) / MANY_ROWS;
    core_job job = *j;
    for (size_t g = 0, r = 0; g < groups; g++) {
        size_t n = (rows - r) / (groups - g);
        for (int p = 0; p < MANY_PANELS; p++) {
            ask_for(job.soon[p], g * job.soon_bytes / groups, (g + 1) * job.soon_bytes / groups);
            if (g == 0)
                ask_for(job.soon_scale[p], 0, job.soon_scale_bytes);
        }
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
    size_t panel_end; /* of the call */
    int layout;
    float *expanded;      /* [MANY_PANELS][CHUNK_K][16] */
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

/* The panels of one step to float */
static void expand_panels(const chunk *c, size_t p0, size_t p1)
{
    const hone_packed *w = c->w;
    for (size_t p = p0; p < p1 && c->layout != CORE_F32; p++)
        expand(c->layout, w->data + p * w->panel_bytes + c->k0 / 8 * core_unit_bytes(c->layout),
               (c->k1 - c->k0) / 8, w->table, w->low, c->expanded + (p - p0) * CHUNK_K * 16);
}

/* What the next chunk expands in place of panel p */
static void ask_chunk(const chunk *c, core_job *j, int s, size_t p)
{
    const hone_packed *w = c->w;
    size_t k = c->k1 < w->k_pad ? c->k1 : 0, next = k ? p : p + CHUNK_PANELS;
    size_t real = next < c->panel_end ? next : p;
    const uint8_t *panel = w->data + real * w->panel_bytes;
    j->soon[s] = panel + k / 8 * core_unit_bytes(c->layout);
    j->soon_bytes = (c->k1 - c->k0) / 8 * core_unit_bytes(c->layout);
    j->soon_scale[s] =
        panel + w->scale_offset + (w->group ? k / w->group * 16 * (size_t)w->scale_bytes : 0);
    j->soon_scale_bytes = w->group ? (c->k1 - c->k0) / w->group * 16 * (size_t)w->scale_bytes : 0;
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
        expand_panels(c, p, p + MANY_PANELS < c->panel1 ? p + MANY_PANELS : c->panel1);
        for (int s = 0; s < MANY_PANELS; s++) {
            size_t real = p + (size_t)s < c->panel1 ? p + (size_t)s : c->panel1 - 1;
            job_panel(&j, s, w, p + (size_t)s, c->panel1, NULL, NULL);
            ask_chunk(c, &j, s, real);
            if (c->layout == CORE_F32)
                j.b[s] += c->k0 * 64;
            else
                j.b[s] = (const uint8_t *)(c->expanded + (real - p) * CHUNK_K * 16);
            j.scale[s] = (const uint8_t *)(c->scales + (real - c->panel0) * CHUNK_GROUPS * 16);
            if (j.min[s])
                j.min[s] = (const uint8_t *)(c->mins + (real - c->panel0) * CHUNK_GROUPS * 16);
            j.c[s] = sums + (real - c->panel0) * CHUNK_ROWS * 16;
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

static void product_expanded(const hone_packed *w, const hone_act *a, size_t row0, size_t row1,
                             size_t panel0, size_t panel1, float *y, size_t ldy, const float *bias,
                             void *scratch)
{
    chunk c = {.w = w, .a = a, .layout = core_layout(w), .panel_end = panel1, .expanded = scratch};
    enum { SUMS = CHUNK_PANELS * CHUNK_ROWS * 16, SCALES = CHUNK_PANELS * CHUNK_GROUPS * 16 };
    float *sums = c.expanded + MANY_PANELS * CHUNK_K * 16, *d = sums + SUMS;
    c.scales = d + SUMS;
    c.mins = c.scales + SCALES;
    c.within = w->group && CHUNK_K % w->group;
    for (c.row0 = row0; c.row0 < row1; c.row0 = c.row1) {
        c.row1 = row1 - c.row0 < CHUNK_ROWS ? row1 : c.row0 + CHUNK_ROWS;
        for (c.panel0 = panel0; c.panel0 < panel1; c.panel0 = c.panel1) {
            c.panel1 = panel1 - c.panel0 < CHUNK_PANELS ? panel1 : c.panel0 + CHUNK_PANELS;
            for (c.k0 = 0; c.k0 < w->k_pad; c.k0 = c.k1) {
                size_t end = c.within ? (c.k0 / w->group + 1) * w->group : w->k_pad;
                end = end < w->k_pad ? end : w->k_pad;
                c.k1 = end - c.k0 < CHUNK_K ? end : c.k0 + CHUNK_K;
                if (w->scale_bytes)
                    expand_scales(&c);
                many_chunk(&c, c.within ? d : sums);
                if (c.within && c.k1 == end)
                    scale_sums(&c, d, sums);
            }
            core_write(w, c.row1 - c.row0, c.panel0, c.panel1, sums, CHUNK_ROWS, y + c.row0 * ldy,
                       ldy, bias);
        }
    }
}

#endif
