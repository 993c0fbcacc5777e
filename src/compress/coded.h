/*
 * coded - matrices in codes as other programs' folders hold them: GPTQ's words of 4 bits with a
 * scale per group, compressed-tensors' bytes with a scale per output. Rounded to nearest, without
 * a text to calibrate with: layouts to measure, not the best codes that the layouts allow.
 *
 * A form is a row of the table; its tensors stand in the place of NAME.weight. The bytes depend on
 * the numbers alone. Threading: one thread; encoding runs on the pool.
 */
#ifndef HONE_COMPRESS_CODED_H
#define HONE_COMPRESS_CODED_H

#include "base/threads.h"
#include "file/write.h"

#include <jansson.h>

typedef struct hone_coded hone_coded;

const hone_coded *hone_coded_find(const char *name); /* "gptq-4bit-g128"; NULL = there is none */
const hone_coded *hone_coded_at(size_t i);           /* NULL past the last */
const char *hone_coded_name(const hone_coded *c);
/* Whether a matrix of n rows of k elements can be held; others stay plain. */
bool hone_coded_fits(const hone_coded *c, size_t n, size_t k);
/* quantization_config of config.json; NULL = no memory. */
json_t *hone_coded_config(const hone_coded *c);

/* Declares the tensors of the matrix NAME.weight; scales are of type `scales` (F16, BF16). */
HONE_CHECKED hone_status hone_coded_declare(const hone_coded *c, hone_safetensors_writer *w,
                                            const char *weight, size_t n, size_t k,
                                            hone_dtype scales);
/* Row `row` of k numbers into dst. Called from the pool's threads. */
typedef hone_status hone_coded_row(const void *arg, size_t row, float *dst);
/* Writes them. Memory: the matrix's codes. Errors: FORMAT (a number that is not finite), MEMORY,
 * and those of the writer. */
HONE_CHECKED hone_status hone_coded_write(const hone_coded *c, hone_safetensors_writer *w,
                                          const char *weight, size_t n, size_t k, hone_dtype scales,
                                          hone_coded_row *row, const void *arg, hone_pool *pool);

#endif
