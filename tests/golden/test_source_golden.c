// links: eval compress
/* Quantised matrices against the packages that made them (make_source.py), and whole checkpoints
 * against transformers on their dequantised weights (the shared golden/quant/checkpoints). */
#include "base/io.h"
#include "base/mem.h"
#include "base/threads.h"
#include "compress/quantize.h"
#include "dtype/half.h"
#include "engine/engine.h"
#include "eval/eval.h"
#include "file/write.h"
#include "model/source.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../folder.h"
#include "../shared.h"

#define SAMPLES HONE_SOURCE_DIR "/tests/golden/data/sources.safetensors"

static hone_file *samples;

static int open_samples(void **state)
{
    hone_status s = hone_file_open(SAMPLES, &samples);
    if (s != HONE_OK)
        print_message("%s\n", hone_error());
    return s != HONE_OK || make_folder(state) != 0;
}

static int close_samples(void **state)
{
    hone_file_close(samples);
    return remove_folder(state);
}

/* A sample, the kind it must be taken for, and what its kernels would get. */
typedef struct sample {
    const char *name, *kind;
    uint32_t bits, group; /* of the coding; 0 bits: plain numbers */
    bool has_min, ordered;
    float tolerance; /* of decoded values, relative; 0: the same bits */
} sample;

static const sample all[] = {
    {"gptq.4bit", "gptq", 4, 32, true, false, 0},
    {"gptq.4bit.act_order", "gptq", 4, 32, true, true, 0},
    {"gptq.8bit", "gptq", 8, 32, true, false, 0},
    {"gptq.3bit", "gptq", 3, 32, true, false, 0},
    {"gptq.2bit.act_order", "gptq", 2, 32, true, true, 0},
    {"awq.gemm", "awq", 4, 32, true, false, 0},
    {"int4.actorder", "packed", 4, 64, false, true, 0},
    {"int4.actorder_zeros", "packed", 4, 64, true, true, 0},
    {"int4.channel_zeros", "packed", 4, 0, true, false, 0},
    {"int2", "packed", 2, 32, true, false, 0},
    {"int5", "packed", 5, 32, true, false, 0},
    {"int6", "packed", 6, 64, false, false, 0},
    {"int8.packed_zeros", "packed", 8, 64, true, false, 0},
    {"int8.bytes_group", "int8", 8, 64, false, false, 0},
    {"int8.bytes_zeros", "int8", 8, 0, true, false, 0},
    {"nvfp4", "fp4", 4, 16, false, false, 0},
    {"sparse24", "sparse", 0, 0, false, false, 0},
    {"sparse", "sparse", 0, 0, false, false, 0},
    {"bnb.nf4", "bnb-4bit", 4, 64, false, false, 0},
    {"bnb.nf4.double", "bnb-4bit", 4, 64, false, false, 0},
    {"bnb.fp4", "bnb-4bit", 4, 64, false, false, 0},
    {"bnb.fp4.double", "bnb-4bit", 4, 64, false, false, 0},
    /* bitsandbytes multiplies by SCB before it divides by 127, here the scale is SCB / 127. */
    {"bnb.int8", "bnb-int8", 8, 0, false, false, 0x1p-23f},
};
enum { SAMPLES_N = sizeof all / sizeof *all, K_MAX = 512 };

static hone_source open_source(const char *name, size_t n, size_t k)
{
    hone_source s;
    char weight[160];
    snprintf(weight, sizeof weight, "%s.weight", name);
    if (hone_source_open(samples, weight, n, k, &s) != HONE_OK)
        fail_msg("%s", hone_error());
    return s;
}

static const hone_tensor *expected_of(const char *name)
{
    char full[160];
    snprintf(full, sizeof full, "%s.dequantized", name);
    const hone_tensor *t = hone_file_tensor(samples, full);
    if (!t)
        fail_msg("%s is not in the samples", full);
    return t;
}

static float number(const hone_tensor *t, size_t i)
{
    float x;
    memcpy(&x, t->data + 4 * i, 4);
    return x;
}

static void decode_row(const hone_source *s, size_t row, float *out)
{
    for (size_t k = 0; k < s->k; k += 256)
        assert_true(s->rows.decode(&s->rows, row, k, s->k - k < 256 ? s->k - k : 256, out + k));
}

static void every_kind_decodes_to_what_its_package_makes_of_it(void **state)
{
    (void)state;
    float row[K_MAX];
    for (size_t i = 0; i < SAMPLES_N; i++) {
        const hone_tensor *want = expected_of(all[i].name);
        size_t n = (size_t)want->shape[0], k = (size_t)want->shape[1];
        hone_source s = open_source(all[i].name, n, k), as_filed = open_source(all[i].name, 0, 0);
        assert_string_equal(s.kind->name, all[i].kind);
        assert_int_equal(as_filed.n, n);
        assert_int_equal(as_filed.k, k);
        for (size_t r = 0; r < n; r++) {
            decode_row(&s, r, row);
            for (size_t c = 0; c < k; c++) {
                float w = number(want, r * k + c);
                if (!(fabsf(row[c] - w) <= all[i].tolerance * fabsf(w)))
                    fail_msg("%s: row %zu column %zu is %.9g, not %.9g", all[i].name, r, c,
                             (double)row[c], (double)w);
            }
        }
        hone_source_close(&s);
        hone_source_close(&as_filed);
    }
}

/* value of an element from the codes that kernels get; exact but for the last sum. */
static double from_codes(const hone_coding *c, int code, float scale, float min)
{
    double value = c->bits == 4 ? (double)c->table[code & 15] : code;
    return (double)scale * value + (c->has_min ? (double)min : 0);
}

static void check_codes(const sample *x, const hone_source *s, size_t row)
{
    const hone_coding *c = &s->rows.coding;
    float values[K_MAX], scales[K_MAX], mins[K_MAX];
    int8_t codes[K_MAX];
    size_t group = c->group ? c->group : s->k;
    decode_row(s, row, values);
    for (size_t k0 = 0; k0 < s->k; k0 += 256) {
        size_t count = s->k - k0 < 256 ? s->k - k0 : 256;
        assert_true(s->rows.codes(&s->rows, row, k0, count, codes, scales, mins));
        for (size_t i = 0; i < count; i++) {
            size_t g = (k0 + i) / group - k0 / group, at = s->order ? s->order[k0 + i] : k0 + i;
            float scale = scales[g], min = c->has_min ? mins[g] : 0;
            double have = from_codes(c, codes[i], scale, min);
            /* float32 keeps 24 bits of scale * code, of min and of the sum. */
            double allowed = 0x1p-23 * (fabs((double)values[at]) + fabs((double)min));
            if (!(fabs(have - (double)values[at]) <= allowed))
                fail_msg("%s: row %zu place %zu: code %d gives %.9g, not %.9g", x->name, row,
                         k0 + i, codes[i], have, (double)values[at]);
            if (!c->wide && hone_f16_to_f32(hone_f32_to_f16(scale)) != scale)
                fail_msg("%s: the scale %.9g is no float16", x->name, (double)scale);
        }
    }
}

static void codes_and_scales_for_the_kernels_are_the_stored_ones(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES_N; i++) {
        const sample *x = &all[i];
        hone_source s = open_source(x->name, 0, 0);
        const hone_coding *c = &s.rows.coding;
        if (c->bits != x->bits || c->group != x->group || c->has_min != x->has_min ||
            (s.order != NULL) != x->ordered)
            fail_msg("%s: %u bits in groups of %u, min %d, order %d", x->name, c->bits, c->group,
                     c->has_min, s.order != NULL);
        for (size_t r = 0; r < s.n && c->bits; r++)
            check_codes(x, &s, r);
        hone_source_close(&s);
    }
}

static void an_order_of_columns_has_each_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES_N; i++) {
        hone_source s = open_source(all[i].name, 0, 0);
        bool seen[K_MAX] = {false};
        for (size_t k = 0; s.order && k < s.k; k++) {
            assert_in_range(s.order[k], 0, s.k - 1);
            assert_false(seen[s.order[k]]);
            seen[s.order[k]] = true;
        }
        hone_source_close(&s);
    }
}

static void experts_of_gpt_oss_decode(void **state)
{
    (void)state;
    const hone_tensor *want = hone_file_tensor(samples, "experts.gate_up_proj.dequantized");
    assert_non_null(want); /* [experts][k][n] */
    size_t k = (size_t)want->shape[1], n = (size_t)want->shape[2];
    for (size_t e = 0; e < want->shape[0]; e++) {
        char name[64];
        float row[K_MAX];
        snprintf(name, sizeof name, "experts.%zu.gate_up_proj", e);
        hone_source s = open_source(name, n, k);
        assert_string_equal(s.kind->name, "experts");
        assert_true(s.bf16_exact);
        for (size_t r = 0; r < n; r++) {
            decode_row(&s, r, row);
            for (size_t c = 0; c < k; c++)
                assert_true(row[c] == number(want, (e * k + c) * n + r));
        }
        hone_source_close(&s);
    }
    hone_source s;
    assert_int_equal(hone_source_open(samples, "experts.2.gate_up_proj.weight", 0, 0, &s),
                     HONE_NOT_FOUND);
    assert_non_null(strstr(hone_error(), "2 experts"));
}

static void small_floats_have_the_values_of_their_tables(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        hone_dtype dtype;
    } tables[] = {{"float8_e4m3fn.values", HONE_DTYPE_F8_E4M3},
                  {"float8_e5m2.values", HONE_DTYPE_F8_E5M2},
                  {"float8_e8m0fnu.values", HONE_DTYPE_F8_E8M0},
                  {"float4_e2m1.values", HONE_DTYPE_F4}};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        const hone_tensor *want = hone_file_tensor(samples, tables[t].name);
        assert_non_null(want);
        size_t n = (size_t)want->shape[0];
        for (size_t i = 0; i < n; i++) {
            float have[2], w = number(want, i);
            uint8_t byte = (uint8_t)i;
            assert_true(hone_dtype_decode(tables[t].dtype, &byte, n == 16 ? 2 : 1, have));
            if (isnan(w) ? !isnan(have[0]) : hone_f32_bits(have[0]) != hone_f32_bits(w))
                fail_msg("%s %zu: %.9g, not %.9g", tables[t].name, i, (double)have[0], (double)w);
        }
    }
}

/* ---- version 2 of GPTQ: a folder, since config.json tells it -------------------------------- */

static void copy_tensor(hone_safetensors_writer *w, const char *from, const char *to)
{
    const hone_tensor *t = hone_file_tensor(samples, from);
    assert_non_null(t);
    assert_int_equal(
        hone_safetensors_writer_tensor(w, to, (hone_dtype)t->dtype, t->n_dims, t->shape), HONE_OK);
}

static void version_2_of_gptq_stores_zero_points_as_they_are(void **state)
{
    (void)state;
    static const char *const parts[] = {"qweight", "scales", "qzeros", "g_idx"};
    static const char config[] =
        "{\"quantization_config\": {\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 64, "
        "\"checkpoint_format\": \"gptq_v2\"}}";
    char path[256], from[64], to[64];
    hone_safetensors_writer *w;
    hone_file *f;
    hone_source s;
    float row[K_MAX];
    snprintf(path, sizeof path, "%s/config.json", folder);
    assert_int_equal(hone_write_file(path, config, strlen(config)), HONE_OK);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    assert_int_equal(hone_safetensors_writer_open(path, &w), HONE_OK);
    for (int i = 0; i < 4; i++) {
        snprintf(from, sizeof from, "gptq_v2.4bit.%s", parts[i]);
        snprintf(to, sizeof to, "a.%s", parts[i]);
        copy_tensor(w, from, to);
    }
    for (int i = 0; i < 4; i++) {
        snprintf(from, sizeof from, "gptq_v2.4bit.%s", parts[i]);
        const hone_tensor *t = hone_file_tensor(samples, from);
        assert_int_equal(hone_safetensors_writer_write(w, t->data, (size_t)t->bytes), HONE_OK);
    }
    assert_int_equal(hone_safetensors_writer_commit(w), HONE_OK);
    assert_int_equal(hone_file_open(folder, &f), HONE_OK);
    const hone_tensor *want = expected_of("gptq_v2.4bit");
    if (hone_source_open(f, "a.weight", (size_t)want->shape[0], (size_t)want->shape[1], &s))
        fail_msg("%s", hone_error());
    for (size_t r = 0; r < s.n; r++) {
        decode_row(&s, r, row);
        for (size_t c = 0; c < s.k; c++)
            assert_true(row[c] == number(want, r * s.k + c));
    }
    hone_source_close(&s);
    hone_file_close(f);
}

/* ---- whole checkpoints ---------------------------------------------------------------------- */

static const char *const checkpoints[] = {
    "awq-4bit",
    "bnb-int8",
    "bnb-nf4-double",
    "compressed-tensors-fp8-channel",
    "compressed-tensors-w4a16",
    "compressed-tensors-w8-channel",
    "fp8-block128",
    "gptq-4bit-actorder",
};
enum { CHECKPOINTS = sizeof checkpoints / sizeof *checkpoints };

static const char *shared_path(const char *name, const char *inner, char path[1024])
{
    char inside[256];
    snprintf(inside, sizeof inside, "golden/quant/checkpoints/%s%s", name, inner);
    snprintf(path, 1024, "%.1023s", shared(inside));
    return path;
}

/* Logits of the model at `path`, fed `piece` tokens at a time. */
static float *logits_on(int isa, const char *path, hone_compute compute, uint32_t piece,
                        const int32_t *ids, uint32_t n, uint32_t *vocab)
{
    hone_config c = hone_config_default();
    c.isa = isa;
    hone_engine *e;
    hone_session *s;
    c.compute = compute;
    c.kv_format = compute == HONE_COMPUTE_F32 ? HONE_KV_F32 : HONE_KV_BF16;
    c.threads = 2;
    if (hone_engine_open(path, &c, NULL, NULL, &e) != HONE_OK)
        fail_msg("%s", hone_error());
    *vocab = hone_engine_facts(e)->vocab;
    float *x = hone_malloc((size_t)n * *vocab * sizeof *x);
    assert_non_null(x);
    assert_int_equal(hone_session_open(e, &s), HONE_OK);
    for (uint32_t at = 0; at < n; at += piece)
        if (hone_session_feed(s, ids + at, n - at < piece ? n - at : piece, HONE_WANT_ALL,
                              x + (size_t)at * *vocab) != HONE_OK)
            fail_msg("%s: %s", path, hone_error());
    hone_session_close(s);
    hone_engine_close(e);
    return x;
}

static float *logits_of(const char *path, hone_compute compute, uint32_t piece, const int32_t *ids,
                        uint32_t n, uint32_t *vocab)
{
    return logits_on(hone_config_default().isa, path, compute, piece, ids, n, vocab);
}

static double largest_difference(const float *a, const float *b, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        worst = d <= worst ? worst : d; /* NaN is worst */
    }
    return worst;
}

/* float32: the reference's own rounding, about 1e-5 of logits with a standard deviation of 2, three
 * times over. bfloat16: what rounding activations costs here; a wrong zero point or order costs
 * a hundred times as much. Fed whole, token by token, and by sevens to the scalar kernels, bfloat16
 * gives the same bits. */
static void whole_checkpoints_give_the_logits_of_their_dequantised_weights(void **state)
{
    (void)state;
    for (int i = 0; i < CHECKPOINTS; i++) {
        char path[1024];
        hone_file *f;
        uint32_t vocab;
        int32_t ids[64];
        if (access(shared_path(checkpoints[i], "/reference.safetensors", path), R_OK) != 0) {
            print_message("SKIP whole_checkpoints: needs ../shared/data/golden/quant\n");
            skip();
        }
        assert_int_equal(hone_file_open(path, &f), HONE_OK);
        const hone_tensor *t = hone_file_tensor(f, "input_ids"), *l = hone_file_tensor(f, "logits");
        uint32_t n = (uint32_t)t->shape[0];
        assert_in_range(n, 1, 64);
        memcpy(ids, t->data, n * sizeof *ids);
        size_t count = (size_t)hone_tensor_elements(l);
        float *want = hone_malloc(count * sizeof *want);
        memcpy(want, l->data, count * sizeof *want);
        shared_path(checkpoints[i], "", path);
        float *f32 = logits_of(path, HONE_COMPUTE_F32, n, ids, n, &vocab);
        float *bf16 = logits_of(path, HONE_COMPUTE_BF16, n, ids, n, &vocab);
        float *single = logits_of(path, HONE_COMPUTE_BF16, 1, ids, n, &vocab);
        float *scalar = logits_on(HONE_ISA_SCALAR, path, HONE_COMPUTE_BF16, 7, ids, n, &vocab);
        assert_int_equal((size_t)n * vocab, count);
        double exact = largest_difference(f32, want, count);
        double rounded = largest_difference(bf16, want, count);
        print_message("%-32s float32 %.1e, bfloat16 %.2f\n", checkpoints[i], exact, rounded);
        assert_true(exact < 5e-5);
        assert_true(rounded < 0.3);
        assert_memory_equal(bf16, single, count * sizeof *bf16);
        assert_memory_equal(bf16, scalar, count * sizeof *bf16);
        hone_free(want);
        hone_free(f32);
        hone_free(bf16);
        hone_free(single);
        hone_free(scalar);
        hone_file_close(f);
    }
}

/* Puts the column groups of one matrix in place of another's, in the bytes of the file. */
static void share_order(const hone_file *f, char *bytes, size_t n, const char *from, const char *to)
{
    char name[160];
    snprintf(name, sizeof name, "model.layers.0.%s.g_idx", from);
    const hone_tensor *a = hone_file_tensor(f, name);
    snprintf(name, sizeof name, "model.layers.0.%s.g_idx", to);
    const hone_tensor *b = hone_file_tensor(f, name);
    char *at = memmem(bytes, n, b->data, (size_t)b->bytes);
    assert_non_null(at);
    memcpy(at, a->data, (size_t)a->bytes);
}

/* GPTQ gives q, k and v one order, and gate and up; the sample gives each its own. With shared
 * orders bfloat16 must still agree with float32, which knows no order. */
static void matrices_that_share_an_order_share_its_activations(void **state)
{
    (void)state;
    static const int32_t ids[] = {5, 77, 200, 13, 5, 9};
    enum { IDS = sizeof ids / sizeof *ids };
    char path[1024], file[256], *bytes;
    size_t n;
    uint32_t vocab;
    hone_file *f;
    if (access(shared_path("gptq-4bit-actorder", "/config.json", path), R_OK) != 0) {
        print_message("SKIP matrices_that_share_an_order: needs ../shared/data/golden/quant\n");
        skip();
    }
    assert_int_equal(hone_read_file(path, 1 << 20, &bytes, &n), HONE_OK);
    snprintf(file, sizeof file, "%s/config.json", folder);
    assert_int_equal(hone_write_file(file, bytes, n), HONE_OK);
    hone_free(bytes);
    assert_int_equal(hone_file_open(shared_path("gptq-4bit-actorder", "", path), &f), HONE_OK);
    shared_path("gptq-4bit-actorder", "/model.safetensors", path);
    assert_int_equal(hone_read_file(path, 1 << 24, &bytes, &n), HONE_OK);
    share_order(f, bytes, n, "self_attn.q_proj", "self_attn.k_proj");
    share_order(f, bytes, n, "self_attn.q_proj", "self_attn.v_proj");
    share_order(f, bytes, n, "mlp.gate_proj", "mlp.up_proj");
    snprintf(file, sizeof file, "%s/model.safetensors", folder);
    assert_int_equal(hone_write_file(file, bytes, n), HONE_OK);
    hone_free(bytes);
    hone_file_close(f);
    float *f32 = logits_of(folder, HONE_COMPUTE_F32, IDS, ids, IDS, &vocab);
    float *bf16 = logits_of(folder, HONE_COMPUTE_BF16, IDS, ids, IDS, &vocab);
    float *single = logits_of(folder, HONE_COMPUTE_BF16, 1, ids, IDS, &vocab);
    assert_true(largest_difference(f32, bf16, IDS * (size_t)vocab) < 0.3);
    assert_memory_equal(bf16, single, IDS * vocab * sizeof *bf16);
    hone_free(f32);
    hone_free(bf16);
    hone_free(single);
}

static void remark(void *arg, const char *text)
{
    (void)arg;
    (void)text;
}

/* Written as GGUF in float32, a checkpoint is its decoded weights. */
static void checkpoints_export_to_gguf_with_the_same_values(void **state)
{
    (void)state;
    static const int32_t ids[] = {5, 77, 200, 13, 5, 9};
    enum { IDS = sizeof ids / sizeof *ids };
    char path[1024], out[256];
    snprintf(out, sizeof out, "%s/out.gguf", folder);
    for (int i = 0; i < CHECKPOINTS; i++) {
        hone_file *f;
        hone_pool *pool;
        hone_quantize_result result;
        uint32_t vocab;
        hone_quantize_options o = {.type = HONE_DTYPE_F32};
        hone_quantize_events events = {.remark = remark};
        for (int k = 0; k < HONE_QUANTIZE_KINDS; k++)
            o.kind[k] = HONE_QUANTIZE_DEFAULT;
        if (access(shared_path(checkpoints[i], "/config.json", path), R_OK) != 0) {
            print_message("SKIP checkpoints_export: needs ../shared/data/golden/quant\n");
            skip();
        }
        shared_path(checkpoints[i], "", path);
        assert_int_equal(hone_file_open(path, &f), HONE_OK);
        assert_int_equal(hone_pool_open(2, NULL, &pool), HONE_OK);
        if (hone_quantize(f, &o, out, pool, &events, &result) != HONE_OK)
            fail_msg("%s: %s", checkpoints[i], hone_error());
        assert_int_equal(result.requantized, 14);
        hone_pool_close(pool);
        hone_file_close(f);
        float *folder_logits = logits_of(path, HONE_COMPUTE_F32, IDS, ids, IDS, &vocab);
        float *gguf_logits = logits_of(out, HONE_COMPUTE_F32, IDS, ids, IDS, &vocab);
        assert_memory_equal(folder_logits, gguf_logits, IDS * vocab * sizeof(float));
        hone_free(folder_logits);
        hone_free(gguf_logits);
        unlink(out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_decodes_to_what_its_package_makes_of_it),
        cmocka_unit_test(codes_and_scales_for_the_kernels_are_the_stored_ones),
        cmocka_unit_test(an_order_of_columns_has_each_once),
        cmocka_unit_test(experts_of_gpt_oss_decode),
        cmocka_unit_test(small_floats_have_the_values_of_their_tables),
        cmocka_unit_test(version_2_of_gptq_stores_zero_points_as_they_are),
        cmocka_unit_test(whole_checkpoints_give_the_logits_of_their_dequantised_weights),
        cmocka_unit_test(matrices_that_share_an_order_share_its_activations),
        cmocka_unit_test(checkpoints_export_to_gguf_with_the_same_values),
    };
    return cmocka_run_group_tests(tests, open_samples, close_samples);
}
