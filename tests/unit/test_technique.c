// links: technique
#include "base/io.h"
#include "base/mem.h"
#include "kernel/kernel.h"
#include "technique/rows.h"
#include "technique/technique.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* A model of 1000 x 32 x ... whose figures are easy to reckon by hand. */
static hone_technique_facts small_facts(void)
{
    hone_technique_facts f = {
        .model = {.layers = 2,
                  .hidden = 64,
                  .heads = 4,
                  .kv_heads = 2,
                  .head_dim = 16,
                  .ffn = 128,
                  .vocab = 1000,
                  .context_tokens = 100,
                  .packed_kind_bytes = {2 * 2 * 64 * 16 * 12, 2 * 2 * 64 * 128 * 3, 2 * 64 * 1000}},
        .machine = {.threads = 4, .read_bytes_s = 1e9},
        .cpus = 4,
        .prompt_tokens = 50,
        .depth_tokens = 10,
        .sessions = 8,
    };
    f.model.flops_per_token = 2 * (2 * 64 * 16 * 12 + 2 * 64 * 128 * 3 + 64 * 1000);
    for (int i = 0; i < HONE_ISA_COUNT; i++)
        f.machine.ops_s[i] = 1e12;
    return f;
}

/* Of a prompt's products with weights: the head sees its last token only. */
static double prompt_ops(const hone_technique_facts *f)
{
    double head = 2 * 64 * 1000;
    return f->prompt_tokens * (f->model.flops_per_token - head) + head;
}

static bool applies(const hone_technique_facts *f, const hone_config *c, const char *label)
{
    const hone_technique *t;
    const hone_technique_value *v;
    if (!hone_technique_find(label, &t, &v))
        fail_msg("no technique %s", label);
    return t->applies(f, c, v->knob);
}

static hone_config with(hone_config c, const char *label)
{
    const hone_technique *t;
    const hone_technique_value *v;
    if (!hone_technique_find(label, &t, &v))
        fail_msg("no technique %s", label);
    t->apply(v->knob, &c);
    return c;
}

static void every_row_is_complete_and_labels_are_unique(void **state)
{
    (void)state;
    size_t n;
    const hone_technique *const *rows = hone_techniques(&n);
    assert_true(n >= 5);
    for (size_t i = 0; i < n; i++) {
        const hone_technique *t = rows[i], *found;
        const hone_technique_value *value;
        assert_true(t->name && t->title && t->why && t->when_not && t->source && t->n_values);
        for (size_t v = 0; v < t->n_values; v++) {
            assert_true(hone_technique_find(t->values[v].label, &found, &value));
            assert_ptr_equal(value, &t->values[v]); /* the first of this label is itself */
        }
    }
}

static void applied_values_make_configurations_that_survive_json(void **state)
{
    (void)state;
    size_t n;
    const hone_technique *const *rows = hone_techniques(&n);
    for (size_t i = 0; i < n; i++) {
        for (size_t v = 0; v < rows[i]->n_values; v++) {
            hone_config c = hone_config_default(), back;
            rows[i]->apply(rows[i]->values[v].knob, &c);
            char *json, *again, *base;
            hone_config d = hone_config_default();
            assert_int_equal(hone_config_to_json(&c, &json), HONE_OK);
            assert_int_equal(hone_config_to_json(&d, &base), HONE_OK);
            assert_string_not_equal(json, base);
            assert_int_equal(hone_config_from_json(json, &back), HONE_OK);
            assert_int_equal(hone_config_to_json(&back, &again), HONE_OK);
            assert_string_equal(json, again);
            hone_free(json);
            hone_free(again);
            hone_free(base);
        }
    }
}

static void the_roofline_of_a_decode_step_is_bytes_over_bandwidth(void **state)
{
    (void)state;
    hone_technique_facts f = small_facts();
    hone_config c = hone_config_default();
    hone_roofline r = hone_technique_roofline(&f, &c, HONE_GOAL_DECODE_LATENCY);
    double weights = 2 * 24576 + 2 * 49152 + 2 * 64000.0;
    assert_true(r.weight_bytes == weights);
    /* depth, layers, heads; a key of 16 is laid out as 32, as bf16 */
    assert_true(r.kv_bytes == 10 * 2.0 * 2 * (32 + 16) * 2);
    assert_true(fabs(r.cost - (weights + 3840) / 1e9) < 1e-15);
    assert_true(hone_technique_weights(&f, HONE_WEIGHT_MLP) == 49152);
    f.model.plain_mlp = true; /* as GPT-2's: up and down alone */
    assert_true(hone_technique_weights(&f, HONE_WEIGHT_MLP) == 32768);
    f.model.plain_mlp = false;
    assert_int_equal(r.bound, HONE_BOTTLENECK_WEIGHT_READ);
    /* 8.5 bits instead of 16, all weights; the cache unchanged */
    hone_config q8 = with(c, "q8_0");
    double want = (weights + 3840) / (weights * 34 / 64 + 3840);
    assert_true(fabs(hone_technique_predict(&f, &c, &q8, HONE_GOAL_DECODE_LATENCY) - want) < 1e-12);
    /* Rows of the down projection that no group divides stay as filed: a third of the MLP. */
    hone_technique_facts odd = f;
    odd.model.ffn = 130;
    double mlp = 2.0 * 64 * 130 * 3;
    odd.model.packed_kind_bytes[HONE_WEIGHT_MLP] = (uint64_t)(2 * mlp);
    hone_config mlp_only = with(c, "q8_0:mlp");
    hone_roofline third = hone_technique_roofline(&odd, &mlp_only, HONE_GOAL_DECODE_LATENCY);
    double kept = weights - 2 * 49152;
    assert_true(fabs(third.weight_bytes - (kept + mlp * 2 / 3 * 34 / 32 + 2 * mlp / 3)) < 1e-6);
    f.depth_tokens = 100000;
    assert_int_equal(hone_technique_roofline(&f, &c, HONE_GOAL_DECODE_LATENCY).bound,
                     HONE_BOTTLENECK_KV_READ);
    hone_config one = with(c, "threads:1");
    assert_true(fabs(hone_technique_predict(&f, &c, &one, HONE_GOAL_DECODE_LATENCY) - 0.25) <
                1e-12);
    f.machine.ops_s[HONE_ISA_AVX2] = f.machine.ops_s[HONE_ISA_AVX512] =
        f.machine.ops_s[HONE_ISA_AMX_BF16] = 1e6;
    assert_int_equal(hone_technique_roofline(&f, &c, HONE_GOAL_TTFT).bound,
                     HONE_BOTTLENECK_ARITHMETIC);
    f.machine.read_bytes_s = 0;
    assert_true(hone_technique_predict(&f, &c, &q8, HONE_GOAL_DECODE_LATENCY) == 0);
}

/* Codes go at the integer rate, what stays in 16 bits and attention at the other. */
static void int8_products_are_predicted_for_codes_only(void **state)
{
    (void)state;
    hone_technique_facts f = small_facts();
    hone_config c = hone_config_default(), q8 = with(c, "q8_0"), mlp = with(c, "q8_0:mlp");
    c.isa = q8.isa = mlp.isa = HONE_ISA_AVX2;
    f.model.layers = 2;
    f.machine.read_bytes_s = 1e15; /* arithmetic alone */
    f.machine.ops_s[HONE_ISA_AVX2] = 1e9;
    f.machine.peak_ops_s[HONE_PEAK_AVX2_INT8] = 4e9;
    double ops = hone_technique_roofline(&f, &q8, HONE_GOAL_TTFT).ops, weights = prompt_ops(&f);
    bool avx2 = hone_isa_supported(HONE_ISA_AVX2);
    assert_int_equal(applies(&f, &q8, "products:int8"), avx2);
    assert_int_equal(applies(&f, &mlp, "products:int8-row"), avx2);
    assert_false(applies(&f, &c, "products:int8"));      /* weights in 16 bits */
    assert_false(applies(&f, &q8, "products:bf16-dot")); /* AVX2 has it not */
    hone_config fast = with(q8, "products:int8");
    assert_false(applies(&f, &fast, "products:int8"));
    double want = ops / (ops - weights + weights / 4);
    assert_true(fabs(hone_technique_predict(&f, &q8, &fast, HONE_GOAL_TTFT) - want) < 1e-9);
    double share = 50 * 2 * 2 * 64 * 128 * 3 / weights; /* of the MLP */
    fast = with(mlp, "products:int8-row");
    want = ops / (ops - share * weights + share * weights / 4);
    assert_true(fabs(hone_technique_predict(&f, &mlp, &fast, HONE_GOAL_TTFT) - want) < 1e-9);
    fast = with(c, "products:int8"); /* by hand: nothing is multiplied otherwise */
    assert_true(fabs(hone_technique_predict(&f, &c, &fast, HONE_GOAL_TTFT) - 1) < 1e-12);
    q8.compute = HONE_COMPUTE_F32;
    assert_false(applies(&f, &q8, "products:int8"));
}

/* Many rows go by tiles, that a scale for each 32 activations fills by half. */
static void int8_tiles_are_predicted_for_many_rows(void **state)
{
    (void)state;
    hone_limits m = {.ops_s = {[HONE_ISA_AVX512] = 1e9, [HONE_ISA_AMX_BF16] = 8e9},
                     .peak_ops_s = {[HONE_PEAK_AVX512_INT8] = 3e9, [HONE_PEAK_AMX_INT8] = 16e9}};
    hone_config c = hone_config_default();
    c.isa = HONE_ISA_AMX_INT8;
    assert_true(hone_technique_products_ops_s(&m, &c, 512) == 8e9);
    c.products = HONE_PRODUCTS_INT8_ROW;
    assert_true(hone_technique_products_ops_s(&m, &c, 512) == 16e9);
    assert_true(hone_technique_products_ops_s(&m, &c, 1) == 3e9);
    c.products = HONE_PRODUCTS_INT8;
    assert_true(hone_technique_products_ops_s(&m, &c, 512) == 8e9);
    c.isa = HONE_ISA_AMX_BF16;
    assert_true(hone_technique_products_ops_s(&m, &c, 512) == 3e9);
}

/* Prompts: what leaves the tiles after each group costs as much as the products; not under scales
 * that are on the weights, nor of 16 bits. */
static void rounded_weights_are_predicted_for_prompts(void **state)
{
    (void)state;
    hone_technique_facts f = small_facts();
    f.machine = (hone_limits){.threads = 4,
                              .read_bytes_s = 1e12,
                              .ops_s = {[HONE_ISA_AVX512] = 1e9, [HONE_ISA_AMX_BF16] = 8e9}};
    f.prompt_tokens = 50;
    hone_config c = hone_config_default(), q8, fast;
    c.isa = HONE_ISA_AMX_BF16;
    q8 = with(c, "q8_0");
    fast = with(q8, "products:bf16-weights");
    const double ops = hone_technique_roofline(&f, &q8, HONE_GOAL_TTFT).ops,
                 weights = prompt_ops(&f), half = ops / (ops + weights);
    assert_true(hone_technique_products_ops_s(&f.machine, &fast, 50) == 8e9);
    assert_true(fabs(hone_technique_predict(&f, &c, &q8, HONE_GOAL_TTFT) - half) < 1e-9);
    assert_true(fabs(hone_technique_predict(&f, &q8, &fast, HONE_GOAL_TTFT) - 1 / half) < 1e-9);
    bool tiles = hone_isa_supported(HONE_ISA_AMX_BF16);
    assert_false(applies(&f, &c, "products:bf16-weights"));
    assert_int_equal(applies(&f, &q8, "products:bf16-weights"), tiles);
    f.machine.read_bytes_s = 1e6; /* one sequence: bound by memory, and then by the rounding */
    double decode = hone_technique_predict(&f, &q8, &fast, HONE_GOAL_DECODE_LATENCY);
    assert_true(decode > 0.49 && decode < 0.6);
    f.machine.read_bytes_s = 1e12;
    hone_config filed = c, other = with(c, "products:bf16-weights");
    for (int k = 0; k < HONE_WEIGHT_KINDS; k++) /* codes already, with a scale per column */
        f.model.packed_kind_bytes[k] = f.model.packed_kind_bytes[k] * 34 / 64;
    assert_true(fabs(hone_technique_predict(&f, &filed, &other, HONE_GOAL_TTFT) - 1) < 1e-9);
    assert_false(applies(&f, &filed, "products:bf16-weights"));
    for (int k = 0; k < HONE_WEIGHT_KINDS; k++) /* and in groups */
        f.model.grouped_kind_weights[k] = UINT64_MAX;
    assert_true(fabs(hone_technique_predict(&f, &filed, &other, HONE_GOAL_TTFT) - 1 / half) < 1e-9);
    assert_int_equal(applies(&f, &filed, "products:bf16-weights"), tiles);
    q8.isa = fast.isa = HONE_ISA_AVX512;
    assert_false(applies(&f, &q8, "products:bf16-weights"));
    assert_true(fabs(hone_technique_predict(&f, &q8, &fast, HONE_GOAL_TTFT) - 1) < 1e-9);
}

static void nothing_is_predicted_of_what_stays_in_the_caches(void **state)
{
    (void)state;
    hone_technique_facts f = small_facts();
    hone_config c = hone_config_default(), q8 = with(c, "q8_0"), one = with(c, "threads:1");
    double weights = hone_technique_roofline(&f, &c, HONE_GOAL_DECODE_LATENCY).weight_bytes;
    f.machine.cache[2].bytes = (size_t)(2 * weights);
    f.machine.cache[2].read_bytes_s = 5e9;
    assert_true(hone_technique_predict(&f, &c, &q8, HONE_GOAL_DECODE_LATENCY) == 0);
    assert_true(hone_technique_predict(&f, &c, &one, HONE_GOAL_DECODE_LATENCY) == 0);
    assert_true(hone_technique_predict(&f, &c, &q8, HONE_GOAL_MEMORY) > 1); /* bytes are bytes */
    f.machine.cache[2].bytes =
        (size_t)(0.9 * weights); /* only the smaller one would fit: it gains as much at least */
    assert_true(hone_technique_predict(&f, &c, &q8, HONE_GOAL_DECODE_LATENCY) > 1);
    f.machine.cache[2].bytes = (size_t)(2 * weights);
    f.machine.cache[2].read_bytes_s = 1.1e9; /* as slow as memory: it hides no bytes */
    assert_false(hone_technique_roofline(&f, &c, HONE_GOAL_DECODE_LATENCY).cached);
    f.machine.cache[1].bytes = (size_t)(0.3 * weights); /* each of four threads has one */
    f.machine.cache[1].read_bytes_s = 5e9;
    assert_true(hone_technique_roofline(&f, &c, HONE_GOAL_DECODE_LATENCY).cached);
}

static void a_prompt_goes_through_the_head_once(void **state)
{
    (void)state;
    hone_technique_facts f = small_facts();
    hone_config c = hone_config_default();
    c.isa = HONE_ISA_AVX512;
    const double layers = 2 * 64 * 16 * 12 + 2 * 64 * 128 * 3, head = 64 * 1000;
    const double seen = 4.0 * 2 * 4 * 16; /* attention's operations for each position seen */
    f.machine.read_bytes_s = 1e15;
    hone_roofline prompt = hone_technique_roofline(&f, &c, HONE_GOAL_TTFT);
    assert_true(prompt.ops == 50 * (2 * layers + seen * 25) + 2 * head);
    assert_true(fabs(prompt.cost * 1e12 / prompt.ops - 1) < 1e-9);
    hone_roofline step = hone_technique_roofline(&f, &c, HONE_GOAL_THROUGHPUT);
    assert_true(step.ops == 8 * (2 * (layers + head) + seen * 10));
}

static void the_memory_goal_counts_weights_and_a_full_context(void **state)
{
    (void)state;
    hone_technique_facts f = small_facts();
    hone_config c = hone_config_default(), kv = with(c, "kv:int8");
    hone_roofline a = hone_technique_roofline(&f, &c, HONE_GOAL_MEMORY);
    hone_roofline b = hone_technique_roofline(&f, &kv, HONE_GOAL_MEMORY);
    assert_true(a.kv_bytes == 100 * 2.0 * 2 * (32 + 16) * 2);
    assert_true(b.kv_bytes == 100 * 2.0 * 2 * (32 + 16 + 2 * 4)); /* a scale for each row */
    kv = with(c, "kv:int4"); /* half bytes, and two of scale for each 32 */
    b = hone_technique_roofline(&f, &kv, HONE_GOAL_MEMORY);
    assert_true(b.kv_bytes == 100 * 2.0 * 2 * (16 + 8 + 2 * 2));
    kv = with(c, "kv:fp8");
    b = hone_technique_roofline(&f, &kv, HONE_GOAL_MEMORY);
    assert_true(b.kv_bytes == 100 * 2.0 * 2 * (32 + 16 + 2 * 4));
    assert_true(a.weight_bytes == b.weight_bytes);
}

static void what_changes_nothing_or_is_not_there_does_not_apply(void **state)
{
    (void)state;
    hone_technique_facts f = small_facts();
    hone_config c = hone_config_default();
    assert_true(applies(&f, &c, "q4_0"));
    assert_true(applies(&f, &c, "kv:int8"));
    assert_true(applies(&f, &c, "threads:2"));
    assert_false(applies(&f, &c, "threads:4")); /* the default is all of 4 */
    assert_false(applies(&f, &c, "threads:8"));
    hone_config int8 = with(c, "kv:int8"), f32 = c;
    assert_false(applies(&f, &int8, "kv:int8"));
    f32.compute = HONE_COMPUTE_F32;
    assert_false(applies(&f, &f32, "q8_0"));
    assert_false(applies(&f, &f32, "kv:int8"));
    char best[32] = "isa:";
    strcat(best, hone_isa_name(hone_isa_best()));
    if (hone_isa_best() != HONE_ISA_SCALAR)
        assert_false(applies(&f, &c, best));
    for (int k = 0; k < HONE_WEIGHT_KINDS; k++) /* filed in 8.5 bits already */
        f.model.packed_kind_bytes[k] = f.model.packed_kind_bytes[k] * 34 / 64;
    assert_false(applies(&f, &c, "q8_0"));
    assert_true(applies(&f, &c, "q4_0"));
    f.model.hidden = 80; /* no multiple of a group */
    assert_false(applies(&f, &c, "q4_0"));
    f.model.hidden = 128; /* nor of a block of 256 */
    assert_false(applies(&f, &c, "q4_k"));
    assert_false(applies(&f, &c, "q6_k"));
    f.model.hidden = 256;
    for (int k = 0; k < HONE_WEIGHT_KINDS; k++)
        f.model.packed_kind_bytes[k] = (uint64_t)(1e9);
    assert_true(applies(&f, &c, "q4_k"));
    assert_true(applies(&f, &c, "q4_k:body+q6_k"));
    assert_true(applies(&f, &c, "q6_k"));
}

static void the_documentation_is_what_the_table_says(void **state)
{
    (void)state;
    char *want, *got;
    size_t bytes;
    assert_int_equal(hone_technique_document(&want), HONE_OK);
    assert_int_equal(
        hone_read_file(HONE_SOURCE_DIR "/docs/technique/README.md", 1 << 20, &got, &bytes),
        HONE_OK);
    assert_string_equal(got, want);
    hone_free(got);
    hone_free(want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_complete_and_labels_are_unique),
        cmocka_unit_test(applied_values_make_configurations_that_survive_json),
        cmocka_unit_test(the_roofline_of_a_decode_step_is_bytes_over_bandwidth),
        cmocka_unit_test(int8_products_are_predicted_for_codes_only),
        cmocka_unit_test(int8_tiles_are_predicted_for_many_rows),
        cmocka_unit_test(rounded_weights_are_predicted_for_prompts),
        cmocka_unit_test(nothing_is_predicted_of_what_stays_in_the_caches),
        cmocka_unit_test(a_prompt_goes_through_the_head_once),
        cmocka_unit_test(the_memory_goal_counts_weights_and_a_full_context),
        cmocka_unit_test(what_changes_nothing_or_is_not_there_does_not_apply),
        cmocka_unit_test(the_documentation_is_what_the_table_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
