/*
 * Backward of attention by the table's own products: the definition, and what every set without
 * tiles runs.
 *
 * Scores are made transposed, a block of keys by all queries that see one of them, so that what is
 * known of each query lies along a row and p and ds are first factors as they come. Memory is
 * linear in the number of tokens.
 */
#include "base/mem.h"
#include "kernel/kernel.h"
#include "kernel/table.h"

#include <string.h>

enum { KEYS = HONE_ATTN_BACK_KEYS };

/* Both layouts of what queries bring as second factors: rows along dimensions, columns along
 * queries */
typedef struct factors {
    hone_packed rows, columns;
} factors;

typedef struct work {
    const hone_kernels *kt;
    const hone_attn_back *t;
    int flags;
    size_t ld; /* of s and dp */
    factors q, d_out;
    hone_packed k_columns; /* of a block of keys */
    float *s, *dp;         /* [KEYS][ld] */
    float *tile;           /* [n][dim] */
    void *act, *product;
} work;

static hone_packed factor(const hone_attn_back *t, size_t n, size_t k, void *base, size_t *at)
{
    hone_packed w = hone_packed_plain(t->f32 ? HONE_LAYOUT_F32 : HONE_LAYOUT_BF16, n, k);
    w.data = hone_cut(base, at, hone_packed_bytes(&w));
    return w;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t lay_out(const hone_kernels *kt, const hone_attn_back *t, void *base, work *w)
{
    const size_t n = t->n, d = t->dim;
    size_t at = 0;
    *w = (work){.kt = kt, .t = t, .flags = t->f32 ? HONE_ACT_F32 : HONE_ACT_NUMBERS};
    w->ld = (n + 31) / 32 * 32;
    w->q.rows = factor(t, n, d, base, &at);
    w->q.columns = factor(t, d, n, base, &at);
    w->d_out.rows = factor(t, n, d, base, &at);
    w->d_out.columns = factor(t, d, n, base, &at);
    w->k_columns = factor(t, d, KEYS, base, &at);
    w->s = hone_cut(base, &at, KEYS * w->ld * sizeof(float));
    w->dp = hone_cut(base, &at, KEYS * w->ld * sizeof(float));
    w->tile = hone_cut(base, &at, larger(n, KEYS) * d * sizeof(float));
    w->act = hone_cut(base, &at,
                      larger(hone_act_bytes(kt, KEYS, larger(n, d), w->flags),
                             hone_act_bytes(kt, n, 32, w->flags)));
    w->product = hone_cut(base, &at, hone_product_scratch_bytes());
    return at;
}

size_t hone_attn_back_end(const hone_attn_back *t, size_t key)
{
    const size_t last = t->n - key < KEYS ? t->n - 1 : key + KEYS - 1;
    return t->window && t->n - last > t->window ? last + t->window : t->n;
}

/* The queries' factors, of a row-major matrix */
static void pack(const work *w, const factors *f, const float *x)
{
    w->kt->pack_rows(&f->rows, x, w->t->ldq, 0, f->rows.n_panels, (uint8_t *)f->rows.data);
    w->kt->pack_columns(&f->columns, x, w->t->ldq, 0, f->columns.n_panels,
                        (uint8_t *)f->columns.data);
}

/* y[rows] = x[rows][k] times panels [panel0, panel1) of m */
static void multiply(const work *w, const float *x, size_t ldx, size_t rows, const hone_packed *m,
                     size_t panel0, size_t panel1, float *y, size_t ldy)
{
    hone_act act;
    hone_act_init(w->kt, rows, m->k, w->flags, w->act, &act);
    w->kt->act_pack(&act, x, ldx, 0, rows);
    hone_product(w->kt, m, &act, 0, rows, panel0, panel1, y, ldy, NULL, w->product);
}

static void add_rows(const work *w, size_t rows, size_t ldy, float *y)
{
    for (size_t r = 0; r < rows; r++)
        w->kt->add(y + r * ldy, w->tile + r * w->t->dim, w->t->dim);
}

/* Scores and their gradients in s and dp to p and ds; 0 where a query does not see the key. */
static void soften(const work *w, size_t key, size_t keys, size_t end)
{
    const hone_attn_back *t = w->t;
    for (size_t r = 0; r < keys; r++) {
        float *s = w->s + r * w->ld, *dp = w->dp + r * w->ld;
        const size_t a = key + r, e = t->window && end - a > t->window ? a + t->window : end;
        w->kt->softmax_back(s + a, dp + a, t->shift + a, t->inv + a, t->mean + a, t->scale,
                            t->softcap, e - a, s + a, dp + a);
        memset(s + key, 0, r * sizeof *s);
        memset(dp + key, 0, r * sizeof *dp);
        memset(s + e, 0, (end - e) * sizeof *s);
        memset(dp + e, 0, (end - e) * sizeof *dp);
    }
}

/* dk or dv of a block of keys: s (p or ds) times the queries' columns */
static void to_keys(const work *w, const float *s, const hone_packed *columns, size_t key,
                    size_t keys, size_t end, float *to)
{
    const hone_packed m = hone_packed_part(columns, key, end - key);
    float *y = to + key * w->t->ldk;
    if (!w->t->more) {
        multiply(w, s + key, w->ld, keys, &m, 0, m.n_panels, y, w->t->ldk);
        return;
    }
    multiply(w, s + key, w->ld, keys, &m, 0, m.n_panels, w->tile, w->t->dim);
    add_rows(w, keys, w->t->ldk, y);
}

/* dq += ds k, 32 keys at a time */
static void to_queries(const work *w, size_t key, size_t keys, size_t end)
{
    const hone_attn_back *t = w->t;
    hone_packed all = hone_packed_plain(w->k_columns.layout, t->dim, keys);
    all.data = w->k_columns.data;
    w->kt->pack_columns(&all, t->k + key * t->ldk, t->ldk, 0, all.n_panels, (uint8_t *)all.data);
    for (size_t i = 0; i < keys; i += 32) {
        const hone_packed m = hone_packed_part(&all, i, keys - i < 32 ? keys - i : 32);
        hone_act act;
        hone_act_init(w->kt, end - key, m.k, w->flags, w->act, &act);
        w->kt->act_columns(&act, w->dp + i * w->ld + key, w->ld, 0, m.k);
        hone_product(w->kt, &m, &act, 0, end - key, 0, m.n_panels, w->tile, t->dim, NULL,
                     w->product);
        add_rows(w, end - key, t->ldq, t->dq + key * t->ldq);
    }
}

void hone_attn_back_by_products(const hone_kernels *kt, const hone_attn_back *t, void *scratch)
{
    work w;
    lay_out(kt, t, scratch, &w);
    pack(&w, &w.q, t->q);
    pack(&w, &w.d_out, t->d_out);
    for (size_t i = 0; i < t->n; i++)
        memset(t->dq + i * t->ldq, 0, t->dim * sizeof(float));
    for (size_t key = 0; key < t->n; key += KEYS) {
        const size_t keys = t->n - key < KEYS ? t->n - key : KEYS, end = hone_attn_back_end(t, key),
                     panel0 = key / HONE_PANEL, panel1 = (end + HONE_PANEL - 1) / HONE_PANEL,
                     at = key * t->ldk;
        multiply(&w, t->k + at, t->ldk, keys, &w.q.rows, panel0, panel1, w.s, w.ld);
        multiply(&w, t->v + at, t->ldk, keys, &w.d_out.rows, panel0, panel1, w.dp, w.ld);
        soften(&w, key, keys, end);
        to_keys(&w, w.s, &w.d_out.columns, key, keys, end, t->dv);
        to_keys(&w, w.dp, &w.q.columns, key, keys, end, t->dk);
        to_queries(&w, key, keys, end);
    }
}

size_t hone_attn_back_products_bytes(const hone_kernels *kt, const hone_attn_back *t)
{
    work w;
    return lay_out(kt, t, NULL, &w);
}
