/*
 * info_weights - the matrices of a model for `hone info`: how they are stored, what the kernels
 * get, whether that is exact, and what would not be used. Ownership: caller's struct, no memory of
 * its own. Threading: one thread.
 */
#ifndef HONE_CLI_INFO_WEIGHTS_H
#define HONE_CLI_INFO_WEIGHTS_H

#include "base/json.h"
#include "file/file.h"
#include "kernel/kernel.h"

enum { INFO_ROWS = 24, INFO_NOTES = 8, INFO_NOTE = 300 };

/* Matrices that are stored and run alike. */
typedef struct info_row {
    char stored[96]; /* "gptq, 4 bits, groups of 128" */
    hone_layout layout;
    const char *exact; /* "exact", or what is rounded */
    uint64_t matrices, weights, bytes;
} info_row;

typedef struct info_weights {
    info_row rows[INFO_ROWS];
    size_t n_rows, n_notes;
    bool quantised; /* some matrix is stored in another form than one plain tensor */
    uint64_t packed_bytes;
    uint64_t unused, broken; /* tensors of quantised forms in no matrix; matrices with an error */
    char notes[INFO_NOTES][INFO_NOTE]; /* the first of these */
} info_weights;

/* MEMORY only: what is wrong with a matrix becomes a note. */
HONE_CHECKED hone_status info_weights_read(const hone_file *f, info_weights *out);
HONE_CHECKED hone_status info_weights_print(const info_weights *w);
/* {"rows": [...], "notes": [...]}, NULL without memory. */
json_t *info_weights_json(const info_weights *w);

#endif
