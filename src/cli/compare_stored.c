#include "cli/compare_stored.h"

#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/registry_args.h"
#include "report/report.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BENCH_BYTES_MAX = 4 << 20 };

static bool is_number(const char *text)
{
    return *text && !text[strspn(text, "0123456789")];
}

static hone_status read_bench(const char *path, json_t **out)
{
    char *text;
    size_t bytes;
    HONE_TRY(hone_read_file(path, BENCH_BYTES_MAX, &text, &bytes));
    hone_status s = hone_json_parse(text, bytes, 8, 100000, path, out);
    hone_free(text);
    return s;
}

bool compare_is_stored(const char *operand)
{
    const char *end = strrchr(operand, '.');
    json_t *o;
    if (is_number(operand))
        return !hone_is_file(operand) && !hone_is_directory(operand);
    if (*operand == '{' || !end || strcmp(end, ".json") != 0 || read_bench(operand, &o) != HONE_OK)
        return false;
    bool rows = json_is_array(json_object_get(o, "rows"));
    json_decref(o);
    return rows;
}

/* ---- benchmarks ------------------------------------------------------------------------------ */

static int test_of(hone_compare *page, const char *name)
{
    for (size_t t = 0; t < page->n_tests; t++)
        if (strcmp(page->tests[t], name) == 0)
            return (int)t;
    if (page->n_tests == HONE_COMPARE_TESTS)
        return -1;
    snprintf(page->tests[page->n_tests], sizeof page->tests[0], "%s", name);
    return (int)page->n_tests++;
}

static void take_row(hone_compare *page, hone_compare_side *side, const json_t *row)
{
    const char *test = json_string_value(json_object_get(row, "test"));
    double tokens = hone_json_number(row, "tokens"), depth = hone_json_number(row, "depth"),
           batch = hone_json_number(row, "batch");
    char name[96];
    double speed = hone_json_number(row, "tok_s");
    if (!test || !(tokens > 0) || !(depth >= 0) || !(batch > 0) || !(speed > 0) ||
        (strcmp(test, "prefill") != 0 && strcmp(test, "decode") != 0))
        return;
    snprintf(name, sizeof name, "%.10s %.0f, depth %.0f, batch %.0f", test, tokens, depth, batch);
    int t = test_of(page, name);
    if (t >= 0)
        side->speed[t].tok_s = (hone_interval){speed, hone_json_number(row, "tok_s_lo"),
                                               hone_json_number(row, "tok_s_hi")};
}

static hone_status add_bench(const char *path, hone_compare *page, hone_compare_side *side)
{
    json_t *o, *row;
    size_t i;
    HONE_TRY(read_bench(path, &o));
    const json_t *rows = json_object_get(o, "rows"), *config = json_object_get(o, "config");
    const char *model = json_string_value(json_object_get(o, "model"));
    json_array_foreach(rows, i, row) take_row(page, side, row);
    side->path = hone_strdup(model ? model : "");
    side->config = config ? json_dumps(config, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    bool known = false;
    for (size_t t = 0; t < page->n_tests; t++)
        known |= isfinite(side->speed[t].tok_s.point);
    json_decref(o);
    if (!known)
        return hone_fail(HONE_FORMAT,
                         "%s: \"rows\" holds no measurement of `hone bench --json` (without "
                         "--versus, which compares by itself)",
                         path);
    return HONE_OK;
}

/* ---- runs ------------------------------------------------------------------------------------ */

/* What was found of the configuration that the run ended on; NULL = nothing. */
static const hone_report_experiment *end_of(const hone_report *r)
{
    int i = r->choice >= 0 ? r->choice : r->base;
    return i >= 0 && strcmp(r->experiments[i].config, r->config) == 0 ? &r->experiments[i] : NULL;
}

static void take_end(const hone_report *r, const hone_report_experiment *e, hone_compare_side *side)
{
    bool memory = strcmp(r->goal, "memory") == 0;
    double cost = r->choice >= 0 ? e->cost : r->profile_cost; /* the baseline's is the profile's */
    if (!(cost > 0))
        cost = NAN;
    side->memory_bytes = memory ? cost : NAN;
    side->cost_seconds = memory ? NAN : cost;
    if (!e->has_quality)
        return;
    side->perplexity = e->perplexity;
    side->perplexity_ratio = e->perplexity / e->perplexity_original;
    side->kl_mean = e->kl_mean;
    side->kl_p99 = e->kl_p99;
    side->top1 = e->top1_agreement;
}

static hone_status add_run(const cli_context *c, const char *operand, hone_compare *page,
                           hone_compare_side *side)
{
    hone_registry *registry;
    hone_report *r;
    errno = 0;
    int64_t run = strtoll(operand, NULL, 10);
    if (errno || run < 1)
        return hone_fail(HONE_USAGE, "\"%s\" is no run's number: hone history lists them", operand);
    HONE_TRY(cli_open_registry(c, false, &registry));
    hone_status s = hone_report_load(registry, run, &r);
    hone_registry_close(registry);
    HONE_TRY(s);
    char headline[300], text[1024];
    const hone_report_experiment *e = end_of(r);
    snprintf(text, sizeof text, "run %lld: %s", (long long)run,
             r->label && *r->label ? r->label : "unfinished");
    (void)hone_report_clean(text, side->label, sizeof side->label);
    snprintf(text, sizeof text, "%s, goal %s: %s", r->model_name, r->goal,
             hone_report_headline(r, headline, sizeof headline));
    (void)hone_report_clean(text, side->note, sizeof side->note);
    side->path = hone_strdup(r->model_path);
    side->config = *r->config ? hone_strdup(r->config) : NULL;
    if (e)
        take_end(r, e, side);
    hone_report_free(r);
    page->reference = "the original of each run, in float32";
    return side->path ? HONE_OK : hone_fail_memory(1, "a path");
}

hone_status compare_add_stored(const cli_context *c, const char *operand, hone_compare *page)
{
    hone_compare_side *side = &page->sides[page->n_sides++];
    hone_compare_side_clear(side);
    (void)hone_report_clean(operand, side->label, sizeof side->label);
    return is_number(operand) ? add_run(c, operand, page, side) : add_bench(operand, page, side);
}

/* Perplexities of different texts say nothing of each other: what a run chose was judged on another
 * part of the text than its baseline. The same original has the same perplexity on the same text
 * only. */
static void relate_perplexities(hone_compare *page)
{
    double original = NAN;
    bool same = true;
    for (size_t i = 0; i < page->n_sides; i++) {
        double of = page->sides[i].perplexity / page->sides[i].perplexity_ratio;
        if (!isfinite(of))
            continue;
        same = same && !(fabs(of / original - 1) > 1e-12);
        original = of;
    }
    for (size_t i = 0; i < page->n_sides && !same; i++)
        page->sides[i].perplexity = NAN;
    if (!isfinite(original))
        page->reference = "";
    else
        page->protocol = same ? "judged on the same text"
                              : "judged on different texts or beside different originals, so that "
                                "perplexities are told as multiples of the original's";
}

/* Two benches one after the other: their intervals are all that is known, so both must move. */
void compare_stored_finish(hone_compare *page)
{
    relate_perplexities(page);
    for (size_t i = 1; i < page->n_sides; i++) {
        for (size_t t = 0; t < page->n_tests; t++) {
            const hone_interval *a = &page->sides[0].speed[t].tok_s;
            const hone_interval *b = &page->sides[i].speed[t].tok_s;
            if (a->lo > 0 && a->hi > a->lo && b->lo > 0 && b->hi > b->lo) /* one run: no interval */
                page->sides[i].speed[t].ratio =
                    (hone_interval){b->point / a->point, b->lo / a->hi, b->hi / a->lo};
        }
    }
}
