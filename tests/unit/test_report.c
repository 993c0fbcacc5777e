// links: report
#include "base/mem.h"
#include "report/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char folder[32];
static hone_registry *registry;

static int open_registry(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/hone-report-XXXXXX");
    char path[64];
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/registry.db", folder);
    return hone_registry_open(path, true, &registry) == HONE_OK ? 0 : -1;
}

static int close_registry(void **state)
{
    (void)state;
    hone_registry_close(registry);
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static int64_t add_run(const char *name, const char *key)
{
    int64_t model, environment, run;
    bool done;
    hone_model_record m = {.sha256 = "aa", .path = name, .name = name, .arch = "a", .bytes = 1};
    assert_int_equal(hone_registry_put_model(registry, &m, &model), HONE_OK);
    assert_int_equal(
        hone_registry_put_environment(registry, "e", "{\"cpu\":\"x<y\"}", &environment), HONE_OK);
    hone_run_record r = {.key = key,
                         .model = model,
                         .environment = environment,
                         .goal = "memory",
                         .max_loss = 0.01,
                         .data_hash = "d",
                         .settings = "{\"protocol\":\"p & q\"}"};
    assert_int_equal(hone_registry_start_run(registry, &r, &run, &done), HONE_OK);
    return run;
}

static int64_t add_experiment(int64_t run, const char *key, const char *label, double gain,
                              double loss)
{
    hone_experiment_record e = {.run = run, .key = key, .label = label, .config = "{}"};
    int64_t id;
    bool failed;
    char *found, metrics[512];
    assert_int_equal(hone_registry_start_experiment(registry, &e, &id, &failed, &found), HONE_OK);
    snprintf(metrics, sizeof metrics,
             "{\"gain\":{\"point\":%f,\"lo\":%f,\"hi\":%f},\"quality\":{\"loss_upper\":%f}}", gain,
             gain, gain, loss);
    assert_int_equal(hone_registry_finish_experiment(registry, id, false, metrics, NULL, NULL, 0),
                     HONE_OK);
    return id;
}

static json_t *document_of(int64_t run)
{
    json_t *d;
    if (hone_report_document(registry, 0, run, &d) != HONE_OK)
        fail_msg("%s", hone_error());
    return d;
}

static bool on_front(const json_t *document, const char *label)
{
    size_t i;
    json_t *e;
    json_array_foreach(json_object_get(document, "experiments"), i, e)
    {
        if (strcmp(json_string_value(json_object_get(e, "label")), label) == 0)
            return json_is_true(json_object_get(e, "pareto"));
    }
    fail_msg("no experiment %s", label);
    return false;
}

static void the_front_holds_what_nothing_else_beats_on_both_sides(void **state)
{
    (void)state;
    int64_t run = add_run("m", "k");
    add_experiment(run, "try:a", "a", 2.0, 0.10);
    add_experiment(run, "try:b", "b", 1.5, 0.01);
    add_experiment(run, "try:c", "c", 1.4, 0.02); /* b is better and closer */
    add_experiment(run, "try:d", "d", 2.0, 0.20); /* a is closer and as good */
    add_experiment(run, "add:e", "e", 9.0, 0.00); /* over another candidate: no point */
    json_t *d = document_of(run);
    assert_true(on_front(d, "a"));
    assert_true(on_front(d, "b"));
    assert_false(on_front(d, "c"));
    assert_false(on_front(d, "d"));
    assert_false(on_front(d, "e"));
    json_decref(d);
}

static void html_escapes_what_comes_from_files(void **state)
{
    (void)state;
    int64_t run = add_run("<script>alert('1')</script>&\"", "k");
    int64_t id = add_experiment(run, "try:a", "<b onload=\"x\">", 2, 0.001);
    hone_decision_record decision = {
        .run = run, .experiment = id, .verdict = "chosen", .why = "</table><img src=x>"};
    assert_int_equal(hone_registry_put_decision(registry, &decision), HONE_OK);
    assert_int_equal(
        hone_registry_finish_run(registry, run, "{\"won\":true,\"label\":\"<i>label\"}"), HONE_OK);
    json_t *d = document_of(0);
    char *html;
    assert_int_equal(hone_report_html(d, &html), HONE_OK);
    assert_null(strstr(html, "<script"));
    assert_null(strstr(html, "<b onload"));
    assert_null(strstr(html, "<img"));
    assert_null(strstr(html, "<i>"));
    assert_null(strstr(html, "x<y"));
    assert_null(strstr(html, "p & q"));
    assert_non_null(strstr(html, "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&quot;"));
    assert_non_null(strstr(html, "p &amp; q"));
    assert_null(strstr(html, "http"));
    hone_free(html);
    json_decref(d);
}

static void an_unfinished_run_is_shown_as_such(void **state)
{
    (void)state;
    int64_t run = add_run("m", "k");
    json_t *d = document_of(run);
    char *text, *html;
    assert_int_equal(hone_report_text(d, &text), HONE_OK);
    assert_non_null(strstr(text, "Not finished"));
    assert_int_equal(hone_report_html(d, &html), HONE_OK);
    assert_non_null(strstr(html, "Not finished"));
    hone_free(text);
    hone_free(html);
    json_decref(d);
}

static void a_run_that_is_not_there_is_not_found(void **state)
{
    (void)state;
    json_t *d;
    assert_int_equal(hone_report_document(registry, 0, 0, &d), HONE_NOT_FOUND);
    add_run("m", "k");
    assert_int_equal(hone_report_document(registry, 0, 77, &d), HONE_NOT_FOUND);
    assert_null(d);
}

static void damaged_records_are_an_error_not_a_crash(void **state)
{
    (void)state;
    int64_t run = add_run("m", "k");
    add_experiment(run, "try:a", "a", 2, 0.1);
    assert_int_equal(hone_registry_finish_run(registry, run, "{\"won\": "), HONE_OK);
    json_t *d;
    assert_int_equal(hone_report_document(registry, 0, run, &d), HONE_FORMAT);
    assert_int_equal(hone_registry_finish_run(registry, run, "[1, {\"won\": 3}]"), HONE_OK);
    d = document_of(run); /* valid JSON of another shape: what is missing is left out */
    char *html, *text;
    assert_int_equal(hone_report_html(d, &html), HONE_OK);
    assert_int_equal(hone_report_text(d, &text), HONE_OK);
    hone_free(html);
    hone_free(text);
    json_decref(d);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_registry, close_registry)
    const struct CMUnitTest tests[] = {
        TEST(the_front_holds_what_nothing_else_beats_on_both_sides),
        TEST(html_escapes_what_comes_from_files),
        TEST(an_unfinished_run_is_shown_as_such),
        TEST(a_run_that_is_not_there_is_not_found),
        TEST(damaged_records_are_an_error_not_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
