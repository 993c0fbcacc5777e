// links: engine compress
/* The engine as a whole: nothing allocated per token, every failed allocation survived. */
#include "base/mem.h"
#include "compress/quantize.h"
#include "engine/engine.h"
#include "kernel/kernel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../stories.h"

#define LLAMA HONE_SOURCE_DIR "/tests/golden/data/models/llama"

enum { BATCH = 8, FAILURES_MAX = 20000 };

static hone_config config_of(int threads)
{
    hone_config c = hone_config_default();
    c.threads = threads;
    c.context_tokens = 256;
    return c;
}

static void nothing_is_allocated_per_token_after_warm_up(void **state)
{
    (void)state;
    for (int compute = 0; compute < 2; compute++) {
        hone_config c = config_of(2);
        c.compute = (hone_compute)compute;
        hone_engine *e;
        assert_int_equal(hone_engine_open(LLAMA, &c, NULL, NULL, &e), HONE_OK);
        uint32_t vocab = hone_engine_facts(e)->vocab;
        float *logits = hone_malloc((size_t)BATCH * vocab * sizeof *logits);
        hone_session *s[BATCH];
        hone_row rows[BATCH];
        int32_t token[BATCH];
        for (int i = 0; i < BATCH; i++) {
            assert_int_equal(hone_session_open(e, &s[i]), HONE_OK);
            token[i] = i + 1;
            rows[i] = (hone_row){s[i], &token[i], 1, HONE_WANT_LAST};
        }
        assert_int_equal(hone_engine_step(e, rows, BATCH, logits), HONE_OK);
        uint64_t before = hone_mem_count();
        for (int k = 0; k < 200; k++) /* over several pages */
            assert_int_equal(hone_engine_step(e, rows, BATCH, logits), HONE_OK);
        int32_t prompt[40] = {0};
        hone_session_truncate(s[0], 0);
        assert_int_equal(hone_session_feed(s[0], prompt, 40, HONE_WANT_LAST, logits), HONE_OK);
        assert_true(hone_mem_count() == before);
        for (int i = 0; i < BATCH; i++)
            hone_session_close(s[i]);
        hone_free(logits);
        hone_engine_close(e);
    }
}

/* Opens an engine and a session and runs a step while the n-th allocation and all later ones fail.
 */
static hone_status try_with_failure(const char *path, int64_t n, float *logits)
{
    hone_config c = config_of(2);
    hone_engine *e = NULL;
    hone_session *s = NULL;
    int32_t ids[70];
    for (int i = 0; i < 70; i++)
        ids[i] = i;
    hone_mem_fail_after(n);
    hone_status st = hone_engine_open(path, &c, NULL, NULL, &e);
    if (st == HONE_OK)
        st = hone_session_open(e, &s);
    if (st == HONE_OK)
        st = hone_session_feed(s, ids, 70, HONE_WANT_LAST, logits);
    hone_mem_fail_after(-1);
    if (s)
        hone_session_close(s);
    hone_engine_close(e);
    return st;
}

static void survive_every_failure(const char *path)
{
    static float want[4096], got[4096]; /* of small vocabularies */
    memset(want, 0, sizeof want);
    memset(got, 0, sizeof got);
    assert_int_equal(try_with_failure(path, -1, want), HONE_OK);
    int64_t n = 0;
    hone_status st;
    while ((st = try_with_failure(path, n, got)) != HONE_OK) {
        if (st != HONE_MEMORY)
            fail_msg("%s, allocation %lld: %s: %s", path, (long long)n, hone_status_name(st),
                     hone_error());
        n++;
        assert_true(n < FAILURES_MAX);
    }
    assert_true(n > 20);
    assert_memory_equal(want, got, sizeof want);
    print_message("%s: %lld allocations failed one by one\n", path, (long long)n);
}

static void every_allocation_failure_of_load_and_step_is_survived(void **state)
{
    (void)state;
    survive_every_failure(LLAMA);
    if (have_stories())
        survive_every_failure(STORIES_GGUF);
}

static void every_allocation_failure_with_a_gptq_folder_is_survived(void **state)
{
    (void)state;
    static const char path[] = HONE_SHARED_DIR "/data/golden/quant/checkpoints/gptq-4bit-actorder";
    if (access(path, R_OK) != 0) {
        print_message("SKIP gptq: needs ../shared/data/golden/quant/checkpoints\n");
        skip();
    }
    survive_every_failure(path);
}

static void every_allocation_failure_with_a_q4_k_file_is_survived(void **state)
{
    (void)state;
    static const char folder[] = HONE_SHARED_DIR "/data/stories3m";
    if (access(folder, R_OK) != 0) {
        print_message("SKIP q4_k: needs ../shared/data/stories3m\n");
        skip();
    }
    char path[1024];
    hone_file *f;
    hone_pool *pool;
    hone_quantize_result r;
    hone_quantize_options o = {.type = HONE_DTYPE_Q4_K};
    for (int k = 0; k < HONE_QUANTIZE_KINDS; k++)
        o.kind[k] = HONE_QUANTIZE_DEFAULT;
    snprintf(path, sizeof path, "%s/engine.%d.gguf", HONE_BUILD_DIR, (int)getpid());
    assert_int_equal(hone_file_open(folder, &f), HONE_OK);
    assert_int_equal(hone_pool_open(2, NULL, &pool), HONE_OK);
    hone_status s = hone_quantize(f, &o, path, pool, &(hone_quantize_events){0}, &r);
    if (s != HONE_OK)
        fail_msg("%s", hone_error());
    hone_pool_close(pool);
    hone_file_close(f);
    survive_every_failure(path);
    unlink(path);
}

static void a_full_cache_is_an_error_that_leaves_sessions_as_they_were(void **state)
{
    (void)state;
    hone_config c = config_of(1);
    hone_engine *e;
    assert_int_equal(hone_engine_open(LLAMA, &c, NULL, NULL, &e), HONE_OK);
    uint64_t page = hone_engine_facts(e)->kv_bytes_per_token * HONE_KV_PAGE;
    hone_engine_close(e);
    c.kv_bytes_max = 3 * page;
    c.prefix_reuse = false;
    assert_int_equal(hone_engine_open(LLAMA, &c, NULL, NULL, &e), HONE_OK);
    uint32_t vocab = hone_engine_facts(e)->vocab;
    float *a = hone_malloc(vocab * sizeof *a), *b = hone_malloc(vocab * sizeof *b);
    hone_session *s, *other;
    int32_t ids[250];
    for (int i = 0; i < 250; i++)
        ids[i] = i * 2;
    assert_int_equal(hone_session_open(e, &s), HONE_OK);
    assert_int_equal(hone_session_open(e, &other), HONE_OK);
    assert_int_equal(hone_session_feed(s, ids, 100, HONE_WANT_LAST, a), HONE_OK);
    assert_int_equal(hone_session_feed(other, ids, 100, HONE_WANT_LAST, b), HONE_MEMORY);
    assert_int_equal(hone_session_length(other), 0);
    assert_int_equal(hone_session_feed(s, ids + 100, 150, HONE_WANT_LAST, b), HONE_MEMORY);
    assert_int_equal(hone_session_length(s), 100);
    uint64_t used, most;
    hone_engine_kv_usage(e, &used, &most);
    assert_true(used == 2 * page && most == 3 * page);
    /* The timeline is intact: the next token gives what it would have given. */
    assert_int_equal(hone_session_feed(s, ids + 100, 1, HONE_WANT_LAST, a), HONE_OK);
    hone_session_truncate(s, 0);
    assert_int_equal(hone_session_feed(s, ids, 101, HONE_WANT_LAST, b), HONE_OK);
    assert_memory_equal(a, b, vocab * sizeof *a);
    hone_session_close(s);
    hone_session_close(other);
    hone_free(a);
    hone_free(b);
    hone_engine_close(e);
}

/* The logits of eight tokens under c */
static float *logits_of(const char *path, const hone_config *c, size_t *bytes)
{
    hone_engine *e;
    hone_session *s;
    static const int32_t ids[] = {1, 5, 9, 2, 7, 3, 8, 4};
    if (hone_engine_open(path, c, NULL, NULL, &e) != HONE_OK)
        fail_msg("%s", hone_error());
    *bytes = 8 * (size_t)hone_engine_facts(e)->vocab * sizeof(float);
    float *logits = hone_malloc(*bytes);
    assert_int_equal(hone_session_open(e, &s), HONE_OK);
    assert_int_equal(hone_session_feed(s, ids, 8, HONE_WANT_ALL, logits), HONE_OK);
    hone_session_close(s);
    hone_engine_close(e);
    return logits;
}

static bool same_logits(const char *path, const hone_config *a, const hone_config *b,
                        float *largest)
{
    size_t bytes;
    float *x = logits_of(path, a, &bytes), *y = logits_of(path, b, &bytes);
    bool same = memcmp(x, y, bytes) == 0;
    *largest = 0;
    for (size_t i = 0; i < bytes / sizeof *x; i++) {
        float d = x[i] < y[i] ? y[i] - x[i] : x[i] - y[i];
        *largest = d > *largest ? d : *largest;
    }
    hone_free(x);
    hone_free(y);
    return same;
}

/* Int8 products round the activations of weights that are codes, bf16-weights those weights, and
 * nothing else; bf16-dot adds in another order. */
static void products_change_what_they_say_and_little(void **state)
{
    (void)state;
    need_stories();
    float by;
    hone_config c = config_of(1), other = c;
    c.isa = other.isa = HONE_ISA_SCALAR;
    other.products = HONE_PRODUCTS_INT8;
    assert_true(same_logits(STORIES_GGUF, &c, &other, &by));
    other.products = HONE_PRODUCTS_BF16_WEIGHTS;
    assert_true(same_logits(STORIES_GGUF, &c, &other, &by));
    other.products = HONE_PRODUCTS_BF16_DOT;
    assert_false(same_logits(STORIES_GGUF, &c, &other, &by));
    assert_true(by < 0.5f);
    for (int k = 0; k < HONE_WEIGHT_KINDS; k++)
        c.weight_dtype[k] = HONE_DTYPE_Q8_0;
    other = c;
    static const int kinds[] = {HONE_PRODUCTS_INT8, HONE_PRODUCTS_INT8_ROW,
                                HONE_PRODUCTS_BF16_WEIGHTS};
    for (size_t p = 0; p < sizeof kinds / sizeof *kinds; p++) {
        other.products = kinds[p];
        assert_false(same_logits(STORIES_GGUF, &c, &other, &by));
        assert_true(by < 0.5f);
    }
}

static void products_that_cannot_be_are_refused(void **state)
{
    (void)state;
    hone_engine *e;
    hone_config c = config_of(1);
    c.compute = HONE_COMPUTE_F32;
    c.kv_format = HONE_KV_F32;
    c.products = HONE_PRODUCTS_INT8;
    assert_int_equal(hone_engine_open(LLAMA, &c, NULL, NULL, &e), HONE_USAGE);
    assert_non_null(strstr(hone_error(), "int8"));
    c = config_of(1);
    c.products = HONE_PRODUCTS_BF16_DOT;
    c.isa = HONE_ISA_AVX2;
    if (!hone_isa_supported(HONE_ISA_AVX2))
        return;
    assert_int_equal(hone_engine_open(LLAMA, &c, NULL, NULL, &e), HONE_UNSUPPORTED);
    assert_non_null(strstr(hone_error(), "AVX512_BF16"));
    assert_non_null(strstr(hone_error(), "avx2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_allocated_per_token_after_warm_up),
        cmocka_unit_test(every_allocation_failure_of_load_and_step_is_survived),
        cmocka_unit_test(every_allocation_failure_with_a_gptq_folder_is_survived),
        cmocka_unit_test(every_allocation_failure_with_a_q4_k_file_is_survived),
        cmocka_unit_test(products_change_what_they_say_and_little),
        cmocka_unit_test(products_that_cannot_be_are_refused),
        cmocka_unit_test(a_full_cache_is_an_error_that_leaves_sessions_as_they_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
