/* Keys and values in 8 bits. */
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

static const hone_technique_value values[] = {{"kv:int8", {HONE_KV_I8}}};

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
    .values = values,
    .n_values = 1,
    .applies = applies,
    .apply = apply,
};
