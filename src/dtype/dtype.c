#include "dtype/dtype.h"

#include "dtype/block.h"

#include <assert.h>
#include <strings.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are read as they lie in memory");

static const hone_dtype_info infos[HONE_DTYPE_COUNT] = {
#define X(ID, name, st, ggml, elements, bytes, group, bits, min)                                   \
    [HONE_DTYPE_##ID] = {#name, st, ggml, elements, bytes, group, bits, min},
#include "dtype/formats.def"
};

static const hone_dtype_impl *const impls[HONE_DTYPE_COUNT] = {
#define X(ID, name, st, ggml, elements, bytes, group, bits, min)                                   \
    [HONE_DTYPE_##ID] = &hone_dtype_impl_##name,
#include "dtype/formats.def"
};

/* ggml's numbering (ggml.h, enum ggml_type), holes are retired types. */
static const char *const ggml_names[] = {
    [0] = "F32",     [1] = "F16",      [2] = "Q4_0",   [3] = "Q4_1",    [6] = "Q5_0",
    [7] = "Q5_1",    [8] = "Q8_0",     [9] = "Q8_1",   [10] = "Q2_K",   [11] = "Q3_K",
    [12] = "Q4_K",   [13] = "Q5_K",    [14] = "Q6_K",  [15] = "Q8_K",   [16] = "IQ2_XXS",
    [17] = "IQ2_XS", [18] = "IQ3_XXS", [19] = "IQ1_S", [20] = "IQ4_NL", [21] = "IQ3_S",
    [22] = "IQ2_S",  [23] = "IQ4_XS",  [24] = "I8",    [25] = "I16",    [26] = "I32",
    [27] = "I64",    [28] = "F64",     [29] = "IQ1_M", [30] = "BF16",   [34] = "TQ1_0",
    [35] = "TQ2_0",  [39] = "MXFP4",   [40] = "NVFP4", [41] = "Q1_0",   [42] = "Q2_0",
};

const hone_dtype_info *hone_dtype_describe(hone_dtype t)
{
    return (unsigned)t < HONE_DTYPE_COUNT ? &infos[t] : NULL;
}

const char *hone_dtype_name(hone_dtype t)
{
    return (unsigned)t < HONE_DTYPE_COUNT ? infos[t].name : "?";
}

bool hone_dtype_by_name(const char *name, hone_dtype *out)
{
    for (unsigned t = 0; t < HONE_DTYPE_COUNT; t++)
        if (strcasecmp(name, infos[t].name) == 0) {
            *out = (hone_dtype)t;
            return true;
        }
    return false;
}

bool hone_dtype_by_safetensors(const char *name, hone_dtype *out)
{
    for (unsigned t = 0; t < HONE_DTYPE_COUNT; t++)
        if (infos[t].safetensors && strcmp(name, infos[t].safetensors) == 0) {
            *out = (hone_dtype)t;
            return true;
        }
    return false;
}

bool hone_dtype_by_ggml(uint32_t id, hone_dtype *out)
{
    for (unsigned t = 0; t < HONE_DTYPE_COUNT; t++)
        if (infos[t].ggml >= 0 && (uint32_t)infos[t].ggml == id) {
            *out = (hone_dtype)t;
            return true;
        }
    return false;
}

const char *hone_dtype_ggml_name(uint32_t id)
{
    return id < sizeof ggml_names / sizeof ggml_names[0] ? ggml_names[id] : NULL;
}

hone_coding hone_dtype_coding(hone_dtype t)
{
    hone_coding c = {0};
    if (!hone_dtype_is_grouped(t))
        return c;
    const hone_dtype_impl *m = impls[t];
    c = (hone_coding){.bits = infos[t].bits,
                      .group = infos[t].group,
                      .has_min = infos[t].has_min,
                      .wide = m->wide,
                      .nested = m->supers != NULL,
                      .low = m->low};
    for (int i = 0; i < 16 && c.bits == 4; i++)
        c.table[i] = m->table ? m->table[i] : (float)(c.has_min ? i : i - 8);
    return c;
}

bool hone_dtype_is_float(hone_dtype t)
{
    return (unsigned)t < HONE_DTYPE_COUNT && infos[t].group == 0 && impls[t]->encode;
}

bool hone_dtype_is_grouped(hone_dtype t)
{
    return (unsigned)t < HONE_DTYPE_COUNT && impls[t]->codes;
}

bool hone_dtype_can_encode(hone_dtype t)
{
    return (unsigned)t < HONE_DTYPE_COUNT && (impls[t]->encode || impls[t]->encode_weighted);
}

bool hone_dtype_row_bytes(hone_dtype t, uint64_t k, size_t *bytes)
{
    if ((unsigned)t >= HONE_DTYPE_COUNT || k % infos[t].block_elements != 0)
        return false;
    return !__builtin_mul_overflow(k / infos[t].block_elements, infos[t].block_bytes, bytes);
}

/* True and the number of blocks if n elements of t are whole blocks. */
static bool whole_blocks(hone_dtype t, size_t n, size_t *blocks)
{
    if ((unsigned)t >= HONE_DTYPE_COUNT || n % infos[t].block_elements != 0)
        return false;
    *blocks = n / infos[t].block_elements;
    return true;
}

/* Element = scale * value (+ min), each rounded: what ggml computes too. */
static void decode_group(const hone_coding *c, const int8_t *codes, float scale, const float *min,
                         float *dst)
{
    for (size_t i = 0; i < c->group; i++)
        dst[i] = scale * (c->bits == 4 ? c->table[codes[i]] : (float)codes[i]);
    for (size_t i = 0; c->has_min && i < c->group; i++)
        dst[i] += *min;
}

static void decode_codes(hone_dtype t, const uint8_t *src, size_t blocks, float *dst)
{
    int8_t codes[256];
    float scales[16], mins[16];
    hone_coding c = hone_dtype_coding(t);
    assert(c.group); /* every format with codes has one */
    size_t groups = infos[t].block_elements / c.group;
    for (; blocks; blocks--, src += infos[t].block_bytes) {
        impls[t]->codes(src, 1, codes, scales, mins);
        for (size_t g = 0; g < groups; g++, dst += c.group)
            decode_group(&c, codes + g * c.group, scales[g], &mins[g], dst);
    }
}

bool hone_dtype_decode(hone_dtype t, const void *src, size_t n, float *dst)
{
    size_t blocks;
    if (!whole_blocks(t, n, &blocks))
        return false;
    if (impls[t]->decode)
        impls[t]->decode(src, blocks, dst);
    else
        decode_codes(t, src, blocks, dst);
    return true;
}

bool hone_dtype_encode(hone_dtype t, const float *src, size_t n, void *dst)
{
    size_t blocks;
    if (!whole_blocks(t, n, &blocks))
        return false;
    if (impls[t]->encode)
        return impls[t]->encode(src, blocks, dst);
    return impls[t]->encode_weighted && impls[t]->encode_weighted(src, NULL, blocks, dst);
}

bool hone_dtype_encode_weighted(hone_dtype t, const float *src, const float *weights, size_t n,
                                void *dst)
{
    size_t blocks;
    if (!weights || !whole_blocks(t, n, &blocks) || !impls[t]->encode_weighted)
        return hone_dtype_encode(t, src, n, dst);
    return impls[t]->encode_weighted(src, weights, blocks, dst);
}

bool hone_dtype_codes(hone_dtype t, const void *src, size_t n, int8_t *codes, float *scales,
                      float *mins)
{
    size_t blocks;
    if (!whole_blocks(t, n, &blocks) || !impls[t]->codes)
        return false;
    impls[t]->codes(src, blocks, codes, scales, mins);
    return true;
}

bool hone_dtype_supers(hone_dtype t, const void *src, float *scale, float *min)
{
    if ((unsigned)t >= HONE_DTYPE_COUNT || !impls[t]->supers)
        return false;
    impls[t]->supers(src, scale, min);
    return true;
}
