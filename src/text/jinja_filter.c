/* Filters of texts, numbers and any value; the table is in two parts with jinja_filter_seq.c. */
#include "text/jinja_value.h"

#include "base/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef jinja_run run;
typedef jinja_value value;

/* ---- text ---- */

static hone_status f_string(run *r, const jinja_args *a, value *out)
{
    return jinja_to_str(r, &a->self, out);
}

static hone_status f_upper(run *r, const jinja_args *a, value *out)
{
    return jinja_change_case(r, &a->self, JINJA_UPPER, out);
}

static hone_status f_lower(run *r, const jinja_args *a, value *out)
{
    return jinja_change_case(r, &a->self, JINJA_LOWER, out);
}

static hone_status f_capitalize(run *r, const jinja_args *a, value *out)
{
    return jinja_change_case(r, &a->self, JINJA_CAPITALIZE, out);
}

/* Words begin after any of "-({[<" and white space. */
static hone_status title(run *r, jinja_text *t, const value *s)
{
    const char *p = s->as.s, *end = p + s->n;
    while (p < end) {
        const char *word = p;
        value part, rest;
        while (p < end && !strchr("-({[<", *p) && !jinja_is_space(hone_utf8_code(p)))
            p += hone_utf8_length(*p);
        size_t first = p > word ? hone_utf8_length(*word) : 0;
        part = jinja_str(word, first);
        rest = jinja_str(word + first, (size_t)(p - word) - first);
        HONE_TRY(jinja_change_case(r, &part, JINJA_UPPER, &part));
        HONE_TRY(jinja_change_case(r, &rest, JINJA_LOWER, &rest));
        HONE_TRY(jinja_text_add(r, t, part.as.s, part.n));
        HONE_TRY(jinja_text_add(r, t, rest.as.s, rest.n));
        word = p;
        while (p < end && (strchr("-({[<", *p) || jinja_is_space(hone_utf8_code(p))))
            p += hone_utf8_length(*p);
        HONE_TRY(jinja_text_add(r, t, word, (size_t)(p - word)));
    }
    return HONE_OK;
}

static hone_status f_title(run *r, const jinja_args *a, value *out)
{
    value s;
    jinja_text t = {0};
    HONE_TRY(jinja_to_str(r, &a->self, &s));
    return jinja_text_take(r, &t, title(r, &t, &s), out);
}

static hone_status f_trim(run *r, const jinja_args *a, value *out)
{
    value s;
    HONE_TRY(jinja_to_str(r, &a->self, &s));
    if (a->v[0].type > JINJA_V_NONE && a->v[0].type != JINJA_V_STR)
        return jinja_raise(r, HONE_DATA, "strip arg must be None or str");
    return jinja_strip_value(r, &s, &a->v[0], JINJA_BOTH, out);
}

static hone_status f_center(run *r, const jinja_args *a, value *out)
{
    jinja_args with = *a;
    HONE_TRY(jinja_to_str(r, &a->self, &with.self));
    value eighty = jinja_int(80);
    if (with.v[0].type == JINJA_V_ABSENT)
        with.v = &eighty;
    with.n = 1;
    return jinja_call_builtin(r, jinja_find_method(JINJA_V_STR, "center", 6), &with, out);
}

static hone_status f_replace(run *r, const jinja_args *a, value *out)
{
    value s, old, fresh;
    int64_t count;
    HONE_TRY(jinja_to_str(r, &a->self, &s));
    HONE_TRY(jinja_to_str(r, &a->v[0], &old));
    HONE_TRY(jinja_to_str(r, &a->v[1], &fresh));
    s.markup = 0;
    const value absent = {0};
    HONE_TRY(jinja_get_int(r, a->v[2].type == JINJA_V_NONE ? &absent : &a->v[2], -1, &count));
    return jinja_replace(r, &s, &old, &fresh, count, out);
}

static hone_status f_format(run *r, const jinja_args *a, value *out)
{
    value s, args;
    if (a->n && a->n_keys)
        return jinja_raise(r, HONE_DATA,
                           "can't handle positional and keyword arguments at the same time");
    HONE_TRY(jinja_to_str(r, &a->self, &s));
    if (a->n_keys) {
        HONE_TRY(jinja_dict_new(r, JINJA_V_DICT, a->n_keys, &args));
        for (uint32_t i = 0; i < a->n_keys; i++)
            HONE_TRY(jinja_dict_set(r, &args, &a->keys[i].key, &a->keys[i].value));
    } else {
        HONE_TRY(jinja_seq_new(r, JINJA_V_TUPLE, a->n, &args));
        for (uint32_t i = 0; i < a->n; i++)
            HONE_TRY(jinja_seq_add(r, &args, &a->v[i]));
    }
    return jinja_format_percent(r, &s, &args, out);
}

static hone_status indent(run *r, jinja_text *t, const value *lines, const value *by, bool first,
                          bool blank)
{
    const jinja_seq *seq = lines->as.seq;
    for (uint32_t i = 0; i < seq->n; i++) {
        if (i)
            HONE_TRY(jinja_text_add(r, t, "\n", 1));
        if (i ? blank || seq->items[i].n : first)
            HONE_TRY(jinja_text_add(r, t, by->as.s, by->n));
        HONE_TRY(jinja_text_add(r, t, seq->items[i].as.s, seq->items[i].n));
    }
    return HONE_OK;
}

static hone_status f_indent(run *r, const jinja_args *a, value *out)
{
    value width = a->v[0].type == JINJA_V_ABSENT ? jinja_int(4) : a->v[0];
    value by = width, blank_text = jinja_str(" ", 1), lines, s, end;
    bool first, blank;
    if (width.type != JINJA_V_STR)
        HONE_TRY(jinja_arithmetic(r, '*', &blank_text, &width, &by));
    HONE_TRY(jinja_get_flag(r, &a->v[1], &first));
    HONE_TRY(jinja_get_flag(r, &a->v[2], &blank));
    end = jinja_str("\n", 1);
    HONE_TRY(jinja_arithmetic(r, '+', &a->self, &end, &s));
    jinja_args none = {.self = s};
    HONE_TRY(
        jinja_call_builtin(r, jinja_find_method(JINJA_V_STR, "splitlines", 10), &none, &lines));
    jinja_text t = {0};
    return jinja_text_take(r, &t, indent(r, &t, &lines, &by, first, blank), out);
}

static hone_status truncate(run *r, jinja_text *t, const value *s, int64_t length, bool kill,
                            const value *end)
{
    int64_t keep = length - (int64_t)jinja_count_characters(end->as.s, end->n);
    value from = {0}, to = jinja_int(keep), step = {0}, part;
    HONE_TRY(jinja_get_slice(r, s, &from, &to, &step, &part));
    size_t n = part.n;
    for (size_t i = n; !kill && i-- > 0;) {
        if (part.as.s[i] == ' ') {
            n = i;
            break;
        }
    }
    HONE_TRY(jinja_text_add(r, t, part.as.s, n));
    return jinja_text_add(r, t, end->as.s, end->n);
}

static hone_status f_truncate(run *r, const jinja_args *a, value *out)
{
    int64_t length, leeway;
    bool kill;
    size_t n;
    value s, end = a->v[2].type == JINJA_V_STR ? a->v[2] : jinja_str("...", 3);
    HONE_TRY(jinja_to_str(r, &a->self, &s));
    HONE_TRY(jinja_get_int(r, &a->v[0], 255, &length));
    HONE_TRY(jinja_get_flag(r, &a->v[1], &kill));
    HONE_TRY(jinja_get_int(r, &a->v[3], 5, &leeway));
    HONE_TRY(jinja_length(r, &s, &n));
    if (length < (int64_t)jinja_count_characters(end.as.s, end.n) || leeway < 0)
        return jinja_raise(r, HONE_DATA, "truncate: expected length >= that of the end");
    int64_t room = length / 2 + leeway / 2 > INT32_MAX ? INT64_MAX : length + leeway;
    *out = s;
    if ((int64_t)n <= room)
        return HONE_OK;
    jinja_text t = {0};
    return jinja_text_take(r, &t, truncate(r, &t, &s, length, kill, &end), out);
}

static hone_status escape(run *r, jinja_text *t, const value *s)
{
    static const char special[] = "&<>'\"";
    static const char *const names[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    for (uint32_t i = 0; i < s->n; i++) {
        char c = s->as.s[i];
        const char *found = c ? strchr(special, c) : NULL;
        if (found)
            HONE_TRY(jinja_text_cstr(r, t, names[found - special]));
        else
            HONE_TRY(jinja_text_add(r, t, &c, 1));
    }
    return jinja_charge(r, s->n);
}

hone_status jinja_escape(run *r, const value *v, value *out)
{
    value s;
    jinja_text t = {0};
    HONE_TRY(jinja_to_str(r, v, &s));
    *out = s;
    if (!s.markup)
        HONE_TRY(jinja_text_take(r, &t, escape(r, &t, &s), out));
    out->markup = 1;
    return HONE_OK;
}

static hone_status f_escape(run *r, const jinja_args *a, value *out)
{
    return jinja_escape(r, &a->self, out);
}

static hone_status f_forceescape(run *r, const jinja_args *a, value *out)
{
    value s = a->self;
    s.markup = 0;
    return jinja_escape(r, &s, out);
}

static hone_status f_safe(run *r, const jinja_args *a, value *out)
{
    HONE_TRY(jinja_to_str(r, &a->self, out));
    out->markup = 1;
    return HONE_OK;
}

/* ---- JSON ---- */

static hone_status json_indent(run *r, const value *v, jinja_json_style *style)
{
    value blank = jinja_str(" ", 1), by = *v;
    if (v->type == JINJA_V_ABSENT || v->type == JINJA_V_NONE)
        return HONE_OK;
    if (v->type != JINJA_V_STR)
        HONE_TRY(jinja_arithmetic(r, '*', &blank, v, &by));
    style->indent = by.n ? by.as.s : "";
    style->n_indent = by.n;
    style->n_item = 1; /* "," */
    return HONE_OK;
}

static hone_status f_tojson(run *r, const jinja_args *a, value *out)
{
    jinja_json_style style = {.item = ", ", .pair = ": ", .n_item = 2, .n_pair = 2};
    const value *separators = &a->v[2];
    jinja_text t = {0};
    HONE_TRY(jinja_get_flag(r, &a->v[0], &style.ascii));
    HONE_TRY(json_indent(r, &a->v[1], &style));
    HONE_TRY(jinja_get_flag(r, &a->v[3], &style.sorted));
    if (separators->type > JINJA_V_NONE) {
        bool pair = (separators->type == JINJA_V_TUPLE || separators->type == JINJA_V_LIST) &&
                    separators->as.seq->n == 2;
        const value *s = pair ? separators->as.seq->items : NULL;
        if (!s || s[0].type != JINJA_V_STR || s[1].type != JINJA_V_STR)
            return jinja_raise(r, HONE_DATA, "tojson: separators are a pair of strings");
        style.item = s[0].as.s;
        style.n_item = s[0].n;
        style.pair = s[1].as.s;
        style.n_pair = s[1].n;
    }
    return jinja_text_take(r, &t, jinja_print_json(r, &t, &a->self, &style, 0), out);
}

/* ---- numbers ---- */

static hone_status f_abs(run *r, const jinja_args *a, value *out)
{
    int64_t i;
    const value *v = &a->self;
    if (v->type == JINJA_V_UNDEFINED)
        return jinja_raise_undefined(r, v);
    if (v->type == JINJA_V_FLOAT)
        *out = jinja_float(fabs(v->as.f));
    else if (jinja_as_int(v, &i) && i != INT64_MIN)
        *out = jinja_int(i < 0 ? -i : i);
    else
        return jinja_raise(r, HONE_DATA, "bad operand type for abs(): '%s'", jinja_type_name(v));
    return HONE_OK;
}

/* Digits of a string without white space around and single '_' between digits; false: no number.
 */
static bool clean_number(const value *v, char *buf, size_t size)
{
    value s = jinja_strip(v, &jinja_none, JINJA_BOTH);
    size_t n = 0;
    for (uint32_t i = 0; i < s.n; i++) {
        char c = s.as.s[i];
        bool between = i && i + 1 < s.n && s.as.s[i - 1] != '_' && s.as.s[i + 1] != '_';
        if (c == '_' && between)
            continue;
        if (n + 1 >= size || !c || c == '_' || (uint8_t)c >= 0x80)
            return false;
        buf[n++] = c;
    }
    buf[n] = 0;
    return n > 0;
}

static bool read_double(const value *v, double *out)
{
    char buf[512], *end;
    if (jinja_is_number(v)) {
        *out = jinja_as_double(v);
        return true;
    }
    if (v->type != JINJA_V_STR || !clean_number(v, buf, sizeof buf) || strpbrk(buf, "xXpP("))
        return false;
    *out = strtod(buf, &end);
    return *end == 0;
}

static bool read_int(const value *v, int base, int64_t *out)
{
    char buf[128], *end;
    if (v->type == JINJA_V_FLOAT) {
        *out = fabs(v->as.f) < 0x1p63 ? (int64_t)v->as.f : 0;
        return fabs(v->as.f) < 0x1p63;
    }
    if (jinja_as_int(v, out))
        return true;
    if (v->type != JINJA_V_STR || !clean_number(v, buf, sizeof buf))
        return false;
    char *p = buf + (*buf == '-' || *buf == '+');
    if (base == 10 && strspn(p, "0123456789") != strlen(p))
        return false;
    if (base == 2 && p[0] == '0' && (p[1] | 32) == 'b')
        memmove(p, p + 2, strlen(p + 1));
    else if (base == 8 && p[0] == '0' && (p[1] | 32) == 'o')
        memmove(p, p + 2, strlen(p + 1));
    if (*p == '-' || *p == '+' || *p == ' ')
        return false;
    *out = strtoll(buf, &end, base);
    return *p && *end == 0 && *out != INT64_MAX && *out != INT64_MIN;
}

static hone_status f_int(run *r, const jinja_args *a, value *out)
{
    int64_t i, base;
    double f;
    if (a->self.type == JINJA_V_UNDEFINED)
        return jinja_raise_undefined(r, &a->self);
    HONE_TRY(jinja_get_int(r, &a->v[1], 10, &base));
    if (base != 2 && base != 8 && base != 10 && base != 16)
        return jinja_raise(r, HONE_UNSUPPORTED, "int: base %lld", (long long)base);
    if (read_int(&a->self, (int)base, &i)) {
        *out = jinja_int(i);
        return HONE_OK;
    }
    *out = a->v[0].type == JINJA_V_ABSENT ? jinja_int(0) : a->v[0];
    if (!read_double(&a->self, &f) || !isfinite(f))
        return HONE_OK;
    if (fabs(f) >= 0x1p63)
        return jinja_raise(r, HONE_UNSUPPORTED, "a whole number beyond 64 bits");
    *out = jinja_int((int64_t)f);
    return HONE_OK;
}

static hone_status f_float(run *r, const jinja_args *a, value *out)
{
    double f;
    if (a->self.type == JINJA_V_UNDEFINED)
        return jinja_raise_undefined(r, &a->self);
    if (read_double(&a->self, &f))
        *out = jinja_float(f);
    else
        *out = a->v[0].type == JINJA_V_ABSENT ? jinja_float(0) : a->v[0];
    return HONE_OK;
}

static hone_status f_round(run *r, const jinja_args *a, value *out)
{
    int64_t places;
    const value *v = &a->self, *method = &a->v[1];
    char buf[512];
    if (v->type == JINJA_V_UNDEFINED)
        return jinja_raise_undefined(r, v);
    if (!jinja_is_number(v))
        return jinja_raise(r, HONE_DATA, "type %s doesn't define __round__ method",
                           jinja_type_name(v));
    HONE_TRY(jinja_get_int(r, &a->v[0], 0, &places));
    if (places < -300 || places > 150)
        return jinja_raise(r, HONE_LIMIT, "round: to %lld places", (long long)places);
    bool up = method->type == JINJA_V_STR && method->n == 4 && !memcmp(method->as.s, "ceil", 4);
    bool down = method->type == JINJA_V_STR && method->n == 5 && !memcmp(method->as.s, "floor", 5);
    bool common =
        method->type == JINJA_V_ABSENT ||
        (method->type == JINJA_V_STR && method->n == 6 && !memcmp(method->as.s, "common", 6));
    if (!up && !down && !common)
        return jinja_raise(r, HONE_DATA, "method must be common, ceil or floor");
    double x = jinja_as_double(v), scale = pow(10, (double)places);
    *out = *v;
    if (common && v->type != JINJA_V_FLOAT && places >= 0) {
        int64_t i = 0;
        jinja_as_int(v, &i);
        *out = jinja_int(i);
        return HONE_OK;
    }
    if (!isfinite(x))
        return common ? HONE_OK
                      : jinja_raise(r, HONE_DATA, "cannot round %s", isnan(x) ? "NaN" : "infinity");
    if (!common) {
        *out = jinja_float((up ? ceil(x * scale) : floor(x * scale)) / scale);
    } else if (places >= 0) { /* exact in decimal, halves to even, as Python's */
        snprintf(buf, sizeof buf, "%.*f", (int)places, x);
        *out = jinja_float(strtod(buf, NULL));
    } else {
        double big = rint(x * scale) / scale;
        if (v->type != JINJA_V_FLOAT && fabs(big) >= 0x1p63)
            return jinja_raise(r, HONE_UNSUPPORTED, "a whole number beyond 64 bits");
        *out = v->type == JINJA_V_FLOAT ? jinja_float(big) : jinja_int((int64_t)big);
    }
    return HONE_OK;
}

/* ---- any value ---- */

static hone_status f_default(run *r, const jinja_args *a, value *out)
{
    bool boolean, yes = true;
    HONE_TRY(jinja_get_flag(r, &a->v[1], &boolean));
    if (boolean)
        HONE_TRY(jinja_truth(r, &a->self, &yes));
    bool replaced = a->self.type == JINJA_V_UNDEFINED || !yes;
    value empty = jinja_str("", 0);
    *out = !replaced ? a->self : a->v[0].type == JINJA_V_ABSENT ? empty : a->v[0];
    return HONE_OK;
}

static hone_status f_attr(run *r, const jinja_args *a, value *out)
{
    value name;
    HONE_TRY(jinja_to_str(r, &a->v[0], &name));
    if (a->self.type != JINJA_V_DICT)
        return jinja_get_attr(r, &a->self, name.as.s, name.n, out);
    value empty; /* attributes only, no items */
    HONE_TRY(jinja_dict_new(r, JINJA_V_DICT, 0, &empty));
    return jinja_get_attr(r, &empty, name.as.s, name.n, out);
}

static hone_status f_length(run *r, const jinja_args *a, value *out)
{
    size_t n;
    HONE_TRY(jinja_length(r, &a->self, &n));
    *out = jinja_int((int64_t)n);
    return HONE_OK;
}

static const jinja_builtin filters[] = {
    {"abs", f_abs, "", 0},
    {"attr", f_attr, "name", 1},
    {"capitalize", f_capitalize, "", 0},
    {"center", f_center, "width", 0},
    {"count", f_length, "", 0},
    {"d", f_default, "default_value boolean", 0},
    {"default", f_default, "default_value boolean", 0},
    {"e", f_escape, "", 0},
    {"escape", f_escape, "", 0},
    {"float", f_float, "default", 0},
    {"forceescape", f_forceescape, "", 0},
    {"format", f_format, NULL, 0},
    {"indent", f_indent, "width first blank", 0},
    {"int", f_int, "default base", 0},
    {"length", f_length, "", 0},
    {"lower", f_lower, "", 0},
    {"replace", f_replace, "old new count", 2},
    {"round", f_round, "precision method", 0},
    {"safe", f_safe, "", 0},
    {"string", f_string, "", 0},
    {"title", f_title, "", 0},
    {"tojson", f_tojson, "ensure_ascii indent separators sort_keys", 0},
    {"trim", f_trim, "chars", 0},
    {"truncate", f_truncate, "length killwords end leeway", 0},
    {"upper", f_upper, "", 0},
};

const jinja_builtin *jinja_find_filter(const char *name, size_t n)
{
    const jinja_builtin *row = jinja_find_row(filters, sizeof filters / sizeof *filters, name, n);
    return row ? row : jinja_find_row(jinja_seq_filters, jinja_seq_filter_count, name, n);
}
