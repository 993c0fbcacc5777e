/*
 * The pre-tokenizer: steps that cut a text into words, most of them by the expressions that models
 * were trained with (PCRE2 with its JIT). The list of words goes to and fro between two vectors.
 */
#include "text/tokenizer_internal.h"
#include "text/utf8.h"

#include <string.h>
#include <utf8proc.h>

const char hone_gpt2_expression[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

bool hone_is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

/* ---- expressions ---- */

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

/* ---- steps ---- */

/* Puts words behind each other in one vector, heeding a step's behaviour within each piece. */
typedef struct sink {
    hone_scratch *s;
    int to;
    const hone_split_step *step;
    bool any, last_match; /* of the piece at hand */
} sink;

static hone_status put(sink *k, hone_str w, bool match)
{
    if (w.n == 0)
        return HONE_OK;
    match = match != k->step->invert;
    hone_scratch *s = k->s;
    hone_str *last =
        k->any ? &s->pieces[k->to][s->n_pieces[k->to] - 1] : NULL; /* word before, same piece */
    bool join = false;
    switch (k->step->behaviour) {
    case HONE_SPLIT_ISOLATED:
        break;
    case HONE_SPLIT_REMOVED:
        if (match)
            return HONE_OK;
        break;
    case HONE_SPLIT_MERGED_PREVIOUS:
        join = last && match && !k->last_match;
        break;
    case HONE_SPLIT_MERGED_NEXT:
        join = last && !match && k->last_match;
        break;
    case HONE_SPLIT_CONTIGUOUS:
        join = last && match == k->last_match;
        break;
    }
    k->last_match = match;
    if (join) {
        last->n += w.n;
        return HONE_OK;
    }
    HONE_TRY(HONE_GROW(s->pieces[k->to], s->piece_capacity[k->to], (size_t)s->n_pieces[k->to] + 1));
    s->pieces[k->to][s->n_pieces[k->to]++] = w;
    k->any = true;
    return HONE_OK;
}

static hone_status split_expression(sink *k, hone_str piece)
{
    uint32_t done = 0, from, to;
    while (done < piece.n) {
        from = done;
        HONE_TRY(hone_expression_next(k->step->code, k->s, piece, &from, &to));
        HONE_TRY(put(k, (hone_str){piece.at + done, from - done}, false));
        HONE_TRY(put(k, (hone_str){piece.at + from, to - from}, true));
        done = to;
    }
    return HONE_OK;
}

static hone_status split_string(sink *k, hone_str piece, const char *what, uint32_t n)
{
    uint32_t done = 0;
    while (done < piece.n) {
        const char *p = k->s->text + piece.at + done;
        const char *hit = memmem(p, piece.n - done, what, n);
        uint32_t gap = hit ? (uint32_t)(hit - p) : piece.n - done;
        HONE_TRY(put(k, (hone_str){piece.at + done, gap}, false));
        done += gap;
        if (hit) {
            HONE_TRY(put(k, (hone_str){piece.at + done, n}, true));
            done += n;
        }
    }
    return HONE_OK;
}

static bool is_numeric(uint32_t c)
{
    if (c < 0x80)
        return c >= '0' && c <= '9';
    utf8proc_category_t g = utf8proc_category((utf8proc_int32_t)c);
    return g == UTF8PROC_CATEGORY_ND || g == UTF8PROC_CATEGORY_NL || g == UTF8PROC_CATEGORY_NO;
}

static hone_status split_digits(sink *k, hone_str piece)
{
    uint32_t start = 0;
    bool before = false;
    for (uint32_t i = 0; i < piece.n;) {
        const char *p = k->s->text + piece.at + i;
        uint32_t len = (uint32_t)hone_utf8_length(*p);
        bool digit = is_numeric(hone_utf8_code(p));
        if (i > 0 && (digit != before || (digit && k->step->individual))) {
            HONE_TRY(put(k, (hone_str){piece.at + start, i - start}, before));
            start = i;
        }
        before = digit;
        i += len;
    }
    return put(k, (hone_str){piece.at + start, piece.n - start}, before);
}

static hone_status split_metaspace(const hone_tokenizer *t, sink *k, hone_str piece, bool first)
{
    const hone_split_step *step = k->step;
    hone_scratch *s = k->s;
    const char *mark = hone_pool_str(t, step->what);
    uint32_t n = step->what.n, blanks = 0;
    for (uint32_t i = 0; i < piece.n; i++)
        blanks += s->text[piece.at + i] == ' ';
    HONE_TRY(hone_scratch_room(s, (size_t)piece.n + ((size_t)blanks + 1) * n));
    const char *p = s->text + piece.at;
    uint32_t start = s->text_n;
    bool marked = piece.n && (p[0] == ' ' || (piece.n >= n && memcmp(p, mark, n) == 0));
    bool wanted =
        step->prepend == HONE_PREPEND_ALWAYS || (step->prepend == HONE_PREPEND_FIRST && first);
    if (wanted && !marked)
        HONE_TRY(hone_scratch_put_text(s, mark, n));
    for (uint32_t i = 0; i < piece.n; i++) {
        if (p[i] == ' ')
            HONE_TRY(hone_scratch_put_text(s, mark, n));
        else
            s->text[s->text_n++] = p[i];
    }
    hone_str made = {start, s->text_n - start};
    return step->individual ? split_string(k, made, mark, n) : put(k, made, false);
}

static hone_status split_prefix(sink *k, hone_str piece)
{
    hone_scratch *s = k->s;
    if (piece.n && s->text[piece.at] == ' ')
        return put(k, piece, false);
    HONE_TRY(hone_scratch_room(s, (size_t)piece.n + 1));
    hone_str made = {s->text_n, piece.n + 1};
    s->text[s->text_n++] = ' ';
    HONE_TRY(hone_scratch_put_text(s, s->text + piece.at, piece.n));
    return put(k, made, false);
}

static hone_status split_piece(const hone_tokenizer *t, sink *k, hone_str piece, bool first)
{
    switch (k->step->kind) {
    case HONE_SPLIT_EXPRESSION:
        return split_expression(k, piece);
    case HONE_SPLIT_STRING:
        return split_string(k, piece, hone_pool_str(t, k->step->what), k->step->what.n);
    case HONE_SPLIT_DIGITS:
        return split_digits(k, piece);
    case HONE_SPLIT_METASPACE:
        return split_metaspace(t, k, piece, first);
    case HONE_SPLIT_PREFIX:
        return split_prefix(k, piece);
    }
    return HONE_OK;
}

/* Without a pre-tokenizer: cuts where no merge can reach over, so that words can be remembered. */
static hone_status split_at_cuts(const hone_tokenizer *t, sink *k, hone_str whole)
{
    const char *p = k->s->text + whole.at;
    uint32_t start = 0;
    bool meta_before = true;
    for (uint32_t i = 0; i < whole.n;) {
        uint8_t c = (uint8_t)p[i];
        if (c < 128) {
            if (t->cut_ascii[c]) {
                HONE_TRY(put(k, (hone_str){whole.at + start, i - start}, false));
                HONE_TRY(put(k, (hone_str){whole.at + i, 1}, false));
                start = i + 1;
            }
            meta_before = false;
            i++;
            continue;
        }
        bool meta = c == 0xE2 && whole.n - i >= 3 && memcmp(p + i, HONE_META_SPACE, 3) == 0;
        if (meta && !meta_before && t->cut_meta) {
            HONE_TRY(put(k, (hone_str){whole.at + start, i - start}, false));
            start = i;
        }
        meta_before = meta;
        i += meta ? 3 : (uint32_t)hone_utf8_length((char)c);
    }
    return put(k, (hone_str){whole.at + start, whole.n - start}, false);
}

hone_status hone_split(const hone_tokenizer *t, hone_scratch *s, hone_str whole, bool first,
                       int *which)
{
    static const hone_split_step as_is = {.behaviour = HONE_SPLIT_ISOLATED};
    s->n_pieces[0] = s->n_pieces[1] = 0;
    *which = 0;
    sink k = {.s = s, .to = 0, .step = &as_is};
    if (t->n_splits == 0)
        return t->byte_level ? put(&k, whole, false) : split_at_cuts(t, &k, whole);
    HONE_TRY(put(&k, whole, false));
    for (int i = 0; i < t->n_splits; i++) {
        int from = *which;
        k.to = *which = 1 - from;
        k.step = &t->splits[i];
        s->n_pieces[k.to] = 0;
        for (uint32_t j = 0; j < s->n_pieces[from]; j++) {
            k.any = false;
            HONE_TRY(split_piece(t, &k, s->pieces[from][j], first && j == 0));
        }
    }
    return HONE_OK;
}

hone_status hone_split_add_expression(hone_tokenizer *t, const char *pattern)
{
    pcre2_code *code;
    HONE_TRY(hone_expression_compile(pattern, strlen(pattern), "the pre-tokenizer", &code));
    return hone_split_add(t, (hone_split_step){.kind = HONE_SPLIT_EXPRESSION, .code = code});
}
