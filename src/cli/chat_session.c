#include "cli/chat_session.h"

#include "base/clock.h"
#include "base/interrupt.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/engine_args.h"
#include "cli/sampling_args.h"

#include <string.h>

enum { PROMPT_STEP = 512, JSON_BYTES_MAX = 64 << 20, JSON_DEPTH = 64, JSON_VALUES = 1 << 20 };

/* ---- opening ---- */

static hone_status read_tools(const char *path, json_t **out)
{
    char *text;
    size_t n;
    HONE_TRY(hone_read_file(path, JSON_BYTES_MAX, &text, &n));
    hone_status s = hone_json_parse(text, n, JSON_DEPTH, JSON_VALUES, path, out);
    hone_free(text);
    if (s == HONE_OK && !json_is_array(*out))
        s = hone_fail(HONE_DATA, "%s is no JSON array of tools", path);
    return s;
}

/* NAME=JSON; what is no JSON is a text. */
static hone_status read_variable(json_t *variables, const char *text)
{
    const char *equal = strchr(text, '=');
    json_t *value;
    char name[128];
    if (!equal || equal == text || equal - text >= (ptrdiff_t)sizeof name)
        return hone_fail(HONE_USAGE, "--var %s: give NAME=VALUE, as enable_thinking=false", text);
    snprintf(name, sizeof name, "%.*s", (int)(equal - text), text);
    value = json_loads(equal + 1, JSON_DECODE_ANY, NULL);
    if (!value)
        value = json_string(equal + 1);
    if (json_object_set_new(variables, name, value) != 0)
        return hone_fail(HONE_USAGE, "--var %s: no valid text", text);
    return HONE_OK;
}

static hone_status read_conversation(cli_chat *k)
{
    const cli_context *c = k->c;
    size_t n;
    const char *const *variables = cli_texts(c, "var", &n);
    hone_json_use_memory();
    k->messages = json_array();
    k->variables = json_object();
    if (!k->messages || !k->variables)
        return hone_fail_memory(64, "a conversation");
    for (size_t i = 0; i < n; i++)
        HONE_TRY(read_variable(k->variables, variables[i]));
    if (cli_given(c, "tools"))
        HONE_TRY(read_tools(cli_text(c, "tools"), &k->tools));
    return cli_given(c, "system") ? cli_chat_set_system(k, cli_text(c, "system")) : HONE_OK;
}

static hone_status open_all(cli_chat *k)
{
    const cli_context *c = k->c;
    const char *model = cli_operand(c, 0);
    hone_config config;
    HONE_TRY(cli_sampling(c, &k->sampling, &k->bias));
    HONE_TRY(read_conversation(k));
    HONE_TRY(cli_model_config(c, model, &config));
    if (cli_given(c, "ctx"))
        config.context_tokens = (uint32_t)cli_int(c, "ctx");
    HONE_TRY(hone_tokenizer_of_model(model, &k->tokenizer));
    HONE_TRY(cli_chat_open(model, k->tokenizer, cli_text(c, "template"), &k->format));
    HONE_TRY(cli_open_engine_cached(model, &config, &k->engine));
    HONE_TRY(hone_session_open(k->engine, &k->session));
    HONE_TRY(hone_detok_open(k->tokenizer, HONE_DECODE_SKIP_SPECIAL, true, &k->detok));
    size_t bytes = hone_engine_facts(k->engine)->vocab * sizeof(float);
    k->logits = hone_malloc(bytes);
    return k->logits ? HONE_OK : hone_fail_memory(bytes, "logits");
}

hone_status cli_chat_begin(const cli_context *c, cli_chat *k)
{
    *k = (cli_chat){.c = c, .tokens_max = cli_int(c, "tokens"), .quiet = cli_json(c)};
    hone_status s = open_all(k);
    if (s != HONE_OK)
        cli_chat_close(k);
    return s;
}

void cli_chat_close(cli_chat *k)
{
    hone_free(k->logits);
    hone_free(k->fed);
    hone_free(k->text);
    hone_free(k->bias);
    hone_detok_close(k->detok);
    if (k->session)
        hone_session_close(k->session);
    cli_close_engine(k->engine);
    hone_chat_template_close(k->format.template);
    hone_tokenizer_close(k->tokenizer);
    json_decref(k->messages);
    json_decref(k->tools);
    json_decref(k->variables);
    *k = (cli_chat){0};
}

/* ---- messages ---- */

static const char *role_of(const json_t *message)
{
    const char *role = json_string_value(json_object_get(message, "role"));
    return role ? role : "";
}

hone_status cli_chat_say(cli_chat *k, const char *role, const char *text, size_t bytes)
{
    json_t *message = json_pack("{s:s, s:s%}", "role", role, "content", text, bytes);
    if (!message)
        return hone_fail(HONE_DATA, "the message is no valid UTF-8");
    if (json_array_append_new(k->messages, message) != 0)
        return hone_fail_memory(bytes, "a message");
    return HONE_OK;
}

static bool has_system(const cli_chat *k)
{
    return strcmp(role_of(json_array_get(k->messages, 0)), "system") == 0;
}

void cli_chat_reset(cli_chat *k)
{
    size_t keep = has_system(k);
    while (json_array_size(k->messages) > keep)
        json_array_remove(k->messages, keep);
}

hone_status cli_chat_set_system(cli_chat *k, const char *text)
{
    json_t *message = json_pack("{s:s, s:s}", "role", "system", "content", text);
    if (!message)
        return hone_fail(HONE_DATA, "the system's message is no valid UTF-8");
    if (has_system(k))
        json_array_remove(k->messages, 0);
    if (*text && json_array_insert(k->messages, 0, message) != 0) {
        json_decref(message);
        return hone_fail_memory(strlen(text), "a message");
    }
    json_decref(message);
    return HONE_OK;
}

bool cli_chat_drop(cli_chat *k, const char *role)
{
    size_t n = json_array_size(k->messages);
    if (n == 0 || strcmp(role_of(json_array_get(k->messages, n - 1)), role) != 0)
        return false;
    json_array_remove(k->messages, n - 1);
    return true;
}

static hone_chat_request request_of(const cli_chat *k)
{
    return (hone_chat_request){.messages = k->messages,
                               .tools = k->tools,
                               .variables = k->variables,
                               .add_generation_prompt = true};
}

hone_status cli_chat_text(const cli_chat *k, char **text, size_t *bytes)
{
    hone_chat_request request = request_of(k);
    return hone_chat_template_render(k->format.template, &request, text, bytes);
}

/* ---- tokens ---- */

static hone_status feed(cli_chat *k, const int32_t *ids, size_t n, hone_want want)
{
    if (k->n_fed + n > k->room) {
        size_t room = 2 * (k->n_fed + n) + 256;
        int32_t *more = hone_reallocarray(k->fed, room, sizeof *more);
        if (!more)
            return hone_fail_memory(room * sizeof *more, "the conversation's tokens");
        k->fed = more;
        k->room = room;
    }
    HONE_TRY(hone_session_feed(k->session, ids, (uint32_t)n, want, k->logits));
    memcpy(k->fed + k->n_fed, ids, n * sizeof *ids);
    k->n_fed += n;
    return HONE_OK;
}

/* Cuts the session back to what it shares with the prompt, or further (engine.h: a window's pages
 * may be gone), and computes the rest. */
static hone_status feed_prompt(cli_chat *k, const int32_t *ids, size_t n)
{
    uint32_t most = hone_engine_config(k->engine)->context_tokens;
    if (n == 0)
        return hone_fail(HONE_DATA, "the template makes an empty text of this conversation");
    if (n >= most)
        return hone_fail(HONE_LIMIT,
                         "the conversation has %zu tokens, the context only %u: /reset forgets it, "
                         "--ctx raises the context",
                         n, most);
    size_t same = 0;
    while (same < n - 1 && same < k->n_fed && ids[same] == k->fed[same])
        same++;
    hone_session_truncate(k->session, (uint32_t)same);
    same = k->n_fed = hone_session_length(k->session);
    k->last.prompt = n;
    k->last.reused = same;
    for (size_t at = same; at < n && !hone_interrupted();) {
        size_t now = n - at < PROMPT_STEP ? n - at : PROMPT_STEP;
        HONE_TRY(feed(k, ids + at, now, at + now == n ? HONE_WANT_LAST : HONE_WANT_NONE));
        at += now;
    }
    return HONE_OK;
}

/* ---- the answer's text ---- */

static hone_status add_text(cli_chat *k, const char *text, size_t n)
{
    return cli_append(&k->text, &k->text_bytes, &k->text_room, text, n);
}

static hone_status show(cli_chat *k, size_t end)
{
    size_t n = end > k->shown ? end - k->shown : 0;
    if (!k->quiet && n && (fwrite(k->text + k->shown, 1, n, stdout) != n || fflush(stdout) != 0))
        return hone_fail(HONE_DISK, "cannot write to standard output");
    k->shown += n;
    return HONE_OK;
}

static const char *stop_text(const cli_chat *k, size_t i)
{
    size_t n;
    const char *const *texts = cli_texts(k->c, "stop", &n);
    return i < n ? texts[i] : i == n ? k->format.stop : NULL;
}

/* Prints what is certain; true in *stop when a text to stop at has come (it is cut off). */
static hone_status show_answer(cli_chat *k, bool last, bool *stop)
{
    size_t certain = k->text_bytes;
    const char *text;
    *stop = false;
    for (size_t i = 0; (text = stop_text(k, i)) != NULL; i++) {
        bool found;
        size_t end =
            k->shown + cli_chat_certain(k->text + k->shown, k->text_bytes - k->shown, text, &found);
        if (end < certain)
            certain = end;
        if (found) {
            k->text_bytes = end;
            k->text[end] = 0;
            *stop = true;
        }
    }
    return show(k, last || *stop ? k->text_bytes : certain);
}

/* ---- generation ---- */

static hone_status generate(cli_chat *k, hone_sampler *sampler)
{
    uint32_t context = hone_engine_config(k->engine)->context_tokens;
    const char *text;
    size_t bytes;
    bool stop;
    k->last.stop = "length";
    while ((int64_t)k->last.tokens < k->tokens_max) {
        int32_t token;
        if (hone_interrupted()) {
            k->last.stop = "interrupted";
            break;
        }
        HONE_TRY(hone_sampler_pick(sampler, k->logits, k->fed, k->n_fed, k->n_fed, &token));
        k->last.tokens++;
        if (token == k->format.end || hone_tokenizer_is_end(k->tokenizer, token)) {
            k->last.stop = "end";
            break;
        }
        HONE_TRY(hone_detok_push(k->detok, token, &text, &bytes));
        HONE_TRY(add_text(k, text, bytes));
        HONE_TRY(show_answer(k, false, &stop));
        if (stop || k->n_fed + 1 >= context) {
            k->last.stop = stop ? "stop" : "context";
            break;
        }
        HONE_TRY(feed(k, &token, 1, HONE_WANT_LAST));
    }
    HONE_TRY(hone_detok_finish(k->detok, &text, &bytes));
    if (strcmp(k->last.stop, "stop") == 0)
        return HONE_OK;
    HONE_TRY(add_text(k, text, bytes));
    HONE_TRY(show_answer(k, true, &stop));
    if (stop)
        k->last.stop = "stop";
    return HONE_OK;
}

static hone_status answer(cli_chat *k, hone_sampler *sampler)
{
    int32_t *ids;
    size_t n;
    hone_chat_request request = request_of(k);
    HONE_TRY(cli_chat_encode(&k->format, k->tokenizer, &request, &ids, &n));
    double begin = hone_clock_s();
    hone_status s = feed_prompt(k, ids, n);
    hone_free(ids);
    HONE_TRY(s);
    double first = hone_clock_s();
    HONE_TRY(generate(k, sampler));
    k->last.prefill_s = first - begin;
    k->last.decode_s = hone_clock_s() - first;
    return HONE_OK;
}

hone_status cli_chat_answer(cli_chat *k)
{
    hone_sampler *sampler;
    HONE_TRY(hone_sampler_open(&k->sampling, hone_engine_facts(k->engine)->vocab, &sampler));
    k->text_bytes = k->shown = 0;
    k->last = (cli_chat_stats){.stop = ""};
    hone_status s = add_text(k, "", 0);
    if (s == HONE_OK)
        s = answer(k, sampler);
    hone_sampler_close(sampler);
    if (!k->quiet && k->shown)
        putchar('\n');
    HONE_TRY(hone_interrupt_clear());
    HONE_TRY(s);
    k->answers++;
    k->all_tokens += k->last.tokens;
    return cli_chat_say(k, "assistant", k->text, k->text_bytes);
}
