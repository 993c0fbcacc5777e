/* cache - what is kept on disk of packed weights: list it, clear it (docs/packed-cache.md). */
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/table.h"
#include "model/packed_cache.h"
#include "report/report.h"

#include <string.h>
#include <time.h>

static json_t *entries_json(const hone_packed_entry *list, size_t count)
{
    json_t *a = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(a, json_pack("{s:s, s:s, s:I, s:I}", "key", list[i].key, "model",
                                           list[i].label, "bytes", (json_int_t)list[i].bytes,
                                           "used", (json_int_t)list[i].used_s));
    return a;
}

static hone_status print(const cli_context *c, const char *folder, const hone_packed_entry *list,
                         size_t count, bool removed)
{
    char size[32], age[32];
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += list[i].bytes;
    if (cli_json(c))
        return cli_print_json(json_pack("{s:o, s:I, s:b, s:o}", "folder", hone_report_text(folder),
                                        "bytes", (json_int_t)bytes, "removed", removed, "files",
                                        entries_json(list, count)));
    if (!removed && count) {
        cli_table *t;
        time_t now = time(NULL);
        HONE_TRY(cli_table_open("model,>size,>last used,key", &t));
        for (size_t i = 0; i < count; i++) {
            double ago = (double)now - (double)list[i].used_s;
            cli_table_cell(t, "%s", *list[i].label ? list[i].label : "(damaged)");
            cli_table_cell(t, "%s", cli_format_bytes((double)list[i].bytes, size, sizeof size));
            cli_table_cell(t, "%s ago", cli_format_seconds(ago > 0 ? ago : 0, age, sizeof age));
            cli_table_cell(t, "%s", list[i].key);
        }
        HONE_TRY(cli_table_print(t, stdout));
    }
    printf("%s%zu file%s, %s, in %s\n", removed ? "removed " : "", count, count == 1 ? "" : "s",
           cli_format_bytes((double)bytes, size, sizeof size), folder);
    return HONE_OK;
}

/* What could not be removed is left out of the list; one such failure is returned. */
static hone_status remove_all(const char *folder, hone_packed_entry *list, size_t *count)
{
    hone_status failed = HONE_OK;
    size_t gone = 0;
    for (size_t i = 0; i < *count; i++) {
        hone_status s = hone_packed_remove(folder, list[i].key);
        if (s == HONE_OK)
            list[gone++] = list[i];
        else
            failed = s;
    }
    *count = gone;
    return failed;
}

static hone_status run(cli_context *c)
{
    char *folder;
    hone_packed_entry *list;
    size_t count;
    bool clear = cli_operands(c) > 0;
    if (clear && strcmp(cli_operand(c, 0), "clear") != 0)
        return hone_fail(HONE_USAGE, "hone cache %s: give clear, or nothing to list",
                         cli_operand(c, 0));
    HONE_TRY(hone_packed_folder(&folder));
    if (!folder)
        return hone_fail(HONE_NOT_FOUND, "there is no cache: HONE_CACHE is \"off\", or neither it "
                                         "nor HOME is set");
    hone_status s = hone_packed_list(folder, &list, &count);
    if (s == HONE_OK) {
        if (clear)
            s = remove_all(folder, list, &count);
        hone_status printed = print(c, folder, list, count, clear);
        s = s == HONE_OK ? printed : s;
        hone_free(list);
    }
    hone_free(folder);
    return s;
}

static const cli_option options[] = {{0}};

static const cli_example examples[] = {
    {"hone cache", "what is kept, last used first"},
    {"hone cache clear", "removes all of it; it is made anew when needed"},
    {0},
};

const cli_command cli_cmd_cache = {
    .name = "cache",
    .summary = "list or clear the packed weights kept on disk",
    .description =
        "The first start of a model keeps its packed weights on disk, so that the next one maps "
        "them and is there at once. This lists them, the last used first; `clear` removes them "
        "all, which harms no program that runs and loses nothing but time. The folder is "
        "$HONE_CACHE/packed, else $XDG_CACHE_HOME/hone/packed, else ~/.cache/hone/packed; "
        "HONE_CACHE=off keeps nothing. What was used longest ago makes room when a tenth of the "
        "disk, at most 20 GiB, is taken.",
    .operands = "[clear]",
    .operands_min = 0,
    .operands_max = 1,
    .options = options,
    .examples = examples,
    .run = run,
};
