#include "cache/pages.h"

#include "base/mem.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* A page is in one of three places: free list, in use (refs > 0), or idle (refs 0, in the index and
 * in the LRU ring). */
typedef struct page {
    uint32_t refs;
    int32_t next, previous; /* LRU ring of idle pages, or free list by next */
    int32_t node;           /* that has it, or HONE_PAGE_NONE */
    uint32_t table;         /* as which page of the node */
    bool used;
} page;

typedef struct node {
    int32_t parent; /* a node or a root */
    int32_t chain;  /* next node in the same bucket, or in the free list */
    uint32_t bucket, holders, children, pages;
    int32_t tokens[HONE_PAGE_POSITIONS];
} node;

struct hone_pages {
    size_t page_bytes;
    uint32_t count, tables, held, buckets, max_nodes;
    int32_t free_first, free_node;
    int32_t idle_oldest, idle_newest;
    page *pages;
    node *nodes;
    int32_t *node_pages; /* [max_nodes][tables] */
    int32_t *index;      /* [buckets] first node of each chain */
    uint8_t *memory;
    size_t memory_bytes;
};

static void make_lists(hone_pages *p)
{
    for (uint32_t b = 0; b < p->buckets; b++)
        p->index[b] = HONE_PAGE_NONE;
    for (uint32_t i = p->count; i-- > 0;) {
        p->pages[i].next = p->free_first;
        p->pages[i].node = HONE_PAGE_NONE;
        p->free_first = (int32_t)i;
    }
    for (uint32_t i = p->max_nodes; i-- > 0;) {
        p->nodes[i].chain = p->free_node;
        p->free_node = (int32_t)i;
    }
}

/* Nodes without a page of their own are the way to those of a window: room for as many again. */
static uint32_t nodes_for(uint32_t count, uint32_t tables)
{
    uint64_t n = 2 * ((uint64_t)count / tables) + 256;
    return n < INT32_MAX ? (uint32_t)n : INT32_MAX;
}

hone_status hone_pages_open(size_t page_bytes, uint32_t count, uint32_t tables, hone_pages **out)
{
    *out = NULL;
    hone_pages *p = hone_calloc(1, sizeof *p);
    if (!p)
        return hone_fail_memory(sizeof *p, "the page pool");
    p->page_bytes = page_bytes;
    p->count = count;
    p->tables = tables;
    p->max_nodes = nodes_for(count, tables);
    p->buckets = 16;
    while (p->buckets < p->max_nodes && p->buckets < (1u << 30))
        p->buckets *= 2;
    p->free_first = p->free_node = p->idle_oldest = p->idle_newest = HONE_PAGE_NONE;
    size_t slots;
    bool fits = count < INT32_MAX && !hone_mul_overflow(page_bytes, count, &p->memory_bytes) &&
                !hone_mul_overflow(p->max_nodes, tables * sizeof *p->node_pages, &slots);
    p->pages = fits ? hone_calloc(count, sizeof *p->pages) : NULL;
    p->nodes = fits ? hone_calloc(p->max_nodes, sizeof *p->nodes) : NULL;
    p->node_pages = fits ? hone_malloc(slots) : NULL;
    p->index = fits ? hone_malloc(p->buckets * sizeof *p->index) : NULL;
    p->memory = fits ? hone_alloc_big(p->memory_bytes) : NULL;
    if (!p->pages || !p->nodes || !p->node_pages || !p->index || !p->memory) {
        hone_pages_close(p);
        return hone_fail(HONE_MEMORY,
                         "out of memory: %u key/value pages of %zu bytes; give a smaller "
                         "kv_bytes_max or context",
                         count, page_bytes);
    }
    make_lists(p);
    *out = p;
    return HONE_OK;
}

void hone_pages_close(hone_pages *p)
{
    if (!p)
        return;
    hone_free_big(p->memory, p->memory_bytes);
    hone_free(p->index);
    hone_free(p->node_pages);
    hone_free(p->nodes);
    hone_free(p->pages);
    hone_free(p);
}

static void idle_remove(hone_pages *p, int32_t i)
{
    page *g = &p->pages[i];
    if (g->previous != HONE_PAGE_NONE)
        p->pages[g->previous].next = g->next;
    else
        p->idle_oldest = g->next;
    if (g->next != HONE_PAGE_NONE)
        p->pages[g->next].previous = g->previous;
    else
        p->idle_newest = g->previous;
}

static void idle_append(hone_pages *p, int32_t i)
{
    page *g = &p->pages[i];
    g->next = HONE_PAGE_NONE;
    g->previous = p->idle_newest;
    if (p->idle_newest != HONE_PAGE_NONE)
        p->pages[p->idle_newest].next = i;
    else
        p->idle_oldest = i;
    p->idle_newest = i;
}

/* Takes a node out of the index if nothing needs it any more, and then its parents. */
static void prune(hone_pages *p, int32_t n)
{
    while (n > HONE_PAGE_NONE) {
        node *d = &p->nodes[n];
        if (d->holders || d->children || d->pages)
            return;
        int32_t *at = &p->index[d->bucket], parent = d->parent;
        while (*at != n)
            at = &p->nodes[*at].chain;
        *at = d->chain;
        d->chain = p->free_node;
        p->free_node = n;
        if (parent > HONE_PAGE_NONE)
            p->nodes[parent].children--;
        n = parent;
    }
}

static void evict(hone_pages *p, int32_t i)
{
    page *g = &p->pages[i];
    int32_t n = g->node;
    idle_remove(p, i);
    p->node_pages[(size_t)n * p->tables + g->table] = HONE_PAGE_NONE;
    p->nodes[n].pages--;
    g->node = HONE_PAGE_NONE;
    prune(p, n);
}

hone_status hone_pages_take(hone_pages *p, int32_t *out)
{
    int32_t i = p->free_first;
    if (i != HONE_PAGE_NONE)
        p->free_first = p->pages[i].next;
    else if ((i = p->idle_oldest) != HONE_PAGE_NONE)
        evict(p, i);
    else
        return hone_fail(HONE_MEMORY,
                         "the key/value cache is full: %u pages of %u positions (%zu bytes each) "
                         "are in use; close sessions, shorten them, or raise kv_bytes_max",
                         p->count, HONE_PAGE_POSITIONS, p->page_bytes);
    page *g = &p->pages[i];
    g->refs = 1;
    /* Recycled content may hold anything, NaN included; memory never used is zero already. */
    if (g->used)
        memset(hone_pages_data(p, i), 0, p->page_bytes);
    g->used = true;
    p->held++;
    *out = i;
    return HONE_OK;
}

void hone_pages_hold(hone_pages *p, int32_t i)
{
    page *g = &p->pages[i];
    if (g->refs++ == 0) {
        idle_remove(p, i);
        p->held++;
    }
}

void hone_pages_drop(hone_pages *p, int32_t i)
{
    page *g = &p->pages[i];
    if (--g->refs > 0)
        return;
    p->held--;
    if (g->node != HONE_PAGE_NONE) {
        idle_append(p, i);
        return;
    }
    g->next = p->free_first;
    p->free_first = i;
}

void *hone_pages_data(const hone_pages *p, int32_t i)
{
    return p->memory + (size_t)i * p->page_bytes;
}

bool hone_pages_writable(const hone_pages *p, int32_t i)
{
    return p->pages[i].refs == 1 && p->pages[i].node == HONE_PAGE_NONE;
}

static uint32_t bucket_of(const hone_pages *p, int32_t parent, const int32_t *tokens)
{
    return (uint32_t)XXH3_64bits_withSeed(tokens, HONE_PAGE_POSITIONS * sizeof *tokens,
                                          (uint32_t)parent) &
           (p->buckets - 1);
}

int32_t hone_pages_find(const hone_pages *p, int32_t parent,
                        const int32_t tokens[HONE_PAGE_POSITIONS])
{
    for (int32_t n = p->index[bucket_of(p, parent, tokens)]; n != HONE_PAGE_NONE;
         n = p->nodes[n].chain) {
        const node *d = &p->nodes[n];
        if (d->parent == parent && memcmp(d->tokens, tokens, sizeof d->tokens) == 0)
            return n;
    }
    return HONE_PAGE_NONE;
}

static int32_t add_node(hone_pages *p, int32_t parent, const int32_t *tokens)
{
    int32_t n = p->free_node;
    if (n == HONE_PAGE_NONE)
        return n;
    node *d = &p->nodes[n];
    p->free_node = d->chain;
    *d = (node){.parent = parent, .bucket = bucket_of(p, parent, tokens)};
    memcpy(d->tokens, tokens, sizeof d->tokens);
    d->chain = p->index[d->bucket];
    p->index[d->bucket] = n;
    if (parent > HONE_PAGE_NONE)
        p->nodes[parent].children++;
    for (uint32_t t = 0; t < p->tables; t++)
        p->node_pages[(size_t)n * p->tables + t] = HONE_PAGE_NONE;
    return n;
}

int32_t hone_pages_publish(hone_pages *p, int32_t parent, const int32_t tokens[HONE_PAGE_POSITIONS],
                           int32_t *pages)
{
    int32_t n = hone_pages_find(p, parent, tokens);
    if (n == HONE_PAGE_NONE)
        n = add_node(p, parent, tokens);
    if (n == HONE_PAGE_NONE)
        return n;
    p->nodes[n].holders++;
    for (uint32_t t = 0; t < p->tables; t++) {
        int32_t *at = &p->node_pages[(size_t)n * p->tables + t];
        if (*at == HONE_PAGE_NONE) {
            *at = pages[t];
            p->pages[*at].node = n;
            p->pages[*at].table = t;
            p->nodes[n].pages++;
        } else if (*at != pages[t]) {
            hone_pages_hold(p, *at);
            hone_pages_drop(p, pages[t]);
            pages[t] = *at;
        }
    }
    return n;
}

int32_t hone_pages_of(const hone_pages *p, int32_t n, uint32_t table)
{
    return p->node_pages[(size_t)n * p->tables + table];
}

void hone_pages_hold_node(hone_pages *p, int32_t n)
{
    p->nodes[n].holders++;
}

void hone_pages_drop_node(hone_pages *p, int32_t n)
{
    p->nodes[n].holders--;
    prune(p, n);
}

uint32_t hone_pages_count(const hone_pages *p)
{
    return p->count;
}

uint32_t hone_pages_held(const hone_pages *p)
{
    return p->held;
}

size_t hone_pages_page_bytes(const hone_pages *p)
{
    return p->page_bytes;
}
