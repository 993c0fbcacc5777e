// links: kernel
/* Row operations: every set gives scalar's bits on odd lengths and awkward numbers; values agree
 * with libm in double; bfloat16 rounding on known vectors; instruction sets can be picked and
 * refused. */
#include "base/mem.h"
#include "base/rng.h"
#include "kernel/kernel.h"
#include "kernel/layout.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX = 1100 };

static float x[MAX], z[MAX], angle_cos[MAX], angle_sin[MAX];

static void numbers(int kind)
{
    double g[2];
    for (size_t i = 0; i < MAX; i++) {
        hone_rng_normal2(3, (uint64_t)kind, i, g);
        uint64_t pick = hone_rng_u64(4, (uint64_t)kind, i);
        x[i] = (float)g[0];
        z[i] = (float)g[1];
        if (kind == 1)
            x[i] = (float)ldexp(g[0], (int)(pick % 30) - 20);
        else if (kind == 2) /* subnormals, zeros and large ones */
            x[i] = pick % 4 == 0 ? -0.0f : (float)ldexp(g[0], pick % 2 ? -130 : 8);
        else if (kind == 3 && pick % 97 == 0)
            x[i] = pick % 2 ? INFINITY : pick % 3 ? -INFINITY : NAN;
        angle_cos[i] = (float)cos(g[1]);
        angle_sin[i] = (float)sin(g[1]);
    }
}

/* What operation `op` of a set does to the first n numbers: all its results in out. */
static const char *const op_names[] = {"rmsnorm",       "rmsnorm without weight",
                                       "rope",          "rope interleaved",
                                       "silu_mul",      "add",
                                       "scale",         "max",
                                       "argmax",        "exp_sum",
                                       "logsumexp",     "round_bf16",
                                       "layernorm",     "layernorm without bias",
                                       "gelu_mul",      "gelu",
                                       "gelu_tanh_mul", "relu_mul",
                                       "softcap",       "tanh_mul",
                                       "silu"};
enum { OPS = sizeof op_names / sizeof *op_names };

static void apply(const hone_kernels *kt, int op, size_t n, float *out)
{
    unsigned mode = hone_fp_mode_enter();
    memcpy(out, x, n * 4);
    out[n] = 0;
    switch (op) {
    case 0:
    case 1:
        kt->rmsnorm(x, n, op ? NULL : z, 1e-5f, 1, n, out, n);
        break;
    case 2:
    case 3: /* heads of n/3 numbers, of which an even part is rotated */
        kt->rope(out, 3, n / 3, n / 3 / 2 * 2, angle_cos, angle_sin, op == 3);
        break;
    case 4:
        kt->silu_mul(x, z, n, out);
        break;
    case 5:
        kt->add(out, z, n);
        break;
    case 6:
        kt->scale(out, 0.3f, n);
        break;
    case 7:
        out[n] = kt->max(x, n);
        break;
    case 8:
        out[n] = (float)kt->argmax(x, n);
        break;
    case 9:
        out[n] = kt->exp_sum(x, 0.5f, n, out);
        break;
    case 10:
        out[n] = kt->logsumexp(x, n);
        break;
    case 11:
        kt->round_bf16(x, n, out);
        break;
    case 12:
    case 13:
        kt->layernorm(x, n, z, op == 12 ? angle_cos : NULL, 1e-5f, 1, n, out, n);
        break;
    case 14:
    case 15:
        kt->gelu_mul(x, op == 14 ? z : NULL, n, out);
        break;
    case 16:
        kt->gelu_tanh_mul(x, z, n, out);
        break;
    case 17:
        kt->relu_mul(x, z, n, out);
        break;
    case 18:
        kt->softcap(out, 1.5f, n);
        break;
    case 19:
        kt->tanh_mul(x, z, n, out);
        break;
    default:
        kt->silu_mul(x, NULL, n, out);
    }
    hone_fp_mode_leave(mode);
}

static void every_set_equals_scalar(void **state)
{
    (void)state;
    static const size_t ns[] = {1, 3, 15, 16, 17, 31, 33, 48, 100, 257, 1024, 1099};
    static float want[MAX + 1], got[MAX + 1];
    for (int kind = 0; kind < 4; kind++) {
        numbers(kind);
        for (int op = 0; op < OPS; op++)
            for (size_t i = 0; i < sizeof ns / sizeof *ns; i++)
                for (int isa = 1; isa < HONE_ISA_COUNT; isa++) {
                    if (!hone_isa_supported((hone_isa)isa))
                        continue;
                    apply(hone_kernels_get(HONE_ISA_SCALAR), op, ns[i], want);
                    apply(hone_kernels_get((hone_isa)isa), op, ns[i], got);
                    for (size_t k = 0; k <= ns[i]; k++)
                        if (hone_f32_bits(want[k]) != hone_f32_bits(got[k]) &&
                            !(isnan(want[k]) && isnan(got[k])))
                            fail_msg("%s %s of %zu, kind %d: [%zu] is %a, scalar %a",
                                     hone_isa_name((hone_isa)isa), op_names[op], ns[i], kind, k,
                                     (double)got[k], (double)want[k]);
                }
    }
}

static void near(double got, double want, double relative, double absolute)
{
    if (!(fabs(got - want) <= relative * fabs(want) + absolute))
        fail_msg("%.9g instead of %.9g", got, want);
}

static void values_agree_with_libm(void **state)
{
    (void)state;
    static float out[MAX + 1];
    const hone_kernels *kt = hone_kernels_get(hone_isa_best());
    const size_t n = 999;
    numbers(0);
    double squares = 0, sum = 0, top = -1e9;
    for (size_t i = 0; i < n; i++) {
        squares += (double)x[i] * (double)x[i];
        sum += exp((double)x[i] - 0.5);
        top = fmax(top, (double)x[i]);
    }
    apply(kt, 0, n, out);
    for (size_t i = 0; i < n; i++)
        near(out[i], (double)x[i] / sqrt(squares / (double)n + 1e-5) * (double)z[i], 1e-6, 1e-9);
    apply(kt, 4, n, out);
    for (size_t i = 0; i < n; i++)
        near(out[i], (double)x[i] / (1 + exp(-(double)x[i])) * (double)z[i], 1e-6, 1e-9);
    apply(kt, 9, n, out);
    for (size_t i = 0; i < n; i++)
        near(out[i], exp((double)x[i] - 0.5), 3e-7, 0);
    near(out[n], sum, 1e-5, 0);
    apply(kt, 7, n, out);
    assert_true((double)out[n] == top);
    apply(kt, 10, n, out);
    near(out[n], log(sum) + 0.5, 1e-6, 0);
    apply(kt, 2, n, out);
    for (size_t i = 0; i < 166; i++)
        near(out[i],
             (double)x[i] * (double)angle_cos[i] - (double)x[i + 166] * (double)angle_sin[i], 1e-6,
             1e-6);
    apply(kt, 3, n, out);
    for (size_t i = 0; i < 166; i++)
        near(out[2 * i + 1],
             (double)x[2 * i + 1] * (double)angle_cos[i] + (double)x[2 * i] * (double)angle_sin[i],
             1e-6, 1e-6);
}

static void activations_and_layernorm_agree_with_libm(void **state)
{
    (void)state;
    static float out[MAX + 1];
    const hone_kernels *kt = hone_kernels_get(hone_isa_best());
    const size_t n = 999;
    double mean = 0, variance = 0;
    numbers(0);
    for (size_t i = 0; i < n; i++)
        x[i] *= 3;
    for (size_t i = 0; i < n; i++)
        mean += (double)x[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        variance += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)n;
    apply(kt, 12, n, out);
    for (size_t i = 0; i < n; i++)
        near(out[i],
             ((double)x[i] - mean) / sqrt(variance + 1e-5) * (double)z[i] + (double)angle_cos[i],
             1e-6, 1e-6);
    apply(kt, 15, n, out);
    for (size_t i = 0; i < n; i++)
        near(out[i], 0.5 * (double)x[i] * (1 + erf((double)x[i] / sqrt(2))), 4e-7, 5e-7);
    apply(kt, 16, n, out);
    for (size_t i = 0; i < n; i++) {
        double v = (double)x[i], u = sqrt(2 / acos(-1)) * (v + 0.044715 * v * v * v);
        near(out[i], 0.5 * v * (1 + tanh(u)) * (double)z[i], 1e-6, 1e-6);
    }
    apply(kt, 17, n, out);
    for (size_t i = 0; i < n; i++)
        assert_true(out[i] == (x[i] > 0 ? x[i] : 0) * z[i]);
    apply(kt, 18, n, out);
    for (size_t i = 0; i < n; i++)
        near(out[i], 1.5 * tanh((double)x[i] / 1.5), 3e-7, 0);
}

static void exp_is_right_over_its_whole_range(void **state)
{
    (void)state;
    const hone_kernels *kt = hone_kernels_get(hone_isa_best());
    unsigned mode = hone_fp_mode_enter();
    for (int i = -8690; i < 8830; i++) {
        float v = (float)i / 100.0f, y;
        kt->exp_sum(&v, 0.0f, 1, &y);
        near(y, exp((double)v), 3e-7, 0);
    }
    static const float edge[][2] = {{-INFINITY, 0.0f},    {-88.0f, 0.0f}, {89.0f, INFINITY},
                                    {INFINITY, INFINITY}, {0.0f, 1.0f},   {-0.0f, 1.0f}};
    for (size_t i = 0; i < sizeof edge / sizeof *edge; i++) {
        float y;
        kt->exp_sum(&edge[i][0], 0.0f, 1, &y);
        assert_true(y == edge[i][1]);
    }
    hone_fp_mode_leave(mode);
}

/* Bits: input, bfloat16 after round to nearest even (ties worked out by hand from the definition;
 * the NaN and overflow rows as Intel's VCVTNEPS2BF16 documents them). */
static void bf16_rounding_is_to_nearest_even(void **state)
{
    (void)state;
    static const uint32_t cases[][2] = {
        {0x3f800000, 0x3f80}, /* 1 */
        {0x3f808000, 0x3f80}, /* tie, even below */
        {0x3f818000, 0x3f82}, /* tie, even above */
        {0x3f808001, 0x3f81}, /* just over the tie */
        {0x3f817fff, 0x3f81}, /* just under the tie */
        {0x40490fdb, 0x4049}, /* pi */
        {0xbf808001, 0xbf81}, /* sign */
        {0x7f7fffff, 0x7f80}, /* the largest float rounds to infinity */
        {0x7f7f7fff, 0x7f7f}, /* the largest that does not */
        {0x80000000, 0x8000}, /* -0 */
        {0x7f800000, 0x7f80}, /* infinity */
        {0x7f800001, 0x7fc0}, /* NaN made quiet */
    };
    for (int isa = 0; isa < HONE_ISA_COUNT; isa++) {
        if (!hone_isa_supported((hone_isa)isa))
            continue;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            float v = hone_f32_from_bits(cases[i][0]), y;
            hone_kernels_get((hone_isa)isa)->round_bf16(&v, 1, &y);
            assert_int_equal(hone_f32_bits(y), cases[i][1] << 16);
        }
    }
}

static void an_instruction_set_can_be_forced_or_is_refused_with_a_list(void **state)
{
    (void)state;
    hone_isa isa = HONE_ISA_COUNT;
    assert_true(hone_isa_supported(HONE_ISA_SCALAR));
    assert_int_equal(hone_isa_pick("scalar", &isa), HONE_OK);
    assert_int_equal(isa, HONE_ISA_SCALAR);
    assert_int_equal(hone_isa_pick("sse9", &isa), HONE_USAGE);
    assert_non_null(strstr(hone_error(), "scalar"));
    assert_int_equal(setenv("HONE_ISA", "scalar", 1), 0);
    assert_int_equal(hone_isa_pick(NULL, &isa), HONE_OK);
    assert_int_equal(isa, HONE_ISA_SCALAR);
    assert_int_equal(setenv("HONE_ISA", "nonsense", 1), 0);
    assert_int_equal(hone_isa_pick(NULL, &isa), HONE_USAGE);
    assert_int_equal(unsetenv("HONE_ISA"), 0);
    assert_int_equal(hone_isa_pick(NULL, &isa), HONE_OK);
    assert_int_equal(isa, hone_isa_best());
    for (int i = 0; i < HONE_ISA_COUNT; i++)
        if (!hone_isa_supported((hone_isa)i))
            assert_int_equal(hone_isa_pick(hone_isa_name((hone_isa)i), &isa), HONE_USAGE);
}

static void the_callers_floating_point_mode_comes_back(void **state)
{
    (void)state;
    volatile float tiny = 1e-40f, one = 1.0f;
    assert_true(tiny * one != 0.0f);
    unsigned mode = hone_fp_mode_enter();
    assert_true(tiny * one == 0.0f);
    hone_fp_mode_leave(mode);
    assert_true(tiny * one != 0.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_set_equals_scalar),
        cmocka_unit_test(values_agree_with_libm),
        cmocka_unit_test(activations_and_layernorm_agree_with_libm),
        cmocka_unit_test(exp_is_right_over_its_whole_range),
        cmocka_unit_test(bf16_rounding_is_to_nearest_even),
        cmocka_unit_test(an_instruction_set_can_be_forced_or_is_refused_with_a_list),
        cmocka_unit_test(the_callers_floating_point_mode_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
