/*
 * Llama 2 and 3.x (Touvron et al., arXiv:2307.09288; Dubey et al., arXiv:2407.21783): RMS norm
 * before grouped-query attention with rotary positions and before a SiLU-gated MLP, both added to
 * the residual. GGUF files of Mistral are called "llama" too, so the window is read here.
 */
#include "model/arch/keys.h"

static const hone_key keys[] = {
    KEYS_SIZES,     KEYS_HEAD_DIM,
    KEYS_VOCAB,     KEYS_TIED(false),
    KEYS_RMS(1e-6), U32("attention.sliding_window", NULL, window, HONE_KEY_IF_SET, 0),
    KEYS_END};

const hone_arch hone_arch_llama = {
    .name = "llama",
    .what = "Llama 2, 3, 3.1, 3.2 and others of their form",
    .gguf = "llama",
    .hf_types = {"llama"},
    .hf_classes = {"LlamaForCausalLM"},
    .keys = keys,
    .gguf_names = {GGUF_WHOLE, GGUF_ATTENTION(HONE_NAME_PAIRS), GGUF_MLP(0)},
    .hf_names = {HF_WHOLE, HF_NORMS(0), HF_ATTENTION(0), HF_MLP_GATED},
    .hf_ignored = HF_IGNORED,
};
