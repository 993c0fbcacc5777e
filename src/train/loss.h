/*
 * loss - what training makes smaller, as hone_loss_fn (model/backward.h): from one row's logits to
 * its loss and d loss / d logits. A further loss (distillation: a teacher's logits beside the
 * labels) is one function and what it needs of the batch.
 *
 * Threading: pure functions; called from the pool's threads.
 */
#ifndef HONE_TRAIN_LOSS_H
#define HONE_TRAIN_LOSS_H

#include "model/backward.h"

enum { HONE_NO_LABEL = -100 }; /* as Hugging Face: the row has no loss */

/* Targets of the batch's rows: what comes next, or HONE_NO_LABEL. */
typedef struct hone_cross_entropy {
    const int32_t *targets; /* [rows] */
    float weight;           /* of a row's gradient: 1 / (counted rows of the whole step) */
} hone_cross_entropy;

/* loss = log sum exp(z) - z[target], unweighted;  gradient = (softmax(z) - onehot(target)) * weight
 */
hone_loss_fn hone_cross_entropy_row;

/* Targets of sequences with labels: labels[i + 1] at row i, none at the last row of a sequence.
 * counted[r] = 1 where there is one; returns how many. */
size_t hone_shift_labels(const hone_backward_batch *b, const int32_t *labels, int32_t *targets,
                         uint8_t *counted);

#endif
