/*
 * packed_key - the name of a packed model in the cache: a hash of the file's fingerprint, of the
 * plan that says what lies where, and of what the packer makes of a fixed pattern in every format.
 * The last makes a change of any layout a change of the key, with no version to be kept by hand.
 * No instruction set goes in: the packer has one arithmetic.
 */
#ifndef HONE_MODEL_PACKED_KEY_H
#define HONE_MODEL_PACKED_KEY_H

#include "file/file.h"
#include "kernel/kernel.h"
#include "model/packed_cache.h"

typedef struct hone_packed_key {
    uint64_t low, high;
} hone_packed_key;

void hone_packed_key_add(hone_packed_key *k, const void *data, size_t bytes);
void hone_packed_key_add_plan(hone_packed_key *k, const hone_packed *w);
HONE_CHECKED hone_status hone_packed_key_end(hone_packed_key *k, const hone_file *f,
                                             char key[HONE_PACKED_KEY]);

#endif
