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

size_t hone_back_packed_bytes(const hone_backward *b, size_t n, size_t k)
{
    hone_packed w = hone_packed_plain(b->layout, n, k);
    return hone_packed_bytes(&w);
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

/* How a result is cut into items: rows x panels of each, and how many there are side by side */
typedef struct tiles {
    size_t rows, panels, across, items;
} tiles;

/* As large as the caches hold, but some for each thread. What is added takes whole rows where it
 * can: they lie one after the other. */
static tiles cut_tiles(const hone_backward *b, size_t rows, size_t n_panels, bool add)
{
    enum { PANELS = 16, WIDE = 48, LEAST_ROWS = 64, EACH = 4 };
    const size_t most = add ? WIDE : PANELS, least = EACH * (size_t)hone_pool_threads(b->f->pool);
    tiles t = {.panels = n_panels < most ? n_panels : most};
    t.across = hone_row_items(n_panels, t.panels);
    t.rows = hone_product_tile_rows(t.panels);
    while (t.rows > LEAST_ROWS && hone_row_items(rows, t.rows) * t.across < least)
        t.rows = (t.rows / 2 + 31) / 32 * 32;
    t.items = hone_row_items(rows, t.rows) * t.across;
    return t;
}

static void tile_item(const hone_backward *b, const tiles *t, size_t item, const hone_act *act,
                      const hone_packed *m, float *y, size_t ldy, bool add, int thread)
{
    const size_t row = item / t->across, column = item % t->across, r0 = row * t->rows,
                 r1 = hone_row_end(row, t->rows, act->rows), p0 = column * t->panels,
                 p1 = hone_row_end(column, t->panels, m->n_panels);
    void *scratch = b->thread_memory[thread];
    if (add)
        hone_product_add(b->kt, m, act, r0, r1, p0, p1, y, ldy, scratch);
    else
        hone_product(b->kt, m, act, r0, r1, p0, p1, y, ldy, NULL, scratch);
}

/* A factor[k][n] or, by_rows, [n][k] on its way to a second factor w. Columns are taken along K, so
 * that rows are read as they lie. */
typedef struct factor {
    hone_packed w;
    const float *x;
    uint8_t *to;
    bool by_rows;
} factor;

static factor factor_at(const hone_backward *b, size_t n, size_t k, void *base, size_t *at)
{
    factor f = {.w = hone_packed_plain(b->layout, n, k)};
    f.w.data = f.to = hone_cut(base, at, hone_packed_bytes(&f.w));
    return f;
}

static size_t factor_items(const factor *f)
{
    return f->by_rows ? hone_row_items(f->w.n_panels, PANELS_PER_ITEM)
                      : hone_row_items(f->w.k, K_PER_ITEM);
}

static void pack_factor(const hone_backward *b, const factor *f, size_t item)
{
    if (f->by_rows) {
        b->kt->pack_rows(&f->w, f->x, f->w.k, item * PANELS_PER_ITEM,
                         hone_row_end(item, PANELS_PER_ITEM, f->w.n_panels), f->to);
        return;
    }
    size_t k0 = item * K_PER_ITEM;
    hone_packed part = hone_packed_part(&f->w, k0, hone_row_end(item, K_PER_ITEM, f->w.k) - k0);
    b->kt->pack_columns(&part, f->x + k0 * part.n, part.n, 0, part.n_panels,
                        f->to + hone_packed_part_at(&f->w, k0));
}

static void act_at(const hone_backward *b, size_t rows, size_t k, void *base, size_t *at,
                   hone_act *act)
{
    const int flags = hone_back_act_flags(b);
    void *memory = hone_cut(base, at, hone_act_bytes(b->kt, rows, k, flags));
    if (memory)
        hone_act_init(b->kt, rows, k, flags, memory, act);
}

/* ---- y = x F --------------------------------------------------------------------------------- */

typedef struct multiply_work {
    const hone_backward *b;
    hone_act act;
    factor f;
    const float *x;
    float *y;
    tiles t;
} multiply_work;

static size_t lay_multiply(const hone_backward *b, size_t rows, size_t k, size_t n, void *base,
                           multiply_work *w)
{
    size_t at = 0;
    act_at(b, rows, k, base, &at, &w->act);
    w->f = factor_at(b, n, k, base, &at);
    return at;
}

size_t hone_back_multiply_bytes(const hone_backward *b, size_t rows, size_t k, size_t n)
{
    multiply_work w;
    return lay_multiply(b, rows, k, n, NULL, &w);
}

static void multiply_ready(void *arg, size_t item, int thread)
{
    multiply_work *w = arg;
    const size_t packed = factor_items(&w->f);
    (void)thread;
    if (item < packed)
        pack_factor(w->b, &w->f, item);
    else
        w->b->kt->act_pack(&w->act, w->x, w->act.k, (item - packed) * ROWS_PER_ITEM,
                           hone_row_end(item - packed, ROWS_PER_ITEM, w->act.rows));
}

static void multiply_item(void *arg, size_t item, int thread)
{
    const multiply_work *w = arg;
    tile_item(w->b, &w->t, item, &w->act, &w->f.w, w->y, w->f.w.n, false, thread);
}

void hone_back_multiply(hone_backward *b, const float *x, size_t rows, size_t k, const float *f,
                        size_t n, bool by_rows, float *y)
{
    multiply_work w = {.b = b, .x = x, .y = y};
    lay_multiply(b, rows, k, n, b->products, &w);
    w.f.x = f;
    w.f.by_rows = by_rows;
    w.t = cut_tiles(b, rows, w.f.w.n_panels, false);
    hone_pool_run(b->f->pool, multiply_ready, &w,
                  factor_items(&w.f) + hone_row_items(rows, ROWS_PER_ITEM));
    hone_pool_run(b->f->pool, multiply_item, &w, w.t.items);
}

/* ---- dx and dW of matrices that share their inputs ------------------------------------------- */

enum { JOBS = 3 };

typedef struct matrix_job {
    hone_back_matrix m;
    hone_act dy, turned; /* dy[rows][n], and dy^T */
    factor w;            /* W[n][k] for dx */
    bool packed;         /* it is already */
    tiles to;            /* of dW */
} matrix_job;

typedef struct matrices_work {
    const hone_backward *b;
    matrix_job jobs[JOBS];
    size_t n_jobs, rows, k;
    factor x; /* x[rows][k] for dW */
    float *dx;
    bool add;
    tiles to; /* of dx */
} matrices_work;

/* Lays factors and activations out, with base NULL to learn the size; the head's W is elsewhere. */
static size_t lay_matrices(const hone_backward *b, const size_t *n, size_t n_jobs, size_t k,
                           size_t rows, bool head, void *base, matrices_work *w)
{
    size_t at = 0;
    w->x = factor_at(b, k, rows, base, &at);
    for (size_t j = 0; j < n_jobs; j++) {
        act_at(b, rows, n[j], base, &at, &w->jobs[j].dy);
        act_at(b, n[j], rows, base, &at, &w->jobs[j].turned);
        if (!head)
            w->jobs[j].w = factor_at(b, k, n[j], base, &at);
    }
    return at;
}

size_t hone_back_matrices_bytes(const hone_backward *b, const size_t *n, size_t n_jobs, size_t k,
                                size_t rows, bool head)
{
    matrices_work w;
    return lay_matrices(b, n, n_jobs, k, rows, head, NULL, &w);
}

static void ready_rows(const matrices_work *w, matrix_job *j, size_t item)
{
    const size_t r0 = item * K_PER_ITEM, r1 = hone_row_end(item, K_PER_ITEM, w->rows);
    if (w->dx)
        w->b->kt->act_pack(&j->dy, j->m.dy, j->dy.k, r0, r1);
    w->b->kt->act_columns(&j->turned, j->m.dy, j->dy.k, r0, r1);
}

static size_t weight_items(const matrices_work *w, const matrix_job *j)
{
    return w->dx && !j->packed ? factor_items(&j->w) : 0;
}

/* Both factors of all products; what is read serves both ways that need it. */
static void matrices_ready(void *arg, size_t item, int thread)
{
    matrices_work *w = arg;
    const size_t blocks = hone_row_items(w->rows, K_PER_ITEM);
    (void)thread;
    for (matrix_job *j = w->jobs; j < w->jobs + w->n_jobs; j++) {
        const size_t weights = weight_items(w, j);
        if (item < blocks) {
            ready_rows(w, j, item);
            return;
        }
        item -= blocks;
        if (item < weights) {
            pack_factor(w->b, &j->w, item);
            return;
        }
        item -= weights;
    }
    pack_factor(w->b, &w->x, item);
}

static void matrices_item(void *arg, size_t item, int thread)
{
    const matrices_work *w = arg;
    const hone_backward *b = w->b;
    for (const matrix_job *j = w->jobs; j < w->jobs + w->n_jobs; item -= j++->to.items)
        if (item < j->to.items) {
            tile_item(b, &j->to, item, &j->turned, &w->x.w, b->grads + j->m.p->at, w->k, j->m.add,
                      thread);
            return;
        }
    for (size_t j = 0; j < w->n_jobs; j++)
        tile_item(b, &w->to, item, &w->jobs[j].dy, &w->jobs[j].w.w, w->dx, w->k, w->add || j > 0,
                  thread);
}

void hone_back_matrices(hone_backward *b, const hone_back_matrix *m, size_t n_jobs, const float *x,
                        size_t rows, float *dx, bool add)
{
    matrices_work w = {
        .b = b, .n_jobs = n_jobs, .rows = rows, .k = m[0].p->k, .dx = dx, .add = add};
    const bool head = m[0].head;
    size_t n[JOBS], ready = 0, items = 0;
    assert(n_jobs > 0 && n_jobs <= JOBS && (!head || n_jobs == 1));
    for (size_t j = 0; j < n_jobs; j++)
        n[j] = m[j].p->n;
    lay_matrices(b, n, n_jobs, w.k, rows, head, b->products, &w);
    w.x.x = x;
    if (head) {
        size_t at = 0;
        w.jobs[0].w = factor_at(b, w.k, n[0], b->packed_head, &at);
        w.jobs[0].packed = b->head_ready;
        b->head_ready = true;
    }
    for (matrix_job *j = w.jobs; j < w.jobs + n_jobs; j++) {
        j->m = m[j - w.jobs];
        j->w.x = b->weights + j->m.p->at;
        j->to = cut_tiles(b, j->m.p->n, w.x.w.n_panels, j->m.add);
        ready += hone_row_items(rows, K_PER_ITEM) + weight_items(&w, j);
        items += j->to.items;
    }
    if (dx)
        w.to = cut_tiles(b, rows, w.jobs[0].w.w.n_panels, add);
    hone_pool_run(b->f->pool, matrices_ready, &w, ready + factor_items(&w.x));
    hone_pool_run(b->f->pool, matrices_item, &w, items + w.to.items);
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
    hone_back_matrix m[JOBS] = {{0}};
    assert(n_jobs > 0 && n_jobs <= JOBS);
    for (size_t j = 0; j < n_jobs; j++) {
        const bool head = jobs[j].slot == HONE_SLOT_HEAD;
        /* of zeros, and only once: what is added to a layer's matrix may as well be written */
        m[j] = (hone_back_matrix){.p = matrix_of(b, layer, jobs[j].slot),
                                  .dy = jobs[j].dy,
                                  .add = !b->fresh || head,
                                  .head = head};
    }
    hone_back_matrices(b, m, n_jobs, x, rows, dx, false);
    for (size_t j = 0; j < n_jobs; j++) {
        const hone_parameter *bias = hone_parameter_at(b->p, layer, jobs[j].slot, true);
        if (bias)
            hone_back_add_rows(b, jobs[j].dy, rows, m[j].p->n, b->grads + bias->at);
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
