/* techniques - the definitions of products with int8 activations, of chains of VDPBF16PS and of
 * codes rounded under their scales (docs/numerics.md, "Techniques") in plain C: what every other
 * set must equal. */
#include "kernel/int8.h"
#include "kernel/layout.h"
#include "kernel/table.h"

#include <assert.h>

/* Scale of n activations: largest magnitude / 127. A NaN or an infinity gives NaN. */
static float scale_of(const float *x, size_t n)
{
    float top = 0.0f, bad = 0.0f;
    for (size_t i = 0; i < n; i++) {
        float m = x[i] < 0.0f ? -x[i] : x[i];
        top = m > top ? m : top;
        bad += x[i] * 0.0f; /* NaN of NaNs and infinities */
    }
    return top / 127.0f + bad;
}

static int8_t code_of(float x, float scale)
{
    float q = (scale > 0.0f ? x / scale : 0.0f) + 12582912.0f; /* rounds to nearest, ties to even */
    return q >= 12582785.0f && q <= 12583039.0f ? (int8_t)((int)q - 12582912) : 0;
}

/* f32 has the rows already. */
static void act_int8(hone_act *act, const float *rows, size_t ldx, size_t row0, size_t row1)
{
    (void)rows, (void)ldx;
    for (size_t r = row0; r < row1; r++) {
        const float *x = act->f32 + r * act->ld;
        float *scales = act->scales8 + r * (act->k_pad / 32);
        float whole = act->row_scales ? scale_of(x, act->k_pad) : 0.0f;
        for (size_t b = 0; b < act->k_pad / 32; b++)
            scales[b] = act->row_scales ? whole : scale_of(x + 32 * b, 32);
        for (size_t b = 0; b < act->k_pad / 16; b++) {
            int32_t sum = 0;
            for (size_t k = 16 * b; k < 16 * b + 16; k++) {
                int8_t code = code_of(x[k], scales[b / 2]);
                act->codes8[r * act->ld8 + hone_int8_index(k)] = code;
                sum += code;
            }
            act->sums8_16[r * (act->k_pad / 16) + b] = sum;
            if (b % 2)
                act->sums8[r * (act->k_pad / 32) + b / 2] =
                    sum + act->sums8_16[r * (act->k_pad / 16) + b - 1];
        }
    }
}

static float int8_one(const hone_packed *w, const hone_act *a, size_t r, size_t column)
{
    const uint8_t *panel = w->data + column / 16 * w->panel_bytes;
    const int8_t *codes = a->codes8 + r * a->ld8;
    const float *scales = a->scales8 + r * (a->k_pad / 32);
    size_t block = a->row_scales ? w->group : w->group == 16 ? 16 : 32, c = column % 16;
    float y = 0.0f;
    assert(w->group > 0);
    for (size_t k = 0; k < w->k_pad;) {
        size_t from = k, end = k + block < w->k_pad ? k + block : w->k_pad;
        int32_t sum = 0, ones = 0;
        for (; k < end; k++) {
            int32_t code = (int32_t)codes[hone_int8_index(k)];
            sum += code * (int32_t)hone_packed_code(w, panel, k, c);
            ones += code;
        }
        float by = a->row_scales ? 1.0f : scales[from / 32];
        y = __builtin_fmaf(hone_packed_scale(w, panel, from / w->group, c) * by, (float)sum, y);
        if (w->has_min)
            y = __builtin_fmaf(hone_packed_min(w, panel, from / w->group, c) * by, (float)ones, y);
    }
    return a->row_scales ? y * scales[0] : y;
}

static void act_dot(hone_act *act, const float *x, size_t ldx, size_t row0, size_t row1)
{
    for (size_t r = row0; r < row1; r++)
        for (size_t i = 0; i < act->k_pad; i++)
            act->half[r * act->ld + i] = hone_f32_to_bf16(i < act->k ? x[r * ldx + i] : 0.0f);
}

/* The sum over k of [from, end): the odd element of each pair before the even one. */
static float dot_chain(const hone_packed *w, const uint8_t *panel, const uint16_t *x, size_t from,
                       size_t end, size_t c)
{
    float sum = 0.0f;
    for (size_t k = from; k < end; k += 2) {
        sum = __builtin_fmaf(hone_bf16_to_f32(x[k + 1]), hone_packed_code(w, panel, k + 1, c), sum);
        sum = __builtin_fmaf(hone_bf16_to_f32(x[k]), hone_packed_code(w, panel, k, c), sum);
    }
    return sum;
}

static float dot_one(const hone_packed *w, const hone_act *a, size_t r, size_t column)
{
    const uint8_t *panel = w->data + column / 16 * w->panel_bytes;
    const uint16_t *x = a->half + r * a->ld;
    size_t c = column % 16;
    if (!w->scale_bytes)
        return dot_chain(w, panel, x, 0, w->k_pad, c);
    float y = 0.0f, size = w->group == 16 ? 16 : 32;
    const float *sums = w->group == 16 ? a->sums16 : a->sums;
    size_t block = (size_t)size;
    for (size_t k = 0, g = 0; k < w->k_pad; k += w->group, g++) {
        size_t end = k + w->group < w->k_pad ? k + w->group : w->k_pad;
        y = __builtin_fmaf(hone_packed_scale(w, panel, g, c), dot_chain(w, panel, x, k, end, c), y);
        if (!w->has_min)
            continue;
        float ones = 0.0f;
        for (size_t b = k / block; b < end / block; b++)
            ones += sums[r * (w->k_pad / block) + b];
        y = __builtin_fmaf(hone_packed_min(w, panel, g, c), ones, y);
    }
    return y;
}

static float number_of(const hone_packed *w, const uint8_t *panel, size_t k, size_t c)
{
    float x = hone_packed_code(w, panel, k, c), min = 0.0f;
    if (!w->scale_bytes)
        return x;
    if (w->has_min)
        min = hone_packed_min(w, panel, k / w->group, c);
    return __builtin_fmaf(hone_packed_scale(w, panel, k / w->group, c), x, min);
}

static void numbers(const hone_packed *w, size_t panel, size_t k0, size_t k1, float *to, size_t ld)
{
    for (size_t k = k0; k < k1; k++)
        for (size_t c = 0; c < 16; c++)
            to[(k - k0) * ld + c] = number_of(w, w->data + panel * w->panel_bytes, k, c);
}

static float rounded_weight(const hone_packed *w, const uint8_t *panel, size_t k, size_t c)
{
    return hone_bf16_to_f32(hone_f32_to_bf16(number_of(w, panel, k, c)));
}

static float rounded_one(const hone_packed *w, const hone_act *a, size_t r, size_t column)
{
    const uint8_t *panel = w->data + column / 16 * w->panel_bytes;
    const float *x = a->f32 + r * a->ld;
    float y = 0.0f;
    for (size_t b = 0; b < w->k_pad; b += 32) {
        float e = 0.0f, o = 0.0f;
        for (size_t k = b; k < b + 32; k += 2) {
            e = __builtin_fmaf(x[k], rounded_weight(w, panel, k, column % 16), e);
            o = __builtin_fmaf(x[k + 1], rounded_weight(w, panel, k + 1, column % 16), o);
        }
        y += e + o;
    }
    return y;
}

/* A product, element by element */
#define PRODUCT_FN(name, one)                                                                      \
    static void name(const hone_packed *w, const hone_act *a, size_t row0, size_t row1,            \
                     size_t panel0, size_t panel1, float *y, size_t ldy, const float *bias,        \
                     void *scratch)                                                                \
    {                                                                                              \
        (void)scratch;                                                                             \
        for (size_t r = row0; r < row1; r++)                                                       \
            for (size_t c = panel0 * 16; c < panel1 * 16 && c < w->n; c++) {                       \
                float v = one(w, a, r, c);                                                         \
                y[r * ldy + c] = bias ? v + bias[c] : v;                                           \
            }                                                                                      \
    }
PRODUCT_FN(product_int8, int8_one)
PRODUCT_FN(product_dot, dot_one)
PRODUCT_FN(product_rounded, rounded_one)

void hone_kernels_scalar_techniques(hone_kernels *t)
{
    t->numbers = numbers;
    t->product_rounded = product_rounded;
    t->act_int8 = act_int8;
    t->product_int8 = product_int8;
    t->act_dot = act_dot;
    t->product_dot = product_dot;
}
