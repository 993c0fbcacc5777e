// links: kernel
/* Every set's products, on odd sizes and awkward numbers, against the scalar definition (equal
 * bits) and against a plain double-precision sum (tolerance). */
#include "base/mem.h"
#include "base/rng.h"
#include "kernel/kernel.h"
#include "kernel/layout.h"
#include "kernel/whole.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../support/amx_emulator.h"

enum { KIND_NORMAL, KIND_WIDE, KIND_TINY, KIND_SPECIAL, KINDS };

/* Reproducible awkward numbers. WIDE: exponents over the whole range; TINY: around the subnormals;
 * SPECIAL: zeros of both signs, infinities and NaNs among others. */
static float number(int kind, uint64_t stream, uint64_t i)
{
    double g[2];
    hone_rng_normal2(7, stream, i, g);
    uint64_t pick = hone_rng_u64(8, stream, i);
    switch (kind) {
    case KIND_WIDE:
        return (float)ldexp(g[0], (int)(pick % 80) - 40);
    case KIND_TINY:
        return (float)ldexp(g[0], (int)(pick % 40) - 75);
    case KIND_SPECIAL:
        if (pick % 199 == 0)
            return INFINITY;
        if (pick % 211 == 1)
            return NAN;
        return pick % 3 ? (float)g[0] : pick % 2 ? 0.0f : -0.0f;
    default:
        return (float)g[0];
    }
}

static bool same(float a, float b)
{
    return (isnan(a) && isnan(b)) || hone_f32_bits(a) == hone_f32_bits(b);
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
    uint8_t *data;
    float *x, *bias;
    uint8_t *source;
    size_t rows;
    float *want[2]; /* scalar's results, without and with bias, once somebody asked for them */
} problem;

static void open_problem(problem *p, hone_dtype t, bool f32, size_t n, size_t k, size_t rows,
                         int kind)
{
    *p = (problem){.type = t, .rows = rows};
    size_t row_bytes = 0;
    float *v = get(k * 4);
    assert_true(hone_dtype_row_bytes(t, k, &row_bytes));
    hone_coding coding = hone_dtype_coding(t);
    assert_int_equal(hone_packed_plan(hone_layout_for(&coding, f32), &coding, n, k, &p->w),
                     HONE_OK);
    p->source = get(row_bytes * n);
    /* weights in a coded format must be finite */
    int wkind = hone_dtype_is_grouped(t) && kind != KIND_NORMAL ? KIND_NORMAL : kind;
    for (size_t r = 0; r < n; r++) {
        for (size_t i = 0; i < k; i++)
            v[i] = number(wkind, 1 + r, i);
        assert_true(hone_dtype_encode(t, v, k, p->source + r * row_bytes));
    }
    p->data = get(hone_packed_bytes(&p->w));
    hone_rows packed_rows;
    assert_true(hone_rows_init(&packed_rows, t, p->source, k));
    assert_true(hone_pack_panels(&p->w, &packed_rows, 0, p->w.n_panels, p->data));
    p->w.data = p->data;
    p->x = get(rows * k * 4);
    for (size_t i = 0; i < rows * k; i++)
        p->x[i] = number(kind, 1000 + i / k, i % k);
    p->bias = get(n * 4);
    for (size_t i = 0; i < n; i++)
        p->bias[i] = number(KIND_NORMAL, 5000, i);
    hone_free_big(v, k * 4 + 64);
}

static void close_problem(problem *p)
{
    size_t row_bytes = 0;
    assert_true(hone_dtype_row_bytes(p->type, p->w.k, &row_bytes));
    hone_free_big(p->source, row_bytes * p->w.n + 64);
    hone_free_big(p->data, hone_packed_bytes(&p->w) + 64);
    hone_free_big(p->x, p->rows * p->w.k * 4 + 64);
    hone_free_big(p->bias, p->w.n * 4 + 64);
    for (int bias = 0; bias < 2; bias++)
        hone_free_big(p->want[bias], p->rows * (p->w.n + 3) * 4 + 64);
}

/* y[rows][ldy] by one slot of one set; the columns past n keep a mark that must survive. */
static float *run(const problem *p, int isa, bool many, bool bias, size_t ldy)
{
    const hone_kernels *kt = hone_kernels_get((hone_isa)isa);
    int flags = hone_act_flags(&p->w);
    size_t bytes = hone_act_bytes(kt, p->rows, p->w.k, flags), sb = hone_product_scratch_bytes();
    void *mem = get(bytes), *scratch = get(sb);
    float *y = get(p->rows * ldy * 4);
    hone_act a;
    unsigned mode = hone_fp_mode_enter();
    hone_act_init(kt, p->rows, p->w.k, flags, mem, &a);
    /* rows as a whole, or in parts */
    size_t middle = p->rows > 1 ? p->rows / 2 : 1, part = a.k_pad / 64 * 32;
    kt->act_pack(&a, p->x, p->w.k, 0, middle);
    const float *x = p->x + middle * p->w.k;
    kt->act_part(&a, x + part, p->w.k, middle, p->rows, part, a.k_pad);
    kt->act_part(&a, x, p->w.k, middle, p->rows, 0, part);
    for (size_t i = 0; i < p->rows * ldy; i++)
        y[i] = 12345.0f;
    /* two calls of uneven panels: how work is split must not matter */
    size_t cut = p->w.n_panels / 3;
    hone_product_many_fn *f = many || !a.f32 ? kt->product_many : kt->product_few;
    f(&p->w, &a, 0, p->rows, 0, cut, y, ldy, bias ? p->bias : NULL, scratch);
    f(&p->w, &a, 0, p->rows, cut, p->w.n_panels, y, ldy, bias ? p->bias : NULL, scratch);
    hone_fp_mode_leave(mode);
    assert_int_equal(amx_tiles_held(), 0);
    hone_free_big(mem, bytes + 64);
    hone_free_big(scratch, sb + 64);
    return y;
}

static void compare(problem *p, size_t kind, int isa, bool many, bool bias)
{
    size_t n = p->w.n, ldy = n + 3;
    if (!p->want[bias])
        p->want[bias] = run(p, HONE_ISA_SCALAR, true, bias, ldy);
    const float *want = p->want[bias];
    float *got = run(p, isa, many, bias, ldy);
    for (size_t i = 0; i < p->rows * ldy; i++)
        if (!same(want[i], got[i]))
            fail_msg("%s %s %s%s kind %d: n %zu k %zu rows %zu: [%zu][%zu] is %a, scalar %a",
                     hone_isa_name((hone_isa)isa), hone_dtype_name(p->type), many ? "many" : "few",
                     bias ? " bias" : "", (int)kind, n, p->w.k, p->rows, i / ldy, i % ldy,
                     (double)got[i], (double)want[i]);
    hone_free_big(got, p->rows * ldy * 4 + 64);
}

static void check_sets(hone_dtype t, bool f32, size_t n, size_t k, size_t rows, int kind)
{
    problem p;
    open_problem(&p, t, f32, n, k, rows, kind);
    for (int isa = 0; isa < HONE_ISA_COUNT; isa++) {
        if (!hone_isa_supported((hone_isa)isa))
            continue;
        for (int bias = 0; bias < 2; bias++) {
            compare(&p, (size_t)kind, isa, false, bias);
            compare(&p, (size_t)kind, isa, true, bias);
        }
    }
    close_problem(&p);
}

static void every_set_equals_scalar_in_float_layouts(void **state)
{
    (void)state;
    static const size_t ns[] = {1, 15, 16, 17, 37, 150}, ks[] = {1, 31, 32, 33, 100, 300, 600},
                        rows[] = {1, 2, 3, 4, 5, 6, 33};
    for (size_t i = 0; i < sizeof ns / sizeof *ns; i++)
        for (size_t j = 0; j < sizeof ks / sizeof *ks; j++)
            for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
                int kind = (int)((i + j + r) % KINDS);
                check_sets(HONE_DTYPE_BF16, false, ns[i], ks[j], rows[r], kind);
                check_sets(HONE_DTYPE_F32, true, ns[i], ks[j], rows[r], kind);
            }
    for (int kind = 0; kind < KINDS; kind++) {
        check_sets(HONE_DTYPE_F16, false, 37, 300, 6, KIND_NORMAL);
        check_sets(HONE_DTYPE_BF16, false, 37, 300, 6, kind);
        check_sets(HONE_DTYPE_F32, true, 37, 300, 2, kind);
    }
}

static void every_set_equals_scalar_in_scaled_layouts(void **state)
{
    (void)state;
    static const hone_dtype types[] = {HONE_DTYPE_Q8_0, HONE_DTYPE_Q4_0, HONE_DTYPE_Q4_1,
                                       HONE_DTYPE_Q5_0, HONE_DTYPE_Q5_1};
    static const size_t ns[] = {1, 15, 17, 37, 150}, ks[] = {32, 96, 288, 640},
                        rows[] = {1, 2, 3, 4, 6, 33};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (size_t i = 0; i < sizeof ns / sizeof *ns; i++)
            for (size_t j = 0; j < sizeof ks / sizeof *ks; j++)
                for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
                    check_sets(types[t], false, ns[i], ks[j], rows[r],
                               (int)((i + j + r + t) % KINDS));
}

/* A code table that is not linear takes the general lookup, and groups longer than a block. */
static void a_code_table_and_long_groups_equal_scalar(void **state)
{
    (void)state;
    for (int g = 0; g < 8; g++) {
        problem p;
        open_problem(&p, g % 2 ? HONE_DTYPE_Q4_1 : HONE_DTYPE_Q4_0, false, 37, 640, 1 + (size_t)g,
                     0);
        for (int i = 0; i < 16; i++)
            p.w.table[i] =
                hone_bf16_to_f32(hone_f32_to_bf16(number(KIND_NORMAL, 9000, (uint64_t)i)));
        p.w.group =
            (size_t)32 << (g % 4); /* the scales that are there serve as those of longer groups */
        for (int isa = 0; isa < HONE_ISA_COUNT; isa++)
            if (hone_isa_supported((hone_isa)isa)) {
                compare(&p, 0, isa, true, false);
                compare(&p, 0, isa, false, false);
            }
        p.w.group = 32;
        close_problem(&p);
    }
}

/* ---- codings that no file format here has: made up rows ------------------------------------- */

static unsigned pick(size_t row, size_t i, unsigned n)
{
    return (unsigned)(hone_rng_u64(21, row, i) % n);
}

/* Scale or min of group g: what the coding says it may be */
static float made_scale(const hone_coding *c, size_t row, size_t g, bool min)
{
    float x = number(KIND_NORMAL, 700 + row + 1000 * min, g);
    if (c->nested) {
        float super = number(KIND_NORMAL, 300 + row + 1000 * min, g * c->group / 256);
        return hone_f16_to_f32(hone_f32_to_f16(super)) * (float)((int)pick(row, g, 256) - 128);
    }
    return c->wide ? x : hone_f16_to_f32(hone_f32_to_f16(x));
}

static bool made_supers(const hone_rows *s, size_t row, size_t k0, float *scale, float *min)
{
    (void)s;
    *scale = hone_f16_to_f32(hone_f32_to_f16(number(KIND_NORMAL, 300 + row, k0 / 256)));
    *min = hone_f16_to_f32(hone_f32_to_f16(number(KIND_NORMAL, 1300 + row, k0 / 256)));
    return true;
}

static bool made_codes(const hone_rows *s, size_t row, size_t k0, size_t count, int8_t *codes,
                       float *scales, float *mins)
{
    const hone_coding *c = &s->coding;
    size_t group = c->group ? c->group : SIZE_MAX, g0 = k0 / group;
    for (size_t i = 0; i < count; i++)
        codes[i] = (int8_t)(c->low + (int)pick(row, k0 + i + 5000, 1u << c->bits));
    for (size_t g = g0; g <= (k0 + count - 1) / group; g++) {
        scales[g - g0] = made_scale(c, row, g, false);
        if (c->has_min)
            mins[g - g0] = made_scale(c, row, g, true);
    }
    return true;
}

/* Against the definition applied to these rows in double */
static void check_made_value(const problem *p, const hone_rows *rows, const float *y)
{
    const hone_coding *c = &rows->coding;
    size_t k = p->w.k, group = c->group ? c->group : SIZE_MAX;
    for (size_t r = 0; r < p->rows; r++)
        for (size_t n = 0; n < p->w.n; n++) {
            double sum = 0.0, size = 1.0;
            for (size_t i = 0; i < k; i++) {
                unsigned code = pick(n, i + 5000, 1u << c->bits);
                double v = c->bits == 4 ? (double)p->w.table[code] : c->low + (double)code;
                v *= (double)made_scale(c, n, i / group, false);
                v += c->has_min ? (double)made_scale(c, n, i / group, true) : 0.0;
                v *= (double)hone_bf16_to_f32(hone_f32_to_bf16(p->x[r * k + i]));
                sum += v;
                size += fabs(v);
            }
            assert_true(fabs((double)y[r * p->w.n + n] - sum) <= 4e-6 * size);
        }
}

static void check_made(hone_coding c, size_t n, size_t k, size_t rows)
{
    problem p = {.type = HONE_DTYPE_F32, .rows = rows};
    hone_rows made = {.coding = c, .codes = made_codes, .supers = made_supers};
    for (int i = 0; i < 16; i++)
        made.coding.table[i] = number(KIND_NORMAL, 9100, (uint64_t)i);
    assert_int_equal(hone_packed_plan(hone_layout_for(&c, false), &made.coding, n, k, &p.w),
                     HONE_OK);
    assert_true(p.w.scale_bytes > 0);
    p.data = get(hone_packed_bytes(&p.w));
    assert_true(hone_pack_panels(&p.w, &made, 0, p.w.n_panels, p.data));
    p.w.data = p.data;
    p.source = get(n * k * 4);
    p.x = get(rows * k * 4);
    p.bias = get(n * 4);
    for (size_t i = 0; i < rows * k; i++)
        p.x[i] = number(KIND_NORMAL, 1000 + i / k, i % k);
    for (size_t i = 0; i < n; i++)
        p.bias[i] = number(KIND_NORMAL, 5000, i);
    float *y = run(&p, HONE_ISA_SCALAR, true, false, n);
    check_made_value(&p, &made, y);
    hone_free_big(y, rows * n * 4 + 64);
    for (int isa = 0; isa < HONE_ISA_COUNT; isa++)
        for (int many = 0; hone_isa_supported((hone_isa)isa) && many < 2; many++)
            compare(&p, c.bits * 1000 + c.group, isa, many, true);
    close_problem(&p);
}

/* All that hone_coding can say: code bits, groups of 16, of any multiple of 32, of a row; scales in
 * float16, float32 and nested; with and without minima. */
static void every_coding_equals_scalar(void **state)
{
    (void)state;
    static const uint32_t bits[] = {2, 3, 4, 5, 6, 8},
                          groups[] = {0, 16, 32, 64, 96, 128, 256, 320, 1024};
    static const size_t ks[] = {48, 288, 1056}, rows[] = {1, 2, 3, 4, 9, 34};
    size_t turn = 0;
    for (size_t b = 0; b < sizeof bits / sizeof *bits; b++)
        for (size_t g = 0; g < sizeof groups / sizeof *groups; g++)
            for (int form = 0; form < 6; form++, turn++) {
                hone_coding c = {.bits = bits[b],
                                 .group = groups[g],
                                 .has_min = form % 2,
                                 .wide = form / 2 == 1,
                                 .nested = form / 2 == 2};
                c.low = c.bits == 8 ? -128 : c.bits == 4 ? 0 : turn % 2 ? 0 : -(1 << (c.bits - 1));
                if ((b + g + (size_t)form) % 3 || (c.nested && (!c.group || 256 % c.group)))
                    continue;
                size_t k = ks[turn % 3];
                check_made(c, 17 + turn % 32, c.group == 32 && k == 48 ? 64 : k, rows[turn % 6]);
            }
    hone_coding c = {.bits = 6, .group = 16, .nested = true, .low = -32};
    check_made(c, 150, 2304, 40);
    c = (hone_coding){.bits = 4, .group = 0, .wide = true, .has_min = true};
    check_made(c, 50, 2304, 275);
}

/* Tables of equal steps take a shortcut where they are whole and small; those that only look so,
 * and entries that are subnormal, huge or of either zero, must not. */
static void tables_that_look_linear_equal_scalar(void **state)
{
    (void)state;
    static const float firsts[] = {0, -8, -15, -1, -7.5f, -16, 1, 100, 0.25f};
    enum { FIRSTS = sizeof firsts / sizeof *firsts };
    for (size_t f = 0; f < FIRSTS + 1; f++)
        for (size_t rows = 1; rows <= 5; rows++) {
            problem p;
            open_problem(&p, HONE_DTYPE_Q4_0, false, 53, 160, rows, (int)((f + rows) % KINDS));
            for (int i = 0; i < 16; i++)
                p.w.table[i] = f < FIRSTS ? firsts[f] + (float)i
                                          : (float)ldexp(i % 5 ? 1.0 : -0.0, 17 * i - 132);
            for (int isa = 0; isa < HONE_ISA_COUNT; isa++)
                for (int many = 0; hone_isa_supported((hone_isa)isa) && many < 2; many++)
                    compare(&p, f, isa, many != 0, false);
            close_problem(&p);
        }
}

/* ---- one row in whole numbers --------------------------------------------------------------- */

/* Numbers of like size; those of an edge case (whole ones that just fit two digits, or just do not;
 * sums that just fit); otherwise the awkward ones */
static float row_number(int kind, uint64_t i)
{
    static const float edges[] = {32640, 1, -65280, 32512, -1, 0, 65280, -32640, 2, -32512};
    uint64_t pick = hone_rng_u64(9, (uint64_t)kind, i);
    if (kind == KINDS)
        return (float)ldexp((double)(pick % 256) - 128.0, (int)(pick >> 8 & 3) - 60);
    if (kind == KINDS + 1)
        return i / 32 % 3 == 2 ? edges[pick % 10]
               : i / 32 % 3    ? (pick % 2 ? 65280.0f : -65280.0f) * (i % 32 ? 1.0f : 1.0f / 65280)
                               : edges[pick % 3 * 3];
    return number(kind, 1000, i);
}

/* One row of p by kt, through whole numbers if `whole`; counts blocks by what they are. */
static float *run_row(const problem *p, const hone_kernels *kt, bool whole, size_t seen[4])
{
    hone_kernels own = *kt;
    for (int l = 0; l < HONE_LAYOUT_COUNT; l++)
        own.whole[l] = whole;
    int flags = hone_act_flags(&p->w);
    size_t bytes = hone_act_bytes(&own, 1, p->w.k, flags), sb = hone_product_scratch_bytes();
    void *mem = get(bytes), *scratch = get(sb);
    float *y = get((p->w.n + 3) * 4);
    hone_act a;
    unsigned mode = hone_fp_mode_enter();
    hone_act_init(&own, 1, p->w.k, flags, mem, &a);
    own.act_pack(&a, p->x, p->w.k, 0, 1);
    for (size_t i = 0; i < p->w.n + 3; i++)
        y[i] = 12345.0f;
    size_t cut = p->w.n_panels / 3;
    hone_product(&own, &p->w, &a, 0, 1, 0, cut, y, p->w.n, p->bias, scratch);
    hone_product(&own, &p->w, &a, 0, 1, cut, p->w.n_panels, y, p->w.n, p->bias, scratch);
    hone_fp_mode_leave(mode);
    assert_true(!own.act_whole || a.whole);
    for (size_t b = 0; a.whole && b < a.k_pad / 32; b++)
        seen[a.whole[b].size <= 0x1p21f ? a.whole[b].digits : 0]++;
    hone_free_big(mem, bytes + 64);
    hone_free_big(scratch, sb + 64);
    return y;
}

static void check_row(hone_dtype t, size_t n, size_t k, int kind, size_t seen[4])
{
    problem p;
    size_t none[4] = {0};
    open_problem(&p, t, false, n, k, 1, KIND_NORMAL);
    for (size_t i = 0; i < k; i++)
        p.x[i] = row_number(kind, i);
    float *want = run_row(&p, hone_kernels_get(HONE_ISA_SCALAR), false, none);
    for (int isa = 0; isa < HONE_ISA_COUNT; isa++) {
        if (!hone_isa_supported((hone_isa)isa) || !hone_kernels_get((hone_isa)isa)->act_whole)
            continue;
        float *got = run_row(&p, hone_kernels_get((hone_isa)isa), true, seen);
        for (size_t i = 0; i < n + 3; i++)
            if (!same(want[i], got[i]))
                fail_msg("%s %s kind %d: n %zu k %zu: [%zu] is %a, scalar %a",
                         hone_isa_name((hone_isa)isa), hone_dtype_name(t), kind, n, k, i,
                         (double)got[i], (double)want[i]);
        hone_free_big(got, (n + 3) * 4 + 64);
    }
    hone_free_big(want, (n + 3) * 4 + 64);
    close_problem(&p);
}

/* Codes of 2 to 6 bits with groups of 16 and 32, with and without minima; blocks of two digits, of
 * three, and such as have no exact sums */
static void one_row_in_whole_numbers_equals_scalar(void **state)
{
    (void)state;
    static const hone_dtype types[] = {HONE_DTYPE_Q4_0, HONE_DTYPE_Q4_1, HONE_DTYPE_Q4_K,
                                       HONE_DTYPE_Q5_0, HONE_DTYPE_Q5_1, HONE_DTYPE_Q5_K,
                                       HONE_DTYPE_Q2_K, HONE_DTYPE_Q3_K, HONE_DTYPE_Q6_K};
    static const size_t ns[] = {1, 37}, ks[] = {256, 1280};
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        size_t seen[4] = {0};
        for (size_t i = 0; i < sizeof ns / sizeof *ns; i++)
            for (size_t j = 0; j < sizeof ks / sizeof *ks; j++)
                for (int kind = 0; kind < KINDS + 2; kind++)
                    check_row(types[t], ns[i], ks[j], kind, seen);
        if (hone_isa_supported(HONE_ISA_AVX2)) {
            assert_true(seen[0] > 50);
            assert_true(seen[2] > 50);
            assert_true(seen[3] > 50);
        }
    }
}

/* Every way of cutting a middling number of rows into groups */
static void groups_of_rows_equal_scalar(void **state)
{
    (void)state;
    for (size_t rows = 5; rows < 36; rows++) {
        check_sets(HONE_DTYPE_BF16, false, 35, 96, rows, (int)(rows % KINDS));
        check_sets(rows % 2 ? HONE_DTYPE_Q4_1 : HONE_DTYPE_Q6_K, false, 35, 256, rows, KIND_WIDE);
    }
}

/* Beyond every block that a set cuts rows and K into (256 rows, 2048 of K). */
static void long_sums_and_many_rows_equal_scalar(void **state)
{
    (void)state;
    check_sets(HONE_DTYPE_BF16, false, 21, 2200, 40, KIND_NORMAL);
    check_sets(HONE_DTYPE_BF16, false, 33, 96, 275, KIND_WIDE);
    check_sets(HONE_DTYPE_Q4_1, false, 21, 2208, 40, KIND_NORMAL);
    check_sets(HONE_DTYPE_Q8_0, false, 17, 1056, 31, KIND_WIDE);
    check_sets(HONE_DTYPE_F32, true, 33, 320, 275, KIND_NORMAL);
}

/* Someone else's arithmetic: the sum in double of decoded weights and rounded activations. */
static void check_double(hone_dtype t, bool f32)
{
    problem p;
    enum { N = 20, K = 320, ROWS = 3 };
    open_problem(&p, t, f32, N, K, ROWS, KIND_NORMAL);
    float *y = run(&p, (int)hone_isa_best(), true, true, N), *w = get(N * K * 4);
    assert_true(hone_dtype_decode(t, p.source, N * K, w));
    for (size_t r = 0; r < ROWS; r++)
        for (size_t c = 0; c < N; c++) {
            double sum = 0.0, size = 0.0;
            for (size_t k = 0; k < K; k++) {
                float a = p.x[r * K + k];
                double v = (double)(f32 ? a : hone_bf16_to_f32(hone_f32_to_bf16(a))) *
                           (double)w[c * K + k];
                sum += v;
                size += fabs(v);
            }
            sum += (double)p.bias[c];
            assert_true(fabs((double)y[r * N + c] - sum) <= 2e-6 * (size + 1.0));
        }
    hone_free_big(w, N * K * 4 + 64);
    hone_free_big(y, ROWS * N * 4 + 64);
    close_problem(&p);
}

static void products_agree_with_double_precision(void **state)
{
    (void)state;
    check_double(HONE_DTYPE_BF16, false);
    check_double(HONE_DTYPE_F32, true);
    check_double(HONE_DTYPE_Q8_0, false);
    check_double(HONE_DTYPE_Q4_0, false);
    check_double(HONE_DTYPE_Q4_1, false);
    check_double(HONE_DTYPE_Q5_0, false);
    check_double(HONE_DTYPE_Q5_1, false);
}

static void an_unpacked_row_is_the_decoded_row(void **state)
{
    (void)state;
    static const hone_dtype types[] = {HONE_DTYPE_BF16, HONE_DTYPE_Q8_0, HONE_DTYPE_Q4_0,
                                       HONE_DTYPE_Q4_1, HONE_DTYPE_Q5_0, HONE_DTYPE_Q5_1};
    float want[64], got[64];
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        problem p;
        size_t row_bytes = 0;
        open_problem(&p, types[i], false, 37, 64, 1, KIND_NORMAL);
        assert_true(hone_dtype_row_bytes(types[i], 64, &row_bytes));
        for (size_t r = 0; r < 37; r++) {
            assert_true(hone_dtype_decode(types[i], p.source + r * row_bytes, 64, want));
            hone_unpack_row(&p.w, r, got);
            for (size_t k = 0; k < 64; k++)
                assert_true(fabsf(want[k] - got[k]) <= 1e-6f * (1.0f + fabsf(want[k])));
        }
        close_problem(&p);
    }
}

static void what_cannot_be_packed_is_refused(void **state)
{
    (void)state;
    hone_packed w;
    hone_coding q8 = hone_dtype_coding(HONE_DTYPE_Q8_0), plain = hone_dtype_coding(HONE_DTYPE_BF16);
    assert_int_equal(hone_packed_plan(HONE_LAYOUT_U4, &q8, 16, 32, &w), HONE_UNSUPPORTED);
    assert_int_equal(hone_packed_plan(HONE_LAYOUT_I8, &plain, 16, 32, &w), HONE_UNSUPPORTED);
    assert_int_equal(hone_packed_plan(HONE_LAYOUT_BF16, &plain, 0, 32, &w), HONE_LIMIT);
    assert_int_equal(hone_packed_plan(HONE_LAYOUT_BF16, &plain, SIZE_MAX / 2, 32, &w), HONE_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_set_equals_scalar_in_float_layouts),
        cmocka_unit_test(every_set_equals_scalar_in_scaled_layouts),
        cmocka_unit_test(a_code_table_and_long_groups_equal_scalar),
        cmocka_unit_test(tables_that_look_linear_equal_scalar),
        cmocka_unit_test(every_coding_equals_scalar),
        cmocka_unit_test(groups_of_rows_equal_scalar),
        cmocka_unit_test(one_row_in_whole_numbers_equals_scalar),
        cmocka_unit_test(long_sums_and_many_rows_equal_scalar),
        cmocka_unit_test(products_agree_with_double_precision),
        cmocka_unit_test(an_unpacked_row_is_the_decoded_row),
        cmocka_unit_test(what_cannot_be_packed_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
