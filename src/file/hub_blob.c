#include "file/hub_blob.h"

#include "base/interrupt.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 20, SYNC_BYTES = 32 << 20 };

/* Adds the bytes of fd from its start to the hash, as many as there are up to `most`. */
static hone_status hash_file(int fd, const char *path, hub_hash *h, uint64_t most, uint64_t *bytes)
{
    uint8_t *buffer = hone_malloc(READ_BYTES);
    hone_status s = buffer ? HONE_OK : hone_fail_memory(READ_BYTES, "a buffer");
    *bytes = 0;
    while (s == HONE_OK && *bytes < most) {
        size_t n = most - *bytes < READ_BYTES ? (size_t)(most - *bytes) : READ_BYTES;
        ssize_t got = pread(fd, buffer, n, (off_t)*bytes);
        if (got < 0 && errno == EINTR)
            got = 0;
        else if (got < 0)
            s = hone_fail_errno(errno, "cannot read %s", path);
        else if (got == 0)
            break;
        if (s == HONE_OK)
            s = hub_hash_add(h, buffer, (size_t)got);
        if (s == HONE_OK)
            s = hone_interrupt_check();
        *bytes += s == HONE_OK ? (uint64_t)got : 0;
    }
    hone_free(buffer);
    return s;
}

hone_status hub_blob_check(const char *path, const char *hash, uint64_t bytes, bool *right)
{
    char sum[65];
    hub_hash h;
    uint64_t there, size;
    *right = false;
    if (!hub_file_bytes(path, &size) || size != bytes)
        return HONE_OK;
    hub_hash_kind kind = hub_hash_kind_of(hash);
    HONE_TRY(hub_hash_open(&h, kind, bytes));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    hone_status s = fd < 0 ? hone_fail_errno(errno, "cannot open %s", path)
                           : hash_file(fd, path, &h, bytes, &there);
    if (fd >= 0)
        close(fd);
    if (s == HONE_OK)
        s = hub_hash_finish(&h, sum);
    hub_hash_close(&h);
    HONE_TRY(s);
    *right = there == bytes && (kind == HUB_HASH_NONE || strcmp(sum, hash) == 0);
    return HONE_OK;
}

static hone_status open_incomplete(hub_blob *b)
{
    struct stat st;
    b->fd = open(b->incomplete, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (b->fd < 0)
        return hone_fail_errno(errno, "cannot write %s", b->incomplete);
    if (fstat(b->fd, &st) != 0)
        return hone_fail_errno(errno, "cannot read %s", b->incomplete);
    if (!S_ISREG(st.st_mode))
        return hone_fail(HONE_FORMAT, "%s is not a regular file", b->incomplete);
    if ((uint64_t)st.st_size > b->wanted->bytes && ftruncate(b->fd, 0) != 0)
        return hone_fail_errno(errno, "cannot write %s", b->incomplete);
    HONE_TRY(hub_hash_open(&b->hash, hub_hash_kind_of(b->wanted->hash), b->wanted->bytes));
    HONE_TRY(hash_file(b->fd, b->incomplete, &b->hash, b->wanted->bytes, &b->bytes));
    b->resumed = b->synced = b->bytes;
    return HONE_OK;
}

hone_status hub_blob_open(hub_blob *b, const hub_cache *cache, const hub_wanted *wanted)
{
    uint64_t there;
    *b = (hub_blob){.wanted = wanted, .cache = cache, .lock = -1, .fd = -1};
    HONE_TRY(hub_cache_lock(cache, wanted->hash, &b->lock));
    if (b->lock < 0)
        return HONE_OK;
    b->path = hub_cache_blob(cache, wanted->hash, "");
    b->incomplete = hub_cache_blob(cache, wanted->hash, ".incomplete");
    hone_status s = b->path && b->incomplete ? HONE_OK : hone_fail_memory(1, "a path");
    if (s == HONE_OK && hub_file_bytes(b->path, &there)) {
        b->done = there == wanted->bytes;
        if (!b->done && unlink(b->path) != 0)
            s = hone_fail_errno(errno, "cannot remove %s, which has %llu bytes instead of %llu",
                                b->path, (unsigned long long)there,
                                (unsigned long long)wanted->bytes);
    }
    if (s == HONE_OK && !b->done) {
        const char *folder = hub_cache_blob(cache, "", "");
        s = folder ? hone_make_directory(folder) : hone_fail_memory(1, "a path");
        if (s == HONE_OK)
            s = open_incomplete(b);
    }
    b->open = s == HONE_OK && !b->done;
    if (!b->open)
        hub_blob_close(b);
    return s;
}

hone_status hub_blob_append(hub_blob *b, const void *data, size_t bytes)
{
    const char *p = data;
    for (size_t left = bytes; left > 0;) {
        ssize_t put = pwrite(b->fd, p, left, (off_t)(b->bytes));
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return hone_fail_errno(errno,
                                   "cannot write %s (%llu of %llu bytes are there, and the "
                                   "next pull goes on from them)",
                                   b->incomplete, (unsigned long long)b->bytes,
                                   (unsigned long long)b->wanted->bytes);
        HONE_TRY(hub_hash_add(&b->hash, p, (size_t)put));
        p += put;
        left -= (size_t)put;
        b->bytes += (size_t)put;
    }
    /* Begins writing to the disk, so that the sync at the end does not hold everything up. */
    if (b->bytes - b->synced >= SYNC_BYTES) {
        sync_file_range(b->fd, (off_t)b->synced, (off_t)(b->bytes - b->synced),
                        SYNC_FILE_RANGE_WRITE);
        b->synced = b->bytes;
    }
    return HONE_OK;
}

static hone_status check_hash(hub_blob *b)
{
    char sum[65];
    hub_hash_kind kind = b->hash.kind;
    HONE_TRY(hub_hash_finish(&b->hash, sum));
    if (kind == HUB_HASH_NONE || strcmp(sum, b->wanted->hash) == 0)
        return HONE_OK;
    if (unlink(b->incomplete) != 0)
        return hone_fail_errno(errno, "cannot remove %s, whose content is wrong", b->incomplete);
    return hone_fail(HONE_FORMAT,
                     "%s arrived damaged: its %s is %s instead of %s; what was fetched has been "
                     "removed: pull again",
                     b->wanted->path, kind == HUB_HASH_SHA256 ? "SHA-256" : "git SHA-1", sum,
                     b->wanted->hash);
}

hone_status hub_blob_finish(hub_blob *b, const char *commit)
{
    HONE_TRY(check_hash(b));
    if (fsync(b->fd) != 0)
        return hone_fail_errno(errno, "cannot write %s", b->incomplete);
    if (rename(b->incomplete, b->path) != 0)
        return hone_fail_errno(errno, "cannot rename %s", b->incomplete);
    HONE_TRY(hub_cache_link(b->cache, commit, b->wanted->path, b->wanted->hash));
    hub_blob_close(b);
    b->done = true;
    return HONE_OK;
}

void hub_blob_close(hub_blob *b)
{
    hub_hash_close(&b->hash);
    if (b->fd >= 0)
        close(b->fd);
    if (b->lock >= 0)
        close(b->lock);
    b->fd = b->lock = -1;
    b->open = false;
}
