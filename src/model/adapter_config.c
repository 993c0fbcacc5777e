/* adapter_config.json, as PEFT's LoraConfig writes it. What would change the result and is not
 * computed here is refused by name; what is not known may only be empty. */
#include "model/adapter.h"

#include "base/json.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 16, VALUES = 1 << 16 };

/* Keys whatever is in them: read below, or of training, or of where things lie. */
static const char *const free_keys[] = {"peft_type",
                                        "auto_mapping",
                                        "base_model_name_or_path",
                                        "revision",
                                        "task_type",
                                        "inference_mode",
                                        "r",
                                        "target_modules",
                                        "exclude_modules",
                                        "lora_alpha",
                                        "lora_dropout",
                                        "fan_in_fan_out",
                                        "bias",
                                        "use_rslora",
                                        "use_dora",
                                        "init_lora_weights",
                                        "layers_to_transform",
                                        "layers_pattern",
                                        "loftq_config",
                                        "eva_config",
                                        "corda_config",
                                        "lora_ga_config",
                                        "megatron_core",
                                        "runtime_config",
                                        "qalora_group_size",
                                        "peft_version",
                                        "ensure_weight_tying"};

static bool is_empty(const json_t *v)
{
    return !v || json_is_null(v) || json_is_false(v) ||
           (json_is_number(v) && json_number_value(v) == 0) ||
           (json_is_string(v) && !json_string_length(v)) ||
           (json_is_array(v) && !json_array_size(v)) || (json_is_object(v) && !json_object_size(v));
}

static hone_status check_keys(const json_t *root, const char *path)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)root, key, v)
    {
        size_t i = 0;
        while (i < sizeof free_keys / sizeof *free_keys && strcmp(free_keys[i], key) != 0)
            i++;
        if (i == sizeof free_keys / sizeof *free_keys && !is_empty(v))
            return hone_fail(HONE_UNSUPPORTED,
                             "%s: \"%.64s\" is something that hone does not compute; the result "
                             "would not be this adapter's",
                             path, key);
    }
    return HONE_OK;
}

/* Ways to begin that change the weights of the model itself. */
static hone_status check_start(const json_t *root, const char *path)
{
    static const char *const changed[] = {"pissa", "olora", "corda", "loftq", "lora_ga"};
    const char *start = json_string_value(json_object_get(root, "init_lora_weights"));
    for (size_t i = 0; start && i < sizeof changed / sizeof *changed; i++)
        if (strncmp(start, changed[i], strlen(changed[i])) == 0)
            return hone_fail(HONE_UNSUPPORTED,
                             "%s: init_lora_weights \"%.32s\" changed the model's own weights; "
                             "convert the adapter to plain LoRA (PEFT's save_pretrained with "
                             "path_initial_model_for_weight_conversion)",
                             path, start);
    return HONE_OK;
}

static hone_status check_kind(const json_t *root, const char *path)
{
    const json_t *type = json_object_get(root, "peft_type"), *bias = json_object_get(root, "bias");
    const char *name = json_string_value(type), *biases = json_string_value(bias);
    if (!name || strcmp(name, "LORA") != 0)
        return hone_fail(name ? HONE_UNSUPPORTED : HONE_FORMAT,
                         "%s: peft_type is %.32s; hone knows LORA (with DoRA)", path,
                         name ? name : "missing");
    if (bias && (!biases || strcmp(biases, "none") != 0))
        return hone_fail(HONE_UNSUPPORTED,
                         "%s: bias is \"%.32s\": adapters with biases of the model's are not "
                         "supported, only \"none\"",
                         path, biases ? biases : "no text");
    return HONE_OK;
}

static hone_status number(const json_t *root, const char *path, const char *key, double fallback,
                          double *out)
{
    const json_t *v = json_object_get(root, key);
    *out = v ? json_number_value(v) : fallback;
    if ((v && !json_is_number(v)) || !isfinite(*out))
        return hone_fail(HONE_FORMAT, "%s: \"%s\" is no number", path, key);
    return HONE_OK;
}

static hone_status flag(const json_t *root, const char *path, const char *key, bool *out)
{
    const json_t *v = json_object_get(root, key);
    *out = json_is_true(v);
    if (v && !json_is_boolean(v) && !json_is_null(v))
        return hone_fail(HONE_FORMAT, "%s: \"%s\" is neither true nor false", path, key);
    return HONE_OK;
}

static hone_status take(const json_t *root, const char *path, hone_adapter_options *out)
{
    double rank;
    if (!json_is_object(root))
        return hone_fail(HONE_FORMAT, "%s is no JSON object", path);
    HONE_TRY(check_kind(root, path));
    HONE_TRY(check_keys(root, path));
    HONE_TRY(check_start(root, path));
    HONE_TRY(number(root, path, "r", 8, &rank));
    HONE_TRY(number(root, path, "lora_alpha", 8, &out->alpha));
    HONE_TRY(number(root, path, "lora_dropout", 0, &out->dropout));
    HONE_TRY(flag(root, path, "use_rslora", &out->rslora));
    HONE_TRY(flag(root, path, "use_dora", &out->dora));
    if (!(rank >= 1 && rank <= HONE_RANK_MAX) || rank != floor(rank))
        return hone_fail(HONE_FORMAT, "%s: \"r\" is %g; a rank is 1 to %d", path, rank,
                         HONE_RANK_MAX);
    if (!(fabs(out->alpha) <= 1e6) || !(out->dropout >= 0 && out->dropout < 1))
        return hone_fail(HONE_FORMAT, "%s: lora_alpha %g or lora_dropout %g makes no sense", path,
                         out->alpha, out->dropout);
    out->rank = (uint32_t)rank;
    return HONE_OK;
}

hone_status hone_adapter_config_read(const char *json, size_t bytes, const char *path,
                                     hone_adapter_options *out)
{
    json_t *root;
    *out = (hone_adapter_options){0};
    HONE_TRY(hone_json_parse(json, bytes, DEPTH, VALUES, path, &root));
    hone_status s = take(root, path, out);
    json_decref(root);
    return s;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void add_name(void *arg, const char *text)
{
    (void)json_array_append_new(arg, json_string(text));
}

static json_t *plain_number(double x)
{
    return x == floor(x) ? json_integer((json_int_t)x) : json_real(x);
}

hone_status hone_adapter_config_write(const hone_adapter *a, const char *base, char **json)
{
    const hone_adapter_options *o = &a->o;
    const hone_slot first = a->list[0].slot;
    bool turned = a->model->arch->hf_names[first].flags & HONE_NAME_TRANSPOSED;
    *json = NULL;
    hone_json_use_memory();
    json_t *targets = json_array();
    hone_modules_describe(a->modules, a->n_modules, add_name, targets);
    json_t *root =
        json_pack("{s:s, s:s, s:s, s:n, s:i, s:o, s:f, s:o, s:s, s:b, s:b, s:b, s:b, s:b, s:n}",
                  "peft_type", "LORA", "task_type", "CAUSAL_LM", "base_model_name_or_path", base,
                  "revision", "r", (int)o->rank, "lora_alpha", plain_number(o->alpha),
                  "lora_dropout", o->dropout, "target_modules", targets, "bias", "none",
                  "fan_in_fan_out", turned, "use_rslora", o->rslora, "use_dora", o->dora,
                  "init_lora_weights", true, "inference_mode", true, "modules_to_save");
    *json = root ? json_dumps(root, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(15))
                 : NULL; /* jansson allocates through hone_malloc */
    json_decref(root);
    return *json ? HONE_OK : hone_fail_memory(strlen(base), "adapter_config.json");
}
