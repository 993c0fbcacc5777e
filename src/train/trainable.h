/*
 * trainable - a model whose weights can change: the packed model that runs, master weights in
 * float32, the gradient, and the way back (model/backward.h). With an adapter (model/adapter.h) the
 * model stands still, in any format, and what has master weights is the adapter.
 *
 * Ownership: a trainable owns all of it. Threading: one thread drives it; work is spread over its
 * pool. Gradients have the same bits on any number of threads.
 */
#ifndef HONE_TRAIN_TRAINABLE_H
#define HONE_TRAIN_TRAINABLE_H

#include "model/adapter.h"
#include "train/loss.h"

typedef struct hone_trainable_options {
    bool f32;               /* products in float32; else bfloat16 with float32 sums */
    int threads;            /* 0 = the CPUs allowed */
    const char *isa;        /* NULL = the best */
    hone_products products; /* EXACT, or BF16_DOT, other bits (docs/numerics.md) */
    uint32_t max_rows;      /* tokens of a batch */
    uint64_t memory_max;    /* of activations; 0 = no bound */
    size_t logit_bytes;     /* of logits at once; 0 = as is usual */
    /* Not the weights, but an adapter beside them is trained; NULL = the weights. Only copied. */
    const hone_adapter_options *adapter;
    /* One that is there, instead of a new one, or NULL; of `adapter` then only the seed counts. */
    const char *adapter_folder;
    bool quantise;           /* the weights that stand still: matrices of layers to ... */
    hone_dtype weight_dtype; /* ... this format */
} hone_trainable_options;

typedef struct hone_trainable {
    hone_model *model;
    hone_adapter *adapter;  /* or NULL */
    hone_parameters p;      /* what is trained: the adapter's, or the model's */
    float *weights, *grads; /* [p.floats] */
    bool zeroed;            /* grads are zeros */
    hone_backward *back;
    hone_pool *pool;
    const hone_kernels *kt;
    uint8_t *counted; /* [max_rows] */
    uint32_t max_rows;
} hone_trainable;

/* Errors: those of hone_model_load and hone_backward_open. The file may be closed afterwards. */
HONE_CHECKED hone_status hone_trainable_open(const hone_file *f, const hone_trainable_options *o,
                                             hone_trainable **out);
void hone_trainable_close(hone_trainable *t); /* NULL is fine */

void hone_trainable_zero(hone_trainable *t); /* the gradient */
/* Adds the gradient of a loss: `loss` gets the logits of each row whose target is not negative, the
 * row counted within this batch, and arg (model/backward.h; it has to weigh the gradient itself).
 * *sum gets the sum of what it returns. What does not fit into max_rows goes through in several
 * batches, each of whole sequences. `learn` false: the loss only. Errors: DATA (a token or target
 * that the vocabulary has not, a sequence beyond the model's context), LIMIT (a sequence longer
 * than max_rows). */
HONE_CHECKED hone_status hone_trainable_add_loss(hone_trainable *t, const hone_backward_batch *b,
                                                 hone_loss_fn *loss, void *arg,
                                                 const int32_t *targets, bool learn, double *sum);
/* The same of cross entropy, times weight. */
HONE_CHECKED hone_status hone_trainable_add(hone_trainable *t, const hone_backward_batch *b,
                                            const int32_t *targets, double weight, bool learn,
                                            double *sum);
/* The master weights have changed: into the packed model. */
void hone_trainable_push(hone_trainable *t);
/* Dropout of the batches that follow is that of this step of a run; false: of none (validation). */
void hone_trainable_draw(hone_trainable *t, bool learning, uint64_t step);
/* Multiply-adds x 2 of a token there and back, as is usual: 6 for each weight that is trained, 4
 * for each that stands still. */
double hone_trainable_flops(const hone_trainable *t);

#endif
