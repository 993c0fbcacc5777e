/*
 * pages - the memory of all sessions' keys and values: pages of 64 positions of some layers,
 * counted by reference, under a hard bound on bytes; and the index of what full pages hold, through
 * which sessions share a common prefix.
 *
 * A session has one or several tables of pages (layers with a window have tables of their own, of
 * which only the window is kept). A node of the index stands for 64 tokens after another node, and
 * knows the page of each table that holds their keys and values. What these are depends only on the
 * tokens from position 0 on (the engine is invariant), so that they serve every session that begins
 * so. A page that no session holds stays in the index until its memory is needed (least recently
 * used first); then its node does without it.
 *
 * Invariants: 1. a page that is held or indexed is never handed out. 2. a page is written only by a
 * holder for which hone_pages_writable. 3. a node stays while it has pages, children or holders, so
 * that a parent's number means the same as long as it has children.
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

/* count pages of page_bytes; `tables` of them make up 64 positions of a sequence. */
HONE_CHECKED hone_status hone_pages_open(size_t page_bytes, uint32_t count, uint32_t tables,
                                         hone_pages **out);
void hone_pages_close(hone_pages *p); /* NULL is fine */

/* A page with one reference, its content undefined but finite. HONE_MEMORY past the bound. */
HONE_CHECKED hone_status hone_pages_take(hone_pages *p, int32_t *page);
void hone_pages_hold(hone_pages *p, int32_t page); /* one more reference */
void hone_pages_drop(hone_pages *p, int32_t page);
void *hone_pages_data(const hone_pages *p, int32_t page);
bool hone_pages_writable(const hone_pages *p, int32_t page); /* one holder, not in the index */

/* The node of 64 tokens after node `parent`, or after a root: HONE_PAGE_NONE, or any number below
 * it for prefixes that must not be taken for others of the same tokens. HONE_PAGE_NONE if there is
 * none. */
int32_t hone_pages_find(const hone_pages *p, int32_t parent,
                        const int32_t tokens[HONE_PAGE_POSITIONS]);
/* Puts full pages, pages[tables], into the index, under a node which is held once more and
 * returned. Where the node has a page already, the caller's reference moves to that one. Returns
 * HONE_PAGE_NONE (nothing changed) when there is no room for another node. */
int32_t hone_pages_publish(hone_pages *p, int32_t parent, const int32_t tokens[HONE_PAGE_POSITIONS],
                           int32_t *pages);
/* The node's page of a table, or HONE_PAGE_NONE. */
int32_t hone_pages_of(const hone_pages *p, int32_t node, uint32_t table);
void hone_pages_hold_node(hone_pages *p, int32_t node);
void hone_pages_drop_node(hone_pages *p, int32_t node);

uint32_t hone_pages_count(const hone_pages *p);
uint32_t hone_pages_held(const hone_pages *p); /* pages with at least one reference */
size_t hone_pages_page_bytes(const hone_pages *p);

#endif
