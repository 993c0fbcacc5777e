// links: eval
#include "base/mem.h"
#include "eval/eval.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LLAMA HONE_SOURCE_DIR "/tests/golden/data/models/llama"
#define TIED  HONE_SOURCE_DIR "/tests/golden/data/models/llama-tied"

/* Straight from the description in eval.h: marks every position that may be scored, first window
 * first. */
static void check_windows(uint32_t context, uint32_t stride, bool bos, size_t n)
{
    hone_eval_protocol p = {context, stride, bos ? 1 : -1};
    size_t payload = context - bos, step = stride < payload ? stride : payload;
    int *owner = calloc(n, sizeof *owner); /* window + 1 that scores the token; 0 = none */
    size_t windows = 0, scored = 0, begin = 0;
    for (;; begin += step) {
        windows++;
        size_t end = begin + payload < n ? begin + payload : n;
        for (size_t i = begin; i < end; i++)
            if (!owner[i] && (bos || i > begin))
                owner[i] = (int)windows;
        if (end == n)
            break;
    }
    size_t got_windows, got_scored;
    hone_eval_window w;
    for (size_t k = 0; k < windows; k++) {
        assert_true(hone_eval_window_at(&p, n, k, &w));
        assert_true(w.begin == k * step && w.end <= n && w.end - w.begin <= payload);
        assert_true(w.score_from >= w.begin && w.score_from <= w.end);
        for (size_t i = w.begin; i < w.end; i++)
            assert_int_equal(owner[i] == (int)k + 1, i >= w.score_from);
        scored += w.end - w.score_from;
    }
    assert_false(hone_eval_window_at(&p, n, windows, &w));
    hone_eval_count(&p, n, &got_windows, &got_scored);
    assert_int_equal(got_windows, windows);
    assert_int_equal(got_scored, scored);
    free(owner);
}

static void windows_score_every_token_once(void **state)
{
    (void)state;
    static const uint32_t contexts[] = {2, 3, 5, 16}, strides[] = {1, 2, 3, 7, 15, 16, 100};
    for (size_t c = 0; c < 4; c++)
        for (size_t s = 0; s < 7; s++)
            for (size_t n = 1; n < 70; n++)
                for (int bos = 0; bos < 2; bos++)
                    check_windows(contexts[c], strides[s], bos, n);
}

static void protocol_names_itself(void **state)
{
    (void)state;
    char text[200];
    hone_eval_protocol p = hone_eval_protocol_default(2048, 1);
    assert_true(p.context == 512 && p.stride == 512 && p.bos == 1);
    hone_eval_protocol_describe(&p, text, sizeof text);
    assert_non_null(strstr(text, "context 512, stride 511, BOS per window"));
    p = hone_eval_protocol_default(128, -1);
    assert_true(p.context == 128);
    hone_eval_protocol_describe(&p, text, sizeof text);
    assert_non_null(strstr(text, "context 128, stride 128, no BOS"));
}

static void scores_equal_their_formula(void **state)
{
    (void)state;
    float x[4] = {1, 2, 3, 4}, y[4] = {4, 3, 2, 1}, huge[3] = {3e38f, 3e38f, -3e38f};
    double sum = exp(1) + exp(2) + exp(3) + exp(4);
    assert_true(fabs(hone_eval_nll(x, 4, 0) - (log(sum) - 1)) < 1e-14);
    assert_true(fabs(hone_eval_nll(x, 4, 3) - (log(sum) - 4)) < 1e-14);
    assert_true(fabs(hone_eval_nll(huge, 3, 0) - log(2)) < 1e-14);
    double kl = 0;
    for (int i = 0; i < 4; i++)
        kl += exp((double)x[i]) / sum * (double)(x[i] - y[i]);
    assert_true(fabs(hone_eval_kl(x, y, 4) - kl) < 1e-14);
    assert_true(hone_eval_kl(x, x, 4) == 0);
    float shifted[4] = {11, 12, 13, 14};
    assert_true(hone_eval_kl(x, shifted, 4) < 1e-14);
    assert_int_equal(hone_eval_top1(x, 4), 3);
    float ties[3] = {1, 5, 5};
    assert_int_equal(hone_eval_top1(ties, 3), 1);
    x[2] = NAN;
    assert_true(isnan(hone_eval_nll(x, 4, 0)) && isnan(hone_eval_kl(x, y, 4)) &&
                isnan(hone_eval_kl(y, x, 4)));
}

static hone_engine *open_engine(const char *path)
{
    hone_config c = hone_config_default();
    c.threads = 2;
    hone_engine *e;
    if (hone_engine_open(path, &c, NULL, NULL, &e) != HONE_OK)
        fail_msg("%s: %s", path, hone_error());
    return e;
}

static void unusable_input_is_named(void **state)
{
    (void)state;
    hone_engine *e = open_engine(LLAMA), *other = open_engine(TIED);
    int32_t ids[100];
    for (int i = 0; i < 100; i++)
        ids[i] = i;
    hone_eval_result r;
    hone_eval_comparison c;
    hone_eval_protocol p = {128, 128, 1};
    assert_int_equal(hone_eval_perplexity(e, ids, 100, &p, NULL, NULL, &r), HONE_DATA);
    assert_non_null(strstr(hone_error(), "100 tokens"));
    assert_non_null(strstr(hone_error(), "127"));
    p.context = 1 << 20;
    assert_int_equal(hone_eval_perplexity(e, ids, 100, &p, NULL, NULL, &r), HONE_LIMIT);
    p.context = 1;
    assert_int_equal(hone_eval_perplexity(e, ids, 100, &p, NULL, NULL, &r), HONE_USAGE);
    p = (hone_eval_protocol){32, 0, 1};
    assert_int_equal(hone_eval_perplexity(e, ids, 100, &p, NULL, NULL, &r), HONE_USAGE);
    p = (hone_eval_protocol){32, 32, 1};
    ids[77] = 100000;
    assert_int_equal(hone_eval_perplexity(e, ids, 100, &p, NULL, NULL, &r), HONE_DATA);
    assert_non_null(strstr(hone_error(), "token 77"));
    ids[77] = 77;
    hone_eval_reference ref;
    assert_int_equal(hone_eval_reference_take(e, ids, 100, &p, 0, NULL, NULL, &ref), HONE_OK);
    if (hone_engine_facts(e)->vocab != hone_engine_facts(other)->vocab)
        assert_int_equal(hone_eval_compare(&ref, other, NULL, NULL, &c), HONE_DATA);
    hone_eval_reference_close(&ref);
    hone_engine_close(other);
    hone_engine_close(e);
}

/* The windows' scores equal those taken from one plain pass per window. */
static void perplexity_equals_a_plain_pass_per_window(void **state)
{
    (void)state;
    hone_engine *e = open_engine(LLAMA);
    uint32_t vocab = hone_engine_facts(e)->vocab;
    enum { N = 90 };
    int32_t ids[N], window[33];
    for (int i = 0; i < N; i++)
        ids[i] = (i * 131 + 7) % (int)vocab;
    float *x = hone_malloc((size_t)33 * vocab * sizeof *x);
    for (int bos = 0; bos < 2; bos++) {
        hone_eval_protocol p = {33, 20, bos ? 3 : -1};
        hone_eval_result r;
        assert_int_equal(hone_eval_perplexity(e, ids, N, &p, NULL, NULL, &r), HONE_OK);
        hone_eval_window w;
        size_t at = 0;
        double sum = 0;
        for (size_t k = 0; hone_eval_window_at(&p, N, k, &w); k++) {
            hone_session *s;
            size_t n = w.end - w.begin;
            window[0] = 3;
            memcpy(window + bos, ids + w.begin, n * sizeof *ids);
            assert_int_equal(hone_session_open(e, &s), HONE_OK);
            assert_int_equal(
                hone_session_feed(s, window, (uint32_t)n + (uint32_t)bos, HONE_WANT_ALL, x),
                HONE_OK);
            for (size_t i = w.score_from; i < w.end; i++, at++) {
                double nll =
                    hone_eval_nll(x + (i - w.begin + (size_t)bos - 1) * vocab, vocab, ids[i]);
                assert_true(nll == r.nll[at]);
                sum += nll;
            }
            hone_session_close(s);
        }
        assert_int_equal(at, r.scored);
        assert_int_equal(r.scored, bos ? N : N - 1);
        assert_true(fabs(r.perplexity / exp(sum / (double)at) - 1) < 1e-12);
        hone_eval_result_close(&r);
    }
    hone_free(x);
    hone_engine_close(e);
}

static void allocation_failure_is_survived(void **state)
{
    (void)state;
    hone_engine *e = open_engine(LLAMA);
    int32_t ids[64];
    for (int i = 0; i < 64; i++)
        ids[i] = i;
    hone_eval_protocol p = {16, 16, 1};
    hone_status st = HONE_MEMORY;
    int n = 0;
    for (; st != HONE_OK && n < 100; n++) {
        hone_eval_comparison c;
        hone_eval_reference ref;
        hone_mem_fail_after(n);
        st = hone_eval_reference_take(e, ids, 64, &p, 1 << 20, NULL, NULL, &ref);
        if (st == HONE_OK) {
            st = hone_eval_compare(&ref, e, NULL, NULL, &c);
            if (st == HONE_OK)
                hone_eval_comparison_close(&c);
            hone_eval_reference_close(&ref);
        }
        hone_mem_fail_after(-1);
        assert_true(st == HONE_OK || st == HONE_MEMORY);
    }
    assert_int_equal(st, HONE_OK);
    assert_true(n > 6);
    hone_engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_score_every_token_once),
        cmocka_unit_test(protocol_names_itself),
        cmocka_unit_test(scores_equal_their_formula),
        cmocka_unit_test(unusable_input_is_named),
        cmocka_unit_test(perplexity_equals_a_plain_pass_per_window),
        cmocka_unit_test(allocation_failure_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
