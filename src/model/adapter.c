#include "model/adapter.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/rng.h"
#include "model/forward.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define PEFT "base_model.model." /* before the name of a module */

enum { CONFIG_BYTES_MAX = 1 << 20, DOWN = 0, UP = 1, MAGNITUDE = 2 };

static const char *const endings[] = {".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector"};

/* ---- modules that can be adapted ------------------------------------------------------------- */

typedef struct candidate {
    hone_slot slot;
    uint32_t layer;
    hone_place place; /* in a folder */
    size_t module;
} candidate;

typedef struct plan {
    candidate *list;
    hone_module *modules;
    size_t count, n_modules;
} plan;

static void free_plan(plan *p)
{
    hone_free(p->list);
    hone_free(p->modules);
    *p = (plan){0};
}

/* The modules become the adapter's. */
static void hand_over(plan *p, hone_adapter *a)
{
    a->modules = p->modules;
    a->n_modules = p->n_modules;
    p->modules = NULL;
}

/* The tensor's name without ".weight". */
static hone_status module_name(const char *weight, char out[HONE_NAME_MAX])
{
    static const char end[] = ".weight";
    size_t n = strlen(weight), m = sizeof end - 1;
    if (n <= m || strcmp(weight + n - m, end) != 0)
        return hone_fail(HONE_UNSUPPORTED, "adapters have no name for tensor %s", weight);
    memcpy(out, weight, n - m);
    out[n - m] = 0;
    return HONE_OK;
}

static hone_status add_candidate(const hone_model *m, const char *prefix, hone_slot slot,
                                 uint32_t layer, plan *p)
{
    candidate *c = &p->list[p->count];
    char name[HONE_NAME_MAX];
    if (hone_slot_describe(slot)->vector || !hone_model_at(m, (int)layer, slot)->w.n ||
        !hone_place_find(m->arch, &m->hp, false, prefix, slot, layer, &c->place))
        return HONE_OK;
    HONE_TRY(module_name(c->place.weight, name));
    c->slot = slot;
    c->layer = layer;
    size_t i = p->n_modules > 4 ? p->n_modules - 4 : 0; /* slots of one tensor are neighbours */
    while (i < p->n_modules && strcmp(p->modules[i].name, name) != 0)
        i++;
    if (i == p->n_modules)
        memcpy(p->modules[p->n_modules++].name, name, sizeof name);
    c->module = i;
    p->count++;
    return HONE_OK;
}

/* A block without backward multiplies in ways of its own. */
static hone_status check_blocks(const hone_model *m)
{
    for (uint32_t i = 0; i < m->hp.n_kinds; i++)
        for (uint32_t j = 0; j < m->hp.kinds[i].n_blocks; j++)
            if (!m->hp.kinds[i].blocks[j].block->backward)
                return hone_fail(HONE_UNSUPPORTED, "hone cannot put an adapter beside %s: %s",
                                 m->arch->what, m->hp.kinds[i].blocks[j].block->name);
    return HONE_OK;
}

static hone_status make_plan(const hone_model *m, const char *prefix, plan *p)
{
    size_t most = (size_t)m->hp.layers * HONE_LAYER_SLOTS;
    HONE_TRY(check_blocks(m));
    *p = (plan){.list = hone_calloc(most, sizeof *p->list),
                .modules = hone_calloc(most, sizeof *p->modules)};
    hone_status s =
        p->list && p->modules ? HONE_OK : hone_fail_memory(most * sizeof *p->list, "modules");
    for (uint32_t layer = 0; layer < m->hp.layers && s == HONE_OK; layer++)
        for (hone_slot slot = 0; slot < HONE_LAYER_SLOTS && s == HONE_OK; slot++)
            s = add_candidate(m, prefix, slot, layer, p);
    if (s != HONE_OK)
        free_plan(p);
    return s;
}

/* ---- the list -------------------------------------------------------------------------------- */

static void spell(const char *module, int part, char out[HONE_NAME_MAX])
{
    snprintf(out, HONE_NAME_MAX, PEFT "%.*s%s", HONE_NAME_MAX - 48, module, endings[part]);
}

/* A parameter of PEFT's: rows of the module's outputs where the slot has them. */
static size_t add_parameter(hone_adapter *a, const candidate *c, const char *module, int part,
                            size_t rank)
{
    hone_parameter one = {.slot = c->slot, .layer = c->layer, .n = rank, .k = c->place.k};
    one.place = (hone_place){.n = rank, .k = c->place.k, .stored_n = rank};
    if (part != DOWN) {
        one.place.map = c->place.map;
        one.place.stored_n = c->place.stored_n;
        one.place.n = one.n = part == UP ? c->place.n : 1;
        one.place.k = one.k = part == UP ? rank : c->place.n;
    }
    one.bias = part == MAGNITUDE;
    spell(module, part, one.bias ? one.place.bias : one.place.weight);
    hone_parameters_append(&a->p, &one);
    return a->p.count - 1;
}

static void add_low_rank(hone_adapter *a, const plan *p, size_t i, size_t rank)
{
    const candidate *c = &p->list[i];
    const char *module = p->modules[c->module].name;
    hone_low_rank *l = &a->list[a->count];
    const hone_low_rank *before = a->count ? l - 1 : NULL;
    bool shared = before && i && p->list[i - 1].module == c->module;
    double root = a->o.rslora ? sqrt((double)rank) : (double)rank;
    assert(a->list); /* allocate made room */
    *l = (hone_low_rank){.of = a,
                         .slot = c->slot,
                         .layer = c->layer,
                         .n = c->place.n,
                         .k = c->place.k,
                         .rank = rank,
                         .scale = (float)(a->o.alpha / root),
                         .m = SIZE_MAX};
    l->a = shared ? before->a : add_parameter(a, c, module, DOWN, rank);
    l->stream = shared ? before->stream : (uint64_t)c->layer << 8 | (uint64_t)c->slot;
    p->modules[c->module].chosen = true;
    l->b = add_parameter(a, c, module, UP, rank);
    if (a->o.dora)
        l->m = add_parameter(a, c, module, MAGNITUDE, rank);
    a->rank_max = rank > a->rank_max ? rank : a->rank_max;
    a->widest = l->k > a->widest ? l->k : a->widest;
    a->count++;
}

static hone_status allocate(hone_model *m, const hone_adapter_options *o, bool f32, size_t most,
                            hone_adapter **out)
{
    hone_adapter *a = hone_calloc(1, sizeof *a);
    if (!a)
        return hone_fail_memory(sizeof *a, "an adapter");
    a->o = *o;
    a->o.targets = NULL;
    a->model = m;
    a->layout = f32 ? HONE_LAYOUT_F32 : HONE_LAYOUT_BF16;
    a->list = hone_calloc(most, sizeof *a->list);
    a->p.list = hone_calloc(3 * most, sizeof *a->p.list);
    *out = a;
    return a->list && a->p.list ? HONE_OK
                                : hone_fail_memory(3 * most * sizeof *a->p.list, "an adapter");
}

void hone_adapter_close(hone_adapter *a)
{
    if (!a)
        return;
    for (size_t i = 0; a->kt && i < a->count; i++)
        hone_model_at(a->model, (int)a->list[i].layer, a->list[i].slot)->adapter = NULL;
    if (a->kt)
        a->model->adapter = NULL;
    hone_parameters_free(&a->p);
    hone_free(a->modules);
    hone_free(a->list);
    hone_free(a->scratch);
    hone_free_big(a->memory, a->memory_bytes);
    hone_free(a);
}

/* ---- a new one ------------------------------------------------------------------------------- */

static hone_status check_options(const hone_model *m, const hone_adapter_options *o)
{
    uint32_t most = m->hp.hidden < HONE_RANK_MAX ? m->hp.hidden : HONE_RANK_MAX;
    if (o->rank < 1 || o->rank > most)
        return hone_fail(HONE_USAGE,
                         "a rank of %u: give 1 to %u, for this model; 8 to 64 are usual", o->rank,
                         most);
    if (!(o->alpha > 0) || !(o->alpha <= 1e6))
        return hone_fail(
            HONE_USAGE, "an alpha of %g: give a number above 0, as the rank or twice it", o->alpha);
    if (!(o->dropout >= 0) || !(o->dropout < 1))
        return hone_fail(HONE_USAGE, "a dropout of %g: give 0 up to, not including, 1", o->dropout);
    return HONE_OK;
}

hone_status hone_adapter_new(hone_model *m, const hone_adapter_options *o, bool f32,
                             hone_adapter **out)
{
    plan p;
    hone_adapter *a = NULL;
    *out = NULL;
    HONE_TRY(check_options(m, o));
    HONE_TRY(make_plan(m, m->arch->hf_prefixes[0], &p));
    hone_status s = hone_modules_choose(p.modules, p.n_modules, o->targets);
    if (s == HONE_OK)
        s = allocate(m, o, f32, p.count, &a);
    for (size_t i = 0; i < p.count && s == HONE_OK; i++)
        if (p.modules[p.list[i].module].chosen)
            add_low_rank(a, &p, i, o->rank);
    if (s == HONE_OK)
        hand_over(&p, a);
    free_plan(&p);
    if (s == HONE_OK)
        *out = a;
    else
        hone_adapter_close(a);
    return s;
}

/* ---- from a folder --------------------------------------------------------------------------- */

static hone_status read_config(const char *folder, hone_adapter_options *o)
{
    static const char name[] = "adapter_config.json";
    char *text, *path = hone_path_join(folder, name);
    size_t bytes;
    hone_status s = path ? hone_read_member(folder, name, CONFIG_BYTES_MAX, &text, &bytes)
                         : hone_fail_memory(strlen(folder), "a path");
    if (s == HONE_OK && !text)
        s = hone_fail(HONE_NOT_FOUND, "%s holds no %s: not the folder of an adapter", folder, name);
    else if (s == HONE_OK) {
        s = hone_adapter_config_read(text, bytes, path, o);
        hone_free(text);
    }
    hone_free(path);
    return s;
}

static hone_status open_weights(const char *folder, hone_file **f)
{
    char *path = hone_path_join(folder, "adapter_model.safetensors"),
         *old = hone_path_join(folder, "adapter_model.bin");
    hone_status s = path && old ? HONE_OK : hone_fail_memory(strlen(folder), "a path");
    if (s == HONE_OK && !hone_is_file(path) && hone_is_file(old))
        s = hone_fail(HONE_UNSUPPORTED,
                      "%s: a Python pickle; save the adapter again as safetensors "
                      "(save_pretrained(..., safe_serialization=True))",
                      old);
    if (s == HONE_OK)
        s = hone_file_open(path, f);
    hone_free(path);
    hone_free(old);
    return s;
}

static const hone_tensor *down_of(const hone_file *f, const plan *p, size_t module)
{
    char name[HONE_NAME_MAX];
    spell(p->modules[module].name, DOWN, name);
    return hone_file_tensor(f, name);
}

/* A module's A must have the inputs of the model's matrix and a sensible rank. */
static hone_status check_down(const hone_file *f, const hone_tensor *t, const candidate *c)
{
    if (t->n_dims != 2 || t->shape[1] != c->place.k || t->shape[0] < 1 ||
        t->shape[0] > HONE_RANK_MAX)
        return hone_fail(HONE_FORMAT,
                         "%s: tensor %s is [%llu][%llu]; beside this model's matrix it would be "
                         "[rank, at most %d][%zu]: the adapter of another model?",
                         hone_file_path(f), t->name, (unsigned long long)t->shape[0],
                         t->n_dims > 1 ? (unsigned long long)t->shape[1] : 0ULL, HONE_RANK_MAX,
                         c->place.k);
    return HONE_OK;
}

static const char *parameter_name(const hone_parameter *p)
{
    return p->bias ? p->place.bias : p->place.weight;
}

/* Every tensor of the file must be one of the list, of numbers. */
static hone_status check_used(const hone_file *f, const hone_adapter *a)
{
    for (size_t i = 0; i < hone_file_tensor_count(f); i++) {
        const hone_tensor *t = hone_file_tensor_at(f, i);
        size_t j = 0;
        while (j < a->p.count && strcmp(parameter_name(&a->p.list[j]), t->name) != 0)
            j++;
        if (j == a->p.count)
            return hone_fail(
                HONE_UNSUPPORTED,
                "%s: tensor %s has no place beside the matrices of this model's layers "
                "(%s, %u layers): the adapter of another model, or of its embeddings "
                "or head, which hone does not adapt",
                hone_file_path(f), t->name, a->model->arch->name, a->model->hp.layers);
        if (!hone_dtype_is_float((hone_dtype)t->dtype))
            return hone_fail(HONE_FORMAT, "%s: tensor %s is of %s, not of floating-point numbers",
                             hone_file_path(f), t->name, hone_dtype_name((hone_dtype)t->dtype));
    }
    return HONE_OK;
}

static hone_status take_file(const hone_file *f, const plan *p, hone_adapter *a, float **values)
{
    for (size_t i = 0; i < p->count; i++) {
        const hone_tensor *t = down_of(f, p, p->list[i].module);
        if (!t)
            continue;
        HONE_TRY(check_down(f, t, &p->list[i]));
        add_low_rank(a, p, i, (size_t)t->shape[0]);
        if (t->shape[0] != a->o.rank)
            return hone_fail(
                HONE_FORMAT, "%s: tensor %s has rank %llu; adapter_config.json says %u",
                hone_file_path(f), t->name, (unsigned long long)t->shape[0], a->o.rank);
    }
    HONE_TRY(check_used(f, a));
    if (!a->count)
        return hone_fail(HONE_FORMAT, "%s holds no tensors", hone_file_path(f));
    *values = hone_alloc_big(a->p.floats * sizeof **values);
    if (!*values)
        return hone_fail_memory(a->p.floats * sizeof **values, "an adapter's values");
    hone_status s = hone_parameters_read(f, &a->p, *values);
    return s == HONE_OK ? s : hone_fail_in(s, "the adapter of another model?");
}

/* With the first of the architecture's prefixes under which there is something. */
static hone_status plan_for(const hone_file *f, const hone_model *m, plan *p)
{
    for (int i = 0; i < 3; i++) {
        HONE_TRY(make_plan(m, m->arch->hf_prefixes[i], p));
        for (size_t j = 0; j < p->n_modules; j++)
            if (down_of(f, p, j))
                return HONE_OK;
        if (i == 2 || !m->arch->hf_prefixes[i + 1])
            return HONE_OK;
        free_plan(p);
    }
    return HONE_OK;
}

hone_status hone_adapter_open(const char *folder, hone_model *m, bool f32, hone_adapter **out,
                              float **values)
{
    hone_adapter_options o;
    hone_adapter *a = NULL;
    hone_file *f = NULL;
    plan p = {0};
    *out = NULL;
    *values = NULL;
    HONE_TRY(read_config(folder, &o));
    HONE_TRY(open_weights(folder, &f));
    hone_status s = plan_for(f, m, &p);
    if (s == HONE_OK)
        s = allocate(m, &o, f32, p.count + 1, &a);
    if (s == HONE_OK)
        s = take_file(f, &p, a, values);
    if (s == HONE_OK)
        hand_over(&p, a);
    free_plan(&p);
    hone_file_close(f);
    if (s == HONE_OK) {
        *out = a;
        return s;
    }
    if (*values)
        hone_free_big(*values, a->p.floats * sizeof **values);
    *values = NULL;
    hone_adapter_close(a);
    return s;
}

/* ---- beside the matrices --------------------------------------------------------------------- */

static hone_packed plan_packed(const hone_adapter *a, size_t n, size_t k)
{
    hone_packed w;
    const hone_coding coding = hone_dtype_coding(HONE_DTYPE_F32);
    hone_status s = hone_packed_plan(a->layout, &coding, n, k, &w);
    assert(s == HONE_OK); /* sizes of the model and of a bounded rank */
    (void)s;
    return w;
}

/* Of one thread, for the lengths of W + s B A. */
typedef struct lengths {
    void *product, *act;
    float *ordered, *rows, *inner; /* A in the matrix's order, A W^T [rank][n], A A^T */
} lengths;

static size_t cut_lengths(const hone_adapter *a, void *base, lengths *l)
{
    size_t at = 0, n = 0;
    for (size_t i = 0; i < a->count; i++)
        n = a->list[i].n > n ? a->list[i].n : n;
    l->product = hone_cut(base, &at, hone_product_scratch_bytes());
    l->act = hone_cut(base, &at, hone_act_bytes(a->kt, a->rank_max, a->widest, ~0));
    l->ordered =
        hone_cut(base, &at, a->model->ordered ? a->rank_max * a->widest * sizeof(float) : 0);
    l->rows = hone_cut(base, &at, a->rank_max * n * sizeof(float));
    l->inner = hone_cut(base, &at, a->rank_max * a->rank_max * sizeof(float));
    return at;
}

static size_t lay_out(hone_adapter *a, void *base)
{
    size_t at = 0, threads = (size_t)hone_pool_threads(a->pool);
    lengths unused;
    for (size_t i = 0; i < a->count; i++) {
        hone_low_rank *l = &a->list[i];
        l->down = plan_packed(a, l->rank, l->k);
        l->up = plan_packed(a, l->n, l->rank);
        l->down.data = hone_cut(base, &at, hone_packed_bytes(&l->down));
        l->up.data = hone_cut(base, &at, hone_packed_bytes(&l->up));
        if (a->o.dora) {
            l->squares = hone_cut(base, &at, l->n * sizeof(float));
            l->gain = hone_cut(base, &at, l->n * sizeof(float));
        }
    }
    for (size_t t = 0; t < threads && a->o.dora; t++)
        a->scratch[t] = hone_cut(base, &at, cut_lengths(a, NULL, &unused));
    return at;
}

static const hone_linear *matrix_of(const hone_low_rank *l)
{
    return hone_model_at(l->of->model, (int)l->layer, l->slot);
}

/* |W_i|^2 of one matrix */
static void square_item(void *arg, size_t item, int thread)
{
    enum { ROWS = 16, COLUMNS = 256 };
    const hone_low_rank *l = &((const hone_adapter *)arg)->list[item];
    const hone_packed *w = &matrix_of(l)->w;
    (void)thread;
    for (size_t n = 0; n < l->n; n += ROWS) {
        size_t rows = l->n - n < ROWS ? l->n - n : ROWS;
        double sum[ROWS] = {0};
        float tile[ROWS * COLUMNS];
        for (size_t k = 0; k < l->k; k += COLUMNS) {
            size_t columns = l->k - k < COLUMNS ? l->k - k : COLUMNS;
            hone_unpack_block(w, n, n + rows, k, k + columns, tile, COLUMNS);
            for (size_t r = 0; r < rows; r++)
                for (size_t i = 0; i < columns; i++)
                    sum[r] += (double)tile[r * COLUMNS + i] * (double)tile[r * COLUMNS + i];
        }
        for (size_t r = 0; r < rows; r++)
            l->squares[n + r] = (float)sum[r];
    }
}

hone_status hone_adapter_attach(hone_adapter *a, const hone_kernels *kt, hone_pool *pool)
{
    a->pool = pool;
    a->scratch = hone_calloc((size_t)hone_pool_threads(pool), sizeof *a->scratch);
    if (!a->scratch)
        return hone_fail_memory((size_t)hone_pool_threads(pool) * sizeof(void *), "an adapter");
    a->kt = kt;
    a->memory_bytes = lay_out(a, NULL);
    a->memory = hone_alloc_big(a->memory_bytes);
    if (!a->memory) {
        a->kt = NULL;
        return hone_fail_memory(a->memory_bytes, "an adapter");
    }
    lay_out(a, a->memory);
    for (size_t i = 0; i < a->count; i++)
        hone_model_at(a->model, (int)a->list[i].layer, a->list[i].slot)->adapter = &a->list[i];
    a->model->adapter = a;
    if (a->o.dora)
        hone_pool_run(pool, square_item, a, a->count);
    return HONE_OK;
}

void hone_adapter_fill(const hone_adapter *a, float *values)
{
    memset(values, 0, a->p.floats * sizeof *values);
    for (size_t i = 0; i < a->count; i++) {
        const hone_low_rank *l = &a->list[i];
        float *down = values + a->p.list[l->a].at;
        double bound = 1 / sqrt((double)l->k);
        for (size_t j = 0; j < l->rank * l->k; j++)
            down[j] = (float)((2 * hone_rng_uniform(a->o.seed, l->stream, j) - 1) * bound);
        for (size_t j = 0; j < l->n && l->gain; j++)
            values[a->p.list[l->m].at + j] = sqrtf(l->squares[j]);
    }
}

/* ---- values into what runs ------------------------------------------------------------------- */

/* A W^T, [rank][n]: the matrix's own product, with A for its input. */
static void multiply_rows(const hone_low_rank *l, const float *down, const lengths *t)
{
    const hone_adapter *a = l->of;
    const hone_linear *w = matrix_of(l);
    hone_act act;
    hone_act_init(a->kt, l->rank, l->k, hone_act_flags(&w->w), t->act, &act);
    for (size_t i = 0; w->order && i < l->rank * l->k; i++)
        t->ordered[i] = down[i / l->k * l->k + w->order[i % l->k]];
    a->kt->act_pack(&act, w->order ? t->ordered : down, l->k, 0, l->rank);
    hone_product(a->kt, &w->w, &act, 0, l->rank, 0, w->w.n_panels, t->rows, l->n, NULL, t->product);
}

/* g = m / |W + s B A| by rows; 0 where W + s B A is. */
static void set_gain(const hone_low_rank *l, const float *values, const lengths *t)
{
    const hone_adapter *a = l->of;
    const float *down = values + a->p.list[l->a].at, *up = values + a->p.list[l->b].at,
                *m = values + a->p.list[l->m].at;
    size_t rank = l->rank;
    double s = (double)l->scale;
    multiply_rows(l, down, t);
    for (size_t i = 0; i < rank; i++)
        for (size_t j = 0; j <= i; j++)
            t->inner[i * rank + j] = t->inner[j * rank + i] =
                a->kt->dot(down + i * l->k, down + j * l->k, l->k);
    for (size_t n = 0; n < l->n; n++) {
        const float *b = up + n * rank;
        double cross = 0, square = 0;
        for (size_t i = 0; i < rank; i++) {
            cross += (double)b[i] * (double)t->rows[i * l->n + n];
            square += (double)b[i] * (double)a->kt->dot(b, t->inner + i * rank, rank);
        }
        double length = sqrt((double)l->squares[n] + s * (2 * cross + s * square));
        l->gain[n] = length > 0 ? (float)((double)m[n] / length) : 0.0f;
    }
}

typedef struct push_work {
    const hone_adapter *a;
    const float *values;
} push_work;

static void push_item(void *arg, size_t item, int thread)
{
    const push_work *w = arg;
    const hone_adapter *a = w->a;
    const hone_low_rank *l = &a->list[item];
    a->kt->pack_rows(&l->down, w->values + a->p.list[l->a].at, l->k, 0, l->down.n_panels,
                     (uint8_t *)(uintptr_t)l->down.data);
    a->kt->pack_rows(&l->up, w->values + a->p.list[l->b].at, l->rank, 0, l->up.n_panels,
                     (uint8_t *)(uintptr_t)l->up.data);
    if (l->gain) {
        lengths t;
        (void)cut_lengths(a, a->scratch[thread], &t);
        set_gain(l, w->values, &t);
    }
}

void hone_adapter_push(const hone_adapter *a, const float *values)
{
    unsigned mode = hone_fp_mode_enter();
    hone_pool_run(a->pool, push_item, &(push_work){a, values}, a->count);
    hone_fp_mode_leave(mode);
}

/* ---- dropout --------------------------------------------------------------------------------- */

void hone_low_rank_drop(const hone_low_rank *l, uint64_t row, const float *x, float *y)
{
    const hone_adapter *a = l->of;
    enum { NUMBERS = 8 }; /* of 16 bits in a block */
    uint32_t limit = (uint32_t)(a->o.dropout * 65536 + 0.5), words[4];
    float scale = (float)(1 / (1 - a->o.dropout));
    uint64_t blocks = (l->k + NUMBERS - 1) / NUMBERS;
    for (size_t k = 0; k < l->k; k += NUMBERS) {
        hone_rng_block(a->o.seed ^ 0x64726f706f7574, l->stream << 40 ^ a->step,
                       row * blocks + k / NUMBERS, words);
        for (size_t i = 0; i < NUMBERS && k + i < l->k; i++) {
            uint32_t number = words[i / 2] >> (i % 2 * 16) & 0xffff;
            y[k + i] = number < limit ? 0.0f : x[k + i] * scale;
        }
    }
}
