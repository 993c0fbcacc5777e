/* common - what several blocks do: take the residual stream in, normalised if they want it so. */
#ifndef HONE_MODEL_BLOCK_COMMON_H
#define HONE_MODEL_BLOCK_COMMON_H

#include "model/forward.h"

/* What the block reads: the stream, normalised if use->norms says HONE_NORM_INPUT, rounded and
 * packed for products with inputs of k and these flags. */
void hone_block_input(hone_forward *f, int layer, const hone_block_use *use, size_t k, int flags,
                      hone_act *act);
/* y = the model's norm of x with what stands in `slot`, for `rows` rows of n. y may be x. */
void hone_block_norm(const hone_forward *f, const hone_linear *norm, const float *x, size_t rows,
                     size_t n, float *y);

/* The two ends of every attention: f->q, f->k, f->v from the stream; f->h from f->attended. */
void hone_block_qkv(hone_forward *f, int layer, const hone_block_use *use);
void hone_block_attention_out(hone_forward *f, int layer);

#endif
