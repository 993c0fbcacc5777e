#include "train/optimizer.h"

#include "base/mem.h"
#include "hw/isa.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CHUNK = HONE_OPTIMIZER_CHUNK };

/* ---- AdamW ----------------------------------------------------------------------------------- */

typedef struct adamw_work {
    const hone_update_job *j;
    hone_adamw step;
    size_t n;
} adamw_work;

static void adamw_item(void *arg, size_t item, int thread)
{
    const adamw_work *w = arg;
    const hone_update_job *j = w->j;
    size_t at = item * CHUNK, n = hone_row_end(item, CHUNK, w->n) - at;
    (void)thread;
    j->t->kt->adamw(&w->step, j->grads + at, n, j->weights + at, j->state + at,
                    j->state + w->n + at);
}

/* State: the means of the gradient, then those of its square. */
static void adamw_step(const hone_update_job *j)
{
    const hone_optimizer_options *o = &j->o->o;
    double t1 = 1 - pow((double)o->beta1, (double)(j->o->steps + 1)),
           t2 = 1 - pow((double)o->beta2, (double)(j->o->steps + 1));
    adamw_work w = {.j = j,
                    .n = j->p->n * j->p->k,
                    .step = {.grad_scale = (float)j->grad_scale,
                             .beta1 = o->beta1,
                             .beta2 = o->beta2,
                             .keep = (float)j->keep,
                             .rate = (float)(j->rate / t1),
                             .v_scale = (float)(1 / sqrt(t2)),
                             .eps = o->eps}};
    hone_pool_run(j->t->pool, adamw_item, &w, hone_row_items(w.n, CHUNK));
}

static const hone_update adamw = {.states = 2, .step = adamw_step};

/* ---- the optimisers -------------------------------------------------------------------------- */

static bool is_vector(const hone_parameter *p)
{
    return p->bias || hone_slot_describe(p->slot)->vector;
}

static const hone_update *adamw_of(const hone_parameter *p)
{
    (void)p;
    return &adamw;
}

static const hone_update *muon_of(const hone_parameter *p)
{
    bool hidden =
        !is_vector(p) && !hone_slot_describe(p->slot)->lookup && p->slot != HONE_SLOT_HEAD;
    return hidden ? &hone_update_muon : &adamw;
}

const char hone_optimizer_names[] = "adamw|muon", hone_muon_scale_names[] = "match-rms|original";

static const struct {
    const char *name;
    const hone_update *(*update_of)(const hone_parameter *p);
} optimizers[HONE_OPTIMIZER_COUNT] = {{"adamw", adamw_of}, {"muon", muon_of}};

static const char *const muon_scales[HONE_MUON_SCALE_COUNT] = {"match-rms", "original"};

bool hone_optimizer_by_name(const char *name, hone_optimizer_kind *out)
{
    for (*out = 0; *out < HONE_OPTIMIZER_COUNT; (*out)++)
        if (strcmp(name, optimizers[*out].name) == 0)
            return true;
    return false;
}

bool hone_muon_scale_by_name(const char *name, hone_muon_scale *out)
{
    for (*out = 0; *out < HONE_MUON_SCALE_COUNT; (*out)++)
        if (strcmp(name, muon_scales[*out]) == 0)
            return true;
    return false;
}

void hone_optimizer_describe(const hone_optimizer_options *o, char *text, size_t bytes)
{
    int n = 0;
    if (o->kind == HONE_OPTIMIZER_MUON)
        n = snprintf(text, bytes, "muon %.9g%s %s, ", (double)o->momentum,
                     o->plain_momentum ? " plain" : "", muon_scales[o->muon_scale]);
    snprintf(text + n, bytes - (size_t)n, "adamw %.9g %.9g %.9g, weight decay %.9g%s, clip %.9g",
             (double)o->beta1, (double)o->beta2, (double)o->eps, (double)o->decay,
             o->decay_all ? " of all" : "", (double)o->clip);
}

/* ---- open and close -------------------------------------------------------------------------- */

static const hone_update *update_of(const hone_optimizer *o, const hone_parameter *p)
{
    return optimizers[o->o.kind].update_of(p);
}

hone_status hone_optimizer_open(const hone_trainable *t, const hone_optimizer_options *o,
                                hone_optimizer *out)
{
    size_t n = t->p.floats;
    *out = (hone_optimizer){0};
    if (t->adapter && o->kind == HONE_OPTIMIZER_MUON)
        return hone_fail(HONE_USAGE, "Muon is not for adapters: take adamw");
    *out = (hone_optimizer){
        .o = *o, .floats = n, .chunks = (n + CHUNK - 1) / CHUNK, .count = t->p.count};
    out->sums = hone_calloc(out->chunks, sizeof *out->sums);
    out->state_at = hone_calloc(out->count, sizeof *out->state_at);
    for (size_t i = 0; i < out->count && out->state_at; i++) {
        const hone_parameter *p = &t->p.list[i];
        const hone_update *u = update_of(out, p);
        size_t scratch = u->scratch ? u->scratch(p) : 0;
        out->state_at[i] = out->state_floats;
        out->state_floats += (u->states * p->n * p->k + 15) & ~(size_t)15;
        if (scratch > out->scratch_floats)
            out->scratch_floats = scratch;
    }
    out->state = hone_alloc_big(out->state_floats * sizeof(float));
    if (out->scratch_floats)
        out->scratch = hone_alloc_big(out->scratch_floats * sizeof(float));
    if (out->state && out->sums && out->state_at && (out->scratch || !out->scratch_floats))
        return HONE_OK;
    n = out->state_floats + out->scratch_floats;
    hone_optimizer_close(out);
    return hone_fail_memory(n * sizeof(float), "the optimiser's state");
}

void hone_optimizer_close(hone_optimizer *o)
{
    hone_free_big(o->state, o->state_floats * sizeof(float));
    hone_free_big(o->scratch, o->scratch_floats * sizeof(float));
    hone_free(o->sums);
    hone_free(o->state_at);
    *o = (hone_optimizer){0};
}

/* ---- a step ---------------------------------------------------------------------------------- */

typedef struct square_work {
    hone_optimizer *o;
    const hone_trainable *t;
} square_work;

static void square_item(void *arg, size_t item, int thread)
{
    const square_work *w = arg;
    const float *g = w->t->grads + item * CHUNK;
    size_t n = hone_row_end(item, CHUNK, w->o->floats) - item * CHUNK;
    (void)thread;
    w->o->sums[item] = w->t->kt->dot(g, g, n);
}

double hone_gradient_norm(hone_optimizer *o, hone_trainable *t)
{
    square_work w = {o, t};
    double sum = 0;
    unsigned mode = hone_fp_mode_enter();
    hone_pool_run(t->pool, square_item, &w, o->chunks);
    for (size_t i = 0; i < o->chunks; i++)
        sum += (double)o->sums[i];
    hone_fp_mode_leave(mode);
    return sqrt(sum);
}

void hone_optimizer_step(hone_optimizer *o, hone_trainable *t, double norm, double rate)
{
    const hone_optimizer_options *p = &o->o;
    bool clips = p->clip > 0 && norm > (double)p->clip;
    unsigned mode = hone_fp_mode_enter();
    for (size_t i = 0; i < t->p.count; i++) {
        const hone_parameter *one = &t->p.list[i];
        bool decays = p->decay_all || !is_vector(one);
        const hone_update_job job = {.o = o,
                                     .t = t,
                                     .p = one,
                                     .weights = t->weights + one->at,
                                     .state = o->state + o->state_at[i],
                                     .grads = t->grads + one->at,
                                     .grad_scale = clips ? (double)p->clip / norm : 1,
                                     .rate = rate,
                                     .keep = 1 - rate * (decays ? (double)p->decay : 0)};
        update_of(o, one)->step(&job);
    }
    hone_fp_mode_leave(mode);
    o->steps++;
    hone_trainable_push(t);
}
