/*
 * texts - the texts that a command works on: given on the command line, or the lines of a file or
 * of standard input, plain, with a tab between two texts, or JSON.
 *
 * Ownership: the list owns all its texts. Threading: one thread.
 */
#ifndef HONE_CLI_TEXTS_H
#define HONE_CLI_TEXTS_H

#include "cli/cli.h"

#define CLI_TEXTS_OPTIONS                                                                          \
    {.name = "text",                                                                               \
     .type = CLI_TEXTS,                                                                            \
     .argument = "TEXT",                                                                           \
     .help = "a text, instead of those in a file"},                                                \
    {                                                                                              \
        .name = "jsonl", .type = CLI_FLAG,                                                         \
        .help = "each line is a JSON object with \"text\" (and \"text_pair\")"                     \
    }

typedef struct cli_item {
    const char *text, *pair; /* pair NULL = one text; not terminated */
    size_t n, n_pair;
    size_t line; /* from 1; of --text its number */
} cli_item;

typedef struct cli_text_list {
    cli_item *items;
    size_t n, capacity;
    char *buffer;
} cli_text_list;

/* The texts of --text, or of the lines of `path` ("" and "-": standard input). pairs: a line is two
 * texts with a tab between them. Errors: DATA (no text at all; a line that is not as said: names
 * it), LIMIT, those of reading. */
HONE_CHECKED hone_status cli_read_texts(const cli_context *c, const char *path, bool pairs,
                                        cli_text_list *out);
void cli_text_list_free(cli_text_list *list);

#endif
