// links: eval
/* Logits of whole models against themselves on every machine (logits_hashes.json). Against
 * transformers: test_models.c. */
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
#include <sys/stat.h>

#include <cmocka.h>
#include <xxhash.h>

#include "../shared.h"

#define DATA   HONE_SOURCE_DIR "/tests/golden/data"
#define HASHES DATA "/logits_hashes.json"

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

/* ---- hashes --------------------------------------------------------------------------------- */

typedef struct hashed {
    const char *name;
    const char *path; /* of the tree, or "shared:NAME" of ../shared/data/golden/models */
    hone_compute compute;
    int kv, weights;
} hashed;

#define LLAMA   DATA "/models/llama"
#define TIED    DATA "/models/llama-tied"
#define STORIES "shared:../../stories260k/stories260k.gguf"

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
    {"gemma3 bf16", DATA "/models/gemma3", HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_WEIGHT_AS_FILED},
    {"gemma3 f32", DATA "/models/gemma3", HONE_COMPUTE_F32, HONE_KV_F32, HONE_WEIGHT_AS_FILED},
    {"gpt2 bf16", DATA "/models/gpt2", HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_WEIGHT_AS_FILED},
    {"gpt2 f32", DATA "/models/gpt2", HONE_COMPUTE_F32, HONE_KV_F32, HONE_WEIGHT_AS_FILED},
    {"mistral bf16", "shared:mistral", HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_WEIGHT_AS_FILED},
    {"mistral f32", "shared:mistral", HONE_COMPUTE_F32, HONE_KV_F32, HONE_WEIGHT_AS_FILED},
    {"qwen2 bf16", "shared:qwen2", HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_WEIGHT_AS_FILED},
    {"qwen2 f32", "shared:qwen2", HONE_COMPUTE_F32, HONE_KV_F32, HONE_WEIGHT_AS_FILED},
    {"qwen3 bf16", "shared:qwen3", HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_WEIGHT_AS_FILED},
    {"qwen3 f32", "shared:qwen3", HONE_COMPUTE_F32, HONE_KV_F32, HONE_WEIGHT_AS_FILED},
    {"phi3 bf16", "shared:phi3", HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_WEIGHT_AS_FILED},
    {"phi3 f32", "shared:phi3", HONE_COMPUTE_F32, HONE_KV_F32, HONE_WEIGHT_AS_FILED},
    {"phi3-longrope bf16", "shared:phi3-longrope", HONE_COMPUTE_BF16, HONE_KV_BF16,
     HONE_WEIGHT_AS_FILED},
    {"phi3-longrope f32", "shared:phi3-longrope", HONE_COMPUTE_F32, HONE_KV_F32,
     HONE_WEIGHT_AS_FILED},
    {"gemma bf16", "shared:gemma", HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_WEIGHT_AS_FILED},
    {"gemma f32", "shared:gemma", HONE_COMPUTE_F32, HONE_KV_F32, HONE_WEIGHT_AS_FILED},
    {"gemma2 bf16", "shared:gemma2", HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_WEIGHT_AS_FILED},
    {"gemma2 f32", "shared:gemma2", HONE_COMPUTE_F32, HONE_KV_F32, HONE_WEIGHT_AS_FILED},
    {"gpt_neox bf16", "shared:gpt_neox", HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_WEIGHT_AS_FILED},
    {"gpt_neox f32", "shared:gpt_neox", HONE_COMPUTE_F32, HONE_KV_F32, HONE_WEIGHT_AS_FILED},
    {"starcoder2 bf16", "shared:starcoder2", HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_WEIGHT_AS_FILED},
    {"starcoder2 f32", "shared:starcoder2", HONE_COMPUTE_F32, HONE_KV_F32, HONE_WEIGHT_AS_FILED},
};

/* Where a case's model lies; false if nowhere. */
static bool find_model(const hashed *h, char path[512])
{
    char inside[256];
    snprintf(inside, sizeof inside, "golden/models/%s", h->path + strlen("shared:"));
    bool away = strncmp(h->path, "shared:", 7) == 0;
    snprintf(path, 512, "%.511s", away ? shared(inside) : h->path);
    return access(path, R_OK) == 0;
}

enum { HASH_TOKENS = 200 };

/* XXH3-64 of the bits of the logits after tokens (7919 i + 13) mod vocab, i < 200. */
static uint64_t hash_of(const hashed *h, const char *path)
{
    hone_config c = config_of(h->compute);
    c.kv_format = h->kv;
    for (int k = 0; k < HONE_WEIGHT_KINDS; k++)
        c.weight_dtype[k] = h->weights;
    hone_engine *e = open_engine(path, c);
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
        char hex[17], path[512];
        if (!find_model(&cases[i], path)) {
            print_message("SKIP %s: needs ../shared/data/golden/models\n", cases[i].name);
            continue;
        }
        snprintf(hex, sizeof hex, "%016llx", (unsigned long long)hash_of(&cases[i], path));
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
        cmocka_unit_test(logits_have_the_committed_hashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
