/*
 * block - what the format files of this room share: the shape of an implementation, unaligned
 * access, and the bit layouts that several block formats have in common. Private to dtype/.
 */
#ifndef HONE_DTYPE_BLOCK_H
#define HONE_DTYPE_BLOCK_H

#include "dtype/half.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

enum { HONE_BLOCK = 32, HONE_NIBBLES = HONE_BLOCK / 2 };

/* All work on whole blocks; NULL where a format has none. See dtype.h for the contracts. */
typedef struct hone_dtype_impl {
    /* NULL: scale * value (+ min) of codes */
    void (*decode)(const uint8_t *src, size_t blocks, float *dst);
    bool (*encode)(const float *src, size_t blocks, uint8_t *dst);
    void (*codes)(const uint8_t *src, size_t blocks, int8_t *codes, float *scales, float *mins);
    /* Encodes so that the sum of weight * error^2 is small. NULL: encode */
    bool (*encode_weighted)(const float *src, const float *weights, size_t blocks, uint8_t *dst);
    /* Of formats with nested scales (blocks of 256): what they are multiples of */
    void (*supers)(const uint8_t *src, float *scale, float *min);
    const float *table; /* of 4-bit codes; NULL: the codes, less 8 if there is no minimum */
    int low;            /* value of the least code, of other codes */
    bool wide;          /* scales are float32 numbers */
} hone_dtype_impl;

#define X(ID, name, st, ggml, elements, bytes, group, bits, min)                                   \
    extern const hone_dtype_impl hone_dtype_impl_##name;
#include "dtype/formats.def"

/* Below this a scale is taken as zero: far under the smallest float16 (2^-24), so the stored scale
 * is zero anyway, and far above the subnormals, so that flush-to-zero cannot change a byte. */
#define HONE_SCALE_TINY 0x1p-100f

static inline uint16_t hone_load_u16(const uint8_t *p)
{
    uint16_t v; /* files are little-endian, and so is every machine that hone runs on */
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void hone_store_u16(uint8_t *p, uint16_t v)
{
    memcpy(p, &v, sizeof v);
}

static inline float hone_load_f16(const uint8_t *p)
{
    return hone_f16_to_f32(hone_load_u16(p));
}

/* False if the finite v becomes infinite. */
static inline bool hone_store_f16(uint8_t *p, float v)
{
    uint16_t h = hone_f32_to_f16(v);
    hone_store_u16(p, h);
    return (h & 0x7c00u) != 0x7c00u;
}

static inline bool hone_floats_are_finite(const float *x, size_t n)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++)
        bad |= (hone_f32_bits(x[i]) & 0x7f800000u) == 0x7f800000u;
    return !bad;
}

static inline bool hone_block_is_finite(const float *x)
{
    return hone_floats_are_finite(x, HONE_BLOCK);
}

/* The element of largest magnitude, with its sign; the first of equals. */
static inline float hone_block_peak(const float *x)
{
    float peak = x[0];
    for (int i = 1; i < HONE_BLOCK; i++)
        if (fabsf(x[i]) > fabsf(peak))
            peak = x[i];
    return peak;
}

static inline void hone_block_range(const float *x, float *low, float *high)
{
    *low = *high = x[0];
    for (int i = 1; i < HONE_BLOCK; i++) {
        if (x[i] < *low)
            *low = x[i];
        if (x[i] > *high)
            *high = x[i];
    }
}

static inline float hone_block_inverse(float d)
{
    return fabsf(d) < HONE_SCALE_TINY ? 0.0f : 1.0f / d;
}

/* To the nearest integer, halves away from zero (roundf), for |x| < 2^22: x - t is exact. */
static inline int hone_block_round(float x)
{
    int t = (int)x;
    float rest = x - (float)t;
    return t + (rest >= 0.5f) - (rest <= -0.5f);
}

/* Code of x = trunc(value + 0.5 or so), cut to the largest code. value >= 0 but for rounding. */
static inline uint8_t hone_block_code(float value, int top)
{
    int q = (int)value;
    return (uint8_t)(q > top ? top : q < 0 ? 0 : q);
}

/* Byte j holds the low four bits of element j (low half) and of element j + 16 (high half). */
static inline void hone_block_pack4(const uint8_t *q, uint8_t *dst)
{
    for (int j = 0; j < HONE_NIBBLES; j++)
        dst[j] = (uint8_t)((q[j] & 15) | (q[j + HONE_NIBBLES] & 15) << 4);
}

static inline void hone_block_unpack4(const uint8_t *src, int8_t *q)
{
    for (int j = 0; j < HONE_NIBBLES; j++) {
        q[j] = (int8_t)(src[j] & 15);
        q[j + HONE_NIBBLES] = (int8_t)(src[j] >> 4);
    }
}

/* Bit i of the little-endian 32-bit word is bit 4 of element i. */
static inline void hone_block_pack5(const uint8_t *q, uint8_t *dst)
{
    for (int b = 0; b < 4; b++) {
        unsigned word = 0;
        for (int i = 0; i < 8; i++)
            word |= (unsigned)(q[b * 8 + i] >> 4 & 1) << i;
        dst[b] = (uint8_t)word;
    }
    hone_block_pack4(q, dst + 4);
}

static inline void hone_block_unpack5(const uint8_t *src, int8_t *q)
{
    hone_block_unpack4(src + 4, q);
    for (int i = 0; i < HONE_BLOCK; i++)
        q[i] = (int8_t)(q[i] | (src[i / 8] >> (i % 8) & 1) << 4);
}

#endif
