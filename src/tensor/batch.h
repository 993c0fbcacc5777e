/*
 * batch - the ragged batch of one forward step, as plain structs: rows of tokens of several
 * sequences, one after the other.
 */
#ifndef HONE_TENSOR_BATCH_H
#define HONE_TENSOR_BATCH_H

#include <stddef.h>
#include <stdint.h>

typedef struct hone_sequence {
    uint32_t first_row, n_rows; /* its rows in the batch, consecutive positions */
    uint32_t first_position;    /* absolute position of the first row */
    /* pages[t][i]: page i of table t, which holds positions 64 i ... of the layers of that table
     * (model/kv_tables.h). Pages behind a table's window may be NULL. */
    void *const *const *pages;
    uint32_t long_rope; /* 1: the sequence may get longer than hone_hparams.long_from */
} hone_sequence;

typedef struct hone_batch {
    uint32_t rows;
    const int32_t *tokens; /* [rows] */
    const int32_t *types;  /* [rows] token types, or NULL = all 0 */
    uint32_t n_sequences;
    const hone_sequence *sequences;
    uint32_t n_wanted;
    const uint32_t *wanted; /* rows whose logits are wanted, ascending */
    int hidden;             /* 1: not logits are wanted, but what the final norm gives */
} hone_batch;

#endif
