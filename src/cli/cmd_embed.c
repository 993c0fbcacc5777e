/* embed - texts to vectors. */
#include "cli/damage.h"
#include "cli/encoder_args.h"
#include "cli/npy.h"

#include "base/clock.h"
#include "base/mem.h"
#include "report/report.h"

#include <string.h>

enum { CHUNK = 1024 };

typedef struct embedding {
    const cli_context *c;
    cli_encoder x;
    hone_pooling pooling;
    bool normalize;
    size_t hidden, dimensions;
    hone_writer *writer; /* of the .npy file, or NULL */
    double tokenize_s, encode_s;
    size_t printed;
} embedding;

static size_t rows_of(const embedding *w, size_t i)
{
    return w->pooling == HONE_POOLING_NONE ? w->x.texts[i].n : 1;
}

static void print_vector(const embedding *w, const float *v)
{
    const char *between = cli_json(w->c) ? ", " : " ";
    for (size_t k = 0; k < w->dimensions; k++)
        printf("%s%.9g", k ? between : "", (double)v[k]);
}

/* Text i's rows as text or JSON. */
static void print_text(embedding *w, size_t i, const float *v)
{
    bool many = w->pooling == HONE_POOLING_NONE;
    if (cli_json(w->c))
        printf("%s\n    {\"index\": %zu, \"tokens\": %u, \"embedding\": %s",
               w->printed++ ? "," : "", i, w->x.texts[i].n, many ? "[" : "");
    for (size_t r = 0; r < rows_of(w, i); r++) {
        if (cli_json(w->c)) {
            fputs(r ? ", [" : "[", stdout);
            print_vector(w, v + r * w->dimensions);
            putchar(']');
        } else {
            print_vector(w, v + r * w->dimensions);
            putchar('\n');
        }
    }
    if (cli_json(w->c))
        printf("%s}", many ? "]" : "");
}

/* Cuts x[rows][hidden] to the first dimensions of each row, normalised if wanted. */
static hone_status shape(const embedding *w, float *x, size_t rows)
{
    for (size_t r = 0; r < rows; r++) {
        float *v = x + r * w->dimensions;
        memmove(v, x + r * w->hidden, w->dimensions * sizeof *v);
        if (w->normalize)
            hone_encode_normalize(v, w->dimensions);
    }
    return cli_check_numbers(cli_operand(w->c, 0), x, rows * w->dimensions);
}

static hone_status embed_chunk(embedding *w, size_t first, size_t n)
{
    size_t rows = 0, at = 0;
    for (size_t i = 0; i < n; i++)
        rows += rows_of(w, first + i);
    float *x = hone_malloc(rows * w->hidden * sizeof *x);
    if (!x)
        return hone_fail_memory(rows * w->hidden * sizeof *x, "vectors");
    double start = hone_clock_s();
    hone_status s =
        hone_engine_encode(w->x.engine, w->x.texts + first, n, w->pooling, NULL, NULL, x);
    w->encode_s += hone_clock_s() - start;
    if (s == HONE_OK)
        s = shape(w, x, rows);
    if (s == HONE_OK && w->writer)
        s = hone_writer_write(w->writer, x, rows * w->dimensions * sizeof *x);
    for (size_t i = 0; s == HONE_OK && !w->writer && i < n; i++) {
        print_text(w, first + i, x + at * w->dimensions);
        at += rows_of(w, first + i);
    }
    hone_free(x);
    return s;
}

static hone_status embed_all(embedding *w)
{
    for (size_t at = 0; at < w->x.n; at += CHUNK) {
        size_t n = w->x.n - at < CHUNK ? w->x.n - at : CHUNK;
        HONE_TRY(embed_chunk(w, at, n));
        cli_encoder_progress(NULL, at + n, w->x.n);
    }
    return HONE_OK;
}

static hone_status write_file(embedding *w, const char *path)
{
    size_t rows = 0;
    for (size_t i = 0; i < w->x.n; i++)
        rows += rows_of(w, i);
    HONE_TRY(hone_writer_open(path, &w->writer));
    hone_status s = cli_npy_header(w->writer, rows, w->dimensions);
    if (s == HONE_OK)
        s = embed_all(w);
    cli_progress_end();
    if (s == HONE_OK)
        s = hone_writer_commit(w->writer);
    else
        hone_writer_abort(w->writer);
    HONE_TRY(s);
    uint64_t tokens = 0;
    for (size_t i = 0; i < w->x.n; i++)
        tokens += w->x.texts[i].n;
    if (cli_json(w->c))
        return cli_print_json(json_pack(
            "{s:o, s:I, s:I, s:s, s:b, s:I, s:I, s:f, s:f, s:o}", "file", hone_report_text(path),
            "rows", (json_int_t)rows, "dimensions", (json_int_t)w->dimensions, "pooling",
            hone_pooling_name(w->pooling), "normalized", w->normalize, "texts", (json_int_t)w->x.n,
            "tokens", (json_int_t)tokens, "tokenize_s", w->tokenize_s, "encode_s", w->encode_s,
            "config", cli_config_json(w->x.engine)));
    printf("%s: float32 [%zu, %zu], pooling %s%s\n", path, rows, w->dimensions,
           hone_pooling_name(w->pooling), w->normalize ? ", length 1" : "");
    return HONE_OK;
}

static hone_status print_all(embedding *w)
{
    if (cli_json(w->c))
        printf("{\n  \"dimensions\": %zu, \"pooling\": \"%s\", \"normalized\": %s, \"data\": [",
               w->dimensions, hone_pooling_name(w->pooling), w->normalize ? "true" : "false");
    HONE_TRY(embed_all(w));
    cli_progress_end();
    if (cli_json(w->c))
        fputs("\n  ]\n}\n", stdout);
    return ferror(stdout) ? hone_fail(HONE_DISK, "cannot write to standard output") : HONE_OK;
}

/* Whether vectors are brought to length 1: as asked, as the model's files say, else yes unless
 * every token has its own. */
static hone_status choose_length(embedding *w)
{
    bool yes = cli_flag(w->c, "normalize"), no = cli_flag(w->c, "no-normalize");
    if (yes && no)
        return hone_fail(HONE_USAGE, "--normalize and --no-normalize contradict each other");
    w->normalize = yes                         ? true
                   : no                        ? false
                   : w->x.task.normalize_known ? w->x.task.normalize
                                               : w->pooling != HONE_POOLING_NONE;
    return HONE_OK;
}

static hone_status choose(embedding *w)
{
    const hone_task *t = &w->x.task;
    const char *wish = cli_text(w->c, "pooling"), *name = cli_text(w->c, "prompt-name");
    const char *prompt = cli_text(w->c, "prompt");
    HONE_TRY(cli_encoder_pooling(&w->x, wish ? wish : "", &w->pooling));
    HONE_TRY(choose_length(w));
    if (prompt && name)
        return hone_fail(HONE_USAGE, "give --prompt or --prompt-name");
    if (!prompt)
        prompt = t->default_prompt >= 0 ? t->prompts[t->default_prompt].text : "";
    if (name)
        HONE_TRY(cli_encoder_prompt(&w->x, name, &prompt));
    cli_text_list list;
    HONE_TRY(cli_read_texts(w->c, cli_operand(w->c, 1), false, &list));
    hone_status s = HONE_OK;
    double start = hone_clock_s();
    for (size_t i = 0; i < list.n && s == HONE_OK; i++) {
        list.items[i].pair = NULL;
        s = cli_encoder_add(w->c, &w->x, prompt, &list.items[i]);
    }
    w->tokenize_s = hone_clock_s() - start;
    cli_text_list_free(&list);
    return s;
}

static hone_status work(embedding *w)
{
    HONE_TRY(cli_encoder_open(w->c, cli_operand(w->c, 0), !cli_given(w->c, "pooling"), &w->x));
    HONE_TRY(choose(w));
    HONE_TRY(cli_encoder_start(w->c, cli_operand(w->c, 0), &w->x));
    w->hidden = hone_engine_facts(w->x.engine)->hidden;
    w->dimensions = cli_given(w->c, "dimensions") ? (size_t)cli_int(w->c, "dimensions") : w->hidden;
    if (w->dimensions > w->hidden)
        return hone_fail(HONE_USAGE, "--dimensions %zu: the model's vectors have %zu",
                         w->dimensions, w->hidden);
    const char *path = cli_text(w->c, "output");
    return path ? write_file(w, path) : print_all(w);
}

static hone_status run(cli_context *c)
{
    embedding w = {.c = c};
    hone_status s = work(&w);
    cli_encoder_close(&w.x);
    return s;
}

static const cli_option options[] = {
    CLI_TEXTS_OPTIONS,
    {.name = "output",
     .type = CLI_TEXT,
     .argument = "FILE",
     .letter = 'o',
     .help = "write a .npy file (float32 [texts, dimensions]) instead of printing"},
    {.name = "pooling",
     .type = CLI_TEXT,
     .argument = "NAME",
     .help =
         "none, mean, cls, last, max or pooler (default: what the model's files say, else mean; "
         "last for decoders)"},
    {.name = "normalize", .type = CLI_FLAG, .help = "vectors of length 1"},
    {.name = "no-normalize",
     .type = CLI_FLAG,
     .help = "vectors as they are (default: what modules.json says, else length 1)"},
    {.name = "dimensions",
     .type = CLI_INT,
     .argument = "N",
     .min = 1,
     .max = 1 << 17,
     .help = "keep the first N (for models trained so: Matryoshka)"},
    {.name = "prompt", .type = CLI_TEXT, .argument = "TEXT", .help = "put this before each text"},
    {.name = "prompt-name",
     .type = CLI_TEXT,
     .argument = "NAME",
     .help = "the prompt of this name in config_sentence_transformers.json (\"query\")"},
    CLI_ENCODER_OPTIONS,
    {0},
};

static const cli_example examples[] = {
    {"hone embed minilm/ --text 'a sentence' --text 'another one'", "two lines of numbers"},
    {"hone embed minilm/ sentences.txt -o vectors.npy", "a line, a row"},
    {"hone embed e5/ --prompt-name query --json <queries.txt", "with the model's prompt, as JSON"},
    {"hone embed bge.gguf --jsonl --truncate --dtype f32 docs.jsonl -o docs.npy",
     "long documents, cut; the reference arithmetic"},
    {0},
};

const cli_command cli_cmd_embed = {
    .name = "embed",
    .summary = "turn texts into vectors",
    .description =
        "Runs an encoder (BERT, RoBERTa, XLM-RoBERTa, ModernBERT, DeBERTa) or a decoder over each "
        "line of FILE or standard input and pools its last hidden states into one vector. Pooling, "
        "length and prompts are those of the model's files (sentence-transformers' modules.json, "
        "GGUF's pooling_type) unless options say otherwise. A text that is longer than the model "
        "takes is an error that names its line. Texts of like length share a step; a text's vector "
        "has the same bits in any company.",
    .operands = "MODEL [FILE]",
    .operands_min = 1,
    .operands_max = 2,
    .options = options,
    .examples = examples,
    .interruptible = true,
    .run = run,
};
