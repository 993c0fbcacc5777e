/*
 * backend_engine - the pipeline's backend over the real engine: loads configurations of one model,
 * times them on one part of a text and compares them with the original on the other.
 *
 * The text's tokens are cut once, by position alone: the first fifth (at least one workload's
 * worth) is for profile and experiments, the rest is held out for quality: one half to judge the
 * candidates by, the other for the choice, each up to eval_tokens. The original is the model's own
 * weights in float32: it runs over the held-out text once, what it says is kept
 * (hone_eval_reference: at most 1 GiB of logits), and it is gone before a candidate is loaded.
 *
 * Memory: two models at once: the original or a candidate, and the baseline. Threading: one thread.
 */
#ifndef HONE_PIPELINE_BACKEND_ENGINE_H
#define HONE_PIPELINE_BACKEND_ENGINE_H

#include "pipeline/pipeline.h"

typedef struct hone_backend_options {
    uint32_t prompt_tokens; /* tokens of the workload's prompt = depth when decoding; 0 = 512, or
                               half of a shorter context */
    uint32_t sessions;      /* under the goal throughput; 0 = 8 */
    size_t eval_tokens;     /* most held-out tokens of each half; 0 = 16384 */
    double sample_seconds;  /* least time of one sample; 0 = 0.02 */
    const char *cache;      /* folder of packed weights that are dear to make, or NULL: none kept */
    hone_registry *registry; /* keeps the machine's limits; NULL: they are measured each time */
    hone_progress_fn *progress;
    void (*note)(void *arg, const char *line); /* limits that are not what they were; may be NULL */
    void *arg;
} hone_backend_options;

typedef struct hone_backend_engine hone_backend_engine;

/* model: path. text: bytes of the user's text. Errors: DATA (text too short: says how many tokens
 * there are and how many are needed), and those of engine, tokenizer and limits. */
HONE_CHECKED hone_status hone_backend_engine_open(const char *model, const char *text, size_t bytes,
                                                  const hone_backend_options *o,
                                                  hone_backend_engine **out);
void hone_backend_engine_close(hone_backend_engine *b); /* NULL is fine */
hone_pipeline_backend hone_backend_engine_callbacks(hone_backend_engine *b);
/* The workload and the protocol as JSON in a fresh string (hone_free): part of a run's identity. */
HONE_CHECKED hone_status hone_backend_engine_settings(const hone_backend_engine *b, char **json);

#endif
