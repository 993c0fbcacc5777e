#include "model/packed_cache.h"

#include "base/interrupt.h"
#include "base/io.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define DEFAULT_MAX ((uint64_t)20 << 30)
#define DEFAULT_MIN ((uint64_t)16 << 20)
#define HUGE        ((size_t)2 << 20)

/* The file: image, zeros up to a page, a checksum of each chunk, this. */
typedef struct trailer {
    char magic[8];
    uint32_t version, chunk_bytes;
    uint64_t image_bytes, checksums;
    uint64_t source[2]; /* hash of what it was made from */
    char key[HONE_PACKED_KEY], label[64];
    char pad[7];
    uint64_t hash; /* of the checksums and of what stands before this */
} trailer;

static const char magic[8] = "HONEPACK";

static size_t chunks_of(size_t bytes)
{
    return bytes / HONE_PACKED_CHUNK + (bytes % HONE_PACKED_CHUNK != 0);
}

static size_t table_at(size_t image_bytes)
{
    return (image_bytes + 4095) & ~(size_t)4095;
}

static size_t file_size(size_t image_bytes)
{
    return table_at(image_bytes) + chunks_of(image_bytes) * sizeof(uint64_t) + sizeof(trailer);
}

static uint64_t chunk_hash(const uint8_t *image, size_t bytes, size_t chunk)
{
    size_t from = chunk * HONE_PACKED_CHUNK, left = bytes - from;
    return XXH3_64bits(image + from, left < HONE_PACKED_CHUNK ? left : HONE_PACKED_CHUNK);
}

static uint64_t trailer_hash(const uint64_t *checksums, const trailer *t)
{
    uint64_t h = XXH3_64bits(checksums, (size_t)t->checksums * sizeof *checksums);
    return XXH3_64bits_withSeed(t, offsetof(trailer, hash), h);
}

/* ---- where ---------------------------------------------------------------------------------- */

hone_status hone_packed_folder(char **folder)
{
    static const char *const names[][2] = {{"HONE_CACHE", "packed"},
                                           {"XDG_CACHE_HOME", "hone/packed"},
                                           {"HOME", ".cache/hone/packed"}};
    *folder = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i][0]);
        if (!value || !*value)
            continue;
        if (i == 0 && strcmp(value, "off") == 0)
            return HONE_OK;
        *folder = hone_path_join(value, names[i][1]);
        return *folder ? HONE_OK : hone_fail_memory(strlen(value), "a path");
    }
    return HONE_OK;
}

/* "FOLDER/KEY<end>" in a fresh string, NULL = no memory. */
static char *path_of(const char *folder, const char *key, const char *end)
{
    char name[HONE_PACKED_KEY + 64];
    snprintf(name, sizeof name, "%.32s%.64s", key, end);
    return hone_path_join(folder, name);
}

/* Files here are opened with O_NONBLOCK: a pipe of such a name is not waited for. */

/* ---- what was verified ---------------------------------------------------------------------- */

enum { STAMP_MAX = 320, SEEN_IMAGE = 1, SEEN_SOURCE = 2 };

/* What a file that was verified is known by until the machine starts anew: a write changes its
 * ctime, and bytes that come from the disk again after a start are verified again. A second line:
 * the state in which the source's bytes were found to be those that it was made from. False:
 * unknown. */
static bool stamp_of(int fd, const hone_packed_source *source, char text[STAMP_MAX])
{
    char boot[64] = "";
    struct stat st;
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (!f)
        return false;
    bool got = fgets(boot, sizeof boot, f) != NULL;
    fclose(f);
    if (!got || fstat(fd, &st) != 0)
        return false;
    boot[strcspn(boot, "\n")] = 0;
    snprintf(text, STAMP_MAX, "%s %llu %llu %lld %lld.%09ld\n%s %016llx%016llx\n", boot,
             (unsigned long long)st.st_dev, (unsigned long long)st.st_ino, (long long)st.st_size,
             (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec,
             source->settled ? "source" : "unsettled", (unsigned long long)source->state[1],
             (unsigned long long)source->state[0]);
    return true;
}

/* Makes KEY.seen say so. Best effort: a half-written one fits nothing. */
static void put_stamp(const char *folder, const char *key, int fd, const hone_packed_source *source)
{
    char text[STAMP_MAX];
    char *path = path_of(folder, key, ".seen");
    int out =
        path && stamp_of(fd, source, text)
            ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600)
            : -1;
    if (out >= 0) {
        size_t n = strlen(text);
        if (write(out, text, n) != (ssize_t)n)
            unlink(path);
        close(out);
    }
    hone_free(path);
}

static bool is_ours(int fd, struct stat *st)
{
    return fstat(fd, st) == 0 && S_ISREG(st->st_mode) && st->st_uid == geteuid();
}

/* Which of SEEN_* the stamp says; if both, its time is then now. */
static int check_stamp(const char *folder, const char *key, int fd,
                       const hone_packed_source *source)
{
    char now[STAMP_MAX], then[STAMP_MAX] = "";
    struct stat st;
    char *path = path_of(folder, key, ".seen");
    int seen = 0;
    int in = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
    if (in >= 0) {
        ssize_t n = is_ours(in, &st) ? read(in, then, sizeof then - 1) : 0;
        if (n > 0 && stamp_of(fd, source, now)) {
            size_t line = strcspn(now, "\n") + 1;
            seen |= strncmp(now, then, line) == 0 ? SEEN_IMAGE : 0;
            /* The clock may have gone back: only what was settled then is settled. */
            seen |= seen && source->settled && strcmp(now, then) == 0 ? SEEN_SOURCE : 0;
        }
        close(in);
    }
    if (seen == (SEEN_IMAGE | SEEN_SOURCE))
        utimensat(AT_FDCWD, path, NULL, 0);
    hone_free(path);
    return seen;
}

/* ---- reading -------------------------------------------------------------------------------- */

hone_status hone_packed_read_trailer(const uint8_t *file, size_t file_bytes,
                                     const char key[HONE_PACKED_KEY], const uint64_t **checksums,
                                     size_t *image_bytes)
{
    const trailer *t;
    if (file_bytes < sizeof *t || file_bytes % 8)
        return hone_fail(HONE_FORMAT, "it was cut off");
    t = (const trailer *)(const void *)(file + file_bytes - sizeof *t);
    if (memcmp(t->magic, magic, sizeof magic) != 0)
        return hone_fail(HONE_FORMAT, "it has no end");
    if (t->version != HONE_PACKED_VERSION || t->chunk_bytes != HONE_PACKED_CHUNK)
        return hone_fail(HONE_FORMAT, "it is of version %u", t->version);
    if (t->image_bytes > file_bytes || t->checksums != chunks_of((size_t)t->image_bytes) ||
        file_size((size_t)t->image_bytes) != file_bytes)
        return hone_fail(HONE_FORMAT, "its size is not what it says");
    const uint64_t *table = (const uint64_t *)(const void *)(file + table_at(t->image_bytes));
    if (trailer_hash(table, t) != t->hash)
        return hone_fail(HONE_FORMAT, "its checksums do not fit");
    if (memcmp(t->key, key, HONE_PACKED_KEY) != 0)
        return hone_fail(HONE_FORMAT, "it is of another model");
    *checksums = table;
    *image_bytes = (size_t)t->image_bytes;
    return HONE_OK;
}

/* Maps a file at a multiple of 2 MB, so that what the page cache holds in large pages can be mapped
 * in large pages. */
static const uint8_t *map_aligned(int fd, size_t bytes)
{
    char *raw =
        mmap(NULL, bytes + HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED)
        return NULL;
    size_t head = (HUGE - (uintptr_t)raw % HUGE) % HUGE, page = (size_t)sysconf(_SC_PAGESIZE);
    size_t mapped = (bytes + page - 1) / page * page;
    char *at = mmap(raw + head, bytes, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
    if (at == MAP_FAILED) {
        munmap(raw, bytes + HUGE);
        return NULL;
    }
    if (head)
        munmap(raw, head);
    char *end = at + mapped, *raw_end = raw + (bytes + HUGE + page - 1) / page * page;
    if (raw_end > end)
        munmap(end, (size_t)(raw_end - end));
    madvise(at, mapped, MADV_HUGEPAGE);
    return (const uint8_t *)at;
}

typedef struct verify {
    const uint8_t *image;
    const uint64_t *checksums;
    size_t bytes;
    _Atomic size_t wrong; /* 1 + a chunk */
} verify;

static void verify_chunk(void *arg, size_t chunk, int thread)
{
    verify *v = arg;
    (void)thread;
    if (chunk_hash(v->image, v->bytes, chunk) != v->checksums[chunk])
        atomic_store(&v->wrong, chunk + 1);
}

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

/* Reads a file ahead of those who use it, so that the first prompt runs while weights still come.
 */
struct hone_packed_reader {
    pthread_t thread;
    _Atomic bool stop;
    const uint8_t *data;
    size_t bytes;
};

static void *read_ahead(void *arg)
{
    hone_packed_reader *r = arg;
    for (size_t at = 0; at < r->bytes && !atomic_load(&r->stop); at += HONE_PACKED_CHUNK) {
        size_t left = r->bytes - at;
        madvise((void *)(uintptr_t)(r->data + at),
                left < HONE_PACKED_CHUNK ? left : HONE_PACKED_CHUNK, MADV_POPULATE_READ);
    }
    return NULL;
}

/* Best effort: without it each page comes when it is first read. */
static hone_packed_reader *start_reader(const uint8_t *data, size_t bytes)
{
    hone_packed_reader *r = hone_calloc(1, sizeof *r);
    if (r) {
        r->data = data;
        r->bytes = bytes;
        if (pthread_create(&r->thread, NULL, read_ahead, r) == 0)
            return r;
    }
    hone_free(r);
    return NULL;
}

static bool hash_source(hone_packed_source *s)
{
    s->hashed = s->hashed || s->hash(s->arg, s->content);
    return s->hashed;
}

/* *other: it is right, and of another source. */
static hone_status check_image(const hone_packed_cache *c, const char *key, int fd, size_t bytes,
                               hone_packed_source *source, hone_packed_image *i, hone_pool *pool,
                               bool *other)
{
    verify v = {.image = i->data};
    trailer t;
    HONE_TRY(hone_packed_read_trailer(i->data, i->bytes, key, &v.checksums, &v.bytes));
    if (v.bytes != bytes)
        return hone_fail(HONE_FORMAT, "it holds %zu bytes instead of %zu", v.bytes, bytes);
    int seen = check_stamp(c->folder, key, fd, source);
    if (seen & SEEN_IMAGE)
        i->reader = start_reader(i->data, bytes);
    else
        hone_pool_run(pool, verify_chunk, &v, chunks_of(bytes));
    if (v.wrong)
        return hone_fail(HONE_FORMAT, "bytes at %zu and on have changed",
                         (v.wrong - 1) * HONE_PACKED_CHUNK);
    memcpy(&t, i->data + i->bytes - sizeof t, sizeof t);
    if (!(seen & SEEN_SOURCE)) {
        *other = !hash_source(source) || memcmp(source->content, t.source, sizeof t.source) != 0;
        if (!*other)
            put_stamp(c->folder, key, fd, source);
    }
    return HONE_OK;
}

void hone_packed_map(const hone_packed_cache *c, const char key[HONE_PACKED_KEY], size_t bytes,
                     hone_packed_source *source, hone_pool *pool, hone_packed_image *out,
                     char note[HONE_PACKED_NOTE])
{
    struct stat st;
    bool other = false, damaged = false;
    *out = (hone_packed_image){0};
    *note = 0;
    char *path = c->folder ? path_of(c->folder, key, ".packed") : NULL;
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
    if (fd >= 0 && is_ours(fd, &st)) {
        hone_status s = HONE_OK;
        out->bytes = (size_t)st.st_size;
        out->data = out->bytes ? map_aligned(fd, out->bytes) : NULL;
        if (!out->bytes)
            s = hone_fail(HONE_FORMAT, "it is empty");
        else if (out->data)
            s = check_image(c, key, fd, bytes, source, out, pool, &other);
        if (s != HONE_OK)
            snprintf(note, HONE_PACKED_NOTE,
                     "packed weights in the cache were damaged (%s) and are "
                     "made anew",
                     hone_error());
        damaged = s != HONE_OK;
        if (damaged || other) {
            hone_packed_unmap(out);
            if (damaged || source->hashed) /* else there was no memory to hash it */
                hone_packed_remove(c->folder, key);
        }
    } else if (fd >= 0)
        snprintf(note, HONE_PACKED_NOTE,
                 "packed weights are not cached: %.120s is no file of this user", path);
    else if (path && errno != ENOENT && errno != ENOTDIR)
        snprintf(note, HONE_PACKED_NOTE, "packed weights are not cached: %.120s: %s", path,
                 strerror(errno));
    if (fd >= 0)
        close(fd);
    hone_free(path);
}

void hone_packed_unmap(hone_packed_image *i)
{
    if (i->reader) {
        atomic_store(&i->reader->stop, true);
        pthread_join(i->reader->thread, NULL);
        hone_free(i->reader);
    }
    if (i->data)
        munmap((void *)(uintptr_t)i->data, i->bytes);
    *i = (hone_packed_image){0};
}

/* ---- the folder ----------------------------------------------------------------------------- */

static bool is_key(const char *name)
{
    return strspn(name, "0123456789abcdef") == HONE_PACKED_KEY - 1;
}

static int by_use(const void *a, const void *b)
{
    const hone_packed_entry *x = a, *y = b;
    return x->used_s != y->used_s ? (x->used_s < y->used_s ? 1 : -1) : strcmp(x->key, y->key);
}

static void describe(int folder, const char *name, hone_packed_entry *e)
{
    char seen[HONE_PACKED_KEY + 8];
    struct stat st, used;
    trailer t;
    *e = (hone_packed_entry){0};
    memcpy(e->key, name, HONE_PACKED_KEY - 1);
    snprintf(seen, sizeof seen, "%s.seen", e->key);
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0) {
        if (fd >= 0)
            close(fd);
        return;
    }
    e->bytes = (uint64_t)st.st_size;
    e->used_s = fstatat(folder, seen, &used, 0) == 0 ? (int64_t)used.st_mtim.tv_sec
                                                     : (int64_t)st.st_mtim.tv_sec;
    if (st.st_size >= (off_t)sizeof t &&
        pread(fd, &t, sizeof t, st.st_size - (off_t)sizeof t) == (ssize_t)sizeof t &&
        memcmp(t.magic, magic, sizeof magic) == 0)
        snprintf(e->label, sizeof e->label, "%.*s", (int)sizeof t.label - 1, t.label);
    close(fd);
}

hone_status hone_packed_list(const char *folder, hone_packed_entry **list, size_t *count)
{
    *list = NULL;
    *count = 0;
    DIR *d = opendir(folder);
    if (!d)
        return errno == ENOENT ? HONE_OK : hone_fail_errno(errno, "cannot list %s", folder);
    size_t room = 0;
    for (const struct dirent *x; (x = readdir(d));) {
        if (!is_key(x->d_name) || strcmp(x->d_name + HONE_PACKED_KEY - 1, ".packed") != 0)
            continue;
        if (*count == room) {
            room = 2 * room + 16;
            hone_packed_entry *more = hone_reallocarray(*list, room, sizeof *more);
            if (!more) {
                closedir(d);
                hone_free(*list);
                *list = NULL;
                return hone_fail_memory(room * sizeof *more, "the cache's files");
            }
            *list = more;
        }
        describe(dirfd(d), x->d_name, &(*list)[(*count)++]);
    }
    closedir(d);
    if (*count)
        qsort(*list, *count, sizeof **list, by_use);
    return HONE_OK;
}

hone_status hone_packed_remove(const char *folder, const char key[HONE_PACKED_KEY])
{
    static const char *const ends[] = {".packed", ".seen"};
    hone_status s = HONE_OK;
    for (int i = 0; i < 2 && s == HONE_OK; i++) {
        char *path = path_of(folder, key, ends[i]);
        if (!path)
            return hone_fail_memory(strlen(folder), "a path");
        if (unlink(path) != 0 && errno != ENOENT)
            s = hone_fail_errno(errno, "cannot remove %s", path);
        hone_free(path);
    }
    return s;
}

/* Removes what was used longest ago until `bytes` fit under the bound. False: they never do. */
static bool make_room(const hone_packed_cache *c, size_t bytes, char *note)
{
    struct statvfs v;
    hone_packed_entry *list;
    size_t count;
    if (statvfs(c->folder, &v) != 0)
        return false;
    uint64_t disk = (uint64_t)v.f_blocks * v.f_frsize, max = c->max_bytes, held = 0;
    if (max == 0)
        max = disk / 10 < DEFAULT_MAX ? disk / 10 : DEFAULT_MAX;
    if (bytes > max) {
        snprintf(note, HONE_PACKED_NOTE,
                 "packed weights are not cached: %zu bytes, and the cache may have %llu", bytes,
                 (unsigned long long)max);
        return false;
    }
    if (hone_packed_list(c->folder, &list, &count) != HONE_OK)
        return false;
    for (size_t i = 0; i < count; i++)
        held += list[i].bytes;
    for (size_t i = count; i-- > 0 && held > max - bytes;) {
        hone_packed_remove(c->folder, list[i].key);
        held -= list[i].bytes;
    }
    hone_free(list);
    return true;
}

/* ---- writing -------------------------------------------------------------------------------- */

struct hone_packed_writer {
    pthread_t thread;
    _Atomic size_t next, done; /* chunks */
    _Atomic bool failed;
    hone_packed_source source;
    int fd;
    char *folder, *path;
    const uint8_t *data;
    uint64_t *checksums;
    trailer end;
};

static bool put(int fd, const void *data, size_t bytes, size_t at)
{
    const char *p = data;
    while (bytes) {
        ssize_t n = pwrite(fd, p, bytes, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        at += (size_t)n;
        bytes -= (size_t)n;
    }
    return true;
}

/* Writes the end, and gives the file its name: nobody sees it before. */
static void publish(hone_packed_writer *w)
{
    char self[64];
    size_t table = table_at((size_t)w->end.image_bytes);
    w->end.hash = trailer_hash(w->checksums, &w->end);
    size_t table_bytes = (size_t)w->end.checksums * sizeof *w->checksums;
    if (!put(w->fd, w->checksums, table_bytes, table) ||
        !put(w->fd, &w->end, sizeof w->end, table + table_bytes))
        return;
    /* Of two that race, one gets the name; both files are the same. */
    snprintf(self, sizeof self, "/proc/self/fd/%d", w->fd);
    if (linkat(AT_FDCWD, self, AT_FDCWD, w->path, AT_SYMLINK_FOLLOW) == 0)
        put_stamp(w->folder, w->end.key, w->fd, &w->source);
}

/* Writes chunks until there is none that nobody has taken; two threads may do so at a time, and the
 * one that is done last publishes. */
static void write_chunks(hone_packed_writer *w, hone_progress_fn *progress, void *arg)
{
    size_t bytes = (size_t)w->end.image_bytes, i;
    while (!atomic_load(&w->failed) && (i = atomic_fetch_add(&w->next, 1)) < w->end.checksums) {
        size_t from = i * HONE_PACKED_CHUNK, left = bytes - from;
        w->checksums[i] = chunk_hash(w->data, bytes, i);
        if (hone_interrupted() ||
            !put(w->fd, w->data + from, left < HONE_PACKED_CHUNK ? left : HONE_PACKED_CHUNK, from))
            atomic_store(&w->failed, true); /* before it is counted */
        size_t done = atomic_fetch_add(&w->done, 1) + 1;
        if (progress)
            progress(arg, "keeping packed weights for the next start (ctrl-C: do not)",
                     (double)done, (double)w->end.checksums);
        if (done == w->end.checksums && !atomic_load(&w->failed))
            publish(w);
    }
}

static void *write_behind(void *arg)
{
    setpriority(PRIO_PROCESS, (id_t)gettid(), 10);
    write_chunks(arg, NULL, NULL);
    return NULL;
}

/* Opens a file without name that has room for `bytes`. */
static int open_unnamed(const char *folder, size_t bytes, char *note)
{
    struct rlimit limit;
    int fd = -1;
    errno = 0;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < bytes)
        errno = EFBIG; /* asking would be a signal */
    else if ((fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)) >= 0 &&
             fallocate(fd, 0, 0, (off_t)bytes) != 0 && errno != EOPNOTSUPP) {
        int why = errno;
        close(fd);
        fd = -1;
        errno = why;
    }
    if (fd < 0)
        snprintf(note, HONE_PACKED_NOTE, "packed weights are not cached in %.120s: %s", folder,
                 strerror(errno));
    return fd;
}

static void free_writer(hone_packed_writer *w)
{
    if (w->fd >= 0)
        close(w->fd);
    hone_free(w->checksums);
    hone_free(w->folder);
    hone_free(w->path);
    hone_free(w);
}

bool hone_packed_wanted(const hone_packed_cache *c, size_t bytes)
{
    return c->folder && bytes >= (c->min_bytes ? c->min_bytes : DEFAULT_MIN);
}

/* The last folder of the path is for its owner alone: what runs as a model is made from it. */
static hone_status make_folder(const char *folder)
{
    struct stat st;
    char *parent = hone_strdup(folder);
    if (!parent)
        return hone_fail_memory(strlen(folder), "a path");
    char *slash = strrchr(parent, '/');
    hone_status s = HONE_OK;
    if (slash && slash > parent) {
        *slash = 0;
        s = hone_make_directory(parent);
    }
    hone_free(parent);
    HONE_TRY(s);
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return hone_fail_errno(errno, "cannot make directory %s", folder);
    if (stat(folder, &st) != 0)
        return hone_fail_errno(errno, "cannot use %s", folder);
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid())
        return hone_fail(HONE_PERMISSION, "%s is no folder of this user", folder);
    return HONE_OK;
}

hone_status hone_packed_usable(const char *folder)
{
    HONE_TRY(make_folder(folder));
    if (access(folder, W_OK | X_OK) != 0)
        return hone_fail_errno(errno, "cannot write to %s", folder);
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == EOPNOTSUPP || errno == EISDIR
                   ? hone_fail(HONE_UNSUPPORTED,
                               "the file system of %s has no files without a name (O_TMPFILE)",
                               folder)
                   : hone_fail_errno(errno, "cannot write to %s", folder);
    close(fd);
    return HONE_OK;
}

hone_packed_writer *hone_packed_write(const hone_packed_cache *c, const char key[HONE_PACKED_KEY],
                                      const char *label, const hone_packed_source *source,
                                      const uint8_t *data, size_t bytes,
                                      char note[HONE_PACKED_NOTE])
{
    if (!hone_packed_wanted(c, bytes) || !source->hashed)
        return NULL;
    if (make_folder(c->folder) != HONE_OK) {
        snprintf(note, HONE_PACKED_NOTE, "packed weights are not cached: %.180s", hone_error());
        return NULL;
    }
    if (!make_room(c, file_size(bytes), note))
        return NULL;
    hone_packed_writer *w = hone_calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->data = data;
    w->source = *source;
    w->end = (trailer){.version = HONE_PACKED_VERSION,
                       .chunk_bytes = HONE_PACKED_CHUNK,
                       .image_bytes = bytes,
                       .checksums = chunks_of(bytes),
                       .source = {source->content[0], source->content[1]}};
    memcpy(w->end.magic, magic, sizeof magic);
    memcpy(w->end.key, key, HONE_PACKED_KEY);
    snprintf(w->end.label, sizeof w->end.label, "%s", label);
    w->fd = open_unnamed(c->folder, file_size(bytes), note);
    w->folder = hone_strdup(c->folder);
    w->path = path_of(c->folder, key, ".packed");
    w->checksums = hone_calloc(chunks_of(bytes), sizeof *w->checksums);
    if (w->fd >= 0 && w->folder && w->path && w->checksums &&
        pthread_create(&w->thread, NULL, write_behind, w) == 0)
        return w;
    free_writer(w);
    return NULL;
}

void hone_packed_write_end(hone_packed_writer *w, hone_progress_fn *progress, void *arg)
{
    if (!w)
        return;
    write_chunks(w, progress, arg);
    pthread_join(w->thread, NULL);
    free_writer(w);
}
