/*
 * weights - a model in memory: its hyper-parameters and its matrices, packed once for the kernels.
 *
 * All of a model lies in one buffer, filled in parallel while the file is mapped; the file may be
 * closed afterwards. A tied embedding exists once. Ownership: the model owns its buffer. Threading:
 * immutable after loading.
 */
#ifndef HONE_MODEL_WEIGHTS_H
#define HONE_MODEL_WEIGHTS_H

#include "base/threads.h"
#include "kernel/kernel.h"
#include "model/arch.h"

/* Kinds of weight matrices that a technique may give a format of their own. */
typedef enum hone_weight_kind {
    HONE_WEIGHT_ATTENTION,
    HONE_WEIGHT_MLP,
    HONE_WEIGHT_HEAD, /* output head; the embedding too when tied */
    HONE_WEIGHT_KINDS
} hone_weight_kind;

enum { HONE_WEIGHT_AS_FILED = -1 };

typedef struct hone_linear {
    hone_packed w;
    const float *bias; /* [n] or NULL */
} hone_linear;

typedef struct hone_layer {
    const float *norm_attention, *norm_mlp; /* [hidden] */
    hone_linear q, k, v, o, gate, up, down;
} hone_layer;

typedef struct hone_model {
    const hone_arch *arch;
    hone_hparams hp;
    hone_layer *layers;      /* [hp.layers] */
    const float *norm_final; /* [hidden] */
    hone_linear embedding;   /* rows are tokens */
    hone_linear head;        /* the same buffer if tied */
    uint64_t parameters, packed_bytes;
    uint64_t kind_bytes[HONE_WEIGHT_KINDS];
    void *memory;
    size_t memory_bytes;
} hone_model;

typedef struct hone_model_options {
    bool f32; /* the reference arithmetic: decode everything to float32 */
    int weight_dtype[HONE_WEIGHT_KINDS]; /* hone_dtype to round to first, or HONE_WEIGHT_AS_FILED */
} hone_model_options;

typedef void hone_progress_fn(void *arg, const char *what, double done, double total);

/* Errors: UNSUPPORTED (architecture, type), NOT_FOUND / FORMAT (tensor missing, wrong shape),
 * MEMORY. A format whose blocks do not divide a matrix's rows leaves that matrix as it is filed. */
HONE_CHECKED hone_status hone_model_load(const hone_file *f, const hone_model_options *o,
                                         hone_pool *pool, hone_progress_fn *progress, void *arg,
                                         hone_model **out);
void hone_model_free(hone_model *m); /* NULL is fine */

#endif
