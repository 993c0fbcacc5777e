/*
 * few - some rows straight from the packed codes: one pass over the weights for every group of up
 * to six rows. Included by product.h; the set chooses:
 * FEW_PANELS_1..4  panels in flight for 1, 2, 3, 4 rows
 * FEW_PANELS_6     optional, 2: also for 6 rows, in sets with 32 registers
 * FEW_PREFETCH     bytes of codes of a panel ahead of which lines are asked for
 * FEW_U4_OWN       optional: the set brings few_u4_own(job), one row x FEW_PANELS_1 panels of
 *                  4-bit codes
 */
#ifndef HONE_KERNEL_GENERIC_FEW_H
#define HONE_KERNEL_GENERIC_FEW_H

#include "kernel/cpu/generic/core.h"

#ifdef FEW_U4_OWN
static void few_u4_own(const core_job *j);
#endif

#define FEW_FNS_4(L, layout)                                                                       \
    CORE_FN(few_##L##_1, layout, 1, FEW_PANELS_1)                                                  \
    CORE_FN(few_##L##_2, layout, 2, FEW_PANELS_2)                                                  \
    CORE_FN(few_##L##_3, layout, 3, FEW_PANELS_3)                                                  \
    CORE_FN(few_##L##_4, layout, 4, FEW_PANELS_4)
#define FEW_LIST(L, sixth)                                                                         \
    static core_fn *const few_##L[] = {few_##L##_1, few_##L##_2, few_##L##_3,                      \
                                       few_##L##_4, NULL,        sixth};
#define FEW_FNS(L, layout)                                                                         \
    FEW_FNS_4(L, layout)                                                                           \
    FEW_LIST(L, NULL)
/* Six rows pay where codes are cheap to read. */
#ifdef FEW_PANELS_6
#include "kernel/cpu/generic/few_tile.h"
#define FEW_FNS_6(L, layout)                                                                       \
    FEW_FNS_4(L, layout)                                                                           \
    CORE_FN(few_##L##_6, layout, 6, FEW_PANELS_6)                                                  \
    FEW_LIST(L, few_##L##_6)
#define FEW_FNS_TILE(L, layout)                                                                    \
    FEW_FNS_4(L, layout)                                                                           \
    FEW_TILE(few_##L##_6, layout)                                                                  \
    FEW_LIST(L, few_##L##_6)
#else
#define FEW_PANELS_6 0
#define FEW_FNS_6    FEW_FNS
#define FEW_FNS_TILE FEW_FNS
#endif
FEW_FNS_6(f32, CORE_F32)
FEW_FNS_6(bf16, CORE_BF16)
FEW_FNS_TILE(i8, CORE_I8)
FEW_FNS_TILE(u4, CORE_U4)
FEW_FNS_TILE(u4_linear, CORE_U4_LINEAR)
FEW_FNS(u2, CORE_U2)
FEW_FNS(u3, CORE_U3)
FEW_FNS(u5, CORE_U5)
FEW_FNS(u6, CORE_U6)

static core_fn *const *const few_fns[] = {few_f32, few_bf16, few_i8, few_u4, few_u4_linear,
                                          few_u2,  few_u3,   few_u5, few_u6};

static const size_t few_panels[] = {FEW_PANELS_1, FEW_PANELS_2, FEW_PANELS_3, FEW_PANELS_4, 0,
                                    FEW_PANELS_6};

static int core_layout(const hone_packed *w)
{
    static const int cores[HONE_LAYOUT_COUNT] = {CORE_F32, CORE_BF16, CORE_I8, CORE_U4,
                                                 CORE_U2,  CORE_U3,   CORE_U5, CORE_U6};
    if (w->layout != HONE_LAYOUT_U4)
        return cores[w->layout];
    for (int i = 1; i < 16; i++)
        if (w->table[i] != w->table[0] + (float)i)
            return CORE_U4;
    bool whole =
        w->table[0] >= -15.0f && w->table[0] <= 0.0f && w->table[0] == (float)(int)w->table[0];
    return whole ? CORE_U4_LINEAR : CORE_U4;
}

/* Points slot s of the job at panel p of w from block 0 on; panels past the
 * last repeat it unwritten. */
static void job_panel(core_job *j, int s, const hone_packed *w, size_t p, size_t panel_end,
                      float *y, const float *bias)
{
    size_t real = p < panel_end ? p : panel_end - 1;
    const uint8_t *panel = w->data + real * w->panel_bytes;
    j->b[s] = panel;
    j->scale[s] = panel + w->scale_offset;
    j->min[s] = w->has_min ? panel + w->min_offset : NULL;
    j->super[s] = panel + w->super_offset;
    j->min_super[s] = panel + w->min_super_offset;
    j->c[s] = y ? y + real * 16 : NULL;
    j->bias[s] = bias ? bias + real * 16 : NULL;
    size_t left = w->n - real * 16;
    j->columns[s] = p >= panel_end ? 0 : left < 16 ? left : 16;
}

/* Groups per super-scale: 256 / group, a power of two */
static unsigned super_shift(const hone_packed *w)
{
    return w->scale_bytes == 1 ? (unsigned)__builtin_ctzll(256 / w->group) : 0;
}

static void few_rows(const hone_packed *w, int layout, const hone_act *a, size_t row, size_t rows,
                     size_t panel0, size_t panel1, float *y, size_t ldy, const float *bias)
{
    bool half = w->group == 16;
    size_t step = few_panels[rows - 1], block = half ? 16 : 32, blocks = w->k_pad / block;
    const float *sums = half ? a->sums16 : a->sums;
    core_job j = {.a = a->f32 + row * a->ld,
                  .lda = a->ld,
                  .blocks = blocks,
                  .half = half,
                  .group = w->group / block,
                  .scale_bytes = w->scale_bytes,
                  .super_shift = super_shift(w),
                  .sums = sums ? sums + row * blocks : NULL,
                  .ld_sums = blocks,
                  .ldc = ldy,
                  .table = w->table,
                  .low = w->low,
                  .ahead = FEW_PREFETCH / (block / 8 * core_unit_bytes(layout)),
                  .next = step * w->panel_bytes};
    for (size_t p = panel0; p < panel1; p += step) {
        for (size_t s = 0; s < step; s++)
            job_panel(&j, (int)s, w, p + s, panel1, y + row * ldy, bias);
#ifdef FEW_U4_OWN
        if (rows == 1 && (layout == CORE_U4 || layout == CORE_U4_LINEAR) && !half) {
            few_u4_own(&j);
            continue;
        }
#endif
        few_fns[layout][rows - 1](&j);
    }
}

/* How many of `rows` rows go through the codes together next */
static size_t few_group(int layout, size_t rows)
{
    static const uint8_t sixes[] = {0, 1, 2, 3, 4, 3, 6, 4, 4, 6, 6},
                         fours[] = {0, 1, 2, 3, 4, 3, 3};
    if (few_fns[layout][5])
        return rows < sizeof sixes ? sixes[rows] : 6;
    return rows < sizeof fours ? fours[rows] : 4;
}

/* Any number of rows straight from the codes: a few panels, which stay in the cache while the rows
 * pass in groups */
static void few_groups(const hone_packed *w, const hone_act *a, size_t row0, size_t row1,
                       size_t panel0, size_t panel1, float *y, size_t ldy, const float *bias)
{
    int layout = core_layout(w);
    for (size_t p = panel0; p < panel1; p += 4)
        for (size_t row = row0; row < row1;) {
            size_t rows = few_group(layout, row1 - row), end = panel1 - p < 4 ? panel1 : p + 4;
            few_rows(w, layout, a, row, rows, p, end, y, ldy, bias);
            row += rows;
        }
}

#endif
