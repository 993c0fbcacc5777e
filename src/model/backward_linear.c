/* What blocks share on the way back: products, norms, sums over rows. */
#include "base/mem.h"
#include "model/backward.h"
#include "model/backward_parts.h"

#include <assert.h>
#include <string.h>

enum { ROWS_PER_ITEM = 16, K_PER_ITEM = 32, PANELS_PER_ITEM = 4 };

int hone_back_act_flags(const hone_backward *b)
{
    return b->layout == HONE_LAYOUT_F32 ? HONE_ACT_F32 : HONE_ACT_NUMBERS;
}

static hone_packed plan(const hone_backward *b, size_t n, size_t k)
{
    hone_packed w;
    const hone_coding coding = hone_dtype_coding(HONE_DTYPE_F32);
    hone_status s = hone_packed_plan(b->layout, &coding, n, k, &w);
    assert(s == HONE_OK); /* the model's sizes are bounded */
    (void)s;
    return w;
}

size_t hone_back_packed_bytes(const hone_backward *b, size_t n, size_t k)
{
    hone_packed w = plan(b, n, k);
    return hone_packed_bytes(&w);
}

hone_packed hone_back_pack(const hone_backward *b, const float *x, size_t ldx, size_t n, size_t k,
                           bool columns, uint8_t *to)
{
    hone_packed w = plan(b, n, k);
    (columns ? b->kt->pack_columns : b->kt->pack_rows)(&w, x, ldx, 0, w.n_panels, to);
    w.data = to;
    return w;
}

size_t hone_back_part_at(const hone_packed *m, size_t from)
{
    return from * HONE_PANEL * (m->layout == HONE_LAYOUT_F32 ? 4 : 2);
}

hone_packed hone_back_part(const hone_packed *m, size_t from, size_t k)
{
    hone_packed part = *m;
    part.k = k;
    part.k_pad = (k + HONE_K_BLOCK - 1) / HONE_K_BLOCK * HONE_K_BLOCK;
    part.data = m->data ? m->data + hone_back_part_at(m, from) : NULL;
    return part;
}

/* ---- sums over rows -------------------------------------------------------------------------- */

typedef struct sum_work {
    const hone_backward *b;
    const float *x;
    size_t rows, n;
} sum_work;

static void sum_item(void *arg, size_t item, int thread)
{
    const sum_work *w = arg;
    size_t end = hone_row_end(item, HONE_BACK_SUM_ROWS, w->rows);
    float *to = w->b->sums + item * w->n;
    (void)thread;
    memset(to, 0, w->n * sizeof *to);
    for (size_t r = item * HONE_BACK_SUM_ROWS; r < end; r++)
        w->b->kt->add(to, w->x + r * w->n, w->n);
}

/* to[n] += the sum of rows of x, each chunk's by itself and then theirs in order. */
void hone_back_add_rows(hone_backward *b, const float *x, size_t rows, size_t n, float *to)
{
    sum_work w = {b, x, rows, n};
    size_t chunks = hone_row_items(rows, HONE_BACK_SUM_ROWS);
    hone_pool_run(b->f->pool, sum_item, &w, chunks);
    for (size_t i = 0; i < chunks; i++)
        b->kt->add(to, b->sums + i * n, n);
}

/* ---- products -------------------------------------------------------------------------------- */

typedef struct product_work {
    hone_backward *b;
    const hone_act *act;
    const hone_packed *w;
    size_t rows, panels, column_items; /* of an item; items side by side */
    float *y;
    size_t ldy;
    bool add;
} product_work;

/* One tile of the result */
static void product_item(void *arg, size_t item, int thread)
{
    const product_work *w = arg;
    const hone_kernels *kt = w->b->kt;
    const size_t row = item / w->column_items, column = item % w->column_items, r0 = row * w->rows,
                 r1 = hone_row_end(row, w->rows, w->act->rows), p0 = column * w->panels,
                 p1 = hone_row_end(column, w->panels, w->w->n_panels);
    void *scratch = w->b->thread_memory[thread];
    if (w->add)
        hone_product_add(kt, w->w, w->act, r0, r1, p0, p1, w->y, w->ldy, scratch);
    else
        hone_product(kt, w->w, w->act, r0, r1, p0, p1, w->y, w->ldy, NULL, scratch);
}

/* Items as large as the caches hold, but some for each thread. What is added takes whole rows where
 * it can: they lie one after the other. */
void hone_back_product(hone_backward *b, const hone_act *act, const hone_packed *m, float *y,
                       size_t ldy, bool add)
{
    enum { PANELS = 16, WIDE = 48, LEAST_ROWS = 64, EACH = 4 };
    const size_t most = add ? WIDE : PANELS, least = EACH * (size_t)hone_pool_threads(b->f->pool);
    product_work w = {.b = b, .act = act, .w = m, .y = y, .ldy = ldy, .add = add};
    w.panels = m->n_panels < most ? m->n_panels : most;
    w.column_items = hone_row_items(m->n_panels, w.panels);
    w.rows = hone_product_tile_rows(w.panels);
    while (w.rows > LEAST_ROWS && hone_row_items(act->rows, w.rows) * w.column_items < least)
        w.rows = (w.rows / 2 + 31) / 32 * 32;
    hone_pool_run(b->f->pool, product_item, &w, hone_row_items(act->rows, w.rows) * w.column_items);
}

/* What both factors of a product need first: activations packed, the other one packed, too. Columns
 * are taken along K, so that rows are read as they lie. */
typedef struct ready_work {
    const hone_backward *b;
    hone_act *act;
    const float *x; /* [act->rows][act->k] */
    bool x_columns; /* x is [act->k][act->rows] */
    size_t act_items;
    hone_packed w;
    uint8_t *to;         /* where w is packed */
    const float *factor; /* [w.k][w.n], or [w.n][w.k] */
    bool by_rows;        /* the latter */
} ready_work;

static size_t factor_items(const ready_work *w)
{
    return w->by_rows ? hone_row_items(w->w.n_panels, PANELS_PER_ITEM)
                      : hone_row_items(w->w.k, K_PER_ITEM);
}

static void pack_factor(const ready_work *w, size_t item)
{
    const hone_kernels *kt = w->b->kt;
    if (w->by_rows) {
        kt->pack_rows(&w->w, w->factor, w->w.k, item * PANELS_PER_ITEM,
                      hone_row_end(item, PANELS_PER_ITEM, w->w.n_panels), w->to);
        return;
    }
    size_t k0 = item * K_PER_ITEM;
    hone_packed part = hone_back_part(&w->w, k0, hone_row_end(item, K_PER_ITEM, w->w.k) - k0);
    kt->pack_columns(&part, w->factor + k0 * part.n, part.n, 0, part.n_panels,
                     w->to + hone_back_part_at(&w->w, k0));
}

static void ready_item(void *arg, size_t item, int thread)
{
    const ready_work *w = arg;
    const hone_kernels *kt = w->b->kt;
    const size_t k = w->act->k;
    (void)thread;
    if (item >= w->act_items)
        pack_factor(w, item - w->act_items);
    else if (w->x_columns)
        kt->act_columns(w->act, w->x, w->act->rows, item * K_PER_ITEM,
                        hone_row_end(item, K_PER_ITEM, k));
    else
        kt->act_pack(w->act, w->x, k, item * ROWS_PER_ITEM,
                     hone_row_end(item, ROWS_PER_ITEM, w->act->rows));
}

static void make_ready(ready_work *w, bool pack)
{
    w->act_items = w->x_columns ? hone_row_items(w->act->k, K_PER_ITEM)
                                : hone_row_items(w->act->rows, ROWS_PER_ITEM);
    hone_pool_run(w->b->f->pool, ready_item, w, w->act_items + (pack ? factor_items(w) : 0));
    w->w.data = w->to;
}

/* y = (or +=) x W^T, W[n][k] packed from factor[k][n] or, by_rows, [n][k]. */
static void multiply(hone_backward *b, const float *x, size_t rows, size_t k, const float *factor,
                     size_t n, bool by_rows, float *y, bool add)
{
    hone_act act;
    hone_act_init(b->kt, rows, k, hone_back_act_flags(b), b->act, &act);
    ready_work w = {.b = b,
                    .act = &act,
                    .x = x,
                    .w = plan(b, n, k),
                    .to = b->packed,
                    .factor = factor,
                    .by_rows = by_rows};
    make_ready(&w, true);
    hone_back_product(b, &act, &w.w, y, n, add);
}

void hone_back_multiply(hone_backward *b, const float *x, size_t rows, size_t k,
                        const float *factor, size_t n, bool by_rows, float *y)
{
    multiply(b, x, rows, k, factor, n, by_rows, y, false);
}

/* dx = (or +=) dy W */
void hone_back_to_inputs(hone_backward *b, const hone_parameter *p, const float *dy, size_t rows,
                         float *dx, bool add)
{
    multiply(b, dy, rows, p->n, b->weights + p->at, p->k, false, dx, add);
}

/* dx = dy W of the head, whose W is packed for the first chunk of logits. */
static void head_to_inputs(hone_backward *b, const hone_parameter *p, const float *dy, size_t rows,
                           float *dx)
{
    hone_act act;
    hone_act_init(b->kt, rows, p->n, hone_back_act_flags(b), b->act, &act);
    ready_work w = {.b = b,
                    .act = &act,
                    .x = dy,
                    .w = plan(b, p->k, p->n),
                    .to = b->packed_head,
                    .factor = b->weights + p->at};
    make_ready(&w, !b->head_ready);
    b->head_ready = true;
    hone_back_product(b, &act, &w.w, dx, p->k, false);
}

/* The rows of x are packed once for several. */
void hone_back_to_weights(hone_backward *b, const hone_parameter *p, const float *dy,
                          const float *x, size_t rows, bool first, bool add)
{
    hone_act act;
    hone_act_init(b->kt, p->n, rows, hone_back_act_flags(b), b->turned_act, &act);
    ready_work w = {.b = b,
                    .act = &act,
                    .x = dy,
                    .x_columns = true,
                    .w = plan(b, p->k, rows),
                    .to = b->packed,
                    .factor = x};
    make_ready(&w, first);
    hone_back_product(b, &act, &w.w, b->grads + p->at, p->k, add);
}

static const hone_parameter *matrix_of(const hone_backward *b, int layer, hone_slot slot)
{
    const hone_parameter *p = hone_parameter_at(b->p, layer, slot, false);
    if (!p && slot == HONE_SLOT_HEAD) /* tied */
        p = hone_parameter_at(b->p, layer, HONE_SLOT_EMBEDDING, false);
    assert(p);
    return p;
}

void hone_back_linear(hone_backward *b, int layer, const hone_back_job *jobs, size_t n_jobs,
                      const float *x, size_t rows, float *dx)
{
    if (b->f->model->adapter) {
        hone_back_adapted(b, layer, jobs, n_jobs, x, rows, dx);
        return;
    }
    if (jobs[0].slot == HONE_SLOT_HEAD)
        head_to_inputs(b, matrix_of(b, layer, HONE_SLOT_HEAD), jobs[0].dy, rows, dx);
    for (size_t j = 0; j < n_jobs && dx && jobs[j].slot != HONE_SLOT_HEAD; j++)
        hone_back_to_inputs(b, matrix_of(b, layer, jobs[j].slot), jobs[j].dy, rows, dx, j > 0);
    for (size_t j = 0; j < n_jobs; j++) {
        const hone_parameter *p = matrix_of(b, layer, jobs[j].slot),
                             *bias = hone_parameter_at(b->p, layer, jobs[j].slot, true);
        /* of zeros, and only once: what is added to a layer's matrix may as well be written */
        bool add = !b->fresh || jobs[j].slot == HONE_SLOT_HEAD;
        hone_back_to_weights(b, p, jobs[j].dy, x, rows, j == 0, add);
        if (bias)
            hone_back_add_rows(b, jobs[j].dy, rows, p->n, b->grads + bias->at);
    }
}

/* ---- norms ----------------------------------------------------------------------------------- */

typedef struct norm_work {
    hone_backward *b;
    const hone_linear *norm;
    const float *x, *dy;
    float *dx;
    size_t rows, n;
} norm_work;

static void norm_item(void *arg, size_t item, int thread)
{
    const norm_work *w = arg;
    const hone_hparams *h = &w->b->f->model->hp;
    size_t r0 = item * ROWS_PER_ITEM, rows = hone_row_end(item, ROWS_PER_ITEM, w->rows) - r0,
           at = r0 * w->n;
    (void)thread;
    (h->norm == HONE_NORM_RMS ? w->b->kt->rmsnorm_back : w->b->kt->layernorm_back)(
        w->x + at, w->norm->v, h->norm_eps, rows, w->n, w->dy + at, w->dx + at, w->b->spread + at);
}

void hone_back_norm(hone_backward *b, int layer, hone_slot slot, const float *x, size_t rows,
                    size_t n, const float *dy, float *dx)
{
    const hone_parameter *p = hone_parameter_at(b->p, layer, slot, false),
                         *bias = hone_parameter_at(b->p, layer, slot, true);
    norm_work w = {b, hone_model_at(b->f->model, layer, slot), x, dy, dx, rows, n};
    if (bias)
        hone_back_add_rows(b, dy, rows, n, b->grads + bias->at);
    hone_pool_run(b->f->pool, norm_item, &w, hone_row_items(rows, ROWS_PER_ITEM));
    if (p)
        hone_back_add_rows(b, b->spread, rows, n, b->grads + p->at);
}
