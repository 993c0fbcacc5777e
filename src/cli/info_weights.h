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
#include "model/slots.h"

enum { INFO_ROWS = 24, INFO_NOTES = 8, INFO_NOTE = 300 };

/* Matrices that are stored and run alike. */
typedef struct info_row {
    char stored[96]; /* "gptq, 4 bits, groups of 128" */
    hone_layout layout;
    const char *exact; /* "exact", or what is rounded */
    uint64_t matrices, weights, bytes;
} info_row;

/* Which tensors a model takes. arch NULL: unknown, so all of them. */
typedef struct info_model {
    const hone_arch *arch;
    const hone_hparams *hp;
    const char *prefix;
    bool gguf;
} info_model;

typedef struct info_weights {
    const info_model *model;
    info_row rows[INFO_ROWS];
    size_t n_rows, n_notes;
    bool quantised; /* some matrix is stored in another form than one plain tensor */
    uint64_t packed_bytes;
    uint64_t unused, broken; /* tensors that the model does not take; matrices with an error */
    char notes[INFO_NOTES][INFO_NOTE]; /* the first of these */
} info_weights;

bool info_takes(const info_model *m, const char *tensor);
/* `m` must live as long as *out. MEMORY only: what is wrong with a matrix becomes a note. */
HONE_CHECKED hone_status info_weights_read(const hone_file *f, const info_model *m,
                                           info_weights *out);
HONE_CHECKED hone_status info_weights_print(const info_weights *w);
/* {"rows": [...], "notes": [...]}, NULL without memory. */
json_t *info_weights_json(const info_weights *w);

#endif
