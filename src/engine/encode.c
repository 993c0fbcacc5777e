#include "engine/encode.h"

#include "base/interrupt.h"
#include "base/mem.h"
#include "engine/session.h"
#include "hw/isa.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rows that a step takes if no text is longer: what it works on then stays in the caches. */
enum { STEP_ROWS = 512 };

static const char *const names[HONE_POOLING_COUNT] = {"none", "mean", "cls",
                                                      "last", "max",  "pooler"};
const char hone_pooling_names[] = "none, mean, cls, last, max, pooler";

const char *hone_pooling_name(hone_pooling p)
{
    return (unsigned)p < HONE_POOLING_COUNT ? names[p] : "?";
}

bool hone_pooling_by_name(const char *name, hone_pooling *out)
{
    for (int p = 0; p < HONE_POOLING_COUNT; p++)
        if (strcmp(names[p], name) == 0) {
            *out = (hone_pooling)p;
            return true;
        }
    return false;
}

void hone_encode_normalize(float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    double norm = sqrt(sum);
    if (norm < 1e-12)
        norm = 1e-12;
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((double)x[i] / norm);
}

/* ---- one step ------------------------------------------------------------------------------- */

typedef struct place {
    uint32_t n;   /* tokens */
    size_t index; /* of the text */
    size_t first; /* row of its first token in the result of HONE_POOLING_NONE */
} place;

typedef struct encoder {
    hone_engine *engine;
    const hone_text *texts;
    place *order; /* [n] texts by length */
    size_t n, width, out_width;
    hone_pooling pooling;
    bool classify;
    float *hidden; /* [step rows][width] */
    float *pooled; /* [step rows][width]: in the order of the step */
    size_t hidden_bytes;
    hone_session **sessions; /* [step rows] */
    hone_row *rows;
    const int32_t **types;
    float *out;
} encoder;

static hone_want want_of(hone_pooling p)
{
    return p == HONE_POOLING_CLS || p == HONE_POOLING_POOLER ? HONE_WANT_FIRST
           : p == HONE_POOLING_LAST                          ? HONE_WANT_LAST
                                                             : HONE_WANT_ALL;
}

/* One vector of x[n][width]. */
static void pool(const encoder *c, const float *x, size_t n, float *y)
{
    const hone_kernels *kt = c->engine->kt;
    size_t width = c->width;
    memcpy(y, x, width * sizeof *y);
    if (c->pooling == HONE_POOLING_MEAN) {
        for (size_t i = 1; i < n; i++)
            kt->add(y, x + i * width, width);
        kt->scale(y, 1.0f / (float)n, width);
    } else if (c->pooling == HONE_POOLING_MAX) {
        for (size_t i = 1; i < n; i++)
            for (size_t k = 0; k < width; k++)
                y[k] = y[k] > x[i * width + k] ? y[k] : x[i * width + k];
    }
}

/* From the step's hidden states to the results of its texts. */
static void finish(encoder *c, const place *p, size_t n)
{
    hone_forward *f = c->engine->forward;
    const float *x = c->hidden;
    for (size_t i = 0; i < n; i++) {
        size_t rows = want_of(c->pooling) == HONE_WANT_ALL ? p[i].n : 1;
        if (c->pooling == HONE_POOLING_NONE)
            memcpy(c->out + p[i].first * c->width, x, rows * c->width * sizeof *x);
        else
            pool(c, x, rows, c->pooled + i * c->width);
        x += rows * c->width;
    }
    if (c->pooling == HONE_POOLING_NONE)
        return;
    const float *result = c->pooled;
    if (c->classify || c->pooling == HONE_POOLING_POOLER) { /* hidden is free again */
        (c->classify ? hone_forward_classify : hone_forward_pooler)(f, c->pooled, (uint32_t)n,
                                                                    c->hidden);
        result = c->hidden;
    }
    for (size_t i = 0; i < n; i++)
        memcpy(c->out + p[i].index * c->out_width, result + i * c->out_width,
               c->out_width * sizeof *result);
}

/* Texts p[0..n) in one step of sessions that live as long as it. */
static hone_status run_step(encoder *c, const place *p, size_t n)
{
    hone_status s = HONE_OK;
    size_t open = 0;
    for (; open < n && s == HONE_OK; open++) {
        const hone_text *t = &c->texts[p[open].index];
        c->sessions[open] = NULL;
        s = hone_session_open_for(c->engine, t->n, &c->sessions[open]);
        c->rows[open] = (hone_row){c->sessions[open], t->tokens, t->n, want_of(c->pooling)};
        c->types[open] = t->types;
    }
    if (s == HONE_OK)
        s = hone_engine_run(c->engine, c->rows, c->types, n, true, c->hidden);
    if (s == HONE_OK) {
        unsigned mode = hone_fp_mode_enter();
        finish(c, p, n);
        hone_fp_mode_leave(mode);
    }
    for (size_t i = 0; i < open; i++)
        hone_session_close(c->sessions[i]);
    return s;
}

/* ---- all texts ------------------------------------------------------------------------------ */

static int longer_first(const void *a, const void *b)
{
    const place *x = a, *y = b;
    if (x->n != y->n)
        return x->n > y->n ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static hone_status check_texts(const encoder *c)
{
    const hone_config *g = &c->engine->config;
    uint32_t most = g->context_tokens < g->step_tokens ? g->context_tokens : g->step_tokens;
    for (size_t i = 0; i < c->n; i++) {
        if (c->texts[i].n == 0)
            return hone_fail(HONE_DATA, "text %zu has no tokens", i + 1);
        if (c->texts[i].n > most)
            return hone_fail(HONE_LIMIT,
                             "text %zu has %u tokens; the model takes %u (truncate it, or raise "
                             "step_tokens where the context is longer)",
                             i + 1, c->texts[i].n, most);
    }
    return HONE_OK;
}

static hone_status allocate(encoder *c, size_t step)
{
    size_t widest = c->width > c->out_width ? c->width : c->out_width;
    c->hidden_bytes = step * widest * sizeof *c->hidden;
    c->order = hone_calloc(c->n, sizeof *c->order);
    c->hidden = hone_alloc_big(c->hidden_bytes);
    c->pooled = hone_alloc_big(c->hidden_bytes);
    c->sessions = hone_calloc(step, sizeof *c->sessions);
    c->rows = hone_calloc(step, sizeof *c->rows);
    c->types = hone_calloc(step, sizeof *c->types);
    if (!c->order || !c->hidden || !c->pooled || !c->sessions || !c->rows || !c->types)
        return hone_fail_memory(c->hidden_bytes, "the vectors of a step");
    size_t first = 0;
    for (size_t i = 0; i < c->n; i++) {
        c->order[i] = (place){c->texts[i].n, i, first};
        first += c->texts[i].n;
    }
    qsort(c->order, c->n, sizeof *c->order, longer_first);
    return HONE_OK;
}

static void release(encoder *c)
{
    hone_free(c->order);
    if (c->hidden)
        hone_free_big(c->hidden, c->hidden_bytes);
    if (c->pooled)
        hone_free_big(c->pooled, c->hidden_bytes);
    hone_free(c->sessions);
    hone_free(c->rows);
    hone_free(c->types);
}

/* Of each table */
static uint64_t pages_of(uint32_t tokens)
{
    return ((uint64_t)tokens + HONE_PAGE_POSITIONS - 1) / HONE_PAGE_POSITIONS;
}

/* The longest first, as many as fit into a step and the pages each time. */
static hone_status run_all(encoder *c, uint32_t step, hone_encode_progress *progress, void *arg)
{
    for (size_t at = 0, n; at < c->n; at += n) {
        HONE_TRY(hone_interrupt_check());
        uint32_t rows = 0, most = step < STEP_ROWS ? step : STEP_ROWS;
        uint64_t pages = 0;
        for (n = 0; at + n < c->n; n++) {
            rows += c->order[at + n].n;
            pages += pages_of(c->order[at + n].n) * c->engine->forward->tables.count;
            if (n > 0 && (rows > most || pages > hone_pages_count(c->engine->pages)))
                break;
        }
        HONE_TRY(run_step(c, c->order + at, n));
        if (progress)
            progress(arg, at + n, c->n);
    }
    return HONE_OK;
}

static hone_status encode(encoder *c, hone_encode_progress *progress, void *arg)
{
    uint32_t step = c->engine->config.step_tokens;
    if (c->n == 0)
        return HONE_OK;
    c->width = c->engine->model->hp.hidden;
    HONE_TRY(check_texts(c));
    hone_status s = allocate(c, step);
    if (s == HONE_OK)
        s = run_all(c, step, progress, arg);
    release(c);
    return s;
}

hone_status hone_engine_encode(hone_engine *e, const hone_text *texts, size_t n,
                               hone_pooling pooling, hone_encode_progress *progress, void *arg,
                               float *out)
{
    if ((unsigned)pooling >= HONE_POOLING_COUNT)
        return hone_fail(HONE_USAGE, "pooling %d; there are: %s", (int)pooling, hone_pooling_names);
    if (pooling == HONE_POOLING_POOLER && !e->facts.has_pooler)
        return hone_fail(HONE_UNSUPPORTED,
                         "this %s has no pooler; take cls, mean, last, max or none", e->facts.arch);
    encoder c = {.engine = e,
                 .texts = texts,
                 .n = n,
                 .out_width = e->model->hp.hidden,
                 .pooling = pooling,
                 .out = out};
    return encode(&c, progress, arg);
}

hone_status hone_engine_classify(hone_engine *e, const hone_text *texts, size_t n,
                                 hone_encode_progress *progress, void *arg, float *out)
{
    if (e->facts.labels == 0)
        return hone_fail(HONE_UNSUPPORTED,
                         "this %s has no classifier; hone embed gives its vectors", e->facts.arch);
    encoder c = {.engine = e,
                 .texts = texts,
                 .n = n,
                 .out_width = e->facts.labels,
                 .pooling = e->facts.classify_mean ? HONE_POOLING_MEAN : HONE_POOLING_CLS,
                 .classify = true,
                 .out = out};
    return encode(&c, progress, arg);
}
