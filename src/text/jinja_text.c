/* Text that grows; values as Python's str, repr and json.dumps write them. */
#include "text/jinja_value.h"

#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* ---- text that grows ---- */

hone_status jinja_text_add(jinja_run *r, jinja_text *t, const char *s, size_t n)
{
    if (n == 0)
        return HONE_OK;
    HONE_TRY(jinja_charge(r, n / 16));
    if (t->room - t->n < n) {
        size_t room = t->n + n + (t->n + n) / 2 + 64;
        if (t->n + n > r->limits.output_bytes ||
            r->text_bytes - t->room + room > r->limits.memory_bytes)
            return jinja_raise(r, HONE_LIMIT, "the text grows beyond %zu bytes",
                               r->limits.output_bytes);
        char *more = hone_realloc(t->s, room);
        if (!more)
            return hone_fail_memory(room, "a rendered template");
        r->text_bytes += room - t->room;
        t->s = more;
        t->room = room;
    }
    memcpy(t->s + t->n, s, n);
    t->n += n;
    return HONE_OK;
}

hone_status jinja_text_cstr(jinja_run *r, jinja_text *t, const char *s)
{
    return jinja_text_add(r, t, s, strlen(s));
}

hone_status jinja_text_fill(jinja_run *r, jinja_text *t, const char *c, size_t n, size_t times)
{
    for (size_t i = 0; i < times; i++)
        HONE_TRY(jinja_text_add(r, t, c, n));
    return jinja_charge(r, times);
}

void jinja_text_free(jinja_run *r, jinja_text *t)
{
    r->text_bytes -= t->room;
    hone_free(t->s);
    *t = (jinja_text){0};
}

hone_status jinja_text_take(jinja_run *r, jinja_text *t, hone_status s, jinja_value *out)
{
    if (s == HONE_OK)
        s = jinja_str_copy(r, t->s, t->n, out);
    jinja_text_free(r, t);
    return s;
}

/* ---- characters ---- */

bool jinja_is_space(uint32_t c)
{
    if (c < 0x80)
        return (c >= 9 && c <= 13) || (c >= 28 && c <= 32);
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
           c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

size_t jinja_count_characters(const char *s, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += ((uint8_t)s[i] & 0xC0) != 0x80;
    return count;
}

size_t jinja_character_offset(const char *s, size_t n, size_t index)
{
    size_t at = 0;
    while (index-- && at < n)
        at += hone_utf8_length(s[at]);
    return at;
}

/* ---- str and repr ---- */

void jinja_print_float(double f, char *buf, size_t size)
{
    if (isnan(f) || isinf(f)) {
        snprintf(buf, size, "%s", isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
        return;
    }
    char digits[40];
    int precision = 1;
    do /* the shortest that reads back as the same number */
        snprintf(digits, sizeof digits, "%.*e", precision - 1, f);
    while (strtod(digits, NULL) != f && precision++ < 17);
    int exponent = atoi(strchr(digits, 'e') + 1);
    if (exponent >= -4 && exponent < 16) {
        int places = precision - 1 - exponent;
        snprintf(buf, size, "%.*f", places > 1 ? places : 1, f);
    } else {
        snprintf(buf, size, "%.*e", precision - 1, f);
    }
}

/* str.isprintable of one character: no control, separator (but the blank), private or unassigned.
 */
static bool is_printable(uint32_t c)
{
    if (c < 0x7F)
        return c >= 32;
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
        return false;
    default:
        return true;
    }
}

static hone_status repr_text(jinja_run *r, jinja_text *t, const char *s, size_t n)
{
    char quote = n && memchr(s, '\'', n) && !memchr(s, '"', n) ? '"' : '\'';
    HONE_TRY(jinja_text_add(r, t, &quote, 1));
    for (size_t i = 0; i < n;) {
        size_t bytes = hone_utf8_length(s[i]);
        uint32_t c = hone_utf8_code(s + i);
        char buf[16];
        if (c == (uint32_t)quote || c == '\\')
            snprintf(buf, sizeof buf, "\\%c", (char)c);
        else if (c == '\n' || c == '\r' || c == '\t')
            snprintf(buf, sizeof buf, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if (is_printable(c))
            buf[0] = 0;
        else
            snprintf(buf, sizeof buf,
                     c < 0x100     ? "\\x%02x"
                     : c < 0x10000 ? "\\u%04x"
                                   : "\\U%08x",
                     c);
        if (buf[0])
            HONE_TRY(jinja_text_cstr(r, t, buf));
        else
            HONE_TRY(jinja_text_add(r, t, s + i, bytes));
        i += bytes;
    }
    HONE_TRY(jinja_charge(r, n / 4));
    return jinja_text_add(r, t, &quote, 1);
}

static hone_status repr_items(jinja_run *r, jinja_text *t, const jinja_seq *seq, const char *open,
                              const char *close, int depth)
{
    HONE_TRY(jinja_text_cstr(r, t, open));
    for (uint32_t i = 0; i < seq->n; i++) {
        if (i)
            HONE_TRY(jinja_text_cstr(r, t, ", "));
        HONE_TRY(jinja_repr(r, t, &seq->items[i], depth + 1));
    }
    return jinja_text_cstr(r, t, close);
}

static hone_status repr_sequence(jinja_run *r, jinja_text *t, const jinja_value *v, int depth)
{
    const jinja_seq *seq = v->as.seq;
    char buf[100];
    switch (v->type) {
    case JINJA_V_LIST:
        return repr_items(r, t, seq, "[", "]", depth);
    case JINJA_V_TUPLE:
        return repr_items(r, t, seq, "(", seq->n == 1 ? ",)" : ")", depth);
    case JINJA_V_VIEW:
        HONE_TRY(jinja_text_cstr(r, t, seq->name));
        return repr_items(r, t, seq, "([", "])", depth);
    case JINJA_V_RANGE: {
        long long stop = seq->start + seq->step * (int64_t)seq->n, start = seq->start;
        if (seq->step == 1)
            snprintf(buf, sizeof buf, "range(%lld, %lld)", start, stop);
        else
            snprintf(buf, sizeof buf, "range(%lld, %lld, %lld)", start, stop, (long long)seq->step);
        return jinja_text_cstr(r, t, buf);
    }
    default:
        return jinja_raise(r, HONE_UNSUPPORTED, "a %s was printed; use |list or |join",
                           seq->name ? seq->name : jinja_type_name(v));
    }
}

static hone_status repr_dict(jinja_run *r, jinja_text *t, const jinja_dict *d, int depth)
{
    HONE_TRY(jinja_text_cstr(r, t, "{"));
    for (uint32_t i = 0; i < d->n; i++) {
        if (i)
            HONE_TRY(jinja_text_cstr(r, t, ", "));
        HONE_TRY(jinja_repr(r, t, &d->pairs[i].key, depth + 1));
        HONE_TRY(jinja_text_cstr(r, t, ": "));
        HONE_TRY(jinja_repr(r, t, &d->pairs[i].value, depth + 1));
    }
    return jinja_text_cstr(r, t, "}");
}

static hone_status repr_callable(jinja_run *r, jinja_text *t, const jinja_callable *c)
{
    if (!c->macro)
        return jinja_raise(r, HONE_UNSUPPORTED, "the function %s was printed; call it with ()",
                           c->builtin->name);
    HONE_TRY(jinja_text_cstr(r, t, "<Macro '"));
    HONE_TRY(jinja_text_add(r, t, c->macro->name->s, c->macro->name->n));
    return jinja_text_cstr(r, t, "'>");
}

hone_status jinja_repr(jinja_run *r, jinja_text *t, const jinja_value *v, int depth)
{
    char buf[64];
    HONE_TRY(jinja_charge(r, 1));
    if (depth > JINJA_VALUE_DEPTH_MAX)
        return jinja_raise(r, HONE_LIMIT, "a value nested deeper than %d levels was printed",
                           JINJA_VALUE_DEPTH_MAX);
    switch (v->type) {
    case JINJA_V_ABSENT:
    case JINJA_V_NONE:
        return jinja_text_cstr(r, t, "None");
    case JINJA_V_UNDEFINED:
        return jinja_text_cstr(r, t, "Undefined");
    case JINJA_V_BOOL:
        return jinja_text_cstr(r, t, v->as.b ? "True" : "False");
    case JINJA_V_INT:
        snprintf(buf, sizeof buf, "%lld", (long long)v->as.i);
        return jinja_text_cstr(r, t, buf);
    case JINJA_V_FLOAT:
        jinja_print_float(v->as.f, buf, sizeof buf);
        return jinja_text_cstr(r, t, buf);
    case JINJA_V_STR:
        if (!v->markup)
            return repr_text(r, t, v->as.s, v->n);
        HONE_TRY(jinja_text_cstr(r, t, "Markup("));
        HONE_TRY(repr_text(r, t, v->as.s, v->n));
        return jinja_text_cstr(r, t, ")");
    case JINJA_V_DICT:
        return repr_dict(r, t, v->as.dict, depth);
    case JINJA_V_NAMESPACE:
        HONE_TRY(jinja_text_cstr(r, t, "<Namespace "));
        HONE_TRY(repr_dict(r, t, v->as.dict, depth));
        return jinja_text_cstr(r, t, ">");
    case JINJA_V_LOOP:
        snprintf(buf, sizeof buf, "<LoopContext %u/%u>", v->as.loop->index + 1, v->as.loop->n);
        return jinja_text_cstr(r, t, buf);
    case JINJA_V_CALLABLE:
        return repr_callable(r, t, v->as.call);
    default:
        return repr_sequence(r, t, v, depth);
    }
}

hone_status jinja_print(jinja_run *r, jinja_text *t, const jinja_value *v)
{
    if (v->type == JINJA_V_STR)
        return jinja_text_add(r, t, v->as.s, v->n);
    if (v->type == JINJA_V_UNDEFINED)
        return HONE_OK;
    return jinja_repr(r, t, v, 0);
}

hone_status jinja_to_str(jinja_run *r, const jinja_value *v, jinja_value *out)
{
    if (v->type == JINJA_V_STR) {
        *out = *v;
        return HONE_OK;
    }
    jinja_text t = {0};
    return jinja_text_take(r, &t, jinja_print(r, &t, v), out);
}

/* ---- JSON ---- */

static hone_status json_text(jinja_run *r, jinja_text *t, const char *s, size_t n, bool ascii)
{
    static const char special[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    HONE_TRY(jinja_text_cstr(r, t, "\""));
    HONE_TRY(jinja_charge(r, n / 4));
    for (size_t i = 0; i < n;) {
        size_t plain = i;
        while (plain < n && (uint8_t)s[plain] >= 32 && s[plain] != '"' && s[plain] != '\\' &&
               !(ascii && (uint8_t)s[plain] >= 0x7F))
            plain++;
        HONE_TRY(jinja_text_add(r, t, s + i, plain - i));
        if ((i = plain) == n)
            break;
        char buf[16];
        const char *found = s[i] ? strchr(special, s[i]) : NULL;
        uint32_t c = hone_utf8_code(s + i);
        if (found)
            snprintf(buf, sizeof buf, "\\%c", letters[found - special]);
        else if (c >= 0x10000)
            snprintf(buf, sizeof buf, "\\u%04x\\u%04x", 0xD7C0 + (c >> 10), 0xDC00 + (c & 0x3FF));
        else if (c == 0x7F)
            snprintf(buf, sizeof buf, "%c", 0x7F);
        else
            snprintf(buf, sizeof buf, "\\u%04x", c);
        HONE_TRY(jinja_text_cstr(r, t, buf));
        i += hone_utf8_length(s[i]);
    }
    return jinja_text_cstr(r, t, "\"");
}

static hone_status json_line(jinja_run *r, jinja_text *t, const jinja_json_style *style, int depth)
{
    if (!style->indent)
        return HONE_OK;
    HONE_TRY(jinja_text_cstr(r, t, "\n"));
    return jinja_text_fill(r, t, style->indent, style->n_indent, (size_t)depth);
}

static hone_status json_list(jinja_run *r, jinja_text *t, const jinja_seq *seq,
                             const jinja_json_style *style, int depth)
{
    if (seq->n == 0)
        return jinja_text_cstr(r, t, "[]");
    HONE_TRY(jinja_text_cstr(r, t, "["));
    for (uint32_t i = 0; i < seq->n; i++) {
        if (i)
            HONE_TRY(jinja_text_add(r, t, style->item, style->n_item));
        HONE_TRY(json_line(r, t, style, depth + 1));
        HONE_TRY(jinja_print_json(r, t, &seq->items[i], style, depth + 1));
    }
    HONE_TRY(json_line(r, t, style, depth));
    return jinja_text_cstr(r, t, "]");
}

static hone_status json_key(jinja_run *r, jinja_text *t, const jinja_value *key, bool ascii)
{
    if (key->type == JINJA_V_STR)
        return json_text(r, t, key->as.s, key->n, ascii);
    if (key->type != JINJA_V_NONE && !jinja_is_number(key))
        return jinja_raise(r, HONE_DATA, "keys must be str, int, float, bool or None, not %s",
                           jinja_type_name(key));
    HONE_TRY(jinja_text_cstr(r, t, "\""));
    HONE_TRY(jinja_print_json(r, t, key, NULL, 0));
    return jinja_text_cstr(r, t, "\"");
}

/* Indexes of the pairs in the order of their keys (insertion into a sorted list by halves). */
static hone_status sort_keys(jinja_run *r, const jinja_dict *d, uint32_t **order)
{
    HONE_TRY(jinja_alloc(r, d->n, sizeof **order, order));
    for (uint32_t i = 0; i < d->n; i++) {
        uint32_t low = 0, high = i;
        while (low < high) {
            uint32_t mid = (low + high) / 2;
            int c;
            HONE_TRY(jinja_order(r, &d->pairs[i].key, &d->pairs[(*order)[mid]].key, "<", &c));
            if (c < 0)
                high = mid;
            else
                low = mid + 1;
        }
        HONE_TRY(jinja_charge(r, (i - low) / 16));
        memmove(*order + low + 1, *order + low, (i - low) * sizeof **order);
        (*order)[low] = i;
    }
    return HONE_OK;
}

static hone_status json_dict(jinja_run *r, jinja_text *t, const jinja_dict *d,
                             const jinja_json_style *style, int depth)
{
    uint32_t *order = NULL;
    if (d->n == 0)
        return jinja_text_cstr(r, t, "{}");
    if (style->sorted)
        HONE_TRY(sort_keys(r, d, &order));
    HONE_TRY(jinja_text_cstr(r, t, "{"));
    for (uint32_t i = 0; i < d->n; i++) {
        const jinja_pair *p = &d->pairs[order ? order[i] : i];
        if (i)
            HONE_TRY(jinja_text_add(r, t, style->item, style->n_item));
        HONE_TRY(json_line(r, t, style, depth + 1));
        HONE_TRY(json_key(r, t, &p->key, style->ascii));
        HONE_TRY(jinja_text_add(r, t, style->pair, style->n_pair));
        HONE_TRY(jinja_print_json(r, t, &p->value, style, depth + 1));
    }
    HONE_TRY(json_line(r, t, style, depth));
    return jinja_text_cstr(r, t, "}");
}

static hone_status json_float(jinja_run *r, jinja_text *t, double f)
{
    char buf[64];
    jinja_print_float(f, buf, sizeof buf);
    if (isnan(f) || isinf(f))
        snprintf(buf, sizeof buf, "%s", isnan(f) ? "NaN" : f < 0 ? "-Infinity" : "Infinity");
    return jinja_text_cstr(r, t, buf);
}

hone_status jinja_print_json(jinja_run *r, jinja_text *t, const jinja_value *v,
                             const jinja_json_style *style, int depth)
{
    HONE_TRY(jinja_charge(r, 1));
    if (depth > JINJA_VALUE_DEPTH_MAX)
        return jinja_raise(r, HONE_LIMIT, "tojson: nested deeper than %d levels",
                           JINJA_VALUE_DEPTH_MAX);
    switch (v->type) {
    case JINJA_V_NONE:
        return jinja_text_cstr(r, t, "null");
    case JINJA_V_BOOL:
        return jinja_text_cstr(r, t, v->as.b ? "true" : "false");
    case JINJA_V_FLOAT:
        return json_float(r, t, v->as.f);
    case JINJA_V_INT:
        return jinja_repr(r, t, v, 0);
    case JINJA_V_STR:
        return json_text(r, t, v->as.s, v->n, style->ascii);
    case JINJA_V_LIST:
    case JINJA_V_TUPLE:
        return json_list(r, t, v->as.seq, style, depth);
    case JINJA_V_DICT:
        return json_dict(r, t, v->as.dict, style, depth);
    default:
        return jinja_raise(r, HONE_DATA, "Object of type %s is not JSON serializable",
                           jinja_type_name(v));
    }
}
