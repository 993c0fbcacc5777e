/*
 * bitsandbytes (Dettmers et al., arXiv:2305.14314 for NF4 and double quantisation,
 * arXiv:2208.07339 for LLM.int8).
 *
 * 4 bits: the matrix as one row of n * k codes, two in a byte, the first in the high half
 *   weight            bytes of any type, n * k / 2
 *   weight.quant_map  F32 [16]  value of each code
 *   weight.absmax     F32 [blocks], or with double quantisation U8 [blocks] and
 *     weight.nested_quant_map F32 [256], weight.nested_absmax F32 [blocks / nested_blocksize];
 *     absmax = nested_quant_map[code] * nested_absmax + nested_offset
 *   weight.quant_state.bitsandbytes__nf4 (or __fp4)  U8, JSON: blocksize, shape, nested_...
 * weight = quant_map[code] * absmax of its block.
 *
 * 8 bits: weight I8 [n][k], SCB F32 [n], weight_format U8 0; weight = code * SCB / 127. (The
 * outliers that LLM.int8 computes in 16 bits are a matter of activations.)
 */
#include "model/source/scaled.h"

#include "base/json.h"

enum { STATE_BYTES = 1 << 16, STATE_VALUES = 256, BLOCK_MAX = 1 << 20 };

static bool holds4(const hone_file *f, const char *weight)
{
    return hone_part(f, weight, ".weight.absmax") && hone_part(f, weight, ".weight");
}

static void bnb_codes(const hone_scaled *m, size_t row, const uint32_t *at, size_t count,
                      uint8_t *out)
{
    for (size_t i = 0; i < count; i++) {
        size_t flat = row * m->k + at[i];
        out[i] = (uint8_t)(m->base[flat / 2] >> (flat % 2 ? 0 : 4) & 15);
    }
}

static float load_f32(const uint8_t *p, size_t i)
{
    float x;
    memcpy(&x, p + 4 * i, 4);
    return x;
}

static float bnb_scale(const hone_scaled *m, size_t row, size_t k)
{
    size_t b = (row * m->k + k) / m->block;
    if (!m->zeros)
        return load_f32(m->scales.data, b);
    float product = m->map[m->scales.data[b]] * load_f32(m->zeros->data, b / m->zero_words);
    return product + m->offset;
}

/* What quant_state says. */
typedef struct bnb_state {
    uint64_t n, k, block, nested_block;
    double offset;
} bnb_state;

static hone_status positive(const hone_tensor *t, const json_t *v, const char *what, uint64_t *out)
{
    if (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > UINT32_MAX)
        return hone_fail(HONE_FORMAT, "tensor '%s': its JSON has no sensible %s", t->name, what);
    *out = (uint64_t)json_integer_value(v);
    return HONE_OK;
}

static hone_status take_state(const hone_tensor *t, const json_t *root, bool nested, bnb_state *out)
{
    const json_t *shape = json_object_get(root, "shape"), *offset;
    if (json_array_size(shape) != 2)
        return hone_fail(HONE_FORMAT, "tensor '%s': its JSON has no shape of two", t->name);
    HONE_TRY(positive(t, json_array_get(shape, 0), "shape", &out->n));
    HONE_TRY(positive(t, json_array_get(shape, 1), "shape", &out->k));
    HONE_TRY(positive(t, json_object_get(root, "blocksize"), "blocksize", &out->block));
    if (!nested)
        return HONE_OK;
    HONE_TRY(positive(t, json_object_get(root, "nested_blocksize"), "nested_blocksize",
                      &out->nested_block));
    offset = json_object_get(root, "nested_offset");
    if (!json_is_number(offset))
        return hone_fail(HONE_FORMAT, "tensor '%s': its JSON has no nested_offset", t->name);
    out->offset = json_number_value(offset);
    return HONE_OK;
}

static hone_status read_state(const hone_file *f, const hone_tensor *t, bool nested, bnb_state *out)
{
    json_t *root;
    if (t->dtype != HONE_DTYPE_U8 || t->bytes > STATE_BYTES)
        return hone_fail(HONE_FORMAT, "%s: tensor '%s' is no JSON text in bytes", hone_file_path(f),
                         t->name);
    hone_status s =
        hone_json_parse((const char *)t->data, (size_t)t->bytes, 3, STATE_VALUES, t->name, &root);
    if (s == HONE_OK) {
        s = take_state(t, root, nested, out);
        json_decref(root);
    }
    return s == HONE_OK ? s : hone_fail_in(s, "%s", hone_file_path(f));
}

static hone_status numbers(const hone_file *f, const hone_tensor *t, hone_dtype dtype,
                           uint64_t least)
{
    if (t->dtype == (int)dtype && hone_tensor_elements(t) == least)
        return HONE_OK;
    return hone_fail(HONE_FORMAT, "%s: tensor '%s' should hold %llu numbers in %s, not %llu in %s",
                     hone_file_path(f), t->name, (unsigned long long)least, hone_dtype_name(dtype),
                     (unsigned long long)hone_tensor_elements(t),
                     hone_dtype_name((hone_dtype)t->dtype));
}

static size_t common_divisor(size_t a, size_t b)
{
    while (b) {
        size_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* The scales, their own codes and offset. */
static hone_status open_absmax(const hone_file *f, const char *weight, const bnb_state *state,
                               hone_scaled *m, hone_source *out)
{
    const hone_tensor *a = out->tensors[1], *map, *nested;
    uint64_t blocks = (state->n * state->k + state->block - 1) / state->block;
    m->scale_at = bnb_scale;
    m->scales.data = a->data;
    if (a->dtype != HONE_DTYPE_U8)
        return numbers(f, a, HONE_DTYPE_F32, blocks);
    HONE_TRY(numbers(f, a, HONE_DTYPE_U8, blocks));
    HONE_TRY(hone_part_need(f, weight, ".weight.nested_quant_map", &map));
    HONE_TRY(hone_part_need(f, weight, ".weight.nested_absmax", &nested));
    HONE_TRY(numbers(f, map, HONE_DTYPE_F32, 256));
    HONE_TRY(numbers(f, nested, HONE_DTYPE_F32,
                     (blocks + state->nested_block - 1) / state->nested_block));
    memcpy(m->map, map->data, sizeof m->map);
    m->zeros = nested;
    m->zero_words = (size_t)state->nested_block;
    m->offset = (float)state->offset;
    out->tensors[4] = map;
    out->tensors[5] = nested;
    return HONE_OK;
}

static hone_status open4(const hone_file *f, const char *weight, size_t n, size_t k,
                         const hone_claim *claim, hone_source *out)
{
    const hone_tensor *w = hone_part(f, weight, ".weight"), *table, *state_text;
    bnb_state state = {0};
    float values[16];
    out->name = w->name;
    out->tensors[0] = w;
    out->tensors[1] = hone_part(f, weight, ".weight.absmax");
    state_text = hone_part(f, weight, ".weight.quant_state.bitsandbytes__fp4");
    bool fp4 = state_text != NULL;
    if (!fp4)
        HONE_TRY(hone_part_need(f, weight, ".weight.quant_state.bitsandbytes__nf4", &state_text));
    if (claim->format && strcmp(claim->format, fp4 ? "nf4" : "fp4") == 0)
        return hone_fail(HONE_FORMAT,
                         "%s: config.json says bnb_4bit_quant_type \"%s\", but there is a tensor "
                         "'%s'",
                         hone_file_path(f), claim->format, state_text->name);
    HONE_TRY(hone_part_need(f, weight, ".weight.quant_map", &table));
    HONE_TRY(numbers(f, table, HONE_DTYPE_F32, 16));
    HONE_TRY(read_state(f, state_text, out->tensors[1]->dtype == HONE_DTYPE_U8, &state));
    out->tensors[2] = table;
    out->tensors[3] = state_text;
    HONE_TRY(hone_part_matrix(f, state_text, (size_t)state.n, (size_t)state.k, n, k));
    if (w->bytes != (state.n * state.k + 1) / 2)
        return hone_fail(HONE_FORMAT, "%s: tensor '%s' has %llu bytes; %llu x %llu codes take %llu",
                         hone_file_path(f), w->name, (unsigned long long)w->bytes,
                         (unsigned long long)state.n, (unsigned long long)state.k,
                         (unsigned long long)((state.n * state.k + 1) / 2));
    hone_scaled m = {.n = (size_t)state.n,
                     .k = (size_t)state.k,
                     .bits = 4,
                     .factor = 1,
                     .codes = bnb_codes,
                     .base = w->data,
                     .elements = w,
                     .block = (size_t)state.block};
    HONE_TRY(open_absmax(f, weight, &state, &m, out));
    /* A block may go on in the next row; within a row one scale holds for so many at least. */
    m.run = common_divisor(m.k, m.block);
    memcpy(values, table->data, sizeof values);
    m.table = values;
    HONE_TRY(hone_scaled_open(f, &m, NULL, out));
    hone_scaled *kept = out->owned; /* the table moves in with the description */
    memcpy(kept->values_of_table, values, sizeof values);
    kept->table = kept->values_of_table;
    return HONE_OK;
}

const hone_source_kind hone_source_bnb4 = {
    "bnb-4bit",
    "bitsandbytes NF4 and FP4, with or without double quantisation",
    "scales yes; the 16 levels are rounded to bf16",
    ".weight",
    " bitsandbytes ",
    holds4,
    open4,
};

/* ---- LLM.int8 ------------------------------------------------------------------------------- */

static bool holds8(const hone_file *f, const char *weight)
{
    return hone_part(f, weight, ".SCB") && hone_part(f, weight, ".weight");
}

static float scb_scale(const hone_scaled *m, size_t row, size_t k)
{
    (void)k;
    return load_f32(m->scales.data, row) / 127.0f;
}

static hone_status open8(const hone_file *f, const char *weight, size_t n, size_t k,
                         const hone_claim *claim, hone_source *out)
{
    const hone_tensor *w = hone_part(f, weight, ".weight"), *s = hone_part(f, weight, ".SCB");
    const hone_tensor *format = hone_part(f, weight, ".weight_format");
    (void)claim;
    out->name = w->name;
    out->tensors[0] = w;
    out->tensors[1] = s;
    out->tensors[2] = format;
    if (w->dtype != HONE_DTYPE_I8 || w->n_dims != 2)
        return hone_fail(HONE_FORMAT, "%s: tensor '%s' with an SCB should be a matrix of I8",
                         hone_file_path(f), w->name);
    if (format && (format->dtype != HONE_DTYPE_U8 || format->bytes != 1 || format->data[0] != 0))
        return hone_fail(HONE_UNSUPPORTED,
                         "%s: tensor '%s' names a layout made for one GPU; save the model again "
                         "with a current bitsandbytes",
                         hone_file_path(f), format->name);
    HONE_TRY(numbers(f, s, HONE_DTYPE_F32, w->shape[0]));
    hone_scaled m = {.n = (size_t)w->shape[0],
                     .k = (size_t)w->shape[1],
                     .bits = 8,
                     .factor = 1,
                     .zero = 128,
                     .codes = hone_scaled_bytes,
                     .scale_at = scb_scale,
                     .base = w->data,
                     .elements = w};
    m.scales.data = s->data;
    m.run = m.k;
    HONE_TRY(hone_part_matrix(f, w, m.n, m.k, n, k));
    return hone_scaled_open(f, &m, NULL, out);
}

const hone_source_kind hone_source_bnb8 = {
    "bnb-int8", "bitsandbytes LLM.int8", "yes (outliers are not kept apart)",
    ".weight",  " bitsandbytes ",        holds8,
    open8,
};
