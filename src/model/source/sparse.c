/*
 * compressed-tensors, formats sparse-24-bitmask and sparse-bitmask: only the weights that are not
 * zero are stored.
 *   compressed   values in the order of the rows: 2:4 [n][k / 2], else [count]; float, FP8 or I8
 *   bitmask      U8 [n][ceil(k / 8)], bit i % 8 of byte i / 8 set where column i has a value
 *   row_offsets  I64 [n]: where a row's values begin (not with 2:4)
 *   shape        [2]: n, k
 *   weight_scale of a quantised matrix, as without sparsity (optional)
 */
#include "model/source/scaled.h"

static bool holds(const hone_file *f, const char *weight)
{
    return hone_part(f, weight, ".bitmask") && hone_part(f, weight, ".compressed");
}

static bool bit_of(const uint8_t *mask, size_t i)
{
    return mask[i / 8] >> (i % 8) & 1;
}

/* Where the values of columns k0.. of a row begin; false if a row does not lie within them. */
static bool find_values(const hone_scaled *m, size_t row, size_t k0, size_t count, size_t *at)
{
    const uint8_t *mask = m->base + row * m->words;
    size_t stored = (size_t)hone_tensor_elements(m->elements), here = 0, before = 0;
    int64_t start = (int64_t)(row * (m->k / 2));
    if (m->extra)
        memcpy(&start, m->extra->data + 8 * row, 8);
    for (size_t i = 0; i < k0; i += 8) /* k0 is a multiple of 256 */
        before += (size_t)__builtin_popcount(mask[i / 8]);
    for (size_t i = k0; i < k0 + count; i++)
        here += bit_of(mask, i);
    if (start < 0 || (uint64_t)start > stored || stored - (size_t)start < before + here)
        return false;
    *at = (size_t)start + before;
    return m->extra || (before == k0 / 2 && here == count / 2);
}

static bool sparse_values(const hone_scaled *m, size_t row, size_t k0, size_t count, float *out)
{
    const uint8_t *mask = m->base + row * m->words;
    const hone_dtype dtype = (hone_dtype)m->elements->dtype;
    size_t at, size = hone_dtype_describe(dtype)->block_bytes;
    if (!find_values(m, row, k0, count, &at))
        return false;
    for (size_t i = 0; i < count; i++) {
        out[i] = 0;
        if (bit_of(mask, k0 + i) &&
            !hone_dtype_decode(dtype, m->elements->data + at++ * size, 1, &out[i]))
            return false;
    }
    return true;
}

/* n and k, from the tensor shape or the mask. */
static hone_status find_shape(const hone_file *f, const char *weight, const hone_tensor *mask,
                              size_t want_k, hone_source *out, size_t *k)
{
    const hone_tensor *t = hone_part(f, weight, ".shape");
    int64_t shape[2];
    *k = want_k ? want_k : (size_t)mask->shape[1] * 8;
    if (!t)
        return HONE_OK;
    out->tensors[2] = t;
    if (t->dtype != HONE_DTYPE_I64 || hone_tensor_elements(t) != 2)
        return hone_fail(HONE_FORMAT, "%s: tensor '%s' does not hold two integers",
                         hone_file_path(f), t->name);
    memcpy(shape, t->data, sizeof shape);
    if (shape[0] < 1 || (uint64_t)shape[0] != mask->shape[0] || shape[1] < 1 ||
        shape[1] > UINT32_MAX)
        return hone_fail(HONE_FORMAT, "%s: tensor '%s' says %lld x %lld, but '%s' has %llu rows",
                         hone_file_path(f), t->name, (long long)shape[0], (long long)shape[1],
                         mask->name, (unsigned long long)mask->shape[0]);
    *k = (size_t)shape[1];
    return HONE_OK;
}

static hone_status check_values(const hone_file *f, const hone_tensor *v, const hone_scaled *m)
{
    const hone_dtype_info *d = hone_dtype_describe((hone_dtype)v->dtype);
    if (d->block_elements != 1 || !hone_tensor_elements(v))
        return hone_fail(HONE_FORMAT, "%s: tensor '%s' holds no plain numbers", hone_file_path(f),
                         v->name);
    if (m->extra)
        return HONE_OK;
    if (m->k % 4)
        return hone_fail(HONE_FORMAT, "%s: tensor '%s': rows of %zu are not 2:4 sparse",
                         hone_file_path(f), v->name, m->k);
    return hone_part_shape(f, v, m->n, m->k / 2);
}

static hone_status sparse_open(const hone_file *f, const char *weight, size_t n, size_t k,
                               const hone_claim *claim, hone_source *out)
{
    const hone_tensor *v = hone_part(f, weight, ".compressed");
    const hone_tensor *mask = hone_part(f, weight, ".bitmask");
    const hone_tensor *rows = hone_part(f, weight, ".row_offsets");
    const hone_tensor *s = hone_part(f, weight, ".weight_scale");
    hone_scaled m = {.factor = 1, .values = sparse_values, .elements = v, .extra = rows};
    out->name = v->name;
    out->tensors[0] = v;
    out->tensors[1] = mask;
    if (mask->dtype != HONE_DTYPE_U8 || mask->n_dims != 2)
        return hone_fail(HONE_FORMAT, "%s: tensor '%s' is no matrix of U8", hone_file_path(f),
                         mask->name);
    HONE_TRY(find_shape(f, weight, mask, k, out, &m.k));
    m.n = (size_t)mask->shape[0];
    m.words = (size_t)mask->shape[1];
    m.base = mask->data;
    HONE_TRY(hone_part_matrix(f, v, m.n, m.k, n, k));
    HONE_TRY(hone_part_shape(f, mask, m.n, (m.k + 7) / 8));
    HONE_TRY(check_values(f, v, &m));
    if (rows && (rows->dtype != HONE_DTYPE_I64 || hone_tensor_elements(rows) != m.n))
        return hone_fail(HONE_FORMAT, "%s: tensor '%s' should hold %zu integers", hone_file_path(f),
                         rows->name, m.n);
    size_t used = out->tensors[2] ? 3 : 2;
    if (rows)
        out->tensors[used++] = rows;
    m.run = m.k;
    if (s) {
        out->tensors[used++] = s;
        HONE_TRY(hone_grid_open(f, s, m.n, m.k, claim->block[0], claim->block[1], &m.scales));
        m.run = m.scales.cols_per < m.k ? m.scales.cols_per : m.k;
    }
    return hone_scaled_open(f, &m, NULL, out);
}

const hone_source_kind hone_source_sparse = {
    "sparse",
    "compressed-tensors sparse-24-bitmask and sparse-bitmask; run as if dense",
    "as the values: bf16 yes, others rounded to bf16",
    ".compressed",
    " compressed-tensors ",
    holds,
    sparse_open,
};
