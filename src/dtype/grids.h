/* grids - the code books of the IQ formats (grids.c) and how their points and signs are read.
 * Private to dtype/. */
#ifndef HONE_DTYPE_GRIDS_H
#define HONE_DTYPE_GRIDS_H

#include <stdint.h>

extern const uint16_t hone_grid_iq1[2048];
extern const uint16_t hone_grid_iq2_xxs[256];
extern const uint16_t hone_grid_iq2_xs[512];
extern const uint16_t hone_grid_iq2_s[1024];
extern const uint16_t hone_grid_iq3_xxs[256];
extern const uint16_t hone_grid_iq3_s[512];

/* Eight signs of which seven are stored: the number of negative ones is even. */
static inline unsigned hone_grid_signs(unsigned seven)
{
    return seven | (unsigned)__builtin_parity(seven) << 7;
}

/* Codes of n coordinates of `bits` bits: the coordinate, and 8 where bit i of signs says so. */
static inline void hone_grid_codes(uint16_t point, int n, int bits, unsigned signs, int8_t *codes)
{
    for (int i = 0; i < n; i++)
        codes[i] =
            (int8_t)(((unsigned)point >> bits * i & ((1u << bits) - 1)) | (signs >> i & 1) << 3);
}

#endif
