/* MXFP4 and NVFP4: 4-bit floats E2M1, here as doubled integers. MXFP4: groups of 32 with a power of
 * two (E8M0; OCP Microscaling Formats 1.0). NVFP4: four groups of 16 with unsigned E4M3 scales. */
#include "dtype/fit.h"

enum { MX_BYTES = 17, NV_BYTES = 36 };

static const float table[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* 2^(e - 128): half of what E8M0 means, for the table is doubled. The two least are subnormal. */
static float half_power(unsigned e)
{
    return hone_f32_from_bits(e < 2 ? 0x200000u << e : (e - 1) << 23);
}

static void codes_mx(const uint8_t *src, size_t blocks, int8_t *q, float *scales, float *mins)
{
    (void)mins;
    for (size_t b = 0; b < blocks; b++, src += MX_BYTES, q += HONE_BLOCK) {
        scales[b] = half_power(src[0]);
        hone_block_unpack4(src + 1, q);
    }
}

/* The nearest codes (the lower of equals) with exponent e; their error */
static float with_exponent(const float *x, const float *w, unsigned e, uint8_t *q)
{
    float d = half_power(e), sum = 0.0f;
    for (int i = 0; i < HONE_BLOCK; i++) {
        int best = 0;
        for (int c = 1; c < 16; c++)
            if (fabsf(d * table[c] - x[i]) < fabsf(d * table[best] - x[i]))
                best = c;
        float rest = d * table[best] - x[i];
        q[i] = (uint8_t)best;
        sum += (w ? w[i] : 1.0f) * rest * rest;
    }
    return sum;
}

/* floor(log2 of the largest) - 2: it falls on 4..8 of the table's 6 */
static unsigned exponent_of(const float *x)
{
    float peak = fabsf(hone_block_peak(x));
    uint32_t e = hone_f32_bits(peak) >> 23;
    return peak == 0.0f || e < 2 ? 0 : e - 2;
}

static bool encode_mx(const float *src, size_t blocks, uint8_t *dst)
{
    for (size_t b = 0; b < blocks; b++, dst += MX_BYTES, src += HONE_BLOCK) {
        uint8_t q[HONE_BLOCK];
        if (!hone_block_is_finite(src))
            return false;
        dst[0] = (uint8_t)exponent_of(src);
        with_exponent(src, NULL, dst[0], q);
        hone_block_pack4(q, dst + 1);
    }
    return true;
}

static bool encode_mx_weighted(const float *src, const float *weights, size_t blocks, uint8_t *dst)
{
    for (size_t b = 0; b < blocks; b++, dst += MX_BYTES, src += HONE_BLOCK) {
        const float *w = weights ? weights + b * HONE_BLOCK : NULL;
        uint8_t q[HONE_BLOCK], best[HONE_BLOCK];
        if (!hone_block_is_finite(src))
            return false;
        unsigned first = exponent_of(src);
        float error = with_exponent(src, w, first, best);
        dst[0] = (uint8_t)first;
        for (unsigned e = first > 1 ? first - 1 : 0; e <= first + 1 && e < 255; e++) {
            float other = with_exponent(src, w, e, q);
            if (other < error) {
                error = other;
                dst[0] = (uint8_t)e;
                memcpy(best, q, sizeof best);
            }
        }
        hone_block_pack4(best, dst + 1);
    }
    return true;
}

const hone_dtype_impl hone_dtype_impl_mxfp4 = {.codes = codes_mx,
                                               .encode = encode_mx,
                                               .encode_weighted = encode_mx_weighted,
                                               .table = table,
                                               .wide = true};

static void codes_nv(const uint8_t *src, size_t blocks, int8_t *q, float *scales, float *mins)
{
    (void)mins;
    for (size_t b = 0; b < blocks; b++, src += NV_BYTES)
        for (int g = 0; g < 4; g++, q += 16) {
            unsigned s = src[g] & 127u, e = s >> 3, m = s & 7;
            float v =
                e ? (float)(8 + m) * hone_f32_from_bits((e + 116) << 23) : (float)m * 0x1p-10f;
            *scales++ = s == 127 ? 0.0f : v;
            for (int i = 0; i < 8; i++) {
                q[i] = (int8_t)(src[4 + 8 * g + i] & 15);
                q[i + 8] = (int8_t)(src[4 + 8 * g + i] >> 4);
            }
        }
}

const hone_dtype_impl hone_dtype_impl_nvfp4 = {.codes = codes_nv, .table = table};
