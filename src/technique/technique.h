/*
 * technique - the table of optimisations: one row and one file each. The optimiser takes its
 * candidates from here, the command line and docs/technique/ their texts.
 *
 * A row says which bottleneck it addresses, when it applies, what its values are, how one is put
 * into a configuration, when not to use it and where it comes from. What it should bring is
 * predicted from the configuration before and after by the roofline (hone_technique_predict), never
 * believed: the optimiser measures.
 *
 * Threading: constant tables and pure functions.
 */
#ifndef HONE_TECHNIQUE_TECHNIQUE_H
#define HONE_TECHNIQUE_TECHNIQUE_H

#include "engine/engine.h"
#include "hw/limits.h"

/* X(id, name, what is measured, unit) - smaller is better for all of them. */
#define HONE_GOAL_LIST(X)                                                                          \
    X(DECODE_LATENCY, "decode-latency", "time per token of one session", "s/token")                \
    X(TTFT, "ttft", "time from a prompt to its first token", "s")                                  \
    X(THROUGHPUT, "throughput", "time per token of many sessions at once", "s/token")              \
    X(MEMORY, "memory", "weights and the KV cache of one full context", "bytes")

typedef enum hone_goal {
#define HONE_GOAL_ENUM(id, name, text, unit) HONE_GOAL_##id,
    HONE_GOAL_LIST(HONE_GOAL_ENUM)
#undef HONE_GOAL_ENUM
        HONE_GOALS
} hone_goal;

const char *hone_goal_name(hone_goal g);
bool hone_goal_by_name(const char *name, hone_goal *out);

/* X(id, name, meaning) */
#define HONE_BOTTLENECK_LIST(X)                                                                    \
    X(WEIGHT_READ, "weight-read", "reading the weights from memory")                               \
    X(KV_READ, "kv-read", "reading keys and values from memory")                                   \
    X(ARITHMETIC, "arithmetic", "multiplying")                                                     \
    X(OVERHEAD, "overhead",                                                                        \
      "neither memory nor arithmetic: small operations, waiting for threads")                      \
    X(SPACE, "space", "bytes of memory taken")

typedef enum hone_bottleneck {
#define HONE_BOTTLENECK_ENUM(id, name, text) HONE_BOTTLENECK_##id,
    HONE_BOTTLENECK_LIST(HONE_BOTTLENECK_ENUM)
#undef HONE_BOTTLENECK_ENUM
        HONE_BOTTLENECKS
} hone_bottleneck;

const char *hone_bottleneck_name(hone_bottleneck b);
const char *hone_bottleneck_text(hone_bottleneck b);

/* What decides whether a technique applies and what it should bring. */
typedef struct hone_technique_facts {
    hone_model_facts model; /* as loaded under the baseline */
    hone_limits machine;    /* measured; read_bytes_s 0 = unknown: nothing is predicted */
    int cpus;               /* that the process may use */
    uint32_t prompt_tokens; /* of the workload: tokens of a prompt, */
    uint32_t depth_tokens;  /* tokens in the cache when decoding, */
    uint32_t sessions;      /* and sessions at once under the goal throughput */
} hone_technique_facts;

/* The part of a configuration that a technique sets; two of one slot exclude each other. */
typedef enum hone_knob {
    HONE_KNOB_WEIGHTS,
    HONE_KNOB_KV,
    HONE_KNOB_PRODUCTS,
    HONE_KNOB_THREADS,
    HONE_KNOB_ISA,
    HONE_KNOBS
} hone_knob;

typedef struct hone_technique_value {
    const char *label;           /* "q4_0:mlp"; unique in the whole table */
    int knob[HONE_WEIGHT_KINDS]; /* what apply makes of it is the row's own affair */
} hone_technique_value;

typedef struct hone_technique {
    const char *name, *title;
    hone_bottleneck addresses;
    hone_knob knob;
    bool lossy; /* changes the logits: must pass the quality gate */
    const char *why, *when_not, *source;
    const hone_technique_value *values;
    size_t n_values;
    /* Whether this value is another configuration than c, and possible here. */
    bool (*applies)(const hone_technique_facts *f, const hone_config *c, const int *knob);
    void (*apply)(const int *knob, hone_config *c);
} hone_technique;

/* The table; *count rows. */
const hone_technique *const *hone_techniques(size_t *count);
/* The row and value of a label, or false. */
bool hone_technique_find(const char *label, const hone_technique **t,
                         const hone_technique_value **value);

/* What a goal costs at least (Williams, Waterman & Patterson 2009, "Roofline"): the larger of bytes
 * over read bandwidth and operations over the arithmetic limit, both shared evenly by the threads.
 */
typedef struct hone_roofline {
    double weight_bytes, kv_bytes; /* read per step; for MEMORY: kept */
    double ops;                    /* per step */
    double read_s, ops_s;          /* what each alone would take; 0 = unknown */
    double cost;                   /* in the goal's unit; 0 = unknown */
    bool cached;                   /* all that is read fits the caches: memory is no limit */
    hone_bottleneck bound;
} hone_roofline;
hone_roofline hone_technique_roofline(const hone_technique_facts *f, const hone_config *c,
                                      hone_goal g);

/* The arithmetic limit with so many rows under c, all threads together, of what c's products (int8,
 * bf16-dot...) multiply faster than exact ones. 0 = unknown. */
double hone_technique_products_ops_s(const hone_limits *machine, const hone_config *c, double rows);

/* How many times better (above 1) or worse the goal should become from `before` to `after` by the
 * roofline; 0 = nothing can be said: a limit is unknown, or all that is read stays in the caches.
 */
double hone_technique_predict(const hone_technique_facts *f, const hone_config *before,
                              const hone_config *after, hone_goal g);

/* The table as Markdown in a fresh string (hone_free): docs/technique/README.md. */
HONE_CHECKED hone_status hone_technique_document(char **markdown);

#endif
