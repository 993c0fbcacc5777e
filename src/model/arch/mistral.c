/*
 * Mistral (Jiang et al., arXiv:2310.06825): Llama with a sliding window in every layer. Its GGUF
 * files are called "llama".
 */
#include "model/arch/keys.h"

static const hone_key keys[] = {KEYS_SIZES,     KEYS_HEAD_DIM, KEYS_VOCAB, KEYS_TIED(false),
                                KEYS_RMS(1e-6), KEYS_WINDOW,   KEYS_END};

const hone_arch hone_arch_mistral = {
    .name = "mistral",
    .what = "Mistral 7B, Nemo, Small: sliding window where the config has one",
    .gguf = "llama",
    .hf_types = {"mistral"},
    .hf_classes = {"MistralForCausalLM"},
    .keys = keys,
    .gguf_names = {GGUF_WHOLE, GGUF_ATTENTION(HONE_NAME_PAIRS), GGUF_MLP(0)},
    .hf_names = {HF_WHOLE, HF_NORMS(0), HF_ATTENTION(0), HF_MLP_GATED},
    .hf_ignored = HF_IGNORED,
};
