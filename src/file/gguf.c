/* GGUF v2/v3 reader (ggml/docs/gguf.md; byte offsets in docs/format/gguf.md). */
#include "file/internal.h"

#include <stdlib.h>
#include <string.h>

/* Where reading stands; every take checks against the end first. */
typedef struct cursor {
    const uint8_t *data;
    size_t at, end;
} cursor;

static hone_status truncated(const cursor *c, uint64_t need, const char *what)
{
    return hone_fail(HONE_FORMAT,
                     "ends inside %s: %llu bytes needed at byte %zu, %zu left; the file is "
                     "truncated or damaged, fetch it again",
                     what, (unsigned long long)need, c->at, c->end - c->at);
}

static hone_status take(cursor *c, uint64_t n, const char *what, const uint8_t **out)
{
    if (n > c->end - c->at)
        return truncated(c, n, what);
    *out = c->data + c->at;
    c->at += (size_t)n;
    return HONE_OK;
}

static hone_status take_u32(cursor *c, const char *what, uint32_t *out)
{
    const uint8_t *p = c->data;
    HONE_TRY(take(c, 4, what, &p));
    memcpy(out, p, 4);
    return HONE_OK;
}

static hone_status take_u64(cursor *c, const char *what, uint64_t *out)
{
    const uint8_t *p = c->data;
    HONE_TRY(take(c, 8, what, &p));
    memcpy(out, p, 8);
    return HONE_OK;
}

static hone_status take_string(cursor *c, const char *what, const char **s, size_t *n)
{
    uint64_t length = 0;
    const uint8_t *p = c->data;
    HONE_TRY(take_u64(c, what, &length));
    HONE_TRY(take(c, length, what, &p));
    *s = (const char *)p;
    *n = (size_t)length;
    return HONE_OK;
}

static hone_status take_string_array(hone_file *f, cursor *c, hone_array *a)
{
    if (a->count > (c->end - c->at) / 8)
        return truncated(c, a->count * 8, "an array of strings");
    uint64_t *start = hone_arena_alloc(&f->arena, (size_t)a->count * sizeof *start);
    if (!start)
        return hone_fail_memory((size_t)a->count * sizeof *start, "an array of strings");
    size_t base = c->at;
    for (uint64_t i = 0; i < a->count; i++) {
        const char *s = NULL;
        size_t n;
        start[i] = c->at - base;
        HONE_TRY(take_string(c, "an array of strings", &s, &n));
    }
    a->start = start;
    return HONE_OK;
}

static hone_status take_array(hone_file *f, cursor *c, hone_meta *m)
{
    uint32_t stored = 0;
    hone_array *a = &m->array;
    HONE_TRY(take_u32(c, "an array", &stored));
    HONE_TRY(take_u64(c, "an array", &a->count));
    if (stored == GGUF_ARRAY)
        return hone_fail(HONE_UNSUPPORTED, "arrays of arrays are not read");
    if (stored >= GGUF_TYPES)
        return hone_fail(HONE_FORMAT, "array elements have the unknown type %u", stored);
    a->stored = (int)stored;
    a->type = hone_gguf_meta_type(stored);
    a->data = c->data + c->at;
    if (stored == GGUF_STRING)
        return take_string_array(f, c, a);
    size_t width = hone_gguf_scalar_bytes(stored), bytes;
    const uint8_t *p = c->data;
    if (hone_mul_overflow(a->count, width, &bytes))
        return truncated(c, UINT64_MAX, "an array");
    HONE_TRY(take(c, bytes, "an array", &p));
    if (stored == GGUF_BOOL)
        for (size_t i = 0; i < bytes; i++)
            if (p[i] > 1)
                return hone_fail(HONE_FORMAT, "element %zu is %u, a bool is 0 or 1", i, p[i]);
    return HONE_OK;
}

static hone_status take_value(hone_file *f, cursor *c, hone_meta *m)
{
    size_t begin = c->at;
    const uint8_t *p = c->data;
    if (m->stored == GGUF_STRING) {
        const char *s = NULL;
        size_t n;
        HONE_TRY(take_string(c, "a string", &s, &n));
        if (!hone_file_is_utf8(s, n))
            return hone_fail(HONE_FORMAT, "the string is no valid UTF-8 or holds a 0 byte");
        HONE_TRY(hone_file_keep(f, s, n, &m->string));
    } else if (m->stored == GGUF_ARRAY) {
        HONE_TRY(take_array(f, c, m));
    } else {
        HONE_TRY(take(c, hone_gguf_scalar_bytes((uint32_t)m->stored), "a value", &p));
        if (m->stored == GGUF_BOOL && p[0] > 1)
            return hone_fail(HONE_FORMAT, "the value is %u, a bool is 0 or 1", p[0]);
    }
    m->raw = c->data + begin;
    m->raw_bytes = c->at - begin;
    return HONE_OK;
}

static hone_status take_meta(hone_file *f, cursor *c)
{
    const char *key = NULL;
    size_t n = 0;
    uint32_t type = 0;
    hone_meta m = {0};
    HONE_TRY(take_string(c, "a metadata key", &key, &n));
    HONE_TRY(hone_file_check_name(key, n, HONE_KEY_MAX, "metadata key"));
    HONE_TRY(hone_file_keep(f, key, n, &m.key));
    HONE_TRY(take_u32(c, "the type of a metadata value", &type));
    if (type >= GGUF_TYPES)
        return hone_fail(HONE_FORMAT, "metadata key '%.120s' has the unknown type %u", m.key, type);
    m.stored = (int)type;
    m.type = hone_gguf_meta_type(type);
    hone_status s = take_value(f, c, &m);
    if (s != HONE_OK)
        return hone_fail_in(s, "metadata key '%.120s'", m.key);
    return hone_file_add_meta(f, &m);
}

static hone_status take_dtype(cursor *c, hone_tensor *t)
{
    uint32_t id = 0;
    hone_dtype dtype;
    HONE_TRY(take_u32(c, "a tensor's description", &id));
    if (!hone_dtype_by_ggml(id, &dtype)) {
        const char *known = hone_dtype_ggml_name(id);
        if (known)
            return hone_fail(HONE_UNSUPPORTED,
                             "tensor '%.120s' has type %s (ggml id %u), which hone does not read",
                             t->name, known, id);
        return hone_fail(HONE_UNSUPPORTED, "tensor '%.120s' has the unknown ggml type id %u",
                         t->name, id);
    }
    t->dtype = (int)dtype;
    return HONE_OK;
}

/* Reads one tensor's description; *offset is relative to the data. */
static hone_status take_tensor(hone_file *f, cursor *c, hone_tensor *t, uint64_t *offset)
{
    const char *name = NULL, *const what = "a tensor's description";
    size_t n = 0;
    uint32_t n_dims = 0;
    *t = (hone_tensor){0};
    HONE_TRY(take_string(c, what, &name, &n));
    HONE_TRY(hone_file_check_name(name, n, HONE_NAME_MAX, "tensor name"));
    HONE_TRY(hone_file_keep(f, name, n, &t->name));
    HONE_TRY(take_u32(c, what, &n_dims));
    if (n_dims > HONE_GGUF_DIMS)
        return hone_fail(HONE_FORMAT, "tensor '%.120s' has %u dimensions, at most %d are allowed",
                         t->name, n_dims, HONE_GGUF_DIMS);
    for (uint32_t i = 0; i < n_dims; i++) /* GGUF: fastest dimension first */
        HONE_TRY(take_u64(c, what, &t->shape[n_dims - 1 - i]));
    t->n_dims = (int)n_dims;
    if (n_dims == 0) {
        t->n_dims = 1;
        t->shape[0] = 1;
    }
    HONE_TRY(take_dtype(c, t));
    HONE_TRY(take_u64(c, what, offset));
    uint64_t elements;
    return hone_file_size_tensor(t, &elements);
}

static hone_status read_alignment(const hone_file *f, uint64_t *alignment)
{
    HONE_TRY(hone_file_u64_or(f, "general.alignment", 32, alignment));
    if (*alignment == 0 || *alignment > (1u << 30) || (*alignment & (*alignment - 1)) != 0)
        return hone_fail(HONE_FORMAT, "general.alignment is %llu, it must be a power of two",
                         (unsigned long long)*alignment);
    return HONE_OK;
}

static int by_data(const void *a, const void *b)
{
    const hone_tensor *x = *(const hone_tensor *const *)a, *y = *(const hone_tensor *const *)b;
    return x->data < y->data ? -1 : x->data > y->data;
}

static hone_status check_overlap(const hone_file *f)
{
    size_t n = f->tensor_count;
    if (n == 0)
        return HONE_OK;
    const hone_tensor **sorted = hone_reallocarray(NULL, n, sizeof(void *));
    if (!sorted)
        return hone_fail_memory(n * sizeof(void *), "the order of tensors");
    for (size_t i = 0; i < n; i++)
        sorted[i] = &f->tensors[i];
    qsort(sorted, n, sizeof(void *), by_data);
    hone_status s = HONE_OK;
    for (size_t i = 1; s == HONE_OK && i < n; i++)
        if ((size_t)(sorted[i]->data - sorted[i - 1]->data) < sorted[i - 1]->bytes)
            s = hone_fail(HONE_FORMAT, "the data of tensors '%.120s' and '%.120s' overlap",
                          sorted[i - 1]->name, sorted[i]->name);
    hone_free(sorted);
    return s;
}

static hone_status read_tensors(hone_file *f, cursor *c, uint64_t count)
{
    uint64_t alignment = 0;
    HONE_TRY(read_alignment(f, &alignment));
    uint64_t *offsets = hone_reallocarray(NULL, (size_t)count, sizeof *offsets);
    if (!offsets)
        return hone_fail_memory((size_t)count * sizeof *offsets, "the offsets of tensors");
    hone_status s = HONE_OK;
    for (uint64_t i = 0; s == HONE_OK && i < count; i++) {
        hone_tensor t;
        s = take_tensor(f, c, &t, &offsets[i]);
        if (s == HONE_OK)
            s = hone_file_add_tensor(f, &t);
    }
    size_t start = c->at + (size_t)((alignment - c->at % alignment) % alignment);
    for (uint64_t i = 0; s == HONE_OK && i < count; i++) {
        hone_tensor *t = &f->tensors[i];
        size_t room = start < c->end ? c->end - start : 0;
        if (offsets[i] % alignment != 0)
            s = hone_fail(HONE_FORMAT,
                          "tensor '%.120s' is at offset %llu, no multiple of the alignment %llu",
                          t->name, (unsigned long long)offsets[i], (unsigned long long)alignment);
        else if (offsets[i] > room || t->bytes > room - offsets[i])
            s = hone_fail(HONE_FORMAT,
                          "tensor '%.120s' (%llu bytes at data offset %llu) reaches beyond the end "
                          "of the file (%zu bytes of data); the file is truncated or damaged, "
                          "fetch it again",
                          t->name, (unsigned long long)t->bytes, (unsigned long long)offsets[i],
                          room);
        else
            t->data = c->data + start + offsets[i];
    }
    hone_free(offsets);
    return s == HONE_OK ? check_overlap(f) : s;
}

static hone_status read_header(hone_file *f, cursor *c, uint64_t *tensors, uint64_t *metas)
{
    const uint8_t *magic = NULL;
    HONE_TRY(take(c, 4, "the GGUF header", &magic));
    if (memcmp(magic, "GGUF", 4) != 0)
        return hone_fail(HONE_FORMAT, "does not begin with GGUF; it is no GGUF file");
    HONE_TRY(take_u32(c, "the GGUF header", &f->version));
    if ((f->version & 0xffff) == 0 && f->version != 0)
        return hone_fail(HONE_UNSUPPORTED, "is a big-endian GGUF; only little-endian is read");
    if (f->version != 2 && f->version != 3)
        return hone_fail(HONE_UNSUPPORTED, "is GGUF version %u; versions 2 and 3 are read",
                         f->version);
    HONE_TRY(take_u64(c, "the GGUF header", tensors));
    HONE_TRY(take_u64(c, "the GGUF header", metas));
    /* The smallest entry: a key of one byte, a type and one byte; a name of one byte and no dims.
     */
    if (*metas > (c->end - c->at) / (8 + 1 + 4 + 1) || *metas > HONE_ENTRIES_MAX)
        return hone_fail(HONE_FORMAT, "claims %llu metadata keys in %zu bytes",
                         (unsigned long long)*metas, c->end);
    if (*tensors > (c->end - c->at) / (8 + 1 + 4 + 4 + 8) || *tensors > HONE_ENTRIES_MAX)
        return hone_fail(HONE_FORMAT, "claims %llu tensors in %zu bytes",
                         (unsigned long long)*tensors, c->end);
    return HONE_OK;
}

static hone_status read_all(hone_file *f, cursor *c)
{
    uint64_t tensors = 0, metas = 0;
    HONE_TRY(read_header(f, c, &tensors, &metas));
    for (uint64_t i = 0; i < metas; i++)
        HONE_TRY(take_meta(f, c));
    return read_tensors(f, c, tensors);
}

hone_status hone_file_read_gguf(hone_file *f, const hone_map *m)
{
    cursor c = {m->data, 0, m->bytes};
    hone_status s = read_all(f, &c);
    return s == HONE_OK ? s : hone_fail_in(s, "%s", m->path);
}

uint64_t hone_file_gguf_parts(const hone_file *f)
{
    uint64_t parts = 0;
    return hone_file_u64_or(f, "split.count", 1, &parts) == HONE_OK ? parts : 0;
}
