/* bf16 - products by VDPBF16PS: two bfloat16 products of each column added to its float32 sum, the
 * odd k first, each addition rounded (docs/numerics.md, "Techniques"). */
#include "kernel/cpu/avx512/vec.h"

#include "kernel/table.h"

#define CORE_SUMS 16

#include "kernel/cpu/generic/core.h"

/* Tiles of up to DOT_TALL rows, with scales DOT_ROWS: their sums stay in registers. Of weights
 * without scales DOT_K numbers of two panels stay in L1 for DOT_MANY rows, whose sums with DOT_WIDE
 * panels and activations stay in L2. */
enum { DOT_ROWS = 6, DOT_TALL = 14, DOT_PANELS = 2, DOT_MANY = 256, DOT_WIDE = 8, DOT_K = 512 };

/* Weights as bfloat16 pairs [k/2][16][2] (stored so, or spread from codes), scales as floats */
typedef struct dot_job {
    const uint16_t *a; /* activations in bfloat16, row r at a + r * lda */
    size_t lda;
    const uint8_t *b[DOT_PANELS];
    size_t k, group; /* elements of K, and per scale (k: none) */
    const float *scale[DOT_PANELS], *min[DOT_PANELS];
    const float *sums; /* of activations per block, row r at sums + r * ld_sums */
    size_t ld_sums, block;
    float *c[DOT_PANELS];
    size_t ldc, columns[DOT_PANELS];
    const float *bias[DOT_PANELS];
    bool more; /* the sums begin with what stands in c (without scales) */
} dot_job;

/* In place, see v16_fma_to */
V16_INLINE void dot_pair(v16 *c, __m512i w, __m512i a)
{
    __asm__ volatile("vdpbf16ps %2, %1, %0" : "+v"(*c) : "v"(a), "v"(w));
}

V16_INLINE void dot_core(int R, bool scaled, const dot_job *j)
{
    v16 c[DOT_PANELS][DOT_TALL], d[DOT_PANELS][DOT_TALL];
    UNROLL for (int p = 0; p < DOT_PANELS; p++) UNROLL for (int r = 0; r < R; r++) c[p][r] =
        v16_zero();
    for (size_t k = 0, g = 0; k < j->k; g++) {
        size_t from = k, end = k + j->group < j->k ? k + j->group : j->k;
        UNROLL for (int p = 0; p < DOT_PANELS; p++) UNROLL for (int r = 0; r < R; r++) d[p][r] =
            !scaled && j->more ? v16_load_n(j->c[p] + (size_t)r * j->ldc, j->columns[p])
                               : v16_zero();
        for (; k < end; k += 2) {
            __m512i w0 = _mm512_loadu_si512((const void *)(j->b[0] + k * 32));
            __m512i w1 = _mm512_loadu_si512((const void *)(j->b[1] + k * 32));
            UNROLL for (int r = 0; r < R; r++)
            {
                int32_t x;
                memcpy(&x, j->a + (size_t)r * j->lda + k, 4);
                __m512i a = _mm512_set1_epi32(x);
                dot_pair(&d[0][r], w0, a);
                dot_pair(&d[1][r], w1, a);
            }
        }
        UNROLL for (int p = 0; p < DOT_PANELS; p++)
        {
            v16 s = scaled ? v16_load(j->scale[p] + g * 16) : v16_zero();
            UNROLL for (int r = 0; r < R; r++) c[p][r] =
                scaled ? v16_fma(s, d[p][r], c[p][r]) : d[p][r];
        }
        if (!scaled || !j->min[0])
            continue;
        UNROLL for (int r = 0; r < R; r++)
        {
            float ones = 0.0f;
            for (size_t b = from / j->block; b < end / j->block; b++)
                ones += j->sums[(size_t)r * j->ld_sums + b];
            UNROLL for (int p = 0; p < DOT_PANELS; p++) c[p][r] =
                v16_fma(v16_load(j->min[p] + g * 16), v16_set1(ones), c[p][r]);
        }
    }
    UNROLL for (int p = 0; p < DOT_PANELS; p++)
    {
        if (!j->columns[p])
            continue;
        UNROLL for (int r = 0; r < R; r++)
        {
            v16 y = c[p][r];
            if (j->bias[p])
                y = v16_add(y, v16_load_n(j->bias[p], j->columns[p]));
            v16_store_n(j->c[p] + (size_t)r * j->ldc, y, j->columns[p]);
        }
    }
}

typedef void dot_fn(const dot_job *j);
#define DOT_FN(R)                                                                                  \
    static __attribute__((noinline)) void dot_##R(const dot_job *j)                                \
    {                                                                                              \
        dot_core(R, false, j);                                                                     \
    }
#define DOT_SCALED_FN(R)                                                                           \
    static __attribute__((noinline)) void dot_scaled_##R(const dot_job *j)                         \
    {                                                                                              \
        dot_core(R, true, j);                                                                      \
    }
#define DOT_1_TO_6(M)  M(1) M(2) M(3) M(4) M(5) M(6)
#define DOT_7_TO_14(M) M(7) M(8) M(9) M(10) M(11) M(12) M(13) M(14)
#define DOT_NAME(R)    dot_##R,
#define DOT_SCALED(R)  dot_scaled_##R,
DOT_1_TO_6(DOT_FN)
DOT_7_TO_14(DOT_FN)
DOT_1_TO_6(DOT_SCALED_FN)

/* clang-format off: it takes the macros above for the beginning of this */
static dot_fn *const dots[2][DOT_TALL] = {/* without scales, with them up to DOT_ROWS */
                                          {DOT_1_TO_6(DOT_NAME) DOT_7_TO_14(DOT_NAME)},
                                          {DOT_1_TO_6(DOT_SCALED)}};
/* clang-format on */

V16_INLINE __m512i dot_words(v16 even, v16 odd)
{
    __m512i e = _mm512_srli_epi32(_mm512_castps_si512(even), 16);
    return _mm512_or_si512(
        e, _mm512_castps_si512(odd)); /* the values are exact: odd's low half is 0 */
}

V16_INLINE void dot_spread_layout(int layout, const hone_packed *w, const uint8_t *codes,
                                  uint8_t *to)
{
    v16_table t = core_table(layout, w->table, w->low);
    for (size_t unit = 0; unit < w->k_pad / 8; unit += 2)
        UNROLL for (int u = 0; u < 2; u++) UNROLL for (int i = 0; i < 4; i++, to += 64)
        {
            v16 even, odd;
            core_pair(layout, codes, unit + (size_t)u, u, i, t, &even, &odd);
            _mm512_storeu_si512((void *)to, dot_words(even, odd));
        }
}

#define DOT_SPREAD(L, layout)                                                                      \
    static __attribute__((noinline)) void dot_spread_##L(const hone_packed *w,                     \
                                                         const uint8_t *codes, uint8_t *to)        \
    {                                                                                              \
        dot_spread_layout(layout, w, codes, to);                                                   \
    }
DOT_SPREAD(i8, CORE_I8)
DOT_SPREAD(u4, CORE_U4)
DOT_SPREAD(u2, CORE_U2)
DOT_SPREAD(u3, CORE_U3)
DOT_SPREAD(u5, CORE_U5)
DOT_SPREAD(u6, CORE_U6)

typedef void dot_spread_fn(const hone_packed *w, const uint8_t *codes, uint8_t *to);
static dot_spread_fn *const dot_spreads[HONE_LAYOUT_COUNT] = {
    [HONE_LAYOUT_I8] = dot_spread_i8, [HONE_LAYOUT_U4] = dot_spread_u4,
    [HONE_LAYOUT_U2] = dot_spread_u2, [HONE_LAYOUT_U3] = dot_spread_u3,
    [HONE_LAYOUT_U5] = dot_spread_u5, [HONE_LAYOUT_U6] = dot_spread_u6};

/* Scratch of a call: [DOT_PANELS] codes as pairs, scales, mins */
typedef struct dot_scratch {
    uint8_t *bytes[DOT_PANELS];
    float *scales[DOT_PANELS], *mins[DOT_PANELS];
    uint8_t *end;
} dot_scratch;

static dot_scratch dot_cut(const hone_packed *w, uint8_t *at)
{
    dot_scratch x;
    size_t groups = w->scale_bytes ? (w->k_pad + w->group - 1) / w->group : 0;
    for (int p = 0; p < DOT_PANELS; p++) {
        x.bytes[p] = at;
        at += w->scale_bytes ? w->k_pad * 32 : 0;
        x.scales[p] = (float *)(void *)at;
        x.mins[p] = (float *)(void *)(at + groups * 64);
        at += groups * 128;
    }
    x.end = at;
    return x;
}

static void dot_panel(dot_job *j, int s, const hone_packed *w, size_t p, size_t panel_end, float *y,
                      const float *bias, const dot_scratch *x)
{
    size_t real = p < panel_end ? p : panel_end - 1, left = w->n - real * 16;
    const uint8_t *panel = w->data + real * w->panel_bytes;
    j->b[s] = panel;
    j->c[s] = y + real * 16;
    j->bias[s] = bias ? bias + real * 16 : NULL;
    j->columns[s] = p >= panel_end ? 0 : left < 16 ? left : 16;
    if (!w->scale_bytes)
        return;
    core_job k = {.scale_bytes = w->scale_bytes,
                  .super_shift =
                      w->scale_bytes == 1 ? (unsigned)__builtin_ctzll(256 / w->group) : 0};
    dot_spreads[w->layout](w, panel, x->bytes[s]);
    for (size_t g = 0; g * w->group < w->k_pad; g++) {
        v16_store(x->scales[s] + g * 16,
                  core_scales(&k, panel + w->scale_offset, panel + w->super_offset, g));
        if (w->has_min)
            v16_store(x->mins[s] + g * 16,
                      core_scales(&k, panel + w->min_offset, panel + w->min_super_offset, g));
    }
    j->b[s] = x->bytes[s];
    j->scale[s] = x->scales[s];
    j->min[s] = w->has_min ? x->mins[s] : NULL;
}

/* The upper halves of 16 + 16 rounded numbers, side by side. */
V16_INLINE __m512i dot_halves(v16 low, v16 high)
{
    const __m512i odd =
        _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27,
                         25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    return _mm512_permutex2var_epi16(_mm512_castps_si512(v16_round_bf16(low)), odd,
                                     _mm512_castps_si512(v16_round_bf16(high)));
}

static void act_dot(hone_act *act, const float *x, size_t ldx, size_t row0, size_t row1)
{
    for (size_t r = row0; r < row1; r++) {
        const float *from = x + r * ldx;
        uint16_t *to = act->half + r * act->ld;
        size_t i = 0;
        for (; i + 32 <= act->k; i += 32)
            _mm512_storeu_si512((void *)(to + i),
                                dot_halves(v16_load(from + i), v16_load(from + i + 16)));
        if (i < act->k) { /* k_pad is a multiple of 32 */
            size_t n = act->k - i;
            v16 high = n > 16 ? v16_load_n(from + i + 16, n - 16) : v16_zero();
            _mm512_storeu_si512((void *)(to + i), dot_halves(v16_load_n(from + i, n), high));
        }
    }
}

/* Tiles of all rows past one piece of K of two panels, at j->a and j->c */
static void dot_rows(dot_job j, size_t rows)
{
    for (size_t groups = (rows + DOT_TALL - 1) / DOT_TALL, n; groups > 0; groups--, rows -= n) {
        n = rows / groups; /* as even as can be */
        dots[0][n - 1](&j);
        j.a += n * j.lda;
        for (int s = 0; s < DOT_PANELS; s++)
            j.c[s] += n * j.ldc;
    }
}

/* Many rows and weights without scales: in pieces of K. */
static void dot_many(const hone_packed *w, const hone_act *a, size_t row0, size_t row1,
                     size_t panel0, size_t panel1, float *y, size_t ldy, const float *bias,
                     float *sums)
{
    const dot_scratch none = {0};
    const bool once = w->k_pad <= DOT_K; /* straight to y */
    for (size_t first = row0, n; first < row1; first += n) {
        n = row1 - first < DOT_MANY ? row1 - first : DOT_MANY;
        for (size_t wide = panel0, end; wide < panel1; wide = end) {
            end = panel1 - wide < DOT_WIDE ? panel1 : wide + DOT_WIDE;
            for (size_t k0 = 0, k; k0 < w->k_pad; k0 += k) {
                k = w->k_pad - k0 < DOT_K ? w->k_pad - k0 : DOT_K;
                dot_job j = {.lda = a->ld, .k = k, .group = k, .more = k0 > 0};
                j.ldc = once ? ldy : 16;
                for (size_t p = wide; p < end; p += DOT_PANELS) {
                    for (int s = 0; s < DOT_PANELS; s++) {
                        dot_panel(&j, s, w, p + (size_t)s, end, y + first * ldy, bias, &none);
                        j.b[s] += k0 * 32;
                        if (once)
                            continue;
                        j.c[s] = sums + (p - wide + (size_t)s) * DOT_MANY * 16;
                        j.columns[s] = j.columns[s] ? 16 : 0;
                        j.bias[s] = NULL;
                    }
                    j.a = a->half + first * a->ld + k0;
                    dot_rows(j, n);
                }
            }
            if (!once)
                core_write(w, n, wide, end, sums, DOT_MANY, y + first * ldy, ldy, bias);
        }
    }
}

/* The slot below, for sums too long for the scratch */
static hone_product_dot_fn *dot_below;

static void product_dot(const hone_packed *w, const hone_act *a, size_t row0, size_t row1,
                        size_t panel0, size_t panel1, float *y, size_t ldy, const float *bias,
                        void *scratch)
{
    dot_scratch x = dot_cut(w, scratch);
    if (!w->scale_bytes && row1 - row0 > DOT_ROWS) {
        dot_many(w, a, row0, row1, panel0, panel1, y, ldy, bias, scratch);
        return;
    }
    if ((size_t)(x.end - (uint8_t *)scratch) > HONE_SCRATCH_PRODUCT) {
        dot_below(w, a, row0, row1, panel0, panel1, y, ldy, bias, scratch);
        return;
    }
    size_t block = w->group == 16 ? 16 : 32;
    const float *sums = block == 16 ? a->sums16 : a->sums;
    dot_job j = {.lda = a->ld,
                 .k = w->k_pad,
                 .group = w->scale_bytes ? w->group : w->k_pad,
                 .ld_sums = w->k_pad / block,
                 .block = block,
                 .ldc = ldy};
    for (size_t p = panel0; p < panel1; p += DOT_PANELS) {
        for (int s = 0; s < DOT_PANELS; s++)
            dot_panel(&j, s, w, p + (size_t)s, panel1, y + row0 * ldy, bias, &x);
        for (size_t row = row0, rows; row < row1; row += rows) {
            rows = row1 - row < DOT_ROWS ? row1 - row : DOT_ROWS;
            j.a = a->half + row * a->ld;
            j.sums = sums ? sums + row * j.ld_sums : NULL;
            dots[w->scale_bytes != 0][rows - 1](&j);
            for (int s = 0; s < DOT_PANELS; s++)
                j.c[s] += rows * ldy;
        }
    }
}

void hone_kernels_bf16(hone_kernels *t)
{
    dot_below = t->product_dot;
    t->act_dot = act_dot;
    t->product_dot = product_dot;
}
