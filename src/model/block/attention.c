/*
 * Grouped-query attention with rotary positions over paged keys and values (Vaswani et al., arXiv:
 * 1706.03762; Ainslie et al., arXiv:2305.13245; tiles with online softmax: Dao et al.,
 * arXiv:2205.14135): x += o(attention(rope(q(n)), rope(k(n)), v(n))), n = rmsnorm(x).
 */
#include "model/block/common.h"

enum { TOKENS_PER_ITEM = 16 };

typedef struct attention_work {
    hone_forward *f;
    int layer;
} attention_work;

/* Page i of a sequence as layer and KV head see it. */
static uint8_t *head_page(const hone_forward *f, const hone_sequence *s, size_t page, int layer,
                          size_t kv_head)
{
    return (uint8_t *)s->pages[page] +
           ((size_t)layer * f->model->hp.kv_heads + kv_head) * f->kv_head_bytes;
}

/* Rotates queries and keys of the rows whose positions fall into one page of one sequence, and
 * stores keys and values. A page belongs to one item, so that no two threads write to one. */
static void rope_item(void *arg, size_t item, int thread)
{
    const attention_work *w = arg;
    hone_forward *f = w->f;
    const hone_hparams *h = &f->model->hp;
    const hone_batch *b = f->batch;
    size_t half = h->rope.dim / 2, hd = h->head_dim;
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
        const float *cs = f->cos + row * half, *sn = f->sin + row * half;
        float *k = f->k + row * h->kv_heads * hd, *v = f->v + row * h->kv_heads * hd;
        f->kt->rope(f->q + row * h->heads * hd, h->heads, hd, h->rope.dim, cs, sn, 0);
        f->kt->rope(k, h->kv_heads, hd, h->rope.dim, cs, sn, 0);
        for (size_t j = 0; j < h->kv_heads; j++)
            f->kt->kv_write(&f->kv, head_page(f, q, page, w->layer, j), position % HONE_KV_PAGE,
                            k + j * hd, v + j * hd);
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

static hone_attn attn_task(const hone_forward *f, const hone_sequence *q, size_t kv_head,
                           uint32_t first, uint32_t tokens, const void *const *pages)
{
    const hone_hparams *h = &f->model->hp;
    size_t group = h->heads / h->kv_heads, width = (size_t)h->heads * h->head_dim;
    size_t at = (q->first_row + first) * width + kv_head * group * h->head_dim;
    return (hone_attn){.kv = f->kv,
                       .tokens = tokens,
                       .group = group,
                       .q = f->q + at,
                       .ldq = width,
                       .last = f->last + q->first_row + first,
                       .scale = h->attention_scale,
                       .pages = pages,
                       .out = f->attended + at,
                       .ldo = width};
}

/* Items: sequence by sequence; within one, blocks of tokens from the last (the longest) to the
 * first; within a block, KV heads. */
static void attention_item(void *arg, size_t item, int thread)
{
    const attention_work *w = arg;
    hone_forward *f = w->f;
    const hone_hparams *h = &f->model->hp;
    const hone_sequence *q = f->batch->sequences;
    while (item >= token_blocks(q) * h->kv_heads)
        item -= token_blocks(q++) * h->kv_heads;
    size_t kv_head = item % h->kv_heads;
    uint32_t first = (uint32_t)(token_blocks(q) - 1 - item / h->kv_heads) * TOKENS_PER_ITEM;
    uint32_t tokens = q->n_rows - first < TOKENS_PER_ITEM ? q->n_rows - first : TOKENS_PER_ITEM;
    const void **pages = f->threads[thread].pages;
    size_t n_pages = (q->first_position + first + tokens - 1) / HONE_KV_PAGE + 1;
    for (size_t i = 0; i < n_pages; i++)
        pages[i] = head_page(f, q, i, w->layer, kv_head);
    hone_attn t = attn_task(f, q, kv_head, first, tokens, pages);
    hone_attention(f->kt, &t, 0, t.tokens * t.group, f->threads[thread].memory);
}

/* Few long sequences do not fill the threads with (sequence, head) items: their context is then cut
 * into pieces of 1024 positions, computed apart and merged in order. The bits are the same either
 * way. */
typedef struct piece_work {
    hone_forward *f;
    int layer;
    size_t floats; /* of one partial result */
    size_t pieces; /* of the longest sequence */
} piece_work;

static hone_attn piece_task(const piece_work *w, size_t task, int thread, size_t *first,
                            size_t *end)
{
    hone_forward *f = w->f;
    const hone_sequence *q = &f->batch->sequences[task / f->model->hp.kv_heads];
    size_t kv_head = task % f->model->hp.kv_heads;
    const void **pages = f->threads[thread].pages;
    hone_attn t = attn_task(f, q, kv_head, 0, q->n_rows, pages);
    hone_attn_pieces(&t, first, end);
    size_t pages_piece = HONE_ATTN_PIECE / HONE_KV_PAGE;
    size_t n_pages = (q->first_position + q->n_rows - 1) / HONE_KV_PAGE + 1;
    for (size_t i = *first * pages_piece; i < n_pages && i < *end * pages_piece; i++)
        pages[i] = head_page(f, q, i, w->layer, kv_head);
    return t;
}

static float *partial(const piece_work *w, size_t task, size_t piece)
{
    return w->f->partials + (task * w->f->max_pieces + piece) * w->floats;
}

static void piece_item(void *arg, size_t item, int thread)
{
    const piece_work *w = arg;
    size_t first, end, task = item / w->pieces, piece = item % w->pieces;
    hone_attn t = piece_task(w, task, thread, &first, &end);
    if (piece >= first && piece < end)
        w->f->kt->attn_piece(&t, 0, t.tokens * t.group, piece, partial(w, task, piece),
                             w->f->threads[thread].memory);
}

static void merge_item(void *arg, size_t task, int thread)
{
    const piece_work *w = arg;
    size_t first, end;
    hone_attn t = piece_task(w, task, thread, &first, &end);
    for (size_t p = first + 1; p < end; p++)
        w->f->kt->attn_merge(&t, 0, t.tokens * t.group, partial(w, task, first),
                             partial(w, task, p));
    w->f->kt->attn_finish(&t, 0, t.tokens * t.group, partial(w, task, first));
}

/* Pieces of the longest sequence; 0 if whole heads are as well. */
static size_t worth_pieces(const hone_forward *f)
{
    const hone_batch *b = f->batch;
    uint32_t longest = 0;
    if ((size_t)b->n_sequences * f->model->hp.kv_heads > f->max_piece_tasks)
        return 0;
    for (uint32_t s = 0; s < b->n_sequences; s++) {
        if (b->sequences[s].n_rows > 1)
            return 0;
        if (b->sequences[s].first_position > longest)
            longest = b->sequences[s].first_position;
    }
    return longest < 2 * HONE_ATTN_PIECE ? 0 : longest / HONE_ATTN_PIECE + 1;
}

static void attend_pieces(hone_forward *f, int layer, size_t pieces)
{
    size_t group = f->model->hp.heads / f->model->hp.kv_heads;
    piece_work w = {f, layer, group * hone_attn_partial_floats(&f->kv), pieces};
    size_t tasks = f->batch->n_sequences * (size_t)f->model->hp.kv_heads;
    hone_pool_run(f->pool, piece_item, &w, tasks * pieces);
    hone_pool_run(f->pool, merge_item, &w, tasks);
}

static void attend(hone_forward *f, int layer)
{
    const hone_hparams *h = &f->model->hp;
    uint64_t begin = hone_span_begin(f->spans);
    attention_work work = {f, layer};
    size_t items = 0;
    double flops = 0, bytes = 0;
    for (uint32_t s = 0; s < f->batch->n_sequences; s++) {
        const hone_sequence *q = &f->batch->sequences[s];
        items += token_blocks(q) * h->kv_heads;
        double seen = (double)q->n_rows * (q->first_position + (q->n_rows + 1) / 2.0);
        flops += 4 * seen * h->heads * h->head_dim;
        bytes += ((double)q->first_position + q->n_rows) * (double)f->kv_head_bytes / HONE_KV_PAGE *
                 h->kv_heads;
    }
    size_t pieces = worth_pieces(f);
    if (pieces)
        attend_pieces(f, layer, pieces);
    else
        hone_pool_run(f->pool, attention_item, &work, items);
    hone_span_end(f->spans, HONE_SPAN_ATTENTION, layer, begin, flops, bytes);
}

static void attention_forward(hone_forward *f, int layer)
{
    const hone_layer *y = &f->model->layers[layer];
    const hone_hparams *h = &f->model->hp;
    hone_act act;
    int flags = hone_act_flags(&y->q.w) | hone_act_flags(&y->k.w) | hone_act_flags(&y->v.w);
    hone_block_norm(f, y->norm_attention, &y->q.w, flags, layer, &act);
    const hone_product_job in[] = {{&y->q, f->q}, {&y->k, f->k}, {&y->v, f->v}};
    hone_forward_products(f, &act, in, 3, HONE_SPAN_ATTN_QKV, layer);

    uint64_t begin = hone_span_begin(f->spans);
    attention_work work = {f, layer};
    hone_pool_run(f->pool, rope_item, &work, rope_items(f->batch));
    hone_span_end(f->spans, HONE_SPAN_ATTN_ROPE, layer, begin, 0,
                  (double)f->batch->rows * (h->heads + 2.0 * h->kv_heads) * h->head_dim * 4);
    attend(f, layer);

    hone_forward_act(f, f->attended, f->batch->rows, (size_t)h->heads * h->head_dim,
                     hone_act_flags(&y->o.w), &act);
    hone_forward_products(f, &act, &(hone_product_job){&y->o, f->h}, 1, HONE_SPAN_ATTN_OUT, layer);
    hone_block_add(f);
}

const hone_block hone_block_attention = {"attention", attention_forward};
