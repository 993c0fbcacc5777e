/* vec - sixteen float lanes in one AVX-512 register. Operations: see cpu/scalar/vec.h. */
#ifndef HONE_KERNEL_AVX512_VEC_H
#define HONE_KERNEL_AVX512_VEC_H

#include "dtype/half.h"

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef __m512 v16;

#define V16_INLINE static inline __attribute__((always_inline, unused))

V16_INLINE v16 v16_set1(float x)
{
    return _mm512_set1_ps(x);
}

V16_INLINE v16 v16_zero(void)
{
    return _mm512_setzero_ps();
}

V16_INLINE v16 v16_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

V16_INLINE void v16_store(float *p, v16 a)
{
    _mm512_storeu_ps(p, a);
}

V16_INLINE __mmask16 v16_mask_n(size_t n)
{
    return (__mmask16)(n < 16 ? (1u << n) - 1u : 0xffffu);
}

V16_INLINE v16 v16_load_n(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps(v16_mask_n(n), p);
}

V16_INLINE void v16_store_n(float *p, v16 a, size_t n)
{
    _mm512_mask_storeu_ps(p, v16_mask_n(n), a);
}

V16_INLINE v16 v16_add(v16 a, v16 b)
{
    return _mm512_add_ps(a, b);
}

V16_INLINE v16 v16_sub(v16 a, v16 b)
{
    return _mm512_sub_ps(a, b);
}

V16_INLINE v16 v16_mul(v16 a, v16 b)
{
    return _mm512_mul_ps(a, b);
}

V16_INLINE v16 v16_div(v16 a, v16 b)
{
    return _mm512_div_ps(a, b);
}

V16_INLINE v16 v16_fma(v16 a, v16 b, v16 c)
{
    return _mm512_fmadd_ps(a, b, c);
}

/* *c += a * b in place. Said in assembly, because gcc 12 takes other registers for the result where
 * nearly all 32 hold sums, and then spills some of them in the innermost loop. */
V16_INLINE void v16_fma_to(v16 *c, v16 a, v16 b)
{
    __asm__ volatile("vfmadd231ps %2, %1, %0" : "+v"(*c) : "v"(a), "v"(b));
}

V16_INLINE v16 v16_max(v16 a, v16 b)
{
    return _mm512_max_ps(a, b);
}

V16_INLINE v16 v16_select_lt(v16 a, v16 b, v16 x, v16 y)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
}

V16_INLINE v16 v16_pow2_magic(v16 t)
{
    __m512i n = _mm512_slli_epi32(_mm512_castps_si512(t), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(n, _mm512_set1_epi32(0x3f800000)));
}

V16_INLINE v16 v16_round_bf16(v16 a)
{
    __m512i u = _mm512_castps_si512(a), high = _mm512_set1_epi32((int)0xffff0000u);
    __m512i lsb = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    __m512i r = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), lsb);
    __mmask16 nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
    r = _mm512_mask_or_epi32(r, nan, u, _mm512_set1_epi32(0x400000));
    return _mm512_castsi512_ps(_mm512_and_si512(r, high));
}

V16_INLINE v16 v16_load_f16(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

/* 16 int8 as floats */
V16_INLINE v16 v16_load_i8(const uint8_t *p)
{
    __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(x));
}

V16_INLINE void v16_unzip(const float *x, v16 *even, v16 *odd)
{
    const __m512i e = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    const __m512i o = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    v16 a = v16_load(x), b = v16_load(x + 16);
    *even = _mm512_permutex2var_ps(a, e, b);
    *odd = _mm512_permutex2var_ps(a, o, b);
}

V16_INLINE void v16_zip(float *x, v16 even, v16 odd)
{
    const __m512i l = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512i h =
        _mm512_set_epi32(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8);
    v16_store(x, _mm512_permutex2var_ps(even, l, odd));
    v16_store(x + 16, _mm512_permutex2var_ps(even, h, odd));
}

V16_INLINE float v16_reduce_add(v16 a)
{
    __m256 b = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}

V16_INLINE float v16_reduce_max(v16 a)
{
    __m256 b = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_max_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}

/* ---- weights: rows k = 8 * unit + 2 * i and the next of a panel, as floats (layouts: kernel.h)
 * ---- */

typedef struct v16_table {
    v16 codes;
    __m512i words[2]; /* of planes: bfloat16 of code 0..63 */
} v16_table;

V16_INLINE v16_table v16_table_load(const float table[16])
{
    return (v16_table){.codes = _mm512_loadu_ps(table)};
}

V16_INLINE __m256i v16_iota_bf16(float low)
{
    const __m512i n = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    v16 x = _mm512_add_ps(_mm512_cvtepi32_ps(n), _mm512_set1_ps(low));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(x), 16));
}

/* Code c means low + c, a whole number of at most 8 bits. */
V16_INLINE v16_table v16_table_linear(float low)
{
    v16_table t;
    t.codes = v16_zero();
    for (int i = 0; i < 2; i++) {
        float first = low + (float)(32 * i);
        t.words[i] = _mm512_inserti64x4(_mm512_castsi256_si512(v16_iota_bf16(first)),
                                        v16_iota_bf16(first + 16.0f), 1);
    }
    return t;
}

V16_INLINE void v16_pair_f32(const uint8_t *b, size_t unit, int i, v16 *even, v16 *odd)
{
    const uint8_t *at = b + unit * 512 + (size_t)i * 128;
    *even = _mm512_loadu_ps((const void *)at);
    *odd = _mm512_loadu_ps((const void *)(at + 64));
}

V16_INLINE void v16_pair_bf16(const uint8_t *b, size_t unit, int i, v16 *even, v16 *odd)
{
    __m512i x = _mm512_loadu_si512((const void *)(b + unit * 256 + (size_t)i * 64));
    *even = _mm512_castsi512_ps(_mm512_slli_epi32(x, 16));
    *odd = _mm512_castsi512_ps(_mm512_and_si512(x, _mm512_set1_epi32((int)0xffff0000u)));
}

V16_INLINE void v16_pair_i8(const uint8_t *b, size_t unit, int i, v16 *even, v16 *odd)
{
    const uint8_t *at = b + unit * 128 + (size_t)i * 32;
    __m128i e = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m128i o = _mm_loadu_si128((const __m128i *)(const void *)(at + 16));
    *even = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(e));
    *odd = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(o));
}

/* fp8 by way of float16, whose exponents have the same bias (layout.h) */
V16_INLINE __m512i v16_fp8_f16(const uint8_t *at, int mantissa)
{
    __m512i x = _mm512_slli_epi16(
        _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)at)), 8);
    if (mantissa == 3) /* the sign stays, the rest moves into the wider exponent */
        x = _mm512_and_si512(_mm512_srai_epi16(x, 1), _mm512_set1_epi16((short)0xbfff));
    return x;
}

V16_INLINE void v16_pair_fp8(const uint8_t *b, size_t unit, int i, int mantissa, v16 *even,
                             v16 *odd)
{
    __m512i x = v16_fp8_f16(b + unit * 128 + (size_t)i * 32, mantissa);
    *even = _mm512_cvtph_ps(_mm512_castsi512_si256(x));
    *odd = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(x, 1));
}

V16_INLINE void v16_pair_u4(const uint8_t *b, size_t unit, int i, v16_table t, int linear,
                            v16 *even, v16 *odd)
{
    (void)linear; /* the general way is as fast */
    __m512i x = _mm512_loadu_si512((const void *)(b + unit * 64));
    *even = _mm512_permutexvar_ps(_mm512_srli_epi32(x, (unsigned)(4 * i)), t.codes);
    *odd = _mm512_permutexvar_ps(_mm512_srli_epi32(x, (unsigned)(4 * i + 16)), t.codes);
}

/* Rows k = 16 p + 8 u + 2 i and the next of a block of planes (layout.h), as 32 bfloat16 words. The
 * look-up sees 5 bits of an index (6 in two tables), so that what lies above need not be masked;
 * nor do bits that a shift brings over from the other word of a pair matter. */
V16_INLINE __m512i v16_words_planes(const uint8_t *block, size_t p, int u, int i, int low, int high,
                                    v16_table t)
{
    size_t part = low == 4 ? 2 * p + (size_t)u : p;
    __m512i x = _mm512_loadu_si512((const void *)(block + part * 64));
    x = _mm512_srli_epi32(x, (unsigned)(low == 4 ? 4 * i : 8 * u + 2 * i));
    if (high) { /* its bits to just above the low ones */
        const uint8_t *at = block + 64 * low + (high == 2 ? p * 64 : p);
        int shift = (high == 2 ? 8 * u + 2 * i : 4 * u + i) - low;
        __m512i y = _mm512_loadu_si512((const void *)at);
        y = shift > 0 ? _mm512_srli_epi32(y, (unsigned)shift)
                      : _mm512_slli_epi32(y, (unsigned)-shift);
        x = _mm512_ternarylogic_epi64(_mm512_set1_epi16((short)((1 << low) - 1)), x, y, 0xca);
    }
    if (low + high < 5)
        x = _mm512_and_si512(x, _mm512_set1_epi16((short)((1 << (low + high)) - 1)));
    return low + high == 6 ? _mm512_permutex2var_epi16(t.words[0], x, t.words[1])
                           : _mm512_permutexvar_epi16(x, t.words[0]);
}

V16_INLINE void v16_pair_planes(const uint8_t *block, size_t p, int u, int i, int low, int high,
                                v16_table t, v16 *even, v16 *odd)
{
    __m512i w = v16_words_planes(block, p, u, i, low, high, t);
    *even = _mm512_castsi512_ps(_mm512_slli_epi32(w, 16));
    *odd = _mm512_castsi512_ps(_mm512_and_si512(w, _mm512_set1_epi32((int)0xffff0000u)));
}

#endif
