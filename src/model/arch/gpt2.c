/*
 * GPT-2 (Radford et al., 2019): LayerNorm, learned positions, one fused matrix for queries, keys
 * and values, GELU. Its folders store matrices transposed (Conv1D).
 */
#include "model/arch/keys.h"

static const hone_key keys[] = {
    U32("block_count", "n_layer", layers, HONE_KEY_NEEDED, 0),
    U32("context_length", "n_positions", context_tokens, 0, 1024),
    U32("embedding_length", "n_embd", hidden, HONE_KEY_NEEDED, 0),
    U32("feed_forward_length", "n_inner", ffn, 0, 0), /* nothing: 4 x hidden */
    U32("attention.head_count", "n_head", heads, HONE_KEY_NEEDED, 0),
    KEYS_VOCAB,
    KEYS_TIED(true),
    F32("attention.layer_norm_epsilon", "layer_norm_epsilon", norm_eps, 0, 1e-5),
    KEYS_END};

static hone_status build(const hone_file *f, hone_hparams *h)
{
    /* reorder_and_upcast_attn is the same in other arithmetic. */
    static const struct {
        const char *key;
        bool usual;
    } others[] = {{"scale_attn_by_inverse_layer_idx", false},
                  {"scale_attn_weights", true},
                  {"add_cross_attention", false}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        bool is;
        HONE_TRY(hone_file_bool_or(f, others[i].key, others[i].usual, &is));
        if (is != others[i].usual)
            return hone_fail(HONE_UNSUPPORTED, "%s: hone does not run GPT-2 with%s %s",
                             hone_file_path(f), is ? "" : "out", others[i].key);
    }
    h->norm = HONE_NORM_LAYER;
    h->positions = h->context_tokens;
    hone_layer_kind k = hone_arch_kind(h);
    k.gated = false;
    HONE_TRY(hone_arch_read_activation(f, "activation_function", "gelu_new", &k));
    return hone_arch_set_kinds(f, h, &k, 0);
}

#define HF_H "@h.%u."
#define ATTN                                                                                       \
    HF_H "attn.c_attn.weight", HF_H "attn.c_attn.bias", HONE_NAME_BIAS | HONE_NAME_TRANSPOSED
enum { CONV = HONE_NAME_BIAS | HONE_NAME_TRANSPOSED };

const hone_arch hone_arch_gpt2 = {
    .name = "gpt2",
    .what = "GPT-2 and its like (DistilGPT-2, DialoGPT)",
    .gguf = "gpt2",
    .hf_types = {"gpt2"},
    .hf_classes = {"GPT2LMHeadModel"},
    .keys = keys,
    .gguf_names =
        {GGUF_WHOLE, GGUF_ATTENTION_FUSED(HONE_NAME_BIAS),
         GGUF_MLP(HONE_NAME_BIAS), [HONE_SLOT_POSITION] = {"position_embd.weight", NULL, 0}},
    .hf_names = {[HONE_SLOT_EMBEDDING] = {"@wte.weight", NULL, 0},
                 [HONE_SLOT_POSITION] = {"@wpe.weight", NULL, 0},
                 [HONE_SLOT_NORM_FINAL] = {"@ln_f.weight", "@ln_f.bias", HONE_NAME_BIAS},
                 [HONE_SLOT_HEAD] = {"lm_head.weight", NULL, 0},
                 [HONE_SLOT_NORM_ATTENTION] = {HF_H "ln_1.weight", HF_H "ln_1.bias",
                                               HONE_NAME_BIAS},
                 [HONE_SLOT_Q] = {ATTN},
                 [HONE_SLOT_K] = {ATTN},
                 [HONE_SLOT_V] = {ATTN},
                 [HONE_SLOT_O] = {HF_H "attn.c_proj.weight", HF_H "attn.c_proj.bias", CONV},
                 [HONE_SLOT_NORM_MLP] = {HF_H "ln_2.weight", HF_H "ln_2.bias", HONE_NAME_BIAS},
                 [HONE_SLOT_UP] = {HF_H "mlp.c_fc.weight", HF_H "mlp.c_fc.bias", CONV},
                 [HONE_SLOT_DOWN] = {HF_H "mlp.c_proj.weight", HF_H "mlp.c_proj.bias", CONV}},
    .hf_prefixes = {"transformer.", ""},
    .hf_ignored = {".attn.bias", ".attn.masked_bias"},
    .build = build,
};
