#include "model/arch/encoder.h"

#include <stdio.h>
#include <string.h>

uint32_t hone_encoder_rows(const hone_file *f, const char *tensor)
{
    const hone_tensor *t = hone_file_tensor(f, tensor);
    return t && t->n_dims == 2 && t->shape[0] <= UINT32_MAX ? (uint32_t)t->shape[0] : 0;
}

/* The name of the model's class ends in ForSequenceClassification. */
static bool is_classifier(const hone_file *f)
{
    static const char end[] = "ForSequenceClassification";
    hone_array a;
    const char *name;
    size_t n, m = sizeof end - 1;
    return hone_file_has(f, "architectures") &&
           hone_file_array(f, "architectures", &a) == HONE_OK && a.count > 0 &&
           hone_array_str(&a, 0, &name, &n) && n > m && memcmp(name + n - m, end, m) == 0;
}

enum { LABELS_MAX = 1 << 16 };

/* Labels that config.json names, 0 if it does not. */
static uint32_t named_labels(const hone_file *f)
{
    char key[32];
    uint32_t n = 0;
    for (; n < LABELS_MAX; n++) {
        snprintf(key, sizeof key, "id2label.%u", n);
        if (!hone_file_has(f, key))
            break;
    }
    return n;
}

hone_status hone_encoder_read_labels(const hone_file *f, const char *name, hone_hparams *h)
{
    if (hone_file_kind(f) == HONE_FILE_GGUF) {
        h->labels = hone_encoder_rows(f, "cls.output.weight");
        return HONE_OK;
    }
    h->labels = hone_encoder_rows(f, name);
    uint32_t named = named_labels(f);
    if (!is_classifier(f))
        return HONE_OK; /* a base model's config names two labels that nothing uses */
    if (h->labels == 0)
        return hone_fail(HONE_NOT_FOUND,
                         "%s: config.json speaks of sequence classification, but tensor %s is "
                         "missing",
                         hone_file_path(f), name);
    if (named && named != h->labels)
        return hone_fail(HONE_FORMAT,
                         "%s: config.json names %u labels (id2label), tensor %s has %u",
                         hone_file_path(f), named, name, h->labels);
    return HONE_OK;
}

hone_status hone_encoder_build(const hone_file *f, const hone_block *attention, hone_hparams *h)
{
    bool decoder = false;
    const char *positions = "absolute";
    if (hone_file_kind(f) != HONE_FILE_GGUF) {
        HONE_TRY(hone_file_bool_or(f, "is_decoder", false, &decoder));
        HONE_TRY(hone_file_str_or(f, "position_embedding_type", positions, &positions));
    }
    if (decoder)
        return hone_fail(HONE_UNSUPPORTED,
                         "%s: hone runs this architecture as an encoder, and "
                         "config.json says is_decoder",
                         hone_file_path(f));
    if (strcmp(positions, "absolute") != 0)
        return hone_fail(HONE_UNSUPPORTED,
                         "%s: position_embedding_type \"%.40s\"; hone runs "
                         "absolute",
                         hone_file_path(f), positions);
    h->norm = HONE_NORM_LAYER;
    h->bidirectional = true;
    h->window = 0;
    h->pooler_activation = hone_activation_find("tanh");
    hone_layer_kind k = hone_arch_kind(h);
    k.blocks[0] = (hone_block_use){attention, HONE_NORM_SUM, false};
    k.blocks[1] = (hone_block_use){&hone_block_mlp, HONE_NORM_SUM, false};
    k.gated = false;
    HONE_TRY(hone_arch_read_activation(f, "hidden_act", "gelu", &k));
    return hone_arch_set_kinds(f, h, &k, 0);
}
