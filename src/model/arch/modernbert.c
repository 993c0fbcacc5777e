/*
 * ModernBERT (Warner et al., arXiv:2412.13663): norms without bias before each block (none before
 * the first attention), fused matrices, a gated GELU, and rotary positions: two of three layers see
 * a window around each token, every third the whole text with another base.
 */
#include "model/arch/encoder.h"

#include <string.h>

#define PATTERN "attention.sliding_window_pattern"

static const hone_key keys[] = {
    KEYS_ENCODER,
    KEYS_TIED(false),
    F32("attention.layer_norm_epsilon", "norm_eps", norm_eps, 0, 1e-5),
    F32("attention.layer_norm_rms_epsilon", NULL, norm_eps, 0, 0), /* llama.cpp's converter */
    U32("attention.sliding_window", "local_attention", window, HONE_KEY_IF_SET, 0),
    U32(NULL, "global_attn_every_n_layers", window_pattern, 0, 3),
    KEYS_END};

enum { GLOBAL, LOCAL, FIRST };

/* Layers 0, n, 2n... see all; or a list says which have a window. */
static hone_status choose_kinds(const hone_file *f, hone_hparams *h)
{
    char key[96];
    hone_array list;
    uint64_t pattern = h->window_pattern, local;
    bool gguf = hone_file_kind(f) == HONE_FILE_GGUF,
         listed = gguf && hone_file_array(f, hone_arch_gguf_key(f, PATTERN, key), &list) == HONE_OK;
    if (gguf && !listed)
        HONE_TRY(hone_file_u64_or(f, key, pattern, &pattern));
    for (uint32_t i = 0; i < h->layers && i < HONE_LAYERS_MAX; i++) {
        bool flag = pattern != 0 && i % pattern != 0;
        if (listed && hone_array_u64(&list, i, &local))
            flag = local != 0;
        else if (listed && !hone_array_bool(&list, i, &flag))
            return hone_fail(HONE_FORMAT, "%s: %s says nothing useful about layer %u",
                             hone_file_path(f), key, i);
        if (i == 0 && flag && h->window)
            return hone_fail(HONE_UNSUPPORTED, "%s: a window in the first layer",
                             hone_file_path(f));
        h->kind_of[i] = i == 0 ? FIRST : flag && h->window ? LOCAL : GLOBAL;
    }
    return HONE_OK;
}

static hone_status read_head(const hone_file *f, hone_hparams *h)
{
    const char *pooling = "cls", *activation = "gelu";
    HONE_TRY(hone_encoder_read_labels(f, "classifier.weight", h));
    if (hone_file_kind(f) == HONE_FILE_GGUF) {
        pooling = "mean"; /* what llama.cpp does, whatever was trained */
    } else {
        HONE_TRY(hone_file_str_or(f, "classifier_pooling", pooling, &pooling));
        HONE_TRY(hone_file_str_or(f, "classifier_activation", activation, &activation));
    }
    h->classify_mean = strcmp(pooling, "mean") == 0;
    h->pooler_activation = hone_activation_find(activation);
    if (!h->pooler_activation || (!h->classify_mean && strcmp(pooling, "cls") != 0))
        return hone_fail(HONE_UNSUPPORTED,
                         "%s: a classifier over \"%.40s\" with \"%.40s\"; hone runs cls and mean",
                         hone_file_path(f), pooling, activation);
    return HONE_OK;
}

static hone_status build(const hone_file *f, hone_hparams *h)
{
    char key[96];
    const char *name = "hidden_activation", *said = "gelu";
    h->norm = HONE_NORM_LAYER;
    h->bidirectional = true;
    h->tied = false; /* of the head of masked language models, which is not run */
    if (hone_file_kind(f) == HONE_FILE_GGUF)
        name = hone_arch_gguf_key(f, "hidden_activation", key);
    HONE_TRY(hone_file_str_or(f, name, said, &said));
    if (h->window == 1)
        return hone_fail(HONE_UNSUPPORTED, "%s: a window of one token", hone_file_path(f));
    HONE_TRY(hone_arch_read_rope(f, h));
    HONE_TRY(read_head(f, h));
    hone_layer_kind k = hone_arch_kind(h);
    k.activation = hone_activation_find(said);
    if (!k.activation)
        return hone_fail(HONE_UNSUPPORTED, "%s: %s \"%.40s\" is not one that hone has",
                         hone_file_path(f), name, said);
    h->n_kinds = 3;
    h->kinds[GLOBAL] = h->kinds[LOCAL] = h->kinds[FIRST] = k;
    h->kinds[LOCAL].window = h->window / 2;
    h->kinds[LOCAL].rope = h->n_ropes > 1;
    h->kinds[FIRST].blocks[0].norms = 0;
    return choose_kinds(f, h);
}

#define L "@layers.%u."
#define QKV                                                                                        \
    {                                                                                              \
        HF_BOTH(L "attn.Wqkv"), 0                                                                  \
    }
#define WI                                                                                         \
    {                                                                                              \
        HF_BOTH(L "mlp.Wi"), 0                                                                     \
    }
#define GGUF_WI                                                                                    \
    {                                                                                              \
        HF_BOTH("blk.%u.ffn_up"), 0                                                                \
    }

const hone_arch hone_arch_modernbert = {
    .name = "modernbert",
    .what = "ModernBERT: embeddings, classifiers, rerankers",
    .gguf = "modern-bert",
    .hf_types = {"modernbert"},
    .hf_classes = {"ModernBertModel", "ModernBertForSequenceClassification"},
    .keys = keys,
    .gguf_names = {[HONE_SLOT_EMBEDDING] = {"token_embd.weight", NULL, 0},
                   [HONE_SLOT_NORM_FINAL] = {"output_norm.weight", "output_norm.bias", 0},
                   GGUF_ATTENTION_FUSED(0),
                   [HONE_SLOT_NORM_EMBEDDING] = {HF_BOTH("token_embd_norm"), 0},
                   [HONE_SLOT_NORM_MLP] = {HF_BOTH("blk.%u.ffn_norm"), 0},
                   [HONE_SLOT_GATE] = GGUF_WI,
                   [HONE_SLOT_UP] = GGUF_WI,
                   [HONE_SLOT_DOWN] = {HF_BOTH("blk.%u.ffn_down"), 0},
                   GGUF_CLASSIFIER},
    .hf_names = {[HONE_SLOT_EMBEDDING] = {"@embeddings.tok_embeddings.weight", NULL, 0},
                 [HONE_SLOT_NORM_EMBEDDING] = {HF_BOTH("@embeddings.norm"), 0},
                 [HONE_SLOT_NORM_FINAL] = {HF_BOTH("@final_norm"), 0},
                 [HONE_SLOT_NORM_ATTENTION] = {HF_BOTH(L "attn_norm"), 0},
                 [HONE_SLOT_Q] = QKV,
                 [HONE_SLOT_K] = QKV,
                 [HONE_SLOT_V] = QKV,
                 [HONE_SLOT_O] = {HF_BOTH(L "attn.Wo"), 0},
                 [HONE_SLOT_NORM_MLP] = {HF_BOTH(L "mlp_norm"), 0},
                 [HONE_SLOT_GATE] = WI,
                 [HONE_SLOT_UP] = WI,
                 [HONE_SLOT_DOWN] = {HF_BOTH(L "mlp.Wo"), 0},
                 [HONE_SLOT_DENSE] = {HF_BOTH("head.dense"), 0},
                 [HONE_SLOT_NORM_DENSE] = {HF_BOTH("head.norm"), 0},
                 [HONE_SLOT_CLASSIFIER] = {HF_BOTH("classifier"), HONE_NAME_BIAS}},
    .hf_prefixes = {"", "model."},
    .hf_ignored = {"head.", "decoder.", "rotary_emb.inv_freq"},
    .build = build,
};
