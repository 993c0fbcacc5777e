/* elementwise - norms, rope, activation functions and reductions over v16. Included by each set's
 * folder after its vec.h; the functions become the set's slots. Sums: lane i adds elements i, i +
 * 16, ... in order (a short tail padded with zeros), then the fixed tree of v16_reduce_add. */
#ifndef HONE_KERNEL_GENERIC_ELEMENTWISE_H
#define HONE_KERNEL_GENERIC_ELEMENTWISE_H

#include "kernel/cpu/generic/math.h"
#include "kernel/kernel.h"

static void rmsnorm(const float *x, size_t ldx, const float *weight, float eps, size_t rows,
                    size_t n, float *y, size_t ldy)
{
    for (size_t r = 0; r < rows; r++) {
        const float *xr = x + r * ldx;
        float *yr = y + r * ldy;
        v16 acc = v16_zero();
        size_t i = 0;
        for (; i + 16 <= n; i += 16) {
            v16 v = v16_load(xr + i);
            acc = v16_fma(v, v, acc);
        }
        if (i < n) {
            v16 v = v16_load_n(xr + i, n - i);
            acc = v16_fma(v, v, acc);
        }
        float mean = v16_reduce_add(acc) / (float)n;
        v16 inv = v16_set1(1.0f / __builtin_sqrtf(mean + eps));
        for (i = 0; i < n; i += 16) {
            size_t m = n - i < 16 ? n - i : 16;
            v16 v = v16_mul(v16_load_n(xr + i, m), inv);
            if (weight)
                v = v16_mul(v, v16_load_n(weight + i, m));
            v16_store_n(yr + i, v, m);
        }
    }
}

/* (a, b) -> (a cos - b sin, b cos + a sin), each with one product rounded and one fused. */
static inline void rope_pair(v16 *a, v16 *b, v16 c, v16 s)
{
    v16 neg = v16_sub(v16_zero(), s);
    v16 x = v16_fma(*b, neg, v16_mul(*a, c));
    *b = v16_fma(*a, s, v16_mul(*b, c));
    *a = x;
}

static void rope(float *x, size_t heads, size_t head_dim, size_t rot_dim, const float *cos,
                 const float *sin, int interleaved)
{
    size_t half = rot_dim / 2;
    for (size_t h = 0; h < heads; h++) {
        float *xh = x + h * head_dim;
        for (size_t i = 0; i < half; i += 16) {
            size_t m = half - i < 16 ? half - i : 16;
            v16 c = v16_load_n(cos + i, m), s = v16_load_n(sin + i, m), a, b;
            if (!interleaved) {
                a = v16_load_n(xh + i, m);
                b = v16_load_n(xh + half + i, m);
                rope_pair(&a, &b, c, s);
                v16_store_n(xh + i, a, m);
                v16_store_n(xh + half + i, b, m);
                continue;
            }
            float pairs[32] = {0};
            memcpy(pairs, xh + 2 * i, 2 * m * sizeof(float));
            v16_unzip(pairs, &a, &b);
            rope_pair(&a, &b, c, s);
            v16_zip(pairs, a, b);
            memcpy(xh + 2 * i, pairs, 2 * m * sizeof(float));
        }
    }
}

static void layernorm(const float *x, size_t ldx, const float *weight, const float *bias, float eps,
                      size_t rows, size_t n, float *y, size_t ldy)
{
    for (size_t r = 0; r < rows; r++) {
        const float *xr = x + r * ldx;
        float *yr = y + r * ldy;
        v16 acc = v16_zero();
        for (size_t i = 0; i < n; i += 16)
            acc = v16_add(acc, v16_load_n(xr + i, n - i));
        const v16 mean = v16_set1(v16_reduce_add(acc) / (float)n);
        acc = v16_zero();
        for (size_t i = 0; i < n; i += 16) {
            v16 d = v16_sub(v16_load_n(xr + i, n - i), mean);
            if (n - i < 16) { /* the lanes beyond the end count as +0 */
                float tail[16];
                v16_store(tail, d);
                d = v16_load_n(tail, n - i);
            }
            acc = v16_fma(d, d, acc);
        }
        float variance = v16_reduce_add(acc) / (float)n;
        const v16 inv = v16_set1(1.0f / __builtin_sqrtf(variance + eps));
        for (size_t i = 0; i < n; i += 16) {
            v16 v = v16_mul(v16_sub(v16_load_n(xr + i, n - i), mean), inv);
            if (weight)
                v = v16_mul(v, v16_load_n(weight + i, n - i));
            if (bias)
                v = v16_add(v, v16_load_n(bias + i, n - i));
            v16_store_n(yr + i, v, n - i);
        }
    }
}

/* x / (1 + exp(-t)): x times the logistic function of t */
static inline v16 times_sigmoid(v16 x, v16 t)
{
    return v16_div(x, v16_add(v16_set1(1.0f), hone_v16_exp(v16_sub(v16_zero(), t))));
}

static inline v16 v16_silu(v16 x)
{
    return times_sigmoid(x, x);
}

/* x * (1 + erf(x / sqrt 2)) / 2 */
static inline v16 v16_gelu(v16 x)
{
    v16 e = hone_v16_erf(v16_mul(x, v16_set1(0.70710678118654752f)));
    return v16_mul(v16_mul(x, v16_set1(0.5f)), v16_add(v16_set1(1.0f), e));
}

/* x * (1 + tanh(u)) / 2 = x * logistic(2 u), u = sqrt(2 / pi) * (x + 0.044715 x^3) */
static inline v16 v16_gelu_tanh(v16 x)
{
    v16 cube = v16_mul(v16_mul(x, x), x);
    v16 u = v16_fma(cube, v16_set1(0.044715f), x);
    return times_sigmoid(x, v16_mul(u, v16_set1(1.59576912160573071f)));
}

static inline v16 v16_relu(v16 x)
{
    return v16_max(v16_zero(), x); /* a NaN stays one */
}

/* One function per activation: y = f(a) * b, or f(a) without b. */
#define ACTIVATION(name, f)                                                                        \
    static void name(const float *a, const float *b, size_t n, float *y)                           \
    {                                                                                              \
        for (size_t i = 0; i < n; i += 16) {                                                       \
            size_t m = n - i < 16 ? n - i : 16;                                                    \
            v16 v = f(v16_load_n(a + i, m));                                                       \
            if (b)                                                                                 \
                v = v16_mul(v, v16_load_n(b + i, m));                                              \
            v16_store_n(y + i, v, m);                                                              \
        }                                                                                          \
    }
ACTIVATION(silu_mul, v16_silu)
ACTIVATION(gelu_mul, v16_gelu)
ACTIVATION(gelu_tanh_mul, v16_gelu_tanh)
ACTIVATION(relu_mul, v16_relu)
ACTIVATION(tanh_mul, hone_v16_tanh)

static void softcap(float *y, float cap, size_t n)
{
    const v16 c = v16_set1(cap);
    for (size_t i = 0; i < n; i += 16)
        v16_store_n(y + i, hone_v16_softcap(v16_load_n(y + i, n - i), c), n - i);
}

static void add(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        size_t m = n - i < 16 ? n - i : 16;
        v16_store_n(y + i, v16_add(v16_load_n(y + i, m), v16_load_n(x + i, m)), m);
    }
}

static void scale(float *y, float s, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        size_t m = n - i < 16 ? n - i : 16;
        v16_store_n(y + i, v16_mul(v16_load_n(y + i, m), v16_set1(s)), m);
    }
}

static float max(const float *x, size_t n)
{
    const v16 low = v16_set1(-__builtin_inff());
    v16 acc = low;
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        acc = v16_max(v16_load(x + i), acc);
    if (i < n) {
        float tail[16];
        v16_store(tail, low);
        memcpy(tail, x + i, (n - i) * sizeof(float));
        acc = v16_max(v16_load(tail), acc);
    }
    return v16_reduce_max(acc);
}

static size_t argmax(const float *x, size_t n)
{
    float m = max(x, n);
    for (size_t i = 0; i < n; i++)
        if (x[i] == m)
            return i;
    return 0;
}

static float exp_sum(const float *x, float shift, size_t n, float *y)
{
    const v16 s = v16_set1(shift);
    v16 acc = v16_zero();
    for (size_t i = 0; i < n; i += 16) {
        size_t m = n - i < 16 ? n - i : 16;
        v16 e = hone_v16_exp(v16_sub(v16_load_n(x + i, m), s));
        if (m < 16) { /* the lanes beyond the end count as +0 */
            float tail[16];
            v16_store(tail, e);
            e = v16_load_n(tail, m);
        }
        acc = v16_add(acc, e);
        if (y)
            v16_store_n(y + i, e, m);
    }
    return v16_reduce_add(acc);
}

static float logsumexp(const float *x, size_t n)
{
    float m = max(x, n);
    if (!(m - m == 0.0f)) /* infinite or NaN */
        return m;
    return m + hone_log1(exp_sum(x, m, n, NULL));
}

static void round_bf16(const float *x, size_t n, float *y)
{
    for (size_t i = 0; i < n; i += 16) {
        size_t m = n - i < 16 ? n - i : 16;
        v16_store_n(y + i, v16_round_bf16(v16_load_n(x + i, m)), m);
    }
}

#endif
