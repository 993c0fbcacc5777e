/*
 * arch - an architecture is data: how its hyper-parameters and tensors are called in each kind of
 * file, and which blocks make a layer. One file in model/arch/ and one row in arch.c; nothing else
 * asks for the name of an architecture. model/README.md shows how to add one.
 *
 * The same tables read GGUF files and Hugging Face folders and write GGUF (compress/convert.c).
 *
 * Threading: constant tables. Ownership: nothing is owned.
 */
#ifndef HONE_MODEL_ARCH_H
#define HONE_MODEL_ARCH_H

#include "file/file.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    HONE_ROPE_DIM_MAX = 512,
    HONE_LAYERS_MAX = 1024,
    HONE_LAYER_KINDS = 8,
    HONE_LAYER_BLOCKS = 4,
    HONE_ROPES = 2,       /* sets of rotary frequencies that the layers of one model use */
    HONE_ROPE_NONE = 255, /* a layer without rotary positions */
};

/* Rotary positions: angle(pos, i) = (float)pos * inv_freq[i], cos and sin times `magnitude`. */
typedef struct hone_rope {
    uint32_t dim; /* rotated dimensions of a head, even; pair i is (i, i + dim/2) */
    float inv_freq[HONE_ROPE_DIM_MAX / 2];
    float magnitude;
} hone_rope;

typedef enum hone_norm {
    HONE_NORM_RMS,
    HONE_NORM_LAYER, /* mean and variance, weight and bias */
} hone_norm;

/* Where a block normalises; or them. */
enum {
    HONE_NORM_INPUT = 1,  /* what it reads from the residual stream (slot `norm` of the block) */
    HONE_NORM_OUTPUT = 2, /* what it adds to it (slot `norm_after`): Gemma 2 */
    HONE_NORM_SUM = 4,    /* the stream after adding (slot `norm_after`): BERT */
};

struct hone_block;      /* model/forward.h */
struct hone_activation; /* model/activation.h */

typedef struct hone_block_use {
    const struct hone_block *block;
    int norms;  /* HONE_NORM_* */
    bool joins; /* reads the stream as the block before it read it: parallel residual */
} hone_block_use;

/* A kind of layer: its blocks in order, and their parameters. */
typedef struct hone_layer_kind {
    uint32_t n_blocks;
    hone_block_use blocks[HONE_LAYER_BLOCKS];
    uint32_t heads, kv_heads, head_dim, ffn;
    uint32_t window; /* a token sees (position - window, position], or, bidirectional,
                        [position - window, position + window]; 0 = all */
    uint32_t rope;   /* which of hone_hparams.ropes, or HONE_ROPE_NONE */
    float scale;     /* of scores: 1/sqrt(head_dim) */
    float softcap;   /* of scores: s -> softcap * tanh(s / softcap); 0 = none */
    const struct hone_activation *activation; /* of the MLP */
    bool gated;                               /* down(act(gate) * up), else down(act(up)) */
} hone_layer_kind;

typedef struct hone_hparams {
    /* As the file says them; what a layer uses is in its kind. */
    uint32_t layers, hidden, heads, kv_heads, head_dim, ffn, vocab;
    uint32_t context_tokens;
    uint32_t window;          /* of the layers that have one; 0 = none has. Of an
                                 encoder half of it lies on either side */
    uint32_t window_pattern;  /* 0: all have one; n: all but layers n-1, 2n-1, ... */
    uint32_t window_from;     /* and none before this layer */
    uint32_t positions;       /* rows of learned positions, 0 = none */
    uint32_t position_offset; /* rows before them in a Hugging Face folder's table */
    uint32_t token_types;     /* rows of token type embeddings, 0 = none */
    float norm_eps;
    hone_norm norm;
    float attention_scale; /* 0 = 1/sqrt(head_dim) */
    float query_scalar;    /* of which it is the inverse root (Gemma) */
    float softcap, final_softcap;
    bool tied;
    bool parallel;      /* attention and MLP read the same stream */
    bool bidirectional; /* every token sees the whole sequence, which then is one step */
    float embedding_scale, logit_scale; /* 0 = none */

    /* Relative positions (DeBERTa): distances fall into buckets -relative_span..relative_span, one
     * by one up to half of it, then by logarithm up to relative_max. 0 = none. */
    uint32_t relative_span, relative_max;

    /* What comes after the layers of an encoder. */
    uint32_t labels;    /* of the classifier, 0 = has none */
    bool classify_mean; /* it reads the mean of all tokens, not the first */
    const struct hone_activation *pooler_activation; /* of the pooler and the classifier's dense */

    /* ropes[0]; ropes[1] for sequences that may get longer than long_from (0 = never). */
    hone_rope ropes[2][HONE_ROPES];
    uint32_t n_ropes, long_from;

    uint32_t n_kinds;
    hone_layer_kind kinds[HONE_LAYER_KINDS];
    uint8_t kind_of[HONE_LAYERS_MAX]; /* layer -> kind */
} hone_hparams;

static inline const hone_layer_kind *hone_kind(const hone_hparams *h, uint32_t layer)
{
    return &h->kinds[h->kind_of[layer]];
}

/* Places for weights, that an architecture names; slots.c has a row for each. Slots of one layer
 * that have the same name share a tensor, whose rows are then theirs in this order. */
typedef enum hone_slot {
    HONE_SLOT_NORM_ATTENTION,
    HONE_SLOT_Q,
    HONE_SLOT_K,
    HONE_SLOT_V,
    HONE_SLOT_NORM_Q, /* of each head, before rotation */
    HONE_SLOT_NORM_K,
    HONE_SLOT_O,
    HONE_SLOT_NORM_ATTENTION_AFTER,
    HONE_SLOT_NORM_MLP,
    HONE_SLOT_GATE,
    HONE_SLOT_UP,
    HONE_SLOT_DOWN,
    HONE_SLOT_NORM_MLP_AFTER,
    HONE_LAYER_SLOTS,
    /* of the whole model */
    HONE_SLOT_EMBEDDING = HONE_LAYER_SLOTS,
    HONE_SLOT_POSITION,
    HONE_SLOT_TOKEN_TYPE,
    HONE_SLOT_NORM_EMBEDDING,
    HONE_SLOT_RELATIVE, /* embeddings of relative positions */
    HONE_SLOT_NORM_RELATIVE,
    HONE_SLOT_NORM_FINAL,
    HONE_SLOT_HEAD,
    HONE_SLOT_POOLER, /* of the first token: what BERT calls its pooled output */
    HONE_SLOT_DENSE,  /* before the classifier; its norm */
    HONE_SLOT_NORM_DENSE,
    HONE_SLOT_CLASSIFIER,
    HONE_SLOTS
} hone_slot;

/* How a tensor differs from the rows that the slot wants. */
enum {
    HONE_NAME_BIAS = 1,       /* the bias must be there; without this it may be missing */
    HONE_NAME_OPTIONAL = 2,   /* the tensor itself may be missing: the slot stays empty */
    HONE_NAME_TRANSPOSED = 4, /* stored [k][n] (GPT-2's Conv1D) */
    HONE_NAME_PER_HEAD = 8,   /* shared: the slots take turns in every head (GPT-NeoX) */
    HONE_NAME_PAIRS = 16,     /* rotary pairs of a head are rows (2i, 2i + 1): llama.cpp's Llama */
    HONE_NAME_PLUS_ONE = 32,  /* the weight is 1 + what is stored (Gemma's norms) */
};

/* How a tensor is called: "%u" stands for the layer, "@" at the beginning for the file's prefix. */
typedef struct hone_tensor_name {
    const char *weight, *bias; /* weight NULL: has none; bias NULL: never has one */
    int flags;                 /* HONE_NAME_* */
} hone_tensor_name;

/* A hyper-parameter: how it is called in each kind of file, and where it goes. A list ends with
 * type HONE_KEY_END. Keys with `write_only` are not read (what llama.cpp wants to see twice). */
typedef enum hone_key_type {
    HONE_KEY_END,
    HONE_KEY_U32,
    HONE_KEY_F32,
    HONE_KEY_BOOL
} hone_key_type;
enum { HONE_KEY_NEEDED = 1, HONE_KEY_WRITE_ONLY = 2, HONE_KEY_IF_SET = 4 /* write unless 0 */ };
typedef struct hone_key {
    hone_key_type type;
    const char *gguf; /* after "<architecture>."; NULL = not in GGUF files */
    const char *hf;   /* NULL = not in config.json */
    size_t field;     /* in hone_hparams */
    int flags;
    double fallback; /* of a key that is not needed */
} hone_key;

typedef struct hone_arch {
    const char *name; /* "llama" */
    const char *what; /* "Llama 2 and 3": for docs/models.md */
    const char *gguf; /* general.architecture; several rows may share one, the first is found */
    const char *hf_types[3];   /* model_type of config.json */
    const char *hf_classes[2]; /* "architectures" of a config.json that is written: without and with
                                  a classifier */
    const hone_key *keys;
    hone_tensor_name gguf_names[HONE_SLOTS], hf_names[HONE_SLOTS];
    const char *hf_prefixes[3]; /* tried for "@" with the embedding's name; NULL after the last */
    /* Ends of names of tensors that may lie in a folder unused: masks, computed frequencies; or
     * ("cls.") beginnings: heads of other tasks. */
    const char *hf_ignored[6];
    /* After the keys are read: rotary frequencies, kinds of layers, refusal of options that hone
     * does not run. NULL = hone_arch_build. */
    hone_status (*build)(const hone_file *f, hone_hparams *h);
    uint32_t window_pattern; /* of files that do not say it */
} hone_arch;

/* The architecture of a file and its hyper-parameters. UNSUPPORTED names what is not known and what
 * is. hone_hparams is some 6 KB. */
HONE_CHECKED hone_status hone_arch_read(const hone_file *f, const hone_arch **arch,
                                        hone_hparams *out);
size_t hone_arch_count(void);
const hone_arch *hone_arch_at(size_t i);

/* ---- for the files of architectures (arch/build.c) ------------------------------------------- */

/* What most decoders want: rotary frequencies, the window of each layer, and kinds of layers with
 * attention and a gated SiLU MLP, each normalised before. */
HONE_CHECKED hone_status hone_arch_build(const hone_file *f, hone_hparams *h);
/* The same, with windows as Qwen has them: only if use_sliding_window, from max_window_layers on.
 */
HONE_CHECKED hone_status hone_arch_build_late_windows(const hone_file *f, hone_hparams *h);
/* The same in parts, for those that differ. */
HONE_CHECKED hone_status hone_arch_read_rope(const hone_file *f, hone_hparams *h);
HONE_CHECKED hone_status hone_arch_read_activation(const hone_file *f, const char *key,
                                                   const char *fallback, hone_layer_kind *k);
/* One layer kind from the plain fields: attention, then an MLP. */
hone_layer_kind hone_arch_kind(const hone_hparams *h);
/* Makes `k` the kind of all layers; those with a window (layer_types, or h->window_pattern) get it
 * and the rotary frequencies `window_rope`. */
HONE_CHECKED hone_status hone_arch_set_kinds(const hone_file *f, hone_hparams *h,
                                             const hone_layer_kind *k, uint32_t window_rope);
/* "<architecture>.<suffix>" of a GGUF file in `out`; returns it. */
const char *hone_arch_gguf_key(const hone_file *f, const char *suffix, char out[96]);

#endif
