/* vec - sixteen float lanes in plain C: what the generic kernels are written in. The same
 * operations, with the same bits, are in cpu/avx2/vec.h and cpu/avx512/vec.h. */
#ifndef HONE_KERNEL_SCALAR_VEC_H
#define HONE_KERNEL_SCALAR_VEC_H

#include "dtype/half.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

typedef struct v16 {
    float f[16];
} v16;

#define V16_EACH for (int i = 0; i < 16; i++)

#define V16_INLINE static inline

static inline v16 v16_set1(float x)
{
    v16 r;
    V16_EACH r.f[i] = x;
    return r;
}

static inline v16 v16_zero(void)
{
    return v16_set1(0.0f);
}

static inline v16 v16_load(const float *p)
{
    v16 r;
    memcpy(r.f, p, sizeof r.f);
    return r;
}

static inline void v16_store(float *p, v16 a)
{
    memcpy(p, a.f, sizeof a.f);
}

/* The first n <= 16 lanes; the others are zero (load) or untouched (store). */
static inline v16 v16_load_n(const float *p, size_t n)
{
    v16 r = v16_zero();
    memcpy(r.f, p, (n < 16 ? n : 16) * sizeof(float));
    return r;
}

static inline void v16_store_n(float *p, v16 a, size_t n)
{
    memcpy(p, a.f, (n < 16 ? n : 16) * sizeof(float));
}

static inline v16 v16_add(v16 a, v16 b)
{
    V16_EACH a.f[i] += b.f[i];
    return a;
}

static inline v16 v16_sub(v16 a, v16 b)
{
    V16_EACH a.f[i] -= b.f[i];
    return a;
}

static inline v16 v16_mul(v16 a, v16 b)
{
    V16_EACH a.f[i] *= b.f[i];
    return a;
}

static inline v16 v16_div(v16 a, v16 b)
{
    V16_EACH a.f[i] /= b.f[i];
    return a;
}

/* a * b + c, rounded once */
static inline v16 v16_fma(v16 a, v16 b, v16 c)
{
    V16_EACH c.f[i] = __builtin_fmaf(a.f[i], b.f[i], c.f[i]);
    return c;
}

/* *c = fma(a, b, *c) */
static inline void v16_fma_to(v16 *c, v16 a, v16 b)
{
    *c = v16_fma(a, b, *c);
}

/* a > b ? a : b (b if either is NaN), a subnormal being zero in the result too, which a comparison
 * and a move would not give. */
static inline float v1_max(float a, float b)
{
#if defined(__x86_64__)
    return _mm_cvtss_f32(_mm_max_ss(_mm_set_ss(a), _mm_set_ss(b)));
#else
    return a > b ? a : b;
#endif
}

static inline v16 v16_max(v16 a, v16 b)
{
    V16_EACH
    {
        a.f[i] = v1_max(a.f[i], b.f[i]);
    }
    return a;
}

/* a < b ? x : y */
static inline v16 v16_select_lt(v16 a, v16 b, v16 x, v16 y)
{
    V16_EACH a.f[i] = a.f[i] < b.f[i] ? x.f[i] : y.f[i];
    return a;
}

/* 2^n for t = n + 1.5 * 2^23 as float, -126 <= n <= 127 */
static inline v16 v16_pow2_magic(v16 t)
{
    V16_EACH t.f[i] = hone_f32_from_bits((hone_f32_bits(t.f[i]) << 23) + 0x3f800000u);
    return t;
}

static inline v16 v16_round_bf16(v16 a)
{
    V16_EACH a.f[i] = hone_bf16_to_f32(hone_f32_to_bf16(a.f[i]));
    return a;
}

static inline v16 v16_load_f16(const uint16_t *p)
{
    v16 r;
    V16_EACH r.f[i] = hone_f16_to_f32(p[i]);
    return r;
}

/* Even lanes from the even elements of x[0..32), that is r[i] = x[2i]; and the odd ones. */
static inline void v16_unzip(const float *x, v16 *even, v16 *odd)
{
    V16_EACH
    {
        even->f[i] = x[2 * i];
        odd->f[i] = x[2 * i + 1];
    }
}

static inline void v16_zip(float *x, v16 even, v16 odd)
{
    V16_EACH
    {
        x[2 * i] = even.f[i];
        x[2 * i + 1] = odd.f[i];
    }
}

/* The fixed tree: lane i + 8, then i + 4, i + 2, i + 1. */
static inline float v16_reduce_add(v16 a)
{
    for (int h = 8; h; h /= 2)
        for (int i = 0; i < h; i++)
            a.f[i] += a.f[i + h];
    return a.f[0];
}

static inline float v16_reduce_max(v16 a)
{
    for (int h = 8; h; h /= 2)
        for (int i = 0; i < h; i++)
            a.f[i] = v1_max(a.f[i], a.f[i + h]);
    return a.f[0];
}

#endif
