/*
 * backward - the gradient of a loss by every weight of a model: the forward step of the engine,
 * whose layers leave what is needed in tapes, a loss at its end, and the blocks' backward from the
 * last layer to the first (Rumelhart et al., 1986).
 *
 * What is kept: per layer the stream at each block, queries, keys, values, what attention gave, and
 * what entered the activation; normalised inputs and activations are computed again. Layers that do
 * not fit into the memory allowed keep only the stream before them and run again (Chen et al.,
 * arXiv:1604.06174). Scores are never kept (Dao et al., arXiv:2205.14135): memory is linear in the
 * number of tokens. Logits exist for a chunk of rows at a time.
 *
 * Products are those of the forward (docs/numerics.md): of y = x W^T, dx = dy W with W packed the
 * other way, dW = dy^T x with the rows of x packed as if they were weights. They are rounded to
 * bfloat16 where the forward is. Sums over rows go in the order of rows, in chunks of fixed size,
 * so the gradient has the same bits on any number of threads. Gradients are added to what stands in
 * the buffer, float32, so that several batches make one.
 *
 * Ownership: a backward owns its memory and its forward. Threading: as the forward.
 */
#ifndef HONE_MODEL_BACKWARD_H
#define HONE_MODEL_BACKWARD_H

#include "model/forward.h"
#include "model/parameters.h"

/* The loss of one row: reads logits[vocab], leaves d loss / d logits there and returns the loss.
 * `row` is the row of the batch. Called from the pool's threads. */
typedef double hone_loss_fn(void *arg, const hone_kernels *kt, size_t row, float *logits,
                            size_t vocab);

typedef struct hone_backward_options {
    uint32_t max_rows;   /* of the largest batch */
    bool f32;            /* products in float32; else bfloat16, as the model was loaded */
    uint64_t memory_max; /* bytes for tapes; 0 = no bound. Layers that do not fit run twice */
    size_t logit_bytes;  /* of logits at once, 16 rows at least; 0 = as is usual */
} hone_backward_options;

typedef struct hone_backward {
    hone_forward *f;
    const hone_kernels *kt;
    const hone_parameters *p;
    const float *weights;           /* master weights, as hone_parameters has them */
    float *grads;                   /* likewise */
    bool fresh;                     /* which are zeros still */
    hone_layout layout;             /* of what products read */
    uint32_t max_rows, kept, chunk; /* layers with a tape of their own; rows of logits */
    hone_tape *tapes;               /* [layers]: those from `kept` on share the rest */
    float *dx, *dh, *din, *normed;  /* [max_rows][hidden] */
    float *pending;                 /* what blocks side by side give to dx */
    float *spread;                  /* [max_rows][widest]: to be summed over rows */
    float *wide[4];                 /* [max_rows][widest] */
    float *minus_sin[HONE_ROPES];   /* [max_rows][dim / 2] */
    float *sums;                    /* of columns, for each chunk of rows */
    /* With an adapter: [max_rows][rank] of d (A x); [max_rows][widest] for dropout and for DoRA */
    float *low, *dropped, *scaled;
    float *logits, *capped; /* [chunk][vocab] */
    double *losses;         /* [max_rows] */
    uint32_t *wanted;       /* [max_rows] rows with a loss */
    void *products;         /* both factors of those that run */
    uint8_t *packed_head;   /* the head's for dx, the same for all chunks of logits */
    bool head_ready;
    void **thread_memory; /* [threads] */
    size_t thread_bytes;
    void *page_memory, **pages; /* of one layer, for keys and values */
    void *const **tables;       /* [max_pages] a sequence's pages */
    hone_sequence *sequences;   /* [max_pages] */
    size_t page_bytes;
    uint32_t max_pages;
    void *memory;
    size_t memory_bytes;
} hone_backward;

/* The model's weights and p must be the same ones, and stay. A model with an adapter attached
 * stands still itself: p is then the adapter's. Errors: UNSUPPORTED (a block without backward, an
 * encoder, a matrix whose columns have an order of their own beside an adapter), MEMORY (what would
 * fit is said). */
HONE_CHECKED hone_status hone_backward_open(const hone_model *m, const hone_parameters *p,
                                            const hone_kernels *kt, hone_pool *pool,
                                            const hone_backward_options *o, hone_backward **out);
void hone_backward_close(hone_backward *b); /* NULL is fine */

/* Sequences of a batch, one after the other: n_tokens[i] rows each, from position 0. Token ids must
 * be of the vocabulary, rows at most max_rows and pages (of 64 tokens, begun ones count) at most
 * max_pages. */
typedef struct hone_backward_batch {
    uint32_t rows, n_sequences;
    const int32_t *tokens;    /* [rows] */
    const uint32_t *n_tokens; /* [n_sequences] */
} hone_backward_batch;

/* Adds the gradient of the sum of `loss` over the rows that `counted` marks (NULL = all) to grads,
 * by the weights; *sum gets the loss. grads NULL: the loss only. fresh: grads are zeros, which
 * saves adding. Errors: MEMORY, LIMIT (more rows or pages than there is room for). */
HONE_CHECKED hone_status hone_backward_run(hone_backward *b, const hone_backward_batch *batch,
                                           const float *weights, hone_loss_fn *loss, void *arg,
                                           const uint8_t *counted, float *grads, bool fresh,
                                           double *sum);

/* ---- for blocks (model/block/ *_back.c) ------------------------------------------------------ */

typedef struct hone_back_job {
    hone_slot slot;
    const float *dy; /* [rows][n] */
} hone_back_job;

/* Of y_j = x W_j^T + bias_j: dx = sum of dy_j W_j in order of j (NULL: not wanted), and to the
 * gradients dW_j = dy_j^T x, dbias_j = sum of rows of dy_j. x[rows][k]. */
void hone_back_linear(hone_backward *b, int layer, const hone_back_job *jobs, size_t n_jobs,
                      const float *x, size_t rows, float *dx);
/* y[rows][n] = x[rows][k] F of factor F[k][n], or by_rows x F^T of F[n][k], with the products of
 * the way back; for optimisers, not beside an adapter. rows at most max_rows or the model's width,
 * n and k its widest matrix's. */
void hone_back_multiply(hone_backward *b, const float *x, size_t rows, size_t k,
                        const float *factor, size_t n, bool by_rows, float *y);
/* Of y = norm(x) with what stands in `slot`: dx from dy (may be the same), rows of n. */
void hone_back_norm(hone_backward *b, int layer, hone_slot slot, const float *x, size_t rows,
                    size_t n, const float *dy, float *dx);
/* Memory that one thread needs for attention over sequences of up to `rows` tokens. */
size_t hone_back_attention_bytes(const hone_backward *b, const hone_layer_kind *y, size_t rows);

#endif
