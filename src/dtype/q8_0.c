/* Q8_0: float16 scale d, 32 int8 codes; value = d * code. ggml-quants.c, quantize_row_q8_0_ref. */
#include "dtype/block.h"

enum { BYTES = 34 };

static void codes(const uint8_t *src, size_t blocks, int8_t *q, float *scales, float *mins)
{
    (void)mins;
    for (size_t b = 0; b < blocks; b++, src += BYTES, q += HONE_BLOCK) {
        scales[b] = hone_load_f16(src);
        memcpy(q, src + 2, HONE_BLOCK);
    }
}

static void decode(const uint8_t *src, size_t blocks, float *dst)
{
    for (size_t b = 0; b < blocks; b++, src += BYTES, dst += HONE_BLOCK) {
        int8_t q[HONE_BLOCK];
        float d;
        codes(src, 1, q, &d, NULL);
        for (int i = 0; i < HONE_BLOCK; i++)
            dst[i] = d * (float)q[i];
    }
}

static bool encode(const float *src, size_t blocks, uint8_t *dst)
{
    for (size_t b = 0; b < blocks; b++, dst += BYTES, src += HONE_BLOCK) {
        if (!hone_block_is_finite(src))
            return false;
        float d = fabsf(hone_block_peak(src)) / 127.0f, inverse = hone_block_inverse(d);
        if (!hone_store_f16(dst, d))
            return false;
        for (int i = 0; i < HONE_BLOCK; i++) {
            int q = hone_block_round(src[i] * inverse);
            dst[2 + i] = (uint8_t)(int8_t)(q > 127 ? 127 : q < -127 ? -127 : q);
        }
    }
    return true;
}

const hone_dtype_impl hone_dtype_impl_q8_0 = {
    .decode = decode, .encode = encode, .codes = codes, .low = -128};
