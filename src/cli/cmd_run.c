/* run - continues a prompt, printing the text as it comes. */
#include "base/clock.h"
#include "base/interrupt.h"
#include "base/io.h"
#include "base/mem.h"
#include "cli/chat_prompt.h"
#include "cli/cli.h"
#include "cli/damage.h"
#include "cli/engine_args.h"
#include "cli/read_text.h"
#include "cli/sampling_args.h"
#include "engine/sampler.h"
#include "text/tokenizer.h"

#include <string.h>

enum { PROMPT_BYTES_MAX = 64 << 20, PROMPT_STEP = 512 };

/* Everything of one answer. */
typedef struct answer {
    const cli_context *c;
    hone_engine *engine;
    hone_tokenizer *tokenizer;
    hone_session *session;
    hone_sampler *sampler;
    hone_detok *detok;
    float *logits;    /* [vocab] */
    int32_t *history; /* prompt, then answer */
    size_t prompt, length, room;
    char *text; /* the answer so far; the first `shown` bytes are printed */
    size_t text_bytes, text_room, shown;
    cli_chat_format format;         /* with --chat: how the answer ends */
    double begin_s, first_s, end_s; /* request, first token known, last token known */
    const char *stop;               /* why it ended */
} answer;

static hone_status read_prompt(const cli_context *c, const char **text, size_t *bytes, char **owned)
{
    *owned = NULL;
    if (cli_given(c, "prompt") && cli_given(c, "file"))
        return hone_fail(HONE_USAGE, "the prompt is --prompt or --file: give one of them");
    if (cli_given(c, "prompt")) {
        *text = cli_text(c, "prompt");
        *bytes = strlen(*text);
        return cli_check_text("the prompt", *text, bytes);
    }
    HONE_TRY(cli_read_text(cli_given(c, "file") ? cli_text(c, "file") : "-", PROMPT_BYTES_MAX,
                           owned, bytes));
    *text = *owned;
    return HONE_OK;
}

static hone_status add_history(answer *a, const int32_t *ids, size_t n)
{
    if (a->length + n > a->room) {
        size_t room = a->length + n + (size_t)cli_int(a->c, "tokens") + 1;
        int32_t *more = hone_reallocarray(a->history, room, sizeof *more);
        if (!more)
            return hone_fail_memory(room * sizeof *more, "the answer's tokens");
        a->history = more;
        a->room = room;
    }
    memcpy(a->history + a->length, ids, n * sizeof *ids);
    a->length += n;
    return HONE_OK;
}

static hone_status encode_prompt(answer *a, const char *text, size_t bytes)
{
    int32_t *ids;
    size_t n;
    unsigned flags = HONE_ENCODE_ADD_SPECIAL;
    if (cli_flag(a->c, "parse-special"))
        flags |= HONE_ENCODE_PARSE_SPECIAL;
    if (cli_flag(a->c, "chat"))
        HONE_TRY(cli_chat_encode_one(cli_operand(a->c, 0), a->tokenizer, text, bytes, &a->format,
                                     &ids, &n));
    else
        HONE_TRY(hone_tokenizer_encode(a->tokenizer, text, bytes, flags, &ids, &n));
    hone_status s = add_history(a, ids, n);
    hone_free(ids);
    HONE_TRY(s);
    a->prompt = n;
    uint32_t most = hone_engine_config(a->engine)->context_tokens;
    if (n == 0)
        return hone_fail(HONE_DATA, "the prompt is empty and this model begins no text by itself");
    if (n >= most)
        return hone_fail(HONE_LIMIT, "the prompt has %zu tokens, the context only %u: shorten it%s",
                         n, most, cli_given(a->c, "ctx") ? " or raise --ctx" : "");
    return HONE_OK;
}

/* Keeps a piece of the answer and prints what is certain, --json later; true in *stop when the text
 * that ends the answer has come (it is cut off). */
static hone_status emit(answer *a, const char *text, size_t bytes, bool last, bool *stop)
{
    HONE_TRY(cli_append(&a->text, &a->text_bytes, &a->text_room, text, bytes));
    const char *ends = cli_flag(a->c, "ignore-eos") ? NULL : a->format.stop;
    size_t end =
        a->shown + cli_chat_certain(a->text + a->shown, a->text_bytes - a->shown, ends, stop);
    if (*stop)
        a->text_bytes = end;
    if (last)
        end = a->text_bytes;
    a->text[a->text_bytes] = 0;
    size_t n = end - a->shown;
    if (!cli_json(a->c) && (fwrite(a->text + a->shown, 1, n, stdout) != n || fflush(stdout) != 0))
        return hone_fail(HONE_DISK, "cannot write to standard output");
    a->shown = end;
    return HONE_OK;
}

static hone_status feed_prompt(answer *a)
{
    for (size_t at = 0; at < a->prompt;) {
        HONE_TRY(hone_interrupt_check());
        size_t now = a->prompt - at < PROMPT_STEP ? a->prompt - at : PROMPT_STEP;
        hone_want want = at + now == a->prompt ? HONE_WANT_LAST : HONE_WANT_NONE;
        HONE_TRY(hone_session_feed(a->session, a->history + at, (uint32_t)now, want, a->logits));
        at += now;
    }
    return HONE_OK;
}

static bool is_end(const answer *a, int32_t token)
{
    return (token == a->format.end || hone_tokenizer_is_end(a->tokenizer, token)) &&
           !cli_flag(a->c, "ignore-eos");
}

/* Tokens until one ends the text, the number or the context is reached, or ctrl-C. */
static hone_status generate(answer *a)
{
    const char *text;
    size_t bytes;
    bool stop = false;
    size_t most = (size_t)cli_int(a->c, "tokens");
    uint32_t context = hone_engine_config(a->engine)->context_tokens;
    a->begin_s = hone_clock_s();
    HONE_TRY(feed_prompt(a));
    a->stop = "length";
    for (size_t i = 0; i < most; i++) {
        int32_t token;
        HONE_TRY(
            hone_sampler_pick(a->sampler, a->logits, a->history, a->length, a->length, &token));
        a->end_s = hone_clock_s();
        if (i == 0)
            a->first_s = a->end_s;
        HONE_TRY(add_history(a, &token, 1));
        if (is_end(a, token)) {
            a->stop = "end";
            break;
        }
        HONE_TRY(hone_detok_push(a->detok, token, &text, &bytes));
        HONE_TRY(emit(a, text, bytes, false, &stop));
        if (stop) {
            a->stop = "stop";
            return HONE_OK;
        }
        if (i + 1 == most)
            break;
        if (a->length > context) {
            a->stop = "context";
            break;
        }
        if (hone_interrupted()) {
            a->stop = "interrupted";
            break;
        }
        HONE_TRY(hone_session_feed(a->session, &token, 1, HONE_WANT_LAST, a->logits));
    }
    HONE_TRY(hone_detok_finish(a->detok, &text, &bytes));
    HONE_TRY(emit(a, text, bytes, true, &stop));
    if (stop)
        a->stop = "stop";
    return HONE_OK;
}

static double rate(size_t tokens, double seconds)
{
    return seconds > 0 ? (double)tokens / seconds : 0;
}

static hone_status report(const answer *a)
{
    size_t n = a->length - a->prompt;
    double ttft = n ? a->first_s - a->begin_s : 0;
    double prefill = rate(a->prompt, ttft);
    double decode = n > 1 ? rate(n - 1, a->end_s - a->first_s) : 0; /* 0: of one, none */
    if (cli_json(a->c)) {
        json_t *ids = json_array();
        for (size_t i = a->prompt; i < a->length; i++)
            json_array_append_new(ids, json_integer(a->history[i]));
        return cli_print_json(
            json_pack("{s:s, s:s, s:o, s:s, s:I, s:I, s:I, s:f, s:f, s:o, s:o}", "model",
                      cli_operand(a->c, 0), "text", a->text ? a->text : "", "ids", ids, "stop",
                      a->stop, "prompt_tokens", (json_int_t)a->prompt, "tokens", (json_int_t)n,
                      "seed", (json_int_t)cli_int(a->c, "seed"), "ttft_s", ttft, "prefill_tok_s",
                      prefill, "decode_tok_s", decode > 0 ? json_real(decode) : json_null(),
                      "config", cli_config_json(a->engine)));
    }
    char first[16], speed[32] = "";
    if (decode > 0)
        snprintf(speed, sizeof speed, ", %.1f tok/s", decode);
    putchar('\n');
    fflush(stdout);
    fprintf(stderr, "prompt %zu tokens, %.1f tok/s; first token after %s; %zu token%s%s%s\n",
            a->prompt, prefill, cli_format_seconds(ttft, first, sizeof first), n, n == 1 ? "" : "s",
            speed, strcmp(a->stop, "context") == 0 ? "; the context is full" : "");
    return HONE_OK;
}

static hone_status open_answer(answer *a)
{
    HONE_TRY(cli_open_sampler(a->c, hone_engine_facts(a->engine)->vocab, &a->sampler));
    /* The session is told how long it may get: longrope goes by that. */
    size_t context = hone_engine_config(a->engine)->context_tokens,
           limit = a->prompt + (size_t)cli_int(a->c, "tokens");
    HONE_TRY(hone_session_open_for(a->engine, (uint32_t)(limit < context ? limit : context),
                                   &a->session));
    HONE_TRY(hone_detok_open(a->tokenizer, HONE_DECODE_SKIP_SPECIAL, true, &a->detok));
    size_t bytes = hone_engine_facts(a->engine)->vocab * sizeof(float);
    a->logits = hone_malloc(bytes);
    return a->logits ? HONE_OK : hone_fail_memory(bytes, "logits");
}

static void close_answer(answer *a)
{
    hone_free(a->logits);
    hone_free(a->history);
    hone_free(a->text);
    hone_detok_close(a->detok);
    if (a->session)
        hone_session_close(a->session);
    hone_sampler_close(a->sampler);
    cli_close_engine(a->engine);
    hone_tokenizer_close(a->tokenizer);
}

static hone_status answer_prompt(answer *a, const char *text, size_t bytes)
{
    hone_config config;
    const char *model = cli_operand(a->c, 0);
    HONE_TRY(cli_model_config(a->c, model, &config));
    config.prefix_reuse = false; /* one session: what a window leaves behind is free again */
    if (cli_given(a->c, "ctx"))
        config.context_tokens = (uint32_t)cli_int(a->c, "ctx");
    HONE_TRY(hone_tokenizer_of_model(model, &a->tokenizer));
    HONE_TRY(cli_open_engine_cached(model, &config, &a->engine));
    HONE_TRY(encode_prompt(a, text, bytes));
    HONE_TRY(open_answer(a));
    hone_status s = generate(a);
    if (s != HONE_OK && a->length > a->prompt && !cli_json(a->c))
        putchar('\n'); /* the message stands on a line of its own */
    if (s == HONE_FORMAT)
        s = cli_name_damage(model, s);
    HONE_TRY(s);
    HONE_TRY(report(a));
    return hone_interrupt_check();
}

static hone_status run(cli_context *c)
{
    const char *text;
    size_t bytes;
    char *owned;
    HONE_TRY(read_prompt(c, &text, &bytes, &owned));
    answer a = {.c = c, .format.end = -1, .stop = ""};
    hone_status s = answer_prompt(&a, text, bytes);
    close_answer(&a);
    hone_free(owned);
    return s;
}

static const cli_option options[] = {
    {.name = "prompt",
     .type = CLI_TEXT,
     .argument = "PROMPT",
     .letter = 'p',
     .help = "text to continue (default: standard input)"},
    {.name = "file", .type = CLI_TEXT, .argument = "FILE", .letter = 'f', .help = "prompt file"},
    {.name = "tokens",
     .type = CLI_INT,
     .argument = "N",
     .letter = 'n',
     .fallback = "128",
     .min = 1,
     .max = 1 << 24,
     .help = "tokens at most"},
    CLI_SAMPLING_OPTIONS,
    {.name = "ctx",
     .type = CLI_INT,
     .argument = "C",
     .min = 1,
     .max = 1 << 24,
     .help = "longest context in tokens (default: the model's)"},
    {.name = "ignore-eos", .type = CLI_FLAG, .help = "go on after the end of the text"},
    {.name = "parse-special",
     .type = CLI_FLAG,
     .help = "special tokens written out in the prompt count as such"},
    {.name = "chat",
     .type = CLI_FLAG,
     .help = "the prompt is a user's message, put into the model's chat template"},
    CLI_PROMOTED_OPTIONS,
    {0},
};

static const cli_example examples[] = {
    {"hone run model.gguf -p \"Once upon a time\" -n 100", "continue a text"},
    {"hone run model.gguf -f prompt.txt --temperature 0.8 --top-p 0.95 --seed 7",
     "sample; the same seed gives the same text on every machine"},
    {0},
};

const cli_command cli_cmd_run = {
    .name = "run",
    .summary = "continue a prompt, printing the text as it comes",
    .description =
        "Encodes the prompt as the tokenizer prescribes (with --chat as a message in the model's "
        "chat template), continues "
        "it and prints the answer as it comes; speeds go to standard error. Filters apply in the "
        "order logit bias, penalties, temperature, top-k, top-p, min-p. ctrl-C ends the answer.\n\n"
        "With --json the answer is printed at the end, with its token ids and timings: ttft_s "
        "counts from the end of loading and encoding to the first token.",
    .operands = "MODEL",
    .operands_min = 1,
    .operands_max = 1,
    .options = options,
    .examples = examples,
    .interruptible = true,
    .run = run,
};
