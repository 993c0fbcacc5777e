#include "model/parameters.h"

#include "base/mem.h"
#include "model/source.h"

#include <assert.h>
#include <string.h>

enum { CHUNK = 256, PANELS_PER_ITEM = 8, TURNED = 16 /* rows or columns at a time */ };

static size_t slot_index(int layer, hone_slot slot)
{
    size_t whole = HONE_SLOTS - HONE_LAYER_SLOTS, at = (size_t)slot;
    return at < HONE_LAYER_SLOTS ? whole + (size_t)layer * HONE_LAYER_SLOTS + at
                                 : at - HONE_LAYER_SLOTS;
}

/* ---- the list ------------------------------------------------------------------------------- */

void hone_parameters_append(hone_parameters *p, const hone_parameter *one)
{
    p->list[p->count] = *one;
    p->list[p->count++].at = p->floats;
    p->floats += (one->n * one->k + 15) & ~(size_t)15;
    p->numbers += one->n * one->k;
}

static void append(hone_parameters *p, const hone_place *place, hone_slot slot, uint32_t layer,
                   bool bias, size_t n, size_t k, float add)
{
    (bias ? p->bias_of : p->weight_of)[slot_index((int)layer, slot)] = p->count;
    hone_parameters_append(p, &(hone_parameter){.slot = slot,
                                                .layer = layer,
                                                .bias = bias,
                                                .n = n,
                                                .k = k,
                                                .add = add,
                                                .place = *place});
}

static void plan_slot(const hone_arch *a, const hone_hparams *h, bool gguf, const char *prefix,
                      hone_slot slot, uint32_t layer, hone_parameter_there *there, const void *arg,
                      hone_parameters *p)
{
    hone_place place;
    bool vector = hone_slot_describe(slot)->vector;
    if (!hone_place_find(a, h, gguf, prefix, slot, layer, &place) ||
        !there(arg, &place, slot, layer, false))
        return;
    float add = place.flags & HONE_NAME_PLUS_ONE ? 1.0f : 0.0f;
    append(p, &place, slot, layer, false, vector ? 1 : place.n, place.k, add);
    if (*place.bias && there(arg, &place, slot, layer, true))
        append(p, &place, slot, layer, true, 1, vector ? place.k : place.n, 0);
}

hone_status hone_parameters_list(const hone_arch *a, const hone_hparams *h, bool gguf,
                                 const char *prefix, hone_parameter_there *there, const void *arg,
                                 hone_parameters *out)
{
    size_t slots = HONE_SLOTS - HONE_LAYER_SLOTS + (size_t)h->layers * HONE_LAYER_SLOTS;
    *out = (hone_parameters){.list = hone_calloc(2 * slots, sizeof *out->list),
                             .weight_of = hone_malloc(slots * sizeof(size_t)),
                             .bias_of = hone_malloc(slots * sizeof(size_t))};
    if (!out->list || !out->weight_of || !out->bias_of) {
        hone_parameters_free(out);
        return hone_fail_memory(2 * slots * sizeof *out->list, "the list of parameters");
    }
    for (size_t i = 0; i < slots; i++)
        out->weight_of[i] = out->bias_of[i] = SIZE_MAX;
    for (hone_slot slot = 0; slot < HONE_SLOTS; slot++)
        for (uint32_t i = 0; i < hone_slot_layers(h, slot); i++)
            plan_slot(a, h, gguf, prefix, slot, i, there, arg, out);
    return HONE_OK;
}

static bool model_has(const void *arg, const hone_place *place, hone_slot slot, uint32_t layer,
                      bool bias)
{
    const hone_linear *l = hone_model_at(arg, (int)layer, slot);
    (void)place;
    return bias ? l->bias != NULL : hone_slot_describe(slot)->vector ? l->v != NULL : l->w.n != 0;
}

static hone_status refuse_quantised(const hone_file *f, const hone_model *m,
                                    const hone_parameters *p)
{
    for (size_t i = 0; i < p->count; i++) {
        const hone_parameter *one = &p->list[i];
        const hone_linear *l = hone_model_at(m, (int)one->layer, one->slot);
        if (!one->bias && !l->v && l->w.layout != HONE_LAYOUT_F32 &&
            l->w.layout != HONE_LAYOUT_BF16)
            return hone_fail(HONE_UNSUPPORTED,
                             "%s: tensor %s is quantised (%s): only float weights can be trained; "
                             "in float32 (--dtype f32) their decoded values are",
                             hone_file_path(f), one->place.weight, hone_layout_name(l->w.layout));
    }
    return HONE_OK;
}

hone_status hone_parameters_plan(const hone_file *f, const hone_model *m, hone_parameters *out)
{
    bool gguf = hone_file_kind(f) == HONE_FILE_GGUF;
    const char *prefix = gguf ? NULL : hone_arch_prefix(m->arch, f);
    HONE_TRY(hone_parameters_list(m->arch, &m->hp, gguf, prefix, model_has, m, out));
    hone_status s = refuse_quantised(f, m, out);
    if (s != HONE_OK)
        hone_parameters_free(out);
    return s;
}

void hone_parameters_free(hone_parameters *p)
{
    hone_free(p->list);
    hone_free(p->weight_of);
    hone_free(p->bias_of);
    *p = (hone_parameters){0};
}

const hone_parameter *hone_parameter_at(const hone_parameters *p, int layer, hone_slot slot,
                                        bool bias)
{
    const size_t *index = bias ? p->bias_of : p->weight_of;
    size_t i = index ? index[slot_index(layer, slot)] : SIZE_MAX;
    return i == SIZE_MAX ? NULL : &p->list[i];
}

/* ---- where a number stands in its tensor ----------------------------------------------------- */

static const char *name_of(const hone_parameter *p)
{
    return p->bias ? p->place.bias : p->place.weight;
}

static bool is_vector(const hone_parameter *p)
{
    return p->bias || hone_slot_describe(p->slot)->vector;
}

static bool is_transposed(const hone_parameter *p)
{
    return !is_vector(p) && (p->place.flags & HONE_NAME_TRANSPOSED);
}

/* Numbers of a vector's tensor, rows of a matrix's: those of all slots that share it. */
static size_t stored_rows(const hone_parameter *p)
{
    return hone_slot_describe(p->slot)->vector ? p->k : p->place.stored_n;
}

/* Row r of the slot in the tensor (of vectors: number r). */
static size_t stored_row(const hone_parameter *p, size_t r)
{
    return hone_slot_describe(p->slot)->vector ? r : hone_row_source(&p->place.map, r);
}

/* ---- from a file ---------------------------------------------------------------------------- */

static hone_status read_vector(const hone_file *f, const hone_parameter *p, float *to)
{
    const hone_tensor *t;
    size_t size = 0;
    HONE_TRY(hone_file_need_tensor(f, name_of(p), 1, (uint64_t[]){stored_rows(p)}, &t));
    bool ok = hone_dtype_row_bytes((hone_dtype)t->dtype, 1, &size);
    for (size_t i = 0; ok && i < p->k; i++)
        ok = hone_dtype_decode((hone_dtype)t->dtype, t->data + stored_row(p, i) * size, 1, &to[i]);
    return ok ? HONE_OK
              : hone_fail(HONE_FORMAT, "%s: tensor %s cannot be decoded", hone_file_path(f),
                          name_of(p));
}

/* Row `row` of the stored matrix, which has `cols` columns. */
static bool read_row(const hone_source *s, size_t row, size_t cols, float *to)
{
    bool ok = true;
    for (size_t k = 0; ok && k < cols; k += CHUNK)
        ok = s->rows.decode(&s->rows, row, k, cols - k < CHUNK ? cols - k : CHUNK, to + k);
    return ok;
}

/* Stored [k][stored n]: TURNED rows of it at a time. */
static bool read_transposed(const hone_source *s, const hone_parameter *p, float *rows, float *to)
{
    const size_t n = p->place.stored_n;
    bool ok = true;
    for (size_t k = 0; ok && k < p->k; k += TURNED) {
        const size_t count = p->k - k < TURNED ? p->k - k : TURNED;
        for (size_t j = 0; ok && j < count; j++)
            ok = read_row(s, k + j, n, rows + j * n);
        for (size_t i = 0; ok && i < p->n; i++) {
            const float *from = rows + stored_row(p, i);
            for (size_t j = 0; j < count; j++)
                to[i * p->k + k + j] = from[j * n];
        }
    }
    return ok;
}

static hone_status read_matrix(const hone_file *f, const hone_parameter *p, float *to)
{
    hone_source s;
    size_t n = p->place.stored_n, k = p->k;
    bool turned = is_transposed(p), ok = true;
    float *rows = turned ? hone_malloc(TURNED * n * sizeof *rows) : NULL;
    if (turned && !rows)
        return hone_fail_memory(TURNED * n * sizeof *rows, "rows of a matrix");
    hone_status opened = hone_source_open(f, name_of(p), turned ? k : n, turned ? n : k, &s);
    if (opened != HONE_OK) {
        hone_free(rows);
        return opened;
    }
    if (turned)
        ok = read_transposed(&s, p, rows, to);
    for (size_t r = 0; ok && r < p->n && !turned; r++)
        ok = read_row(&s, stored_row(p, r), k, to + r * k);
    hone_source_close(&s);
    hone_free(rows);
    return ok ? HONE_OK
              : hone_fail(HONE_FORMAT, "%s: tensor %s cannot be decoded", hone_file_path(f),
                          name_of(p));
}

hone_status hone_parameter_read(const hone_file *f, const hone_parameter *p, float *values)
{
    return (is_vector(p) ? read_vector : read_matrix)(f, p, values);
}

hone_status hone_parameters_read(const hone_file *f, const hone_parameters *p, float *values)
{
    memset(values, 0, p->floats * sizeof *values);
    for (size_t i = 0; i < p->count; i++)
        HONE_TRY(hone_parameter_read(f, &p->list[i], values + p->list[i].at));
    return HONE_OK;
}

/* ---- into the model ------------------------------------------------------------------------- */

typedef struct push_work {
    const hone_kernels *kt;
    const hone_packed *w;
    const float *values;
    uint8_t *to;
} push_work;

static void push_item(void *arg, size_t item, int thread)
{
    const push_work *w = arg;
    size_t p0 = item * PANELS_PER_ITEM, p1 = p0 + PANELS_PER_ITEM;
    (void)thread;
    w->kt->pack_rows(w->w, w->values, w->w->k, p0, p1 < w->w->n_panels ? p1 : w->w->n_panels,
                     w->to);
}

/* The model's own memory, which it shows as constant. */
static void *writable(const hone_model *m, const void *at)
{
    assert(m->memory);
    return (uint8_t *)m->memory + ((const uint8_t *)at - (const uint8_t *)m->memory);
}

void hone_parameters_push(const hone_parameters *p, const float *values, const hone_kernels *kt,
                          hone_pool *pool, hone_model *m)
{
    for (size_t i = 0; i < p->count; i++) {
        const hone_parameter *one = &p->list[i];
        const hone_linear *l = hone_model_at(m, (int)one->layer, one->slot);
        if (is_vector(one)) {
            float *to = writable(m, one->bias ? l->bias : l->v);
            for (size_t j = 0; j < one->k; j++)
                to[j] = values[one->at + j] + one->add;
            continue;
        }
        push_work w = {kt, &l->w, values + one->at, writable(m, l->w.data)};
        hone_pool_run(pool, push_item, &w, (l->w.n_panels + PANELS_PER_ITEM - 1) / PANELS_PER_ITEM);
    }
}

/* ---- to a file ------------------------------------------------------------------------------ */

/* The first parameter of the same tensor is the one that stands for it. */
static bool leads(const hone_parameters *p, size_t i)
{
    for (size_t j = i; j-- > 0;)
        if (strcmp(name_of(&p->list[j]), name_of(&p->list[i])) == 0)
            return false;
    return true;
}

hone_status hone_parameters_declare(const hone_parameters *p, hone_dtype type,
                                    hone_safetensors_writer *w)
{
    for (size_t i = 0; i < p->count; i++) {
        const hone_parameter *one = &p->list[i];
        uint64_t rows = stored_rows(one), k = one->k;
        if (!leads(p, i))
            continue;
        if (is_vector(one))
            HONE_TRY(hone_safetensors_writer_tensor(w, name_of(one), type, 1, &rows));
        else
            HONE_TRY(hone_safetensors_writer_tensor(w, name_of(one), type, 2,
                                                    is_transposed(one) ? (uint64_t[]){k, rows}
                                                                       : (uint64_t[]){rows, k}));
    }
    return HONE_OK;
}

/* The values of one parameter to their places in the tensor. */
static void spread(const hone_parameter *p, const float *from, float *tensor)
{
    size_t stored = stored_rows(p);
    if (is_vector(p)) {
        for (size_t i = 0; i < p->k; i++)
            tensor[stored_row(p, i)] = from[i];
        return;
    }
    for (size_t r = 0; r < p->n && !is_transposed(p); r++)
        memcpy(tensor + stored_row(p, r) * p->k, from + r * p->k, p->k * sizeof *from);
    for (size_t r = 0; r < p->n && is_transposed(p); r += TURNED) {
        const size_t count = p->n - r < TURNED ? p->n - r : TURNED;
        size_t at[TURNED];
        for (size_t i = 0; i < count; i++)
            at[i] = stored_row(p, r + i);
        for (size_t k = 0; k < p->k; k++)
            for (size_t i = 0; i < count; i++)
                tensor[k * stored + at[i]] = from[(r + i) * p->k + k];
    }
}

/* The tensor of parameter i and of those that share it. */
static hone_status gather(const hone_parameters *p, size_t i, hone_parameter_values *each,
                          void *arg, float *tensor)
{
    const float *values;
    for (size_t j = i; j < p->count; j++) {
        if (strcmp(name_of(&p->list[j]), name_of(&p->list[i])) != 0)
            continue;
        HONE_TRY(each(arg, &p->list[j], &values));
        spread(&p->list[j], values, tensor);
    }
    return HONE_OK;
}

static hone_status write_each(const hone_parameters *p, hone_parameter_values *each, void *arg,
                              hone_safetensors_writer *w)
{
    size_t most = 0;
    for (size_t i = 0; i < p->count; i++) {
        size_t n = stored_rows(&p->list[i]) * (is_vector(&p->list[i]) ? 1 : p->list[i].k);
        most = n > most ? n : most;
    }
    float *tensor = hone_alloc_big(most * sizeof *tensor);
    if (!tensor)
        return hone_fail_memory(most * sizeof *tensor, "a tensor to write");
    hone_status s = HONE_OK;
    for (size_t i = 0; i < p->count && s == HONE_OK; i++) {
        const hone_parameter *one = &p->list[i];
        size_t n = stored_rows(one) * (is_vector(one) ? 1 : one->k);
        if (!leads(p, i))
            continue;
        memset(tensor, 0, n * sizeof *tensor);
        s = gather(p, i, each, arg, tensor);
        if (s == HONE_OK)
            s = hone_safetensors_writer_write_f32(w, tensor, n);
    }
    hone_free_big(tensor, most * sizeof *tensor);
    return s;
}

static hone_status flat_values(void *arg, const hone_parameter *p, const float **values)
{
    *values = (const float *)arg + p->at;
    return HONE_OK;
}

hone_status hone_parameters_write(const hone_parameters *p, const float *values,
                                  hone_safetensors_writer *w)
{
    return write_each(p, flat_values, (void *)(uintptr_t)values, w);
}

hone_status hone_parameters_save_each(const hone_parameters *p, hone_dtype type,
                                      hone_parameter_values *each, void *arg, const char *path)
{
    hone_safetensors_writer *w;
    HONE_TRY(hone_safetensors_writer_open(path, &w));
    hone_status s = hone_parameters_declare(p, type, w);
    if (s == HONE_OK)
        s = write_each(p, each, arg, w);
    if (s == HONE_OK)
        return hone_safetensors_writer_commit(w);
    hone_safetensors_writer_abort(w);
    return s;
}

hone_status hone_parameters_save(const hone_parameters *p, hone_dtype type, const float *values,
                                 const char *path)
{
    return hone_parameters_save_each(p, type, flat_values, (void *)(uintptr_t)values, path);
}
