/*
 * source - a weight matrix as a checkpoint holds it: whichever tensors it lies in, however it is
 * coded. One file per kind in model/source/ and one row in source.c; the loader asks for a matrix
 * by its name and packs the rows that it is given.
 *
 * Ownership: a source points into its file, which must stay open. Threading: rows may be read by
 * many threads.
 */
#ifndef HONE_MODEL_SOURCE_H
#define HONE_MODEL_SOURCE_H

#include "file/file.h"
#include "kernel/kernel.h"

enum { HONE_SOURCE_TENSORS = 6, HONE_SOURCE_NAME = 600 };

typedef struct hone_source_kind hone_source_kind;

typedef struct hone_source {
    hone_rows rows; /* of the whole stored matrix; bits 0 = decode only */
    size_t n, k;
    const hone_source_kind *kind;
    const char *name; /* of the matrix, for messages: a tensor's name */
    uint32_t bits;    /* of a stored weight; 0 = plain numbers */
    size_t group;     /* stored weights of a row that share a scale; k or more = the row */
    /* Groups that lie scattered (GPTQ's act-order): rows.codes gives element order[i] as the i-th,
     * so that its groups are contiguous, and the activations must be put in this order too;
     * rows.decode keeps the model's order. [k], NULL = as they stand. */
    const uint32_t *order;
    uint64_t copies; /* matrices that lie in these tensors: experts, else 1 */
    bool bf16_exact; /* every decoded weight is a bfloat16 number as it stands */
    /* The tensors that hold it, NULL after the last: their pages are let go after packing. */
    const hone_tensor *tensors[HONE_SOURCE_TENSORS];
    void *owned; /* what rows.context needs; freed by close */
} hone_source;

struct hone_claim;

struct hone_source_kind {
    const char *name;  /* "gptq" */
    const char *about; /* for people: what it is, one line */
    const char *exact; /* whether kernels get the stored numbers: "yes", or what is rounded */
    /* What follows the matrix's name (without ".weight") in the name of its main tensor. */
    const char *main;
    /* The methods of config.json that store in this kind, each between spaces; NULL = any. */
    const char *methods;
    /* Whether the file holds the matrix that would be called `weight` ("....weight") in this kind.
     */
    bool (*holds)(const hone_file *f, const char *weight);
    /* Checks every tensor of it, against [n][k] unless they are 0, and fills *out. Errors:
     * NOT_FOUND, FORMAT, UNSUPPORTED naming the tensor. */
    hone_status (*open)(const hone_file *f, const char *weight, size_t n, size_t k,
                        const struct hone_claim *claim, hone_source *out);
};

/* The matrix called `weight`, [n][k] (or 0, 0: as the file has it), in the first kind that holds it
 * (a plain tensor if none). `weight` need not outlive the call. What config.json says of it is
 * checked against the tensors: FORMAT if it contradicts them. */
HONE_CHECKED hone_status hone_source_open(const hone_file *f, const char *weight, size_t n,
                                          size_t k, hone_source *out);
void hone_source_close(hone_source *s);

/* Calls `each` for every matrix in the file, in the order of its tensors: `status` is that of
 * opening it and the source is only valid if it is OK, during the call. Plain matrices too. */
typedef void hone_source_visit(void *arg, const char *weight, hone_status status,
                               const hone_source *s);
void hone_source_each(const hone_file *f, hone_source_visit *each, void *arg);

/* Calls `each` for every tensor that belongs to a quantised form (scales, zero points, packed
 * codes, scales of activations or of the KV cache) and to no matrix: what would not be used. */
typedef void hone_source_leftover(void *arg, const hone_tensor *t);
HONE_CHECKED hone_status hone_source_leftovers(const hone_file *f, hone_source_leftover *each,
                                               void *arg);

/* Whether the file holds the matrix in another form than one plain tensor. */
bool hone_source_is_coded(const hone_file *f, const char *weight);

/* Whether a tensor's name ends as those of quantised forms do. */
bool hone_source_is_part(const char *name);

size_t hone_source_kind_count(void);
const hone_source_kind *hone_source_kind_at(size_t i);

extern const hone_source_kind hone_source_gptq, hone_source_awq, hone_source_packed,
    hone_source_fp4, hone_source_bnb4, hone_source_bnb8, hone_source_int8, hone_source_fp8,
    hone_source_sparse, hone_source_experts, hone_source_plain;

#endif
