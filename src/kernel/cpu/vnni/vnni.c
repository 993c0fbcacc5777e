/* vnni - products of int8 activations by VPDPBUSD: four products of a byte without and one with a
 * sign, summed exactly in 32 bits. */
#include "kernel/cpu/avx512/vec.h"

#include "kernel/table.h"

#define CORE_SUMS       16
#define I8_SIGNED       0
#define I8_FEW_PANELS_2 4
#define I8_FEW_PANELS_4 2
#define I8_MANY_PANELS  2
#define I8_MANY_ROWS    6
#define I8_MANY_ROWS_1  6
#define I8_PREFETCH     4096
#define I8_DIRECT_ROWS  16
#define I8_KEEP(sums)   (void)(sums)
#define I8_WHOLE_PANELS 4

#include "kernel/cpu/avx512/quad.h"

typedef __m512i i8_sums;

V16_INLINE i8_sums i8_set1(int32_t x)
{
    return _mm512_set1_epi32(x);
}

V16_INLINE i8_sums i8_load1(const void *at)
{
    int32_t x;
    memcpy(&x, at, 4);
    return _mm512_set1_epi32(x);
}

V16_INLINE i8_sums i8_add(i8_sums a, i8_sums b)
{
    return _mm512_add_epi32(a, b);
}

V16_INLINE i8_sums i8_sll32(i8_sums a, int n)
{
    return _mm512_slli_epi32(a, (unsigned)n);
}

V16_INLINE v16 i8_to_f32(i8_sums a)
{
    return _mm512_cvtepi32_ps(a);
}

V16_INLINE bool i8_whole_bits(const v16 x[2], uint32_t *bits)
{
    const i8_sums a = _mm512_cvtps_epi32(x[0]), b = _mm512_cvtps_epi32(x[1]);
    *bits = (uint32_t)_mm512_reduce_or_epi32(_mm512_or_si512(a, b));
    return !(_mm512_cmp_ps_mask(i8_to_f32(a), x[0], _CMP_NEQ_UQ) |
             _mm512_cmp_ps_mask(i8_to_f32(b), x[1], _CMP_NEQ_UQ));
}

V16_INLINE void i8_dot(int flush, i8_sums *part, i8_sums *sums, i8_quad w, i8_sums a)
{
    (void)flush;
    (void)part;
    *sums = _mm512_dpbusd_epi32(*sums, (__m512i)w.p[0], a);
}

V16_INLINE void i8_flush(i8_sums *part, i8_sums *sums)
{
    (void)part;
    (void)sums;
}

/* Codes of 32 activations over their scale, in the order of kernel/int8.h; sums of each 16 */
V16_INLINE void i8_store_codes(v16 a, v16 b, int8_t *to, int32_t sums[2])
{
    __m128i x = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a)),
            y = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(b));
    __m256i order = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15));
    _mm256_storeu_si256((__m256i *)(void *)to, _mm256_shuffle_epi8(_mm256_set_m128i(y, x), order));
    /* of the bytes: what a NaN becomes before it is cut would overflow */
    sums[0] = _mm512_reduce_add_epi32(_mm512_cvtepi8_epi32(x));
    sums[1] = _mm512_reduce_add_epi32(_mm512_cvtepi8_epi32(y));
}

#include "kernel/cpu/generic/int8.h"
#include "kernel/cpu/generic/whole_row.h"

void hone_kernels_vnni(hone_kernels *t)
{
    t->act_int8 = act_int8;
    t->product_int8 = product_int8;
    whole_slots(t);
    t->whole[HONE_LAYOUT_U4] = t->whole[HONE_LAYOUT_U6] = true;
}
