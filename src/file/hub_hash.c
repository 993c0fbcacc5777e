/* hub_hash - the two hashes that a hub names content by, with libcrypto (which libcurl brings). */
#include "file/hub_internal.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

hub_hash_kind hub_hash_kind_of(const char *name)
{
    if (hub_is_hex(name, 64))
        return HUB_HASH_SHA256;
    return hub_is_hex(name, 40) ? HUB_HASH_GIT_SHA1 : HUB_HASH_NONE;
}

hone_status hub_hash_open(hub_hash *h, hub_hash_kind kind, uint64_t bytes)
{
    *h = (hub_hash){.kind = kind};
    if (kind == HUB_HASH_NONE)
        return HONE_OK;
    EVP_MD_CTX *state = EVP_MD_CTX_new();
    if (!state)
        return hone_fail_memory(64, "a hash");
    h->state = state;
    if (EVP_DigestInit_ex(state, kind == HUB_HASH_SHA256 ? EVP_sha256() : EVP_sha1(), NULL) != 1) {
        hub_hash_close(h);
        return hone_fail(HONE_INTERNAL, "libcrypto refuses to hash (%s)",
                         kind == HUB_HASH_SHA256 ? "SHA-256" : "SHA-1");
    }
    if (kind == HUB_HASH_SHA256)
        return HONE_OK;
    /* git hash-object: "blob <bytes>", a 0, the content. */
    char head[40];
    int n = snprintf(head, sizeof head, "blob %llu", (unsigned long long)bytes);
    return hub_hash_add(h, head, (size_t)n + 1);
}

hone_status hub_hash_add(hub_hash *h, const void *data, size_t bytes)
{
    if (h->state && EVP_DigestUpdate(h->state, data, bytes) != 1)
        return hone_fail(HONE_INTERNAL, "libcrypto fails to hash");
    return HONE_OK;
}

hone_status hub_hash_finish(hub_hash *h, char hex[65])
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    hex[0] = 0;
    if (!h->state)
        return HONE_OK;
    int ok = EVP_DigestFinal_ex(h->state, sum, &n);
    hub_hash_close(h);
    if (ok != 1 || n > 32)
        return hone_fail(HONE_INTERNAL, "libcrypto fails to hash");
    for (unsigned int i = 0; i < n; i++)
        snprintf(hex + 2 * i, 3, "%02x", sum[i]);
    return HONE_OK;
}

void hub_hash_close(hub_hash *h)
{
    EVP_MD_CTX_free(h->state);
    h->state = NULL;
}
