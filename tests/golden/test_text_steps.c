// links: text
/*
 * The parts that tokenizers are made of, against the reference implementations (make_text.py says
 * which): every normalizer, pre-tokenizer, decoder and kind of model of tokenizer.json, every type
 * of SentencePiece model, every pre-tokenizer that GGUF files name.
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

static const char *own(const char *name)
{
    static char path[2][1024];
    static int turn;
    turn = 1 - turn;
    snprintf(path[turn], sizeof path[turn], "%s/tests/golden/data/text/%s", HONE_SOURCE_DIR, name);
    return path[turn];
}

static const char *temporary(void)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/steps.%d.tmp", HONE_BUILD_DIR, (int)getpid());
    return path;
}

static json_t *read_json(const char *path)
{
    json_error_t e;
    json_t *root = json_load_file(path, JSON_ALLOW_NUL, &e);
    if (!root)
        fail_msg("%s: %s", path, e.text);
    return root;
}

static hone_tokenizer *open_it(const char *path, const char *name)
{
    hone_tokenizer *t;
    if (hone_tokenizer_open(path, &t) != HONE_OK)
        fail_msg("%s: %s", name, hone_error());
    return t;
}

static int bad;

static void complain(const char *name, const json_t *string, const char *what, const json_t *want,
                     const json_t *got)
{
    if (bad++ >= 12)
        return;
    char *s = json_dumps(string, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    char *w = json_dumps(want, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    char *g = json_dumps(got, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    print_message("%s: %s of %.120s: want %.300s, got %.300s\n", name, what, s, w, g);
    free(s);
    free(w);
    free(g);
}

static void check_ids(const hone_tokenizer *t, const char *name, const json_t *string,
                      unsigned flags, const json_t *want)
{
    int32_t *ids;
    size_t n;
    if (hone_tokenizer_encode(t, json_string_value(string), json_string_length(string), flags, &ids,
                              &n) != HONE_OK) {
        print_message("%s: %s\n", name, hone_error());
        bad++;
        return;
    }
    json_t *got = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(got, json_integer(ids[i]));
    if (!json_equal(got, want))
        complain(name, string, "ids", want, got);
    json_decref(got);
    hone_free(ids);
}

/* Decoding at once, and streamed. */
static void check_text(const hone_tokenizer *t, const char *name, const json_t *string,
                       const json_t *list, unsigned flags, const json_t *want)
{
    size_t n = json_array_size(list), bytes, m, streamed = 0;
    int32_t *ids = calloc(n + 1, sizeof *ids);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
    char *text;
    assert_int_equal(hone_tokenizer_decode(t, ids, n, flags, &text, &bytes), HONE_OK);
    json_t *got = json_stringn(text, bytes);
    if (!json_equal(got, want))
        complain(name, string, "text", want, got);
    json_decref(got);
    hone_detok *d;
    const char *part;
    assert_int_equal(hone_detok_open(t, flags, false, &d), HONE_OK);
    for (size_t i = 0; i <= n; i++) {
        assert_int_equal(i < n ? hone_detok_push(d, ids[i], &part, &m)
                               : hone_detok_finish(d, &part, &m),
                         HONE_OK);
        assert_true(m <= bytes - streamed);
        assert_memory_equal(part, text + streamed, m);
        streamed += m;
    }
    assert_int_equal(streamed, bytes);
    hone_detok_close(d);
    hone_free(text);
    free(ids);
}

static void steps_of_tokenizer_json_equal_the_reference(void **state)
{
    (void)state;
    json_t *strings = read_json(own("strings.json")), *golden = read_json(own("steps.json"));
    json_t *c;
    size_t i, k;
    bad = 0;
    assert_true(json_array_size(json_object_get(golden, "cases")) > 35);
    json_array_foreach(json_object_get(golden, "cases"), i, c)
    {
        const char *name = json_string_value(json_object_get(c, "name"));
        json_t *spec = json_object_get(c, "spec"), *string;
        if (!json_object_get(spec, "model"))
            json_object_set(spec, "model", json_object_get(golden, "model"));
        assert_int_equal(json_dump_file(spec, temporary(), JSON_COMPACT), 0);
        hone_tokenizer *t = open_it(temporary(), name);
        unlink(temporary());
        json_array_foreach(strings, k, string)
        {
            const json_t *ids = json_array_get(json_object_get(c, "ids"), k);
            if (json_is_null(ids))
                continue;
            check_ids(t, name, string, HONE_ENCODE_PARSE_SPECIAL, ids);
            if (json_object_get(c, "decoded"))
                check_text(t, name, string, ids, 0,
                           json_array_get(json_object_get(c, "decoded"), k));
        }
        hone_tokenizer_close(t);
    }
    json_decref(strings);
    json_decref(golden);
    assert_int_equal(bad, 0);
}

static void every_type_of_sentencepiece_model_equals_sentencepiece(void **state)
{
    (void)state;
    static const char *const names[] = {"sp_unigram", "sp_bytes", "sp_bpe", "sp_char", "sp_word"};
    json_t *strings = read_json(own("strings.json")), *string;
    bad = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char file[64];
        size_t k;
        snprintf(file, sizeof file, "%s.json", names[i]);
        json_t *golden = read_json(own(file));
        snprintf(file, sizeof file, "%s.model", names[i]);
        hone_tokenizer *t = open_it(own(file), names[i]);
        json_array_foreach(strings, k, string)
        {
            const json_t *c = json_array_get(json_object_get(golden, "cases"), k);
            check_ids(t, names[i], string, 0, json_object_get(c, "ids"));
            check_text(t, names[i], string, json_object_get(c, "ids"), HONE_DECODE_SKIP_SPECIAL,
                       json_object_get(c, "decoded"));
        }
        hone_tokenizer_close(t);
        json_decref(golden);
    }
    json_decref(strings);
    assert_int_equal(bad, 0);
}

/* The strings without a 0 byte, which llama.cpp's front end could not take. */
static void check_list(const hone_tokenizer *t, const char *name, unsigned flags,
                       const json_t *list)
{
    json_t *strings = read_json(own("strings.json")), *string;
    size_t k, at = 0;
    json_array_foreach(strings, k, string)
    {
        if (strlen(json_string_value(string)) < json_string_length(string))
            continue;
        check_ids(t, name, string, flags, json_array_get(list, at++));
    }
    assert_int_equal(at, json_array_size(list));
    json_decref(strings);
}

/* pre.vocab.gguf ends with the name of its pre-tokenizer: another one is put in its place. */
static void write_pre(const char *gguf, size_t n, const char *name)
{
    static const char mark[] = "PRETOKENIZER";
    const char *hit = memmem(gguf, n, mark, sizeof mark - 1);
    assert_non_null(hit);
    size_t head = (size_t)(hit - gguf), bytes = strlen(name);
    char *made = calloc(1, head + bytes + 64);
    memcpy(made, gguf, head);
    uint64_t length = bytes;
    memcpy(made + head - 8, &length, 8);
    memcpy(made + head, name, bytes);
    assert_int_equal(hone_write_file(temporary(), made, (head + bytes + 31) / 32 * 32), HONE_OK);
    free(made);
}

static void every_named_pre_tokenizer_equals_its_reference(void **state)
{
    (void)state;
    json_t *golden = read_json(own("pre.json")), *list;
    const char *name;
    char *gguf;
    size_t n;
    bad = 0;
    assert_int_equal(hone_read_file(own("pre.vocab.gguf"), 1 << 20, &gguf, &n), HONE_OK);
    assert_true(json_object_size(golden) > 25);
    json_object_foreach(golden, name, list)
    {
        write_pre(gguf, n, name);
        hone_tokenizer *t = open_it(temporary(), name);
        check_list(t, name, HONE_ENCODE_PARSE_SPECIAL, list);
        hone_tokenizer_close(t);
    }
    unlink(temporary());
    hone_free(gguf);
    json_decref(golden);
    assert_int_equal(bad, 0);
}

/* Names for which llama.cpp has a row of its own: none may be unknown. */
static void all_names_that_llama_cpp_knows_open(void **state)
{
    (void)state;
    static const char names[] =
        "default minicpm5 llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 "
        "jina-v5-nano deepseek-llm deepseek-coder deepseek-v3 spark2_5 youtu falcon mpt starcoder "
        "gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert "
        "jais-2 gemma4 granite-embed-multi-311m sarvam-moe jina-v1-en jina-v2-code roberta-bpe "
        "refact command-r qwen2 deepseek-r1-qwen kormo f2llmv2 qwen35 stablelm2 olmo dbrx "
        "smaug-bpe poro-chat glm4 chatglm-bpe viking jais tekken smollm codeshell bloom "
        "gpt3-finnish exaone exaone4 exaone-moe chameleon minerva-7b megrez gpt-4o llama4 kanana2 "
        "talkie granite-embed-multi-97m tiny_aya cohere2moe superbpe trillion granite-docling "
        "bailingmoe bailingmoe2 llada-moe seed-coder hunyuan hunyuan-dense hy_v4 joyai-llm kimi-k2 "
        "ufakzeka grok-2 afmoe laguna minimax-m2 solar-open mellum2";
    char copy[sizeof names], *rest = copy, *name, *gguf;
    size_t n;
    memcpy(copy, names, sizeof names);
    assert_int_equal(hone_read_file(own("pre.vocab.gguf"), 1 << 20, &gguf, &n), HONE_OK);
    while ((name = strsep(&rest, " "))) {
        write_pre(gguf, n, name);
        hone_tokenizer_close(open_it(temporary(), name));
    }
    write_pre(gguf, n, "no-such-name");
    hone_tokenizer *t;
    assert_int_equal(hone_tokenizer_open(temporary(), &t), HONE_UNSUPPORTED);
    assert_non_null(strstr(hone_error(), "no-such-name"));
    unlink(temporary());
    hone_free(gguf);
}

static void unigram_and_rwkv_gguf_equal_llama_cpp(void **state)
{
    (void)state;
    static const struct {
        const char *file, *golden;
        unsigned flags;
    } cases[] = {{"t5.vocab.gguf", "t5.json", HONE_ENCODE_PARSE_SPECIAL | HONE_ENCODE_ADD_SPECIAL},
                 {"rwkv.vocab.gguf", "rwkv.json", HONE_ENCODE_PARSE_SPECIAL}};
    bad = 0;
    for (size_t i = 0; i < 2; i++) {
        json_t *golden = read_json(own(cases[i].golden));
        hone_tokenizer *t = open_it(own(cases[i].file), cases[i].file);
        check_list(t, cases[i].file, cases[i].flags, golden);
        hone_tokenizer_close(t);
        json_decref(golden);
    }
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_of_tokenizer_json_equal_the_reference),
        cmocka_unit_test(every_type_of_sentencepiece_model_equals_sentencepiece),
        cmocka_unit_test(every_named_pre_tokenizer_equals_its_reference),
        cmocka_unit_test(all_names_that_llama_cpp_knows_open),
        cmocka_unit_test(unigram_and_rwkv_gguf_equal_llama_cpp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
