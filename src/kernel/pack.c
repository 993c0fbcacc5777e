/* pack - from rows as a file stores them to panels as the kernels read them, and one row back. */
#include "kernel/kernel.h"
#include "kernel/layout.h"

#include "base/mem.h"

#include <assert.h>
#include <string.h>

enum { STRIP = 256 }; /* elements decoded at a time: a multiple of every format's block */

static const char *const layout_names[HONE_LAYOUT_COUNT] = {"f32",   "bf16",  "int8",  "4-bit",
                                                            "2-bit", "3-bit", "5-bit", "6-bit"};

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

static bool stored_supers(const hone_rows *s, size_t row, size_t k0, float *scale, float *min)
{
    const hone_dtype_info *i = hone_dtype_describe(s->dtype);
    const uint8_t *at = s->data + row * s->row_bytes + k0 / i->block_elements * i->block_bytes;
    return hone_dtype_supers(s->dtype, at, scale, min);
}

bool hone_rows_init(hone_rows *s, hone_dtype t, const void *data, size_t k)
{
    *s = (hone_rows){
        .coding = hone_dtype_coding(t), .decode = stored_decode, .dtype = t, .data = data};
    s->codes = s->coding.bits ? stored_codes : NULL;
    s->supers = s->coding.nested ? stored_supers : NULL;
    return hone_dtype_row_bytes(t, k, &s->row_bytes);
}

static bool is_scaled(hone_layout layout)
{
    return layout != HONE_LAYOUT_F32 && layout != HONE_LAYOUT_BF16;
}

/* Codes of this many bits keep them in this layout. */
static const hone_layout layout_of_bits[9] = {HONE_LAYOUT_BF16, HONE_LAYOUT_BF16, HONE_LAYOUT_U2,
                                              HONE_LAYOUT_U3,   HONE_LAYOUT_U4,   HONE_LAYOUT_U5,
                                              HONE_LAYOUT_U6,   HONE_LAYOUT_BF16, HONE_LAYOUT_I8};

hone_layout hone_layout_for(const hone_coding *c, bool f32)
{
    if (f32)
        return HONE_LAYOUT_F32;
    bool groups = c->group == 16 || c->group % 32 == 0;
    if (c->bits > 8 || !groups || (c->nested && (!c->group || STRIP % c->group)))
        return HONE_LAYOUT_BF16;
    return layout_of_bits[c->bits];
}

/* Bytes of codes of a panel: bits x 16 columns */
static size_t code_bytes(hone_layout layout, size_t k_pad)
{
    static const size_t bits[HONE_LAYOUT_COUNT] = {32, 16, 8, 4, 2, 3, 5, 6};
    return k_pad * 2 * bits[layout];
}

static void place_scales(hone_packed *w)
{
    size_t groups = (w->k_pad + w->group - 1) / w->group;
    size_t supers = w->scale_bytes == 1 ? (w->k_pad + STRIP - 1) / STRIP : 0;
    size_t bytes = (groups * 16 * (size_t)w->scale_bytes + 31) / 32 * 32;
    w->min_offset = w->scale_offset + bytes;
    w->super_offset = w->min_offset + (w->has_min ? bytes : 0);
    w->min_super_offset = w->super_offset + supers * 32;
    w->panel_bytes = w->min_super_offset + (w->has_min ? supers * 32 : 0);
}

hone_status hone_packed_plan(hone_layout layout, const hone_coding *c, size_t n, size_t k,
                             hone_packed *w)
{
    bool scaled = is_scaled(layout);
    size_t total;
    if ((unsigned)layout >= HONE_LAYOUT_COUNT || (scaled && hone_layout_for(c, false) != layout))
        return hone_fail(HONE_UNSUPPORTED,
                         "codes of %u bits in groups of %u cannot be packed as %s", c->bits,
                         c->group, hone_layout_name(layout));
    if (!n || !k || k > SIZE_MAX / 128 || n > SIZE_MAX / 128)
        return hone_fail(HONE_LIMIT, "a matrix of %zu x %zu cannot be packed", n, k);
    *w = (hone_packed){.layout = layout, .n = n, .k = k};
    w->k_pad = (k + 31) / 32 * 32;
    w->n_panels = (n + 15) / 16;
    w->scale_offset = w->panel_bytes = code_bytes(layout, w->k_pad);
    if (scaled) {
        w->group = c->group && c->group < w->k_pad ? c->group : w->k_pad;
        w->scale_bytes = c->nested ? 1 : c->wide ? 4 : 2;
        w->has_min = c->has_min;
        w->low = layout == HONE_LAYOUT_I8 ? 0.0f : (float)c->low;
        for (int i = 0; i < 16; i++)
            w->table[i] = hone_bf16_to_f32(hone_f32_to_bf16(c->table[i]));
        place_scales(w);
    }
    w->panel_bytes = (w->panel_bytes + 63) / 64 * 64;
    if (hone_mul_overflow(w->panel_bytes, w->n_panels, &total))
        return hone_fail(HONE_LIMIT, "a matrix of %zu x %zu cannot be packed", n, k);
    return HONE_OK;
}

size_t hone_packed_bytes(const hone_packed *w)
{
    return w->panel_bytes * w->n_panels;
}

hone_packed hone_packed_plain(hone_layout layout, size_t n, size_t k)
{
    hone_packed w;
    const hone_coding coding = hone_dtype_coding(HONE_DTYPE_F32);
    hone_status s = hone_packed_plan(layout, &coding, n, k, &w);
    assert(s == HONE_OK);
    (void)s;
    return w;
}

size_t hone_packed_part_at(const hone_packed *m, size_t from)
{
    return from * HONE_PANEL * (m->layout == HONE_LAYOUT_F32 ? 4 : 2);
}

hone_packed hone_packed_part(const hone_packed *m, size_t from, size_t k)
{
    hone_packed part = *m;
    part.k = k;
    part.k_pad = (k + HONE_K_BLOCK - 1) / HONE_K_BLOCK * HONE_K_BLOCK;
    part.data = m->data ? m->data + hone_packed_part_at(m, from) : NULL;
    return part;
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
    hone_planes planes = hone_layout_planes(w->layout);
    for (size_t i = 0; i < count && planes.low; i++)
        hone_planes_put(planes, panel, k0 + i, c, (unsigned)(codes[i] - (int)w->low));
    for (size_t i = 0; i < count && !planes.low; i++) {
        size_t at = hone_packed_index(w->layout, k0 + i, c);
        if (w->layout == HONE_LAYOUT_I8)
            panel[at] = (uint8_t)codes[i];
        else /* nibble at % 4 of word at / 4, little-endian */
            panel[at / 2] = (uint8_t)(panel[at / 2] | (unsigned)(codes[i] & 15) << (at % 2 * 4));
    }
}

/* Every conversion here is exact: hone_coding says which numbers the scales are. Nested ones are
 * divided by their factor, a product of both that was exact. */
static bool put_scales(const hone_packed *w, uint8_t *at, size_t g0, size_t c, const float *v,
                       size_t count, float super)
{
    for (size_t i = 0; i < count; i++) {
        size_t to = (g0 + i) * 16 + c;
        uint16_t h = hone_f32_to_f16(v[i]);
        if (w->scale_bytes == 4)
            memcpy(at + 4 * to, &v[i], 4);
        else if (w->scale_bytes == 2)
            memcpy(at + 2 * to, &h, 2);
        else {
            float part = super != 0.0f ? v[i] / super : 0.0f;
            if (!(part >= -128.0f && part <= 127.0f) || (float)(int)part != part)
                return false;
            at[to] = (uint8_t)(int8_t)(int)part;
        }
    }
    return true;
}

static bool put_column_scales(const hone_packed *w, const hone_rows *rows, size_t row,
                              uint8_t *panel, size_t k0, size_t count, size_t c,
                              const float *scales, const float *mins)
{
    size_t g0 = k0 / w->group, groups = (k0 + count - 1) / w->group - g0 + 1;
    float super[2] = {0};
    for (int i = 0; w->scale_bytes == 1 && i < 1 + w->has_min; i++) {
        if (i == 0 && !rows->supers(rows, row, k0, &super[0], &super[1]))
            return false;
        uint16_t h = hone_f32_to_f16(super[i]);
        size_t at = i ? w->min_super_offset : w->super_offset;
        memcpy(panel + at + 2 * (k0 / STRIP * 16 + c), &h, 2);
    }
    return put_scales(w, panel + w->scale_offset, g0, c, scales, groups, super[0]) &&
           (!w->has_min || put_scales(w, panel + w->min_offset, g0, c, mins, groups, super[1]));
}

/* Elements [k0, k0 + STRIP) of one row, into column c of its panel. */
static bool pack_strip(const hone_packed *w, const hone_rows *rows, size_t row, size_t k0,
                       uint8_t *panel, size_t c)
{
    float values[STRIP], scales[STRIP / 16], mins[STRIP / 16];
    int8_t codes[STRIP];
    size_t count = w->k - k0 < STRIP ? w->k - k0 : STRIP;
    if (!w->scale_bytes) {
        if (!rows->decode(rows, row, k0, count, values))
            return false;
        put_plain(w, panel, k0, c, values, count);
        return true;
    }
    if (!rows->codes(rows, row, k0, count, codes, scales, mins))
        return false;
    put_codes(w, panel, k0, c, codes, count);
    return put_column_scales(w, rows, row, panel, k0, count, c, scales, mins);
}

bool hone_pack_panels(const hone_packed *w, const hone_rows *rows, size_t panel0, size_t panel1,
                      uint8_t *dst)
{
    for (size_t p = panel0; p < panel1; p++) {
        uint8_t *panel = dst + p * w->panel_bytes;
        memset(panel, 0, w->panel_bytes);
        /* All columns of a strip in turn: files that lie by k (GPTQ, AWQ) have a panel's 16 columns
         * in one or few cache lines. */
        for (size_t k0 = 0; k0 < w->k; k0 += STRIP)
            for (size_t c = 0; c < 16 && p * 16 + c < w->n; c++)
                if (!pack_strip(w, rows, p * 16 + c, k0, panel, c))
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
        size_t g = k / w->group;
        float min = w->has_min ? hone_packed_min(w, panel, g, c) : 0.0f;
        out[k] = __builtin_fmaf(hone_packed_scale(w, panel, g, c), out[k], min);
    }
}
