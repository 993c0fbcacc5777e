/*
 * Regular expressions: PCRE2 with its JIT, bounded in time. Those of tokenizer.json are written for
 * Oniguruma (Ruby's syntax) and are put into PCRE2's words where the two differ.
 */
#include "base/utf8.h"
#include "text/tokenizer_internal.h"

static void *pcre_malloc(size_t n, void *unused)
{
    (void)unused;
    return hone_malloc(n);
}

static void pcre_free(void *p, void *unused)
{
    (void)unused;
    hone_free(p);
}

hone_status hone_expression_compile(const char *pattern, size_t n, const char *what,
                                    pcre2_code **out)
{
    *out = NULL;
    if (n > HONE_EXPRESSION_MAX)
        return hone_fail(HONE_LIMIT, "the expression of %s has %zu bytes, more than %d", what, n,
                         HONE_EXPRESSION_MAX);
    pcre2_general_context *g = pcre2_general_context_create(pcre_malloc, pcre_free, NULL);
    pcre2_compile_context *c = g ? pcre2_compile_context_create(g) : NULL;
    int error = 0;
    PCRE2_SIZE at = 0;
    if (c)
        *out = pcre2_compile((PCRE2_SPTR)pattern, n,
                             PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                             &error, &at, c);
    hone_status s = HONE_OK;
    if (!c || error == PCRE2_ERROR_HEAP_FAILED)
        s = hone_fail_memory(n, "a regular expression");
    else if (!*out) {
        PCRE2_UCHAR message[128];
        pcre2_get_error_message(error, message, sizeof message);
        s = hone_fail(HONE_FORMAT, "the expression of %s is wrong at byte %zu: %s", what, at,
                      (const char *)message);
    } else
        (void)pcre2_jit_compile(*out, PCRE2_JIT_COMPLETE); /* without it matching is slower */
    pcre2_compile_context_free(c);
    pcre2_general_context_free(g);
    return s;
}

/* ---- from Oniguruma ---- */

typedef struct translation {
    const char *p, *what;
    size_t n, i;
    char *out;
    size_t out_n, capacity;
    size_t atom;       /* where the last item that can be repeated starts in out */
    size_t groups[64]; /* where the open groups start */
    int n_groups;
} translation;

static hone_status put(translation *x, const char *s, size_t n)
{
    if (x->out_n + n > x->capacity)
        return hone_fail(HONE_LIMIT, "the expression of %s is too long", x->what);
    memcpy(x->out + x->out_n, s, n);
    x->out_n += n;
    return HONE_OK;
}

/* The classes that differ: \h is a hexadecimal digit there; \w knows marks and joiners. */
/* What Oniguruma takes for a word's characters. */
#define WORD                                                                                       \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\xB2\\xB3\\xB9\\xBC-\\xBE\\x{24B6}-\\x{24E9}"               \
    "\\x{1F130}-\\x{1F149}\\x{1F150}-\\x{1F169}\\x{1F170}-\\x{1F189}"

static const struct {
    char letter;
    const char *in_class, *alone; /* NULL: cannot be said there */
} letters[] = {
    {'h', "0-9a-fA-F", "[0-9a-fA-F]"},
    {'H', NULL, "[^0-9a-fA-F]"},
    {'w', WORD, "[" WORD "]"},
    {'W', NULL, "[^" WORD "]"},
};

static hone_status unsupported(const translation *x)
{
    return hone_fail(HONE_UNSUPPORTED,
                     "the expression of %s uses \"%.2s\" at byte %zu in Oniguruma's sense, which "
                     "hone does not know yet",
                     x->what, x->p + x->i, x->i);
}

static hone_status translate_escape(translation *x, bool in_class)
{
    if (x->i + 1 >= x->n)
        return put(x, x->p + x->i++, 1);
    char c = x->p[x->i + 1];
    for (size_t k = 0; k < sizeof letters / sizeof *letters; k++) {
        if (letters[k].letter != c)
            continue;
        const char *with = in_class ? letters[k].in_class : letters[k].alone;
        if (!with)
            return unsupported(x);
        x->i += 2;
        return put(x, with, strlen(with));
    }
    size_t n = 2;
    if ((c == 'p' || c == 'P' || c == 'x') && x->i + 2 < x->n && x->p[x->i + 2] == '{') {
        const char *end = memchr(x->p + x->i, '}', x->n - x->i);
        n = end ? (size_t)(end - (x->p + x->i)) + 1 : n;
        /* A script's name means the script there, here its extensions as well. */
        size_t name = x->i + 3 + (x->i + 3 < x->n && x->p[x->i + 3] == '^'), last = x->i + n - 1;
        if (end && c != 'x' && last > name && hone_is_script(x->p + name, last - name)) {
            HONE_TRY(put(x, x->p + x->i, name - x->i));
            HONE_TRY(put(x, "sc:", 3));
            n -= name - x->i;
            x->i = name;
        }
    }
    HONE_TRY(put(x, x->p + x->i, n));
    x->i += n;
    return HONE_OK;
}

/* A class within a class adds to it: its brackets are left out. */
static hone_status translate_class(translation *x)
{
    int inner = 0;
    HONE_TRY(put(x, x->p + x->i++, 1));
    if (x->i < x->n && x->p[x->i] == '^')
        HONE_TRY(put(x, x->p + x->i++, 1));
    if (x->i < x->n && x->p[x->i] == ']') /* as the first it is no end */
        HONE_TRY(put(x, x->p + x->i++, 1));
    while (x->i < x->n) {
        const char *p = x->p + x->i;
        size_t left = x->n - x->i;
        if (*p == '\\') {
            HONE_TRY(translate_escape(x, true));
            continue;
        }
        const char *end = left > 1 && p[0] == '[' && p[1] == ':' ? memmem(p, left, ":]", 2) : NULL;
        if ((left > 1 && p[0] == '&' && p[1] == '&') || (left > 1 && p[0] == '[' && p[1] == '^'))
            return unsupported(x);
        if (end) { /* [:name:] */
            HONE_TRY(put(x, p, (size_t)(end - p) + 2));
            x->i += (size_t)(end - p) + 2;
            continue;
        }
        x->i++;
        if (*p == '[')
            inner++;
        else if (*p == ']' && inner > 0)
            inner--;
        else {
            HONE_TRY(put(x, p, 1));
            if (*p == ']')
                return HONE_OK;
        }
    }
    return HONE_OK;
}

/* Where the class at x->i ends, and its "&&" (0: none); false if it is not of one simple "&&". */
static bool find_intersection(const translation *x, size_t *both, size_t *end)
{
    int depth = 0;
    *both = 0;
    for (size_t i = x->i; i < x->n; i++) {
        if (x->p[i] == '\\')
            i++;
        else if (x->p[i] == '[')
            depth++;
        else if (x->p[i] == ']' && --depth == 0) {
            *end = i;
            return true;
        } else if (depth == 1 && x->p[i] == '&' && i + 1 < x->n && x->p[i + 1] == '&') {
            if (*both)
                return false;
            *both = i++;
        }
    }
    *both = 0; /* it does not end: PCRE2 will say so */
    return true;
}

static hone_status translate_part(translation *x, const char *p, size_t n)
{
    translation part = *x;
    part.p = p;
    part.n = n;
    part.i = 0;
    HONE_TRY(translate_class(&part));
    x->out_n = part.out_n;
    return HONE_OK;
}

/* [A&&[B]] is what follows as B and is of A. */
static hone_status translate_both(translation *x, size_t both, size_t end)
{
    const char *left = x->p + x->i, *right = x->p + both + 2;
    size_t n = both - x->i, m = end - both - 2;
    if (left[1] == '^' || m < 2 || right[0] != '[' || right[m - 1] != ']')
        return unsupported(x);
    char first[HONE_EXPRESSION_MAX / 8];
    if (n + 1 > sizeof first)
        return hone_fail(HONE_LIMIT, "a class of the expression of %s is too long", x->what);
    memcpy(first, left, n);
    first[n] = ']';
    HONE_TRY(put(x, "(?:(?=", 6));
    HONE_TRY(translate_part(x, right, m));
    HONE_TRY(put(x, ")", 1));
    HONE_TRY(translate_part(x, first, n + 1));
    HONE_TRY(put(x, ")", 1));
    x->i = end + 1;
    return HONE_OK;
}

static hone_status translate_set(translation *x)
{
    size_t both, end;
    if (!find_intersection(x, &both, &end))
        return unsupported(x);
    return both ? translate_both(x, both, end) : translate_class(x);
}

/* X{n,m}+ repeats the whole there, where it is possessive here. */
static hone_status translate_braces(translation *x)
{
    const char *end = memchr(x->p + x->i, '}', x->n - x->i);
    size_t n = end ? (size_t)(end - (x->p + x->i)) + 1 : 1;
    bool interval = n > 2 && x->p[x->i + 1] >= '0' && x->p[x->i + 1] <= '9';
    HONE_TRY(put(x, x->p + x->i, n));
    x->i += n;
    if (!interval || x->i >= x->n || x->p[x->i] != '+')
        return HONE_OK;
    HONE_TRY(put(x, "    ", 4)); /* room for "(?:" and ")" */
    memmove(x->out + x->atom + 3, x->out + x->atom, x->out_n - 4 - x->atom);
    memcpy(x->out + x->atom, "(?:", 3);
    x->out[x->out_n - 1] = ')';
    return HONE_OK;
}

static hone_status translate(translation *x)
{
    while (x->i < x->n) {
        char c = x->p[x->i];
        if (c == '{') {
            HONE_TRY(translate_braces(x));
            continue;
        }
        if (!strchr("*+?|)", c) || c == 0)
            x->atom = x->out_n;
        if (c == '\\')
            HONE_TRY(translate_escape(x, false));
        else if (c == '[')
            HONE_TRY(translate_set(x));
        else {
            if (c == '(' && x->n_groups < 64)
                x->groups[x->n_groups++] = x->out_n;
            else if (c == '(')
                return hone_fail(HONE_LIMIT, "the expression of %s has more than 64 open groups",
                                 x->what);
            if (c == ')' && x->n_groups > 0)
                x->atom = x->groups[--x->n_groups];
            HONE_TRY(put(x, x->p + x->i, 1));
            x->i++;
        }
    }
    return HONE_OK;
}

hone_status hone_expression_compile_onig(const char *pattern, size_t n, const char *what,
                                         pcre2_code **out)
{
    *out = NULL;
    if (n > HONE_EXPRESSION_MAX)
        return hone_fail(HONE_LIMIT, "the expression of %s has %zu bytes, more than %d", what, n,
                         HONE_EXPRESSION_MAX);
    translation x = {.p = pattern, .what = what, .n = n, .capacity = HONE_EXPRESSION_MAX};
    x.out = hone_malloc(x.capacity);
    if (!x.out)
        return hone_fail_memory(x.capacity, "a regular expression");
    hone_status s = translate(&x);
    if (s == HONE_OK)
        s = hone_expression_compile(x.out, x.out_n, what, out);
    hone_free(x.out);
    return s;
}

/* ---- matching ---- */

static hone_status prepare_matching(hone_scratch *s)
{
    if (s->match)
        return HONE_OK;
    pcre2_general_context *g = pcre2_general_context_create(pcre_malloc, pcre_free, NULL);
    if (g) {
        s->context = pcre2_match_context_create(g);
        s->match = pcre2_match_data_create(1, g);
        pcre2_general_context_free(g);
    }
    if (!s->match || !s->context)
        return hone_fail_memory(256, "matching an expression");
    pcre2_set_heap_limit(s->context, 64 * 1024); /* KiB */
    return HONE_OK;
}

hone_status hone_expression_next(const pcre2_code *code, hone_scratch *s, hone_str piece,
                                 uint32_t *from, uint32_t *to)
{
    HONE_TRY(prepare_matching(s));
    uint32_t start = *from;
    /* Enough for expressions that look at each byte a few times; a hostile one stops here. */
    uint64_t limit = 1000000u + 8ull * piece.n;
    pcre2_set_match_limit(s->context, limit > UINT32_MAX ? UINT32_MAX : (uint32_t)limit);
    for (;;) {
        int rc = pcre2_match(code, (PCRE2_SPTR)(s->text + piece.at), piece.n, start,
                             PCRE2_NO_UTF_CHECK, s->match, s->context);
        if (rc == PCRE2_ERROR_JIT_STACKLIMIT && !s->jit_stack) {
            pcre2_general_context *g = pcre2_general_context_create(pcre_malloc, pcre_free, NULL);
            s->jit_stack = g ? pcre2_jit_stack_create(64 * 1024, 32 * 1024 * 1024, g) : NULL;
            pcre2_general_context_free(g);
            if (!s->jit_stack)
                return hone_fail_memory(64 * 1024, "matching an expression");
            pcre2_jit_stack_assign(s->context, NULL, s->jit_stack);
            continue;
        }
        if (rc == PCRE2_ERROR_NOMATCH) {
            *from = *to = piece.n;
            return HONE_OK;
        }
        if (rc == PCRE2_ERROR_NOMEMORY)
            return hone_fail_memory(0, "matching an expression");
        if (rc < 0) {
            PCRE2_UCHAR message[128];
            pcre2_get_error_message(rc, message, sizeof message);
            return hone_fail(HONE_LIMIT,
                             "the tokenizer's expression gave up on the word at byte %u of a piece "
                             "of %u bytes (%s): break the text there",
                             start, piece.n, (const char *)message);
        }
        const PCRE2_SIZE *v = pcre2_get_ovector_pointer(s->match);
        if (v[1] > v[0] && v[0] >= start) {
            *from = (uint32_t)v[0];
            *to = (uint32_t)v[1];
            return HONE_OK;
        }
        if (v[0] >= piece.n || v[0] < start) { /* an empty match at the end, or a \K trick */
            *from = *to = piece.n;
            return HONE_OK;
        }
        start = (uint32_t)v[0] + (uint32_t)hone_utf8_length(s->text[piece.at + v[0]]);
    }
}
