/*
 * attention_back - backward of attention with TDPBF16PS: hone_attn_back's definition (kernel.h),
 * every product by tiles, nothing of the size of the scores by way of memory. Included by
 * backward.c alone.
 *
 * Scores are made transposed, keys by queries: what is known of each query (maximum, sum, mean)
 * then lies along the lanes, a row of p is a row of the first factor of dv, one of ds that of dk,
 * and two of ds are a row of the second factor of dq^T = k^T ds. So nothing of p and ds is ever
 * transposed. The queries' own tiles are made once; 64 keys meet 128 queries at a time, whose p and
 * ds stay in L1 and L2 until dv, dk and dq have been added to.
 */
#ifndef HONE_KERNEL_AMX_ATTENTION_BACK_H
#define HONE_KERNEL_AMX_ATTENTION_BACK_H

#include "base/mem.h"
#include "kernel/cpu/amx/tile.h"

enum { BACK_KEYS = HONE_ATTN_BACK_KEYS, BACK_QUERIES = 128 };
enum { TILE_BYTES = 1024, TILE_FLOATS = 256 };
enum { QUERY_BLOCKS = BACK_QUERIES / 32, KEY_BLOCKS = BACK_KEYS / 32 };

typedef struct back_work {
    const hone_attn_back *t;
    size_t blocks; /* of 32 dimensions */
    /* Second factors: [queries / 16][blocks] along dimensions, and [queries / 32][2 blocks] along
     * queries */
    uint8_t *q_rows, *d_out_rows, *q_columns, *d_out_columns;
    uint8_t *keys, *values; /* first factors of a block of keys: [keys / 16][blocks] */
    uint8_t *k_columns;     /* likewise, transposed: [2 blocks][keys / 32] */
    uint8_t *p, *ds;        /* likewise [keys / 16][queries / 32] */
    uint8_t *ds_pairs;      /* a second factor: [queries / 16][keys / 32] */
    float *s[2], *dp[2];    /* [32][32] */
    float *dk, *dv;         /* tiles of 16 keys x 16 dimensions: [keys / 16][2 blocks] */
    float *dq;              /* tiles of 16 dimensions x 16 queries: [queries / 16][2 blocks] */
} back_work;

static size_t back_lay_out(const hone_attn_back *t, void *base, back_work *w)
{
    const size_t blocks = (t->dim + 31) / 32, queries = (t->n + 31) / 32 * 2, keys = 2 * KEY_BLOCKS,
                 rows = queries * blocks * TILE_BYTES;
    size_t at = 0;
    w->t = t;
    w->blocks = blocks;
    w->q_rows = hone_cut(base, &at, rows);
    w->d_out_rows = hone_cut(base, &at, rows);
    w->q_columns = hone_cut(base, &at, rows);
    w->d_out_columns = hone_cut(base, &at, rows);
    w->keys = hone_cut(base, &at, keys * blocks * TILE_BYTES);
    w->values = hone_cut(base, &at, keys * blocks * TILE_BYTES);
    w->k_columns = hone_cut(base, &at, keys * blocks * TILE_BYTES);
    w->p = hone_cut(base, &at, keys * QUERY_BLOCKS * TILE_BYTES);
    w->ds = hone_cut(base, &at, keys * QUERY_BLOCKS * TILE_BYTES);
    w->ds_pairs = hone_cut(base, &at, keys * QUERY_BLOCKS * TILE_BYTES);
    for (int i = 0; i < 2; i++) {
        w->s[i] = hone_cut(base, &at, 4 * TILE_BYTES);
        w->dp[i] = hone_cut(base, &at, 4 * TILE_BYTES);
    }
    w->dk = hone_cut(base, &at, keys * 2 * blocks * TILE_BYTES);
    w->dv = hone_cut(base, &at, keys * 2 * blocks * TILE_BYTES);
    w->dq = hone_cut(base, &at, queries * 2 * blocks * TILE_BYTES);
    return at;
}

/* ---- tiles of what is given ------------------------------------------------------------------ */

/* 32 or fewer numbers as bfloat16 */
V16_INLINE __m512i back_row(const float *x, size_t n)
{
    const v16 low = v16_load_n(x, n), high = v16_load_n(n > 16 ? x + 16 : x, n > 16 ? n - 16 : 0);
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

/* 16 or fewer rows of x as first factors: to[blocks] */
static void back_first(const float *x, size_t ldx, size_t rows, size_t dim, uint8_t *to)
{
    for (size_t k = 0; k < dim; k += 32, to += TILE_BYTES)
        for (size_t r = 0; r < 16; r++)
            _mm512_storeu_si512((void *)(to + r * 64), r < rows ? back_row(x + r * ldx + k, dim - k)
                                                                : _mm512_setzero_si512());
}

/* 16 or fewer rows of x as the second factor's columns: to[blocks]. A tile is the first factor's,
 * its 16 x 16 pairs transposed. */
static void back_second(const float *x, size_t ldx, size_t rows, size_t dim, uint8_t *to)
{
    float pairs[TILE_FLOATS] __attribute__((aligned(64)));
    for (size_t k = 0; k < dim; k += 32, to += TILE_BYTES) {
        for (size_t r = 0; r < 16; r++)
            v16_store(pairs + r * 16,
                      r < rows ? (v16)back_row(x + r * ldx + k, dim - k) : v16_zero());
        transpose16(pairs, 16, (float *)(void *)to, 16);
    }
}

/* 32 or fewer rows of x as the second factor's rows: to[2 * blocks] */
static void back_pairs(const float *x, size_t ldx, size_t rows, size_t dim, size_t blocks,
                       uint8_t *to)
{
    for (size_t c = 0; c < 32 * blocks; c += 16, to += TILE_BYTES)
        for (size_t r = 0; r < 32; r += 2) {
            const size_t n = c < dim ? dim - c : 0;
            const float *at = n ? x + r * ldx + c : x;
            put_bf16_pairs(to + r * 32, v16_load_n(at, r < rows ? n : 0),
                           v16_load_n(r + 1 < rows ? at + ldx : x, r + 1 < rows ? n : 0));
        }
}

/* Rows of x are asked for: they lie too far apart for the processor to foresee */
V16_INLINE void back_ask(const float *x, size_t ldx, size_t row, size_t rows, size_t n, size_t dim)
{
    for (size_t r = row; r < row + rows && r < n; r++)
        for (size_t c = 0; c < dim; c += 16)
            __builtin_prefetch(x + r * ldx + c, 0, 2);
}

static void back_queries(const back_work *w)
{
    const hone_attn_back *t = w->t;
    const size_t n = t->n, step = w->blocks * TILE_BYTES;
    for (size_t i = 0; i < (n + 31) / 32 * 32; i += 16) {
        const size_t rows = i < n ? n - i : 0, at = rows ? i * t->ldq : 0;
        back_ask(t->q, t->ldq, i + 32, 16, n, t->dim);
        back_ask(t->d_out, t->ldq, i + 32, 16, n, t->dim);
        back_second(t->q + at, t->ldq, rows, t->dim, w->q_rows + i / 16 * step);
        back_second(t->d_out + at, t->ldq, rows, t->dim, w->d_out_rows + i / 16 * step);
    }
    for (size_t i = 0; i < n; i += 32) {
        back_pairs(t->q + i * t->ldq, t->ldq, n - i, t->dim, w->blocks,
                   w->q_columns + i / 16 * step);
        back_pairs(t->d_out + i * t->ldq, t->ldq, n - i, t->dim, w->blocks,
                   w->d_out_columns + i / 16 * step);
    }
}

/* 64 or fewer keys from `key` on */
static void back_keys(const back_work *w, size_t key, size_t keys)
{
    const hone_attn_back *t = w->t;
    const float *k = t->k + key * t->ldk, *v = t->v + key * t->ldk;
    for (size_t r = 0; r < BACK_KEYS; r += 16) {
        const size_t rows = r < keys ? keys - r : 0, at = rows ? r * t->ldk : 0,
                     to = r / 16 * w->blocks * TILE_BYTES;
        back_first(k + at, t->ldk, rows, t->dim, w->keys + to);
        back_first(v + at, t->ldk, rows, t->dim, w->values + to);
    }
    for (size_t c = 0; c < 32 * w->blocks; c += 16)
        for (size_t r = 0; r < KEY_BLOCKS; r++) {
            const size_t rows = 32 * r < keys ? keys - 32 * r : 0,
                         columns = c < t->dim ? t->dim - c : 0;
            turn_block(columns && rows ? k + 32 * r * t->ldk + c : k, t->ldk, columns ? rows : 0,
                       columns,
                       (uint16_t *)(void *)(w->k_columns + (c / 16 * KEY_BLOCKS + r) * TILE_BYTES));
        }
}

/* ---- products ---------------------------------------------------------------------------------
 */

/* Two by two tiles c[i][j] += the sum over steps of a[i] b[j] */
typedef struct back_job {
    const uint8_t *a[2], *b[2];
    size_t a_next, b_next, steps; /* bytes from step to step */
    float *c[4];                  /* [0][0], [0][1], [1][0], [1][1] */
    size_t c_bytes;               /* from row to row */
    bool more;
} back_job;

V16_INLINE void back_sums(const back_job *j)
{
    const uint8_t *a0 = j->a[0], *a1 = j->a[1], *b0 = j->b[0], *b1 = j->b[1];
    if (j->more) {
        tile_load(0, j->c[0], j->c_bytes);
        tile_load(1, j->c[1], j->c_bytes);
        tile_load(2, j->c[2], j->c_bytes);
        tile_load(3, j->c[3], j->c_bytes);
    } else {
        tile_zero(0);
        tile_zero(1);
        tile_zero(2);
        tile_zero(3);
    }
    for (size_t i = 0; i < j->steps; i++) {
        tile_load(4, a0, 64);
        tile_load(6, b0, 64);
        tile_load(7, b1, 64);
        tile_load(5, a1, 64);
        tile_dpbf16(0, 4, 6);
        tile_dpbf16(1, 4, 7);
        tile_dpbf16(2, 5, 6);
        tile_dpbf16(3, 5, 7);
        a0 += j->a_next, a1 += j->a_next, b0 += j->b_next, b1 += j->b_next;
    }
}

V16_INLINE void back_store(const back_job *j)
{
    tile_store(0, j->c[0], j->c_bytes);
    tile_store(1, j->c[1], j->c_bytes);
    tile_store(2, j->c[2], j->c_bytes);
    tile_store(3, j->c[3], j->c_bytes);
}

V16_INLINE void back_product(const back_job *j)
{
    back_sums(j);
    back_store(j);
}

/* 32 keys (block kb of these) by the 32 queries of block qb of all */
static back_job back_scores(const back_work *w, const uint8_t *first, const uint8_t *second,
                            size_t kb, size_t qb, float *to)
{
    const size_t next = w->blocks * TILE_BYTES;
    const uint8_t *a = first + 2 * kb * next, *b = second + 2 * qb * next;
    return (back_job){.a = {a, a + next},
                      .b = {b, b + next},
                      .a_next = TILE_BYTES,
                      .b_next = TILE_BYTES,
                      .steps = w->blocks,
                      .c = {to, to + 16, to + 512, to + 528},
                      .c_bytes = 128};
}

/* dv += p d_out or dk += ds q: queries from block qb on, `steps` blocks of them */
static void back_to_keys(const back_work *w, size_t key_blocks, const uint8_t *first,
                         const uint8_t *second, size_t qb, size_t steps, float *to)
{
    for (size_t k = 0; k < 2 * key_blocks; k += 2)
        for (size_t d = 0; d < 2 * w->blocks; d += 2) {
            float *c = to + (k * 2 * w->blocks + d) * TILE_FLOATS;
            const uint8_t *a = first + k * QUERY_BLOCKS * TILE_BYTES,
                          *b = second + (qb * 2 * w->blocks + d) * TILE_BYTES;
            float *lower = c + 2 * w->blocks * TILE_FLOATS;
            back_product(&(back_job){.a = {a, a + QUERY_BLOCKS * TILE_BYTES},
                                     .b = {b, b + TILE_BYTES},
                                     .a_next = TILE_BYTES,
                                     .b_next = 2 * w->blocks * TILE_BYTES,
                                     .steps = steps,
                                     .c = {c, c + TILE_FLOATS, lower, lower + TILE_FLOATS},
                                     .c_bytes = 64,
                                     .more = true});
        }
}

/* dq^T += k^T ds of these keys, queries as above */
static void back_to_queries(const back_work *w, size_t key_blocks, size_t qb, size_t steps)
{
    for (size_t q = 0; q < 2 * steps; q += 2)
        for (size_t d = 0; d < 2 * w->blocks; d += 2) {
            float *c = w->dq + ((2 * qb + q) * 2 * w->blocks + d) * TILE_FLOATS;
            const uint8_t *a = w->k_columns + d * KEY_BLOCKS * TILE_BYTES,
                          *b = w->ds_pairs + q * KEY_BLOCKS * TILE_BYTES;
            float *right = c + 2 * w->blocks * TILE_FLOATS;
            back_product(&(back_job){.a = {a, a + KEY_BLOCKS * TILE_BYTES},
                                     .b = {b, b + KEY_BLOCKS * TILE_BYTES},
                                     .a_next = TILE_BYTES,
                                     .b_next = TILE_BYTES,
                                     .steps = key_blocks,
                                     .c = {c, right, c + TILE_FLOATS, right + TILE_FLOATS},
                                     .c_bytes = 64,
                                     .more = true});
        }
}

/* ---- p and ds ---------------------------------------------------------------------------------
 */

/* Of 16 queries */
typedef struct back_lanes {
    v16 shift, inv, mean;
    __m512i index;
} back_lanes;

static back_lanes back_lanes_of(const hone_attn_back *t, size_t query)
{
    const size_t n = query < t->n ? t->n - query : 0, at = n ? query : 0;
    return (back_lanes){
        v16_load_n(t->shift + at, n), v16_load_n(t->inv + at, n), v16_load_n(t->mean + at, n),
        _mm512_add_epi32(_mm512_set1_epi32((int)query),
                         _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))};
}

/* Which of 16 queries see a key */
V16_INLINE __mmask16 back_seen(const hone_attn_back *t, const back_lanes *l, size_t key)
{
    const __m512i k = _mm512_set1_epi32((int)key);
    __mmask16 seen = _mm512_cmpge_epi32_mask(l->index, k);
    if (t->window)
        seen &= _mm512_cmplt_epi32_mask(l->index,
                                        _mm512_add_epi32(k, _mm512_set1_epi32((int)t->window)));
    return seen;
}

/* 32 keys by 32 queries: s and dp to p, ds and its pairs, while the tiles do the next ones. all:
 * every query sees every key. What those who do not see a key have in its row is nothing, whatever
 * became of it. */
V16_INLINE void back_softmax(bool capped, bool all, const back_work *w, const float *s,
                             const float *dp, size_t key, size_t query, uint8_t *p, uint8_t *ds,
                             uint8_t *pairs, const back_job next[2])
{
    const hone_attn_back *t = w->t;
    const back_lanes lanes[2] = {back_lanes_of(t, query), back_lanes_of(t, query + 16)};
    for (size_t r = 0; r < 32; r += 2) {
        v16 x[2][2], y[2][2];
        if (next) {
            if (r == 0)
                back_sums(&next[0]);
            if (r == 8)
                back_store(&next[0]);
            if (r == 16)
                back_sums(&next[1]);
            if (r == 24)
                back_store(&next[1]);
        }
        UNROLL for (size_t i = 0; i < 2; i++) UNROLL for (size_t h = 0; h < 2; h++)
        {
            const back_lanes *l = &lanes[h];
            const size_t at = (r + i) * 32 + 16 * h;
            softmax_back_16(capped, v16_load(s + at), v16_load(dp + at), l->shift, l->inv, l->mean,
                            t->scale, t->softcap, &x[i][h], &y[i][h]);
            if (!all) {
                const __mmask16 seen = back_seen(t, l, key + r + i);
                x[i][h] = _mm512_maskz_mov_ps(seen, x[i][h]);
                y[i][h] = _mm512_maskz_mov_ps(seen, y[i][h]);
            }
        }
        const size_t to = r / 16 * QUERY_BLOCKS * TILE_BYTES + r % 16 * 64;
        UNROLL for (size_t i = 0; i < 2; i++)
        {
            _mm512_storeu_si512((void *)(p + to + 64 * i),
                                (__m512i)_mm512_cvtne2ps_pbh(x[i][1], x[i][0]));
            _mm512_storeu_si512((void *)(ds + to + 64 * i),
                                (__m512i)_mm512_cvtne2ps_pbh(y[i][1], y[i][0]));
        }
        put_bf16_pairs(pairs + r * 32, y[0][0], y[1][0]);
        put_bf16_pairs(pairs + KEY_BLOCKS * TILE_BYTES + r * 32, y[0][1], y[1][1]);
    }
}

/* p and ds of 64 keys from `key` on by blocks [qb, qb + steps) of queries */
static void back_block(const back_work *w, size_t key, size_t key_blocks, size_t qb, size_t steps)
{
    const hone_attn_back *t = w->t;
    const size_t all_blocks = steps * key_blocks;
    back_job job[2] = {back_scores(w, w->keys, w->q_rows, 0, qb, w->s[0]),
                       back_scores(w, w->values, w->d_out_rows, 0, qb, w->dp[0])};
    back_product(&job[0]);
    back_product(&job[1]);
    for (size_t i = 0; i < all_blocks; i++) {
        const size_t q = i / key_blocks, k = i % key_blocks, nq = (i + 1) / key_blocks,
                     nk = (i + 1) % key_blocks;
        const size_t first = key + 32 * k, query = 32 * (qb + q), turn = i & 1;
        const bool all = query >= first + 31 && (!t->window || query + 31 < first + t->window);
        uint8_t *p = w->p + (2 * k * QUERY_BLOCKS + q) * TILE_BYTES,
                *ds = w->ds + (2 * k * QUERY_BLOCKS + q) * TILE_BYTES,
                *pairs = w->ds_pairs + (2 * q * KEY_BLOCKS + k) * TILE_BYTES;
        const back_job *next = i + 1 < all_blocks ? job : NULL;
        job[0] = back_scores(w, w->keys, w->q_rows, nk, qb + nq, w->s[!turn]);
        job[1] = back_scores(w, w->values, w->d_out_rows, nk, qb + nq, w->dp[!turn]);
        if (t->softcap != 0)
            back_softmax(true, false, w, w->s[turn], w->dp[turn], first, query, p, ds, pairs, next);
        else if (all)
            back_softmax(false, true, w, w->s[turn], w->dp[turn], first, query, p, ds, pairs, next);
        else
            back_softmax(false, false, w, w->s[turn], w->dp[turn], first, query, p, ds, pairs,
                         next);
    }
}

/* ---- results ----------------------------------------------------------------------------------
 */

/* dk or dv of 64 or fewer keys */
static void back_put_keys(const back_work *w, const float *from, size_t keys, float *to)
{
    const hone_attn_back *t = w->t;
    for (size_t r = 0; r < keys; r++)
        for (size_t c = 0; c < t->dim; c += 16) {
            v16 x = v16_load(from + (r / 16 * 2 * w->blocks + c / 16) * TILE_FLOATS + r % 16 * 16);
            float *y = to + r * t->ldk + c;
            if (t->more)
                x = v16_add(v16_load_n(y, t->dim - c), x);
            v16_store_n(y, x, t->dim - c);
        }
}

static void back_put_queries(const back_work *w)
{
    const hone_attn_back *t = w->t;
    float rows[TILE_FLOATS] __attribute__((aligned(64)));
    for (size_t i = 0; i < t->n; i += 16)
        for (size_t c = 0; c < t->dim; c += 16) {
            transpose16(w->dq + (i / 16 * 2 * w->blocks + c / 16) * TILE_FLOATS, 16, rows, 16);
            for (size_t r = 0; r < 16 && i + r < t->n; r++)
                v16_store_n(t->dq + (i + r) * t->ldq + c, v16_load(rows + r * 16), t->dim - c);
        }
}

/* A block of keys, with all queries that see one of them */
static void back_span(const back_work *w, size_t key)
{
    const hone_attn_back *t = w->t;
    const size_t keys = t->n - key < BACK_KEYS ? t->n - key : BACK_KEYS,
                 key_blocks = (keys + 31) / 32, end = (hone_attn_back_end(t, key) + 31) / 32;
    back_keys(w, key, keys);
    memset(w->dk, 0, KEY_BLOCKS * 4 * w->blocks * TILE_BYTES);
    memset(w->dv, 0, KEY_BLOCKS * 4 * w->blocks * TILE_BYTES);
    for (size_t qb = key / 32; qb < end; qb += QUERY_BLOCKS) {
        const size_t steps = end - qb < QUERY_BLOCKS ? end - qb : QUERY_BLOCKS;
        back_block(w, key, key_blocks, qb, steps);
        back_to_keys(w, key_blocks, w->p, w->d_out_columns, qb, steps, w->dv);
        back_to_keys(w, key_blocks, w->ds, w->q_columns, qb, steps, w->dk);
        back_to_queries(w, key_blocks, qb, steps);
    }
    back_put_keys(w, w->dk, keys, t->dk + key * t->ldk);
    back_put_keys(w, w->dv, keys, t->dv + key * t->ldk);
}

static hone_attn_back_fn *attn_back_below; /* of the weaker set: products in float32 */
static hone_attn_back_bytes_fn *attn_back_bytes_below;

static void attn_back(const hone_kernels *kt, const hone_attn_back *t, void *scratch)
{
    back_work w;
    tile_config config;
    if (t->f32) {
        attn_back_below(kt, t, scratch);
        return;
    }
    back_lay_out(t, scratch, &w);
    tile_fill_config(&config, 16, 64);
    tile_set_config(&config);
    back_queries(&w);
    memset(w.dq, 0, (t->n + 31) / 32 * 4 * w.blocks * TILE_BYTES);
    for (size_t key = 0; key < t->n; key += BACK_KEYS)
        back_span(&w, key);
    back_put_queries(&w);
    tile_release();
}

static size_t attn_back_bytes(const hone_kernels *kt, const hone_attn_back *t)
{
    back_work w;
    return t->f32 ? attn_back_bytes_below(kt, t) : back_lay_out(t, NULL, &w);
}

#endif
