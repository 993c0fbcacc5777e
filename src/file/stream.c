#include "file/stream.h"

#include <string.h>

enum { ENCODE_BYTES = 1 << 14 };

void hone_bytes_add(hone_bytes *b, const void *data, size_t n)
{
    size_t need;
    if (b->failed || n == 0)
        return;
    if (hone_add_overflow(b->used, n, &need)) {
        b->failed = true;
        return;
    }
    if (need > b->capacity) {
        size_t bigger = b->capacity ? b->capacity : 4096;
        while (bigger < need && bigger <= SIZE_MAX / 2)
            bigger *= 2;
        uint8_t *fresh = hone_realloc(b->data, bigger < need ? need : bigger);
        if (!fresh) {
            b->failed = true;
            return;
        }
        b->data = fresh;
        b->capacity = bigger < need ? need : bigger;
    }
    memcpy(b->data + b->used, data, n);
    b->used = need;
}

hone_status hone_bytes_check(const hone_bytes *b)
{
    return b->failed ? hone_fail_memory(b->used, "the header of a file") : HONE_OK;
}

hone_status hone_stream_open(hone_stream *s, const char *path, size_t alignment)
{
    *s = (hone_stream){.alignment = alignment};
    return hone_writer_open(path, &s->out);
}

hone_status hone_stream_declare(hone_stream *s, const char *name, hone_dtype dtype, int n_dims,
                                const uint64_t *shape)
{
    HONE_TRY(hone_file_check_name(name, strlen(name), HONE_NAME_MAX, "tensor name"));
    if (!hone_dtype_describe(dtype) || n_dims < 1 || n_dims > HONE_MAX_DIMS)
        return hone_fail(HONE_USAGE, "tensor '%.120s': %d dimensions of type %d", name, n_dims,
                         (int)dtype);
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->tensors[i].name, name) == 0)
            return hone_fail(HONE_USAGE, "tensor '%.120s' is declared twice", name);
    if (s->count == s->capacity) {
        size_t bigger = s->capacity ? s->capacity * 2 : 64;
        hone_tensor *fresh = hone_reallocarray(s->tensors, bigger, sizeof *fresh);
        if (!fresh)
            return hone_fail_memory(bigger * sizeof *fresh, "the list of tensors");
        s->tensors = fresh;
        s->capacity = bigger;
    }
    hone_tensor t = {.dtype = (int)dtype, .n_dims = n_dims};
    memcpy(t.shape, shape, (size_t)n_dims * sizeof *shape);
    t.name = hone_arena_strndup(&s->arena, name, strlen(name));
    if (!t.name)
        return hone_fail_memory(strlen(name), "a name");
    uint64_t elements;
    HONE_TRY(hone_file_size_tensor(&t, &elements));
    s->tensors[s->count++] = t;
    return HONE_OK;
}

hone_status hone_stream_write(hone_stream *s, const void *data, size_t bytes)
{
    const uint8_t *p = data;
    while (bytes > 0) {
        if (s->current == s->count)
            return hone_fail(HONE_USAGE, "%zu bytes more than the declared tensors hold", bytes);
        uint64_t left = s->tensors[s->current].bytes - s->done;
        size_t n = bytes < left ? bytes : (size_t)left;
        HONE_TRY(hone_writer_write(s->out, p, n));
        p += n;
        bytes -= n;
        s->done += n;
        if (s->done == s->tensors[s->current].bytes) {
            HONE_TRY(hone_writer_pad(s->out, s->alignment));
            s->current++;
            s->done = 0;
        }
    }
    return HONE_OK;
}

hone_status hone_stream_write_f32(hone_stream *s, const float *values, size_t n)
{
    uint8_t buffer[ENCODE_BYTES];
    if (n == 0)
        return HONE_OK;
    if (s->current == s->count)
        return hone_fail(HONE_USAGE, "%zu values more than the declared tensors hold", n);
    const hone_tensor *t = &s->tensors[s->current];
    const hone_dtype_info *d = hone_dtype_describe((hone_dtype)t->dtype);
    size_t bytes;
    if (!hone_dtype_row_bytes((hone_dtype)t->dtype, n, &bytes) || bytes > t->bytes - s->done)
        return hone_fail(HONE_USAGE,
                         "tensor '%.120s': %zu values are no whole %s blocks or reach beyond its "
                         "end",
                         t->name, n, d->name);
    size_t piece = ENCODE_BYTES / d->block_bytes * d->block_elements;
    for (size_t at = 0; at < n; at += piece) {
        size_t take = n - at < piece ? n - at : piece;
        if (!hone_dtype_encode((hone_dtype)t->dtype, values + at, take, buffer))
            return hone_fail(HONE_FORMAT,
                             "tensor '%.120s' holds values that %s cannot express (NaN, infinite "
                             "or too large); keep it in f32",
                             t->name, d->name);
        HONE_TRY(hone_stream_write(s, buffer, take / d->block_elements * d->block_bytes));
    }
    return HONE_OK;
}

hone_status hone_stream_commit(hone_stream *s)
{
    hone_status status = HONE_OK;
    if (s->current < s->count)
        status =
            hone_fail(HONE_USAGE, "the data of tensor '%.120s' is incomplete: %llu of %llu bytes",
                      s->tensors[s->current].name, (unsigned long long)s->done,
                      (unsigned long long)s->tensors[s->current].bytes);
    if (status == HONE_OK) {
        hone_writer *out = s->out;
        s->out = NULL;
        status = hone_writer_commit(out);
    }
    hone_stream_abort(s);
    return status;
}

void hone_stream_abort(hone_stream *s)
{
    hone_writer_abort(s->out);
    hone_free(s->tensors);
    hone_arena_free(&s->arena);
    *s = (hone_stream){0};
}
