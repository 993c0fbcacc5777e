#include "compress/quantize.h"

#include "base/io.h"
#include "base/mem.h"
#include "compress/convert.h"
#include "compress/ftype.h"
#include "compress/rowstream.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct quantize_job {
    const hone_file *f;
    const hone_quantize_options *o;
    const hone_quantize_events *events;
    hone_quantize_result *result;
    hone_convert_tensor *tensors;
    size_t count;
    bool tied;
    hone_mix_model model;
    /* of the tensor being written */
    const hone_convert_tensor *current;
    size_t source_row_bytes;
} quantize_job;

static void remark(const quantize_job *j, const char *fmt, ...) HONE_PRINTF(2, 3);
static void remark(const quantize_job *j, const char *fmt, ...)
{
    char text[512];
    va_list args;
    if (!j->events->remark)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    j->events->remark(j->events->arg, text);
}

/* The kind of a matrix by its GGUF name, or -1: keep it as it is. */
static int kind_of(const char *name)
{
    if (!hone_ends_with(name, ".weight") || strstr(name, "norm"))
        return -1;
    if (strcmp(name, "token_embd.weight") == 0)
        return HONE_QUANTIZE_EMBEDDING;
    if (strcmp(name, "output.weight") == 0)
        return HONE_QUANTIZE_HEAD;
    if (strncmp(name, "blk.", 4) != 0)
        return -1;
    if (strstr(name, ".attn_"))
        return HONE_QUANTIZE_ATTENTION;
    if (strstr(name, ".ffn_") && !strstr(name, ".ffn_gate_inp")) /* a router decides: keep it */
        return HONE_QUANTIZE_MLP;
    return -1;
}

static hone_dtype wanted(const quantize_job *j, int kind, const char *name)
{
    const int *given = j->o->kind;
    if (kind == HONE_QUANTIZE_EMBEDDING && j->tied && given[kind] == HONE_QUANTIZE_DEFAULT)
        kind = HONE_QUANTIZE_HEAD;
    if (j->o->mix && given[kind] == HONE_QUANTIZE_DEFAULT)
        return hone_mix_dtype(j->o->mix, &j->model, name);
    return given[kind] == HONE_QUANTIZE_DEFAULT ? j->o->type : (hone_dtype)given[kind];
}

static hone_dtype choose(quantize_job *j, const hone_convert_tensor *t)
{
    if (!t->source)
        return HONE_DTYPE_F32;
    hone_dtype have = (hone_dtype)t->source->dtype;
    if (t->n_dims < 2)
        return hone_dtype_is_float(have) ? HONE_DTYPE_F32 : have;
    if (hone_gguf_only_f32(t->name) && hone_dtype_is_float(have))
        return HONE_DTYPE_F32;
    int kind = kind_of(t->name);
    if (kind < 0 || (!hone_dtype_is_float(have) && !hone_dtype_is_grouped(have)))
        return have == HONE_DTYPE_F64 ? HONE_DTYPE_F32 : have;
    hone_dtype want = wanted(j, kind, t->name);
    uint64_t k = t->shape[t->n_dims - 1];
    hone_dtype other =
        hone_mix_fallback(want, k, have == HONE_DTYPE_BF16 ? HONE_DTYPE_BF16 : HONE_DTYPE_F16);
    if (other != want && j->result->fallbacks++ == 0)
        remark(j,
               "%s has rows of %llu elements, no multiple of %u as %s needs: written as %s "
               "(and others like it)",
               t->name, (unsigned long long)k, hone_dtype_describe(want)->block_elements,
               hone_dtype_name(want), hone_dtype_name(other));
    return other;
}

static uint64_t row_of(const hone_convert_tensor *t)
{
    return t->shape[t->n_dims - 1];
}

static uint64_t rows_of(const hone_convert_tensor *t)
{
    uint64_t rows = 1;
    for (int d = 0; d < t->n_dims - 1; d++)
        rows *= t->shape[d];
    return rows;
}

static uint64_t bytes_of(hone_dtype type, uint64_t rows, uint64_t k)
{
    size_t row_bytes;
    return hone_dtype_row_bytes(type, k, &row_bytes) ? rows * row_bytes : 0;
}

/* Where it comes from: of a matrix in codes its codes and scales, of which a part may be taken. */
static uint64_t bytes_before(const hone_convert_tensor *t)
{
    uint64_t sum = 0;
    if (!t->source)
        return 0;
    if (t->n_parts == 0 || t->n_dims != 2)
        return bytes_of((hone_dtype)t->source->dtype, rows_of(t), row_of(t));
    for (uint32_t i = 0; i < t->n_parts; i++) {
        const hone_convert_part *p = &t->parts[i];
        uint64_t coded = 0;
        for (int k = 0; p->coded && k < HONE_SOURCE_TENSORS && p->coded->source.tensors[k]; k++)
            coded += p->coded->source.tensors[k]->bytes;
        sum += p->coded ? coded * p->n / p->stored_n
                        : bytes_of((hone_dtype)p->source->dtype, p->n, row_of(t));
    }
    return sum;
}

static const void *stored_row(void *arg, uint64_t row)
{
    const quantize_job *j = arg;
    return hone_convert_bytes(j->current, row, j->source_row_bytes);
}

static bool decoded_row(void *arg, uint64_t row, uint64_t k, float *dst)
{
    return hone_convert_row(((const quantize_job *)arg)->current, row, k, dst);
}

static bool factors_row(void *arg, uint64_t row, uint64_t k, float *dst)
{
    const quantize_job *j = arg;
    uint64_t count;
    (void)row;
    return hone_convert_factor_values(j->f, j->current->factors, &count, dst) == HONE_OK &&
           count == k;
}

static hone_status write_tensor(quantize_job *j, hone_rowstream *stream)
{
    const hone_convert_tensor *t = j->current;
    uint64_t k = row_of(t), rows = rows_of(t);
    if (!t->source) {
        j->result->encoded++;
        return hone_rowstream_encode(stream, t->name, t->type, rows, k, factors_row, j);
    }
    hone_dtype have = (hone_dtype)t->source->dtype;
    if (t->as_stored && !hone_dtype_row_bytes(have, k, &j->source_row_bytes))
        return hone_fail(HONE_FORMAT, "tensor %s: rows of %llu elements are no whole blocks",
                         t->source->name, (unsigned long long)k);
    if (t->as_stored && have == t->type) {
        j->result->copied++;
        return hone_rowstream_copy(stream, have, rows, k, stored_row, j);
    }
    j->result->encoded++;
    j->result->requantized += hone_dtype_is_grouped(have) || t->parts[0].coded;
    uint64_t matrices, stacked = t->n_dims == 3 ? t->shape[0] : 1;
    const float *weights;
    HONE_TRY(hone_imatrix_weights(j->o->importance, t->name, k, stacked, &weights, &matrices));
    if (!weights)
        return hone_rowstream_encode(stream, t->name, t->type, rows, k, decoded_row, j);
    j->result->weighted++;
    return hone_rowstream_encode_weighted(stream, t->name, t->type, rows, k, decoded_row, j,
                                          weights, matrices);
}

static hone_status write_tensors(quantize_job *j, hone_gguf_writer *w, hone_pool *pool)
{
    hone_rowstream *stream;
    hone_status s = HONE_OK;
    double done = 0, total = (double)j->result->bytes_before;
    HONE_TRY(hone_rowstream_open(w, pool, &stream));
    for (size_t i = 0; i < j->count && s == HONE_OK; i++) {
        j->current = &j->tensors[i];
        if (j->events->progress)
            j->events->progress(j->events->arg, j->current->name, done, total);
        s = write_tensor(j, stream);
        done += (double)bytes_before(j->current);
    }
    hone_rowstream_close(stream);
    return s;
}

static hone_status declare(quantize_job *j, hone_gguf_writer *w)
{
    for (size_t i = 0; i < j->count; i++) {
        hone_convert_tensor *t = &j->tensors[i];
        size_t row_bytes;
        t->type = choose(j, t);
        if (!hone_dtype_row_bytes(t->type, row_of(t), &row_bytes))
            return hone_fail(HONE_INTERNAL, "tensor %s does not fit %s", t->name,
                             hone_dtype_name(t->type));
        HONE_TRY(hone_gguf_writer_tensor(w, t->name, t->type, t->n_dims, t->shape));
        j->result->tensors++;
        j->result->bytes_after += t->source ? rows_of(t) * row_bytes : 0;
        j->result->bytes_before += bytes_before(t);
    }
    return HONE_OK;
}

static bool is_replaced(const char *key)
{
    return strcmp(key, "general.file_type") == 0 || strcmp(key, "general.alignment") == 0 ||
           strcmp(key, "general.quantization_version") == 0 || strncmp(key, "split.", 6) == 0;
}

static hone_status copy_metadata(const hone_file *f, hone_gguf_writer *w)
{
    for (size_t i = 0; i < hone_file_meta_count(f); i++)
        if (!is_replaced(hone_file_meta_key(f, i)))
            HONE_TRY(hone_gguf_writer_copy(w, f, i));
    return HONE_OK;
}

/* What a mix asks of the model: layers by their names, heads by the descriptor if there is one. */
static void describe_model(quantize_job *j)
{
    const hone_arch *a;
    hone_hparams h;
    unsigned layer;
    j->model = (hone_mix_model){.tied = j->tied, .importance = j->o->importance != NULL};
    for (size_t i = 0; i < j->count; i++)
        if (sscanf(j->tensors[i].name, "blk.%u.", &layer) == 1 && layer < UINT32_MAX &&
            layer + 1 > j->model.layers)
            j->model.layers = layer + 1;
    if (hone_arch_read(j->f, &a, &h) == HONE_OK && h.kv_heads)
        j->model.heads_per_kv = h.heads / h.kv_heads;
}

static hone_status plan(quantize_job *j)
{
    if (hone_file_kind(j->f) == HONE_FILE_HF) {
        HONE_TRY(hone_convert_plan(j->f, &j->tensors, &j->count));
    } else {
        j->count = hone_file_tensor_count(j->f);
        j->tensors = hone_calloc(j->count + 1, sizeof *j->tensors);
        if (!j->tensors)
            return hone_fail_memory(j->count * sizeof *j->tensors, "a list of tensors");
        for (size_t i = 0; i < j->count; i++)
            hone_convert_whole(hone_file_tensor_at(j->f, i), &j->tensors[i]);
    }
    j->tied = true;
    for (size_t i = 0; i < j->count; i++)
        if (strcmp(j->tensors[i].name, "output.weight") == 0)
            j->tied = false;
    describe_model(j);
    return HONE_OK;
}

static hone_status check_options(const hone_file *f, const hone_quantize_options *o)
{
    if (hone_file_kind(f) == HONE_FILE_SAFETENSORS)
        return hone_fail(HONE_UNSUPPORTED,
                         "%s has no description of its model: give the folder that holds "
                         "config.json",
                         hone_file_path(f));
    if (!hone_dtype_can_encode(o->type))
        return hone_fail(HONE_USAGE, "hone cannot write %s", hone_dtype_name(o->type));
    for (int k = 0; k < HONE_QUANTIZE_KINDS; k++)
        if (o->kind[k] != HONE_QUANTIZE_DEFAULT && !hone_dtype_can_encode((hone_dtype)o->kind[k]))
            return hone_fail(HONE_USAGE, "hone cannot write %s",
                             hone_dtype_name((hone_dtype)o->kind[k]));
    return HONE_OK;
}

hone_status hone_quantize(const hone_file *f, const hone_quantize_options *o, const char *path,
                          hone_pool *pool, const hone_quantize_events *events,
                          hone_quantize_result *out)
{
    quantize_job j = {.f = f, .o = o, .events = events, .result = out};
    hone_gguf_writer *w = NULL;
    hone_status s;
    *out = (hone_quantize_result){0};
    HONE_TRY(check_options(f, o));
    if (hone_file_is_source(f, path)) /* the model would be gone, for one that lost something */
        return hone_fail(HONE_USAGE, "%s is the model itself, or a file of it; give another name",
                         path);
    HONE_GOTO(s, end, plan(&j));
    HONE_GOTO(s, end, hone_gguf_writer_open(path, &w));
    if (hone_file_kind(f) == HONE_FILE_GGUF)
        HONE_GOTO(s, end, copy_metadata(f, w));
    else
        HONE_GOTO(s, end, hone_convert_metadata(f, o, w, events));
    HONE_GOTO(
        s, end,
        hone_gguf_writer_u32(w, "general.file_type",
                             o->mix ? hone_mix_file_type(o->mix) : hone_gguf_file_type(o->type)));
    HONE_GOTO(s, end, hone_gguf_writer_u32(w, "general.quantization_version", 2));
    HONE_GOTO(s, end, declare(&j, w));
    HONE_GOTO(s, end, write_tensors(&j, w, pool));
    s = hone_gguf_writer_commit(w);
    w = NULL;
end:
    hone_gguf_writer_abort(w);
    hone_convert_free(j.tensors, j.tensors ? j.count : 0);
    return s;
}
