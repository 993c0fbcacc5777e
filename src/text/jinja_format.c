/* 'text %s' % values and 'text {}'.format(values), as Python has them. */
#include "text/jinja_value.h"

#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH_MAX = 10000, PRECISION_MAX = 300 };

/* One field: [[fill]align][sign][#][0][width][,][.precision][type]. */
typedef struct field {
    const char *fill; /* one character of n_fill bytes */
    size_t n_fill;
    char align; /* < > ^ = or 0 */
    char sign;  /* + - blank */
    bool alternate, zero, grouped;
    int64_t width, precision; /* precision -1: none */
    char type;                /* 0: none */
} field;

/* Puts `body` (after a sign or prefix of `lead`) in a field of its width. */
static hone_status put(jinja_run *r, jinja_text *t, const field *f, char align, const char *lead,
                       const char *body, size_t n)
{
    size_t used = strlen(lead) + jinja_count_characters(body, n);
    size_t gap = (size_t)f->width > used ? (size_t)f->width - used : 0;
    size_t before = align == '>' ? gap : align == '^' ? gap / 2 : 0;
    HONE_TRY(jinja_text_fill(r, t, f->fill, f->n_fill, before));
    HONE_TRY(jinja_text_cstr(r, t, lead));
    if (align == '=')
        HONE_TRY(jinja_text_fill(r, t, f->fill, f->n_fill, gap));
    HONE_TRY(jinja_text_add(r, t, body, n));
    return align == '=' ? HONE_OK : jinja_text_fill(r, t, f->fill, f->n_fill, gap - before);
}

static hone_status put_text(jinja_run *r, jinja_text *t, const field *f, const jinja_value *s)
{
    size_t n = s->n;
    if (f->precision >= 0)
        n = jinja_character_offset(s->as.s, s->n, (size_t)f->precision);
    return put(r, t, f, f->align ? f->align : '<', "", s->as.s, n);
}

/* Digits of |i| in a base, at the end of buf[66]; returns their begin. */
static char *write_digits(int64_t i, unsigned base, bool upper, char *buf)
{
    uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    char *p = buf + 66;
    *p = 0;
    do
        *--p = (upper ? "0123456789ABCDEF" : "0123456789abcdef")[u % base];
    while (u /= base);
    return p;
}

/* "1234567.5" -> "1,234,567.5"; out has room for 2n + 1. */
static void group_digits(const char *s, char *out)
{
    size_t whole = strspn(s, "0123456789"), k = 0;
    for (size_t i = 0; s[i]; i++) {
        if (i && i < whole && (whole - i) % 3 == 0)
            out[k++] = ',';
        out[k++] = s[i];
    }
    out[k] = 0;
}

static const char *sign_of(const field *f, bool negative)
{
    return negative ? "-" : f->sign == '+' ? "+" : f->sign == ' ' ? " " : "";
}

static hone_status put_number(jinja_run *r, jinja_text *t, const field *f, bool negative,
                              const char *prefix, const char *digits)
{
    char lead[8], grouped[1024];
    snprintf(lead, sizeof lead, "%s%s", sign_of(f, negative), prefix);
    if (f->grouped) {
        group_digits(digits, grouped);
        digits = grouped;
    }
    return put(r, t, f, f->align ? f->align : '>', lead, digits, strlen(digits));
}

static hone_status put_int(jinja_run *r, jinja_text *t, const field *f, int64_t i)
{
    char buf[67], padded[PRECISION_MAX + sizeof buf];
    unsigned base = f->type == 'x' || f->type == 'X' ? 16
                    : f->type == 'o'                 ? 8
                    : f->type == 'b'                 ? 2
                                                     : 10;
    const char *digits = write_digits(i, base, f->type == 'X', buf);
    size_t n = strlen(digits);
    if (f->precision > (int64_t)n) {
        size_t zeros = (size_t)f->precision - n;
        memset(padded, '0', zeros);
        memcpy(padded + zeros, digits, n + 1);
        digits = padded;
    }
    const char *prefix = "";
    if (f->alternate && base != 10)
        prefix = base == 2 ? "0b" : base == 8 ? "0o" : f->type == 'X' ? "0X" : "0x";
    return put_number(r, t, f, i < 0, prefix, digits);
}

static hone_status put_float(jinja_run *r, jinja_text *t, const field *f, double x)
{
    char digits[PRECISION_MAX + 340], format[8] = "%.*f";
    double size = fabs(x);
    int precision = f->precision < 0 ? 6 : (int)f->precision;
    if (f->type == '%')
        size *= 100;
    if (!f->type && f->precision < 0) {
        jinja_print_float(size, digits, sizeof digits);
    } else {
        char type = f->type ? f->type : 'g';
        if (type != '%')
            format[3] = type;
        if (type == 'g' && precision == 0)
            precision = 1;
        int n = snprintf(digits, sizeof digits, format, precision, size);
        if (!f->type && !strpbrk(digits, ".en")) /* str(): a float shows that it is one */
            memcpy(digits + n, ".0", 3);
        if (f->type == '%')
            memcpy(digits + n, "%", 2);
    }
    return put_number(r, t, f, signbit(x) && !isnan(x), "", digits);
}

/* ---- percent ---- */

typedef struct percent {
    const jinja_value *args; /* a tuple, a dict, or one value */
    uint32_t used;
} percent;

static hone_status next_argument(jinja_run *r, percent *p, jinja_value *out)
{
    bool tuple = p->args->type == JINJA_V_TUPLE;
    uint32_t n = tuple ? p->args->as.seq->n : 1;
    if (p->used >= n)
        return jinja_raise(r, HONE_DATA, "not enough arguments for format string");
    *out = tuple ? p->args->as.seq->items[p->used] : *p->args;
    p->used++;
    return HONE_OK;
}

static hone_status read_number(jinja_run *r, const char **p, const char *end, int64_t most,
                               int64_t *out)
{
    *out = 0;
    while (*p < end && **p >= '0' && **p <= '9') {
        *out = *out * 10 + (*(*p)++ - '0');
        if (*out > most)
            return jinja_raise(r, HONE_LIMIT, "a format wider than %lld", (long long)most);
    }
    return HONE_OK;
}

static hone_status percent_number(jinja_run *r, jinja_text *t, const field *f, const jinja_value *v)
{
    int64_t i;
    bool whole = strchr("diuxXo", f->type) != NULL;
    if (v->type == JINJA_V_UNDEFINED)
        return jinja_raise_undefined(r, v);
    if (!jinja_is_number(v) || (v->type == JINJA_V_FLOAT && strchr("xXo", f->type)))
        return jinja_raise(r, HONE_DATA, "%%%c format: a real number is required, not %s", f->type,
                           jinja_type_name(v));
    if (!whole)
        return put_float(r, t, f, jinja_as_double(v));
    if (!jinja_as_int(v, &i)) {
        if (!(fabs(v->as.f) < 0x1p63))
            return jinja_raise(r, HONE_UNSUPPORTED, "a whole number beyond 64 bits");
        i = (int64_t)v->as.f;
    }
    return put_int(r, t, f, i);
}

static hone_status percent_field(jinja_run *r, jinja_text *t, const field *f, const jinja_value *v)
{
    if (strchr("diuxXoeEfFgG", f->type))
        return percent_number(r, t, f, v);
    jinja_text body = {0};
    jinja_value s;
    hone_status status;
    if (f->type == 's' || (f->type == 'c' && v->type == JINJA_V_STR))
        status = jinja_print(r, &body, v);
    else if (f->type == 'r' || f->type == 'a')
        status = jinja_repr(r, &body, v, 0);
    else
        status =
            jinja_raise(r, HONE_UNSUPPORTED, "format %%%c of a %s", f->type, jinja_type_name(v));
    HONE_TRY(jinja_text_take(r, &body, status, &s));
    return put_text(r, t, f, &s);
}

/* One %...: *p stands after the percent sign. */
static hone_status percent_one(jinja_run *r, jinja_text *t, percent *args, const char **p,
                               const char *end)
{
    field f = {.fill = " ", .n_fill = 1, .precision = -1};
    jinja_value v = {0};
    bool left = false;
    if (*p < end && **p == '(') {
        const char *close = memchr(*p, ')', (size_t)(end - *p));
        if (!close || args->args->type != JINJA_V_DICT)
            return jinja_raise(r, HONE_DATA,
                               close ? "format requires a mapping" : "incomplete format key");
        jinja_value key = jinja_str(*p + 1, (size_t)(close - *p - 1));
        const jinja_value *found;
        HONE_TRY(jinja_dict_get(r, args->args, &key, &found));
        if (!found)
            return jinja_raise(r, HONE_DATA, "the format's key is missing");
        v = *found;
        *p = close + 1;
    }
    for (; *p < end && **p && strchr("-+ #0", **p); ++*p) {
        left |= **p == '-';
        f.zero |= **p == '0';
        f.alternate |= **p == '#';
        if (**p == '+' || (**p == ' ' && !f.sign))
            f.sign = **p;
    }
    HONE_TRY(read_number(r, p, end, WIDTH_MAX, &f.width));
    if (*p < end && **p == '.') {
        ++*p;
        HONE_TRY(read_number(r, p, end, PRECISION_MAX, &f.precision));
    }
    if (*p == end)
        return jinja_raise(r, HONE_DATA, "incomplete format");
    f.type = *(*p)++;
    if (f.type == '%')
        return jinja_text_cstr(r, t, "%");
    if (!f.type || !strchr("srcadiuxXoeEfFgG", f.type))
        return jinja_raise(r, HONE_DATA, "unsupported format character '%c' (in a %% format)",
                           f.type);
    bool text = strchr("srca", f.type) != NULL;
    f.align = left ? '<' : f.zero && !text ? '=' : '>';
    if (f.zero && !left && !text)
        f.fill = "0";
    if (v.type == JINJA_V_ABSENT)
        HONE_TRY(next_argument(r, args, &v));
    return percent_field(r, t, &f, &v);
}

static hone_status percent_all(jinja_run *r, jinja_text *t, const jinja_value *format,
                               percent *args)
{
    const char *p = format->as.s, *end = p + format->n;
    while (p < end) {
        const char *next = memchr(p, '%', (size_t)(end - p));
        HONE_TRY(jinja_text_add(r, t, p, (size_t)((next ? next : end) - p)));
        if (!next)
            break;
        p = next + 1;
        HONE_TRY(percent_one(r, t, args, &p, end));
    }
    const jinja_value *v = args->args; /* what has items may leave some unused, but for a tuple */
    bool all = v->type == JINJA_V_TUPLE ? args->used == v->as.seq->n
                                        : args->used || jinja_is_sequence(v) ||
                                              v->type == JINJA_V_DICT || jinja_is_undefined(v);
    if (!all)
        return jinja_raise(r, HONE_DATA, "not all arguments converted during string formatting");
    return HONE_OK;
}

hone_status jinja_format_percent(jinja_run *r, const jinja_value *format, const jinja_value *args,
                                 jinja_value *out)
{
    jinja_text t = {0};
    percent p = {.args = args};
    return jinja_text_take(r, &t, percent_all(r, &t, format, &p), out);
}

/* ---- braces ---- */

typedef struct braces {
    const jinja_args *args;
    uint32_t automatic; /* number of the next {} */
} braces;

static hone_status read_spec(jinja_run *r, const char *p, const char *end, field *f)
{
    *f = (field){.fill = " ", .n_fill = 1, .precision = -1};
    if (p < end) {
        size_t n = hone_utf8_length(*p);
        if (p + n < end && strchr("<>^=", p[n]) && p[n]) {
            f->fill = p;
            f->n_fill = n;
            f->align = p[n];
            p += n + 1;
        } else if (*p && strchr("<>^=", *p)) {
            f->align = *p++;
        }
    }
    if (p < end && *p && strchr("+- ", *p))
        f->sign = *p++;
    if (p < end && *p == '#') {
        f->alternate = true;
        p++;
    }
    if (p < end && *p == '0') {
        if (!f->align) {
            f->align = '=';
            f->fill = "0";
        }
        p++;
    }
    HONE_TRY(read_number(r, &p, end, WIDTH_MAX, &f->width));
    if (p < end && *p == ',') {
        f->grouped = true;
        p++;
    }
    if (p < end && *p == '.') {
        p++;
        HONE_TRY(read_number(r, &p, end, PRECISION_MAX, &f->precision));
    }
    if (p < end)
        f->type = *p++;
    if (p < end || (f->type && !strchr("sdboxXeEfFgG%", f->type)))
        return jinja_raise(r, HONE_UNSUPPORTED, "a format specification that is not known");
    return HONE_OK;
}

static hone_status put_spec(jinja_run *r, jinja_text *t, const jinja_value *v, const char *spec,
                            size_t n)
{
    field f;
    int64_t i;
    if (n == 0)
        return jinja_print(r, t, v);
    HONE_TRY(read_spec(r, spec, spec + n, &f));
    bool real = f.type && strchr("eEfFgG%", f.type);
    if (jinja_is_number(v) && f.type != 's') {
        if (v->type == JINJA_V_FLOAT || real) {
            if (f.type && !real)
                return jinja_raise(r, HONE_DATA,
                                   "Unknown format code '%c' for object of type 'float'", f.type);
            return put_float(r, t, &f, jinja_as_double(v));
        }
        if (v->type == JINJA_V_INT || f.type) {
            jinja_as_int(v, &i);
            if (f.precision >= 0)
                return jinja_raise(r, HONE_DATA,
                                   "Precision not allowed in integer format specifier");
            return put_int(r, t, &f, i);
        }
    }
    if (v->type != JINJA_V_STR)
        return jinja_raise(r, HONE_DATA, "unsupported format string passed to %s.__format__",
                           jinja_type_name(v));
    if (f.type && f.type != 's')
        return jinja_raise(r, HONE_DATA, "Unknown format code '%c' for object of type 'str'",
                           f.type);
    return put_text(r, t, &f, v);
}

/* The field's value: "", "0" or "name", then .attribute and [item] parts. */
static hone_status find_value(jinja_run *r, braces *b, const char *p, const char *end,
                              jinja_value *out)
{
    size_t n = 0;
    while (p + n < end && p[n] != '.' && p[n] != '[')
        n++;
    bool digits = n > 0;
    uint32_t index = 0;
    for (size_t i = 0; i < n; i++) {
        digits = digits && p[i] >= '0' && p[i] <= '9' && index < 1000000;
        index = digits ? index * 10 + (uint32_t)(p[i] - '0') : 0;
    }
    if (n == 0)
        index = b->automatic++;
    out->type = JINJA_V_ABSENT;
    if (n == 0 || digits) {
        if (index >= b->args->n)
            return jinja_raise(
                r, HONE_DATA, "Replacement index %u out of range for positional args tuple", index);
        *out = b->args->v[index];
    }
    for (uint32_t i = 0; n && !digits && i < b->args->n_keys; i++)
        if (b->args->keys[i].key.n == n && memcmp(b->args->keys[i].key.as.s, p, n) == 0)
            *out = b->args->keys[i].value;
    if (out->type == JINJA_V_ABSENT)
        return jinja_raise(r, HONE_DATA, "format: nothing is called '%.*s'", (int)(n < 80 ? n : 80),
                           p);
    for (p += n; p < end; p += n) {
        jinja_value v = *out;
        bool item = *p++ == '[';
        n = 0;
        while (p + n < end && (item ? p[n] != ']' : p[n] != '.' && p[n] != '['))
            n++;
        jinja_value key = jinja_str(p, n);
        digits = item && n > 0 && n < 10;
        index = 0;
        for (size_t i = 0; digits && i < n; i++) {
            digits = p[i] >= '0' && p[i] <= '9';
            index = index * 10 + (uint32_t)(p[i] - '0');
        }
        if (digits)
            key = jinja_int(index);
        HONE_TRY(item ? jinja_get_item(r, &v, &key, out) : jinja_get_attr(r, &v, p, n, out));
        n += item;
    }
    return HONE_OK;
}

/* What stands between the braces. */
static hone_status brace_field(jinja_run *r, jinja_text *t, braces *b, const char *p, size_t n)
{
    const char *end = p + n, *colon = memchr(p, ':', n), *name_end = colon ? colon : end;
    char conversion = 0;
    if (name_end - p >= 2 && name_end[-2] == '!') {
        conversion = name_end[-1];
        name_end -= 2;
    }
    if (conversion && conversion != 'r' && conversion != 's')
        return jinja_raise(r, HONE_UNSUPPORTED, "format conversion !%c", conversion);
    jinja_value v, s;
    HONE_TRY(find_value(r, b, p, name_end, &v));
    if (conversion) {
        jinja_text body = {0};
        hone_status status =
            conversion == 'r' ? jinja_repr(r, &body, &v, 0) : jinja_print(r, &body, &v);
        HONE_TRY(jinja_text_take(r, &body, status, &s));
        v = s;
    }
    return put_spec(r, t, &v, colon ? colon + 1 : end, colon ? (size_t)(end - colon - 1) : 0);
}

static hone_status braces_all(jinja_run *r, jinja_text *t, braces *b)
{
    const char *p = b->args->self.as.s, *end = p + b->args->self.n;
    while (p < end) {
        const char *q = p;
        while (q < end && *q != '{' && *q != '}')
            q++;
        HONE_TRY(jinja_text_add(r, t, p, (size_t)(q - p)));
        if (q == end)
            break;
        if (q + 1 < end && q[1] == *q) {
            HONE_TRY(jinja_text_add(r, t, q, 1));
            p = q + 2;
            continue;
        }
        const char *close = *q == '{' ? memchr(q, '}', (size_t)(end - q)) : NULL;
        if (!close)
            return jinja_raise(r, HONE_DATA, "Single '%c' encountered in format string", *q);
        if (memchr(q + 1, '{', (size_t)(close - q - 1)))
            return jinja_raise(r, HONE_UNSUPPORTED, "a field within a field of a format");
        HONE_TRY(brace_field(r, t, b, q + 1, (size_t)(close - q - 1)));
        p = close + 1;
    }
    return HONE_OK;
}

hone_status jinja_format_braces(jinja_run *r, const jinja_args *a, jinja_value *out)
{
    jinja_text t = {0};
    braces b = {.args = a};
    return jinja_text_take(r, &t, braces_all(r, &t, &b), out);
}
