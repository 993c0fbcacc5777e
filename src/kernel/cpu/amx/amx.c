/*
 * amx - products of many rows with TDPBF16PS, whose arithmetic is hone's definition
 * (docs/numerics.md).
 *
 * The activation's bf16 rows are stored [rows/32][k_pad/32][32][32], so that 32 rows of a block of
 * 32 are two tiles one behind the other, and what follows along K lies next to them. A packed bf16
 * panel is a column of weight tiles, 1 KB per block of 32.
 *
 * bf16    square.h; a scale per column: the same, of codes spread to tiles (spread.h)
 * scaled  in the same order (order.h), 1024 of K at a time: codes expanded to bf16 tiles; 32 rows x
 *         1 panel, whose sums C stay in registers (the last two in L1); each group's D comes out of
 *         the tiles through L1 while they do the next group, and is added while they do the one
 *         after that.
 * Attention: attention.h. The other kernels of this set are those of AVX-512.
 */
#include "kernel/cpu/avx512/vec.h"

#include "kernel/cpu/amx/attention.h"
#include "kernel/cpu/amx/expand.h"
#include "kernel/cpu/amx/few.h"
#include "kernel/cpu/amx/order.h"
#include "kernel/cpu/amx/scaled.h"
#include "kernel/cpu/amx/spread.h"
#include "kernel/cpu/amx/square.h"
#include "kernel/cpu/amx/tile.h"
#include "kernel/cpu/generic/unroll.h"
#include "kernel/layout.h"
#include "kernel/table.h"

enum { K_SPAN = 1024 }; /* of a part of scaled codes */
enum { C_ROWS = 30 };   /* rows whose sums stay in registers */

static hone_product_many_fn *many_below; /* of the weaker set: the layouts that tiles do not do */
static hone_product_few_fn *few_below;
static hone_act_pack_fn *pack_below;
static hone_act_part_fn *part_below;

/* ---- activations ------------------------------------------------------------------------------
 */

/* A block of 32 of a row, rounded: to its tile, and its sums */
V16_INLINE void pack_block(hone_act *act, const float *x, size_t row, size_t block)
{
    float values[32] __attribute__((aligned(64)));
    const size_t k = block * 32, n = act->k - k, blocks = act->k_pad / 32;
    v16 low = v16_load_n(x, n), high = v16_load_n(n > 16 ? x + 16 : x, n > 16 ? n - 16 : 0);
    _mm512_storeu_si512((void *)act_tile(act, row, block), (__m512i)_mm512_cvtne2ps_pbh(high, low));
    if (!act->sums && !act->sums16)
        return;
    v16_store(values, v16_round_bf16(low));
    v16_store(values + 16, v16_round_bf16(high));
    if (act->sums)
        act->sums[row * blocks + block] = hone_block_ones(values, 32);
    for (size_t i = 0; act->sums16 && i < 2; i++)
        act->sums16[(row * blocks + block) * 2 + i] = hone_block_ones(values + 16 * i, 16);
}

static void act_part(hone_act *act, const float *x, size_t ldx, size_t row0, size_t row1, size_t k0,
                     size_t k1)
{
    if (act->f32) {
        part_below(act, x, ldx, row0, row1, k0, k1);
        act_floats_to_tiles(act, row0, row1, k0, k1);
        return;
    }
    for (size_t r = row0; r < row1; r++)
        for (size_t k = k0; k < k1; k += 32)
            pack_block(act, x + (r - row0) * ldx + (k - k0), r, k / 32);
}

static void act_pack(hone_act *act, const float *x, size_t ldx, size_t row0, size_t row1)
{
    if (!act->f32) {
        act_part(act, x + row0 * ldx, ldx, row0, row1, 0, act->k_pad);
        return;
    }
    pack_below(act, x, ldx, row0, row1);
    act_floats_to_tiles(act, row0, row1, 0, act->k_pad);
}

/* ---- bf16 -------------------------------------------------------------------------------------
 */

static void bf16_part(const tile_call *v, void *arg, const part *j)
{
    for (size_t p = j->panel0, q; p < j->panel1; p += 2) {
        const uint8_t *b = v->w->data + j->from * 1024;
        q = p + 1 < j->panel1 ? p + 1 : p;
        square_pair(false, v, arg, j, p, q, b + p * v->w->panel_bytes, b + q * v->w->panel_bytes);
    }
}

static void product_bf16(const tile_call *v)
{
    float sums[2][1024] __attribute__((aligned(64)));
    square s = {.a = (const uint8_t *)v->a->bf16,
                .strip = v->a->tile_rows,
                .steps = v->w->k_pad / 32,
                .step_bytes = 1024,
                .out = {.v = v, .panel = v->panel0, .stream = streams(v)},
                .sums = sums};
    in_parts(v, s.steps, SQUARE_SPAN, (float *)(void *)v->scratch, bf16_part, &s);
    square_flush(false, &s.out);
}

/* ---- codes with scales ------------------------------------------------------------------------
 */

/* At most 32 rows x 1 panel over the part of K of a call, in blocks of 32 (16 in groups of 16) */
typedef struct scaled_job {
    const hone_packed *w;
    const uint8_t *panel, *tiles; /* its codes' tiles begin at `from` */
    const uint16_t *a;            /* the first row's tile at `from` */
    size_t next;                  /* elements from block of 32 to block of 32 of a */
    size_t from, to;
    const float *ones; /* [groups][32]: SA from the group of `from` on */
    float *c, *carry;  /* [32][16] */
    const uint8_t *soon;
    size_t soon_bytes; /* asked for along with each block */
} scaled_job;

/* Sums of group g into its tiles, after those that were carried */
V16_INLINE void group_products(bool odd, bool high, const scaled_job *j, size_t g, size_t size)
{
    const size_t group = j->w->group / size, last = (g + 1) * group;
    const size_t end = last < j->to ? last : j->to;
    size_t block = g * group < j->from ? j->from : g * group;
    if (block > g * group) {
        if (odd) {
            tile_load(2, j->carry, 64);
            if (high)
                tile_load(3, j->carry + 256, 64);
        } else {
            tile_load(0, j->carry, 64);
            if (high)
                tile_load(1, j->carry + 256, 64);
        }
    } else if (odd) {
        tile_zero(2);
        tile_zero(3);
    } else {
        tile_zero(0);
        tile_zero(1);
    }
    for (; block < end; block++) {
        size_t at = block - j->from;
        const uint16_t *a = j->a + at * size / 32 * j->next + at * size % 32;
        for (size_t i = 0; i < j->soon_bytes; i += 64)
            __builtin_prefetch(j->soon + at * j->soon_bytes + i, 0, 2);
        tile_load(6, j->tiles + at * 32 * size, 64);
        tile_load(4, a, 64);
        if (odd)
            tile_dpbf16(2, 4, 6);
        else
            tile_dpbf16(0, 4, 6);
        if (!high)
            continue;
        tile_load(5, a + 512, 64);
        if (odd)
            tile_dpbf16(3, 5, 6);
        else
            tile_dpbf16(1, 5, 6);
    }
}

V16_INLINE void group_out(bool odd, bool high, float *d)
{
    if (odd) {
        tile_store(2, d, 64);
        if (high)
            tile_store(3, d + 256, 64);
    } else {
        tile_store(0, d, 64);
        if (high)
            tile_store(1, d + 256, 64);
    }
}

/* C = fma(scale, D, C) of group g, and minimums; rows from `regs` on lie in memory. */
V16_INLINE void group_add(bool high, const scaled_job *j, size_t g, const float *d,
                          const float *ones, v16 c[C_ROWS])
{
    const hone_packed *w = j->w;
    const int regs = high ? C_ROWS : 16, rows = high ? 32 : 16;
    v16 s = scales_of(w, j->panel + w->scale_offset, j->panel + w->super_offset, g);
    UNROLL for (int r = 0; r < regs; r++) c[r] = v16_fma(s, v16_load(d + r * 16), c[r]);
    UNROLL for (int r = regs; r < rows; r++)
        v16_store(j->c + r * 16, v16_fma(s, v16_load(d + r * 16), v16_load(j->c + r * 16)));
    if (!w->has_min)
        return;
    s = scales_of(w, j->panel + w->min_offset, j->panel + w->min_super_offset, g);
    UNROLL for (int r = 0; r < regs; r++) c[r] = v16_fma(s, v16_set1(ones[r]), c[r]);
    UNROLL for (int r = regs; r < rows; r++)
        v16_store(j->c + r * 16, v16_fma(s, v16_set1(ones[r]), v16_load(j->c + r * 16)));
}

/* high: more than 16 rows. While the tiles do group g, the sums of g - 1 leave theirs, and the
 * vector unit adds those of g - 2: what waits for a result would stop what does not. */
V16_INLINE void scaled_rows(bool high, const scaled_job *j)
{
    float d[2][32][16] __attribute__((aligned(64)));
    const hone_packed *w = j->w;
    const size_t size = w->group == 16 ? 16 : 32, group = w->group / size;
    const size_t first = j->from / group, end = (j->to + group - 1) / group;
    const bool open = end * group > j->to && j->to < w->k_pad / size; /* the last one goes on */
    const int regs = high ? C_ROWS : 16;
    v16 c[C_ROWS];
    UNROLL for (int r = 0; r < regs; r++) c[r] = v16_load(j->c + r * 16);
    for (size_t g = first; g < end + 2; g += 2)
        UNROLL for (size_t odd = 0; odd < 2; odd++)
        {
            const size_t n = g + odd;
            if (n < end)
                group_products(odd, high, j, n, size);
            if (n > first && n <= end)
                group_out(!odd, high, n == end && open ? j->carry : d[!odd][0]);
            if (n > first + 1 && n < end + 2 - open)
                group_add(high, j, n - 2, d[odd][0], j->ones + (n - 2 - first) * 32, c);
        }
    UNROLL for (int r = 0; r < regs; r++) v16_store(j->c + r * 16, c[r]);
}

static void scaled_16(const scaled_job *j)
{
    scaled_rows(false, j);
}

static void scaled_32(const scaled_job *j)
{
    scaled_rows(true, j);
}

/* SA of the groups that end in this part, for 32 rows from `row` on: to[group][32] */
static void group_ones(const tile_call *v, const part *j, size_t row, size_t size, float *to)
{
    const float *sums = size == 16 ? v->a->sums16 : v->a->sums;
    size_t group = v->w->group / size, blocks = v->w->k_pad / size;
    for (size_t g = j->from * 32 / size / group; g * group < j->to * 32 / size; g++, to += 32)
        for (size_t r = 0; r < 32; r++) {
            to[r] = 0.0f;
            for (size_t b = g * group; row + r < v->row1 && b < (g + 1) * group && b < blocks; b++)
                to[r] += sums[(row + r) * blocks + b];
        }
}

/* The memory of a call beside C */
typedef struct scaled_work {
    float *carry;   /* as C: D of groups that go on */
    uint8_t *tiles; /* of a panel, expanded */
    float *ones;    /* [rows / 32][groups][32]: SA */
} scaled_work;

/* Finished sums of a panel and up to 32 rows to y, with the bias */
static void scaled_put(const tile_call *v, size_t row, size_t panel, const float *c)
{
    const bool stream = streams(v);
    size_t n = v->w->n - panel * 16, end = row + 32 < v->row1 ? row + 32 : v->row1;
    float *y = v->y + panel * 16;
    v16 bias = v->bias ? v16_load_n(v->bias + panel * 16, n) : v16_zero();
    for (size_t r = row < v->row0 ? v->row0 : row; r < end; r++) {
        v16 x = v16_load(c + (r - row) * 16);
        put_row(stream, y + r * v->ldy, n, v->bias ? v16_add(x, bias) : x);
    }
}

static void scaled_part(const tile_call *v, void *arg, const part *j)
{
    const scaled_work *work = arg;
    const hone_packed *w = v->w;
    const size_t size = w->group == 16 ? 16 : 32, strip = v->a->tile_rows;
    const size_t bytes = expand_bytes(w->layout);
    const size_t ld = K_SPAN / size * 32; /* of ones */
    if (!j->from)
        memset(j->c, 0, (j->panel1 - j->panel0) * j->ldc * sizeof *j->c);
    for (size_t r = 0; w->has_min && r < j->rows; r += 32)
        group_ones(v, j, j->row + r, size, work->ones + r / 32 * ld);
    for (size_t p = j->panel0; p < j->panel1; p++) {
        size_t block;
        const uint8_t *soon = weights_after(v, j, p + 1, &block);
        scaled_job s = {.w = w,
                        .panel = w->data + p * w->panel_bytes,
                        .tiles = work->tiles,
                        .next = strip * 32,
                        .from = j->from * 32 / size,
                        .to = j->to * 32 / size,
                        .soon = soon + block * bytes,
                        .soon_bytes = bytes * size / 32};
        expand_codes(w, s.panel, j->from, j->to - j->from, work->tiles);
        for (size_t r = 0; r < j->rows; r += strip, s.soon_bytes = 0) {
            size_t at = (p - j->panel0) * j->ldc + r * 16;
            s.a = act_tile(v->a, j->row + r, j->from);
            s.ones = work->ones + r / 32 * ld;
            s.c = j->c + at;
            s.carry = work->carry + at;
            (j->rows - r > 16 ? scaled_32 : scaled_16)(&s);
        }
        for (size_t r = 0; r < j->rows && j->to == j->steps; r += strip)
            scaled_put(v, j->row + r, p, j->c + (p - j->panel0) * j->ldc + r * 16);
    }
}

static void product_scaled(const tile_call *v)
{
    float *c = (float *)(void *)v->scratch;
    scaled_work work = {.carry = c + PART_SUMS};
    work.tiles = (uint8_t *)(work.carry + PART_SUMS);
    work.ones = (float *)(void *)(work.tiles + K_SPAN * 32);
    in_parts(v, v->w->k_pad / 32, K_SPAN / 32, c, scaled_part, &work);
    _mm_sfence();
}

static tile_call tile_call_of(const hone_packed *w, const hone_act *a, size_t row0, size_t row1,
                              size_t panel0, size_t panel1, float *y, size_t ldy, const float *bias,
                              void *scratch)
{
    return (tile_call){.w = w,
                       .a = a,
                       .row0 = row0,
                       .row1 = row1,
                       .panel0 = panel0,
                       .panel1 = panel1,
                       .y = y,
                       .ldy = ldy,
                       .bias = bias,
                       .scratch = scratch};
}

static void product_many(const hone_packed *w, const hone_act *a, size_t row0, size_t row1,
                         size_t panel0, size_t panel1, float *y, size_t ldy, const float *bias,
                         void *scratch)
{
    if (w->layout == HONE_LAYOUT_F32) {
        many_below(w, a, row0, row1, panel0, panel1, y, ldy, bias, scratch);
        return;
    }
    const tile_call v = tile_call_of(w, a, row0, row1, panel0, panel1, y, ldy, bias, scratch);
    tile_config config;
    tile_fill_config(&config, 16, w->layout != HONE_LAYOUT_BF16 && w->group == 16 ? 32 : 64);
    tile_set_config(&config);
    if (w->layout == HONE_LAYOUT_BF16)
        product_bf16(&v);
    else if (w->group >= w->k_pad && !w->has_min)
        many_spread(&v, false);
    else
        product_scaled(&v);
    tile_release();
}

static bool few_takes(const hone_packed *w, size_t row0, size_t row1)
{
    return few_of[w->layout].fn && row1 - row0 >= few_of[w->layout].least &&
           (row1 - 1) / TILE_FEW == row0 / TILE_FEW;
}

static void product_few(const hone_packed *w, const hone_act *a, size_t row0, size_t row1,
                        size_t panel0, size_t panel1, float *y, size_t ldy, const float *bias,
                        void *scratch)
{
    if (row0 >= row1 || panel0 >= panel1)
        return;
    if (!few_takes(w, row0, row1)) {
        few_below(w, a, row0, row1, panel0, panel1, y, ldy, bias, scratch);
        return;
    }
    const tile_call v = tile_call_of(w, a, row0, row1, panel0, panel1, y, ldy, bias, scratch);
    few_tiles(&v, few_of[w->layout].fn, w->layout != HONE_LAYOUT_BF16 && w->group == 16 ? 32 : 64);
}

static void product_rounded(const hone_packed *w, const hone_act *a, size_t row0, size_t row1,
                            size_t panel0, size_t panel1, float *y, size_t ldy, const float *bias,
                            void *scratch)
{
    if (row0 >= row1 || panel0 >= panel1)
        return;
    const tile_call v = tile_call_of(w, a, row0, row1, panel0, panel1, y, ldy, bias, scratch);
    if ((row1 - 1) / TILE_FEW == row0 / TILE_FEW) {
        few_tiles(&v, few_rounded, 64);
        return;
    }
    tile_config config;
    tile_fill_config(&config, 16, 64);
    tile_set_config(&config);
    many_spread(&v, true);
    tile_release();
}

void hone_kernels_amx(hone_kernels *t)
{
    many_below = t->product_many;
    few_below = t->product_few;
    pack_below = t->act_pack;
    part_below = t->act_part;
    attn_below = t->attn_piece;
    t->attn_piece = attn_tiles;
    t->attn_merge = attn_merge;
    t->attn_finish = attn_finish;
    t->act_bf16 = true;
    t->tiles_alone = 64; /* what may still go to product_few needs floats */
    t->many_panels = PANEL_BLOCK;
    t->act_pack = act_pack;
    t->act_part = act_part;
    t->product_few = product_few;
    t->product_many = product_many;
    t->product_rounded = product_rounded;
    for (int l = 0; l < HONE_LAYOUT_COUNT; l++)
        if (few_of[l].fn)
            t->few_rows[l] = TILE_FEW;
}
