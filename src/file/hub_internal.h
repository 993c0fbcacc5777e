/*
 * hub_internal - what the files of the hub share. Private to hub_*.c and their tests.
 *
 *     hub_name.c    names, safe paths, addresses
 *     hub_list.c    the hub's JSON -> a list of files
 *     hub_choose.c  which of them a model needs
 *     hub_cache.c   the cache's folders, references, links and locks; resolving without a network
 *     hub_hash.c    SHA-256 and git's SHA-1, as the bytes come
 *     hub_http.c    requests: redirects, repetition, refusals, the token
 *     hub_fetch.c   many files by ranges, several at a time
 *     hub_pull.c    one after the other
 */
#ifndef HONE_FILE_HUB_INTERNAL_H
#define HONE_FILE_HUB_INTERNAL_H

#include "base/mem.h"
#include "file/hub.h"

#include <curl/curl.h>

enum {
    HUB_PATH_MAX = 1024,      /* bytes of a path in a repository */
    HUB_HASH_MAX = 128,       /* characters of a blob's name */
    HUB_FILES_MAX = 100000,   /* of a repository */
    HUB_PAGES_MAX = 256,      /* of a list of files */
    HUB_HOPS_MAX = 5,         /* redirects of one request */
    HUB_ATTEMPTS_MAX = 5,     /* of a request that makes no progress */
    HUB_LIST_BYTES = 32 << 20 /* of one answer of the API */
};
#define HUB_FILE_BYTES_MAX ((uint64_t)1 << 46)

/* ---- names ---- */

typedef struct hub_name {
    char repository[100]; /* "OWNER/NAME" or "NAME" */
    char revision[201];   /* "" = none given */
    char quant[201];      /* "" = none given */
} hub_name;

/* USAGE when the text is no name. */
HONE_CHECKED hone_status hub_name_parse(const char *text, hub_name *out);
/* True if a/b/c stays below the folder it is put into: relative, no empty, "." or ".." part, no
 * backslash or control character, UTF-8, parts to 255 bytes, to HUB_PATH_MAX in all. */
bool hub_path_is_safe(const char *path);
/* 40 or 64 lower-case hexadecimal digits. */
bool hub_is_hex(const char *s, size_t digits);
/* May `s` be a blob's name: letters, digits, '.', '_', '-', not beginning with '.'; 1..HUB_HASH_MAX
 */
bool hub_is_blob_name(const char *s);
/* Percent-encoded into a fresh string of the arena; '/' is kept if keep_slash. NULL: no memory. */
char *hub_escape(hone_arena *a, const char *s, bool keep_slash);
/* printf into the arena; NULL: no memory. */
char *hub_print(hone_arena *a, const char *fmt, ...) HONE_PRINTF(2, 3);
/* "4.10 GB" into buf, for messages; returns buf. */
const char *hub_show_bytes(uint64_t bytes, char buf[32]);
/* The environment variable, or NULL if it is absent or empty. */
const char *hub_env(const char *name);
/* Same scheme, host and port? False if either is no address. */
bool hub_same_origin(const char *a, const char *b);

/* ---- hashes ---- */

typedef enum hub_hash_kind { HUB_HASH_NONE, HUB_HASH_GIT_SHA1, HUB_HASH_SHA256 } hub_hash_kind;

typedef struct hub_hash {
    void *state; /* NULL for HUB_HASH_NONE */
    hub_hash_kind kind;
} hub_hash;

/* The kind that a blob's name stands for. */
hub_hash_kind hub_hash_kind_of(const char *name);
/* bytes: of the whole file, which git's SHA-1 begins with. Errors: MEMORY, INTERNAL. */
HONE_CHECKED hone_status hub_hash_open(hub_hash *h, hub_hash_kind kind, uint64_t bytes);
HONE_CHECKED hone_status hub_hash_add(hub_hash *h, const void *data, size_t bytes);
/* Lower-case digits ("" for NONE); ends h, as hub_hash_close does. */
HONE_CHECKED hone_status hub_hash_finish(hub_hash *h, char hex[65]);
void hub_hash_close(hub_hash *h);

/* ---- lists ---- */

typedef struct hub_entry {
    const char *path;
    const char *hash; /* "" = not told */
    uint64_t bytes;
    bool sized; /* bytes is told */
} hub_entry;

typedef struct hub_list {
    hub_entry *entries; /* sorted by path once hub_list_finish() is through */
    size_t count, capacity;
    char commit[65];
    bool complete; /* the answer had a list of files, and not one that the hub cuts */
    hone_arena *arena;
} hub_list;

/* The answer of /api/models/REPO/revision/REV?blobs=true (object) or of /tree/ (array); appends.
 * Errors: FORMAT (not such an answer; an unsafe path, named), LIMIT, MEMORY. */
HONE_CHECKED hone_status hub_list_read(hub_list *l, const char *json, size_t bytes);
HONE_CHECKED hone_status hub_list_add(hub_list *l, const char *path, const char *hash,
                                      uint64_t bytes, bool sized);
/* Sorts; FORMAT for a path that is there twice or is a folder of another. */
HONE_CHECKED hone_status hub_list_finish(hub_list *l);
void hub_list_free(hub_list *l);

/* ---- choice ---- */

/* Keeps in *l what is wanted; *model becomes the GGUF file to open (first of a split one), "" for
 * the folder, NULL if there is no model in it. quant "" = none given. */
HONE_CHECKED hone_status hub_choose(hub_list *l, const char *quant, const hone_hub_options *options,
                                    const char **model);

/* ---- cache ---- */

typedef struct hub_cache {
    const char *dir;        /* all repositories */
    const char *repository; /* dir/models--OWNER--NAME */
    const char *locks;      /* dir/.locks/models--OWNER--NAME */
    hone_arena *arena;
} hub_cache;

HONE_CHECKED hone_status hub_cache_open(hone_arena *a, const char *dir, const char *repository,
                                        hub_cache *out);
/* Commit of a revision: itself if it is a commit, else what refs/<revision> holds. NOT_FOUND. */
HONE_CHECKED hone_status hub_cache_commit(const hub_cache *c, const char *revision,
                                          char commit[65]);
HONE_CHECKED hone_status hub_cache_set_ref(const hub_cache *c, const char *revision,
                                           const char *commit);
/* snapshots/<commit>/<path>, or the folder if path is "". NULL: no memory. */
char *hub_cache_snapshot(const hub_cache *c, const char *commit, const char *path);
char *hub_cache_blob(const hub_cache *c, const char *hash, const char *suffix);
/* Links snapshots/<commit>/<path> to the blob, atomically. */
HONE_CHECKED hone_status hub_cache_link(const hub_cache *c, const char *commit, const char *path,
                                        const char *hash);
/* Takes the lock of a blob without waiting: *fd is -1 if another holds it. */
HONE_CHECKED hone_status hub_cache_lock(const hub_cache *c, const char *hash, int *fd);
/* Bytes of a file behind links; false if there is none. */
bool hub_file_bytes(const char *path, uint64_t *bytes);
/* Path and message of hone_hub_resolve for a parsed name. */
HONE_CHECKED hone_status hub_cache_resolve(const hub_cache *c, const hub_name *name,
                                           const char *revision, char **path);

/* ---- requests ---- */

/* Headers of the last answer; "" = absent, or longer than one that can be used. */
typedef struct hub_headers {
    char content_range[96], content_encoding[32], etag[HUB_HASH_MAX + 8],
        linked_etag[HUB_HASH_MAX + 8], linked_size[24], commit[65], error_code[64],
        error_message[256], link[2048];
    char transport[CURL_ERROR_SIZE]; /* libcurl's words when no answer came */
} hub_headers;

typedef struct hub_client {
    const char *endpoint; /* without a final '/' */
    const char *token;    /* NULL = none */
    bool token_withheld;  /* there is one, but the endpoint's address is plain http */
    const char *ca_file;
    const char *repository; /* for messages */
    int retry_ms, stall_s, wait_max_s;
    const hone_hub_options *options;
    hone_arena *arena;
} hub_client;

HONE_CHECKED hone_status hub_client_open(hone_arena *a, const hone_hub_options *o, hub_client *out);
/* Options that every request has; *headers (curl_slist_free_all) must live as long as the request.
 * headers_out is filled as the answer comes. */
HONE_CHECKED hone_status hub_prepare(const hub_client *c, CURL *easy, const char *url,
                                     struct curl_slist **headers, hub_headers *headers_out);
/* The address that a 3xx answer points to, into *to (hone_free): checked, one hop more. */
HONE_CHECKED hone_status hub_follow(CURL *easy, const char *from, int *hops, char **to);
/* Not from https to anything else, and nowhere but http and https. */
bool hub_may_follow(const char *from, const char *to);
/* Worth another try: 408, 425, 429, 5xx. */
bool hub_may_repeat(long http_status);
/* The same of a transport's failure. */
bool hub_may_repeat_code(CURLcode code);
/* Milliseconds to wait before attempt n (1 = the first repetition); -1 when the server asks for
 * more patience than wait_max_s. retry_after in seconds, 0 = none. */
int64_t hub_pause_ms(const hub_client *c, int attempt, int64_t retry_after);
/* What an answer that is not 2xx means; `what` is a path in the repository or "the list of files".
 */
hone_status hub_fail_status(const hub_client *c, long http_status, const hub_headers *h,
                            const char *url, const char *what);
/* What a transport's failure means. */
hone_status hub_fail_code(const hub_client *c, CURLcode code, const hub_headers *h, const char *url,
                          const char *what);
/* A whole answer, redirects followed, repeated where that may help. *text: hone_free. */
HONE_CHECKED hone_status hub_get(const hub_client *c, const char *url, const char *what,
                                 size_t bytes_max, char **text, size_t *bytes,
                                 hub_headers *headers);
/* HEAD; redirects are followed within the origin only (the hub's own answer has the hash). */
HONE_CHECKED hone_status hub_head(const hub_client *c, const char *url, const char *what,
                                  uint64_t *bytes, bool *sized, hub_headers *headers);
/* HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is 1, on, yes or true. */
bool hub_is_offline(void);
void hub_report(const hub_client *c, const hone_hub_state *state);

/* ---- fetching ---- */

typedef struct hub_wanted {
    const char *path, *hash, *url;
    uint64_t bytes;
    uint64_t cached_bytes; /* of an .incomplete file, when it was looked at */
} hub_wanted;

/* Brings all of them into the cache, verified and linked. *stale: what was resumed turned out to be
 * wrong and has been removed; the same call again starts that file from its beginning. */
HONE_CHECKED hone_status hub_fetch(const hub_client *client, const hub_cache *cache,
                                   const char *commit, const hub_wanted *wanted, size_t count,
                                   uint64_t *bytes_received, bool *stale);

#endif
