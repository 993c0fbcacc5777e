/*
 * export - a Hugging Face folder written again with plain weights: every matrix that lies in codes
 * (GPTQ, AWQ, bitsandbytes, FP8...) decoded, config.json without its quantization_config, the
 * tokenizer's files beside it. Any program that reads folders loads the result.
 *
 * Nothing half-written stays under a final name; config.json comes last, so that a folder without
 * one is not a model. Threading: one thread.
 */
#ifndef HONE_COMPRESS_EXPORT_H
#define HONE_COMPRESS_EXPORT_H

#include "file/file.h"

typedef struct hone_export_result {
    uint64_t tensors, decoded, files; /* decoded: matrices that were in codes */
    uint64_t bytes;
} hone_export_result;

/* f: an open folder; dir: made if it is not there; type: F32, F16 or BF16 of all float tensors.
 * Errors: UNSUPPORTED (f is no folder; stacked experts in codes), USAGE (dir is f's folder), FORMAT
 * (a value that the type cannot hold), DISK, PERMISSION, MEMORY, INTERRUPTED. */
HONE_CHECKED hone_status hone_export_folder(const hone_file *f, hone_dtype type, const char *dir,
                                            hone_export_result *out);

#endif
