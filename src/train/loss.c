#include "train/loss.h"

double hone_cross_entropy_row(void *arg, const hone_kernels *kt, size_t row, float *z, size_t vocab)
{
    const hone_cross_entropy *c = arg;
    size_t target = (size_t)c->targets[row];
    double at = (double)z[target], loss = (double)kt->logsumexp(z, vocab) - at;
    float sum = kt->exp_sum(z, kt->max(z, vocab), vocab, z);
    kt->scale(z, c->weight / sum, vocab);
    z[target] -= c->weight;
    return loss;
}

size_t hone_shift_labels(const hone_backward_batch *b, const int32_t *labels, int32_t *targets)
{
    size_t row = 0, count = 0;
    for (uint32_t s = 0; s < b->n_sequences; s++)
        for (uint32_t i = 0; i < b->n_tokens[s]; i++, row++) {
            int32_t label = i + 1 < b->n_tokens[s] ? labels[row + 1] : HONE_LABEL_IGNORED;
            targets[row] = label == HONE_LABEL_IGNORED ? -1 : label;
            count += targets[row] >= 0;
        }
    return count;
}
