/* ftype - general.file_type of a GGUF file: what most of its matrices are in (llama.h,
 * llama_ftype), and which are always float32. Private to compress/. */
#ifndef HONE_COMPRESS_FTYPE_H
#define HONE_COMPRESS_FTYPE_H

#include "dtype/dtype.h"

#include <stdbool.h>

/* 1024 ("guessed") for a format that llama.cpp has no number for. */
uint32_t hone_gguf_file_type(hone_dtype t);

/* Whether llama.cpp takes this matrix in float32 only: tables that it adds to the embedding. */
bool hone_gguf_only_f32(const char *name);

#endif
