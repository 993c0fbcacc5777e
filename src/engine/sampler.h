/*
 * sampler - from a row of logits to the next token.
 *
 * What happens, in this order (that of transformers' generation: processors, then warpers;
 * llama.cpp by default differs in applying the temperature last, after its filters):
 *   1. logit bias                added to the logits
 *   2. repetition penalty        on tokens of the window: x > 0 ? x / r : x * r   (Keskar et al.
 * 2019)
 *   3. frequency and presence    x - count * f - (count > 0) * p                  (OpenAI's API)
 *      temperature 0 takes the largest here (greedy)
 *   4. temperature               x / T
 *   5. top-k                     the k largest
 *   6. top-p                     the largest until their share of what is left reaches p; at least
 * one (Holtzman et al. 2019)
 *   7. min-p                     those with at least m times the probability of the first
 *   8. one of what is left, by its probability
 * Equal values rank by the lower id. Arithmetic is double without libm, so that the same logits,
 * seed and position give the same token on every machine. The random number is Philox at (seed,
 * sample, position): it does not depend on what else runs.
 *
 * Ownership: a sampler owns its scratch and copies the bias; nothing is allocated after open.
 * Threading: one thread at a time.
 */
#ifndef HONE_ENGINE_SAMPLER_H
#define HONE_ENGINE_SAMPLER_H

#include "base/status.h"

#include <stdint.h>

typedef struct hone_logit_bias {
    int32_t token;
    float bias; /* -INFINITY forbids the token */
} hone_logit_bias;

typedef struct hone_sampling {
    double temperature;        /* >= 0; 0 = greedy */
    uint32_t top_k;            /* 0 = off */
    double top_p;              /* (0, 1]; 1 = off */
    double min_p;              /* [0, 1]; 0 = off */
    double repetition_penalty; /* > 0; 1 = off */
    double frequency_penalty;  /* 0 = off */
    double presence_penalty;   /* 0 = off */
    uint32_t penalty_window;   /* last tokens that the penalties look at; 0 = all */
    uint64_t seed;
    uint64_t sample; /* number of the answer under this seed: answers of one prompt differ by it */
    const hone_logit_bias *bias;
    size_t n_bias;
} hone_sampling;

/* Greedy, nothing else on. */
hone_sampling hone_sampling_default(void);

typedef struct hone_sampler hone_sampler;

/* Errors: USAGE (a setting out of range, named; a bias outside the vocabulary), MEMORY. */
HONE_CHECKED hone_status hone_sampler_open(const hone_sampling *settings, uint32_t vocab,
                                           hone_sampler **out);
void hone_sampler_close(hone_sampler *s); /* NULL is fine */

/* Picks the token for absolute position `position`. logits[vocab]; history[n]: the tokens so far,
 * prompt included. Errors: FORMAT (a logit is NaN or +infinity: names the token), DATA (no token is
 * left; an id of the history outside the vocabulary). */
HONE_CHECKED hone_status hone_sampler_pick(hone_sampler *s, const float *logits,
                                           const int32_t *history, size_t n, uint64_t position,
                                           int32_t *token);

/* The distribution that pick draws from: probability[vocab], 0 for what is filtered out. Errors:
 * the same. */
HONE_CHECKED hone_status hone_sampler_distribution(hone_sampler *s, const float *logits,
                                                   const int32_t *history, size_t n,
                                                   double *probability);

#endif
