/* The MLP: down(act(up(n))), or gated down(act(gate(n)) * up(n)) (Shazeer, arXiv:2002.05202). */
#include "model/activation.h"
#include "model/block/back.h"
#include "model/block/common.h"

enum { ROWS_PER_ITEM = 4 };

typedef struct activate_work {
    hone_forward *f;
    hone_act *act;
    hone_activate_fn *activate;
    size_t n;
    bool gated;
} activate_work;

static void activate_item(void *arg, size_t item, int thread)
{
    activate_work *w = arg;
    hone_forward *f = w->f;
    size_t n = w->n, r0 = item * ROWS_PER_ITEM,
           r1 = hone_row_end(item, ROWS_PER_ITEM, f->batch->rows);
    float *row = f->threads[thread].memory; /* in L1 or L2: it is read once, at once */
    for (size_t r = r0; r < r1; r++) {
        const float *in = (w->gated ? f->gate : f->up) + r * n, *up = f->up + r * n;
        w->activate(in, w->gated ? up : NULL, n, row);
        f->kt->act_pack(w->act, row, 0, r, r + 1);
    }
}

static void mlp_needs(const hone_forward *f, const hone_layer_kind *y, size_t *thread_bytes,
                      size_t *shared_bytes)
{
    (void)f;
    *shared_bytes = 0;
    *thread_bytes = y->ffn * sizeof(float);
}

static void mlp_forward(hone_forward *f, int layer, const hone_block_use *use)
{
    const hone_model *m = f->model;
    const hone_layer_kind *kind = hone_kind(&m->hp, (uint32_t)layer);
    const hone_linear *gate = hone_model_at(m, layer, HONE_SLOT_GATE),
                      *up = hone_model_at(m, layer, HONE_SLOT_UP),
                      *down = hone_model_at(m, layer, HONE_SLOT_DOWN);
    hone_act act;
    int flags = hone_act_flags(&up->w) | (kind->gated ? hone_act_flags(&gate->w) : 0);
    hone_block_input(f, layer, use, up->w.k, flags, &act);
    const hone_product_job in[] = {{up, f->up}, {gate, f->gate}};
    hone_forward_products(f, &act, in, kind->gated ? 2 : 1, HONE_SPAN_MLP_UP, layer);

    uint64_t begin = hone_span_begin(f->spans);
    size_t rows = f->batch->rows, n = kind->ffn;
    hone_act_init(f->kt, rows, n, hone_act_flags(&down->w), f->act_memory, &act);
    activate_work work = {f, &act, hone_activation_kernel(kind->activation, f->kt), n, kind->gated};
    hone_pool_run(f->pool, activate_item, &work, hone_row_items(rows, ROWS_PER_ITEM));
    hone_span_end(f->spans, HONE_SPAN_MLP_ACT, layer, begin, 0, (double)rows * (double)n * 12);

    hone_forward_products(f, &act, &(hone_product_job){down, f->h}, 1, HONE_SPAN_MLP_DOWN, layer);
}

const hone_block hone_block_mlp = {.name = "mlp",
                                   .norm = HONE_SLOT_NORM_MLP,
                                   .norm_after = HONE_SLOT_NORM_MLP_AFTER,
                                   .forward = mlp_forward,
                                   .needs = mlp_needs,
                                   .backward = hone_block_mlp_back};
