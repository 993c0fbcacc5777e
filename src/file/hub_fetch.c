/*
 * hub_fetch - the wanted files by ranges, several at a time, written in order.
 *
 * The files one after the other are one long string of bytes, cut into pieces. Each lane (a
 * connection with a buffer of one piece) takes the next piece; the lane with the first piece that
 * is not yet written is the head. Only the head's bytes are appended to their blob, as they come;
 * the others wait in their buffers. So a blob is a prefix of its content at any time, its hash runs
 * along, and no more than lanes x piece bytes of memory hold what came early.
 *
 * A server without ranges is found out at a file's first piece, whose answer is the whole file:
 * then the piece grows to the file, and the lane is paused while its buffer is full and it is not
 * the head.
 */
#include "base/clock.h"
#include "base/interrupt.h"
#include "file/hub_blob.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LANES_MAX = 32,
    FILES_OPEN_MAX = 64,
    LANES = 8,
    PIECE_BYTES = 8 << 20,
    BUFFER_MIN = 64 << 10, /* more than libcurl hands over at once (16 KiB) */
    FLUSH_BYTES = 1 << 20,
    REFUSAL_BYTES = 1 << 20, /* of the body of a refusal */
    POLL_MS = 100,
    REPORT_MS = 200
};

typedef enum lane_state { LANE_IDLE, LANE_RUNNING, LANE_PAUSING, LANE_FULL } lane_state;

typedef struct source { /* of a file: what its pieces share */
    hub_blob blob;
    uint64_t next; /* first byte that no lane has */
    bool ranges;   /* an answer to a range was that range */
    bool asked;    /* a first piece is under way, and shows whether there are ranges */
    char *direct;  /* the address that redirects ended at */
} source;

typedef struct lane {
    struct fetch *fetch;
    source *from;
    CURL *easy;
    struct curl_slist *list;
    uint8_t *buffer;
    size_t capacity, filled;
    uint64_t begin, end; /* of the file: the buffer's first byte; the end of the piece */
    uint64_t skip;       /* bytes of the answer before the first that is wanted */
    uint64_t refused;    /* bytes of a refusal's body */
    uint64_t mark;       /* begin + filled when the attempts were last counted from 1 */
    double start_at;     /* PAUSING: hone_clock_s() when to ask again */
    lane_state state;
    int attempt, hops;
    bool judged, paused;
    bool shortcut; /* the address asked first was where redirects led before */
    bool distrust; /* such an address was refused: ask the hub itself */
    char *url;
    hub_headers headers;
    char fault[400]; /* what was wrong with the answer, "" = nothing */
} lane;

typedef struct fetch {
    const hub_client *client;
    const hub_cache *cache;
    const char *commit;
    const hub_wanted *wanted;
    source *sources; /* count */
    size_t count;
    size_t head; /* first file that is not finished */
    size_t tail; /* file that the next piece is of */
    CURLM *multi;
    lane lanes[LANES_MAX];
    int lane_count;
    size_t piece_bytes;
    uint64_t done_bytes, total_bytes, received;
    double reported_at;
    hone_status status; /* a failure inside a callback; its message is the thread's */
    bool waits;         /* for another process */
    bool moved;         /* in this round: a lane came free or a file was finished */
    bool *stale;
} fetch;

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- what comes ---- */

static bool is_head(const lane *l)
{
    return l->from == &l->fetch->sources[l->fetch->head] && l->from->blob.open &&
           l->begin == l->from->blob.bytes;
}

/* Writes the buffer of the head. */
static hone_status flush(lane *l)
{
    if (l->filled == 0)
        return HONE_OK;
    HONE_TRY(hub_blob_append(&l->from->blob, l->buffer, l->filled));
    l->fetch->done_bytes += l->filled;
    l->begin += l->filled;
    l->filled = 0;
    return HONE_OK;
}

static void find_fault(lane *l, const char *what)
{
    snprintf(l->fault, sizeof l->fault, "%s", what);
}

/* A 206 must be the range that was asked for, or its beginning. */
static bool is_right_range(const lane *l)
{
    unsigned long long from, to, all;
    const char *range = l->headers.content_range;
    int used = 0;
    if (sscanf(range, "bytes %llu-%llu/%n", &from, &to, &used) != 2 || used == 0)
        return false;
    if (strcmp(range + used, "*") != 0) {
        char *end;
        all = strtoull(range + used, &end, 10);
        if (*end != 0 || end == range + used || all != l->from->blob.wanted->bytes)
            return false;
    }
    return from == l->begin + l->filled && to >= from && to < l->end;
}

/* Looks at the head of an answer, before its first byte is taken. */
static void judge(lane *l, long status)
{
    uint64_t bytes = l->from->blob.wanted->bytes, at = l->begin + l->filled;
    const char *coding = l->headers.content_encoding;
    curl_off_t length = -1;
    char text[300];
    l->judged = true;
    curl_easy_getinfo(l->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (coding[0] && strcasecmp(coding, "identity") != 0) {
        find_fault(l, "the answer is compressed, though that was not asked for");
    } else if (status == 206) {
        if (is_right_range(l)) {
            l->from->ranges = true;
            if (l->hops > 0 && !l->from->direct)
                l->from->direct = hone_strdup(l->url); /* NULL: the hub is asked again */
            return;
        }
        snprintf(text, sizeof text, "bytes %llu-%llu/%llu were asked for, and the answer is \"%s\"",
                 (unsigned long long)at, (unsigned long long)l->end - 1, (unsigned long long)bytes,
                 l->headers.content_range);
        find_fault(l, text);
    } else if (length >= 0 && (uint64_t)length != bytes) {
        snprintf(text, sizeof text, "the answer has %lld bytes, the list of files says %llu",
                 (long long)length, (unsigned long long)bytes);
        find_fault(l, text);
    } else if (l->from->ranges && l->end != bytes) {
        find_fault(l, "a range was asked for, and the answer is the whole file");
    } else {
        l->skip = at;
        l->end = l->from->next = bytes;
    }
}

/* Room for n more bytes: the head writes what it has. */
static bool make_room(lane *l, size_t n)
{
    if (n <= l->capacity - l->filled)
        return true;
    if (!is_head(l))
        return false;
    l->fetch->status = flush(l);
    return l->fetch->status == HONE_OK && n <= l->capacity;
}

static size_t on_bytes(char *data, size_t size, size_t count, void *arg)
{
    lane *l = arg;
    size_t all = size * count, n = all;
    long status = 0;
    curl_easy_getinfo(l->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200 && status != 206) {
        l->refused += n;
        return l->refused > REFUSAL_BYTES ? 0 : n;
    }
    if (!l->judged)
        judge(l, status);
    if (l->fault[0])
        return 0;
    size_t skip = (size_t)least(l->skip, n);
    n -= skip;
    if (n > l->end - l->begin - l->filled) {
        find_fault(l, "the answer goes on beyond its end");
        return 0;
    }
    if (!make_room(l, n)) {
        l->paused = l->fetch->status == HONE_OK;
        return l->paused ? CURL_WRITEFUNC_PAUSE : 0;
    }
    memcpy(l->buffer + l->filled, data + skip, n);
    l->skip -= skip;
    l->filled += n;
    l->fetch->received += all;
    return all;
}

/* ---- lanes ---- */

static hone_status lane_send(lane *l)
{
    fetch *f = l->fetch;
    const hub_wanted *w = l->from->blob.wanted;
    uint64_t at = l->begin + l->filled;
    char range[64];
    l->judged = l->paused = false;
    l->skip = l->refused = 0;
    l->fault[0] = 0;
    HONE_TRY(hub_prepare(f->client, l->easy, l->url, &l->list, &l->headers));
    /* A file of one piece is asked for as a whole: some servers refuse ranges of small ones. */
    if (at > 0 || l->end < w->bytes || w->bytes > f->piece_bytes) {
        snprintf(range, sizeof range, "%llu-%llu", (unsigned long long)at,
                 (unsigned long long)l->end - 1);
        if (curl_easy_setopt(l->easy, CURLOPT_RANGE, range) != CURLE_OK)
            return hone_fail_memory(sizeof range, "a request");
    }
    curl_easy_setopt(l->easy, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(l->easy, CURLOPT_WRITEDATA, l);
    curl_easy_setopt(l->easy, CURLOPT_PRIVATE, l);
    CURLMcode m = curl_multi_add_handle(f->multi, l->easy);
    if (m != CURLM_OK)
        return hone_fail(m == CURLM_OUT_OF_MEMORY ? HONE_MEMORY : HONE_INTERNAL,
                         "libcurl takes no request: %s", curl_multi_strerror(m));
    l->state = LANE_RUNNING;
    return HONE_OK;
}

/* The address to ask: where redirects led before, else the hub's. */
static hone_status lane_aim(lane *l)
{
    l->shortcut = l->from->direct && !l->distrust;
    const char *url = l->shortcut ? l->from->direct : l->from->blob.wanted->url;
    hone_free(l->url);
    l->hops = 0;
    l->url = hone_strdup(url);
    return l->url ? HONE_OK : hone_fail_memory(strlen(url), "an address");
}

/* Gives the lane the next piece of the source. */
static hone_status lane_take(lane *l, source *from)
{
    fetch *f = l->fetch;
    uint64_t bytes = from->blob.wanted->bytes;
    if (!l->easy && !(l->easy = curl_easy_init()))
        return hone_fail_memory(1, "a connection");
    if (!l->buffer) {
        l->capacity = f->piece_bytes > BUFFER_MIN ? f->piece_bytes : BUFFER_MIN;
        l->buffer = hone_malloc(l->capacity);
        if (!l->buffer)
            return hone_fail_memory(l->capacity, "the buffer of a connection");
    }
    l->from = from;
    l->begin = l->mark = from->next;
    l->end = least(bytes, l->begin + f->piece_bytes);
    l->filled = 0;
    l->attempt = 1;
    l->distrust = false;
    from->next = l->end;
    from->asked = true;
    HONE_TRY(lane_aim(l));
    return lane_send(l);
}

/* Something went wrong that may pass: asks again for what is missing, after a pause if nothing much
 * had come. The failure `s` stands (with its message) when there were too many. */
static hone_status lane_repeat(lane *l, hone_status s, int64_t retry_after)
{
    /* Much is a quarter of what was missing, or plenty: then the attempts count from 1 again. */
    uint64_t at = l->begin + l->filled, much = least(64 << 10, (l->end - l->mark + 3) / 4);
    bool moved = at >= l->mark + much;
    if (moved) {
        l->attempt = 1;
        l->mark = at;
    }
    int64_t ms =
        moved && retry_after == 0 ? 0 : hub_pause_ms(l->fetch->client, l->attempt, retry_after);
    /* Only the head gives up: a server may well drop a lane that was paused behind a long file. */
    if (ms < 0 || (l->attempt >= HUB_ATTEMPTS_MAX && is_head(l)))
        return s;
    l->attempt += l->attempt < HUB_ATTEMPTS_MAX;
    HONE_TRY(lane_aim(l));
    l->state = LANE_PAUSING;
    l->start_at = hone_clock_s() + (double)ms * 1e-3;
    return HONE_OK;
}

static hone_status lane_fault(lane *l, const char *fault)
{
    /* Nothing is missing, yet the answer was wrong: then all that is not written is asked again. */
    if (l->begin + l->filled == l->end)
        l->filled = 0;
    if (l->begin == l->end) {
        l->state = LANE_FULL; /* the hash has the last word */
        return HONE_OK;
    }
    return lane_repeat(l,
                       hone_fail(HONE_FORMAT, "%s: %s: %s", l->fetch->client->repository,
                                 l->from->blob.wanted->path, fault),
                       0);
}

/* An answer that is neither the bytes nor a failure of the line. */
static hone_status lane_refused(lane *l, long status)
{
    const char *path = l->from->blob.wanted->path;
    char *next;
    if (status >= 300 && status < 400) {
        HONE_TRY(hub_follow(l->easy, l->url, &l->hops, &next));
        hone_free(l->url);
        l->url = next;
        return lane_send(l);
    }
    /* A signed address may have expired: then the hub gives another. */
    if (l->shortcut && l->from->direct && strcmp(l->url, l->from->direct) == 0) {
        hone_free(l->from->direct);
        l->from->direct = NULL;
    }
    curl_off_t after = 0;
    curl_easy_getinfo(l->easy, CURLINFO_RETRY_AFTER, &after);
    hone_status s = hub_fail_status(l->fetch->client, status, &l->headers, l->url, path);
    if (after > l->fetch->client->wait_max_s)
        s = hone_fail(HONE_IO, "%s: %s: the server asks for a pause of %lld s (%ld)",
                      l->fetch->client->repository, path, (long long)after, status);
    l->distrust = l->shortcut || l->hops > 0;
    return l->distrust || hub_may_repeat(status) ? lane_repeat(l, s, after) : s;
}

static hone_status lane_ended(lane *l, CURLcode code)
{
    fetch *f = l->fetch;
    long status = 0;
    char text[200];
    curl_easy_getinfo(l->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_multi_remove_handle(f->multi, l->easy);
    HONE_TRY(f->status);
    bool bytes = status == 200 || status == 206;
    if (bytes && !l->judged && code == CURLE_OK)
        judge(l, status);
    if (l->fault[0])
        return lane_fault(l, l->fault);
    if (bytes && l->begin + l->filled == l->end) {
        l->state = LANE_FULL;
        return HONE_OK;
    }
    if (code != CURLE_OK && (bytes || status == 0)) {
        hone_status s =
            hub_fail_code(f->client, code, &l->headers, l->url, l->from->blob.wanted->path);
        return hub_may_repeat_code(code) ? lane_repeat(l, s, 0) : s;
    }
    if (!bytes)
        return lane_refused(l, status);
    snprintf(text, sizeof text, "the answer ends %llu bytes early",
             (unsigned long long)(l->end - l->begin - l->filled));
    return lane_fault(l, text);
}

/* ---- the order of things ---- */

static void report(fetch *f, const char *doing, const char *path)
{
    hone_hub_state state = {.doing = doing,
                            .file = path,
                            .bytes_done = f->done_bytes,
                            .bytes_total = f->total_bytes,
                            .bytes_received = f->received};
    for (int i = 0; i < f->lane_count; i++)
        state.bytes_done += f->lanes[i].filled;
    hub_report(f->client, &state);
}

/* Opens the file of which the next piece is. *ready: there is a piece to take. */
static hone_status open_tail(fetch *f, bool *ready)
{
    source *s = &f->sources[f->tail];
    *ready = false;
    f->waits = false;
    if (!s->blob.open && !s->blob.done) {
        if (f->wanted[f->tail].cached_bytes)
            report(f, "checking", f->wanted[f->tail].path);
        HONE_TRY(hub_blob_open(&s->blob, f->cache, &f->wanted[f->tail]));
        f->waits = !s->blob.open && !s->blob.done;
        if (f->waits)
            return HONE_OK;
        s->next = s->blob.bytes;
        f->done_bytes += s->blob.done ? f->wanted[f->tail].bytes : s->blob.bytes;
    }
    if (s->blob.done || s->next == f->wanted[f->tail].bytes) {
        f->tail++;
        return HONE_OK;
    }
    *ready = s->ranges || !s->asked;
    return HONE_OK;
}

/* Gives pieces to idle lanes, and sends again what has waited long enough. */
static hone_status hand_out(fetch *f)
{
    for (int i = 0; i < f->lane_count; i++) {
        lane *l = &f->lanes[i];
        if (l->state == LANE_PAUSING && hone_clock_s() >= l->start_at)
            HONE_TRY(lane_send(l));
        while (l->state == LANE_IDLE && f->tail < f->count && f->tail < f->head + FILES_OPEN_MAX) {
            bool ready;
            size_t at = f->tail;
            HONE_TRY(open_tail(f, &ready));
            if (ready)
                HONE_TRY(lane_take(l, &f->sources[f->tail]));
            else if (f->tail == at)
                break;
        }
    }
    return HONE_OK;
}

static lane *find_head(fetch *f)
{
    for (int i = 0; i < f->lane_count; i++)
        if (f->lanes[i].state != LANE_IDLE && is_head(&f->lanes[i]))
            return &f->lanes[i];
    return NULL;
}

static hone_status finish_head(fetch *f)
{
    source *s = &f->sources[f->head];
    if (s->blob.done) { /* by another program */
        HONE_TRY(
            hub_cache_link(f->cache, f->commit, f->wanted[f->head].path, f->wanted[f->head].hash));
    } else {
        hone_status t = hub_blob_finish(&s->blob, f->commit);
        *f->stale = t == HONE_FORMAT && s->blob.resumed > 0;
        HONE_TRY(t);
    }
    hone_free(s->direct);
    s->direct = NULL;
    f->head++;
    f->moved = true;
    return HONE_OK;
}

/* Writes what can be written, and finishes the files that are all there. */
static hone_status write_head(fetch *f)
{
    while (f->head < f->count) {
        source *s = &f->sources[f->head];
        if (s->blob.done || (s->blob.open && s->blob.bytes == s->blob.wanted->bytes)) {
            HONE_TRY(finish_head(f));
            continue;
        }
        lane *l = find_head(f);
        if (!l)
            return HONE_OK;
        if (l->filled >= FLUSH_BYTES || l->state == LANE_FULL || l->paused)
            HONE_TRY(flush(l));
        if (l->state != LANE_FULL) {
            if (l->paused) {
                l->paused = false;
                curl_easy_pause(l->easy, CURLPAUSE_CONT);
            }
            return f->status;
        }
        l->state = LANE_IDLE;
        f->moved = true;
    }
    return HONE_OK;
}

static hone_status take_results(fetch *f)
{
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(f->multi, &left));) {
        lane *l = NULL;
        if (m->msg != CURLMSG_DONE)
            continue;
        CURLcode code = m->data.result;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &l);
        HONE_TRY(lane_ended(l, code));
    }
    return f->status;
}

/* Milliseconds until something has to be looked at again. */
static int poll_ms(const fetch *f)
{
    double now = hone_clock_s(), soonest = POLL_MS * 1e-3;
    for (int i = 0; i < f->lane_count; i++)
        if (f->lanes[i].state == LANE_PAUSING && f->lanes[i].start_at - now < soonest)
            soonest = f->lanes[i].start_at - now;
    return soonest > 0 ? (int)(soonest * 1e3) + 1 : 0;
}

static hone_status run(fetch *f)
{
    while (f->head < f->count) {
        int running;
        HONE_TRY(hone_interrupt_check());
        HONE_TRY(hand_out(f));
        CURLMcode m = curl_multi_perform(f->multi, &running);
        if (m != CURLM_OK)
            return hone_fail(m == CURLM_OUT_OF_MEMORY ? HONE_MEMORY : HONE_INTERNAL,
                             "libcurl gives up: %s", curl_multi_strerror(m));
        HONE_TRY(take_results(f));
        f->moved = false;
        HONE_TRY(write_head(f));
        if (hone_clock_s() - f->reported_at > REPORT_MS * 1e-3) {
            f->reported_at = hone_clock_s();
            report(f, f->waits && f->head == f->tail ? "waiting for another process" : "fetching",
                   f->head < f->count ? f->wanted[f->head].path : NULL);
        }
        if (!f->moved)
            curl_multi_poll(f->multi, NULL, 0, poll_ms(f), NULL);
    }
    return HONE_OK;
}

/* Keeps what the head has: a later pull goes on from it. The message of the failure stays. */
static void keep_head(fetch *f)
{
    char why[1024];
    snprintf(why, sizeof why, "%s", hone_error());
    lane *l = find_head(f);
    hone_status s = l && f->status == HONE_OK ? flush(l) : HONE_OK;
    if (s != HONE_OK)
        (void)!hone_fail(s, "%s", why);
}

static void close_fetch(fetch *f)
{
    for (int i = 0; i < f->lane_count; i++) {
        lane *l = &f->lanes[i];
        if (l->state == LANE_RUNNING)
            curl_multi_remove_handle(f->multi, l->easy);
        curl_easy_cleanup(l->easy);
        curl_slist_free_all(l->list);
        hone_free(l->buffer);
        hone_free(l->url);
    }
    curl_multi_cleanup(f->multi);
    for (size_t i = 0; f->sources && i < f->count; i++) {
        if (f->sources[i].blob.open)
            hub_blob_close(&f->sources[i].blob);
        hone_free(f->sources[i].direct);
    }
    hone_free(f->sources);
}

hone_status hub_fetch(const hub_client *client, const hub_cache *cache, const char *commit,
                      const hub_wanted *wanted, size_t count, uint64_t *received, bool *stale)
{
    const hone_hub_options *o = client->options;
    fetch *f = hone_calloc(1, sizeof *f);
    if (!f)
        return hone_fail_memory(sizeof *f, "the connections");
    *stale = false;
    f->client = client;
    f->cache = cache;
    f->commit = commit;
    f->wanted = wanted;
    f->count = count;
    f->stale = stale;
    f->lane_count = o->connections < 1 ? LANES : (int)least((uint64_t)o->connections, LANES_MAX);
    f->piece_bytes = o->piece_bytes ? o->piece_bytes : PIECE_BYTES;
    for (int i = 0; i < f->lane_count; i++)
        f->lanes[i].fetch = f;
    for (size_t i = 0; i < count; i++)
        f->total_bytes += wanted[i].bytes;
    f->sources = hone_calloc(count + 1, sizeof *f->sources);
    f->multi = curl_multi_init();
    hone_status s = f->sources && f->multi ? run(f) : hone_fail_memory(1, "the connections");
    if (s != HONE_OK && f->sources && f->multi)
        keep_head(f);
    *received += f->received;
    close_fetch(f);
    hone_free(f);
    return s;
}
