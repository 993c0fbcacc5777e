/*
 * NF4 with double quantisation (Dettmers et al., arXiv:2305.14314): 4-bit codes of a table whose
 * levels are quantiles of the normal distribution, a scale for every 64 elements, and the scales
 * themselves as integers 0..127 times one float16 for every 256. A format of hone's own, for
 * weights that stand still while an adapter is trained: what bitsandbytes stores has another coding
 * of scales (model/source/bitsandbytes.c), but the same levels and groups.
 *
 * Block of 256, 134 bytes: float16, int8 [4], nibbles as Q4_0 has them for each 32.
 */
#include "dtype/block.h"

enum { BYTES = 134, ELEMENTS = 256, GROUP = 64, GROUPS = 4, SCALES = 2, CODES = 6 };

/* Appendix E */
static const float table[16] = {-1.0f,
                                -0.6961928009986877f,
                                -0.5250730514526367f,
                                -0.39491748809814453f,
                                -0.28444138169288635f,
                                -0.18477343022823334f,
                                -0.09105003625154495f,
                                0.0f,
                                0.07958029955625534f,
                                0.16093020141124725f,
                                0.24611230194568634f,
                                0.33791524171829224f,
                                0.44070982933044434f,
                                0.5626170039176941f,
                                0.7229568362236023f,
                                1.0f};

static void supers(const uint8_t *src, float *scale, float *min)
{
    *scale = hone_load_f16(src);
    *min = 0.0f;
}

static void codes(const uint8_t *src, size_t blocks, int8_t *q, float *scales, float *mins)
{
    (void)mins;
    for (size_t b = 0; b < blocks; b++, src += BYTES) {
        for (int g = 0; g < GROUPS; g++)
            *scales++ = hone_load_f16(src) * (float)(int8_t)src[SCALES + g];
        for (int i = 0; i < ELEMENTS; i += HONE_BLOCK, q += HONE_BLOCK)
            hone_block_unpack4(src + CODES + i / 2, q);
    }
}

/* The nearest level; of two as near the lower one. */
static uint8_t nearest(float x)
{
    unsigned code = 0;
    for (unsigned step = 8; step; step /= 2)
        if (x > (table[code + step - 1] + table[code + step]) / 2)
            code += step;
    return (uint8_t)code;
}

static float peak(const float *x)
{
    float top = 0.0f;
    for (int i = 0; i < GROUP; i++)
        top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
    return top;
}

static bool encode_block(const float *src, uint8_t *dst)
{
    float tops[GROUPS], top = 0.0f;
    uint8_t q[ELEMENTS];
    for (int g = 0; g < GROUPS; g++) {
        tops[g] = peak(src + GROUP * g);
        top = tops[g] > top ? tops[g] : top;
    }
    if (!hone_floats_are_finite(src, ELEMENTS) || !hone_store_f16(dst, top / 127.0f))
        return false;
    float d = hone_load_f16(dst), inverse = hone_block_inverse(d);
    for (int g = 0; g < GROUPS; g++) {
        /* what is not zero keeps a scale of one unit at least */
        int s = hone_block_round(tops[g] * inverse);
        s = s > 127 ? 127 : s < 1 && tops[g] > 0.0f && inverse > 0.0f ? 1 : s;
        dst[SCALES + g] = (uint8_t)s;
        float unit = hone_block_inverse(d * (float)s);
        for (int i = 0; i < GROUP; i++)
            q[GROUP * g + i] = nearest(src[GROUP * g + i] * unit);
    }
    for (int i = 0; i < ELEMENTS; i += HONE_BLOCK)
        hone_block_pack4(q + i, dst + CODES + i / 2);
    return true;
}

static bool encode(const float *src, size_t blocks, uint8_t *dst)
{
    for (size_t b = 0; b < blocks; b++)
        if (!encode_block(src + b * ELEMENTS, dst + b * BYTES))
            return false;
    return true;
}

const hone_dtype_impl hone_dtype_impl_nf4 = {
    .codes = codes, .encode = encode, .supers = supers, .table = table};
