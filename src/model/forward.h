/*
 * forward - one step of a model over a ragged batch.
 *
 * A layer is a list of blocks. A block reads the residual stream x[rows][hidden] through
 * hone_block_input, which normalises it, and leaves in h what it adds to the stream; norms behind
 * it, adding, and parallel residuals are the layer's business. What a block may use while it runs
 * is in hone_forward: the batch, the weights, the kernels, the pool and memory laid out once for
 * the largest step.
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
#include "model/kv_tables.h"
#include "model/weights.h"
#include "tensor/batch.h"

/* Sees x[rows][hidden] of every step: what enters layer 0 (layer -1), what leaves each layer, and
 * what the final norm makes of the wanted rows (layer = number of layers). */
typedef void hone_watch_fn(void *arg, int layer, const float *x, uint32_t rows);

/* What a layer's forward leaves for its backward (model/backward.h), [rows][...]; NULL = not kept.
 */
typedef struct hone_tape {
    float *x[HONE_LAYER_BLOCKS];   /* the stream as each block read it */
    float *h[HONE_LAYER_BLOCKS];   /* what a block added, before the norm behind it */
    float *sum[HONE_LAYER_BLOCKS]; /* the stream after that, before its norm */
    float *q, *k, *v, *attended, *gate, *up;
    float *stats;             /* [rows][heads][2]: hone_attn.stats */
    float *plain_q, *plain_k; /* before norms of heads */
} hone_tape;

enum { HONE_PRODUCT_JOBS = 4 }; /* products of the same activations at once */

typedef struct hone_forward {
    const hone_model *model;
    const hone_kernels *kt;
    hone_pool *pool;
    hone_spans *spans; /* may be NULL */
    hone_kv_format kv_format;
    hone_kv_tables tables; /* how the layers lie in pages */
    uint32_t max_rows, max_pages;
    const hone_batch *batch; /* of the running step */
    hone_watch_fn *watch;    /* may be NULL */
    void *watch_arg;

    /* [max_rows][...] float32, rows one after the other. pending: what blocks before a joining one
     * add. */
    float *x, *h, *pending, *q, *k, *v, *attended, *gate, *up; /* up: or what down reads, packed */
    const hone_tape *tape;                    /* of the layer that runs; NULL = nothing is kept */
    float *cos[HONE_ROPES], *sin[HONE_ROPES]; /* [max_rows][dim / 2] */
    void *act_memory;
    /* Activations for matrices whose columns have an order of their own; NULL if none has. */
    float *ordered; /* [max_rows][widest] */
    void *ordered_act_memory;
    /* Of adapters, for each of the products that run together: scale x A dropout(input), [max_rows]
     * [rank], and the same packed. */
    float *low[HONE_PRODUCT_JOBS];
    void *low_act[HONE_PRODUCT_JOBS];
    int32_t *last; /* [max_rows] last position that each row sees */
    /* [max_rows] the same with a window to both sides, and the first (bidirectional) */
    int32_t *near_first, *near_last;
    void *block_memory; /* what one kind of block keeps between layers and steps */
    float *
        partials; /* [max_piece_tasks][max_pieces][rows of a KV head]: attention of long contexts */
    size_t max_piece_tasks, max_pieces, partial_floats;
    struct hone_thread_scratch {
        void *memory;       /* for products and attention, 64-byte aligned */
        const void **pages; /* [max_pages] of one layer and head */
        float *result;      /* of an item of a product, until it is known to be wanted */
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

/* Runs the step: writes the batch's keys and values into its pages and out[n_wanted][width]:
 * logits (vocabulary), or of a model without output head what the final norm gives (hidden size).
 * Token ids, types and page tables must have been checked. Cannot fail. */
void hone_forward_run(hone_forward *f, const hone_batch *b, float *out);

/* The same in parts, for whoever keeps what backward needs: the batch's rows into the stream x,
 * then layer after layer. With a tape the layer keeps there what the tape has room for. */
void hone_forward_begin(hone_forward *f, const hone_batch *b);
void hone_forward_layer(hone_forward *f, int layer, const hone_tape *tape);

/* Of encoders: what follows the layers, for rows of pooled[rows][hidden] that are not in the
 * forward's own memory; rows <= max_rows. The pooler (out[rows][hidden]) or the classifier
 * (out[rows][labels]); the model must have it. */
void hone_forward_pooler(hone_forward *f, const float *pooled, uint32_t rows, float *out);
void hone_forward_classify(hone_forward *f, const float *pooled, uint32_t rows, float *out);

/* Panels times rows of a product's item that a worker can keep to itself (threads.h, lend) */
enum { HONE_RESULT_PANELS = 1024 };

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

/* Rows of an item where there are `items` of all of them: where these are too few for the threads,
 * rows make more. */
size_t hone_rows_per_item(const hone_forward *f, size_t rows, size_t items);

/* ---- for blocks ----------------------------------------------------------------------------- */

/* Rounds and packs x[rows][k] (at ldx = k) for products with weights of these flags. */
void hone_forward_act(hone_forward *f, const float *x, uint32_t rows, size_t k, int flags,
                      hone_act *act);

typedef struct hone_product_job {
    const hone_linear *linear;
    float *y; /* [rows][linear->w.n] */
} hone_product_job;
/* y = act x W^T + bias for several weights at once, spread over the pool, with what their adapters
 * add. */
void hone_forward_products(hone_forward *f, const hone_act *act, const hone_product_job *jobs,
                           size_t n_jobs, hone_span_kind span, int layer);

/* y += act x W^T for rows [r0, r1) and panels [p0, p1): whole products, added. scratch:
 * hone_product_add_bytes. */
void hone_product_add(const hone_kernels *kt, const hone_packed *w, const hone_act *act, size_t r0,
                      size_t r1, size_t p0, size_t p1, float *y, size_t ldy, void *scratch);
size_t hone_product_add_bytes(void);
/* It goes by tiles of so many numbers at most: rows of one that is so many panels wide. */
enum { HONE_PRODUCT_TILE = 1 << 16 };
size_t hone_product_tile_rows(size_t panels);
/* tile[r1 - r0][16 * (p1 - p0)] = act x W^T + bias[n] (or NULL) for rows [r0, r1) and panels [p0,
 * p1). scratch: hone_product_scratch_bytes. */
void hone_product_tile(const hone_kernels *kt, const hone_packed *w, const hone_act *act, size_t r0,
                       size_t r1, size_t p0, size_t p1, const float *bias, float *tile,
                       void *scratch);
/* What adapters make of their input, into f->low[i] and f->low_act[i]; lows[i] NULL = nothing. */
void hone_forward_down(hone_forward *f, const hone_act *act,
                       const struct hone_low_rank *const *lows, size_t n);
/* Memory of a thread that adapters need. */
size_t hone_forward_low_bytes(const hone_forward *f);

struct hone_backward; /* model/backward.h */

/* One block: what it reads and adds. */
typedef struct hone_block {
    const char *name;
    hone_slot norm, norm_after; /* of what it reads; of what it adds, or of the stream after that */
    /* The span in which the block's own norms are counted is HONE_SPAN_NORM. Reads with
     * hone_block_input and leaves what is to be added in f->h[rows][hidden]. */
    void (*forward)(hone_forward *f, int layer, const hone_block_use *use);
    /* From dh, the gradient of what it added, to din[rows][hidden], that of what it read (in),
     * adding those of its weights. NULL: it cannot be trained. */
    void (*backward)(struct hone_backward *b, int layer, const float *in, const float *dh,
                     float *din);
    const struct hone_block *slots; /* the block whose slots it uses; NULL = its own */
    /* Memory that it wants for itself, or NULL: of each thread (at threads[t].memory, shared with
     * other blocks' use of it), and of all together, at block_memory, which `prepare` may fill. */
    void (*needs)(const hone_forward *f, const hone_layer_kind *y, size_t *thread_bytes,
                  size_t *shared_bytes);
    void (*prepare)(hone_forward *f, const hone_layer_kind *y);
} hone_block;
extern const hone_block hone_block_attention, hone_block_disentangled, hone_block_mlp;

#endif
