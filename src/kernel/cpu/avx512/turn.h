/* turn - what packing on AVX-512 is made of: 16 x 16 numbers transposed, two rows of a BF16 panel.
 */
#ifndef HONE_KERNEL_AVX512_TURN_H
#define HONE_KERNEL_AVX512_TURN_H

#include "kernel/cpu/avx512/vec.h"

/* Pairs, then fours, then quarters of the registers change places, in two rounds. */
static inline void transpose16(const float *x, size_t ldx, float *y, size_t ldy)
{
    __m512 a[16], b[16];
    for (size_t i = 0; i < 16; i++)
        a[i] = _mm512_loadu_ps(x + i * ldx);
    for (size_t i = 0; i < 16; i += 2) {
        b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
    }
    for (size_t i = 0; i < 16; i += 4) {
        a[i] = _mm512_shuffle_ps(b[i], b[i + 2], 0x44);
        a[i + 1] = _mm512_shuffle_ps(b[i], b[i + 2], 0xee);
        a[i + 2] = _mm512_shuffle_ps(b[i + 1], b[i + 3], 0x44);
        a[i + 3] = _mm512_shuffle_ps(b[i + 1], b[i + 3], 0xee);
    }
    for (size_t i = 0; i < 4; i++) {
        b[i] = _mm512_shuffle_f32x4(a[i], a[i + 4], 0x88);
        b[i + 4] = _mm512_shuffle_f32x4(a[i], a[i + 4], 0xdd);
        b[i + 8] = _mm512_shuffle_f32x4(a[i + 8], a[i + 12], 0x88);
        b[i + 12] = _mm512_shuffle_f32x4(a[i + 8], a[i + 12], 0xdd);
    }
    for (size_t i = 0; i < 4; i++) {
        _mm512_storeu_ps(y + i * ldy, _mm512_shuffle_f32x4(b[i], b[i + 8], 0x88));
        _mm512_storeu_ps(y + (i + 8) * ldy, _mm512_shuffle_f32x4(b[i], b[i + 8], 0xdd));
        _mm512_storeu_ps(y + (i + 4) * ldy, _mm512_shuffle_f32x4(b[i + 4], b[i + 12], 0x88));
        _mm512_storeu_ps(y + (i + 12) * ldy, _mm512_shuffle_f32x4(b[i + 4], b[i + 12], 0xdd));
    }
}

/* Rows k and k + 1 of a panel, number by number side by side */
static inline void put_bf16_pairs(uint8_t *to, v16 even, v16 odd)
{
#ifdef __AVX512BF16__
    static const uint16_t order[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                       21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                       11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    __m512i pairs = _mm512_permutexvar_epi16(_mm512_loadu_si512(order),
                                             (__m512i)_mm512_cvtne2ps_pbh(odd, even));
#else
    __m512i e = _mm512_castps_si512(v16_round_bf16(even)),
            o = _mm512_castps_si512(v16_round_bf16(odd)),
            pairs = _mm512_or_si512(_mm512_srli_epi32(e, 16), o);
#endif
    _mm512_storeu_si512((void *)to, pairs);
}

#endif
