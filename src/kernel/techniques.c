/* Tables of products that are techniques: the exact ones with another name, whose activations are
 * also packed in 8 bits and whose products go to other slots (docs/numerics.md, "Techniques"). */
#include "base/mem.h"
#include "kernel/int8.h"
#include "kernel/table.h"

static hone_kernels tables[HONE_PRODUCTS_COUNT][HONE_ISA_COUNT];
enum { ROW8_PAD = 64 };

const char *hone_products_name(hone_products p)
{
    static const char *const names[HONE_PRODUCTS_COUNT] = {
#define NAME(id, name) name,
        HONE_PRODUCTS_LIST(NAME)
#undef NAME
    };
    return (unsigned)p < HONE_PRODUCTS_COUNT ? names[p] : "?";
}

static bool is_int8(const hone_kernels *kt)
{
    return kt->products == HONE_PRODUCTS_INT8 || kt->products == HONE_PRODUCTS_INT8_ROW;
}

static void act_pack_int8(hone_act *act, const float *x, size_t ldx, size_t row0, size_t row1)
{
    if (!act->scales8 || act->codes8)
        hone_kernels_get(act->kt->isa)->act_pack(act, x, ldx, row0, row1);
    if (act->scales8)
        act->kt->act_int8(act, x, ldx, row0, row1);
}

/* E + O of each block with weights 1 (docs/numerics.md), as the exact packing has them. */
static void sum_blocks(const hone_act *act, size_t row, size_t block, float *sums)
{
    for (size_t b = 0; sums && b < act->k_pad / block; b++) {
        float e = 0.0f, o = 0.0f;
        for (size_t k = b * block; k < (b + 1) * block; k += 2) {
            e += hone_act_at(act, row, k);
            o += hone_act_at(act, row, k + 1);
        }
        sums[row * (act->k_pad / block) + b] = e + o;
    }
}

bool hone_act_is_half(const hone_kernels *kt, int flags)
{
    return kt->products == HONE_PRODUCTS_BF16_DOT && !(flags & HONE_ACT_F32);
}

static void act_pack_half(hone_act *act, const float *x, size_t ldx, size_t row0, size_t row1)
{
    if (!act->half) {
        hone_kernels_get(act->kt->isa)->act_pack(act, x, ldx, row0, row1);
        return;
    }
    act->kt->act_dot(act, x, ldx, row0, row1);
    for (size_t r = row0; r < row1; r++) {
        sum_blocks(act, r, 32, act->sums);
        sum_blocks(act, r, 16, act->sums16);
    }
}

void hone_techniques_overlay(const hone_kernels exact[HONE_ISA_COUNT])
{
    for (int p = 0; p < HONE_PRODUCTS_COUNT; p++)
        for (int i = 0; i < HONE_ISA_COUNT; i++) {
            hone_kernels *t = &tables[p][i];
            *t = exact[i];
            t->products = (hone_products)p;
            if (t->products != HONE_PRODUCTS_EXACT)
                t->act_whole = false;
            if (t->products == HONE_PRODUCTS_INT8 || t->products == HONE_PRODUCTS_BF16_DOT ||
                (t->products == HONE_PRODUCTS_INT8_ROW && !t->act_tiles8))
                t->tiles_alone = 0;
            if (is_int8(t))
                t->act_pack = act_pack_int8;
            if (t->products != HONE_PRODUCTS_BF16_DOT)
                continue;
            t->act_pack = act_pack_half;
            t->act_bf16 = false;
            t->attn_back = hone_attn_back_by_products;
            t->attn_back_bytes = hone_attn_back_products_bytes;
        }
}

const hone_kernels *hone_kernels_with(hone_isa isa, hone_products products)
{
    const hone_kernels *exact = hone_kernels_get(isa); /* fills the tables */
    return products == HONE_PRODUCTS_EXACT || (unsigned)products >= HONE_PRODUCTS_COUNT
               ? exact
               : &tables[products][exact->isa];
}

bool hone_products_supported(hone_isa isa, hone_products products)
{
    return products != HONE_PRODUCTS_BF16_DOT || isa == HONE_ISA_SCALAR ||
           (isa >= HONE_ISA_AVX512 && hone_isa_has_bf16());
}

/* ---- activations in 8 bits ------------------------------------------------------------------ */

void hone_act_int8_init(const hone_kernels *kt, bool tiles_alone, void *mem, size_t *at,
                        hone_act *act)
{
    const size_t rows = act->rows, blocks = act->k_pad / 32;
    act->kt = kt;
    if (!is_int8(kt) || act->flags & HONE_ACT_F32)
        return;
    act->row_scales = kt->products == HONE_PRODUCTS_INT8_ROW;
    act->scales8 = hone_cut(mem, at, rows * blocks * 4);
    if (kt->act_tiles8 && act->row_scales) /* up to whole tiles */
        act->tiles8 = hone_cut(mem, at, (rows + 31) / 32 * 32 * ((act->k_pad + 63) / 64 * 64));
    if (tiles_alone)
        return;
    act->ld8 = act->k_pad + ROW8_PAD;
    act->codes8 = hone_cut(mem, at, rows * act->ld8);
    act->sums8 = hone_cut(mem, at, rows * blocks * 4);
    act->sums8_16 = hone_cut(mem, at, rows * (act->k_pad / 16) * 4);
}

hone_product_many_fn *hone_technique_product(const hone_kernels *kt, const hone_packed *w,
                                             const hone_act *a)
{
    if (a->scales8 && hone_int8_takes(w))
        return kt->product_int8;
    if (kt->products == HONE_PRODUCTS_BF16_DOT && w->layout != HONE_LAYOUT_F32)
        return kt->product_dot;
    if (kt->products == HONE_PRODUCTS_BF16_WEIGHTS && w->scale_bytes && w->group < w->k_pad)
        return kt->product_rounded;
    return NULL;
}
