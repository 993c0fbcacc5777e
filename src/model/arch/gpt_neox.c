/*
 * GPT-NeoX (Black et al., arXiv:2204.06745) and Pythia: LayerNorm, attention and MLP side by side,
 * a part of each head rotated, query, key and value of a head together in one matrix.
 */
#include "model/arch/keys.h"

static const hone_key keys[] = {
    KEYS_SIZES,
    KEYS_VOCAB,
    KEYS_TIED(false),
    F32("attention.layer_norm_epsilon", "layer_norm_eps", norm_eps, 0, 1e-5),
    BOOL("use_parallel_residual", "use_parallel_residual", parallel, 0, 1),
    KEYS_END};

static hone_status build(const hone_file *f, hone_hparams *h)
{
    HONE_TRY(hone_arch_read_rope(f, h));
    h->norm = HONE_NORM_LAYER;
    hone_layer_kind k = hone_arch_kind(h);
    k.gated = false;
    HONE_TRY(hone_arch_read_activation(f, "hidden_act", "gelu", &k));
    return hone_arch_set_kinds(f, h, &k, 0);
}

#define HF_NEOX "gpt_neox.layers.%u."
#define QKV                                                                                        \
    HF_NEOX "attention.query_key_value.weight", HF_NEOX "attention.query_key_value.bias",          \
        HONE_NAME_PER_HEAD

const hone_arch hone_arch_gpt_neox = {
    .name = "gpt_neox",
    .what = "GPT-NeoX and Pythia",
    .gguf = "gptneox",
    .hf_types = {"gpt_neox"},
    .hf_classes = {"GPTNeoXForCausalLM"},
    .keys = keys,
    .gguf_names = {GGUF_WHOLE, GGUF_ATTENTION_FUSED(0), GGUF_MLP(HONE_NAME_BIAS)},
    .hf_names = {[HONE_SLOT_EMBEDDING] = {"gpt_neox.embed_in.weight", NULL, 0},
                 [HONE_SLOT_NORM_FINAL] = {"gpt_neox.final_layer_norm.weight",
                                           "gpt_neox.final_layer_norm.bias", HONE_NAME_BIAS},
                 [HONE_SLOT_HEAD] = {"embed_out.weight", NULL, 0},
                 [HONE_SLOT_NORM_ATTENTION] = {HF_NEOX "input_layernorm.weight",
                                               HF_NEOX "input_layernorm.bias", HONE_NAME_BIAS},
                 [HONE_SLOT_Q] = {QKV},
                 [HONE_SLOT_K] = {QKV},
                 [HONE_SLOT_V] = {QKV},
                 [HONE_SLOT_O] = {HF_NEOX "attention.dense.weight", HF_NEOX "attention.dense.bias",
                                  0},
                 [HONE_SLOT_NORM_MLP] = {HF_NEOX "post_attention_layernorm.weight",
                                         HF_NEOX "post_attention_layernorm.bias", HONE_NAME_BIAS},
                 [HONE_SLOT_UP] = {HF_NEOX "mlp.dense_h_to_4h.weight",
                                   HF_NEOX "mlp.dense_h_to_4h.bias", HONE_NAME_BIAS},
                 [HONE_SLOT_DOWN] = {HF_NEOX "mlp.dense_4h_to_h.weight",
                                     HF_NEOX "mlp.dense_4h_to_h.bias", HONE_NAME_BIAS}},
    .hf_ignored = {"rotary_emb.inv_freq", "attention.bias", "attention.masked_bias"},
    .build = build,
};
