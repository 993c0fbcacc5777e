/*
 * Muon (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/), in the form of
 * torch.optim.Muon. Of the gradient G of a matrix W[n][k]:
 *
 *   M = momentum M + (1 - momentum) G
 *   X = momentum M + (1 - momentum) G, or M without the look ahead;  X = X / |X|, turned if n > k
 *   five times:  A = X X^T,  X = a X + (b A + c A A) X
 *   W = keep W - rate scale X
 *
 * The iteration (Newton-Schulz, of fifth order) brings all singular values near 1 and leaves the
 * singular vectors: the step is as long in every direction that the gradient has.
 *
 * Products are those of training (hone_back_multiply), in float32 or of bfloat16 with float32 sums;
 * what lies between them is float32. They are split over the pool by tiles of the result, so the
 * bits do not depend on threads.
 */
#include "train/optimizer.h"

#include <math.h>
#include <string.h>

enum { CHUNK = HONE_OPTIMIZER_CHUNK, ITERATIONS = 5, TURN_ROWS = 16 };
static const float NS_A = 3.4445f, NS_B = -4.7750f, NS_C = 2.0315f;
static const double NORM_MIN = 1e-7;

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t floats_of(const hone_parameter *p)
{
    size_t m = smaller(p->n, p->k);
    return 2 * ((p->n * p->k + 15) & ~(size_t)15) + 2 * ((m * m + 15) & ~(size_t)15);
}

typedef struct muon_work {
    const hone_update_job *j;
    float *x, *y;         /* [n * k] */
    float *a, *aa;        /* [m][m] */
    size_t rows, columns; /* of x as it stands */
    float scale;          /* of what an item does */
} muon_work;

/* ---- passes over all numbers ----------------------------------------------------------------- */

/* The momentum takes the gradient; x gets what is to be made orthogonal, y is spoiled. */
static void gather_item(void *arg, size_t item, int thread)
{
    const muon_work *w = arg;
    const hone_update_job *j = w->j;
    const hone_kernels *kt = j->t->kt;
    const float momentum = j->o->o.momentum;
    size_t at = item * CHUNK, n = hone_row_end(item, CHUNK, w->rows * w->columns) - at;
    float *x = w->x + at, *y = w->y + at, *m = j->state + at;
    (void)thread;
    memcpy(x, j->grads + at, n * sizeof *x);
    kt->scale(x, (float)(j->grad_scale * (1 - (double)momentum)), n);
    kt->scale(m, momentum, n);
    kt->add(m, x, n);
    memcpy(y, m, n * sizeof *y);
    if (j->o->o.plain_momentum) {
        memcpy(x, y, n * sizeof *x);
    } else {
        kt->scale(y, momentum, n);
        kt->add(x, y, n);
    }
    j->o->sums[item] = kt->dot(x, x, n);
}

static void scale_item(void *arg, size_t item, int thread)
{
    const muon_work *w = arg;
    size_t at = item * CHUNK, n = hone_row_end(item, CHUNK, w->rows * w->columns) - at;
    (void)thread;
    w->j->t->kt->scale(w->x + at, w->scale, n);
}

/* a = b a + c aa */
static void gram_item(void *arg, size_t item, int thread)
{
    const muon_work *w = arg;
    const hone_kernels *kt = w->j->t->kt;
    size_t at = item * CHUNK, n = hone_row_end(item, CHUNK, w->rows * w->rows) - at;
    (void)thread;
    kt->scale(w->a + at, NS_B, n);
    kt->scale(w->aa + at, NS_C, n);
    kt->add(w->a + at, w->aa + at, n);
}

/* x = a x + y */
static void mix_item(void *arg, size_t item, int thread)
{
    const muon_work *w = arg;
    const hone_kernels *kt = w->j->t->kt;
    size_t at = item * CHUNK, n = hone_row_end(item, CHUNK, w->rows * w->columns) - at;
    (void)thread;
    kt->scale(w->x + at, NS_A, n);
    kt->add(w->x + at, w->y + at, n);
}

/* W = keep W + scale x */
static void step_item(void *arg, size_t item, int thread)
{
    const muon_work *w = arg;
    const hone_kernels *kt = w->j->t->kt;
    size_t at = item * CHUNK, n = hone_row_end(item, CHUNK, w->rows * w->columns) - at;
    (void)thread;
    kt->scale(w->x + at, w->scale, n);
    kt->scale(w->j->weights + at, (float)w->j->keep, n);
    kt->add(w->j->weights + at, w->x + at, n);
}

static void turn_item(void *arg, size_t item, int thread)
{
    const muon_work *w = arg;
    size_t r = item * TURN_ROWS, rows = hone_row_end(item, TURN_ROWS, w->rows) - r;
    (void)thread;
    w->j->t->kt->transpose(w->x + r * w->columns, w->columns, rows, w->columns, w->y + r, w->rows);
}

static void run(muon_work *w, hone_pool_fn *item, size_t numbers)
{
    hone_pool_run(w->j->t->pool, item, w, hone_row_items(numbers, CHUNK));
}

/* x becomes its transpose; x and y change places. */
static void turn(muon_work *w)
{
    hone_pool_run(w->j->t->pool, turn_item, w, hone_row_items(w->rows, TURN_ROWS));
    float *x = w->x;
    size_t rows = w->rows;
    w->x = w->y;
    w->y = x;
    w->rows = w->columns;
    w->columns = rows;
}

/* ---- the step -------------------------------------------------------------------------------- */

/* x[rows][columns], of norm 1 and rows <= columns. */
static void orthogonalise(muon_work *w)
{
    hone_backward *b = w->j->t->back;
    size_t m = w->rows, n = w->columns;
    for (int i = 0; i < ITERATIONS; i++) {
        hone_back_multiply(b, w->x, m, n, w->x, m, true, w->a);
        hone_back_multiply(b, w->a, m, m, w->a, m, true, w->aa); /* A is symmetric */
        run(w, gram_item, m * m);
        hone_back_multiply(b, w->a, m, m, w->x, n, false, w->y);
        run(w, mix_item, m * n);
    }
}

static double scale_of(const hone_update_job *j)
{
    double n = (double)j->p->n, k = (double)j->p->k;
    return j->o->o.muon_scale == HONE_MUON_MATCH_RMS ? 0.2 * sqrt(fmax(n, k))
                                                     : sqrt(fmax(1, n / k));
}

static void muon_step(const hone_update_job *j)
{
    size_t numbers = j->p->n * j->p->k, all = (numbers + 15) & ~(size_t)15,
           m = smaller(j->p->n, j->p->k);
    float *at = j->o->scratch;
    muon_work w = {.j = j,
                   .x = at,
                   .y = at + all,
                   .a = at + 2 * all,
                   .aa = at + 2 * all + ((m * m + 15) & ~(size_t)15),
                   .rows = j->p->n,
                   .columns = j->p->k};
    double square = 0;
    run(&w, gather_item, numbers);
    for (size_t i = 0; i < hone_row_items(numbers, CHUNK); i++)
        square += (double)j->o->sums[i];
    w.scale = (float)(1 / fmax(sqrt(square), NORM_MIN));
    run(&w, scale_item, numbers);
    bool tall = w.rows > w.columns;
    if (tall)
        turn(&w);
    orthogonalise(&w);
    if (tall)
        turn(&w);
    w.scale = (float)(-j->rate * scale_of(j));
    run(&w, step_item, numbers);
}

/* State: the momentum. */
const hone_update hone_update_muon = {.states = 1, .scratch = floats_of, .step = muon_step};
