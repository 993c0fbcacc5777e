/*
 * digest - what a text or a key is known by: its SHA-256. (A model's is hone_file_hash of
 * file/file.h.)
 *
 * Threading: any thread.
 */
#ifndef HONE_STORE_DIGEST_H
#define HONE_STORE_DIGEST_H

#include <stddef.h>

enum { HONE_DIGEST_BYTES = 65 }; /* 64 hexadecimal digits and the 0 */

void hone_digest_bytes(const void *data, size_t bytes, char out[HONE_DIGEST_BYTES]);

#endif
