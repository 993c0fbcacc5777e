// links: eval text
/* Perplexity against transformers (hf_perplexity.py), and GGUF against safetensors bit for bit. */
#include "base/io.h"
#include "base/mem.h"
#include "eval/eval.h"
#include "kernel/kernel.h"
#include "text/tokenizer.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "../stories.h"

#define DATA HONE_SOURCE_DIR "/tests/golden/data"
#define GGUF STORIES_GGUF
#define HF   STORIES_HF

typedef struct fixture {
    json_t *reference;
    int32_t *ids;
    size_t n;
} fixture;

static hone_config config_of(hone_compute compute)
{
    hone_config c = hone_config_default();
    c.compute = compute;
    c.kv_format = compute == HONE_COMPUTE_F32 ? HONE_KV_F32 : HONE_KV_BF16;
    c.threads = 2;
    return c;
}

static hone_engine *open_engine(const char *path, hone_config c)
{
    hone_engine *e;
    if (hone_engine_open(path, &c, NULL, NULL, &e) != HONE_OK)
        fail_msg("%s: %s", path, hone_error());
    return e;
}

/* The part of the sample of TinyStories that hf_perplexity.py scored. */
enum { SLICE_FROM = 1000000, SLICE_BYTES = 32768 };

static int setup(void **state)
{
    static fixture f;
    hone_tokenizer *t;
    char *text;
    size_t bytes;
    *state = &f;
    if (!have_stories())
        return 0; /* every test says so by itself */
    f.reference = json_load_file(DATA "/stories260k_ppl.json", 0, NULL);
    if (!f.reference || hone_tokenizer_open(HF, &t) != HONE_OK ||
        hone_read_file(HONE_SHARED_DIR "/data/tinystories/tinystories_sample.txt", 1 << 28, &text,
                       &bytes) != HONE_OK ||
        bytes < SLICE_FROM + SLICE_BYTES ||
        hone_tokenizer_encode(t, text + SLICE_FROM, SLICE_BYTES, 0, &f.ids, &f.n) != HONE_OK)
        return -1;
    hone_free(text);
    hone_tokenizer_close(t);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    json_decref(f->reference);
    hone_free(f->ids);
    return 0;
}

static void the_text_has_the_tokens_of_the_reference(void **state)
{
    need_stories();
    const fixture *f = *state;
    const json_t *text = json_object_get(f->reference, "text");
    assert_int_equal(f->n, json_integer_value(json_object_get(text, "tokens")));
    size_t i;
    json_t *id;
    json_array_foreach(json_object_get(text, "first_64_ids"), i, id)
    {
        assert_int_equal(f->ids[i], json_integer_value(id));
    }
}

static void perplexity_equals_transformers_to_4_digits(void **state)
{
    need_stories();
    const fixture *f = *state;
    json_t *results = json_object_get(f->reference, "results"), *r;
    assert_true(json_array_size(results) >= 5);
    hone_engine *e = open_engine(GGUF, config_of(HONE_COMPUTE_F32));
    size_t i;
    json_array_foreach(results, i, r)
    {
        hone_eval_protocol p = {
            .context = (uint32_t)json_integer_value(json_object_get(r, "context")),
            .stride = (uint32_t)json_integer_value(json_object_get(r, "stride")),
            .bos = (int32_t)json_integer_value(json_object_get(r, "bos"))};
        hone_eval_result got;
        assert_int_equal(hone_eval_perplexity(e, f->ids, f->n, &p, NULL, NULL, &got), HONE_OK);
        assert_int_equal(got.windows, json_integer_value(json_object_get(r, "windows")));
        assert_int_equal(got.scored, json_integer_value(json_object_get(r, "scored")));
        double want = json_real_value(json_object_get(r, "perplexity"));
        if (fabs(got.perplexity - want) > 5e-6 * want)
            fail_msg("context %u, stride %u: %.9g, transformers %.9g", p.context, p.stride,
                     got.perplexity, want);
        const json_t *first = json_object_get(r, "nll_first_16");
        /* Without BOS the reference lists 0 for token 0, which is not scored. */
        size_t skip = p.bos < 0 ? 1u : 0u;
        for (size_t k = skip; k < json_array_size(first); k++) {
            double nll = json_number_value(json_array_get(first, k));
            assert_true(fabs(got.nll[k - skip] - nll) < 1e-3);
        }
        hone_eval_result_close(&got);
    }
    hone_engine_close(e);
}

static void gguf_and_safetensors_give_the_same_bits(void **state)
{
    need_stories();
    const fixture *f = *state;
    static const hone_compute computes[] = {HONE_COMPUTE_BF16, HONE_COMPUTE_F32};
    enum { N = 300 };
    for (int k = 0; k < 2; k++) {
        hone_engine *e[2] = {open_engine(GGUF, config_of(computes[k])),
                             open_engine(HF, config_of(computes[k]))};
        uint32_t vocab = hone_engine_facts(e[0])->vocab;
        float *logits[2];
        for (int i = 0; i < 2; i++) {
            hone_session *s;
            logits[i] = hone_calloc((size_t)N * vocab, sizeof(float));
            assert_int_equal(hone_session_open(e[i], &s), HONE_OK);
            assert_int_equal(hone_session_feed(s, f->ids, N, HONE_WANT_ALL, logits[i]), HONE_OK);
            hone_session_close(s);
        }
        assert_memory_equal(logits[0], logits[1], (size_t)N * vocab * sizeof(float));
        assert_true(logits[0][5] != 0 && isfinite(logits[0][5]));
        for (int i = 0; i < 2; i++) {
            hone_free(logits[i]);
            hone_engine_close(e[i]);
        }
    }
}

/* What bfloat16 costs, as a number that is printed and bounded (perplexity of the first 4000
 * tokens). */
static void bfloat16_costs_little(void **state)
{
    need_stories();
    const fixture *f = *state;
    hone_engine *ref = open_engine(GGUF, config_of(HONE_COMPUTE_F32));
    hone_engine *test = open_engine(GGUF, config_of(HONE_COMPUTE_BF16));
    hone_eval_protocol p = hone_eval_protocol_default(512, 1);
    hone_eval_comparison c, again, few;
    hone_eval_reference r, some;
    size_t all = HONE_EVAL_KEEP_BYTES;
    assert_int_equal(hone_eval_reference_take(ref, f->ids, 4000, &p, all, NULL, NULL, &r), HONE_OK);
    assert_int_equal(hone_eval_compare(&r, test, NULL, NULL, &c), HONE_OK);
    assert_int_equal(r.every, 1);
    assert_int_equal(c.compared, c.test.scored);
    print_message("bf16 of stories260k: KL mean %.3g, p99 %.3g, max %.3g, top-1 agreement %.2f %%, "
                  "perplexity %.6f against %.6f\n",
                  c.kl_mean, c.kl_p99, c.kl_max, 100 * c.top1_agreement, c.test.perplexity,
                  r.result.perplexity);
    assert_true(c.kl_mean > 0 && c.kl_mean < 0.01 && c.top1_agreement > 0.97);
    assert_true(c.kl_mean <= c.kl_p99 && c.kl_p99 <= c.kl_max);
    assert_true(fabs(log(c.test.perplexity / r.result.perplexity)) < 0.01);
    /* The same scores as alone, and an engine is at distance 0 from itself. */
    hone_eval_result alone;
    assert_int_equal(hone_eval_perplexity(test, f->ids, 4000, &p, NULL, NULL, &alone), HONE_OK);
    assert_int_equal(alone.scored, c.test.scored);
    assert_memory_equal(alone.nll, c.test.nll, alone.scored * sizeof(double));
    assert_int_equal(hone_eval_compare(&r, ref, NULL, NULL, &again), HONE_OK);
    assert_true(again.kl_max == 0 && again.top1_agreement == 1);
    /* With room for few logits the divergences are those of every so many positions. */
    size_t row = hone_engine_facts(ref)->vocab * sizeof(float);
    assert_int_equal(hone_eval_reference_take(ref, f->ids, 4000, &p, 500 * row, NULL, NULL, &some),
                     HONE_OK);
    assert_int_equal(hone_eval_compare(&some, test, NULL, NULL, &few), HONE_OK);
    assert_true(some.every > 1 && few.compared <= 500 && few.compared > 400);
    for (size_t i = 0; i < few.compared; i++)
        assert_true(few.kl[i] == c.kl[i * some.every]);
    assert_true(few.top1_agreement == c.top1_agreement);
    assert_memory_equal(few.test.nll, c.test.nll, c.test.scored * sizeof(double));
    hone_eval_comparison_close(&few);
    hone_eval_reference_close(&some);
    hone_eval_reference_close(&r);
    hone_eval_result_close(&alone);
    hone_eval_comparison_close(&c);
    hone_eval_comparison_close(&again);
    hone_engine_close(ref);
    hone_engine_close(test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_text_has_the_tokens_of_the_reference),
        cmocka_unit_test(perplexity_equals_transformers_to_4_digits),
        cmocka_unit_test(gguf_and_safetensors_give_the_same_bits),
        cmocka_unit_test(bfloat16_costs_little),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
