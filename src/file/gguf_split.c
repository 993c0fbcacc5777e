/* GGUF in parts, NAME-00001-of-0000N.gguf (gguf-split of llama.cpp): the first part holds the
 * metadata, each its own tensors; split.no counts from 0. */
#include "file/internal.h"

#include <stdio.h>
#include <string.h>

enum { SUFFIX = 20, PARTS_MAX = 9999 }; /* "-00001-of-00003.gguf" */

/* Path of part i, from the path of any; hone_free. */
static hone_status part_path(const char *path, uint64_t i, uint64_t parts, char **out)
{
    size_t n = strlen(path);
    unsigned no = 0, of = 0;
    int end = 0;
    if (n < SUFFIX || sscanf(path + n - SUFFIX, "-%5u-of-%5u.gguf%n", &no, &of, &end) != 2 ||
        end != SUFFIX || of != parts)
        return hone_fail(HONE_FORMAT,
                         "%s is one of %llu parts, but its name does not end with "
                         "-00001-of-%05llu.gguf as those of parts do; give it its name back",
                         path, (unsigned long long)parts, (unsigned long long)parts);
    *out = hone_strdup(path);
    if (!*out)
        return hone_fail_memory(n, "a path");
    snprintf(*out + n - SUFFIX, SUFFIX + 1, "-%05u-of-%05u.gguf", (unsigned)i + 1, (unsigned)parts);
    return HONE_OK;
}

static hone_status check_part(const hone_file *part, const char *path, uint64_t i, uint64_t parts)
{
    uint64_t no = 0;
    HONE_TRY(hone_file_u64_or(part, "split.no", UINT64_MAX, &no));
    if (no != i || hone_file_gguf_parts(part) != parts)
        return hone_fail(HONE_FORMAT,
                         "%s says that it is part %lld of %llu, not %llu of %llu as its name does; "
                         "fetch it again",
                         path, (long long)no + 1, (unsigned long long)hone_file_gguf_parts(part),
                         (unsigned long long)i + 1, (unsigned long long)parts);
    return HONE_OK;
}

/* Part i's tensors into f; what else it holds is forgotten. */
static hone_status read_part(hone_file *f, const hone_map *m, uint64_t i, uint64_t parts)
{
    hone_file part = {.kind = HONE_FILE_GGUF};
    hone_status s = hone_file_read_gguf(&part, m);
    if (s == HONE_OK)
        s = check_part(&part, m->path, i, parts);
    for (size_t t = 0; s == HONE_OK && t < part.tensor_count; t++) {
        hone_tensor copy = part.tensors[t];
        s = hone_file_keep(f, copy.name, strlen(copy.name), &copy.name);
        if (s == HONE_OK)
            s = hone_file_add_tensor(f, &copy);
    }
    hone_file_clear(&part);
    hone_arena_free(&part.arena);
    return s;
}

static hone_status map_part(hone_file *f, const char *path, uint64_t i, uint64_t parts, hone_map *m)
{
    char *name = NULL;
    HONE_TRY(part_path(path, i, parts, &name));
    hone_status s = hone_file_add_map(f, name, m);
    if (s == HONE_NOT_FOUND)
        s = hone_fail(s, "%s is missing: part %llu of %llu of the model; fetch it too", name,
                      (unsigned long long)i + 1, (unsigned long long)parts);
    hone_free(name);
    return s;
}

hone_status hone_file_read_gguf_parts(hone_file *f, const char *path, uint64_t parts)
{
    uint64_t total = 0;
    if (parts > PARTS_MAX)
        return hone_fail(HONE_LIMIT, "%s: a model of %llu parts; at most %d are read", path,
                         (unsigned long long)parts, PARTS_MAX);
    for (uint64_t i = 0; i < parts; i++) {
        hone_map m;
        HONE_TRY(map_part(f, path, i, parts, &m));
        if (i == 0) {
            HONE_TRY(hone_file_read_gguf(f, &m));
            HONE_TRY(check_part(f, m.path, i, parts));
        } else {
            HONE_TRY(read_part(f, &m, i, parts));
        }
    }
    HONE_TRY(hone_file_u64_or(f, "split.tensors.count", f->tensor_count, &total));
    if (total != f->tensor_count)
        return hone_fail(HONE_FORMAT, "%s: its parts hold %zu tensors, not %llu as the first says",
                         path, f->tensor_count, (unsigned long long)total);
    return HONE_OK;
}
