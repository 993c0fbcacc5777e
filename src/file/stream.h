/*
 * stream - what the two writers share: the declared tensors and how far their data has come.
 * Private to file/.
 */
#ifndef HONE_FILE_STREAM_H
#define HONE_FILE_STREAM_H

#include "file/internal.h"

/* A declared tensor: the name belongs to the stream; data is unused. */
typedef struct hone_stream {
    hone_writer *out;
    hone_tensor *tensors;
    size_t count, capacity;
    hone_arena arena;
    size_t current;   /* tensor that is being written */
    uint64_t done;    /* its bytes that are written */
    size_t alignment; /* every tensor is padded to a multiple */
} hone_stream;

HONE_CHECKED hone_status hone_stream_open(hone_stream *s, const char *path, size_t alignment);
HONE_CHECKED hone_status hone_stream_declare(hone_stream *s, const char *name, hone_dtype dtype,
                                             int n_dims, const uint64_t *shape);
HONE_CHECKED hone_status hone_stream_write(hone_stream *s, const void *data, size_t bytes);
HONE_CHECKED hone_status hone_stream_write_f32(hone_stream *s, const float *values, size_t n);
/* Commits the file; FORMAT if data is missing. s is closed either way. */
HONE_CHECKED hone_status hone_stream_commit(hone_stream *s);
void hone_stream_abort(hone_stream *s);

/* A byte buffer that grows; after a failure (no memory) it only stays failed. */
typedef struct hone_bytes {
    uint8_t *data;
    size_t used, capacity;
    bool failed;
} hone_bytes;
void hone_bytes_add(hone_bytes *b, const void *data, size_t n);
HONE_CHECKED hone_status hone_bytes_check(const hone_bytes *b);

#endif
