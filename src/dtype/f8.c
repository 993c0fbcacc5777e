/* The eight- and four-bit floats of safetensors files, read only.
 * F8_E4M3 (no infinity, NaN 0x7f and 0xff) and F8_E5M2 (IEEE-like): Micikevicius et al.,
 * arXiv:2209.05433, table 1. F8_E8M0 (2^(code - 127), NaN 0xff) and F4 (E2M1, two in a byte, the
 * first in the low half): OCP Microscaling Formats 1.0, section 5. */
#include "dtype/block.h"

/* Of `mantissa` bits; the exponent has the rest of seven, biased by half its range. */
static float minifloat(unsigned code, int mantissa, bool ieee)
{
    int bias = (1 << (6 - mantissa)) - 1, top = (1 << (7 - mantissa)) - 1;
    int e = (int)(code & 0x7f) >> mantissa, m = (int)code & ((1 << mantissa) - 1);
    float sign = code & 0x80 ? -1.0f : 1.0f;
    if (ieee ? e == top : (code & 0x7f) == 0x7f)
        return ieee && m == 0 ? sign * INFINITY : NAN;
    int shift = (e ? e : 1) - bias - mantissa; /* a power of two far from float32's ends */
    return sign * (float)(e ? m + (1 << mantissa) : m) *
           hone_f32_from_bits((uint32_t)(shift + 127) << 23);
}

static void decode_e4m3(const uint8_t *src, size_t n, float *dst)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = minifloat(src[i], 3, false);
}

static void decode_e5m2(const uint8_t *src, size_t n, float *dst)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = minifloat(src[i], 2, true);
}

static void decode_e8m0(const uint8_t *src, size_t n, float *dst)
{
    for (size_t i = 0; i < n; i++) /* 2^-127 is subnormal in float32 */
        dst[i] = src[i] == 255 ? NAN
                 : src[i] == 0 ? hone_f32_from_bits(1u << 22)
                               : hone_f32_from_bits((uint32_t)src[i] << 23);
}

static void decode_f4(const uint8_t *src, size_t blocks, float *dst)
{
    static const float values[16] = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                                     -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};
    for (size_t i = 0; i < blocks; i++) {
        dst[2 * i] = values[src[i] & 15];
        dst[2 * i + 1] = values[src[i] >> 4];
    }
}

const hone_dtype_impl hone_dtype_impl_f8_e4m3 = {.decode = decode_e4m3};
const hone_dtype_impl hone_dtype_impl_f8_e5m2 = {.decode = decode_e5m2};
const hone_dtype_impl hone_dtype_impl_f8_e8m0 = {.decode = decode_e8m0};
const hone_dtype_impl hone_dtype_impl_f4 = {.decode = decode_f4};
