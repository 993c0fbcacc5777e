/*
 * adapter - low-rank adapters beside the matrices of a model: LoRA (Hu et al., arXiv:2106.09685),
 * with a magnitude for every output DoRA (Liu et al., arXiv:2402.09353), in the files of PEFT.
 *
 *     LoRA:  y = W x + bias + s B (A x)                      s = alpha / rank, or alpha /
 * sqrt(rank) DoRA:  y = g * (W x + s B (A x)) + bias                g_i = m_i / |(W + s B A)_i|
 *
 * W stays as it is, in whatever layout; A, B and m are parameters (model/parameters.h) under PEFT's
 * names, which reads and writes them. hone_adapter_attach puts them beside the matrices, and
 * hone_forward_products, the one place where a product happens, adds them; hone_back_linear goes
 * back through them. Slots that share a tensor (fused queries, keys and values) share A.
 *
 * |(W + s B A)_i|^2 = |W_i|^2 + 2 s B_i . (W_i A^T) + s^2 B_i (A A^T) B_i^T, so that W is
 * multiplied with `rank` rows and never expanded; it counts as a constant on the way back
 * (section 4.3).
 *
 * Dropout is of the adapter's input only, by numbers that depend on seed, step, row of the step and
 * column: the same when a layer runs again, or on other threads. (PEFT's DoRA also drops from what
 * (g - 1) W reads; hone does not.)
 *
 * Ownership: an adapter owns its memory and must stay while the model is used. Threading: immutable
 * but for push and the dropout's fields, which the model's one driver sets between steps.
 */
#ifndef HONE_MODEL_ADAPTER_H
#define HONE_MODEL_ADAPTER_H

#include "model/parameters.h"

enum { HONE_RANK_MAX = 4096 };

typedef struct hone_adapter_options {
    uint32_t rank;
    double alpha, dropout;
    bool rslora, dora;
    /* Of new ones: "all-linear", endings of module names ("q_proj,v_proj") or a regular expression
     * that a whole module name matches, as PEFT has them. */
    const char *targets;
    uint64_t seed; /* of A and of dropout */
} hone_adapter_options;

/* A module: the name of a tensor without ".weight". */
typedef struct hone_module {
    char name[HONE_NAME_MAX];
    bool chosen;
} hone_module;

/* What stands beside one matrix. */
typedef struct hone_low_rank {
    const struct hone_adapter *of;
    hone_slot slot;
    uint32_t layer;
    size_t n, k, rank;
    float scale;
    size_t a, b, m;        /* parameters in of->p.list; m SIZE_MAX without */
    uint64_t stream;       /* of random numbers; slots that share a tensor have the same */
    hone_packed down, up;  /* A [rank][k] and B [n][rank] as the forward multiplies with them */
    float *squares, *gain; /* DoRA: |W_i|^2 and g, [n]; else NULL */
} hone_low_rank;

typedef struct hone_adapter {
    hone_adapter_options o; /* without targets */
    hone_model *model;
    hone_module *modules; /* that could have one; chosen: that have */
    size_t n_modules;
    hone_parameters p;
    hone_low_rank *list;
    size_t count, rank_max, widest; /* widest: inputs of a matrix */
    hone_layout layout;             /* of what products read */
    const hone_kernels *kt;         /* since attach, as the pool */
    hone_pool *pool;
    void *memory, **scratch; /* scratch: [threads] */
    size_t memory_bytes;
    /* Dropout: while `learning`, of the rows from first_row on of step `step`. */
    bool learning;
    uint64_t step, first_row;
} hone_adapter;

/* A new adapter for a loaded model; values[p.floats] by hone_adapter_fill. f32: as the model was
 * loaded. Errors: USAGE (no module of a name: those that exist are named; a rank or dropout out of
 * range), UNSUPPORTED (an architecture or module that adapters have no name for), MEMORY. */
HONE_CHECKED hone_status hone_adapter_new(hone_model *m, const hone_adapter_options *o, bool f32,
                                          hone_adapter **out);
/* The adapter in a folder that PEFT or hone wrote, and its values (hone_free_big, p.floats).
 * Errors: NOT_FOUND, FORMAT (damaged; of another model: tensor and shapes are named), UNSUPPORTED
 * (what hone does not compute, by name), MEMORY. */
HONE_CHECKED hone_status hone_adapter_open(const char *folder, hone_model *m, bool f32,
                                           hone_adapter **out, float **values);
void hone_adapter_close(hone_adapter *a); /* after the model's last step; NULL is fine */

/* Beside the matrices of its model from now on: before hone_forward_open, with the same kernels and
 * pool. Errors: MEMORY. */
HONE_CHECKED hone_status hone_adapter_attach(hone_adapter *a, const hone_kernels *kt,
                                             hone_pool *pool);
/* A at random (uniform within 1 / sqrt(k), as PEFT's), B zero, m the length of W's rows. After
 * attach. */
void hone_adapter_fill(const hone_adapter *a, float *values);
/* Values into what runs. After attach. */
void hone_adapter_push(const hone_adapter *a, const float *values);

/* adapter_config.json as PEFT writes it; base: the model's path or name. In a fresh string. */
HONE_CHECKED hone_status hone_adapter_config_write(const hone_adapter *a, const char *base,
                                                   char **json);
/* Reads it. Errors: FORMAT, UNSUPPORTED naming the key. */
HONE_CHECKED hone_status hone_adapter_config_read(const char *json, size_t bytes, const char *path,
                                                  hone_adapter_options *out);

/* What dropout leaves of row `row` (within the step) of the input of a matrix: y = x with zeros,
 * the rest times 1 / (1 - dropout); x[k], y may be x. */
void hone_low_rank_drop(const hone_low_rank *l, uint64_t row, const float *x, float *y);
/* Whether it drops anything now. */
static inline bool hone_low_rank_drops(const hone_low_rank *l)
{
    return l->of->learning && l->of->o.dropout > 0;
}

/* ---- adapter_targets.c ----------------------------------------------------------------------- */

/* Marks those that `targets` means. Errors: USAGE, MEMORY. */
HONE_CHECKED hone_status hone_modules_choose(hone_module *list, size_t count, const char *targets);
/* What PEFT would need in target_modules to choose those: calls `name` for each. */
void hone_modules_describe(const hone_module *list, size_t count,
                           void (*name)(void *arg, const char *text), void *arg);

#endif
