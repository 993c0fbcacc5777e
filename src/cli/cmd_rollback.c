/* rollback - puts the configuration back in force that the last promotion replaced. */
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/registry_args.h"
#include "engine/config.h"
#include "report/report.h"

#include <string.h>

static hone_status print(const cli_context *c, const char *config)
{
    if (cli_json(c))
        return cli_print_json(
            json_pack("{s:o, s:o}", "model", hone_report_text(cli_operand(c, 0)), "config",
                      config ? json_loads(config, JSON_REJECT_DUPLICATES, NULL) : json_null()));
    if (!config) {
        puts("In force: the file as it is, nothing is promoted.");
        return HONE_OK;
    }
    hone_config parsed;
    char text[256];
    HONE_TRY(hone_config_from_json(config, &parsed));
    hone_config_describe(&parsed, text, sizeof text);
    printf("In force: %s\n", text);
    return HONE_OK;
}

static hone_status run(cli_context *c)
{
    hone_registry *r;
    int64_t model;
    char *config = NULL;
    HONE_TRY(cli_open_registry(c, false, &r));
    hone_status s = cli_find_model(r, cli_operand(c, 0), &model);
    if (s == HONE_OK)
        s = hone_registry_rollback(r, model, &config);
    hone_registry_close(r);
    if (s == HONE_OK)
        s = print(c, config);
    hone_free(config);
    return s;
}

static const cli_option options[] = {CLI_REGISTRY_OPTION, {0}};

static const cli_example examples[] = {
    {"hone rollback model.gguf", "takes the last promotion back"},
    {0},
};

const cli_command cli_cmd_rollback = {
    .name = "rollback",
    .summary = "put the former configuration of a model back in force",
    .description = "Puts the configuration back in force that the last promotion of this model "
                   "replaced. Called again it goes one further back, down to the file as it is. "
                   "Nothing is erased: `hone history` shows promotions and rollbacks alike.",
    .operands = "MODEL",
    .operands_min = 1,
    .operands_max = 1,
    .options = options,
    .examples = examples,
    .run = run,
};
