/*
 * tiktoken files: a line per token, its bytes in base64 and its rank, which is its id. Two
 * neighbours become one when their bytes together are a token, the one of least rank first. What
 * the file does not hold, the expression and the special tokens, follows from the number of its
 * ranks: a row for each published file (openai_public.py of tiktoken, and the models' own code).
 */
#include "text/tokenizer_internal.h"

#include <sodium.h>

enum { SPECIALS_MAX = 16 };

typedef struct special {
    const char *name;
    int32_t id;
} special;

typedef struct file_row {
    const char *name;
    size_t ranks;
    const char *expression;
    bool nfc;
    int32_t bos; /* put before a text; -1: none */
    special specials[SPECIALS_MAX];
} file_row;

#define GPT2                                                                                       \
    "'(?:[sdmt]|ll|ve|re)| ?\\p{L}++| ?\\p{N}++| ?[^\\s\\p{L}\\p{N}]++|\\s++$|\\s+(?!\\S)|\\s"
#define CL100K                                                                                     \
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| "                         \
    "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++\\z|\\s*[\\r\\n]|\\s+(?!\\S)|\\s"
#define LLAMA3(digits)                                                                             \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                           \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPER  "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER  "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define ENDING "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
#define O200K                                                                                      \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" ENDING "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER  \
    "*" ENDING "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const file_row rows[] = {
    {"r50k_base", 50256, GPT2, false, -1, {{"<|endoftext|>", 50256}}},
    {"p50k_base", 50280, GPT2, false, -1, {{"<|endoftext|>", 50256}}},
    {"cl100k_base",
     100256,
     CL100K,
     false,
     -1,
     {{"<|endoftext|>", 100257},
      {"<|fim_prefix|>", 100258},
      {"<|fim_middle|>", 100259},
      {"<|fim_suffix|>", 100260},
      {"<|endofprompt|>", 100276}}},
    {"o200k_base and o200k_harmony",
     199998,
     O200K,
     false,
     -1,
     {{"<|startoftext|>", 199998},
      {"<|endoftext|>", 199999},
      {"<|return|>", 200002},
      {"<|constrain|>", 200003},
      {"<|channel|>", 200005},
      {"<|start|>", 200006},
      {"<|end|>", 200007},
      {"<|message|>", 200008},
      {"<|call|>", 200012},
      {"<|endofprompt|>", 200018}}},
    {"Llama 3",
     128000,
     LLAMA3("\\p{N}{1,3}"),
     false,
     128000,
     {{"<|begin_of_text|>", 128000},
      {"<|end_of_text|>", 128001},
      {"<|finetune_right_pad_id|>", 128004},
      {"<|start_header_id|>", 128006},
      {"<|end_header_id|>", 128007},
      {"<|eom_id|>", 128008},
      {"<|eot_id|>", 128009},
      {"<|python_tag|>", 128010}}},
    {"Qwen",
     151643,
     LLAMA3("\\p{N}"),
     true,
     -1,
     {{"<|endoftext|>", 151643}, {"<|im_start|>", 151644}, {"<|im_end|>", 151645}}},
};

bool hone_base64_decode(const char *s, size_t n, char *out, size_t *bytes)
{
    return sodium_base642bin((unsigned char *)out, n / 4 * 3 + 3, s, n, NULL, bytes, NULL,
                             sodium_base64_VARIANT_ORIGINAL) == 0;
}

/* One line: base64, a blank, digits. False if it is none. */
static bool read_line(const char *s, size_t n, char *out, size_t *bytes, int64_t *rank)
{
    const char *blank = memchr(s, ' ', n);
    size_t left = blank ? (size_t)(blank - s) : 0, i = left + 1;
    if (left == 0 || left > HONE_PIECE_MAX || i == n || n - i > 9 ||
        !hone_base64_decode(s, left, out, bytes) || *bytes == 0)
        return false;
    for (*rank = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        *rank = *rank * 10 + (s[i] - '0');
    }
    return true;
}

/* The line at s without its end; *next is where the following one starts. */
static size_t line_bytes(const char *s, size_t n, size_t *next)
{
    const char *nl = memchr(s, '\n', n);
    size_t len = nl ? (size_t)(nl - s) : n;
    *next = nl ? len + 1 : n;
    return len && s[len - 1] == '\r' ? len - 1 : len;
}

bool hone_is_tiktoken(const char *text, size_t n)
{
    char out[128];
    size_t next = 0, bytes, len = n ? line_bytes(text, n, &next) : 0;
    int64_t rank;
    return len > 0 && len < 128 && read_line(text, len, out, &bytes, &rank);
}

static hone_status read_ranks(hone_tokenizer *t, const char *text, size_t n, char *work,
                              size_t *count)
{
    size_t line = 0, next;
    for (size_t i = 0; i < n; i += next) {
        size_t len = line_bytes(text + i, n - i, &next), bytes;
        int64_t rank;
        line++;
        if (len == 0)
            continue;
        if (!read_line(text + i, len, work, &bytes, &rank))
            return hone_fail(HONE_FORMAT, "line %zu is not base64, a blank and a rank", line);
        HONE_TRY(hone_vocab_set(t, rank, work, bytes, HONE_TOKEN_NORMAL, HONE_TOKEN_IS_MODEL));
        if ((size_t)t->n_tokens > 16 * line + 65536)
            return hone_fail(HONE_FORMAT, "line %zu has rank %lld", line, (long long)rank);
        (*count)++;
    }
    HONE_TRY(HONE_GROW(t->scores, t->score_capacity, (size_t)t->n_tokens));
    for (int32_t i = 0; i < t->n_tokens; i++)
        t->scores[i] = -i;
    return HONE_OK;
}

static hone_status add_specials(hone_tokenizer *t, const file_row *row)
{
    for (int i = 0; i < SPECIALS_MAX && row->specials[i].name; i++) {
        const special *s = &row->specials[i];
        size_t n = strlen(s->name);
        hone_added a = {.id = s->id, .special = true};
        HONE_TRY(hone_vocab_set(t, s->id, s->name, n, HONE_TOKEN_CONTROL, HONE_TOKEN_IS_SPECIAL));
        HONE_TRY(hone_added_add(t, s->name, n, &a));
    }
    t->bos = row->bos;
    if (t->bos >= 0)
        t->prefix[t->n_prefix++] = t->bos;
    return HONE_OK;
}

static hone_status find_row(size_t ranks, const file_row **out)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].ranks == ranks) {
            *out = &rows[i];
            return HONE_OK;
        }
    return hone_fail(HONE_UNSUPPORTED,
                     "a tiktoken file of %zu ranks: hone knows the expressions of r50k_base, "
                     "p50k_base, cl100k_base, o200k_base, Llama 3 and Qwen (convert it to a "
                     "tokenizer.json)",
                     ranks);
}

hone_status hone_load_tiktoken(hone_tokenizer *t, const char *text, size_t n)
{
    char *work = hone_malloc(HONE_PIECE_MAX + 8);
    if (!work)
        return hone_fail_memory(HONE_PIECE_MAX, "a token");
    size_t count = 0;
    hone_status s = read_ranks(t, text, n, work, &count);
    hone_free(work);
    HONE_TRY(s);
    const file_row *row;
    HONE_TRY(find_row(count, &row));
    t->byte_level = t->plain_bytes = t->ignore_merges = true;
    if (row->nfc)
        HONE_TRY(hone_steps_add(&t->norms, (hone_step){.kind = HONE_STEP_NFC}));
    HONE_TRY(hone_split_add_expression(t, row->expression));
    HONE_TRY(add_specials(t, row));
    HONE_TRY(HONE_GROW(t->scores, t->score_capacity, (size_t)t->n_tokens));
    for (int32_t i = (int32_t)count; i < t->n_tokens; i++)
        t->scores[i] = -i;
    HONE_TRY(hone_vocab_index(t));
    return hone_merges_from_scores(t);
}
