/* backward of the AVX2 set. */
#include "kernel/cpu/avx2/vec.h"

/* 8 x 8 numbers: pairs, then fours, then halves change places. */
static void transpose8(const float *x, size_t ldx, float *y, size_t ldy)
{
    __m256 a[8], b[8];
    for (size_t i = 0; i < 8; i++)
        a[i] = _mm256_loadu_ps(x + i * ldx);
    for (size_t i = 0; i < 8; i += 2) {
        b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
    }
    for (size_t i = 0; i < 8; i += 4) {
        a[i] = _mm256_shuffle_ps(b[i], b[i + 2], 0x44);
        a[i + 1] = _mm256_shuffle_ps(b[i], b[i + 2], 0xee);
        a[i + 2] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0x44);
        a[i + 3] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0xee);
    }
    for (size_t i = 0; i < 4; i++) {
        _mm256_storeu_ps(y + i * ldy, _mm256_permute2f128_ps(a[i], a[i + 4], 0x20));
        _mm256_storeu_ps(y + (i + 4) * ldy, _mm256_permute2f128_ps(a[i], a[i + 4], 0x31));
    }
}

static void transpose16(const float *x, size_t ldx, float *y, size_t ldy)
{
    for (size_t i = 0; i < 16; i += 8)
        for (size_t j = 0; j < 16; j += 8)
            transpose8(x + i * ldx + j, ldx, y + j * ldy + i, ldy);
}

static __m256i pair_words(__m256 even, __m256 odd)
{
    return _mm256_or_si256(_mm256_srli_epi32(_mm256_castps_si256(even), 16),
                           _mm256_castps_si256(odd));
}

static void put_bf16_pairs(uint8_t *to, v16 even, v16 odd)
{
    v16 e = v16_round_bf16(even), o = v16_round_bf16(odd);
    _mm256_storeu_si256((__m256i *)(void *)to, pair_words(e.lo, o.lo));
    _mm256_storeu_si256((__m256i *)(void *)(to + 32), pair_words(e.hi, o.hi));
}

#include "kernel/cpu/generic/backward.h"
#include "kernel/table.h"

void hone_kernels_avx2_back(hone_kernels *t)
{
    BACKWARD_SLOTS(t);
}
