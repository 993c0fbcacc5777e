/*
 * synth - a model with random weights in a real shape: the stand-in for a download in benchmarks.
 *
 * The file is a plain GGUF that other engines load too: llama.cpp's names, metadata and row order,
 * and a byte-level BPE tokenizer whose vocabulary has the real size, whatever the model's own is
 * (256 bytes, then strings of letters built by merges, then the special tokens of Llama 3).
 *
 * Every number depends only on (seed, the tensor's name, its index in the tensor): Philox words
 * pick from the 65536 quantiles of a normal distribution. Matrices have standard deviation
 * 1/sqrt(fan in), norms are 1 + N(0, 1)/16, biases N(0, 1)/16, so activations stay of order one.
 * The same options give the same bytes on every machine and any number of threads.
 */
#ifndef HONE_COMPRESS_SYNTH_H
#define HONE_COMPRESS_SYNTH_H

#include "base/threads.h"
#include "dtype/dtype.h"

typedef struct hone_synth_shape {
    const char *name; /* "llama-3.2-1b" */
    const char *what; /* one line for help */
    uint32_t layers;
    const char *config; /* its config.json, with "%u" for the number of layers */
} hone_synth_shape;

size_t hone_synth_shape_count(void);
const hone_synth_shape *hone_synth_shape_at(size_t i);
const hone_synth_shape *hone_synth_shape_find(const char *name); /* NULL = there is none */

typedef struct hone_synth_options {
    const hone_synth_shape *shape;
    uint32_t layers; /* 0 = as the shape has */
    hone_dtype type; /* of the matrices; vectors, positions and token types are F32 */
    uint64_t seed;
} hone_synth_options;

typedef struct hone_synth_result {
    uint64_t parameters, tensors, bytes;
} hone_synth_result;

/* `done` of `total` elements; called between tensors on the calling thread. May be NULL. */
typedef void hone_synth_progress(void *arg, const char *tensor, double done, double total);

/* Writes the model to `path`, atomically. Errors: USAGE (a type without encoder), DISK, PERMISSION,
 * MEMORY, INTERRUPTED. */
HONE_CHECKED hone_status hone_synth_write(const hone_synth_options *o, const char *path,
                                          hone_pool *pool, hone_synth_progress *progress, void *arg,
                                          hone_synth_result *out);

/* n normal numbers with standard deviation `scale`, those of elements [first, first + n) of the
 * tensor; first a multiple of 8. */
void hone_synth_normal(uint64_t seed, const char *tensor, uint64_t first, size_t n, float scale,
                       float *dst);

#endif
