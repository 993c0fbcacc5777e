/* layout - where each element of a packed matrix or page lies; small readers of one element. For
 * the packers, the scalar kernels and tests: fast kernels walk the same layouts with vectors. */
#ifndef HONE_KERNEL_LAYOUT_H
#define HONE_KERNEL_LAYOUT_H

#include "dtype/half.h"
#include "kernel/kernel.h"

/* Layouts of planes: a block of 32 k x 16 columns holds the low bits of its codes, then the high
 * ones, in 16-bit words (column, parity) as U4 has them. For k = 16 p + 8 u + 2 i + parity:
 *   4 low bits    64 bytes per (p, u): bits 4i.. of the word
 *   2 bits        64 bytes per p: bits 8u + 2i..
 *   1 high bit    64 bytes: bit 8p + 4u + i */
typedef struct hone_planes {
    unsigned low, high; /* bits; 0, 0: no layout of planes */
} hone_planes;

static inline hone_planes hone_layout_planes(hone_layout layout)
{
    switch (layout) {
    case HONE_LAYOUT_U2:
        return (hone_planes){2, 0};
    case HONE_LAYOUT_U3:
        return (hone_planes){2, 1};
    case HONE_LAYOUT_U5:
        return (hone_planes){4, 1};
    case HONE_LAYOUT_U6:
        return (hone_planes){4, 2};
    default:
        return (hone_planes){0, 0};
    }
}

/* Where the `bits` of the plane that starts at byte `at` of the block hold k % 32 and column c. */
static inline uint8_t *hone_plane_byte(uint8_t *block, size_t at, unsigned bits, size_t k, size_t c,
                                       unsigned *shift)
{
    size_t p = k % 32 / 16, u = k % 16 / 8, i = k % 8 / 2;
    size_t bit = bits == 4 ? 4 * i : bits == 2 ? 8 * u + 2 * i : 8 * p + 4 * u + i;
    size_t part = bits == 4 ? 2 * p + u : bits == 2 ? p : 0;
    *shift = (unsigned)(bit % 8);
    return block + at + part * 64 + (c * 2 + k % 2) * 2 + bit / 8;
}

static inline void hone_planes_put(hone_planes s, uint8_t *panel, size_t k, size_t c, unsigned code)
{
    uint8_t *block = panel + k / 32 * 64 * (s.low + s.high), *at;
    unsigned shift;
    at = hone_plane_byte(block, 0, s.low, k, c, &shift);
    *at = (uint8_t)(*at | (code & ((1u << s.low) - 1)) << shift);
    if (!s.high)
        return;
    at = hone_plane_byte(block, 64 * s.low, s.high, k, c, &shift);
    *at = (uint8_t)(*at | (code >> s.low & ((1u << s.high) - 1)) << shift);
}

static inline unsigned hone_planes_get(hone_planes s, const uint8_t *panel, size_t k, size_t c)
{
    uint8_t *block = (uint8_t *)(uintptr_t)panel + k / 32 * 64 * (s.low + s.high);
    unsigned shift = 0;
    const uint8_t *at = hone_plane_byte(block, 0, s.low, k, c, &shift);
    unsigned code = (unsigned)*at >> shift & ((1u << s.low) - 1);
    if (!s.high)
        return code;
    at = hone_plane_byte(block, 64 * s.low, s.high, k, c, &shift);
    return code | ((unsigned)*at >> shift & ((1u << s.high) - 1)) << s.low;
}

/* Index of (k, column) within the codes of a panel: of elements, for U4 of nibbles. Not planes. */
static inline size_t hone_packed_index(hone_layout layout, size_t k, size_t c)
{
    switch (layout) {
    case HONE_LAYOUT_BF16:
        return k / 2 * 32 + c * 2 + k % 2;
    case HONE_LAYOUT_U4: /* word (c, parity) of unit k/8, nibble (k % 8) / 2 */
        return (k / 8 * 32 + c * 2 + k % 2) * 4 + k % 8 / 2;
    default:
        return k * 16 + c;
    }
}

/* The number that multiplies the activation: the weight, or its unscaled code. */
static inline float hone_packed_code(const hone_packed *w, const uint8_t *panel, size_t k, size_t c)
{
    size_t i = hone_packed_index(w->layout, k, c);
    uint16_t h;
    float f;
    switch (w->layout) {
    case HONE_LAYOUT_F32:
        memcpy(&f, panel + 4 * i, 4);
        return f;
    case HONE_LAYOUT_BF16:
        memcpy(&h, panel + 2 * i, 2);
        return hone_bf16_to_f32(h);
    case HONE_LAYOUT_I8:
        return (float)(int8_t)panel[i];
    case HONE_LAYOUT_U4:
        memcpy(&h, panel + i / 4 * 2, 2);
        return w->table[(h >> (4 * (i % 4))) & 15];
    default:
        return w->low + (float)hone_planes_get(hone_layout_planes(w->layout), panel, k, c);
    }
}

static inline float hone_packed_scale_at(const hone_packed *w, const uint8_t *at,
                                         const uint8_t *super, size_t g, size_t c)
{
    uint16_t h;
    float f;
    if (w->scale_bytes == 1) {
        memcpy(&h, super + 2 * (g * w->group / 256 * 16 + c), 2);
        return hone_f16_to_f32(h) * (float)(int8_t)at[g * 16 + c];
    }
    if (w->scale_bytes == 2) {
        memcpy(&h, at + 2 * (g * 16 + c), 2);
        return hone_f16_to_f32(h);
    }
    memcpy(&f, at + 4 * (g * 16 + c), 4);
    return f;
}

static inline float hone_packed_scale(const hone_packed *w, const uint8_t *panel, size_t g,
                                      size_t c)
{
    return hone_packed_scale_at(w, panel + w->scale_offset, panel + w->super_offset, g, c);
}

static inline float hone_packed_min(const hone_packed *w, const uint8_t *panel, size_t g, size_t c)
{
    return hone_packed_scale_at(w, panel + w->min_offset, panel + w->min_super_offset, g, c);
}

/* ---- pages: codes of keys, codes of values, scales of keys, scales of values ----------------- */

static inline size_t hone_kv_k_pad(const hone_kv *kv)
{
    return (kv->k_dim + 31) / 32 * 32;
}

static inline size_t hone_kv_v_pad(const hone_kv *kv)
{
    return (kv->v_dim + 15) / 16 * 16;
}

/* What a format stores of each number. */
typedef struct hone_kv_form {
    const char *name;
    hone_layout layout; /* in whose order elements lie in a panel */
    unsigned bits;
    float top;         /* the scale is the largest magnitude / top; 0 = no scales */
    bool grouped;      /* a float16 scale for every 32 dimensions, else one float32 */
    unsigned mantissa; /* fp8: bits of the mantissa, else 0 */
} hone_kv_form;

extern const hone_kv_form hone_kv_forms[HONE_KV_COUNT];

static inline const hone_kv_form *hone_kv_form_of(const hone_kv *kv)
{
    return &hone_kv_forms[kv->format];
}

static inline size_t hone_kv_bytes(const hone_kv *kv, size_t elements)
{
    return elements * hone_kv_form_of(kv)->bits / 8;
}

/* Index of an element among the page's codes: key `slot` along dimension d, and value `slot`. */
static inline size_t hone_kv_k_index(const hone_kv *kv, size_t slot, size_t d)
{
    return slot / 16 * 16 * hone_kv_k_pad(kv) +
           hone_packed_index(hone_kv_form_of(kv)->layout, d, slot % 16);
}

static inline size_t hone_kv_v_index(const hone_kv *kv, size_t slot, size_t d)
{
    return 64 * hone_kv_k_pad(kv) + d / 16 * 16 * 64 +
           hone_packed_index(hone_kv_form_of(kv)->layout, slot, d % 16);
}

/* Bytes from the page's begin to the scales: of keys [64], then of values [64]; grouped: of keys
 * [4 panels][k_pad / 32][16], then of values [ceil(v_pad / 32)][64]. */
static inline size_t hone_kv_k_scales(const hone_kv *kv)
{
    return hone_kv_bytes(kv, 64 * (hone_kv_k_pad(kv) + hone_kv_v_pad(kv)));
}

static inline size_t hone_kv_v_scales(const hone_kv *kv)
{
    return hone_kv_k_scales(kv) +
           (hone_kv_form_of(kv)->grouped ? 128 * (hone_kv_k_pad(kv) / 32) : 256);
}

/* The scale of group g of dimensions of key (or value) `slot` */
static inline uint8_t *hone_kv_k_scale_at(const hone_kv *kv, const void *page, size_t slot,
                                          size_t g)
{
    size_t i = hone_kv_form_of(kv)->grouped
                   ? 2 * ((slot / 16 * (hone_kv_k_pad(kv) / 32) + g) * 16 + slot % 16)
                   : 4 * slot;
    return (uint8_t *)(uintptr_t)page + hone_kv_k_scales(kv) + i;
}

static inline uint8_t *hone_kv_v_scale_at(const hone_kv *kv, const void *page, size_t slot,
                                          size_t g)
{
    size_t i = hone_kv_form_of(kv)->grouped ? 2 * (g * 64 + slot) : 4 * slot;
    return (uint8_t *)(uintptr_t)page + hone_kv_v_scales(kv) + i;
}

static inline float hone_kv_scale_get(const hone_kv *kv, const uint8_t *at)
{
    uint16_t h;
    float f;
    memcpy(&h, at, 2);
    if (hone_kv_form_of(kv)->grouped)
        return hone_f16_to_f32(h);
    memcpy(&f, at, 4);
    return f;
}

/* Scale of one key or value (or 32 of its dimensions) and what divides by it: the largest magnitude
 * / top; grouped: the first element of the largest magnitude, with its sign, / -8, as a float16. A
 * NaN or infinity gives a NaN scale, so that it is not lost. */
static inline float hone_kv_scale_put(const hone_kv *kv, const float *x, size_t n, uint8_t *at)
{
    const hone_kv_form *form = hone_kv_form_of(kv);
    float top = 0.0f, largest = 0.0f, scale;
    for (size_t i = 0; i < n; i++) {
        float a = __builtin_fabsf(x[i]);
        if (!(a <= 3.402823466e38f)) {
            top = largest = __builtin_nanf("");
            break;
        }
        largest = a > top ? x[i] : largest;
        top = a > top ? a : top;
    }
    if (form->grouped) {
        uint16_t h = hone_f32_to_f16(largest / -8.0f);
        memcpy(at, &h, 2);
        return hone_f16_to_f32(h);
    }
    scale = top / form->top;
    memcpy(at, &scale, 4);
    return scale;
}

/* x / scale, within +-top; 0 where the scale is 0 or NaN */
static inline float hone_kv_quotient(float x, float scale, float low, float high)
{
    if (!(__builtin_fabsf(scale) > 0.0f))
        return 0.0f;
    float q = x / scale;
    return q > high ? high : q < low ? low : q;
}

/* A number to 1 + 5 + 2 or 1 + 4 + 3 bits, both with 15 added to the exponent, to nearest even.
 * E4M3 so reaches 1.75; its codes are those of OCP's for 256 times the number. */
static inline uint8_t hone_kv_fp8_of(float q, unsigned mantissa)
{
    uint32_t sign = hone_f32_bits(q) >> 24 & 0x80, drop = 23 - mantissa, code;
    float a = __builtin_fabsf(q);
    if (a < 0x1p-14f) { /* subnormal: a whole number of 2^(-14 - mantissa) */
        float unit = mantissa == 3 ? 0x1p6f : 0x1p7f;
        code = hone_f32_bits(a + unit) - hone_f32_bits(unit);
    } else {
        uint32_t u = hone_f32_bits(a);
        u += (1u << (drop - 1)) - 1 + (u >> drop & 1);
        code = (u >> drop) - (112u << mantissa);
    }
    return (uint8_t)(sign | code);
}

/* The float16 number that an fp8 code is */
static inline uint16_t hone_kv_fp8_f16(uint8_t code, unsigned mantissa)
{
    return (uint16_t)((code & 0x80u) << 8 | (code & 0x7fu) << (10 - mantissa));
}

static inline void hone_kv_put(const hone_kv *kv, void *page, size_t index, float x, float scale)
{
    const hone_kv_form *form = hone_kv_form_of(kv);
    uint8_t *at = (uint8_t *)page + index * form->bits / 8;
    if (form->bits == 32) {
        memcpy(at, &x, 4);
    } else if (form->bits == 16) {
        uint16_t h = hone_f32_to_bf16(x);
        memcpy(at, &h, 2);
    } else if (form->mantissa) {
        *at = hone_kv_fp8_of(hone_kv_quotient(x, scale, -form->top, form->top), form->mantissa);
    } else {
        float q = form->grouped ? hone_kv_quotient(x, scale, -8.0f, 7.0f)
                                : hone_kv_quotient(x, scale, -127.0f, 127.0f);
        int code = (int)((q + 12582912.0f) - 12582912.0f);
        unsigned shift = 4 * (index % 2);
        if (form->grouped)
            *at = (uint8_t)((*at & ~(15u << shift)) | (unsigned)(code + 8) << shift);
        else
            *at = (uint8_t)code;
    }
}

static inline float hone_kv_get(const hone_kv *kv, const void *page, size_t index)
{
    const hone_kv_form *form = hone_kv_form_of(kv);
    const uint8_t *at = (const uint8_t *)page + index * form->bits / 8;
    uint16_t h;
    float f;
    if (form->bits == 4)
        return (float)(int)(*at >> 4 * (index % 2) & 15) - 8.0f;
    if (form->mantissa)
        return hone_f16_to_f32(hone_kv_fp8_f16(*at, form->mantissa));
    if (form->bits == 8)
        return (float)(int8_t)*at;
    if (form->bits == 16) {
        memcpy(&h, at, 2);
        return hone_bf16_to_f32(h);
    }
    memcpy(&f, at, 4);
    return f;
}

/* ---- attention ------------------------------------------------------------------------------ */

/* Positions [*begin, *end) that token sees. */
static inline void hone_attn_visible(const hone_attn *t, size_t token, int64_t *begin, int64_t *end)
{
    token = t->head_step ? 0 : token;
    *end = (int64_t)t->last[token] + 1;
    *begin = t->first ? t->first[token] : t->window > 0 && *end > t->window ? *end - t->window : 0;
}

/* What backward needs of row r, whose scores' maximum is m and sum of exponentials l */
static inline void hone_attn_put_stats(const hone_attn *t, size_t r, float m, float l)
{
    if (!t->stats)
        return;
    float *to = t->stats + r / t->group * t->lds + r % t->group * 2;
    to[0] = l == 0.0f ? 0.0f : -m;
    to[1] = l == 0.0f ? 0.0f : 1.0f / l;
}

/* The page of positions 64 i... that row r sees */
static inline const uint8_t *hone_attn_page(const hone_attn *t, size_t i, size_t r)
{
    return (const uint8_t *)t->pages[i] + r / t->group * t->head_step;
}

/* Query row r, rounded as the format asks, padded with zeros to the padded head. */
static inline void hone_attn_load_q(const hone_attn *t, size_t r, float *to)
{
    const float *q = t->q + r / t->group * t->ldq + r % t->group * t->kv.k_dim;
    size_t pad = hone_kv_k_pad(&t->kv);
    for (size_t d = 0; d < pad; d++) {
        float v = d < t->kv.k_dim ? q[d] : 0.0f;
        to[d] = t->kv.format == HONE_KV_F32 ? v : hone_bf16_to_f32(hone_f32_to_bf16(v));
    }
}

/* E + O of a block with weights 1: fma(x, 1, e) is a sum. E and O of 16 blocks at once would need a
 * transposition: one block's chains are short enough. */
static inline float hone_block_ones(const float *x, int n)
{
    float e = 0.0f, o = 0.0f;
    for (int i = 0; i < n; i += 2) {
        e += x[i];
        o += x[i + 1];
    }
    return e + o;
}

#endif
