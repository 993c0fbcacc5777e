/*
 * int8 - products of int8 activations of many rows with TDPBSSD (docs/numerics.md, "Techniques").
 * Sums of whole numbers are exact, so only where they become float32 is there an order to keep.
 *
 * Weights are spread to signed bytes (generic/int8_spread.h), which is how a tile wants them: 4 k x
 * 16 columns in a row. The activations' codes are tiles as they lie, rows ld8 bytes apart.
 *
 * blocks  sums that end every 32 or 16 of k (int8), or with a short group (int8-row): 30 rows x 1
 *         panel, C in 30 registers, sums out of the tiles through L1. The tiles are filled by half
 *         or less, which the definition asks for.
 * wide    int8-row with groups of a multiple of 64, or of a whole row: 32 x 32 blocks, 64 of k at a
 *         time, sums in the tiles for a whole group.
 *
 * Few rows, and what neither takes, are the weaker set's. docs/experiments/int8-products.md counts
 * instructions: it was written without a processor that has them.
 */
#include "kernel/cpu/avx512/vec.h"

#include "kernel/int8.h"

#define CORE_SUMS 16
#define I8_SIGNED 1

#include "kernel/cpu/amx/scaled.h"
#include "kernel/cpu/amx/tile.h"
#include "kernel/cpu/avx512/quad.h"
#include "kernel/cpu/generic/int8_spread.h"
#include "kernel/table.h"

enum { SPAN = 2048, BLOCK_CHUNK = 8 * SCALED_ROWS, STRIDE = 32 };
enum { WIDE_CHUNK = 256, WIDE_STEP = 512, WIDE_BYTES = 1 << 20, WIDE_ONES = 256 << 10 };

static hone_product_many_fn *int8_below;

/* ---- weights -------------------------------------------------------------------------------- */

V16_INLINE void spread_of(int layout, const tile_call *x, const uint8_t *codes, size_t blocks,
                          uint8_t *to)
{
    __m512i low = _mm512_set1_epi8(core_is_planes(layout) ? (char)(int)x->w->low : 0);
    for (size_t b = 0; b < blocks; b++, codes += i8_block_bytes(layout))
        UNROLL for (int q = 0; q < 8; q++, to += 64)
        {
            i8_quad quad = i8_quad_of(layout, codes, q / 4, q / 2 % 2, q % 2, x->table);
            _mm512_storeu_si512((void *)to, _mm512_add_epi8((__m512i)quad.p[0], low));
        }
}

/* Blocks of 32 [from, from + blocks) of a panel as signed bytes: 512 for each */
static void spread(const tile_call *x, const uint8_t *panel, size_t from, size_t blocks,
                   uint8_t *to)
{
#define SPREAD(ID)                                                                                 \
    case HONE_LAYOUT_##ID:                                                                         \
        spread_of(CORE_##ID, x, panel + from * i8_block_bytes(CORE_##ID), blocks, to);             \
        break
    switch (x->w->layout) {
        SPREAD(U2);
        SPREAD(U3);
        SPREAD(U4);
        SPREAD(U5);
        SPREAD(U6);
        SPREAD(I8);
    default:
        break; /* hone_int8_takes */
    }
#undef SPREAD
}

/* Part i of n of the bytes at `at` comes to L2 meanwhile. */
static void ahead(const uint8_t *at, size_t bytes, size_t i, size_t n)
{
    for (size_t b = bytes * i / n / 64 * 64; b < bytes * (i + 1) / n; b += 64)
        __builtin_prefetch(at + b, 0, 2);
}

/* ---- activations and results ---------------------------------------------------------------- */

/* Tiles 0, 1, 4 for the first `low` rows of a block of rows, 2, 3, 5 for the others; k bytes of k.
 */
static void shape(tile_call *x, size_t rows, size_t low, size_t k)
{
    tile_config c;
    size_t high = rows > low ? rows - low : 1;
    if (x->shape == rows)
        return;
    tile_fill_config(&c, (int)(rows < low ? rows : low), (int)k);
    c.rows[2] = c.rows[3] = c.rows[5] = (uint8_t)high;
    tile_set_config(&c);
    x->shape = rows;
}

/* Sum of the codes of row r over blocks of 32 (16 in groups of 16) [from, to) */
static float codes_sum(const tile_call *x, size_t r, size_t from, size_t to)
{
    size_t size = x->w->group == 16 ? 16 : 32;
    const int32_t *at = size == 16 ? x->a->sums8_16 : x->a->sums8;
    uint32_t sum = 0; /* a row with NaNs has any codes */
    for (size_t b = from; b < to; b++)
        sum += (uint32_t)at[r * (x->w->k_pad / size) + b];
    return (float)(int32_t)sum;
}

/* Finished sums of a panel to y: times the scale of their row if there is only one, and the bias */
static void finish(const tile_call *x, size_t panel, size_t row, size_t rows, const float *c)
{
    size_t n = x->w->n - panel * 16;
    v16 bias = x->bias ? v16_load_n(x->bias + panel * 16, n) : v16_zero();
    for (size_t r = row; r < row + rows; r++, c += 16) {
        v16 v = v16_load(c);
        if (x->a->row_scales)
            v = v16_mul(v, v16_set1(x->a->scales8[r * (x->a->k_pad / 32)]));
        v16_store_n(x->y + r * x->ldy + panel * 16, x->bias ? v16_add(v, bias) : v, n);
    }
}

/* ---- blocks --------------------------------------------------------------------------------- */

/* Some rows (at most 30) x a panel, over the sums [from, to) of a span */
typedef struct blocks_job {
    const hone_packed *w;
    const uint8_t *panel, *b; /* the panel, and its span in bytes */
    const int8_t *a;          /* codes of the first row where the span begins */
    size_t lda, rows;
    size_t from, to, each, blocks; /* sums; blocks of each, and of the row */
    const float *by, *ones;        /* [to - from][STRIDE]: scales of activations; sums of codes */
    float *c;                      /* [30][16], in and out */
} blocks_job;

V16_INLINE void blocks_30(bool row_scales, const blocks_job *j)
{
    int32_t d[2][SCALED_ROWS][16] __attribute__((aligned(64)));
    const hone_packed *w = j->w;
    const size_t size = w->group == 16 ? 16 : 32;
    const bool high = j->rows > 15;
    const size_t per = w->group / size / j->each; /* sums with one scale */
    size_t g = j->from / per;
    const int8_t *a = j->a;
    const uint8_t *b = j->b;
    if (j->rows < SCALED_ROWS)
        memset(d, 0, sizeof d);
#define LOAD_C(r) v16 c##r = v16_load(j->c + (r)*16);
    EACH_30(LOAD_C)
#undef LOAD_C
    for (size_t u = j->from, block = u * j->each; u < j->to; u++) {
        g += u == (g + 1) * per;
        int32_t *du = d[u % 2][0];
        size_t end = block + j->each < j->blocks ? block + j->each : j->blocks;
        const float *by = j->by + (u - j->from) * STRIDE;
        const float *ones = j->ones + (u - j->from) * STRIDE;
        tile_zero(0);
        tile_zero(2);
        for (; block < end; block++, a += size, b += 16 * size) {
            tile_load(6, b, 64);
            tile_load(4, a, j->lda);
            tile_dpbssd(0, 4, 6);
            if (high) {
                tile_load(5, a + 15 * j->lda, j->lda);
                tile_dpbssd(2, 5, 6);
            }
        }
        tile_store(0, du, 64);
        if (high)
            tile_store(2, du + 15 * 16, 64);
        v16 s = scales_of(w, j->panel + w->scale_offset, j->panel + w->super_offset, g);
#define SCALED(s, r) (row_scales ? (s) : v16_mul(s, v16_set1(by[r])))
#define SUM(r)       _mm512_cvtepi32_ps(_mm512_load_si512((const void *)(du + (r)*16)))
#define SCALE_C(r)   c##r = v16_fma(SCALED(s, r), SUM(r), c##r);
        EACH_30(SCALE_C)
#undef SCALE_C
#undef SUM
        if (!w->has_min)
            continue;
        s = scales_of(w, j->panel + w->min_offset, j->panel + w->min_super_offset, g);
#define MIN_C(r) c##r = v16_fma(SCALED(s, r), v16_set1(ones[r]), c##r);
        EACH_30(MIN_C)
#undef MIN_C
#undef SCALED
    }
#define STORE_C(r) v16_store(j->c + (r)*16, c##r);
    EACH_30(STORE_C)
#undef STORE_C
}

static void blocks_int8(const blocks_job *j)
{
    blocks_30(false, j);
}

static void blocks_int8_row(const blocks_job *j)
{
    blocks_30(true, j);
}

/* What a sum is multiplied by besides the weights' scale, and the sums of codes, for the rows of
 * one block of 30; 0 for rows that there are not. */
static void block_factors(const tile_call *x, const blocks_job *j, size_t row, float *by,
                          float *ones)
{
    const hone_act *a = x->a;
    size_t size = j->w->group == 16 ? 16 : 32;
    for (size_t u = j->from; u < j->to; u++, by += STRIDE, ones += STRIDE) {
        size_t block = u * j->each, left = j->blocks - block;
        size_t end = block + (left < j->each ? left : j->each);
        for (size_t r = 0; r < STRIDE; r++) {
            bool there = r < j->rows;
            by[r] = there && !a->row_scales
                        ? a->scales8[(row + r) * (a->k_pad / 32) + block * size / 32]
                        : 0.0f;
            ones[r] = there && j->w->has_min ? codes_sum(x, row + r, block, end) : 0.0f;
        }
    }
}

/* Rows [row, end), at most BLOCK_CHUNK, over sums [j->from, j->to) */
static void blocks_span(tile_call *x, blocks_job *j, size_t row, size_t end)
{
    const hone_packed *w = x->w;
    const size_t size = w->group == 16 ? 16 : 32, units = j->to - j->from;
    const size_t k0 = j->from * j->each * size, last = j->to * j->each * size,
                 k1 = last < w->k_pad ? last : w->k_pad;
    const size_t parts = (end - row + SCALED_ROWS - 1) / SCALED_ROWS;
    uint8_t *bytes = x->scratch;
    float *c = (float *)(void *)(bytes + SPAN * 16), *by = c + SCALED_ROWS * 16;
    float *ones = by + parts * units * STRIDE;
    for (size_t p = x->panel0; p < x->panel1; p++) {
        j->panel = w->data + p * w->panel_bytes;
        j->b = bytes;
        j->c = c;
        spread(x, j->panel, k0 / 32, (k1 - k0) / 32, bytes);
        for (size_t i = 0, r = row; r < end; i++, r += SCALED_ROWS) {
            size_t n = w->n - p * 16;
            j->rows = end - r < SCALED_ROWS ? end - r : SCALED_ROWS;
            j->by = by + i * units * STRIDE;
            j->ones = ones + i * units * STRIDE;
            j->a = x->a->codes8 + r * x->a->ld8 + k0;
            if (p == x->panel0)
                block_factors(x, j, r, by + i * units * STRIDE, ones + i * units * STRIDE);
            memset(c, 0, SCALED_ROWS * 64);
            for (size_t k = 0; k0 && k < j->rows; k++)
                v16_store(c + k * 16, v16_load_n(x->y + (r + k) * x->ldy + p * 16, n));
            shape(x, j->rows, 15, size);
            ahead(j->panel + w->panel_bytes, w->panel_bytes, i, parts);
            (x->a->row_scales ? blocks_int8_row : blocks_int8)(j);
            if (k1 == w->k_pad)
                finish(x, p, r, j->rows, c);
            else
                for (size_t k = 0; k < j->rows; k++)
                    v16_store_n(x->y + (r + k) * x->ldy + p * 16, v16_load(c + k * 16), n);
        }
    }
}

static void product_blocks(tile_call *x)
{
    const hone_packed *w = x->w;
    size_t size = w->group == 16 ? 16 : 32;
    blocks_job j = {.w = w, .lda = x->a->ld8, .each = 1, .blocks = w->k_pad / size};
    if (x->a->row_scales)
        j.each = w->group / size;
    size_t units = (j.blocks + j.each - 1) / j.each, span = SPAN / (j.each * size);
    for (size_t row = x->row0; row < x->row1; row += BLOCK_CHUNK) {
        size_t end = x->row1 - row < BLOCK_CHUNK ? x->row1 : row + BLOCK_CHUNK;
        for (j.from = 0; j.from < units; j.from = j.to) {
            j.to = units - j.from < span ? units : j.from + span;
            blocks_span(x, &j, row, end);
        }
    }
}

/* ---- wide ----------------------------------------------------------------------------------- */

/* Rows (at most 32) x two panels. Steps are 64 of k. */
typedef struct wide_job {
    const tile_call *x;
    const uint8_t *panel[2], *b[2];     /* the panels, and steps [from, to) of them in bytes */
    const int8_t *a;                    /* codes of the first row at step `from` */
    size_t rows, from, to, each, steps; /* steps of each group, and of the row */
    int32_t *sums;                      /* [4][16][16], of a group that goes on */
    const float *ones;                  /* [rows][groups] */
    float *c;                           /* [2][WIDE_CHUNK][16] */
} wide_job;

/* C = fma(scale, sums, C) of group g, whose sums are complete */
static void wide_scale(const wide_job *j, size_t g)
{
    const hone_packed *w = j->x->w;
    const size_t groups = (w->k_pad + w->group - 1) / w->group;
    for (size_t p = 0; p < 2; p++) {
        const uint8_t *at = j->panel[p];
        const int32_t *d = j->sums + p * 256;
        float *c = j->c + p * WIDE_CHUNK * 16;
        v16 m = v16_zero(), s = scales_of(w, at + w->scale_offset, at + w->super_offset, g);
        if (w->has_min)
            m = scales_of(w, at + w->min_offset, at + w->min_super_offset, g);
        for (size_t r = 0; r < j->rows; r++, c += 16) {
            const int32_t *dr = d + r / 16 * 512 + r % 16 * 16;
            v16 v =
                v16_fma(s, _mm512_cvtepi32_ps(_mm512_load_si512((const void *)dr)), v16_load(c));
            v16_store(c, w->has_min ? v16_fma(m, v16_set1(j->ones[r * groups + g]), v) : v);
        }
    }
}

static void wide_32(const wide_job *j)
{
    const size_t lda = j->x->a->ld8;
    const int8_t *a = j->a;
    const uint8_t *b0 = j->b[0], *b1 = j->b[1];
    const bool high = j->rows > 16;
    for (size_t i = j->from; i < j->to;) {
        size_t g = i / j->each, end = (g + 1) * j->each < j->to ? (g + 1) * j->each : j->to;
        if (i % j->each) {
            tile_load(0, j->sums, 64);
            tile_load(1, j->sums + 256, 64);
            tile_load(2, j->sums + 512, 64);
            tile_load(3, j->sums + 768, 64);
        } else {
            tile_zero(0);
            tile_zero(1);
            tile_zero(2);
            tile_zero(3);
        }
        for (; i < end; i++, a += 64, b0 += 1024, b1 += 1024) {
            tile_load(6, b0, 64);
            tile_load(4, a, lda);
            tile_load(7, b1, 64);
            tile_dpbssd(0, 4, 6);
            if (high)
                tile_load(5, a + 16 * lda, lda);
            tile_dpbssd(1, 4, 7);
            if (high) {
                tile_dpbssd(2, 5, 6);
                tile_dpbssd(3, 5, 7);
            }
        }
        tile_store(0, j->sums, 64);
        tile_store(1, j->sums + 256, 64);
        tile_store(2, j->sums + 512, 64);
        tile_store(3, j->sums + 768, 64);
        if (i % j->each == 0 || i == j->steps)
            wide_scale(j, g);
    }
}

/* Steps [from, to) of a panel in bytes, with zeros where the row has ended */
static void wide_spread(const tile_call *x, const uint8_t *panel, size_t from, size_t to,
                        uint8_t *b)
{
    size_t blocks = x->w->k_pad / 32, end = 2 * to < blocks ? 2 * to : blocks;
    spread(x, panel, 2 * from, end - 2 * from, b);
    if (end < 2 * to)
        memset(b + (end - 2 * from) * 512, 0, 512);
}

/* Rows [row, end), at most WIDE_CHUNK, x panels p and q (q may be p again, unwritten) */
static void wide_pair(tile_call *x, wide_job *j, size_t p, size_t q, size_t row, size_t end)
{
    const hone_packed *w = x->w;
    const size_t groups = (w->k_pad + w->group - 1) / w->group, rows = end - row;
    uint8_t *b = x->scratch;
    int32_t *sums = (int32_t *)(void *)(b + 2 * WIDE_STEP * 16);
    float *c = (float *)(void *)(sums + WIDE_CHUNK / 32 * 1024);
    const float *ones = c + 2 * WIDE_CHUNK * 16;
    j->panel[0] = w->data + p * w->panel_bytes;
    j->panel[1] = w->data + q * w->panel_bytes;
    j->b[0] = b;
    j->b[1] = b + WIDE_STEP * 16;
    memset(c, 0, 2 * WIDE_CHUNK * 64);
    for (j->from = 0; j->from < j->steps; j->from = j->to) {
        j->to = j->steps - j->from < WIDE_STEP / 64 ? j->steps : j->from + WIDE_STEP / 64;
        wide_spread(x, j->panel[0], j->from, j->to, b);
        wide_spread(x, j->panel[1], j->from, j->to, b + WIDE_STEP * 16);
        size_t each = w->scale_offset / j->steps; /* bytes of codes of a step */
        for (size_t r = 0; r < rows; r += 32) {
            j->rows = rows - r < 32 ? rows - r : 32;
            j->a = x->a->codes8 + (row + r) * x->a->ld8 + j->from * 64;
            j->sums = sums + r / 32 * 1024;
            j->ones = ones + r * groups;
            j->c = c + r * 16;
            shape(x, j->rows, 16, 64);
            for (size_t i = 0; i < 2; i++)
                ahead(j->panel[i] + j->to * each, (j->to - j->from) * each, r / 32,
                      (rows + 31) / 32);
            wide_32(j);
        }
    }
    finish(x, p, row, rows, c);
    if (q != p)
        finish(x, q, row, rows, c + WIDE_CHUNK * 16);
}

static size_t wide_groups(const hone_packed *w)
{
    return w->has_min ? (w->k_pad + w->group - 1) / w->group : 0;
}

static bool wide_takes(const hone_packed *w)
{
    return (w->group % 64 == 0 || w->group >= w->k_pad) && 32 * wide_groups(w) * 4 <= WIDE_ONES;
}

/* Rows of a chunk: their codes stay in L2, and the sums of their codes in the scratch. */
static size_t wide_rows(const hone_packed *w)
{
    size_t rows = WIDE_CHUNK, groups = wide_groups(w);
    while (rows > 32 && (rows * w->k_pad > WIDE_BYTES || rows * groups * 4 > WIDE_ONES))
        rows -= 32;
    return rows;
}

static void product_wide(tile_call *x)
{
    const hone_packed *w = x->w;
    size_t chunk = wide_rows(w), groups = wide_groups(w);
    float *ones = (float *)(void *)(x->scratch + 2 * WIDE_STEP * 16 + WIDE_CHUNK / 32 * 4096 +
                                    2 * WIDE_CHUNK * 64);
    wide_job j = {.x = x, .steps = (w->k_pad + 63) / 64};
    j.each = w->group >= w->k_pad ? j.steps : w->group / 64;
    for (size_t row = x->row0; row < x->row1; row += chunk) {
        size_t end = x->row1 - row < chunk ? x->row1 : row + chunk;
        for (size_t r = row; r < end; r++)
            for (size_t g = 0; g < groups; g++) {
                size_t to = (g + 1) * w->group < w->k_pad ? (g + 1) * w->group : w->k_pad;
                ones[(r - row) * groups + g] = codes_sum(x, r, g * w->group / 32, to / 32);
            }
        for (size_t p = x->panel0; p < x->panel1; p += 2)
            wide_pair(x, &j, p, p + 1 < x->panel1 ? p + 1 : p, row, end);
    }
}

/* ---- the slot ------------------------------------------------------------------------------- */

static void product_int8(const hone_packed *w, const hone_act *a, size_t row0, size_t row1,
                         size_t panel0, size_t panel1, float *y, size_t ldy, const float *bias,
                         void *scratch)
{
    tile_call x = {.w = w, .a = a, .row0 = row0, .row1 = row1, .panel0 = panel0, .panel1 = panel1};
    bool wide = a->row_scales && wide_takes(w);
    if (row1 - row0 <= HONE_FEW_ROWS || (a->row_scales && !wide && w->group > SPAN)) {
        int8_below(w, a, row0, row1, panel0, panel1, y, ldy, bias, scratch);
        return;
    }
    x.y = y;
    x.ldy = ldy;
    x.bias = bias;
    x.scratch = scratch;
    for (int i = 0; i < 16; i++)
        x.table[i] = (uint8_t)(int8_t)(int)w->table[i];
    (wide ? product_wide : product_blocks)(&x);
    tile_release();
}

void hone_kernels_amx_int8(hone_kernels *t)
{
    int8_below = t->product_int8;
    t->product_int8 = product_int8;
}
