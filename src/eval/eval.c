#include "eval/eval.h"

#include "base/clock.h"
#include "base/interrupt.h"
#include "base/mem.h"
#include "stat/stat.h"

#include <math.h>
#include <string.h>

enum { BLOCK_BYTES = 64 << 20 };

/* One engine's side of a walk over the text. */
typedef struct side {
    hone_engine *engine;
    hone_session *session;
    float *logits; /* [block_rows][vocab] */
    size_t logits_bytes;
    double *nll; /* [scored], owned by the result */
} side;

typedef struct walk {
    const int32_t *tokens;
    size_t n;
    const hone_eval_protocol *protocol;
    uint32_t vocab;
    uint32_t block_rows;
    int sides; /* 1 or 2 */
    side side[2];
    int32_t *window;              /* [context] ids of the window in hand */
    double *kl;                   /* [scored] or NULL */
    size_t agreed;                /* positions with equal top-1 */
    size_t windows, scored, done; /* done: scores written */
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
    for (int i = 0; i < w->sides; i++) {
        uint32_t most = hone_engine_config(w->side[i].engine)->context_tokens;
        if (p->context > most)
            return hone_fail(
                HONE_LIMIT,
                "windows of %u tokens do not fit the context of %u; use a smaller context",
                p->context, most);
    }
    uint32_t need = hone_eval_protocol_payload(p);
    if (w->n < need)
        return hone_fail(HONE_DATA,
                         "the text has %zu tokens, one window needs %u: give a longer text or a "
                         "smaller context",
                         w->n, need);
    if (p->bos >= 0 && (uint32_t)p->bos >= w->vocab)
        return hone_fail(HONE_USAGE, "BOS id %d is outside the vocabulary of %u", p->bos, w->vocab);
    for (size_t i = 0; i < w->n; i++)
        if (w->tokens[i] < 0 || (uint32_t)w->tokens[i] >= w->vocab)
            return hone_fail(HONE_DATA, "token %zu of the text is %d, outside the vocabulary of %u",
                             i, w->tokens[i], w->vocab);
    return HONE_OK;
}

static hone_status open_side(const walk *w, side *s)
{
    s->logits_bytes = (size_t)w->block_rows * w->vocab * sizeof(float);
    s->logits = hone_alloc_big(s->logits_bytes);
    if (!s->logits)
        return hone_fail_memory(s->logits_bytes, "logits of an evaluation block");
    s->nll = hone_malloc(w->scored * sizeof(double));
    if (!s->nll)
        return hone_fail_memory(w->scored * sizeof(double), "scores");
    return hone_session_open(s->engine, &s->session);
}

static hone_status walk_open(walk *w)
{
    HONE_TRY(check_protocol(w));
    hone_eval_count(w->protocol, w->n, &w->windows, &w->scored);
    size_t rows = BLOCK_BYTES / (w->vocab * sizeof(float));
    if (rows > w->protocol->context)
        rows = w->protocol->context;
    w->block_rows = rows > 0 ? (uint32_t)rows : 1;
    w->window = hone_malloc(w->protocol->context * sizeof(int32_t));
    if (!w->window)
        return hone_fail_memory(w->protocol->context * sizeof(int32_t), "a window");
    for (int i = 0; i < w->sides; i++)
        HONE_TRY(open_side(w, &w->side[i]));
    if (w->sides == 2) {
        w->kl = hone_malloc(w->scored * sizeof(double));
        if (!w->kl)
            return hone_fail_memory(w->scored * sizeof(double), "scores");
    }
    return HONE_OK;
}

/* Frees what the walk itself needs; scores stay. */
static void walk_close(walk *w)
{
    for (int i = 0; i < w->sides; i++) {
        if (w->side[i].session)
            hone_session_close(w->side[i].session);
        hone_free_big(w->side[i].logits, w->side[i].logits_bytes);
    }
    hone_free(w->window);
}

static void walk_drop_scores(walk *w)
{
    hone_free(w->side[0].nll);
    hone_free(w->side[1].nll);
    hone_free(w->kl);
}

/* Scores `rows` positions whose logits are in hand; target[r] is the token that row r predicts. */
static hone_status score_block(walk *w, const int32_t *target, uint32_t rows, size_t text_position)
{
    for (uint32_t r = 0; r < rows; r++, w->done++) {
        const float *l[2] = {NULL, NULL};
        for (int i = 0; i < w->sides; i++) {
            l[i] = w->side[i].logits + (size_t)r * w->vocab;
            double nll = hone_eval_nll(l[i], w->vocab, target[r]);
            if (!isfinite(nll))
                return hone_fail(HONE_DATA,
                                 "the model's logits before token %zu of the text are not finite: "
                                 "its weights are damaged or overflow in this arithmetic",
                                 text_position + r);
            w->side[i].nll[w->done] = nll;
        }
        if (w->sides == 2) {
            w->kl[w->done] = hone_eval_kl(l[0], l[1], w->vocab);
            w->agreed += hone_eval_top1(l[0], w->vocab) == hone_eval_top1(l[1], w->vocab);
        }
    }
    return HONE_OK;
}

static hone_status feed(walk *w, uint32_t from, uint32_t count, hone_want want)
{
    for (int i = 0; i < w->sides; i++)
        HONE_TRY(hone_session_feed(w->side[i].session, w->window + from, count, want,
                                   want == HONE_WANT_NONE ? NULL : w->side[i].logits));
    return HONE_OK;
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
    for (int i = 0; i < w->sides; i++)
        hone_session_truncate(w->side[i].session, 0);
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

static hone_status walk_run(walk *w)
{
    hone_status s = walk_open(w);
    for (size_t i = 0; s == HONE_OK && i < w->windows; i++)
        s = run_window(w, i);
    walk_close(w);
    if (s != HONE_OK)
        walk_drop_scores(w);
    return s;
}

static hone_eval_result result_of(const walk *w, int i, double seconds)
{
    double mean = hone_stat_mean(w->side[i].nll, w->scored);
    return (hone_eval_result){.nll = w->side[i].nll,
                              .scored = w->scored,
                              .tokens = w->n,
                              .windows = w->windows,
                              .nll_mean = mean,
                              .perplexity = exp(mean),
                              .seconds = seconds};
}

hone_status hone_eval_perplexity(hone_engine *e, const int32_t *tokens, size_t n,
                                 const hone_eval_protocol *p, hone_progress_fn *progress, void *arg,
                                 hone_eval_result *out)
{
    memset(out, 0, sizeof *out);
    double begin = hone_clock_s();
    walk w = {.tokens = tokens,
              .n = n,
              .protocol = p,
              .vocab = hone_engine_facts(e)->vocab,
              .sides = 1,
              .side = {{.engine = e}},
              .progress = progress,
              .arg = arg,
              .what = "perplexity"};
    HONE_TRY(walk_run(&w));
    *out = result_of(&w, 0, hone_clock_s() - begin);
    return HONE_OK;
}

void hone_eval_result_close(hone_eval_result *r)
{
    hone_free(r->nll);
    r->nll = NULL;
}

/* Mean, 99th percentile and maximum of the divergences. */
static hone_status summarise_kl(hone_eval_comparison *c)
{
    size_t n = c->ref.scored;
    c->kl_mean = hone_stat_mean(c->kl, n);
    c->kl_max = 0;
    for (size_t i = 0; i < n; i++)
        c->kl_max = c->kl[i] > c->kl_max ? c->kl[i] : c->kl_max;
    return hone_stat_quantile(c->kl, n, 0.99, &c->kl_p99);
}

hone_status hone_eval_compare(hone_engine *ref, hone_engine *test, const int32_t *tokens, size_t n,
                              const hone_eval_protocol *p, hone_progress_fn *progress, void *arg,
                              hone_eval_comparison *out)
{
    memset(out, 0, sizeof *out);
    uint32_t vocab = hone_engine_facts(ref)->vocab, other = hone_engine_facts(test)->vocab;
    if (vocab != other)
        return hone_fail(
            HONE_DATA,
            "the two models have vocabularies of %u and %u tokens and cannot be compared", vocab,
            other);
    double begin = hone_clock_s();
    walk w = {.tokens = tokens,
              .n = n,
              .protocol = p,
              .vocab = vocab,
              .sides = 2,
              .side = {{.engine = ref}, {.engine = test}},
              .progress = progress,
              .arg = arg,
              .what = "comparison"};
    HONE_TRY(walk_run(&w));
    double seconds = hone_clock_s() - begin;
    out->ref = result_of(&w, 0, seconds);
    out->test = result_of(&w, 1, seconds);
    out->kl = w.kl;
    out->top1_agreement = (double)w.agreed / (double)w.scored;
    hone_status s = summarise_kl(out);
    if (s != HONE_OK)
        hone_eval_comparison_close(out);
    return s;
}

void hone_eval_comparison_close(hone_eval_comparison *c)
{
    hone_eval_result_close(&c->ref);
    hone_eval_result_close(&c->test);
    hone_free(c->kl);
    c->kl = NULL;
}
