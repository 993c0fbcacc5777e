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

hone_status hone_session_open_for(hone_engine *e, uint32_t limit, hone_session **out)
{
    *out = NULL;
    if (limit == 0 || limit > e->config.context_tokens)
        return hone_fail(HONE_LIMIT,
                         "a session of %u tokens; the context takes 1 to %u (raise the context)",
                         limit, e->config.context_tokens);
    size_t tokens = limit, pages = pages_for(limit);
    uint32_t long_from = e->model->hp.long_from;
    hone_session *s = hone_calloc(1, sizeof *s);
    if (s) {
        s->engine = e;
        s->limit = limit;
        s->long_rope = long_from && limit > long_from;
        s->tokens = hone_malloc(tokens * sizeof *s->tokens);
        s->pages = hone_malloc(pages * sizeof *s->pages);
        s->addresses = hone_malloc(pages * sizeof *s->addresses);
    }
    if (!s || !s->tokens || !s->pages || !s->addresses) {
        hone_session_close(s);
        return hone_fail_memory(tokens * sizeof *s->tokens, "a session");
    }
    s->tables = s->addresses;
    *out = s;
    return HONE_OK;
}

void hone_session_close(hone_session *s)
{
    if (!s)
        return;
    hone_session_truncate(s, 0);
    hone_free(s->tokens);
    hone_free(s->pages);
    hone_free(s->addresses);
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

static void append(hone_session *s, int32_t page)
{
    s->pages[s->n_pages] = page;
    s->addresses[s->n_pages++] = hone_pages_data(s->engine->pages, page);
}

static void cut_pages(hone_session *s, uint32_t keep)
{
    while (s->n_pages > keep)
        hone_pages_drop(s->engine->pages, s->pages[--s->n_pages]);
}

void hone_session_truncate(hone_session *s, uint32_t length)
{
    if (length < s->length)
        s->length = length;
    cut_pages(s, pages_for(s->length));
}

hone_status hone_session_fork(const hone_session *s, hone_session **out)
{
    hone_session *c;
    HONE_TRY(hone_session_open_for(s->engine, s->limit, &c));
    /* The last page is shared too, full or not: whoever writes to it first takes a copy (reserve).
     */
    for (uint32_t i = 0; i < pages_for(s->length); i++) {
        hone_pages_hold(s->engine->pages, s->pages[i]);
        append(c, s->pages[i]);
    }
    memcpy(c->tokens, s->tokens, s->length * sizeof *s->tokens);
    c->length = s->length;
    *out = c;
    return HONE_OK;
}

hone_status hone_session_reuse(hone_session *s, const int32_t *tokens, uint32_t n, uint32_t *reused)
{
    *reused = 0;
    if (s->length != 0)
        return hone_fail(HONE_USAGE, "a prefix can be reused only by an empty session");
    if (!s->engine->config.prefix_reuse || n == 0 || n > s->limit)
        return HONE_OK;
    int32_t parent = root_of(s);
    while (s->length + HONE_PAGE_POSITIONS < n) { /* one token at least is left to be fed */
        int32_t page = hone_pages_match(s->engine->pages, parent, tokens + s->length);
        if (page == HONE_PAGE_NONE)
            break;
        append(s, page);
        memcpy(s->tokens + s->length, tokens + s->length, HONE_PAGE_POSITIONS * sizeof *tokens);
        s->length += HONE_PAGE_POSITIONS;
        parent = page;
    }
    *reused = s->length;
    return HONE_OK;
}

hone_status hone_session_reserve(hone_session *s, uint32_t n)
{
    hone_pages *p = s->engine->pages;
    uint32_t at = s->length / HONE_PAGE_POSITIONS;
    if (s->length % HONE_PAGE_POSITIONS && !hone_pages_writable(p, s->pages[at])) {
        int32_t copy;
        HONE_TRY(hone_pages_take(p, &copy));
        memcpy(hone_pages_data(p, copy), s->addresses[at], hone_pages_page_bytes(p));
        hone_pages_drop(p, s->pages[at]);
        s->pages[at] = copy;
        s->addresses[at] = hone_pages_data(p, copy);
    }
    while (s->n_pages < pages_for(s->length + n)) {
        int32_t page;
        HONE_TRY(hone_pages_take(p, &page));
        append(s, page);
    }
    return HONE_OK;
}

void hone_session_unreserve(hone_session *s)
{
    cut_pages(s, pages_for(s->length));
}

void hone_session_commit(hone_session *s, const int32_t *tokens, uint32_t n)
{
    hone_pages *p = s->engine->pages;
    memcpy(s->tokens + s->length, tokens, n * sizeof *tokens);
    uint32_t full = s->length / HONE_PAGE_POSITIONS;
    s->length += n;
    if (!s->engine->config.prefix_reuse)
        return;
    for (; full < s->length / HONE_PAGE_POSITIONS; full++) {
        int32_t parent = full ? s->pages[full - 1] : root_of(s);
        s->pages[full] = hone_pages_publish(p, s->pages[full], parent,
                                            s->tokens + (size_t)full * HONE_PAGE_POSITIONS);
        s->addresses[full] = hone_pages_data(p, s->pages[full]);
    }
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
