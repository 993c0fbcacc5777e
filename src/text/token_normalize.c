/* Normalizer steps: each reads a stretch of the scratch text and appends its result behind it. */
#include "text/tokenizer_internal.h"
#include "text/utf8.h"

#include <string.h>
#include <utf8proc.h>

static hone_status prepend(const hone_tokenizer *t, hone_scratch *s, const hone_norm_step *step,
                           hone_str in)
{
    if (in.n)
        HONE_TRY(hone_scratch_put_text(s, hone_pool_str(t, step->with), step->with.n));
    HONE_TRY(hone_scratch_room(s, in.n)); /* may move the text */
    return hone_scratch_put_text(s, s->text + in.at, in.n);
}

static hone_status replace(const hone_tokenizer *t, hone_scratch *s, const hone_norm_step *step,
                           hone_str in)
{
    const char *what = hone_pool_str(t, step->what), *with = hone_pool_str(t, step->with);
    size_t n = step->what.n, m = step->with.n, hits = 0;
    for (const char *p = s->text + in.at, *end = p + in.n;
         n && (p = memmem(p, (size_t)(end - p), what, n)); p += n)
        hits++;
    HONE_TRY(hone_scratch_room(s, in.n + hits * m));
    const char *p = s->text + in.at, *end = p + in.n;
    char *out = s->text + s->text_n;
    while (hits--) {
        const char *hit =
            n == 1 ? memchr(p, what[0], (size_t)(end - p)) : memmem(p, (size_t)(end - p), what, n);
        memcpy(out, p, (size_t)(hit - p));
        out += hit - p;
        memcpy(out, with, m);
        out += m;
        p = hit + n;
    }
    if (end > p)
        memcpy(out, p, (size_t)(end - p));
    out += end - p;
    s->text_n = (uint32_t)(out - s->text);
    return HONE_OK;
}

static hone_status replace_expression(const hone_tokenizer *t, hone_scratch *s,
                                      const hone_norm_step *step, hone_str in)
{
    uint32_t done = 0, from = 0, to = 0;
    for (;;) {
        from = to;
        HONE_TRY(hone_expression_next(step->code, s, in, &from, &to));
        HONE_TRY(hone_scratch_room(s, in.n));
        HONE_TRY(hone_scratch_put_text(s, s->text + in.at + done, from - done));
        if (from >= in.n)
            return HONE_OK;
        HONE_TRY(hone_scratch_put_text(s, hone_pool_str(t, step->with), step->with.n));
        done = to;
    }
}

static bool below_300(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((uint8_t)p[i] >= 0xCC) /* U+0300 and up */
            return false;
    return true;
}

static hone_status compose(hone_scratch *s, hone_norm_kind kind, hone_str in)
{
    const char *p = s->text + in.at;
    /* Code points below U+0300 are in NFC (Unicode Standard Annex 15, quick check). */
    if (kind == HONE_NORM_NFC && below_300(p, in.n)) {
        HONE_TRY(hone_scratch_room(s, in.n));
        return hone_scratch_put_text(s, s->text + in.at, in.n);
    }
    bool compat = kind == HONE_NORM_NFKC || kind == HONE_NORM_NFKD;
    bool joined = kind == HONE_NORM_NFC || kind == HONE_NORM_NFKC;
    utf8proc_option_t options =
        (utf8proc_option_t)(UTF8PROC_STABLE | (compat ? UTF8PROC_COMPAT : 0) |
                            (joined ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE));
    const utf8proc_uint8_t *bytes = (const utf8proc_uint8_t *)p;
    utf8proc_ssize_t need = utf8proc_decompose(bytes, in.n, NULL, 0, options);
    if (need < 0)
        return hone_fail(HONE_DATA, "cannot normalise the text: %s", utf8proc_errmsg(need));
    utf8proc_int32_t *codes = hone_malloc(((size_t)need + 1) * sizeof *codes);
    if (!codes)
        return hone_fail_memory((size_t)need * sizeof *codes, "normalising a text");
    hone_status st = HONE_OK;
    utf8proc_ssize_t n = utf8proc_decompose(bytes, in.n, codes, need, options);
    if (n >= 0)
        n = utf8proc_reencode(codes, n, options);
    if (n < 0)
        st = hone_fail(HONE_DATA, "cannot normalise the text: %s", utf8proc_errmsg(n));
    else
        st = hone_scratch_put_text(s, (const char *)codes, (size_t)n);
    hone_free(codes);
    return st;
}

static hone_status lowercase(hone_scratch *s, hone_str in)
{
    for (uint32_t i = 0; i < in.n;) {
        HONE_TRY(hone_scratch_room(s, 8));
        const char *p = s->text + in.at + i;
        char *out = s->text + s->text_n;
        uint32_t c = hone_utf8_code(p), len = (uint32_t)hone_utf8_length(*p);
        size_t n;
        if (c == 0x130) { /* the one character whose full lower case is two (SpecialCasing.txt) */
            memcpy(out, "i\xCC\x87", 3);
            n = 3;
        } else
            n = hone_utf8_put((uint32_t)utf8proc_tolower((utf8proc_int32_t)c), out);
        s->text_n += (uint32_t)n;
        i += len;
    }
    return HONE_OK;
}

/* The part of p[0..n) without White_Space at its left and/or right end. */
static hone_str strip(const char *p, hone_str in, bool left, bool right)
{
    uint32_t a = 0, b = in.n;
    while (left && a < b && hone_is_space(hone_utf8_code(p + a)))
        a += (uint32_t)hone_utf8_length(p[a]);
    while (right && b > a) {
        uint32_t c = b - 1;
        while (c > a && ((uint8_t)p[c] & 0xC0) == 0x80)
            c--;
        if (!hone_is_space(hone_utf8_code(p + c)))
            break;
        b = c;
    }
    return (hone_str){in.at + a, b - a};
}

static hone_status collapse(hone_scratch *s, hone_str in)
{
    HONE_TRY(hone_scratch_room(s, in.n));
    const char *p = s->text + in.at;
    uint32_t start = s->text_n;
    bool blank = true; /* drops blanks at the start */
    for (uint32_t i = 0; i < in.n; i++) {
        if (p[i] == ' ' && blank)
            continue;
        blank = p[i] == ' ';
        s->text[s->text_n++] = p[i];
    }
    if (blank && s->text_n > start)
        s->text_n--;
    return HONE_OK;
}

hone_status hone_normalize(const hone_tokenizer *t, hone_scratch *s, const char *text, size_t n,
                           hone_str *out)
{
    hone_str at = {s->text_n, (uint32_t)n};
    HONE_TRY(hone_scratch_put_text(s, text, n));
    for (int i = 0; i < t->n_norms; i++) {
        const hone_norm_step *step = &t->norms[i];
        uint32_t start = s->text_n;
        switch (step->kind) {
        case HONE_NORM_PREPEND:
            HONE_TRY(prepend(t, s, step, at));
            break;
        case HONE_NORM_REPLACE:
            HONE_TRY(replace(t, s, step, at));
            break;
        case HONE_NORM_EXPRESSION:
            HONE_TRY(replace_expression(t, s, step, at));
            break;
        case HONE_NORM_LOWERCASE:
            HONE_TRY(lowercase(s, at));
            break;
        case HONE_NORM_STRIP:
            at = strip(s->text + at.at, at, step->left, step->right);
            continue;
        case HONE_NORM_COLLAPSE:
            HONE_TRY(collapse(s, at));
            break;
        case HONE_NORM_NFC:
        case HONE_NORM_NFD:
        case HONE_NORM_NFKC:
        case HONE_NORM_NFKD:
            HONE_TRY(compose(s, step->kind, at));
            break;
        }
        at = (hone_str){start, s->text_n - start};
    }
    *out = at;
    return HONE_OK;
}
