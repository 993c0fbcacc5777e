#include "report/report_page.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- texts that may be shown ------------------------------------------------------------------
 */

static bool is_harmless(uint32_t c)
{
    return c >= 0x20 && !(c >= 0x7F && c < 0xA0) && !(c >= 0x200E && c <= 0x200F) &&
           !(c >= 0x2028 && c <= 0x202E) && !(c >= 0x2066 && c <= 0x2069) && c != 0x061C &&
           (c & 0xFFFE) != 0xFFFE;
}

/* The next code point of a text as it may be shown, *out with *bytes; how many bytes it takes. */
static size_t show(const char *text, size_t n, const char **out, size_t *bytes)
{
    size_t length;
    bool valid = hone_utf8_next(text, n, &length) == HONE_UTF8_VALID;
    *bytes = 1;
    if (valid && is_harmless(hone_utf8_code(text))) {
        *out = text;
        *bytes = length;
    } else if (*text == '\n' || *text == '\t' || *text == '\r') {
        *out = " ";
    } else {
        *out = "\xEF\xBF\xBD";
        *bytes = 3;
    }
    return valid ? length : 1;
}

const char *hone_report_clean(const char *text, char *buf, size_t size)
{
    size_t n = strlen(text), used = 0;
    for (size_t i = 0, bytes; i < n; used += bytes) {
        const char *shown;
        i += show(text + i, n - i, &shown, &bytes);
        if (used + bytes >= size)
            break;
        memcpy(buf + used, shown, bytes);
    }
    buf[used] = 0;
    return buf;
}

json_t *hone_report_text(const char *text)
{
    size_t size = 3 * strlen(text) + 1;
    char *clean = hone_malloc(size);
    json_t *v = clean ? json_string(hone_report_clean(text, clean, size)) : NULL;
    hone_free(clean);
    return v;
}

/* ---- a page -----------------------------------------------------------------------------------
 */

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
    for (size_t i = 0, bytes; i < n;) {
        const char *shown;
        i += show(text + i, n - i, &shown, &bytes);
        switch (*shown) {
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
            add(p, shown, bytes);
        }
    }
}

void report_put_text(report_page *p, const char *text)
{
    put_escaped(p, text, strlen(text));
}

bool report_box_is_free(const report_box *b, const report_box *frame, const report_box *taken,
                        size_t n)
{
    if (b->x0 < frame->x0 || b->x1 > frame->x1 || b->y0 < frame->y0 || b->y1 > frame->y1)
        return false;
    for (size_t i = 0; i < n; i++)
        if (b->x0 < taken[i].x1 && taken[i].x0 < b->x1 && b->y0 < taken[i].y1 &&
            taken[i].y0 < b->y1)
            return false;
    return true;
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
