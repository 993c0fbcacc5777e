/*
 * digest - what a model or a text is known by: the SHA-256 of its bytes.
 *
 * Threading: any thread.
 */
#ifndef HONE_STORE_DIGEST_H
#define HONE_STORE_DIGEST_H

#include "base/status.h"

#include <stdint.h>

enum { HONE_DIGEST_BYTES = 65 }; /* 64 hexadecimal digits and the 0 */

typedef void hone_digest_progress_fn(void *arg, double done_bytes, double total_bytes);

void hone_digest_bytes(const void *data, size_t bytes, char out[HONE_DIGEST_BYTES]);

/* A file: of its content. A folder: of the names and contents of its files *.safetensors, *.json,
 * *.model and *.txt (no subfolders), in the order of their names. *bytes: read in all. progress may
 * be NULL. Errors: as hone_map_open; NOT_FOUND for a folder without such files; INTERRUPTED
 * (base/interrupt.h). */
HONE_CHECKED hone_status hone_digest_path(const char *path, hone_digest_progress_fn *progress,
                                          void *arg, char out[HONE_DIGEST_BYTES], uint64_t *bytes);

#endif
