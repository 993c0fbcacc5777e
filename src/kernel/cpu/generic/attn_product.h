/*
 * attn_product - the products of attention by the template of all products, with pages as packed
 * weights: a few rows straight from the codes, more past the tile expanded to float. Included after
 * product.h.
 */
#ifndef HONE_KERNEL_GENERIC_ATTN_PRODUCT_H
#define HONE_KERNEL_GENERIC_ATTN_PRODUCT_H

#include "kernel/cpu/generic/attn_work.h"
#include "kernel/cpu/generic/product.h"

FEW_FNS_PLANES(e4m3, CORE_E4M3)
FEW_FNS_PLANES(e5m2, CORE_E5M2)
EXPAND_FN(e4m3, CORE_E4M3)
EXPAND_FN(e5m2, CORE_E5M2)

/* Bytes of a panel of which lines are asked for ahead */
enum { ATTN_AHEAD = 1024 };

/* A format of pages as the template knows it */
typedef struct attn_codes {
    int layout;
    core_fn *const *few;
    void (*expand)(const uint8_t *codes, size_t units, const float *table, float low, float *to);
} attn_codes;

static const attn_codes attn_formats[HONE_KV_COUNT] = {
    [HONE_KV_F32] = {CORE_F32, few_f32, NULL},
    [HONE_KV_BF16] = {CORE_BF16, few_bf16, expand_bf16},
    [HONE_KV_I8] = {CORE_I8, few_i8, expand_i8},
    [HONE_KV_I4] = {CORE_U4_LINEAR, few_u4_linear, expand_u4_linear},
    [HONE_KV_E4M3] = {CORE_E4M3, few_e4m3, expand_e4m3},
    [HONE_KV_E5M2] = {CORE_E5M2, few_e5m2, expand_e5m2},
};

static const float attn_table[16] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};

/* One product: c[rows][16 * panels] (+)= a[rows][8 * units] x the panels at `codes` or, expanded,
 * at `floats` */
typedef struct attn_job {
    size_t rows, lda, panels, units, ldc;
    const float *a;
    const uint8_t *codes;
    const float *floats;
    const uint8_t *scales; /* of each block of 32, [panels][units / 4][16] float16, or NULL */
    float *c;
    bool more, last; /* last: nothing of the page follows */
} attn_job;

static void attn_product(const attn_work *w, const attn_job *t)
{
    const attn_codes *f = &attn_formats[w->t->kv.format];
    bool few = t->rows <= FEW_ROWS;
    int layout = few ? f->layout : CORE_F32;
    size_t step = few ? few_panels[t->rows - 1] : MANY_PANELS;
    size_t panel_bytes = t->units * core_unit_bytes(layout);
    size_t scale_bytes = t->units / 4 * (few ? 32 : 64);
    const uint8_t *from = few || !f->expand ? t->codes : (const uint8_t *)t->floats;
    const uint8_t *scales = few ? t->scales : (const uint8_t *)w->scales;
    core_job j = {.a = t->a,
                  .lda = t->lda,
                  .blocks = t->units / 4,
                  .group = t->scales ? 1 : 0,
                  .scale_bytes = 2,
                  .ldc = t->ldc,
                  .more = t->more,
                  .table = attn_table};
    if (few && layout != CORE_F32)
        j.ahead = ATTN_AHEAD / (4 * core_unit_bytes(layout)), j.next = step * panel_bytes;
    for (size_t p = 0; p < t->panels; p += step) {
        if (t->last && p + step >= t->panels)
            j.next = 0; /* what lies behind is another head's */
        for (size_t i = 0; i < step; i++) {
            size_t real = p + i < t->panels ? p + i : t->panels - 1;
            j.b[i] = from + real * panel_bytes;
            j.scale[i] = t->scales ? scales + real * scale_bytes : NULL;
            j.c[i] = t->c + real * 16;
            j.columns[i] = p + i < t->panels ? 16 : 0;
        }
        if (few)
            f->few[t->rows - 1](&j);
        else
            rows_past(&j, t->rows);
    }
}

static void attn_begin(attn_work *w, size_t rows)
{
    (void)w, (void)rows;
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

/* What the first panels of the next tile would ask for themselves had they begun already */
static void attn_ask(const attn_work *w, size_t rows)
{
    size_t panel = hone_kv_bytes(&w->t->kv, 16 * w->k_pad);
    size_t bytes = panel < ATTN_AHEAD ? panel : ATTN_AHEAD;
    for (size_t p = 0; w->next && p < few_panels[rows - 1]; p++)
        for (size_t i = 0; i < bytes; i += 64)
            __builtin_prefetch(w->next + p * panel + i, 0, 3);
}

static void attn_values(attn_work *w, size_t at, size_t rows, float *states)
{
    const hone_kv *kv = &w->t->kv;
    bool grouped = hone_kv_form_of(kv)->grouped;
    if (rows <= FEW_ROWS)
        attn_ask(w, rows);
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
                      .more = true,
                      .last = p + step >= panels};
        attn_product(w, &j);
    }
}

#endif
