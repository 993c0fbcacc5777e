#include "train/trainable.h"

#include "base/mem.h"
#include "hw/isa.h"

#include <string.h>

static void worker_start(void)
{
    (void)hone_fp_mode_enter();
}

static hone_status open_parts(hone_trainable *t, const hone_file *f,
                              const hone_trainable_options *o)
{
    hone_isa isa;
    hone_model_options m = {.f32 = o->f32};
    for (int i = 0; i < HONE_WEIGHT_KINDS; i++)
        m.weight_dtype[i] = HONE_WEIGHT_AS_FILED;
    HONE_TRY(hone_isa_pick(o->isa, &isa));
    t->kt = hone_kernels_get(isa);
    t->max_rows = o->max_rows;
    HONE_TRY(hone_pool_open(o->threads, worker_start, &t->pool));
    HONE_TRY(hone_model_load(f, &m, t->pool, NULL, NULL, &t->model));
    HONE_TRY(hone_parameters_plan(f, t->model, &t->p));
    size_t bytes = t->p.floats * sizeof(float);
    t->weights = hone_alloc_big(bytes);
    t->grads = hone_alloc_big(bytes);
    t->targets = hone_calloc(o->max_rows, sizeof *t->targets);
    t->counted = hone_calloc(o->max_rows, sizeof *t->counted);
    if (!t->weights || !t->grads || !t->targets || !t->counted)
        return hone_fail_memory(2 * bytes, "weights and gradients in float32");
    HONE_TRY(hone_parameters_read(f, &t->p, t->weights));
    const hone_backward_options b = {
        .max_rows = o->max_rows, .f32 = o->f32, .memory_max = o->memory_max};
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
    hone_free(t->targets);
    hone_free(t->counted);
    hone_parameters_free(&t->p);
    hone_model_free(t->model);
    hone_pool_close(t->pool);
    hone_free(t);
}

void hone_trainable_zero(hone_trainable *t)
{
    memset(t->grads, 0, t->p.floats * sizeof *t->grads);
}

void hone_trainable_push(hone_trainable *t)
{
    hone_parameters_push(&t->p, t->weights, t->kt, t->pool, t->model);
}

static hone_status check(const hone_trainable *t, const hone_backward_batch *b,
                         const int32_t *labels)
{
    const hone_hparams *h = &t->model->hp;
    for (uint32_t s = 0; s < b->n_sequences; s++)
        if (b->n_tokens[s] > h->context_tokens)
            return hone_fail(HONE_DATA, "sequence %u has %u tokens; the model's context is %u",
                             s + 1, b->n_tokens[s], h->context_tokens);
    for (uint32_t r = 0; r < b->rows; r++) {
        if (b->tokens[r] < 0 || (uint32_t)b->tokens[r] >= h->vocab)
            return hone_fail(HONE_DATA, "token %u is %d; the vocabulary has 0 to %u", r + 1,
                             b->tokens[r], h->vocab - 1);
        if (labels[r] != HONE_NO_LABEL && (labels[r] < 0 || (uint32_t)labels[r] >= h->vocab))
            return hone_fail(HONE_DATA, "label %u is %d; labels are tokens 0 to %u, or %d for none",
                             r + 1, labels[r], h->vocab - 1, HONE_NO_LABEL);
    }
    return HONE_OK;
}

hone_status hone_trainable_add(hone_trainable *t, const hone_backward_batch *b,
                               const int32_t *labels, double weight, bool learn, double *sum,
                               size_t *count)
{
    if (b->rows > t->max_rows)
        return hone_fail(HONE_LIMIT, "a batch of %u tokens; there is room for %u", b->rows,
                         t->max_rows);
    HONE_TRY(check(t, b, labels));
    *count = hone_shift_labels(b, labels, t->targets, t->counted);
    hone_cross_entropy loss = {t->targets, (float)weight};
    return hone_backward_run(t->back, b, t->weights, hone_cross_entropy_row, &loss, t->counted,
                             learn ? t->grads : NULL, sum);
}

size_t hone_count_targets(const hone_backward_batch *b, const int32_t *labels)
{
    size_t row = 0, count = 0;
    for (uint32_t s = 0; s < b->n_sequences; row += b->n_tokens[s++])
        for (uint32_t i = 1; i < b->n_tokens[s]; i++)
            count += labels[row + i] != HONE_NO_LABEL;
    return count;
}
