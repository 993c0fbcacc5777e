/* IQ3_XXS, IQ3_S: points of grids in four dimensions with signs; scales of 4 bits for groups of 32,
 * odd multiples of one float16. Element = d * (2 s + 1) * (+-coordinate), of IQ3_XXS / 4. */
#include "dtype/block.h"
#include "dtype/grids.h"

enum { XXS_BYTES = 98, S_BYTES = 110 };

static const float table_xxs[16] = {1.0f,  3.0f,  5.0f,  7.0f,  9.0f,  11.0f,  13.0f,  15.5f,
                                    -1.0f, -3.0f, -5.0f, -7.0f, -9.0f, -11.0f, -13.0f, -15.5f};
static const float table_s[16] = {1.0f,  3.0f,  5.0f,  7.0f,  9.0f,  11.0f,  13.0f,  15.0f,
                                  -1.0f, -3.0f, -5.0f, -7.0f, -9.0f, -11.0f, -13.0f, -15.0f};

static void supers(const uint8_t *src, float *scale, float *min)
{
    *scale = hone_load_f16(src);
    *min = 0.0f;
}

static void codes_xxs(const uint8_t *src, size_t blocks, int8_t *q, float *scales, float *mins)
{
    (void)mins;
    for (size_t b = 0; b < blocks; b++, src += XXS_BYTES)
        for (size_t g = 0; g < 8; g++) {
            const uint8_t *at = src + 66 + 4 * g;
            uint32_t word = hone_load_u16(at) | (uint32_t)hone_load_u16(at + 2) << 16;
            *scales++ = hone_load_f16(src) * (float)(2 * (word >> 28) + 1);
            for (size_t i = 0; i < 8; i++, q += 4) {
                unsigned signs = hone_grid_signs(word >> 7 * (i / 2) & 127) >> 4 * (i % 2);
                hone_grid_codes(hone_grid_iq3_xxs[src[2 + 8 * g + i]], 4, 3, signs, q);
            }
        }
}

static void codes_s(const uint8_t *src, size_t blocks, int8_t *q, float *scales, float *mins)
{
    (void)mins;
    for (size_t b = 0; b < blocks; b++, src += S_BYTES, scales += 8)
        for (size_t i = 0; i < 64; i++, q += 4) {
            size_t g = i / 8;
            unsigned s = src[106 + g / 2] >> 4 * (g % 2) & 15;
            unsigned point = src[2 + i] | (src[66 + g] >> i % 8 & 1u) << 8;
            scales[g] = hone_load_f16(src) * (float)(2 * s + 1);
            hone_grid_codes(hone_grid_iq3_s[point], 4, 3, (unsigned)src[74 + i / 2] >> 4 * (i % 2),
                            q);
        }
}

const hone_dtype_impl hone_dtype_impl_iq3_xxs = {
    .codes = codes_xxs, .supers = supers, .table = table_xxs};
const hone_dtype_impl hone_dtype_impl_iq3_s = {
    .codes = codes_s, .supers = supers, .table = table_s};
