/*
 * whole_row - one row x codes of 2 to 6 bits in whole-number arithmetic, with the bits of
 * product_few (kernel/whole.h). The digits of the activations are multiplied as rows of int8
 * activations are (int8.h); a block that has no exact sums goes by float32 chains (core.h).
 * Included after int8.h by a set that also brings:
 *
 * i8_sll32(sums, n)     shifts sums to the left
 * i8_whole_bits(x, b)   whether 32 numbers below 2^22 are whole, and the OR of them as integers
 * I8_WHOLE_PANELS       panels in flight
 */
#ifndef HONE_KERNEL_GENERIC_WHOLE_ROW_H
#define HONE_KERNEL_GENERIC_WHOLE_ROW_H

#include "kernel/cpu/generic/int8.h"
#include "kernel/whole.h"

typedef void whole_plain_fn(const core_job *j, size_t block, v16 s[2][I8_PANELS_MAX]);

typedef struct whole_job {
    core_job core; /* asks for nothing ahead itself */
    const int8_t *digits;
    size_t ld_digits;
    const hone_whole *blocks; /* of 32 */
    float most;               /* the size up to which a block's sums are exact */
    int32_t low;              /* what code 0 means */
    size_t group, groups;     /* blocks per scale; scales of a panel */
    size_t ahead, groups_ahead;
} whole_job;

/* E + O: whole numbers times their unit */
V16_INLINE void whole_value(int digits, int P, int32_t more, float unit,
                            i8_sums sums[I8_PANELS_MAX][I8_ROWS_MAX], v16 s[I8_PANELS_MAX])
{
    i8_sums add = i8_set1(more);
    UNROLL for (int n = 0; n < P; n++)
    {
        i8_sums x = i8_add(sums[n][0], add);
        UNROLL for (int d = 1; d < digits; d++) x = i8_add(x, i8_sll32(sums[n][d], 8 * d));
        s[n] = v16_mul(i8_to_f32(x), v16_set1(unit));
    }
}

V16_INLINE void whole_begin(int digits, int P, i8_sums sums[I8_PANELS_MAX][I8_ROWS_MAX])
{
    UNROLL for (int n = 0; n < P; n++) UNROLL for (int d = 0; d < digits; d++) sums[n][d] =
        i8_set1(0);
}

V16_INLINE void whole_flush(int digits, int P, i8_sums part[I8_PANELS_MAX][I8_ROWS_MAX],
                            i8_sums sums[I8_PANELS_MAX][I8_ROWS_MAX])
{
    UNROLL for (int n = 0; n < P; n++) UNROLL for (int d = 0; d < digits; d++)
        i8_flush(&part[n][d], &sums[n][d]);
}

/* Asks for the lines of unit `unit` of 4 of the block at `soon` of each panel: a few at a time, all
 * at once they would hold up what comes from nearer by. */
V16_INLINE void whole_ask(int layout, int P, const whole_job *w, size_t soon, int unit)
{
    const size_t bytes = core_unit_bytes(layout), end = ((size_t)unit + 1) * bytes;
    for (size_t i = ((size_t)unit * bytes + 63) / 64 * 64; i < end; i += 64)
        UNROLL for (int n = 0; n < P; n++) __builtin_prefetch(w->core.b[n] + soon + i, 0, 3);
}

/* sums += the products of half a block, 16 k, in an order that keeps to the registers */
V16_INLINE void whole_half(int layout, int digits, int P, const whole_job *w, size_t block,
                           size_t soon, int p, i8_sums part[I8_PANELS_MAX][I8_ROWS_MAX],
                           i8_sums sums[I8_PANELS_MAX][I8_ROWS_MAX])
{
    const int flush = i8_flush_of(layout);
    const size_t at = block * i8_block_bytes(layout);
    UNROLL for (int u = 0; u < 2; u++)
    {
        whole_ask(layout, P, w, soon, 2 * p + u);
        const int8_t *a = w->digits + block * 32 + p * 16 + 8 * u;
        UNROLL for (int n = 0; n < P; n++)
        {
            i8_quad even = i8_quad_of(layout, w->core.b[n] + at, p, u, 0, NULL);
            i8_quad odd = i8_quad_of(layout, w->core.b[n] + at, p, u, 1, NULL);
            UNROLL for (int d = 0; d < digits; d++)
            {
                i8_sums *to = &part[n][d], *into = &sums[n][d];
                i8_dot(flush, to, into, even, i8_load1(a + (size_t)d * w->ld_digits));
                I8_KEEP(to);
                i8_dot(flush, to, into, odd, i8_load1(a + (size_t)d * w->ld_digits + 4));
                if (flush == 2 || (flush == 4 && u == 1))
                    i8_flush(to, into);
                I8_KEEP(flush == 8 ? to : into);
            }
        }
    }
}

/* What code 0 stands for, times the numbers' sum. It fits; but whoever was lent an item that is
 * done by now (base/threads.h) reads what others write, and may compute anything. */
static inline int32_t whole_low(const whole_job *w, int32_t low, int32_t high)
{
    return (int32_t)((uint32_t)w->low * ((uint32_t)low + (uint32_t)high));
}

/* S of block `block` of 32; if half, of its two halves */
V16_INLINE void whole_block(int layout, int digits, int P, bool half, const whole_job *w,
                            size_t block, size_t soon, v16 s[2][I8_PANELS_MAX])
{
    const int flush = i8_flush_of(layout);
    const hone_whole *x = &w->blocks[block];
    i8_sums part[I8_PANELS_MAX][I8_ROWS_MAX], sums[I8_PANELS_MAX][I8_ROWS_MAX];
    whole_begin(digits, P, part);
    whole_begin(digits, P, sums);
    if (half) {
        UNROLL for (int p = 0; p < 2; p++)
        {
            whole_half(layout, digits, P, w, block, soon, p, part, sums);
            if (flush == 8)
                whole_flush(digits, P, part, sums);
            whole_value(digits, P, whole_low(w, x->sums[p], 0), x->unit, sums, s[p]);
            whole_begin(digits, P, sums);
        }
        return;
    }
    ROLLED for (int p = 0; p < 2; p++) whole_half(layout, digits, P, w, block, soon, p, part, sums);
    if (flush == 8)
        whole_flush(digits, P, part, sums);
    whole_value(digits, P, whole_low(w, x->sums[0], x->sums[1]), x->unit, sums, s[0]);
}

/* C = fma(scale, D, C), C = fma(min, SA, C) of group g; asks for scales of a later one */
V16_INLINE void whole_scale(int P, const whole_job *w, size_t g, const v16 d[I8_PANELS_MAX],
                            float ones, v16 c[I8_PANELS_MAX])
{
    const core_job *k = &w->core;
    const size_t ahead = core_ahead(k, g, w->groups, w->groups_ahead, 16 * (size_t)k->scale_bytes);
    UNROLL for (int n = 0; n < P; n++)
    {
        __builtin_prefetch(k->scale[n] + ahead, 0, 3);
        c[n] = v16_fma(core_scales(k, k->scale[n], k->super[n], g), d[n], c[n]);
        if (!k->min[0])
            continue;
        __builtin_prefetch(k->min[n] + ahead, 0, 3);
        c[n] = v16_fma(core_scales(k, k->min[n], k->min_super[n], g), v16_set1(ones), c[n]);
    }
}

V16_INLINE void whole_core(int layout, int P, bool half, const whole_job *w, whole_plain_fn *plain)
{
    const core_job *k = &w->core;
    const size_t blocks = k->blocks / (half ? 2 : 1);
    v16 c[I8_PANELS_MAX], d[I8_PANELS_MAX], s[2][I8_PANELS_MAX];
    float ones = 0.0f;
    UNROLL for (int n = 0; n < P; n++) c[n] = d[n] = v16_zero();
    for (size_t block = 0, left = w->group, g = 0; block < blocks; block++) {
        const hone_whole *x = &w->blocks[block];
        const size_t soon = core_ahead(k, block, blocks, w->ahead, i8_block_bytes(layout));
        if (!(x->size <= w->most)) {
            for (int unit = 0; unit < 4; unit++)
                whole_ask(layout, P, w, soon, unit);
            plain(k, block, s);
        } else if (x->digits == 2) {
            whole_block(layout, 2, P, half, w, block, soon, s);
        } else {
            whole_block(layout, 3, P, half, w, block, soon, s);
        }
        if (half || w->group == 1) { /* D is S */
            UNROLL for (int h = 0; h < 1 + half; h++)
            {
                size_t at = block * (1 + half) + (size_t)h;
                whole_scale(P, w, at, s[h], k->min[0] ? k->sums[at] : 0.0f, c);
            }
            continue;
        }
        UNROLL for (int n = 0; n < P; n++) d[n] = v16_add(d[n], s[0][n]);
        if (k->min[0])
            ones += k->sums[block];
        if (--left && block + 1 < blocks)
            continue;
        whole_scale(P, w, g++, d, ones, c);
        UNROLL for (int n = 0; n < P; n++) d[n] = v16_zero();
        ones = 0.0f;
        left = w->group;
    }
    UNROLL for (int n = 0; n < P; n++)
    {
        if (!k->columns[n])
            continue;
        if (k->bias[n])
            c[n] = v16_add(c[n], v16_load_n(k->bias[n], k->columns[n]));
        v16_store_n(k->c[n], c[n], k->columns[n]);
    }
}

#define WHOLE_FN(L, layout, half)                                                                  \
    static __attribute__((noinline)) void whole_plain_##L(const core_job *j, size_t block,         \
                                                          v16 to[2][I8_PANELS_MAX])                \
    {                                                                                              \
        v16_table t = core_table(layout, j->table, j->low);                                        \
        v16 s[CORE_P][CORE_R];                                                                     \
        for (size_t h = 0; h < 1 + half; h++) {                                                    \
            core_block(layout, 1, I8_WHOLE_PANELS, j, block *(1 + half) + h, t, s);                \
            UNROLL for (int n = 0; n < I8_WHOLE_PANELS; n++) to[h][n] = s[n][0];                   \
        }                                                                                          \
    }                                                                                              \
    static __attribute__((noinline)) void whole_##L(const whole_job *w)                            \
    {                                                                                              \
        whole_core(layout, I8_WHOLE_PANELS, half, w, whole_plain_##L);                             \
    }
WHOLE_FN(u4, CORE_U4_LINEAR, 0)
WHOLE_FN(u2, CORE_U2, 0)
WHOLE_FN(u3, CORE_U3, 0)
WHOLE_FN(u5, CORE_U5, 0)
WHOLE_FN(u6, CORE_U6, 0)
WHOLE_FN(u4_half, CORE_U4_LINEAR, 1)
WHOLE_FN(u2_half, CORE_U2, 1)
WHOLE_FN(u3_half, CORE_U3, 1)
WHOLE_FN(u5_half, CORE_U5, 1)
WHOLE_FN(u6_half, CORE_U6, 1)

static void product_whole(const hone_packed *w, const hone_act *a, size_t row0, size_t row1,
                          size_t panel0, size_t panel1, float *y, size_t ldy, const float *bias,
                          void *scratch)
{
    static void (*const fns[HONE_LAYOUT_COUNT][2])(const whole_job *) = {
        [HONE_LAYOUT_U4] = {whole_u4, whole_u4_half},
        [HONE_LAYOUT_U2] = {whole_u2, whole_u2_half},
        [HONE_LAYOUT_U3] = {whole_u3, whole_u3_half},
        [HONE_LAYOUT_U5] = {whole_u5, whole_u5_half},
        [HONE_LAYOUT_U6] = {whole_u6, whole_u6_half}};
    const size_t block = w->group == 16 ? 16 : 32;
    whole_job j = {.digits = a->digits, .ld_digits = hone_whole_ld(a), .blocks = a->whole};
    core_job *k = &j.core;
    float low, high;
    (void)row0, (void)row1, (void)ldy, (void)scratch;
    hone_whole_takes(w, &low, &high);
    j.most = 0x1p24f / (high > -low ? high : -low);
    j.low = (int32_t)low;
    j.group = w->group / block;
    j.groups = (w->k_pad + w->group - 1) / w->group;
    j.ahead = I8_PREFETCH / i8_block_bytes(int8_layout(w));
    j.groups_ahead = j.ahead * 32 / w->group + 1;
    k->half = w->group == 16;
    k->blocks = w->k_pad / block;
    k->scale_bytes = w->scale_bytes;
    k->super_shift = w->scale_bytes == 1 ? (unsigned)__builtin_ctzll(256 / w->group) : 0;
    k->a = a->f32;
    k->lda = a->ld;
    k->sums = k->half ? a->sums16 : a->sums;
    k->table = w->table;
    k->low = w->low;
    k->next = I8_WHOLE_PANELS * w->panel_bytes;
    for (size_t p = panel0; p < panel1; p += I8_WHOLE_PANELS) {
        for (int s = 0; s < I8_WHOLE_PANELS; s++)
            int8_panel(w, k, s, p + (size_t)s, panel1, y, bias);
        fns[w->layout][k->half](&j);
    }
}

/* ---- activations ---------------------------------------------------------------------------- */

V16_INLINE v16 whole_abs(v16 x)
{
    return v16_max(x, v16_sub(v16_zero(), x));
}

/* To the nearest whole number, of |x| < 2^22 */
V16_INLINE v16 whole_round(v16 x)
{
    const v16 magic = v16_set1(0x1.8p23f);
    return v16_sub(v16_add(x, magic), magic);
}

/* One block of 32: its unit is the largest that makes all of them whole, if their magnitudes are
 * then below 2^21 together. */
static void whole_of(const float *a, int8_t *to, size_t ld, hone_whole *w)
{
    v16 x[2] = {v16_load(a), v16_load(a + 16)}, even, odd;
    float sizes[32];
    v16_store(sizes, whole_abs(x[0]));
    v16_store(sizes + 16, whole_abs(x[1]));
    v16_unzip(sizes, &even, &odd);
    const float of_even = v16_reduce_add(even), of_odd = v16_reduce_add(odd),
                top = v16_reduce_max(v16_max(even, odd)), size = of_even + of_odd;
    *w = (hone_whole){.unit = 1.0f, .size = __builtin_inff(), .digits = 2};
    if (size == 0.0f)
        w->size = 0.0f;
    else if (!(size >= 0x1p-100f && size < 0x1p100f)) /* no unit may be lost or overflow */
        return;
    uint32_t fine = size == 0.0f ? 127 : (hone_f32_bits(size) >> 23) - 20, bits;
    float by = hone_f32_from_bits((254 - fine) << 23);
    for (int i = 0; i < 2; i++)
        x[i] = v16_mul(x[i], v16_set1(by));
    if (!i8_whole_bits(x, &bits))
        return;
    uint32_t zeros = bits ? (uint32_t)__builtin_ctz(bits) : 0;
    float back = hone_f32_from_bits((127 - zeros) << 23);
    w->unit = hone_f32_from_bits((fine + zeros) << 23);
    w->size = (of_even > of_odd ? of_even : of_odd) * by * back;
    w->digits = top * by * back <= 127 * 256 + 127 ? 2 : 3;
    for (int i = 0; i < 2; i++) {
        x[i] = v16_mul(x[i], v16_set1(back));
        w->sums[i] = (int32_t)v16_reduce_add(x[i]);
    }
    for (int d = 0; d < w->digits; d++, to += ld) {
        const v16 part = v16_set1(0x1p-8f), quarter = v16_set1(0x1p-10f), base = v16_set1(-256.0f);
        v16 next[2], digit[2];
        int32_t unused[2];
        for (int i = 0; i < 2; i++) { /* (x + 1/4) / 256 lies between no two halves */
            next[i] = whole_round(v16_fma(x[i], part, quarter));
            digit[i] = v16_fma(next[i], base, x[i]);
            x[i] = next[i];
        }
        i8_store_codes(digit[0], digit[1], to, unused);
    }
}

static hone_act_pack_fn *whole_pack_below;

static void act_pack_whole(hone_act *act, const float *x, size_t ldx, size_t row0, size_t row1)
{
    whole_pack_below(act, x, ldx, row0, row1);
    for (size_t b = 0; act->whole && row0 < row1 && b < act->k_pad / 32; b++)
        whole_of(act->f32 + 32 * b, act->digits + 32 * b, hone_whole_ld(act), &act->whole[b]);
}

/* Lays the slots over t, whose act_pack is the set's own already. */
static void whole_slots(hone_kernels *t)
{
    whole_pack_below = t->act_pack;
    t->act_pack = act_pack_whole;
    t->product_whole = product_whole;
    t->act_whole = true;
}

#endif
