/* build - from the numbers of a file to kinds of layers: what the files of architectures share. */
#include "model/activation.h"
#include "model/forward.h"
#include "model/rope.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool is_gguf(const hone_file *f)
{
    return hone_file_kind(f) == HONE_FILE_GGUF;
}

const char *hone_arch_gguf_key(const hone_file *f, const char *suffix, char out[96])
{
    const char *arch;
    if (hone_file_str(f, "general.architecture", &arch) != HONE_OK)
        arch = "?";
    snprintf(out, 96, "%.40s.%s", arch, suffix);
    return out;
}

hone_status hone_arch_read_rope(const hone_file *f, hone_hparams *h)
{
    char key[96];
    hone_rope_config c = {0};
    double context = h->context_tokens;
    bool local = is_gguf(f) ? hone_file_has(f, hone_arch_gguf_key(f, "rope.freq_base_swa", key))
                            : hone_rope_has_local(f);
    if (!h->n_ropes)
        h->n_ropes = local ? 2 : 1;
    for (uint32_t i = h->n_ropes; i-- > 0;) /* the set of most layers last: c is then its */
        for (int use_long = 0; use_long < 2; use_long++)
            HONE_TRY(hone_rope_read(f, i == 1, use_long, h->head_dim, context, &c,
                                    &h->ropes[use_long][i]));
    h->long_from = c.scaling == HONE_ROPE_LONG && c.original_context < context
                       ? (uint32_t)c.original_context
                       : 0;
    return HONE_OK;
}

hone_status hone_arch_read_activation(const hone_file *f, const char *key, const char *fallback,
                                      hone_layer_kind *k)
{
    char known[128];
    const char *name = fallback;
    if (!is_gguf(f))
        HONE_TRY(hone_file_str_or(f, key, fallback, &name));
    k->activation = hone_activation_find(name);
    if (k->activation)
        return HONE_OK;
    hone_activation_names(known, sizeof known);
    return hone_fail(HONE_UNSUPPORTED, "%s: activation \"%.40s\" is not one that hone has (%s)",
                     hone_file_path(f), name, known);
}

hone_layer_kind hone_arch_kind(const hone_hparams *h)
{
    return (hone_layer_kind){
        .n_blocks = 2,
        .blocks = {{&hone_block_attention, HONE_NORM_INPUT, false},
                   {&hone_block_mlp, HONE_NORM_INPUT, h->parallel}},
        .heads = h->heads,
        .kv_heads = h->kv_heads,
        .head_dim = h->head_dim,
        .ffn = h->ffn,
        .rope = h->n_ropes ? 0 : HONE_ROPE_NONE,
        .scale = h->attention_scale != 0 ? h->attention_scale : 1.0f / sqrtf((float)h->head_dim),
        .softcap = h->softcap,
        .activation = hone_activation_find("silu"),
        .gated = true,
    };
}

/* The list of layers in the file: "layer_types" of config.json, booleans or numbers in GGUF. */
static hone_status listed(const hone_file *f, const char *key, const hone_array *a, uint32_t layer,
                          bool *window)
{
    const char *text;
    size_t bytes;
    int64_t number;
    if (layer < a->count) {
        if (hone_array_bool(a, layer, window))
            return HONE_OK;
        if (hone_array_i64(a, layer, &number)) {
            *window = number != 0;
            return HONE_OK;
        }
        if (hone_array_str(a, layer, &text, &bytes)) {
            *window = bytes == 17 && memcmp(text, "sliding_attention", 17) == 0;
            if (*window || (bytes == 14 && memcmp(text, "full_attention", 14) == 0))
                return HONE_OK;
            return hone_fail(HONE_UNSUPPORTED,
                             "%s: layer %u is \"%.*s\"; hone runs sliding_attention and "
                             "full_attention here",
                             hone_file_path(f), layer, bytes < 40 ? (int)bytes : 40, text);
        }
    }
    return hone_fail(HONE_FORMAT, "%s: %s says nothing useful about layer %u", hone_file_path(f),
                     key, layer);
}

hone_status hone_arch_set_kinds(const hone_file *f, hone_hparams *h, const hone_layer_kind *k,
                                uint32_t window_rope)
{
    char key[96] = "layer_types";
    hone_array list;
    uint64_t pattern = h->window_pattern;
    if (is_gguf(f))
        hone_arch_gguf_key(f, "attention.sliding_window_pattern", key);
    bool has_list = h->window && hone_file_has(f, key) && hone_file_array(f, key, &list) == HONE_OK;
    if (is_gguf(f) && !has_list)
        HONE_TRY(hone_file_u64_or(f, key, pattern, &pattern));
    h->n_kinds = 0;
    for (int window = 0; window < 2; window++) {
        h->kinds[window] = *k;
        h->kinds[window].window = window ? h->window : 0;
        if (window && k->rope != HONE_ROPE_NONE)
            h->kinds[window].rope = window_rope;
    }
    bool seen[2] = {false, false};
    for (uint32_t i = 0; i < h->layers && i < HONE_LAYERS_MAX; i++) {
        bool window = h->window && i >= h->window_from && (pattern == 0 || (i + 1) % pattern);
        if (has_list)
            HONE_TRY(listed(f, key, &list, i, &window));
        h->kind_of[i] = window;
        seen[window] = true;
    }
    if (seen[1] && !seen[0]) { /* one kind is kind 0 */
        h->kinds[0] = h->kinds[1];
        memset(h->kind_of, 0, sizeof h->kind_of);
    }
    h->n_kinds = seen[0] && seen[1] ? 2 : 1;
    return HONE_OK;
}

hone_status hone_arch_build(const hone_file *f, hone_hparams *h)
{
    HONE_TRY(hone_arch_read_rope(f, h));
    hone_layer_kind k = hone_arch_kind(h);
    HONE_TRY(hone_arch_read_activation(f, "hidden_act", "silu", &k));
    return hone_arch_set_kinds(f, h, &k, 0);
}

hone_status hone_arch_build_late_windows(const hone_file *f, hone_hparams *h)
{
    bool use;
    uint64_t from;
    HONE_TRY(hone_file_bool_or(f, "use_sliding_window", is_gguf(f), &use));
    HONE_TRY(hone_file_u64_or(f, "max_window_layers", is_gguf(f) ? 0 : 28, &from));
    if (!use)
        h->window = 0;
    h->window_from = from < HONE_LAYERS_MAX ? (uint32_t)from : HONE_LAYERS_MAX;
    return hone_arch_build(f, h);
}
