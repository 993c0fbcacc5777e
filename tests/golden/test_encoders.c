// links: compress engine
/*
 * Encoders against transformers: hidden states layer by layer, poolings and classifiers in float32,
 * from config.json of transformers 4 and 5 and from GGUF, with the same bits in company and alone,
 * on one thread and two and on every instruction set. Goldens that are not in the tree are read
 * from $HONE_SHARED (../shared).
 */
#include "base/mem.h"
#include "compress/quantize.h"
#include "dtype/dtype.h"
#include "engine/encode.h"
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

static const char *const models[] = {"bert",       "bert-classify", "roberta", "xlm_roberta-rerank",
                                     "modernbert", "deberta_v2"};
enum { MODELS = sizeof models / sizeof *models, PROMPTS = 3, LAYERS_MAX = 8 };

typedef enum form { CONFIG_4, CONFIG_5, GGUF, FORMS } form;
static const char *const form_names[] = {"config.json", "config.v5.json", "GGUF"};

static void link_file(const char *folder, const char *file, const char *to, const char *as)
{
    char from[700], at[700];
    snprintf(from, sizeof from, "%s/%s", folder, file);
    snprintf(at, sizeof at, "%s/%s", to, as);
    char *whole = realpath(from, NULL);
    assert_non_null(whole);
    assert_true(symlink(whole, at) == 0);
    free(whole);
}

/* False: GGUF has no name for the architecture, and hone says so. */
static bool make_gguf(const char *golden, const char *out)
{
    hone_file *f;
    hone_pool *pool;
    hone_quantize_result result;
    hone_quantize_options o = {.type = HONE_DTYPE_F32};
    for (int k = 0; k < HONE_QUANTIZE_KINDS; k++)
        o.kind[k] = HONE_QUANTIZE_DEFAULT;
    assert_int_equal(hone_pool_open(1, NULL, &pool), HONE_OK);
    assert_int_equal(hone_file_open(golden, &f), HONE_OK);
    hone_status s = hone_quantize(f, &o, out, pool, &(hone_quantize_events){0}, &result);
    if (s != HONE_OK) {
        assert_int_equal(s, HONE_UNSUPPORTED);
        assert_non_null(strstr(hone_error(), "deberta-v2"));
    }
    hone_file_close(f);
    hone_pool_close(pool);
    return s == HONE_OK;
}

/* The model in this form, made once: a folder with the weights and a config, or a GGUF file. */
static bool make_form(const char *golden, const char *name, form form, char out[512])
{
    snprintf(out, 512, "%s/%s-%d", folder, name, form);
    if (form == GGUF)
        return make_gguf(golden, out);
    if (mkdir(out, 0700) != 0)
        return true;
    link_file(golden, "model.safetensors", out, "model.safetensors");
    link_file(golden, form_names[form], out, "config.json");
    return true;
}

typedef struct golden {
    char path[512];
    hone_file *reference;
    double tolerance;
    int32_t *tokens[PROMPTS], *types[PROMPTS];
    hone_text texts[PROMPTS];
} golden;

static float *floats(const golden *g, int prompt, const char *what, size_t *n)
{
    char name[64];
    snprintf(name, sizeof name, "prompt%d.%s", prompt, what);
    const hone_tensor *t = hone_file_tensor(g->reference, name);
    if (!t)
        return NULL;
    *n = hone_tensor_elements(t);
    float *x = hone_malloc(*n * sizeof *x);
    assert_non_null(x);
    assert_true(hone_dtype_decode((hone_dtype)t->dtype, t->data, *n, x));
    return x;
}

static int32_t *ids(const golden *g, int prompt, const char *what, uint32_t *n)
{
    char name[64];
    snprintf(name, sizeof name, "prompt%d.%s", prompt, what);
    const hone_tensor *t = hone_file_tensor(g->reference, name);
    assert_non_null(t);
    assert_int_equal(t->dtype, HONE_DTYPE_I32);
    *n = (uint32_t)hone_tensor_elements(t);
    int32_t *x = hone_malloc(*n * sizeof *x);
    memcpy(x, t->data, *n * sizeof *x);
    return x;
}

static bool open_golden(const char *name, golden *g)
{
    char path[600];
    if (!find_golden(name, g->path))
        return false;
    snprintf(path, sizeof path, "%s/reference.safetensors", g->path);
    assert_int_equal(hone_file_open(path, &g->reference), HONE_OK);
    snprintf(path, sizeof path, "%s/reference.json", g->path);
    json_t *j = json_load_file(path, 0, NULL);
    g->tolerance =
        json_real_value(json_object_get(json_object_get(j, "tolerance"), "float32_max_abs"));
    assert_true(g->tolerance > 0 && g->tolerance < 0.01);
    json_decref(j);
    for (int p = 0; p < PROMPTS; p++) {
        uint32_t n;
        g->tokens[p] = ids(g, p, "input_ids", &g->texts[p].n);
        g->types[p] = ids(g, p, "token_type_ids", &n);
        assert_int_equal(n, g->texts[p].n);
        g->texts[p].tokens = g->tokens[p];
        g->texts[p].types = g->types[p];
    }
    return true;
}

static void close_golden(golden *g)
{
    for (int p = 0; p < PROMPTS; p++) {
        hone_free(g->tokens[p]);
        hone_free(g->types[p]);
    }
    hone_file_close(g->reference);
}

static hone_engine *open_engine(const char *path, hone_compute compute, int threads, int isa)
{
    hone_engine *e;
    hone_config c = hone_config_default();
    c.compute = compute;
    c.kv_format = compute == HONE_COMPUTE_F32 ? HONE_KV_F32 : HONE_KV_BF16;
    c.threads = threads;
    c.isa = isa;
    if (hone_engine_open(path, &c, NULL, NULL, &e) != HONE_OK)
        fail_msg("%s: %s", path, hone_error());
    return e;
}

static double distance(const float *a, const float *b, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        worst = d <= worst ? worst : d; /* NaN is worst */
    }
    return worst;
}

static float *encode(hone_engine *e, const hone_text *texts, size_t n, hone_pooling pooling,
                     size_t *count)
{
    size_t rows = 0;
    for (size_t i = 0; i < n; i++)
        rows += pooling == HONE_POOLING_NONE ? texts[i].n : 1;
    *count = rows * hone_engine_facts(e)->hidden;
    float *x = hone_malloc(*count * sizeof *x);
    if (hone_engine_encode(e, texts, n, pooling, NULL, NULL, x) != HONE_OK)
        fail_msg("%s", hone_error());
    return x;
}

static float *classify(hone_engine *e, const hone_text *texts, size_t n, size_t *count)
{
    *count = n * hone_engine_facts(e)->labels;
    float *x = hone_malloc(*count * sizeof *x);
    if (hone_engine_classify(e, texts, n, NULL, NULL, x) != HONE_OK)
        fail_msg("%s", hone_error());
    return x;
}

/* One result of one prompt against what the reference calls `what`; false if it has none. */
static bool compare(hone_engine *e, const golden *g, int p, const char *what, hone_pooling pooling,
                    double *worst)
{
    size_t n, got_n;
    float *want = floats(g, p, what, &n), *got;
    if (!want)
        return false;
    if (pooling == HONE_POOLING_POOLER && !hone_engine_facts(e)->has_pooler) { /* GGUF */
        hone_free(want);
        return false;
    }
    if (strcmp(what, "logits") == 0)
        got = classify(e, &g->texts[p], 1, &got_n);
    else
        got = encode(e, &g->texts[p], 1, pooling, &got_n);
    assert_int_equal(n, got_n);
    if (strcmp(what, "mean_pool_l2") == 0)
        hone_encode_normalize(got, got_n);
    double d = distance(got, want, n);
    *worst = d <= *worst ? *worst : d;
    hone_free(got);
    hone_free(want);
    return true;
}

static void every_result_equals_transformers_within_its_tolerance(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        hone_pooling pooling;
    } results[] = {{"last_hidden", HONE_POOLING_NONE},
                   {"mean_pool", HONE_POOLING_MEAN},
                   {"mean_pool_l2", HONE_POOLING_MEAN},
                   {"pooler_output", HONE_POOLING_POOLER},
                   {"logits", HONE_POOLING_CLS}};
    print_message("models| %-18s %-15s %-10s %-10s\n", "encoder", "from", "error", "allowed");
    for (int m = 0; m < MODELS; m++) {
        golden g;
        if (!open_golden(models[m], &g))
            continue;
        for (form form = 0; form < FORMS; form++) {
            char path[512];
            if (!make_form(g.path, models[m], form, path))
                continue;
            hone_engine *e = open_engine(path, HONE_COMPUTE_F32, 2, HONE_ISA_BEST);
            double worst = 0;
            int compared = 0;
            for (int p = 0; p < PROMPTS; p++)
                for (size_t r = 0; r < sizeof results / sizeof *results; r++)
                    compared += compare(e, &g, p, results[r].what, results[r].pooling, &worst);
            print_message("models| %-18s %-15s %-10.2g %-10.2g\n", models[m], form_names[form],
                          worst, g.tolerance);
            assert_true(compared >= 3 * PROMPTS && worst <= g.tolerance);
            hone_engine_close(e);
        }
        close_golden(&g);
    }
}

/* What the streams between the layers are held against. */
typedef struct streams {
    const golden *g;
    double worst;
    int seen;
} streams;

static void watch_stream(void *arg, int layer, const float *x, uint32_t rows)
{
    streams *s = arg;
    char name[32] = "hidden.embed";
    size_t n;
    if (layer >= 0)
        snprintf(name, sizeof name, "hidden.layer%d", layer);
    float *want = floats(s->g, 1, name, &n);
    if (!want)
        return;
    assert_int_equal(rows, s->g->texts[1].n);
    double d = distance(x, want, n);
    if (!(d <= s->g->tolerance))
        print_message("%s differs by %g\n", name, d);
    s->worst = d <= s->worst ? s->worst : d;
    s->seen++;
    hone_free(want);
}

static void the_stream_between_the_layers_equals_transformers(void **state)
{
    (void)state;
    for (int m = 0; m < MODELS; m++) {
        golden g;
        size_t n;
        if (!open_golden(models[m], &g))
            continue;
        hone_engine *e = open_engine(g.path, HONE_COMPUTE_F32, 2, HONE_ISA_BEST);
        streams s = {&g, 0, 0};
        hone_engine_watch(e, watch_stream, &s);
        hone_free(encode(e, &g.texts[1], 1, HONE_POOLING_NONE, &n));
        assert_int_equal(s.seen, 1 + (int)hone_engine_facts(e)->layers);
        assert_true(s.worst <= g.tolerance);
        hone_engine_close(e);
        close_golden(&g);
    }
}

/* Prompts in every order and number, some of them cut: company for each other. */
enum { COMPANY = 24 };

static size_t company(const golden *g, hone_text *out)
{
    for (size_t i = 0; i < COMPANY; i++) {
        out[i] = g->texts[(i * 7) % PROMPTS];
        uint32_t cut = (uint32_t)(i * 13 % 60);
        out[i].n -= cut < out[i].n ? cut : 0;
    }
    out[COMPANY - 1].n = 1;
    return COMPANY;
}

static float *run_company(const char *path, const golden *g, hone_compute compute, int threads,
                          int isa, bool alone, size_t *count)
{
    hone_text texts[COMPANY];
    size_t n = company(g, texts), m = 0;
    hone_engine *e = open_engine(path, compute, threads, isa);
    bool labels = hone_engine_facts(e)->labels;
    uint32_t width = labels ? hone_engine_facts(e)->labels : hone_engine_facts(e)->hidden;
    float *x = hone_calloc(n * width, sizeof *x);
    for (size_t i = 0; i < n; i += alone ? 1 : n) {
        size_t now = alone ? 1 : n;
        float *part = labels ? classify(e, texts + i, now, &m)
                             : encode(e, texts + i, now, HONE_POOLING_MEAN, &m);
        memcpy(x + i * width, part, m * sizeof *x);
        hone_free(part);
    }
    *count = n * width;
    hone_engine_close(e);
    return x;
}

static void bits_depend_neither_on_company_nor_on_threads_nor_on_the_instruction_set(void **state)
{
    (void)state;
    for (int m = 0; m < MODELS; m++) {
        golden g;
        if (!open_golden(models[m], &g))
            continue;
        for (int compute = 0; compute < 2; compute++) {
            size_t n, k;
            hone_compute c = compute ? HONE_COMPUTE_F32 : HONE_COMPUTE_BF16;
            float *want = run_company(g.path, &g, c, 1, HONE_ISA_BEST, true, &n);
            for (int isa = 0; isa < HONE_ISA_COUNT; isa++) {
                if (!hone_isa_supported((hone_isa)isa))
                    continue;
                float *got = run_company(g.path, &g, c, 2, isa, false, &k);
                assert_int_equal(n, k);
                if (memcmp(want, got, n * sizeof *got) != 0)
                    fail_msg("%s on %s: other bits, by %g", models[m], hone_isa_name((hone_isa)isa),
                             distance(want, got, n));
                hone_free(got);
            }
            hone_free(want);
        }
        close_golden(&g);
    }
}

static void bfloat16_gives_nearly_the_same_vectors(void **state)
{
    (void)state;
    for (int m = 0; m < MODELS; m++) {
        golden g;
        size_t n;
        if (!open_golden(models[m], &g))
            continue;
        float *exact = NULL;
        for (int compute = 0; compute < 2; compute++) {
            hone_engine *e = open_engine(g.path, compute ? HONE_COMPUTE_BF16 : HONE_COMPUTE_F32, 2,
                                         HONE_ISA_BEST);
            float *x = encode(e, &g.texts[2], 1, HONE_POOLING_MEAN, &n);
            hone_encode_normalize(x, n);
            hone_engine_close(e);
            if (!exact) {
                exact = x;
                continue;
            }
            double cosine = 0;
            for (size_t i = 0; i < n; i++)
                cosine += (double)x[i] * (double)exact[i];
            print_message("%-18s bfloat16: cosine %.6f\n", models[m], cosine);
            assert_true(cosine > 0.999);
            hone_free(x);
        }
        hone_free(exact);
        close_golden(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_result_equals_transformers_within_its_tolerance),
        cmocka_unit_test(the_stream_between_the_layers_equals_transformers),
        cmocka_unit_test(bits_depend_neither_on_company_nor_on_threads_nor_on_the_instruction_set),
        cmocka_unit_test(bfloat16_gives_nearly_the_same_vectors),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
