/* unpack - a block of a packed matrix as floats: what training multiplies with on the way back. */
#include "kernel/layout.h"

#include <assert.h>
#include <string.h>

enum { BLOCK = 16 }; /* of K: no group of scales ends within one */

typedef struct scales {
    size_t group; /* SIZE_MAX = none is loaded */
    float scale[HONE_PANEL], min[HONE_PANEL];
} scales;

static void load_scales(const hone_packed *w, const uint8_t *panel, size_t g, scales *s)
{
    s->group = g;
    for (size_t c = 0; c < HONE_PANEL; c++) {
        s->scale[c] = hone_packed_scale(w, panel, g, c);
        s->min[c] = w->has_min ? hone_packed_min(w, panel, g, c) : 0.0f;
    }
}

/* Codes of elements [k, k + 16), v[column][16]. */
static void codes_u4(const hone_packed *w, const uint8_t *panel, size_t k, float v[][BLOCK])
{
    for (size_t u = 0; u < 2; u++)
        for (size_t c = 0; c < HONE_PANEL; c++)
            for (size_t parity = 0; parity < 2; parity++) {
                uint16_t word;
                memcpy(&word, panel + (k / 8 + u) * 64 + (c * 2 + parity) * 2, 2);
                for (size_t i = 0; i < 4; i++)
                    v[c][8 * u + 2 * i + parity] = w->table[word >> (4 * i) & 15];
            }
}

static void codes_bf16(const uint8_t *panel, size_t k, float v[][BLOCK])
{
    for (size_t i = 0; i < BLOCK; i += 2)
        for (size_t c = 0; c < HONE_PANEL; c++) {
            uint16_t pair[2];
            memcpy(pair, panel + (k + i) / 2 * 64 + c * 4, 4);
            v[c][i] = hone_bf16_to_f32(pair[0]);
            v[c][i + 1] = hone_bf16_to_f32(pair[1]);
        }
}

static void codes_any(const hone_packed *w, const uint8_t *panel, size_t k, float v[][BLOCK])
{
    for (size_t i = 0; i < BLOCK; i++)
        for (size_t c = 0; c < HONE_PANEL; c++)
            v[c][i] = hone_packed_code(w, panel, k + i, c);
}

static void read_codes(const hone_packed *w, const uint8_t *panel, size_t k, float v[][BLOCK])
{
    if (w->layout == HONE_LAYOUT_U4)
        codes_u4(w, panel, k, v);
    else if (w->layout == HONE_LAYOUT_BF16)
        codes_bf16(panel, k, v);
    else
        codes_any(w, panel, k, v);
}

static void put(const float *code, const scales *s, size_t c, size_t count, float *out)
{
    if (s->group == SIZE_MAX)
        memcpy(out, code, count * sizeof *out);
    else if (s->min[c] == 0.0f)
        for (size_t i = 0; i < count; i++)
            out[i] = s->scale[c] * code[i] + 0.0f; /* no -0, as fma gives it */
    else
        for (size_t i = 0; i < count; i++)
            out[i] = __builtin_fmaf(s->scale[c], code[i], s->min[c]);
}

void hone_unpack_block(const hone_packed *w, size_t n0, size_t n1, size_t k0, size_t k1, float *out,
                       size_t ld)
{
    assert(n0 % HONE_PANEL == 0 && k0 % BLOCK == 0 && n1 <= w->n && k1 <= w->k);
    for (size_t n = n0; n < n1; n += HONE_PANEL) {
        const uint8_t *panel = w->data + n / HONE_PANEL * w->panel_bytes;
        size_t columns = n1 - n < HONE_PANEL ? n1 - n : HONE_PANEL;
        scales s = {.group = SIZE_MAX};
        for (size_t k = k0; k < k1; k += BLOCK) {
            float v[HONE_PANEL][BLOCK];
            if (w->scale_bytes && k / w->group != s.group)
                load_scales(w, panel, k / w->group, &s);
            read_codes(w, panel, k, v);
            for (size_t c = 0; c < columns; c++)
                put(v[c], &s, c, k1 - k < BLOCK ? k1 - k : BLOCK, out + (n - n0 + c) * ld + k - k0);
        }
    }
}

void hone_pack_turned(const hone_kernels *kt, const hone_packed *from, size_t k0,
                      const hone_packed *w, uint8_t *dst)
{
    float rows[HONE_TURNED][32]; /* of 32 rows of `from`, as columns */
    const size_t columns = (w->n + 31) / 32 * 32, size = w->layout == HONE_LAYOUT_F32 ? 4 : 2;
    hone_packed part = *w;
    part.k = part.k_pad = 32;
    assert(w->n <= HONE_TURNED && w->k == from->n && k0 % 32 == 0 && k0 + w->n <= from->k);
    for (size_t n = 0; n < w->k_pad; n += 32) {
        for (size_t p = n / 16; p < n / 16 + 2; p++) {
            float *to = rows[0] + (p * 16 - n);
            if (p < from->n_panels)
                kt->numbers(from, p, k0, k0 + columns, to, 32);
            for (size_t i = 0; p >= from->n_panels && i < columns; i++)
                memset(to + i * 32, 0, 64);
        }
        kt->pack_rows(&part, rows[0], 32, 0, w->n_panels, dst + n * 16 * size);
    }
}
