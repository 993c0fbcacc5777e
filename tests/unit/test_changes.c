// links: stat
/* Change points and the comparison of two sides: beside scipy, numpy and Otava, and by simulation.
 */
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "stat/changes.h"
#include "stat/versus.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { RESAMPLES = 4000, MANY = 256 };

static json_t *golden;

static double at(const json_t *array, size_t i)
{
    return json_number_value(json_array_get(array, i));
}

static size_t fill(const json_t *array, double *out)
{
    size_t n = json_array_size(array);
    assert_in_range(n, 1, MANY);
    for (size_t i = 0; i < n; i++)
        out[i] = at(array, i);
    return n;
}

static void near(double got, double want, double relative)
{
    if (!(fabs(got - want) <= relative * fmax(fabs(want), 1e-3)))
        fail_msg("got %.17g, want %.17g", got, want);
}

static void energy_equals_scipys_energy_distance(void **state)
{
    (void)state;
    size_t i, k;
    json_t *s, *row;
    double x[MANY];
    json_array_foreach(json_object_get(golden, "series"), i, s)
    {
        size_t n = fill(json_object_get(s, "x"), x);
        json_array_foreach(json_object_get(s, "energy"), k, row)
            near(hone_stat_energy(x, n, (size_t)at(row, 0)), at(row, 1), 1e-9);
    }
}

/* Otava names the same points, or (its permutations differ) neighbours of them. */
static void changes_are_those_of_otava(void **state)
{
    (void)state;
    size_t i;
    json_t *s;
    double x[MANY];
    json_array_foreach(json_object_get(golden, "series"), i, s)
    {
        hone_change found[8];
        size_t count, n = fill(json_object_get(s, "x"), x);
        json_t *want = json_object_get(s, "changes");
        hone_changes_options o = {.seed = 3};
        assert_int_equal(hone_stat_changes(x, n, &o, found, 8, &count), HONE_OK);
        assert_int_equal(count, json_array_size(want));
        for (size_t k = 0; k < count; k++)
            assert_true(fabs((double)found[k].at - at(want, k)) <= 1);
    }
}

static void first_division_is_the_best_of_all_that_brute_force_tries(void **state)
{
    (void)state;
    json_t *s = json_array_get(json_object_get(golden, "series"), 1);
    double x[MANY];
    hone_change found[1];
    size_t count, n = fill(json_object_get(s, "x"), x);
    hone_changes_options o = {.seed = 1};
    assert_int_equal(hone_stat_changes(x, n, &o, found, 1, &count), HONE_OK);
    assert_int_equal(found[0].at, (size_t)json_number_value(json_object_get(s, "best_at")));
}

/* A noisy history of 30 runs, `slower` from run `from` on; noise: 1 % and now and then a disturbed
 * run. */
static size_t history(uint64_t seed, double noise, double slower, size_t from, double *x)
{
    for (size_t i = 0; i < 30; i++) {
        double z[2];
        hone_rng_normal2(seed, 0, i, z);
        double outlier = hone_rng_uniform(seed, 1, i) < 0.05 ? 0.08 : 0;
        x[i] = log(100 * (1 + noise * z[0] - outlier) * (i >= from ? 1 - slower : 1));
    }
    return 30;
}

/* Of `histories` slowed down at run `from`; *placed: found within two runs of it. */
static int found_of(uint64_t first, int histories, size_t from, double level, int *placed)
{
    int found = 0;
    *placed = 0;
    for (uint64_t seed = first; seed < first + (uint64_t)histories; seed++) {
        double x[30];
        hone_change c[4];
        size_t count, n = history(seed, 0.01, 0.03, from, x);
        hone_changes_options o = {.seed = seed, .clip = 2, .level = level};
        assert_int_equal(hone_stat_changes(x, n, &o, c, 4, &count), HONE_OK);
        found += count > 0;
        *placed += count > 0 && c[0].at + 2 >= from && c[0].at <= from + 2;
    }
    return found;
}

static void a_slowdown_of_3_percent_among_30_noisy_runs_is_found(void **state)
{
    (void)state;
    int placed, found = found_of(0, 100, 18, 0.01, &placed);
    if (found < 95 || placed < 90)
        fail_msg("found %d of 100, %d in place", found, placed);
}

/* The figures of docs/measurement.md */
static void what_came_lately_or_stands_beside_others_is_found_less_often(void **state)
{
    (void)state;
    int placed, middle = found_of(2000, 100, 15, 0.01, &placed),
                lately = found_of(2000, 100, 25, 0.01, &placed),
                beside = found_of(2000, 100, 20, 0.001, &placed);
    print_message("of 100: %d at run 15, %d at run 25, %d at run 20 beside nine quiet histories\n",
                  middle, lately, beside);
    assert_true(middle >= 85);
    assert_true(lately >= 50 && lately < middle);
    assert_true(beside >= 50 && beside < middle);
}

static void of_200_null_histories_at_most_5_percent_alarm(void **state)
{
    (void)state;
    int alarms = 0;
    for (uint64_t seed = 1000; seed < 1200; seed++) {
        double x[30];
        hone_change c[4];
        size_t count, n = history(seed, 0.01, 0, 0, x);
        hone_changes_options o = {.seed = seed, .clip = 2};
        assert_int_equal(hone_stat_changes(x, n, &o, c, 4, &count), HONE_OK);
        alarms += count > 0;
    }
    if (alarms > 10)
        fail_msg("%d of 200 alarm", alarms);
}

static void impossible_series_are_refused_and_short_ones_have_no_changes(void **state)
{
    (void)state;
    double x[12] = {1, 2, NAN};
    hone_change c[1];
    size_t count = 7;
    hone_changes_options o = {0}, short_segments = {.segment_min = 1}, level = {.level = 1e-9};
    assert_int_equal(hone_stat_changes(x, 12, &o, c, 1, &count), HONE_USAGE);
    assert_int_equal(hone_stat_changes(x, 2, &o, c, 1, &count), HONE_OK);
    assert_int_equal(count, 0);
    assert_int_equal(hone_stat_changes(x, 0, &o, c, 1, &count), HONE_OK);
    assert_int_equal(hone_stat_changes(x, 2, &short_segments, c, 1, &count), HONE_USAGE);
    assert_int_equal(hone_stat_changes(x, 2, &level, c, 1, &count), HONE_USAGE);
    assert_int_equal(hone_stat_changes(x, HONE_CHANGES_VALUES_MAX + 1, &o, c, 1, &count),
                     HONE_USAGE);
    x[2] = 3;
    for (int64_t k = 0; k < 3; k++) {
        hone_mem_fail_after(k);
        assert_int_equal(hone_stat_changes(x, 12, &o, c, 1, &count), HONE_MEMORY);
    }
    hone_mem_fail_after(-1);
    memset(x, 0, sizeof x); /* all equal: nothing to divide */
    assert_int_equal(hone_stat_changes(x, 12, &o, c, 1, &count), HONE_OK);
    assert_int_equal(count, 0);
}

static void ratio_of_rounds_equals_numpys_hierarchical_bootstrap(void **state)
{
    (void)state;
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(golden, "ratios"), i, row)
    {
        double a[MANY], b[MANY];
        size_t n = fill(json_object_get(row, "a"), a), reps;
        fill(json_object_get(row, "b"), b);
        reps = (size_t)json_number_value(json_object_get(row, "reps"));
        hone_interval r;
        assert_int_equal(hone_stat_ratio_rounds(a, b, n / reps, reps, 0.95, 1, 20000, &r), HONE_OK);
        near(r.point, json_number_value(json_object_get(row, "point")), 1e-12);
        const json_t *want = json_object_get(row, "interval"),
                     *peer = json_object_get(row, "scipy");
        near(r.lo, at(want, 0), 1e-3);
        near(r.hi, at(want, 1), 1e-3);
        if (peer) {
            near(r.lo, at(peer, 0), 1e-3);
            near(r.hi, at(peer, 1), 1e-3);
        }
    }
}

/* The whole sequential procedure on made-up costs: rounds with noise of their own, repetitions with
 * noise within, now and then a disturbed one. */
static hone_interval procedure(uint64_t seed, double ratio, double noise, size_t *rounds)
{
    enum { REPS = 2, MOST = 35 };
    double a[MOST * REPS], b[MOST * REPS];
    for (size_t i = 0; i < MOST * REPS; i++) {
        double z[2], round[2];
        hone_rng_normal2(seed, 0, i, z);
        hone_rng_normal2(seed, 1, i / REPS, round);
        bool disturbed = hone_rng_uniform(seed, 2, i) < 0.05;
        double drift = 1 + 0.002 * (double)i; /* both sides alike */
        a[i] = ratio * drift * exp(noise * z[0] + noise * round[0]) * (disturbed ? 1.5 : 1);
        b[i] = drift * exp(noise * z[1] + noise * round[1]);
    }
    hone_interval r = {1, 0, 2};
    for (size_t look = 0; (*rounds = hone_versus_look(look, MOST)) > 0; look++) {
        assert_int_equal(hone_stat_ratio_rounds(a, b, *rounds, REPS, hone_versus_level(MOST, 0.95),
                                                seed, 1000, &r),
                         HONE_OK);
        if (hone_versus_done(&r, 0.01) || *rounds == MOST)
            break;
    }
    return r;
}

static void stopping_when_it_looks_good_does_not_claim_what_is_not_there(void **state)
{
    (void)state;
    int claims = 0, covered = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        size_t rounds;
        hone_interval null = procedure(seed, 1, 0.02, &rounds);
        hone_verdict v = hone_versus_judge(&null, 0.01);
        claims += v == HONE_VERDICT_FASTER || v == HONE_VERDICT_SLOWER;
        hone_interval real = procedure(1000 + seed, 1.05, 0.02, &rounds);
        covered += real.lo <= 1.05 && 1.05 <= real.hi;
    }
    if (claims > 10 || covered < 188)
        fail_msg("%d of 200 claims of nothing; %d of 200 intervals cover", claims, covered);
}

static void quiet_differences_are_claimed_early_and_noise_asks_for_more(void **state)
{
    (void)state;
    size_t quiet, noisy;
    hone_interval r = procedure(5, 1.05, 0.001, &quiet);
    assert_int_equal(hone_versus_judge(&r, 0.01), HONE_VERDICT_FASTER);
    r = procedure(5, 1.0, 0.2, &noisy);
    assert_int_equal(hone_versus_judge(&r, 0.01), HONE_VERDICT_UNKNOWN);
    assert_int_equal(quiet, hone_versus_look(0, 35));
    assert_int_equal(noisy, 35);
}

static void verdicts_are_said_in_words(void **state)
{
    (void)state;
    char text[256];
    const hone_interval faster = {1.031, 1.025, 1.038}, slower = {0.9, 0.88, 0.92},
                        equal = {1.001, 0.995, 1.006}, hidden = {1.02, 0.97, 1.06};
    hone_versus_say(&faster, 0.01, "A", "B", text, sizeof text);
    assert_string_equal(text, "B is 3.1 % faster than A (2.5 % to 3.8 %)");
    hone_versus_say(&slower, 0.01, "A", "B", text, sizeof text);
    assert_string_equal(text, "B is 10.0 % slower than A (8.0 % to 12.0 %)");
    assert_non_null(strstr(hone_versus_say(&equal, 0.01, "A", "B", text, sizeof text),
                           "equal to within 1.0 %"));
    assert_non_null(strstr(hone_versus_say(&hidden, 0.01, "A", "B", text, sizeof text),
                           "the noise hides anything below 6.0 %"));
}

static int load(void **state)
{
    char *text;
    size_t bytes;
    (void)state;
    if (hone_read_file(HONE_SOURCE_DIR "/tests/golden/data/changes.json", 1 << 20, &text, &bytes) !=
        HONE_OK)
        return 1;
    hone_status s = hone_json_parse(text, bytes, 8, 10000, "changes.json", &golden);
    hone_free(text);
    return s != HONE_OK;
}

static int unload(void **state)
{
    (void)state;
    json_decref(golden);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(energy_equals_scipys_energy_distance),
        cmocka_unit_test(changes_are_those_of_otava),
        cmocka_unit_test(first_division_is_the_best_of_all_that_brute_force_tries),
        cmocka_unit_test(a_slowdown_of_3_percent_among_30_noisy_runs_is_found),
        cmocka_unit_test(what_came_lately_or_stands_beside_others_is_found_less_often),
        cmocka_unit_test(of_200_null_histories_at_most_5_percent_alarm),
        cmocka_unit_test(impossible_series_are_refused_and_short_ones_have_no_changes),
        cmocka_unit_test(ratio_of_rounds_equals_numpys_hierarchical_bootstrap),
        cmocka_unit_test(stopping_when_it_looks_good_does_not_claim_what_is_not_there),
        cmocka_unit_test(quiet_differences_are_claimed_early_and_noise_asks_for_more),
        cmocka_unit_test(verdicts_are_said_in_words),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
