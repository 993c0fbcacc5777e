/*
 * A folder's tokenizer as GGUF metadata (tokenizer.ggml.*, ggml/docs/gguf.md): "gpt2" with its
 * merges and the name of its pre-tokenizer, "llama" (SentencePiece BPE) and "t5" (unigram) with
 * scores, or "bert" (WordPiece), whose words begin with U+2581 instead of continuing with ##.
 */
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "compress/convert.h"
#include "text/chat_template.h"
#include "text/pair.h"
#include "text/tokenizer_write.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define KEY(name)           "tokenizer.ggml." name
#define TOKENIZER_BYTES_MAX ((size_t)1 << 28)

enum {
    MERGES_MAX = 1 << 23,
    PATTERNS_MAX = 8,
    PAD_PIECE_MAX = 20,
    TEMPLATE_KEY_MAX = 96,
    JSON_DEPTH = 64,
    JSON_VALUES_MAX = 1 << 25
};

static const char gpt2_words[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

typedef struct vocab_writer {
    const hone_file *f;
    hone_gguf_writer *w;
    const hone_tokenizer *t;
    const hone_quantize_events *events;
    uint32_t vocab; /* rows of the embedding: as many tokens are written */
    json_t *json;   /* tokenizer.json, or NULL */
    bool wordpiece, passing;
} vocab_writer;

/* The step of this type: the object itself or a member of its "pretokenizers"; NULL = none. */
static const json_t *step_of_type(const json_t *step, const char *type)
{
    const char *is = json_string_value(json_object_get(step, "type"));
    if (is && strcmp(is, type) == 0)
        return step;
    const json_t *list = json_object_get(step, "pretokenizers");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *part = json_array_get(list, i);
        is = json_string_value(json_object_get(part, "type"));
        if (is && strcmp(is, type) == 0)
            return part;
    }
    return NULL;
}

/* The expression that a step of the pre-tokenizer cuts by, "" if it cuts nothing, NULL if it is
 * none that GGUF knows. */
static const char *expression_of(const json_t *step)
{
    const char *type = json_string_value(json_object_get(step, "type"));
    const char *regex =
        json_string_value(json_object_get(json_object_get(step, "pattern"), "Regex"));
    const char *behaviour = json_string_value(json_object_get(step, "behavior"));
    if (!type)
        return NULL;
    if (strcmp(type, "ByteLevel") == 0) {
        bool blank = json_is_true(json_object_get(step, "add_prefix_space"));
        return blank ? NULL : json_is_false(json_object_get(step, "use_regex")) ? "" : gpt2_words;
    }
    if (strcmp(type, "Digits") == 0)
        return json_is_true(json_object_get(step, "individual_digits")) ? "\\p{N}" : "\\p{N}+";
    if (strcmp(type, "Split") != 0 || !regex || !behaviour)
        return NULL;
    bool invert = json_is_true(json_object_get(step, "invert"));
    bool cuts = strcmp(behaviour, invert ? "Removed" : "Isolated") == 0; /* the rest is nothing */
    return cuts ? regex : NULL;
}

static hone_status pre_tokenizer_name(const vocab_writer *v, char name[HONE_PRE_NAME_MAX])
{
    const json_t *pre = json_object_get(v->json, "pre_tokenizer"),
                 *list = json_object_get(pre, "pretokenizers");
    const char *patterns[PATTERNS_MAX], *expression = "";
    size_t steps = list ? json_array_size(list) : 1, n = 0;
    for (size_t i = 0; i < steps && expression && n < PATTERNS_MAX; i++) {
        expression = expression_of(list ? json_array_get(list, i) : pre);
        if (expression && *expression)
            patterns[n++] = expression;
    }
    bool whole = json_is_true(json_object_get(json_object_get(v->json, "model"), "ignore_merges"));
    if (expression && hone_gguf_pre_name(patterns, n, whole, name))
        return HONE_OK;
    if (expression && hone_gguf_pre_name(patterns, n, !whole, name)) {
        if (v->events->remark)
            v->events->remark(
                v->events->arg,
                whole ? "tokenizer.json has ignore_merges; GGUF's name for its expression has "
                        "not: words that only are tokens as a whole will be cut"
                      : "tokenizer.json merges every word; GGUF's name for its expression "
                        "takes words that are tokens as a whole");
        return HONE_OK;
    }
    return hone_fail(HONE_UNSUPPORTED,
                     "%s: tokenizer.json splits text in a way that GGUF has no name for: %.200s",
                     hone_file_path(v->f), n ? patterns[0] : "(no expression)");
}

/* GGUF's numbers of token types (llama.h, llama_token_type). */
static int32_t type_number(hone_token_type t)
{
    static const uint8_t numbers[] = {
        [HONE_TOKEN_NORMAL] = 1, [HONE_TOKEN_UNKNOWN] = 2, [HONE_TOKEN_CONTROL] = 3,
        [HONE_TOKEN_USER] = 4,   [HONE_TOKEN_UNUSED] = 5,  [HONE_TOKEN_BYTE] = 6,
    };
    return numbers[t];
}

typedef struct token_lists {
    const char **pieces;
    size_t *bytes;
    int32_t *types;
    char (*pads)[PAD_PIECE_MAX];
    char **held; /* [n] what was spelled anew */
    uint32_t n;
} token_lists;

static void free_lists(token_lists *l)
{
    hone_free(l->pieces);
    hone_free(l->bytes);
    hone_free(l->types);
    hone_free(l->pads);
    for (uint32_t i = 0; l->held && i < l->n; i++)
        hone_free(l->held[i]);
    hone_free(l->held);
}

/* A WordPiece token as GGUF spells it: `held` is memory for it. */
static hone_status spell_wordpiece(const vocab_writer *v, int32_t id, const char **piece,
                                   size_t *bytes, char **held)
{
    hone_token_type type = hone_tokenizer_type(v->t, id);
    if (type == HONE_TOKEN_CONTROL || type == HONE_TOKEN_UNKNOWN)
        return HONE_OK;
    if (*bytes > 2 && memcmp(*piece, "##", 2) == 0) {
        *piece += 2;
        *bytes -= 2;
        return HONE_OK;
    }
    *held = hone_malloc(*bytes + 3);
    if (!*held)
        return hone_fail_memory(*bytes, "a token");
    memcpy(*held, "\xE2\x96\x81", 3);
    memcpy(*held + 3, *piece, *bytes);
    *piece = *held;
    *bytes += 3;
    return HONE_OK;
}

static hone_status write_pieces(const vocab_writer *v)
{
    token_lists l = {.pieces = hone_calloc(v->vocab, sizeof *l.pieces),
                     .bytes = hone_calloc(v->vocab, sizeof *l.bytes),
                     .types = hone_calloc(v->vocab, sizeof *l.types),
                     .pads = hone_calloc(v->vocab, sizeof *l.pads),
                     .held = hone_calloc(v->vocab, sizeof *l.held),
                     .n = v->vocab};
    hone_status s = HONE_OK;
    if (!l.pieces || !l.bytes || !l.types || !l.pads || !l.held)
        s = hone_fail_memory(v->vocab * sizeof *l.pieces, "a vocabulary");
    for (uint32_t i = 0; i < v->vocab && s == HONE_OK; i++) {
        int32_t id = (int32_t)i;
        l.pieces[i] = hone_tokenizer_piece(v->t, id, &l.bytes[i]);
        l.types[i] = type_number(hone_tokenizer_type(v->t, id));
        if (v->wordpiece && l.bytes[i])
            s = spell_wordpiece(v, id, &l.pieces[i], &l.bytes[i], &l.held[i]);
        if (l.bytes[i] == 0) { /* a hole: llama.cpp wants distinct names */
            l.bytes[i] = (size_t)snprintf(l.pads[i], PAD_PIECE_MAX, "[PAD%u]", i);
            l.pieces[i] = l.pads[i];
        }
    }
    if (s == HONE_OK)
        s = hone_gguf_writer_str_array(v->w, KEY("tokens"), l.pieces, l.bytes, v->vocab);
    if (s == HONE_OK)
        s = hone_gguf_writer_i32_array(v->w, KEY("token_type"), l.types, v->vocab);
    free_lists(&l);
    return s;
}

/* "a b", or its older form of one string, into `text` (owned by the caller). */
static hone_status merge_text(const json_t *merge, char **text)
{
    const char *whole = json_string_value(merge);
    const char *left = json_string_value(json_array_get(merge, 0));
    const char *right = json_string_value(json_array_get(merge, 1));
    if (!whole && (!left || !right))
        return hone_fail(HONE_FORMAT, "tokenizer.json: a merge is neither text nor a pair");
    size_t size = whole ? strlen(whole) + 1 : strlen(left) + strlen(right) + 2;
    *text = hone_malloc(size);
    if (!*text)
        return hone_fail_memory(size, "a merge");
    if (whole)
        snprintf(*text, size, "%s", whole);
    else
        snprintf(*text, size, "%s %s", left, right);
    return HONE_OK;
}

static hone_status write_merges(const vocab_writer *v)
{
    const json_t *list = json_object_get(json_object_get(v->json, "model"), "merges");
    size_t n = json_array_size(list), made = 0;
    if (n == 0 || n > MERGES_MAX)
        return hone_fail(HONE_FORMAT, "%s: tokenizer.json has %zu merges", hone_file_path(v->f), n);
    char **merges = hone_calloc(n, sizeof *merges);
    if (!merges)
        return hone_fail_memory(n * sizeof *merges, "merges");
    hone_status s = HONE_OK;
    for (; made < n && s == HONE_OK; made++)
        s = merge_text(json_array_get(list, made), &merges[made]);
    if (s == HONE_OK)
        s = hone_gguf_writer_str_array(v->w, KEY("merges"), (const char *const *)merges, NULL, n);
    for (size_t i = 0; i < n; i++)
        hone_free(merges[i]);
    hone_free(merges);
    return s;
}

/* Scores of tokenizer.model. Without that file, minus the rank of the first merge that builds a
 * token: the order in which both kinds of tokenizer prefer merges. */
static hone_status fill_scores(const vocab_writer *v, float *scores)
{
    hone_unigram_options unigram;
    if (hone_tokenizer_unigram(v->t, &unigram)) {
        for (uint32_t i = 0; i < v->vocab; i++)
            scores[i] = (int32_t)i < hone_tokenizer_vocab_size(v->t)
                            ? hone_tokenizer_score(v->t, (int32_t)i)
                            : -10000.0f; /* padding */
        return HONE_OK;
    }
    char *path = hone_path_join(hone_file_path(v->f), "tokenizer.model");
    if (!path)
        return hone_fail_memory(0, "a path");
    hone_tokenizer *spm = NULL;
    hone_status s = hone_is_file(path) ? hone_tokenizer_open(path, &spm) : HONE_OK;
    hone_free(path);
    HONE_TRY(s);
    if (spm) {
        for (uint32_t i = 0; i < v->vocab; i++)
            scores[i] = (int32_t)i < hone_tokenizer_vocab_size(spm)
                            ? hone_tokenizer_score(spm, (int32_t)i)
                            : -10000.0f; /* as llama.cpp's conversion marks padding */
        hone_tokenizer_close(spm);
        return HONE_OK;
    }
    const json_t *list = json_object_get(json_object_get(v->json, "model"), "merges");
    for (uint32_t i = 0; i < v->vocab; i++)
        scores[i] = hone_tokenizer_type(v->t, (int32_t)i) == HONE_TOKEN_NORMAL ? -1e6f : 0;
    for (size_t rank = json_array_size(list); rank-- > 0;) {
        char *text = NULL;
        HONE_TRY(merge_text(json_array_get(list, rank), &text));
        assert(text);
        char *blank = strchr(text, ' ');
        if (blank) {
            memmove(blank, blank + 1, strlen(blank));
            int32_t id = hone_tokenizer_find(v->t, text, strlen(text));
            if (id >= 0 && (uint32_t)id < v->vocab)
                scores[id] = -(float)rank - 1;
        }
        hone_free(text);
    }
    return HONE_OK;
}

static hone_status write_scores(const vocab_writer *v)
{
    float *scores = hone_calloc(v->vocab, sizeof *scores);
    if (!scores)
        return hone_fail_memory(v->vocab * sizeof *scores, "scores");
    hone_status s = fill_scores(v, scores);
    if (s == HONE_OK)
        s = hone_gguf_writer_f32_array(v->w, KEY("scores"), scores, v->vocab);
    hone_free(scores);
    return s;
}

/* What stands behind a text, and between two: found by putting two empty texts together, unless
 * the tokenizer does not say how. */
static hone_status write_suffix(const vocab_writer *v)
{
    hone_encoded one, two = {0};
    HONE_TRY(hone_tokenizer_encode_pair(v->t, "", 0, NULL, 0, 0, 0, &one));
    size_t prefix = hone_tokenizer_adds_bos(v->t);
    int32_t end = one.n > prefix ? one.ids[one.n - 1] : -1;
    hone_encoded_free(&one);
    if (!v->wordpiece)
        HONE_TRY(hone_gguf_writer_bool(v->w, KEY("add_eos_token"),
                                       end >= 0 && end == hone_tokenizer_eos(v->t)));
    if (end < 0)
        return HONE_OK;
    if (!v->wordpiece && end != hone_tokenizer_eos(v->t))
        return hone_fail(HONE_UNSUPPORTED,
                         "%s: the tokenizer ends texts with token %d, which is "
                         "not its end of text; GGUF cannot say so",
                         hone_file_path(v->f), end);
    hone_status s = hone_tokenizer_encode_pair(v->t, "", 0, "", 0, 0, 0, &two);
    bool again = s == HONE_OK && two.n == prefix + 3 && two.ids[prefix + 1] == end;
    hone_encoded_free(&two);
    if (s != HONE_OK && s != HONE_UNSUPPORTED)
        return s;
    HONE_TRY(hone_gguf_writer_u32(v->w, KEY("seperator_token_id"), (uint32_t)end));
    return v->wordpiece ? HONE_OK : hone_gguf_writer_bool(v->w, KEY("add_sep_token"), again);
}

static hone_status write_special(const vocab_writer *v)
{
    int32_t eot = hone_tokenizer_eot(v->t);
    const struct {
        const char *key;
        int32_t id;
    } special[] = {
        {KEY("bos_token_id"), hone_tokenizer_bos(v->t)},
        {KEY("eos_token_id"), hone_tokenizer_eos(v->t)},
        {KEY("eot_token_id"), eot == hone_tokenizer_eos(v->t) ? -1 : eot},
        {KEY("unknown_token_id"), hone_tokenizer_unk(v->t)},
        {KEY("padding_token_id"), hone_tokenizer_pad(v->t)},
    };
    for (size_t i = 0; i < sizeof special / sizeof *special; i++)
        if (special[i].id >= 0 && (uint32_t)special[i].id < v->vocab)
            HONE_TRY(hone_gguf_writer_u32(v->w, special[i].key, (uint32_t)special[i].id));
    return hone_gguf_writer_bool(v->w, KEY("add_bos_token"), hone_tokenizer_adds_bos(v->t));
}

/* The JSON file `name` of the folder, or NULL without one. hone_tokenizer_from_file has read it
 * before: its size is bounded and its structure sound. */
static hone_status read_json(const hone_file *f, const char *name, json_t **out)
{
    char *text;
    size_t bytes;
    *out = NULL;
    HONE_TRY(hone_read_member(hone_file_path(f), name, TOKENIZER_BYTES_MAX, &text, &bytes));
    hone_status s =
        text ? hone_json_parse(text, bytes, JSON_DEPTH, JSON_VALUES_MAX, name, out) : HONE_OK;
    hone_free(text);
    return s;
}

/* A key of llama.cpp's conversion has letters, digits and _ of a template's name. */
static void template_key(const char *name, char *key, size_t size)
{
    int n = snprintf(key, size, "tokenizer.chat_template.");
    size_t at = (size_t)n;
    for (; *name && at + 1 < size; name++, at++)
        key[at] = isascii((unsigned char)*name) && isalnum((unsigned char)*name) ? *name : '_';
    key[at] = 0;
}

static hone_status write_named_templates(const vocab_writer *v, const hone_chat_template *t)
{
    char keys[HONE_CHAT_TEMPLATES_MAX][TEMPLATE_KEY_MAX];
    const char *names[HONE_CHAT_TEMPLATES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < hone_chat_template_count(t); i++) {
        const char *name = hone_chat_template_name(t, i);
        if (strcmp(name, "default") == 0 || !*name)
            continue;
        template_key(name, keys[n], sizeof keys[n]);
        for (size_t k = 0; k < n; k++)
            if (strcmp(keys[k], keys[n]) == 0)
                return hone_fail(HONE_UNSUPPORTED,
                                 "two chat templates have the key %s in GGUF, where a name has "
                                 "letters, digits and _ only: rename one",
                                 keys[n]);
        HONE_TRY(hone_gguf_writer_str(v->w, keys[n], hone_chat_template_source(t, i)));
        names[n] = strrchr(keys[n], '.') + 1;
        n++;
    }
    return n ? hone_gguf_writer_str_array(v->w, "tokenizer.chat_templates", names, NULL, n)
             : HONE_OK;
}

static hone_status write_templates(const vocab_writer *v)
{
    hone_chat_template *t;
    HONE_TRY(hone_chat_template_from_file(v->f, &t));
    hone_status s = HONE_OK;
    for (size_t i = 0; s == HONE_OK && i < hone_chat_template_count(t); i++)
        if (strcmp(hone_chat_template_name(t, i), "default") == 0)
            s = hone_gguf_writer_str(v->w, "tokenizer.chat_template",
                                     hone_chat_template_source(t, i));
    if (s == HONE_OK)
        s = write_named_templates(v, t);
    hone_chat_template_close(t);
    if (s == HONE_USAGE) /* the writer's word for a text that is no UTF-8 */
        s = HONE_FORMAT;
    return s == HONE_OK ? s : hone_fail_in(s, "%s", hone_file_path(v->f));
}

static hone_status write_blanks(const vocab_writer *v, const hone_unigram_options *o)
{
    HONE_TRY(hone_gguf_writer_bool(v->w, KEY("add_space_prefix"), o->prefix));
    return hone_gguf_writer_bool(v->w, KEY("remove_extra_whitespaces"), o->collapse);
}

static hone_status write_vocabulary(vocab_writer *v)
{
    const char *kind =
        json_string_value(json_object_get(json_object_get(v->json, "model"), "type"));
    v->wordpiece = kind && strcmp(kind, "WordPiece") == 0;
    const json_t *pre = json_object_get(v->json, "pre_tokenizer");
    hone_unigram_options blanks;
    const bool is_unigram = hone_tokenizer_unigram(v->t, &blanks);
    bool byte_level = step_of_type(pre, "ByteLevel") != NULL;
    if ((uint32_t)hone_tokenizer_vocab_size(v->t) > v->vocab)
        return hone_fail(HONE_FORMAT, "%s: the tokenizer has %d tokens, the embedding %u rows",
                         hone_file_path(v->f), hone_tokenizer_vocab_size(v->t), v->vocab);
    if (byte_level) {
        char name[HONE_PRE_NAME_MAX];
        HONE_TRY(pre_tokenizer_name(v, name));
        HONE_TRY(hone_gguf_writer_str(v->w, KEY("model"), "gpt2"));
        HONE_TRY(hone_gguf_writer_str(v->w, KEY("pre"), name));
        HONE_TRY(write_pieces(v));
        HONE_TRY(write_merges(v));
    } else if (v->wordpiece) {
        const json_t *norm = json_object_get(v->json, "normalizer"),
                     *strip = json_object_get(norm, "strip_accents");
        bool lower = json_is_true(json_object_get(norm, "lowercase"));
        HONE_TRY(hone_gguf_writer_str(v->w, KEY("model"), "bert"));
        HONE_TRY(hone_gguf_writer_str(v->w, KEY("pre"), "default"));
        HONE_TRY(hone_gguf_writer_bool(v->w, KEY("normalizer.lowercase"), lower));
        if (json_is_boolean(strip))
            HONE_TRY(
                hone_gguf_writer_bool(v->w, KEY("normalizer.strip_accents"), json_is_true(strip)));
        HONE_TRY(write_pieces(v));
    } else if (is_unigram) {
        HONE_TRY(hone_gguf_writer_str(v->w, KEY("model"), "t5"));
        HONE_TRY(hone_gguf_writer_str(v->w, KEY("pre"), "default"));
        HONE_TRY(write_pieces(v));
        HONE_TRY(write_scores(v));
        HONE_TRY(write_blanks(v, &blanks));
        if (blanks.charsmap_bytes)
            HONE_TRY(hone_gguf_writer_u8_array(v->w, KEY("precompiled_charsmap"), blanks.charsmap,
                                               blanks.charsmap_bytes));
    } else if (kind && strcmp(kind, "BPE") != 0) {
        return hone_fail(HONE_UNSUPPORTED,
                         "%s: a tokenizer of type %.40s cannot be written to GGUF yet",
                         hone_file_path(v->f), kind);
    } else {
        HONE_TRY(hone_gguf_writer_str(v->w, KEY("model"), "llama"));
        HONE_TRY(hone_gguf_writer_str(v->w, KEY("pre"), "default"));
        HONE_TRY(write_pieces(v));
        HONE_TRY(write_scores(v));
        HONE_TRY(write_blanks(v, &blanks));
    }
    HONE_TRY(write_special(v));
    HONE_TRY(write_suffix(v));
    return write_templates(v);
}

/* ---- what was written, read again ------------------------------------------------------------ */

/* The ids of a text; none of one that the vocabulary cannot express. */
static hone_status cut(const hone_tokenizer *t, const char *text, int32_t **ids, size_t *n)
{
    hone_status s = hone_tokenizer_encode(t, text, strlen(text), HONE_ENCODE_ADD_SPECIAL, ids, n);
    return s == HONE_DATA ? HONE_OK : s;
}

static hone_status cut_alike(const hone_tokenizer *a, const hone_tokenizer *b, const char *text,
                             bool *same)
{
    int32_t *x = NULL, *y = NULL;
    size_t n = 0, m = 0;
    hone_status s = cut(a, text, &x, &n);
    if (s == HONE_OK)
        s = cut(b, text, &y, &m);
    *same &= s == HONE_OK && n == m && (n == 0 || memcmp(x, y, n * sizeof *x) == 0);
    hone_free(x);
    hone_free(y);
    return s;
}

hone_status hone_compare_tokenizers(const hone_tokenizer *a, const hone_tokenizer *b, bool *same,
                                    bool *same_forms)
{
    static const char *const composed[] = {
        "Hello, world! I've 12345 apples\n\n  and\t3.14", "\xC3\xA9t\xC3\xA9s \xC3\x89T\xC3\x89",
        "\xE4\xBD\xA0\xE5\xA5\xBD \xD0\x9F\xD1\x80\xD0\xB8 \xF0\x9F\x99\x82",
        "foo_bar(x) { } HTTPServer"};
    /* e and a combining accent, the sign for angstrom, a ligature, a wide A */
    static const char *const others[] = {"e\xCC\x81t\xC3\xA9", "\xE2\x84\xAB",
                                         "\xEF\xAC\x81n \xEF\xBC\xA1"};
    *same = *same_forms = true;
    for (size_t i = 0; i < sizeof composed / sizeof *composed; i++)
        HONE_TRY(cut_alike(a, b, composed[i], same));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        HONE_TRY(cut_alike(a, b, others[i], same_forms));
    return HONE_OK;
}

/* Ends of a text that only generation_config.json names: two of them have keys that are free. */
static hone_status write_ends(const vocab_writer *v, const hone_tokenizer *written)
{
    const char *const keys[] = {
        hone_tokenizer_eot(v->t) == hone_tokenizer_eos(v->t) ? KEY("eot_token_id") : NULL,
        KEY("eom_token_id")};
    int32_t lost = 0;
    size_t k = 0;
    for (int32_t i = 0; i < hone_tokenizer_vocab_size(v->t); i++) {
        if (!hone_tokenizer_is_end(v->t, i) || hone_tokenizer_is_end(written, i))
            continue;
        while (k < 2 && !keys[k])
            k++;
        if (k < 2)
            HONE_TRY(hone_gguf_writer_u32(v->w, keys[k++], (uint32_t)i));
        else
            lost++;
    }
    if (lost && v->events->remark) {
        char text[128];
        snprintf(text, sizeof text,
                 "of the tokens that end an answer, GGUF has no place for %d: one may run on",
                 lost);
        v->events->remark(v->events->arg, text);
    }
    return HONE_OK;
}

/* What was written, read again: an error where it cuts text otherwise. */
static hone_status check_written(const vocab_writer *v)
{
    hone_file *file;
    hone_tokenizer *written = NULL;
    bool same = false, same_forms = false;
    HONE_TRY(hone_gguf_writer_preview(v->w, &file));
    hone_status s = hone_tokenizer_from_file(file, &written);
    if (s == HONE_OK)
        s = hone_compare_tokenizers(v->t, written, &same, &same_forms);
    if (s == HONE_OK)
        s = write_ends(v, written);
    hone_tokenizer_close(written);
    hone_file_close(file);
    if (s != HONE_OK)
        return hone_fail_in(s, "%s, as GGUF", hone_file_path(v->f));
    if (v->passing)
        return HONE_OK;
    if (!same)
        return hone_fail(HONE_UNSUPPORTED,
                         "%s: GGUF cannot say how this folder's tokenizer cuts text; without the "
                         "tokenizer's files it becomes a file that takes token ids only",
                         hone_file_path(v->f));
    if (!same_forms && v->events->remark)
        v->events->remark(
            v->events->arg,
            "the tokenizer's normalizer is lost, for which GGUF has no word: combining "
            "accents, ligatures and wide letters may be cut otherwise");
    return HONE_OK;
}

hone_status hone_convert_tokenizer(const hone_file *f, const hone_quantize_options *o,
                                   uint32_t vocab, hone_gguf_writer *w,
                                   const hone_quantize_events *e)
{
    vocab_writer v = {.f = f, .w = w, .events = e, .vocab = vocab, .passing = o->passing};
    hone_tokenizer *t;
    hone_status s = hone_tokenizer_from_file(f, &t);
    if (s == HONE_NOT_FOUND) {
        if (e->remark)
            e->remark(e->arg, "the folder has no tokenizer: the file will take token ids only");
        return hone_gguf_writer_str(w, KEY("model"), "no_vocab");
    }
    HONE_TRY(s);
    v.t = t;
    s = read_json(f, "tokenizer.json", &v.json);
    if (s == HONE_OK && !v.json) {
        char *path = hone_path_join(hone_file_path(f), "tokenizer.model");
        if (!path || !hone_is_file(path))
            s = hone_fail(HONE_UNSUPPORTED,
                          "%s: a tokenizer without tokenizer.json or tokenizer.model cannot be "
                          "written to GGUF yet",
                          hone_file_path(f));
        hone_free(path);
    }
    if (s == HONE_OK)
        s = write_vocabulary(&v);
    if (s == HONE_OK)
        s = check_written(&v);
    json_decref(v.json);
    hone_tokenizer_close(t);
    return s;
}
