/* models - the architectures that hone runs, from their table; docs/models.md is what --markdown
 * prints. */
#include "cli/cli.h"
#include "cli/models_text.h"
#include "cli/table.h"

#include "compress/synth.h"
#include "model/kv_tables.h"
#include "model/slots.h"

#include <string.h>

/* Appends a remark to a list in `text`. */
static void remark(char *text, size_t size, const char *what)
{
    snprintf(text + strlen(text), size - strlen(text), "%s%s", *text ? ", " : "", what);
}

static bool any_flag(const hone_arch *a, int flag)
{
    for (int s = 0; s < HONE_SLOTS; s++)
        if (a->hf_names[s].weight && (a->hf_names[s].flags & flag))
            return true;
    return false;
}

static bool has_window(const hone_arch *a)
{
    for (const hone_key *k = a->keys; k->type != HONE_KEY_END; k++)
        if (k->field == offsetof(hone_hparams, window))
            return true;
    return false;
}

static bool is_fused(const hone_arch *a)
{
    const char *q = a->hf_names[HONE_SLOT_Q].weight, *k = a->hf_names[HONE_SLOT_K].weight;
    return q && k && strcmp(q, k) == 0;
}

/* What the descriptor shows of an architecture. */
static const char *traits(const hone_arch *a, char *text, size_t size)
{
    const hone_tensor_name *n = a->hf_names;
    *text = 0;
    if (has_window(a))
        remark(text, size, "windows");
    if (n[HONE_SLOT_POSITION].weight)
        remark(text, size, "learned positions");
    if (n[HONE_SLOT_TOKEN_TYPE].weight)
        remark(text, size, "token types");
    if (n[HONE_SLOT_NORM_Q].weight)
        remark(text, size, "norms of heads");
    if (n[HONE_SLOT_NORM_ATTENTION_AFTER].weight)
        remark(text, size,
               n[HONE_SLOT_NORM_ATTENTION].weight ? "norms around blocks" : "norms behind blocks");
    if (n[HONE_SLOT_Q].bias)
        remark(text, size, n[HONE_SLOT_Q].flags & HONE_NAME_BIAS ? "biases" : "biases if filed");
    if (!n[HONE_SLOT_GATE].weight)
        remark(text, size, "MLP without gate");
    if (is_fused(a))
        remark(text, size, "fused");
    if (any_flag(a, HONE_NAME_TRANSPOSED))
        remark(text, size, "transposed");
    if (n[HONE_SLOT_CLASSIFIER].weight)
        remark(text, size, "classifier");
    return text;
}

static const char *types(const hone_arch *a, char *text, size_t size)
{
    *text = 0;
    for (size_t i = 0; i < sizeof a->hf_types / sizeof *a->hf_types && a->hf_types[i]; i++)
        remark(text, size, a->hf_types[i]);
    return text;
}

/* Keys and values of a published shape in bfloat16. */
typedef struct shape_memory {
    hone_hparams h;
    hone_kv_tables tables;
    double per_token, whole, held; /* bytes: of a token, of the context without and with windows */
} shape_memory;

static hone_status measure(const hone_synth_shape *s, shape_memory *m)
{
    char config[1024];
    const hone_arch *a;
    hone_file *f;
    snprintf(config, sizeof config, s->config, s->layers);
    HONE_TRY(hone_file_from_config(config, s->name, &f));
    hone_status st = hone_arch_read(f, &a, &m->h);
    hone_file_close(f);
    HONE_TRY(st);
    hone_kv_tables_plan(&m->h, HONE_KV_BF16, &m->tables);
    double page = (double)m->tables.page_bytes;
    m->per_token = page * m->tables.count / HONE_KV_PAGE;
    m->whole = m->per_token * m->h.context_tokens;
    m->held = page * (double)hone_kv_tables_pages(&m->tables, m->h.context_tokens);
    return HONE_OK;
}

static hone_status print_memory(void)
{
    static shape_memory m;
    puts("| shape (`hone synth`) | context | layers with a window | KV per token | KV of the "
         "context "
         "| without windows |");
    puts("|---|---|---|---|---|---|");
    for (size_t i = 0; i < hone_synth_shape_count(); i++) {
        const hone_synth_shape *s = hone_synth_shape_at(i);
        uint32_t windows = 0;
        HONE_TRY(measure(s, &m));
        for (uint32_t y = 0; y < m.h.layers; y++)
            windows += hone_kind(&m.h, y)->window != 0;
        if (m.h.bidirectional)
            printf("| %s | %u | | of one layer at a time: %.0f KiB | %.1f MiB | |\n", s->name,
                   m.h.context_tokens, m.per_token / 1024, m.held / (1 << 20));
        else
            printf("| %s | %u | %u of %u | %.0f KiB | %.0f MiB | %.0f MiB |\n", s->name,
                   m.h.context_tokens, windows, m.h.layers, m.per_token / 1024, m.held / (1 << 20),
                   m.whole / (1 << 20));
    }
    return HONE_OK;
}

static hone_status print_markdown(void)
{
    char text[256], names[128];
    fputs(models_text_head, stdout);
    puts("| architecture | models | config.json | GGUF | of note |");
    puts("|---|---|---|---|---|");
    for (size_t i = 0; i < hone_arch_count(); i++) {
        const hone_arch *a = hone_arch_at(i);
        printf("| %s | %s | %s | %s | %s |\n", a->name, a->what, types(a, names, sizeof names),
               a->gguf ? a->gguf : "", traits(a, text, sizeof text));
    }
    fputs(models_text_memory, stdout);
    HONE_TRY(print_memory());
    fputs(models_text_add, stdout);
    return HONE_OK;
}

static hone_status print_json(void)
{
    char text[256];
    json_t *list = json_array();
    for (size_t i = 0; i < hone_arch_count(); i++) {
        const hone_arch *a = hone_arch_at(i);
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s*, s:s}", "name", a->name, "models", a->what,
                                        "gguf", a->gguf, "traits", traits(a, text, sizeof text)));
    }
    return cli_print_json(json_pack("{s:o}", "architectures", list));
}

static hone_status print_text(void)
{
    char text[256];
    cli_table *t;
    HONE_TRY(cli_table_open("architecture,models,GGUF,of note", &t));
    for (size_t i = 0; i < hone_arch_count(); i++) {
        const hone_arch *a = hone_arch_at(i);
        cli_table_cell(t, "%s", a->name);
        cli_table_cell(t, "%s", a->what);
        cli_table_cell(t, "%s", a->gguf ? a->gguf : "");
        cli_table_cell(t, "%s", traits(a, text, sizeof text));
    }
    return cli_table_print(t, stdout);
}

static hone_status run(cli_context *c)
{
    if (cli_json(c))
        return print_json();
    return cli_flag(c, "markdown") ? print_markdown() : print_text();
}

static const cli_option options[] = {
    {.name = "markdown", .type = CLI_FLAG, .help = "the page docs/models.md, which this prints"},
    {0},
};

static const cli_example examples[] = {
    {"hone models", "which architectures hone runs, and how their files call them"},
    {0},
};

const cli_command cli_cmd_models = {
    .name = "models",
    .summary = "list the architectures that hone runs",
    .description = "Prints every architecture with the models that have it and what sets it apart. "
                   "What hone makes of a particular file: hone info.",
    .options = options,
    .examples = examples,
    .run = run,
};
