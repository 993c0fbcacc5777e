/*
 * The way back through matrices that stand still, with an adapter beside some of them. Of
 * z = W x + s B A x', x' = dropout(x), y = g * z + bias (LoRA: g = 1; DoRA: g = m / N, N constant):
 *
 *     dm_i = sum over rows of dy_i z_i / N_i         dz = dy * g
 *     u = s A x'      v = s dz B
 *     dB = dz^T u     dA = v^T x'     dx = dz W + dropout'(v A)
 *
 * z is computed again (DoRA), x' and u too. dz W reads W as the forward has it, in codes: 128
 * columns of it are expanded and turned at a time, by each thread, and thrown away. So nothing of
 * W's size exists in numbers, and each code is expanded once for a batch. What is expanded is
 * rounded to bfloat16 where products are (scale times code; the forward scales sums).
 */
#include "model/adapter.h"
#include "model/backward_parts.h"

#include <assert.h>
#include <string.h>

enum { ROWS_PER_ITEM = 16, COLUMNS = HONE_TURNED };

/* ---- dz W ------------------------------------------------------------------------------------ */

typedef struct still_work {
    hone_backward *b;
    const hone_packed *w;
    const hone_act *act; /* of dz [rows][n] */
    float *dx;
    bool add;
    size_t columns; /* of an item */
} still_work;

static size_t expanded_bytes(const hone_backward *b)
{
    const hone_hparams *h = &b->f->model->hp;
    size_t n = h->vocab > h->hidden ? h->vocab : h->hidden;
    for (uint32_t i = 0; i < h->n_kinds; i++) {
        const hone_layer_kind *y = &h->kinds[i];
        size_t q = (size_t)y->heads * y->head_dim;
        n = q > n ? q : n;
        n = y->ffn > n ? y->ffn : n;
    }
    return hone_back_packed_bytes(b, COLUMNS, n);
}

size_t hone_back_adapted_thread_bytes(const hone_backward *b)
{
    return hone_product_add_bytes() + expanded_bytes(b);
}

static void still_item(void *arg, size_t item, int thread)
{
    const still_work *w = arg;
    const hone_backward *b = w->b;
    uint8_t *memory = b->thread_memory[thread];
    uint8_t *turned = memory + hone_product_add_bytes();
    size_t k0 = item * w->columns, k1 = hone_row_end(item, w->columns, w->w->k), ld = w->w->k;
    const hone_coding coding = hone_dtype_coding(HONE_DTYPE_F32);
    hone_packed part;
    hone_status s = hone_packed_plan(b->layout, &coding, k1 - k0, w->w->n, &part);
    assert(s == HONE_OK); /* a part of a matrix that is planned already */
    (void)s;
    part.data = turned;
    hone_pack_turned(b->kt, w->w, k0, &part, turned);
    if (w->add)
        hone_product_add(b->kt, &part, w->act, 0, w->act->rows, 0, part.n_panels, w->dx + k0, ld,
                         memory);
    else
        hone_product(b->kt, &part, w->act, 0, w->act->rows, 0, part.n_panels, w->dx + k0, ld, NULL,
                     memory);
}

typedef struct pack_work {
    const hone_backward *b;
    hone_act *act;
    const float *x;
} pack_work;

static void pack_item(void *arg, size_t item, int thread)
{
    const pack_work *w = arg;
    (void)thread;
    w->b->kt->act_pack(w->act, w->x, w->act->k, item * ROWS_PER_ITEM,
                       hone_row_end(item, ROWS_PER_ITEM, w->act->rows));
}

/* dx = (or +=) dz W */
static void to_inputs(hone_backward *b, const hone_linear *l, const float *dz, size_t rows,
                      float *dx, bool add)
{
    hone_act act;
    hone_act_init(b->kt, rows, l->w.n, hone_back_act_flags(b), b->products, &act);
    pack_work p = {b, &act, dz};
    hone_pool_run(b->f->pool, pack_item, &p, hone_row_items(rows, ROWS_PER_ITEM));
    still_work w = {b, &l->w, &act, dx, add, COLUMNS};
    size_t threads = (size_t)hone_pool_threads(b->f->pool);
    while (w.columns > 2 * HONE_PANEL && hone_row_items(l->w.k, w.columns) < 2 * threads)
        w.columns /= 2;
    hone_pool_run(b->f->pool, still_item, &w, hone_row_items(l->w.k, w.columns));
}

/* ---- the adapter ----------------------------------------------------------------------------- */

typedef struct rows_work {
    const hone_backward *b;
    const hone_low_rank *low;
    const float *bias;
    const float *x, *y;
    float *to;
    size_t rows, n;
} rows_work;

/* to = dy * z / N = dy * (y - bias) / m, by columns; y is in `to`. Where m is 0, so is y - bias. */
static void magnitude_item(void *arg, size_t item, int thread)
{
    const rows_work *w = arg;
    const hone_low_rank *l = w->low;
    const float *m = w->b->weights + l->of->p.list[l->m].at;
    (void)thread;
    for (size_t r = item * ROWS_PER_ITEM; r < hone_row_end(item, ROWS_PER_ITEM, w->rows); r++)
        for (size_t c = 0; c < w->n; c++) {
            float z = w->to[r * w->n + c] - (w->bias ? w->bias[c] : 0.0f);
            w->to[r * w->n + c] = m[c] != 0.0f ? w->x[r * w->n + c] * z / m[c] : 0.0f;
        }
}

static void gain_item(void *arg, size_t item, int thread)
{
    const rows_work *w = arg;
    (void)thread;
    for (size_t r = item * ROWS_PER_ITEM; r < hone_row_end(item, ROWS_PER_ITEM, w->rows); r++)
        for (size_t c = 0; c < w->n; c++)
            w->to[r * w->n + c] = w->x[r * w->n + c] * w->low->gain[c];
}

/* Adds dm; returns dz. */
static const float *magnitude_back(hone_backward *b, int layer, const hone_linear *l,
                                   const hone_act *act, const float *dy, size_t rows)
{
    const hone_low_rank *low = l->adapter;
    rows_work w = {b, low, l->bias, dy, NULL, b->scaled, rows, low->n};
    size_t items = hone_row_items(rows, ROWS_PER_ITEM);
    hone_forward_products(b->f, act, &(hone_product_job){l, b->scaled}, 1, HONE_SPAN_HEAD, layer);
    hone_pool_run(b->f->pool, magnitude_item, &w, items);
    hone_back_add_rows(b, b->scaled, rows, low->n, b->grads + low->of->p.list[low->m].at);
    hone_pool_run(b->f->pool, gain_item, &w, items);
    return b->scaled;
}

/* to[rows][k] = dropout(x), or += dropout'(x) */
static void drop_item(void *arg, size_t item, int thread)
{
    const rows_work *w = arg;
    (void)thread;
    for (size_t r = item * ROWS_PER_ITEM; r < hone_row_end(item, ROWS_PER_ITEM, w->rows); r++)
        hone_low_rank_drop(w->low, w->low->of->first_row + r, w->x + r * w->n, w->to + r * w->n);
}

static void drop(hone_backward *b, const hone_low_rank *l, const float *x, size_t rows, float *to)
{
    rows_work w = {.b = b, .low = l, .x = x, .to = to, .rows = rows, .n = l->k};
    hone_pool_run(b->f->pool, drop_item, &w, hone_row_items(rows, ROWS_PER_ITEM));
}

static void add_item(void *arg, size_t item, int thread)
{
    const rows_work *w = arg;
    size_t at = item * ROWS_PER_ITEM * w->n,
           end = hone_row_end(item, ROWS_PER_ITEM, w->rows) * w->n;
    (void)thread;
    w->b->kt->add(w->to + at, w->x + at, end - at);
}

static void scale_item(void *arg, size_t item, int thread)
{
    const rows_work *w = arg;
    size_t at = item * ROWS_PER_ITEM * w->n,
           end = hone_row_end(item, ROWS_PER_ITEM, w->rows) * w->n;
    (void)thread;
    w->b->kt->scale(w->to + at, w->low->scale, end - at);
}

/* Adds dA and dB, and to dx what comes through the adapter. act: x[rows][k] packed. */
static void low_rank_back(hone_backward *b, const hone_low_rank *l, const hone_act *act,
                          const float *x, const float *dz, size_t rows, float *dx)
{
    const hone_parameter *down = &l->of->p.list[l->a], *up = &l->of->p.list[l->b];
    size_t items = hone_row_items(rows, ROWS_PER_ITEM);
    bool drops = hone_low_rank_drops(l);
    hone_forward_down(b->f, act, &l, 1);
    hone_back_matrices(b, &(hone_back_matrix){.p = up, .dy = dz, .add = true}, 1, b->f->low[0],
                       rows, b->low, false);
    rows_work w = {.b = b, .low = l, .to = b->low, .rows = rows, .n = l->rank};
    hone_pool_run(b->f->pool, scale_item, &w, items);
    if (drops)
        drop(b, l, x, rows, b->dropped);
    float *to = dx && drops ? b->dropped : dx;
    hone_back_matrices(b, &(hone_back_matrix){.p = down, .dy = b->low, .add = true}, 1,
                       drops ? b->dropped : x, rows, to, !drops);
    if (!dx || !drops)
        return;
    drop(b, l, b->dropped, rows, b->dropped);
    rows_work sum = {.b = b, .x = b->dropped, .to = dx, .rows = rows, .n = l->k};
    hone_pool_run(b->f->pool, add_item, &sum, items);
}

void hone_back_adapted(hone_backward *b, int layer, const hone_back_job *jobs, size_t n_jobs,
                       const float *x, size_t rows, float *dx)
{
    hone_act act;
    int flags = 0;
    bool adapted = false;
    for (size_t j = 0; j < n_jobs; j++) {
        const hone_linear *l = hone_model_at(b->f->model, layer, jobs[j].slot);
        flags |= hone_linear_flags(l);
        adapted |= l->adapter != NULL;
    }
    if (adapted)
        hone_forward_act(b->f, x, (uint32_t)rows,
                         hone_model_at(b->f->model, layer, jobs[0].slot)->w.k, flags, &act);
    for (size_t j = 0; j < n_jobs; j++) {
        const hone_linear *l = hone_model_at(b->f->model, layer, jobs[j].slot);
        const float *dz = jobs[j].dy;
        if (l->adapter && l->adapter->gain)
            dz = magnitude_back(b, layer, l, &act, dz, rows);
        if (dx)
            to_inputs(b, l, dz, rows, dx, j > 0);
        if (l->adapter)
            low_rank_back(b, l->adapter, &act, x, dz, rows, dx);
    }
}
