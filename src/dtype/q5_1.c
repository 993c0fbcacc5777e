/* Q5_1: float16 scale d and minimum m, 32 fifth bits, 16 bytes of low bits; value = d * code + m.
 * ggml-quants.c, quantize_row_q5_1_ref, without fused multiply-add. */
#include "dtype/fit.h"

enum { BYTES = 24, TOP = 31 };

static void codes(const uint8_t *src, size_t blocks, int8_t *q, float *scales, float *mins)
{
    for (size_t b = 0; b < blocks; b++, src += BYTES, q += HONE_BLOCK) {
        scales[b] = hone_load_f16(src);
        mins[b] = hone_load_f16(src + 2);
        hone_block_unpack5(src + 4, q);
    }
}

static void decode(const uint8_t *src, size_t blocks, float *dst)
{
    for (size_t b = 0; b < blocks; b++, src += BYTES, dst += HONE_BLOCK) {
        int8_t q[HONE_BLOCK];
        float d, m;
        codes(src, 1, q, &d, &m);
        for (int i = 0; i < HONE_BLOCK; i++)
            dst[i] = d * (float)q[i] + m;
    }
}

static bool encode(const float *src, size_t blocks, uint8_t *dst)
{
    for (size_t b = 0; b < blocks; b++, dst += BYTES, src += HONE_BLOCK) {
        if (!hone_block_is_finite(src))
            return false;
        float low, high;
        hone_block_range(src, &low, &high);
        float d = (high - low) / (float)TOP, inverse = hone_block_inverse(d);
        if (!hone_store_f16(dst, d) || !hone_store_f16(dst + 2, low))
            return false;
        uint8_t q[HONE_BLOCK];
        for (int i = 0; i < HONE_BLOCK; i++)
            q[i] = hone_block_code((src[i] - low) * inverse + 0.5f, TOP);
        hone_block_pack5(q, dst + 4);
    }
    return true;
}

static bool encode_weighted(const float *src, const float *weights, size_t blocks, uint8_t *dst)
{
    for (size_t b = 0; b < blocks; b++, dst += BYTES) {
        uint8_t q[HONE_BLOCK];
        if (!hone_fit_block_min(src + b * HONE_BLOCK, weights + b * HONE_BLOCK, 31, dst, q))
            return false;
        hone_block_pack5(q, dst + 4);
    }
    return true;
}

const hone_dtype_impl hone_dtype_impl_q5_1 = {
    .decode = decode, .encode = encode, .codes = codes, .encode_weighted = encode_weighted};
