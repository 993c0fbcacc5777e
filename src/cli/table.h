/*
 * table - aligned columns for people.
 *
 *     cli_table *t;
 *     HONE_TRY(cli_table_open("tensor,>shape,>size", &t));  // '>' = right-aligned
 *     cli_table_cell(t, "%s", name);                        // cells fill rows from left to right
 *     ...
 *     return cli_table_print(t, stdout);                    // prints and frees
 *
 * A failed allocation inside cli_table_cell is remembered and returned by cli_table_print.
 * Widths count code points, not bytes. Threading: one thread.
 */
#ifndef HONE_CLI_TABLE_H
#define HONE_CLI_TABLE_H

#include "base/status.h"

#include <stdio.h>

typedef struct cli_table cli_table;

/* heads: column titles separated by commas; a title may begin with '>'. All empty = no title line.
 */
HONE_CHECKED hone_status cli_table_open(const char *heads, cli_table **out);
void cli_table_cell(cli_table *t, const char *fmt, ...) HONE_PRINTF(2, 3);
/* Fills the rest of the row with empty cells (nothing if the row is complete). */
void cli_table_end_row(cli_table *t);
HONE_CHECKED hone_status cli_table_print(cli_table *t, FILE *f); /* frees t */
void cli_table_close(cli_table *t); /* frees without printing; NULL is fine */

#endif
