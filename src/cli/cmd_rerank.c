/* rerank - documents in the order in which they answer a query. */
#include "cli/damage.h"
#include "cli/encoder_args.h"

#include "base/io.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct ranked {
    size_t index;
    double score;
} ranked;

typedef struct ranking {
    const cli_context *c;
    cli_encoder x;
    cli_text_list documents;
    ranked *order; /* [documents] */
    bool cosine;   /* of an embedding model; else a cross-encoder's score */
} ranking;

static int better_first(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->score > y->score || x->score < y->score)
        return x->score > y->score ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

/* The first prompt of the model that has one of these names, or "". */
static const char *prompt_of(const hone_task *t, const char *const *names, size_t n)
{
    for (size_t k = 0; k < n; k++)
        for (uint32_t i = 0; i < t->n_prompts; i++)
            if (strcmp(t->prompts[i].name, names[k]) == 0)
                return t->prompts[i].text;
    return "";
}

/* Query and document as one sequence each. */
static hone_status add_pairs(ranking *w, const char *query)
{
    for (size_t i = 0; i < w->documents.n; i++) {
        const cli_item *d = &w->documents.items[i];
        cli_item item = {query, d->text, strlen(query), d->n, d->line};
        HONE_TRY(cli_encoder_add(w->c, &w->x, "", &item));
    }
    return HONE_OK;
}

/* The query, then the documents. */
static hone_status add_apart(ranking *w, const char *query)
{
    static const char *const queries[] = {"query"}, *const passages[] = {"document", "passage"};
    cli_item item = {query, NULL, strlen(query), 0, 0};
    HONE_TRY(cli_encoder_add(w->c, &w->x, prompt_of(&w->x.task, queries, 1), &item));
    for (size_t i = 0; i < w->documents.n; i++) {
        w->documents.items[i].pair = NULL;
        HONE_TRY(cli_encoder_add(w->c, &w->x, prompt_of(&w->x.task, passages, 2),
                                 &w->documents.items[i]));
    }
    return HONE_OK;
}

static hone_status score_pairs(ranking *w)
{
    float *logits = hone_calloc(w->x.n, sizeof *logits);
    if (!logits)
        return hone_fail_memory(w->x.n * sizeof *logits, "scores");
    hone_status s =
        hone_engine_classify(w->x.engine, w->x.texts, w->x.n, cli_encoder_progress, NULL, logits);
    for (size_t i = 0; s == HONE_OK && i < w->x.n; i++) {
        double x = (double)logits[i];
        s = cli_check_numbers(cli_operand(w->c, 0), logits + i, 1);
        w->order[i] = (ranked){i, w->x.task.raw_scores ? x : 1 / (1 + exp(-x))};
    }
    hone_free(logits);
    return s;
}

static hone_status score_apart(ranking *w)
{
    hone_pooling pooling;
    HONE_TRY(cli_encoder_pooling(&w->x, "", &pooling));
    size_t n = w->x.n, hidden = hone_engine_facts(w->x.engine)->hidden;
    float *x = hone_calloc(n * hidden, sizeof *x);
    if (!x)
        return hone_fail_memory(n * hidden * sizeof *x, "vectors");
    hone_status s =
        hone_engine_encode(w->x.engine, w->x.texts, n, pooling, cli_encoder_progress, NULL, x);
    if (s == HONE_OK)
        s = cli_check_numbers(cli_operand(w->c, 0), x, n * hidden);
    for (size_t i = 0; s == HONE_OK && i < n; i++)
        hone_encode_normalize(x + i * hidden, hidden);
    for (size_t i = 1; s == HONE_OK && i < n; i++) {
        double dot = 0;
        for (size_t k = 0; k < hidden; k++)
            dot += (double)x[k] * (double)x[i * hidden + k];
        dot = fmin(fmax(dot, -1), 1); /* lengths are 1 but for rounding */
        w->order[i - 1] = (ranked){i - 1, dot};
    }
    hone_free(x);
    return s;
}

static hone_status print_ranking(const ranking *w)
{
    size_t top = (size_t)cli_int(w->c, "top"), n = w->documents.n;
    json_t *list = cli_json(w->c) ? json_array() : NULL;
    n = top && top < n ? top : n;
    for (size_t i = 0; i < n; i++) {
        const ranked *r = &w->order[i];
        const cli_item *d = &w->documents.items[r->index];
        if (list)
            json_array_append_new(list, json_pack("{s:I, s:f, s:o}", "index", (json_int_t)r->index,
                                                  "score", r->score, "text",
                                                  json_stringn(d->text, d->n)));
        else
            printf("%.6f\t%zu\t%.*s\n", r->score, d->line, d->n < 1 << 20 ? (int)d->n : 1 << 20,
                   d->text);
    }
    if (!list)
        return HONE_OK;
    return cli_print_json(json_pack("{s:s, s:s, s:o, s:o}", "query", cli_text(w->c, "query"),
                                    "score", w->cosine ? "cosine" : "cross-encoder", "results",
                                    list, "config", cli_config_json(w->x.engine)));
}

static hone_status work(ranking *w)
{
    const char *model = cli_operand(w->c, 0), *query = cli_text(w->c, "query");
    HONE_TRY(cli_encoder_open(w->c, model, true, &w->x));
    HONE_TRY(cli_read_texts(w->c, cli_operand(w->c, 1), false, &w->documents));
    w->cosine = w->x.labels == 0;
    if (w->x.labels > 1)
        return hone_fail(HONE_UNSUPPORTED,
                         "%s: a classifier of %u labels; a reranker has one (hone classify --pairs "
                         "shows them all)",
                         model, w->x.labels);
    HONE_TRY(w->cosine ? add_apart(w, query) : add_pairs(w, query));
    HONE_TRY(cli_encoder_start(w->c, model, &w->x));
    w->order = hone_calloc(w->documents.n, sizeof *w->order);
    if (!w->order)
        return hone_fail_memory(w->documents.n * sizeof *w->order, "scores");
    hone_status s = w->cosine ? score_apart(w) : score_pairs(w);
    cli_progress_end();
    HONE_TRY(s);
    qsort(w->order, w->documents.n, sizeof *w->order, better_first);
    return print_ranking(w);
}

static hone_status run(cli_context *c)
{
    ranking w = {.c = c};
    hone_status s = work(&w);
    hone_free(w.order);
    cli_text_list_free(&w.documents);
    cli_encoder_close(&w.x);
    return s;
}

static const cli_option options[] = {
    {.name = "query",
     .type = CLI_TEXT,
     .argument = "TEXT",
     .letter = 'q',
     .required = true,
     .help = "what the documents shall answer"},
    CLI_TEXTS_OPTIONS,
    {.name = "top",
     .type = CLI_INT,
     .argument = "N",
     .fallback = "0",
     .min = 0,
     .max = 1 << 26,
     .help = "show the best N; 0 = all"},
    CLI_ENCODER_OPTIONS,
    {0},
};

static const cli_example examples[] = {
    {"hone rerank reranker/ --query 'what is a panda?' documents.txt --top 3",
     "score, line and text of the three best lines"},
    {"hone rerank minilm/ -q 'red shoes' --jsonl --json products.jsonl",
     "by the cosine of an embedding model"},
    {0},
};

const cli_command cli_cmd_rerank = {
    .name = "rerank",
    .summary = "order documents by how well they answer a query",
    .description =
        "With a cross-encoder (a classifier with one label) each line of FILE or standard input is "
        "read together with the query; the score is the logistic function of what the classifier "
        "gives, or that itself where config.json names Identity. With an embedding model the score "
        "is the cosine of the vectors of query and document, with the model's prompts \"query\" "
        "and \"document\" (or \"passage\") if it has them: faster, less exact.",
    .operands = "MODEL [FILE]",
    .operands_min = 1,
    .operands_max = 2,
    .options = options,
    .examples = examples,
    .interruptible = true,
    .run = run,
};
