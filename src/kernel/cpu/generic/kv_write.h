/* kv_write - storing a key and a value as bfloat16, sixteen dimensions at a time; other formats go
 * to the set below. Included after a set's vec.h and two things of its own:
 *     kv_put_key(to, x, n)           pairs of n <= 16 neighbours, each to a word 64 bytes further
 * on kv_put_value(to, odd, x, n)    n <= 16 of them to the lower, or odd, the upper halves of words
 * x is rounded. */
#ifndef HONE_KERNEL_GENERIC_KV_WRITE_H
#define HONE_KERNEL_GENERIC_KV_WRITE_H

#include "kernel/layout.h"

static hone_kv_write_fn *kv_write_below;

static void kv_write_bf16(const hone_kv *kv, uint8_t *page, size_t slot, const float *k,
                          const float *v)
{
    for (size_t d = 0; d < kv->k_dim; d += 16) {
        const size_t n = kv->k_dim - d < 16 ? kv->k_dim - d : 16;
        kv_put_key(page + 2 * hone_kv_k_index(kv, slot, d), v16_round_bf16(v16_load_n(k + d, n)),
                   n);
    }
    for (size_t d = 0; d < kv->v_dim; d += 16) {
        const size_t n = kv->v_dim - d < 16 ? kv->v_dim - d : 16;
        kv_put_value(page + 2 * hone_kv_v_index(kv, slot & ~(size_t)1, d), slot & 1,
                     v16_round_bf16(v16_load_n(v + d, n)), n);
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
