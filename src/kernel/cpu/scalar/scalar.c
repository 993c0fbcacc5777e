/* scalar - the definition (docs/numerics.md) in the plainest C: what every other set must equal. */
#include "kernel/cpu/scalar/vec.h"

#include "kernel/cpu/generic/elementwise.h"
#include "kernel/layout.h"
#include "kernel/table.h"

#include <assert.h>

static float block_ones(const float *x, int n)
{
    float e = 0.0f, o = 0.0f;
    for (int i = 0; i < n; i += 2) {
        e = __builtin_fmaf(x[i], 1.0f, e);
        o = __builtin_fmaf(x[i + 1], 1.0f, o);
    }
    return e + o;
}

static void act_part(hone_act *act, const float *x, size_t ldx, size_t row0, size_t row1, size_t k0,
                     size_t k1)
{
    for (size_t r = row0; r < row1; r++) {
        float *to = act->f32 + r * act->ld;
        for (size_t i = k0; i < k1; i++) {
            float v = i < act->k ? x[(r - row0) * ldx + i - k0] : 0.0f;
            to[i] = act->flags & HONE_ACT_F32 ? v : hone_bf16_to_f32(hone_f32_to_bf16(v));
        }
        for (size_t b = k0 / 32; act->sums && b < k1 / 32; b++)
            act->sums[r * (act->k_pad / 32) + b] = block_ones(to + 32 * b, 32);
        for (size_t b = k0 / 16; act->sums16 && b < k1 / 16; b++)
            act->sums16[r * (act->k_pad / 16) + b] = block_ones(to + 16 * b, 16);
    }
}

static void act_pack(hone_act *act, const float *x, size_t ldx, size_t row0, size_t row1)
{
    act_part(act, x + row0 * ldx, ldx, row0, row1, 0, act->k_pad);
}

/* E + O of block b of `size` elements of a row with column c of a panel */
static float block_sum(const hone_packed *w, const uint8_t *panel, const float *a, size_t size,
                       size_t b, size_t c)
{
    float e = 0.0f, o = 0.0f;
    for (size_t k = size * b; k < size * b + size; k += 2) {
        e = __builtin_fmaf(a[k], hone_packed_code(w, panel, k, c), e);
        o = __builtin_fmaf(a[k + 1], hone_packed_code(w, panel, k + 1, c), o);
    }
    return e + o;
}

static float product_one(const hone_packed *w, const uint8_t *panel, const float *a,
                         const float *sums, size_t c)
{
    size_t size = w->group == 16 ? 16 : 32, blocks = w->k_pad / size, group = w->group / size;
    float sum = 0.0f;
    if (!w->scale_bytes) {
        for (size_t b = 0; b < blocks; b++)
            sum += block_sum(w, panel, a, size, b, c);
        return sum;
    }
    for (size_t b = 0, g = 0; b < blocks; g++) {
        float d = 0.0f, ones = 0.0f;
        for (size_t end = b + group; b < end && b < blocks; b++) {
            d += block_sum(w, panel, a, size, b, c);
            if (w->has_min) {
                assert(sums); /* the activation was packed with HONE_ACT_SUMS */
                ones += sums[b];
            }
        }
        sum = __builtin_fmaf(hone_packed_scale(w, panel, g, c), d, sum);
        if (w->has_min)
            sum = __builtin_fmaf(hone_packed_min(w, panel, g, c), ones, sum);
    }
    return sum;
}

static void product(const hone_packed *w, const hone_act *a, size_t row0, size_t row1,
                    size_t panel0, size_t panel1, float *y, size_t ldy, const float *bias,
                    void *scratch)
{
    (void)scratch;
    for (size_t r = row0; r < row1; r++) {
        const float *sums = a->sums ? a->sums + r * (a->k_pad / 32) : NULL;
        if (w->group == 16)
            sums = a->sums16 ? a->sums16 + r * (a->k_pad / 16) : NULL;
        for (size_t col = panel0 * 16; col < panel1 * 16 && col < w->n; col++) {
            const uint8_t *panel = w->data + col / 16 * w->panel_bytes;
            float v = product_one(w, panel, a->f32 + r * a->ld, sums, col % 16);
            y[r * ldy + col] = bias ? v + bias[col] : v;
        }
    }
}

/* Dimensions that share the scale of the one at d */
static size_t scale_span(const hone_kv *kv, size_t dim, size_t d)
{
    return hone_kv_form_of(kv)->grouped && dim - d > 32 ? 32 : dim - d;
}

static void kv_write(const hone_kv *kv, void *page, size_t slot, const float *k, const float *v)
{
    bool scaled = hone_kv_form_of(kv)->top > 0.0f;
    for (size_t d = 0, n; d < kv->k_dim; d += n) {
        n = scale_span(kv, kv->k_dim, d);
        uint8_t *at = hone_kv_k_scale_at(kv, page, slot, d / 32);
        float scale = scaled ? hone_kv_scale_put(kv, k + d, n, at) : 1.0f;
        for (size_t i = d; i < d + n; i++)
            hone_kv_put(kv, page, hone_kv_k_index(kv, slot, i), k[i], scale);
    }
    for (size_t d = 0, n; d < kv->v_dim; d += n) {
        n = scale_span(kv, kv->v_dim, d);
        uint8_t *at = hone_kv_v_scale_at(kv, page, slot, d / 32);
        float scale = scaled ? hone_kv_scale_put(kv, v + d, n, at) : 1.0f;
        for (size_t i = d; i < d + n; i++)
            hone_kv_put(kv, page, hone_kv_v_index(kv, slot, i), v[i], scale);
    }
}

/* Score of one key before scaling: the product over the padded head. */
static float score(const hone_attn *t, const void *page, size_t slot, const float *q)
{
    const hone_kv_form *form = hone_kv_form_of(&t->kv);
    size_t pad = hone_kv_k_pad(&t->kv);
    float s = 0.0f;
    for (size_t d = 0; d < pad; d += 32) {
        float e = 0.0f, o = 0.0f;
        for (size_t i = d; i < d + 32; i += 2) {
            e = __builtin_fmaf(q[i], hone_kv_get(&t->kv, page, hone_kv_k_index(&t->kv, slot, i)),
                               e);
            o = __builtin_fmaf(q[i + 1],
                               hone_kv_get(&t->kv, page, hone_kv_k_index(&t->kv, slot, i + 1)), o);
        }
        if (form->grouped)
            s = __builtin_fmaf(
                hone_kv_scale_get(&t->kv, hone_kv_k_scale_at(&t->kv, page, slot, d / 32)), e + o,
                s);
        else
            s += e + o;
    }
    if (form->top > 0.0f && !form->grouped)
        s *= hone_kv_scale_get(&t->kv, hone_kv_k_scale_at(&t->kv, page, slot, 0));
    s *= t->scale;
    if (t->softcap != 0.0f) {
        float lanes[16];
        v16_store(lanes, hone_v16_softcap(v16_set1(s), v16_set1(t->softcap)));
        s = lanes[0];
    }
    return s;
}

/* O = O + (E + O') for each half of 32 keys of the tile; p: probabilities, not yet rounded. */
static void add_values(const hone_attn *t, const void *page, const float *p, float *o)
{
    const hone_kv *kv = &t->kv;
    float x[64];
    for (size_t d = 0; d < kv->v_dim; d++) {
        for (size_t j = 0; d % 32 == 0 && j < 64; j++) { /* 32 dimensions share their scales */
            x[j] = p[j];
            if (hone_kv_form_of(kv)->top > 0.0f)
                x[j] *= hone_kv_scale_get(kv, hone_kv_v_scale_at(kv, page, j, d / 32));
            if (kv->format != HONE_KV_F32)
                x[j] = hone_bf16_to_f32(hone_f32_to_bf16(x[j]));
        }
        for (size_t j = 0; j < 64; j += 32) {
            float even = 0.0f, odd = 0.0f;
            for (size_t i = j; i < j + 32; i += 2) {
                even = __builtin_fmaf(x[i], hone_kv_get(kv, page, hone_kv_v_index(kv, i, d)), even);
                odd = __builtin_fmaf(x[i + 1], hone_kv_get(kv, page, hone_kv_v_index(kv, i + 1, d)),
                                     odd);
            }
            o[d] += even + odd;
        }
    }
}

/* One tile of 64 keys, of which [lo, hi) are visible, into the row's state O, m, l. */
static void attn_tile(const hone_attn *t, const void *page, size_t lo, size_t hi, const float *q,
                      float *state)
{
    size_t v_pad = hone_kv_v_pad(&t->kv);
    float *m = state + v_pad, *l = m + 1, p[64];
    for (size_t j = 0; j < 64; j++)
        p[j] = j >= lo && j < hi ? score(t, page, j, q) : -__builtin_inff();
    v16 top = v16_max(v16_max(v16_load(p), v16_load(p + 16)), v16_load(p + 32));
    float m_new = v16_reduce_max(v16_max(top, v16_load(p + 48)));
    m_new = *m > m_new ? *m : m_new;
    float corr = hone_exp1(*m - m_new);
    v16 sum = v16_zero();
    for (size_t j = 0; j < 64; j += 16) {
        v16 e = hone_v16_exp(v16_sub(v16_load(p + j), v16_set1(m_new)));
        v16_store(p + j, e);
        for (size_t i = j; i < j + 16; i++)
            p[i] = i >= lo && i < hi ? p[i] : 0.0f;
        sum = j ? v16_add(sum, v16_load(p + j)) : v16_load(p + j);
    }
    *l = __builtin_fmaf(*l, corr, v16_reduce_add(sum));
    *m = m_new;
    for (size_t d = 0; d < v_pad; d++)
        state[d] *= corr;
    add_values(t, page, p, state);
}

static void attn_piece(const hone_attn *t, size_t row0, size_t row1, size_t piece, float *partial,
                       void *scratch)
{
    size_t ld = hone_attn_partial_floats(&t->kv), v_pad = hone_kv_v_pad(&t->kv);
    float *q = scratch;
    for (size_t r = row0; r < row1; r++) {
        float *state = partial + (r - row0) * ld;
        memset(state, 0, ld * sizeof(float));
        state[v_pad] = -__builtin_inff();
        hone_attn_load_q(t, r, q);
        int64_t begin, end;
        hone_attn_visible(t, r / t->group, &begin, &end);
        int64_t from = (int64_t)(piece * HONE_ATTN_PIECE), to = from + HONE_ATTN_PIECE;
        for (int64_t tile = from; tile < to; tile += 64) {
            int64_t lo = begin > tile ? begin - tile : 0, hi = end - tile < 64 ? end - tile : 64;
            if (lo < hi)
                attn_tile(t, hone_attn_page(t, (size_t)tile / 64, r), (size_t)lo, (size_t)hi, q,
                          state);
        }
    }
}

static void attn_merge(const hone_attn *t, size_t row0, size_t row1, float *into,
                       const float *partial)
{
    size_t ld = hone_attn_partial_floats(&t->kv), v_pad = hone_kv_v_pad(&t->kv);
    for (size_t r = row0; r < row1; r++, into += ld, partial += ld) {
        if (partial[v_pad + 1] == 0.0f) /* it sees no key of this piece */
            continue;
        if (into[v_pad + 1] == 0.0f) {
            memcpy(into, partial, ld * sizeof(float));
            continue;
        }
        float ma = into[v_pad], mb = partial[v_pad], m = ma > mb ? ma : mb;
        float ca = hone_exp1(ma - m), cb = hone_exp1(mb - m);
        for (size_t d = 0; d < v_pad; d++)
            into[d] = __builtin_fmaf(into[d], ca, partial[d] * cb);
        into[v_pad] = m;
        into[v_pad + 1] = __builtin_fmaf(into[v_pad + 1], ca, partial[v_pad + 1] * cb);
    }
}

static void attn_finish(const hone_attn *t, size_t row0, size_t row1, const float *partial)
{
    size_t ld = hone_attn_partial_floats(&t->kv), v_pad = hone_kv_v_pad(&t->kv);
    for (size_t r = row0; r < row1; r++, partial += ld) {
        float *out = t->out + r / t->group * t->ldo + r % t->group * t->kv.v_dim;
        for (size_t d = 0; d < t->kv.v_dim; d++)
            out[d] = partial[v_pad + 1] == 0.0f ? 0.0f : partial[d] / partial[v_pad + 1];
        hone_attn_put_stats(t, r, partial[v_pad], partial[v_pad + 1]);
    }
}

void hone_kernels_scalar(hone_kernels *t)
{
    t->act_pack = act_pack;
    t->act_part = act_part;
    t->product_few = product;
    t->product_whole = product;
    t->product_many = product;
    memset(t->few_rows, HONE_FEW_ROWS, sizeof t->few_rows);
    t->many_panels = 4;
    t->kv_write = kv_write;
    t->attn_piece = attn_piece;
    t->attn_merge = attn_merge;
    t->attn_finish = attn_finish;
#include "kernel/cpu/generic/slots.inc"
}
