#include "model/kv_tables.h"

#include <assert.h>
#include <string.h>

hone_kv hone_kv_of(const hone_layer_kind *k, hone_kv_format format)
{
    return (hone_kv){.format = format, .k_dim = k->head_dim, .v_dim = k->head_dim};
}

static uint32_t divisor(uint32_t a, uint32_t b)
{
    while (b) {
        uint32_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

/* The windows of the layers, each once, and how many layers have it. */
static uint32_t list_windows(const hone_hparams *h, uint32_t *windows, uint32_t *layers)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < h->layers; i++) {
        uint32_t w = hone_kind(h, i)->window, at = 0;
        while (at < n && windows[at] != w)
            at++;
        if (at == n) {
            windows[n] = w;
            layers[n++] = 0;
        }
        layers[at]++;
    }
    return n;
}

static size_t layer_bytes(const hone_hparams *h, hone_kv_format format, uint32_t layer,
                          size_t *head_bytes)
{
    const hone_layer_kind *k = hone_kind(h, layer);
    hone_kv kv = hone_kv_of(k, format);
    *head_bytes = hone_kv_page_bytes(&kv);
    return *head_bytes * k->kv_heads;
}

/* The largest layer's bytes; *equal if all are. */
static size_t largest_layer(const hone_hparams *h, hone_kv_format format, bool *equal)
{
    size_t largest = 0, head;
    *equal = true;
    for (uint32_t i = 0; i < h->layers; i++) {
        size_t bytes = layer_bytes(h, format, i, &head);
        *equal &= i == 0 || bytes == largest;
        largest = bytes > largest ? bytes : largest;
    }
    return largest;
}

/* Nothing is kept from layer to layer: a page is one layer's, then the next one's. */
static void plan_one_layer(const hone_hparams *h, hone_kv_format format, hone_kv_tables *out)
{
    out->count = 1;
    for (uint32_t i = 0; i < h->layers; i++)
        layer_bytes(h, format, i, &out->layers[i].head_bytes);
}

void hone_kv_tables_plan(const hone_hparams *h, hone_kv_format format, hone_kv_tables *out)
{
    uint32_t windows[HONE_LAYER_KINDS], layers[HONE_LAYER_KINDS], first[HONE_LAYER_KINDS];
    uint32_t seen[HONE_LAYER_KINDS] = {0};
    bool equal;
    memset(out, 0, sizeof *out);
    size_t bytes = largest_layer(h, format, &equal);
    out->page_bytes = bytes;
    if (h->bidirectional) {
        plan_one_layer(h, format, out);
        return;
    }
    uint32_t n = list_windows(h, windows, layers), together = 0;
    for (uint32_t g = 0; g < n; g++)
        together = divisor(together, layers[g]);
    if (!equal && n > 1)
        together = 1;
    assert(together); /* there is a layer */
    for (uint32_t g = 0; g < n; g++) {
        first[g] = out->count;
        for (uint32_t t = 0; t < layers[g] / together; t++)
            out->window[out->count++] = windows[g];
    }
    out->page_bytes = bytes * together;
    for (uint32_t i = 0; i < h->layers; i++) {
        uint32_t g = 0;
        while (windows[g] != hone_kind(h, i)->window)
            g++;
        assert(g < n); /* list_windows() found every layer's */
        uint32_t at = seen[g]++;
        hone_layer_pages *p = &out->layers[i];
        layer_bytes(h, format, i, &p->head_bytes);
        p->table = first[g] + at / together;
        p->offset = at % together * bytes;
    }
}

uint64_t hone_kv_tables_pages(const hone_kv_tables *t, uint32_t tokens)
{
    uint64_t pages = 0, end = ((uint64_t)tokens + HONE_KV_PAGE - 1) / HONE_KV_PAGE;
    for (uint32_t i = 0; i < t->count; i++)
        pages += end - hone_kv_first_page(t->window[i], tokens);
    return pages;
}
