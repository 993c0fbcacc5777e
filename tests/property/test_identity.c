// links: engine
/*
 * The signature of hone: a sequence's logits are the same bits whatever else is in its batch,
 * however its tokens were cut into steps, whether its prefix was shared, on how many threads and on
 * which instruction set. A reference (one thread, one sequence, one step) is compared with random
 * traffic.
 */
#include "base/mem.h"
#include "base/rng.h"
#include "dtype/dtype.h"
#include "engine/engine.h"
#include "hw/isa.h"
#include "kernel/kernel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "../shared.h"
#include "../support/amx_emulator.h"

#define DATA HONE_SOURCE_DIR "/tests/golden/data"

/* Sanitizers are slow: there a part of the traffic is enough, the bits were compared without them.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { ROUNDS = 25 };
#else
enum { ROUNDS = 100 };
#endif

enum { TEXTS = 4, TOKENS = 170, SHARED = 131, SESSIONS = 6, STEP = 96 };

typedef struct setting {
    const char *path; /* of the tree, or "shared:NAME" of ../shared/data/golden/models */
    hone_compute compute;
    int kv, weights;
    int share;    /* of the rounds: 1/share */
    int products; /* techniques keep the identity among themselves */
} setting;

#define LLAMA   DATA "/models/llama"
#define TIED    DATA "/models/llama-tied"
#define STORIES "shared:../../stories260k/stories260k.gguf"

static const setting settings[] = {
    {LLAMA, HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_WEIGHT_AS_FILED, 1, 0},
    {LLAMA, HONE_COMPUTE_F32, HONE_KV_F32, HONE_WEIGHT_AS_FILED, 2, 0},
    {TIED, HONE_COMPUTE_BF16, HONE_KV_I8, HONE_WEIGHT_AS_FILED, 2, 0},
    {STORIES, HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_DTYPE_Q8_0, 1, 0},
    {LLAMA, HONE_COMPUTE_BF16, HONE_KV_I4, HONE_WEIGHT_AS_FILED, 2, 0},
    {STORIES, HONE_COMPUTE_BF16, HONE_KV_E4M3, HONE_WEIGHT_AS_FILED, 1, 0},
    {TIED, HONE_COMPUTE_BF16, HONE_KV_E5M2, HONE_WEIGHT_AS_FILED, 2, 0},
    {DATA "/models/gemma3", HONE_COMPUTE_BF16, HONE_KV_I4, HONE_WEIGHT_AS_FILED, 2, 0},
    {STORIES, HONE_COMPUTE_BF16, HONE_KV_I8, HONE_DTYPE_Q4_0, 1, 0},
    {STORIES, HONE_COMPUTE_F32, HONE_KV_BF16, HONE_DTYPE_Q4_1, 2, 0},
    {DATA "/models/gemma3", HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_WEIGHT_AS_FILED, 1, 0},
    {DATA "/models/gemma3", HONE_COMPUTE_F32, HONE_KV_F32, HONE_WEIGHT_AS_FILED, 2, 0},
    {DATA "/models/gpt2", HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_WEIGHT_AS_FILED, 4, 0},
    {"shared:mistral", HONE_COMPUTE_BF16, HONE_KV_I8, HONE_WEIGHT_AS_FILED, 2, 0},
    {"shared:qwen2", HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_WEIGHT_AS_FILED, 8, 0},
    {"shared:qwen3", HONE_COMPUTE_F32, HONE_KV_F32, HONE_WEIGHT_AS_FILED, 8, 0},
    {"shared:phi3", HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_WEIGHT_AS_FILED, 4, 0},
    {"shared:phi3-longrope", HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_WEIGHT_AS_FILED, 4, 0},
    {"shared:gemma", HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_WEIGHT_AS_FILED, 8, 0},
    {"shared:gemma2", HONE_COMPUTE_BF16, HONE_KV_I8, HONE_WEIGHT_AS_FILED, 2, 0},
    {"shared:gpt_neox", HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_WEIGHT_AS_FILED, 8, 0},
    {"shared:starcoder2", HONE_COMPUTE_BF16, HONE_KV_F32, HONE_WEIGHT_AS_FILED, 4, 0},
    {STORIES, HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_DTYPE_Q8_0, 2, HONE_PRODUCTS_INT8},
    {STORIES, HONE_COMPUTE_BF16, HONE_KV_I8, HONE_DTYPE_Q4_1, 2, HONE_PRODUCTS_INT8},
    {STORIES, HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_DTYPE_Q4_0, 2, HONE_PRODUCTS_INT8_ROW},
    {LLAMA, HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_WEIGHT_AS_FILED, 2, HONE_PRODUCTS_BF16_DOT},
    {STORIES, HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_DTYPE_Q8_0, 2, HONE_PRODUCTS_BF16_DOT},
    {STORIES, HONE_COMPUTE_BF16, HONE_KV_BF16, HONE_DTYPE_Q8_0, 2, HONE_PRODUCTS_BF16_WEIGHTS},
    {STORIES, HONE_COMPUTE_BF16, HONE_KV_I8, HONE_DTYPE_Q4_1, 2, HONE_PRODUCTS_BF16_WEIGHTS},
};

/* Where a setting's model lies; false (with a line, once) if nowhere. */
static bool find_model(const setting *s, char path[512])
{
    static bool told[sizeof settings / sizeof *settings];
    char inside[256];
    const char *name = strchr(s->path, ':');
    if (strncmp(s->path, "shared:", 7) != 0) {
        snprintf(path, 512, "%s", s->path);
        return true;
    }
    snprintf(inside, sizeof inside, "golden/models/%s", name + 1);
    snprintf(path, 512, "%.511s", shared(inside));
    bool found = told[s - settings] ? have_shared(inside) : find_shared(name + 1, inside);
    told[s - settings] = true;
    return found;
}

/* Texts 1 and 2 begin as text 0 does, for SHARED tokens; what each should give. */
typedef struct truth {
    uint32_t vocab;
    int32_t ids[TEXTS][TOKENS];
    float *logits[TEXTS]; /* [TOKENS][vocab] */
} truth;

typedef struct actor {
    hone_session *session; /* NULL = idle */
    int text;
} actor;

typedef struct traffic {
    const truth *t;
    hone_engine *engine;
    actor actors[SESSIONS];
    float *logits; /* [STEP][vocab] */
    uint64_t seed, drawn;
    size_t compared, reused;
} traffic;

static uint32_t draw(traffic *x, uint32_t n)
{
    return (uint32_t)hone_rng_below(x->seed, 0, x->drawn++, n);
}

static hone_engine *open_engine(const setting *s, int threads, int isa)
{
    hone_config c = hone_config_default();
    c.compute = s->compute;
    c.kv_format = s->kv;
    c.products = s->products;
    for (int k = 0; k < HONE_WEIGHT_KINDS; k++)
        c.weight_dtype[k] = s->weights;
    c.threads = threads;
    c.isa =
        isa == HONE_ISA_BEST && amx_emulated() ? HONE_ISA_AVX512_VNNI : isa; /* traps are slow */
    c.context_tokens = 256;
    c.step_tokens = STEP * 2;
    c.prefix_reuse = true;
    hone_engine *e;
    char path[512];
    assert_true(find_model(s, path));
    if (hone_engine_open(path, &c, NULL, NULL, &e) != HONE_OK)
        fail_msg("%s: %s", path, hone_error());
    return e;
}

/* Whether a set has the setting's products; a line where the best has not. */
static bool has_products(const setting *s, int isa)
{
    hone_isa set = isa == HONE_ISA_BEST ? hone_isa_best() : (hone_isa)isa;
    bool has = hone_products_supported(set, (hone_products)s->products);
    if (!has && isa == HONE_ISA_BEST)
        print_message("SKIP products %s: not on this machine\n",
                      hone_products_name((hone_products)s->products));
    return has;
}

static void learn_truth(const setting *s, truth *t)
{
    hone_engine *e = open_engine(s, 1, HONE_ISA_BEST);
    t->vocab = hone_engine_facts(e)->vocab;
    for (int i = 0; i < TEXTS; i++) {
        for (uint32_t k = 0; k < TOKENS; k++) {
            uint64_t stream = (i == 1 || i == 2) && k < SHARED ? 0 : (uint64_t)i;
            t->ids[i][k] = (int32_t)hone_rng_below(11, stream, k, t->vocab);
        }
        hone_session *session;
        t->logits[i] = hone_malloc((size_t)TOKENS * t->vocab * sizeof(float));
        assert_int_equal(hone_session_open(e, &session), HONE_OK);
        hone_row row = {session, t->ids[i], TOKENS, HONE_WANT_ALL};
        assert_int_equal(hone_engine_step(e, &row, 1, t->logits[i]), HONE_OK);
        hone_session_close(session);
    }
    hone_engine_close(e);
    /* The comparison means something: texts differ once they part, and rows differ among
     * themselves. */
    size_t row = t->vocab * sizeof(float);
    assert_memory_equal(t->logits[0], t->logits[1], SHARED * row);
    assert_true(memcmp(t->logits[0] + (size_t)SHARED * t->vocab,
                       t->logits[1] + (size_t)SHARED * t->vocab, row) != 0);
    assert_true(memcmp(t->logits[0], t->logits[0] + t->vocab, row) != 0);
}

static void forget_truth(truth *t)
{
    for (int i = 0; i < TEXTS; i++)
        hone_free(t->logits[i]);
}

/* Opens, forks, truncates or closes one random session. */
static void stir(traffic *x)
{
    actor *a = &x->actors[draw(x, SESSIONS)], *b = &x->actors[draw(x, SESSIONS)];
    if (!a->session) {
        a->text = (int)draw(x, TEXTS);
        assert_int_equal(hone_session_open(x->engine, &a->session), HONE_OK);
        if (draw(x, 3)) {
            uint32_t reused, n = 1 + draw(x, TOKENS);
            assert_int_equal(hone_session_reuse(a->session, x->t->ids[a->text], n, &reused),
                             HONE_OK);
            assert_true(reused < n && reused == hone_session_length(a->session));
            x->reused += reused;
        }
        return;
    }
    uint32_t length = hone_session_length(a->session);
    switch (draw(x, 4)) {
    case 0:
        hone_session_close(a->session);
        a->session = NULL;
        break;
    case 1:
        hone_session_truncate(a->session, draw(x, length + 1));
        break;
    case 2:
        if (!b->session && a != b) {
            assert_int_equal(hone_session_fork(a->session, &b->session), HONE_OK);
            assert_int_equal(hone_session_length(b->session), length);
            b->text = a->text;
            /* A fork inside the shared beginning may go on as another text does. */
            if (length <= SHARED && a->text <= 2)
                b->text = (int)draw(x, 3);
        }
        break;
    default:
        break;
    }
}

/* A batch of random rows; every row of logits that comes back must be the truth's. */
static void step(traffic *x)
{
    hone_row rows[SESSIONS];
    const actor *who[SESSIONS];
    uint32_t at[SESSIONS], n = 0, left = STEP;
    uint32_t first = draw(x, SESSIONS);
    for (uint32_t k = 0; k < SESSIONS && left > 0; k++) {
        actor *a = &x->actors[(first + k) % SESSIONS];
        uint32_t length = a->session ? hone_session_length(a->session) : TOKENS;
        if (length >= TOKENS || draw(x, 4) == 0)
            continue;
        uint32_t most = TOKENS - length < left ? TOKENS - length : left;
        uint32_t count = draw(x, 2) ? 1 : 1 + draw(x, most);
        who[n] = a;
        at[n] = length;
        rows[n++] =
            (hone_row){a->session, x->t->ids[a->text] + length, count, (hone_want)draw(x, 3)};
        left -= count;
    }
    if (n == 0)
        return;
    if (hone_engine_step(x->engine, rows, n, x->logits) != HONE_OK)
        fail_msg("%s", hone_error());
    const float *got = x->logits;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t from = rows[i].want == HONE_WANT_ALL ? 0 : rows[i].n_tokens - 1;
        for (uint32_t k = from; rows[i].want != HONE_WANT_NONE && k < rows[i].n_tokens; k++) {
            const float *want = x->t->logits[who[i]->text] + (size_t)(at[i] + k) * x->t->vocab;
            if (memcmp(got, want, x->t->vocab * sizeof *got) != 0)
                fail_msg("text %d, position %u of a step of %u rows (this one: %u tokens from %u): "
                         "other bits",
                         who[i]->text, at[i] + k, n, rows[i].n_tokens, at[i]);
            got += x->t->vocab;
            x->compared++;
        }
    }
}

static void run_traffic(const setting *s, const truth *t, int threads, int isa, uint64_t seed,
                        int rounds)
{
    traffic x = {.t = t, .engine = open_engine(s, threads, isa), .seed = seed};
    x.logits = hone_malloc((size_t)STEP * t->vocab * sizeof *x.logits);
    for (int r = 0; r < rounds; r++) {
        stir(&x);
        step(&x);
    }
    if (x.compared < (size_t)rounds / 2 || (x.reused == 0 && rounds >= 50))
        fail_msg("too little was compared: %zu rows, %zu tokens reused", x.compared, x.reused);
    for (int i = 0; i < SESSIONS; i++)
        if (x.actors[i].session)
            hone_session_close(x.actors[i].session);
    hone_free(x.logits);
    hone_engine_close(x.engine);
}

static int rounds_of(const setting *s, int all)
{
    return all / s->share < 12 ? 12 : all / s->share;
}

static void logits_are_identical_in_any_traffic_on_1_and_2_threads(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        truth t;
        char path[512];
        if (!find_model(&settings[i], path) || !has_products(&settings[i], HONE_ISA_BEST))
            continue;
        learn_truth(&settings[i], &t);
        for (int threads = 1; threads <= 2; threads++)
            for (uint64_t seed = 0; seed < 2; seed++)
                run_traffic(&settings[i], &t, threads, HONE_ISA_BEST, 100 * i + seed,
                            rounds_of(&settings[i], ROUNDS));
        forget_truth(&t);
    }
}

static void logits_are_identical_on_every_instruction_set(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        truth t;
        char path[512];
        if (!find_model(&settings[i], path) || !has_products(&settings[i], HONE_ISA_BEST))
            continue;
        learn_truth(&settings[i], &t);
        for (int isa = 0; isa < HONE_ISA_COUNT; isa++) {
            if (!hone_isa_supported((hone_isa)isa)) {
                if (i == 0)
                    print_message("not on this machine: %s\n", hone_isa_name((hone_isa)isa));
                continue;
            }
            if (!has_products(&settings[i], isa))
                continue;
            bool traps = isa == HONE_ISA_AMX_INT8 && amx_emulated();
            run_traffic(&settings[i], &t, 2, isa, 7 + i,
                        traps ? 12 : rounds_of(&settings[i], ROUNDS / 2));
        }
        forget_truth(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_identical_in_any_traffic_on_1_and_2_threads),
        cmocka_unit_test(logits_are_identical_on_every_instruction_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
