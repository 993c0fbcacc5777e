/*
 * session - the engine's own view of a session: tokens and page tables. Not for other rooms.
 *
 * A step reserves pages before it runs and commits tokens after; between the two, pages beyond
 * `length` are already in the tables. unreserve drops them again. Pages behind the window of their
 * layers are given back at commit; the index may still have them, so that a truncated session
 * finds them again, or else is cut to where its windows begin.
 */
#ifndef HONE_ENGINE_SESSION_H
#define HONE_ENGINE_SESSION_H

#include "cache/pages.h"
#include "engine/engine.h"
#include "model/adapter.h"
#include "model/forward.h"

struct hone_engine {
    hone_config config;
    hone_model_facts facts;
    const hone_kernels *kt;
    hone_pool *pool;
    hone_model *model;
    hone_adapter *adapter; /* or NULL */
    hone_forward *forward;
    hone_pages *pages;
    hone_sequence *sequences; /* [step_tokens], of the running step; so are the next two */
    int32_t *tokens, *types;
    uint32_t *wanted;
};

struct hone_session {
    hone_engine *engine;
    uint32_t limit;     /* most tokens; what longrope goes by */
    uint32_t long_rope; /* hone_sequence.long_rope */
    uint32_t length;
    uint32_t n_tables, n_pages, max_pages; /* pages of each table, from its first one on */
    int32_t *tokens;                       /* [limit] */
    int32_t *pages;       /* [n_tables][max_pages]; HONE_PAGE_NONE before a table's first */
    void **addresses;     /* [n_tables][max_pages] where each page lies, or NULL */
    void *const **tables; /* [n_tables] the rows of addresses */
    uint32_t *first;      /* [n_tables] pages before it are behind the window and given back */
    int32_t *nodes;       /* [max_pages] of the index, for the first n_nodes pages */
    uint32_t n_nodes;
};

/* One step over rows as hone_engine_step has them, with token types for each row (NULL = 0).
 * hidden: out[wanted][hidden size] is what the final norm gives, instead of logits. */
HONE_CHECKED hone_status hone_engine_run(hone_engine *e, const hone_row *rows,
                                         const int32_t *const *types, size_t n_rows, bool hidden,
                                         float *out);

/* Pages for n more tokens, the first of them written to only by this session. On failure the caller
 * calls hone_session_unreserve. */
HONE_CHECKED hone_status hone_session_reserve(hone_session *s, uint32_t n);
void hone_session_unreserve(hone_session *s);
void hone_session_commit(hone_session *s, const int32_t *tokens, uint32_t n);

#endif
