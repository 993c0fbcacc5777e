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
    HONE_ROPE_LLAMA3   /* Llama 3.1: wavelength bands with a smooth middle */
} hone_rope_scaling;

typedef struct hone_rope_config {
    hone_rope_scaling scaling;
    uint32_t dim;
    double theta, factor;
    double low_freq_factor, high_freq_factor; /* llama3 */
    double original_context;                  /* llama3, yarn, dynamic */
    double beta_fast, beta_slow;              /* yarn */
    double attention_factor;                  /* yarn; 0 = derive it */
    double mscale, mscale_all_dim;            /* yarn (DeepSeek); 0 = unset */
    bool truncate;                            /* yarn: round the correction range outwards */
    double context;                           /* dynamic: the longest a sequence may get */
} hone_rope_config;

/* Frequencies as the reference implementation (transformers) computes them. */
void hone_rope_init(const hone_rope_config *c, hone_rope *out);

/* Reads "rope_theta"/"rope_scaling" (transformers 4) or "rope_parameters" (transformers 5). */
HONE_CHECKED hone_status hone_rope_config_from_hf(const hone_file *f, uint32_t head_dim,
                                                  double context, hone_rope_config *out);
/* Reads "<arch>.rope.*" and divides by the tensor "rope_freqs.weight" if there is one. */
HONE_CHECKED hone_status hone_rope_from_gguf(const hone_file *f, const char *arch,
                                             uint32_t head_dim, double context, hone_rope *out);

/* cos/sin of one position: cs[dim/2] and sn[dim/2], times the magnitude. Same bits on every
 * machine. */
void hone_rope_angles(const hone_rope *r, uint32_t position, float *cs, float *sn);

#endif
