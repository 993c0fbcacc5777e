/* tokenize - text on standard input to token ids. */
#include "cli/cli.h"
#include "cli/read_text.h"
#include "cli/table.h"

#include "base/io.h"
#include "base/mem.h"
#include "text/tokenizer.h"

#include <string.h>

enum { INPUT_BYTES_MAX = 1 << 30 };

/* A piece as one printable word: control characters as \xNN. */
static const char *printable(const char *text, size_t bytes, char *buf, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < bytes && used + 5 < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 32 || c == 127)
            used += (size_t)snprintf(buf + used, size - used, "\\x%02X", c);
        else
            buf[used++] = (char)c;
    }
    buf[used] = 0;
    return buf;
}

static hone_status print_ids(const cli_context *c, const hone_tokenizer *t, const int32_t *ids,
                             size_t n)
{
    if (cli_json(c)) {
        json_t *list = json_array();
        for (size_t i = 0; i < n; i++)
            json_array_append_new(list, json_integer(ids[i]));
        return cli_print_json(json_pack("{s:o}", "ids", list));
    }
    if (!cli_flag(c, "pieces")) {
        for (size_t i = 0; i < n; i++)
            printf("%s%d", i ? " " : "", ids[i]);
        putchar('\n');
        return HONE_OK;
    }
    cli_table *table;
    HONE_TRY(cli_table_open(">position,>id,piece", &table));
    for (size_t i = 0; i < n; i++) {
        char text[256];
        size_t bytes;
        const char *piece = hone_tokenizer_piece(t, ids[i], &bytes);
        cli_table_cell(table, "%zu", i);
        cli_table_cell(table, "%d", ids[i]);
        cli_table_cell(table, "%s", printable(piece, bytes, text, sizeof text));
    }
    return cli_table_print(table, stdout);
}

static hone_status decode(const cli_context *c, const hone_tokenizer *t, const char *text,
                          size_t bytes)
{
    int32_t *ids = NULL;
    char *out = NULL;
    size_t n, m;
    hone_status s;
    unsigned flags = cli_flag(c, "parse-special") ? 0 : HONE_DECODE_SKIP_SPECIAL;
    HONE_GOTO(s, done, cli_parse_ids("standard input", text, bytes, &ids, &n));
    HONE_GOTO(s, done, hone_tokenizer_decode(t, ids, n, flags, &out, &m));
    if (cli_json(c)) {
        json_t *words = json_stringn(out, m); /* NULL: ids that are no whole characters */
        s = words
                ? cli_print_json(json_pack("{s:o}", "text", words))
                : hone_fail(HONE_DATA, "the text of these ids is no UTF-8, which JSON cannot hold");
    } else {
        fwrite(out, 1, m, stdout);
    }
done:
    hone_free(ids);
    hone_free(out);
    return s;
}

static hone_status run(cli_context *c)
{
    hone_tokenizer *t;
    char *text = NULL;
    int32_t *ids = NULL;
    size_t bytes, n;
    unsigned flags = 0;
    if (!cli_flag(c, "no-special"))
        flags |= HONE_ENCODE_ADD_SPECIAL;
    if (cli_flag(c, "parse-special"))
        flags |= HONE_ENCODE_PARSE_SPECIAL;
    if (cli_flag(c, "decode") && (cli_flag(c, "pieces") || cli_flag(c, "no-special")))
        return hone_fail(HONE_USAGE, "--pieces and --no-special are of the way to ids, --decode is "
                                     "the other one");
    if (cli_flag(c, "pieces") && cli_json(c))
        return hone_fail(HONE_USAGE, "--pieces is a table for the eye: a piece may be no UTF-8, "
                                     "which JSON cannot hold; leave out one of them");
    HONE_TRY(hone_tokenizer_open(cli_operand(c, 0), &t));
    hone_status s;
    HONE_GOTO(s, done, hone_read_file("-", INPUT_BYTES_MAX, &text, &bytes));
    if (cli_flag(c, "decode")) {
        s = decode(c, t, text, bytes);
        goto done;
    }
    HONE_GOTO(s, done, cli_check_text("standard input", text, &bytes));
    HONE_GOTO(s, done, hone_tokenizer_encode(t, text, bytes, flags, &ids, &n));
    s = print_ids(c, t, ids, n);
done:
    hone_free(ids);
    hone_free(text);
    hone_tokenizer_close(t);
    return s;
}

static const cli_option options[] = {
    {.name = "no-special",
     .type = CLI_FLAG,
     .help = "leave out what the tokenizer puts around a text (BOS, EOS)"},
    {.name = "parse-special",
     .type = CLI_FLAG,
     .help = "special tokens written out in the text become their ids (else they are plain text)"},
    {.name = "pieces",
     .type = CLI_FLAG,
     .help = "a line per token, with its text in the vocabulary"},
    {.name = "decode",
     .type = CLI_FLAG,
     .help = "the other way: ids on standard input become text, special ones only with "
             "--parse-special"},
    {0},
};

static const cli_example examples[] = {
    {"echo -n 'Once upon a time' | hone tokenize model.gguf", "the ids, on one line"},
    {"hone tokenize --json llama/ <book.txt", "{\"ids\": [...]} with the tokenizer of a folder"},
    {"echo -n '<s>hello' | hone tokenize --parse-special --pieces tokenizer.json",
     "a special token in the text, and the piece of each id"},
    {"echo 9906 4435 | hone tokenize --decode cl100k_base.tiktoken", "the text of ids"},
    {0},
};

const cli_command cli_cmd_tokenize = {
    .name = "tokenize",
    .summary = "turn text on standard input into token ids",
    .description =
        "MODEL may also be a tokenizer's own file (tokenizer.json, a SentencePiece .model, a "
        ".tiktoken file, RWKV's vocabulary). The text is every byte of "
        "standard input, a last newline included.",
    .operands = "MODEL",
    .operands_min = 1,
    .operands_max = 1,
    .options = options,
    .examples = examples,
    .run = run,
};
