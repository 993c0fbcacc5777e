/*
 * DeBERTa v2 and v3 (He et al., arXiv:2006.03654 and arXiv:2111.09543): BERT whose attention adds
 * content-to-position and position-to-content scores of relative positions
 * (model/block/disentangled.c). llama.cpp has no such architecture.
 */
#include "model/arch/encoder.h"

#include <math.h>
#include <string.h>

static const hone_key keys[] = {KEYS_ENCODER, U32(NULL, "type_vocab_size", token_types, 0, 0),
                                U32(NULL, "position_buckets", relative_span, 0, 0),
                                F32(NULL, "layer_norm_eps", norm_eps, 0, 1e-7), KEYS_END};

/* Options of the config with which the model would be another. */
static hone_status refuse(const hone_file *f, const hone_hparams *h)
{
    static const struct {
        const char *key;
        bool wanted, fallback;
    } options[] = {{"relative_attention", true, false}, {"share_att_key", true, false}};
    uint64_t embedding, kernel;
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        bool yes;
        HONE_TRY(hone_file_bool_or(f, options[i].key, options[i].fallback, &yes));
        if (yes != options[i].wanted)
            return hone_fail(HONE_UNSUPPORTED, "%s: DeBERTa without %s is not run by hone",
                             hone_file_path(f), options[i].key);
    }
    HONE_TRY(hone_file_u64_or(f, "embedding_size", h->hidden, &embedding));
    HONE_TRY(hone_file_u64_or(f, "conv_kernel_size", 0, &kernel));
    if (embedding != h->hidden || kernel != 0)
        return hone_fail(HONE_UNSUPPORTED, "%s: DeBERTa with %s is not run by hone",
                         hone_file_path(f),
                         kernel ? "a convolution (conv_kernel_size)"
                                : "embeddings of another size (embedding_size)");
    return HONE_OK;
}

/* pos_att_type is a list of two, or one string with a bar. */
static hone_status check_kinds(const hone_file *f)
{
    hone_array a;
    const char *text = "";
    size_t n;
    bool c2p = false, p2c = false;
    if (hone_file_array(f, "pos_att_type", &a) == HONE_OK) {
        for (uint64_t i = 0; i < a.count && i < 8; i++)
            if (hone_array_str(&a, i, &text, &n)) {
                c2p |= n == 3 && memcmp(text, "c2p", 3) == 0;
                p2c |= n == 3 && memcmp(text, "p2c", 3) == 0;
            }
    } else if (hone_file_str(f, "pos_att_type", &text) == HONE_OK) {
        c2p = strstr(text, "c2p");
        p2c = strstr(text, "p2c");
    }
    return c2p && p2c ? HONE_OK
                      : hone_fail(HONE_UNSUPPORTED,
                                  "%s: pos_att_type must be c2p and p2c; hone runs DeBERTa only "
                                  "with both",
                                  hone_file_path(f));
}

static hone_status build(const hone_file *f, hone_hparams *h)
{
    int64_t most;
    bool biased;
    const char *activation;
    HONE_TRY(refuse(f, h));
    HONE_TRY(check_kinds(f));
    most = h->context_tokens;
    if (hone_file_has(f, "max_relative_positions"))
        HONE_TRY(hone_file_i64(f, "max_relative_positions", &most));
    if (most < 1)
        most = h->context_tokens;
    if (most < 2 || most > 1 << 16)
        return hone_fail(HONE_FORMAT, "%s: max_relative_positions %lld; hone takes 2 to 65536",
                         hone_file_path(f), (long long)most);
    h->relative_max = (uint32_t)most;
    if (h->relative_span == 0) { /* no buckets: distances one by one */
        h->relative_span = (uint32_t)most;
        h->relative_max = 0;
    }
    HONE_TRY(hone_file_bool_or(f, "position_biased_input", true, &biased));
    h->positions = biased ? h->context_tokens : 0;
    HONE_TRY(hone_encoder_read_labels(f, "classifier.weight", h));
    HONE_TRY(hone_encoder_build(f, &hone_block_disentangled, h));
    HONE_TRY(hone_file_str_or(f, "pooler_hidden_act", "gelu", &activation));
    h->pooler_activation = hone_activation_find(activation);
    if (!h->pooler_activation)
        return hone_fail(HONE_UNSUPPORTED,
                         "%s: pooler_hidden_act \"%.40s\" is not one that hone "
                         "has",
                         hone_file_path(f), activation);
    for (uint32_t i = 0; i < h->n_kinds; i++) /* of three kinds of scores */
        h->kinds[i].scale = 1.0f / sqrtf(3.0f * (float)h->head_dim);
    return HONE_OK;
}

const hone_arch hone_arch_deberta_v2 = {
    .name = "deberta-v2",
    .what = "DeBERTa v2 and v3: embeddings, classifiers, cross-encoders",
    .hf_types = {"deberta-v2"},
    .hf_classes = {"DebertaV2Model", "DebertaV2ForSequenceClassification"},
    .keys = keys,
    .hf_names = {HF_ENCODER("query_proj", "key_proj", "value_proj"),
                 [HONE_SLOT_RELATIVE] = {"@encoder.rel_embeddings.weight", NULL, 0},
                 [HONE_SLOT_NORM_RELATIVE] = {HF_BOTH("@encoder.LayerNorm"), HONE_NAME_OPTIONAL},
                 [HONE_SLOT_DENSE] = {HF_BOTH("pooler.dense"), HONE_NAME_BIAS},
                 [HONE_SLOT_CLASSIFIER] = {HF_BOTH("classifier"), HONE_NAME_BIAS}},
    .hf_prefixes = {"", "deberta."},
    .hf_ignored = {"position_ids", "lm_predictions.", "mask_predictions.", "cls."},
    .build = build,
};
