/*
 * StarCoder 2 (Lozhkov et al., arXiv:2402.19173): LayerNorm, biases everywhere, grouped-query
 * attention with rotary positions and a window, an MLP without gate.
 */
#include "model/arch/keys.h"

static const hone_key keys[] = {
    KEYS_SIZES,
    KEYS_HEAD_DIM,
    KEYS_VOCAB,
    KEYS_TIED(true),
    F32("attention.layer_norm_epsilon", "norm_epsilon", norm_eps, 0, 1e-5),
    KEYS_WINDOW,
    KEYS_END};

static hone_status build(const hone_file *f, hone_hparams *h)
{
    HONE_TRY(hone_arch_read_rope(f, h));
    h->norm = HONE_NORM_LAYER;
    hone_layer_kind k = hone_arch_kind(h);
    k.gated = false;
    HONE_TRY(hone_arch_read_activation(f, "hidden_act", "gelu_pytorch_tanh", &k));
    return hone_arch_set_kinds(f, h, &k, 0);
}

const hone_arch hone_arch_starcoder2 = {
    .name = "starcoder2",
    .what = "StarCoder 2",
    .gguf = "starcoder2",
    .hf_types = {"starcoder2"},
    .hf_classes = {"Starcoder2ForCausalLM"},
    .keys = keys,
    .gguf_names = {GGUF_WHOLE, GGUF_ATTENTION(0), GGUF_MLP(0)},
    .hf_names = {HF_WHOLE, HF_NORMS(HONE_NAME_BIAS), HF_ATTENTION(0),
                 [HONE_SLOT_UP] = {HF_LAYER "mlp.c_fc.weight", HF_LAYER "mlp.c_fc.bias", 0},
                 [HONE_SLOT_DOWN] = {HF_LAYER "mlp.c_proj.weight", HF_LAYER "mlp.c_proj.bias", 0}},
    .hf_ignored = HF_IGNORED,
    .build = build,
};
