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

/* ---- what was verified ---------------------------------------------------------------------- */

enum { STAMP_MAX = 256 };

/* What a file that was verified is known by until the machine starts anew: a write changes its
 * ctime, and bytes that come from the disk again after a start are verified again. False: unknown.
 */
static bool stamp_of(int fd, char text[STAMP_MAX])
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
    snprintf(text, STAMP_MAX, "%s %llu %llu %lld %lld.%09ld\n", boot, (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino, (long long)st.st_size, (long long)st.st_ctim.tv_sec,
             st.st_ctim.tv_nsec);
    return true;
}

/* Makes KEY.seen say so. Best effort: a half-written one fits nothing. */
static void put_stamp(const char *folder, const char *key, int fd)
{
    char text[STAMP_MAX];
    char *path = path_of(folder, key, ".seen");
    int out = path && stamp_of(fd, text)
                  ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)
                  : -1;
    if (out >= 0) {
        size_t n = strlen(text);
        if (write(out, text, n) != (ssize_t)n)
            unlink(path);
        close(out);
    }
    hone_free(path);
}

/* True if the stamp fits; its time is then now. */
static bool check_stamp(const char *folder, const char *key, int fd)
{
    char now[STAMP_MAX], then[STAMP_MAX] = "";
    char *path = path_of(folder, key, ".seen");
    bool same = false;
    int in = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (in >= 0) {
        ssize_t n = read(in, then, sizeof then - 1);
        same = n > 0 && stamp_of(fd, now) && strcmp(now, then) == 0;
        close(in);
    }
    if (same)
        utimensat(AT_FDCWD, path, NULL, 0);
    hone_free(path);
    return same;
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

static void touch_chunk(void *arg, size_t chunk, int thread)
{
    verify *v = arg;
    size_t from = chunk * HONE_PACKED_CHUNK, left = v->bytes - from;
    (void)thread;
    madvise((void *)(uintptr_t)(v->image + from),
            left < HONE_PACKED_CHUNK ? left : HONE_PACKED_CHUNK, MADV_POPULATE_READ);
}

static hone_status check_image(const hone_packed_cache *c, const char *key, int fd, size_t bytes,
                               const hone_packed_image *i, hone_pool *pool)
{
    verify v = {.image = i->data};
    HONE_TRY(hone_packed_read_trailer(i->data, i->bytes, key, &v.checksums, &v.bytes));
    if (v.bytes != bytes)
        return hone_fail(HONE_FORMAT, "it holds %zu bytes instead of %zu", v.bytes, bytes);
    if (check_stamp(c->folder, key, fd)) {
        hone_pool_run(pool, touch_chunk, &v, chunks_of(bytes));
        return HONE_OK;
    }
    hone_pool_run(pool, verify_chunk, &v, chunks_of(bytes));
    if (v.wrong)
        return hone_fail(HONE_FORMAT, "bytes at %zu and on have changed",
                         (v.wrong - 1) * HONE_PACKED_CHUNK);
    put_stamp(c->folder, key, fd);
    return HONE_OK;
}

void hone_packed_map(const hone_packed_cache *c, const char key[HONE_PACKED_KEY], size_t bytes,
                     hone_pool *pool, hone_packed_image *out, char note[HONE_PACKED_NOTE])
{
    struct stat st;
    *out = (hone_packed_image){0};
    *note = 0;
    char *path = c->folder ? path_of(c->folder, key, ".packed") : NULL;
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        hone_status s = HONE_OK;
        out->bytes = (size_t)st.st_size;
        out->data = out->bytes ? map_aligned(fd, out->bytes) : NULL;
        if (!out->bytes)
            s = hone_fail(HONE_FORMAT, "it is empty");
        else if (out->data)
            s = check_image(c, key, fd, bytes, out, pool);
        if (s != HONE_OK) {
            snprintf(note, HONE_PACKED_NOTE,
                     "packed weights in the cache were damaged (%s) and are "
                     "made anew",
                     hone_error());
            hone_packed_unmap(out);
            hone_packed_remove(c->folder, key);
        }
    } else if (fd < 0 && path && errno != ENOENT && errno != ENOTDIR)
        snprintf(note, HONE_PACKED_NOTE, "packed weights are not cached: %.120s: %s", path,
                 strerror(errno));
    if (fd >= 0)
        close(fd);
    hone_free(path);
}

void hone_packed_unmap(hone_packed_image *i)
{
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
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
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

void hone_packed_remove(const char *folder, const char key[HONE_PACKED_KEY])
{
    static const char *const ends[] = {".packed", ".seen"};
    for (int i = 0; i < 2; i++) {
        char *path = path_of(folder, key, ends[i]);
        if (path)
            unlink(path);
        hone_free(path);
    }
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

static void *write_all(void *arg)
{
    hone_packed_writer *w = arg;
    char self[64];
    size_t bytes = (size_t)w->end.image_bytes, table = table_at(bytes);
    setpriority(PRIO_PROCESS, (id_t)gettid(), 10);
    for (size_t i = 0; i < w->end.checksums; i++) {
        size_t from = i * HONE_PACKED_CHUNK, left = bytes - from;
        w->checksums[i] = chunk_hash(w->data, bytes, i);
        if (hone_interrupted() ||
            !put(w->fd, w->data + from, left < HONE_PACKED_CHUNK ? left : HONE_PACKED_CHUNK, from))
            return NULL;
    }
    w->end.hash = trailer_hash(w->checksums, &w->end);
    size_t table_bytes = (size_t)w->end.checksums * sizeof *w->checksums;
    if (!put(w->fd, w->checksums, table_bytes, table) ||
        !put(w->fd, &w->end, sizeof w->end, table + table_bytes))
        return NULL;
    /* Of two that race, one gets the name; both files are the same. */
    snprintf(self, sizeof self, "/proc/self/fd/%d", w->fd);
    if (linkat(AT_FDCWD, self, AT_FDCWD, w->path, AT_SYMLINK_FOLLOW) == 0)
        put_stamp(w->folder, w->end.key, w->fd);
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
    else if ((fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0644)) >= 0 &&
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

hone_packed_writer *hone_packed_write(const hone_packed_cache *c, const char key[HONE_PACKED_KEY],
                                      const char *label, const uint8_t *data, size_t bytes,
                                      char note[HONE_PACKED_NOTE])
{
    if (!c->folder || bytes < (c->min_bytes ? c->min_bytes : DEFAULT_MIN))
        return NULL;
    if (hone_make_directory(c->folder) != HONE_OK) {
        snprintf(note, HONE_PACKED_NOTE, "packed weights are not cached: %.180s", hone_error());
        return NULL;
    }
    if (!make_room(c, file_size(bytes), note))
        return NULL;
    hone_packed_writer *w = hone_calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->data = data;
    w->end = (trailer){.version = HONE_PACKED_VERSION,
                       .chunk_bytes = HONE_PACKED_CHUNK,
                       .image_bytes = bytes,
                       .checksums = chunks_of(bytes)};
    memcpy(w->end.magic, magic, sizeof magic);
    memcpy(w->end.key, key, HONE_PACKED_KEY);
    snprintf(w->end.label, sizeof w->end.label, "%s", label);
    w->fd = open_unnamed(c->folder, file_size(bytes), note);
    w->folder = hone_strdup(c->folder);
    w->path = path_of(c->folder, key, ".packed");
    w->checksums = hone_calloc(chunks_of(bytes), sizeof *w->checksums);
    if (w->fd >= 0 && w->folder && w->path && w->checksums &&
        pthread_create(&w->thread, NULL, write_all, w) == 0)
        return w;
    free_writer(w);
    return NULL;
}

void hone_packed_write_end(hone_packed_writer *w)
{
    if (!w)
        return;
    pthread_join(w->thread, NULL);
    free_writer(w);
}
