/* hub_cache - the cache's layout (huggingface_hub's), and what it has without a network. */
#include "base/io.h"
#include "base/json.h"
#include "file/hub_internal.h"
#include "file/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOLDER_DEPTH_MAX = 8 };

const char *hub_env(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

/* dir/sub, with a "~" at the front of dir put out. */
static hone_status place(const char *dir, const char *sub, char **out)
{
    char *home = NULL;
    if (dir[0] == '~' && (dir[1] == 0 || dir[1] == '/')) {
        const char *h = hub_env("HOME");
        if (!h)
            return hone_fail(HONE_USAGE, "HOME is not set: give the cache with HF_HUB_CACHE");
        home = hone_path_join(h, dir[1] ? dir + 2 : "");
        if (!home)
            return hone_fail_memory(strlen(dir), "a path");
        dir = home;
    }
    *out = sub[0] ? hone_path_join(dir, sub) : hone_strdup(dir);
    hone_free(home);
    return *out ? HONE_OK : hone_fail_memory(strlen(sub), "a path");
}

hone_status hone_hub_cache_dir(char **out)
{
    static const struct {
        const char *variable, *sub;
    } places[] = {{"HF_HUB_CACHE", ""},
                  {"HUGGINGFACE_HUB_CACHE", ""},
                  {"HF_HOME", "hub"},
                  {"XDG_CACHE_HOME", "huggingface/hub"}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (hub_env(places[i].variable))
            return place(hub_env(places[i].variable), places[i].sub, out);
    return place("~/.cache/huggingface", "hub", out);
}

hone_status hub_cache_open(hone_arena *a, const char *dir, const char *repository, hub_cache *out)
{
    char folder[256];
    size_t n = (size_t)snprintf(folder, sizeof folder, "models--");
    for (const char *p = repository; *p && n + 3 < sizeof folder; p++)
        n += (size_t)snprintf(folder + n, sizeof folder - n, *p == '/' ? "--" : "%c", *p);
    *out = (hub_cache){.arena = a};
    out->dir = hone_arena_strndup(a, dir, strlen(dir));
    out->repository = hub_print(a, "%s/%s", dir, folder);
    out->locks = hub_print(a, "%s/.locks/%s", dir, folder);
    if (!out->dir || !out->repository || !out->locks)
        return hone_fail_memory(strlen(dir), "the cache's paths");
    return HONE_OK;
}

static bool is_commit(const char *s)
{
    return hub_is_hex(s, 40) || hub_is_hex(s, 64);
}

hone_status hub_cache_commit(const hub_cache *c, const char *revision, char commit[65])
{
    if (is_commit(revision)) {
        snprintf(commit, 65, "%s", revision);
        return HONE_OK;
    }
    char *path = hub_print(c->arena, "%s/refs/%s", c->repository, revision), *text;
    size_t bytes;
    if (!path)
        return hone_fail_memory(strlen(revision), "a path");
    HONE_TRY(hone_read_file(path, 4096, &text, &bytes));
    text[strcspn(text, " \r\n\t")] = 0;
    bool good = is_commit(text);
    if (good)
        snprintf(commit, 65, "%s", text);
    hone_free(text);
    return good ? HONE_OK : hone_fail(HONE_FORMAT, "%s holds no commit: remove it", path);
}

static hone_status make_parent(const char *path)
{
    char *folder = hone_strdup(path);
    if (!folder)
        return hone_fail_memory(strlen(path), "a path");
    char *slash = strrchr(folder, '/');
    *slash = 0;
    hone_status s = hone_make_directory(folder);
    hone_free(folder);
    return s;
}

hone_status hub_cache_set_ref(const hub_cache *c, const char *revision, const char *commit)
{
    char now[65];
    if (is_commit(revision))
        return HONE_OK;
    if (hub_cache_commit(c, revision, now) == HONE_OK && strcmp(now, commit) == 0)
        return HONE_OK;
    char *path = hub_print(c->arena, "%s/refs/%s", c->repository, revision);
    if (!path)
        return hone_fail_memory(strlen(revision), "a path");
    HONE_TRY(make_parent(path));
    return hone_write_file(path, commit, strlen(commit));
}

char *hub_cache_snapshot(const hub_cache *c, const char *commit, const char *path)
{
    return hub_print(c->arena, "%s/snapshots/%s%s%s", c->repository, commit, path[0] ? "/" : "",
                     path);
}

char *hub_cache_blob(const hub_cache *c, const char *hash, const char *suffix)
{
    return hub_print(c->arena, "%s/blobs/%s%s", c->repository, hash, suffix);
}

hone_status hub_cache_link(const hub_cache *c, const char *commit, const char *path,
                           const char *hash)
{
    char target[4 * HUB_PATH_MAX], there[4 * HUB_PATH_MAX];
    size_t n = (size_t)snprintf(target, sizeof target, "../../");
    for (const char *p = path; *p; p++)
        if (*p == '/')
            n += (size_t)snprintf(target + n, sizeof target - n, "../");
    snprintf(target + n, sizeof target - n, "blobs/%s", hash);
    char *at = hub_cache_snapshot(c, commit, path);
    char *fresh = at ? hub_print(c->arena, "%s.tmp.%ld", at, (long)getpid()) : NULL;
    if (!fresh)
        return hone_fail_memory(strlen(path), "a path");
    ssize_t got = readlink(at, there, sizeof there - 1);
    if (got > 0) {
        there[got] = 0;
        if (strcmp(there, target) == 0)
            return HONE_OK;
    }
    HONE_TRY(make_parent(at));
    unlink(fresh);
    if (symlink(target, fresh) != 0)
        return hone_fail_errno(errno, "cannot make the symbolic link %s", at);
    if (rename(fresh, at) != 0) {
        int err = errno;
        unlink(fresh);
        return hone_fail_errno(err, "cannot put the link %s in its place", at);
    }
    return HONE_OK;
}

hone_status hub_cache_lock(const hub_cache *c, const char *hash, int *fd)
{
    char path[4096]; /* not of the arena: this is tried again and again */
    *fd = -1;
    if ((size_t)snprintf(path, sizeof path, "%s/%s.lock", c->locks, hash) >= sizeof path)
        return hone_fail(HONE_LIMIT, "%s: the path of the cache is too long", c->locks);
    HONE_TRY(make_parent(path));
    int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (lock < 0)
        return hone_fail_errno(errno, "cannot open the lock %s", path);
    if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
        int err = errno;
        close(lock);
        if (err == EWOULDBLOCK || err == EACCES || err == EINTR)
            return HONE_OK;
        return hone_fail_errno(err, "cannot lock %s", path);
    }
    /* Another program may have removed the file between open and flock: its next comer would lock
     * another one. */
    struct stat mine, named;
    if (fstat(lock, &mine) != 0 || stat(path, &named) != 0 || mine.st_ino != named.st_ino) {
        close(lock);
        return HONE_OK;
    }
    *fd = lock;
    return HONE_OK;
}

bool hub_file_bytes(const char *path, uint64_t *bytes)
{
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return false;
    *bytes = (uint64_t)st.st_size;
    return true;
}

/* ---- what is there ---- */

/* Lists the files of folder/prefix whose content is there. */
static hone_status list_folder(hub_list *l, const char *folder, const char *prefix, int depth)
{
    DIR *d = opendir(folder);
    if (!d)
        return errno == ENOENT ? HONE_OK : hone_fail_errno(errno, "cannot read %s", folder);
    hone_status s = HONE_OK;
    for (struct dirent *e; s == HONE_OK && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        char *path = hone_path_join(folder, e->d_name);
        char *name = hub_print(l->arena, "%s%s", prefix, e->d_name);
        uint64_t bytes;
        if (!path || !name)
            s = hone_fail_memory(strlen(e->d_name), "a path");
        else if (hub_file_bytes(path, &bytes) && hub_path_is_safe(name))
            s = hub_list_add(l, name, "", bytes < HUB_FILE_BYTES_MAX ? bytes : 0, true);
        else if (hone_is_directory(path) && depth < FOLDER_DEPTH_MAX) {
            name = hub_print(l->arena, "%s/", name);
            s = name ? list_folder(l, path, name, depth + 1) : hone_fail_memory(1, "a path");
        }
        hone_free(path);
    }
    closedir(d);
    return s;
}

/* A folder with an index must have every file that the index names. */
static hone_status check_shards(const char *folder)
{
    char *path = hone_path_join(folder, "model.safetensors.index.json"), *text;
    size_t bytes, missing = 0;
    char which[256] = "";
    if (!path)
        return hone_fail_memory(strlen(folder), "a path");
    if (!hone_is_file(path)) {
        hone_free(path);
        return HONE_OK;
    }
    hone_status s = hone_read_file(path, HONE_INDEX_MAX, &text, &bytes);
    json_t *index = NULL;
    if (s == HONE_OK) {
        s = hone_json_parse(text, bytes, HONE_CONFIG_DEPTH, HONE_ENTRIES_MAX, path, &index);
        hone_free(text);
    }
    hone_free(path);
    HONE_TRY(s);
    const char *tensor;
    json_t *file;
    json_object_foreach(json_object_get(index, "weight_map"), tensor, file)
    {
        const char *name = json_string_value(file);
        if (!name || !hub_path_is_safe(name) || (which[0] && strcmp(which, name) == 0))
            continue;
        char *at = hone_path_join(folder, name);
        if (at && !hone_is_file(at)) {
            snprintf(which, sizeof which, "%.255s", name);
            missing++;
        }
        hone_free(at);
    }
    json_decref(index);
    return missing ? hone_fail(HONE_NOT_FOUND, "%s is not in the cache", which) : HONE_OK;
}

/* The model among the files of one snapshot. */
static hone_status resolve_in(const hub_cache *c, const char *commit, const char *quant,
                              char **path)
{
    hub_list l = {.arena = c->arena};
    char *folder = hub_cache_snapshot(c, commit, "");
    const char *model = NULL;
    const hone_hub_options none = {0};
    hone_status s = folder ? list_folder(&l, folder, "", 0) : hone_fail_memory(1, "a path");
    if (s == HONE_OK)
        s = hub_list_finish(&l);
    if (s == HONE_OK && l.count == 0)
        s = hone_fail(HONE_NOT_FOUND, "commit %s is not in the cache", commit);
    if (s == HONE_OK)
        s = hub_choose(&l, quant, &none, &model);
    if (s == HONE_OK && model[0] == 0)
        s = check_shards(folder);
    if (s == HONE_OK) {
        *path = model[0] ? hone_path_join(folder, model) : hone_strdup(folder);
        if (!*path)
            s = hone_fail_memory(strlen(folder), "a path");
    }
    hub_list_free(&l);
    return s;
}

hone_status hub_cache_resolve(const hub_cache *c, const hub_name *name, const char *revision,
                              char **path)
{
    char commit[65], wanted[320];
    snprintf(wanted, sizeof wanted, "%s%s%s%s%s", name->repository,
             strcmp(revision, "main") ? "@" : "", strcmp(revision, "main") ? revision : "",
             name->quant[0] ? ":" : "", name->quant);
    *path = NULL;
    hone_status s = hub_cache_commit(c, revision, commit);
    if (s == HONE_NOT_FOUND)
        return hone_fail(HONE_NOT_FOUND, "%s is not in the cache %s", wanted, c->dir);
    HONE_TRY(s);
    s = resolve_in(c, commit, name->quant, path);
    if (s == HONE_NOT_FOUND)
        return hone_fail(s, "%s is not, or not all, in the cache %s (%.400s)", wanted, c->dir,
                         hone_error());
    return s == HONE_OK ? s : hone_fail_in(s, "%s", wanted);
}

hone_status hone_hub_resolve(const char *text, const char *cache_dir, char **path)
{
    hub_name name;
    hub_cache cache;
    hone_arena arena = {0};
    char *dir = NULL;
    *path = NULL;
    HONE_TRY(hub_name_parse(text, &name));
    if (!cache_dir) {
        HONE_TRY(hone_hub_cache_dir(&dir));
        cache_dir = dir;
    }
    hone_status s = hub_cache_open(&arena, cache_dir, name.repository, &cache);
    if (s == HONE_OK)
        s = hub_cache_resolve(&cache, &name, name.revision[0] ? name.revision : "main", path);
    if (s == HONE_NOT_FOUND)
        s = hone_fail(s, "%.700s: hone pull %s", hone_error(), text);
    hone_arena_free(&arena);
    hone_free(dir);
    return s;
}
