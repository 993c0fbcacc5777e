/*
 * rng - counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as
 * easy as 1, 2, 3", SC11). A number depends only on (seed, stream, index), never on the order of
 * execution.
 */
#ifndef HONE_BASE_RNG_H
#define HONE_BASE_RNG_H

#include <stdint.h>

/* Four 32-bit words for the counter (stream, index) under the key `seed`. */
void hone_rng_block(uint64_t seed, uint64_t stream, uint64_t index, uint32_t out[4]);

uint64_t hone_rng_u64(uint64_t seed, uint64_t stream, uint64_t index);
double hone_rng_uniform(uint64_t seed, uint64_t stream, uint64_t index); /* [0, 1), 53 bits */
/* Two independent standard normals (Box-Muller). */
void hone_rng_normal2(uint64_t seed, uint64_t stream, uint64_t index, double out[2]);
/* Uniform in [0, n), unbiased to 2^-64; n > 0. */
uint64_t hone_rng_below(uint64_t seed, uint64_t stream, uint64_t index, uint64_t n);

#endif
