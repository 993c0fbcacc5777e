/*
 * rowstream - the rows of a tensor made, encoded and written in pieces, by all threads of a pool.
 *
 * A source fills float32 rows; they are encoded (round to nearest, dtype/dtype.h) and handed to a
 * GGUF writer in order. The bytes do not depend on the number of threads.
 *
 * Memory: one piece of a few megabytes plus one row of floats per thread; nothing per tensor.
 * Ownership: the stream owns its buffers. Threading: used by one thread; the source is called from
 * the pool's threads, several at once, on different rows.
 */
#ifndef HONE_COMPRESS_ROWSTREAM_H
#define HONE_COMPRESS_ROWSTREAM_H

#include "base/threads.h"
#include "file/write.h"

typedef struct hone_rowstream hone_rowstream;

/* Fills `row` of `k` elements. False if it cannot (the piece then fails). */
typedef bool hone_rowstream_source(void *arg, uint64_t row, uint64_t k, float *dst);
/* The bytes of `row` as they are to be stored; for tensors whose format does not change. */
typedef const void *hone_rowstream_rows(void *arg, uint64_t row);

HONE_CHECKED hone_status hone_rowstream_open(hone_gguf_writer *w, hone_pool *pool,
                                             hone_rowstream **out);
void hone_rowstream_close(hone_rowstream *s); /* NULL is fine */

/* Writes the next declared tensor: `rows` rows of k elements in `type`. FORMAT, naming the tensor
 * and row, if a value cannot be stored in `type`. */
HONE_CHECKED hone_status hone_rowstream_encode(hone_rowstream *s, const char *name, hone_dtype type,
                                               uint64_t rows, uint64_t k,
                                               hone_rowstream_source *source, void *arg);
/* The same with weights[matrices][k] for the columns of each run of rows / matrices rows
 * (hone_dtype_encode_weighted); `matrices` divides rows. */
HONE_CHECKED hone_status hone_rowstream_encode_weighted(hone_rowstream *s, const char *name,
                                                        hone_dtype type, uint64_t rows, uint64_t k,
                                                        hone_rowstream_source *source, void *arg,
                                                        const float *weights, uint64_t matrices);
/* The same without encoding. */
HONE_CHECKED hone_status hone_rowstream_copy(hone_rowstream *s, hone_dtype type, uint64_t rows,
                                             uint64_t k, hone_rowstream_rows *source, void *arg);

#endif
