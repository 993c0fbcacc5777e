#include "model/forward.h"

#include "base/mem.h"
#include "model/rope.h"

#include <string.h>

/* (sequence, KV head) pairs up to which long contexts are cut into pieces for more parallelism. */
enum { PIECE_TASKS = 16 };

static size_t aligned(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static hone_kv kv_of(const hone_model *m, hone_kv_format format)
{
    return (hone_kv){.format = format, .k_dim = m->hp.head_dim, .v_dim = m->hp.head_dim};
}

size_t hone_forward_page_bytes(const hone_model *m, hone_kv_format format)
{
    hone_kv kv = kv_of(m, format);
    return hone_kv_page_bytes(&kv) * m->hp.kv_heads * m->hp.layers;
}

/* Cuts the next `bytes` from the buffer; with base NULL only counts. */
static void *cut(uint8_t *base, size_t *at, size_t bytes)
{
    size_t here = *at;
    *at += aligned(bytes);
    return base ? base + here : NULL;
}

/* Lays everything out; called with memory NULL to learn the size. */
static size_t lay_out(hone_forward *f, uint8_t *base)
{
    const hone_hparams *h = &f->model->hp;
    size_t at = 0, m = f->max_rows, threads = (size_t)hone_pool_threads(f->pool);
    size_t q = (size_t)h->heads * h->head_dim, kv = (size_t)h->kv_heads * h->head_dim;
    size_t widest = larger(larger(h->hidden, q), h->ffn);
    size_t scratch = larger(hone_product_scratch_bytes(), hone_attn_scratch_bytes(&f->kv));
    f->x = cut(base, &at, m * h->hidden * sizeof(float));
    f->h = cut(base, &at, m * h->hidden * sizeof(float));
    f->q = cut(base, &at, m * q * sizeof(float));
    f->k = cut(base, &at, m * kv * sizeof(float));
    f->v = cut(base, &at, m * kv * sizeof(float));
    f->attended = cut(base, &at, m * q * sizeof(float));
    f->gate = cut(base, &at, m * h->ffn * sizeof(float));
    f->up = cut(base, &at, m * h->ffn * sizeof(float));
    f->cos = cut(base, &at, m * (h->rope.dim / 2) * sizeof(float));
    f->sin = cut(base, &at, m * (h->rope.dim / 2) * sizeof(float));
    f->act_memory = cut(base, &at,
                        larger(hone_act_bytes(f->kt, m, widest, HONE_ACT_F32 | HONE_ACT_SUMS),
                               hone_act_bytes(f->kt, m, widest, HONE_ACT_SUMS)));
    f->last = cut(base, &at, m * sizeof *f->last);
    f->partials = cut(base, &at,
                      f->max_piece_tasks * f->max_pieces * (h->heads / h->kv_heads) *
                          hone_attn_partial_floats(&f->kv) * sizeof(float));
    f->threads = cut(base, &at, threads * sizeof *f->threads);
    for (size_t t = 0; t < threads; t++) {
        void *memory = cut(base, &at, scratch);
        void *pages = cut(base, &at, f->max_pages * sizeof(void *));
        if (base) {
            f->threads[t].memory = memory;
            f->threads[t].pages = pages;
        }
    }
    return at;
}

hone_status hone_forward_open(const hone_model *m, const hone_kernels *kt, hone_pool *pool,
                              hone_kv_format kv_format, uint32_t max_rows, uint32_t max_context,
                              hone_forward **out)
{
    *out = NULL;
    hone_forward *f = hone_calloc(1, sizeof *f);
    if (!f)
        return hone_fail_memory(sizeof *f, "a step");
    f->model = m;
    f->kt = kt;
    f->pool = pool;
    f->kv = kv_of(m, kv_format);
    f->kv_head_bytes = hone_kv_page_bytes(&f->kv);
    f->max_rows = max_rows;
    f->max_pages = (max_context + HONE_KV_PAGE - 1) / HONE_KV_PAGE;
    f->max_pieces = (max_context + HONE_ATTN_PIECE - 1) / HONE_ATTN_PIECE;
    f->max_piece_tasks = m->hp.kv_heads > PIECE_TASKS ? m->hp.kv_heads : PIECE_TASKS;
    f->memory_bytes = lay_out(f, NULL);
    f->memory = hone_alloc_big(f->memory_bytes);
    if (!f->memory) {
        size_t bytes = f->memory_bytes;
        hone_forward_close(f);
        return hone_fail(HONE_MEMORY,
                         "out of memory: %zu bytes for steps of %u tokens; give a "
                         "smaller step_tokens",
                         bytes, max_rows);
    }
    lay_out(f, f->memory);
    *out = f;
    return HONE_OK;
}

void hone_forward_close(hone_forward *f)
{
    if (!f)
        return;
    hone_free_big(f->memory, f->memory_bytes);
    hone_free(f);
}

/* ---- work over rows ------------------------------------------------------------------------- */

enum { ROWS_PER_ITEM = 16 };

typedef struct act_work {
    hone_forward *f;
    hone_act *act;
    const float *x;
    size_t k;
} act_work;

static void act_item(void *arg, size_t item, int thread)
{
    act_work *w = arg;
    (void)thread;
    w->f->kt->act_pack(w->act, w->x, w->k, item * ROWS_PER_ITEM,
                       hone_row_end(item, ROWS_PER_ITEM, w->act->rows));
}

void hone_forward_act(hone_forward *f, const float *x, uint32_t rows, size_t k, int flags,
                      hone_act *act)
{
    hone_act_init(f->kt, rows, k, flags, f->act_memory, act);
    act_work w = {f, act, x, k};
    hone_pool_run(f->pool, act_item, &w, hone_row_items(rows, ROWS_PER_ITEM));
}

/* ---- products ------------------------------------------------------------------------------- */

enum { MAX_JOBS = 4 };

typedef struct product_work {
    hone_forward *f;
    const hone_act *act;
    const hone_product_job *jobs;
    size_t n_jobs;
    size_t first_item[MAX_JOBS + 1];
    size_t panels[MAX_JOBS]; /* per item */
} product_work;

static void product_item(void *arg, size_t item, int thread)
{
    product_work *w = arg;
    size_t j = 0;
    while (item >= w->first_item[j + 1])
        j++;
    const hone_linear *l = w->jobs[j].linear;
    size_t p0 = (item - w->first_item[j]) * w->panels[j], p1 = p0 + w->panels[j];
    if (p1 > l->w.n_panels)
        p1 = l->w.n_panels;
    hone_product(w->f->kt, &l->w, w->act, 0, w->act->rows, p0, p1, w->jobs[j].y, l->w.n, l->bias,
                 w->f->threads[thread].memory);
}

/* Panels that one item takes: a few rows want pieces of some 128 KB of weights (microseconds, so
 * that a foreign thread costs little); many rows want pieces of some ten million operations. */
static size_t panels_per_item(const hone_packed *w, size_t rows)
{
    size_t n;
    if (rows <= HONE_FEW_ROWS)
        n = (128 << 10) / w->panel_bytes;
    else
        n = (size_t)2e7 / (2 * HONE_PANEL * w->k_pad * rows);
    n &= ~(size_t)3;
    return n < 4 ? 4 : n;
}

void hone_forward_products(hone_forward *f, const hone_act *act, const hone_product_job *jobs,
                           size_t n_jobs, hone_span_kind span, int layer)
{
    uint64_t begin = hone_span_begin(f->spans);
    product_work w = {.f = f, .act = act, .jobs = jobs, .n_jobs = n_jobs};
    double flops = 0, bytes = 0;
    for (size_t j = 0; j < n_jobs; j++) {
        const hone_packed *p = &jobs[j].linear->w;
        w.panels[j] = panels_per_item(p, act->rows);
        w.first_item[j + 1] = w.first_item[j] + (p->n_panels + w.panels[j] - 1) / w.panels[j];
        hone_cost cost = hone_product_cost(p, act->rows);
        flops += cost.flops;
        bytes += cost.bytes;
    }
    hone_pool_run(f->pool, product_item, &w, w.first_item[n_jobs]);
    hone_span_end(f->spans, span, layer, begin, flops, bytes);
}

/* ---- the step ------------------------------------------------------------------------------- */

static void embed_item(void *arg, size_t item, int thread)
{
    hone_forward *f = arg;
    (void)thread;
    const hone_hparams *h = &f->model->hp;
    size_t half = h->rope.dim / 2;
    size_t end = hone_row_end(item, ROWS_PER_ITEM, f->batch->rows);
    for (size_t r = item * ROWS_PER_ITEM; r < end; r++) {
        hone_unpack_row(&f->model->embedding.w, (size_t)f->batch->tokens[r], f->x + r * h->hidden);
        hone_rope_angles(&h->rope, (uint32_t)f->last[r], f->cos + r * half, f->sin + r * half);
    }
}

static void begin_step(hone_forward *f, const hone_batch *b)
{
    f->batch = b;
    for (uint32_t s = 0; s < b->n_sequences; s++) {
        const hone_sequence *q = &b->sequences[s];
        for (uint32_t i = 0; i < q->n_rows; i++)
            f->last[q->first_row + i] = (int32_t)(q->first_position + i);
    }
    uint64_t begin = hone_span_begin(f->spans);
    hone_pool_run(f->pool, embed_item, f, hone_row_items(b->rows, ROWS_PER_ITEM));
    hone_span_end(f->spans, HONE_SPAN_EMBED, -1, begin, 0,
                  (double)b->rows * f->model->hp.hidden * 4);
}

/* Final norm and output head of the wanted rows, in groups that fit the step's memory. */
static void finish_step(hone_forward *f, float *logits)
{
    const hone_hparams *h = &f->model->hp;
    const hone_batch *b = f->batch;
    if (b->n_wanted == 0)
        return;
    uint64_t begin = hone_span_begin(f->spans);
    for (uint32_t i = 0; i < b->n_wanted; i++)
        f->kt->rmsnorm(f->x + (size_t)b->wanted[i] * h->hidden, h->hidden, f->model->norm_final,
                       h->norm_eps, 1, h->hidden, f->h + (size_t)i * h->hidden, h->hidden);
    hone_act act;
    hone_forward_act(f, f->h, b->n_wanted, h->hidden, hone_act_flags(&f->model->head.w), &act);
    hone_span_end(f->spans, HONE_SPAN_NORM, -1, begin, 0, (double)b->n_wanted * h->hidden * 8);
    hone_forward_products(f, &act, &(hone_product_job){&f->model->head, logits}, 1, HONE_SPAN_HEAD,
                          -1);
}

void hone_forward_run(hone_forward *f, const hone_batch *b, float *logits)
{
    static const hone_block *const dense[] = {&hone_block_attention, &hone_block_mlp};
    uint64_t begin = hone_span_begin(f->spans);
    begin_step(f, b);
    for (uint32_t layer = 0; layer < f->model->hp.layers; layer++)
        for (size_t i = 0; i < sizeof dense / sizeof *dense; i++)
            dense[i]->forward(f, (int)layer);
    finish_step(f, logits);
    hone_span_end(f->spans, HONE_SPAN_STEP, -1, begin, 0, 0);
}
