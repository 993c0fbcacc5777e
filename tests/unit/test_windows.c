// links: engine
/* Layers with a window hold their window's keys and values and no more; what was given back is
 * found again or named as gone; prefixes are still shared. */
#include "base/mem.h"
#include "engine/encode.h"
#include "engine/engine.h"
#include "model/kv_tables.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Seven layers, of which one sees everything and six see 24 tokens. */
#define GEMMA3 HONE_SOURCE_DIR "/tests/golden/data/models/gemma3"
enum { TOKENS = 250 };

static hone_engine *open_gemma(bool reuse, uint64_t kv_bytes_max)
{
    hone_config c = hone_config_default();
    c.threads = 1;
    c.step_tokens = 32;
    c.prefix_reuse = reuse;
    c.kv_bytes_max = kv_bytes_max;
    hone_engine *e;
    if (hone_engine_open(GEMMA3, &c, NULL, NULL, &e) != HONE_OK)
        fail_msg("%s", hone_error());
    return e;
}

static const int32_t *tokens(void)
{
    static int32_t ids[TOKENS];
    for (int i = 0; i < TOKENS; i++)
        ids[i] = (i * 37 + 11) % 521;
    return ids;
}

static uint64_t pages_used(hone_engine *e)
{
    uint64_t used, most;
    hone_engine_kv_usage(e, &used, &most);
    return used / (hone_engine_facts(e)->kv_bytes_per_token * HONE_KV_PAGE / 7);
}

static void feed(hone_session *s, uint32_t from, uint32_t end, float *last)
{
    if (hone_session_feed(s, tokens() + from, end - from, HONE_WANT_LAST, last) != HONE_OK)
        fail_msg("%s", hone_error());
}

static void a_session_holds_all_of_full_layers_and_the_window_of_the_others(void **state)
{
    (void)state;
    float last[521];
    hone_session *s;
    hone_engine *e = open_gemma(false, 0);
    assert_int_equal(hone_session_open(e, &s), HONE_OK);
    feed(s, 0, 60, last);
    assert_int_equal(pages_used(e), 7);
    feed(s, 60, 130, last); /* three pages; the window of 24 begins in the second */
    assert_int_equal(pages_used(e), 3 + 6 * 2);
    feed(s, 130, TOKENS, last); /* the window lies in the fourth */
    assert_int_equal(pages_used(e), 4 + 6);
    const hone_model_facts *f = hone_engine_facts(e);
    assert_int_equal(f->kv_bytes_context, f->kv_bytes_per_token * HONE_KV_PAGE / 7 * (4 + 6));
    hone_session_close(s);
    assert_int_equal(pages_used(e), 0);
    hone_engine_close(e);
}

/* The bound of kv_bytes_max holds with what windows give back: without giving back this would not
 * fit. */
static void a_bound_that_only_windows_fit_is_enough(void **state)
{
    (void)state;
    float last[521];
    hone_session *s;
    hone_engine *probe = open_gemma(false, 0);
    uint64_t page = hone_engine_facts(probe)->kv_bytes_per_token * HONE_KV_PAGE / 7;
    hone_engine_close(probe);
    hone_engine *e = open_gemma(true, page * (4 + 6 * 2)); /* 28 pages in all */
    assert_int_equal(hone_session_open(e, &s), HONE_OK);
    feed(s, 0, TOKENS, last);
    hone_session_close(s);
    hone_engine_close(e);
}

/* Five texts of one page in each of the seven tables, where two such fit. */
static void texts_to_encode_go_into_as_many_steps_as_their_pages_need(void **state)
{
    (void)state;
    hone_engine *e = open_gemma(false, 0);
    const hone_model_facts f = *hone_engine_facts(e);
    hone_engine_close(e);
    const hone_text one = {tokens(), NULL, 6}, texts[] = {one, one, one, one, one};
    float *out = hone_calloc(6 * (size_t)f.hidden, sizeof *out);
    assert_non_null(out);
    e = open_gemma(false, f.kv_bytes_per_token * HONE_KV_PAGE * 2);
    for (size_t n = 1; n <= 5; n += 4)
        if (hone_engine_encode(e, texts, n, HONE_POOLING_LAST, NULL, NULL,
                               n == 1 ? out + 5 * f.hidden : out) != HONE_OK)
            fail_msg("%zu texts: %s", n, hone_error());
    for (size_t i = 0; i < 5; i++)
        assert_memory_equal(out + i * f.hidden, out + 5 * f.hidden, f.hidden * sizeof *out);
    hone_engine_close(e);
    hone_free(out);
}

static void truncation_goes_back_as_far_as_the_window_is_kept(void **state)
{
    (void)state;
    float want[521], got[521];
    hone_session *s;
    for (int reuse = 0; reuse < 2; reuse++) {
        hone_engine *e = open_gemma(reuse, 0);
        assert_int_equal(hone_session_open(e, &s), HONE_OK);
        feed(s, 0, 141, want);
        feed(s, 141, TOKENS, got);
        hone_session_truncate(s, 230); /* its window is still there */
        assert_int_equal(hone_session_length(s), 230);
        hone_session_truncate(s, 140);
        /* With the index the pages are found again; without it the window's beginning is gone. */
        assert_int_equal(hone_session_length(s), reuse ? 140 : 0);
        feed(s, hone_session_length(s), 141, got);
        assert_memory_equal(want, got, sizeof want);
        hone_session_close(s);
        hone_engine_close(e);
    }
}

static void a_prefix_is_shared_where_its_window_is_left(void **state)
{
    (void)state;
    float want[521], got[521];
    hone_session *s, *t, *u;
    uint32_t reused;
    hone_engine *e = open_gemma(true, 0);
    assert_int_equal(hone_session_open(e, &s), HONE_OK);
    feed(s, 0, 210, want);
    assert_int_equal(hone_session_open(e, &t), HONE_OK);
    assert_int_equal(hone_session_reuse(t, tokens(), 210, &reused), HONE_OK);
    assert_int_equal(reused, 192);
    feed(t, reused, 210, got);
    assert_memory_equal(want, got, sizeof want);
    assert_int_equal(hone_session_fork(t, &u), HONE_OK);
    feed(s, 210, 230, want);
    feed(u, 210, 230, got);
    assert_memory_equal(want, got, sizeof want);
    hone_session_close(s);
    hone_session_close(t);
    hone_session_close(u);
    assert_int_equal(pages_used(e), 0);
    hone_engine_close(e);
}

/* Shapes of published models: layers, of which every n-th is full; and what the plan must give. */
static void tables_hold_as_many_layers_as_divide_every_window(void **state)
{
    (void)state;
    static const struct {
        uint32_t layers, every, window, context, tables, pages;
    } cases[] = {
        {26, 2, 4096, 8192, 2, 128 + 64},              /* Gemma 2 2B: 13 and 13 */
        {26, 6, 512, 32768, 13, 2 * 512 + 11 * 8},     /* Gemma 3 1B: 4 and 22 */
        {62, 6, 1024, 131072, 31, 5 * 2048 + 26 * 16}, /* Gemma 3 27B: 10 and 52 */
        {32, 0, 4096, 32768, 1, 64},                   /* Mistral 7B v0.1: all with a window */
        {32, 1, 0, 4096, 1, 64},                       /* none */
    };
    static hone_hparams h;
    static hone_kv_tables t;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        h = (hone_hparams){.layers = cases[c].layers, .n_kinds = 2};
        h.kinds[0] = h.kinds[1] = (hone_layer_kind){.heads = 8, .kv_heads = 4, .head_dim = 128};
        h.kinds[1].window = cases[c].window;
        for (uint32_t i = 0; i < h.layers; i++)
            h.kind_of[i] = cases[c].every == 0 || (i + 1) % cases[c].every != 0;
        hone_kv_tables_plan(&h, HONE_KV_BF16, &t);
        assert_int_equal(t.count, cases[c].tables);
        assert_int_equal(t.page_bytes, (size_t)64 * 4 * 256 * 2 * h.layers / t.count);
        assert_int_equal(hone_kv_tables_pages(&t, cases[c].context), cases[c].pages);
        for (uint32_t i = 0; i < h.layers; i++) { /* no two layers in one place */
            assert_int_equal(t.window[t.layers[i].table], h.kinds[h.kind_of[i]].window);
            for (uint32_t j = 0; j < i; j++)
                assert_true(t.layers[i].table != t.layers[j].table ||
                            t.layers[i].offset != t.layers[j].offset);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_holds_all_of_full_layers_and_the_window_of_the_others),
        cmocka_unit_test(a_bound_that_only_windows_fit_is_enough),
        cmocka_unit_test(texts_to_encode_go_into_as_many_steps_as_their_pages_need),
        cmocka_unit_test(truncation_goes_back_as_far_as_the_window_is_kept),
        cmocka_unit_test(a_prefix_is_shared_where_its_window_is_left),
        cmocka_unit_test(tables_hold_as_many_layers_as_divide_every_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
