#include "model/block/common.h"

enum { ROWS_PER_ITEM = 16 };

void hone_block_norm(const hone_forward *f, const hone_linear *norm, const float *x, size_t rows,
                     size_t n, float *y)
{
    const hone_hparams *h = &f->model->hp;
    if (h->norm == HONE_NORM_RMS)
        f->kt->rmsnorm(x, n, norm->v, h->norm_eps, rows, n, y, n);
    else
        f->kt->layernorm(x, n, norm->v, norm->bias, h->norm_eps, rows, n, y, n);
}

typedef struct input_work {
    hone_forward *f;
    const hone_linear *norm; /* NULL = none */
    hone_act *act;
} input_work;

static void input_item(void *arg, size_t item, int thread)
{
    input_work *w = arg;
    hone_forward *f = w->f;
    size_t n = f->model->hp.hidden, r0 = item * ROWS_PER_ITEM,
           r1 = hone_row_end(item, ROWS_PER_ITEM, f->batch->rows);
    float *row = f->threads[thread].memory; /* in L1 */
    for (size_t r = r0; w->norm && r < r1; r++) {
        hone_block_norm(f, w->norm, f->x + r * n, 1, n, row);
        f->kt->act_pack(w->act, row, 0, r, r + 1);
    }
    if (!w->norm)
        f->kt->act_pack(w->act, f->x, n, r0, r1);
}

void hone_block_input(hone_forward *f, int layer, const hone_block_use *use, size_t k, int flags,
                      hone_act *act)
{
    uint64_t begin = hone_span_begin(f->spans);
    hone_act_init(f->kt, f->batch->rows, k, flags, f->act_memory, act);
    input_work work = {f, NULL, act};
    if (use->norms & HONE_NORM_INPUT)
        work.norm = hone_model_at(f->model, layer, use->block->norm);
    hone_pool_run(f->pool, input_item, &work, hone_row_items(f->batch->rows, ROWS_PER_ITEM));
    hone_span_end(f->spans, HONE_SPAN_NORM, layer, begin, 0,
                  (double)f->batch->rows * (double)k * 8);
}

void hone_block_qkv(hone_forward *f, int layer, const hone_block_use *use)
{
    const hone_linear *q = hone_model_at(f->model, layer, HONE_SLOT_Q),
                      *k = hone_model_at(f->model, layer, HONE_SLOT_K),
                      *v = hone_model_at(f->model, layer, HONE_SLOT_V);
    hone_act act;
    int flags = hone_linear_flags(q) | hone_linear_flags(k) | hone_linear_flags(v);
    hone_block_input(f, layer, use, q->w.k, flags, &act);
    const hone_product_job in[] = {{q, f->q}, {k, f->k}, {v, f->v}};
    hone_forward_products(f, &act, in, 3, HONE_SPAN_ATTN_QKV, layer);
}

void hone_block_attention_out(hone_forward *f, int layer)
{
    const hone_linear *o = hone_model_at(f->model, layer, HONE_SLOT_O);
    hone_act act;
    hone_forward_act(f, f->attended, f->batch->rows, o->w.k, hone_linear_flags(o), &act);
    hone_forward_products(f, &act, &(hone_product_job){o, f->h}, 1, HONE_SPAN_ATTN_OUT, layer);
}
