/*
 * forward - one step of a model over a ragged batch.
 *
 * A layer is a list of blocks; a block reads the residual stream x[rows][hidden] and adds to it.
 * What a block may use while it runs is in hone_forward: the batch, the weights, the kernels, the
 * pool and memory laid out once for the largest step.
 *
 * Invariant: a row's result depends on its own sequence alone. Products are split over threads by
 * output columns, never along K; attention by sequence, head and token.
 *
 * Ownership: the forward owns its memory. Threading: one step at a time; the caller's thread must
 * be thread 0 of the pool and in hone_fp_mode_enter.
 */
#ifndef HONE_MODEL_FORWARD_H
#define HONE_MODEL_FORWARD_H

#include "base/spans.h"
#include "model/weights.h"
#include "tensor/batch.h"

typedef struct hone_forward {
    const hone_model *model;
    const hone_kernels *kt;
    hone_pool *pool;
    hone_spans *spans; /* may be NULL */
    hone_kv kv;
    size_t kv_head_bytes; /* of one page, layer and KV head */
    uint32_t max_rows, max_wanted, max_pages;
    const hone_batch *batch; /* of the running step */

    /* [max_rows][...] float32, rows one after the other */
    float *x, *h, *q, *k, *v, *attended, *gate, *up, *cos, *sin;
    void *act_memory;
    int32_t *last; /* [max_rows] position of each row */
    float *
        partials; /* [max_piece_tasks][max_pieces][rows of a KV head]: attention of long contexts */
    size_t max_piece_tasks, max_pieces;
    struct hone_thread_scratch {
        void *memory;       /* for products and attention, 64-byte aligned */
        const void **pages; /* [max_pages] of one layer and head */
    } * threads;
    void *memory;
    size_t memory_bytes;
} hone_forward;

/* max_rows: tokens of the largest step. max_context: positions of the longest sequence. */
HONE_CHECKED hone_status hone_forward_open(const hone_model *m, const hone_kernels *kt,
                                           hone_pool *pool, hone_kv_format kv_format,
                                           uint32_t max_rows, uint32_t max_context,
                                           hone_forward **out);
void hone_forward_close(hone_forward *f); /* NULL is fine */

/* Bytes of a page of 64 positions: all layers and KV heads. */
size_t hone_forward_page_bytes(const hone_model *m, hone_kv_format kv_format);

/* Runs the step: writes the batch's keys and values into its pages and logits[n_wanted][vocab].
 * Token ids and page tables must have been checked. Cannot fail. */
void hone_forward_run(hone_forward *f, const hone_batch *b, float *logits);

/* Work over rows is cut into items of `step` rows: how many there are, and where one ends. */
static inline size_t hone_row_items(size_t rows, size_t step)
{
    return (rows + step - 1) / step;
}
static inline size_t hone_row_end(size_t item, size_t step, size_t rows)
{
    size_t end = (item + 1) * step;
    return end < rows ? end : rows;
}

/* ---- for blocks ----------------------------------------------------------------------------- */

/* Rounds and packs x[rows][k] (at ldx = k) for products with weights of these flags. */
void hone_forward_act(hone_forward *f, const float *x, uint32_t rows, size_t k, int flags,
                      hone_act *act);

typedef struct hone_product_job {
    const hone_linear *linear;
    float *y; /* [rows][linear->w.n] */
} hone_product_job;
/* y = act x W^T + bias for several weights at once, spread over the pool. */
void hone_forward_products(hone_forward *f, const hone_act *act, const hone_product_job *jobs,
                           size_t n_jobs, hone_span_kind span, int layer);

/* A block's forward step over layer `layer`: reads and adds to f->x. */
typedef struct hone_block {
    const char *name;
    void (*forward)(hone_forward *f, int layer);
} hone_block;
extern const hone_block hone_block_attention, hone_block_mlp;

#endif
