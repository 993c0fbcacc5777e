/*
 * Qwen 2 and 2.5 (Yang et al., arXiv:2407.10671): Llama with biases on queries, keys and values.
 * A window is used only where the config says so, in the layers from max_window_layers on.
 */
#include "model/arch/keys.h"

static const hone_key keys[] = {KEYS_SIZES,     KEYS_HEAD_DIM, KEYS_VOCAB, KEYS_TIED(false),
                                KEYS_RMS(1e-6), KEYS_WINDOW,   KEYS_END};

const hone_arch hone_arch_qwen2 = {
    .name = "qwen2",
    .what = "Qwen 2 and 2.5, all sizes without experts",
    .gguf = "qwen2",
    .hf_types = {"qwen2"},
    .hf_classes = {"Qwen2ForCausalLM"},
    .keys = keys,
    .gguf_names = {GGUF_WHOLE, GGUF_ATTENTION(0), GGUF_MLP(0)},
    .hf_names = {HF_WHOLE, HF_NORMS(0), HF_ATTENTION(HONE_NAME_BIAS), HF_MLP_GATED},
    .hf_ignored = HF_IGNORED,
    .build = hone_arch_build_late_windows,
};
