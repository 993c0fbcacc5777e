#include "cli/bench_run.h"

#include "base/clock.h"
#include "base/interrupt.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

enum { SUITE_BYTES_MAX = 1 << 20, SUITE_NUMBER_MAX = 1 << 20, SAMPLE_RUNS_MAX = 256 };
static const double SAMPLE_S = 0.02;

static hone_status list_options(bench *b)
{
    size_t prefills, depths, batches;
    const int64_t *prefill = cli_ints(b->c, "prefill", &prefills);
    const int64_t *depth = cli_ints(b->c, "depth", &depths);
    const int64_t *batch = cli_ints(b->c, "batch", &batches);
    uint32_t decode = (uint32_t)cli_int(b->c, "decode");
    size_t most = depths * (prefills + 1) * batches;
    if (most == 0 || most > BENCH_TESTS_MAX)
        return hone_fail(HONE_USAGE, "%zu tests: give 1 to %d", most, (int)BENCH_TESTS_MAX);
    b->tests = hone_calloc(most, sizeof *b->tests);
    if (!b->tests)
        return hone_fail_memory(most * sizeof *b->tests, "tests");
    for (size_t d = 0; d < depths; d++) {
        for (size_t i = 0; i < prefills * batches; i++)
            if (prefill[i / batches] > 0)
                b->tests[b->n_tests++] = (bench_test){.prefill = true,
                                                      .tokens = (uint32_t)prefill[i / batches],
                                                      .depth = (uint32_t)depth[d],
                                                      .batch = (uint32_t)batch[i % batches]};
        for (size_t i = 0; i < batches && decode > 0; i++)
            b->tests[b->n_tests++] = (bench_test){
                .tokens = decode, .depth = (uint32_t)depth[d], .batch = (uint32_t)batch[i]};
    }
    if (b->n_tests == 0)
        return hone_fail(HONE_USAGE, "nothing to measure: --prefill and --decode are both 0");
    return HONE_OK;
}

static hone_status whole(const json_t *test, const char *key, uint32_t fallback, uint32_t *out)
{
    const json_t *v = json_object_get(test, key);
    *out = fallback;
    if (!v)
        return HONE_OK;
    if (!json_is_integer(v) || json_integer_value(v) < (strcmp(key, "depth") ? 1 : 0) ||
        json_integer_value(v) > SUITE_NUMBER_MAX)
        return hone_fail(HONE_FORMAT, "\"%s\" is no whole number up to %d", key,
                         (int)SUITE_NUMBER_MAX);
    *out = (uint32_t)json_integer_value(v);
    return HONE_OK;
}

hone_status bench_read_test(json_t *o, bench_test *t)
{
    static const char *const keys[] = {"prefill", "decode", "depth", "batch"};
    const char *key;
    json_t *v;
    json_object_foreach(o, key, v)
    {
        bool known = false;
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
            known |= strcmp(key, keys[i]) == 0;
        if (!known)
            return hone_fail(HONE_FORMAT,
                             "\"%s\": a test has prefill or decode, and depth and batch", key);
    }
    t->prefill = json_object_get(o, "prefill");
    if (!json_is_object(o) || t->prefill == (json_object_get(o, "decode") != NULL))
        return hone_fail(HONE_FORMAT, "a test is an object with either prefill or decode");
    HONE_TRY(whole(o, t->prefill ? "prefill" : "decode", 0, &t->tokens));
    HONE_TRY(whole(o, "depth", 0, &t->depth));
    HONE_TRY(whole(o, "batch", 1, &t->batch));
    return t->batch <= 512 ? HONE_OK : hone_fail(HONE_FORMAT, "a batch of at most 512");
}

static hone_status read_suite(bench *b, json_t *root)
{
    json_t *tests = json_object_get(root, "tests"), *test;
    size_t n = json_array_size(tests), i;
    if (n == 0 || n > BENCH_TESTS_MAX)
        return hone_fail(HONE_FORMAT, "a suite is {\"tests\": [1 to %d tests]}",
                         (int)BENCH_TESTS_MAX);
    b->tests = hone_calloc(n, sizeof *b->tests);
    if (!b->tests)
        return hone_fail_memory(n * sizeof *b->tests, "tests");
    json_array_foreach(tests, i, test)
    {
        hone_status s = bench_read_test(test, &b->tests[i]);
        if (s != HONE_OK)
            return hone_fail_in(s, "test %zu", i + 1);
        b->n_tests++;
    }
    return HONE_OK;
}

static hone_status list_suite(bench *b, const char *path)
{
    char *text;
    size_t bytes;
    json_t *root;
    HONE_TRY(hone_read_file(path, SUITE_BYTES_MAX, &text, &bytes));
    hone_status s = hone_json_parse(text, bytes, 8, 10000, path, &root);
    hone_free(text);
    HONE_TRY(s);
    s = read_suite(b, root);
    json_decref(root);
    return s == HONE_FORMAT ? hone_fail_in(s, "%s", path) : s;
}

hone_status bench_list(bench *b)
{
    static const char *const options[] = {"prefill", "decode", "depth", "batch"};
    const char *suite = cli_text(b->c, "suite");
    for (size_t i = 0; suite && i < sizeof options / sizeof *options; i++)
        if (cli_given(b->c, options[i]))
            return hone_fail(HONE_USAGE,
                             "the tests are those of --suite %s: leave out --%s, or the suite",
                             suite, options[i]);
    HONE_TRY(suite ? list_suite(b, suite) : list_options(b));
    for (size_t i = 0; i < b->n_tests; i++) {
        const bench_test *t = &b->tests[i];
        b->batch_max = t->batch > b->batch_max ? t->batch : b->batch_max;
        b->tokens_max = t->depth + t->tokens > b->tokens_max ? t->depth + t->tokens : b->tokens_max;
    }
    return HONE_OK;
}

const char *bench_test_name(const bench_test *t, char *buf, size_t size)
{
    snprintf(buf, size, "%s %u, depth %u, batch %u", t->prefill ? "prefill" : "decode", t->tokens,
             t->depth, t->batch);
    return buf;
}

void bench_put_speed(json_t *row, const hone_interval *speed)
{
    json_object_set_new(row, "tok_s", json_real(speed->point));
    if (isnan(speed->lo))
        return;
    json_object_set_new(row, "tok_s_lo", json_real(speed->lo));
    json_object_set_new(row, "tok_s_hi", json_real(speed->hi));
}

static hone_status open_buffers(bench *b)
{
    const hone_model_facts *f = hone_engine_facts(b->engine);
    size_t batch = b->batch_max, count = batch * b->tokens_max;
    b->sessions = hone_calloc(batch, sizeof(hone_session *));
    b->rows = hone_calloc(batch, sizeof *b->rows);
    b->tokens = hone_malloc(count * sizeof *b->tokens);
    b->logits = hone_malloc(batch * f->vocab * sizeof *b->logits);
    if (!b->sessions || !b->rows || !b->tokens || !b->logits)
        return hone_fail_memory(count * sizeof *b->tokens, "benchmark buffers");
    for (size_t i = 0; i < count; i++)
        b->tokens[i] = (int32_t)hone_rng_below(1, 0, i, f->vocab);
    for (size_t i = 0; i < batch; i++)
        HONE_TRY(hone_session_open(b->engine, &b->sessions[i]));
    uint64_t used, most;
    hone_engine_kv_usage(b->engine, &used, &most);
    if ((double)f->kv_bytes_context * (double)batch > (double)most) /* windows forget */
        return hone_fail(HONE_MEMORY,
                         "%u sequences of %u tokens need %.2f MiB of KV pages, the bound is %.2f "
                         "MiB: smaller --batch or --depth, or kv_bytes_max in --config",
                         b->batch_max, b->tokens_max,
                         (double)f->kv_bytes_context * (double)batch / (1 << 20),
                         (double)most / (1 << 20));
    return HONE_OK;
}

hone_status bench_open(bench *b, const char *model, hone_config config)
{
    config.prefix_reuse = false; /* no test may profit from what another one did */
    config.context_tokens = b->tokens_max;
    b->model = model;
    b->kv_asked = config.kv_bytes_max != 0;
    HONE_TRY(cli_open_engine(model, &config, &b->engine));
    return open_buffers(b);
}

void bench_close(bench *b)
{
    for (size_t i = 0; b->sessions && i < b->batch_max; i++)
        if (b->sessions[i])
            hone_session_close(b->sessions[i]);
    hone_free(b->sessions);
    hone_free(b->rows);
    hone_free(b->tokens);
    hone_free(b->logits);
    hone_free(b->tests);
    hone_engine_close(b->engine);
}

/* Sequence i's own tokens, from position `at` on. */
static const int32_t *tokens_at(const bench *b, size_t i, uint32_t at)
{
    return b->tokens + i * b->tokens_max + at;
}

/* Every sequence that the test needs holds exactly `depth` tokens. */
static hone_status prepare(bench *b, const bench_test *t)
{
    for (size_t i = 0; i < t->batch; i++) {
        hone_session *s = b->sessions[i];
        hone_session_truncate(s, t->depth);
        while (hone_session_length(s) < t->depth) {
            HONE_TRY(hone_interrupt_check());
            uint32_t at = hone_session_length(s), left = t->depth - at;
            HONE_TRY(hone_session_feed(s, tokens_at(b, i, at), left < 512 ? left : 512,
                                       HONE_WANT_NONE, NULL));
        }
    }
    return HONE_OK;
}

/* All prompts together: each step takes as much of every sequence as fits. */
static hone_status run_prefill(bench *b, const bench_test *t)
{
    uint32_t chunk = hone_engine_config(b->engine)->step_tokens / t->batch, n;
    for (uint32_t k = 0; k < t->tokens; k += n) {
        n = chunk < 1 ? 1 : chunk < t->tokens - k ? chunk : t->tokens - k;
        hone_want want = k + n == t->tokens ? HONE_WANT_LAST : HONE_WANT_NONE;
        for (size_t i = 0; i < t->batch; i++)
            b->rows[i] = (hone_row){b->sessions[i], tokens_at(b, i, t->depth + k), n, want};
        HONE_TRY(hone_engine_step(b->engine, b->rows, t->batch, b->logits));
    }
    return HONE_OK;
}

static hone_status run_decode(bench *b, const bench_test *t)
{
    for (uint32_t k = 0; k < t->tokens; k++) {
        for (size_t i = 0; i < t->batch; i++)
            b->rows[i] =
                (hone_row){b->sessions[i], tokens_at(b, i, t->depth + k), 1, HONE_WANT_LAST};
        HONE_TRY(hone_engine_step(b->engine, b->rows, t->batch, b->logits));
    }
    return HONE_OK;
}

/* One repetition: tokens per second, all sequences together. */
hone_status bench_measure(bench *b, const bench_test *t, double *tok_s)
{
    HONE_TRY(prepare(b, t));
    double begin = hone_clock_s();
    HONE_TRY(t->prefill ? run_prefill(b, t) : run_decode(b, t));
    *tok_s = (double)t->tokens * t->batch / (hone_clock_s() - begin);
    return HONE_OK;
}

hone_status bench_sample(bench *b, const bench_test *t, double *cost)
{
    double costs[SAMPLE_RUNS_MAX], spent = 0, tokens = (double)t->tokens * t->batch;
    size_t n = 0;
    do {
        HONE_TRY(bench_measure(b, t, &costs[n]));
        costs[n] = 1 / costs[n];
        spent += costs[n] * tokens;
    } while (++n < SAMPLE_RUNS_MAX && spent < SAMPLE_S);
    return hone_stat_median(costs, n, cost);
}
