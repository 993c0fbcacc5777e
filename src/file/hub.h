/*
 * hub - models from a hub: a server that speaks the Hugging Face hub's API.
 *
 * hone_hub_pull() asks the hub for the files of a repository at a revision, chooses those that a
 * model needs, fetches what the cache lacks (several ranges at a time, resumed where an earlier
 * pull stopped) and checks every byte against the hash that the hub gives. The cache has
 * huggingface_hub's layout, in the folder where huggingface_hub looks for it, so that either finds
 * what the other fetched:
 *
 *     models--OWNER--NAME/refs/<revision>                 the commit it stood for when last pulled
 *     models--OWNER--NAME/blobs/<hash>                    content; <hash>.incomplete while it grows
 *     models--OWNER--NAME/snapshots/<commit>/<path>       relative symbolic links to blobs
 *     .locks/models--OWNER--NAME/<hash>.lock              flock() while a blob is fetched
 *
 * A name is OWNER/NAME[@REVISION][:QUANT] (huggingface_hub's rules for OWNER and NAME).
 *
 * Invariants: an .incomplete file is always a prefix of its blob. A blob appears under its name
 * only when its length and hash are right. The token goes to the endpoint's own origin (scheme,
 * host, port) and nowhere else, and into no message. Nothing that a server says becomes a path
 * outside of the cache.
 *
 * Threading: a pull belongs to the calling thread and makes no others; pulls of the same
 * repository, also by other programs, wait for each other file by file.
 */
#ifndef HONE_FILE_HUB_H
#define HONE_FILE_HUB_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

/* Where a pull stands; a callback gets it a few times a second. */
typedef struct hone_hub_state {
    const char *doing; /* "asking the hub", "checking", "fetching", "waiting for another process" */
    const char *file;  /* path in the repository, or NULL */
    uint64_t bytes_done,
        bytes_total;         /* of all the files that are fetched, resumed bytes included */
    uint64_t bytes_received; /* from the network, by this pull */
} hone_hub_state;
typedef void hone_hub_progress_fn(void *arg, const hone_hub_state *state);

/* All zero is a good start. */
typedef struct hone_hub_options {
    const char *endpoint;  /* NULL: HF_ENDPOINT, else https://huggingface.co */
    const char *cache_dir; /* NULL: as hone_hub_cache_dir() says */
    const char *revision;  /* NULL: the name's, else "main" */
    const char *const *include, *const *exclude; /* globs on the path; '*' matches '/' too */
    size_t include_count, exclude_count;         /* includes replace the choice of files */
    int connections;                             /* at a time, 1..32; 0 = 8 */
    bool offline; /* ask no server; also set by HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE */
    bool dry_run; /* ask, choose, and fetch nothing */
    bool verify;  /* hash the cached files too; damaged ones are fetched again */
    hone_hub_progress_fn *progress;
    void *progress_arg;
    /* For tests; 0 = 8 MiB, 500 ms, 30 s, 120 s. */
    size_t piece_bytes; /* of a range */
    int retry_ms;       /* pause before the first repetition; doubles */
    int stall_s;        /* a connection that brings nothing for so long is given up */
    int wait_max_s;     /* the longest Retry-After that is waited for */
} hone_hub_options;

typedef struct hone_hub_file {
    const char *path; /* in the repository */
    const char *hash; /* name of the blob: SHA-256 (64 digits) or git's SHA-1 (40) in hexadecimal */
    uint64_t bytes;
    uint64_t cached_bytes; /* that were there before: bytes = all of it */
    bool verifiable;       /* false: the hub names no hash; only the length was checked */
} hone_hub_file;

typedef struct hone_hub_result {
    const char *repository, *revision, *commit;
    const char *snapshot; /* folder of the commit in the cache */
    const char *model;    /* what a command takes as MODEL: a GGUF file, or the folder; NULL when
                             the files chosen hold no model */
    hone_hub_file *files;
    size_t file_count;
    uint64_t bytes_total, bytes_received;
    struct hub_memory *memory; /* owns all of it */
} hone_hub_result;

/* Pulls `name`. Errors: USAGE (the name; several GGUF files and no quantisation given, which are
 * listed), NOT_FOUND (repository, revision, file, quantisation; offline: what the cache lacks),
 * PERMISSION (401, 403), FORMAT (an answer that is no answer, a wrong hash, an unsafe path), DISK
 * (full, or would be), IO (network, after repetition), INTERRUPTED (what has arrived stays, and
 * the next pull goes on from there), MEMORY. *out is for hone_hub_result_free in either case. */
HONE_CHECKED hone_status hone_hub_pull(const char *name, const hone_hub_options *options,
                                       hone_hub_result *out);
void hone_hub_result_free(hone_hub_result *r);

/* True if `text` reads as OWNER/NAME[@REVISION][:QUANT] and not as the path of a model file. */
bool hone_hub_is_name(const char *text);

/* What the cache has for a name, without a network: the path of a GGUF file or of a folder with
 * config.json and weights (hone_free). cache_dir NULL: hone_hub_cache_dir(). Errors: NOT_FOUND (the
 * message says what to pull, and what is there instead), USAGE (several GGUF files; they are
 * listed), FORMAT, MEMORY. */
HONE_CHECKED hone_status hone_hub_resolve(const char *name, const char *cache_dir, char **path);

/* The cache's folder: HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME/hub, XDG_CACHE_HOME/huggingface/
 * hub, ~/.cache/huggingface/hub; the first that is set. hone_free. */
HONE_CHECKED hone_status hone_hub_cache_dir(char **out);

#endif
