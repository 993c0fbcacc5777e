/*
 * optimizer - from a gradient to new weights, with clipping by the norm of the whole gradient.
 *
 * An optimiser is a row of the table in optimizer.c: it says for each parameter which update makes
 * its step. An update is a function and the numbers that it keeps from step to step: AdamW
 * (Loshchilov and Hutter, arXiv:1711.05101), Muon (Jordan et al., 2024; muon.c). What all
 * parameters keep lies in one buffer, which a checkpoint takes as it is.
 *
 * Sums and steps go in chunks of fixed size, so that bits do not depend on threads. Ownership: an
 * optimizer owns its state. Threading: one thread, which works with the trainable's pool.
 */
#ifndef HONE_TRAIN_OPTIMIZER_H
#define HONE_TRAIN_OPTIMIZER_H

#include "train/trainable.h"

typedef enum hone_optimizer_kind {
    HONE_OPTIMIZER_ADAMW,
    HONE_OPTIMIZER_MUON, /* of the layers' matrices; AdamW of embeddings, head, norms, biases */
    HONE_OPTIMIZER_COUNT
} hone_optimizer_kind;

/* What the step of an n x k matrix is multiplied with. */
typedef enum hone_muon_scale {
    HONE_MUON_MATCH_RMS, /* 0.2 sqrt(max(n, k)): as long as AdamW's (Liu et al., arXiv:2502.16982)
                          */
    HONE_MUON_ORIGINAL,  /* sqrt(max(1, n / k)) (Jordan et al., 2024) */
    HONE_MUON_SCALE_COUNT
} hone_muon_scale;

typedef struct hone_optimizer_options {
    float beta1, beta2, eps;
    float decay;    /* of weights, times the learning rate */
    bool decay_all; /* of norms and biases too; otherwise only of matrices */
    float clip;     /* the gradient's norm is at most this; 0 = as it is */
    hone_optimizer_kind kind;
    float momentum;      /* Muon's */
    bool plain_momentum; /* without Nesterov's look ahead */
    hone_muon_scale muon_scale;
} hone_optimizer_options;

typedef struct hone_optimizer {
    hone_optimizer_options o;
    float *state;     /* what the updates keep, parameter after parameter */
    size_t *state_at; /* [p.count] the first of a parameter's */
    float *scratch;   /* of an update, while it runs */
    float *sums;      /* of squares, a chunk each */
    size_t floats, chunks, count, state_floats, scratch_floats;
    uint64_t steps; /* done */
} hone_optimizer;

HONE_CHECKED hone_status hone_optimizer_open(const hone_trainable *t,
                                             const hone_optimizer_options *o, hone_optimizer *out);
void hone_optimizer_close(hone_optimizer *o);

/* The Euclidean norm of the whole gradient; NaN or infinite if an element is. */
double hone_gradient_norm(hone_optimizer *o, hone_trainable *t);
/* One step with this learning rate; norm is hone_gradient_norm's. Packs the new weights. */
void hone_optimizer_step(hone_optimizer *o, hone_trainable *t, double norm, double rate);

extern const char hone_optimizer_names[];  /* "adamw|muon" */
extern const char hone_muon_scale_names[]; /* "match-rms|original" */
bool hone_optimizer_by_name(const char *name, hone_optimizer_kind *out);
bool hone_muon_scale_by_name(const char *name, hone_muon_scale *out);
/* All that a step's bits depend on, as text. */
void hone_optimizer_describe(const hone_optimizer_options *o, char *text, size_t bytes);

/* ---- for updates ----------------------------------------------------------------------------- */

enum { HONE_OPTIMIZER_CHUNK = 1 << 14 }; /* numbers that go together: part of the definition */

typedef struct hone_update_job {
    hone_optimizer *o;
    hone_trainable *t;
    const hone_parameter *p;
    float *weights, *state;
    const float *grads;
    double grad_scale, rate, keep; /* clipping; learning rate; weights are multiplied with keep */
} hone_update_job;

typedef struct hone_update {
    size_t states;                              /* numbers kept for each number of the parameter */
    size_t (*scratch)(const hone_parameter *p); /* floats; NULL = none */
    void (*step)(const hone_update_job *j);     /* in hone_fp_mode_enter */
} hone_update;

extern const hone_update hone_update_muon;

#endif
