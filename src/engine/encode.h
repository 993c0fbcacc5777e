/*
 * encode - texts to vectors and to scores: one pass of the model over each, pooled.
 *
 * Works with encoders (BERT and its descendants) and with decoders, whose last hidden states are
 * pooled. A text is one step; texts of like length share steps. The bits of a text's result do not
 * depend on its company (docs/numerics.md).
 *
 * Ownership: the caller owns texts and results. Threading: as the engine's.
 */
#ifndef HONE_ENGINE_ENCODE_H
#define HONE_ENGINE_ENCODE_H

#include "engine/engine.h"

typedef enum hone_pooling {
    HONE_POOLING_NONE, /* every token's vector */
    HONE_POOLING_MEAN,
    HONE_POOLING_CLS, /* the first token's */
    HONE_POOLING_LAST,
    HONE_POOLING_MAX,    /* of each dimension */
    HONE_POOLING_POOLER, /* the first token's through the model's pooler (BERT's pooled output) */
    HONE_POOLING_COUNT
} hone_pooling;

const char *hone_pooling_name(hone_pooling p); /* "mean" */
bool hone_pooling_by_name(const char *name, hone_pooling *out);
/* All names with commas, for messages and help. */
extern const char hone_pooling_names[];

typedef struct hone_text {
    const int32_t *tokens; /* special tokens included */
    const int32_t *types;  /* token types of a pair, or NULL = all 0 */
    uint32_t n;
} hone_text;

/* done of n texts */
typedef void hone_encode_progress(void *arg, size_t done, size_t n);

/* out[n][hidden size], of HONE_POOLING_NONE [sum of the texts' tokens][hidden size]; in the order
 * of the texts. progress may be NULL. Errors: LIMIT (a text longer than context_tokens or
 * step_tokens: names it by its number from 1), DATA (empty text, a token or type that the model
 * does not have), UNSUPPORTED (no pooler), MEMORY, INTERRUPTED. */
HONE_CHECKED hone_status hone_engine_encode(hone_engine *e, const hone_text *texts, size_t n,
                                            hone_pooling pooling, hone_encode_progress *progress,
                                            void *arg, float *out);
/* out[n][labels]: the classifier's scores as they are (logits). UNSUPPORTED without classifier. */
HONE_CHECKED hone_status hone_engine_classify(hone_engine *e, const hone_text *texts, size_t n,
                                              hone_encode_progress *progress, void *arg,
                                              float *out);

/* x / max(|x|, 1e-12), summed in double. */
void hone_encode_normalize(float *x, size_t n);

#endif
