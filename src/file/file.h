/*
 * file - an opened model, the same to read whatever it was: a GGUF file (v2, v3, little-endian), a
 * Hugging Face folder (config.json with model.safetensors or its sharded index), or a lone
 * .safetensors.
 *
 * Files are mapped and only ever read; tensor data points into the maps and is valid until close.
 * All that the file claims (counts, lengths, offsets, shapes, names) is checked during open; what
 * comes out of here can be used without further checks, except that tensor VALUES are anything (NaN
 * included), that tensor data may be UNALIGNED (safetensors), and that which tensors and keys exist
 * is for the caller to ask.
 *
 * Ownership: everything returned belongs to the hone_file. Threading: an opened file is immutable
 * and may be read by many threads. Another process that truncates a mapped file kills the reader
 * (SIGBUS).
 */
#ifndef HONE_FILE_FILE_H
#define HONE_FILE_FILE_H

#include "base/status.h"
#include "base/threads.h"
#include "dtype/dtype.h"
#include "tensor/tensor.h"

typedef struct hone_file hone_file;

typedef enum hone_file_kind_id {
    HONE_FILE_GGUF,
    HONE_FILE_HF,         /* a Hugging Face folder */
    HONE_FILE_SAFETENSORS /* one safetensors file without a config */
} hone_file_kind_id;

/* Errors: NOT_FOUND, PERMISSION, FORMAT (damaged; the message names file and tensor or key),
 * UNSUPPORTED (a tensor type or version that hone cannot read yet), LIMIT, MEMORY, IO. */
HONE_CHECKED hone_status hone_file_open(const char *path, hone_file **out);
/* A Hugging Face folder of which only the config.json is there, as text: no tensors; `path` is for
 * messages. What it says can be read as of any other. */
HONE_CHECKED hone_status hone_file_from_config(const char *json, const char *path, hone_file **out);
void hone_file_close(hone_file *f); /* NULL is fine */

hone_file_kind_id hone_file_kind(const hone_file *f);
const char *hone_file_kind_name(const hone_file *f); /* "GGUF v3", "Hugging Face folder", ... */
const char *hone_file_path(const hone_file *f);      /* as given to open; the folder for HF */
uint64_t hone_file_bytes(const hone_file *f);        /* of all the files mapped */
/* True if what `path` names now is one of those files, under whatever name. */
bool hone_file_is_source(const hone_file *f, const char *path);

/* Tensors, in the order of the file. */
size_t hone_file_tensor_count(const hone_file *f);
const hone_tensor *hone_file_tensor_at(const hone_file *f, size_t i);
const hone_tensor *hone_file_tensor(const hone_file *f,
                                    const char *name); /* NULL = there is none */
/* The tensor `name` with exactly this shape (row-major), or NOT_FOUND / FORMAT saying what is
 * there. */
HONE_CHECKED hone_status hone_file_need_tensor(const hone_file *f, const char *name, int n_dims,
                                               const uint64_t *shape, const hone_tensor **out);
/* Elements of a tensor (cannot overflow: checked at open). */
uint64_t hone_tensor_elements(const hone_tensor *t);

/*
 * Metadata. A key is a GGUF key ("llama.block_count") or the dotted path of a member of config.json
 * ("rope_scaling.factor"; members of objects in arrays by index, "layers.0.size"). A JSON null
 * counts as missing. A lone safetensors has the strings of its __metadata__.
 *
 * Getters: NOT_FOUND (message names the key) when missing, FORMAT when the value has another type
 * or does not fit. u64 and i64 take any integer type (and a JSON real without fraction); f64 takes
 * any number.
 */
bool hone_file_has(const hone_file *f, const char *key);
HONE_CHECKED hone_status hone_file_u64(const hone_file *f, const char *key, uint64_t *out);
HONE_CHECKED hone_status hone_file_i64(const hone_file *f, const char *key, int64_t *out);
HONE_CHECKED hone_status hone_file_f64(const hone_file *f, const char *key, double *out);
HONE_CHECKED hone_status hone_file_bool(const hone_file *f, const char *key, bool *out);
/* UTF-8, no 0 inside, ends with 0. */
HONE_CHECKED hone_status hone_file_str(const hone_file *f, const char *key, const char **out);

/* The same with a value for a missing key; only a wrong type fails. */
HONE_CHECKED hone_status hone_file_u64_or(const hone_file *f, const char *key, uint64_t fallback,
                                          uint64_t *out);
HONE_CHECKED hone_status hone_file_f64_or(const hone_file *f, const char *key, double fallback,
                                          double *out);
HONE_CHECKED hone_status hone_file_bool_or(const hone_file *f, const char *key, bool fallback,
                                           bool *out);
HONE_CHECKED hone_status hone_file_str_or(const hone_file *f, const char *key, const char *fallback,
                                          const char **out);

typedef enum hone_meta_type {
    HONE_META_U64, /* any unsigned integer */
    HONE_META_I64, /* any signed integer */
    HONE_META_F64, /* float32 or float64 */
    HONE_META_BOOL,
    HONE_META_STR,
    HONE_META_ARRAY
} hone_meta_type;

/* A view of an array of scalars or strings; valid until the file is closed. */
typedef struct hone_array {
    hone_meta_type type; /* of the elements; never ARRAY */
    uint64_t count;
    int stored;            /* GGUF value type of an element */
    const uint8_t *data;   /* packed elements, unaligned */
    const uint64_t *start; /* strings: offset in data of each element's u64 length */
} hone_array;

HONE_CHECKED hone_status hone_file_array(const hone_file *f, const char *key, hone_array *out);
/* Element i; false if i is out of range or the element has another type or does not fit. */
bool hone_array_u64(const hone_array *a, uint64_t i, uint64_t *out);
bool hone_array_i64(const hone_array *a, uint64_t i, int64_t *out);
bool hone_array_f64(const hone_array *a, uint64_t i, double *out);
bool hone_array_bool(const hone_array *a, uint64_t i, bool *out);
/* Bytes of a string element: NOT terminated, may hold any byte (vocabularies do), length in *bytes.
 */
bool hone_array_str(const hone_array *a, uint64_t i, const char **out, size_t *bytes);

/* All metadata, in the order of the file. */
size_t hone_file_meta_count(const hone_file *f);
const char *hone_file_meta_key(const hone_file *f, size_t i);
/* The value as one line of text, control characters escaped, cut with "..." to fit in `size` bytes
 * (at least 16) including the final 0; an array as "[3 u64: 1, 2, 3]". Returns text. */
const char *hone_file_meta_text(const hone_file *f, size_t i, char *text, size_t size);

/* Sums by format, for `hone info`. types[HONE_DTYPE_COUNT], indexed by hone_dtype. */
typedef struct hone_file_sum {
    uint64_t tensors, elements, bytes;
} hone_file_sum;
void hone_file_describe(const hone_file *f, hone_file_sum *types, hone_file_sum *total);

/*
 * Identity. The hash is the SHA-256 of the content: of a single file the one that sha256sum prints;
 * of several that of the lines "<sha256>  <name>\n" of all of them - config.json, the index and the
 * weight files of a folder, the parts of a GGUF - in the order of their names (`sha256sum NAMES |
 * sha256sum`). Reads everything: seconds per gigabyte. The fingerprint is cheap: XXH3-128 of sizes,
 * modification times, headers and sampled blocks; equal fingerprints on one machine mean "not
 * changed since", no more.
 */
HONE_CHECKED hone_status hone_file_hash(const hone_file *f, char hex[65]);
HONE_CHECKED hone_status hone_file_fingerprint(const hone_file *f, char hex[33]);

/* The state that the files were in when they were opened: a hash of device, inode, size and times.
 * Whoever finds it again has the same bytes, unless they were written within the tick of the
 * clock that the last change was in: true if that is well past (2 s). */
HONE_CHECKED hone_status hone_file_state(const hone_file *f, uint64_t state[2], bool *settled);
/* XXH3-128 of all bytes, chunks of 4 MiB hashed by the pool: about 0.1 s per gigabyte in memory. */
HONE_CHECKED hone_status hone_file_content(const hone_file *f, hone_pool *pool, uint64_t hash[2]);

#endif
