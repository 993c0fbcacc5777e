#include "dtype/block.h"

static void decode(const uint8_t *src, size_t n, float *dst)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = hone_f16_to_f32(hone_load_u16(src + 2 * i));
}

static bool encode(const float *src, size_t n, uint8_t *dst)
{
    bool fits = true;
    for (size_t i = 0; i < n; i++) {
        uint16_t h = hone_f32_to_f16(src[i]);
        if ((h & 0x7c00u) == 0x7c00u && (hone_f32_bits(src[i]) & 0x7f800000u) != 0x7f800000u)
            fits = false; /* a finite value became infinite */
        hone_store_u16(dst + 2 * i, h);
    }
    return fits;
}

const hone_dtype_impl hone_dtype_impl_f16 = {.decode = decode, .encode = encode};
