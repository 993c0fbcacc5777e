/* head - what follows the layers of an encoder: pooler and classifier. */
#include "model/activation.h"
#include "model/block/common.h"

/* y = act(dense(x)), normalised if there is a norm. */
static void dense(hone_forward *f, hone_slot slot, const float *x, uint32_t rows, float *y)
{
    const hone_hparams *h = &f->model->hp;
    const hone_linear *l = hone_model_at(f->model, 0, slot),
                      *norm = hone_model_at(f->model, 0, HONE_SLOT_NORM_DENSE);
    hone_act act;
    hone_forward_act(f, x, rows, l->w.k, hone_linear_flags(l), &act);
    hone_forward_products(f, &act, &(hone_product_job){l, y}, 1, HONE_SPAN_HEAD, -1);
    hone_activation_kernel(h->pooler_activation, f->kt)(y, NULL, rows * l->w.n, y);
    if (slot == HONE_SLOT_DENSE && norm->v)
        hone_block_norm(f, norm, y, rows, l->w.n, y);
}

void hone_forward_pooler(hone_forward *f, const float *pooled, uint32_t rows, float *out)
{
    dense(f, HONE_SLOT_POOLER, pooled, rows, out);
}

void hone_forward_classify(hone_forward *f, const float *pooled, uint32_t rows, float *out)
{
    const hone_linear *l = hone_model_at(f->model, 0, HONE_SLOT_CLASSIFIER);
    hone_act act;
    if (hone_model_at(f->model, 0, HONE_SLOT_DENSE)->w.n) {
        dense(f, HONE_SLOT_DENSE, pooled, rows, f->h);
        pooled = f->h;
    }
    hone_forward_act(f, pooled, rows, l->w.k, hone_linear_flags(l), &act);
    hone_forward_products(f, &act, &(hone_product_job){l, out}, 1, HONE_SPAN_HEAD, -1);
}
