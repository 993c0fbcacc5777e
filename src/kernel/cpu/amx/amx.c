/*
 * amx - products of many rows with TDPBF16PS, whose arithmetic is hone's definition
 * (docs/numerics.md).
 *
 * The activation's bf16 rows are stored [k_pad/32][rows][32], so that 16 rows of a block of 32 are
 * one contiguous tile at any row. A packed bf16 panel is a column of weight tiles, 1 KB per block
 * of 32. Attention: attention.h. bf16   32 x 32 blocks of the result (2 x 2 tiles); 256 rows and
 * 2048 of K stay in L2, the two panels of a step in L1. scaled codes expanded to bf16 tiles once
 * per 1024 of K; 30 rows x 1 panel, whose sums C stay in 30 registers; each group's D comes out of
 * the tiles through L1. The other kernels of this set are those of AVX-512.
 */
#include "kernel/cpu/avx512/vec.h"

#include "kernel/cpu/amx/attention.h"
#include "kernel/cpu/amx/expand.h"
#include "kernel/cpu/amx/scaled.h"
#include "kernel/cpu/amx/tile.h"
#include "kernel/layout.h"
#include "kernel/table.h"

enum { ROW_BLOCK = 256, K_SPAN = 2048, K_STEP = 256, SCALED_SPAN = 1024 };
enum { CARRY_ROWS = 128 * SCALED_ROWS }; /* whose D a group that spans K is kept for */

static hone_product_many_fn *many_below; /* of the weaker set: the layouts that tiles do not do */
static hone_act_pack_fn *pack_below;

/* ---- activations ------------------------------------------------------------------------------
 */

static void act_pack(hone_act *act, const float *x, size_t ldx, size_t row0, size_t row1)
{
    pack_below(act, x, ldx, row0, row1);
    for (size_t r = row0; r < row1 && !(act->flags & HONE_ACT_F32); r++)
        for (size_t k = 0; k < act->k_pad; k += 16) {
            __m512i v = _mm512_loadu_si512((const void *)(act->f32 + r * act->ld + k));
            __m256i h = _mm512_cvtepi32_epi16(_mm512_srli_epi32(v, 16)); /* already rounded */
            uint16_t *to = act->bf16 + (k / 32 * act->rows + r) * 32 + k % 32;
            _mm256_storeu_si256((__m256i *)(void *)to, h);
        }
}

static const uint16_t *act_tile(const hone_act *a, size_t row, size_t block)
{
    return a->bf16 + (block * a->rows + row) * 32;
}

/* ---- bf16 -------------------------------------------------------------------------------------
 */

/* C += A x B for 32 x 32 over `blocks`; c[panel][row][16], the second panel c2 floats on */
static void block_2x2(const tile_call *v, const uint8_t *b0, const uint8_t *b1, size_t row,
                      size_t block, size_t blocks, float *c, size_t c2, bool more)
{
    const uint16_t *a = act_tile(v->a, row, block);
    size_t next = v->a->rows * 32;
    if (more) {
        tile_load(0, c, 64);
        tile_load(1, c + c2, 64);
        tile_load(2, c + 256, 64);
        tile_load(3, c + c2 + 256, 64);
    } else {
        tile_zero(0);
        tile_zero(1);
        tile_zero(2);
        tile_zero(3);
    }
    for (size_t i = 0; i < blocks; i++, a += next) {
        tile_load(6, b0 + i * 1024, 64);
        tile_load(4, a, 64);
        tile_load(7, b1 + i * 1024, 64);
        tile_dpbf16(0, 4, 6);
        tile_load(5, a + 512, 64);
        tile_dpbf16(1, 4, 7);
        tile_dpbf16(2, 5, 6);
        tile_dpbf16(3, 5, 7);
    }
    tile_store(0, c, 64);
    tile_store(1, c + c2, 64);
    tile_store(2, c + 256, 64);
    tile_store(3, c + c2 + 256, 64);
}

/* The same for at most 16 rows */
static void block_1x2(const tile_call *v, const uint8_t *b0, const uint8_t *b1, size_t row,
                      size_t block, size_t blocks, float *c, size_t c2, bool more)
{
    const uint16_t *a = act_tile(v->a, row, block);
    size_t next = v->a->rows * 32;
    if (more) {
        tile_load(0, c, 64);
        tile_load(1, c + c2, 64);
    } else {
        tile_zero(0);
        tile_zero(1);
    }
    for (size_t i = 0; i < blocks; i++, a += next) {
        tile_load(4, a, 64);
        tile_load(6, b0 + i * 1024, 64);
        tile_load(7, b1 + i * 1024, 64);
        tile_dpbf16(0, 4, 6);
        tile_dpbf16(1, 4, 7);
    }
    tile_store(0, c, 64);
    tile_store(1, c + c2, 64);
}

/* Results of one panel between scratch [rows][16] and y */
static void load_panel(const tile_call *v, size_t panel, size_t row, size_t rows, float *c)
{
    size_t n = v->w->n - panel * 16;
    for (size_t r = 0; r < rows; r++)
        v16_store(c + r * 16, v16_load_n(v->y + (row + r) * v->ldy + panel * 16, n));
}

static void store_panel(const tile_call *v, size_t panel, size_t row, size_t rows, const float *c,
                        bool last)
{
    size_t n = v->w->n - panel * 16;
    bool add = last && v->bias;
    v16 bias = add ? v16_load_n(v->bias + panel * 16, n) : v16_zero();
    for (size_t r = 0; r < rows; r++) {
        v16 x = v16_load(c + r * 16);
        v16_store_n(v->y + (row + r) * v->ldy + panel * 16, add ? v16_add(x, bias) : x, n);
    }
}

/* Rows [row, row + rows) x panels p and q (q may be p again, unwritten) over blocks [from, to) */
static void panel_pair(const tile_call *v, size_t p, size_t q, size_t row, size_t rows, size_t from,
                       size_t to, float *c)
{
    const size_t c2 = ROW_BLOCK * 16, step = K_STEP / 32;
    const uint8_t *b0 = v->w->data + p * v->w->panel_bytes,
                  *b1 = v->w->data + q * v->w->panel_bytes;
    if (from) {
        load_panel(v, p, row, rows, c);
        load_panel(v, q, row, rows, c + c2);
    }
    for (size_t b = from; b < to; b += step) {
        size_t n = to - b < step ? to - b : step;
        for (size_t r = 0; r < rows; r += 32) {
            /* the next step's weights come to L2 meanwhile, an eighth at a time */
            size_t ahead = (b + step) * 1024 + r / 32 * n * 128;
            for (size_t i = 0; i < n * 128; i += 64) {
                __builtin_prefetch(b0 + ahead + i, 0, 2);
                __builtin_prefetch(b1 + ahead + i, 0, 2);
            }
            (rows - r > 16 ? block_2x2 : block_1x2)(v, b0 + b * 1024, b1 + b * 1024, row + r, b, n,
                                                    c + r * 16, c2, b > 0);
        }
    }
    store_panel(v, p, row, rows, c, to == v->w->k_pad / 32);
    if (q != p)
        store_panel(v, q, row, rows, c + c2, to == v->w->k_pad / 32);
}

static void many_bf16(const tile_call *v)
{
    size_t blocks = v->w->k_pad / 32, span = K_SPAN / 32;
    tile_config config;
    tile_fill_config(&config, 16, 64);
    tile_set_config(&config);
    for (size_t row = v->row0; row < v->row1; row += ROW_BLOCK) {
        size_t rows = v->row1 - row < ROW_BLOCK ? v->row1 - row : ROW_BLOCK;
        for (size_t from = 0; from < blocks; from += span) {
            size_t to = blocks - from < span ? blocks : from + span;
            for (size_t p = v->panel0; p < v->panel1; p += 2)
                panel_pair(v, p, p + 1 < v->panel1 ? p + 1 : p, row, rows, from, to,
                           (float *)(void *)v->scratch);
        }
    }
    tile_release();
}

/* ---- codes with scales ------------------------------------------------------------------------
 */

/* Planes: the words of vec.h are the rows of a tile as they come. */
V16_INLINE void expand_planes_of(const uint8_t *codes, size_t blocks, float first, int low,
                                 int high, uint8_t *to)
{
    v16_table t = v16_table_linear(first);
    for (size_t b = 0; b < blocks; b++, codes += 64 * (low + high))
        for (size_t p = 0; p < 2; p++)
            for (int i = 0; i < 8; i++, to += 64)
                _mm512_storeu_si512((void *)to,
                                    v16_words_planes(codes, p, i / 4, i % 4, low, high, t));
}

static void expand_planes(hone_layout layout, const uint8_t *codes, size_t blocks, float first,
                          uint8_t *to)
{
    if (layout == HONE_LAYOUT_U2)
        expand_planes_of(codes, blocks, first, 2, 0, to);
    else if (layout == HONE_LAYOUT_U3)
        expand_planes_of(codes, blocks, first, 2, 1, to);
    else if (layout == HONE_LAYOUT_U5)
        expand_planes_of(codes, blocks, first, 4, 1, to);
    else
        expand_planes_of(codes, blocks, first, 4, 2, to);
}

/* Codes of blocks of 32 from `from` on, as tiles */
static void expand_codes(const hone_packed *w, const uint8_t *panel, size_t from, size_t blocks,
                         uint8_t *to)
{
    hone_planes s = hone_layout_planes(w->layout);
    if (w->layout == HONE_LAYOUT_I8)
        expand_i8(panel + from * 512, blocks, to);
    else if (w->layout == HONE_LAYOUT_U4)
        expand_u4(panel + from * 256, blocks, w->table, to);
    else
        expand_planes(w->layout, panel + from * 64 * (s.low + s.high), blocks, w->low, to);
}

/* One panel x 30 rows (fewer are computed and not written): blocks of 32 (16 in groups of 16)
 * [from, to), whose weight tiles are at b. D of a group goes through d[2][30][16]: the vector unit
 * takes group g while the tiles do g + 1. sums[30][16], C of the earlier blocks in and out. A group
 * that continues past `to` leaves its D in carry[30][16], where the next call finds it. */
static void scaled_30(const tile_call *v, const uint8_t *panel, const uint8_t *b, size_t row,
                      size_t rows, size_t from, size_t to, float *sums, float *carry)
{
    float d[2][SCALED_ROWS][16] __attribute__((aligned(64)));
    float ones[SCALED_ROWS];
    const hone_packed *w = v->w;
    size_t size = w->group == 16 ? 16 : 32;
    const float *act_sums = size == 16 ? v->a->sums16 : v->a->sums;
    size_t group = w->group / size, blocks = w->k_pad / size;
    /* the second tile of rows, or the first again if there is none: rows beyond the last are not
     * read from elsewhere than the matrix's own slack */
    size_t second = rows > 15 ? 15 * 32 : 0;
#define LOAD_C(r) v16 c##r = v16_load(sums + (r)*16);
    EACH_30(LOAD_C)
#undef LOAD_C
    for (size_t g = from / group, turn = 0; g * group < to; g++, turn ^= 1) {
        size_t block = g * group < from ? from : g * group, last = (g + 1) * group;
        size_t end = last < to ? last : to;
        if (block > g * group) {
            tile_load(0, carry, 64);
            tile_load(1, carry + 15 * 16, 64);
        } else {
            tile_zero(0);
            tile_zero(1);
        }
        for (; block < end; block++, b += 32 * size) {
            const uint16_t *a = act_tile(v->a, row, block * size / 32) + block * size % 32;
            tile_load(6, b, 64);
            tile_load(4, a, 64);
            tile_load(5, a + second, 64);
            tile_dpbf16(0, 4, 6);
            tile_dpbf16(1, 5, 6);
        }
        if (last > to && to < blocks) {
            tile_store(0, carry, 64);
            tile_store(1, carry + 15 * 16, 64);
            break;
        }
        tile_store(0, d[turn][0], 64);
        tile_store(1, d[turn][15], 64);
        const float *dg = d[turn][0];
        v16 s = scales_of(w, panel + w->scale_offset, panel + w->super_offset, g);
#define SCALE_C(r) c##r = v16_fma(s, v16_load(dg + (r)*16), c##r);
        EACH_30(SCALE_C)
#undef SCALE_C
        if (!w->has_min)
            continue;
        for (size_t r = 0; r < SCALED_ROWS; r++) {
            ones[r] = 0.0f;
            for (block = g * group; r < rows && block < end; block++)
                ones[r] += act_sums[(row + r) * blocks + block];
        }
        s = scales_of(w, panel + w->min_offset, panel + w->min_super_offset, g);
#define MIN_C(r) c##r = v16_fma(s, v16_set1(ones[r]), c##r);
        EACH_30(MIN_C)
#undef MIN_C
    }
#define STORE_C(r) v16_store(sums + (r)*16, c##r);
    EACH_30(STORE_C)
#undef STORE_C
}

/* Rows of v (at most CARRY_ROWS) */
static void many_scaled(const tile_call *v)
{
    const hone_packed *w = v->w;
    size_t blocks = w->k_pad / 32, span = SCALED_SPAN / 32;
    uint8_t *tiles = v->scratch;
    float *c = (float *)(void *)(tiles + span * 1024), *d = c + SCALED_ROWS * 16;
    tile_config config;
    size_t block = w->group == 16 ? 16 : 32;
    tile_fill_config(&config, 15, 2 * (int)block);
    tile_set_config(&config);
    for (size_t p = v->panel0; p < v->panel1; p++) {
        const uint8_t *panel = w->data + p * w->panel_bytes;
        for (size_t from = 0; from < blocks; from += span) {
            size_t to = blocks - from < span ? blocks : from + span;
            expand_codes(w, panel, from, to - from, tiles);
            for (size_t r = v->row0; r < v->row1; r += SCALED_ROWS) {
                size_t rows = v->row1 - r < SCALED_ROWS ? v->row1 - r : SCALED_ROWS;
                memset(c, 0, SCALED_ROWS * 64);
                if (from)
                    load_panel(v, p, r, rows, c);
                scaled_30(v, panel, tiles, r, rows, from * 32 / block, to * 32 / block, c,
                          d + (r - v->row0) / SCALED_ROWS * SCALED_ROWS * 16);
                store_panel(v, p, r, rows, c, to == blocks);
            }
        }
    }
    tile_release();
}

static void product_many(const hone_packed *w, const hone_act *a, size_t row0, size_t row1,
                         size_t panel0, size_t panel1, float *y, size_t ldy, const float *bias,
                         void *scratch)
{
    if (w->layout == HONE_LAYOUT_F32) {
        many_below(w, a, row0, row1, panel0, panel1, y, ldy, bias, scratch);
        return;
    }
    tile_call v = {.w = w,
                   .a = a,
                   .row0 = row0,
                   .row1 = row1,
                   .panel0 = panel0,
                   .panel1 = panel1,
                   .y = y,
                   .ldy = ldy,
                   .bias = bias,
                   .scratch = scratch};
    if (w->layout == HONE_LAYOUT_BF16)
        many_bf16(&v);
    else
        for (; v.row0 < row1; v.row0 = v.row1) {
            v.row1 = row1 - v.row0 < CARRY_ROWS ? row1 : v.row0 + CARRY_ROWS;
            many_scaled(&v);
        }
}

void hone_kernels_amx(hone_kernels *t)
{
    many_below = t->product_many;
    pack_below = t->act_pack;
    attn_below = t->attn_piece;
    t->attn_piece = attn_tiles;
    t->attn_merge = attn_merge;
    t->attn_finish = attn_finish;
    t->act_bf16 = true;
    t->act_pack = act_pack;
    t->product_many = product_many;
    for (int l = 0; l < HONE_LAYOUT_COUNT; l++)
        if (l != HONE_LAYOUT_F32)
            t->few_rows[l] = HONE_FEW_ROWS;
}
