/*
 * line_reader - lines that a person types, with editing and a history that lasts (libedit), or
 * lines of a pipe.
 *
 * Threading: one thread; one reader at a time.
 */
#ifndef HONE_CLI_LINE_READER_H
#define HONE_CLI_LINE_READER_H

#include "base/status.h"

#include <stdbool.h>

typedef struct cli_lines cli_lines;

/* `prompt` is shown before a line if standard input and output are a terminal. `history`: the file
 * to keep lines in, or NULL. */
HONE_CHECKED hone_status cli_lines_open(const char *prompt, const char *history, cli_lines **out);
/* Writes the history. NULL is fine. */
void cli_lines_close(cli_lines *l);
bool cli_lines_interactive(const cli_lines *l);

/* The next line, of n bytes, without its newline; NULL at the end of the input, valid until the
 * next call. A line that ends in a backslash goes on in the next one. ctrl-C while typing gives an
 * empty line (interactive) or INTERRUPTED (a pipe). */
HONE_CHECKED hone_status cli_lines_next(cli_lines *l, const char **line, size_t *n);

#endif
