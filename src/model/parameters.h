/*
 * parameters - the weights of a model as numbers that can change: all of them in one flat buffer of
 * float32, in the order of the slots, the form that gradients and an optimiser's means have too.
 *
 * The master weights live outside of the model: hone_parameters_read fills them from a file,
 * hone_parameters_push rounds and packs them into a loaded model, hone_parameters_write gives any
 * such buffer (weights, gradients) the names and shapes of the checkpoint again: slots that share a
 * tensor, transposed matrices, rotary pairs (model/slots.h).
 *
 * A parameter begins at a multiple of 16 floats; what lies between is zero and stays so.
 *
 * Ownership: the list is its own; buffers are the caller's. Threading: immutable after plan.
 */
#ifndef HONE_MODEL_PARAMETERS_H
#define HONE_MODEL_PARAMETERS_H

#include "file/write.h"
#include "model/weights.h"

typedef struct hone_parameter {
    hone_slot slot;
    uint32_t layer;
    bool bias;
    size_t n, k; /* [n][k]; of vectors and biases n = 1 */
    size_t at;   /* its first float */
    float add;   /* the model computes with value + add (norms that store weight - 1) */
    hone_place place;
} hone_parameter;

typedef struct hone_parameters {
    hone_parameter *list;
    size_t count;
    size_t floats;     /* of a buffer that holds them all */
    size_t *weight_of; /* [slots of the model] index in the list, SIZE_MAX = none */
    size_t *bias_of;
    uint64_t numbers; /* parameters without the gaps */
} hone_parameters;

/* Whether a folder or file has this tensor of a slot (bias: its bias). */
typedef bool hone_parameter_there(const void *arg, const hone_place *place, hone_slot slot,
                                  uint32_t layer, bool bias);

/* Those that `there` says exist. Errors: MEMORY. */
HONE_CHECKED hone_status hone_parameters_list(const hone_arch *a, const hone_hparams *h, bool gguf,
                                              const char *prefix, hone_parameter_there *there,
                                              const void *arg, hone_parameters *out);
/* Those of a model loaded from this file. Errors: UNSUPPORTED (quantised matrices, which have no
 * values to change), MEMORY. */
HONE_CHECKED hone_status hone_parameters_plan(const hone_file *f, const hone_model *m,
                                              hone_parameters *out);
void hone_parameters_free(hone_parameters *p);
/* Puts one at the end of a list that has room for it; `at` is set. A list that is only made so has
 * no index: hone_parameter_at finds nothing in it. */
void hone_parameters_append(hone_parameters *p, const hone_parameter *one);

/* What stands in a slot: NULL = nothing. A tied head has none of its own. */
const hone_parameter *hone_parameter_at(const hone_parameters *p, int layer, hone_slot slot,
                                        bool bias);

/* The file's values, in float32. */
HONE_CHECKED hone_status hone_parameters_read(const hone_file *f, const hone_parameters *p,
                                              float *values);
HONE_CHECKED hone_status hone_parameter_read(const hone_file *f, const hone_parameter *p,
                                             float *values); /* one, [n][k] */
/* Into the model, which must not be mapped from the packed cache. kt as the model is run with. */
void hone_parameters_push(const hone_parameters *p, const float *values, const hone_kernels *kt,
                          hone_pool *pool, hone_model *m);
/* All tensors: declares them (before any data), then writes their data, in the same order. */
HONE_CHECKED hone_status hone_parameters_declare(const hone_parameters *p, hone_dtype type,
                                                 hone_safetensors_writer *w);
HONE_CHECKED hone_status hone_parameters_write(const hone_parameters *p, const float *values,
                                               hone_safetensors_writer *w);
/* Both, as a whole file. */
HONE_CHECKED hone_status hone_parameters_save(const hone_parameters *p, hone_dtype type,
                                              const float *values, const char *path);
/* The same with values asked for one by one: *values is [n][k] of p and stays valid until the next
 * call. */
typedef hone_status hone_parameter_values(void *arg, const hone_parameter *p, const float **values);
HONE_CHECKED hone_status hone_parameters_save_each(const hone_parameters *p, hone_dtype type,
                                                   hone_parameter_values *each, void *arg,
                                                   const char *path);

#endif
