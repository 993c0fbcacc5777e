/*
 * spans - where the time goes. The thread that drives a step notes what it did, when, and how many
 * operations and bytes that took; profile, roofline and optimiser read the list.
 *
 * A recorder belongs to one thread. With no recorder (NULL) a span costs one branch. The list is
 * allocated once; when it is full, later spans are only counted (dropped).
 */
#ifndef HONE_BASE_SPANS_H
#define HONE_BASE_SPANS_H

#include "base/clock.h"
#include "base/status.h"
#include "base/threads.h"

/* X(name, what it covers) */
#define HONE_SPAN_LIST(X)                                                                          \
    X(TOKENIZE, "text to token ids")                                                               \
    X(LOAD, "reading and packing weights")                                                         \
    X(EMBED, "token embedding")                                                                    \
    X(NORM, "normalisation")                                                                       \
    X(ATTN_QKV, "query, key and value projections")                                                \
    X(ATTN_ROPE, "rotary position and cache write")                                                \
    X(ATTENTION, "scores, softmax and values")                                                     \
    X(ATTN_OUT, "attention output projection")                                                     \
    X(MLP_UP, "gate and up projections")                                                           \
    X(MLP_ACT, "activation")                                                                       \
    X(MLP_DOWN, "down projection")                                                                 \
    X(RESIDUAL, "adding to the stream")                                                            \
    X(HEAD, "output head")                                                                         \
    X(SAMPLE, "sampling")                                                                          \
    X(DETOKENIZE, "token ids to text")                                                             \
    X(STEP, "one whole step")

typedef enum hone_span_kind {
#define HONE_SPAN_ENUM(name, text) HONE_SPAN_##name,
    HONE_SPAN_LIST(HONE_SPAN_ENUM)
#undef HONE_SPAN_ENUM
        HONE_SPAN_KINDS
} hone_span_kind;

typedef struct hone_span {
    uint64_t begin_ns, end_ns;
    double flops, bytes;
    int kind;  /* hone_span_kind */
    int layer; /* -1: none */
} hone_span;

typedef struct hone_spans {
    hone_span *list; /* capacity entries */
    size_t count, capacity, dropped;
    hone_pool_log *threads; /* what the pool's threads do meanwhile; NULL = not noted */
} hone_spans;

HONE_CHECKED hone_status hone_spans_open(size_t capacity, hone_spans *out);
void hone_spans_close(hone_spans *s);
void hone_spans_clear(hone_spans *s);            /* its log of threads too */
const char *hone_span_name(hone_span_kind kind); /* "attn_qkv" */
const char *hone_span_text(hone_span_kind kind);

static inline uint64_t hone_span_begin(const hone_spans *s)
{
    return s ? hone_clock_ns() : 0;
}
/* flops and bytes: what the operation needed at least (not what the caches made of it). */
void hone_span_end(hone_spans *s, hone_span_kind kind, int layer, uint64_t begin_ns, double flops,
                   double bytes);

#endif
