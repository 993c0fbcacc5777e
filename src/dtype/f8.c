/* The eight- and four-bit floats of safetensors files, read only.
 * F8_E4M3 (no infinity, NaN 0x7f and 0xff) and F8_E5M2 (IEEE-like): Micikevicius et al.,
 * arXiv:2209.05433, table 1. F8_E8M0 (2^(code - 127), NaN 0xff) and F4 (E2M1, two in a byte, the
 * first in the low half): OCP Microscaling Formats 1.0, section 5. */
#include "dtype/block.h"

/* Its bits are those of a float16 a bit lower down, with an exponent biased by 8 less. */
static void decode_e4m3(const uint8_t *src, size_t n, float *dst)
{
    for (size_t i = 0; i < n; i++) {
        unsigned h = (src[i] & 0x80u) << 8 | (src[i] & 0x7fu) << 7;
        dst[i] = (src[i] & 0x7f) == 0x7f ? NAN : hone_f16_to_f32((uint16_t)h) * 256.0f;
    }
}

/* The upper half of a float16. */
static void decode_e5m2(const uint8_t *src, size_t n, float *dst)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = hone_f16_to_f32((uint16_t)(src[i] << 8));
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
