/*
 * imatrix - importance matrices: for every input column of a weight matrix the mean square of the
 * activations that met it, as llama.cpp's llama-imatrix writes them: GGUF files ("in_sum2" and
 * "counts" of each tensor) and the older ".dat" form.
 *
 * Ownership: the matrix owns all; weights live until close. Threading: immutable once open.
 */
#ifndef HONE_COMPRESS_IMATRIX_H
#define HONE_COMPRESS_IMATRIX_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct hone_imatrix hone_imatrix;

/* Errors: NOT_FOUND, PERMISSION, FORMAT (damaged, or no importance matrix), LIMIT, MEMORY. */
HONE_CHECKED hone_status hone_imatrix_open(const char *path, hone_imatrix **out);
/* The same from bytes of a .dat file in memory. */
HONE_CHECKED hone_status hone_imatrix_read(const void *data, size_t bytes, hone_imatrix **out);
void hone_imatrix_close(hone_imatrix *m); /* NULL is fine */

size_t hone_imatrix_entries(const hone_imatrix *m);
/* Importance of the k columns of tensor `name` (GGUF's name), [*matrices][k]: one for all its rows,
 * or one for each of the `stacked` matrices that it holds (1: it is a matrix itself). *weights is
 * NULL if there is none. m may be NULL. Errors: FORMAT, the entry has another size: it is of
 * another model. */
HONE_CHECKED hone_status hone_imatrix_weights(const hone_imatrix *m, const char *name, uint64_t k,
                                              uint64_t stacked, const float **weights,
                                              uint64_t *matrices);

#endif
