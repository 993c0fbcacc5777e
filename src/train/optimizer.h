/*
 * optimizer - from a gradient to new weights: AdamW (Loshchilov and Hutter, arXiv:1711.05101) with
 * clipping by the norm of the whole gradient. A further optimiser is one more row in optimizer.c.
 *
 * Sums and steps go in chunks of fixed size, so that bits do not depend on threads. Ownership: an
 * optimizer owns its means. Threading: one thread, which works with the trainable's pool.
 */
#ifndef HONE_TRAIN_OPTIMIZER_H
#define HONE_TRAIN_OPTIMIZER_H

#include "train/trainable.h"

typedef struct hone_optimizer_options {
    float beta1, beta2, eps;
    float decay;    /* of weights, times the learning rate */
    bool decay_all; /* of norms and biases too; otherwise only of matrices */
    float clip;     /* the gradient's norm is at most this; 0 = as it is */
} hone_optimizer_options;

typedef struct hone_optimizer {
    hone_optimizer_options o;
    float *m, *v; /* [p.floats] means of the gradient and of its square */
    float *sums;  /* of squares, a chunk each */
    size_t floats, chunks;
    uint64_t steps; /* done */
} hone_optimizer;

HONE_CHECKED hone_status hone_optimizer_open(const hone_trainable *t,
                                             const hone_optimizer_options *o, hone_optimizer *out);
void hone_optimizer_close(hone_optimizer *o);

/* The Euclidean norm of the whole gradient; NaN or infinite if an element is. */
double hone_gradient_norm(hone_optimizer *o, hone_trainable *t);
/* One step with this learning rate; norm is hone_gradient_norm's. Packs the new weights. */
void hone_optimizer_step(hone_optimizer *o, hone_trainable *t, double norm, double rate);

#endif
