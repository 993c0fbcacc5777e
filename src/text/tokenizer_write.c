/*
 * From the tables of an opened tokenizer to tokenizer.json: the way back of tokenizer_gguf.c, with
 * a row for each of its kinds.
 */
#include "text/tokenizer_write.h"

#include "base/json.h"
#include "file/file.h"
#include "text/chat_template.h"
#include "text/tokenizer_gguf.h"

#include <stdlib.h>

#define KEY(name) "tokenizer.ggml." name

/* GGUF may mark even "[UNK]" of a WordPiece vocabulary as the start of a word. */
static json_t *text_of(const hone_tokenizer *t, hone_str s)
{
    if (t->model == &hone_model_wordpiece && s.n > 3 &&
        memcmp(hone_pool_str(t, s), HONE_META_SPACE, 3) == 0)
        return json_stringn(hone_pool_str(t, s) + 3, s.n - 3);
    return json_stringn(hone_pool_str(t, s), s.n);
}

static hone_status no_memory(void)
{
    return hone_fail(HONE_FORMAT, "a token is no UTF-8 text, or memory is short: tokenizer.json "
                                  "cannot hold this vocabulary");
}

/* ---- vocabularies and merges ---- */

static json_t *vocab_object(const hone_tokenizer *t)
{
    json_t *vocab = json_object();
    for (int32_t i = 0; vocab && i < t->n_tokens; i++) {
        const char *s = hone_pool_str(t, t->pieces[i]);
        size_t n = t->pieces[i].n;
        if (n == 0 || json_object_getn(vocab, s, n))
            continue; /* of equal pieces the first is found */
        if (json_object_setn_new(vocab, s, n, json_integer(i)) != 0) {
            json_decref(vocab);
            return NULL;
        }
    }
    return vocab;
}

static int by_rank(const void *a, const void *b)
{
    const hone_merge *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return x->key < y->key ? -1 : x->key > y->key;
}

/* Merges in their order. Those that begin with a character that is no token are left out: this kind
 * of file cannot say them. */
static json_t *merge_list(const hone_tokenizer *t)
{
    json_t *list = json_array();
    hone_merge *m = hone_reallocarray(NULL, (size_t)t->n_merges + 1, sizeof *m);
    size_t n = 0;
    bool ok = list && m;
    for (uint32_t i = 0; ok && t->merges && i <= t->merge_mask && n < t->n_merges; i++)
        if (t->merges[i].key != UINT64_MAX)
            m[n++] = t->merges[i];
    if (n)
        qsort(m, n, sizeof *m, by_rank);
    for (size_t i = 0; ok && i < n; i++) {
        uint32_t left = (uint32_t)(m[i].key >> 32), right = (uint32_t)m[i].key;
        if (left >= (uint32_t)t->n_tokens || right >= (uint32_t)t->n_tokens)
            continue;
        json_t *pair =
            json_pack("[o, o]", text_of(t, t->pieces[left]), text_of(t, t->pieces[right]));
        ok = json_array_append_new(list, pair) == 0;
    }
    hone_free(m);
    if (ok)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *unknown(const hone_tokenizer *t)
{
    return t->unk >= 0 && t->unk < t->n_tokens ? text_of(t, t->pieces[t->unk]) : json_null();
}

static json_t *bpe_model(const hone_tokenizer *t, bool spm)
{
    return json_pack("{s:s, s:n, s:o, s:n, s:n, s:b, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout",
                     "unk_token", spm ? unknown(t) : json_null(), "continuing_subword_prefix",
                     "end_of_word_suffix", "fuse_unk", t->fuse_unk, "byte_fallback",
                     t->byte_fallback, "ignore_merges", t->ignore_merges, "vocab", vocab_object(t),
                     "merges", merge_list(t));
}

/* ---- the kinds ---- */

typedef struct writer {
    const hone_file *f;
    const hone_tokenizer *t;
    json_t *model, *normalizer, *pre, *decoder;
} writer;

static json_t *replace(const char *kind, const char *what, const char *with)
{
    return json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern", kind, what, "content",
                     with);
}

static hone_status write_spm(writer *w)
{
    bool prefix, collapse;
    HONE_TRY(hone_file_bool_or(w->f, KEY("add_space_prefix"), true, &prefix));
    HONE_TRY(hone_file_bool_or(w->f, KEY("remove_extra_whitespaces"), false, &collapse));
    json_t *norms = json_array(), *steps = json_array();
    if (collapse) {
        json_array_append_new(norms, json_pack("{s:s, s:b, s:b}", "type", "Strip", "strip_left", 1,
                                               "strip_right", 1));
        json_array_append_new(norms, replace("Regex", " {2,}", " "));
    }
    if (prefix)
        json_array_append_new(
            norms, json_pack("{s:s, s:s}", "type", "Prepend", "prepend", HONE_META_SPACE));
    json_array_append_new(norms, replace("String", " ", HONE_META_SPACE));
    json_array_append_new(steps, replace("String", HONE_META_SPACE, " "));
    json_array_append_new(steps, json_pack("{s:s}", "type", "ByteFallback"));
    json_array_append_new(steps, json_pack("{s:s}", "type", "Fuse"));
    if (prefix)
        json_array_append_new(steps, json_pack("{s:s, s:s, s:i, s:i}", "type", "Strip", "content",
                                               " ", "start", 1, "stop", 0));
    w->model = bpe_model(w->t, true);
    w->normalizer = json_pack("{s:s, s:o}", "type", "Sequence", "normalizers", norms);
    w->pre = json_null();
    w->decoder = json_pack("{s:s, s:o}", "type", "Sequence", "decoders", steps);
    return HONE_OK;
}

/* The expression as Oniguruma spells scripts: \p{Han} for \p{sc:Han}. */
static json_t *onig(const char *pattern)
{
    static const char sc[] = "\\p{sc:";
    char *out = hone_malloc(strlen(pattern) + 1), *to = out;
    if (!out)
        return NULL;
    for (const char *p = pattern; *p;) {
        bool script = strncmp(p, sc, sizeof sc - 1) == 0;
        *to++ = *p++;
        if (script) {
            *to++ = 'p';
            *to++ = '{';
            p += sizeof sc - 2;
        }
    }
    *to = 0;
    json_t *text = json_string(out);
    hone_free(out);
    return text;
}

/* The cuts of a family, one after the other. */
static json_t *splits_json(const hone_gguf_pre *row)
{
    json_t *list = json_array();
    for (int i = 0; i < HONE_GGUF_PATTERNS_MAX && row->patterns[i]; i++)
        json_array_append_new(list, json_pack("{s:s, s:{s:o}, s:s, s:b}", "type", "Split",
                                              "pattern", "Regex", onig(row->patterns[i]),
                                              "behavior", "Isolated", "invert", 0));
    return list;
}

bool hone_byte_level_json(const hone_gguf_pre *row, json_t **pre, json_t **decoder)
{
    json_t *list = splits_json(row);
    json_array_append_new(list,
                          json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space",
                                    0, "trim_offsets", 0, "use_regex", 0));
    *pre = json_pack("{s:s, s:o}", "type", "Sequence", "pretokenizers", list);
    *decoder = json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 1,
                         "trim_offsets", 1, "use_regex", 1);
    if (*pre && *decoder)
        return true;
    json_decref(*pre);
    json_decref(*decoder);
    *pre = *decoder = NULL;
    return false;
}

static hone_status write_bpe(writer *w)
{
    const char *pre, *model;
    HONE_TRY(hone_file_str(w->f, KEY("model"), &model));
    HONE_TRY(hone_file_str_or(w->f, KEY("pre"), "default", &pre));
    const hone_gguf_pre *row = hone_gguf_find_pre(strcmp(model, "gemma4") == 0 ? model : pre);
    if (!row)
        return hone_fail(HONE_INTERNAL, "pre-tokenizer \"%s\" was known when it was read", pre);
    bool meta = row->flags & HONE_PRE_META;
    if (!meta && !hone_gguf_is_byte_level(row))
        return hone_fail(HONE_UNSUPPORTED,
                         "pre-tokenizer \"%s\" groups digits by threes from the right, which "
                         "hone does not write to tokenizer.json",
                         pre);
    w->model = bpe_model(w->t, false);
    w->normalizer = json_null();
    if (!meta)
        return hone_byte_level_json(row, &w->pre, &w->decoder) ? HONE_OK : no_memory();
    w->pre = json_pack("{s:s, s:o}", "type", "Sequence", "pretokenizers", splits_json(row));
    w->normalizer = replace("String", " ", HONE_META_SPACE);
    w->decoder =
        json_pack("{s:s, s:[o, {s:s}, {s:s}]}", "type", "Sequence", "decoders",
                  replace("String", HONE_META_SPACE, " "), "type", "ByteFallback", "type", "Fuse");
    return HONE_OK;
}

/* GGUF marks the start of a word, vocab.txt what continues one. */
static json_t *wordpiece_vocab(const hone_tokenizer *t)
{
    json_t *vocab = json_object();
    for (int32_t i = 0; vocab && i < t->n_tokens; i++) {
        const char *s = hone_pool_str(t, t->pieces[i]);
        size_t n = t->pieces[i].n;
        bool starts = n > 3 && memcmp(s, HONE_META_SPACE, 3) == 0;
        bool whole = starts || t->types[i] != HONE_TOKEN_NORMAL;
        char *name = hone_malloc(n + 3);
        bool ok = name != NULL;
        if (ok) {
            memcpy(name, "##", 2);
            memcpy(name + 2, s, n);
            const char *key = starts ? s + 3 : whole ? s : name;
            size_t bytes = starts ? n - 3 : whole ? n : n + 2;
            ok = n == 0 || json_object_getn(vocab, key, bytes) ||
                 json_object_setn_new(vocab, key, bytes, json_integer(i)) == 0;
        }
        hone_free(name);
        if (!ok) {
            json_decref(vocab);
            return NULL;
        }
    }
    return vocab;
}

static hone_status write_bert(writer *w)
{
    bool lower, strip;
    HONE_TRY(hone_file_bool_or(w->f, KEY("normalizer.lowercase"), true, &lower));
    HONE_TRY(hone_file_bool_or(w->f, KEY("normalizer.strip_accents"), lower, &strip));
    w->model = json_pack("{s:s, s:o, s:s, s:i, s:o}", "type", "WordPiece", "unk_token",
                         unknown(w->t), "continuing_subword_prefix", "##",
                         "max_input_chars_per_word", 100, "vocab", wordpiece_vocab(w->t));
    w->normalizer =
        json_pack("{s:s, s:b, s:b, s:b, s:b}", "type", "BertNormalizer", "clean_text", 1,
                  "handle_chinese_chars", 1, "strip_accents", strip, "lowercase", lower);
    w->pre = json_pack("{s:s}", "type", "BertPreTokenizer");
    w->decoder = json_pack("{s:s, s:s, s:b}", "type", "WordPiece", "prefix", "##", "cleanup", 1);
    return HONE_OK;
}

static json_t *base64(const uint8_t *p, size_t n)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *out = hone_malloc((n + 2) / 3 * 4 + 1), *to = out;
    if (!out)
        return NULL;
    for (size_t i = 0; i < n; i += 3) {
        size_t have = n - i < 3 ? n - i : 3;
        uint32_t v = (uint32_t)p[i] << 16 | (have > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                     (have > 2 ? p[i + 2] : 0);
        *to++ = letters[v >> 18];
        *to++ = letters[v >> 12 & 63];
        *to++ = have > 1 ? letters[v >> 6 & 63] : '=';
        *to++ = have > 2 ? letters[v & 63] : '=';
    }
    json_t *text = json_stringn(out, (size_t)(to - out));
    hone_free(out);
    return text;
}

static hone_status write_unigram(writer *w)
{
    const hone_tokenizer *t = w->t;
    bool prefix, collapse;
    HONE_TRY(hone_file_bool_or(w->f, KEY("add_space_prefix"), true, &prefix));
    HONE_TRY(hone_file_bool_or(w->f, KEY("remove_extra_whitespaces"), false, &collapse));
    json_t *vocab = json_array(), *norms = json_array();
    for (int32_t i = 0; i < t->n_tokens; i++)
        if (json_array_append_new(
                vocab, json_pack("[o, f]", text_of(t, t->pieces[i]), t->scores[i])) != 0) {
            json_decref(vocab);
            json_decref(norms);
            return no_memory();
        }
    if (t->charsmap.n)
        json_array_append_new(
            norms,
            json_pack("{s:s, s:o}", "type", "Precompiled", "precompiled_charsmap",
                      base64((const uint8_t *)hone_pool_str(t, t->charsmap), t->charsmap.n)));
    if (collapse) {
        json_array_append_new(norms, json_pack("{s:s, s:b, s:b}", "type", "Strip", "strip_left", 1,
                                               "strip_right", 1));
        json_array_append_new(norms, replace("Regex", " {2,}", " "));
    }
    w->normalizer = json_pack("{s:s, s:o}", "type", "Sequence", "normalizers", norms);
    w->model = json_pack("{s:s, s:o, s:o, s:b}", "type", "Unigram", "unk_id",
                         t->unk >= 0 ? json_integer(t->unk) : json_null(), "vocab", vocab,
                         "byte_fallback", t->byte_fallback);
    const char *scheme = prefix ? "always" : "never";
    w->pre = json_pack("{s:s, s:s, s:s, s:b}", "type", "Metaspace", "replacement", HONE_META_SPACE,
                       "prepend_scheme", scheme, "split", 1);
    w->decoder = json_pack("{s:s, s:s, s:s, s:b}", "type", "Metaspace", "replacement",
                           HONE_META_SPACE, "prepend_scheme", scheme, "split", 1);
    return HONE_OK;
}

static const struct {
    const char *model;
    hone_status (*write)(writer *w);
} kinds[] = {{"llama", write_spm},
             {"gpt2", write_bpe},
             {"gemma4", write_bpe},
             {"bert", write_bert},
             {"t5", write_unigram}};

/* ---- added tokens and affixes ---- */

static json_t *added_list(const hone_tokenizer *t)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < t->n_added; i++) {
        const hone_added *a = &t->added[i];
        json_array_append_new(list,
                              json_pack("{s:i, s:o, s:b, s:b, s:b, s:b, s:b}", "id", a->id,
                                        "content", text_of(t, a->content), "single_word",
                                        a->single_word, "lstrip", a->lstrip, "rstrip", a->rstrip,
                                        "normalized", a->normalized, "special", a->special));
    }
    return list;
}

static void put_part(const hone_tokenizer *t, json_t *list, json_t *used, int32_t id, int32_t type)
{
    if (id < 0) {
        json_array_append_new(list, json_pack("{s:{s:s, s:i}}", "Sequence", "id",
                                              id == HONE_PAIR_B ? "B" : "A", "type_id", type));
        return;
    }
    const char *name = hone_pool_str(t, t->pieces[id]);
    json_array_append_new(list,
                          json_pack("{s:{s:s, s:i}}", "SpecialToken", "id", name, "type_id", type));
    json_object_set_new(used, name,
                        json_pack("{s:s, s:[i], s:[s]}", "id", name, "ids", id, "tokens", name));
}

static json_t *affixes(const hone_tokenizer *t)
{
    json_t *single = json_array(), *pair = json_array(), *used = json_object();
    for (int i = 0; i < t->n_prefix; i++)
        put_part(t, single, used, t->prefix[i], 0);
    put_part(t, single, used, HONE_PAIR_A, 0);
    for (int i = 0; i < t->n_suffix; i++)
        put_part(t, single, used, t->suffix[i], 0);
    for (int i = 0; i < t->n_pair; i++)
        put_part(t, pair, used, t->pair[i].id, t->pair[i].type);
    return json_pack("{s:s, s:o, s:o, s:o}", "type", "TemplateProcessing", "single", single, "pair",
                     pair, "special_tokens", used);
}

/* One text, or a list of named ones. */
static hone_status put_templates(const hone_file *f, json_t *config)
{
    hone_chat_template *t;
    HONE_TRY(hone_chat_template_from_file(f, &t));
    json_t *list = json_array();
    size_t n = hone_chat_template_count(t);
    hone_status s = HONE_OK;
    for (size_t i = 0; i < n; i++) {
        json_t *one = json_pack("{s:s, s:s}", "name", hone_chat_template_name(t, i), "template",
                                hone_chat_template_source(t, i));
        if (json_array_append_new(list, one) != 0)
            s = hone_fail(HONE_FORMAT, "chat template %zu is no UTF-8 text, or memory is short", i);
    }
    const json_t *only = json_array_get(list, 0);
    if (n == 1 && strcmp(hone_chat_template_name(t, 0), "default") == 0)
        json_object_set(config, "chat_template", json_object_get(only, "template"));
    else if (n)
        json_object_set(config, "chat_template", list);
    json_decref(list);
    hone_chat_template_close(t);
    return s;
}

static json_t *config_of(const hone_tokenizer *t)
{
    const struct {
        const char *key;
        int32_t id;
    } names[] = {
        {"bos_token", t->bos}, {"eos_token", t->eos}, {"unk_token", t->unk}, {"pad_token", t->pad}};
    json_t *c = json_pack("{s:s, s:b}", "tokenizer_class", "PreTrainedTokenizerFast",
                          "clean_up_tokenization_spaces", 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].id >= 0 && names[i].id < t->n_tokens)
            json_object_set_new(c, names[i].key, text_of(t, t->pieces[names[i].id]));
    return c;
}

static hone_status write_all(writer *w, json_t **tokenizer, json_t **config)
{
    const hone_tokenizer *t = w->t;
    const char *model;
    size_t kind = 0, all = sizeof kinds / sizeof *kinds;
    HONE_TRY(hone_file_str(w->f, KEY("model"), &model));
    while (kind < all && strcmp(kinds[kind].model, model) != 0)
        kind++;
    if (kind == all)
        return hone_fail(HONE_UNSUPPORTED,
                         "%s: tokenizer.json has no form for tokenizers of the kind \"%.40s\"",
                         hone_file_path(w->f), model);
    HONE_TRY(kinds[kind].write(w));
    bool around = t->n_prefix || t->n_suffix;
    *tokenizer =
        json_pack("{s:s, s:n, s:n, s:o, s:O, s:O, s:o, s:O, s:O}", "version", "1.0", "truncation",
                  "padding", "added_tokens", added_list(t), "normalizer", w->normalizer,
                  "pre_tokenizer", w->pre, "post_processor", around ? affixes(t) : json_null(),
                  "decoder", w->decoder, "model", w->model);
    *config = config_of(t);
    return *tokenizer && *config ? put_templates(w->f, *config) : no_memory();
}

hone_status hone_tokenizer_to_json(const struct hone_file *f, json_t **tokenizer, json_t **config)
{
    hone_tokenizer *t;
    *tokenizer = *config = NULL;
    hone_json_use_memory();
    HONE_TRY(hone_tokenizer_from_file(f, &t));
    writer w = {.f = f, .t = t};
    hone_status s = write_all(&w, tokenizer, config);
    json_decref(w.model);
    json_decref(w.normalizer);
    json_decref(w.pre);
    json_decref(w.decoder);
    hone_tokenizer_close(t);
    if (s != HONE_OK) {
        json_decref(*tokenizer);
        json_decref(*config);
        *tokenizer = *config = NULL;
    }
    return s;
}
