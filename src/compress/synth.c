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

enum { SYNTH_NAME_MAX = HONE_NAME_MAX, SPECIAL_TOKENS = 256, SPECIAL_TOKENS_TINY = 16 };

/* What the published config.json of each model says. */
static const hone_synth_shape shapes[] = {
    {"llama-3.2-1b", "Llama 3.2 1B: 16 layers of 2048, 32 heads (8 KV), tied", 16,
     "{\"model_type\": \"llama\", \"num_hidden_layers\": %u, \"hidden_size\": 2048,"
     " \"num_attention_heads\": 32, \"num_key_value_heads\": 8, \"head_dim\": 64,"
     " \"intermediate_size\": 8192, \"vocab_size\": 128256, \"max_position_embeddings\": 131072,"
     " \"tie_word_embeddings\": true, \"rms_norm_eps\": 1e-5, \"rope_theta\": 500000.0,"
     " \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 32.0, \"low_freq_factor\": 1.0,"
     " \"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 8192}}"},
    {"llama-3-8b", "Llama 3 8B: 32 layers of 4096, 32 heads (8 KV)", 32,
     "{\"model_type\": \"llama\", \"num_hidden_layers\": %u, \"hidden_size\": 4096,"
     " \"num_attention_heads\": 32, \"num_key_value_heads\": 8, \"intermediate_size\": 14336,"
     " \"vocab_size\": 128256, \"max_position_embeddings\": 8192, \"rms_norm_eps\": 1e-5,"
     " \"rope_theta\": 500000.0}"},
    {"mistral-7b", "Mistral 7B v0.1: 32 layers of 4096, 32 heads (8 KV), window of 4096", 32,
     "{\"model_type\": \"mistral\", \"num_hidden_layers\": %u, \"hidden_size\": 4096,"
     " \"num_attention_heads\": 32, \"num_key_value_heads\": 8, \"intermediate_size\": 14336,"
     " \"vocab_size\": 32000, \"max_position_embeddings\": 32768, \"sliding_window\": 4096,"
     " \"rms_norm_eps\": 1e-5, \"rope_theta\": 10000.0}"},
    {"qwen2.5-0.5b", "Qwen 2.5 0.5B: 24 layers of 896, 14 heads (2 KV), tied, biases", 24,
     "{\"model_type\": \"qwen2\", \"num_hidden_layers\": %u, \"hidden_size\": 896,"
     " \"num_attention_heads\": 14, \"num_key_value_heads\": 2, \"intermediate_size\": 4864,"
     " \"vocab_size\": 151936, \"max_position_embeddings\": 32768, \"tie_word_embeddings\": true,"
     " \"rms_norm_eps\": 1e-6, \"rope_theta\": 1000000.0, \"use_sliding_window\": false}"},
    {"phi-3-mini", "Phi-3 mini 4k: 32 layers of 3072, 32 heads, fused matrices, window of 2047", 32,
     "{\"model_type\": \"phi3\", \"num_hidden_layers\": %u, \"hidden_size\": 3072,"
     " \"num_attention_heads\": 32, \"num_key_value_heads\": 32, \"intermediate_size\": 8192,"
     " \"vocab_size\": 32064, \"max_position_embeddings\": 4096, \"sliding_window\": 2047,"
     " \"original_max_position_embeddings\": 4096, \"rms_norm_eps\": 1e-5,"
     " \"rope_theta\": 10000.0}"},
    {"gemma-2-2b", "Gemma 2 2B: 26 layers of 2304, 8 heads (4 KV), every other with a window", 26,
     "{\"model_type\": \"gemma2\", \"num_hidden_layers\": %u, \"hidden_size\": 2304,"
     " \"num_attention_heads\": 8, \"num_key_value_heads\": 4, \"head_dim\": 256,"
     " \"intermediate_size\": 9216, \"vocab_size\": 256000, \"max_position_embeddings\": 8192,"
     " \"sliding_window\": 4096, \"query_pre_attn_scalar\": 256, \"rms_norm_eps\": 1e-6,"
     " \"attn_logit_softcapping\": 50.0, \"final_logit_softcapping\": 30.0,"
     " \"rope_theta\": 10000.0}"},
    {"minilm", "all-MiniLM-L6: a BERT of 6 layers of 384, 12 heads, for embeddings", 6,
     "{\"model_type\": \"bert\", \"num_hidden_layers\": %u, \"hidden_size\": 384,"
     " \"num_attention_heads\": 12, \"intermediate_size\": 1536, \"vocab_size\": 30522,"
     " \"max_position_embeddings\": 512, \"type_vocab_size\": 2, \"layer_norm_eps\": 1e-12,"
     " \"hidden_act\": \"gelu\"}"},
    {"tiny", "for tests and demonstrations: a Llama of 4 layers of 128, 4 heads (2 KV), tied", 4,
     "{\"model_type\": \"llama\", \"num_hidden_layers\": %u, \"hidden_size\": 128,"
     " \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 32,"
     " \"intermediate_size\": 384, \"vocab_size\": 1024, \"max_position_embeddings\": 2048,"
     " \"tie_word_embeddings\": true, \"rms_norm_eps\": 1e-5, \"rope_theta\": 500000.0,"
     " \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0,"
     " \"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 512}}"},
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

typedef enum synth_content { MATRIX, NORM, BIAS, ROPE_FACTORS } synth_content;

typedef struct synth_tensor {
    char name[SYNTH_NAME_MAX];
    hone_dtype type;
    int n_dims;
    uint64_t shape[2];
    synth_content content;
    hone_convert_factors factors;
} synth_tensor;

typedef struct synth_job {
    const hone_synth_options *o;
    const hone_synth_shape *shape;
    hone_file *config; /* what the shape's config.json says */
    const hone_arch *arch;
    hone_hparams h;
    synth_tensor *tensors;
    size_t count, most;
    const synth_tensor *current;
} synth_job;

/* `n` rows more for the tensor of this name (slots may share one), or a new tensor. */
static hone_status add_rows(synth_job *j, const char *name, uint64_t n, uint64_t k,
                            synth_content content)
{
    for (size_t back = 1; back <= 6 && back <= j->count; back++)
        if (strcmp(j->tensors[j->count - back].name, name) == 0) {
            j->tensors[j->count - back].shape[0] += n;
            return HONE_OK;
        }
    if (j->count == j->most)
        return hone_fail(HONE_INTERNAL, "more tensors than planned");
    synth_tensor *t = &j->tensors[j->count++];
    snprintf(t->name, sizeof t->name, "%s", name);
    t->content = content;
    t->type = content == MATRIX && !hone_gguf_only_f32(name) ? j->o->type : HONE_DTYPE_F32;
    t->n_dims = content == MATRIX ? 2 : 1;
    t->shape[0] = n;
    t->shape[1] = k;
    return HONE_OK;
}

static hone_status add_slot(synth_job *j, hone_slot slot, uint32_t layer)
{
    hone_place gguf, hf;
    if (!hone_place_find(j->arch, &j->h, true, NULL, slot, layer, &gguf) ||
        !hone_place_find(j->arch, &j->h, false, "", slot, layer, &hf) ||
        ((gguf.flags | hf.flags) & HONE_NAME_OPTIONAL))
        return HONE_OK;
    bool vector = hone_slot_describe(slot)->vector;
    if (vector)
        HONE_TRY(add_rows(j, gguf.weight, gguf.k, 0, NORM));
    else
        HONE_TRY(add_rows(j, gguf.weight, gguf.n, gguf.k, MATRIX));
    if (!*gguf.bias || !((gguf.flags | hf.flags) & HONE_NAME_BIAS))
        return HONE_OK;
    return add_rows(j, gguf.bias, vector ? gguf.k : gguf.n, 0, BIAS);
}

static void add_factors(synth_job *j, hone_convert_factors which, const char *name)
{
    synth_tensor *t = &j->tensors[j->count++];
    *t = (synth_tensor){.type = HONE_DTYPE_F32,
                        .n_dims = 1,
                        .shape = {j->h.ropes[0][0].dim / 2},
                        .content = ROPE_FACTORS,
                        .factors = which};
    snprintf(t->name, sizeof t->name, "%s", name);
}

static hone_status plan(synth_job *j)
{
    char text[1024];
    hone_rope_config rope = {.scaling = HONE_ROPE_DEFAULT};
    snprintf(text, sizeof text, j->shape->config, j->o->layers ? j->o->layers : j->shape->layers);
    HONE_TRY(hone_file_from_config(text, j->shape->name, &j->config));
    HONE_TRY(hone_arch_read(j->config, &j->arch, &j->h));
    j->most = 2 * ((size_t)j->h.layers * HONE_LAYER_SLOTS + HONE_SLOTS) + 2;
    j->tensors = hone_calloc(j->most, sizeof *j->tensors);
    if (!j->tensors)
        return hone_fail_memory(j->most * sizeof *j->tensors, "a list of tensors");
    if (j->h.n_ropes)
        HONE_TRY(
            hone_rope_config_from_hf(j->config, false, j->h.head_dim, j->h.context_tokens, &rope));
    if (rope.scaling == HONE_ROPE_LLAMA3)
        add_factors(j, HONE_FACTORS_FREQS, "rope_freqs.weight");
    for (hone_slot slot = HONE_LAYER_SLOTS; slot < HONE_SLOTS; slot++)
        HONE_TRY(add_slot(j, slot, 0));
    for (uint32_t layer = 0; layer < j->h.layers; layer++)
        for (hone_slot slot = 0; slot < HONE_LAYER_SLOTS; slot++)
            HONE_TRY(add_slot(j, slot, layer));
    return HONE_OK;
}

static bool fill_row(void *arg, uint64_t row, uint64_t k, float *dst)
{
    const synth_job *j = arg;
    float scale = (float)(1 / sqrt((double)k));
    hone_synth_normal(j->o->seed, j->current->name, row * k, (size_t)k, scale, dst);
    return true;
}

static bool fill_bias(void *arg, uint64_t row, uint64_t k, float *dst)
{
    const synth_job *j = arg;
    hone_synth_normal(j->o->seed, j->current->name, row * k, (size_t)k, 1.0f / 16, dst);
    return true;
}

static bool fill_norm(void *arg, uint64_t row, uint64_t k, float *dst)
{
    fill_bias(arg, row, k, dst);
    for (uint64_t i = 0; i < k; i++)
        dst[i] += 1;
    return true;
}

/* What each rotary frequency is divided by. */
static bool fill_rope(void *arg, uint64_t row, uint64_t k, float *dst)
{
    const synth_job *j = arg;
    uint64_t count;
    (void)row;
    return hone_convert_factor_values(j->config, j->current->factors, &count, dst) == HONE_OK &&
           count == k;
}

static hone_status write_metadata(hone_gguf_writer *w, const synth_job *j)
{
    char name[128];
    snprintf(name, sizeof name, "%s, random weights (hone synth)", j->shape->name);
    HONE_TRY(hone_convert_hparams(j->config, w));
    for (char *c = name; *c;
         c++) /* llama.cpp asks the vocabulary of a "phi-3" for its own tokens */
        *c = *c == '-' ? ' ' : *c;
    HONE_TRY(hone_gguf_writer_str(w, "general.name", name));
    HONE_TRY(hone_gguf_writer_u32(w, "general.file_type", hone_gguf_file_type(j->o->type)));
    HONE_TRY(hone_gguf_writer_u32(w, "general.quantization_version", 2));
    HONE_TRY(hone_gguf_writer_u64(w, "hone.synth.seed", j->o->seed));
    return hone_synth_write_tokenizer(w, j->h.vocab,
                                      j->h.vocab > 65536 ? SPECIAL_TOKENS : SPECIAL_TOKENS_TINY);
}

static hone_status write_tensors(hone_gguf_writer *w, synth_job *j, hone_pool *pool,
                                 hone_synth_progress *progress, void *arg, double total)
{
    static hone_rowstream_source *const fill[] = {
        [MATRIX] = fill_row, [NORM] = fill_norm, [BIAS] = fill_bias, [ROPE_FACTORS] = fill_rope};
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
    synth_job j = {.o = o, .shape = o->shape};
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
    hone_file_close(j.config);
    hone_free(j.tensors);
    return s;
}
