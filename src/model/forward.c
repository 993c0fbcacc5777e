#include "model/forward.h"

#include "base/mem.h"
#include "model/adapter.h"
#include "model/block/common.h"
#include "model/rope.h"

#include <string.h>

/* (sequence, KV head) pairs up to which long contexts are cut into pieces for more parallelism. */
enum { PIECE_TASKS = 16 };

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* What the largest kind of layer needs of the step's memory, per row or once. */
typedef struct needs {
    size_t q, kv, ffn, widest, scratch, shared, partial_floats, kv_heads;
    bool pending;
} needs;

static needs needs_of(const hone_forward *f)
{
    const hone_hparams *h = &f->model->hp;
    needs n = {.widest = h->hidden, .scratch = hone_product_scratch_bytes()};
    for (uint32_t i = 0; i < h->n_kinds; i++) {
        const hone_layer_kind *y = &h->kinds[i];
        hone_kv kv = hone_kv_of(y, f->kv_format);
        n.q = larger(n.q, (size_t)y->heads * y->head_dim);
        n.kv = larger(n.kv, (size_t)y->kv_heads * y->head_dim);
        n.ffn = larger(n.ffn, y->ffn);
        n.kv_heads = larger(n.kv_heads, y->kv_heads);
        n.scratch = larger(n.scratch, hone_attn_scratch_bytes(&kv));
        n.partial_floats =
            larger(n.partial_floats, y->heads / y->kv_heads * hone_attn_partial_floats(&kv));
        for (uint32_t b = 0; b < y->n_blocks; b++) {
            size_t thread_bytes = 0, shared_bytes = 0;
            n.pending |= y->blocks[b].joins;
            if (y->blocks[b].block->needs)
                y->blocks[b].block->needs(f, y, &thread_bytes, &shared_bytes);
            n.scratch = larger(n.scratch, thread_bytes);
            n.shared = larger(n.shared, shared_bytes);
        }
    }
    n.widest = larger(n.widest, larger(n.q, n.ffn));
    n.scratch = larger(n.scratch, h->hidden * sizeof(float)); /* a row */
    n.scratch = larger(n.scratch, hone_forward_low_bytes(f));
    return n;
}

/* Lays everything out; called with memory NULL to learn the size. */
static size_t lay_out(hone_forward *f, uint8_t *base)
{
    const hone_hparams *h = &f->model->hp;
    const needs n = needs_of(f);
    size_t at = 0, m = f->max_rows, threads = (size_t)hone_pool_threads(f->pool);
    f->max_piece_tasks = larger(n.kv_heads, PIECE_TASKS);
    f->partial_floats = n.partial_floats;
    f->x = hone_cut(base, &at, m * h->hidden * sizeof(float));
    f->h = hone_cut(base, &at, m * h->hidden * sizeof(float));
    f->pending = hone_cut(base, &at, n.pending ? m * h->hidden * sizeof(float) : 0);
    f->q = hone_cut(base, &at, m * n.q * sizeof(float));
    f->k = hone_cut(base, &at, m * n.kv * sizeof(float));
    f->v = hone_cut(base, &at, m * n.kv * sizeof(float));
    f->attended = hone_cut(base, &at, m * n.q * sizeof(float));
    f->gate = hone_cut(base, &at, m * n.ffn * sizeof(float));
    f->up = hone_cut(base, &at, m * n.ffn * sizeof(float));
    for (uint32_t i = 0; i < h->n_ropes; i++) {
        f->cos[i] = hone_cut(base, &at, m * (h->ropes[0][i].dim / 2) * sizeof(float));
        f->sin[i] = hone_cut(base, &at, m * (h->ropes[0][i].dim / 2) * sizeof(float));
    }
    f->act_memory = hone_cut(base, &at, hone_act_bytes(f->kt, m, n.widest, ~0)); /* of any flags */
    if (f->model->ordered) {
        f->ordered = hone_cut(base, &at, m * n.widest * sizeof(float));
        f->ordered_act_memory = hone_cut(base, &at, hone_act_bytes(f->kt, m, n.widest, ~0));
    }
    for (int i = 0; i < HONE_PRODUCT_JOBS && f->model->adapter; i++) {
        size_t rank = f->model->adapter->rank_max;
        f->low[i] = hone_cut(base, &at, m * rank * sizeof(float));
        f->low_act[i] = hone_cut(base, &at, hone_act_bytes(f->kt, m, rank, ~0));
    }
    f->last = hone_cut(base, &at, m * sizeof *f->last);
    bool near = h->bidirectional && h->window;
    f->near_first = hone_cut(base, &at, near ? m * sizeof *f->near_first : 0);
    f->near_last = hone_cut(base, &at, near ? m * sizeof *f->near_last : 0);
    f->block_memory = hone_cut(base, &at, n.shared);
    f->partials =
        hone_cut(base, &at, f->max_piece_tasks * f->max_pieces * n.partial_floats * sizeof(float));
    f->threads = hone_cut(base, &at, threads * sizeof *f->threads);
    for (size_t t = 0; t < threads; t++) {
        void *memory = hone_cut(base, &at, n.scratch);
        void *pages = hone_cut(base, &at, f->max_pages * sizeof(void *));
        void *result = hone_cut(base, &at, HONE_RESULT_PANELS * HONE_PANEL * sizeof(float));
        if (base) {
            f->threads[t].result = result;
            f->threads[t].memory = memory;
            f->threads[t].pages = pages;
        }
    }
    return at;
}

static void prepare_blocks(hone_forward *f)
{
    const hone_hparams *h = &f->model->hp;
    for (uint32_t i = 0; i < h->n_kinds; i++)
        for (uint32_t b = 0; b < h->kinds[i].n_blocks; b++)
            if (h->kinds[i].blocks[b].block->prepare)
                h->kinds[i].blocks[b].block->prepare(f, &h->kinds[i]);
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
    f->kv_format = kv_format;
    hone_kv_tables_plan(&m->hp, kv_format, &f->tables);
    f->max_rows = max_rows;
    f->max_pages = (max_context + HONE_KV_PAGE - 1) / HONE_KV_PAGE;
    f->max_pieces = (max_context + HONE_ATTN_PIECE - 1) / HONE_ATTN_PIECE;
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
    prepare_blocks(f);
    *out = f;
    return HONE_OK;
}

void hone_forward_close(hone_forward *f)
{
    if (!f)
        return;
    hone_pool_drain(f->pool);
    hone_free_big(f->memory, f->memory_bytes);
    hone_free(f);
}

enum { ROWS_PER_ITEM = 16 };

/* ---- the step ------------------------------------------------------------------------------- */

static void watch(const hone_forward *f, int layer, const float *x, uint32_t rows)
{
    if (f->watch)
        f->watch(f->watch_arg, layer, x, rows);
}

/* x += row `index` of a table of embeddings. Spoils the row's place in h. */
static void add_embedding(hone_forward *f, size_t row, hone_slot slot, size_t index)
{
    size_t n = f->model->hp.hidden;
    hone_unpack_row(&hone_model_at(f->model, 0, slot)->w, index, f->h + row * n);
    f->kt->add(f->x + row * n, f->h + row * n, n);
}

/* Embeds one row at `position` of its sequence. */
static void embed_row(hone_forward *f, size_t row, uint32_t position, uint32_t long_rope)
{
    const hone_hparams *h = &f->model->hp;
    const hone_batch *b = f->batch;
    float *x = f->x + row * h->hidden;
    hone_unpack_row(&hone_model_at(f->model, 0, HONE_SLOT_EMBEDDING)->w, (size_t)b->tokens[row], x);
    if (h->embedding_scale != 0)
        f->kt->scale(x, h->embedding_scale, h->hidden);
    if (h->token_types)
        add_embedding(f, row, HONE_SLOT_TOKEN_TYPE, b->types ? (size_t)b->types[row] : 0);
    if (h->positions)
        add_embedding(f, row, HONE_SLOT_POSITION, position);
    const hone_linear *norm = hone_model_at(f->model, 0, HONE_SLOT_NORM_EMBEDDING);
    if (norm->v)
        hone_block_norm(f, norm, x, 1, h->hidden, x);
    for (uint32_t i = 0; i < h->n_ropes; i++) {
        size_t half = h->ropes[0][i].dim / 2;
        hone_rope_angles(&h->ropes[long_rope][i], position, f->cos[i] + row * half,
                         f->sin[i] + row * half);
    }
}

static void embed_item(void *arg, size_t item, int thread)
{
    hone_forward *f = arg;
    (void)thread;
    const hone_batch *b = f->batch;
    const hone_sequence *q = b->sequences;
    size_t end = hone_row_end(item, ROWS_PER_ITEM, b->rows);
    for (size_t r = item * ROWS_PER_ITEM; r < end; r++) {
        while (r >= (size_t)q->first_row + q->n_rows)
            q++;
        embed_row(f, r, q->first_position + (uint32_t)(r - q->first_row), q->long_rope);
    }
}

/* What each row of a sequence sees. */
static void set_sight(hone_forward *f, const hone_sequence *q)
{
    const hone_hparams *h = &f->model->hp;
    uint32_t begin = q->first_position, end = begin + q->n_rows - 1, side = h->window / 2;
    for (uint32_t i = 0; i < q->n_rows; i++) {
        uint32_t row = q->first_row + i, at = begin + i;
        f->last[row] = (int32_t)(h->bidirectional ? end : at);
        if (h->bidirectional && h->window) {
            f->near_first[row] = (int32_t)(at > side ? at - side : 0);
            f->near_last[row] = (int32_t)(end - at > side ? at + side : end);
        }
    }
}

void hone_forward_begin(hone_forward *f, const hone_batch *b)
{
    f->batch = b;
    for (uint32_t s = 0; s < b->n_sequences; s++)
        set_sight(f, &b->sequences[s]);
    uint64_t begin = hone_span_begin(f->spans);
    hone_pool_run(f->pool, embed_item, f, hone_row_items(b->rows, ROWS_PER_ITEM));
    hone_span_end(f->spans, HONE_SPAN_EMBED, -1, begin, 0,
                  (double)b->rows * f->model->hp.hidden * 4);
    watch(f, -1, f->x, b->rows);
}

/* ---- a layer -------------------------------------------------------------------------------- */

typedef struct add_work {
    hone_forward *f;
    const hone_linear *output_norm, *sum_norm; /* or NULL */
    bool keep;                                 /* a block that joins follows: the stream stays */
    bool joins;
    float *kept_h, *kept_sum; /* of the tape, or NULL */
} add_work;

/* What a block left in h goes into the stream; of blocks side by side, their sum. */
static void add_item(void *arg, size_t item, int thread)
{
    const add_work *w = arg;
    hone_forward *f = w->f;
    size_t n = f->model->hp.hidden, r0 = item * ROWS_PER_ITEM,
           rows = hone_row_end(item, ROWS_PER_ITEM, f->batch->rows) - r0;
    float *x = f->x + r0 * n, *h = f->h + r0 * n, *pending = f->pending + r0 * n;
    (void)thread;
    if (w->kept_h)
        memcpy(w->kept_h + r0 * n, h, rows * n * sizeof *h);
    if (w->output_norm)
        hone_block_norm(f, w->output_norm, h, rows, n, h);
    if (w->joins)
        f->kt->add(h, pending, rows * n);
    if (w->keep) {
        memcpy(pending, h, rows * n * sizeof *h);
        return;
    }
    f->kt->add(x, h, rows * n);
    if (w->kept_sum)
        memcpy(w->kept_sum + r0 * n, x, rows * n * sizeof *x);
    if (w->sum_norm)
        hone_block_norm(f, w->sum_norm, x, rows, n, x);
}

/* The blocks leave in the tape itself what it keeps of their insides. */
static void use_tape(hone_forward *f, const hone_tape *t)
{
    f->tape = t;
    if (!t)
        return;
    f->q = t->q;
    f->k = t->k;
    f->v = t->v;
    f->attended = t->attended;
    f->gate = t->gate;
    f->up = t->up;
}

void hone_forward_layer(hone_forward *f, int layer, const hone_tape *tape)
{
    const hone_layer_kind *kind = hone_kind(&f->model->hp, (uint32_t)layer);
    use_tape(f, tape);
    for (uint32_t i = 0; i < kind->n_blocks; i++) {
        if (tape)
            memcpy(tape->x[i], f->x, (size_t)f->batch->rows * f->model->hp.hidden * sizeof *f->x);
        const hone_block_use *use = &kind->blocks[i];
        const hone_linear *after = hone_model_at(f->model, layer, use->block->norm_after);
        use->block->forward(f, layer, use);
        add_work w = {.f = f,
                      .output_norm = use->norms & HONE_NORM_OUTPUT ? after : NULL,
                      .sum_norm = use->norms & HONE_NORM_SUM ? after : NULL,
                      .keep = i + 1 < kind->n_blocks && kind->blocks[i + 1].joins,
                      .joins = use->joins,
                      .kept_h = tape ? tape->h[i] : NULL,
                      .kept_sum = tape ? tape->sum[i] : NULL};
        uint64_t begin = hone_span_begin(f->spans);
        hone_pool_run(f->pool, add_item, &w, hone_row_items(f->batch->rows, ROWS_PER_ITEM));
        hone_span_end(f->spans, HONE_SPAN_RESIDUAL, layer, begin, 0,
                      (double)f->batch->rows * f->model->hp.hidden * 12);
    }
    watch(f, layer, f->x, f->batch->rows);
}

/* ---- the end -------------------------------------------------------------------------------- */

typedef struct finish_work {
    hone_forward *f;
    float *out;
    size_t n; /* of a row */
} finish_work;

static void cap_item(void *arg, size_t row, int thread)
{
    const finish_work *w = arg;
    const hone_hparams *h = &w->f->model->hp;
    float *y = w->out + row * w->n;
    (void)thread;
    if (h->logit_scale != 0)
        w->f->kt->scale(y, h->logit_scale, w->n);
    if (h->final_softcap != 0)
        w->f->kt->softcap(y, h->final_softcap, w->n);
}

/* Final norm of the wanted rows into h, and the output head if there is one. */
static void finish_step(hone_forward *f, float *out)
{
    const hone_hparams *h = &f->model->hp;
    const hone_batch *b = f->batch;
    const hone_linear *norm = hone_model_at(f->model, 0, HONE_SLOT_NORM_FINAL),
                      *head = hone_model_at(f->model, 0, HONE_SLOT_HEAD);
    if (b->n_wanted == 0)
        return;
    uint64_t begin = hone_span_begin(f->spans);
    for (uint32_t i = 0; i < b->n_wanted; i++) {
        const float *x = f->x + (size_t)b->wanted[i] * h->hidden;
        float *y = f->h + (size_t)i * h->hidden;
        if (norm->v)
            hone_block_norm(f, norm, x, 1, h->hidden, y);
        else
            memcpy(y, x, h->hidden * sizeof *y);
    }
    watch(f, (int)h->layers, f->h, b->n_wanted);
    if (!head->w.n || b->hidden) {
        memcpy(out, f->h, (size_t)b->n_wanted * h->hidden * sizeof *out);
        return;
    }
    hone_act act;
    hone_forward_act(f, f->h, b->n_wanted, h->hidden, hone_linear_flags(head), &act);
    hone_span_end(f->spans, HONE_SPAN_NORM, -1, begin, 0, (double)b->n_wanted * h->hidden * 8);
    hone_forward_products(f, &act, &(hone_product_job){head, out}, 1, HONE_SPAN_HEAD, -1);
    finish_work w = {f, out, h->vocab};
    if (h->logit_scale != 0 || h->final_softcap != 0)
        hone_pool_run(f->pool, cap_item, &w, b->n_wanted);
}

void hone_forward_run(hone_forward *f, const hone_batch *b, float *out)
{
    uint64_t begin = hone_span_begin(f->spans);
    hone_forward_begin(f, b);
    for (uint32_t layer = 0; layer < f->model->hp.layers; layer++)
        hone_forward_layer(f, (int)layer, NULL);
    finish_step(f, out);
    hone_span_end(f->spans, HONE_SPAN_STEP, -1, begin, 0, 0);
}
