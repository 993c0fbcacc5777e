// links: base
/* JSON of others: what jansson refuses but published files hold. */
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static hone_status parse(const char *text, json_t **out)
{
    return hone_json_parse(text, strlen(text), 8, 100, "text", out);
}

static void whole_numbers_beyond_64_bits_become_reals_and_others_stay_whole(void **state)
{
    (void)state;
    json_t *v;
    assert_int_equal(parse("{\"model_max_length\": 1000000000000000019884624838656, \"n\": [7, "
                           "-99999999999999999999], \"s\": \"11111111111111111111\\\" 5\"}",
                           &v),
                     HONE_OK);
    assert_true(json_real_value(json_object_get(v, "model_max_length")) == 1e30);
    json_t *n = json_object_get(v, "n");
    assert_true(json_is_integer(json_array_get(n, 0)));
    assert_int_equal(json_integer_value(json_array_get(n, 0)), 7);
    assert_true(json_real_value(json_array_get(n, 1)) == -1e20);
    assert_string_equal(json_string_value(json_object_get(v, "s")), "11111111111111111111\" 5");
    json_decref(v);
}

static void largest_64_bit_number_stays_whole(void **state)
{
    (void)state;
    json_t *v;
    assert_int_equal(parse("[9223372036854775807]", &v), HONE_OK);
    assert_true(json_integer_value(json_array_get(v, 0)) == INT64_MAX);
    json_decref(v);
}

static void bad_syntax_beside_a_large_number_is_still_refused(void **state)
{
    (void)state;
    json_t *v;
    static const char *const bad[] = {"[99999999999999999999,]", "[99999999999999999999",
                                      "[99999999999999999999, \"x]", "[1e999]",
                                      "[99999999999999999999x]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(parse(bad[i], &v), HONE_FORMAT);
        assert_null(v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers_beyond_64_bits_become_reals_and_others_stay_whole),
        cmocka_unit_test(largest_64_bit_number_stays_whole),
        cmocka_unit_test(bad_syntax_beside_a_large_number_is_still_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
