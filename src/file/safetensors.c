/* safetensors reader (github.com/huggingface/safetensors, "Format"; offsets in docs/format). */
#include "file/internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    HEADER_DEPTH = 3, /* { name: { "shape": [ */
    HEADER_VALUES_MAX = 4 << 20
};

/* What one tensor occupies of the data; the whole must be covered exactly once. */
typedef struct extent {
    uint64_t begin, end;
    const char *name;
} extent;

static int by_begin(const void *a, const void *b)
{
    const extent *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static hone_status read_shape(const json_t *item, hone_tensor *t)
{
    const json_t *shape = json_object_get(item, "shape");
    if (!json_is_array(shape))
        return hone_fail(HONE_FORMAT, "tensor '%.120s' has no shape", t->name);
    size_t n = json_array_size(shape);
    if (n > HONE_MAX_DIMS)
        return hone_fail(HONE_UNSUPPORTED,
                         "tensor '%.120s' has %zu dimensions, at most %d are read", t->name, n,
                         HONE_MAX_DIMS);
    for (size_t i = 0; i < n; i++) {
        const json_t *d = json_array_get(shape, i);
        if (!json_is_integer(d) || json_integer_value(d) < 0)
            return hone_fail(HONE_FORMAT,
                             "tensor '%.120s': dimension %zu is no non-negative integer", t->name,
                             i);
        t->shape[i] = (uint64_t)json_integer_value(d);
    }
    t->n_dims = (int)n;
    if (n == 0) {
        t->n_dims = 1;
        t->shape[0] = 1;
    }
    return HONE_OK;
}

static hone_status read_dtype(const json_t *item, hone_tensor *t)
{
    hone_dtype dtype;
    const char *name = json_string_value(json_object_get(item, "dtype"));
    if (!name)
        return hone_fail(HONE_FORMAT, "tensor '%.120s' has no dtype", t->name);
    if (!hone_dtype_by_safetensors(name, &dtype))
        return hone_fail(HONE_UNSUPPORTED,
                         "tensor '%.120s' has dtype '%.40s', which hone does not read; use "
                         "weights in F32, F16, BF16 or FP8",
                         t->name, name);
    t->dtype = (int)dtype;
    return HONE_OK;
}

static hone_status read_extent(const json_t *item, const hone_tensor *t, uint64_t data_bytes,
                               extent *e)
{
    const json_t *pair = json_object_get(item, "data_offsets");
    const json_t *b = json_array_get(pair, 0), *z = json_array_get(pair, 1);
    if (json_array_size(pair) != 2 || !json_is_integer(b) || !json_is_integer(z))
        return hone_fail(HONE_FORMAT, "tensor '%.120s' has no pair of data_offsets", t->name);
    int64_t begin = json_integer_value(b), end = json_integer_value(z);
    if (begin < 0 || end < begin)
        return hone_fail(HONE_FORMAT, "tensor '%.120s' has data_offsets [%lld, %lld]", t->name,
                         (long long)begin, (long long)end);
    if ((uint64_t)end > data_bytes)
        return hone_fail(HONE_FORMAT,
                         "tensor '%.120s' ends at data byte %lld, but the file holds %llu; it is "
                         "truncated or damaged, fetch it again",
                         t->name, (long long)end, (unsigned long long)data_bytes);
    if ((uint64_t)(end - begin) != t->bytes)
        return hone_fail(HONE_FORMAT,
                         "tensor '%.120s' takes %lld bytes, but its shape and dtype need %llu",
                         t->name, (long long)(end - begin), (unsigned long long)t->bytes);
    *e = (extent){(uint64_t)begin, (uint64_t)end, t->name};
    return HONE_OK;
}

/* Reads the entry of one tensor; *t holds the tensor, its name in the arena. */
static hone_status read_tensor(hone_file *f, const char *name, const json_t *item,
                               const uint8_t *data, uint64_t data_bytes, hone_tensor *t, extent *e)
{
    size_t n = strlen(name); /* jansson refuses strings with 0 inside */
    *t = (hone_tensor){0};
    HONE_TRY(hone_file_check_name(name, n, HONE_NAME_MAX, "tensor name"));
    HONE_TRY(hone_file_keep(f, name, n, &t->name));
    if (!json_is_object(item))
        return hone_fail(HONE_FORMAT, "the entry of tensor '%.120s' is no object", name);
    HONE_TRY(read_dtype(item, t));
    HONE_TRY(read_shape(item, t));
    uint64_t elements = 1;
    for (int i = 0; i < t->n_dims && elements; i++)
        elements = t->shape[i];
    if (elements) /* a tensor without elements takes no bytes, whatever its other dimensions */
        HONE_TRY(hone_file_size_tensor(t, &elements));
    HONE_TRY(read_extent(item, t, data_bytes, e));
    t->data = data + e->begin;
    return HONE_OK;
}

static hone_status check_cover(extent *list, size_t n, uint64_t data_bytes)
{
    uint64_t at = 0;
    qsort(list, n, sizeof *list, by_begin);
    for (size_t i = 0; i < n; i++) {
        if (list[i].begin < at)
            return hone_fail(HONE_FORMAT, "the data of tensors '%.120s' and '%.120s' overlap",
                             list[i - 1].name, list[i].name);
        if (list[i].begin > at)
            return hone_fail(
                HONE_FORMAT, "data bytes %llu to %llu, before tensor '%.120s', belong to no tensor",
                (unsigned long long)at, (unsigned long long)list[i].begin, list[i].name);
        at = list[i].end;
    }
    if (at != data_bytes)
        return hone_fail(HONE_FORMAT, "data bytes %llu to %llu, at the end, belong to no tensor",
                         (unsigned long long)at, (unsigned long long)data_bytes);
    return HONE_OK;
}

static hone_status read_metadata(hone_file *f, json_t *object)
{
    if (!json_is_object(object))
        return hone_fail(HONE_FORMAT, "__metadata__ is no object");
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        HONE_TRY(hone_file_check_name(key, strlen(key), HONE_KEY_MAX, "metadata key"));
        if (!json_is_string(value))
            return hone_fail(HONE_FORMAT, "__metadata__: '%.120s' is no string", key);
        HONE_TRY(hone_file_add_str(f, key, json_string_value(value), json_string_length(value)));
    }
    return HONE_OK;
}

/* True if `only` says that tensor `name` is to be taken from `file`. */
static bool is_wanted(const json_t *only, const char *name, const char *file)
{
    if (!only)
        return true;
    const char *where = json_string_value(json_object_get(only, name));
    return where && strcmp(where, file) == 0;
}

static hone_status read_entries(hone_file *f, json_t *header, const uint8_t *data,
                                uint64_t data_bytes, const json_t *only, const char *file,
                                bool metadata)
{
    size_t count = json_object_size(header), n = 0;
    extent *list = hone_reallocarray(NULL, count, sizeof *list);
    if (!list)
        return hone_fail_memory(count * sizeof *list, "the offsets of tensors");
    const char *name;
    json_t *item;
    hone_status s = HONE_OK;
    json_object_foreach(header, name, item)
    {
        if (strcmp(name, "__metadata__") == 0) {
            if (metadata)
                s = read_metadata(f, item);
        } else {
            hone_tensor t;
            s = read_tensor(f, name, item, data, data_bytes, &t, &list[n++]);
            if (s == HONE_OK && is_wanted(only, name, file))
                s = hone_file_add_tensor(f, &t);
        }
        if (s != HONE_OK)
            break;
    }
    if (s == HONE_OK)
        s = check_cover(list, n, data_bytes);
    hone_free(list);
    return s;
}

static hone_status read_file(hone_file *f, const hone_map *m, const json_t *only, const char *file,
                             bool metadata)
{
    uint64_t length;
    if (m->bytes < 8)
        return hone_fail(HONE_FORMAT, "is %zu bytes long; a safetensors file has at least 8",
                         m->bytes);
    memcpy(&length, m->data, 8);
    if (length > HONE_HEADER_MAX)
        return hone_fail(HONE_LIMIT,
                         "claims a header of %llu bytes; at most %zu are allowed. Is it a "
                         "safetensors file?",
                         (unsigned long long)length, HONE_HEADER_MAX);
    if (length > m->bytes - 8)
        return hone_fail(HONE_FORMAT,
                         "claims a header of %llu bytes, but %zu follow; it is truncated or "
                         "damaged, fetch it again",
                         (unsigned long long)length, m->bytes - 8);
    if (length < 2 || m->data[8] != '{')
        return hone_fail(HONE_FORMAT,
                         "has no JSON object as its header; it is no safetensors file");
    json_t *header;
    HONE_TRY(hone_json_parse((const char *)m->data + 8, (size_t)length, HEADER_DEPTH,
                             HEADER_VALUES_MAX, "the header", &header));
    hone_status s = HONE_OK;
    if (!json_is_object(header))
        s = hone_fail(HONE_FORMAT, "the header is no JSON object");
    else
        s = read_entries(f, header, m->data + 8 + length, m->bytes - 8 - length, only, file,
                         metadata);
    json_decref(header);
    return s;
}

hone_status hone_file_read_safetensors(hone_file *f, const hone_map *m, const json_t *only,
                                       const char *file, bool metadata)
{
    hone_status s = read_file(f, m, only, file, metadata);
    return s == HONE_OK ? s : hone_fail_in(s, "%s", m->path);
}
