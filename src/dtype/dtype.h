/*
 * dtype - number formats as they stand in files: layout, decoding, encoding.
 *
 * One row per format in formats.def, one file per format. Everything that asks "what is Q4_0" asks
 * this table; no switch over formats elsewhere.
 *
 * Threading: pure functions over constant tables. Sources and destinations need no alignment beyond
 * that of `float` for float arrays (file data may be unaligned). Floating-point modes
 * (flush-to-zero) of the calling thread do not change a result unless it is subnormal in float32.
 */
#ifndef HONE_DTYPE_DTYPE_H
#define HONE_DTYPE_DTYPE_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum hone_dtype {
#define X(ID, name, st, ggml, elements, bytes, group, bits, min) HONE_DTYPE_##ID,
#include "dtype/formats.def"
    HONE_DTYPE_COUNT
} hone_dtype;

typedef struct hone_dtype_info {
    const char *name;        /* "q8_0" */
    const char *safetensors; /* "BF16", or NULL where safetensors has no such type */
    int ggml;                /* ggml type id, or -1 */
    uint32_t
        block_elements; /* elements along the fastest dimension that share a block (1 = plain) */
    uint32_t block_bytes;
    uint32_t group; /* elements that share a scale; 0 = no scale */
    uint32_t bits;  /* of one code (or of one plain number) */
    bool has_min;   /* value = scale * code + min rather than scale * code */
} hone_dtype_info;

/* NULL if t is not a hone_dtype. */
const hone_dtype_info *hone_dtype_describe(hone_dtype t);
const char *hone_dtype_name(hone_dtype t); /* "?" if t is not a hone_dtype */

/* True and *out set if there is such a format. Names are compared without regard to case. */
bool hone_dtype_by_name(const char *name, hone_dtype *out);
bool hone_dtype_by_safetensors(const char *name, hone_dtype *out);
bool hone_dtype_by_ggml(uint32_t id, hone_dtype *out);
/* Name of a ggml type, known to hone or not ("Q6_K"); NULL if ggml has no such id. For messages. */
const char *hone_dtype_ggml_name(uint32_t id);

/* How codes become numbers: element = scale * value (+ min), with one scale (and min) for every
 * `group` elements of a row. The same for what GGUF stores in blocks and for other checkpoints. */
typedef struct hone_coding {
    uint32_t bits;   /* 0: plain numbers without codes. 4: codes 0..15, value = table[code].
                        2, 3, 5, 6, 8: the code is the value, low..low + 2^bits - 1 */
    uint32_t group;  /* elements per scale; 0 = one scale for the whole row */
    bool has_min;    /* element = scale * value + min */
    bool wide;       /* scales and mins are float32; otherwise every one is a float16 number, */
    bool nested;     /* or a float16 number for every 256 elements times an integer -128..127 */
    int low;         /* value of the least code (of 8 bits -128 always) */
    float table[16]; /* of 4 bits */
} hone_coding;

/* bits 0 for plain numbers and for what hone_dtype_codes cannot give. */
hone_coding hone_dtype_coding(hone_dtype t);

bool hone_dtype_is_float(hone_dtype t);   /* F32, F16, BF16, F64 */
bool hone_dtype_is_grouped(hone_dtype t); /* hone_dtype_codes works */

/* Bytes of a row of k elements. False if k is no multiple of the block or the product overflows. */
bool hone_dtype_row_bytes(hone_dtype t, uint64_t k, size_t *bytes);

/* dst[i] = value of element i, n elements. False if n is no multiple of the block. Every format
 * decodes. */
bool hone_dtype_decode(hone_dtype t, const void *src, size_t n, float *dst);

/* The reverse: round to nearest, the same bytes everywhere (the reference quantisers of ggml).
 * False, with *dst unspecified, if n is no multiple of the block, if the format has no encoder
 * (integers), if a finite value would become infinite, or if a grouped format meets NaN or
 * infinity. */
bool hone_dtype_encode(hone_dtype t, const float *src, size_t n, void *dst);
bool hone_dtype_can_encode(hone_dtype t);

/* The same with a weight >= 0 for every element: keeps the sum of weight * error^2 small (an
 * importance matrix gives the mean square of the activation that meets the element). weights NULL,
 * or a format without such an encoder: hone_dtype_encode. */
bool hone_dtype_encode_weighted(hone_dtype t, const float *src, const float *weights, size_t n,
                                void *dst);

/* Grouped formats only (else false): the stored codes and scales as hone_dtype_coding describes
 * them, without rounding anything again; exact in float32 but for the last sum. codes[n]: 0..15 of
 * 4 bits; of others low..low + 2^bits - 1. scales[n / group]; mins[n / group] is only
 * written (and may be NULL otherwise) if has_min. */
bool hone_dtype_codes(hone_dtype t, const void *src, size_t n, int8_t *codes, float *scales,
                      float *mins);

/* Nested scales (hone_coding): what the scales and mins of the block of 256 at src are integer
 * multiples of. */
bool hone_dtype_supers(hone_dtype t, const void *src, float *scale, float *min);

#endif
