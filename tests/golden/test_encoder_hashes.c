// links: engine
/*
 * Encoders on a machine that has nothing but the source tree: weights made by a formula, results of
 * transformers to a tolerance (data/encoders.json, make_encoders.py), and hone's own bits, which
 * every machine must reproduce (data/encoder_hashes.json).
 */
#include "base/io.h"
#include "base/mem.h"
#include "engine/encode.h"
#include "kernel/kernel.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <xxhash.h>

#include "../folder.h"

#define DATA   HONE_SOURCE_DIR "/tests/golden/data/"
#define HASHES DATA "encoder_hashes.json"

enum { VALUES_MAX = 128, TEXT_MAX = 64, HEADER_MAX = 1 << 15 };
/* transformers' float32 is up to 1.2e-6 away from its float64; another order of sums is as much. */
#define TOLERANCE 5e-6

static json_t *golden;

/* ---- the checkpoint ---- */

/* The formula of make_encoders.py. */
static void fill(const char *name, bool vector, size_t n, float *out)
{
    uint32_t h = 2166136261u;
    for (const char *c = name; *c; c++)
        h = (h ^ (uint8_t)*c) * 16777619u;
    bool norm = strlen(name) >= 6 && strcmp(name + strlen(name) - 6, "weight") == 0;
    bool embedding = strstr(name, "embeddings");
    for (size_t i = 0; i < n; i++) {
        uint32_t x = ((uint32_t)i + h) * 2654435761u;
        x ^= x >> 15;
        x *= 0x2c1b3c6du;
        x ^= x >> 12;
        float u = (float)(x >> 8) / 16777216.0f - 0.5f;
        out[i] = vector ? (norm ? 1 + u / 4 : u / 4) : embedding ? u * 2 : u / 2;
    }
}

static void write_weights(json_t *shapes, const char *path)
{
    const char *name;
    json_t *shape, *header = json_object(), *d;
    size_t bytes = 0, i;
    json_object_foreach(shapes, name, shape)
    {
        size_t n = sizeof(float);
        json_array_foreach(shape, i, d) n *= (size_t)json_integer_value(d);
        json_object_set_new(header, name,
                            json_pack("{s:s, s:O, s:[I, I]}", "dtype", "F32", "shape", shape,
                                      "data_offsets", (json_int_t)bytes,
                                      (json_int_t)bytes + (json_int_t)n));
        bytes += n;
    }
    char *file = hone_calloc(1, sizeof(uint64_t) + HEADER_MAX + bytes);
    uint64_t length = HEADER_MAX;
    memcpy(file, &length, sizeof length);
    memset(file + sizeof length, ' ', HEADER_MAX);
    assert_in_range(json_dumpb(header, file + sizeof length, HEADER_MAX, JSON_COMPACT), 1,
                    HEADER_MAX);
    float *at = (float *)(void *)(file + sizeof length + HEADER_MAX);
    json_object_foreach(shapes, name, shape)
    {
        size_t n = 1;
        json_array_foreach(shape, i, d) n *= (size_t)json_integer_value(d);
        fill(name, json_array_size(shape) == 1, n, at);
        at += n;
    }
    assert_int_equal(hone_write_file(path, file, sizeof length + HEADER_MAX + bytes), HONE_OK);
    hone_free(file);
    json_decref(header);
}

static void make_checkpoint(const char *name, json_t *model, char out[512])
{
    char path[700];
    snprintf(out, 512, "%s/%s", folder, name);
    if (mkdir(out, 0700) != 0)
        return; /* made before */
    snprintf(path, sizeof path, "%s/config.json", out);
    assert_int_equal(json_dump_file(json_object_get(model, "config"), path, 0), 0);
    snprintf(path, sizeof path, "%s/model.safetensors", out);
    write_weights(json_object_get(model, "shapes"), path);
}

static hone_engine *open_engine(const char *path, hone_compute compute, int threads)
{
    hone_engine *e;
    hone_config c = hone_config_default();
    c.compute = compute;
    c.kv_format = compute == HONE_COMPUTE_F32 ? HONE_KV_F32 : HONE_KV_BF16;
    c.threads = threads;
    if (hone_engine_open(path, &c, NULL, NULL, &e) != HONE_OK)
        fail_msg("%s: %s", path, hone_error());
    return e;
}

/* ---- results ---- */

static const struct {
    const char *what;
    hone_pooling pooling;
} results[] = {{"mean", HONE_POOLING_MEAN},
               {"cls", HONE_POOLING_CLS},
               {"max", HONE_POOLING_MAX},
               {"pooler", HONE_POOLING_POOLER},
               {"logits", HONE_POOLING_COUNT}};
enum { RESULTS = sizeof results / sizeof *results };

/* The text of the golden, with room of the caller. */
static hone_text text_of(json_t *text, int32_t tokens[TEXT_MAX], int32_t types[TEXT_MAX])
{
    size_t i;
    json_t *v;
    assert_true(json_array_size(json_object_get(text, "ids")) <= TEXT_MAX);
    json_array_foreach(json_object_get(text, "ids"), i, v) tokens[i] =
        (int32_t)json_integer_value(v);
    json_array_foreach(json_object_get(text, "types"), i, v) types[i] =
        (int32_t)json_integer_value(v);
    return (hone_text){tokens, types, (uint32_t)i};
}

static size_t run(hone_engine *e, const hone_text *text, size_t result, float x[VALUES_MAX])
{
    bool labels = results[result].pooling == HONE_POOLING_COUNT;
    uint32_t n = labels ? hone_engine_facts(e)->labels : hone_engine_facts(e)->hidden;
    assert_true(n > 0 && n <= VALUES_MAX);
    hone_status s = labels ? hone_engine_classify(e, text, 1, NULL, NULL, x)
                           : hone_engine_encode(e, text, 1, results[result].pooling, NULL, NULL, x);
    if (s != HONE_OK)
        fail_msg("%s", hone_error());
    return n;
}

/* Every result of every text of the model; the hash of their bits. */
static uint64_t run_all(hone_engine *e, json_t *model, double *worst, int *compared)
{
    size_t k;
    json_t *text;
    XXH3_state_t *hash = XXH3_createState();
    XXH3_64bits_reset(hash);
    json_array_foreach(json_object_get(model, "texts"), k, text)
    {
        int32_t tokens[TEXT_MAX], types[TEXT_MAX];
        hone_text t = text_of(text, tokens, types);
        for (size_t r = 0; r < RESULTS; r++) {
            float x[VALUES_MAX];
            json_t *want = json_object_get(text, results[r].what);
            if (!want)
                continue;
            size_t n = run(e, &t, r, x);
            assert_int_equal(json_array_size(want), n);
            for (size_t i = 0; i < n; i++) {
                double d = fabs(x[i] - json_number_value(json_array_get(want, i)));
                *worst = d <= *worst ? *worst : d; /* NaN is worst */
            }
            XXH3_64bits_update(hash, x, n * sizeof *x);
            ++*compared;
        }
    }
    uint64_t digest = XXH3_64bits_digest(hash);
    XXH3_freeState(hash);
    return digest;
}

/* HONE_WRITE_HASHES=1 writes the file anew: only with a new HONE_NUMERICS_VERSION. */
static void encoders_equal_transformers_and_have_the_committed_bits(void **state)
{
    (void)state;
    const char *name, *write = getenv("HONE_WRITE_HASHES");
    json_t *model, *file = write ? json_pack("{s:i, s:{}}", "numerics_version",
                                             (int)HONE_NUMERICS_VERSION, "xxh3_64")
                                 : json_load_file(HASHES, 0, NULL);
    assert_non_null(file);
    assert_int_equal(json_integer_value(json_object_get(file, "numerics_version")),
                     HONE_NUMERICS_VERSION);
    json_t *list = json_object_get(file, "xxh3_64");
    json_object_foreach(json_object_get(golden, "models"), name, model)
    {
        char path[512];
        make_checkpoint(name, model, path);
        for (int threads = 1; threads <= 2; threads++)
            for (int compute = 0; compute < 2; compute++) {
                bool exact = (hone_compute)compute == HONE_COMPUTE_F32;
                char key[64], hex[17];
                double worst = 0;
                int compared = 0;
                hone_engine *e = open_engine(path, (hone_compute)compute, threads);
                uint64_t hash = run_all(e, model, &worst, &compared);
                hone_engine_close(e);
                snprintf(key, sizeof key, "%s %s", name, exact ? "f32" : "bf16");
                snprintf(hex, sizeof hex, "%016llx", (unsigned long long)hash);
                if (threads == 1)
                    print_message("%-24s %d results, off by %.2g\n", key, compared, worst);
                assert_true(compared >= 2 && worst <= (exact ? TOLERANCE : 0.1));
                if (write)
                    json_object_set_new(list, key, json_string(hex));
                const char *want = json_string_value(json_object_get(list, key));
                if (!want || strcmp(want, hex) != 0)
                    fail_msg("%s: %s, committed %s", key, hex, want ? want : "nothing");
            }
    }
    assert_int_equal(json_object_size(list),
                     2 * json_object_size(json_object_get(golden, "models")));
    if (write)
        assert_int_equal(json_dump_file(file, HASHES, JSON_INDENT(1)), 0);
    json_decref(file);
}

/* ---- memory ---- */

static hone_status try_with_failure(const char *path, const hone_text *text, int64_t n, float *x)
{
    hone_config c = hone_config_default();
    hone_engine *e = NULL;
    c.threads = 2;
    hone_mem_fail_after(n);
    hone_status s = hone_engine_open(path, &c, NULL, NULL, &e);
    if (s == HONE_OK && hone_engine_facts(e)->labels)
        s = hone_engine_classify(e, text, 1, NULL, NULL, x);
    else if (s == HONE_OK)
        s = hone_engine_encode(e, text, 1, HONE_POOLING_MEAN, NULL, NULL, x);
    hone_mem_fail_after(-1);
    hone_engine_close(e);
    return s;
}

static void every_allocation_failure_of_load_and_a_text_is_survived(void **state)
{
    (void)state;
    const char *name;
    json_t *model;
    json_object_foreach(json_object_get(golden, "models"), name, model)
    {
        char path[512];
        int32_t tokens[TEXT_MAX], types[TEXT_MAX];
        float want[VALUES_MAX] = {0}, got[VALUES_MAX] = {0};
        make_checkpoint(name, model, path);
        hone_text text = text_of(json_array_get(json_object_get(model, "texts"), 1), tokens, types);
        assert_int_equal(try_with_failure(path, &text, -1, want), HONE_OK);
        int64_t n = 0;
        hone_status s;
        for (; (s = try_with_failure(path, &text, n, got)) != HONE_OK; n++)
            if (s != HONE_MEMORY || n > 20000)
                fail_msg("%s, allocation %lld: %s", name, (long long)n, hone_error());
        print_message("%s: %lld allocations failed one by one\n", name, (long long)n);
        assert_true(n > 20);
        assert_memory_equal(want, got, sizeof want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encoders_equal_transformers_and_have_the_committed_bits),
        cmocka_unit_test(every_allocation_failure_of_load_and_a_text_is_survived),
    };
    golden = json_load_file(DATA "encoders.json", 0, NULL);
    if (!golden)
        return 1;
    int failed = cmocka_run_group_tests(tests, make_folder, remove_folder);
    json_decref(golden);
    return failed;
}
