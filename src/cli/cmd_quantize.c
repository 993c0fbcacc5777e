/* quantize - a model with its matrices in other formats, as a GGUF file. */
#include "cli/cli.h"

#include "base/clock.h"
#include "base/io.h"
#include "cli/machine_args.h"
#include "compress/quantize.h"
#include "report/report.h"

static void progress(void *arg, const char *tensor, double done, double total)
{
    (void)arg;
    cli_progress(total > 0 ? done / total : 0, "%s", tensor);
}

static void remark(void *arg, const char *text)
{
    (void)arg;
    cli_progress_end();
    fprintf(stderr, "note: %s\n", text);
}

static hone_status read_options(cli_context *c, hone_quantize_options *o)
{
    static const char *const names[HONE_QUANTIZE_KINDS] = {"attn", "mlp", "head", "embed"};
    const char *type = cli_text(c, "type");
    *o = (hone_quantize_options){.mix = cli_flag(c, "pure") ? NULL : hone_mix_by_name(type)};
    if (!o->mix && hone_mix_by_name(type) && !hone_dtype_by_name(type, &o->type))
        return hone_fail(HONE_USAGE,
                         "%s gives its matrices several types, --pure a single one: name that one "
                         "(%s), or leave out --pure",
                         type, hone_dtype_name(hone_mix_base(hone_mix_by_name(type))));
    if (o->mix)
        o->type = hone_mix_base(o->mix);
    else if (!hone_dtype_by_name(type, &o->type))
        return hone_fail(HONE_USAGE, "there is no type \"%s\"", type);
    for (int k = 0; k < HONE_QUANTIZE_KINDS; k++) {
        const char *name = cli_text(c, names[k]);
        hone_dtype t = o->type;
        if (name && !hone_dtype_by_name(name, &t))
            return hone_fail(HONE_USAGE, "there is no type \"%s\"", name);
        o->kind[k] = name ? (int)t : HONE_QUANTIZE_DEFAULT;
    }
    return HONE_OK;
}

static hone_status print(cli_context *c, const hone_quantize_result *r, double seconds)
{
    char before[16], after[16], time[16];
    if (cli_json(c))
        return cli_print_json(json_pack(
            "{s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f}", "path",
            hone_report_text(cli_text(c, "output")), "tensors", (json_int_t)r->tensors, "weighted",
            (json_int_t)r->weighted, "encoded", (json_int_t)r->encoded, "copied",
            (json_int_t)r->copied, "fallbacks", (json_int_t)r->fallbacks, "requantized",
            (json_int_t)r->requantized, "bytes_before", (json_int_t)r->bytes_before, "bytes_after",
            (json_int_t)r->bytes_after, "seconds", seconds));
    if (r->fallbacks > 1)
        fprintf(stderr, "note: %llu matrices did not fit the format and fell back\n",
                (unsigned long long)r->fallbacks);
    if (r->requantized)
        fprintf(stderr,
                "note: %llu matrices were quantised before: their errors add up; start from the "
                "original where you can\n",
                (unsigned long long)r->requantized);
    printf("%s: %llu tensors (%llu encoded, %llu copied), %s -> %s, %s\n", cli_text(c, "output"),
           (unsigned long long)r->tensors, (unsigned long long)r->encoded,
           (unsigned long long)r->copied,
           cli_format_bytes((double)r->bytes_before, before, sizeof before),
           cli_format_bytes((double)r->bytes_after, after, sizeof after),
           cli_format_seconds(seconds, time, sizeof time));
    return HONE_OK;
}

static hone_status run(cli_context *c)
{
    static const hone_quantize_events events = {.progress = progress, .remark = remark};
    hone_quantize_options o;
    hone_quantize_result r;
    hone_imatrix *importance = NULL;
    hone_file *f;
    hone_pool *pool = NULL;
    double start = hone_clock_s();
    HONE_TRY(read_options(c, &o));
    if (cli_text(c, "imatrix") && hone_same_file(cli_text(c, "imatrix"), cli_text(c, "output")))
        return hone_fail(HONE_USAGE, "%s is the importance matrix itself; give another name",
                         cli_text(c, "output"));
    HONE_TRY(hone_file_open(cli_operand(c, 0), &f));
    hone_status s = hone_pool_open((int)cli_int(c, "threads"), NULL, &pool);
    if (s == HONE_OK && cli_text(c, "imatrix"))
        s = hone_imatrix_open(cli_text(c, "imatrix"), &importance);
    o.importance = importance;
    if (s == HONE_OK)
        s = hone_quantize(f, &o, cli_text(c, "output"), pool, &events, &r);
    hone_pool_close(pool);
    hone_imatrix_close(importance);
    hone_file_close(f);
    cli_progress_end();
    if (s == HONE_OK && importance && r.weighted == 0)
        fprintf(stderr, "note: the importance matrix is of another model: none of its entries "
                        "belongs to a matrix of this one\n");
    HONE_TRY(s);
    return print(c, &r, hone_clock_s() - start);
}

#define TYPES                                                                                      \
    "f32|f16|bf16|q8_0|q4_0|q4_1|q5_0|q5_1|q2_k|q3_k|q4_k|q5_k|q6_k|iq4_nl|iq4_xs|mxfp4|tq1_0|"    \
    "tq2_0"
#define MIXES "q2_k_s|q3_k_s|q3_k_m|q3_k_l|q4_k_s|q4_k_m|q5_k_s|q5_k_m"

static const cli_option options[] = {
    {.name = "output",
     .type = CLI_TEXT,
     .argument = "FILE",
     .letter = 'o',
     .required = true,
     .help = "the GGUF file to write"},
    {.name = "type",
     .type = CLI_CHOICE,
     .argument = "T",
     .choices = TYPES "|" MIXES,
     .required = true,
     .help = "format of all matrices that no other option names; q4_k_m and its like distribute "
             "several formats as llama.cpp does, and so do q2_k, iq4_nl and iq4_xs"},
    {.name = "pure", .type = CLI_FLAG, .help = "give every matrix the very type, the head too"},
    {.name = "imatrix",
     .type = CLI_TEXT,
     .argument = "FILE",
     .help = "importance matrix of llama-imatrix (GGUF or .dat): errors in columns that matter "
             "count for more"},
    {.name = "attn",
     .type = CLI_CHOICE,
     .argument = "T",
     .choices = TYPES,
     .help = "format of the attention's matrices"},
    {.name = "mlp",
     .type = CLI_CHOICE,
     .argument = "T",
     .choices = TYPES,
     .help = "format of the MLP's matrices"},
    {.name = "head",
     .type = CLI_CHOICE,
     .argument = "T",
     .choices = TYPES,
     .help = "format of the output head, and of the embedding if the two are tied"},
    {.name = "embed",
     .type = CLI_CHOICE,
     .argument = "T",
     .choices = TYPES,
     .help = "format of the token embedding"},
    CLI_THREADS_OPTION,
    {0},
};

static const cli_example examples[] = {
    {"hone quantize llama/ --type q8_0 -o llama-q8_0.gguf",
     "a Hugging Face folder as a GGUF file with 8-bit weights"},
    {"hone quantize model.gguf --type q4_0 --attn q8_0 --head q8_0 -o mixed.gguf",
     "4 bits for the MLP, 8 bits for the rest"},
    {"hone quantize llama/ --type q4_k_m --imatrix imatrix.gguf -o llama-q4_k_m.gguf",
     "about 4.8 bits per weight, spent where they matter"},
    {0},
};

const cli_command cli_cmd_quantize = {
    .name = "quantize",
    .summary = "write a model with its matrices in other formats",
    .description =
        "Reads a GGUF file or a Hugging Face folder and writes a GGUF file that llama.cpp loads "
        "too. "
        "Scales are searched for the least squared error (Q4_0 to Q8_0 only with --imatrix: their "
        "plain rounding is that of every other tool); docs/formats.md compares them. Norms and "
        "biases stay in float32. A matrix whose rows are no multiple of the format's block is "
        "written in a format of smaller blocks (q5_0 for q4_k), if those do not fit in f16 (or "
        "bf16, if it was), and said so. What a format costs in quality: hone eval. What it gains: "
        "hone bench.\n\nThe file appears under its name only when it is complete.",
    .operands = "MODEL",
    .operands_min = 1,
    .operands_max = 1,
    .options = options,
    .examples = examples,
    .interruptible = true,
    .run = run,
};
