#include "hub_server.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

/* What may go wrong. Of bodies of files:
 *   cut        half of each body, then the line goes dead        cutonce  only the first one
 *   mute       the head of the answer, then the line goes dead
 *   cutmute    cutonce, and mute ever after                      stallonce  half, then silence
 *   hash       a byte is another                                 long     more bytes than there are
 *   short      the content is 10 bytes shorter than listed       part     ranges are answered by
 * half norange    ranges are not known                              gzip     claims to be
 * compressed wrongrange Content-Range is off by one                       wrongtotal  of another
 * length Of any answer: 429 500    the first three answers are such (429: once Retry-After: 1)
 * 429ever 500ever        always (429ever: Retry-After: 86400) private    401 without the token
 * gated    403 loop       redirects to itself                               noplace  a redirect
 * without address expire     a signed address works twice Of the list of files: traversal,
 * absolute, twice, badjson, nosha, notlist, huge, endless, badhash, badsize nosize     names only
 * (HEAD tells the rest)                  pages    in pages of two
 */
static const char *const faults[] = {
    "cut",     "cutonce", "mute",      "cutmute",  "stallonce", "hash",       "long",
    "short",   "part",    "norange",   "slow",     "gzip",      "wrongrange", "wrongtotal",
    "429",     "500",     "429ever",   "500ever",  "private",   "gated",      "loop",
    "noplace", "expire",  "traversal", "absolute", "twice",     "badjson",    "nosha",
    "notlist", "huge",    "endless",   "badhash",  "badsize",   "nosize",     "pages"};
enum { FAULTS = sizeof faults / sizeof *faults };

enum { SIGNATURES = 4096 };

struct hub_server {
    const hub_server_file *files;
    size_t count;
    char (*hashes)[65]; /* of the files */
    int fd[2], port[2]; /* 0: the hub; 1: the CDN */
    pthread_t thread[2];
    atomic_bool stopping;
    atomic_int connections, failed, cuts, signature, uses[SIGNATURES];
    hub_server_counts counts;
};

typedef struct connection {
    hub_server *server;
    int fd, side;
    bool alive;
    char head[16384]; /* of the request */
    char *target;     /* without the faults */
    char prefix[256]; /* "/~faults" or "" */
    bool fault[FAULTS];
    bool is_head, has_range, good_token, any_token;
    unsigned long long from, to;
} connection;

static bool wrong(const connection *c, const char *fault)
{
    for (size_t i = 0; i < FAULTS; i++)
        if (strcmp(faults[i], fault) == 0)
            return c->fault[i];
    fprintf(stderr, "hub_server: no fault \"%s\"\n", fault);
    abort();
}

static void send_all(connection *c, const void *data, size_t n)
{
    const char *p = data;
    while (n > 0 && c->alive) {
        ssize_t put = send(c->fd, p, n, MSG_NOSIGNAL);
        if (put < 0 && (errno == EINTR || errno == EAGAIN) && !c->server->stopping)
            continue;
        if (put <= 0) {
            c->alive = false;
            return;
        }
        p += put;
        n -= (size_t)put;
    }
}

static void answer(connection *c, int status, const char *headers, const void *body, size_t n)
{
    char head[4096];
    int k = snprintf(head, sizeof head, "HTTP/1.1 %d Status\r\n%sContent-Length: %zu\r\n\r\n",
                     status, headers, n);
    send_all(c, head, (size_t)k);
    if (!c->is_head)
        send_all(c, body, n);
}

static void refuse(connection *c, int status, const char *headers)
{
    answer(c, status, headers, "{\"error\":\"no\"}", 14);
}

static void to_hex(const uint8_t *sum, size_t n, char *hex)
{
    for (size_t i = 0; i < n; i++)
        snprintf(hex + 2 * i, 3, "%02x", sum[i]);
}

void hub_server_hash(const hub_server_file *f, char hex[65])
{
    uint8_t sum[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    char head[40];
    int k = snprintf(head, sizeof head, "blob %zu", f->bytes);
    EVP_MD_CTX *h = EVP_MD_CTX_new();
    if (!h || EVP_DigestInit_ex(h, f->lfs ? EVP_sha256() : EVP_sha1(), NULL) != 1 ||
        (!f->lfs && EVP_DigestUpdate(h, head, (size_t)k + 1) != 1) ||
        EVP_DigestUpdate(h, f->data, f->bytes) != 1 || EVP_DigestFinal_ex(h, sum, &n) != 1)
        abort();
    EVP_MD_CTX_free(h);
    to_hex(sum, n, hex);
}

static const char *hash_of(const connection *c, const hub_server_file *f)
{
    return c->server->hashes[f - c->server->files];
}

/* ---- files ---- */

/* Until the peer goes away or the server stops. */
static void be_silent(connection *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN | POLLRDHUP};
    while (!c->server->stopping && poll(&p, 1, 50) <= 0)
        ;
    c->alive = false;
}

static void send_content(connection *c, const uint8_t *data, uint64_t from, size_t n, bool chunked)
{
    hub_server *s = c->server;
    int now = atomic_fetch_add(&s->counts.parallel, 1) + 1, most = s->counts.parallel_max;
    while (now > most && !atomic_compare_exchange_weak(&s->counts.parallel_max, &most, now))
        ;
    char chunk[32];
    size_t middle = n / 2;
    if (chunked) {
        int k = snprintf(chunk, sizeof chunk, "%zx\r\n", n + 7);
        send_all(c, chunk, (size_t)k);
    }
    bool once = wrong(c, "cutonce") || wrong(c, "cutmute") || wrong(c, "stallonce");
    bool first = once && n > 2000 && atomic_fetch_add(&s->cuts, 1) == 0;
    bool cut = first || (wrong(c, "cut") && n > 2000);
    bool mute = wrong(c, "mute") || (wrong(c, "cutmute") && !first && n > 2000);
    size_t most_bytes = mute ? 0 : cut ? middle : n;
    /* Before the peer can have them: it may look at the counters at once. */
    atomic_fetch_add(&s->counts.body_bytes, (long long)most_bytes);
    if (wrong(c, "hash") && n > 0) {
        uint8_t other = (uint8_t)(data[from] ^ 1);
        send_all(c, &other, 1);
        send_all(c, data + from + 1, most_bytes - 1);
    } else {
        size_t step = wrong(c, "slow") ? 4096 : most_bytes + 1;
        for (size_t at = 0; at < most_bytes && c->alive; at += step) {
            send_all(c, data + from + at, most_bytes - at < step ? most_bytes - at : step);
            if (step == 4096)
                usleep(5000);
        }
    }
    if (cut && wrong(c, "stallonce"))
        be_silent(c);
    else if (most_bytes < n)
        c->alive = false;
    if (chunked)
        send_all(c, "surplus\r\n0\r\n\r\n", 14);
    atomic_fetch_sub(&s->counts.parallel, 1);
}

static void serve_bytes(connection *c, const hub_server_file *f, const char *more)
{
    char head[2048];
    unsigned long long n = f->bytes - (wrong(c, "short") ? 10 : 0), from = 0, to = n;
    bool ranged = c->has_range && !wrong(c, "norange") && !wrong(c, "short");
    bool chunked = wrong(c, "long");
    if (ranged) {
        from = c->from;
        to = c->to < n ? c->to + 1 : n;
        if (from >= n || to <= from) {
            refuse(c, 416, "");
            return;
        }
        if (wrong(c, "part") && to - from > 2000)
            to = from + (to - from) / 2;
    }
    int k = snprintf(head, sizeof head, "HTTP/1.1 %s\r\n%s%s", ranged ? "206 Part" : "200 OK", more,
                     wrong(c, "gzip") ? "Content-Encoding: gzip\r\n" : "");
    if (ranged) {
        int off = wrong(c, "wrongrange");
        k += snprintf(head + k, sizeof head - (size_t)k, "Content-Range: bytes %llu-%llu/%llu\r\n",
                      from + (unsigned)off, to - 1 + (unsigned)off,
                      n + (wrong(c, "wrongtotal") ? 1u : 0u));
    }
    if (chunked)
        k += snprintf(head + k, sizeof head - (size_t)k, "Transfer-Encoding: chunked\r\n\r\n");
    else
        k += snprintf(head + k, sizeof head - (size_t)k, "Content-Length: %llu\r\n\r\n", to - from);
    send_all(c, head, (size_t)k);
    if (!c->is_head)
        send_content(c, f->data, from, (size_t)(to - from), chunked);
}

static const hub_server_file *find_file(const connection *c, const char *path, bool v1)
{
    for (size_t i = 0; i < c->server->count; i++)
        if (strcmp(c->server->files[i].path, path) == 0 && (!v1 || c->server->files[i].in_v1))
            return &c->server->files[i];
    return NULL;
}

/* /acme/tiny/resolve/<revision>/<path> */
static void serve_resolve(connection *c, char *revision)
{
    char more[1024], hash[65];
    char *slash = strchr(revision, '/');
    atomic_fetch_add(&c->server->counts.resolve, 1);
    if (!slash) {
        refuse(c, 404, "");
        return;
    }
    *slash = 0;
    bool v1 = strcmp(revision, HUB_SERVER_V1) == 0 || strcmp(revision, "v1") == 0;
    const hub_server_file *f = find_file(c, slash + 1, v1);
    if (!f) {
        refuse(c, 404, "X-Error-Code: EntryNotFound\r\n");
        return;
    }
    snprintf(hash, sizeof hash, "%s", hash_of(c, f));
    const char *commit = v1 ? HUB_SERVER_V1 : HUB_SERVER_MAIN;
    if (!f->lfs) {
        snprintf(more, sizeof more, "ETag: \"%s\"\r\nX-Repo-Commit: %s\r\n", hash, commit);
        serve_bytes(c, f, more);
        return;
    }
    snprintf(more, sizeof more,
             "X-Linked-Etag: \"%s\"\r\nX-Linked-Size: %zu\r\nX-Repo-Commit: %s\r\n"
             "Location: http://127.0.0.1:%d%s/cdn/%s?signature=%d\r\n",
             hash, f->bytes, commit, c->server->port[1], c->prefix, hash,
             atomic_fetch_add(&c->server->signature, 1));
    answer(c, 302, more, "", 0);
}

/* /cdn/<hash>?signature=N */
static void serve_cdn(connection *c, char *hash)
{
    atomic_fetch_add(&c->server->counts.cdn, 1);
    if (c->any_token)
        atomic_fetch_add(&c->server->counts.leaks, 1);
    char *query = strstr(hash, "?signature=");
    int signature = query ? atoi(query + 11) : 0;
    if (query)
        *query = 0;
    if (wrong(c, "expire") && atomic_fetch_add(&c->server->uses[signature % SIGNATURES], 1) >= 2) {
        refuse(c, 403, "");
        return;
    }
    for (size_t i = 0; i < c->server->count; i++) {
        if (strcmp(c->server->hashes[i], hash) == 0) {
            serve_bytes(c, &c->server->files[i], "ETag: \"not-a-hash\"\r\n");
            return;
        }
    }
    refuse(c, 404, "");
}

/* ---- lists ---- */

typedef struct text {
    char *s;
    size_t n, room;
} text;

static void put(text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(text *t, const char *fmt, ...)
{
    va_list ap;
    if (t->room - t->n < 4096 && !(t->s = realloc(t->s, t->room += 65536)))
        abort();
    va_start(ap, fmt);
    t->n += (size_t)vsnprintf(t->s + t->n, t->room - t->n, fmt, ap);
    va_end(ap);
}

static void put_entry(text *t, const connection *c, const hub_server_file *f, bool tree)
{
    char hash[65];
    snprintf(hash, sizeof hash, "%s", hash_of(c, f));
    const char *path = wrong(c, "traversal") && f->lfs  ? "../../../../evil"
                       : wrong(c, "absolute") && f->lfs ? "/tmp/evil"
                                                        : f->path;
    if (wrong(c, "badhash"))
        snprintf(hash, sizeof hash, "../../x");
    put(t, "{\"%s\":\"%s\"", tree ? "path" : "rfilename", path);
    if (wrong(c, "nosize")) {
        put(t, "}");
        return;
    }
    if (tree)
        put(t, ",\"type\":\"file\"");
    long long bytes = wrong(c, "huge")      ? (long long)1 << 45
                      : wrong(c, "badsize") ? -5
                                            : (long long)f->bytes;
    put(t, ",\"size\":%lld,\"%s\":\"%s\"", bytes, tree ? "oid" : "blobId",
        f->lfs ? "0000000000000000000000000000000000000000" : hash);
    if (f->lfs)
        put(t, ",\"lfs\":{\"%s\":\"%s\",\"size\":%lld,\"pointerSize\":135}",
            tree ? "oid" : "sha256", hash, bytes);
    put(t, "}");
}

static void serve_tree(connection *c, bool v1)
{
    char more[512] = "Content-Type: application/json\r\n";
    text t = {0};
    size_t at = 0, shown = 0, i = 0;
    const char *cursor = strstr(c->target, "cursor=");
    if (cursor)
        at = strtoul(cursor + 7, NULL, 10);
    put(&t, "[{\"type\":\"directory\",\"path\":\"onnx%zu\",\"oid\":\"\",\"size\":0}", at);
    for (i = at; i < c->server->count && (shown < 2 || !wrong(c, "pages")); i++)
        if (!v1 || c->server->files[i].in_v1) {
            put(&t, ",");
            put_entry(&t, c, &c->server->files[i], true);
            shown++;
        }
    put(&t, "]");
    if (i < c->server->count || wrong(c, "endless"))
        snprintf(more, sizeof more,
                 "Link: <http://127.0.0.1:%d%s/api/models/acme/tiny/tree/%s?recursive=true&"
                 "cursor=%zu>; rel=\"next\"\r\n",
                 c->server->port[0], c->prefix, v1 ? HUB_SERVER_V1 : HUB_SERVER_MAIN, i);
    answer(c, 200, more, t.s, t.n);
    free(t.s);
}

static void serve_info(connection *c, bool v1)
{
    text t = {0};
    if (wrong(c, "notlist"))
        put(&t, "\"<html>\"");
    else if (wrong(c, "nosha"))
        put(&t, "{\"id\":\"acme/tiny\",\"siblings\":[]}");
    else {
        put(&t,
            "{\"_id\":\"1\",\"id\":\"acme/tiny\",\"modelId\":\"acme/tiny\",\"private\":false,"
            "\"tags\":[],\"downloads\":0,\"likes\":0,\"sha\":\"%s\"",
            v1 ? HUB_SERVER_V1 : HUB_SERVER_MAIN);
        bool first = true;
        if (!wrong(c, "pages") && !wrong(c, "endless")) {
            put(&t, ",\"siblings\":[");
            for (size_t i = 0; i < c->server->count; i++) {
                for (int k = 0; k < (wrong(c, "twice") ? 2 : 1); k++) {
                    if (v1 && !c->server->files[i].in_v1)
                        continue;
                    put(&t, first ? "" : ",");
                    put_entry(&t, c, &c->server->files[i], false);
                    first = false;
                }
            }
            put(&t, "]");
        }
        put(&t, wrong(c, "badjson") ? "" : "}");
    }
    answer(c, 200, "Content-Type: application/json\r\n", t.s, t.n);
    free(t.s);
}

/* /api/models/<what> */
static void serve_api(connection *c, char *what)
{
    char more[1024];
    atomic_fetch_add(&c->server->counts.api, 1);
    if (strncmp(what, "acme/old/", 9) == 0) {
        snprintf(more, sizeof more, "Location: %s/api/models/acme/tiny/%.200s\r\n", c->prefix,
                 what + 9);
        answer(c, 307, more, "", 0);
        return;
    }
    char *revision = strstr(what, "/revision/"), *tree = strstr(what, "/tree/");
    if (strncmp(what, "acme/tiny/", 10) != 0) {
        refuse(c, 401, "X-Error-Code: RepoNotFound\r\nX-Error-Message: Repository not found\r\n");
        return;
    }
    char *name = revision ? revision + 10 : tree ? tree + 6 : NULL;
    size_t n = name ? strcspn(name, "?") : 0;
    bool v1 = name && ((n == 2 && memcmp(name, "v1", 2) == 0) ||
                       (n == 40 && memcmp(name, HUB_SERVER_V1, 40) == 0));
    if (!v1 && !(name && ((n == 4 && memcmp(name, "main", 4) == 0) ||
                          (n == 40 && memcmp(name, HUB_SERVER_MAIN, 40) == 0))))
        refuse(c, 404, "X-Error-Code: RevisionNotFound\r\n");
    else if (tree)
        serve_tree(c, v1);
    else
        serve_info(c, v1);
}

/* ---- requests ---- */

static void undo_percent(char *s)
{
    char *to = s;
    for (; *s; s++) {
        unsigned int byte;
        if (*s == '%' && isxdigit((unsigned char)s[1]) && isxdigit((unsigned char)s[2]) &&
            sscanf(s + 1, "%2x", &byte) == 1) {
            *to++ = (char)byte;
            s += 2;
        } else {
            *to++ = *s;
        }
    }
    *to = 0;
}

/* Reads a head; false when the peer is gone. */
static bool read_head(connection *c)
{
    size_t n = 0;
    c->head[0] = 0;
    while (!strstr(c->head, "\r\n\r\n")) {
        if (c->server->stopping || n + 1 >= sizeof c->head)
            return false;
        ssize_t got = recv(c->fd, c->head + n, sizeof c->head - 1 - n, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (got <= 0)
            return false;
        n += (size_t)got;
        c->head[n] = 0;
    }
    return true;
}

static void read_faults(connection *c)
{
    memset(c->fault, 0, sizeof c->fault);
    c->prefix[0] = 0;
    if (strncmp(c->target, "/~", 2) != 0)
        return;
    size_t n = strcspn(c->target + 1, "/") + 1;
    snprintf(c->prefix, sizeof c->prefix, "%.*s", (int)n, c->target);
    char list[256];
    snprintf(list, sizeof list, "%s", c->prefix + 2);
    for (char *save, *word = strtok_r(list, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        size_t i = 0;
        while (i < FAULTS && strcmp(faults[i], word) != 0)
            i++;
        if (i == FAULTS)
            fprintf(stderr, "hub_server: no fault \"%s\"\n", word);
        else
            c->fault[i] = true;
    }
    c->target += n;
}

static bool read_request(connection *c)
{
    if (!read_head(c))
        return false;
    const char *range = strcasestr(c->head, "\r\nRange: bytes=");
    const char *token = strcasestr(c->head, "\r\nAuthorization: ");
    c->has_range = range && sscanf(range + 15, "%llu-%llu", &c->from, &c->to) >= 1;
    if (c->has_range && sscanf(range + 15, "%llu-%llu", &c->from, &c->to) == 1)
        c->to = (unsigned long long)-2;
    c->any_token = token;
    c->good_token = token && strncmp(token + 17, "Bearer " HUB_SERVER_TOKEN "\r\n",
                                     strlen("Bearer " HUB_SERVER_TOKEN "\r\n")) == 0;
    c->is_head = strncmp(c->head, "HEAD ", 5) == 0;
    char *space = strchr(c->head, ' '), *end = space ? strchr(space + 1, ' ') : NULL;
    if (!end)
        return false;
    *end = 0;
    c->target = space + 1;
    if (strncmp(c->target, "http://", 7) == 0) { /* it is asked as a proxy: for either of its own */
        char cdn[16];
        snprintf(cdn, sizeof cdn, ":%d/", c->server->port[1]);
        atomic_fetch_add(&c->server->counts.proxied, 1);
        c->target += 7 + strcspn(c->target + 7, "/");
        c->side = strncmp(c->target - strlen(cdn) + 1, cdn, strlen(cdn)) == 0;
    }
    read_faults(c);
    return true;
}

/* Refusals that come before any content; true if it was one. */
static bool is_refused(connection *c)
{
    hub_server *s = c->server;
    char more[600];
    int n;
    if (wrong(c, "429ever"))
        refuse(c, 429, "Retry-After: 86400\r\n");
    else if (wrong(c, "500ever"))
        refuse(c, 500, "X-Error-Message: \033[31mout of order\r\n");
    else if (wrong(c, "429") && (n = atomic_fetch_add(&s->failed, 1)) < 3)
        refuse(c, 429, n == 0 ? "Retry-After: 1\r\n" : "");
    else if (wrong(c, "500") && atomic_fetch_add(&s->failed, 1) < 3)
        refuse(c, 503, "");
    else if (c->side == 0 && wrong(c, "gated"))
        refuse(c, 403, "X-Error-Code: GatedRepo\r\nX-Error-Message: Access is restricted\r\n");
    else if (c->side == 0 && wrong(c, "private") && !c->good_token)
        refuse(c, 401, "X-Error-Message: Invalid credentials\r\n");
    else if (wrong(c, "loop")) {
        snprintf(more, sizeof more, "Location: http://127.0.0.1:%d%s%s\r\n", s->port[c->side],
                 c->prefix, c->target);
        answer(c, 302, more, "", 0);
    } else if (wrong(c, "noplace"))
        answer(c, 302, "", "", 0);
    else
        return false;
    return true;
}

static void serve(connection *c)
{
    if (c->good_token)
        atomic_fetch_add(&c->server->counts.tokens, 1);
    if (is_refused(c))
        return;
    undo_percent(c->target);
    if (c->side == 1 && strncmp(c->target, "/cdn/", 5) == 0)
        serve_cdn(c, c->target + 5);
    else if (c->side == 0 && strncmp(c->target, "/api/models/", 12) == 0)
        serve_api(c, c->target + 12);
    else if (c->side == 0 && strncmp(c->target, "/acme/tiny/resolve/", 19) == 0)
        serve_resolve(c, c->target + 19);
    else if (c->side == 0 && strncmp(c->target, "/acme/old/resolve/", 18) == 0)
        serve_resolve(c, c->target + 18);
    else
        refuse(c, 404, "");
}

static void *run_connection(void *arg)
{
    connection *c = arg;
    struct timeval wait = {.tv_usec = 10000};
    int on = 1;
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->alive = true;
    while (c->alive && read_request(c))
        serve(c);
    close(c->fd);
    atomic_fetch_sub(&c->server->connections, 1);
    free(c);
    return NULL;
}

typedef struct listener {
    hub_server *server;
    int side;
} listener;

static void *run_listener(void *arg)
{
    listener l = *(listener *)arg;
    free(arg);
    while (!l.server->stopping) {
        struct pollfd p = {.fd = l.server->fd[l.side], .events = POLLIN};
        if (poll(&p, 1, 10) <= 0)
            continue;
        int fd = accept(p.fd, NULL, NULL);
        connection *c = fd < 0 ? NULL : calloc(1, sizeof *c);
        if (!c)
            continue;
        c->server = l.server;
        c->fd = fd;
        c->side = l.side;
        pthread_t thread;
        atomic_fetch_add(&l.server->connections, 1);
        if (pthread_create(&thread, NULL, run_connection, c) != 0)
            abort();
        pthread_detach(thread);
    }
    return NULL;
}

static bool start_side(hub_server *s, int side, int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t n = sizeof at;
    int on = 1;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->fd[side] = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(s->fd[side], SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(s->fd[side], (struct sockaddr *)&at, sizeof at) != 0 || listen(s->fd[side], 64) != 0 ||
        getsockname(s->fd[side], (struct sockaddr *)&at, &n) != 0)
        return false;
    s->port[side] = ntohs(at.sin_port);
    return true;
}

hub_server *hub_server_start(const hub_server_file *files, size_t count, int port)
{
    hub_server *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->files = files;
    s->count = count;
    s->hashes = calloc(count + 1, sizeof *s->hashes);
    if (!s->hashes)
        abort();
    for (size_t i = 0; i < count; i++)
        hub_server_hash(&files[i], s->hashes[i]);
    if (!start_side(s, 0, port) || !start_side(s, 1, 0)) {
        free(s->hashes);
        free(s);
        return NULL;
    }
    for (int side = 0; side < 2; side++) {
        listener *l = malloc(sizeof *l);
        if (!l)
            abort();
        *l = (listener){s, side};
        if (pthread_create(&s->thread[side], NULL, run_listener, l) != 0)
            abort();
    }
    return s;
}

int hub_server_port(const hub_server *s)
{
    return s->port[0];
}

hub_server_counts *hub_server_counters(hub_server *s)
{
    return &s->counts;
}

void hub_server_stop(hub_server *s)
{
    s->stopping = true;
    for (int side = 0; side < 2; side++) {
        pthread_join(s->thread[side], NULL);
        close(s->fd[side]);
    }
    while (s->connections > 0)
        usleep(5000);
    free(s->hashes);
    free(s);
}
