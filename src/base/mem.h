/*
 * mem - the one door to the heap, and arenas for the three lifetimes (model, session, step).
 *
 * Every allocation of hone goes through here, so that tests can count them (nothing is allocated
 * per token after warm-up) and make any one of them fail (hone_mem_fail_after). An arena hands out
 * memory that is freed all at once; blocks are aligned to 64 bytes.
 *
 * Threading: hone_malloc & co. may be called from any thread; an arena belongs to one thread at a
 * time.
 */
#ifndef HONE_BASE_MEM_H
#define HONE_BASE_MEM_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

void *hone_malloc(size_t bytes);              /* NULL when out of memory; bytes 0 is allowed */
void *hone_calloc(size_t count, size_t size); /* zeroed; NULL on overflow too */
void *hone_realloc(void *old, size_t bytes);  /* as realloc; `old` survives a failure */
void *hone_reallocarray(void *old, size_t count, size_t size);
void hone_free(void *p); /* NULL is fine */
char *hone_strdup(const char *s);
char *hone_strndup(const char *s, size_t n);

/* Large buffers: aligned to 2 MB with transparent huge pages asked for when bytes >= 2 MB, else to
 * 64 bytes; zeroed. NULL when out of memory. Freed with hone_free_big and the same size. */
void *hone_alloc_big(size_t bytes);
void hone_free_big(void *p, size_t bytes);

/* "out of memory (<bytes> bytes for <what>)" as a HONE_MEMORY failure. */
hone_status hone_fail_memory_(size_t bytes, const char *what);
#define hone_fail_memory(bytes, what) hone_failed_(hone_fail_memory_(bytes, what))

/* Tests: the n-th allocation from now (0 = the next) and every later one fails; negative = none
 * fail. */
void hone_mem_fail_after(int64_t n);
/* Number of allocations made by the process so far. */
uint64_t hone_mem_count(void);
/* Number of allocations that failed in the calling thread: a library that hides why it failed
 * (jansson) failed for memory if this grew. */
uint64_t hone_mem_failures(void);

/* True if a*b (or a+b) overflows size_t; else *out holds it. For sizes that come from a file. */
static inline bool hone_mul_overflow(size_t a, size_t b, size_t *out)
{
    return __builtin_mul_overflow(a, b, out);
}
static inline bool hone_add_overflow(size_t a, size_t b, size_t *out)
{
    return __builtin_add_overflow(a, b, out);
}

/* The next `bytes` of a buffer that is laid out in pieces, each aligned to 64 bytes; with base NULL
 * only counts: *at is then what the buffer must hold. */
static inline void *hone_cut(void *base, size_t *at, size_t bytes)
{
    size_t here = *at;
    *at += (bytes + 63) & ~(size_t)63;
    return base ? (uint8_t *)base + here : NULL;
}

typedef struct hone_arena { /* zeroed: empty */
    struct hone_arena_block *first;
    size_t used_bytes;
} hone_arena;

void *hone_arena_alloc(hone_arena *a, size_t bytes); /* zeroed, 64-byte aligned; NULL = no memory */
char *hone_arena_strndup(hone_arena *a, const char *s, size_t n);
void hone_arena_free(hone_arena *a); /* frees all; the arena may be used again */

#endif
