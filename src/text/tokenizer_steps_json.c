/* The steps of a tokenizer.json: normalizer, pre_tokenizer, post_processor, decoder. */
#include "text/tokenizer_json.h"

#include <string.h>

const char *hone_json_type(const json_t *o)
{
    const char *type = json_string_value(json_object_get(o, "type"));
    return type ? type : "";
}

static bool is(const json_t *o, const char *type)
{
    return strcmp(hone_json_type(o), type) == 0;
}

bool hone_json_flag(const json_t *o, const char *key, bool fallback)
{
    const json_t *v = json_object_get(o, key);
    return json_is_boolean(v) ? json_is_true(v) : fallback;
}

static hone_status keep(hone_tokenizer *t, const json_t *v, const char *what, hone_str *out)
{
    if (!json_is_string(v))
        return hone_fail(HONE_FORMAT, "%s is no string", what);
    return hone_pool_add(t, json_string_value(v), json_string_length(v), out);
}

/*
 * Expressions are written for Oniguruma. What PCRE2 reads in another sense is refused: class
 * intersections, \h (a hexadecimal digit there), and {n,m}+ (repeated there, possessive here).
 */
static hone_status compile(const json_t *v, const char *what, pcre2_code **out)
{
    if (!json_is_string(v))
        return hone_fail(HONE_FORMAT, "the expression of %s is no string", what);
    const char *p = json_string_value(v);
    size_t n = json_string_length(v);
    for (size_t i = 0; i + 1 < n; i++) {
        bool hex = p[i] == '\\' && (p[i + 1] == 'h' || p[i + 1] == 'H');
        bool and_class = p[i] == '&' && p[i + 1] == '&';
        bool repeat = p[i] == '}' && p[i + 1] == '+' && i > 0 && p[i - 1] >= '0' && p[i - 1] <= '9';
        if (hex || and_class || repeat)
            return hone_fail(HONE_UNSUPPORTED,
                             "the expression of %s uses \"%.2s\" at byte %zu in Oniguruma's sense, "
                             "which hone does not know yet",
                             what, p + i, i);
        if (p[i] == '\\')
            i++;
    }
    return hone_expression_compile(p, n, what, out);
}

/* ---- normalizer ---- */

static hone_status add_replace(hone_tokenizer *t, const json_t *o)
{
    const json_t *pattern = json_object_get(o, "pattern");
    hone_norm_step step = {.kind = HONE_NORM_REPLACE};
    HONE_TRY(
        keep(t, json_object_get(o, "content"), "content of the normalizer Replace", &step.with));
    const json_t *expression = json_object_get(pattern, "Regex");
    if (expression) {
        step.kind = HONE_NORM_EXPRESSION;
        HONE_TRY(compile(expression, "the normalizer Replace", &step.code));
    } else {
        HONE_TRY(keep(t, json_object_get(pattern, "String"), "pattern of the normalizer Replace",
                      &step.what));
        if (step.what.n == 0)
            return hone_fail(HONE_FORMAT, "the normalizer Replace has an empty pattern");
    }
    return hone_norm_add(t, step);
}

static const struct {
    const char *type;
    hone_norm_kind kind;
} plain_norms[] = {{"NFC", HONE_NORM_NFC},
                   {"NFD", HONE_NORM_NFD},
                   {"NFKC", HONE_NORM_NFKC},
                   {"NFKD", HONE_NORM_NFKD},
                   {"Lowercase", HONE_NORM_LOWERCASE}};

hone_status hone_json_normalizer(hone_tokenizer *t, const json_t *o, int depth)
{
    if (!o || json_is_null(o))
        return HONE_OK;
    for (size_t i = 0; i < sizeof plain_norms / sizeof *plain_norms; i++)
        if (is(o, plain_norms[i].type))
            return hone_norm_add(t, (hone_norm_step){.kind = plain_norms[i].kind});
    if (is(o, "Sequence") && depth < HONE_JSON_NESTED_MAX) {
        size_t i;
        json_t *e;
        json_array_foreach(json_object_get(o, "normalizers"), i, e)
            HONE_TRY(hone_json_normalizer(t, e, depth + 1));
        return HONE_OK;
    }
    if (is(o, "Prepend")) {
        hone_norm_step step = {.kind = HONE_NORM_PREPEND};
        HONE_TRY(keep(t, json_object_get(o, "prepend"), "prepend of the normalizer", &step.with));
        return hone_norm_add(t, step);
    }
    if (is(o, "Replace"))
        return add_replace(t, o);
    if (is(o, "Strip"))
        return hone_norm_add(t, (hone_norm_step){.kind = HONE_NORM_STRIP,
                                                 .left = hone_json_flag(o, "strip_left", true),
                                                 .right = hone_json_flag(o, "strip_right", true)});
    return hone_fail(HONE_UNSUPPORTED, "the normalizer \"%s\" is not known to hone yet",
                     hone_json_type(o));
}

/* ---- pre-tokenizer ---- */

static const char *const behaviours[] = {"Isolated", "Removed", "MergedWithPrevious",
                                         "MergedWithNext", "Contiguous"};

static hone_status read_behaviour(const json_t *o, hone_split_behaviour *out)
{
    const char *name = json_string_value(json_object_get(o, "behavior"));
    for (size_t i = 0; name && i < sizeof behaviours / sizeof *behaviours; i++)
        if (strcmp(name, behaviours[i]) == 0) {
            *out = (hone_split_behaviour)i;
            return HONE_OK;
        }
    return hone_fail(HONE_FORMAT, "the pre-tokenizer Split has the unknown behavior \"%s\"",
                     name ? name : "");
}

static hone_status add_split(hone_tokenizer *t, const json_t *o)
{
    const json_t *pattern = json_object_get(o, "pattern");
    hone_split_step step = {.kind = HONE_SPLIT_STRING,
                            .invert = hone_json_flag(o, "invert", false)};
    HONE_TRY(read_behaviour(o, &step.behaviour));
    const json_t *expression = json_object_get(pattern, "Regex");
    if (expression) {
        step.kind = HONE_SPLIT_EXPRESSION;
        HONE_TRY(compile(expression, "the pre-tokenizer Split", &step.code));
    } else {
        HONE_TRY(keep(t, json_object_get(pattern, "String"), "pattern of the pre-tokenizer Split",
                      &step.what));
        if (step.what.n == 0)
            return hone_fail(HONE_FORMAT, "the pre-tokenizer Split has an empty pattern");
    }
    return hone_split_add(t, step);
}

static hone_status add_metaspace(hone_tokenizer *t, const json_t *o)
{
    hone_split_step step = {.kind = HONE_SPLIT_METASPACE,
                            .behaviour = HONE_SPLIT_MERGED_NEXT,
                            .individual = hone_json_flag(o, "split", true)};
    HONE_TRY(keep(t, json_object_get(o, "replacement"), "replacement of Metaspace", &step.what));
    if (step.what.n == 0)
        return hone_fail(HONE_FORMAT, "Metaspace has an empty replacement");
    const char *scheme = json_string_value(json_object_get(o, "prepend_scheme"));
    if (scheme)
        step.prepend = strcmp(scheme, "always") == 0  ? HONE_PREPEND_ALWAYS
                       : strcmp(scheme, "first") == 0 ? HONE_PREPEND_FIRST
                                                      : HONE_PREPEND_NEVER;
    else
        step.prepend =
            hone_json_flag(o, "add_prefix_space", true) ? HONE_PREPEND_ALWAYS : HONE_PREPEND_NEVER;
    return hone_split_add(t, step);
}

static hone_status add_byte_level(hone_tokenizer *t, const json_t *o)
{
    t->byte_level = true;
    if (hone_json_flag(o, "add_prefix_space", true))
        HONE_TRY(hone_split_add(t, (hone_split_step){.kind = HONE_SPLIT_PREFIX}));
    return hone_json_flag(o, "use_regex", true) ? hone_split_add_expression(t, hone_gpt2_expression)
                                                : HONE_OK;
}

static hone_status add_fixed(hone_tokenizer *t, const char *pattern, bool invert)
{
    pcre2_code *code;
    HONE_TRY(hone_expression_compile(pattern, strlen(pattern), "the pre-tokenizer", &code));
    return hone_split_add(t, (hone_split_step){.kind = HONE_SPLIT_EXPRESSION,
                                               .behaviour = HONE_SPLIT_REMOVED,
                                               .invert = invert,
                                               .code = code});
}

hone_status hone_json_pre_tokenizer(hone_tokenizer *t, const json_t *o, int depth)
{
    if (!o || json_is_null(o))
        return HONE_OK;
    if (t->byte_level)
        return hone_fail(HONE_UNSUPPORTED, "the pre-tokenizer \"%s\" stands after ByteLevel",
                         hone_json_type(o));
    if (is(o, "Sequence") && depth < HONE_JSON_NESTED_MAX) {
        size_t i;
        json_t *e;
        json_array_foreach(json_object_get(o, "pretokenizers"), i, e)
            HONE_TRY(hone_json_pre_tokenizer(t, e, depth + 1));
        return HONE_OK;
    }
    if (is(o, "ByteLevel"))
        return add_byte_level(t, o);
    if (is(o, "Split"))
        return add_split(t, o);
    if (is(o, "Metaspace"))
        return add_metaspace(t, o);
    if (is(o, "Digits")) {
        bool each = hone_json_flag(o, "individual_digits", false);
        return hone_split_add(
            t, (hone_split_step){.kind = HONE_SPLIT_DIGITS,
                                 .individual = each,
                                 .behaviour = each ? HONE_SPLIT_ISOLATED : HONE_SPLIT_CONTIGUOUS});
    }
    if (is(o, "Whitespace"))
        return add_fixed(t, "\\w+|[^\\w\\s]+", true);
    if (is(o, "WhitespaceSplit"))
        return add_fixed(t, "\\s+", false);
    return hone_fail(HONE_UNSUPPORTED, "the pre-tokenizer \"%s\" is not known to hone yet",
                     hone_json_type(o));
}

/* ---- post-processor ---- */

static hone_status add_affix(int32_t *ids, int *n, json_int_t id)
{
    if (id < 0 || id >= HONE_VOCAB_MAX)
        return hone_fail(HONE_FORMAT, "the post-processor adds the impossible id %lld",
                         (long long)id);
    if (*n == HONE_AFFIX_MAX)
        return hone_fail(HONE_LIMIT, "the post-processor adds more than %d tokens", HONE_AFFIX_MAX);
    ids[(*n)++] = (int32_t)id;
    return HONE_OK;
}

static hone_status add_template(hone_tokenizer *t, const json_t *o)
{
    const json_t *known = json_object_get(o, "special_tokens");
    bool seen = false;
    size_t i, k;
    json_t *e, *id;
    json_array_foreach(json_object_get(o, "single"), i, e)
    {
        const json_t *special = json_object_get(e, "SpecialToken");
        if (!special) {
            if (seen || !json_object_get(e, "Sequence"))
                return hone_fail(HONE_UNSUPPORTED, "a template that is not tokens, text, tokens");
            seen = true;
            continue;
        }
        const char *name = json_string_value(json_object_get(special, "id"));
        const json_t *ids = json_object_get(name ? json_object_get(known, name) : NULL, "ids");
        if (!json_is_array(ids))
            return hone_fail(HONE_FORMAT, "the template's token \"%s\" has no ids",
                             name ? name : "");
        json_array_foreach(ids, k, id)
            HONE_TRY(seen ? add_affix(t->suffix, &t->n_suffix, json_integer_value(id))
                          : add_affix(t->prefix, &t->n_prefix, json_integer_value(id)));
    }
    return HONE_OK;
}

hone_status hone_json_post_processor(hone_tokenizer *t, const json_t *o, int depth)
{
    if (!o || json_is_null(o) || is(o, "ByteLevel"))
        return HONE_OK;
    if (is(o, "Sequence") && depth < HONE_JSON_NESTED_MAX) {
        size_t i;
        json_t *e;
        json_array_foreach(json_object_get(o, "processors"), i, e)
            HONE_TRY(hone_json_post_processor(t, e, depth + 1));
        return HONE_OK;
    }
    if (t->n_prefix || t->n_suffix)
        return hone_fail(HONE_UNSUPPORTED, "more than one post-processor that adds tokens");
    if (is(o, "TemplateProcessing"))
        return add_template(t, o);
    if (is(o, "RobertaProcessing") || is(o, "BertProcessing")) {
        const json_t *cls = json_array_get(json_object_get(o, "cls"), 1);
        const json_t *sep = json_array_get(json_object_get(o, "sep"), 1);
        if (!json_is_integer(cls) || !json_is_integer(sep))
            return hone_fail(HONE_FORMAT, "the post-processor \"%s\" lacks cls or sep",
                             hone_json_type(o));
        HONE_TRY(add_affix(t->prefix, &t->n_prefix, json_integer_value(cls)));
        return add_affix(t->suffix, &t->n_suffix, json_integer_value(sep));
    }
    return hone_fail(HONE_UNSUPPORTED, "the post-processor \"%s\" is not known to hone yet",
                     hone_json_type(o));
}

/* ---- decoder ---- */

typedef struct decoding {
    hone_tokenizer *t;
    bool fused;
} decoding;

static hone_status replace_out(hone_tokenizer *t, const json_t *from, const json_t *to)
{
    if (t->out_from.n)
        return hone_fail(HONE_UNSUPPORTED, "a decoder that replaces twice");
    HONE_TRY(keep(t, from, "what the decoder replaces", &t->out_from));
    HONE_TRY(keep(t, to, "what the decoder puts", &t->out_to));
    if (t->out_from.n == 0 || t->out_to.n > 64)
        return hone_fail(HONE_FORMAT, "a decoder that replaces nothing, or by too much");
    return HONE_OK;
}

static hone_status add_decoder(decoding *d, const json_t *o, int depth)
{
    hone_tokenizer *t = d->t;
    if (is(o, "Sequence") && depth < HONE_JSON_NESTED_MAX) {
        size_t i;
        json_t *e;
        json_array_foreach(json_object_get(o, "decoders"), i, e)
            HONE_TRY(add_decoder(d, e, depth + 1));
        return HONE_OK;
    }
    if (is(o, "ByteLevel")) {
        t->out_alphabet = true;
        return HONE_OK;
    }
    if (is(o, "Fuse")) {
        d->fused = true;
        return HONE_OK;
    }
    if (is(o, "ByteFallback")) {
        t->out_bytes = true;
        return HONE_OK;
    }
    if (is(o, "Replace")) {
        const json_t *from = json_object_get(json_object_get(o, "pattern"), "String");
        if (from)
            return replace_out(t, from, json_object_get(o, "content"));
    }
    if (is(o, "Strip")) {
        const char *content = json_string_value(json_object_get(o, "content"));
        json_int_t first = json_integer_value(json_object_get(o, "start"));
        json_int_t last = json_integer_value(json_object_get(o, "stop"));
        if (d->fused && content && strcmp(content, " ") == 0 && last == 0 && first >= 0 &&
            first < 1024) {
            t->strip_start = (int)first;
            return HONE_OK;
        }
    }
    if (is(o, "Metaspace")) {
        json_t *blank = json_string(" ");
        hone_status s = blank ? replace_out(t, json_object_get(o, "replacement"), blank)
                              : hone_fail_memory(1, "a decoder");
        json_decref(blank);
        const char *scheme = json_string_value(json_object_get(o, "prepend_scheme"));
        bool prefix =
            scheme ? strcmp(scheme, "never") != 0 : hone_json_flag(o, "add_prefix_space", true);
        t->strip_start = prefix ? 1 : 0;
        return s;
    }
    return hone_fail(HONE_UNSUPPORTED,
                     "the decoder \"%s\" (or one of its options) is not known to "
                     "hone yet",
                     hone_json_type(o));
}

hone_status hone_json_decoder(hone_tokenizer *t, const json_t *o)
{
    t->join_blank = !o || json_is_null(o);
    decoding d = {.t = t};
    return t->join_blank ? HONE_OK : add_decoder(&d, o, 0);
}
