#include "text/documents.h"

#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { LINE_DEPTH = 32, LINE_VALUES = 1 << 20, LOT_DOCUMENTS = 1024, LOT_BYTES = 8 << 20 };
#define DOCUMENT_MAX ((size_t)1 << 30)
#define BLANKS       " \t\r\n"

struct hone_documents {
    const char *const *paths;
    size_t n_paths, path;
    hone_documents_options options;
    hone_map map;
    bool open, lines;
    size_t at;              /* where the next document is looked for */
    size_t counted;         /* newlines before this offset are in `line` */
    uint64_t line;          /* of `counted`, from 1 */
    uint64_t bytes, before; /* of all files, of the files that are done */
    uint64_t broken;
    json_t *value; /* of the last line */
    char *joined;  /* its prompt and completion */
};

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcasecmp(s + n - m, end) == 0;
}

void hone_documents_close(hone_documents *d)
{
    if (!d)
        return;
    json_decref(d->value);
    hone_free(d->joined);
    if (d->open)
        hone_map_close(&d->map);
    hone_free(d);
}

static hone_status look_at(hone_documents *d)
{
    for (size_t i = 0; i < d->n_paths; i++) {
        hone_map m;
        HONE_TRY(hone_map_open(d->paths[i], &m));
        size_t bytes = m.bytes;
        hone_map_close(&m);
        if (bytes == 0)
            return hone_fail(HONE_DATA, "%s is empty", d->paths[i]);
        d->bytes += bytes;
    }
    return HONE_OK;
}

hone_status hone_documents_open(const char *const *paths, size_t n,
                                const hone_documents_options *options, hone_documents **out)
{
    *out = NULL;
    hone_documents *d = hone_calloc(1, sizeof *d);
    if (!d)
        return hone_fail_memory(sizeof *d, "reading documents");
    d->paths = paths;
    d->n_paths = n;
    if (options)
        d->options = *options;
    if (!d->options.separator)
        d->options.separator = HONE_DOCUMENTS_SEPARATOR;
    if (!d->options.field)
        d->options.field = "text";
    hone_status s = look_at(d);
    if (s != HONE_OK) {
        hone_documents_close(d);
        return s;
    }
    *out = d;
    return HONE_OK;
}

/* The line of an offset at or after the last one asked for. */
static uint64_t line_of(hone_documents *d, size_t offset)
{
    const char *p = (const char *)d->map.data;
    while (d->counted < offset) {
        const char *hit = memchr(p + d->counted, '\n', offset - d->counted);
        if (!hit)
            break;
        d->line++;
        d->counted = (size_t)(hit - p) + 1;
    }
    if (d->counted < offset)
        d->counted = offset;
    return d->line;
}

/* A broken document: the failure as it is, or, if such are skipped, its words and HONE_OK. */
static hone_status broken(hone_documents *d, hone_status s)
{
    if (s == HONE_MEMORY || s == HONE_OK || !d->options.skip_broken)
        return s;
    d->broken++;
    if (d->options.on_broken)
        d->options.on_broken(d->options.arg, hone_error());
    return HONE_OK;
}

static hone_status check_utf8(hone_documents *d, size_t from, size_t n)
{
    const char *p = (const char *)d->map.data + from;
    size_t good = hone_utf8_valid_prefix(p, n);
    if (good == n)
        return HONE_OK;
    const char *file = d->paths[d->path];
    return hone_fail(HONE_DATA,
                     "%s: line %llu, byte %zu: 0x%02x is no UTF-8; convert the file (iconv -f "
                     "WINDOWS-1252 -t UTF-8)",
                     file, (unsigned long long)line_of(d, from + good), from + good,
                     (unsigned char)p[good]);
}

/* The next text between separators; n 0: it holds nothing. */
static hone_status next_text(hone_documents *d, hone_document *out)
{
    const char *all = (const char *)d->map.data;
    const char *from = all + d->at, *end = all + d->map.bytes;
    size_t m = strlen(d->options.separator);
    const char *cut = m ? memmem(from, (size_t)(end - from), d->options.separator, m) : NULL;
    d->at = cut ? (size_t)(cut - all) + m : d->map.bytes;
    bool after = from > all;
    end = cut ? cut : end;
    while (after && from < end && strchr(BLANKS, *from) && *from)
        from++;
    while (cut && end > from && strchr(BLANKS, end[-1]) && end[-1])
        end--;
    size_t n = (size_t)(end - from), blank = 0;
    while (blank < n && strchr(BLANKS, from[blank]) && from[blank])
        blank++;
    if (blank == n)
        return HONE_OK;
    out->line = line_of(d, (size_t)(from - all));
    if (n > DOCUMENT_MAX)
        return broken(d, hone_fail(HONE_LIMIT,
                                   "%s: the document of line %llu has %zu bytes, more than %zu: "
                                   "put separators (%s) in, or cut the file",
                                   d->paths[d->path], (unsigned long long)out->line, n,
                                   DOCUMENT_MAX, HONE_DOCUMENTS_SEPARATOR));
    hone_status s = check_utf8(d, (size_t)(from - all), n);
    if (s != HONE_OK)
        return broken(d, s);
    out->text = from;
    out->n = n;
    return HONE_OK;
}

static hone_status use_prompt(hone_documents *d, const json_t *prompt, const json_t *answer,
                              hone_document *out)
{
    size_t n = json_string_length(prompt), m = json_string_length(answer);
    char *joined = hone_malloc(n + m + 1);
    if (!joined)
        return hone_fail_memory(n + m, "a prompt and its completion");
    memcpy(joined, json_string_value(prompt), n);
    memcpy(joined + n, json_string_value(answer), m);
    hone_free(d->joined);
    d->joined = joined;
    out->text = joined;
    out->n = m ? n + m : 0; /* nothing to learn: passed over */
    out->prompt = n;
    return HONE_OK;
}

static hone_status use_value(hone_documents *d, const char *where, hone_document *out)
{
    const json_t *text = json_object_get(d->value, d->options.field);
    json_t *messages = json_object_get(d->value, "messages");
    if (json_is_string(text)) {
        out->text = json_string_value(text);
        out->n = json_string_length(text);
        size_t blank = strspn(out->text, BLANKS);
        if (blank == out->n)
            out->n = 0;
        return HONE_OK;
    }
    const json_t *prompt = json_object_get(d->value, "prompt");
    const json_t *answer = json_object_get(d->value, "completion");
    if (!answer)
        answer = json_object_get(d->value, "response");
    if (json_is_string(prompt) && json_is_string(answer))
        return use_prompt(d, prompt, answer, out);
    if (json_is_array(messages) && json_array_size(messages)) {
        out->messages = messages;
        return HONE_OK;
    }
    if (!json_is_object(d->value))
        return hone_fail(HONE_DATA, "%s is no JSON object", where);
    return hone_fail(HONE_DATA,
                     "%s: the object has neither a text \"%s\" nor a list \"messages\" that is not "
                     "empty, nor \"prompt\" and \"completion\"",
                     where, d->options.field);
}

static hone_status next_line(hone_documents *d, hone_document *out)
{
    const char *all = (const char *)d->map.data, *from = all + d->at;
    size_t left = d->map.bytes - d->at;
    const char *newline = memchr(from, '\n', left);
    size_t n = newline ? (size_t)(newline - from) : left, blank = 0;
    out->line = line_of(d, d->at);
    d->at += n + (newline != NULL);
    while (blank < n && (from[blank] == ' ' || from[blank] == '\t' || from[blank] == '\r'))
        blank++;
    if (blank == n)
        return HONE_OK;
    char where[512];
    snprintf(where, sizeof where, "%s: line %llu", d->paths[d->path],
             (unsigned long long)out->line);
    if (n > DOCUMENT_MAX)
        return broken(d, hone_fail(HONE_LIMIT, "%s has more than %zu bytes", where, DOCUMENT_MAX));
    json_decref(d->value);
    d->value = NULL;
    hone_status s = hone_json_parse(from, n, LINE_DEPTH, LINE_VALUES, where, &d->value);
    if (s == HONE_OK)
        s = use_value(d, where, out);
    return broken(d, s);
}

static hone_status next_file(hone_documents *d)
{
    HONE_TRY(hone_map_open(d->paths[d->path], &d->map));
    d->open = true;
    d->lines = ends_with(d->paths[d->path], ".jsonl") || ends_with(d->paths[d->path], ".ndjson");
    d->at = d->counted = 0;
    d->line = 1;
    if (d->map.bytes >= 3 && memcmp(d->map.data, "\xEF\xBB\xBF", 3) == 0)
        d->at = 3; /* a byte order mark is no text */
    return HONE_OK;
}

hone_status hone_documents_next(hone_documents *d, hone_document *out, bool *more)
{
    *more = true;
    for (;;) {
        if (!d->open && d->path == d->n_paths) {
            *more = false;
            return HONE_OK;
        }
        if (!d->open)
            HONE_TRY(next_file(d));
        if (d->at >= d->map.bytes) {
            d->before += d->map.bytes;
            hone_map_close(&d->map);
            d->open = false;
            d->path++;
            continue;
        }
        *out = (hone_document){.file = d->paths[d->path]};
        HONE_TRY(d->lines ? next_line(d, out) : next_text(d, out));
        if (out->n || out->messages)
            return HONE_OK;
    }
}

/* ---- lots ---- */

static void empty_lot(hone_document_lot *lot)
{
    for (size_t i = 0; i < lot->n; i++)
        json_decref(lot->of[i].messages);
    lot->n = lot->text_n = 0;
}

void hone_document_lot_free(hone_document_lot *lot)
{
    empty_lot(lot);
    hone_free(lot->of);
    hone_free(lot->text);
    *lot = (hone_document_lot){0};
}

static hone_status lot_put(hone_document_lot *lot, const hone_document *d)
{
    size_t need = lot->text_n + d->n;
    if (need > lot->text_capacity) {
        size_t capacity = need + need / 2;
        char *more = hone_realloc(lot->text, capacity);
        if (!more)
            return hone_fail_memory(capacity, "documents");
        lot->text = more;
        lot->text_capacity = capacity;
    }
    if (d->n)
        memcpy(lot->text + lot->text_n, d->text, d->n);
    lot->text_n = need;
    lot->of[lot->n] = *d;
    json_incref(lot->of[lot->n++].messages);
    return HONE_OK;
}

hone_status hone_documents_next_lot(hone_documents *d, hone_document_lot *lot)
{
    if (!lot->of && !(lot->of = hone_calloc(LOT_DOCUMENTS, sizeof *lot->of)))
        return hone_fail_memory(LOT_DOCUMENTS * sizeof *lot->of, "documents");
    empty_lot(lot);
    bool more = true;
    while (lot->n < LOT_DOCUMENTS && lot->text_n < LOT_BYTES) {
        hone_document next;
        HONE_TRY(hone_documents_next(d, &next, &more));
        if (!more)
            break;
        HONE_TRY(lot_put(lot, &next));
    }
    /* The block of texts may have moved while it grew. */
    for (size_t i = 0, at = 0; i < lot->n; at += lot->of[i++].n)
        if (lot->of[i].text)
            lot->of[i].text = lot->text + at;
    return HONE_OK;
}

uint64_t hone_documents_broken(const hone_documents *d)
{
    return d->broken;
}

uint64_t hone_documents_bytes(const hone_documents *d)
{
    return d->bytes;
}

uint64_t hone_documents_bytes_read(const hone_documents *d)
{
    return d->before + (d->open ? d->at : 0);
}
