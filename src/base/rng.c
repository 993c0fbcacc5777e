#include "base/rng.h"

#include <math.h>

void hone_rng_block(uint64_t seed, uint64_t stream, uint64_t index, uint32_t out[4])
{
    uint32_t c0 = (uint32_t)index, c1 = (uint32_t)(index >> 32);
    uint32_t c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

uint64_t hone_rng_u64(uint64_t seed, uint64_t stream, uint64_t index)
{
    uint32_t w[4];
    hone_rng_block(seed, stream, index, w);
    return (uint64_t)w[1] << 32 | w[0];
}

double hone_rng_uniform(uint64_t seed, uint64_t stream, uint64_t index)
{
    return (double)(hone_rng_u64(seed, stream, index) >> 11) * 0x1p-53;
}

void hone_rng_normal2(uint64_t seed, uint64_t stream, uint64_t index, double out[2])
{
    uint32_t w[4];
    hone_rng_block(seed, stream, index, w);
    double u = ((double)(((uint64_t)w[1] << 32 | w[0]) >> 11) + 0.5) * 0x1p-53;
    double v = (double)(((uint64_t)w[3] << 32 | w[2]) >> 11) * 0x1p-53;
    double r = sqrt(-2.0 * log(u)), a = 6.283185307179586476925 * v;
    out[0] = r * cos(a);
    out[1] = r * sin(a);
}

uint64_t hone_rng_below(uint64_t seed, uint64_t stream, uint64_t index, uint64_t n)
{
    __extension__ typedef unsigned __int128 u128;
    return (uint64_t)(((u128)hone_rng_u64(seed, stream, index) * n) >> 64);
}
