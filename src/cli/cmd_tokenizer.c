/* tokenizer - makes tokenizers: `hone tokenizer train`. */
#include "cli/cli.h"
#include "cli/document_args.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/threads.h"
#include "report/report.h"
#include "text/bpe_train.h"
#include "text/jinja.h"

#include <string.h>
#include <unistd.h>

static const char *const default_specials[] = {HONE_DOCUMENTS_SEPARATOR};

typedef struct specials {
    const char *const *of;
    size_t n;
} specials;

static specials given_specials(const cli_context *c)
{
    specials s;
    s.of = cli_texts(c, "special", &s.n);
    return s.n ? s : (specials){default_specials, 1};
}

static void on_documents(void *arg, const hone_documents *d)
{
    (void)arg;
    cli_document_progress(d, "counting words");
}

static void on_merges(void *arg, double done)
{
    (void)arg;
    cli_progress(done, "merging");
}

/* ---- files ---- */

static hone_status write_json(const char *path, json_t *value)
{
    char *text = value ? json_dumps(value, JSON_INDENT(1)) : NULL;
    json_decref(value);
    if (!text)
        return hone_fail_memory(1 << 20, path);
    hone_status s = hone_write_file(path, text, strlen(text));
    hone_free(text);
    return s;
}

static hone_status write_member(const char *folder, const char *name, json_t *value)
{
    char *path = hone_path_join(folder, name);
    if (!path) {
        json_decref(value);
        return hone_fail_memory(strlen(folder), "a path");
    }
    hone_status s = write_json(path, value);
    hone_free(path);
    return s;
}

/* tokenizer_config.json: the first special token ends a text; the chat template if one is given. */
static hone_status make_config(const cli_context *c, json_t **out)
{
    const char *file = cli_text(c, "template");
    char *template = NULL;
    size_t n;
    if (file)
        HONE_TRY(hone_read_file(file, JINJA_SOURCE_MAX, &template, &n));
    json_t *o = json_pack("{s:s, s:s, s:s, s:b}", "tokenizer_class", "PreTrainedTokenizerFast",
                          "eos_token", given_specials(c).of[0], "pad_token",
                          given_specials(c).of[0], "clean_up_tokenization_spaces", 0);
    bool ok =
        o && (!template || json_object_set_new(o, "chat_template", json_stringn(template, n)) == 0);
    hone_free(template);
    *out = o;
    if (ok)
        return HONE_OK;
    json_decref(o);
    return hone_fail(HONE_DATA, "%s is no UTF-8 text", file ? file : "the special token");
}

/* A folder that was made for what could not be written */
static void take_back(const char *folder)
{
    char *path = hone_path_join(folder, "tokenizer.json");
    if (path)
        (void)unlink(path);
    hone_free(path);
    (void)rmdir(folder);
}

static hone_status write_output(const cli_context *c, const hone_bpe *b)
{
    const char *output = cli_text(c, "output");
    json_t *tokenizer, *config;
    const bool made = !hone_is_directory(output);
    HONE_TRY(hone_bpe_to_json(b, &tokenizer));
    if (hone_ends_with(output, ".json"))
        return write_json(output, tokenizer);
    hone_status s = make_config(c, &config);
    if (s == HONE_OK)
        s = hone_make_directory(output);
    if (s != HONE_OK) {
        json_decref(tokenizer);
        return s;
    }
    s = write_member(output, "tokenizer.json", tokenizer);
    if (s == HONE_OK)
        s = write_member(output, "tokenizer_config.json", config);
    else
        json_decref(config);
    if (s != HONE_OK && made)
        take_back(output);
    return s;
}

static hone_status print_report(const cli_context *c, const hone_bpe *b, const cli_broken *broken)
{
    const hone_bpe_stats *s = hone_bpe_get_stats(b);
    char bytes[16], memory[16];
    if (s->vocab < cli_int(c, "vocab"))
        fprintf(stderr,
                "note: %u tokens, not %lld: no pair of neighbours that is left is there %lld times "
                "(--min-frequency); give more text for more tokens\n",
                s->vocab, (long long)cli_int(c, "vocab"), (long long)cli_int(c, "min-frequency"));
    if (cli_json(c))
        return cli_print_json(json_pack(
            "{s:o, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "output",
            hone_report_text(cli_text(c, "output")), "vocab", (int)s->vocab, "merges",
            (int)s->merges, "documents", (json_int_t)s->documents, "bytes", (json_int_t)s->bytes,
            "words", (json_int_t)s->words, "distinct_words", (json_int_t)s->distinct, "tokens",
            (json_int_t)s->tokens, "last_count", (json_int_t)s->last_count, "memory_bytes",
            (json_int_t)s->memory_bytes, "broken", (json_int_t)broken->count));
    printf("%s: %u tokens, %u merges (the last pair was there %llu times)\n", cli_text(c, "output"),
           s->vocab, s->merges, (unsigned long long)s->last_count);
    printf("from %llu documents, %s: %llu words, %llu different; %.2f bytes a token; memory %s\n",
           (unsigned long long)s->documents,
           cli_format_bytes((double)s->bytes, bytes, sizeof bytes), (unsigned long long)s->words,
           (unsigned long long)s->distinct, (double)s->bytes / (double)s->tokens,
           cli_format_bytes((double)s->memory_bytes, memory, sizeof memory));
    if (broken->count)
        printf("%llu broken documents were left out\n", (unsigned long long)broken->count);
    return HONE_OK;
}

static hone_status train(cli_context *c, hone_bpe *b)
{
    hone_documents *documents = NULL;
    const char **paths = NULL;
    cli_broken broken = {0};
    hone_status s = cli_open_documents(c, &broken, &paths, &documents);
    if (s == HONE_OK)
        s = hone_bpe_count(b, documents, on_documents, NULL);
    cli_progress_end();
    if (s == HONE_OK)
        s = hone_bpe_merge(b, on_merges, NULL);
    cli_progress_end();
    if (s == HONE_OK)
        s = write_output(c, b);
    if (s == HONE_OK)
        s = print_report(c, b, &broken);
    hone_documents_close(documents);
    hone_free((void *)paths);
    return s;
}

static hone_status run(cli_context *c)
{
    hone_bpe *b;
    if (strcmp(cli_operand(c, 0), "train") != 0)
        return hone_fail(HONE_USAGE, "\"%s\": hone tokenizer can only train", cli_operand(c, 0));
    if (cli_text(c, "template") && hone_ends_with(cli_text(c, "output"), ".json"))
        return hone_fail(HONE_USAGE, "a chat template goes into a folder: -o without .json");
    if (hone_ends_with(cli_text(c, "output"), ".json"))
        HONE_TRY(hone_check_output(cli_text(c, "output")));
    specials special = given_specials(c);
    hone_bpe_options options = {.vocab = (uint32_t)cli_int(c, "vocab"),
                                .frequency_min = (uint64_t)cli_int(c, "min-frequency"),
                                .token_bytes_max = (uint32_t)cli_int(c, "max-token-bytes"),
                                .pre = cli_text(c, "pre"),
                                .specials = special.of,
                                .n_specials = special.n,
                                .memory_max = cli_bytes(c, "memory"),
                                .threads = (int)cli_int(c, "threads")};
    HONE_TRY(hone_bpe_open(&options, &b));
    hone_status s = train(c, b);
    hone_bpe_close(b);
    return s;
}

static const cli_option options[] = {
    {.name = "vocab",
     .type = CLI_INT,
     .argument = "N",
     .required = true,
     .min = 1,
     .max = 1 << 22,
     .help = "tokens in all: 256 bytes, special tokens, merges"},
    {.name = "output",
     .letter = 'o',
     .type = CLI_TEXT,
     .argument = "FILE",
     .required = true,
     .help = "tokenizer.json, or a folder that gets it and tokenizer_config.json"},
    {.name = "type",
     .type = CLI_CHOICE,
     .argument = "TYPE",
     .choices = "bpe",
     .fallback = "bpe",
     .help = "byte-level BPE"},
    {.name = "pre",
     .type = CLI_TEXT,
     .argument = "NAME",
     .fallback = "gpt-2",
     .help = "how text is cut into words: a family's name in GGUF files (llama-bpe, qwen2, "
             "gpt-4o...)"},
    {.name = "special",
     .type = CLI_TEXTS,
     .argument = "TOKEN",
     .help = "a special token, more than once for more; ids from 0, the first one ends a text "
             "(default: " HONE_DOCUMENTS_SEPARATOR ")"},
    {.name = "template",
     .type = CLI_TEXT,
     .argument = "FILE",
     .help = "chat template for the folder's tokenizer_config.json"},
    {.name = "min-frequency",
     .type = CLI_INT,
     .argument = "N",
     .fallback = "2",
     .min = 0,
     .max = 1e15,
     .help = "pairs that are rarer are not merged"},
    {.name = "max-token-bytes",
     .type = CLI_INT,
     .argument = "N",
     .min = 2,
     .max = 65536,
     .help = "no merged token is longer (default: no bound)"},
    {.name = "memory",
     .type = CLI_BYTES,
     .argument = "BYTES",
     .help = "the most that words and pairs may take (default: no bound)"},
    {.name = "threads",
     .type = CLI_INT,
     .argument = "N",
     .min = 1,
     .max = HONE_THREADS_MAX,
     .help = "threads that count words (default: the CPUs allowed)"},
    CLI_DOCUMENT_OPTIONS,
    {0},
};

static const cli_example examples[] = {
    {"hone tokenizer train --vocab 4096 books.txt -o tokenizer.json",
     "documents are separated by <|endoftext|>"},
    {"hone tokenizer train --vocab 32000 --pre llama-bpe a.jsonl b.jsonl -o model/",
     "words as Llama 3 cuts them, from the \"text\" of each line"},
    {"hone tokenizer train --vocab 8192 --special '<|endoftext|>' --special '<|user|>' "
     "--special '<|assistant|>' --template chat.jinja t.txt -o model/",
     "with tokens for the sides of a chat"},
    {0},
};

const cli_command cli_cmd_tokenizer = {
    .name = "tokenizer",
    .summary = "train a tokenizer (byte-level BPE) on text",
    .description =
        "Learns a vocabulary from text (UTF-8) and JSON Lines (*.jsonl: {\"text\": ...} a line). "
        "The result is the one that the `tokenizers` package learns from the same documents, "
        "merge by merge, on any number of threads, and both load it; a model's folder takes it as "
        "it is, and hone quantize takes it into GGUF."
        "\n\n"
        "A larger vocabulary makes texts shorter and the embedding larger: for a model of a few "
        "million parameters 4096 to 8192 tokens are usual.",
    .operands = "train FILE...",
    .operands_min = 2,
    .operands_max = -1,
    .options = options,
    .examples = examples,
    .interruptible = true,
    .run = run,
};
