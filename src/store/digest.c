#include "store/digest.h"

#include "base/interrupt.h"
#include "base/io.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PIECE = 16 << 20 };

typedef struct digesting {
    crypto_hash_sha256_state state;
    hone_digest_progress_fn *progress;
    void *arg;
    double done, total;
} digesting;

static void to_hex(const unsigned char hash[crypto_hash_sha256_BYTES], char out[HONE_DIGEST_BYTES])
{
    sodium_bin2hex(out, HONE_DIGEST_BYTES, hash, crypto_hash_sha256_BYTES);
}

void hone_digest_bytes(const void *data, size_t bytes, char out[HONE_DIGEST_BYTES])
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(hash, data, bytes);
    to_hex(hash, out);
}

static hone_status add_file(digesting *d, const char *path)
{
    hone_map map;
    HONE_TRY(hone_map_open(path, &map));
    hone_status s = HONE_OK;
    for (size_t at = 0; s == HONE_OK && at < map.bytes; at += PIECE) {
        size_t n = map.bytes - at < PIECE ? map.bytes - at : PIECE;
        crypto_hash_sha256_update(&d->state, map.data + at, n);
        d->done += (double)n;
        if (d->progress)
            d->progress(d->arg, d->done, d->total);
        s = hone_interrupt_check();
    }
    hone_map_close(&map);
    return s;
}

static int is_model_file(const struct dirent *entry)
{
    static const char *const endings[] = {".safetensors", ".json", ".model", ".txt"};
    size_t length = strlen(entry->d_name);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t n = strlen(endings[i]);
        if (length > n && strcmp(entry->d_name + length - n, endings[i]) == 0)
            return 1;
    }
    return 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name); /* not the locale's order */
}

static double file_bytes(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? (double)info.st_size : 0;
}

static hone_status add_folder(digesting *d, const char *folder)
{
    struct dirent **entries;
    int n = scandir(folder, &entries, is_model_file, by_bytes);
    if (n < 0)
        return hone_fail_errno(errno, "reading folder %s", folder);
    hone_status s = n ? HONE_OK : hone_fail(HONE_NOT_FOUND, "%s holds no model files", folder);
    for (int pass = 0; pass < 2; pass++) { /* first the total for the progress, then the bytes */
        for (int i = 0; s == HONE_OK && i < n; i++) {
            char *path = hone_path_join(folder, entries[i]->d_name);
            if (!path) {
                s = hone_fail_memory(strlen(folder), "a path");
            } else if (pass == 0) {
                d->total += file_bytes(path);
            } else {
                crypto_hash_sha256_update(&d->state, (const unsigned char *)entries[i]->d_name,
                                          strlen(entries[i]->d_name) + 1);
                uint64_t bytes = (uint64_t)file_bytes(path);
                crypto_hash_sha256_update(&d->state, (const unsigned char *)&bytes, sizeof bytes);
                s = add_file(d, path);
            }
            hone_free(path);
        }
    }
    for (int i = 0; i < n; i++)
        free(entries[i]);
    free(entries);
    return s;
}

hone_status hone_digest_path(const char *path, hone_digest_progress_fn *progress, void *arg,
                             char out[HONE_DIGEST_BYTES], uint64_t *bytes)
{
    digesting d = {.progress = progress, .arg = arg};
    crypto_hash_sha256_init(&d.state);
    if (hone_is_directory(path)) {
        HONE_TRY(add_folder(&d, path));
    } else {
        d.total = file_bytes(path);
        HONE_TRY(add_file(&d, path));
    }
    unsigned char hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_final(&d.state, hash);
    to_hex(hash, out);
    *bytes = (uint64_t)d.done;
    return HONE_OK;
}
