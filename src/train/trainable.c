#include "train/trainable.h"

#include "base/mem.h"
#include "hw/isa.h"

#include <string.h>

enum { ZERO_CHUNK = 1 << 20 }; /* floats */

static void worker_start(void)
{
    (void)hone_fp_mode_enter();
}

/* Matrices whose rows no blocks divide stay as they are; not all of them may. */
static hone_status check_quantised(const hone_model *m, const hone_file *f, hone_dtype type)
{
    size_t coded = 0;
    for (uint32_t layer = 0; layer < m->hp.layers; layer++)
        for (hone_slot slot = 0; slot < HONE_LAYER_SLOTS; slot++)
            coded += hone_model_at(m, (int)layer, slot)->w.scale_bytes != 0;
    if (coded)
        return HONE_OK;
    return hone_fail(HONE_UNSUPPORTED,
                     "%s: no matrix has rows that are whole blocks of %s (%u numbers); q8_0 and "
                     "q4_0 have smaller ones",
                     hone_file_path(f), hone_dtype_name(type),
                     hone_dtype_describe(type)->block_elements);
}

static hone_status load(hone_trainable *t, const hone_file *f, const hone_trainable_options *o)
{
    hone_model_options m = {.f32 = o->f32};
    for (int i = 0; i < HONE_WEIGHT_KINDS; i++)
        m.weight_dtype[i] =
            o->quantise && i != HONE_WEIGHT_HEAD ? (int)o->weight_dtype : HONE_WEIGHT_AS_FILED;
    HONE_TRY(hone_model_load(f, &m, t->pool, NULL, NULL, &t->model));
    return o->quantise ? check_quantised(t->model, f, o->weight_dtype) : HONE_OK;
}

/* What is trained, without values. */
static hone_status plan(hone_trainable *t, const hone_file *f, const hone_trainable_options *o)
{
    if (!o->adapter && !o->adapter_folder)
        return hone_parameters_plan(f, t->model, &t->p);
    HONE_TRY(o->adapter_folder
                 ? hone_adapter_open(o->adapter_folder, t->model, o->f32, &t->adapter, &t->weights)
                 : hone_adapter_new(t->model, o->adapter, o->f32, &t->adapter));
    t->p = t->adapter->p;
    if (o->adapter)
        t->adapter->o.seed = o->adapter->seed;
    return hone_adapter_attach(t->adapter, t->kt, t->pool);
}

/* The values that training begins with. */
static hone_status fill(hone_trainable *t, const hone_file *f, const hone_trainable_options *o)
{
    if (!t->adapter)
        return hone_parameters_read(f, &t->p, t->weights);
    if (!o->adapter_folder)
        hone_adapter_fill(t->adapter, t->weights);
    hone_trainable_push(t);
    return HONE_OK;
}

static hone_status open_parts(hone_trainable *t, const hone_file *f,
                              const hone_trainable_options *o)
{
    hone_isa isa;
    HONE_TRY(hone_isa_pick(o->isa, &isa));
    t->kt = hone_kernels_with(isa, o->products);
    t->max_rows = o->max_rows;
    HONE_TRY(hone_pool_open(o->threads, worker_start, &t->pool));
    HONE_TRY(load(t, f, o));
    HONE_TRY(plan(t, f, o));
    size_t bytes = t->p.floats * sizeof(float);
    if (!t->weights)
        t->weights = hone_alloc_big(bytes);
    t->grads = hone_alloc_big(bytes);
    t->zeroed = true;
    t->counted = hone_calloc(o->max_rows, sizeof *t->counted);
    if (!t->weights || !t->grads || !t->counted)
        return hone_fail_memory(2 * bytes, "weights and gradients in float32");
    HONE_TRY(fill(t, f, o));
    const hone_backward_options b = {.max_rows = o->max_rows,
                                     .f32 = o->f32,
                                     .memory_max = o->memory_max,
                                     .logit_bytes = o->logit_bytes};
    return hone_backward_open(t->model, &t->p, t->kt, t->pool, &b, &t->back);
}

hone_status hone_trainable_open(const hone_file *f, const hone_trainable_options *o,
                                hone_trainable **out)
{
    *out = NULL;
    hone_trainable *t = hone_calloc(1, sizeof *t);
    if (!t)
        return hone_fail_memory(sizeof *t, "a model to train");
    hone_status s = open_parts(t, f, o);
    if (s == HONE_OK)
        *out = t;
    else
        hone_trainable_close(t);
    return s;
}

void hone_trainable_close(hone_trainable *t)
{
    if (!t)
        return;
    size_t bytes = t->p.floats * sizeof(float);
    hone_backward_close(t->back);
    hone_free_big(t->weights, bytes);
    hone_free_big(t->grads, bytes);
    hone_free(t->counted);
    if (t->adapter)
        hone_adapter_close(t->adapter); /* whose parameters they are */
    else
        hone_parameters_free(&t->p);
    hone_model_free(t->model);
    hone_pool_close(t->pool);
    hone_free(t);
}

static void zero_item(void *arg, size_t item, int thread)
{
    hone_trainable *t = arg;
    const size_t at = item * ZERO_CHUNK, left = t->p.floats - at;
    (void)thread;
    memset(t->grads + at, 0, (left < ZERO_CHUNK ? left : ZERO_CHUNK) * sizeof *t->grads);
}

void hone_trainable_zero(hone_trainable *t)
{
    hone_pool_run(t->pool, zero_item, t, (t->p.floats + ZERO_CHUNK - 1) / ZERO_CHUNK);
    t->zeroed = true;
}

void hone_trainable_push(hone_trainable *t)
{
    if (t->adapter)
        hone_adapter_push(t->adapter, t->weights);
    else
        hone_parameters_push(&t->p, t->weights, t->kt, t->pool, t->model);
}

void hone_trainable_draw(hone_trainable *t, bool learning, uint64_t step)
{
    if (!t->adapter)
        return;
    t->adapter->learning = learning;
    t->adapter->step = step;
}

double hone_trainable_flops(const hone_trainable *t)
{
    const hone_model *m = t->model;
    double still = 0, trained = 0;
    for (uint32_t layer = 0; layer < m->hp.layers; layer++)
        for (hone_slot slot = 0; slot < HONE_LAYER_SLOTS; slot++)
            if (!hone_slot_describe(slot)->vector)
                still += (double)hone_model_at(m, (int)layer, slot)->w.n *
                         (double)hone_model_at(m, (int)layer, slot)->w.k;
    still += (double)m->hp.vocab * m->hp.hidden; /* the head */
    for (size_t i = 0; i < t->p.count && t->adapter; i++)
        trained += t->p.list[i].bias ? 0 : (double)t->p.list[i].n * (double)t->p.list[i].k;
    return t->adapter ? 4 * still + 6 * trained : 6 * still;
}

static hone_status check(const hone_trainable *t, const hone_backward_batch *b,
                         const int32_t *targets)
{
    const hone_hparams *h = &t->model->hp;
    for (uint32_t s = 0; s < b->n_sequences; s++) {
        if (b->n_tokens[s] > h->context_tokens)
            return hone_fail(HONE_DATA, "sequence %u has %u tokens; the model's context is %u",
                             s + 1, b->n_tokens[s], h->context_tokens);
        if (b->n_tokens[s] > t->max_rows)
            return hone_fail(HONE_LIMIT, "sequence %u has %u tokens; a batch has room for %u",
                             s + 1, b->n_tokens[s], t->max_rows);
    }
    for (uint32_t r = 0; r < b->rows; r++) {
        if (b->tokens[r] < 0 || (uint32_t)b->tokens[r] >= h->vocab)
            return hone_fail(HONE_DATA, "token %u is %d; the vocabulary has 0 to %u", r + 1,
                             b->tokens[r], h->vocab - 1);
        if (targets[r] >= 0 && (uint32_t)targets[r] >= h->vocab)
            return hone_fail(HONE_DATA,
                             "the label after token %u is %d; the vocabulary has 0 to %u", r + 1,
                             targets[r], h->vocab - 1);
    }
    return HONE_OK;
}

/* The sequences from `first` on that go through together. */
static hone_backward_batch next_part(const hone_trainable *t, const hone_backward_batch *b,
                                     uint32_t first, uint32_t row)
{
    hone_backward_batch part = {.tokens = b->tokens + row, .n_tokens = b->n_tokens + first};
    uint32_t pages = 0;
    for (uint32_t s = first; s < b->n_sequences; s++) {
        uint32_t n = b->n_tokens[s];
        pages += (n + HONE_KV_PAGE - 1) / HONE_KV_PAGE;
        if (part.rows + n > t->max_rows || pages > t->back->max_pages)
            break;
        part.rows += n;
        part.n_sequences++;
    }
    return part;
}

/* A loss of the whole batch as one of the rows from `first` on */
typedef struct part_loss {
    hone_loss_fn *loss;
    void *arg;
    size_t first;
} part_loss;

static double part_row(void *arg, const hone_kernels *kt, size_t row, float *z, size_t vocab)
{
    const part_loss *p = arg;
    return p->loss(p->arg, kt, p->first + row, z, vocab);
}

hone_status hone_trainable_add_loss(hone_trainable *t, const hone_backward_batch *b,
                                    hone_loss_fn *loss, void *arg, const int32_t *targets,
                                    bool learn, double *sum)
{
    HONE_TRY(check(t, b, targets));
    *sum = 0;
    for (uint32_t first = 0, row = 0; first < b->n_sequences;) {
        hone_backward_batch part = next_part(t, b, first, row);
        part_loss of = {loss, arg, row};
        const bool fresh = t->zeroed;
        double one = 0;
        t->zeroed = fresh && !learn;
        for (uint32_t r = 0; r < part.rows; r++)
            t->counted[r] = targets[row + r] >= 0;
        if (t->adapter)
            t->adapter->first_row = row;
        HONE_TRY(hone_backward_run(t->back, &part, t->weights, part_row, &of, t->counted,
                                   learn ? t->grads : NULL, fresh, &one));
        *sum += one;
        first += part.n_sequences;
        row += part.rows;
    }
    return HONE_OK;
}

hone_status hone_trainable_add(hone_trainable *t, const hone_backward_batch *b,
                               const int32_t *targets, double weight, bool learn, double *sum)
{
    hone_cross_entropy loss = {targets, (float)weight};
    return hone_trainable_add_loss(t, b, hone_cross_entropy_row, &loss, targets, learn, sum);
}
