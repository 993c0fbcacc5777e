#include "engine/session.h"

#include "base/mem.h"

#include <string.h>

static uint32_t pages_for(uint32_t tokens)
{
    return (tokens + HONE_PAGE_POSITIONS - 1) / HONE_PAGE_POSITIONS;
}

hone_status hone_session_open(hone_engine *e, hone_session **out)
{
    return hone_session_open_for(e, e->config.context_tokens, out);
}

static bool allocate(hone_session *s)
{
    size_t pages = s->max_pages, tables = s->n_tables, cells = tables * pages;
    s->addresses = hone_calloc(cells, sizeof *s->addresses);
    s->tables = hone_calloc(tables, sizeof *s->tables);
    s->pages = hone_malloc(cells * sizeof *s->pages);
    s->first = hone_calloc(tables, sizeof *s->first);
    s->nodes = hone_malloc(pages * sizeof *s->nodes);
    s->tokens = hone_malloc(s->limit * sizeof *s->tokens);
    if (!s->addresses || !s->tables || !s->pages || !s->first || !s->nodes || !s->tokens)
        return false;
    for (size_t t = 0; t < tables; t++)
        s->tables[t] = s->addresses + t * pages;
    return true;
}

hone_status hone_session_open_for(hone_engine *e, uint32_t limit, hone_session **out)
{
    *out = NULL;
    if (limit == 0 || limit > e->config.context_tokens)
        return hone_fail(HONE_LIMIT,
                         "a session of %u tokens; the context takes 1 to %u (raise the context)",
                         limit, e->config.context_tokens);
    uint32_t long_from = e->model->hp.long_from;
    hone_session *s = hone_calloc(1, sizeof *s);
    if (s)
        *s = (hone_session){.engine = e,
                            .limit = limit,
                            .long_rope = long_from && limit > long_from,
                            .n_tables = e->forward->tables.count,
                            .max_pages = pages_for(limit)};
    if (!s || !allocate(s)) {
        hone_session_close(s);
        return hone_fail_memory(limit * sizeof *s->tokens, "a session");
    }
    *out = s;
    return HONE_OK;
}

void hone_session_close(hone_session *s)
{
    if (!s)
        return;
    if (s->n_pages)
        hone_session_truncate(s, 0);
    hone_free(s->addresses);
    hone_free(s->tables);
    hone_free(s->pages);
    hone_free(s->first);
    hone_free(s->nodes);
    hone_free(s->tokens);
    hone_free(s);
}

uint32_t hone_session_length(const hone_session *s)
{
    return s->length;
}

/* Sequences that rotate by other frequencies share nothing: they begin at another root. */
static int32_t root_of(const hone_session *s)
{
    return HONE_PAGE_NONE - (int32_t)s->long_rope;
}

static int32_t *page_at(const hone_session *s, uint32_t table, uint32_t i)
{
    return &s->pages[(size_t)table * s->max_pages + i];
}

static void put_page(hone_session *s, uint32_t table, uint32_t i, int32_t page)
{
    *page_at(s, table, i) = page;
    s->addresses[(size_t)table * s->max_pages + i] =
        page == HONE_PAGE_NONE ? NULL : hone_pages_data(s->engine->pages, page);
}

static void drop_page(hone_session *s, uint32_t table, uint32_t i)
{
    if (*page_at(s, table, i) != HONE_PAGE_NONE)
        hone_pages_drop(s->engine->pages, *page_at(s, table, i));
    put_page(s, table, i, HONE_PAGE_NONE);
}

static void cut_pages(hone_session *s, uint32_t keep)
{
    while (s->n_pages > keep) {
        s->n_pages--;
        for (uint32_t t = 0; t < s->n_tables; t++)
            drop_page(s, t, s->n_pages);
    }
}

static void cut_nodes(hone_session *s, uint32_t keep)
{
    while (s->n_nodes > keep)
        hone_pages_drop_node(s->engine->pages, s->nodes[--s->n_nodes]);
}

static uint32_t first_page(const hone_session *s, uint32_t table, uint32_t next)
{
    return hone_kv_first_page(s->engine->forward->tables.window[table], next);
}

/* The page of the index that could stand for page i of a table, or HONE_PAGE_NONE. */
static int32_t indexed(const hone_session *s, uint32_t table, uint32_t i)
{
    return i < s->n_nodes ? hone_pages_of(s->engine->pages, s->nodes[i], table) : HONE_PAGE_NONE;
}

/* The longest length up to `wish` whose next token finds every page that it sees, in the session or
 * in the index. */
static uint32_t restorable(const hone_session *s, uint32_t wish)
{
    for (uint32_t t = 0; t < s->n_tables; t++) {
        uint32_t i = first_page(s, t, wish), end = pages_for(wish);
        while (i < end && (i >= s->first[t] || indexed(s, t, i) != HONE_PAGE_NONE))
            i++;
        if (i < end) { /* page i is gone: no further than its beginning; ask all tables again */
            wish = i * HONE_PAGE_POSITIONS;
            t = UINT32_MAX;
        }
    }
    return wish;
}

void hone_session_truncate(hone_session *s, uint32_t length)
{
    if (length < s->length)
        s->length = restorable(s, length);
    for (uint32_t t = 0; t < s->n_tables; t++) {
        uint32_t from = first_page(s, t, s->length);
        while (s->first[t] > from) { /* what the window needs again */
            uint32_t i = s->first[t] - 1;
            int32_t page = i < pages_for(s->length) ? indexed(s, t, i) : HONE_PAGE_NONE;
            if (page != HONE_PAGE_NONE)
                hone_pages_hold(s->engine->pages, page);
            put_page(s, t, i, page);
            s->first[t] = i;
        }
    }
    cut_pages(s, pages_for(s->length));
    cut_nodes(s, s->length / HONE_PAGE_POSITIONS);
}

hone_status hone_session_fork(const hone_session *s, hone_session **out)
{
    hone_session *c;
    hone_pages *p = s->engine->pages;
    HONE_TRY(hone_session_open_for(s->engine, s->limit, &c));
    /* The last page is shared too, full or not: whoever writes to it first takes a copy (reserve).
     */
    c->n_pages = pages_for(s->length);
    for (uint32_t t = 0; t < s->n_tables; t++) {
        c->first[t] = s->first[t];
        for (uint32_t i = 0; i < c->n_pages; i++) {
            put_page(c, t, i, *page_at(s, t, i));
            if (i >= s->first[t])
                hone_pages_hold(p, *page_at(s, t, i));
        }
    }
    for (; c->n_nodes < s->n_nodes; c->n_nodes++) {
        c->nodes[c->n_nodes] = s->nodes[c->n_nodes];
        hone_pages_hold_node(p, c->nodes[c->n_nodes]);
    }
    memcpy(c->tokens, s->tokens, s->length * sizeof *s->tokens);
    c->length = s->length;
    *out = c;
    return HONE_OK;
}

/* An empty session takes the way through the index as its own with all pages given back, and then
 * truncation fetches those that the next token sees. */
hone_status hone_session_reuse(hone_session *s, const int32_t *tokens, uint32_t n, uint32_t *reused)
{
    hone_pages *p = s->engine->pages;
    *reused = 0;
    if (s->length != 0)
        return hone_fail(HONE_USAGE, "a prefix can be reused only by an empty session");
    if (!s->engine->config.prefix_reuse || n == 0 || n > s->limit)
        return HONE_OK;
    int32_t parent = root_of(s);
    while (s->length + HONE_PAGE_POSITIONS < n) { /* one token at least is left to be fed */
        int32_t node = hone_pages_find(p, parent, tokens + s->length);
        if (node == HONE_PAGE_NONE)
            break;
        hone_pages_hold_node(p, node);
        s->nodes[s->n_nodes++] = node;
        for (uint32_t t = 0; t < s->n_tables; t++)
            put_page(s, t, s->n_pages, HONE_PAGE_NONE);
        s->n_pages++;
        s->length += HONE_PAGE_POSITIONS;
        parent = node;
    }
    for (uint32_t t = 0; t < s->n_tables; t++)
        s->first[t] = s->n_pages;
    s->length = restorable(s, s->length);
    memcpy(s->tokens, tokens, s->length * sizeof *tokens);
    hone_session_truncate(s, s->length);
    *reused = s->length;
    return HONE_OK;
}

/* A copy of the page that is written to next, where others see it too. */
static hone_status own_last_page(hone_session *s)
{
    hone_pages *p = s->engine->pages;
    uint32_t at = s->length / HONE_PAGE_POSITIONS;
    for (uint32_t t = 0; s->length % HONE_PAGE_POSITIONS && t < s->n_tables; t++) {
        int32_t page = *page_at(s, t, at), copy;
        if (hone_pages_writable(p, page))
            continue;
        HONE_TRY(hone_pages_take(p, &copy));
        memcpy(hone_pages_data(p, copy), hone_pages_data(p, page), hone_pages_page_bytes(p));
        hone_pages_drop(p, page);
        put_page(s, t, at, copy);
    }
    return HONE_OK;
}

hone_status hone_session_reserve(hone_session *s, uint32_t n)
{
    HONE_TRY(own_last_page(s));
    while (s->n_pages < pages_for(s->length + n)) {
        for (uint32_t t = 0; t < s->n_tables; t++) {
            int32_t page;
            hone_status st = hone_pages_take(s->engine->pages, &page);
            while (st != HONE_OK && t-- > 0)
                drop_page(s, t, s->n_pages);
            HONE_TRY(st);
            put_page(s, t, s->n_pages, page);
        }
        s->n_pages++;
    }
    return HONE_OK;
}

void hone_session_unreserve(hone_session *s)
{
    cut_pages(s, pages_for(s->length));
}

/* Puts page i into the index, if the way to it is there. */
static void publish(hone_session *s, uint32_t i)
{
    int32_t row[HONE_LAYERS_MAX], node;
    if (s->n_nodes != i)
        return;
    for (uint32_t t = 0; t < s->n_tables; t++)
        row[t] = *page_at(s, t, i);
    node = hone_pages_publish(s->engine->pages, i ? s->nodes[i - 1] : root_of(s),
                              s->tokens + (size_t)i * HONE_PAGE_POSITIONS, row);
    if (node == HONE_PAGE_NONE)
        return;
    s->nodes[s->n_nodes++] = node;
    for (uint32_t t = 0; t < s->n_tables; t++)
        put_page(s, t, i, row[t]);
}

/* Pages that the next token does not see, nor any later one. */
static void give_back(hone_session *s)
{
    for (uint32_t t = 0; t < s->n_tables; t++)
        for (uint32_t end = first_page(s, t, s->length); s->first[t] < end; s->first[t]++)
            drop_page(s, t, s->first[t]);
}

void hone_session_commit(hone_session *s, const int32_t *tokens, uint32_t n)
{
    memcpy(s->tokens + s->length, tokens, n * sizeof *tokens);
    uint32_t full = s->length / HONE_PAGE_POSITIONS;
    s->length += n;
    for (; s->engine->config.prefix_reuse && full < s->length / HONE_PAGE_POSITIONS; full++)
        publish(s, full);
    give_back(s);
}

hone_status hone_session_feed(hone_session *s, const int32_t *tokens, uint32_t n, hone_want want,
                              float *logits)
{
    uint32_t step = s->engine->config.step_tokens, before = s->length;
    size_t vocab = s->engine->facts.vocab;
    for (uint32_t done = 0; done < n;) {
        uint32_t now = n - done < step ? n - done : step;
        hone_row row = {s, tokens + done, now, want};
        if (want == HONE_WANT_LAST && done + now < n)
            row.want = HONE_WANT_NONE;
        hone_status st = hone_engine_step(s->engine, &row, 1, logits);
        if (st != HONE_OK) {
            hone_session_truncate(s, before);
            return st;
        }
        done += now;
        if (want == HONE_WANT_ALL)
            logits += now * vocab;
    }
    return HONE_OK;
}
