/* convert - what a Hugging Face folder becomes in a GGUF file. Private to compress/. */
#ifndef HONE_COMPRESS_CONVERT_H
#define HONE_COMPRESS_CONVERT_H

#include "compress/quantize.h"
#include "file/write.h"
#include "model/rope.h"
#include "model/source.h"
#include "model/weights.h"
#include "text/tokenizer.h"

enum { HONE_CONVERT_NAME_MAX = 512, HONE_CONVERT_PARTS = 4 };

/* A quantised matrix of the folder, decoded while it is written; `as` stands for it as a tensor of
 * float32 without data. */
typedef struct hone_convert_coded {
    hone_source source;
    hone_tensor as;
} hone_convert_coded;

/* The rows of one slot, in a tensor of the folder. */
typedef struct hone_convert_part {
    const hone_tensor *source;
    hone_convert_coded *coded; /* NULL = source is a plain tensor */
    hone_row_map from, to;     /* row r of the slot is row from(r) there and row to(r) here */
    size_t n, stored_n;        /* rows of the slot, and of the source */
} hone_convert_part;

typedef enum hone_convert_factors {
    HONE_FACTORS_NONE,
    HONE_FACTORS_FREQS, /* rope_freqs.weight */
    HONE_FACTORS_SHORT, /* rope_factors_short.weight */
    HONE_FACTORS_LONG   /* rope_factors_long.weight */
} hone_convert_factors;

/* One tensor of the output: the rows of its parts, one part after the other. */
typedef struct hone_convert_tensor {
    char name[HONE_CONVERT_NAME_MAX];
    const hone_tensor *source; /* of the first part; NULL: rotary factors */
    hone_convert_factors factors;
    int n_dims;
    uint64_t shape[HONE_MAX_DIMS];
    int flags;      /* HONE_NAME_TRANSPOSED, HONE_NAME_PLUS_ONE: of the source */
    bool as_stored; /* each row is a row of a source, not a number changed */
    uint32_t n_parts;
    hone_convert_part parts[HONE_CONVERT_PARTS];
    hone_dtype type; /* chosen later */
} hone_convert_tensor;

/* A tensor of the output that is `t` as it stands. */
void hone_convert_whole(const hone_tensor *t, hone_convert_tensor *out);
/* Row `row` of k numbers, and (only if as_stored) its bytes. A vector is one row. */
bool hone_convert_row(const hone_convert_tensor *t, uint64_t row, uint64_t k, float *dst);
const void *hone_convert_bytes(const hone_convert_tensor *t, uint64_t row, size_t row_bytes);

/* All tensors of a folder under their GGUF names, *out in the order of the file. */
HONE_CHECKED hone_status hone_convert_plan(const hone_file *f, hone_convert_tensor **out,
                                           size_t *count);
void hone_convert_free(hone_convert_tensor *list, size_t count); /* NULL is fine */
/* Whether b cuts texts of many kinds as a does, and those that NFC or NFKC would change. */
HONE_CHECKED hone_status hone_compare_tokenizers(const hone_tokenizer *a, const hone_tokenizer *b,
                                                 bool *same, bool *same_forms);
/* Architecture, hyper-parameters and tokenizer, which is read again and compared. */
HONE_CHECKED hone_status hone_convert_metadata(const hone_file *f, const hone_quantize_options *o,
                                               hone_gguf_writer *w, const hone_quantize_events *e);
HONE_CHECKED hone_status hone_convert_tokenizer(const hone_file *f, const hone_quantize_options *o,
                                                uint32_t vocab, hone_gguf_writer *w,
                                                const hone_quantize_events *e);

/* The numbers of a tensor of rotary factors: *count of them (at most HONE_ROPE_DIM_MAX / 2). */
HONE_CHECKED hone_status hone_convert_factor_values(const hone_file *f, hone_convert_factors which,
                                                    uint64_t *count, float *factors);
/* The hyper-parameters of a folder under their GGUF names: what hone_arch_read reads again. */
HONE_CHECKED hone_status hone_convert_hparams(const hone_file *f, hone_gguf_writer *w);

#endif
