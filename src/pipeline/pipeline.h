/*
 * pipeline - the loop: profile, candidates, experiments, gate, choice, promotion.
 *
 * hone_pipeline_optimize drives it over a backend (what loads, measures and compares
 * configurations: pipeline/backend_engine.h, or a fake one in tests) and writes each finished step
 * into the registry. A second call with the same request goes on where the first was stopped, at
 * any point.
 *
 * What may be claimed:
 *  1. Candidate and baseline are measured in turns (A B, B A, A B...). The gain is the median
 *     ratio within pairs; its interval assumes nothing about the noise (hone_stat_ratio_median).
 *  2. With m candidates the intervals of the screening hold all at once (Bonferroni: 1 - 5 % / m).
 *     The choice is measured once more against the baseline, with fresh samples; if it does not
 *     hold there, the next best is, three at most. The proofs have 2.5 %, 1.25 % and 0.625 % chance
 *     of error, for speed and for loss, so that all together have less than 5 %.
 *  3. A candidate that changes logits must keep the one-sided 95 % upper bound of the relative
 *     loss in perplexity within max_loss: against the file's own weights in float32, paired token
 *     by token on held-out text, runs of neighbouring tokens counting as one observation; and its
 *     mean KL divergence from the original, as a loss (e^KL - 1): that of the text which the
 *     original would have written. The choice must keep it on a second held-out text that no choice
 *     was made by: the best of many looks better than it is in quality too.
 *  4. Combinations are measured and judged themselves.
 *  5. If nothing passes, the baseline stays and that is the result. The baseline is the file in its
 *     default arithmetic, bf16; if that itself loses more than max_loss it is float32, which is
 *     then put in force like a winner.
 *
 * Threading: one thread. ctrl-C (base/interrupt.h) ends it with INTERRUPTED between two samples.
 */
#ifndef HONE_PIPELINE_PIPELINE_H
#define HONE_PIPELINE_PIPELINE_H

#include "stat/stat.h"
#include "store/registry.h"
#include "technique/technique.h"

/* Scores of the same held-out tokens by the original and by a variant, in the order of the text. */
typedef struct hone_pipeline_comparison {
    double *nll_ref, *nll; /* [scored]; hone_free by whoever received it */
    size_t scored;
    double kl_mean, kl_p99, top1_agreement;
} hone_pipeline_comparison;

typedef struct hone_pipeline_part {
    const char *name, *text; /* static */
    double seconds;
    double bytes, ops;  /* that it needed at least */
    double limit_share; /* of the machine's limit; 0 = unknown */
    bool once;          /* before the work (load, tokenise): not part of its time */
} hone_pipeline_part;

enum { HONE_PIPELINE_PARTS = 32 };

typedef struct hone_pipeline_profile {
    hone_pipeline_part parts[HONE_PIPELINE_PARTS];
    size_t n_parts;
    double seconds; /* of what was profiled, in all */
    double cost;    /* in the goal's unit */
} hone_pipeline_profile;

/* A variant is a loaded configuration. Failures of one configuration (UNSUPPORTED, MEMORY, LIMIT,
 * DATA, FORMAT) reject it; the others, and MEMORY for the baseline, end the run. */
typedef struct hone_pipeline_backend {
    void *self;
    hone_status (*load)(void *self, const hone_config *c, void **variant);
    void (*unload)(void *self, void *variant);
    hone_status (*facts)(void *self, void *variant, hone_technique_facts *out);
    hone_status (*profile)(void *self, void *variant, hone_goal g, hone_pipeline_profile *out);
    hone_status (*measure)(void *self, void *variant, hone_goal g, double *cost);
    /* fresh: on held-out text that no candidate was chosen by. */
    hone_status (*compare)(void *self, void *variant, bool fresh, hone_pipeline_comparison *out);
} hone_pipeline_backend;

typedef struct hone_pipeline_request {
    hone_model_record model; /* id unused */
    hone_goal goal;
    double max_loss; /* 0.01 = 1 % */
    const char *data_hash;
    uint64_t seed;
    int pairs;            /* samples of each side; at least 11 */
    const char *settings; /* JSON: whatever else makes results differ (workload, protocol) */
    uint64_t eval_tokens; /* as asked for, to be told again; 0 = not said */
    const char *environment_key, *environment; /* store/fingerprint.h */
    bool fresh;                                /* measure again what was finished */
    bool promote;                              /* put the winner in force */
    /* Any may be NULL. progress: a part of the work; note: one finished line of the log. */
    void (*progress)(void *arg, const char *what, double done, double total);
    void (*note)(void *arg, const char *line);
    void *arg;
} hone_pipeline_request;

typedef struct hone_pipeline_result {
    int64_t run, model;
    bool was_done; /* nothing was measured: an identical call had finished */
    bool won;      /* the choice beats the baseline */
    bool promoted; /* by this call */
    hone_config chosen;
    char label[128]; /* of the choice: "q8_0 + threads:1"; "baseline", "baseline f32" */
} hone_pipeline_result;

/* Errors: what registry and backend return; INTERRUPTED: call again to go on; USAGE: the request;
 * BUSY: another process is at this run; MEMORY: too little for the baseline at the time. */
HONE_CHECKED hone_status hone_pipeline_optimize(const hone_pipeline_request *q,
                                                const hone_pipeline_backend *b, hone_registry *r,
                                                hone_pipeline_result *out);

#endif
