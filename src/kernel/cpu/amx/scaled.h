/* scaled - what products of 30 rows have in common whose sums C stay in registers, two tiles of 15
 * rows giving the D of each group. */
#ifndef HONE_KERNEL_AMX_SCALED_H
#define HONE_KERNEL_AMX_SCALED_H

#include "kernel/cpu/avx512/vec.h"
#include "kernel/kernel.h"

enum { SCALED_ROWS = 30 };

/* A call of a kernel: rows [row0, row1) by panels [panel0, panel1). */
typedef struct tile_call {
    const hone_packed *w;
    const hone_act *a;
    size_t row0, row1, panel0, panel1;
    float *y;
    size_t ldy;
    const float *bias;
    uint8_t *scratch;
    uint8_t table[16]; /* int8: the codes' values */
    size_t shape;      /* int8: rows that the tiles are configured for; 0 = not yet */
} tile_call;

/* bf16 of row `row` (rows begin at multiples of the tiles' rows) at a block of 32 */
static inline uint16_t *act_tile(const hone_act *a, size_t row, size_t block)
{
    size_t rows = a->tile_rows;
    return a->bf16 + (row / rows * (a->k_pad / 32) + block) * rows * 32 + row % rows * 32;
}

/* Numbers that are rounded already, as bfloat16 */
V16_INLINE __m512i act_halves(v16 low, v16 high)
{
    const __m512i words =
        _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27,
                         25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    return _mm512_permutex2var_epi16(_mm512_castps_si512(low), words, _mm512_castps_si512(high));
}

/* Elements [k0, k1) of rows [row0, row1), in whole blocks of 32, from f32 to the tiles */
static inline void act_floats_to_tiles(hone_act *a, size_t row0, size_t row1, size_t k0, size_t k1)
{
    for (size_t r = row0; r < row1 && !(a->flags & HONE_ACT_F32); r++)
        for (size_t k = k0; k < k1; k += 32) {
            const float *at = a->f32 + r * a->ld + k;
            _mm512_storeu_si512((void *)act_tile(a, r, k / 32),
                                act_halves(v16_load(at), v16_load(at + 16)));
        }
}

#define EACH_10(M, t)                                                                              \
    M(t##0) M(t##1) M(t##2) M(t##3) M(t##4) M(t##5) M(t##6) M(t##7) M(t##8) M(t##9)
#define EACH_30(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) EACH_10(M, 1) EACH_10(M, 2)

/* Scales (or mins) of 16 columns of group g */
V16_INLINE v16 scales_of(const hone_packed *w, const uint8_t *at, const uint8_t *super, size_t g)
{
    if (w->scale_bytes == 2)
        return v16_load_f16((const uint16_t *)(const void *)(at + g * 32));
    if (w->scale_bytes == 4)
        return v16_load((const float *)(const void *)(at + g * 64));
    v16 s = v16_load_f16((const uint16_t *)(const void *)(super + g * w->group / 256 * 32));
    return v16_mul(s, v16_load_i8(at + g * 16));
}

#endif
