#include "compress/convert.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* If `name` is `pattern` with a number for "%u", puts the number in *layer. */
static bool matches(const char *pattern, const char *name, unsigned *layer)
{
    *layer = 0;
    if (!pattern)
        return false;
    const char *hole = strstr(pattern, "%u");
    if (!hole)
        return strcmp(pattern, name) == 0;
    size_t head = (size_t)(hole - pattern);
    if (strncmp(pattern, name, head) != 0)
        return false;
    const char *p = name + head;
    if (*p < '0' || *p > '9' || (*p == '0' && p[1] >= '0' && p[1] <= '9'))
        return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (*layer > 100000)
            return false;
        *layer = *layer * 10 + (unsigned)(*p - '0');
    }
    return strcmp(p, hole + 2) == 0;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* The GGUF name of one tensor; false if the architecture has no place for it. */
static bool rename_tensor(const hone_arch *a, const hone_hparams *h, const hone_tensor *t,
                          hone_convert_tensor *out)
{
    for (int slot = 0; slot < HONE_SLOTS; slot++) {
        const hone_tensor_name *hf = &a->hf_names[slot], *gguf = &a->gguf_names[slot];
        unsigned layer;
        const char *name = matches(hf->weight, t->name, &layer) ? gguf->weight
                           : matches(hf->bias, t->name, &layer) ? gguf->bias
                                                                : NULL;
        if (!name || (slot < HONE_LAYER_SLOTS && layer >= h->layers))
            continue;
        snprintf(out->name, sizeof out->name, name, layer);
        bool rotated = slot == HONE_SLOT_Q || slot == HONE_SLOT_K;
        out->interleave = rotated && (gguf->flags & HONE_NAME_PAIRS) ? h->head_dim : 0;
        out->source = t;
        return true;
    }
    return false;
}

/* Computed tensors that old exporters stored, and the head of a tied model. */
static bool is_redundant(const hone_arch *a, const hone_hparams *h, const char *name)
{
    return ends_with(name, "rotary_emb.inv_freq") ||
           (h->tied && strcmp(name, a->hf_names[HONE_SLOT_HEAD].weight) == 0);
}

static hone_status check_tensor(const hone_file *f, const hone_convert_tensor *c)
{
    const hone_tensor *t = c->source;
    if (!hone_dtype_is_float((hone_dtype)t->dtype))
        return hone_fail(HONE_UNSUPPORTED, "%s: tensor %s is %s, not a float format",
                         hone_file_path(f), t->name, hone_dtype_name((hone_dtype)t->dtype));
    if (t->n_dims > 2 || (c->interleave && t->shape[0] % c->interleave))
        return hone_fail(HONE_FORMAT, "%s: tensor %s has a shape that its place does not allow",
                         hone_file_path(f), t->name);
    return HONE_OK;
}

static hone_status fill_plan(const hone_file *f, const hone_arch *a, const hone_hparams *h,
                             hone_convert_tensor *list, size_t *count)
{
    *count = 0;
    hone_rope_config rope;
    HONE_TRY(hone_rope_config_from_hf(f, false, h->head_dim, h->context_tokens, &rope));
    if (rope.scaling == HONE_ROPE_LLAMA3)
        snprintf(list[(*count)++].name, HONE_CONVERT_NAME_MAX, "rope_freqs.weight");
    for (size_t i = 0; i < hone_file_tensor_count(f); i++) {
        const hone_tensor *t = hone_file_tensor_at(f, i);
        if (is_redundant(a, h, t->name))
            continue;
        if (!rename_tensor(a, h, t, &list[*count]))
            return hone_fail(HONE_UNSUPPORTED,
                             "%s: tensor %.200s has no place in a GGUF file of architecture %s",
                             hone_file_path(f), t->name, a->gguf);
        HONE_TRY(check_tensor(f, &list[*count]));
        ++*count;
    }
    return HONE_OK;
}

hone_status hone_convert_plan(const hone_file *f, hone_convert_tensor **out, size_t *count)
{
    const hone_arch *a;
    hone_hparams h;
    HONE_TRY(hone_arch_read(f, &a, &h));
    size_t most = hone_file_tensor_count(f) + 1;
    hone_convert_tensor *list = hone_calloc(most, sizeof *list);
    if (!list)
        return hone_fail_memory(most * sizeof *list, "a list of tensors");
    hone_status s = fill_plan(f, a, &h, list, count);
    if (s != HONE_OK) {
        hone_free(list);
        return s;
    }
    *out = list;
    return HONE_OK;
}

void hone_convert_rope_factors(const hone_rope_config *c, const hone_rope *target, float *factors)
{
    hone_rope_config plain_config = *c;
    hone_rope plain;
    plain_config.scaling = HONE_ROPE_DEFAULT;
    hone_rope_init(&plain_config, &plain);
    for (uint32_t i = 0; i < target->dim / 2; i++) {
        float want = target->inv_freq[i], factor = plain.inv_freq[i] / want;
        float low = factor, high = factor;
        factors[i] = factor;
        for (int step = 0; step < 4 && plain.inv_freq[i] / factors[i] != want; step++) {
            low = nextafterf(low, 0);
            high = nextafterf(high, INFINITY);
            factors[i] = plain.inv_freq[i] / low == want    ? low
                         : plain.inv_freq[i] / high == want ? high
                                                            : factor;
        }
    }
}

static hone_status write_rope(const hone_file *f, const hone_arch *a, const hone_hparams *h,
                              hone_gguf_writer *w)
{
    hone_rope_config c;
    char key[96];
#define KEY(suffix) (snprintf(key, sizeof key, "%s.rope." suffix, a->gguf), key)
    HONE_TRY(hone_rope_config_from_hf(f, false, h->head_dim, h->context_tokens, &c));
    HONE_TRY(hone_gguf_writer_u32(w, KEY("dimension_count"), c.dim));
    HONE_TRY(hone_gguf_writer_f32(w, KEY("freq_base"), (float)c.theta));
    if (c.scaling == HONE_ROPE_DEFAULT || c.scaling == HONE_ROPE_LLAMA3)
        return HONE_OK; /* Llama 3's are the tensor rope_freqs.weight */
    if (c.scaling == HONE_ROPE_DYNAMIC)
        return hone_fail(HONE_UNSUPPORTED, "%s: GGUF has no name for dynamic rope scaling",
                         hone_file_path(f));
    bool yarn = c.scaling == HONE_ROPE_YARN;
    if (yarn && (c.attention_factor != 0 || c.mscale != 0 || c.mscale_all_dim != 0 || !c.truncate))
        return hone_fail(HONE_UNSUPPORTED,
                         "%s: YaRN with its own attention factor or without rounding cannot be "
                         "expressed in GGUF",
                         hone_file_path(f));
    HONE_TRY(hone_gguf_writer_str(w, KEY("scaling.type"), yarn ? "yarn" : "linear"));
    HONE_TRY(hone_gguf_writer_f32(w, KEY("scaling.factor"), (float)c.factor));
    if (!yarn)
        return HONE_OK;
    HONE_TRY(hone_gguf_writer_u32(w, KEY("scaling.original_context_length"),
                                  (uint32_t)c.original_context));
    HONE_TRY(hone_gguf_writer_f32(w, KEY("scaling.yarn_beta_fast"), (float)c.beta_fast));
    return hone_gguf_writer_f32(w, KEY("scaling.yarn_beta_slow"), (float)c.beta_slow);
#undef KEY
}

/* The folder's last name. */
static void folder_name(const char *path, char *out, size_t size)
{
    size_t end = strlen(path), begin;
    while (end > 1 && path[end - 1] == '/')
        end--;
    for (begin = end; begin > 0 && path[begin - 1] != '/';)
        begin--;
    snprintf(out, size, "%.*s", (int)(end - begin), path + begin);
}

hone_status hone_convert_metadata(const hone_file *f, hone_gguf_writer *w,
                                  const hone_quantize_events *e)
{
    const hone_arch *a;
    hone_hparams h;
    char text[256];
    HONE_TRY(hone_arch_read(f, &a, &h));
    const struct {
        const char *suffix;
        uint32_t value;
    } numbers[] = {
        {"block_count", h.layers},
        {"context_length", h.context_tokens},
        {"embedding_length", h.hidden},
        {"feed_forward_length", h.ffn},
        {"attention.head_count", h.heads},
        {"attention.head_count_kv", h.kv_heads},
        {"attention.key_length", h.head_dim},
        {"attention.value_length", h.head_dim},
        {"vocab_size", h.vocab},
    };
    HONE_TRY(hone_gguf_writer_str(w, "general.architecture", a->gguf));
    HONE_TRY(hone_gguf_writer_str(w, "general.type", "model"));
    folder_name(hone_file_path(f), text, sizeof text);
    HONE_TRY(hone_gguf_writer_str(w, "general.name", text[0] ? text : a->name));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        snprintf(text, sizeof text, "%s.%s", a->gguf, numbers[i].suffix);
        HONE_TRY(hone_gguf_writer_u32(w, text, numbers[i].value));
    }
    snprintf(text, sizeof text, "%s.attention.layer_norm_rms_epsilon", a->gguf);
    HONE_TRY(hone_gguf_writer_f32(w, text, h.norm_eps));
    HONE_TRY(write_rope(f, a, &h, w));
    return hone_convert_tokenizer(f, h.vocab, w, e);
}
