#include "model/source/scaled.h"

#include "base/mem.h"
#include "dtype/half.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { STRIP = 256 }; /* what the packer asks for at a time */

/* ---- parts ---------------------------------------------------------------------------------- */

static void part_name(const char *weight, const char *suffix, char out[HONE_SOURCE_NAME])
{
    static const char tail[] = ".weight";
    size_t n = strlen(weight), t = sizeof tail - 1;
    if (n > t && strcmp(weight + n - t, tail) == 0)
        n -= t;
    snprintf(out, HONE_SOURCE_NAME, "%.*s%s", (int)n, weight, suffix);
}

const hone_tensor *hone_part(const hone_file *f, const char *weight, const char *suffix)
{
    char name[HONE_SOURCE_NAME];
    part_name(weight, suffix, name);
    return hone_file_tensor(f, name);
}

hone_status hone_part_need(const hone_file *f, const char *weight, const char *suffix,
                           const hone_tensor **out)
{
    char name[HONE_SOURCE_NAME];
    part_name(weight, suffix, name);
    *out = hone_file_tensor(f, name);
    return *out ? HONE_OK
                : hone_fail(HONE_NOT_FOUND,
                            "%s: tensor '%s' is missing, though others of this quantised matrix "
                            "are there; fetch the model again",
                            hone_file_path(f), name);
}

hone_status hone_part_shape(const hone_file *f, const hone_tensor *t, uint64_t rows, uint64_t cols)
{
    if (t->n_dims == 2 && t->shape[0] == rows && t->shape[1] == cols)
        return HONE_OK;
    return hone_fail(HONE_FORMAT,
                     "%s: tensor '%s' must be %llu x %llu to fit the other tensors of its matrix; "
                     "it has %d dimensions, %llu x %llu",
                     hone_file_path(f), t->name, (unsigned long long)rows, (unsigned long long)cols,
                     t->n_dims, (unsigned long long)t->shape[0],
                     (unsigned long long)(t->n_dims > 1 ? t->shape[1] : 1));
}

hone_status hone_part_words(const hone_file *f, const hone_tensor *t)
{
    if (t->n_dims == 2 && hone_tensor_elements(t) &&
        (t->dtype == HONE_DTYPE_I32 || t->dtype == HONE_DTYPE_U32))
        return HONE_OK;
    return hone_fail(HONE_UNSUPPORTED,
                     "%s: tensor '%s' is no matrix of 32-bit integers (%s); hone reads no other "
                     "packing",
                     hone_file_path(f), t->name, hone_dtype_name((hone_dtype)t->dtype));
}

hone_status hone_part_floats(const hone_file *f, const hone_tensor *t)
{
    switch (t->dtype) {
    case HONE_DTYPE_F32:
    case HONE_DTYPE_F16:
    case HONE_DTYPE_BF16:
    case HONE_DTYPE_F8_E4M3:
    case HONE_DTYPE_F8_E8M0:
        if (hone_tensor_elements(t))
            return HONE_OK;
        break;
    default:
        break;
    }
    return hone_fail(HONE_FORMAT, "%s: tensor '%s' should hold float scales, but is %s%s",
                     hone_file_path(f), t->name, hone_tensor_elements(t) ? "" : "empty ",
                     hone_dtype_name((hone_dtype)t->dtype));
}

hone_status hone_part_matrix(const hone_file *f, const hone_tensor *t, size_t n, size_t k,
                             size_t want_n, size_t want_k)
{
    if (!n || !k || n > UINT32_MAX || k > UINT32_MAX)
        return hone_fail(HONE_LIMIT, "%s: tensor '%s' claims a matrix of %zu x %zu",
                         hone_file_path(f), t->name, n, k);
    if ((want_n && want_n != n) || (want_k && want_k != k))
        return hone_fail(HONE_FORMAT,
                         "%s: tensor '%s' holds a matrix of %zu x %zu, the model's configuration "
                         "says %zu x %zu",
                         hone_file_path(f), t->name, n, k, want_n, want_k);
    return HONE_OK;
}

/* ---- scales --------------------------------------------------------------------------------- */

static size_t cells(size_t n, uint64_t per)
{
    return (size_t)(((uint64_t)n + per - 1) / per);
}

/* Size of a cell so that n elements make `count` of them: the one given, or n / count. */
static bool cell_size(size_t n, uint64_t count, uint64_t given, size_t *out)
{
    if (given && cells(n, given) == count)
        *out = (size_t)given;
    else if (!given && count && n % count == 0)
        *out = (size_t)(n / count);
    else
        return false;
    return true;
}

hone_status hone_grid_open(const hone_file *f, const hone_tensor *t, size_t n, size_t k,
                           uint64_t rows_per, uint64_t cols_per, hone_grid *out)
{
    HONE_TRY(hone_part_floats(f, t));
    *out = (hone_grid){
        .data = t->data, .dtype = (hone_dtype)t->dtype, .rows_per = SIZE_MAX, .cols_per = SIZE_MAX};
    if (hone_tensor_elements(t) == 1)
        return HONE_OK;
    if (t->n_dims == 1 || (t->n_dims == 2 && t->shape[1] == 1 && t->shape[0] == n)) {
        out->rows_per = out->row_stride = 1;
        if (t->shape[0] == n)
            return HONE_OK;
    } else if (t->n_dims == 2 &&
               cell_size(n, t->shape[0], t->shape[0] == n ? 1 : rows_per, &out->rows_per) &&
               cell_size(k, t->shape[1], cols_per, &out->cols_per)) {
        out->row_stride = (size_t)t->shape[1];
        out->col_stride = 1;
        return HONE_OK;
    }
    return hone_fail(HONE_FORMAT,
                     "%s: tensor '%s' (%d dimensions, %llu x %llu) is no grid of scales over a "
                     "matrix of %zu x %zu",
                     hone_file_path(f), t->name, t->n_dims, (unsigned long long)t->shape[0],
                     (unsigned long long)(t->n_dims > 1 ? t->shape[1] : 1), n, k);
}

uint64_t hone_group_size(const hone_tensor *scales, size_t k, const hone_claim *claim)
{
    uint64_t groups = scales->n_dims == 2 ? scales->shape[1] : 1;
    bool said = groups && k % groups == 0;
    return said || claim->group < 1 ? 0 : (uint64_t)claim->group;
}

hone_status hone_grid_open_groups(const hone_file *f, const hone_tensor *t, size_t n, size_t run,
                                  hone_grid *out)
{
    HONE_TRY(hone_part_floats(f, t));
    *out = (hone_grid){.data = t->data,
                       .dtype = (hone_dtype)t->dtype,
                       .rows_per = 1,
                       .cols_per = run,
                       .row_stride = 1,
                       .col_stride = n};
    return hone_part_shape(f, t, t->shape[0], n);
}

static size_t group_of(const hone_scaled *m, size_t k)
{
    return m->groups ? m->groups[k] : k / m->run;
}

static float scale_of(const hone_scaled *m, size_t row, size_t k)
{
    if (m->scale_at)
        return m->scale_at(m, row, k);
    const hone_grid *g = &m->scales;
    if (!g->data)
        return m->factor;
    size_t col = m->groups ? m->groups[k] : k / g->cols_per;
    size_t at = row / g->rows_per * g->row_stride + col * g->col_stride;
    float scale = NAN;
    (void)hone_dtype_decode(g->dtype, g->data + at * hone_dtype_describe(g->dtype)->block_bytes, 1,
                            &scale);
    return m->factor * scale;
}

static int zero_of(const hone_scaled *m, size_t row, size_t k)
{
    return m->zero_at ? m->zero_at(m, row, group_of(m, k)) : m->zero;
}

/* ---- rows ----------------------------------------------------------------------------------- */

static bool scaled_decode(const hone_rows *s, size_t row, size_t k0, size_t count, float *out)
{
    const hone_scaled *m = s->context;
    uint32_t at[STRIP];
    uint8_t codes[STRIP];
    const bool coded = m->bits != 0;
    if (count < 1 || count > STRIP)
        return false;
    for (size_t i = 0; i < count; i++)
        at[i] = (uint32_t)(k0 + i);
    if (coded)
        m->codes(m, row, at, count, codes);
    else if (!m->values(m, row, k0, count, out))
        return false;
    for (size_t i = 0, end; i < count; i = end) {
        size_t k = k0 + i, span = m->groups ? 1 : m->run - k % m->run;
        end = span < count - i ? i + span : count;
        float scale = scale_of(m, row, k);
        int zero = zero_of(m, row, k);
        if (!isfinite(scale))
            return false;
        for (size_t j = i; j < end; j++)
            out[j] = scale * (!coded     ? out[j]
                              : m->table ? m->table[codes[j]]
                                         : (float)((int)codes[j] - zero));
    }
    return true;
}

static bool scaled_codes(const hone_rows *s, size_t row, size_t k0, size_t count, int8_t *codes,
                         float *scales, float *mins)
{
    const hone_scaled *m = s->context;
    uint32_t at[STRIP];
    uint8_t raw[STRIP];
    if (count < 1 || count > STRIP)
        return false;
    for (size_t i = 0; i < count; i++)
        at[i] = m->order ? m->order[k0 + i] : (uint32_t)(k0 + i);
    m->codes(m, row, at, count, raw);
    int bias = m->bits == 4 ? 0 : m->bias; /* of 4 bits the table takes it */
    for (size_t i = 0; i < count; i++)
        codes[i] = (int8_t)((int)raw[i] - bias);
    size_t first = k0 / m->run, last = (k0 + count - 1) / m->run;
    for (size_t g = first; g <= last; g++) {
        size_t k = m->order ? m->order[g * m->run] : g * m->run;
        float scale = scale_of(m, row, k);
        if (!isfinite(scale))
            return false;
        scales[g - first] = scale;
        if (m->has_min)
            mins[g - first] = (float)(m->bias - zero_of(m, row, k)) * scale;
    }
    return true;
}

/* ---- what the numbers are like -------------------------------------------------------------- */

static bool is_half(float x)
{
    return hone_f16_to_f32(hone_f32_to_f16(x)) == x;
}

static bool is_power_of_two(float x)
{
    return (hone_f32_bits(x) & 0x007fffffu) == 0;
}

static bool is_bf16(float x)
{
    return (hone_f32_bits(x) & 0xffffu) == 0;
}

/* Looks at every scale and zero point once. */
static void survey(hone_scaled *m, bool *halves, bool *powers)
{
    bool same = true;
    size_t groups = cells(m->k, m->run);
    *halves = *powers = true;
    if (m->zero_at)
        m->zero = m->zero_at(m, 0, 0);
    for (size_t r = 0; r < m->n && (same || *halves || *powers); r++)
        for (size_t g = 0; g < groups; g++) {
            size_t k = m->order ? m->order[g * m->run] : g * m->run;
            if (*halves || *powers) {
                float scale = scale_of(m, r, k);
                *halves = *halves && is_half(scale);
                *powers = *powers && is_power_of_two(scale);
            }
            same = same && (!m->zero_at || zero_of(m, r, k) == m->zero);
        }
    if (same)
        m->zero_at = NULL;
}

/* What the codes that go to the kernels mean. */
static hone_coding code(hone_scaled *m, bool halves)
{
    int top = (1 << m->bits) - 1;
    bool fixed = !m->zero_at;
    hone_coding c = {.bits = m->bits == 7 ? 8 : m->bits,
                     .group = m->run < m->k ? (uint32_t)m->run : 0};
    if (m->bits >= 7 && !(fixed && top - m->zero <= 127 && m->zero <= 128)) {
        m->bias = m->bits == 8 ? 128 : 0;
        m->has_min = !m->table;
    } else {
        m->bias = fixed ? m->zero : 0;
        m->has_min = !fixed;
    }
    for (int i = 0; i < 16 && m->bits == 4; i++)
        c.table[i] = m->table ? m->table[i] : (float)(i - m->bias);
    c.low = c.bits == 8 ? -128 : c.bits == 4 ? 0 : -m->bias;
    c.has_min = m->has_min;
    c.wide = m->has_min || !halves;
    return c;
}

/* Reads the group of each column; *regular if every group but the last has `run` of them. */
static hone_status read_groups(const hone_file *f, const hone_tensor *t, const hone_scaled *m,
                               uint32_t *groups, bool *scattered)
{
    size_t count = cells(m->k, m->run);
    bool wide = t->dtype == HONE_DTYPE_I64;
    *scattered = false;
    if (t->n_dims != 1 || t->shape[0] != m->k || (t->dtype != HONE_DTYPE_I32 && !wide))
        return hone_fail(HONE_FORMAT,
                         "%s: tensor '%s' must hold the group of each of %zu columns, as integers",
                         hone_file_path(f), t->name, m->k);
    for (size_t k = 0; k < m->k; k++) {
        int64_t g = (int32_t)hone_word_at(t->data, k);
        if (wide)
            memcpy(&g, t->data + 8 * k, 8);
        if (g == -1) { /* never filled in: groups in order */
            *scattered = false;
            return HONE_OK;
        }
        if (g < 0 || (uint64_t)g >= count)
            return hone_fail(HONE_FORMAT,
                             "%s: tensor '%s': column %zu is in group %lld of %zu (of %zu "
                             "columns each)",
                             hone_file_path(f), t->name, k, (long long)g, count, m->run);
        groups[k] = (uint32_t)g;
        *scattered = *scattered || (size_t)g != k / m->run;
    }
    return HONE_OK;
}

/* The columns by group, in order within each. False if the groups are not all of `run` columns
 * (the last: of the rest), so that no kernel can have them contiguous. */
static bool sort_columns(const hone_scaled *m, const uint32_t *groups, uint32_t *order)
{
    size_t count = cells(m->k, m->run);
    for (size_t i = 0; i < m->k; i++)
        order[i] = UINT32_MAX;
    for (size_t k = 0; k < m->k; k++) { /* the first place of a group counts those taken */
        size_t first = groups[k] * m->run, n = groups[k] + 1 == count ? m->k - first : m->run;
        size_t used = 0;
        if (order[first] != UINT32_MAX) {
            size_t a = 1, b = n; /* first free place, by bisection */
            while (a < b) {
                size_t mid = (a + b) / 2;
                if (order[first + mid] == UINT32_MAX)
                    b = mid;
                else
                    a = mid + 1;
            }
            used = a;
        }
        if (used == n)
            return false;
        order[first + used] = (uint32_t)k;
    }
    return true;
}

void hone_scaled_bytes(const hone_scaled *m, size_t row, const uint32_t *at, size_t count,
                       uint8_t *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = m->base[row * m->k + at[i]] ^ 0x80;
}

hone_status hone_scaled_open(const hone_file *f, const hone_scaled *desc, const hone_tensor *g_idx,
                             hone_source *out)
{
    size_t bytes = sizeof *desc + (g_idx ? 2 * desc->k * sizeof(uint32_t) : 0);
    hone_scaled *m = hone_malloc(bytes);
    if (!m)
        return hone_fail_memory(bytes, "a quantised matrix");
    *m = *desc;
    out->owned = m;
    out->n = m->n;
    out->k = m->k;
    out->bits = m->bits;
    out->group = m->run;
    out->rows = (hone_rows){.decode = scaled_decode, .context = m};
    bool usable = m->bits != 0, scattered = false, halves = false, powers = false;
    if (g_idx) {
        uint32_t *groups = (uint32_t *)(void *)(m + 1), *order = groups + m->k;
        HONE_TRY(read_groups(f, g_idx, m, groups, &scattered));
        if (scattered) {
            m->groups = groups;
            usable = sort_columns(m, groups, order);
            m->order = usable ? order : NULL;
        }
    }
    if (usable || !scattered)
        survey(m, &halves, &powers);
    bool table_is_bf16 = true;
    for (int i = 0; i < 16 && m->table; i++)
        table_is_bf16 = table_is_bf16 && is_bf16(m->table[i]);
    out->bf16_exact = powers && table_is_bf16 &&
                      (m->bits || !m->elements || m->elements->dtype != HONE_DTYPE_F32);
    if (usable) {
        out->rows.coding = code(m, halves);
        out->rows.codes = scaled_codes;
        out->order = m->order;
    }
    return HONE_OK;
}
