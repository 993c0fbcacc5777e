/* export - a Hugging Face folder with plain weights. */
#include "cli/cli.h"

#include "compress/export.h"

static hone_status run(cli_context *c)
{
    hone_export_result r;
    hone_file *f;
    hone_dtype type = HONE_DTYPE_BF16;
    (void)hone_dtype_by_name(cli_text(c, "type"), &type);
    HONE_TRY(hone_file_open(cli_operand(c, 0), &f));
    hone_status s = hone_export_folder(f, type, cli_text(c, "output"), &r);
    hone_file_close(f);
    HONE_TRY(s);
    if (cli_json(c))
        return cli_print_json(json_pack("{s:s, s:I, s:I, s:I}", "path", cli_text(c, "output"),
                                        "tensors", (json_int_t)r.tensors, "decoded",
                                        (json_int_t)r.decoded, "files", (json_int_t)r.files));
    printf("%s: %llu tensors (%llu decoded), %llu other files\n", cli_text(c, "output"),
           (unsigned long long)r.tensors, (unsigned long long)r.decoded,
           (unsigned long long)r.files);
    return HONE_OK;
}

static const cli_option options[] = {
    {.name = "output",
     .type = CLI_TEXT,
     .argument = "FOLDER",
     .letter = 'o',
     .required = true,
     .help = "the folder to write"},
    {.name = "type",
     .type = CLI_CHOICE,
     .argument = "T",
     .fallback = "bf16",
     .choices = "f32|f16|bf16",
     .help = "format of all weights"},
    {0},
};

static const cli_example examples[] = {
    {"hone export llama-awq/ -o llama/", "a quantised checkpoint as one that everything loads"},
    {0},
};

const cli_command cli_cmd_export = {
    .name = "export",
    .summary = "write a folder again with plain weights (safetensors)",
    .description =
        "Reads a Hugging Face folder, quantised in any of the forms that docs/formats.md lists, "
        "and writes one with plain weights: model.safetensors, config.json without "
        "quantization_config, and the tokenizer's files. transformers and other programs load "
        "it. For GGUF: hone quantize.",
    .operands = "FOLDER",
    .operands_min = 1,
    .operands_max = 1,
    .options = options,
    .examples = examples,
    .interruptible = true,
    .run = run,
};
