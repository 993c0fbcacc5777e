// links: model
/* nf4 against bitsandbytes 0.50.2 (../shared/data/golden/quant): the same levels and groups, nearly
 * all codes, and no larger an error than its double quantisation; and a packed matrix gives back
 * block by block what it gives back row by row, in every layout. */
#include "base/rng.h"
#include "file/file.h"
#include "kernel/kernel.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../shared.h"

enum { WEIGHTS = 40 * 192, BLOCK_BYTES = 134 };

static void floats(const hone_file *f, const char *name, float *out, size_t n)
{
    const hone_tensor *t = hone_file_tensor(f, name);
    assert_true(t && t->bytes == 4 * n);
    memcpy(out, t->data, t->bytes);
}

static void levels_groups_and_error_are_those_of_bitsandbytes(void **state)
{
    (void)state;
    static float w[WEIGHTS], single[WEIGHTS], twice[WEIGHTS], mine[WEIGHTS], absmax[WEIGHTS / 64];
    static int8_t codes[WEIGHTS];
    static uint8_t bytes[WEIGHTS / 256 * BLOCK_BYTES];
    float levels[16], scales[WEIGHTS / 64];
    hone_file *f;
    need_shared("test_nf4", "golden/quant/bitsandbytes.safetensors");
    assert_int_equal(hone_file_open(shared("golden/quant/bitsandbytes.safetensors"), &f), HONE_OK);
    floats(f, "codebook.nf4", levels, 16);
    floats(f, "weight", w, WEIGHTS);
    floats(f, "nf4.dequantized", single, WEIGHTS);
    floats(f, "nf4.double.dequantized", twice, WEIGHTS);
    floats(f, "nf4.weight.absmax", absmax, WEIGHTS / 64);
    hone_coding c = hone_dtype_coding(HONE_DTYPE_NF4);
    assert_memory_equal(c.table, levels, sizeof levels);
    assert_true(hone_dtype_encode(HONE_DTYPE_NF4, w, WEIGHTS, bytes));
    assert_true(hone_dtype_decode(HONE_DTYPE_NF4, bytes, WEIGHTS, mine));
    assert_true(hone_dtype_codes(HONE_DTYPE_NF4, bytes, WEIGHTS, codes, scales, NULL));
    double square = 0, reference = 0;
    size_t same = 0;
    for (size_t i = 0; i < WEIGHTS; i++) {
        square += pow((double)mine[i] - (double)w[i], 2);
        reference += pow((double)twice[i] - (double)w[i], 2);
        same += fabsf(levels[codes[i]] * absmax[i / 64] - single[i]) < 1e-6f;
        float top = 0;
        for (size_t g = i / 256 * 4; g < i / 256 * 4 + 4; g++)
            top = fmaxf(top, absmax[g]);
        assert_true(fabsf(scales[i / 64] - absmax[i / 64]) <= 0.51f * top / 127);
    }
    assert_true(same > WEIGHTS * 98 / 100);
    assert_true(square < reference * 1.01);
    hone_file_close(f);
}

static void zeros_small_groups_and_what_it_cannot_hold(void **state)
{
    (void)state;
    float x[256] = {0}, y[256];
    uint8_t block[BLOCK_BYTES];
    assert_true(hone_dtype_encode(HONE_DTYPE_NF4, x, 256, block));
    assert_true(hone_dtype_decode(HONE_DTYPE_NF4, block, 256, y));
    assert_memory_equal(x, y, sizeof x);
    for (int i = 0; i < 256; i++)
        x[i] = i < 64 ? 1.0f : 0.003f; /* far below a unit of the first group's scale */
    assert_true(hone_dtype_encode(HONE_DTYPE_NF4, x, 256, block));
    assert_true(hone_dtype_decode(HONE_DTYPE_NF4, block, 256, y));
    assert_true(fabsf(y[0] - 1) < 1e-3f && fabsf(y[200] - 0.003f) < 0.001f);
    x[7] = NAN;
    assert_false(hone_dtype_encode(HONE_DTYPE_NF4, x, 256, block));
    x[7] = 3e38f;
    assert_false(hone_dtype_encode(HONE_DTYPE_NF4, x, 256, block));
    assert_false(hone_dtype_encode(HONE_DTYPE_NF4, x, 128, block));
}

static void blocks_of_a_packed_matrix_are_its_rows(void **state)
{
    (void)state;
    enum { N = 37, K = 512 };
    static float x[N * K], row[K], block[N * K];
    const hone_dtype types[] = {HONE_DTYPE_F32,  HONE_DTYPE_BF16, HONE_DTYPE_Q8_0, HONE_DTYPE_Q4_0,
                                HONE_DTYPE_Q4_1, HONE_DTYPE_NF4,  HONE_DTYPE_Q4_K, HONE_DTYPE_Q6_K,
                                HONE_DTYPE_Q5_K, HONE_DTYPE_Q2_K, HONE_DTYPE_Q3_K, HONE_DTYPE_Q5_0};
    for (size_t i = 0; i < N * K; i++)
        x[i] = (float)(hone_rng_uniform(1, 2, i) - 0.5);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        size_t bytes;
        hone_packed w;
        hone_rows rows;
        assert_true(hone_dtype_row_bytes(types[t], K, &bytes));
        uint8_t *stored = malloc(N * bytes);
        assert_true(hone_dtype_encode(types[t], x, N * K, stored));
        assert_true(hone_rows_init(&rows, types[t], stored, K));
        assert_int_equal(hone_packed_plan(hone_layout_for(&rows.coding, types[t] == HONE_DTYPE_F32),
                                          &rows.coding, N, K, &w),
                         HONE_OK);
        uint8_t *data = aligned_alloc(64, hone_packed_bytes(&w));
        assert_true(hone_pack_panels(&w, &rows, 0, w.n_panels, data));
        w.data = data;
        const size_t cuts[][4] = {{0, N, 0, K}, {16, N, 64, 401}, {0, 5, 496, 512}};
        for (size_t i = 0; i < 3; i++) {
            const size_t *c = cuts[i], ld = c[3] - c[2];
            hone_unpack_block(&w, c[0], c[1], c[2], c[3], block, ld);
            for (size_t n = c[0]; n < c[1]; n++) {
                hone_unpack_row(&w, n, row);
                for (size_t k = c[2]; k < c[3]; k++)
                    if (!(block[(n - c[0]) * ld + k - c[2]] == row[k]))
                        fail_msg("%s: row %zu, column %zu: %g, not %g", hone_dtype_name(types[t]),
                                 n, k, (double)block[(n - c[0]) * ld + k - c[2]], (double)row[k]);
            }
        }
        free(data);
        free(stored);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_groups_and_error_are_those_of_bitsandbytes),
        cmocka_unit_test(zeros_small_groups_and_what_it_cannot_hold),
        cmocka_unit_test(blocks_of_a_packed_matrix_are_its_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
