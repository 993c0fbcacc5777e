/* The gated MLP: x += down(silu(gate(n)) * up(n)), n = rmsnorm(x)  (Shazeer, arXiv:2002.05202,
 * SwiGLU). */
#include "model/block/common.h"

enum { ROWS_PER_ITEM = 4 };

typedef struct silu_work {
    hone_forward *f;
    hone_act *act;
} silu_work;

static void silu_item(void *arg, size_t item, int thread)
{
    silu_work *w = arg;
    hone_forward *f = w->f;
    size_t n = f->model->hp.ffn, r0 = item * ROWS_PER_ITEM,
           r1 = hone_row_end(item, ROWS_PER_ITEM, f->batch->rows);
    (void)thread;
    f->kt->silu_mul(f->gate + r0 * n, f->up + r0 * n, (r1 - r0) * n, f->gate + r0 * n);
    f->kt->act_pack(w->act, f->gate, n, r0, r1);
}

static void mlp_forward(hone_forward *f, int layer)
{
    const hone_layer *y = &f->model->layers[layer];
    hone_act act;
    hone_block_norm(f, y->norm_mlp, &y->gate.w,
                    hone_act_flags(&y->gate.w) | hone_act_flags(&y->up.w), layer, &act);
    const hone_product_job in[] = {{&y->gate, f->gate}, {&y->up, f->up}};
    hone_forward_products(f, &act, in, 2, HONE_SPAN_MLP_UP, layer);

    uint64_t begin = hone_span_begin(f->spans);
    hone_act_init(f->kt, f->batch->rows, f->model->hp.ffn, hone_act_flags(&y->down.w),
                  f->act_memory, &act);
    silu_work work = {f, &act};
    hone_pool_run(f->pool, silu_item, &work, hone_row_items(f->batch->rows, ROWS_PER_ITEM));
    hone_span_end(f->spans, HONE_SPAN_MLP_ACT, layer, begin, 0,
                  (double)f->batch->rows * f->model->hp.ffn * 12);

    hone_forward_products(f, &act, &(hone_product_job){&y->down, f->h}, 1, HONE_SPAN_MLP_DOWN,
                          layer);
    hone_block_add(f);
}

const hone_block hone_block_mlp = {"mlp", mlp_forward};
