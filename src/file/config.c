/* config.json -> metadata entries under dotted paths. */
#include "file/internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CONFIG_VALUES_MAX = 1 << 16, PATH_MAX_BYTES = 512 };

static double real_value(const json_t *v)
{
    double d = json_number_value(v);
    return d >= HONE_JSON_INFINITY ? INFINITY : d <= -HONE_JSON_INFINITY ? -INFINITY : d;
}

/* The path of the value at hand; grows and shrinks with the walk. */
typedef struct walk {
    hone_file *f;
    size_t used;
    char path[PATH_MAX_BYTES];
} walk;

static hone_status push_name(walk *w, const char *name, size_t *before)
{
    size_t n = strlen(name);
    HONE_TRY(hone_file_check_name(name, n, PATH_MAX_BYTES - 1, "key of config.json"));
    if (w->used + n + 2 > PATH_MAX_BYTES)
        return hone_fail(HONE_LIMIT, "the path to a key is longer than %d bytes",
                         PATH_MAX_BYTES - 1);
    *before = w->used;
    if (w->used)
        w->path[w->used++] = '.';
    memcpy(w->path + w->used, name, n + 1);
    w->used += n;
    return HONE_OK;
}

static void pop_name(walk *w, size_t before)
{
    w->used = before;
    w->path[before] = 0;
}

/* The one stored type that all elements fit in: GGUF_I64, GGUF_F64, GGUF_BOOL or GGUF_STRING; -1 if
 * there is none (mixed, nested or null). */
static int element_type(const json_t *array)
{
    int type = -1;
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *v = json_array_get(array, i);
        int t = json_is_integer(v)   ? GGUF_I64
                : json_is_real(v)    ? GGUF_F64
                : json_is_boolean(v) ? GGUF_BOOL
                : json_is_string(v)  ? GGUF_STRING
                                     : -1;
        if (t < 0)
            return -1;
        if (type < 0 || (type == GGUF_I64 && t == GGUF_F64))
            type = t;
        else if (t != type && !(type == GGUF_F64 && t == GGUF_I64))
            return -1;
    }
    return type < 0 ? GGUF_I64 : type;
}

static size_t stored_bytes(const json_t *v, int type)
{
    return type == GGUF_STRING ? 8 + json_string_length(v) : hone_gguf_scalar_bytes((uint32_t)type);
}

static void store_element(const json_t *v, int type, uint8_t *p)
{
    if (type == GGUF_STRING) {
        uint64_t n = json_string_length(v);
        memcpy(p, &n, 8);
        memcpy(p + 8, json_string_value(v), n);
    } else if (type == GGUF_BOOL) {
        *p = json_is_true(v);
    } else if (type == GGUF_F64) {
        double d = real_value(v);
        memcpy(p, &d, 8);
    } else {
        int64_t i = json_integer_value(v);
        memcpy(p, &i, 8);
    }
}

/* An array of scalars, in the bytes that GGUF would hold: element type, count, elements. */
static hone_status add_array(walk *w, const json_t *array, int type)
{
    size_t count = json_array_size(array), bytes = 12;
    hone_meta m = {.stored = GGUF_ARRAY, .type = HONE_META_ARRAY};
    for (size_t i = 0; i < count; i++)
        bytes += stored_bytes(json_array_get(array, i), type);
    uint8_t *raw = hone_arena_alloc(&w->f->arena, bytes);
    uint64_t *start = hone_arena_alloc(&w->f->arena, count * sizeof *start);
    if (!raw || !start)
        return hone_fail_memory(bytes, "an array of config.json");
    uint32_t stored = (uint32_t)type;
    uint64_t n = count;
    memcpy(raw, &stored, 4);
    memcpy(raw + 4, &n, 8);
    for (size_t i = 0, at = 0; i < count; i++) {
        const json_t *v = json_array_get(array, i);
        start[i] = at;
        store_element(v, type, raw + 12 + at);
        at += stored_bytes(v, type);
    }
    m.raw = raw;
    m.raw_bytes = bytes;
    m.array = (hone_array){.type = hone_gguf_meta_type(stored),
                           .count = n,
                           .stored = type,
                           .data = raw + 12,
                           .start = start};
    HONE_TRY(hone_file_keep(w->f, w->path, w->used, &m.key));
    return hone_file_add_meta(w->f, &m);
}

static hone_status add_value(walk *w, json_t *v);

static hone_status add_members(walk *w, json_t *object)
{
    const char *name;
    json_t *v;
    size_t before = 0;
    json_object_foreach(object, name, v)
    {
        HONE_TRY(push_name(w, name, &before));
        HONE_TRY(add_value(w, v));
        pop_name(w, before);
    }
    return HONE_OK;
}

static hone_status add_elements(walk *w, json_t *array)
{
    char name[24];
    size_t before = 0;
    for (size_t i = 0; i < json_array_size(array); i++) {
        snprintf(name, sizeof name, "%zu", i);
        HONE_TRY(push_name(w, name, &before));
        HONE_TRY(add_value(w, json_array_get(array, i)));
        pop_name(w, before);
    }
    return HONE_OK;
}

/* Recursion is bounded by HONE_CONFIG_DEPTH. */
static hone_status add_value(walk *w, json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return add_members(w, v);
    case JSON_ARRAY: {
        int type = element_type(v);
        return type < 0 ? add_elements(w, v) : add_array(w, v, type);
    }
    case JSON_STRING:
        return hone_file_add_str(w->f, w->path, json_string_value(v), json_string_length(v));
    case JSON_INTEGER: {
        int64_t i = json_integer_value(v);
        return hone_file_add_scalar(w->f, w->path, i >= 0 ? GGUF_U64 : GGUF_I64, &i);
    }
    case JSON_REAL: {
        double d = real_value(v);
        return hone_file_add_scalar(w->f, w->path, GGUF_F64, &d);
    }
    case JSON_TRUE:
    case JSON_FALSE: {
        uint8_t b = json_is_true(v);
        return hone_file_add_scalar(w->f, w->path, GGUF_BOOL, &b);
    }
    default: /* null: missing */
        return HONE_OK;
    }
}

hone_status hone_file_read_config(hone_file *f, const char *text, size_t bytes)
{
    if (bytes > HONE_CONFIG_MAX)
        return hone_fail(HONE_LIMIT, "is %zu bytes long, at most %d are read", bytes,
                         HONE_CONFIG_MAX);
    json_t *root;
    char *copy = hone_strndup(text ? text : "", bytes);
    if (!copy)
        return hone_fail_memory(bytes, "config.json");
    hone_json_mend_infinity(copy, bytes);
    hone_status s =
        hone_json_parse(copy, bytes, HONE_CONFIG_DEPTH, CONFIG_VALUES_MAX, "config.json", &root);
    hone_free(copy);
    HONE_TRY(s);
    walk w = {.f = f};
    if (!json_is_object(root))
        s = hone_fail(HONE_FORMAT, "is no JSON object");
    else
        s = add_members(&w, root);
    json_decref(root);
    return s;
}
