/*
 * int8_spread - packed codes of at most 8 bits -> quads: a byte for each of 4 k and 16 columns, in
 * the order of k of kernel/int8.h; eight of them are a block of 32. The including set brings
 * core.h's v16, I8_VECTOR (bytes of a vector, 32 or 64), i8_words (so many bytes as 16-bit words),
 * i8_quad (64 bytes of them, in p[]), i8_load, i8_store, and:
 *
 * i8_rows(b, r...)     four rows of 16 codes as a quad
 * i8_lookup(table, q)  codes of 4 bits -> bytes of the table
 */
#ifndef HONE_KERNEL_GENERIC_INT8_SPREAD_H
#define HONE_KERNEL_GENERIC_INT8_SPREAD_H

#include "kernel/cpu/generic/core.h"

enum { I8_PARTS = 64 / I8_VECTOR };

/* CORE_I8, CORE_U4 and the planes from the packed codes; spread: quads in bytes */
enum { I8_SPREAD = CORE_U6 + 100 };

V16_INLINE i8_quad i8_srl(i8_quad x, int n)
{
    UNROLL for (int i = 0; i < I8_PARTS; i++) x.p[i] >>= (uint16_t)n;
    return x;
}

V16_INLINE i8_quad i8_sll(i8_quad x, int n)
{
    UNROLL for (int i = 0; i < I8_PARTS; i++) x.p[i] <<= (uint16_t)n;
    return x;
}

V16_INLINE i8_quad i8_and(i8_quad x, unsigned words)
{
    UNROLL for (int i = 0; i < I8_PARTS; i++) x.p[i] &= (uint16_t)words;
    return x;
}

V16_INLINE i8_quad i8_or(i8_quad x, i8_quad y)
{
    UNROLL for (int i = 0; i < I8_PARTS; i++) x.p[i] |= y.p[i];
    return x;
}

/* Nibble `odd` and the one after next of each word, as bytes */
V16_INLINE i8_quad i8_nibbles(const uint8_t *at, int odd)
{
    return i8_and(i8_srl(i8_load(at), 4 * odd), 0x0f0f);
}

/* The same of pairs of bits, those from bit `from` of each word on */
V16_INLINE i8_quad i8_pairs(const uint8_t *at, int from, int odd)
{
    i8_quad x = i8_srl(i8_load(at), from);
    return odd ? i8_or(i8_and(i8_srl(x, 2), 0x0003), i8_and(i8_sll(x, 2), 0x0300))
               : i8_or(i8_and(x, 0x0003), i8_and(i8_sll(x, 4), 0x0300));
}

/* and of single bits */
V16_INLINE i8_quad i8_bits(const uint8_t *at, int from, int odd)
{
    i8_quad x = i8_srl(i8_load(at), from);
    return odd ? i8_or(i8_and(i8_srl(x, 1), 0x0001), i8_and(i8_sll(x, 5), 0x0100))
               : i8_or(i8_and(x, 0x0001), i8_and(i8_sll(x, 6), 0x0100));
}

/* Quad `odd` of unit p, u (8 k each, of 4 in a block) of planes */
V16_INLINE i8_quad i8_planes(const uint8_t *block, int p, int u, int odd, int low, int high)
{
    const uint8_t *top = block + 64 * low;
    i8_quad x =
        low == 4 ? i8_nibbles(block + p * 128 + u * 64, odd) : i8_pairs(block + p * 64, 8 * u, odd);
    if (high == 2)
        x = i8_or(x, i8_sll(i8_pairs(top + p * 64, 8 * u, odd), low));
    else if (high == 1)
        x = i8_or(x, i8_sll(i8_bits(top, 8 * p + 4 * u, odd), low));
    return x;
}

/* Quad `odd` of unit 2 p + u of a block of 32 that begins at `block` */
V16_INLINE i8_quad i8_quad_of(int layout, const uint8_t *block, int p, int u, int odd,
                              const uint8_t *table)
{
    const uint8_t *at = block + (2 * p + u) * (layout == CORE_I8 ? 128 : 64);
    switch (layout) {
    case I8_SPREAD:
        return i8_load(block + ((2 * p + u) * 2 + odd) * 64);
    case CORE_I8:
        return odd ? i8_rows(at, 2, 6, 3, 7) : i8_rows(at, 0, 4, 1, 5);
    case CORE_U4:
        return i8_lookup(table, i8_nibbles(at, odd));
    case CORE_U2:
        return i8_planes(block, p, u, odd, 2, 0);
    case CORE_U3:
        return i8_planes(block, p, u, odd, 2, 1);
    case CORE_U5:
        return i8_planes(block, p, u, odd, 4, 1);
    case CORE_U6:
        return i8_planes(block, p, u, odd, 4, 2);
    default:
        return i8_nibbles(at, odd);
    }
}

V16_INLINE size_t i8_block_bytes(int layout)
{
    return layout == I8_SPREAD ? 512 : 4 * core_unit_bytes(layout);
}

#endif
