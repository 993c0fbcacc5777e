/* Number of threads. */
#include "technique/rows.h"

static bool applies(const hone_technique_facts *f, const hone_config *c, const int *knob)
{
    int now = c->threads ? c->threads : f->cpus;
    return knob[0] <= f->cpus && knob[0] != now;
}

static void apply(const int *knob, hone_config *c)
{
    c->threads = knob[0];
}

static const hone_technique_value values[] = {
    {"threads:1", {1}},   {"threads:2", {2}},   {"threads:4", {4}},   {"threads:8", {8}},
    {"threads:16", {16}}, {"threads:32", {32}}, {"threads:64", {64}}, {"threads:128", {128}},
};

const hone_technique hone_technique_threads = {
    .name = "threads",
    .title = "Number of threads",
    .addresses = HONE_BOTTLENECK_OVERHEAD,
    .knob = HONE_KNOB_THREADS,
    .lossy = false,
    .why =
        "Threads share bandwidth and arithmetic but have to meet after every product. Small models "
        "spend more time meeting than multiplying; sibling hyper-threads add nothing.",
    .when_not = "Large models want every physical core. The logits are the same either way.",
    .source = "Amdahl 1967; measured here",
    .values = values,
    .n_values = sizeof values / sizeof *values,
    .applies = applies,
    .apply = apply,
};
