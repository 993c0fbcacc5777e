/* Products that are definitions of their own (docs/numerics.md, "Techniques"): faster arithmetic at
 * a cost in quality. */
#include "technique/rows.h"

#include "kernel/kernel.h"

static bool other_and_possible(const hone_config *c, const int *knob)
{
    return c->compute == HONE_COMPUTE_BF16 && c->products != knob[0] &&
           isa_of(c) >= HONE_ISA_AVX2 && hone_products_supported(isa_of(c), (hone_products)knob[0]);
}

/* Activations are rounded only where the weights are codes of at most 8 bits; 16 bits are not. */
static bool applies_int8(const hone_technique_facts *f, const hone_config *c, const int *knob)
{
    bool codes = false;
    for (int k = 0; k < HONE_WEIGHT_KINDS; k++)
        codes |= hone_technique_codes(f, c, (hone_weight_kind)k);
    return codes && other_and_possible(c, knob);
}

/* Without tiles a scale costs no more at the end of a group than on each weight. */
static bool applies_rounded(const hone_technique_facts *f, const hone_config *c, const int *knob)
{
    double grouped = 0;
    for (int k = 0; k < HONE_WEIGHT_KINDS; k++)
        grouped += hone_technique_grouped(f, c, (hone_weight_kind)k);
    return grouped > 0 && isa_of(c) >= HONE_ISA_AMX_BF16 && other_and_possible(c, knob);
}

static bool applies_bf16(const hone_technique_facts *f, const hone_config *c, const int *knob)
{
    (void)f;
    return other_and_possible(c, knob);
}

static void apply(const int *knob, hone_config *c)
{
    c->products = knob[0];
}

static const hone_technique_value int8_values[] = {{"products:int8", {HONE_PRODUCTS_INT8}}};

const hone_technique hone_technique_products_int8 = {
    .name = "products-int8",
    .title = "Activations in 8 bits, a scale for every 32",
    .addresses = HONE_BOTTLENECK_ARITHMETIC,
    .knob = HONE_KNOB_PRODUCTS,
    .lossy = true,
    .why =
        "Where weights are codes of at most 8 bits, whole numbers can be multiplied: two to four "
        "times as many in an instruction as float32. Prompts are bound by just that. Each 32 "
        "activations have a scale of their own, so that an outlier costs its neighbours only.",
    .when_not =
        "Decoding one sequence reads weights, and multiplies in passing either way. Weights in 16 "
        "bits are multiplied as always: round them first (q8_0, q4_0).",
    .source = "Dettmers et al. 2022, LLM.int8() (arXiv:2208.07339); ggml's Q8_0 activations; "
              "products: docs/numerics.md",
    .values = int8_values,
    .n_values = 1,
    .applies = applies_int8,
    .apply = apply,
};

static const hone_technique_value int8_row_values[] = {
    {"products:int8-row", {HONE_PRODUCTS_INT8_ROW}}};

const hone_technique hone_technique_products_int8_row = {
    .name = "products-int8-row",
    .title = "Activations in 8 bits, a scale per token",
    .addresses = HONE_BOTTLENECK_ARITHMETIC,
    .knob = HONE_KNOB_PRODUCTS,
    .lossy = true,
    .why =
        "As products:int8 with one scale for all activations of a token: sums of whole numbers go "
        "on for as long as the weights' scale lasts, which groups of 128 or a scale per column "
        "reward. What other engines call W8A8, dynamic.",
    .when_not = "Models whose activations have outliers lose much more than with products:int8. "
                "Weights in groups of 32 gain little on top of it.",
    .source = "Xiao et al. 2023, SmoothQuant (arXiv:2211.10438), per-token and dynamic; products: "
              "docs/numerics.md",
    .values = int8_row_values,
    .n_values = 1,
    .applies = applies_int8,
    .apply = apply,
};

static const hone_technique_value bf16_values[] = {{"products:bf16-dot", {HONE_PRODUCTS_BF16_DOT}}};

const hone_technique hone_technique_products_bf16 = {
    .name = "products-bf16-dot",
    .title = "Products by VDPBF16PS",
    .addresses = HONE_BOTTLENECK_ARITHMETIC,
    .knob = HONE_KNOB_PRODUCTS,
    .lossy = true,
    .why =
        "The instruction multiplies two bfloat16 pairs where a float32 multiply-add does one. It "
        "rounds nothing that the default does not round too, but adds in another order: other "
        "bits, the same accuracy.",
    .when_not = "With tiles (AMX) the default is faster. Processors without AVX512_BF16: refused "
                "there. Decoding one sequence reads weights either way.",
    .source = "Intel 64 and IA-32 Architectures Software Developer's Manual, VDPBF16PS; order of "
              "sums: docs/numerics.md",
    .values = bf16_values,
    .n_values = 1,
    .applies = applies_bf16,
    .apply = apply,
};

static const hone_technique_value rounded_values[] = {
    {"products:bf16-weights", {HONE_PRODUCTS_BF16_WEIGHTS}}};

const hone_technique hone_technique_products_rounded = {
    .name = "products-bf16-weights",
    .title = "Codes rounded to bfloat16 under their scales",
    .addresses = HONE_BOTTLENECK_ARITHMETIC,
    .knob = HONE_KNOB_PRODUCTS,
    .lossy = true,
    .why =
        "The default multiplies exact codes and puts the scale on the sum of each group, which "
        "therefore leaves the tiles after every 32 products. With the scale on the weight, rounded "
        "to bfloat16 once more, sums stay in the tiles: prompts as fast as those of bfloat16 "
        "weights, from a file a half or a quarter as large.",
    .when_not = "Decoding one sequence: scaling and rounding each weight takes longer than reading "
                "it. Processors without tiles (AMX) gain nothing. Weights with a scale per column "
                "are multiplied as always, which is as fast.",
    .source = "what most engines do that dequantise before multiplying (e.g. Frantar et al. 2024, "
              "Marlin, arXiv:2408.11743); products: docs/numerics.md",
    .values = rounded_values,
    .n_values = 1,
    .applies = applies_rounded,
    .apply = apply,
};
