/* Q8_1 and Q8_K, which llama.cpp keeps activations in: 8-bit codes; Q8_1 with a float16 scale (and
 * a sum that decoding does not need) for 32, Q8_K with a float32 scale for 256 (and sums). */
#include "dtype/block.h"

enum { Q8_1_BYTES = 36, Q8_K_BYTES = 292 };

static void codes_1(const uint8_t *src, size_t blocks, int8_t *q, float *scales, float *mins)
{
    (void)mins;
    for (size_t b = 0; b < blocks; b++, src += Q8_1_BYTES, q += 32) {
        scales[b] = hone_load_f16(src);
        memcpy(q, src + 4, 32);
    }
}

static void codes_k(const uint8_t *src, size_t blocks, int8_t *q, float *scales, float *mins)
{
    (void)mins;
    for (size_t b = 0; b < blocks; b++, src += Q8_K_BYTES, q += 256) {
        memcpy(&scales[b], src, sizeof *scales);
        memcpy(q, src + 4, 256);
    }
}

const hone_dtype_impl hone_dtype_impl_q8_1 = {.codes = codes_1, .low = -128};
const hone_dtype_impl hone_dtype_impl_q8_k = {.codes = codes_k, .low = -128, .wide = true};
