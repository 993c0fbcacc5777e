/* IQ1_S and IQ1_M: points of a grid of {-1, 0, 1} in eight dimensions, moved by 1/8 up or down;
 * 8 scales of 3 bits for groups of 32 (IQ1_S) or 16 of groups of 16 (IQ1_M), odd multiples of one
 * float16. Element = d * (2 s + 1) * (coordinate +- 1/8). */
#include "dtype/block.h"
#include "dtype/grids.h"

enum { S_BYTES = 50, M_BYTES = 56 };

/* code: coordinate + 1, and 8 for the shift down */
static const float table[16] = {-0.875f, 0.125f,  1.125f, 0, 0, 0, 0, 0,
                                -1.125f, -0.125f, 0.875f, 0, 0, 0, 0, 0};

static void codes_s(const uint8_t *src, size_t blocks, int8_t *q, float *scales, float *mins)
{
    (void)mins;
    for (size_t b = 0; b < blocks; b++, src += S_BYTES, scales += 8) {
        float d = hone_load_f16(src);
        for (size_t i = 0; i < 32; i++, q += 8) {
            unsigned h = hone_load_u16(src + 34 + i / 4 * 2);
            scales[i / 4] = d * (float)(2 * (h >> 12 & 7) + 1);
            unsigned point = src[2 + i] | (h >> 3 * (i % 4) & 7) << 8;
            hone_grid_codes(hone_grid_iq1[point], 8, 2, h & 0x8000 ? 255 : 0, q);
        }
    }
}

static void supers_s(const uint8_t *src, float *scale, float *min)
{
    *scale = hone_load_f16(src);
    *min = 0.0f;
}

const hone_dtype_impl hone_dtype_impl_iq1_s = {
    .codes = codes_s, .supers = supers_s, .table = table};

/* The float16 lies in the upper four bits of four words. */
static void supers_m(const uint8_t *src, float *scale, float *min)
{
    uint16_t d = 0;
    for (int i = 0; i < 4; i++)
        d = (uint16_t)(d | (hone_load_u16(src + 48 + 2 * i) >> 12) << 4 * i);
    *scale = hone_f16_to_f32(d);
    *min = 0.0f;
}

static void codes_m(const uint8_t *src, size_t blocks, int8_t *q, float *scales, float *mins)
{
    (void)mins;
    for (size_t b = 0; b < blocks; b++, src += M_BYTES, scales += 16) {
        float d, none;
        supers_m(src, &d, &none);
        for (size_t i = 0; i < 32; i++, q += 8) {
            size_t g = i / 2;
            unsigned h = src[32 + g] >> 4 * (i % 2) & 15;
            unsigned s = hone_load_u16(src + 48 + g / 4 * 2) >> 3 * (g % 4) & 7;
            scales[g] = d * (float)(2 * s + 1);
            hone_grid_codes(hone_grid_iq1[src[i] | (h & 7) << 8], 8, 2, h & 8 ? 255 : 0, q);
        }
    }
}

const hone_dtype_impl hone_dtype_impl_iq1_m = {
    .codes = codes_m, .supers = supers_m, .table = table};
