/* int8 - what products with int8 activations (docs/numerics.md, "Techniques") have in common: which
 * weights they take, and where the codes of the activations lie. Private to kernel/. */
#ifndef HONE_KERNEL_INT8_H
#define HONE_KERNEL_INT8_H

#include "kernel/layout.h"

/* Sums of so many products of codes stay within 32 bits: 65536 * 127 * 128 < 2^31. */
enum { HONE_INT8_GROUP_MAX = 65536 };

/* Codes of 8 neighbours along K lie in this order, which is that of the nibbles and bits of packed
 * weights (layout.h) spread over bytes: a word's even bytes, then its odd ones. */
static inline size_t hone_int8_index(size_t k)
{
    static const unsigned char at[8] = {0, 2, 4, 6, 1, 3, 5, 7};
    return k / 8 * 8 + at[k % 8];
}

/* Where the codes of block b of 32 of a row lie */
static inline int8_t *hone_int8_block(const hone_act *a, size_t row, size_t b)
{
    const size_t strip = a->tile_rows, steps = (a->k_pad + 63) / 64;
    return a->codes8 ? a->codes8 + row * a->ld8 + 32 * b
                     : (int8_t *)a->tiles8 +
                           ((row / strip * steps + b / 2) * strip + row % strip) * 64 + b % 2 * 32;
}

static inline bool hone_int8_whole(float x)
{
    return x >= -127.0f && x <= 127.0f && x == (float)(int)x;
}

/* Whether the values of w's codes are whole numbers of 8 bits, signed, under scales: others are
 * multiplied as always. */
static inline bool hone_int8_takes(const hone_packed *w)
{
    bool whole = w->scale_bytes != 0 && w->group <= HONE_INT8_GROUP_MAX &&
                 w->layout != HONE_LAYOUT_F32 && w->layout != HONE_LAYOUT_BF16;
    for (int i = 0; whole && w->layout == HONE_LAYOUT_U4 && i < 16; i++)
        whole = hone_int8_whole(w->table[i]);
    hone_planes planes = hone_layout_planes(w->layout);
    return whole && hone_int8_whole(w->low) &&
           hone_int8_whole(w->low + (float)((1 << (planes.low + planes.high)) - 1));
}

#endif
