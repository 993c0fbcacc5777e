/*
 * Backward of the MLP. With a = gate(n), u = up(n), m = act(a) * u (ungated: m = act(u)) and
 * h = down(m):
 *
 *     dm = dh W_down                    dW_down = dh^T m
 *     da = dm * u * act'(a),  du = dm * act(a)      (ungated: du = dm * act'(u))
 *     dn = du W_up + da W_gate          dW_up = du^T n,  dW_gate = da^T n
 *
 * m is computed again from a and u.
 */
#include "model/activation.h"
#include "model/block/back.h"

enum { ROWS_PER_ITEM = 16 };

typedef struct activate_work {
    hone_backward *b;
    const hone_activation *activation;
    size_t n, rows;
    bool gated;
    const float *gate, *up, *dm;
    float *m, *da, *du;
} activate_work;

static void again_item(void *arg, size_t item, int thread)
{
    const activate_work *w = arg;
    size_t r0 = item * ROWS_PER_ITEM, r1 = hone_row_end(item, ROWS_PER_ITEM, w->rows),
           at = r0 * w->n;
    (void)thread;
    hone_activation_kernel(w->activation, w->b->kt)((w->gated ? w->gate : w->up) + at,
                                                    w->gated ? w->up + at : NULL, (r1 - r0) * w->n,
                                                    w->m + at);
}

static void back_item(void *arg, size_t item, int thread)
{
    const activate_work *w = arg;
    size_t r0 = item * ROWS_PER_ITEM, r1 = hone_row_end(item, ROWS_PER_ITEM, w->rows),
           at = r0 * w->n, n = (r1 - r0) * w->n;
    hone_activate_back_fn *back = hone_activation_back(w->activation, w->b->kt);
    (void)thread;
    if (w->gated)
        back(w->gate + at, w->up + at, w->dm + at, n, w->da + at, w->du + at);
    else
        back(w->up + at, NULL, w->dm + at, n, w->du + at, NULL);
}

void hone_block_mlp_back(hone_backward *b, int layer, const float *in, const float *dh, float *din)
{
    const hone_layer_kind *kind = hone_kind(&b->f->model->hp, (uint32_t)layer);
    const hone_tape *t = b->f->tape;
    size_t rows = b->f->batch->rows;
    activate_work w = {.b = b,
                       .activation = kind->activation,
                       .n = kind->ffn,
                       .rows = rows,
                       .gated = kind->gated,
                       .gate = t->gate,
                       .up = t->up,
                       .dm = b->wide[1],
                       .m = b->wide[0],
                       .da = b->wide[2],
                       .du = b->wide[3]};
    hone_pool_run(b->f->pool, again_item, &w, hone_row_items(rows, ROWS_PER_ITEM));
    hone_back_linear(b, layer, &(hone_back_job){HONE_SLOT_DOWN, dh}, 1, w.m, rows, b->wide[1]);
    hone_pool_run(b->f->pool, back_item, &w, hone_row_items(rows, ROWS_PER_ITEM));
    const hone_back_job jobs[] = {{HONE_SLOT_UP, w.du}, {HONE_SLOT_GATE, w.da}};
    hone_back_linear(b, layer, jobs, kind->gated ? 2 : 1, in, rows, din);
}
