// links: engine
#include "base/mem.h"
#include "dtype/dtype.h"
#include "engine/config.h"
#include "hw/isa.h"
#include "kernel/kernel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static hone_config parsed(const char *json)
{
    hone_config c;
    hone_status s = hone_config_from_json(json, &c);
    if (s != HONE_OK)
        fail_msg("%s: %s", json, hone_error());
    return c;
}

static void default_is_bf16_as_filed_on_the_best_set(void **state)
{
    (void)state;
    hone_config c = hone_config_default();
    assert_int_equal(c.compute, HONE_COMPUTE_BF16);
    assert_int_equal(c.kv_format, HONE_KV_BF16);
    assert_int_equal(c.isa, HONE_ISA_BEST);
    assert_int_equal(c.weight_dtype[HONE_WEIGHT_HEAD], HONE_WEIGHT_AS_FILED);
}

static void text_is_canonical_and_complete(void **state)
{
    (void)state;
    hone_config c = hone_config_default();
    char *text;
    assert_int_equal(hone_config_to_json(&c, &text), HONE_OK);
    assert_string_equal(
        text, "{\"compute\":\"bf16\",\"context_tokens\":0,\"isa\":\"best\",\"kv_bytes_max\":0,"
              "\"kv_format\":\"bf16\",\"numerics_version\":1,\"prefix_reuse\":true,"
              "\"products\":\"exact\",\"step_tokens\":0,\"threads\":0,\"weights\":{\"attention\":"
              "\"as_filed\","
              "\"head\":\"as_filed\",\"mlp\":\"as_filed\"}}");
    hone_free(text);
}

/* The message lists every key of the canonical text, in its order, and "adapter", which that may
 * lack. */
static void an_unknown_key_is_answered_with_those_that_there_are(void **state)
{
    (void)state;
    hone_config c = hone_config_default();
    char *text;
    assert_int_equal(hone_config_to_json(&c, &text), HONE_OK);
    assert_int_equal(hone_config_from_json("{\"weight\": 1}", &c), HONE_FORMAT);
    assert_non_null(strstr(hone_error(), "\"weight\" is unknown"));
    const char *list = strstr(hone_error(), "known: adapter, ");
    assert_non_null(list);
    char *inner = strstr(text, "\"weights\":");
    inner[strlen("\"weights\"")] = 0; /* what follows are the keys of the weights */
    int keys = 0;
    for (char *p = strtok(text, "{,"); p; p = strtok(NULL, "{,")) {
        char key[64];
        assert_int_equal(sscanf(p, "\"%63[a-z_]\"", key), 1);
        if (!strstr(list, key))
            fail_msg("%s does not name %s", list, key);
        keys++;
    }
    assert_int_equal(keys, 11);
    hone_free(text);
}

static void every_field_survives_the_text(void **state)
{
    (void)state;
    hone_config c = hone_config_default();
    c.compute = HONE_COMPUTE_F32;
    c.weight_dtype[HONE_WEIGHT_ATTENTION] = HONE_DTYPE_Q8_0;
    c.weight_dtype[HONE_WEIGHT_MLP] = HONE_DTYPE_Q4_0;
    c.weight_dtype[HONE_WEIGHT_HEAD] = HONE_DTYPE_BF16;
    c.kv_format = HONE_KV_I8;
    c.products = HONE_PRODUCTS_INT8_ROW;
    c.threads = 3;
    c.isa = HONE_ISA_AVX2;
    c.context_tokens = 4096;
    c.step_tokens = 64;
    c.kv_bytes_max = (uint64_t)5 << 40;
    c.prefix_reuse = false;
    char *text, *again;
    assert_int_equal(hone_config_to_json(&c, &text), HONE_OK);
    hone_config b = parsed(text);
    assert_int_equal(b.compute, c.compute);
    assert_memory_equal(b.weight_dtype, c.weight_dtype, sizeof c.weight_dtype);
    assert_int_equal(b.kv_format, c.kv_format);
    assert_int_equal(b.products, HONE_PRODUCTS_INT8_ROW);
    assert_int_equal(b.threads, 3);
    assert_int_equal(b.isa, HONE_ISA_AVX2);
    assert_int_equal(b.context_tokens, 4096);
    assert_int_equal(b.step_tokens, 64);
    assert_true(b.kv_bytes_max == c.kv_bytes_max);
    assert_false(b.prefix_reuse);
    assert_int_equal(hone_config_to_json(&b, &again), HONE_OK);
    assert_string_equal(text, again);
    hone_free(text);
    hone_free(again);
}

static void an_adapter_that_cannot_be_written_is_not_left_out(void **state)
{
    (void)state;
    hone_config c = hone_config_default();
    char *text;
    strcpy(c.adapter, "\xC3\xA9");
    assert_int_equal(hone_config_to_json(&c, &text), HONE_OK);
    assert_string_equal(parsed(text).adapter, c.adapter);
    hone_free(text);
    strcpy(c.adapter, "\xE9");
    assert_int_equal(hone_config_to_json(&c, &text), HONE_UNSUPPORTED);
    assert_non_null(strstr(hone_error(), "adapter"));
    assert_null(text);
}

static void missing_members_keep_their_defaults(void **state)
{
    (void)state;
    hone_config c = parsed("{}"), d = hone_config_default();
    assert_int_equal(c.kv_format, d.kv_format);
    assert_int_equal(c.products, HONE_PRODUCTS_EXACT);
    assert_int_equal(c.isa, d.isa);
    assert_int_equal(parsed("{\"threads\": 2}").threads, 2);
    assert_int_equal(parsed("{\"weights\": {\"mlp\": \"q8_0\"}}").weight_dtype[HONE_WEIGHT_HEAD],
                     HONE_WEIGHT_AS_FILED);
}

static void float32_products_keep_float32_keys_unless_told(void **state)
{
    (void)state;
    assert_int_equal(parsed("{\"compute\": \"f32\"}").kv_format, HONE_KV_F32);
    assert_int_equal(parsed("{\"compute\": \"f32\", \"kv_format\": \"int8\"}").kv_format,
                     HONE_KV_I8);
    assert_int_equal(parsed("{\"compute\": \"bf16\"}").kv_format, HONE_KV_BF16);
    assert_int_equal(parsed("{\"kv_format\": \"int4\"}").kv_format, HONE_KV_I4);
    assert_int_equal(parsed("{\"kv_format\": \"fp8_e4m3\"}").kv_format, HONE_KV_E4M3);
    assert_int_equal(parsed("{\"kv_format\": \"fp8_e5m2\"}").kv_format, HONE_KV_E5M2);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *json, *named;
        hone_status status;
    } bad[] = {
        {"{\"thread\": 2}", "thread", HONE_FORMAT},
        {"{\"threads\": -1}", "threads", HONE_FORMAT},
        {"{\"threads\": 513}", "threads", HONE_FORMAT},
        {"{\"threads\": \"2\"}", "threads", HONE_FORMAT},
        {"{\"compute\": \"f64\"}", "f64", HONE_FORMAT},
        {"{\"compute\": 1}", "compute", HONE_FORMAT},
        {"{\"isa\": \"sse\"}", "sse", HONE_FORMAT},
        {"{\"kv_format\": \"fp8\"}", "fp8", HONE_FORMAT},
        {"{\"products\": \"int4\"}", "int4", HONE_FORMAT},
        {"{\"products\": 8}", "products", HONE_FORMAT},
        {"{\"weights\": {\"mlp\": \"q9_0\"}}", "weights.mlp", HONE_FORMAT},
        {"{\"weights\": {\"mlp\": \"i32\"}}", "weights.mlp", HONE_FORMAT},
        {"{\"weights\": {\"norm\": \"q8_0\"}}", "weights.norm", HONE_FORMAT},
        {"{\"weights\": 3}", "weights", HONE_FORMAT},
        {"{\"context_tokens\": 99999999999}", "context_tokens", HONE_FORMAT},
        {"{\"prefix_reuse\": 1}", "prefix_reuse", HONE_FORMAT},
        {"{\"numerics_version\": 99}", "99", HONE_UNSUPPORTED},
        {"{\"threads\": 1, \"threads\": 2}", "line 1", HONE_FORMAT},
        {"[]", "object", HONE_FORMAT},
        {"{\"threads\": ", "line 1", HONE_FORMAT},
        {"", "line", HONE_FORMAT},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        hone_config c = hone_config_default();
        c.threads = 77;
        assert_int_equal(hone_config_from_json(bad[i].json, &c), bad[i].status);
        if (!strstr(hone_error(), bad[i].named))
            fail_msg("%s: \"%s\" does not name %s", bad[i].json, hone_error(), bad[i].named);
        assert_int_equal(c.threads, 77);
    }
}

static void description_is_short_and_never_overflows(void **state)
{
    (void)state;
    hone_config c = hone_config_default();
    c.weight_dtype[HONE_WEIGHT_ATTENTION] = HONE_DTYPE_Q8_0;
    c.weight_dtype[HONE_WEIGHT_MLP] = HONE_DTYPE_Q4_0;
    c.kv_format = HONE_KV_I8;
    c.threads = 2;
    char text[128];
    hone_config_describe(&c, text, sizeof text);
    assert_string_equal(text, "bf16 attn=q8_0 mlp=q4_0 kv=int8 threads=2");
    c.products = HONE_PRODUCTS_INT8;
    hone_config_describe(&c, text, sizeof text);
    assert_string_equal(text, "bf16 products=int8 attn=q8_0 mlp=q4_0 kv=int8 threads=2");
    for (size_t n = 1; n < 60; n++) {
        memset(text, '#', sizeof text);
        hone_config_describe(&c, text, n);
        assert_true(strlen(text) < n);
        assert_int_equal(text[n], '#');
    }
}

static void allocation_failure_is_survived(void **state)
{
    (void)state;
    hone_config c = hone_config_default();
    hone_status s = HONE_MEMORY;
    int n = 0;
    for (; s != HONE_OK && n < 500; n++) {
        char *text = NULL;
        hone_mem_fail_after(n);
        s = hone_config_to_json(&c, &text);
        hone_mem_fail_after(-1);
        assert_true(s == HONE_OK || s == HONE_MEMORY);
        hone_free(text);
    }
    assert_int_equal(s, HONE_OK);
    assert_true(n > 5);
    s = HONE_MEMORY;
    for (n = 0; s != HONE_OK && n < 500; n++) {
        hone_mem_fail_after(n);
        s = hone_config_from_json("{\"threads\": 2, \"weights\": {\"mlp\": \"q8_0\"}}", &c);
        hone_mem_fail_after(-1);
        assert_true(s == HONE_OK || s == HONE_MEMORY);
    }
    assert_int_equal(s, HONE_OK);
    assert_true(n > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_is_bf16_as_filed_on_the_best_set),
        cmocka_unit_test(text_is_canonical_and_complete),
        cmocka_unit_test(an_unknown_key_is_answered_with_those_that_there_are),
        cmocka_unit_test(every_field_survives_the_text),
        cmocka_unit_test(an_adapter_that_cannot_be_written_is_not_left_out),
        cmocka_unit_test(missing_members_keep_their_defaults),
        cmocka_unit_test(float32_products_keep_float32_keys_unless_told),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(description_is_short_and_never_overflows),
        cmocka_unit_test(allocation_failure_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
