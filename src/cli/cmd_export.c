/* export - a model with plain weights, as a Hugging Face folder or a GGUF file. */
#include "cli/cli.h"

#include "base/io.h"
#include "compress/export.h"
#include "compress/quantize.h"
#include "report/report.h"

static void remark(void *arg, const char *text)
{
    (void)arg;
    fprintf(stderr, "note: %s\n", text);
}

static hone_status write_gguf(const hone_file *f, hone_dtype type, const char *path,
                              hone_export_result *out)
{
    const hone_quantize_options o = {.type = type, .kind = {-1, -1, -1, -1}};
    const hone_quantize_events events = {.remark = remark};
    hone_quantize_result r;
    hone_pool *pool;
    HONE_TRY(hone_pool_open(0, NULL, &pool));
    hone_status s = hone_quantize(f, &o, path, pool, &events, &r);
    hone_pool_close(pool);
    *out = (hone_export_result){.tensors = r.tensors, .decoded = r.requantized};
    return s;
}

static hone_status run(cli_context *c)
{
    hone_export_result r;
    hone_file *f;
    hone_dtype type = HONE_DTYPE_BF16;
    const char *output = cli_text(c, "output");
    bool gguf = hone_ends_with(output, ".gguf");
    (void)hone_dtype_by_name(cli_text(c, "type"), &type);
    HONE_TRY(hone_file_open(cli_operand(c, 0), &f));
    hone_status s;
    if (gguf && cli_given(c, "adapter"))
        s = hone_fail(HONE_USAGE,
                      "an adapter is merged into a folder: export to one, then that "
                      "folder to %s",
                      output);
    else
        s = gguf ? write_gguf(f, type, output, &r)
                 : hone_export_merged(f, cli_text(c, "adapter"), type, output, &r);
    hone_file_close(f);
    HONE_TRY(s);
    const char *done = cli_given(c, "adapter") ? "merged" : "decoded";
    if (cli_json(c))
        return cli_print_json(json_pack("{s:o, s:I, s:I, s:I}", "path", hone_report_text(output),
                                        "tensors", (json_int_t)r.tensors, done,
                                        (json_int_t)r.decoded, "files", (json_int_t)r.files));
    printf("%s: %llu tensors (%llu %s), %llu other files\n", output, (unsigned long long)r.tensors,
           (unsigned long long)r.decoded, done, (unsigned long long)r.files);
    return HONE_OK;
}

static const cli_option options[] = {
    {.name = "output",
     .type = CLI_TEXT,
     .argument = "PATH",
     .letter = 'o',
     .required = true,
     .help = "the folder to write, where no model is yet, or, if it ends in .gguf, the file"},
    {.name = "type",
     .type = CLI_CHOICE,
     .argument = "T",
     .fallback = "bf16",
     .choices = "f32|f16|bf16",
     .help = "format of all weights"},
    {.name = "adapter",
     .type = CLI_TEXT,
     .argument = "FOLDER",
     .help = "a LoRA or DoRA adapter to merge into the weights"},
    {0},
};

static const cli_example examples[] = {
    {"hone export llama-awq/ -o llama/", "a quantised checkpoint as one that everything loads"},
    {"hone export llama-q4_k_m.gguf -o llama/", "a folder for transformers"},
    {"hone export llama/ --adapter tuned/ -o llama-tuned/", "an adapter merged into the weights"},
    {"hone export llama-gptq/ --type f16 -o llama.gguf", "a file for llama.cpp"},
    {0},
};

const cli_command cli_cmd_export = {
    .name = "export",
    .summary = "write a model with plain weights: safetensors folder or GGUF file",
    .description =
        "Reads a GGUF file, or a Hugging Face folder, quantised in any of the forms that "
        "docs/formats.md lists, and writes one with plain weights. A folder gets "
        "model.safetensors, config.json without quantization_config, the tokenizer's files and "
        "sentence-transformers'; of a GGUF file config.json and tokenizer.json are made from its "
        "metadata, read again and "
        "compared, and what they cannot say is an error. For other formats in GGUF: hone "
        "quantize.",
    .operands = "MODEL",
    .operands_min = 1,
    .operands_max = 1,
    .options = options,
    .examples = examples,
    .interruptible = true,
    .run = run,
};
