// links: text
/* Texts and pairs with their special tokens and token types, whole and cut, against the tokenizers
 * package (data/pairs.json, made by make_pairs.py). */
#include "base/mem.h"
#include "text/pair.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "../shared.h"

static bool open_tokenizer(const char *name, hone_tokenizer **t)
{
    char inside[256];
    snprintf(inside, sizeof inside, "tokenizers/%s", name);
    if (!have_shared(inside))
        return false;
    if (hone_tokenizer_open(shared(inside), t) != HONE_OK)
        fail_msg("%s: %s", name, hone_error());
    return true;
}

static void expect(const json_t *list, const int32_t *got, size_t n, const char *what,
                   const char *a)
{
    if (json_array_size(list) != n)
        fail_msg("%s of \"%s\": %zu, not %zu", what, a, n, json_array_size(list));
    for (size_t i = 0; i < n; i++)
        if (json_integer_value(json_array_get(list, i)) != got[i])
            fail_msg("%s %zu of \"%s\": %d", what, i, a, got[i]);
}

static void pairs_and_cuts_equal_the_tokenizers_package(void **state)
{
    (void)state;
    json_t *all = json_load_file(HONE_SOURCE_DIR "/tests/golden/data/pairs.json", 0, NULL), *e;
    const char *open = "";
    hone_tokenizer *t = NULL;
    size_t i, compared = 0;
    assert_non_null(all);
    json_array_foreach(all, i, e)
    {
        const char *name = json_string_value(json_object_get(e, "tokenizer"));
        const char *a = json_string_value(json_object_get(e, "a"));
        const char *b = json_string_value(json_object_get(e, "b"));
        hone_encoded got;
        if (strcmp(open, name) != 0) {
            hone_tokenizer_close(t);
            t = NULL;
            if (!open_tokenizer(name, &t))
                print_message("SKIP %s: needs ../shared/data/tokenizers\n", name);
            open = name;
        }
        if (!t)
            continue;
        if (hone_tokenizer_encode_pair(t, a, strlen(a), b, b ? strlen(b) : 0, 0,
                                       (size_t)json_integer_value(json_object_get(e, "most")),
                                       &got) != HONE_OK)
            fail_msg("%s: %s", name, hone_error());
        expect(json_object_get(e, "ids"), got.ids, got.n, "ids", a);
        expect(json_object_get(e, "types"), got.types, got.n, "types", a);
        assert_true(got.whole >= got.n);
        hone_encoded_free(&got);
        compared++;
    }
    hone_tokenizer_close(t);
    json_decref(all);
    if (!compared)
        skip();
    print_message("%zu sequences\n", compared);
}

static void no_room_for_a_text_is_said(void **state)
{
    (void)state;
    hone_tokenizer *t;
    hone_encoded e;
    if (!open_tokenizer("all-MiniLM-L6-v2", &t))
        skip();
    assert_int_equal(hone_tokenizer_encode_pair(t, "a", 1, "b", 1, 0, 3, &e), HONE_USAGE);
    assert_non_null(strstr(hone_error(), "3 special"));
    assert_null(e.ids);
    assert_int_equal(hone_tokenizer_encode_pair(t, "a", 1, "b", 1, 0, 4, &e), HONE_OK);
    assert_int_equal(e.n, 4);
    hone_encoded_free(&e);
    hone_tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_and_cuts_equal_the_tokenizers_package),
        cmocka_unit_test(no_room_for_a_text_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
