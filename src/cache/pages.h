/*
 * pages - the memory of all sessions' keys and values: pages of 64 positions for all layers,
 * counted by reference, under a hard bound on bytes; and the index of full pages by their tokens,
 * through which sessions share a common prefix.
 *
 * A page's content depends only on the tokens from position 0 to its end (the engine is invariant),
 * so a full page may serve every session that begins with them. A page that no session holds stays
 * in the index until its memory is needed (least recently used first).
 *
 * Invariants: 1. a page with references or in the index is never handed out. 2. a page is written
 * only by a holder for which hone_pages_writable. 3. an indexed page's parent may be gone; matching
 * walks from the root, so such a page is merely unreachable until evicted.
 *
 * Ownership: the pool owns all memory, reserved at open (touched only when used). One thread at a
 * time.
 */
#ifndef HONE_CACHE_PAGES_H
#define HONE_CACHE_PAGES_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { HONE_PAGE_POSITIONS = 64, HONE_PAGE_NONE = -1 };

typedef struct hone_pages hone_pages;

HONE_CHECKED hone_status hone_pages_open(size_t page_bytes, uint32_t count, hone_pages **out);
void hone_pages_close(hone_pages *p); /* NULL is fine */

/* A page with one reference, its content undefined but finite. HONE_MEMORY past the bound. */
HONE_CHECKED hone_status hone_pages_take(hone_pages *p, int32_t *page);
void hone_pages_hold(hone_pages *p, int32_t page); /* one more reference */
void hone_pages_drop(hone_pages *p, int32_t page);
void *hone_pages_data(const hone_pages *p, int32_t page);
bool hone_pages_writable(const hone_pages *p, int32_t page); /* one holder, not in the index */

/* Puts a full page into the index. parent: the page before it, or a root: HONE_PAGE_NONE, or any
 * number below it for prefixes that must not be taken for others of the same tokens. If an equal page
 * is there already, the holder's reference moves to that one. Returns the page to use from now on.
 */
int32_t hone_pages_publish(hone_pages *p, int32_t page, int32_t parent,
                           const int32_t tokens[HONE_PAGE_POSITIONS]);
/* The indexed page that follows `parent` with these tokens (held once more), or HONE_PAGE_NONE. */
int32_t hone_pages_match(hone_pages *p, int32_t parent, const int32_t tokens[HONE_PAGE_POSITIONS]);

uint32_t hone_pages_count(const hone_pages *p);
uint32_t hone_pages_held(const hone_pages *p); /* pages with at least one reference */
size_t hone_pages_page_bytes(const hone_pages *p);

#endif
