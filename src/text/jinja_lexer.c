/* Templates to tokens, with white space treated as trim_blocks and lstrip_blocks ask. */
#include "text/jinja_value.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

typedef struct lexer {
    const char *s; /* newlines are "\n" */
    size_t n, at;
    const char *name;
    hone_arena *arena;
    jinja_token *tokens;
    size_t count, room;
    size_t counted; /* bytes that line and column cover */
    uint32_t line, column;
    bool line_starting; /* what came before ended a line */
} lexer;

hone_status jinja_fail_at_(const char *name, uint32_t line, uint32_t column, hone_status s,
                           const char *fmt, ...)
{
    char text[700];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return hone_fail(s, "%.200s, line %u, column %u: %s", name, line, column, text);
}

/* Line and column of byte `to`; only ever forward. */
static void count_to(lexer *l, size_t to)
{
    for (; l->counted < to; l->counted++) {
        if (l->s[l->counted] == '\n') {
            l->line++;
            l->column = 1;
        } else {
            l->column += ((uint8_t)l->s[l->counted] & 0xC0) != 0x80;
        }
    }
}

#define lexer_fail(l, pos, ...)                                                                    \
    (count_to(l, pos), hone_failed_(jinja_fail_at_((l)->name, (l)->line, (l)->column, __VA_ARGS__)))

static hone_status push(lexer *l, jinja_token_kind kind, size_t pos, const char *text, size_t n,
                        jinja_token **out)
{
    if (l->count == l->room) {
        size_t room = l->room ? 2 * l->room : 256;
        jinja_token *more = hone_arena_alloc(l->arena, room * sizeof *more);
        if (!more)
            return hone_fail_memory(room * sizeof *more, "a template's tokens");
        if (l->count)
            memcpy(more, l->tokens, l->count * sizeof *more);
        l->tokens = more;
        l->room = room;
    }
    count_to(l, pos);
    jinja_token *t = &l->tokens[l->count++];
    *t = (jinja_token){
        .kind = kind, .line = l->line, .column = l->column, .text = text, .n = (uint32_t)n};
    if (out)
        *out = t;
    return HONE_OK;
}

/* Bytes of the white space at s[at..n). */
static size_t space_at(const char *s, size_t n, size_t at)
{
    size_t i = at;
    while (i < n && jinja_is_space(hone_utf8_code(s + i)))
        i += hone_utf8_length(s[i]);
    return i - at;
}

static size_t without_trailing_space(const char *s, size_t n)
{
    while (n) {
        size_t i = n - 1;
        while (i && ((uint8_t)s[i] & 0xC0) == 0x80)
            i--;
        if (!jinja_is_space(hone_utf8_code(s + i)))
            break;
        n = i;
    }
    return n;
}

static bool starts(const lexer *l, size_t at, const char *what)
{
    size_t n = strlen(what);
    return at + n <= l->n && memcmp(l->s + at, what, n) == 0;
}

/* Data from `from` to the tag at `tag`, whose sign ('-', '+' or 0) says what happens to the white
 * space before it. A tag that prints keeps its indentation. */
static hone_status push_data(lexer *l, size_t from, size_t tag, char sign, bool prints)
{
    const char *s = l->s + from;
    size_t n = tag - from;
    if (sign == '-') {
        n = without_trailing_space(s, n);
    } else if (sign != '+' && !prints) {
        size_t begin = n;
        while (begin && s[begin - 1] != '\n')
            begin--;
        if ((begin > 0 || l->line_starting) && begin < n && space_at(s, n, begin) == n - begin)
            n = begin;
    }
    return n ? push(l, JINJA_T_DATA, from, s, n, NULL) : HONE_OK;
}

/* What may end a tag: "-%}" with white space, "+%}" (blocks), "%}" with a newline (blocks). Returns
 * its length, 0 if it is not there. */
static size_t tag_end(const lexer *l, size_t at, const char *end, bool block)
{
    size_t n = strlen(end);
    if (l->s[at] == '-' && starts(l, at + 1, end))
        return 1 + n + space_at(l->s, l->n, at + 1 + n);
    if (block && l->s[at] == '+' && starts(l, at + 1, end))
        return 1 + n;
    if (!starts(l, at, end))
        return 0;
    return n + (block && at + n < l->n && l->s[at + n] == '\n');
}

static void pass(lexer *l, size_t to)
{
    l->line_starting = to > 0 && l->s[to - 1] == '\n';
    l->at = to;
}

/* ---- inside of tags ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits with single '_' between them from s[i]; returns the end. */
static size_t digits(const lexer *l, size_t i)
{
    size_t begin = i;
    while (i < l->n && (is_digit(l->s[i]) ||
                        (l->s[i] == '_' && i > begin && i + 1 < l->n && is_digit(l->s[i + 1]))))
        i++;
    return i;
}

static size_t exponent(const lexer *l, size_t i)
{
    if (i >= l->n || (l->s[i] != 'e' && l->s[i] != 'E'))
        return i;
    size_t d = i + 1;
    if (d < l->n && (l->s[d] == '+' || l->s[d] == '-'))
        d++;
    size_t end = digits(l, d);
    return end > d ? end : i;
}

static int digit_value(char c)
{
    if (is_digit(c))
        return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
}

static hone_status lex_number(lexer *l)
{
    size_t begin = l->at, end = digits(l, begin);
    jinja_token *t;
    size_t fraction = end;
    if (end + 1 < l->n && l->s[end] == '.' && is_digit(l->s[end + 1]))
        fraction = digits(l, end + 1);
    size_t real = exponent(l, fraction);
    if (real > end && (begin == 0 || l->s[begin - 1] != '.')) {
        char text[400];
        size_t n = 0;
        for (size_t i = begin; i < real && n + 1 < sizeof text; i++)
            if (l->s[i] != '_')
                text[n++] = l->s[i];
        text[n] = 0;
        HONE_TRY(push(l, JINJA_T_FLOAT, begin, l->s + begin, real - begin, &t));
        t->real = strtod(text, NULL);
        pass(l, real);
        return HONE_OK;
    }
    int base = 10;
    size_t i = begin;
    if (l->s[i] == '0' && i + 1 < l->n) {
        char c = (char)(l->s[i + 1] | 32);
        int other = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 10;
        size_t first = i + 2 + (i + 2 < l->n && l->s[i + 2] == '_');
        if (other != 10 && first < l->n && digit_value(l->s[first]) < other) {
            base = other;
            i = first;
        }
    }
    int64_t value = 0;
    for (; i < l->n; i++) {
        if (l->s[i] == '_' && i + 1 < l->n && digit_value(l->s[i + 1]) < base)
            continue;
        int d = digit_value(l->s[i]);
        if (d >= base)
            break;
        if (__builtin_mul_overflow(value, base, &value) || __builtin_add_overflow(value, d, &value))
            return lexer_fail(l, begin, HONE_UNSUPPORTED, "a number beyond 64 bits");
    }
    HONE_TRY(push(l, JINJA_T_INT, begin, l->s + begin, i - begin, &t));
    t->integer = value;
    pass(l, i);
    return HONE_OK;
}

/* \xhh, \uhhhh, \Uhhhhhhhh at s (after the letter): the code, or -1. */
static int64_t hex_code(const char *s, size_t n, size_t want)
{
    int64_t code = 0;
    if (n < want)
        return -1;
    for (size_t i = 0; i < want; i++) {
        if (digit_value(s[i]) > 15)
            return -1;
        code = code * 16 + digit_value(s[i]);
    }
    return code;
}

/* One escape at s (after the backslash) as Python reads it; *used bytes of it. False: not an escape
 * that a template can hold. An empty escape (a backslash before a newline) has *put 0. */
static bool unescape(const char *s, size_t n, size_t *used, char *out, size_t *put)
{
    static const char letters[] = "\\'\"abfnrtv", codes[] = "\\'\"\a\b\f\n\r\t\v";
    const char *found = *s ? strchr(letters, *s) : NULL;
    *used = 1;
    *put = 1;
    if (found) {
        out[0] = codes[found - letters];
        return true;
    }
    if (*s == '\n') {
        *put = 0;
        return true;
    }
    int64_t code = -1;
    if (*s >= '0' && *s <= '7') {
        code = 0;
        for (*used = 0; *used < 3 && *used < n && s[*used] >= '0' && s[*used] <= '7'; ++*used)
            code = code * 8 + (s[*used] - '0');
    } else if (*s == 'x' || *s == 'u' || *s == 'U') {
        size_t want = *s == 'x' ? 2 : *s == 'u' ? 4 : 8;
        code = hex_code(s + 1, n - 1, want);
        *used = 1 + want;
        if (code < 0 || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
            return false;
    } else if (*s == 'N') {
        return false;
    }
    if (code >= 0) {
        *put = hone_utf8_put((uint32_t)code, out);
        return true;
    }
    out[0] = '\\'; /* not an escape: the backslash stays, and what follows is read again */
    *used = 0;
    return true;
}

static hone_status lex_string(lexer *l)
{
    size_t begin = l->at, end = begin + 1;
    char quote = l->s[begin];
    while (end < l->n && l->s[end] != quote)
        end += l->s[end] == '\\' ? 2 : 1;
    if (end >= l->n)
        return lexer_fail(l, begin, HONE_FORMAT, "a string begins here and never ends");
    char *text = hone_arena_alloc(l->arena, end - begin);
    if (!text)
        return hone_fail_memory(end - begin, "a template's string");
    size_t n = 0;
    for (size_t i = begin + 1; i < end;) {
        if (l->s[i] != '\\') {
            text[n++] = l->s[i++];
            continue;
        }
        size_t used, put;
        if (!unescape(l->s + i + 1, end - i - 1, &used, text + n, &put))
            return lexer_fail(l, i, HONE_FORMAT, "an escape in a string that is no character");
        i += 1 + used;
        n += put;
    }
    HONE_TRY(push(l, JINJA_T_STRING, begin, text, n, NULL));
    pass(l, end + 1);
    return HONE_OK;
}

static bool in_name(const char *s)
{
    if ((uint8_t)*s < 0x80)
        return is_digit(*s) || *s == '_' || ((*s | 32) >= 'a' && (*s | 32) <= 'z');
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)hone_utf8_code(s));
    return (c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_MC) || c == UTF8PROC_CATEGORY_ND ||
           c == UTF8PROC_CATEGORY_NL || c == UTF8PROC_CATEGORY_PC;
}

static hone_status lex_operator(lexer *l, char *open, size_t *depth, size_t depth_max)
{
    static const char *const two[] = {"//", "**", "==", "!=", ">=", "<="};
    size_t n = 0;
    for (size_t i = 0; i < sizeof two / sizeof *two && !n; i++)
        n = starts(l, l->at, two[i]) ? 2 : 0;
    char c = l->s[l->at];
    if (!n && c && strchr("+-/*%~[](){}<>=.:|,;", c))
        n = 1;
    if (!n) {
        size_t bytes = hone_utf8_length(c);
        return lexer_fail(l, l->at, HONE_FORMAT, "unexpected character '%.*s'", (int)bytes,
                          l->s + l->at);
    }
    if (n == 1 && strchr("([{", c)) {
        if (*depth == depth_max)
            return lexer_fail(l, l->at, HONE_LIMIT, "more than %zu brackets are open", depth_max);
        open[(*depth)++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (n == 1 && strchr(")]}", c)) {
        if (!*depth)
            return lexer_fail(l, l->at, HONE_FORMAT, "unexpected '%c'", c);
        if (open[--*depth] != c)
            return lexer_fail(l, l->at, HONE_FORMAT, "unexpected '%c', expected '%c'", c,
                              open[*depth]);
    }
    HONE_TRY(push(l, JINJA_T_OP, l->at, l->s + l->at, n, NULL));
    pass(l, l->at + n);
    return HONE_OK;
}

/* From after the beginning of a tag to its end. */
static hone_status lex_tag(lexer *l, size_t begin, const char *end, bool block)
{
    char open[2 * JINJA_NESTED_MAX];
    size_t depth = 0;
    while (l->at < l->n) {
        size_t n = depth ? 0 : tag_end(l, l->at, end, block);
        if (n) {
            HONE_TRY(push(l, block ? JINJA_T_END : JINJA_T_SHOWN, l->at, l->s + l->at, 2, NULL));
            pass(l, l->at + n);
            return HONE_OK;
        }
        const char *s = l->s + l->at;
        size_t space = space_at(l->s, l->n, l->at);
        if (space) {
            pass(l, l->at + space);
        } else if (is_digit(*s)) {
            HONE_TRY(lex_number(l));
        } else if (*s == '"' || *s == '\'') {
            HONE_TRY(lex_string(l));
        } else if (in_name(s)) {
            size_t i = l->at;
            while (i < l->n && in_name(l->s + i))
                i += hone_utf8_length(l->s[i]);
            HONE_TRY(push(l, JINJA_T_NAME, l->at, s, i - l->at, NULL));
            pass(l, i);
        } else {
            HONE_TRY(lex_operator(l, open, &depth, sizeof open));
        }
    }
    (void)begin;
    return HONE_OK; /* the parser says what is missing */
}

/* "raw" at `at` (after the sign) followed by the end of its tag: the tag's end, or 0. */
static size_t word_tag(const lexer *l, size_t at, const char *word, bool trims)
{
    at += space_at(l->s, l->n, at);
    if (!starts(l, at, word))
        return 0;
    at += strlen(word);
    at += space_at(l->s, l->n, at);
    if (at >= l->n)
        return 0;
    if (trims) {
        size_t n = tag_end(l, at, "%}", true);
        return n ? at + n : 0;
    }
    if (starts(l, at, "-%}"))
        return at + 3 + space_at(l->s, l->n, at + 3);
    return starts(l, at, "%}") ? at + 2 : 0;
}

static size_t sign_at(const lexer *l, size_t at, char *sign)
{
    *sign = at < l->n && (l->s[at] == '-' || l->s[at] == '+') ? l->s[at] : 0;
    return *sign != 0;
}

/* From after {% raw %} to after {% endraw %}. */
static hone_status lex_raw(lexer *l, size_t begin)
{
    size_t from = l->at;
    for (size_t i = from; i + 1 < l->n; i++) {
        if (l->s[i] != '{' || l->s[i + 1] != '%')
            continue;
        char sign;
        size_t after = i + 2 + sign_at(l, i + 2, &sign);
        size_t end = word_tag(l, after, "endraw", true);
        if (!end && sign) /* the sign may belong to nothing */
            continue;
        if (end) {
            HONE_TRY(push_data(l, from, i, sign, false));
            pass(l, end);
            return HONE_OK;
        }
    }
    return lexer_fail(l, begin, HONE_FORMAT, "{%% raw %%} without {%% endraw %%}");
}

static hone_status lex_comment(lexer *l, size_t begin)
{
    for (size_t i = l->at; i + 1 < l->n; i++) {
        size_t n = tag_end(l, i, "#}", true);
        if (n) {
            pass(l, i + n);
            return HONE_OK;
        }
    }
    return lexer_fail(l, begin, HONE_FORMAT, "a comment begins here and never ends");
}

static hone_status lex_all(lexer *l)
{
    while (l->at < l->n) {
        size_t tag = l->at;
        while (tag + 1 < l->n &&
               !(l->s[tag] == '{' && strchr("%{#", l->s[tag + 1]) && l->s[tag + 1]))
            tag++;
        if (tag + 1 >= l->n) {
            HONE_TRY(push(l, JINJA_T_DATA, l->at, l->s + l->at, l->n - l->at, NULL));
            pass(l, l->n);
            break;
        }
        char kind = l->s[tag + 1], sign;
        size_t after = tag + 2 + sign_at(l, tag + 2, &sign);
        HONE_TRY(push_data(l, l->at, tag, sign, kind == '{'));
        size_t raw = kind == '%' ? word_tag(l, after, "raw", false) : 0;
        if (raw) {
            pass(l, raw);
            HONE_TRY(lex_raw(l, tag));
        } else if (kind == '#') {
            pass(l, after);
            HONE_TRY(lex_comment(l, tag));
        } else {
            bool block = kind == '%';
            HONE_TRY(push(l, block ? JINJA_T_BEGIN : JINJA_T_PRINT, tag, l->s + tag, 2, NULL));
            pass(l, after);
            HONE_TRY(lex_tag(l, tag, block ? "%}" : "}}", block));
        }
    }
    return push(l, JINJA_T_EOF, l->n, "", 0, NULL);
}

hone_status jinja_lex(const char *source, size_t n, const char *name, hone_arena *arena,
                      jinja_token **tokens, size_t *count)
{
    if (n > JINJA_SOURCE_MAX)
        return hone_fail(HONE_LIMIT, "%.200s has %zu bytes, too many for a template", name, n);
    char *s = hone_arena_alloc(arena, n + 8); /* zeros behind: looking ahead is safe */
    if (!s)
        return hone_fail_memory(n, "a template");
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        if (source[i] == '\r') {
            s[used++] = '\n';
            i += i + 1 < n && source[i + 1] == '\n';
        } else {
            s[used++] = source[i];
        }
    }
    if (used && s[used - 1] == '\n')
        used--;
    memset(s + used, 0, n + 8 - used);
    size_t valid = hone_utf8_valid_prefix(s, used);
    lexer l = {.s = s,
               .n = used,
               .name = name,
               .arena = arena,
               .line = 1,
               .column = 1,
               .line_starting = true};
    if (valid != used)
        return lexer_fail(&l, valid, HONE_FORMAT, "the template is no valid UTF-8");
    HONE_TRY(lex_all(&l));
    *tokens = l.tokens;
    *count = l.count;
    return HONE_OK;
}
