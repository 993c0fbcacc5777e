#include "engine/task.h"

#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

enum { FILE_BYTES_MAX = 1 << 20, FILE_DEPTH = 16, FILE_VALUES = 1 << 14, LABELS_MAX = 1 << 16 };

/* The JSON file `name` of the model's folder; NULL if there is none. */
static hone_status read_json(const hone_file *f, const char *name, json_t **out)
{
    char *text;
    size_t bytes;
    *out = NULL;
    HONE_TRY(hone_read_member(hone_file_path(f), name, FILE_BYTES_MAX, &text, &bytes));
    hone_status s =
        text ? hone_json_parse(text, bytes, FILE_DEPTH, FILE_VALUES, name, out) : HONE_OK;
    hone_free(text);
    return s == HONE_OK ? s : hone_fail_in(s, "%s", hone_file_path(f));
}

/* ---- pooling -------------------------------------------------------------------------------- */

static const struct {
    const char *flag, *mode; /* pooling_mode_<flag>, or the newer pooling_mode */
    hone_pooling pooling;
} modes[] = {{"pooling_mode_cls_token", "cls", HONE_POOLING_CLS},
             {"pooling_mode_mean_tokens", "mean", HONE_POOLING_MEAN},
             {"pooling_mode_max_tokens", "max", HONE_POOLING_MAX},
             {"pooling_mode_lasttoken", "lasttoken", HONE_POOLING_LAST},
             {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", HONE_POOLING_COUNT},
             {"pooling_mode_weightedmean_tokens", "weightedmean", HONE_POOLING_COUNT}};

static hone_status set_pooling(const hone_file *f, const json_t *o, hone_task *t)
{
    const char *mode = json_string_value(json_object_get(o, "pooling_mode"));
    int found = 0;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        bool is = mode ? strcmp(mode, modes[i].mode) == 0
                       : json_is_true(json_object_get(o, modes[i].flag));
        if (!is)
            continue;
        t->pooling = modes[i].pooling;
        t->pooling_known = true;
        found++;
    }
    if (found == 1 && t->pooling != HONE_POOLING_COUNT)
        return HONE_OK;
    return hone_fail(
        HONE_UNSUPPORTED,
        "%s: the pooling of modules.json is %s; hone has cls, mean, max and lasttoken, "
        "one at a time (--pooling chooses)",
        hone_file_path(f),
        mode    ? mode
        : found ? "another or several"
                : "not said");
}

static hone_status read_pooling(const hone_file *f, const char *folder, hone_task *t)
{
    char name[256];
    json_t *o;
    if (strstr(folder, "..") || *folder == '/' || strlen(folder) > 200)
        return hone_fail(HONE_FORMAT, "%s/modules.json: a module lies in \"%.60s\"",
                         hone_file_path(f), folder);
    snprintf(name, sizeof name, "%s/config.json", folder);
    HONE_TRY(read_json(f, name, &o));
    if (!o)
        return hone_fail(HONE_NOT_FOUND, "%s: modules.json names %s, which is missing",
                         hone_file_path(f), name);
    hone_status s = set_pooling(f, o, t);
    json_decref(o);
    return s;
}

/* "sentence_transformers.models.Pooling" -> "Pooling" */
static const char *last_part(const char *type)
{
    const char *dot = strrchr(type, '.');
    return dot ? dot + 1 : type;
}

static hone_status read_module(const hone_file *f, const json_t *module, hone_task *t)
{
    const char *type = json_string_value(json_object_get(module, "type"));
    const char *path = json_string_value(json_object_get(module, "path"));
    if (!type || !path)
        return hone_fail(HONE_FORMAT, "%s/modules.json: a module without type or path",
                         hone_file_path(f));
    type = last_part(type);
    if (strcmp(type, "Pooling") == 0)
        return read_pooling(f, path, t);
    if (strcmp(type, "Normalize") == 0)
        t->normalize = true;
    else if (strcmp(type, "Transformer") != 0)
        return hone_fail(HONE_UNSUPPORTED,
                         "%s/modules.json: hone has no module %.60s, so that its vectors would not "
                         "be this model's (--pooling goes on without modules.json)",
                         hone_file_path(f), type);
    return HONE_OK;
}

static hone_status read_modules(const hone_file *f, hone_task *t)
{
    json_t *list, *module;
    size_t i;
    hone_status s = HONE_OK;
    HONE_TRY(read_json(f, "modules.json", &list));
    if (!list)
        return HONE_OK;
    t->normalize_known = true;
    if (!json_is_array(list))
        s = hone_fail(HONE_FORMAT, "%s/modules.json is no list", hone_file_path(f));
    json_array_foreach(list, i, module) if (s == HONE_OK) s = read_module(f, module, t);
    json_decref(list);
    return s;
}

/* ---- prompts and length --------------------------------------------------------------------- */

static hone_status read_prompts(const hone_file *f, hone_task *t)
{
    json_t *o, *text;
    const char *name;
    hone_status s = HONE_OK;
    HONE_TRY(read_json(f, "config_sentence_transformers.json", &o));
    const char *first = json_string_value(json_object_get(o, "default_prompt_name"));
    json_object_foreach(json_object_get(o, "prompts"), name, text)
    {
        if (!json_is_string(text) || t->n_prompts == HONE_TASK_PROMPTS) {
            s = hone_fail(HONE_FORMAT,
                          "%s/config_sentence_transformers.json: prompts are texts, %d at most",
                          hone_file_path(f), HONE_TASK_PROMPTS);
            break;
        }
        if (first && strcmp(first, name) == 0)
            t->default_prompt = (int)t->n_prompts;
        t->prompts[t->n_prompts].name = hone_strdup(name);
        t->prompts[t->n_prompts].text = hone_strdup(json_string_value(text));
        t->n_prompts++;
        if (!t->prompts[t->n_prompts - 1].name || !t->prompts[t->n_prompts - 1].text) {
            s = hone_fail_memory(json_string_length(text), "a prompt");
            break;
        }
    }
    json_decref(o);
    return s;
}

static hone_status read_length(const hone_file *f, hone_task *t)
{
    json_t *o;
    HONE_TRY(read_json(f, "sentence_bert_config.json", &o));
    json_int_t most = json_integer_value(json_object_get(o, "max_seq_length"));
    if (most > 0 && most <= INT32_MAX)
        t->max_tokens = (uint32_t)most;
    json_decref(o);
    return HONE_OK;
}

/* ---- labels --------------------------------------------------------------------------------- */

static hone_status set_label(hone_task *t, uint32_t i, const char *text, size_t n)
{
    if (i >= LABELS_MAX)
        return hone_fail(HONE_LIMIT, "more than %d labels", LABELS_MAX);
    if (i >= t->n_labels) {
        char **more = hone_reallocarray(t->labels, i + 1, sizeof *more);
        if (!more)
            return hone_fail_memory((i + 1) * sizeof *more, "labels");
        memset(more + t->n_labels, 0, (i + 1 - t->n_labels) * sizeof *more);
        t->labels = more;
        t->n_labels = i + 1;
    }
    t->labels[i] = hone_strndup(text, n);
    return t->labels[i] ? HONE_OK : hone_fail_memory(n, "a label");
}

static hone_status read_labels(const hone_file *f, hone_task *t)
{
    char key[32];
    const char *text;
    for (uint32_t i = 0;; i++) {
        snprintf(key, sizeof key, "id2label.%u", i);
        if (!hone_file_has(f, key))
            return HONE_OK;
        HONE_TRY(hone_file_str(f, key, &text));
        HONE_TRY(set_label(t, i, text, strlen(text)));
    }
}

static hone_status read_folder(const hone_file *f, bool modules, hone_task *t)
{
    const char *text;
    if (modules)
        HONE_TRY(read_modules(f, t));
    HONE_TRY(read_prompts(f, t));
    HONE_TRY(read_length(f, t));
    HONE_TRY(read_labels(f, t));
    HONE_TRY(hone_file_str_or(f, "problem_type", "", &text));
    t->multi_label = strcmp(text, "multi_label_classification") == 0;
    t->regression = strcmp(text, "regression") == 0;
    HONE_TRY(hone_file_str_or(f, "sbert_ce_default_activation_function", "", &text));
    HONE_TRY(hone_file_str_or(f, "sentence_transformers.activation_fn", text, &text));
    t->raw_scores = hone_ends_with(text, ".Identity");
    return HONE_OK;
}

static hone_status read_gguf(const hone_file *f, hone_task *t)
{
    static const int poolings[] = {HONE_POOLING_NONE, HONE_POOLING_MEAN, HONE_POOLING_CLS,
                                   HONE_POOLING_LAST}; /* llama.cpp's numbers; 4 is for rerankers */
    const char *arch, *text;
    char key[96];
    uint64_t type;
    size_t bytes;
    hone_array a;
    HONE_TRY(hone_file_str(f, "general.architecture", &arch));
    snprintf(key, sizeof key, "%.40s.pooling_type", arch);
    HONE_TRY(hone_file_u64_or(f, key, 4, &type));
    if (type > 4)
        return hone_fail(HONE_UNSUPPORTED, "%s: %s = %llu; hone knows 0 to 4", hone_file_path(f),
                         key, (unsigned long long)type);
    t->pooling_known = type >= 1 && type < 4;
    t->pooling = t->pooling_known ? (hone_pooling)poolings[type] : HONE_POOLING_MEAN;
    snprintf(key, sizeof key, "%.40s.classifier.output_labels", arch);
    if (!hone_file_has(f, key))
        return HONE_OK;
    HONE_TRY(hone_file_array(f, key, &a));
    for (uint64_t i = 0; i < a.count && i < LABELS_MAX; i++)
        if (hone_array_str(&a, i, &text, &bytes))
            HONE_TRY(set_label(t, (uint32_t)i, text, bytes));
    return HONE_OK;
}

hone_status hone_task_read(const hone_file *f, bool modules, hone_task *out)
{
    *out = (hone_task){.default_prompt = -1};
    hone_status s = HONE_OK;
    if (hone_file_kind(f) == HONE_FILE_GGUF)
        s = read_gguf(f, out);
    else if (hone_file_kind(f) == HONE_FILE_HF)
        s = read_folder(f, modules, out);
    if (s != HONE_OK)
        hone_task_free(out);
    return s;
}

void hone_task_free(hone_task *t)
{
    for (uint32_t i = 0; i < t->n_prompts; i++) {
        hone_free(t->prompts[i].name);
        hone_free(t->prompts[i].text);
    }
    for (uint32_t i = 0; i < t->n_labels; i++)
        hone_free(t->labels[i]);
    hone_free(t->labels);
    *t = (hone_task){.default_prompt = -1};
}
