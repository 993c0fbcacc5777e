#include "compress/convert.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "engine/task.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- rows ----------------------------------------------------------------------------------- */

void hone_convert_whole(const hone_tensor *t, hone_convert_tensor *out)
{
    *out = (hone_convert_tensor){.source = t, .n_dims = t->n_dims, .as_stored = true};
    snprintf(out->name, sizeof out->name, "%s", t->name);
    memcpy(out->shape, t->shape, sizeof out->shape);
}

/* The row of the slot that stands at place `at` of a tensor in the output's order. */
static size_t slot_row(const hone_row_map *to, size_t at)
{
    size_t i = to->run ? at % to->run : 0;
    if (i >= to->pairs)
        return at;
    return at - i + (i % 2 ? to->pairs / 2 : 0) + i / 2;
}

/* The part that row `row` of the output belongs to, and its row in that part's source. */
static const hone_convert_part *locate(const hone_convert_tensor *t, uint64_t row, size_t *at)
{
    const hone_convert_part *p = t->parts;
    while (row >= p->n)
        row -= p++->n;
    *at = hone_row_source(&p->from, slot_row(&p->to, (size_t)row));
    return p;
}

static bool one_number(const hone_tensor *t, size_t index, float *out)
{
    size_t bytes;
    return hone_dtype_row_bytes((hone_dtype)t->dtype, 1, &bytes) &&
           hone_dtype_decode((hone_dtype)t->dtype, t->data + index * bytes, 1, out);
}

const void *hone_convert_bytes(const hone_convert_tensor *t, uint64_t row, size_t row_bytes)
{
    size_t at;
    if (t->n_parts == 0 || t->n_dims == 1)
        return t->source->data + row * row_bytes;
    const hone_convert_part *p = locate(t, row, &at);
    return p->source->data + at * row_bytes;
}

static bool coded_row(const hone_source *s, size_t row, size_t k, float *dst)
{
    for (size_t k0 = 0; k0 < k; k0 += 256)
        if (!s->rows.decode(&s->rows, row, k0, k - k0 < 256 ? k - k0 : 256, dst + k0))
            return false;
    return true;
}

bool hone_convert_row(const hone_convert_tensor *t, uint64_t row, uint64_t k, float *dst)
{
    size_t at, bytes;
    if (t->n_parts && t->n_dims == 2) {
        const hone_convert_part *p = locate(t, row, &at);
        if (p->coded)
            return coded_row(&p->coded->source, at, (size_t)k, dst);
    }
    if (t->as_stored)
        return hone_dtype_row_bytes((hone_dtype)t->source->dtype, k, &bytes) &&
               hone_dtype_decode((hone_dtype)t->source->dtype, hone_convert_bytes(t, row, bytes),
                                 (size_t)k, dst);
    for (uint64_t i = 0; i < k; i++) {
        const hone_convert_part *p = locate(t, t->n_dims == 1 ? i : row, &at);
        size_t index = t->n_dims == 1                    ? at
                       : t->flags & HONE_NAME_TRANSPOSED ? (size_t)i * p->stored_n + at
                                                         : at * (size_t)k + (size_t)i;
        if (!one_number(p->source, index, &dst[i]))
            return false;
        if (t->flags & HONE_NAME_PLUS_ONE)
            dst[i] += 1.0f;
    }
    return true;
}

/* ---- the list of tensors --------------------------------------------------------------------- */

typedef struct planner {
    const hone_file *f;
    const hone_arch *a;
    const hone_hparams *h;
    const char *prefix;
    hone_convert_tensor *list;
    size_t count, most;
} planner;

/* The tensor of this name among the last ones, or a new one at the end. */
static hone_convert_tensor *entry(planner *l, const char *name)
{
    for (size_t back = 1; back <= 8 && back <= l->count; back++)
        if (strcmp(l->list[l->count - back].name, name) == 0)
            return &l->list[l->count - back];
    if (l->count == l->most)
        return NULL;
    hone_convert_tensor *t = &l->list[l->count++];
    snprintf(t->name, sizeof t->name, "%s", name);
    return t;
}

static bool same_order(const hone_convert_part *p)
{
    return p->from.first == 0 && !p->from.run && !p->to.run && p->n == p->stored_n;
}

static hone_status open_coded(const hone_file *f, const char *name, size_t n, size_t k,
                              hone_convert_coded **out)
{
    hone_convert_coded *c = hone_calloc(1, sizeof *c);
    if (!c)
        return hone_fail_memory(sizeof *c, "a quantised matrix");
    hone_status s = hone_source_open(f, name, n, k, &c->source);
    if (s != HONE_OK) {
        hone_free(c);
        return s;
    }
    c->as = (hone_tensor){
        .name = c->source.name, .dtype = HONE_DTYPE_F32, .n_dims = 2, .shape = {n, k}};
    *out = c;
    return HONE_OK;
}

/* Adds the rows of one tensor of the folder, or of the part of it that is the slot's. */
static hone_status add_part(planner *l, const char *name, const char *from, const hone_place *hf,
                            const hone_place *gguf, bool vector)
{
    const hone_tensor *source;
    hone_convert_tensor *t = entry(l, name);
    bool transposed = !vector && (hf->flags & HONE_NAME_TRANSPOSED);
    size_t stored = hf->stored_n;
    uint64_t shape[2] = {stored, hf->k};
    if (transposed) {
        shape[0] = hf->k;
        shape[1] = stored;
    }
    hone_convert_coded *coded = NULL;
    if (!t || t->n_parts == HONE_CONVERT_PARTS)
        return hone_fail(HONE_INTERNAL, "tensor %s has more parts than planned", name);
    if (!vector && hone_source_is_coded(l->f, from)) {
        HONE_TRY(open_coded(l->f, from, stored, hf->k, &coded));
        assert(coded);
        source = &coded->as;
        transposed = false; /* a quantised matrix lies as it is multiplied */
    } else {
        HONE_TRY(hone_file_need_tensor(l->f, from, vector ? 1 : 2, shape, &source));
    }
    if (!hone_dtype_is_float((hone_dtype)source->dtype))
        return hone_fail(HONE_UNSUPPORTED, "%s: tensor %s is %s, not a float format",
                         hone_file_path(l->f), from, hone_dtype_name((hone_dtype)source->dtype));
    hone_convert_part *p = &t->parts[t->n_parts++];
    *p = (hone_convert_part){.source = source, .coded = coded, .from = hf->map, .to = gguf->map};
    p->n = hf->n;
    p->stored_n = stored;
    p->to.first = 0; /* the place of the part is its turn */
    if (t->n_parts == 1)
        t->source = source;
    t->n_dims = vector ? 1 : 2;
    t->shape[0] += p->n;
    t->shape[1] = vector ? 0 : hf->k;
    t->flags = (transposed ? HONE_NAME_TRANSPOSED : 0) | (hf->flags & HONE_NAME_PLUS_ONE);
    bool alone = t->n_parts == 1 && same_order(p), one_type = source->dtype == t->source->dtype;
    t->as_stored =
        !coded && !t->flags && (vector ? alone : one_type && (t->n_parts == 1 || t->as_stored));
    return HONE_OK;
}

static hone_status add_slot(planner *l, hone_slot slot, uint32_t layer)
{
    hone_place hf, gguf;
    bool vector = hone_slot_describe(slot)->vector;
    if (!hone_place_find(l->a, l->h, false, l->prefix, slot, layer, &hf))
        return HONE_OK;
    if ((hf.flags & HONE_NAME_OPTIONAL) && !hone_file_tensor(l->f, hf.weight) &&
        !hone_source_is_coded(l->f, hf.weight))
        return HONE_OK;
    bool place = hone_place_find(l->a, l->h, true, NULL, slot, layer, &gguf);
    if (!place && (hf.flags & HONE_NAME_OPTIONAL))
        return HONE_OK; /* GGUF files do without */
    if (vector)
        hf.n = hf.stored_n = hf.k;
    bool bias = *hf.bias && ((hf.flags & HONE_NAME_BIAS) || hone_file_tensor(l->f, hf.bias));
    if (!place || (bias && !*gguf.bias))
        return hone_fail(HONE_UNSUPPORTED,
                         "%s: tensor %.200s has no place in a GGUF file of architecture %s",
                         hone_file_path(l->f), place ? hf.bias : hf.weight, l->a->gguf);
    HONE_TRY(add_part(l, gguf.weight, hf.weight, &hf, &gguf, vector));
    if (!bias)
        return HONE_OK;
    hf.flags &= ~HONE_NAME_PLUS_ONE;
    return add_part(l, gguf.bias, hf.bias, &hf, &gguf, true);
}

static void add_factors(planner *l, hone_convert_factors which, const char *name, uint64_t pairs)
{
    hone_convert_tensor *t = &l->list[l->count++];
    *t = (hone_convert_tensor){.factors = which, .n_dims = 1, .shape = {pairs}};
    snprintf(t->name, sizeof t->name, "%s", name);
}

static hone_status fill_plan(planner *l)
{
    hone_rope_config rope = {.scaling = HONE_ROPE_DEFAULT};
    if (l->h->n_ropes)
        HONE_TRY(
            hone_rope_config_from_hf(l->f, false, l->h->head_dim, l->h->context_tokens, &rope));
    if (rope.scaling == HONE_ROPE_LLAMA3)
        add_factors(l, HONE_FACTORS_FREQS, "rope_freqs.weight", rope.dim / 2);
    if (rope.scaling == HONE_ROPE_LONG) {
        add_factors(l, HONE_FACTORS_LONG, "rope_factors_long.weight", rope.dim / 2);
        add_factors(l, HONE_FACTORS_SHORT, "rope_factors_short.weight", rope.dim / 2);
    }
    for (hone_slot slot = HONE_LAYER_SLOTS; slot < HONE_SLOTS; slot++)
        HONE_TRY(add_slot(l, slot, 0));
    for (uint32_t layer = 0; layer < l->h->layers; layer++)
        for (hone_slot slot = 0; slot < HONE_LAYER_SLOTS; slot++)
            HONE_TRY(add_slot(l, slot, layer));
    return hone_model_check_unused(l->f, l->a, l->h);
}

hone_status hone_convert_plan(const hone_file *f, hone_convert_tensor **out, size_t *count)
{
    hone_hparams h;
    planner l = {.f = f, .h = &h};
    HONE_TRY(hone_arch_read(f, &l.a, &h));
    if (!l.a->gguf)
        return hone_fail(HONE_UNSUPPORTED, "%s: GGUF has no name for architecture %s",
                         hone_file_path(f), l.a->name);
    l.prefix = hone_arch_prefix(l.a, f);
    l.most = 2 * (hone_file_tensor_count(f) * 2 + 4);
    l.list = hone_calloc(l.most, sizeof *l.list);
    if (!l.list)
        return hone_fail_memory(l.most * sizeof *l.list, "a list of tensors");
    hone_status s = fill_plan(&l);
    if (s != HONE_OK) {
        hone_convert_free(l.list, l.count);
        return s;
    }
    *out = l.list;
    *count = l.count;
    return HONE_OK;
}

void hone_convert_free(hone_convert_tensor *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (uint32_t p = 0; p < list[i].n_parts; p++)
            if (list[i].parts[p].coded) {
                hone_source_close(&list[i].parts[p].coded->source);
                hone_free(list[i].parts[p].coded);
            }
    hone_free(list);
}

/* ---- rotary factors -------------------------------------------------------------------------- */

/* What each plain rotary frequency is divided by to give those of `target`, dim / 2 of them, such
 * that the float32 quotient has the target's bits if any factor gives them. */
static void rope_factors(const hone_rope_config *c, const hone_rope *target, float *factors)
{
    hone_rope_config plain_config = *c;
    hone_rope plain;
    plain_config.scaling = HONE_ROPE_DEFAULT;
    hone_rope_init(&plain_config, &plain);
    for (uint32_t i = 0; i < target->dim / 2; i++) {
        float want = target->inv_freq[i], factor = plain.inv_freq[i] / want;
        float low = factor, high = factor;
        factors[i] = factor;
        for (int step = 0; step < 4 && plain.inv_freq[i] / factors[i] != want; step++) {
            low = nextafterf(low, 0);
            high = nextafterf(high, INFINITY);
            factors[i] = plain.inv_freq[i] / low == want    ? low
                         : plain.inv_freq[i] / high == want ? high
                                                            : factor;
        }
    }
}

hone_status hone_convert_factor_values(const hone_file *f, hone_convert_factors which,
                                       uint64_t *count, float *factors)
{
    const hone_arch *a;
    hone_hparams h;
    hone_rope_config c;
    HONE_TRY(hone_arch_read(f, &a, &h));
    HONE_TRY(hone_rope_config_from_hf(f, false, h.head_dim, h.context_tokens, &c));
    *count = h.ropes[0][0].dim / 2;
    if (which == HONE_FACTORS_FREQS)
        rope_factors(&c, &h.ropes[0][0], factors);
    else
        for (uint64_t i = 0; i < *count; i++)
            factors[i] = (float)c.factors[which == HONE_FACTORS_LONG][i];
    return HONE_OK;
}

/* ---- metadata -------------------------------------------------------------------------------- */

static const char *full(const hone_arch *a, const char *suffix, char key[96])
{
    snprintf(key, 96, "%s.%s", a->gguf, suffix);
    return key;
}

static hone_status write_rope(const hone_arch *a, const hone_rope_config *c,
                              const hone_rope_config *local, hone_gguf_writer *w)
{
    char key[96];
    HONE_TRY(hone_gguf_writer_u32(w, full(a, "rope.dimension_count", key), c->dim));
    HONE_TRY(hone_gguf_writer_f32(w, full(a, "rope.freq_base", key), (float)c->theta));
    if (local)
        HONE_TRY(hone_gguf_writer_f32(w, full(a, "rope.freq_base_swa", key), (float)local->theta));
    if (c->scaling == HONE_ROPE_DEFAULT || c->scaling == HONE_ROPE_LLAMA3 ||
        c->scaling == HONE_ROPE_DYNAMIC)
        return HONE_OK; /* Llama 3's are the tensor rope_freqs.weight; dynamic scaling acts only on
                           sequences longer than the context, which hone does not take */
    bool yarn = c->scaling == HONE_ROPE_YARN, longrope = c->scaling == HONE_ROPE_LONG;
    if (yarn || longrope)
        HONE_TRY(hone_gguf_writer_u32(w, full(a, "rope.scaling.original_context_length", key),
                                      (uint32_t)c->original_context));
    if (longrope) {
        hone_rope r;
        hone_rope_init(c, &r);
        return hone_gguf_writer_f32(w, full(a, "rope.scaling.attn_factor", key), r.magnitude);
    }
    if (yarn && !c->truncate)
        return hone_fail(HONE_UNSUPPORTED,
                         "YaRN without rounding (truncate false) cannot be expressed in GGUF");
    if (yarn && (c->attention_factor != 0 || c->mscale != 0)) {
        hone_rope r; /* llama.cpp multiplies what it derives itself with the file's number */
        hone_rope_init(c, &r);
        HONE_TRY(hone_gguf_writer_f32(w, full(a, "rope.scaling.attn_factor", key),
                                      (float)((double)r.magnitude / hone_rope_yarn_magnitude(c))));
    }
    HONE_TRY(hone_gguf_writer_str(w, full(a, "rope.scaling.type", key), yarn ? "yarn" : "linear"));
    HONE_TRY(hone_gguf_writer_f32(w, full(a, "rope.scaling.factor", key), (float)c->factor));
    if (!yarn)
        return HONE_OK;
    HONE_TRY(
        hone_gguf_writer_f32(w, full(a, "rope.scaling.yarn_beta_fast", key), (float)c->beta_fast));
    return hone_gguf_writer_f32(w, full(a, "rope.scaling.yarn_beta_slow", key),
                                (float)c->beta_slow);
}

static bool follows(const hone_hparams *h, uint32_t pattern)
{
    for (uint32_t i = 0; i < h->layers; i++)
        if ((hone_kind(h, i)->window != 0) != (pattern == 0 || (i + 1) % pattern != 0))
            return false;
    return true;
}

/* Which layers have a window, if it is not what the architecture is known for. */
static hone_status write_windows(const hone_arch *a, const hone_hparams *h, hone_gguf_writer *w)
{
    char key[96];
    int32_t list[HONE_LAYERS_MAX];
    if (!h->window || follows(h, a->window_pattern))
        return HONE_OK;
    full(a, "attention.sliding_window_pattern", key);
    for (uint32_t pattern = 0; pattern <= h->layers; pattern++)
        if (follows(h, pattern))
            return hone_gguf_writer_u32(w, key, pattern);
    for (uint32_t i = 0; i < h->layers; i++)
        list[i] = hone_kind(h, i)->window != 0;
    return hone_gguf_writer_i32_array(w, key, list, h->layers);
}

static hone_status write_key(const hone_arch *a, const hone_key *k, const hone_hparams *h,
                             hone_gguf_writer *w)
{
    char key[96];
    const char *field = (const char *)h + k->field;
    uint32_t whole;
    float real;
    bool yes;
    full(a, k->gguf, key);
    if (k->type == HONE_KEY_BOOL) {
        memcpy(&yes, field, sizeof yes);
        return hone_gguf_writer_bool(w, key, yes);
    }
    if (k->type == HONE_KEY_F32) {
        memcpy(&real, field, sizeof real);
        return real == 0 && (k->flags & HONE_KEY_IF_SET) ? HONE_OK
                                                         : hone_gguf_writer_f32(w, key, real);
    }
    memcpy(&whole, field, sizeof whole);
    return whole == 0 && (k->flags & HONE_KEY_IF_SET) ? HONE_OK
                                                      : hone_gguf_writer_u32(w, key, whole);
}

static hone_status write_keys(const hone_arch *a, const hone_hparams *h,
                              const hone_rope_config *rope, const hone_rope_config *local,
                              hone_gguf_writer *w)
{
    char key[96];
    HONE_TRY(hone_gguf_writer_str(w, "general.architecture", a->gguf));
    HONE_TRY(hone_gguf_writer_str(w, "general.type", "model"));
    for (const hone_key *k = a->keys; k->type != HONE_KEY_END; k++)
        if (k->gguf)
            HONE_TRY(write_key(a, k, h, w));
    if (h->attention_scale != 0 && h->attention_scale != 1.0f / sqrtf((float)h->head_dim))
        HONE_TRY(hone_gguf_writer_f32(w, full(a, "attention.scale", key), h->attention_scale));
    HONE_TRY(write_windows(a, h, w));
    if (h->bidirectional)
        HONE_TRY(hone_gguf_writer_bool(w, full(a, "attention.causal", key), false));
    if (h->token_types)
        HONE_TRY(hone_gguf_writer_u32(w, "tokenizer.ggml.token_type_count", h->token_types));
    return h->n_ropes ? write_rope(a, rope, h->n_ropes > 1 ? local : NULL, w) : HONE_OK;
}

/* The folder's last name, as far as it is UTF-8, which GGUF's texts are. */
static void folder_name(const char *path, char *out, size_t size)
{
    size_t end = strlen(path), begin;
    while (end > 1 && path[end - 1] == '/')
        end--;
    for (begin = end; begin > 0 && path[begin - 1] != '/';)
        begin--;
    snprintf(out, size, "%.*s", (int)(end - begin), path + begin);
    out[hone_utf8_valid_prefix(out, strlen(out))] = 0;
}

hone_status hone_convert_hparams(const hone_file *f, hone_gguf_writer *w)
{
    const hone_arch *a;
    hone_hparams h;
    hone_rope_config rope = {0}, local = {0};
    HONE_TRY(hone_arch_read(f, &a, &h));
    double context = h.context_tokens;
    if (h.n_ropes)
        HONE_TRY(hone_rope_config_from_hf(f, false, h.head_dim, context, &rope));
    if (h.n_ropes > 1)
        HONE_TRY(hone_rope_config_from_hf(f, true, h.head_dim, context, &local));
    hone_status s = write_keys(a, &h, &rope, &local, w);
    return s == HONE_OK ? s : hone_fail_in(s, "%s", hone_file_path(f));
}

/* What llama.cpp wants to know of an encoder: pooling and labels. */
static hone_status write_task(const hone_file *f, const hone_arch *a, const hone_hparams *h,
                              hone_gguf_writer *w)
{
    static const uint32_t poolings[HONE_POOLING_COUNT] = {
        [HONE_POOLING_MEAN] = 1, [HONE_POOLING_CLS] = 2, [HONE_POOLING_LAST] = 3};
    char key[96];
    hone_task t;
    HONE_TRY(hone_task_read(f, true, &t));
    hone_status s = HONE_OK;
    uint32_t pooling = t.pooling_known ? poolings[t.pooling] : h->labels == 1 ? 4 : 0;
    if (t.pooling_known && !pooling)
        s = hone_fail(HONE_UNSUPPORTED, "%s: GGUF has no name for pooling %s", hone_file_path(f),
                      hone_pooling_name(t.pooling));
    else if (pooling)
        s = hone_gguf_writer_u32(w, full(a, "pooling_type", key), pooling);
    if (s == HONE_OK && h->labels > 1 && t.n_labels == h->labels)
        s = hone_gguf_writer_str_array(w, full(a, "classifier.output_labels", key),
                                       (const char *const *)t.labels, NULL, t.n_labels);
    hone_task_free(&t);
    return s;
}

hone_status hone_convert_metadata(const hone_file *f, const hone_quantize_options *o,
                                  hone_gguf_writer *w, const hone_quantize_events *e)
{
    const hone_arch *a;
    hone_hparams h;
    char name[256];
    HONE_TRY(hone_arch_read(f, &a, &h));
    HONE_TRY(hone_convert_hparams(f, w));
    HONE_TRY(write_task(f, a, &h, w));
    folder_name(hone_file_path(f), name, sizeof name);
    HONE_TRY(hone_gguf_writer_str(w, "general.name", name[0] ? name : a->name));
    return hone_convert_tokenizer(f, o, h.vocab, w, e);
}
