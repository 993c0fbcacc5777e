#include "engine/engine.h"

#include "base/mem.h"
#include "cache/pages.h"
#include "engine/session.h"
#include "engine/variants.h"
#include "hw/isa.h"
#include "hw/machine.h"

#include <string.h>

enum { DEFAULT_STEP_TOKENS = 512 };

static void worker_start(void)
{
    hone_fp_mode_enter();
}

/* Puts numbers where the configuration says "default". */
static hone_status resolve(hone_config *c, const hone_model *m, hone_isa isa, int threads)
{
    c->isa = (int)isa;
    c->threads = threads;
    if (c->context_tokens == 0)
        c->context_tokens = m->hp.context_tokens;
    if (m->hp.positions && c->context_tokens > m->hp.positions)
        return hone_fail(HONE_LIMIT,
                         "a context of %u tokens; the model has learned positions for %u and none "
                         "beyond",
                         c->context_tokens, m->hp.positions);
    bool encoder = m->hp.bidirectional; /* a text is one step */
    if (c->step_tokens == 0)
        c->step_tokens = encoder && c->context_tokens > DEFAULT_STEP_TOKENS ? c->context_tokens
                                                                            : DEFAULT_STEP_TOKENS;
    if (encoder)
        c->prefix_reuse = false; /* what a token becomes depends on those behind it */
    if (c->step_tokens > 1 << 16)
        return hone_fail(HONE_USAGE, "step_tokens %u: give 1 to 65536", c->step_tokens);
    return HONE_OK;
}

/* The bound on KV memory when none is given: half of what there is. Pages are only touched when
 * used. */
static uint64_t default_kv_bytes(void)
{
    return (uint64_t)hone_machine_memory_bytes("") / 2;
}

static hone_status open_pages(hone_engine *e)
{
    const hone_kv_tables *t = &e->forward->tables;
    uint64_t bytes = t->page_bytes, bound = e->config.kv_bytes_max;
    /* of one session of full length, and what a step needs before it gives back */
    uint64_t need = hone_kv_tables_pages(t, e->config.context_tokens) +
                    (uint64_t)t->count * (e->config.step_tokens / HONE_PAGE_POSITIONS + 1);
    uint64_t count = (bound ? bound : default_kv_bytes()) / bytes;
    if (bound == 0 && count > need * 64)
        count = need * 64; /* 64 sessions of full length are enough without being asked */
    if (count < t->count)
        return hone_fail(HONE_MEMORY,
                         "kv_bytes_max %llu is less than one page of %d positions, which takes "
                         "%llu bytes in this model",
                         (unsigned long long)bound, HONE_PAGE_POSITIONS,
                         (unsigned long long)(bytes * t->count));
    if (count > INT32_MAX / 2)
        count = INT32_MAX / 2;
    HONE_TRY(hone_pages_open(bytes, (uint32_t)count, t->count, &e->pages));
    e->config.kv_bytes_max = count * bytes;
    return HONE_OK;
}

static void state_windows(const hone_hparams *h, hone_model_facts *f)
{
    for (uint32_t layer = 0; layer < h->layers; layer++) {
        uint32_t window = hone_kind(h, layer)->window, i = 0;
        if (!window || h->bidirectional)
            continue;
        while (i + 1 < HONE_WINDOWS_MAX && f->windows[i].tokens && f->windows[i].tokens != window)
            i++;
        f->windows[i].tokens = window;
        f->windows[i].layers++;
    }
}

double hone_model_seen(const hone_model_facts *f, double depth)
{
    double seen = f->layers * depth;
    for (int i = 0; i < HONE_WINDOWS_MAX; i++)
        if (depth > f->windows[i].tokens)
            seen -= f->windows[i].layers * (depth - f->windows[i].tokens);
    return f->layers ? seen / f->layers : 0;
}

static void state_facts(hone_engine *e)
{
    const hone_model *m = e->model;
    const hone_hparams *h = &m->hp;
    const hone_linear *embedding = hone_model_at(m, 0, HONE_SLOT_EMBEDDING);
    hone_model_facts *f = &e->facts;
    strncpy(f->arch, m->arch->name, sizeof f->arch - 1);
    f->layers = h->layers;
    f->hidden = h->hidden;
    f->heads = h->heads;
    f->kv_heads = h->kv_heads;
    f->head_dim = h->head_dim;
    f->ffn = h->ffn;
    f->plain_mlp = !hone_kind(h, 0)->gated;
    f->vocab = h->vocab;
    f->context_tokens = h->context_tokens;
    f->parameters = m->parameters;
    f->packed_bytes = m->packed_bytes;
    f->mapped = m->image.data != NULL;
    memcpy(f->packed_kind_bytes, m->kind_bytes, sizeof f->packed_kind_bytes);
    memcpy(f->grouped_kind_weights, m->kind_grouped, sizeof f->grouped_kind_weights);
    f->tied = h->tied;
    f->has_head = hone_model_at(m, 0, HONE_SLOT_HEAD)->w.n != 0;
    f->bidirectional = h->bidirectional;
    f->has_pooler = hone_model_at(m, 0, HONE_SLOT_POOLER)->w.n != 0;
    f->classify_mean = h->classify_mean;
    f->labels = h->labels;
    f->weight_bytes_per_token = m->packed_bytes - (h->tied ? 0 : hone_packed_bytes(&embedding->w));
    const hone_kv_tables *t = &e->forward->tables;
    f->kv_bytes_per_token = t->page_bytes * t->count / HONE_PAGE_POSITIONS;
    f->kv_bytes_context = hone_kv_tables_pages(t, e->config.context_tokens) * t->page_bytes;
    state_windows(h, f);
    f->flops_per_token =
        2 * (double)(m->parameters - (h->tied ? 0 : (uint64_t)h->vocab * h->hidden));
}

static hone_status load_model(hone_engine *e, const char *path, const hone_packed_cache *cache,
                              hone_progress_fn *progress, void *arg)
{
    hone_file *f;
    HONE_TRY(hone_file_open(path, &f));
    hone_model_options o = {.f32 = e->config.compute == HONE_COMPUTE_F32};
    memcpy(o.weight_dtype, e->config.weight_dtype, sizeof o.weight_dtype);
    if (cache)
        o.cache = *cache;
    hone_status s = hone_model_load(f, &o, e->pool, progress, arg, &e->model);
    e->facts.file_bytes = hone_file_bytes(f);
    hone_file_close(f);
    return s;
}

/* The configuration's adapter beside the weights. */
static hone_status load_adapter(hone_engine *e)
{
    float *values;
    if (!*e->config.adapter)
        return HONE_OK;
    HONE_TRY(hone_adapter_open(e->config.adapter, e->model, e->config.compute == HONE_COMPUTE_F32,
                               &e->adapter, &values));
    hone_status s = hone_adapter_attach(e->adapter, e->kt, e->pool);
    if (s == HONE_OK)
        hone_adapter_push(e->adapter, values);
    hone_free_big(values, e->adapter->p.floats * sizeof *values);
    return s;
}

/* The kernels of the configuration's products; other than exact are refused where they would be
 * something else than asked for, or a hundred times slower. */
static hone_status pick_kernels(const hone_config *c, hone_isa isa, const hone_kernels **out)
{
    hone_products products = (hone_products)c->products;
    const char *name = hone_products_name(products);
    if (products != HONE_PRODUCTS_EXACT && c->compute == HONE_COMPUTE_F32)
        return hone_fail(
            HONE_USAGE,
            "products %s with compute f32: float32 is the reference and knows no other "
            "products; give compute bf16 or products exact",
            name);
    if (!hone_products_supported(isa, products))
        return hone_fail(HONE_UNSUPPORTED,
                         "products %s need an instruction (AVX512_BF16) that is not there with %s; "
                         "give products exact or int8, or isa scalar, their slow definition",
                         name, hone_isa_name(isa));
    if (products != HONE_PRODUCTS_EXACT) {
        *out = hone_kernels_with(isa, products);
        return HONE_OK;
    }
    const hone_variants *variants;
    HONE_TRY(hone_variants_get(isa, &variants));
    *out = &variants->table;
    return HONE_OK;
}

static hone_status open_parts(hone_engine *e, const char *path, const hone_packed_cache *cache,
                              hone_progress_fn *progress, void *arg)
{
    hone_isa isa;
    hone_config *c = &e->config;
    HONE_TRY(hone_isa_pick(c->isa == HONE_ISA_BEST ? NULL : hone_isa_name((hone_isa)c->isa), &isa));
    HONE_TRY(pick_kernels(c, isa, &e->kt));
    HONE_TRY(hone_pool_open(c->threads, worker_start, &e->pool));
    HONE_TRY(load_model(e, path, cache, progress, arg));
    HONE_TRY(load_adapter(e));
    HONE_TRY(resolve(c, e->model, isa, hone_pool_threads(e->pool)));
    HONE_TRY(hone_forward_open(e->model, e->kt, e->pool, (hone_kv_format)c->kv_format,
                               c->step_tokens, c->context_tokens, &e->forward));
    HONE_TRY(open_pages(e));
    size_t step = c->step_tokens;
    e->sequences = hone_calloc(step, sizeof *e->sequences);
    e->tokens = hone_calloc(step, sizeof *e->tokens);
    e->types = hone_calloc(step, sizeof *e->types);
    e->wanted = hone_calloc(step, sizeof *e->wanted);
    if (!e->sequences || !e->tokens || !e->types || !e->wanted)
        return hone_fail_memory(step * sizeof *e->sequences, "a step's rows");
    state_facts(e);
    return HONE_OK;
}

hone_status hone_engine_open(const char *path, const hone_config *config,
                             hone_progress_fn *progress, void *arg, hone_engine **out)
{
    return hone_engine_open_cached(path, config, NULL, progress, arg, out);
}

hone_status hone_engine_open_cached(const char *path, const hone_config *config,
                                    const hone_packed_cache *cache, hone_progress_fn *progress,
                                    void *arg, hone_engine **out)
{
    *out = NULL;
    hone_engine *e = hone_calloc(1, sizeof *e);
    if (!e)
        return hone_fail_memory(sizeof *e, "an engine");
    e->config = *config;
    hone_status s = open_parts(e, path, cache, progress, arg);
    if (s == HONE_OK)
        *out = e;
    else
        hone_engine_close(e);
    return s;
}

void hone_engine_keep(hone_engine *e, hone_progress_fn *progress, void *arg)
{
    hone_model_keep(e->model, progress, arg);
}

void hone_engine_close(hone_engine *e)
{
    if (!e)
        return;
    hone_free(e->sequences);
    hone_free(e->tokens);
    hone_free(e->types);
    hone_free(e->wanted);
    hone_pages_close(e->pages);
    hone_forward_close(e->forward);
    hone_adapter_close(e->adapter);
    hone_model_free(e->model);
    hone_pool_close(e->pool);
    hone_free(e);
}

const hone_model_facts *hone_engine_facts(const hone_engine *e)
{
    return &e->facts;
}

const char *hone_engine_note(const hone_engine *e)
{
    return e->model->note;
}

const hone_config *hone_engine_config(const hone_engine *e)
{
    return &e->config;
}

void hone_engine_record(hone_engine *e, hone_spans *spans)
{
    e->forward->spans = spans;
    hone_pool_record(e->pool, spans ? spans->threads : NULL);
}

void hone_engine_watch(hone_engine *e, hone_watch_fn *watch, void *arg)
{
    e->forward->watch = watch;
    e->forward->watch_arg = arg;
}

void hone_engine_kv_usage(const hone_engine *e, uint64_t *used_bytes, uint64_t *max_bytes)
{
    *used_bytes = (uint64_t)hone_pages_held(e->pages) * hone_pages_page_bytes(e->pages);
    *max_bytes = (uint64_t)hone_pages_count(e->pages) * hone_pages_page_bytes(e->pages);
}

/* ---- the step ------------------------------------------------------------------------------- */

static hone_status check_types(const hone_engine *e, const int32_t *types, uint32_t n)
{
    uint32_t most = e->model->hp.token_types;
    for (uint32_t t = 0; types && t < n; t++)
        if (types[t] < 0 || (types[t] > 0 && (uint32_t)types[t] >= most))
            return hone_fail(HONE_DATA, "token type %d; the model has %u", types[t], most);
    return HONE_OK;
}

static hone_status check_row(const hone_engine *e, const hone_row *r, size_t i)
{
    const hone_session *s = r->session;
    if (e->model->hp.bidirectional && s->length)
        return hone_fail(HONE_USAGE, "an encoder takes a text in one step, and row %zu has begun",
                         i);
    if (r->n_tokens == 0)
        return hone_fail(HONE_USAGE, "row %zu of the batch has no tokens", i);
    if (r->n_tokens > s->limit || s->length > s->limit - r->n_tokens)
        return hone_fail(HONE_LIMIT,
                         "%u tokens after %u exceed the context of %u; shorten the text or raise "
                         "the context",
                         r->n_tokens, s->length, s->limit);
    for (uint32_t t = 0; t < r->n_tokens; t++)
        if (r->tokens[t] < 0 || (uint32_t)r->tokens[t] >= e->model->hp.vocab)
            return hone_fail(HONE_DATA, "token %d is outside the vocabulary of %u", r->tokens[t],
                             e->model->hp.vocab);
    return HONE_OK;
}

/* Lays the rows out one after the other; the sessions have their pages already. */
static void gather(hone_engine *e, const hone_row *rows, const int32_t *const *types, size_t n_rows,
                   hone_batch *b)
{
    *b = (hone_batch){.tokens = e->tokens,
                      .types = types ? e->types : NULL,
                      .sequences = e->sequences,
                      .wanted = e->wanted};
    uint32_t wanted = 0;
    for (size_t i = 0; i < n_rows; i++) {
        const hone_row *r = &rows[i];
        e->sequences[i] = (hone_sequence){.first_row = b->rows,
                                          .n_rows = r->n_tokens,
                                          .first_position = r->session->length,
                                          .pages = (void *const *const *)r->session->tables,
                                          .long_rope = r->session->long_rope};
        memcpy(e->tokens + b->rows, r->tokens, r->n_tokens * sizeof *r->tokens);
        if (types && types[i] && e->model->hp.token_types)
            memcpy(e->types + b->rows, types[i], r->n_tokens * sizeof *e->types);
        else if (types)
            memset(e->types + b->rows, 0, r->n_tokens * sizeof *e->types);
        if (r->want == HONE_WANT_ALL)
            for (uint32_t t = 0; t < r->n_tokens; t++)
                e->wanted[wanted++] = b->rows + t;
        else if (r->want == HONE_WANT_LAST)
            e->wanted[wanted++] = b->rows + r->n_tokens - 1;
        else if (r->want == HONE_WANT_FIRST)
            e->wanted[wanted++] = b->rows;
        b->rows += r->n_tokens;
    }
    b->n_sequences = (uint32_t)n_rows;
    b->n_wanted = wanted;
}

hone_status hone_engine_step(hone_engine *e, const hone_row *rows, size_t n_rows, float *logits)
{
    if (!e->facts.has_head)
        return hone_fail(HONE_UNSUPPORTED,
                         "a %s without output head gives no logits; use hone embed, classify or "
                         "rerank",
                         e->facts.arch);
    return hone_engine_run(e, rows, NULL, n_rows, false, logits);
}

hone_status hone_engine_run(hone_engine *e, const hone_row *rows, const int32_t *const *types,
                            size_t n_rows, bool hidden, float *out)
{
    uint64_t total = 0;
    for (size_t i = 0; i < n_rows; i++) {
        HONE_TRY(check_row(e, &rows[i], i));
        HONE_TRY(check_types(e, types ? types[i] : NULL, rows[i].n_tokens));
        total += rows[i].n_tokens;
        if (total > e->config.step_tokens)
            return hone_fail(HONE_LIMIT, "a step of more than %u tokens (step_tokens)",
                             e->config.step_tokens);
        for (size_t j = 0; j < i; j++)
            if (rows[j].session == rows[i].session)
                return hone_fail(HONE_USAGE, "rows %zu and %zu are of one session", j, i);
    }
    if (n_rows == 0)
        return HONE_OK;
    for (size_t i = 0; i < n_rows; i++) {
        hone_status s = hone_session_reserve(rows[i].session, rows[i].n_tokens);
        if (s != HONE_OK) {
            for (size_t j = 0; j <= i; j++)
                hone_session_unreserve(rows[j].session);
            return s;
        }
    }
    hone_batch b;
    gather(e, rows, types, n_rows, &b);
    b.hidden = hidden;
    unsigned mode = hone_fp_mode_enter();
    hone_forward_run(e->forward, &b, out);
    hone_fp_mode_leave(mode);
    for (size_t i = 0; i < n_rows; i++)
        hone_session_commit(rows[i].session, rows[i].tokens, rows[i].n_tokens);
    return HONE_OK;
}
