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

enum { HONE_LABEL_IGNORED = -100 }; /* in labels, as Hugging Face has it */

/* Targets of the batch's rows: the tokens that come next; negative = the row has no loss. */
typedef struct hone_cross_entropy {
    const int32_t *targets; /* [rows] */
    float weight;           /* of a row's gradient: 1 / (counted rows of the whole step) */
} hone_cross_entropy;

/* loss = log sum exp(z) - z[target], unweighted;  gradient = (softmax(z) - onehot(target)) * weight
 */
hone_loss_fn hone_cross_entropy_row;

/* From Hugging Face's labels, those of the tokens themselves (-100 = none), to targets: labels[i +
 * 1] at row i, none at the last row of a sequence. Returns how many targets there are. */
size_t hone_shift_labels(const hone_backward_batch *b, const int32_t *labels, int32_t *targets);

#endif
