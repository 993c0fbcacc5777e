// links: compress
/* Importance matrices (both forms, and hostile ones), mixes of formats, and the encoders' search.
 */
#include "base/io.h"
#include "base/mem.h"
#include "base/rng.h"
#include "compress/imatrix.h"
#include "compress/mix.h"
#include "file/write.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void ok(hone_status s)
{
    if (s != HONE_OK)
        fail_msg("%s: %s", hone_status_name(s), hone_error());
}

/* ---- importance matrices ---- */

static uint8_t bytes[4096];
static size_t used;

static void put(const void *p, size_t n)
{
    memcpy(bytes + used, p, n);
    used += n;
}

static void put_int(int32_t v)
{
    put(&v, 4);
}

static void put_entry(const char *name, int32_t n, float first)
{
    put_int((int32_t)strlen(name));
    put(name, strlen(name));
    put_int(7); /* calls */
    put_int(n);
    for (int32_t i = 0; i < n; i++) {
        float v = first + (float)i;
        put(&v, 4);
    }
}

static void refused(hone_status want, const char *part)
{
    hone_imatrix *m;
    hone_status s = hone_imatrix_read(bytes, used, &m);
    assert_null(m);
    if (s != want || !strstr(hone_error(), part))
        fail_msg("wanted %s with '%s', got %s: %s", hone_status_name(want), part,
                 hone_status_name(s), hone_error());
    used = 0;
}

static void the_old_form_reads(void **state)
{
    (void)state;
    hone_imatrix *m;
    uint64_t matrices;
    put_int(2);
    put_entry("blk.1.ffn_up.weight", 6, 10.0f);
    put_entry("blk.0.ffn_up.weight", 3, 1.0f);
    put_int(100); /* last chunk; then the name of a text */
    ok(hone_imatrix_read(bytes, used, &m));
    assert_int_equal(hone_imatrix_entries(m), 2);
    const float *w;
    ok(hone_imatrix_weights(m, "blk.0.ffn_up.weight", 3, 1, &w, &matrices));
    assert_non_null(w);
    assert_int_equal(matrices, 1);
    assert_true(w[0] == 1.0f && w[2] == 3.0f);
    ok(hone_imatrix_weights(m, "blk.1.ffn_up.weight", 3, 2, &w, &matrices)); /* two experts */
    assert_int_equal(matrices, 2);
    assert_true(w[3] == 13.0f);
    ok(hone_imatrix_weights(m, "blk.2.ffn_up.weight", 3, 1, &w, &matrices));
    assert_null(w);
    ok(hone_imatrix_weights(NULL, "blk.0.ffn_up.weight", 3, 1, &w, &matrices));
    assert_null(w);
    /* of another model: other rows, or one matrix's numbers for the rows of two */
    assert_int_equal(hone_imatrix_weights(m, "blk.0.ffn_up.weight", 4, 1, &w, &matrices),
                     HONE_FORMAT);
    assert_int_equal(hone_imatrix_weights(m, "blk.1.ffn_up.weight", 3, 1, &w, &matrices),
                     HONE_FORMAT);
    assert_non_null(strstr(hone_error(), "blk.1.ffn_up.weight, whose rows have 3"));
    hone_imatrix_close(m);
    used = 0;
}

static void damaged_matrices_are_refused(void **state)
{
    (void)state;
    float bad = NAN;
    refused(HONE_FORMAT, "ends too early");
    put_int(-1);
    refused(HONE_FORMAT, "number of entries is -1");
    put_int(0);
    refused(HONE_FORMAT, "no importance matrix");
    put_int(1);
    put_int(1 << 30);
    refused(HONE_FORMAT, "length of a name");
    put_int(1);
    put_int(0);
    put_int(1);
    put_int(0);
    refused(HONE_FORMAT, "no name");
    put_int(1);
    put_int(1);
    put("a", 1);
    put_int(1);
    put_int(INT32_MAX); /* 8 GiB that are not there */
    refused(HONE_FORMAT, "ends too early");
    put_int(2);
    put_entry("a", 1, 1.0f);
    put_entry("a", 1, 1.0f);
    refused(HONE_FORMAT, "appears twice");
    put_int(1);
    put_entry("a", 1, -1.0f);
    refused(HONE_FORMAT, "negative");
    put_int(1);
    put_entry("a", 1, 1.0f);
    memcpy(bytes + used - 4, &bad, 4);
    refused(HONE_FORMAT, "no number");
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    used = 0;
    put_int(1);
    put_entry("a", 4, 1.0f);
    hone_status s = HONE_MEMORY;
    for (int64_t n = 0; s != HONE_OK; n++) {
        hone_imatrix *m;
        assert_true(n < 100);
        hone_mem_fail_after(n);
        s = hone_imatrix_read(bytes, used, &m);
        hone_mem_fail_after(-1);
        assert_true(s == HONE_OK || s == HONE_MEMORY);
        hone_imatrix_close(m);
    }
    used = 0;
}

static void the_gguf_form_reads(void **state)
{
    (void)state;
    static const char path[] = HONE_BUILD_DIR "/test_compress_parts.gguf";
    hone_gguf_writer *w;
    hone_imatrix *m;
    uint64_t matrices;
    ok(hone_gguf_writer_open(path, &w));
    ok(hone_gguf_writer_str(w, "general.type", "imatrix"));
    ok(hone_gguf_writer_tensor(w, "x.weight.in_sum2", HONE_DTYPE_F32, 2, (uint64_t[]){2, 3}));
    ok(hone_gguf_writer_tensor(w, "x.weight.counts", HONE_DTYPE_F32, 2, (uint64_t[]){2, 1}));
    ok(hone_gguf_writer_write_f32(w, (float[]){2, 4, 6, 1, 1, 1}, 6));
    ok(hone_gguf_writer_write_f32(w, (float[]){2, 0}, 2));
    ok(hone_gguf_writer_commit(w));
    ok(hone_imatrix_open(path, &m));
    const float *v;
    ok(hone_imatrix_weights(m, "x.weight", 3, 2, &v, &matrices));
    assert_non_null(v);
    assert_int_equal(matrices, 2);
    assert_true(v[0] == 1.0f && v[2] == 3.0f && v[3] == 1.0f);
    hone_imatrix_close(m);
    ok(hone_gguf_writer_open(path, &w));
    ok(hone_gguf_writer_tensor(w, "x.weight.in_sum2", HONE_DTYPE_F32, 2, (uint64_t[]){2, 3}));
    ok(hone_gguf_writer_write_f32(w, (float[]){2, 4, 6, 1, 1, 1}, 6));
    ok(hone_gguf_writer_commit(w));
    assert_int_equal(hone_imatrix_open(path, &m), HONE_FORMAT);
    assert_non_null(strstr(hone_error(), "x.weight.counts"));
    unlink(path);
}

/* ---- mixes: what llama-quantize (b6000 and later) gives a dense model of 32 layers ---- */

static const char *type_of(const char *mix, const hone_mix_model *m, const char *tensor)
{
    return hone_dtype_name(hone_mix_dtype(hone_mix_by_name(mix), m, tensor));
}

static void mixes_distribute_formats_as_llama_cpp_does(void **state)
{
    (void)state;
    const hone_mix_model gqa = {.layers = 32, .heads_per_kv = 4},
                         tied = {.layers = 16, .tied = true};
    assert_null(hone_mix_by_name("q4_k"));
    assert_string_equal(type_of("Q4_K_M", &gqa, "output.weight"), "q6_k");
    assert_string_equal(type_of("Q4_K_M", &gqa, "token_embd.weight"), "q4_k");
    assert_string_equal(type_of("Q4_K_M", &tied, "token_embd.weight"), "q6_k");
    /* of 32 layers: 0-3 and 28-31, and 6, 9, ... between */
    for (unsigned layer = 0; layer < 32; layer++) {
        char name[64];
        bool more = layer < 4 || layer >= 28 || (layer > 4 && layer % 3 == 0);
        snprintf(name, sizeof name, "blk.%u.ffn_down.weight", layer);
        assert_string_equal(type_of("q4_k_m", &gqa, name), more ? "q6_k" : "q4_k");
        assert_string_equal(type_of("q5_k_m", &gqa, name), more ? "q6_k" : "q5_k");
        snprintf(name, sizeof name, "blk.%u.attn_q.weight", layer);
        assert_string_equal(type_of("q4_k_m", &gqa, name), "q4_k");
    }
    assert_string_equal(type_of("q2_k", &gqa, "blk.5.attn_v.weight"), "q4_k");
    assert_string_equal(type_of("q2_k", &tied, "blk.5.attn_v.weight"), "q3_k");
    assert_string_equal(type_of("q3_k_m", &gqa, "blk.1.attn_v.weight"), "q5_k");
    assert_string_equal(type_of("q3_k_m", &gqa, "blk.2.attn_v.weight"), "q4_k");
    assert_string_equal(type_of("iq4_xs", &gqa, "blk.0.ffn_down.weight"), "q5_k");
    for (size_t i = 0; hone_mix_at(i); i++)
        assert_ptr_equal(hone_mix_by_name(hone_mix_name(hone_mix_at(i))), hone_mix_at(i));
    assert_int_equal(hone_mix_fallback(HONE_DTYPE_Q4_K, 512, HONE_DTYPE_F16), HONE_DTYPE_Q4_K);
    assert_int_equal(hone_mix_fallback(HONE_DTYPE_Q4_K, 96, HONE_DTYPE_F16), HONE_DTYPE_Q5_0);
    assert_int_equal(hone_mix_fallback(HONE_DTYPE_Q4_K, 100, HONE_DTYPE_F16), HONE_DTYPE_F16);
    assert_int_equal(hone_mix_fallback(HONE_DTYPE_Q8_0, 100, HONE_DTYPE_BF16), HONE_DTYPE_BF16);
}

/* ---- the encoders ---- */

enum { N = 1024 };

static double weighted_error(hone_dtype t, const float *x, const float *weights, const void *data)
{
    static float back[N];
    double sum = 0.0;
    assert_true(hone_dtype_decode(t, data, N, back));
    for (int i = 0; i < N; i++)
        sum += (double)weights[i] * pow((double)(back[i] - x[i]), 2.0);
    return sum;
}

static const hone_dtype encoded[] = {HONE_DTYPE_Q4_0,   HONE_DTYPE_Q4_1,   HONE_DTYPE_Q5_0,
                                     HONE_DTYPE_Q5_1,   HONE_DTYPE_Q2_K,   HONE_DTYPE_Q3_K,
                                     HONE_DTYPE_Q4_K,   HONE_DTYPE_Q5_K,   HONE_DTYPE_Q6_K,
                                     HONE_DTYPE_IQ4_NL, HONE_DTYPE_IQ4_XS, HONE_DTYPE_MXFP4};

static void weights_move_the_error_to_where_it_matters_less(void **state)
{
    (void)state;
    static float x[N], w[N];
    static uint8_t plain[N * 4], weighted[N * 4];
    for (uint64_t i = 0; i < N; i++) {
        double g[2];
        hone_rng_normal2(3, 0, i, g);
        x[i] = (float)g[0];
        w[i] = (float)exp(2.0 * g[1]);
    }
    for (size_t t = 0; t < sizeof encoded / sizeof *encoded; t++) {
        assert_true(hone_dtype_encode(encoded[t], x, N, plain));
        assert_true(hone_dtype_encode_weighted(encoded[t], x, w, N, weighted));
        double before = weighted_error(encoded[t], x, w, plain),
               after = weighted_error(encoded[t], x, w, weighted);
        if (!(after < 0.97 * before))
            fail_msg("%s: %g with weights, %g without", hone_dtype_name(encoded[t]), after, before);
    }
}

static void awkward_blocks_encode_or_are_refused(void **state)
{
    (void)state;
    static float x[N], w[N], back[N];
    static uint8_t data[N * 4];
    for (size_t t = 0; t < sizeof encoded / sizeof *encoded; t++)
        for (int kind = 0; kind < 7; kind++) {
            for (int i = 0; i < N; i++) {
                static const float same[] = {0.0f, 1.0f, -1.0f, 1e-30f, 1e4f};
                x[i] = kind < 5 ? same[kind] : kind == 5 ? (i == 17 ? 3.0f : 0.0f) : 1.0f;
                w[i] = kind == 1 ? 0.0f : (float)(i % 3);
            }
            if (kind == 6)
                x[100] = NAN;
            assert_int_equal(hone_dtype_encode(encoded[t], x, N, data), kind != 6);
            assert_int_equal(hone_dtype_encode_weighted(encoded[t], x, w, N, data), kind != 6);
            assert_int_equal(hone_dtype_encode(encoded[t], x, N, data), kind != 6);
            if (kind == 6)
                continue;
            assert_true(hone_dtype_decode(encoded[t], data, N, back));
            for (int i = 0; i < N; i++)
                if (!(fabsf(back[i] - x[i]) <=
                      0.26f * fabsf(x[i]) + (kind == 5 ? 0.03f : 1e-20f))) /* IQ4 has no 0 */
                    fail_msg("%s, kind %d: %g came back as %g", hone_dtype_name(encoded[t]), kind,
                             (double)x[i], (double)back[i]);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_old_form_reads),
        cmocka_unit_test(damaged_matrices_are_refused),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(the_gguf_form_reads),
        cmocka_unit_test(mixes_distribute_formats_as_llama_cpp_does),
        cmocka_unit_test(weights_move_the_error_to_where_it_matters_less),
        cmocka_unit_test(awkward_blocks_encode_or_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
