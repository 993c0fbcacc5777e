/*
 * rounded - products of codes that are rounded to bfloat16 under their scales (docs/numerics.md,
 * "Techniques"): some panels at a time are written out as float32 ones, whose products are the
 * default's. Included after product.h.
 */
#ifndef HONE_KERNEL_GENERIC_ROUNDED_H
#define HONE_KERNEL_GENERIC_ROUNDED_H

#include "kernel/cpu/generic/product.h"
#include "kernel/table.h"

enum { ROUNDED_WIDE = 512 << 10 }; /* bytes of panels that should stay in L2; two at least */

/* The slot of the weaker set: rows of which no panel fits the scratch */
static hone_product_many_fn *rounded_below;

/* to[k_pad][16] = bf16(fma(scale, code, min)) of a panel */
static void round_panel(const hone_packed *w, const uint8_t *panel, float *to)
{
    const int layout = core_layout(w);
    const size_t size = w->group == 16 ? 16 : 32;
    const core_job j = {.scale_bytes = w->scale_bytes, .super_shift = super_shift(w)};
    for (size_t k = 0; k < w->k_pad; k += size) {
        const size_t g = k / w->group;
        const v16 s = core_scales(&j, panel + w->scale_offset, panel + w->super_offset, g);
        v16 m = v16_zero();
        if (w->has_min)
            m = core_scales(&j, panel + w->min_offset, panel + w->min_super_offset, g);
        if (k % 32 == 0)
            expand(layout, panel + k / 8 * core_unit_bytes(layout), 4, w->table, w->low,
                   to + k * 16);
        for (size_t i = k; i < k + size; i++)
            v16_store(to + i * 16, v16_round_bf16(v16_fma(s, v16_load(to + i * 16), m)));
    }
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
            round_panel(w, w->data + (p + i) * w->panel_bytes, floats + i * w->k_pad * 16);
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
