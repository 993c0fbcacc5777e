/* Added tokens: found whole in the text, before (raw) or after (normalized) the normalizer. */
#include "base/utf8.h"
#include "text/tokenizer_internal.h"

/* What is sought in normalised text is normalised itself, unless literal. */
static hone_status sought(hone_tokenizer *t, const hone_added *a, hone_str *out)
{
    *out = a->content;
    if (!a->normalized || a->literal)
        return HONE_OK;
    hone_scratch s;
    hone_str made;
    hone_status st = hone_scratch_init(&s, 0);
    if (st == HONE_OK)
        st = hone_steps_apply(t, &s, &t->norms, hone_pool_str(t, a->content), a->content.n, false,
                              &made);
    if (st == HONE_OK)
        st = hone_pool_add(t, s.text + made.at, made.n, out);
    hone_scratch_free(&s);
    return st;
}

/* An added token cuts the text where it is found: in the middle of a character if it is none of
 * whole ones, and all that reads characters trusts them to be whole. */
static hone_status check_characters(const hone_tokenizer *t)
{
    for (uint32_t i = 0; i < t->n_added && !t->byte_level; i++) {
        hone_str s = t->added[i].content;
        if (hone_utf8_valid_prefix(hone_pool_str(t, s), s.n) < s.n)
            return hone_fail(HONE_FORMAT,
                             "the added token %d is not valid UTF-8, which only a byte-level "
                             "tokenizer may hold",
                             t->added[i].id);
    }
    return HONE_OK;
}

hone_status hone_added_build(hone_tokenizer *t)
{
    HONE_TRY(check_characters(t));
    size_t bytes = ((size_t)t->n_added + 1) * sizeof(hone_trie_entry), n[2] = {0, 0};
    hone_trie_entry *entries[2] = {hone_malloc(bytes), hone_malloc(bytes)};
    hone_status s = HONE_OK;
    if (!entries[0] || !entries[1])
        s = hone_fail_memory(bytes, "the added tokens");
    for (uint32_t i = 0; i < t->n_added && s == HONE_OK; i++) {
        hone_trie_entry e = {.value = (int32_t)i};
        s = sought(t, &t->added[i], &e.s);
        int which = t->added[i].normalized;
        if (s == HONE_OK && e.s.n > 0)
            entries[which][n[which]++] = e;
    }
    if (s == HONE_OK)
        s = hone_trie_build(&t->raw_trie, t, entries[0], n[0]);
    if (s == HONE_OK)
        s = hone_trie_build(&t->normalized_trie, t, entries[1], n[1]);
    hone_free(entries[0]);
    hone_free(entries[1]);
    return s;
}

/* The start of the code point that ends at text[end]; 0xFFFD where the text is not UTF-8. */
static uint32_t code_before(const char *text, size_t begin, size_t end, size_t *start)
{
    size_t i = end - 1, len;
    while (i > begin && end - i < 4 && ((uint8_t)text[i] & 0xC0) == 0x80)
        i--;
    *start = i;
    if (hone_utf8_next(text + i, end - i, &len) == HONE_UTF8_VALID && i + len == end)
        return hone_utf8_code(text + i);
    *start = end - 1;
    return 0xFFFD;
}

static uint32_t code_after(const char *text, size_t n, size_t at, size_t *len)
{
    return hone_utf8_next(text + at, n - at, len) == HONE_UTF8_VALID ? hone_utf8_code(text + at)
                                                                     : 0xFFFD;
}

static bool stands_alone(const char *text, size_t n, size_t at, size_t end)
{
    size_t unused;
    return !(at > 0 && hone_is_word(code_before(text, 0, at, &unused))) &&
           !(end < n && hone_is_word(code_after(text, n, end, &unused)));
}

const hone_added *hone_added_next(const hone_tokenizer *t, const hone_trie *x, const char *text,
                                  size_t n, size_t from, bool parse_special, size_t *at,
                                  size_t *end)
{
    if (x->n_nodes == 0)
        return NULL;
    for (size_t i = from; i < n; i++) {
        if (!x->roots[(uint8_t)text[i]])
            continue;
        int32_t value = -1;
        size_t len = hone_trie_longest(x, text + i, n - i, &value);
        if (!len)
            continue;
        const hone_added *a = &t->added[value];
        if ((a->special && !parse_special) ||
            (a->single_word && !stands_alone(text, n, i, i + len))) {
            i += len - 1; /* passed over whole, as the reference does */
            continue;
        }
        size_t start = i, stop = i + len, step;
        while (a->lstrip && start > from && hone_is_space(code_before(text, from, start, &step)))
            start = step;
        while (a->rstrip && stop < n && hone_is_space(code_after(text, n, stop, &step)))
            stop += step;
        *at = start;
        *end = stop;
        return a;
    }
    return NULL;
}
