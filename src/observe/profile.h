/*
 * profile - where the time of requests goes: the anatomy of the prompt and of the tokens after it,
 * by kind of work and by layer, with what the threads did meanwhile.
 *
 * A profile owns a recorder (base/spans.h) with a log of the pool's threads. Whoever drives the
 * engine gives it to hone_engine_record and, after each stretch of work, calls hone_profile_add,
 * which sums the stretch up and leaves the spans for a trace; hone_profile_clear empties the
 * recorder before the next stretch. hone_profile_requests does this for whole requests.
 *
 * Invariants:
 *  1. The spans that are summed (all but STEP) lie on one thread, one after the other: the seconds
 *     of all parts and between_s make wall_s.
 *  2. A part's waiting is the driving thread's, for the last item of the others: part of its
 *     seconds.
 *
 * Ownership: a profile owns its lists. Threading: that of the engine it watches.
 */
#ifndef HONE_OBSERVE_PROFILE_H
#define HONE_OBSERVE_PROFILE_H

#include "base/spans.h"
#include "engine/engine.h"
#include "text/tokenizer.h"

#include <jansson.h>

/* X(id, name, text) */
#define HONE_PHASE_LIST(X)                                                                         \
    X(PROMPT, "prompt", "from the text of a prompt to its first token")                            \
    X(DECODE, "decode", "the tokens after the first, one by one")

typedef enum hone_phase {
#define HONE_PHASE_ENUM(id, name, text) HONE_PHASE_##id,
    HONE_PHASE_LIST(HONE_PHASE_ENUM)
#undef HONE_PHASE_ENUM
        HONE_PHASES
} hone_phase;
const char *hone_phase_name(hone_phase p);
const char *hone_phase_text(hone_phase p);

/* X(id, name) - what the kinds of spans belong to */
#define HONE_PROFILE_GROUP_LIST(X)                                                                 \
    X(MIXER, "mixer")                                                                              \
    X(CHANNEL, "channel mixer")                                                                    \
    X(NORMS, "norms, residuals")                                                                   \
    X(ENDS, "embedding, head")                                                                     \
    X(TEXT, "text, sampling")

typedef enum hone_profile_group {
#define HONE_GROUP_ENUM(id, name) HONE_PROFILE_##id,
    HONE_PROFILE_GROUP_LIST(HONE_GROUP_ENUM)
#undef HONE_GROUP_ENUM
        HONE_PROFILE_GROUPS
} hone_profile_group;
const char *hone_profile_group_name(hone_profile_group g);
hone_profile_group hone_profile_group_of(int span_kind);

typedef struct hone_profile_part {
    double seconds;   /* of the driving thread */
    double waiting_s; /* of these, for other threads */
    double busy_s;    /* of all threads together, at work */
    double flops, bytes;
    double limit_s; /* the least that the machine's limits allow; 0 = none known */
    uint64_t calls;
} hone_profile_part;

typedef struct hone_profile_phase {
    double wall_s, cpu_s; /* cpu_s: of the process, spinning included */
    double between_s;     /* of wall_s, in no span: the driver itself, clocks */
    double waiting_s;     /* of the driving thread, in the parts */
    uint64_t tokens, stretches;
    hone_profile_part parts[HONE_SPAN_KINDS];     /* STEP stays empty */
    hone_profile_part (*layers)[HONE_SPAN_KINDS]; /* [profile's layers] */
} hone_profile_phase;

/* A stretch that lies in the recorder, for the trace. */
typedef struct hone_profile_stretch {
    hone_phase phase;
    uint64_t begin_ns, end_ns;
} hone_profile_stretch;

typedef struct hone_profile {
    uint32_t layers;
    int threads;
    hone_profile_phase phases[HONE_PHASES];
    hone_spans spans; /* the recorder, with its log of threads */
    hone_profile_stretch last[HONE_PHASES];
    size_t n_last, dropped, dropped_now; /* dropped_now: of what lies in the recorder */
    /* Paid once; 0 = not done. Begin of each for the trace. */
    double load_s, load_cpu_s, tokenizer_s;
    uint64_t load_ns, tokenizer_ns;
    /* Requests: seconds from the text to the first token (cold: of the first request of all), of
     * the second token, and of the steady ones after it. */
    uint32_t prompt_tokens, decode_tokens, requests;
    double first_cold_s, first_s, second_s, steady_s, steady_p95_s;
    double read_bytes_s, ops_s[HONE_PHASES]; /* the limits that the parts are held against */
} hone_profile;

/* threads: of the engine. spans_max: of the longest stretch; more are dropped and counted. */
HONE_CHECKED hone_status hone_profile_open(uint32_t layers, int threads, size_t spans_max,
                                           hone_profile **out);
void hone_profile_close(hone_profile *p); /* NULL is fine; stop the engine's recording before */
/* Empties the recorder; the sums stay. */
void hone_profile_clear(hone_profile *p);
/* Forgets the sums too. */
void hone_profile_reset(hone_profile *p);
/* Sums up what was recorded between the two moments (hone_clock_ns). */
void hone_profile_add(hone_profile *p, hone_phase phase, uint64_t begin_ns, uint64_t end_ns,
                      double cpu_s, uint64_t tokens);
/* Holds all parts against the limits; 0 = unknown. Only work that has to come from memory or to be
 * multiplied has one: activations lie in the caches. */
void hone_profile_hold(hone_profile *p, double read_bytes_s, const double ops_s[HONE_PHASES]);

typedef struct hone_profile_work {
    hone_engine *engine;
    hone_tokenizer *tokenizer; /* NULL: no text, only tokens */
    const char *text;          /* of the prompt; with a tokenizer */
    size_t text_bytes;
    const int32_t *tokens; /* [n_tokens] of the prompt, or those that the text begins with */
    uint32_t n_tokens;
    uint32_t decode_tokens, requests; /* requests after the first, cold one; each at least 1 */
    hone_progress_fn *progress;       /* may be NULL */
    void *arg;
} hone_profile_work;

/* One cold request, then `requests` warm ones, which are summed up; the last stays in the recorder.
 * Greedy; the end of the text is ignored. Errors: the engine's; LIMIT (context); INTERRUPTED. */
HONE_CHECKED hone_status hone_profile_requests(hone_profile *p, const hone_profile_work *w);

/* What recording costs: `rounds` rounds of the same decode steps off, on and off again, in turns.
 * off[], on[], again[] [rounds]: seconds. */
HONE_CHECKED hone_status hone_profile_cost(hone_profile *p, const hone_profile_work *w,
                                           size_t rounds, double *off, double *on, double *again);

/* The same from below: records that the last recorded decoding made per token, and the seconds that
 * one takes, measured now on this thread. */
void hone_profile_records(hone_profile *p, double *per_token, double *each_s);

/* Everything but the spans as JSON; NULL = no memory. layers: each one too. */
json_t *hone_profile_json(const hone_profile *p, bool layers);
/* The recorded stretch as a Chrome trace (Trace Event Format, ui.perfetto.dev reads it): complete
 * events in microseconds, a track for the driving thread, and one of work and waiting for each
 * thread of the pool. */
HONE_CHECKED hone_status hone_profile_write_trace(const hone_profile *p, const char *title,
                                                  const char *path);

#endif
