/* optimize - the loop: measure, change, validate, promote. */
#include "base/io.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/damage.h"
#include "cli/engine_args.h"
#include "cli/read_text.h"
#include "cli/registry_args.h"
#include "cli/report_text.h"
#include "cli/table.h"
#include "file/file.h"
#include "model/arch.h"
#include "pipeline/backend_engine.h"
#include "store/digest.h"
#include "store/fingerprint.h"

#include <string.h>

#define TEXT_BYTES_MAX ((size_t)1 << 30)

typedef struct optimize_job {
    const cli_context *c;
    char *text;
    size_t text_bytes;
    char model_hash[65], data_hash[HONE_DIGEST_BYTES], environment_key[HONE_DIGEST_BYTES];
    char arch[64], model_fingerprint[33];
    uint64_t model_bytes;
    char *environment, *settings, *cache;
    hone_backend_engine *backend;
    hone_registry *registry;
    hone_pipeline_result result;
} optimize_job;

static void note(void *arg, const char *line)
{
    (void)arg;
    cli_progress_end();
    fprintf(stderr, "  %s\n", line);
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static hone_status identify(optimize_job *j, const char *model)
{
    hone_file *f;
    HONE_TRY(hone_file_open(model, &f));
    const hone_arch *arch;
    hone_hparams hp;
    hone_status s = hone_arch_read(f, &arch, &hp);
    if (s == HONE_OK) {
        snprintf(j->arch, sizeof j->arch, "%s", arch->name);
        j->model_bytes = hone_file_bytes(f);
        cli_progress(-1, "hashing %s", model);
        s = hone_file_fingerprint(f, j->model_fingerprint);
        if (s == HONE_OK)
            s = hone_file_hash(f, j->model_hash);
        cli_progress_end();
    }
    hone_file_close(f);
    return s;
}

static hone_status gather(optimize_job *j, const char *model)
{
    const cli_context *c = j->c;
    HONE_TRY(cli_open_registry(c, true, &j->registry));
    HONE_TRY(cli_read_text(cli_text(c, "data"), TEXT_BYTES_MAX, &j->text, &j->text_bytes));
    hone_digest_bytes(j->text, j->text_bytes, j->data_hash);
    HONE_TRY(identify(j, model));
    HONE_TRY(hone_fingerprint_take(&j->environment, j->environment_key));
    HONE_TRY(hone_packed_folder(&j->cache));
    hone_backend_options o = {.prompt_tokens = (uint32_t)cli_int(c, "prompt"),
                              .sessions = (uint32_t)cli_int(c, "sessions"),
                              .eval_tokens = (size_t)cli_int(c, "eval-tokens"),
                              .cache = j->cache,
                              .registry = j->registry,
                              .progress = cli_engine_progress,
                              .note = note};
    hone_status s = hone_backend_engine_open(model, j->text, j->text_bytes, &o, &j->backend);
    cli_progress_end();
    if (s == HONE_DATA)
        return hone_fail_in(s, "%s", cli_text(c, "data"));
    HONE_TRY(s);
    return hone_backend_engine_settings(j->backend, &j->settings);
}

static hone_status optimize(optimize_job *j, const char *model)
{
    const cli_context *c = j->c;
    hone_goal goal;
    if (!hone_goal_by_name(cli_text(c, "goal"), &goal))
        return hone_fail(HONE_USAGE, "no goal %s", cli_text(c, "goal"));
    hone_pipeline_request q = {
        .model = {.sha256 = j->model_hash,
                  .path = model,
                  .name = name_of(model),
                  .arch = j->arch,
                  .bytes = j->model_bytes},
        .goal = goal,
        .max_loss = cli_number(c, "max-loss"),
        .data_hash = j->data_hash,
        .seed = (uint64_t)cli_int(c, "seed"),
        .pairs = (int)cli_int(c, "pairs"),
        .settings = j->settings,
        .eval_tokens = (uint64_t)cli_int(c, "eval-tokens"),
        .environment_key = j->environment_key,
        .environment = j->environment,
        .fresh = cli_flag(c, "fresh"),
        .promote = !cli_flag(c, "no-promote"),
        .progress = cli_engine_progress,
        .note = note,
    };
    hone_pipeline_backend callbacks = hone_backend_engine_callbacks(j->backend);
    hone_status s = hone_pipeline_optimize(&q, &callbacks, j->registry, &j->result);
    cli_progress_end();
    if (s == HONE_INTERRUPTED)
        return hone_fail(s,
                         "stopped; what was finished is kept, the same command goes on from here");
    if (s == HONE_UNSUPPORTED) /* the baseline itself cannot be run */
        return cli_name_damage(model, s);
    HONE_TRY(s);
    return hone_registry_put_file(j->registry, j->model_fingerprint, j->result.model);
}

static hone_status write_html(const char *path, const hone_report *report)
{
    char *html;
    size_t bytes;
    HONE_TRY(hone_report_html(report, &html, &bytes));
    hone_status s = hone_write_file(path, html, bytes);
    hone_free(html);
    return s;
}

/* What run, chat, eval, bench, profile and compare start from now. */
static hone_status print_in_force(const optimize_job *j)
{
    char *json, text[256];
    int64_t run;
    if (j->result.promoted) {
        puts("It is now in force for this model: run, chat, eval, bench, profile and "
             "compare start from it.");
        return HONE_OK;
    }
    HONE_TRY(hone_registry_current_of(j->registry, j->result.model, &json, &run));
    hone_config c;
    hone_status s = json ? hone_config_from_json(json, &c) : HONE_OK;
    if (s == HONE_OK && json) {
        hone_config_describe(&c, text, sizeof text);
        if (run)
            printf("In force for this model stays what run %lld promoted: %s.\n", (long long)run,
                   text);
        else
            printf("In force for this model stays what was promoted by hand: %s.\n", text);
    } else if (s == HONE_OK) {
        puts("Nothing is promoted for this model: run, chat, eval, bench, profile and compare "
             "take the file as it is.");
    }
    hone_free(json);
    return s;
}

static hone_status print_text(const optimize_job *j, const hone_report *report)
{
    HONE_TRY(cli_print_report(report, stdout));
    if (j->result.was_done)
        puts("This was measured before (--fresh measures again).");
    return print_in_force(j);
}

static hone_status show(optimize_job *j)
{
    hone_report *report;
    HONE_TRY(hone_report_load(j->registry, j->result.run, &report));
    hone_status s = HONE_OK;
    if (cli_given(j->c, "report"))
        s = write_html(cli_text(j->c, "report"), report);
    if (s == HONE_OK && cli_json(j->c)) {
        json_t *o = hone_report_json(report);
        json_object_set_new(o, "promoted", json_boolean(j->result.promoted));
        s = cli_print_json(o);
    } else if (s == HONE_OK)
        s = print_text(j, report);
    hone_report_free(report);
    return s;
}

/* ---- --list -------------------------------------------------------------------------------------
 */

static json_t *technique_json(const hone_technique *t)
{
    json_t *values = json_array();
    for (size_t v = 0; v < t->n_values; v++)
        json_array_append_new(values, json_string(t->values[v].label));
    return json_pack("{s:s, s:s, s:s, s:b, s:s, s:s, s:s, s:o}", "name", t->name, "title", t->title,
                     "addresses", hone_bottleneck_name(t->addresses), "lossy", (int)t->lossy, "why",
                     t->why, "when_not", t->when_not, "source", t->source, "values", values);
}

static hone_status list(const cli_context *c)
{
    size_t n;
    const hone_technique *const *rows = hone_techniques(&n);
    if (cli_flag(c, "markdown")) {
        char *text;
        HONE_TRY(hone_technique_document(&text));
        fputs(text, stdout);
        hone_free(text);
        return HONE_OK;
    }
    if (cli_json(c)) {
        json_t *array = json_array();
        for (size_t i = 0; i < n; i++)
            json_array_append_new(array, technique_json(rows[i]));
        return cli_print_json(array);
    }
    cli_table *t;
    HONE_TRY(cli_table_open("technique,addresses,quality,values", &t));
    for (size_t i = 0; i < n; i++) {
        cli_table_cell(t, "%s", rows[i]->name);
        cli_table_cell(t, "%s", hone_bottleneck_name(rows[i]->addresses));
        cli_table_cell(t, "%s", rows[i]->lossy ? "lossy" : "same bits");
        char values[512] = "";
        for (size_t v = 0; v < rows[i]->n_values; v++)
            snprintf(values + strlen(values), sizeof values - strlen(values), "%s%s", v ? " " : "",
                     rows[i]->values[v].label);
        cli_table_cell(t, "%s", values);
    }
    return cli_table_print(t, stdout);
}

static hone_status check_list(const cli_context *c)
{
    bool all = cli_flag(c, "list"), markdown = cli_flag(c, "markdown");
    if (markdown && !all)
        return hone_fail(HONE_USAGE, "--markdown is a form of --list: give both");
    if (markdown && cli_json(c))
        return hone_fail(HONE_USAGE, "--markdown and --json are two forms of the list: give one");
    if (all && (cli_operands(c) > 0 || cli_given(c, "data")))
        return hone_fail(HONE_USAGE,
                         "--list names all techniques, of whatever model: leave out MODEL and "
                         "--data, or --list");
    return HONE_OK;
}

static hone_status run(cli_context *c)
{
    HONE_TRY(check_list(c));
    if (cli_flag(c, "list"))
        return list(c);
    if (cli_operands(c) != 1 || !cli_given(c, "data"))
        return hone_fail(HONE_USAGE, "hone optimize needs a MODEL and --data TEXT");
    if (cli_text(c, "report"))
        HONE_TRY(hone_check_output(cli_text(c, "report")));
    optimize_job j = {.c = c};
    const char *model = cli_operand(c, 0);
    hone_status s = gather(&j, model);
    if (s == HONE_OK)
        s = optimize(&j, model);
    hone_backend_engine_close(j.backend);
    if (s == HONE_OK)
        s = show(&j);
    hone_registry_close(j.registry);
    hone_free(j.text);
    hone_free(j.environment);
    hone_free(j.settings);
    hone_free(j.cache);
    return s;
}

#define GOAL_TEXT(id, name, text, unit) "\n\n" name ": " text " (" unit ")"
static const cli_option options[] = {
    {.name = "data",
     .type = CLI_TEXT,
     .argument = "FILE",
     .help = "your text: one part is measured with, the other is held out to judge quality"},
    {.name = "goal",
     .type = CLI_CHOICE,
     .argument = "GOAL",
     .fallback = "decode-latency",
     .choices = "decode-latency|ttft|throughput|memory",
     .help = "what to make smaller"},
    {.name = "max-loss",
     .type = CLI_PERCENT,
     .argument = "PERCENT",
     .fallback = "1%",
     .min = 0,
     .max = 10,
     .help = "most perplexity that may be lost against the file's own weights in float32"},
    {.name = "pairs",
     .type = CLI_INT,
     .argument = "N",
     .fallback = "20",
     .min = 11,
     .max = 10000,
     .help = "samples of each side of an experiment"},
    {.name = "prompt",
     .type = CLI_INT,
     .argument = "N",
     .fallback = "0",
     .min = 0,
     .max = 1 << 24,
     .help = "tokens of the prompt, and depth when decoding (0: 512 or half the context)"},
    {.name = "sessions",
     .type = CLI_INT,
     .argument = "N",
     .fallback = "8",
     .min = 1,
     .max = 256,
     .help = "sessions at once under the goal throughput"},
    {.name = "eval-tokens",
     .type = CLI_INT,
     .argument = "N",
     .fallback = "16384",
     .min = 128,
     .max = 1 << 30,
     .help = "most held-out tokens to judge candidates with, and again the choice"},
    {.name = "seed", .type = CLI_INT, .argument = "N", .fallback = "1", .help = "names the run"},
    CLI_REGISTRY_OPTION,
    {.name = "report", .type = CLI_TEXT, .argument = "FILE", .help = "write the report as HTML"},
    {.name = "fresh", .type = CLI_FLAG, .help = "measure again what an equal call has finished"},
    {.name = "no-promote", .type = CLI_FLAG, .help = "only tell, put nothing in force"},
    {.name = "list", .type = CLI_FLAG, .help = "list the techniques that are tried"},
    {.name = "markdown", .type = CLI_FLAG, .help = "with --list: their documentation"},
    {0},
};

static const cli_example examples[] = {
    {"hone optimize model.gguf --data prompts.txt",
     "the fastest decoding that loses at most 1 % of perplexity"},
    {"hone optimize model.gguf --data prompts.txt --goal memory --max-loss 0.1% --report r.html",
     "the smallest one, judged more strictly, with a report"},
    {"hone optimize --list", "what can be tried"},
    {0},
};

const cli_command cli_cmd_optimize = {
    .name = "optimize",
    .summary = "find the fastest configuration that is good enough, and promote it",
    .description =
        "Profiles the model on this machine, takes candidates from the technique table, measures "
        "each against the baseline in turns, judges what changes the logits on held-out text, "
        "combines what helps, measures the choice once more, and puts it in force for this model. "
        "Everything is kept in the registry.\n\n"
        "Stopped by ctrl-C or killed, the same command goes on where it was. If nothing is both "
        "measurably better and good enough, the baseline stays. docs/optimize.md says what is "
        "measured, what may be claimed, and how to read the columns.\n\n"
        "The goals, less is better:" HONE_GOAL_LIST(GOAL_TEXT),
    .operands = "[MODEL]",
    .operands_min = 0,
    .operands_max = 1,
    .options = options,
    .examples = examples,
    .interruptible = true,
    .run = run,
};
