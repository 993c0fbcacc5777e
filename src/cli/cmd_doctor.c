/* doctor - what this machine has, what is wrong, the command that mends it; --measure: its limits.
 */
#include "cli/cli.h"
#include "cli/table.h"

#include "base/mem.h"
#include "base/threads.h"
#include "cli/registry_args.h"
#include "engine/variants.h"
#include "hw/doctor.h"
#include "model/packed_cache.h"
#include "report/report.h"
#include "store/bench_records.h"

#include <string.h>

enum { THREAD_COUNTS_MAX = 16 };

typedef struct measured {
    int count;
    hone_limits limits[THREAD_COUNTS_MAX];
    hone_limits_news news; /* of the last: all threads */
} measured;

static const char *health_name(hone_health h)
{
    static const char *const names[] = {"fine", "note", "bad"};
    return names[h];
}

/* Limits at 1, 2, 4... threads and at all of them; kept in the registry, for profile, bench and
 * optimize to use. */
static hone_status measure(const cli_context *c, int threads, measured *m)
{
    int most = threads > 0 ? threads : hone_threads_default();
    hone_registry *r;
    hone_status s = HONE_OK;
    if (cli_open_registry(c, true, &r) != HONE_OK)
        r = NULL; /* measured all the same */
    for (int n = 1; m->count < THREAD_COUNTS_MAX; n = 2 * n < most ? 2 * n : most) {
        cli_progress(-1, "measuring with %d threads", n);
        s = hone_registry_limits(r, n, HONE_LIMITS_FRESH, &m->limits[m->count], &m->news);
        m->count += s == HONE_OK;
        if (s != HONE_OK || n >= most)
            break;
    }
    cli_progress_end();
    hone_registry_close(r);
    return s;
}

static json_t *limits_json(const measured *m)
{
    json_t *rows = json_array();
    for (int i = 0; i < m->count; i++)
        json_array_append_new(rows, hone_limits_json(&m->limits[i]));
    return rows;
}

static json_t *variants_json(const hone_variants *v)
{
    char chosen[32], usual[32];
    json_t *list = json_object();
    for (size_t i = 0; i < v->count; i++) {
        const hone_variant *x = &v->list[i];
        json_object_set_new(list, x->name,
                            json_pack("{s:s, s:s, s:f}", "chosen",
                                      hone_variant_value(x, x->chosen, chosen, sizeof chosen),
                                      "usual", hone_variant_value(x, x->usual, usual, sizeof usual),
                                      "gain", x->gain));
    }
    return json_pack("{s:s, s:s, s:o}", "isa", hone_isa_name(v->table.isa), "origin", v->origin,
                     "choices", list);
}

/* Where packed weights are kept and how much they take, or why they are not. */
static void describe_cache(char *text, size_t size)
{
    char *folder, bytes_text[32];
    hone_packed_entry *list = NULL;
    size_t count = 0;
    uint64_t bytes = 0;
    if (hone_packed_folder(&folder) != HONE_OK || !folder) {
        snprintf(text, size, "none (HONE_CACHE=off, or no HOME): every start packs anew");
        return;
    }
    hone_status s = hone_packed_usable(folder);
    if (s == HONE_OK)
        s = hone_packed_list(folder, &list, &count);
    for (size_t i = 0; i < count; i++)
        bytes += list[i].bytes;
    if (s == HONE_OK)
        snprintf(text, size, "%zu model%s, %s, in %s", count, count == 1 ? "" : "s",
                 cli_format_bytes((double)bytes, bytes_text, sizeof bytes_text), folder);
    else
        snprintf(text, size, "every start packs anew: %s", hone_error());
    hone_free(list);
    hone_free(folder);
}

static hone_status print_json(const hone_doctor_report *r, const measured *m,
                              const hone_variants *v)
{
    json_t *facts = json_array(), *root;
    for (int i = 0; i < r->count; i++) {
        const hone_doctor_fact *f = &r->facts[i];
        json_array_append_new(facts, json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", f->name,
                                               "value", f->value, "health", health_name(f->health),
                                               "why", f->why, "mend", f->mend));
    }
    char cache[512];
    describe_cache(cache, sizeof cache);
    json_array_append_new(facts, json_pack("{s:s, s:o, s:s, s:s, s:s}", "name", "packed weights",
                                           "value", hone_report_text(cache), "health", "fine",
                                           "why", "", "mend", ""));
    root = json_pack("{s:o, s:o}", "facts", facts, "variants", variants_json(v));
    if (m->count)
        json_object_set_new(root, "limits", limits_json(m));
    if (m->news.drifted)
        json_object_set_new(root, "drift", json_string(m->news.text));
    return cli_print_json(root);
}

static void rate_row(cli_table *t, const char *name, int threads, double rate, const char *unit)
{
    if (rate <= 0)
        return;
    cli_table_cell(t, "%s", name);
    cli_table_cell(t, "%d", threads);
    cli_table_cell(t, "%.1f", rate / 1e9);
    cli_table_cell(t, "%s", unit);
}

static hone_status print_limits(const measured *m)
{
    cli_table *t;
    HONE_TRY(cli_table_open("limit,>threads,>rate,unit", &t));
    for (int i = 0; i < m->count; i++)
        rate_row(t, "memory read", m->limits[i].threads, m->limits[i].read_bytes_s, "GB/s");
    for (int i = 0; i < m->count; i++)
        rate_row(t, "memory write", m->limits[i].threads, m->limits[i].write_bytes_s, "GB/s");
    for (int i = 0; i < m->count; i++)
        rate_row(t, "memory copy", m->limits[i].threads, m->limits[i].copy_bytes_s, "GB/s copied");
    for (int k = 0; k < HONE_CACHE_LEVELS; k++) {
        for (int i = 0; i < m->count; i++) {
            char name[64], size[32];
            snprintf(name, sizeof name, "cache level %d (%s)", k + 1,
                     cli_format_bytes((double)m->limits[i].cache[k].bytes, size, sizeof size));
            rate_row(t, name, m->limits[i].threads, m->limits[i].cache[k].read_bytes_s,
                     "GB/s, half of it");
        }
    }
    for (int p = 0; p < HONE_PEAK_COUNT; p++) {
        for (int i = 0; i < m->count; i++) {
            char unit[64];
            snprintf(unit, sizeof unit, "Gop/s, %s", hone_peak_text((hone_peak)p));
            rate_row(t, hone_peak_name((hone_peak)p), m->limits[i].threads,
                     m->limits[i].peak_ops_s[p], unit);
        }
    }
    return cli_table_print(t, stdout);
}

/* Which kernels run here, of those with equal bits */
static hone_status print_variants(const hone_variants *v)
{
    cli_table *t;
    char chosen[32], usual[32];
    printf("\nkernels for %s, %s\n", hone_isa_name(v->table.isa), v->origin);
    HONE_TRY(cli_table_open("name,what,>chosen,>usual,>faster by", &t));
    for (size_t i = 0; i < v->count; i++) {
        const hone_variant *x = &v->list[i];
        cli_table_cell(t, "%s", x->name);
        cli_table_cell(t, "%s", x->text);
        cli_table_cell(t, "%s", hone_variant_value(x, x->chosen, chosen, sizeof chosen));
        cli_table_cell(t, "%s", hone_variant_value(x, x->usual, usual, sizeof usual));
        cli_table_cell(t, x->gain > 0 ? "%.1f %%" : "not measured", 100 * (x->gain - 1));
    }
    return cli_table_print(t, stdout);
}

static hone_status print_text(const hone_doctor_report *r, const measured *m,
                              const hone_variants *v)
{
    int problems = 0;
    cli_table *t;
    HONE_TRY(cli_table_open(",,", &t));
    for (int i = 0; i < r->count; i++) {
        const hone_doctor_fact *f = &r->facts[i];
        cli_table_cell(t, "%s", f->health == HONE_HEALTH_FINE ? "  " : health_name(f->health));
        cli_table_cell(t, "%s", f->name);
        cli_table_cell(t, "%s", f->value);
        problems += f->health != HONE_HEALTH_FINE;
    }
    char cache[512];
    describe_cache(cache, sizeof cache);
    cli_table_cell(t, "  ");
    cli_table_cell(t, "packed weights");
    cli_table_cell(t, "%s", cache);
    HONE_TRY(cli_table_print(t, stdout));
    HONE_TRY(print_variants(v));
    if (m->count) {
        putchar('\n');
        HONE_TRY(print_limits(m));
    }
    if (m->news.drifted)
        printf("\ndrift: %s\n", m->news.text);
    for (int i = 0; i < r->count; i++) {
        const hone_doctor_fact *f = &r->facts[i];
        if (f->health == HONE_HEALTH_FINE)
            continue;
        printf("\n%s: %s\n    %s\n", f->name, f->why,
               f->mend[0] ? f->mend : "nothing mends it from here");
    }
    if (!problems)
        puts("\nnothing is wrong");
    return HONE_OK;
}

static hone_status run(cli_context *c)
{
    hone_doctor_report report;
    measured m;
    memset(&m, 0, sizeof m);
    if (cli_given(c, "threads") && !cli_flag(c, "measure"))
        return hone_fail(HONE_USAGE, "--threads is of --measure: give both, or leave it out");
    hone_doctor_examine("", &report);
    if (cli_flag(c, "measure"))
        HONE_TRY(measure(c, (int)cli_int(c, "threads"), &m));
    hone_isa isa;
    const hone_variants *v;
    HONE_TRY(hone_isa_pick(NULL, &isa));
    HONE_TRY(hone_variants_get(isa, &v));
    return cli_json(c) ? print_json(&report, &m, v) : print_text(&report, &m, v);
}

static const cli_option options[] = {
    {.name = "measure",
     .type = CLI_FLAG,
     .help = "measure memory and arithmetic limits with random data (a few seconds)"},
    {.name = "threads",
     .type = CLI_INT,
     .argument = "N",
     .min = 1,
     .max = HONE_THREADS_MAX,
     .help = "measure up to N threads instead of all CPUs allowed"},
    CLI_REGISTRY_OPTION,
    {0},
};

static const cli_example examples[] = {
    {"hone doctor", "what this machine has, what is wrong, and the commands that mend it"},
    {"hone doctor --measure", "also the roof: bytes and operations per second, by thread count"},
    {0},
};

const cli_command cli_cmd_doctor = {
    .name = "doctor",
    .summary = "examine this machine; measure its limits",
    .description =
        "Shows the kernel, processor, instruction sets that hone can use, AMX permission, "
        "frequency "
        "governor, huge pages, NUMA, memory, container and process limits, stolen time and load. A "
        "line marked \"note\" costs speed; one marked \"bad\" makes runs fail or measurements "
        "worthless. Nothing is changed.",
    .options = options,
    .examples = examples,
    .run = run,
};
