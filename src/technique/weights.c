/* Weight formats: while loading, weights are rounded to groups of 16 or 32 codes with a scale. */
#include "technique/rows.h"

#include "dtype/dtype.h"

enum { AS_FILED = HONE_WEIGHT_AS_FILED, Q8 = HONE_DTYPE_Q8_0, Q4 = HONE_DTYPE_Q4_0 };
enum { Q4_MIN = HONE_DTYPE_Q4_1, Q4_SUPER = HONE_DTYPE_Q4_K, Q6_SUPER = HONE_DTYPE_Q6_K };

/* Something becomes smaller, nothing is rounded that the file holds in as few bits already. */
static bool applies(const hone_technique_facts *f, const hone_config *c, const int *knob)
{
    if (c->compute != HONE_COMPUTE_BF16)
        return false;
    bool smaller = false;
    for (int k = 0; k < HONE_WEIGHT_KINDS; k++) {
        if (knob[k] == AS_FILED)
            continue;
        const hone_dtype_info *d = hone_dtype_describe((hone_dtype)knob[k]);
        double wanted = (double)d->block_bytes / d->block_elements;
        double now = hone_technique_weight_bytes(f, c, (hone_weight_kind)k);
        if (now > 0 && wanted * hone_technique_weights(f, (hone_weight_kind)k) > 0.95 * now)
            return false;
        if (f->model.hidden % d->block_elements) /* what no block divides stays as it is */
            return false;
        smaller = true;
    }
    return smaller;
}

static void apply(const int *knob, hone_config *c)
{
    for (int k = 0; k < HONE_WEIGHT_KINDS; k++)
        c->weight_dtype[k] = knob[k];
}

/* Order of the knobs: attention, MLP, head. */
static const hone_technique_value int8_values[] = {
    {"q8_0", {Q8, Q8, Q8}},
    {"q8_0:body", {Q8, Q8, AS_FILED}},
    {"q8_0:mlp", {AS_FILED, Q8, AS_FILED}},
};

const hone_technique hone_technique_weight_int8 = {
    .name = "weight-int8",
    .title = "Weights in 8 bits",
    .addresses = HONE_BOTTLENECK_WEIGHT_READ,
    .knob = HONE_KNOB_WEIGHTS,
    .lossy = true,
    .why = "A decode step reads every weight once; 8.5 bits instead of 16 let it read almost half. "
           "Rounding to nearest within groups of 32 costs very little.",
    .when_not = "Prefill of long prompts is bound by arithmetic, which stays the same (with tiles "
                "it takes longer: products-bf16-weights). A file that "
                "holds 8 bits or fewer gains nothing.",
    .source = "ggml's Q8_0; Dettmers et al. 2022 (arXiv:2208.07339); products: docs/numerics.md",
    .values = int8_values,
    .n_values = sizeof int8_values / sizeof *int8_values,
    .applies = applies,
    .apply = apply,
};

static const hone_technique_value int6_values[] = {
    {"q6_k", {Q6_SUPER, Q6_SUPER, Q6_SUPER}},
    {"q6_k:body", {Q6_SUPER, Q6_SUPER, AS_FILED}},
};

const hone_technique hone_technique_weight_int6 = {
    .name = "weight-int6",
    .title = "Weights in 6 bits",
    .addresses = HONE_BOTTLENECK_WEIGHT_READ,
    .knob = HONE_KNOB_WEIGHTS,
    .lossy = true,
    .why = "6.6 bits a weight, three quarters of 8 bits, in groups of 16 whose scales are chosen "
           "for the least error: close to 8 bits in quality where 4 bits lose too much.",
    .when_not = "Rows that are no multiple of 256 stay as they are filed. Prompts gain nothing. "
                "Rounding takes minutes for a billion weights, once: the packed form is kept in "
                "the cache.",
    .source = "ggml's Q6_K; products: docs/numerics.md",
    .values = int6_values,
    .n_values = sizeof int6_values / sizeof *int6_values,
    .applies = applies,
    .apply = apply,
};

static const hone_technique_value int4_values[] = {
    {"q4_0", {Q4, Q4, Q4}},
    {"q4_0:body", {Q4, Q4, AS_FILED}},
    {"q4_0:mlp", {AS_FILED, Q4, AS_FILED}},
    {"q4_0:mlp+q8_0", {Q8, Q4, Q8}},
    {"q4_1", {Q4_MIN, Q4_MIN, Q4_MIN}},
    {"q4_1:mlp+q8_0", {Q8, Q4_MIN, Q8}},
    {"q4_k", {Q4_SUPER, Q4_SUPER, Q4_SUPER}},
    {"q4_k:body+q6_k", {Q4_SUPER, Q4_SUPER, Q6_SUPER}},
};

const hone_technique hone_technique_weight_int4 = {
    .name = "weight-int4",
    .title = "Weights in 4 bits",
    .addresses = HONE_BOTTLENECK_WEIGHT_READ,
    .knob = HONE_KNOB_WEIGHTS,
    .lossy = true,
    .why = "4.5 bits a weight (5 with a minimum per group): a decode step reads less than a third "
           "of bf16. Rounding to nearest, of q4_k with scales and minimums chosen for the least "
           "error; mixes keep the sensitive kinds of layers in 8 or 6 bits.",
    .when_not =
        "Small models lose a lot (the fewer weights, the more each matters), and the output "
        "head more than the rest. Methods that look at data (GPTQ, AWQ) lose less. Rounding to "
        "q4_k takes minutes for a billion weights, once: the packed form is kept in the cache.",
    .source = "ggml's Q4_0, Q4_1 and Q4_K; Dettmers & Zettlemoyer 2023 (arXiv:2212.09720)",
    .values = int4_values,
    .n_values = sizeof int4_values / sizeof *int4_values,
    .applies = applies,
    .apply = apply,
};
