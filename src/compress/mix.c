#include "compress/mix.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Layers that a rule is for */
typedef enum where {
    EVERY,
    MORE,        /* the first and last eighth, and every third between */
    FIRST_8TH,   /* floor(layers / 8) */
    FIRST_16TH,  /* floor(layers / 16) */
    FIRST_2,     /* layers 0 and 1 */
    FIRST_4,     /* layers 0 to 3 */
    GROUPED,     /* every one, where 4 or more query heads share a key head */
    UNWEIGHTED_8 /* FIRST_8TH, without an importance matrix */
} where;

typedef struct rule {
    const char *part; /* of the name, after "blk.N." and before ".weight" */
    where where;
    hone_dtype type;
} rule;

enum { RULES = 6 };

struct hone_mix {
    const char *name;
    uint32_t file_type;
    hone_dtype base, head;
    rule rules[RULES]; /* the first that fits counts */
};

#define T(type) HONE_DTYPE_##type
static const hone_mix mixes[] = {
    {"q2_k",
     10,
     T(Q2_K),
     T(Q6_K),
     {{"attn_v", GROUPED, T(Q4_K)},
      {"attn_v", EVERY, T(Q3_K)},
      {"ffn_down", EVERY, T(Q3_K)},
      {"attn_output", EVERY, T(Q3_K)}}},
    {"q2_k_s",
     21,
     T(Q2_K),
     T(Q6_K),
     {{"attn_v", GROUPED, T(Q4_K)}, {"ffn_down", FIRST_8TH, T(Q4_K)}}},
    {"q3_k_s", 11, T(Q3_K), T(Q6_K), {{0}}},
    {"q3_k_m",
     12,
     T(Q3_K),
     T(Q6_K),
     {{"attn_v", FIRST_2, T(Q5_K)},
      {"attn_v", EVERY, T(Q4_K)},
      {"ffn_down", FIRST_16TH, T(Q5_K)},
      {"ffn_down", EVERY, T(Q4_K)},
      {"attn_output", EVERY, T(Q4_K)},
      {"attn_qkv", EVERY, T(Q4_K)}}},
    {"q3_k_l",
     13,
     T(Q3_K),
     T(Q6_K),
     {{"attn_v", EVERY, T(Q5_K)},
      {"ffn_down", EVERY, T(Q5_K)},
      {"attn_output", EVERY, T(Q5_K)},
      {"attn_qkv", EVERY, T(Q4_K)}}},
    {"q4_k_s",
     14,
     T(Q4_K),
     T(Q6_K),
     {{"attn_v", FIRST_4, T(Q5_K)}, {"ffn_down", FIRST_8TH, T(Q5_K)}}},
    {"q4_k_m",
     15,
     T(Q4_K),
     T(Q6_K),
     {{"attn_v", MORE, T(Q6_K)}, {"ffn_down", MORE, T(Q6_K)}, {"attn_qkv", EVERY, T(Q5_K)}}},
    {"q5_k_s", 16, T(Q5_K), T(Q6_K), {{0}}},
    {"q5_k_m",
     17,
     T(Q5_K),
     T(Q6_K),
     {{"attn_v", MORE, T(Q6_K)}, {"ffn_down", MORE, T(Q6_K)}, {"attn_qkv", EVERY, T(Q6_K)}}},
    {"iq4_nl",
     25,
     T(IQ4_NL),
     T(Q6_K),
     {{"attn_v", GROUPED, T(Q5_K)}, {"ffn_down", UNWEIGHTED_8, T(Q5_K)}}},
    {"iq4_xs",
     30,
     T(IQ4_XS),
     T(Q6_K),
     {{"attn_v", GROUPED, T(Q5_K)}, {"ffn_down", UNWEIGHTED_8, T(Q5_K)}}},
};
enum { MIXES = sizeof mixes / sizeof *mixes };

/* A format with smaller blocks in the place of one whose blocks do not divide the rows */
static const hone_dtype smaller[HONE_DTYPE_COUNT] = {
    [T(Q2_K)] = T(IQ4_NL),  [T(Q3_K)] = T(IQ4_NL), [T(IQ4_XS)] = T(IQ4_NL), [T(TQ1_0)] = T(IQ4_NL),
    [T(TQ2_0)] = T(IQ4_NL), [T(Q4_K)] = T(Q5_0),   [T(Q5_K)] = T(Q5_1),     [T(Q6_K)] = T(Q8_0),
};

const hone_mix *hone_mix_at(size_t i)
{
    return i < MIXES ? &mixes[i] : NULL;
}

const hone_mix *hone_mix_by_name(const char *name)
{
    for (size_t i = 0; i < MIXES; i++)
        if (strcasecmp(name, mixes[i].name) == 0)
            return &mixes[i];
    return NULL;
}

const char *hone_mix_name(const hone_mix *m)
{
    return m->name;
}

hone_dtype hone_mix_base(const hone_mix *m)
{
    return m->base;
}

uint32_t hone_mix_file_type(const hone_mix *m)
{
    return m->file_type;
}

static bool applies(where w, const hone_mix_model *m, uint32_t layer)
{
    uint32_t n = m->layers;
    switch (w) {
    case MORE:
        return layer < n / 8 || layer >= 7 * n / 8 || (layer - n / 8) % 3 == 2;
    case FIRST_8TH:
        return layer < n / 8;
    case FIRST_16TH:
        return layer < n / 16;
    case FIRST_2:
        return layer < 2;
    case FIRST_4:
        return layer < 4;
    case GROUPED:
        return m->heads_per_kv >= 4;
    case UNWEIGHTED_8:
        return layer < n / 8 && !m->importance;
    case EVERY:
        break;
    }
    return true;
}

hone_dtype hone_mix_dtype(const hone_mix *m, const hone_mix_model *model, const char *name)
{
    uint32_t layer = 0;
    char part[64] = "";
    if (strcmp(name, "output.weight") == 0 ||
        (model->tied && strcmp(name, "token_embd.weight") == 0))
        return m->head;
    if (sscanf(name, "blk.%u.%63[^.]", &layer, part) != 2)
        return m->base;
    for (int i = 0; i < RULES && m->rules[i].part; i++)
        if (strcmp(m->rules[i].part, part) == 0 && applies(m->rules[i].where, model, layer))
            return m->rules[i].type;
    return m->base;
}

hone_dtype hone_mix_fallback(hone_dtype t, uint64_t k, hone_dtype plain)
{
    if (k % hone_dtype_describe(t)->block_elements == 0)
        return t;
    t = smaller[t]; /* F32, the first, where there is none */
    return t != T(F32) && k % hone_dtype_describe(t)->block_elements == 0 ? t : plain;
}
