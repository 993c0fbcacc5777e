/*
 * dataset_item - one document's way to tokens. Private to train/data/.
 */
#ifndef HONE_TRAIN_DATA_DATASET_ITEM_H
#define HONE_TRAIN_DATA_DATASET_ITEM_H

#include "text/documents.h"
#include "train/data/dataset_build.h"

#include <stddef.h>
#include <xxhash.h>

typedef struct hone_dataset_item {
    hone_status status; /* with `why` (hone_free), unless it is HONE_OK */
    char *why;
    XXH128_hash_t hash;
    size_t bytes;   /* of text that became tokens */
    int32_t *ids;   /* [n_ids], owned */
    uint8_t *learn; /* [n_ids] 0 or 1, owned; NULL: all but the first */
    size_t n_ids;
} hone_dataset_item;

/* Fills an item that is all 0. Any thread. */
void hone_dataset_item_encode(const hone_dataset_build_options *o, const hone_document *d,
                              hone_dataset_item *item);
/* Frees what it owns. */
void hone_dataset_item_free(hone_dataset_item *item);

#endif
