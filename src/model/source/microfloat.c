/*
 * FP4 (E2M1) with a scale for 16 or 32 weights:
 *   compressed-tensors nvfp4-pack-quantized: weight_packed U8 [n][k / 2], weight_scale F8_E4M3
 *     [n][k / 16], weight_global_scale F32 [1]; weight = value * (scale / global scale)
 *   compressed-tensors mxfp4-pack-quantized: weight_packed, weight_scale U8 [n][k / 32];
 *     weight = value * 2^(scale - 127)
 *   ModelOpt NVFP4: weight U8, weight_scale, weight_scale_2 F32; weight = value * (scale * scale_2)
 * The first weight is in the low half of a byte.
 */
#include "model/source/scaled.h"

static const float e2m1[16] = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                               -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};

static const hone_tensor *codes_of(const hone_file *f, const char *weight)
{
    const hone_tensor *t = hone_part(f, weight, ".weight_packed");
    if (!t && hone_part(f, weight, ".weight_scale_2"))
        t = hone_part(f, weight, ".weight");
    return t && t->dtype == HONE_DTYPE_U8 ? t : NULL;
}

static bool holds(const hone_file *f, const char *weight)
{
    return codes_of(f, weight) != NULL;
}

static void fp4_codes(const hone_scaled *m, size_t row, const uint32_t *at, size_t count,
                      uint8_t *out)
{
    const uint8_t *p = m->base + row * (m->k / 2);
    for (size_t i = 0; i < count; i++)
        out[i] = (uint8_t)(p[at[i] / 2] >> (at[i] % 2 * 4) & 15);
}

/* The scale of the whole matrix: divides in compressed-tensors, multiplies in ModelOpt. */
static float nvfp4_scale(const hone_scaled *m, size_t row, size_t k)
{
    float scale;
    size_t at = row / m->scales.rows_per * m->scales.row_stride +
                k / m->scales.cols_per * m->scales.col_stride;
    (void)hone_dtype_decode(m->scales.dtype, m->scales.data + at, 1, &scale);
    return m->offset != 0 ? scale / m->offset : scale * m->factor;
}

static hone_status one_number(const hone_file *f, const hone_tensor *t, float *out)
{
    HONE_TRY(hone_part_floats(f, t));
    if (hone_tensor_elements(t) != 1 || !hone_dtype_decode((hone_dtype)t->dtype, t->data, 1, out) ||
        !(*out > 0))
        return hone_fail(HONE_FORMAT, "%s: tensor '%s' is not one positive number",
                         hone_file_path(f), t->name);
    return HONE_OK;
}

static hone_status open_scales(const hone_file *f, const char *weight, hone_scaled *m,
                               hone_source *out)
{
    const hone_tensor *s, *whole;
    HONE_TRY(hone_part_need(f, weight, ".weight_scale", &s));
    bool mx = s->dtype == HONE_DTYPE_U8 || s->dtype == HONE_DTYPE_F8_E8M0;
    hone_tensor exponents = *s;
    if (mx)
        exponents.dtype = HONE_DTYPE_F8_E8M0;
    m->run = mx ? 32 : 16;
    HONE_TRY(hone_part_shape(f, s, m->n, (m->k + m->run - 1) / m->run));
    HONE_TRY(hone_grid_open(f, &exponents, m->n, m->k, 1, m->run, &m->scales));
    m->run = m->run < m->k ? m->run : m->k;
    out->tensors[1] = s;
    if (mx)
        return HONE_OK;
    if (s->dtype != HONE_DTYPE_F8_E4M3)
        return hone_fail(HONE_FORMAT, "%s: tensor '%s' is %s, and scales of NVFP4 are F8_E4M3",
                         hone_file_path(f), s->name, hone_dtype_name((hone_dtype)s->dtype));
    m->scale_at = nvfp4_scale;
    whole = hone_part(f, weight, ".weight_scale_2");
    if (whole) {
        HONE_TRY(one_number(f, whole, &m->factor));
    } else {
        HONE_TRY(hone_part_need(f, weight, ".weight_global_scale", &whole));
        HONE_TRY(one_number(f, whole, &m->offset));
    }
    out->tensors[2] = whole;
    return HONE_OK;
}

static hone_status fp4_open(const hone_file *f, const char *weight, size_t n, size_t k,
                            const hone_claim *claim, hone_source *out)
{
    const hone_tensor *w = codes_of(f, weight);
    hone_scaled m = {.factor = 1, .bits = 4, .table = e2m1, .codes = fp4_codes, .elements = w};
    (void)claim;
    out->name = w->name;
    out->tensors[0] = w;
    if (w->n_dims != 2)
        return hone_part_shape(f, w, n, k / 2);
    m.n = (size_t)w->shape[0];
    m.k = (size_t)w->shape[1] * 2;
    m.base = w->data;
    HONE_TRY(hone_part_matrix(f, w, m.n, m.k, n, k));
    HONE_TRY(open_scales(f, weight, &m, out));
    return hone_scaled_open(f, &m, NULL, out);
}

const hone_source_kind hone_source_fp4 = {
    "fp4",
    "NVFP4 and MXFP4 of compressed-tensors, NVFP4 of ModelOpt",
    "yes",
    ".weight_packed",
    " compressed-tensors modelopt ",
    holds,
    fp4_open,
};

/* ---- experts of gpt-oss --------------------------------------------------------------------- */

/*
 * MXFP4 as gpt-oss stores all experts of a layer together: NAME_blocks U8 [experts][n][k / 32][16],
 * NAME_scales U8 [experts][n][k / 32]; weight = value * 2^(scale - 127). The matrix of expert e is
 * called "....experts.e.NAME.weight" here, stored as "....experts.NAME_blocks".
 */

/* From the matrix's name to that of a stored tensor, and the expert. */
static bool expert_of(const char *weight, const char *suffix, char stored[HONE_SOURCE_NAME],
                      uint64_t *expert)
{
    static const char tail[] = ".weight";
    size_t n = strlen(weight), t = sizeof tail - 1, name, digits;
    if (n <= t || n >= HONE_SOURCE_NAME - 16 || strcmp(weight + n - t, tail) != 0)
        return false;
    for (name = n - t; name > 0 && weight[name - 1] != '.';)
        name--;
    if (name < 2)
        return false;
    for (digits = name - 1; digits > 0 && weight[digits - 1] >= '0' && weight[digits - 1] <= '9';)
        digits--;
    if (digits == name - 1 || name - digits > 9 || digits == 0 || weight[digits - 1] != '.')
        return false;
    *expert = 0;
    for (size_t i = digits; i + 1 < name; i++)
        *expert = *expert * 10 + (uint64_t)(weight[i] - '0');
    memcpy(stored, weight, digits);
    memcpy(stored + digits, weight + name, n - t - name);
    memcpy(stored + digits + (n - t - name), suffix, strlen(suffix) + 1);
    return true;
}

static bool experts_hold(const hone_file *f, const char *weight)
{
    char name[HONE_SOURCE_NAME];
    uint64_t e;
    return expert_of(weight, "_blocks", name, &e) && hone_file_tensor(f, name);
}

static hone_status experts_open(const hone_file *f, const char *weight, size_t n, size_t k,
                                const hone_claim *claim, hone_source *out)
{
    char name[HONE_SOURCE_NAME];
    const hone_tensor *w = NULL, *s;
    uint64_t e = 0;
    (void)claim;
    if (expert_of(weight, "_blocks", name, &e))
        w = hone_file_tensor(f, name);
    if (!w || !expert_of(weight, "_scales", name, &e))
        return hone_fail(HONE_INTERNAL, "%.200s is no expert", weight);
    out->name = w->name;
    if (w->dtype != HONE_DTYPE_U8 || w->n_dims != 4 || w->shape[3] != 16 ||
        !hone_tensor_elements(w))
        return hone_fail(HONE_FORMAT,
                         "%s: tensor '%s' is not experts x rows x groups x 16 bytes of MXFP4",
                         hone_file_path(f), w->name);
    if (e >= w->shape[0])
        return hone_fail(HONE_NOT_FOUND, "%s: tensor '%s' has %llu experts; there is no %llu",
                         hone_file_path(f), w->name, (unsigned long long)w->shape[0],
                         (unsigned long long)e);
    HONE_TRY(hone_file_need_tensor(f, name, 3, w->shape, &s));
    if (s->dtype != HONE_DTYPE_U8 && s->dtype != HONE_DTYPE_F8_E8M0)
        return hone_fail(HONE_FORMAT, "%s: tensor '%s' is %s, and scales of MXFP4 are bytes",
                         hone_file_path(f), s->name, hone_dtype_name((hone_dtype)s->dtype));
    size_t rows = (size_t)w->shape[1], groups = (size_t)w->shape[2];
    hone_scaled m = {.factor = 1,
                     .bits = 4,
                     .table = e2m1,
                     .codes = fp4_codes,
                     .elements = w,
                     .n = rows,
                     .k = groups * 32,
                     .run = 32};
    HONE_TRY(hone_part_matrix(f, w, m.n, m.k, n, k));
    m.base = w->data + (size_t)e * rows * groups * 16;
    m.scales = (hone_grid){.data = s->data + (size_t)e * rows * groups,
                           .dtype = HONE_DTYPE_F8_E8M0,
                           .rows_per = 1,
                           .cols_per = 32,
                           .row_stride = groups,
                           .col_stride = 1};
    out->tensors[0] = w;
    out->tensors[1] = s;
    out->copies = w->shape[0];
    return hone_scaled_open(f, &m, NULL, out);
}

const hone_source_kind hone_source_experts = {
    "experts",    "MXFP4 of gpt-oss: one expert of many in a tensor",
    "yes",        "_blocks",
    " mxfp4 ",    experts_hold,
    experts_open,
};
