// links: dtype
#include "dtype/dtype.h"
#include "dtype/half.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* The value of a finite binary16, straight from IEEE 754's definition. */
static double f16_by_definition(unsigned h)
{
    int e = (int)(h >> 10 & 31);
    double m = (double)(h & 1023), v = e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
    return h & 0x8000 ? -v : v;
}

static void every_f16_has_its_defined_value_and_comes_back(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 0x10000; h++) {
        float x = hone_f16_to_f32((uint16_t)h);
        if ((h & 0x7c00) == 0x7c00) {
            assert_true((h & 0x3ff) ? isnan(x) : isinf(x));
            assert_int_equal(signbit(x) != 0, h >> 15);
        } else {
            assert_true((double)x == f16_by_definition(h));
        }
        unsigned quiet = (h & 0x7c00) == 0x7c00 && (h & 0x3ff) ? h | 0x200 : h;
        assert_int_equal(hone_f32_to_f16(x), quiet);
    }
}

/* Every interval between neighbours: below, at and above its middle. */
static void f32_rounds_to_the_nearest_f16_and_ties_to_even(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 0x7c00; h++) {
        double a = f16_by_definition(h);
        double b =
            h == 0x7bff ? 65536.0 : f16_by_definition(h + 1); /* the next one would be 2^16 */
        float middle = (float)((a + b) / 2);                  /* exact */
        unsigned even = h % 2 ? h + 1 : h;
        assert_int_equal(hone_f32_to_f16(middle), even);
        assert_int_equal(hone_f32_to_f16(nextafterf(middle, 0)), h);
        assert_int_equal(hone_f32_to_f16(nextafterf(middle, INFINITY)), h + 1);
        assert_int_equal(hone_f32_to_f16(-middle), even | 0x8000);
    }
}

static void f32_rounds_to_the_nearest_bf16_and_ties_to_even(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x7f80; h++) {
        float a = hone_f32_from_bits(h << 16), middle = hone_f32_from_bits(h << 16 | 0x8000);
        assert_true(hone_bf16_to_f32((uint16_t)h) == a);
        assert_int_equal(hone_f32_to_bf16(a), h);
        assert_int_equal(hone_f32_to_bf16(middle), h + h % 2);
        assert_int_equal(hone_f32_to_bf16(hone_f32_from_bits(h << 16 | 0x7fff)), h);
        assert_int_equal(hone_f32_to_bf16(hone_f32_from_bits(h << 16 | 0x8001)), h + 1);
        assert_int_equal(hone_f32_to_bf16(-middle), (h + h % 2) | 0x8000);
    }
}

static void nan_stays_nan_with_its_sign(void **state)
{
    (void)state;
    const uint32_t nans[] = {0x7f800001, 0x7fc00000, 0x7fffffff,
                             0xff800001, 0xffffffff, 0x7f80ffff};
    for (size_t i = 0; i < sizeof nans / sizeof nans[0]; i++) {
        float x = hone_f32_from_bits(nans[i]);
        uint16_t h = hone_f32_to_f16(x), b = hone_f32_to_bf16(x);
        assert_true(isnan(hone_f16_to_f32(h)));
        assert_true(isnan(hone_bf16_to_f32(b)));
        assert_int_equal(h >> 15, nans[i] >> 31);
        assert_int_equal(b >> 15, nans[i] >> 31);
    }
}

static void names_and_ids_lead_back_to_their_format(void **state)
{
    (void)state;
    for (int t = 0; t < HONE_DTYPE_COUNT; t++) {
        const hone_dtype_info *d = hone_dtype_describe((hone_dtype)t);
        hone_dtype back;
        assert_true(hone_dtype_by_name(d->name, &back));
        assert_int_equal(back, t);
        if (d->safetensors) {
            assert_true(hone_dtype_by_safetensors(d->safetensors, &back));
            assert_int_equal(back, t);
        }
        if (d->ggml >= 0) {
            assert_true(hone_dtype_by_ggml((uint32_t)d->ggml, &back));
            assert_int_equal(back, t);
            assert_non_null(hone_dtype_ggml_name((uint32_t)d->ggml));
        }
    }
    hone_dtype none;
    assert_false(hone_dtype_by_name("q9_9", &none));
    assert_false(hone_dtype_by_ggml(4, &none)); /* retired */
    assert_string_equal(hone_dtype_ggml_name(12), "Q4_K");
    assert_null(hone_dtype_ggml_name(4));
    assert_null(hone_dtype_ggml_name(4000000000u));
    assert_null(hone_dtype_describe((hone_dtype)99));
    assert_string_equal(hone_dtype_name((hone_dtype)-1), "?");
}

static void row_bytes_refuses_partial_blocks_and_overflow(void **state)
{
    (void)state;
    size_t n;
    assert_true(hone_dtype_row_bytes(HONE_DTYPE_Q4_0, 64, &n));
    assert_int_equal(n, 36);
    assert_false(hone_dtype_row_bytes(HONE_DTYPE_Q4_0, 33, &n));
    assert_false(hone_dtype_row_bytes(HONE_DTYPE_F32, UINT64_MAX, &n));
    assert_false(hone_dtype_row_bytes(HONE_DTYPE_Q8_0, UINT64_MAX - 31, &n));
    float x[32] = {0};
    uint8_t b[64];
    assert_false(hone_dtype_encode(HONE_DTYPE_Q4_0, x, 31, b));
    assert_false(hone_dtype_decode(HONE_DTYPE_Q4_0, b, 31, x));
}

static void values_that_a_format_cannot_hold_are_refused(void **state)
{
    (void)state;
    const hone_dtype grouped[] = {HONE_DTYPE_Q8_0, HONE_DTYPE_Q4_0, HONE_DTYPE_Q4_1,
                                  HONE_DTYPE_Q5_0, HONE_DTYPE_Q5_1};
    const float bad[] = {NAN, INFINITY, -INFINITY, 3e38f};
    uint8_t out[64];
    for (size_t i = 0; i < 5; i++)
        for (size_t k = 0; k < 4; k++) {
            float x[32] = {1.0f};
            assert_true(hone_dtype_encode(grouped[i], x, 32, out));
            x[17] = bad[k];
            assert_false(hone_dtype_encode(grouped[i], x, 32, out));
        }
    float big = 70000.0f, inf = INFINITY, huge = 3.4e38f;
    assert_false(hone_dtype_encode(HONE_DTYPE_F16, &big, 1, out));
    assert_true(hone_dtype_encode(HONE_DTYPE_F16, &inf, 1, out));
    assert_true(hone_dtype_encode(HONE_DTYPE_BF16, &big, 1, out));
    assert_false(hone_dtype_encode(HONE_DTYPE_BF16, &huge, 1, out));
    assert_false(hone_dtype_encode(HONE_DTYPE_I8, &big, 1, out));
}

static void tiny_blocks_become_zero_without_nan(void **state)
{
    (void)state;
    const hone_dtype grouped[] = {HONE_DTYPE_Q8_0, HONE_DTYPE_Q4_0, HONE_DTYPE_Q4_1,
                                  HONE_DTYPE_Q5_0, HONE_DTYPE_Q5_1};
    for (size_t i = 0; i < 5; i++) {
        float x[32], back[32];
        uint8_t out[64];
        for (int k = 0; k < 32; k++)
            x[k] = (float)(k - 16) * 1e-45f; /* subnormal: 1 / scale would be infinite */
        assert_true(hone_dtype_encode(grouped[i], x, 32, out));
        assert_true(hone_dtype_decode(grouped[i], out, 32, back));
        for (int k = 0; k < 32; k++)
            assert_true(back[k] == 0.0f);
    }
}

static void storage_types_decode_unaligned(void **state)
{
    (void)state;
    uint8_t raw[1 + 8 * 3];
    float x[3];
    int64_t i64[3] = {-5, 0, 1 << 20};
    memcpy(raw + 1, i64, sizeof i64);
    assert_true(hone_dtype_decode(HONE_DTYPE_I64, raw + 1, 3, x));
    assert_true(x[0] == -5 && x[1] == 0 && x[2] == 1048576);
    double f64[3] = {0.1, -2, 1e10};
    memcpy(raw + 1, f64, sizeof f64);
    assert_true(hone_dtype_decode(HONE_DTYPE_F64, raw + 1, 3, x));
    assert_true(x[0] == 0.1f && x[1] == -2 && x[2] == 1e10f);
    const uint8_t bytes[4] = {0, 255, 128, 2};
    assert_true(hone_dtype_decode(HONE_DTYPE_I8, bytes, 3, x));
    assert_true(x[0] == 0 && x[1] == -1 && x[2] == -128);
    assert_true(hone_dtype_decode(HONE_DTYPE_U8, bytes, 3, x));
    assert_true(x[0] == 0 && x[1] == 255 && x[2] == 128);
    assert_true(hone_dtype_decode(HONE_DTYPE_BOOL, bytes, 3, x));
    assert_true(x[0] == 0 && x[1] == 1 && x[2] == 1);
    assert_true(hone_dtype_decode(HONE_DTYPE_I16, bytes, 2, x));
    assert_true(x[0] == -256 && x[1] == 640);
    assert_true(hone_dtype_decode(HONE_DTYPE_I32, bytes, 1, x));
    assert_true(x[0] == (float)0x0280ff00);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_f16_has_its_defined_value_and_comes_back),
        cmocka_unit_test(f32_rounds_to_the_nearest_f16_and_ties_to_even),
        cmocka_unit_test(f32_rounds_to_the_nearest_bf16_and_ties_to_even),
        cmocka_unit_test(nan_stays_nan_with_its_sign),
        cmocka_unit_test(names_and_ids_lead_back_to_their_format),
        cmocka_unit_test(row_bytes_refuses_partial_blocks_and_overflow),
        cmocka_unit_test(values_that_a_format_cannot_hold_are_refused),
        cmocka_unit_test(tiny_blocks_become_zero_without_nan),
        cmocka_unit_test(storage_types_decode_unaligned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
