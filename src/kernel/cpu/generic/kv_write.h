/* kv_write - storing a key and a value as bfloat16, sixteen dimensions at a time; other formats go
 * to the set below. Included after a set's vec.h. */
#ifndef HONE_KERNEL_GENERIC_KV_WRITE_H
#define HONE_KERNEL_GENERIC_KV_WRITE_H

#include "kernel/layout.h"

static hone_kv_write_fn *kv_write_below;

static void kv_write_bf16(const hone_kv *kv, uint8_t *page, size_t slot, const float *k,
                          const float *v)
{
    uint32_t x[16];
    float rounded[16];
    /* neighbours along the head lie side by side */
    uint8_t *to = page + 2 * hone_kv_k_index(kv, slot, 0);
    for (size_t d = 0; d < kv->k_dim; d += 16) {
        v16_store(rounded, v16_round_bf16(v16_load_n(k + d, kv->k_dim - d)));
        memcpy(x, rounded, sizeof x);
        for (size_t i = 0; i < 16 && d + i < kv->k_dim; i += 2, to += 64)
            memcpy(to, &(uint32_t){x[i] >> 16 | x[i + 1]}, 4);
    }
    for (size_t d = 0; d < kv->v_dim; d += 16) {
        v16_store(rounded, v16_round_bf16(v16_load_n(v + d, kv->v_dim - d)));
        memcpy(x, rounded, sizeof x);
        to = page + 2 * hone_kv_v_index(kv, slot, d);
        for (size_t i = 0; i < 16 && d + i < kv->v_dim; i++)
            memcpy(to + 4 * i, &(uint16_t){(uint16_t)(x[i] >> 16)}, 2);
    }
}

static void kv_write(const hone_kv *kv, void *page, size_t slot, const float *k, const float *v)
{
    if (kv->format == HONE_KV_BF16)
        kv_write_bf16(kv, page, slot, k, v);
    else
        kv_write_below(kv, page, slot, k, v);
}

/* Over what t has */
static void kv_write_slot(hone_kernels *t)
{
    kv_write_below = t->kv_write;
    t->kv_write = kv_write;
}

#endif
