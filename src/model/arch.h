/*
 * arch - an architecture is data: how its hyper-parameters and tensors are named in each kind of
 * file, and which blocks make a layer. One file in model/arch/ and one row in arch.c; nothing else
 * asks for the name of an architecture.
 *
 * Threading: constant tables. Ownership: nothing is owned.
 */
#ifndef HONE_MODEL_ARCH_H
#define HONE_MODEL_ARCH_H

#include "file/file.h"

#include <stdbool.h>
#include <stdint.h>

enum { HONE_ROPE_DIM_MAX = 512 };

/* Rotary positions: angle(pos, i) = (float)pos * inv_freq[i], cos and sin times `magnitude`. */
typedef struct hone_rope {
    uint32_t dim; /* rotated dimensions of a head, even; pair i is (i, i + dim/2) */
    float inv_freq[HONE_ROPE_DIM_MAX / 2];
    float magnitude;
} hone_rope;

typedef struct hone_hparams {
    uint32_t layers, hidden, heads, kv_heads, head_dim, ffn, vocab;
    uint32_t context_tokens;
    float norm_eps;
    float attention_scale; /* of scores: 1/sqrt(head_dim) */
    bool tied;
    hone_rope rope;
} hone_hparams;

/* Weights of one layer of a dense transformer, as slots that an architecture names. */
typedef enum hone_slot {
    HONE_SLOT_NORM_ATTENTION,
    HONE_SLOT_Q,
    HONE_SLOT_K,
    HONE_SLOT_V,
    HONE_SLOT_O,
    HONE_SLOT_NORM_MLP,
    HONE_SLOT_GATE,
    HONE_SLOT_UP,
    HONE_SLOT_DOWN,
    HONE_LAYER_SLOTS,
    /* of the whole model */
    HONE_SLOT_EMBEDDING = HONE_LAYER_SLOTS,
    HONE_SLOT_NORM_FINAL,
    HONE_SLOT_HEAD,
    HONE_SLOTS
} hone_slot;

/* How a tensor is called: "%u" stands for the layer. weight and bias suffixes included. */
typedef struct hone_tensor_name {
    const char *weight, *bias; /* bias NULL: never has one */
} hone_tensor_name;

typedef struct hone_arch {
    const char *name;    /* "llama" */
    const char *gguf;    /* general.architecture */
    const char *hf_type; /* model_type of config.json */
    hone_tensor_name gguf_names[HONE_SLOTS], hf_names[HONE_SLOTS];
    /* GGUF files hold the rows of Q and K so that a rotary pair is (2i, 2i+1); they are put back in
     * Hugging Face's order on loading, so that both kinds of file give the same bits. */
    bool gguf_interleaved_qk;
    hone_status (*read_hparams)(const hone_file *f, hone_hparams *out);
} hone_arch;

/* The architecture of a file and its hyper-parameters. UNSUPPORTED names what is not known and what
 * is. */
HONE_CHECKED hone_status hone_arch_find(const hone_file *f, const hone_arch **arch);
HONE_CHECKED hone_status hone_arch_read(const hone_file *f, const hone_arch **arch,
                                        hone_hparams *out);
size_t hone_arch_count(void);
const hone_arch *hone_arch_at(size_t i);

extern const hone_arch hone_arch_llama;

#endif
