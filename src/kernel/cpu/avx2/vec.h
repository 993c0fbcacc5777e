/* vec - sixteen float lanes in two AVX2 registers. Operations: see cpu/scalar/vec.h. */
#ifndef HONE_KERNEL_AVX2_VEC_H
#define HONE_KERNEL_AVX2_VEC_H

#include "dtype/half.h"

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct v16 {
    __m256 lo, hi;
} v16;

#define V16_INLINE static inline __attribute__((always_inline, unused))

V16_INLINE v16 v16_set1(float x)
{
    __m256 v = _mm256_set1_ps(x);
    return (v16){v, v};
}

V16_INLINE v16 v16_zero(void)
{
    return (v16){_mm256_setzero_ps(), _mm256_setzero_ps()};
}

V16_INLINE v16 v16_load(const float *p)
{
    return (v16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}

V16_INLINE void v16_store(float *p, v16 a)
{
    _mm256_storeu_ps(p, a.lo);
    _mm256_storeu_ps(p + 8, a.hi);
}

V16_INLINE void v16_masks_n(size_t n, __m256i *lo, __m256i *hi)
{
    __m256i m = _mm256_set1_epi32((int)(n < 16 ? n : 16));
    *lo = _mm256_cmpgt_epi32(m, _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
    *hi = _mm256_cmpgt_epi32(m, _mm256_set_epi32(15, 14, 13, 12, 11, 10, 9, 8));
}

V16_INLINE v16 v16_load_n(const float *p, size_t n)
{
    if (n >= 16)
        return v16_load(p);
    __m256i lo, hi;
    v16_masks_n(n, &lo, &hi);
    return (v16){_mm256_maskload_ps(p, lo), _mm256_maskload_ps(p + 8, hi)};
}

V16_INLINE void v16_store_n(float *p, v16 a, size_t n)
{
    if (n >= 16) {
        v16_store(p, a);
        return;
    }
    __m256i lo, hi;
    v16_masks_n(n, &lo, &hi);
    _mm256_maskstore_ps(p, lo, a.lo);
    _mm256_maskstore_ps(p + 8, hi, a.hi);
}

V16_INLINE v16 v16_add(v16 a, v16 b)
{
    return (v16){_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}

V16_INLINE v16 v16_sub(v16 a, v16 b)
{
    return (v16){_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}

V16_INLINE v16 v16_mul(v16 a, v16 b)
{
    return (v16){_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}

V16_INLINE v16 v16_div(v16 a, v16 b)
{
    return (v16){_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}

V16_INLINE v16 v16_fma(v16 a, v16 b, v16 c)
{
    return (v16){_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}

V16_INLINE void v16_fma_to(v16 *c, v16 a, v16 b)
{
    *c = v16_fma(a, b, *c);
}

V16_INLINE v16 v16_max(v16 a, v16 b)
{
    return (v16){_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}

V16_INLINE v16 v16_select_lt(v16 a, v16 b, v16 x, v16 y)
{
    return (v16){_mm256_blendv_ps(y.lo, x.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ)),
                 _mm256_blendv_ps(y.hi, x.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ))};
}

V16_INLINE __m256 v16_pow2_half(__m256 t)
{
    __m256i n = _mm256_slli_epi32(_mm256_castps_si256(t), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(n, _mm256_set1_epi32(0x3f800000)));
}

V16_INLINE v16 v16_pow2_magic(v16 t)
{
    return (v16){v16_pow2_half(t.lo), v16_pow2_half(t.hi)};
}

V16_INLINE __m256 v16_round_half(__m256 a)
{
    __m256i u = _mm256_castps_si256(a);
    __m256i lsb = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    __m256i r = _mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), lsb);
    __m256 quiet = _mm256_castsi256_ps(_mm256_or_si256(u, _mm256_set1_epi32(0x400000)));
    __m256 v = _mm256_blendv_ps(_mm256_castsi256_ps(r), quiet, _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
    return _mm256_and_ps(v, _mm256_castsi256_ps(_mm256_set1_epi32((int)0xffff0000u)));
}

V16_INLINE v16 v16_round_bf16(v16 a)
{
    return (v16){v16_round_half(a.lo), v16_round_half(a.hi)};
}

V16_INLINE v16 v16_load_f16(const uint16_t *p)
{
    const __m128i *at = (const __m128i *)(const void *)p;
    return (v16){_mm256_cvtph_ps(_mm_loadu_si128(at)), _mm256_cvtph_ps(_mm_loadu_si128(at + 1))};
}

/* 16 int8 as floats */
V16_INLINE v16 v16_load_i8(const uint8_t *p)
{
    __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
    return (v16){_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(x)),
                 _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(x, 8)))};
}

/* a0 a1 a2 a3 | a4 ... -> the even, the odd elements of 16 in order */
V16_INLINE __m256 v16_even_half(const float *x)
{
    __m256 v = _mm256_shuffle_ps(_mm256_loadu_ps(x), _mm256_loadu_ps(x + 8), 0x88);
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(v), 0xd8));
}

V16_INLINE __m256 v16_odd_half(const float *x)
{
    __m256 v = _mm256_shuffle_ps(_mm256_loadu_ps(x), _mm256_loadu_ps(x + 8), 0xdd);
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(v), 0xd8));
}

V16_INLINE void v16_unzip(const float *x, v16 *even, v16 *odd)
{
    *even = (v16){v16_even_half(x), v16_even_half(x + 16)};
    *odd = (v16){v16_odd_half(x), v16_odd_half(x + 16)};
}

V16_INLINE void v16_zip_half(float *x, __m256 even, __m256 odd)
{
    __m256 l = _mm256_unpacklo_ps(even, odd), h = _mm256_unpackhi_ps(even, odd);
    _mm256_storeu_ps(x, _mm256_permute2f128_ps(l, h, 0x20));
    _mm256_storeu_ps(x + 8, _mm256_permute2f128_ps(l, h, 0x31));
}

V16_INLINE void v16_zip(float *x, v16 even, v16 odd)
{
    v16_zip_half(x, even.lo, odd.lo);
    v16_zip_half(x + 16, even.hi, odd.hi);
}

V16_INLINE float v16_reduce_add(v16 a)
{
    __m256 b = _mm256_add_ps(a.lo, a.hi);
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}

V16_INLINE float v16_reduce_max(v16 a)
{
    __m256 b = _mm256_max_ps(a.lo, a.hi);
    __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_max_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}

/* ---- weights: rows k = 8 * unit + 2 * i and the next of a panel, as floats (layouts: kernel.h)
 * ---- */

typedef struct v16_table {
    __m256 lo, hi; /* codes 0..7 and 8..15 */
    __m256 base;   /* code 0 */
    /* of linear tables, see v16_linear */
    __m256i exponents, mask[4];
    __m256 take[4];
} v16_table;

V16_INLINE v16_table v16_table_load(const float table[16])
{
    v16_table t = {.lo = _mm256_loadu_ps(table),
                   .hi = _mm256_loadu_ps(table + 8),
                   .base = _mm256_set1_ps(table[0])};
    t.exponents = _mm256_set1_epi32(0x4f000000);
    __asm__("" : "+x"(t.exponents)); /* compilers would distribute the AND over it */
    for (int i = 0; i < 4; i++) {
        t.mask[i] = _mm256_set1_epi32((127 + 23 - 4 * i) << 23 | 15 << (4 * i));
        t.take[i] = _mm256_set1_ps((float)(1 << (23 - 4 * i)) - table[0]);
        __asm__("" : "+x"(t.mask[i]));
    }
    return t;
}

/* Code c means low + c. */
V16_INLINE v16_table v16_table_linear(float low)
{
    return (v16_table){.base = _mm256_set1_ps(low)};
}

V16_INLINE __m256i v16_load_si(const uint8_t *at)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)at);
}

V16_INLINE void v16_pair_f32(const uint8_t *b, size_t unit, int i, v16 *even, v16 *odd)
{
    const float *at = (const float *)(const void *)(b + unit * 512 + (size_t)i * 128);
    *even = v16_load(at);
    *odd = v16_load(at + 16);
}

V16_INLINE void v16_pair_bf16(const uint8_t *b, size_t unit, int i, v16 *even, v16 *odd)
{
    const uint8_t *at = b + unit * 256 + (size_t)i * 64;
    const __m256i high = _mm256_set1_epi32((int)0xffff0000u);
    __m256i x = v16_load_si(at), y = v16_load_si(at + 32);
    even->lo = _mm256_castsi256_ps(_mm256_slli_epi32(x, 16));
    even->hi = _mm256_castsi256_ps(_mm256_slli_epi32(y, 16));
    odd->lo = _mm256_castsi256_ps(_mm256_and_si256(x, high));
    odd->hi = _mm256_castsi256_ps(_mm256_and_si256(y, high));
}

V16_INLINE __m256 v16_from_i8(const uint8_t *at)
{
    __m128i x = _mm_loadl_epi64((const __m128i *)(const void *)at);
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(x));
}

V16_INLINE void v16_pair_i8(const uint8_t *b, size_t unit, int i, v16 *even, v16 *odd)
{
    const uint8_t *at = b + unit * 128 + (size_t)i * 32;
    *even = (v16){v16_from_i8(at), v16_from_i8(at + 8)};
    *odd = (v16){v16_from_i8(at + 16), v16_from_i8(at + 24)};
}

/* fp8 by way of float16, whose exponents have the same bias (layout.h) */
V16_INLINE v16 v16_from_fp8(const uint8_t *at, int mantissa)
{
    __m256i x = _mm256_slli_epi16(
        _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)at)), 8);
    if (mantissa == 3) /* the sign stays, the rest moves into the wider exponent */
        x = _mm256_and_si256(_mm256_srai_epi16(x, 1), _mm256_set1_epi16((short)0xbfff));
    return (v16){_mm256_cvtph_ps(_mm256_castsi256_si128(x)),
                 _mm256_cvtph_ps(_mm256_extracti128_si256(x, 1))};
}

V16_INLINE void v16_pair_fp8(const uint8_t *b, size_t unit, int i, int mantissa, v16 *even,
                             v16 *odd)
{
    const uint8_t *at = b + unit * 128 + (size_t)i * 32;
    *even = v16_from_fp8(at, mantissa);
    *odd = v16_from_fp8(at + 16, mantissa);
}

/* table[bits shift..shift+3 of each lane]: the low three bits index both halves, the fourth chooses
 */
V16_INLINE __m256 v16_lookup(__m256i x, int shift, v16_table t)
{
    __m256i index = _mm256_srli_epi32(x, shift);
    __m256 choose = _mm256_castsi256_ps(shift <= 28 ? _mm256_slli_epi32(x, 28 - shift) : x);
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(t.lo, index),
                            _mm256_permutevar8x32_ps(t.hi, index), choose);
}

/* The same when table[c] = base + c, for a lane whose low half holds four codes and whose high half
 * the bits that the exponents of 2^23, 2^19, 2^15 and 2^11 have in any of them. One AND leaves code
 * i in the mantissa of 2^(23 - 4i), where it counts as itself; subtracting 2^(23 - 4i) - base
 * leaves base + code, exactly. */
V16_INLINE __m256 v16_linear(__m256i x, int i, const v16_table *t)
{
    return _mm256_sub_ps(_mm256_castsi256_ps(_mm256_and_si256(x, t->mask[i])), t->take[i]);
}

V16_INLINE void v16_pair_linear(const uint8_t *at, int i, const v16_table *t, __m256 *even,
                                __m256 *odd)
{
    __m256i x = v16_load_si(at);
    *even = v16_linear(_mm256_blend_epi16(x, t->exponents, 0xaa), i, t);
    *odd = v16_linear(_mm256_or_si256(_mm256_srli_epi32(x, 16), t->exponents), i, t);
}

V16_INLINE void v16_pair_u4(const uint8_t *b, size_t unit, int i, v16_table t, int linear,
                            v16 *even, v16 *odd)
{
    const uint8_t *at = b + unit * 64;
    if (linear) {
        v16_pair_linear(at, i, &t, &even->lo, &odd->lo);
        v16_pair_linear(at + 32, i, &t, &even->hi, &odd->hi);
        return;
    }
    __m256i x = v16_load_si(at), y = v16_load_si(at + 32);
    *even = (v16){v16_lookup(x, 4 * i, t), v16_lookup(y, 4 * i, t)};
    *odd = (v16){v16_lookup(x, 4 * i + 16, t), v16_lookup(y, 4 * i + 16, t)};
}

/* Codes of 8 columns, one in each 16-bit word (column, parity): see v16_pair_planes. */
V16_INLINE __m256i v16_codes_planes(const uint8_t *block, size_t p, int u, int i, int low, int high)
{
    size_t part = low == 4 ? 2 * p + (size_t)u : p;
    __m256i x = _mm256_srli_epi16(v16_load_si(block + part * 64), low == 4 ? 4 * i : 8 * u + 2 * i);
    x = _mm256_and_si256(x, _mm256_set1_epi16((short)((1 << low) - 1)));
    if (!high)
        return x;
    __m256i y = v16_load_si(block + 64 * low + (high == 2 ? p * 64 : p));
    int shift = (high == 2 ? 8 * u + 2 * i : 4 * u + i) - low;
    y = shift > 0 ? _mm256_srli_epi16(y, shift) : _mm256_slli_epi16(y, -shift);
    y = _mm256_and_si256(y, _mm256_set1_epi16((short)(((1 << high) - 1) << low)));
    return _mm256_or_si256(x, y);
}

/* Rows k = 16 p + 8 u + 2 i and the next of a block of planes (layout.h) */
V16_INLINE void v16_pair_planes(const uint8_t *block, size_t p, int u, int i, int low, int high,
                                v16_table t, v16 *even, v16 *odd)
{
    const __m256i word = _mm256_set1_epi32(0xffff);
    __m256i x = v16_codes_planes(block, p, u, i, low, high);
    __m256i y = v16_codes_planes(block + 32, p, u, i, low, high);
    even->lo = _mm256_add_ps(_mm256_cvtepi32_ps(_mm256_and_si256(x, word)), t.base);
    even->hi = _mm256_add_ps(_mm256_cvtepi32_ps(_mm256_and_si256(y, word)), t.base);
    odd->lo = _mm256_add_ps(_mm256_cvtepi32_ps(_mm256_srli_epi32(x, 16)), t.base);
    odd->hi = _mm256_add_ps(_mm256_cvtepi32_ps(_mm256_srli_epi32(y, 16)), t.base);
}

#endif
