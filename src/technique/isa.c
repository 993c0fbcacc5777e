/* Instruction set. */
#include "technique/rows.h"

static bool applies(const hone_technique_facts *f, const hone_config *c, const int *knob)
{
    (void)f;
    return knob[0] != (int)isa_of(c) && hone_isa_supported((hone_isa)knob[0]);
}

static void apply(const int *knob, hone_config *c)
{
    c->isa = knob[0];
}

static const hone_technique_value values[] = {
    {"isa:avx2", {HONE_ISA_AVX2}},
    {"isa:avx512", {HONE_ISA_AVX512}},
    {"isa:avx512-vnni", {HONE_ISA_AVX512_VNNI}},
    {"isa:amx-bf16", {HONE_ISA_AMX_BF16}},
    {"isa:amx-int8", {HONE_ISA_AMX_INT8}},
};

const hone_technique hone_technique_isa = {
    .name = "isa",
    .title = "Instruction set",
    .addresses = HONE_BOTTLENECK_ARITHMETIC,
    .knob = HONE_KNOB_ISA,
    .lossy = false,
    .why =
        "The widest instructions are not always the fastest: they may lower the clock, and one row "
        "in a tile of sixteen wastes fifteen. Every set gives the same bits, so this is free.",
    .when_not = "Prefill wants the widest set there is.",
    .source = "docs/numerics.md; measured here",
    .values = values,
    .n_values = sizeof values / sizeof *values,
    .applies = applies,
    .apply = apply,
};
