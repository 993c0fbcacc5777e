/* backward - packing of matrices that change, backward of row operations, a step of AdamW, over
 * v16. Included by backward.c of each set, after its vec.h and two things of its own:
 * transpose16 (16 x 16 numbers) and put_bf16_pairs (rows 2j and 2j + 1 of a BF16 panel). The order
 * of every sum is that of elementwise.h; docs/numerics.md says what each one is. */
#ifndef HONE_KERNEL_GENERIC_BACKWARD_H
#define HONE_KERNEL_GENERIC_BACKWARD_H

#include "kernel/cpu/generic/math.h"
#include "kernel/kernel.h"

/* ---- layouts -------------------------------------------------------------------------------- */

static void transpose(const float *x, size_t ldx, size_t rows, size_t cols, float *y, size_t ldy)
{
    for (size_t r = 0; r < rows; r += 16)
        for (size_t c = 0; c < cols; c += 16) {
            if (rows - r >= 16 && cols - c >= 16) {
                transpose16(x + r * ldx + c, ldx, y + c * ldy + r, ldy);
                continue;
            }
            for (size_t j = c; j < c + 16 && j < cols; j++)
                for (size_t i = r; i < r + 16 && i < rows; i++)
                    y[j * ldy + i] = x[i * ldx + j];
        }
}

static void act_columns(hone_act *act, const float *x, size_t ldx, size_t k0, size_t k1)
{
    const bool rounded = !(act->flags & HONE_ACT_F32);
    for (size_t r = 0; r < act->rows; r += 16)
        for (size_t k = k0; k < (k1 < act->k ? k1 : act->k_pad); k += 16) {
            float t[256] = {0};
            const size_t n = act->rows - r < 16 ? act->rows - r : 16;
            if (k < k1)
                transpose(x + k * ldx + r, ldx, k1 - k < 16 ? k1 - k : 16, n, t, 16);
            for (size_t i = 0; i < n; i++) {
                v16 v = v16_load(t + i * 16);
                v16_store(t + i * 16, rounded ? v16_round_bf16(v) : v);
                for (size_t j = 0; act->half && j < 16; j++)
                    act->half[(r + i) * act->ld + k + j] = hone_f32_to_bf16(t[i * 16 + j]);
                if (!act->half)
                    memcpy(act->f32 + (r + i) * act->ld + k, t + i * 16, 64);
            }
        }
}

/* Rows k, k + 1 of a panel; an odd one at the end has no neighbour. */
static inline void put_pair(const hone_packed *w, uint8_t *panel, size_t k, v16 even, v16 odd)
{
    if (w->layout == HONE_LAYOUT_F32) {
        float *to = (float *)(void *)panel + k * 16;
        v16_store(to, even);
        v16_store(to + 16, odd);
    } else {
        put_bf16_pairs(panel + k * 32, even, odd);
    }
}

static void pack_columns(const hone_packed *w, const float *x, size_t ldx, size_t panel0,
                         size_t panel1, uint8_t *dst)
{
    for (size_t p = panel0; p < panel1; p++) {
        uint8_t *panel = dst + p * w->panel_bytes;
        const float *from = x + p * 16;
        size_t n = w->n - p * 16 < 16 ? w->n - p * 16 : 16;
        for (size_t k = 0; k < w->k_pad; k += 2) {
            v16 even = k < w->k ? v16_load_n(from + k * ldx, n) : v16_zero();
            v16 odd = k + 1 < w->k ? v16_load_n(from + (k + 1) * ldx, n) : v16_zero();
            put_pair(w, panel, k, even, odd);
        }
    }
}

static void pack_rows(const hone_packed *w, const float *x, size_t ldx, size_t panel0,
                      size_t panel1, uint8_t *dst)
{
    for (size_t p = panel0; p < panel1; p++) {
        uint8_t *panel = dst + p * w->panel_bytes;
        size_t n = w->n - p * 16 < 16 ? w->n - p * 16 : 16;
        for (size_t k = 0; k < w->k_pad; k += 16) {
            float t[256] = {0};
            if (k < w->k)
                transpose(x + p * 16 * ldx + k, ldx, n, w->k - k < 16 ? w->k - k : 16, t, 16);
            for (size_t i = 0; i < 16; i += 2)
                put_pair(w, panel, k + i, v16_load(t + i * 16), v16_load(t + i * 16 + 16));
        }
    }
}

/* ---- norms ---------------------------------------------------------------------------------- */

static float dot(const float *x, const float *y, size_t n)
{
    v16 acc = v16_zero();
    for (size_t i = 0; i < n; i += 16) {
        size_t m = n - i < 16 ? n - i : 16;
        acc = v16_fma(v16_load_n(x + i, m), v16_load_n(y + i, m), acc);
    }
    return v16_reduce_add(acc);
}

/* Of y = h * w with h = (x - mean) * inv:  t = dy * w,  dx = (t - a - h * b) * inv, where b is the
 * mean of t * h and a that of t (0 of rmsnorm, whose mean is 0);  dw = dy * h. */
static void norm_back_row(const float *x, const float *weight, float mean, float inv, size_t n,
                          bool centred, const float *dy, float *dx, float *dw)
{
    const v16 m = v16_set1(mean), s = v16_set1(inv);
    v16 sum = v16_zero(), sum_h = v16_zero();
    for (size_t i = 0; i < n; i += 16) {
        size_t c = n - i < 16 ? n - i : 16;
        v16 h = v16_mul(v16_sub(v16_load_n(x + i, c), m), s), t = v16_load_n(dy + i, c);
        if (dw)
            v16_store_n(dw + i, v16_mul(t, h), c);
        if (weight)
            t = v16_mul(t, v16_load_n(weight + i, c));
        sum = v16_add(sum, t); /* t of the lanes beyond the end is 0 */
        sum_h = v16_fma(t, h, sum_h);
    }
    const v16 a = v16_set1(centred ? v16_reduce_add(sum) / (float)n : 0.0f),
              b = v16_set1(v16_reduce_add(sum_h) / (float)n);
    for (size_t i = 0; i < n; i += 16) {
        size_t c = n - i < 16 ? n - i : 16;
        v16 h = v16_mul(v16_sub(v16_load_n(x + i, c), m), s), t = v16_load_n(dy + i, c);
        if (weight)
            t = v16_mul(t, v16_load_n(weight + i, c));
        t = v16_sub(v16_sub(t, a), v16_mul(h, b));
        v16_store_n(dx + i, v16_mul(t, s), c);
    }
}

static void rmsnorm_back(const float *x, const float *weight, float eps, size_t rows, size_t n,
                         const float *dy, float *dx, float *dw)
{
    for (size_t r = 0; r < rows; r++) {
        const float *at = x + r * n;
        float inv = 1.0f / __builtin_sqrtf(dot(at, at, n) / (float)n + eps);
        norm_back_row(at, weight, 0.0f, inv, n, false, dy + r * n, dx + r * n,
                      dw ? dw + r * n : NULL);
    }
}

static void layernorm_back(const float *x, const float *weight, float eps, size_t rows, size_t n,
                           const float *dy, float *dx, float *dw)
{
    for (size_t r = 0; r < rows; r++) {
        const float *at = x + r * n;
        v16 acc = v16_zero();
        for (size_t i = 0; i < n; i += 16)
            acc = v16_add(acc, v16_load_n(at + i, n - i < 16 ? n - i : 16));
        const float mean = v16_reduce_add(acc) / (float)n;
        acc = v16_zero();
        for (size_t i = 0; i < n; i += 16) {
            float d[16] = {0};
            size_t c = n - i < 16 ? n - i : 16;
            v16_store_n(d, v16_sub(v16_load_n(at + i, c), v16_set1(mean)), c);
            acc = v16_fma(v16_load(d), v16_load(d), acc);
        }
        float inv = 1.0f / __builtin_sqrtf(v16_reduce_add(acc) / (float)n + eps);
        norm_back_row(at, weight, mean, inv, n, true, dy + r * n, dx + r * n,
                      dw ? dw + r * n : NULL);
    }
}

/* ---- activations ---------------------------------------------------------------------------- */

/* Each gives f(x) and its derivative. */
static inline v16 one_over(v16 x)
{
    return v16_div(v16_set1(1.0f), x);
}

static inline v16 logistic(v16 x)
{
    return one_over(v16_add(v16_set1(1.0f), hone_v16_exp(v16_sub(v16_zero(), x))));
}

/* s = logistic(x);  s (1 + x (1 - s)) */
static inline v16 silu_slope(v16 x, v16 *f)
{
    v16 one = v16_set1(1.0f), s = logistic(x);
    *f = v16_mul(x, s);
    return v16_mul(s, v16_fma(x, v16_sub(one, s), one));
}

/* Phi = (1 + erf(x / sqrt 2)) / 2;  Phi + x exp(-x^2 / 2) / sqrt(2 pi) */
static inline v16 gelu_slope(v16 x, v16 *f)
{
    v16 e = hone_v16_erf(v16_mul(x, v16_set1(0.70710678118654752f)));
    v16 phi = v16_mul(v16_set1(0.5f), v16_add(v16_set1(1.0f), e));
    v16 density = v16_mul(hone_v16_exp(v16_mul(v16_mul(x, x), v16_set1(-0.5f))),
                          v16_set1(0.39894228040143268f));
    *f = v16_mul(x, phi);
    return v16_fma(x, density, phi);
}

/* s = logistic(t), t = 2 sqrt(2 / pi) (x + 0.044715 x^3);  s + x s (1 - s) t' */
static inline v16 gelu_tanh_slope(v16 x, v16 *f)
{
    const v16 two_root = v16_set1(1.59576912160573071f), one = v16_set1(1.0f);
    v16 square = v16_mul(x, x);
    v16 t = v16_mul(v16_fma(v16_mul(square, x), v16_set1(0.044715f), x), two_root);
    v16 s = logistic(t);
    v16 slope = v16_mul(v16_fma(square, v16_set1(0.134145f), one), two_root);
    *f = v16_mul(x, s);
    return v16_fma(v16_mul(*f, v16_sub(one, s)), slope, s);
}

static inline v16 relu_slope(v16 x, v16 *f)
{
    *f = v16_max(v16_zero(), x);
    return v16_select_lt(v16_zero(), x, v16_set1(1.0f), v16_zero());
}

static inline v16 tanh_slope(v16 x, v16 *f)
{
    *f = hone_v16_tanh(x);
    return v16_sub(v16_set1(1.0f), v16_mul(*f, *f));
}

/* Of y = f(a) * b:  db = dy * f(a),  da = (dy * b) * f'(a) */
#define ACTIVATION_BACK(name, slope)                                                               \
    static void name(const float *a, const float *b, const float *dy, size_t n, float *da,         \
                     float *db)                                                                    \
    {                                                                                              \
        for (size_t i = 0; i < n; i += 16) {                                                       \
            size_t m = n - i < 16 ? n - i : 16;                                                    \
            v16 f, d = slope(v16_load_n(a + i, m), &f), g = v16_load_n(dy + i, m);                 \
            if (b) {                                                                               \
                v16 other = v16_load_n(b + i, m);                                                  \
                v16_store_n(db + i, v16_mul(g, f), m);                                             \
                g = v16_mul(g, other);                                                             \
            }                                                                                      \
            v16_store_n(da + i, v16_mul(g, d), m);                                                 \
        }                                                                                          \
    }
ACTIVATION_BACK(silu_back, silu_slope)
ACTIVATION_BACK(gelu_back, gelu_slope)
ACTIVATION_BACK(gelu_tanh_back, gelu_tanh_slope)
ACTIVATION_BACK(relu_back, relu_slope)
ACTIVATION_BACK(tanh_back, tanh_slope)

/* ---- softmax -------------------------------------------------------------------------------- */

/* Of s, a score before it is scaled: p = exp(z + shift) * inv and ds = p (dp - mean) scale of
 * z = scale s; capped, of z = cap tanh(scale s / cap), times 1 - (z / cap)^2. z is rounded as in
 * the forward, so that probabilities add up to 1 as they did there. */
V16_INLINE void softmax_back_16(bool capped, v16 s, v16 dp, v16 shift, v16 inv, v16 mean,
                                float scale, float cap, v16 *p, v16 *ds)
{
    const v16 f = v16_set1(scale), c = v16_set1(cap);
    v16 z = v16_mul(s, f);
    if (capped)
        z = hone_v16_softcap(z, c);
    *p = v16_mul(hone_v16_exp_below(v16_add(z, shift)), inv);
    *ds = v16_mul(v16_mul(*p, v16_sub(dp, mean)), f);
    if (capped) {
        z = v16_div(z, c);
        *ds = v16_mul(*ds, v16_sub(v16_set1(1.0f), v16_mul(z, z)));
    }
}

static void softmax_back(const float *s, const float *dp, const float *shift, const float *inv,
                         const float *mean, float scale, float cap, size_t n, float *p, float *ds)
{
    for (size_t i = 0; i < n; i += 16) {
        const size_t m = n - i < 16 ? n - i : 16;
        v16 x, y;
        softmax_back_16(cap != 0.0f, v16_load_n(s + i, m), v16_load_n(dp + i, m),
                        v16_load_n(shift + i, m), v16_load_n(inv + i, m), v16_load_n(mean + i, m),
                        scale, cap, &x, &y);
        v16_store_n(p + i, x, m);
        v16_store_n(ds + i, y, m);
    }
}

static void softcap_back(const float *y, float cap, size_t n, float *dx)
{
    const v16 c = v16_set1(cap), one = v16_set1(1.0f);
    for (size_t i = 0; i < n; i += 16) {
        size_t m = n - i < 16 ? n - i : 16;
        v16 t = v16_div(v16_load_n(y + i, m), c);
        v16_store_n(dx + i, v16_mul(v16_load_n(dx + i, m), v16_sub(one, v16_mul(t, t))), m);
    }
}

/* ---- optimisers ----------------------------------------------------------------------------- */

static inline v16 root(v16 x)
{
    float t[16];
    v16_store(t, x);
    for (int i = 0; i < 16; i++)
        t[i] = __builtin_sqrtf(t[i]);
    return v16_load(t);
}

static void adamw(const hone_adamw *o, const float *g, size_t n, float *p, float *m, float *v)
{
    const v16 gs = v16_set1(o->grad_scale), b1 = v16_set1(o->beta1), b2 = v16_set1(o->beta2),
              n1 = v16_set1(1.0f - o->beta1), n2 = v16_set1(1.0f - o->beta2),
              keep = v16_set1(o->keep), rate = v16_set1(o->rate), vs = v16_set1(o->v_scale),
              eps = v16_set1(o->eps);
    for (size_t i = 0; i < n; i += 16) {
        size_t c = n - i < 16 ? n - i : 16;
        v16 d = v16_mul(v16_load_n(g + i, c), gs);
        v16 mean = v16_fma(v16_load_n(m + i, c), b1, v16_mul(d, n1));
        v16 square = v16_fma(v16_load_n(v + i, c), b2, v16_mul(v16_mul(d, d), n2));
        v16 step = v16_div(mean, v16_fma(root(square), vs, eps));
        v16_store_n(m + i, mean, c);
        v16_store_n(v + i, square, c);
        v16_store_n(p + i, v16_sub(v16_mul(v16_load_n(p + i, c), keep), v16_mul(rate, step)), c);
    }
}

#define BACKWARD_SLOTS(t)                                                                          \
    do {                                                                                           \
        (t)->transpose = transpose;                                                                \
        (t)->act_columns = act_columns;                                                            \
        (t)->pack_rows = pack_rows;                                                                \
        (t)->pack_columns = pack_columns;                                                          \
        (t)->rmsnorm_back = rmsnorm_back;                                                          \
        (t)->layernorm_back = layernorm_back;                                                      \
        (t)->silu_back = silu_back;                                                                \
        (t)->gelu_back = gelu_back;                                                                \
        (t)->gelu_tanh_back = gelu_tanh_back;                                                      \
        (t)->relu_back = relu_back;                                                                \
        (t)->tanh_back = tanh_back;                                                                \
        (t)->softmax_back = softmax_back;                                                          \
        (t)->softcap_back = softcap_back;                                                          \
        (t)->dot = dot;                                                                            \
        (t)->adamw = adamw;                                                                        \
    } while (0)

#endif
