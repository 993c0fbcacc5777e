#include "model/arch.h"
#include "kernel/kernel.h"

#include <string.h>

static const hone_arch *const table[] = {
    &hone_arch_llama,
};

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
    switch (hone_file_kind(f)) {
    case HONE_FILE_GGUF:
        return hone_file_str(f, "general.architecture", name);
    case HONE_FILE_HF:
        return hone_file_str(f, "model_type", name);
    case HONE_FILE_SAFETENSORS:
        break;
    }
    return hone_fail(HONE_UNSUPPORTED,
                     "%s has no description of its model: give the folder that holds config.json",
                     hone_file_path(f));
}

hone_status hone_arch_find(const hone_file *f, const hone_arch **arch)
{
    const char *name;
    HONE_TRY(architecture_of(f, &name));
    bool gguf = hone_file_kind(f) == HONE_FILE_GGUF;
    for (size_t i = 0; i < hone_arch_count(); i++)
        if (strcmp(gguf ? table[i]->gguf : table[i]->hf_type, name) == 0) {
            *arch = table[i];
            return HONE_OK;
        }
    char known[256] = "";
    for (size_t i = 0; i < hone_arch_count(); i++) {
        strncat(known, i ? ", " : "", sizeof known - strlen(known) - 1);
        strncat(known, table[i]->name, sizeof known - strlen(known) - 1);
    }
    return hone_fail(HONE_UNSUPPORTED, "%s: architecture \"%.64s\" is not one that hone runs (%s)",
                     hone_file_path(f), name, known);
}

_Static_assert((int)HONE_ROPE_DIM_MAX <= (int)HONE_HEAD_MAX, "heads that kernels take");

/* What every dense transformer must satisfy before a size is computed from these numbers. */
static hone_status check(const hone_file *f, const hone_hparams *h)
{
    const struct {
        const char *name;
        uint32_t value, most;
    } bounds[] = {
        {"layers", h->layers, 1024},
        {"hidden size", h->hidden, 1 << 17},
        {"attention heads", h->heads, 4096},
        {"key/value heads", h->kv_heads, 4096},
        {"head dimension", h->head_dim, HONE_ROPE_DIM_MAX},
        {"feed-forward size", h->ffn, 1 << 20},
        {"vocabulary", h->vocab, 1 << 22},
        {"context length", h->context_tokens, 1 << 27},
    };
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++)
        if (bounds[i].value < 1 || bounds[i].value > bounds[i].most)
            return hone_fail(HONE_FORMAT, "%s: %s is %u; hone takes 1 to %u", hone_file_path(f),
                             bounds[i].name, bounds[i].value, bounds[i].most);
    if (h->heads % h->kv_heads != 0)
        return hone_fail(HONE_FORMAT, "%s: %u attention heads cannot share %u key/value heads",
                         hone_file_path(f), h->heads, h->kv_heads);
    if (h->rope.dim < 2 || h->rope.dim % 2 || h->rope.dim > h->head_dim)
        return hone_fail(HONE_FORMAT, "%s: %u rotary dimensions in a head of %u", hone_file_path(f),
                         h->rope.dim, h->head_dim);
    if (!(h->norm_eps > 0 && h->norm_eps < 1))
        return hone_fail(HONE_FORMAT, "%s: norm epsilon %g is not between 0 and 1",
                         hone_file_path(f), (double)h->norm_eps);
    for (uint32_t i = 0; i < h->rope.dim / 2; i++)
        if (!(h->rope.inv_freq[i] > 0 && h->rope.inv_freq[i] <= 1e6f))
            return hone_fail(HONE_FORMAT, "%s: rotary frequency %u is %g", hone_file_path(f), i,
                             (double)h->rope.inv_freq[i]);
    return HONE_OK;
}

hone_status hone_arch_read(const hone_file *f, const hone_arch **arch, hone_hparams *out)
{
    HONE_TRY(hone_arch_find(f, arch));
    memset(out, 0, sizeof *out);
    HONE_TRY((*arch)->read_hparams(f, out));
    return check(f, out);
}
