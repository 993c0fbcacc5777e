/*
 * fresh - a checkpoint with random weights, to train from: config.json and model.safetensors in
 * float32 under the names that Hugging Face uses.
 *
 * Matrices and tables of embeddings are normal with standard deviation 0.02, those that write into
 * the residual stream (attention's and the MLP's last) 0.02 / sqrt(2 layers) (Radford et al.,
 * 2019); norms 1, biases 0. A number depends on (seed, tensor, place) alone.
 *
 * Biases exist where the architecture always has them, or config.json says attention_bias or
 * mlp_bias; head norms where the architecture has them.
 */
#ifndef HONE_TRAIN_FRESH_H
#define HONE_TRAIN_FRESH_H

#include "file/file.h"

/* Writes the two files into `folder`, which is made; json is the text of config.json, `path` where
 * it is from, for messages; threads as of hone_pool_open. Errors: those of hone_arch_read, DISK,
 * PERMISSION, MEMORY, USAGE (the folder has a model already). */
HONE_CHECKED hone_status hone_fresh_write(const char *json, const char *path, uint64_t seed,
                                          int threads, const char *folder);

#endif
