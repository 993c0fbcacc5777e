/* Keys and values in fewer bits: a scale of its own for each token and head (docs/numerics.md). */
#include "technique/rows.h"

#include "kernel/kernel.h"

static bool applies(const hone_technique_facts *f, const hone_config *c, const int *knob)
{
    (void)f;
    return c->compute == HONE_COMPUTE_BF16 && c->kv_format != knob[0];
}

static void apply(const int *knob, hone_config *c)
{
    c->kv_format = knob[0];
}

static const hone_technique_value int8_values[] = {{"kv:int8", {HONE_KV_I8}}};

const hone_technique hone_technique_kv_int8 = {
    .name = "kv-int8",
    .title = "Keys and values in 8 bits",
    .addresses = HONE_BOTTLENECK_KV_READ,
    .knob = HONE_KNOB_KV,
    .lossy = true,
    .why =
        "With a long context a step reads more keys and values than weights. One scale per token "
        "and head, written once, halves them; twice the sessions fit into the same memory.",
    .when_not =
        "Short contexts: there is little to read and the conversion costs time. Models with "
        "large outliers in single key channels lose more than others.",
    .source = "Liu et al. 2024, KIVI (arXiv:2402.02750); per-token scales: docs/numerics.md",
    .values = int8_values,
    .n_values = 1,
    .applies = applies,
    .apply = apply,
};

static const hone_technique_value fp8_values[] = {{"kv:fp8", {HONE_KV_E4M3}}};

const hone_technique hone_technique_kv_fp8 = {
    .name = "kv-fp8",
    .title = "Keys and values in 8-bit floats",
    .addresses = HONE_BOTTLENECK_KV_READ,
    .knob = HONE_KNOB_KV,
    .lossy = true,
    .why = "As kv:int8, with steps that are relative to each number: small ones beside a large one "
           "keep their digits. What caches of others hold as fp8 is comparable with it.",
    .when_not = "Where int8 does as well: its steps are finer for numbers near the largest. E5M2 "
                "has two bits of mantissa and is for comparison with others.",
    .source = "Micikevicius et al. 2022, FP8 formats for deep learning (arXiv:2209.05433); scales: "
              "docs/numerics.md",
    .values = fp8_values,
    .n_values = 1,
    .applies = applies,
    .apply = apply,
};

static const hone_technique_value int4_values[] = {{"kv:int4", {HONE_KV_I4}}};

const hone_technique hone_technique_kv_int4 = {
    .name = "kv-int4",
    .title = "Keys and values in 4 bits",
    .addresses = HONE_BOTTLENECK_KV_READ,
    .knob = HONE_KNOB_KV,
    .lossy = true,
    .why = "With a long context a step reads more keys and values than weights. Four bits and a "
           "scale for every 32 dimensions are 0.28 of bfloat16; three times the sessions fit into "
           "the same memory.",
    .when_not =
        "Short contexts; tasks that must copy exactly from far back. A 16th of the largest number "
        "in 32 is the finest step: try kv:int8 first, and believe the gate, not the average.",
    .source = "Liu et al. 2024, KIVI (arXiv:2402.02750); groups of 32: docs/numerics.md",
    .values = int4_values,
    .n_values = 1,
    .applies = applies,
    .apply = apply,
};
