// links: file
/* Block formats against the bytes and values of the gguf package (tests/golden/make_dtype.py). */
#include "base/mem.h"
#include "dtype/half.h"
#include "file/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Every format of the file, and how many of them come first that the package encodes too. */
static const struct {
    hone_dtype dtype;
    const char *name;
} formats[] = {
    {HONE_DTYPE_Q8_0, "Q8_0"},     {HONE_DTYPE_Q4_0, "Q4_0"},     {HONE_DTYPE_Q4_1, "Q4_1"},
    {HONE_DTYPE_Q5_0, "Q5_0"},     {HONE_DTYPE_Q5_1, "Q5_1"},     {HONE_DTYPE_BF16, "BF16"},
    {HONE_DTYPE_TQ1_0, "TQ1_0"},   {HONE_DTYPE_TQ2_0, "TQ2_0"},   {HONE_DTYPE_MXFP4, "MXFP4"},
    {HONE_DTYPE_NVFP4, "NVFP4"},   {HONE_DTYPE_Q2_K, "Q2_K"},     {HONE_DTYPE_Q3_K, "Q3_K"},
    {HONE_DTYPE_Q4_K, "Q4_K"},     {HONE_DTYPE_Q5_K, "Q5_K"},     {HONE_DTYPE_Q6_K, "Q6_K"},
    {HONE_DTYPE_IQ1_S, "IQ1_S"},   {HONE_DTYPE_IQ1_M, "IQ1_M"},   {HONE_DTYPE_IQ2_XXS, "IQ2_XXS"},
    {HONE_DTYPE_IQ2_XS, "IQ2_XS"}, {HONE_DTYPE_IQ2_S, "IQ2_S"},   {HONE_DTYPE_IQ3_XXS, "IQ3_XXS"},
    {HONE_DTYPE_IQ3_S, "IQ3_S"},   {HONE_DTYPE_IQ4_NL, "IQ4_NL"}, {HONE_DTYPE_IQ4_XS, "IQ4_XS"},
};
enum { FORMATS = sizeof formats / sizeof formats[0], ENCODED = 9, MATRIX = 8 * 1024 };

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
    for (int i = 0; i < ENCODED; i++)
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
    for (int i = 0; i < ENCODED; i++) {
        const hone_tensor *want = get("quantized", formats[i].name);
        assert_true(hone_dtype_encode(formats[i].dtype, matrix, MATRIX, out));
        for (size_t b = 0; b < want->bytes; b++)
            if (out[b] != want->data[b])
                fail_msg("%s: byte %zu is %u, not %u", formats[i].name, b, out[b], want->data[b]);
    }
}

/* Codes, scales and what nested scales are multiples of: all that kernels see of a format. */
static void check_codes(hone_dtype t, const hone_tensor *bytes, const float *values, size_t n)
{
    static int8_t codes[MATRIX];
    static float scales[MATRIX / 16], mins[MATRIX / 16];
    hone_coding c = hone_dtype_coding(t);
    float super[2];
    memset(mins, 0, sizeof mins);
    assert_true(hone_dtype_codes(t, bytes->data, n, codes, scales, mins));
    assert_int_equal(c.nested, hone_dtype_supers(t, bytes->data, &super[0], &super[1]));
    for (size_t k = 0; k < n; k++) {
        size_t g = k / c.group;
        float code = c.bits == 4 ? c.table[codes[k] & 15] : (float)codes[k];
        float have = scales[g] * code + mins[g];
        if (have != values[k])
            fail_msg("%s: element %zu is %a, not %a", hone_dtype_name(t), k, (double)have,
                     (double)values[k]);
        assert_in_range(codes[k] - (c.bits == 4 ? 0 : c.low), 0, (1 << c.bits) - 1);
        if (!c.wide && !c.nested) /* float16 numbers */
            assert_true(hone_f16_to_f32(hone_f32_to_f16(scales[g])) == scales[g]);
        if (c.nested && k % 256 == 0)
            assert_true(hone_dtype_supers(t, bytes->data + k / 256 * bytes->bytes * 256 / n,
                                          &super[0], &super[1]));
        for (int m = 0; c.nested && m < 1 + c.has_min; m++) {
            float s = m ? mins[g] : scales[g], part = super[m] != 0.0f ? s / super[m] : 0.0f;
            assert_true(part == (float)(int)part && part >= -128.0f && part <= 127.0f);
            assert_true(super[m] * part == s);
        }
    }
}

static void codes_times_scales_are_the_decoded_values(void **state)
{
    (void)state;
    static float values[MATRIX];
    int grouped = 0;
    for (int i = 0; i < FORMATS; i++) {
        hone_dtype t = formats[i].dtype;
        const hone_tensor *want = get("values", formats[i].name);
        memcpy(values, want->data, want->bytes);
        if (hone_dtype_is_grouped(t)) {
            grouped++;
            check_codes(t, get("blocks", formats[i].name), values, want->bytes / 4);
        } else {
            assert_false(hone_dtype_codes(t, want->data, MATRIX, NULL, NULL, NULL));
        }
    }
    assert_int_equal(grouped, FORMATS - 1);
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
