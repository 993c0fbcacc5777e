/*
 * A set of strings as a trie, laid out breadth first: the children of a node lie side by side and
 * are found by their byte alone. Looking for what starts a text touches one node a byte.
 */
#include "text/tokenizer_internal.h"

#include <stdlib.h>

enum { NODES_MAX = 1 << 26 };

/* The entries under a node: they share their first `depth` bytes. */
typedef struct range {
    uint32_t from, to, depth;
} range;

typedef struct builder {
    const hone_tokenizer *t;
    const hone_trie_entry *entries;
    hone_trie *x;
    range *ranges; /* per node */
    uint32_t node_capacity, label_capacity, range_capacity;
} builder;

void hone_trie_free(hone_trie *x)
{
    hone_free(x->nodes);
    hone_free(x->labels);
    *x = (hone_trie){0};
}

static int by_string(const void *a, const void *b, void *pool)
{
    const hone_trie_entry *x = a, *y = b;
    const char *text = pool;
    uint32_t n = x->s.n < y->s.n ? x->s.n : y->s.n;
    int order = memcmp(text + x->s.at, text + y->s.at, n);
    if (order)
        return order;
    if (x->s.n != y->s.n)
        return x->s.n < y->s.n ? -1 : 1;
    return x->value < y->value ? -1 : x->value > y->value;
}

static hone_status add_node(builder *b, uint8_t label, range of)
{
    hone_trie *x = b->x;
    if (x->n_nodes >= NODES_MAX)
        return hone_fail(HONE_LIMIT, "the vocabulary's strings have more than %d distinct starts",
                         NODES_MAX);
    size_t need = (size_t)x->n_nodes + 1;
    HONE_TRY(HONE_GROW(x->nodes, b->node_capacity, need));
    HONE_TRY(HONE_GROW(x->labels, b->label_capacity, need));
    HONE_TRY(HONE_GROW(b->ranges, b->range_capacity, need));
    x->nodes[x->n_nodes] = (struct hone_trie_node){.value = -1};
    x->labels[x->n_nodes] = label;
    b->ranges[x->n_nodes++] = of;
    return HONE_OK;
}

static hone_status add_children(builder *b, uint32_t node)
{
    range r = b->ranges[node];
    uint32_t first = b->x->n_nodes;
    for (; r.from < r.to && b->entries[r.from].s.n == r.depth; r.from++)
        if (b->x->nodes[node].value < 0)
            b->x->nodes[node].value = b->entries[r.from].value;
    while (r.from < r.to) {
        const char *pool = b->t->pool;
        uint8_t c = (uint8_t)pool[b->entries[r.from].s.at + r.depth];
        uint32_t end = r.from + 1;
        while (end < r.to && (uint8_t)pool[b->entries[end].s.at + r.depth] == c)
            end++;
        HONE_TRY(add_node(b, c, (range){r.from, end, r.depth + 1}));
        r.from = end;
    }
    b->x->nodes[node].first = first;
    b->x->nodes[node].children = b->x->n_nodes - first;
    return HONE_OK;
}

static hone_status build_nodes(builder *b, uint32_t n)
{
    HONE_TRY(add_node(b, 0, (range){0, n, 0}));
    for (uint32_t i = 0; i < b->x->n_nodes; i++)
        HONE_TRY(add_children(b, i));
    const struct hone_trie_node *root = &b->x->nodes[0];
    for (uint32_t i = 0; i < root->children; i++)
        b->x->roots[b->x->labels[root->first + i]] = root->first + i;
    return HONE_OK;
}

hone_status hone_trie_build(hone_trie *x, const hone_tokenizer *t, hone_trie_entry *entries,
                            size_t n)
{
    hone_trie_free(x);
    if (n == 0)
        return HONE_OK;
    if (n > HONE_VOCAB_MAX * (size_t)2)
        return hone_fail(HONE_LIMIT, "%zu strings are too many to look for", n);
    qsort_r(entries, n, sizeof *entries, by_string, t->pool);
    builder b = {.t = t, .entries = entries, .x = x};
    hone_status s = build_nodes(&b, (uint32_t)n);
    hone_free(b.ranges);
    if (s != HONE_OK)
        hone_trie_free(x);
    return s;
}

hone_status hone_trie_of_symbols(hone_trie *x, hone_tokenizer *t, hone_str start)
{
    hone_trie_entry *entries = hone_malloc(((size_t)t->n_tokens + 1) * sizeof *entries);
    if (!entries)
        return hone_fail_memory((size_t)t->n_tokens * sizeof *entries, "the vocabulary's trie");
    size_t n = 0;
    for (int32_t i = 0; i < t->n_tokens; i++) {
        hone_str s = t->symbols[i];
        if (s.n > start.n && memcmp(hone_pool_str(t, s), hone_pool_str(t, start), start.n) == 0)
            entries[n++] = (hone_trie_entry){{s.at + start.n, s.n - start.n}, i};
    }
    hone_status s = hone_trie_build(x, t, entries, n);
    hone_free(entries);
    return s;
}

size_t hone_trie_longest(const hone_trie *x, const char *p, size_t n, int32_t *value)
{
    if (n == 0)
        return 0;
    size_t best = 0, i = 0;
    for (uint32_t node = x->roots[(uint8_t)p[0]]; node;) {
        i++;
        if (x->nodes[node].value >= 0) {
            best = i;
            *value = x->nodes[node].value;
        }
        node = i < n ? hone_trie_child(x, node, (uint8_t)p[i]) : 0;
    }
    return best;
}
