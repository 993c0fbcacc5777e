/* classify - texts to labels. */
#include "cli/damage.h"
#include "cli/encoder_args.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct scored {
    uint32_t label;
    double score;
} scored;

/* Probabilities of one text's scores: of all labels together, or of each. */
static void to_scores(const hone_task *t, const float *logits, uint32_t n, scored *out)
{
    double most = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < n; i++)
        most = (double)logits[i] > most ? (double)logits[i] : most;
    for (uint32_t i = 0; i < n; i++) {
        double x = (double)logits[i];
        out[i] = (scored){i, t->regression              ? x
                             : t->multi_label || n == 1 ? 1 / (1 + exp(-x))
                                                        : exp(x - most)};
        sum += out[i].score;
    }
    for (uint32_t i = 0; i < n && n > 1 && !t->multi_label && !t->regression; i++)
        out[i].score /= sum;
}

static int better_first(const void *a, const void *b)
{
    const scored *x = a, *y = b;
    if (x->score > y->score || x->score < y->score)
        return x->score > y->score ? -1 : 1;
    return x->label < y->label ? -1 : x->label > y->label;
}

static const char *label_of(const hone_task *t, uint32_t i, char text[24])
{
    if (i < t->n_labels && t->labels[i])
        return t->labels[i];
    snprintf(text, 24, "LABEL_%u", i);
    return text;
}

static json_t *labels_json(const hone_task *t, const scored *s, uint32_t n)
{
    json_t *list = json_array();
    char text[24];
    for (uint32_t i = 0; i < n; i++)
        json_array_append_new(list, json_pack("{s:s, s:f}", "label", label_of(t, s[i].label, text),
                                              "score", s[i].score));
    return list;
}

static void print_line(const hone_task *t, const scored *s, uint32_t n)
{
    char text[24];
    for (uint32_t i = 0; i < n; i++)
        printf("%s%s\t%.6f", i ? "\t" : "", label_of(t, s[i].label, text), s[i].score);
    putchar('\n');
}

static hone_status print_all(const cli_context *c, const cli_encoder *x, const float *logits,
                             uint32_t labels)
{
    uint32_t top = (uint32_t)cli_int(c, "top");
    if (top == 0 || top > labels)
        top = labels;
    scored *s = hone_malloc(labels * sizeof *s);
    if (!s)
        return hone_fail_memory(labels * sizeof *s, "scores");
    json_t *list = cli_json(c) ? json_array() : NULL;
    hone_status status = HONE_OK;
    for (size_t i = 0; i < x->n && status == HONE_OK; i++) {
        const float *row = logits + i * labels;
        status = cli_check_numbers(cli_operand(c, 0), row, labels);
        if (status != HONE_OK)
            break;
        to_scores(&x->task, row, labels, s);
        qsort(s, labels, sizeof *s, better_first);
        if (list)
            json_array_append_new(list, json_pack("{s:I, s:I, s:o}", "index", (json_int_t)i,
                                                  "tokens", (json_int_t)x->texts[i].n, "labels",
                                                  labels_json(&x->task, s, top)));
        else
            print_line(&x->task, s, top);
    }
    hone_free(s);
    if (status != HONE_OK || !list) {
        json_decref(list);
        return status;
    }
    return cli_print_json(
        json_pack("{s:o, s:o}", "results", list, "config", cli_config_json(x->engine)));
}

static hone_status add_texts(const cli_context *c, cli_encoder *x)
{
    cli_text_list list;
    HONE_TRY(cli_read_texts(c, cli_operand(c, 1), cli_flag(c, "pairs"), &list));
    hone_status s = HONE_OK;
    for (size_t i = 0; i < list.n && s == HONE_OK; i++)
        s = cli_encoder_add(c, x, "", &list.items[i]);
    cli_text_list_free(&list);
    return s;
}

static hone_status work(cli_context *c, cli_encoder *x)
{
    HONE_TRY(cli_encoder_open(c, cli_operand(c, 0), false, x));
    HONE_TRY(add_texts(c, x));
    HONE_TRY(cli_encoder_start(c, cli_operand(c, 0), x));
    uint32_t labels = hone_engine_facts(x->engine)->labels;
    float *logits = hone_calloc(x->n * (labels ? labels : 1), sizeof *logits);
    if (!logits)
        return hone_fail_memory(x->n * labels * sizeof *logits, "scores");
    hone_status s =
        hone_engine_classify(x->engine, x->texts, x->n, cli_encoder_progress, NULL, logits);
    cli_progress_end();
    if (s == HONE_OK)
        s = print_all(c, x, logits, labels);
    hone_free(logits);
    return s;
}

static hone_status run(cli_context *c)
{
    cli_encoder x;
    hone_status s = work(c, &x);
    cli_encoder_close(&x);
    return s;
}

static const cli_option options[] = {
    CLI_TEXTS_OPTIONS,
    {.name = "pairs",
     .type = CLI_FLAG,
     .help = "each line is two texts with a tab between them (entailment, paraphrase)"},
    {.name = "top",
     .type = CLI_INT,
     .argument = "K",
     .fallback = "1",
     .min = 0,
     .max = 1 << 16,
     .help = "labels shown of each text, the best first; 0 = all"},
    CLI_ENCODER_OPTIONS,
    {0},
};

static const cli_example examples[] = {
    {"hone classify sentiment/ --text 'what a fine day'", "its label and probability"},
    {"hone classify sentiment/ --top 0 --json reviews.txt", "all labels of each line, as JSON"},
    {"printf 'A man sleeps.\\tHe is awake.\\n' | hone classify nli/ --pairs --top 3",
     "how two texts stand to each other"},
    {0},
};

const cli_command cli_cmd_classify = {
    .name = "classify",
    .summary = "give texts the labels of a classifier",
    .description =
        "Runs a sequence classifier (a model of transformers' ...ForSequenceClassification, or a "
        "GGUF file with a classifier) over each line of FILE or standard input and prints labels "
        "with their probabilities: softmax over all labels, or the logistic function of each where "
        "config.json says multi_label_classification; regression gives the score as it is.",
    .operands = "MODEL [FILE]",
    .operands_min = 1,
    .operands_max = 2,
    .options = options,
    .examples = examples,
    .interruptible = true,
    .run = run,
};
