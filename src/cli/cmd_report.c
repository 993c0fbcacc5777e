/* report - what a run found, as text, JSON or HTML. */
#include "base/io.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/registry_args.h"
#include "report/report.h"

#include <string.h>

static hone_status give(const cli_context *c, json_t *document)
{
    bool html = cli_given(c, "output");
    char *text;
    HONE_TRY(html ? hone_report_html(document, &text) : hone_report_text(document, &text));
    hone_status s = HONE_OK;
    if (html)
        s = hone_write_file(cli_text(c, "output"), text, strlen(text));
    else
        fputs(text, stdout);
    hone_free(text);
    return s;
}

static hone_status run(cli_context *c)
{
    hone_registry *r;
    int64_t model = 0;
    json_t *document = NULL;
    HONE_TRY(cli_open_registry(c, false, &r));
    hone_status s = HONE_OK;
    if (cli_operands(c))
        s = cli_find_model(r, cli_operand(c, 0), &model);
    if (s == HONE_OK)
        s = hone_report_document(r, model, cli_int(c, "run"), &document);
    hone_registry_close(r);
    HONE_TRY(s);
    if (cli_json(c) && !cli_given(c, "output"))
        return cli_print_json(document);
    s = give(c, document);
    json_decref(document);
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
     .type = CLI_TEXT,
     .argument = "FILE",
     .letter = 'o',
     .help = "write HTML to this file: plots and tables, nothing else needed to read it"},
    CLI_REGISTRY_OPTION,
    {0},
};

static const cli_example examples[] = {
    {"hone report", "the latest run"},
    {"hone report model.gguf -o report.html", "the latest run of a model, as HTML"},
    {0},
};

const cli_command cli_cmd_report = {
    .name = "report",
    .summary = "show what a run of the optimiser found",
    .description = "Shows a run from the registry: where the time goes, the experiments with their "
                   "intervals and losses, the Pareto front, what was chosen and why, what was "
                   "rejected and why.",
    .operands = "[MODEL]",
    .operands_min = 0,
    .operands_max = 1,
    .options = options,
    .examples = examples,
    .run = run,
};
