#include "model/block/common.h"

enum { ROWS_PER_ITEM = 16 };

typedef struct norm_work {
    hone_forward *f;
    const float *weight;
    hone_act *act;
} norm_work;

static void norm_item(void *arg, size_t item, int thread)
{
    norm_work *w = arg;
    hone_forward *f = w->f;
    size_t n = f->model->hp.hidden, r0 = item * ROWS_PER_ITEM,
           r1 = hone_row_end(item, ROWS_PER_ITEM, f->batch->rows);
    (void)thread;
    f->kt->rmsnorm(f->x + r0 * n, n, w->weight, f->model->hp.norm_eps, r1 - r0, n, f->h + r0 * n,
                   n);
    f->kt->act_pack(w->act, f->h, n, r0, r1);
}

void hone_block_norm(hone_forward *f, const float *weight, const hone_packed *w, int flags,
                     int layer, hone_act *act)
{
    uint64_t begin = hone_span_begin(f->spans);
    hone_act_init(f->kt, f->batch->rows, w->k, flags, f->act_memory, act);
    norm_work work = {f, weight, act};
    hone_pool_run(f->pool, norm_item, &work, hone_row_items(f->batch->rows, ROWS_PER_ITEM));
    hone_span_end(f->spans, HONE_SPAN_NORM, layer, begin, 0,
                  (double)f->batch->rows * (double)w->k * 8);
}

static void add_item(void *arg, size_t item, int thread)
{
    hone_forward *f = arg;
    size_t n = f->model->hp.hidden, r0 = item * ROWS_PER_ITEM,
           r1 = hone_row_end(item, ROWS_PER_ITEM, f->batch->rows);
    (void)thread;
    f->kt->add(f->x + r0 * n, f->h + r0 * n, (r1 - r0) * n);
}

void hone_block_add(hone_forward *f)
{
    hone_pool_run(f->pool, add_item, f, hone_row_items(f->batch->rows, ROWS_PER_ITEM));
}
