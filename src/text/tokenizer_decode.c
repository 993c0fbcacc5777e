/*
 * Ids to text. Decoding a list is streaming it into one buffer: both are the same code, so they
 * cannot differ.
 */
#include "base/utf8.h"
#include "text/tokenizer_internal.h"

#include <assert.h>
#include <string.h>

/* Invariant: between calls held[0..n_held) is an incomplete but so far well-formed code point. */
struct hone_detok {
    const hone_tokenizer *t;
    unsigned flags;
    bool midway, joined; /* joined: a token came before */
    bool any;            /* there is text already */
    bool ended;          /* the token before ended a word: a blank comes before the next */
    int32_t before;      /* the token before; -1: none */
    int strip;           /* blanks still to be taken off the start */
    char held[4];
    size_t n_held;
    char *text; /* the buffer of the last answer */
    size_t n, capacity;
};

static hone_status room(hone_detok *d, size_t more)
{
    size_t need;
    if (hone_add_overflow(d->n, more + 1, &need))
        return hone_fail(HONE_LIMIT, "the decoded text is too long");
    if (need <= d->capacity)
        return HONE_OK;
    size_t capacity = d->capacity * 2 > need ? d->capacity * 2 : need;
    char *grown = hone_realloc(d->text, capacity);
    if (!grown)
        return hone_fail_memory(capacity, "decoded text");
    d->text = grown;
    d->capacity = capacity;
    return HONE_OK;
}

static void put_replacement(hone_detok *d)
{
    memcpy(d->text + d->n, "\xEF\xBF\xBD", 3);
    d->n += 3;
}

/* One byte more; there is room for 6. */
static void put_byte(hone_detok *d, char c)
{
    size_t len;
    d->held[d->n_held++] = c;
    switch (hone_utf8_next(d->held, d->n_held, &len)) {
    case HONE_UTF8_INCOMPLETE:
        return;
    case HONE_UTF8_VALID:
        memcpy(d->text + d->n, d->held, len);
        d->n += len;
        d->n_held = 0;
        return;
    case HONE_UTF8_INVALID:
        /* What was held is a maximal part unless it is this very byte; that byte starts anew. */
        put_replacement(d);
        if (d->n_held == 1) {
            d->n_held = 0;
            return;
        }
        d->n_held = 0;
        put_byte(d, c);
        return;
    }
}

static hone_status put_bytes(hone_detok *d, const char *p, size_t n)
{
    while (d->strip > 0 && n > 0) {
        if (*p != ' ') {
            d->strip = 0;
            break;
        }
        p++;
        n--;
        d->strip--;
    }
    d->any = d->any || n > 0;
    size_t most;
    if (hone_mul_overflow(n, 3, &most))
        return hone_fail(HONE_LIMIT, "the decoded text is too long");
    HONE_TRY(room(d, most + 6));
    for (size_t i = 0; i < n;) {
        if (d->n_held == 0) { /* the usual case: whole code points */
            size_t good = hone_utf8_valid_prefix(p + i, n - i);
            memcpy(d->text + d->n, p + i, good);
            d->n += good;
            i += good;
            if (i == n)
                break;
        }
        put_byte(d, p[i++]);
    }
    return HONE_OK;
}

static hone_status put_token(hone_detok *d, int32_t id, size_t position)
{
    const hone_tokenizer *t = d->t;
    if (id < 0 || id >= t->n_tokens)
        return hone_fail(HONE_DATA, "token %d at position %zu is outside the vocabulary of %d", id,
                         position, t->n_tokens);
    bool stands_for_text = t->types[id] == HONE_TOKEN_UNKNOWN && t->out_unk.n;
    if ((d->flags & HONE_DECODE_SKIP_SPECIAL) && (t->flags[id] & HONE_TOKEN_IS_SPECIAL) &&
        !stands_for_text)
        return HONE_OK;
    bool repeated = t->skip_repeated && d->before == id;
    if (repeated)
        return HONE_OK;
    bool first = t->firsts && !d->joined && !d->midway;
    hone_str out = first ? t->firsts[id] : t->outs[id];
    if (t->strip_each && !d->any && !d->midway)
        d->strip = 1;
    if (t->types[id] == HONE_TOKEN_UNKNOWN && t->out_unk.n)
        d->strip = 0;                          /* its blanks are no text's */
    HONE_TRY(room(d, 3 * (size_t)out.n + 16)); /* so that nothing fails half way */
    if (d->ended || (t->join_blank && d->joined))
        HONE_TRY(put_bytes(d, " ", 1));
    d->joined = true;
    d->before = id;
    uint32_t end = t->out_end.n;
    d->ended = end && out.n >= end &&
               memcmp(hone_pool_str(t, out) + out.n - end, hone_pool_str(t, t->out_end), end) == 0;
    return put_bytes(d, hone_pool_str(t, out), out.n - (d->ended ? end : 0));
}

static void start(hone_detok *d)
{
    d->n = d->n_held = 0;
    d->joined = d->ended = d->any = false;
    d->before = -1;
    d->strip = d->midway ? 0 : d->t->strip_start;
}

static hone_status put_rest(hone_detok *d)
{
    HONE_TRY(room(d, 3));
    if (d->n_held)
        put_replacement(d);
    d->n_held = 0;
    return HONE_OK;
}

hone_status hone_tokenizer_decode(const hone_tokenizer *t, const int32_t *ids, size_t n,
                                  unsigned flags, char **text, size_t *bytes)
{
    hone_detok d = {.t = t, .flags = flags};
    *text = NULL;
    start(&d);
    hone_status s = room(&d, n < ((size_t)1 << 40) ? n * 4 : 0);
    for (size_t i = 0; i < n && s == HONE_OK; i++)
        s = put_token(&d, ids[i], i);
    if (s == HONE_OK)
        s = put_rest(&d);
    if (s != HONE_OK) {
        hone_free(d.text);
        return s;
    }
    assert(d.text); /* room() made it, also for no token at all */
    d.text[d.n] = 0;
    *text = d.text;
    if (bytes)
        *bytes = d.n;
    return HONE_OK;
}

hone_status hone_detok_open(const hone_tokenizer *t, unsigned flags, bool midway, hone_detok **out)
{
    hone_detok *d = *out = hone_calloc(1, sizeof *d);
    if (!d)
        return hone_fail_memory(sizeof *d, "a streaming decoder");
    d->t = t;
    d->flags = flags;
    d->midway = midway;
    start(d);
    hone_status s = room(d, 512);
    if (s != HONE_OK) {
        hone_free(d);
        *out = NULL;
    }
    return s;
}

hone_status hone_detok_push(hone_detok *d, int32_t id, const char **text, size_t *bytes)
{
    d->n = 0;
    *text = "";
    *bytes = 0;
    if (id < d->t->n_tokens) /* a model may choose a padded row of its embedding */
        HONE_TRY(put_token(d, id, 0));
    HONE_TRY(room(d, 1));
    d->text[d->n] = 0;
    *text = d->text;
    *bytes = d->n;
    return HONE_OK;
}

hone_status hone_detok_finish(hone_detok *d, const char **text, size_t *bytes)
{
    d->n = 0;
    *text = "";
    *bytes = 0;
    HONE_TRY(put_rest(d));
    *bytes = d->n;
    start(d);
    d->text[*bytes] = 0;
    *text = d->text;
    return HONE_OK;
}

void hone_detok_close(hone_detok *d)
{
    if (!d)
        return;
    hone_free(d->text);
    hone_free(d);
}
