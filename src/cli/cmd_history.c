/* history - the runs of the optimiser, and what was promoted and rolled back. */
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/registry_args.h"
#include "cli/table.h"
#include "engine/config.h"
#include "report/report.h"

#include <string.h>

typedef struct history {
    json_t *runs, *promotions;
    cli_table *table; /* of whichever is walked */
} history;

static json_t *parsed(const char *text)
{
    json_t *value = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    return value ? value : json_null();
}

static hone_status add_run(void *arg, const hone_run_record *r)
{
    history *h = arg;
    json_t *result = parsed(r->result);
    /* Nobody notes the end of a run that was stopped: it may be running, and mostly is not. */
    const char *state = strcmp(r->state, "running") == 0 ? "unfinished" : r->state;
    const char *label = json_string_value(json_object_get(result, "label"));
    if (h->table) {
        cli_table_cell(h->table, "%lld", (long long)r->id);
        cli_table_cell(h->table, "%lld", (long long)r->model);
        cli_table_cell(h->table, "%.19s", r->started);
        cli_table_cell(h->table, "%s", r->goal);
        if (strcmp(r->goal, "profile") == 0)
            cli_table_cell(h->table, "-");
        else
            cli_table_cell(h->table, "%g %%", 100 * r->max_loss);
        cli_table_cell(h->table, "%s", state);
        cli_table_cell(h->table, "%s", label ? label : "");
        json_decref(result);
        return HONE_OK;
    }
    json_t *o =
        json_pack("{s:I, s:I, s:s, s:f, s:s, s:s, s:s?, s:o}", "id", (json_int_t)r->id, "model",
                  (json_int_t)r->model, "goal", r->goal, "max_loss", r->max_loss, "state", state,
                  "started", r->started, "finished", r->finished, "result", result);
    return o && json_array_append_new(h->runs, o) == 0 ? HONE_OK : hone_fail_memory(64, "history");
}

static hone_status add_promotion(void *arg, const hone_promotion_record *p)
{
    history *h = arg;
    if (h->table) {
        char text[256] = "the file as it is";
        hone_config c;
        if (p->config) {
            HONE_TRY(hone_config_from_json(p->config, &c));
            hone_config_describe(&c, text, sizeof text);
        }
        cli_table_cell(h->table, "%.19s", p->when);
        cli_table_cell(h->table, "%s", p->action);
        cli_table_cell(h->table, "%s (%.12s)", p->model_path, p->model_sha256);
        if (p->run)
            cli_table_cell(h->table, "%lld", (long long)p->run);
        else
            cli_table_cell(h->table, "%s", "");
        cli_table_cell(h->table, "%s", text);
        return HONE_OK;
    }
    json_t *o = json_pack("{s:I, s:s, s:s, s:o, s:I, s:s, s:o}", "id", (json_int_t)p->id, "action",
                          p->action, "model_sha256", p->model_sha256, "model_path",
                          hone_report_text(p->model_path), "run", (json_int_t)p->run, "at", p->when,
                          "config", parsed(p->config));
    return o && json_array_append_new(h->promotions, o) == 0 ? HONE_OK
                                                             : hone_fail_memory(64, "history");
}

static hone_status print_json(hone_registry *r, int64_t model)
{
    history h = {.runs = json_array(), .promotions = json_array()};
    hone_status s = hone_registry_each_run(r, model, add_run, &h);
    if (s == HONE_OK)
        s = hone_registry_each_promotion(r, model, add_promotion, &h);
    if (s == HONE_OK)
        return cli_print_json(json_pack("{s:o, s:o}", "runs", h.runs, "promotions", h.promotions));
    json_decref(h.runs);
    json_decref(h.promotions);
    return s;
}

static hone_status is_empty(hone_registry *r, int64_t model, bool *empty)
{
    history h = {.runs = json_array(), .promotions = json_array()};
    hone_status s = hone_registry_each_run(r, model, add_run, &h);
    if (s == HONE_OK)
        s = hone_registry_each_promotion(r, model, add_promotion, &h);
    *empty = json_array_size(h.runs) + json_array_size(h.promotions) == 0;
    json_decref(h.runs);
    json_decref(h.promotions);
    return s;
}

static hone_status print_text(hone_registry *r, int64_t model)
{
    history h = {0};
    bool empty;
    HONE_TRY(is_empty(r, model, &empty));
    if (empty) {
        printf("%s holds no run and no promotion yet: hone optimize makes them.\n",
               hone_registry_path(r));
        return HONE_OK;
    }
    HONE_TRY(cli_table_open(">run,>model,started,goal,>loss allowed,state,chosen", &h.table));
    hone_status s = hone_registry_each_run(r, model, add_run, &h);
    if (s != HONE_OK) {
        cli_table_close(h.table);
        return s;
    }
    HONE_TRY(cli_table_print(h.table, stdout));
    putchar('\n');
    HONE_TRY(cli_table_open("when,action,model,>run,in force from then on", &h.table));
    s = hone_registry_each_promotion(r, model, add_promotion, &h);
    if (s != HONE_OK) {
        cli_table_close(h.table);
        return s;
    }
    return cli_table_print(h.table, stdout);
}

static hone_status run(cli_context *c)
{
    hone_registry *r;
    int64_t model = 0;
    HONE_TRY(cli_open_registry(c, false, &r));
    hone_status s = HONE_OK;
    if (cli_operands(c))
        s = cli_find_model(r, cli_operand(c, 0), &model);
    if (s == HONE_OK)
        s = cli_json(c) ? print_json(r, model) : print_text(r, model);
    hone_registry_close(r);
    return s;
}

static const cli_option options[] = {CLI_REGISTRY_OPTION, {0}};

static const cli_example examples[] = {
    {"hone history", "everything in the registry"},
    {"hone history --json model.gguf", "the runs and promotions of one model, for a script"},
    {0},
};

const cli_command cli_cmd_history = {
    .name = "history",
    .summary = "list runs of optimize and profile, promotions and rollbacks",
    .description =
        "Lists the runs of `hone optimize` with what they chose, those of `hone profile` (goal "
        "profile) with what bounds decoding, and every promotion and rollback with the "
        "configuration that was in force from then on. An unfinished run was stopped, or is "
        "running still: the same command goes on with it.",
    .operands = "[MODEL]",
    .operands_min = 0,
    .operands_max = 1,
    .options = options,
    .examples = examples,
    .run = run,
};
