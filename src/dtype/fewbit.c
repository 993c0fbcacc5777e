/* Formats of one or two bits with one float16 scale: TQ1_0 (ternary digits, five in a byte), TQ2_0
 * (2 bits, -1..2, groups of 256), Q2_0 (the same in groups of 64), Q1_0 (-1 or 1, groups of 128).
 */
#include "dtype/block.h"

enum { TQ1_BYTES = 54, TQ2_BYTES = 66, Q2_BYTES = 18, Q1_BYTES = 18 };

/* Runs of bytes whose n-th ternary digits are the n-th run of as many elements: {bytes, digits} */
static const struct {
    size_t bytes, digits;
} tq1_runs[] = {{32, 5}, {16, 5}, {4, 4}};

static void codes_tq1(const uint8_t *src, size_t blocks, int8_t *q, float *scales, float *mins)
{
    (void)mins;
    for (size_t b = 0; b < blocks; b++, src += TQ1_BYTES) {
        scales[b] = hone_load_f16(src + 52);
        const uint8_t *at = src;
        for (int run = 0; run < 3; at += tq1_runs[run++].bytes) {
            unsigned power = 1;
            for (size_t n = 0; n < tq1_runs[run].digits; n++, power *= 3)
                for (size_t i = 0; i < tq1_runs[run].bytes; i++)
                    *q++ = (int8_t)((int)((at[i] * power & 255) * 3 >> 8) - 1);
        }
    }
}

static void codes_tq2(const uint8_t *src, size_t blocks, int8_t *q, float *scales, float *mins)
{
    (void)mins;
    for (size_t b = 0; b < blocks; b++, src += TQ2_BYTES) {
        scales[b] = hone_load_f16(src + 64);
        for (size_t i = 0; i < 256; i++)
            *q++ = (int8_t)((src[i / 128 * 32 + i % 32] >> 2 * (i % 128 / 32) & 3) - 1);
    }
}

static void codes_q2(const uint8_t *src, size_t blocks, int8_t *q, float *scales, float *mins)
{
    (void)mins;
    for (size_t b = 0; b < blocks; b++, src += Q2_BYTES) {
        scales[b] = hone_load_f16(src);
        for (size_t i = 0; i < 64; i++)
            *q++ = (int8_t)((src[2 + i / 4] >> 2 * (i % 4) & 3) - 1);
    }
}

static void codes_q1(const uint8_t *src, size_t blocks, int8_t *q, float *scales, float *mins)
{
    (void)mins;
    for (size_t b = 0; b < blocks; b++, src += Q1_BYTES) {
        scales[b] = hone_load_f16(src);
        for (size_t i = 0; i < 128; i++)
            *q++ = (int8_t)(2 * (src[2 + i / 8] >> i % 8 & 1) - 1);
    }
}

/* Ternary digits 0..2 of 256 elements by the largest magnitude, and the scale */
static bool ternary(const float *x, uint8_t *digits, uint8_t *scale)
{
    float d = 0.0f;
    if (!hone_floats_are_finite(x, 256))
        return false;
    for (int i = 0; i < 256; i++)
        d = fabsf(x[i]) > d ? fabsf(x[i]) : d;
    float inverse = hone_block_inverse(d);
    for (int i = 0; i < 256; i++)
        digits[i] = (uint8_t)(hone_block_round(x[i] * inverse) + 1);
    return hone_store_f16(scale, d);
}

static bool encode_tq1(const float *src, size_t blocks, uint8_t *dst)
{
    uint8_t digits[256];
    for (size_t b = 0; b < blocks; b++, dst += TQ1_BYTES, src += 256) {
        if (!ternary(src, digits, dst + 52))
            return false;
        const uint8_t *from = digits;
        uint8_t *to = dst;
        for (int run = 0; run < 3; run++) {
            size_t n = tq1_runs[run].bytes, count = tq1_runs[run].digits;
            for (size_t i = 0; i < n; i++) {
                unsigned v = 0;
                for (size_t k = 0; k < 5; k++)
                    v = v * 3 + (k < count ? from[k * n + i] : 0);
                *to++ = (uint8_t)((v * 256 + 242) / 243);
            }
            from += n * count;
        }
    }
    return true;
}

static bool encode_tq2(const float *src, size_t blocks, uint8_t *dst)
{
    uint8_t digits[256];
    for (size_t b = 0; b < blocks; b++, dst += TQ2_BYTES, src += 256) {
        if (!ternary(src, digits, dst + 64))
            return false;
        memset(dst, 0, 64);
        for (size_t i = 0; i < 256; i++) {
            uint8_t *at = dst + i / 128 * 32 + i % 32;
            *at = (uint8_t)(*at | digits[i] << 2 * (i % 128 / 32));
        }
    }
    return true;
}

const hone_dtype_impl hone_dtype_impl_tq1_0 = {.codes = codes_tq1, .encode = encode_tq1, .low = -1};
const hone_dtype_impl hone_dtype_impl_tq2_0 = {.codes = codes_tq2, .encode = encode_tq2, .low = -1};
const hone_dtype_impl hone_dtype_impl_q2_0 = {.codes = codes_q2, .low = -1};
const hone_dtype_impl hone_dtype_impl_q1_0 = {.codes = codes_q1, .low = -1};
