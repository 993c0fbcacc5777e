/* The MLP: down(act(up(n))), or gated down(act(gate(n)) * up(n)) (Shazeer, arXiv:2002.05202). */
#include "model/activation.h"
#include "model/block/back.h"
#include "model/block/common.h"

enum { ROWS_PER_ITEM = 4, TILE_PANELS = 16 };

typedef struct mlp_work {
    hone_forward *f;
    const hone_linear *gate, *up; /* gate NULL: act(up) alone */
    const hone_act *in;
    hone_act *act; /* down's input */
    hone_activate_fn *activate;
    size_t n;
    size_t rows, row_items; /* of an item; items of the same columns */
} mlp_work;

/* ---- products, then the activation function -------------------------------------------------- */

static void activate_item(void *arg, size_t item, int thread)
{
    const mlp_work *w = arg;
    hone_forward *f = w->f;
    size_t n = w->n, r0 = item * ROWS_PER_ITEM,
           r1 = hone_row_end(item, ROWS_PER_ITEM, f->batch->rows);
    float *row = f->threads[thread].memory; /* in L1 or L2: it is read once, at once */
    for (size_t r = r0; r < r1; r++) {
        const float *in = (w->gate ? f->gate : f->up) + r * n, *up = f->up + r * n;
        w->activate(in, w->gate ? up : NULL, n, row);
        f->kt->act_pack(w->act, row, 0, r, r + 1);
    }
}

static void apart(mlp_work *w, int flags, int layer)
{
    hone_forward *f = w->f;
    const size_t rows = f->batch->rows;
    const hone_product_job in[] = {{w->up, f->up}, {w->gate, f->gate}};
    hone_forward_products(f, w->in, in, w->gate ? 2 : 1, HONE_SPAN_MLP_UP, layer);
    uint64_t begin = hone_span_begin(f->spans);
    hone_act_init(f->kt, rows, w->n, flags, f->act_memory, w->act);
    hone_pool_run(f->pool, activate_item, w, hone_row_items(rows, ROWS_PER_ITEM));
    hone_span_end(f->spans, HONE_SPAN_MLP_ACT, layer, begin, 0, (double)rows * (double)w->n * 12);
}

/* ---- gate, up and the activation function in one pass ------------------------------------------
 * Many rows of gate's and up's results would go to memory and come back. Instead a tile of each
 * stays in L2, and what is made of them goes to down's input. (Codes of 8 bits need the whole row's
 * scale first: by way of memory, in float32, nothing was gained.) */

/* Rows [r0, r1), at most a tile of them */
static void fused_tile(const mlp_work *w, size_t r0, size_t r1, size_t p0, size_t p1, void *memory)
{
    const hone_kernels *kt = w->f->kt;
    const size_t ld = (p1 - p0) * HONE_PANEL, c0 = p0 * HONE_PANEL,
                 n = w->n - c0 < ld ? w->n - c0 : ld;
    float *up = (float *)(void *)((uint8_t *)memory + hone_product_scratch_bytes()),
          *gate = up + HONE_PRODUCT_TILE;
    hone_product_tile(kt, &w->up->w, w->in, r0, r1, p0, p1, w->up->bias, up, memory);
    hone_product_tile(kt, &w->gate->w, w->in, r0, r1, p0, p1, w->gate->bias, gate, memory);
    for (size_t at = 0; at < (r1 - r0) * ld; at += ld)
        w->activate(gate + at, up + at, n, gate + at);
    kt->act_part(w->act, gate, ld, r0, r1, c0, c0 + ld < w->n ? c0 + ld : w->act->k_pad);
}

static void fused_item(void *arg, size_t item, int thread)
{
    const mlp_work *w = arg;
    const size_t column = item / w->row_items, row = item % w->row_items, p0 = column * TILE_PANELS,
                 p1 = hone_row_end(column, TILE_PANELS, w->up->w.n_panels),
                 end = hone_row_end(row, w->rows, w->in->rows),
                 step = hone_product_tile_rows(TILE_PANELS);
    for (size_t r = row * w->rows; r < end; r += step)
        fused_tile(w, r, end - r < step ? end : r + step, p0, p1, w->f->threads[thread].memory);
}

/* What down reads must fit where f->up would be; a scale per row of activations needs the row
 * whole. */
static bool can_fuse(const mlp_work *w, int flags)
{
    hone_act act;
    const hone_forward *f = w->f;
    const size_t rows = f->batch->rows;
    if (!w->gate || !f->kt->tiles_alone || rows < f->kt->tiles_alone || f->tape ||
        f->kt->products == HONE_PRODUCTS_INT8_ROW || w->gate->adapter || w->gate->order ||
        w->up->adapter || w->up->order)
        return false;
    return hone_act_init(f->kt, rows, w->n, flags, NULL, &act) <= rows * w->n * sizeof(float);
}

static void fused(mlp_work *w, int flags, int layer)
{
    hone_forward *f = w->f;
    const size_t rows = f->batch->rows, columns = hone_row_items(w->up->w.n_panels, TILE_PANELS);
    const double sides = (double)rows * (double)(w->in->k + w->n);
    uint64_t begin = hone_span_begin(f->spans);
    hone_act_init(f->kt, rows, w->n, flags, f->up, w->act);
    w->rows = hone_rows_per_item(f, rows, columns);
    w->row_items = hone_row_items(rows, w->rows);
    hone_pool_run(f->pool, fused_item, w, columns * w->row_items);
    hone_span_end(f->spans, HONE_SPAN_MLP_UP, layer, begin,
                  4 * (double)rows * (double)w->n * (double)w->in->k,
                  (double)(hone_packed_bytes(&w->gate->w) + hone_packed_bytes(&w->up->w)) +
                      2 * sides);
}

/* ---- the block ------------------------------------------------------------------------------- */

static void mlp_needs(const hone_forward *f, const hone_layer_kind *y, size_t *thread_bytes,
                      size_t *shared_bytes)
{
    size_t row = y->ffn * sizeof(float),
           tiles = y->gated && f->kt->tiles_alone ? 2 * HONE_PRODUCT_TILE * sizeof(float) : 0;
    *shared_bytes = 0;
    *thread_bytes = tiles && hone_product_scratch_bytes() + tiles > row
                        ? hone_product_scratch_bytes() + tiles
                        : row;
}

static void mlp_forward(hone_forward *f, int layer, const hone_block_use *use)
{
    const hone_model *m = f->model;
    const hone_layer_kind *kind = hone_kind(&m->hp, (uint32_t)layer);
    const hone_linear *gate = hone_model_at(m, layer, HONE_SLOT_GATE),
                      *up = hone_model_at(m, layer, HONE_SLOT_UP),
                      *down = hone_model_at(m, layer, HONE_SLOT_DOWN);
    hone_act in, act;
    mlp_work w = {.f = f,
                  .gate = kind->gated ? gate : NULL,
                  .up = up,
                  .in = &in,
                  .act = &act,
                  .activate = hone_activation_kernel(kind->activation, f->kt),
                  .n = kind->ffn};
    int flags = hone_linear_flags(up) | (kind->gated ? hone_linear_flags(gate) : 0);
    hone_block_input(f, layer, use, up->w.k, flags, &in);
    const int down_flags = hone_linear_flags(down);
    (can_fuse(&w, down_flags) ? fused : apart)(&w, down_flags, layer);
    hone_forward_products(f, &act, &(hone_product_job){down, f->h}, 1, HONE_SPAN_MLP_DOWN, layer);
}

const hone_block hone_block_mlp = {.name = "mlp",
                                   .norm = HONE_SLOT_NORM_MLP,
                                   .norm_after = HONE_SLOT_NORM_MLP_AFTER,
                                   .forward = mlp_forward,
                                   .needs = mlp_needs,
                                   .backward = hone_block_mlp_back};
