/*
 * Disentangled attention (He et al., DeBERTa, arXiv:2006.03654, section 3.1; buckets:
 * arXiv:2111.09543): a token attends by its content and by its distance, each against the other:
 *
 *     score(i, j) = ((q_i . k_j + q_i . K[x]) + k_j . Q[x]) * scale,  x = bucket of i - j
 *
 * where K and Q are the same projections of an embedding of x instead of a token. A sequence is one
 * step, so nothing is kept in pages: a sequence and head is one item, its keys, values and the
 * positions that it can reach are packed like weights, and all products go through the kernels.
 */
#include "base/mem.h"
#include "model/block/common.h"

#include <assert.h>
#include <math.h>

enum { QUERIES_PER_BLOCK = 32, ROWS_PER_ITEM = 16 };

/* Memory of all threads together: places in f->block_memory. */
typedef struct shared {
    int32_t *row;          /* of distance i - j, at row[i - j + max_rows] */
    float *x;              /* [2 span][hidden]: embeddings of positions */
    float *keys, *queries; /* [2 span][heads * head_dim] */
    void *act;             /* of x */
} shared;

/* Of one thread. */
typedef struct scratch {
    uint8_t *k, *v, *pos_k, *pos_q; /* packed: keys, values transposed, projected positions */
    void *act, *key_act;
    float *scores;   /* [QUERIES_PER_BLOCK][rows] */
    float *by_query; /* [QUERIES_PER_BLOCK][2 span]: q . K[x] */
    float *by_key;   /* [rows][2 span]: k . Q[x] */
    void *product;
} scratch;

/* The products' layout: exact with a float32 cache, else bfloat16, as attention has it. */
static hone_packed plan(const hone_forward *f, size_t n, size_t k)
{
    hone_packed w;
    const hone_coding coding = hone_dtype_coding(HONE_DTYPE_F32);
    hone_status s = hone_packed_plan(
        f->kv_format == HONE_KV_F32 ? HONE_LAYOUT_F32 : HONE_LAYOUT_BF16, &coding, n, k, &w);
    assert(s == HONE_OK); /* the model's sizes are bounded */
    (void)s;
    return w;
}

static int act_flags(const hone_forward *f)
{
    return f->kv_format == HONE_KV_F32 ? HONE_ACT_F32 : 0;
}

static size_t packed_bytes(const hone_forward *f, size_t n, size_t k)
{
    hone_packed w = plan(f, n, k);
    return hone_packed_bytes(&w);
}

static size_t lay_out_shared(const hone_forward *f, const hone_layer_kind *y, void *base,
                             shared *out)
{
    const hone_hparams *h = &f->model->hp;
    size_t at = 0, n = 2 * (size_t)h->relative_span,
           width = (size_t)y->heads * y->head_dim * sizeof(float);
    out->row = hone_cut(base, &at, 2 * (size_t)f->max_rows * sizeof *out->row);
    out->x = hone_cut(base, &at, n * h->hidden * sizeof(float));
    out->keys = hone_cut(base, &at, n * width);
    out->queries = hone_cut(base, &at, n * width);
    out->act = hone_cut(base, &at, hone_act_bytes(f->kt, n, h->hidden, ~0));
    return at;
}

static size_t lay_out_scratch(const hone_forward *f, const hone_layer_kind *y, void *base,
                              scratch *out)
{
    size_t at = 0, rows = f->max_rows, n = 2 * (size_t)f->model->hp.relative_span, d = y->head_dim,
           wide = d > rows ? d : rows;
    out->k = hone_cut(base, &at, packed_bytes(f, rows, d));
    out->v = hone_cut(base, &at, packed_bytes(f, d, rows));
    out->pos_k = hone_cut(base, &at, packed_bytes(f, n, d));
    out->pos_q = hone_cut(base, &at, packed_bytes(f, n, d));
    out->act = hone_cut(base, &at, hone_act_bytes(f->kt, QUERIES_PER_BLOCK, wide, ~0));
    out->key_act = hone_cut(base, &at, hone_act_bytes(f->kt, rows, d, ~0));
    out->scores = hone_cut(base, &at, QUERIES_PER_BLOCK * rows * sizeof(float));
    out->by_query = hone_cut(base, &at, QUERIES_PER_BLOCK * n * sizeof(float));
    out->by_key = hone_cut(base, &at, rows * n * sizeof(float));
    out->product = hone_cut(base, &at, hone_product_scratch_bytes());
    return at;
}

static void disentangled_needs(const hone_forward *f, const hone_layer_kind *y,
                               size_t *thread_bytes, size_t *shared_bytes)
{
    shared s;
    scratch t;
    *shared_bytes = lay_out_shared(f, y, NULL, &s);
    *thread_bytes = lay_out_scratch(f, y, NULL, &t);
}

/* Bucket of a distance: up to half of the span one by one, then by logarithm, in float32 as the
 * reference implementation rounds it. */
static int32_t bucket_of(const hone_hparams *h, int32_t distance)
{
    int32_t mid = (int32_t)(h->relative_span / 2), span = (int32_t)h->relative_span;
    if (h->relative_max <= 1 || mid == 0 || distance <= mid)
        return distance < span ? distance : span;
    float whole = (float)log((double)(float)((h->relative_max - 1.0) / mid)),
          part = (float)log((double)((float)distance / (float)mid)) / whole * (float)(mid - 1);
    return part < (float)span ? (int32_t)ceilf(part) + mid : span;
}

/* Rows of the table of positions: those at its ends stand for all beyond. */
static void disentangled_prepare(hone_forward *f, const hone_layer_kind *y)
{
    const hone_hparams *h = &f->model->hp;
    shared s;
    lay_out_shared(f, y, f->block_memory, &s);
    int32_t span = (int32_t)h->relative_span, most = (int32_t)f->max_rows;
    for (int32_t i = 0; i < most; i++) {
        int32_t bucket = bucket_of(h, i);
        s.row[most + i] = bucket < span ? span + bucket : 2 * span - 1;
        s.row[most - i] = bucket < span ? span - bucket : 0;
    }
}

/* ---- positions ------------------------------------------------------------------------------ */

typedef struct work {
    hone_forward *f;
    int layer;
    const hone_layer_kind *kind;
    shared shared;
    int32_t first, last; /* rows of the table that the longest sequence reaches */
    hone_act act;
} work;

static void position_item(void *arg, size_t item, int thread)
{
    work *w = arg;
    const hone_forward *f = w->f;
    const hone_linear *norm = hone_model_at(f->model, 0, HONE_SLOT_NORM_RELATIVE);
    size_t n = f->model->hp.hidden, r0 = item * ROWS_PER_ITEM,
           r1 = hone_row_end(item, ROWS_PER_ITEM, w->act.rows);
    (void)thread;
    for (size_t r = r0; r < r1; r++)
        hone_unpack_row(&hone_model_at(f->model, 0, HONE_SLOT_RELATIVE)->w, (size_t)w->first + r,
                        w->shared.x + r * n);
    if (norm->v)
        hone_block_norm(f, norm, w->shared.x + r0 * n, r1 - r0, n, w->shared.x + r0 * n);
    f->kt->act_pack(&w->act, w->shared.x, n, r0, r1);
}

/* Projects the positions that the step's longest sequence reaches like keys and queries. */
static void project_positions(work *w, const hone_linear *q, const hone_linear *k)
{
    hone_forward *f = w->f;
    int32_t longest = 0;
    for (uint32_t s = 0; s < f->batch->n_sequences; s++) {
        int32_t n = (int32_t)f->batch->sequences[s].n_rows;
        longest = n > longest ? n : longest;
    }
    const int32_t *middle = w->shared.row + f->max_rows;
    w->first = middle[1 - longest];
    w->last = middle[longest - 1];
    hone_act_init(f->kt, (size_t)(w->last - w->first) + 1, f->model->hp.hidden,
                  hone_linear_flags(q) | hone_linear_flags(k), w->shared.act, &w->act);
    hone_pool_run(f->pool, position_item, w, hone_row_items(w->act.rows, ROWS_PER_ITEM));
    const hone_product_job jobs[] = {{q, w->shared.queries}, {k, w->shared.keys}};
    hone_forward_products(f, &w->act, jobs, 2, HONE_SPAN_ATTN_QKV, w->layer);
}

/* ---- one sequence and head ------------------------------------------------------------------ */

typedef struct matrix {
    const float *x;
    size_t ld;
    bool transposed;
} matrix;

static bool read_matrix(const hone_rows *s, size_t row, size_t k0, size_t count, float *out)
{
    const matrix *m = s->context;
    for (size_t i = 0; i < count; i++)
        out[i] = m->transposed ? m->x[(k0 + i) * m->ld + row] : m->x[row * m->ld + k0 + i];
    return true;
}

static hone_packed pack(const hone_forward *f, matrix m, size_t n, size_t k, uint8_t *to)
{
    hone_packed w = plan(f, n, k);
    hone_rows rows = {
        .coding = hone_dtype_coding(HONE_DTYPE_F32), .decode = read_matrix, .context = &m};
    bool ok = hone_pack_panels(&w, &rows, 0, w.n_panels, to);
    assert(ok);
    (void)ok;
    w.data = to;
    return w;
}

/* y = x[rows][k] times a packed matrix. */
static void multiply(const hone_forward *f, const float *x, size_t ldx, size_t rows,
                     const hone_packed *m, void *act_memory, float *y, size_t ldy, void *product)
{
    const hone_kernels *kt = hone_kernels_get(f->kt->isa); /* exact, as all attention */
    hone_act act;
    hone_act_init(kt, rows, m->k, act_flags(f), act_memory, &act);
    kt->act_pack(&act, x, ldx, 0, rows);
    hone_product(kt, m, &act, 0, rows, 0, m->n_panels, y, ldy, NULL, product);
}

/* Scores of query i into probabilities, not yet divided by their sum, which is returned. */
static float soften(const work *w, const scratch *t, int32_t i, int32_t n, float *scores,
                    const float *by_query, size_t positions)
{
    const hone_kernels *kt = w->f->kt;
    const int32_t *row = w->shared.row + w->f->max_rows + i;
    for (int32_t j = 0; j < n; j++) {
        size_t x = (size_t)(row[-j] - w->first);
        scores[j] = (scores[j] + by_query[x]) + t->by_key[(size_t)j * positions + x];
    }
    kt->scale(scores, w->kind->scale, (size_t)n);
    return kt->exp_sum(scores, kt->max(scores, (size_t)n), (size_t)n, scores);
}

static void attend_item(void *arg, size_t item, int thread)
{
    const work *w = arg;
    hone_forward *f = w->f;
    const hone_sequence *s = &f->batch->sequences[item / w->kind->heads];
    size_t head = item % w->kind->heads, d = w->kind->head_dim, width = w->kind->heads * d,
           n = s->n_rows, at = s->first_row * width + head * d, positions = w->act.rows;
    scratch t;
    lay_out_scratch(f, w->kind, f->threads[thread].memory, &t);
    hone_packed k = pack(f, (matrix){f->k + at, width, false}, n, d, t.k),
                v = pack(f, (matrix){f->v + at, width, true}, d, n, t.v),
                pos_k = pack(f, (matrix){w->shared.keys + head * d, width, false}, positions, d,
                             t.pos_k),
                pos_q = pack(f, (matrix){w->shared.queries + head * d, width, false}, positions, d,
                             t.pos_q);
    multiply(f, f->k + at, width, n, &pos_q, t.key_act, t.by_key, positions, t.product);
    for (size_t i0 = 0; i0 < n; i0 += QUERIES_PER_BLOCK) {
        size_t rows = n - i0 < QUERIES_PER_BLOCK ? n - i0 : QUERIES_PER_BLOCK;
        const float *q = f->q + at + i0 * width;
        float *out = f->attended + at + i0 * width, sums[QUERIES_PER_BLOCK];
        multiply(f, q, width, rows, &k, t.act, t.scores, n, t.product);
        multiply(f, q, width, rows, &pos_k, t.act, t.by_query, positions, t.product);
        for (size_t i = 0; i < rows; i++)
            sums[i] = soften(w, &t, (int32_t)(i0 + i), (int32_t)n, t.scores + i * n,
                             t.by_query + i * positions, positions);
        multiply(f, t.scores, n, rows, &v, t.act, out, width, t.product);
        for (size_t i = 0; i < rows; i++)
            for (size_t c = 0; c < d; c++)
                out[i * width + c] /= sums[i];
    }
}

static void disentangled_forward(hone_forward *f, int layer, const hone_block_use *use)
{
    const hone_model *m = f->model;
    const hone_layer_kind *y = hone_kind(&m->hp, (uint32_t)layer);
    hone_block_qkv(f, layer, use);

    work w = {.f = f, .layer = layer, .kind = y};
    lay_out_shared(f, y, f->block_memory, &w.shared);
    project_positions(&w, hone_model_at(m, layer, HONE_SLOT_Q),
                      hone_model_at(m, layer, HONE_SLOT_K));
    uint64_t begin = hone_span_begin(f->spans);
    double flops = 0;
    for (uint32_t s = 0; s < f->batch->n_sequences; s++) {
        double n = f->batch->sequences[s].n_rows;
        flops += 4 * n * ((double)n + (double)w.act.rows) * y->heads * y->head_dim;
    }
    hone_pool_run(f->pool, attend_item, &w, (size_t)f->batch->n_sequences * y->heads);
    hone_span_end(f->spans, HONE_SPAN_ATTENTION, layer, begin, flops, 0);

    hone_block_attention_out(f, layer);
}

const hone_block hone_block_disentangled = {.name = "disentangled attention",
                                            .norm = HONE_SLOT_NORM_ATTENTION,
                                            .norm_after = HONE_SLOT_NORM_ATTENTION_AFTER,
                                            .forward = disentangled_forward,
                                            .slots = &hone_block_attention,
                                            .needs = disentangled_needs,
                                            .prepare = disentangled_prepare};
