#include "compress/imatrix.h"

#include "base/io.h"
#include "base/mem.h"
#include "file/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRIES_MAX = 1 << 17, NAME_MAX_BYTES = 511 };

typedef struct entry {
    char *name;
    float *values;
    size_t count;
} entry;

struct hone_imatrix {
    hone_arena arena;
    entry *entries;
    size_t count, capacity;
};

static hone_status new_matrix(hone_imatrix **out)
{
    *out = hone_calloc(1, sizeof **out);
    if (!*out)
        return hone_fail_memory(sizeof **out, "an importance matrix");
    return HONE_OK;
}

void hone_imatrix_close(hone_imatrix *m)
{
    if (!m)
        return;
    hone_arena_free(&m->arena);
    hone_free(m->entries);
    hone_free(m);
}

/* One more entry of n values, which the caller fills. */
static hone_status add_entry(hone_imatrix *m, const char *name, size_t bytes, size_t n,
                             float **values)
{
    if (m->count == m->capacity) {
        size_t bigger = m->capacity ? 2 * m->capacity : 64;
        if (m->count >= ENTRIES_MAX)
            return hone_fail(HONE_LIMIT, "more than %d entries", ENTRIES_MAX);
        entry *fresh = hone_reallocarray(m->entries, bigger, sizeof *fresh);
        if (!fresh)
            return hone_fail_memory(bigger * sizeof *fresh, "an importance matrix");
        m->entries = fresh;
        m->capacity = bigger;
    }
    entry *e = &m->entries[m->count];
    e->name = hone_arena_strndup(&m->arena, name, bytes);
    e->values = hone_arena_alloc(&m->arena, n * sizeof(float));
    e->count = n;
    if (!e->name || !e->values)
        return hone_fail_memory(n * sizeof(float), "an importance matrix");
    m->count++;
    *values = e->values;
    return HONE_OK;
}

static hone_status check_values(const entry *e)
{
    for (size_t i = 0; i < e->count; i++)
        if (!isfinite(e->values[i]) || e->values[i] < 0.0f)
            return hone_fail(HONE_FORMAT, "%.120s: value %zu is negative or no number", e->name, i);
    return HONE_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->name, ((const entry *)b)->name);
}

static hone_status finish(hone_imatrix *m)
{
    if (m->count == 0)
        return hone_fail(HONE_FORMAT, "holds no entries; it is no importance matrix");
    qsort(m->entries, m->count, sizeof *m->entries, by_name);
    for (size_t i = 0; i < m->count; i++) {
        HONE_TRY(check_values(&m->entries[i]));
        if (i && strcmp(m->entries[i].name, m->entries[i - 1].name) == 0)
            return hone_fail(HONE_FORMAT, "%.120s appears twice", m->entries[i].name);
    }
    return HONE_OK;
}

/* ---- .dat: entries of {length, name, calls, count, values}; little-endian int32 and float ---- */

typedef struct cursor {
    const uint8_t *at;
    size_t left;
} cursor;

static hone_status take(cursor *c, size_t bytes, const uint8_t **out)
{
    if (bytes > c->left)
        return hone_fail(HONE_FORMAT, "ends too early: %zu bytes needed, %zu left", bytes, c->left);
    *out = c->at;
    c->at += bytes;
    c->left -= bytes;
    return HONE_OK;
}

static hone_status take_count(cursor *c, int32_t max, const char *what, int32_t *out)
{
    const uint8_t *p = c->at;
    HONE_TRY(take(c, 4, &p));
    memcpy(out, p, 4);
    if (*out < 0 || *out > max)
        return hone_fail(HONE_FORMAT, "%s is %d; 0 to %d are read", what, *out, max);
    return HONE_OK;
}

static hone_status take_entry(hone_imatrix *m, cursor *c)
{
    int32_t length = 0, calls = 0, n = 0;
    const uint8_t *name = NULL, *data = NULL;
    float *values = NULL;
    HONE_TRY(take_count(c, NAME_MAX_BYTES, "the length of a name", &length));
    HONE_TRY(take(c, (size_t)length, &name));
    if (length == 0 || memchr(name, 0, (size_t)length))
        return hone_fail(HONE_FORMAT, "an entry has no name");
    HONE_TRY(take_count(c, INT32_MAX, "a number of calls", &calls));
    HONE_TRY(take_count(c, INT32_MAX, "a number of values", &n));
    HONE_TRY(take(c, (size_t)n * 4, &data));
    HONE_TRY(add_entry(m, (const char *)name, (size_t)length, (size_t)n, &values));
    memcpy(values, data, (size_t)n * 4);
    return HONE_OK;
}

static hone_status read_dat(hone_imatrix *m, const void *data, size_t bytes)
{
    cursor c = {data, bytes};
    int32_t entries = 0;
    HONE_TRY(take_count(&c, ENTRIES_MAX, "the number of entries", &entries));
    for (int32_t i = 0; i < entries; i++)
        HONE_TRY(take_entry(m, &c));
    return finish(m); /* what follows tells how it was made */
}

hone_status hone_imatrix_read(const void *data, size_t bytes, hone_imatrix **out)
{
    hone_imatrix *m = NULL;
    *out = NULL;
    HONE_TRY(new_matrix(&m));
    hone_status s = read_dat(m, data, bytes);
    if (s != HONE_OK)
        hone_imatrix_close(m);
    else
        *out = m;
    return s;
}

/* ---- GGUF: NAME.in_sum2 [matrices][k] and NAME.counts [matrices][1] ----------------------------
 */

static hone_status take_tensor(hone_imatrix *m, const hone_file *f, const hone_tensor *sums,
                               size_t stem)
{
    char name[NAME_MAX_BYTES + 16];
    snprintf(name, sizeof name, "%.*s.counts", (int)stem, sums->name);
    const hone_tensor *counts = hone_file_tensor(f, name);
    uint64_t k = sums->shape[sums->n_dims - 1], n = hone_tensor_elements(sums);
    if (!counts || hone_tensor_elements(counts) != n / k || counts->dtype != HONE_DTYPE_F32 ||
        sums->dtype != HONE_DTYPE_F32)
        return hone_fail(HONE_FORMAT, "%.120s has no %.120s of %llu float32 numbers", sums->name,
                         name, (unsigned long long)(n / k));
    float *values = NULL, count = 0.0f;
    HONE_TRY(add_entry(m, sums->name, stem, (size_t)n, &values));
    memcpy(values, sums->data, (size_t)n * 4);
    for (size_t i = 0; i < n; i++) {
        if (i % k == 0)
            memcpy(&count, counts->data + i / k * 4, 4);
        values[i] = count > 0.0f ? values[i] / count : 1.0f; /* an expert that nobody asked */
    }
    return HONE_OK;
}

static hone_status read_gguf(hone_imatrix *m, const hone_file *f)
{
    static const char end[] = ".in_sum2";
    for (size_t i = 0; i < hone_file_tensor_count(f); i++) {
        const hone_tensor *t = hone_file_tensor_at(f, i);
        size_t n = strlen(t->name);
        if (n > sizeof end - 1 && strcmp(t->name + n - (sizeof end - 1), end) == 0)
            HONE_TRY(take_tensor(m, f, t, n - (sizeof end - 1)));
    }
    return finish(m);
}

static hone_status open_gguf(const char *path, hone_imatrix **out)
{
    hone_file *f;
    hone_imatrix *m = NULL;
    HONE_TRY(hone_file_open(path, &f));
    hone_status s = new_matrix(&m);
    if (s == HONE_OK)
        s = read_gguf(m, f);
    if (s != HONE_OK)
        hone_imatrix_close(m);
    else
        *out = m;
    hone_file_close(f);
    return s == HONE_OK ? s : hone_fail_in(s, "%s", path);
}

hone_status hone_imatrix_open(const char *path, hone_imatrix **out)
{
    hone_map map;
    *out = NULL;
    HONE_TRY(hone_map_open(path, &map));
    bool gguf = map.bytes >= 4 && memcmp(map.data, "GGUF", 4) == 0;
    hone_status s = gguf ? HONE_OK : hone_imatrix_read(map.data, map.bytes, out);
    hone_map_close(&map);
    if (gguf)
        return open_gguf(path, out);
    return s == HONE_OK ? s : hone_fail_in(s, "%s", path);
}

size_t hone_imatrix_entries(const hone_imatrix *m)
{
    return m->count;
}

hone_status hone_imatrix_weights(const hone_imatrix *m, const char *name, uint64_t k,
                                 uint64_t stacked, const float **weights, uint64_t *matrices)
{
    const entry key = {(char *)(uintptr_t)name, NULL, 0};
    const entry *e = m ? bsearch(&key, m->entries, m->count, sizeof key, by_name) : NULL;
    *weights = NULL;
    *matrices = 1;
    if (!e || e->count == 0)
        return HONE_OK;
    if (k == 0 || e->count % k != 0 || (e->count != k && e->count / k != stacked))
        return hone_fail(HONE_FORMAT,
                         "the importance matrix has %llu numbers for %s, whose rows have %llu: it "
                         "is of another model",
                         (unsigned long long)e->count, name, (unsigned long long)k);
    *matrices = e->count / k;
    *weights = e->values;
    return HONE_OK;
}
