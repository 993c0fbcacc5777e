/* IQ4_NL and IQ4_XS: 4-bit codes of a fixed table of unequal steps, groups of 32. IQ4_NL has a
 * float16 scale per group and its nibbles as Q4_0; IQ4_XS has 8 scales of 6 bits less 32, of which
 * two high bits lie in a word and four low ones in nibbles, and one float16. */
#include "dtype/fit.h"

enum { NL_BYTES = 18, XS_BYTES = 136, HIGH = 2, LOW = 4, CODES = 8 };

static const float table[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                1,    13,   25,  38,  53,  69,  89,  113};

static void codes_nl(const uint8_t *src, size_t blocks, int8_t *q, float *scales, float *mins)
{
    (void)mins;
    for (size_t b = 0; b < blocks; b++, src += NL_BYTES, q += HONE_BLOCK) {
        scales[b] = hone_load_f16(src);
        hone_block_unpack4(src + 2, q);
    }
}

static bool encode_nl(const float *src, const float *weights, size_t blocks, uint8_t *dst)
{
    static const hone_fit_codes c = {0, 15, table};
    for (size_t b = 0; b < blocks; b++, dst += NL_BYTES, src += HONE_BLOCK) {
        uint8_t q[HONE_BLOCK];
        const float *w = weights ? weights + b * HONE_BLOCK : NULL;
        if (!hone_fit_block(src, w, &c, dst, q))
            return false;
        hone_block_pack4(q, dst + 2);
    }
    return true;
}

const hone_dtype_impl hone_dtype_impl_iq4_nl = {
    .codes = codes_nl, .encode_weighted = encode_nl, .table = table};

static void supers(const uint8_t *src, float *scale, float *min)
{
    *scale = hone_load_f16(src);
    *min = 0.0f;
}

static void codes_xs(const uint8_t *src, size_t blocks, int8_t *q, float *scales, float *mins)
{
    (void)mins;
    for (size_t b = 0; b < blocks; b++, src += XS_BYTES)
        for (int g = 0; g < 8; g++, q += 32) {
            int s = src[LOW + g / 2] >> 4 * (g % 2) & 15;
            s |= (hone_load_u16(src + HIGH) >> 2 * g & 3) << 4;
            *scales++ = hone_load_f16(src) * (float)(s - 32);
            hone_block_unpack4(src + CODES + 16 * g, q);
        }
}

static bool encode_xs(const float *src, const float *weights, size_t blocks, uint8_t *dst)
{
    static const hone_fit_shape shape = {32, {0, 15, table}, -32, 31, 0};
    for (size_t b = 0; b < blocks; b++, dst += XS_BYTES, src += 256) {
        hone_fit_nested f;
        if (!hone_fit_nest(src, weights ? weights + 256 * b : NULL, &shape, &f))
            return false;
        memset(dst, 0, XS_BYTES);
        hone_store_u16(dst, f.d);
        unsigned high = 0;
        for (int g = 0; g < 8; g++) {
            int s = f.scale[g] + 32;
            high |= (unsigned)(s >> 4) << 2 * g;
            dst[LOW + g / 2] = (uint8_t)(dst[LOW + g / 2] | (s & 15) << 4 * (g % 2));
            hone_block_pack4((const uint8_t *)f.q + 32 * g, dst + CODES + 16 * g);
        }
        hone_store_u16(dst + HIGH, (uint16_t)high);
    }
    return true;
}

const hone_dtype_impl hone_dtype_impl_iq4_xs = {
    .codes = codes_xs, .encode_weighted = encode_xs, .supers = supers, .table = table};
