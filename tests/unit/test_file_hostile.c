// links: file
/* Files that lie: cut at every byte, changed in every byte, and each lie by itself. */
#include "../fuzz/file_touch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

/* ---- a GGUF put together by hand ---- */

static uint8_t bytes[1 << 14];
static size_t used;

static void put(const void *p, size_t n)
{
    assert_true(used + n <= sizeof bytes);
    memcpy(bytes + used, p, n);
    used += n;
}

static void put_u32(uint32_t v)
{
    put(&v, 4);
}

static void put_u64(uint64_t v)
{
    put(&v, 8);
}

static void put_str(const char *s)
{
    put_u64(strlen(s));
    put(s, strlen(s));
}

static void put_head(uint32_t version, uint64_t tensors, uint64_t metas)
{
    used = 0;
    put("GGUF", 4);
    put_u32(version);
    put_u64(tensors);
    put_u64(metas);
}

static void put_key(const char *key, uint32_t type)
{
    put_str(key);
    put_u32(type);
}

/* A tensor of rows x 8 float32. */
static void put_tensor(const char *name, uint64_t rows, uint32_t type, uint64_t offset)
{
    put_str(name);
    put_u32(2);
    put_u64(8);
    put_u64(rows);
    put_u32(type);
    put_u64(offset);
}

static void pad(size_t to)
{
    while (used % to)
        put("", 1);
}

static void put_zeros(size_t n)
{
    while (n--)
        put("", 1);
}

/* A sound file with every kind of value; *data = where tensor data begins. */
static void make_sound(size_t *data)
{
    put_head(3, 2, 15);
    for (uint32_t type = 0; type < GGUF_TYPES; type++) {
        char key[16];
        snprintf(key, sizeof key, "key.%u", type);
        if (type == GGUF_ARRAY)
            continue;
        put_key(key, type);
        if (type == GGUF_STRING)
            put_str("a value");
        else
            put_zeros(hone_gguf_scalar_bytes(type));
    }
    put_key("array.u32", GGUF_ARRAY);
    put_u32(GGUF_U32);
    put_u64(3);
    put_zeros(12);
    put_key("array.bool", GGUF_ARRAY);
    put_u32(GGUF_BOOL);
    put_u64(2);
    put_zeros(2);
    put_key("array.str", GGUF_ARRAY);
    put_u32(GGUF_STRING);
    put_u64(2);
    put_str("one");
    put_str("\xff two");
    put_tensor("a", 2, 0, 0);
    put_tensor("b", 1, 0, 64);
    pad(32);
    *data = used;
    put_zeros(64 + 32);
}

/* Opens an exact heap copy, so that a sanitizer sees any read beyond it. */
static hone_status open_copy(hone_file_kind_id kind, const void *data, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    if (n)
        memcpy(copy, data, n);
    hone_file *f = NULL;
    hone_status s = hone_file_open_bytes(kind, copy, n, &f);
    if (s == HONE_OK)
        touch_file(f);
    else
        assert_null(f);
    hone_file_close(f);
    free(copy);
    return s;
}

static void expect(hone_status want, const char *part)
{
    hone_status s = open_copy(HONE_FILE_GGUF, bytes, used);
    if (s != want || !strstr(hone_error(), part) || !strstr(hone_error(), "memory: "))
        fail_msg("wanted %s with '%s', got %s: %s", hone_status_name(want), part,
                 hone_status_name(s), hone_error());
}

static void a_gguf_cut_at_any_byte_is_refused(void **state)
{
    (void)state;
    size_t data;
    make_sound(&data);
    assert_int_equal(open_copy(HONE_FILE_GGUF, bytes, used), HONE_OK);
    for (size_t n = 0; n < used; n++)
        assert_int_equal(open_copy(HONE_FILE_GGUF, bytes, n), HONE_FORMAT);
}

static void is_refusal_or_success(hone_status s)
{
    assert_true(s == HONE_OK || s == HONE_FORMAT || s == HONE_UNSUPPORTED || s == HONE_LIMIT);
}

static void a_gguf_with_any_byte_changed_does_no_harm(void **state)
{
    (void)state;
    size_t data, refused = 0;
    make_sound(&data);
    for (size_t at = 0; at < data; at++) {
        uint8_t kept = bytes[at];
        for (int v = 0; v < 256; v += v < 16 || v > 240 ? 1 : 15) {
            bytes[at] = (uint8_t)v;
            hone_status s = open_copy(HONE_FILE_GGUF, bytes, used);
            is_refusal_or_success(s);
            refused += s != HONE_OK;
        }
        bytes[at] = kept;
    }
    assert_true(refused > data); /* the check did bite */
}

static void a_gguf_with_any_eight_bytes_huge_does_no_harm(void **state)
{
    (void)state;
    const uint64_t hard[] = {UINT64_MAX, INT64_MAX, 1ull << 63, 1ull << 61, 1ull << 40, 1u << 31};
    size_t data;
    make_sound(&data);
    for (size_t at = 0; at + 8 <= data; at++)
        for (size_t k = 0; k < sizeof hard / sizeof hard[0]; k++) {
            uint8_t kept[8];
            memcpy(kept, bytes + at, 8);
            memcpy(bytes + at, &hard[k], 8);
            is_refusal_or_success(open_copy(HONE_FILE_GGUF, bytes, used));
            memcpy(bytes + at, kept, 8);
        }
}

static void gguf_headers_that_lie_are_named(void **state)
{
    (void)state;
    put_head(1, 0, 0);
    expect(HONE_UNSUPPORTED, "version 1");
    put_head(0x03000000, 0, 0);
    expect(HONE_UNSUPPORTED, "big-endian");
    put_head(3, 0, UINT64_MAX);
    expect(HONE_FORMAT, "metadata keys");
    put_head(3, UINT64_MAX / 32, 0);
    expect(HONE_FORMAT, "tensors");
    put_head(3, 0, 0);
    bytes[0] = 'g';
    expect(HONE_FORMAT, "no GGUF file");
    put_head(2, 0, 0);
    assert_int_equal(open_copy(HONE_FILE_GGUF, bytes, used), HONE_OK);
}

static void gguf_metadata_that_lies_is_named(void **state)
{
    (void)state;
    put_head(3, 0, 1);
    put_u64(UINT64_MAX);
    put_zeros(30);
    expect(HONE_FORMAT, "truncated");
    put_head(3, 0, 1);
    put_key("k\xc0\x80", GGUF_U32);
    put_u32(1);
    expect(HONE_FORMAT, "UTF-8");
    put_head(3, 0, 1);
    put_key("k\x1b[31m", GGUF_U32);
    put_u32(1);
    expect(HONE_FORMAT, "control character");
    put_head(3, 0, 1);
    put_key("", GGUF_U32);
    put_u32(1);
    put_zeros(8);
    expect(HONE_FORMAT, "0 bytes long");
    put_head(3, 0, 1);
    put_key("odd", 13);
    put_u32(1);
    expect(HONE_FORMAT, "'odd' has the unknown type 13");
    put_head(3, 0, 1);
    put_key("flag", GGUF_BOOL);
    put("\2", 1);
    expect(HONE_FORMAT, "'flag'");
    put_head(3, 0, 1);
    put_key("text", GGUF_STRING);
    put_u64(3);
    put("a\0b", 3);
    expect(HONE_FORMAT, "'text'");
    put_head(3, 0, 1);
    put_key("nest", GGUF_ARRAY);
    put_u32(GGUF_ARRAY);
    put_u64(1);
    put_zeros(16);
    expect(HONE_UNSUPPORTED, "'nest'");
    for (uint32_t type = 0; type < GGUF_TYPES; type++) {
        if (type == GGUF_ARRAY)
            continue;
        put_head(3, 0, 1);
        put_key("many", GGUF_ARRAY);
        put_u32(type);
        put_u64(UINT64_MAX / 4);
        put_zeros(64);
        expect(HONE_FORMAT, "'many'");
    }
    put_head(3, 0, 2);
    put_key("twice", GGUF_U8);
    put("a", 1);
    put_key("twice", GGUF_U8);
    put("a", 1);
    expect(HONE_FORMAT, "'twice' appears twice");
    put_head(3, 0, 1);
    put_key("split.count", GGUF_U16);
    put("\3\0", 2);
    expect(HONE_UNSUPPORTED, "one of several parts");
}

static void put_tail(void)
{
    pad(32);
    put_zeros(256);
}

static void gguf_tensors_that_lie_are_named(void **state)
{
    (void)state;
    put_head(3, 2, 0);
    put_tensor("one", 2, 0, 0);
    put_tensor("two", 2, 0, 32);
    put_tail();
    expect(HONE_FORMAT, "'one' and 'two' overlap");
    put_head(3, 2, 0);
    put_tensor("same", 1, 0, 0);
    put_tensor("same", 1, 0, 32);
    put_tail();
    expect(HONE_FORMAT, "'same' appears twice");
    put_head(3, 1, 0);
    put_tensor("none", 0, 0, 0);
    put_tail();
    expect(HONE_FORMAT, "'none' has a dimension of 0");
    put_head(3, 1, 0);
    put_tensor("wide", UINT64_MAX / 4, 0, 0);
    put_tail();
    expect(HONE_FORMAT, "'wide'");
    put_head(3, 1, 0);
    put_tensor("vast", (1ull << 60) - 1, 0, 0);
    put_tail();
    expect(HONE_FORMAT, "'vast'");
    put_head(3, 1, 0);
    put_tensor("skew", 1, 0, 8);
    put_tail();
    expect(HONE_FORMAT, "'skew' is at offset 8");
    put_head(3, 1, 0);
    put_tensor("away", 1, 0, 1ull << 62);
    put_tail();
    expect(HONE_FORMAT, "'away'");
    put_head(3, 1, 0);
    put_tensor("tail", 1, 0, 256);
    put_tail();
    expect(HONE_FORMAT, "'tail'");
    put_head(3, 1, 0);
    put_tensor("kquant", 1, 12, 0); /* Q4_K: rows of 256 */
    put_tail();
    expect(HONE_FORMAT, "'kquant' has rows of");
    put_head(3, 1, 0);
    put_tensor("alien", 1, 4711, 0);
    put_tail();
    expect(HONE_UNSUPPORTED, "'alien' has the unknown ggml type id 4711");
    put_head(3, 1, 0);
    put_tensor("block", 4, 8, 0);
    put_tail();
    expect(HONE_FORMAT, "'block' has rows of 8");
    put_head(3, 1, 0);
    put_str("deep");
    put_u32(5);
    put_zeros(80);
    expect(HONE_FORMAT, "'deep' has 5 dimensions");
    for (uint32_t alignment = 0; alignment < 50; alignment += 24) {
        put_head(3, 1, 1);
        put_key("general.alignment", GGUF_U32);
        put_u32(alignment);
        put_tensor("t", 1, 0, 0);
        put_tail();
        expect(HONE_FORMAT, "power of two");
    }
}

/* ---- safetensors ---- */

static void make_safetensors(const char *header, size_t data_bytes)
{
    used = 0;
    put_u64(strlen(header));
    put(header, strlen(header));
    put_zeros(data_bytes);
}

static const char sound[] = "{\"__metadata__\":{\"format\":\"pt\"},"
                            "\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
                            "\"b\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[24,26]}}";

static void tensors_without_elements_and_of_many_dimensions_are_read(void **state)
{
    (void)state;
    hone_file *f = NULL;
    make_safetensors("{\"none\":{\"dtype\":\"I32\",\"shape\":[3,0],\"data_offsets\":[0,0]},"
                     "\"deep\":{\"dtype\":\"F8_E5M2\",\"shape\":[1,2,1,1,2],"
                     "\"data_offsets\":[0,4]},"
                     "\"nibbles\":{\"dtype\":\"F4\",\"shape\":[2,2],\"data_offsets\":[4,6]}}",
                     6);
    assert_int_equal(hone_file_open_bytes(HONE_FILE_SAFETENSORS, bytes, used, &f), HONE_OK);
    const hone_tensor *none = hone_file_tensor(f, "none"), *deep = hone_file_tensor(f, "deep");
    assert_int_equal(hone_tensor_elements(none), 0);
    assert_int_equal(none->bytes, 0);
    assert_int_equal(deep->n_dims, 5);
    assert_int_equal(deep->bytes, 4);
    assert_int_equal(hone_tensor_elements(hone_file_tensor(f, "nibbles")), 4);
    hone_file_close(f);
}

static void a_safetensors_cut_at_any_byte_is_refused(void **state)
{
    (void)state;
    make_safetensors(sound, 26);
    assert_int_equal(open_copy(HONE_FILE_SAFETENSORS, bytes, used), HONE_OK);
    for (size_t n = 0; n < used; n++)
        assert_int_equal(open_copy(HONE_FILE_SAFETENSORS, bytes, n), HONE_FORMAT);
    put_zeros(1);
    assert_int_equal(open_copy(HONE_FILE_SAFETENSORS, bytes, used), HONE_FORMAT);
}

static void a_safetensors_with_any_byte_changed_does_no_harm(void **state)
{
    (void)state;
    make_safetensors(sound, 26);
    size_t header = used - 26;
    for (size_t at = 0; at < header; at++) {
        uint8_t kept = bytes[at];
        for (int v = 0; v < 256; v++) {
            bytes[at] = (uint8_t)v;
            is_refusal_or_success(open_copy(HONE_FILE_SAFETENSORS, bytes, used));
        }
        bytes[at] = kept;
    }
}

#define ENTRY(dtype, shape, offsets)                                                               \
    "{\"t\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void safetensors_headers_that_lie_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        hone_status status;
        const char *part;
    } cases[] = {
        {ENTRY("F32", "[4]", "[0,12]"), HONE_FORMAT, "takes 12 bytes"},
        {ENTRY("F32", "[4]", "[8,24]"), HONE_FORMAT, "ends at data byte 24"},
        {ENTRY("F32", "[2]", "[8,16]"), HONE_FORMAT, "belong to no tensor"},
        {ENTRY("F32", "[2]", "[0,8]"), HONE_FORMAT, "belong to no tensor"},
        {ENTRY("F32", "[4]", "[16,0]"), HONE_FORMAT, "data_offsets [16, 0]"},
        {ENTRY("F32", "[4]", "[-16,0]"), HONE_FORMAT, "data_offsets"},
        {ENTRY("F32", "[4]", "[0]"), HONE_FORMAT, "no pair"},
        {ENTRY("F32", "[4]", "[0.0,16.0]"), HONE_FORMAT, "no pair"},
        {ENTRY("F32", "[-4]", "[0,16]"), HONE_FORMAT, "dimension 0"},
        {ENTRY("F32", "4", "[0,16]"), HONE_FORMAT, "no shape"},
        {ENTRY("F32", "[0]", "[0,16]"), HONE_FORMAT, "takes 16 bytes"},
        {ENTRY("F32", "[4,4611686018427387904,0]", "[0,0]"), HONE_FORMAT, "belong to no tensor"},
        {ENTRY("F32", "[4611686018427387904,4]", "[0,16]"), HONE_FORMAT, "63 bits"},
        {ENTRY("F32", "[4611686018427387904]", "[0,16]"), HONE_FORMAT, "larger than memory"},
        {ENTRY("F32", "[1,1,1,1,1,1,1,1,4]", "[0,16]"), HONE_UNSUPPORTED, "9 dimensions"},
        {ENTRY("F6_E2M3", "[16]", "[0,12]"), HONE_UNSUPPORTED, "'F6_E2M3'"},
        {ENTRY("F4", "[4,7]", "[0,14]"), HONE_FORMAT, "rows of 7 elements"},
        {"{\"t\":{\"shape\":[4],\"data_offsets\":[0,16]}}", HONE_FORMAT, "no dtype"},
        {"{\"t\":7}", HONE_FORMAT, "no object"},
        {"{\"t\":7,\"t\":8}", HONE_FORMAT, "duplicate"},
        {"{\"\":{}}", HONE_FORMAT, "0 bytes long"},
        {"{\"a\\u0000b\":{}}", HONE_FORMAT, "JSON"},
        {"{\"__metadata__\":{\"k\":7}}", HONE_FORMAT, "'k' is no string"},
        {"{\"__metadata__\":7}", HONE_FORMAT, "__metadata__"},
        {"{\"t\":[[[[[[]]]]]]}", HONE_FORMAT, "deeper"},
        {"{\"t\":", HONE_FORMAT, "JSON"},
        {"{}x", HONE_FORMAT, "JSON"},
        {"[]", HONE_FORMAT, "no JSON object"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[4,16]}}",
         HONE_FORMAT, "'a' and 'b' overlap"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        make_safetensors(cases[i].header, 16);
        hone_status s = open_copy(HONE_FILE_SAFETENSORS, bytes, used);
        if (s != cases[i].status || !strstr(hone_error(), cases[i].part))
            fail_msg("%s: got %s: %s", cases[i].header, hone_status_name(s), hone_error());
    }
    make_safetensors(sound, 26);
    const uint64_t lengths[] = {100000001, UINT64_MAX, 1ull << 63};
    for (size_t i = 0; i < 3; i++) {
        memcpy(bytes, &lengths[i], 8);
        assert_int_equal(open_copy(HONE_FILE_SAFETENSORS, bytes, used), HONE_LIMIT);
    }
    const uint64_t beyond = used - 8 + 1;
    memcpy(bytes, &beyond, 8);
    assert_int_equal(open_copy(HONE_FILE_SAFETENSORS, bytes, used), HONE_FORMAT);
}

static void a_header_of_many_values_is_refused_before_it_is_parsed(void **state)
{
    (void)state;
    size_t n = 16 << 20;
    uint8_t *big = malloc(n + 8);
    uint64_t length = n;
    memcpy(big, &length, 8);
    memset(big + 8, ' ', n);
    for (size_t i = 0; i < 6; i++)
        big[8 + i] = (uint8_t) "{\"a\":["[i];
    for (size_t i = 14; i + 2 < n; i += 2) {
        big[i] = '0';
        big[i + 1] = ',';
    }
    uint64_t before = hone_mem_count();
    assert_int_equal(open_copy(HONE_FILE_SAFETENSORS, big, n + 8), HONE_LIMIT);
    assert_in_range(hone_mem_count() - before, 0, 16);
    free(big);
}

/* ---- config.json ---- */

static void configs_that_lie_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        hone_status status;
    } cases[] = {
        {"", HONE_FORMAT},
        {"{", HONE_FORMAT},
        {"[1]", HONE_FORMAT},
        {"{\"a\":1,\"a\":2}", HONE_FORMAT},
        {"{\"a.b\":1,\"a\":{\"b\":2}}", HONE_FORMAT},
        {"{\"a\":1e999}", HONE_FORMAT},
        {"{\"a\":99999999999999999999}", HONE_OK}, /* a real; as an integer it would not fit */
        {"{\"a\":\"\xff\"}", HONE_FORMAT},
        {"{\"a\\u0007\":1}", HONE_FORMAT},
        {"{\"\":1}", HONE_FORMAT},
        {"{\"a\":[1,\"b\",null,{\"c\":[true]}]}", HONE_OK},
        {"{\"a\":-Infinity,\"b\":[0.0, Infinity]}", HONE_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (open_copy(HONE_FILE_HF, cases[i].text, strlen(cases[i].text)) != cases[i].status)
            fail_msg("%s: %s", cases[i].text, hone_error());
    char deep[4096];
    memset(deep, '[', sizeof deep);
    assert_int_equal(open_copy(HONE_FILE_HF, deep, sizeof deep), HONE_FORMAT);
    assert_non_null(strstr(hone_error(), "nested deeper"));
    char path[4096];
    size_t n = 0;
    for (int i = 0; i < 20; i++)
        n += (size_t)snprintf(path + n, sizeof path - n, "{\"%040d\":", i);
    snprintf(path + n, sizeof path - n, "1}}}}}}}}}}}}}}}}}}}}");
    assert_int_equal(open_copy(HONE_FILE_HF, path, strlen(path)), HONE_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gguf_cut_at_any_byte_is_refused),
        cmocka_unit_test(a_gguf_with_any_byte_changed_does_no_harm),
        cmocka_unit_test(a_gguf_with_any_eight_bytes_huge_does_no_harm),
        cmocka_unit_test(gguf_headers_that_lie_are_named),
        cmocka_unit_test(gguf_metadata_that_lies_is_named),
        cmocka_unit_test(gguf_tensors_that_lie_are_named),
        cmocka_unit_test(tensors_without_elements_and_of_many_dimensions_are_read),
        cmocka_unit_test(a_safetensors_cut_at_any_byte_is_refused),
        cmocka_unit_test(a_safetensors_with_any_byte_changed_does_no_harm),
        cmocka_unit_test(safetensors_headers_that_lie_are_named),
        cmocka_unit_test(a_header_of_many_values_is_refused_before_it_is_parsed),
        cmocka_unit_test(configs_that_lie_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
