// links: base
/* The option parser of the command line, against a table of its own. (extra.cmake adds
 * src/cli/parse.c.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cli/parse.h"

#include <string.h>

static const cli_option options[] = {
    {.name = "flag", .type = CLI_FLAG, .letter = 'f', .help = "a flag"},
    {.name = "text", .type = CLI_TEXT, .argument = "T", .letter = 't', .help = "a text"},
    {.name = "many", .type = CLI_TEXTS, .argument = "T", .help = "texts"},
    {.name = "count",
     .type = CLI_INT,
     .argument = "N",
     .fallback = "7",
     .min = -5,
     .max = 10,
     .help = "a count"},
    {.name = "seed", .type = CLI_INT, .argument = "N", .help = "a number without a highest"},
    {.name = "loss", .type = CLI_PERCENT, .argument = "P", .max = 1, .help = "a loss"},
    {.name = "memory", .type = CLI_BYTES, .argument = "B", .help = "bytes"},
    {.name = "list",
     .type = CLI_INTS,
     .argument = "L",
     .fallback = "1,2",
     .max = 100,
     .help = "numbers"},
    {.name = "dtype",
     .type = CLI_CHOICE,
     .argument = "D",
     .choices = "f32|bf16",
     .fallback = "bf16",
     .help = "type"},
    {0},
};

static const cli_command command = {.name = "try",
                                    .operands = "MODEL [FILE]",
                                    .operands_min = 1,
                                    .operands_max = 2,
                                    .options = options};

static cli_context context;

/* Parses up to eight words, NULL after the last. */
static hone_status parse(const char *a, const char *b, const char *c, const char *d, const char *e)
{
    char *argv[] = {(char *)(uintptr_t)a, (char *)(uintptr_t)b, (char *)(uintptr_t)c,
                    (char *)(uintptr_t)d, (char *)(uintptr_t)e};
    int argc = 0;
    while (argc < 5 && argv[argc])
        argc++;
    cli_parse_free(&context);
    return cli_parse(&command, argc, argv, &context);
}

static void refuses(const char *option, const char *value, const char *message)
{
    assert_int_equal(parse("m", option, value, NULL, NULL), HONE_USAGE);
    if (!strstr(hone_error(), message))
        fail_msg("\"%s\" does not say \"%s\"", hone_error(), message);
}

static void absent_options_have_their_fallback(void **state)
{
    size_t n;
    (void)state;
    assert_int_equal(parse("m", NULL, NULL, NULL, NULL), HONE_OK);
    assert_int_equal(cli_int(&context, "count"), 7);
    assert_string_equal(cli_text(&context, "dtype"), "bf16");
    assert_int_equal(cli_ints(&context, "list", &n)[1], 2);
    assert_int_equal(n, 2);
    assert_null(cli_text(&context, "text"));
    assert_false(cli_given(&context, "count"));
    assert_false(cli_flag(&context, "flag"));
}

static void values_are_taken_behind_a_blank_an_equals_sign_and_a_letter(void **state)
{
    (void)state;
    assert_int_equal(parse("--count", "-3", "m", "-f", "--text=a=b"), HONE_OK);
    assert_int_equal(cli_int(&context, "count"), -3);
    assert_string_equal(cli_text(&context, "text"), "a=b");
    assert_true(cli_flag(&context, "flag"));
    assert_int_equal(parse("-t", "--", "m", "-", "--json"), HONE_OK);
    assert_string_equal(cli_text(&context, "text"), "--");
    assert_string_equal(cli_operand(&context, 1), "-");
    assert_true(cli_json(&context));
}

static void words_after_two_dashes_are_operands(void **state)
{
    (void)state;
    assert_int_equal(parse("--", "--flag", "-f", NULL, NULL), HONE_OK);
    assert_int_equal(cli_operands(&context), 2);
    assert_string_equal(cli_operand(&context, 0), "--flag");
    assert_false(cli_flag(&context, "flag"));
}

static void units_are_understood(void **state)
{
    (void)state;
    assert_int_equal(parse("m", "--loss", "1%", "--memory", "2G"), HONE_OK);
    assert_true(cli_number(&context, "loss") == 0.01);
    assert_int_equal(cli_bytes(&context, "memory"), 2147483648);
    assert_int_equal(parse("m", "--loss", "0", "--memory", "1.5KiB"), HONE_OK);
    assert_true(cli_number(&context, "loss") == 0);
    assert_int_equal(cli_bytes(&context, "memory"), 1536);
}

static void repeated_texts_are_kept_in_order(void **state)
{
    size_t n;
    (void)state;
    assert_int_equal(parse("m", "--many", "a", "--many", "b"), HONE_OK);
    assert_string_equal(cli_texts(&context, "many", &n)[1], "b");
    assert_int_equal(n, 2);
}

static void what_is_wrong_is_refused_with_a_reason(void **state)
{
    (void)state;
    refuses("--count", "11", "from -5 to 10");
    refuses("--count", "1x", "whole number");
    refuses("--count", "", "whole number");
    refuses("--count", "99999999999999999999", "from -5 to 10");
    refuses("--seed", "18446744073709551615", "from 0 to 9223372036854775807");
    refuses("--loss", "150%", "from 0% to 100%");
    refuses("--loss", "1", "--loss 1: give a percentage, such as 1%");
    refuses("--loss", "0.01", "give a percentage");
    refuses("--loss", "nan", "number");
    refuses("--loss", "0x1p3", "number");
    refuses("--memory", "-1", "size");
    refuses("--memory", "5Q", "size");
    refuses("--list", "1,,2", "list");
    refuses("--list", "1,2,", "list");
    refuses("--list", "101", "from 0 to 100");
    refuses("--dtype", "bf", "f32|bf16");
    refuses("--cuont", "1", "did you mean --count?");
    refuses("--fla", NULL, "did you mean --flag?");
    refuses("--text", NULL, "needs a value");
    assert_int_equal(parse("m", "n", "o", NULL, NULL), HONE_USAGE);
    assert_int_equal(parse("--flag", NULL, NULL, NULL, NULL), HONE_USAGE);
}

static void out_of_memory_is_returned(void **state)
{
    (void)state;
    for (int n = 0; n < 16; n++) {
        hone_mem_fail_after(n);
        hone_status s = parse("m", "--list", "1,2,3", "--many", "a");
        hone_mem_fail_after(-1);
        if (s == HONE_OK) {
            assert_true(n > 0);
            return;
        }
        assert_int_equal(s, HONE_MEMORY);
    }
    fail_msg("parsing still fails after sixteen allocations");
}

static int forget(void **state)
{
    (void)state;
    cli_parse_free(&context);
    return 0;
}

int main(void)
{
#define PARSE_TEST(f) cmocka_unit_test_teardown(f, forget)
    const struct CMUnitTest tests[] = {
        PARSE_TEST(absent_options_have_their_fallback),
        PARSE_TEST(values_are_taken_behind_a_blank_an_equals_sign_and_a_letter),
        PARSE_TEST(words_after_two_dashes_are_operands),
        PARSE_TEST(units_are_understood),
        PARSE_TEST(repeated_texts_are_kept_in_order),
        PARSE_TEST(what_is_wrong_is_refused_with_a_reason),
        PARSE_TEST(out_of_memory_is_returned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
