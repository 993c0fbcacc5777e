/* Types that files store and that hone only reads: integers, booleans, double precision. */
#include "dtype/block.h"

#define INTEGER(name, type)                                                                        \
    static void decode_##name(const uint8_t *src, size_t n, float *dst)                            \
    {                                                                                              \
        for (size_t i = 0; i < n; i++) {                                                           \
            type v;                                                                                \
            memcpy(&v, src + i * sizeof v, sizeof v);                                              \
            dst[i] = (float)v;                                                                     \
        }                                                                                          \
    }                                                                                              \
    const hone_dtype_impl hone_dtype_impl_##name = {.decode = decode_##name};

INTEGER(i8, int8_t)
INTEGER(i16, int16_t)
INTEGER(i32, int32_t)
INTEGER(i64, int64_t)
INTEGER(u8, uint8_t)
INTEGER(u16, uint16_t)
INTEGER(u32, uint32_t)
INTEGER(u64, uint64_t)

static void decode_bool(const uint8_t *src, size_t n, float *dst)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = src[i] != 0 ? 1.0f : 0.0f;
}

const hone_dtype_impl hone_dtype_impl_bool = {.decode = decode_bool};

static void decode_f64(const uint8_t *src, size_t n, float *dst)
{
    for (size_t i = 0; i < n; i++) {
        double v;
        memcpy(&v, src + i * sizeof v, sizeof v);
        dst[i] = (float)v;
    }
}

static bool encode_f64(const float *src, size_t n, uint8_t *dst)
{
    for (size_t i = 0; i < n; i++) {
        double v = src[i];
        memcpy(dst + i * sizeof v, &v, sizeof v);
    }
    return true;
}

const hone_dtype_impl hone_dtype_impl_f64 = {.decode = decode_f64, .encode = encode_f64};
