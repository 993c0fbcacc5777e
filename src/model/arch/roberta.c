/*
 * RoBERTa (Liu et al., arXiv:1907.11692), XLM-RoBERTa (Conneau et al., arXiv:1911.02116) and
 * CamemBERT: BERT whose positions begin behind the padding token's id, one token type, and a
 * classifier with a dense layer of its own. In GGUF they are "bert" (bert.c).
 */
#include "model/arch/encoder.h"

static const hone_key keys[] = {
    KEYS_ENCODER, U32(NULL, "type_vocab_size", token_types, 0, 1),
    F32("attention.layer_norm_epsilon", "layer_norm_eps", norm_eps, 0, 1e-12), KEYS_END};

static hone_status build(const hone_file *f, hone_hparams *h)
{
    uint64_t pad;
    HONE_TRY(hone_file_u64_or(f, "pad_token_id", 1, &pad));
    if (pad >= h->context_tokens || h->context_tokens - pad < 2)
        return hone_fail(HONE_FORMAT, "%s: pad_token_id %llu leaves none of %u positions",
                         hone_file_path(f), (unsigned long long)pad, h->context_tokens);
    h->position_offset = (uint32_t)pad + 1;
    h->context_tokens -= h->position_offset;
    h->positions = h->context_tokens;
    HONE_TRY(hone_encoder_read_labels(f, "classifier.out_proj.weight", h));
    return hone_encoder_build(f, &hone_block_attention, h);
}

const hone_arch hone_arch_roberta = {
    .name = "roberta",
    .what = "RoBERTa, XLM-RoBERTa, CamemBERT: embeddings (BGE-M3, E5), classifiers, rerankers",
    .gguf = "bert",
    .hf_types = {"roberta", "xlm-roberta", "camembert"},
    .hf_classes = {"RobertaModel", "RobertaForSequenceClassification"},
    .keys = keys,
    .gguf_names = {[HONE_SLOT_EMBEDDING] = {"token_embd.weight", NULL, 0},
                   GGUF_ATTENTION(HONE_NAME_BIAS),
                   GGUF_MLP(HONE_NAME_BIAS),
                   GGUF_ENCODER_NORMS,
                   [HONE_SLOT_POSITION] = {"position_embd.weight", NULL, 0},
                   [HONE_SLOT_TOKEN_TYPE] = {"token_types.weight", NULL, 0},
                   GGUF_CLASSIFIER},
    .hf_names = {HF_ENCODER("query", "key", "value"),
                 [HONE_SLOT_POOLER] = {HF_BOTH("@pooler.dense"),
                                       HONE_NAME_BIAS | HONE_NAME_OPTIONAL},
                 [HONE_SLOT_DENSE] = {HF_BOTH("classifier.dense"), HONE_NAME_BIAS},
                 [HONE_SLOT_CLASSIFIER] = {HF_BOTH("classifier.out_proj"), HONE_NAME_BIAS}},
    .hf_prefixes = {"", "roberta."},
    .hf_ignored = {"position_ids", "lm_head."},
    .build = build,
};
