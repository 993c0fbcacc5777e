// links: kernel
/* Products that are techniques (docs/numerics.md): every set gives the scalar definition's bits,
 * however rows and panels are cut; and the definition is the sum in double of what it says. */
#include "base/mem.h"
#include "base/rng.h"
#include "dtype/half.h"
#include "kernel/int8.h"
#include "kernel/kernel.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../support/amx_emulator.h"

enum { NORMAL, WIDE, SPECIAL, KINDS, EVERY = KINDS };

static float number(int kind, uint64_t stream, uint64_t i)
{
    double g[2];
    if (kind == EVERY) /* bfloat16 by bfloat16 down from a largest one, another for each row */
        return hone_bf16_to_f32((uint16_t)(0x4380 + stream % 128 - i)) * (i % 3 ? 1.0f : -1.0f);
    hone_rng_normal2(7, stream, i, g);
    uint64_t pick = hone_rng_u64(8, stream, i);
    if (kind == WIDE)
        return (float)ldexp(g[0], (int)(pick % 200) - 140);
    if (kind == SPECIAL && pick % 499 == 0)
        return pick % 2 ? INFINITY : NAN;
    if (kind == SPECIAL && pick / 32 % 3 == 0)
        return pick % 2 ? 0.0f : -0.0f;
    return (float)g[0];
}

static void *get(size_t bytes)
{
    void *p = hone_alloc_big(bytes + 64);
    assert_non_null(p);
    return p;
}

typedef struct problem {
    hone_packed w;
    hone_dtype type;
    uint8_t *source, *data;
    size_t source_bytes, rows;
    float *x, *bias;
} problem;

static void open_problem(problem *p, hone_dtype t, size_t n, size_t k, size_t rows, int kind)
{
    size_t row_bytes = 0;
    float *v = get(k * 4);
    hone_rows packed;
    hone_coding coding = hone_dtype_coding(t);
    *p = (problem){.type = t, .rows = rows};
    assert_true(hone_dtype_row_bytes(t, k, &row_bytes));
    assert_int_equal(hone_packed_plan(hone_layout_for(&coding, false), &coding, n, k, &p->w),
                     HONE_OK);
    p->source_bytes = row_bytes * n;
    p->source = get(p->source_bytes);
    for (size_t r = 0; r < n; r++) {
        for (size_t i = 0; i < k; i++)
            v[i] = number(NORMAL, 1 + r, i);
        assert_true(hone_dtype_encode(t, v, k, p->source + r * row_bytes));
    }
    p->data = get(hone_packed_bytes(&p->w));
    assert_true(hone_rows_init(&packed, t, p->source, k));
    assert_true(hone_pack_panels(&p->w, &packed, 0, p->w.n_panels, p->data));
    p->w.data = p->data;
    p->x = get(rows * k * 4);
    for (size_t i = 0; i < rows * k; i++)
        p->x[i] = number(kind, 1000 + i / k, i % k);
    p->bias = get(n * 4);
    for (size_t i = 0; i < n; i++)
        p->bias[i] = number(NORMAL, 5000, i);
    hone_free_big(v, k * 4 + 64);
}

static void close_problem(problem *p)
{
    hone_free_big(p->source, p->source_bytes + 64);
    hone_free_big(p->data, hone_packed_bytes(&p->w) + 64);
    hone_free_big(p->x, p->rows * p->w.k * 4 + 64);
    hone_free_big(p->bias, p->w.n * 4 + 64);
}

/* y[rows][n], in three pieces of panels and of rows `cut` at a time */
static float *run(const problem *p, hone_isa isa, hone_products how, size_t cut)
{
    const hone_kernels *kt = hone_kernels_with(isa, how);
    int flags = hone_act_flags(&p->w);
    size_t bytes = hone_act_bytes(kt, p->rows, p->w.k, flags), sb = hone_product_scratch_bytes();
    void *mem = get(bytes), *scratch = get(sb);
    float *y = get(p->rows * p->w.n * 4);
    hone_act a;
    unsigned mode = hone_fp_mode_enter();
    memset(mem, 0xff, bytes); /* what nobody writes must not matter */
    memset(scratch, 0xff, sb);
    hone_act_init(kt, p->rows, p->w.k, flags, mem, &a);
    kt->act_pack(&a, p->x, p->w.k, 0, p->rows / 2);
    kt->act_pack(&a, p->x, p->w.k, p->rows / 2, p->rows);
    memset(y, 0xff, p->rows * p->w.n * 4);
    size_t third = p->w.n_panels / 3;
    for (size_t end = p->rows, r; end > 0; end = r) { /* the last first: nobody writes before it */
        r = (end - 1) / cut * cut;
        hone_product(kt, &p->w, &a, r, end, 0, third, y, p->w.n, p->bias, scratch);
        hone_product(kt, &p->w, &a, r, end, third, p->w.n_panels, y, p->w.n, p->bias, scratch);
        if (r)
            assert_int_equal(hone_f32_bits(y[r * p->w.n - 1]), 0xffffffffu);
    }
    hone_fp_mode_leave(mode);
    assert_int_equal(amx_tiles_held(), 0);
    hone_free_big(mem, bytes + 64);
    hone_free_big(scratch, sb + 64);
    return y;
}

/* cut: rows at a time; 0 = one of several, another for each set */
static void check_cut(hone_products how, hone_dtype t, uint32_t group, size_t n, size_t k,
                      size_t rows, int kind, size_t rows_at_once)
{
    problem p;
    open_problem(&p, t, n, k, rows, kind);
    size_t filed = p.w.group;
    if (group) /* the scales that are there serve as those of longer groups */
        p.w.group = group > p.w.k_pad ? p.w.k_pad : group;
    float *want = run(&p, HONE_ISA_SCALAR, how, rows);
    static const size_t cuts[] = {1, 3, 4, 7, 1000};
    for (int isa = 1; isa < HONE_ISA_COUNT; isa++) {
        if (!hone_isa_supported((hone_isa)isa))
            continue;
        size_t cut = rows_at_once ? rows_at_once : cuts[(n + k + rows + (size_t)isa) % 5];
        float *got = run(&p, (hone_isa)isa, how, rows == 1 ? 1 : cut);
        for (size_t i = 0; i < rows * n; i++)
            if (!(isnan(got[i]) && isnan(want[i])) &&
                hone_f32_bits(got[i]) != hone_f32_bits(want[i]))
                fail_msg("%s %s %s group %zu: n %zu k %zu rows %zu cut %zu: [%zu][%zu] is %a, "
                         "scalar %a",
                         hone_isa_name((hone_isa)isa), hone_products_name(how), hone_dtype_name(t),
                         p.w.group, n, k, rows, cut, i / n, i % n, (double)got[i], (double)want[i]);
        hone_free_big(got, rows * n * 4 + 64);
    }
    hone_free_big(want, rows * n * 4 + 64);
    p.w.group = filed;
    close_problem(&p);
}

static void check(hone_products how, hone_dtype t, uint32_t group, size_t n, size_t k, size_t rows,
                  int kind)
{
    check_cut(how, t, group, n, k, rows, kind, 0);
}

static const hone_dtype types[] = {HONE_DTYPE_Q8_0, HONE_DTYPE_Q4_0, HONE_DTYPE_Q4_1,
                                   HONE_DTYPE_Q5_0, HONE_DTYPE_Q5_1, HONE_DTYPE_Q2_K,
                                   HONE_DTYPE_Q3_K, HONE_DTYPE_Q4_K, HONE_DTYPE_Q5_K,
                                   HONE_DTYPE_Q6_K, HONE_DTYPE_BF16};

static void every_set_equals_scalar(void **state)
{
    (void)state;
    static const size_t ns[] = {1, 37, 150}, rows[] = {1, 2, 3, 4, 5, 8, 23};
    size_t turn = 0;
    for (int how = 0; how < HONE_PRODUCTS_COUNT; how++)
        for (size_t t = 0; t < sizeof types / sizeof *types; t++)
            for (size_t i = 0; i < sizeof ns / sizeof *ns; i++)
                for (size_t r = 0; r < sizeof rows / sizeof *rows; r++, turn++) {
                    size_t block = hone_dtype_describe(types[t])->block_elements;
                    size_t k = (block < 32 ? 32 : block) * (1 + turn % (block > 32 ? 3 : 11));
                    check((hone_products)how, types[t], 0, ns[i], k, rows[r], (int)(turn % KINDS));
                }
}

/* One scale per column, and groups of many blocks, with a tail */
static void long_groups_equal_scalar(void **state)
{
    (void)state;
    for (int how = 0; how < HONE_PRODUCTS_COUNT; how++)
        for (uint32_t group = 64; group <= 1024; group *= 4)
            for (size_t rows = 1; rows < 9; rows += 3) {
                check((hone_products)how, HONE_DTYPE_Q8_0, group, 37, 288, rows, NORMAL);
                check((hone_products)how, HONE_DTYPE_Q4_1, group, 37, 352, rows, NORMAL);
            }
}

/* Beyond every block that a set cuts rows and K into; groups that end within a tile, fill several
 * and go on from one piece of K to the next */
static void many_rows_and_long_rows_equal_scalar(void **state)
{
    (void)state;
    check(HONE_PRODUCTS_INT8, HONE_DTYPE_Q8_0, 0, 20, 2080, 41, NORMAL);
    check(HONE_PRODUCTS_INT8, HONE_DTYPE_Q4_1, 0, 18, 2080, 250, SPECIAL);
    check(HONE_PRODUCTS_INT8, HONE_DTYPE_Q6_K, 0, 20, 2304, 33, WIDE);
    check(HONE_PRODUCTS_INT8, HONE_DTYPE_Q4_1, 128, 35, 288, 31, NORMAL);
    check(HONE_PRODUCTS_INT8_ROW, HONE_DTYPE_Q8_0, 0, 20, 2080, 250, NORMAL);
    check(HONE_PRODUCTS_INT8_ROW, HONE_DTYPE_Q2_K, 0, 20, 2304, 46, NORMAL);
    static const uint32_t groups[] = {64, 96, 128, 640, 1024, 2080, 65536};
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
        check(HONE_PRODUCTS_INT8_ROW, HONE_DTYPE_Q8_0, groups[g], 37, 4192, 33, NORMAL);
        check(HONE_PRODUCTS_INT8_ROW, HONE_DTYPE_Q4_1, groups[g], 23, 544, 48 + g, SPECIAL);
        check(HONE_PRODUCTS_INT8_ROW, HONE_DTYPE_Q5_0, groups[g], 50, 96, 9 + g, WIDE);
        check_cut(HONE_PRODUCTS_INT8_ROW, HONE_DTYPE_Q8_0, groups[g], 37, 544, 45, NORMAL, 19);
    }
    check(HONE_PRODUCTS_INT8_ROW, HONE_DTYPE_Q4_1, 65536, 37, 4128, 290, NORMAL);
    for (size_t kind = 0; kind < KINDS; kind++) /* so many rows are tiles alone */
        check(HONE_PRODUCTS_INT8_ROW, HONE_DTYPE_Q8_0, 65536, 37, 2080, 64 + 33 * kind, (int)kind);
    check(HONE_PRODUCTS_INT8_ROW, HONE_DTYPE_Q8_0, 65536, 37, 1536, 128, EVERY);
}

/* All rows of a call at once, beyond what a set holds at a time: rounded weights, and, exactly, a
 * scale per column */
static void many_rows_at_once_equal_scalar(void **state)
{
    (void)state;
    static const hone_dtype exact[] = {HONE_DTYPE_Q8_0, HONE_DTYPE_Q4_0, HONE_DTYPE_Q4_1,
                                       HONE_DTYPE_Q5_0},
                            rounded[] = {HONE_DTYPE_Q8_0,   HONE_DTYPE_Q4_0, HONE_DTYPE_Q4_1,
                                         HONE_DTYPE_IQ4_NL, HONE_DTYPE_Q3_K, HONE_DTYPE_Q5_K,
                                         HONE_DTYPE_Q6_K};
    for (size_t t = 0; t < sizeof exact / sizeof *exact; t++)
        for (size_t rows = 33; rows < 300; rows += 114) {
            check_cut(HONE_PRODUCTS_EXACT, exact[t], 65536, 37, 1312, rows, (int)(rows % 2), 1000);
        }
    check_cut(HONE_PRODUCTS_EXACT, HONE_DTYPE_Q8_0, 65536, 273, 544, 64, SPECIAL, 1000);
    for (size_t t = 0; t < sizeof rounded / sizeof *rounded; t++) {
        size_t k = hone_dtype_describe(rounded[t])->block_elements > 32 ? 1280 : 1312;
        check_cut(HONE_PRODUCTS_BF16_WEIGHTS, rounded[t], 0, 37, k, 33, NORMAL, 1000);
        check_cut(HONE_PRODUCTS_BF16_WEIGHTS, rounded[t], 0, 37, k, 290, WIDE, 1000);
        check_cut(HONE_PRODUCTS_BF16_WEIGHTS, rounded[t], 0, 37, k, 33, SPECIAL, 7);
    }
    check_cut(HONE_PRODUCTS_BF16_WEIGHTS, HONE_DTYPE_Q4_0, 0, 273, 544, 70, NORMAL, 1000);
    check_cut(HONE_PRODUCTS_BF16_WEIGHTS, HONE_DTYPE_Q4_1, 128, 37, 1312, 64, NORMAL, 1000);
}

/* Beyond the scratch: straight from the codes */
static void very_long_sums_equal_scalar(void **state)
{
    (void)state;
    for (int how = 1; how < HONE_PRODUCTS_COUNT; how++)
        check((hone_products)how, HONE_DTYPE_Q4_0, 0, 17, 48000, 6, NORMAL);
    check(HONE_PRODUCTS_BF16_WEIGHTS, HONE_DTYPE_Q4_0, 0, 17, 65568, 6, NORMAL);
}

/* Many rows and a long K: in pieces, whose sums go on; every cut */
static void pieces_of_k_equal_scalar(void **state)
{
    (void)state;
    for (size_t rows = 200; rows < 205; rows++)
        check(HONE_PRODUCTS_BF16_DOT, HONE_DTYPE_BF16, 0, 37, 1056, rows, (int)(rows % KINDS));
    check(HONE_PRODUCTS_BF16_DOT, HONE_DTYPE_BF16, 0, 150, 545, 99, SPECIAL);
}

/* Codes as far out as they go: nothing saturates */
static void the_largest_codes_equal_scalar(void **state)
{
    (void)state;
    for (size_t t = 0; t + 1 < sizeof types / sizeof *types; t++) {
        problem p;
        open_problem(&p, types[t], 20, 512, 5, NORMAL);
        for (size_t i = 0; i < 5 * 512; i++)
            p.x[i] = i / 512 % 2 ? -3.0f : 3.0f;
        size_t codes = p.w.scale_offset;
        for (int fill = 0; fill < 3; fill++) {
            static const uint8_t fills[] = {0xff, 0x00, 0x80};
            for (size_t panel = 0; panel < p.w.n_panels; panel++)
                memset(p.data + panel * p.w.panel_bytes, fills[fill], codes);
            float *want = run(&p, HONE_ISA_SCALAR, HONE_PRODUCTS_INT8, 5);
            for (int isa = 1; isa < HONE_ISA_COUNT; isa++) {
                if (!hone_isa_supported((hone_isa)isa))
                    continue;
                for (size_t cut = 2; cut <= 5; cut += 3) {
                    float *got = run(&p, (hone_isa)isa, HONE_PRODUCTS_INT8, cut);
                    assert_memory_equal(got, want, 5 * 20 * 4);
                    hone_free_big(got, 5 * 20 * 4 + 64);
                }
            }
            hone_free_big(want, 5 * 20 * 4 + 64);
        }
        close_problem(&p);
    }
}

static float rounded(float x)
{
    return hone_bf16_to_f32(hone_f32_to_bf16(x));
}

/* The weights as their format decodes them, the activations as the technique rounds them, summed in
 * double: and the rounding is one of at most half a step. */
static void int8_products_agree_with_double_precision(void **state)
{
    (void)state;
    enum { N = 20, K = 512, ROWS = 6 };
    for (size_t t = 0; t + 1 < sizeof types / sizeof *types; t++)
        for (int how = HONE_PRODUCTS_INT8; how <= HONE_PRODUCTS_INT8_ROW; how++) {
            problem p;
            open_problem(&p, types[t], N, K, ROWS, NORMAL);
            float *y = run(&p, hone_isa_best(), (hone_products)how, ROWS), *w = get(N * K * 4);
            assert_true(hone_dtype_decode(types[t], p.source, N * K, w));
            size_t span = how == HONE_PRODUCTS_INT8 ? 32 : K;
            for (size_t r = 0; r < ROWS; r++)
                for (size_t c = 0; c < N; c++) {
                    double sum = (double)p.bias[c], size = 1.0;
                    for (size_t k0 = 0; k0 < K; k0 += span) {
                        float top = 0;
                        for (size_t k = k0; k < k0 + span; k++)
                            top = fmaxf(top, fabsf(rounded(p.x[r * K + k])));
                        float scale = top / 127.0f;
                        for (size_t k = k0; k < k0 + span; k++) {
                            float x = rounded(p.x[r * K + k]), code = nearbyintf(x / scale);
                            double q = (double)code * (double)scale;
                            assert_true(fabs(q - (double)x) <= 0.5001 * (double)scale);
                            sum += q * (double)w[c * K + k];
                            size += fabs(q * (double)w[c * K + k]);
                        }
                    }
                    double got = (double)y[r * N + c];
                    if (fabs(got - sum) > 1e-6 * size)
                        fail_msg("%s %s: %g, in double %g of %g", hone_dtype_name(types[t]),
                                 hone_products_name((hone_products)how), got, sum, size);
                }
            hone_free_big(w, N * K * 4 + 64);
            hone_free_big(y, ROWS * N * 4 + 64);
            close_problem(&p);
        }
}

/* Rounded weights: the format's own decoding, rounded, with rounded activations, in double */
static void rounded_products_agree_with_double_precision(void **state)
{
    (void)state;
    enum { N = 20, K = 512, ROWS = 6 };
    for (size_t t = 0; t + 1 < sizeof types / sizeof *types; t++) {
        problem p;
        open_problem(&p, types[t], N, K, ROWS, NORMAL);
        float *y = run(&p, hone_isa_best(), HONE_PRODUCTS_BF16_WEIGHTS, ROWS), *w = get(N * K * 4);
        assert_true(hone_dtype_decode(types[t], p.source, N * K, w));
        for (size_t r = 0; r < ROWS; r++)
            for (size_t c = 0; c < N; c++) {
                double sum = (double)p.bias[c], size = 1.0;
                for (size_t k = 0; k < K; k++) {
                    double v = (double)rounded(p.x[r * K + k]) * (double)rounded(w[c * K + k]);
                    sum += v;
                    size += fabs(v);
                }
                double got = (double)y[r * N + c];
                if (fabs(got - sum) > 1e-5 * size)
                    fail_msg("%s: %g, in double %g of %g", hone_dtype_name(types[t]), got, sum,
                             size);
            }
        hone_free_big(w, N * K * 4 + 64);
        hone_free_big(y, ROWS * N * 4 + 64);
        close_problem(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_set_equals_scalar),
        cmocka_unit_test(long_groups_equal_scalar),
        cmocka_unit_test(many_rows_and_long_rows_equal_scalar),
        cmocka_unit_test(many_rows_at_once_equal_scalar),
        cmocka_unit_test(very_long_sums_equal_scalar),
        cmocka_unit_test(pieces_of_k_equal_scalar),
        cmocka_unit_test(the_largest_codes_equal_scalar),
        cmocka_unit_test(int8_products_agree_with_double_precision),
        cmocka_unit_test(rounded_products_agree_with_double_precision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
