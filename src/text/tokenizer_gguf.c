/*
 * Tokenizers in GGUF metadata (ggml/docs/gguf.md, keys tokenizer.ggml.*): a row per kind of model.
 * What the names of pre-tokenizers stand for is in tokenizer_gguf_pre.c.
 */
#include "text/tokenizer_gguf.h"
#include "file/file.h"

#include <string.h>

#define KEY(name) "tokenizer.ggml." name

/* ---- tokens ---- */

static hone_status add_one(hone_tokenizer *t, int32_t id, const char *s, size_t n, int64_t type)
{
    static const hone_token_type types[] = {
        HONE_TOKEN_NORMAL, HONE_TOKEN_NORMAL, HONE_TOKEN_UNKNOWN, HONE_TOKEN_CONTROL,
        HONE_TOKEN_USER,   HONE_TOKEN_UNUSED, HONE_TOKEN_BYTE};
    if (type < 0 || type >= (int64_t)(sizeof types / sizeof *types))
        return hone_fail(HONE_FORMAT, "token %d has the unknown type %lld", id, (long long)type);
    bool special = type == 2 || type == 3;
    HONE_TRY(hone_vocab_set(t, id, s, n, types[type],
                            HONE_TOKEN_IS_MODEL | (special ? HONE_TOKEN_IS_SPECIAL : 0)));
    if (n == 0 || !(special || type == 4))
        return HONE_OK;
    hone_added a = {.id = id, .special = special};
    return hone_added_add(t, s, n, &a);
}

static hone_status add_tokens(hone_tokenizer *t, const hone_file *f, bool spm)
{
    hone_array tokens, types = {0}, scores = {0};
    HONE_TRY(hone_file_array(f, KEY("tokens"), &tokens));
    if (hone_file_has(f, KEY("token_type")))
        HONE_TRY(hone_file_array(f, KEY("token_type"), &types));
    if (spm)
        HONE_TRY(hone_file_array(f, KEY("scores"), &scores));
    if ((types.count && types.count != tokens.count) || (spm && scores.count != tokens.count))
        return hone_fail(HONE_FORMAT, "%llu tokens but %llu token types and %llu scores",
                         (unsigned long long)tokens.count, (unsigned long long)types.count,
                         (unsigned long long)scores.count);
    if (tokens.count > HONE_VOCAB_MAX)
        return hone_fail(HONE_LIMIT, "%llu tokens, more than %d", (unsigned long long)tokens.count,
                         HONE_VOCAB_MAX);
    HONE_TRY(hone_vocab_reserve(t, (int64_t)tokens.count));
    if (spm)
        HONE_TRY(hone_scores_reserve(t, (size_t)tokens.count));
    for (uint64_t i = 0; i < tokens.count; i++) {
        const char *s;
        size_t n;
        int64_t type = 1;
        double score = 0;
        if (!hone_array_str(&tokens, i, &s, &n))
            return hone_fail(HONE_FORMAT, KEY("tokens") " is no array of strings");
        if (types.count && !hone_array_i64(&types, i, &type))
            return hone_fail(HONE_FORMAT, KEY("token_type") " is no array of integers");
        if (spm && !hone_array_f64(&scores, i, &score))
            return hone_fail(HONE_FORMAT, KEY("scores") " is no array of numbers");
        HONE_TRY(add_one(t, (int32_t)i, s, n, type));
        if (spm)
            t->scores[i] = (double)(float)score;
    }
    return HONE_OK;
}

static hone_status add_merges(hone_tokenizer *t, const hone_file *f)
{
    hone_array merges;
    HONE_TRY(hone_file_array(f, KEY("merges"), &merges));
    if (merges.count > HONE_MERGES_MAX)
        return hone_fail(HONE_LIMIT, "%llu merges, more than %d", (unsigned long long)merges.count,
                         HONE_MERGES_MAX);
    HONE_TRY(hone_merges_reserve(t, (size_t)merges.count));
    for (uint64_t i = 0; i < merges.count; i++) {
        const char *s;
        size_t n;
        if (!hone_array_str(&merges, i, &s, &n))
            return hone_fail(HONE_FORMAT, KEY("merges") " is no array of strings");
        const char *blank = n > 1 ? memchr(s + 1, ' ', n - 1) : NULL;
        if (!blank || blank + 1 == s + n)
            return hone_fail(HONE_FORMAT, "merge %llu is not \"left right\"",
                             (unsigned long long)i);
        size_t left = (size_t)(blank - s);
        HONE_TRY(hone_merges_put_pieces(t, s, left, blank + 1, n - left - 1, 0, (uint32_t)i));
    }
    return HONE_OK;
}

/* ---- special ids ---- */

static hone_status read_id(const hone_file *f, const char *key, int32_t fallback, int32_t *out)
{
    int64_t v;
    *out = fallback;
    if (!hone_file_has(f, key))
        return HONE_OK;
    HONE_TRY(hone_file_i64(f, key, &v));
    /* Some writers put -1, of 32 bits with a sign or without, for "none". */
    if (v < 0 || v == UINT32_MAX) {
        *out = -1;
        return HONE_OK;
    }
    if (v >= HONE_VOCAB_MAX)
        return hone_fail(HONE_FORMAT, "%s is %lld", key, (long long)v);
    *out = (int32_t)v;
    return HONE_OK;
}

/* What holds for a kind of tokenizer when the file does not say. */
typedef struct defaults {
    int32_t bos, eos, unk;
    bool add_bos, add_eos, add_sep;
} defaults;

/* An id that only the default gives must exist. */
static void heed_default(const hone_tokenizer *t, const hone_file *f, const char *key, int32_t *id)
{
    if (*id >= t->n_tokens && !hone_file_has(f, key))
        *id = -1;
}

static hone_status read_specials(hone_tokenizer *t, const hone_file *f, defaults d)
{
    bool add_bos, add_eos, add_sep;
    int32_t cls, sep, eom;
    HONE_TRY(read_id(f, KEY("cls_token_id"), d.bos, &cls));
    HONE_TRY(read_id(f, KEY("bos_token_id"), cls, &t->bos));
    HONE_TRY(read_id(f, KEY("eos_token_id"), d.eos, &t->eos));
    HONE_TRY(read_id(f, KEY("unknown_token_id"), d.unk, &t->unk));
    HONE_TRY(read_id(f, KEY("padding_token_id"), -1, &t->pad));
    HONE_TRY(read_id(f, KEY("eot_token_id"), -1, &t->eot));
    HONE_TRY(read_id(f, KEY("eom_token_id"), -1, &eom));       /* ends a message */
    HONE_TRY(read_id(f, KEY("seperator_token_id"), -1, &sep)); /* written so */
    HONE_TRY(hone_file_bool_or(f, KEY("add_bos_token"), d.add_bos, &add_bos));
    HONE_TRY(hone_file_bool_or(f, KEY("add_eos_token"), d.add_eos, &add_eos));
    HONE_TRY(hone_file_bool_or(f, KEY("add_sep_token"), d.add_sep, &add_sep));
    heed_default(t, f, KEY("bos_token_id"), &t->bos);
    heed_default(t, f, KEY("eos_token_id"), &t->eos);
    heed_default(t, f, KEY("unknown_token_id"), &t->unk);
    if (eom >= 0 && eom < t->n_tokens)
        t->flags[eom] |= HONE_TOKEN_IS_END;
    if (add_bos && t->bos >= 0)
        t->prefix[t->n_prefix++] = t->bos;
    if (add_sep && d.add_sep && sep >= 0) /* elsewhere it only stands between two texts */
        t->suffix[t->n_suffix++] = sep;
    if (add_eos && t->eos >= 0 && !(d.add_sep && t->eos == sep))
        t->suffix[t->n_suffix++] = t->eos;
    int32_t between[2];
    int n = 0; /* as llama.cpp puts a query and a document together */
    if (t->n_suffix)
        between[n++] = t->suffix[0];
    if (add_sep && !d.add_sep && sep >= 0)
        between[n++] = sep;
    return hone_pair_put_all(t, between, n, d.add_sep);
}

/* Added tokens that swallow blanks, which GGUF does not carry: as llama.cpp, by the model's name.
 */
static const struct {
    const char *key, *names[4];
    const char *only;     /* this token; NULL: all added tokens */
    const char *not_s[4]; /* but these */
    bool left, right;
} strips[] = {
    {"general.name", {"phi-3", "phi3"}, NULL, {"<unk>", "<s>", "<|endoftext|>"}, false, true},
    {KEY("pre"), {"jina-v2-de", "jina-v2-es", "jina-v2-code"}, "<mask>", {NULL}, true, false},
    {"general.architecture", {"nomic-bert-moe", "jina-bert-v3"}, "<mask>", {NULL}, true, false},
    {"general.name", {"modern-bert"}, "[MASK]", {NULL}, true, false},
};

static bool is_one_of(const char *const *names, const char *s, bool part)
{
    for (int i = 0; i < 4 && names[i]; i++)
        if (part ? strcasestr(s, names[i]) != NULL : strcmp(s, names[i]) == 0)
            return true;
    return false;
}

static hone_status heed_names(hone_tokenizer *t, const hone_file *f)
{
    for (size_t k = 0; k < sizeof strips / sizeof *strips; k++) {
        const char *name;
        HONE_TRY(hone_file_str_or(f, strips[k].key, "", &name));
        if (!is_one_of(strips[k].names, name, true))
            continue;
        for (uint32_t i = 0; i < t->n_added; i++) {
            const char *token = hone_pool_str(t, t->added[i].content);
            if (strips[k].only ? strcmp(token, strips[k].only) != 0
                               : is_one_of(strips[k].not_s, token, false))
                continue;
            t->added[i].lstrip |= strips[k].left;
            t->added[i].rstrip |= strips[k].right;
        }
    }
    return HONE_OK;
}

/* ---- the kinds ---- */

static hone_status load_spm(hone_tokenizer *t, const hone_file *f)
{
    bool prefix, collapse;
    HONE_TRY(hone_file_bool_or(f, KEY("add_space_prefix"), true, &prefix));
    HONE_TRY(hone_file_bool_or(f, KEY("remove_extra_whitespaces"), false, &collapse));
    t->by_score = t->fuse_unk = t->byte_fallback = true;
    HONE_TRY(add_tokens(t, f, true));
    HONE_TRY(hone_norm_add_spm(t, prefix, collapse));
    HONE_TRY(read_specials(t, f, (defaults){.bos = 1, .eos = 2, .unk = 0, .add_bos = true}));
    HONE_TRY(hone_vocab_index(t));
    return hone_merges_from_scores(t);
}

/* tokenizer.ggml.precompiled_charsmap: an array of bytes. */
static hone_status read_charsmap(hone_tokenizer *t, const hone_file *f)
{
    hone_array a;
    if (!hone_file_has(f, KEY("precompiled_charsmap")))
        return HONE_OK;
    HONE_TRY(hone_file_array(f, KEY("precompiled_charsmap"), &a));
    if (a.count == 0)
        return HONE_OK;
    if (a.count > HONE_TOKENIZER_MAX)
        return hone_fail(HONE_LIMIT, "a character map of %llu bytes", (unsigned long long)a.count);
    uint8_t *data = hone_malloc((size_t)a.count);
    if (!data)
        return hone_fail_memory((size_t)a.count, "a character map");
    hone_status s = HONE_OK;
    for (uint64_t i = 0; i < a.count && s == HONE_OK; i++) {
        int64_t v;
        if (!hone_array_i64(&a, i, &v) || v < -128 || v > 255)
            s = hone_fail(HONE_FORMAT, KEY("precompiled_charsmap") " is no array of bytes");
        else
            data[i] = (uint8_t)v;
    }
    if (s == HONE_OK)
        s = hone_charsmap_set(t, data, (size_t)a.count);
    hone_free(data);
    return s;
}

static hone_status load_unigram(hone_tokenizer *t, const hone_file *f)
{
    bool prefix, collapse;
    HONE_TRY(hone_file_bool_or(f, KEY("add_space_prefix"), true, &prefix));
    HONE_TRY(hone_file_bool_or(f, KEY("remove_extra_whitespaces"), false, &collapse));
    t->model = &hone_model_unigram;
    t->fuse_unk = true;
    HONE_TRY(add_tokens(t, f, true));
    for (int32_t i = 0; i < t->n_tokens; i++)
        if (t->types[i] == HONE_TOKEN_UNUSED && t->pieces[i].n)
            t->types[i] = HONE_TOKEN_NORMAL; /* as llama.cpp */
    HONE_TRY(read_charsmap(t, f));
    HONE_TRY(hone_norm_add_spm(t, prefix, collapse));
    HONE_TRY(read_specials(t, f, (defaults){.bos = -1, .eos = 1, .unk = 2, .add_eos = true}));
    return hone_vocab_index(t);
}

hone_status hone_gguf_add_patterns(hone_tokenizer *t, const hone_gguf_pre *row)
{
    for (int i = 0; i < HONE_GGUF_PATTERNS_MAX && row->patterns[i]; i++) {
        hone_split_step triples = {.kind = HONE_SPLIT_TRIPLES,
                                   .individual = row->flags & HONE_PRE_WHOLE_NUMBERS};
        HONE_TRY(row->patterns[i] == hone_gguf_triples
                     ? hone_split_add(t, triples)
                     : hone_split_add_expression(t, row->patterns[i]));
    }
    return HONE_OK;
}

static hone_status load_bpe(hone_tokenizer *t, const hone_file *f)
{
    const char *pre, *model;
    HONE_TRY(hone_file_str(f, KEY("model"), &model));
    HONE_TRY(hone_file_str_or(f, KEY("pre"), "default", &pre));
    const hone_gguf_pre *row = hone_gguf_find_pre(strcmp(model, "gemma4") == 0 ? model : pre);
    if (!row)
        return hone_fail(HONE_UNSUPPORTED,
                         "the pre-tokenizer \"%s\" is not known to hone (" KEY("pre") ")", pre);
    bool meta = row->flags & HONE_PRE_META;
    t->byte_level = !meta;
    t->byte_fallback = meta;
    t->ignore_merges = row->flags & HONE_PRE_WHOLE_WORDS;
    if (meta)
        HONE_TRY(hone_norm_add_spm(t, false, false));
    else
        HONE_TRY(hone_steps_add(&t->decoder, (hone_step){.kind = HONE_STEP_FROM_ALPHABET}));
    HONE_TRY(hone_gguf_add_patterns(t, row));
    HONE_TRY(add_tokens(t, f, false));
    defaults d = {.bos = -1, .eos = -1, .unk = -1, .add_bos = row->flags & HONE_PRE_BOS};
    HONE_TRY(read_specials(t, f, d));
    HONE_TRY(hone_vocab_index(t));
    return add_merges(t, f);
}

/* WordPiece as llama.cpp writes it: U+2581 starts a word, nothing marks what continues one. */
static hone_status load_bert(hone_tokenizer *t, const hone_file *f)
{
    bool lower, strip;
    HONE_TRY(hone_file_bool_or(f, KEY("normalizer.lowercase"), true, &lower));
    HONE_TRY(hone_file_bool_or(f, KEY("normalizer.strip_accents"), lower, &strip));
    t->model = &hone_model_wordpiece;
    t->word_chars = UINT32_MAX;
    HONE_TRY(add_tokens(t, f, false));
    if (strip)
        HONE_TRY(hone_steps_add(&t->norms, (hone_step){.kind = HONE_STEP_NFD}));
    HONE_TRY(hone_steps_add(&t->norms, (hone_step){.kind = HONE_STEP_CLEAN}));
    if (strip)
        HONE_TRY(hone_steps_add(&t->norms, (hone_step){.kind = HONE_STEP_DROP_MARKS, .all = true}));
    if (lower)
        HONE_TRY(hone_steps_add(&t->norms, (hone_step){.kind = HONE_STEP_LOWERCASE}));
    const hone_split_step splits[] = {
        {.kind = HONE_SPLIT_CLASS, .is = hone_is_space, .behaviour = HONE_SPLIT_REMOVED},
        {.kind = HONE_SPLIT_CLASS, .is = hone_is_punctuation},
        {.kind = HONE_SPLIT_CLASS, .is = hone_is_cjk}};
    for (size_t i = 0; i < sizeof splits / sizeof *splits; i++)
        HONE_TRY(hone_split_add(t, splits[i]));
    hone_split_step start = {.kind = HONE_SPLIT_METASPACE, .prepend = HONE_PREPEND_ALWAYS};
    HONE_TRY(hone_pool_add(t, HONE_META_SPACE, 3, &start.what));
    HONE_TRY(hone_split_add(t, start));
    hone_step blank = {.kind = HONE_STEP_METASPACE, .what = start.what, .all = true};
    HONE_TRY(hone_pool_add(t, " ", 1, &blank.with));
    HONE_TRY(hone_steps_add(&t->decoder, blank));
    HONE_TRY(read_specials(
        t, f, (defaults){.bos = 101, .eos = -1, .unk = 100, .add_bos = true, .add_sep = true}));
    return hone_vocab_index(t);
}

static hone_status load_rwkv(hone_tokenizer *t, const hone_file *f)
{
    t->model = &hone_model_longest;
    t->byte_level = t->unescape = true;
    HONE_TRY(add_tokens(t, f, false));
    HONE_TRY(read_specials(t, f, (defaults){.bos = -1, .eos = -1, .unk = -1}));
    return hone_vocab_index(t);
}

static const struct {
    const char *model;
    hone_status (*load)(hone_tokenizer *t, const hone_file *f);
} kinds[] = {{"llama", load_spm}, {"gpt2", load_bpe},   {"gemma4", load_bpe},
             {"bert", load_bert}, {"t5", load_unigram}, {"rwkv", load_rwkv}};

hone_status hone_load_tokenizer_gguf(hone_tokenizer *t, const struct hone_file *f)
{
    const char *model;
    if (!hone_file_has(f, KEY("model")))
        return hone_fail(HONE_NOT_FOUND, "the file carries no tokenizer (" KEY("model") ")");
    HONE_TRY(hone_file_str(f, KEY("model"), &model));
    if (strcmp(model, "none") == 0 || strcmp(model, "no_vocab") == 0)
        return hone_fail(HONE_NOT_FOUND, "the file says that it has no tokenizer");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(model, kinds[i].model) == 0) {
            HONE_TRY(kinds[i].load(t, f));
            return heed_names(t, f);
        }
    return hone_fail(HONE_UNSUPPORTED,
                     "the tokenizer model \"%s\" is not known to hone (llama, gpt2, bert, t5, rwkv "
                     "and gemma4 are)",
                     model);
}
