/* avx2 - the generic kernels over two 256-bit registers per sixteen lanes. */
#include "kernel/cpu/avx2/vec.h"

#define FEW_PANELS_1 2
#define FEW_PANELS_2 2
#define FEW_PANELS_3 1
#define FEW_PANELS_4 1
#define CORE_SUMS    4
#define FEW_PREFETCH 4096
#define DIRECT_ROWS  8
#define DIRECT_CODES 8
#define MANY_ROWS    6
#define MANY_PANELS  1
#define FEW_U4_OWN

#include "kernel/cpu/generic/attn_product.h"

#include "kernel/cpu/generic/attention.h"
#include "kernel/cpu/generic/elementwise.h"
static void kv_put_key(uint8_t *to, v16 v, size_t n)
{
    uint32_t x[16];
    v16_store((float *)(void *)x, v);
    for (size_t i = 0; i < n; i += 2, to += 64)
        memcpy(to, &(uint32_t){x[i] >> 16 | x[i + 1]}, 4);
}

static void kv_put_value(uint8_t *to, bool odd, v16 v, size_t n)
{
    uint32_t x[16];
    v16_store((float *)(void *)x, v);
    for (size_t i = 0; i < n; i++)
        memcpy(to + 4 * i + 2 * odd, &(uint16_t){(uint16_t)(x[i] >> 16)}, 2);
}

#include "kernel/cpu/generic/kv_write.h"
#include "kernel/cpu/generic/product.h"
#include "kernel/cpu/generic/rounded.h"
#include "kernel/table.h"

/*
 * One row x two panels of 4-bit codes. VPSHUFB looks 32 nibbles up at once, in the upper and the
 * lower bytes of the table's bfloat16 values; interleaved, they are words of two parities side by
 * side, so that the lanes of a sum are E and O of one column in turn, the activations come as pairs
 * (even k, odd k), and a horizontal addition at the end of a block is E + O.
 */
typedef struct u4_tables {
    __m256i upper, lower;
} u4_tables;

static u4_tables u4_load(const float *table)
{
    uint8_t upper[16], lower[16];
    for (int i = 0; i < 16; i++) {
        uint16_t h = hone_f32_to_bf16(table[i]);
        upper[i] = (uint8_t)(h >> 8);
        lower[i] = (uint8_t)h;
    }
    return (u4_tables){
        _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)upper)),
        _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)lower))};
}

/* Nibbles n, one per byte: words 0..3 (*l) and 4..7 (*h) of each half as two bfloat16 each */
V16_INLINE void u4_lookup(__m256i n, u4_tables t, __m256i *l, __m256i *h)
{
    __m256i upper = _mm256_shuffle_epi8(t.upper, n), lower = _mm256_shuffle_epi8(t.lower, n);
    *l = _mm256_unpacklo_epi8(lower, upper);
    *h = _mm256_unpackhi_epi8(lower, upper);
}

V16_INLINE __m256 u4_low(__m256i x)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(x, 16));
}

V16_INLINE __m256 u4_high(__m256i x)
{
    return _mm256_castsi256_ps(_mm256_and_si256(x, _mm256_set1_epi32((int)0xffff0000u)));
}

V16_INLINE __m256 u4_pair(const float *a)
{
    double pair; /* two floats carried as one load */
    memcpy(&pair, a, sizeof pair);
    return _mm256_castpd_ps(_mm256_set1_pd(pair));
}

/* 8 rows of k x 8 columns: into the sums of columns 0, 1, 4, 5 (*l) and 2, 3, 6, 7 (*h) */
V16_INLINE void u4_step(const uint8_t *at, const float *a, u4_tables t, __m256 *l, __m256 *h)
{
    const __m256i nibbles = _mm256_set1_epi8(15);
    __m256i x = v16_load_si(at), l0, h0, l1, h1;
    u4_lookup(_mm256_and_si256(x, nibbles), t, &l0, &h0);
    u4_lookup(_mm256_and_si256(_mm256_srli_epi32(x, 4), nibbles), t, &l1, &h1);
    *l = _mm256_fmadd_ps(u4_pair(a), u4_low(l0), *l);
    *h = _mm256_fmadd_ps(u4_pair(a), u4_low(h0), *h);
    *l = _mm256_fmadd_ps(u4_pair(a + 2), u4_low(l1), *l);
    *h = _mm256_fmadd_ps(u4_pair(a + 2), u4_low(h1), *h);
    *l = _mm256_fmadd_ps(u4_pair(a + 4), u4_high(l0), *l);
    *h = _mm256_fmadd_ps(u4_pair(a + 4), u4_high(h0), *h);
    *l = _mm256_fmadd_ps(u4_pair(a + 6), u4_high(l1), *l);
    *h = _mm256_fmadd_ps(u4_pair(a + 6), u4_high(h1), *h);
}

/* E + O of one block for two panels */
V16_INLINE void u4_block(const core_job *j, size_t block, u4_tables t, v16 *s0, v16 *s1)
{
    __m256 l[4], h[4];
    UNROLL for (int i = 0; i < 4; i++) l[i] = h[i] = _mm256_setzero_ps();
    size_t ahead = core_ahead(j, block, j->blocks, j->ahead, 256);
    for (size_t unit = 4 * block; unit < 4 * block + 4; unit++) {
        const float *a = j->a + 8 * unit;
        const uint8_t *p = j->b[0] + unit * 64, *q = j->b[1] + unit * 64;
        __builtin_prefetch(j->b[0] + ahead, 0, 3);
        __builtin_prefetch(j->b[1] + ahead, 0, 3);
        ahead += 64;
        u4_step(p, a, t, &l[0], &h[0]);
        u4_step(p + 32, a, t, &l[1], &h[1]);
        u4_step(q, a, t, &l[2], &h[2]);
        u4_step(q + 32, a, t, &l[3], &h[3]);
    }
    *s0 = (v16){_mm256_hadd_ps(l[0], h[0]), _mm256_hadd_ps(l[1], h[1])};
    *s1 = (v16){_mm256_hadd_ps(l[2], h[2]), _mm256_hadd_ps(l[3], h[3])};
}

/* One row of 4-bit codes of any table (of linear ones: product_whole, where that is there) */
static void few_u4_own(const core_job *j)
{
    u4_tables t = u4_load(j->table);
    v16 c[2] = {v16_zero(), v16_zero()}, s[2];
    for (size_t g = 0; g * j->group < j->blocks; g++) {
        v16 d[2] = {v16_zero(), v16_zero()};
        float ones = 0.0f;
        size_t end = (g + 1) * j->group < j->blocks ? (g + 1) * j->group : j->blocks;
        for (size_t block = g * j->group; block < end; block++) {
            u4_block(j, block, t, &s[0], &s[1]);
            d[0] = v16_add(d[0], s[0]);
            d[1] = v16_add(d[1], s[1]);
            if (j->min[0])
                ones += j->sums[block];
        }
        for (int p = 0; p < 2; p++) {
            c[p] = v16_fma(core_scales(j, j->scale[p], j->super[p], g), d[p], c[p]);
            if (j->min[0])
                c[p] = v16_fma(core_scales(j, j->min[p], j->min_super[p], g), v16_set1(ones), c[p]);
        }
    }
    for (int p = 0; p < 2; p++) {
        if (!j->columns[p])
            continue;
        if (j->bias[p])
            c[p] = v16_add(c[p], v16_load_n(j->bias[p], j->columns[p]));
        v16_store_n(j->c[p], c[p], j->columns[p]);
    }
}

void hone_kernels_avx2(hone_kernels *t)
{
    t->act_pack = act_pack;
    t->act_part = act_part;
    t->product_few = product_few;
    t->product_many = product_expanded;
    rounded_below = t->product_rounded;
    t->product_rounded = product_rounded;
    t->numbers = numbers;
    set_few_rows(t);
    kv_write_slot(t);
    t->attn_piece = attn_piece;
    t->attn_merge = attn_merge;
    t->attn_finish = attn_finish;
#include "kernel/cpu/generic/slots.inc"
}
