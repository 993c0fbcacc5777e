/* ftype - general.file_type of a GGUF file: what most of its matrices are in (llama.h,
 * llama_ftype). Private to compress/. */
#ifndef HONE_COMPRESS_FTYPE_H
#define HONE_COMPRESS_FTYPE_H

#include "dtype/dtype.h"

/* 1024 ("guessed") for a format that llama.cpp has no number for. */
uint32_t hone_gguf_file_type(hone_dtype t);

#endif
