/*
 * Backward of attention (Dao et al., arXiv:2205.14135, appendix B.4): the kernel attn_back does a
 * head of a sequence (equations: hone_attn_back in kernel.h), from the maximum and the sum that the
 * forward left of each query, and from sum of d_out * out. Rotary positions go back by the opposite
 * angle; then norms of heads and the three products.
 *
 * dk and dv of a KV head are summed over its query heads: a sequence and KV head is one item.
 * Nothing is shared between items, so that the bits do not depend on threads. Memory of a thread is
 * linear in the tokens of the longest sequence.
 */
#include "base/mem.h"
#include "model/block/back.h"

enum { LANES = 8 };

typedef struct attend_work {
    hone_backward *b;
    const hone_layer_kind *kind;
    const float *d_out; /* [rows][heads * head_dim] */
    float *dq, *dk, *dv;
} attend_work;

/* Of one thread: what is known of each query of a head, [rows], and the kernel's memory */
typedef struct scratch {
    float *shift, *inv, *mean;
    void *rest;
} scratch;

static size_t lay_out(const hone_backward *b, const hone_layer_kind *y, size_t rows, void *base,
                      scratch *out)
{
    const hone_attn_back t = {.n = rows, .dim = y->head_dim, .f32 = b->layout == HONE_LAYOUT_F32};
    size_t at = 0;
    out->shift = hone_cut(base, &at, rows * sizeof(float));
    out->inv = hone_cut(base, &at, rows * sizeof(float));
    out->mean = hone_cut(base, &at, rows * sizeof(float));
    out->rest = hone_cut(base, &at, b->kt->attn_back_bytes(b->kt, &t));
    return at;
}

size_t hone_back_attention_bytes(const hone_backward *b, const hone_layer_kind *y, size_t rows)
{
    scratch s;
    return lay_out(b, y, rows, NULL, &s);
}

/* Sum of d_out * out in double, for float32: what is lost of it is added to every ds of a query.
 * What bfloat16 loses is more than that. */
static float mean_of(const float *d_out, const float *out, size_t n)
{
    double sums[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            sums[j] += (double)d_out[i + j] * (double)out[i + j];
    for (; i < n; i++)
        sums[0] += (double)d_out[i] * (double)out[i];
    for (size_t j = 1; j < LANES; j++)
        sums[0] += sums[j];
    return (float)sums[0];
}

/* A query head of a sequence */
static void head_back(const attend_work *w, const hone_sequence *s, size_t head, const scratch *m)
{
    const hone_backward *b = w->b;
    const hone_layer_kind *y = w->kind;
    const hone_tape *tape = b->f->tape;
    const size_t d = y->head_dim, group = y->heads / y->kv_heads, width = y->heads * d,
                 narrow = y->kv_heads * d, n = s->n_rows, base = s->first_row,
                 at = base * width + head * d, kv_at = base * narrow + head / group * d;
    hone_dot_fn *mean = b->layout == HONE_LAYOUT_F32 ? mean_of : b->kt->dot;
    for (size_t i = 0; i < n; i++) {
        const float *stats = tape->stats + 2 * ((base + i) * y->heads + head);
        m->shift[i] = stats[0];
        m->inv[i] = stats[1];
        m->mean[i] = mean(w->d_out + at + i * width, tape->attended + at + i * width, d);
    }
    const hone_attn_back t = {.n = n,
                              .dim = d,
                              .q = tape->q + at,
                              .d_out = w->d_out + at,
                              .k = tape->k + kv_at,
                              .v = tape->v + kv_at,
                              .ldq = width,
                              .ldk = narrow,
                              .shift = m->shift,
                              .inv = m->inv,
                              .mean = m->mean,
                              .scale = y->scale,
                              .softcap = y->softcap,
                              .window = y->window < n ? y->window : 0,
                              .dq = w->dq + at,
                              .dk = w->dk + kv_at,
                              .dv = w->dv + kv_at,
                              .more = head % group != 0,
                              .f32 = b->layout == HONE_LAYOUT_F32};
    b->kt->attn_back(b->kt, &t, m->rest);
}

/* Rotates a head of each token of a sequence by the opposite angle; x is the first token's. */
static void rotate_back(const attend_work *w, const hone_sequence *s, float *x, size_t ldx)
{
    const hone_backward *b = w->b;
    const hone_layer_kind *y = w->kind;
    const size_t dim = b->f->model->hp.ropes[0][y->rope].dim, half = dim / 2;
    for (size_t i = 0; i < s->n_rows; i++) {
        const size_t at = (s->first_row + i) * half;
        b->kt->rope(x + i * ldx, 1, y->head_dim, dim, b->f->cos[y->rope] + at,
                    b->minus_sin[y->rope] + at, 0);
    }
}

static void attend_item(void *arg, size_t item, int thread)
{
    const attend_work *w = arg;
    const hone_layer_kind *y = w->kind;
    const hone_sequence *s = &w->b->f->batch->sequences[item / y->kv_heads];
    const size_t d = y->head_dim, group = y->heads / y->kv_heads, kv_head = item % y->kv_heads,
                 width = y->heads * d, narrow = y->kv_heads * d;
    scratch m;
    lay_out(w->b, y, s->n_rows, w->b->thread_memory[thread], &m);
    for (size_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
        head_back(w, s, head, &m);
        if (y->rope != HONE_ROPE_NONE)
            rotate_back(w, s, w->dq + s->first_row * width + head * d, width);
    }
    if (y->rope != HONE_ROPE_NONE)
        rotate_back(w, s, w->dk + s->first_row * narrow + kv_head * d, narrow);
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
    if (t->plain_q)
        hone_back_norm(b, layer, HONE_SLOT_NORM_Q, t->plain_q, rows * y->heads, y->head_dim, w.dq,
                       w.dq);
    if (t->plain_k)
        hone_back_norm(b, layer, HONE_SLOT_NORM_K, t->plain_k, rows * y->kv_heads, y->head_dim,
                       w.dk, w.dk);
    const hone_back_job jobs[] = {{HONE_SLOT_Q, w.dq}, {HONE_SLOT_K, w.dk}, {HONE_SLOT_V, w.dv}};
    hone_back_linear(b, layer, jobs, 3, in, rows, din);
}
