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
    void *const *pages;         /* page i holds positions 64 i ...: of all layers and KV heads */
} hone_sequence;

typedef struct hone_batch {
    uint32_t rows;
    const int32_t *tokens; /* [rows] */
    uint32_t n_sequences;
    const hone_sequence *sequences;
    uint32_t n_wanted;
    const uint32_t *wanted; /* rows whose logits are wanted, ascending */
} hone_batch;

#endif
