// links: eval
/* Logits of whole models against transformers (tests/golden/data/models), and against themselves on
 * every machine (logits_hashes.json). */
#include "base/mem.h"
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

#include <cmocka.h>
#include <xxhash.h>

#define DATA   HONE_SOURCE_DIR "/tests/golden/data"
#define HASHES DATA "/logits_hashes.json"

static const char *const models[] = {"llama", "llama-tied"};
enum { MODELS = 2, PROMPTS = 3, GREEDY = 32 };

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

/* One golden model: its reference files and an engine. */
typedef struct golden {
    hone_file *file;
    json_t *json;
    hone_engine *engine;
    uint32_t vocab;
} golden;

static golden open_golden(const char *name, hone_compute compute)
{
    char path[512];
    golden g;
    snprintf(path, sizeof path, DATA "/models/%s/reference.safetensors", name);
    assert_int_equal(hone_file_open(path, &g.file), HONE_OK);
    snprintf(path, sizeof path, DATA "/models/%s/reference.json", name);
    g.json = json_load_file(path, 0, NULL);
    assert_non_null(g.json);
    snprintf(path, sizeof path, DATA "/models/%s", name);
    g.engine = open_engine(path, config_of(compute));
    g.vocab = hone_engine_facts(g.engine)->vocab;
    return g;
}

static void close_golden(golden *g)
{
    hone_engine_close(g->engine);
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
        if (t->dtype == HONE_DTYPE_I64) {
            int64_t v;
            memcpy(&v, t->data + 8 * (size_t)i, sizeof v);
            ids[i] = (int32_t)v;
        } else {
            assert_int_equal(t->dtype, HONE_DTYPE_I32);
            memcpy(&ids[i], t->data + 4 * (size_t)i, sizeof *ids);
        }
    }
    return ids;
}

static float *logits_of(hone_engine *e, const int32_t *ids, uint32_t n)
{
    hone_session *s;
    float *x = hone_malloc((size_t)n * hone_engine_facts(e)->vocab * sizeof *x);
    assert_int_equal(hone_session_open(e, &s), HONE_OK);
    if (hone_session_feed(s, ids, n, HONE_WANT_ALL, x) != HONE_OK)
        fail_msg("%s", hone_error());
    hone_session_close(s);
    return x;
}

static double tolerance_of(const golden *g)
{
    const json_t *t = json_object_get(json_object_get(g->json, "tolerance"), "float32_max_abs");
    double v = json_real_value(t);
    assert_true(v > 0 && v < 0.01);
    return v;
}

static void float32_logits_equal_transformers_within_its_tolerance(void **state)
{
    (void)state;
    for (int m = 0; m < MODELS; m++) {
        golden g = open_golden(models[m], HONE_COMPUTE_F32);
        double tolerance = tolerance_of(&g);
        for (int p = 0; p < PROMPTS; p++) {
            uint32_t n;
            int32_t *ids = ids_of(tensor_of(&g, p, "input_ids"), &n);
            const hone_tensor *exact = tensor_of(&g, p, "logits_f64");
            float *want = floats_of(exact ? exact : tensor_of(&g, p, "logits"));
            float *got = logits_of(g.engine, ids, n);
            double worst = 0;
            for (size_t i = 0; i < (size_t)n * g.vocab; i++) {
                double d = fabs((double)got[i] - (double)want[i]);
                worst = d <= worst ? worst : d; /* NaN is worst */
            }
            print_message("%s, prompt of %u: %.2g of %.2g allowed\n", models[m], n, worst,
                          tolerance);
            assert_true(worst <= tolerance);
            hone_free(ids);
            hone_free(want);
            hone_free(got);
        }
        close_golden(&g);
    }
}

static void float32_greedy_continuations_equal_transformers(void **state)
{
    (void)state;
    for (int m = 0; m < MODELS; m++) {
        golden g = open_golden(models[m], HONE_COMPUTE_F32);
        double tolerance = tolerance_of(&g);
        float *row = hone_malloc(g.vocab * sizeof *row);
        for (int p = 0; p < PROMPTS; p++) {
            uint32_t n, steps;
            int32_t *ids = ids_of(tensor_of(&g, p, "input_ids"), &n);
            int32_t *want = ids_of(tensor_of(&g, p, "greedy"), &steps);
            float *margin = floats_of(tensor_of(&g, p, "greedy_margin"));
            hone_session *s;
            assert_int_equal(steps, GREEDY);
            assert_int_equal(hone_session_open(g.engine, &s), HONE_OK);
            assert_int_equal(hone_session_feed(s, ids, n, HONE_WANT_LAST, row), HONE_OK);
            uint32_t compared = 0;
            for (; compared < steps && (double)margin[compared] >= tolerance; compared++) {
                int32_t token = (int32_t)hone_eval_top1(row, g.vocab);
                assert_int_equal(token, want[compared]);
                assert_int_equal(hone_session_feed(s, &token, 1, HONE_WANT_LAST, row), HONE_OK);
            }
            assert_true(compared > 0);
            hone_session_close(s);
            hone_free(ids);
            hone_free(want);
            hone_free(margin);
        }
        hone_free(row);
        close_golden(&g);
    }
}

static float margin_of(const float *row, uint32_t vocab)
{
    uint32_t best = hone_eval_top1(row, vocab);
    float second = -INFINITY;
    for (uint32_t i = 0; i < vocab; i++)
        if (i != best && row[i] > second)
            second = row[i];
    return row[best] - second;
}

static void bfloat16_keeps_the_first_token_where_the_margin_allows(void **state)
{
    (void)state;
    for (int m = 0; m < MODELS; m++) {
        golden g = open_golden(models[m], HONE_COMPUTE_BF16);
        size_t decided = 0, positions = 0, same = 0;
        double kl = 0;
        for (int p = 0; p < PROMPTS; p++) {
            uint32_t n;
            int32_t *ids = ids_of(tensor_of(&g, p, "input_ids"), &n);
            float *want = floats_of(tensor_of(&g, p, "logits"));
            float *got = logits_of(g.engine, ids, n);
            double error = json_real_value(json_object_get(
                json_array_get(json_object_get(g.json, "bfloat16_run"), (size_t)p), "max_abs"));
            assert_true(error > 0);
            for (uint32_t i = 0; i < n; i++, positions++) {
                const float *a = want + (size_t)i * g.vocab, *b = got + (size_t)i * g.vocab;
                bool equal = hone_eval_top1(a, g.vocab) == hone_eval_top1(b, g.vocab);
                bool clear = (double)margin_of(a, g.vocab) > 2 * error;
                assert_true(equal || !clear);
                decided += clear;
                same += equal;
                kl += hone_eval_kl(a, b, g.vocab);
            }
            hone_free(ids);
            hone_free(want);
            hone_free(got);
        }
        print_message("%s in bf16: same first token at %zu of %zu positions (%zu with a clear "
                      "margin), KL mean %.3g\n",
                      models[m], same, positions, decided, kl / (double)positions);
        assert_true(decided > 10);
        assert_true(kl / (double)positions < 0.02);
        close_golden(&g);
    }
}

/* ---- hashes --------------------------------------------------------------------------------- */

typedef struct hashed {
    const char *name, *path;
    hone_compute compute;
    int kv, weights;
} hashed;

#define LLAMA   DATA "/models/llama"
#define TIED    DATA "/models/llama-tied"
#define STORIES DATA "/stories260k/stories260k.gguf"

static const hashed cases[] = {
    {"llama bf16", LLAMA, HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_WEIGHT_AS_FILED},
    {"llama f32", LLAMA, HONE_COMPUTE_F32, HONE_KV_F32, HONE_WEIGHT_AS_FILED},
    {"llama bf16 kv int8", LLAMA, HONE_COMPUTE_BF16, HONE_KV_I8, HONE_WEIGHT_AS_FILED},
    {"llama-tied bf16", TIED, HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_WEIGHT_AS_FILED},
    {"llama-tied f32", TIED, HONE_COMPUTE_F32, HONE_KV_F32, HONE_WEIGHT_AS_FILED},
    {"stories260k bf16", STORIES, HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_WEIGHT_AS_FILED},
    {"stories260k f32", STORIES, HONE_COMPUTE_F32, HONE_KV_F32, HONE_WEIGHT_AS_FILED},
    {"stories260k bf16 kv int8", STORIES, HONE_COMPUTE_BF16, HONE_KV_I8, HONE_WEIGHT_AS_FILED},
    {"stories260k bf16 q8_0", STORIES, HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_DTYPE_Q8_0},
    {"stories260k bf16 q4_0", STORIES, HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_DTYPE_Q4_0},
    {"stories260k bf16 q4_1", STORIES, HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_DTYPE_Q4_1},
    {"stories260k f32 kv bf16", STORIES, HONE_COMPUTE_F32, HONE_KV_BF16, HONE_WEIGHT_AS_FILED},
};

enum { HASH_TOKENS = 200 };

/* XXH3-64 of the bits of the logits after tokens (7919 i + 13) mod vocab, i < 200. */
static uint64_t hash_of(const hashed *h)
{
    hone_config c = config_of(h->compute);
    c.kv_format = h->kv;
    for (int k = 0; k < HONE_WEIGHT_KINDS; k++)
        c.weight_dtype[k] = h->weights;
    hone_engine *e = open_engine(h->path, c);
    uint32_t vocab = hone_engine_facts(e)->vocab;
    int32_t ids[HASH_TOKENS];
    for (int i = 0; i < HASH_TOKENS; i++)
        ids[i] = (int32_t)((uint32_t)(7919 * i + 13) % vocab);
    float *x = logits_of(e, ids, HASH_TOKENS);
    for (size_t i = 0; i < (size_t)HASH_TOKENS * vocab; i++)
        assert_true(isfinite(x[i]));
    uint64_t hash = XXH3_64bits(x, (size_t)HASH_TOKENS * vocab * sizeof *x);
    hone_free(x);
    hone_engine_close(e);
    return hash;
}

/* HONE_WRITE_HASHES=1 writes the file anew: only with a new HONE_NUMERICS_VERSION. */
static void logits_have_the_committed_hashes(void **state)
{
    (void)state;
    size_t n = sizeof cases / sizeof *cases;
    const char *write = getenv("HONE_WRITE_HASHES");
    json_t *file =
        write ? json_pack("{s:i, s:{}}", "numerics_version", (int)HONE_NUMERICS_VERSION, "xxh3_64")
              : json_load_file(HASHES, 0, NULL);
    assert_non_null(file);
    assert_int_equal(json_integer_value(json_object_get(file, "numerics_version")),
                     HONE_NUMERICS_VERSION);
    json_t *list = json_object_get(file, "xxh3_64");
    for (size_t i = 0; i < n; i++) {
        char hex[17];
        snprintf(hex, sizeof hex, "%016llx", (unsigned long long)hash_of(&cases[i]));
        if (write)
            json_object_set_new(list, cases[i].name, json_string(hex));
        const char *want = json_string_value(json_object_get(list, cases[i].name));
        if (!want || strcmp(want, hex) != 0)
            fail_msg("%s: %s, committed %s", cases[i].name, hex, want ? want : "nothing");
    }
    assert_int_equal(json_object_size(list), n);
    if (write)
        assert_int_equal(json_dump_file(file, HASHES, JSON_INDENT(1)), 0);
    json_decref(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(float32_logits_equal_transformers_within_its_tolerance),
        cmocka_unit_test(float32_greedy_continuations_equal_transformers),
        cmocka_unit_test(bfloat16_keeps_the_first_token_where_the_margin_allows),
        cmocka_unit_test(logits_have_the_committed_hashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
