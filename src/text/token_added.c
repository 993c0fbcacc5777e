/* Added tokens: found whole in the text, before (raw) or after (normalized) the normalizer. */
#include "text/tokenizer_internal.h"
#include "text/utf8.h"

#include <string.h>
#include <utf8proc.h>

void hone_trie_free(hone_trie *x)
{
    hone_free(x->edges);
    hone_free(x->leaf);
    *x = (hone_trie){0};
}

static uint32_t edge_slot(const hone_trie *x, uint32_t from, uint32_t byte)
{
    uint32_t h = (from * 256u + byte) * 0x9E3779B1u;
    h ^= h >> 15;
    for (uint32_t i = h & x->mask;; i = (i + 1) & x->mask)
        if (!x->edges[i].to || (x->edges[i].from == from && x->edges[i].byte == byte))
            return i;
}

static hone_status grow_edges(hone_trie *x)
{
    size_t slots = x->edges ? ((size_t)x->mask + 1) * 2 : 256, old = x->edges ? x->mask + 1u : 0;
    struct hone_trie_edge *before = x->edges, *fresh = hone_calloc(slots, sizeof *fresh);
    if (!fresh)
        return hone_fail_memory(slots * sizeof *fresh, "the added tokens");
    x->edges = fresh;
    x->mask = (uint32_t)(slots - 1);
    for (size_t i = 0; i < old; i++)
        if (before[i].to)
            x->edges[edge_slot(x, before[i].from, before[i].byte)] = before[i];
    hone_free(before);
    return HONE_OK;
}

static hone_status new_node(hone_trie *x)
{
    HONE_TRY(HONE_GROW(x->leaf, x->leaf_capacity, (size_t)x->n_nodes + 1));
    x->leaf[x->n_nodes++] = -1;
    return HONE_OK;
}

static hone_status trie_add(hone_trie *x, const char *s, size_t n, int32_t value)
{
    if (n == 0)
        return HONE_OK;
    if (x->n_nodes == 0)
        HONE_TRY(new_node(x));
    x->starts[(uint8_t)s[0]] = true;
    uint32_t node = 0;
    for (size_t i = 0; i < n; i++) {
        if (!x->edges || x->n_edges + 1 > x->mask / 2)
            HONE_TRY(grow_edges(x));
        uint32_t e = edge_slot(x, node, (uint8_t)s[i]);
        if (!x->edges[e].to) {
            HONE_TRY(new_node(x));
            x->edges[e] = (struct hone_trie_edge){node, (uint8_t)s[i], x->n_nodes - 1};
            x->n_edges++;
        }
        node = x->edges[e].to;
    }
    if (x->leaf[node] < 0)
        x->leaf[node] = value;
    return HONE_OK;
}

hone_status hone_added_build(hone_tokenizer *t)
{
    for (uint32_t i = 0; i < t->n_added; i++) {
        const hone_added *a = &t->added[i];
        const char *content = hone_pool_str(t, a->content);
        if (!a->normalized) {
            HONE_TRY(trie_add(&t->raw_trie, content, a->content.n, (int32_t)i));
            continue;
        }
        if (a->literal) {
            HONE_TRY(trie_add(&t->normalized_trie, content, a->content.n, (int32_t)i));
            continue;
        }
        /* What is sought in normalised text is normalised itself. */
        hone_scratch s;
        hone_str made = {0, 0};
        hone_status st = hone_scratch_init(&s, 0);
        if (st == HONE_OK)
            st = hone_normalize(t, &s, content, a->content.n, &made);
        if (st == HONE_OK)
            st = trie_add(&t->normalized_trie, s.text + made.at, made.n, (int32_t)i);
        hone_scratch_free(&s);
        HONE_TRY(st);
    }
    return HONE_OK;
}

/* The longest token that starts at p; its length, or 0. */
static size_t longest(const hone_trie *x, const char *p, size_t n, int32_t *value)
{
    size_t best = 0;
    uint32_t node = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t e = edge_slot(x, node, (uint8_t)p[i]);
        if (!x->edges[e].to)
            break;
        node = x->edges[e].to;
        if (x->leaf[node] >= 0) {
            best = i + 1;
            *value = x->leaf[node];
        }
    }
    return best;
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

static bool is_word(uint32_t c)
{
    utf8proc_category_t g = utf8proc_category((utf8proc_int32_t)c);
    return c == '_' || (g >= UTF8PROC_CATEGORY_LU && g <= UTF8PROC_CATEGORY_NO);
}

static bool stands_alone(const char *text, size_t n, size_t at, size_t end)
{
    size_t unused;
    return !(at > 0 && is_word(code_before(text, 0, at, &unused))) &&
           !(end < n && is_word(code_after(text, n, end, &unused)));
}

const hone_added *hone_added_next(const hone_tokenizer *t, const hone_trie *x, const char *text,
                                  size_t n, size_t from, bool parse_special, size_t *at,
                                  size_t *end)
{
    if (x->n_nodes == 0)
        return NULL;
    for (size_t i = from; i < n; i++) {
        if (!x->starts[(uint8_t)text[i]])
            continue;
        int32_t value = -1;
        size_t len = longest(x, text + i, n - i, &value);
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
