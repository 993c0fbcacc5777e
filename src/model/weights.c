#include "model/weights.h"

#include "base/io.h"
#include "base/mem.h"
#include "model/source.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* Which row of the stored matrix becomes row r: rows of a head are together. */
typedef struct row_map {
    uint32_t head_dim; /* 0 = row r itself; otherwise within each head, whose first rope_dim rows */
    uint32_t rope_dim; /* are interleaved: (2i, 2i + 1) -> (i, i + rope_dim/2) */
} row_map;

/* One matrix to be packed: its rows, put in order, rounded to another format if asked for. */
typedef struct pack_job {
    hone_source source;
    hone_linear *target;
    int as; /* format that it is rounded to first, or HONE_WEIGHT_AS_FILED */
    row_map map;
    size_t offset; /* in the model's buffer */
    size_t first_item, items;
} pack_job;

typedef struct loader {
    const hone_file *file;
    const hone_model_options *options;
    hone_model *model;
    pack_job *jobs;
    size_t n_jobs, max_jobs, bytes;
    hone_pool *pool;
    uint8_t **scratch; /* per thread */
    size_t scratch_bytes;
    _Atomic int failed; /* a value that the format cannot hold */
    size_t failed_job;
} loader;

enum { PANELS_PER_ITEM = 8 };

static hone_weight_kind kind_of(hone_slot slot)
{
    switch (slot) {
    case HONE_SLOT_Q:
    case HONE_SLOT_K:
    case HONE_SLOT_V:
    case HONE_SLOT_O:
        return HONE_WEIGHT_ATTENTION;
    case HONE_SLOT_GATE:
    case HONE_SLOT_UP:
    case HONE_SLOT_DOWN:
        return HONE_WEIGHT_MLP;
    default:
        return HONE_WEIGHT_HEAD;
    }
}

static const hone_tensor_name *names_of(const loader *l, hone_slot slot)
{
    const hone_arch *a = l->model->arch;
    return hone_file_kind(l->file) == HONE_FILE_GGUF ? &a->gguf_names[slot] : &a->hf_names[slot];
}

static void slot_name(const char *pattern, uint32_t layer, char *out, size_t n)
{
    const char *at = strstr(pattern, "%u");
    if (!at)
        snprintf(out, n, "%s", pattern);
    else
        snprintf(out, n, "%.*s%u%s", (int)(at - pattern), pattern, layer, at + 2);
}

/* Takes `bytes` of the model's buffer; the address is known once the buffer is. */
static size_t reserve(loader *l, size_t bytes)
{
    size_t at = l->bytes;
    l->bytes += (bytes + 63) & ~(size_t)63;
    return at;
}

/* The format a matrix is rounded to before it is packed, where its blocks divide the rows. */
static int format_for(const loader *l, const hone_source *source, hone_slot slot,
                      bool embedding_only)
{
    int wish = l->options->weight_dtype[kind_of(slot)];
    size_t row;
    bool filed = l->options->f32 || embedding_only || wish == HONE_WEIGHT_AS_FILED ||
                 !hone_dtype_can_encode((hone_dtype)wish) ||
                 !hone_dtype_row_bytes((hone_dtype)wish, source->k, &row);
    return filed ? HONE_WEIGHT_AS_FILED : wish;
}

static row_map map_of(const loader *l, hone_slot slot)
{
    const hone_hparams *h = &l->model->hp;
    if (hone_file_kind(l->file) == HONE_FILE_GGUF && l->model->arch->gguf_interleaved_qk &&
        (slot == HONE_SLOT_Q || slot == HONE_SLOT_K))
        return (row_map){h->head_dim, h->rope.dim};
    return (row_map){0};
}

static hone_status add_matrix(loader *l, hone_slot slot, uint32_t layer, size_t n, size_t k,
                              hone_linear *target)
{
    char name[128];
    if (l->n_jobs == l->max_jobs)
        return hone_fail(HONE_INTERNAL, "more matrices than planned");
    pack_job *j = &l->jobs[l->n_jobs];
    slot_name(names_of(l, slot)->weight, layer, name, sizeof name);
    HONE_TRY(hone_source_open(l->file, name, n, k, &j->source));
    l->n_jobs++;
    j->target = target;
    j->as = format_for(l, &j->source, slot, slot == HONE_SLOT_EMBEDDING && !l->model->hp.tied);
    j->map = map_of(l, slot);
    hone_coding coding = j->as == HONE_WEIGHT_AS_FILED ? j->source.rows.coding
                                                       : hone_dtype_coding((hone_dtype)j->as);
    hone_status s =
        hone_packed_plan(hone_layout_for(&coding, l->options->f32), &coding, n, k, &target->w);
    if (s != HONE_OK)
        return hone_fail_in(s, "%s: tensor %s", hone_file_path(l->file), name);
    j->offset = reserve(l, hone_packed_bytes(&target->w));
    l->model->parameters += (uint64_t)n * k;
    l->model->kind_bytes[kind_of(slot)] += hone_packed_bytes(&target->w);
    return HONE_OK;
}

static size_t source_row(const row_map *m, size_t r)
{
    if (!m->head_dim)
        return r;
    size_t head = r / m->head_dim, i = r % m->head_dim, half = m->rope_dim / 2;
    if (i >= m->rope_dim)
        return r;
    return head * m->head_dim + (i < half ? 2 * i : 2 * (i - half) + 1);
}

/* The rows of a job in their order: what the packer reads. */
static bool mapped_decode(const hone_rows *s, size_t row, size_t k0, size_t count, float *out)
{
    const pack_job *j = s->context;
    return j->source.rows.decode(&j->source.rows, source_row(&j->map, row), k0, count, out);
}

static bool mapped_codes(const hone_rows *s, size_t row, size_t k0, size_t count, int8_t *codes,
                         float *scales, float *mins)
{
    const pack_job *j = s->context;
    return j->source.rows.codes(&j->source.rows, source_row(&j->map, row), k0, count, codes, scales,
                                mins);
}

/* Rounds rows [row0, row0 + n) to the job's format, one after the other into `rows`. */
static bool round_rows(const pack_job *j, size_t row0, size_t n, float *row, uint8_t *rows)
{
    size_t k = j->source.k, bytes;
    if (!hone_dtype_row_bytes((hone_dtype)j->as, k, &bytes))
        return false;
    for (size_t r = 0; r < n; r++) {
        size_t from = source_row(&j->map, row0 + r);
        for (size_t k0 = 0; k0 < k; k0 += 256)
            if (!j->source.rows.decode(&j->source.rows, from, k0, k - k0 < 256 ? k - k0 : 256,
                                       row + k0))
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
        hone_rows mapped = {.coding = j->source.rows.coding,
                            .decode = mapped_decode,
                            .codes = mapped_codes,
                            .context = j};
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

static void pack_item(void *arg, size_t item, int thread)
{
    loader *l = arg;
    size_t a = 0, b = l->n_jobs;
    while (b - a > 1) {
        size_t mid = (a + b) / 2;
        if (l->jobs[mid].first_item <= item)
            a = mid;
        else
            b = mid;
    }
    const pack_job *j = &l->jobs[a];
    size_t p0 = (item - j->first_item) * PANELS_PER_ITEM, p1 = p0 + PANELS_PER_ITEM;
    if (p1 > j->target->w.n_panels)
        p1 = j->target->w.n_panels;
    if (!pack_panels(l, j, p0, p1, l->scratch[thread])) {
        l->failed_job = a;
        atomic_store(&l->failed, 1);
    }
}

/* float32 copy of a vector of n; *out NULL if it is optional and not there. */
static hone_status add_vector(loader *l, const char *pattern, uint32_t layer, size_t n,
                              bool optional, bool permuted, const float **out)
{
    char name[128];
    const hone_tensor *t;
    *out = NULL;
    if (!pattern)
        return HONE_OK;
    slot_name(pattern, layer, name, sizeof name);
    if (optional && !hone_file_tensor(l->file, name))
        return HONE_OK;
    HONE_TRY(hone_file_need_tensor(l->file, name, 1, (uint64_t[]){n}, &t));
    size_t at = reserve(l, n * sizeof(float));
    l->model->parameters += n;
    if (!l->model->memory)
        return HONE_OK;
    float *v = (float *)(void *)((uint8_t *)l->model->memory + at);
    if (!hone_dtype_decode((hone_dtype)t->dtype, t->data, n, v))
        return hone_fail(HONE_FORMAT, "%s: tensor %s: %zu elements do not fill its blocks",
                         hone_file_path(l->file), name, n);
    *out = v;
    if (permuted) {
        row_map map = {l->model->hp.head_dim, l->model->hp.rope.dim};
        float one;
        size_t size;
        if (!hone_dtype_row_bytes((hone_dtype)t->dtype, 1, &size))
            return hone_fail(HONE_UNSUPPORTED, "%s: tensor %s: a bias in blocks",
                             hone_file_path(l->file), name);
        for (size_t r = 0; r < n; r++) {
            hone_dtype_decode((hone_dtype)t->dtype, t->data + source_row(&map, r) * size, 1, &one);
            v[r] = one;
        }
    }
    return HONE_OK;
}

static hone_status add_linear(loader *l, hone_slot slot, uint32_t layer, size_t n, size_t k,
                              hone_linear *target)
{
    const hone_arch *a = l->model->arch;
    bool gguf = hone_file_kind(l->file) == HONE_FILE_GGUF;
    bool permuted = gguf && a->gguf_interleaved_qk && (slot == HONE_SLOT_Q || slot == HONE_SLOT_K);
    if (!l->model->memory) /* the second walk only fills the vectors */
        HONE_TRY(add_matrix(l, slot, layer, n, k, target));
    else
        reserve(l, hone_packed_bytes(&target->w));
    return add_vector(l, names_of(l, slot)->bias, layer, n, true, permuted, &target->bias);
}

/* Walks over all that the model needs, in one order: once to plan the buffer, once to fill the
 * vectors. */
static hone_status walk(loader *l)
{
    hone_model *m = l->model;
    const hone_hparams *h = &m->hp;
    size_t q = (size_t)h->heads * h->head_dim, kv = (size_t)h->kv_heads * h->head_dim;
    HONE_TRY(add_linear(l, HONE_SLOT_EMBEDDING, 0, h->vocab, h->hidden, &m->embedding));
    for (uint32_t i = 0; i < h->layers; i++) {
        hone_layer *y = &m->layers[i];
        HONE_TRY(add_vector(l, names_of(l, HONE_SLOT_NORM_ATTENTION)->weight, i, h->hidden, false,
                            false, &y->norm_attention));
        HONE_TRY(add_linear(l, HONE_SLOT_Q, i, q, h->hidden, &y->q));
        HONE_TRY(add_linear(l, HONE_SLOT_K, i, kv, h->hidden, &y->k));
        HONE_TRY(add_linear(l, HONE_SLOT_V, i, kv, h->hidden, &y->v));
        HONE_TRY(add_linear(l, HONE_SLOT_O, i, h->hidden, q, &y->o));
        HONE_TRY(add_vector(l, names_of(l, HONE_SLOT_NORM_MLP)->weight, i, h->hidden, false, false,
                            &y->norm_mlp));
        HONE_TRY(add_linear(l, HONE_SLOT_GATE, i, h->ffn, h->hidden, &y->gate));
        HONE_TRY(add_linear(l, HONE_SLOT_UP, i, h->ffn, h->hidden, &y->up));
        HONE_TRY(add_linear(l, HONE_SLOT_DOWN, i, h->hidden, h->ffn, &y->down));
    }
    HONE_TRY(add_vector(l, names_of(l, HONE_SLOT_NORM_FINAL)->weight, 0, h->hidden, false, false,
                        &m->norm_final));
    return h->tied ? HONE_OK : add_linear(l, HONE_SLOT_HEAD, 0, h->vocab, h->hidden, &m->head);
}

static hone_status pack_all(loader *l, hone_progress_fn *progress, void *arg)
{
    size_t items = 0, longest = 0;
    for (size_t i = 0; i < l->n_jobs; i++) {
        pack_job *j = &l->jobs[i];
        j->target->w.data = (uint8_t *)l->model->memory + j->offset;
        j->first_item = items;
        j->items = (j->target->w.n_panels + PANELS_PER_ITEM - 1) / PANELS_PER_ITEM;
        items += j->items;
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
        loader one = *l;
        one.jobs = &l->jobs[i];
        one.n_jobs = 1;
        size_t first = one.jobs->first_item;
        one.jobs->first_item = 0;
        hone_pool_run(l->pool, pack_item, &one, one.jobs->items);
        one.jobs->first_item = first;
        const hone_source *source = &one.jobs->source;
        for (int t = 0; t < HONE_SOURCE_TENSORS && source->tensors[t]; t++)
            hone_map_forget(source->tensors[t]->data, source->tensors[t]->bytes);
        if (atomic_load(&one.failed))
            s = hone_fail(HONE_FORMAT,
                          "%s: tensor %s holds values (NaN, infinity or too large) that %s cannot",
                          hone_file_path(l->file), source->name,
                          one.jobs->as == HONE_WEIGHT_AS_FILED
                              ? "its own format"
                              : hone_dtype_name((hone_dtype)one.jobs->as));
        if (progress)
            progress(arg, "packing weights", (double)(first + one.jobs->items), (double)items);
    }
    for (int t = 0; t < threads; t++)
        hone_free_big(l->scratch[t], l->scratch_bytes);
    hone_free(l->scratch);
    return s;
}

static hone_status load(loader *l, hone_progress_fn *progress, void *arg)
{
    hone_model *m = l->model;
    HONE_TRY(hone_arch_read(l->file, &m->arch, &m->hp));
    l->max_jobs = (size_t)m->hp.layers * 7 + 2;
    m->layers = hone_calloc(m->hp.layers, sizeof *m->layers);
    l->jobs = hone_calloc(l->max_jobs, sizeof *l->jobs);
    if (!m->layers || !l->jobs)
        return hone_fail_memory(m->hp.layers * sizeof *m->layers, "layers");
    HONE_TRY(walk(l));
    m->memory_bytes = l->bytes;
    m->memory = hone_alloc_big(l->bytes);
    if (!m->memory)
        return hone_fail(HONE_MEMORY,
                         "out of memory: the packed weights of %s take %zu bytes; a smaller weight "
                         "format (hone quantize) needs less",
                         hone_file_path(l->file), l->bytes);
    m->packed_bytes = l->bytes;
    HONE_TRY(pack_all(l, progress, arg));
    l->bytes = 0;
    uint64_t parameters = m->parameters;
    HONE_TRY(walk(l));
    m->parameters = parameters;
    if (m->hp.tied)
        m->head = m->embedding;
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

void hone_model_free(hone_model *m)
{
    if (!m)
        return;
    hone_free_big(m->memory, m->memory_bytes);
    hone_free(m->layers);
    hone_free(m);
}
