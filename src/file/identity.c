/* What identifies a model: the SHA-256 of its content, and a cheap fingerprint. */
#include "file/internal.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

enum { HEAD_BYTES = 1 << 16, SAMPLE_BYTES = 4096, SAMPLES = 16 };

static int by_base_name(const void *a, const void *b)
{
    const hone_map *x = *(const hone_map *const *)a, *y = *(const hone_map *const *)b;
    return strcmp(hone_path_name(x->path), hone_path_name(y->path));
}

static void to_hex(const uint8_t *bytes, size_t n, char *hex)
{
    for (size_t i = 0; i < n; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
}

/* Maps in the order of their names; freed by the caller. */
static hone_status sorted_maps(const hone_file *f, const hone_map ***out)
{
    const hone_map **maps = hone_reallocarray(NULL, f->map_count, sizeof(void *));
    if (!maps)
        return hone_fail_memory(f->map_count * sizeof(void *), "the list of files");
    for (size_t i = 0; i < f->map_count; i++)
        maps[i] = &f->maps[i];
    qsort(maps, f->map_count, sizeof(void *), by_base_name);
    *out = maps;
    return HONE_OK;
}

static void hash_map(const hone_map *m, char hex[65])
{
    uint8_t sum[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    if (m->bytes)
        crypto_hash_sha256_update(&state, m->data, m->bytes);
    crypto_hash_sha256_final(&state, sum);
    to_hex(sum, sizeof sum, hex);
}

hone_status hone_file_hash(const hone_file *f, char hex[65])
{
    if (sodium_init() < 0)
        return hone_fail(HONE_INTERNAL, "libsodium cannot start");
    if (f->kind != HONE_FILE_HF && f->map_count == 1) {
        hash_map(&f->maps[0], hex);
        return HONE_OK;
    }
    const hone_map **maps = NULL;
    HONE_TRY(sorted_maps(f, &maps));
    crypto_hash_sha256_state all;
    crypto_hash_sha256_init(&all);
    for (size_t i = 0; i < f->map_count; i++) {
        const char *name = hone_path_name(maps[i]->path);
        char one[65];
        hash_map(maps[i], one);
        crypto_hash_sha256_update(&all, (const uint8_t *)one, 64);
        crypto_hash_sha256_update(&all, (const uint8_t *)"  ", 2);
        crypto_hash_sha256_update(&all, (const uint8_t *)name, strlen(name));
        crypto_hash_sha256_update(&all, (const uint8_t *)"\n", 1);
    }
    uint8_t sum[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_final(&all, sum);
    to_hex(sum, sizeof sum, hex);
    hone_free(maps);
    return HONE_OK;
}

static XXH128_hash_t fingerprint_map(const hone_map *m, XXH128_hash_t so_far)
{
    const int64_t second = 1000000000;
    const uint64_t head[5] = {so_far.low64, so_far.high64, m->bytes,
                              (uint64_t)(m->modified_ns / second),
                              (uint64_t)(m->modified_ns % second)};
    XXH128_hash_t h = XXH3_128bits(head, sizeof head);
    h = XXH3_128bits_withSeed(m->data, m->bytes < HEAD_BYTES ? m->bytes : HEAD_BYTES,
                              h.low64 ^ h.high64);
    size_t step = m->bytes / (SAMPLES + 1);
    if (step > SAMPLE_BYTES)
        for (size_t i = 1; i <= SAMPLES; i++) {
            uint64_t seed = h.low64 * 31 + h.high64;
            h = XXH3_128bits_withSeed(m->data + i * step, SAMPLE_BYTES, seed);
        }
    return h;
}

hone_status hone_file_fingerprint(const hone_file *f, char hex[33])
{
    const hone_map **maps = NULL;
    HONE_TRY(sorted_maps(f, &maps));
    XXH128_hash_t h = {0, 0};
    for (size_t i = 0; i < f->map_count; i++)
        h = fingerprint_map(maps[i], h);
    hone_free(maps);
    XXH128_canonical_t bytes;
    XXH128_canonicalFromHash(&bytes, h);
    to_hex(bytes.digest, sizeof bytes.digest, hex);
    return HONE_OK;
}

hone_status hone_file_state(const hone_file *f, uint64_t state[2], bool *settled)
{
    const hone_map **maps = NULL;
    const int64_t second = 1000000000;
    struct timespec now;
    HONE_TRY(sorted_maps(f, &maps));
    clock_gettime(CLOCK_REALTIME, &now);
    XXH128_hash_t h = {0, 0};
    *settled = true;
    for (size_t i = 0; i < f->map_count; i++) {
        const hone_map *m = maps[i];
        const uint64_t head[] = {h.low64,
                                 h.high64,
                                 m->bytes,
                                 m->device,
                                 m->inode,
                                 (uint64_t)m->modified_ns,
                                 (uint64_t)m->changed_ns};
        h = XXH3_128bits(head, sizeof head);
        int64_t age = (int64_t)now.tv_sec * second + now.tv_nsec - m->changed_ns;
        *settled = *settled && age > 2 * second;
    }
    hone_free(maps);
    state[0] = h.low64;
    state[1] = h.high64;
    return HONE_OK;
}

enum { CONTENT_CHUNK = 1 << 22 };

typedef struct content {
    const hone_map *map;
    XXH128_hash_t *chunks;
} content;

static void hash_chunk(void *arg, size_t chunk, int thread)
{
    const content *c = arg;
    size_t from = chunk * CONTENT_CHUNK, left = c->map->bytes - from;
    size_t now = left < CONTENT_CHUNK ? left : CONTENT_CHUNK;
    (void)thread;
    c->chunks[chunk] = XXH3_128bits(c->map->data + from, now);
    hone_map_forget(c->map->data + from, now);
}

hone_status hone_file_content(const hone_file *f, hone_pool *pool, uint64_t hash[2])
{
    const hone_map **maps = NULL;
    HONE_TRY(sorted_maps(f, &maps));
    hone_status s = HONE_OK;
    XXH128_hash_t h = {0, 0};
    for (size_t i = 0; i < f->map_count && s == HONE_OK; i++) {
        size_t n = (maps[i]->bytes + CONTENT_CHUNK - 1) / CONTENT_CHUNK;
        content c = {maps[i], hone_calloc(n + 1, sizeof(XXH128_hash_t))};
        if (!c.chunks) {
            s = hone_fail_memory(n * sizeof(XXH128_hash_t), "the hash of a file");
            break;
        }
        hone_pool_run(pool, hash_chunk, &c, n);
        c.chunks[n] = h;
        h = XXH3_128bits_withSeed(c.chunks, (n + 1) * sizeof *c.chunks, maps[i]->bytes);
        hone_free(c.chunks);
    }
    hone_free(maps);
    hash[0] = h.low64;
    hash[1] = h.high64;
    return s;
}
