/*
 * Matrices of bytes in their natural order, with scales beside them.
 *
 * fp8: weight F8_E4M3 or F8_E5M2 [n][k] and weight_scale_inv or weight_scale, float: one, [n],
 *   [n][1], or a grid over blocks (quantization_config.weight_block_size, 128 x 128);
 *   weight = value * scale, by either name (DeepSeek-V3, compressed-tensors float-quantized,
 *   fbgemm, ModelOpt).
 * int8: weight I8 [n][k], weight_scale likewise or in groups along k, weight_zero_point I8
 *   (optional) as the scales (compressed-tensors int-quantized);
 *   weight = (code - zero point) * scale.
 */
#include "model/source/scaled.h"

/* ---- FP8 ------------------------------------------------------------------------------------ */

static const char *const scale_names[] = {".weight_scale_inv", ".weight_scale"};

static const hone_tensor *scale_of_weight(const hone_file *f, const char *weight)
{
    const hone_tensor *t = hone_part(f, weight, scale_names[0]);
    return t ? t : hone_part(f, weight, scale_names[1]);
}

static bool is_fp8(const hone_tensor *t)
{
    return t && (t->dtype == HONE_DTYPE_F8_E4M3 || t->dtype == HONE_DTYPE_F8_E5M2);
}

/* Without a scale they are plain numbers, unless config.json tells of a quantisation. */
static bool holds_fp8(const hone_file *f, const char *weight)
{
    return is_fp8(hone_part(f, weight, ".weight")) &&
           (scale_of_weight(f, weight) || hone_file_has(f, "quantization_config.quant_method"));
}

static bool fp8_values(const hone_scaled *m, size_t row, size_t k0, size_t count, float *out)
{
    return hone_dtype_decode((hone_dtype)m->elements->dtype, m->base + row * m->k + k0, count, out);
}

static hone_status open_fp8(const hone_file *f, const char *weight, size_t n, size_t k,
                            const hone_claim *claim, hone_source *out)
{
    const hone_tensor *w = hone_part(f, weight, ".weight"), *s = scale_of_weight(f, weight);
    out->name = w->name;
    out->tensors[0] = w;
    if (!s) /* says which name is missing */
        HONE_TRY(hone_part_need(f, weight, scale_names[claim->block[0] ? 0 : 1], &s));
    out->tensors[1] = s;
    if (w->n_dims != 2)
        return hone_part_shape(f, w, n, k);
    hone_scaled m = {.n = (size_t)w->shape[0],
                     .k = (size_t)w->shape[1],
                     .factor = 1,
                     .values = fp8_values,
                     .base = w->data,
                     .elements = w};
    HONE_TRY(hone_part_matrix(f, w, m.n, m.k, n, k));
    uint64_t rows = claim->block[0] ? claim->block[0] : 128;
    uint64_t cols = claim->block[1] ? claim->block[1] : 128;
    HONE_TRY(hone_grid_open(f, s, m.n, m.k, rows, cols, &m.scales));
    m.run = m.scales.cols_per < m.k ? m.scales.cols_per : m.k;
    HONE_TRY(hone_scaled_open(f, &m, NULL, out));
    out->bits = 8;
    return HONE_OK;
}

const hone_source_kind hone_source_fp8 = {
    "fp8",
    "FP8 e4m3 and e5m2; a scale for the matrix, a row, or blocks (128 x 128)",
    "weights rounded to bf16, unless scales are powers of two",
    ".weight",
    " fp8 fbgemm_fp8 compressed-tensors modelopt ",
    holds_fp8,
    open_fp8,
};

/* ---- int8 ----------------------------------------------------------------------------------- */

static bool holds_int8(const hone_file *f, const char *weight)
{
    const hone_tensor *w = hone_part(f, weight, ".weight");
    return w && w->dtype == HONE_DTYPE_I8 && hone_part(f, weight, ".weight_scale");
}

static int int8_zero(const hone_scaled *m, size_t row, size_t group)
{
    size_t at = row / m->scales.rows_per * m->scales.row_stride + group * m->scales.col_stride;
    return 128 + (int8_t)m->zeros->data[at];
}

static hone_status open_int8(const hone_file *f, const char *weight, size_t n, size_t k,
                             const hone_claim *claim, hone_source *out)
{
    const hone_tensor *w = hone_part(f, weight, ".weight");
    const hone_tensor *s = hone_part(f, weight, ".weight_scale");
    const hone_tensor *z = hone_part(f, weight, ".weight_zero_point");
    out->name = w->name;
    out->tensors[0] = w;
    out->tensors[1] = s;
    out->tensors[2] = z;
    if (w->n_dims != 2)
        return hone_part_shape(f, w, n, k);
    hone_scaled m = {.n = (size_t)w->shape[0],
                     .k = (size_t)w->shape[1],
                     .bits = 8,
                     .factor = 1,
                     .zero = 128,
                     .codes = hone_scaled_bytes,
                     .base = w->data,
                     .elements = w};
    HONE_TRY(hone_part_matrix(f, w, m.n, m.k, n, k));
    uint64_t cols = claim->block[1] ? claim->block[1] : hone_group_size(s, m.k, claim);
    HONE_TRY(hone_grid_open(f, s, m.n, m.k, claim->block[0], cols, &m.scales));
    m.run = m.scales.cols_per < m.k ? m.scales.cols_per : m.k;
    if (z) {
        if (z->dtype != HONE_DTYPE_I8 || hone_tensor_elements(z) != hone_tensor_elements(s))
            return hone_fail(HONE_FORMAT,
                             "%s: tensor '%s' should hold a zero point in I8 for each scale",
                             hone_file_path(f), z->name);
        m.zeros = z;
        m.zero_at = int8_zero;
    }
    HONE_TRY(hone_scaled_open(f, &m, NULL, out));
    if (claim->bits > 0 && claim->bits < 8) /* fewer bits, a byte for each */
        out->bits = (uint32_t)claim->bits;
    return HONE_OK;
}

const hone_source_kind hone_source_int8 = {
    "int8",
    "compressed-tensors int-quantized, a byte per weight, symmetric or not",
    "yes",
    ".weight",
    " compressed-tensors ",
    holds_int8,
    open_int8,
};
