#include "cache/pages.h"

#include "base/mem.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* A page is in one of three places: free list, in use (refs > 0), or idle (refs 0, in the index and
 * in the LRU ring). `generation` changes when a page is recycled, so that a child's parent link
 * goes stale. */
typedef struct page {
    uint32_t refs;
    int32_t next, previous; /* LRU ring of idle pages, or free list by next */
    int32_t chain;          /* next page in the same bucket of the index */
    bool indexed, used;
    int32_t parent;
    uint64_t parent_generation, generation;
    uint32_t bucket;
    int32_t tokens[HONE_PAGE_POSITIONS];
} page;

struct hone_pages {
    size_t page_bytes;
    uint32_t count, held, buckets;
    int32_t free_first;
    int32_t idle_oldest, idle_newest;
    page *pages;
    int32_t *index; /* [buckets] first page of each chain */
    uint8_t *memory;
    size_t memory_bytes;
};

hone_status hone_pages_open(size_t page_bytes, uint32_t count, hone_pages **out)
{
    *out = NULL;
    hone_pages *p = hone_calloc(1, sizeof *p);
    if (!p)
        return hone_fail_memory(sizeof *p, "the page pool");
    p->page_bytes = page_bytes;
    p->count = count;
    p->buckets = 16;
    while (p->buckets < count && p->buckets < (1u << 30))
        p->buckets *= 2;
    p->free_first = p->idle_oldest = p->idle_newest = HONE_PAGE_NONE;
    bool fits = count < INT32_MAX && !hone_mul_overflow(page_bytes, count, &p->memory_bytes);
    p->pages = fits ? hone_calloc(count, sizeof *p->pages) : NULL;
    p->index = fits ? hone_malloc(p->buckets * sizeof *p->index) : NULL;
    p->memory = fits ? hone_alloc_big(p->memory_bytes) : NULL;
    if (!p->pages || !p->index || !p->memory) {
        hone_pages_close(p);
        return hone_fail(HONE_MEMORY,
                         "out of memory: %u key/value pages of %zu bytes; give a smaller "
                         "kv_bytes_max or context",
                         count, page_bytes);
    }
    for (uint32_t b = 0; b < p->buckets; b++)
        p->index[b] = HONE_PAGE_NONE;
    for (uint32_t i = count; i-- > 0;) {
        p->pages[i].next = p->free_first;
        p->free_first = (int32_t)i;
    }
    *out = p;
    return HONE_OK;
}

void hone_pages_close(hone_pages *p)
{
    if (!p)
        return;
    hone_free_big(p->memory, p->memory_bytes);
    hone_free(p->index);
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

static void index_remove(hone_pages *p, int32_t i)
{
    int32_t *at = &p->index[p->pages[i].bucket];
    while (*at != i)
        at = &p->pages[*at].chain;
    *at = p->pages[i].chain;
    p->pages[i].indexed = false;
}

hone_status hone_pages_take(hone_pages *p, int32_t *out)
{
    int32_t i = p->free_first;
    if (i != HONE_PAGE_NONE)
        p->free_first = p->pages[i].next;
    else if ((i = p->idle_oldest) != HONE_PAGE_NONE) {
        idle_remove(p, i);
        index_remove(p, i);
    } else
        return hone_fail(HONE_MEMORY,
                         "the key/value cache is full: %u pages of %u positions (%zu bytes each) "
                         "are in use; close sessions, shorten them, or raise kv_bytes_max",
                         p->count, HONE_PAGE_POSITIONS, p->page_bytes);
    page *g = &p->pages[i];
    g->refs = 1;
    g->generation++;
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
    if (g->indexed) {
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
    return p->pages[i].refs == 1 && !p->pages[i].indexed;
}

static uint64_t generation_of(const hone_pages *p, int32_t parent)
{
    return parent <= HONE_PAGE_NONE ? 0 : p->pages[parent].generation;
}

static uint32_t bucket_of(const hone_pages *p, int32_t parent, const int32_t *tokens)
{
    uint64_t seed = (uint64_t)(uint32_t)parent ^ generation_of(p, parent) << 32;
    return (uint32_t)XXH3_64bits_withSeed(tokens, HONE_PAGE_POSITIONS * sizeof *tokens, seed) &
           (p->buckets - 1);
}

static int32_t find(const hone_pages *p, int32_t parent, const int32_t *tokens)
{
    uint64_t generation = generation_of(p, parent);
    for (int32_t i = p->index[bucket_of(p, parent, tokens)]; i != HONE_PAGE_NONE;
         i = p->pages[i].chain) {
        const page *g = &p->pages[i];
        if (g->parent == parent && g->parent_generation == generation &&
            memcmp(g->tokens, tokens, sizeof g->tokens) == 0)
            return i;
    }
    return HONE_PAGE_NONE;
}

int32_t hone_pages_publish(hone_pages *p, int32_t i, int32_t parent,
                           const int32_t tokens[HONE_PAGE_POSITIONS])
{
    page *g = &p->pages[i];
    if (g->indexed)
        return i;
    int32_t equal = find(p, parent, tokens);
    if (equal != HONE_PAGE_NONE) {
        hone_pages_hold(p, equal);
        hone_pages_drop(p, i);
        return equal;
    }
    g->parent = parent;
    g->parent_generation = generation_of(p, parent);
    g->bucket = bucket_of(p, parent, tokens);
    memcpy(g->tokens, tokens, sizeof g->tokens);
    g->chain = p->index[g->bucket];
    p->index[g->bucket] = i;
    g->indexed = true;
    return i;
}

int32_t hone_pages_match(hone_pages *p, int32_t parent, const int32_t tokens[HONE_PAGE_POSITIONS])
{
    int32_t i = find(p, parent, tokens);
    if (i != HONE_PAGE_NONE)
        hone_pages_hold(p, i);
    return i;
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
