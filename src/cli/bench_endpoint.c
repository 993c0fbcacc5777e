#include "base/clock.h"
#include "base/hone_commit.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cli/bench_side.h"
#include "file/address.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ANSWER_BYTES_MAX = 4 << 20, CONNECT_S = 20, STALL_S = 600, LONG_S = 3 };

/* One answer as it comes. */
typedef struct answer {
    CURL *easy;
    char *text; /* what has come and is not read yet; all of it unless streamed */
    size_t bytes, room;
    bool stream, endless; /* endless: more events came than tokens were asked for */
    bool whole;           /* it said that it was at its end */
    char error[160];      /* that an event told of; "" = none */
    CURLcode code;
    size_t events, tokens; /* tokens: as "usage" has them, 0 = it said nothing */
    double *at;            /* when each event came: [events_max] */
    size_t events_max;
} answer;

typedef struct endpoint {
    char base[512], model[256]; /* "http://host:port/v1" */
    struct curl_slist *headers;
    CURLM *multi;
    answer *answers; /* [batch_max] */
    size_t n;
    uint32_t vocab;
    uint64_t seed, asked; /* requests so far: each has tokens of its own, in each process others */
} endpoint;

/* ---- what comes ----------------------------------------------------------------------------- */

static bool grow(answer *a, size_t more)
{
    if (a->bytes + more + 1 > ANSWER_BYTES_MAX)
        return false;
    if (a->bytes + more + 1 > a->room) {
        size_t room = 2 * (a->bytes + more + 1);
        char *text = hone_realloc(a->text, room);
        if (!text)
            return false;
        a->text = text;
        a->room = room;
    }
    return true;
}

/* What a server said, for a terminal */
static const char *plainly(char *text)
{
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = ' ';
    return text;
}

/* "error": a text, or an object with a message */
static void read_error(answer *a, const json_t *error)
{
    const json_t *message = json_object_get(error, "message");
    const char *text = json_string_value(message ? message : error);
    if (error && !json_is_null(error))
        snprintf(a->error, sizeof a->error, "%s", text && *text ? text : "it does not say which");
    plainly(a->error);
}

/* A line of server-sent events: "data: {...}" with a choice is a token, or some. */
static void read_event(answer *a, const char *line, size_t n)
{
    json_t *o = NULL;
    if (n >= 12 && strncmp(line, "data: [DONE]", 12) == 0)
        a->whole = true;
    if (n < 6 || strncmp(line, "data:", 5) != 0 ||
        hone_json_parse(line + 5, n - 5, 32, 100000, "an event", &o) != HONE_OK)
        return; /* [DONE], comments */
    read_error(a, json_object_get(o, "error"));
    const json_t *choice = json_array_get(json_object_get(o, "choices"), 0);
    a->whole = a->whole || json_is_string(json_object_get(choice, "finish_reason"));
    json_int_t tokens =
        json_integer_value(json_object_get(json_object_get(o, "usage"), "completion_tokens"));
    if (tokens > 0) {
        a->tokens = (size_t)tokens;
        a->whole = true;
    }
    if (choice) {
        a->endless = a->events == a->events_max;
        if (!a->endless)
            a->at[a->events++] = hone_clock_s();
    }
    json_decref(o);
}

static size_t on_data(char *data, size_t size, size_t count, void *arg)
{
    answer *a = arg;
    size_t n = size * count, from = 0;
    if (hone_interrupted() || !grow(a, n))
        return 0;
    memcpy(a->text + a->bytes, data, n);
    a->bytes += n;
    a->text[a->bytes] = 0;
    long status = 0;
    curl_easy_getinfo(a->easy, CURLINFO_RESPONSE_CODE, &status);
    if (!a->stream || status >= 300) /* what a refusal says is kept */
        return n;
    for (char *end; (end = memchr(a->text + from, '\n', a->bytes - from));) {
        read_event(a, a->text + from, (size_t)(end - a->text) - from);
        from = (size_t)(end - a->text) + 1;
    }
    memmove(a->text, a->text + from, a->bytes - from);
    a->bytes -= from;
    a->text[a->bytes] = 0;
    return a->endless ? 0 : n;
}

/* ---- requests ------------------------------------------------------------------------------- */

static hone_status prepare(endpoint *e, answer *a, const char *path, char *body)
{
    char url[640];
    snprintf(url, sizeof url, "%s%s", e->base, path);
    curl_easy_reset(a->easy);
    a->bytes = a->events = a->tokens = 0;
    a->endless = a->whole = false;
    a->error[0] = 0;
    bool good = curl_easy_setopt(a->easy, CURLOPT_URL, url) == CURLE_OK &&
                curl_easy_setopt(a->easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
                curl_easy_setopt(a->easy, CURLOPT_HTTPHEADER, e->headers) == CURLE_OK &&
                curl_easy_setopt(a->easy, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S) == CURLE_OK &&
                curl_easy_setopt(a->easy, CURLOPT_LOW_SPEED_LIMIT, 1L) == CURLE_OK &&
                curl_easy_setopt(a->easy, CURLOPT_LOW_SPEED_TIME, (long)STALL_S) == CURLE_OK &&
                curl_easy_setopt(a->easy, CURLOPT_USERAGENT, "hone/" HONE_VERSION) == CURLE_OK &&
                curl_easy_setopt(a->easy, CURLOPT_WRITEFUNCTION, on_data) == CURLE_OK &&
                curl_easy_setopt(a->easy, CURLOPT_WRITEDATA, a) == CURLE_OK &&
                curl_easy_setopt(a->easy, CURLOPT_PRIVATE, a) == CURLE_OK;
    if (good && hone_address_is_here(e->base))
        good = curl_easy_setopt(a->easy, CURLOPT_NOPROXY, "*") == CURLE_OK;
    if (good && body)
        good = curl_easy_setopt(a->easy, CURLOPT_COPYPOSTFIELDS, body) == CURLE_OK;
    if (good && curl_multi_add_handle(e->multi, a->easy) == CURLM_OK)
        return HONE_OK;
    return hone_fail(HONE_MEMORY, "libcurl cannot prepare a request");
}

static hone_status check(const endpoint *e, answer *a)
{
    long status = 0;
    curl_easy_getinfo(a->easy, CURLINFO_RESPONSE_CODE, &status);
    HONE_TRY(hone_interrupt_check());
    if (a->endless)
        return hone_fail(HONE_FORMAT,
                         "%s: more than %zu pieces of an answer came: it does not heed "
                         "max_tokens",
                         e->base, a->events_max);
    if (a->code != CURLE_OK)
        return hone_fail(HONE_IO, "%s: %s", e->base, curl_easy_strerror(a->code));
    if (status < 200 || status >= 300)
        return hone_fail(HONE_IO, "%s answers with %ld: %.200s", e->base, status,
                         a->bytes ? plainly(a->text) : "");
    if (*a->error)
        return hone_fail(HONE_IO, "%s: an answer ends with an error: %s", e->base, a->error);
    return HONE_OK;
}

/* How many answers have ended since the last call */
static size_t collect(endpoint *e)
{
    size_t ended = 0;
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(e->multi, &left)); ended++) {
        answer *a;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&a);
        a->code = m->data.result;
    }
    return ended;
}

/* Until n answers have ended. */
static hone_status wait_for(endpoint *e, size_t n)
{
    hone_status s = HONE_OK;
    double begin = hone_clock_s();
    for (size_t ended = 0; s == HONE_OK;) {
        int running;
        bool good = curl_multi_perform(e->multi, &running) == CURLM_OK;
        ended += collect(e);
        if (good && ended >= n)
            break;
        if (!good || curl_multi_poll(e->multi, NULL, 0, 100, NULL) != CURLM_OK)
            s = hone_fail(HONE_IO, "%s: libcurl cannot go on", e->base);
        else
            s = hone_interrupt_check();
        if (hone_clock_s() - begin > LONG_S)
            cli_progress(-1, "waiting for %s: %.0f s", e->base, hone_clock_s() - begin);
    }
    for (size_t i = 0; i < n; i++)
        curl_multi_remove_handle(e->multi, e->answers[i].easy);
    for (size_t i = 0; s == HONE_OK && i < n; i++)
        s = check(e, &e->answers[i]);
    return s;
}

static char *request(endpoint *e, uint32_t prompt, uint32_t tokens, bool stream)
{
    json_t *ids = json_array();
    e->asked++;
    for (uint32_t i = 0; i < prompt; i++)
        json_array_append_new(
            ids, json_integer((json_int_t)hone_rng_below(e->seed, e->asked, i, e->vocab)));
    json_t *o =
        json_pack("{s:s, s:o, s:I, s:f, s:b, s:b}", "model", e->model, "prompt", ids, "max_tokens",
                  (json_int_t)tokens, "temperature", 0.0, "ignore_eos", 1, "stream", (int)stream);
    if (o && stream)
        json_object_set_new(o, "stream_options", json_pack("{s:b}", "include_usage", 1));
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    return text;
}

static hone_status ask_all(endpoint *e, const bench_test *t, uint32_t prompt, uint32_t tokens,
                           bool stream)
{
    hone_status s = HONE_OK;
    size_t n = 0;
    for (; s == HONE_OK && n < t->batch; n++) {
        char *body = request(e, prompt, tokens, stream);
        e->answers[n].stream = stream;
        s = body ? prepare(e, &e->answers[n], "/completions", body)
                 : hone_fail_memory(prompt, "a request");
        hone_free(body);
    }
    return s == HONE_OK ? wait_for(e, n) : s;
}

/* ---- the side ------------------------------------------------------------------------------- */

/* Tokens of all answers between the moment when all have begun and that when one has ended; a cost
 * of 0: there was no such stretch. */
static hone_status decode_cost(const endpoint *e, const bench_test *t, double *cost)
{
    double begin = 0, end = 1e300, tokens = 0;
    for (size_t i = 0; i < t->batch; i++) {
        const answer *a = &e->answers[i];
        if (a->events < 2)
            return hone_fail(HONE_FORMAT,
                             "%s: an answer of %u tokens came in %zu pieces: it must stream them",
                             e->base, t->tokens + 1, a->events);
        if (!a->whole)
            return hone_fail(HONE_IO,
                             "%s: an answer broke off after %zu pieces (no finish_reason, no "
                             "usage, no [DONE])",
                             e->base, a->events);
        begin = a->at[0] > begin ? a->at[0] : begin;
        end = a->at[a->events - 1] < end ? a->at[a->events - 1] : end;
    }
    for (size_t i = 0; i < t->batch; i++) {
        const answer *a = &e->answers[i];
        /* some servers end with an event without a token, others put several into one */
        double each = a->tokens > 1 ? (double)(a->tokens - 1) / (double)(a->events - 1) : 1.0;
        for (size_t k = 0; k < a->events; k++)
            tokens += a->at[k] > begin && a->at[k] <= end ? each : 0.0;
    }
    *cost = tokens > 0 && end > begin ? (end - begin) / tokens : 0.0;
    return HONE_OK;
}

/* A machine that stalls may keep answers apart once; a server that always does serves fewer. */
static hone_status sample_decode(endpoint *e, const bench_test *t, double *cost)
{
    for (int tries = 0; tries < 5; tries++) {
        HONE_TRY(ask_all(e, t, t->depth ? t->depth : 1, t->tokens + 1, true));
        HONE_TRY(decode_cost(e, t, cost));
        if (*cost > 0)
            return HONE_OK;
    }
    return hone_fail(HONE_FORMAT,
                     "%s: its %u answers did not run at the same time: it serves fewer at once",
                     e->base, t->batch);
}

static hone_status endpoint_sample(void *of, const bench_test *t, double *cost)
{
    endpoint *e = of;
    if (!t->prefill)
        return sample_decode(e, t, cost);
    if (t->depth)
        return hone_fail(HONE_USAGE,
                         "--versus %s: a prompt behind a context cannot be timed there; "
                         "give --depth 0 or --prefill 0",
                         e->base);
    double begin = hone_clock_s();
    HONE_TRY(ask_all(e, t, t->tokens, 1, false));
    *cost = (hone_clock_s() - begin) / ((double)t->tokens * t->batch);
    return HONE_OK;
}

static void endpoint_close(void *of)
{
    endpoint *e = of;
    for (size_t i = 0; e->answers && i < e->n; i++) {
        curl_easy_cleanup(e->answers[i].easy);
        hone_free(e->answers[i].text);
        hone_free(e->answers[i].at);
    }
    curl_multi_cleanup(e->multi);
    curl_slist_free_all(e->headers);
    curl_global_cleanup();
    hone_free(e->answers);
    hone_free(e);
}

static hone_status add_header(endpoint *e, const char *line)
{
    struct curl_slist *all = curl_slist_append(e->headers, line);
    if (!all)
        return hone_fail_memory(strlen(line), "a header");
    e->headers = all;
    return HONE_OK;
}

static hone_status add_headers(endpoint *e)
{
    const char *key = getenv("OPENAI_API_KEY");
    char line[4200];
    HONE_TRY(add_header(e, "Content-Type: application/json"));
    if (!key || !*key || strlen(key) > 4096 || strpbrk(key, "\r\n") ||
        !hone_address_is_private(e->base)) /* where nobody on the way reads it */
        return HONE_OK;
    snprintf(line, sizeof line, "Authorization: Bearer %s", key);
    return add_header(e, line);
}

static hone_status open_parts(endpoint *e, const char *url, const bench *a)
{
    size_t n = strlen(url);
    while (n > 0 && url[n - 1] == '/')
        n--;
    if (n > sizeof e->base - 8 || !hone_address_is_plain(url))
        return hone_fail(HONE_USAGE, "--versus: no address of a server: give http://HOST:PORT, "
                                     "without a user or a query");
    bool v1 = n > 3 && strncmp(url + n - 3, "/v1", 3) == 0;
    snprintf(e->base, sizeof e->base, "%.*s%s", (int)n, url, v1 ? "" : "/v1");
    e->vocab = hone_engine_facts(a->engine)->vocab;
    e->seed = hone_clock_ns() ^ (uint64_t)getpid() << 40;
    e->multi = curl_multi_init();
    e->answers = hone_calloc(a->batch_max, sizeof *e->answers);
    if (!e->multi || !e->answers)
        return hone_fail_memory(a->batch_max * sizeof *e->answers, "answers");
    for (; e->n < a->batch_max; e->n++) {
        answer *x = &e->answers[e->n];
        x->events_max = a->tokens_max + 16;
        x->at = hone_malloc(x->events_max * sizeof *x->at);
        x->easy = curl_easy_init();
        if (!x->at || !x->easy) {
            e->n++;
            return hone_fail_memory(x->events_max * sizeof *x->at, "an answer");
        }
    }
    return add_headers(e);
}

/* The first model that it offers */
static hone_status find_model(endpoint *e)
{
    json_t *o;
    e->answers[0].stream = false;
    HONE_TRY(prepare(e, &e->answers[0], "/models", NULL));
    HONE_TRY(wait_for(e, 1));
    const answer *a = &e->answers[0];
    HONE_TRY(hone_json_parse(a->bytes ? a->text : "", a->bytes, 32, 100000, e->base, &o));
    const char *id =
        json_string_value(json_object_get(json_array_get(json_object_get(o, "data"), 0), "id"));
    bool good = id && strlen(id) < sizeof e->model;
    if (good)
        snprintf(e->model, sizeof e->model, "%s", id);
    json_decref(o);
    return good ? HONE_OK : hone_fail(HONE_FORMAT, "%s/models names no model", e->base);
}

hone_status bench_side_endpoint(const char *url, const bench *a, bench_side *out)
{
    endpoint *e = hone_calloc(1, sizeof *e);
    if (!e)
        return hone_fail_memory(sizeof *e, "an endpoint");
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        hone_free(e);
        return hone_fail(HONE_MEMORY, "libcurl cannot start");
    }
    *out = (bench_side){.sample = endpoint_sample, .close = endpoint_close, .of = e};
    HONE_TRY(open_parts(e, url, a));
    HONE_TRY(find_model(e));
    snprintf(out->name, sizeof out->name, "%s (%s)", e->base, e->model);
    out->json = json_pack("{s:s, s:s}", "endpoint", e->base, "model", e->model);
    return out->json ? HONE_OK
                     : hone_fail(HONE_FORMAT, "--versus: an address or a model's name that is no "
                                              "UTF-8");
}
