/* whole - activations of one row as whole numbers times a unit, block of 32 by block, where neither
 * chain of their products with small codes is ever rounded: then the block's sum in the definition
 * (docs/numerics.md, "Products") is the exact one, rounded once, and whole-number arithmetic gives
 * the same bits. Private to kernel/. */
#ifndef HONE_KERNEL_WHOLE_H
#define HONE_KERNEL_WHOLE_H

#include "kernel/kernel.h"

/* A number is the sum of its digits to the base 256, each -128 ... 127, the least first. Digit l of
 * element k of the row is at act->digits + l * hone_whole_ld + hone_int8_index(k). */
enum { HONE_WHOLE_DIGITS = 3 };

typedef struct hone_whole {
    float unit;      /* a power of two: activation = number * unit */
    float size;      /* sum of the magnitudes of the even k or the odd ones, whichever is larger;
                      * infinite: they are no whole numbers */
    int32_t sums[2]; /* of the numbers of each 16 */
    int32_t digits;  /* that all of them have: 2 or 3 */
} hone_whole;

static inline size_t hone_whole_ld(const hone_act *a)
{
    return a->k_pad + 64;
}

/* Codes are whole numbers from *low to *high, both small, in a layout whose bytes are spread
 * easily. */
static inline bool hone_whole_takes(const hone_packed *w, float *low, float *high)
{
    static const float most[HONE_LAYOUT_COUNT] = {[HONE_LAYOUT_U4] = 15,
                                                  [HONE_LAYOUT_U2] = 3,
                                                  [HONE_LAYOUT_U3] = 7,
                                                  [HONE_LAYOUT_U5] = 31,
                                                  [HONE_LAYOUT_U6] = 63};
    *low = w->layout == HONE_LAYOUT_U4 ? w->table[0] : w->low;
    *high = *low + most[w->layout];
    bool whole = most[w->layout] > 0 && *low <= 0 && *high >= 0 && *low == (float)(int)*low;
    for (int i = 1; whole && w->layout == HONE_LAYOUT_U4 && i < 16; i++)
        whole = w->table[i] == w->table[0] + (float)i;
    return whole && w->scale_bytes != 0;
}

#endif
