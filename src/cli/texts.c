#include "cli/texts.h"

#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/read_text.h"

#include <string.h>

enum { INPUT_BYTES_MAX = 1 << 30, ITEMS_MAX = 1 << 26, LINE_VALUES = 4096, LINE_DEPTH = 8 };

static hone_status add(cli_text_list *l, cli_item item)
{
    if (l->n == ITEMS_MAX)
        return hone_fail(HONE_LIMIT, "more than %d texts at once", ITEMS_MAX);
    if (l->n == l->capacity) {
        size_t capacity = l->capacity ? 2 * l->capacity : 64;
        cli_item *more = hone_reallocarray(l->items, capacity, sizeof *more);
        if (!more)
            return hone_fail_memory(capacity * sizeof *more, "texts");
        l->items = more;
        l->capacity = capacity;
    }
    l->items[l->n++] = item;
    return HONE_OK;
}

/* Copies a decoded text to `to`; it is never longer than the JSON that it was. */
static char *put(char *to, const json_t *text, const char **at, size_t *n)
{
    *n = json_string_length(text);
    memcpy(to, json_string_value(text), *n);
    *at = to;
    return to + *n;
}

static hone_status add_json(cli_text_list *l, char *line, size_t n, cli_item item)
{
    json_t *o;
    hone_status s = hone_json_parse(line, n, LINE_DEPTH, LINE_VALUES, "a line", &o);
    if (s != HONE_OK)
        return hone_fail_in(s, "line %zu", item.line);
    const json_t *text = json_object_get(o, "text"), *pair = json_object_get(o, "text_pair");
    if (json_is_string(text) && (!pair || json_is_string(pair))) {
        char *end = put(line, text, &item.text, &item.n);
        if (pair)
            put(end, pair, &item.pair, &item.n_pair);
        s = add(l, item);
    } else {
        s = hone_fail(HONE_DATA, "line %zu is no object with \"text\"", item.line);
    }
    json_decref(o);
    return s;
}

static hone_status add_line(const cli_context *c, cli_text_list *l, char *line, size_t n,
                            size_t number, bool pairs)
{
    cli_item item = {.text = line, .n = n, .line = number};
    if (cli_flag(c, "jsonl"))
        return n == strspn(line, " \t\r") ? HONE_OK : add_json(l, line, n, item);
    if (n > 0 && line[n - 1] == '\r')
        item.n = --n;
    char *tab = pairs ? memchr(line, '\t', n) : NULL;
    if (pairs && !tab)
        return hone_fail(HONE_DATA, "line %zu has no tab between two texts", number);
    if (tab) {
        item.n = (size_t)(tab - line);
        item.pair = tab + 1;
        item.n_pair = n - item.n - 1;
    }
    return add(l, item);
}

static hone_status read_lines(const cli_context *c, const char *path, bool pairs, cli_text_list *l)
{
    size_t bytes, number = 0;
    HONE_TRY(cli_read_text(*path ? path : "-", INPUT_BYTES_MAX, &l->buffer, &bytes));
    for (char *at = l->buffer, *end = at + bytes; at < end;) {
        char *line = at, *newline = memchr(at, '\n', (size_t)(end - at));
        at = newline ? newline + 1 : end;
        size_t n = (size_t)((newline ? newline : end) - line);
        if (newline)
            *newline = 0;
        HONE_TRY(add_line(c, l, line, n, ++number, pairs));
    }
    return HONE_OK;
}

static hone_status read_options(const cli_context *c, bool pairs, cli_text_list *l)
{
    size_t count;
    const char *const *texts = cli_texts(c, "text", &count);
    for (size_t i = 0; i < count; i++) {
        cli_item item = {.text = texts[i], .n = strlen(texts[i]), .line = i + 1};
        HONE_TRY(cli_check_text("--text", texts[i], &item.n));
        const char *tab = pairs ? strchr(texts[i], '\t') : NULL;
        if (pairs && !tab)
            return hone_fail(HONE_DATA, "--text %zu has no tab between two texts", i + 1);
        if (tab) {
            item.n = (size_t)(tab - texts[i]);
            item.pair = tab + 1;
            item.n_pair = strlen(tab + 1);
        }
        HONE_TRY(add(l, item));
    }
    return HONE_OK;
}

hone_status cli_read_texts(const cli_context *c, const char *path, bool pairs, cli_text_list *out)
{
    *out = (cli_text_list){0};
    hone_status s = HONE_OK;
    if (cli_given(c, "text") && *path)
        s = hone_fail(HONE_USAGE, "give texts either by --text or in a file");
    else if (cli_given(c, "text") && cli_flag(c, "jsonl"))
        s = hone_fail(HONE_USAGE, "--jsonl is about the lines of a file, --text is a text itself");
    else if (cli_given(c, "text"))
        s = read_options(c, pairs, out);
    else
        s = read_lines(c, path, pairs, out);
    if (s == HONE_OK && out->n == 0)
        s = hone_fail(HONE_DATA, "there are no texts");
    if (s != HONE_OK)
        cli_text_list_free(out);
    return s;
}

void cli_text_list_free(cli_text_list *list)
{
    hone_free(list->items);
    hone_free(list->buffer);
    *list = (cli_text_list){0};
}
