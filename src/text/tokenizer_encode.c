/*
 * Text to ids: added tokens in the raw text cut it into fragments; each fragment is normalised, cut
 * by the added tokens of normalised text, cut into words by the pre-tokenizer, and each word goes
 * to the model.
 */
#include "base/utf8.h"
#include "text/tokenizer_internal.h"

#include <string.h>

typedef struct encoding {
    const hone_tokenizer *t;
    hone_scratch s;
    bool parse_special;
} encoding;

static hone_status encode_words(encoding *e, hone_str whole, bool first)
{
    int which;
    HONE_TRY(hone_split(e->t, &e->s, whole, first, &which));
    for (uint32_t i = 0; i < e->s.n_pieces[which]; i++)
        HONE_TRY(hone_model_encode_word(e->t, &e->s, e->s.pieces[which][i]));
    return HONE_OK;
}

/* A fragment of well-formed UTF-8 without raw added tokens. */
static hone_status encode_fragment(encoding *e, const char *text, size_t n, bool first)
{
    hone_str whole;
    HONE_TRY(hone_steps_apply(e->t, &e->s, &e->t->norms, text, n, false, &whole));
    size_t done = 0, at, end;
    const hone_added *a;
    /* The scratch may move while words are encoded: its address is taken anew each time. */
    while ((a = hone_added_next(e->t, &e->t->normalized_trie, e->s.text + whole.at, whole.n, done,
                                e->parse_special, &at, &end))) {
        HONE_TRY(encode_words(e, (hone_str){whole.at + (uint32_t)done, (uint32_t)(at - done)},
                              first && done == 0));
        HONE_TRY(hone_scratch_put_id(&e->s, a->id));
        done = end;
    }
    return encode_words(e, (hone_str){whole.at + (uint32_t)done, whole.n - (uint32_t)done},
                        first && done == 0);
}

/* Runs of invalid bytes (byte-level models only) are words of their own. */
static hone_status encode_stretch(encoding *e, const char *text, size_t n, bool first)
{
    for (size_t i = 0; i < n;) {
        size_t good = hone_utf8_valid_prefix(text + i, n - i);
        if (good)
            HONE_TRY(encode_fragment(e, text + i, good, first && i == 0));
        i += good;
        size_t bad = i, len;
        while (i < n && hone_utf8_next(text + i, n - i, &len) != HONE_UTF8_VALID)
            i += len;
        if (i == bad)
            continue;
        hone_str w = {e->s.text_n, (uint32_t)(i - bad)};
        HONE_TRY(hone_scratch_put_text(&e->s, text + bad, i - bad));
        HONE_TRY(hone_model_encode_word(e->t, &e->s, w));
    }
    return HONE_OK;
}

static hone_status encode_text(encoding *e, const char *text, size_t n)
{
    size_t done = 0, at, end;
    const hone_added *a;
    while (
        (a = hone_added_next(e->t, &e->t->raw_trie, text, n, done, e->parse_special, &at, &end))) {
        HONE_TRY(encode_stretch(e, text + done, at - done, done == 0));
        HONE_TRY(hone_scratch_put_id(&e->s, a->id));
        done = end;
    }
    return encode_stretch(e, text + done, n - done, done == 0);
}

/* A copy with U+FFFD for each byte that is not part of well-formed UTF-8. */
static hone_status repair(const char *text, size_t n, char **out, size_t *bytes)
{
    char *p = hone_malloc(n * 3 + 1);
    if (!p)
        return hone_fail_memory(n * 3, "a text that is not UTF-8");
    size_t k = 0, len;
    for (size_t i = 0; i < n; i += len) {
        bool good = hone_utf8_next(text + i, n - i, &len) == HONE_UTF8_VALID;
        if (good)
            memcpy(p + k, text + i, len);
        else {
            memcpy(p + k, "\xEF\xBF\xBD", 3);
            len = 1;
        }
        k += good ? len : 3;
    }
    *out = p;
    *bytes = k;
    return HONE_OK;
}

static hone_status put_affix(hone_scratch *s, const int32_t *ids, int n)
{
    for (int i = 0; i < n; i++)
        HONE_TRY(hone_scratch_put_id(s, ids[i]));
    return HONE_OK;
}

static hone_status encode_all(encoding *e, const char *text, size_t n, bool add_special)
{
    const hone_tokenizer *t = e->t;
    HONE_TRY(hone_scratch_init(&e->s, n));
    HONE_TRY(HONE_GROW(e->s.ids, e->s.id_capacity, n / 4 + HONE_AFFIX_MAX));
    if (add_special)
        HONE_TRY(put_affix(&e->s, t->prefix, t->n_prefix));
    char *repaired = NULL;
    if (!t->byte_level && hone_utf8_valid_prefix(text, n) < n) {
        HONE_TRY(repair(text, n, &repaired, &n));
        text = repaired;
    }
    hone_status s = encode_text(e, text, n);
    hone_free(repaired);
    HONE_TRY(s);
    return add_special ? put_affix(&e->s, t->suffix, t->n_suffix) : HONE_OK;
}

hone_status hone_tokenizer_encode(const hone_tokenizer *t, const char *text, size_t n,
                                  unsigned flags, int32_t **ids, size_t *n_ids)
{
    *ids = NULL;
    *n_ids = 0;
    if (n > HONE_TEXT_MAX)
        return hone_fail(HONE_LIMIT,
                         "a text of %zu bytes is too long to encode at once (limit %zu)", n,
                         HONE_TEXT_MAX);
    encoding e = {.t = t, .parse_special = flags & HONE_ENCODE_PARSE_SPECIAL};
    hone_status s = encode_all(&e, n ? text : "", n, flags & HONE_ENCODE_ADD_SPECIAL);
    if (s == HONE_OK) {
        *ids = e.s.ids;
        *n_ids = e.s.n_ids;
        e.s.ids = NULL;
    }
    hone_scratch_free(&e.s);
    return s;
}
