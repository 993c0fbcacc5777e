/* kscales - the twelve bytes in which Q4_K and Q5_K keep eight scales and eight minima of 6 bits.
 * Byte j < 4: scale j, and two upper bits of scale j + 4; bytes 4..7 the same of minima; byte 8 +
 * j: the lower four bits of scale and minimum j + 4. Private to dtype/. */
#ifndef HONE_DTYPE_KSCALES_H
#define HONE_DTYPE_KSCALES_H

#include <stdint.h>

static inline unsigned hone_kscale(const uint8_t *s, int j)
{
    return j < 4 ? s[j] & 63u : (s[j + 4] & 15u) | (s[j - 4] >> 6 & 3u) << 4;
}

static inline unsigned hone_kmin(const uint8_t *s, int j)
{
    return j < 4 ? s[j + 4] & 63u : s[j + 4] >> 4 | (s[j] >> 6 & 3u) << 4;
}

static inline void hone_kscales_put(uint8_t *s, const int *scale, const int *min)
{
    for (int j = 0; j < 4; j++) {
        s[j] = (uint8_t)(scale[j] | scale[j + 4] >> 4 << 6);
        s[j + 4] = (uint8_t)(min[j] | min[j + 4] >> 4 << 6);
        s[j + 8] = (uint8_t)((scale[j + 4] & 15) | (min[j + 4] & 15) << 4);
    }
}

#endif
