/* expand - codes to bfloat16 tiles [k / 2][16][2], which hold them exactly. */
#ifndef HONE_KERNEL_AMX_EXPAND_H
#define HONE_KERNEL_AMX_EXPAND_H

#include "kernel/cpu/avx512/vec.h"
#include "kernel/layout.h"

/* Bytes of codes of a block of 32 of a panel */
static inline size_t expand_bytes(hone_layout layout)
{
    const hone_planes planes = hone_layout_planes(layout);
    return layout == HONE_LAYOUT_I8   ? 512
           : layout == HONE_LAYOUT_U4 ? 256
                                      : 64 * (planes.low + planes.high);
}

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

static void expand_planes(hone_layout layout, const uint8_t *codes, size_t blocks, float first,
                          uint8_t *to)
{
    if (layout == HONE_LAYOUT_U2)
        expand_planes_of(codes, blocks, first, 2, 0, to);
    else if (layout == HONE_LAYOUT_U3)
        expand_planes_of(codes, blocks, first, 2, 1, to);
    else if (layout == HONE_LAYOUT_U5)
        expand_planes_of(codes, blocks, first, 4, 1, to);
    else
        expand_planes_of(codes, blocks, first, 4, 2, to);
}

/* Codes of blocks of 32 from `from` on, as tiles */
static void expand_codes(const hone_packed *w, const uint8_t *panel, size_t from, size_t blocks,
                         uint8_t *to)
{
    hone_planes s = hone_layout_planes(w->layout);
    if (w->layout == HONE_LAYOUT_I8)
        expand_i8(panel + from * 512, blocks, to);
    else if (w->layout == HONE_LAYOUT_U4)
        expand_u4(panel + from * 256, blocks, w->table, to);
    else
        expand_planes(w->layout, panel + from * 64 * (s.low + s.high), blocks, w->low, to);
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
