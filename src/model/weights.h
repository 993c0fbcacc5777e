/*
 * weights - a model in memory: its hyper-parameters and its matrices, packed once for the kernels.
 *
 * All of a model lies in one buffer, filled in parallel while the file is mapped, or mapped as it
 * was kept by an earlier start (model/packed_cache.h): the same bytes. The file may be closed
 * afterwards. A tied embedding exists once. Ownership: the model owns its buffer. Threading:
 * immutable after loading.
 */
#ifndef HONE_MODEL_WEIGHTS_H
#define HONE_MODEL_WEIGHTS_H

#include "base/threads.h"
#include "kernel/kernel.h"
#include "model/packed_cache.h"
#include "model/slots.h"

enum { HONE_WEIGHT_AS_FILED = -1 };

struct hone_adapter;  /* model/adapter.h */
struct hone_low_rank; /* what it adds to one matrix */

/* What stands in a slot: a matrix, or (norms) a vector. */
typedef struct hone_linear {
    hone_packed w;
    const float *v;    /* [k] of a vector; NULL = the slot is empty */
    const float *bias; /* [n] of a matrix, [k] of a vector, or NULL */
    /* The packed matrix has column order[i] of the stored one as its i-th: its input must be put in
     * this order first (scattered groups, model/source.h). [k]; NULL = as they stand. Matrices with
     * the same order share the array. */
    const uint32_t *order;
    const struct hone_low_rank *adapter; /* beside the matrix, or NULL */
} hone_linear;

/* The flags of its input's activations */
static inline int hone_linear_flags(const hone_linear *l)
{
    return hone_act_flags(&l->w) | (l->order || l->adapter ? HONE_ACT_NUMBERS : 0);
}

typedef struct hone_model {
    const hone_arch *arch;
    hone_hparams hp;
    hone_linear *slots;                 /* of the model, then of layer after layer: hone_model_at */
    bool ordered;                       /* some matrix has an order of its own */
    const struct hone_adapter *adapter; /* attached (model/adapter.h), or NULL */
    uint64_t parameters, packed_bytes;
    uint64_t kind_bytes[HONE_WEIGHT_KINDS];
    uint64_t kind_grouped[HONE_WEIGHT_KINDS]; /* weights whose scale is of less than their row */
    void *memory;                             /* its own, or NULL */
    size_t memory_bytes;
    hone_packed_image image; /* or mapped */
    hone_packed_writer *writer;
    char note[HONE_PACKED_NOTE]; /* what went wrong with the cache, "" = nothing */
} hone_model;

/* What stands in a slot of a layer, or of the whole model (any layer). A tied head is the
 * embedding. */
static inline hone_linear *hone_model_at(const hone_model *m, int layer, hone_slot slot)
{
    size_t whole = HONE_SLOTS - HONE_LAYER_SLOTS, at = (size_t)slot;
    return &m->slots[at < HONE_LAYER_SLOTS ? whole + (size_t)layer * HONE_LAYER_SLOTS + at
                                           : at - HONE_LAYER_SLOTS];
}

typedef struct hone_model_options {
    bool f32; /* the reference arithmetic: decode everything to float32 */
    int weight_dtype[HONE_WEIGHT_KINDS]; /* hone_dtype to round to first, or HONE_WEIGHT_AS_FILED */
    hone_packed_cache cache;             /* zeros: none */
} hone_model_options;

/* Errors: UNSUPPORTED (architecture, type), NOT_FOUND / FORMAT (tensor missing, wrong shape),
 * MEMORY. A format whose blocks do not divide a matrix's rows leaves that matrix as it is filed. */
HONE_CHECKED hone_status hone_model_load(const hone_file *f, const hone_model_options *o,
                                         hone_pool *pool, hone_progress_fn *progress, void *arg,
                                         hone_model **out);
/* Ends the writing of packed weights into the cache, if it goes on; free does so without a word. */
void hone_model_keep(hone_model *m, hone_progress_fn *progress, void *arg);
void hone_model_free(hone_model *m); /* NULL is fine */

/* A tensor that nothing uses means that the model is not what it seems to be: UNSUPPORTED, naming
 * the first of them. */
HONE_CHECKED hone_status hone_model_check_unused(const hone_file *f, const hone_arch *a,
                                                 const hone_hparams *h);

#endif
