#include "report/report_page.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void add(report_page *p, const char *data, size_t n)
{
    if (p->failed)
        return;
    if (p->capacity - p->bytes <= n) {
        size_t capacity = 2 * (p->bytes + n) + 4096;
        char *more = hone_realloc(p->data, capacity);
        if (!more) {
            p->failed = true;
            return;
        }
        p->data = more;
        p->capacity = capacity;
    }
    memcpy(p->data + p->bytes, data, n);
    p->bytes += n;
    p->data[p->bytes] = 0;
}

void report_put(report_page *p, const char *fmt, ...)
{
    char text[4096];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof text)
        p->failed = true; /* a piece of markup that is cut would be worse than none */
    else
        add(p, text, (size_t)n);
}

static void put_escaped(report_page *p, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        switch (text[i]) {
        case '&':
            add(p, "&amp;", 5);
            break;
        case '<':
            add(p, "&lt;", 4);
            break;
        case '>':
            add(p, "&gt;", 4);
            break;
        case '"':
            add(p, "&quot;", 6);
            break;
        case '\'':
            add(p, "&#39;", 5);
            break;
        default:
            add(p, text + i, 1);
        }
    }
}

void report_put_text(report_page *p, const char *text)
{
    put_escaped(p, text, strlen(text));
}

size_t report_code_points(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

void report_put_short(report_page *p, const char *text, size_t most)
{
    if (report_code_points(text) <= most) {
        report_put_text(p, text);
        return;
    }
    size_t bytes = 0, points = 0;
    for (; text[bytes]; bytes++) {
        points += ((unsigned char)text[bytes] & 0xC0) != 0x80;
        if (points == most)
            break;
    }
    put_escaped(p, text, bytes);
    add(p, "\xE2\x80\xA6", 3);
}
