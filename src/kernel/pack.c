/* pack - from rows as a file stores them to panels as the kernels read them, and one row back. */
#include "kernel/kernel.h"
#include "kernel/layout.h"

#include "base/mem.h"

#include <string.h>

enum { STRIP = 256 }; /* elements decoded at a time: a multiple of every format's block */

static const char *const layout_names[HONE_LAYOUT_COUNT] = {"f32", "bf16", "int8", "4-bit"};

const char *hone_layout_name(hone_layout layout)
{
    return (unsigned)layout < HONE_LAYOUT_COUNT ? layout_names[layout] : "?";
}

static bool stored_decode(const hone_rows *s, size_t row, size_t k0, size_t count, float *out)
{
    const hone_dtype_info *i = hone_dtype_describe(s->dtype);
    const uint8_t *at = s->data + row * s->row_bytes + k0 / i->block_elements * i->block_bytes;
    return hone_dtype_decode(s->dtype, at, count, out);
}

static bool stored_codes(const hone_rows *s, size_t row, size_t k0, size_t count, int8_t *codes,
                         float *scales, float *mins)
{
    const hone_dtype_info *i = hone_dtype_describe(s->dtype);
    const uint8_t *at = s->data + row * s->row_bytes + k0 / i->block_elements * i->block_bytes;
    return hone_dtype_codes(s->dtype, at, count, codes, scales, mins);
}

bool hone_rows_init(hone_rows *s, hone_dtype t, const void *data, size_t k)
{
    *s = (hone_rows){
        .coding = hone_dtype_coding(t), .decode = stored_decode, .dtype = t, .data = data};
    s->codes = s->coding.bits ? stored_codes : NULL;
    return hone_dtype_row_bytes(t, k, &s->row_bytes);
}

/* What the kernels can scale exactly today. */
static bool scalable(const hone_coding *c)
{
    return c->bits && !c->wide && c->group && c->group % 32 == 0 && STRIP % c->group == 0;
}

hone_layout hone_layout_for(const hone_coding *c, bool f32)
{
    if (f32)
        return HONE_LAYOUT_F32;
    if (!scalable(c))
        return HONE_LAYOUT_BF16;
    return c->bits == 4 ? HONE_LAYOUT_U4 : HONE_LAYOUT_I8;
}

/* Bytes of codes of one panel column-block, k_pad x 16. */
static size_t code_bytes(hone_layout layout, size_t k_pad)
{
    static const size_t half_bytes[HONE_LAYOUT_COUNT] = {8, 4, 2, 1};
    return k_pad * 8 * half_bytes[layout];
}

hone_status hone_packed_plan(hone_layout layout, const hone_coding *c, size_t n, size_t k,
                             hone_packed *w)
{
    bool scaled = layout == HONE_LAYOUT_I8 || layout == HONE_LAYOUT_U4;
    size_t group = scaled ? c->group : 0, total;
    if ((unsigned)layout >= HONE_LAYOUT_COUNT || (scaled && !scalable(c)) ||
        (layout == HONE_LAYOUT_U4 && c->bits != 4))
        return hone_fail(HONE_UNSUPPORTED,
                         "codes of %u bits in groups of %u cannot be packed as %s", c->bits,
                         c->group, hone_layout_name(layout));
    if (!n || !k || k > SIZE_MAX / 128 || n > SIZE_MAX / 128)
        return hone_fail(HONE_LIMIT, "a matrix of %zu x %zu cannot be packed", n, k);
    *w = (hone_packed){.layout = layout, .n = n, .k = k, .group = group};
    w->k_pad = (k + 31) / 32 * 32;
    w->n_panels = (n + 15) / 16;
    w->scale_bytes = scaled ? 2 : 0;
    w->has_min = scaled && c->has_min;
    if (layout == HONE_LAYOUT_U4)
        memcpy(w->table, c->table, sizeof w->table);
    w->scale_offset = code_bytes(layout, w->k_pad);
    size_t groups = scaled ? (w->k_pad + group - 1) / group : 0;
    w->min_offset = w->scale_offset + groups * 32;
    w->panel_bytes = w->min_offset + (w->has_min ? groups * 32 : 0);
    w->panel_bytes = (w->panel_bytes + 63) / 64 * 64;
    if (hone_mul_overflow(w->panel_bytes, w->n_panels, &total))
        return hone_fail(HONE_LIMIT, "a matrix of %zu x %zu cannot be packed", n, k);
    return HONE_OK;
}

size_t hone_packed_bytes(const hone_packed *w)
{
    return w->panel_bytes * w->n_panels;
}

static void put_plain(const hone_packed *w, uint8_t *panel, size_t k0, size_t c, const float *v,
                      size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = hone_packed_index(w->layout, k0 + i, c);
        uint16_t h = hone_f32_to_bf16(v[i]);
        if (w->layout == HONE_LAYOUT_F32)
            memcpy(panel + 4 * at, &v[i], 4);
        else
            memcpy(panel + 2 * at, &h, 2);
    }
}

static void put_codes(const hone_packed *w, uint8_t *panel, size_t k0, size_t c,
                      const int8_t *codes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = hone_packed_index(w->layout, k0 + i, c);
        if (w->layout == HONE_LAYOUT_I8)
            panel[at] = (uint8_t)codes[i];
        else /* nibble at % 4 of word at / 4, little-endian */
            panel[at / 2] = (uint8_t)(panel[at / 2] | (unsigned)(codes[i] & 15) << (at % 2 * 4));
    }
}

/* Scales and mins were float16 in the file, so that this conversion is exact. */
static void put_scales(uint8_t *at, size_t g0, size_t c, const float *v, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t h = hone_f32_to_f16(v[i]);
        memcpy(at + 2 * ((g0 + i) * 16 + c), &h, 2);
    }
}

static bool pack_column(const hone_packed *w, const hone_rows *rows, size_t row, uint8_t *panel,
                        size_t c)
{
    float values[STRIP], scales[STRIP / 32], mins[STRIP / 32];
    int8_t codes[STRIP];
    for (size_t k0 = 0; k0 < w->k; k0 += STRIP) {
        size_t count = w->k - k0 < STRIP ? w->k - k0 : STRIP;
        if (!w->scale_bytes) {
            if (!rows->decode(rows, row, k0, count, values))
                return false;
            put_plain(w, panel, k0, c, values, count);
            continue;
        }
        if (!rows->codes(rows, row, k0, count, codes, scales, mins))
            return false;
        put_codes(w, panel, k0, c, codes, count);
        size_t groups = (count + w->group - 1) / w->group;
        put_scales(panel + w->scale_offset, k0 / w->group, c, scales, groups);
        if (w->has_min)
            put_scales(panel + w->min_offset, k0 / w->group, c, mins, groups);
    }
    return true;
}

bool hone_pack_panels(const hone_packed *w, const hone_rows *rows, size_t panel0, size_t panel1,
                      uint8_t *dst)
{
    for (size_t p = panel0; p < panel1; p++) {
        uint8_t *panel = dst + p * w->panel_bytes;
        memset(panel, 0, w->panel_bytes);
        for (size_t c = 0; c < 16 && p * 16 + c < w->n; c++)
            if (!pack_column(w, rows, p * 16 + c, panel, c))
                return false;
    }
    return true;
}

void hone_unpack_row(const hone_packed *w, size_t row, float *out)
{
    const uint8_t *panel = w->data + row / 16 * w->panel_bytes;
    size_t c = row % 16;
    for (size_t k = 0; k < w->k; k++) {
        out[k] = hone_packed_code(w, panel, k, c);
        if (!w->scale_bytes)
            continue;
        size_t g = w->group ? k / w->group : 0;
        float min = w->has_min ? hone_packed_min(w, panel, g, c) : 0.0f;
        out[k] = __builtin_fmaf(hone_packed_scale(w, panel, g, c), out[k], min);
    }
}
