/*
 * Gemma (arXiv:2403.08295), Gemma 2 (arXiv:2408.00118) and Gemma 3 (arXiv:2503.19786): embeddings
 * times sqrt(hidden size), norm weights stored as w - 1, GELU-gated MLP, tied. From 2 on norms
 * before and after each block, and layers with and without a window by turns; 2 caps scores and
 * logits, 3 norms the heads instead and rotates its window layers by frequencies of their own.
 */
#include "model/arch/keys.h"

#include <math.h>

#define KEYS_GEMMA                                                                                 \
    KEYS_SIZES, U32("attention.key_length", "head_dim", head_dim, 0, 256),                         \
        U32("attention.value_length", NULL, head_dim, HONE_KEY_WRITE_ONLY, 0), KEYS_VOCAB,         \
        KEYS_TIED(true), KEYS_RMS(1e-6)

static const hone_key keys_1[] = {KEYS_GEMMA, KEYS_END};
static const hone_key keys_2[] = {
    KEYS_GEMMA,
    U32("attention.sliding_window", "sliding_window", window, 0, 4096),
    F32("attn_logit_softcapping", "attn_logit_softcapping", softcap, 0, 0),
    F32("final_logit_softcapping", "final_logit_softcapping", final_softcap, 0, 0),
    F32(NULL, "query_pre_attn_scalar", query_scalar, 0, 256),
    KEYS_END};
static const hone_key keys_3[] = {
    KEYS_GEMMA,
    KEYS_WINDOW,
    U32(NULL, "sliding_window_pattern", window_pattern, 0, 0),
    U32(NULL, "_sliding_window_pattern", window_pattern, 0, 0),
    F32("final_logit_softcapping", "final_logit_softcapping", final_softcap, HONE_KEY_IF_SET, 0),
    F32(NULL, "query_pre_attn_scalar", query_scalar, 0, 256),
    KEYS_END};

/* Layers of a Gemma, of which generation 1 has no norms behind its blocks. */
static hone_status build(const hone_file *f, hone_hparams *h, bool after, uint32_t window_rope)
{
    HONE_TRY(hone_arch_read_rope(f, h));
    h->embedding_scale = sqrtf((float)h->hidden);
    if (h->attention_scale == 0 && h->query_scalar > 0)
        h->attention_scale = (float)pow((double)h->query_scalar, -0.5);
    hone_layer_kind k = hone_arch_kind(h);
    for (uint32_t i = 0; after && i < k.n_blocks; i++)
        k.blocks[i].norms |= HONE_NORM_OUTPUT;
    HONE_TRY(hone_arch_read_activation(f, "hidden_activation", "gelu_pytorch_tanh", &k));
    return hone_arch_set_kinds(f, h, &k, window_rope);
}

static hone_status build_1(const hone_file *f, hone_hparams *h)
{
    return build(f, h, false, 0);
}

/* GGUF has no name for the scale of the scores: llama.cpp knows the one model that differs from
 * 1/sqrt(head dimension), 27B, by its layers. */
static void scale_of_gguf(const hone_file *f, hone_hparams *h, uint32_t layers_of_27b)
{
    if (hone_file_kind(f) == HONE_FILE_GGUF)
        h->query_scalar =
            (float)(h->layers == layers_of_27b && h->heads ? h->hidden / h->heads : h->head_dim);
}

static hone_status build_2(const hone_file *f, hone_hparams *h)
{
    scale_of_gguf(f, h, 46);
    return build(f, h, true, 0);
}

static hone_status build_3(const hone_file *f, hone_hparams *h)
{
    scale_of_gguf(f, h, 62);
    h->n_ropes = 2;
    return build(f, h, true, 1);
}

#define PLUS_ONE HONE_NAME_PLUS_ONE
#define HF_WHOLE_GEMMA                                                                             \
    [HONE_SLOT_EMBEDDING] = {"model.embed_tokens.weight", NULL, 0},                                \
    [HONE_SLOT_NORM_FINAL] = {"model.norm.weight", NULL, PLUS_ONE},                                \
    [HONE_SLOT_HEAD] = {"lm_head.weight", NULL, 0}
#define HF_NORMS_AFTER                                                                             \
    [HONE_SLOT_NORM_ATTENTION] = {HF_LAYER "input_layernorm.weight", NULL, PLUS_ONE},              \
    [HONE_SLOT_NORM_ATTENTION_AFTER] = {HF_LAYER "post_attention_layernorm.weight", NULL,          \
                                        PLUS_ONE},                                                 \
    [HONE_SLOT_NORM_MLP] = {HF_LAYER "pre_feedforward_layernorm.weight", NULL, PLUS_ONE},          \
    [HONE_SLOT_NORM_MLP_AFTER] = {HF_LAYER "post_feedforward_layernorm.weight", NULL, PLUS_ONE}
#define GGUF_NORMS_AFTER                                                                           \
    [HONE_SLOT_NORM_ATTENTION_AFTER] = {"blk.%u.post_attention_norm.weight", NULL, 0},             \
    [HONE_SLOT_NORM_MLP_AFTER] = {"blk.%u.post_ffw_norm.weight", NULL, 0}

const hone_arch hone_arch_gemma = {
    .name = "gemma",
    .what = "Gemma and CodeGemma",
    .gguf = "gemma",
    .hf_types = {"gemma"},
    .hf_classes = {"GemmaForCausalLM"},
    .keys = keys_1,
    .gguf_names = {GGUF_WHOLE, GGUF_ATTENTION(0), GGUF_MLP(0)},
    .hf_names = {HF_WHOLE_GEMMA, HF_NORMS(PLUS_ONE), HF_ATTENTION(0), HF_MLP_GATED},
    .hf_ignored = HF_IGNORED,
    .build = build_1,
};

const hone_arch hone_arch_gemma2 = {
    .name = "gemma2",
    .what = "Gemma 2: alternating windows, soft-caps",
    .gguf = "gemma2",
    .hf_types = {"gemma2"},
    .hf_classes = {"Gemma2ForCausalLM"},
    .keys = keys_2,
    .gguf_names = {GGUF_WHOLE, GGUF_ATTENTION(0), GGUF_MLP(0), GGUF_NORMS_AFTER},
    .hf_names = {HF_WHOLE_GEMMA, HF_NORMS_AFTER, HF_ATTENTION(0), HF_MLP_GATED},
    .hf_ignored = HF_IGNORED,
    .build = build_2,
    .window_pattern = 2,
};

const hone_arch hone_arch_gemma3 = {
    .name = "gemma3",
    .what = "Gemma 3, text only: five window layers to one, two rotary bases, norms of heads",
    .gguf = "gemma3",
    .hf_types = {"gemma3_text"},
    .hf_classes = {"Gemma3ForCausalLM"},
    .keys = keys_3,
    .gguf_names = {GGUF_WHOLE, GGUF_ATTENTION(0), GGUF_HEAD_NORMS, GGUF_MLP(0), GGUF_NORMS_AFTER},
    .hf_names = {HF_WHOLE_GEMMA, HF_NORMS_AFTER, HF_ATTENTION(0), HF_HEAD_NORMS(PLUS_ONE),
                 HF_MLP_GATED},
    .hf_ignored = HF_IGNORED,
    .build = build_3,
    .window_pattern = 6,
};
