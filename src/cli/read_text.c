#include "cli/read_text.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/utf8.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

hone_status cli_check_text(const char *name, const char *text, size_t *n)
{
    size_t places = 0, first = 0, end = *n;
    for (size_t i = 0; (i += hone_utf8_valid_prefix(text + i, end - i)) < end;) {
        size_t len;
        if (hone_utf8_next(text + i, end - i, &len) == HONE_UTF8_INCOMPLETE) {
            *n = i;
        } else if (places++ == 0) {
            first = i;
        }
        i += len;
    }
    if (places) {
        size_t line = 1;
        for (const char *at = text; (at = memchr(at, '\n', first - (size_t)(at - text))); at++)
            line++;
        return hone_fail(
            HONE_DATA,
            "%s: line %zu, byte %zu: 0x%02x is no UTF-8 (%zu such place%s); convert it "
            "(iconv -f WINDOWS-1252 -t UTF-8) or leave the bytes out (iconv -c -f "
            "UTF-8 -t UTF-8)",
            name, line, first, (unsigned char)text[first], places, places == 1 ? "" : "s");
    }
    if (*n < end)
        fprintf(stderr, "note: %s ends within a character: its last %zu byte%s left out\n", name,
                end - *n, end - *n == 1 ? " is" : "s are");
    return HONE_OK;
}

hone_status cli_read_text(const char *path, size_t bytes_max, char **text, size_t *n)
{
    HONE_TRY(hone_read_file(path, bytes_max, text, n));
    hone_status s = cli_check_text(strcmp(path, "-") == 0 ? "standard input" : path, *text, n);
    if (s != HONE_OK) {
        hone_free(*text);
        *text = NULL;
    }
    return s;
}

hone_status cli_parse_ids(const char *name, const char *text, size_t bytes, int32_t **ids,
                          size_t *n)
{
    *n = 0;
    *ids = hone_malloc((bytes / 2 + 1) * sizeof **ids);
    if (!*ids)
        return hone_fail_memory((bytes / 2 + 1) * sizeof **ids, "token ids");
    size_t line = 1;
    for (const char *p = text; p < text + bytes;) {
        if (isspace((unsigned char)*p) || (*p && strchr(",[]", *p))) {
            line += *p++ == '\n';
            continue;
        }
        char *end;
        errno = 0;
        long v = strtol(p, &end, 10);
        bool whole = end == text + bytes || isspace((unsigned char)*end) || strchr(",[]", *end);
        if (end == p || errno || v < 0 || v > INT32_MAX || !whole) {
            size_t length = strcspn(p, " \t\r\n,[]");
            hone_free(*ids);
            *ids = NULL;
            return hone_fail(HONE_DATA, "%s: line %zu: \"%.*s\" is no token id", name, line,
                             (int)(length < 12 ? length : 12), p);
        }
        (*ids)[(*n)++] = (int32_t)v;
        p = end;
    }
    return HONE_OK;
}
