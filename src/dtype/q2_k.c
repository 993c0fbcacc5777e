/* Q2_K: 256 elements in 16 groups of 16. 16 bytes of a scale (low) and a minimum (high) of 4 bits,
 * 64 bytes of codes, float16 d and dmin; value = d * scale * code - dmin * min. */
#include "dtype/fit.h"

enum { BYTES = 84, CODES = 16, D = 80 };

static void supers(const uint8_t *src, float *scale, float *min)
{
    *scale = hone_load_f16(src + D);
    *min = -hone_load_f16(src + D + 2);
}

static void codes(const uint8_t *src, size_t blocks, int8_t *q, float *scales, float *mins)
{
    for (size_t b = 0; b < blocks; b++, src += BYTES) {
        float d, m;
        supers(src, &d, &m);
        for (int g = 0; g < 16; g++) {
            *scales++ = d * (float)(src[g] & 15);
            *mins++ = m * (float)(src[g] >> 4);
        }
        for (int i = 0; i < 256; i++)
            *q++ = (int8_t)(src[CODES + i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3);
    }
}

static bool encode_weighted(const float *src, const float *weights, size_t blocks, uint8_t *dst)
{
    static const hone_fit_shape shape = {16, {0, 3, NULL}, 0, 15, 15};
    for (size_t b = 0; b < blocks; b++, dst += BYTES, src += 256) {
        hone_fit_nested f;
        if (!hone_fit_nest(src, weights ? weights + 256 * b : NULL, &shape, &f))
            return false;
        memset(dst, 0, BYTES);
        hone_store_u16(dst + D, f.d);
        hone_store_u16(dst + D + 2, f.dmin);
        for (int g = 0; g < 16; g++)
            dst[g] = (uint8_t)(f.scale[g] | f.min[g] << 4);
        for (int i = 0; i < 256; i++) {
            uint8_t *at = dst + CODES + i / 128 * 32 + i % 32;
            *at = (uint8_t)(*at | f.q[i] << i % 128 / 32 * 2);
        }
    }
    return true;
}

const hone_dtype_impl hone_dtype_impl_q2_k = {
    .codes = codes, .encode_weighted = encode_weighted, .supers = supers};
