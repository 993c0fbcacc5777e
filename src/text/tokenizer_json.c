/* tokenizer.json (Hugging Face tokenizers), vocab.json + merges.txt, tokenizer_config.json. */
#include "text/tokenizer_json.h"

#include "base/json.h"
#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static hone_status parse(const char *text, size_t n, json_t **out)
{
    return hone_json_parse(text, n, HONE_JSON_DEPTH_MAX, HONE_JSON_VALUES_MAX, "tokenizer.json",
                           out);
}

/* ---- model ---- */

static hone_status read_vocab(hone_tokenizer *t, json_t *vocab)
{
    if (!json_is_object(vocab))
        return hone_fail(HONE_FORMAT, "the model has no vocab");
    const char *key;
    json_t *id;
    json_object_foreach(vocab, key, id)
    {
        size_t n = strlen(key);
        if (!json_is_integer(id))
            return hone_fail(HONE_FORMAT, "the id of token \"%.40s\" is no integer", key);
        bool byte = t->byte_fallback && hone_byte_of_piece(key, n) >= 0;
        HONE_TRY(hone_vocab_set(t, json_integer_value(id), key, n,
                                byte ? HONE_TOKEN_BYTE : HONE_TOKEN_NORMAL, HONE_TOKEN_IS_MODEL));
        /* Ids may leave holes, but not most of the vocabulary. */
        if ((size_t)t->n_tokens > 16 * json_object_size(vocab) + 65536)
            return hone_fail(HONE_FORMAT, "token \"%.40s\" has id %lld in a vocabulary of %zu", key,
                             (long long)json_integer_value(id), json_object_size(vocab));
    }
    return HONE_OK;
}

static hone_status read_merge(hone_tokenizer *t, const json_t *m, uint32_t rank)
{
    const char *left = NULL, *right = NULL;
    size_t n = 0, k = 0;
    if (json_is_string(m)) {
        const char *s = json_string_value(m);
        size_t all = json_string_length(m);
        const char *blank = memchr(s, ' ', all);
        if (blank) {
            left = s;
            n = (size_t)(blank - s);
            right = blank + 1;
            k = all - n - 1;
        }
    } else if (json_array_size(m) == 2) {
        const json_t *a = json_array_get(m, 0), *b = json_array_get(m, 1);
        left = json_string_value(a);
        right = json_string_value(b);
        n = json_string_length(a);
        k = json_string_length(b);
    }
    if (!left || !right || n == 0 || k == 0)
        return hone_fail(HONE_FORMAT, "merge %u is neither \"left right\" nor [left, right]", rank);
    return hone_merges_put_pieces(t, left, n, right, k, t->word_mid.n, rank);
}

static hone_status keep_affix(hone_tokenizer *t, const json_t *m, const char *key, hone_str *out)
{
    const json_t *v = json_object_get(m, key);
    if (json_string_length(v) > 32)
        return hone_fail(HONE_LIMIT, "%s is longer than 32 bytes", key);
    return json_string_length(v) > 0
               ? hone_pool_add(t, json_string_value(v), json_string_length(v), out)
               : HONE_OK;
}

/* The model's options and vocabulary; merges come after the index is built. */
static hone_status read_bpe(hone_tokenizer *t, const json_t *m)
{
    if (json_number_value(json_object_get(m, "dropout")) > 0)
        return hone_fail(HONE_UNSUPPORTED, "a model with dropout");
    t->byte_fallback = hone_json_flag(m, "byte_fallback", false);
    t->fuse_unk = hone_json_flag(m, "fuse_unk", false);
    t->ignore_merges = hone_json_flag(m, "ignore_merges", false);
    HONE_TRY(keep_affix(t, m, "end_of_word_suffix", &t->word_end));
    HONE_TRY(keep_affix(t, m, "continuing_subword_prefix", &t->word_mid));
    return read_vocab(t, json_object_get(m, "vocab"));
}

/*
 * The number as the tokenizers library reads it: its JSON parser divides the digits by a power of
 * ten, which may miss the nearest double by one unit, and such units decide between equal ways to
 * cut a word. The file's digits are the fewest that name the double.
 */
static double as_library_reads(double v)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) { /* up to 15 every sum below is exact */
        snprintf(text, sizeof text, "%.*e", digits - 1, fabs(v));
        if (strtod(text, NULL) == fabs(v))
            break;
    }
    char *e = strchr(text, 'e');
    if (!isfinite(v) || !e)
        return v;
    uint64_t significand = 0;
    int exponent = (int)strtol(e + 1, NULL, 10);
    for (const char *c = text; c < e; c++)
        if (*c != '.') {
            significand = significand * 10 + (uint64_t)(*c - '0');
            exponent -= c != text;
        }
    if (exponent > 0 || exponent < -22)
        return v;
    double power = 1, f = (double)significand;
    for (int i = exponent; i < 0; i++)
        power *= 10; /* exact up to 10^22 */
    return v < 0 ? -(f / power) : f / power;
}

static hone_status read_unigram(hone_tokenizer *t, const json_t *m)
{
    const json_t *vocab = json_object_get(m, "vocab"), *unk = json_object_get(m, "unk_id");
    size_t n = json_array_size(vocab), i;
    json_t *e;
    if (n == 0 || n > HONE_VOCAB_MAX)
        return hone_fail(n ? HONE_LIMIT : HONE_FORMAT, "the model has %zu tokens", n);
    t->model = &hone_model_unigram;
    t->byte_fallback = hone_json_flag(m, "byte_fallback", false);
    t->fuse_unk = true;
    HONE_TRY(hone_scores_reserve(t, n));
    json_array_foreach((json_t *)(uintptr_t)vocab, i, e)
    {
        const json_t *piece = json_array_get(e, 0), *score = json_array_get(e, 1);
        if (!json_is_string(piece) || !json_is_number(score))
            return hone_fail(HONE_FORMAT, "token %zu is not [piece, score]", i);
        const char *s = json_string_value(piece);
        size_t bytes = json_string_length(piece);
        bool byte = t->byte_fallback && hone_byte_of_piece(s, bytes) >= 0;
        HONE_TRY(hone_vocab_set(t, (int64_t)i, s, bytes, byte ? HONE_TOKEN_BYTE : HONE_TOKEN_NORMAL,
                                HONE_TOKEN_IS_MODEL));
        t->scores[i] = as_library_reads(json_number_value(score));
    }
    if (!json_is_integer(unk))
        return HONE_OK;
    json_int_t id = json_integer_value(unk);
    if (id < 0 || id >= (json_int_t)n)
        return hone_fail(HONE_FORMAT, "unk_id %lld is outside the vocabulary of %zu", (long long)id,
                         n);
    t->unk = (int32_t)id;
    t->types[id] = HONE_TOKEN_UNKNOWN;
    return HONE_OK;
}

static hone_status read_wordpiece(hone_tokenizer *t, const json_t *m)
{
    static const char mid[] = "##";
    const json_t *most = json_object_get(m, "max_input_chars_per_word");
    json_int_t chars = json_is_integer(most) ? json_integer_value(most) : 100;
    t->model = &hone_model_wordpiece;
    t->word_chars = chars < 0 ? 0 : chars < UINT32_MAX ? (uint32_t)chars : UINT32_MAX;
    if (json_object_get(m, "continuing_subword_prefix"))
        HONE_TRY(keep_affix(t, m, "continuing_subword_prefix", &t->word_mid));
    else
        HONE_TRY(hone_pool_add(t, mid, 2, &t->word_mid));
    return read_vocab(t, json_object_get(m, "vocab"));
}

static hone_status read_words(hone_tokenizer *t, const json_t *m)
{
    t->model = &hone_model_word;
    return read_vocab(t, json_object_get(m, "vocab"));
}

static const struct model_row {
    const char *type;
    const char *sign; /* a member that tells it where "type" is missing */
    hone_status (*read)(hone_tokenizer *t, const json_t *m);
} models[] = {{"BPE", "merges", read_bpe},
              {"Unigram", "unk_id", read_unigram},
              {"WordPiece", "max_input_chars_per_word", read_wordpiece},
              {"WordLevel", "unk_token", read_words}};

static hone_status read_model(hone_tokenizer *t, const json_t *m)
{
    const char *type = hone_json_type(m);
    for (size_t i = 0; json_is_object(m) && i < sizeof models / sizeof *models; i++)
        if (*type ? strcmp(type, models[i].type) == 0 : json_object_get(m, models[i].sign) != NULL)
            return models[i].read(t, m);
    return hone_fail(HONE_UNSUPPORTED,
                     "the model \"%s\" is not known to hone (BPE, Unigram, WordPiece, WordLevel "
                     "are)",
                     *type ? type : "without type and merges");
}

static hone_status read_merges(hone_tokenizer *t, const json_t *m)
{
    const json_t *merges = json_object_get(m, "merges");
    if (t->model != &hone_model_bpe)
        return HONE_OK;
    if (!json_is_array(merges))
        return hone_fail(HONE_FORMAT, "the model has no merges");
    size_t i;
    json_t *e;
    json_array_foreach(merges, i, e) HONE_TRY(read_merge(t, e, (uint32_t)i));
    return HONE_OK;
}

/* ---- added tokens ---- */

static hone_status add_token(hone_tokenizer *t, const json_t *o, json_int_t id)
{
    const json_t *content = json_object_get(o, "content");
    if (!json_is_string(content) || id < 0 || id >= HONE_VOCAB_MAX)
        return hone_fail(HONE_FORMAT, "an added token without content or with the id %lld",
                         (long long)id);
    const char *s = json_string_value(content);
    size_t n = json_string_length(content);
    hone_added a = {.id = (int32_t)id,
                    .special = hone_json_flag(o, "special", false),
                    .lstrip = hone_json_flag(o, "lstrip", false),
                    .rstrip = hone_json_flag(o, "rstrip", false),
                    .single_word = hone_json_flag(o, "single_word", false)};
    a.normalized = hone_json_flag(o, "normalized", !a.special);
    if (n == 0)
        return HONE_OK; /* the reference ignores it too */
    if (id > (json_int_t)t->n_tokens + 65536)
        return hone_fail(HONE_FORMAT,
                         "the added token \"%.40s\" has id %lld after a vocabulary of %d", s,
                         (long long)id, t->n_tokens);
    HONE_TRY(hone_added_add(t, s, n, &a));
    bool set = id < t->n_tokens && (t->flags[id] & HONE_TOKEN_IS_SET);
    if (set && (t->pieces[id].n != n || memcmp(hone_pool_str(t, t->pieces[id]), s, n) != 0))
        return hone_fail(HONE_FORMAT,
                         "id %lld is \"%s\" in the vocabulary but \"%.40s\" among the "
                         "added tokens",
                         (long long)id, hone_pool_str(t, t->pieces[id]), s);
    if (!set)
        HONE_TRY(hone_vocab_set(t, id, s, n, HONE_TOKEN_USER, 0));
    t->types[id] = a.special ? HONE_TOKEN_CONTROL : HONE_TOKEN_USER;
    if (a.special)
        t->flags[id] |= HONE_TOKEN_IS_SPECIAL;
    return HONE_OK;
}

static hone_status find_unknown(hone_tokenizer *t, const json_t *m)
{
    const json_t *unk = json_object_get(m, "unk_token");
    if (!json_is_string(unk) || t->model == &hone_model_unigram)
        return HONE_OK;
    t->unk = hone_tokenizer_find(t, json_string_value(unk), json_string_length(unk));
    if (t->unk < 0)
        return hone_fail(HONE_FORMAT, "the unknown token \"%s\" is not in the vocabulary",
                         json_string_value(unk));
    t->types[t->unk] = HONE_TOKEN_UNKNOWN;
    return HONE_OK;
}

static hone_status fill(hone_tokenizer *t, const json_t *root)
{
    const json_t *model = json_object_get(root, "model");
    HONE_TRY(hone_json_pre_tokenizer(t, json_object_get(root, "pre_tokenizer"), 0));
    HONE_TRY(read_model(t, model));
    HONE_TRY(hone_json_normalizer(t, json_object_get(root, "normalizer"), 0));
    HONE_TRY(hone_json_post_processor(t, json_object_get(root, "post_processor"), 0));
    HONE_TRY(hone_json_decoder(t, json_object_get(root, "decoder")));
    size_t i;
    json_t *e;
    json_array_foreach(json_object_get(root, "added_tokens"), i, e)
    {
        const json_t *id = json_object_get(e, "id");
        HONE_TRY(add_token(t, e, json_is_integer(id) ? json_integer_value(id) : -1));
    }
    HONE_TRY(hone_vocab_index(t));
    t->last_merge_counts = true;
    HONE_TRY(read_merges(t, model));
    return find_unknown(t, model);
}

hone_status hone_load_tokenizer_json(hone_tokenizer *t, const char *text, size_t n)
{
    json_t *root;
    HONE_TRY(parse(text, n, &root));
    hone_status s =
        json_is_object(root) ? fill(t, root) : hone_fail(HONE_FORMAT, "the JSON is no object");
    json_decref(root);
    return s;
}

/* ---- vocab.json + merges.txt: byte-level BPE as GPT-2 published it ---- */

static hone_status read_merge_lines(hone_tokenizer *t, const char *p, size_t n)
{
    uint32_t rank = 0;
    size_t line = 0;
    for (size_t i = 0; i < n;) {
        const char *nl = memchr(p + i, '\n', n - i);
        size_t len = nl ? (size_t)(nl - p) - i : n - i, end = len;
        const char *s = p + i;
        i += len + 1;
        line++;
        if (end && s[end - 1] == '\r')
            end--;
        if (end == 0 || (line == 1 && end >= 8 && memcmp(s, "#version", 8) == 0))
            continue;
        const char *blank = memchr(s, ' ', end);
        if (!blank || blank == s || blank + 1 == s + end)
            return hone_fail(HONE_FORMAT, "line %zu of the merges is not \"left right\"", line);
        size_t left = (size_t)(blank - s);
        HONE_TRY(hone_merges_put_pieces(t, s, left, blank + 1, end - left - 1, 0, rank++));
    }
    return HONE_OK;
}

hone_status hone_load_vocab_merges(hone_tokenizer *t, const char *vocab, size_t n,
                                   const char *merges, size_t m)
{
    json_t *root;
    HONE_TRY(parse(vocab, n, &root));
    t->byte_level = true;
    HONE_TRY(hone_steps_add(&t->decoder, (hone_step){.kind = HONE_STEP_FROM_ALPHABET}));
    hone_status s = read_vocab(t, root);
    json_decref(root);
    HONE_TRY(s);
    static const char end[] = "<|endoftext|>";
    for (int32_t i = 0; i < t->n_tokens; i++)
        if (t->pieces[i].n == sizeof end - 1 &&
            memcmp(hone_pool_str(t, t->pieces[i]), end, sizeof end - 1) == 0) {
            hone_added a = {.id = i, .special = true};
            HONE_TRY(hone_added_add(t, end, sizeof end - 1, &a));
            t->types[i] = HONE_TOKEN_CONTROL;
            t->flags[i] |= HONE_TOKEN_IS_SPECIAL;
            t->bos = t->eos = i;
        }
    HONE_TRY(hone_split_add_expression(t, hone_gpt2_expression));
    HONE_TRY(hone_vocab_index(t));
    return read_merge_lines(t, merges, m);
}

/* ---- vocab.txt: BERT's WordPiece as first published, said as a tokenizer.json ---- */

static json_t *bert_parts(const json_t *config)
{
    const json_t *accents = json_object_get(config, "strip_accents");
    bool lower = hone_json_flag(config, "do_lower_case", true);
    return json_pack("{s:{s:s,s:b,s:b,s:b}, s:{s:s}, s:{s:s,s:s,s:b}, s:{s:s,s:s,s:o}, s:[]}",
                     "normalizer", "type", "BertNormalizer", "lowercase", lower, "strip_accents",
                     json_is_boolean(accents) ? json_is_true(accents) : lower,
                     "handle_chinese_chars", hone_json_flag(config, "tokenize_chinese_chars", true),
                     "pre_tokenizer", "type", "BertPreTokenizer", "decoder", "type", "WordPiece",
                     "prefix", "##", "cleanup", 1, "model", "type", "WordPiece", "unk_token",
                     "[UNK]", "vocab", json_object(), "added_tokens");
}

/* A line per token; its number is the id. Of equal lines the last counts, as in the reference. */
static bool read_words_of_lines(json_t *vocab, const char *p, size_t n)
{
    json_int_t id = 0;
    for (size_t i = 0; i < n; id++) {
        const char *nl = memchr(p + i, '\n', n - i);
        size_t len = nl ? (size_t)(nl - p) - i : n - i, end = len;
        if (end && p[i + end - 1] == '\r')
            end--;
        if (json_object_setn_new(vocab, p + i, end, json_integer(id)) != 0)
            return false;
        i += len + 1;
    }
    return true;
}

static bool add_bert_specials(json_t *root)
{
    static const char *const names[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    const json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab");
    json_t *list = json_object_get(root, "added_tokens");
    const json_t *cls = json_object_get(vocab, "[CLS]"), *sep = json_object_get(vocab, "[SEP]");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const json_t *id = json_object_get(vocab, names[i]);
        if (id &&
            json_array_append_new(list, json_pack("{s:I, s:s, s:b}", "id", json_integer_value(id),
                                                  "content", names[i], "special", 1)) != 0)
            return false;
    }
    if (!cls || !sep)
        return true;
    return json_object_set_new(root, "post_processor",
                               json_pack("{s:s, s:[sI], s:[sI]}", "type", "BertProcessing", "cls",
                                         "[CLS]", json_integer_value(cls), "sep", "[SEP]",
                                         json_integer_value(sep))) == 0;
}

hone_status hone_load_vocab_txt(hone_tokenizer *t, const char *text, size_t n, const char *config,
                                size_t n_config)
{
    if (hone_utf8_valid_prefix(text, n) < n || memchr(text, 0, n))
        return hone_fail(HONE_FORMAT, "vocab.txt is no UTF-8 text: see byte %zu",
                         hone_utf8_valid_prefix(text, n));
    json_t *options = NULL;
    if (config)
        HONE_TRY(parse(config, n_config, &options));
    json_t *root = bert_parts(options);
    json_decref(options);
    bool made =
        root &&
        read_words_of_lines(json_object_get(json_object_get(root, "model"), "vocab"), text, n) &&
        add_bert_specials(root);
    hone_status s = made ? fill(t, root) : hone_fail_memory(n, "the vocabulary");
    json_decref(root);
    return s;
}

/* ---- tokenizer_config.json ---- */

/* "<s>" or {"content": "<s>"} -> its id; *id stays when there is none. */
static void name_token(const hone_tokenizer *t, const json_t *root, const char *key, int32_t *id)
{
    const json_t *v = json_object_get(root, key);
    if (json_is_object(v))
        v = json_object_get(v, "content");
    if (!json_is_string(v))
        return;
    int32_t found = hone_tokenizer_find(t, json_string_value(v), json_string_length(v));
    if (found >= 0)
        *id = found;
}

static hone_status add_config_tokens(hone_tokenizer *t, const json_t *tokens)
{
    const char *key;
    json_t *o;
    json_object_foreach((json_t *)(uintptr_t)tokens, key, o)
    {
        char *end;
        long long id = strtoll(key, &end, 10);
        if (*end || end == key || id < 0)
            return hone_fail(HONE_FORMAT, "added_tokens_decoder has the id \"%.20s\"", key);
        if (id < t->n_tokens && (t->flags[id] & HONE_TOKEN_IS_SET))
            continue; /* the vocabulary says what it is */
        HONE_TRY(add_token(t, o, id));
    }
    return HONE_OK;
}

hone_status hone_load_config_tokens(hone_tokenizer *t, const char *config, size_t n)
{
    json_t *root;
    if (!config)
        return HONE_OK;
    HONE_TRY(parse(config, n, &root));
    hone_status s = add_config_tokens(t, json_object_get(root, "added_tokens_decoder"));
    json_decref(root);
    return s;
}

hone_status hone_load_tokenizer_config(hone_tokenizer *t, const char *text, size_t n, bool may_add)
{
    json_t *root;
    HONE_TRY(parse(text, n, &root));
    name_token(t, root, "bos_token", &t->bos);
    name_token(t, root, "eos_token", &t->eos);
    name_token(t, root, "pad_token", &t->pad);
    if (may_add) {
        t->n_prefix = t->n_suffix = 0;
        if (hone_json_flag(root, "add_bos_token", !t->byte_level) && t->bos >= 0)
            t->prefix[t->n_prefix++] = t->bos;
        if (hone_json_flag(root, "add_eos_token", false) && t->eos >= 0)
            t->suffix[t->n_suffix++] = t->eos;
    }
    json_decref(root);
    return HONE_OK;
}

hone_status hone_load_ends(hone_tokenizer *t, char *text, size_t n, bool of_model)
{
    json_t *root;
    hone_json_mend_infinity(text, n);
    HONE_TRY(parse(text, n, &root));
    const json_t *eos = json_object_get(root, "eos_token_id");
    size_t count = json_is_array(eos) ? json_array_size(eos) : 1;
    for (size_t i = 0; i < count; i++) {
        const json_t *id = json_is_array(eos) ? json_array_get(eos, i) : eos;
        json_int_t v = json_is_integer(id) ? json_integer_value(id) : -1;
        if (v < 0 || v >= t->n_tokens)
            continue; /* no such token can come */
        if (of_model && !(t->flags[v] & HONE_TOKEN_IS_SPECIAL))
            continue;
        t->flags[v] |= HONE_TOKEN_IS_END;
        if (t->eos < 0)
            t->eos = (int32_t)v;
    }
    json_decref(root);
    return HONE_OK;
}
