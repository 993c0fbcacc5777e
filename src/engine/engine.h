/*
 * engine - one loaded model and the forward step over a ragged batch, which generation, evaluation,
 * benchmark and optimiser all run.
 *
 * An engine owns the packed weights, the KV pages, the thread pool and the step's memory. A session
 * is one mutable timeline of tokens. The logits of a session are bit-identical whatever else is in
 * its batch, however its tokens were cut into steps, whether its prefix came from the cache, on how
 * many threads and on which instruction set (docs/numerics.md).
 *
 * Threading: an engine and its sessions belong to one thread at a time. Nothing is allocated per
 * step after warm-up. Close sessions before their engine.
 */
#ifndef HONE_ENGINE_ENGINE_H
#define HONE_ENGINE_ENGINE_H

#include "base/spans.h"
#include "engine/config.h"
#include "model/forward.h"

typedef struct hone_engine hone_engine;
typedef struct hone_session hone_session;

enum { HONE_WINDOWS_MAX = HONE_LAYER_KINDS };

typedef struct hone_model_facts {
    char arch[32];
    uint32_t layers, hidden, heads, kv_heads, head_dim, ffn, vocab;
    bool plain_mlp;          /* without a gate: two matrices, else three */
    uint32_t context_tokens; /* what the model's file says it was made for */
    uint64_t parameters;
    uint64_t file_bytes;
    uint64_t packed_bytes; /* weights in memory, all of them */
    uint64_t packed_kind_bytes[HONE_WEIGHT_KINDS];
    uint64_t grouped_kind_weights[HONE_WEIGHT_KINDS]; /* codes whose scale is not their column's */
    uint64_t weight_bytes_per_token; /* read by one decode step (embedding row aside) */
    uint64_t kv_bytes_per_token;     /* while every layer sees the token */
    uint64_t kv_bytes_context;       /* of one session at config.context_tokens: windows forget */
    struct {
        uint32_t tokens, layers;
    } windows[HONE_WINDOWS_MAX]; /* how many layers see so many tokens; the others see all */
    double flops_per_token;      /* 2 x parameters that take part in products */
    bool has_head;               /* gives logits; else the model can only be encoded with */
    bool bidirectional;          /* an encoder: a text is one step */
    bool has_pooler, classify_mean;
    uint32_t labels;   /* of its classifier, 0 = has none */
    bool tied, mapped; /* mapped: the packed weights come from the cache on disk */
} hone_model_facts;

/* path: .gguf or Hugging Face folder. The file is closed again when this returns. progress may be
 * NULL. */
HONE_CHECKED hone_status hone_engine_open(const char *path, const hone_config *config,
                                          hone_progress_fn *progress, void *arg, hone_engine **out);
/* With packed weights kept on disk (model/packed_cache.h): mapped if they are there, else written
 * while the engine already runs; closing waits for that, hone_engine_keep does so with a word
 * (ctrl-C gives up). cache NULL = as above. */
HONE_CHECKED hone_status hone_engine_open_cached(const char *path, const hone_config *config,
                                                 const hone_packed_cache *cache,
                                                 hone_progress_fn *progress, void *arg,
                                                 hone_engine **out);
void hone_engine_keep(hone_engine *e, hone_progress_fn *progress, void *arg);
void hone_engine_close(hone_engine *e);
/* What went wrong with the cache, in a sentence; "" = nothing. */
const char *hone_engine_note(const hone_engine *e);
const hone_model_facts *hone_engine_facts(const hone_engine *e);
/* Positions that a token after `depth` others sees, its layers' mean: windows forget. */
double hone_model_seen(const hone_model_facts *f, double depth);
const hone_config *hone_engine_config(const hone_engine *e); /* as resolved: no zeros left */
/* Spans of the steps (and, with spans->threads, what the pool does) are recorded here from now on;
 * NULL stops. The recorder stays the caller's. */
void hone_engine_record(hone_engine *e, hone_spans *spans);

/* Shows the residual stream between the layers of every step (model/forward.h); NULL stops. */
void hone_engine_watch(hone_engine *e, hone_watch_fn *watch, void *arg);

/* Sessions. Pages are taken as tokens come. */
HONE_CHECKED hone_status hone_session_open(hone_engine *e, hone_session **out);
/* The same for a timeline of at most `limit` tokens. Models with longrope rotate by their short
 * factors if it fits into the original context, and by the long ones else: the bits of a sequence
 * belong to its limit (once it is longer than the original context, they are the same for any). */
HONE_CHECKED hone_status hone_session_open_for(hone_engine *e, uint32_t limit, hone_session **out);
void hone_session_close(hone_session *s);
/* Number of tokens that are in the timeline. */
uint32_t hone_session_length(const hone_session *s);
/* A second timeline that shares all full pages with the first. */
HONE_CHECKED hone_status hone_session_fork(const hone_session *s, hone_session **out);
/* Forgets all tokens from position `length` on. In a model with windows what lies before the
 * window may have been given back; if the cache does not have it any more, more is forgotten:
 * hone_session_length says how much is left. */
void hone_session_truncate(hone_session *s, uint32_t length);
/* For an empty session: takes over pages of an equal prefix that other sessions left in the cache
 * (with config.prefix_reuse). At most n-1 tokens; *reused of them need not be fed again. */
HONE_CHECKED hone_status hone_session_reuse(hone_session *s, const int32_t *tokens, uint32_t n,
                                            uint32_t *reused);

typedef enum hone_want { HONE_WANT_NONE, HONE_WANT_LAST, HONE_WANT_ALL, HONE_WANT_FIRST } hone_want;

/* One row of the ragged batch: n_tokens more tokens for a session (each session at most once). */
typedef struct hone_row {
    hone_session *session;
    const int32_t *tokens;
    uint32_t n_tokens;
    hone_want want;
} hone_row;

/* One forward step. The sum of n_tokens is at most config.step_tokens. logits: [wanted][vocab]
 * float32, in the order of the rows; may be NULL if none is wanted. Errors leave every session as
 * it was: DATA (token id outside the vocabulary), LIMIT (context, step_tokens), MEMORY
 * (kv_bytes_max), UNSUPPORTED (a model without output head: engine/encode.h). */
HONE_CHECKED hone_status hone_engine_step(hone_engine *e, const hone_row *rows, size_t n_rows,
                                          float *logits);

/* Feeds any number of tokens of one session in steps. logits as in hone_engine_step. */
HONE_CHECKED hone_status hone_session_feed(hone_session *s, const int32_t *tokens, uint32_t n,
                                           hone_want want, float *logits);

/* KV memory: pages in use and the bound, in bytes. */
void hone_engine_kv_usage(const hone_engine *e, uint64_t *used_bytes, uint64_t *max_bytes);

#endif
