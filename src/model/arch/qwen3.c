/* Qwen 3 (Yang et al., arXiv:2505.09388): Llama with a norm on every head's query and key. */
#include "model/arch/keys.h"

static const hone_key keys[] = {KEYS_SIZES,     KEYS_HEAD_DIM, KEYS_VOCAB, KEYS_TIED(false),
                                KEYS_RMS(1e-6), KEYS_WINDOW,   KEYS_END};

const hone_arch hone_arch_qwen3 = {
    .name = "qwen3",
    .what = "Qwen 3, all sizes without experts",
    .gguf = "qwen3",
    .hf_types = {"qwen3"},
    .hf_classes = {"Qwen3ForCausalLM"},
    .keys = keys,
    .gguf_names = {GGUF_WHOLE, GGUF_ATTENTION(0), GGUF_HEAD_NORMS, GGUF_MLP(0)},
    .hf_names = {HF_WHOLE, HF_NORMS(0), HF_ATTENTION(0), HF_HEAD_NORMS(0), HF_MLP_GATED},
    .hf_ignored = HF_IGNORED,
    .build = hone_arch_build_late_windows,
};
