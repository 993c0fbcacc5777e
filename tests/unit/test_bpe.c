// links: text
/* Training a vocabulary at the edges: bad options, bad data, failing memory. */
#include "base/io.h"
#include "base/mem.h"
#include "text/bpe_train.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../folder.h"

static const char *const one_special[] = {"<|endoftext|>"};

static hone_bpe_options usual(uint32_t vocab)
{
    return (hone_bpe_options){.vocab = vocab,
                              .frequency_min = 2,
                              .pre = "gpt-2",
                              .specials = one_special,
                              .n_specials = 1,
                              .threads = 2};
}

static void put_file(const char *name, const char *text)
{
    assert_int_equal(hone_write_file(in_folder(name), text, strlen(text)), HONE_OK);
}

/* Learns from a file; what it came to is in *stats. */
static hone_status learn(const char *name, hone_bpe_options o, hone_bpe_stats *stats)
{
    hone_bpe *b = NULL;
    hone_documents *d = NULL;
    json_t *json = NULL;
    char path[256];
    const char *paths[] = {path};
    snprintf(path, sizeof path, "%s", in_folder(name));
    hone_status s = hone_bpe_open(&o, &b);
    if (s == HONE_OK)
        s = hone_documents_open(paths, 1, NULL, &d);
    if (s == HONE_OK)
        s = hone_bpe_count(b, d, NULL, NULL);
    if (s == HONE_OK)
        s = hone_bpe_merge(b, NULL, NULL);
    if (s == HONE_OK)
        s = hone_bpe_to_json(b, &json);
    if (s == HONE_OK)
        *stats = *hone_bpe_get_stats(b);
    json_decref(json);
    hone_documents_close(d);
    hone_bpe_close(b);
    return s;
}

static void impossible_options_are_refused(void **state)
{
    (void)state;
    static const char *const same[] = {"<a>", "<a>"}, *const letter[] = {"é"},
                             *const empty[] = {""}, *const bytes[] = {"<\xff>"};
    static const struct {
        const char *const *specials;
        size_t n;
        uint32_t vocab, longest;
        const char *pre, *said;
        hone_status status;
    } rows[] = {
        {one_special, 1, 256, 0, "gpt-2", "a vocabulary of 256 tokens cannot be", HONE_USAGE},
        {one_special, 1, 1u << 30, 0, "gpt-2", "cannot be", HONE_USAGE},
        {one_special, 1, 300, 0, "gpt-9", "no pre-tokenizer is called \"gpt-9\"; there are default",
         HONE_USAGE},
        {one_special, 1, 300, 0, "gemma4", "not byte-level", HONE_UNSUPPORTED},
        {one_special, 1, 300, 1, "gpt-2", "tokens of at most 1 byte", HONE_USAGE},
        {same, 2, 300, 0, "gpt-2", "\"<a>\" is given twice", HONE_USAGE},
        {letter, 1, 300, 0, "gpt-2", "it is one character", HONE_USAGE},
        {empty, 1, 300, 0, "gpt-2", "special token 1 is empty", HONE_USAGE},
        {bytes, 1, 300, 0, "gpt-2", "no UTF-8", HONE_USAGE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hone_bpe_options o = {.vocab = rows[i].vocab,
                              .pre = rows[i].pre,
                              .specials = rows[i].specials,
                              .n_specials = rows[i].n,
                              .token_bytes_max = rows[i].longest};
        hone_bpe *b;
        assert_int_equal(hone_bpe_open(&o, &b), rows[i].status);
        assert_null(b);
        assert_non_null(strstr(hone_error(), rows[i].said));
    }
}

static void bad_data_is_named(void **state)
{
    (void)state;
    hone_bpe_stats s;
    put_file("empty.txt", "");
    assert_int_equal(learn("empty.txt", usual(300), &s), HONE_DATA);
    assert_non_null(strstr(hone_error(), "empty.txt is empty"));
    put_file("blank.txt", " \n\n");
    assert_int_equal(learn("blank.txt", usual(300), &s), HONE_DATA);
    assert_non_null(strstr(hone_error(), "no words"));
    put_file("bytes.txt", "one\ntwo\nthr\xE9\x65\n");
    assert_int_equal(learn("bytes.txt", usual(300), &s), HONE_DATA);
    assert_non_null(strstr(hone_error(), "bytes.txt: line 3, byte 11: 0xe9 is no UTF-8"));
    put_file("broken.jsonl", "{\"text\":\"a\"}\n{\"text\":");
    assert_int_equal(learn("broken.jsonl", usual(300), &s), HONE_FORMAT);
    assert_non_null(strstr(hone_error(), "broken.jsonl: line 2"));
}

/* Too little text: the vocabulary ends where no pair is left, and says where. */
static void a_vocabulary_that_cannot_be_reached_says_what_was(void **state)
{
    (void)state;
    hone_bpe_stats s;
    put_file("line.txt", "a rose is a rose is a rose\n");
    assert_int_equal(learn("line.txt", usual(5000), &s), HONE_OK);
    /* " rose" (4 merges), " is" (2) and " a" are there twice or more; no pair spans words. */
    assert_int_equal(s.vocab, 257 + 7);
    assert_int_equal(s.merges, 7);
    assert_int_equal(s.documents, 1);
    assert_int_equal(s.words, 9);
    assert_int_equal(s.distinct, 5);
    assert_int_equal(s.tokens, 9);
    put_file("letter.txt", "a");
    assert_int_equal(learn("letter.txt", usual(5000), &s), HONE_OK);
    assert_int_equal(s.merges, 0);
    assert_int_equal(s.tokens, 1);
}

/* Text that spells a special token out makes no token of that name. */
static void no_merge_makes_a_special_token(void **state)
{
    (void)state;
    static const char *const special[] = {"abcd"};
    hone_bpe_options o = usual(300);
    hone_bpe_stats s;
    o.specials = special;
    put_file("a.txt", "abcd abcd abcd abcd");
    assert_int_equal(learn("a.txt", o, &s), HONE_OK);
    assert_in_range(s.merges, 3, 10);
    assert_true(s.tokens > 4); /* the first word stays in parts */
}

static void a_memory_bound_is_held(void **state)
{
    (void)state;
    static char text[1 << 17];
    size_t n = 0;
    for (unsigned i = 0; n + 16 < sizeof text; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%x ", i * 2654435761u);
    put_file("a.txt", text);
    hone_bpe_options o = usual(400);
    hone_bpe_stats s;
    assert_int_equal(learn("a.txt", o, &s), HONE_OK);
    size_t need = s.memory_bytes;
    o.memory_max = need;
    assert_int_equal(learn("a.txt", o, &s), HONE_OK);
    o.memory_max = need / 2;
    assert_int_equal(learn("a.txt", o, &s), HONE_MEMORY);
    assert_non_null(strstr(hone_error(), "allow more, or give fewer documents"));
}

static void any_failing_allocation_is_survived(void **state)
{
    (void)state;
    put_file("a.jsonl", "{\"text\":\"aab aab aab abab abab\"}\n{\"messages\":[{\"role\":\"user\","
                        "\"content\":\"baab baab\"}]}\n");
    hone_bpe_options o = usual(270);
    hone_bpe_stats s;
    o.threads = 1;
    assert_int_equal(learn("a.jsonl", o, &s), HONE_OK);
    uint32_t merges = s.merges;
    hone_status status = HONE_MEMORY;
    int64_t k = 0;
    for (; status != HONE_OK && k < 10000; k++) {
        hone_mem_fail_after(k);
        status = learn("a.jsonl", o, &s);
        hone_mem_fail_after(-1);
        assert_true(status == HONE_OK || status == HONE_MEMORY);
    }
    assert_in_range(k, 20, 9999);
    assert_int_equal(s.merges, merges);
}

#define T(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(impossible_options_are_refused),
        T(bad_data_is_named),
        T(a_vocabulary_that_cannot_be_reached_says_what_was),
        T(no_merge_makes_a_special_token),
        T(a_memory_bound_is_held),
        T(any_failing_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
