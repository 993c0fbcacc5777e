/*
 * rope - rotary position embedding (Su et al., "RoFormer", arXiv:2104.09864) with the frequency
 * scalings of published configs, and the deterministic sine and cosine that the step uses.
 */
#ifndef HONE_MODEL_ROPE_H
#define HONE_MODEL_ROPE_H

#include "model/arch.h"

typedef enum hone_rope_scaling {
    HONE_ROPE_DEFAULT,
    HONE_ROPE_LINEAR,  /* positions / factor (kaiokendev; Chen et al., arXiv:2306.15595) */
    HONE_ROPE_DYNAMIC, /* NTK-aware base; acts only beyond original_context (see rope.c) */
    HONE_ROPE_YARN,    /* Peng et al., arXiv:2309.00071 */
    HONE_ROPE_LLAMA3,  /* Llama 3.1: wavelength bands with a smooth middle */
    HONE_ROPE_LONG     /* LongRoPE (Ding et al., arXiv:2402.13753): a factor for each frequency */
} hone_rope_scaling;

typedef struct hone_rope_config {
    hone_rope_scaling scaling;
    uint32_t dim;
    double theta, factor;
    double low_freq_factor, high_freq_factor; /* llama3 */
    double original_context;                  /* llama3, yarn, dynamic, long */
    double beta_fast, beta_slow;              /* yarn */
    double attention_factor;                  /* yarn, long; 0 = derive it */
    double mscale, mscale_all_dim;            /* yarn (DeepSeek); 0 = unset */
    bool truncate;                            /* yarn: round the correction range outwards */
    double context;                           /* dynamic: the longest a sequence may get */
    uint32_t n_factors;                       /* long: dim / 2 */
    bool use_long;                            /* long: the second of */
    double factors[2][HONE_ROPE_DIM_MAX / 2]; /* those up to the original context, and beyond */
} hone_rope_config;

/* Frequencies as the reference implementation (transformers) computes them. */
void hone_rope_init(const hone_rope_config *c, hone_rope *out);

/* What YaRN derives for the magnitude where a file does not say it: 0.1 ln(factor) + 1. */
double hone_rope_yarn_magnitude(const hone_rope_config *c);

/* Reads "rope_theta"/"rope_scaling" (transformers 4) or "rope_parameters" (transformers 5).
 * `local`: those of layers with a window, where a model has two sets (Gemma 3, ModernBERT). */
HONE_CHECKED hone_status hone_rope_config_from_hf(const hone_file *f, bool local, uint32_t head_dim,
                                                  double context, hone_rope_config *out);
/* Whether the file has a second set for layers with a window. */
bool hone_rope_has_local(const hone_file *f);
/* The frequencies of any kind of file, `c` being what is known of where they come from: of GGUF the
 * keys "<arch>.rope.*", divided by the tensor "rope_freqs.weight" if there is one. use_long: for
 * sequences longer than c->original_context, where that makes a difference. */
HONE_CHECKED hone_status hone_rope_read(const hone_file *f, bool local, bool use_long,
                                        uint32_t head_dim, double context, hone_rope_config *c,
                                        hone_rope *out);

/* cos/sin of one position: cs[dim/2] and sn[dim/2], times the magnitude. Same bits on every
 * machine. */
void hone_rope_angles(const hone_rope *r, uint32_t position, float *cs, float *sn);

#endif
