/* data - text and conversations to tokens on disk, for hone train. */
#include "cli/chat_prompt.h"
#include "cli/cli.h"
#include "cli/document_args.h"
#include "cli/machine_args.h"
#include "cli/table.h"

#include "base/io.h"
#include "base/mem.h"
#include "report/report.h"
#include "train/data/dataset_build.h"

/* The chat template of the model, or the file given; *out NULL when there is none. */
static hone_status open_template(const cli_context *c, const hone_tokenizer *t,
                                 hone_chat_template **out)
{
    const char *model = cli_operand(c, 0), *file = cli_text(c, "template");
    *out = NULL;
    if (file) {
        cli_chat_format f;
        HONE_TRY(cli_chat_open(model, t, file, &f));
        *out = f.template;
        return HONE_OK;
    }
    if (!hone_is_directory(model) && !hone_ends_with(model, ".gguf"))
        return HONE_OK; /* a tokenizer's own file */
    HONE_TRY(hone_chat_template_open(model, out));
    if (hone_chat_template_count(*out) == 0) {
        hone_chat_template_close(*out);
        *out = NULL;
    }
    return HONE_OK;
}

static void on_progress(void *arg, const hone_documents *d)
{
    (void)arg;
    cli_document_progress(d, "tokenising");
}

static json_t *counts_json(const hone_dataset_counts *x)
{
    return json_pack("{s:I, s:I, s:I, s:I}", "documents", (json_int_t)x->documents, "bytes",
                     (json_int_t)x->bytes, "tokens", (json_int_t)x->tokens, "targets",
                     (json_int_t)x->targets);
}

static void print_side(cli_table *table, const char *name, const hone_dataset_counts *x)
{
    cli_table_cell(table, "%s", name);
    cli_table_cell(table, "%llu", (unsigned long long)x->documents);
    cli_table_cell(table, "%llu", (unsigned long long)x->bytes);
    cli_table_cell(table, "%llu", (unsigned long long)x->tokens);
    cli_table_cell(table, "%llu", (unsigned long long)x->targets);
    cli_table_cell(table, "%.2f", x->tokens ? (double)x->bytes / (double)x->tokens : 0.0);
}

static hone_status print_report(const cli_context *c, const hone_dataset_build_report *r)
{
    if (cli_json(c))
        return cli_print_json(
            json_pack("{s:o, s:o, s:o, s:I, s:I, s:b}", "folder",
                      hone_report_text(cli_text(c, "output")), "train", counts_json(&r->train),
                      "validation", counts_json(&r->validation), "duplicates",
                      (json_int_t)r->duplicates, "broken", (json_int_t)r->broken, "ends", r->ends));
    cli_table *table;
    HONE_TRY(cli_table_open("part,>documents,>bytes,>tokens,>to learn,>bytes/token", &table));
    print_side(table, "train", &r->train);
    print_side(table, "validation", &r->validation);
    HONE_TRY(cli_table_print(table, stdout));
    if (r->duplicates)
        printf("%llu documents were there before (%s)\n", (unsigned long long)r->duplicates,
               cli_flag(c, "drop-duplicates") ? "left out" : "kept; --drop-duplicates");
    if (r->broken)
        printf("%llu broken documents were left out\n", (unsigned long long)r->broken);
    return HONE_OK;
}

/* What the user may not have meant. */
static void remark(const cli_context *c, const hone_dataset_build_report *r)
{
    if (!r->ends)
        fprintf(stderr, "note: the tokenizer has no end-of-text token: a model that learns from "
                        "this does not learn where a text ends\n");
    if (cli_number(c, "validation") > 0 && r->validation.documents == 0)
        fprintf(stderr, "note: no document fell to validation, there are too few of them; "
                        "separators (--separator) cut a file into documents\n");
    if (r->train.documents == 0)
        fprintf(stderr, "note: every document fell to validation, there is nothing to train on\n");
}

static hone_status run(cli_context *c)
{
    hone_tokenizer *t;
    hone_chat_template *chat = NULL;
    hone_documents *documents = NULL;
    const char **paths = NULL;
    cli_broken broken = {0};
    hone_dataset_build_report report;
    HONE_TRY(hone_tokenizer_open(cli_operand(c, 0), &t));
    hone_status s;
    HONE_GOTO(s, done, open_template(c, t, &chat));
    HONE_GOTO(s, done, cli_open_documents(c, &broken, &paths, &documents));
    hone_dataset_build_options options = {.tokenizer = t,
                                          .chat = chat,
                                          .validation = cli_number(c, "validation"),
                                          .drop_duplicates = cli_flag(c, "drop-duplicates"),
                                          .skip_broken = cli_flag(c, "skip-broken"),
                                          .on_broken = cli_on_broken,
                                          .on_progress = on_progress,
                                          .arg = &broken,
                                          .threads = (int)cli_int(c, "threads")};
    s = hone_dataset_build(documents, &options, cli_text(c, "output"), &report);
    cli_progress_end();
    if (s == HONE_OK) {
        remark(c, &report);
        s = print_report(c, &report);
    }
done:
    hone_documents_close(documents);
    hone_free((void *)paths);
    hone_chat_template_close(chat);
    hone_tokenizer_close(t);
    return s;
}

static const cli_option options[] = {
    {.name = "output",
     .letter = 'o',
     .type = CLI_TEXT,
     .argument = "FOLDER",
     .required = true,
     .help = "gets train.tokens, validation.tokens and data.json"},
    {.name = "validation",
     .type = CLI_PERCENT,
     .argument = "PERCENT",
     .fallback = "1%",
     .min = 0,
     .max = 0.99,
     .help = "share of the documents that is held out, chosen by a hash of their text"},
    {.name = "drop-duplicates",
     .type = CLI_FLAG,
     .help = "of documents with the same text (but for white space) keep the first"},
    {.name = "template",
     .type = CLI_TEXT,
     .argument = "FILE",
     .help = "chat template for conversations, instead of the model's own"},
    CLI_THREADS_OPTION,
    CLI_DOCUMENT_OPTIONS,
    {0},
};

static const cli_example examples[] = {
    {"hone data tokenizer.json books.txt -o data", "documents separated by <|endoftext|>"},
    {"hone data llama/ chats.jsonl -o data --validation 5%",
     "conversations, with the model's chat template"},
    {"hone data llama/ a.jsonl b.jsonl -o data --skip-broken --drop-duplicates",
     "what cannot be read is named, counted and left out"},
    {0},
};

const cli_command cli_cmd_data = {
    .name = "data",
    .summary = "turn text and conversations into tokens for training",
    .description =
        "MODEL may also be a tokenizer's own file. FILEs are text "
        "(UTF-8), or JSON Lines (*.jsonl, *.ndjson): {\"text\": ...} a line, or {\"messages\": "
        "[{\"role\": ..., \"content\": ...}, ...]}, of which only the assistant's turns are to be "
        "learned, or {\"prompt\": ..., \"completion\": ...} (or \"response\"), of which only the "
        "completion is."
        "\n\n"
        "Texts and completions end with the tokenizer's end-of-text token, conversations as their "
        "template ends them. Whether a document is held out for validation depends on its text "
        "alone: equal texts are never on both sides, and adding files moves none.",
    .operands = "MODEL FILE...",
    .operands_min = 2,
    .operands_max = -1,
    .options = options,
    .examples = examples,
    .interruptible = true,
    .run = run,
};
