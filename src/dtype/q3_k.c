/* Q3_K: 256 elements in 16 groups of 16. 32 bytes of high bits (1 = code 4..7), 64 bytes of two low
 * bits, 16 scales of 6 bits in 12 bytes, float16 d; value = d * (scale - 32) * (code - 4). */
#include "dtype/fit.h"

enum { BYTES = 110, LOW = 32, SCALES = 96, D = 108 };

static void supers(const uint8_t *src, float *scale, float *min)
{
    *scale = hone_load_f16(src + D);
    *min = 0.0f;
}

/* Four low bits of scale g in nibble g / 8 of byte g % 8, two high ones in byte 8 + g % 4 */
static int scale_of(const uint8_t *s, int g)
{
    return ((s[g % 8] >> 4 * (g / 8) & 15) | (s[8 + g % 4] >> 2 * (g / 4) & 3) << 4) - 32;
}

static void codes(const uint8_t *src, size_t blocks, int8_t *q, float *scales, float *mins)
{
    (void)mins;
    for (size_t b = 0; b < blocks; b++, src += BYTES) {
        for (int g = 0; g < 16; g++)
            *scales++ = hone_load_f16(src + D) * (float)scale_of(src + SCALES, g);
        for (int i = 0; i < 256; i++) {
            int low = src[LOW + i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
            *q++ = (int8_t)(low + (src[i % 32] >> i / 32 & 1) * 4 - 4);
        }
    }
}

static bool encode_weighted(const float *src, const float *weights, size_t blocks, uint8_t *dst)
{
    static const hone_fit_shape shape = {16, {-4, 3, NULL}, -32, 31, 0};
    for (size_t b = 0; b < blocks; b++, dst += BYTES, src += 256) {
        hone_fit_nested f;
        if (!hone_fit_nest(src, weights ? weights + 256 * b : NULL, &shape, &f))
            return false;
        memset(dst, 0, BYTES);
        hone_store_u16(dst + D, f.d);
        for (int g = 0; g < 16; g++) {
            int s = f.scale[g] + 32;
            uint8_t *low = dst + SCALES + g % 8, *high = dst + SCALES + 8 + g % 4;
            *low = (uint8_t)(*low | (s & 15) << 4 * (g / 8));
            *high = (uint8_t)(*high | s >> 4 << 2 * (g / 4));
        }
        for (int i = 0; i < 256; i++) {
            int code = f.q[i] + 4;
            uint8_t *low = dst + LOW + i / 128 * 32 + i % 32, *high = dst + i % 32;
            *low = (uint8_t)(*low | (code & 3) << i % 128 / 32 * 2);
            *high = (uint8_t)(*high | code >> 2 << i / 32);
        }
    }
    return true;
}

const hone_dtype_impl hone_dtype_impl_q3_k = {
    .codes = codes, .encode_weighted = encode_weighted, .supers = supers, .low = -4};
