// links: text
/* Vocabularies equal, merge by merge, to those that the tokenizers package learns (make_bpe.py). */
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "text/bpe_train.h"
#include "text/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../folder.h"

static const char *const cases[] = {"ties",         "ties_to_the_end", "runs",        "nested",
                                    "nested_short", "prose",           "prose_digits"};
enum { CASES = sizeof cases / sizeof *cases, FIRST_MERGED = 2 + 256 };

static json_t *read_case(const char *name)
{
    char path[512], *text;
    size_t n;
    json_t *o;
    snprintf(path, sizeof path, HONE_SOURCE_DIR "/tests/golden/data/bpe/%s.json", name);
    assert_int_equal(hone_read_file(path, 1 << 20, &text, &n), HONE_OK);
    assert_int_equal(hone_json_parse(text, n, 8, 1 << 16, name, &o), HONE_OK);
    hone_free(text);
    return o;
}

/* The texts as JSON Lines, from the last to the first if `backwards`. */
static void write_texts(const json_t *texts, bool backwards)
{
    FILE *f = fopen(in_folder("texts.jsonl"), "w");
    assert_non_null(f);
    size_t n = json_array_size(texts);
    for (size_t i = 0; i < n; i++) {
        json_t *line = json_pack("{s:O}", "text", json_array_get(texts, backwards ? n - 1 - i : i));
        assert_int_equal(json_dumpf(line, f, 0), 0);
        fputc('\n', f);
        json_decref(line);
    }
    fclose(f);
}

static int64_t number(const json_t *o, const char *key)
{
    assert_true(json_is_integer(json_object_get(o, key)));
    return json_integer_value(json_object_get(o, key));
}

static json_t *learn(const json_t *o, int threads)
{
    const char *specials[2], *paths[] = {in_folder("texts.jsonl")};
    for (size_t i = 0; i < 2; i++)
        specials[i] = json_string_value(json_array_get(json_object_get(o, "specials"), i));
    hone_bpe_options options = {.vocab = (uint32_t)number(o, "vocab"),
                                .frequency_min = (uint64_t)number(o, "min_frequency"),
                                .token_bytes_max = (uint32_t)number(o, "max_token_bytes"),
                                .pre = json_string_value(json_object_get(o, "pre")),
                                .specials = specials,
                                .n_specials = 2,
                                .threads = threads};
    hone_bpe *b;
    hone_documents *d;
    json_t *out;
    assert_int_equal(hone_bpe_open(&options, &b), HONE_OK);
    assert_int_equal(hone_documents_open(paths, 1, NULL, &d), HONE_OK);
    assert_int_equal(hone_bpe_count(b, d, NULL, NULL), HONE_OK);
    assert_int_equal(hone_bpe_merge(b, NULL, NULL), HONE_OK);
    assert_int_equal(hone_bpe_to_json(b, &out), HONE_OK);
    hone_documents_close(d);
    hone_bpe_close(b);
    return out;
}

static void compare(const char *name, const json_t *o, const json_t *learnt)
{
    const json_t *model = json_object_get(learnt, "model");
    const json_t *merges = json_object_get(model, "merges"), *want = json_object_get(o, "merges");
    const json_t *pieces = json_object_get(o, "pieces"), *vocab = json_object_get(model, "vocab");
    for (size_t i = 0; i < json_array_size(want); i++)
        if (!json_equal(json_array_get(want, i), json_array_get(merges, i)))
            fail_msg("%s: merge %zu is another one", name, i);
    assert_int_equal(json_array_size(merges), json_array_size(want));
    assert_int_equal(json_object_size(vocab), FIRST_MERGED + json_array_size(pieces));
    for (size_t i = 0; i < json_array_size(pieces); i++)
        assert_int_equal(number(vocab, json_string_value(json_array_get(pieces, i))),
                         FIRST_MERGED + i);
}

static void merges_are_those_of_the_tokenizers_package(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        json_t *o = read_case(cases[i]);
        for (int way = 0; way < 2; way++) {
            write_texts(json_object_get(o, "texts"), way);
            json_t *learnt = learn(o, way ? 3 : 1);
            compare(cases[i], o, learnt);
            json_decref(learnt);
        }
        json_decref(o);
    }
}

/* A check of the check: another merge in the list is noticed. */
static void another_merge_would_be_noticed(void **state)
{
    (void)state;
    json_t *o = read_case("ties");
    write_texts(json_object_get(o, "texts"), false);
    json_t *learnt = learn(o, 1),
           *merges = json_object_get(json_object_get(learnt, "model"), "merges");
    json_t *first = json_incref(json_array_get(merges, 0));
    json_array_remove(merges, 0);
    json_array_append_new(merges, first);
    assert_false(json_equal(merges, json_object_get(o, "merges")));
    json_decref(learnt);
    json_decref(o);
}

/* The file is read back, special tokens are such, and every text comes back as it was. */
static void what_was_learnt_is_a_tokenizer(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        json_t *o = read_case(cases[i]), *texts = json_object_get(o, "texts");
        write_texts(texts, false);
        json_t *learnt = learn(o, 2);
        assert_int_equal(json_dump_file(learnt, in_folder("tokenizer.json"), 0), 0);
        hone_tokenizer *t;
        assert_int_equal(hone_tokenizer_open(in_folder("tokenizer.json"), &t), HONE_OK);
        assert_int_equal(hone_tokenizer_vocab_size(t),
                         FIRST_MERGED + json_array_size(json_object_get(o, "pieces")));
        assert_int_equal(hone_tokenizer_find(t, "<|endoftext|>", 13), 0);
        assert_true(hone_tokenizer_is_special(t, 1));
        size_t tokens = 0, all = 0;
        for (size_t k = 0; k < json_array_size(texts); k++) {
            const char *text = json_string_value(json_array_get(texts, k));
            int32_t *ids;
            char *back;
            size_t n, bytes;
            assert_int_equal(hone_tokenizer_encode(t, text, strlen(text), 0, &ids, &n), HONE_OK);
            tokens += n;
            assert_int_equal(hone_tokenizer_decode(t, ids, n, 0, &back, &bytes), HONE_OK);
            assert_string_equal(back, text);
            hone_free(ids);
            hone_free(back);
            all += bytes;
        }
        assert_true(tokens < all * 2 / 3);
        hone_tokenizer_close(t);
        json_decref(learnt);
        json_decref(o);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(merges_are_those_of_the_tokenizers_package),
        T(another_merge_would_be_noticed),
        T(what_was_learnt_is_a_tokenizer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
