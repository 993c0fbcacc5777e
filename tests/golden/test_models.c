// links: compress eval
/*
 * Every architecture against transformers: float32 logits, greedy continuations, the stream between
 * layers, bfloat16 within its error; from config.json of transformers 4 and 5 and from GGUF; with
 * the same bits on every instruction set. Goldens that are not in the tree are read from
 * $HONE_SHARED (../shared).
 */
#include "base/mem.h"
#include "compress/quantize.h"
#include "dtype/dtype.h"
#include "engine/engine.h"
#include "eval/eval.h"
#include "file/file.h"
#include "kernel/kernel.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../folder.h"
#include "../shared.h"

static const char *const models[] = {"llama",    "llama-tied", "mistral",      "qwen2",  "qwen3",
                                     "phi3",     "gemma",      "gemma2",       "gemma3", "gpt2",
                                     "gpt_neox", "starcoder2", "phi3-longrope"};
enum { MODELS = sizeof models / sizeof *models, PROMPTS = 3, GREEDY = 32 };

typedef enum form { CONFIG_4, CONFIG_5, GGUF, FORMS } form;
static const char *const form_names[] = {"config.json", "config.v5.json", "GGUF"};

/* A folder with the model's weights and transformers 5's config, made once. */
static void make_v5(const char *golden, const char *name, char out[512])
{
    char from[600], to[600];
    snprintf(out, 512, "%s/%s-v5", folder, name);
    if (mkdir(out, 0700) != 0)
        return;
    snprintf(from, sizeof from, "%s/model.safetensors", golden);
    snprintf(to, sizeof to, "%s/model.safetensors", out);
    char *real = realpath(from, NULL);
    assert_non_null(real);
    assert_int_equal(symlink(real, to), 0);
    free(real);
    snprintf(from, sizeof from, "%s/config.v5.json", golden);
    snprintf(to, sizeof to, "%s/config.json", out);
    real = realpath(from, NULL);
    assert_non_null(real);
    assert_int_equal(symlink(real, to), 0);
    free(real);
}

static void make_gguf(const char *golden, const char *name, char out[512])
{
    struct stat st;
    snprintf(out, 512, "%s/%s.gguf", folder, name);
    if (stat(out, &st) == 0)
        return;
    hone_file *f;
    hone_pool *pool;
    hone_quantize_result result;
    hone_quantize_options o = {.type = HONE_DTYPE_F32};
    for (int k = 0; k < HONE_QUANTIZE_KINDS; k++)
        o.kind[k] = HONE_QUANTIZE_DEFAULT;
    assert_int_equal(hone_pool_open(1, NULL, &pool), HONE_OK);
    assert_int_equal(hone_file_open(golden, &f), HONE_OK);
    if (hone_quantize(f, &o, out, pool, &(hone_quantize_events){0}, &result) != HONE_OK)
        fail_msg("%s: %s", name, hone_error());
    hone_file_close(f);
    hone_pool_close(pool);
}

static void path_of(const char *golden, const char *name, form how, char out[512])
{
    if (how == CONFIG_5)
        make_v5(golden, name, out);
    else if (how == GGUF)
        make_gguf(golden, name, out);
    else
        snprintf(out, 512, "%s", golden);
}

static hone_engine *open_engine(const char *path, hone_compute compute, int isa)
{
    hone_engine *e;
    hone_config c = hone_config_default();
    c.compute = compute;
    c.kv_format = compute == HONE_COMPUTE_F32 ? HONE_KV_F32 : HONE_KV_BF16;
    c.threads = 2;
    c.isa = isa;
    if (hone_engine_open(path, &c, NULL, NULL, &e) != HONE_OK)
        fail_msg("%s: %s", path, hone_error());
    return e;
}

/* One golden model: its reference files. */
typedef struct golden {
    char path[512];
    hone_file *file;
    json_t *json;
    double tolerance;
} golden;

static bool open_golden(const char *name, golden *g)
{
    char path[600];
    if (!find_golden(name, g->path))
        return false;
    snprintf(path, sizeof path, "%s/reference.safetensors", g->path);
    assert_int_equal(hone_file_open(path, &g->file), HONE_OK);
    snprintf(path, sizeof path, "%s/reference.json", g->path);
    g->json = json_load_file(path, 0, NULL);
    assert_non_null(g->json);
    g->tolerance =
        json_real_value(json_object_get(json_object_get(g->json, "tolerance"), "float32_max_abs"));
    assert_true(g->tolerance > 0 && g->tolerance < 0.01);
    return true;
}

static void close_golden(golden *g)
{
    hone_file_close(g->file);
    json_decref(g->json);
}

static const hone_tensor *tensor_of(const golden *g, int prompt, const char *what)
{
    char name[64];
    snprintf(name, sizeof name, "prompt%d.%s", prompt, what);
    return hone_file_tensor(g->file, name);
}

/* A tensor's numbers in fresh aligned memory. */
static float *floats_of(const hone_tensor *t)
{
    size_t n = hone_tensor_elements(t);
    float *x = hone_malloc(n * sizeof *x);
    assert_non_null(x);
    assert_true(hone_dtype_decode((hone_dtype)t->dtype, t->data, n, x));
    return x;
}

static int32_t *ids_of(const hone_tensor *t, uint32_t *n)
{
    *n = (uint32_t)hone_tensor_elements(t);
    int32_t *ids = hone_malloc(*n * sizeof *ids);
    for (uint32_t i = 0; i < *n; i++) {
        int64_t v = 0;
        int32_t w;
        assert_true(t->dtype == HONE_DTYPE_I64 || t->dtype == HONE_DTYPE_I32);
        if (t->dtype == HONE_DTYPE_I64)
            memcpy(&v, t->data + 8 * (size_t)i, sizeof v);
        memcpy(&w, t->data + 4 * (size_t)i, sizeof w);
        ids[i] = t->dtype == HONE_DTYPE_I64 ? (int32_t)v : w;
    }
    return ids;
}

/* A session that says how long it may get: what longrope goes by. */
static hone_session *open_session(hone_engine *e, uint32_t tokens)
{
    hone_session *s;
    if (hone_session_open_for(e, tokens, &s) != HONE_OK)
        fail_msg("%s", hone_error());
    return s;
}

static float *logits_of(hone_engine *e, const int32_t *ids, uint32_t n)
{
    float *x = hone_malloc((size_t)n * hone_engine_facts(e)->vocab * sizeof *x);
    hone_session *s = open_session(e, n);
    if (hone_session_feed(s, ids, n, HONE_WANT_ALL, x) != HONE_OK)
        fail_msg("%s", hone_error());
    hone_session_close(s);
    return x;
}

static double worst_of(const float *got, const float *want, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)got[i] - (double)want[i]);
        worst = d <= worst ? worst : d; /* NaN is worst */
    }
    return worst;
}

/* ---- float32 --------------------------------------------------------------------------------- */

/* The largest error of the logits of all prompts. */
static double logits_error(const golden *g, hone_engine *e)
{
    double worst = 0;
    for (int p = 0; p < PROMPTS; p++) {
        uint32_t n;
        int32_t *ids = ids_of(tensor_of(g, p, "input_ids"), &n);
        const hone_tensor *exact = tensor_of(g, p, "logits_f64");
        float *want = floats_of(exact ? exact : tensor_of(g, p, "logits"));
        float *got = logits_of(e, ids, n);
        double d = worst_of(got, want, (size_t)n * hone_engine_facts(e)->vocab);
        worst = d <= worst ? worst : d;
        hone_free(ids);
        hone_free(want);
        hone_free(got);
    }
    return worst;
}

/* The table that `make test` shows (lines that begin with "models|"): architecture x file form, on
 * the best set; the others in every_form_and_instruction_set_gives_the_same_bits. */
static void float32_logits_equal_transformers_from_every_form_of_file(void **state)
{
    (void)state;
    int bad = 0;
    print_message("models| %-14s %-15s %-10s %-10s\n", "architecture", "from", "error", "allowed");
    for (int m = 0; m < MODELS; m++) {
        golden g;
        if (!open_golden(models[m], &g))
            continue;
        for (form how = 0; how < FORMS; how++) {
            char path[512];
            path_of(g.path, models[m], how, path);
            hone_engine *e = open_engine(path, HONE_COMPUTE_F32, HONE_ISA_BEST);
            double worst = logits_error(&g, e);
            bool ok = worst <= g.tolerance;
            print_message("models| %-14s %-15s %-10.2g %-10.2g%s\n", models[m], form_names[how],
                          worst, g.tolerance, ok ? "" : " WRONG");
            bad += !ok;
            hone_engine_close(e);
        }
        close_golden(&g);
    }
    assert_int_equal(bad, 0);
}

static void float32_greedy_continuations_equal_transformers(void **state)
{
    (void)state;
    for (int m = 0; m < MODELS; m++) {
        golden g;
        if (!open_golden(models[m], &g))
            continue;
        hone_engine *e = open_engine(g.path, HONE_COMPUTE_F32, HONE_ISA_BEST);
        uint32_t vocab = hone_engine_facts(e)->vocab;
        float *row = hone_malloc(vocab * sizeof *row);
        for (int p = 0; p < PROMPTS; p++) {
            uint32_t n, steps, compared = 0;
            int32_t *ids = ids_of(tensor_of(&g, p, "input_ids"), &n);
            int32_t *want = ids_of(tensor_of(&g, p, "greedy"), &steps);
            float *margin = floats_of(tensor_of(&g, p, "greedy_margin"));
            hone_session *s = open_session(e, n + GREEDY);
            assert_int_equal(steps, GREEDY);
            assert_int_equal(hone_session_feed(s, ids, n, HONE_WANT_LAST, row), HONE_OK);
            for (; compared < steps && (double)margin[compared] >= g.tolerance; compared++) {
                int32_t token = (int32_t)hone_eval_top1(row, vocab);
                if (token != want[compared])
                    fail_msg("%s, prompt %d: token %u is %d, not %d", models[m], p, compared, token,
                             want[compared]);
                if (compared + 1 < steps)
                    assert_int_equal(hone_session_feed(s, &token, 1, HONE_WANT_LAST, row), HONE_OK);
            }
            assert_true(compared > 0);
            hone_session_close(s);
            hone_free(ids);
            hone_free(want);
            hone_free(margin);
        }
        hone_free(row);
        hone_engine_close(e);
        close_golden(&g);
    }
}

/* ---- between the layers ---------------------------------------------------------------------- */

typedef struct watched {
    const golden *g;
    const char *name;
    uint32_t layers, hidden;
    int compared;
    double first_error; /* of the first layer that is beyond `most` */
    int first_layer;
    double most;
} watched;

static void compare_hidden(void *arg, int layer, const float *x, uint32_t rows)
{
    watched *w = arg;
    char what[32];
    snprintf(what, sizeof what, "hidden.layer%d", layer);
    const hone_tensor *t = tensor_of(w->g, 1,
                                     layer < 0                     ? "hidden.embed"
                                     : (uint32_t)layer < w->layers ? what
                                                                   : "hidden.final");
    assert_non_null(t);
    assert_int_equal(hone_tensor_elements(t), (uint64_t)rows * w->hidden);
    float *want = floats_of(t);
    double top = 0, d = worst_of(x, want, (size_t)rows * w->hidden);
    for (size_t i = 0; i < (size_t)rows * w->hidden; i++)
        top = fmax(top, fabs((double)want[i]));
    if (!(d <= 1e-4 * fmax(top, 1)) && w->first_layer == -2) {
        w->first_layer = layer;
        w->first_error = d;
    }
    w->compared++;
    hone_free(want);
}

static void the_stream_between_layers_equals_transformers(void **state)
{
    (void)state;
    for (int m = 0; m < MODELS; m++) {
        golden g;
        if (!open_golden(models[m], &g))
            continue;
        hone_engine *e = open_engine(g.path, HONE_COMPUTE_F32, HONE_ISA_BEST);
        const hone_model_facts *facts = hone_engine_facts(e);
        watched w = {&g, models[m], facts->layers, facts->hidden, 0, 0, -2, 0};
        uint32_t n;
        int32_t *ids = ids_of(tensor_of(&g, 1, "input_ids"), &n);
        hone_engine_watch(e, compare_hidden, &w);
        hone_free(logits_of(e, ids, n));
        if (w.first_layer != -2)
            fail_msg("%s: layer %d is the first to differ, by %g", models[m], w.first_layer,
                     w.first_error);
        assert_int_equal(w.compared, (int)facts->layers + 2);
        hone_free(ids);
        hone_engine_close(e);
        close_golden(&g);
    }
}

/* ---- bfloat16 -------------------------------------------------------------------------------- */

static float margin_of(const float *row, uint32_t vocab)
{
    uint32_t best = hone_eval_top1(row, vocab);
    float second = -INFINITY;
    for (uint32_t i = 0; i < vocab; i++)
        if (i != best && row[i] > second)
            second = row[i];
    return row[best] - second;
}

/* Errors of up to what a bfloat16 run of transformers has itself may turn close decisions. */
static void bfloat16_keeps_the_first_token_where_the_margin_allows(void **state)
{
    (void)state;
    for (int m = 0; m < MODELS; m++) {
        golden g;
        if (!open_golden(models[m], &g))
            continue;
        hone_engine *e = open_engine(g.path, HONE_COMPUTE_BF16, HONE_ISA_BEST);
        uint32_t vocab = hone_engine_facts(e)->vocab;
        size_t decided = 0, positions = 0, same = 0;
        double kl = 0;
        for (int p = 0; p < PROMPTS; p++) {
            uint32_t n;
            int32_t *ids = ids_of(tensor_of(&g, p, "input_ids"), &n);
            float *want = floats_of(tensor_of(&g, p, "logits"));
            float *got = logits_of(e, ids, n);
            double error = json_real_value(json_object_get(
                json_array_get(json_object_get(g.json, "bfloat16_run"), (size_t)p), "max_abs"));
            assert_true(error > 0);
            for (uint32_t i = 0; i < n; i++, positions++) {
                const float *a = want + (size_t)i * vocab, *b = got + (size_t)i * vocab;
                bool equal = hone_eval_top1(a, vocab) == hone_eval_top1(b, vocab);
                bool clear = (double)margin_of(a, vocab) > 2 * error;
                if (!equal && clear)
                    fail_msg("%s, prompt %d, position %u: another first token", models[m], p, i);
                decided += clear;
                same += equal;
                kl += hone_eval_kl(a, b, vocab);
            }
            hone_free(ids);
            hone_free(want);
            hone_free(got);
        }
        print_message("%-14s in bf16: same first token at %zu of %zu positions (%zu with a clear "
                      "margin), KL mean %.3g\n",
                      models[m], same, positions, decided, kl / (double)positions);
        assert_true(decided > 0);
        assert_true(kl / (double)positions < 0.02);
        hone_engine_close(e);
        close_golden(&g);
    }
}

/* ---- forms and sets -------------------------------------------------------------------------- */

/* The longest prompt in bfloat16 from each form and on each set: the same bits everywhere. */
static void every_form_and_instruction_set_gives_the_same_bits(void **state)
{
    (void)state;
    print_message("models| %-14s", "same bits");
    for (form how = 0; how < FORMS; how++)
        for (int isa = 0; isa < HONE_ISA_COUNT; isa++)
            if (hone_isa_supported((hone_isa)isa))
                print_message(" %s/%s",
                              how == GGUF       ? "gguf"
                              : how == CONFIG_5 ? "v5"
                                                : "v4",
                              hone_isa_name((hone_isa)isa));
    print_message("\n");
    for (int m = 0; m < MODELS; m++) {
        golden g;
        uint32_t n;
        float *want = NULL;
        if (!open_golden(models[m], &g))
            continue;
        int32_t *ids = ids_of(tensor_of(&g, 2, "input_ids"), &n);
        print_message("models| %-14s", models[m]);
        for (form how = 0; how < FORMS; how++)
            for (int isa = 0; isa < HONE_ISA_COUNT; isa++) {
                char path[512];
                if (!hone_isa_supported((hone_isa)isa))
                    continue;
                path_of(g.path, models[m], how, path);
                hone_engine *e = open_engine(path, HONE_COMPUTE_BF16, isa);
                float *got = logits_of(e, ids, n);
                size_t bytes = (size_t)n * hone_engine_facts(e)->vocab * sizeof *got;
                bool equal = !want || memcmp(want, got, bytes) == 0;
                print_message(" %-*s",
                              (int)strlen(hone_isa_name((hone_isa)isa)) + (how == GGUF ? 5 : 3),
                              equal ? "equal" : "OTHER");
                assert_true(equal);
                if (want)
                    hone_free(got);
                else
                    want = got;
                hone_engine_close(e);
            }
        print_message("\n");
        hone_free(want);
        hone_free(ids);
        close_golden(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(float32_logits_equal_transformers_from_every_form_of_file),
        cmocka_unit_test(float32_greedy_continuations_equal_transformers),
        cmocka_unit_test(the_stream_between_layers_equals_transformers),
        cmocka_unit_test(bfloat16_keeps_the_first_token_where_the_margin_allows),
        cmocka_unit_test(every_form_and_instruction_set_gives_the_same_bits),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
