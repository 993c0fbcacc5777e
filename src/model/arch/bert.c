/*
 * BERT (Devlin et al., arXiv:1810.04805): learned positions and token types, LayerNorm behind each
 * sum, GELU, no mask. Sentence embeddings (Reimers and Gurevych, arXiv:1908.10084) and
 * cross-encoders are BERT with pooling or a classifier behind it.
 *
 * llama.cpp's "bert" is RoBERTa too: its tables of positions begin with that of the first token. It
 * has no name for the pooler, but its "cls" is the same function before the classifier.
 */
#include "model/arch/encoder.h"

static const hone_key keys[] = {
    KEYS_ENCODER, U32(NULL, "type_vocab_size", token_types, 0, 2),
    F32("attention.layer_norm_epsilon", "layer_norm_eps", norm_eps, 0, 1e-12), KEYS_END};

static hone_status build(const hone_file *f, hone_hparams *h)
{
    h->positions = h->context_tokens;
    if (hone_file_kind(f) == HONE_FILE_GGUF)
        h->token_types = hone_encoder_rows(f, "token_types.weight");
    HONE_TRY(hone_encoder_read_labels(f, "classifier.weight", h));
    return hone_encoder_build(f, &hone_block_attention, h);
}

const hone_arch hone_arch_bert = {
    .name = "bert",
    .what = "BERT: embeddings (MiniLM, BGE, E5, GTE), classifiers, cross-encoders",
    .gguf = "bert",
    .hf_types = {"bert"},
    .hf_classes = {"BertModel", "BertForSequenceClassification"},
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
                 [HONE_SLOT_DENSE] = {HF_BOTH("@pooler.dense"), HONE_NAME_BIAS},
                 [HONE_SLOT_CLASSIFIER] = {HF_BOTH("classifier"), HONE_NAME_BIAS}},
    .hf_prefixes = {"", "bert."},
    .hf_ignored = {"position_ids", "cls."},
    .build = build,
};
