/* request - drives whole requests for a profile: text in, tokens, text out. */
#include "observe/profile.h"

#include "base/interrupt.h"
#include "base/mem.h"
#include "engine/sampler.h"
#include "stat/stat.h"

#include <string.h>

typedef struct driver {
    hone_profile *p;
    const hone_profile_work *w;
    hone_spans *spans; /* NULL: not recorded */
    hone_session *session;
    hone_sampler *sampler;
    hone_detok *detok;
    float *logits;    /* [vocab] */
    int32_t *history; /* prompt, then answer */
    uint32_t length;
    double *steady; /* seconds of each token after the second, of all warm requests */
    size_t n_steady, room;
} driver;

static void close_driver(driver *d)
{
    hone_engine_record(d->w->engine, NULL);
    if (d->session)
        hone_session_close(d->session);
    hone_sampler_close(d->sampler);
    hone_detok_close(d->detok);
    hone_free(d->logits);
    hone_free(d->history);
    hone_free(d->steady);
}

static hone_status open_driver(driver *d)
{
    const hone_profile_work *w = d->w;
    const hone_model_facts *f = hone_engine_facts(w->engine);
    size_t total = (size_t)w->n_tokens + w->decode_tokens,
           context = hone_engine_config(w->engine)->context_tokens;
    if (w->n_tokens < 1 || w->decode_tokens < 1 || w->requests < 1)
        return hone_fail(HONE_USAGE, "a profile needs a prompt, a token after it and a request");
    if (total > context)
        return hone_fail(HONE_LIMIT, "%u tokens and %u more exceed the context of %zu", w->n_tokens,
                         w->decode_tokens, context);
    hone_sampling greedy = hone_sampling_default();
    HONE_TRY(hone_sampler_open(&greedy, f->vocab, &d->sampler));
    HONE_TRY(hone_session_open_for(w->engine, (uint32_t)total, &d->session));
    d->room = (size_t)w->requests * w->decode_tokens;
    d->logits = hone_malloc(f->vocab * sizeof *d->logits);
    d->history = hone_malloc((total + 1) * sizeof *d->history);
    d->steady = hone_malloc(d->room * sizeof *d->steady);
    return d->logits && d->history && d->steady ? HONE_OK : hone_fail_memory(total, "a profile");
}

static hone_status encode(driver *d)
{
    const hone_profile_work *w = d->w;
    memcpy(d->history, w->tokens, w->n_tokens * sizeof *w->tokens);
    d->length = w->n_tokens;
    if (!w->tokenizer)
        return HONE_OK;
    int32_t *ids;
    size_t n;
    uint64_t begin = hone_span_begin(d->spans);
    hone_status s = hone_tokenizer_encode(w->tokenizer, w->text, w->text_bytes,
                                          HONE_ENCODE_ADD_SPECIAL, &ids, &n);
    hone_span_end(d->spans, HONE_SPAN_TOKENIZE, -1, begin, 0, (double)w->text_bytes);
    if (s == HONE_OK)
        hone_free(ids);
    return s;
}

/* From the logits to the next token and its text. */
static hone_status next_token(driver *d)
{
    uint32_t vocab = hone_engine_facts(d->w->engine)->vocab;
    uint64_t begin = hone_span_begin(d->spans);
    int32_t token;
    hone_status s =
        hone_sampler_pick(d->sampler, d->logits, d->history, d->length, d->length, &token);
    hone_span_end(d->spans, HONE_SPAN_SAMPLE, -1, begin, 0, 4.0 * vocab);
    HONE_TRY(s);
    d->history[d->length++] = token;
    if (!d->detok || token >= hone_tokenizer_vocab_size(d->w->tokenizer))
        return HONE_OK;
    const char *text;
    size_t bytes;
    begin = hone_span_begin(d->spans);
    s = hone_detok_push(d->detok, token, &text, &bytes);
    hone_span_end(d->spans, HONE_SPAN_DETOKENIZE, -1, begin, 0, 0);
    return s;
}

static hone_status prompt(driver *d)
{
    hone_session_truncate(d->session, 0);
    hone_detok_close(d->detok);
    d->detok = NULL;
    if (d->w->tokenizer)
        HONE_TRY(hone_detok_open(d->w->tokenizer, HONE_DECODE_SKIP_SPECIAL, true, &d->detok));
    HONE_TRY(encode(d));
    HONE_TRY(hone_session_feed(d->session, d->history, d->length, HONE_WANT_LAST, d->logits));
    return next_token(d);
}

static hone_status decode_one(driver *d)
{
    HONE_TRY(
        hone_session_feed(d->session, d->history + d->length - 1, 1, HONE_WANT_LAST, d->logits));
    return next_token(d);
}

/* One request; seconds of the first and second token (0 without one); the steady ones go to the
 * list. */
static hone_status request(driver *d, bool keep, double *first_s, double *second_s)
{
    hone_profile *p = d->p;
    hone_profile_clear(p);
    double cpu = hone_clock_cpu_s(), cpu_prompt;
    uint64_t begin = hone_clock_ns();
    HONE_TRY(prompt(d));
    uint64_t got = hone_clock_ns(), last = got;
    cpu_prompt = hone_clock_cpu_s();
    *first_s = 1e-9 * (double)(got - begin);
    *second_s = 0;
    for (uint32_t i = 0; i < d->w->decode_tokens; i++) {
        HONE_TRY(hone_interrupt_check());
        HONE_TRY(decode_one(d));
        uint64_t now = hone_clock_ns();
        if (i == 0)
            *second_s = 1e-9 * (double)(now - last);
        else if (keep)
            d->steady[d->n_steady++] = 1e-9 * (double)(now - last);
        last = now;
    }
    if (!keep)
        return HONE_OK;
    hone_profile_add(p, HONE_PHASE_PROMPT, begin, got, cpu_prompt - cpu, d->w->n_tokens);
    hone_profile_add(p, HONE_PHASE_DECODE, got, last, hone_clock_cpu_s() - cpu_prompt,
                     d->w->decode_tokens);
    return HONE_OK;
}

static hone_status requests(driver *d)
{
    hone_profile *p = d->p;
    const hone_profile_work *w = d->w;
    double second, first_sum = 0, second_sum = 0, first;
    HONE_TRY(request(d, false, &p->first_cold_s, &second));
    d->spans = &p->spans;
    hone_engine_record(w->engine, d->spans);
    for (uint32_t r = 0; r < w->requests; r++) {
        if (w->progress)
            w->progress(w->arg, "profiling requests", r, w->requests);
        HONE_TRY(request(d, true, &first, &second));
        first_sum += first;
        second_sum += second;
    }
    p->prompt_tokens = w->n_tokens;
    p->decode_tokens = w->decode_tokens;
    p->requests = w->requests;
    p->first_s = first_sum / w->requests;
    p->second_s = second_sum / w->requests;
    if (!d->n_steady)
        return HONE_OK;
    HONE_TRY(hone_stat_median(d->steady, d->n_steady, &p->steady_s));
    return hone_stat_quantile(d->steady, d->n_steady, 0.95, &p->steady_p95_s);
}

hone_status hone_profile_requests(hone_profile *p, const hone_profile_work *w)
{
    driver d = {.p = p, .w = w};
    hone_profile_reset(p);
    hone_status s = open_driver(&d);
    if (s == HONE_OK)
        s = requests(&d);
    close_driver(&d);
    return s;
}

/* The same steps each time, behind the whole prompt. */
static hone_status decode_round(driver *d, bool on, double *seconds)
{
    uint32_t n = d->w->n_tokens;
    hone_engine_record(d->w->engine, NULL);
    hone_session_truncate(d->session, n);
    uint32_t at = hone_session_length(d->session); /* less, where a window's pages are gone */
    HONE_TRY(hone_session_feed(d->session, d->history + at, n - at, HONE_WANT_NONE, NULL));
    d->length = n + 1;
    hone_profile_clear(d->p);
    d->spans = on ? &d->p->spans : NULL;
    hone_engine_record(d->w->engine, d->spans);
    double begin = hone_clock_s();
    for (uint32_t i = 0; i < d->w->decode_tokens; i++)
        HONE_TRY(decode_one(d));
    *seconds = hone_clock_s() - begin;
    return hone_interrupt_check();
}

static hone_status cost_rounds(driver *d, size_t rounds, double *const arms[3])
{
    double warm;
    HONE_TRY(prompt(d));
    HONE_TRY(decode_round(d, true, &warm));
    for (size_t r = 0; r < rounds; r++) {
        if (d->w->progress)
            d->w->progress(d->w->arg, "recording off and on in turns", (double)r, (double)rounds);
        for (size_t i = 0; i < 3; i++) {
            size_t arm = (r + i) % 3;
            HONE_TRY(decode_round(d, arm == 1, &arms[arm][r]));
        }
    }
    return HONE_OK;
}

hone_status hone_profile_cost(hone_profile *p, const hone_profile_work *w, size_t rounds,
                              double *off, double *on, double *again)
{
    driver d = {.p = p, .w = w};
    double *const arms[3] = {off, on, again};
    hone_status s = open_driver(&d);
    if (s == HONE_OK)
        s = cost_rounds(&d, rounds, arms);
    close_driver(&d);
    return s;
}
