/* bench - the engine's speed, each figure beside the limit of this machine. */
#include "base/clock.h"
#include "base/interrupt.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cli/cli.h"
#include "cli/engine_args.h"
#include "cli/table.h"
#include "hw/limits.h"
#include "stat/stat.h"

#include <math.h>
#include <string.h>

enum { RESAMPLES = 2000, TESTS_MAX = 256, REPS_MAX = 1000 };

typedef struct bench_test {
    bool prefill;
    uint32_t tokens; /* prompt, or steps of each sequence */
    uint32_t depth;  /* tokens in the context before */
    uint32_t batch;
    double tok_s[REPS_MAX];
    hone_interval speed;
    double limit; /* tok/s at the roofline; 0 = unknown */
} bench_test;

typedef struct bench {
    const cli_context *c;
    hone_engine *engine;
    bench_test *tests;
    size_t n_tests, reps;
    hone_session **sessions; /* [batch_max], of the depth in hand */
    hone_row *rows;          /* [batch_max] */
    uint32_t batch_max, tokens_max;
    int32_t *tokens; /* [batch_max][tokens_max] */
    float *logits;   /* [batch_max][vocab] */
    hone_limits limits;
    double peak_ops_s; /* of the arithmetic that the products run on; 0 = not measured */
    hone_isa peak_isa;
} bench;

static uint32_t largest(const int64_t *list, size_t n)
{
    int64_t m = 0;
    for (size_t i = 0; i < n; i++)
        m = list[i] > m ? list[i] : m;
    return (uint32_t)m;
}

static hone_status list_tests(bench *b)
{
    size_t prefills, depths, batches;
    const int64_t *prefill = cli_ints(b->c, "prefill", &prefills);
    const int64_t *depth = cli_ints(b->c, "depth", &depths);
    const int64_t *batch = cli_ints(b->c, "batch", &batches);
    uint32_t decode = (uint32_t)cli_int(b->c, "decode");
    size_t most = depths * (prefills + 1) * batches;
    if (most == 0 || most > TESTS_MAX)
        return hone_fail(HONE_USAGE, "%zu tests: give 1 to %d", most, (int)TESTS_MAX);
    b->tests = hone_calloc(most, sizeof *b->tests);
    if (!b->tests)
        return hone_fail_memory(most * sizeof *b->tests, "tests");
    for (size_t d = 0; d < depths; d++) {
        for (size_t i = 0; i < prefills * batches; i++)
            if (prefill[i / batches] > 0)
                b->tests[b->n_tests++] = (bench_test){.prefill = true,
                                                      .tokens = (uint32_t)prefill[i / batches],
                                                      .depth = (uint32_t)depth[d],
                                                      .batch = (uint32_t)batch[i % batches]};
        for (size_t i = 0; i < batches && decode > 0; i++)
            b->tests[b->n_tests++] = (bench_test){
                .tokens = decode, .depth = (uint32_t)depth[d], .batch = (uint32_t)batch[i]};
    }
    if (b->n_tests == 0)
        return hone_fail(HONE_USAGE, "nothing to measure: --prefill and --decode are both 0");
    b->batch_max = largest(batch, batches);
    uint32_t work = largest(prefill, prefills);
    b->tokens_max = largest(depth, depths) + (work > decode ? work : decode);
    return HONE_OK;
}

/* Room for every session of every test. */
static hone_status bench_config(const bench *b, hone_config *config)
{
    HONE_TRY(cli_model_config(b->c, cli_operand(b->c, 0), config));
    config->prefix_reuse = false; /* no test may profit from what another one did */
    config->context_tokens = b->tokens_max;
    return HONE_OK;
}

static hone_status open_buffers(bench *b)
{
    const hone_model_facts *f = hone_engine_facts(b->engine);
    size_t batch = b->batch_max, count = batch * b->tokens_max;
    b->sessions = hone_calloc(batch, sizeof(hone_session *));
    b->rows = hone_calloc(batch, sizeof *b->rows);
    b->tokens = hone_malloc(count * sizeof *b->tokens);
    b->logits = hone_malloc(batch * f->vocab * sizeof *b->logits);
    if (!b->sessions || !b->rows || !b->tokens || !b->logits)
        return hone_fail_memory(count * sizeof *b->tokens, "benchmark buffers");
    for (size_t i = 0; i < count; i++)
        b->tokens[i] = (int32_t)hone_rng_below(1, 0, i, f->vocab);
    for (size_t i = 0; i < batch; i++)
        HONE_TRY(hone_session_open(b->engine, &b->sessions[i]));
    uint64_t used, most;
    hone_engine_kv_usage(b->engine, &used, &most);
    if ((double)f->kv_bytes_per_token * (double)count > (double)most)
        return hone_fail(HONE_MEMORY,
                         "%u sequences of %u tokens need %.1f GiB of KV pages, the bound is %.1f "
                         "GiB: smaller --batch or --depth, or kv_bytes_max in --config",
                         b->batch_max, b->tokens_max,
                         (double)f->kv_bytes_per_token * (double)count / (1 << 30),
                         (double)most / (1 << 30));
    return HONE_OK;
}

static void close_bench(bench *b)
{
    for (size_t i = 0; b->sessions && i < b->batch_max; i++)
        if (b->sessions[i])
            hone_session_close(b->sessions[i]);
    hone_free(b->sessions);
    hone_free(b->rows);
    hone_free(b->tokens);
    hone_free(b->logits);
    hone_free(b->tests);
    hone_engine_close(b->engine);
}

/* Sequence i's own tokens, from position `at` on. */
static const int32_t *tokens_at(const bench *b, size_t i, uint32_t at)
{
    return b->tokens + i * b->tokens_max + at;
}

/* Every sequence that the test needs holds exactly `depth` tokens. */
static hone_status prepare(bench *b, const bench_test *t)
{
    for (size_t i = 0; i < t->batch; i++) {
        hone_session *s = b->sessions[i];
        hone_session_truncate(s, t->depth);
        while (hone_session_length(s) < t->depth) {
            HONE_TRY(hone_interrupt_check());
            uint32_t at = hone_session_length(s), left = t->depth - at;
            HONE_TRY(hone_session_feed(s, tokens_at(b, i, at), left < 512 ? left : 512,
                                       HONE_WANT_NONE, NULL));
        }
    }
    return HONE_OK;
}

/* All prompts together: each step takes as much of every sequence as fits. */
static hone_status run_prefill(bench *b, const bench_test *t)
{
    uint32_t chunk = hone_engine_config(b->engine)->step_tokens / t->batch, n;
    for (uint32_t k = 0; k < t->tokens; k += n) {
        n = chunk < 1 ? 1 : chunk < t->tokens - k ? chunk : t->tokens - k;
        hone_want want = k + n == t->tokens ? HONE_WANT_LAST : HONE_WANT_NONE;
        for (size_t i = 0; i < t->batch; i++)
            b->rows[i] = (hone_row){b->sessions[i], tokens_at(b, i, t->depth + k), n, want};
        HONE_TRY(hone_engine_step(b->engine, b->rows, t->batch, b->logits));
    }
    return HONE_OK;
}

static hone_status run_decode(bench *b, const bench_test *t)
{
    for (uint32_t k = 0; k < t->tokens; k++) {
        for (size_t i = 0; i < t->batch; i++)
            b->rows[i] =
                (hone_row){b->sessions[i], tokens_at(b, i, t->depth + k), 1, HONE_WANT_LAST};
        HONE_TRY(hone_engine_step(b->engine, b->rows, t->batch, b->logits));
    }
    return HONE_OK;
}

/* One repetition: tokens per second, all sequences together. */
static hone_status measure(bench *b, const bench_test *t, double *tok_s)
{
    HONE_TRY(prepare(b, t));
    double begin = hone_clock_s();
    HONE_TRY(t->prefill ? run_prefill(b, t) : run_decode(b, t));
    *tok_s = (double)t->tokens * t->batch / (hone_clock_s() - begin);
    return HONE_OK;
}

/* Tests in order of their depth, so that contexts are built once per repetition. */
static hone_status measure_all(bench *b)
{
    double ignored;
    for (size_t r = 0; r <= b->reps; r++) {
        for (size_t i = 0; i < b->n_tests; i++) {
            HONE_TRY(hone_interrupt_check());
            bench_test *t = &b->tests[i];
            cli_progress((double)(r * b->n_tests + i) / (double)((b->reps + 1) * b->n_tests), "%s",
                         r == 0 ? "warming up" : "measuring");
            HONE_TRY(measure(b, t, r == 0 ? &ignored : &t->tok_s[r - 1]));
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
    b->peak_ops_s = b->limits.ops_s[isa];
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
    double mean_depth = t->depth + (t->tokens + 1) / 2.0;
    if (t->prefill) {
        double flops = (f->flops_per_token - head + attention * mean_depth) * t->tokens + head;
        double s = roof_s(b, flops * t->batch, weights + kv * (t->depth + t->tokens) * t->batch);
        return s > 0 ? (double)t->tokens * t->batch / s : 0;
    }
    double flops = (f->flops_per_token + attention * mean_depth) * t->batch;
    double s = roof_s(b, flops, weights + kv * mean_depth * t->batch);
    return s > 0 ? t->batch / s : 0;
}

static hone_status summarise(bench *b)
{
    choose_peak(b);
    for (size_t i = 0; i < b->n_tests; i++) {
        bench_test *t = &b->tests[i];
        if (b->reps == 1)
            t->speed = (hone_interval){t->tok_s[0], t->tok_s[0], t->tok_s[0]};
        else
            HONE_TRY(hone_stat_bootstrap_median(t->tok_s, b->reps, 0.95, 1, RESAMPLES, &t->speed));
        t->limit = limit_of(b, t);
    }
    return HONE_OK;
}

/* ---- output --------------------------------------------------------------------------------- */

static hone_status print_json(const bench *b)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < b->n_tests; i++) {
        const bench_test *t = &b->tests[i];
        json_array_append_new(rows, json_pack("{s:s, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f}",
                                              "test", t->prefill ? "prefill" : "decode", "tokens",
                                              (json_int_t)t->tokens, "depth", (json_int_t)t->depth,
                                              "batch", (json_int_t)t->batch, "tok_s",
                                              t->speed.point, "tok_s_lo", t->speed.lo, "tok_s_hi",
                                              t->speed.hi, "limit", t->limit, "share",
                                              t->limit > 0 ? t->speed.point / t->limit : 0.0));
    }
    return cli_print_json(json_pack(
        "{s:s, s:i, s:o, s:{s:f, s:f, s:s}, s:I, s:I, s:o}", "model", cli_operand(b->c, 0), "reps",
        (int)b->reps, "config", cli_config_json(b->engine), "limits", "read_bytes_s",
        b->limits.read_bytes_s, "ops_s", b->peak_ops_s, "ops_isa", hone_isa_name(b->peak_isa),
        "weight_bytes_per_token", (json_int_t)hone_engine_facts(b->engine)->weight_bytes_per_token,
        "kv_bytes_per_token", (json_int_t)hone_engine_facts(b->engine)->kv_bytes_per_token, "rows",
        rows));
}

static hone_status print_text(const bench *b)
{
    char text[256];
    cli_table *table;
    hone_config_describe(hone_engine_config(b->engine), text, sizeof text);
    printf("%s (%s)\nlimits of this machine, now: read %.1f GB/s, %s %.2f TFLOP/s\n\n",
           cli_operand(b->c, 0), text, b->limits.read_bytes_s / 1e9, hone_isa_name(b->peak_isa),
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
        cli_table_cell(table, "%.1f - %.1f", t->speed.lo, t->speed.hi);
        cli_table_cell(table, "%.1f", t->limit);
        cli_table_cell(table, "%.1f %%", t->limit > 0 ? 100 * t->speed.point / t->limit : 0.0);
    }
    return cli_table_print(table, stdout);
}

static hone_status run_bench(bench *b)
{
    hone_config config;
    HONE_TRY(list_tests(b));
    HONE_TRY(bench_config(b, &config));
    HONE_TRY(cli_open_engine(cli_operand(b->c, 0), &config, &b->engine));
    HONE_TRY(open_buffers(b));
    HONE_TRY(measure_limits(b));
    HONE_TRY(measure_all(b));
    HONE_TRY(measure_limits(b));
    cli_progress_end();
    HONE_TRY(summarise(b));
    return cli_json(b->c) ? print_json(b) : print_text(b);
}

static hone_status run(cli_context *c)
{
    bench b = {.c = c, .reps = (size_t)cli_int(c, "reps")};
    hone_status s = run_bench(&b);
    close_bench(&b);
    return s;
}

static const cli_option options[] = {
    {.name = "prefill",
     .type = CLI_INTS,
     .argument = "LENGTHS",
     .fallback = "512",
     .min = 0,
     .max = 1 << 20,
     .help = "prompt lengths (0: none)"},
    {.name = "decode",
     .type = CLI_INT,
     .argument = "N",
     .fallback = "64",
     .min = 0,
     .max = 1 << 20,
     .help = "steps of one token per sequence (0: none)"},
    {.name = "depth",
     .type = CLI_INTS,
     .argument = "DEPTHS",
     .fallback = "0",
     .min = 0,
     .max = 1 << 20,
     .help = "tokens in the context before"},
    {.name = "batch",
     .type = CLI_INTS,
     .argument = "SIZES",
     .fallback = "1",
     .min = 1,
     .max = 512,
     .help = "sequences decoded together"},
    {.name = "reps",
     .type = CLI_INT,
     .argument = "R",
     .fallback = "5",
     .min = 1,
     .max = REPS_MAX,
     .help = "repetitions of every test, interleaved, after one to warm up"},
    CLI_PROMOTED_OPTIONS,
    {0},
};

static const cli_example examples[] = {
    {"hone bench model.gguf", "prefill of 512 tokens, decode of 64"},
    {"hone bench model.gguf --prefill 512,2048 --decode 64 --depth 0,4096 --batch 1,32 --json",
     "a whole grid, for a script"},
    {0},
};

const cli_command cli_cmd_bench = {
    .name = "bench",
    .summary = "measure prefill and decode speed against this machine's limits",
    .description =
        "Runs every test once to warm up and then R times, the tests taking turns, and prints the "
        "median of tokens per second (of all sequences together) with its 95% bootstrap interval. "
        "Tokens are random. A prefill is timed to its last token's logits; a decode step to those "
        "of "
        "every sequence.\n\n"
        "The limit is the roofline of what a step must do at least: its bytes (weights and KV) "
        "at the read bandwidth and its operations at the peak of the instruction set, whichever "
        "takes longer. Both are measured before and after the tests with the same number of "
        "threads all at once. A model that fits the caches of the processor can exceed it.",
    .operands = "MODEL",
    .operands_min = 1,
    .operands_max = 1,
    .options = options,
    .examples = examples,
    .interruptible = true,
    .run = run,
};
