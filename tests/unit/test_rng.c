// links: base
#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Random123 1.14, tests/kat_vectors, "philox4x32 10": counter, key, result. */
static const struct {
    uint32_t counter[4], key[2], want[4];
} vectors[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

static void blocks_equal_random123s_known_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        const uint32_t *c = vectors[i].counter, *k = vectors[i].key;
        uint32_t out[4];
        hone_rng_block((uint64_t)k[1] << 32 | k[0], (uint64_t)c[3] << 32 | c[2],
                       (uint64_t)c[1] << 32 | c[0], out);
        assert_memory_equal(out, vectors[i].want, sizeof out);
    }
}

static void uniform_lies_in_the_half_open_unit_interval(void **state)
{
    (void)state;
    double sum = 0, squares = 0;
    enum { N = 100000 };
    for (uint64_t i = 0; i < N; i++) {
        double u = hone_rng_uniform(9, 4, i);
        assert_true(u >= 0 && u < 1);
        sum += u;
        squares += u * u;
    }
    /* mean 1/2 and second moment 1/3, within five standard errors */
    assert_true(fabs(sum / N - 0.5) < 5 * sqrt(1.0 / 12 / N));
    assert_true(fabs(squares / N - 1.0 / 3) < 5 * sqrt(4.0 / 45 / N));
}

static void normals_have_mean_0_variance_1_and_no_correlation(void **state)
{
    (void)state;
    double sum = 0, squares = 0, product = 0, fourth = 0;
    enum { N = 50000 };
    for (uint64_t i = 0; i < N; i++) {
        double z[2];
        hone_rng_normal2(1, 2, i, z);
        sum += z[0] + z[1];
        squares += z[0] * z[0] + z[1] * z[1];
        fourth += pow(z[0], 4) + pow(z[1], 4);
        product += z[0] * z[1];
    }
    assert_true(fabs(sum / (2 * N)) < 5 / sqrt(2.0 * N));
    assert_true(fabs(squares / (2 * N) - 1) < 5 * sqrt(2 / (2.0 * N)));
    assert_true(fabs(fourth / (2 * N) - 3) < 5 * sqrt(96 / (2.0 * N)));
    assert_true(fabs(product / N) < 5 / sqrt((double)N));
}

static void below_covers_its_range_evenly(void **state)
{
    (void)state;
    int count[7] = {0};
    enum { N = 70000 };
    for (uint64_t i = 0; i < N; i++) {
        uint64_t v = hone_rng_below(3, 3, i, 7);
        assert_true(v < 7);
        count[v]++;
    }
    double chi = 0;
    for (int k = 0; k < 7; k++)
        chi += pow(count[k] - N / 7.0, 2) / (N / 7.0);
    assert_true(chi < 27.9); /* 99.99 % of chi-squared with 6 degrees of freedom */
    assert_true(hone_rng_below(3, 3, 0, 1) == 0);
    assert_true(hone_rng_below(3, 3, 0, UINT64_MAX) < UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_equal_random123s_known_answers),
        cmocka_unit_test(uniform_lies_in_the_half_open_unit_interval),
        cmocka_unit_test(normals_have_mean_0_variance_1_and_no_correlation),
        cmocka_unit_test(below_covers_its_range_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
