/* attn_work - what attention.h and the products that it is made of share. Included after a set's
 * vec.h. */
#ifndef HONE_KERNEL_GENERIC_ATTN_WORK_H
#define HONE_KERNEL_GENERIC_ATTN_WORK_H

#include "kernel/cpu/generic/unroll.h"
#include "kernel/layout.h"

enum { BLOCK_ROWS = 64 };

typedef struct attn_work {
    const hone_attn *t;
    size_t k_pad, v_pad, ld;    /* ld: floats of a row's state: O[v_pad], m, l */
    float *q;                   /* [BLOCK_ROWS][k_pad] */
    float *s;                   /* [BLOCK_ROWS][64]: scores, then probabilities */
    float *p;                   /* [BLOCK_ROWS][64]: those of one group of dimensions */
    float *keys, *values;       /* the tile expanded */
    float *scales;              /* [4][k_pad / 32][16], of grouped keys */
    uint16_t *q16, *p16;        /* [BLOCK_ROWS][k_pad], [BLOCK_ROWS][64], for sets that want them */
    const uint8_t *page, *next; /* next: the page of the tile after this, or NULL */
    bool expanded;
    size_t shape; /* of the tiles' rows as they are configured, for AMX; 0 = not yet */
} attn_work;

static inline attn_work attn_work_in(const hone_attn *t, void *scratch)
{
    attn_work w = {.t = t, .k_pad = hone_kv_k_pad(&t->kv), .v_pad = hone_kv_v_pad(&t->kv)};
    w.ld = hone_attn_partial_floats(&t->kv);
    w.q = scratch;
    w.s = w.q + BLOCK_ROWS * w.k_pad;
    w.p = w.s + BLOCK_ROWS * 64;
    w.keys = w.p + BLOCK_ROWS * 64;
    w.values = w.keys + 64 * w.k_pad;
    w.scales = w.values + 64 * w.v_pad;
    w.q16 = (uint16_t *)(void *)(w.scales + 64 * (w.k_pad / 32));
    w.p16 = w.q16 + BLOCK_ROWS * w.k_pad;
    return w;
}

/* Probabilities to where the scores were */
V16_INLINE void attn_put_floats(attn_work *w, size_t row, bool rounded, const v16 p[4])
{
    UNROLL for (int i = 0; i < 4; i++)
        v16_store(w->s + row * 64 + 16 * (size_t)i, rounded ? v16_round_bf16(p[i]) : p[i]);
}

/* p[rows][64] = s times the scales of values [64], rounded */
static void attn_scale(const float *s, const uint8_t *scales, size_t rows, float *p)
{
    const uint16_t *at = (const uint16_t *)(const void *)scales;
    for (size_t i = 0; i < 64 * rows; i += 16)
        v16_store(p + i, v16_round_bf16(v16_mul(v16_load(s + i), v16_load_f16(at + i % 64))));
}

#endif
