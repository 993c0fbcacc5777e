#include "pipeline/backend_engine.h"

#include "base/clock.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/threads.h"
#include "cache/pages.h"
#include "dtype/dtype.h"
#include "engine/sampler.h"
#include "engine/share.h"
#include "eval/eval.h"
#include "hw/machine.h"
#include "observe/profile.h"
#include "store/bench_records.h"
#include "text/tokenizer.h"

#include <math.h>
#include <string.h>

enum {
    DECODE_TOKENS = 16,
    SESSIONS_MAX = 256,
    SPANS_MAX = 1 << 16,
    PROFILE_STEPS = 8,
    ROUNDS_MAX = 256
};

struct hone_backend_engine {
    char *model;
    struct loaded *loaded;
    hone_backend_options o; /* as resolved */
    int32_t *tokens;        /* of the whole text */
    size_t n_tokens;
    /* Tokens [0, n_work) are measured with; n_held after them judge the candidates, and the n_held
     * after those the choice. */
    size_t n_work, n_held;
    double tokenize_s;
    uint64_t kv_bytes_max; /* that suffices for the sessions; 0 = the engine's own bound does */
    hone_eval_protocol protocol;
    hone_limits limits;
    hone_eval_reference
        original[2]; /* of the candidates' text, of the choice's; one pass takes both */
};

typedef struct loaded {
    struct loaded *next; /* of those that are loaded */
    hone_engine *engine;
    hone_session *sessions[SESSIONS_MAX];
    hone_row rows[SESSIONS_MAX];
    uint32_t n_sessions, length; /* sessions that are open, and tokens in each */
    float *logits;
    double load_s;
} loaded;

/* ---- opening ------------------------------------------------------------------------------------
 */

static hone_status read_model_facts(hone_backend_engine *b, hone_model_facts *facts)
{
    hone_config c = hone_config_default();
    hone_engine *e;
    HONE_TRY(hone_engine_open(b->model, &c, b->o.progress, b->o.arg, &e));
    *facts = *hone_engine_facts(e);
    hone_engine_close(e);
    return HONE_OK;
}

static hone_status split(hone_backend_engine *b, uint32_t context)
{
    uint32_t room = context > 2 * DECODE_TOKENS ? context - DECODE_TOKENS : context / 2;
    if (!b->o.prompt_tokens)
        b->o.prompt_tokens = context / 2 < 512 ? context / 2 : 512;
    if (b->o.prompt_tokens > room)
        return hone_fail(HONE_LIMIT, "a prompt of %u tokens does not fit a context of %u",
                         b->o.prompt_tokens, context);
    size_t work = (size_t)b->o.prompt_tokens + DECODE_TOKENS, held = b->protocol.context;
    if (held < 128)
        held = 128; /* fewer scores allow no bound */
    if (b->n_tokens < work + 2 * held)
        return hone_fail(
            HONE_DATA,
            "the text has %zu tokens, at least %zu are needed: %zu to measure with and "
            "two times %zu held out to judge quality; give a longer text",
            b->n_tokens, work + 2 * held, work, held);
    b->n_work = b->n_tokens / 5 > work ? b->n_tokens / 5 : work;
    if (b->n_tokens - b->n_work < 2 * held)
        b->n_work = b->n_tokens - 2 * held;
    b->n_held = (b->n_tokens - b->n_work) / 2;
    if (b->n_held > b->o.eval_tokens)
        b->n_held = b->o.eval_tokens > held ? b->o.eval_tokens : held;
    return HONE_OK;
}

/* Of so many sessions, each in whole pages, in float32: twice what bfloat16 takes. Memory bounds
 * it, as it bounds the engine's own, which is for 64 sessions of full length. */
static uint64_t bound_for(const hone_backend_engine *b, const hone_model_facts *f)
{
    uint64_t pages = (b->o.prompt_tokens + DECODE_TOKENS - 1) / HONE_PAGE_POSITIONS + 1,
             bytes = 2 * b->o.sessions * pages * HONE_PAGE_POSITIONS * f->kv_bytes_per_token,
             most = (uint64_t)hone_machine_memory_bytes("") / 2;
    return b->o.sessions <= 64 ? 0 : bytes < most ? bytes : most;
}

static hone_status prepare(hone_backend_engine *b, const char *text, size_t bytes)
{
    hone_tokenizer *t;
    HONE_TRY(hone_tokenizer_open(b->model, &t));
    double begin = hone_clock_s();
    hone_status s = hone_tokenizer_encode(t, text, bytes, 0, &b->tokens, &b->n_tokens);
    b->tokenize_s = hone_clock_s() - begin;
    int32_t bos = hone_tokenizer_adds_bos(t) ? hone_tokenizer_bos(t) : -1;
    hone_tokenizer_close(t);
    HONE_TRY(s);
    hone_model_facts facts;
    HONE_TRY(read_model_facts(b, &facts));
    b->protocol = hone_eval_protocol_default(facts.context_tokens, bos);
    HONE_TRY(split(b, facts.context_tokens));
    b->kv_bytes_max = bound_for(b, &facts);
    if (b->o.progress)
        b->o.progress(b->o.arg, "measuring this machine's limits", 0, 1);
    hone_limits_news news;
    HONE_TRY(hone_registry_limits(b->o.registry, 0, HONE_LIMITS_CHECK, &b->limits, &news));
    if (news.drifted && b->o.note)
        b->o.note(b->o.arg, news.text);
    return HONE_OK;
}

hone_status hone_backend_engine_open(const char *model, const char *text, size_t bytes,
                                     const hone_backend_options *o, hone_backend_engine **out)
{
    *out = NULL;
    hone_backend_engine *b = hone_calloc(1, sizeof *b);
    if (!b)
        return hone_fail_memory(sizeof *b, "the optimiser");
    b->o = *o;
    if (!b->o.sessions)
        b->o.sessions = 8;
    if (b->o.sessions > SESSIONS_MAX)
        b->o.sessions = SESSIONS_MAX;
    if (!b->o.eval_tokens)
        b->o.eval_tokens = 16384;
    if (!(b->o.sample_seconds > 0))
        b->o.sample_seconds = 0.02;
    b->model = hone_strdup(model);
    hone_status s = b->model ? prepare(b, text, bytes) : hone_fail_memory(strlen(model), "a path");
    if (s != HONE_OK) {
        hone_backend_engine_close(b);
        return s;
    }
    *out = b;
    return HONE_OK;
}

void hone_backend_engine_close(hone_backend_engine *b)
{
    if (!b)
        return;
    hone_eval_reference_close(&b->original[0]);
    hone_eval_reference_close(&b->original[1]);
    hone_free(b->tokens);
    hone_free(b->model);
    hone_free(b);
}

hone_status hone_backend_engine_settings(const hone_backend_engine *b, char **json)
{
    hone_json_use_memory();
    char protocol[256];
    hone_eval_protocol_describe(&b->protocol, protocol, sizeof protocol);
    json_t *o = json_pack("{s:i, s:i, s:I, s:I, s:I, s:s}", "prompt_tokens",
                          (int)b->o.prompt_tokens, "sessions", (int)b->o.sessions, "text_tokens",
                          (json_int_t)b->n_tokens, "work_tokens", (json_int_t)b->n_work,
                          "held_out_tokens", (json_int_t)b->n_held, "protocol", protocol);
    *json = o ? json_dumps(o, JSON_SORT_KEYS | JSON_COMPACT) : NULL;
    json_decref(o);
    return *json ? HONE_OK : hone_fail_memory(512, "the settings");
}

/* ---- variants -----------------------------------------------------------------------------------
 */

static void unload(void *self, void *variant)
{
    hone_backend_engine *b = self;
    loaded *v = variant;
    for (loaded **at = &b->loaded; *at; at = &(*at)->next)
        if (*at == v) {
            *at = v->next;
            break;
        }
    for (uint32_t i = 0; i < v->n_sessions; i++)
        hone_session_close(v->sessions[i]);
    hone_engine_close(v->engine);
    hone_free(v->logits);
    hone_free(v);
}

/* Rounding to blocks of 256 looks for the best scales: dear enough to keep what it gives. */
static hone_status open_rounded(hone_backend_engine *b, const hone_config *c, hone_engine **out)
{
    const hone_packed_cache cache = {.folder = b->o.cache};
    bool dear = false;
    for (int k = 0; k < HONE_WEIGHT_KINDS; k++)
        dear |= c->weight_dtype[k] != HONE_WEIGHT_AS_FILED &&
                hone_dtype_describe((hone_dtype)c->weight_dtype[k])->block_elements == 256;
    HONE_TRY(
        hone_engine_open_cached(b->model, c, dear ? &cache : NULL, b->o.progress, b->o.arg, out));
    hone_engine_keep(*out, b->o.progress, b->o.arg); /* not while something is measured */
    return HONE_OK;
}

static hone_status load(void *self, const hone_config *c, void **variant)
{
    hone_backend_engine *b = self;
    loaded *v = hone_calloc(1, sizeof *v);
    if (!v)
        return hone_fail_memory(sizeof *v, "a variant");
    double begin = hone_clock_s();
    hone_config own = *c;
    own.prefix_reuse = false; /* no text is read twice: pages of earlier windows are free again */
    own.kv_bytes_max = b->kv_bytes_max;
    hone_status s = open_rounded(b, &own, &v->engine);
    v->load_s = hone_clock_s() - begin;
    if (s == HONE_OK) {
        for (loaded *other = b->loaded; other; other = other->next)
            hone_engine_share_threads(v->engine, other->engine);
        size_t n = (size_t)hone_engine_facts(v->engine)->vocab * b->o.sessions;
        v->logits = hone_malloc(n * sizeof *v->logits);
        if (!v->logits)
            s = hone_fail_memory(n * sizeof *v->logits, "logits");
    }
    if (s != HONE_OK)
        unload(b, v);
    else {
        v->next = b->loaded;
        b->loaded = *variant = v;
    }
    return s;
}

static hone_status facts(void *self, void *variant, hone_technique_facts *out)
{
    hone_backend_engine *b = self;
    *out = (hone_technique_facts){
        .model = *hone_engine_facts(((loaded *)variant)->engine),
        .machine = b->limits,
        .cpus = hone_threads_default(),
        .prompt_tokens = b->o.prompt_tokens,
        .depth_tokens = b->o.prompt_tokens,
        .sessions = b->o.sessions,
    };
    return HONE_OK;
}

/* n sessions, each with the prompt in its cache and nothing else. */
static hone_status need_sessions(hone_backend_engine *b, loaded *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (i == v->n_sessions) {
            HONE_TRY(hone_session_open(v->engine, &v->sessions[i]));
            v->n_sessions++;
        }
        hone_session *s = v->sessions[i];
        hone_session_truncate(s, b->o.prompt_tokens);
        uint32_t at = hone_session_length(s); /* less, where a window's pages are gone */
        hone_status fed = hone_session_feed(s, b->tokens + at, b->o.prompt_tokens - at,
                                            HONE_WANT_LAST, v->logits);
        if (fed == HONE_MEMORY && n > 1)
            return hone_fail(fed,
                             "%u sessions of %u tokens need more memory than they may take: "
                             "fewer --sessions, or a shorter --prompt",
                             n, b->o.prompt_tokens);
        HONE_TRY(fed);
    }
    return HONE_OK;
}

/* Decodes DECODE_TOKENS tokens of the text, the same ones under every configuration, in n sessions
 * at once. */
static hone_status decode(hone_backend_engine *b, loaded *v, uint32_t n)
{
    for (uint32_t t = 0; t < DECODE_TOKENS; t++) {
        for (uint32_t i = 0; i < n; i++)
            v->rows[i] =
                (hone_row){v->sessions[i], b->tokens + b->o.prompt_tokens + t, 1, HONE_WANT_LAST};
        HONE_TRY(hone_engine_step(v->engine, v->rows, n, v->logits));
    }
    return HONE_OK;
}

static hone_status first_token(hone_backend_engine *b, loaded *v)
{
    hone_session_truncate(v->sessions[0], 0);
    return hone_session_feed(v->sessions[0], b->tokens, b->o.prompt_tokens, HONE_WANT_LAST,
                             v->logits);
}

static hone_status work_once(hone_backend_engine *b, loaded *v, hone_goal g)
{
    return g == HONE_GOAL_TTFT ? first_token(b, v) : decode(b, v, v->n_sessions);
}

/* Work items (tokens, prompts) of one work_once. */
static double items_of(const loaded *v, hone_goal g)
{
    return g == HONE_GOAL_TTFT ? 1 : (double)DECODE_TOKENS * v->n_sessions;
}

/* The median of as many rounds as fit the time of a sample: of a small model a foreign process that
 * takes the core for a moment spoils a round, not the sample. */
static hone_status measure(void *self, void *variant, hone_goal g, double *cost)
{
    hone_backend_engine *b = self;
    loaded *v = variant;
    if (g == HONE_GOAL_MEMORY) {
        const hone_model_facts *m = hone_engine_facts(v->engine);
        *cost = (double)m->packed_bytes + (double)m->kv_bytes_context;
        return HONE_OK;
    }
    double seconds[ROUNDS_MAX], spent = 0, median;
    size_t rounds = 0;
    do {
        HONE_TRY(need_sessions(b, v, g == HONE_GOAL_THROUGHPUT ? b->o.sessions : 1));
        double begin = hone_clock_s();
        HONE_TRY(work_once(b, v, g));
        seconds[rounds] = hone_clock_s() - begin;
        spent += seconds[rounds++];
    } while (spent < b->o.sample_seconds && rounds < ROUNDS_MAX);
    HONE_TRY(hone_stat_median(seconds, rounds, &median));
    *cost = median / items_of(v, g);
    return HONE_OK;
}

/* ---- quality ------------------------------------------------------------------------------------
 */

/* The original, in float32, is loaded once and gone before anything is compared with it. */
static hone_status take_original(hone_backend_engine *b)
{
    hone_config c = hone_config_default();
    c.compute = HONE_COMPUTE_F32;
    c.kv_format = HONE_KV_F32;
    c.prefix_reuse = false;
    hone_engine *e;
    HONE_TRY(hone_engine_open(b->model, &c, b->o.progress, b->o.arg, &e));
    hone_status s = HONE_OK;
    for (int i = 0; i < 2 && s == HONE_OK; i++)
        s = hone_eval_reference_take(e, b->tokens + b->n_work + (i ? b->n_held : 0), b->n_held,
                                     &b->protocol, HONE_EVAL_KEEP_BYTES / 2, b->o.progress,
                                     b->o.arg, &b->original[i]);
    hone_engine_close(e);
    for (int i = 0; i < 2 && s != HONE_OK; i++)
        hone_eval_reference_close(&b->original[i]);
    return s;
}

static hone_status compare(void *self, void *variant, bool fresh, hone_pipeline_comparison *out)
{
    hone_backend_engine *b = self;
    loaded *v = variant;
    if (!b->original[1].logits)
        HONE_TRY(take_original(b));
    const hone_eval_reference *ref = &b->original[fresh];
    size_t bytes = ref->result.scored * sizeof(double);
    hone_eval_comparison c;
    HONE_TRY(hone_eval_compare(ref, v->engine, b->o.progress, b->o.arg, &c));
    *out = (hone_pipeline_comparison){.nll_ref = hone_malloc(bytes),
                                      .nll = c.test.nll,
                                      .scored = c.test.scored,
                                      .kl_mean = c.kl_mean,
                                      .kl_p99 = c.kl_p99,
                                      .top1_agreement = c.top1_agreement};
    if (!out->nll_ref) {
        hone_eval_comparison_close(&c);
        return hone_fail_memory(bytes, "scores");
    }
    memcpy(out->nll_ref, ref->result.nll, bytes);
    c.test.nll = NULL; /* the caller's now */
    hone_eval_comparison_close(&c);
    return HONE_OK;
}

/* ---- profile ------------------------------------------------------------------------------------
 */

static void take_parts(const hone_profile_phase *sums, hone_pipeline_profile *out)
{
    for (int k = 0; k < HONE_SPAN_KINDS; k++) {
        const hone_profile_part *p = &sums->parts[k];
        if (!p->calls)
            continue;
        out->parts[out->n_parts++] =
            (hone_pipeline_part){.name = hone_span_name((hone_span_kind)k),
                                 .text = hone_span_text((hone_span_kind)k),
                                 .seconds = p->seconds,
                                 .bytes = p->bytes,
                                 .ops = p->flops,
                                 .limit_share = p->seconds > 0 ? p->limit_s / p->seconds : 0};
        out->seconds += p->seconds;
    }
}

/* The tokens that the work of one round would choose. */
static hone_status sample_tokens(const hone_backend_engine *b, const loaded *v, double picks,
                                 hone_spans *spans)
{
    uint32_t vocab = hone_engine_facts(v->engine)->vocab;
    hone_sampling greedy = hone_sampling_default();
    hone_sampler *sampler;
    HONE_TRY(hone_sampler_open(&greedy, vocab, &sampler));
    hone_status s = HONE_OK;
    for (double i = 0; s == HONE_OK && i < picks; i++) {
        int32_t token;
        uint64_t begin = hone_span_begin(spans);
        s = hone_sampler_pick(sampler, v->logits, b->tokens, b->o.prompt_tokens, b->o.prompt_tokens,
                              &token);
        hone_span_end(spans, HONE_SPAN_SAMPLE, -1, begin, 0, 4.0 * vocab);
    }
    hone_sampler_close(sampler);
    return s;
}

static hone_status record_work(hone_backend_engine *b, loaded *v, hone_goal g, hone_profile *p,
                               double *cost)
{
    hone_phase phase = g == HONE_GOAL_TTFT ? HONE_PHASE_PROMPT : HONE_PHASE_DECODE;
    double seconds = 0, items = items_of(v, g);
    for (int i = 0; i < PROFILE_STEPS && p->dropped == 0; i++) {
        HONE_TRY(hone_interrupt_check());
        HONE_TRY(need_sessions(b, v, v->n_sessions));
        hone_profile_clear(p);
        double cpu = hone_clock_cpu_s();
        uint64_t begin = hone_clock_ns();
        HONE_TRY(work_once(b, v, g));
        seconds += 1e-9 * (double)(hone_clock_ns() - begin);
        HONE_TRY(sample_tokens(b, v, items, &p->spans));
        hone_profile_add(p, phase, begin, hone_clock_ns(), hone_clock_cpu_s() - cpu,
                         (uint64_t)items);
    }
    *cost = seconds / (items * (double)p->phases[phase].stretches);
    double rows = phase == HONE_PHASE_PROMPT ? b->o.prompt_tokens : v->n_sessions;
    double ops = hone_technique_products_ops_s(&b->limits, hone_engine_config(v->engine), rows);
    hone_profile_hold(p, b->limits.read_bytes_s, (const double[HONE_PHASES]){ops, ops});
    return HONE_OK;
}

static void add_once(hone_pipeline_profile *out, hone_span_kind kind, double seconds)
{
    out->parts[out->n_parts++] = (hone_pipeline_part){.name = hone_span_name(kind),
                                                      .text = hone_span_text(kind),
                                                      .seconds = seconds,
                                                      .once = true};
}

static hone_status profile(void *self, void *variant, hone_goal g, hone_pipeline_profile *out)
{
    hone_backend_engine *b = self;
    loaded *v = variant;
    memset(out, 0, sizeof *out);
    hone_goal work = g == HONE_GOAL_MEMORY ? HONE_GOAL_DECODE_LATENCY : g;
    double warm;
    HONE_TRY(measure(b, v, work, &warm));
    hone_profile *p;
    HONE_TRY(hone_profile_open(hone_engine_facts(v->engine)->layers,
                               hone_engine_config(v->engine)->threads, SPANS_MAX, &p));
    hone_engine_record(v->engine, &p->spans);
    hone_status s = record_work(b, v, work, p, &out->cost);
    hone_engine_record(v->engine, NULL);
    if (s == HONE_OK) {
        for (int i = 0; i < HONE_PHASES; i++)
            take_parts(&p->phases[i], out);
        add_once(out, HONE_SPAN_LOAD, v->load_s);
        add_once(out, HONE_SPAN_TOKENIZE, b->tokenize_s);
        if (g == HONE_GOAL_MEMORY)
            s = measure(b, v, g, &out->cost);
    }
    hone_profile_close(p);
    return s;
}

hone_pipeline_backend hone_backend_engine_callbacks(hone_backend_engine *b)
{
    return (hone_pipeline_backend){b, load, unload, facts, profile, measure, compare};
}
