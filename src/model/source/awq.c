/*
 * AWQ (Lin et al., arXiv:2306.00978), version "gemm": words pack eight outputs.
 *   qweight I32 [k][n / 8], qzeros I32 [groups][n / 8]: nibble i of word j is output 8j + order[i],
 *           order = 0 2 4 6 1 3 5 7
 *   scales  float [groups][n]
 * weight = scale * (code - zero point).
 */
#include "model/source/scaled.h"

#include <string.h>

/* The nibble that holds output 8j + i. */
static const uint8_t place[8] = {0, 4, 1, 5, 2, 6, 3, 7};

static bool holds(const hone_file *f, const char *weight)
{
    const hone_tensor *w = hone_part(f, weight, ".qweight"), *s = hone_part(f, weight, ".scales");
    return w && s && w->n_dims == 2 && s->n_dims == 2 && w->shape[1] != s->shape[1];
}

static void awq_codes(const hone_scaled *m, size_t row, const uint32_t *at, size_t count,
                      uint8_t *out)
{
    unsigned shift = 4u * place[row % 8];
    for (size_t i = 0; i < count; i++)
        out[i] = hone_word_at(m->base, at[i] * m->words + row / 8) >> shift & 15;
}

static int awq_zero(const hone_scaled *m, size_t row, size_t group)
{
    uint32_t w = hone_word_at(m->zeros->data, group * m->words + row / 8);
    return (int)(w >> (4u * place[row % 8]) & 15);
}

static hone_status awq_open(const hone_file *f, const char *weight, size_t n, size_t k,
                            const hone_claim *claim, hone_source *out)
{
    const hone_tensor *w = hone_part(f, weight, ".qweight"), *s, *z;
    hone_scaled m = {
        .factor = 1, .bits = 4, .codes = awq_codes, .zero_at = awq_zero, .elements = w};
    HONE_TRY(hone_part_need(f, weight, ".scales", &s));
    HONE_TRY(hone_part_need(f, weight, ".qzeros", &z));
    if (claim->format && strcmp(claim->format, "gemm") != 0 && strcmp(claim->format, "GEMM") != 0)
        return hone_fail(HONE_UNSUPPORTED,
                         "%s: tensor '%s': AWQ version \"%.40s\" is not read; hone reads gemm",
                         hone_file_path(f), w->name, claim->format);
    HONE_TRY(hone_part_words(f, w));
    HONE_TRY(hone_part_words(f, z));
    HONE_TRY(hone_part_floats(f, s));
    m.base = w->data;
    m.words = m.zero_words = (size_t)w->shape[1];
    m.k = (size_t)w->shape[0];
    m.n = m.words * 8;
    HONE_TRY(hone_part_shape(f, z, s->shape[0], m.words));
    HONE_TRY(hone_part_matrix(f, w, m.n, m.k, n, k));
    size_t groups = (size_t)s->shape[0];
    if (m.k % groups)
        return hone_fail(HONE_FORMAT,
                         "%s: tensor '%s' has %zu groups, which do not divide %zu columns",
                         hone_file_path(f), s->name, groups, m.k);
    m.run = m.k / groups;
    HONE_TRY(hone_grid_open_groups(f, s, m.n, m.run, &m.scales));
    m.zeros = z;
    out->name = w->name;
    out->tensors[0] = w;
    out->tensors[1] = s;
    out->tensors[2] = z;
    return hone_scaled_open(f, &m, NULL, out);
}

const hone_source_kind hone_source_awq = {
    "awq",      "AWQ, 4 bits, version gemm",         "yes",
    ".qweight", " awq auto-round intel/auto-round ", holds,
    awq_open,
};
