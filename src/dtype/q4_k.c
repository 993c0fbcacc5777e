/* Q4_K: 256 elements in 8 groups of 32. float16 d and dmin, scales and minima of 6 bits
 * (kscales.h), 128 bytes of low bits: 4 bits per code; value = d * scale * code - dmin * min. */
#include "dtype/fit.h"
#include "dtype/kscales.h"

enum { BYTES = 144, GROUPS = 8, SCALES = 4, LOW = 16 };

static void supers(const uint8_t *src, float *scale, float *min)
{
    *scale = hone_load_f16(src);
    *min = -hone_load_f16(src + 2);
}

static void codes(const uint8_t *src, size_t blocks, int8_t *q, float *scales, float *mins)
{
    for (size_t b = 0; b < blocks; b++, src += BYTES) {
        float d, m;
        supers(src, &d, &m);
        for (int g = 0; g < GROUPS; g++) {
            *scales++ = d * (float)hone_kscale(src + SCALES, g);
            *mins++ = m * (float)hone_kmin(src + SCALES, g);
            for (int i = 0; i < 32; i++) {
                unsigned code = src[LOW + g / 2 * 32 + i] >> 4 * (g % 2) & 15;
                *q++ = (int8_t)code;
            }
        }
    }
}

static bool encode_weighted(const float *src, const float *weights, size_t blocks, uint8_t *dst)
{
    static const hone_fit_shape shape = {32, {0, 15, NULL}, 0, 63, 63};
    for (size_t b = 0; b < blocks; b++, dst += BYTES, src += 256) {
        hone_fit_nested f;
        if (!hone_fit_nest(src, weights ? weights + 256 * b : NULL, &shape, &f))
            return false;
        memset(dst, 0, BYTES);
        hone_store_u16(dst, f.d);
        hone_store_u16(dst + 2, f.dmin);
        hone_kscales_put(dst + SCALES, f.scale, f.min);
        for (int i = 0; i < 256; i++) {
            int g = i / 32;
            uint8_t *low = dst + LOW + g / 2 * 32 + i % 32;
            *low = (uint8_t)(*low | (f.q[i] & 15) << 4 * (g % 2));
        }
    }
    return true;
}

const hone_dtype_impl hone_dtype_impl_q4_k = {
    .codes = codes, .encode_weighted = encode_weighted, .supers = supers};
