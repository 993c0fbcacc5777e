#include "compress/export.h"

#include "base/interrupt.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "compress/convert.h"
#include "compress/merge.h"
#include "compress/refolder.h"
#include "engine/task.h"
#include "file/write.h"
#include "model/source.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "text/tokenizer_write.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONFIG_BYTES = 4 << 20, CONFIG_DEPTH = 32, CONFIG_VALUES = 1 << 20 };

typedef struct export_job {
    const hone_file *f;
    const char *adapter; /* to be merged, or NULL */
    json_t *modules;     /* sentence-transformers', or NULL */
    hone_dtype type;
    hone_safetensors_writer *w;
    hone_export_result *result;
    bool writing;   /* the second walk: data; the first declares */
    uint8_t *coded; /* [tensors of f]: it is part of a matrix in codes */
    float *row;
    uint8_t *encoded;
    size_t row_elements;
    hone_status status;
} export_job;

static hone_status reserve_row(export_job *j, size_t k)
{
    if (k <= j->row_elements)
        return HONE_OK;
    hone_free(j->row);
    hone_free(j->encoded);
    j->row = hone_reallocarray(NULL, k, sizeof(float));
    j->encoded = hone_reallocarray(NULL, k, sizeof(float));
    j->row_elements = j->row && j->encoded ? k : 0;
    return j->row_elements ? HONE_OK : hone_fail_memory(k * sizeof(float), "a row");
}

/* j->row[0..k) in the type */
static hone_status write_row(export_job *j, const char *name, size_t k)
{
    size_t bytes;
    if (!hone_dtype_row_bytes(j->type, k, &bytes) ||
        !hone_dtype_encode(j->type, j->row, k, j->encoded))
        return hone_fail(HONE_FORMAT,
                         "tensor %s: a value is NaN, infinite or too large for %s; choose bf16 or "
                         "f32",
                         name, hone_dtype_name(j->type));
    return hone_safetensors_writer_write(j->w, j->encoded, bytes);
}

static hone_status write_matrix(export_job *j, const char *name, const hone_source *s)
{
    HONE_TRY(reserve_row(j, s->k));
    for (size_t r = 0; r < s->n; r++) {
        if (r % 256 == 0)
            HONE_TRY(hone_interrupt_check());
        for (size_t k0 = 0; k0 < s->k; k0 += 256)
            if (!s->rows.decode(&s->rows, r, k0, s->k - k0 < 256 ? s->k - k0 : 256, j->row + k0))
                return hone_fail(HONE_FORMAT, "matrix %s, row %zu cannot be decoded", name, r);
        HONE_TRY(write_row(j, name, s->k));
    }
    j->result->decoded++;
    return HONE_OK;
}

static hone_status take_coded(export_job *j, const char *name, const hone_source *s)
{
    for (int t = 0; t < HONE_SOURCE_TENSORS && s->tensors[t]; t++)
        j->coded[s->tensors[t] - hone_file_tensor_at(j->f, 0)] = 1;
    if (s->copies > 1)
        return hone_fail(HONE_UNSUPPORTED, "%s: matrix %s stacks %llu experts in codes",
                         hone_file_path(j->f), name, (unsigned long long)s->copies);
    if (j->writing)
        return write_matrix(j, name, s);
    return hone_safetensors_writer_tensor(j->w, name, j->type, 2, (uint64_t[]){s->n, s->k});
}

static void visit(void *arg, const char *name, hone_status status, const hone_source *s)
{
    export_job *j = arg;
    if (j->status != HONE_OK)
        return;
    if (status != HONE_OK)
        j->status = status;
    else if (s->kind != &hone_source_plain)
        j->status = take_coded(j, name, s);
}

/* A tensor as it stands: floats in the type, whole numbers as they are. */
static hone_status take_plain(export_job *j, const hone_tensor *t)
{
    bool number = hone_dtype_is_float((hone_dtype)t->dtype);
    hone_dtype type = number ? j->type : (hone_dtype)t->dtype;
    if (!j->writing)
        return hone_safetensors_writer_tensor(j->w, t->name, type, t->n_dims, t->shape);
    if (type == (hone_dtype)t->dtype)
        return hone_safetensors_writer_write(j->w, t->data, (size_t)t->bytes);
    uint64_t n = hone_tensor_elements(t);
    size_t k = n < 65536 ? (size_t)n : 65536, width = (size_t)(t->bytes / n);
    HONE_TRY(reserve_row(j, k));
    for (uint64_t at = 0; at < n; at += k) {
        size_t count = n - at < k ? (size_t)(n - at) : k;
        HONE_TRY(hone_interrupt_check());
        if (!hone_dtype_decode((hone_dtype)t->dtype, t->data + at * width, count, j->row))
            return hone_fail(HONE_INTERNAL, "tensor %s is no row of numbers", t->name);
        HONE_TRY(write_row(j, t->name, count));
    }
    return HONE_OK;
}

static hone_status walk(export_job *j)
{
    size_t n = hone_file_tensor_count(j->f);
    j->status = HONE_OK;
    hone_source_each(j->f, visit, j);
    HONE_TRY(j->status);
    for (size_t i = 0; i < n; i++) {
        const hone_tensor *t = hone_file_tensor_at(j->f, i);
        if (j->coded[i] || hone_source_is_part(t->name) || hone_tensor_elements(t) == 0)
            continue;
        HONE_TRY(take_plain(j, t));
        j->result->tensors += j->writing;
    }
    return HONE_OK;
}

static hone_status write_weights(export_job *j, const char *dir)
{
    char *path = hone_path_join(dir, "model.safetensors");
    size_t n = hone_file_tensor_count(j->f);
    j->coded = hone_calloc(n + 1, 1);
    hone_status s = path && j->coded ? HONE_OK : hone_fail_memory(n, "a list of tensors");
    if (s == HONE_OK)
        s = hone_safetensors_writer_open(path, &j->w);
    if (s == HONE_OK)
        s = hone_safetensors_writer_str(j->w, "format", "pt");
    if (s == HONE_OK)
        s = walk(j);
    j->writing = true;
    if (s == HONE_OK)
        s = walk(j);
    if (s == HONE_OK)
        s = hone_safetensors_writer_commit(j->w);
    else
        hone_safetensors_writer_abort(j->w);
    j->result->tensors += j->result->decoded;
    hone_free(path);
    hone_free(j->coded);
    hone_free(j->row);
    hone_free(j->encoded);
    return s;
}

static hone_status carry_file(const char *from, const char *dir, const char *name,
                              hone_export_result *r)
{
    char *source = hone_path_join(from, name), *target = hone_path_join(dir, name);
    hone_status s = source && target ? HONE_OK : hone_fail_memory(strlen(name), "a path");
    if (s == HONE_OK && hone_is_file(source)) {
        hone_map m;
        s = hone_map_open(source, &m);
        if (s == HONE_OK) {
            s = hone_write_file(target, m.data, m.bytes);
            hone_map_close(&m);
            r->files++;
        }
    }
    hone_free(source);
    hone_free(target);
    return s;
}

/* What sentence-transformers adds to a model of vectors, in its folder and in a module's. */
static const char *const vector_files[] = {"modules.json", "config_sentence_transformers.json",
                                           "sentence_bert_config.json"};
static const char *const module_files[] = {"config.json", "model.safetensors", "pytorch_model.bin"};
enum {
    VECTOR_FILES = sizeof vector_files / sizeof *vector_files,
    MODULE_FILES = sizeof module_files / sizeof *module_files
};

/* The list of modules.json, whose folders are names in the model's folder; NULL: there is none. */
static hone_status read_modules(const hone_file *f, json_t **list)
{
    char *text;
    size_t bytes, at;
    json_t *module;
    *list = NULL;
    hone_json_use_memory();
    HONE_TRY(hone_read_member(hone_file_path(f), "modules.json", CONFIG_BYTES, &text, &bytes));
    if (!text)
        return HONE_OK;
    hone_status s = hone_json_parse(text, bytes, CONFIG_DEPTH, CONFIG_VALUES, "modules.json", list);
    hone_free(text);
    json_array_foreach(*list, at, module)
    {
        const char *path = json_string_value(json_object_get(module, "path"));
        if (s == HONE_OK && (!path || *path == '.' || strchr(path, '/') || strlen(path) > 200))
            s = hone_fail(
                HONE_UNSUPPORTED,
                "modules.json: module %zu lies in \"%.60s\", which is no name of a folder "
                "beside it",
                at, path ? path : "");
    }
    if (s == HONE_OK)
        return s;
    json_decref(*list);
    *list = NULL;
    return hone_fail_in(s, "%s", hone_file_path(f));
}

/* "" = the model's own folder */
static const char *module_path(const json_t *module)
{
    return json_string_value(json_object_get(module, "path"));
}

static hone_status carry_module(const char *folder, const char *name, const char *dir,
                                hone_export_result *r)
{
    char *from = hone_path_join(folder, name), *to = hone_path_join(dir, name);
    hone_status s = from && to ? HONE_OK : hone_fail_memory(strlen(name), "a path");
    if (s == HONE_OK && hone_is_directory(from)) { /* one without settings may have none */
        s = hone_make_directory(to);
        for (size_t i = 0; s == HONE_OK && i < MODULE_FILES; i++)
            s = carry_file(from, to, module_files[i], r);
    }
    hone_free(from);
    hone_free(to);
    return s;
}

/* The tokenizer's files, and those that say how vectors are made: without them a copy gives
 * others. */
static hone_status carry_files(const char *folder, const json_t *modules, const char *dir,
                               hone_export_result *r)
{
    json_t *module;
    size_t at;
    for (size_t i = 0; i < HONE_TOKENIZER_FILES; i++)
        HONE_TRY(carry_file(folder, dir, hone_tokenizer_files[i], r));
    HONE_TRY(hone_chat_templates_copy(folder, dir, &r->files));
    for (size_t i = 0; i < VECTOR_FILES; i++)
        HONE_TRY(carry_file(folder, dir, vector_files[i], r));
    json_array_foreach(modules, at, module)
    {
        if (*module_path(module))
            HONE_TRY(carry_module(folder, module_path(module), dir, r));
    }
    return HONE_OK;
}

static hone_status write_config(const hone_file *f, const char *dir, hone_dtype type)
{
    char *source = hone_path_join(hone_file_path(f), "config.json"), *text = NULL, *out = NULL;
    char *target = hone_path_join(dir, "config.json");
    size_t bytes = 0;
    json_t *config = NULL;
    hone_status s = source && target ? HONE_OK : hone_fail_memory(strlen(dir), "a path");
    if (s == HONE_OK)
        s = hone_read_file(source, CONFIG_BYTES, &text, &bytes);
    hone_json_mend_infinity(text, bytes);
    if (s == HONE_OK)
        s = hone_json_parse(text, bytes, CONFIG_DEPTH, CONFIG_VALUES, source, &config);
    if (s == HONE_OK) {
        json_object_del(config, "quantization_config");
        json_object_del(config, "compression_config");
        json_object_set_new(config, json_object_get(config, "dtype") ? "dtype" : "torch_dtype",
                            json_string(hone_refolder_type(type)));
        out = json_dumps(config, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
        s = out ? hone_write_file(target, out, strlen(out))
                : hone_fail_memory(bytes, "config.json");
    }
    json_decref(config);
    hone_free(out);
    hone_free(text);
    hone_free(source);
    hone_free(target);
    return s;
}

/* ---- from GGUF ------------------------------------------------------------------------------- */

/* Writes o, whose reference it takes, as dir/name: a vocabulary's scores to the bit, other numbers
 * as people write them. */
static hone_status write_json(const char *dir, const char *name, json_t *o, hone_export_result *r)
{
    char *path = hone_path_join(dir, name);
    size_t digits = strcmp(name, "tokenizer.json") == 0 ? 17 : 15;
    char *text =
        o ? json_dumps(o, JSON_INDENT(2) | JSON_REAL_PRECISION(digits) | JSON_ENSURE_ASCII) : NULL;
    hone_status s = path && text ? hone_write_file(path, text, strlen(text))
                                 : hone_fail_memory(strlen(name), name);
    r->files++;
    hone_free(text);
    json_decref(o);
    hone_free(path);
    return s;
}

/* generation_config.json: after which ids a text ends, the end of the text itself first. */
static hone_status write_ends(const hone_tokenizer *t, const char *dir, hone_export_result *r)
{
    json_t *list = json_array();
    const int32_t eos = hone_tokenizer_eos(t);
    if (eos >= 0)
        json_array_append_new(list, json_integer(eos));
    for (int32_t i = 0; i < hone_tokenizer_vocab_size(t); i++)
        if (i != eos && hone_tokenizer_is_end(t, i))
            json_array_append_new(list, json_integer(i));
    json_t *o = json_pack("{s:o}", "eos_token_id", list);
    if (hone_tokenizer_bos(t) >= 0)
        json_object_set_new(o, "bos_token_id", json_integer(hone_tokenizer_bos(t)));
    return write_json(dir, "generation_config.json", o, r);
}

static hone_status check_tokenizer(const hone_tokenizer *t, const char *dir)
{
    hone_tokenizer *again;
    bool same = false, same_forms = false;
    HONE_TRY(hone_tokenizer_open(dir, &again));
    hone_status s = hone_compare_tokenizers(t, again, &same, &same_forms);
    if (s == HONE_OK && !(same && same_forms))
        s = hone_fail(HONE_UNSUPPORTED,
                      "%s: the tokenizer.json made of this file's vocabulary cuts text otherwise "
                      "than the file does; the folder is not finished",
                      dir);
    hone_tokenizer_close(again);
    return s;
}

/* What models take from config.json, whose defaults may lie outside the vocabulary. */
static void put_ids(json_t *config, const hone_tokenizer *t)
{
    const struct {
        const char *key;
        int32_t id;
    } ids[] = {{"bos_token_id", t ? hone_tokenizer_bos(t) : -1},
               {"eos_token_id", t ? hone_tokenizer_eos(t) : -1},
               {"pad_token_id", t ? hone_tokenizer_pad(t) : -1}};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        json_object_set_new(config, ids[i].key,
                            ids[i].id >= 0 ? json_integer(ids[i].id) : json_null());
}

static hone_status write_tokenizer(const hone_file *f, const char *dir, json_t *model,
                                   hone_export_result *r)
{
    json_t *tokenizer, *config;
    hone_tokenizer *t;
    put_ids(model, NULL);
    hone_status s = hone_tokenizer_from_file(f, &t);
    if (s == HONE_NOT_FOUND) /* the file takes ids only */
        return HONE_OK;
    HONE_TRY(s);
    put_ids(model, t);
    s = hone_tokenizer_to_json(f, &tokenizer, &config);
    if (s == HONE_OK) {
        s = write_json(dir, "tokenizer.json", tokenizer, r);
        hone_status c = write_json(dir, "tokenizer_config.json", config, r);
        s = s == HONE_OK ? c : s;
    }
    if (s == HONE_OK)
        s = write_ends(t, dir, r);
    if (s == HONE_OK)
        s = check_tokenizer(t, dir);
    hone_tokenizer_close(t);
    return s;
}

/* How vectors are pooled, as sentence-transformers writes it down. */
static hone_status write_pooling(const hone_file *f, const char *dir, uint32_t hidden,
                                 hone_export_result *r)
{
    hone_task t;
    HONE_TRY(hone_task_read(f, false, &t));
    bool known = t.pooling_known;
    hone_pooling pooling = t.pooling;
    hone_task_free(&t);
    char *inner = known ? hone_path_join(dir, "1_Pooling") : NULL;
    if (!known)
        return HONE_OK;
    hone_status s = inner ? HONE_OK : hone_fail_memory(strlen(dir), "a path");
    if (s == HONE_OK && !hone_is_directory(inner))
        s = hone_make_directory(inner);
    if (s == HONE_OK)
        s = write_json(inner, "config.json",
                       json_pack("{s:i, s:b, s:b, s:b, s:b}", "word_embedding_dimension",
                                 (int)hidden, "pooling_mode_cls_token", pooling == HONE_POOLING_CLS,
                                 "pooling_mode_mean_tokens", pooling == HONE_POOLING_MEAN,
                                 "pooling_mode_max_tokens", pooling == HONE_POOLING_MAX,
                                 "pooling_mode_lasttoken", pooling == HONE_POOLING_LAST),
                       r);
    hone_free(inner);
    if (s != HONE_OK)
        return s;
    return write_json(dir, "modules.json",
                      json_pack("[{s:i, s:s, s:s, s:s}, {s:i, s:s, s:s, s:s}]", "idx", 0, "name",
                                "0", "path", "", "type", "sentence_transformers.models.Transformer",
                                "idx", 1, "name", "1", "path", "1_Pooling", "type",
                                "sentence_transformers.models.Pooling"),
                      r);
}

/* ---- the folder --------------------------------------------------------------------------------
 */

/* The names that an export makes in its folder, one after the other, and that of an index beside
 * which a model.safetensors counts for nothing; NULL: that is all. */
static const char *written_name(const json_t *modules, size_t i)
{
    static const char *const model[] = {"config.json", "model.safetensors",
                                        "model.safetensors.index.json", "1_Pooling",
                                        HONE_CHAT_TEMPLATES_FOLDER};
    enum { MODEL = sizeof model / sizeof *model };
    if (i < MODEL)
        return model[i];
    if (i - MODEL < HONE_TOKENIZER_FILES)
        return hone_tokenizer_files[i - MODEL];
    i -= MODEL + HONE_TOKENIZER_FILES;
    return i < VECTOR_FILES ? vector_files[i]
                            : module_path(json_array_get(modules, i - VECTOR_FILES));
}

/* Makes the folder. Files of another model in it would count as this one's. */
static hone_status begin_folder(const json_t *modules, const char *dir, bool *made)
{
    const char *name;
    *made = !hone_is_directory(dir);
    for (size_t i = 0; (name = written_name(modules, i)); i++) {
        char *path = *name ? hone_path_join(dir, name) : NULL;
        bool there = path && (hone_is_file(path) || hone_is_directory(path));
        hone_free(path);
        if (there)
            return hone_fail(HONE_USAGE,
                             "%s holds %s already, and two models would mix: give another folder, "
                             "or remove it first",
                             dir, name);
    }
    return *made ? hone_make_directory(dir) : HONE_OK;
}

static void take_back(const char *dir, const char *name)
{
    char *path = hone_path_join(dir, name);
    for (size_t i = 0; path && hone_is_directory(path) && i < MODULE_FILES; i++) {
        char *inner = hone_path_join(path, module_files[i]);
        if (inner)
            (void)unlink(inner);
        hone_free(inner);
    }
    if (path)
        (void)remove(path);
    hone_free(path);
}

/* What a failed export wrote goes again, and the folder, if it made that and nobody else put
 * something there. config.json comes last, so that a killed one leaves no model. */
static hone_status end_folder(const json_t *modules, const char *dir, bool made, hone_status s)
{
    const char *name;
    if (s == HONE_OK)
        return s;
    hone_chat_templates_remove(dir);
    for (size_t i = 0; (name = written_name(modules, i)); i++)
        if (*name)
            take_back(dir, name);
    if (made)
        (void)rmdir(dir);
    return s;
}

static hone_status export_gguf(const hone_file *f, hone_dtype type, const char *dir,
                               const hone_coded *form, hone_pool *pool, hone_export_result *out)
{
    const hone_arch *a;
    hone_hparams h;
    json_t *config = NULL;
    hone_json_use_memory();
    HONE_TRY(hone_refolder_config(f, type, &a, &h, &config));
    char *path = hone_path_join(dir, "model.safetensors");
    hone_status s = path ? HONE_OK : hone_fail_memory(strlen(dir), "a path");
    if (s == HONE_OK)
        s = hone_refolder_weights(f, a, &h, type, path, form, pool, out);
    if (s == HONE_OK)
        s = write_tokenizer(f, dir, config, out);
    if (s == HONE_OK && h.bidirectional && !h.labels)
        s = write_pooling(f, dir, h.hidden, out);
    hone_free(path);
    if (s != HONE_OK) {
        json_decref(config);
        return s;
    }
    if (form)
        json_object_set_new(config, "quantization_config", hone_coded_config(form));
    return write_json(dir, "config.json", config, out);
}

static hone_status write_merged(export_job *j, const char *dir)
{
    char *path = hone_path_join(dir, "model.safetensors");
    hone_status s = path ? hone_merge_write(j->f, j->adapter, j->type, path, &j->result->tensors,
                                            &j->result->decoded)
                         : hone_fail_memory(strlen(dir), "a path");
    hone_free(path);
    return s;
}

static hone_status export_folder(export_job *j, const char *dir)
{
    HONE_TRY(j->adapter ? write_merged(j, dir) : write_weights(j, dir));
    HONE_TRY(carry_files(hone_file_path(j->f), j->modules, dir, j->result));
    return write_config(j->f, dir, j->type);
}

hone_status hone_export_merged(const hone_file *f, const char *adapter, hone_dtype type,
                               const char *dir, hone_export_result *out)
{
    export_job j = {.f = f, .adapter = adapter, .type = type, .result = out};
    *out = (hone_export_result){0};
    if (adapter && hone_file_kind(f) == HONE_FILE_GGUF)
        return hone_fail(HONE_UNSUPPORTED,
                         "%s: an adapter is merged into a folder's weights; export the file as a "
                         "folder first",
                         hone_file_path(f));
    if (hone_file_kind(f) == HONE_FILE_SAFETENSORS)
        return hone_fail(HONE_UNSUPPORTED,
                         "%s has no description of its model: give the folder that holds "
                         "config.json",
                         hone_file_path(f));
    if (!hone_dtype_is_float(type) || type == HONE_DTYPE_F64)
        return hone_fail(HONE_USAGE, "a folder is written in f32, f16 or bf16, not %s",
                         hone_dtype_name(type));
    if (hone_same_file(hone_file_path(f), dir))
        return hone_fail(HONE_USAGE, "%s is the model's own folder; give another", dir);
    HONE_TRY(read_modules(f, &j.modules));
    bool made;
    hone_status s = begin_folder(j.modules, dir, &made);
    if (s == HONE_OK)
        s = end_folder(j.modules, dir, made,
                       hone_file_kind(f) == HONE_FILE_GGUF
                           ? export_gguf(f, type, dir, NULL, NULL, out)
                           : export_folder(&j, dir));
    json_decref(j.modules);
    return s;
}

/* Names, rows and hyper-parameters of a folder are put in order by way of GGUF. */
static hone_status by_way_of_gguf(const hone_file *f, const json_t *modules, const hone_coded *form,
                                  const char *dir, hone_pool *pool,
                                  const hone_quantize_events *events, hone_dtype type,
                                  hone_export_result *out)
{
    const hone_quantize_options o = {
        .type = HONE_DTYPE_F32, .kind = {-1, -1, -1, -1}, .passing = true};
    hone_quantize_result r;
    hone_file *plain = NULL;
    char *plain_path = hone_path_join(dir, "plain.gguf"),
         *path = plain_path ? hone_temporary_path(plain_path) : NULL;
    hone_free(plain_path);
    hone_status s = path ? HONE_OK : hone_fail_memory(strlen(dir), "a path");
    if (s == HONE_OK)
        s = hone_quantize(f, &o, path, pool, events, &r);
    if (s == HONE_OK)
        s = hone_file_open(path, &plain);
    if (s == HONE_OK)
        s = export_gguf(plain, type, dir, form, pool, out);
    hone_file_close(plain);
    if (path)
        (void)unlink(path);
    hone_free(path);
    return s == HONE_OK ? carry_files(hone_file_path(f), modules, dir, out) : s;
}

hone_status hone_export_coded(const hone_file *f, const hone_coded *form, const char *dir,
                              hone_pool *pool, const hone_quantize_events *events,
                              hone_export_result *out)
{
    bool bf16 = false;
    *out = (hone_export_result){0};
    for (size_t i = 0; i < hone_file_tensor_count(f); i++)
        bf16 |= hone_file_tensor_at(f, i)->dtype == HONE_DTYPE_BF16;
    hone_dtype type = bf16 ? HONE_DTYPE_BF16 : HONE_DTYPE_F16;
    if (hone_same_file(hone_file_path(f), dir))
        return hone_fail(HONE_USAGE, "%s is the model's own folder; give another", dir);
    json_t *modules;
    HONE_TRY(read_modules(f, &modules));
    bool made;
    hone_status s = begin_folder(modules, dir, &made);
    if (s == HONE_OK)
        s = end_folder(modules, dir, made,
                       hone_file_kind(f) == HONE_FILE_GGUF
                           ? export_gguf(f, type, dir, form, pool, out)
                           : by_way_of_gguf(f, modules, form, dir, pool, events, type, out));
    json_decref(modules);
    return s;
}
