/* convert - what a Hugging Face folder becomes in a GGUF file. Private to compress/. */
#ifndef HONE_COMPRESS_CONVERT_H
#define HONE_COMPRESS_CONVERT_H

#include "compress/quantize.h"
#include "file/write.h"
#include "model/arch.h"
#include "model/rope.h"

enum { HONE_CONVERT_NAME_MAX = 512 };

/* One tensor of the output. Row r of it is row source_row(r) of `source`. */
typedef struct hone_convert_tensor {
    char name[HONE_CONVERT_NAME_MAX];
    const hone_tensor *source; /* NULL: the rotary factors */
    uint32_t interleave;       /* rows of a head whose halves are interleaved; 0 = as they stand */
    hone_dtype type;           /* chosen later */
} hone_convert_tensor;

/* All tensors of a folder under their GGUF names, *out in the order of the file (hone_free). */
HONE_CHECKED hone_status hone_convert_plan(const hone_file *f, hone_convert_tensor **out,
                                           size_t *count);
/* Architecture, hyper-parameters and tokenizer. */
HONE_CHECKED hone_status hone_convert_metadata(const hone_file *f, hone_gguf_writer *w,
                                               const hone_quantize_events *e);
HONE_CHECKED hone_status hone_convert_tokenizer(const hone_file *f, uint32_t vocab,
                                                hone_gguf_writer *w, const hone_quantize_events *e);

/* What each plain rotary frequency is divided by to give those of `target`, dim / 2 of them, such
 * that the float32 quotient has the target's bits if any factor gives them. */
void hone_convert_rope_factors(const hone_rope_config *c, const hone_rope *target, float *factors);

#endif
