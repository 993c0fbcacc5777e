/*
 * product - the slots of products and of packing activations. Included by a set's folder after its
 * vec.h and the choices that core.h, few.h and many.h name, and:
 * DIRECT_ROWS   the usual few_rows (kernel.h) of bfloat16
 * DIRECT_CODES  that of codes of 4 and 8 bits
 */
#ifndef HONE_KERNEL_GENERIC_PRODUCT_H
#define HONE_KERNEL_GENERIC_PRODUCT_H

#include "kernel/cpu/generic/few.h"
#include "kernel/cpu/generic/many.h"

/* Reading codes of planes once for every few rows never pays, of others for longer. */
static void set_few_rows(hone_kernels *t)
{
    for (int l = 0; l < HONE_LAYOUT_COUNT; l++)
        t->few_rows[l] = l == HONE_LAYOUT_F32 || l == HONE_LAYOUT_BF16 ? DIRECT_ROWS
                         : l == HONE_LAYOUT_I8 || l == HONE_LAYOUT_U4  ? DIRECT_CODES
                                                                       : FEW_ROWS;
}

static void product_few(const hone_packed *w, const hone_act *a, size_t row0, size_t row1,
                        size_t panel0, size_t panel1, float *y, size_t ldy, const float *bias,
                        void *scratch)
{
    (void)scratch;
    if (row1 - row0 <= FEW_ROWS && row0 < row1) /* in one sweep over the panels */
        few_rows(w, core_layout(w), a, row0, row1 - row0, panel0, panel1, y, ldy, bias);
    else
        few_groups(w, a, row0, row1, panel0, panel1, y, ldy, bias);
}

static void act_part(hone_act *act, const float *x, size_t ldx, size_t row0, size_t row1, size_t k0,
                     size_t k1)
{
    bool rounded = !(act->flags & HONE_ACT_F32);
    for (size_t r = row0; r < row1; r++) {
        float *to = act->f32 + r * act->ld;
        for (size_t i = k0; i < k1; i += 16) {
            size_t n = i < act->k ? act->k - i : 0;
            v16 v = v16_load_n(x + (r - row0) * ldx + (n ? i - k0 : 0), n);
            v16_store(to + i, rounded ? v16_round_bf16(v) : v);
        }
        for (size_t b = k0 / 32; act->sums && b < k1 / 32; b++)
            act->sums[r * (act->k_pad / 32) + b] = hone_block_ones(to + 32 * b, 32);
        for (size_t b = k0 / 16; act->sums16 && b < k1 / 16; b++)
            act->sums16[r * (act->k_pad / 16) + b] = hone_block_ones(to + 16 * b, 16);
    }
}

static void act_pack(hone_act *act, const float *x, size_t ldx, size_t row0, size_t row1)
{
    act_part(act, x + row0 * ldx, ldx, row0, row1, 0, act->k_pad);
}

#endif
