/* Tensors from GGUF under a folder's names: fused, transposed and ordered as it wants them. */
#include "compress/refolder.h"

#include "base/interrupt.h"
#include "base/io.h"
#include "base/mem.h"
#include "file/write.h"
#include "model/weights.h"

#include <stdio.h>
#include <string.h>

enum { PARTS = 4, VECTOR = 1, BIAS = 2 };

/* The rows of one slot in a tensor of the folder; tensor NULL: zeros. */
typedef struct part {
    const hone_tensor *tensor;
    hone_row_map from, to; /* row r of the slot is row from(r) in GGUF, to(r) here */
    size_t n;
} part;

typedef struct item {
    char name[HONE_NAME_MAX];
    int flags, shape; /* HONE_NAME_*; VECTOR, BIAS or 0 for a matrix */
    size_t n, k;
    bool layer; /* a layer's: may be coded */
    uint32_t n_parts;
    part parts[PARTS];
} item;

typedef struct job {
    const hone_file *f;
    const hone_arch *a;
    const hone_hparams *h;
    const char *prefix;
    const hone_coded *form;
    hone_pool *pool;
    item *list;
    size_t count, most;
} job;

static item *entry(job *j, const char *name)
{
    for (size_t back = 1; back <= 8 && back <= j->count; back++)
        if (strcmp(j->list[j->count - back].name, name) == 0)
            return &j->list[j->count - back];
    if (j->count == j->most)
        return NULL;
    item *t = &j->list[j->count++];
    snprintf(t->name, sizeof t->name, "%s", name);
    return t;
}

static hone_status add_part(job *j, const char *name, const char *from, int shape,
                            const hone_place *hf, const hone_place *gguf)
{
    item *t = entry(j, name);
    const hone_tensor *source = NULL;
    bool vector = shape & VECTOR;
    uint64_t want[2] = {vector ? hf->k : gguf->stored_n, gguf->k};
    if (!t || t->n_parts == PARTS)
        return hone_fail(HONE_INTERNAL, "tensor %s has more parts than planned", name);
    if (from)
        HONE_TRY(hone_file_need_tensor(j->f, from, shape ? 1 : 2, want, &source));
    t->flags = hf->flags & (shape & BIAS ? 0 : HONE_NAME_TRANSPOSED | HONE_NAME_PLUS_ONE);
    t->shape = shape;
    t->n = vector ? 1 : hf->stored_n;
    t->k = vector ? hf->k : shape ? 1 : hf->k;
    t->parts[t->n_parts++] = (part){source, gguf->map, hf->map, vector ? 1 : hf->n};
    return HONE_OK;
}

static hone_status add_slot(job *j, hone_slot slot, uint32_t layer)
{
    hone_place hf, gguf;
    int shape = hone_slot_describe(slot)->vector ? VECTOR : 0;
    if (!hone_place_find(j->a, j->h, false, j->prefix, slot, layer, &hf))
        return HONE_OK;
    bool place = hone_place_find(j->a, j->h, true, NULL, slot, layer, &gguf);
    if (!place || ((gguf.flags & HONE_NAME_OPTIONAL) && !hone_file_tensor(j->f, gguf.weight)))
        return HONE_OK; /* the check of unused tensors and the loader of the result see to it */
    HONE_TRY(add_part(j, hf.weight, gguf.weight, shape, &hf, &gguf));
    entry(j, hf.weight)->layer = slot < HONE_LAYER_SLOTS;
    bool bias = *gguf.bias && hone_file_tensor(j->f, gguf.bias);
    if (bias && !*hf.bias)
        return hone_fail(HONE_UNSUPPORTED,
                         "%s: tensor %s has no place in a folder of model_type %s",
                         hone_file_path(j->f), gguf.bias, j->a->hf_types[0]);
    if (!bias && !(*hf.bias && (hf.flags & HONE_NAME_BIAS)))
        return HONE_OK;
    return add_part(j, hf.bias, bias ? gguf.bias : NULL, shape | BIAS, &hf, &gguf);
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* The slot's row that lies in row `at` of a tensor; false: it is another slot's. */
static bool row_of(const hone_row_map *m, size_t n, size_t at, size_t *row)
{
    if (at < m->first)
        return false;
    size_t i = at - m->first;
    if (m->run) {
        if (i % m->stride >= m->run)
            return false;
        i = i / m->stride * m->run + i % m->stride;
    }
    *row = i;
    return i < n;
}

static bool decode_row(const hone_tensor *t, size_t row, size_t k, float *dst)
{
    size_t bytes;
    return hone_dtype_row_bytes((hone_dtype)t->dtype, k, &bytes) &&
           hone_dtype_decode((hone_dtype)t->dtype, t->data + row * bytes, k, dst);
}

static hone_status item_row(const item *t, size_t at, float *dst)
{
    size_t row;
    for (uint32_t p = 0; p < t->n_parts; p++) {
        const part *x = &t->parts[p];
        if (!(t->shape & VECTOR) && !row_of(&x->to, x->n, at, &row))
            continue;
        if (!x->tensor) {
            memset(dst, 0, t->k * sizeof *dst);
            return HONE_OK;
        }
        size_t from = t->shape & VECTOR ? 0 : hone_row_source(&x->from, row);
        if (!decode_row(x->tensor, from, t->k, dst))
            return hone_fail(HONE_FORMAT, "tensor %s, row %zu cannot be decoded", x->tensor->name,
                             from);
        for (size_t i = 0; i < t->k && (t->flags & HONE_NAME_PLUS_ONE); i++)
            dst[i] -= 1.0f;
        return HONE_OK;
    }
    return hone_fail(HONE_INTERNAL, "row %zu of tensor %s belongs to no slot", at, t->name);
}

static hone_status write_rows(const item *t, hone_safetensors_writer *w, float *row)
{
    for (size_t r = 0; r < t->n; r++) {
        if (r % 256 == 0)
            HONE_TRY(hone_interrupt_check());
        HONE_TRY(item_row(t, r, row));
        HONE_TRY(hone_safetensors_writer_write_f32(w, row, t->k));
    }
    return HONE_OK;
}

static hone_status write_columns(const item *t, hone_safetensors_writer *w, float *row)
{
    float *whole = hone_reallocarray(NULL, t->n * t->k, sizeof *whole);
    hone_status s =
        whole ? HONE_OK : hone_fail_memory(t->n * t->k * sizeof *whole, "a transposed matrix");
    for (size_t r = 0; r < t->n && s == HONE_OK; r++) {
        s = item_row(t, r, row);
        for (size_t i = 0; i < t->k && s == HONE_OK; i++)
            whole[i * t->n + r] = row[i];
    }
    for (size_t i = 0; i < t->k && s == HONE_OK; i++)
        s = hone_safetensors_writer_write_f32(w, whole + i * t->n, t->n);
    hone_free(whole);
    return s;
}

static bool is_coded(const job *j, const item *t)
{
    return j->form && t->layer && !t->shape && !(t->flags & HONE_NAME_TRANSPOSED) &&
           hone_ends_with(t->name, ".weight") && hone_coded_fits(j->form, t->n, t->k);
}

static hone_status coded_row(const void *arg, size_t row, float *dst)
{
    return item_row(arg, row, dst);
}

static hone_status declare(const job *j, hone_dtype type, hone_safetensors_writer *w)
{
    HONE_TRY(hone_safetensors_writer_str(w, "format", "pt"));
    for (size_t i = 0; i < j->count; i++) {
        const item *t = &j->list[i];
        if (is_coded(j, t)) {
            HONE_TRY(hone_coded_declare(j->form, w, t->name, t->n, t->k, type));
            continue;
        }
        bool turned = t->flags & HONE_NAME_TRANSPOSED;
        uint64_t shape[2] = {turned ? t->k : t->n, turned ? t->n : t->k};
        if (t->shape)
            shape[0] = t->shape & VECTOR ? t->k : t->n;
        HONE_TRY(hone_safetensors_writer_tensor(w, t->name, type, t->shape ? 1 : 2, shape));
    }
    return HONE_OK;
}

static hone_status write_items(const job *j, hone_dtype type, const char *path,
                               hone_export_result *r)
{
    hone_safetensors_writer *w = NULL;
    size_t longest = 1;
    for (size_t i = 0; i < j->count; i++)
        longest = j->list[i].k > longest ? j->list[i].k : longest;
    float *row = hone_reallocarray(NULL, longest, sizeof *row);
    hone_status s = row ? hone_safetensors_writer_open(path, &w)
                        : hone_fail_memory(longest * sizeof *row, "a row");
    if (s == HONE_OK)
        s = declare(j, type, w);
    for (size_t i = 0; i < j->count && s == HONE_OK; i++) {
        const item *t = &j->list[i];
        if (is_coded(j, t)) {
            s = hone_interrupt_check();
            if (s == HONE_OK)
                s = hone_coded_write(j->form, w, t->name, t->n, t->k, type, coded_row, t, j->pool);
            r->tensors++;
            r->coded++;
            continue;
        }
        s = t->flags & HONE_NAME_TRANSPOSED ? write_columns(t, w, row) : write_rows(t, w, row);
        const hone_tensor *source = t->parts[0].tensor;
        r->tensors++;
        r->decoded += source && hone_dtype_is_grouped((hone_dtype)source->dtype);
    }
    if (s == HONE_OK)
        s = hone_safetensors_writer_commit(w);
    else
        hone_safetensors_writer_abort(w);
    hone_free(row);
    return s;
}

hone_status hone_refolder_weights(const hone_file *f, const hone_arch *a, const hone_hparams *h,
                                  hone_dtype type, const char *path, const hone_coded *form,
                                  hone_pool *pool, hone_export_result *r)
{
    job j = {.f = f,
             .a = a,
             .h = h,
             .form = form,
             .pool = pool,
             .most = 2 * (size_t)HONE_SLOTS * (h->layers + 1)};
    /* a classifier's model lies under a name of its own */
    j.prefix = a->hf_prefixes[h->labels && a->hf_prefixes[1] ? 1 : 0];
    HONE_TRY(hone_model_check_unused(f, a, h));
    j.list = hone_calloc(j.most, sizeof *j.list);
    if (!j.list)
        return hone_fail_memory(j.most * sizeof *j.list, "a list of tensors");
    hone_status s = HONE_OK;
    for (hone_slot slot = HONE_LAYER_SLOTS; slot < HONE_SLOTS && s == HONE_OK; slot++)
        s = add_slot(&j, slot, 0);
    for (uint32_t layer = 0; layer < h->layers && s == HONE_OK; layer++)
        for (hone_slot slot = 0; slot < HONE_LAYER_SLOTS && s == HONE_OK; slot++)
            s = add_slot(&j, slot, layer);
    if (s == HONE_OK)
        s = write_items(&j, type, path, r);
    hone_free(j.list);
    return s;
}
