#include "model/packed_key.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

void hone_packed_key_add(hone_packed_key *k, const void *data, size_t bytes)
{
    XXH128_hash_t h = XXH3_128bits(data, bytes);
    uint64_t all[] = {k->low, k->high, h.low64, h.high64};
    h = XXH3_128bits(all, sizeof all);
    *k = (hone_packed_key){h.low64, h.high64};
}

void hone_packed_key_add_plan(hone_packed_key *k, const hone_packed *w)
{
    const uint64_t plan[] = {w->layout,
                             w->n,
                             w->k,
                             w->group,
                             (uint64_t)w->scale_bytes,
                             w->has_min,
                             w->panel_bytes,
                             w->scale_offset,
                             w->min_offset,
                             w->super_offset,
                             w->min_super_offset};
    hone_packed_key_add(k, plan, sizeof plan);
    hone_packed_key_add(k, w->table, sizeof w->table);
    hone_packed_key_add(k, &w->low, sizeof w->low);
}

enum { PROBE_ROWS = 17, PROBE_K = 256 };

/* Bytes that make finite numbers in most formats; where not, that is the outcome. */
static void add_probe(hone_packed_key *k, hone_dtype t, uint8_t *rows, size_t row_bytes)
{
    hone_packed w;
    hone_rows r;
    for (size_t i = 0; i < PROBE_ROWS * row_bytes; i++)
        rows[i] = (uint8_t)(0x20 + (i * 37 + i / row_bytes * 11) % 31);
    hone_coding coding = hone_dtype_coding(t);
    if (!hone_rows_init(&r, t, rows, PROBE_K) ||
        hone_packed_plan(hone_layout_for(&coding, false), &coding, PROBE_ROWS, PROBE_K, &w) !=
            HONE_OK)
        return;
    size_t bytes = hone_packed_bytes(&w);
    uint8_t *packed = hone_calloc(1, bytes);
    if (packed && hone_pack_panels(&w, &r, 0, w.n_panels, packed))
        hone_packed_key_add(k, packed, bytes);
    hone_free(packed);
}

hone_status hone_packed_key_end(hone_packed_key *k, const hone_file *f, char key[HONE_PACKED_KEY])
{
    char file[33];
    const uint32_t version = HONE_PACKED_VERSION;
    HONE_TRY(hone_file_fingerprint(f, file));
    hone_packed_key_add(k, file, sizeof file);
    hone_packed_key_add(k, &version, sizeof version);
    for (int t = 0; t < HONE_DTYPE_COUNT; t++) {
        size_t bytes;
        if (!hone_dtype_row_bytes((hone_dtype)t, PROBE_K, &bytes))
            continue;
        uint8_t *rows = hone_malloc(PROBE_ROWS * bytes);
        if (!rows)
            return hone_fail_memory(PROBE_ROWS * bytes, "the cache's key");
        add_probe(k, (hone_dtype)t, rows, bytes);
        hone_free(rows);
    }
    snprintf(key, HONE_PACKED_KEY, "%016llx%016llx", (unsigned long long)k->high,
             (unsigned long long)k->low);
    return HONE_OK;
}
