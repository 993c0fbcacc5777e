/* eval - perplexity of a model on a text, and its distance from a reference. */
#include "base/io.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/damage.h"
#include "cli/engine_args.h"
#include "cli/read_text.h"
#include "cli/table.h"
#include "eval/eval.h"
#include "kernel/kernel.h"
#include "report/report.h"
#include "text/tokenizer.h"

#include <string.h>

enum { PROTOCOL_TEXT = 200 };
#define TEXT_BYTES_MAX ((size_t)1 << 30)

typedef struct eval_job {
    const cli_context *c;
    int32_t *ids;
    size_t n, text_bytes;
    int32_t bos;
    bool cut; /* the text, by --max-tokens */
    hone_eval_protocol protocol;
    hone_eval_reference reference; /* with --kl */
    hone_eval_comparison result;   /* without --kl only .test is filled */
} eval_job;

static hone_status read_text(eval_job *j, const char *model, const char *data)
{
    hone_tokenizer *t;
    char *text;
    HONE_TRY(hone_tokenizer_of_model(model, &t));
    hone_status s = cli_read_text(data, TEXT_BYTES_MAX, &text, &j->text_bytes);
    if (s == HONE_OK) {
        s = hone_tokenizer_encode(t, text, j->text_bytes, 0, &j->ids, &j->n);
        hone_free(text);
    }
    j->bos = hone_tokenizer_adds_bos(t) ? hone_tokenizer_bos(t) : -1;
    hone_tokenizer_close(t);
    int64_t most = cli_int(j->c, "max-tokens");
    j->cut = s == HONE_OK && most > 0 && j->n > (uint64_t)most;
    if (j->cut)
        j->n = (size_t)most;
    return s;
}

static hone_status choose_protocol(eval_job *j, const hone_engine *e)
{
    int32_t bos = cli_flag(j->c, "no-bos") ? -1 : j->bos;
    j->protocol = hone_eval_protocol_default(hone_engine_config(e)->context_tokens, bos);
    if (cli_given(j->c, "ctx")) {
        j->protocol.context = (uint32_t)cli_int(j->c, "ctx");
        j->protocol.stride = j->protocol.context;
    }
    if (cli_given(j->c, "stride"))
        j->protocol.stride = (uint32_t)cli_int(j->c, "stride");
    if (j->protocol.stride > j->protocol.context)
        return hone_fail(HONE_USAGE,
                         "--stride %u: windows of %u tokens would leave some out; at most %u, or a "
                         "larger --ctx",
                         j->protocol.stride, j->protocol.context, j->protocol.context);
    return HONE_OK;
}

static hone_status name_text(const eval_job *j, hone_status s)
{
    const char *text = cli_text(j->c, "data");
    return s == HONE_DATA ? hone_fail_in(s, j->cut ? "%s, cut by --max-tokens" : "%s", text) : s;
}

static bool knows_all(const hone_engine *e, const eval_job *j)
{
    int32_t vocab = (int32_t)hone_engine_facts(e)->vocab;
    size_t i = 0;
    while (i < j->n && j->ids[i] < vocab)
        i++;
    return i == j->n && j->bos < vocab;
}

/* The reference: the file's own weights in float32. It is gone before the model is loaded. */
static hone_status take_reference(eval_job *j, const char *path, int threads)
{
    hone_config config = hone_config_default();
    config.compute = HONE_COMPUTE_F32;
    config.kv_format = HONE_KV_F32;
    config.prefix_reuse = false;
    config.threads = threads;
    hone_engine *e;
    HONE_TRY(cli_open_engine(path, &config, &e));
    hone_status s = HONE_OK;
    if (!knows_all(e, j))
        s = hone_fail(HONE_DATA, "--kl %s has only %u tokens: it is of another vocabulary", path,
                      hone_engine_facts(e)->vocab);
    if (s == HONE_OK)
        s = choose_protocol(j, e);
    if (s == HONE_OK)
        s = name_text(j,
                      hone_eval_reference_take(e, j->ids, j->n, &j->protocol, HONE_EVAL_KEEP_BYTES,
                                               cli_engine_progress, NULL, &j->reference));
    cli_progress_end();
    hone_engine_close(e);
    return s;
}

static json_t *kl_json(const eval_job *j)
{
    const hone_eval_comparison *r = &j->result;
    return json_pack("{s:o, s:s, s:f, s:I, s:f, s:f, s:f, s:f}", "reference",
                     hone_report_text(cli_text(j->c, "kl")), "reference_dtype", "f32",
                     "reference_perplexity", j->reference.result.perplexity, "tokens",
                     (json_int_t)r->compared, "mean", r->kl_mean, "p99", r->kl_p99, "max",
                     r->kl_max, "top1_agreement", r->top1_agreement);
}

static hone_status print_json(const eval_job *j, const hone_engine *e)
{
    const hone_eval_result *r = &j->result.test;
    char text[PROTOCOL_TEXT];
    hone_eval_protocol_describe(&j->protocol, text, sizeof text);
    json_t *o = json_pack(
        "{s:o, s:o, s:{s:s, s:I, s:I, s:i}, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:o}", "model",
        hone_report_text(cli_operand(j->c, 0)), "data", hone_report_text(cli_text(j->c, "data")),
        "protocol", "text", text, "context", (json_int_t)j->protocol.context, "stride",
        (json_int_t)hone_eval_protocol_step(&j->protocol), "bos", (int)j->protocol.bos, "bytes",
        (json_int_t)j->text_bytes, "tokens", (json_int_t)r->tokens, "windows",
        (json_int_t)r->windows, "scored", (json_int_t)r->scored, "nll_mean", r->nll_mean,
        "perplexity", r->perplexity, "seconds", r->seconds, "config", cli_config_json(e));
    if (o && j->result.kl && json_object_set_new(o, "kl", kl_json(j)) != 0) {
        json_decref(o);
        o = NULL;
    }
    return cli_print_json(o);
}

static hone_status print_text(const eval_job *j, const hone_engine *e)
{
    const hone_eval_comparison *r = &j->result;
    char text[PROTOCOL_TEXT], config[256];
    cli_table *t;
    hone_eval_protocol_describe(&j->protocol, text, sizeof text);
    hone_config_describe(hone_engine_config(e), config, sizeof config);
    HONE_TRY(cli_table_open(",", &t));
    cli_table_cell(t, "model");
    cli_table_cell(t, "%s (%s)", cli_operand(j->c, 0), config);
    cli_table_cell(t, "text");
    cli_table_cell(t, "%s: %zu tokens, %zu scored in %zu windows", cli_text(j->c, "data"),
                   r->test.tokens, r->test.scored, r->test.windows);
    cli_table_cell(t, "protocol");
    cli_table_cell(t, "%s", text);
    cli_table_cell(t, "perplexity");
    cli_table_cell(t, "%.6f  (%.6f nats per token)", r->test.perplexity, r->test.nll_mean);
    if (r->kl) {
        cli_table_cell(t, "reference");
        cli_table_cell(t, "%s in float32: perplexity %.6f", cli_text(j->c, "kl"),
                       j->reference.result.perplexity);
        cli_table_cell(t, "KL divergence");
        cli_table_cell(t, "mean %.3g, 99th percentile %.3g, max %.3g nats (%zu tokens)", r->kl_mean,
                       r->kl_p99, r->kl_max, r->compared);
        cli_table_cell(t, "same first token");
        cli_table_cell(t, "%.3f %%", 100 * r->top1_agreement);
    }
    return cli_table_print(t, stdout);
}

static hone_status evaluate(eval_job *j, hone_engine *e)
{
    hone_status s;
    if (cli_given(j->c, "kl")) {
        s = hone_eval_compare(&j->reference, e, cli_engine_progress, NULL, &j->result);
    } else {
        HONE_TRY(choose_protocol(j, e));
        s = name_text(j, hone_eval_perplexity(e, j->ids, j->n, &j->protocol, cli_engine_progress,
                                              NULL, &j->result.test));
    }
    cli_progress_end();
    HONE_TRY(s);
    s = cli_json(j->c) ? print_json(j, e) : print_text(j, e);
    hone_eval_comparison_close(&j->result);
    return s;
}

static hone_status run(cli_context *c)
{
    eval_job j = {.c = c};
    hone_config config;
    hone_engine *e;
    const char *model = cli_operand(c, 0);
    HONE_TRY(cli_model_config(c, model, &config));
    config.prefix_reuse = false; /* no text is read twice: one context is all the memory */
    HONE_TRY(read_text(&j, model, cli_text(c, "data")));
    hone_status s = HONE_OK;
    if (cli_given(c, "kl"))
        s = take_reference(&j, cli_text(c, "kl"), config.threads);
    if (s == HONE_OK)
        s = cli_open_engine(model, &config, &e);
    bool opened = s == HONE_OK;
    if (opened) {
        s = evaluate(&j, e);
        hone_engine_close(e);
    }
    if (s == HONE_FORMAT && opened)
        s = cli_name_damage(model, s);
    hone_eval_reference_close(&j.reference);
    hone_free(j.ids);
    return s;
}

static const cli_option options[] = {
    {.name = "ppl", .type = CLI_FLAG, .help = "perplexity (what eval does by default)"},
    {.name = "data",
     .type = CLI_TEXT,
     .argument = "TEXT",
     .required = true,
     .help = "the text file to evaluate on; - reads standard input"},
    {.name = "ctx",
     .type = CLI_INT,
     .argument = "C",
     .min = 2,
     .max = 1 << 24,
     .help = "tokens in a window, BOS included (default: 512 or the model's context)"},
    {.name = "stride",
     .type = CLI_INT,
     .argument = "S",
     .min = 1,
     .max = 1 << 24,
     .help = "tokens between the starts of windows (default: windows touch)"},
    {.name = "no-bos", .type = CLI_FLAG, .help = "no BOS token at the start of windows"},
    {.name = "max-tokens",
     .type = CLI_INT,
     .argument = "N",
     .fallback = "0",
     .min = 0,
     .max = INT32_MAX,
     .help = "use only the first N tokens of the text (0: all)"},
    {.name = "kl",
     .type = CLI_TEXT,
     .argument = "REFERENCE",
     .model = true,
     .help = "also the KL divergence from this model run in float32 (may be MODEL itself)"},
    CLI_PROMOTED_OPTIONS,
    {0},
};

static const cli_example examples[] = {
    {"hone eval --ppl model.gguf --data text.txt", "perplexity in bfloat16 arithmetic"},
    {"hone eval --ppl model.gguf --data text.txt --dtype f32 --ctx 1024 --stride 512",
     "the reference arithmetic, overlapping windows"},
    {"hone eval model.gguf --data text.txt --weights q4_0 --kl model.gguf",
     "what rounding the weights to 4 bits costs"},
    {0},
};

const cli_command cli_cmd_eval = {
    .name = "eval",
    .summary = "measure a model's perplexity on a text, and its distance from a reference",
    .description =
        "Cuts the text into windows and scores every token by the probability that the tokens "
        "before it in its window give to it. The protocol (context, stride, BOS, what is scored) "
        "is printed with the result: figures of different protocols cannot be compared.\n\n"
        "With --kl both models see the same windows, and at every scored token the "
        "Kullback-Leibler divergence from the reference's distribution is taken, with the share of "
        "tokens on which both put the same one first.",
    .operands = "MODEL",
    .operands_min = 1,
    .operands_max = 1,
    .options = options,
    .examples = examples,
    .interruptible = true,
    .run = run,
};
