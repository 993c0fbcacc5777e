/* The steps of a tokenizer.json: normalizer, pre_tokenizer, post_processor, decoder. */
#include "base/utf8.h"
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

static hone_status compile(const json_t *v, const char *what, pcre2_code **out)
{
    if (!json_is_string(v))
        return hone_fail(HONE_FORMAT, "the expression of %s is no string", what);
    return hone_expression_compile_onig(json_string_value(v), json_string_length(v), what, out);
}

/* ---- normalizer ---- */

static hone_status add_replace(hone_tokenizer *t, hone_steps *list, const json_t *o,
                               const char *where)
{
    const json_t *pattern = json_object_get(o, "pattern");
    hone_step step = {.kind = HONE_STEP_REPLACE};
    HONE_TRY(keep(t, json_object_get(o, "content"), where, &step.with));
    const json_t *expression = json_object_get(pattern, "Regex");
    if (expression) {
        step.kind = HONE_STEP_EXPRESSION;
        HONE_TRY(compile(expression, where, &step.code));
    } else {
        HONE_TRY(keep(t, json_object_get(pattern, "String"), where, &step.what));
        if (step.what.n == 0)
            return hone_fail(HONE_FORMAT, "%s has an empty pattern", where);
    }
    return hone_steps_add(list, step);
}

/* As BERT: what is not said about accents follows from the case. */
static hone_status add_bert(hone_tokenizer *t, const json_t *o)
{
    bool lower = hone_json_flag(o, "lowercase", true);
    const struct {
        bool wanted;
        hone_step_kind kind;
    } steps[] = {{hone_json_flag(o, "clean_text", true), HONE_STEP_CLEAN},
                 {hone_json_flag(o, "handle_chinese_chars", true), HONE_STEP_SPACE_CJK},
                 {hone_json_flag(o, "strip_accents", lower), HONE_STEP_NFD},
                 {hone_json_flag(o, "strip_accents", lower), HONE_STEP_DROP_MARKS},
                 {lower, HONE_STEP_LOWERCASE}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (steps[i].wanted)
            HONE_TRY(hone_steps_add(&t->norms, (hone_step){.kind = steps[i].kind}));
    return HONE_OK;
}

static hone_status add_charsmap(hone_tokenizer *t, const json_t *o)
{
    const json_t *map = json_object_get(o, "precompiled_charsmap");
    if (json_is_null(map)) /* the identity */
        return HONE_OK;
    if (!json_is_string(map))
        return hone_fail(HONE_FORMAT, "the normalizer Precompiled has no precompiled_charsmap");
    if (json_string_length(map) == 0)
        return HONE_OK;
    size_t n;
    char *data = hone_malloc(json_string_length(map) + 1);
    if (!data)
        return hone_fail_memory(json_string_length(map), "a character map");
    hone_status s = hone_base64_decode(json_string_value(map), json_string_length(map), data, &n)
                        ? hone_charsmap_set(t, data, n)
                        : hone_fail(HONE_FORMAT, "precompiled_charsmap is no base64");
    hone_free(data);
    HONE_TRY(s);
    return hone_steps_add(&t->norms, (hone_step){.kind = HONE_STEP_CHARSMAP_HF});
}

static hone_status add_prepend(hone_tokenizer *t, const json_t *o)
{
    hone_step step = {.kind = HONE_STEP_PREPEND};
    HONE_TRY(keep(t, json_object_get(o, "prepend"), "prepend of the normalizer", &step.with));
    return hone_steps_add(&t->norms, step);
}

static hone_status add_replace_norm(hone_tokenizer *t, const json_t *o)
{
    return add_replace(t, &t->norms, o, "the normalizer Replace");
}

static hone_status add_strip(hone_tokenizer *t, const json_t *o)
{
    return hone_steps_add(&t->norms, (hone_step){.kind = HONE_STEP_STRIP,
                                                 .left = hone_json_flag(o, "strip_left", true),
                                                 .right = hone_json_flag(o, "strip_right", true)});
}

/* A normalizer is one step, or what its function adds. */
static const struct {
    const char *type;
    hone_step step;
    hone_status (*add)(hone_tokenizer *t, const json_t *o);
} norms[] = {{"NFC", {.kind = HONE_STEP_NFC}, NULL},
             {"NFD", {.kind = HONE_STEP_NFD}, NULL},
             {"NFKC", {.kind = HONE_STEP_NFKC}, NULL},
             {"NFKD", {.kind = HONE_STEP_NFKD}, NULL},
             {"Lowercase", {.kind = HONE_STEP_LOWERCASE}, NULL},
             {"StripAccents", {.kind = HONE_STEP_DROP_MARKS, .all = true}, NULL},
             {"Nmt", {.kind = HONE_STEP_NMT}, NULL},
             {"ByteLevel", {.kind = HONE_STEP_TO_ALPHABET}, NULL},
             {"BertNormalizer", {0}, add_bert},
             {"Precompiled", {0}, add_charsmap},
             {"Prepend", {0}, add_prepend},
             {"Replace", {0}, add_replace_norm},
             {"Strip", {0}, add_strip}};

hone_status hone_json_normalizer(hone_tokenizer *t, const json_t *o, int depth)
{
    if (!o || json_is_null(o))
        return HONE_OK;
    if (is(o, "Sequence") && depth < HONE_JSON_NESTED_MAX) {
        size_t i;
        json_t *e;
        json_array_foreach(json_object_get(o, "normalizers"), i, e)
            HONE_TRY(hone_json_normalizer(t, e, depth + 1));
        return HONE_OK;
    }
    for (size_t i = 0; i < sizeof norms / sizeof *norms; i++)
        if (is(o, norms[i].type))
            return norms[i].add ? norms[i].add(t, o) : hone_steps_add(&t->norms, norms[i].step);
    return hone_fail(HONE_UNSUPPORTED, "the normalizer \"%s\" is not known to hone",
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
    return hone_fail(HONE_FORMAT, "the pre-tokenizer \"%s\" has the unknown behavior \"%s\"",
                     hone_json_type(o), name ? name : "");
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

static hone_status add_class(hone_tokenizer *t, bool (*is_in)(uint32_t),
                             hone_split_behaviour behaviour)
{
    return hone_split_add(
        t, (hone_split_step){.kind = HONE_SPLIT_CLASS, .is = is_in, .behaviour = behaviour});
}

static hone_status add_digits(hone_tokenizer *t, const json_t *o)
{
    bool each = hone_json_flag(o, "individual_digits", false);
    return add_class(t, hone_is_number, each ? HONE_SPLIT_ISOLATED : HONE_SPLIT_CONTIGUOUS);
}

static hone_status add_punctuation(hone_tokenizer *t, const json_t *o)
{
    hone_split_behaviour behaviour = HONE_SPLIT_ISOLATED;
    if (json_object_get(o, "behavior"))
        HONE_TRY(read_behaviour(o, &behaviour));
    return add_class(t, hone_is_punctuation, behaviour);
}

static hone_status add_blank_split(hone_tokenizer *t, const json_t *o)
{
    (void)o;
    return add_class(t, hone_is_space, HONE_SPLIT_REMOVED);
}

static hone_status add_bert_split(hone_tokenizer *t, const json_t *o)
{
    (void)o;
    HONE_TRY(add_class(t, hone_is_space, HONE_SPLIT_REMOVED));
    return add_class(t, hone_is_punctuation, HONE_SPLIT_ISOLATED);
}

static hone_status add_words(hone_tokenizer *t, const json_t *o)
{
    (void)o;
    return hone_split_add(t, (hone_split_step){.kind = HONE_SPLIT_WORDS});
}

static hone_status add_delimiter(hone_tokenizer *t, const json_t *o)
{
    hone_split_step step = {.kind = HONE_SPLIT_STRING, .behaviour = HONE_SPLIT_REMOVED};
    HONE_TRY(keep(t, json_object_get(o, "delimiter"), "the delimiter of CharDelimiterSplit",
                  &step.what));
    if (step.what.n == 0)
        return hone_fail(HONE_FORMAT, "CharDelimiterSplit has an empty delimiter");
    return hone_split_add(t, step);
}

static const struct {
    const char *type;
    hone_status (*add)(hone_tokenizer *t, const json_t *o);
} splits[] = {{"ByteLevel", add_byte_level},         {"Split", add_split},
              {"Metaspace", add_metaspace},          {"Digits", add_digits},
              {"Punctuation", add_punctuation},      {"Whitespace", add_words},
              {"WhitespaceSplit", add_blank_split},  {"BertPreTokenizer", add_bert_split},
              {"CharDelimiterSplit", add_delimiter}, {"UnicodeScripts", hone_json_add_scripts}};

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
    for (size_t i = 0; i < sizeof splits / sizeof *splits; i++)
        if (is(o, splits[i].type))
            return splits[i].add(t, o);
    return hone_fail(HONE_UNSUPPORTED, "the pre-tokenizer \"%s\" is not known to hone",
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

/* The part of a template for two texts: Sequence A or B, or a SpecialToken's ids. */
static hone_status add_pair_part(hone_tokenizer *t, const json_t *known, const json_t *e)
{
    const json_t *part = json_object_get(e, "SpecialToken"), *text = json_object_get(e, "Sequence");
    const json_t *at = part ? part : text;
    const char *name = json_string_value(json_object_get(at, "id"));
    json_int_t type = json_integer_value(json_object_get(at, "type_id"));
    size_t k;
    json_t *id;
    if (!name || type < 0 || type > INT32_MAX)
        return hone_fail(HONE_FORMAT, "a part of the template for two texts makes no sense");
    if (text)
        return hone_pair_put(t, strcmp(name, "B") == 0 ? HONE_PAIR_B : HONE_PAIR_A, (int32_t)type);
    json_array_foreach(json_object_get(json_object_get(known, name), "ids"), k, id)
    {
        if (!json_is_integer(id) || json_integer_value(id) < 0)
            return hone_fail(HONE_FORMAT, "the template's token \"%s\" has no ids", name);
        HONE_TRY(hone_pair_put(t, json_integer_value(id), (int32_t)type));
    }
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
    json_array_foreach(json_object_get(o, "pair"), i, e) HONE_TRY(add_pair_part(t, known, e));
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
        HONE_TRY(add_affix(t->suffix, &t->n_suffix, json_integer_value(sep)));
        bool twice = is(o, "RobertaProcessing"); /* and all is of type 0 */
        const int32_t between[] = {t->suffix[0], t->suffix[0]};
        return hone_pair_put_all(t, between, twice ? 2 : 1, twice ? 0 : 1);
    }
    return hone_fail(HONE_UNSUPPORTED, "the post-processor \"%s\" is not known to hone yet",
                     hone_json_type(o));
}

/* ---- decoder ---- */

typedef struct decoding {
    hone_tokenizer *t;
    bool fused; /* what follows sees one text, not tokens */
} decoding;

static hone_status step_only(decoding *d, hone_step step, const json_t *o)
{
    if (d->fused)
        return hone_fail(HONE_UNSUPPORTED, "the decoder \"%s\" stands after Fuse",
                         hone_json_type(o));
    return hone_steps_add(&d->t->decoder, step);
}

static hone_status put_alphabet(decoding *d, const json_t *o)
{
    return step_only(d, (hone_step){.kind = HONE_STEP_FROM_ALPHABET}, o);
}

static hone_status put_byte(decoding *d, const json_t *o)
{
    return step_only(d, (hone_step){.kind = HONE_STEP_FROM_BYTE}, o);
}

static hone_status put_fuse(decoding *d, const json_t *o)
{
    (void)o;
    d->fused = true;
    return HONE_OK;
}

/* After Fuse a single character is replaced alike: no token holds a part of one. */
static hone_status put_replace(decoding *d, const json_t *o)
{
    const char *what = json_string_value(json_object_get(json_object_get(o, "pattern"), "String"));
    if (d->fused && !(what && *what && hone_utf8_length(*what) == strlen(what)))
        return step_only(d, (hone_step){0}, o);
    return add_replace(d->t, &d->t->decoder, o, "the decoder Replace");
}

static hone_status put_strip(decoding *d, const json_t *o)
{
    const char *content = json_string_value(json_object_get(o, "content"));
    json_int_t first = json_integer_value(json_object_get(o, "start"));
    json_int_t last = json_integer_value(json_object_get(o, "stop"));
    if (!content || !*content || first < 0 || last < 0 || first > 1024 || last > 1024)
        return hone_fail(HONE_FORMAT, "the decoder Strip lacks content, or its start or stop is "
                                      "not in 0..1024");
    if (d->fused) {
        if (strcmp(content, " ") != 0 || last != 0)
            return hone_fail(HONE_UNSUPPORTED,
                             "the decoder Strip after Fuse takes off more than blanks at the "
                             "start, which hone does not know");
        d->t->strip_start = (int)first;
        return HONE_OK;
    }
    hone_step step = {
        .kind = HONE_STEP_STRIP_STRING, .start = (int32_t)first, .stop = (int32_t)last};
    HONE_TRY(keep(d->t, json_object_get(o, "content"), "Strip", &step.what));
    return hone_steps_add(&d->t->decoder, step);
}

static hone_status put_metaspace(decoding *d, const json_t *o)
{
    const char *scheme = json_string_value(json_object_get(o, "prepend_scheme"));
    hone_step step = {.kind = HONE_STEP_METASPACE};
    step.all = scheme ? strcmp(scheme, "never") != 0 : hone_json_flag(o, "add_prefix_space", true);
    HONE_TRY(keep(d->t, json_object_get(o, "replacement"), "replacement of Metaspace", &step.what));
    HONE_TRY(hone_pool_add(d->t, " ", 1, &step.with));
    return step_only(d, step, o);
}

static hone_status put_wordpiece(decoding *d, const json_t *o)
{
    hone_step step = {.kind = HONE_STEP_WORDPIECE};
    HONE_TRY(
        keep(d->t, json_object_get(o, "prefix"), "prefix of the decoder WordPiece", &step.what));
    HONE_TRY(step_only(d, step, o));
    return hone_json_flag(o, "cleanup", true) ? step_only(d, (hone_step){.kind = HONE_STEP_TIDY}, o)
                                              : HONE_OK;
}

static hone_status put_word_ends(decoding *d, const json_t *o)
{
    if (d->fused)
        return step_only(d, (hone_step){0}, o);
    return keep(d->t, json_object_get(o, "suffix"), "suffix of BPEDecoder", &d->t->out_end);
}

static hone_status put_ctc(decoding *d, const json_t *o)
{
    hone_step pad = {.kind = HONE_STEP_REPLACE}, word = pad;
    HONE_TRY(keep(d->t, json_object_get(o, "pad_token"), "pad_token of CTC", &pad.what));
    HONE_TRY(keep(d->t, json_object_get(o, "word_delimiter_token"), "word_delimiter_token of CTC",
                  &word.what));
    HONE_TRY(hone_pool_add(d->t, " ", 1, &word.with));
    d->t->skip_repeated = true;
    HONE_TRY(step_only(d, pad, o));
    if (!hone_json_flag(o, "cleanup", true))
        return HONE_OK;
    HONE_TRY(step_only(d, (hone_step){.kind = HONE_STEP_TIDY}, o));
    return step_only(d, word, o);
}

static const struct {
    const char *type;
    hone_status (*add)(decoding *d, const json_t *o);
} decoders[] = {
    {"ByteLevel", put_alphabet},  {"ByteFallback", put_byte},    {"Fuse", put_fuse},
    {"Replace", put_replace},     {"Strip", put_strip},          {"Metaspace", put_metaspace},
    {"WordPiece", put_wordpiece}, {"BPEDecoder", put_word_ends}, {"CTC", put_ctc}};

static hone_status add_decoder(decoding *d, const json_t *o, int depth)
{
    if (is(o, "Sequence") && depth < HONE_JSON_NESTED_MAX) {
        size_t i;
        json_t *e;
        json_array_foreach(json_object_get(o, "decoders"), i, e)
            HONE_TRY(add_decoder(d, e, depth + 1));
        return HONE_OK;
    }
    for (size_t i = 0; i < sizeof decoders / sizeof *decoders; i++)
        if (is(o, decoders[i].type))
            return decoders[i].add(d, o);
    return hone_fail(HONE_UNSUPPORTED, "the decoder \"%s\" is not known to hone",
                     hone_json_type(o));
}

hone_status hone_json_decoder(hone_tokenizer *t, const json_t *o)
{
    t->join_blank = !o || json_is_null(o);
    decoding d = {.t = t};
    return t->join_blank ? HONE_OK : add_decoder(&d, o, 0);
}
