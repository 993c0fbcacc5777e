/*
 * int8 - products of int8 activations of many rows with TDPBSSD (docs/numerics.md, "Techniques").
 * Sums of whole numbers are exact, so only where they become float32 is there an order to keep.
 *
 * Weights are spread to signed bytes (generic/int8_spread.h), which is how a tile wants them: 4 k x
 * 16 columns in a row.
 *
 * blocks  sums that end every 32 or 16 of k (int8), or with a short group (int8-row): 30 rows x 1
 *         panel, C in 30 registers, sums out of the tiles through L1. The tiles are filled by half
 *         or less, which the definition asks for.
 * square  int8-row with groups of a whole row, or that divide 1024 by multiples of 64: square.h.
 *         The activations are also kept as tiles, [rows/32][k/64][32][64].
 *
 * Few rows, and what neither takes, are the weaker set's. What it was measured at:
 * docs/experiments/amx-on-hardware.md.
 */
#include "kernel/cpu/avx512/vec.h"

#include "kernel/int8.h"

#define CORE_SUMS 16
#define I8_SIGNED 1

#include "kernel/cpu/amx/scaled.h"
#include "kernel/cpu/amx/square.h"
#include "kernel/cpu/amx/tile.h"
#include "kernel/cpu/avx512/quad.h"
#include "kernel/cpu/generic/int8_spread.h"
#include "kernel/table.h"

enum { SPAN = 2048, BLOCK_CHUNK = 8 * SCALED_ROWS, STRIDE = 32 };

static hone_product_many_fn *int8_below;
static hone_act_int8_fn *act_below;

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

/* ---- activations and results ---------------------------------------------------------------- */

/* Elements k.. of a row of n, 32 or what is left of them, as bfloat16 */
V16_INLINE __m512i halves_at(const float *x, size_t k, size_t n)
{
    v16 low = v16_load_n(x + k, n - k),
        high = v16_load_n(n - k > 16 ? x + k + 16 : x, n - k > 16 ? n - k - 16 : 0);
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

/* Largest magnitude of a row / 127; not a number if one of them is not finite */
static float row_scale(const float *x, size_t n)
{
    const __m512i magnitude = _mm512_set1_epi16(0x7fff);
    uint16_t words[32], top = 0;
    __m512i most = _mm512_setzero_si512();
    for (size_t k = 0; k < n; k += 32)
        most = _mm512_max_epu16(most, _mm512_and_si512(halves_at(x, k, n), magnitude));
    _mm512_storeu_si512((void *)words, most);
    for (int i = 0; i < 32; i++)
        top = words[i] > top ? words[i] : top;
    return top < 0x7f80 ? hone_bf16_to_f32(top) / 127.0f : __builtin_nanf("");
}

/* round(x / s), of sixteen. The quotient is that of a division: r = 1 / s is rounded correctly, and
 * two steps of Markstein (IBM J. Res. Dev. 34, 1990) leave x r rounded correctly, too, where
 * nothing overflows or underflows. */
V16_INLINE __m128i row_codes(__m256i half, v16 s, v16 r)
{
    v16 x = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
    v16 q = v16_mul(x, r);
    q = v16_fma(_mm512_fnmadd_ps(q, s, x), r, q);
    q = v16_fma(_mm512_fnmadd_ps(q, s, x), r, q);
    return _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(q));
}

static void row_to_tiles(hone_act *act, const float *x, size_t row, float scale)
{
    const __m256i order = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15)); /* int8.h */
    const v16 s = v16_set1(scale), r = v16_set1(1.0f / scale);
    act->scales8[row * (act->k_pad / 32)] = scale;
    for (size_t b = 0; b < act->k_pad / 32; b++) {
        __m512i halves = halves_at(x, b * 32, act->k);
        __m128i low = row_codes(_mm512_castsi512_si256(halves), s, r),
                high = row_codes(_mm512_extracti64x4_epi64(halves, 1), s, r);
        _mm256_storeu_si256((__m256i *)(void *)hone_int8_block(act, row, b),
                            _mm256_shuffle_epi8(_mm256_set_m128i(high, low), order));
    }
}

static void act_tiles_alone(hone_act *act, const float *x, size_t ldx, size_t row0, size_t row1)
{
    for (size_t r = row0; r < row1; r++) {
        const float *row = x + r * ldx, s = row_scale(row, act->k);
        if (s > 0x1p-60f && s < 0x1p60f)
            row_to_tiles(act, row, r, s);
        else
            act_below(act, x, ldx, r, r + 1);
    }
}

static void act_int8(hone_act *act, const float *x, size_t ldx, size_t row0, size_t row1)
{
    const size_t steps = (act->k_pad + 63) / 64, strip = act->tile_rows;
    if (!act->codes8) {
        act_tiles_alone(act, x, ldx, row0, row1);
        return;
    }
    act_below(act, x, ldx, row0, row1);
    for (size_t r = row0; act->tiles8 && r < row1; r++) {
        const int8_t *from = act->codes8 + r * act->ld8;
        uint8_t *to = act->tiles8 + (r / strip * steps * strip + r % strip) * 64;
        for (size_t i = 0; i < steps; i++) /* beyond k_pad there is room, and weights are zero */
            _mm512_store_si512((void *)(to + i * strip * 64), _mm512_loadu_si512(from + i * 64));
    }
}

/* Part i of n of the bytes at `at` comes to L2 meanwhile. */
static void ahead(const uint8_t *at, size_t bytes, size_t i, size_t n)
{
    for (size_t b = bytes * i / n / 64 * 64; b < bytes * (i + 1) / n; b += 64)
        __builtin_prefetch(at + b, 0, 2);
}

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

/* ---- square, in steps of 64 of k ------------------------------------------------------------ */

/* The memory of a call beside C */
typedef struct wide {
    square s;
    uint8_t *spread;     /* [2][SQUARE_SPAN][1024]: a pair of panels over a part */
    float *ones;         /* sums of the activations' codes [rows][groups], with minimums */
    size_t groups, each; /* of a row; steps of each */
} wide;

/* Steps [from, to) of a panel in bytes, with zeros where the row has ended */
static void wide_spread(const tile_call *x, size_t panel, size_t from, size_t to, uint8_t *b)
{
    size_t blocks = x->w->k_pad / 32, end = 2 * to < blocks ? 2 * to : blocks;
    spread(x, x->w->data + panel * x->w->panel_bytes, 2 * from, end - 2 * from, b);
    if (end < 2 * to)
        memset(b + (end - 2 * from) * 512, 0, 512);
}

/* A scale per column: sums stay whole numbers to the end of the row. */
static void columns_part(const tile_call *x, void *arg, const part *j)
{
    wide *w = arg;
    uint8_t *b = w->spread;
    for (size_t p = j->panel0, q; p < j->panel1; p += 2) {
        q = p + 1 < j->panel1 ? p + 1 : p;
        wide_spread(x, p, j->from, j->to, b);
        wide_spread(x, q, j->from, j->to, b + SQUARE_SPAN * 1024);
        square_pair(true, x, &w->s, j, p, q, b, b + SQUARE_SPAN * 1024);
    }
}

/* C = fma(scale, sums, C) of group g of two panels and up to 32 rows, whose sums are complete */
static void wide_scale(const tile_call *x, size_t g, size_t panel, size_t rows, const wide *w,
                       const float *ones, float *c, size_t ldc)
{
    const hone_packed *m = x->w;
    for (size_t p = 0; p < 2; p++, c += ldc, panel += panel + 1 < x->panel1) {
        const uint8_t *at = m->data + panel * m->panel_bytes;
        const float *sums = w->s.sums[0] + p * 512;
        v16 low = v16_zero(), s = scales_of(m, at + m->scale_offset, at + m->super_offset, g);
        if (m->has_min)
            low = scales_of(m, at + m->min_offset, at + m->min_super_offset, g);
        for (size_t r = 0; r < rows; r++) {
            __m512i d = _mm512_castps_si512(v16_load(sums + r * 16));
            v16 v = v16_fma(s, _mm512_cvtepi32_ps(d), v16_load(c + r * 16));
            if (m->has_min)
                v = v16_fma(low, v16_set1(ones[r * w->groups + g]), v);
            v16_store(c + r * 16, v);
        }
    }
}

/* Groups that divide a part: their sums become float32 at the end of each. */
static void groups_part(const tile_call *x, void *arg, const part *j)
{
    wide *w = arg;
    uint8_t *b = w->spread;
    const size_t strip = w->s.strip, bytes = strip * 64;
    if (!j->from)
        memset(j->c, 0, PART_SUMS * sizeof *j->c);
    for (size_t p = j->panel0, q; p < j->panel1; p += 2) {
        q = p + 1 < j->panel1 ? p + 1 : p;
        wide_spread(x, p, j->from, j->to, b);
        wide_spread(x, q, j->from, j->to, b + SQUARE_SPAN * 1024);
        for (size_t r = 0; r < j->rows; r += strip) {
            const size_t row = j->row + r, left = x->row1 - row, rows = left < 32 ? left : 32;
            float *c = j->c + (p - j->panel0) * j->ldc + r * 16;
            const float *ones = w->ones + (row - x->row0 / strip * strip) * w->groups;
            for (size_t i = j->from, n; i < j->to; i += n) {
                n = j->to - i < w->each ? j->to - i : w->each;
                square_job s = {.a = w->s.a + (row / strip * w->s.steps + i) * bytes,
                                .next = bytes,
                                .steps = n,
                                .to = {w->s.sums[0], w->s.sums[0] + 512},
                                .ld_to = 16};
                s.b[0] = b + (i - j->from) * 1024;
                s.b[1] = s.b[0] + SQUARE_SPAN * 1024;
                square_block(true, strip > 16, &s, &w->s.out);
                wide_scale(x, i / w->each, p, rows, w, ones, c, j->ldc);
            }
            const size_t skip = row < x->row0 ? x->row0 - row : 0;
            for (size_t k = p; j->to == j->steps && k <= q; k++)
                finish(x, k, row + skip, rows - skip, c + (k - p) * j->ldc + skip * 16);
        }
    }
}

/* Floats of the memory that is left */
static size_t ones_room(void)
{
    return HONE_SCRATCH_PRODUCT / 4 - PART_SUMS - 2 * SQUARE_SPAN * 256;
}

static bool wide_takes(const hone_packed *w, size_t rows)
{
    const size_t span = SQUARE_SPAN * 64, groups = (w->k_pad + w->group - 1) / w->group;
    return (w->group >= w->k_pad || (w->group % 64 == 0 && span % w->group == 0)) &&
           (!w->has_min || (rows + 32) * groups <= ones_room());
}

static void product_wide(tile_call *x)
{
    const hone_packed *m = x->w;
    const size_t strip = x->a->tile_rows, begin = x->row0 / strip * strip;
    const bool columns = m->group >= m->k_pad;
    float sums[2][1024] __attribute__((aligned(64)));
    float *c = (float *)(void *)x->scratch;
    wide w = {.s = {.a = x->a->tiles8,
                    .strip = strip,
                    .steps = (m->k_pad + 63) / 64,
                    .out = {.v = x, .panel = x->panel0, .stream = streams(x)},
                    .sums = sums},
              .spread = (uint8_t *)(c + PART_SUMS),
              .groups = (m->k_pad + m->group - 1) / m->group};
    w.each = columns ? w.s.steps : m->group / 64;
    w.s.step_bytes = m->scale_offset / (m->k_pad / 32) * 2;
    w.ones = (float *)(void *)(w.spread + 2 * SQUARE_SPAN * 1024);
    for (size_t r = begin; m->has_min && r < x->row1; r++)
        for (size_t g = 0; g < w.groups; g++) {
            size_t to = (g + 1) * m->group < m->k_pad ? (g + 1) * m->group : m->k_pad;
            w.ones[(r - begin) * w.groups + g] = codes_sum(x, r, g * m->group / 32, to / 32);
        }
    w.s.ones = columns && m->has_min ? w.ones : NULL;
    shape(x, 32, 16, 64);
    in_parts(x, w.s.steps, SQUARE_SPAN, c, columns ? columns_part : groups_part, &w);
    square_flush(true, &w.s.out);
}

/* ---- the slot ------------------------------------------------------------------------------- */

static void product_int8(const hone_packed *w, const hone_act *a, size_t row0, size_t row1,
                         size_t panel0, size_t panel1, float *y, size_t ldy, const float *bias,
                         void *scratch)
{
    tile_call x = {.w = w, .a = a, .row0 = row0, .row1 = row1, .panel0 = panel0, .panel1 = panel1};
    bool wide = a->row_scales && wide_takes(w, row1 - row0);
    if (a->codes8 &&
        (row1 - row0 <= HONE_FEW_ROWS || (a->row_scales && !wide && w->group > SPAN))) {
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
    act_below = t->act_int8;
    t->product_int8 = product_int8;
    t->act_int8 = act_int8;
    t->act_tiles8 = true;
}
