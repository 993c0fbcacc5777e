/*
 * scaled - what the kinds of quantised matrices share: elements (codes of a few bits, or small
 * floats) times scales, less zero points. A kind says where its elements and scales lie; from that
 * this file makes exact codes for the kernels and true values in float32. Private to
 * model/source/.
 *
 * Ownership: the tensors belong to the file; hone_scaled_open copies the description into memory
 * that the source owns. Threading: read by many threads.
 */
#ifndef HONE_MODEL_SOURCE_SCALED_H
#define HONE_MODEL_SOURCE_SCALED_H

#include "model/source.h"
#include "model/source/claim.h"

#include <string.h>

/* Numbers laid over a matrix: one for each rows_per x cols_per of it. NULL data: all are 1. */
typedef struct hone_grid {
    const uint8_t *data;
    hone_dtype dtype;
    size_t rows_per, cols_per; /* SIZE_MAX = all */
    size_t row_stride, col_stride;
} hone_grid;

typedef struct hone_scaled hone_scaled;
struct hone_scaled {
    size_t n, k;
    uint32_t bits; /* of a code, 2..8; 0 = elements are numbers, read by `values` */
    size_t run;    /* weights of a row with one scale, from multiples of it on; k = the row */
    /* value = factor * scale * (table ? table[code] : code - zero point) */
    const float *table; /* 16 entries, bits 4 */
    float factor;
    hone_grid scales;
    int zero; /* where zero_at is NULL */

    /* Elements of a row: codes of places at[0..count), values of places k0.. */
    void (*codes)(const hone_scaled *m, size_t row, const uint32_t *at, size_t count, uint8_t *out);
    bool (*values)(const hone_scaled *m, size_t row, size_t k0, size_t count, float *out);
    float (*scale_at)(const hone_scaled *m, size_t row, size_t k); /* NULL: from the grid */
    int (*zero_at)(const hone_scaled *m, size_t row, size_t group);

    /* The kind's own. */
    const hone_tensor *elements, *zeros, *extra;
    size_t words;           /* 32-bit words from row to row of the elements */
    size_t zero_words;      /* and of the zero points */
    const uint8_t *place;   /* of 8 codes within a word */
    const uint8_t *base;    /* of the elements */
    float map[256], offset; /* of scales that are codes themselves */
    float values_of_table[16];
    size_t block; /* weights per scale in a matrix read as one row */

    /* Set by open. */
    const uint32_t *groups, *order; /* [k] or NULL: scattered groups */
    int bias;                       /* what is taken from a code before it goes to the kernels */
    bool has_min;
};

/* Fills the rest of *out (n, k, rows, order, owned) from a description. g_idx: the group of each
 * column, NULL = in order. Errors: FORMAT (g_idx), MEMORY. */
HONE_CHECKED hone_status hone_scaled_open(const hone_file *f, const hone_scaled *m,
                                          const hone_tensor *g_idx, hone_source *out);

/* The codes of a matrix whose elements are int8 numbers, one after the other: 128 is zero. */
void hone_scaled_bytes(const hone_scaled *m, size_t row, const uint32_t *at, size_t count,
                       uint8_t *out);

/* The part of a matrix that is called its name (without ".weight") and `suffix`; NULL = none. */
const hone_tensor *hone_part(const hone_file *f, const char *weight, const char *suffix);
/* NOT_FOUND, naming it. */
HONE_CHECKED hone_status hone_part_need(const hone_file *f, const char *weight, const char *suffix,
                                        const hone_tensor **out);
/* FORMAT unless t is a plain tensor of this shape / of 32-bit integers / of float numbers. */
HONE_CHECKED hone_status hone_part_shape(const hone_file *f, const hone_tensor *t, uint64_t rows,
                                         uint64_t cols);
HONE_CHECKED hone_status hone_part_words(const hone_file *f, const hone_tensor *t);
HONE_CHECKED hone_status hone_part_floats(const hone_file *f, const hone_tensor *t);
/* FORMAT if the matrix of `t` is n x k and another was asked for (0, 0 = any); LIMIT if absurd. */
HONE_CHECKED hone_status hone_part_matrix(const hone_file *f, const hone_tensor *t, size_t n,
                                          size_t k, size_t want_n, size_t want_k);

/* Scales in a tensor: one in all, [n], [n][1], or a grid [ceil(n / rows_per)][ceil(k / cols_per)]
 * whose cell sizes come from `rows_per`, `cols_per` (0 = from the shape, if it divides). */
HONE_CHECKED hone_status hone_grid_open(const hone_file *f, const hone_tensor *t, size_t n,
                                        size_t k, uint64_t rows_per, uint64_t cols_per,
                                        hone_grid *out);

/* Columns per group for hone_grid_open, of scales [n][groups]: 0 if the shape says it, else what is
 * claimed. */
uint64_t hone_group_size(const hone_tensor *scales, size_t k, const hone_claim *claim);
/* Scales in a tensor [groups][n], `run` columns of a row to a group. */
HONE_CHECKED hone_status hone_grid_open_groups(const hone_file *f, const hone_tensor *t, size_t n,
                                               size_t run, hone_grid *out);

static inline uint32_t hone_word_at(const uint8_t *p, size_t i)
{
    uint32_t w;
    memcpy(&w, p + 4 * i, 4);
    return w;
}

#endif
