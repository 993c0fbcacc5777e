/*
 * Phi-3, Phi-3.5 and Phi-4 (Abdin et al., arXiv:2404.14219): Llama with fused matrices; long
 * contexts by longrope (rope.h), of which a sequence gets the short or the long factors when it is
 * admitted.
 */
#include "model/arch/keys.h"

static const hone_key keys[] = {
    KEYS_SIZES, KEYS_HEAD_DIM, KEYS_VOCAB, KEYS_TIED(false), KEYS_RMS(1e-5),
    /* llama.cpp wants the key, 0 when there is no window */
    U32("attention.sliding_window", "sliding_window", window, 0, 0), KEYS_END};

const hone_arch hone_arch_phi3 = {
    .name = "phi3",
    .what = "Phi-3, 3.5 and 4 (mini, small without block-sparse layers, medium), with longrope",
    .gguf = "phi3",
    .hf_types = {"phi3"},
    .hf_classes = {"Phi3ForCausalLM"},
    .keys = keys,
    .gguf_names =
        {GGUF_WHOLE,
         GGUF_ATTENTION_FUSED(0), [HONE_SLOT_NORM_MLP] = {"blk.%u.ffn_norm.weight", NULL, 0},
         [HONE_SLOT_GATE] = {"blk.%u.ffn_up.weight", NULL, 0},
         [HONE_SLOT_UP] = {"blk.%u.ffn_up.weight", NULL, 0},
         [HONE_SLOT_DOWN] = {"blk.%u.ffn_down.weight", NULL, 0}},
    .hf_names = {HF_WHOLE,
                 HF_NORMS(0), [HONE_SLOT_Q] = {HF_LAYER "self_attn.qkv_proj.weight", NULL, 0},
                 [HONE_SLOT_K] = {HF_LAYER "self_attn.qkv_proj.weight", NULL, 0},
                 [HONE_SLOT_V] = {HF_LAYER "self_attn.qkv_proj.weight", NULL, 0},
                 [HONE_SLOT_O] = {HF_LAYER "self_attn.o_proj.weight", NULL, 0},
                 [HONE_SLOT_GATE] = {HF_LAYER "mlp.gate_up_proj.weight", NULL, 0},
                 [HONE_SLOT_UP] = {HF_LAYER "mlp.gate_up_proj.weight", NULL, 0},
                 [HONE_SLOT_DOWN] = {HF_LAYER "mlp.down_proj.weight", NULL, 0}},
    .hf_ignored = HF_IGNORED,
};
