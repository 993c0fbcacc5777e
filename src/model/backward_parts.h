/* backward_parts - what the files of backward share. Private to backward*.c. */
#ifndef HONE_MODEL_BACKWARD_PARTS_H
#define HONE_MODEL_BACKWARD_PARTS_H

#include "model/backward.h"

enum {
    HONE_BACK_SUM_ROWS = 256 /* rows whose sum is formed together: part of the definition */
};

/* y = (or +=) act x m^T, spread over the pool. */
void hone_back_product(hone_backward *b, const hone_act *act, const hone_packed *m, float *y,
                       size_t ldy, bool add);
/* dx = (or +=) dy W of a parameter W[n][k]; b->act then holds dy[rows][n] packed. */
void hone_back_to_inputs(hone_backward *b, const hone_parameter *p, const float *dy, size_t rows,
                         float *dx, bool add);
/* dW = (or +=) dy^T x; not `first`: with the x of the call before. */
void hone_back_to_weights(hone_backward *b, const hone_parameter *p, const float *dy,
                          const float *x, size_t rows, bool first, bool add);
/* to[n] += the sum of rows of x, each chunk's by itself and then theirs in order. */
void hone_back_add_rows(hone_backward *b, const float *x, size_t rows, size_t n, float *to);

/* hone_back_linear of a model whose weights stand still beside an adapter: backward_adapter.c */
void hone_back_adapted(hone_backward *b, int layer, const hone_back_job *jobs, size_t n_jobs,
                       const float *x, size_t rows, float *dx);
/* Memory that it needs: of one thread. */
size_t hone_back_adapted_thread_bytes(const hone_backward *b);

#endif
