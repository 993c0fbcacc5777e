/* bench - the engine's speed, each figure beside the limit of this machine; two configurations or
 * models in turns. */
#include "base/interrupt.h"
#include "base/mem.h"
#include "cli/bench_record.h"
#include "cli/bench_run.h"
#include "cli/bench_side.h"
#include "cli/bench_versus.h"
#include "cli/table.h"
#include "report/report.h"
#include "technique/technique.h"

#include <math.h>
#include <string.h>

enum { RESAMPLES = 2000, BOOTSTRAP_MIN = 5 };

/* Tests in order of their depth, so that contexts are built once per repetition. */
static hone_status measure_all(bench *b)
{
    double ignored;
    size_t warm = (size_t)cli_int(b->c, "warm-up"), rounds = b->reps + warm;
    for (size_t r = 0; r < rounds; r++) {
        for (size_t i = 0; i < b->n_tests; i++) {
            HONE_TRY(hone_interrupt_check());
            bench_test *t = &b->tests[i];
            cli_progress((double)(r * b->n_tests + i) / (double)(rounds * b->n_tests), "%s",
                         r < warm ? "warming up" : "measuring");
            HONE_TRY(bench_measure(b, t, r < warm ? &ignored : &t->tok_s[r - warm]));
        }
    }
    return HONE_OK;
}

/* ---- the roofline --------------------------------------------------------------------------- */

/* Before the tests and after them, the better of both: a machine that was busy at one moment is not
 * slower for that. */
static hone_status measure_limits(bench *b)
{
    hone_limits now;
    cli_progress(-1, "measuring the machine's limits");
    HONE_TRY(hone_limits_measure(hone_engine_config(b->engine)->threads, &now));
    b->limits.threads = now.threads;
    b->limits.read_bytes_s = fmax(b->limits.read_bytes_s, now.read_bytes_s);
    for (int i = 0; i < HONE_ISA_COUNT; i++)
        b->limits.ops_s[i] = fmax(b->limits.ops_s[i], now.ops_s[i]);
    for (int i = 0; i < HONE_PEAK_COUNT; i++)
        b->limits.peak_ops_s[i] = fmax(b->limits.peak_ops_s[i], now.peak_ops_s[i]);
    return HONE_OK;
}

/* The measured peak of the arithmetic that products of this configuration use. */
static void choose_peak(bench *b)
{
    const hone_config *c = hone_engine_config(b->engine);
    int isa = c->isa;
    if (isa >= HONE_ISA_AMX_BF16 && c->compute == HONE_COMPUTE_BF16)
        isa = HONE_ISA_AMX_BF16;
    else if (isa >= HONE_ISA_AVX512)
        isa = HONE_ISA_AVX512;
    b->peak_isa = (hone_isa)isa;
    bool own = c->products != HONE_PRODUCTS_EXACT && c->products != HONE_PRODUCTS_BF16_WEIGHTS;
    b->peak_name = own ? hone_products_name(c->products) : hone_isa_name((hone_isa)isa);
    b->peak_ops_s = hone_technique_products_ops_s(&b->limits, c, HONE_FEW_ROWS + 1);
}

/* Seconds that `flops` and `bytes` take at the limits: the larger of both (Williams et al. 2009).
 */
static double roof_s(const bench *b, double flops, double bytes)
{
    double arithmetic = b->peak_ops_s > 0 ? flops / b->peak_ops_s : 0;
    double memory = b->limits.read_bytes_s > 0 ? bytes / b->limits.read_bytes_s : 0;
    return arithmetic > memory ? arithmetic : memory;
}

static double limit_of(const bench *b, const bench_test *t)
{
    const hone_model_facts *f = hone_engine_facts(b->engine);
    double weights = (double)f->weight_bytes_per_token, kv = (double)f->kv_bytes_per_token;
    double head = 2.0 * f->vocab * f->hidden;
    double attention = 4.0 * f->layers * f->heads * f->head_dim; /* per key that a query sees */
    double mean_depth = hone_model_seen(f, t->depth + (t->tokens + 1) / 2.0); /* windows forget */
    if (t->prefill) {
        double flops = (f->flops_per_token - head + attention * mean_depth) * t->tokens + head;
        double s = roof_s(b, flops * t->batch,
                          weights + kv * hone_model_seen(f, t->depth + t->tokens) * t->batch);
        return s > 0 ? (double)t->tokens * t->batch / s : 0;
    }
    double flops = (f->flops_per_token + attention * mean_depth) * t->batch;
    double s = roof_s(b, flops, weights + kv * mean_depth * t->batch);
    return s > 0 ? t->batch / s : 0;
}

/* Of few values the bootstrap's bounds are the smallest and the largest, which miss the median of
 * three in every fourth case: there it is Student's interval, of the logarithms. Of two even that
 * says nothing: its bounds are twelve deviations away. */
static hone_status interval_of(const double *tok_s, size_t reps, hone_interval *out)
{
    double logs[BOOTSTRAP_MIN];
    if (reps >= BOOTSTRAP_MIN)
        return hone_stat_bootstrap_median(tok_s, reps, 0.95, 1, RESAMPLES, out);
    if (reps < BENCH_INTERVAL_REPS) {
        *out = (hone_interval){0, NAN, NAN};
        return hone_stat_median(tok_s, reps, &out->point);
    }
    for (size_t i = 0; i < reps; i++)
        logs[i] = log(tok_s[i]);
    HONE_TRY(hone_stat_t_interval(logs, reps, 0.95, out));
    *out = (hone_interval){0, exp(out->lo), exp(out->hi)};
    return hone_stat_median(tok_s, reps, &out->point);
}

static hone_status summarise(bench *b)
{
    choose_peak(b);
    for (size_t i = 0; i < b->n_tests; i++) {
        bench_test *t = &b->tests[i];
        HONE_TRY(interval_of(t->tok_s, b->reps, &t->speed));
        t->limit = limit_of(b, t);
    }
    return HONE_OK;
}

/* ---- output --------------------------------------------------------------------------------- */

static hone_status print_json(const bench *b, const json_t *compared)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < b->n_tests; i++) {
        const bench_test *t = &b->tests[i];
        json_t *row = json_pack(
            "{s:s, s:I, s:I, s:I, s:f, s:f}", "test", t->prefill ? "prefill" : "decode", "tokens",
            (json_int_t)t->tokens, "depth", (json_int_t)t->depth, "batch", (json_int_t)t->batch,
            "limit", t->limit, "share", t->limit > 0 ? t->speed.point / t->limit : 0.0);
        bench_put_speed(row, &t->speed);
        json_array_append_new(rows, row);
    }
    return cli_print_json(json_pack(
        "{s:o, s:i, s:o, s:{s:f, s:f, s:s}, s:I, s:I, s:o, s:O*}", "model",
        hone_report_text(cli_operand(b->c, 0)), "reps", (int)b->reps, "config",
        cli_config_json(b->engine), "limits", "read_bytes_s", b->limits.read_bytes_s, "ops_s",
        b->peak_ops_s, "ops_isa", hone_isa_name(b->peak_isa), "weight_bytes_per_token",
        (json_int_t)hone_engine_facts(b->engine)->weight_bytes_per_token, "kv_bytes_per_token",
        (json_int_t)hone_engine_facts(b->engine)->kv_bytes_per_token, "rows", rows, "baseline",
        compared));
}

static hone_status print_text(const bench *b)
{
    char text[256];
    cli_table *table;
    hone_config_describe(hone_engine_config(b->engine), text, sizeof text);
    printf("%s (%s)\nlimits of this machine, now: read %.1f GB/s, %s %.2f TFLOP/s\n\n",
           cli_operand(b->c, 0), text, b->limits.read_bytes_s / 1e9, b->peak_name,
           b->peak_ops_s / 1e12);
    HONE_TRY(
        cli_table_open("test,>tokens,>depth,>batch,>tok/s,>95% interval,>limit,>share", &table));
    for (size_t i = 0; i < b->n_tests; i++) {
        const bench_test *t = &b->tests[i];
        cli_table_cell(table, "%s", t->prefill ? "prefill" : "decode");
        cli_table_cell(table, "%u", t->tokens);
        cli_table_cell(table, "%u", t->depth);
        cli_table_cell(table, "%u", t->batch);
        cli_table_cell(table, "%.1f", t->speed.point);
        if (isnan(t->speed.lo))
            cli_table_cell(table, "-");
        else
            cli_table_cell(table, "%.1f - %.1f", t->speed.lo, t->speed.hi);
        cli_table_cell(table, "%.1f", t->limit);
        cli_table_cell(table, "%.1f %%", t->limit > 0 ? 100 * t->speed.point / t->limit : 0.0);
    }
    return cli_table_print(table, stdout);
}

static hone_status run_alone(bench *b)
{
    HONE_TRY(measure_limits(b));
    HONE_TRY(measure_all(b));
    HONE_TRY(measure_limits(b));
    cli_progress_end();
    HONE_TRY(summarise(b));
    json_t *compared = NULL;
    if (!cli_json(b->c))
        HONE_TRY(print_text(b));
    hone_status s = bench_record(b, &compared);
    hone_status printed = cli_json(b->c) ? print_json(b, compared) : HONE_OK;
    json_decref(compared);
    return s == HONE_OK ? printed : s;
}

static hone_status run_bench(bench *b)
{
    hone_config config;
    HONE_TRY(bench_list(b));
    HONE_TRY(cli_model_config(b->c, cli_operand(b->c, 0), &config));
    HONE_TRY(bench_open(b, cli_operand(b->c, 0), config));
    return cli_text(b->c, "versus") ? bench_versus(b, &config) : run_alone(b);
}

static hone_status run(cli_context *c)
{
    if (cli_flag(c, "worker"))
        return bench_worker_serve(c);
    if (cli_text(c, "versus") && cli_text(c, "baseline"))
        return hone_fail(HONE_USAGE, "--versus measures in turns, --baseline compares with what is "
                                     "kept: give one of them");
    bench b = {.c = c, .reps = (size_t)cli_int(c, "reps")};
    hone_status s = run_bench(&b);
    bench_close(&b);
    return s;
}

static const cli_option options[] = {
    BENCH_TEST_OPTIONS,
    {.name = "reps",
     .type = CLI_INT,
     .argument = "R",
     .fallback = "5",
     .min = 1,
     .max = BENCH_REPS_MAX,
     .help = "repetitions of every test, interleaved, after those to warm up"},
    {.name = "warm-up",
     .type = CLI_INT,
     .argument = "N",
     .fallback = "1",
     .min = 0,
     .max = 100,
     .help = "repetitions before, that do not count"},
    {.name = "versus",
     .type = CLI_TEXT,
     .argument = "WHAT",
     .model = true,
     .help = "measure in turns with it: a configuration (JSON, or a .json file), another model, "
             "build:PROGRAM (another build of hone), or http://HOST:PORT (an OpenAI-compatible "
             "server)"},
    {.name = "worker",
     .type = CLI_FLAG,
     .help = "be such another build: tests from standard input, answers to standard output"},
    {.name = "margin",
     .type = CLI_PERCENT,
     .argument = "PERCENT",
     .fallback = "1%",
     .min = 0.0001,
     .max = 1,
     .help = "with --versus or --baseline: differences below it do not matter"},
    {.name = "rounds",
     .type = CLI_INT,
     .argument = "N",
     .fallback = "53",
     .min = 10,
     .max = 80,
     .help = "with --versus: rounds at most; fewer when the answer is clear before"},
    {.name = "baseline",
     .type = CLI_TEXT,
     .argument = "NAME",
     .help = "compare with the benchmark stored under this name; the first one is stored"},
    CLI_PROMOTED_OPTIONS,
    {0},
};

static const cli_example examples[] = {
    {"hone bench model.gguf", "prefill of 512 tokens, decode of 64"},
    {"hone bench model.gguf --prefill 512,2048 --decode 64 --depth 0,4096 --batch 1,32 --json",
     "a whole grid, for a script"},
    {"hone bench model.gguf --versus '{\"threads\": 1}'", "is one thread slower, and by how much"},
    {"hone bench model.gguf --versus build:/opt/hone-0.1/bin/hone",
     "is this build faster than that one"},
    {"hone bench model.gguf --versus http://127.0.0.1:8080 --batch 1,8",
     "beside a server with the same model"},
    {"hone bench model.gguf --baseline main", "stores it the first time, then compares"},
    {0},
};

const cli_command cli_cmd_bench = {
    .name = "bench",
    .summary = "measure prefill and decode speed against this machine's limits",
    .description =
        "Runs every test once to warm up (--warm-up) and then R times, the tests taking turns, and "
        "prints the "
        "median of tokens per second (of all sequences together) with its 95% interval: by the "
        "bootstrap, of fewer than five repetitions Student's, of fewer than three none. "
        "Tokens are random. A prefill is timed to its last token's logits; a decode step to those "
        "of "
        "every sequence.\n\n"
        "The limit is the roofline of what a step must do at least: its bytes (weights and KV) "
        "at the read bandwidth and its operations at the peak of the instruction set, whichever "
        "takes longer. Both are measured before and after the tests with the same number of "
        "threads all at once. A model that fits the caches of the processor can exceed it.\n\n"
        "With --versus both sides are measured in turns, and as often as the noise asks for; what "
        "the noise hides is not claimed (docs/measurement.md). Results are kept in the registry "
        "(hone regress looks for changes in them).",
    .operands = "MODEL",
    .operands_min = 1,
    .operands_max = 1,
    .options = options,
    .examples = examples,
    .interruptible = true,
    .run = run,
};
