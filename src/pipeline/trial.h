/* trial - one experiment: measured in pairs, judged, and written down as JSON. Private to
 * pipeline/. */
#ifndef HONE_PIPELINE_TRIAL_H
#define HONE_PIPELINE_TRIAL_H

#include "pipeline/pipeline.h"

#include <jansson.h>

enum { PIPELINE_LABEL = 128, PIPELINE_RUN_TOKENS = 32 };

typedef struct pipeline_quality {
    double perplexity_ref, perplexity, loss, loss_upper, kl_mean, kl_p99, top1_agreement;
    double level; /* of loss_upper: 0.95 = 95 % */
    size_t scored;
} pipeline_quality;

/* What is asked... */
typedef struct pipeline_trial {
    char key[2 * PIPELINE_LABEL], label[PIPELINE_LABEL];
    hone_config config, against;
    hone_knob knob;
    bool lossy;       /* needs a comparison with the original */
    bool judge_only;  /* quality alone: no samples */
    bool confirm;     /* judged on fresh held-out text */
    bool addressed;   /* the bottleneck that was found */
    double predicted; /* 0 = unknown */
    double level;     /* of the gain's interval; of a confirmation also of the loss's bound */
    double over_base; /* gain over the baseline, along the chain of combinations */
    /* ...and what came of it. */
    int64_t id;
    bool failed, has_quality;
    char error[512];
    hone_interval gain;        /* how many times better than `against` */
    double cost, cost_against; /* medians */
    double bytes;              /* of packed weights */
    pipeline_quality quality;
} pipeline_trial;

/* The state of a run. */
typedef struct pipeline {
    const hone_pipeline_request *q;
    const hone_pipeline_backend *b;
    hone_registry *r;
    int64_t run, model;
    int lock; /* of the run; -1 = not yet */
    hone_config base;
    char *base_json;
    void *base_variant;            /* loaded when first needed */
    pipeline_quality base_quality; /* that of everything lossless */
    bool base_is_f32;              /* bf16 did not keep the bound */
    hone_technique_facts facts;
    hone_bottleneck bottleneck;
} pipeline;

/* Does the trial, or finds its outcome in the registry. OK also when the candidate failed. */
HONE_CHECKED hone_status pipeline_do_trial(pipeline *p, pipeline_trial *t);

/* Paired relative loss in perplexity with its one-sided bound at `level`. */
HONE_CHECKED hone_status pipeline_judge(const hone_pipeline_comparison *c, double level,
                                        pipeline_quality *out);

static inline bool pipeline_is_faster(const pipeline_trial *t)
{
    return !t->failed && t->gain.lo > 1;
}
static inline bool pipeline_passes(const pipeline *p, const pipeline_trial *t)
{
    return !t->failed && t->has_quality && t->quality.loss_upper <= p->q->max_loss;
}

/* The baseline, loaded. */
HONE_CHECKED hone_status pipeline_need_base(pipeline *p);
void pipeline_drop_base(pipeline *p);

/* Text of a value without blanks (hone_free); takes the reference. */
HONE_CHECKED hone_status pipeline_text_of(json_t *value, char **text);
void pipeline_note(const pipeline *p, const char *fmt, ...) HONE_PRINTF(2, 3);

#endif
