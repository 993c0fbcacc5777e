/* IQ2_XXS, IQ2_XS, IQ2_S: points of grids of {8, 25, 43} in eight dimensions with signs; scales of
 * 4 bits, odd multiples of one float16. Element = d * (2 s + 1) * (+-coordinate / 8). */
#include "dtype/block.h"
#include "dtype/grids.h"

enum { XXS_BYTES = 66, XS_BYTES = 74, S_BYTES = 82 };

static const float table[16] = {1.0f,  3.125f,  5.375f,  0, 0, 0, 0, 0,
                                -1.0f, -3.125f, -5.375f, 0, 0, 0, 0, 0};

static void supers(const uint8_t *src, float *scale, float *min)
{
    *scale = hone_load_f16(src);
    *min = 0.0f;
}

/* Per 32 elements: four bytes of points, then four times seven signs and the scale in a word. */
static void codes_xxs(const uint8_t *src, size_t blocks, int8_t *q, float *scales, float *mins)
{
    (void)mins;
    for (size_t b = 0; b < blocks; b++, src += XXS_BYTES) {
        for (size_t g = 0; g < 8; g++) {
            const uint8_t *at = src + 2 + 8 * g;
            uint32_t word = hone_load_u16(at + 4) | (uint32_t)hone_load_u16(at + 6) << 16;
            *scales++ = hone_load_f16(src) * (float)(2 * (word >> 28) + 1);
            for (int i = 0; i < 4; i++, q += 8)
                hone_grid_codes(hone_grid_iq2_xxs[at[i]], 8, 2,
                                hone_grid_signs(word >> 7 * i & 127), q);
        }
    }
}

static void codes_xs(const uint8_t *src, size_t blocks, int8_t *q, float *scales, float *mins)
{
    (void)mins;
    for (size_t b = 0; b < blocks; b++, src += XS_BYTES, scales += 16)
        for (size_t i = 0; i < 32; i++, q += 8) {
            size_t g = i / 2;
            unsigned word = hone_load_u16(src + 2 + 2 * i), s = src[66 + g / 2] >> 4 * (g % 2) & 15;
            scales[g] = hone_load_f16(src) * (float)(2 * s + 1);
            hone_grid_codes(hone_grid_iq2_xs[word & 511], 8, 2, hone_grid_signs(word >> 9), q);
        }
}

static void codes_s(const uint8_t *src, size_t blocks, int8_t *q, float *scales, float *mins)
{
    (void)mins;
    for (size_t b = 0; b < blocks; b++, src += S_BYTES, scales += 16)
        for (size_t i = 0; i < 32; i++, q += 8) {
            size_t g = i / 2;
            unsigned s = src[74 + g / 2] >> 4 * (g % 2) & 15;
            unsigned point = src[2 + i] | ((unsigned)src[66 + i / 4] >> 2 * (i % 4) & 3u) << 8;
            scales[g] = hone_load_f16(src) * (float)(2 * s + 1);
            hone_grid_codes(hone_grid_iq2_s[point], 8, 2, src[34 + i], q);
        }
}

const hone_dtype_impl hone_dtype_impl_iq2_xxs = {
    .codes = codes_xxs, .supers = supers, .table = table};
const hone_dtype_impl hone_dtype_impl_iq2_xs = {
    .codes = codes_xs, .supers = supers, .table = table};
const hone_dtype_impl hone_dtype_impl_iq2_s = {.codes = codes_s, .supers = supers, .table = table};
