// links: file
/* Block formats against the bytes and values of the gguf package (tests/golden/make_dtype.py). */
#include "base/mem.h"
#include "file/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    hone_dtype dtype;
    const char *name;
} formats[] = {
    {HONE_DTYPE_Q8_0, "Q8_0"}, {HONE_DTYPE_Q4_0, "Q4_0"}, {HONE_DTYPE_Q4_1, "Q4_1"},
    {HONE_DTYPE_Q5_0, "Q5_0"}, {HONE_DTYPE_Q5_1, "Q5_1"}, {HONE_DTYPE_BF16, "BF16"},
};
enum { FORMATS = sizeof formats / sizeof formats[0], MATRIX = 8 * 1024 };

static hone_file *golden;

static int open_golden(void **state)
{
    (void)state;
    hone_status s =
        hone_file_open(HONE_SOURCE_DIR "/tests/golden/data/dtype_ggml.safetensors", &golden);
    if (s != HONE_OK)
        print_message("%s\n", hone_error());
    return s != HONE_OK;
}

static int close_golden(void **state)
{
    (void)state;
    hone_file_close(golden);
    return 0;
}

static const hone_tensor *get(const char *part, const char *name)
{
    char full[64];
    snprintf(full, sizeof full, "%s.%s", part, name);
    const hone_tensor *t = hone_file_tensor(golden, full);
    assert_non_null(t);
    return t;
}

static void check_decode(hone_dtype dtype, const hone_tensor *bytes, const hone_tensor *values)
{
    size_t n = (size_t)hone_tensor_elements(values), want;
    assert_true(hone_dtype_row_bytes(dtype, n, &want));
    assert_int_equal(want, bytes->bytes);
    float *out = hone_malloc(n * sizeof *out);
    assert_true(hone_dtype_decode(dtype, bytes->data, n, out));
    assert_memory_equal(out, values->data, n * sizeof *out);
    hone_free(out);
}

static void random_blocks_decode_to_the_reference_bits(void **state)
{
    (void)state;
    for (int i = 0; i < FORMATS; i++)
        check_decode(formats[i].dtype, get("blocks", formats[i].name),
                     get("values", formats[i].name));
}

static void the_encoded_matrix_decodes_to_the_reference_bits(void **state)
{
    (void)state;
    for (int i = 0; i < FORMATS; i++)
        check_decode(formats[i].dtype, get("quantized", formats[i].name),
                     get("dequantized", formats[i].name));
}

static void the_matrix_encodes_to_the_reference_bytes(void **state)
{
    (void)state;
    static float matrix[MATRIX];
    static uint8_t out[MATRIX * 4];
    const hone_tensor *m = hone_file_tensor(golden, "matrix");
    assert_non_null(m);
    assert_int_equal(hone_tensor_elements(m), MATRIX);
    memcpy(matrix, m->data, sizeof matrix);
    for (int i = 0; i < FORMATS; i++) {
        const hone_tensor *want = get("quantized", formats[i].name);
        assert_true(hone_dtype_encode(formats[i].dtype, matrix, MATRIX, out));
        for (size_t b = 0; b < want->bytes; b++)
            if (out[b] != want->data[b])
                fail_msg("%s: byte %zu is %u, not %u", formats[i].name, b, out[b], want->data[b]);
    }
}

static void codes_times_scales_are_the_decoded_values(void **state)
{
    (void)state;
    static int8_t codes[MATRIX];
    static float scales[MATRIX / 32], mins[MATRIX / 32];
    int grouped = 0;
    for (int i = 0; i < FORMATS; i++) {
        hone_dtype t = formats[i].dtype;
        const hone_tensor *bytes = get("quantized", formats[i].name);
        if (!hone_dtype_is_grouped(t)) {
            assert_false(hone_dtype_codes(t, bytes->data, MATRIX, codes, scales, mins));
            continue;
        }
        grouped++;
        memset(mins, 0, sizeof mins);
        assert_int_equal(hone_dtype_group(t), 32);
        assert_true(hone_dtype_codes(t, bytes->data, MATRIX, codes, scales,
                                     hone_dtype_has_min(t) ? mins : NULL));
        const uint8_t *values = get("dequantized", formats[i].name)->data;
        hone_coding coding = hone_dtype_coding(t);
        int half = 1 << (hone_dtype_bits(t) - 1);
        int low = hone_dtype_has_min(t) || coding.bits == 4 ? 0 : -half;
        for (size_t k = 0; k < MATRIX; k++) {
            float code = coding.bits == 4 ? coding.table[codes[k] & 15] : (float)codes[k];
            float want, have = scales[k / 32] * code + mins[k / 32];
            memcpy(&want, values + k * 4, 4);
            assert_true(have == want);
            assert_in_range(codes[k] - low, 0, 2 * half - 1);
        }
    }
    assert_int_equal(grouped, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_blocks_decode_to_the_reference_bits),
        cmocka_unit_test(the_encoded_matrix_decodes_to_the_reference_bits),
        cmocka_unit_test(the_matrix_encodes_to_the_reference_bytes),
        cmocka_unit_test(codes_times_scales_are_the_decoded_values),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
