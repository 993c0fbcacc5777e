/* report - one run of the registry for people: tables, a page, or JSON. */
#include "cli/cli.h"
#include "cli/registry_args.h"
#include "cli/report_text.h"
#include "cli/table.h"
#include "report/report_training.h"

#include "base/io.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct wanted_run {
    int64_t model, run; /* 0 = any model; 0 = the latest run */
    int64_t found;      /* 0 = none */
} wanted_run;

/* Runs are walked in the order of their numbers: the last that fits is the latest. */
static hone_status see_run(void *arg, const hone_run_record *run)
{
    wanted_run *w = arg;
    if (w->run ? run->id == w->run : strcmp(run->goal, "profile") != 0)
        w->found = run->id;
    return HONE_OK;
}

/* The operand: decimal digits are a run's number, anything else is a model's path. */
static hone_status parse_operand(const cli_context *c, hone_registry *r, wanted_run *w)
{
    const char *text = cli_operands(c) ? cli_operand(c, 0) : "";
    w->run = cli_int(c, "run");
    if (!*text)
        return HONE_OK;
    if (text[strspn(text, "0123456789")])
        return cli_find_model(r, text, &w->model);
    errno = 0;
    int64_t run = strtoll(text, NULL, 10);
    if (errno || run < 1)
        return hone_fail(HONE_USAGE, "\"%s\" is not a run's number: hone history lists them", text);
    if (w->run && w->run != run)
        return hone_fail(HONE_USAGE, "run %s or --run %lld: give one of them", text,
                         (long long)w->run);
    w->run = run;
    return HONE_OK;
}

static hone_status load(const cli_context *c, hone_registry *r, hone_report **out)
{
    wanted_run w = {0};
    HONE_TRY(parse_operand(c, r, &w));
    if (w.model) {
        HONE_TRY(hone_registry_each_run(r, w.model, see_run, &w));
        if (!w.found)
            return hone_fail(HONE_NOT_FOUND, "%s has no such run of %s: hone history lists them",
                             hone_registry_path(r), cli_operand(c, 0));
        w.run = w.found;
    }
    return hone_report_load(r, w.run, out);
}

static hone_status write_page(const char *path, const char *html, size_t bytes)
{
    HONE_TRY(hone_write_file(path, html, bytes));
    fprintf(stderr, "%s: written\n", path);
    return HONE_OK;
}

/* ---- a run of hone train ----------------------------------------------------------------------
 */

static hone_status load_training(const cli_context *c, hone_registry *r, hone_report_training *out)
{
    const char *text = cli_operands(c) ? cli_operand(c, 0) : "";
    int64_t id = cli_int(c, "run");
    char *folder = NULL;
    if (*text && !text[strspn(text, "0123456789")])
        id = strtoll(text, NULL, 10);
    else if (*text && !(folder = realpath(text, NULL)))
        return hone_fail(HONE_NOT_FOUND, "%s: no such folder", text);
    hone_status s = hone_report_training_load(r, folder, id, out);
    free(folder); /* NOLINT: realpath's */
    return s;
}

/* "-" for what is not known: not finite, or of a run that was killed before it was written. */
static void put_number(cli_table *t, const char *format, double x)
{
    cli_table_cell(t, isfinite(x) ? format : "-", x);
}

static hone_status print_training(const hone_report_training *r)
{
    hone_report_training_sum sum;
    cli_table *t;
    hone_report_training_sum_up(r, &sum);
    printf("run %lld of hone train: %s\n%s\n%s, step %llu of %llu, %.4g M tokens",
           (long long)r->record.id, r->record.folder, r->record.settings, r->record.state,
           (unsigned long long)sum.step, (unsigned long long)r->record.steps,
           (double)sum.tokens / 1e6);
    if (isfinite(sum.validation))
        printf(", validation %.4f (best %.4f at step %llu)", sum.validation, sum.best,
               (unsigned long long)sum.best_step);
    printf("\n");
    HONE_TRY(cli_table_open(">step,>tokens,>loss,>rate,>gradient,>tokens/s,>validation", &t));
    size_t every = (r->n + 19) / 20;
    for (size_t i = 0; i < r->n; i++) {
        const hone_training_point *p = &r->points[i];
        if ((i + 1) % every && i + 1 < r->n)
            continue;
        cli_table_cell(t, "%llu", (unsigned long long)p->step);
        cli_table_cell(t, "%llu", (unsigned long long)p->tokens);
        put_number(t, "%.4f", p->loss);
        put_number(t, "%.3g", p->rate);
        put_number(t, "%.3g", p->norm);
        put_number(t, "%.0f", p->tokens_s);
        if (isfinite(p->validation))
            cli_table_cell(t, "%.4f", p->validation);
        else
            cli_table_cell(t, "%s", "");
    }
    return cli_table_print(t, stdout);
}

static hone_status run_training(cli_context *c)
{
    hone_registry *registry;
    hone_report_training r;
    const char *output = cli_text(c, "output");
    char *html = NULL;
    size_t bytes = 0;
    HONE_TRY(cli_open_registry(c, false, &registry));
    hone_status s = load_training(c, registry, &r);
    hone_registry_close(registry);
    HONE_TRY(s);
    if (output)
        s = hone_report_training_html(&r, &html, &bytes);
    if (s == HONE_OK && output)
        s = write_page(output, html, bytes);
    hone_free(html);
    if (s == HONE_OK && cli_json(c))
        s = cli_print_json(hone_report_training_json(&r));
    else if (s == HONE_OK && !output)
        s = print_training(&r);
    hone_report_training_free(&r);
    return s;
}

static hone_status run(cli_context *c)
{
    hone_registry *registry;
    hone_report *r;
    char *html = NULL;
    size_t bytes = 0;
    if (cli_flag(c, "training"))
        return run_training(c);
    HONE_TRY(cli_open_registry(c, false, &registry));
    hone_status s = load(c, registry, &r);
    hone_registry_close(registry);
    HONE_TRY(s);
    if (cli_text(c, "output"))
        s = hone_report_html(r, &html, &bytes);
    if (s == HONE_OK && cli_text(c, "output"))
        s = write_page(cli_text(c, "output"), html, bytes);
    hone_free(html);
    if (s == HONE_OK && cli_json(c))
        s = cli_print_json(hone_report_json(r));
    else if (s == HONE_OK && !cli_text(c, "output"))
        s = cli_print_report(r, stdout);
    hone_report_free(r);
    return s;
}

static const cli_option options[] = {
    {.name = "run",
     .type = CLI_INT,
     .argument = "N",
     .fallback = "0",
     .min = 0,
     .max = 1e15,
     .help = "number of the run, as in `hone history` (0: the latest)"},
    {.name = "output",
     .letter = 'o',
     .type = CLI_TEXT,
     .argument = "FILE.html",
     .help = "write one self-contained page instead of printing tables"},
    {.name = "training",
     .type = CLI_FLAG,
     .help = "a run of hone train instead: its curves, by its folder or number"},
    CLI_REGISTRY_OPTION,
    {0},
};

static const cli_example examples[] = {
    {"hone report", "the latest run as tables"},
    {"hone report 3 -o run3.html", "run 3 as a page for a browser"},
    {"hone report model.gguf -o report.html", "the latest run of a model, as a page"},
    {"hone report --training small/ -o curves.html", "the curves of a run of hone train"},
    {"hone report --json | jq .headline", "what came of it, for a script"},
    {0},
};

const cli_command cli_cmd_report = {
    .name = "report",
    .summary = "show what came of a run of optimize",
    .description =
        "Shows a run of the registry: what won and by how much, what it costs in quality, where "
        "the baseline's time goes, and every experiment with its prediction, its measurement and "
        "the "
        "verdict. A run that was interrupted is shown as far as it got. Without an operand it is "
        "the "
        "latest run, with the path of a model that model's latest, with a number that run. With "
        "--training the same of hone train's runs, which are known by their folders.",
    .operands = "[MODEL|FOLDER|RUN]",
    .operands_min = 0,
    .operands_max = 1,
    .options = options,
    .examples = examples,
    .run = run,
};
