/* info - what a model file holds, and what it will need. The example for other commands. */
#include "cli/cli.h"
#include "cli/info_weights.h"
#include "cli/table.h"

#include "file/file.h"
#include "kernel/kernel.h"
#include "model/arch.h"
#include "model/kv_tables.h"
#include "model/source.h"
#include "report/report.h"

#include <string.h>

/* Memory to run the model: packed weights as they are filed, and KV pages per token. */
typedef struct info_memory {
    const hone_arch *arch; /* NULL = hone cannot run it; `why` says it */
    hone_hparams hp;
    char why[512];
    info_model model;
    info_weights weights;
    uint64_t weight_bytes, kv_bytes_per_token, kv_bytes_context;
    uint64_t kv_formats[HONE_KV_COUNT]; /* per token */
} info_memory;

/* What the engine would hold: of a model that hone cannot run all that is there. */
static hone_status plan_weights(const hone_file *f, info_memory *m)
{
    m->model =
        (info_model){.arch = m->arch, .hp = &m->hp, .gguf = hone_file_kind(f) == HONE_FILE_GGUF};
    if (m->arch && !m->model.gguf)
        m->model.prefix = hone_arch_prefix(m->arch, f);
    HONE_TRY(info_weights_read(f, &m->model, &m->weights));
    m->weight_bytes = m->weights.packed_bytes;
    for (size_t i = 0; i < hone_file_tensor_count(f); i++) {
        const hone_tensor *t = hone_file_tensor_at(f, i);
        if (t->n_dims != 2 && !hone_source_is_part(t->name) && info_takes(&m->model, t->name))
            m->weight_bytes += hone_tensor_elements(t) * sizeof(float);
    }
    return HONE_OK;
}

static hone_status plan_memory(const hone_file *f, info_memory *m)
{
    memset(m, 0, sizeof *m);
    if (hone_arch_read(f, &m->arch, &m->hp) != HONE_OK) {
        m->arch = NULL;
        snprintf(m->why, sizeof m->why, "%s", hone_error());
    }
    HONE_TRY(plan_weights(f, m));
    if (!m->arch)
        return HONE_OK;
    static hone_kv_tables tables;
    for (int k = 0; k < HONE_KV_COUNT; k++) {
        hone_kv_tables_plan(&m->hp, (hone_kv_format)k, &tables);
        m->kv_formats[k] = tables.page_bytes * tables.count / HONE_KV_PAGE;
    }
    hone_kv_tables_plan(&m->hp, HONE_KV_BF16, &tables);
    m->kv_bytes_per_token = tables.page_bytes * tables.count / HONE_KV_PAGE;
    m->kv_bytes_context = hone_kv_tables_pages(&tables, m->hp.context_tokens) * tables.page_bytes;
    return HONE_OK;
}

static void shape_text(const hone_tensor *t, char *buf, size_t size)
{
    size_t used = 0;
    buf[0] = 0;
    for (int d = 0; d < t->n_dims && used < size; d++)
        used += (size_t)snprintf(buf + used, size - used, "%s%llu", d ? " x " : "",
                                 (unsigned long long)t->shape[d]);
}

static json_t *architecture_json(const info_memory *m)
{
    if (!m->arch)
        return json_pack("{s:b, s:s}", "supported", 0, "why", m->why);
    const hone_hparams *h = &m->hp;
    return json_pack("{s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "supported", 1,
                     "name", m->arch->name, "layers", (json_int_t)h->layers, "hidden",
                     (json_int_t)h->hidden, "heads", (json_int_t)h->heads, "kv_heads",
                     (json_int_t)h->kv_heads, "head_dim", (json_int_t)h->head_dim, "ffn",
                     (json_int_t)h->ffn, "vocab", (json_int_t)h->vocab, "context_tokens",
                     (json_int_t)h->context_tokens, "tied", (int)h->tied);
}

static json_t *types_json(const hone_file *f)
{
    hone_file_sum types[HONE_DTYPE_COUNT], total;
    json_t *list = json_object();
    hone_file_describe(f, types, &total);
    for (int t = 0; t < HONE_DTYPE_COUNT; t++) {
        if (types[t].tensors)
            json_object_set_new(
                list, hone_dtype_name((hone_dtype)t),
                json_pack("{s:I, s:I, s:I}", "tensors", (json_int_t)types[t].tensors, "elements",
                          (json_int_t)types[t].elements, "bytes", (json_int_t)types[t].bytes));
    }
    return list;
}

static json_t *metadata_json(const hone_file *f)
{
    json_t *metadata = json_object();
    char text[4096];
    for (size_t i = 0; i < hone_file_meta_count(f); i++)
        json_object_set_new(metadata, hone_file_meta_key(f, i),
                            json_string(hone_file_meta_text(f, i, text, sizeof text)));
    return metadata;
}

static json_t *tensors_json(const hone_file *f)
{
    json_t *tensors = json_array();
    for (size_t i = 0; i < hone_file_tensor_count(f); i++) {
        const hone_tensor *t = hone_file_tensor_at(f, i);
        json_t *shape = json_array();
        for (int d = 0; d < t->n_dims; d++)
            json_array_append_new(shape, json_integer((json_int_t)t->shape[d]));
        json_array_append_new(tensors,
                              json_pack("{s:s, s:o, s:s, s:I}", "name", t->name, "shape", shape,
                                        "type", hone_dtype_name((hone_dtype)t->dtype), "bytes",
                                        (json_int_t)t->bytes));
    }
    return tensors;
}

/* s:o*: NULL leaves the key out. */
static hone_status print_json(const hone_file *f, const info_memory *m, bool brief)
{
    return cli_print_json(json_pack(
        "{s:o, s:s, s:I, s:o, s:o, s:o, s:{s:I, s:I}, s:o*, s:o*}", "path",
        hone_report_text(hone_file_path(f)), "kind", hone_file_kind_name(f), "bytes",
        (json_int_t)hone_file_bytes(f), "architecture", architecture_json(m), "types",
        types_json(f), "matrices", info_weights_json(&m->weights), "memory", "weights",
        (json_int_t)m->weight_bytes, "kv_per_token", (json_int_t)m->kv_bytes_per_token, "metadata",
        brief ? NULL : metadata_json(f), "tensors", brief ? NULL : tensors_json(f)));
}

static hone_status print_types(const hone_file *f)
{
    hone_file_sum types[HONE_DTYPE_COUNT], total;
    char bytes[16];
    cli_table *t;
    hone_file_describe(f, types, &total);
    HONE_TRY(cli_table_open("type,>tensors,>elements,>bytes", &t));
    for (int i = 0; i < HONE_DTYPE_COUNT; i++) {
        if (!types[i].tensors)
            continue;
        cli_table_cell(t, "%s", hone_dtype_name((hone_dtype)i));
        cli_table_cell(t, "%llu", (unsigned long long)types[i].tensors);
        cli_table_cell(t, "%llu", (unsigned long long)types[i].elements);
        cli_table_cell(t, "%s", cli_format_bytes((double)types[i].bytes, bytes, sizeof bytes));
    }
    cli_table_cell(t, "total");
    cli_table_cell(t, "%llu", (unsigned long long)total.tensors);
    cli_table_cell(t, "%llu", (unsigned long long)total.elements);
    cli_table_cell(t, "%s", cli_format_bytes((double)total.bytes, bytes, sizeof bytes));
    return cli_table_print(t, stdout);
}

static hone_status print_summary(const hone_file *f, const info_memory *m)
{
    char a[16], b[16];
    const hone_hparams *h = &m->hp;
    cli_table *t;
    HONE_TRY(cli_table_open(",", &t));
    cli_table_cell(t, "file");
    cli_table_cell(t, "%s (%s, %s)", hone_file_path(f), hone_file_kind_name(f),
                   cli_format_bytes((double)hone_file_bytes(f), a, sizeof a));
    cli_table_cell(t, "architecture");
    if (m->arch) {
        cli_table_cell(t,
                       "%s: %u layers, hidden %u, %u heads (%u KV) of %u, MLP %u, vocabulary %u%s",
                       m->arch->name, h->layers, h->hidden, h->heads, h->kv_heads, h->head_dim,
                       h->ffn, h->vocab, h->tied ? ", tied" : "");
        cli_table_cell(t, "context");
        cli_table_cell(t, "%u tokens", h->context_tokens);
    } else {
        cli_table_cell(t, "hone cannot run it: %s", m->why);
    }
    cli_table_cell(t, "memory");
    cli_table_cell(t, "weights %s", cli_format_bytes((double)m->weight_bytes, a, sizeof a));
    if (m->arch && m->kv_bytes_per_token) {
        double kv = (double)m->kv_bytes_per_token;
        cli_table_cell(t, "%s", "");
        cli_table_cell(t, "KV (bf16) %s per token, %s at the full context",
                       cli_format_bytes(kv, a, sizeof a),
                       cli_format_bytes((double)m->kv_bytes_context, b, sizeof b));
        cli_table_cell(t, "%s", "");
        cli_table_cell(t, "per token with --kv int8 %s, int4 %s",
                       cli_format_bytes((double)m->kv_formats[HONE_KV_I8], a, sizeof a),
                       cli_format_bytes((double)m->kv_formats[HONE_KV_I4], b, sizeof b));
    }
    return cli_table_print(t, stdout);
}

static hone_status print_lists(const hone_file *f)
{
    char text[256], bytes[16];
    cli_table *t;
    HONE_TRY(cli_table_open("metadata,value", &t));
    for (size_t i = 0; i < hone_file_meta_count(f); i++) {
        cli_table_cell(t, "%s", hone_file_meta_key(f, i));
        cli_table_cell(t, "%s", hone_file_meta_text(f, i, text, 100));
    }
    HONE_TRY(cli_table_print(t, stdout));
    putchar('\n');
    HONE_TRY(cli_table_open("tensor,type,>shape,>bytes", &t));
    for (size_t i = 0; i < hone_file_tensor_count(f); i++) {
        const hone_tensor *x = hone_file_tensor_at(f, i);
        shape_text(x, text, sizeof text);
        cli_table_cell(t, "%s", x->name);
        cli_table_cell(t, "%s", hone_dtype_name((hone_dtype)x->dtype));
        cli_table_cell(t, "%s", text);
        cli_table_cell(t, "%s", cli_format_bytes((double)x->bytes, bytes, sizeof bytes));
    }
    return cli_table_print(t, stdout);
}

static hone_status print_text(const hone_file *f, const info_memory *m, bool brief)
{
    HONE_TRY(print_summary(f, m));
    putchar('\n');
    HONE_TRY(print_types(f));
    putchar('\n');
    HONE_TRY(info_weights_print(&m->weights));
    if (brief)
        return HONE_OK;
    putchar('\n');
    return print_lists(f);
}

static hone_status run(cli_context *c)
{
    hone_file *f;
    info_memory m;
    HONE_TRY(hone_file_open(cli_operand(c, 0), &f));
    hone_status s = plan_memory(f, &m);
    if (s == HONE_OK)
        s = cli_json(c) ? print_json(f, &m, cli_flag(c, "brief"))
                        : print_text(f, &m, cli_flag(c, "brief"));
    hone_file_close(f);
    return s;
}

static const cli_option options[] = {
    {.name = "brief", .type = CLI_FLAG, .help = "leave out the lists of metadata and tensors"},
    {0},
};

static const cli_example examples[] = {
    {"hone info model.gguf",
     "architecture, bytes by type, memory, metadata and tensors of a GGUF file"},
    {"hone info --json llama/ | jq .memory", "what a Hugging Face folder will need, for a script"},
    {0},
};

const cli_command cli_cmd_info = {
    .name = "info",
    .summary = "show what a model holds and what it will need",
    .description =
        "Opens a GGUF file, a Hugging Face folder or a safetensors file, checks it, and "
        "prints its architecture, the bytes of each number format, the memory that it "
        "takes to run (weights once, in the layout of the kernels, and the KV cache), its "
        "metadata and its tensors. Tensor shapes have the slowest dimension first.",
    .operands = "MODEL",
    .operands_min = 1,
    .operands_max = 1,
    .options = options,
    .examples = examples,
    .run = run,
};
