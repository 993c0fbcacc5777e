/*
 * GPTQ (Frantar et al., arXiv:2210.17323) as AutoGPTQ and GPTQModel store it:
 *   qweight I32 [k * bits / 32][n]  codes, a little-endian bit stream down each column
 *   scales  float [groups][n]
 *   qzeros  I32 [groups][n * bits / 32]  zero points, a bit stream along n; checkpoint_format
 *           "gptq" (v1) stores one less than the zero point, "gptq_v2" the zero point
 *   g_idx   I32 [k]  group of each column, with act-order (optional)
 * weight = scale * (code - zero point).
 */
#include "model/source/scaled.h"

#include <string.h>

static bool holds(const hone_file *f, const char *weight)
{
    const hone_tensor *w = hone_part(f, weight, ".qweight"), *s = hone_part(f, weight, ".scales");
    /* AWQ packs along n: its qweight is narrower than its scales. */
    return w && (!s || w->n_dims != 2 || s->n_dims != 2 || w->shape[1] == s->shape[1]);
}

/* `bits` bits at bit `at` of the stream that goes down column `col` of words. */
static uint32_t stream(const uint8_t *p, size_t words, size_t col, uint64_t at, uint32_t bits)
{
    size_t i = (size_t)(at / 32);
    unsigned shift = (unsigned)(at % 32);
    uint32_t w = hone_word_at(p, i * words + col) >> shift;
    if (shift + bits > 32)
        w |= hone_word_at(p, (i + 1) * words + col) << (32 - shift);
    return w & ((1u << bits) - 1);
}

static void gptq_codes(const hone_scaled *m, size_t row, const uint32_t *at, size_t count,
                       uint8_t *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (uint8_t)stream(m->base, m->words, row, (uint64_t)at[i] * m->bits, m->bits);
}

static int zero_v2(const hone_scaled *m, size_t row, size_t group)
{
    const uint8_t *p = m->zeros->data + 4 * group * m->zero_words;
    return (int)stream(p, 1, 0, (uint64_t)row * m->bits, m->bits);
}

/* One less was stored. Where a word holds whole codes it was taken from the word as one number, a
 * borrow included, and so it is put back (GPTQModel, convert_gptq_v1_to_v2_format). */
static int zero_v1(const hone_scaled *m, size_t row, size_t group)
{
    uint32_t top = (1u << m->bits) - 1, per = 32 / m->bits;
    if (32 % m->bits)
        return (int)(((uint32_t)zero_v2(m, row, group) + 1) & top);
    uint32_t w = hone_word_at(m->zeros->data, group * m->zero_words + row / per);
    w += UINT32_MAX / top; /* a one in each code */
    return (int)(w >> (row % per * m->bits) & top);
}

/* Codes of how many bits: what the widths of zero points and scales say. */
static hone_status find_bits(const hone_file *f, const hone_tensor *zeros, size_t n, uint32_t *bits)
{
    static const uint32_t known[] = {2, 3, 4, 8};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if ((uint64_t)n * known[i] == zeros->shape[1] * 32) {
            *bits = known[i];
            return HONE_OK;
        }
    return hone_fail(HONE_FORMAT,
                     "%s: tensor '%s' has rows of %llu words, which hold no %zu zero points of 2, "
                     "3, 4 or 8 bits",
                     hone_file_path(f), zeros->name, (unsigned long long)zeros->shape[1], n);
}

/* Columns per group: what config.json says if it fits, else what the shapes say. */
static hone_status find_run(const hone_file *f, const hone_tensor *scales, const hone_claim *c,
                            size_t k, size_t *run)
{
    size_t groups = (size_t)scales->shape[0];
    uint64_t claimed = c->group > 0 ? (uint64_t)c->group : 0;
    if (groups == 1)
        *run = k;
    else if (claimed && (k + claimed - 1) / claimed == groups)
        *run = (size_t)claimed;
    else if (groups && k % groups == 0)
        *run = k / groups;
    else
        return hone_fail(HONE_FORMAT,
                         "%s: tensor '%s' has %zu groups, which do not divide %zu columns",
                         hone_file_path(f), scales->name, groups, k);
    return HONE_OK;
}

static hone_status check_format(const hone_file *f, const hone_tensor *t, const hone_claim *c,
                                bool *v2)
{
    const char *name = c->method && strcmp(c->method, "awq") != 0 && c->format ? c->format : "gptq";
    *v2 = strcmp(name, "gptq_v2") == 0;
    if (*v2 || strcmp(name, "gptq") == 0 || strstr(name, "auto_gptq"))
        return HONE_OK;
    return hone_fail(HONE_UNSUPPORTED,
                     "%s: tensor '%s': checkpoint_format \"%.40s\" is not read; hone reads gptq "
                     "and gptq_v2",
                     hone_file_path(f), t->name, name);
}

static hone_status gptq_open(const hone_file *f, const char *weight, size_t n, size_t k,
                             const hone_claim *claim, hone_source *out)
{
    const hone_tensor *w = hone_part(f, weight, ".qweight"), *s, *z;
    hone_scaled m = {.factor = 1, .codes = gptq_codes, .elements = w, .base = w->data};
    bool v2;
    HONE_TRY(hone_part_need(f, weight, ".scales", &s));
    HONE_TRY(hone_part_need(f, weight, ".qzeros", &z));
    HONE_TRY(check_format(f, w, claim, &v2));
    HONE_TRY(hone_part_words(f, w));
    HONE_TRY(hone_part_words(f, z));
    HONE_TRY(hone_part_floats(f, s));
    m.words = (size_t)w->shape[1];
    m.n = m.words;
    HONE_TRY(find_bits(f, z, m.n, &m.bits));
    HONE_TRY(hone_part_shape(f, z, s->shape[0], z->shape[1]));
    if (w->shape[0] * 32 % m.bits)
        return hone_fail(HONE_FORMAT, "%s: tensor '%s' ends within a code of %u bits",
                         hone_file_path(f), w->name, m.bits);
    m.k = (size_t)(w->shape[0] * 32 / m.bits);
    HONE_TRY(hone_part_matrix(f, w, m.n, m.k, n, k));
    HONE_TRY(find_run(f, s, claim, m.k, &m.run));
    HONE_TRY(hone_grid_open_groups(f, s, m.n, m.run, &m.scales));
    m.zeros = z;
    m.zero_words = (size_t)z->shape[1];
    m.zero_at = v2 ? zero_v2 : zero_v1;
    out->name = w->name;
    out->tensors[0] = w;
    out->tensors[1] = s;
    out->tensors[2] = z;
    out->tensors[3] = hone_part(f, weight, ".g_idx");
    const hone_tensor *g = out->tensors[3];
    return hone_scaled_open(f, &m, g && hone_tensor_elements(g) ? g : NULL, out);
}

const hone_source_kind hone_source_gptq = {
    "gptq",
    "GPTQ, 2, 3, 4 or 8 bits, with or without act-order, v1 and v2 zero points",
    "yes",
    ".qweight",
    " gptq auto-round intel/auto-round ",
    holds,
    gptq_open,
};
