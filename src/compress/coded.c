#include "compress/coded.h"

#include "base/json.h"
#include "base/mem.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NAME = 600, PARTS = 4, PER_WORD = 8 };

typedef struct part {
    const char *suffix;
    hone_dtype type; /* F16 stands for the type of scales */
    bool columns;    /* [..][n] rather than [n][..] */
} part;

struct hone_coded {
    const char *name;
    uint32_t group; /* 0 = a scale per row: bytes; else 4-bit codes */
    part parts[PARTS];
    const char *config;
};

#define GPTQ_PARTS                                                                                 \
    {                                                                                              \
        {".qweight", HONE_DTYPE_I32, true}, {".qzeros", HONE_DTYPE_I32, true},                     \
            {".scales", HONE_DTYPE_F16, true}, {".g_idx", HONE_DTYPE_I32, true},                   \
    }
#define GPTQ_CONFIG(GROUP)                                                                         \
    "{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": " GROUP ", \"desc_act\": false, "   \
    "\"sym\": true, \"checkpoint_format\": \"gptq\"}"

static const hone_coded forms[] = {
    {"gptq-4bit-g128", 128, GPTQ_PARTS, GPTQ_CONFIG("128")},
    {"gptq-4bit-g32", 32, GPTQ_PARTS, GPTQ_CONFIG("32")},
    {"int8-channel",
     0,
     {{".weight", HONE_DTYPE_I8, false}, {".weight_scale", HONE_DTYPE_F16, false}},
     "{\"quant_method\": \"compressed-tensors\", \"format\": \"int-quantized\", "
     "\"quantization_status\": \"compressed\", \"ignore\": [\"lm_head\"], \"config_groups\": "
     "{\"group_0\": {\"targets\": [\"Linear\"], \"weights\": {\"num_bits\": 8, \"type\": \"int\", "
     "\"strategy\": \"channel\", \"symmetric\": true, \"dynamic\": false}}}}"},
};

const hone_coded *hone_coded_at(size_t i)
{
    return i < sizeof forms / sizeof *forms ? &forms[i] : NULL;
}

const hone_coded *hone_coded_find(const char *name)
{
    for (size_t i = 0; hone_coded_at(i); i++)
        if (strcmp(forms[i].name, name) == 0)
            return &forms[i];
    return NULL;
}

const char *hone_coded_name(const hone_coded *c)
{
    return c->name;
}

bool hone_coded_fits(const hone_coded *c, size_t n, size_t k)
{
    return n > 0 && k > 0 &&
           (!c->group || (k % c->group == 0 && k % PER_WORD == 0 && n % PER_WORD == 0));
}

json_t *hone_coded_config(const hone_coded *c)
{
    hone_json_use_memory();
    return json_loads(c->config, 0, NULL);
}

hone_status hone_coded_declare(const hone_coded *c, hone_safetensors_writer *w, const char *weight,
                               size_t n, size_t k, hone_dtype scales)
{
    const uint64_t gptq[PARTS][2] = {
        {k / PER_WORD, n}, {c->group ? k / c->group : 0, n / PER_WORD}, {0, n}, {k, 0}};
    const uint64_t bytes[PARTS][2] = {{n, k}, {n, 1}};
    size_t stem = strlen(weight) - strlen(".weight");
    for (int i = 0; i < PARTS && c->parts[i].suffix; i++) {
        char name[NAME];
        const part *p = &c->parts[i];
        uint64_t shape[2] = {c->group ? gptq[i][0] : bytes[i][0],
                             c->group ? gptq[i][1] : bytes[i][1]};
        if (c->group && i == 2)
            shape[0] = k / c->group;
        snprintf(name, sizeof name, "%.*s%s", (int)stem, weight, p->suffix);
        HONE_TRY(hone_safetensors_writer_tensor(
            w, name, p->type == HONE_DTYPE_F16 ? scales : p->type, shape[1] ? 2 : 1, shape));
    }
    return HONE_OK;
}

/* ---- codes ----------------------------------------------------------------------------------- */

typedef struct encoding {
    const hone_coded *c;
    size_t n, k;
    hone_dtype type; /* of scales */
    hone_coded_row *row;
    const void *arg;
    float *rows;       /* [threads][k] */
    uint8_t *codes;    /* GPTQ: [k / 8][n] words; bytes: [n][k] */
    float *scales;     /* GPTQ: [k / group][n]; bytes: [n] */
    hone_status *ends; /* [threads] */
} encoding;

/* The scale as the file will hold it. */
static float stored(hone_dtype type, float x)
{
    uint8_t bytes[4];
    float back = x;
    return hone_dtype_encode(type, &x, 1, bytes) && hone_dtype_decode(type, bytes, 1, &back) ? back
                                                                                             : x;
}

static float error_of(const float *x, size_t n, float scale, float low, float high)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++) {
        float q = fminf(fmaxf(rintf(x[i] / scale), low), high), d = x[i] - scale * q;
        sum += d * d;
    }
    return sum;
}

/* The scale with the least squared error among those that cut off a little of the largest. */
static float choose_scale(const float *x, size_t n, float low, float high, hone_dtype type)
{
    float most = 0, best = 0, least = INFINITY;
    for (size_t i = 0; i < n; i++)
        most = fmaxf(most, fabsf(x[i]));
    if (!(most > 0))
        return 1;
    for (int i = 0; i < 5; i++) {
        float scale = stored(type, most / (high * (1 + 0.05f * (float)i)));
        float error = scale > 0 ? error_of(x, n, scale, low, high) : INFINITY;
        if (error < least) {
            least = error;
            best = scale;
        }
        if (high > 100)
            break; /* of 8 bits nothing is gained */
    }
    return best > 0 ? best : 1;
}

static void encode_row(const encoding *e, size_t r, const float *x)
{
    size_t group = e->c->group ? e->c->group : e->k;
    assert(group > 0);
    float low = e->c->group ? -8 : -127, high = e->c->group ? 7 : 127;
    for (size_t g = 0; g < e->k / group; g++) {
        const float *at = x + g * group;
        float scale = choose_scale(at, group, low, high, e->type);
        e->scales[e->c->group ? g * e->n + r : r] = scale;
        for (size_t i = 0; i < group; i++) {
            int q = (int)fminf(fmaxf(rintf(at[i] / scale), low), high);
            size_t column = g * group + i;
            if (!e->c->group)
                e->codes[r * e->k + column] = (uint8_t)(int8_t)q;
            else /* eight codes down the column in a little-endian word */
                e->codes[4 * (column / PER_WORD * e->n + r) + column % PER_WORD / 2] |=
                    (uint8_t)((unsigned)(q + 8) << (column % 2 * 4));
        }
    }
}

static void encode_item(void *arg, size_t r, int thread)
{
    encoding *e = arg;
    float *x = e->rows + (size_t)thread * e->k;
    if (e->ends[thread] != HONE_OK)
        return;
    e->ends[thread] = e->row(e->arg, r, x);
    for (size_t i = 0; i < e->k && e->ends[thread] == HONE_OK; i++)
        if (!isfinite(x[i]))
            e->ends[thread] = HONE_FORMAT;
    if (e->ends[thread] == HONE_OK)
        encode_row(e, r, x);
}

/* ---- writing --------------------------------------------------------------------------------- */

static hone_status write_words(hone_safetensors_writer *w, size_t n, uint32_t first, uint32_t step)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t word = first + step * (uint32_t)i;
        HONE_TRY(hone_safetensors_writer_write(w, &word, sizeof word));
    }
    return HONE_OK;
}

static hone_status write_parts(const encoding *e, hone_safetensors_writer *w)
{
    size_t group = e->c->group, groups = group ? e->k / group : 1;
    HONE_TRY(hone_safetensors_writer_write(w, e->codes, group ? e->n * e->k / 2 : e->n * e->k));
    if (group) /* zero points of 8, stored less one */
        HONE_TRY(write_words(w, groups * (e->n / PER_WORD), 0x77777777u, 0));
    HONE_TRY(hone_safetensors_writer_write_f32(w, e->scales, groups * e->n));
    for (size_t i = 0; i < groups && group; i++)
        HONE_TRY(write_words(w, group, (uint32_t)i, 0));
    return HONE_OK;
}

hone_status hone_coded_write(const hone_coded *c, hone_safetensors_writer *w, const char *weight,
                             size_t n, size_t k, hone_dtype scales, hone_coded_row *row,
                             const void *arg, hone_pool *pool)
{
    size_t threads = (size_t)hone_pool_threads(pool), groups = c->group ? k / c->group : 1;
    encoding e = {.c = c, .n = n, .k = k, .type = scales, .row = row, .arg = arg};
    e.rows = hone_reallocarray(NULL, threads * k, sizeof *e.rows);
    e.codes = hone_calloc(n, k);
    e.scales = hone_reallocarray(NULL, groups * n, sizeof *e.scales);
    e.ends = hone_calloc(threads, sizeof *e.ends);
    hone_status s =
        e.rows && e.codes && e.scales && e.ends ? HONE_OK : hone_fail_memory(n * k, "codes");
    if (s == HONE_OK)
        hone_pool_run(pool, encode_item, &e, n);
    for (size_t i = 0; s == HONE_OK && i < threads; i++)
        if (e.ends[i] != HONE_OK)
            s = hone_fail(e.ends[i], "matrix %s: a row cannot be read, or holds NaN or infinity",
                          weight);
    if (s == HONE_OK)
        s = write_parts(&e, w);
    hone_free(e.rows);
    hone_free(e.codes);
    hone_free(e.scales);
    hone_free(e.ends);
    return s;
}
