#include "kernel/kernel.h"

#include "base/mem.h"
#include "kernel/int8.h"
#include "kernel/layout.h"
#include "kernel/table.h"
#include "kernel/whole.h"

#include <pthread.h>

static hone_kernels tables[HONE_ISA_COUNT];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

/* Each table is the one below with the set's own slots put over it. */
static void overlay(void)
{
    hone_kernels t = {0};
    for (int i = 0; i < HONE_ISA_COUNT; i++) {
        switch ((hone_isa)i) {
        case HONE_ISA_SCALAR:
            hone_kernels_scalar(&t);
            hone_kernels_scalar_techniques(&t);
            hone_kernels_scalar_back(&t);
            break;
#if defined(__x86_64__)
        case HONE_ISA_AVX2:
            hone_kernels_avx2(&t);
            hone_kernels_avx2_back(&t);
            hone_kernels_avx2_int8(&t);
            break;
        case HONE_ISA_AVX512:
            hone_kernels_avx512(&t);
            hone_kernels_avx512_back(&t);
            if (hone_isa_has_bf16())
                hone_kernels_bf16(&t);
            break;
        case HONE_ISA_AVX512_VNNI:
            hone_kernels_vnni(&t);
            break;
        case HONE_ISA_AMX_BF16:
            hone_kernels_amx(&t);
            hone_kernels_amx_back(&t);
            break;
        case HONE_ISA_AMX_INT8:
            hone_kernels_amx_int8(&t);
            break;
#endif
        default:
            break;
        }
        t.isa = (hone_isa)i;
        tables[i] = t;
    }
    hone_techniques_overlay(tables);
}

const hone_kernels *hone_kernels_get(hone_isa isa)
{
    pthread_once(&tables_once, overlay);
    return &tables[(unsigned)isa < HONE_ISA_COUNT ? isa : HONE_ISA_SCALAR];
}

/* ---- activations and products ---------------------------------------------------------------- */

static size_t align64(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

enum { ROW_PAD = 16, HALF_PAD = 32 };

/* Many rows that are only read as tiles: bf16 or, of a scale per row, tiles8 */
static bool tiles_alone(const hone_kernels *kt, size_t rows, int flags)
{
    int needs = HONE_ACT_F32 | (kt->products == HONE_PRODUCTS_INT8_ROW ? HONE_ACT_NUMBERS : 0);
    return kt->tiles_alone && rows >= kt->tiles_alone && !(flags & needs);
}

int hone_act_flags(const hone_packed *w)
{
    int sums = w->group == 16 ? HONE_ACT_SUMS16 : HONE_ACT_SUMS;
    bool codes = hone_int8_takes(w) && w->group >= w->k_pad && !w->has_min;
    return (w->layout == HONE_LAYOUT_F32 ? HONE_ACT_F32 : 0) | (w->has_min ? sums : 0) |
           (codes ? 0 : HONE_ACT_NUMBERS);
}

static void lay_whole(const hone_kernels *kt, void *mem, size_t *at, hone_act *act)
{
    if (!kt->act_whole || act->rows != 1 || act->flags & HONE_ACT_F32)
        return;
    act->digits = hone_cut(mem, at, HONE_WHOLE_DIGITS * hone_whole_ld(act));
    act->whole = hone_cut(mem, at, act->k_pad / 32 * sizeof *act->whole);
}

size_t hone_act_init(const hone_kernels *kt, size_t rows, size_t k, int flags, void *mem,
                     hone_act *act)
{
    const size_t k_pad = (k + 31) / 32 * 32, tile = rows <= 16 ? 16 : 32;
    const bool alone = tiles_alone(kt, rows, flags),
               codes = alone && kt->products == HONE_PRODUCTS_INT8_ROW;
    size_t at = 0;
    *act = (hone_act){.rows = rows, .k = k, .k_pad = k_pad, .ld = k_pad + ROW_PAD, .flags = flags};
    if (hone_act_is_half(kt, flags)) {
        act->ld = k_pad + HALF_PAD;
        act->half = hone_cut(mem, &at, rows * act->ld * 2);
    } else if (!alone) {
        act->f32 = hone_cut(mem, &at, rows * act->ld * 4);
    }
    if (kt->act_bf16)
        act->tile_rows = tile;
    if (kt->act_bf16 && !codes) /* up to whole tiles */
        act->bf16 = hone_cut(mem, &at, (rows + tile - 1) / tile * tile * k_pad * 2);
    if (flags & HONE_ACT_SUMS)
        act->sums = hone_cut(mem, &at, rows * (k_pad / 32) * 4);
    if (flags & HONE_ACT_SUMS16)
        act->sums16 = hone_cut(mem, &at, rows * (k_pad / 16) * 4);
    lay_whole(kt, mem, &at, act);
    hone_act_int8_init(kt, codes, mem, &at, act);
    return at;
}

size_t hone_act_bytes(const hone_kernels *kt, size_t rows, size_t k, int flags)
{
    const size_t alone = kt->tiles_alone,
                 counts[] = {1, alone && rows >= alone ? alone - 1 : rows, rows};
    size_t most = 0;
    for (int i = 0; i < 6; i++) {
        hone_act act;
        int needs = i % 2 ? flags : flags & ~HONE_ACT_F32;
        size_t bytes = hone_act_init(kt, counts[i / 2], k, needs, NULL, &act);
        most = bytes > most ? bytes : most;
    }
    return most;
}

float hone_act_at(const hone_act *a, size_t row, size_t k)
{
    if (a->f32)
        return a->f32[row * a->ld + k];
    const size_t rows = a->tile_rows;
    return hone_bf16_to_f32(a->half ? a->half[row * a->ld + k]
                                    : a->bf16[(row / rows * (a->k_pad / 32) + k / 32) * rows * 32 +
                                              row % rows * 32 + k % 32]);
}

void hone_product(const hone_kernels *kt, const hone_packed *w, const hone_act *a, size_t row0,
                  size_t row1, size_t panel0, size_t panel1, float *y, size_t ldy,
                  const float *bias, void *scratch)
{
    if (row0 >= row1 || panel0 >= panel1)
        return;
    hone_product_many_fn *few = kt->product_few, *many = kt->product_many,
                         *technique = hone_technique_product(kt, w, a);
    float low, high;
    if (technique)
        few = many = technique;
    else if (!a->f32) /* tiles alone */
        few = many;
    else if (a->whole && kt->whole[w->layout] && hone_whole_takes(w, &low, &high))
        few = kt->product_whole;
    (row1 - row0 <= kt->few_rows[w->layout] ? few : many)(w, a, row0, row1, panel0, panel1, y, ldy,
                                                          bias, scratch);
}

size_t hone_product_scratch_bytes(void)
{
    return HONE_SCRATCH_PRODUCT + HONE_SCRATCH_PANELS;
}

hone_cost hone_product_cost(const hone_packed *w, size_t rows)
{
    return (hone_cost){.flops = 2.0 * (double)rows * (double)w->n * (double)w->k,
                       .bytes = (double)hone_packed_bytes(w) +
                                4.0 * (double)rows * (double)(w->n + w->k)};
}

/* ---- keys, values, attention ------------------------------------------------------------------
 */

const hone_kv_form hone_kv_forms[HONE_KV_COUNT] = {
    [HONE_KV_F32] = {"f32", HONE_LAYOUT_F32, 32, 0.0f, false, 0},
    [HONE_KV_BF16] = {"bf16", HONE_LAYOUT_BF16, 16, 0.0f, false, 0},
    [HONE_KV_I8] = {"int8", HONE_LAYOUT_I8, 8, 127.0f, false, 0},
    [HONE_KV_I4] = {"int4", HONE_LAYOUT_U4, 4, 8.0f, true, 0},
    [HONE_KV_E4M3] = {"fp8_e4m3", HONE_LAYOUT_I8, 8, 1.75f, false, 3},
    [HONE_KV_E5M2] = {"fp8_e5m2", HONE_LAYOUT_I8, 8, 57344.0f, false, 2},
};

const char *hone_kv_format_name(hone_kv_format f)
{
    return (unsigned)f < HONE_KV_COUNT ? hone_kv_forms[f].name : "?";
}

static size_t scale_bytes(const hone_kv *kv)
{
    const hone_kv_form *form = hone_kv_form_of(kv);
    size_t groups = hone_kv_k_pad(kv) / 32 + (hone_kv_v_pad(kv) + 31) / 32;
    return form->grouped ? 128 * groups : form->top > 0.0f ? 512 : 0;
}

size_t hone_kv_page_bytes(const hone_kv *kv)
{
    return hone_kv_k_scales(kv) + scale_bytes(kv);
}

size_t hone_attn_partial_floats(const hone_kv *kv)
{
    return hone_kv_v_pad(kv) + 16;
}

enum { ATTN_ROWS = 64 }; /* rows that hone_attention carries through the context together */

/* partial of the pieces so far, of the next piece, and what attn_piece wants */
size_t hone_attn_scratch_bytes(const hone_kv *kv)
{
    return align64(2 * ATTN_ROWS * hone_attn_partial_floats(kv) * 4) +
           hone_attn_piece_scratch_bytes(kv);
}

size_t hone_attn_piece_scratch_bytes(const hone_kv *kv)
{
    size_t k_pad = hone_kv_k_pad(kv), v_pad = hone_kv_v_pad(kv);
    /* queries, scores, probabilities times scales of a block of rows, and the first and last in
     * bfloat16; the tile and its scales expanded to float */
    return ATTN_ROWS * (k_pad * 6 + 64 * 10) + 64 * (k_pad + v_pad) * 4 + k_pad / 32 * 256 + 4096;
}

/* Pieces that rows [row0, row1) see some key of. */
static void pieces_of(const hone_attn *t, size_t row0, size_t row1, size_t *first, size_t *end)
{
    int64_t lo = INT64_MAX, hi = 0;
    for (size_t token = row0 / t->group; row0 < row1 && token <= (row1 - 1) / t->group; token++) {
        int64_t b, e;
        hone_attn_visible(t, token, &b, &e);
        if (e <= b)
            continue;
        lo = b < lo ? b : lo;
        hi = e > hi ? e : hi;
    }
    *first = hi ? (size_t)(lo / HONE_ATTN_PIECE) : 0;
    *end = hi ? (size_t)((hi + HONE_ATTN_PIECE - 1) / HONE_ATTN_PIECE) : 0;
}

void hone_attn_pieces(const hone_attn *t, size_t *first, size_t *end)
{
    pieces_of(t, 0, t->tokens * t->group, first, end);
}

void hone_attention(const hone_kernels *kt, const hone_attn *t, size_t row0, size_t row1,
                    void *scratch)
{
    size_t floats = ATTN_ROWS * hone_attn_partial_floats(&t->kv);
    float *sum = scratch, *next = sum + floats;
    void *rest = (uint8_t *)scratch + align64(2 * floats * 4);
    for (size_t r0 = row0; r0 < row1; r0 += ATTN_ROWS) {
        size_t r1 = row1 - r0 < ATTN_ROWS ? row1 : r0 + ATTN_ROWS, first, end;
        pieces_of(t, r0, r1, &first, &end);
        kt->attn_piece(t, r0, r1, first, sum, rest);
        for (size_t p = first + 1; p < end; p++) {
            kt->attn_piece(t, r0, r1, p, next, rest);
            kt->attn_merge(t, r0, r1, sum, next);
        }
        kt->attn_finish(t, r0, r1, sum);
    }
}

hone_cost hone_attn_cost(const hone_attn *t)
{
    double keys = 0, last = 0;
    for (size_t i = 0; i < t->tokens; i++) {
        int64_t b, e;
        hone_attn_visible(t, i, &b, &e);
        keys += e > b ? (double)(e - b) : 0.0;
        last = (double)e > last ? (double)e : last;
    }
    double dims = (double)(t->kv.k_dim + t->kv.v_dim);
    double key_bytes =
        dims * hone_kv_form_of(&t->kv)->bits / 8 + (double)scale_bytes(&t->kv) / HONE_KV_PAGE;
    double seen = t->window > 0 && last > t->window + (double)t->tokens
                      ? t->window + (double)t->tokens
                      : last;
    seen *= t->head_step ? (double)t->tokens : 1.0;
    return (hone_cost){.flops = 2.0 * keys * (double)t->group * dims, .bytes = seen * key_bytes};
}
