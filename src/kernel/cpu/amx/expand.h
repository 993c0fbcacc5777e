/* expand - codes to bfloat16 tiles [k / 2][16][2], which hold them exactly. */
#ifndef HONE_KERNEL_AMX_EXPAND_H
#define HONE_KERNEL_AMX_EXPAND_H

#include "kernel/cpu/avx512/vec.h"

/* Two rows of 16 floats that bfloat16 holds -> a row of a tile */
V16_INLINE __m512i expand_pair(v16 even, v16 odd)
{
    return _mm512_or_si512(_mm512_srli_epi32(_mm512_castps_si512(even), 16),
                           _mm512_castps_si512(odd));
}

/* 4 rows of 16 int8 codes -> 2 rows [16][2] of a bf16 tile */
V16_INLINE void expand_i8(const uint8_t *codes, size_t blocks, uint8_t *to)
{
    for (size_t k = 0; k < blocks * 32; k += 2) {
        __m128i e = _mm_loadu_si128((const __m128i *)(const void *)(codes + k * 16));
        __m128i o = _mm_loadu_si128((const __m128i *)(const void *)(codes + k * 16 + 16));
        __m512i even = _mm512_castps_si512(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(e)));
        __m512i odd = _mm512_castps_si512(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(o)));
        /* an integer of 8 bits is exact in the upper half: the lower half of `odd` is zero */
        __m512i pair = _mm512_or_si512(_mm512_srli_epi32(even, 16), odd);
        _mm512_storeu_si512((void *)(to + k * 32), pair);
    }
}

/* A table of 16 numbers for VPERMW, which looks at five bits of the index: each of them twice. */
static __m512i words_u4(const float table[16])
{
    uint16_t words[32];
    for (int i = 0; i < 32; i++)
        words[i] = hone_f32_to_bf16(table[i % 16]);
    return _mm512_loadu_si512((const void *)words);
}

/* One unit of 8 rows holds 4 rows of a tile: nibble i of each word, looked up. */
V16_INLINE void expand_words_u4(const uint8_t *codes, size_t blocks, __m512i t, uint8_t *to)
{
    for (size_t unit = 0; unit < blocks * 4; unit++, to += 256) {
        __m512i x = _mm512_loadu_si512((const void *)(codes + unit * 64));
        _mm512_storeu_si512((void *)to, _mm512_permutexvar_epi16(x, t));
        _mm512_storeu_si512((void *)(to + 64),
                            _mm512_permutexvar_epi16(_mm512_srli_epi16(x, 4), t));
        _mm512_storeu_si512((void *)(to + 128),
                            _mm512_permutexvar_epi16(_mm512_srli_epi16(x, 8), t));
        _mm512_storeu_si512((void *)(to + 192),
                            _mm512_permutexvar_epi16(_mm512_srli_epi16(x, 12), t));
    }
}

static void expand_u4(const uint8_t *codes, size_t blocks, const float table[16], uint8_t *to)
{
    expand_words_u4(codes, blocks, words_u4(table), to);
}

/* Planes: the words of vec.h are the rows of a tile as they come. */
V16_INLINE void expand_planes_of(const uint8_t *codes, size_t blocks, float first, int low,
                                 int high, uint8_t *to)
{
    v16_table t = v16_table_linear(first);
    for (size_t b = 0; b < blocks; b++, codes += 64 * (low + high))
        for (size_t p = 0; p < 2; p++)
            for (int i = 0; i < 8; i++, to += 64)
                _mm512_storeu_si512((void *)to,
                                    v16_words_planes(codes, p, i / 4, i % 4, low, high, t));
}

static void expand_fp8(const uint8_t *codes, size_t blocks, int mantissa, uint8_t *to)
{
    for (size_t i = 0; i < blocks * 16; i++) {
        v16 even, odd;
        v16_pair_fp8(codes, i / 4, (int)(i % 4), mantissa, &even, &odd);
        _mm512_storeu_si512((void *)(to + i * 64), expand_pair(even, odd));
    }
}

#endif
