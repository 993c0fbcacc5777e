#include "model/source/claim.h"

#include "base/mem.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <string.h>

/* Paths in config.json end at 512 bytes (file/config.c). */
enum { INNER = 512, KEY = 640, NAME = 600, MATCH_STEPS = 100000, GROUPS_MAX = 1024 };

static const char *const sections[] = {"quantization_config", "compression_config"};

/* What a method calls its numbers; NULL where it does not say. */
typedef struct method_row {
    const char *name;
    const char *bits, *group, *format;
    int fixed_bits;
    bool known;
} method_row;

static const method_row methods[] = {
    {"gptq", "bits", "group_size", "checkpoint_format", 0, true},
    {"auto-round", "bits", "group_size", "packing_format", 0, true},
    {"intel/auto-round", "bits", "group_size", "packing_format", 0, true},
    {"awq", "bits", "group_size", "version", 0, true},
    {"bitsandbytes", NULL, NULL, "bnb_4bit_quant_type", 0, true},
    {"fp8", NULL, NULL, "fmt", 8, true},
    {"fbgemm_fp8", NULL, NULL, NULL, 8, true},
    {"modelopt", NULL, NULL, "quant_algo", 0, true},
    {"compressed-tensors", NULL, NULL, "format", 0, true},
    {"mxfp4", NULL, NULL, NULL, 4, true},
};

/* Lists of matrices that are left alone, whatever the method. */
static const char *const ignore_keys[] = {"ignore", "modules_to_not_convert",
                                          "llm_int8_skip_modules", "ignored_layers",
                                          "exclude_modules"};

/* Numbers of single matrices (GPTQModel, AutoRound); with them the tensors alone decide. */
static const char *const overrides[] = {"dynamic", "extra_config"};

/* ---- matching names ------------------------------------------------------------------------- */

static void *take(size_t n, void *arg)
{
    (void)arg;
    return hone_malloc(n);
}

static void drop(void *p, void *arg)
{
    (void)arg;
    hone_free(p);
}

/* Whether `pattern` matches `name` from its start on (Python's re.match). */
static hone_status matches(const hone_file *f, const char *pattern, const char *name, bool *out)
{
    int error;
    PCRE2_SIZE at;
    pcre2_general_context *g = pcre2_general_context_create(take, drop, NULL);
    pcre2_compile_context *c = g ? pcre2_compile_context_create(g) : NULL;
    pcre2_match_context *limits = g ? pcre2_match_context_create(g) : NULL;
    pcre2_match_data *data = g ? pcre2_match_data_create(1, g) : NULL;
    pcre2_code *code = NULL;
    hone_status s = HONE_OK;
    if (!c || !limits || !data) {
        s = hone_fail_memory(1, "an expression of config.json");
        goto out;
    }
    code =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_ANCHORED, &error, &at, c);
    if (!code) {
        s = hone_fail(error == PCRE2_ERROR_NOMEMORY ? HONE_MEMORY : HONE_FORMAT,
                      "%s: config.json: \"re:%.120s\" is no regular expression (at %zu)",
                      hone_file_path(f), pattern, at);
        goto out;
    }
    pcre2_set_match_limit(limits, MATCH_STEPS);
    int rc = pcre2_match(code, (PCRE2_SPTR)name, strlen(name), 0, 0, data, limits);
    *out = rc >= 0;
    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
        s = hone_fail(HONE_LIMIT, "%s: config.json: \"re:%.120s\" takes too long on \"%.120s\"",
                      hone_file_path(f), pattern, name);
out:
    pcre2_code_free(code);
    pcre2_match_data_free(data);
    pcre2_match_context_free(limits);
    pcre2_compile_context_free(c);
    pcre2_general_context_free(g);
    return s;
}

/* An entry of a list of names against a module: itself, a module that holds it, its last parts, or
 * an expression. The several programs that write such lists differ; a plain entry stands here for
 * whole parts of a name only. */
static hone_status names_module(const hone_file *f, const char *entry, const char *module,
                                bool *out)
{
    size_t n = strlen(entry), m = strlen(module);
    if (strncmp(entry, "re:", 3) == 0)
        return matches(f, entry + 3, module, out);
    *out = n > 0 && n <= m &&
           ((strncmp(module, entry, n) == 0 && (module[n] == 0 || module[n] == '.')) ||
            (strcmp(module + m - n, entry) == 0 && module[m - n - 1] == '.'));
    return HONE_OK;
}

/* ---- reading -------------------------------------------------------------------------------- */

typedef struct reader {
    const hone_file *f;
    const char *section;
    char module[NAME], key[KEY];
} reader;

static const char *key_of(reader *r, const char *inner, const char *name)
{
    snprintf(r->key, sizeof r->key, "%s%s.%s", r->section, inner, name);
    return r->key;
}

static hone_status integer(reader *r, const char *inner, const char *name, int64_t *out)
{
    if (!name || !hone_file_has(r->f, key_of(r, inner, name)))
        return HONE_OK;
    return hone_file_i64(r->f, r->key, out);
}

static hone_status string(reader *r, const char *inner, const char *name, const char **out)
{
    if (!name || !hone_file_has(r->f, key_of(r, inner, name)))
        return HONE_OK;
    return hone_file_str(r->f, r->key, out);
}

/* Element i of a list of strings; they are not terminated in the file. */
static hone_status entry_at(const reader *r, const hone_array *a, uint64_t i, char out[NAME])
{
    const char *s;
    size_t n;
    if (!hone_array_str(a, i, &s, &n) || n >= NAME)
        return hone_fail(HONE_FORMAT, "%s: config.json: entry %llu of %s is no name",
                         hone_file_path(r->f), (unsigned long long)i, r->key);
    memcpy(out, s, n);
    out[n] = 0;
    return HONE_OK;
}

static hone_status read_ignores(reader *r, hone_claim *out)
{
    for (size_t l = 0; l < sizeof ignore_keys / sizeof *ignore_keys && !out->ignored; l++) {
        hone_array a;
        char entry[NAME];
        if (!hone_file_has(r->f, key_of(r, "", ignore_keys[l])))
            continue;
        HONE_TRY(hone_file_array(r->f, r->key, &a));
        for (uint64_t i = 0; i < a.count && !out->ignored; i++) {
            HONE_TRY(entry_at(r, &a, i, entry));
            HONE_TRY(names_module(r->f, entry, r->module, &out->ignored));
        }
        out->ignores = ignore_keys[l];
    }
    return HONE_OK;
}

static hone_status read_block(reader *r, const char *inner, const char *name, hone_claim *out)
{
    hone_array a;
    if (!hone_file_has(r->f, key_of(r, inner, name)))
        return HONE_OK;
    HONE_TRY(hone_file_array(r->f, r->key, &a));
    if (a.count != 2 || !hone_array_u64(&a, 0, &out->block[0]) ||
        !hone_array_u64(&a, 1, &out->block[1]) || !out->block[0] || !out->block[1] ||
        out->block[0] > UINT32_MAX || out->block[1] > UINT32_MAX)
        return hone_fail(HONE_FORMAT, "%s: config.json: %s is no pair of positive sizes",
                         hone_file_path(r->f), r->key);
    return HONE_OK;
}

static hone_status read_bitsandbytes(reader *r, hone_claim *out)
{
    bool four, eight;
    HONE_TRY(hone_file_bool_or(r->f, key_of(r, "", "load_in_4bit"), false, &four));
    HONE_TRY(hone_file_bool_or(r->f, key_of(r, "", "load_in_8bit"), false, &eight));
    if (four && eight)
        return hone_fail(HONE_FORMAT,
                         "%s: config.json contradicts itself: load_in_4bit and load_in_8bit",
                         hone_file_path(r->f));
    out->bits = four ? 4 : eight ? 8 : 0;
    return HONE_OK;
}

/* How well a target of a group names the module: 3 by name, 2 by expression, 1 by class, 0 not. */
static hone_status rank_target(const reader *r, const char *target, int *rank)
{
    bool hit = false;
    *rank = 0;
    if (strncmp(target, "re:", 3) == 0) {
        HONE_TRY(matches(r->f, target + 3, r->module, &hit));
        *rank = hit ? 2 : 0;
    } else if (strcmp(target, r->module) == 0) {
        *rank = 3;
    } else if (strcmp(target, "Linear") == 0) {
        *rank = 1;
    }
    return HONE_OK;
}

static hone_status read_scheme(reader *r, const char *inner, hone_claim *out)
{
    const char *strategy = NULL;
    char weights[INNER + 16];
    out->bits = out->group = 0;
    memset(out->block, 0, sizeof out->block);
    HONE_TRY(string(r, inner, "format", &out->format));
    snprintf(weights, sizeof weights, "%s.weights", inner);
    HONE_TRY(integer(r, weights, "num_bits", &out->bits));
    HONE_TRY(integer(r, weights, "group_size", &out->group));
    HONE_TRY(string(r, weights, "strategy", &strategy));
    HONE_TRY(read_block(r, weights, "block_structure", out));
    if (strategy && strcmp(strategy, "channel") == 0 && out->group > 0)
        return hone_fail(HONE_FORMAT,
                         "%s: config.json contradicts itself: %s%s has strategy channel and "
                         "group_size %lld",
                         hone_file_path(r->f), r->section, weights, (long long)out->group);
    if (strategy && strcmp(strategy, "channel") == 0)
        out->group = -1;
    return HONE_OK;
}

/* The group of config_groups that the module belongs to: by name, then by expression, then by
 * class; the first of equals. */
static hone_status read_groups(reader *r, hone_claim *out)
{
    static const char middle[] = ".config_groups.", end[] = ".targets";
    size_t head = strlen(r->section), best_rank = 0, groups = 0;
    for (size_t i = 0; i < hone_file_meta_count(r->f); i++) {
        const char *key = hone_file_meta_key(r->f, i);
        size_t n = strlen(key), inner_n;
        char inner[INNER], target[NAME];
        hone_array a;
        if (n >= INNER || strncmp(key, r->section, head) != 0 ||
            strncmp(key + head, middle, sizeof middle - 1) != 0 ||
            n < head + sizeof middle + sizeof end - 2 ||
            strcmp(key + n - (sizeof end - 1), end) != 0)
            continue;
        if (++groups > GROUPS_MAX)
            return hone_fail(HONE_LIMIT, "%s: config.json has more than %d config_groups",
                             hone_file_path(r->f), GROUPS_MAX);
        inner_n = n - head - (sizeof end - 1);
        memcpy(inner, key + head, inner_n);
        inner[inner_n] = 0;
        snprintf(r->key, sizeof r->key, "%s", key);
        HONE_TRY(hone_file_array(r->f, key, &a));
        for (uint64_t t = 0; t < a.count; t++) {
            int rank;
            HONE_TRY(entry_at(r, &a, t, target));
            HONE_TRY(rank_target(r, target, &rank));
            if ((size_t)rank <= best_rank)
                continue;
            best_rank = (size_t)rank;
            HONE_TRY(read_scheme(r, inner, out));
        }
    }
    return HONE_OK;
}

static bool has_overrides(reader *r)
{
    for (size_t o = 0; o < sizeof overrides / sizeof *overrides; o++) {
        size_t n = strlen(key_of(r, "", overrides[o]));
        for (size_t i = 0; i < hone_file_meta_count(r->f); i++) {
            const char *key = hone_file_meta_key(r->f, i);
            if (strncmp(key, r->key, n) == 0 && key[n] == '.')
                return true;
        }
    }
    return false;
}

static hone_status check_numbers(const reader *r, const hone_claim *c)
{
    if (c->bits < 0 || c->bits > 32)
        return hone_fail(HONE_FORMAT, "%s: config.json: %s claims weights of %lld bits",
                         hone_file_path(r->f), r->section, (long long)c->bits);
    if (c->group < -1 || c->group > INT32_MAX)
        return hone_fail(HONE_FORMAT, "%s: config.json: %s claims groups of %lld weights",
                         hone_file_path(r->f), r->section, (long long)c->group);
    return HONE_OK;
}

hone_status hone_claim_read(const hone_file *f, const char *weight, hone_claim *out)
{
    reader r = {.f = f};
    const method_row *row = NULL;
    size_t n = strlen(weight), tail = strlen(".weight");
    *out = (hone_claim){0};
    for (size_t i = 0; i < sizeof sections / sizeof *sections && !out->method; i++) {
        r.section = sections[i];
        if (hone_file_has(f, r.section))
            return hone_fail(HONE_FORMAT, "%s: config.json: %s is no object", hone_file_path(f),
                             r.section);
        HONE_TRY(string(&r, "", "quant_method", &out->method));
    }
    if (!out->method)
        return HONE_OK;
    bool whole = n > tail && strcmp(weight + n - tail, ".weight") == 0;
    snprintf(r.module, sizeof r.module, "%.*s", (int)(whole ? n - tail : n), weight);
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(methods[i].name, out->method) == 0)
            row = &methods[i];
    HONE_TRY(read_ignores(&r, out));
    if (!row)
        return HONE_OK;
    out->known = true;
    out->bits = row->fixed_bits;
    HONE_TRY(integer(&r, "", row->bits, &out->bits));
    HONE_TRY(integer(&r, "", row->group, &out->group));
    HONE_TRY(string(&r, "", row->format, &out->format));
    HONE_TRY(read_block(&r, "", "weight_block_size", out));
    if (strcmp(row->name, "bitsandbytes") == 0)
        HONE_TRY(read_bitsandbytes(&r, out));
    HONE_TRY(read_groups(&r, out));
    HONE_TRY(check_numbers(&r, out));
    if (has_overrides(&r))
        out->bits = out->group = 0;
    return HONE_OK;
}
