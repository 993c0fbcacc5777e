/*
 * config - everything tunable, as one plain struct: what an experiment varies, a gate judges, the
 * registry stores, the engine loads and a rollback restores.
 *
 * It serialises to canonical JSON (keys sorted, defaults written out), so equal configurations have
 * equal text and hash. No ownership, no hidden state; copy it by assignment.
 */
#ifndef HONE_ENGINE_CONFIG_H
#define HONE_ENGINE_CONFIG_H

#include "base/status.h"
#include "model/weights.h"

#include <stdbool.h>
#include <stdint.h>

/* The arithmetic of products (docs/numerics.md). F32 is the reference: weights decoded to float32.
 */
typedef enum hone_compute { HONE_COMPUTE_BF16, HONE_COMPUTE_F32 } hone_compute;

enum { HONE_ISA_BEST = -1, HONE_ADAPTER_PATH = 1024 };

typedef struct hone_config {
    hone_compute compute;
    int weight_dtype[HONE_WEIGHT_KINDS]; /* hone_dtype to round to while loading, or AS_FILED */
    int products;  /* hone_products of kernel/kernel.h; other than exact only under BF16 */
    int kv_format; /* hone_kv_format of kernel/kernel.h; bf16 by default (f32 under F32) */
    int threads;   /* 0 = CPUs allowed */
    int isa;       /* hone_isa at most, or HONE_ISA_BEST */
    uint32_t context_tokens; /* longest session; 0 = the model's own limit */
    uint32_t step_tokens;    /* most tokens in one step (prompt chunk); 0 = 512 */
    uint64_t kv_bytes_max; /* hard bound on the KV pages of all sessions; 0 = half of the machine's
                              memory, at most what 64 sessions of full length need */
    bool prefix_reuse;     /* share the pages of common prefixes between sessions */
    char adapter[HONE_ADAPTER_PATH]; /* folder of an adapter beside the weights; "" = none */
} hone_config;

hone_config hone_config_default(void);

/* Canonical JSON in a fresh string (hone_free). */
HONE_CHECKED hone_status hone_config_to_json(const hone_config *c, char **json);
/* Missing keys keep their defaults; unknown keys and values out of range are FORMAT errors naming
 * them. */
HONE_CHECKED hone_status hone_config_from_json(const char *json, hone_config *out);
/* A short name for people: "bf16 attn=q8_0 mlp=q4_0 kv=int8 threads=2". At most n bytes with the 0.
 */
void hone_config_describe(const hone_config *c, char *out, size_t n);

#endif
