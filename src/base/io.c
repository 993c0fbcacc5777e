#include "base/io.h"

#include "base/interrupt.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

hone_status hone_map_open(const char *path, hone_map *out)
{
    *out = (hone_map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe is refused, not waited for */
    if (fd < 0)
        return hone_fail_errno(errno, "cannot open %s", path);
    struct stat st;
    hone_status s = HONE_OK;
    if (fstat(fd, &st) != 0)
        s = hone_fail_errno(errno, "cannot read %s", path);
    else if (!S_ISREG(st.st_mode))
        s = hone_fail(HONE_FORMAT, "%s is not a regular file", path);
    else if (!(out->path = hone_strdup(path)))
        s = hone_fail_memory(strlen(path), "a path");
    else if (st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            s = hone_fail_errno(errno, "cannot map %s", path);
        else {
            out->data = p;
            out->bytes = (size_t)st.st_size;
        }
    }
    close(fd);
    if (s != HONE_OK) {
        hone_map_close(out);
        return s;
    }
    out->device = (uint64_t)st.st_dev;
    out->inode = (uint64_t)st.st_ino;
    out->modified_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    out->changed_ns = (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec;
    return HONE_OK;
}

void hone_map_close(hone_map *m)
{
    if (m->data)
        munmap((void *)(uintptr_t)m->data, m->bytes);
    hone_free(m->path);
    *m = (hone_map){0};
}

void hone_map_forget(const void *data, size_t bytes)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)data, to = from + bytes;
    from = (from + page - 1) & ~(page - 1);
    to &= ~(page - 1);
    if (to > from)
        madvise((void *)from, to - from, MADV_DONTNEED);
}

static hone_status read_all(int fd, const char *path, size_t max_bytes, char **text, size_t *bytes)
{
    size_t cap = 1 << 16, n = 0;
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
        (size_t)st.st_size <= max_bytes)
        cap = (size_t)st.st_size + 1;
    char *buf = hone_malloc(cap + 1);
    if (!buf)
        return hone_fail_memory(cap, path);
    for (;;) {
        if (n == cap) {
            char *bigger = hone_reallocarray(buf, cap + 1, 2);
            if (!bigger) {
                hone_free(buf);
                return hone_fail_memory(cap * 2, path);
            }
            buf = bigger;
            cap = cap * 2 + 1;
        }
        ssize_t got = read(fd, buf + n, cap - n);
        if (got < 0 && errno == EINTR && !hone_interrupted())
            continue;
        if (got < 0) {
            int err = errno;
            hone_free(buf);
            HONE_TRY(hone_interrupt_check());
            return hone_fail_errno(err, "cannot read %s", path);
        }
        if (got == 0)
            break;
        n += (size_t)got;
        if (n > max_bytes) {
            hone_free(buf);
            return hone_fail(HONE_LIMIT, "%s is larger than %zu bytes", path, max_bytes);
        }
    }
    buf[n] = 0;
    *text = buf;
    *bytes = n;
    return HONE_OK;
}

hone_status hone_read_file(const char *path, size_t max_bytes, char **text, size_t *bytes)
{
    if (strcmp(path, "-") == 0)
        return read_all(STDIN_FILENO, "standard input", max_bytes, text, bytes);
    int fd, err;
    do {
        HONE_TRY(hone_interrupt_check());
        fd = open(path, O_RDONLY | O_CLOEXEC); /* waits for who writes a pipe */
        err = errno;
    } while (fd < 0 && err == EINTR);
    if (fd < 0)
        return hone_fail_errno(err, "cannot open %s", path);
    hone_status s = read_all(fd, path, max_bytes, text, bytes);
    close(fd);
    return s;
}

enum { WRITER_BUFFER = 1 << 18 };

struct hone_writer {
    int fd;
    uint64_t offset;
    size_t filled;
    char *path, *temporary;
    char buffer[WRITER_BUFFER];
};

hone_status hone_writer_open(const char *path, hone_writer **out)
{
    *out = NULL;
    struct stat there;
    const bool replaces = stat(path, &there) == 0;
    if (replaces && !S_ISREG(there.st_mode)) /* rename would replace a device */
        return hone_fail(HONE_USAGE, "%s is %s; give the name of a file", path,
                         S_ISDIR(there.st_mode) ? "a folder" : "no regular file");
    hone_writer *w = hone_malloc(sizeof *w);
    if (!w)
        return hone_fail_memory(sizeof *w, "a file writer");
    w->fd = -1;
    w->offset = 0;
    w->filled = 0;
    w->path = hone_strdup(path);
    w->temporary = hone_temporary_path(path);
    if (!w->path || !w->temporary) {
        hone_writer_abort(w);
        return hone_fail_memory(strlen(path), "a path");
    }
    w->fd = open(w->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (w->fd < 0) {
        hone_status s = hone_fail_errno(errno, "cannot write %s", path);
        hone_writer_abort(w);
        return s;
    }
    if (replaces) /* who may read it; where the file system cannot say, it stays as it is */
        (void)fchmod(w->fd, there.st_mode & 0777);
    *out = w;
    return HONE_OK;
}

static hone_status write_out(hone_writer *w, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t put = write(w->fd, p, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return hone_fail_errno(errno, "cannot write %s (nothing was changed)", w->path);
        p += put;
        n -= (size_t)put;
    }
    return HONE_OK;
}

static hone_status writer_flush(hone_writer *w)
{
    size_t n = w->filled;
    w->filled = 0;
    return write_out(w, w->buffer, n);
}

hone_status hone_writer_write(hone_writer *w, const void *data, size_t bytes)
{
    w->offset += bytes;
    if (w->filled + bytes > WRITER_BUFFER)
        HONE_TRY(writer_flush(w));
    if (bytes > WRITER_BUFFER)
        return write_out(w, data, bytes);
    if (bytes)
        memcpy(w->buffer + w->filled, data, bytes);
    w->filled += bytes;
    return HONE_OK;
}

hone_status hone_writer_pad(hone_writer *w, size_t alignment)
{
    static const char zeros[64];
    size_t need = (size_t)((alignment - w->offset % alignment) % alignment);
    while (need) {
        size_t n = need < sizeof zeros ? need : sizeof zeros;
        HONE_TRY(hone_writer_write(w, zeros, n));
        need -= n;
    }
    return HONE_OK;
}

uint64_t hone_writer_offset(const hone_writer *w)
{
    return w->offset;
}

/* Makes a rename durable: fsync of the directory. Best effort; the data itself is already synced.
 */
static void sync_parent(const char *path)
{
    char *copy = hone_strdup(path);
    if (!copy)
        return;
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    hone_free(copy);
}

hone_status hone_writer_commit(hone_writer *w)
{
    hone_status s = writer_flush(w);
    if (s == HONE_OK && fsync(w->fd) != 0)
        s = hone_fail_errno(errno, "cannot write %s (nothing was changed)", w->path);
    if (s == HONE_OK) {
        int fd = w->fd;
        w->fd = -1;
        if (close(fd) != 0)
            s = hone_fail_errno(errno, "cannot write %s (nothing was changed)", w->path);
    }
    if (s == HONE_OK && rename(w->temporary, w->path) != 0)
        s = hone_fail_errno(errno, "cannot rename %s to %s", w->temporary, w->path);
    if (s == HONE_OK) {
        sync_parent(w->path);
        hone_free(w->temporary);
        w->temporary = NULL;
    }
    hone_writer_abort(w);
    return s;
}

void hone_writer_abort(hone_writer *w)
{
    if (!w)
        return;
    if (w->fd >= 0)
        close(w->fd);
    if (w->temporary) {
        unlink(w->temporary);
        hone_free(w->temporary);
    }
    hone_free(w->path);
    hone_free(w);
}

hone_status hone_write_file(const char *path, const void *data, size_t bytes)
{
    hone_writer *w;
    HONE_TRY(hone_writer_open(path, &w));
    hone_status s = hone_writer_write(w, data, bytes);
    if (s != HONE_OK) {
        hone_writer_abort(w);
        return s;
    }
    return hone_writer_commit(w);
}

hone_status hone_check_output(const char *path)
{
    hone_writer *w;
    HONE_TRY(hone_writer_open(path, &w));
    hone_writer_abort(w);
    return HONE_OK;
}

bool hone_is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool hone_is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

bool hone_same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

hone_status hone_read_member(const char *folder, const char *name, size_t max_bytes, char **text,
                             size_t *bytes)
{
    *text = NULL;
    *bytes = 0;
    char *path = hone_path_join(folder, name);
    if (!path)
        return hone_fail_memory(strlen(folder), "a path");
    hone_status s = hone_is_file(path) ? hone_read_file(path, max_bytes, text, bytes) : HONE_OK;
    hone_free(path);
    return s;
}

hone_status hone_make_directory(const char *path)
{
    if (!*path)
        return hone_fail(HONE_USAGE, "cannot make a directory: its name is empty");
    char *copy = hone_strdup(path);
    if (!copy)
        return hone_fail_memory(strlen(path), "a path");
    hone_status s = HONE_OK;
    for (char *p = copy + 1; s == HONE_OK; p++) {
        if (*p != '/' && *p != 0)
            continue;
        char kept = *p;
        *p = 0;
        if (mkdir(copy, 0777) != 0 && (errno != EEXIST || !hone_is_directory(copy)))
            s = hone_fail_errno(errno, "cannot make directory %s", copy);
        *p = kept;
        if (kept == 0)
            break;
    }
    hone_free(copy);
    return s;
}

char *hone_path_join(const char *dir, const char *name)
{
    size_t nd = strlen(dir), nn = strlen(name);
    char *p = hone_malloc(nd + nn + 2);
    if (!p)
        return NULL;
    memcpy(p, dir, nd);
    if (nd == 0 || dir[nd - 1] != '/')
        p[nd++] = '/';
    memcpy(p + nd, name, nn + 1);
    return p;
}

const char *hone_path_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool hone_ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

char *hone_temporary_path(const char *path)
{
    size_t n = strlen(path) + 32;
    char *p = hone_malloc(n);
    if (p)
        snprintf(p, n, "%s.tmp.%ld", path, (long)getpid());
    return p;
}

void hone_drop_temporaries(const char *folder, const char *name)
{
    static const char mark[] = ".tmp.";
    const size_t n = strlen(name);
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        const char *pid = e->d_name + n + sizeof mark - 1;
        if (strncmp(e->d_name, name, n) == 0 &&
            strncmp(e->d_name + n, mark, sizeof mark - 1) == 0 && *pid &&
            !pid[strspn(pid, "0123456789")])
            (void)unlinkat(dirfd(d), e->d_name, 0);
    }
    if (d)
        (void)closedir(d);
}
