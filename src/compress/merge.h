/* merge - an adapter (model/adapter.h) added into the weights that it stands beside, as a folder's
 * model.safetensors. Threading: one thread. */
#ifndef HONE_COMPRESS_MERGE_H
#define HONE_COMPRESS_MERGE_H

#include "file/file.h"

/* Writes W + s B A (DoRA: its rows scaled to their magnitudes) and all other tensors of the folder
 * f, decoded, in `type`, as the file `path`; *tensors and *merged (matrices) are counted. Sums are
 * float32 of the stored weights. Errors: those of hone_model_load and hone_adapter_open, FORMAT (a
 * value that the type cannot hold), DISK, MEMORY. */
HONE_CHECKED hone_status hone_merge_write(const hone_file *f, const char *adapter, hone_dtype type,
                                          const char *path, uint64_t *tensors, uint64_t *merged);

#endif
