/* Q4_0: float16 scale d, 16 bytes of 4-bit codes; value = d * (code - 8).
 * ggml-quants.c, quantize_row_q4_0_ref, without fused multiply-add. */
#include "dtype/fit.h"

enum { BYTES = 18, OFFSET = 8 };

static void codes(const uint8_t *src, size_t blocks, int8_t *q, float *scales, float *mins)
{
    (void)mins;
    for (size_t b = 0; b < blocks; b++, src += BYTES, q += HONE_BLOCK) {
        scales[b] = hone_load_f16(src);
        hone_block_unpack4(src + 2, q);
    }
}

static void decode(const uint8_t *src, size_t blocks, float *dst)
{
    for (size_t b = 0; b < blocks; b++, src += BYTES, dst += HONE_BLOCK) {
        int8_t q[HONE_BLOCK];
        float d;
        codes(src, 1, q, &d, NULL);
        for (int i = 0; i < HONE_BLOCK; i++)
            dst[i] = d * (float)(q[i] - OFFSET);
    }
}

static bool encode(const float *src, size_t blocks, uint8_t *dst)
{
    for (size_t b = 0; b < blocks; b++, dst += BYTES, src += HONE_BLOCK) {
        if (!hone_block_is_finite(src))
            return false;
        float d = hone_block_peak(src) / -(float)OFFSET, inverse = hone_block_inverse(d);
        if (!hone_store_f16(dst, d))
            return false;
        uint8_t q[HONE_BLOCK];
        for (int i = 0; i < HONE_BLOCK; i++)
            q[i] = hone_block_code(src[i] * inverse + ((float)OFFSET + 0.5f), 2 * OFFSET - 1);
        hone_block_pack4(q, dst + 2);
    }
    return true;
}

static bool encode_weighted(const float *src, const float *weights, size_t blocks, uint8_t *dst)
{
    static const hone_fit_codes c = {-8, 7, NULL};
    for (size_t b = 0; b < blocks; b++, dst += BYTES) {
        uint8_t q[HONE_BLOCK];
        if (!hone_fit_block(src + b * HONE_BLOCK, weights + b * HONE_BLOCK, &c, dst, q))
            return false;
        hone_block_pack4(q, dst + 2);
    }
    return true;
}

const hone_dtype_impl hone_dtype_impl_q4_0 = {
    .decode = decode, .encode = encode, .codes = codes, .encode_weighted = encode_weighted};
