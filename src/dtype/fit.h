/*
 * fit - scales and codes that make sum of weight * (x - value)^2 small: the search that the
 * encoders share. Private to dtype/.
 *
 * Candidates for the inverse of a scale are tried around the one that puts the largest element on
 * the last code; each gives codes, the codes give the least-squares scale, and so on until nothing
 * gains. Nested scales are then rounded to their factor, neighbours tried, and the factor solved
 * for again. The same bytes on every machine: plain IEEE operations in a fixed order.
 */
#ifndef HONE_DTYPE_FIT_H
#define HONE_DTYPE_FIT_H

#include "dtype/block.h"

/* What a code may be: low..high meaning itself, or (table) 0..15 meaning an ascending table's
 * of whole numbers. */
typedef struct hone_fit_codes {
    int low, high;
    const float *table;
} hone_fit_codes;

/* The scale for n <= 256 elements (n a multiple of 4), and their codes under it. weights may be
 * NULL (all equal). */
float hone_fit_scale(const float *x, const float *weights, int n, const hone_fit_codes *c,
                     int8_t *q);
/* Value = scale * code - min with code 0..high, min >= 0 if only_below. */
float hone_fit_scale_min(const float *x, const float *weights, int n, int high, bool only_below,
                         float *min, int8_t *q);
/* The nearest codes under a scale and min (value = scale * code - min), and sum weight * error^2.
 */
float hone_fit_nearest(const float *x, const float *weights, int n, const hone_fit_codes *c,
                       float scale, float min, int8_t *q);

/* A block of 32 whose scale (and min) is a float16 at dst: writes it (them), and codes less the
 * lowest. False if x holds NaN or infinity or the scale is beyond float16. */
bool hone_fit_block(const float *x, const float *weights, const hone_fit_codes *c, uint8_t *dst,
                    uint8_t *q);
bool hone_fit_block_min(const float *x, const float *weights, int high, uint8_t *dst, uint8_t *q);

/* 256 elements in groups whose scales (and mins) are small integers times a float16. */
typedef struct hone_fit_shape {
    int group;
    hone_fit_codes codes;                /* with minima: 0..high */
    int scale_low, scale_high, min_high; /* min_high 0: no minima */
} hone_fit_shape;

typedef struct hone_fit_nested {
    uint16_t d, dmin; /* float16 */
    int scale[16], min[16];
    int8_t q[256];
} hone_fit_nested;

/* False if x holds NaN or infinity or needs a factor beyond float16. */
bool hone_fit_nest(const float *x, const float *weights, const hone_fit_shape *s,
                   hone_fit_nested *out);

#endif
