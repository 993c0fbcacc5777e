#include "compress/merge.h"

#include "base/interrupt.h"
#include "base/mem.h"
#include "model/adapter.h"

#include <math.h>

typedef struct merge {
    const hone_file *f;
    hone_model *model;
    hone_adapter *adapter;
    float *deltas; /* the adapter's values */
    hone_parameters p;
    float *buffer; /* of one parameter */
    size_t room;
    uint64_t *merged;
} merge;

/* The rows of W, which becomes (W + s B A), with DoRA each scaled to its magnitude. */
static void add_low_rank(const merge *m, const hone_low_rank *l, float *w)
{
    const hone_parameters *p = &m->adapter->p;
    const float *down = m->deltas + p->list[l->a].at, *up = m->deltas + p->list[l->b].at;
    for (size_t n = 0; n < l->n; n++) {
        float *row = w + n * l->k;
        double square = 0, magnitude;
        for (size_t r = 0; r < l->rank; r++) {
            float s = l->scale * up[n * l->rank + r];
            for (size_t k = 0; k < l->k; k++)
                row[k] += s * down[r * l->k + k];
        }
        if (l->m == SIZE_MAX)
            continue;
        for (size_t k = 0; k < l->k; k++)
            square += (double)row[k] * (double)row[k];
        magnitude = (double)m->deltas[p->list[l->m].at + n];
        for (size_t k = 0; k < l->k; k++)
            row[k] = square > 0 ? (float)((double)row[k] * (magnitude / sqrt(square))) : 0.0f;
    }
}

static const hone_low_rank *beside(const hone_adapter *a, const hone_parameter *p)
{
    for (size_t i = 0; i < a->count && !p->bias; i++)
        if (a->list[i].slot == p->slot && a->list[i].layer == p->layer)
            return &a->list[i];
    return NULL;
}

static hone_status merged_values(void *arg, const hone_parameter *p, const float **values)
{
    merge *m = arg;
    size_t n = p->n * p->k;
    HONE_TRY(hone_interrupt_check());
    if (n > m->room) {
        hone_free_big(m->buffer, m->room * sizeof *m->buffer);
        m->buffer = hone_alloc_big(n * sizeof *m->buffer);
        m->room = m->buffer ? n : 0;
        if (!m->buffer)
            return hone_fail_memory(n * sizeof *m->buffer, "a matrix to merge");
    }
    HONE_TRY(hone_parameter_read(m->f, p, m->buffer));
    const hone_low_rank *l = beside(m->adapter, p);
    if (l) {
        add_low_rank(m, l, m->buffer);
        ++*m->merged;
    }
    *values = m->buffer;
    return HONE_OK;
}

/* The model is loaded for what it says of its matrices; decoded, so that any coding may be read. */
static hone_status open_merge(merge *m, const char *adapter)
{
    hone_model_options o = {.f32 = true};
    hone_pool *pool;
    for (int i = 0; i < HONE_WEIGHT_KINDS; i++)
        o.weight_dtype[i] = HONE_WEIGHT_AS_FILED;
    HONE_TRY(hone_pool_open(0, NULL, &pool));
    hone_status s = hone_model_load(m->f, &o, pool, NULL, NULL, &m->model);
    hone_pool_close(pool);
    HONE_TRY(s);
    HONE_TRY(hone_adapter_open(adapter, m->model, true, &m->adapter, &m->deltas));
    return hone_parameters_plan(m->f, m->model, &m->p);
}

hone_status hone_merge_write(const hone_file *f, const char *adapter, hone_dtype type,
                             const char *path, uint64_t *tensors, uint64_t *merged)
{
    merge m = {.f = f, .merged = merged};
    *tensors = *merged = 0;
    hone_status s = open_merge(&m, adapter);
    if (s == HONE_OK)
        s = hone_parameters_save_each(&m.p, type, merged_values, &m, path);
    *tensors = m.p.count;
    if (m.deltas)
        hone_free_big(m.deltas, m.adapter->p.floats * sizeof *m.deltas);
    hone_free_big(m.buffer, m.room * sizeof *m.buffer);
    hone_parameters_free(&m.p);
    hone_adapter_close(m.adapter);
    hone_model_free(m.model);
    return s;
}
