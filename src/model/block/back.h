/* back - the blocks' backward, each next to its forward. Private to block/. */
#ifndef HONE_MODEL_BLOCK_BACK_H
#define HONE_MODEL_BLOCK_BACK_H

#include "model/backward.h"

void hone_block_mlp_back(hone_backward *b, int layer, const float *in, const float *dh, float *din);
void hone_block_attention_back(hone_backward *b, int layer, const float *in, const float *dh,
                               float *din);

#endif
