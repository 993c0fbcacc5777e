/* Uses everything that an opened file offers, as a careless caller would. For fuzzing and hostile
 * tests. */
#ifndef HONE_TESTS_FILE_TOUCH_H
#define HONE_TESTS_FILE_TOUCH_H

#include "file/internal.h"

#include <stdlib.h>
#include <string.h>

static inline void touch_key(const hone_file *f, const char *key)
{
    uint64_t u;
    int64_t i;
    double d;
    bool b;
    const char *s;
    size_t n;
    hone_array a;
    if (!hone_file_has(f, key))
        abort(); /* an enumerated key must be found */
    volatile size_t sink = (size_t)hone_file_u64(f, key, &u) + (size_t)hone_file_i64(f, key, &i) +
                           (size_t)hone_file_f64(f, key, &d) + (size_t)hone_file_bool(f, key, &b);
    if (hone_file_str(f, key, &s) == HONE_OK)
        sink = strlen(s);
    if (hone_file_array(f, key, &a) != HONE_OK)
        return;
    for (uint64_t k = 0; k <= a.count; k++) {
        sink = (size_t)hone_array_u64(&a, k, &u) + (size_t)hone_array_i64(&a, k, &i) +
               (size_t)hone_array_f64(&a, k, &d) + (size_t)hone_array_bool(&a, k, &b);
        if (hone_array_str(&a, k, &s, &n))
            for (size_t c = 0; c < n; c++)
                sink = (size_t)s[c];
    }
    (void)sink;
}

static inline void touch_file(const hone_file *f)
{
    char text[80];
    for (size_t i = 0; i < hone_file_meta_count(f); i++) {
        touch_key(f, hone_file_meta_key(f, i));
        for (size_t size = 16; size <= sizeof text; size += 32)
            if (strlen(hone_file_meta_text(f, i, text, size)) >= size)
                abort();
    }
    for (size_t i = 0; i < hone_file_tensor_count(f); i++) {
        const hone_tensor *t = hone_file_tensor_at(f, i);
        volatile uint8_t sink = 0;
        if (hone_file_tensor(f, t->name) != t || t->n_dims < 1 || t->n_dims > HONE_MAX_DIMS)
            abort();
        for (uint64_t b = 0; b < t->bytes; b++)
            sink = t->data[b];
        (void)sink;
        const hone_dtype_info *d = hone_dtype_describe((hone_dtype)t->dtype);
        float block[32];
        if (hone_tensor_elements(t) / d->block_elements * d->block_bytes != t->bytes ||
            (t->bytes > 0 &&
             !hone_dtype_decode((hone_dtype)t->dtype, t->data, d->block_elements, block)))
            abort();
    }
    hone_file_sum types[HONE_DTYPE_COUNT], total;
    hone_file_describe(f, types, &total);
}

static inline int touch_bytes(hone_file_kind_id kind, const uint8_t *data, size_t size)
{
    hone_file *f = NULL;
    hone_status s = hone_file_open_bytes(kind, data, size, &f);
    if (s == HONE_OK)
        touch_file(f);
    else if (f || hone_error()[0] == 0)
        abort(); /* a failure says why, and leaves nothing */
    hone_file_close(f);
    return 0;
}

#endif
