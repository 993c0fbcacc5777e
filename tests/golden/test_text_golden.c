// links: text
/*
 * Tokenizers against the ids of the reference implementations (tokenizers, sentencepiece; versions
 * in each golden file) and of llama.cpp (.inp/.out beside its vocabularies).
 */
#include "base/io.h"
#include "base/mem.h"
#include "text/tokenizer.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../shared.h"
#include "../stories.h"

/* CONTROL_FOR_SPECIAL: special tokens in the text are ids only in the list with_special. */
enum { CONTROL_IS_TEXT = 1, SKIP_ON_DECODE = 2, CONTROL_FOR_SPECIAL = 4 };
static const unsigned parse = HONE_ENCODE_PARSE_SPECIAL;

static const char *own(const char *name)
{
    static char path[2][1024];
    static int turn;
    turn = 1 - turn;
    snprintf(path[turn], sizeof path[turn], "%s/tests/golden/data/text/%s", HONE_SOURCE_DIR, name);
    return path[turn];
}

static json_t *read_json(const char *path)
{
    json_error_t e;
    json_t *root = json_load_file(path, JSON_ALLOW_NUL, &e);
    if (!root)
        fail_msg("%s: %s", path, e.text);
    return root;
}

static hone_tokenizer *open_it(const char *path)
{
    hone_tokenizer *t;
    hone_status s = hone_tokenizer_open(path, &t);
    if (s != HONE_OK)
        fail_msg("%s", hone_error());
    return t;
}

static int bad;

static void show(const char *what, const char *name, size_t i, const int32_t *got, size_t n,
                 const json_t *want)
{
    if (bad++ >= 20)
        return;
    char *w = json_dumps(want, JSON_ENCODE_ANY);
    print_message("%s: string %zu: %s: want %s, got [", name, i, what, w);
    for (size_t k = 0; k < n; k++)
        print_message("%d,", got[k]);
    print_message("]\n");
    free(w);
}

static void check_ids(const hone_tokenizer *t, const char *name, size_t i, const char *text,
                      size_t n, unsigned flags, const json_t *want)
{
    int32_t *ids;
    size_t n_ids;
    if (hone_tokenizer_encode(t, text, n, flags, &ids, &n_ids) != HONE_OK) {
        print_message("%s: string %zu: %s\n", name, i, hone_error());
        bad++;
        return;
    }
    bool same = n_ids == json_array_size(want);
    for (size_t k = 0; same && k < n_ids; k++)
        same = ids[k] == json_integer_value(json_array_get(want, k));
    if (!same)
        show("ids", name, i, ids, n_ids, want);
    hone_free(ids);
}

/* The list at once and streamed must both give `want`. */
static void check_text(const hone_tokenizer *t, const char *name, size_t i, const json_t *list,
                       unsigned flags, const json_t *want)
{
    size_t n = json_array_size(list), bytes, streamed = 0;
    int32_t *ids = calloc(n + 1, sizeof *ids);
    for (size_t k = 0; k < n; k++)
        ids[k] = (int32_t)json_integer_value(json_array_get(list, k));
    char *text;
    assert_int_equal(hone_tokenizer_decode(t, ids, n, flags, &text, &bytes), HONE_OK);
    if (bytes != json_string_length(want) || memcmp(text, json_string_value(want), bytes) != 0) {
        print_message("%s: string %zu: text: want \"%s\", got \"%s\"\n", name, i,
                      json_string_value(want), text);
        bad++;
    }
    hone_detok *d;
    const char *part;
    size_t m;
    assert_int_equal(hone_detok_open(t, flags, false, &d), HONE_OK);
    for (size_t k = 0; k <= n; k++) {
        assert_int_equal(k < n ? hone_detok_push(d, ids[k], &part, &m)
                               : hone_detok_finish(d, &part, &m),
                         HONE_OK);
        assert_true(streamed + m <= bytes);
        assert_memory_equal(part, text + streamed, m);
        assert_true(m == 0 || ((unsigned char)part[0] & 0xC0) != 0x80);
        streamed += m;
    }
    assert_int_equal(streamed, bytes);
    hone_detok_close(d);
    hone_free(text);
    free(ids);
}

static void check_golden(const char *name, const char *golden_path, const hone_tokenizer *t,
                         int how)
{
    json_t *strings = read_json(own("strings.json")), *golden = read_json(golden_path);
    const json_t *cases = json_object_get(golden, "cases");
    assert_true(json_array_size(strings) > 100);
    assert_int_equal(json_array_size(strings), json_array_size(cases));
    unsigned f = how & (CONTROL_IS_TEXT | CONTROL_FOR_SPECIAL) ? 0 : parse;
    unsigned g = how & CONTROL_FOR_SPECIAL ? parse : f;
    bad = 0;
    for (size_t i = 0; i < json_array_size(strings); i++) {
        const json_t *s = json_array_get(strings, i), *c = json_array_get(cases, i);
        const char *text = json_string_value(s);
        size_t n = json_string_length(s);
        const json_t *ids = json_object_get(c, "ids"),
                     *special = json_object_get(c, "with_special");
        const json_t *plain = json_object_get(c, "decoded");
        const json_t *whole = json_object_get(c, "decoded_with_special");
        const json_t *clean = json_object_get(c, "decoded_clean");
        special = special ? special : ids;
        unsigned skip_flag = how & SKIP_ON_DECODE ? HONE_DECODE_SKIP_SPECIAL : 0;
        check_ids(t, name, i, text, n, f, ids);
        check_ids(t, name, i, text, n, g | HONE_ENCODE_ADD_SPECIAL, special);
        check_text(t, name, i, ids, skip_flag, plain);
        check_text(t, name, i, special, skip_flag, whole ? whole : plain);
        if (!(how & CONTROL_FOR_SPECIAL)) /* tiktoken always shows them */
            check_text(t, name, i, special, HONE_DECODE_SKIP_SPECIAL, clean ? clean : plain);
    }
    json_decref(strings);
    json_decref(golden);
    assert_int_equal(bad, 0);
}

static void shared_golden(const char *name, const char *path, int how)
{
    char golden[256];
    snprintf(golden, sizeof golden, "golden/text/tokenizers/%s.json", name);
    need_shared(name, golden);
    need_shared(name, path);
    hone_tokenizer *t = open_it(shared(path));
    print_message("%s: %s\n", name, hone_tokenizer_describe(t));
    check_golden(name, shared(golden), t, how);
    hone_tokenizer_close(t);
}

#define GOLDEN(function, name, path, how)                                                          \
    static void function(void **state)                                                             \
    {                                                                                              \
        (void)state;                                                                               \
        shared_golden(name, path, how);                                                            \
    }
GOLDEN(llama2_json_equals_the_reference, "llama2", "tokenizers/llama2/tokenizer.json", 0)
GOLDEN(phi3_json_equals_the_reference, "phi-3", "tokenizers/phi-3/tokenizer.json", 0)
GOLDEN(phi3_mini_json_equals_the_reference, "phi-3-mini", "tokenizers/phi-3-mini/tokenizer.json", 0)
GOLDEN(gpt_neox_json_equals_the_reference, "gpt-neox-20b", "tokenizers/gpt-neox-20b/tokenizer.json",
       0)
GOLDEN(roberta_json_equals_the_reference, "roberta-base", "tokenizers/roberta-base/tokenizer.json",
       0)
GOLDEN(whisper_json_equals_the_reference, "whisper-tiny", "tokenizers/whisper-tiny/tokenizer.json",
       0)
GOLDEN(clip_json_equals_the_reference, "clip", "tokenizers/clip/tokenizer.json", 0)
GOLDEN(gpt2_vocab_and_merges_equal_the_reference, "gpt2", "tokenizers/gpt2", CONTROL_IS_TEXT)
GOLDEN(mistral_v1_model_equals_sentencepiece, "mistral-v1", "tokenizers/mistral/tokenizer.model.v1",
       CONTROL_IS_TEXT | SKIP_ON_DECODE)
GOLDEN(mistral_v2_model_equals_sentencepiece, "mistral-v2",
       "tokenizers/mistral/mistral_instruct_tokenizer_240216.model.v2",
       CONTROL_IS_TEXT | SKIP_ON_DECODE)
GOLDEN(mistral_v3_model_equals_sentencepiece, "mistral-v3",
       "tokenizers/mistral/mistral_instruct_tokenizer_240323.model.v3",
       CONTROL_IS_TEXT | SKIP_ON_DECODE)
GOLDEN(mistral_v7_model_equals_sentencepiece, "mistral-v7",
       "tokenizers/mistral/mistral_instruct_tokenizer_241114.model.v7",
       CONTROL_IS_TEXT | SKIP_ON_DECODE)

GOLDEN(t5_unigram_equals_the_reference, "t5-small", "tokenizers/t5-small/tokenizer.json", 0)
GOLDEN(minilm_wordpiece_equals_the_reference, "all-MiniLM-L6-v2",
       "tokenizers/all-MiniLM-L6-v2/tokenizer.json", 0)
GOLDEN(cl100k_file_equals_tiktoken, "cl100k_base", "tokenizers/cl100k_base.tiktoken",
       CONTROL_FOR_SPECIAL)
GOLDEN(rwkv_file_equals_the_reference, "rwkv", "tokenizers/rwkv_vocab_v20230424.txt", 0)

/* The same tokenizer as first published: its words alone in a folder. */
static void minilm_vocab_txt_equals_its_json(void **state)
{
    (void)state;
    const char *golden = "golden/text/tokenizers/all-MiniLM-L6-v2.json";
    const char *words = "tokenizers/all-MiniLM-L6-v2/vocab.txt";
    need_shared("all-MiniLM-L6-v2 vocab.txt", golden);
    need_shared("all-MiniLM-L6-v2 vocab.txt", words);
    char folder[1024], path[1100], *text;
    size_t n;
    snprintf(folder, sizeof folder, "%s/vocab_txt.%d", HONE_BUILD_DIR, (int)getpid());
    snprintf(path, sizeof path, "%s/vocab.txt", folder);
    assert_int_equal(hone_read_file(shared(words), 1 << 24, &text, &n), HONE_OK);
    assert_int_equal(hone_make_directory(folder), HONE_OK);
    assert_int_equal(hone_write_file(path, text, n), HONE_OK);
    hone_free(text);
    hone_tokenizer *t = open_it(folder);
    unlink(path);
    rmdir(folder);
    check_golden("vocab.txt", shared(golden), t, 0);
    hone_tokenizer_close(t);
}

/* encoder.json + vocab.bpe, put together as a tokenizer.json, as the golden script does. */
static void llama3_2_equals_the_reference(void **state)
{
    (void)state;
    const char *golden = "golden/text/tokenizers/llama3.2.json";
    need_shared("llama3.2", golden);
    need_shared("llama3.2", "tokenizers/llama3.2/vocab.bpe");
    json_t *merges = json_array();
    char *lines;
    size_t n;
    assert_int_equal(hone_read_file(shared("tokenizers/llama3.2/vocab.bpe"), 1 << 24, &lines, &n),
                     HONE_OK);
    for (char *rest = lines, *line; (line = strsep(&rest, "\n"));) {
        char *right = strchr(line, ' ');
        if (!right || strncmp(line, "#version", 8) == 0)
            continue;
        *right++ = 0;
        json_array_append_new(merges, json_pack("[s, s]", line, right));
    }
    hone_free(lines);
    json_t *root = json_pack(
        "{s:n, s:{s:s, s:[{s:s, s:{s:s}, s:s, s:b}, {s:s, s:b, s:b}]}, s:{s:s}, s:{s:s, s:b, s:o, "
        "s:o}}",
        "normalizer", "pre_tokenizer", "type", "Sequence", "pretokenizers", "type", "Split",
        "pattern", "Regex",
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
        "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
        "behavior", "Isolated", "invert", 0, "type", "ByteLevel", "add_prefix_space", 0,
        "use_regex", 0, "decoder", "type", "ByteLevel", "model", "type", "BPE", "ignore_merges", 1,
        "vocab", read_json(shared("tokenizers/llama3.2/encoder.json")), "merges", merges);
    assert_non_null(root);
    char path[1024];
    snprintf(path, sizeof path, "%s/llama3.2.tokenizer.%d.json", HONE_BUILD_DIR, (int)getpid());
    assert_int_equal(json_dump_file(root, path, JSON_COMPACT), 0);
    json_decref(root);
    hone_tokenizer *t = open_it(path);
    unlink(path);
    check_golden("llama3.2", shared(golden), t, 0);
    hone_tokenizer_close(t);
}

static void stories260k_json_equals_the_reference(void **state)
{
    (void)state;
    need_stories();
    hone_tokenizer *t = open_it(STORIES_HF "/tokenizer.json");
    check_golden("stories260k json", own("stories260k.json"), t, 0);
    hone_tokenizer_close(t);
}

/* A byte-level tokenizer trained with the reference for this test (700 tokens). */
static void small_byte_level_json_equals_the_reference(void **state)
{
    (void)state;
    hone_tokenizer *t = open_it(own("bytes.tokenizer.json"));
    check_golden("bytes json", own("bytes.json"), t, 0);
    hone_tokenizer_close(t);
}

/* The golden comes from tokenizer.json; the three files must say the same. */
static void stories260k_gguf_and_model_equal_its_json(void **state)
{
    (void)state;
    need_stories();
    const char *names[] = {STORIES_GGUF, STORIES_HF "/tokenizer.model"};
    for (size_t i = 0; i < 2; i++) {
        hone_tokenizer *t = open_it(names[i]);
        check_golden(names[i], own("stories260k.json"), t, 0);
        hone_tokenizer_close(t);
    }
}

/* llama.cpp: texts separated by a line, ids per line, neither BOS nor special tokens involved. */
static void llama_cpp(const char *name)
{
    char vocab[128], texts[160], ids[160];
    snprintf(vocab, sizeof vocab, "llamacpp-vocab/ggml-vocab-%s.gguf", name);
    snprintf(texts, sizeof texts, "%s.inp", vocab);
    snprintf(ids, sizeof ids, "%s.out", vocab);
    need_shared(name, vocab);
    need_shared(name, texts);
    hone_tokenizer *t = open_it(shared(vocab));
    char *inp, *out;
    size_t n, m, i = 0;
    assert_int_equal(hone_read_file(shared(texts), 1 << 20, &inp, &n), HONE_OK);
    assert_int_equal(hone_read_file(shared(ids), 1 << 20, &out, &m), HONE_OK);
    static const char mark[] = "\n__ggml_vocab_test__\n";
    char *lines = out;
    bad = 0;
    for (char *p = inp; p; i++) {
        char *end = strstr(p, mark), *line = strsep(&lines, "\n");
        if (!end)
            break; /* the file ends with a mark */
        assert_non_null(line);
        json_t *want = json_array();
        for (char *q = line, *next; strtol(q, &next, 10), next != q; q = next)
            json_array_append_new(want, json_integer(strtol(q, NULL, 10)));
        check_ids(t, name, i, p, (size_t)(end - p), parse, want);
        json_decref(want);
        p = end + sizeof mark - 1;
    }
    assert_true(i > 30);
    print_message("%s: %s: %zu texts\n", name, hone_tokenizer_describe(t), i);
    hone_free(inp);
    hone_free(out);
    hone_tokenizer_close(t);
    assert_int_equal(bad, 0);
}

#define LLAMA_CPP(function, name)                                                                  \
    static void function(void **state)                                                             \
    {                                                                                              \
        (void)state;                                                                               \
        llama_cpp(name);                                                                           \
    }
LLAMA_CPP(llama_spm_gguf_equals_llama_cpp, "llama-spm")
LLAMA_CPP(phi3_gguf_equals_llama_cpp, "phi-3")
LLAMA_CPP(gpt2_gguf_equals_llama_cpp, "gpt-2")
LLAMA_CPP(deepseek_llm_gguf_equals_llama_cpp, "deepseek-llm")
LLAMA_CPP(bert_bge_gguf_equals_llama_cpp, "bert-bge")

/* Without .out: its tokens are those of the tokenizer.json, whose golden serves; pads stand behind.
 */
static void gpt_neox_gguf_opens(void **state)
{
    (void)state;
    need_shared("gpt-neox gguf", "llamacpp-vocab/ggml-vocab-gpt-neox.gguf");
    hone_tokenizer *t = open_it(shared("llamacpp-vocab/ggml-vocab-gpt-neox.gguf"));
    assert_int_equal(hone_tokenizer_vocab_size(t), 50432);
    assert_int_equal(hone_tokenizer_eos(t), 0);
    hone_tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stories260k_json_equals_the_reference),
        cmocka_unit_test(stories260k_gguf_and_model_equal_its_json),
        cmocka_unit_test(small_byte_level_json_equals_the_reference),
        cmocka_unit_test(llama2_json_equals_the_reference),
        cmocka_unit_test(llama3_2_equals_the_reference),
        cmocka_unit_test(phi3_json_equals_the_reference),
        cmocka_unit_test(phi3_mini_json_equals_the_reference),
        cmocka_unit_test(gpt_neox_json_equals_the_reference),
        cmocka_unit_test(gpt2_vocab_and_merges_equal_the_reference),
        cmocka_unit_test(roberta_json_equals_the_reference),
        cmocka_unit_test(whisper_json_equals_the_reference),
        cmocka_unit_test(clip_json_equals_the_reference),
        cmocka_unit_test(mistral_v1_model_equals_sentencepiece),
        cmocka_unit_test(mistral_v2_model_equals_sentencepiece),
        cmocka_unit_test(mistral_v3_model_equals_sentencepiece),
        cmocka_unit_test(mistral_v7_model_equals_sentencepiece),
        cmocka_unit_test(llama_spm_gguf_equals_llama_cpp),
        cmocka_unit_test(phi3_gguf_equals_llama_cpp),
        cmocka_unit_test(gpt2_gguf_equals_llama_cpp),
        cmocka_unit_test(deepseek_llm_gguf_equals_llama_cpp),
        cmocka_unit_test(gpt_neox_gguf_opens),
        cmocka_unit_test(t5_unigram_equals_the_reference),
        cmocka_unit_test(minilm_wordpiece_equals_the_reference),
        cmocka_unit_test(minilm_vocab_txt_equals_its_json),
        cmocka_unit_test(cl100k_file_equals_tiktoken),
        cmocka_unit_test(rwkv_file_equals_the_reference),
        cmocka_unit_test(bert_bge_gguf_equals_llama_cpp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
