/* safetensors writer: the header is fixed by the first data (or commit). */
#include "file/stream.h"
#include "file/write.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER_ALIGNMENT = 8 };

struct hone_safetensors_writer {
    hone_stream stream;
    json_t *metadata;
    bool begun;
};

hone_status hone_safetensors_writer_open(const char *path, hone_safetensors_writer **out)
{
    static const char start[] = "{\"format\":\"pt\"}";
    *out = NULL;
    hone_safetensors_writer *w = hone_calloc(1, sizeof *w);
    if (!w)
        return hone_fail_memory(sizeof *w, "a safetensors writer");
    hone_status s = hone_json_parse(start, sizeof start - 1, 1, 1u << 4, "metadata", &w->metadata);
    if (s == HONE_OK)
        s = hone_stream_open(&w->stream, path, 1);
    if (s != HONE_OK) {
        hone_safetensors_writer_abort(w);
        return s;
    }
    *out = w;
    return HONE_OK;
}

hone_status hone_safetensors_writer_str(hone_safetensors_writer *w, const char *key,
                                        const char *value)
{
    if (w->begun)
        return hone_fail(HONE_USAGE, "metadata '%.120s' is set after data was written", key);
    if (!hone_file_is_utf8(key, strlen(key)) || !hone_file_is_utf8(value, strlen(value)))
        return hone_fail(HONE_USAGE, "metadata is no valid UTF-8");
    json_t *v = json_string(value);
    if (!v || json_object_set_new(w->metadata, key, v) != 0)
        return hone_fail_memory(strlen(value), "metadata");
    return HONE_OK;
}

hone_status hone_safetensors_writer_tensor(hone_safetensors_writer *w, const char *name,
                                           hone_dtype dtype, int n_dims, const uint64_t *shape)
{
    const hone_dtype_info *d = hone_dtype_describe(dtype);
    if (w->begun)
        return hone_fail(HONE_USAGE, "tensor '%.120s' is declared after data was written", name);
    if (d && !d->safetensors)
        return hone_fail(HONE_UNSUPPORTED,
                         "tensor '%.120s': safetensors has no type %s; write GGUF instead", name,
                         d->name);
    if (strcmp(name, "__metadata__") == 0)
        return hone_fail(HONE_USAGE, "a tensor cannot be called __metadata__");
    return hone_stream_declare(&w->stream, name, dtype, n_dims, shape);
}

/* A JSON object for one tensor; NULL = no memory. */
static json_t *describe_tensor(const hone_tensor *t, uint64_t offset)
{
    json_t *shape = json_array();
    uint64_t end = offset + t->bytes;
    for (int i = 0; shape && i < t->n_dims; i++)
        if (json_array_append_new(shape, json_integer((json_int_t)t->shape[i])) != 0) {
            json_decref(shape);
            return NULL;
        }
    if (!shape)
        return NULL;
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype",
                     hone_dtype_describe((hone_dtype)t->dtype)->safetensors, "shape", shape,
                     "data_offsets", (json_int_t)offset, (json_int_t)end);
}

/* The header's text (hone_free), or NULL = no memory. */
static char *header_text(hone_safetensors_writer *w)
{
    json_t *root = json_object();
    uint64_t offset = 0;
    bool ok = root && json_object_set(root, "__metadata__", w->metadata) == 0;
    for (size_t i = 0; ok && i < w->stream.count; i++) {
        const hone_tensor *t = &w->stream.tensors[i];
        json_t *item = describe_tensor(t, offset);
        ok = item && json_object_set_new(root, t->name, item) == 0;
        offset += t->bytes;
    }
    char *text = ok ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return text;
}

static hone_status begin_data(hone_safetensors_writer *w)
{
    if (w->begun)
        return HONE_OK;
    w->begun = true;
    char *text = header_text(w);
    if (!text)
        return hone_fail_memory(w->stream.count * 128, "the header of a safetensors file");
    size_t n = strlen(text);
    uint64_t length = (n + HEADER_ALIGNMENT - 1) / HEADER_ALIGNMENT * HEADER_ALIGNMENT;
    hone_status s = HONE_OK;
    if (length > HONE_HEADER_MAX)
        s = hone_fail(HONE_LIMIT, "the header is larger than %zu bytes; write several files",
                      HONE_HEADER_MAX);
    if (s == HONE_OK)
        s = hone_writer_write(w->stream.out, &length, 8);
    if (s == HONE_OK)
        s = hone_writer_write(w->stream.out, text, n);
    if (s == HONE_OK)
        s = hone_writer_write(w->stream.out, "        ", (size_t)length - n);
    hone_free(text);
    return s;
}

hone_status hone_safetensors_writer_write(hone_safetensors_writer *w, const void *data,
                                          size_t bytes)
{
    HONE_TRY(begin_data(w));
    return hone_stream_write(&w->stream, data, bytes);
}

hone_status hone_safetensors_writer_write_f32(hone_safetensors_writer *w, const float *values,
                                              size_t n)
{
    HONE_TRY(begin_data(w));
    return hone_stream_write_f32(&w->stream, values, n);
}

hone_status hone_safetensors_writer_commit(hone_safetensors_writer *w)
{
    hone_status s = begin_data(w);
    if (s == HONE_OK)
        s = hone_stream_commit(&w->stream);
    hone_safetensors_writer_abort(w);
    return s;
}

void hone_safetensors_writer_abort(hone_safetensors_writer *w)
{
    if (!w)
        return;
    hone_stream_abort(&w->stream);
    json_decref(w->metadata);
    hone_free(w);
}
