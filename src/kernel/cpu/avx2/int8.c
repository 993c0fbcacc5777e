/* int8 - products of int8 activations by VPMADDUBSW. Codes of up to 6 bits are multiplied without a
 * sign and summed in 16 bits as often as that is exact; those of 8 bits as magnitudes, their signs
 * given to the activations (2 * 128 * 127 < 2^15). */
#include "kernel/cpu/avx2/vec.h"

#include "kernel/table.h"

#define CORE_SUMS       4
#define I8_VECTOR       32
#define I8_SIGNED       1
#define I8_FEW_PANELS_2 1
#define I8_FEW_PANELS_4 1
#define I8_MANY_PANELS  1
#define I8_MANY_ROWS    4
#define I8_MANY_ROWS_1  3
#define I8_PREFETCH     4096
#define I8_DIRECT_ROWS  HONE_FEW_ROWS
#define I8_WHOLE_PANELS 2
#define I8_KEEP(sums)   __asm__("" : "+x"((sums)->lo), "+x"((sums)->hi))

typedef uint16_t i8_words __attribute__((vector_size(I8_VECTOR)));
typedef struct i8_quad {
    i8_words p[2];
} i8_quad;
typedef struct i8_sums {
    __m256i lo, hi;
} i8_sums;

V16_INLINE i8_quad i8_load(const uint8_t *at)
{
    const __m256i *p = (const __m256i *)(const void *)at;
    return (i8_quad){{(i8_words)_mm256_loadu_si256(p), (i8_words)_mm256_loadu_si256(p + 1)}};
}

V16_INLINE void i8_store(uint8_t *at, i8_quad q)
{
    __m256i *p = (__m256i *)(void *)at;
    _mm256_storeu_si256(p, (__m256i)q.p[0]);
    _mm256_storeu_si256(p + 1, (__m256i)q.p[1]);
}

V16_INLINE i8_sums i8_set1(int32_t x)
{
    __m256i v = _mm256_set1_epi32(x);
    return (i8_sums){v, v};
}

V16_INLINE i8_sums i8_load1(const void *at)
{
    int32_t x;
    memcpy(&x, at, 4);
    return i8_set1(x);
}

V16_INLINE i8_sums i8_add(i8_sums a, i8_sums b)
{
    return (i8_sums){_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)};
}

V16_INLINE i8_sums i8_sll32(i8_sums a, int n)
{
    return (i8_sums){_mm256_slli_epi32(a.lo, n), _mm256_slli_epi32(a.hi, n)};
}

V16_INLINE v16 i8_to_f32(i8_sums a)
{
    return (v16){_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)};
}

V16_INLINE bool i8_whole_bits(const v16 x[2], uint32_t *bits)
{
    __m256i all = _mm256_setzero_si256(), off = all;
    for (int i = 0; i < 2; i++) {
        const i8_sums n = {_mm256_cvtps_epi32(x[i].lo), _mm256_cvtps_epi32(x[i].hi)};
        const v16 back = i8_to_f32(n);
        all = _mm256_or_si256(all, _mm256_or_si256(n.lo, n.hi));
        off = _mm256_or_si256(
            off, _mm256_castps_si256(_mm256_or_ps(_mm256_cmp_ps(back.lo, x[i].lo, _CMP_NEQ_UQ),
                                                  _mm256_cmp_ps(back.hi, x[i].hi, _CMP_NEQ_UQ))));
    }
    __m128i four = _mm_or_si128(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
    four = _mm_or_si128(four, _mm_shuffle_epi32(four, 0x4e));
    *bits = (uint32_t)_mm_cvtsi128_si32(_mm_or_si128(four, _mm_shuffle_epi32(four, 0xb1)));
    return _mm256_testz_si256(off, off);
}

V16_INLINE __m256i i8_dot_half(int flush, __m256i part, __m256i w, __m256i a)
{
    if (flush == 1)
        return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(a, w));
    return _mm256_add_epi16(part, _mm256_maddubs_epi16(w, a));
}

V16_INLINE void i8_dot(int flush, i8_sums *part, i8_sums *sums, i8_quad w, i8_sums a)
{
    (void)sums;
    part->lo = i8_dot_half(flush, part->lo, (__m256i)w.p[0], a.lo);
    part->hi = i8_dot_half(flush, part->hi, (__m256i)w.p[1], a.hi);
}

V16_INLINE void i8_flush(i8_sums *part, i8_sums *sums)
{
    __m256i ones = _mm256_set1_epi16(1);
    sums->lo = _mm256_add_epi32(sums->lo, _mm256_madd_epi16(part->lo, ones));
    sums->hi = _mm256_add_epi32(sums->hi, _mm256_madd_epi16(part->hi, ones));
    *part = i8_set1(0);
}

V16_INLINE __m128i i8_row(const uint8_t *at, int r)
{
    return _mm_loadu_si128((const __m128i *)(const void *)(at + r * 16));
}

V16_INLINE i8_quad i8_rows(const uint8_t *at, int r0, int r1, int r2, int r3)
{
    __m128i a = i8_row(at, r0), b = i8_row(at, r1), c = i8_row(at, r2), d = i8_row(at, r3);
    __m128i ab = _mm_unpacklo_epi8(a, b), cd = _mm_unpacklo_epi8(c, d);
    __m256i lo = _mm256_set_m128i(_mm_unpackhi_epi16(ab, cd), _mm_unpacklo_epi16(ab, cd));
    ab = _mm_unpackhi_epi8(a, b);
    cd = _mm_unpackhi_epi8(c, d);
    __m256i hi = _mm256_set_m128i(_mm_unpackhi_epi16(ab, cd), _mm_unpacklo_epi16(ab, cd));
    return (i8_quad){{(i8_words)lo, (i8_words)hi}};
}

V16_INLINE i8_quad i8_lookup(const uint8_t *table, i8_quad q)
{
    __m256i t = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)table));
    return (i8_quad){{(i8_words)_mm256_shuffle_epi8(t, (__m256i)q.p[0]),
                      (i8_words)_mm256_shuffle_epi8(t, (__m256i)q.p[1])}};
}

V16_INLINE int32_t i8_sum16(__m128i codes)
{
    __m128i s = _mm_sad_epu8(_mm_xor_si128(codes, _mm_set1_epi8((char)0x80)), _mm_setzero_si128());
    return _mm_cvtsi128_si32(s) + _mm_extract_epi16(s, 4) - 16 * 128;
}

V16_INLINE __m128i i8_codes16(v16 x)
{
    __m256i w = _mm256_packs_epi32(_mm256_cvtps_epi32(x.lo), _mm256_cvtps_epi32(x.hi));
    w = _mm256_permute4x64_epi64(w, 0xd8);
    return _mm_packs_epi16(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1));
}

/* Codes of 32 activations over their scale, in the order of kernel/int8.h; sums of each 16 */
V16_INLINE void i8_store_codes(v16 a, v16 b, int8_t *to, int32_t sums[2])
{
    __m128i order = _mm_setr_epi8(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
    __m128i x = i8_codes16(a), y = i8_codes16(b);
    _mm_storeu_si128((__m128i *)(void *)to, _mm_shuffle_epi8(x, order));
    _mm_storeu_si128((__m128i *)(void *)(to + 16), _mm_shuffle_epi8(y, order));
    sums[0] = i8_sum16(x);
    sums[1] = i8_sum16(y);
}

#include "kernel/cpu/generic/int8.h"
#include "kernel/cpu/generic/whole_row.h"

void hone_kernels_avx2_int8(hone_kernels *t)
{
    t->act_int8 = act_int8;
    t->product_int8 = product_int8;
    whole_slots(t);
    t->whole[HONE_LAYOUT_U4] = t->whole[HONE_LAYOUT_U6] = true;
}
