/*
 * source - a weight matrix as a checkpoint holds it: whichever tensors it lies in, however it is
 * coded. One file per kind in model/source/ and one row in source.c; the loader asks for a matrix
 * by its name and packs the rows that it is given.
 *
 * Ownership: a source points into its file, which must stay open. Threading: rows may be read by
 * many threads.
 */
#ifndef HONE_MODEL_SOURCE_H
#define HONE_MODEL_SOURCE_H

#include "file/file.h"
#include "kernel/kernel.h"

enum { HONE_SOURCE_TENSORS = 6 };

typedef struct hone_source {
    hone_rows rows; /* of the whole stored matrix; bits 0 = decode only */
    size_t n, k;
    const char *name; /* of the matrix, for messages: a tensor's name */
    /* The tensors that hold it, NULL after the last: their pages are let go after packing. */
    const hone_tensor *tensors[HONE_SOURCE_TENSORS];
    void *owned; /* what rows.context needs; freed by close */
} hone_source;

typedef struct hone_source_kind {
    const char *name; /* "plain" */
    /* Whether the file holds the matrix that would be called `weight` ("....weight") in this kind.
     */
    bool (*holds)(const hone_file *f, const char *weight);
    /* Checks every tensor of it against [n][k] and fills *out. Errors: NOT_FOUND, FORMAT,
     * UNSUPPORTED naming the tensor. */
    hone_status (*open)(const hone_file *f, const char *weight, size_t n, size_t k,
                        hone_source *out);
} hone_source_kind;

/* The matrix called `weight`, [n][k], in the first kind that holds it (a plain tensor if none).
 * `weight` must outlive the source, unless it is a tensor's own name. */
HONE_CHECKED hone_status hone_source_open(const hone_file *f, const char *weight, size_t n,
                                          size_t k, hone_source *out);
void hone_source_close(hone_source *s);

extern const hone_source_kind hone_source_plain;

#endif
