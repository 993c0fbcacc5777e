#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static _Atomic int64_t fail_after = -1;
static _Atomic uint64_t alloc_count;
static _Thread_local uint64_t failures;

#define HUGE ((size_t)2 << 20)

/* Counts one allocation; true if a test asked for it to fail. */
static bool must_fail(void)
{
    atomic_fetch_add_explicit(&alloc_count, 1, memory_order_relaxed);
    int64_t n = atomic_load_explicit(&fail_after, memory_order_relaxed);
    if (n < 0)
        return false;
    if (n == 0)
        return true;
    atomic_fetch_sub_explicit(&fail_after, 1, memory_order_relaxed);
    return false;
}

void hone_mem_fail_after(int64_t n)
{
    atomic_store(&fail_after, n);
}

uint64_t hone_mem_count(void)
{
    return atomic_load(&alloc_count);
}

uint64_t hone_mem_failures(void)
{
    return failures;
}

static void *counted(void *p)
{
    failures += !p;
    return p;
}

void *hone_malloc(size_t bytes)
{
    return counted(must_fail() ? NULL : malloc(bytes ? bytes : 1));
}

void *hone_calloc(size_t count, size_t size)
{
    return counted(must_fail() ? NULL : calloc(count ? count : 1, size ? size : 1));
}

void *hone_realloc(void *old, size_t bytes)
{
    return counted(must_fail() ? NULL : realloc(old, bytes ? bytes : 1));
}

void *hone_reallocarray(void *old, size_t count, size_t size)
{
    size_t bytes;
    return hone_mul_overflow(count, size, &bytes) ? NULL : hone_realloc(old, bytes);
}

void hone_free(void *p)
{
    free(p);
}

char *hone_strndup(const char *s, size_t n)
{
    char *p = hone_malloc(n + 1);
    if (!p)
        return NULL;
    memcpy(p, s, n);
    p[n] = 0;
    return p;
}

char *hone_strdup(const char *s)
{
    return hone_strndup(s, strlen(s));
}

hone_status hone_fail_memory_(size_t bytes, const char *what)
{
    return hone_fail(HONE_MEMORY, "out of memory: %zu bytes for %s", bytes, what);
}

static size_t big_size(size_t bytes)
{
    size_t unit = bytes >= HUGE ? HUGE : 64;
    size_t padded;
    if (hone_add_overflow(bytes, unit - 1, &padded))
        return 0;
    padded -= padded % unit;
    return padded ? padded : 64;
}

void *hone_alloc_big(size_t bytes)
{
    size_t size = big_size(bytes);
    if (must_fail() || size == 0)
        return NULL;
    if (size < HUGE) {
        void *p = aligned_alloc(64, size);
        return p ? memset(p, 0, size) : NULL;
    }
    size_t mapped;
    if (hone_add_overflow(size, HUGE, &mapped))
        return NULL;
    char *raw = mmap(NULL, mapped, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED)
        return NULL;
    size_t head = (HUGE - (uintptr_t)raw % HUGE) % HUGE;
    if (head)
        munmap(raw, head);
    char *p = raw + head;
    if (mapped - head > size)
        munmap(p + size, mapped - head - size);
    madvise(p, size, MADV_HUGEPAGE);
    return p;
}

void hone_free_big(void *p, size_t bytes)
{
    if (!p)
        return;
    size_t size = big_size(bytes);
    if (size < HUGE)
        free(p);
    else
        munmap(p, size);
}

/* Of an arena's block; what is larger gets a block of its own. */
enum { ARENA_BLOCK = 64 << 10 };

/* A block's payload starts at the next multiple of 64 after this header. */
struct hone_arena_block {
    struct hone_arena_block *next;
    size_t bytes, used;
    char pad[64 - 3 * sizeof(size_t)];
};

void *hone_arena_alloc(hone_arena *a, size_t bytes)
{
    size_t need;
    if (hone_add_overflow(bytes, 63, &need))
        return NULL;
    need &= ~(size_t)63;
    struct hone_arena_block *b = a->first;
    if (!b || b->bytes - b->used < need) {
        size_t payload = need > ARENA_BLOCK ? need : ARENA_BLOCK, total;
        if (must_fail() || hone_add_overflow(payload, sizeof *b + 63, &total))
            return NULL;
        b = aligned_alloc(64, total & ~(size_t)63);
        if (!b)
            return NULL;
        *b = (struct hone_arena_block){.next = a->first, .bytes = payload};
        a->first = b;
    }
    char *p = (char *)(b + 1) + b->used;
    b->used += need;
    a->used_bytes += need;
    return memset(p, 0, need);
}

char *hone_arena_strndup(hone_arena *a, const char *s, size_t n)
{
    char *p = hone_arena_alloc(a, n + 1);
    if (p)
        memcpy(p, s, n);
    return p;
}

void hone_arena_free(hone_arena *a)
{
    while (a->first) {
        struct hone_arena_block *next = a->first->next;
        free(a->first);
        a->first = next;
    }
    a->used_bytes = 0;
}
