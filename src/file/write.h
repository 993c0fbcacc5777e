/*
 * write - GGUF v3 and safetensors files, streamed, and complete or not there at all.
 *
 * Use: open; set metadata and declare every tensor in order; write the data of all tensors in the
 * same order (in pieces of any size; padding is added); commit. Any failure: abort. The file
 * appears under its name at commit only. A failed call leaves the writer good for nothing but
 * abort.
 *
 * Ownership: the writer copies keys, values and names. commit and abort free it. Threading: one
 * thread.
 */
#ifndef HONE_FILE_WRITE_H
#define HONE_FILE_WRITE_H

#include "file/file.h"

typedef struct hone_gguf_writer hone_gguf_writer;

HONE_CHECKED hone_status hone_gguf_writer_open(const char *path, hone_gguf_writer **out);
/* USAGE if the key was set before, is empty, longer than 65535 bytes, or no UTF-8. */
HONE_CHECKED hone_status hone_gguf_writer_u32(hone_gguf_writer *w, const char *key, uint32_t value);
HONE_CHECKED hone_status hone_gguf_writer_u64(hone_gguf_writer *w, const char *key, uint64_t value);
HONE_CHECKED hone_status hone_gguf_writer_i32(hone_gguf_writer *w, const char *key, int32_t value);
HONE_CHECKED hone_status hone_gguf_writer_f32(hone_gguf_writer *w, const char *key, float value);
HONE_CHECKED hone_status hone_gguf_writer_bool(hone_gguf_writer *w, const char *key, bool value);
HONE_CHECKED hone_status hone_gguf_writer_str(hone_gguf_writer *w, const char *key,
                                              const char *value);
/* Arrays. bytes[i] is the length of strings[i]; bytes NULL = strings end with 0. */
HONE_CHECKED hone_status hone_gguf_writer_str_array(hone_gguf_writer *w, const char *key,
                                                    const char *const *strings, const size_t *bytes,
                                                    size_t count);
HONE_CHECKED hone_status hone_gguf_writer_f32_array(hone_gguf_writer *w, const char *key,
                                                    const float *values, size_t count);
HONE_CHECKED hone_status hone_gguf_writer_i32_array(hone_gguf_writer *w, const char *key,
                                                    const int32_t *values, size_t count);
HONE_CHECKED hone_status hone_gguf_writer_u8_array(hone_gguf_writer *w, const char *key,
                                                   const void *values, size_t count);
/* Copies metadata entry i of an opened file, type and bytes unchanged. */
HONE_CHECKED hone_status hone_gguf_writer_copy(hone_gguf_writer *w, const hone_file *f, size_t i);
/* The metadata set so far, as a reader of the file will find it; to be closed before the writer. */
HONE_CHECKED hone_status hone_gguf_writer_preview(hone_gguf_writer *w, hone_file **out);
/* Declares the next tensor; shape is row-major as in hone_tensor (reversed in the file). */
HONE_CHECKED hone_status hone_gguf_writer_tensor(hone_gguf_writer *w, const char *name,
                                                 hone_dtype dtype, int n_dims,
                                                 const uint64_t *shape);
/* The next bytes of the tensors' data, in their stored format. May span tensors. */
HONE_CHECKED hone_status hone_gguf_writer_write(hone_gguf_writer *w, const void *data,
                                                size_t bytes);
/* The next n elements, encoded to the current tensor's format; n a multiple of its block and not
 * beyond its end. FORMAT if the values cannot be encoded (see hone_dtype_encode). */
HONE_CHECKED hone_status hone_gguf_writer_write_f32(hone_gguf_writer *w, const float *values,
                                                    size_t n);
HONE_CHECKED hone_status hone_gguf_writer_commit(hone_gguf_writer *w);
void hone_gguf_writer_abort(hone_gguf_writer *w); /* NULL is fine */

/* safetensors: __metadata__ gets {"format":"pt"} plus what is set. */
typedef struct hone_safetensors_writer hone_safetensors_writer;

HONE_CHECKED hone_status hone_safetensors_writer_open(const char *path,
                                                      hone_safetensors_writer **out);
HONE_CHECKED hone_status hone_safetensors_writer_str(hone_safetensors_writer *w, const char *key,
                                                     const char *value);
HONE_CHECKED hone_status hone_safetensors_writer_tensor(hone_safetensors_writer *w,
                                                        const char *name, hone_dtype dtype,
                                                        int n_dims, const uint64_t *shape);
HONE_CHECKED hone_status hone_safetensors_writer_write(hone_safetensors_writer *w, const void *data,
                                                       size_t bytes);
HONE_CHECKED hone_status hone_safetensors_writer_write_f32(hone_safetensors_writer *w,
                                                           const float *values, size_t n);
HONE_CHECKED hone_status hone_safetensors_writer_commit(hone_safetensors_writer *w);
void hone_safetensors_writer_abort(hone_safetensors_writer *w); /* NULL is fine */

#endif
