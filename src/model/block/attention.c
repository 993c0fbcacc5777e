/*
 * Grouped-query attention over paged keys and values (Vaswani et al., arXiv:1706.03762; Ainslie et
 * al., arXiv:2305.13245; tiles with online softmax: Dao et al., arXiv:2205.14135):
 * o(attention(rope(norm(q(n))), rope(norm(k(n))), v(n))), with what a kind of layer says of it:
 * rotary positions and norms of heads or none, a window, a soft-cap.
 */
#include "model/block/back.h"
#include "model/block/common.h"

#include <string.h>

enum { TOKENS_PER_ITEM = 16, HEADS_ROWS = 64, ITEMS_PER_THREAD = 4 };

typedef struct attention_work {
    hone_forward *f;
    int layer;
    const hone_layer_kind *kind;
    hone_kv kv;
    size_t heads; /* KV heads of an item */
    /* of contexts in pieces */
    size_t floats; /* of the partial result of an item */
    size_t pieces; /* of the longest sequence */
} attention_work;

/* Page i of a sequence as the layer and KV head see it. */
static uint8_t *head_page(const attention_work *w, const hone_sequence *s, size_t page,
                          size_t kv_head)
{
    const hone_layer_pages *at = &w->f->tables.layers[w->layer];
    return (uint8_t *)s->pages[at->table][page] + at->offset + kv_head * at->head_bytes;
}

/* The first page of which the row at `position` sees a key. */
static size_t first_page(const attention_work *w, size_t position)
{
    size_t window = w->f->model->hp.bidirectional ? 0 : w->kind->window;
    return window && position >= window ? (position - window + 1) / HONE_KV_PAGE : 0;
}

/* Norms and rotates the heads of one row. */
static void prepare_heads(const attention_work *w, float *x, size_t heads, hone_slot norm,
                          const float *cs, const float *sn, uint32_t rotated)
{
    const hone_forward *f = w->f;
    const hone_linear *n = hone_model_at(f->model, w->layer, norm);
    size_t hd = w->kind->head_dim;
    if (n->v)
        hone_block_norm(f, n, x, heads, hd, x);
    if (rotated)
        f->kt->rope(x, heads, hd, rotated, cs, sn, 0);
}

/* Queries and keys as they come from their products, for the backward of norms of heads. */
static void keep_plain(const attention_work *w, size_t row)
{
    const hone_tape *t = w->f->tape;
    const hone_layer_kind *y = w->kind;
    size_t q = (size_t)y->heads * y->head_dim, k = (size_t)y->kv_heads * y->head_dim;
    if (t && t->plain_q)
        memcpy(t->plain_q + row * q, w->f->q + row * q, q * sizeof(float));
    if (t && t->plain_k)
        memcpy(t->plain_k + row * k, w->f->k + row * k, k * sizeof(float));
}

/* Prepares queries and keys of the rows whose positions fall into one page of one sequence, and
 * stores keys and values. A page belongs to one item, so that no two threads write to one. */
static void rope_item(void *arg, size_t item, int thread)
{
    const attention_work *w = arg;
    hone_forward *f = w->f;
    const hone_layer_kind *y = w->kind;
    const hone_batch *b = f->batch;
    uint32_t rotated = y->rope == HONE_ROPE_NONE ? 0 : f->model->hp.ropes[0][y->rope].dim;
    size_t half = rotated / 2, hd = y->head_dim;
    (void)thread;
    uint32_t s = 0;
    for (;; s++) { /* items are numbered by sequence, then by page */
        const hone_sequence *q = &b->sequences[s];
        size_t pages = (q->first_position + q->n_rows - 1) / HONE_KV_PAGE -
                       q->first_position / HONE_KV_PAGE + 1;
        if (item < pages)
            break;
        item -= pages;
    }
    const hone_sequence *q = &b->sequences[s];
    size_t page = q->first_position / HONE_KV_PAGE + item;
    for (uint32_t i = 0; i < q->n_rows; i++) {
        size_t position = q->first_position + i, row = q->first_row + i;
        if (position / HONE_KV_PAGE != page)
            continue;
        const float *cs = rotated ? f->cos[y->rope] + row * half : NULL;
        const float *sn = rotated ? f->sin[y->rope] + row * half : NULL;
        float *k = f->k + row * y->kv_heads * hd, *v = f->v + row * y->kv_heads * hd;
        keep_plain(w, row);
        prepare_heads(w, f->q + row * y->heads * hd, y->heads, HONE_SLOT_NORM_Q, cs, sn, rotated);
        prepare_heads(w, k, y->kv_heads, HONE_SLOT_NORM_K, cs, sn, rotated);
        for (size_t j = 0; j < y->kv_heads; j++)
            f->kt->kv_write(&w->kv, head_page(w, q, page, j), position % HONE_KV_PAGE, k + j * hd,
                            v + j * hd);
    }
}

static size_t rope_items(const hone_batch *b)
{
    size_t n = 0;
    for (uint32_t s = 0; s < b->n_sequences; s++) {
        const hone_sequence *q = &b->sequences[s];
        n += (q->first_position + q->n_rows - 1) / HONE_KV_PAGE - q->first_position / HONE_KV_PAGE +
             1;
    }
    return n;
}

static size_t token_blocks(const hone_sequence *q)
{
    return (q->n_rows + TOKENS_PER_ITEM - 1) / TOKENS_PER_ITEM;
}

static hone_attn attn_task(const attention_work *w, const hone_sequence *q, size_t kv_head,
                           uint32_t first, uint32_t tokens, const void *const *pages)
{
    const hone_forward *f = w->f;
    const hone_layer_kind *y = w->kind;
    size_t group = y->heads / y->kv_heads, width = (size_t)y->heads * y->head_dim;
    size_t row = q->first_row + first, at = row * width + kv_head * group * y->head_dim;
    bool near = y->window && f->model->hp.bidirectional;
    bool several = w->heads > 1; /* of one token */
    float *stats = f->tape ? f->tape->stats : NULL;
    return (hone_attn){.kv = w->kv,
                       .tokens = several ? w->heads : tokens,
                       .group = group,
                       .q = f->q + at,
                       .ldq = several ? group * y->head_dim : width,
                       .last = (near ? f->near_last : f->last) + row,
                       .first = near ? f->near_first + row : NULL,
                       .window = (int32_t)y->window,
                       .scale = y->scale,
                       .softcap = y->softcap,
                       .pages = pages,
                       .out = f->attended + at,
                       .ldo = several ? group * y->head_dim : width,
                       .stats = stats ? stats + 2 * (row * y->heads + kv_head * group) : NULL,
                       .lds = 2 * (several ? group : y->heads),
                       .head_step = several ? f->tables.layers[w->layer].head_bytes : 0};
}

/* Pages [from, end) of a sequence for a KV head, at their places in the thread's list. */
static const void *const *list_pages(const attention_work *w, const hone_sequence *q,
                                     size_t kv_head, size_t from, size_t end, int thread)
{
    const void **pages = w->f->threads[thread].pages;
    for (size_t i = from; i < end; i++)
        pages[i] = head_page(w, q, i, kv_head);
    return pages;
}

/* The last position that rows up to `row` of a sequence see. */
static size_t reach(const hone_forward *f, const hone_sequence *q, uint32_t row)
{
    return (size_t)f->last[q->first_row + row];
}

/* Items: sequence by sequence; within one, blocks of tokens from the last (the longest) to the
 * first; within a block, KV heads, w->heads at a time. */
static void attention_item(void *arg, size_t item, int thread)
{
    const attention_work *w = arg;
    hone_forward *f = w->f;
    const hone_layer_kind *y = w->kind;
    const hone_sequence *q = f->batch->sequences;
    const size_t turns = y->kv_heads / w->heads;
    while (item >= token_blocks(q) * turns)
        item -= token_blocks(q++) * turns;
    size_t kv_head = item % turns * w->heads;
    uint32_t first = (uint32_t)(token_blocks(q) - 1 - item / turns) * TOKENS_PER_ITEM;
    uint32_t tokens = q->n_rows - first < TOKENS_PER_ITEM ? q->n_rows - first : TOKENS_PER_ITEM;
    size_t end = reach(f, q, first + tokens - 1) / HONE_KV_PAGE + 1;
    const void *const *pages =
        list_pages(w, q, kv_head, first_page(w, reach(f, q, first)), end, thread);
    hone_attn t = attn_task(w, q, kv_head, first, tokens, pages);
    hone_attention(f->kt, &t, 0, t.tokens * t.group, f->threads[thread].memory);
}

/* Few long sequences do not fill the threads with (sequence, head) items: their context is then cut
 * into pieces of 1024 positions, computed apart and merged in order. The bits are the same either
 * way. */
static hone_attn piece_task(const attention_work *w, size_t task, int thread, size_t *first,
                            size_t *end)
{
    hone_forward *f = w->f;
    size_t turns = w->kind->kv_heads / w->heads, kv_head = task % turns * w->heads;
    const hone_sequence *q = &f->batch->sequences[task / turns];
    hone_attn t = attn_task(w, q, kv_head, 0, q->n_rows, f->threads[thread].pages);
    hone_attn_pieces(&t, first, end);
    list_pages(w, q, kv_head, first_page(w, reach(f, q, 0)),
               reach(f, q, q->n_rows - 1) / HONE_KV_PAGE + 1, thread);
    return t;
}

static float *partial(const attention_work *w, size_t task, size_t piece)
{
    return w->f->partials + (task * w->f->max_pieces + piece) * w->floats;
}

static void piece_item(void *arg, size_t item, int thread)
{
    const attention_work *w = arg;
    size_t first, end, task = item / w->pieces, piece = item % w->pieces;
    hone_attn t = piece_task(w, task, thread, &first, &end);
    if (piece >= first && piece < end)
        w->f->kt->attn_piece(&t, 0, t.tokens * t.group, piece, partial(w, task, piece),
                             w->f->threads[thread].memory);
}

static void merge_item(void *arg, size_t task, int thread)
{
    const attention_work *w = arg;
    size_t first, end;
    hone_attn t = piece_task(w, task, thread, &first, &end);
    for (size_t p = first + 1; p < end; p++)
        w->f->kt->attn_merge(&t, 0, t.tokens * t.group, partial(w, task, first),
                             partial(w, task, p));
    w->f->kt->attn_finish(&t, 0, t.tokens * t.group, partial(w, task, first));
}

/* Every sequence brings one token. */
static bool single_tokens(const hone_batch *b)
{
    for (uint32_t s = 0; s < b->n_sequences; s++)
        if (b->sequences[s].n_rows > 1)
            return false;
    return true;
}

/* Pieces of the longest sequence; 0 if whole heads are as well. */
static size_t worth_pieces(const hone_forward *f, const hone_layer_kind *y)
{
    const hone_batch *b = f->batch;
    uint32_t longest = 0;
    if ((size_t)b->n_sequences * y->kv_heads > f->max_piece_tasks ||
        (y->window && y->window < 2 * HONE_ATTN_PIECE) || !single_tokens(b))
        return 0;
    for (uint32_t s = 0; s < b->n_sequences; s++)
        if (b->sequences[s].first_position > longest)
            longest = b->sequences[s].first_position;
    return longest < 2 * HONE_ATTN_PIECE ? 0 : longest / HONE_ATTN_PIECE + 1;
}

/* Keys that the rows of a sequence see, all together, and those that any of them sees. */
static void count_keys(const attention_work *w, const hone_sequence *q, double *seen, double *read)
{
    double window = w->kind->window, end = (double)reach(w->f, q, q->n_rows - 1) + 1;
    *seen = 0;
    for (uint32_t i = 0; i < q->n_rows; i++) {
        double keys = (double)reach(w->f, q, i) + 1;
        *seen += window > 0 && keys > window ? window : keys;
    }
    *read = window > 0 && end > window + q->n_rows ? window + q->n_rows : end;
}

/* How many KV heads of a token go through the context together. Their pages lie side by side, and
 * reading on is faster than jumping every page (docs/experiments/attention-at-depth.md); but the
 * threads want items, and a step of a prompt has rows enough. */
static size_t heads_together(const hone_forward *f, const hone_layer_kind *y, size_t pieces)
{
    const hone_batch *b = f->batch;
    size_t heads = 1, group = y->heads / y->kv_heads,
           items = (size_t)b->n_sequences * y->kv_heads * (pieces ? pieces : 1),
           least = (size_t)ITEMS_PER_THREAD * (size_t)hone_pool_threads(f->pool);
    if (!single_tokens(b))
        return 1;
    while (y->kv_heads % (2 * heads) == 0 && 2 * heads * group <= HEADS_ROWS &&
           items / (2 * heads) >= least)
        heads *= 2;
    return heads;
}

static void attend(attention_work *w)
{
    hone_forward *f = w->f;
    const hone_layer_kind *y = w->kind;
    uint64_t begin = hone_span_begin(f->spans);
    size_t items = 0;
    double flops = 0, bytes = 0, seen, read;
    for (uint32_t s = 0; s < f->batch->n_sequences; s++) {
        const hone_sequence *q = &f->batch->sequences[s];
        items += token_blocks(q);
        count_keys(w, q, &seen, &read);
        flops += 4 * seen * y->heads * y->head_dim;
        bytes += read * (double)f->tables.layers[w->layer].head_bytes / HONE_KV_PAGE * y->kv_heads;
    }
    w->pieces = worth_pieces(f, y);
    w->heads = heads_together(f, y, w->pieces);
    if (w->pieces) {
        size_t tasks = f->batch->n_sequences * (size_t)y->kv_heads / w->heads;
        w->floats = w->heads * (y->heads / y->kv_heads) * hone_attn_partial_floats(&w->kv);
        hone_pool_run(f->pool, piece_item, w, tasks * w->pieces);
        hone_pool_run(f->pool, merge_item, w, tasks);
    } else {
        hone_pool_run(f->pool, attention_item, w, items * (y->kv_heads / w->heads));
    }
    hone_span_end(f->spans, HONE_SPAN_ATTENTION, w->layer, begin, flops, bytes);
}

static void attention_forward(hone_forward *f, int layer, const hone_block_use *use)
{
    const hone_layer_kind *y = hone_kind(&f->model->hp, (uint32_t)layer);
    hone_block_qkv(f, layer, use);
    uint64_t begin = hone_span_begin(f->spans);
    attention_work work = {f, layer, y, hone_kv_of(y, f->kv_format), 1, 0, 0};
    hone_pool_run(f->pool, rope_item, &work, rope_items(f->batch));
    hone_span_end(f->spans, HONE_SPAN_ATTN_ROPE, layer, begin, 0,
                  (double)f->batch->rows * (y->heads + 2.0 * y->kv_heads) * y->head_dim * 4);
    attend(&work);

    hone_block_attention_out(f, layer);
}

const hone_block hone_block_attention = {.name = "attention",
                                         .norm = HONE_SLOT_NORM_ATTENTION,
                                         .norm_after = HONE_SLOT_NORM_ATTENTION_AFTER,
                                         .forward = attention_forward,
                                         .backward = hone_block_attention_back};
