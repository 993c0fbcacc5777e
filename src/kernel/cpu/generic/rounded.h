/*
 * rounded - packed weights written out as the numbers they stand for, and products of codes that
 * are rounded to bfloat16 under their scales (docs/numerics.md, "Techniques"): some panels at a
 * time are written out as float32 ones, whose products are the default's. Included after product.h.
 */
#ifndef HONE_KERNEL_GENERIC_ROUNDED_H
#define HONE_KERNEL_GENERIC_ROUNDED_H

#include "kernel/cpu/generic/product.h"
#include "kernel/table.h"

enum { ROUNDED_WIDE = 512 << 10 }; /* bytes of panels that should stay in L2; two at least */

/* The slot of the weaker set: rows of which no panel fits the scratch */
static hone_product_many_fn *rounded_below;

/* The slot numbers, of which each may be rounded to bfloat16 */
V16_INLINE void panel_numbers(bool rounded, const hone_packed *w, size_t panel, size_t k0,
                              size_t k1, float *to, size_t ld)
{
    const int layout = core_layout(w);
    const uint8_t *from = w->data + panel * w->panel_bytes;
    const core_job j = {.scale_bytes = w->scale_bytes, .super_shift = super_shift(w)};
    float expanded[512] __attribute__((aligned(64)));
    for (size_t k = k0; k < k1; k += 16) {
        const float *codes = expanded + k % 32 * 16;
        v16 s = v16_zero(), m = v16_zero();
        if (layout == CORE_F32)
            codes = (const float *)(const void *)from + k * 16;
        else if (k % 32 == 0)
            expand(layout, from + k / 8 * core_unit_bytes(layout), 4, w->table, w->low, expanded);
        if (w->scale_bytes)
            s = core_scales(&j, from + w->scale_offset, from + w->super_offset, k / w->group);
        if (w->has_min)
            m = core_scales(&j, from + w->min_offset, from + w->min_super_offset, k / w->group);
        for (size_t i = 0; i < 16; i++, to += ld) {
            v16 x = v16_load(codes + i * 16);
            x = w->scale_bytes ? v16_fma(s, x, m) : x;
            v16_store(to, rounded ? v16_round_bf16(x) : x);
        }
    }
}

static void numbers(const hone_packed *w, size_t panel, size_t k0, size_t k1, float *to, size_t ld)
{
    panel_numbers(false, w, panel, k0, k1, to, ld);
}

static void product_rounded(const hone_packed *w, const hone_act *a, size_t row0, size_t row1,
                            size_t panel0, size_t panel1, float *y, size_t ldy, const float *bias,
                            void *scratch)
{
    const size_t bytes = w->k_pad * 64, fit = HONE_SCRATCH_PANELS / bytes,
                 wide = ROUNDED_WIDE / bytes > 2 ? ROUNDED_WIDE / bytes : 2,
                 most = fit < wide ? fit : wide;
    float *floats = (float *)(void *)((uint8_t *)scratch + HONE_SCRATCH_PRODUCT);
    if (!most) {
        rounded_below(w, a, row0, row1, panel0, panel1, y, ldy, bias, scratch);
        return;
    }
    for (size_t p = panel0, n; p < panel1; p += n) {
        n = panel1 - p < most ? panel1 - p : most;
        for (size_t i = 0; i < n; i++)
            panel_numbers(true, w, p + i, 0, w->k_pad, floats + i * w->k_pad * 16, 16);
        const hone_packed x = {.layout = HONE_LAYOUT_F32,
                               .n = w->n - p * 16,
                               .k = w->k,
                               .k_pad = w->k_pad,
                               .n_panels = n,
                               .panel_bytes = bytes,
                               .data = (const uint8_t *)floats};
        (row1 - row0 <= DIRECT_ROWS ? product_few : product_expanded)(
            &x, a, row0, row1, 0, n, y + p * 16, ldy, bias ? bias + p * 16 : NULL, scratch);
    }
}

#endif
