/*
 * Backward of attention (Dao et al., arXiv:2205.14135, appendix B.4), a block of queries at a time,
 * scores computed again from q and k. Of one head, with s = c q k^T (c: the scale; with a soft-cap
 * z = cap tanh(s / cap), else z = s), p = softmax(z) over the visible keys, o = p v:
 *
 *     dv = p^T do        dp = do v^T        dz = p * (dp - sum over keys of p * dp)
 *     ds = dz * (1 - (z / cap)^2) * c       dq = ds k        dk = ds^T q
 *
 * dk and dv of a KV head are summed over its query heads. Rotary positions go back by the opposite
 * angle; then norms of heads and the three products.
 *
 * A sequence and KV head is one item: nothing is shared between items, so that the bits do not
 * depend on threads. Memory of a thread is linear in the tokens of the longest sequence.
 */
#include "base/mem.h"
#include "model/block/back.h"

#include <string.h>

enum { QUERIES = 64, ROWS_PER_ITEM = 16 };

typedef struct attend_work {
    hone_backward *b;
    const hone_layer_kind *kind;
    const float *d_out; /* [rows][heads * head_dim] */
    float *dq, *dk, *dv;
} attend_work;

/* Of one thread: places in its memory. */
typedef struct scratch {
    uint8_t *k, *v, *k_columns, *q_columns, *d_out_columns; /* packed */
    void *q_act, *d_out_act, *score_act, *key_act;
    float *p, *dp, *z; /* [QUERIES][ld] */
    float *tile;       /* [keys][head_dim] */
    void *product;
    size_t ld;
} scratch;

static size_t lay_out(const hone_backward *b, const hone_layer_kind *y, size_t rows, void *base,
                      scratch *out)
{
    size_t at = 0, d = y->head_dim, ld = (rows + 31) / 32 * 32, all = QUERIES * ld * sizeof(float);
    int flags = hone_back_act_flags(b);
    out->ld = ld;
    out->k = hone_cut(base, &at, hone_back_packed_bytes(b, rows, d));
    out->v = hone_cut(base, &at, hone_back_packed_bytes(b, rows, d));
    out->k_columns = hone_cut(base, &at, hone_back_packed_bytes(b, d, rows));
    out->q_columns = hone_cut(base, &at, hone_back_packed_bytes(b, d, QUERIES));
    out->d_out_columns = hone_cut(base, &at, hone_back_packed_bytes(b, d, QUERIES));
    out->q_act = hone_cut(base, &at, hone_act_bytes(b->kt, QUERIES, d, flags));
    out->d_out_act = hone_cut(base, &at, hone_act_bytes(b->kt, QUERIES, d, flags));
    out->score_act = hone_cut(base, &at, hone_act_bytes(b->kt, QUERIES, ld, flags));
    out->key_act = hone_cut(base, &at, hone_act_bytes(b->kt, ld, QUERIES, flags));
    out->p = hone_cut(base, &at, all);
    out->dp = hone_cut(base, &at, all);
    out->z = hone_cut(base, &at, y->softcap != 0 ? all : 0);
    out->tile = hone_cut(base, &at, ld * d * sizeof(float));
    out->product = hone_cut(base, &at, hone_product_scratch_bytes());
    return at;
}

size_t hone_back_attention_bytes(const hone_backward *b, const hone_layer_kind *y, size_t rows)
{
    scratch s;
    return lay_out(b, y, rows, NULL, &s);
}

/* y = x[rows][k] at ldx times panels [panel0, panel1) of a packed matrix. */
static void multiply(const hone_backward *b, const float *x, size_t ldx, size_t rows,
                     const hone_packed *m, size_t panel0, size_t panel1, void *act_memory, float *y,
                     size_t ldy, void *product)
{
    hone_act act;
    hone_act_init(b->kt, rows, m->k, hone_back_act_flags(b), act_memory, &act);
    b->kt->act_pack(&act, x, ldx, 0, rows);
    hone_product(b->kt, m, &act, 0, rows, panel0, panel1, y, ldy, NULL, product);
}

/* One block of queries of one head. */
typedef struct block {
    size_t first, rows; /* tokens */
    size_t lo, hi;      /* keys that some of them see; lo a multiple of 32 */
    size_t begun;       /* keys before this one have something in dk and dv already */
    size_t head;
} block;

/* The keys that token i sees begin here, and end with i. */
static size_t first_seen(const hone_layer_kind *y, size_t i)
{
    return y->window && i + 1 > y->window ? i + 1 - y->window : 0;
}

/* Scores in t->p to probabilities (0 of keys that are not seen), capped scores to t->z. */
static void soften(const attend_work *w, const scratch *t, const block *q)
{
    const hone_kernels *kt = w->b->kt;
    const hone_layer_kind *y = w->kind;
    for (size_t r = 0; r < q->rows; r++) {
        float *p = t->p + r * t->ld;
        size_t a = first_seen(y, q->first + r), e = q->first + r + 1, n = e - a;
        kt->scale(p + a, y->scale, n);
        if (y->softcap != 0) {
            kt->softcap(p + a, y->softcap, n);
            memcpy(t->z + r * t->ld + a, p + a, n * sizeof *p);
        }
        float sum = kt->exp_sum(p + a, kt->max(p + a, n), n, p + a);
        kt->scale(p + a, 1.0f / sum, n);
        memset(p + q->lo, 0, (a - q->lo) * sizeof *p);
        memset(p + e, 0, (q->hi - e) * sizeof *p);
    }
}

/* dp in t->dp to ds. */
static void harden(const attend_work *w, const scratch *t, const block *q)
{
    const hone_kernels *kt = w->b->kt;
    const hone_layer_kind *y = w->kind;
    for (size_t r = 0; r < q->rows; r++) {
        float *p = t->p + r * t->ld, *dp = t->dp + r * t->ld;
        size_t a = first_seen(y, q->first + r), e = q->first + r + 1, n = e - a;
        kt->softmax_back(p + a, dp + a, kt->dot(p + a, dp + a, n), y->scale, n, dp + a);
        if (y->softcap != 0)
            kt->softcap_back(t->z + r * t->ld + a, y->softcap, n, dp + a);
        memset(dp + q->lo, 0, (a - q->lo) * sizeof *dp);
        memset(dp + e, 0, (q->hi - e) * sizeof *dp);
    }
}

/* to[keys lo..hi) += s^T m, s[rows][ld] in t->p or t->dp, m the packed rows of the block. */
static void add_to_keys(const attend_work *w, const scratch *t, const block *q, const float *s,
                        const hone_packed *m, float *to, size_t ld_to)
{
    const hone_kernels *kt = w->b->kt;
    const size_t keys = q->hi - q->lo, begun = q->begun - q->lo, d = w->kind->head_dim;
    hone_act act;
    hone_act_init(kt, keys, m->k, hone_back_act_flags(w->b), t->key_act, &act);
    kt->act_columns(&act, s + q->lo, t->ld, 0, m->k);
    to += q->lo * ld_to;
    hone_product(kt, m, &act, 0, begun, 0, m->n_panels, t->tile, d, NULL, t->product);
    for (size_t j = 0; j < begun; j++)
        kt->add(to + j * ld_to, t->tile + j * d, d);
    hone_product(kt, m, &act, begun, keys, 0, m->n_panels, to, ld_to, NULL, t->product);
}

/* base: the sequence's first row. */
static void block_back(const attend_work *w, const scratch *t, const block *q, size_t base,
                       const hone_packed *k, const hone_packed *v, const hone_packed *k_columns)
{
    const hone_backward *b = w->b;
    const hone_layer_kind *y = w->kind;
    size_t d = y->head_dim, width = y->heads * d, narrow = y->kv_heads * d,
           kv_at = base * narrow + q->head / (y->heads / y->kv_heads) * d,
           at = (base + q->first) * width + q->head * d;
    size_t panel0 = q->lo / HONE_PANEL, panel1 = (q->hi + HONE_PANEL - 1) / HONE_PANEL;
    const float *queries = b->f->tape->q + at, *d_out = w->d_out + at;
    multiply(b, queries, width, q->rows, k, panel0, panel1, t->q_act, t->p, t->ld, t->product);
    soften(w, t, q);
    hone_packed columns = hone_back_pack(b, d_out, width, d, q->rows, true, t->d_out_columns);
    add_to_keys(w, t, q, t->p, &columns, w->dv + kv_at, narrow);
    multiply(b, d_out, width, q->rows, v, panel0, panel1, t->d_out_act, t->dp, t->ld, t->product);
    harden(w, t, q);
    columns = hone_back_pack(b, queries, width, d, q->rows, true, t->q_columns);
    add_to_keys(w, t, q, t->dp, &columns, w->dk + kv_at, narrow);
    hone_packed seen = hone_back_part(k_columns, q->lo, q->hi - q->lo);
    multiply(b, t->dp + q->lo, t->ld, q->rows, &seen, 0, seen.n_panels, t->score_act, w->dq + at,
             width, t->product);
}

static void attend_item(void *arg, size_t item, int thread)
{
    const attend_work *w = arg;
    const hone_backward *b = w->b;
    const hone_layer_kind *y = w->kind;
    const hone_sequence *s = &b->f->batch->sequences[item / y->kv_heads];
    size_t kv_head = item % y->kv_heads, d = y->head_dim, group = y->heads / y->kv_heads,
           narrow = y->kv_heads * d, n = s->n_rows, base = s->first_row,
           at = base * narrow + kv_head * d;
    scratch t;
    lay_out(b, y, n, b->thread_memory[thread], &t);
    const float *keys = b->f->tape->k + at, *values = b->f->tape->v + at;
    hone_packed k = hone_back_pack(b, keys, narrow, n, d, false, t.k),
                v = hone_back_pack(b, values, narrow, n, d, false, t.v),
                k_columns = hone_back_pack(b, keys, narrow, d, n, true, t.k_columns);
    for (size_t first = 0; first < n; first += QUERIES)
        for (size_t g = 0; g < group; g++) {
            block q = {.first = first, .rows = n - first < QUERIES ? n - first : QUERIES};
            q.lo = first_seen(y, first) / 32 * 32;
            q.hi = first + q.rows;
            q.begun = g ? q.hi : first;
            q.head = kv_head * group + g;
            block_back(w, &t, &q, base, &k, &v, &k_columns);
        }
}

static void rotate_item(void *arg, size_t item, int thread)
{
    const attend_work *w = arg;
    const hone_backward *b = w->b;
    const hone_layer_kind *y = w->kind;
    size_t dim = b->f->model->hp.ropes[0][y->rope].dim, d = y->head_dim,
           r1 = hone_row_end(item, ROWS_PER_ITEM, b->f->batch->rows);
    (void)thread;
    for (size_t r = item * ROWS_PER_ITEM; r < r1; r++) {
        const float *cs = b->f->cos[y->rope] + r * (dim / 2),
                    *sn = b->minus_sin[y->rope] + r * (dim / 2);
        b->kt->rope(w->dq + r * y->heads * d, y->heads, d, dim, cs, sn, 0);
        b->kt->rope(w->dk + r * y->kv_heads * d, y->kv_heads, d, dim, cs, sn, 0);
    }
}

void hone_block_attention_back(hone_backward *b, int layer, const float *in, const float *dh,
                               float *din)
{
    hone_forward *f = b->f;
    const hone_layer_kind *y = hone_kind(&f->model->hp, (uint32_t)layer);
    const hone_tape *t = f->tape;
    size_t rows = f->batch->rows;
    attend_work w = {b, y, b->wide[0], b->wide[1], b->wide[2], b->wide[3]};
    hone_back_linear(b, layer, &(hone_back_job){HONE_SLOT_O, dh}, 1, t->attended, rows, b->wide[0]);
    hone_pool_run(f->pool, attend_item, &w, (size_t)f->batch->n_sequences * y->kv_heads);
    if (y->rope != HONE_ROPE_NONE)
        hone_pool_run(f->pool, rotate_item, &w, hone_row_items(rows, ROWS_PER_ITEM));
    if (t->plain_q)
        hone_back_norm(b, layer, HONE_SLOT_NORM_Q, t->plain_q, rows * y->heads, y->head_dim, w.dq,
                       w.dq);
    if (t->plain_k)
        hone_back_norm(b, layer, HONE_SLOT_NORM_K, t->plain_k, rows * y->kv_heads, y->head_dim,
                       w.dk, w.dk);
    const hone_back_job jobs[] = {{HONE_SLOT_Q, w.dq}, {HONE_SLOT_K, w.dk}, {HONE_SLOT_V, w.dv}};
    hone_back_linear(b, layer, jobs, 3, in, rows, din);
}
