/*
 * eval - how good a model is on a text: perplexity under a named protocol, and the distance of one
 * engine's predictions from another's (Kullback-Leibler divergence, top-1 agreement), token by
 * token.
 *
 * Protocol. The text is n tokens t[0..n) WITHOUT a BOS token. With b = 1 if every window begins
 * with BOS, else 0, a window holds P = context - b tokens of the text, and window w begins at w *
 * S, where S = min(stride, P). So the default stride = context gives windows that touch without
 * overlapping. The windows go on until one reaches the end of the text; the last one may be
 * shorter. Position i of the text is scored exactly once: in the first window that holds it
 * together with a predecessor (the BOS token counts as one). Without BOS and with S = P the first
 * token of each window is never scored; t[0] is only scored after a BOS. Each score is the negative
 * natural logarithm of the probability that the window's earlier tokens give to the token.
 * Perplexity = exp(mean of the scores). (Compare: transformers' documentation, "Perplexity of
 * fixed-length models", strides likewise but knows no BOS per window; llama.cpp's llama-perplexity
 * scores the second half of each window only.)
 *
 * Scores are computed in double from the float32 logits: log(sum of exp(x - max)) + max -
 * x[target], summed in the order of the vocabulary, so equal logits give equal scores. Nothing here
 * depends on how the windows are cut into steps.
 *
 * Memory: one block of at most 64 MiB of logits (or one row, if that is larger), plus the arrays
 * returned. Ownership: results are the caller's, hone_eval_*_close frees them.
 * Threading: that of the engines. ctrl-C: base/interrupt.h is looked at after every block
 * (INTERRUPTED).
 */
#ifndef HONE_EVAL_EVAL_H
#define HONE_EVAL_EVAL_H

#include "engine/engine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HONE_EVAL_CONTEXT_DEFAULT = 512 };

typedef struct hone_eval_protocol {
    uint32_t context; /* tokens in a window, BOS included; at least 2 */
    uint32_t stride;  /* tokens of the text between the starts of windows; at least 1 */
    int32_t bos;      /* id of the BOS token that begins every window; -1 = none */
} hone_eval_protocol;

/* context = min(the model's, 512), stride = context. bos: the tokenizer's BOS id if it adds one,
 * else -1. */
hone_eval_protocol hone_eval_protocol_default(uint32_t model_context_tokens, int32_t bos);
/* One line for people and records: "context 512, stride 511, BOS per window, scored: every token
 * not scored before that has a predecessor in its window". The stride is the effective one. n >=
 * 160. */
void hone_eval_protocol_describe(const hone_eval_protocol *p, char *out, size_t n);
/* Tokens of the text in a window (P above), and between the starts of windows (S above). */
uint32_t hone_eval_protocol_payload(const hone_eval_protocol *p);
uint32_t hone_eval_protocol_step(const hone_eval_protocol *p);

/* Window `index` of a text of n tokens: it holds t[begin, end) and scores t[score_from, end), which
 * may be empty. */
typedef struct hone_eval_window {
    size_t begin, end, score_from;
} hone_eval_window;
/* False if there is no such window. */
bool hone_eval_window_at(const hone_eval_protocol *p, size_t n, size_t index,
                         hone_eval_window *out);
/* How many windows there are and how many tokens they score in all. */
void hone_eval_count(const hone_eval_protocol *p, size_t n, size_t *windows, size_t *scored);

/* -log softmax(logits)[target], natural logarithm. NAN if a logit is NaN or if none is finite. */
double hone_eval_nll(const float *logits, uint32_t vocab, int32_t target);
/* KL(softmax(ref) || softmax(test)) in nats, >= 0 but for rounding (clamped at 0); NAN as above. */
double hone_eval_kl(const float *ref, const float *test, uint32_t vocab);
/* The smallest index of the largest logit. */
uint32_t hone_eval_top1(const float *logits, uint32_t vocab);

typedef struct hone_eval_result {
    double *nll; /* [scored], in the order of the text: the score of each scored token */
    size_t scored;
    size_t tokens; /* of the text */
    size_t windows;
    double nll_mean;
    double perplexity;
    double seconds;
} hone_eval_result;

/*
 * Perplexity of tokens[n] (no BOS among them). progress (may be NULL) is called after every block
 * with "perplexity", windows done, windows in all. Errors: DATA (text shorter than one window: says
 * how many tokens there are and how many are needed; a token outside the vocabulary; logits that
 * are NaN, with the position), USAGE (protocol), LIMIT (protocol.context beyond the engine's),
 * MEMORY, INTERRUPTED, and what the engine returns. *out needs no close after an error.
 */
HONE_CHECKED hone_status hone_eval_perplexity(hone_engine *e, const int32_t *tokens, size_t n,
                                              const hone_eval_protocol *p,
                                              hone_progress_fn *progress, void *arg,
                                              hone_eval_result *out);
void hone_eval_result_close(hone_eval_result *r);

/* What the original says of a text, kept so that it need be neither loaded nor run again. */
typedef struct hone_eval_reference {
    hone_eval_result result;
    const int32_t *tokens; /* [result.tokens], the caller's: must stay */
    hone_eval_protocol protocol;
    uint32_t vocab;
    uint32_t *top1; /* [scored]: the likeliest token */
    size_t every;   /* logits are kept of scored positions 0, every, 2 every ... */
    float *logits;  /* [ceil(scored / every)][vocab] */
    size_t logits_bytes;
} hone_eval_reference;

enum { HONE_EVAL_KEEP_BYTES = 1 << 30 }; /* of logits, by default */

/* One pass of the original over the text. Logits of at most bytes_max are kept (of one position at
 * least), evenly spread over the text; `every` says how many. Errors and progress as of
 * hone_eval_perplexity ("the original"). */
HONE_CHECKED hone_status hone_eval_reference_take(hone_engine *e, const int32_t *tokens, size_t n,
                                                  const hone_eval_protocol *p, size_t bytes_max,
                                                  hone_progress_fn *progress, void *arg,
                                                  hone_eval_reference *out);
void hone_eval_reference_close(hone_eval_reference *r); /* zeroed is fine */

typedef struct hone_eval_comparison {
    hone_eval_result test; /* paired with the reference's: nll[i] of both score the same token */
    double *kl; /* [compared]: KL(reference || test) in nats, where the reference kept logits */
    size_t compared;
    double kl_mean, kl_p99, kl_max;
    double top1_agreement; /* share of scored positions where both put the same token first */
} hone_eval_comparison;

/* The same scores as hone_eval_perplexity gives, and the distance from the reference. The
 * vocabularies must be equal (DATA). Errors and progress as above ("comparison"). */
HONE_CHECKED hone_status hone_eval_compare(const hone_eval_reference *ref, hone_engine *test,
                                           hone_progress_fn *progress, void *arg,
                                           hone_eval_comparison *out);
void hone_eval_comparison_close(hone_eval_comparison *c);

#endif
