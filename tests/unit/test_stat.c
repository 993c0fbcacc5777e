// links: stat
#include "base/mem.h"
#include "base/rng.h"
#include "stat/stat.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static json_t *golden;

static void near(double got, double want, double relative)
{
    if (fabs(got - want) > relative * fmax(fabs(want), 1e-3))
        fail_msg("got %.17g, want %.17g", got, want);
}

static double number(const char *key)
{
    json_t *v = json_object_get(golden, key);
    assert_true(json_is_number(v));
    return json_number_value(v);
}

static double at(const json_t *array, size_t i)
{
    return json_number_value(json_array_get(array, i));
}

static size_t array(const char *key, double *out, size_t capacity)
{
    json_t *v = json_object_get(golden, key);
    size_t n = json_array_size(v);
    assert_in_range(n, 1, capacity);
    for (size_t i = 0; i < n; i++)
        out[i] = at(v, i);
    return n;
}

static int open_golden(void **state)
{
    (void)state;
    golden = json_load_file(HONE_SOURCE_DIR "/tests/golden/data/stat.json", 0, NULL);
    return golden ? 0 : -1;
}

static int close_golden(void **state)
{
    (void)state;
    json_decref(golden);
    return 0;
}

static void quantiles_of_normal_and_t_equal_scipy(void **state)
{
    (void)state;
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(golden, "normal"), i, row)
        near(hone_stat_normal_quantile(at(row, 0)), at(row, 1), 1e-12);
    assert_true(i >= 10);
    json_array_foreach(json_object_get(golden, "t"), i, row)
        near(hone_stat_t_quantile(at(row, 0), at(row, 1)), at(row, 2), 1e-9);
    assert_true(i >= 50);
    json_array_foreach(json_object_get(golden, "t_cdf"), i, row)
        near(hone_stat_t_cdf(at(row, 0), at(row, 1)), at(row, 2), 1e-10);
    assert_true(i >= 20);
}

static void mean_sd_and_quantiles_equal_numpy(void **state)
{
    (void)state;
    double a[64];
    size_t n = array("a", a, 64), i;
    near(hone_stat_mean(a, n), number("mean"), 1e-14);
    near(hone_stat_sd(a, n), number("sd"), 1e-13);
    json_t *row;
    json_array_foreach(json_object_get(golden, "quantiles"), i, row)
    {
        double q;
        assert_int_equal(hone_stat_quantile(a, n, at(row, 0), &q), HONE_OK);
        near(q, at(row, 1), 1e-14);
    }
}

static void the_mean_keeps_small_values_beside_large_ones(void **state)
{
    (void)state;
    double x[] = {1e16, 1, 1, -1e16};
    near(hone_stat_mean(x, 4), 0.5, 1e-15);
}

static void intervals_equal_scipy(void **state)
{
    (void)state;
    double a[64], b[64], diff[256], want[3], mean, upper;
    size_t n = array("a", a, 64);
    assert_int_equal(array("b", b, 64), n);
    size_t nd = array("diff", diff, 256);
    hone_interval got;
    array("t_interval", want, 3);
    assert_int_equal(hone_stat_t_interval(a, n, 0.95, &got), HONE_OK);
    near(got.lo, want[0], 1e-10);
    near(got.hi, want[1], 1e-10);
    array("ratio_t", want, 3);
    assert_int_equal(hone_stat_ratio_t(a, b, n, 0.95, &got), HONE_OK);
    near(got.point, want[0], 1e-12);
    near(got.lo, want[1], 1e-10);
    near(got.hi, want[2], 1e-10);
    assert_int_equal(hone_stat_mean_upper(diff, nd, 1, 0.95, &mean, &upper), HONE_OK);
    near(upper, number("upper_independent"), 1e-10);
    assert_int_equal(hone_stat_mean_upper(diff, nd, 10, 0.95, &mean, &upper), HONE_OK);
    near(upper, number("upper_runs_of_10"), 1e-10);
    /* Another generator draws the resamples: equal to the noise of 20 000 of them. */
    array("ratio_bootstrap", want, 3);
    assert_int_equal(hone_stat_ratio_bootstrap(a, b, n, 0.95, 1, 20000, &got), HONE_OK);
    near(got.point, want[0], 1e-12);
    near(got.lo, want[1], 5e-3);
    near(got.hi, want[2], 5e-3);
}

/* Pairs whose log ratios are 1, 2, 3...: the bounds show the ranks. */
static double rank_of_bound(size_t n, double level)
{
    double a[256], b[256];
    for (size_t i = 0; i < n; i++) {
        a[i] = exp((double)((i * 11) % n + 1) / 8);
        b[i] = 1;
    }
    hone_interval r;
    assert_int_equal(hone_stat_ratio_median(a, b, n, level, &r), HONE_OK);
    near(8 * (log(r.lo) + log(r.hi)), (double)n + 1, 1e-9);
    near(8 * log(r.point), ((double)n + 1) / 2, 1e-9);
    return round(8 * log(r.lo));
}

static void the_median_is_bounded_by_the_published_ranks(void **state)
{
    (void)state;
    /* Conover 1999, table of sign-test confidence intervals: 95 % */
    assert_true(rank_of_bound(10, 0.95) == 2);
    assert_true(rank_of_bound(12, 0.95) == 3);
    assert_true(rank_of_bound(20, 0.95) == 6);
    assert_true(rank_of_bound(25, 0.95) == 8);
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(golden, "median_ranks"), i, row)
        assert_true(rank_of_bound((size_t)at(row, 0), at(row, 1)) == at(row, 2));
    assert_true(i >= 18);
    double one[] = {1, 1, 1, 1, 1};
    hone_interval r;
    assert_int_equal(hone_stat_ratio_median(one, one, 5, 0.95, &r), HONE_USAGE);
}

static void a_seed_gives_the_same_bootstrap_again_and_another_seed_does_not(void **state)
{
    (void)state;
    double a[64];
    size_t n = array("a", a, 64);
    hone_interval x, y, z;
    assert_int_equal(hone_stat_bootstrap_median(a, n, 0.9, 5, 50, &x), HONE_OK);
    assert_int_equal(hone_stat_bootstrap_median(a, n, 0.9, 5, 50, &y), HONE_OK);
    assert_int_equal(hone_stat_bootstrap_median(a, n, 0.9, 6, 50, &z), HONE_OK);
    assert_true(x.lo == y.lo && x.hi == y.hi);
    assert_true(x.lo != z.lo || x.hi != z.hi);
}

/* Of 95 % intervals, 95 % must hold the truth: planted null effects are claimed that seldom. */
static void intervals_cover_the_truth_as_often_as_they_say(void **state)
{
    (void)state;
    enum { trials = 2000, pairs = 10 };
    int t_covers = 0, upper_covers = 0;
    for (uint64_t trial = 0; trial < trials; trial++) {
        double a[pairs], b[pairs], diff[pairs], z[2], mean, upper;
        for (uint64_t i = 0; i < pairs; i++) {
            hone_rng_normal2(11, trial, i, z);
            a[i] = exp(0.05 * z[0]);
            b[i] = exp(0.05 * z[1]);
            diff[i] = z[0];
        }
        hone_interval r;
        assert_int_equal(hone_stat_ratio_t(a, b, pairs, 0.95, &r), HONE_OK);
        t_covers += r.lo <= 1 && 1 <= r.hi;
        assert_int_equal(hone_stat_mean_upper(diff, pairs, 1, 0.95, &mean, &upper), HONE_OK);
        upper_covers += upper >= 0;
    }
    assert_in_range(t_covers, 1870, 1930); /* 1900 +- 3 standard errors of 9.7 */
    assert_in_range(upper_covers, 1870, 1930);
}

static void too_few_or_impossible_values_are_refused(void **state)
{
    (void)state;
    double one[] = {1}, bad[] = {1, 0}, nan[] = {1, NAN}, two[] = {1, 2}, x, y;
    hone_interval r;
    assert_int_equal(hone_stat_median(one, 0, &x), HONE_USAGE);
    assert_int_equal(hone_stat_t_interval(one, 1, 0.95, &r), HONE_USAGE);
    assert_int_equal(hone_stat_ratio_t(bad, two, 2, 0.95, &r), HONE_USAGE);
    assert_int_equal(hone_stat_ratio_bootstrap(two, nan, 2, 0.95, 1, 9, &r), HONE_USAGE);
    assert_int_equal(hone_stat_mean_upper(two, 2, 0, 0.95, &x, &y), HONE_USAGE);
    assert_int_equal(hone_stat_mean_upper(two, 2, 2, 0.95, &x, &y), HONE_USAGE);
}

static void a_failed_allocation_is_returned(void **state)
{
    (void)state;
    double a[] = {1, 2, 3}, x;
    hone_interval r;
    hone_mem_fail_after(0);
    hone_status median = hone_stat_median(a, 3, &x);
    hone_status ratio = hone_stat_ratio_t(a, a, 3, 0.95, &r);
    hone_mem_fail_after(-1);
    assert_int_equal(median, HONE_MEMORY);
    assert_int_equal(ratio, HONE_MEMORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_of_normal_and_t_equal_scipy),
        cmocka_unit_test(mean_sd_and_quantiles_equal_numpy),
        cmocka_unit_test(the_mean_keeps_small_values_beside_large_ones),
        cmocka_unit_test(intervals_equal_scipy),
        cmocka_unit_test(the_median_is_bounded_by_the_published_ranks),
        cmocka_unit_test(a_seed_gives_the_same_bootstrap_again_and_another_seed_does_not),
        cmocka_unit_test(intervals_cover_the_truth_as_often_as_they_say),
        cmocka_unit_test(too_few_or_impossible_values_are_refused),
        cmocka_unit_test(a_failed_allocation_is_returned),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
