#include "model/arch.h"

#include "kernel/kernel.h"

#include <math.h>
#include <string.h>

/* One row each; the files are beside this one. */
/* clang-format off */
#define HONE_ARCH_LIST(X)                                                                          \
    X(llama) X(mistral) X(qwen2) X(qwen3) X(phi3)                                                  \
    X(gemma) X(gemma2) X(gemma3) X(gpt2) X(gpt_neox) X(starcoder2)                                \
    X(bert) X(roberta) X(modernbert) X(deberta_v2)
/* clang-format on */

#define HONE_ARCH_DECLARE(name) extern const hone_arch hone_arch_##name;
HONE_ARCH_LIST(HONE_ARCH_DECLARE)
#define HONE_ARCH_ROW(name) &hone_arch_##name,
static const hone_arch *const table[] = {HONE_ARCH_LIST(HONE_ARCH_ROW)};

size_t hone_arch_count(void)
{
    return sizeof table / sizeof *table;
}

const hone_arch *hone_arch_at(size_t i)
{
    return table[i];
}

static hone_status architecture_of(const hone_file *f, const char **name)
{
    if (hone_file_kind(f) == HONE_FILE_GGUF)
        return hone_file_str(f, "general.architecture", name);
    if (hone_file_kind(f) == HONE_FILE_HF)
        return hone_file_str(f, "model_type", name);
    return hone_fail(HONE_UNSUPPORTED,
                     "%s has no description of its model: give the folder that holds config.json",
                     hone_file_path(f));
}

static bool is_called(const hone_arch *a, bool gguf, const char *name)
{
    if (gguf)
        return a->gguf && strcmp(a->gguf, name) == 0;
    for (size_t i = 0; i < sizeof a->hf_types / sizeof *a->hf_types && a->hf_types[i]; i++)
        if (strcmp(a->hf_types[i], name) == 0)
            return true;
    return false;
}

static hone_status find_arch(const hone_file *f, const hone_arch **arch)
{
    const char *name;
    HONE_TRY(architecture_of(f, &name));
    for (size_t i = 0; i < hone_arch_count(); i++)
        if (is_called(table[i], hone_file_kind(f) == HONE_FILE_GGUF, name)) {
            *arch = table[i];
            return HONE_OK;
        }
    char known[512] = "";
    for (size_t i = 0; i < hone_arch_count(); i++) {
        strncat(known, i ? ", " : "", sizeof known - strlen(known) - 1);
        strncat(known, table[i]->name, sizeof known - strlen(known) - 1);
    }
    return hone_fail(HONE_UNSUPPORTED, "%s: architecture \"%.64s\" is not one that hone runs (%s)",
                     hone_file_path(f), name, known);
}

/* ---- keys ----------------------------------------------------------------------------------- */

static hone_status read_key(const hone_file *f, const hone_key *k, const char *name,
                            hone_hparams *h)
{
    char *field = (char *)h + k->field;
    uint64_t whole;
    double real;
    bool yes;
    if (k->type == HONE_KEY_BOOL) {
        HONE_TRY(hone_file_bool(f, name, &yes));
        memcpy(field, &yes, sizeof yes);
        return HONE_OK;
    }
    if (k->type == HONE_KEY_F32) {
        HONE_TRY(hone_file_f64(f, name, &real));
        float v = (float)real;
        memcpy(field, &v, sizeof v);
        return HONE_OK;
    }
    HONE_TRY(hone_file_u64(f, name, &whole));
    if (whole > UINT32_MAX)
        return hone_fail(HONE_FORMAT, "%s: %s = %llu is absurd", hone_file_path(f), name,
                         (unsigned long long)whole);
    uint32_t v = (uint32_t)whole;
    memcpy(field, &v, sizeof v);
    return HONE_OK;
}

static void set_fallback(const hone_key *k, hone_hparams *h)
{
    char *field = (char *)h + k->field;
    bool yes = k->fallback != 0;
    float real = (float)k->fallback;
    uint32_t whole = (uint32_t)k->fallback;
    if (k->type == HONE_KEY_BOOL)
        memcpy(field, &yes, sizeof yes);
    else if (k->type == HONE_KEY_F32)
        memcpy(field, &real, sizeof real);
    else
        memcpy(field, &whole, sizeof whole);
}

static hone_status read_keys(const hone_file *f, const hone_arch *a, hone_hparams *h)
{
    bool gguf = hone_file_kind(f) == HONE_FILE_GGUF;
    char full[96];
    for (const hone_key *k = a->keys; k->type != HONE_KEY_END; k++) {
        const char *name = gguf ? k->gguf : k->hf;
        if (k->flags & HONE_KEY_WRITE_ONLY)
            continue;
        if (name && gguf)
            name = hone_arch_gguf_key(f, k->gguf, full);
        if (name && ((k->flags & HONE_KEY_NEEDED) || hone_file_has(f, name)))
            HONE_TRY(read_key(f, k, name, h));
        else if (k->fallback != 0)
            set_fallback(k, h);
    }
    if (h->kv_heads == 0)
        h->kv_heads = h->heads;
    if (h->ffn == 0 && h->hidden < UINT32_MAX / 4)
        h->ffn = 4 * h->hidden;
    if (h->head_dim == 0)
        h->head_dim = h->heads ? h->hidden / h->heads : 0;
    return HONE_OK;
}

/* What a GGUF file says through its tensors. */
static hone_status read_gguf_tensors(const hone_file *f, const hone_arch *a, hone_hparams *h)
{
    const char *name = a->gguf_names[HONE_SLOT_EMBEDDING].weight;
    const hone_tensor *e = hone_file_tensor(f, name);
    char key[96];
    uint64_t value_dim;
    if (!e || e->n_dims != 2 || e->shape[0] > UINT32_MAX)
        return hone_fail(HONE_FORMAT, "%s: tensor %s is missing or not a matrix", hone_file_path(f),
                         name);
    h->vocab = (uint32_t)e->shape[0];
    name = a->gguf_names[HONE_SLOT_HEAD].weight;
    h->tied = name && !hone_file_tensor(f, name);
    double scale;
    HONE_TRY(hone_file_f64_or(f, hone_arch_gguf_key(f, "attention.scale", key),
                              (double)h->attention_scale, &scale));
    h->attention_scale = (float)scale;
    HONE_TRY(hone_file_u64_or(f, hone_arch_gguf_key(f, "attention.value_length", key), h->head_dim,
                              &value_dim));
    return value_dim == h->head_dim
               ? HONE_OK
               : hone_fail(HONE_UNSUPPORTED,
                           "%s: keys of %u and values of %llu dimensions; hone takes them equal",
                           hone_file_path(f), h->head_dim, (unsigned long long)value_dim);
}

/* ---- bounds: before a size is computed from a number of the file ------------------------------
 */

static hone_status check_sizes(const hone_file *f, const hone_hparams *h)
{
    const struct {
        const char *name;
        uint32_t value, least, most;
    } bounds[] = {
        {"layers", h->layers, 1, HONE_LAYERS_MAX},
        {"hidden size", h->hidden, 1, 1 << 17},
        {"attention heads", h->heads, 1, 4096},
        {"key/value heads", h->kv_heads, 1, 4096},
        {"head dimension", h->head_dim, 1, HONE_ROPE_DIM_MAX},
        {"feed-forward size", h->ffn, 1, 1 << 20},
        {"vocabulary", h->vocab, 1, 1 << 22},
        {"context length", h->context_tokens, 1, 1 << 27},
        {"sliding window", h->window, 0, 1 << 27},
        {"learned positions", h->positions, 0, 1 << 22},
        {"offset of positions", h->position_offset, 0, 1 << 16},
        {"token types", h->token_types, 0, 1 << 16},
        {"relative position buckets", h->relative_span, 0, 1 << 16},
    };
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++)
        if (bounds[i].value < bounds[i].least || bounds[i].value > bounds[i].most)
            return hone_fail(HONE_FORMAT, "%s: %s is %u; hone takes %u to %u", hone_file_path(f),
                             bounds[i].name, bounds[i].value, bounds[i].least, bounds[i].most);
    if (h->heads % h->kv_heads != 0)
        return hone_fail(HONE_FORMAT, "%s: %u attention heads cannot share %u key/value heads",
                         hone_file_path(f), h->heads, h->kv_heads);
    if (!(h->norm_eps > 0 && h->norm_eps < 1))
        return hone_fail(HONE_FORMAT, "%s: norm epsilon %g is not between 0 and 1",
                         hone_file_path(f), (double)h->norm_eps);
    if (h->positions && h->context_tokens > h->positions)
        return hone_fail(HONE_FORMAT, "%s: %u learned positions do not reach a context of %u",
                         hone_file_path(f), h->positions, h->context_tokens);
    return HONE_OK;
}

static hone_status check_scales(const hone_file *f, const hone_hparams *h)
{
    const struct {
        const char *name;
        float value;
    } scales[] = {
        {"query_pre_attn_scalar", h->query_scalar}, {"attention scale", h->attention_scale},
        {"attention soft-cap", h->softcap},         {"final soft-cap", h->final_softcap},
        {"embedding scale", h->embedding_scale},    {"logit scale", h->logit_scale},
    };
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++)
        if (!(scales[i].value >= 0 && scales[i].value < 1e6f))
            return hone_fail(HONE_FORMAT, "%s: %s is %g; hone takes 0 (none) to 1e6",
                             hone_file_path(f), scales[i].name, (double)scales[i].value);
    return HONE_OK;
}

static hone_status check_ropes(const hone_file *f, const hone_hparams *h)
{
    for (uint32_t n = 0; n < 2 * h->n_ropes; n++) {
        const hone_rope *r = &h->ropes[n % 2][n / 2];
        if (r->dim < 2 || r->dim % 2 || r->dim > h->head_dim)
            return hone_fail(HONE_FORMAT, "%s: %u rotary dimensions in a head of %u",
                             hone_file_path(f), r->dim, h->head_dim);
        for (uint32_t i = 0; i < r->dim / 2; i++)
            if (!(r->inv_freq[i] > 0 && r->inv_freq[i] <= 1e6f))
                return hone_fail(HONE_FORMAT, "%s: rotary frequency %u is %g", hone_file_path(f), i,
                                 (double)r->inv_freq[i]);
    }
    return HONE_OK;
}

/* A decoder that was trained on to see what follows, too, as embedding models are: another
 * calculation under the same name. (Encoders see it anyway, whatever their files say of this.) */
static hone_status check_mask(const hone_file *f, const hone_hparams *h)
{
    char key[96];
    const struct {
        const char *key;
        bool causal;
    } masks[] = {{"is_causal", true},
                 {"use_bidirectional_attention", false},
                 {hone_arch_gguf_key(f, "attention.causal", key), true}};
    for (size_t i = 0; i < sizeof masks / sizeof *masks && !h->bidirectional; i++) {
        bool is;
        HONE_TRY(hone_file_bool_or(f, masks[i].key, masks[i].causal, &is));
        if (is != masks[i].causal)
            return hone_fail(HONE_UNSUPPORTED,
                             "%s: %s is %s: hone runs this architecture only with tokens that see "
                             "none behind them",
                             hone_file_path(f), masks[i].key, is ? "true" : "false");
    }
    return HONE_OK;
}

_Static_assert((int)HONE_ROPE_DIM_MAX <= (int)HONE_HEAD_MAX, "heads that kernels take");

hone_status hone_arch_read(const hone_file *f, const hone_arch **arch, hone_hparams *out)
{
    HONE_TRY(find_arch(f, arch));
    const hone_arch *a = *arch;
    memset(out, 0, sizeof *out);
    out->window_pattern = a->window_pattern;
    HONE_TRY(read_keys(f, a, out));
    if (hone_file_kind(f) == HONE_FILE_GGUF)
        HONE_TRY(read_gguf_tensors(f, a, out));
    HONE_TRY(check_sizes(f, out));
    HONE_TRY((a->build ? a->build : hone_arch_build)(f, out));
    HONE_TRY(check_mask(f, out));
    HONE_TRY(check_scales(f, out));
    return check_ropes(f, out);
}
