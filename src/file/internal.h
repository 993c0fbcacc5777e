/*
 * internal - what the files of this room share. Private to file/.
 *
 * An open file is: maps, an array of tensors and an array of metadata entries, each with a hash
 * index of names, and an arena that owns every string and small table. The readers (gguf.c,
 * safetensors.c, folder.c) only append to these through hone_file_add_*; they do the checking.
 */
#ifndef HONE_FILE_INTERNAL_H
#define HONE_FILE_INTERNAL_H

#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "file/file.h"

/* GGUF value types (ggml/docs/gguf.md); metadata of every kind is kept in these. */
enum {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_TYPES
};

enum {
    HONE_GGUF_DIMS = 4,         /* of a tensor (ggml.h, GGML_MAX_DIMS) */
    HONE_KEY_MAX = 65535,       /* bytes of a metadata key (gguf.md) */
    HONE_NAME_MAX = 511,        /* bytes of a tensor name */
    HONE_ENTRIES_MAX = 1 << 20, /* tensors or metadata entries of a file */
    HONE_CONFIG_MAX = 4 << 20,  /* bytes of config.json */
    HONE_CONFIG_DEPTH = 32
};
/* Bytes of a safetensors header, the limit of the reference implementation. */
#define HONE_HEADER_MAX ((size_t)100000000)
/* Bytes of model.safetensors.index.json. */
#define HONE_INDEX_MAX ((size_t)64 << 20)

typedef struct hone_meta {
    const char *key;
    hone_meta_type type;
    int stored;         /* GGUF value type */
    const uint8_t *raw; /* the value as GGUF stores it, without the type: raw_bytes bytes */
    size_t raw_bytes;
    const char *string; /* STR: ends with 0 */
    hone_array array;   /* ARRAY */
} hone_meta;

/* A set of names -> index, by open addressing; slots hold index + 1, 0 = empty. */
typedef struct hone_names {
    uint32_t *slots;
    size_t mask; /* slots - 1; slots is a power of two, at least twice the entries */
    uint64_t seed;
} hone_names;

struct hone_file {
    hone_file_kind_id kind;
    uint32_t version; /* GGUF */
    char *path;
    hone_map *maps; /* map_count; HF: config.json, then (index and) the weight files */
    size_t map_count, map_capacity;
    hone_tensor *tensors;
    size_t tensor_count, tensor_capacity;
    hone_meta *metas;
    size_t meta_count, meta_capacity;
    hone_names tensor_names, meta_names;
    hone_arena arena;
};

/* Appends; the entry's strings must live in the arena or a map. FORMAT for a name that is there
 * already. Messages say what is wrong without the file's name (hone_file_open adds it). */
HONE_CHECKED hone_status hone_file_add_tensor(hone_file *f, const hone_tensor *t);
HONE_CHECKED hone_status hone_file_add_meta(hone_file *f, const hone_meta *m);
/* Maps one more file; the map belongs to f, *out is a copy. */
HONE_CHECKED hone_status hone_file_add_map(hone_file *f, const char *path, hone_map *out);
/* Copies n bytes and a 0 into the arena. */
HONE_CHECKED hone_status hone_file_keep(hone_file *f, const char *s, size_t n, const char **out);

/* The readers; m is one of f's maps. */
HONE_CHECKED hone_status hone_file_read_gguf(hone_file *f, const hone_map *m);
/* split.count of what was read; 1 = not split, 0 = no number. */
uint64_t hone_file_gguf_parts(const hone_file *f);
/* The parts of a split GGUF into the empty file f, `path` being any one of them. */
HONE_CHECKED hone_status hone_file_read_gguf_parts(hone_file *f, const char *path, uint64_t parts);
HONE_CHECKED hone_status hone_file_read_folder(hone_file *f, const char *path);
/* Adds the tensors of one safetensors file; `only` (may be NULL) maps the names wanted to the name
 * of the file that holds each, and `file` is this file's: others are skipped. metadata: take
 * __metadata__ too. */
HONE_CHECKED hone_status hone_file_read_safetensors(hone_file *f, const hone_map *m,
                                                    const json_t *only, const char *file,
                                                    bool metadata);
/* config.json text -> metadata entries. */
HONE_CHECKED hone_status hone_file_read_config(hone_file *f, const char *text, size_t bytes);

/* The same checks on bytes in memory (which must outlive f): what is about to be written, and, so
 * that a sanitizer sees every read beyond them, tests and fuzzing. HONE_FILE_HF takes the text of a
 * config.json and has no tensors. */
HONE_CHECKED hone_status hone_file_open_bytes(hone_file_kind_id kind, const void *data,
                                              size_t bytes, hone_file **out);

/* Elements and bytes of a tensor whose dtype, n_dims and shape are set; FORMAT on overflow, a zero
 * dimension or rows that are no whole blocks. */
HONE_CHECKED hone_status hone_file_size_tensor(hone_tensor *t, uint64_t *elements);
/* True if s[0..n) is well-formed UTF-8 without 0 bytes. */
bool hone_file_is_utf8(const char *s, size_t n);
/* FORMAT unless s is UTF-8 of 1..max bytes without control characters. what: "tensor name". */
HONE_CHECKED hone_status hone_file_check_name(const char *s, size_t n, size_t max,
                                              const char *what);

/* Bytes of a GGUF scalar; 0 for strings, arrays and unknown types. */
size_t hone_gguf_scalar_bytes(uint32_t type);
hone_meta_type hone_gguf_meta_type(uint32_t type);

/* Adds entries for values that do not come from a GGUF; all copied into the arena. */
HONE_CHECKED hone_status hone_file_add_str(hone_file *f, const char *key, const char *s, size_t n);
HONE_CHECKED hone_status hone_file_add_scalar(hone_file *f, const char *key, int stored,
                                              const void *value);

/* Forgets maps, tensors and metadata. */
void hone_file_clear(hone_file *f);

/* The entry of a key, or NULL. */
const hone_meta *hone_file_meta_find(const hone_file *f, const char *key);

#endif
