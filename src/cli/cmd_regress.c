/* regress - did a benchmark become slower? Change points in the history of the registry. */
#include "base/json.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/registry_args.h"
#include "cli/table.h"
#include "cli/webhook.h"
#include "engine/config.h"
#include "report/report.h"
#include "stat/changes.h"
#include "store/bench_records.h"
#include "store/fingerprint.h"

#include <math.h>
#include <string.h>

typedef struct series {
    int64_t model;
    char *machine, *config, *test;
    char *path; /* of the model, "" if the registry has lost it */
    char at[HONE_CHANGES_VALUES_MAX][20];
    double logs[HONE_CHANGES_VALUES_MAX]; /* of the seconds per token; the latest are kept */
    int64_t benches[HONE_CHANGES_VALUES_MAX];
    size_t n;
    bool changed, worse; /* its latest change; by more than the margin, to the worse */
    hone_change change;
} series;

typedef struct histories {
    series **list;
    size_t n;
} histories;

static hone_status start_series(histories *h, const hone_history_point *p)
{
    series **more = hone_reallocarray(h->list, h->n + 1, sizeof *more);
    if (!more)
        return hone_fail_memory(h->n * sizeof *more, "histories");
    h->list = more;
    series *s = hone_calloc(1, sizeof *s);
    if (!s)
        return hone_fail_memory(sizeof *s, "a history");
    h->list[h->n++] = s;
    s->model = p->model;
    s->machine = hone_strdup(p->machine);
    s->config = hone_strdup(p->config);
    s->test = hone_strdup(p->test);
    s->path = hone_strdup("");
    return s->machine && s->config && s->test && s->path ? HONE_OK
                                                         : hone_fail_memory(256, "a history");
}

static hone_status add_point(void *arg, const hone_history_point *p)
{
    histories *h = arg;
    series *s = h->n ? h->list[h->n - 1] : NULL;
    if (!(p->seconds > 0 && isfinite(p->seconds)))
        return HONE_OK;
    if (!s || s->model != p->model || strcmp(s->machine, p->machine) != 0 ||
        strcmp(s->config, p->config) != 0 || strcmp(s->test, p->test) != 0) {
        HONE_TRY(start_series(h, p));
        s = h->list[h->n - 1];
    }
    if (s->n == HONE_CHANGES_VALUES_MAX) {
        memmove(s->logs, s->logs + 1, (s->n - 1) * sizeof *s->logs);
        memmove(s->benches, s->benches + 1, (s->n - 1) * sizeof *s->benches);
        memmove(s->at, s->at + 1, (s->n - 1) * sizeof *s->at);
        s->n--;
    }
    s->logs[s->n] = log(p->seconds);
    snprintf(s->at[s->n], sizeof *s->at, "%s", p->at ? p->at : "");
    s->benches[s->n++] = p->bench;
    return HONE_OK;
}

static hone_status see_model(void *arg, const hone_model_record *m)
{
    histories *h = arg;
    for (size_t i = 0; i < h->n; i++) {
        if (h->list[i]->model != m->id)
            continue;
        hone_free(h->list[i]->path);
        h->list[i]->path = hone_strdup(m->path);
        if (!h->list[i]->path)
            return hone_fail_memory(256, "a history");
    }
    return HONE_OK;
}

static void close_histories(histories *h)
{
    for (size_t i = 0; i < h->n; i++) {
        hone_free(h->list[i]->machine);
        hone_free(h->list[i]->config);
        hone_free(h->list[i]->test);
        hone_free(h->list[i]->path);
        hone_free(h->list[i]);
    }
    hone_free(h->list);
}

/* The latest change says what holds now; it is looked at against the level before it. With many
 * series the level is divided among them, and the random orders grow with it. */
static hone_status search(series *s, double level, double margin)
{
    hone_change found[HONE_CHANGES_VALUES_MAX / 2];
    size_t count;
    hone_changes_options o = {.level = level,
                              .clip = 2,
                              .seed = 1,
                              .permutations = (size_t)fmax(999, ceil(10 / level) - 1)};
    HONE_TRY(hone_stat_changes(s->logs, s->n, &o, found, HONE_CHANGES_VALUES_MAX / 2, &count));
    if (count == 0)
        return HONE_OK;
    s->changed = true;
    s->change = found[count - 1];
    s->worse = s->change.after - s->change.before > log1p(margin);
    return HONE_OK;
}

static json_t *to_json(const histories *h, size_t regressions)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < h->n; i++) {
        const series *s = h->list[i];
        json_t *o = json_pack("{s:I, s:s, s:I, s:b, s:b}", "model", (json_int_t)s->model, "test",
                              s->test, "runs", (json_int_t)s->n, "changed", (int)s->changed,
                              "regression", (int)s->worse);
        json_object_set_new(o, "path", hone_report_text(s->path));
        json_object_set_new(o, "machine", json_string(s->machine));
        json_object_set_new(o, "configuration", json_loads(s->config, 0, NULL));
        if (o && s->changed) {
            json_object_set_new(o, "bench", json_integer(s->benches[s->change.at]));
            json_object_set_new(o, "at", json_string(s->at[s->change.at]));
            json_object_set_new(o, "slower", json_real(expm1(s->change.after - s->change.before)));
            json_object_set_new(o, "p", json_real(s->change.p));
        }
        json_array_append_new(rows, o);
    }
    return json_pack("{s:I, s:o}", "regressions", (json_int_t)regressions, "series", rows);
}

/* What tells the history from another of the same model and test; "" if nothing need. */
static const char *configuration(const histories *h, const series *s, char *buf, size_t size)
{
    hone_config c;
    size_t same = 0;
    for (size_t i = 0; i < h->n; i++)
        same += h->list[i]->model == s->model && strcmp(h->list[i]->test, s->test) == 0;
    *buf = 0;
    if (same > 1 && hone_config_from_json(s->config, &c) == HONE_OK)
        hone_config_describe(&c, buf, size);
    return buf;
}

static hone_status print_text(const histories *h)
{
    cli_table *t;
    char text[256];
    HONE_TRY(cli_table_open("model,test,>runs,what,configuration", &t));
    for (size_t i = 0; i < h->n; i++) {
        const series *s = h->list[i];
        double by = 100 * expm1(fabs(s->change.after - s->change.before));
        cli_table_cell(t, "%s", s->path);
        cli_table_cell(t, "%s", s->test);
        cli_table_cell(t, "%zu", s->n);
        if (s->changed)
            cli_table_cell(t, "%s: takes %.1f %% %s since bench %lld of %s (p = %.4f)",
                           s->worse ? "REGRESSION" : "changed", by,
                           s->change.after > s->change.before ? "longer" : "less",
                           (long long)s->benches[s->change.at], s->at[s->change.at], s->change.p);
        else
            cli_table_cell(t, "%s", s->n < 10 ? "too few runs (10 are needed)" : "no change");
        cli_table_cell(t, "%s", configuration(h, s, text, sizeof text));
    }
    return cli_table_print(t, stdout);
}

static hone_status tell(const cli_context *c, const histories *h, size_t regressions)
{
    json_t *o = to_json(h, regressions);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    if (!text)
        return hone_fail_memory(1024, "the message");
    hone_status s = cli_webhook_post(cli_text(c, "webhook"), text, cli_number(c, "webhook-time"));
    hone_free(text);
    return s;
}

static hone_status examine(const cli_context *c, histories *h)
{
    size_t regressions = 0, long_enough = 0;
    for (size_t i = 0; i < h->n; i++)
        long_enough += h->list[i]->n >= 10;
    for (size_t i = 0; i < h->n; i++) {
        double level = cli_number(c, "level") / (double)(long_enough ? long_enough : 1);
        HONE_TRY(search(h->list[i], level, cli_number(c, "margin")));
        regressions += h->list[i]->worse;
    }
    HONE_TRY(cli_json(c) ? cli_print_json(to_json(h, regressions)) : print_text(h));
    if (!regressions)
        return HONE_OK;
    if (cli_text(c, "webhook") && tell(c, h, regressions) != HONE_OK)
        fprintf(stderr, "the webhook was not told: %s\n", hone_error());
    return hone_fail(HONE_GATE, "%zu of %zu histories became slower", regressions, h->n);
}

static hone_status run(cli_context *c)
{
    hone_registry *r;
    histories h = {0};
    int64_t model = 0;
    char machine[HONE_DIGEST_BYTES];
    hone_json_use_memory();
    if (cli_given(c, "webhook"))
        HONE_TRY(cli_webhook_check(cli_text(c, "webhook")));
    else if (cli_given(c, "webhook-time"))
        return hone_fail(HONE_USAGE, "--webhook-time: of no --webhook; give one, or leave it out");
    HONE_TRY(cli_open_registry(c, false, &r));
    hone_status s = hone_fingerprint_machine(machine);
    if (s == HONE_OK && cli_operands(c) > 0)
        s = cli_find_model(r, cli_operand(c, 0), &model);
    if (s == HONE_OK)
        s = hone_registry_each_point(r, model, cli_flag(c, "all-machines") ? NULL : machine,
                                     add_point, &h);
    if (s == HONE_OK)
        s = hone_registry_each_model(r, see_model, &h);
    hone_registry_close(r);
    if (s == HONE_OK && h.n == 0)
        s = hone_fail(HONE_NOT_FOUND, "no benchmark%s%s is kept: run hone bench",
                      model ? " of this model" : "",
                      cli_flag(c, "all-machines") ? "" : " on this machine");
    if (s == HONE_OK)
        s = examine(c, &h);
    close_histories(&h);
    return s;
}

static const cli_option options[] = {
    {.name = "level",
     .type = CLI_NUMBER,
     .argument = "P",
     .fallback = "0.01",
     .min = 0.0001,
     .max = 0.5,
     .help = "chance of a false alarm that is accepted, over all histories together"},
    {.name = "margin",
     .type = CLI_PERCENT,
     .argument = "PERCENT",
     .fallback = "1%",
     .min = 0,
     .max = 10,
     .help = "slowdowns below it are no regressions"},
    {.name = "webhook",
     .type = CLI_TEXT,
     .argument = "URL",
     .help = "on a regression, POST the result there as JSON"},
    {.name = "webhook-time",
     .type = CLI_NUMBER,
     .argument = "SECONDS",
     .fallback = "5",
     .min = 0.1,
     .max = 60,
     .help = "longest time that the POST may take"},
    {.name = "all-machines", .type = CLI_FLAG, .help = "histories of other machines too"},
    CLI_REGISTRY_OPTION,
    {0},
};

static const cli_example examples[] = {
    {"hone regress", "exit code 12 if a benchmark of this machine became slower"},
    {"hone regress --webhook https://example.org/hook", "and tell a server of it"},
    {0},
};

const cli_command cli_cmd_regress = {
    .name = "regress",
    .summary = "look for slowdowns in the history of benchmarks",
    .description =
        "Every hone bench is kept in the registry. For each machine, model, configuration and test "
        "this looks for change points in the order of time (E-divisive with a permutation test). "
        "The latest change of a history is a regression if it made things slower by more than the "
        "margin; then the exit code is 12. A history needs 10 runs. docs/measurement.md says when "
        "this misleads.",
    .operands = "[MODEL]",
    .operands_max = 1,
    .options = options,
    .examples = examples,
    .run = run,
};
