#include "cli/cli.h"
#include "cli/table.h"

#include "base/mem.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

enum { COLUMNS_MAX = 24, CELL_BYTES_MAX = 4096, PROGRESS_WIDTH = 78 };

hone_status cli_print_json(json_t *value)
{
    if (!value)
        return hone_mem_failures()
                   ? hone_fail(HONE_MEMORY, "out of memory while writing JSON")
                   : hone_fail(HONE_DATA, "--json: a path or text that is no UTF-8");
    int failed =
        json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(12));
    json_decref(value);
    if (failed || putchar('\n') == EOF)
        return hone_fail(HONE_DISK, "cannot write to standard output");
    return HONE_OK;
}

hone_status cli_append(char **text, size_t *bytes, size_t *room, const char *more, size_t n)
{
    if (*bytes + n + 1 > *room) {
        size_t wanted = 2 * (*bytes + n) + 256;
        char *grown = hone_realloc(*text, wanted);
        if (!grown)
            return hone_fail_memory(wanted, "a text");
        *text = grown;
        *room = wanted;
    }
    if (n)
        memcpy(*text + *bytes, more, n);
    *bytes += n;
    (*text)[*bytes] = 0;
    return HONE_OK;
}

const char *cli_format_bytes(double bytes, char *buf, size_t size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t u = 0;
    while (bytes >= 1024 && u + 1 < sizeof units / sizeof *units) {
        bytes /= 1024;
        u++;
    }
    snprintf(buf, size, u == 0 || bytes >= 100 ? "%.0f %s" : "%.1f %s", bytes, units[u]);
    return buf;
}

const char *cli_format_seconds(double seconds, char *buf, size_t size)
{
    static const char *const units[] = {"s", "ms", "us", "ns"};
    size_t u = 0;
    while (seconds < 1 && seconds > 0 && u + 1 < sizeof units / sizeof *units) {
        seconds *= 1000;
        u++;
    }
    snprintf(buf, size, "%.3g %s", seconds, units[u]);
    return buf;
}

static bool progress_shown;

void cli_progress(double fraction, const char *fmt, ...)
{
    if (!isatty(STDERR_FILENO))
        return;
    char text[PROGRESS_WIDTH + 1];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (fraction >= 0)
        fprintf(stderr, "\r\033[K%3.0f %%  %.70s", fraction * 100, text);
    else
        fprintf(stderr, "\r\033[K%s", text);
    fflush(stderr);
    progress_shown = true;
}

void cli_progress_end(void)
{
    if (progress_shown)
        fputs("\r\033[K", stderr);
    progress_shown = false;
}

struct cli_table {
    size_t columns, cells, capacity;
    char **text; /* row by row; owned */
    bool right[COLUMNS_MAX];
    bool titled, failed;
};

static void add_cell(cli_table *t, const char *text, size_t bytes)
{
    if (t->cells == t->capacity) {
        size_t capacity = t->capacity ? 2 * t->capacity : 64;
        char **more = hone_reallocarray(t->text, capacity, sizeof *more);
        if (!more) {
            t->failed = true;
            return;
        }
        t->text = more;
        t->capacity = capacity;
    }
    char *copy = hone_strndup(text, bytes);
    if (!copy) {
        t->failed = true;
        return;
    }
    t->text[t->cells++] = copy;
}

hone_status cli_table_open(const char *heads, cli_table **out)
{
    cli_table *t = hone_calloc(1, sizeof *t);
    *out = t;
    if (!t)
        return hone_fail_memory(sizeof *t, "a table");
    for (const char *p = heads; t->columns < COLUMNS_MAX; p++) {
        t->right[t->columns++] = *p == '>';
        p += *p == '>';
        size_t n = strcspn(p, ",");
        add_cell(t, p, n);
        t->titled = t->titled || n > 0;
        p += n;
        if (!*p)
            break;
    }
    return HONE_OK;
}

void cli_table_cell(cli_table *t, const char *fmt, ...)
{
    char text[CELL_BYTES_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    add_cell(t, text, strlen(text));
}

void cli_table_end_row(cli_table *t)
{
    while (!t->failed && t->cells % t->columns)
        add_cell(t, "", 0);
}

/* Code points, taking every byte that does not continue one as its beginning. */
static size_t width_of(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

static void print_row(const cli_table *t, char *const *row, const size_t *widths, FILE *f)
{
    size_t last = t->columns;
    while (last > 0 && row[last - 1][0] == 0)
        last--;
    for (size_t c = 0; c < last; c++) {
        size_t pad = widths[c] - width_of(row[c]);
        if (c)
            fputs("  ", f);
        if (t->right[c])
            fprintf(f, "%*s%s", (int)pad, "", row[c]);
        else
            fprintf(f, "%s%*s", row[c], c + 1 < last ? (int)pad : 0, "");
    }
    fputc('\n', f);
}

hone_status cli_table_print(cli_table *t, FILE *f)
{
    size_t widths[COLUMNS_MAX] = {0};
    cli_table_end_row(t);
    if (t->failed) {
        cli_table_close(t);
        return hone_fail(HONE_MEMORY, "out of memory while printing a table");
    }
    for (size_t i = 0; i < t->cells; i++) {
        size_t w = width_of(t->text[i]);
        if (w > widths[i % t->columns])
            widths[i % t->columns] = w;
    }
    for (size_t i = t->titled ? 0 : t->columns; i < t->cells; i += t->columns)
        print_row(t, t->text + i, widths, f);
    cli_table_close(t);
    return ferror(f) ? hone_fail(HONE_DISK, "cannot write the table") : HONE_OK;
}

void cli_table_close(cli_table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->cells; i++)
        hone_free(t->text[i]);
    hone_free(t->text);
    hone_free(t);
}
