/* A Hugging Face folder: config.json and model.safetensors, or the shards its index names. */
#include "file/internal.h"

#include <stdlib.h>
#include <string.h>

enum { INDEX_DEPTH = 3, INDEX_VALUES_MAX = 4 << 20, FILE_NAME_MAX = 255 };

static hone_status map_in(hone_file *f, const char *dir, const char *name, hone_map *out)
{
    char *path = hone_path_join(dir, name);
    if (!path)
        return hone_fail_memory(strlen(dir), "a path");
    hone_status s = hone_file_add_map(f, path, out);
    hone_free(path);
    return s;
}

static hone_status read_config_of(hone_file *f, const char *dir)
{
    hone_map m;
    hone_status s = map_in(f, dir, "config.json", &m);
    if (s == HONE_NOT_FOUND)
        return hone_fail(s,
                         "%s has no config.json; a model is a .gguf file, a .safetensors file or a "
                         "Hugging Face folder",
                         dir);
    HONE_TRY(s);
    s = hone_file_read_config(f, (const char *)m.data, m.bytes);
    return s == HONE_OK ? s : hone_fail_in(s, "%s", m.path);
}

/* A shard must be a plain file name, so that an index cannot point out of its folder. */
static hone_status check_shard_name(const char *tensor, const json_t *value)
{
    const char *name = json_string_value(value), *end;
    if (!name)
        return hone_fail(HONE_FORMAT, "tensor '%.120s': the file is no string", tensor);
    HONE_TRY(hone_file_check_name(name, strlen(name), FILE_NAME_MAX, "file name of a shard"));
    end = strrchr(name, '.');
    if (strchr(name, '/') || name[0] == '.' || !end || strcmp(end, ".safetensors") != 0)
        return hone_fail(HONE_FORMAT,
                         "tensor '%.120s': the shard '%.120s' must be a .safetensors file of this "
                         "folder",
                         tensor, name);
    return HONE_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The distinct names of shards in order; *out points into weights, freed by the caller. */
static hone_status list_shards(json_t *weights, const char ***out, size_t *count)
{
    size_t n = json_object_size(weights), kept = 0;
    const char **names = hone_reallocarray(NULL, n, sizeof *names);
    if (!names)
        return hone_fail_memory(n * sizeof *names, "the list of shards");
    const char *tensor;
    json_t *value;
    n = 0;
    json_object_foreach(weights, tensor, value)
    {
        hone_status s = check_shard_name(tensor, value);
        if (s != HONE_OK) {
            hone_free(names);
            return s;
        }
        names[n++] = json_string_value(value);
    }
    qsort(names, n, sizeof *names, by_name);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(names[i], names[kept - 1]) != 0)
            names[kept++] = names[i];
    *out = names;
    *count = kept;
    return HONE_OK;
}

static hone_status read_shards(hone_file *f, const char *dir, json_t *weights)
{
    const char **names = NULL;
    size_t count = 0;
    HONE_TRY(list_shards(weights, &names, &count));
    hone_status s = HONE_OK;
    for (size_t i = 0; s == HONE_OK && i < count; i++) {
        hone_map m;
        s = map_in(f, dir, names[i], &m);
        if (s == HONE_NOT_FOUND)
            s = hone_fail(s, "shard %s/%s is missing; fetch the model again", dir, names[i]);
        if (s == HONE_OK)
            s = hone_file_read_safetensors(f, &m, weights, names[i], false);
    }
    hone_free(names);
    if (s != HONE_OK)
        return s;
    const char *tensor;
    json_t *value;
    json_object_foreach(weights, tensor, value)
    {
        if (!hone_file_tensor(f, tensor))
            return hone_fail(HONE_FORMAT,
                             "%s/%s does not hold tensor '%.120s', though the index says so; fetch "
                             "the model again",
                             dir, json_string_value(value), tensor);
    }
    return HONE_OK;
}

static hone_status read_index(hone_file *f, const char *dir)
{
    hone_map m;
    hone_status s = map_in(f, dir, "model.safetensors.index.json", &m);
    if (s == HONE_NOT_FOUND)
        return hone_fail(s,
                         "%s has neither model.safetensors nor model.safetensors.index.json; "
                         "convert other weights (pytorch_model.bin) to safetensors first",
                         dir);
    HONE_TRY(s);
    if (m.bytes > HONE_INDEX_MAX)
        return hone_fail(HONE_LIMIT, "%s is %zu bytes long, at most %zu are read", m.path, m.bytes,
                         HONE_INDEX_MAX);
    json_t *root;
    s = hone_json_parse((const char *)m.data, m.bytes, INDEX_DEPTH, INDEX_VALUES_MAX, "the index",
                        &root);
    if (s != HONE_OK)
        return hone_fail_in(s, "%s", m.path);
    json_t *weights = json_object_get(root, "weight_map");
    if (!json_is_object(weights) || json_object_size(weights) == 0)
        s = hone_fail(HONE_FORMAT, "%s has no weight_map", m.path);
    else
        s = read_shards(f, dir, weights);
    json_decref(root);
    return s;
}

hone_status hone_file_read_folder(hone_file *f, const char *path)
{
    HONE_TRY(read_config_of(f, path));
    hone_map m;
    hone_status s = map_in(f, path, "model.safetensors", &m);
    if (s == HONE_NOT_FOUND)
        return read_index(f, path);
    HONE_TRY(s);
    return hone_file_read_safetensors(f, &m, NULL, NULL, false);
}
