/*
 * export - a model as a Hugging Face folder with plain weights, which any program that reads
 * folders loads. Of a folder: every matrix that lies in codes (GPTQ, AWQ, bitsandbytes, FP8...)
 * decoded, config.json without its quantization_config, the tokenizer's files and
 * sentence-transformers' beside it. Of a GGUF file: names, order of rows, config.json,
 * tokenizer.json and pooling as the architecture's folders have them (refolder.h); config.json and
 * tokenizer are read again and compared.
 *
 * Nothing half-written stays under a final name; config.json comes last, so that a folder without
 * one is not a model. Threading: one thread.
 */
#ifndef HONE_COMPRESS_EXPORT_H
#define HONE_COMPRESS_EXPORT_H

#include "compress/coded.h"
#include "compress/quantize.h"

typedef struct hone_export_result {
    uint64_t tensors, files;
    uint64_t decoded, coded; /* matrices that were in codes, and that are */
    uint64_t bytes;
} hone_export_result;

/* f: an open folder or GGUF file; dir: made if it is not there; type: F32, F16 or BF16 of all float
 * tensors. Errors: UNSUPPORTED (a lone safetensors; stacked experts in codes; a module of
 * modules.json outside the folder; what no folder says of a GGUF file), USAGE (dir is f's folder,
 * or holds a model's file), FORMAT (a value that the type cannot hold), DISK, PERMISSION, MEMORY,
 * INTERRUPTED. adapter: a folder that PEFT or hone wrote, added into the weights, or NULL.
 * out->decoded is then the matrices that it stood beside. Errors: also UNSUPPORTED for a GGUF file,
 * and those of hone_adapter_open. */
HONE_CHECKED hone_status hone_export_merged(const hone_file *f, const char *adapter,
                                            hone_dtype type, const char *dir,
                                            hone_export_result *out);

/* The layers' matrices in codes of this form, where they fit it (others, embeddings and the head
 * stay plain). A folder is written as a GGUF file inside dir first, which is gone afterwards: f's
 * numbers in float32. Errors: as above. */
HONE_CHECKED hone_status hone_export_coded(const hone_file *f, const hone_coded *form,
                                           const char *dir, hone_pool *pool,
                                           const hone_quantize_events *events,
                                           hone_export_result *out);

#endif
