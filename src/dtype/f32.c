#include "dtype/block.h"

static void decode(const uint8_t *src, size_t n, float *dst)
{
    if (n)
        memcpy(dst, src, n * sizeof *dst);
}

static bool encode(const float *src, size_t n, uint8_t *dst)
{
    if (n)
        memcpy(dst, src, n * sizeof *src);
    return true;
}

const hone_dtype_impl hone_dtype_impl_f32 = {.decode = decode, .encode = encode};
