/* compare - models, configurations or earlier measurements side by side; one model in many formats.
 */
#include "cli/bench_versus.h"
#include "cli/compare_formats.h"
#include "cli/compare_live.h"
#include "cli/compare_stored.h"
#include "cli/compare_text.h"

#include "base/io.h"
#include "base/mem.h"
#include "store/fingerprint.h"

#include <string.h>
#include <unistd.h>

static hone_status write_page(const hone_compare *page, const char *path)
{
    char *html;
    size_t bytes;
    HONE_TRY(hone_compare_html(page, &html, &bytes));
    hone_status s = hone_write_file(path, html, bytes);
    hone_free(html);
    if (s == HONE_OK)
        fprintf(stderr, "%s: written\n", path);
    return s;
}

static hone_status show(const cli_context *c, hone_compare *page)
{
    char *environment = NULL, key[HONE_DIGEST_BYTES];
    HONE_TRY(hone_compare_configs(page));
    hone_status s = HONE_OK;
    if (cli_given(c, "html")) {
        s = hone_fingerprint_take(&environment, key);
        page->environment = environment;
        if (s == HONE_OK)
            s = write_page(page, cli_text(c, "html"));
    }
    if (s == HONE_OK)
        s = cli_json(c) ? cli_print_json(hone_compare_json(page)) : cli_print_compare(page);
    hone_free(environment);
    return s;
}

/* ---- what is compared ------------------------------------------------------------------------ */

static hone_status compare_stored(const cli_context *c, hone_compare *page)
{
    for (int i = 0; i < cli_operands(c); i++)
        HONE_TRY(compare_add_stored(c, cli_operand(c, i), page));
    compare_stored_finish(page);
    return HONE_OK;
}

/* The shortest end of the path that tells the sides apart. */
static const char *label_of(const cli_context *c, int i)
{
    const char *path = cli_operand(c, i), *slash = strrchr(path, '/');
    if (*path == '{' || !slash || !slash[1])
        return path;
    for (int k = 0; k < cli_operands(c); k++) {
        const char *other = strrchr(cli_operand(c, k), '/');
        if (k != i && strcmp(other ? other : cli_operand(c, k), slash) == 0)
            return path;
    }
    return slash + 1;
}

static hone_status add_operands(const cli_context *c, compare_live *l)
{
    const char *first = cli_operand(c, 0);
    hone_config base, config;
    HONE_TRY(cli_model_config(c, first, &base));
    HONE_TRY(compare_live_add(l, label_of(c, 0), first, &base, ""));
    for (int i = 1; i < cli_operands(c); i++) {
        bool model;
        HONE_TRY(bench_other(cli_operand(c, i), &base, &model, &config));
        if (model)
            HONE_TRY(cli_model_config(c, cli_operand(c, i), &config));
        HONE_TRY(
            compare_live_add(l, label_of(c, i), model ? cli_operand(c, i) : first, &config, ""));
    }
    return HONE_OK;
}

static hone_status compare_now(const cli_context *c, compare_live *l, hone_compare *page)
{
    const char *formats = cli_text(c, "formats");
    size_t n = (size_t)cli_operands(c);
    hone_config config;
    if (formats)
        HONE_TRY(compare_formats_count(formats, &n));
    HONE_TRY(compare_live_open(l, c, n, page));
    if (formats) {
        HONE_TRY(cli_engine_config(c, &config));
        page->reference = l->data.text ? "the model as filed, in float32" : "";
        HONE_TRY(compare_formats(l, cli_operand(c, 0), formats, &config));
    } else {
        page->reference = l->data.text ? label_of(c, 0) : "";
        HONE_TRY(add_operands(c, l));
    }
    page->in_turns = true;
    return compare_live_finish(l);
}

static hone_status check_operands(const cli_context *c, bool *stored)
{
    int known = 0, n = cli_operands(c);
    for (int i = 0; i < n; i++)
        known += compare_is_stored(cli_operand(c, i));
    *stored = known > 0;
    if (cli_text(c, "html"))
        HONE_TRY(hone_check_output(cli_text(c, "html")));
    if (cli_text(c, "formats"))
        return n == 1 ? HONE_OK : hone_fail(HONE_USAGE, "--formats takes one model");
    if (cli_text(c, "keep"))
        return hone_fail(HONE_USAGE, "--keep keeps the files that --formats writes: give both");
    if (n < 2)
        return hone_fail(HONE_USAGE, "compare %s with what? Give a second one, or --formats",
                         cli_operand(c, 0));
    if (known > 0 && known < n)
        return hone_fail(HONE_USAGE, "earlier measurements (runs, JSON of hone bench) are compared "
                                     "with each other only, not with a model");
    return HONE_OK;
}

static hone_status run(cli_context *c)
{
    hone_compare *page = hone_calloc(1, sizeof *page);
    compare_live l = {0};
    bool stored = false;
    if (!page)
        return hone_fail_memory(sizeof *page, "a comparison");
    page->title = cli_operand(c, 0);
    page->data = page->protocol = page->reference = "";
    page->margin = cli_number(c, "margin");
    page->sides = hone_calloc(HONE_COMPARE_SIDES, sizeof *page->sides);
    hone_status s =
        page->sides ? check_operands(c, &stored) : hone_fail_memory(sizeof *page->sides, "sides");
    if (s == HONE_OK)
        s = stored ? compare_stored(c, page) : compare_now(c, &l, page);
    cli_progress_end();
    if (s == HONE_OK)
        s = show(c, page);
    compare_live_close(&l);
    for (size_t i = 0; page->sides && i < page->n_sides; i++) {
        hone_free(page->sides[i].path);
        hone_free(page->sides[i].config);
    }
    hone_free(page->sides);
    hone_free(page);
    return s;
}

static const cli_option options[] = {
    {.name = "formats",
     .type = CLI_TEXT,
     .argument = "LIST",
     .help = "one model in many formats: standard, all, or names (q8_0,q4_k_m,gptq-4bit-g128)"},
    {.name = "data",
     .type = CLI_TEXT,
     .argument = "TEXT",
     .help = "a text to judge quality on: perplexity, divergence from the first side"},
    {.name = "ctx",
     .type = CLI_INT,
     .argument = "C",
     .min = 2,
     .max = 1 << 20,
     .help = "tokens in a window of the text (default: 512 or the model's context)"},
    {.name = "max-tokens",
     .type = CLI_INT,
     .argument = "N",
     .fallback = "0",
     .min = 0,
     .max = INT32_MAX,
     .help = "use only the first N tokens of the text (0: all)"},
    BENCH_TEST_OPTIONS,
    {.name = "rounds",
     .type = CLI_INT,
     .argument = "N",
     .min = 10,
     .max = HONE_VERSUS_ROUNDS_MAX,
     .help = "rounds at most, fewer when the answer is clear before (default: 53; of more than two "
             "sides 15)"},
    {.name = "margin",
     .type = CLI_PERCENT,
     .argument = "PERCENT",
     .fallback = "1%",
     .min = 0.0001,
     .max = 1,
     .help = "differences in speed below it do not matter"},
    {.name = "memory",
     .type = CLI_BYTES,
     .argument = "BYTES",
     .help = "weights that may be open at once (default: half of the machine's memory, or of "
             "its container's)"},
    {.name = "keep",
     .type = CLI_TEXT,
     .argument = "FOLDER",
     .help = "with --formats: keep the files written there, and use those that are there"},
    {.name = "html",
     .type = CLI_TEXT,
     .argument = "FILE",
     .help = "also write one self-contained page with plots"},
    CLI_PROMOTED_OPTIONS,
    {0},
};

static const cli_example examples[] = {
    {"hone compare llama-q8_0.gguf llama-q4_k_m.gguf --data text.txt", "two models, quality too"},
    {"hone compare model.gguf '{\"threads\": 1}'", "two configurations of one model"},
    {"hone compare model/ --formats standard --data text.txt --html formats.html",
     "the quantisation benchmark"},
    {"hone compare 3 5", "two runs of optimize"},
    {"hone compare before.json after.json", "two outputs of hone bench --json"},
    {0},
};

const cli_command cli_cmd_compare = {
    .name = "compare",
    .summary = "show models, configurations, formats or earlier measurements side by side",
    .description =
        "Models (and configurations: JSON that changes the first side's) are opened, weighed, "
        "judged on the text of --data, and timed in turns; the first one is what the others are "
        "held against. Speeds come with what may be claimed of them: what the noise hides is not "
        "(docs/measurement.md). Runs of the registry and benchmarks stored as JSON are laid beside "
        "each other as they are.\n\n"
        "With --formats it is the quantisation benchmark: the model is written in every format of "
        "the list, one file at a time in $TMPDIR (or --keep FOLDER, which an interrupted run takes "
        "up again), and its divergence is from the model as filed, in float32. int8-channel and "
        "gptq-* are rounded to nearest, without a text to calibrate with.",
    .operands = "A [B]...",
    .operands_min = 1,
    .operands_max = 16,
    .models = true,
    .options = options,
    .examples = examples,
    .interruptible = true,
    .run = run,
};
