#include "file/internal.h"

#include "base/utf8.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <xxhash.h>

/* ---- names: both hone_tensor and hone_meta begin with the pointer to their name ---- */

static const char *name_at(const void *items, size_t stride, size_t i)
{
    const char *name;
    memcpy(&name, (const char *)items + i * stride, sizeof name);
    return name;
}

/* The slot that holds `name`, or the free slot where it belongs. */
static size_t find_slot(const hone_names *set, const void *items, size_t stride, const char *name)
{
    size_t at = (size_t)XXH3_64bits_withSeed(name, strlen(name), set->seed) & set->mask;
    while (set->slots[at] && strcmp(name_at(items, stride, set->slots[at] - 1), name) != 0)
        at = (at + 1) & set->mask;
    return at;
}

static hone_status grow_names(hone_names *set, const void *items, size_t stride, size_t count)
{
    size_t slots = set->slots ? (set->mask + 1) * 2 : 64;
    uint32_t *fresh = hone_calloc(slots, sizeof *fresh);
    if (!fresh)
        return hone_fail_memory(slots * sizeof *fresh, "the index of names");
    hone_free(set->slots);
    /* A seed that a file cannot know keeps names from being chosen to collide. */
    set->seed = (uint64_t)(uintptr_t)fresh ^ (uint64_t)clock() << 32 ^ (uint64_t)time(NULL);
    set->slots = fresh;
    set->mask = slots - 1;
    for (size_t i = 0; i < count; i++)
        fresh[find_slot(set, items, stride, name_at(items, stride, i))] = (uint32_t)i + 1;
    return HONE_OK;
}

/* Enters item `count`, whose name is not yet in items[0..count). */
static hone_status enter_name(hone_names *set, const void *items, size_t stride, size_t count,
                              const char *name, const char *what)
{
    if (!set->slots || count * 2 >= set->mask)
        HONE_TRY(grow_names(set, items, stride, count));
    size_t at = find_slot(set, items, stride, name);
    if (set->slots[at])
        return hone_fail(HONE_FORMAT, "%s '%.120s' appears twice", what, name);
    set->slots[at] = (uint32_t)count + 1;
    return HONE_OK;
}

static hone_status make_room(void **items, size_t *capacity, size_t count, size_t stride,
                             const char *what)
{
    if (count < *capacity)
        return HONE_OK;
    if (count >= HONE_ENTRIES_MAX)
        return hone_fail(HONE_LIMIT, "more than %d %s", HONE_ENTRIES_MAX, what);
    size_t bigger = *capacity ? *capacity * 2 : 32;
    void *fresh = hone_reallocarray(*items, bigger, stride);
    if (!fresh)
        return hone_fail_memory(bigger * stride, what);
    *items = fresh;
    *capacity = bigger;
    return HONE_OK;
}

hone_status hone_file_add_tensor(hone_file *f, const hone_tensor *t)
{
    void *items = f->tensors;
    hone_status s = make_room(&items, &f->tensor_capacity, f->tensor_count, sizeof *t, "tensors");
    f->tensors = items;
    HONE_TRY(s);
    HONE_TRY(enter_name(&f->tensor_names, items, sizeof *t, f->tensor_count, t->name, "tensor"));
    f->tensors[f->tensor_count++] = *t;
    return HONE_OK;
}

hone_status hone_file_add_meta(hone_file *f, const hone_meta *m)
{
    void *items = f->metas;
    hone_status s = make_room(&items, &f->meta_capacity, f->meta_count, sizeof *m, "metadata keys");
    f->metas = items;
    HONE_TRY(s);
    HONE_TRY(enter_name(&f->meta_names, items, sizeof *m, f->meta_count, m->key, "metadata key"));
    f->metas[f->meta_count++] = *m;
    return HONE_OK;
}

hone_status hone_file_add_map(hone_file *f, const char *path, hone_map *out)
{
    void *items = f->maps;
    hone_status s = make_room(&items, &f->map_capacity, f->map_count, sizeof *out, "files");
    f->maps = items;
    HONE_TRY(s);
    HONE_TRY(hone_map_open(path, out));
    f->maps[f->map_count++] = *out;
    return HONE_OK;
}

hone_status hone_file_keep(hone_file *f, const char *s, size_t n, const char **out)
{
    *out = hone_arena_strndup(&f->arena, s, n);
    return *out ? HONE_OK : hone_fail_memory(n, "a name");
}

/* ---- checks that every reader needs ---- */

hone_status hone_file_size_tensor(hone_tensor *t, uint64_t *elements)
{
    uint64_t n = 1, rows = 1;
    for (int i = 0; i < t->n_dims; i++) {
        if (t->shape[i] == 0)
            return hone_fail(HONE_FORMAT, "tensor '%.120s' has a dimension of 0", t->name);
        if (__builtin_mul_overflow(n, t->shape[i], &n) || n > INT64_MAX)
            return hone_fail(HONE_FORMAT, "tensor '%.120s' has more elements than fit in 63 bits",
                             t->name);
        if (i + 1 < t->n_dims)
            rows *= t->shape[i];
    }
    const hone_dtype_info *d = hone_dtype_describe((hone_dtype)t->dtype);
    uint64_t k = t->shape[t->n_dims - 1];
    size_t row, bytes;
    if (k % d->block_elements != 0)
        return hone_fail(HONE_FORMAT,
                         "tensor '%.120s' has rows of %llu elements, no multiple of the %u of a "
                         "%s block",
                         t->name, (unsigned long long)k, d->block_elements, d->name);
    if (!hone_dtype_row_bytes((hone_dtype)t->dtype, k, &row) ||
        hone_mul_overflow(row, (size_t)rows, &bytes))
        return hone_fail(HONE_FORMAT, "tensor '%.120s' is larger than memory can address", t->name);
    t->bytes = bytes;
    *elements = n;
    return HONE_OK;
}

bool hone_file_is_utf8(const char *text, size_t n)
{
    return hone_utf8_valid_prefix(text, n) == n && !memchr(text, 0, n);
}

hone_status hone_file_check_name(const char *s, size_t n, size_t max, const char *what)
{
    if (n == 0 || n > max)
        return hone_fail(HONE_FORMAT, "a %s is %zu bytes long; 1 to %zu are allowed", what, n, max);
    if (!hone_file_is_utf8(s, n))
        return hone_fail(HONE_FORMAT, "a %s is no valid UTF-8", what);
    for (size_t i = 0; i < n; i++)
        if ((uint8_t)s[i] < 0x20 || s[i] == 0x7f)
            return hone_fail(HONE_FORMAT, "a %s holds a control character", what);
    return HONE_OK;
}

/* ---- open, close, tensors ---- */

static hone_status read_single(hone_file *f, const char *path)
{
    hone_map m;
    HONE_TRY(hone_file_add_map(f, path, &m));
    bool gguf = m.bytes >= 4 && memcmp(m.data, "GGUF", 4) == 0;
    if (gguf || hone_ends_with(path, ".gguf")) {
        f->kind = HONE_FILE_GGUF;
        HONE_TRY(hone_file_read_gguf(f, &m));
        uint64_t parts = hone_file_gguf_parts(f);
        if (parts <= 1)
            return HONE_OK;
        hone_file_clear(f);
        return hone_file_read_gguf_parts(f, path, parts);
    }
    if (hone_ends_with(path, ".safetensors") || (m.bytes > 8 && m.data[8] == '{')) {
        f->kind = HONE_FILE_SAFETENSORS;
        return hone_file_read_safetensors(f, &m, NULL, NULL, true);
    }
    if (hone_ends_with(path, ".json"))
        return hone_fail(HONE_FORMAT, "%s is no model file; give the folder that holds config.json",
                         path);
    return hone_fail(HONE_FORMAT,
                     "%s is neither GGUF nor safetensors; convert it to one of them first", path);
}

static hone_status new_file(const char *path, hone_file **out)
{
    *out = hone_calloc(1, sizeof **out);
    if (!*out)
        return hone_fail_memory(sizeof **out, "a model file");
    (*out)->path = hone_strdup(path);
    if ((*out)->path)
        return HONE_OK;
    hone_file_close(*out);
    *out = NULL;
    return hone_fail_memory(strlen(path), "a path");
}

hone_status hone_file_open_bytes(hone_file_kind_id kind, const void *data, size_t bytes,
                                 hone_file **out)
{
    hone_file *f = NULL;
    char name[] = "memory";
    const hone_map m = {.data = data, .bytes = bytes, .path = name};
    *out = NULL;
    HONE_TRY(new_file(name, &f));
    f->kind = kind;
    hone_status s = kind == HONE_FILE_GGUF ? hone_file_read_gguf(f, &m)
                    : kind == HONE_FILE_HF ? hone_file_read_config(f, data, bytes)
                                           : hone_file_read_safetensors(f, &m, NULL, NULL, true);
    if (s == HONE_OK && kind == HONE_FILE_GGUF && hone_file_gguf_parts(f) > 1)
        s = hone_fail(HONE_UNSUPPORTED, "%s: one of several parts of a model", name);
    if (s != HONE_OK)
        hone_file_close(f);
    else
        *out = f;
    return s;
}

hone_status hone_file_from_config(const char *json, const char *path, hone_file **out)
{
    hone_file *f = NULL;
    *out = NULL;
    HONE_TRY(new_file(path, &f));
    f->kind = HONE_FILE_HF;
    hone_status s = hone_file_read_config(f, json, strlen(json));
    if (s == HONE_OK) {
        *out = f;
        return HONE_OK;
    }
    hone_file_close(f);
    return hone_fail_in(s, "%s", path);
}

hone_status hone_file_open(const char *path, hone_file **out)
{
    *out = NULL;
    hone_file *f = NULL;
    HONE_TRY(new_file(path, &f));
    hone_status s;
    if (hone_is_directory(path)) {
        f->kind = HONE_FILE_HF;
        s = hone_file_read_folder(f, path);
    } else {
        s = read_single(f, path);
    }
    if (s != HONE_OK) {
        hone_file_close(f);
        return s;
    }
    *out = f;
    return HONE_OK;
}

void hone_file_clear(hone_file *f)
{
    for (size_t i = 0; i < f->map_count; i++)
        hone_map_close(&f->maps[i]);
    hone_free(f->maps);
    hone_free(f->tensors);
    hone_free(f->metas);
    hone_free(f->tensor_names.slots);
    hone_free(f->meta_names.slots);
    hone_arena_free(&f->arena);
    *f = (hone_file){.kind = f->kind, .version = f->version, .path = f->path};
}

void hone_file_close(hone_file *f)
{
    if (!f)
        return;
    hone_file_clear(f);
    hone_arena_free(&f->arena);
    hone_free(f->path);
    hone_free(f);
}

hone_file_kind_id hone_file_kind(const hone_file *f)
{
    return f->kind;
}

const char *hone_file_kind_name(const hone_file *f)
{
    if (f->kind == HONE_FILE_GGUF)
        return f->version == 2 ? "GGUF v2" : "GGUF v3";
    return f->kind == HONE_FILE_HF ? "Hugging Face folder" : "safetensors";
}

const char *hone_file_path(const hone_file *f)
{
    return f->path;
}

uint64_t hone_file_bytes(const hone_file *f)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < f->map_count; i++)
        sum += f->maps[i].bytes;
    return sum;
}

bool hone_file_is_source(const hone_file *f, const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return false;
    for (size_t i = 0; i < f->map_count; i++)
        if (f->maps[i].device == (uint64_t)st.st_dev && f->maps[i].inode == (uint64_t)st.st_ino)
            return true;
    return false;
}

size_t hone_file_tensor_count(const hone_file *f)
{
    return f->tensor_count;
}

const hone_tensor *hone_file_tensor_at(const hone_file *f, size_t i)
{
    return i < f->tensor_count ? &f->tensors[i] : NULL;
}

const hone_tensor *hone_file_tensor(const hone_file *f, const char *name)
{
    if (!f->tensor_names.slots)
        return NULL;
    size_t at = find_slot(&f->tensor_names, f->tensors, sizeof *f->tensors, name);
    uint32_t found = f->tensor_names.slots[at];
    return found ? &f->tensors[found - 1] : NULL;
}

const hone_meta *hone_file_meta_find(const hone_file *f, const char *key)
{
    if (!f->meta_names.slots)
        return NULL;
    size_t at = find_slot(&f->meta_names, f->metas, sizeof *f->metas, key);
    uint32_t found = f->meta_names.slots[at];
    return found ? &f->metas[found - 1] : NULL;
}

enum { SHAPE_TEXT = HONE_MAX_DIMS * 22 + 2 };

/* "[32, 64]" */
static const char *shape_text(int n_dims, const uint64_t *shape, char text[SHAPE_TEXT])
{
    size_t n = 0;
    for (int i = 0; i < n_dims && i < HONE_MAX_DIMS; i++)
        n += (size_t)snprintf(text + n, SHAPE_TEXT - n, "%s%llu", i ? ", " : "[",
                              (unsigned long long)shape[i]);
    snprintf(text + n, SHAPE_TEXT - n, "]");
    return text;
}

hone_status hone_file_need_tensor(const hone_file *f, const char *name, int n_dims,
                                  const uint64_t *shape, const hone_tensor **out)
{
    const hone_tensor *t = hone_file_tensor(f, name);
    if (!t)
        return hone_fail(HONE_NOT_FOUND,
                         "%s: tensor '%s' is missing; the file is incomplete or of "
                         "another architecture",
                         f->path, name);
    bool same = t->n_dims == n_dims;
    for (int i = 0; same && i < n_dims; i++)
        same = t->shape[i] == shape[i];
    if (!same) {
        char have[SHAPE_TEXT], want[SHAPE_TEXT];
        return hone_fail(
            HONE_FORMAT, "%s: tensor '%s' has shape %s, the model's configuration says %s", f->path,
            name, shape_text(t->n_dims, t->shape, have), shape_text(n_dims, shape, want));
    }
    *out = t;
    return HONE_OK;
}

uint64_t hone_tensor_elements(const hone_tensor *t)
{
    uint64_t n = 1;
    for (int i = 0; i < t->n_dims; i++)
        n *= t->shape[i];
    return n;
}

void hone_file_describe(const hone_file *f, hone_file_sum *types, hone_file_sum *total)
{
    memset(types, 0, HONE_DTYPE_COUNT * sizeof *types);
    *total = (hone_file_sum){0};
    for (size_t i = 0; i < f->tensor_count; i++) {
        const hone_tensor *t = &f->tensors[i];
        hone_file_sum *sums[] = {&types[t->dtype], total};
        for (int k = 0; k < 2; k++) {
            sums[k]->tensors++;
            sums[k]->elements += hone_tensor_elements(t);
            sums[k]->bytes += t->bytes;
        }
    }
}
