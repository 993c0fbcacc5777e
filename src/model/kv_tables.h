/*
 * kv_tables - how keys and values of all layers lie in pages of 64 positions.
 *
 * Layers with the same window can forget the same positions, so that they share page tables; layers
 * with another window have tables of their own. A page of any table has the same size (it holds
 * as many layers as divide the number of layers of every window), so that one pool serves all.
 * A model whose layers are all alike has one table, and a page of it holds all layers.
 *
 * Threading: pure functions. Ownership: the caller's arrays.
 */
#ifndef HONE_MODEL_KV_TABLES_H
#define HONE_MODEL_KV_TABLES_H

#include "kernel/kernel.h"
#include "model/arch.h"

/* Where the keys and values of a layer lie: table of pages, and offset of its first head there. */
typedef struct hone_layer_pages {
    uint32_t table;
    size_t offset;
    size_t head_bytes; /* of one page and KV head */
} hone_layer_pages;

typedef struct hone_kv_tables {
    uint32_t count;
    size_t page_bytes; /* of a page of any table */
    uint32_t
        window[HONE_LAYERS_MAX]; /* [count] positions that a token of its layers sees; 0 = all */
    hone_layer_pages layers[HONE_LAYERS_MAX];
} hone_kv_tables;

void hone_kv_tables_plan(const hone_hparams *h, hone_kv_format format, hone_kv_tables *out);

/* The first page that the token at position `next` sees in a table of this window. */
static inline uint32_t hone_kv_first_page(uint32_t window, uint32_t next)
{
    return window && next >= window ? (next - window + 1) / HONE_KV_PAGE : 0;
}

/* Pages, over all tables, that a sequence of `tokens` holds after a step. */
uint64_t hone_kv_tables_pages(const hone_kv_tables *t, uint32_t tokens);

/* Keys and values of one head of a layer. */
hone_kv hone_kv_of(const hone_layer_kind *k, hone_kv_format format);

#endif
