// links: file
/* Opening real models and folders; writing what reads back; nothing left when writing fails. */
#include "base/interrupt.h"
#include "base/io.h"
#include "base/mem.h"
#include "file/write.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../stories.h"

#define DATA   HONE_SOURCE_DIR "/tests/golden/data/"
#define GGUF   STORIES_GGUF
#define FOLDER STORIES_HF

static char dir[] = HONE_BUILD_DIR "/test_file_XXXXXX";

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state)
{
    (void)state;
    char command[4200];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command) != 0;
}

static const char *in_dir(const char *name)
{
    static char path[4][4200];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static void ok(hone_status s)
{
    if (s != HONE_OK)
        fail_msg("%s: %s", hone_status_name(s), hone_error());
}

static hone_file *must_open(const char *path)
{
    hone_file *f = NULL;
    ok(hone_file_open(path, &f));
    return f;
}

static void refuses(const char *path, hone_status want, const char *part)
{
    hone_file *f = NULL;
    hone_status s = hone_file_open(path, &f);
    assert_null(f);
    if (s != want || !strstr(hone_error(), part))
        fail_msg("%s: wanted %s with '%s', got %s: %s", path, hone_status_name(want), part,
                 hone_status_name(s), hone_error());
}

/* ---- reading ---- */

static void both_kinds_give_the_same_shapes_and_bytes(void **state)
{
    (void)state;
    need_stories();
    static const char *const pairs[][2] = {
        {"blk.3.attn_norm.weight", "model.layers.3.input_layernorm.weight"},
        {"blk.3.attn_v.weight", "model.layers.3.self_attn.v_proj.weight"},
        {"blk.3.attn_output.weight", "model.layers.3.self_attn.o_proj.weight"},
        {"blk.3.ffn_norm.weight", "model.layers.3.post_attention_layernorm.weight"},
        {"blk.3.ffn_gate.weight", "model.layers.3.mlp.gate_proj.weight"},
        {"blk.3.ffn_up.weight", "model.layers.3.mlp.up_proj.weight"},
        {"blk.3.ffn_down.weight", "model.layers.3.mlp.down_proj.weight"},
        {"token_embd.weight", "model.embed_tokens.weight"},
        {"output_norm.weight", "model.norm.weight"},
    };
    hone_file *g = must_open(GGUF), *h = must_open(FOLDER);
    assert_int_equal(hone_file_kind(g), HONE_FILE_GGUF);
    assert_int_equal(hone_file_kind(h), HONE_FILE_HF);
    assert_int_equal(hone_file_tensor_count(g), 47);
    assert_int_equal(hone_file_tensor_count(h), 47);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const hone_tensor *a = hone_file_tensor(g, pairs[i][0]), *b = NULL;
        assert_non_null(a);
        ok(hone_file_need_tensor(h, pairs[i][1], a->n_dims, a->shape, &b));
        assert_int_equal(a->dtype, b->dtype);
        assert_int_equal(a->bytes, b->bytes);
        assert_memory_equal(a->data, b->data, a->bytes);
    }
    /* 172 x 64: the order of dimensions is Hugging Face's. */
    const hone_tensor *gate = hone_file_tensor(g, "blk.0.ffn_gate.weight");
    assert_int_equal(gate->shape[0], 172);
    assert_int_equal(gate->shape[1], 64);
    hone_file_close(g);
    hone_file_close(h);
}

static void metadata_reads_by_key_and_by_path(void **state)
{
    (void)state;
    need_stories();
    hone_file *g = must_open(GGUF), *h = must_open(DATA "models/llama");
    uint64_t u;
    double d;
    bool b;
    const char *s;
    hone_array a;
    ok(hone_file_u64(g, "llama.block_count", &u));
    assert_int_equal(u, 5);
    ok(hone_file_f64(g, "llama.attention.layer_norm_rms_epsilon", &d));
    assert_true((float)d == 1e-5f);
    ok(hone_file_str(g, "general.architecture", &s));
    assert_string_equal(s, "llama");
    ok(hone_file_bool(g, "tokenizer.ggml.add_bos_token", &b));
    assert_true(b);
    ok(hone_file_array(g, "tokenizer.ggml.tokens", &a));
    size_t n;
    assert_int_equal(a.count, 512);
    assert_true(hone_array_str(&a, 2, &s, &n));
    assert_int_equal(n, 4);
    assert_memory_equal(s, "</s>", 4);
    assert_false(hone_array_str(&a, 512, &s, &n));
    assert_false(hone_array_u64(&a, 0, &u));
    ok(hone_file_u64(h, "num_attention_heads", &u));
    assert_int_equal(u, 6);
    ok(hone_file_f64(h, "rope_scaling.factor", &d));
    assert_true(d == 4.0);
    ok(hone_file_u64(h, "rope_scaling.factor", &u)); /* 4.0 has no fraction */
    assert_int_equal(u, 4);
    ok(hone_file_str(h, "rope_scaling.rope_type", &s));
    assert_string_equal(s, "llama3");
    ok(hone_file_array(h, "architectures", &a));
    assert_true(a.count == 1 && hone_array_str(&a, 0, &s, &n));
    assert_memory_equal(s, "LlamaForCausalLM", n);
    ok(hone_file_u64_or(h, "no_such_key", 7, &u));
    assert_int_equal(u, 7);
    hone_file_close(g);
    hone_file_close(h);
}

static void a_missing_key_and_a_wrong_type_are_told_apart(void **state)
{
    (void)state;
    need_stories();
    hone_file *g = must_open(GGUF);
    uint64_t u;
    bool b;
    hone_array a;
    assert_int_equal(hone_file_u64(g, "llama.no_such", &u), HONE_NOT_FOUND);
    assert_non_null(strstr(hone_error(), "llama.no_such"));
    assert_int_equal(hone_file_u64(g, "general.name", &u), HONE_FORMAT);
    assert_non_null(strstr(hone_error(), "stories260K"));
    assert_int_equal(hone_file_u64_or(g, "general.name", 1, &u), HONE_FORMAT);
    assert_int_equal(hone_file_bool(g, "llama.block_count", &b), HONE_FORMAT);
    assert_int_equal(hone_file_array(g, "general.name", &a), HONE_FORMAT);
    assert_int_equal(hone_file_u64(g, "tokenizer.ggml.scores", &u), HONE_FORMAT);
    hone_file_close(g);
}

static void a_tensor_of_another_shape_is_refused_with_both_shapes(void **state)
{
    (void)state;
    need_stories();
    hone_file *g = must_open(GGUF);
    const hone_tensor *t;
    const uint64_t shape[] = {512, 65};
    assert_int_equal(hone_file_need_tensor(g, "token_embd.weight", 2, shape, &t), HONE_FORMAT);
    assert_non_null(strstr(hone_error(), "[512, 64]"));
    assert_non_null(strstr(hone_error(), "[512, 65]"));
    assert_int_equal(hone_file_need_tensor(g, "output.weight", 2, shape, &t), HONE_NOT_FOUND);
    hone_file_close(g);
}

static void the_hash_is_what_sha256sum_prints(void **state)
{
    (void)state;
    need_stories();
    char hex[65], finger[33], again[33];
    hone_file *g = must_open(GGUF), *h = must_open(FOLDER);
    ok(hone_file_hash(g, hex)); /* sha256sum stories260k.gguf */
    assert_string_equal(hex, "0fcb25c9c22f901a02e79729f3397be7c995e526a0c901f64eb8bc94ff0bba4d");
    ok(hone_file_hash(h, hex)); /* sha256sum config.json model.safetensors | sha256sum */
    assert_string_equal(hex, "6fb98a7214619d5566c252243457128b68a7d0a866b0e5138118301c17428609");
    ok(hone_file_fingerprint(g, finger));
    ok(hone_file_fingerprint(g, again));
    assert_string_equal(finger, again);
    ok(hone_file_fingerprint(h, again));
    assert_string_not_equal(finger, again);
    hone_file_close(g);
    hone_file_close(h);
}

static void metadata_text_is_cut_and_escaped(void **state)
{
    (void)state;
    hone_gguf_writer *w;
    const int32_t ints[] = {1, -2, 3};
    ok(hone_gguf_writer_open(in_dir("text.gguf"), &w));
    ok(hone_gguf_writer_str(w, "s", "line\nbell\a \xc3\xa9 0123456789"));
    ok(hone_gguf_writer_i32_array(w, "a", ints, 3));
    ok(hone_gguf_writer_commit(w));
    hone_file *f = must_open(in_dir("text.gguf"));
    char text[64];
    assert_string_equal(hone_file_meta_text(f, 0, text, sizeof text),
                        "line\\nbell\\x07 \xc3\xa9 0123456789");
    assert_string_equal(hone_file_meta_text(f, 0, text, 16), "line\\nbell...");
    assert_string_equal(hone_file_meta_text(f, 1, text, sizeof text), "[3 i32: 1, -2, 3]");
    hone_file_close(f);
}

/* ---- folders ---- */

static void write_text(const char *path, const char *text)
{
    ok(hone_write_file(path, text, strlen(text)));
}

/* One safetensors file with one tensor of four numbers. */
static void write_shard(const char *path, const char *name, float first)
{
    hone_safetensors_writer *w;
    const uint64_t shape[] = {2, 2};
    const float values[] = {first, 1, 2, 3};
    ok(hone_safetensors_writer_open(path, &w));
    ok(hone_safetensors_writer_tensor(w, name, HONE_DTYPE_F32, 2, shape));
    ok(hone_safetensors_writer_write(w, values, sizeof values));
    ok(hone_safetensors_writer_commit(w));
}

#define INDEX "folder/model.safetensors.index.json"

static void make_sharded(void)
{
    ok(hone_make_directory(in_dir("folder")));
    write_text(in_dir("folder/config.json"), "{\"model_type\":\"test\",\"n\":null}");
    write_shard(in_dir("folder/s1.safetensors"), "a", 10);
    write_shard(in_dir("folder/s2.safetensors"), "b", 20);
    write_text(in_dir(INDEX), "{\"metadata\":{},\"weight_map\":{\"b\":\"s2.safetensors\","
                              "\"a\":\"s1.safetensors\"}}");
}

static void a_directory_without_a_name_is_not_made(void **state)
{
    (void)state;
    assert_int_equal(hone_make_directory(""), HONE_USAGE);
    ok(hone_make_directory("/"));
}

static void shards_are_joined_by_the_index(void **state)
{
    (void)state;
    make_sharded();
    hone_file *f = must_open(in_dir("folder"));
    assert_int_equal(hone_file_tensor_count(f), 2);
    float x;
    memcpy(&x, hone_file_tensor(f, "b")->data, 4);
    assert_true(x == 20);
    assert_false(hone_file_has(f, "n")); /* null = missing */
    char hex[65];
    ok(hone_file_hash(f, hex));
    hone_file_close(f);
}

static void an_index_that_lies_or_escapes_is_refused(void **state)
{
    (void)state;
    make_sharded();
    write_text(in_dir(INDEX), "{\"weight_map\":{\"a\":\"../s1.safetensors\"}}");
    refuses(in_dir("folder"), HONE_FORMAT, "of this folder");
    write_text(in_dir(INDEX), "{\"weight_map\":{\"a\":\"/etc/x.safetensors\"}}");
    refuses(in_dir("folder"), HONE_FORMAT, "of this folder");
    write_text(in_dir(INDEX), "{\"weight_map\":{\"a\":\"config.json\"}}");
    refuses(in_dir("folder"), HONE_FORMAT, "of this folder");
    write_text(in_dir(INDEX), "{\"weight_map\":{\"a\":7}}");
    refuses(in_dir("folder"), HONE_FORMAT, "no string");
    write_text(in_dir(INDEX), "{\"weight_map\":{\"a\":\"s3.safetensors\"}}");
    refuses(in_dir("folder"), HONE_NOT_FOUND, "s3.safetensors is missing");
    write_text(in_dir(INDEX), "{\"weight_map\":{\"c\":\"s1.safetensors\"}}");
    refuses(in_dir("folder"), HONE_FORMAT, "does not hold tensor 'c'");
    write_text(in_dir(INDEX), "{\"weight_map\":{}}");
    refuses(in_dir("folder"), HONE_FORMAT, "weight_map");
    write_text(in_dir(INDEX), "{\"weight_map\":");
    refuses(in_dir("folder"), HONE_FORMAT, "JSON");
    make_sharded();
    write_text(in_dir("folder/config.json"), "{\"a\":");
    refuses(in_dir("folder"), HONE_FORMAT, "config.json");
    assert_int_equal(unlink(in_dir("folder/config.json")), 0);
    refuses(in_dir("folder"), HONE_NOT_FOUND, "config.json");
    write_text(in_dir("folder/config.json"), "{}");
    assert_int_equal(unlink(in_dir(INDEX)), 0);
    refuses(in_dir("folder"), HONE_NOT_FOUND, "index.json");
}

static void what_is_no_model_is_refused(void **state)
{
    (void)state;
    need_stories();
    refuses(in_dir("nothing.gguf"), HONE_NOT_FOUND, "nothing.gguf");
    write_text(in_dir("empty.gguf"), "");
    refuses(in_dir("empty.gguf"), HONE_FORMAT, "truncated");
    write_text(in_dir("empty.safetensors"), "");
    refuses(in_dir("empty.safetensors"), HONE_FORMAT, "0 bytes");
    write_text(in_dir("notes.txt"), "just a text, no model at all");
    refuses(in_dir("notes.txt"), HONE_FORMAT, "neither GGUF nor safetensors");
    refuses(FOLDER "/config.json", HONE_FORMAT, "folder");
    refuses("/dev/null", HONE_FORMAT, "/dev/null");
    if (geteuid() != 0) {
        write_text(in_dir("secret.gguf"), "GGUF");
        assert_int_equal(chmod(in_dir("secret.gguf"), 0), 0);
        refuses(in_dir("secret.gguf"), HONE_PERMISSION, "secret.gguf");
    }
}

/* ---- writing ---- */

static void only_regular_files_are_mapped_or_replaced(void **state)
{
    (void)state;
    hone_map m;
    hone_writer *w;
    assert_int_equal(mkfifo(in_dir("pipe"), 0600), 0); /* nobody writes: opening it would wait */
    assert_int_equal(hone_map_open(in_dir("pipe"), &m), HONE_FORMAT);
    assert_int_equal(hone_writer_open(in_dir("pipe"), &w), HONE_USAGE);
    assert_non_null(strstr(hone_error(), "no regular file"));
    assert_int_equal(hone_writer_open(dir, &w), HONE_USAGE);
    assert_non_null(strstr(hone_error(), "a folder"));
    assert_int_equal(hone_writer_open("/dev/full", &w), HONE_USAGE);
    assert_null(w);
    struct stat st;
    assert_int_equal(stat("/dev/full", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
}

static const hone_dtype written[] = {
    HONE_DTYPE_F32,  HONE_DTYPE_F16,  HONE_DTYPE_BF16, HONE_DTYPE_Q8_0,
    HONE_DTYPE_Q4_0, HONE_DTYPE_Q4_1, HONE_DTYPE_Q5_0, HONE_DTYPE_Q5_1,
};
enum { TYPES = sizeof written / sizeof written[0] };

/* Part `no` of `parts` by its own account, with tensors t0..t(n-1) of the value `no`. */
static void write_part(const char *name, uint32_t no, uint32_t parts, uint32_t first, uint32_t n,
                       uint32_t total)
{
    hone_gguf_writer *w;
    float value = (float)no;
    ok(hone_gguf_writer_open(in_dir(name), &w));
    if (no == 0)
        ok(hone_gguf_writer_str(w, "general.name", "three parts"));
    ok(hone_gguf_writer_u32(w, "split.no", no));
    ok(hone_gguf_writer_u32(w, "split.count", parts));
    ok(hone_gguf_writer_u32(w, "split.tensors.count", total));
    for (uint32_t i = 0; i < n; i++) {
        char tensor[16];
        snprintf(tensor, sizeof tensor, "t%u", first + i);
        ok(hone_gguf_writer_tensor(w, tensor, HONE_DTYPE_F32, 1, (uint64_t[]){1}));
    }
    for (uint32_t i = 0; i < n; i++)
        ok(hone_gguf_writer_write_f32(w, &value, 1));
    ok(hone_gguf_writer_commit(w));
}

static void a_split_model_s_hash_is_that_of_all_its_parts(void **state)
{
    (void)state;
    static const char *const names[] = {"h-00001-of-00002.gguf", "h-00002-of-00002.gguf"};
    char hex[3][65];
    write_part(names[0], 0, 2, 0, 0, 1);
    write_part(names[1], 1, 2, 0, 1, 1);
    for (int i = 0; i < 3; i++) {
        if (i == 2) { /* another weight in the last part */
            FILE *last = fopen(in_dir(names[1]), "r+b");
            assert_non_null(last);
            assert_int_equal(fseek(last, -4, SEEK_END), 0);
            assert_int_equal(fputc('x', last), 'x');
            fclose(last);
        }
        hone_file *f = must_open(in_dir(names[i % 2]));
        ok(hone_file_hash(f, hex[i]));
        hone_file_close(f);
    }
    assert_string_equal(hex[0], hex[1]);
    assert_string_not_equal(hex[0], hex[2]);
}

static void a_split_model_opens_by_any_of_its_parts(void **state)
{
    (void)state;
    static const char *const names[] = {"s-00001-of-00003.gguf", "s-00002-of-00003.gguf",
                                        "s-00003-of-00003.gguf"};
    write_part(names[0], 0, 3, 0, 0, 5); /* the first may hold no tensors */
    write_part(names[1], 1, 3, 0, 2, 5);
    write_part(names[2], 2, 3, 2, 3, 5);
    for (int i = 0; i < 3; i++) {
        hone_file *f = must_open(in_dir(names[i]));
        const char *name;
        ok(hone_file_str(f, "general.name", &name));
        assert_string_equal(name, "three parts");
        assert_int_equal(hone_file_tensor_count(f), 5);
        for (int t = 0; t < 5; t++) {
            char tensor[16];
            float value;
            snprintf(tensor, sizeof tensor, "t%d", t);
            assert_non_null(hone_file_tensor(f, tensor));
            memcpy(&value, hone_file_tensor(f, tensor)->data, sizeof value);
            assert_true(value == (t < 2 ? 1.0f : 2.0f));
        }
        for (int k = 0; k < 3; k++)
            assert_true(hone_file_is_source(f, in_dir(names[k])));
        assert_false(hone_file_is_source(f, in_dir("s.gguf")));
        hone_file_close(f);
    }
}

static void parts_that_do_not_belong_together_are_named(void **state)
{
    (void)state;
    write_part("m-00001-of-00002.gguf", 0, 2, 0, 1, 2);
    refuses(in_dir("m-00001-of-00002.gguf"), HONE_NOT_FOUND, "m-00002-of-00002.gguf is missing");
    write_part("m-00002-of-00002.gguf", 0, 2, 1, 1, 2); /* says that it is the first */
    refuses(in_dir("m-00001-of-00002.gguf"), HONE_FORMAT, "says that it is part 1 of 2");
    write_part("m-00002-of-00002.gguf", 1, 3, 1, 1, 2);
    refuses(in_dir("m-00001-of-00002.gguf"), HONE_FORMAT, "part 2 of 3");
    write_part("m-00002-of-00002.gguf", 1, 2, 0, 1, 2); /* a tensor of the first again */
    refuses(in_dir("m-00001-of-00002.gguf"), HONE_FORMAT, "'t0' appears twice");
    write_part("m-00002-of-00002.gguf", 1, 2, 1, 2, 3);
    refuses(in_dir("m-00001-of-00002.gguf"), HONE_FORMAT, "hold 3 tensors, not 2");
    write_part("renamed.gguf", 0, 2, 0, 1, 2);
    refuses(in_dir("renamed.gguf"), HONE_FORMAT, "its name does not end with");
    write_part("many-00001-of-70000.gguf", 0, 70000, 0, 1, 2);
    refuses(in_dir("many-00001-of-70000.gguf"), HONE_LIMIT, "70000 parts");
}

static void what_the_gguf_writer_wrote_reads_back(void **state)
{
    (void)state;
    hone_gguf_writer *w;
    const char *const words[] = {"a", "", "\xf0\x9f\x98\x80"};
    const float floats[] = {0.5f, -1};
    const uint64_t shape[] = {3, 64};
    float x[3 * 64];
    uint8_t expected[3 * 64 * 4];
    for (int i = 0; i < 192; i++)
        x[i] = sinf((float)i);
    ok(hone_gguf_writer_open(in_dir("w.gguf"), &w));
    ok(hone_gguf_writer_u32(w, "u32", 4000000000u));
    ok(hone_gguf_writer_u64(w, "u64", UINT64_MAX));
    ok(hone_gguf_writer_i32(w, "i32", -5));
    ok(hone_gguf_writer_f32(w, "f32", 0.25f));
    ok(hone_gguf_writer_bool(w, "bool", true));
    ok(hone_gguf_writer_str(w, "str", "text"));
    ok(hone_gguf_writer_str_array(w, "words", words, NULL, 3));
    ok(hone_gguf_writer_f32_array(w, "floats", floats, 2));
    for (int i = 0; i < TYPES; i++)
        ok(hone_gguf_writer_tensor(w, hone_dtype_name(written[i]), written[i], 2, shape));
    for (int i = 0; i < TYPES; i++)
        for (int row = 0; row < 3; row++)
            ok(hone_gguf_writer_write_f32(w, x + row * 64, 64));
    assert_false(hone_is_file(in_dir("w.gguf"))); /* not before commit */
    ok(hone_gguf_writer_commit(w));
    hone_file *f = must_open(in_dir("w.gguf"));
    for (int i = 0; i < TYPES; i++) {
        const hone_tensor *t;
        ok(hone_file_need_tensor(f, hone_dtype_name(written[i]), 2, shape, &t));
        assert_int_equal(t->dtype, written[i]);
        assert_int_equal((uintptr_t)t->data % 32, 0);
        assert_true(hone_dtype_encode(written[i], x, 192, expected));
        assert_memory_equal(t->data, expected, t->bytes);
    }
    uint64_t u;
    int64_t n;
    hone_array a;
    ok(hone_file_u64(f, "u64", &u));
    assert_true(u == UINT64_MAX);
    assert_int_equal(hone_file_i64(f, "u64", &n), HONE_FORMAT);
    ok(hone_file_i64(f, "i32", &n));
    assert_int_equal(n, -5);
    assert_int_equal(hone_file_u64(f, "i32", &u), HONE_FORMAT);
    ok(hone_file_array(f, "words", &a));
    assert_int_equal(a.count, 3);
    hone_file_close(f);
}

static void copied_metadata_is_the_same_bytes(void **state)
{
    (void)state;
    need_stories();
    hone_file *g = must_open(GGUF), *c;
    hone_gguf_writer *w;
    ok(hone_gguf_writer_open(in_dir("copy.gguf"), &w));
    for (size_t i = 0; i < hone_file_meta_count(g); i++)
        ok(hone_gguf_writer_copy(w, g, i));
    for (size_t i = 0; i < hone_file_tensor_count(g); i++) {
        const hone_tensor *t = hone_file_tensor_at(g, i);
        ok(hone_gguf_writer_tensor(w, t->name, (hone_dtype)t->dtype, t->n_dims, t->shape));
    }
    for (size_t i = 0; i < hone_file_tensor_count(g); i++) {
        const hone_tensor *t = hone_file_tensor_at(g, i);
        ok(hone_gguf_writer_write(w, t->data, (size_t)t->bytes));
    }
    ok(hone_gguf_writer_commit(w));
    c = must_open(in_dir("copy.gguf"));
    char a[65],
        b[65]; /* the original was written by the gguf package: the copy is it, byte for byte */
    ok(hone_file_hash(g, a));
    ok(hone_file_hash(c, b));
    assert_string_equal(a, b);
    hone_file_close(g);
    hone_file_close(c);
}

static void a_writer_used_wrongly_says_so_and_leaves_nothing(void **state)
{
    (void)state;
    hone_gguf_writer *w;
    const uint64_t shape[] = {2, 33};
    const uint64_t vast[] = {1ull << 62, 4};
    float x[66] = {0};
    ok(hone_gguf_writer_open(in_dir("bad.gguf"), &w));
    ok(hone_gguf_writer_u32(w, "k", 1));
    assert_int_equal(hone_gguf_writer_u32(w, "k", 2), HONE_USAGE);
    assert_int_equal(hone_gguf_writer_u32(w, "", 2), HONE_USAGE);
    assert_int_equal(hone_gguf_writer_str(w, "s", "\xff"), HONE_USAGE);
    assert_int_equal(hone_gguf_writer_tensor(w, "t", HONE_DTYPE_Q8_0, 2, shape), HONE_FORMAT);
    assert_int_equal(hone_gguf_writer_tensor(w, "t", HONE_DTYPE_F32, 2, vast), HONE_FORMAT);
    assert_int_equal(hone_gguf_writer_tensor(w, "t", HONE_DTYPE_BOOL, 2, shape), HONE_UNSUPPORTED);
    ok(hone_gguf_writer_tensor(w, "t", HONE_DTYPE_F16, 2, shape));
    assert_int_equal(hone_gguf_writer_tensor(w, "t", HONE_DTYPE_F16, 2, shape), HONE_USAGE);
    assert_int_equal(hone_gguf_writer_write_f32(w, x, 67), HONE_USAGE);
    ok(hone_gguf_writer_write_f32(w, x, 65));
    assert_int_equal(hone_gguf_writer_commit(w), HONE_USAGE); /* one element is missing */
    assert_false(hone_is_file(in_dir("bad.gguf")));
    hone_safetensors_writer *st;
    ok(hone_safetensors_writer_open(in_dir("bad.safetensors"), &st));
    assert_int_equal(hone_safetensors_writer_tensor(st, "t", HONE_DTYPE_Q8_0, 2, shape),
                     HONE_UNSUPPORTED);
    ok(hone_safetensors_writer_tensor(st, "t", HONE_DTYPE_F16, 2, shape));
    x[3] = 1e6f;
    assert_int_equal(hone_safetensors_writer_write_f32(st, x, 66), HONE_FORMAT);
    hone_safetensors_writer_abort(st);
    assert_false(hone_is_file(in_dir("bad.safetensors")));
}

static size_t files_in_dir(const char *sub)
{
    char command[4300];
    unsigned long n = 0;
    snprintf(command, sizeof command, "ls -A '%s' | wc -l", in_dir(sub));
    FILE *p = popen(command, "r");
    assert_non_null(p);
    assert_int_equal(fscanf(p, "%lu", &n), 1);
    pclose(p);
    return n;
}

static hone_status write_megabyte(bool gguf, const char *path)
{
    static float x[1 << 18];
    const uint64_t shape[] = {1 << 18};
    hone_status s;
    if (gguf) {
        hone_gguf_writer *w;
        HONE_TRY(hone_gguf_writer_open(path, &w));
        if ((s = hone_gguf_writer_tensor(w, "t", HONE_DTYPE_F32, 1, shape)) == HONE_OK &&
            (s = hone_gguf_writer_write_f32(w, x, 1 << 18)) == HONE_OK)
            return hone_gguf_writer_commit(w);
        hone_gguf_writer_abort(w);
        return s;
    }
    hone_safetensors_writer *w;
    HONE_TRY(hone_safetensors_writer_open(path, &w));
    if ((s = hone_safetensors_writer_tensor(w, "t", HONE_DTYPE_F32, 1, shape)) == HONE_OK &&
        (s = hone_safetensors_writer_write_f32(w, x, 1 << 18)) == HONE_OK)
        return hone_safetensors_writer_commit(w);
    hone_safetensors_writer_abort(w);
    return s;
}

static void a_full_disk_leaves_the_old_file_and_nothing_else(void **state)
{
    (void)state;
    ok(hone_make_directory(in_dir("full")));
    struct rlimit kept, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &kept), 0);
    signal(SIGXFSZ, SIG_IGN);
    for (int gguf = 0; gguf < 2; gguf++) {
        char path[4200]; /* in_dir's own space is used again */
        snprintf(path, sizeof path, "%s", in_dir(gguf ? "full/m.gguf" : "full/m.safetensors"));
        write_text(path, "old");
        for (rlim_t limit = 1 << 10; limit < 1 << 20; limit *= 8) {
            small = (struct rlimit){limit, kept.rlim_max};
            assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
            hone_status s = write_megabyte(gguf, path);
            assert_int_equal(setrlimit(RLIMIT_FSIZE, &kept), 0);
            assert_int_equal(s, HONE_DISK);
            assert_int_equal(files_in_dir("full"), gguf + 1);
            struct stat st;
            assert_int_equal(stat(path, &st), 0);
            assert_int_equal(st.st_size, 3);
        }
        ok(write_megabyte(gguf, path));
        hone_file_close(must_open(path));
    }
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(write_megabyte(true, in_dir("no/such/folder.gguf")), HONE_NOT_FOUND);
}

/* ---- memory ---- */

static hone_status open_hash_close(const char *path)
{
    hone_file *f = NULL;
    char hex[65];
    hone_status s = hone_file_open(path, &f);
    if (s == HONE_OK)
        s = hone_file_fingerprint(f, hex);
    if (s == HONE_OK)
        s = hone_file_hash(f, hex);
    hone_file_close(f);
    return s;
}

static hone_status write_small_gguf(const char *path)
{
    hone_gguf_writer *w;
    const uint64_t shape[] = {32};
    const float x[32] = {0};
    hone_status s;
    HONE_TRY(hone_gguf_writer_open(path, &w));
    if ((s = hone_gguf_writer_str(w, "k", "v")) == HONE_OK &&
        (s = hone_gguf_writer_tensor(w, "t", HONE_DTYPE_Q8_0, 1, shape)) == HONE_OK &&
        (s = hone_gguf_writer_write_f32(w, x, 32)) == HONE_OK)
        return hone_gguf_writer_commit(w);
    hone_gguf_writer_abort(w);
    return s;
}

static hone_status write_small_safetensors(const char *path)
{
    hone_safetensors_writer *w;
    const uint64_t shape[] = {2, 2};
    const float x[4] = {0};
    hone_status s;
    HONE_TRY(hone_safetensors_writer_open(path, &w));
    if ((s = hone_safetensors_writer_str(w, "k", "v")) == HONE_OK &&
        (s = hone_safetensors_writer_tensor(w, "t", HONE_DTYPE_F32, 2, shape)) == HONE_OK &&
        (s = hone_safetensors_writer_write_f32(w, x, 4)) == HONE_OK)
        return hone_safetensors_writer_commit(w);
    hone_safetensors_writer_abort(w);
    return s;
}

static void survives_every_failed_allocation(hone_status (*act)(const char *), const char *given)
{
    char path[4200];
    snprintf(path, sizeof path, "%s", given);
    int64_t n = 0;
    for (;; n++) {
        hone_mem_fail_after(n);
        hone_status s = act(path);
        hone_mem_fail_after(-1);
        if (s == HONE_OK)
            break;
        if (s != HONE_MEMORY)
            fail_msg("%s, allocation %d: %s: %s", path, (int)n, hone_status_name(s), hone_error());
    }
    assert_true(n > 4); /* it did fail, several times */
}

static void every_failed_allocation_is_survived(void **state)
{
    (void)state;
    need_stories();
    make_sharded();
    survives_every_failed_allocation(open_hash_close, GGUF);
    survives_every_failed_allocation(open_hash_close, DATA "models/llama");
    survives_every_failed_allocation(open_hash_close, in_dir("folder"));
    survives_every_failed_allocation(open_hash_close, FOLDER "/model.safetensors");
    ok(hone_make_directory(in_dir("oom")));
    survives_every_failed_allocation(write_small_gguf, in_dir("oom/a.gguf"));
    survives_every_failed_allocation(write_small_safetensors, in_dir("oom/a.safetensors"));
    assert_int_equal(files_in_dir("oom"), 2); /* no temporary file is left */
}

static void a_replaced_file_keeps_its_mode(void **state)
{
    (void)state;
    struct stat st;
    write_text(in_dir("private"), "former");
    assert_int_equal(chmod(in_dir("private"), 0600), 0);
    write_text(in_dir("private"), "later");
    assert_int_equal(stat(in_dir("private"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_size, 5);
    unlink(in_dir("private"));
}

static void interrupt(int number)
{
    (void)number;
    if (!hone_interrupted())
        raise(SIGINT);
}

/* The alarm comes again, so that one of them meets the wait. */
static void waiting_for_the_writer_of_a_pipe_ends_with_an_interrupt(void **state)
{
    (void)state;
    char *text;
    size_t bytes;
    const struct sigaction on_alarm = {.sa_handler = interrupt};
    struct sigaction former;
    const struct itimerval again = {{0, 20000}, {0, 20000}}, never = {{0, 0}, {0, 0}};
    assert_int_equal(mkfifo(in_dir("unwritten"), 0600), 0);
    hone_interrupt_install();
    assert_int_equal(sigaction(SIGALRM, &on_alarm, &former), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &again, NULL), 0);
    hone_status s = hone_read_file(in_dir("unwritten"), 100, &text, &bytes);
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &former, NULL);
    assert_int_equal(s, HONE_INTERRUPTED);
    ok(hone_interrupt_clear());
    unlink(in_dir("unwritten"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_kinds_give_the_same_shapes_and_bytes),
        cmocka_unit_test(metadata_reads_by_key_and_by_path),
        cmocka_unit_test(a_missing_key_and_a_wrong_type_are_told_apart),
        cmocka_unit_test(a_tensor_of_another_shape_is_refused_with_both_shapes),
        cmocka_unit_test(the_hash_is_what_sha256sum_prints),
        cmocka_unit_test(metadata_text_is_cut_and_escaped),
        cmocka_unit_test(a_directory_without_a_name_is_not_made),
        cmocka_unit_test(shards_are_joined_by_the_index),
        cmocka_unit_test(an_index_that_lies_or_escapes_is_refused),
        cmocka_unit_test(what_is_no_model_is_refused),
        cmocka_unit_test(only_regular_files_are_mapped_or_replaced),
        cmocka_unit_test(a_split_model_opens_by_any_of_its_parts),
        cmocka_unit_test(a_split_model_s_hash_is_that_of_all_its_parts),
        cmocka_unit_test(parts_that_do_not_belong_together_are_named),
        cmocka_unit_test(what_the_gguf_writer_wrote_reads_back),
        cmocka_unit_test(copied_metadata_is_the_same_bytes),
        cmocka_unit_test(a_writer_used_wrongly_says_so_and_leaves_nothing),
        cmocka_unit_test(a_full_disk_leaves_the_old_file_and_nothing_else),
        cmocka_unit_test(every_failed_allocation_is_survived),
        cmocka_unit_test(a_replaced_file_keeps_its_mode),
        cmocka_unit_test(waiting_for_the_writer_of_a_pipe_ends_with_an_interrupt),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
