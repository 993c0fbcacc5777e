/*
 * cli - the command line: one table (commands.def), one file cmd_<name>.c per command.
 *
 * From a command's row come its option parser, `hone help NAME` (and `hone NAME --help`), its man
 * page
 * (`hone --man NAME`) and the shell completion (`hone --completion bash`). To add a command: write
 * cmd_<name>.c, which defines `const cli_command cli_cmd_<name>`, and add COMMAND(<name>) to
 * commands.def; cmd_info.c is the example to follow. Every command has --json and --help by itself.
 *
 * A command prints its result on standard output (cli/table.h, or JSON when cli_json()) and remarks
 * and progress on standard error; it returns a status, from which main() prints "hone: <message>"
 * and takes the exit code (hone_status_exit_code). Nothing in here calls exit().
 *
 * Ownership: texts and lists from the getters belong to the context. Threading: one thread.
 */
#ifndef HONE_CLI_CLI_H
#define HONE_CLI_CLI_H

#include "base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* What an option takes. Its argument is checked while parsing, so that getters cannot fail. */
typedef enum cli_type {
    CLI_FLAG,    /* nothing */
    CLI_TEXT,    /* any text, also paths */
    CLI_CHOICE,  /* one of `choices` ("f32|bf16") */
    CLI_INT,     /* whole number in [min, max] */
    CLI_NUMBER,  /* decimal number in [min, max] */
    CLI_PERCENT, /* "1%", got as the fraction 0.01, in [min, max]; a bare number but 0 is refused */
    CLI_BYTES,   /* "512M", "4G", "1000": bytes (K, M, G, T are powers of 1024) */
    CLI_INTS,    /* "1,2,3": whole numbers, each in [min, max] */
    CLI_TEXTS    /* may be given more than once */
} cli_type;

typedef struct cli_option {
    const char *name; /* "threads" for --threads; NULL ends the list */
    cli_type type;
    const char *argument; /* as help shows it: "N", "FILE"; NULL for a flag */
    const char *fallback; /* used (and parsed) when the option is absent; NULL = none */
    const char *help;     /* one line, no full stop */
    const char *choices;  /* CLI_CHOICE */
    double min, max;      /* numbers; max 0 = no bound on either side but min */
    char letter;          /* 'o' for -o; 0 = none */
    bool required;
    bool model; /* CLI_TEXT: takes what MODEL takes, so also the name of a pulled model */
} cli_option;

typedef struct cli_example {
    const char *command; /* "hone info model.gguf"; NULL ends the list */
    const char *what;    /* "shows what is in a model" */
} cli_example;

typedef struct cli_context cli_context;

typedef struct cli_command {
    const char *name;
    const char *summary;            /* one line, lower case, no full stop */
    const char *description;        /* paragraphs, "\n\n" between them; wrapped by the printer */
    const char *operands;           /* "MODEL", "MODEL [FILE]..."; NULL = none */
    int operands_min, operands_max; /* max -1: any number */
    bool models;                    /* every operand may be a model, not only those called MODEL */
    const cli_option *options;
    const cli_example *examples;
    /* True: ctrl-C, SIGTERM and SIGHUP only set hone_interrupted() (base/interrupt.h), and run()
     * must look at it; the second signal ends the process. False: the first one ends it. */
    bool interruptible;
    hone_status (*run)(cli_context *c);
} cli_command;

/* All commands, in the order of commands.def; *count of them. */
const cli_command *const *cli_commands(size_t *count);

/* Operands (what is not an option): "" beyond the last. */
int cli_operands(const cli_context *c);
const char *cli_operand(const cli_context *c, int i);

/* Getters by option name. Asking for a name that the command has not, or as another type, is a
 * fault of the command (assert). An absent option without fallback gives NULL, 0 or an empty list.
 */
bool cli_json(const cli_context *c);
bool cli_given(const cli_context *c,
               const char *name); /* on the command line, not by its fallback */
bool cli_flag(const cli_context *c, const char *name);
const char *cli_text(const cli_context *c, const char *name); /* CLI_TEXT, CLI_CHOICE */
int64_t cli_int(const cli_context *c, const char *name);
double cli_number(const cli_context *c, const char *name); /* CLI_NUMBER, CLI_PERCENT (1% = 0.01) */
uint64_t cli_bytes(const cli_context *c, const char *name);
const int64_t *cli_ints(const cli_context *c, const char *name, size_t *count);
const char *const *cli_texts(const cli_context *c, const char *name, size_t *count);

/* Prints the value as JSON with a newline and frees it (the reference is taken, success or not).
 * NULL is reported as out of memory, so that a failed json_pack may be passed straight in. */
HONE_CHECKED hone_status cli_print_json(json_t *value);

/* Puts n bytes and a 0 at the end of *text (hone_free), of *bytes without it in *room. */
HONE_CHECKED hone_status cli_append(char **text, size_t *bytes, size_t *room, const char *more,
                                    size_t n);

/* "1.5 GiB", "312 B"; "1.25 ms", "3.1 s" into buf (16 bytes are enough); returns buf. */
const char *cli_format_bytes(double bytes, char *buf, size_t size);
const char *cli_format_seconds(double seconds, char *buf, size_t size);

/* One line of progress on standard error, rewritten in place; nothing unless it is a terminal.
 * fraction in [0, 1], or negative when unknown. cli_progress_end clears the line. */
void cli_progress(double fraction, const char *fmt, ...) HONE_PRINTF(2, 3);
void cli_progress_end(void);

#endif
