// links: report
/* Runs of hone train in the registry, and the page and JSON made of them. */
#include "base/mem.h"
#include "report/report_training.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../folder.h"

#define REGISTRY in_folder("registry.db")

static hone_registry *open_registry(void)
{
    hone_registry *r;
    if (hone_registry_open(REGISTRY, true, &r) != HONE_OK)
        fail_msg("%s", hone_error());
    return r;
}

static int64_t start(hone_registry *r, const char *folder_name, const char *settings, uint64_t done)
{
    int64_t environment, id;
    assert_int_equal(hone_registry_put_environment(r, "env", "{}", &environment), HONE_OK);
    const hone_training_record t = {.environment = environment,
                                    .folder = folder_name,
                                    .settings = settings,
                                    .arch = "llama",
                                    .parameters = 7,
                                    .steps = 500};
    assert_int_equal(hone_registry_start_training(r, &t, done, &id), HONE_OK);
    return id;
}

static void add(hone_registry *r, int64_t id, uint64_t from, uint64_t to, const char *state)
{
    for (uint64_t step = from; step <= to; step++) {
        const hone_training_point p = {.step = step,
                                       .tokens = step * 1000,
                                       .loss = step == 3 ? (double)NAN : 9 - log((double)step),
                                       .rate = 0.01,
                                       .norm = 1,
                                       .tokens_s = 100,
                                       .validation = step % 100 ? (double)NAN : 5};
        assert_int_equal(hone_registry_add_training(r, id, &p, 1, state), HONE_OK);
    }
}

static void a_run_that_goes_on_has_every_step_once(void **state)
{
    (void)state;
    hone_registry *r = open_registry();
    hone_report_training t;
    int64_t id = start(r, "/runs/a", "x", 0), other = start(r, "/runs/a", "y", 0);
    assert_true(id != other);
    add(r, id, 1, 120, "running"); /* killed here; the checkpoint is of step 100 */
    assert_int_equal(start(r, "/runs/a", "x", 100), id);
    add(r, id, 101, 110, "stopped");
    assert_int_equal(hone_report_training_load(r, "/runs/a", id, &t), HONE_OK);
    assert_int_equal(t.n, 110);
    for (size_t i = 0; i < t.n; i++)
        assert_int_equal(t.points[i].step, i + 1);
    assert_true(isnan(t.points[2].loss) && t.points[3].loss == 9 - log(4));
    assert_string_equal(t.record.state, "stopped");
    hone_report_training_sum sum;
    hone_report_training_sum_up(&t, &sum);
    assert_true(sum.step == 110 && sum.tokens == 110000 && sum.skipped == 1 && sum.best == 5);
    assert_true(sum.best_step == 100 && fabs(sum.loss - (9 - log(107.5))) < 1e-3);
    hone_report_training_free(&t);
    assert_int_equal(hone_report_training_load(r, "/runs/a", 0, &t), HONE_OK); /* the latest */
    assert_int_equal(t.record.id, other);
    hone_report_training_free(&t);
    assert_int_equal(hone_report_training_load(r, "/runs/b", 0, &t), HONE_NOT_FOUND);
    assert_int_equal(hone_report_training_load(r, NULL, 99, &t), HONE_NOT_FOUND);
    hone_registry_close(r);
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (; (text = strstr(text, what)); text++)
        n++;
    return n;
}

static void the_page_has_the_curves_and_nothing_that_a_name_smuggles_in(void **state)
{
    (void)state;
    hone_registry *r = open_registry();
    hone_report_training t;
    char *html;
    size_t bytes;
    int64_t id = start(r, "/runs/<script>\x1b[31m\xff", "rate & \"more\"", 0);
    add(r, id, 1, 300, "done");
    assert_int_equal(hone_report_training_load(r, NULL, id, &t), HONE_OK);
    assert_int_equal(hone_report_training_html(&t, &html, &bytes), HONE_OK);
    assert_int_equal(strlen(html), bytes);
    assert_null(strstr(html, "<script"));
    assert_null(strchr(html, '\x1b'));
    assert_null(strstr(html, "\xff"));
    assert_null(strstr(html, "nan"));
    assert_non_null(strstr(html, "&lt;script&gt;"));
    assert_non_null(strstr(html, "step 300 of 500"));
    assert_int_equal(count(html, "<svg"), 4);
    assert_int_equal(count(html, "class=\"curve held\" d=\"M"), 1);
    assert_int_equal(count(html, "<svg"), count(html, "</svg>"));
    hone_free(html);
    json_t *o = hone_report_training_json(&t);
    assert_non_null(o);
    assert_int_equal(json_array_size(json_object_get(o, "points")), 300);
    assert_true(
        json_is_null(json_object_get(json_array_get(json_object_get(o, "points"), 2), "loss")));
    json_decref(o);
    hone_report_training_free(&t);
    hone_registry_close(r);
}

static void a_run_without_a_step_has_a_page(void **state)
{
    (void)state;
    hone_registry *r = open_registry();
    hone_report_training t;
    char *html;
    size_t bytes;
    int64_t id = start(r, "/runs/empty", "x", 0);
    assert_int_equal(hone_report_training_load(r, NULL, id, &t), HONE_OK);
    assert_int_equal(hone_report_training_html(&t, &html, &bytes), HONE_OK);
    assert_non_null(strstr(html, "No step"));
    hone_free(html);
    hone_report_training_free(&t);
    hone_registry_close(r);
}

static void loading_survives_every_failing_allocation(void **state)
{
    (void)state;
    hone_registry *r = open_registry();
    hone_report_training t;
    int64_t id = start(r, "/runs/a", "x", 0);
    add(r, id, 1, 300, "done");
    hone_status s = HONE_MEMORY;
    for (int64_t n = 0; s != HONE_OK; n++) {
        char *html = NULL;
        size_t bytes;
        assert_true(n < 1000);
        hone_mem_fail_after(n);
        s = hone_report_training_load(r, NULL, id, &t);
        if (s == HONE_OK) {
            s = hone_report_training_html(&t, &html, &bytes);
            hone_report_training_free(&t);
        }
        hone_mem_fail_after(-1);
        hone_free(html);
        assert_true(s == HONE_OK || s == HONE_MEMORY);
    }
    hone_registry_close(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_run_that_goes_on_has_every_step_once, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(the_page_has_the_curves_and_nothing_that_a_name_smuggles_in,
                                        make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_run_without_a_step_has_a_page, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(loading_survives_every_failing_allocation, make_folder,
                                        remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
