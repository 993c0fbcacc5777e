#include "eval/eval.h"

#include "base/clock.h"
#include "base/interrupt.h"
#include "base/mem.h"
#include "stat/stat.h"

#include <math.h>
#include <string.h>

enum { BLOCK_BYTES = 64 << 20 };

/* A pass of an engine over the text; what is kept of it, or what it is compared with. */
typedef struct walk {
    hone_engine *engine;
    const int32_t *tokens;
    size_t n;
    const hone_eval_protocol *protocol;
    uint32_t vocab, block_rows;
    hone_session *session;
    float *logits; /* [block_rows][vocab] */
    size_t logits_bytes;
    int32_t *window;                 /* [context] ids of the window in hand */
    double *nll;                     /* [scored], the result's */
    size_t windows, scored, done;    /* done: scores written */
    hone_eval_reference *keep;       /* or NULL */
    const hone_eval_reference *with; /* or NULL */
    double *kl;
    size_t agreed; /* positions with equal top-1 */
    hone_progress_fn *progress;
    void *arg;
    const char *what;
} walk;

static hone_status check_protocol(const walk *w)
{
    const hone_eval_protocol *p = w->protocol;
    if (p->context < 2 || p->stride < 1)
        return hone_fail(HONE_USAGE,
                         "an evaluation needs a context of at least 2 tokens and a stride of "
                         "at least 1; given: %u and %u",
                         p->context, p->stride);
    uint32_t most = hone_engine_config(w->engine)->context_tokens;
    if (p->context > most)
        return hone_fail(HONE_LIMIT,
                         "windows of %u tokens do not fit the context of %u; use a smaller context",
                         p->context, most);
    uint32_t need = hone_eval_protocol_payload(p);
    if (w->n < need)
        return hone_fail(
            HONE_DATA,
            "%zu tokens of text, and one window needs %u: give more of it or a smaller "
            "context",
            w->n, need);
    if (p->bos >= 0 && (uint32_t)p->bos >= w->vocab)
        return hone_fail(HONE_USAGE, "BOS id %d is outside the vocabulary of %u", p->bos, w->vocab);
    for (size_t i = 0; i < w->n; i++)
        if (w->tokens[i] < 0 || (uint32_t)w->tokens[i] >= w->vocab)
            return hone_fail(HONE_DATA, "token %zu of the text is %d, outside the vocabulary of %u",
                             i, w->tokens[i], w->vocab);
    return HONE_OK;
}

static size_t kept(const walk *w, size_t every)
{
    return (w->scored + every - 1) / every;
}

static hone_status open_keep(walk *w, size_t bytes_max)
{
    hone_eval_reference *k = w->keep;
    size_t rows = bytes_max / (w->vocab * sizeof(float));
    k->every = rows ? (w->scored + rows - 1) / rows : w->scored;
    if (k->every < 1)
        k->every = 1;
    k->logits_bytes = kept(w, k->every) * w->vocab * sizeof(float);
    k->logits = hone_alloc_big(k->logits_bytes);
    k->top1 = hone_malloc(w->scored * sizeof *k->top1);
    if (!k->logits || !k->top1)
        return hone_fail_memory(k->logits_bytes, "the original's logits");
    return HONE_OK;
}

static hone_status walk_open(walk *w, size_t keep_bytes)
{
    HONE_TRY(check_protocol(w));
    hone_eval_count(w->protocol, w->n, &w->windows, &w->scored);
    size_t rows = BLOCK_BYTES / (w->vocab * sizeof(float));
    if (rows > w->protocol->context)
        rows = w->protocol->context;
    w->block_rows = rows > 0 ? (uint32_t)rows : 1;
    w->logits_bytes = (size_t)w->block_rows * w->vocab * sizeof(float);
    w->window = hone_malloc(w->protocol->context * sizeof(int32_t));
    w->nll = hone_malloc(w->scored * sizeof(double));
    if (w->with)
        w->kl = hone_malloc(kept(w, w->with->every) * sizeof(double));
    if (!w->window || !w->nll || (w->with && !w->kl))
        return hone_fail_memory(w->scored * sizeof(double), "scores");
    w->logits = hone_alloc_big(w->logits_bytes);
    if (!w->logits)
        return hone_fail_memory(w->logits_bytes, "logits of an evaluation block");
    if (w->keep)
        HONE_TRY(open_keep(w, keep_bytes));
    return hone_session_open(w->engine, &w->session);
}

/* Frees what the walk itself needs; scores stay. */
static void walk_close(walk *w)
{
    if (w->session)
        hone_session_close(w->session);
    hone_free_big(w->logits, w->logits_bytes);
    hone_free(w->window);
}

/* Scores `rows` positions whose logits are in hand; target[r] is the token that row r predicts. */
static hone_status score_block(walk *w, const int32_t *target, uint32_t rows, size_t text_position)
{
    for (uint32_t r = 0; r < rows; r++, w->done++) {
        const float *l = w->logits + (size_t)r * w->vocab;
        double nll = hone_eval_nll(l, w->vocab, target[r]);
        if (!isfinite(nll))
            return hone_fail(HONE_FORMAT,
                             "the model's logits before token %zu of the text are not finite: "
                             "its weights are damaged or overflow in this arithmetic",
                             text_position + r);
        w->nll[w->done] = nll;
        if (w->keep) {
            w->keep->top1[w->done] = hone_eval_top1(l, w->vocab);
            if (w->done % w->keep->every == 0)
                memcpy(w->keep->logits + w->done / w->keep->every * w->vocab, l,
                       w->vocab * sizeof(float));
        }
        if (w->with) {
            size_t at = w->done / w->with->every;
            w->agreed += hone_eval_top1(l, w->vocab) == w->with->top1[w->done];
            if (w->done % w->with->every == 0)
                w->kl[at] = hone_eval_kl(w->with->logits + at * w->vocab, l, w->vocab);
        }
    }
    return HONE_OK;
}

static hone_status feed(walk *w, uint32_t from, uint32_t count, hone_want want)
{
    return hone_session_feed(w->session, w->window + from, count, want,
                             want == HONE_WANT_NONE ? NULL : w->logits);
}

static hone_status run_window(walk *w, size_t index)
{
    hone_eval_window at;
    if (!hone_eval_window_at(w->protocol, w->n, index, &at))
        return hone_fail(HONE_INTERNAL, "evaluation window %zu does not exist", index);
    if (at.score_from == at.end)
        return HONE_OK;
    uint32_t bos = w->protocol->bos >= 0 ? 1 : 0;
    if (bos)
        w->window[0] = w->protocol->bos;
    memcpy(w->window + bos, w->tokens + at.begin, (at.end - at.begin) * sizeof(int32_t));
    /* Row `first - 1` predicts the first token to score; the window's last token predicts nothing.
     */
    uint32_t first = bos + (uint32_t)(at.score_from - at.begin);
    uint32_t total = bos + (uint32_t)(at.end - at.begin);
    hone_session_truncate(w->session, 0);
    if (first > 1)
        HONE_TRY(feed(w, 0, first - 1, HONE_WANT_NONE));
    for (uint32_t row = first - 1; row < total - 1;) {
        HONE_TRY(hone_interrupt_check());
        uint32_t rows = total - 1 - row < w->block_rows ? total - 1 - row : w->block_rows;
        HONE_TRY(feed(w, row, rows, HONE_WANT_ALL));
        HONE_TRY(score_block(w, w->window + row + 1, rows, at.begin + row + 1 - bos));
        row += rows;
        if (w->progress)
            w->progress(w->arg, w->what, (double)index + (double)(row + 1) / total,
                        (double)w->windows);
    }
    return HONE_OK;
}

/* One pass; *out has its scores. */
static hone_status walk_run(walk *w, size_t keep_bytes, hone_eval_result *out)
{
    double begin = hone_clock_s();
    w->vocab = hone_engine_facts(w->engine)->vocab;
    hone_status s = walk_open(w, keep_bytes);
    for (size_t i = 0; s == HONE_OK && i < w->windows; i++)
        s = run_window(w, i);
    walk_close(w);
    if (s != HONE_OK) {
        hone_free(w->nll);
        hone_free(w->kl);
        return s;
    }
    double mean = hone_stat_mean(w->nll, w->scored);
    *out = (hone_eval_result){.nll = w->nll,
                              .scored = w->scored,
                              .tokens = w->n,
                              .windows = w->windows,
                              .nll_mean = mean,
                              .perplexity = exp(mean),
                              .seconds = hone_clock_s() - begin};
    return HONE_OK;
}

hone_status hone_eval_perplexity(hone_engine *e, const int32_t *tokens, size_t n,
                                 const hone_eval_protocol *p, hone_progress_fn *progress, void *arg,
                                 hone_eval_result *out)
{
    memset(out, 0, sizeof *out);
    walk w = {.engine = e,
              .tokens = tokens,
              .n = n,
              .protocol = p,
              .progress = progress,
              .arg = arg,
              .what = "perplexity"};
    return walk_run(&w, 0, out);
}

void hone_eval_result_close(hone_eval_result *r)
{
    hone_free(r->nll);
    r->nll = NULL;
}

hone_status hone_eval_reference_take(hone_engine *e, const int32_t *tokens, size_t n,
                                     const hone_eval_protocol *p, size_t bytes_max,
                                     hone_progress_fn *progress, void *arg,
                                     hone_eval_reference *out)
{
    *out = (hone_eval_reference){
        .tokens = tokens, .protocol = *p, .vocab = hone_engine_facts(e)->vocab};
    walk w = {.engine = e,
              .tokens = tokens,
              .n = n,
              .protocol = p,
              .keep = out,
              .progress = progress,
              .arg = arg,
              .what = "the original"};
    hone_status s = walk_run(&w, bytes_max, &out->result);
    if (s != HONE_OK)
        hone_eval_reference_close(out);
    return s;
}

void hone_eval_reference_close(hone_eval_reference *r)
{
    hone_eval_result_close(&r->result);
    hone_free(r->top1);
    hone_free_big(r->logits, r->logits_bytes);
    r->top1 = NULL;
    r->logits = NULL;
}

/* Mean, 99th percentile and maximum of the divergences. */
static hone_status summarise_kl(hone_eval_comparison *c)
{
    c->kl_mean = hone_stat_mean(c->kl, c->compared);
    c->kl_max = 0;
    for (size_t i = 0; i < c->compared; i++)
        c->kl_max = c->kl[i] > c->kl_max ? c->kl[i] : c->kl_max;
    return hone_stat_quantile(c->kl, c->compared, 0.99, &c->kl_p99);
}

hone_status hone_eval_compare(const hone_eval_reference *ref, hone_engine *test,
                              hone_progress_fn *progress, void *arg, hone_eval_comparison *out)
{
    memset(out, 0, sizeof *out);
    uint32_t vocab = hone_engine_facts(test)->vocab;
    if (vocab != ref->vocab)
        return hone_fail(
            HONE_DATA,
            "the two models have vocabularies of %u and %u tokens and cannot be compared",
            ref->vocab, vocab);
    walk w = {.engine = test,
              .tokens = ref->tokens,
              .n = ref->result.tokens,
              .protocol = &ref->protocol,
              .with = ref,
              .progress = progress,
              .arg = arg,
              .what = "comparison"};
    HONE_TRY(walk_run(&w, 0, &out->test));
    out->kl = w.kl;
    out->compared = kept(&w, ref->every);
    out->top1_agreement = (double)w.agreed / (double)w.scored;
    hone_status s = summarise_kl(out);
    if (s != HONE_OK)
        hone_eval_comparison_close(out);
    return s;
}

void hone_eval_comparison_close(hone_eval_comparison *c)
{
    hone_eval_result_close(&c->test);
    hone_free(c->kl);
    c->kl = NULL;
}
