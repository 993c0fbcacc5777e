/*
 * attn_product - the products of attention by the template of all products, with pages as packed
 * weights: a few rows straight from the codes, more past the tile expanded to float. Included after
 * product.h.
 */
#ifndef HONE_KERNEL_GENERIC_ATTN_PRODUCT_H
#define HONE_KERNEL_GENERIC_ATTN_PRODUCT_H

#include "kernel/cpu/generic/attn_work.h"
#include "kernel/cpu/generic/product.h"

EXPAND_FN(e4m3, CORE_E4M3)
EXPAND_FN(e5m2, CORE_E5M2)

static const float attn_table[16] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};

/* One product: c[rows][16 * panels] (+)= a[rows][8 * units] x the panels at `codes` or, expanded,
 * at `floats` */
typedef struct attn_job {
    size_t rows, lda, panels, units, ldc;
    const float *a;
    const uint8_t *codes;
    const float *floats;
    const uint8_t *scales; /* of each block of 32, [panels][units / 4][16] float16, or NULL */
    float *c, *nobody;     /* nobody: as large, for panels that do not exist */
    bool more;
    ptrdiff_t next; /* bytes to the same codes of the next page, asked for meanwhile; 0: none */
} attn_job;

/* Up to FEW_ROWS rows straight from the codes, P panels at a time */
V16_INLINE void attn_few(int layout, int R, int P, const attn_job *t)
{
    const size_t panel_bytes = t->units * core_unit_bytes(layout), blocks = t->units / 4;
    for (size_t p = 0; p < t->panels; p += (size_t)P) {
        core_job j = {.a = t->a,
                      .lda = t->lda,
                      .blocks = blocks,
                      .group = layout == CORE_U4_LINEAR && t->scales ? 1 : 0,
                      .scale_bytes = 2,
                      .ldc = t->ldc,
                      .more = t->more,
                      .table = attn_table,
                      .soon = {t->next ? t->codes + p * panel_bytes + t->next : NULL}};
        UNROLL for (int i = 0; i < P; i++)
        {
            size_t n = p + (size_t)i, real = n < t->panels ? n : t->panels - 1;
            j.b[i] = t->codes + real * panel_bytes;
            j.scale[i] = t->scales ? t->scales + real * blocks * 32 : NULL;
            j.c[i] = n < t->panels ? t->c + 16 * n : t->nobody;
            j.columns[i] = 16;
        }
        core(layout, R, P, &j);
    }
}

typedef void attn_few_fn(const attn_job *t);

#define ATTN_FEW_FN(L, layout, R)                                                                  \
    static __attribute__((noinline)) void attn_few_##L##_##R(const attn_job *t)                    \
    {                                                                                              \
        attn_few(layout, R, FEW_PANELS_##R, t);                                                    \
    }
#define ATTN_FEW_FNS(L, layout)                                                                    \
    ATTN_FEW_FN(L, layout, 1)                                                                      \
    ATTN_FEW_FN(L, layout, 2)                                                                      \
    ATTN_FEW_FN(L, layout, 3)                                                                      \
    ATTN_FEW_FN(L, layout, 4)
#define ATTN_FEW_LIST(L)                                                                           \
    {                                                                                              \
        attn_few_##L##_1, attn_few_##L##_2, attn_few_##L##_3, attn_few_##L##_4                     \
    }
ATTN_FEW_FNS(f32, CORE_F32)
ATTN_FEW_FNS(bf16, CORE_BF16)
ATTN_FEW_FNS(i8, CORE_I8)
ATTN_FEW_FNS(i4, CORE_U4_LINEAR)
ATTN_FEW_FNS(e4m3, CORE_E4M3)
ATTN_FEW_FNS(e5m2, CORE_E5M2)

/* A format of pages as the template knows it */
typedef struct attn_codes {
    attn_few_fn *few[FEW_ROWS];
    void (*expand)(const uint8_t *codes, size_t units, const float *table, float low, float *to);
} attn_codes;

static const attn_codes attn_formats[HONE_KV_COUNT] = {
    [HONE_KV_F32] = {ATTN_FEW_LIST(f32), NULL},
    [HONE_KV_BF16] = {ATTN_FEW_LIST(bf16), expand_bf16},
    [HONE_KV_I8] = {ATTN_FEW_LIST(i8), expand_i8},
    [HONE_KV_I4] = {ATTN_FEW_LIST(i4), expand_u4_linear},
    [HONE_KV_E4M3] = {ATTN_FEW_LIST(e4m3), expand_e4m3},
    [HONE_KV_E5M2] = {ATTN_FEW_LIST(e5m2), expand_e5m2},
};

/* Many rows past the expanded panels */
static void attn_many(const attn_work *w, const attn_job *t)
{
    const float *from =
        attn_formats[w->t->kv.format].expand ? t->floats : (const float *)(const void *)t->codes;
    core_job j = {.a = t->a,
                  .lda = t->lda,
                  .blocks = t->units / 4,
                  .group = t->scales ? 1 : 0,
                  .ldc = t->ldc,
                  .more = t->more};
    for (size_t p = 0; p < t->panels; p += MANY_PANELS) {
        for (size_t i = 0; i < MANY_PANELS; i++) {
            size_t real = p + i < t->panels ? p + i : t->panels - 1;
            j.b[i] = (const uint8_t *)(from + real * t->units * 128);
            j.scale[i] = t->scales ? (const uint8_t *)(w->scales + real * t->units / 4 * 16) : NULL;
            j.c[i] = t->c + real * 16;
            j.columns[i] = p + i < t->panels ? 16 : 0;
        }
        rows_past(&j, t->rows);
    }
}

static void attn_product(const attn_work *w, attn_job *t)
{
    t->nobody = (float *)(void *)w->q16; /* which these sets do not want */
    t->next = w->next ? w->next - w->page : 0;
    if (t->rows <= FEW_ROWS)
        attn_formats[w->t->kv.format].few[t->rows - 1](t);
    else
        attn_many(w, t);
}

V16_INLINE void attn_put(attn_work *w, size_t row, bool rounded, const v16 p[4])
{
    attn_put_floats(w, row, rounded, p);
}

static void attn_query(attn_work *w, const float *q, size_t row)
{
    const size_t n = w->t->kv.k_dim;
    float *to = w->q + row * w->k_pad;
    for (size_t d = 0; d < w->k_pad; d += 16) {
        v16 x = v16_load_n(q + (d < n ? d : 0), d < n ? n - d : 0);
        v16_store(to + d, w->t->kv.format == HONE_KV_F32 ? x : v16_round_bf16(x));
    }
}

/* Panels follow each other, so that all of them are one long panel here. */
static void attn_expand(attn_work *w)
{
    const hone_kv *kv = &w->t->kv;
    const attn_codes *f = &attn_formats[kv->format];
    f->expand(w->page, 4 * w->k_pad / 8, attn_table, 0.0f, w->keys);
    f->expand(w->page + hone_kv_bytes(kv, 64 * w->k_pad), w->v_pad / 16 * 8, attn_table, 0.0f,
              w->values);
    const uint8_t *scales = w->page + hone_kv_k_scales(kv);
    for (size_t i = 0; hone_kv_form_of(kv)->grouped && i < w->k_pad / 8; i++)
        v16_store(w->scales + 16 * i,
                  v16_load_f16((const uint16_t *)(const void *)(scales + 32 * i)));
    w->expanded = true;
}

static void attn_keys(attn_work *w, size_t at, size_t rows)
{
    const hone_kv *kv = &w->t->kv;
    if (rows > FEW_ROWS && !w->expanded && kv->format != HONE_KV_F32)
        attn_expand(w);
    attn_job j = {.rows = rows,
                  .a = w->q + at * w->k_pad,
                  .lda = w->k_pad,
                  .codes = w->page,
                  .floats = w->keys,
                  .scales = hone_kv_form_of(kv)->grouped ? w->page + hone_kv_k_scales(kv) : NULL,
                  .panels = 4,
                  .units = w->k_pad / 8,
                  .c = w->s + at * 64,
                  .ldc = 64};
    attn_product(w, &j);
}

/* The scales of the next page: its codes are asked for while this page's are read. */
static void attn_ask_scales(const attn_work *w)
{
    const hone_kv *kv = &w->t->kv;
    size_t from = hone_kv_k_scales(kv), end = hone_kv_page_bytes(kv);
    for (size_t i = from; w->next && i < end; i += 64)
        __builtin_prefetch(w->next + i, 0, 3);
}

static void attn_values(attn_work *w, size_t at, size_t rows, float *states)
{
    const hone_kv *kv = &w->t->kv;
    bool grouped = hone_kv_form_of(kv)->grouped;
    if (rows <= FEW_ROWS)
        attn_ask_scales(w);
    size_t panels = w->v_pad / 16, step = grouped ? 2 : panels;
    for (size_t p = 0; p < panels; p += step) {
        const float *a = w->s + at * 64;
        if (grouped) { /* probabilities of each 32 dimensions have scales of their own */
            attn_scale(a, w->page + hone_kv_v_scales(kv) + p / 2 * 128, rows, w->p);
            a = w->p;
        }
        attn_job j = {.rows = rows,
                      .a = a,
                      .lda = 64,
                      .codes = w->page + hone_kv_bytes(kv, 64 * (w->k_pad + 16 * p)),
                      .floats = w->values + 64 * 16 * p,
                      .panels = panels - p < step ? panels - p : step,
                      .units = 8,
                      .c = states + 16 * p,
                      .ldc = w->ld,
                      .more = true};
        attn_product(w, &j);
    }
}

#endif
