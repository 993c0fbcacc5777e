/*
 * dataset - tokens on disk, mapped, and rows of them in the order in which a trainer wants them.
 *
 * A data set is a file of token ids with the offsets of its documents and, of conversations, a bit
 * per token that says whether the model is to learn it (train/data/dataset_build.h makes it, the
 * layout is in docs/format/tokens.md). Everything is checked once, at open.
 *
 * An epoch goes through all documents, in an order that depends on the seed and the number of the
 * epoch alone, packs them into rows of `length` tokens, and gives the rows in an order likewise, so
 * that a batch does not have one long document alone. A stretch of one document within a row
 * is a segment; attention stays within it and its positions start from 0. What a row gets depends
 * on nothing but (file, options, epoch, row), so that a cursor of two numbers resumes exactly.
 *
 *     row:     a0 a1 a2 </s> b0 b1 | b2 b3 </s> c0 c1 c2      a document may go on in the next row
 *     labels:  a1 a2 </s> -1 b1 b2 | b3 </s> -1 c1 c2 c3      the token that follows; -1: no loss
 *     starts:   0  0  0   0   4  4 |  0  0   0   3  3  3      where the segment begins
 *
 * Ownership: the data set owns its map and tables; a batch owns its arrays. Threading: a data set
 * belongs to one thread at a time (hone_dataset_read alone may be called by several).
 */
#ifndef HONE_TRAIN_DATA_DATASET_H
#define HONE_TRAIN_DATA_DATASET_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { HONE_NO_LABEL = -1 };

typedef struct hone_dataset_options {
    uint32_t length; /* tokens of a row, at least 2 */
    uint64_t seed;
    bool shuffle;    /* another order of documents and rows in each epoch; else that of the file */
    bool whole;      /* a document that fits into a row is not cut: it starts the next row, and the
                        rest of this one is padding. For conversations and short texts */
    int32_t padding; /* the id that fills rows; it is never learned */
} hone_dataset_options;

typedef struct hone_dataset_info {
    uint64_t documents, tokens;
    uint64_t targets;     /* tokens that may be learned: all but the first of each document, or the
                             assistant's of conversations */
    uint64_t longest;     /* tokens of the longest document */
    uint64_t fingerprint; /* of the tokenizer (hone_dataset_fingerprint) */
    uint64_t content;     /* hash of everything in the file */
    int32_t vocab;        /* ids are below */
    bool masked;          /* some tokens are not to be learned */
} hone_dataset_info;

typedef struct hone_dataset hone_dataset;

/* `path`: a file of tokens, or a folder that hone_dataset_build made, of which `split` ("train",
 * "validation") is taken. Errors: NOT_FOUND, FORMAT (damaged, cut short, not such a file), DATA (it
 * holds no documents), USAGE (length), MEMORY. */
HONE_CHECKED hone_status hone_dataset_open(const char *path, const char *split,
                                           const hone_dataset_options *options, hone_dataset **out);
void hone_dataset_close(hone_dataset *d); /* NULL is fine */
const hone_dataset_info *hone_dataset_get_info(const hone_dataset *d);
/* Rows of the present epoch: with `whole` and `shuffle` epochs may differ by a few. */
uint64_t hone_dataset_rows(const hone_dataset *d);

/* All arrays are [rows][length]. */
typedef struct hone_dataset_batch {
    uint32_t rows, length;
    int32_t *ids;
    int32_t *labels;  /* what follows ids[i]; HONE_NO_LABEL: no loss here */
    int32_t *starts;  /* where in the row the segment of i begins: i attends to [starts[i], i] and
                         has the position i - starts[i]. Each padding is a segment of its own */
    uint64_t targets; /* labels that are none of HONE_NO_LABEL */
    uint64_t tokens;  /* ids that are no padding */
    int32_t *memory;  /* the one block behind the arrays */
} hone_dataset_batch;
HONE_CHECKED hone_status hone_dataset_batch_open(uint32_t rows, uint32_t length,
                                                 hone_dataset_batch *out);
void hone_dataset_batch_close(hone_dataset_batch *b);

/* Rows [first, first + b->rows) of the present epoch; those beyond its end are padding. For a pass
 * over validation data. b->length must be the data set's. */
void hone_dataset_read(const hone_dataset *d, uint64_t first, hone_dataset_batch *b);

/* The next rows, going on into the next epoch where one ends; moves the cursor. Errors: MEMORY, and
 * then the cursor is where it was. */
HONE_CHECKED hone_status hone_dataset_next(hone_dataset *d, hone_dataset_batch *b);

/* Where the next row comes from: what a checkpoint keeps. */
typedef struct hone_dataset_cursor {
    uint64_t epoch, row;
} hone_dataset_cursor;
hone_dataset_cursor hone_dataset_tell(const hone_dataset *d);
/* USAGE: the epoch has no such row (another file, or other options). */
HONE_CHECKED hone_status hone_dataset_seek(hone_dataset *d, hone_dataset_cursor at);

struct hone_tokenizer;
/* A number that two tokenizers share if they have the same tokens under the same ids. */
uint64_t hone_dataset_fingerprint(const struct hone_tokenizer *t);

#endif
