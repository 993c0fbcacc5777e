/*
 * The pre-tokenizer: steps that cut a text into words, most of them by the expressions that models
 * were trained with. The list of words goes to and fro between two vectors.
 */
#include "base/utf8.h"
#include "text/tokenizer_internal.h"

#include <assert.h>

const char hone_gpt2_expression[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

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
    assert(s->pieces[k->to]); /* grown above */
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

/* Each character of the class is a match of its own. */
static hone_status split_class(sink *k, hone_str piece)
{
    bool (*is)(uint32_t) = k->step->is;
    uint32_t start = 0;
    for (uint32_t i = 0; i < piece.n;) {
        const char *p = k->s->text + piece.at + i;
        uint32_t len = (uint32_t)hone_utf8_length(*p);
        if (is(hone_utf8_code(p))) {
            HONE_TRY(put(k, (hone_str){piece.at + start, i - start}, false));
            HONE_TRY(put(k, (hone_str){piece.at + i, len}, true));
            start = i + len;
        }
        i += len;
    }
    return put(k, (hone_str){piece.at + start, piece.n - start}, false);
}

static hone_status split_words(sink *k, hone_str piece)
{
    enum kind { SPACE, WORD, OTHER } before = SPACE, now;
    uint32_t start = 0;
    for (uint32_t i = 0; i <= piece.n;) {
        const char *p = k->s->text + piece.at + i;
        uint32_t c = i < piece.n ? hone_utf8_code(p) : ' ';
        now = hone_is_word(c) ? WORD : hone_is_space(c) ? SPACE : OTHER;
        if (now != before) {
            if (before != SPACE)
                HONE_TRY(put(k, (hone_str){piece.at + start, i - start}, true));
            start = i;
        }
        before = now;
        i += i < piece.n ? (uint32_t)hone_utf8_length(*p) : 1;
    }
    return HONE_OK;
}

/* Numbers in groups of three, counted from their right end; `individual`: only those that end a
 * word. */
static hone_status split_triples(sink *k, hone_str piece)
{
    uint32_t start = 0, i = 0, len = 0;
    while (i < piece.n) {
        const char *p = k->s->text + piece.at;
        uint32_t digits = 0, end = i;
        for (; end < piece.n && hone_is_number(hone_utf8_code(p + end)); digits++)
            end += (uint32_t)hone_utf8_length(p[end]);
        bool inside = k->step->individual && end < piece.n && hone_is_word(hone_utf8_code(p + end));
        if (digits == 0 || inside) {
            i = digits ? end : i + (uint32_t)hone_utf8_length(p[i]);
            continue;
        }
        HONE_TRY(put(k, (hone_str){piece.at + start, i - start}, false));
        for (uint32_t left = digits; left > 0; i += len) {
            uint32_t group = left % 3 ? left % 3 : 3;
            for (len = 0, left -= group; group > 0; group--)
                len += (uint32_t)hone_utf8_length(k->s->text[piece.at + i + len]);
            HONE_TRY(put(k, (hone_str){piece.at + i, len}, true));
        }
        start = i;
    }
    return put(k, (hone_str){piece.at + start, piece.n - start}, false);
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
    case HONE_SPLIT_CLASS:
        return split_class(k, piece);
    case HONE_SPLIT_WORDS:
        return split_words(k, piece);
    case HONE_SPLIT_TRIPLES:
        return split_triples(k, piece);
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
        return t->model != &hone_model_bpe || t->byte_level ? put(&k, whole, false)
                                                            : split_at_cuts(t, &k, whole);
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
