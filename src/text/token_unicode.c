/* Classes of characters, and the steps that need to know Unicode (utf8proc). */
#include "base/utf8.h"
#include "text/tokenizer_internal.h"

#include <utf8proc.h>

/* ---- classes ---- */

static utf8proc_category_t category(uint32_t c)
{
    return utf8proc_category((utf8proc_int32_t)c);
}

bool hone_is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

bool hone_is_number(uint32_t c)
{
    if (c < 0x80)
        return c >= '0' && c <= '9';
    utf8proc_category_t g = category(c);
    return g == UTF8PROC_CATEGORY_ND || g == UTF8PROC_CATEGORY_NL || g == UTF8PROC_CATEGORY_NO;
}

static bool is_ascii_word(uint32_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

bool hone_is_punctuation(uint32_t c)
{
    if (c < 0x80)
        return c > 0x20 && c < 0x7F && (!is_ascii_word(c) || c == '_');
    utf8proc_category_t g = category(c);
    return g >= UTF8PROC_CATEGORY_PC && g <= UTF8PROC_CATEGORY_PO;
}

bool hone_is_cjk(uint32_t c)
{
    /* The fifth block starts at 2B920 in the reference too, though CJK Extension E is at 2B820. */
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
           (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
           (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
           (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

bool hone_is_word(uint32_t c)
{
    if (c < 0x80)
        return is_ascii_word(c);
    /* Other_Alphabetic that is no mark, and Join_Control. */
    if ((c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
        (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189) || c == 0x200C ||
        c == 0x200D)
        return true;
    utf8proc_category_t g = category(c);
    return (g >= UTF8PROC_CATEGORY_LU && g <= UTF8PROC_CATEGORY_NL) || g == UTF8PROC_CATEGORY_PC;
}

/* ---- steps ---- */

/* One code point of a text being rewritten; 4 bytes of room are there. */
static void put_code(hone_scratch *s, uint32_t c)
{
    s->text_n += (uint32_t)hone_utf8_put(c, s->text + s->text_n);
}

/*
 * True if nothing before or after this character can change it or be changed by it: it starts no
 * earlier composition and has neither decomposition nor combining class. ASCII only starts some.
 */
static bool is_boundary(uint32_t c)
{
    if (c < 0x80)
        return true;
    if (c >= 0x1100 && c <= 0x11FF) /* Hangul is composed by rule */
        return false;
    const utf8proc_property_t *p = utf8proc_get_property((utf8proc_int32_t)c);
    return p->combining_class == 0 && p->decomp_seqindex == UINT16_MAX &&
           p->comb_index == UINT16_MAX && !(c >= 0xAC00 && c <= 0xD7A3);
}

/* A stretch of s->text that starts at a boundary and ends before one. */
static hone_status compose_stretch(hone_scratch *s, hone_step_kind kind, hone_str in)
{
    bool compat = kind == HONE_STEP_NFKC || kind == HONE_STEP_NFKD;
    bool joined = kind == HONE_STEP_NFC || kind == HONE_STEP_NFKC;
    utf8proc_option_t options =
        (utf8proc_option_t)(UTF8PROC_STABLE | (compat ? UTF8PROC_COMPAT : 0) |
                            (joined ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE));
    utf8proc_ssize_t n;
    for (size_t room = (size_t)in.n + 32;; room = (size_t)n) {
        HONE_TRY(HONE_GROW(s->codes, s->code_capacity, room + 1));
        n = utf8proc_decompose((const utf8proc_uint8_t *)s->text + in.at, in.n, s->codes,
                               (utf8proc_ssize_t)s->code_capacity - 1, options);
        if (n < (utf8proc_ssize_t)s->code_capacity)
            break;
    }
    if (n >= 0)
        n = utf8proc_reencode(s->codes, n, options);
    if (n < 0)
        return hone_fail(HONE_DATA, "cannot normalise the text: %s", utf8proc_errmsg(n));
    return hone_scratch_put_text(s, (const char *)s->codes, (size_t)n);
}

hone_status hone_step_compose(const hone_tokenizer *t, hone_scratch *s, const hone_step *step,
                              hone_str in)
{
    (void)t;
    HONE_TRY(hone_scratch_room(s, in.n));
    uint32_t done = 0, before = 0; /* before: the start of the last character */
    for (uint32_t i = 0; i < in.n;) {
        const char *p = s->text + in.at;
        if ((uint8_t)p[i] < 0x80 || is_boundary(hone_utf8_code(p + i))) {
            before = i;
            i += (uint32_t)hone_utf8_length(p[i]);
            continue;
        }
        while (i < in.n && !is_boundary(hone_utf8_code(p + i)))
            i += (uint32_t)hone_utf8_length(p[i]);
        HONE_TRY(hone_scratch_room(s, in.n - done));
        HONE_TRY(hone_scratch_put_text(s, s->text + in.at + done, before - done));
        HONE_TRY(compose_stretch(s, step->kind, (hone_str){in.at + before, i - before}));
        done = before = i;
    }
    HONE_TRY(hone_scratch_room(s, in.n - done));
    return hone_scratch_put_text(s, s->text + in.at + done, in.n - done);
}

hone_status hone_step_lowercase(const hone_tokenizer *t, hone_scratch *s, const hone_step *step,
                                hone_str in)
{
    (void)t, (void)step;
    HONE_TRY(hone_scratch_room(s, 2 * (size_t)in.n)); /* U+023A grows from 2 bytes to 3 */
    for (uint32_t i = 0; i < in.n;) {
        const char *p = s->text + in.at + i;
        if ((uint8_t)*p < 0x80) {
            s->text[s->text_n++] = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
            i++;
            continue;
        }
        uint32_t c = hone_utf8_code(p);
        if (c == 0x130) { /* the one whose full lower case is two characters (SpecialCasing.txt) */
            put_code(s, 'i');
            c = 0x307;
        }
        put_code(s, (uint32_t)utf8proc_tolower((utf8proc_int32_t)c));
        i += (uint32_t)hone_utf8_length(*p);
    }
    return HONE_OK;
}

hone_status hone_step_strip(const hone_tokenizer *t, hone_scratch *s, const hone_step *step,
                            hone_str in)
{
    (void)t;
    const char *p = s->text + in.at;
    uint32_t a = 0, b = in.n;
    while (step->left && a < b && hone_is_space(hone_utf8_code(p + a)))
        a += (uint32_t)hone_utf8_length(p[a]);
    while (step->right && b > a) {
        uint32_t c = b - 1;
        while (c > a && ((uint8_t)p[c] & 0xC0) == 0x80)
            c--;
        if (!hone_is_space(hone_utf8_code(p + c)))
            break;
        b = c;
    }
    HONE_TRY(hone_scratch_room(s, b - a));
    return hone_scratch_put_text(s, s->text + in.at + a, b - a);
}

/* Category C but what is not assigned, as BertNormalizer sees it. */
static bool is_other(uint32_t c)
{
    utf8proc_category_t g = category(c);
    return g == UTF8PROC_CATEGORY_CC || g == UTF8PROC_CATEGORY_CF || g == UTF8PROC_CATEGORY_CS ||
           g == UTF8PROC_CATEGORY_CO;
}

hone_status hone_step_clean(const hone_tokenizer *t, hone_scratch *s, const hone_step *step,
                            hone_str in)
{
    (void)t, (void)step;
    HONE_TRY(hone_scratch_room(s, in.n));
    for (uint32_t i = 0; i < in.n;) {
        const char *p = s->text + in.at + i;
        uint32_t c = hone_utf8_code(p);
        i += (uint32_t)hone_utf8_length(*p);
        if (c > 0x20 && c < 0x7F)
            s->text[s->text_n++] = (char)c;
        else if (c == '\t' || c == '\n' || c == '\r')
            s->text[s->text_n++] = ' ';
        else if (c == 0 || c == 0xFFFD || is_other(c))
            continue;
        else
            put_code(s, hone_is_space(c) ? ' ' : c);
    }
    return HONE_OK;
}

hone_status hone_step_space_cjk(const hone_tokenizer *t, hone_scratch *s, const hone_step *step,
                                hone_str in)
{
    (void)t, (void)step;
    HONE_TRY(hone_scratch_room(s, 2 * (size_t)in.n)); /* 5 bytes for 3 */
    for (uint32_t i = 0; i < in.n;) {
        const char *p = s->text + in.at + i;
        uint32_t c = hone_utf8_code(p);
        i += (uint32_t)hone_utf8_length(*p);
        if (c < 0x3400 || !hone_is_cjk(c)) {
            put_code(s, c);
            continue;
        }
        put_code(s, ' ');
        put_code(s, c);
        put_code(s, ' ');
    }
    return HONE_OK;
}

hone_status hone_step_drop_marks(const hone_tokenizer *t, hone_scratch *s, const hone_step *step,
                                 hone_str in)
{
    (void)t;
    HONE_TRY(hone_scratch_room(s, in.n));
    for (uint32_t i = 0; i < in.n;) {
        const char *p = s->text + in.at + i;
        uint32_t c = hone_utf8_code(p);
        i += (uint32_t)hone_utf8_length(*p);
        utf8proc_category_t g = c < 0x300 ? UTF8PROC_CATEGORY_LL : category(c);
        if (g == UTF8PROC_CATEGORY_MN ||
            (step->all && (g == UTF8PROC_CATEGORY_MC || g == UTF8PROC_CATEGORY_ME)))
            continue;
        put_code(s, c);
    }
    return HONE_OK;
}

/* SentencePiece's nmt rules (tokenizers, normalizers/unicode.rs: Nmt). */
hone_status hone_step_nmt(const hone_tokenizer *t, hone_scratch *s, const hone_step *step,
                          hone_str in)
{
    (void)t, (void)step;
    HONE_TRY(hone_scratch_room(s, in.n));
    for (uint32_t i = 0; i < in.n;) {
        const char *p = s->text + in.at + i;
        uint32_t c = hone_utf8_code(p);
        i += (uint32_t)hone_utf8_length(*p);
        if ((c >= 1 && c <= 8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F ||
            c == 0x9F)
            continue;
        bool blank = c == 9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 ||
                     (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                     c == 0xFEFF || c == 0xFFFD;
        put_code(s, blank ? ' ' : c);
    }
    return HONE_OK;
}
