/* refolder - what a GGUF file becomes in a Hugging Face folder: convert.h the other way round.
 * Private to compress/. */
#ifndef HONE_COMPRESS_REFOLDER_H
#define HONE_COMPRESS_REFOLDER_H

#include "compress/coded.h"
#include "compress/export.h"
#include "model/slots.h"

#include <jansson.h>

/* What config.json calls it: "bfloat16". */
const char *hone_refolder_type(hone_dtype type);
/* config.json of the GGUF file f, whose hyper-parameters *h are then, and the descriptor whose
 * names its tensors get: the first of the file's architecture whose config.json says everything
 * (a GGUF "llama" with windows is a folder's "mistral"). What was written is read again and
 * compared. UNSUPPORTED names what no config.json says. */
HONE_CHECKED hone_status hone_refolder_config(const hone_file *f, hone_dtype type,
                                              const hone_arch **arch, hone_hparams *h,
                                              json_t **config);
/* All tensors into path, a safetensors file, in `type`; with a form (not NULL) the matrices of the
 * layers, where they fit it, in its codes, made by the pool. */
HONE_CHECKED hone_status hone_refolder_weights(const hone_file *f, const hone_arch *a,
                                               const hone_hparams *h, hone_dtype type,
                                               const char *path, const hone_coded *form,
                                               hone_pool *pool, hone_export_result *r);

#endif
