/*
 * int8 - products of int8 activations with codes of at most 8 bits (docs/numerics.md,
 * "Techniques"): a template over layouts and counts of rows and panels. A few rows go straight
 * through the packed codes; for more a pair of panels is spread over bytes once (K x 32 bytes, in
 * L2) and all rows pass it. The including set brings vec.h and core.h's v16, and:
 *
 * I8_VECTOR    bytes of a vector (32 or 64)
 * i8_sums      16 sums of int32: i8_set1, i8_load1 (a broadcast from memory), i8_add, i8_to_f32
 *
 * i8_dot(flush, &part, &sums, w, a)    part += w . a for 16 columns x 4 k; i8_flush puts a part
 *              into the sums after every `flush` calls (where a dot sums in 32 bits: at once)
 *
 * and what int8_spread.h wants, and:
 * I8_KEEP(sums)        keeps compilers from putting their sums off (and so in memory)
 * I8_SIGNED    1: codes of 8 bits are multiplied as they are, in parts; 0: plus 128, at once
 * I8_FEW_PANELS_2, _4    panels in flight for 1 and 2 rows, 3 and 4 rows
 * I8_PREFETCH  bytes of codes of a panel ahead of which lines are asked for
 * I8_DIRECT_ROWS    up to so many rows codes of 4 bits are read anew for every few
 * I8_MANY_PANELS, I8_MANY_ROWS, I8_MANY_ROWS_1    of many rows; rows of codes of 8 bits
 */
#ifndef HONE_KERNEL_GENERIC_INT8_H
#define HONE_KERNEL_GENERIC_INT8_H

#include "kernel/cpu/generic/int8_spread.h"
#include "kernel/int8.h"
#include "kernel/table.h"

enum { I8_ROWS_MAX = 6, I8_PANELS_MAX = 4 };

typedef struct int8_job {
    core_job core;       /* b, scale, min, super, min_super, scale_bytes, super_shift, c, bias... */
    const int8_t *codes; /* of the activations */
    size_t ld_codes;
    const float *scales; /* of the activations' blocks of 32 */
    const int32_t *sums; /* of their codes in each block */
    const int32_t *init; /* those times what the codes' bytes are too large by */
    size_t ld_scales, ld_blocks;
    /* of spread panels: codes that are spread next, of which each block asks for some lines, from
     * ask_from on in steps of ask_step, of ask_bytes for each block */
    const uint8_t *ask[I8_PANELS_MAX];
    size_t ask_from, ask_step, ask_bytes;
    size_t group; /* blocks per weight scale */
    bool whole;   /* one scale per row: sums go on through the group */
    uint8_t table[16];
} int8_job;

/* How many products of 4 may be summed in 16 bits */
V16_INLINE int i8_flush_of(int layout)
{
    return layout == CORE_I8 || layout == CORE_U4 ? 1
           : layout == CORE_U6                    ? 2
           : layout == CORE_U5                    ? 4
                                                  : 8;
}

/* sums += the products of half a block (16 k): units 2 p and 2 p + 1. Parts of 8 calls go on
 * through both halves. */
V16_INLINE void i8_half(int layout, int flush, int R, int P, const int8_job *j, size_t block, int p,
                        i8_sums part[I8_PANELS_MAX][I8_ROWS_MAX],
                        i8_sums sums[I8_PANELS_MAX][I8_ROWS_MAX])
{
    const int8_t *a = j->codes + block * 32 + p * 16;
    UNROLL for (int q = 0; q < 4; q++)
    {
        i8_quad w[I8_PANELS_MAX];
        UNROLL for (int n = 0; n < P; n++) w[n] = i8_quad_of(
            layout, j->core.b[n] + block * i8_block_bytes(layout), p, q / 2, q % 2, j->table);
        UNROLL for (int r = 0; r < R; r++)
        {
            i8_sums x = i8_load1(a + (size_t)r * j->ld_codes + 4 * q);
            UNROLL for (int n = 0; n < P; n++)
            {
                i8_dot(flush, &part[n][r], &sums[n][r], w[n], x);
                I8_KEEP(flush == 1 ? &sums[n][r] : &part[n][r]);
            }
        }
        if (flush < 8 && (q + 1) % flush == 0)
            UNROLL for (int n = 0; n < P; n++) UNROLL for (int r = 0; r < R; r++)
            {
                i8_flush(&part[n][r], &sums[n][r]);
                I8_KEEP(&sums[n][r]);
            }
    }
}

/* C = fma(scale * activation's scale, sums, C), and the same of mins */
V16_INLINE void i8_scale(int R, int P, const int8_job *j, size_t g, size_t block,
                         const int32_t *ones, i8_sums sums[I8_PANELS_MAX][I8_ROWS_MAX],
                         v16 c[I8_PANELS_MAX][I8_ROWS_MAX])
{
    const core_job *k = &j->core;
    UNROLL for (int n = 0; n < P; n++)
    {
        v16 s = core_scales(k, k->scale[n], k->super[n], g);
        UNROLL for (int r = 0; r < R; r++)
        {
            v16 by = s;
            if (!j->whole)
                by = v16_mul(s, v16_set1(j->scales[(size_t)r * j->ld_scales + block]));
            c[n][r] = v16_fma(by, i8_to_f32(sums[n][r]), c[n][r]);
        }
    }
    if (!k->min[0])
        return;
    UNROLL for (int n = 0; n < P; n++)
    {
        v16 m = core_scales(k, k->min[n], k->min_super[n], g);
        UNROLL for (int r = 0; r < R; r++)
        {
            v16 by = m;
            if (!j->whole)
                by = v16_mul(m, v16_set1(j->scales[(size_t)r * j->ld_scales + block]));
            c[n][r] = v16_fma(by, v16_set1((float)ones[r]), c[n][r]);
        }
    }
}

/* Sums begin with what the codes' bytes are too large by, and the sums of activations with them. */
V16_INLINE void i8_begin(int R, int P, const int8_job *j, size_t block, bool more, int32_t *ones,
                         i8_sums sums[I8_PANELS_MAX][I8_ROWS_MAX])
{
    UNROLL for (int r = 0; r < R; r++)
    {
        const size_t at = (size_t)r * j->ld_blocks + block;
        i8_sums x = i8_load1(j->init + at);
        UNROLL for (int n = 0; n < P; n++) sums[n][r] = more ? i8_add(sums[n][r], x) : x;
        if (j->core.min[0])
            ones[r] = more ? ones[r] + j->sums[at] : j->sums[at];
    }
}

/* Asks for the lines of a block that comes `ahead` blocks later, and its scales */
V16_INLINE void i8_prefetch(int layout, int P, const int8_job *j, size_t block)
{
    const core_job *k = &j->core;
    const size_t bytes = i8_block_bytes(layout) / (k->half ? 2 : 1);
    size_t ahead = core_ahead(k, block, k->blocks, k->ahead, bytes);
    UNROLL for (int n = 0; n < P; n++)
    {
        for (size_t i = 0; i < bytes; i += 64)
            __builtin_prefetch(k->b[n] + ahead + i, 0, 3);
        if (block % j->group)
            continue;
        size_t to = core_ahead(k, block / j->group, k->blocks / j->group, k->ahead / j->group + 1,
                               16 * (size_t)k->scale_bytes);
        __builtin_prefetch(k->scale[n] + to, 0, 3);
        if (k->min[0])
            __builtin_prefetch(k->min[n] + to, 0, 3);
    }
}

V16_INLINE void i8_ask(int P, const int8_job *j, size_t block)
{
    for (size_t i = j->ask_from; i < j->ask_bytes; i += j->ask_step)
        UNROLL for (int n = 0; n < P; n++)
            __builtin_prefetch(j->ask[n] + block * j->ask_bytes + i, 0, 2);
}

/* What C is multiplied by in the end, and what is added */
V16_INLINE v16 i8_end(const int8_job *j, int n, int r, v16 c)
{
    const core_job *k = &j->core;
    if (j->whole)
        c = v16_mul(c, v16_set1(j->scales[(size_t)r * j->ld_scales]));
    return k->bias[n] ? v16_add(c, v16_load_n(k->bias[n], k->columns[n])) : c;
}

V16_INLINE void int8_core(int layout, int flush, int R, int P, const int8_job *j)
{
    const core_job *k = &j->core;
    i8_sums sums[I8_PANELS_MAX][I8_ROWS_MAX], part[I8_PANELS_MAX][I8_ROWS_MAX];
    v16 c[I8_PANELS_MAX][I8_ROWS_MAX];
    int32_t ones[I8_ROWS_MAX] = {0};
    const bool late = I8_SIGNED && flush == 8; /* sums are wanted after a whole block only */
    UNROLL for (int n = 0; n < P; n++) UNROLL for (int r = 0; r < R; r++)
    {
        c[n][r] = v16_zero();
        part[n][r] = i8_set1(0);
        if (R > 1) /* y's rows lie far apart: their lines come while the sums go on */
            __builtin_prefetch(k->c[n] + (size_t)r * k->ldc, 1, 3);
    }
    for (size_t g = 0, block = 0; block < k->blocks; g++) {
        size_t end = block + j->group < k->blocks ? block + j->group : k->blocks;
        for (bool more = false; block < end; block++) {
            if (layout == I8_SPREAD)
                i8_ask(P, j, block);
            else if (k->ahead)
                i8_prefetch(layout, P, j, block);
            if (!late)
                i8_begin(R, P, j, block, more, ones, sums);
            if (k->half) {
                i8_half(layout, flush, R, P, j, block / 2, (int)(block % 2), part, sums);
            } else {
                i8_half(layout, flush, R, P, j, block, 0, part, sums);
                i8_half(layout, flush, R, P, j, block, 1, part, sums);
            }
            if (late) {
                i8_begin(R, P, j, block, more, ones, sums);
                UNROLL for (int n = 0; n < P; n++) UNROLL for (int r = 0; r < R; r++)
                    i8_flush(&part[n][r], &sums[n][r]);
            }
            more = j->whole;
            if (!more || block + 1 == end)
                i8_scale(R, P, j, g, k->half ? block / 2 : block, ones, sums, c);
        }
    }
    UNROLL for (int n = 0; n < P; n++)
    {
        if (!k->columns[n])
            continue;
        UNROLL for (int r = 0; r < R; r++)
            v16_store_n(k->c[n] + (size_t)r * k->ldc, i8_end(j, n, r, c[n][r]), k->columns[n]);
    }
}

typedef void int8_fn(const int8_job *j);

#define I8_FN(name, layout, flush, R, P)                                                           \
    static __attribute__((noinline)) void name(const int8_job *j)                                  \
    {                                                                                              \
        int8_core(layout, flush, R, P, j);                                                         \
    }
#define I8_FEW(L, layout)                                                                          \
    I8_FN(int8_##L##_1, layout, i8_flush_of(layout), 1, I8_FEW_PANELS_2)                           \
    I8_FN(int8_##L##_2, layout, i8_flush_of(layout), 2, I8_FEW_PANELS_2)                           \
    I8_FN(int8_##L##_3, layout, i8_flush_of(layout), 3, I8_FEW_PANELS_4)                           \
    I8_FN(int8_##L##_4, layout, i8_flush_of(layout), 4, I8_FEW_PANELS_4)                           \
    static int8_fn *const int8_##L[] = {int8_##L##_1, int8_##L##_2, int8_##L##_3, int8_##L##_4};
I8_FEW(i8, CORE_I8)
I8_FEW(u4, CORE_U4)
I8_FEW(u4_linear, CORE_U4_LINEAR)
I8_FEW(u2, CORE_U2)
I8_FEW(u3, CORE_U3)
I8_FEW(u5, CORE_U5)
I8_FEW(u6, CORE_U6)

#define I8_MANY(flush)                                                                             \
    I8_FN(int8_many_##flush##_1, I8_SPREAD, flush, 1, I8_MANY_PANELS)                              \
    I8_FN(int8_many_##flush##_2, I8_SPREAD, flush, 2, I8_MANY_PANELS)                              \
    I8_FN(int8_many_##flush##_3, I8_SPREAD, flush, 3, I8_MANY_PANELS)                              \
    I8_FN(int8_many_##flush##_4, I8_SPREAD, flush, 4, I8_MANY_PANELS)                              \
    I8_FN(int8_many_##flush##_5, I8_SPREAD, flush, 5, I8_MANY_PANELS)                              \
    I8_FN(int8_many_##flush##_6, I8_SPREAD, flush, 6, I8_MANY_PANELS)                              \
    static int8_fn *const int8_many_##flush[] = {int8_many_##flush##_1, int8_many_##flush##_2,     \
                                                 int8_many_##flush##_3, int8_many_##flush##_4,     \
                                                 int8_many_##flush##_5, int8_many_##flush##_6};
I8_MANY(1)
#if I8_SIGNED
I8_MANY(2)
I8_MANY(4)
I8_MANY(8)
#else
#define int8_many_2 int8_many_1
#define int8_many_4 int8_many_1
#define int8_many_8 int8_many_1
#endif

static int int8_layout(const hone_packed *w)
{
    static const int cores[HONE_LAYOUT_COUNT] = {
        [HONE_LAYOUT_I8] = CORE_I8, [HONE_LAYOUT_U4] = CORE_U4, [HONE_LAYOUT_U2] = CORE_U2,
        [HONE_LAYOUT_U3] = CORE_U3, [HONE_LAYOUT_U5] = CORE_U5, [HONE_LAYOUT_U6] = CORE_U6};
    bool linear = w->layout == HONE_LAYOUT_U4;
    for (int i = 1; i < 16; i++)
        linear = linear && w->table[i] == w->table[0] + (float)i;
    return linear ? CORE_U4_LINEAR : cores[w->layout];
}

/* What must be added to the bytes of codes to give their values */
static int32_t int8_low(const hone_packed *w, int layout)
{
    if (layout == CORE_I8 || layout == CORE_U4)
        return I8_SIGNED ? 0 : -128;
    return (int32_t)(layout == CORE_U4_LINEAR ? w->table[0] : w->low);
}

V16_INLINE void spread_layout(int layout, const uint8_t *codes, size_t blocks, const uint8_t *table,
                              uint8_t *to)
{
    for (size_t b = 0; b < blocks; b++, codes += i8_block_bytes(layout))
        UNROLL for (int q = 0; q < 8; q++, to += 64)
            i8_store(to, i8_quad_of(layout, codes, q / 4, q / 2 % 2, q % 2, table));
}

#define I8_SPREAD_FN(L, layout)                                                                    \
    static __attribute__((noinline)) void spread_##L(const uint8_t *codes, size_t blocks,          \
                                                     const uint8_t *table, uint8_t *to)            \
    {                                                                                              \
        spread_layout(layout, codes, blocks, table, to);                                           \
    }
I8_SPREAD_FN(i8, CORE_I8)
I8_SPREAD_FN(u4, CORE_U4)
I8_SPREAD_FN(u4_linear, CORE_U4_LINEAR)
I8_SPREAD_FN(u2, CORE_U2)
I8_SPREAD_FN(u3, CORE_U3)
I8_SPREAD_FN(u5, CORE_U5)
I8_SPREAD_FN(u6, CORE_U6)

typedef void spread_fn(const uint8_t *codes, size_t blocks, const uint8_t *table, uint8_t *to);

typedef struct int8_row {
    int8_fn *const *few, *const *many;
    spread_fn *spread;
} int8_row;

/* By core layout */
static const int8_row int8_rows[] = {
    [CORE_I8] = {int8_i8, int8_many_1, spread_i8},
    [CORE_U4] = {int8_u4, int8_many_1, spread_u4},
    [CORE_U4_LINEAR] = {int8_u4_linear, int8_many_8, spread_u4_linear},
    [CORE_U2] = {int8_u2, int8_many_8, spread_u2},
    [CORE_U3] = {int8_u3, int8_many_8, spread_u3},
    [CORE_U5] = {int8_u5, int8_many_4, spread_u5},
    [CORE_U6] = {int8_u6, int8_many_2, spread_u6},
};

/* One call's matrices, and its scratch: init, then the panels in bytes and their scales */
typedef struct int8_call {
    const hone_packed *w;
    const hone_act *a;
    int layout;
    int32_t low;
    size_t blocks, groups; /* blocks of 32, of 16 in groups of 16 */
    int32_t *init;         /* [I8_ROWS_MAX][blocks] */
    uint8_t *bytes;        /* [I8_MANY_PANELS][k_pad][16] */
    float *scales, *mins;  /* [I8_MANY_PANELS][groups][16] */
    uint8_t *end;
} int8_call;

static uint8_t *int8_cut(uint8_t **at, size_t bytes)
{
    uint8_t *here = *at;
    *at += (bytes + 63) / 64 * 64;
    return here;
}

static int8_call int8_begin(const hone_packed *w, const hone_act *a, void *scratch)
{
    int8_call x = {.w = w, .a = a, .layout = int8_layout(w), .end = scratch};
    x.low = int8_low(w, x.layout);
    x.blocks = w->k_pad / (w->group == 16 ? 16 : 32);
    x.groups = (w->k_pad + w->group - 1) / w->group;
    x.init = (int32_t *)(void *)int8_cut(&x.end, I8_ROWS_MAX * x.blocks * 4);
    x.bytes = int8_cut(&x.end, I8_MANY_PANELS * w->k_pad * 16);
    x.scales = (float *)(void *)int8_cut(&x.end, I8_MANY_PANELS * x.groups * 64);
    x.mins = (float *)(void *)int8_cut(&x.end, I8_MANY_PANELS * x.groups * 64);
    return x;
}

/* The job of some rows from `row` on, without its panels */
static void int8_rows_of(const int8_call *x, size_t row, size_t rows, int8_job *j)
{
    const hone_packed *w = x->w;
    const hone_act *a = x->a;
    j->codes = a->codes8 + row * a->ld8;
    j->ld_codes = a->ld8;
    j->scales = a->scales8 + row * (a->k_pad / 32);
    j->ld_scales = a->k_pad / 32;
    j->sums = (w->group == 16 ? a->sums8_16 : a->sums8) + row * x->blocks;
    j->init = x->init;
    j->ld_blocks = x->blocks;
    for (size_t i = 0; i < rows * x->blocks; i++)
        x->init[i] = (int32_t)((uint32_t)j->sums[i] * (uint32_t)x->low); /* NaN rows: any codes */
}

static int8_job int8_job_of(const int8_call *x)
{
    const hone_packed *w = x->w;
    int8_job j = {.group = w->group / (w->group == 16 ? 16 : 32), .whole = x->a->row_scales};
    j.core.blocks = x->blocks;
    j.core.half = w->group == 16;
    j.core.scale_bytes = w->scale_bytes;
    j.core.super_shift = w->scale_bytes == 1 ? (unsigned)__builtin_ctzll(256 / w->group) : 0;
    for (int i = 0; i < 16; i++)
        j.table[i] = (uint8_t)((int)w->table[i] + (I8_SIGNED ? 0 : 128));
    return j;
}

static void int8_panel(const hone_packed *w, core_job *k, int s, size_t p, size_t panel_end,
                       float *y, const float *bias)
{
    size_t real = p < panel_end ? p : panel_end - 1, left = w->n - real * 16;
    const uint8_t *panel = w->data + real * w->panel_bytes;
    k->b[s] = panel;
    k->scale[s] = panel + w->scale_offset;
    k->min[s] = w->has_min ? panel + w->min_offset : NULL;
    k->super[s] = panel + w->super_offset;
    k->min_super[s] = panel + w->min_super_offset;
    k->c[s] = y + real * 16;
    k->bias[s] = bias ? bias + real * 16 : NULL;
    k->columns[s] = p >= panel_end ? 0 : left < 16 ? left : 16;
}

static void int8_few(const int8_call *x, size_t row, size_t rows, size_t panel0, size_t panel1,
                     float *y, size_t ldy, const float *bias)
{
    int8_job j = int8_job_of(x);
    int step = rows <= 2 ? I8_FEW_PANELS_2 : I8_FEW_PANELS_4;
    int8_rows_of(x, row, rows, &j);
    j.core.ldc = ldy;
    j.core.ahead = (j.core.half ? (size_t)2 : 1) * I8_PREFETCH / i8_block_bytes(x->layout);
    j.core.next = (size_t)step * x->w->panel_bytes;
    for (size_t p = panel0; p < panel1; p += (size_t)step) {
        for (int s = 0; s < step; s++)
            int8_panel(x->w, &j.core, s, p + (size_t)s, panel1, y + row * ldy, bias);
        int8_rows[x->layout].few[rows - 1](&j);
    }
}

/* Panels [p, p + I8_MANY_PANELS) into scratch: bytes and float scales. j's pointers go there. */
static void int8_spread(const int8_call *x, int8_job *j)
{
    core_job stored = j->core, *k = &j->core;
    for (int s = 0; s < I8_MANY_PANELS; s++) {
        uint8_t *to = x->bytes + (size_t)s * x->w->k_pad * 16;
        float *scales = x->scales + (size_t)s * x->groups * 16,
              *mins = x->mins + (size_t)s * x->groups * 16;
        int8_rows[x->layout].spread(k->b[s], x->w->k_pad / 32, j->table, to);
        for (size_t g = 0; g < x->groups; g++) {
            v16_store(scales + g * 16, core_scales(&stored, k->scale[s], k->super[s], g));
            if (k->min[s])
                v16_store(mins + g * 16, core_scales(&stored, k->min[s], k->min_super[s], g));
        }
        k->b[s] = to;
        k->scale[s] = (const uint8_t *)scales;
        k->min[s] = k->min[s] ? (const uint8_t *)mins : NULL;
    }
    k->scale_bytes = 4;
}

static void int8_many(const int8_call *x, size_t row0, size_t row1, size_t panel0, size_t panel1,
                      float *y, size_t ldy, const float *bias)
{
    for (size_t p = panel0; p < panel1; p += I8_MANY_PANELS) {
        int8_job j = int8_job_of(x);
        j.core.ldc = ldy;
        for (int s = 0; s < I8_MANY_PANELS; s++)
            int8_panel(x->w, &j.core, s, p + (size_t)s, panel1, y + row0 * ldy, bias);
        for (int s = 0; s < I8_MANY_PANELS; s++) { /* as far as there are panels */
            size_t next = p + (size_t)(s + I8_MANY_PANELS), last = panel1 - 1;
            j.ask[s] = x->w->data + (next < last ? next : last) * x->w->panel_bytes;
        }
        int8_spread(x, &j);
        size_t most = i8_flush_of(x->layout) == 1 ? I8_MANY_ROWS_1 : I8_MANY_ROWS,
               groups = (row1 - row0 + most - 1) / most, row = row0;
        j.ask_step = groups * 64;
        j.ask_bytes = i8_block_bytes(x->layout) / (j.core.half ? 2 : 1);
        for (size_t g = 0; g < groups; g++) { /* as even as can be */
            size_t rows = (row1 - row) / (groups - g);
            int8_rows_of(x, row, rows, &j);
            j.ask_from = g * 64;
            int8_rows[x->layout].many[rows - 1](&j);
            for (int s = 0; s < I8_MANY_PANELS; s++)
                j.core.c[s] += rows * ldy;
            row += rows;
        }
    }
}

/* ---- the slots ------------------------------------------------------------------------------ */

static void product_int8(const hone_packed *w, const hone_act *a, size_t row0, size_t row1,
                         size_t panel0, size_t panel1, float *y, size_t ldy, const float *bias,
                         void *scratch)
{
    int8_call x = int8_begin(w, a, scratch);
    bool fits = (size_t)(x.end - (uint8_t *)scratch) <= HONE_SCRATCH_PRODUCT;
    size_t direct = x.layout == CORE_U4_LINEAR ? I8_DIRECT_ROWS : HONE_FEW_ROWS;
    if (row1 - row0 > direct && fits) {
        int8_many(&x, row0, row1, panel0, panel1, y, ldy, bias);
        return;
    }
    size_t groups = (row1 - row0 + HONE_FEW_ROWS - 1) / HONE_FEW_ROWS;
    for (size_t row = row0; row < row1; groups--) { /* as even as can be */
        size_t rows = (row1 - row) / groups;
        int8_few(&x, row, rows, panel0, panel1, y, ldy, bias);
        row += rows;
    }
}

/* Largest magnitude, and NaN if there is a NaN or an infinity */
V16_INLINE void i8_extent(v16 x, v16 *top, v16 *bad)
{
    *top = v16_max(*top, v16_max(x, v16_sub(v16_zero(), x)));
    *bad = v16_fma(x, v16_zero(), *bad);
}

/* 16 or fewer activations, rounded */
V16_INLINE v16 i8_rounded(const float *x, size_t k, size_t n)
{
    return v16_round_bf16(v16_load_n(k < n ? x + k : x, k < n ? n - k : 0));
}

static float i8_scale_of(const float *x, size_t n)
{
    v16 top = v16_zero(), bad = v16_zero();
    for (size_t i = 0; i < n; i += 16)
        i8_extent(i8_rounded(x, i, n), &top, &bad);
    return v16_reduce_max(top) / 127.0f + v16_reduce_add(bad);
}

static void act_int8(hone_act *act, const float *x, size_t ldx, size_t row0, size_t row1)
{
    const size_t blocks = act->k_pad / 32, n = act->k;
    for (size_t r = row0; r < row1; r++) {
        const float *row = x + r * ldx;
        float *scales = act->scales8 + r * blocks;
        float whole = act->row_scales ? i8_scale_of(row, n) : 0.0f;
        for (size_t b = 0, k = 0; b < blocks; b++, k += 32) {
            float s = scales[b] =
                act->row_scales ? whole : i8_scale_of(row + k, n - k < 32 ? n - k : 32);
            v16 by = v16_set1(s > 0.0f ? s : __builtin_inff());
            int32_t sums[2];
            i8_store_codes(v16_div(i8_rounded(row, k, n), by),
                           v16_div(i8_rounded(row, k + 16, n), by), hone_int8_block(act, r, b),
                           sums);
            if (!act->sums8)
                continue;
            act->sums8_16[(r * blocks + b) * 2] = sums[0];
            act->sums8_16[(r * blocks + b) * 2 + 1] = sums[1];
            act->sums8[r * blocks + b] = sums[0] + sums[1];
        }
    }
}

#endif
