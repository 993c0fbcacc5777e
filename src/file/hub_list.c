/* hub_list - the hub's answers to "which files are there" -> a checked list. */
#include "base/json.h"
#include "file/hub_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEPTH_MAX = 64,
    VALUES_MAX = 2000000,
    /* From this many files on, the hub may cut the list in a model's description. */
    CUT_FILES = 10000
};

static const char *text_of(const json_t *object, const char *key, const char *other)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : json_string_value(json_object_get(object, other));
}

hone_status hub_list_add(hub_list *l, const char *path, const char *hash, uint64_t bytes,
                         bool sized)
{
    if (!hub_path_is_safe(path))
        return hone_fail(HONE_FORMAT,
                         "the hub lists a file whose path is unsafe (\"%.200s\"); nothing of this "
                         "repository was fetched",
                         path);
    if (sized && bytes > HUB_FILE_BYTES_MAX)
        return hone_fail(HONE_LIMIT, "%.200s: the hub says that it has %llu bytes", path,
                         (unsigned long long)bytes);
    if (l->count == HUB_FILES_MAX)
        return hone_fail(HONE_LIMIT, "the repository has more than %d files", HUB_FILES_MAX);
    if (l->count == l->capacity) {
        size_t more = l->capacity ? l->capacity * 2 : 64;
        hub_entry *fresh = hone_reallocarray(l->entries, more, sizeof *fresh);
        if (!fresh)
            return hone_fail_memory(more * sizeof *fresh, "the list of files");
        l->entries = fresh;
        l->capacity = more;
    }
    hub_entry *e = &l->entries[l->count];
    *e = (hub_entry){.bytes = sized ? bytes : 0, .sized = sized};
    e->path = hone_arena_strndup(l->arena, path, strlen(path));
    e->hash = hone_arena_strndup(l->arena, hash, strlen(hash));
    if (!e->path || !e->hash)
        return hone_fail_memory(strlen(path), "the list of files");
    l->count++;
    return HONE_OK;
}

/* The member as a size: *sized is false if it is absent or null. */
static hone_status size_of(const json_t *object, const char *path, uint64_t *bytes, bool *sized)
{
    const json_t *v = json_object_get(object, "size");
    *sized = v && !json_is_null(v);
    if (!*sized)
        return HONE_OK;
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return hone_fail(HONE_FORMAT, "the hub's list: the size of %.200s is no number of bytes",
                         path);
    *bytes = (uint64_t)json_integer_value(v);
    return HONE_OK;
}

/* One file: {"rfilename" or "path", "size", "blobId" or "oid", "lfs": {"sha256" or "oid", "size"}}.
 */
static hone_status read_entry(hub_list *l, const json_t *e)
{
    const char *type = json_string_value(json_object_get(e, "type"));
    if (type && strcmp(type, "file") != 0)
        return HONE_OK;
    const char *path = text_of(e, "rfilename", "path");
    if (!path)
        return hone_fail(HONE_FORMAT, "the hub's list: entry %zu has no path", l->count);
    const char *hash = text_of(e, "blobId", "oid");
    const json_t *lfs = json_object_get(e, "lfs"), *source = e;
    size_t digits = 40;
    if (json_is_object(lfs)) {
        hash = text_of(lfs, "sha256", "oid");
        digits = 64;
        source = lfs;
    }
    uint64_t bytes = 0;
    bool sized;
    HONE_TRY(size_of(source, path, &bytes, &sized));
    if (hash && !hub_is_hex(hash, digits))
        return hone_fail(HONE_FORMAT, "the hub's list: the hash of %.200s is not one (\"%.80s\")",
                         path, hash);
    return hub_list_add(l, path, hash ? hash : "", bytes, sized);
}

static hone_status read_answer(hub_list *l, const json_t *answer)
{
    const json_t *files = answer;
    if (json_is_object(answer)) {
        const char *commit = json_string_value(json_object_get(answer, "sha"));
        if (!commit || (!hub_is_hex(commit, 40) && !hub_is_hex(commit, 64)))
            return hone_fail(HONE_FORMAT, "the hub's answer names no commit (\"sha\"): is the "
                                          "endpoint one that speaks the Hugging Face hub's API?");
        snprintf(l->commit, sizeof l->commit, "%s", commit);
        files = json_object_get(answer, "siblings");
        size_t n = json_array_size(files);
        l->complete = n > 0 && n < CUT_FILES;
        if (!l->complete)
            return HONE_OK;
    }
    if (!json_is_array(files))
        return hone_fail(HONE_FORMAT, "the hub's answer is no list of files");
    size_t i;
    const json_t *e;
    json_array_foreach(files, i, e) HONE_TRY(read_entry(l, e));
    return HONE_OK;
}

hone_status hub_list_read(hub_list *l, const char *json, size_t bytes)
{
    json_t *answer;
    HONE_TRY(hone_json_parse(json, bytes, DEPTH_MAX, VALUES_MAX, "the hub's answer", &answer));
    hone_status s = read_answer(l, answer);
    json_decref(answer);
    return s;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const hub_entry *)a)->path, ((const hub_entry *)b)->path);
}

static bool has_path(const hub_list *l, const char *path)
{
    hub_entry key = {.path = path};
    return bsearch(&key, l->entries, l->count, sizeof key, by_path) != NULL;
}

hone_status hub_list_finish(hub_list *l)
{
    if (l->count)
        qsort(l->entries, l->count, sizeof *l->entries, by_path);
    for (size_t i = 0; i < l->count; i++) {
        const char *path = l->entries[i].path;
        char folder[HUB_PATH_MAX + 1];
        if (i + 1 < l->count && strcmp(path, l->entries[i + 1].path) == 0)
            return hone_fail(HONE_FORMAT, "the hub lists %.200s twice", path);
        snprintf(folder, sizeof folder, "%s", path);
        for (char *slash = strrchr(folder, '/'); slash; slash = strrchr(folder, '/')) {
            *slash = 0;
            if (has_path(l, folder))
                return hone_fail(HONE_FORMAT, "the hub lists %.200s as a file and as a folder",
                                 folder);
        }
    }
    return HONE_OK;
}

void hub_list_free(hub_list *l)
{
    hone_free(l->entries);
    l->entries = NULL;
    l->count = l->capacity = 0;
}
