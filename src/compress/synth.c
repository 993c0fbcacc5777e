#include "compress/synth.h"

#include "base/mem.h"
#include "compress/convert.h"
#include "compress/ftype.h"
#include "compress/rowstream.h"
#include "compress/synth_parts.h"
#include "model/arch.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SYNTH_NAME_MAX = 64, SPECIAL_TOKENS = 256, SPECIAL_TOKENS_TINY = 16 };

/* Shapes as in the published config.json of each model. */
static const hone_synth_shape shapes[] = {
    {"llama-3.2-1b", "Llama 3.2 1B: 16 layers of 2048, 32 heads (8 KV), tied", 16, 2048, 32, 8, 64,
     8192, 128256, 131072, true, 500000, 32, 1, 4, 8192},
    {"llama-3-8b", "Llama 3 8B: 32 layers of 4096, 32 heads (8 KV)", 32, 4096, 32, 8, 128, 14336,
     128256, 8192, false, 500000, 0, 0, 0, 0},
    {"tiny", "for tests and demonstrations: 4 layers of 128, 4 heads (2 KV), tied", 4, 128, 4, 2,
     32, 384, 1024, 2048, true, 500000, 8, 1, 4, 512},
};

size_t hone_synth_shape_count(void)
{
    return sizeof shapes / sizeof *shapes;
}

const hone_synth_shape *hone_synth_shape_at(size_t i)
{
    return &shapes[i];
}

const hone_synth_shape *hone_synth_shape_find(const char *name)
{
    for (size_t i = 0; i < hone_synth_shape_count(); i++)
        if (strcmp(shapes[i].name, name) == 0)
            return &shapes[i];
    return NULL;
}

typedef struct synth_tensor {
    char name[SYNTH_NAME_MAX];
    hone_dtype type;
    int n_dims;
    uint64_t shape[2];
    enum { MATRIX, NORM, ROPE_FACTORS } content;
} synth_tensor;

typedef struct synth_job {
    const hone_synth_options *o;
    const hone_synth_shape *shape;
    uint32_t layers;
    synth_tensor *tensors;
    size_t count;
    const synth_tensor *current;
} synth_job;

/* Rows and elements of a row; rows 0 for a norm. */
static void slot_shape(const hone_synth_shape *s, hone_slot slot, uint64_t *n, uint64_t *k)
{
    uint64_t q = (uint64_t)s->heads * s->head_dim, kv = (uint64_t)s->kv_heads * s->head_dim;
    const uint64_t sizes[HONE_SLOTS][2] = {
        [HONE_SLOT_NORM_ATTENTION] = {0, s->hidden},
        [HONE_SLOT_Q] = {q, s->hidden},
        [HONE_SLOT_K] = {kv, s->hidden},
        [HONE_SLOT_V] = {kv, s->hidden},
        [HONE_SLOT_O] = {s->hidden, q},
        [HONE_SLOT_NORM_MLP] = {0, s->hidden},
        [HONE_SLOT_GATE] = {s->ffn, s->hidden},
        [HONE_SLOT_UP] = {s->ffn, s->hidden},
        [HONE_SLOT_DOWN] = {s->hidden, s->ffn},
        [HONE_SLOT_EMBEDDING] = {s->vocab, s->hidden},
        [HONE_SLOT_NORM_FINAL] = {0, s->hidden},
        [HONE_SLOT_HEAD] = {s->vocab, s->hidden},
    };
    *n = sizes[slot][0];
    *k = sizes[slot][1];
}

static void add_slot(synth_job *j, hone_slot slot, unsigned layer)
{
    uint64_t n, k;
    slot_shape(j->shape, slot, &n, &k);
    if (!k)
        return;
    synth_tensor *t = &j->tensors[j->count++];
    snprintf(t->name, sizeof t->name, hone_arch_at(0)->gguf_names[slot].weight, layer);
    t->content = n ? MATRIX : NORM;
    t->type = n ? j->o->type : HONE_DTYPE_F32;
    t->n_dims = n ? 2 : 1;
    t->shape[0] = n ? n : k;
    t->shape[1] = k;
}

static hone_status plan(synth_job *j)
{
    size_t most = (size_t)j->layers * HONE_LAYER_SLOTS + HONE_SLOTS + 1;
    j->tensors = hone_calloc(most, sizeof *j->tensors);
    if (!j->tensors)
        return hone_fail_memory(most * sizeof *j->tensors, "a list of tensors");
    if (j->shape->rope_factor > 0) {
        synth_tensor *t = &j->tensors[j->count++];
        *t = (synth_tensor){.name = "rope_freqs.weight",
                            .type = HONE_DTYPE_F32,
                            .n_dims = 1,
                            .shape = {j->shape->head_dim / 2},
                            .content = ROPE_FACTORS};
    }
    add_slot(j, HONE_SLOT_EMBEDDING, 0);
    for (unsigned layer = 0; layer < j->layers; layer++)
        for (hone_slot slot = 0; slot < HONE_LAYER_SLOTS; slot++)
            add_slot(j, slot, layer);
    add_slot(j, HONE_SLOT_NORM_FINAL, 0);
    if (!j->shape->tied)
        add_slot(j, HONE_SLOT_HEAD, 0);
    return HONE_OK;
}

static bool fill_row(void *arg, uint64_t row, uint64_t k, float *dst)
{
    const synth_job *j = arg;
    float scale = (float)(1 / sqrt((double)k));
    hone_synth_normal(j->o->seed, j->current->name, row * k, (size_t)k, scale, dst);
    return true;
}

static bool fill_norm(void *arg, uint64_t row, uint64_t k, float *dst)
{
    const synth_job *j = arg;
    hone_synth_normal(j->o->seed, j->current->name, row * k, (size_t)k, 1.0f / 16, dst);
    for (uint64_t i = 0; i < k; i++)
        dst[i] += 1;
    return true;
}

/* What each rotary frequency is divided by in Llama 3.1 and later. */
static bool fill_rope(void *arg, uint64_t row, uint64_t k, float *dst)
{
    const hone_synth_shape *s = ((const synth_job *)arg)->shape;
    hone_rope_config c = {.scaling = HONE_ROPE_LLAMA3,
                          .dim = s->head_dim,
                          .theta = s->rope_theta,
                          .factor = s->rope_factor,
                          .low_freq_factor = s->rope_low,
                          .high_freq_factor = s->rope_high,
                          .original_context = s->rope_original_context,
                          .context = s->context_tokens};
    hone_rope target;
    (void)row;
    (void)k;
    hone_rope_init(&c, &target);
    hone_convert_rope_factors(&c, &target, dst);
    return true;
}

static hone_status write_metadata(hone_gguf_writer *w, const synth_job *j)
{
    const hone_synth_shape *s = j->shape;
    const struct {
        const char *key;
        uint32_t value;
    } numbers[] = {
        {"general.file_type", hone_gguf_file_type(j->o->type)},
        {"general.quantization_version", 2},
        {"llama.block_count", j->layers},
        {"llama.context_length", s->context_tokens},
        {"llama.embedding_length", s->hidden},
        {"llama.feed_forward_length", s->ffn},
        {"llama.attention.head_count", s->heads},
        {"llama.attention.head_count_kv", s->kv_heads},
        {"llama.attention.key_length", s->head_dim},
        {"llama.attention.value_length", s->head_dim},
        {"llama.rope.dimension_count", s->head_dim},
        {"llama.vocab_size", s->vocab},
    };
    char name[128];
    snprintf(name, sizeof name, "%s, random weights (hone synth)", s->name);
    HONE_TRY(hone_gguf_writer_str(w, "general.architecture", "llama"));
    HONE_TRY(hone_gguf_writer_str(w, "general.type", "model"));
    HONE_TRY(hone_gguf_writer_str(w, "general.name", name));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        HONE_TRY(hone_gguf_writer_u32(w, numbers[i].key, numbers[i].value));
    HONE_TRY(hone_gguf_writer_u64(w, "hone.synth.seed", j->o->seed));
    HONE_TRY(hone_gguf_writer_f32(w, "llama.rope.freq_base", (float)s->rope_theta));
    HONE_TRY(hone_gguf_writer_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f));
    return hone_synth_write_tokenizer(w, s->vocab,
                                      s->vocab > 65536 ? SPECIAL_TOKENS : SPECIAL_TOKENS_TINY);
}

static hone_status write_tensors(hone_gguf_writer *w, synth_job *j, hone_pool *pool,
                                 hone_synth_progress *progress, void *arg, double total)
{
    static hone_rowstream_source *const fill[] = {
        [MATRIX] = fill_row, [NORM] = fill_norm, [ROPE_FACTORS] = fill_rope};
    hone_rowstream *stream;
    double done = 0;
    HONE_TRY(hone_rowstream_open(w, pool, &stream));
    hone_status s = HONE_OK;
    for (size_t i = 0; i < j->count && s == HONE_OK; i++) {
        const synth_tensor *t = j->current = &j->tensors[i];
        uint64_t rows = t->n_dims == 2 ? t->shape[0] : 1, k = t->shape[t->n_dims - 1];
        if (progress)
            progress(arg, t->name, done, total);
        s = hone_rowstream_encode(stream, t->name, t->type, rows, k, fill[t->content], j);
        done += (double)rows * (double)k;
    }
    hone_rowstream_close(stream);
    return s;
}

static hone_status declare(hone_gguf_writer *w, const synth_job *j, hone_synth_result *r)
{
    for (size_t i = 0; i < j->count; i++) {
        const synth_tensor *t = &j->tensors[i];
        uint64_t rows = t->n_dims == 2 ? t->shape[0] : 1, k = t->shape[t->n_dims - 1];
        size_t row_bytes;
        if (!hone_dtype_row_bytes(t->type, k, &row_bytes))
            return hone_fail(HONE_USAGE, "tensor %s: rows of %llu elements do not fit %s", t->name,
                             (unsigned long long)k, hone_dtype_name(t->type));
        HONE_TRY(hone_gguf_writer_tensor(w, t->name, t->type, t->n_dims, t->shape));
        r->tensors++;
        r->bytes += rows * row_bytes;
        if (t->content != ROPE_FACTORS)
            r->parameters += rows * k;
    }
    return HONE_OK;
}

hone_status hone_synth_write(const hone_synth_options *o, const char *path, hone_pool *pool,
                             hone_synth_progress *progress, void *arg, hone_synth_result *out)
{
    synth_job j = {.o = o, .shape = o->shape, .layers = o->layers ? o->layers : o->shape->layers};
    hone_gguf_writer *w = NULL;
    hone_status s;
    *out = (hone_synth_result){0};
    if (!hone_dtype_can_encode(o->type))
        return hone_fail(HONE_USAGE, "hone cannot write %s", hone_dtype_name(o->type));
    HONE_GOTO(s, end, plan(&j));
    HONE_GOTO(s, end, hone_gguf_writer_open(path, &w));
    HONE_GOTO(s, end, write_metadata(w, &j));
    HONE_GOTO(s, end, declare(w, &j, out));
    HONE_GOTO(s, end, write_tensors(w, &j, pool, progress, arg, (double)out->parameters));
    s = hone_gguf_writer_commit(w);
    w = NULL;
end:
    hone_gguf_writer_abort(w);
    hone_free(j.tensors);
    return s;
}
