// links: report
#include "base/mem.h"
#include "report/report.h"
#include "report/report_compare.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

typedef struct ids {
    int64_t model, run;
} ids;

static ids add_run(hone_registry *r, const char *key, const char *model, const char *settings,
                   const char *environment)
{
    ids id;
    int64_t e;
    bool done;
    hone_model_record m = {
        .sha256 = "ab12", .path = model, .name = model, .arch = "llama", .bytes = 5};
    assert_int_equal(hone_registry_put_model(r, &m, &id.model), HONE_OK);
    assert_int_equal(hone_registry_put_environment(r, environment, environment, &e), HONE_OK);
    hone_run_record run = {.key = key,
                           .model = id.model,
                           .environment = e,
                           .goal = "decode-latency",
                           .max_loss = 0.01,
                           .data_hash = "dd",
                           .seed = 7,
                           .settings = settings};
    assert_int_equal(hone_registry_start_run(r, &run, &id.run, &done), HONE_OK);
    return id;
}

/* metrics NULL: it stays unfinished. verdict NULL: no decision. */
static int64_t add_experiment(hone_registry *r, int64_t run, const char *key, const char *label,
                              const char *metrics, const char *verdict, const char *why)
{
    static const double a[] = {2, 2, 4}, b[] = {1, 1, 2};
    int64_t id;
    bool failed;
    char *found;
    hone_experiment_record e = {.run = run,
                                .key = key,
                                .label = label,
                                .config = "{\"a\":1}",
                                .predicted = "{\"gain\":1.5}"};
    assert_int_equal(hone_registry_start_experiment(r, &e, &id, &failed, &found), HONE_OK);
    if (metrics)
        assert_int_equal(hone_registry_finish_experiment(r, id, false, metrics, a, b, 3), HONE_OK);
    hone_decision_record d = {.run = run, .experiment = id, .verdict = verdict, .why = why};
    if (verdict)
        assert_int_equal(hone_registry_put_decision(r, &d), HONE_OK);
    return id;
}

static hone_report *loaded(hone_registry *r, int64_t run)
{
    hone_report *report;
    if (hone_report_load(r, run, &report) != HONE_OK)
        fail_msg("%s", hone_error());
    return report;
}

/* ---- a page's form ------------------------------------------------------------------------------
 */

/* Skips what stands between '<' and '>', quotes respected; NULL at a fault. */
static const char *end_of_tag(const char *p)
{
    for (; *p && *p != '>'; p++) {
        if (*p == '<')
            return NULL;
        if (*p == '"' && !(p = strchr(p + 1, '"')))
            return NULL;
    }
    return *p ? p : NULL;
}

static const char *end_of_reference(const char *p)
{
    static const char *const known[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strncmp(p, known[i], strlen(known[i])) == 0)
            return p + strlen(known[i]) - 1;
    return NULL;
}

/* NULL if every tag is closed in its turn and every '&' begins a reference; else where it is not.
 */
static const char *malformed(const char *html)
{
    char stack[64][24];
    int depth = 0;
    for (const char *p = html; *p; p++) {
        if (*p == '&' && !(p = end_of_reference(p)))
            return "a bare &";
        if ((unsigned char)*p < 0x20 && *p != '\n')
            return "a control character";
        if (*p != '<')
            continue;
        const char *end = end_of_tag(p + 1);
        if (!end)
            return p;
        bool closing = p[1] == '/', whole = end[-1] == '/' || p[1] == '!';
        const char *name = p + 1 + closing;
        size_t n = strcspn(name, " />\n");
        if (n >= sizeof stack[0] || depth == 64)
            return p;
        if (closing) {
            if (depth-- == 0 || strncmp(stack[depth], name, n) != 0 || stack[depth][n])
                return p;
        } else if (!whole) {
            snprintf(stack[depth++], sizeof stack[0], "%.*s", (int)n, name);
        }
        p = end;
    }
    return depth ? "a tag that is not closed" : NULL;
}

static char *page_of(const hone_report *report)
{
    char *html;
    size_t bytes;
    if (hone_report_html(report, &html, &bytes) != HONE_OK)
        fail_msg("%s", hone_error());
    assert_int_equal(bytes, strlen(html));
    const char *fault = malformed(html);
    if (fault)
        fail_msg("malformed: %.80s", fault);
    assert_null(strstr(html, "<script"));
    assert_null(strstr(html, "http"));
    assert_null(strstr(html, "url("));
    return html;
}

static void the_checker_finds_what_is_malformed(void **state)
{
    (void)state;
    assert_null(malformed("<!DOCTYPE html>\n<p class=\"a>b\">x &lt; y<br/></p>"));
    assert_non_null(malformed("<p><b></p></b>"));
    assert_non_null(malformed("<p>"));
    assert_non_null(malformed("</p>"));
    assert_non_null(malformed("<p>a & b</p>"));
    assert_non_null(malformed("<p>a < b</p>"));
    assert_non_null(malformed("<p>a\001b</p>"));
}

/* ---- runs ---------------------------------------------------------------------------------------
 */

#define GAIN(p, lo, hi)                                                                            \
    "\"gain\":{\"point\":" p ",\"lo\":" lo ",\"hi\":" hi ",\"level\":0.95},\"cost\":0.001,"        \
    "\"cost_against\":0.002,\"weight_bytes\":1048576"
#define QUALITY(loss, upper)                                                                       \
    "\"quality\":{\"perplexity_original\":8,\"perplexity\":8.02,\"loss\":" loss                    \
    ",\"loss_upper\":" upper                                                                       \
    ",\"level\":0.9875,\"kl_mean\":0.001,\"kl_p99\":0.02,\"top1_agreement\":0.99,"                 \
    "\"scored\":1000}"

static ids add_won_run(hone_registry *r, const char *key)
{
    ids id = add_run(r, key, "dir/my model's.gguf", "{\"context\":512,\"inner\":{\"bos\":true}}",
                     "{\"cpu\":\"Some CPU\",\"memory_bytes\":2147483648}");
    add_experiment(r, id.run, "base:bf16", "baseline bf16", "{" QUALITY("0.0001", "0.0005") "}",
                   "accepted", "the baseline");
    add_experiment(r, id.run, "profile", "profile",
                   "{\"parts\":[{\"name\":\"mlp\",\"text\":\"products\",\"seconds\":0.75,"
                   "\"limit_share\":0.7},{\"name\":\"load\",\"seconds\":9,\"once\":true},"
                   "{\"name\":\"norm\",\"seconds\":0.25,\"limit_share\":1.02}],\"cost\":0.002,"
                   "\"bottleneck\":\"weight-read\",\"bottleneck_text\":\"reading\"}",
                   NULL, NULL);
    add_experiment(r, id.run, "try:q8_0", "q8_0",
                   "{" GAIN("2.1", "2.0", "2.2") "," QUALITY("0.002", "0.004") "}", "accepted",
                   "fine");
    add_experiment(r, id.run, "try:q4_0", "q4_0",
                   "{" GAIN("3.1", "3.0", "3.2") "," QUALITY("0.2", "0.4") "}", "rejected",
                   "loses too much");
    add_experiment(r, id.run, "try:kv:int8", "kv:int8", "{" GAIN("0.9", "0.8", "1.01") "}",
                   "rejected", "no gain");
    add_experiment(r, id.run, "confirm:q8_0", "q8_0",
                   "{" GAIN("2.05", "1.95", "2.15") "," QUALITY("0.002", "0.004") "}", "chosen",
                   "the fastest that passes");
    assert_int_equal(hone_registry_finish_run(
                         r, id.run, "{\"config\":{\"a\":1},\"label\":\"q8_0\",\"won\":true}"),
                     HONE_OK);
    return id;
}

static void the_head_tells_winner_gain_interval_and_loss(void **state)
{
    (void)state;
    hone_registry *r = open_registry();
    ids id = add_won_run(r, "won");
    hone_report *report = loaded(r, 0);
    char text[1024];
    assert_int_equal(report->run, id.run);
    assert_true(report->done && report->won && !report->promoted && !report->in_force);
    assert_int_equal(report->choice, 5);
    for (size_t i = 0; i < report->n_experiments; i++) /* see add_won_run */
        assert_int_equal(report->experiments[i].front,
                         report->experiments[i].role == HONE_REPORT_BASE || i == 5 ||
                             strcmp(report->experiments[i].label, "q4_0") == 0);
    assert_string_equal(hone_report_headline(report, text, sizeof text),
                        "q8_0 is 2.05 times as fast (95 % interval 1.950 to 2.150): 1 ms per token "
                        "instead of 2 ms.");
    hone_report_price(report, text, sizeof text);
    assert_non_null(
        strstr(text, "a loss of 0.20 %, at most 0.40 % (98.8 % bound); allowed are 1.00 %"));
    assert_string_equal(report->reproduce, "hone optimize 'dir/my model'\\''s.gguf' --data TEXT "
                                           "--goal decode-latency --max-loss 1% --seed 7");
    assert_string_equal(report->experiments[5].why, "the fastest that passes");
    assert_int_equal(report->experiments[5].pairs, 3);
    assert_true(report->experiments[5].ratios[2] == 2);
    assert_int_equal(report->n_parts, 3);
    assert_string_equal(report->settings[1].name, "inner.bos");
    assert_string_equal(report->settings[1].value, "yes");
    assert_string_equal(report->environment[1].value, "2.0 GiB");
    char *html = page_of(report);
    assert_non_null(strstr(html, "q8_0 is 2.05 times as fast"));
    assert_non_null(strstr(html, "75.0 %")); /* of what a step takes: loading is not part of it */
    assert_non_null(strstr(html, "70 % of limit"));
    assert_non_null(strstr(html, "above its limit")); /* 102 % of it */
    assert_non_null(strstr(html, "loses too much"));
    assert_non_null(strstr(html, "dir/my model&#39;s.gguf"));
    hone_free(html);
    hone_report_free(report);
    hone_registry_close(r);
}

static void promotion_and_rollback_are_told(void **state)
{
    (void)state;
    hone_registry *r = open_registry();
    ids id = add_won_run(r, "won");
    assert_int_equal(hone_registry_promote(r, id.model, "{\"a\":1}", id.run), HONE_OK);
    hone_report *report = loaded(r, id.run);
    assert_true(report->promoted && report->in_force);
    hone_report_free(report);
    char *config;
    assert_int_equal(hone_registry_rollback(r, id.model, &config), HONE_OK);
    hone_free(config);
    report = loaded(r, id.run);
    assert_true(report->promoted && !report->in_force);
    assert_int_equal(report->n_promotions, 2);
    char *html = page_of(report);
    assert_non_null(strstr(html, "<td class=\"what\">rollback</td>"));
    hone_free(html);
    hone_report_free(report);
    hone_registry_close(r);
}

/* Another run may have promoted what this one chose as well. */
static void what_is_in_force_is_told_whoever_promoted_it(void **state)
{
    (void)state;
    hone_registry *r = open_registry();
    ids id = add_won_run(r, "won");
    assert_int_equal(hone_registry_promote(r, id.model, "{\"a\":1}", 0), HONE_OK);
    hone_report *report = loaded(r, id.run);
    assert_true(!report->promoted && report->in_force);
    char *html = page_of(report);
    assert_null(strstr(html, "Not promoted"));
    hone_free(html);
    hone_report_free(report);
    hone_registry_close(r);
}

/* Whatever a run's key depends on stands in the command that makes it again. */
static void the_command_names_what_the_run_was_asked_for(void **state)
{
    (void)state;
    hone_registry *r = open_registry();
    ids id =
        add_run(r, "asked", "m.gguf",
                "{\"prompt_tokens\":64,\"sessions\":4,\"eval_tokens\":999,\"pairs\":11}", "{}");
    hone_report *report = loaded(r, id.run);
    assert_non_null(
        strstr(report->reproduce, " --prompt 64 --sessions 4 --eval-tokens 999 --pairs 11"));
    hone_report_free(report);
    hone_registry_close(r);
}

/* What is not UTF-8 is shown as such, and cut between characters. */
static void texts_are_clean_and_cut_between_characters(void **state)
{
    (void)state;
    char small[8];
    assert_string_equal(hone_report_clean("caf\xC3\xA9", small, sizeof small), "caf\xC3\xA9");
    assert_string_equal(hone_report_clean("abcdef\xC3\xA9", small, sizeof small), "abcdef");
    assert_string_equal(hone_report_clean("caf\xE9", small, sizeof small), "caf\xEF\xBF\xBD");
    hone_compare_side side;
    hone_compare_side_clear(&side);
    snprintf(side.label, sizeof side.label, "caf\xE9");
    side.path = side.label;
    side.config = NULL;
    const hone_compare c = {.title = "t",
                            .data = "caf\xE9",
                            .protocol = "",
                            .reference = "",
                            .sides = &side,
                            .n_sides = 1};
    json_t *o = hone_compare_json(&c);
    const json_t *one = json_array_get(json_object_get(o, "sides"), 0);
    const char *label = json_string_value(json_object_get(one, "label")),
               *data = json_string_value(json_object_get(o, "data"));
    assert_true(label && data);
    assert_string_equal(label, "caf\xEF\xBF\xBD");
    assert_string_equal(data, label);
    json_decref(o);
    char *html;
    size_t bytes;
    assert_int_equal(hone_compare_html(&c, &html, &bytes), HONE_OK);
    assert_null(strstr(html, "caf\xE9"));
    assert_non_null(strstr(html, "caf\xEF\xBF\xBD"));
    hone_free(html);
}

static void seconds_are_rounded_within_their_unit(void **state)
{
    (void)state;
    char text[32];
    assert_string_equal(hone_report_seconds(0.9996, text, sizeof text), "1 s");
    assert_string_equal(hone_report_seconds(0.9994, text, sizeof text), "999 ms");
    assert_string_equal(hone_report_seconds(1234, text, sizeof text), "1234 s");
}

static void an_empty_and_an_interrupted_run_are_shown_as_far_as_they_got(void **state)
{
    (void)state;
    hone_registry *r = open_registry();
    hone_report *report;
    assert_int_equal(hone_report_load(r, 0, &report), HONE_NOT_FOUND);
    ids empty = add_run(r, "empty", "m.gguf", "{}", "{}");
    assert_int_equal(hone_report_load(r, 99, &report), HONE_NOT_FOUND);
    report = loaded(r, 0);
    char text[1024], *html = page_of(report);
    assert_non_null(strstr(hone_report_headline(report, text, sizeof text), "Not finished: 0"));
    assert_string_equal(hone_report_price(report, text, sizeof text), "");
    hone_free(html);
    hone_report_free(report);

    ids cut = add_run(r, "cut", "m.gguf", "{}", "{}");
    add_experiment(r, cut.run, "try:q8_0", "q8_0", "{" GAIN("2.1", "2.0", "2.2") "}", NULL, NULL);
    add_experiment(r, cut.run, "try:q4_0", "q4_0", NULL, NULL, NULL);
    report = loaded(r, 0);
    assert_int_equal(report->run, cut.run);
    assert_non_null(strstr(hone_report_headline(report, text, sizeof text), "Not finished: 1"));
    html = page_of(report);
    assert_non_null(strstr(html, "unfinished"));
    hone_free(html);
    hone_report_free(report);

    assert_int_equal(hone_registry_finish_run(r, empty.run, "{}"), HONE_OK);
    report = loaded(r, empty.run);
    assert_non_null(strstr(hone_report_headline(report, text, sizeof text), "Nothing was tried"));
    hone_report_free(report);
    hone_registry_close(r);
}

/* Whatever a record holds instead of what is expected. */
static void missing_and_mistyped_members_are_unknown_not_errors(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "[]",
        "{\"gain\":[],\"quality\":{},\"cost\":\"x\",\"error\":5}",
        "{\"gain\":{\"point\":2},\"quality\":null}",
        "{\"gain\":{\"point\":-1,\"lo\":0,\"hi\":-3},\"quality\":{\"loss_upper\":-0.5}}",
        ("{\"gain\":{\"point\":1e300,\"lo\":1e-300,\"hi\":1e300},"
         "\"quality\":{\"loss_upper\":1e300}}"),
        "{\"parts\":5}",
        "{\"parts\":[1,{},{\"seconds\":\"x\"},{\"name\":7,\"seconds\":0}]}",
        "not json"};
    hone_registry *r = open_registry();
    ids id = add_run(r, "odd", "", "[1]", "{\"a\":null,\"b\":[1,{}],\"c\":{\"d\":1.5}}");
    size_t n = sizeof texts / sizeof *texts;
    for (size_t i = 0; i < n; i++) {
        char key[32];
        snprintf(key, sizeof key, "try:%zu", i);
        add_experiment(r, id.run, key, "", texts[i], NULL, NULL);
        snprintf(key, sizeof key, "profile"); /* the last one wins; all must be survived */
        if (i)
            assert_int_equal(hone_registry_restart_run(r, id.run), HONE_OK);
        add_experiment(r, id.run, "profile", "profile", texts[i], NULL, NULL);
        snprintf(key, sizeof key, "base:%zu", i);
        add_experiment(r, id.run, key, "", texts[i], NULL, NULL);
        hone_report *report = loaded(r, id.run);
        assert_int_equal(report->unreadable > 0, i == n - 1);
        char *html = page_of(report);
        json_t *json = hone_report_json(report);
        assert_non_null(json);
        if (strstr(html, "nan"))
            fail_msg("%s: %.60s", texts[i], strstr(html, "nan") - 30);
        json_decref(json);
        hone_free(html);
        hone_report_free(report);
    }
    assert_int_equal(hone_registry_finish_run(r, id.run, "{\"won\":true,\"label\":5}"), HONE_OK);
    hone_report *report = loaded(r, id.run);
    char *html = page_of(report);
    hone_free(html);
    hone_report_free(report);
    hone_registry_close(r);
}

static void hostile_texts_stay_texts(void **state)
{
    (void)state;
    static const char evil[] = "</script><script>alert('1')</script>\"'&<b>\x01\x1b[2J\x7f"
                               "\xc2\x9b" /* C1 */ "\xe2\x80\xae" /* right to left */ "\xff\xc0\xaf"
                               "\xed\xa0\x80" /* surrogate */ "\n\t\xc3\xa4";
    static char very_long[5000];
    memset(very_long, '<', sizeof very_long - 1);
    hone_registry *r = open_registry();
    ids id =
        add_run(r, "evil", evil, "{\"<i>\":\"</style><img src=x>\"}", "{\"&\":\"\\u001b[31m\"}");
    add_experiment(r, id.run, "try:1", evil,
                   "{" GAIN("2", "1.9", "2.1") "," QUALITY("0.1", "0.2") "}", "rejected", evil);
    add_experiment(r, id.run, "try:2", very_long,
                   "{" GAIN("2", "1.9", "2.1") "," QUALITY("0.1", "0.2") "}", "accepted",
                   very_long);
    add_experiment(r, id.run, "profile", evil,
                   "{\"parts\":[{\"name\":\"<u>\",\"text\":\"\\\"><s>\",\"seconds\":1}],"
                   "\"bottleneck\":\"<em>\"}",
                   NULL, NULL);
    hone_report *report = loaded(r, 0);
    assert_string_equal(report->experiments[0].label,
                        "</script><script>alert('1')</script>\"'&<b>\xEF\xBF\xBD\xEF\xBF\xBD[2J"
                        "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
                        "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD  \xc3\xa4");
    char *html = page_of(report);
    static const char *const tags[] = {"<b>", "<i>", "<u>", "<s>", "<img", "<em", "\x1b"};
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if (strstr(html, tags[i]))
            fail_msg("%s got through", tags[i]);
    json_t *json = hone_report_json(report);
    const char *path_of_model =
        json_string_value(json_object_get(json_object_get(json, "model"), "path"));
    assert_non_null(path_of_model); /* jansson refuses invalid UTF-8 */
    json_decref(json);
    hone_free(html);
    hone_report_free(report);
    hone_registry_close(r);
}

/* Labels: every <text class="name ..."> of the plot, as boxes, must not overlap. */
static void labels_of_many_near_points_do_not_overlap(void **state)
{
    (void)state;
    hone_registry *r = open_registry();
    ids id = add_run(r, "many", "m.gguf", "{}", "{}");
    for (int i = 0; i < 40; i++) {
        char key[32], metrics[512];
        snprintf(key, sizeof key, "try:candidate-%d", i);
        snprintf(metrics, sizeof metrics,
                 "{\"gain\":{\"point\":%.4f,\"lo\":%.4f,\"hi\":%.4f},"
                 "\"quality\":{\"loss_upper\":%.6f}}",
                 1.5 + 0.001 * i, 1.4, 1.6, 0.004 + 0.00001 * i);
        add_experiment(r, id.run, key, key, metrics, NULL, NULL);
    }
    hone_report *report = loaded(r, 0);
    char *html = page_of(report);
    double x[64] = {0}, y[64] = {0};
    size_t n = 0;
    for (const char *p = html; n < 64 && (p = strstr(p, "<text class=\"name ")); p++, n++)
        assert_int_equal(sscanf(strstr(p, "x=\""), "x=\"%lf\" y=\"%lf\"", &x[n], &y[n]), 2);
    assert_in_range(n, 10, 40); /* what finds no room is left to the tooltip and the table */
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++) /* 16 characters, at least 5.5 units wide, 12 high */
            if (fabs(x[i] - x[j]) < 16 * 5.5 && fabs(y[i] - y[j]) < 12)
                fail_msg("labels %zu and %zu overlap", i, j);
    hone_free(html);
    hone_report_free(report);
    hone_registry_close(r);
}

static void every_failed_allocation_is_told(void **state)
{
    (void)state;
    hone_registry *r = open_registry();
    add_won_run(r, "won");
    hone_status s = HONE_MEMORY;
    int tries = 0;
    for (; s != HONE_OK && tries < 20000; tries++) {
        hone_report *report = NULL;
        char *html = NULL;
        size_t bytes;
        hone_mem_fail_after(tries);
        s = hone_report_load(r, 0, &report);
        if (s == HONE_OK)
            s = hone_report_html(report, &html, &bytes);
        hone_mem_fail_after(-1);
        assert_true(s == HONE_OK || s == HONE_MEMORY);
        hone_free(html);
        hone_report_free(report);
    }
    assert_int_equal(s, HONE_OK);
    assert_true(tries > 10);
    hone_registry_close(r);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_checker_finds_what_is_malformed),
        TEST(the_head_tells_winner_gain_interval_and_loss),
        TEST(promotion_and_rollback_are_told),
        TEST(what_is_in_force_is_told_whoever_promoted_it),
        TEST(the_command_names_what_the_run_was_asked_for),
        cmocka_unit_test(texts_are_clean_and_cut_between_characters),
        cmocka_unit_test(seconds_are_rounded_within_their_unit),
        TEST(an_empty_and_an_interrupted_run_are_shown_as_far_as_they_got),
        TEST(missing_and_mistyped_members_are_unknown_not_errors),
        TEST(hostile_texts_stay_texts),
        TEST(labels_of_many_near_points_do_not_overlap),
        TEST(every_failed_allocation_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
