/* The products of a step: activations packed, matrices multiplied with them, and what an adapter
 * (model/adapter.h) adds beside a matrix. */
#include "model/adapter.h"
#include "model/forward.h"

#include <string.h>

enum { ROWS_PER_ITEM = 16, LOW_ROWS = 64, TILE_ROWS = 256, TILE_PANELS = 48 };

typedef struct act_work {
    hone_forward *f;
    hone_act *act;
    const float *x;
    size_t k;
} act_work;

static void act_item(void *arg, size_t item, int thread)
{
    act_work *w = arg;
    (void)thread;
    w->f->kt->act_pack(w->act, w->x, w->k, item * ROWS_PER_ITEM,
                       hone_row_end(item, ROWS_PER_ITEM, w->act->rows));
}

void hone_forward_act(hone_forward *f, const float *x, uint32_t rows, size_t k, int flags,
                      hone_act *act)
{
    hone_act_init(f->kt, rows, k, flags, f->act_memory, act);
    act_work w = {f, act, x, k};
    hone_pool_run(f->pool, act_item, &w, hone_row_items(rows, ROWS_PER_ITEM));
}

/* ---- sums of products ------------------------------------------------------------------------ */

size_t hone_product_add_bytes(void)
{
    return hone_product_scratch_bytes() + HONE_PRODUCT_TILE * sizeof(float);
}

void hone_product_tile(const hone_kernels *kt, const hone_packed *w, const hone_act *act, size_t r0,
                       size_t r1, size_t p0, size_t p1, const float *bias, float *tile,
                       void *scratch)
{
    const size_t ld = (p1 - p0) * HONE_PANEL;
    /* where the whole result would begin, of which this is the tile */
    uintptr_t begin = (uintptr_t)tile - (r0 * ld + p0 * HONE_PANEL) * sizeof *tile;
    hone_act near = *act;
    near.near = true;
    hone_product(kt, w, &near, r0, r1, p0, p1, (float *)begin, ld, bias, scratch);
}

size_t hone_product_tile_rows(size_t panels)
{
    size_t rows = HONE_PRODUCT_TILE / (panels * HONE_PANEL) / 32 * 32;
    return rows < TILE_ROWS ? rows : TILE_ROWS;
}

/* By a tile in the thread's own memory */
static void add_tile(const hone_kernels *kt, const hone_packed *w, const hone_act *act, size_t r0,
                     size_t r1, size_t p0, size_t p1, float *y, size_t ldy, void *scratch)
{
    size_t c0 = p0 * HONE_PANEL, c1 = p1 * HONE_PANEL < w->n ? p1 * HONE_PANEL : w->n,
           ld = (p1 - p0) * HONE_PANEL;
    float *tile = (float *)(void *)((uint8_t *)scratch + hone_product_scratch_bytes());
    hone_product_tile(kt, w, act, r0, r1, p0, p1, NULL, tile, scratch);
    for (size_t r = r0; r < r1; r++)
        kt->add(y + r * ldy + c0, tile + (r - r0) * ld, c1 - c0);
}

void hone_product_add(const hone_kernels *kt, const hone_packed *w, const hone_act *act, size_t r0,
                      size_t r1, size_t p0, size_t p1, float *y, size_t ldy, void *scratch)
{
    const size_t panels = p1 - p0 < TILE_PANELS ? p1 - p0 : TILE_PANELS;
    const size_t rows = panels ? hone_product_tile_rows(panels) : 0;
    for (size_t r = r0; panels && r < r1; r += rows)
        for (size_t p = p0; p < p1; p += panels)
            add_tile(kt, w, act, r, r1 - r < rows ? r1 : r + rows, p,
                     p1 - p < panels ? p1 : p + panels, y, ldy, scratch);
}

/* ---- adapters -------------------------------------------------------------------------------- */

size_t hone_forward_low_bytes(const hone_forward *f)
{
    const hone_adapter *a = f->model->adapter;
    if (!a)
        return 0;
    size_t dropped =
        LOW_ROWS * a->widest * sizeof(float) + hone_act_bytes(f->kt, LOW_ROWS, a->widest, ~0);
    return hone_product_add_bytes() + (a->o.dropout > 0 ? dropped : 0);
}

typedef struct down_work {
    hone_forward *f;
    const hone_act *act;
    const hone_low_rank *const *lows; /* NULL: none there */
    size_t n, items;                  /* items: of each */
} down_work;

/* Rows [r0, r1) of u = A dropout(x), at their places. */
static void multiply_down(const down_work *w, const hone_low_rank *l, size_t r0, size_t r1,
                          float *u, void *scratch)
{
    const hone_kernels *kt = w->f->kt;
    if (!hone_low_rank_drops(l)) {
        hone_product(kt, &l->down, w->act, r0, r1, 0, l->down.n_panels, u, l->rank, NULL, scratch);
        return;
    }
    float *x = (float *)(void *)((uint8_t *)scratch + hone_product_add_bytes());
    hone_act act;
    hone_act_init(kt, r1 - r0, l->k, hone_act_flags(&l->down), x + LOW_ROWS * l->of->widest, &act);
    for (size_t r = r0; r < r1; r++) {
        float *row = x + (r - r0) * l->k;
        for (size_t k = 0; k < l->k; k++)
            row[k] = hone_act_at(w->act, r, k);
        hone_low_rank_drop(l, l->of->first_row + r, row, row);
    }
    kt->act_pack(&act, x, l->k, 0, r1 - r0);
    hone_product(kt, &l->down, &act, 0, r1 - r0, 0, l->down.n_panels, u + r0 * l->rank, l->rank,
                 NULL, scratch);
}

static void down_item(void *arg, size_t item, int thread)
{
    const down_work *w = arg;
    hone_forward *f = w->f;
    size_t i = item / w->items, r0 = item % w->items * LOW_ROWS,
           r1 = hone_row_end(item % w->items, LOW_ROWS, w->act->rows);
    const hone_low_rank *l = w->lows[i];
    hone_act low;
    if (!l)
        return;
    multiply_down(w, l, r0, r1, f->low[i], f->threads[thread].memory);
    f->kt->scale(f->low[i] + r0 * l->rank, l->scale, (r1 - r0) * l->rank);
    hone_act_init(f->kt, w->act->rows, l->rank, hone_act_flags(&l->up), f->low_act[i], &low);
    f->kt->act_pack(&low, f->low[i], l->rank, r0, r1);
}

void hone_forward_down(hone_forward *f, const hone_act *act, const hone_low_rank *const *lows,
                       size_t n)
{
    down_work w = {f, act, lows, n, hone_row_items(act->rows, LOW_ROWS)};
    hone_pool_run(f->pool, down_item, &w, n * w.items);
}

/* What an adapter makes of columns of y, which hold W x (LoRA: + bias). */
static void finish_columns(hone_forward *f, const hone_linear *l, size_t i, size_t rows, size_t p0,
                           size_t p1, float *y, void *scratch)
{
    const hone_low_rank *low = l->adapter;
    size_t n = l->w.n, c0 = p0 * HONE_PANEL, c1 = p1 * HONE_PANEL < n ? p1 * HONE_PANEL : n;
    hone_act act;
    hone_act_init(f->kt, rows, low->rank, hone_act_flags(&low->up), f->low_act[i], &act);
    hone_product_add(f->kt, &low->up, &act, 0, rows, p0, p1, y, n, scratch);
    for (size_t r = 0; r < rows && low->gain; r++)
        for (size_t c = c0; c < c1; c++) {
            float g = y[r * n + c] * low->gain[c];
            y[r * n + c] = l->bias ? g + l->bias[c] : g;
        }
}

/* ---- products ------------------------------------------------------------------------------- */

typedef struct product_work {
    hone_forward *f;
    const hone_act *act;
    const hone_product_job *jobs;
    size_t n_jobs;
    size_t first_item[HONE_PRODUCT_JOBS + 1];
    size_t panels[HONE_PRODUCT_JOBS]; /* per item */
    size_t rows, row_items;           /* per item; items of the same panels, one after the other */
} product_work;

/* For a worker that may be kept off its CPU: whatever else it reads it copies first, and the result
 * is its own until it is known to be wanted. */
static void product_lent(const product_work *w, const hone_product_job *job, size_t p0, size_t p1,
                         size_t item, int thread)
{
    hone_forward *f = w->f;
    const hone_act act = *w->act;
    hone_packed part = job->linear->w;
    const float *bias = job->linear->bias ? job->linear->bias + p0 * HONE_PANEL : NULL;
    float *result = f->threads[thread].result, *y = job->y + p0 * HONE_PANEL;
    size_t ldy = part.n;
    part.n = (p1 * HONE_PANEL < part.n ? p1 * HONE_PANEL : part.n) - p0 * HONE_PANEL;
    part.n_panels = p1 - p0;
    part.data += p0 * part.panel_bytes;
    hone_pool_lend(f->pool, item, thread);
    hone_product(f->kt, &part, &act, 0, act.rows, 0, part.n_panels, result, part.n, bias,
                 f->threads[thread].memory);
    if (!hone_pool_reclaim(f->pool, thread))
        return;
    for (size_t r = 0; r < act.rows; r++)
        memcpy(y + r * ldy, result + r * part.n, part.n * sizeof *y);
}

static void product_item(void *arg, size_t item, int thread)
{
    product_work *w = arg;
    size_t j = 0;
    while (item >= w->first_item[j + 1])
        j++;
    const hone_linear *l = w->jobs[j].linear;
    size_t at = item - w->first_item[j], p0 = at / w->row_items * w->panels[j],
           p1 = hone_row_end(at / w->row_items, w->panels[j], l->w.n_panels),
           r0 = at % w->row_items * w->rows,
           r1 = hone_row_end(at % w->row_items, w->rows, w->act->rows);
    if (thread > 0 && !l->adapter && w->row_items == 1 &&
        w->act->rows * (p1 - p0) <= HONE_RESULT_PANELS && hone_pool_careful(w->f->pool)) {
        product_lent(w, &w->jobs[j], p0, p1, item, thread);
        return;
    }
    void *scratch = w->f->threads[thread].memory;
    bool gain = l->adapter && l->adapter->gain;
    hone_product(w->f->kt, &l->w, w->act, r0, r1, p0, p1, w->jobs[j].y, l->w.n,
                 gain ? NULL : l->bias, scratch);
    if (l->adapter)
        finish_columns(w->f, l, j, w->act->rows, p0, p1, w->jobs[j].y, scratch);
}

/* Panels that one item takes: a few rows want pieces of some 128 KB of weights (microseconds, so
 * that a foreign thread costs little); many rows want pieces of some ten million operations. */
static size_t panels_per_item(const hone_kernels *kt, const hone_packed *w, size_t rows)
{
    bool few = rows <= HONE_FEW_ROWS;
    size_t n =
        few ? (128 << 10) / w->panel_bytes : (size_t)2e7 / (2 * HONE_PANEL * w->k_pad * rows);
    size_t least = few ? 4 : kt->many_panels;
    n &= ~(size_t)3;
    return n < least ? least : n;
}

size_t hone_rows_per_item(const hone_forward *f, size_t rows, size_t items)
{
    enum { EACH = 4, LEAST_ROWS = 64 };
    const size_t wanted = EACH * (size_t)hone_pool_threads(f->pool);
    if (items < wanted && rows >= 2 * LEAST_ROWS)
        rows = (rows * items / wanted + LEAST_ROWS - 1) / LEAST_ROWS * LEAST_ROWS;
    if (items < 2 * wanted && rows > TILE_ROWS) /* pieces of so many cost nothing */
        rows = TILE_ROWS;
    return rows ? rows : 1;
}

/* Many rows of small matrices are split, too. What adapters add is added to all rows at once. */
static void split_rows(const hone_forward *f, product_work *w, size_t items)
{
    bool whole = false;
    for (size_t j = 0; j < w->n_jobs; j++)
        whole |= w->jobs[j].linear->adapter != NULL;
    w->rows = hone_rows_per_item(f, w->act->rows, whole ? SIZE_MAX : items);
    w->row_items = hone_row_items(w->act->rows, w->rows);
}

/* What the adapters of some products make of their input; plain: in the order of the stream. */
static double run_down(hone_forward *f, const hone_act *plain, const hone_product_job *jobs,
                       size_t n_jobs)
{
    const hone_low_rank *lows[HONE_PRODUCT_JOBS];
    double flops = 0;
    for (size_t j = 0; j < n_jobs; j++) {
        const hone_low_rank *l = lows[j] = jobs[j].linear->adapter;
        if (l)
            flops += 2 * (double)plain->rows * (double)l->rank * (double)(l->n + l->k);
    }
    if (flops > 0)
        hone_forward_down(f, plain, lows, n_jobs);
    return flops;
}

/* Products of the same activations, all at once. */
static void run_products(hone_forward *f, const hone_act *plain, const hone_act *act,
                         const hone_product_job *jobs, size_t n_jobs, hone_span_kind span,
                         int layer)
{
    uint64_t begin = hone_span_begin(f->spans);
    product_work w = {.f = f, .act = act, .jobs = jobs, .n_jobs = n_jobs};
    double flops = run_down(f, plain, jobs, n_jobs), bytes = 0;
    for (size_t j = 0; j < n_jobs; j++) {
        const hone_packed *p = &jobs[j].linear->w;
        w.panels[j] = panels_per_item(f->kt, p, act->rows);
        w.first_item[j + 1] = w.first_item[j] + hone_row_items(p->n_panels, w.panels[j]);
        hone_cost cost = hone_product_cost(p, act->rows);
        flops += cost.flops;
        bytes += cost.bytes;
    }
    split_rows(f, &w, w.first_item[n_jobs]);
    for (size_t j = 0; j < n_jobs; j++)
        w.first_item[j + 1] *= w.row_items;
    hone_pool_run(f->pool, product_item, &w, w.first_item[n_jobs]);
    hone_span_end(f->spans, span, layer, begin, flops, bytes);
}

typedef struct order_work {
    hone_forward *f;
    const hone_act *from;
    const uint32_t *order;
    hone_act *to;
} order_work;

static void order_item(void *arg, size_t item, int thread)
{
    const order_work *w = arg;
    size_t k = w->from->k, r0 = item * ROWS_PER_ITEM,
           r1 = hone_row_end(item, ROWS_PER_ITEM, w->from->rows);
    (void)thread;
    for (size_t r = r0; r < r1; r++)
        for (size_t i = 0; i < k; i++)
            w->f->ordered[r * k + i] = hone_act_at(w->from, r, w->order[i]);
    w->f->kt->act_pack(w->to, w->f->ordered, k, r0, r1);
}

/* The activations in another order of columns. They were rounded already; again changes nothing. */
static void order_act(hone_forward *f, const hone_act *act, const uint32_t *order, hone_act *out)
{
    uint64_t begin = hone_span_begin(f->spans);
    hone_act_init(f->kt, act->rows, act->k, act->flags, f->ordered_act_memory, out);
    order_work w = {f, act, order, out};
    hone_pool_run(f->pool, order_item, &w, hone_row_items(act->rows, ROWS_PER_ITEM));
    hone_span_end(f->spans, HONE_SPAN_NORM, -1, begin, 0, (double)act->rows * (double)act->k * 8);
}

void hone_forward_products(hone_forward *f, const hone_act *act, const hone_product_job *jobs,
                           size_t n_jobs, hone_span_kind span, int layer)
{
    for (size_t a = 0, b; a < n_jobs; a = b) { /* neighbours with the same order together */
        const uint32_t *order = jobs[a].linear->order;
        hone_act ordered;
        for (b = a + 1; b < n_jobs && jobs[b].linear->order == order;)
            b++;
        if (order)
            order_act(f, act, order, &ordered);
        run_products(f, act, order ? &ordered : act, jobs + a, b - a, span, layer);
    }
}
