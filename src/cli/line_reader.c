#include "cli/line_reader.h"

#include "base/interrupt.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "cli/cli.h"

#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HISTORY_LINES = 1000, LINE_BYTES_MAX = 16 << 20 };

struct cli_lines {
    const char *prompt;
    char *history_path;
    EditLine *edit; /* NULL: a pipe */
    History *history;
    bool continued; /* the prompt of a line that goes on */
    char *line;     /* what was read so far, [room] */
    size_t n, room;
    char *piece; /* getline's buffer */
    size_t piece_room;
};

static char *show_prompt(EditLine *edit)
{
    static char more[] = ". ";
    cli_lines *l;
    el_get(edit, EL_CLIENTDATA, &l);
    return l->continued ? more : (char *)(uintptr_t)l->prompt;
}

/* A character, which may be several bytes; ctrl-C ends the line. */
static int read_character(EditLine *edit, wchar_t *out)
{
    char bytes[4];
    size_t n = 0, length;
    (void)edit;
    for (;;) {
        ssize_t got = read(STDIN_FILENO, bytes + n, 1);
        if (got < 0 && errno == EINTR && !hone_interrupted())
            continue; /* the window's size */
        if (got <= 0)
            return (int)got;
        hone_utf8_kind kind = hone_utf8_next(bytes, ++n, &length);
        if (kind == HONE_UTF8_INCOMPLETE)
            continue;
        *out = kind == HONE_UTF8_VALID ? (wchar_t)hone_utf8_code(bytes) : 0xFFFD;
        return 1;
    }
}

static hone_status open_editor(cli_lines *l)
{
    HistEvent event;
    setlocale(LC_CTYPE, "");
    l->edit = el_init("hone", stdin, stdout, stderr);
    l->history = history_init();
    if (!l->edit || !l->history)
        return hone_fail(HONE_MEMORY, "out of memory for the line editor");
    el_set(l->edit, EL_CLIENTDATA, l);
    el_set(l->edit, EL_PROMPT, show_prompt);
    el_set(l->edit, EL_EDITOR, "emacs");
    el_set(l->edit, EL_GETCFN, read_character);
    el_set(l->edit, EL_HIST, history, l->history);
    history(l->history, &event, H_SETSIZE, HISTORY_LINES);
    history(l->history, &event, H_SETUNIQUE, 1);
    if (l->history_path)
        history(l->history, &event, H_LOAD, l->history_path); /* there may be none yet */
    el_source(l->edit, NULL);
    return HONE_OK;
}

hone_status cli_lines_open(const char *prompt, const char *history_path, cli_lines **out)
{
    cli_lines *l = *out = hone_calloc(1, sizeof *l);
    if (!l)
        return hone_fail_memory(sizeof *l, "a reader of lines");
    l->prompt = prompt;
    if (history_path)
        l->history_path = hone_strdup(history_path);
    hone_status s = HONE_OK;
    if (history_path && !l->history_path)
        s = hone_fail_memory(strlen(history_path), "a path");
    if (s == HONE_OK && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
        s = open_editor(l);
    if (s == HONE_OK)
        return s;
    cli_lines_close(l);
    *out = NULL;
    return s;
}

void cli_lines_close(cli_lines *l)
{
    HistEvent event;
    if (!l)
        return;
    if (l->history && l->history_path)
        history(l->history, &event, H_SAVE, l->history_path);
    if (l->history)
        history_end(l->history);
    if (l->edit)
        el_end(l->edit);
    hone_free(l->history_path);
    hone_free(l->line);
    free(l->piece);
    hone_free(l);
}

bool cli_lines_interactive(const cli_lines *l)
{
    return l->edit != NULL;
}

static hone_status add_piece(cli_lines *l, const char *text, size_t n)
{
    if (l->n + n > LINE_BYTES_MAX)
        return hone_fail(HONE_LIMIT, "a line of more than %d bytes", LINE_BYTES_MAX);
    return cli_append(&l->line, &l->n, &l->room, text, n);
}

/* A line with its newline, or NULL; *n its bytes. */
static const char *read_piece(cli_lines *l, size_t *n)
{
    if (l->edit) {
        int count = 0;
        const char *text = el_gets(l->edit, &count);
        *n = count > 0 ? (size_t)count : 0;
        return count > 0 ? text : NULL;
    }
    ssize_t got = getline(&l->piece, &l->piece_room, stdin);
    *n = got > 0 ? (size_t)got : 0;
    return got > 0 ? l->piece : NULL;
}

hone_status cli_lines_next(cli_lines *l, const char **line, size_t *bytes)
{
    HistEvent event;
    *line = NULL;
    *bytes = l->n = 0;
    l->continued = false;
    HONE_TRY(add_piece(l, "", 0));
    for (;; l->continued = true) {
        size_t n;
        const char *piece = read_piece(l, &n);
        if (hone_interrupted()) {
            if (!l->edit)
                return hone_interrupt_check();
            HONE_TRY(hone_interrupt_clear());
            putchar('\n');
            *line = "";
            return HONE_OK;
        }
        if (!piece)
            break;
        while (n && (piece[n - 1] == '\n' || piece[n - 1] == '\r'))
            n--;
        bool more = n && piece[n - 1] == '\\';
        HONE_TRY(add_piece(l, piece, n - more));
        if (!more) {
            *line = l->line;
            break;
        }
        HONE_TRY(add_piece(l, "\n", 1));
    }
    if (!*line && l->n)
        *line = l->line;
    *bytes = l->n;
    if (*line && l->edit && l->n)
        history(l->history, &event, H_ENTER, l->line);
    return HONE_OK;
}
