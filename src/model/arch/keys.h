/* keys - rows for the key lists of architectures. Private to arch/. */
#ifndef HONE_MODEL_ARCH_KEYS_H
#define HONE_MODEL_ARCH_KEYS_H

#include "model/arch.h"

#include <stddef.h>

#define U32(gguf, hf, member, flags, fallback)                                                     \
    {                                                                                              \
        HONE_KEY_U32, gguf, hf, offsetof(hone_hparams, member), flags, fallback                    \
    }
#define F32(gguf, hf, member, flags, fallback)                                                     \
    {                                                                                              \
        HONE_KEY_F32, gguf, hf, offsetof(hone_hparams, member), flags, fallback                    \
    }
#define BOOL(gguf, hf, member, flags, fallback)                                                    \
    {                                                                                              \
        HONE_KEY_BOOL, gguf, hf, offsetof(hone_hparams, member), flags, fallback                   \
    }

/* Sizes, as almost every config.json of the last years calls them. */
#define KEYS_SIZES                                                                                 \
    U32("block_count", "num_hidden_layers", layers, HONE_KEY_NEEDED, 0),                           \
        U32("context_length", "max_position_embeddings", context_tokens, 0, 2048),                 \
        U32("embedding_length", "hidden_size", hidden, HONE_KEY_NEEDED, 0),                        \
        U32("feed_forward_length", "intermediate_size", ffn, HONE_KEY_NEEDED, 0),                  \
        U32("attention.head_count", "num_attention_heads", heads, HONE_KEY_NEEDED, 0),             \
        U32("attention.head_count_kv", "num_key_value_heads", kv_heads, 0, 0)
#define KEYS_HEAD_DIM                                                                              \
    U32("attention.key_length", "head_dim", head_dim, 0, 0),                                       \
        U32("attention.value_length", NULL, head_dim, HONE_KEY_WRITE_ONLY, 0)
/* Of GGUF the size of the vocabulary is that of the embedding. */
#define KEYS_VOCAB                                                                                 \
    U32(NULL, "vocab_size", vocab, HONE_KEY_NEEDED, 0),                                            \
        U32("vocab_size", NULL, vocab, HONE_KEY_WRITE_ONLY, 0)
/* Of GGUF a model is tied if it has no output head. */
#define KEYS_TIED(fallback) BOOL(NULL, "tie_word_embeddings", tied, 0, fallback)
#define KEYS_RMS(fallback)                                                                         \
    F32("attention.layer_norm_rms_epsilon", "rms_norm_eps", norm_eps, 0, fallback)
#define KEYS_WINDOW U32("attention.sliding_window", "sliding_window", window, HONE_KEY_IF_SET, 0)
#define KEYS_END                                                                                   \
    {                                                                                              \
        HONE_KEY_END, NULL, NULL, 0, 0, 0                                                          \
    }

/* llama.cpp's names, which most architectures share. */
#define GGUF_WHOLE                                                                                 \
    [HONE_SLOT_EMBEDDING] = {"token_embd.weight", NULL, 0},                                        \
    [HONE_SLOT_NORM_FINAL] = {"output_norm.weight", "output_norm.bias", 0},                        \
    [HONE_SLOT_HEAD] = {"output.weight", "output.bias", 0}
#define GGUF_ATTENTION(flags)                                                                      \
    [HONE_SLOT_NORM_ATTENTION] = {"blk.%u.attn_norm.weight", "blk.%u.attn_norm.bias",              \
                                  (flags) & ~HONE_NAME_PAIRS},                                     \
    [HONE_SLOT_Q] = {"blk.%u.attn_q.weight", "blk.%u.attn_q.bias", flags},                         \
    [HONE_SLOT_K] = {"blk.%u.attn_k.weight", "blk.%u.attn_k.bias", flags},                         \
    [HONE_SLOT_V] = {"blk.%u.attn_v.weight", "blk.%u.attn_v.bias", (flags) & ~HONE_NAME_PAIRS},    \
    [HONE_SLOT_O] = {"blk.%u.attn_output.weight", "blk.%u.attn_output.bias",                       \
                     (flags) & ~HONE_NAME_PAIRS}
#define GGUF_ATTENTION_FUSED(flags)                                                                \
    [HONE_SLOT_NORM_ATTENTION] = {"blk.%u.attn_norm.weight", "blk.%u.attn_norm.bias", flags},      \
    [HONE_SLOT_Q] = {"blk.%u.attn_qkv.weight", "blk.%u.attn_qkv.bias", flags},                     \
    [HONE_SLOT_K] = {"blk.%u.attn_qkv.weight", "blk.%u.attn_qkv.bias", flags},                     \
    [HONE_SLOT_V] = {"blk.%u.attn_qkv.weight", "blk.%u.attn_qkv.bias", flags},                     \
    [HONE_SLOT_O] = {"blk.%u.attn_output.weight", "blk.%u.attn_output.bias", flags}
#define GGUF_MLP(flags)                                                                            \
    [HONE_SLOT_NORM_MLP] = {"blk.%u.ffn_norm.weight", "blk.%u.ffn_norm.bias", flags},              \
    [HONE_SLOT_GATE] = {"blk.%u.ffn_gate.weight", "blk.%u.ffn_gate.bias", flags},                  \
    [HONE_SLOT_UP] = {"blk.%u.ffn_up.weight", "blk.%u.ffn_up.bias", flags},                        \
    [HONE_SLOT_DOWN] = {"blk.%u.ffn_down.weight", "blk.%u.ffn_down.bias", flags}

#define GGUF_HEAD_NORMS                                                                            \
    [HONE_SLOT_NORM_Q] = {"blk.%u.attn_q_norm.weight", NULL, 0}, [HONE_SLOT_NORM_K] = {            \
                                                                     "blk.%u.attn_k_norm.weight",  \
                                                                     NULL, 0}

/* Hugging Face's names since Llama. */
#define HF_WHOLE                                                                                   \
    [HONE_SLOT_EMBEDDING] = {"model.embed_tokens.weight", NULL, 0},                                \
    [HONE_SLOT_NORM_FINAL] = {"model.norm.weight", "model.norm.bias", 0},                          \
    [HONE_SLOT_HEAD] = {"lm_head.weight", NULL, 0}
#define HF_LAYER "model.layers.%u."
#define HF_ATTENTION(flags)                                                                        \
    [HONE_SLOT_Q] = {HF_LAYER "self_attn.q_proj.weight", HF_LAYER "self_attn.q_proj.bias", flags}, \
    [HONE_SLOT_K] = {HF_LAYER "self_attn.k_proj.weight", HF_LAYER "self_attn.k_proj.bias", flags}, \
    [HONE_SLOT_V] = {HF_LAYER "self_attn.v_proj.weight", HF_LAYER "self_attn.v_proj.bias", flags}, \
    [HONE_SLOT_O] = {HF_LAYER "self_attn.o_proj.weight", HF_LAYER "self_attn.o_proj.bias",         \
                     (flags) & ~HONE_NAME_BIAS}
#define HF_HEAD_NORMS(flags)                                                                       \
    [HONE_SLOT_NORM_Q] = {HF_LAYER "self_attn.q_norm.weight", NULL, flags},                        \
    [HONE_SLOT_NORM_K] = {HF_LAYER "self_attn.k_norm.weight", NULL, flags}
#define HF_MLP_GATED                                                                               \
    [HONE_SLOT_GATE] = {HF_LAYER "mlp.gate_proj.weight", HF_LAYER "mlp.gate_proj.bias", 0},        \
    [HONE_SLOT_UP] = {HF_LAYER "mlp.up_proj.weight", HF_LAYER "mlp.up_proj.bias", 0},              \
    [HONE_SLOT_DOWN] = {HF_LAYER "mlp.down_proj.weight", HF_LAYER "mlp.down_proj.bias", 0}
#define HF_NORMS(flags)                                                                            \
    [HONE_SLOT_NORM_ATTENTION] = {HF_LAYER "input_layernorm.weight",                               \
                                  HF_LAYER "input_layernorm.bias", flags},                         \
    [HONE_SLOT_NORM_MLP] = {HF_LAYER "post_attention_layernorm.weight",                            \
                            HF_LAYER "post_attention_layernorm.bias", flags}
#define HF_IGNORED                                                                                 \
    {                                                                                              \
        "rotary_emb.inv_freq"                                                                      \
    }

#endif
