/*
 * product - products with packed weights over v16 (docs/numerics.md, "Products"). Included by a
 * set's folder after its vec.h, with these choices: FEW_PANELS_1..4  panels in flight for 1, 2, 3,
 * 4 rows read straight from the packed codes (0 = the set expands them instead, as for many rows)
 *   MANY_ROWS, MANY_PANELS  block of the many-row kernel, whose weights are expanded to float first
 *   MANY_TWO_PASS    1: all even k, then all odd (fewer registers); 0: both at once
 *
 * One template does all: `core` multiplies R rows with P panels over some blocks of 32, and the
 * compiler makes one function of it for every layout, R and P in use.
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

enum { CORE_P = 4, CORE_R = 8 };

/* What one call of the template works on: `blocks` blocks of 32 along K from some k0. */
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
    size_t columns[CORE_P];    /* of each panel that exist (1..16); 0 = do not write it */
    bool more;                 /* add to what c holds; otherwise from +0 */
    const float *bias[CORE_P]; /* added at the very end, or NULL */
    const float *table;
    size_t prefetch_bytes; /* how far ahead of the codes to ask for lines; 0 = not */
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

V16_INLINE void core_prefetch(int layout, const uint8_t *b, size_t unit, size_t ahead)
{
    for (size_t i = 0; i < core_unit_bytes(layout); i += 64)
        __builtin_prefetch(b + unit * core_unit_bytes(layout) + ahead + i, 0, 3);
}

/* E + O of one block for R x P, both chains at once */
V16_INLINE void core_block(int layout, int R, int P, const core_job *j, size_t block, v16_table t,
                           v16 s[CORE_P][CORE_R])
{
    v16 e[CORE_P][CORE_R], o[CORE_P][CORE_R];
    UNROLL for (int p = 0; p < P; p++) UNROLL for (int r = 0; r < R; r++) e[p][r] = o[p][r] =
        v16_zero();
    for (size_t unit = 4 * block; unit < 4 * block + 4; unit++) {
        const float *a = j->a + 8 * unit;
        if (layout != CORE_F32 && j->prefetch_bytes) {
            UNROLL for (int p = 0; p < P; p++)
                core_prefetch(layout, j->b[p], unit, j->prefetch_bytes);
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

/* One chain (parity 0 = E, 1 = O) of one block, weights already float */
V16_INLINE void core_chain(int R, int P, const core_job *j, size_t block, size_t parity,
                           v16 s[CORE_P][CORE_R])
{
    v16 e[CORE_P][CORE_R];
    UNROLL for (int p = 0; p < P; p++) UNROLL for (int r = 0; r < R; r++) e[p][r] = v16_zero();
    for (size_t k = 32 * block + parity; k < 32 * block + 32; k += 8) {
        const float *a = j->a + k;
        UNROLL for (size_t i = 0; i < 8; i += 2)
        {
            v16 w[CORE_P];
            UNROLL for (int p = 0; p < P; p++) w[p] =
                v16_load((const float *)(const void *)j->b[p] + (k + i) * 16);
            UNROLL for (int r = 0; r < R; r++)
            {
                v16 ar = v16_set1(a[(size_t)r * j->lda + i]);
                UNROLL for (int p = 0; p < P; p++) e[p][r] = v16_fma(ar, w[p], e[p][r]);
            }
        }
    }
    UNROLL for (int p = 0; p < P; p++) UNROLL for (int r = 0; r < R; r++) s[p][r] = e[p][r];
}

V16_INLINE void core_sum(int layout, int R, int P, const core_job *j, size_t block, v16_table t,
                         v16 s[CORE_P][CORE_R])
{
    if (layout != CORE_F32 || !MANY_TWO_PASS) {
        core_block(layout, R, P, j, block, t, s);
        return;
    }
    v16 o[CORE_P][CORE_R];
    core_chain(R, P, j, block, 0, s);
    core_chain(R, P, j, block, 1, o);
    UNROLL for (int p = 0; p < P; p++) UNROLL for (int r = 0; r < R; r++) s[p][r] =
        v16_add(s[p][r], o[p][r]);
}

/* One group: D from its blocks, then C = fma(scale, D, C) and C = fma(min, SA, C) */
V16_INLINE void core_group(int layout, int R, int P, const core_job *j, size_t g, v16_table t,
                           v16 c[CORE_P][CORE_R])
{
    v16 d[CORE_P][CORE_R], s[CORE_P][CORE_R];
    float ones[CORE_R];
    size_t end = (g + 1) * j->group < j->blocks ? (g + 1) * j->group : j->blocks;
    UNROLL for (int p = 0; p < P; p++) UNROLL for (int r = 0; r < R; r++) d[p][r] = v16_zero();
    UNROLL for (int r = 0; r < R; r++) ones[r] = 0.0f;
    for (size_t block = g * j->group; block < end; block++) {
        core_sum(layout, R, P, j, block, t, s);
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
            core_sum(layout, R, P, j, block, t, s);
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

#define CORE_FN(name, layout, R, P)                                                                \
    static __attribute__((noinline)) void name(const core_job *j)                                  \
    {                                                                                              \
        core(layout, R, P, j);                                                                     \
    }

typedef void core_fn(const core_job *j);

/* ---- a few rows: straight from the codes ----------------------------------------------------- */

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

/* Points slot s of the job at panel p of w from block 0 on; panels past the last repeat it
 * unwritten. */
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
    core_job j = {.a = a->f32 + row * a->k_pad,
                  .lda = a->k_pad,
                  .blocks = blocks,
                  .group = w->scale_bytes ? w->group / 32 : 0,
                  .sums = a->sums ? a->sums + row * blocks : NULL,
                  .ld_sums = blocks,
                  .ldc = ldy,
                  .table = w->table,
                  .prefetch_bytes = FEW_PREFETCH};
    for (size_t p = panel0; p < panel1; p += step) {
        for (size_t s = 0; s < step; s++)
            job_panel(&j, (int)s, w, p + s, panel1, y + row * ldy, bias);
        few_fns[layout][rows - 1](&j);
    }
}

/* ---- many rows: a chunk of panels expanded to float, then all rows past it ---------------------
 */

#define MANY_FN(R) CORE_FN(many_##R, CORE_F32, R, MANY_PANELS)
MANY_FN(1)
MANY_FN(2)
MANY_FN(3)
MANY_FN(4)
MANY_FN(5)
MANY_FN(6)
#if MANY_ROWS > 6
MANY_FN(7)
#endif

static core_fn *const many_fns[] = {many_1, many_2, many_3, many_4, many_5, many_6,
#if MANY_ROWS > 6
                                    many_7
#endif
};

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

/* A chunk's panels in float stay in L2, the MANY_PANELS of one step (16 KB) in L1. */
enum { CHUNK_K_MAX = 256, CHUNK_K = CHUNK_K_MAX / MANY_PANELS, CHUNK_PANELS = 8 };

/* rows cut into the fewest groups of at most MANY_ROWS, as even as can be */
static void rows_past(core_job *j, size_t rows)
{
    size_t groups = (rows + MANY_ROWS - 1) / MANY_ROWS;
    core_job job = *j;
    for (size_t g = 0, r = 0; g < groups; g++) {
        size_t n = (rows - r) / (groups - g);
        many_fns[n - 1](&job);
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
    float *y;
    size_t ldy;
    const float *bias;
    int layout;
    float *scratch;
} chunk;

/* The product of one chunk of K and of panels, for all rows */
static void many_chunk(const chunk *c)
{
    const hone_packed *w = c->w;
    size_t span = c->k1 - c->k0, blocks = w->k_pad / 32;
    for (size_t p = c->panel0; p < c->panel1 && c->layout != CORE_F32; p++)
        expand(c->layout, w->data + p * w->panel_bytes + c->k0 / 8 * core_unit_bytes(c->layout),
               span / 8, w->table, c->scratch + (p - c->panel0) * CHUNK_K_MAX * 16);
    core_job j = {.lda = c->a->k_pad,
                  .blocks = span / 32,
                  .group = w->scale_bytes ? w->group / 32 : 0,
                  .ld_sums = blocks,
                  .ldc = c->ldy,
                  .more = c->k0 > 0,
                  .table = w->table};
    /* the panels of one step stay in L1 while the rows pass */
    for (size_t p = c->panel0; p < c->panel1; p += MANY_PANELS) {
        j.a = c->a->f32 + c->row0 * c->a->k_pad + c->k0;
        j.sums = c->a->sums ? c->a->sums + c->row0 * blocks + c->k0 / 32 : NULL;
        for (int s = 0; s < MANY_PANELS; s++) {
            size_t real = p + (size_t)s < c->panel1 ? p + (size_t)s : c->panel1 - 1;
            job_panel(&j, s, w, p + (size_t)s, c->panel1, c->y + c->row0 * c->ldy,
                      c->k1 == w->k_pad ? c->bias : NULL);
            if (c->layout == CORE_F32)
                j.b[s] += c->k0 * 64;
            else
                j.b[s] = (const uint8_t *)(c->scratch + (real - c->panel0) * CHUNK_K_MAX * 16);
            j.scale[s] += w->scale_bytes ? c->k0 / w->group * 32 : 0;
            if (j.min[s])
                j.min[s] += c->k0 / w->group * 32;
        }
        rows_past(&j, c->row1 - c->row0);
    }
}

static void product_many(const hone_packed *w, const hone_act *a, size_t row0, size_t row1,
                         size_t panel0, size_t panel1, float *y, size_t ldy, const float *bias,
                         void *scratch)
{
    chunk c = {.w = w,
               .a = a,
               .row0 = row0,
               .row1 = row1,
               .y = y,
               .ldy = ldy,
               .bias = bias,
               .layout = core_layout(w),
               .scratch = scratch};
    size_t step = w->scale_bytes && w->group > CHUNK_K ? CHUNK_K_MAX : CHUNK_K;
    for (size_t p = panel0; p < panel1; p += CHUNK_PANELS) {
        c.panel0 = p;
        c.panel1 = panel1 - p < CHUNK_PANELS ? panel1 : p + CHUNK_PANELS;
        for (size_t k0 = 0; k0 < w->k_pad; k0 += step) {
            c.k0 = k0;
            c.k1 = w->k_pad - k0 < step ? w->k_pad : k0 + step;
            many_chunk(&c);
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

/* ---- activations ------------------------------------------------------------------------------
 */

/* E + O of 16 blocks of 32 at once would need a transposition: one block's chains are short enough.
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
        float *to = act->f32 + r * act->k_pad;
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
