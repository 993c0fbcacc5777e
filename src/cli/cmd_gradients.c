/* gradients - the gradient of a batch's loss by every weight: how anyone checks the trainer. */
#include "base/io.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/machine_args.h"
#include "cli/table.h"
#include "report/report.h"
#include "train/trainable.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS_MAX = 1 << 20 };

typedef struct batch {
    int32_t *ids, *labels, *targets;
    uint32_t *lengths, *label_lengths;
    hone_backward_batch in;
} batch;

/* "1,2,3;4,5,6" into numbers and the lengths of their lists. */
static hone_status parse(const char *option, const char *text, int32_t **numbers,
                         uint32_t **lengths, uint32_t *n, uint32_t *lists)
{
    size_t room = strlen(text) / 2 + 2;
    *n = *lists = 0;
    *numbers = hone_malloc(room * sizeof **numbers);
    *lengths = hone_calloc(room, sizeof **lengths);
    if (!*numbers || !*lengths)
        return hone_fail_memory(room * sizeof **numbers, "token ids");
    for (const char *p = text;;) {
        char *end;
        errno = 0;
        long v = strtol(p, &end, 10);
        if (end == p || errno || v < INT32_MIN || v > INT32_MAX || (*end && !strchr(",;", *end)))
            return hone_fail(HONE_USAGE,
                             "--%s: \"%.12s\" is no number; write 1,2,3;4,5,6: commas within a "
                             "sequence, semicolons between them",
                             option, p);
        if (*n == TOKENS_MAX)
            return hone_fail(HONE_LIMIT, "--%s: more than %d tokens", option, TOKENS_MAX);
        (*numbers)[(*n)++] = (int32_t)v;
        (*lengths)[*lists]++;
        if (!*end || *end == ';')
            (*lists)++;
        if (!*end)
            return HONE_OK;
        p = end + 1;
    }
}

static hone_status read_batch(const cli_context *c, batch *b)
{
    const char *ids = cli_text(c, "ids"),
               *labels = cli_given(c, "labels") ? cli_text(c, "labels") : ids;
    uint32_t n, lists, n_labels, label_lists;
    HONE_TRY(parse("ids", ids, &b->ids, &b->lengths, &n, &lists));
    HONE_TRY(parse("labels", labels, &b->labels, &b->label_lengths, &n_labels, &label_lists));
    if (lists != label_lists || n != n_labels ||
        memcmp(b->lengths, b->label_lengths, lists * sizeof *b->lengths) != 0)
        return hone_fail(HONE_USAGE,
                         "--labels must have a number for every one of --ids (-100: none): %u in "
                         "%u sequences, not %u in %u",
                         n, lists, n_labels, label_lists);
    for (uint32_t i = 0; i < n; i++)
        if (b->ids[i] < 0)
            return hone_fail(HONE_USAGE, "--ids: %d is no token", b->ids[i]);
    for (uint32_t i = 0; i < n; i++)
        if (b->labels[i] < 0 && b->labels[i] != HONE_LABEL_IGNORED)
            return hone_fail(HONE_USAGE, "--labels: %d is neither a token nor %d, no label",
                             b->labels[i], HONE_LABEL_IGNORED);
    b->targets = hone_malloc(n * sizeof *b->targets);
    if (!b->targets)
        return hone_fail_memory(n * sizeof *b->targets, "labels");
    b->in = (hone_backward_batch){
        .rows = n, .n_sequences = lists, .tokens = b->ids, .n_tokens = b->lengths};
    return HONE_OK;
}

static void free_batch(batch *b)
{
    hone_free(b->ids);
    hone_free(b->labels);
    hone_free(b->targets);
    hone_free(b->lengths);
    hone_free(b->label_lengths);
}

static hone_status write_file(const hone_trainable *t, double loss, size_t counted,
                              const char *path)
{
    char text[2][32];
    hone_safetensors_writer *w;
    snprintf(text[0], sizeof text[0], "%.9g", loss);
    snprintf(text[1], sizeof text[1], "%zu", counted);
    HONE_TRY(hone_safetensors_writer_open(path, &w));
    hone_status s = hone_safetensors_writer_str(w, "loss", text[0]);
    if (s == HONE_OK)
        s = hone_safetensors_writer_str(w, "tokens", text[1]);
    if (s == HONE_OK)
        s = hone_parameters_declare(&t->p, HONE_DTYPE_F32, w);
    if (s == HONE_OK)
        s = hone_parameters_write(&t->p, t->grads, w);
    if (s == HONE_OK)
        return hone_safetensors_writer_commit(w);
    hone_safetensors_writer_abort(w);
    return s;
}

static hone_status gradients(cli_context *c, const hone_file *f, const batch *b)
{
    const char *path = cli_text(c, "output");
    const hone_trainable_options o = {.f32 = strcmp(cli_text(c, "dtype"), "f32") == 0,
                                      .threads = (int)cli_int(c, "threads"),
                                      .isa = cli_text(c, "isa"),
                                      .adapter_folder = cli_text(c, "adapter"),
                                      .max_rows = b->in.rows,
                                      .memory_max = cli_bytes(c, "memory")};
    size_t counted = hone_shift_labels(&b->in, b->labels, b->targets);
    double sum = 0;
    if (!counted)
        return hone_fail(HONE_DATA, "no token has a label: labels are those of the tokens "
                                    "themselves, and the first of a sequence is not predicted");
    hone_trainable *t;
    HONE_TRY(hone_check_output(path));
    HONE_TRY(hone_trainable_open(f, &o, &t));
    hone_status s = hone_trainable_add(t, &b->in, b->targets, 1.0 / (double)counted, true, &sum);
    double loss = sum / (double)counted;
    if (s == HONE_OK)
        s = write_file(t, loss, counted, path);
    if (s == HONE_OK && cli_json(c))
        s = cli_print_json(json_pack("{s:o, s:f, s:I, s:I}", "file", hone_report_text(path), "loss",
                                     loss, "tokens", (json_int_t)counted, "parameters",
                                     (json_int_t)t->p.numbers));
    else if (s == HONE_OK)
        printf("%s: loss %.6f over %zu tokens, gradient of %llu parameters\n", path, loss, counted,
               (unsigned long long)t->p.numbers);
    hone_trainable_close(t);
    return s;
}

static hone_status run(cli_context *c)
{
    batch b = {0};
    hone_file *f = NULL;
    hone_status s = read_batch(c, &b);
    if (s == HONE_OK)
        s = hone_file_open(cli_operand(c, 0), &f);
    if (s == HONE_OK)
        s = gradients(c, f, &b);
    hone_file_close(f);
    free_batch(&b);
    return s;
}

static const cli_option options[] = {
    {.name = "ids",
     .type = CLI_TEXT,
     .argument = "IDS",
     .required = true,
     .help = "token ids: \"1,2,3;4,5,6\" are two sequences"},
    {.name = "labels",
     .type = CLI_TEXT,
     .argument = "IDS",
     .help = "labels of these tokens, -100 = none (default: the tokens themselves)"},
    {.name = "output",
     .type = CLI_TEXT,
     .argument = "FILE",
     .letter = 'o',
     .required = true,
     .help = "the .safetensors file to write"},
    {.name = "dtype",
     .type = CLI_CHOICE,
     .argument = "TYPE",
     .choices = "f32|bf16",
     .fallback = "f32",
     .help = "arithmetic of products"},
    {.name = "adapter",
     .type = CLI_TEXT,
     .argument = "FOLDER",
     .help = "a LoRA or DoRA adapter beside the weights: its gradient, not theirs"},
    {.name = "memory",
     .type = CLI_BYTES,
     .argument = "BYTES",
     .help = "bound of what is kept for the way back; layers that do not fit run twice"},
    CLI_THREADS_OPTION,
    CLI_ISA_OPTION,
    {0},
};

static const cli_example examples[] = {
    {"hone gradients llama/ --ids \"1,5,9;1,7,2\" -o grads.safetensors",
     "of two sequences, every token predicted from those before it"},
    {"hone gradients llama/ --ids 1,5,9 --labels -100,-100,9 -o grads.safetensors",
     "only the last token counts"},
    {0},
};

const cli_command cli_cmd_gradients = {
    .name = "gradients",
    .summary = "write the gradient of a loss by every weight",
    .description =
        "Runs the sequences, takes the mean cross entropy of the labelled tokens, each predicted "
        "from the tokens before it, and writes its gradient by every weight: float32 tensors with "
        "the checkpoint's names and shapes, the loss in the metadata. So the trainer can be "
        "compared with any other (of Hugging Face: model(input_ids, labels=labels).loss."
        "backward()). The same bits on any number of threads and every instruction set.",
    .operands = "MODEL",
    .operands_min = 1,
    .operands_max = 1,
    .options = options,
    .examples = examples,
    .run = run,
};
