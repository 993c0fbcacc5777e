/*
 * quantize - a model written again with its matrices in other formats, as a GGUF file.
 *
 * From GGUF: metadata and names are carried over, whatever the architecture. From a Hugging Face
 * folder: an architecture of model/arch/ is renamed, its rows of Q and K reordered and its
 * tokenizer carried over, so that llama.cpp loads the result. Values are rounded to nearest
 * (dtype/dtype.h); a tensor whose format does not change keeps its bytes. Vectors (norms, biases)
 * stay or become F32; matrices that are neither attention, MLP, head nor embedding stay as they
 * are.
 *
 * The bytes written do not depend on the number of threads. Nothing is left behind by a failure.
 * Threading: used by one thread, which the callbacks run on.
 */
#ifndef HONE_COMPRESS_QUANTIZE_H
#define HONE_COMPRESS_QUANTIZE_H

#include "base/threads.h"
#include "compress/imatrix.h"
#include "compress/mix.h"
#include "file/file.h"

typedef enum hone_quantize_kind {
    HONE_QUANTIZE_ATTENTION,
    HONE_QUANTIZE_MLP,
    HONE_QUANTIZE_HEAD, /* of a tied model: the embedding, unless that is given too */
    HONE_QUANTIZE_EMBEDDING,
    HONE_QUANTIZE_KINDS
} hone_quantize_kind;

enum { HONE_QUANTIZE_DEFAULT = -1 };

typedef struct hone_quantize_options {
    hone_dtype type;
    int kind[HONE_QUANTIZE_KINDS];  /* hone_dtype of that kind, or HONE_QUANTIZE_DEFAULT: type */
    const hone_mix *mix;            /* distributes formats in the place of type; or NULL */
    const hone_imatrix *importance; /* or NULL: every column counts the same */
    bool passing; /* on its way to a folder that gets the tokenizer's own files: what GGUF cannot
                     say of it is no error */
} hone_quantize_options;

typedef struct hone_quantize_result {
    uint64_t tensors, encoded, copied;  /* encoded + copied = tensors */
    uint64_t fallbacks;                 /* matrices whose rows the wanted format does not divide */
    uint64_t requantized;               /* encoded from a format that was lossy already */
    uint64_t weighted;                  /* encoded with importances */
    uint64_t bytes_before, bytes_after; /* of tensor data */
} hone_quantize_result;

typedef struct hone_quantize_events {
    /* Before each tensor; may be NULL. */
    void (*progress)(void *arg, const char *tensor, double done, double total);
    /* What the user should know: fallbacks, a missing tokenizer. One line. May be NULL. */
    void (*remark)(void *arg, const char *text);
    void *arg;
} hone_quantize_events;

/* Errors: UNSUPPORTED (an architecture, tensor, tokenizer or rope scaling that GGUF cannot express
 * or hone cannot convert), FORMAT (a value that the format cannot hold; names tensor and row),
 * USAGE (a type without encoder, a path that is one of f's own files), DISK, PERMISSION, MEMORY,
 * INTERRUPTED. */
HONE_CHECKED hone_status hone_quantize(const hone_file *f, const hone_quantize_options *o,
                                       const char *path, hone_pool *pool,
                                       const hone_quantize_events *events,
                                       hone_quantize_result *out);

#endif
