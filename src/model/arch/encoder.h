/* encoder - what the files of encoders share. Private to arch/. */
#ifndef HONE_MODEL_ARCH_ENCODER_H
#define HONE_MODEL_ARCH_ENCODER_H

#include "model/activation.h"
#include "model/arch/keys.h"
#include "model/forward.h"

/* Sizes; of a Hugging Face folder the learned positions are as many as the context. */
#define KEYS_ENCODER                                                                               \
    U32("block_count", "num_hidden_layers", layers, HONE_KEY_NEEDED, 0),                           \
        U32("context_length", "max_position_embeddings", context_tokens, HONE_KEY_NEEDED, 0),      \
        U32("embedding_length", "hidden_size", hidden, HONE_KEY_NEEDED, 0),                        \
        U32("feed_forward_length", "intermediate_size", ffn, HONE_KEY_NEEDED, 0),                  \
        U32("attention.head_count", "num_attention_heads", heads, HONE_KEY_NEEDED, 0), KEYS_VOCAB

/* llama.cpp's names of BERT: the norms stand behind the sums. */
#define GGUF_ENCODER_NORMS                                                                         \
    [HONE_SLOT_NORM_EMBEDDING] = {"token_embd_norm.weight", "token_embd_norm.bias", 0},            \
    [HONE_SLOT_NORM_ATTENTION_AFTER] = {"blk.%u.attn_output_norm.weight",                          \
                                        "blk.%u.attn_output_norm.bias", HONE_NAME_BIAS},           \
    [HONE_SLOT_NORM_MLP_AFTER] = {"blk.%u.layer_output_norm.weight",                               \
                                  "blk.%u.layer_output_norm.bias", HONE_NAME_BIAS}
#define GGUF_CLASSIFIER                                                                            \
    [HONE_SLOT_DENSE] = {"cls.weight", "cls.bias", HONE_NAME_OPTIONAL},                            \
    [HONE_SLOT_NORM_DENSE] = {"cls.norm.weight", "cls.norm.bias", HONE_NAME_OPTIONAL},             \
    [HONE_SLOT_CLASSIFIER] = {"cls.output.weight", "cls.output.bias", 0}

/* Hugging Face's names of BERT and its descendants; `attn` are the names of the three inner
 * matrices. */
#define HF_ENCODER_LAYER "@encoder.layer.%u."
#define HF_BOTH(name)    name ".weight", name ".bias"
#define HF_ENCODER(query, key, value)                                                              \
    [HONE_SLOT_EMBEDDING] = {"@embeddings.word_embeddings.weight", NULL, 0},                       \
    [HONE_SLOT_POSITION] = {"@embeddings.position_embeddings.weight", NULL, 0},                    \
    [HONE_SLOT_TOKEN_TYPE] = {"@embeddings.token_type_embeddings.weight", NULL, 0},                \
    [HONE_SLOT_NORM_EMBEDDING] = {HF_BOTH("@embeddings.LayerNorm"), HONE_NAME_BIAS},               \
    [HONE_SLOT_Q] = {HF_BOTH(HF_ENCODER_LAYER "attention.self." query), HONE_NAME_BIAS},           \
    [HONE_SLOT_K] = {HF_BOTH(HF_ENCODER_LAYER "attention.self." key), HONE_NAME_BIAS},             \
    [HONE_SLOT_V] = {HF_BOTH(HF_ENCODER_LAYER "attention.self." value), HONE_NAME_BIAS},           \
    [HONE_SLOT_O] = {HF_BOTH(HF_ENCODER_LAYER "attention.output.dense"), HONE_NAME_BIAS},          \
    [HONE_SLOT_NORM_ATTENTION_AFTER] = {HF_BOTH(HF_ENCODER_LAYER "attention.output.LayerNorm"),    \
                                        HONE_NAME_BIAS},                                           \
    [HONE_SLOT_UP] = {HF_BOTH(HF_ENCODER_LAYER "intermediate.dense"), HONE_NAME_BIAS},             \
    [HONE_SLOT_DOWN] = {HF_BOTH(HF_ENCODER_LAYER "output.dense"), HONE_NAME_BIAS},                 \
    [HONE_SLOT_NORM_MLP_AFTER] = {HF_BOTH(HF_ENCODER_LAYER "output.LayerNorm"), HONE_NAME_BIAS}

/* Sets what BERT and its descendants have in common: bidirectional, LayerNorm behind the sums, an
 * MLP without gate, and one kind of layer with `attention`. UNSUPPORTED if the file is a decoder or
 * has relative positions of another kind. */
HONE_CHECKED hone_status hone_encoder_build(const hone_file *f, const hone_block *attention,
                                            hone_hparams *h);
/* The classifier's labels: the rows of its tensor, `name` in a folder. FORMAT if config.json has
 * another number of them, NOT_FOUND if it speaks of a classifier and there is none. */
HONE_CHECKED hone_status hone_encoder_read_labels(const hone_file *f, const char *name,
                                                  hone_hparams *h);
/* Rows of a tensor, 0 if there is none or it is no matrix. */
uint32_t hone_encoder_rows(const hone_file *f, const char *tensor);

#endif
