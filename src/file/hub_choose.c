/* hub_choose - which files of a repository a model needs. */
#include "base/io.h"
#include "file/hub_internal.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

/* What a model in safetensors needs beside its weights, by globs in which '*' stops at '/'. */
static const char *const with_weights[] = {
    "*.json",
    "*.model",
    "*.tiktoken",
    "*.jinja",
    "merges.txt",
    "vocab.txt",
    "rwkv_vocab*.txt",
    "[0-9]_*/config.json", /* modules of sentence-transformers */
    "[0-9]_*/model.safetensors",
};
/* Indexes of weights in other formats, and what only training wants. */
static const char *const never[] = {"pytorch_model*.json", "flax_model*.json", "tf_model*.json",
                                    "trainer_state.json", "training_args.json"};

static bool matches_one(const char *const *globs, size_t count, const char *path, int flags)
{
    for (size_t i = 0; i < count; i++) {
        if (fnmatch(globs[i], path, flags) == 0)
            return true;
        size_t n = strlen(globs[i]); /* "folder/" is all in it */
        if (n > 0 && globs[i][n - 1] == '/' && strncmp(path, globs[i], n) == 0)
            return true;
    }
    return false;
}
#define MATCHES(table, path) matches_one(table, sizeof(table) / sizeof *(table), path, FNM_PATHNAME)

/* ---- GGUF ---- */

typedef struct gguf_name {
    char stem[HUB_PATH_MAX + 1]; /* the path without ".gguf" and without "-00001-of-00003" */
    unsigned part, parts;        /* 1 of 1 for a file that is not split */
} gguf_name;

/* False if the path is no model in GGUF. Projectors of pictures and importance matrices are none.
 */
static bool read_gguf_name(const char *path, gguf_name *out)
{
    size_t n = strlen(path), split = strlen("-00001-of-00003");
    const char *base = hone_path_name(path);
    if (n <= 5 || strcasecmp(path + n - 5, ".gguf") != 0 || strncasecmp(base, "mmproj", 6) == 0 ||
        strncasecmp(base, "imatrix", 7) == 0)
        return false;
    n -= 5;
    memcpy(out->stem, path, n);
    out->stem[n] = 0;
    out->part = out->parts = 1;
    unsigned part, parts;
    int used = 0;
    if (n > split && sscanf(out->stem + n - split, "-%5u-of-%5u%n", &part, &parts, &used) == 2 &&
        (size_t)used == split && part >= 1 && part <= parts) {
        out->stem[n - split] = 0;
        out->part = part;
        out->parts = parts;
    }
    return true;
}

/* "model-Q4_K_M" ends in the quantisation "q4_k_m": after the start or one of "-._/". */
static bool ends_in(const char *stem, const char *quant)
{
    size_t n = strlen(stem), k = strlen(quant);
    if (k > n || strcasecmp(stem + n - k, quant) != 0)
        return false;
    return k == n || strchr("-._/", stem[n - k - 1]) || quant[0] == '-' || quant[0] == '.';
}

static bool is_quant(const char *path, const gguf_name *g, const char *quant)
{
    size_t n = strlen(quant);
    if (n > 5 && strcasecmp(quant + n - 5, ".gguf") == 0)
        return strcmp(path, quant) == 0 || strcmp(hone_path_name(path), quant) == 0;
    return ends_in(g->stem, quant);
}

/* What the user would write after ':', at most: what follows the last '-' or '.' of the stem. */
static const char *label_of(const char *stem)
{
    const char *label = hone_path_name(stem);
    for (const char *p = label; *p; p++)
        if (*p == '-' || *p == '.')
            label = p + 1;
    return label;
}

/* The label, or the whole name where two models of different names have the same. */
static const char *telling_label(const hub_list *l, const char *stem)
{
    gguf_name other;
    for (size_t i = 0; i < l->count; i++)
        if (read_gguf_name(l->entries[i].path, &other) && strcmp(other.stem, stem) != 0 &&
            strcasecmp(label_of(other.stem), label_of(stem)) == 0)
            return hone_path_name(stem);
    return label_of(stem);
}

/* "Q4_K_M (4.10 GB), Q8_0 (8.02 GB)" for the GGUF models that match. */
static void describe_ggufs(const hub_list *l, const char *quant, char *text, size_t size)
{
    size_t used = 0;
    text[0] = 0;
    char shown[32];
    gguf_name g, other;
    for (size_t i = 0; i < l->count; i++) {
        if (!read_gguf_name(l->entries[i].path, &g) || g.part != 1 ||
            (quant && !is_quant(l->entries[i].path, &g, quant)))
            continue;
        uint64_t bytes = 0;
        for (size_t k = 0; k < l->count; k++)
            if (read_gguf_name(l->entries[k].path, &other) && strcmp(other.stem, g.stem) == 0)
                bytes += l->entries[k].bytes;
        int n = snprintf(text + used, size - used, "%s%s (%s)", used ? ", " : "",
                         telling_label(l, g.stem), hub_show_bytes(bytes, shown));
        if (n < 0 || (size_t)n >= size - used - 8) {
            snprintf(text + used, size - used, ", ..");
            return;
        }
        used += (size_t)n;
    }
}

/* Marks the files of the model whose stem is that of entry `first`. All parts must be there. */
static hone_status mark_gguf(hub_list *l, size_t first, bool *keep)
{
    gguf_name g, other;
    unsigned found = 0;
    if (!read_gguf_name(l->entries[first].path, &g))
        return hone_fail(HONE_INTERNAL, "%s is no GGUF", l->entries[first].path);
    for (size_t i = 0; i < l->count; i++) {
        if (!read_gguf_name(l->entries[i].path, &other) || strcmp(other.stem, g.stem) != 0 ||
            other.parts != g.parts)
            continue;
        keep[i] = true;
        found++;
    }
    if (found != g.parts)
        return hone_fail(HONE_NOT_FOUND, "%s is split into %u files, and only %u of them are there",
                         g.stem, g.parts, found);
    return HONE_OK;
}

static bool same_model(const char *a, const char *b)
{
    gguf_name x, y;
    return read_gguf_name(a, &x) && read_gguf_name(b, &y) && strcmp(x.stem, y.stem) == 0;
}

/* Entries that are the first file of a GGUF model with this quantisation (NULL: any): how many, and
 * the first of them. */
static size_t find_ggufs(const hub_list *l, const char *quant, size_t *first)
{
    size_t count = 0;
    for (size_t i = 0; i < l->count; i++) {
        gguf_name g;
        if (!read_gguf_name(l->entries[i].path, &g) ||
            (quant && !is_quant(l->entries[i].path, &g, quant)))
            continue;
        if (count && same_model(l->entries[*first].path, l->entries[i].path))
            continue;
        if (!count++)
            *first = i;
    }
    return count;
}

static hone_status choose_gguf(hub_list *l, const char *quant, bool *keep, const char **model)
{
    char there[600];
    size_t first = 0, count = find_ggufs(l, quant, &first);
    if (count == 1) {
        HONE_TRY(mark_gguf(l, first, keep));
        *model = l->entries[first].path;
        return HONE_OK;
    }
    if (count == 0) {
        describe_ggufs(l, NULL, there, sizeof there);
        return hone_fail(HONE_NOT_FOUND, "no GGUF file of \"%s\"; there are: %s", quant,
                         there[0] ? there : "none");
    }
    describe_ggufs(l, quant, there, sizeof there);
    return hone_fail(HONE_USAGE, "%s GGUF files%s%s: write one of these after ':': %s",
                     quant ? "several" : "there are several", quant ? " end in " : "",
                     quant ? quant : "", there);
}

/* ---- safetensors ---- */

static bool is_shard(const char *path)
{
    return fnmatch("model-[0-9]*-of-[0-9]*.safetensors", path, FNM_PATHNAME) == 0;
}

static bool has_entry(const hub_list *l, const char *path)
{
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->entries[i].path, path) == 0)
            return true;
    return false;
}

static bool has_shard(const hub_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        if (is_shard(l->entries[i].path))
            return true;
    return false;
}

/* model.safetensors, else the shards of its index, else whatever safetensors lie at the root; with
 * configuration and tokenizer. False if there are no weights. */
static bool choose_safetensors(const hub_list *l, bool *keep)
{
    bool single = has_entry(l, "model.safetensors"), weights = false;
    bool sharded = !single && has_entry(l, "model.safetensors.index.json") && has_shard(l);
    for (size_t i = 0; i < l->count; i++) {
        const char *path = l->entries[i].path;
        bool wanted = single    ? strcmp(path, "model.safetensors") == 0
                      : sharded ? is_shard(path)
                                : fnmatch("*.safetensors", path, FNM_PATHNAME) == 0;
        weights |= wanted;
        keep[i] = wanted || (MATCHES(with_weights, path) && !MATCHES(never, path) &&
                             !(single && strcmp(path, "model.safetensors.index.json") == 0));
    }
    return weights;
}

static hone_status no_weights(const hub_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        if (fnmatch("*.bin", l->entries[i].path, 0) == 0 ||
            fnmatch("*.pt*", l->entries[i].path, 0) == 0)
            return hone_fail(HONE_UNSUPPORTED,
                             "there are no safetensors and no GGUF, only pickled weights (%s): "
                             "look for a converted repository, or name files with --include",
                             l->entries[i].path);
    return hone_fail(HONE_NOT_FOUND,
                     "there are no weights (safetensors, GGUF) among the %zu files;"
                     " name files with --include",
                     l->count);
}

static hone_status choose(hub_list *l, const char *quant, const hone_hub_options *o, bool *keep,
                          const char **model)
{
    size_t first;
    *model = NULL;
    if (o->include_count && quant[0])
        return hone_fail(HONE_USAGE, "give :%s or --include, not both", quant);
    if (o->include_count) {
        for (size_t i = 0; i < l->count; i++)
            keep[i] = matches_one(o->include, o->include_count, l->entries[i].path, 0);
        return HONE_OK;
    }
    if (quant[0])
        return choose_gguf(l, quant, keep, model);
    if (choose_safetensors(l, keep)) {
        *model = "";
        return HONE_OK;
    }
    memset(keep, 0, l->count * sizeof *keep);
    if (find_ggufs(l, NULL, &first) == 0)
        return no_weights(l);
    return choose_gguf(l, NULL, keep, model);
}

hone_status hub_choose(hub_list *l, const char *quant, const hone_hub_options *o,
                       const char **model)
{
    bool *keep = hone_calloc(l->count + 1, sizeof *keep);
    if (!keep)
        return hone_fail_memory(l->count, "the choice of files");
    hone_status s = choose(l, quant, o, keep, model);
    size_t n = 0;
    for (size_t i = 0; s == HONE_OK && i < l->count; i++)
        if (keep[i] && !matches_one(o->exclude, o->exclude_count, l->entries[i].path, 0))
            l->entries[n++] = l->entries[i];
    hone_free(keep);
    HONE_TRY(s);
    size_t all = l->count;
    l->count = n;
    if (n == 0)
        return hone_fail(HONE_NOT_FOUND, "none of the %zu files fits --include and --exclude", all);
    return HONE_OK;
}
