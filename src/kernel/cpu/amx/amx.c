/*
 * amx - products of many rows with TDPBF16PS, whose arithmetic is hone's definition
 * (docs/numerics.md).
 *
 * The activation's bf16 rows are stored [rows/32][k_pad/32][32][32], so that 32 rows of a block of
 * 32 are two tiles one behind the other, and what follows along K lies next to them. A packed bf16
 * panel is a column of weight tiles, 1 KB per block of 32.
 *
 * One order for all layouts: 256 rows x 16 panels x 1024 of K at a time. The activations (512 KB)
 * and the results C (256 KB, dense) stay in L2 meanwhile, weights pass through once, and y is
 * written in the end and past the caches: its lines lie a row apart and would be fetched first.
 * bf16    32 x 32 blocks of the result (2 x 2 tiles), 256 of K at a time from L1.
 * scaled  codes expanded to bf16 tiles; 32 rows x 1 panel, whose sums C stay in registers (the last
 *         two in L1); each group's D comes out of the tiles through L1, and is added while the
 *         tiles do the next group.
 * Attention: attention.h. The other kernels of this set are those of AVX-512.
 */
#include "kernel/cpu/avx512/vec.h"

#include "kernel/cpu/amx/attention.h"
#include "kernel/cpu/amx/expand.h"
#include "kernel/cpu/amx/few.h"
#include "kernel/cpu/amx/scaled.h"
#include "kernel/cpu/amx/tile.h"
#include "kernel/cpu/generic/unroll.h"
#include "kernel/layout.h"
#include "kernel/table.h"

enum { ROW_BLOCK = 256, PANEL_BLOCK = 16, K_SPAN = 1024, K_STEP = 256 };
enum { C_ROWS = 30 };            /* rows whose sums stay in registers */
enum { STREAM_BYTES = 1 << 20 }; /* results larger than this are written past the caches */

static hone_product_many_fn *many_below; /* of the weaker set: the layouts that tiles do not do */
static hone_product_few_fn *few_below;
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
            _mm256_storeu_si256((__m256i *)(void *)(act_tile(act, r, k / 32) + k % 32), h);
        }
}

/* ---- the order --------------------------------------------------------------------------------
 */

/* What is worked on: rows x panels x blocks of 32 along K. */
typedef struct part {
    size_t row, rows; /* row: a multiple of the tiles' rows */
    size_t panel0, panel1;
    size_t from, to; /* blocks */
    size_t ldc;      /* floats from panel to panel of c */
    float *c;        /* [panels][rows][16], up to `from` */
    float *carry;    /* likewise: D of groups that go on */
    uint8_t *tiles;  /* of a panel, expanded */
    float *ones;     /* [rows / 32][groups][32]: SA */
} part;

/* Results of a panel to y, with the bias. */
static void store_panel(const tile_call *v, const part *j, size_t panel)
{
    size_t n = v->w->n - panel * 16, first = j->row < v->row0 ? v->row0 - j->row : 0;
    const float *c = j->c + (panel - j->panel0) * j->ldc;
    float *y = v->y + j->row * v->ldy + panel * 16;
    v16 bias = v->bias ? v16_load_n(v->bias + panel * 16, n) : v16_zero();
    bool stream = n >= 16 && (uintptr_t)y % 64 == 0 && v->ldy % 16 == 0 &&
                  (v->row1 - v->row0) * v->ldy * sizeof *y > STREAM_BYTES;
    for (size_t r = first; r < j->rows; r++) {
        v16 x = v16_load(c + r * 16);
        x = v->bias ? v16_add(x, bias) : x;
        if (stream)
            _mm512_stream_ps(y + r * v->ldy, x);
        else
            v16_store_n(y + r * v->ldy, x, n);
    }
}

/* Where the weights lie that come next if that is `panel` of the same part, and from which block
 * on: only asked for, so that it may be beyond the last. */
static const uint8_t *weights_after(const tile_call *v, const part *j, size_t panel, size_t *block)
{
    bool through = panel >= j->panel1, last = j->to == v->w->k_pad / 32;
    *block = !through ? j->from : last ? 0 : j->to;
    return v->w->data + (through && !last ? j->panel0 : panel) * v->w->panel_bytes;
}

typedef void part_fn(const tile_call *v, const part *j);

static void in_parts(const tile_call *v, part_fn *fn)
{
    const hone_packed *w = v->w;
    const size_t blocks = w->k_pad / 32, span = K_SPAN / 32, rows = v->a->tile_rows;
    part j = {.c = (float *)(void *)v->scratch};
    j.carry = j.c + ROW_BLOCK * PANEL_BLOCK * 16;
    j.tiles = (uint8_t *)(j.carry + ROW_BLOCK * PANEL_BLOCK * 16);
    j.ones = (float *)(void *)(j.tiles + K_SPAN * 32);
    for (j.row = v->row0 / rows * rows; j.row < v->row1; j.row += ROW_BLOCK) {
        j.rows = v->row1 - j.row < ROW_BLOCK ? v->row1 - j.row : ROW_BLOCK;
        j.ldc = (j.rows + rows - 1) / rows * rows * 16;
        for (j.panel0 = v->panel0; j.panel0 < v->panel1; j.panel0 = j.panel1) {
            j.panel1 = v->panel1 - j.panel0 < PANEL_BLOCK ? v->panel1 : j.panel0 + PANEL_BLOCK;
            for (j.from = 0; j.from < blocks; j.from = j.to) {
                j.to = blocks - j.from < span ? blocks : j.from + span;
                fn(v, &j);
            }
            for (size_t p = j.panel0; p < j.panel1; p++)
                store_panel(v, &j, p);
        }
    }
    _mm_sfence(); /* what was written past the caches comes before what the caller writes next */
}

/* ---- bf16 -------------------------------------------------------------------------------------
 */

/* At most 32 rows x panels p and q over some blocks */
typedef struct bf16_job {
    const uint16_t *a;
    size_t next; /* elements from block to block of a */
    const uint8_t *b[2];
    size_t blocks;
    float *c; /* [32][16], the second panel's ldc floats on */
    size_t ldc;
    bool more;           /* add to what c holds */
    const uint8_t *soon; /* asked for meanwhile: soon_bytes of each panel along with each block */
    size_t soon_bytes, soon_next; /* bytes from panel to panel */
} bf16_job;

static void bf16_ask(const bf16_job *j, size_t block)
{
    const uint8_t *at = j->soon + block * j->soon_bytes;
    for (size_t i = 0; i < j->soon_bytes; i += 64) {
        __builtin_prefetch(at + i, 0, 2);
        __builtin_prefetch(at + j->soon_next + i, 0, 2);
    }
}

/* C += A x B for 32 x 32 */
static void block_2x2(const bf16_job *j)
{
    const uint8_t *b0 = j->b[0], *b1 = j->b[1];
    const uint16_t *a = j->a;
    float *c = j->c, *c2 = c + j->ldc;
    if (j->more) {
        tile_load(0, c, 64);
        tile_load(1, c2, 64);
        tile_load(2, c + 256, 64);
        tile_load(3, c2 + 256, 64);
    } else {
        tile_zero(0);
        tile_zero(1);
        tile_zero(2);
        tile_zero(3);
    }
    for (size_t i = 0; i < j->blocks; i++, a += j->next) {
        bf16_ask(j, i);
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
    tile_store(1, c2, 64);
    tile_store(2, c + 256, 64);
    tile_store(3, c2 + 256, 64);
}

/* The same for at most 16 rows */
static void block_1x2(const bf16_job *j)
{
    const uint8_t *b0 = j->b[0], *b1 = j->b[1];
    const uint16_t *a = j->a;
    float *c = j->c, *c2 = c + j->ldc;
    if (j->more) {
        tile_load(0, c, 64);
        tile_load(1, c2, 64);
    } else {
        tile_zero(0);
        tile_zero(1);
    }
    for (size_t i = 0; i < j->blocks; i++, a += j->next) {
        bf16_ask(j, i);
        tile_load(4, a, 64);
        tile_load(6, b0 + i * 1024, 64);
        tile_load(7, b1 + i * 1024, 64);
        tile_dpbf16(0, 4, 6);
        tile_dpbf16(1, 4, 7);
    }
    tile_store(0, c, 64);
    tile_store(1, c2, 64);
}

/* Panels p and q (q may be p again, its results unread). The next step's weights come to L2
 * meanwhile, a share with each block: all at once they would hold up what is read from L2. */
static void bf16_pair(const tile_call *v, const part *j, size_t p, size_t q)
{
    const size_t step = K_STEP / 32, bytes = v->w->panel_bytes, strip = v->a->tile_rows;
    const size_t strips = (j->rows + strip - 1) / strip, share = (1024 / strips + 63) / 64 * 64;
    const uint8_t *b0 = v->w->data + p * bytes, *b1 = v->w->data + q * bytes;
    float *c = j->c + (p - j->panel0) * j->ldc;
    for (size_t b = j->from; b < j->to; b += step) {
        size_t n = j->to - b < step ? j->to - b : step, block = b + step;
        const uint8_t *soon = block < j->to ? b0 : weights_after(v, j, q + 1, &block);
        bf16_job x = {.next = strip * 32,
                      .b = {b0 + b * 1024, b1 + b * 1024},
                      .blocks = n,
                      .ldc = j->ldc,
                      .more = b > 0,
                      .soon = soon + block * 1024,
                      .soon_next = bytes};
        for (size_t s = 0; s < strips; s++, x.soon += n * share) {
            x.a = act_tile(v->a, j->row + s * strip, b);
            x.c = c + s * strip * 16;
            x.soon_bytes = s * share < 1024 ? share : 0;
            (j->rows - s * strip > 16 ? block_2x2 : block_1x2)(&x);
        }
    }
}

static void bf16_part(const tile_call *v, const part *j)
{
    for (size_t p = j->panel0; p < j->panel1; p += 2)
        bf16_pair(v, j, p, p + 1 < j->panel1 ? p + 1 : p);
}

/* ---- codes with scales ------------------------------------------------------------------------
 */

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

/* D of group g to d, or to the carry and false if it goes on after this part */
V16_INLINE bool group_sums(bool high, const scaled_job *j, size_t g, size_t size, float *d)
{
    const size_t group = j->w->group / size, blocks = j->w->k_pad / size;
    size_t block = g * group < j->from ? j->from : g * group, last = (g + 1) * group;
    const size_t end = last < j->to ? last : j->to;
    const bool open = last > j->to && j->to < blocks;
    if (block > g * group) {
        tile_load(0, j->carry, 64);
        if (high)
            tile_load(1, j->carry + 256, 64);
    } else {
        tile_zero(0);
        if (high)
            tile_zero(1);
    }
    for (; block < end; block++) {
        size_t at = block - j->from;
        const uint16_t *a = j->a + at * size / 32 * j->next + at * size % 32;
        for (size_t i = 0; i < j->soon_bytes; i += 64)
            __builtin_prefetch(j->soon + at * j->soon_bytes + i, 0, 2);
        tile_load(6, j->tiles + at * 32 * size, 64);
        tile_load(4, a, 64);
        tile_dpbf16(0, 4, 6);
        if (high) {
            tile_load(5, a + 512, 64);
            tile_dpbf16(1, 5, 6);
        }
    }
    d = open ? j->carry : d;
    tile_store(0, d, 64);
    if (high)
        tile_store(1, d + 256, 64);
    return !open;
}

/* high: more than 16 rows. The vector unit adds group g while the tiles do g + 1. */
V16_INLINE void scaled_rows(bool high, const scaled_job *j)
{
    float d[2][32][16] __attribute__((aligned(64)));
    const hone_packed *w = j->w;
    const size_t size = w->group == 16 ? 16 : 32, group = w->group / size;
    const size_t first = j->from / group;
    const int regs = high ? C_ROWS : 16, rows = high ? 32 : 16;
    v16 c[C_ROWS];
    UNROLL for (int r = 0; r < regs; r++) c[r] = v16_load(j->c + r * 16);
    bool waits = false; /* group g - 1 lies in d */
    for (size_t g = first;; g++) {
        bool more = g * group < j->to && group_sums(high, j, g, size, d[g % 2][0]);
        if (waits) {
            const float *dg = d[(g - 1) % 2][0], *ones = j->ones + (g - 1 - first) * 32;
            v16 s = scales_of(w, j->panel + w->scale_offset, j->panel + w->super_offset, g - 1);
            UNROLL for (int r = 0; r < regs; r++) c[r] = v16_fma(s, v16_load(dg + r * 16), c[r]);
            UNROLL for (int r = regs; r < rows; r++) v16_store(
                j->c + r * 16, v16_fma(s, v16_load(dg + r * 16), v16_load(j->c + r * 16)));
            if (w->has_min) {
                s = scales_of(w, j->panel + w->min_offset, j->panel + w->min_super_offset, g - 1);
                UNROLL for (int r = 0; r < regs; r++) c[r] = v16_fma(s, v16_set1(ones[r]), c[r]);
                UNROLL for (int r = regs; r < rows; r++) v16_store(
                    j->c + r * 16, v16_fma(s, v16_set1(ones[r]), v16_load(j->c + r * 16)));
            }
        }
        waits = more;
        if (!more)
            break;
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

static void scaled_part(const tile_call *v, const part *j)
{
    const hone_packed *w = v->w;
    const size_t size = w->group == 16 ? 16 : 32, strip = v->a->tile_rows;
    const hone_planes planes = hone_layout_planes(w->layout);
    const size_t bytes = w->layout == HONE_LAYOUT_I8   ? 512 /* of codes of a block of 32 */
                         : w->layout == HONE_LAYOUT_U4 ? 256
                                                       : 64 * (planes.low + planes.high);
    const size_t ld = K_SPAN / size * 32; /* of ones */
    if (!j->from)
        memset(j->c, 0, (j->panel1 - j->panel0) * j->ldc * sizeof *j->c);
    for (size_t r = 0; w->has_min && r < j->rows; r += 32)
        group_ones(v, j, j->row + r, size, j->ones + r / 32 * ld);
    for (size_t p = j->panel0; p < j->panel1; p++) {
        size_t block;
        const uint8_t *soon = weights_after(v, j, p + 1, &block);
        scaled_job s = {.w = w,
                        .panel = w->data + p * w->panel_bytes,
                        .tiles = j->tiles,
                        .next = strip * 32,
                        .from = j->from * 32 / size,
                        .to = j->to * 32 / size,
                        .soon = soon + block * bytes,
                        .soon_bytes = bytes * size / 32};
        expand_codes(w, s.panel, j->from, j->to - j->from, j->tiles);
        for (size_t r = 0; r < j->rows; r += strip, s.soon_bytes = 0) {
            size_t at = (p - j->panel0) * j->ldc + r * 16;
            s.a = act_tile(v->a, j->row + r, j->from);
            s.ones = j->ones + r / 32 * ld;
            s.c = j->c + at;
            s.carry = j->carry + at;
            (j->rows - r > 16 ? scaled_32 : scaled_16)(&s);
        }
    }
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
    in_parts(&v, w->layout == HONE_LAYOUT_BF16 ? bf16_part : scaled_part);
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
    few_tiles(&v);
}

void hone_kernels_amx(hone_kernels *t)
{
    many_below = t->product_many;
    few_below = t->product_few;
    pack_below = t->act_pack;
    attn_below = t->attn_piece;
    t->attn_piece = attn_tiles;
    t->attn_merge = attn_merge;
    t->attn_finish = attn_finish;
    t->act_bf16 = true;
    t->many_panels = PANEL_BLOCK;
    t->act_pack = act_pack;
    t->product_few = product_few;
    t->product_many = product_many;
    for (int l = 0; l < HONE_LAYOUT_COUNT; l++)
        if (few_of[l].fn)
            t->few_rows[l] = TILE_FEW;
}
