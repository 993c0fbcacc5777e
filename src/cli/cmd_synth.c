/* synth - random weights in a real shape, with a tokenizer. */
#include "cli/cli.h"
#include "cli/machine_args.h"
#include "cli/table.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "compress/export.h"
#include "compress/synth.h"
#include "report/report.h"

#include <string.h>
#include <unistd.h>

static void progress(void *arg, const char *tensor, double done, double total)
{
    (void)arg;
    cli_progress(done / total, "%s", tensor);
}

static hone_status unknown_shape(const char *name)
{
    char known[256] = "";
    size_t used = 0;
    for (size_t i = 0; i < hone_synth_shape_count() && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "",
                                 hone_synth_shape_at(i)->name);
    return hone_fail(HONE_USAGE, "there is no shape \"%s\"; there are: %s", name, known);
}

static hone_status print(cli_context *c, const hone_synth_options *o, const hone_synth_result *r,
                         double seconds)
{
    char bytes[16], time[16];
    if (cli_json(c))
        return cli_print_json(
            json_pack("{s:o, s:s, s:s, s:I, s:I, s:I, s:I, s:f}", "path",
                      hone_report_text(cli_text(c, "output")), "shape", o->shape->name, "type",
                      cli_text(c, "type"), "seed", (json_int_t)o->seed, "parameters",
                      (json_int_t)r->parameters, "tensors", (json_int_t)r->tensors, "bytes",
                      (json_int_t)r->bytes, "seconds", seconds));
    printf("%s: %s in %s, %.2f M random parameters, %s of tensors, %s\n", cli_text(c, "output"),
           o->shape->name, cli_text(c, "type"), (double)r->parameters / 1e6,
           cli_format_bytes((double)r->bytes, bytes, sizeof bytes),
           cli_format_seconds(seconds, time, sizeof time));
    return HONE_OK;
}

/* By way of a bfloat16 file in the folder, which is gone afterwards. */
static hone_status write_folder(const hone_synth_options *o, const hone_coded *form,
                                const char *folder, hone_pool *pool, hone_synth_result *r)
{
    hone_export_result exported;
    hone_file *f = NULL;
    char *plain_path = hone_path_join(folder, "plain.gguf"),
         *path = plain_path ? hone_temporary_path(plain_path) : NULL;
    hone_free(plain_path);
    hone_status s = path ? HONE_OK : hone_fail_memory(strlen(folder), "a path");
    if (s == HONE_OK && !hone_is_directory(folder))
        s = hone_make_directory(folder);
    if (s == HONE_OK)
        s = hone_synth_write(o, path, pool, progress, NULL, r);
    if (s == HONE_OK)
        s = hone_file_open(path, &f);
    if (s == HONE_OK)
        s = hone_export_coded(f, form, folder, pool, &(hone_quantize_events){0}, &exported);
    hone_file_close(f);
    if (path)
        (void)unlink(path);
    hone_free(path);
    HONE_TRY(s);
    HONE_TRY(hone_file_open(folder, &f));
    r->bytes = 0;
    for (size_t i = 0; i < hone_file_tensor_count(f); i++)
        r->bytes += hone_file_tensor_at(f, i)->bytes;
    r->tensors = hone_file_tensor_count(f);
    hone_file_close(f);
    return HONE_OK;
}

static hone_status run(cli_context *c)
{
    hone_synth_options o = {.shape = hone_synth_shape_find(cli_operand(c, 0)),
                            .layers = (uint32_t)cli_int(c, "layers"),
                            .seed = (uint64_t)cli_int(c, "seed")};
    hone_synth_result r;
    hone_pool *pool;
    double start = hone_clock_s();
    if (!o.shape)
        return unknown_shape(cli_operand(c, 0));
    const hone_coded *form = hone_coded_find(cli_text(c, "type"));
    o.type = HONE_DTYPE_BF16;
    if (!form && !hone_dtype_by_name(cli_text(c, "type"), &o.type))
        return hone_fail(HONE_USAGE, "there is no type \"%s\"", cli_text(c, "type"));
    HONE_TRY(hone_pool_open((int)cli_int(c, "threads"), NULL, &pool));
    const char *output = cli_text(c, "output");
    hone_status s = form ? write_folder(&o, form, output, pool, &r)
                         : hone_synth_write(&o, output, pool, progress, NULL, &r);
    hone_pool_close(pool);
    cli_progress_end();
    HONE_TRY(s);
    return print(c, &o, &r, hone_clock_s() - start);
}

static const cli_option options[] = {
    {.name = "output",
     .type = CLI_TEXT,
     .argument = "PATH",
     .letter = 'o',
     .required = true,
     .help = "the GGUF file, or the folder, to write"},
    {.name = "type",
     .type = CLI_CHOICE,
     .argument = "T",
     .fallback = "bf16",
     .choices = "f32|f16|bf16|q8_0|q4_0|q4_1|q5_0|q5_1|gptq-4bit-g128|gptq-4bit-g32|int8-channel",
     .help = "format of the matrices; the last three are folders (GPTQ; compressed-tensors)"},
    {.name = "layers",
     .type = CLI_INT,
     .argument = "N",
     .fallback = "0",
     .min = 0,
     .max = 1024,
     .help = "number of layers; 0 = as many as the shape has"},
    {.name = "seed",
     .type = CLI_INT,
     .argument = "S",
     .fallback = "1",
     .min = 0,
     .max = 1e15,
     .help = "the weights depend on nothing but this and the shape"},
    CLI_THREADS_OPTION,
    {0},
};

static const cli_example examples[] = {
    {"hone synth llama-3.2-1b --type q8_0 -o 1b.gguf", "1.3 GB to measure speed with"},
    {"hone synth qwen2.5-0.5b --type gptq-4bit-g128 -o qwen-gptq/", "GPTQ's layout as a folder"},
    {"hone synth tiny --seed 7 -o tiny.gguf", "a model for tests, within a moment"},
    {0},
};

const cli_command cli_cmd_synth = {
    .name = "synth",
    .summary = "write a model with random weights in a real shape",
    .description =
        "Writes a GGUF file with random weights and a generated byte-level BPE tokenizer: a "
        "stand-in for a download when speed, memory or the whole chain of tools is to be tried. "
        "Other engines load it too. The text that it produces means nothing.\n\nShapes: "
        "llama-3.2-1b, llama-3-8b, mistral-7b, qwen2.5-0.5b, phi-3-mini, gemma-2-2b, minilm (an "
        "encoder), tiny. The same options give the same bytes on every machine and any number of "
        "threads.",
    .operands = "SHAPE",
    .operands_min = 1,
    .operands_max = 1,
    .options = options,
    .examples = examples,
    .interruptible = true,
    .run = run,
};
