#include "train/optimizer.h"

#include "base/mem.h"
#include "hw/isa.h"

#include <math.h>

enum { CHUNK = 1 << 14 };

hone_status hone_optimizer_open(const hone_trainable *t, const hone_optimizer_options *o,
                                hone_optimizer *out)
{
    size_t n = t->p.floats;
    *out = (hone_optimizer){.o = *o, .floats = n, .chunks = (n + CHUNK - 1) / CHUNK};
    out->m = hone_alloc_big(n * sizeof(float));
    out->v = hone_alloc_big(n * sizeof(float));
    out->sums = hone_calloc(out->chunks, sizeof *out->sums);
    if (out->m && out->v && out->sums)
        return HONE_OK;
    hone_optimizer_close(out);
    return hone_fail_memory(2 * n * sizeof(float), "the optimiser's means");
}

void hone_optimizer_close(hone_optimizer *o)
{
    hone_free_big(o->m, o->floats * sizeof(float));
    hone_free_big(o->v, o->floats * sizeof(float));
    hone_free(o->sums);
    *o = (hone_optimizer){0};
}

typedef struct work {
    hone_optimizer *o;
    hone_trainable *t;
    hone_adamw step;
    size_t begin, end; /* floats */
} work;

static void square_item(void *arg, size_t item, int thread)
{
    const work *w = arg;
    const float *g = w->t->grads + item * CHUNK;
    size_t n = hone_row_end(item, CHUNK, w->o->floats) - item * CHUNK;
    (void)thread;
    w->o->sums[item] = w->t->kt->dot(g, g, n);
}

double hone_gradient_norm(hone_optimizer *o, hone_trainable *t)
{
    work w = {.o = o, .t = t};
    double sum = 0;
    unsigned mode = hone_fp_mode_enter();
    hone_pool_run(t->pool, square_item, &w, o->chunks);
    for (size_t i = 0; i < o->chunks; i++)
        sum += (double)o->sums[i];
    hone_fp_mode_leave(mode);
    return sqrt(sum);
}

static void step_item(void *arg, size_t item, int thread)
{
    const work *w = arg;
    size_t at = w->begin + item * CHUNK, n = w->end - at < CHUNK ? w->end - at : CHUNK;
    (void)thread;
    w->t->kt->adamw(&w->step, w->t->grads + at, n, w->t->weights + at, w->o->m + at, w->o->v + at);
}

void hone_optimizer_step(hone_optimizer *o, hone_trainable *t, double norm, double rate)
{
    const hone_optimizer_options *p = &o->o;
    double t1 = 1 - pow((double)p->beta1, (double)(o->steps + 1)),
           t2 = 1 - pow((double)p->beta2, (double)(o->steps + 1));
    work w = {.o = o, .t = t};
    unsigned mode = hone_fp_mode_enter();
    for (size_t i = 0; i < t->p.count; i++) {
        const hone_parameter *one = &t->p.list[i];
        bool decays = p->decay_all || (!one->bias && !hone_slot_describe(one->slot)->vector);
        w.step = (hone_adamw){.grad_scale = p->clip > 0 && norm > (double)p->clip
                                                ? (float)((double)p->clip / norm)
                                                : 1.0f,
                              .beta1 = p->beta1,
                              .beta2 = p->beta2,
                              .keep = (float)(1 - rate * (decays ? (double)p->decay : 0)),
                              .rate = (float)(rate / t1),
                              .v_scale = (float)(1 / sqrt(t2)),
                              .eps = p->eps};
        w.begin = one->at;
        w.end = one->at + one->n * one->k;
        hone_pool_run(t->pool, step_item, &w, hone_row_items(w.end - w.begin, CHUNK));
    }
    hone_fp_mode_leave(mode);
    o->steps++;
    hone_trainable_push(t);
}
