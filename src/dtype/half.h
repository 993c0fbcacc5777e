/*
 * half - float16 and bfloat16 to and from float32, in integers: exact, round to nearest even, NaN
 * kept (made quiet, sign and upper payload bits stay), independent of the thread's floating-point
 * mode. Formats: IEEE 754-2019 binary16; bfloat16 is the upper half of binary32.
 */
#ifndef HONE_DTYPE_HALF_H
#define HONE_DTYPE_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t hone_f32_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float hone_f32_from_bits(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static inline float hone_bf16_to_f32(uint16_t h)
{
    return hone_f32_from_bits((uint32_t)h << 16);
}

static inline uint16_t hone_f32_to_bf16(float x)
{
    uint32_t u = hone_f32_bits(x);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)((u >> 16) | 0x40u);
    return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

static inline float hone_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, e = (h >> 10) & 31u, m = h & 0x3ffu;
    if (e == 31)
        return hone_f32_from_bits(sign | 0x7f800000u | (m << 13) | (m ? 0x400000u : 0));
    if (e == 0) {
        if (m == 0)
            return hone_f32_from_bits(sign);
        uint32_t shift = (uint32_t)__builtin_clz(m) - 21; /* brings the leading one to bit 10 */
        m = (m << shift) & 0x3ffu;
        e = 1 - shift; /* may wrap; the sum below is right modulo 2^32 */
    }
    return hone_f32_from_bits(sign | ((e + 112u) << 23) | (m << 13));
}

static inline uint16_t hone_f32_to_f16(float x)
{
    uint32_t u = hone_f32_bits(x), sign = (u >> 16) & 0x8000u;
    u &= 0x7fffffffu;
    if (u > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | ((u >> 13) & 0x3ffu));
    if (u >= 0x477ff000u) /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7c00u);
    if (u < 0x38800000u) { /* below 2^-14: a multiple of 2^-24 */
        uint32_t e = u >> 23;
        if (e < 102) /* below 2^-25 (half of the smallest), and the tie 2^-25 falls to e == 102 */
            return (uint16_t)sign;
        uint32_t m = (u & 0x7fffffu) | 0x800000u, shift = 126u - e; /* 14..24 */
        uint32_t rest = m & ((1u << shift) - 1u), half = 1u << (shift - 1u);
        m >>= shift;
        m += (rest > half || (rest == half && (m & 1u))) ? 1u : 0u;
        return (uint16_t)(sign | m);
    }
    u += 0xfffu + ((u >> 13) & 1u);
    return (uint16_t)(sign | ((u - 0x38000000u) >> 13));
}

#endif
