/*
 * parse - the command's table of options against an argument vector. Used by main() only; commands
 * see the getters of cli.h.
 */
#ifndef HONE_CLI_PARSE_H
#define HONE_CLI_PARSE_H

#include "cli/cli.h"

/* An option's value: `set` counts how often it stood on the command line. */
typedef struct cli_value {
    int set;
    const char *text;   /* as given (or the fallback); points into argv or the table */
    double number;      /* CLI_INT, CLI_NUMBER, CLI_PERCENT */
    int64_t whole;      /* CLI_INT, CLI_BYTES */
    int64_t *ints;      /* CLI_INTS; owned */
    const char **texts; /* CLI_TEXTS; owned */
    size_t count;       /* of ints or texts */
} cli_value;

enum { CLI_FOUND_MAX = 32 };

struct cli_context {
    const cli_command *command;
    bool json, help;
    cli_value *values; /* as many as the command has options; owned */
    size_t options;
    const char **operands; /* owned list, texts in argv */
    int operand_count;
    char *found[CLI_FOUND_MAX]; /* paths that names of models were replaced by; owned */
    int found_count;
};

/* Parses argv[0..argc) (what follows the command's name) into *c. Errors: USAGE with a message that
 * names the option and the nearest known one. cli_parse_free(c) in either case. */
HONE_CHECKED hone_status cli_parse(const cli_command *command, int argc, char **argv,
                                   cli_context *c);
void cli_parse_free(cli_context *c);

/* The candidate with the smallest edit distance to `word`, or NULL if none is near. */
const char *cli_nearest(const char *word, const char *const *candidates, size_t count);

#endif
