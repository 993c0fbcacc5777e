/*
 * Llama 2 and 3.x (Touvron et al., arXiv:2307.09288; Dubey et al., arXiv:2407.21783): RMS norm
 * before grouped-query attention with rotary positions and before a SiLU-gated MLP, both added to
 * the residual.
 */
#include "model/arch.h"
#include "model/rope.h"

#include <math.h>

static hone_status u32(const hone_file *f, const char *key, uint32_t *out)
{
    uint64_t v;
    HONE_TRY(hone_file_u64(f, key, &v));
    if (v > UINT32_MAX)
        return hone_fail(HONE_FORMAT, "%s: %s = %llu is absurd", hone_file_path(f), key,
                         (unsigned long long)v);
    *out = (uint32_t)v;
    return HONE_OK;
}

static hone_status u32_or(const hone_file *f, const char *key, uint32_t fallback, uint32_t *out)
{
    *out = fallback;
    return hone_file_has(f, key) ? u32(f, key, out) : HONE_OK;
}

static hone_status read_gguf(const hone_file *f, hone_hparams *h)
{
    double eps;
    HONE_TRY(u32(f, "llama.block_count", &h->layers));
    HONE_TRY(u32(f, "llama.embedding_length", &h->hidden));
    HONE_TRY(u32(f, "llama.feed_forward_length", &h->ffn));
    HONE_TRY(u32(f, "llama.attention.head_count", &h->heads));
    HONE_TRY(u32_or(f, "llama.attention.head_count_kv", h->heads, &h->kv_heads));
    HONE_TRY(
        u32_or(f, "llama.attention.key_length", h->heads ? h->hidden / h->heads : 0, &h->head_dim));
    HONE_TRY(u32_or(f, "llama.context_length", 2048, &h->context_tokens));
    HONE_TRY(hone_file_f64_or(f, "llama.attention.layer_norm_rms_epsilon", 1e-5, &eps));
    h->norm_eps = (float)eps;
    const hone_tensor *e = hone_file_tensor(f, "token_embd.weight");
    if (!e || e->n_dims != 2 || e->shape[0] > UINT32_MAX)
        return hone_fail(HONE_FORMAT, "%s: tensor token_embd.weight is missing or not a matrix",
                         hone_file_path(f));
    h->vocab = (uint32_t)e->shape[0];
    h->tied = hone_file_tensor(f, "output.weight") == NULL;
    return hone_rope_from_gguf(f, "llama", h->head_dim, h->context_tokens, &h->rope);
}

static hone_status read_hf(const hone_file *f, hone_hparams *h)
{
    double eps;
    const char *act;
    hone_rope_config rope;
    HONE_TRY(u32(f, "num_hidden_layers", &h->layers));
    HONE_TRY(u32(f, "hidden_size", &h->hidden));
    HONE_TRY(u32(f, "intermediate_size", &h->ffn));
    HONE_TRY(u32(f, "num_attention_heads", &h->heads));
    HONE_TRY(u32_or(f, "num_key_value_heads", h->heads, &h->kv_heads));
    HONE_TRY(u32_or(f, "head_dim", h->heads ? h->hidden / h->heads : 0, &h->head_dim));
    HONE_TRY(u32_or(f, "max_position_embeddings", 2048, &h->context_tokens));
    HONE_TRY(u32(f, "vocab_size", &h->vocab));
    HONE_TRY(hone_file_f64_or(f, "rms_norm_eps", 1e-6, &eps));
    HONE_TRY(hone_file_bool_or(f, "tie_word_embeddings", false, &h->tied));
    HONE_TRY(hone_file_str_or(f, "hidden_act", "silu", &act));
    if (act[0] != 's' || act[1] != 'i')
        return hone_fail(HONE_UNSUPPORTED, "%s: activation \"%.32s\"; Llama has silu",
                         hone_file_path(f), act);
    h->norm_eps = (float)eps;
    HONE_TRY(hone_rope_config_from_hf(f, h->head_dim, h->context_tokens, &rope));
    hone_rope_init(&rope, &h->rope);
    return HONE_OK;
}

static hone_status read_hparams(const hone_file *f, hone_hparams *h)
{
    HONE_TRY(hone_file_kind(f) == HONE_FILE_GGUF ? read_gguf(f, h) : read_hf(f, h));
    h->attention_scale = 1.0f / sqrtf((float)h->head_dim);
    return HONE_OK;
}

const hone_arch hone_arch_llama = {
    .name = "llama",
    .gguf = "llama",
    .hf_type = "llama",
    .gguf_interleaved_qk = true,
    .gguf_names =
        {
            [HONE_SLOT_NORM_ATTENTION] = {"blk.%u.attn_norm.weight", NULL},
            [HONE_SLOT_Q] = {"blk.%u.attn_q.weight", "blk.%u.attn_q.bias"},
            [HONE_SLOT_K] = {"blk.%u.attn_k.weight", "blk.%u.attn_k.bias"},
            [HONE_SLOT_V] = {"blk.%u.attn_v.weight", "blk.%u.attn_v.bias"},
            [HONE_SLOT_O] = {"blk.%u.attn_output.weight", "blk.%u.attn_output.bias"},
            [HONE_SLOT_NORM_MLP] = {"blk.%u.ffn_norm.weight", NULL},
            [HONE_SLOT_GATE] = {"blk.%u.ffn_gate.weight", "blk.%u.ffn_gate.bias"},
            [HONE_SLOT_UP] = {"blk.%u.ffn_up.weight", "blk.%u.ffn_up.bias"},
            [HONE_SLOT_DOWN] = {"blk.%u.ffn_down.weight", "blk.%u.ffn_down.bias"},
            [HONE_SLOT_EMBEDDING] = {"token_embd.weight", NULL},
            [HONE_SLOT_NORM_FINAL] = {"output_norm.weight", NULL},
            [HONE_SLOT_HEAD] = {"output.weight", NULL},
        },
    .hf_names =
        {
            [HONE_SLOT_NORM_ATTENTION] = {"model.layers.%u.input_layernorm.weight", NULL},
            [HONE_SLOT_Q] = {"model.layers.%u.self_attn.q_proj.weight",
                             "model.layers.%u.self_attn.q_proj.bias"},
            [HONE_SLOT_K] = {"model.layers.%u.self_attn.k_proj.weight",
                             "model.layers.%u.self_attn.k_proj.bias"},
            [HONE_SLOT_V] = {"model.layers.%u.self_attn.v_proj.weight",
                             "model.layers.%u.self_attn.v_proj.bias"},
            [HONE_SLOT_O] = {"model.layers.%u.self_attn.o_proj.weight",
                             "model.layers.%u.self_attn.o_proj.bias"},
            [HONE_SLOT_NORM_MLP] = {"model.layers.%u.post_attention_layernorm.weight", NULL},
            [HONE_SLOT_GATE] = {"model.layers.%u.mlp.gate_proj.weight",
                                "model.layers.%u.mlp.gate_proj.bias"},
            [HONE_SLOT_UP] = {"model.layers.%u.mlp.up_proj.weight",
                              "model.layers.%u.mlp.up_proj.bias"},
            [HONE_SLOT_DOWN] = {"model.layers.%u.mlp.down_proj.weight",
                                "model.layers.%u.mlp.down_proj.bias"},
            [HONE_SLOT_EMBEDDING] = {"model.embed_tokens.weight", NULL},
            [HONE_SLOT_NORM_FINAL] = {"model.norm.weight", NULL},
            [HONE_SLOT_HEAD] = {"lm_head.weight", NULL},
        },
    .read_hparams = read_hparams,
};
