/* GGUF v3 writer. The metadata is kept as bytes until the first data (or commit) fixes the header.
 */
#include "file/stream.h"
#include "file/write.h"

#include <string.h>

enum { ALIGNMENT = 32 };

struct hone_gguf_writer {
    hone_stream stream;
    hone_bytes metas;
    hone_bytes preview; /* what hone_gguf_writer_preview reads */
    json_t *keys;       /* the set of keys: name -> true */
    uint64_t meta_count;
    bool begun; /* the header is written */
};

hone_status hone_gguf_writer_open(const char *path, hone_gguf_writer **out)
{
    *out = NULL;
    hone_gguf_writer *w = hone_calloc(1, sizeof *w);
    if (!w)
        return hone_fail_memory(sizeof *w, "a GGUF writer");
    hone_status s = hone_json_parse("{}", 2, 1, 1u << 4, "keys", &w->keys);
    if (s == HONE_OK)
        s = hone_stream_open(&w->stream, path, ALIGNMENT);
    if (s != HONE_OK) {
        hone_gguf_writer_abort(w);
        return s;
    }
    *out = w;
    return HONE_OK;
}

/* Appends key and type; the value's bytes follow. */
static hone_status begin_meta(hone_gguf_writer *w, const char *key, uint32_t stored)
{
    uint64_t n = strlen(key);
    if (w->begun)
        return hone_fail(HONE_USAGE, "metadata key '%.120s' is set after data was written", key);
    if (hone_file_check_name(key, n, HONE_KEY_MAX, "metadata key") != HONE_OK)
        return hone_fail_in(HONE_USAGE, "'%.120s'", key);
    if (json_object_get(w->keys, key))
        return hone_fail(HONE_USAGE, "metadata key '%.120s' is set twice", key);
    if (json_object_set_new(w->keys, key, json_true()) != 0)
        return hone_fail_memory(n, "a metadata key");
    w->meta_count++;
    hone_bytes_add(&w->metas, &n, 8);
    hone_bytes_add(&w->metas, key, n);
    hone_bytes_add(&w->metas, &stored, 4);
    return HONE_OK;
}

static hone_status add_meta(hone_gguf_writer *w, const char *key, uint32_t stored,
                            const void *value, size_t bytes)
{
    HONE_TRY(begin_meta(w, key, stored));
    hone_bytes_add(&w->metas, value, bytes);
    return hone_bytes_check(&w->metas);
}

hone_status hone_gguf_writer_u32(hone_gguf_writer *w, const char *key, uint32_t value)
{
    return add_meta(w, key, GGUF_U32, &value, sizeof value);
}

hone_status hone_gguf_writer_u64(hone_gguf_writer *w, const char *key, uint64_t value)
{
    return add_meta(w, key, GGUF_U64, &value, sizeof value);
}

hone_status hone_gguf_writer_i32(hone_gguf_writer *w, const char *key, int32_t value)
{
    return add_meta(w, key, GGUF_I32, &value, sizeof value);
}

hone_status hone_gguf_writer_f32(hone_gguf_writer *w, const char *key, float value)
{
    return add_meta(w, key, GGUF_F32, &value, sizeof value);
}

hone_status hone_gguf_writer_bool(hone_gguf_writer *w, const char *key, bool value)
{
    uint8_t byte = value;
    return add_meta(w, key, GGUF_BOOL, &byte, sizeof byte);
}

static void add_string(hone_gguf_writer *w, const char *s, uint64_t n)
{
    hone_bytes_add(&w->metas, &n, 8);
    hone_bytes_add(&w->metas, s, n);
}

hone_status hone_gguf_writer_str(hone_gguf_writer *w, const char *key, const char *value)
{
    if (!hone_file_is_utf8(value, strlen(value)))
        return hone_fail(HONE_USAGE, "metadata key '%.120s': the value is no valid UTF-8", key);
    HONE_TRY(begin_meta(w, key, GGUF_STRING));
    add_string(w, value, strlen(value));
    return hone_bytes_check(&w->metas);
}

static hone_status begin_array(hone_gguf_writer *w, const char *key, uint32_t stored,
                               uint64_t count)
{
    HONE_TRY(begin_meta(w, key, GGUF_ARRAY));
    hone_bytes_add(&w->metas, &stored, 4);
    hone_bytes_add(&w->metas, &count, 8);
    return HONE_OK;
}

hone_status hone_gguf_writer_str_array(hone_gguf_writer *w, const char *key,
                                       const char *const *strings, const size_t *bytes,
                                       size_t count)
{
    HONE_TRY(begin_array(w, key, GGUF_STRING, count));
    for (size_t i = 0; i < count; i++)
        add_string(w, strings[i], bytes ? bytes[i] : strlen(strings[i]));
    return hone_bytes_check(&w->metas);
}

hone_status hone_gguf_writer_f32_array(hone_gguf_writer *w, const char *key, const float *values,
                                       size_t count)
{
    HONE_TRY(begin_array(w, key, GGUF_F32, count));
    hone_bytes_add(&w->metas, values, count * sizeof *values);
    return hone_bytes_check(&w->metas);
}

hone_status hone_gguf_writer_i32_array(hone_gguf_writer *w, const char *key, const int32_t *values,
                                       size_t count)
{
    HONE_TRY(begin_array(w, key, GGUF_I32, count));
    hone_bytes_add(&w->metas, values, count * sizeof *values);
    return hone_bytes_check(&w->metas);
}

hone_status hone_gguf_writer_u8_array(hone_gguf_writer *w, const char *key, const void *values,
                                      size_t count)
{
    HONE_TRY(begin_array(w, key, GGUF_U8, count));
    hone_bytes_add(&w->metas, values, count);
    return hone_bytes_check(&w->metas);
}

hone_status hone_gguf_writer_copy(hone_gguf_writer *w, const hone_file *f, size_t i)
{
    if (i >= f->meta_count)
        return hone_fail(HONE_USAGE, "there is no metadata entry %zu", i);
    const hone_meta *m = &f->metas[i];
    return add_meta(w, m->key, (uint32_t)m->stored, m->raw, m->raw_bytes);
}

hone_status hone_gguf_writer_tensor(hone_gguf_writer *w, const char *name, hone_dtype dtype,
                                    int n_dims, const uint64_t *shape)
{
    const hone_dtype_info *d = hone_dtype_describe(dtype);
    if (w->begun)
        return hone_fail(HONE_USAGE, "tensor '%.120s' is declared after data was written", name);
    if (d && d->ggml < 0)
        return hone_fail(HONE_UNSUPPORTED, "tensor '%.120s': GGUF has no type %s", name, d->name);
    if (n_dims > HONE_GGUF_DIMS)
        return hone_fail(HONE_UNSUPPORTED,
                         "tensor '%.120s': GGUF has at most %d dimensions, not %d", name,
                         HONE_GGUF_DIMS, n_dims);
    return hone_stream_declare(&w->stream, name, dtype, n_dims, shape);
}

static void describe_tensor(hone_bytes *b, const hone_tensor *t, uint64_t offset)
{
    uint64_t n = strlen(t->name);
    uint32_t n_dims = (uint32_t)t->n_dims;
    uint32_t type = (uint32_t)hone_dtype_describe((hone_dtype)t->dtype)->ggml;
    hone_bytes_add(b, &n, 8);
    hone_bytes_add(b, t->name, n);
    hone_bytes_add(b, &n_dims, 4);
    for (int i = t->n_dims - 1; i >= 0; i--)
        hone_bytes_add(b, &t->shape[i], 8);
    hone_bytes_add(b, &type, 4);
    hone_bytes_add(b, &offset, 8);
}

static void put_head(const hone_gguf_writer *w, uint64_t tensors, hone_bytes *head)
{
    uint32_t version = 3;
    hone_bytes_add(head, "GGUF", 4);
    hone_bytes_add(head, &version, 4);
    hone_bytes_add(head, &tensors, 8);
    hone_bytes_add(head, &w->meta_count, 8);
    hone_bytes_add(head, w->metas.data, w->metas.used);
}

hone_status hone_gguf_writer_preview(hone_gguf_writer *w, hone_file **out)
{
    *out = NULL;
    w->preview.used = 0;
    put_head(w, 0, &w->preview);
    HONE_TRY(hone_bytes_check(&w->preview));
    return hone_file_open_bytes(HONE_FILE_GGUF, w->preview.data, w->preview.used, out);
}

/* Writes everything before the data. */
static hone_status begin_data(hone_gguf_writer *w)
{
    if (w->begun)
        return HONE_OK;
    w->begun = true;
    hone_stream *s = &w->stream;
    uint64_t offset = 0;
    hone_bytes head = {0};
    put_head(w, s->count, &head);
    for (size_t i = 0; i < s->count; i++) {
        describe_tensor(&head, &s->tensors[i], offset);
        offset += (s->tensors[i].bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    hone_status status = hone_bytes_check(&head);
    if (status == HONE_OK)
        status = hone_writer_write(s->out, head.data, head.used);
    if (status == HONE_OK && s->count)
        status = hone_writer_pad(s->out, ALIGNMENT);
    hone_free(head.data);
    return status;
}

hone_status hone_gguf_writer_write(hone_gguf_writer *w, const void *data, size_t bytes)
{
    HONE_TRY(begin_data(w));
    return hone_stream_write(&w->stream, data, bytes);
}

hone_status hone_gguf_writer_write_f32(hone_gguf_writer *w, const float *values, size_t n)
{
    HONE_TRY(begin_data(w));
    return hone_stream_write_f32(&w->stream, values, n);
}

hone_status hone_gguf_writer_commit(hone_gguf_writer *w)
{
    hone_status s = begin_data(w);
    if (s == HONE_OK)
        s = hone_stream_commit(&w->stream);
    hone_gguf_writer_abort(w);
    return s;
}

void hone_gguf_writer_abort(hone_gguf_writer *w)
{
    if (!w)
        return;
    hone_stream_abort(&w->stream);
    hone_free(w->metas.data);
    hone_free(w->preview.data);
    json_decref(w->keys);
    hone_free(w);
}
