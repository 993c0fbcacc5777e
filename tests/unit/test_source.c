// links: model
/* Quantised matrices that are incomplete, damaged or contradicted by config.json are refused by
 * name. (That sound ones decode rightly: tests/golden/test_source_golden.c.) */
#include "base/io.h"
#include "base/mem.h"
#include "file/internal.h"
#include "model/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A tensor of a test file: bytes are 1, or `fill` repeated. */
typedef struct part {
    const char *name, *dtype;
    int n_dims;
    uint64_t shape[4];
    const void *fill;
    size_t fill_bytes;
} part;

enum { PARTS = 10, N = 16, K = 64 };

typedef struct checkpoint {
    const char *kind, *config;
    part parts[PARTS]; /* up to one without a name */
} checkpoint;

static int32_t in_turns[K];
static const int64_t shape_nk[2] = {N, K};
static const float one = 1.0f;
static const char nf4_state[] =
    "{\"quant_type\":\"nf4\",\"blocksize\":64,\"shape\":[16,64],\"nested_blocksize\":256,"
    "\"nested_offset\":0.25}";

#define CT(fmt, bits, more)                                                                        \
    "{\"quantization_config\":{\"quant_method\":\"compressed-tensors\",\"format\":\"" fmt "\","    \
    "\"ignore\":[\"lm_head\"],\"config_groups\":{\"group_0\":{\"targets\":[\"Linear\"],"           \
    "\"weights\":{\"num_bits\":" bits more "}}}}}"

static const checkpoint gptq = {
    "gptq",
    "{\"quantization_config\":{\"quant_method\":\"gptq\",\"bits\":4,\"group_size\":32}}",
    {{"a.qweight", "I32", 2, {K / 8, N}, NULL, 0},
     {"a.qzeros", "I32", 2, {2, N / 8}, NULL, 0},
     {"a.scales", "F32", 2, {2, N}, &one, 4},
     {"a.g_idx", "I32", 1, {K}, in_turns, sizeof in_turns}}};
static const checkpoint awq = {
    "awq",
    "{\"quantization_config\":{\"quant_method\":\"awq\",\"bits\":4,\"group_size\":32,"
    "\"version\":\"gemm\",\"modules_to_not_convert\":[\"lm_head\"]}}",
    {{"a.qweight", "I32", 2, {K, N / 8}, NULL, 0},
     {"a.qzeros", "I32", 2, {2, N / 8}, NULL, 0},
     {"a.scales", "F32", 2, {2, N}, &one, 4}}};
static const checkpoint packed = {
    "packed",
    CT("pack-quantized", "4", ",\"group_size\":32,\"strategy\":\"group\""),
    {{"a.weight_packed", "I32", 2, {N, K / 8}, NULL, 0},
     {"a.weight_scale", "F32", 2, {N, 2}, &one, 4},
     {"a.weight_shape", "I64", 1, {2}, shape_nk, sizeof shape_nk},
     {"a.weight_zero_point", "I32", 2, {N / 8, 2}, NULL, 0}}};
static const checkpoint nf4 = {
    "bnb-4bit",
    "{\"quantization_config\":{\"quant_method\":\"bitsandbytes\",\"load_in_4bit\":true}}",
    {{"a.weight", "U8", 2, {N * K / 2, 1}, NULL, 0},
     {"a.weight.absmax", "U8", 1, {N}, NULL, 0},
     {"a.weight.quant_map", "F32", 1, {16}, &one, 4},
     {"a.weight.nested_absmax", "F32", 1, {1}, &one, 4},
     {"a.weight.nested_quant_map", "F32", 1, {256}, &one, 4},
     {"a.weight.quant_state.bitsandbytes__nf4",
      "U8",
      1,
      {sizeof nf4_state - 1},
      nf4_state,
      sizeof nf4_state - 1}}};
static const checkpoint bnb8 = {
    "bnb-int8",
    "{\"quantization_config\":{\"quant_method\":\"bitsandbytes\",\"load_in_8bit\":true}}",
    {{"a.weight", "I8", 2, {N, K}, NULL, 0}, {"a.SCB", "F32", 1, {N}, &one, 4}}};
static const checkpoint fp8 = {
    "fp8",
    "{\"quantization_config\":{\"quant_method\":\"fp8\",\"weight_block_size\":[16,48]}}",
    {{"a.weight", "F8_E4M3", 2, {N, K}, NULL, 0},
     {"a.weight_scale_inv", "F32", 2, {1, 2}, &one, 4}}};
static const checkpoint int8 = {
    "int8",
    CT("int-quantized", "8", ",\"strategy\":\"channel\""),
    {{"a.weight", "I8", 2, {N, K}, NULL, 0}, {"a.weight_scale", "F32", 2, {N, 1}, &one, 4}}};
static const checkpoint sparse24 = {"sparse",
                                    "{}",
                                    {{"a.compressed", "BF16", 2, {N, K / 2}, NULL, 0},
                                     {"a.bitmask", "U8", 2, {N, K / 8}, "\x35", 1},
                                     {"a.shape", "I64", 1, {2}, shape_nk, sizeof shape_nk}}};
static const checkpoint *const sound[] = {&gptq, &awq, &packed, &nf4,
                                          &bnb8, &fp8, &int8,   &sparse24};
enum { SOUND = sizeof sound / sizeof *sound };

/* ---- files in memory ------------------------------------------------------------------------ */

static uint8_t *image;

static size_t bytes_of(const part *p)
{
    static const struct {
        const char *name;
        size_t bytes;
    } sizes[] = {{"F32", 4}, {"I32", 4}, {"F16", 2},     {"BF16", 2},   {"I64", 8},
                 {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1}};
    size_t n = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (strcmp(sizes[i].name, p->dtype) == 0)
            n = sizes[i].bytes;
    assert_true(n > 0);
    for (int i = 0; i < p->n_dims; i++)
        n *= (size_t)p->shape[i];
    return n;
}

static hone_file *file_of(const checkpoint *c)
{
    static char header[8192];
    size_t used = 0, data = 0;
    header[used++] = '{';
    for (const part *p = c->parts; p < c->parts + PARTS && p->name; p++) {
        size_t bytes = bytes_of(p);
        used += (size_t)snprintf(header + used, sizeof header - used,
                                 "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", data ? "," : "", p->name,
                                 p->dtype);
        for (int i = 0; i < p->n_dims; i++)
            used += (size_t)snprintf(header + used, sizeof header - used, "%s%llu", i ? "," : "",
                                     (unsigned long long)p->shape[i]);
        used += (size_t)snprintf(header + used, sizeof header - used,
                                 "],\"data_offsets\":[%zu,%zu]}", data, data + bytes);
        data += bytes;
    }
    header[used++] = '}';
    uint64_t length = used;
    image = malloc(8 + used + data);
    assert_non_null(image);
    memcpy(image, &length, 8);
    memcpy(image + 8, header, used);
    uint8_t *at = image + 8 + used;
    for (const part *p = c->parts; p < c->parts + PARTS && p->name; p++)
        for (size_t i = 0, n = bytes_of(p); i < n; i++)
            *at++ = p->fill ? ((const uint8_t *)p->fill)[i % p->fill_bytes] : 1;
    hone_file *f;
    if (hone_file_open_bytes(HONE_FILE_SAFETENSORS, image, 8 + used + data, &f) != HONE_OK ||
        hone_file_read_config(f, c->config, strlen(c->config)) != HONE_OK)
        fail_msg("%s", hone_error());
    return f;
}

static void close_file(hone_file *f)
{
    hone_file_close(f);
    free(image);
}

static hone_status open_of(const checkpoint *c, size_t n, size_t k)
{
    hone_file *f = file_of(c);
    hone_source s;
    hone_status status = hone_source_open(f, "a.weight", n, k, &s);
    if (status == HONE_OK) {
        assert_string_equal(s.kind->name, c->kind);
        hone_source_close(&s);
    }
    close_file(f);
    return status;
}

static void expect(const checkpoint *c, hone_status status, const char *words)
{
    hone_status s = open_of(c, N, K);
    if (s != status || (status != HONE_OK && !strstr(hone_error(), words)))
        fail_msg("%s: %s \"%s\", wanted %s with \"%s\"", c->kind, hone_status_name(s),
                 s ? hone_error() : "", hone_status_name(status), words);
}

static part *part_of(checkpoint *c, const char *name)
{
    part *p = c->parts;
    while (p->name && strcmp(p->name, name) != 0)
        p++;
    assert_non_null(p->name);
    return p;
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void sound_matrices_open(void **state)
{
    (void)state;
    for (int i = 0; i < SOUND; i++)
        expect(sound[i], HONE_OK, "");
}

static void another_shape_than_the_model_says_is_named(void **state)
{
    (void)state;
    for (int i = 0; i < SOUND; i++) {
        hone_status s = open_of(sound[i], N, 2 * K);
        if (s != HONE_FORMAT)
            fail_msg("%s: %s", sound[i]->kind, hone_status_name(s));
        assert_int_equal(open_of(sound[i], N + 1, K), HONE_FORMAT);
        assert_non_null(strstr(hone_error(), "'a."));
    }
}

static void a_missing_tensor_is_named(void **state)
{
    (void)state;
    static const struct {
        const checkpoint *c;
        const char *gone;
    } cases[] = {
        {&gptq, "a.scales"},          {&gptq, "a.qzeros"},
        {&awq, "a.qzeros"},           {&packed, "a.weight_scale"},
        {&nf4, "a.weight.quant_map"}, {&nf4, "a.weight.quant_state.bitsandbytes__nf4"},
        {&fp8, "a.weight_scale_inv"}, {&nf4, "a.weight.nested_absmax"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        checkpoint c = *cases[i].c;
        part_of(&c, cases[i].gone)->name = "elsewhere";
        expect(&c, HONE_NOT_FOUND, cases[i].gone);
    }
    checkpoint c = gptq;
    part_of(&c, "a.qweight")->name = "b.qweight";
    expect(&c, HONE_NOT_FOUND, "'a.weight'");
    c = bnb8;
    part_of(&c, "a.SCB")->name = "b.SCB";
    expect(&c, HONE_FORMAT, "no scales");
}

static void tensors_of_wrong_shape_or_type_are_named(void **state)
{
    (void)state;
    static const struct {
        const checkpoint *c;
        part bad;
        hone_status status;
    } cases[] = {
        {&gptq, {"a.scales", "F32", 2, {3, N}, NULL, 0}, HONE_FORMAT},
        {&gptq, {"a.scales", "F32", 1, {N}, NULL, 0}, HONE_FORMAT},
        {&gptq, {"a.scales", "I32", 2, {2, N}, NULL, 0}, HONE_FORMAT},
        {&gptq, {"a.scales", "F32", 2, {0, N}, NULL, 0}, HONE_FORMAT},
        {&gptq, {"a.qzeros", "I32", 2, {2, 5}, NULL, 0}, HONE_FORMAT},
        {&gptq, {"a.qzeros", "I32", 2, {1, N / 8}, NULL, 0}, HONE_FORMAT},
        {&gptq, {"a.qzeros", "F32", 2, {2, N / 8}, NULL, 0}, HONE_UNSUPPORTED},
        {&gptq, {"a.qweight", "I64", 2, {K / 8, N}, NULL, 0}, HONE_UNSUPPORTED},
        {&gptq, {"a.g_idx", "I32", 1, {K - 1}, NULL, 0}, HONE_FORMAT},
        {&gptq, {"a.g_idx", "F32", 1, {K}, NULL, 0}, HONE_FORMAT},
        {&gptq, {"a.g_idx", "I32", 1, {K}, "\x02\0\0", 4}, HONE_FORMAT},
        {&gptq, {"a.g_idx", "I32", 1, {K}, "\xfe\xff\xff\xff", 4}, HONE_FORMAT},
        {&awq, {"a.scales", "F32", 2, {3, N}, NULL, 0}, HONE_FORMAT},
        {&awq, {"a.qzeros", "I32", 2, {2, N}, NULL, 0}, HONE_FORMAT},
        {&packed, {"a.weight_packed", "I32", 2, {N, 7}, NULL, 0}, HONE_FORMAT},
        {&packed, {"a.weight_packed", "I32", 1, {N}, NULL, 0}, HONE_UNSUPPORTED},
        {&packed, {"a.weight_scale", "F32", 2, {N, 3}, NULL, 0}, HONE_FORMAT},
        {&packed, {"a.weight_scale", "F32", 2, {N + 1, 2}, NULL, 0}, HONE_FORMAT},
        {&packed, {"a.weight_shape", "I64", 1, {3}, NULL, 0}, HONE_FORMAT},
        {&packed, {"a.weight_shape", "I64", 1, {2}, "\xff", 1}, HONE_FORMAT},
        {&packed, {"a.weight_zero_point", "I32", 2, {N, 2}, NULL, 0}, HONE_FORMAT},
        {&nf4, {"a.weight", "U8", 1, {7}, NULL, 0}, HONE_FORMAT},
        {&nf4, {"a.weight.absmax", "U8", 1, {N - 1}, NULL, 0}, HONE_FORMAT},
        {&nf4, {"a.weight.absmax", "F32", 1, {N + 1}, NULL, 0}, HONE_FORMAT},
        {&nf4, {"a.weight.quant_map", "F32", 1, {15}, NULL, 0}, HONE_FORMAT},
        {&nf4, {"a.weight.nested_absmax", "F32", 1, {2}, NULL, 0}, HONE_FORMAT},
        {&nf4,
         {"a.weight.quant_state.bitsandbytes__nf4", "U8", 1, {9}, "{\"a\":[1}", 9},
         HONE_FORMAT},
        {&nf4, {"a.weight.quant_state.bitsandbytes__nf4", "U8", 1, {2}, "{}", 2}, HONE_FORMAT},
        {&nf4, {"a.weight.quant_state.bitsandbytes__nf4", "F32", 1, {2}, NULL, 0}, HONE_FORMAT},
        {&bnb8, {"a.SCB", "F32", 1, {N + 1}, NULL, 0}, HONE_FORMAT},
        {&bnb8, {"a.weight", "U8", 2, {N, K}, NULL, 0}, HONE_FORMAT},
        {&fp8, {"a.weight_scale_inv", "F32", 2, {2, 2}, NULL, 0}, HONE_FORMAT},
        {&fp8, {"a.weight_scale_inv", "I32", 2, {1, 2}, NULL, 0}, HONE_FORMAT},
        {&fp8, {"a.weight", "F8_E4M3", 3, {N, K, 1}, NULL, 0}, HONE_FORMAT},
        {&int8, {"a.weight_scale", "F32", 2, {N, 5}, NULL, 0}, HONE_FORMAT},
        {&sparse24, {"a.compressed", "BF16", 2, {N, K / 2 + 1}, NULL, 0}, HONE_FORMAT},
        {&sparse24, {"a.bitmask", "U8", 2, {N, K / 4}, NULL, 0}, HONE_FORMAT},
        {&sparse24, {"a.bitmask", "I8", 2, {N, K / 8}, NULL, 0}, HONE_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        checkpoint c = *cases[i].c;
        *part_of(&c, cases[i].bad.name) = cases[i].bad;
        hone_status s = open_of(&c, N, K);
        if (s != cases[i].status ||
            (!strstr(hone_error(), "'a.") && !strstr(hone_error(), cases[i].bad.name)))
            fail_msg("%s with %s %s: %s \"%s\"", c.kind, cases[i].bad.name, cases[i].bad.dtype,
                     hone_status_name(s), s ? hone_error() : "");
    }
}

static void values_that_make_no_sense_are_not_decoded(void **state)
{
    (void)state;
    static const struct {
        const checkpoint *c;
        part bad;
    } cases[] = {
        {&gptq, {"a.scales", "F32", 2, {2, N}, "\0\0\x80\x7f", 4}},       /* infinity */
        {&int8, {"a.weight_scale", "F32", 2, {N, 1}, "\0\0\xc0\x7f", 4}}, /* NaN */
        {&sparse24, {"a.bitmask", "U8", 2, {N, K / 8}, "\x01", 1}},       /* one of four */
        {&sparse24, {"a.bitmask", "U8", 2, {N, K / 8}, "\xff", 1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        checkpoint c = *cases[i].c;
        float out[K], scales[K], mins[K];
        int8_t codes[K];
        hone_source s;
        *part_of(&c, cases[i].bad.name) = cases[i].bad;
        hone_file *f = file_of(&c);
        assert_int_equal(hone_source_open(f, "a.weight", N, K, &s), HONE_OK);
        assert_false(s.rows.decode(&s.rows, 1, 0, K, out));
        if (s.rows.coding.bits)
            assert_false(s.rows.codes(&s.rows, 1, 0, K, codes, scales, mins));
        hone_source_close(&s);
        close_file(f);
    }
}

static void groups_that_no_kernel_can_have_contiguous_decode_only(void **state)
{
    (void)state;
    checkpoint c = gptq;
    static int32_t uneven[K]; /* all but one column in group 0 */
    hone_source s;
    uneven[5] = 1;
    part_of(&c, "a.g_idx")->fill = uneven;
    hone_file *f = file_of(&c);
    assert_int_equal(hone_source_open(f, "a.weight", N, K, &s), HONE_OK);
    assert_int_equal(s.rows.coding.bits, 0);
    assert_null(s.order);
    hone_source_close(&s);
    close_file(f);
}

static void configurations_that_contradict_the_tensors_are_named(void **state)
{
    (void)state;
#define Q(text) "{\"quantization_config\":{" text "}}"
    static const struct {
        const checkpoint *c;
        const char *config;
        hone_status status;
        const char *words;
    } cases[] = {
        {&gptq, "{}", HONE_OK, ""},
        {&gptq, Q("\"quant_method\":\"awq\",\"bits\":4"), HONE_FORMAT, "awq"},
        {&gptq, Q("\"quant_method\":\"gptq\",\"bits\":3"), HONE_FORMAT, "3 bits"},
        {&gptq, Q("\"quant_method\":\"gptq\",\"bits\":-4"), HONE_FORMAT, "-4 bits"},
        {&gptq, Q("\"quant_method\":\"gptq\",\"bits\":\"4\""), HONE_FORMAT, "bits"},
        {&gptq, Q("\"quant_method\":\"gptq\",\"group_size\":64"), HONE_FORMAT, "groups of 64"},
        {&gptq, Q("\"quant_method\":\"gptq\",\"group_size\":-1"), HONE_FORMAT, "groups of -1"},
        {&gptq, Q("\"quant_method\":\"gptq\",\"group_size\":-7"), HONE_FORMAT, "groups of -7"},
        {&gptq, Q("\"quant_method\":\"gptq\",\"checkpoint_format\":\"marlin\""), HONE_UNSUPPORTED,
         "marlin"},
        {&gptq, Q("\"quant_method\":\"gptq\",\"modules_to_not_convert\":[\"a\"]"), HONE_FORMAT,
         "not quantised"},
        {&gptq, Q("\"quant_method\":\"gptq\",\"bits\":8,\"dynamic\":{\"a\":{\"bits\":4}}"), HONE_OK,
         ""},
        {&gptq, Q("\"quant_method\":7"), HONE_FORMAT, "quant_method"},
        {&gptq, Q("\"quant_method\":\"something\",\"bits\":9"), HONE_OK, ""},
        {&awq, Q("\"quant_method\":\"gptq\",\"bits\":4"), HONE_FORMAT, "gptq"},
        {&awq, Q("\"quant_method\":\"awq\",\"version\":\"gemv\""), HONE_UNSUPPORTED, "gemv"},
        {&nf4, Q("\"quant_method\":\"bitsandbytes\",\"load_in_4bit\":true,\"load_in_8bit\":true"),
         HONE_FORMAT, "load_in_4bit and load_in_8bit"},
        {&nf4, Q("\"quant_method\":\"bitsandbytes\",\"load_in_8bit\":true"), HONE_FORMAT, "8 bits"},
        {&nf4, Q("\"quant_method\":\"bitsandbytes\",\"bnb_4bit_quant_type\":\"fp4\""), HONE_FORMAT,
         "bitsandbytes__nf4"},
        {&nf4, "{\"quantization_config\":[4]}", HONE_FORMAT, "no object"},
        {&nf4, Q("\"quant_method\":\"bitsandbytes\",\"llm_int8_skip_modules\":[\"a\"]"),
         HONE_FORMAT, "llm_int8_skip_modules"},
        {&fp8, Q("\"quant_method\":\"fp8\",\"weight_block_size\":[16]"), HONE_FORMAT,
         "weight_block_size"},
        {&fp8, Q("\"quant_method\":\"fp8\",\"weight_block_size\":[0,128]"), HONE_FORMAT,
         "weight_block_size"},
        {&fp8, Q("\"quant_method\":\"fp8\",\"weight_block_size\":[128,64]"), HONE_FORMAT, "grid"},
        {&packed, CT("pack-quantized", "8", ""), HONE_FORMAT, "8 bits"},
        {&packed, CT("pack-quantized", "4", ",\"group_size\":16"), HONE_FORMAT, "groups of 16"},
        {&packed, CT("pack-quantized", "4", ",\"group_size\":32,\"strategy\":\"channel\""),
         HONE_FORMAT, "contradicts itself"},
        {&packed,
         Q("\"quant_method\":\"compressed-tensors\",\"ignore\":[\"re:[abc]$\"],\"config_groups\":"
           "{}"),
         HONE_FORMAT, "not quantised"},
        {&packed, Q("\"quant_method\":\"compressed-tensors\",\"ignore\":[\"re:(a\"]"), HONE_FORMAT,
         "no regular expression"},
        /* The group by name goes before the one by class. */
        {&packed,
         Q("\"quant_method\":\"compressed-tensors\",\"config_groups\":{\"x\":{\"targets\":"
           "[\"Linear\"],\"weights\":{\"num_bits\":8}},\"y\":{\"targets\":[\"re:.*a\"],\"weights\":"
           "{\"num_bits\":4}}}"),
         HONE_OK, ""},
        {&packed,
         Q("\"quant_method\":\"compressed-tensors\",\"config_groups\":{\"x\":{\"targets\":"
           "[\"Linear\"],\"weights\":{\"num_bits\":4}},\"y\":{\"targets\":[\"a\"],\"weights\":"
           "{\"num_bits\":8}}}"),
         HONE_FORMAT, "8 bits"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        checkpoint c = *cases[i].c;
        c.config = cases[i].config;
        expect(&c, cases[i].status, cases[i].words);
    }
}

static void an_expression_that_explodes_is_stopped(void **state)
{
    (void)state;
    checkpoint c = packed;
    static char name[200] = "";
    memset(name, 'a', 150);
    strcpy(name + 150, "b.weight_packed");
    c.config = Q("\"quant_method\":\"compressed-tensors\",\"ignore\":[\"re:(a+)+(a+)+(a+)+[cd]\"]");
    part_of(&c, "a.weight_packed")->name = name;
    hone_file *f = file_of(&c);
    hone_source s;
    char weight[200];
    snprintf(weight, sizeof weight, "%.151s.weight", name);
    assert_int_equal(hone_source_open(f, weight, N, K, &s), HONE_LIMIT);
    assert_non_null(strstr(hone_error(), "takes too long"));
    close_file(f);
}

static void a_method_that_is_not_read_is_named(void **state)
{
    (void)state;
    checkpoint c = {
        "plain", Q("\"quant_method\":\"aqlm\""), {{"a.codes", "I8", 2, {N, K}, NULL, 0}}};
    expect(&c, HONE_UNSUPPORTED, "aqlm");
}

typedef struct tally {
    size_t matrices, broken, leftovers;
    char last[200];
} tally;

static void count_matrix(void *arg, const char *weight, hone_status status, const hone_source *s)
{
    tally *t = arg;
    t->matrices++;
    t->broken += status != HONE_OK;
    assert_true((status == HONE_OK) == (s != NULL));
    snprintf(t->last, sizeof t->last, "%s", weight);
}

static void count_leftover(void *arg, const hone_tensor *x)
{
    tally *t = arg;
    t->leftovers++;
    snprintf(t->last, sizeof t->last, "%s", x->name);
}

static void every_matrix_of_a_file_is_visited_and_what_belongs_to_none_is_listed(void **state)
{
    (void)state;
    for (int i = 0; i < SOUND; i++) {
        checkpoint c = *sound[i];
        tally t = {0};
        part *end = c.parts;
        while (end->name)
            end++;
        *end++ = (part){"a.k_scale", "F32", 1, {1}, NULL, 0};
        *end++ = (part){"b.weight", "BF16", 2, {4, 8}, NULL, 0};
        *end++ = (part){"norm.weight", "F32", 1, {8}, NULL, 0};
        hone_file *f = file_of(&c);
        hone_source_each(f, count_matrix, &t);
        assert_int_equal(t.matrices, 2);
        assert_int_equal(t.broken, 0);
        assert_int_equal(hone_source_leftovers(f, count_leftover, &t), HONE_OK);
        assert_int_equal(t.leftovers, 1);
        assert_string_equal(t.last, "a.k_scale");
        close_file(f);
    }
}

static void the_page_of_checkpoints_has_every_kind(void **state)
{
    (void)state;
    char *page, row[400];
    size_t bytes;
    assert_int_equal(hone_read_file(HONE_SOURCE_DIR "/docs/checkpoints.md", 1 << 20, &page, &bytes),
                     HONE_OK);
    for (size_t i = 0; i < hone_source_kind_count(); i++) {
        const hone_source_kind *k = hone_source_kind_at(i);
        snprintf(row, sizeof row, "| %s | %s | %s |", k->name, k->about, k->exact);
        if (k != &hone_source_plain && !strstr(page, row))
            fail_msg("docs/checkpoints.md lacks: %s", row);
    }
    hone_free(page);
}

static void every_failed_allocation_is_survived(void **state)
{
    (void)state;
    for (int i = 0; i < SOUND; i++) {
        hone_file *f = file_of(sound[i]);
        for (int64_t n = 0;; n++) {
            hone_source s;
            hone_mem_fail_after(n);
            hone_status status = hone_source_open(f, "a.weight", N, K, &s);
            hone_mem_fail_after(-1);
            if (status == HONE_OK) {
                hone_source_close(&s);
                assert_true(n > 0);
                break;
            }
            if (status != HONE_MEMORY)
                fail_msg("%s: %s", sound[i]->kind, hone_error());
            assert_true(n < 1000);
        }
        close_file(f);
    }
}

static int fill_turns(void **state)
{
    (void)state;
    for (int i = 0; i < K; i++)
        in_turns[i] = i % 2;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_matrices_open),
        cmocka_unit_test(another_shape_than_the_model_says_is_named),
        cmocka_unit_test(a_missing_tensor_is_named),
        cmocka_unit_test(tensors_of_wrong_shape_or_type_are_named),
        cmocka_unit_test(values_that_make_no_sense_are_not_decoded),
        cmocka_unit_test(groups_that_no_kernel_can_have_contiguous_decode_only),
        cmocka_unit_test(configurations_that_contradict_the_tensors_are_named),
        cmocka_unit_test(an_expression_that_explodes_is_stopped),
        cmocka_unit_test(a_method_that_is_not_read_is_named),
        cmocka_unit_test(every_matrix_of_a_file_is_visited_and_what_belongs_to_none_is_listed),
        cmocka_unit_test(the_page_of_checkpoints_has_every_kind),
        cmocka_unit_test(every_failed_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, fill_turns, NULL);
}
