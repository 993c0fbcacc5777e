/* formats - the number formats that hone knows, from their tables; docs/formats.md is what
 * --markdown prints. */
#include "cli/cli.h"
#include "cli/formats_text.h"
#include "cli/table.h"

#include "compress/mix.h"
#include "dtype/half.h"
#include "kernel/kernel.h"
#include "model/source.h"

#include <math.h>
#include <string.h>

typedef struct format {
    const hone_dtype_info *info;
    hone_layout layout;
    bool writes;
    const char *exact;
    double file_bits, memory_bits; /* per weight; memory with panels full */
} format;

enum { N = 256, K = 4096 }; /* the matrix that memory is computed for */

static bool is_bf16(float x)
{
    return isnan(x) || hone_bf16_to_f32(hone_f32_to_bf16(x)) == x;
}

/* Whether all numbers of a plain format of up to 16 bits are bfloat16 numbers */
static bool plain_is_exact(hone_dtype t, const hone_dtype_info *i)
{
    if (i->bits > 16)
        return false;
    for (uint32_t code = 0; code < 1u << 16; code++) {
        float v[2] = {0};
        if (!hone_dtype_decode(t, &code, i->block_elements, v) || !is_bf16(v[0]) || !is_bf16(v[1]))
            return false;
    }
    return true;
}

static const char *exactness(hone_dtype t, const hone_dtype_info *i, const hone_coding *c)
{
    if (!c->bits)
        return plain_is_exact(t, i) ? "yes" : "rounded to bf16";
    for (int k = 0; k < 16 && c->bits == 4; k++)
        if (!is_bf16(c->table[k]))
            return "levels rounded to bf16";
    return "yes";
}

static hone_status read_format(hone_dtype t, format *f)
{
    hone_coding c = hone_dtype_coding(t);
    hone_packed w;
    f->info = hone_dtype_describe(t);
    f->layout = hone_layout_for(&c, false);
    /* F64 is encoded for tests; no model is written in it. */
    f->writes = hone_dtype_can_encode(t) && f->info->ggml >= 0 && t != HONE_DTYPE_F64;
    f->exact = exactness(t, f->info, &c);
    f->file_bits = 8.0 * f->info->block_bytes / f->info->block_elements;
    HONE_TRY(hone_packed_plan(f->layout, &c, N, K, &w));
    f->memory_bits = 8.0 * (double)hone_packed_bytes(&w) / N / K;
    return HONE_OK;
}

static hone_status print_json(void)
{
    json_t *list = json_array(), *mixes = json_array(), *sources = json_array();
    for (int t = 0; t < HONE_DTYPE_COUNT; t++) {
        format f;
        HONE_TRY(read_format((hone_dtype)t, &f));
        json_array_append_new(
            list, json_pack("{s:s, s:I, s:I, s:f, s:b, s:s, s:f, s:s}", "name", f.info->name,
                            "block_elements", (json_int_t)f.info->block_elements, "block_bytes",
                            (json_int_t)f.info->block_bytes, "file_bits", f.file_bits, "writes",
                            (int)f.writes, "layout", hone_layout_name(f.layout), "memory_bits",
                            f.memory_bits, "exact", f.exact));
    }
    for (size_t i = 0; hone_mix_at(i); i++)
        json_array_append_new(mixes, json_string(hone_mix_name(hone_mix_at(i))));
    for (size_t i = 0; i < hone_source_kind_count(); i++)
        json_array_append_new(sources, json_pack("{s:s, s:s}", "name", hone_source_kind_at(i)->name,
                                                 "about", hone_source_kind_at(i)->about));
    return cli_print_json(
        json_pack("{s:o, s:o, s:o}", "formats", list, "mixes", mixes, "checkpoints", sources));
}

static hone_status print_text(void)
{
    cli_table *t;
    HONE_TRY(
        cli_table_open("format,>block,>bits in file,writes,runs as,>bits in memory,exact", &t));
    for (int i = 0; i < HONE_DTYPE_COUNT; i++) {
        format f;
        hone_status s = read_format((hone_dtype)i, &f);
        if (s != HONE_OK) {
            cli_table_close(t);
            return s;
        }
        cli_table_cell(t, "%s", f.info->name);
        cli_table_cell(t, "%u", f.info->block_elements);
        cli_table_cell(t, "%.4g", f.file_bits);
        cli_table_cell(t, "%s", f.writes ? "yes" : "");
        cli_table_cell(t, "%s", hone_layout_name(f.layout));
        cli_table_cell(t, "%.4g", f.memory_bits);
        cli_table_cell(t, "%s", f.exact);
    }
    return cli_table_print(t, stdout);
}

static hone_status print_markdown(void)
{
    fputs(formats_text_head, stdout);
    puts("| format | GGUF id | safetensors | block | bits in the file | writes | runs as | bits in "
         "memory | exact |");
    puts("|---|---|---|---|---|---|---|---|---|");
    for (int t = 0; t < HONE_DTYPE_COUNT; t++) {
        format f;
        char id[16] = "";
        HONE_TRY(read_format((hone_dtype)t, &f));
        if (f.info->ggml >= 0)
            snprintf(id, sizeof id, "%d", f.info->ggml);
        printf("| %s | %s | %s | %u | %.4g | %s | %s | %.4g | %s |\n", f.info->name, id,
               f.info->safetensors ? f.info->safetensors : "", f.info->block_elements, f.file_bits,
               f.writes ? "yes" : "", hone_layout_name(f.layout), f.memory_bits, f.exact);
    }
    fputs(formats_text_checkpoints, stdout);
    puts("| kind | what it is |");
    puts("|---|---|");
    for (size_t i = 0; i < hone_source_kind_count(); i++)
        printf("| %s | %s |\n", hone_source_kind_at(i)->name, hone_source_kind_at(i)->about);
    fputs(formats_text_mixes, stdout);
    for (size_t i = 0; hone_mix_at(i); i++)
        printf("%s`%s`", i ? ", " : "", hone_mix_name(hone_mix_at(i)));
    fputs(formats_text_tail, stdout);
    return HONE_OK;
}

static hone_status run(cli_context *c)
{
    if (cli_json(c))
        return print_json();
    return cli_flag(c, "markdown") ? print_markdown() : print_text();
}

static const cli_option options[] = {
    {.name = "markdown", .type = CLI_FLAG, .help = "the page docs/formats.md, which this prints"},
    {0},
};

static const cli_example examples[] = {
    {"hone formats", "what each format takes in a file and in memory, and whether it runs exactly"},
    {0},
};

const cli_command cli_cmd_formats = {
    .name = "formats",
    .summary = "list the number formats that hone reads, writes and runs",
    .description =
        "Prints every number format with its bits per weight in a file and in memory, the layout "
        "that the kernels run it in, whether hone writes it (hone quantize), and whether its "
        "numbers are exact there or rounded. What a particular model gets: hone info.",
    .options = options,
    .examples = examples,
    .run = run,
};
