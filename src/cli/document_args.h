/*
 * document_args - the options of commands that read documents (text/documents.h), and the remarks
 * on broken ones.
 *
 * Threading: one thread.
 */
#ifndef HONE_CLI_DOCUMENT_ARGS_H
#define HONE_CLI_DOCUMENT_ARGS_H

#include "cli/cli.h"
#include "text/documents.h"

#define CLI_DOCUMENT_OPTIONS                                                                       \
    {.name = "separator",                                                                          \
     .type = CLI_TEXT,                                                                             \
     .argument = "TEXT",                                                                           \
     .fallback = HONE_DOCUMENTS_SEPARATOR,                                                         \
     .help = "what stands between the documents of a text file (\"\": nothing, a file is one)"},   \
        {.name = "field",                                                                          \
         .type = CLI_TEXT,                                                                         \
         .argument = "NAME",                                                                       \
         .fallback = "text",                                                                       \
         .help = "the member that holds the text of a line of JSON"},                              \
    {                                                                                              \
        .name = "skip-broken", .type = CLI_FLAG,                                                   \
        .help = "leave out documents that cannot be read, and say how many (else the first ends "  \
                "the command)"                                                                     \
    }

/* Counts what was skipped; the first few are printed on standard error. */
typedef struct cli_broken {
    uint64_t count;
} cli_broken;
void cli_on_broken(void *broken, const char *message);

/* Opens the operands behind the first. *paths (hone_free) must stay as long as the documents. */
HONE_CHECKED hone_status cli_open_documents(const cli_context *c, cli_broken *broken,
                                            const char ***paths, hone_documents **out);

/* Progress over the bytes read, on a terminal. */
void cli_document_progress(const hone_documents *d, const char *what);

#endif
