// links: store
/* Benches and measured limits in the registry. */
#include "base/mem.h"
#include "store/bench_records.h"
#include "store/fingerprint.h"
#include "store/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../folder.h"

static hone_registry *r;

static int make(void **state)
{
    return make_folder(state) || hone_registry_open(in_folder("registry.db"), true, &r) != HONE_OK;
}

static int drop(void **state)
{
    hone_registry_close(r);
    return remove_folder(state);
}

static int64_t put(const char *machine, const char *config, const char *name, double seconds)
{
    int64_t id;
    hone_model_record m = {
        .sha256 = "aa", .path = "m.gguf", .name = "m", .arch = "llama", .bytes = 5};
    hone_bench_record b = {.config = config, .machine = machine, .name = name, .result = "{}"};
    hone_bench_point points[2] = {{"decode", seconds}, {"prefill", seconds / 10}};
    assert_int_equal(hone_registry_put_model(r, &m, &b.model), HONE_OK);
    assert_int_equal(hone_registry_put_environment(r, "env", "{}", &b.environment), HONE_OK);
    assert_int_equal(hone_registry_put_bench(r, &b, points, 2, &id), HONE_OK);
    return id;
}

static hone_status note_point(void *arg, const hone_history_point *p)
{
    char *log = arg;
    size_t used = strlen(log);
    snprintf(log + used, 512 - used, "%s %s %s %.3g\n", p->machine, p->config, p->test, p->seconds);
    return HONE_OK;
}

static hone_status note_bench(void *arg, const hone_bench_record *b)
{
    *(int64_t *)arg = b->id;
    return HONE_OK;
}

static void history_is_series_by_series_in_the_order_of_time(void **state)
{
    char log[512] = "";
    (void)state;
    put("m1", "{1}", NULL, 3);
    put("m1", "{2}", NULL, 9);
    put("m2", "{1}", NULL, 7);
    put("m1", "{1}", NULL, 4);
    assert_int_equal(hone_registry_each_point(r, 0, "m1", note_point, log), HONE_OK);
    assert_string_equal(log, "m1 {1} decode 3\nm1 {1} decode 4\n"
                             "m1 {1} prefill 0.3\nm1 {1} prefill 0.4\n"
                             "m1 {2} decode 9\nm1 {2} prefill 0.9\n");
}

static void a_baselines_name_moves_to_the_latest_on_its_machine(void **state)
{
    int64_t found = 0;
    (void)state;
    put("m1", "{}", "main", 3);
    int64_t other = put("m2", "{}", "main", 3), latest = put("m1", "{}", "main", 4);
    assert_true(latest > other);
    assert_int_equal(hone_registry_each_bench(r, 0, "main", 0, note_bench, &found), HONE_OK);
    assert_int_equal(found, latest);
    found = 0;
    assert_int_equal(hone_registry_each_bench(r, 0, "main", other, note_bench, &found), HONE_OK);
    assert_int_equal(found, other);
}

static void a_bench_whose_point_is_refused_leaves_no_trace(void **state)
{
    int64_t id, model = 0;
    (void)state;
    put("m1", "{}", NULL, 3);
    hone_bench_record b = {
        .model = 1, .environment = 1, .config = "{}", .machine = "m1", .result = "{}"};
    hone_bench_point twice[2] = {{"decode", 1}, {"decode", 2}};
    assert_int_not_equal(hone_registry_put_bench(r, &b, twice, 2, &id), HONE_OK);
    assert_int_equal(hone_registry_each_bench(r, 0, NULL, 0, note_bench, &model), HONE_OK);
    assert_int_equal(model, 1);
}

static void plant(const char *json)
{
    char machine[HONE_DIGEST_BYTES];
    assert_int_equal(hone_fingerprint_machine(machine), HONE_OK);
    assert_int_equal(hone_store_run(r, NULL, "INSERT OR REPLACE INTO limits VALUES(?, 1, ?, ?)",
                                    "sss", machine, json, "2026-01-02T03:04:05Z"),
                     HONE_OK);
}

static void limits_that_were_kept_are_trusted_and_drift_is_said(void **state)
{
    hone_limits l;
    hone_limits_news news;
    (void)state;
    plant("{\"threads\": 1, \"read_bytes_s\": 1e15, \"noise\": 0.01, \"ops_s\": {\"avx2\": 5e9}}");
    assert_int_equal(hone_registry_limits(r, 1, HONE_LIMITS_TRUST, &l, &news), HONE_OK);
    assert_true(news.cached && !news.drifted);
    assert_true(l.read_bytes_s == 1e15 && l.ops_s[HONE_ISA_AVX2] == 5e9 && l.threads == 1);
    assert_int_equal(hone_registry_limits(r, 1, HONE_LIMITS_CHECK, &l, &news), HONE_OK);
    assert_true(news.cached && news.drifted);
    assert_non_null(strstr(news.text, "2026-01-02"));
}

static void limits_that_are_not_kept_are_not_measured_for_a_display(void **state)
{
    hone_limits l;
    (void)state;
    assert_int_equal(hone_registry_limits(NULL, 1, HONE_LIMITS_KEPT, &l, NULL), HONE_OK);
    assert_true(l.read_bytes_s == 0 && l.threads == 0);
    assert_int_equal(hone_registry_limits(r, 77, HONE_LIMITS_KEPT, &l, NULL), HONE_OK);
    assert_true(l.read_bytes_s == 0 && l.threads == 0); /* of so many threads none are kept */
    plant("{\"threads\": 1, \"read_bytes_s\": 1e15, \"noise\": 0.01, \"ops_s\": {\"avx2\": 5e9}}");
    assert_int_equal(hone_registry_limits(r, 1, HONE_LIMITS_KEPT, &l, NULL), HONE_OK);
    assert_true(l.read_bytes_s == 1e15);
}

static void limits_that_cannot_be_read_are_measured_again_and_kept(void **state)
{
    hone_limits l, again;
    hone_limits_news news;
    (void)state;
    plant("{\"threads\": 1, \"read_bytes_s\": ");
    assert_int_equal(hone_registry_limits(r, 1, HONE_LIMITS_TRUST, &l, &news), HONE_OK);
    assert_false(news.cached);
    assert_true(l.read_bytes_s > 0 && l.write_bytes_s > 0 && l.copy_bytes_s > 0);
    assert_int_equal(hone_registry_limits(r, 1, HONE_LIMITS_TRUST, &again, &news), HONE_OK);
    assert_true(news.cached);
    for (int p = 0; p < HONE_PEAK_COUNT; p++) /* what JSON keeps of a double is enough */
        assert_true(again.peak_ops_s[p] == l.peak_ops_s[p]);
    assert_true(again.cache[0].read_bytes_s == l.cache[0].read_bytes_s);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make, drop)
    const struct CMUnitTest tests[] = {
        TEST(history_is_series_by_series_in_the_order_of_time),
        TEST(a_baselines_name_moves_to_the_latest_on_its_machine),
        TEST(a_bench_whose_point_is_refused_leaves_no_trace),
        TEST(limits_that_were_kept_are_trusted_and_drift_is_said),
        TEST(limits_that_are_not_kept_are_not_measured_for_a_display),
        TEST(limits_that_cannot_be_read_are_measured_again_and_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
