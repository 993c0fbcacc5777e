// links: kernel
/* Kernels of backward: every set gives scalar's bits on odd lengths; packing gives what the packer
 * of files gives; derivatives agree with differences of the formulas in double; a step of AdamW
 * agrees with the paper's in double. */
#include "base/mem.h"
#include "base/rng.h"
#include "dtype/half.h"
#include "kernel/kernel.h"
#include "kernel/layout.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX = 4096 };

static float x[MAX], y[MAX], z[MAX], low[MAX];

static void numbers(uint64_t stream)
{
    double g[2];
    for (size_t i = 0; i < MAX; i++) {
        hone_rng_normal2(7, stream, i, g);
        x[i] = (float)(g[0] * (i % 7 ? 1 : 6));
        y[i] = (float)g[1];
        hone_rng_normal2(8, stream, i, g);
        z[i] = (float)g[0];
        low[i] = -30.0f - fabsf(z[i]);
    }
}

typedef void back_fn(const float *a, const float *b, const float *dy, size_t n, float *da,
                     float *db);

static back_fn *activation(const hone_kernels *kt, int i)
{
    back_fn *const f[] = {kt->silu_back, kt->gelu_back, kt->gelu_tanh_back, kt->relu_back,
                          kt->tanh_back};
    return f[i];
}

/* Everything that a set does with the numbers, one result after the other. */
static size_t apply(const hone_kernels *kt, size_t n, float *out)
{
    unsigned mode = hone_fp_mode_enter();
    float *at = out;
    size_t rows = n / 5 + 1, cols = 5;
    kt->transpose(x, cols, rows, cols, at, rows);
    at += rows * cols;
    kt->transpose(x, n, 19, n, at, 19);
    at += 19 * n;
    for (int i = 0; i < 2; i++, at += 4 * n) {
        kt->rmsnorm_back(x, i ? NULL : y, 1e-5f, 1, n, z, at, at + n);
        kt->layernorm_back(x, i ? NULL : y, 1e-5f, 1, n, z, at + 2 * n, at + 3 * n);
    }
    for (int i = 0; i < 5; i++, at += 3 * n) {
        activation(kt, i)(x, y, z, n, at, at + n);
        activation(kt, i)(x, NULL, z, n, at + 2 * n, NULL);
    }
    for (int i = 0; i < 2; i++, at += 2 * n) /* shifts far enough below 0 */
        kt->softmax_back(x, y, low, z, x, 0.7f, i ? 30.0f : 0.0f, n, at, at + n);
    memcpy(at, z, n * sizeof *z);
    kt->softcap_back(x, 30.0f, n, at);
    at += n;
    *at++ = kt->dot(x, y, n);
    memcpy(at, x, n * sizeof *x);
    memcpy(at + n, y, n * sizeof *y);
    for (size_t i = 0; i < n; i++)
        at[2 * n + i] = fabsf(z[i]);
    const hone_adamw o = {0.5f, 0.9f, 0.95f, 0.999f, 0.01f, 4.4f, 1e-8f};
    kt->adamw(&o, z, n, at, at + n, at + 2 * n);
    at += 3 * n;
    hone_fp_mode_leave(mode);
    return (size_t)(at - out);
}

static void every_set_gives_the_scalar_bits(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 5, 15, 16, 17, 31, 33, 64, 100, 129};
    float *want = hone_malloc(64 * MAX * sizeof *want), *got = hone_malloc(64 * MAX * sizeof *got);
    numbers(1);
    for (int isa = HONE_ISA_SCALAR + 1; isa < HONE_ISA_COUNT; isa++) {
        if (!hone_isa_supported((hone_isa)isa))
            continue;
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
            size_t n = apply(hone_kernels_get(HONE_ISA_SCALAR), lengths[l], want);
            assert_int_equal(apply(hone_kernels_get((hone_isa)isa), lengths[l], got), n);
            for (size_t i = 0; i < n; i++)
                if (hone_f32_bits(want[i]) != hone_f32_bits(got[i]))
                    fail_msg("%s, %zu numbers: result %zu is %a, scalar %a",
                             hone_isa_name((hone_isa)isa), lengths[l], i, (double)got[i],
                             (double)want[i]);
        }
    }
    hone_free(want);
    hone_free(got);
}

/* ---- attention ------------------------------------------------------------------------------ */

/* Two query heads of one group over a sequence: dq of both, dk and dv */
typedef struct heads {
    size_t n, dim, window;
    float scale, cap;
    bool f32;
    float *q, *d_out, *dq;     /* [n][2 * dim + 3] */
    float *k, *v, *dk, *dv;    /* [n][dim + 5] */
    float *shift, *inv, *mean; /* [2][n] */
} heads;

static double rounded(const heads *h, float value)
{
    return (double)(h->f32 ? value : hone_bf16_to_f32(hone_f32_to_bf16(value)));
}

static double inner(const heads *h, const float *a, const float *b)
{
    double sum = 0;
    for (size_t d = 0; d < h->dim; d++)
        sum += rounded(h, a[d]) * rounded(h, b[d]);
    return sum;
}

static size_t wide(const heads *h)
{
    return 2 * h->dim + 3;
}

static size_t narrow(const heads *h)
{
    return h->dim + 5;
}

static bool sees(const heads *h, size_t i, size_t j)
{
    return j <= i && (!h->window || i < j + h->window);
}

/* z of a query of a head and a key */
static double score(const heads *h, size_t head, size_t i, size_t j)
{
    const double s =
        (double)h->scale * inner(h, h->q + i * wide(h) + head * h->dim, h->k + j * narrow(h));
    return h->cap != 0 ? (double)h->cap * tanh(s / (double)h->cap) : s;
}

/* What the forward leaves */
static void stats(heads *h)
{
    for (size_t i = 0; i < 2 * h->n; i++) {
        const size_t head = i / h->n, row = i % h->n;
        double top = -INFINITY, sum = 0, mean = 0;
        for (size_t j = 0; j <= row; j++)
            if (sees(h, row, j))
                top = fmax(top, score(h, head, row, j));
        for (size_t j = 0; j <= row; j++)
            if (sees(h, row, j)) {
                const double e = exp(score(h, head, row, j) - top);
                sum += e;
                mean +=
                    e * inner(h, h->d_out + row * wide(h) + head * h->dim, h->v + j * narrow(h));
            }
        h->shift[i] = (float)-top;
        h->inv[i] = (float)(1 / sum);
        h->mean[i] = (float)(mean / sum);
    }
}

static void attend_back(const hone_kernels *kt, const heads *h)
{
    unsigned mode = hone_fp_mode_enter();
    for (size_t g = 0; g < 2; g++) {
        const hone_attn_back t = {.n = h->n,
                                  .dim = h->dim,
                                  .q = h->q + g * h->dim,
                                  .d_out = h->d_out + g * h->dim,
                                  .k = h->k,
                                  .v = h->v,
                                  .ldq = wide(h),
                                  .ldk = narrow(h),
                                  .shift = h->shift + g * h->n,
                                  .inv = h->inv + g * h->n,
                                  .mean = h->mean + g * h->n,
                                  .scale = h->scale,
                                  .softcap = h->cap,
                                  .window = h->window,
                                  .dq = h->dq + g * h->dim,
                                  .dk = h->dk,
                                  .dv = h->dv,
                                  .more = g > 0,
                                  .f32 = h->f32};
        size_t bytes = kt->attn_back_bytes(kt, &t);
        void *scratch = hone_alloc_big(bytes);
        memset(scratch, 0xff, bytes);
        kt->attn_back(kt, &t, scratch);
        hone_free_big(scratch, bytes);
    }
    hone_fp_mode_leave(mode);
}

/* The largest distance of what is there from the equations in double, in parts of their largest
 * number */
static double distance(const heads *h)
{
    const size_t w = wide(h), m = narrow(h), d = h->dim;
    double *dq = hone_calloc(h->n * w, sizeof *dq), *dk = hone_calloc(h->n * m, sizeof *dk),
           *dv = hone_calloc(h->n * m, sizeof *dv), most[3] = {0}, off[3] = {0};
    for (size_t at = 0; at < 2 * h->n * h->n; at++) {
        const size_t g = at / h->n / h->n, i = at / h->n % h->n, j = at % h->n;
        if (!sees(h, i, j))
            continue;
        const double z = score(h, g, i, j), cap = (double)h->cap,
                     p = exp(z + (double)h->shift[g * h->n + i]) * (double)h->inv[g * h->n + i],
                     dp = inner(h, h->d_out + i * w + g * d, h->v + j * m);
        double ds = p * (dp - (double)h->mean[g * h->n + i]) * (double)h->scale;
        ds *= h->cap != 0 ? 1 - z / cap * (z / cap) : 1;
        for (size_t c = 0; c < d; c++) {
            dv[j * m + c] += p * rounded(h, h->d_out[i * w + g * d + c]);
            dk[j * m + c] += ds * rounded(h, h->q[i * w + g * d + c]);
            dq[i * w + g * d + c] += ds * rounded(h, h->k[j * m + c]);
        }
    }
    const float *got[] = {h->dq, h->dk, h->dv};
    const double *want[] = {dq, dk, dv};
    double worst = 0;
    for (size_t i = 0; i < 3; i++) {
        const size_t ld = i ? m : w, used = i ? d : 2 * d;
        for (size_t at = 0; at < h->n * ld; at++)
            if (at % ld < used) {
                most[i] = fmax(most[i], fabs(want[i][at]));
                off[i] = fmax(off[i], fabs((double)got[i][at] - want[i][at]));
            }
        worst = fmax(worst, off[i] / (most[i] + 0.1)); /* all 0 where a query sees one key */
    }
    hone_free(dq);
    hone_free(dk);
    hone_free(dv);
    return worst;
}

static void attention_of(const heads *like, uint64_t stream)
{
    heads h = *like;
    const size_t w = h.n * wide(&h), m = h.n * narrow(&h);
    float **all[] = {&h.q, &h.d_out, &h.dq, &h.k, &h.v, &h.dk, &h.dv, &h.shift, &h.inv, &h.mean};
    const size_t floats[] = {w, w, w, m, m, m, m, 2 * h.n, 2 * h.n, 2 * h.n};
    float *scalar[3];
    for (size_t i = 0; i < 10; i++) {
        *all[i] = hone_alloc_big(floats[i] * sizeof(float));
        for (size_t j = 0; j < floats[i]; j++) {
            double g[2];
            hone_rng_normal2(9 + i, stream, j, g);
            (*all[i])[j] = (float)g[0];
        }
    }
    for (size_t i = 0; i < 3; i++)
        scalar[i] = hone_alloc_big((i ? m : w) * sizeof(float));
    stats(&h);
    for (int isa = 0; isa < HONE_ISA_COUNT; isa++) {
        if (!hone_isa_supported((hone_isa)isa))
            continue;
        float *const got[] = {h.dq, h.dk, h.dv};
        attend_back(hone_kernels_get((hone_isa)isa), &h);
        if (!isa)
            assert_true(distance(&h) < (h.f32 ? 1e-5 : 1e-2));
        for (size_t i = 0; i < 3; i++) {
            if (!isa)
                memcpy(scalar[i], got[i], (i ? m : w) * sizeof(float));
            for (size_t j = 0; j < (i ? m : w); j++)
                if (hone_f32_bits(got[i][j]) != hone_f32_bits(scalar[i][j]))
                    fail_msg("%s: n %zu dim %zu window %zu %s[%zu] is %g, scalar %g",
                             hone_isa_name((hone_isa)isa), h.n, h.dim, h.window,
                             (const char *[]){"dq", "dk", "dv"}[i], j, (double)got[i][j],
                             (double)scalar[i][j]);
        }
    }
    for (size_t i = 0; i < 10; i++)
        hone_free_big(*all[i], floats[i] * sizeof(float));
    for (size_t i = 0; i < 3; i++)
        hone_free_big(scalar[i], (i ? m : w) * sizeof(float));
}

static void attention_has_its_derivatives(void **state)
{
    (void)state;
    static const struct {
        size_t n, dim, window;
    } sizes[] = {{1, 1, 0},    {2, 16, 1},   {31, 33, 0},   {64, 64, 0},    {65, 48, 7}, {97, 8, 0},
                 {130, 64, 0}, {200, 24, 3}, {161, 40, 70}, {333, 16, 128}, {70, 80, 64}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int f32 = 0; f32 < 2; f32++)
            for (int cap = 0; cap < 2; cap++)
                attention_of(&(heads){.n = sizes[i].n,
                                      .dim = sizes[i].dim,
                                      .window = sizes[i].window,
                                      .scale = 0.3f,
                                      .cap = cap ? 2.0f : 0.0f,
                                      .f32 = f32},
                             i);
}

/* ---- packing -------------------------------------------------------------------------------- */

static void packs_as_the_packer_of_files_does(void **state)
{
    (void)state;
    static const size_t sizes[][2] = {{1, 1}, {16, 32}, {17, 33}, {40, 50}, {5, 64}, {48, 31}};
    const hone_coding coding = hone_dtype_coding(HONE_DTYPE_F32);
    numbers(2);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int layout = HONE_LAYOUT_F32; layout <= HONE_LAYOUT_BF16; layout++)
            for (int isa = 0; isa < HONE_ISA_COUNT; isa++) {
                if (!hone_isa_supported((hone_isa)isa))
                    continue;
                const hone_kernels *kt = hone_kernels_get((hone_isa)isa);
                size_t n = sizes[s][0], k = sizes[s][1];
                hone_packed w;
                hone_rows rows;
                static float turned[MAX];
                assert_int_equal(hone_packed_plan((hone_layout)layout, &coding, n, k, &w), HONE_OK);
                size_t bytes = hone_packed_bytes(&w);
                uint8_t *want = hone_alloc_big(bytes), *got = hone_alloc_big(bytes);
                assert_true(hone_rows_init(&rows, HONE_DTYPE_F32, x, k));
                assert_true(hone_pack_panels(&w, &rows, 0, w.n_panels, want));
                memset(got, 0xff, bytes);
                kt->pack_rows(&w, x, k, 0, w.n_panels, got);
                assert_memory_equal(want, got, bytes);
                kt->transpose(x, k, n, k, turned, n);
                memset(got, 0xff, bytes);
                kt->pack_columns(&w, turned, n, 0, w.n_panels, got);
                assert_memory_equal(want, got, bytes);
                hone_free_big(want, bytes);
                hone_free_big(got, bytes);
            }
}

/* y[rows][n] = x W^T, the activation of x[rows][k] made in one of its ways. */
static void product_of(const hone_kernels *kt, const hone_packed *w, size_t rows, int flags,
                       bool columns, float *to)
{
    const size_t k = w->k, bytes = hone_act_bytes(kt, rows, k, flags),
                 middle = k / 2 / 32 * 32; /* in two calls */
    static float turned[MAX];
    void *memory = hone_alloc_big(bytes), *scratch = hone_alloc_big(hone_product_scratch_bytes());
    hone_act act;
    memset(memory, 0xff, bytes); /* what is not written is no number */
    hone_act_init(kt, rows, k, flags, memory, &act);
    if (columns) {
        kt->transpose(x, k, rows, k, turned, rows);
        if (middle)
            kt->act_columns(&act, turned, rows, 0, middle);
        kt->act_columns(&act, turned, rows, middle, k);
    } else {
        kt->act_pack(&act, x, k, 0, rows);
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < k; i++) {
            float want = flags & HONE_ACT_F32 ? x[r * k + i]
                                              : hone_bf16_to_f32(hone_f32_to_bf16(x[r * k + i]));
            assert_true(hone_f32_bits(hone_act_at(&act, r, i)) == hone_f32_bits(want));
        }
    hone_product(kt, w, &act, 0, rows, 0, w->n_panels, to, w->n, NULL, scratch);
    hone_free_big(memory, bytes);
    hone_free_big(scratch, hone_product_scratch_bytes());
}

static void activations_from_columns_and_in_tiles_alone_are_those_from_rows(void **state)
{
    (void)state;
    static const size_t sizes[][2] = {{1, 1},  {16, 32}, {17, 33}, {33, 100},
                                      {5, 64}, {63, 31}, {64, 31}, {75, 40}};
    const hone_coding coding = hone_dtype_coding(HONE_DTYPE_F32);
    static float want[MAX], got[MAX];
    const size_t n = 40;
    numbers(3);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int layout = HONE_LAYOUT_F32; layout <= HONE_LAYOUT_BF16; layout++)
            for (int way = 0; way < 2 * HONE_ISA_COUNT; way++) {
                const hone_isa isa = (hone_isa)(way / 2);
                const size_t rows = sizes[s][0], k = sizes[s][1];
                const bool f32 = layout == HONE_LAYOUT_F32;
                hone_packed w;
                if (!hone_isa_supported(isa))
                    continue;
                const hone_kernels *scalar = hone_kernels_get(HONE_ISA_SCALAR),
                                   *kt = hone_kernels_get(isa);
                assert_int_equal(hone_packed_plan((hone_layout)layout, &coding, n, k, &w), HONE_OK);
                uint8_t *packed = hone_alloc_big(hone_packed_bytes(&w));
                kt->pack_rows(&w, y, k, 0, w.n_panels, packed);
                w.data = packed;
                unsigned mode = hone_fp_mode_enter();
                product_of(scalar, &w, rows, f32 ? HONE_ACT_F32 : 0, false, want);
                product_of(kt, &w, rows, f32 ? HONE_ACT_F32 : 0, way & 1, got);
                hone_fp_mode_leave(mode);
                assert_memory_equal(want, got, rows * n * sizeof *got);
                hone_free_big(packed, hone_packed_bytes(&w));
            }
}

/* Memory for the most rows of a step serves steps of fewer. */
static void activations_of_fewer_rows_need_no_more_memory(void **state)
{
    (void)state;
    for (int i = 0; i < HONE_PRODUCTS_COUNT * HONE_ISA_COUNT; i++) {
        const hone_isa isa = (hone_isa)(i % HONE_ISA_COUNT);
        if (!hone_isa_supported(isa))
            continue;
        const hone_kernels *kt = hone_kernels_with(isa, (hone_products)(i / HONE_ISA_COUNT));
        for (int flags = 0; flags < 16; flags++)
            for (size_t rows = 1; rows < 200; rows++) {
                hone_act a;
                size_t bytes = hone_act_bytes(kt, rows, 100, flags);
                assert_true(bytes <= hone_act_bytes(kt, rows + 1, 100, flags));
                for (int fewer = flags & ~HONE_ACT_F32; fewer <= flags; fewer += HONE_ACT_F32)
                    assert_true(hone_act_init(kt, rows, 100, fewer, NULL, &a) <= bytes);
            }
    }
}

/* ---- derivatives ---------------------------------------------------------------------------- */

static double act(int i, double v)
{
    switch (i) {
    case 0:
        return v / (1 + exp(-v));
    case 1:
        return v * (1 + erf(v / sqrt(2))) / 2;
    case 2:
        return v * (1 + tanh(sqrt(2 / M_PI) * (v + 0.044715 * v * v * v))) / 2;
    case 3:
        return v > 0 ? v : 0;
    default:
        return tanh(v);
    }
}

static void activations_have_their_derivatives(void **state)
{
    (void)state;
    enum { N = 500 };
    float da[N], db[N];
    const double e = 1e-6;
    numbers(3);
    for (int i = 0; i < 5; i++) {
        activation(hone_kernels_get(hone_isa_best()), i)(x, y, z, N, da, db);
        for (size_t j = 0; j < N; j++) {
            double v = (double)x[j], slope = (act(i, v + e) - act(i, v - e)) / (2 * e);
            double wa = slope * (double)y[j] * (double)z[j], wb = act(i, v) * (double)z[j];
            assert_true(fabs(wa - (double)da[j]) < 2e-6 * (1 + fabs(wa)));
            assert_true(fabs(wb - (double)db[j]) < 2e-6 * (1 + fabs(wb)));
        }
    }
}

/* sum over i of z[i] * norm(v)[i], v being x with its element `at` moved by e */
static double norm_sum(bool layer, size_t n, size_t at, double e)
{
    double mean = 0, square = 0, sum = 0;
    for (size_t i = 0; i < n && layer; i++)
        mean += ((double)x[i] + (i == at ? e : 0)) / (double)n;
    for (size_t i = 0; i < n; i++) {
        double d = (double)x[i] + (i == at ? e : 0) - mean;
        square += d * d / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        double d = (double)x[i] + (i == at ? e : 0) - mean;
        sum += (double)z[i] * (double)y[i] * d / sqrt(square + 1e-5);
    }
    return sum;
}

static void norms_have_their_derivatives(void **state)
{
    (void)state;
    enum { N = 75 };
    float dx[N] = {0}, dw[N] = {0};
    const hone_kernels *kt = hone_kernels_get(hone_isa_best());
    numbers(4);
    for (int layer = 0; layer < 2; layer++) {
        (layer ? kt->layernorm_back : kt->rmsnorm_back)(x, y, 1e-5f, 1, N, z, dx, dw);
        double weighted = 0;
        for (size_t i = 0; i < N; i++) {
            double slope = (norm_sum(layer, N, i, 1e-5) - norm_sum(layer, N, i, -1e-5)) / 2e-5;
            assert_true(fabs(slope - (double)dx[i]) < 1e-5);
            weighted += (double)dw[i] * (double)y[i];
        }
        assert_true(fabs(weighted - norm_sum(layer, N, N, 0)) < 1e-4);
    }
}

static void adamw_makes_the_step_of_the_paper(void **state)
{
    (void)state;
    const double lr = 0.01, b1 = 0.9, b2 = 0.95, eps = 1e-8, decay = 0.1;
    const int t = 3;
    const hone_adamw o = {1.0f,
                          (float)b1,
                          (float)b2,
                          (float)(1 - lr * decay),
                          (float)(lr / (1 - pow(b1, t))),
                          (float)(1 / sqrt(1 - pow(b2, t))),
                          (float)eps};
    float p[33], m[33], v[33];
    numbers(5);
    for (size_t i = 0; i < 33; i++) {
        p[i] = x[i];
        m[i] = y[i];
        v[i] = y[i] * y[i];
    }
    hone_kernels_get(hone_isa_best())->adamw(&o, z, 33, p, m, v);
    for (size_t i = 0; i < 33; i++) {
        double g = (double)z[i], mean = b1 * (double)y[i] + (1 - b1) * g,
               square = b2 * (double)y[i] * (double)y[i] + (1 - b2) * g * g;
        double want = (double)x[i] * (1 - lr * decay) -
                      lr * (mean / (1 - pow(b1, t))) / (sqrt(square / (1 - pow(b2, t))) + eps);
        assert_true(fabs((double)p[i] - want) < 1e-6 * (1 + fabs(want)));
        assert_true(fabs((double)m[i] - mean) < 1e-6 && fabs((double)v[i] - square) < 1e-6);
    }
}

/* Columns of x[n][k], stored as `type`, turned to what dy W reads: what the packer makes of the
 * numbers that they stand for. */
static void turn(const hone_kernels *kt, hone_dtype type, size_t n, size_t k, hone_layout layout)
{
    static uint8_t file[4 * MAX];
    static float stored[MAX];
    const hone_coding coding = hone_dtype_coding(type), plain = hone_dtype_coding(HONE_DTYPE_F32);
    hone_packed w, turned;
    hone_rows rows;
    assert_true(n * k <= MAX && hone_dtype_encode(type, x, n * k, file));
    assert_int_equal(
        hone_packed_plan(hone_layout_for(&coding, type == HONE_DTYPE_F32), &coding, n, k, &w),
        HONE_OK);
    uint8_t *packed = hone_alloc_big(hone_packed_bytes(&w));
    assert_true(hone_rows_init(&rows, type, file, k));
    assert_true(hone_pack_panels(&w, &rows, 0, w.n_panels, packed));
    w.data = packed;
    hone_unpack_block(&w, 0, n, 0, k, stored, k);
    for (size_t k0 = 0; k0 < k; k0 += HONE_TURNED) {
        const size_t columns = k - k0 < HONE_TURNED ? k - k0 : HONE_TURNED;
        assert_int_equal(hone_packed_plan(layout, &plain, columns, n, &turned), HONE_OK);
        const size_t bytes = hone_packed_bytes(&turned);
        uint8_t *want = hone_alloc_big(bytes), *got = hone_alloc_big(bytes);
        memset(got, 0xff, bytes);
        kt->pack_columns(&turned, stored + k0, k, 0, turned.n_panels, want);
        hone_pack_turned(kt, &w, k0, &turned, got);
        assert_memory_equal(want, got, bytes);
        hone_free_big(want, bytes);
        hone_free_big(got, bytes);
    }
    hone_free_big(packed, hone_packed_bytes(&w));
}

static void turned_weights_are_those_of_the_packer(void **state)
{
    (void)state;
    static const struct {
        hone_dtype type;
        size_t n, k;
    } cases[] = {{HONE_DTYPE_BF16, 32, 16}, {HONE_DTYPE_BF16, 85, 48},  {HONE_DTYPE_F32, 21, 144},
                 {HONE_DTYPE_Q8_0, 40, 96}, {HONE_DTYPE_Q4_1, 25, 160}, {HONE_DTYPE_Q6_K, 16, 256},
                 {HONE_DTYPE_Q4_K, 7, 512}, {HONE_DTYPE_Q3_K, 16, 256}, {HONE_DTYPE_IQ4_NL, 3, 64},
                 {HONE_DTYPE_NF4, 9, 256}};
    numbers(3);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int isa = 0; isa < HONE_ISA_COUNT; isa++)
            for (int layout = HONE_LAYOUT_F32; layout <= HONE_LAYOUT_BF16; layout++)
                if (hone_isa_supported((hone_isa)isa))
                    turn(hone_kernels_get((hone_isa)isa), cases[i].type, cases[i].n, cases[i].k,
                         (hone_layout)layout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turned_weights_are_those_of_the_packer),
        cmocka_unit_test(every_set_gives_the_scalar_bits),
        cmocka_unit_test(attention_has_its_derivatives),
        cmocka_unit_test(packs_as_the_packer_of_files_does),
        cmocka_unit_test(activations_from_columns_and_in_tiles_alone_are_those_from_rows),
        cmocka_unit_test(activations_of_fewer_rows_need_no_more_memory),
        cmocka_unit_test(activations_have_their_derivatives),
        cmocka_unit_test(norms_have_their_derivatives),
        cmocka_unit_test(adamw_makes_the_step_of_the_paper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
