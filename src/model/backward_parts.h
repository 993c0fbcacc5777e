/* backward_parts - what the files of backward share. Private to backward*.c. */
#ifndef HONE_MODEL_BACKWARD_PARTS_H
#define HONE_MODEL_BACKWARD_PARTS_H

#include "model/backward.h"

enum {
    HONE_BACK_SUM_ROWS = 256 /* rows whose sum is formed together: part of the definition */
};

/* Of y = x W^T, W[n][k] a parameter: what is wanted of one of several matrices */
typedef struct hone_back_matrix {
    const hone_parameter *p;
    const float *dy; /* [rows][n] */
    bool add;        /* dW += */
    bool head;       /* alone; W is packed once for all chunks of logits */
} hone_back_matrix;

/* dx = (or, add, +=) the sum of dy_j W_j in order of j, and dW_j = (or +=) dy_j^T x. dx NULL: not
 * wanted. x may be dx: it is read first. */
void hone_back_matrices(hone_backward *b, const hone_back_matrix *m, size_t n_jobs, const float *x,
                        size_t rows, float *dx, bool add);
/* What they and hone_back_multiply need at b->products. */
size_t hone_back_matrices_bytes(const hone_backward *b, const size_t *n, size_t n_jobs, size_t k,
                                size_t rows, bool head);
size_t hone_back_multiply_bytes(const hone_backward *b, size_t rows, size_t k, size_t n);
/* to[n] += the sum of rows of x, each chunk's by itself and then theirs in order. */
void hone_back_add_rows(hone_backward *b, const float *x, size_t rows, size_t n, float *to);

/* How activations of the way back are packed, and the bytes of a second factor W[n][k] */
int hone_back_act_flags(const hone_backward *b);
size_t hone_back_packed_bytes(const hone_backward *b, size_t n, size_t k);

/* hone_back_linear of a model whose weights stand still beside an adapter: backward_adapter.c */
void hone_back_adapted(hone_backward *b, int layer, const hone_back_job *jobs, size_t n_jobs,
                       const float *x, size_t rows, float *dx);
/* Memory that it needs: of one thread. */
size_t hone_back_adapted_thread_bytes(const hone_backward *b);

#endif
