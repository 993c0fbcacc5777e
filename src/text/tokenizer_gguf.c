/*
 * Tokenizers in GGUF metadata (ggml/docs/gguf.md, keys tokenizer.ggml.*). The file names its
 * pre-tokenizer; what each name stands for is the table below, from the models' own tokenizer.json
 * files and the list that llama.cpp publishes.
 */
#include "file/file.h"
#include "text/tokenizer_internal.h"

#include <string.h>

#define KEY(name) "tokenizer.ggml." name

enum { PATTERNS_MAX = 6 };

typedef struct pre_row {
    const char *names; /* separated by blanks */
    bool ignore_merges;
    bool add_bos; /* when the file does not say */
    const char *patterns[PATTERNS_MAX];
} pre_row;

#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define LLAMA3(digits)                                                                             \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                           \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
/* The cased letters as deepseek-llm lists them; escaped, since NFC would change some. */
#define LATIN_GREEK_CYRILLIC                                                                       \
    "A-Za-z\\x{B5}\\x{C0}-\\x{D6}\\x{D8}-\\x{F6}\\x{F8}-\\x{1BA}\\x{1BC}-\\x{1BF}"                 \
    "\\x{1C4}-\\x{293}\\x{295}-\\x{2AF}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37B}-\\x{37D}"         \
    "\\x{37F}\\x{386}\\x{388}-\\x{38A}\\x{38C}\\x{38E}-\\x{3A1}\\x{3A3}-\\x{3F5}"                  \
    "\\x{3F7}-\\x{481}\\x{48A}-\\x{52F}\\x{531}-\\x{556}\\x{10A0}-\\x{10C5}"                       \
    "\\x{13A0}-\\x{13F5}\\x{13F8}-\\x{13FD}\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}"                 \
    "\\x{1D00}-\\x{1D2B}\\x{1D6B}-\\x{1D77}\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}"                 \
    "\\x{1F18}-\\x{1F1D}\\x{1F20}-\\x{1F45}\\x{1F48}-\\x{1F4D}\\x{1F50}-\\x{1F57}"                 \
    "\\x{1F59}\\x{1F5B}\\x{1F5D}\\x{1F5F}-\\x{1F7D}\\x{1F80}-\\x{1FB4}\\x{1FB6}-\\x{1FBC}"         \
    "\\x{1FBE}\\x{1FC2}-\\x{1FC4}\\x{1FC6}-\\x{1FCC}\\x{1FD0}-\\x{1FD3}"                           \
    "\\x{1FD6}-\\x{1FDB}\\x{1FE0}-\\x{1FEC}\\x{1FF2}-\\x{1FF4}\\x{1FF6}-\\x{1FFC}"                 \
    "\\x{2102}\\x{2107}\\x{210A}-\\x{2113}\\x{2115}\\x{2119}-\\x{211D}\\x{2124}\\x{2126}"          \
    "\\x{2128}\\x{212A}-\\x{212D}\\x{212F}-\\x{2134}\\x{2139}\\x{213C}-\\x{213F}"                  \
    "\\x{2145}-\\x{2149}\\x{214E}\\x{2183}\\x{2184}\\x{2C00}-\\x{2C7B}\\x{2C7E}-\\x{2CE4}"         \
    "\\x{2CEB}-\\x{2CEE}\\x{2CF2}\\x{2CF3}\\x{A640}-\\x{A66D}\\x{A680}-\\x{A69B}"                  \
    "\\x{A722}-\\x{A76F}\\x{A771}-\\x{A787}\\x{A78B}-\\x{A78E}\\x{AB70}-\\x{ABBF}"                 \
    "\\x{FB00}-\\x{FB06}\\x{FB13}-\\x{FB17}\\x{FF21}-\\x{FF3A}\\x{FF41}-\\x{FF5A}"                 \
    "\\x{10400}-\\x{1044F}\\x{104B0}-\\x{104D3}\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}"         \
    "\\x{10CC0}-\\x{10CF2}\\x{118A0}-\\x{118DF}\\x{1E900}-\\x{1E943}"

static const pre_row rows[] = {
    {"default", false, false, {"[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
    {"gpt-2 gpt2 phi-2 mpt olmo jais dolly gpt-neox stablelm jina-es jina-de jina-v2-es jina-v2-de "
     "jina-v2-code gigachat roberta-bpe",
     false,
     false,
     {GPT2}},
    {"llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2",
     true,
     true,
     {LLAMA3("\\p{N}{1,3}")}},
    {"dbrx smaug-bpe chatglm-bpe glm4", false, false, {LLAMA3("\\p{N}{1,3}")}},
    {"qwen2 deepseek-r1-qwen stablelm2 megrez hunyuan", false, false, {LLAMA3("\\p{N}")}},
    {"deepseek-llm",
     false,
     false,
     {"[\\r\\n]", "\\s?[" LATIN_GREEK_CYRILLIC "]+",
      "\\s?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3000}-\\x{3002}]+",
      "\\s+\\z", "[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+", "\\p{N}+"}},
    {"deepseek-coder",
     false,
     false,
     {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+",
      "[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+", "\\p{N}"}},
    {"starcoder refact command-r smollm codeshell exaone minerva-7b",
     false,
     false,
     {"\\p{N}", GPT2}},
    {"falcon", false, false, {"[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]"}},
};

static bool has_name(const char *names, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = names; n && (p = strstr(p, name)); p += n)
        if ((p == names || p[-1] == ' ') && (p[n] == ' ' || p[n] == 0))
            return true;
    return false;
}

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
        HONE_TRY(HONE_GROW(t->scores, t->score_capacity, (size_t)tokens.count));
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
            t->scores[i] = (float)score;
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
    uint64_t v;
    *out = fallback;
    if (!hone_file_has(f, key))
        return HONE_OK;
    HONE_TRY(hone_file_u64(f, key, &v));
    /* Some writers put -1 or 0xFFFFFFFF for "none". */
    if (v == UINT32_MAX) {
        *out = -1;
        return HONE_OK;
    }
    if (v >= HONE_VOCAB_MAX)
        return hone_fail(HONE_FORMAT, "%s is %llu", key, (unsigned long long)v);
    *out = (int32_t)v;
    return HONE_OK;
}

static hone_status read_specials(hone_tokenizer *t, const hone_file *f, bool spm, bool bos_default)
{
    bool add_bos, add_eos;
    HONE_TRY(read_id(f, KEY("bos_token_id"), spm ? 1 : -1, &t->bos));
    HONE_TRY(read_id(f, KEY("eos_token_id"), spm ? 2 : -1, &t->eos));
    HONE_TRY(read_id(f, KEY("unknown_token_id"), spm ? 0 : -1, &t->unk));
    HONE_TRY(read_id(f, KEY("padding_token_id"), -1, &t->pad));
    HONE_TRY(read_id(f, KEY("eot_token_id"), -1, &t->eot));
    HONE_TRY(hone_file_bool_or(f, KEY("add_bos_token"), bos_default, &add_bos));
    HONE_TRY(hone_file_bool_or(f, KEY("add_eos_token"), false, &add_eos));
    if (spm && t->bos >= t->n_tokens)
        t->bos = hone_file_has(f, KEY("bos_token_id")) ? t->bos : -1;
    if (spm && t->eos >= t->n_tokens)
        t->eos = hone_file_has(f, KEY("eos_token_id")) ? t->eos : -1;
    if (add_bos && t->bos >= 0)
        t->prefix[t->n_prefix++] = t->bos;
    if (add_eos && t->eos >= 0)
        t->suffix[t->n_suffix++] = t->eos;
    return HONE_OK;
}

/* ---- the two kinds ---- */

static hone_status load_spm(hone_tokenizer *t, const hone_file *f)
{
    bool prefix, collapse;
    HONE_TRY(hone_file_bool_or(f, KEY("add_space_prefix"), true, &prefix));
    HONE_TRY(hone_file_bool_or(f, KEY("remove_extra_whitespaces"), false, &collapse));
    t->by_score = t->fuse_unk = t->byte_fallback = t->out_bytes = true;
    HONE_TRY(add_tokens(t, f, true));
    HONE_TRY(hone_norm_add_spm(t, prefix, collapse));
    HONE_TRY(read_specials(t, f, true, true));
    HONE_TRY(hone_vocab_index(t));
    return hone_merges_from_scores(t);
}

static hone_status load_bpe(hone_tokenizer *t, const hone_file *f)
{
    const char *pre;
    HONE_TRY(hone_file_str_or(f, KEY("pre"), "default", &pre));
    const pre_row *row = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof *rows && !row; i++)
        if (has_name(rows[i].names, pre))
            row = &rows[i];
    if (!row)
        return hone_fail(HONE_UNSUPPORTED,
                         "the pre-tokenizer \"%s\" is not known to hone yet (" KEY("pre") ")", pre);
    t->byte_level = t->out_alphabet = true;
    t->ignore_merges = row->ignore_merges;
    for (int i = 0; i < PATTERNS_MAX && row->patterns[i]; i++)
        HONE_TRY(hone_split_add_expression(t, row->patterns[i]));
    HONE_TRY(add_tokens(t, f, false));
    HONE_TRY(read_specials(t, f, false, row->add_bos));
    HONE_TRY(hone_vocab_index(t));
    return add_merges(t, f);
}

hone_status hone_load_tokenizer_gguf(hone_tokenizer *t, const struct hone_file *f)
{
    const char *model;
    if (!hone_file_has(f, KEY("model")))
        return hone_fail(HONE_NOT_FOUND, "the file carries no tokenizer (" KEY("model") ")");
    HONE_TRY(hone_file_str(f, KEY("model"), &model));
    if (strcmp(model, "llama") == 0)
        return load_spm(t, f);
    if (strcmp(model, "gpt2") == 0)
        return load_bpe(t, f);
    if (strcmp(model, "none") == 0 || strcmp(model, "no_vocab") == 0)
        return hone_fail(HONE_NOT_FOUND, "the file says that it has no tokenizer");
    return hone_fail(HONE_UNSUPPORTED,
                     "the tokenizer model \"%s\" is not known to hone yet (llama and gpt2 are)",
                     model);
}
