/*
 * read_text - text that a user gives: a file, standard input or the command line, and well-formed
 * UTF-8. Tokenizers put U+FFFD where a byte is no text; of a user's file that would be a silent
 * change of the data, so the commands refuse it.
 *
 * Threading: one thread.
 */
#ifndef HONE_CLI_READ_TEXT_H
#define HONE_CLI_READ_TEXT_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* DATA, with line and offset of the first byte that is no UTF-8 and how many such places there are.
 * Of a text that ends within a character (as one does that `head -c` cut) *n leaves those bytes
 * out, and standard error says so. name: what the text is, in the message. */
HONE_CHECKED hone_status cli_check_text(const char *name, const char *text, size_t *n);

/* hone_read_file ("-": standard input), then cli_check_text. */
HONE_CHECKED hone_status cli_read_text(const char *path, size_t bytes_max, char **text, size_t *n);

/* The token ids of a text that ends with 0, apart from each other by white space or commas; JSON
 * brackets are skipped. *ids: hone_free. DATA for anything else, with `name` and its line. */
HONE_CHECKED hone_status cli_parse_ids(const char *name, const char *text, size_t bytes,
                                       int32_t **ids, size_t *n);

#endif
