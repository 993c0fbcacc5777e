/*
 * tensor - the plain structs that travel between floors. No behaviour, no ownership.
 */
#ifndef HONE_TENSOR_TENSOR_H
#define HONE_TENSOR_TENSOR_H

#include <stddef.h>
#include <stdint.h>

enum { HONE_MAX_DIMS = 8 };

/* A tensor as it stands in a file: row-major, shape[0] the slowest dimension (Hugging Face's order;
 * GGUF's own order is reversed on reading). `data` points into the mapped file and is only ever
 * read. safetensors may hold tensors without elements (a dimension of 0, bytes 0). */
typedef struct hone_tensor {
    const char *name;
    int dtype;  /* hone_dtype */
    int n_dims; /* 1..HONE_MAX_DIMS; a scalar has n_dims 1 and shape {1} */
    uint64_t shape[HONE_MAX_DIMS];
    const uint8_t *data;
    uint64_t bytes;
} hone_tensor;

#endif
