#include "store/digest.h"

#include <sodium.h>

void hone_digest_bytes(const void *data, size_t bytes, char out[HONE_DIGEST_BYTES])
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(hash, data, bytes);
    sodium_bin2hex(out, HONE_DIGEST_BYTES, hash, sizeof hash);
}
