// links: compress
/* Conversion and quantisation, against files that other programs made. */
#include "base/mem.h"
#include "compress/quantize.h"
#include "file/write.h"
#include "model/arch.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../folder.h"
#include "../stories.h"

#define DATA HONE_SOURCE_DIR "/tests/golden/data/"

static char out_path[256];
static int remarks;

static void count_remark(void *arg, const char *text)
{
    (void)arg;
    (void)text;
    remarks++;
}

static hone_quantize_options all(hone_dtype t)
{
    hone_quantize_options o = {.type = t};
    for (int k = 0; k < HONE_QUANTIZE_KINDS; k++)
        o.kind[k] = HONE_QUANTIZE_DEFAULT;
    return o;
}

static hone_status quantize(const char *path, hone_quantize_options o, int threads,
                            hone_quantize_result *r)
{
    static const hone_quantize_events events = {.remark = count_remark};
    hone_file *f;
    hone_pool *pool;
    hone_status s = hone_file_open(path, &f);
    if (s != HONE_OK)
        return s;
    s = hone_pool_open(threads, NULL, &pool);
    if (s == HONE_OK) {
        remarks = 0;
        s = hone_quantize(f, &o, out_path, pool, &events, r);
        hone_pool_close(pool);
    }
    hone_file_close(f);
    return s;
}

static hone_file *open_model(const char *path)
{
    hone_file *f;
    if (hone_file_open(path, &f) != HONE_OK)
        fail_msg("%s", hone_error());
    return f;
}

static int set_up(void **state)
{
    int failed = make_folder(state);
    snprintf(out_path, sizeof out_path, "%s/out.gguf", folder);
    return failed;
}

static int entries(void)
{
    int n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e = readdir(d); e; e = readdir(d))
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* stories260k.gguf was made from the same weights with the gguf package. */
static void a_converted_folder_has_the_tensors_of_an_independent_conversion(void **state)
{
    (void)state;
    need_stories();
    hone_quantize_result r;
    assert_int_equal(quantize(STORIES_HF, all(HONE_DTYPE_F32), 2, &r), HONE_OK);
    hone_file *a = open_model(out_path), *b = open_model(STORIES_GGUF);
    assert_int_equal(hone_file_tensor_count(a), hone_file_tensor_count(b));
    for (size_t i = 0; i < hone_file_tensor_count(b); i++) {
        const hone_tensor *y = hone_file_tensor_at(b, i), *x = hone_file_tensor(a, y->name);
        assert_non_null(x);
        assert_int_equal(x->dtype, y->dtype);
        assert_int_equal(x->n_dims, y->n_dims);
        for (int d = 0; d < y->n_dims; d++)
            assert_int_equal(x->shape[d], y->shape[d]);
        assert_memory_equal(x->data, y->data, y->bytes);
    }
    hone_file_close(a);
    hone_file_close(b);
    unlink(out_path);
}

static void a_converted_folder_has_the_tokenizer_of_an_independent_conversion(void **state)
{
    (void)state;
    need_stories();
    static const char *const lists[] = {"tokenizer.ggml.tokens", "tokenizer.ggml.scores",
                                        "tokenizer.ggml.token_type"};
    static const char *const numbers[] = {"tokenizer.ggml.bos_token_id",
                                          "tokenizer.ggml.eos_token_id", "llama.block_count",
                                          "llama.attention.head_count_kv"};
    hone_quantize_result r;
    assert_int_equal(quantize(STORIES_HF, all(HONE_DTYPE_BF16), 1, &r), HONE_OK);
    hone_file *a = open_model(out_path), *b = open_model(STORIES_GGUF);
    for (size_t k = 0; k < 3; k++) {
        hone_array x, y;
        assert_int_equal(hone_file_array(a, lists[k], &x), HONE_OK);
        assert_int_equal(hone_file_array(b, lists[k], &y), HONE_OK);
        assert_int_equal(x.count, y.count);
        assert_int_equal(x.type, y.type);
        for (uint64_t i = 0; i < x.count; i++) {
            const char *s, *t;
            size_t n = 0, m = 0;
            double u = 0, v = 0;
            if (x.type == HONE_META_STR) {
                assert_true(hone_array_str(&x, i, &s, &n) && hone_array_str(&y, i, &t, &m));
                assert_int_equal(n, m);
                assert_memory_equal(s, t, n);
            } else {
                assert_true(hone_array_f64(&x, i, &u) && hone_array_f64(&y, i, &v));
                assert_true(u == v);
            }
        }
    }
    for (size_t k = 0; k < 4; k++) {
        uint64_t x, y;
        assert_int_equal(hone_file_u64(a, numbers[k], &x), HONE_OK);
        assert_int_equal(hone_file_u64(b, numbers[k], &y), HONE_OK);
        assert_int_equal(x, y);
    }
    hone_file_close(a);
    hone_file_close(b);
    unlink(out_path);
}

/* Folders with Llama 3 scaling, biases and odd sizes: the frequencies keep their bits and the rows
 * of a head go from halves to pairs. */
static void rotary_frequencies_keep_their_bits_and_heads_are_interleaved(void **state)
{
    (void)state;
    hone_quantize_result r;
    const hone_arch *arch;
    hone_hparams x, y;
    assert_int_equal(quantize(DATA "models/llama", all(HONE_DTYPE_F32), 2, &r), HONE_OK);
    assert_int_equal(remarks, 1); /* it has no tokenizer */
    hone_file *a = open_model(out_path), *b = open_model(DATA "models/llama");
    assert_int_equal(hone_arch_read(a, &arch, &x), HONE_OK);
    assert_int_equal(hone_arch_read(b, &arch, &y), HONE_OK);
    assert_int_equal(x.ropes[0][0].dim, y.ropes[0][0].dim);
    assert_memory_equal(x.ropes[0][0].inv_freq, y.ropes[0][0].inv_freq,
                        y.ropes[0][0].dim / 2 * sizeof(float));
    const hone_tensor *q = hone_file_tensor(a, "blk.1.attn_q.weight");
    const hone_tensor *p = hone_file_tensor(b, "model.layers.1.self_attn.q_proj.weight");
    assert_non_null(q);
    assert_non_null(p);
    size_t row = (size_t)y.hidden * sizeof(float);
    for (uint32_t head = 0; head < y.heads; head++)
        for (uint32_t half = 0; half < 2; half++)
            for (uint32_t i = 0; i < y.head_dim / 2; i++)
                assert_memory_equal(q->data + (head * y.head_dim + 2 * i + half) * row,
                                    p->data + (head * y.head_dim + half * y.head_dim / 2 + i) * row,
                                    row);
    hone_file_close(a);
    hone_file_close(b);
    unlink(out_path);
}

/* Half a step of the format, in units of the largest magnitude of a block (for formats with a
 * minimum: of twice that, at most the range), and what float16 scales add. */
static void quantised_values_stay_within_half_a_step(void **state)
{
    (void)state;
    need_stories();
    static const struct {
        hone_dtype type;
        double steps;
    } cases[] = {{HONE_DTYPE_Q8_0, 127 * 2},
                 {HONE_DTYPE_Q4_0, 8},
                 {HONE_DTYPE_Q5_0, 16},
                 {HONE_DTYPE_Q4_1, 15},
                 {HONE_DTYPE_Q5_1, 31}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        hone_quantize_result r;
        static float x[64], y[64];
        assert_int_equal(quantize(STORIES_GGUF, all(cases[c].type), 2, &r), HONE_OK);
        assert_int_equal(r.fallbacks, 5); /* ffn_down: rows of 172 */
        assert_int_equal(remarks, 1);
        hone_file *a = open_model(out_path), *b = open_model(STORIES_GGUF);
        assert_int_equal(hone_file_tensor(a, "blk.0.ffn_down.weight")->dtype, HONE_DTYPE_F16);
        assert_int_equal(hone_file_tensor(a, "blk.0.attn_norm.weight")->dtype, HONE_DTYPE_F32);
        const hone_tensor *q = hone_file_tensor(a, "blk.2.ffn_up.weight");
        const hone_tensor *p = hone_file_tensor(b, "blk.2.ffn_up.weight");
        assert_int_equal(q->dtype, cases[c].type);
        size_t row_bytes;
        assert_true(hone_dtype_row_bytes(cases[c].type, 64, &row_bytes));
        for (uint64_t i = 0; i < q->shape[0]; i++) {
            assert_true(hone_dtype_decode(cases[c].type, q->data + i * row_bytes, 64, x));
            assert_true(hone_dtype_decode(HONE_DTYPE_F32, p->data + i * 64 * 4, 64, y));
            for (int k = 0; k < 64; k += 32) {
                double peak = 0;
                for (int e = k; e < k + 32; e++)
                    peak = fmax(peak, fabs((double)y[e]));
                for (int e = k; e < k + 32; e++)
                    assert_true(fabs((double)x[e] - y[e]) <= peak * (1.0 / cases[c].steps + 2e-3));
            }
        }
        hone_file_close(a);
        hone_file_close(b);
        unlink(out_path);
    }
}

static void each_kind_of_matrix_takes_its_own_format(void **state)
{
    (void)state;
    need_stories();
    hone_quantize_result r;
    hone_quantize_options o = all(HONE_DTYPE_Q4_0);
    o.kind[HONE_QUANTIZE_ATTENTION] = HONE_DTYPE_Q8_0;
    o.kind[HONE_QUANTIZE_HEAD] = HONE_DTYPE_Q5_1; /* tied: that of the embedding */
    assert_int_equal(quantize(STORIES_GGUF, o, 1, &r), HONE_OK);
    hone_file *f = open_model(out_path);
    assert_int_equal(hone_file_tensor(f, "blk.4.attn_output.weight")->dtype, HONE_DTYPE_Q8_0);
    assert_int_equal(hone_file_tensor(f, "blk.4.ffn_gate.weight")->dtype, HONE_DTYPE_Q4_0);
    assert_int_equal(hone_file_tensor(f, "token_embd.weight")->dtype, HONE_DTYPE_Q5_1);
    hone_file_close(f);
    o.mix = hone_mix_by_name("Q4_K_M"); /* which has a format of its own for both */
    assert_int_equal(quantize(STORIES_GGUF, o, 1, &r), HONE_OK);
    f = open_model(out_path);
    assert_int_equal(hone_file_tensor(f, "token_embd.weight")->dtype, HONE_DTYPE_Q5_1);
    hone_file_close(f);
    unlink(out_path);
}

static void a_value_that_cannot_be_stored_is_named_and_leaves_no_file(void **state)
{
    (void)state;
    char source[256];
    hone_gguf_writer *w;
    hone_quantize_result r;
    static float row[64];
    const uint64_t shape[] = {2, 32};
    snprintf(source, sizeof source, "%s/nan.gguf", folder);
    row[40] = NAN;
    assert_int_equal(hone_gguf_writer_open(source, &w), HONE_OK);
    assert_int_equal(hone_gguf_writer_str(w, "general.architecture", "other"), HONE_OK);
    assert_int_equal(hone_gguf_writer_tensor(w, "blk.0.ffn_up.weight", HONE_DTYPE_F32, 2, shape),
                     HONE_OK);
    assert_int_equal(hone_gguf_writer_write_f32(w, row, 64), HONE_OK);
    assert_int_equal(hone_gguf_writer_commit(w), HONE_OK);
    assert_int_equal(quantize(source, all(HONE_DTYPE_Q8_0), 2, &r), HONE_FORMAT);
    assert_non_null(strstr(hone_error(), "blk.0.ffn_up.weight"));
    assert_non_null(strstr(hone_error(), "row 1"));
    unlink(source);
    assert_int_equal(entries(), 0);
}

static void running_out_of_memory_anywhere_leaves_no_file(void **state)
{
    (void)state;
    need_stories();
    hone_quantize_result r;
    int failures = 0;
    for (int64_t n = 0;; n += 1 + n / 8) { /* thousands of them: sampled */
        hone_mem_fail_after(n);
        hone_status s = quantize(STORIES_HF, all(HONE_DTYPE_Q8_0), 1, &r);
        hone_mem_fail_after(-1);
        if (s == HONE_OK)
            break;
        if (s != HONE_MEMORY)
            fail_msg("after %lld allocations: %s", (long long)n, hone_error());
        assert_int_equal(entries(), 0);
        failures++;
    }
    assert_true(failures > 10);
    unlink(out_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_converted_folder_has_the_tensors_of_an_independent_conversion),
        cmocka_unit_test(a_converted_folder_has_the_tokenizer_of_an_independent_conversion),
        cmocka_unit_test(rotary_frequencies_keep_their_bits_and_heads_are_interleaved),
        cmocka_unit_test(quantised_values_stay_within_half_a_step),
        cmocka_unit_test(each_kind_of_matrix_takes_its_own_format),
        cmocka_unit_test(a_value_that_cannot_be_stored_is_named_and_leaves_no_file),
        cmocka_unit_test(running_out_of_memory_anywhere_leaves_no_file),
    };
    return cmocka_run_group_tests(tests, set_up, remove_folder);
}
