/* train - a model from a data set: fresh or on from its weights. */
#include "cli/cli.h"
#include "cli/machine_args.h"
#include "cli/registry_args.h"
#include "cli/train_folder.h"
#include "cli/train_record.h"

#include "report/report.h"
#include "store/bench_records.h"
#include "technique/technique.h"
#include "train/trainer.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/resource.h>

enum { NUMBER = 32 };

typedef struct train {
    cli_context *c;
    hone_trainer *trainer;
    double flops_token, limit; /* multiply-adds x 2; 0 = not measured */
    uint64_t first;            /* step of this start */
    hone_trainer_state warm; /* after its first step, which touches all memory for the first time */
    double cpu_warm, cpu_s;  /* CPU seconds up to there, up to the last step */
    cli_train_record record;
} train;

/* ---- options to settings --------------------------------------------------------------------- */

/* What would be ignored */
static hone_status check_meaning(const cli_context *c, const hone_trainer_options *o)
{
    static const char *const muon[] = {"momentum", "plain-momentum", "muon-scale"};
    const hone_schedule *s = &o->schedule;
    for (size_t i = 0; i < sizeof muon / sizeof *muon; i++)
        if (o->optimizer.kind != HONE_OPTIMIZER_MUON && cli_given(c, muon[i]))
            return hone_fail(HONE_USAGE,
                             "--%s belongs to --optimizer muon: leave it out, or give "
                             "that",
                             muon[i]);
    if (s->kind != HONE_SCHEDULE_WSD && cli_given(c, "decay"))
        return hone_fail(HONE_USAGE,
                         "--decay belongs to --schedule wsd: leave it out, or give that");
    if (s->kind == HONE_SCHEDULE_CONSTANT && cli_given(c, "floor"))
        return hone_fail(HONE_USAGE, "--floor is where a rate that falls ends, and --schedule "
                                     "constant does not fall: leave out one of them");
    if (s->warmup > s->steps)
        return hone_fail(HONE_USAGE, "--warmup %" PRIu64 " ends after the last of --steps %" PRIu64,
                         s->warmup, s->steps);
    if (o->until > s->steps)
        return hone_fail(HONE_USAGE,
                         "--until %" PRIu64 " is behind the last of --steps %" PRIu64
                         ": give more of them",
                         o->until, s->steps);
    return HONE_OK;
}

static hone_status read_options(const cli_context *c, hone_trainer_options *o)
{
    uint64_t steps = (uint64_t)cli_int(c, "steps"), length = (uint64_t)cli_int(c, "length"),
             part = (uint64_t)cli_int(c, "part"), batch = (uint64_t)cli_int(c, "batch");
    if (batch < length)
        return hone_fail(HONE_USAGE, "--batch %" PRIu64 " is less than a row of %" PRIu64 " tokens",
                         batch, length);
    if (batch % length)
        fprintf(stderr,
                "note: a step has %" PRIu64 " tokens, whole rows of %" PRIu64
                ", not --batch %" PRIu64 "\n",
                batch - batch % length, length, batch);
    *o = (hone_trainer_options){
        .model = {.f32 = strcmp(cli_text(c, "dtype"), "f32") == 0,
                  .threads = (int)cli_int(c, "threads"),
                  .isa = cli_text(c, "isa"),
                  .products = strcmp(cli_text(c, "products"), "bf16-dot") == 0
                                  ? HONE_PRODUCTS_BF16_DOT
                                  : HONE_PRODUCTS_EXACT,
                  .max_rows = (uint32_t)(part > length ? part : length),
                  .memory_max = cli_bytes(c, "memory")},
        .optimizer = {.beta1 = (float)cli_number(c, "beta1"),
                      .beta2 = (float)cli_number(c, "beta2"),
                      .eps = 1e-8f,
                      .decay = (float)cli_number(c, "weight-decay"),
                      .clip = (float)cli_number(c, "clip"),
                      .momentum = (float)cli_number(c, "momentum"),
                      .plain_momentum = cli_flag(c, "plain-momentum")},
        .schedule = {.rate = cli_number(c, "rate"),
                     .floor = cli_number(c, "floor"),
                     .steps = steps,
                     .warmup = cli_given(c, "warmup") ? (uint64_t)cli_int(c, "warmup") : steps / 50,
                     .decay = cli_given(c, "decay") ? (uint64_t)cli_int(c, "decay") : steps / 5},
        .rows = (uint32_t)(batch / length),
        .length = (uint32_t)length,
        .checkpoint_every = (uint64_t)cli_int(c, "checkpoint"),
        .validate_every = (uint64_t)cli_int(c, "validate"),
        .validation_rows = (uint64_t)cli_int(c, "validation-rows"),
        .seed = (uint64_t)cli_int(c, "seed"),
        .whole = cli_flag(c, "whole"),
        .until = (uint64_t)cli_int(c, "until"),
        .branch = cli_text(c, "branch")};
    bool known = hone_optimizer_by_name(cli_text(c, "optimizer"), &o->optimizer.kind) &&
                 hone_muon_scale_by_name(cli_text(c, "muon-scale"), &o->optimizer.muon_scale) &&
                 hone_schedule_by_name(cli_text(c, "schedule"), &o->schedule.kind) &&
                 hone_dtype_by_name(cli_text(c, "type"), &o->type);
    return known ? check_meaning(c, o) : hone_fail(HONE_INTERNAL, "a choice without a meaning");
}

static hone_status check_adapter(const cli_context *c, const hone_trainer_options *o)
{
    static const char *const own[] = {"alpha", "dropout", "targets", "dora", "rslora", "lora"};
    enum { OWN = sizeof own / sizeof *own };
    const bool from = cli_given(c, "adapter-from"), lora = cli_given(c, "lora");
    for (size_t i = 0; i < OWN && from; i++)
        if (cli_given(c, own[i]))
            return hone_fail(HONE_USAGE, "--adapter-from keeps the adapter as it is: without --%s",
                             own[i]);
    for (size_t i = 0; i < OWN && !from && !lora; i++)
        if (cli_given(c, own[i]))
            return hone_fail(HONE_USAGE,
                             "--%s belongs to an adapter: give its rank too, as --lora 16", own[i]);
    if (!from && !lora && cli_given(c, "quantize"))
        return hone_fail(HONE_USAGE, "--quantize belongs to an adapter: give --lora 16, or "
                                     "--adapter-from FOLDER");
    if ((from || lora) && o->optimizer.kind == HONE_OPTIMIZER_MUON)
        return hone_fail(HONE_USAGE, "--optimizer muon is for whole matrices: the factors of an "
                                     "adapter are trained by adamw");
    return HONE_OK;
}

/* The adapter that is trained; *a is left alone where none is. */
static hone_status read_adapter(const cli_context *c, hone_adapter_options *a,
                                hone_trainer_options *o)
{
    HONE_TRY(check_adapter(c, o));
    if (!cli_given(c, "lora") && !cli_given(c, "adapter-from"))
        return HONE_OK;
    o->model.adapter_folder = cli_text(c, "adapter-from");
    *a = (hone_adapter_options){.rank = (uint32_t)cli_int(c, "lora"),
                                .dropout = cli_number(c, "dropout"),
                                .rslora = cli_flag(c, "rslora"),
                                .dora = cli_flag(c, "dora"),
                                .targets = cli_text(c, "targets"),
                                .seed = (uint64_t)cli_int(c, "seed")};
    a->alpha = cli_given(c, "alpha") ? cli_number(c, "alpha") : 2 * (double)a->rank;
    o->model.adapter = a;
    o->base = cli_text(c, "model");
    o->model.quantise = cli_given(c, "quantize");
    if (o->model.quantise && !hone_dtype_by_name(cli_text(c, "quantize"), &o->model.weight_dtype))
        return hone_fail(HONE_INTERNAL, "a choice without a meaning");
    if (o->model.quantise && o->model.f32)
        return hone_fail(HONE_USAGE,
                         "--quantize keeps the weights in codes, and --dtype f32 decodes "
                         "them: give one of them");
    return HONE_OK;
}

static hone_status open_data(const cli_context *c, const hone_trainer_options *o,
                             hone_dataset **data, hone_dataset **validation)
{
    hone_dataset_options d = {
        .length = o->length, .seed = o->seed, .shuffle = true, .whole = o->whole};
    HONE_TRY(hone_dataset_open(cli_operand(c, 0), "train", &d, data));
    d.seed = 0; /* the same sample of rows whatever the run's seed */
    hone_status s = hone_dataset_open(cli_operand(c, 0), "validation", &d, validation);
    if (s != HONE_NOT_FOUND)
        return s;
    *validation = NULL;
    fprintf(stderr, "note: %s has no validation part, so that nothing is validated\n",
            cli_operand(c, 0));
    return HONE_OK;
}

/* ---- what is shown --------------------------------------------------------------------------- */

static double share_of(const train *w, const hone_trainer_state *s)
{
    return 100 * s->tokens_s * w->flops_token / w->limit;
}

/* A loss or a gradient, "-" of a step that had nothing to learn */
static const char *number(char text[NUMBER], const hone_trainer_state *s, const char *format,
                          double x)
{
    snprintf(text, NUMBER, isnan(x) ? s->skipped ? "nan" : "-" : format, x);
    return text;
}

static void print_line(const train *w, const hone_trainer_state *s)
{
    char loss[NUMBER], norm[NUMBER];
    printf("step %" PRIu64 "/%" PRIu64 "  loss %s  rate %.3g  gradient %s  %.0f tokens/s", s->step,
           s->steps, number(loss, s, "%.4f", s->loss), s->rate, number(norm, s, "%.3g", s->norm),
           s->tokens_s);
    if (w->limit > 0)
        printf("  %.0f %% of the limit", share_of(w, s));
    if (isfinite(s->validation))
        printf("  validation %.4f (perplexity %.2f)", s->validation, exp(s->validation));
    printf("%s\n", s->skipped ? "  SKIPPED: not finite" : "");
    (void)fflush(stdout);
}

static double cpu_seconds(const struct rusage *used)
{
    return (double)(used->ru_utime.tv_sec + used->ru_stime.tv_sec) +
           1e-6 * (double)(used->ru_utime.tv_usec + used->ru_stime.tv_usec);
}

static void on_step(void *arg, const hone_trainer_state *s)
{
    train *w = arg;
    char left[16], loss[NUMBER], share[32] = "";
    double steps = (double)(s->step - w->first);
    struct rusage used = {0};
    (void)getrusage(RUSAGE_SELF, &used);
    w->cpu_s = cpu_seconds(&used);
    if (s->step == w->first + 1) {
        w->warm = *s;
        w->cpu_warm = w->cpu_s;
    }
    cli_train_record_add(&w->record, s);
    double eta = s->seconds / steps * (double)(s->steps - s->step);
    uint64_t every = s->steps / 20 ? s->steps / 20 : 1;
    bool told = isfinite(s->validation) || s->skipped || s->step % every == 0;
    if (told && !cli_json(w->c)) {
        cli_progress_end();
        print_line(w, s);
    }
    if (w->limit > 0)
        snprintf(share, sizeof share, " (%.0f %% of the limit)", share_of(w, s));
    cli_progress((double)s->step / (double)s->steps, "loss %s, %.0f tokens/s%s, %s left",
                 number(loss, s, "%.4f", s->loss), s->tokens_s, share,
                 cli_format_seconds(eta, left, sizeof left));
}

static hone_status report(const train *w, const hone_trainer_state *s)
{
    const hone_trainable *t = hone_trainer_model(w->trainer);
    if (!cli_json(w->c)) {
        printf("%s: %" PRIu64 " parameters after %" PRIu64 " steps and %" PRIu64 " tokens\n",
               cli_text(w->c, "output"), t->p.numbers, s->step, s->tokens);
        return HONE_OK;
    }
    struct rusage used = {0};
    (void)getrusage(RUSAGE_SELF, &used);
    double cpu = cpu_seconds(&used), tokens = (double)(s->tokens - w->warm.tokens),
           seconds = s->seconds - w->warm.seconds;
    json_t *out = json_pack(
        "{s:o, s:I, s:I, s:I, s:o, s:f, s:f, s:f, s:f, s:I}", "folder",
        hone_report_text(cli_text(w->c, "output")), "parameters", (json_int_t)t->p.numbers, "steps",
        (json_int_t)s->step, "tokens", (json_int_t)s->tokens, "loss",
        isfinite(s->loss) ? json_real(s->loss) : json_null(), "tokens_s", s->tokens_s, "flops_s",
        s->tokens_s * w->flops_token, "limit_flops_s", w->limit, "cpu_s", cpu, "memory_peak",
        (json_int_t)used.ru_maxrss * 1024);
    if (out && isfinite(s->validation))
        (void)json_object_set_new(out, "validation", json_real(s->validation));
    if (out && s->step > w->first + 1 && seconds > 0) { /* without loading and the first step */
        (void)json_object_set_new(out, "steady_tokens_s", json_real(tokens / seconds));
        (void)json_object_set_new(out, "steady_cpu_s_token",
                                  json_real((w->cpu_s - w->cpu_warm) / tokens));
    }
    return cli_print_json(out);
}

/* ---- run ------------------------------------------------------------------------------------- */

/* The limit of the instructions that the products are made of: what the registry keeps of this
 * machine, or, with --limits, measured now. */
static hone_status measure(train *w, const hone_trainable *t, const hone_trainer_options *o)
{
    const hone_config c = {.isa = (int)t->kt->isa,
                           .products = (int)o->model.products,
                           .compute = o->model.f32 ? HONE_COMPUTE_F32 : HONE_COMPUTE_BF16};
    const bool now = cli_flag(w->c, "limits");
    hone_limits limits;
    w->flops_token = hone_trainable_flops(t);
    if (now)
        cli_progress(-1, "measuring the machine's limits");
    hone_status s = hone_registry_limits(w->record.registry, hone_pool_threads(t->pool),
                                         now ? HONE_LIMITS_FRESH : HONE_LIMITS_KEPT, &limits, NULL);
    if (s != HONE_OK && now)
        return s;
    if (s != HONE_OK) /* a share that cannot be shown stops no training */
        limits = (hone_limits){0};
    w->limit = hone_technique_products_ops_s(&limits, &c, HONE_FEW_ROWS + 1);
    return HONE_OK;
}

/* Closes *model once its weights are taken: mapped, they would stay resident. */
static hone_status train_on(cli_context *c, hone_file **model, const hone_trainer_options *o,
                            hone_dataset *data, hone_dataset *validation)
{
    train w = {.c = c};
    hone_trainer_state state;
    const char *folder = cli_text(c, "output");
    HONE_TRY(hone_trainer_open(*model, folder, o, data, validation, &w.trainer));
    hone_file_close(*model);
    *model = NULL;
    cli_train_settle(folder);
    w.first = hone_trainer_step(w.trainer);
    if (w.first)
        fprintf(stderr, "going on after step %" PRIu64 "\n", w.first);
    cli_train_record_open(c, w.trainer, folder, o->schedule.steps, &w.record);
    hone_status s = measure(&w, hone_trainer_model(w.trainer), o);
    if (s == HONE_OK)
        s = hone_trainer_run(w.trainer, on_step, &w, &state);
    cli_train_record_close(&w.record, s == HONE_OK);
    cli_progress_end();
    if (s == HONE_OK)
        s = report(&w, &state);
    hone_trainer_close(w.trainer);
    return s;
}

static hone_status prepare_adapter(const cli_context *c, const cli_train_start *start,
                                   const char **source, bool *begun)
{
    if (start->like || start->config || start->tokenizer)
        return hone_fail(HONE_USAGE, "an adapter goes with --model, not with --like, --config or "
                                     "--tokenizer: it is trained beside weights that are there");
    *source = start->model;
    return cli_train_prepare_adapter(start->model, cli_text(c, "output"), begun);
}

static hone_status run(cli_context *c)
{
    cli_train_start start = {.model = cli_text(c, "model"),
                             .like = cli_text(c, "like"),
                             .config = cli_text(c, "config"),
                             .branch = cli_text(c, "branch"),
                             .tokenizer = cli_text(c, "tokenizer"),
                             .data = cli_operand(c, 0),
                             .seed = (uint64_t)cli_int(c, "seed"),
                             .threads = (int)cli_int(c, "threads")};
    hone_trainer_options o;
    hone_adapter_options adapter;
    hone_dataset *data = NULL, *validation = NULL;
    hone_file *model = NULL;
    const char *source;
    bool begun = false;
    HONE_TRY(read_options(c, &o));
    HONE_TRY(read_adapter(c, &adapter, &o));
    hone_status s = open_data(c, &o, &data, &validation);
    if (s == HONE_OK) {
        start.fingerprint = hone_dataset_get_info(data)->fingerprint;
        s = o.model.adapter ? prepare_adapter(c, &start, &source, &begun)
                            : cli_train_prepare(&start, cli_text(c, "output"), &source, &begun);
    }
    if (s == HONE_OK)
        s = hone_file_open(source, &model);
    if (s == HONE_OK)
        s = train_on(c, &model, &o, data, validation);
    if (begun && s != HONE_OK && s != HONE_BUSY) /* another one's folder stays as it is */
        cli_train_settle(cli_text(c, "output"));
    hone_file_close(model);
    hone_dataset_close(validation);
    hone_dataset_close(data);
    return s;
}

#define STEPS_MAX 1e9
static const cli_option options[] = {
    {.name = "output",
     .letter = 'o',
     .type = CLI_TEXT,
     .argument = "FOLDER",
     .required = true,
     .help = "gets the model and the run's checkpoint; a run that is there goes on"},
    {.name = "model",
     .type = CLI_TEXT,
     .argument = "FOLDER",
     .model = true,
     .help = "train on from its weights"},
    {.name = "like",
     .type = CLI_TEXT,
     .argument = "FOLDER",
     .model = true,
     .help = "fresh weights in this model's shape, with its tokenizer"},
    {.name = "config",
     .type = CLI_TEXT,
     .argument = "FILE",
     .help = "fresh weights in the shape of this config.json"},
    {.name = "branch",
     .type = CLI_TEXT,
     .argument = "FOLDER",
     .help = "start where another run stands (weights, means, data), to go on by other settings"},
    {.name = "tokenizer",
     .type = CLI_TEXT,
     .argument = "PATH",
     .model = true,
     .help = "a tokenizer.json, or a folder with a tokenizer's files, to put beside the model in "
             "place of its own"},
    {.name = "lora",
     .type = CLI_INT,
     .argument = "RANK",
     .min = 1,
     .max = HONE_RANK_MAX,
     .help = "train a low-rank adapter beside the model's weights, in PEFT's files"},
    {.name = "adapter-from",
     .type = CLI_TEXT,
     .argument = "FOLDER",
     .help = "train on the adapter in this folder, PEFT's or hone's, as it is"},
    {.name = "alpha",
     .type = CLI_NUMBER,
     .argument = "X",
     .min = 0,
     .max = 1e6,
     .help = "the adapter's scale is alpha / rank (default: twice the rank)"},
    {.name = "dropout",
     .type = CLI_NUMBER,
     .argument = "P",
     .fallback = "0",
     .min = 0,
     .max = 0.99,
     .help = "share of the adapter's inputs that a step leaves out"},
    {.name = "targets",
     .type = CLI_TEXT,
     .argument = "NAMES",
     .fallback = "all-linear",
     .help = "modules: all-linear, endings (q_proj,v_proj), or an expression for whole names"},
    {.name = "dora", .type = CLI_FLAG, .help = "with a magnitude for every output (DoRA)"},
    {.name = "rslora", .type = CLI_FLAG, .help = "scale by alpha / sqrt(rank)"},
    {.name = "quantize",
     .type = CLI_CHOICE,
     .argument = "FORMAT",
     .choices = "nf4|q4_0|q8_0",
     .help = "keep the model's weights in this format (QLoRA: nf4)"},
    {.name = "steps",
     .type = CLI_INT,
     .argument = "N",
     .fallback = "1000",
     .min = 1,
     .max = STEPS_MAX,
     .help = "steps of the optimiser"},
    {.name = "until",
     .type = CLI_INT,
     .argument = "N",
     .fallback = "0",
     .min = 0,
     .max = STEPS_MAX,
     .help = "stop after this step, with a checkpoint from which the schedule goes on; 0 = do not"},
    {.name = "batch",
     .type = CLI_INT,
     .argument = "TOKENS",
     .fallback = "16384",
     .min = 2,
     .max = 1 << 26,
     .help = "tokens of a step"},
    {.name = "length",
     .type = CLI_INT,
     .argument = "TOKENS",
     .fallback = "512",
     .min = 2,
     .max = 1 << 20,
     .help = "tokens of a row: the longest that attention reaches"},
    {.name = "part",
     .type = CLI_INT,
     .argument = "TOKENS",
     .fallback = "1024",
     .min = 2,
     .max = 1 << 20,
     .help = "tokens that go through together; a step is made of parts"},
    {.name = "rate",
     .type = CLI_NUMBER,
     .argument = "LR",
     .fallback = "0.001",
     .min = 0,
     .max = 10,
     .help = "highest learning rate"},
    {.name = "schedule",
     .type = CLI_CHOICE,
     .argument = "NAME",
     .choices = "constant|cosine|wsd",
     .fallback = "cosine",
     .help = "after the warm-up: constant, cosine, or stable and then a linear decay"},
    {.name = "warmup",
     .type = CLI_INT,
     .argument = "STEPS",
     .min = 0,
     .max = STEPS_MAX,
     .help = "steps of linear rise (default: a fiftieth of all)"},
    {.name = "decay",
     .type = CLI_INT,
     .argument = "STEPS",
     .min = 0,
     .max = STEPS_MAX,
     .help = "steps of wsd's decay (default: a fifth of all)"},
    {.name = "floor",
     .type = CLI_PERCENT,
     .argument = "PERCENT",
     .fallback = "10%",
     .min = 0,
     .max = 1,
     .help = "share of the rate that is left at the end"},
    {.name = "optimizer",
     .type = CLI_CHOICE,
     .argument = "NAME",
     .choices = hone_optimizer_names,
     .fallback = "adamw",
     .help = "adamw, or muon: orthogonal steps for the layers' matrices, AdamW for the rest"},
    {.name = "weight-decay",
     .type = CLI_NUMBER,
     .argument = "X",
     .fallback = "0.1",
     .min = 0,
     .max = 10,
     .help = "of matrices, times the rate; norms and biases have none"},
    {.name = "beta1",
     .type = CLI_NUMBER,
     .argument = "X",
     .fallback = "0.9",
     .min = 0,
     .max = 0.99999,
     .help = "AdamW's mean of gradients"},
    {.name = "beta2",
     .type = CLI_NUMBER,
     .argument = "X",
     .fallback = "0.95",
     .min = 0,
     .max = 0.99999,
     .help = "AdamW's mean of their squares"},
    {.name = "momentum",
     .type = CLI_NUMBER,
     .argument = "X",
     .fallback = "0.95",
     .min = 0,
     .max = 0.99999,
     .help = "Muon's mean of gradients"},
    {.name = "plain-momentum", .type = CLI_FLAG, .help = "Muon without Nesterov's look ahead"},
    {.name = "muon-scale",
     .type = CLI_CHOICE,
     .argument = "NAME",
     .choices = hone_muon_scale_names,
     .fallback = "match-rms",
     .help = "length of Muon's steps: match-rms, AdamW's (one rate for all), or original"},
    {.name = "clip",
     .type = CLI_NUMBER,
     .argument = "X",
     .fallback = "1",
     .min = 0,
     .max = 1e9,
     .help = "longest gradient; 0 = as it is"},
    {.name = "seed",
     .type = CLI_INT,
     .argument = "N",
     .fallback = "0",
     .min = 0,
     .max = 9e15,
     .help = "of fresh weights and of the order of documents"},
    {.name = "whole", .type = CLI_FLAG, .help = "never cut a document that fits into a row"},
    {.name = "dtype",
     .type = CLI_CHOICE,
     .argument = "TYPE",
     .choices = "f32|bf16",
     .fallback = "bf16",
     .help = "arithmetic of products; weights, sums and the optimiser are float32"},
    {.name = "products",
     .type = CLI_CHOICE,
     .argument = "NAME",
     .choices = "exact|bf16-dot",
     .fallback = "exact",
     .help = "of bf16: exact, or VDPBF16PS's: other bits, faster where there is no AMX"},
    {.name = "type",
     .type = CLI_CHOICE,
     .argument = "TYPE",
     .choices = "f32|bf16|f16",
     .fallback = "bf16",
     .help = "of the weights in model.safetensors"},
    {.name = "checkpoint",
     .type = CLI_INT,
     .argument = "STEPS",
     .fallback = "200",
     .min = 0,
     .max = STEPS_MAX,
     .help = "steps between checkpoints; 0 = only at the end"},
    {.name = "validate",
     .type = CLI_INT,
     .argument = "STEPS",
     .fallback = "200",
     .min = 0,
     .max = STEPS_MAX,
     .help = "steps between validations; 0 = only at the end"},
    {.name = "validation-rows",
     .type = CLI_INT,
     .argument = "N",
     .fallback = "64",
     .min = 1,
     .max = 1e9,
     .help = "rows of the validation part at most"},
    {.name = "memory",
     .type = CLI_BYTES,
     .argument = "BYTES",
     .help = "bound of what is kept for the way back; layers that do not fit run twice"},
    {.name = "limits",
     .type = CLI_FLAG,
     .help = "measure the machine first (3 s), keep its limits and show the share of them; without "
             "it that is shown if limits for as many threads are kept"},
    CLI_THREADS_OPTION,
    CLI_ISA_OPTION,
    CLI_REGISTRY_OPTION,
    {0},
};

static const cli_example examples[] = {
    {"hone data llama/ books.txt -o data && hone train data --like llama/ -o small",
     "a model of llama's shape from scratch"},
    {"hone train data --model llama/ -o tuned --rate 1e-5 --steps 200", "train on"},
    {"hone train data --model llama/ -o tuned --lora 16 --rate 2e-4 && hone run llama/ --adapter "
     "tuned -p Hello",
     "a LoRA adapter"},
    {"hone train data --config config.json -o new --schedule wsd --limits",
     "a shape of your own; run it again after a crash and it goes on"},
    {0},
};

const cli_command cli_cmd_train = {
    .name = "train",
    .summary = "train a model on a data set",
    .description =
        "DATA is a folder that hone data made. The model is a Hugging Face folder, before and "
        "after. Run the same command again to go on after an interruption: from the last "
        "checkpoint, with the bits of a run that was never stopped; other settings are refused. "
        "The "
        "same settings give the same bits on any number of threads."
        "\n\n"
        "A step whose loss or gradient is not finite is skipped; three in a row halve the learning "
        "rate, ten end the run. FOLDER/log.jsonl has a line for every step.",
    .operands = "DATA",
    .operands_min = 1,
    .operands_max = 1,
    .options = options,
    .examples = examples,
    .interruptible = true,
    .run = run,
};
