/* quad - four rows of 16 codes in one AVX-512 register, for generic/int8_spread.h. I8_SIGNED: 0
 * adds 128 to codes of 8 bits. */
#ifndef HONE_KERNEL_AVX512_QUAD_H
#define HONE_KERNEL_AVX512_QUAD_H

#include "kernel/cpu/avx512/vec.h"

#define I8_VECTOR 64

typedef uint16_t i8_words __attribute__((vector_size(I8_VECTOR)));
typedef struct i8_quad {
    i8_words p[1];
} i8_quad;

V16_INLINE i8_quad i8_load(const uint8_t *at)
{
    return (i8_quad){{(i8_words)_mm512_loadu_si512((const void *)at)}};
}

V16_INLINE void i8_store(uint8_t *at, i8_quad q)
{
    _mm512_storeu_si512((void *)at, (__m512i)q.p[0]);
}

/* Rows r0..r3 of eight rows of 16 codes: their dwords side by side, then each 4 x 4 bytes turned;
 * plus 128 where they are multiplied without a sign. */
V16_INLINE i8_quad i8_rows(const uint8_t *at, int r0, int r1, int r2, int r3)
{
    __m512i index = _mm512_setr_epi32(r0 * 4, r1 * 4, r2 * 4, r3 * 4, r0 * 4 + 1, r1 * 4 + 1,
                                      r2 * 4 + 1, r3 * 4 + 1, r0 * 4 + 2, r1 * 4 + 2, r2 * 4 + 2,
                                      r3 * 4 + 2, r0 * 4 + 3, r1 * 4 + 3, r2 * 4 + 3, r3 * 4 + 3);
    __m512i turn =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    __m512i a = _mm512_loadu_si512((const void *)at),
            b = _mm512_loadu_si512((const void *)(at + 64));
    __m512i x = _mm512_shuffle_epi8(_mm512_permutex2var_epi32(a, index, b), turn);
    if (!I8_SIGNED)
        x = _mm512_xor_si512(x, _mm512_set1_epi8((char)0x80));
    return (i8_quad){{(i8_words)x}};
}

V16_INLINE i8_quad i8_lookup(const uint8_t *table, i8_quad q)
{
    __m512i t = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)table));
    return (i8_quad){{(i8_words)_mm512_shuffle_epi8(t, (__m512i)q.p[0])}};
}

#endif
