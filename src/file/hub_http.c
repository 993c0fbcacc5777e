/* hub_http - one request: what it sends, which answers are followed, repeated or refused, and how a
 * refusal reads. */
#include "base/clock.h"
#include "base/hone_commit.h"
#include "base/interrupt.h"
#include "base/io.h"
#include "file/address.h"
#include "file/hub_internal.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEFAULT_ENDPOINT "https://huggingface.co"
enum { TOKEN_MAX = 4096, RETRY_PAUSE_MAX_MS = 8000, CONNECT_S = 20, SLOW_BYTES_S = 64 };

/* ---- the client ---- */

static hone_status start_curl(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool started;
    pthread_mutex_lock(&lock);
    if (!started)
        started = curl_global_init_mem(CURL_GLOBAL_DEFAULT, hone_malloc, hone_free, hone_realloc,
                                       hone_strdup, hone_calloc) == CURLE_OK;
    bool good = started;
    pthread_mutex_unlock(&lock);
    return good ? HONE_OK : hone_fail(HONE_MEMORY, "libcurl cannot start");
}

static bool env_true(const char *name)
{
    static const char *const words[] = {"1", "on", "yes", "true"};
    const char *v = hub_env(name);
    for (size_t i = 0; v && i < sizeof words / sizeof *words; i++)
        if (strcasecmp(v, words[i]) == 0)
            return true;
    return false;
}

bool hub_is_offline(void)
{
    return env_true("HF_HUB_OFFLINE") || env_true("TRANSFORMERS_OFFLINE");
}

/* The file that HF_TOKEN_PATH names, or HF_HOME/token; an absent one is no failure. */
static hone_status token_from_file(hone_arena *a, const char **out)
{
    const char *named = hub_env("HF_TOKEN_PATH"), *home = hub_env("HF_HOME"),
               *xdg = hub_env("XDG_CACHE_HOME"), *user = hub_env("HOME");
    const char *path = named  ? named
                       : home ? hub_print(a, "%s/token", home)
                       : xdg  ? hub_print(a, "%s/huggingface/token", xdg)
                       : user ? hub_print(a, "%s/.cache/huggingface/token", user)
                              : "";
    char *text;
    size_t bytes;
    if (!path)
        return hone_fail_memory(1, "a path");
    if (!hone_is_file(path))
        return HONE_OK;
    HONE_TRY(hone_read_file(path, TOKEN_MAX, &text, &bytes));
    *out = hone_arena_strndup(a, text, bytes);
    hone_free(text);
    return *out ? HONE_OK : hone_fail_memory(bytes, "the token");
}

/* huggingface_hub's order. The token is one line of visible ASCII: nothing else fits a header. */
static hone_status find_token(hub_client *c)
{
    const char *token = hub_env("HF_TOKEN");
    if (env_true("HF_HUB_DISABLE_IMPLICIT_TOKEN"))
        return HONE_OK;
    if (!token)
        token = hub_env("HUGGING_FACE_HUB_TOKEN");
    if (!token)
        HONE_TRY(token_from_file(c->arena, &token));
    if (!token)
        return HONE_OK;
    while (isspace((unsigned char)*token))
        token++;
    size_t n = strlen(token);
    while (n > 0 && isspace((unsigned char)token[n - 1]))
        n--;
    for (size_t i = 0; i < n; i++)
        if (token[i] <= ' ' || token[i] >= 0x7f)
            return hone_fail(HONE_USAGE, "the hub's token (HF_TOKEN or its file) holds characters "
                                         "that no token has");
    if (n > TOKEN_MAX)
        return hone_fail(HONE_USAGE, "the hub's token (HF_TOKEN or its file) is too long");
    if (n == 0)
        return HONE_OK;
    c->token = hone_arena_strndup(c->arena, token, n);
    return c->token ? HONE_OK : hone_fail_memory(n, "the token");
}

static bool starts(const char *s, const char *with)
{
    return strncasecmp(s, with, strlen(with)) == 0;
}

hone_status hub_client_open(hone_arena *a, const hone_hub_options *o, hub_client *out)
{
    *out = (hub_client){.options = o, .arena = a, .repository = ""};
    out->retry_ms = o->retry_ms ? o->retry_ms : 500;
    out->stall_s = o->stall_s ? o->stall_s : 30;
    out->wait_max_s = o->wait_max_s ? o->wait_max_s : 120;
    HONE_TRY(start_curl());
    const char *endpoint = o->endpoint ? o->endpoint : hub_env("HF_ENDPOINT");
    endpoint = endpoint ? endpoint : DEFAULT_ENDPOINT;
    size_t n = strlen(endpoint);
    while (n > 0 && endpoint[n - 1] == '/')
        n--;
    out->endpoint = hone_arena_strndup(a, endpoint, n);
    if (!out->endpoint)
        return hone_fail_memory(n, "an address");
    if (!hone_address_is_plain(out->endpoint))
        return hone_fail(HONE_USAGE,
                         "the endpoint (--endpoint or HF_ENDPOINT) is no address of a hub: "
                         "give https://HOST, without a user or a query");
    HONE_TRY(find_token(out));
    if (out->token && !hone_address_is_private(out->endpoint)) {
        out->token = NULL;
        out->token_withheld = true;
    }
    static const char *const bundles[] = {"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"};
    for (size_t i = 0; i < sizeof bundles / sizeof *bundles && !out->ca_file; i++)
        if (hub_env(bundles[i]) && hone_is_file(hub_env(bundles[i])))
            out->ca_file = hub_env(bundles[i]);
    return HONE_OK;
}

void hub_report(const hub_client *c, const hone_hub_state *state)
{
    if (c->options->progress)
        c->options->progress(c->options->progress_arg, state);
}

/* ---- headers ---- */

static void take(char *to, size_t size, const char *value, size_t n)
{
    to[0] = 0;
    if (n >= size)
        return;
    for (size_t i = 0; i < n; i++) /* into messages: nothing that moves a terminal's cursor */
        to[i] = (unsigned char)value[i] < 0x20 || value[i] == 0x7f ? '?' : value[i];
    to[n] = 0;
}

static size_t on_header(char *line, size_t size, size_t count, void *arg)
{
    hub_headers *h = arg;
    size_t n = size * count, name = 0;
    const struct {
        const char *name;
        char *to;
        size_t size;
    } wanted[] = {{"content-range", h->content_range, sizeof h->content_range},
                  {"content-encoding", h->content_encoding, sizeof h->content_encoding},
                  {"etag", h->etag, sizeof h->etag},
                  {"x-linked-etag", h->linked_etag, sizeof h->linked_etag},
                  {"x-linked-size", h->linked_size, sizeof h->linked_size},
                  {"x-repo-commit", h->commit, sizeof h->commit},
                  {"x-error-code", h->error_code, sizeof h->error_code},
                  {"x-error-message", h->error_message, sizeof h->error_message},
                  {"link", h->link, sizeof h->link}};
    if (n >= 5 && memcmp(line, "HTTP/", 5) == 0)
        memset(h, 0, sizeof *h);
    while (name < n && line[name] != ':')
        name++;
    if (name == n)
        return n;
    size_t from = name + 1, to = n;
    while (from < n && (line[from] == ' ' || line[from] == '\t'))
        from++;
    while (to > from && isspace((unsigned char)line[to - 1]))
        to--;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (strlen(wanted[i].name) == name && strncasecmp(line, wanted[i].name, name) == 0)
            take(wanted[i].to, wanted[i].size, line + from, to - from);
    return n;
}

/* (Signals are left to libcurl, which ignores SIGPIPE while it works; OpenSSL needs that.) */
hone_status hub_prepare(const hub_client *c, CURL *easy, const char *url,
                        struct curl_slist **headers, hub_headers *h)
{
    char line[TOKEN_MAX + 32];
    curl_easy_reset(easy);
    curl_slist_free_all(*headers);
    *headers = NULL;
    memset(h, 0, sizeof *h);
    if (c->token && hub_same_origin(url, c->endpoint)) {
        snprintf(line, sizeof line, "Authorization: Bearer %s", c->token);
        *headers = curl_slist_append(NULL, line);
        if (!*headers)
            return hone_fail_memory(sizeof line, "a request");
    }
    bool good =
        curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_USERAGENT, "hone/" HONE_VERSION) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, *headers) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)SLOW_BYTES_S) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)c->stall_s) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_HEADERDATA, h) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, h->transport) == CURLE_OK &&
        (!c->ca_file || curl_easy_setopt(easy, CURLOPT_CAINFO, c->ca_file) == CURLE_OK);
    return good ? HONE_OK : hone_fail_memory(strlen(url), "a request");
}

/* ---- redirects, repetition, refusals ---- */

/* An address for messages: without its query, which may be a signature. */
static const char *shown(const char *url, char *buf, size_t size)
{
    snprintf(buf, size, "%.*s", (int)strcspn(url, "?#"), url);
    return buf;
}

bool hub_may_follow(const char *from, const char *to)
{
    return starts(to, "https://") || (starts(to, "http://") && starts(from, "http://"));
}

hone_status hub_follow(CURL *easy, const char *from, int *hops, char **to)
{
    char *next = NULL;
    char a[300], b[300];
    *to = NULL;
    if (++*hops > HUB_HOPS_MAX)
        return hone_fail(HONE_FORMAT, "%s: more than %d redirects", shown(from, a, sizeof a),
                         HUB_HOPS_MAX);
    curl_easy_getinfo(easy, CURLINFO_REDIRECT_URL, &next);
    if (!next)
        return hone_fail(HONE_FORMAT, "%s: a redirect without an address",
                         shown(from, a, sizeof a));
    if (!hub_may_follow(from, next))
        return hone_fail(HONE_FORMAT,
                         "%s redirects to %s, which is not encrypted; it was not followed",
                         shown(from, a, sizeof a), shown(next, b, sizeof b));
    *to = hone_strdup(next);
    return *to ? HONE_OK : hone_fail_memory(strlen(next), "an address");
}

bool hub_may_repeat(long status)
{
    return status == 408 || status == 425 || status == 429 || status >= 500;
}

bool hub_may_repeat_code(CURLcode code)
{
    static const CURLcode passing[] = {CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY,
                                       CURLE_COULDNT_CONNECT,      CURLE_PARTIAL_FILE,
                                       CURLE_OPERATION_TIMEDOUT,   CURLE_SSL_CONNECT_ERROR,
                                       CURLE_GOT_NOTHING,          CURLE_SEND_ERROR,
                                       CURLE_RECV_ERROR,           CURLE_WEIRD_SERVER_REPLY};
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
        if (code == passing[i])
            return true;
    return false;
}

int64_t hub_pause_ms(const hub_client *c, int attempt, int64_t retry_after)
{
    if (retry_after > c->wait_max_s)
        return -1;
    int64_t ms = c->retry_ms;
    for (int i = 1; i < attempt && ms < RETRY_PAUSE_MAX_MS; i++)
        ms *= 2;
    ms = ms < RETRY_PAUSE_MAX_MS ? ms : RETRY_PAUSE_MAX_MS;
    return retry_after * 1000 > ms ? retry_after * 1000 : ms;
}

hone_status hub_fail_status(const hub_client *c, long status, const hub_headers *h, const char *url,
                            const char *what)
{
    char at[300], said[320] = "";
    shown(url, at, sizeof at);
    if (h->error_message[0])
        snprintf(said, sizeof said, "; it says: %s", h->error_message);
    const char *repo = c->repository;
    const char *token = c->token            ? "the token that is set may not see it"
                        : c->token_withheld ? "the token was not sent, because the endpoint's "
                                              "address is not https"
                                            : "set HF_TOKEN";
    if (strcmp(h->error_code, "GatedRepo") == 0)
        return hone_fail(HONE_PERMISSION,
                         "%s: %s: the model is gated (%ld%s): ask for access on its page; %s", repo,
                         what, status, said, token);
    switch (status) {
    case 401:
        return hone_fail(HONE_PERMISSION,
                         "%s: %s: there is no such repository, or it is private: %s (401%s)", repo,
                         what, token, said);
    case 403:
        return hone_fail(HONE_PERMISSION, "%s: %s: the hub refuses (403%s): %s", repo, what, said,
                         token);
    case 404:
    case 410:
        if (strcmp(h->error_code, "RevisionNotFound") == 0)
            return hone_fail(HONE_NOT_FOUND, "%s has no such revision (404 from %s)", repo, at);
        return hone_fail(HONE_NOT_FOUND, "%s: %s is not at %s (%ld%s)", repo, what, at, status,
                         said);
    default:
        return hone_fail(HONE_IO, "%s: %s: the hub answers with %ld from %s%s", repo, what, status,
                         at, said);
    }
}

hone_status hub_fail_code(const hub_client *c, CURLcode code, const hub_headers *h, const char *url,
                          const char *what)
{
    char at[300];
    HONE_TRY(hone_interrupt_check());
    if (code == CURLE_OUT_OF_MEMORY)
        return hone_fail(HONE_MEMORY, "out of memory in a request to %s",
                         shown(url, at, sizeof at));
    return hone_fail(HONE_IO, "%s: %s: no answer from %s: %s", c->repository, what,
                     shown(url, at, sizeof at),
                     h->transport[0] ? h->transport : curl_easy_strerror(code));
}

/* ---- whole answers ---- */

typedef struct body {
    char *data;
    size_t bytes, capacity, max;
    bool over, no_memory;
} body;

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    body *b = arg;
    size_t n = size * count;
    if (n > b->max - b->bytes) {
        b->over = true;
        return 0;
    }
    if (b->bytes + n + 1 > b->capacity) {
        size_t more = (b->bytes + n + 1) * 2;
        char *fresh = hone_realloc(b->data, more);
        if (!fresh) {
            b->no_memory = true;
            return 0;
        }
        b->data = fresh;
        b->capacity = more;
    }
    memcpy(b->data + b->bytes, data, n);
    b->bytes += n;
    b->data[b->bytes] = 0;
    return n;
}

static int on_tick(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a, (void)b, (void)c, (void)d, (void)arg;
    return hone_interrupted();
}

static hone_status sleep_ms(int64_t ms)
{
    uint64_t until = hone_clock_ns() + (uint64_t)ms * 1000000;
    for (uint64_t now = hone_clock_ns(); now < until; now = hone_clock_ns()) {
        HONE_TRY(hone_interrupt_check());
        uint64_t left = until - now;
        struct timespec t = {.tv_nsec = left < 50000000 ? (long)left : 50000000};
        nanosleep(&t, NULL);
    }
    return HONE_OK;
}

typedef struct request {
    const hub_client *client;
    CURL *easy;
    struct curl_slist *list;
    hub_headers *headers;
    body *body; /* NULL: HEAD */
    const char *what;
    CURLcode code;
    long status;
} request;

static hone_status send_once(request *r, const char *url)
{
    HONE_TRY(hub_prepare(r->client, r->easy, url, &r->list, r->headers));
    if (r->body) {
        r->body->bytes = 0;
        curl_easy_setopt(r->easy, CURLOPT_ACCEPT_ENCODING, "");
        curl_easy_setopt(r->easy, CURLOPT_WRITEFUNCTION, on_body);
        curl_easy_setopt(r->easy, CURLOPT_WRITEDATA, r->body);
    } else {
        curl_easy_setopt(r->easy, CURLOPT_NOBODY, 1L);
    }
    curl_easy_setopt(r->easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(r->easy, CURLOPT_XFERINFOFUNCTION, on_tick);
    r->code = curl_easy_perform(r->easy);
    r->status = 0;
    curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &r->status);
    if (r->body && r->body->over)
        return hone_fail(HONE_LIMIT, "%s: %s: the hub's answer is larger than %zu bytes",
                         r->client->repository, r->what, r->body->max);
    if (r->body && r->body->no_memory)
        return hone_fail_memory(r->body->capacity * 2, "the hub's answer");
    return HONE_OK;
}

/* After an answer that is none: waits, or says why not. */
static hone_status wait_or_fail(request *r, const char *url, int attempt)
{
    bool transport = r->code != CURLE_OK;
    if (attempt < HUB_ATTEMPTS_MAX &&
        (transport ? hub_may_repeat_code(r->code) : hub_may_repeat(r->status))) {
        curl_off_t after = 0;
        if (!transport)
            curl_easy_getinfo(r->easy, CURLINFO_RETRY_AFTER, &after);
        int64_t ms = hub_pause_ms(r->client, attempt, after);
        if (ms < 0)
            return hone_fail(HONE_IO, "%s: %s: the hub asks for a pause of %lld s (%ld)",
                             r->client->repository, r->what, (long long)after, r->status);
        hone_hub_state state = {.doing = "waiting for the hub"};
        hub_report(r->client, &state);
        return sleep_ms(ms);
    }
    return transport ? hub_fail_code(r->client, r->code, r->headers, url, r->what)
                     : hub_fail_status(r->client, r->status, r->headers, url, r->what);
}

/* Sends until there is an answer that counts. HEAD stops at a redirect to another origin. */
static hone_status exchange(request *r, const char *url)
{
    char *at = hone_strdup(url), *next;
    int hops = 0;
    hone_status s = at ? HONE_OK : hone_fail_memory(strlen(url), "an address");
    for (int attempt = 1; s == HONE_OK;) {
        s = send_once(r, at);
        if (s != HONE_OK || (r->code == CURLE_OK && r->status >= 200 && r->status < 300))
            break;
        if (r->code == CURLE_OK && r->status >= 300 && r->status < 400) {
            s = hub_follow(r->easy, at, &hops, &next);
            if (s == HONE_OK && !r->body && !hub_same_origin(next, at)) {
                hone_free(next);
                break;
            }
            if (s == HONE_OK) {
                hone_free(at);
                at = next;
            }
        } else {
            s = wait_or_fail(r, at, attempt++);
        }
    }
    hone_free(at);
    return s;
}

static hone_status request_open(request *r)
{
    r->easy = curl_easy_init();
    return r->easy ? HONE_OK : hone_fail_memory(1, "a request");
}

static void request_close(request *r)
{
    curl_easy_cleanup(r->easy);
    curl_slist_free_all(r->list);
}

hone_status hub_get(const hub_client *c, const char *url, const char *what, size_t bytes_max,
                    char **text, size_t *bytes, hub_headers *headers)
{
    body b = {.max = bytes_max};
    request r = {.client = c, .headers = headers, .body = &b, .what = what};
    *text = NULL;
    HONE_TRY(request_open(&r));
    hone_status s = exchange(&r, url);
    request_close(&r);
    if (s == HONE_OK && !b.data)
        s = hone_fail(HONE_FORMAT, "%s: %s: the hub's answer is empty", c->repository, what);
    if (s != HONE_OK) {
        hone_free(b.data);
        return s;
    }
    *text = b.data;
    *bytes = b.bytes;
    return HONE_OK;
}

hone_status hub_head(const hub_client *c, const char *url, const char *what, uint64_t *bytes,
                     bool *sized, hub_headers *headers)
{
    request r = {.client = c, .headers = headers, .what = what};
    HONE_TRY(request_open(&r));
    hone_status s = exchange(&r, url);
    curl_off_t length = -1;
    if (s == HONE_OK)
        curl_easy_getinfo(r.easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    request_close(&r);
    HONE_TRY(s);
    char *end = headers->linked_size;
    unsigned long long linked = strtoull(headers->linked_size, &end, 10);
    bool is_linked = end != headers->linked_size && *end == 0 && headers->linked_size[0] != '-';
    *sized = is_linked || (length >= 0 && r.status < 300);
    *bytes = is_linked ? linked : *sized ? (uint64_t)length : 0;
    return HONE_OK;
}
