/* chat - a conversation with a model, by its own chat template. */
#include "base/interrupt.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/chat_session.h"
#include "cli/damage.h"
#include "cli/engine_args.h"
#include "cli/line_reader.h"
#include "cli/sampling_args.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 256 << 20, JSON_DEPTH = 64, JSON_VALUES = 1 << 20 };

/* ---- answers ---- */

static hone_status report(const cli_chat *k)
{
    const cli_chat_stats *l = &k->last;
    if (cli_json(k->c)) {
        HONE_TRY(cli_print_json(json_pack(
            "{s:s%, s:s, s:I, s:I, s:I, s:f, s:f}", "text", k->text, k->text_bytes, "stop", l->stop,
            "prompt_tokens", (json_int_t)l->prompt, "reused_tokens", (json_int_t)l->reused,
            "tokens", (json_int_t)l->tokens, "prefill_s", l->prefill_s, "decode_s", l->decode_s)));
        return fflush(stdout) == 0 ? HONE_OK
                                   : hone_fail(HONE_DISK, "cannot write to standard output");
    }
    if (strcmp(l->stop, "interrupted") == 0)
        fprintf(stderr, "(stopped; the answer stays as it is: /regen makes another)\n");
    else if (strcmp(l->stop, "length") == 0 || strcmp(l->stop, "context") == 0)
        fprintf(stderr, "(cut: %s)\n",
                *l->stop == 'c' ? "the context is full, /reset forgets the conversation"
                                : "--tokens is reached");
    return HONE_OK;
}

/* The messages end with a user's; a failed answer takes it back, so that it can be said again. */
static hone_status answer(cli_chat *k)
{
    hone_status s = cli_chat_answer(k);
    if (s == HONE_OK)
        return report(k);
    cli_chat_drop(k, "user");
    return s;
}

static hone_status say(cli_chat *k, const char *line)
{
    HONE_TRY(cli_chat_say(k, "user", line, strlen(line)));
    return answer(k);
}

/* ---- commands of the conversation ---- */

typedef struct slash {
    const char *name, *argument, *help;
    hone_status (*run)(cli_chat *k, const char *argument);
} slash;

static hone_status do_help(cli_chat *k, const char *argument); /* behind the table */

static hone_status do_reset(cli_chat *k, const char *argument)
{
    (void)argument;
    cli_chat_reset(k);
    return HONE_OK;
}

static hone_status do_system(cli_chat *k, const char *argument)
{
    return cli_chat_set_system(k, argument);
}

static hone_status do_regen(cli_chat *k, const char *argument)
{
    (void)argument;
    if (!cli_chat_drop(k, "assistant"))
        return hone_fail(HONE_DATA, "there is no answer to make again");
    k->sampling.sample++;
    return answer(k);
}

static hone_status do_undo(cli_chat *k, const char *argument)
{
    (void)argument;
    bool said = cli_chat_drop(k, "assistant");
    if (!cli_chat_drop(k, "user") && !said)
        return hone_fail(HONE_DATA, "nothing was said yet");
    return HONE_OK;
}

static hone_status do_save(cli_chat *k, const char *argument)
{
    if (!*argument)
        return hone_fail(HONE_USAGE, "/save needs the name of a file");
    char *text = json_dumps(k->messages, JSON_INDENT(1));
    if (!text)
        return hone_fail_memory(4096, "the conversation");
    hone_status s = hone_write_file(argument, text, strlen(text));
    hone_free(text);
    return s;
}

static hone_status do_load(cli_chat *k, const char *argument)
{
    char *text;
    size_t n, i;
    json_t *messages, *m;
    if (!*argument)
        return hone_fail(HONE_USAGE, "/load needs the name of a file");
    HONE_TRY(hone_read_file(argument, FILE_BYTES_MAX, &text, &n));
    hone_status s = hone_json_parse(text, n, JSON_DEPTH, JSON_VALUES, argument, &messages);
    hone_free(text);
    HONE_TRY(s);
    bool fine = json_is_array(messages);
    json_array_foreach(messages, i, m)
    {
        fine = fine && json_is_string(json_object_get(m, "role"));
    }
    if (!fine) {
        json_decref(messages);
        return hone_fail(HONE_DATA, "%s is no JSON array of messages with roles", argument);
    }
    json_decref(k->messages);
    k->messages = messages;
    return HONE_OK;
}

static hone_status do_prompt(cli_chat *k, const char *argument)
{
    char *text;
    size_t n;
    (void)argument;
    HONE_TRY(cli_chat_text(k, &text, &n));
    fwrite(text, 1, n, stdout);
    putchar('\n');
    hone_free(text);
    return HONE_OK;
}

static hone_status do_stats(cli_chat *k, const char *argument)
{
    const cli_chat_stats *l = &k->last;
    uint64_t used, most;
    char a[16], b[16];
    (void)argument;
    hone_engine_kv_usage(k->engine, &used, &most);
    fprintf(stderr,
            "template: %s\nmessages: %zu; answers: %zu with %zu tokens\nlast prompt: %zu tokens, "
            "%zu of them already there; %.1f tok/s\nlast answer: %zu tokens, %.1f tok/s, ended by "
            "%s\ncontext: %zu of %u tokens; keys and values: %s of %s\n",
            k->format.source, json_array_size(k->messages), k->answers, k->all_tokens, l->prompt,
            l->reused, l->prefill_s > 0 ? (double)(l->prompt - l->reused) / l->prefill_s : 0,
            l->tokens, l->decode_s > 0 ? (double)l->tokens / l->decode_s : 0,
            l->stop && *l->stop ? l->stop : "nothing yet", k->n_fed,
            hone_engine_config(k->engine)->context_tokens,
            cli_format_bytes((double)used, a, sizeof a),
            cli_format_bytes((double)most, b, sizeof b));
    return HONE_OK;
}

static hone_status set_number(cli_chat *k, const char *name, double x)
{
    hone_sampling *o = &k->sampling;
    const struct {
        const char *name;
        double *real;
        uint32_t *whole;
    } rows[] = {{"temperature", &o->temperature, NULL},
                {"top-p", &o->top_p, NULL},
                {"min-p", &o->min_p, NULL},
                {"repetition-penalty", &o->repetition_penalty, NULL},
                {"frequency-penalty", &o->frequency_penalty, NULL},
                {"presence-penalty", &o->presence_penalty, NULL},
                {"top-k", NULL, &o->top_k},
                {"penalty-window", NULL, &o->penalty_window}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].name, name) != 0)
            continue;
        if (rows[i].whole && x != floor(x))
            return hone_fail(HONE_USAGE, "/set %s: %g is no whole number", name, x);
        if (rows[i].whole && !(x >= 0 && x <= INT32_MAX))
            return hone_fail(HONE_USAGE, "/set %s: %g is out of range", name, x);
        if (rows[i].whole)
            *rows[i].whole = (uint32_t)x;
        else
            *rows[i].real = x;
        return HONE_OK;
    }
    bool seed = strcmp(name, "seed") == 0, tokens = strcmp(name, "tokens") == 0;
    if ((seed || tokens) && x != floor(x))
        return hone_fail(HONE_USAGE, "/set %s: %g is no whole number", name, x);
    if (seed && x >= 0 && x < 0x1p53)
        o->seed = (uint64_t)x;
    else if (tokens && x >= 1 && x < 0x1p31)
        k->tokens_max = (int64_t)x;
    else
        return hone_fail(HONE_USAGE,
                         "/set knows temperature, top-k, top-p, min-p, repetition-penalty, "
                         "frequency-penalty, presence-penalty, penalty-window, seed and tokens");
    return HONE_OK;
}

static hone_status do_set(cli_chat *k, const char *argument)
{
    char name[64], left;
    double x;
    if (!*argument) {
        const hone_sampling *o = &k->sampling;
        fprintf(stderr,
                "temperature %g, top-k %u, top-p %g, min-p %g, repetition-penalty %g, "
                "frequency-penalty %g, presence-penalty %g, penalty-window %u, seed %llu, "
                "tokens %lld\n",
                o->temperature, o->top_k, o->top_p, o->min_p, o->repetition_penalty,
                o->frequency_penalty, o->presence_penalty, o->penalty_window,
                (unsigned long long)o->seed, (long long)k->tokens_max);
        return HONE_OK;
    }
    if (sscanf(argument, "%63s %lf %c", name, &x, &left) != 2)
        return hone_fail(HONE_USAGE, "/set NAME NUMBER, as /set temperature 0.7");
    hone_sampling before = k->sampling;
    hone_sampler *check;
    HONE_TRY(set_number(k, name, x));
    hone_status s = hone_sampler_open(&k->sampling, hone_engine_facts(k->engine)->vocab, &check);
    if (s != HONE_OK)
        k->sampling = before;
    else
        hone_sampler_close(check);
    return s;
}

static const slash commands[] = {
    {"help", "", "this list", do_help},
    {"exit", "", "ends the conversation (so does ctrl-D)", NULL},
    {"quit", "", "the same", NULL},
    {"reset", "", "forgets the conversation, but for the system's message", do_reset},
    {"system", "TEXT", "sets the system's message; without TEXT takes it away", do_system},
    {"regen", "", "answers the last message again, with other random numbers", do_regen},
    {"undo", "", "takes back the last message and its answer", do_undo},
    {"save", "FILE", "writes the messages as JSON", do_save},
    {"load", "FILE", "goes on with messages that were saved", do_load},
    {"set", "[NAME NUMBER]", "temperature, top-k, top-p, min-p, seed, tokens...", do_set},
    {"prompt", "", "prints the text that the template makes of the conversation", do_prompt},
    {"stats", "", "speeds, tokens, memory", do_stats},
};
static const size_t command_count = sizeof commands / sizeof *commands;

static hone_status do_help(cli_chat *k, const char *argument)
{
    (void)k;
    (void)argument;
    for (size_t i = 0; i < command_count; i++)
        fprintf(stderr, "/%s %-*s %s\n", commands[i].name, (int)(22 - strlen(commands[i].name)),
                commands[i].argument, commands[i].help);
    fprintf(stderr, "ctrl-C stops an answer; a line that ends in \\ goes on in the next\n");
    return HONE_OK;
}

/* "/name argument"; *end: the conversation is over. */
static hone_status run_slash(cli_chat *k, const char *line, bool *end)
{
    size_t n = strcspn(line + 1, " \t");
    const char *argument = line + 1 + n;
    argument += strspn(argument, " \t");
    for (size_t i = 0; i < command_count; i++) {
        if (strlen(commands[i].name) != n || memcmp(commands[i].name, line + 1, n) != 0)
            continue;
        *end = commands[i].run == NULL;
        return *end ? HONE_OK : commands[i].run(k, argument);
    }
    return hone_fail(HONE_USAGE, "there is no command /%.*s; /help lists them", (int)n, line + 1);
}

/* ---- the loop ---- */

/* A failure ends one exchange, not the conversation; the first one is the exit code of a pipe. */
static hone_status converse(cli_chat *k, cli_lines *lines)
{
    hone_status first = HONE_OK;
    char why[512] = "";
    for (bool end = false; !end;) {
        const char *line;
        size_t n;
        HONE_TRY(cli_lines_next(lines, &line, &n));
        if (!line)
            break;
        if (n == strspn(line, " \t\n"))
            continue;
        hone_status s = strlen(line) != n
                            ? hone_fail(HONE_DATA, "a line with a NUL byte is no text")
                        : *line == '/' ? run_slash(k, line, &end)
                                       : say(k, line);
        if (s == HONE_INTERRUPTED || s == HONE_DISK)
            return s;
        if (s == HONE_OK)
            continue;
        if (cli_lines_interactive(lines)) {
            fprintf(stderr, "%s\n", hone_error());
            continue;
        }
        if (first != HONE_OK)
            fprintf(stderr, "hone: %s\n", hone_error());
        else
            snprintf(why, sizeof why, "%s", hone_error());
        first = first == HONE_OK ? s : first;
    }
    return first == HONE_OK ? HONE_OK : hone_fail(first, "%s", why);
}

/* $XDG_STATE_HOME/hone/chat_history, or in ~/.local/state; NULL: nowhere. */
static char *history_path(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char folder[4096];
    int n = state && *state ? snprintf(folder, sizeof folder, "%s/hone", state)
            : home && *home ? snprintf(folder, sizeof folder, "%s/.local/state/hone", home)
                            : -1;
    if (n < 0 || n >= (int)sizeof folder || hone_make_directory(folder) != HONE_OK)
        return NULL;
    return hone_path_join(folder, "chat_history");
}

static hone_status run(cli_context *c)
{
    cli_chat k;
    cli_lines *lines;
    HONE_TRY(cli_chat_begin(c, &k));
    char *history = cli_flag(c, "no-history") ? NULL : history_path();
    hone_status s = cli_lines_open("> ", history, &lines);
    hone_free(history);
    if (s == HONE_OK) {
        if (cli_lines_interactive(lines))
            fprintf(stderr, "/help lists the commands; ctrl-D ends the conversation\n");
        s = converse(&k, lines);
        cli_lines_close(lines);
        if (s == HONE_FORMAT)
            s = cli_name_damage(cli_operand(c, 0), s);
    }
    cli_chat_close(&k);
    return s;
}

static const cli_option options[] = {
    {.name = "system", .type = CLI_TEXT, .argument = "TEXT", .help = "the system's message"},
    {.name = "template",
     .type = CLI_TEXT,
     .argument = "FILE",
     .help = "chat template (Jinja) to use instead of the model's"},
    {.name = "tools",
     .type = CLI_TEXT,
     .argument = "FILE",
     .help = "JSON array of tools that the template shows to the model"},
    {.name = "var",
     .type = CLI_TEXTS,
     .argument = "NAME=VALUE",
     .help = "a variable of the template, as enable_thinking=false; may be repeated"},
    {.name = "tokens",
     .type = CLI_INT,
     .argument = "N",
     .letter = 'n',
     .fallback = "1024",
     .min = 1,
     .max = 1 << 24,
     .help = "tokens of an answer at most"},
    {.name = "stop",
     .type = CLI_TEXTS,
     .argument = "TEXT",
     .help = "a text that ends an answer; may be repeated"},
    CLI_SAMPLING_OPTIONS,
    {.name = "ctx",
     .type = CLI_INT,
     .argument = "C",
     .min = 1,
     .max = 1 << 24,
     .help = "longest context in tokens (default: the model's)"},
    {.name = "no-history", .type = CLI_FLAG, .help = "keep no file of the lines typed"},
    CLI_PROMOTED_OPTIONS,
    {0},
};

static const cli_example examples[] = {
    {"hone chat model.gguf --system 'Be brief.' --temperature 0.7", "talk with a model"},
    {"printf 'Hello\\n/prompt\\n' | hone chat model/", "one answer, and the text behind it"},
    {"hone chat qwen3/ --var enable_thinking=false --tools tools.json",
     "variables and tools of the template"},
    {0},
};

const cli_command cli_cmd_chat = {
    .name = "chat",
    .summary = "talk with a model",
    .description =
        "Puts what is said into the model's own chat template and prints the answers as they "
        "come. Only what is new is computed in later turns. Lines that begin with / are commands; "
        "/help lists them. ctrl-C stops an answer and not the program. On a terminal lines can be "
        "edited and recalled, also later (~/.local/state/hone/chat_history); from a pipe each "
        "line is a message.\n\n"
        "A model without a template gets ChatML if its vocabulary has its tokens, else plain "
        "\"User:\" and \"Assistant:\", which is said on standard error. With --json each answer is "
        "a JSON object with its token counts.",
    .operands = "MODEL",
    .operands_min = 1,
    .operands_max = 1,
    .options = options,
    .examples = examples,
    .interruptible = true,
    .run = run,
};
