/*
 * The pre-tokenizers that GGUF files name (tokenizer.ggml.pre): a row for each, with the
 * expressions that the models' own tokenizer.json files give, in the order of the list that
 * llama.cpp publishes. Where llama.cpp approximates an expression (letters by case: tekken, gpt-4o
 * and their like), the model's own stands here.
 */
#include "text/tokenizer_gguf.h"
#include "text/tokenizer_write.h"

#include <stdio.h>

#define GPT2           "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define CONTRACTIONS   "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define WORD_REST      "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define LLAMA3(digits) CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits WORD_REST
#define UPPER          "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER          "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
/* Words by case (o200k), with what may follow a word, and digits. */
#define CASED(upper, lower, ending, digits)                                                        \
    "[^\\r\\n\\p{L}\\p{N}]?" upper "*" lower "+" ending "|[^\\r\\n\\p{L}\\p{N}]?" upper "+" lower  \
    "*" ending "|" digits
#define SLASHED_REST    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define O200K           CASED(UPPER, LOWER, CONTRACTIONS "?", "\\p{N}{1,3}") SLASHED_REST
#define NO_HAN(x)       "(?:(?!\\p{sc:Han})" x ")"
#define DEEPSEEK3_WORDS "[!-/:-@\\[-`{-~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
#define DEEPSEEK3_REST  "| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define CJK_KANA        "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+"
#define NO_PUNCTUATION                                                                             \
    " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{FF0C}\\x{3001}\\x{964}\\x{6D4}\\x{60C})]+"
#define LINES "[^\\n]+|[\\n]+"
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

const char hone_gguf_triples[] = "";
#define TRIPLES hone_gguf_triples

static const hone_gguf_pre rows[] = {
    {"default", 0, {"[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
    {"llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
     HONE_PRE_WHOLE_WORDS | HONE_PRE_BOS,
     {LLAMA3("\\p{N}{1,3}")}},
    {"minicpm5", HONE_PRE_WHOLE_WORDS, {"\\p{N}{1,3}", LLAMA3("\\p{N}+")}},
    {"dbrx smaug-bpe chatglm-bpe glm4", 0, {LLAMA3("\\p{N}{1,3}")}},
    {"qwen2 deepseek-r1-qwen kormo f2llmv2 stablelm2 megrez hunyuan solar-open grok-2",
     0,
     {LLAMA3("\\p{N}")}},
    {"qwen35",
     0,
     {CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| "
                   "?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
    {"ufakzeka", 0, {"[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" WORD_REST}},
    {"laguna", 0, {LINES, LLAMA3("\\p{N}")}},
    {"jais-2",
     0,
     {CONTRACTIONS
      "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
      "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{128}(?!\\S)"
      "|\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|"
      "\\s{1}"}},
    {"seed-coder",
     0,
     {CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| "
                   "?[^\\s\\p{L}\\p{N}\\r\\n]+|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},
    {"bailingmoe bailingmoe2 llada-moe",
     0,
     {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| "
      "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"}},
    {"exaone-moe",
     0,
     {CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| "
                   "?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"}},
    {"deepseek-llm",
     0,
     {"[\\r\\n]", "\\s?[" LATIN_GREEK_CYRILLIC "]+",
      "\\s?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3000}-\\x{3002}]+",
      "\\s+\\z", "[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+", "\\p{N}+"}},
    {"deepseek-coder",
     0,
     {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+",
      "[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+", "\\p{N}"}},
    {"deepseek-v3 hunyuan-dense joyai-llm hy_v4",
     0,
     {"\\p{N}{1,3}", CJK_KANA, DEEPSEEK3_WORDS DEEPSEEK3_REST}},
    {"spark2_5",
     0,
     {"\\p{N}{1,3}", CJK_KANA, DEEPSEEK3_WORDS "| ?[\\p{P}\\p{S}]+|[\\r\\n]|\\s+(?!\\S)|\\s+",
      "\\p{N}"}},
    {"afmoe",
     0,
     {TRIPLES,
      "[\\x{4E00}-\\x{9FFF}\\x{3400}-\\x{4DBF}\\x{F900}-\\x{FAFF}\\x{3040}-\\x{30FF}"
      "\\x{FF65}-\\x{FF9F}\\x{2F00}-\\x{2FDF}\\x{E40}-\\x{EFF}\\x{1780}-\\x{17FF}"
      "\\x{1000}-\\x{109F}\\x{AA60}-\\x{AA7F}\\x{A9E0}-\\x{A9FF}\\x{AC00}-\\x{D7AF}"
      "\\x{1100}-\\x{11FF}]+",
      DEEPSEEK3_WORDS DEEPSEEK3_REST}},
    {"youtu",
     HONE_PRE_WHOLE_WORDS,
     {"[\\x{AC00}-\\x{D7A3}\\x{3131}-\\x{318E}]+|[\\x{FF01}\\x{2026}\\x{201C}\\x{201D}\\x{2018}"
      "\\x{2019}\\x{2014}\\x{FF1A}\\x{FF1B}\\x{FF0C}\\x{3001}-\\x{303F}\\x{FE30}-\\x{FE4F}]+|"
      "[\\x{3105}-\\x{312F}]+|" CJK_KANA,
      CASED(UPPER, LOWER, CONTRACTIONS "?", "\\p{N}") SLASHED_REST}},
    {"starcoder refact command-r smollm codeshell exaone minerva-7b mellum2", 0, {"\\p{N}", GPT2}},
    {"gpt-2 gpt2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert "
     "jina-v1-en jina-v2-code roberta-bpe mpt olmo jais trillion granite-docling exaone4 dolly "
     "gpt-neox stablelm",
     0,
     {GPT2}},
    {"falcon", 0, {"[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]"}},
    {"poro-chat bloom gpt3-finnish", 0, {NO_PUNCTUATION}},
    {"viking", 0, {NO_PUNCTUATION, "\\p{N}"}},
    {"tekken",
     HONE_PRE_WHOLE_WORDS | HONE_PRE_BOS,
     {CASED(UPPER, LOWER, "", "\\p{N}") SLASHED_REST}},
    {"gpt-4o llama4 kanana2 talkie minimax-m2", 0, {O200K}},
    {"granite-embed-multi-97m", HONE_PRE_WHOLE_WORDS, {O200K}},
    {"tiny_aya cohere2moe", HONE_PRE_WHOLE_NUMBERS, {TRIPLES, O200K}},
    {"kimi-k2",
     0,
     {"\\p{sc:Han}+|" CASED(NO_HAN(UPPER), NO_HAN(LOWER), CONTRACTIONS "?", "\\p{N}{1,3}")
          WORD_REST}},
    {"superbpe", 0, {TRIPLES}},
    {"chameleon",
     HONE_PRE_BOS,
     {"<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", "([\\t\\n]|    |  )", "\\p{N}",
      "[\\p{P}!-/:-@\\[-`{-~]", GPT2}},
    {"gemma4 granite-embed-multi-311m", HONE_PRE_META | HONE_PRE_BOS, {LINES}},
    {"sarvam-moe", HONE_PRE_META, {LINES}},
};

static bool has_name(const char *names, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = names; n && (p = strstr(p, name)); p += n)
        if ((p == names || p[-1] == ' ') && (p[n] == ' ' || p[n] == 0))
            return true;
    return false;
}

const hone_gguf_pre *hone_gguf_find_pre(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (has_name(rows[i].names, name))
            return &rows[i];
    return NULL;
}

static bool applies(const hone_gguf_pre *row, const char *const *patterns, size_t n)
{
    size_t i = 0;
    for (; i < n && i < HONE_GGUF_PATTERNS_MAX && row->patterns[i]; i++)
        if (strcmp(row->patterns[i], patterns[i]) != 0)
            return false;
    return i == n && (i == HONE_GGUF_PATTERNS_MAX || !row->patterns[i]) &&
           !(row->flags & (HONE_PRE_META | HONE_PRE_WHOLE_NUMBERS));
}

bool hone_gguf_pre_name(const char *const *patterns, size_t n, bool whole_words,
                        char out[HONE_PRE_NAME_MAX])
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (applies(&rows[i], patterns, n) &&
            whole_words == ((rows[i].flags & HONE_PRE_WHOLE_WORDS) != 0)) {
            snprintf(out, HONE_PRE_NAME_MAX, "%.*s", (int)strcspn(rows[i].names, " "),
                     rows[i].names);
            return true;
        }
    return false;
}

const hone_gguf_pre *hone_gguf_pre_row(size_t i)
{
    return i < sizeof rows / sizeof *rows ? &rows[i] : NULL;
}

bool hone_gguf_is_byte_level(const hone_gguf_pre *row)
{
    bool triples = false;
    for (int i = 0; i < HONE_GGUF_PATTERNS_MAX && row->patterns[i]; i++)
        triples |= row->patterns[i] == hone_gguf_triples;
    return !triples && !(row->flags & HONE_PRE_META);
}
