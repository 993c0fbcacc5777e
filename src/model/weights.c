#include "model/weights.h"

#include "base/io.h"
#include "base/mem.h"
#include "dtype/half.h"
#include "model/packed_key.h"
#include "model/source.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* One matrix to be packed: its rows, put in order, rounded to another format if asked for. */
typedef struct pack_job {
    hone_source source;
    hone_place place;
    bool transposed; /* the source is [k][stored n], of numbers that stand alone */
    hone_linear *target;
    int as;        /* format that it is rounded to first, or HONE_WEIGHT_AS_FILED */
    size_t offset; /* in the model's buffer */
    size_t order;  /* offset of the order of its columns; SIZE_MAX = none */
    size_t end;    /* of what it takes of the buffer */
} pack_job;

typedef struct loader {
    const hone_file *file;
    const hone_model_options *options;
    hone_model *model;
    const char *prefix; /* of the file's tensors */
    bool gguf;
    hone_packed_key key; /* so far */
    hone_packed_source source;
    pack_job *jobs;
    size_t n_jobs, max_jobs, walked, bytes;
    const uint8_t *buffer; /* the model's, NULL while it is planned */
    hone_pool *pool;
    uint8_t **scratch; /* per thread */
    size_t scratch_bytes;
} loader;

enum { PANELS_PER_ITEM = 8 };

/* One matrix on the pool */
typedef struct packing {
    const loader *loader;
    const pack_job *job;
    _Atomic int failed; /* a value that the format cannot hold */
} packing;

/* Takes `bytes` of the model's buffer; the address is known once the buffer is. */
static size_t reserve(loader *l, size_t bytes)
{
    size_t at = l->bytes;
    l->bytes += (bytes + 63) & ~(size_t)63;
    return at;
}

/* The format a matrix is rounded to before it is packed, where its blocks divide the rows. */
static int format_for(const loader *l, const hone_source *source, hone_slot slot)
{
    const hone_slot_info *info = hone_slot_describe(slot);
    int wish = l->options->weight_dtype[info->kind];
    size_t row;
    bool multiplied = !info->lookup || (slot == HONE_SLOT_EMBEDDING && l->model->hp.tied);
    bool filed = l->options->f32 || !multiplied || wish == HONE_WEIGHT_AS_FILED ||
                 !hone_dtype_can_encode((hone_dtype)wish) ||
                 !hone_dtype_row_bytes((hone_dtype)wish, source->k, &row);
    return filed ? HONE_WEIGHT_AS_FILED : wish;
}

/* A transposed matrix lies in one plain tensor [k][n]; in any other coding it is as wanted. */
static hone_status open_source(loader *l, pack_job *j)
{
    const hone_place *p = &j->place;
    j->transposed = (p->flags & HONE_NAME_TRANSPOSED) && hone_file_tensor(l->file, p->weight);
    if (!j->transposed)
        return hone_source_open(l->file, p->weight, p->stored_n, p->k, &j->source);
    HONE_TRY(hone_source_open(l->file, p->weight, p->k, p->stored_n, &j->source));
    hone_dtype type = (hone_dtype)j->source.tensors[0]->dtype;
    j->source.k = p->k;
    return hone_dtype_is_float(type)
               ? HONE_OK
               : hone_fail(HONE_UNSUPPORTED,
                           "%s: tensor %s is transposed and %s, not plain numbers",
                           hone_file_path(l->file), p->weight, hone_dtype_name(type));
}

/* Takes place for the order of a job's columns, or that of a neighbour with the same. */
static void reserve_order(loader *l, pack_job *j)
{
    enum { NEIGHBOURS = 3 };
    const uint32_t *order = j->source.order;
    size_t bytes = j->place.k * sizeof *order;
    j->order = SIZE_MAX;
    if (!order || j->as != HONE_WEIGHT_AS_FILED || !j->target->w.scale_bytes)
        return;
    l->model->ordered = true;
    for (const pack_job *o = j; o > l->jobs && o > j - NEIGHBOURS;) {
        o--;
        if (o->order != SIZE_MAX && o->place.k == j->place.k &&
            memcmp(o->source.order, order, bytes) == 0) {
            j->order = o->order;
            return;
        }
    }
    j->order = reserve(l, bytes);
}

static hone_status add_matrix(loader *l, const hone_place *p, hone_slot slot, hone_linear *target)
{
    if (l->n_jobs == l->max_jobs)
        return hone_fail(HONE_INTERNAL, "more matrices than planned");
    pack_job *j = &l->jobs[l->n_jobs++];
    j->place = *p;
    HONE_TRY(open_source(l, j));
    j->target = target;
    j->as = format_for(l, &j->source, slot);
    hone_coding coding = j->as != HONE_WEIGHT_AS_FILED ? hone_dtype_coding((hone_dtype)j->as)
                         : j->transposed               ? hone_dtype_coding(HONE_DTYPE_F32)
                                                       : j->source.rows.coding;
    if (hone_slot_describe(slot)->lookup && j->source.order)
        coding = (hone_coding){0}; /* rows of a table are read as they stand */
    hone_status s = hone_packed_plan(hone_layout_for(&coding, l->options->f32), &coding, p->n, p->k,
                                     &target->w);
    if (s != HONE_OK)
        return hone_fail_in(s, "%s: tensor %s", hone_file_path(l->file), j->source.name);
    j->offset = reserve(l, hone_packed_bytes(&target->w));
    reserve_order(l, j);
    j->end = l->bytes;
    l->model->parameters += p->n * p->k;
    l->model->kind_bytes[hone_slot_describe(slot)->kind] += hone_packed_bytes(&target->w);
    if (target->w.scale_bytes && target->w.group < target->w.k_pad)
        l->model->kind_grouped[hone_slot_describe(slot)->kind] += target->w.n * target->w.k;
    return HONE_OK;
}

/* Elements [k0, k0 + count) of row r of a job. */
static bool read_row(const pack_job *j, size_t row, size_t k0, size_t count, float *out)
{
    size_t at = hone_row_source(&j->place.map, row);
    if (!j->transposed)
        return j->source.rows.decode(&j->source.rows, at, k0, count, out);
    const hone_tensor *t = j->source.tensors[0];
    size_t bytes = 0;
    if (!hone_dtype_row_bytes((hone_dtype)t->dtype, 1, &bytes))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!hone_dtype_decode((hone_dtype)t->dtype,
                               t->data + ((k0 + i) * j->place.stored_n + at) * bytes, 1, out + i))
            return false;
    return true;
}

/* The rows of a job in their order: what the packer reads. */
static bool mapped_decode(const hone_rows *s, size_t row, size_t k0, size_t count, float *out)
{
    return read_row(s->context, row, k0, count, out);
}

static bool mapped_codes(const hone_rows *s, size_t row, size_t k0, size_t count, int8_t *codes,
                         float *scales, float *mins)
{
    const pack_job *j = s->context;
    return j->source.rows.codes(&j->source.rows, hone_row_source(&j->place.map, row), k0, count,
                                codes, scales, mins);
}

static bool mapped_supers(const hone_rows *s, size_t row, size_t k0, float *scale, float *min)
{
    const pack_job *j = s->context;
    return j->source.rows.supers(&j->source.rows, hone_row_source(&j->place.map, row), k0, scale,
                                 min);
}

/* Rounds rows [row0, row0 + n) to the job's format, one after the other into `rows`. */
static bool round_rows(const pack_job *j, size_t row0, size_t n, float *row, uint8_t *rows)
{
    size_t k = j->source.k, bytes;
    if (!hone_dtype_row_bytes((hone_dtype)j->as, k, &bytes))
        return false;
    for (size_t r = 0; r < n; r++) {
        for (size_t k0 = 0; k0 < k; k0 += 256)
            if (!read_row(j, row0 + r, k0, k - k0 < 256 ? k - k0 : 256, row + k0))
                return false;
        if (!hone_dtype_encode((hone_dtype)j->as, row, k, rows + r * bytes))
            return false;
    }
    return true;
}

/* Packs panels [p0, p1) of a job; rows that are rounded first go through the thread's scratch, 16
 * at a time. */
static bool pack_panels(const loader *l, const pack_job *j, size_t p0, size_t p1, uint8_t *scratch)
{
    const hone_packed *w = &j->target->w;
    uint8_t *dst = (uint8_t *)l->model->memory + j->offset;
    if (j->as == HONE_WEIGHT_AS_FILED) {
        hone_rows mapped = j->source.rows;
        mapped.decode = mapped_decode;
        mapped.codes = mapped_codes;
        mapped.supers = mapped_supers;
        mapped.context = j;
        return hone_pack_panels(w, &mapped, p0, p1, dst);
    }
    float *row = (float *)(void *)scratch;
    uint8_t *rows = scratch + ((w->k * sizeof(float) + 63) & ~(size_t)63);
    for (size_t p = p0; p < p1; p++) {
        hone_packed one = *w;
        hone_rows rounded;
        one.n = w->n - p * HONE_PANEL < HONE_PANEL ? w->n - p * HONE_PANEL : HONE_PANEL;
        one.n_panels = 1;
        if (!round_rows(j, p * HONE_PANEL, one.n, row, rows) ||
            !hone_rows_init(&rounded, (hone_dtype)j->as, rows, w->k) ||
            !hone_pack_panels(&one, &rounded, 0, 1, dst + p * w->panel_bytes))
            return false;
    }
    return true;
}

static size_t items_of(const pack_job *j)
{
    return (j->target->w.n_panels + PANELS_PER_ITEM - 1) / PANELS_PER_ITEM;
}

static void pack_item(void *arg, size_t item, int thread)
{
    packing *one = arg;
    size_t p0 = item * PANELS_PER_ITEM, p1 = p0 + PANELS_PER_ITEM;
    if (p1 > one->job->target->w.n_panels)
        p1 = one->job->target->w.n_panels;
    if (!pack_panels(one->loader, one->job, p0, p1, one->loader->scratch[thread]))
        atomic_store(&one->failed, 1);
}

/* A vector of n numbers, those of a stored one of `stored` that the map says, plus `add`, as
 * float32 in the model's buffer; *out NULL if it may be missing and is. */
static hone_status add_vector(loader *l, const char *name, size_t n, size_t stored,
                              const hone_row_map *map, float add, bool optional, const float **out)
{
    const hone_tensor *t;
    size_t size;
    *out = NULL;
    if (!*name || (optional && !hone_file_tensor(l->file, name)))
        return HONE_OK;
    HONE_TRY(hone_file_need_tensor(l->file, name, 1, (uint64_t[]){stored}, &t));
    if (!hone_dtype_is_float((hone_dtype)t->dtype) ||
        !hone_dtype_row_bytes((hone_dtype)t->dtype, 1, &size))
        return hone_fail(HONE_UNSUPPORTED, "%s: tensor %s: a vector of %s", hone_file_path(l->file),
                         name, hone_dtype_name((hone_dtype)t->dtype));
    size_t at = reserve(l, n * sizeof(float));
    if (!l->buffer) {
        l->model->parameters += n;
        hone_packed_key_add(&l->key, &(uint64_t[]){at, n, (uint64_t)(add * 16)}, 3 * 8);
        hone_packed_key_add(&l->key, name, strlen(name) + 1);
        return HONE_OK;
    }
    *out = (const float *)(const void *)(l->buffer + at);
    if (!l->model->memory)
        return HONE_OK;
    float *v = (float *)(void *)((uint8_t *)l->model->memory + at);
    for (size_t i = 0; i < n; i++) {
        if (!hone_dtype_decode((hone_dtype)t->dtype, t->data + hone_row_source(map, i) * size, 1,
                               &v[i]))
            return hone_fail(HONE_FORMAT, "%s: tensor %s cannot be decoded",
                             hone_file_path(l->file), name);
        v[i] += add;
    }
    return HONE_OK;
}

/* A norm by the name that the first BERT checkpoints have: gamma for weight, beta for bias. */
static void use_old_name(const loader *l, char name[HONE_NAME_MAX])
{
    static const char *const now[] = {".weight", ".bias"}, *const then[] = {".gamma", ".beta"};
    char old[HONE_NAME_MAX];
    size_t n = strlen(name);
    for (int i = 0; i < 2 && !l->gguf && n && !hone_file_tensor(l->file, name); i++) {
        if (!hone_ends_with(name, now[i]))
            continue;
        snprintf(old, sizeof old, "%.*s%s", (int)(n - strlen(now[i])), name, then[i]);
        if (hone_file_tensor(l->file, old))
            memcpy(name, old, sizeof old);
    }
}

/* One slot of one layer. The first walk plans the buffer, the second fills the vectors. */
static hone_status add_slot(loader *l, hone_slot slot, uint32_t layer)
{
    hone_model *m = l->model;
    hone_place p;
    static const hone_row_map plain;
    hone_linear *target = hone_model_at(m, (int)layer, slot);
    if (!hone_place_find(m->arch, &m->hp, l->gguf, l->prefix, slot, layer, &p))
        return HONE_OK;
    if ((p.flags & HONE_NAME_OPTIONAL) && !hone_file_tensor(l->file, p.weight) &&
        !hone_source_is_coded(l->file, p.weight))
        return HONE_OK;
    bool needs_bias = p.flags & HONE_NAME_BIAS;
    if (hone_slot_describe(slot)->vector) {
        use_old_name(l, p.weight);
        use_old_name(l, p.bias);
        HONE_TRY(add_vector(l, p.weight, p.k, p.k, &plain,
                            p.flags & HONE_NAME_PLUS_ONE ? 1.0f : 0.0f, false, &target->v));
        return add_vector(l, p.bias, p.k, p.k, &plain, 0, !needs_bias, &target->bias);
    }
    if (l->buffer)
        l->bytes = l->jobs[l->walked++].end;
    else
        HONE_TRY(add_matrix(l, &p, slot, target));
    return add_vector(l, p.bias, p.n, p.stored_n, &p.map, 0, !needs_bias, &target->bias);
}

/* Walks over all that the model needs, in one order. */
static hone_status walk(loader *l)
{
    for (hone_slot slot = HONE_LAYER_SLOTS; slot < HONE_SLOTS; slot++)
        HONE_TRY(add_slot(l, slot, 0));
    for (uint32_t layer = 0; layer < l->model->hp.layers; layer++)
        for (hone_slot slot = 0; slot < HONE_LAYER_SLOTS; slot++)
            HONE_TRY(add_slot(l, slot, layer));
    return HONE_OK;
}

/* A pattern that ends with a dot is how names begin, any other how they end. */
static bool is_ignored(const char *name, const char *pattern)
{
    size_t n = strlen(pattern);
    return n && pattern[n - 1] == '.' ? strncmp(name, pattern, n) == 0
                                      : hone_ends_with(name, pattern);
}

/* Tensors that may lie in a file unused: computed ones, and the head of a tied model. */
static bool may_be_unused(const hone_arch *a, const hone_hparams *h, bool gguf, const char *name)
{
    const char *head = (gguf ? a->gguf_names : a->hf_names)[HONE_SLOT_HEAD].weight;
    if (gguf)
        return strncmp(name, "rope_f", 6) == 0; /* rope_freqs, rope_factors_*: read by rope.c */
    if (hone_source_is_part(name)) /* scales of activations, of the KV cache: `hone info` lists */
        return true;
    for (size_t i = 0; i < sizeof a->hf_ignored / sizeof *a->hf_ignored && a->hf_ignored[i]; i++)
        if (is_ignored(name, a->hf_ignored[i]))
            return true;
    return h->tied && head && strcmp(name, head) == 0;
}

hone_status hone_model_check_unused(const hone_file *f, const hone_arch *a, const hone_hparams *h)
{
    char names[256] = "";
    size_t unused = 0;
    bool gguf = hone_file_kind(f) == HONE_FILE_GGUF;
    const char *prefix = gguf ? NULL : hone_arch_prefix(a, f);
    for (size_t i = 0; i < hone_file_tensor_count(f); i++) {
        const char *name = hone_file_tensor_at(f, i)->name;
        if (hone_slot_claims(a, h, gguf, prefix, name) || may_be_unused(a, h, gguf, name))
            continue;
        if (unused++ < 3)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%.70s",
                     unused > 1 ? ", " : "", name);
    }
    if (unused == 0)
        return HONE_OK;
    return hone_fail(HONE_UNSUPPORTED,
                     "%s: %zu tensors have no place in architecture %s, so that its result would "
                     "not be this model's: %s%s",
                     hone_file_path(f), unused, a->name, names, unused > 3 ? ", ..." : "");
}

/* Points every matrix to its place in the buffer. */
static void place_all(loader *l)
{
    for (size_t i = 0; i < l->n_jobs; i++) {
        const pack_job *j = &l->jobs[i];
        j->target->w.data = l->buffer + j->offset;
        if (j->order != SIZE_MAX)
            j->target->order = (const uint32_t *)(const void *)(l->buffer + j->order);
    }
}

static hone_status pack_all(loader *l, hone_progress_fn *progress, void *arg)
{
    size_t items = 0, done = 0, longest = 0;
    for (size_t i = 0; i < l->n_jobs; i++) {
        const pack_job *j = &l->jobs[i];
        if (j->order != SIZE_MAX)
            memcpy((uint8_t *)l->model->memory + j->order, j->source.order,
                   j->place.k * sizeof *j->source.order);
        items += items_of(j);
        if (j->target->w.k > longest)
            longest = j->target->w.k;
    }
    int threads = hone_pool_threads(l->pool);
    l->scratch_bytes = (longest * sizeof(float) + 64) * (HONE_PANEL + 1);
    l->scratch = hone_calloc((size_t)threads, sizeof *l->scratch);
    if (!l->scratch)
        return hone_fail_memory((size_t)threads * sizeof *l->scratch, "packing");
    hone_status s = HONE_OK;
    for (int t = 0; t < threads && s == HONE_OK; t++)
        if (!(l->scratch[t] = hone_alloc_big(l->scratch_bytes)))
            s = hone_fail_memory(l->scratch_bytes, "packing");
    /* In slices of one matrix, so that progress can be shown. */
    for (size_t i = 0; i < l->n_jobs && s == HONE_OK; i++) {
        packing one = {.loader = l, .job = &l->jobs[i]};
        hone_pool_run(l->pool, pack_item, &one, items_of(one.job));
        done += items_of(one.job);
        const hone_source *source = &one.job->source;
        for (int t = 0; t < HONE_SOURCE_TENSORS && source->tensors[t]; t++)
            hone_map_forget(source->tensors[t]->data, source->tensors[t]->bytes);
        if (atomic_load(&one.failed))
            s = hone_fail(HONE_FORMAT,
                          "%s: tensor %s holds values (NaN, infinity or too large) that %s cannot",
                          hone_file_path(l->file), source->name,
                          one.job->as == HONE_WEIGHT_AS_FILED
                              ? "its own format"
                              : hone_dtype_name((hone_dtype)one.job->as));
        if (progress)
            progress(arg, "packing weights", (double)done, (double)items);
    }
    for (int t = 0; t < threads; t++)
        hone_free_big(l->scratch[t], l->scratch_bytes);
    hone_free(l->scratch);
    return s;
}

/* Reference implementations multiply in the type of the embedding: for all but float32 files the
 * scale is rounded to bfloat16. */
static void round_embedding_scale(const loader *l)
{
    hone_place p;
    hone_hparams *h = &l->model->hp;
    if (h->embedding_scale != 0 &&
        hone_place_find(l->model->arch, h, l->gguf, l->prefix, HONE_SLOT_EMBEDDING, 0, &p)) {
        const hone_tensor *t = hone_file_tensor(l->file, p.weight);
        if (!t || t->dtype != HONE_DTYPE_F32)
            h->embedding_scale = hone_bf16_to_f32(hone_f32_to_bf16(h->embedding_scale));
    }
}

static bool hash_file(void *arg, uint64_t content[2])
{
    const loader *l = arg;
    return hone_file_content(l->file, l->pool, content) == HONE_OK;
}

/* Maps what an earlier start has packed, if it is there; *key is "" if it is not to be kept. */
static hone_status find_packed(loader *l, char key[HONE_PACKED_KEY])
{
    *key = 0;
    if (!hone_packed_wanted(&l->options->cache, l->bytes))
        return HONE_OK;
    l->source.hash = hash_file;
    l->source.arg = l;
    HONE_TRY(hone_file_state(l->file, l->source.state, &l->source.settled));
    for (size_t i = 0; i < l->n_jobs; i++) {
        const pack_job *j = &l->jobs[i];
        const uint64_t place[] = {
            (uint64_t)(int64_t)j->as, j->offset,         j->order,           j->end,
            j->place.stored_n,        j->transposed,     j->place.map.first, j->place.map.run,
            j->place.map.stride,      j->place.map.pairs};
        hone_packed_key_add(&l->key, place, sizeof place);
        hone_packed_key_add(&l->key, j->place.weight, strlen(j->place.weight) + 1);
        hone_packed_key_add_plan(&l->key, &j->target->w);
    }
    HONE_TRY(hone_packed_key_end(&l->key, l->file, key));
    hone_packed_map(&l->options->cache, key, l->bytes, &l->source, l->pool, &l->model->image,
                    l->model->note);
    if (!l->model->image.data && !l->source.hashed)
        l->source.hashed = hash_file(l, l->source.content);
    return HONE_OK;
}

static hone_status allocate(loader *l)
{
    l->model->memory = hone_alloc_big(l->bytes);
    if (!l->model->memory)
        return hone_fail(HONE_MEMORY,
                         "out of memory: the packed weights of %s take %zu bytes; a smaller weight "
                         "format (hone quantize) needs less",
                         hone_file_path(l->file), l->bytes);
    l->model->memory_bytes = l->bytes;
    return HONE_OK;
}

static hone_status load(loader *l, hone_progress_fn *progress, void *arg)
{
    hone_model *m = l->model;
    HONE_TRY(hone_arch_read(l->file, &m->arch, &m->hp));
    l->gguf = hone_file_kind(l->file) == HONE_FILE_GGUF;
    l->prefix = l->gguf ? NULL : hone_arch_prefix(m->arch, l->file);
    round_embedding_scale(l);
    l->max_jobs = (size_t)m->hp.layers * HONE_LAYER_SLOTS + HONE_SLOTS - HONE_LAYER_SLOTS;
    m->slots = hone_calloc(l->max_jobs, sizeof *m->slots);
    l->jobs = hone_calloc(l->max_jobs, sizeof *l->jobs);
    if (!m->slots || !l->jobs)
        return hone_fail_memory(l->max_jobs * sizeof *l->jobs, "layers");
    HONE_TRY(walk(l));
    HONE_TRY(hone_model_check_unused(l->file, m->arch, &m->hp));
    m->packed_bytes = l->bytes;
    char key[HONE_PACKED_KEY];
    HONE_TRY(find_packed(l, key));
    if (!m->image.data)
        HONE_TRY(allocate(l));
    l->buffer = m->image.data ? m->image.data : m->memory;
    place_all(l);
    if (m->memory)
        HONE_TRY(pack_all(l, progress, arg));
    l->bytes = 0;
    HONE_TRY(walk(l));
    if (m->memory && *key) {
        const char *path = hone_file_path(l->file), *name = strrchr(path, '/');
        m->writer = hone_packed_write(&l->options->cache, key, name && name[1] ? name + 1 : path,
                                      &l->source, m->memory, m->memory_bytes, m->note);
    }
    if (m->hp.tied)
        hone_model_at(m, 0, HONE_SLOT_HEAD)->w = hone_model_at(m, 0, HONE_SLOT_EMBEDDING)->w;
    return HONE_OK;
}

hone_status hone_model_load(const hone_file *f, const hone_model_options *o, hone_pool *pool,
                            hone_progress_fn *progress, void *arg, hone_model **out)
{
    *out = NULL;
    hone_model *m = hone_calloc(1, sizeof *m);
    if (!m)
        return hone_fail_memory(sizeof *m, "a model");
    loader l = {.file = f, .options = o, .model = m, .pool = pool};
    hone_status s = load(&l, progress, arg);
    for (size_t i = 0; i < l.n_jobs; i++)
        hone_source_close(&l.jobs[i].source);
    hone_free(l.jobs);
    if (s == HONE_OK)
        *out = m;
    else
        hone_model_free(m);
    return s;
}

void hone_model_keep(hone_model *m, hone_progress_fn *progress, void *arg)
{
    hone_packed_write_end(m->writer, progress, arg);
    m->writer = NULL;
}

void hone_model_free(hone_model *m)
{
    if (!m)
        return;
    hone_model_keep(m, NULL, NULL);
    hone_packed_unmap(&m->image);
    hone_free_big(m->memory, m->memory_bytes);
    hone_free(m->slots);
    hone_free(m);
}
