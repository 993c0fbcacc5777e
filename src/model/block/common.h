/* common - what several blocks do: normalise the residual stream into packed activations, and add
 * to it. */
#ifndef HONE_MODEL_BLOCK_COMMON_H
#define HONE_MODEL_BLOCK_COMMON_H

#include "model/forward.h"

/* f->h = rmsnorm(f->x) * weight, packed for products with `w`. */
void hone_block_norm(hone_forward *f, const float *weight, const hone_packed *w, int flags,
                     int layer, hone_act *act);
/* x += h. */
void hone_block_add(hone_forward *f);

#endif
