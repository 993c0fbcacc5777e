/* Metadata: values, arrays and their text. Every value is kept as GGUF stores it. */
#include "file/internal.h"

#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct {
    uint8_t bytes;
    hone_meta_type type;
} stored_types[GGUF_TYPES] = {
    [GGUF_U8] = {1, HONE_META_U64},     [GGUF_I8] = {1, HONE_META_I64},
    [GGUF_U16] = {2, HONE_META_U64},    [GGUF_I16] = {2, HONE_META_I64},
    [GGUF_U32] = {4, HONE_META_U64},    [GGUF_I32] = {4, HONE_META_I64},
    [GGUF_F32] = {4, HONE_META_F64},    [GGUF_BOOL] = {1, HONE_META_BOOL},
    [GGUF_STRING] = {0, HONE_META_STR}, [GGUF_ARRAY] = {0, HONE_META_ARRAY},
    [GGUF_U64] = {8, HONE_META_U64},    [GGUF_I64] = {8, HONE_META_I64},
    [GGUF_F64] = {8, HONE_META_F64},
};

size_t hone_gguf_scalar_bytes(uint32_t type)
{
    return type < GGUF_TYPES ? stored_types[type].bytes : 0;
}

hone_meta_type hone_gguf_meta_type(uint32_t type)
{
    return stored_types[type < GGUF_TYPES ? type : GGUF_ARRAY].type;
}

hone_status hone_file_add_scalar(hone_file *f, const char *key, int stored, const void *value)
{
    hone_meta m = {.stored = stored, .type = hone_gguf_meta_type((uint32_t)stored)};
    m.raw_bytes = hone_gguf_scalar_bytes((uint32_t)stored);
    const char *raw;
    HONE_TRY(hone_file_keep(f, key, strlen(key), &m.key));
    HONE_TRY(hone_file_keep(f, value, m.raw_bytes, &raw));
    m.raw = (const uint8_t *)raw;
    return hone_file_add_meta(f, &m);
}

hone_status hone_file_add_str(hone_file *f, const char *key, const char *s, size_t n)
{
    hone_meta m = {.stored = GGUF_STRING, .type = HONE_META_STR, .raw_bytes = 8 + n};
    HONE_TRY(hone_file_keep(f, key, strlen(key), &m.key));
    char *raw = hone_arena_alloc(&f->arena, 8 + n + 1);
    if (!raw)
        return hone_fail_memory(n, "a string");
    uint64_t length = n;
    memcpy(raw, &length, 8);
    memcpy(raw + 8, s, n);
    m.raw = (const uint8_t *)raw;
    m.string = raw + 8;
    return hone_file_add_meta(f, &m);
}

/* ---- one stored scalar ---- */

typedef struct scalar {
    hone_meta_type type;
    uint64_t u; /* U64, BOOL */
    int64_t i;
    double f;
} scalar;

#define LOAD(as, c_type, field)                                                                    \
    case as: {                                                                                     \
        c_type v;                                                                                  \
        memcpy(&v, p, sizeof v);                                                                   \
        s.field = v;                                                                               \
        break;                                                                                     \
    }

static scalar load_scalar(int stored, const uint8_t *p)
{
    scalar s = {.type = hone_gguf_meta_type((uint32_t)stored)};
    switch (stored) {
        LOAD(GGUF_U8, uint8_t, u)
        LOAD(GGUF_U16, uint16_t, u)
        LOAD(GGUF_I16, int16_t, i)
        LOAD(GGUF_U32, uint32_t, u)
        LOAD(GGUF_I32, int32_t, i)
        LOAD(GGUF_F32, float, f)
        LOAD(GGUF_BOOL, uint8_t, u)
        LOAD(GGUF_U64, uint64_t, u)
        LOAD(GGUF_I64, int64_t, i)
        LOAD(GGUF_F64, double, f)
    case GGUF_I8:
        s.i = p[0] < 128 ? p[0] : p[0] - 256;
        break;
    default:
        break;
    }
    return s;
}

static bool scalar_u64(scalar s, uint64_t *out)
{
    if (s.type == HONE_META_U64)
        *out = s.u;
    else if (s.type == HONE_META_I64 && s.i >= 0)
        *out = (uint64_t)s.i;
    else if (s.type == HONE_META_F64 && s.f >= 0 && s.f < 0x1p53 && s.f == floor(s.f))
        *out = (uint64_t)s.f;
    else
        return false;
    return true;
}

static bool scalar_i64(scalar s, int64_t *out)
{
    if (s.type == HONE_META_U64 && s.u <= INT64_MAX)
        *out = (int64_t)s.u;
    else if (s.type == HONE_META_I64)
        *out = s.i;
    else if (s.type == HONE_META_F64 && fabs(s.f) < 0x1p53 && s.f == floor(s.f))
        *out = (int64_t)s.f;
    else
        return false;
    return true;
}

static bool scalar_f64(scalar s, double *out)
{
    if (s.type == HONE_META_U64)
        *out = (double)s.u;
    else if (s.type == HONE_META_I64)
        *out = (double)s.i;
    else if (s.type == HONE_META_F64)
        *out = s.f;
    else
        return false;
    return true;
}

/* ---- getters ---- */

static hone_status find(const hone_file *f, const char *key, const hone_meta **out)
{
    *out = hone_file_meta_find(f, key);
    if (*out)
        return HONE_OK;
    return hone_fail(HONE_NOT_FOUND, "%s: %s '%s' is missing", f->path,
                     f->kind == HONE_FILE_HF ? "config.json:" : "metadata key", key);
}

static hone_status wrong_type(const hone_file *f, const hone_meta *m, const char *wanted)
{
    char text[64];
    const char *quote = m->type == HONE_META_STR ? "\"" : "";
    return hone_fail(HONE_FORMAT, "%s: '%s' should be %s, but is %s%s%s", f->path, m->key, wanted,
                     quote, hone_file_meta_text(f, (size_t)(m - f->metas), text, sizeof text),
                     quote);
}

bool hone_file_has(const hone_file *f, const char *key)
{
    return hone_file_meta_find(f, key) != NULL;
}

#define GETTER(name, c_type, convert, wanted)                                                      \
    hone_status hone_file_##name(const hone_file *f, const char *key, c_type *out)                 \
    {                                                                                              \
        const hone_meta *m;                                                                        \
        HONE_TRY(find(f, key, &m));                                                                \
        if (m->type >= HONE_META_STR || !convert(load_scalar(m->stored, m->raw), out))             \
            return wrong_type(f, m, wanted);                                                       \
        return HONE_OK;                                                                            \
    }

static bool scalar_bool(scalar s, bool *out)
{
    *out = s.u != 0;
    return s.type == HONE_META_BOOL;
}

GETTER(u64, uint64_t, scalar_u64, "a non-negative integer")
GETTER(i64, int64_t, scalar_i64, "an integer")
GETTER(f64, double, scalar_f64, "a number")
GETTER(bool, bool, scalar_bool, "true or false")

hone_status hone_file_str(const hone_file *f, const char *key, const char **out)
{
    const hone_meta *m;
    HONE_TRY(find(f, key, &m));
    if (m->type != HONE_META_STR)
        return wrong_type(f, m, "a string");
    *out = m->string;
    return HONE_OK;
}

#define GETTER_OR(name, c_type)                                                                    \
    hone_status hone_file_##name##_or(const hone_file *f, const char *key, c_type fallback,        \
                                      c_type *out)                                                 \
    {                                                                                              \
        if (hone_file_has(f, key))                                                                 \
            return hone_file_##name(f, key, out);                                                  \
        *out = fallback;                                                                           \
        return HONE_OK;                                                                            \
    }

GETTER_OR(u64, uint64_t)
GETTER_OR(f64, double)
GETTER_OR(bool, bool)
GETTER_OR(str, const char *)

/* ---- arrays ---- */

hone_status hone_file_array(const hone_file *f, const char *key, hone_array *out)
{
    const hone_meta *m;
    HONE_TRY(find(f, key, &m));
    if (m->type != HONE_META_ARRAY)
        return wrong_type(f, m, "an array");
    *out = m->array;
    return HONE_OK;
}

static scalar element(const hone_array *a, uint64_t i)
{
    return load_scalar(a->stored, a->data + i * hone_gguf_scalar_bytes((uint32_t)a->stored));
}

bool hone_array_u64(const hone_array *a, uint64_t i, uint64_t *out)
{
    return i < a->count && a->type != HONE_META_STR && scalar_u64(element(a, i), out);
}

bool hone_array_i64(const hone_array *a, uint64_t i, int64_t *out)
{
    return i < a->count && a->type != HONE_META_STR && scalar_i64(element(a, i), out);
}

bool hone_array_f64(const hone_array *a, uint64_t i, double *out)
{
    return i < a->count && a->type != HONE_META_STR && scalar_f64(element(a, i), out);
}

bool hone_array_bool(const hone_array *a, uint64_t i, bool *out)
{
    return i < a->count && a->type != HONE_META_STR && scalar_bool(element(a, i), out);
}

bool hone_array_str(const hone_array *a, uint64_t i, const char **out, size_t *bytes)
{
    if (i >= a->count || a->type != HONE_META_STR)
        return false;
    uint64_t n;
    memcpy(&n, a->data + a->start[i], sizeof n);
    *out = (const char *)a->data + a->start[i] + sizeof n;
    *bytes = (size_t)n;
    return true;
}

/* ---- text ---- */

size_t hone_file_meta_count(const hone_file *f)
{
    return f->meta_count;
}

const char *hone_file_meta_key(const hone_file *f, size_t i)
{
    return i < f->meta_count ? f->metas[i].key : NULL;
}

/* A line that is being written; room is kept for "..." and the final 0. */
typedef struct line {
    char *text;
    size_t used, size;
    bool full;
} line;

static void put(line *l, const char *s, size_t n)
{
    if (l->full)
        return;
    if (l->size - l->used < n + 4) {
        l->full = true;
        return;
    }
    memcpy(l->text + l->used, s, n);
    l->used += n;
}

static void put_scalar(line *l, int stored, const uint8_t *p)
{
    scalar s = load_scalar(stored, p);
    char b[40];
    int n = 0;
    if (s.type == HONE_META_U64)
        n = snprintf(b, sizeof b, "%llu", (unsigned long long)s.u);
    else if (s.type == HONE_META_I64)
        n = snprintf(b, sizeof b, "%lld", (long long)s.i);
    else if (s.type == HONE_META_BOOL)
        n = snprintf(b, sizeof b, "%s", s.u ? "true" : "false");
    else
        n = snprintf(b, sizeof b, "%.*g", stored == GGUF_F32 ? 7 : 15, s.f);
    put(l, b, (size_t)n);
}

/* Characters as they are, whole; control characters and bytes that are no UTF-8 as \n, \x1b. */
static void put_string(line *l, const char *s, size_t n)
{
    for (size_t i = 0; i < n && !l->full;) {
        size_t take;
        unsigned char c = (unsigned char)s[i];
        bool whole = hone_utf8_next(s + i, n - i, &take) == HONE_UTF8_VALID;
        bool c1 = c == 0xc2 && whole && (unsigned char)s[i + 1] < 0xa0; /* control, U+0080.. */
        if (whole && c >= 0x20 && c != 0x7f && !c1) {
            put(l, s + i, take);
            i += take;
            continue;
        }
        char b[8];
        int w = c == '\n' ? snprintf(b, sizeof b, "\\n") : snprintf(b, sizeof b, "\\x%02x", c);
        put(l, b, (size_t)w);
        i++;
    }
}

/* As the file has it: its elements may be narrower than what getters widen them to. */
static const char *stored_name(int type)
{
    static const char *const names[GGUF_TYPES] = {
        "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "str", "array", "u64", "i64", "f64"};
    return (unsigned)type < GGUF_TYPES ? names[type] : "?";
}

static void put_array(line *l, const hone_array *a)
{
    char head[64];
    int n = snprintf(head, sizeof head, "[%llu %s: ", (unsigned long long)a->count,
                     stored_name(a->stored));
    put(l, head, (size_t)n);
    for (uint64_t i = 0; i < a->count && !l->full; i++) {
        if (i)
            put(l, ", ", 2);
        const char *s;
        size_t bytes;
        if (hone_array_str(a, i, &s, &bytes)) {
            put(l, "\"", 1);
            put_string(l, s, bytes);
            put(l, "\"", 1);
        } else {
            put_scalar(l, a->stored, a->data + i * hone_gguf_scalar_bytes((uint32_t)a->stored));
        }
    }
    put(l, "]", 1);
}

const char *hone_file_meta_text(const hone_file *f, size_t i, char *text, size_t size)
{
    line l = {text, 0, size, false};
    if (i < f->meta_count) {
        const hone_meta *m = &f->metas[i];
        if (m->type == HONE_META_ARRAY)
            put_array(&l, &m->array);
        else if (m->type == HONE_META_STR)
            put_string(&l, m->string, strlen(m->string));
        else
            put_scalar(&l, m->stored, m->raw);
    }
    if (l.full) {
        memcpy(text + l.used, "...", 3);
        l.used += 3;
    }
    text[l.used] = 0;
    return text;
}
