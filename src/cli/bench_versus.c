#include "cli/bench_versus.h"

#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/bench_side.h"
#include "cli/table.h"
#include "pipeline/turns.h"
#include "stat/versus.h"

#include <string.h>
#include <strings.h>

enum { PAIRS = 2, RESAMPLES = 4000, CONFIG_BYTES_MAX = 1 << 20 };

typedef struct outcome {
    double a[HONE_VERSUS_ROUNDS_MAX * PAIRS], b[HONE_VERSUS_ROUNDS_MAX * PAIRS]; /* s per token */
    size_t rounds;
    hone_interval ratio;
} outcome;

typedef struct versus {
    bench_side *sides; /* A and B */
    const bench_test *test;
} versus;

static hone_status measure_side(void *arg, int side, double *cost)
{
    versus *v = arg;
    return v->sides[side].sample(v->sides[side].of, v->test, cost);
}

/* The keys that the change names replace those of the configuration that A has. */
static hone_status changed(const hone_config *base, const char *text, size_t bytes,
                           hone_config *out)
{
    char *all = NULL, *merged = NULL;
    json_t *from = NULL, *change = NULL;
    hone_status s = hone_json_parse(text, bytes, 8, 1000, "a configuration", &change);
    if (s == HONE_OK)
        s = hone_config_to_json(base, &all);
    if (s == HONE_OK)
        s = hone_json_parse(all, strlen(all), 8, 1000, "a configuration", &from);
    if (s == HONE_OK && (!json_is_object(change) || json_object_update(from, change) != 0))
        s = hone_fail(HONE_FORMAT, "a configuration is a JSON object");
    if (s == HONE_OK) {
        merged = json_dumps(from, JSON_COMPACT);
        s = merged ? hone_config_from_json(merged, out) : hone_fail_memory(1024, "--versus");
    }
    json_decref(from);
    json_decref(change);
    hone_free(all);
    hone_free(merged);
    return s;
}

hone_status bench_other(const char *what, const hone_config *base, bool *model, hone_config *out)
{
    const char *end = strrchr(what, '.');
    *model = false;
    *out = *base;
    if (what[0] == '{')
        return changed(base, what, strlen(what), out);
    if (end && strcmp(end, ".json") == 0) {
        char *text;
        size_t bytes;
        HONE_TRY(hone_read_file(what, CONFIG_BYTES_MAX, &text, &bytes));
        hone_status s = changed(base, text, bytes, out);
        hone_free(text);
        return s;
    }
    *model = true;
    return HONE_OK;
}

static hone_status open_other(const bench *a, bench *b, const hone_config *config, bench_side *out)
{
    const char *what = cli_text(a->c, "versus");
    hone_config c;
    bool model;
    if (strncmp(what, "build:", 6) == 0)
        return bench_side_build(what + 6, a, config, out);
    if (strncasecmp(what, "http://", 7) == 0 || strncasecmp(what, "https://", 8) == 0)
        return bench_side_endpoint(what, a, out);
    HONE_TRY(bench_other(what, config, &model, &c));
    HONE_TRY(bench_list(b));
    HONE_TRY(bench_open(b, model ? what : cli_operand(b->c, 0), c));
    return bench_side_engine(b, out);
}

/* Rounds until a look says that it is enough. */
static hone_status compare(versus *v, size_t rounds_max, double margin, outcome *o)
{
    double warm[2], level = hone_versus_level(rounds_max, 0.95);
    char name[96];
    HONE_TRY(hone_turns_take(measure_side, v, 0, 1, &warm[0], &warm[1]));
    for (size_t look = 0, until; (until = hone_versus_look(look, rounds_max)) > 0; look++) {
        for (; o->rounds < until; o->rounds++) {
            size_t at = o->rounds * PAIRS;
            cli_progress((double)o->rounds / (double)rounds_max, "%s",
                         bench_test_name(v->test, name, sizeof name));
            HONE_TRY(hone_turns_take(measure_side, v, o->rounds, PAIRS, o->a + at, o->b + at));
        }
        HONE_TRY(
            hone_stat_ratio_rounds(o->a, o->b, o->rounds, PAIRS, level, 1, RESAMPLES, &o->ratio));
        if (hone_versus_done(&o->ratio, margin))
            break;
    }
    return HONE_OK;
}

static hone_status print_json(const bench *a, const bench_side *sides, const outcome *all,
                              double margin)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < a->n_tests; i++) {
        const outcome *o = &all[i];
        char name[96], words[256];
        double ma, mb;
        HONE_TRY(hone_stat_median(o->a, o->rounds * PAIRS, &ma));
        HONE_TRY(hone_stat_median(o->b, o->rounds * PAIRS, &mb));
        json_array_append_new(
            rows, json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:I, s:s, s:s}", "test",
                            bench_test_name(&a->tests[i], name, sizeof name), "a_tok_s", 1 / ma,
                            "b_tok_s", 1 / mb, "ratio", o->ratio.point, "ratio_lo", o->ratio.lo,
                            "ratio_hi", o->ratio.hi, "rounds", (json_int_t)o->rounds, "verdict",
                            hone_verdict_name(hone_versus_judge(&o->ratio, margin)), "words",
                            hone_versus_say(&o->ratio, margin, "A", "B", words, sizeof words)));
    }
    return cli_print_json(json_pack("{s:O, s:O, s:f, s:o}", "a", sides[0].json, "b", sides[1].json,
                                    "margin", margin, "rows", rows));
}

static hone_status print_text(const bench *a, const bench_side *sides, const outcome *all,
                              double margin)
{
    char text[256];
    cli_table *t;
    printf("A: %s\nB: %s\n\n", sides[0].name, sides[1].name);
    HONE_TRY(cli_table_open("test,>A tok/s,>B tok/s,>ratio,>95% interval,>rounds,verdict", &t));
    for (size_t i = 0; i < a->n_tests; i++) {
        const outcome *o = &all[i];
        double ma = 0, mb = 0;
        hone_status s = hone_stat_median(o->a, o->rounds * PAIRS, &ma);
        if (s == HONE_OK)
            s = hone_stat_median(o->b, o->rounds * PAIRS, &mb);
        if (s != HONE_OK) {
            cli_table_close(t);
            return s;
        }
        cli_table_cell(t, "%s", bench_test_name(&a->tests[i], text, sizeof text));
        cli_table_cell(t, "%.1f", 1 / ma);
        cli_table_cell(t, "%.1f", 1 / mb);
        cli_table_cell(t, "%.3fx", o->ratio.point);
        cli_table_cell(t, "%.3f - %.3f", o->ratio.lo, o->ratio.hi);
        cli_table_cell(t, "%zu", o->rounds);
        cli_table_cell(t, "%s", hone_versus_say(&o->ratio, margin, "A", "B", text, sizeof text));
    }
    return cli_table_print(t, stdout);
}

static hone_status in_turns(bench *a, bench_side *sides, outcome *all)
{
    double margin = cli_number(a->c, "margin");
    hone_status s = HONE_OK;
    for (size_t i = 0; s == HONE_OK && i < a->n_tests; i++) {
        versus v = {.sides = sides, .test = &a->tests[i]};
        s = compare(&v, (size_t)cli_int(a->c, "rounds"), margin, &all[i]);
    }
    cli_progress_end();
    HONE_TRY(s);
    return cli_json(a->c) ? print_json(a, sides, all, margin) : print_text(a, sides, all, margin);
}

hone_status bench_versus(bench *a, const hone_config *config)
{
    bench b = {.c = a->c};
    bench_side sides[2] = {0};
    outcome *all = hone_calloc(a->n_tests, sizeof *all);
    hone_status s = all ? bench_side_engine(a, &sides[0])
                        : hone_fail_memory(a->n_tests * sizeof *all, "samples");
    if (s == HONE_OK)
        s = open_other(a, &b, config, &sides[1]);
    if (s == HONE_OK)
        s = in_turns(a, sides, all);
    bench_side_close(&sides[1]);
    bench_side_close(&sides[0]);
    bench_close(&b);
    hone_free(all);
    return s;
}
