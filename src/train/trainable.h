/*
 * trainable - a model whose weights can change: the packed model that runs, its master weights in
 * float32, the gradient, and the way back (model/backward.h).
 *
 * Ownership: a trainable owns all of it. Threading: one thread drives it; work is spread over its
 * pool. Gradients have the same bits on any number of threads.
 */
#ifndef HONE_TRAIN_TRAINABLE_H
#define HONE_TRAIN_TRAINABLE_H

#include "train/loss.h"

typedef struct hone_trainable_options {
    bool f32;               /* products in float32; else bfloat16 with float32 sums */
    int threads;            /* 0 = the CPUs allowed */
    const char *isa;        /* NULL = the best */
    hone_products products; /* EXACT, or BF16_DOT, other bits (docs/numerics.md) */
    uint32_t max_rows;      /* tokens of a batch */
    uint64_t memory_max;    /* of activations; 0 = no bound */
} hone_trainable_options;

typedef struct hone_trainable {
    hone_model *model;
    hone_parameters p;
    float *weights, *grads; /* [p.floats] */
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
/* Adds the gradient of the batch's cross entropy times weight; *sum gets the loss of the rows that
 * have a target (targets[rows], negative = none). What does not fit into max_rows goes through in
 * several batches, each of whole sequences. `learn` false: the loss only. Errors: DATA (a token or
 * target that the vocabulary has not, a sequence beyond the model's context), LIMIT (a sequence
 * longer than max_rows). */
HONE_CHECKED hone_status hone_trainable_add(hone_trainable *t, const hone_backward_batch *b,
                                            const int32_t *targets, double weight, bool learn,
                                            double *sum);
/* The master weights have changed: into the packed model. */
void hone_trainable_push(hone_trainable *t);

#endif
