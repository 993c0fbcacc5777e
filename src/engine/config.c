#include "engine/config.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/threads.h"
#include "dtype/dtype.h"
#include "hw/isa.h"
#include "kernel/kernel.h"

#include <stdio.h>
#include <string.h>

enum {
    JSON_BYTES_MAX = 1 << 16,
    JSON_DEPTH_MAX = 8,
    JSON_VALUES_MAX = 256,
    STEP_TOKENS_MAX = 1 << 16
};

static const char *const compute_names[] = {"bf16", "f32"};
static const char *const kind_names[HONE_WEIGHT_KINDS] = {"attention", "mlp", "head"};
static const char *const kind_short[HONE_WEIGHT_KINDS] = {"attn", "mlp", "head"};
static const char as_filed[] = "as_filed", best[] = "best";

hone_config hone_config_default(void)
{
    hone_config c = {.compute = HONE_COMPUTE_BF16,
                     .kv_format = HONE_KV_BF16,
                     .isa = HONE_ISA_BEST,
                     .prefix_reuse = true};
    for (int k = 0; k < HONE_WEIGHT_KINDS; k++)
        c.weight_dtype[k] = HONE_WEIGHT_AS_FILED;
    return c;
}

static const char *weight_name(int dtype)
{
    return dtype == HONE_WEIGHT_AS_FILED ? as_filed : hone_dtype_name((hone_dtype)dtype);
}

static const char *isa_name(int isa)
{
    return isa == HONE_ISA_BEST ? best : hone_isa_name((hone_isa)isa);
}

hone_status hone_config_to_json(const hone_config *c, char **json)
{
    *json = NULL;
    json_t *o =
        json_pack("{s:s, s:s, s:i, s:s, s:s, s:I, s:I, s:I, s:b, s:i, s:{s:s, s:s, s:s}}",
                  "compute", compute_names[c->compute], "products",
                  hone_products_name((hone_products)c->products), "threads", c->threads, "isa",
                  isa_name(c->isa), "kv_format", hone_kv_format_name((hone_kv_format)c->kv_format),
                  "context_tokens", (json_int_t)c->context_tokens, "step_tokens",
                  (json_int_t)c->step_tokens, "kv_bytes_max", (json_int_t)c->kv_bytes_max,
                  "prefix_reuse", c->prefix_reuse, "numerics_version", (int)HONE_NUMERICS_VERSION,
                  "weights", kind_names[0], weight_name(c->weight_dtype[0]), kind_names[1],
                  weight_name(c->weight_dtype[1]), kind_names[2], weight_name(c->weight_dtype[2]));
    if (o && *c->adapter && /* not written where there is none: texts of before stay equal */
        json_object_set_new(o, "adapter", json_string(c->adapter)) != 0) {
        json_decref(o);
        return hone_fail(HONE_UNSUPPORTED,
                         "the path of the adapter is no UTF-8 text, or memory is short: a "
                         "configuration cannot hold it (rename the folder)");
    }
    char *text = o ? json_dumps(o, JSON_SORT_KEYS | JSON_COMPACT) : NULL;
    json_decref(o);
    if (!text)
        return hone_fail_memory(JSON_BYTES_MAX, "a configuration's text");
    *json = text; /* jansson allocates through hone_malloc */
    return HONE_OK;
}

/* Reads one member into *out; `text` of it must be one of names[0..n). */
static hone_status read_name(const json_t *value, const char *key, const char *const *names, int n,
                             int *out)
{
    const char *text = json_string_value(value);
    for (int i = 0; text && i < n; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = i;
            return HONE_OK;
        }
    }
    char known[160];
    size_t at = 0;
    known[0] = 0;
    for (int i = 0; i < n && at < sizeof known; i++)
        at += (size_t)snprintf(known + at, sizeof known - at, "%s%s", i ? ", " : "", names[i]);
    return hone_fail(HONE_FORMAT, "configuration: \"%s\" is %s%s%s; known: %s", key,
                     text ? "\"" : "not a string", text ? text : "", text ? "\"" : "", known);
}

static hone_status read_number(const json_t *value, const char *key, uint64_t max, uint64_t *out)
{
    json_int_t v = json_integer_value(value);
    if (!json_is_integer(value) || v < 0 || (uint64_t)v > max)
        return hone_fail(HONE_FORMAT, "configuration: \"%s\" must be a whole number from 0 to %llu",
                         key, (unsigned long long)max);
    *out = (uint64_t)v;
    return HONE_OK;
}

static hone_status read_weight(const json_t *value, const char *key, int *out)
{
    const char *text = json_string_value(value);
    hone_dtype t;
    if (text && strcmp(text, as_filed) == 0) {
        *out = HONE_WEIGHT_AS_FILED;
        return HONE_OK;
    }
    if (!text || !hone_dtype_by_name(text, &t) || !hone_dtype_can_encode(t))
        return hone_fail(HONE_FORMAT,
                         "configuration: \"weights.%s\" is %s%s%s; give \"%s\" or the name of a "
                         "weight format that hone can write (bf16, q8_0, q4_0...)",
                         key, text ? "\"" : "not a string", text ? text : "", text ? "\"" : "",
                         as_filed);
    *out = (int)t;
    return HONE_OK;
}

static hone_status read_weights(const json_t *value, hone_config *c)
{
    if (!json_is_object(value))
        return hone_fail(HONE_FORMAT, "configuration: \"weights\" must be an object");
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)value, key, v)
    {
        int k = 0;
        while (k < HONE_WEIGHT_KINDS && strcmp(key, kind_names[k]) != 0)
            k++;
        if (k == HONE_WEIGHT_KINDS)
            return hone_fail(
                HONE_FORMAT,
                "configuration: \"weights.%.64s\" is unknown; known: attention, mlp, head", key);
        HONE_TRY(read_weight(v, key, &c->weight_dtype[k]));
    }
    return HONE_OK;
}

static hone_status read_isa(const json_t *value, int *out)
{
    const char *names[HONE_ISA_COUNT + 1];
    for (int i = 0; i < HONE_ISA_COUNT; i++)
        names[i] = hone_isa_name((hone_isa)i);
    names[HONE_ISA_COUNT] = best;
    int at;
    HONE_TRY(read_name(value, "isa", names, HONE_ISA_COUNT + 1, &at));
    *out = at == HONE_ISA_COUNT ? HONE_ISA_BEST : at;
    return HONE_OK;
}

static hone_status read_kv(const json_t *value, int *out)
{
    const char *names[HONE_KV_COUNT];
    for (int i = 0; i < HONE_KV_COUNT; i++)
        names[i] = hone_kv_format_name((hone_kv_format)i);
    return read_name(value, "kv_format", names, HONE_KV_COUNT, out);
}

static hone_status read_products(const json_t *value, int *out)
{
    const char *names[HONE_PRODUCTS_COUNT];
    for (int i = 0; i < HONE_PRODUCTS_COUNT; i++)
        names[i] = hone_products_name((hone_products)i);
    return read_name(value, "products", names, HONE_PRODUCTS_COUNT, out);
}

static hone_status read_adapter(const json_t *value, hone_config *c)
{
    const char *text = json_string_value(value);
    if (!text || strlen(text) >= sizeof c->adapter)
        return hone_fail(HONE_FORMAT, "configuration: \"adapter\" is no path of less than %d bytes",
                         (int)HONE_ADAPTER_PATH);
    memcpy(c->adapter, text, strlen(text) + 1);
    return HONE_OK;
}

static hone_status read_numerics(const json_t *value)
{
    uint64_t v;
    HONE_TRY(read_number(value, "numerics_version", INT32_MAX, &v));
    if (v != HONE_NUMERICS_VERSION)
        return hone_fail(
            HONE_UNSUPPORTED,
            "the configuration was validated under numerics version %llu, this hone "
            "has version %d: its logits would not be the validated ones; optimise again",
            (unsigned long long)v, (int)HONE_NUMERICS_VERSION);
    return HONE_OK;
}

static hone_status read_member(const char *key, const json_t *v, hone_config *c)
{
    uint64_t n = 0;
    int i = 0;
    if (strcmp(key, "compute") == 0) {
        HONE_TRY(read_name(v, key, compute_names, 2, &i));
        c->compute = (hone_compute)i;
    } else if (strcmp(key, "weights") == 0) {
        HONE_TRY(read_weights(v, c));
    } else if (strcmp(key, "products") == 0) {
        HONE_TRY(read_products(v, &c->products));
    } else if (strcmp(key, "kv_format") == 0) {
        HONE_TRY(read_kv(v, &c->kv_format));
    } else if (strcmp(key, "isa") == 0) {
        HONE_TRY(read_isa(v, &c->isa));
    } else if (strcmp(key, "threads") == 0) {
        HONE_TRY(read_number(v, key, HONE_THREADS_MAX, &n));
        c->threads = (int)n;
    } else if (strcmp(key, "context_tokens") == 0) {
        HONE_TRY(read_number(v, key, INT32_MAX, &n));
        c->context_tokens = (uint32_t)n;
    } else if (strcmp(key, "step_tokens") == 0) {
        HONE_TRY(read_number(v, key, STEP_TOKENS_MAX, &n));
        c->step_tokens = (uint32_t)n;
    } else if (strcmp(key, "kv_bytes_max") == 0) {
        HONE_TRY(read_number(v, key, INT64_MAX, &c->kv_bytes_max));
    } else if (strcmp(key, "prefix_reuse") == 0) {
        if (!json_is_boolean(v))
            return hone_fail(HONE_FORMAT, "configuration: \"prefix_reuse\" must be true or false");
        c->prefix_reuse = json_is_true(v);
    } else if (strcmp(key, "adapter") == 0) {
        HONE_TRY(read_adapter(v, c));
    } else if (strcmp(key, "numerics_version") == 0) {
        HONE_TRY(read_numerics(v));
    } else {
        return hone_fail(
            HONE_FORMAT,
            "configuration: \"%.64s\" is unknown; known: adapter, compute, context_tokens, isa, "
            "kv_bytes_max, kv_format, numerics_version, prefix_reuse, products, "
            "step_tokens, threads, weights",
            key);
    }
    return HONE_OK;
}

hone_status hone_config_from_json(const char *json, hone_config *out)
{
    hone_config c = hone_config_default();
    size_t bytes = strlen(json);
    if (bytes > JSON_BYTES_MAX)
        return hone_fail(HONE_FORMAT, "configuration: %zu bytes, at most %d", bytes,
                         (int)JSON_BYTES_MAX);
    json_t *o;
    HONE_TRY(
        hone_json_parse(json, bytes, JSON_DEPTH_MAX, JSON_VALUES_MAX, "the configuration", &o));
    hone_status s = HONE_OK;
    if (!json_is_object(o))
        s = hone_fail(HONE_FORMAT, "configuration: not a JSON object");
    const char *key;
    json_t *v;
    json_object_foreach(o, key, v)
    {
        if (s == HONE_OK)
            s = read_member(key, v, &c);
    }
    /* Cached keys and values are float32 with float32 products unless the text says otherwise. */
    if (s == HONE_OK && c.compute == HONE_COMPUTE_F32 && !json_object_get(o, "kv_format"))
        c.kv_format = HONE_KV_F32;
    json_decref(o);
    if (s == HONE_OK)
        *out = c;
    return s;
}

void hone_config_describe(const hone_config *c, char *out, size_t n)
{
    size_t at = (size_t)snprintf(out, n, "%s", compute_names[c->compute]);
    if (c->products != HONE_PRODUCTS_EXACT && at < n)
        at += (size_t)snprintf(out + at, n - at, " products=%s",
                               hone_products_name((hone_products)c->products));
    for (int k = 0; k < HONE_WEIGHT_KINDS; k++)
        if (c->weight_dtype[k] != HONE_WEIGHT_AS_FILED && at < n)
            at += (size_t)snprintf(out + at, n - at, " %s=%s", kind_short[k],
                                   weight_name(c->weight_dtype[k]));
    if (at < n)
        at += (size_t)snprintf(out + at, n - at, " kv=%s",
                               hone_kv_format_name((hone_kv_format)c->kv_format));
    if (c->threads > 0 && at < n)
        at += (size_t)snprintf(out + at, n - at, " threads=%d", c->threads);
    if (*c->adapter && at < n)
        at += (size_t)snprintf(out + at, n - at, " adapter=%s", c->adapter);
    if (c->isa != HONE_ISA_BEST && at < n)
        snprintf(out + at, n - at, " isa=%s", isa_name(c->isa));
}
