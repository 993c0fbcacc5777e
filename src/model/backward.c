#include "model/backward.h"

#include "base/mem.h"
#include "hw/isa.h"
#include "model/adapter.h"
#include "model/backward_parts.h"

#include <string.h>

enum {
    ROWS_PER_ITEM = 16,
    COLUMNS_PER_ITEM = 64,
    /* Each chunk of logits adds to the head's gradient, or expands a head that stands still */
    LOGIT_BYTES = 128 << 20
};

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* Widths of the largest kind of layer. */
typedef struct widths {
    size_t hidden, q, kv, ffn, widest, pages; /* pages: bytes of one, of one layer */
    bool pending;
} widths;

static widths widths_of(const hone_backward *b)
{
    const hone_hparams *h = &b->f->model->hp;
    widths w = {.hidden = h->hidden, .widest = h->hidden};
    for (uint32_t i = 0; i < h->n_kinds; i++) {
        const hone_layer_kind *y = &h->kinds[i];
        hone_kv kv = hone_kv_of(y, b->f->kv_format);
        w.q = larger(w.q, (size_t)y->heads * y->head_dim);
        w.kv = larger(w.kv, (size_t)y->kv_heads * y->head_dim);
        w.ffn = larger(w.ffn, y->ffn);
        w.pages = larger(w.pages, y->kv_heads * hone_kv_page_bytes(&kv));
        for (uint32_t j = 0; j < y->n_blocks; j++)
            w.pending |= y->blocks[j].joins;
    }
    w.widest = larger(w.widest, larger(w.q, larger(w.kv, w.ffn)));
    return w;
}

static float *cut_rows(const hone_backward *b, void *base, size_t *at, size_t width)
{
    return hone_cut(base, at, b->max_rows * width * sizeof(float));
}

/* A layer's tape, but for the stream that enters it. */
static void lay_tape(const hone_backward *b, uint32_t layer, void *base, size_t *at, hone_tape *t)
{
    const hone_model *m = b->f->model;
    const hone_layer_kind *y = hone_kind(&m->hp, layer);
    size_t q = (size_t)y->heads * y->head_dim, kv = (size_t)y->kv_heads * y->head_dim;
    for (uint32_t i = 0; i < y->n_blocks; i++) {
        if (i)
            t->x[i] = cut_rows(b, base, at, m->hp.hidden);
        if (y->blocks[i].norms & HONE_NORM_OUTPUT)
            t->h[i] = cut_rows(b, base, at, m->hp.hidden);
        if (y->blocks[i].norms & HONE_NORM_SUM)
            t->sum[i] = cut_rows(b, base, at, m->hp.hidden);
    }
    t->q = cut_rows(b, base, at, q);
    t->k = cut_rows(b, base, at, kv);
    t->v = cut_rows(b, base, at, kv);
    t->attended = cut_rows(b, base, at, q);
    t->stats = cut_rows(b, base, at, y->heads * 2);
    t->gate = cut_rows(b, base, at, y->gated ? y->ffn : 0);
    t->up = cut_rows(b, base, at, y->ffn);
    if (hone_model_at(m, (int)layer, HONE_SLOT_NORM_Q)->v)
        t->plain_q = cut_rows(b, base, at, q);
    if (hone_model_at(m, (int)layer, HONE_SLOT_NORM_K)->v)
        t->plain_k = cut_rows(b, base, at, kv);
}

static size_t lay_tapes(hone_backward *b, void *base, size_t at)
{
    uint32_t layers = b->f->model->hp.layers;
    size_t shared = 0;
    for (uint32_t i = 0; i < layers; i++) {
        hone_tape *t = &b->tapes[i];
        t->x[0] = cut_rows(b, base, &at, b->f->model->hp.hidden);
        if (i < b->kept)
            lay_tape(b, i, base, &at, t);
    }
    for (uint32_t i = b->kept; i < layers; i++) { /* one after the other in the same place */
        size_t end = at;
        lay_tape(b, i, base, &end, &b->tapes[i]);
        shared = larger(shared, end);
    }
    return larger(at, shared);
}

/* The largest of the products on the way back through layers, head and optimisers */
static size_t product_bytes(const hone_backward *b, const widths *w)
{
    const hone_hparams *h = &b->f->model->hp;
    const size_t m = b->max_rows, d = h->hidden, vocab = h->vocab;
    size_t all = hone_back_multiply_bytes(b, larger(m, d), w->widest, w->widest);
    for (uint32_t i = 0; i < h->n_kinds; i++) {
        const hone_layer_kind *y = &h->kinds[i];
        const size_t q = (size_t)y->heads * y->head_dim, kv = (size_t)y->kv_heads * y->head_dim,
                     qkv[] = {q, kv, kv}, mlp[] = {y->ffn, y->ffn};
        all = larger(all, hone_back_matrices_bytes(b, qkv, 3, d, m, false));
        all = larger(all, hone_back_matrices_bytes(b, &d, 1, q, m, false));
        all = larger(all, hone_back_matrices_bytes(b, mlp, y->gated ? 2 : 1, d, m, false));
        all = larger(all, hone_back_matrices_bytes(b, &d, 1, y->ffn, m, false));
    }
    return larger(all, hone_back_matrices_bytes(b, &vocab, 1, d, b->chunk, true));
}

/* The same beside matrices that stand still: nothing of the head's size is turned or packed whole
 */
static size_t adapted_bytes(const hone_backward *b, const widths *w)
{
    const size_t m = b->max_rows, rank = b->f->model->adapter->rank_max,
                 still = larger(hone_act_bytes(b->kt, m, w->widest, hone_back_act_flags(b)),
                                hone_act_bytes(b->kt, b->chunk, b->f->model->hp.vocab,
                                               hone_back_act_flags(b)));
    return larger(still, larger(hone_back_matrices_bytes(b, &rank, 1, w->widest, m, false),
                                hone_back_matrices_bytes(b, &w->widest, 1, rank, m, false)));
}

static void lay_products(hone_backward *b, const widths *w, void *base, size_t *at)
{
    const hone_hparams *h = &b->f->model->hp;
    size_t m = b->max_rows, n = w->widest, v = h->vocab, c = b->chunk, heads = 1;
    const hone_adapter *a = b->f->model->adapter;
    for (uint32_t i = 0; i < h->n_kinds; i++)
        heads = larger(heads, h->kinds[i].heads);
    b->products = hone_cut(base, at, a ? adapted_bytes(b, w) : product_bytes(b, w));
    b->packed_head = hone_cut(base, at, a ? 0 : hone_back_packed_bytes(b, h->hidden, v));
    b->logits = hone_cut(base, at, c * v * sizeof(float));
    b->capped = hone_cut(base, at, h->final_softcap != 0 ? c * v * sizeof(float) : 0);
    b->sums =
        hone_cut(base, at, (m * heads / HONE_BACK_SUM_ROWS + 1) * larger(n, v) * sizeof(float));
    b->low = hone_cut(base, at, a ? m * a->rank_max * sizeof(float) : 0);
    b->dropped = hone_cut(base, at, a && a->o.dropout > 0 ? m * n * sizeof(float) : 0);
    b->scaled = hone_cut(base, at, a && a->o.dora ? m * n * sizeof(float) : 0);
}

static void lay_threads(hone_backward *b, void *base, size_t *at)
{
    const hone_hparams *h = &b->f->model->hp;
    size_t threads = (size_t)hone_pool_threads(b->f->pool);
    b->thread_bytes = hone_product_add_bytes();
    if (b->f->model->adapter)
        b->thread_bytes = hone_back_adapted_thread_bytes(b);
    for (uint32_t i = 0; i < h->n_kinds; i++)
        b->thread_bytes =
            larger(b->thread_bytes, hone_back_attention_bytes(b, &h->kinds[i], b->max_rows));
    b->thread_memory = hone_cut(base, at, threads * sizeof *b->thread_memory);
    for (size_t t = 0; t < threads; t++) {
        void *memory = hone_cut(base, at, b->thread_bytes);
        if (base)
            b->thread_memory[t] = memory;
    }
}

/* Lays everything out; with base NULL only to learn the size. */
static size_t lay_out(hone_backward *b, void *base)
{
    const hone_hparams *h = &b->f->model->hp;
    const widths w = widths_of(b);
    size_t at = 0;
    b->dx = cut_rows(b, base, &at, w.hidden);
    b->dh = cut_rows(b, base, &at, w.hidden);
    b->din = cut_rows(b, base, &at, w.hidden);
    b->normed = cut_rows(b, base, &at, w.hidden);
    b->pending = cut_rows(b, base, &at, w.hidden);
    b->spread = cut_rows(b, base, &at, w.widest);
    for (int i = 0; i < 4; i++)
        b->wide[i] = cut_rows(b, base, &at, w.widest);
    for (uint32_t i = 0; i < h->n_ropes; i++)
        b->minus_sin[i] = cut_rows(b, base, &at, h->ropes[0][i].dim / 2);
    b->losses = hone_cut(base, &at, b->max_rows * sizeof *b->losses);
    b->wanted = hone_cut(base, &at, b->max_rows * sizeof *b->wanted);
    lay_products(b, &w, base, &at);
    lay_threads(b, base, &at);
    b->pages = hone_cut(base, &at, b->max_pages * sizeof *b->pages);
    b->tables = hone_cut(base, &at, b->max_pages * sizeof *b->tables);
    b->sequences = hone_cut(base, &at, b->max_pages * sizeof *b->sequences);
    b->page_bytes = w.pages;
    b->page_memory = hone_cut(base, &at, b->max_pages * w.pages);
    return lay_tapes(b, base, at);
}

/* ---- open and close -------------------------------------------------------------------------- */

static hone_status check(const hone_model *m)
{
    const hone_hparams *h = &m->hp;
    for (uint32_t i = 0; i < h->n_kinds; i++)
        for (uint32_t j = 0; j < h->kinds[i].n_blocks; j++)
            if (!h->kinds[i].blocks[j].block->backward)
                return hone_fail(HONE_UNSUPPORTED, "hone cannot train %s yet: %s has no backward",
                                 m->arch->what, h->kinds[i].blocks[j].block->name);
    if (h->bidirectional || !hone_model_at(m, 0, HONE_SLOT_HEAD)->w.n)
        return hone_fail(HONE_UNSUPPORTED,
                         "hone cannot train %s yet: only models that predict the next token",
                         m->arch->what);
    if (m->adapter && m->ordered)
        return hone_fail(HONE_UNSUPPORTED,
                         "hone cannot train beside matrices whose groups lie scattered (GPTQ with "
                         "act-order): export the model, and quantise it while training");
    return HONE_OK;
}

/* Each layer's keys and values lie where the former one's did. */
static void share_pages(hone_forward *f)
{
    f->tables.count = 1;
    f->tables.window[0] = 0;
    for (uint32_t i = 0; i < f->model->hp.layers; i++) {
        f->tables.layers[i].table = 0;
        f->tables.layers[i].offset = 0;
    }
}

static hone_status allocate(hone_backward *b, const hone_backward_options *o)
{
    const hone_hparams *h = &b->f->model->hp;
    const uint64_t bytes_max = o->memory_max;
    size_t bytes = o->logit_bytes ? o->logit_bytes : LOGIT_BYTES, least = o->logit_bytes ? 16 : 64,
           chunk = bytes / (h->vocab * sizeof(float)) / 16 * 16;
    b->chunk = (uint32_t)(chunk < least ? least : chunk);
    if (b->chunk > b->max_rows)
        b->chunk = b->max_rows;
    b->max_pages = b->max_rows / 16 + 16;
    b->kept = h->layers;
    b->memory_bytes = lay_out(b, NULL);
    while (bytes_max && b->memory_bytes > bytes_max && b->kept > 0) {
        b->kept--;
        b->memory_bytes = lay_out(b, NULL);
    }
    if (bytes_max && b->memory_bytes > bytes_max)
        return hone_fail(HONE_MEMORY,
                         "batches of %u tokens need %zu MiB beside the weights even if every layer "
                         "runs twice; %llu MiB are allowed: fewer tokens in a batch need less",
                         b->max_rows, b->memory_bytes >> 20, (unsigned long long)bytes_max >> 20);
    b->memory = hone_alloc_big(b->memory_bytes);
    if (!b->memory)
        return hone_fail_memory(b->memory_bytes, "a backward step");
    lay_out(b, b->memory);
    return HONE_OK;
}

hone_status hone_backward_open(const hone_model *m, const hone_parameters *p,
                               const hone_kernels *kt, hone_pool *pool,
                               const hone_backward_options *o, hone_backward **out)
{
    *out = NULL;
    HONE_TRY(check(m));
    hone_backward *b = hone_calloc(1, sizeof *b);
    if (!b)
        return hone_fail_memory(sizeof *b, "a backward step");
    b->kt = kt;
    b->p = p;
    b->max_rows = o->max_rows;
    b->layout = o->f32 ? HONE_LAYOUT_F32 : HONE_LAYOUT_BF16;
    b->tapes = hone_calloc(m->hp.layers, sizeof *b->tapes);
    hone_status s = b->tapes ? hone_forward_open(m, kt, pool, o->f32 ? HONE_KV_F32 : HONE_KV_BF16,
                                                 o->max_rows, o->max_rows, &b->f)
                             : hone_fail_memory(m->hp.layers * sizeof *b->tapes, "a backward step");
    if (s == HONE_OK) {
        share_pages(b->f);
        s = allocate(b, o);
    }
    if (s == HONE_OK)
        *out = b;
    else
        hone_backward_close(b);
    return s;
}

void hone_backward_close(hone_backward *b)
{
    if (!b)
        return;
    hone_forward_close(b->f);
    hone_free_big(b->memory, b->memory_bytes);
    hone_free(b->tapes);
    hone_free(b);
}

/* ---- the batch ------------------------------------------------------------------------------- */

static hone_status take_batch(hone_backward *b, const hone_backward_batch *in,
                              const uint8_t *counted, hone_batch *out)
{
    uint32_t row = 0, page = 0, n_wanted = 0;
    if (in->rows > b->max_rows || in->n_sequences > b->max_pages)
        return hone_fail(HONE_LIMIT, "%u sequences of %u tokens; a batch holds %u of %u",
                         in->n_sequences, in->rows, b->max_pages, b->max_rows);
    for (uint32_t i = 0; i < in->n_sequences; i++) {
        uint32_t n = in->n_tokens[i], pages = (n + HONE_KV_PAGE - 1) / HONE_KV_PAGE;
        if (!n || n > in->rows - row || pages > b->max_pages - page)
            return hone_fail(HONE_LIMIT, "sequence %u of %u tokens does not fit into the batch", i,
                             n);
        b->tables[i] = b->pages + page;
        b->sequences[i] = (hone_sequence){.first_row = row,
                                          .n_rows = n,
                                          .pages = &b->tables[i],
                                          .long_rope = b->f->model->hp.long_from &&
                                                       n > b->f->model->hp.long_from};
        for (uint32_t j = 0; j < pages; j++, page++)
            b->pages[page] = (uint8_t *)b->page_memory + page * b->page_bytes;
        if (n % HONE_KV_PAGE) /* the last batch may have left NaNs past the end */
            memset((uint8_t *)b->page_memory + (page - 1) * b->page_bytes, 0, b->page_bytes);
        row += n;
    }
    if (row != in->rows)
        return hone_fail(HONE_LIMIT, "sequences of %u tokens in a batch of %u", row, in->rows);
    for (uint32_t r = 0; r < in->rows; r++)
        if (!counted || counted[r])
            b->wanted[n_wanted++] = r;
    *out = (hone_batch){.rows = in->rows,
                        .tokens = in->tokens,
                        .n_sequences = in->n_sequences,
                        .sequences = b->sequences,
                        .n_wanted = n_wanted,
                        .wanted = b->wanted};
    return HONE_OK;
}

/* ---- the end of the forward, the begin of the backward ----------------------------------------
 */

typedef struct norm_work {
    const hone_backward *b;
    const hone_linear *norm;
    const float *x;
    float *y;
    size_t rows;
} norm_work;

static void norm_item(void *arg, size_t item, int thread)
{
    const norm_work *w = arg;
    const hone_hparams *h = &w->b->f->model->hp;
    size_t n = h->hidden, r0 = item * ROWS_PER_ITEM,
           rows = hone_row_end(item, ROWS_PER_ITEM, w->rows) - r0;
    const float *x = w->x + r0 * n;
    float *y = w->y + r0 * n;
    (void)thread;
    if (h->norm == HONE_NORM_RMS)
        w->b->kt->rmsnorm(x, n, w->norm->v, h->norm_eps, rows, n, y, n);
    else
        w->b->kt->layernorm(x, n, w->norm->v, w->norm->bias, h->norm_eps, rows, n, y, n);
}

/* y = norm(x) with what stands in a slot. */
static void norm_again(hone_backward *b, int layer, hone_slot slot, const float *x, size_t rows,
                       float *y)
{
    norm_work w = {b, hone_model_at(b->f->model, layer, slot), x, y, rows};
    hone_pool_run(b->f->pool, norm_item, &w, hone_row_items(rows, ROWS_PER_ITEM));
}

typedef struct loss_work {
    hone_backward *b;
    hone_loss_fn *loss;
    void *arg;
    size_t first; /* of the wanted rows */
} loss_work;

/* The loss of one row, and its way back through soft-cap and scale of logits. */
static void loss_item(void *arg, size_t item, int thread)
{
    const loss_work *w = arg;
    hone_backward *b = w->b;
    const hone_hparams *h = &b->f->model->hp;
    float *y = b->logits + item * h->vocab, *capped = b->capped + item * h->vocab;
    (void)thread;
    if (h->logit_scale != 0)
        b->kt->scale(y, h->logit_scale, h->vocab);
    if (h->final_softcap != 0) {
        b->kt->softcap(y, h->final_softcap, h->vocab);
        memcpy(capped, y, h->vocab * sizeof *y);
    }
    b->losses[w->first + item] = w->loss(w->arg, b->kt, b->wanted[w->first + item], y, h->vocab);
    if (h->final_softcap != 0)
        b->kt->softcap_back(capped, h->final_softcap, h->vocab, y);
    if (h->logit_scale != 0)
        b->kt->scale(y, h->logit_scale, h->vocab);
}

/* Final norm, head and loss of the wanted rows; leaves their gradients in dh, side by side. */
static double run_head(hone_backward *b, hone_loss_fn *loss, void *arg)
{
    hone_forward *f = b->f;
    const hone_batch *batch = f->batch;
    size_t n = f->model->hp.hidden, wanted = batch->n_wanted;
    const hone_linear *head = hone_model_at(f->model, 0, HONE_SLOT_HEAD);
    bool normed = hone_model_at(f->model, 0, HONE_SLOT_NORM_FINAL)->v;
    double sum = 0;
    b->head_ready = false;
    for (size_t i = 0; i < wanted; i++)
        memcpy(b->din + i * n, f->x + batch->wanted[i] * n, n * sizeof *b->din);
    if (normed)
        norm_again(b, 0, HONE_SLOT_NORM_FINAL, b->din, wanted, b->normed);
    const float *x = normed ? b->normed : b->din;
    for (size_t at = 0; at < wanted; at += b->chunk) {
        size_t rows = wanted - at < b->chunk ? wanted - at : b->chunk;
        hone_act act;
        hone_forward_act(f, x + at * n, (uint32_t)rows, n, hone_linear_flags(head), &act);
        hone_forward_products(f, &act, &(hone_product_job){head, b->logits}, 1, HONE_SPAN_HEAD, -1);
        loss_work w = {b, loss, arg, at};
        hone_pool_run(f->pool, loss_item, &w, rows);
        if (b->grads)
            hone_back_linear(b, 0, &(hone_back_job){HONE_SLOT_HEAD, b->logits}, 1, x + at * n, rows,
                             b->dh + at * n);
    }
    for (size_t i = 0; i < wanted; i++)
        sum += b->losses[i];
    if (normed && b->grads)
        hone_back_norm(b, 0, HONE_SLOT_NORM_FINAL, b->din, wanted, n, b->dh, b->dh);
    return sum;
}

/* ---- layers ---------------------------------------------------------------------------------- */

typedef struct add_work {
    const hone_backward *b;
    const float *x;
    float *y;
    size_t n; /* floats */
} add_work;

enum { FLOATS_PER_ITEM = 1 << 14 };

static void add_item(void *arg, size_t item, int thread)
{
    const add_work *w = arg;
    size_t at = item * FLOATS_PER_ITEM;
    (void)thread;
    w->b->kt->add(w->y + at, w->x + at, hone_row_end(item, FLOATS_PER_ITEM, w->n) - at);
}

/* y += x, all rows of the stream */
static void add_stream(hone_backward *b, float *y, const float *x)
{
    add_work w = {b, x, y, (size_t)b->f->batch->rows * b->f->model->hp.hidden};
    hone_pool_run(b->f->pool, add_item, &w, hone_row_items(w.n, FLOATS_PER_ITEM));
}

/* Block i of a layer: dx is the gradient of the stream after it and becomes that of the stream
 * before it; of blocks side by side once the first of them is through. */
static void block_back(hone_backward *b, int layer, uint32_t i)
{
    const hone_hparams *h = &b->f->model->hp;
    const hone_layer_kind *y = hone_kind(h, (uint32_t)layer);
    const hone_block_use *use = &y->blocks[i];
    const hone_tape *t = b->f->tape;
    size_t rows = b->f->batch->rows, n = h->hidden;
    bool beside = use->joins, followed = i + 1 < y->n_blocks && y->blocks[i + 1].joins;
    const float *in = t->x[i], *dh = b->dx;
    if (use->norms & HONE_NORM_SUM)
        hone_back_norm(b, layer, use->block->norm_after, t->sum[i], rows, n, b->dx, b->dx);
    if (use->norms & HONE_NORM_OUTPUT) {
        hone_back_norm(b, layer, use->block->norm_after, t->h[i], rows, n, b->dx, b->dh);
        dh = b->dh;
    }
    if (use->norms & HONE_NORM_INPUT) {
        norm_again(b, layer, use->block->norm, t->x[i], rows, b->normed);
        in = b->normed;
    }
    /* Nothing below it is trained: its inputs' gradient is of no use. */
    const bool bottom = layer == 0 && i == 0 && b->f->model->adapter;
    use->block->backward(b, layer, in, dh, bottom ? NULL : b->din);
    if (bottom)
        return;
    if (use->norms & HONE_NORM_INPUT)
        hone_back_norm(b, layer, use->block->norm, t->x[i], rows, n, b->din, b->din);
    if (beside && !followed)
        memcpy(b->pending, b->din, rows * n * sizeof *b->din);
    else if (beside || followed)
        add_stream(b, b->pending, b->din);
    if (!beside)
        add_stream(b, b->dx, followed ? b->pending : b->din);
}

static void layer_back(hone_backward *b, int layer)
{
    hone_forward *f = b->f;
    const hone_tape *t = &b->tapes[layer];
    if ((uint32_t)layer >= b->kept && f->tape != t) { /* another layer has written over it */
        memcpy(f->x, t->x[0], (size_t)f->batch->rows * f->model->hp.hidden * sizeof *f->x);
        hone_forward_layer(f, layer, t);
    }
    f->tape = t;
    for (uint32_t i = hone_kind(&f->model->hp, (uint32_t)layer)->n_blocks; i-- > 0;)
        block_back(b, layer, i);
}

/* ---- embeddings ------------------------------------------------------------------------------ */

typedef struct embed_work {
    hone_backward *b;
    float *tokens, *positions; /* gradients of the tables, or NULL */
} embed_work;

/* Some columns of all rows, in order: a row of a table gets all of its sum from one thread. */
static void embed_item(void *arg, size_t item, int thread)
{
    const embed_work *w = arg;
    const hone_backward *b = w->b;
    const hone_batch *batch = b->f->batch;
    const hone_hparams *h = &b->f->model->hp;
    size_t n = h->hidden, c0 = item * COLUMNS_PER_ITEM,
           columns = hone_row_end(item, COLUMNS_PER_ITEM, n) - c0;
    (void)thread;
    for (uint32_t s = 0; s < batch->n_sequences; s++)
        for (uint32_t i = 0; i < batch->sequences[s].n_rows; i++) {
            size_t r = batch->sequences[s].first_row + i;
            float *dx = b->dx + r * n + c0;
            if (w->positions)
                b->kt->add(w->positions + i * n + c0, dx, columns);
            if (h->embedding_scale != 0)
                b->kt->scale(dx, h->embedding_scale, columns);
            if (w->tokens)
                b->kt->add(w->tokens + (size_t)batch->tokens[r] * n + c0, dx, columns);
        }
}

static void embeddings_back(hone_backward *b)
{
    const hone_parameter *tokens = hone_parameter_at(b->p, 0, HONE_SLOT_EMBEDDING, false),
                         *positions = hone_parameter_at(b->p, 0, HONE_SLOT_POSITION, false);
    if (!tokens && !positions)
        return;
    embed_work w = {b, tokens ? b->grads + tokens->at : NULL,
                    positions ? b->grads + positions->at : NULL};
    hone_pool_run(b->f->pool, embed_item, &w,
                  hone_row_items(b->f->model->hp.hidden, COLUMNS_PER_ITEM));
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* The gradients of the wanted rows, in dh side by side, to their places in dx. */
static void scatter_rows(hone_backward *b)
{
    const hone_batch *batch = b->f->batch;
    size_t n = b->f->model->hp.hidden;
    memset(b->dx, 0, batch->rows * n * sizeof *b->dx);
    for (size_t i = 0; i < batch->n_wanted; i++)
        memcpy(b->dx + batch->wanted[i] * n, b->dh + i * n, n * sizeof *b->dx);
}

static void turn_angles(hone_backward *b)
{
    const hone_hparams *h = &b->f->model->hp;
    for (uint32_t i = 0; i < h->n_ropes; i++)
        for (size_t j = 0; j < (size_t)b->f->batch->rows * (h->ropes[0][i].dim / 2); j++)
            b->minus_sin[i][j] = -b->f->sin[i][j];
}

hone_status hone_backward_run(hone_backward *b, const hone_backward_batch *in, const float *weights,
                              hone_loss_fn *loss, void *arg, const uint8_t *counted, float *grads,
                              bool fresh, double *sum)
{
    hone_batch batch;
    hone_forward *f = b->f;
    HONE_TRY(take_batch(b, in, counted, &batch));
    unsigned mode = hone_fp_mode_enter();
    b->weights = weights;
    b->grads = grads;
    b->fresh = fresh;
    hone_forward_begin(f, &batch);
    for (uint32_t i = 0; i < f->model->hp.layers; i++)
        hone_forward_layer(f, (int)i, &b->tapes[i]);
    *sum = run_head(b, loss, arg);
    if (grads) {
        turn_angles(b);
        scatter_rows(b);
        for (uint32_t i = f->model->hp.layers; i-- > 0;)
            layer_back(b, (int)i);
        embeddings_back(b);
    }
    f->batch = NULL;
    hone_fp_mode_leave(mode);
    return HONE_OK;
}
