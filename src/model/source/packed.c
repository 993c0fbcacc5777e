/*
 * compressed-tensors, format pack-quantized: codes of 2 to 8 bits in words of 32 / bits codes.
 *   weight_packed     I32 [n][ceil(k / per)], code + 2^(bits-1), the first in the low bits
 *   weight_scale      float [n][groups], [n][1] or one
 *   weight_zero_point I32 [ceil(n / per)][groups] packed along n, or I8 [n][groups] (optional)
 *   weight_shape      [2]: n, k
 *   weight_g_idx      I32 [k]: group of each column, with actorder "group" (optional)
 * weight = scale * (code - zero point).
 */
#include "model/source/scaled.h"

static bool holds(const hone_file *f, const char *weight)
{
    const hone_tensor *w = hone_part(f, weight, ".weight_packed");
    return w && w->dtype != HONE_DTYPE_U8;
}

static void packed_codes(const hone_scaled *m, size_t row, const uint32_t *at, size_t count,
                         uint8_t *out)
{
    uint32_t per = 32 / m->bits, top = (1u << m->bits) - 1;
    for (size_t i = 0; i < count; i++) {
        uint32_t w = hone_word_at(m->base, row * m->words + at[i] / per);
        out[i] = (uint8_t)(w >> (at[i] % per * m->bits) & top);
    }
}

static int packed_zero(const hone_scaled *m, size_t row, size_t group)
{
    size_t per = 32 / m->bits;
    uint32_t w = hone_word_at(m->zeros->data, row / per * m->zero_words + group);
    return (int)(w >> (row % per * m->bits) & ((1u << m->bits) - 1));
}

static int byte_zero(const hone_scaled *m, size_t row, size_t group)
{
    return (int8_t)m->zeros->data[row * m->zero_words + group] + (1 << (m->bits - 1));
}

static uint64_t words_of(uint64_t k, uint32_t bits)
{
    return (k + 32 / bits - 1) / (32 / bits);
}

/* The bits that make rows of k as wide as they are: those claimed, if they do. */
static hone_status find_bits(const hone_file *f, const hone_tensor *w, const hone_claim *c,
                             size_t k, uint32_t *bits)
{
    static const uint32_t likely[] = {4, 8, 2, 3, 5, 6, 7};
    if (c->bits >= 2 && c->bits <= 8 && words_of(k, (uint32_t)c->bits) == w->shape[1]) {
        *bits = (uint32_t)c->bits;
        return HONE_OK;
    }
    for (size_t i = 0; i < sizeof likely / sizeof *likely; i++)
        if (words_of(k, likely[i]) == w->shape[1]) {
            *bits = likely[i];
            return HONE_OK;
        }
    return hone_fail(HONE_FORMAT,
                     "%s: tensor '%s' has rows of %llu words, which hold no %zu codes of 2 to 8 "
                     "bits",
                     hone_file_path(f), w->name, (unsigned long long)w->shape[1], k);
}

/* Columns from weight_shape, or those asked for. */
static hone_status find_columns(const hone_file *f, const char *weight, const hone_tensor *w,
                                size_t k, hone_source *out, size_t *columns)
{
    const hone_tensor *t = hone_part(f, weight, ".weight_shape");
    *columns = k;
    if (!t && k)
        return HONE_OK;
    if (!t)
        HONE_TRY(hone_part_need(f, weight, ".weight_shape", &t));
    int64_t shape[2] = {0, 0};
    bool wide = t->dtype == HONE_DTYPE_I64;
    if (hone_tensor_elements(t) != 2 || (!wide && t->dtype != HONE_DTYPE_I32))
        return hone_fail(HONE_FORMAT, "%s: tensor '%s' does not hold two integers",
                         hone_file_path(f), t->name);
    for (size_t i = 0; i < 2; i++) {
        if (wide)
            memcpy(&shape[i], t->data + 8 * i, 8);
        else
            shape[i] = (int32_t)hone_word_at(t->data, i);
    }
    if (shape[0] < 0 || (uint64_t)shape[0] != w->shape[0] || shape[1] < 1 || shape[1] > UINT32_MAX)
        return hone_fail(HONE_FORMAT, "%s: tensor '%s' says %lld x %lld, but '%s' has %llu rows",
                         hone_file_path(f), t->name, (long long)shape[0], (long long)shape[1],
                         w->name, (unsigned long long)w->shape[0]);
    *columns = (size_t)shape[1];
    out->tensors[4] = t;
    return HONE_OK;
}

static hone_status open_zeros(const hone_file *f, const hone_tensor *z, hone_scaled *m)
{
    size_t groups = (m->k + m->run - 1) / m->run, per = 32 / m->bits;
    m->zeros = z;
    m->zero_words = groups;
    if (z->dtype == HONE_DTYPE_I8) {
        m->zero_at = byte_zero;
        return hone_part_shape(f, z, m->n, groups);
    }
    m->zero_at = packed_zero;
    HONE_TRY(hone_part_words(f, z));
    return hone_part_shape(f, z, (m->n + per - 1) / per, groups);
}

static hone_status packed_open(const hone_file *f, const char *weight, size_t n, size_t k,
                               const hone_claim *claim, hone_source *out)
{
    const hone_tensor *w = hone_part(f, weight, ".weight_packed"), *s;
    hone_scaled m = {.factor = 1, .codes = packed_codes, .elements = w, .base = w->data};
    HONE_TRY(hone_part_need(f, weight, ".weight_scale", &s));
    HONE_TRY(hone_part_words(f, w));
    m.n = (size_t)w->shape[0];
    m.words = (size_t)w->shape[1];
    HONE_TRY(find_columns(f, weight, w, k, out, &m.k));
    HONE_TRY(hone_part_matrix(f, w, m.n, m.k, n, k));
    HONE_TRY(find_bits(f, w, claim, m.k, &m.bits));
    HONE_TRY(hone_grid_open(f, s, m.n, m.k, 0, hone_group_size(s, m.k, claim), &m.scales));
    m.run = m.scales.cols_per < m.k ? m.scales.cols_per : m.k;
    m.zero = 1 << (m.bits - 1);
    out->name = w->name;
    out->tensors[0] = w;
    out->tensors[1] = s;
    out->tensors[2] = out->tensors[4]; /* one after the other, however many there are */
    out->tensors[4] = NULL;
    size_t used = out->tensors[2] ? 3 : 2;
    const hone_tensor *z = hone_part(f, weight, ".weight_zero_point");
    const hone_tensor *g = hone_part(f, weight, ".weight_g_idx");
    if (z) {
        out->tensors[used++] = z;
        HONE_TRY(open_zeros(f, z, &m));
    }
    if (g)
        out->tensors[used++] = g;
    return hone_scaled_open(f, &m, g && hone_tensor_elements(g) ? g : NULL, out);
}

const hone_source_kind hone_source_packed = {
    "packed",
    "compressed-tensors pack-quantized, 2 to 8 bits, symmetric or not, with or without actorder",
    "yes",
    ".weight_packed",
    " compressed-tensors ",
    holds,
    packed_open,
};
