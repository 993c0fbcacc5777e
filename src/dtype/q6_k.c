/* Q6_K: 256 elements in 16 groups of 16. 128 bytes of low bits, 64 of two high ones, 16 int8
 * scales, float16 d; value = d * scale * (code - 32). */
#include "dtype/fit.h"

enum { BYTES = 210, HIGH = 128, SCALES = 192, D = 208 };

static void supers(const uint8_t *src, float *scale, float *min)
{
    *scale = hone_load_f16(src + D);
    *min = 0.0f;
}

/* Element i: half i / 128; its low bits in byte i % 64 of the half's 64, its high ones in byte
 * i % 32 of the half's 32. */
static size_t low_at(int i, int *shift)
{
    *shift = i % 128 / 64 * 4;
    return (size_t)i / 128 * 64 + (size_t)i % 64;
}

static size_t high_at(int i, int *shift)
{
    *shift = i % 128 / 32 * 2;
    return HIGH + (size_t)i / 128 * 32 + (size_t)i % 32;
}

static void codes(const uint8_t *src, size_t blocks, int8_t *q, float *scales, float *mins)
{
    (void)mins;
    for (size_t b = 0; b < blocks; b++, src += BYTES) {
        for (int g = 0; g < 16; g++)
            *scales++ = hone_load_f16(src + D) * (float)(int8_t)src[SCALES + g];
        for (int i = 0; i < 256; i++) {
            int low, high;
            size_t l = low_at(i, &low), h = high_at(i, &high);
            unsigned code = ((unsigned)src[l] >> low & 15u) | ((unsigned)src[h] >> high & 3u) << 4;
            *q++ = (int8_t)((int)code - 32);
        }
    }
}

static bool encode_weighted(const float *src, const float *weights, size_t blocks, uint8_t *dst)
{
    static const hone_fit_shape shape = {16, {-32, 31, NULL}, -128, 127, 0};
    for (size_t b = 0; b < blocks; b++, dst += BYTES, src += 256) {
        hone_fit_nested f;
        if (!hone_fit_nest(src, weights ? weights + 256 * b : NULL, &shape, &f))
            return false;
        memset(dst, 0, BYTES);
        hone_store_u16(dst + D, f.d);
        for (int g = 0; g < 16; g++)
            dst[SCALES + g] = (uint8_t)(int8_t)f.scale[g];
        for (int i = 0; i < 256; i++) {
            int low, high, code = f.q[i] + 32;
            size_t l = low_at(i, &low), h = high_at(i, &high);
            dst[l] = (uint8_t)(dst[l] | (code & 15) << low);
            dst[h] = (uint8_t)(dst[h] | code >> 4 << high);
        }
    }
    return true;
}

const hone_dtype_impl hone_dtype_impl_q6_k = {
    .codes = codes, .encode_weighted = encode_weighted, .supers = supers, .low = -32};
