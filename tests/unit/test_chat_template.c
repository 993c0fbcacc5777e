// links: text
/*
 * Templates of strangers: what is bounded, what is refused and how it is said; where templates come
 * from. That renderings are right is test_chat_golden and jinja_diff.py's business.
 */
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "file/write.h"
#include "text/chat_template.h"
#include "text/jinja.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../folder.h"

static const jinja_limits small = {
    .steps = 1000000, .memory_bytes = 16 << 20, .output_bytes = 1 << 20};

/* Status of a rendering with {"x": [1, 2], "s": "text"}; the text in out if it is not NULL. */
static hone_status render(const char *source, const jinja_limits *limits, char **out)
{
    jinja_program *p;
    json_t *variables;
    char *text;
    size_t n;
    if (out)
        *out = NULL;
    hone_status s = jinja_compile(source, strlen(source), "t", &p);
    if (s != HONE_OK)
        return s;
    s = hone_json_parse("{\"x\": [1, 2], \"s\": \"text\"}", 26, 4, 10, "variables", &variables);
    if (s == HONE_OK)
        s = jinja_render(p, variables, 0, limits, &text, &n);
    if (s == HONE_OK && out)
        *out = text;
    else if (s == HONE_OK)
        hone_free(text);
    json_decref(variables);
    jinja_close(p);
    return s;
}

static void refused(const char *source, hone_status status, const char *message)
{
    char *text;
    hone_status s = render(source, &small, &text);
    if (s != status || !strstr(hone_error(), message))
        fail_msg("%.60s: %s \"%s\", not %s \"%s\"", source, hone_status_name(s),
                 s ? hone_error() : text, hone_status_name(status), message);
}

static void unknown_constructs_are_named_with_line_and_column(void **state)
{
    (void)state;
    refused("a\n  {% include 'x' %}", HONE_UNSUPPORTED, "t, line 2, column 6: tag 'include'");
    refused("{{ s|shout }}", HONE_UNSUPPORTED, "line 1, column 6: filter 'shout' is not known");
    refused("{{ s is loud }}", HONE_UNSUPPORTED, "column 9: test 'loud' is not known");
    refused("{% if s %}\n{{ 1|from_json }}{% endif %}", HONE_UNSUPPORTED,
            "line 2, column 6: filter 'from_json' is not known");
    refused("{{ x|map('nope')|list }}", HONE_UNSUPPORTED, "filter 'nope' is not known");
    refused("\xC3\xA4\xC3\xA4{{ s.shout() }}", HONE_DATA,
            "line 1, column 13: 'str object' has no attribute 'shout'");
    refused("{{ 99999999999999999999 }}", HONE_UNSUPPORTED, "beyond 64 bits");
    refused("{{ 2 ** 64 }}", HONE_UNSUPPORTED, "beyond 64 bits");
    refused("{{ 9000000000000000000|round(-19) }}", HONE_UNSUPPORTED, "beyond 64 bits");
    refused("{{ x|map('string') }}", HONE_UNSUPPORTED, "map was printed");
}

static void wrong_syntax_says_what_was_expected(void **state)
{
    (void)state;
    refused("{% if s %}", HONE_FORMAT, "ends before {% endif %}");
    refused("{% for a in x %}{% endif %}", HONE_FORMAT, "'endfor' is missing");
    refused("{{ s", HONE_FORMAT, "expected }}, got the end");
    refused("{{ 'abc }}", HONE_FORMAT, "column 4: a string begins here");
    refused("\n\n{# abc", HONE_FORMAT, "line 3, column 1: a comment begins here");
    refused("{{ (1, 2] }}", HONE_FORMAT, "unexpected ']', expected ')'");
    refused("{% set 1 = 2 %}", HONE_FORMAT, "only names can be assigned to");
    refused("{{ 1 ! 2 }}", HONE_FORMAT, "unexpected character '!'");
    refused("{% break %}", HONE_FORMAT, "'break' outside of a loop");
    refused("{{ '\\ud800' }}", HONE_FORMAT, "no character");
    refused("\xFF", HONE_FORMAT, "UTF-8");
}

static void a_template_may_refuse_a_conversation(void **state)
{
    (void)state;
    refused("{{ raise_exception('roles must ' ~ 'alternate') }}", HONE_DATA,
            "column 19: the template refuses the conversation: roles must alternate");
    refused("{{ missing.role }}", HONE_DATA, "'missing' is undefined");
    refused("{{ {}.a.b }}", HONE_DATA, "'dict object' has no attribute 'a'");
    refused("{{ x[7].a }}", HONE_DATA, "list object has no element 7");
}

static void the_sandbox_keeps_its_input(void **state)
{
    (void)state;
    refused("{{ x.append(3) }}", HONE_DATA, "'append' of 'list' object is unsafe");
    refused("{{ {'a': 1}.pop('a') }}", HONE_DATA, "'pop' of 'dict' object is unsafe");
    refused("{{ s.__class__.x }}", HONE_DATA, "__class__");
}

static void endless_templates_end(void **state)
{
    (void)state;
    refused("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            HONE_LIMIT, "did not end within 1000000 steps");
    refused("{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}", HONE_LIMIT, "recursion");
    refused("{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
            HONE_LIMIT, "recursion");
    refused("{% for a in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}", HONE_LIMIT, "recursion");
    refused("{% macro m() %}{{ caller() }}{% endmacro %}{% macro n() %}{% call m() %}{{ n() }}"
            "{% endcall %}{% endmacro %}{{ n() }}",
            HONE_LIMIT, "recursion");
    refused("{% set n = namespace() %}{% set n.n = n %}{{ n }}", HONE_LIMIT, "nested deeper");
    refused("{% set n = namespace(l=[]) %}{% for i in range(900) %}{% set n.l = [n.l] %}"
            "{% endfor %}{{ n.l }}",
            HONE_LIMIT, "nested deeper");
    refused("{% set n = namespace(l=[], m=[]) %}{% for i in range(2000) %}{% set n.l = [n.l] %}"
            "{% set n.m = [n.m] %}{% endfor %}{{ n.l == n.m }}",
            HONE_LIMIT, "recursion");
}

/* One operation may be long: it is counted by what it has to look at. */
static void expensive_operations_count_for_more(void **state)
{
    (void)state;
    static const char *const hard[] = {
        "{{ ('a' * 4000000).strip('b' * 2000000 ~ 'a')|length }}",
        "{{ ('a' * 4000000).rfind('a' * 2000000 ~ 'b') }}",
        "{{ ('a' * 4000000)|trim('b' * 2000000 ~ 'a')|length }}",
        "{{ ('a' * 4000000).rsplit('a' * 2000000 ~ 'b')|length }}",
        "{% set a = 'a' * 3000000 ~ 'b' %}{% set b = 'a' * 3000000 ~ 'c' %}"
        "{% for i in range(90000) %}{% if a == b %}x{% endif %}{% endfor %}",
        "{% set a = 'a' * 3000000 ~ 'b' %}{% set d = {('a' * 3000000 ~ 'c'): 1} %}"
        "{% for i in range(90000) %}{% if a in d %}x{% endif %}{% endfor %}",
        "{% set a = 'a' * 4000000 %}{% for i in range(90000) %}{{ a[i] }}{% endfor %}",
        "{% set a = 'a' * 4000000 %}{% for i in range(90000) %}{{ 'b' in a }}{% endfor %}",
        "{% set a = range(99999)|list %}{% for i in a %}{{ i - 1 in a }}{% endfor %}",
    };
    for (size_t i = 0; i < sizeof hard / sizeof *hard; i++)
        refused(hard[i], HONE_LIMIT, "did not end within 1000000 steps");
}

static void large_templates_stay_small(void **state)
{
    (void)state;
    refused("{{ 'x' * 1000000000 }}", HONE_LIMIT, "more than 16777216 bytes");
    refused("{{ [0] * 100000000 }}", HONE_LIMIT, "more than");
    refused("{{ 'x' * 999999999999 }}", HONE_LIMIT, "too large");
    refused("{% set n = namespace(s='x') %}{% for i in range(64) %}{% set n.s = n.s ~ n.s %}"
            "{% endfor %}",
            HONE_LIMIT, "more than");
    refused("{% for i in range(90000) %}{{ 'xxxxxxxxxxxxxxxxxxxxxxxx' }}{% endfor %}", HONE_LIMIT,
            "grows beyond 1048576 bytes");
    refused("{{ '%99999d' % 1 }}", HONE_LIMIT, "wider");
    refused("{{ '{:>99999}'.format(1) }}", HONE_LIMIT, "wider");
    refused("{{ 'x'.center(999999999999) }}", HONE_LIMIT, "characters");
    refused("{{ range(1000000) }}", HONE_DATA, "Range too big");
    refused("{{ 'x'|indent(99999999)|length }}{{ [1]|tojson(indent=99999999) }}", HONE_LIMIT,
            "bytes");
}

/* `count` times `open`, then `middle`, then `count` times `close`. */
static hone_status nest(const char *open, const char *middle, const char *close, size_t count)
{
    size_t a = strlen(open), b = strlen(middle), c = strlen(close);
    char *source = malloc(count * (a + c) + b + 1), *p = source;
    for (size_t i = 0; i < count; i++, p += a)
        memcpy(p, open, a);
    memcpy(p, middle, b);
    p += b;
    for (size_t i = 0; i < count; i++, p += c)
        memcpy(p, close, c);
    *p = 0;
    hone_status s = render(source, &small, NULL);
    free(source);
    return s;
}

static void nesting_is_bounded_and_useful(void **state)
{
    (void)state;
    static const char *const kinds[][3] = {
        {"{% if s %}", "x", "{% endif %}"},         {"{% for a in x %}", "x", "{% endfor %}"},
        {"{% macro m() %}", "x", "{% endmacro %}"}, {"{% filter upper %}", "x", "{% endfilter %}"},
        {"{% set q %}", "x", "{% endset %}"},
    };
    assert_int_equal(nest("{% if s %}", "x", "{% endif %}", 50), HONE_OK);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        assert_int_equal(nest(kinds[i][0], kinds[i][1], kinds[i][2], 10000), HONE_LIMIT);
    static const char *const inner[][3] = {
        {"(", "1", ")"},  {"[", "1", "]"},    {"{1:", "1", "}"},
        {"-", "1", ""},   {"not ", "1", ""},  {"1 if 1 else ", "1", ""},
        {"x[", "0", "]"}, {"s.a(", "1", ")"}, {"1|default(", "1", ")"},
    };
    for (size_t i = 0; i < sizeof inner / sizeof *inner; i++) {
        char open[64], close[64];
        snprintf(open, sizeof open, "%s", inner[i][0]);
        snprintf(close, sizeof close, "%s", inner[i][2]);
        char *source = malloc(2000000);
        for (size_t count = 20; count <= 20000; count *= 1000) {
            char *p = source + sprintf(source, "{{ ");
            for (size_t k = 0; k < count; k++)
                p += sprintf(p, "%s", open);
            p += sprintf(p, "%s", inner[i][1]);
            for (size_t k = 0; k < count; k++)
                p += sprintf(p, "%s", close);
            sprintf(p, " }}");
            hone_status s = render(source, &small, NULL);
            if (count == 20 ? s == HONE_LIMIT || s == HONE_FORMAT : s != HONE_LIMIT)
                fail_msg("%s x %zu: %s", open, count, s ? hone_error() : "fine");
        }
        free(source);
    }
}

/* Chains are no nesting in the text, but in the tree. */
static void long_chains_are_bounded_and_useful(void **state)
{
    (void)state;
    static const char *const links[] = {" + 1", "|string", ".a", "[0]", " and 1", " or 1", " * 1"};
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        char *source = malloc(200000);
        for (int count = 50; count <= 20000; count *= 400) {
            char *p = source + sprintf(source, "{{ x");
            for (int k = 0; k < count; k++)
                p += sprintf(p, "%s", links[i]);
            sprintf(p, " }}");
            hone_status s = render(source, &small, NULL);
            if (count == 50 ? s == HONE_LIMIT : s != HONE_LIMIT)
                fail_msg("%s x %d: %s", links[i], count, s ? hone_error() : "fine");
        }
        free(source);
    }
    char *source = malloc(400000), *p = source + sprintf(source, "{%% if 0 %%}"), *text;
    for (int k = 0; k < 10000; k++)
        p += sprintf(p, "{%% elif 0 %%}%d", k);
    sprintf(p, "{%% else %%}end{%% endif %%}");
    assert_int_equal(render(source, &small, &text), HONE_OK);
    assert_string_equal(text, "end");
    hone_free(text);
    free(source);
}

static void a_text_joined_piece_by_piece_is_not_copied_each_time(void **state)
{
    (void)state;
    char *text;
    const jinja_limits limits = {.memory_bytes = 24 << 20};
    assert_int_equal(render("{% set n = namespace(s='') %}{% for i in range(20000) %}"
                            "{% set n.s = n.s ~ '0123456789' %}{% endfor %}{{ n.s|length }}",
                            &limits, &text),
                     HONE_OK);
    assert_string_equal(text, "200000");
    hone_free(text);
}

static const char everything[] =
    "{% macro m(a, b=2) %}{{ a ~ b }}{{ caller() if caller else '' }}{% endmacro %}"
    "{% set n = namespace(l=[]) %}{% for i in x %}{% set n.l = n.l + [i|string] %}"
    "{{ loop.index }}{% endfor %}{{ m(1) }}{% call m(b=3, a=x) %}in{% endcall %}"
    "{{ n.l|join(',')|upper }}{{ {'a': x}|tojson(indent=2) }}{{ '%s' % s }}{{ '{}'.format(s) }}"
    "{% set q %}{{ s[1:] }}{% endset %}{{ q|replace('x', 'y') }}{{ x|map('string')|list }}"
    "{{ missing }}{{ x|sort(reverse=true) }}";

static void every_failed_allocation_is_survived(void **state)
{
    (void)state;
    char *text;
    bool done = false;
    for (int64_t n = 0; !done && n < 10000; n++) {
        hone_mem_fail_after(n);
        hone_status s = render(everything, NULL, &text);
        hone_mem_fail_after(-1);
        done = s == HONE_OK;
        if (done)
            hone_free(text);
        else
            assert_int_equal(s, HONE_MEMORY);
    }
    assert_true(done);
}

/* ---- where templates come from ---- */

static void put(const char *name, const char *text)
{
    assert_int_equal(hone_write_file(in_folder(name), text, strlen(text)), HONE_OK);
}

/* What the opened template makes of one message "hi" (with tools or not); "" and a failure. */
static const char *said(const hone_chat_template *t, bool tools, const char *name)
{
    static char result[512];
    json_t *messages = json_pack("[{s:s, s:s}]", "role", "user", "content", "hi");
    json_t *list = tools ? json_pack("[{s:s}]", "type", "function") : NULL;
    hone_chat_request request = {
        .messages = messages, .tools = list, .name = name, .add_generation_prompt = true};
    char *text;
    size_t n;
    *result = 0;
    if (hone_chat_template_render(t, &request, &text, &n) == HONE_OK) {
        snprintf(result, sizeof result, "%s", text);
        hone_free(text);
    }
    json_decref(messages);
    json_decref(list);
    return result;
}

static hone_chat_template *opened(const char *path)
{
    hone_chat_template *t;
    if (hone_chat_template_open(path, &t) != HONE_OK)
        fail_msg("%s", hone_error());
    return t;
}

static void a_folder_gives_template_and_tokens(void **state)
{
    (void)state;
    put("tokenizer_config.json",
        "{\"bos_token\": {\"content\": \"<b>\"}, \"eos_token\": \"<e>\", \"pad_token\": null, "
        "\"additional_special_tokens\": [\"<x>\", {\"content\": \"<y>\"}], "
        "\"chat_template\": \"{{ bos_token }}{{ messages[0].content }}{{ eos_token }}"
        "{{ pad_token is defined }}{{ additional_special_tokens }}\"}");
    hone_chat_template *t = opened(folder);
    assert_string_equal(said(t, false, NULL), "<b>hi<e>False['<x>', '<y>']");
    assert_string_equal(hone_chat_template_token(t, "eos_token"), "<e>");
    assert_null(hone_chat_template_token(t, "pad_token"));
    hone_chat_template_close(t);

    put("chat_template.jinja", "from the file {{ bos_token }}");
    t = opened(folder);
    assert_int_equal(hone_chat_template_count(t), 1);
    assert_string_equal(said(t, false, NULL), "from the file <b>");
    hone_chat_template_close(t);
}

static void named_templates_are_chosen_by_tools_and_by_name(void **state)
{
    (void)state;
    put("tokenizer_config.json",
        "{\"chat_template\": [{\"name\": \"default\", \"template\": \"plain\"}, {\"name\": "
        "\"tool_use\", \"template\": \"{{ tools|length }} tools\"}, {\"name\": \"rag\", "
        "\"template\": \"{% nope %}\"}]}");
    assert_int_equal(mkdir(in_folder("additional_chat_templates"), 0777), 0);
    put("additional_chat_templates/short.jinja", "shorter");
    hone_chat_template *t = opened(folder);
    assert_int_equal(hone_chat_template_count(t), 4);
    assert_string_equal(said(t, false, NULL), "plain");
    assert_string_equal(said(t, true, NULL), "1 tools");
    assert_string_equal(said(t, true, "default"), "plain");
    assert_string_equal(said(t, false, "short"), "shorter");
    assert_string_equal(said(t, false, "rag"), "");
    assert_non_null(strstr(hone_error(), "\"rag\", line 1, column 4: tag 'nope' is not known"));
    assert_string_equal(said(t, false, "none"), "");
    assert_non_null(strstr(hone_error(), "no chat template \"none\""));
    hone_chat_template_close(t);
}

static void a_gguf_file_gives_templates_and_tokens(void **state)
{
    (void)state;
    hone_gguf_writer *w;
    static const char *const tokens[] = {"<unk>", "<s>", "</s>", "a"};
    const char *path = in_folder("model.gguf");
    const uint64_t one = 1;
    const float zero = 0;
    assert_int_equal(hone_gguf_writer_open(path, &w), HONE_OK);
    assert_int_equal(hone_gguf_writer_str(w, "general.architecture", "llama"), HONE_OK);
    assert_int_equal(hone_gguf_writer_str(w, "tokenizer.chat_template",
                                          "{{ bos_token ~ messages[0].role ~ eos_token }}"),
                     HONE_OK);
    assert_int_equal(hone_gguf_writer_str(w, "tokenizer.chat_template.tool_use", "tools"), HONE_OK);
    assert_int_equal(hone_gguf_writer_u32(w, "tokenizer.ggml.bos_token_id", 1), HONE_OK);
    assert_int_equal(hone_gguf_writer_u32(w, "tokenizer.ggml.eos_token_id", 2), HONE_OK);
    assert_int_equal(hone_gguf_writer_u32(w, "tokenizer.ggml.padding_token_id", 77), HONE_OK);
    assert_int_equal(hone_gguf_writer_str_array(w, "tokenizer.ggml.tokens", tokens, NULL, 4),
                     HONE_OK);
    assert_int_equal(hone_gguf_writer_tensor(w, "t", HONE_DTYPE_F32, 1, &one), HONE_OK);
    assert_int_equal(hone_gguf_writer_write(w, &zero, 4), HONE_OK);
    assert_int_equal(hone_gguf_writer_commit(w), HONE_OK);
    hone_chat_template *t = opened(path);
    assert_int_equal(hone_chat_template_count(t), 2);
    assert_string_equal(said(t, false, NULL), "<s>user</s>");
    assert_string_equal(said(t, true, NULL), "tools");
    hone_chat_template_close(t);
}

static void bad_configs_are_named_and_none_is_no_failure(void **state)
{
    (void)state;
    hone_chat_template *t = opened(folder);
    assert_int_equal(hone_chat_template_count(t), 0);
    assert_string_equal(said(t, false, NULL), "");
    assert_non_null(strstr(hone_error(), "no chat template"));
    hone_chat_template_close(t);
    put("tokenizer_config.json", "{\"chat_template\": [{\"name\": 5}]}");
    assert_int_equal(hone_chat_template_open(folder, &t), HONE_FORMAT);
    assert_non_null(strstr(hone_error(), "tokenizer_config.json"));
    assert_null(t);
    put("tokenizer_config.json", "{\"chat_template\": ");
    assert_int_equal(hone_chat_template_open(folder, &t), HONE_FORMAT);
    put("tokenizer_config.json", "{\"chat_template\": 7, \"bos_token\": [1]}");
    t = opened(folder);
    assert_int_equal(hone_chat_template_count(t), 0);
    assert_int_equal(hone_chat_template_add(t, "{{ nope", 7), HONE_FORMAT);
    hone_chat_template_close(t);
    assert_int_equal(hone_chat_template_open("/nonexistent", &t), HONE_NOT_FOUND);
}

static void opening_survives_every_failed_allocation(void **state)
{
    (void)state;
    put("tokenizer_config.json",
        "{\"bos_token\": \"<b>\", \"additional_special_tokens\": [\"<x>\"], \"chat_template\": "
        "[{\"name\": \"default\", \"template\": \"{{ messages[0].content }}\"}]}");
    hone_chat_template *t;
    bool done = false;
    for (int64_t n = 0; !done && n < 5000; n++) {
        hone_mem_fail_after(n);
        hone_status s = hone_chat_template_open(folder, &t);
        hone_mem_fail_after(-1);
        done = s == HONE_OK;
        if (!done)
            assert_int_equal(s, HONE_MEMORY);
    }
    assert_true(done);
    hone_chat_template_close(t);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_constructs_are_named_with_line_and_column),
        cmocka_unit_test(wrong_syntax_says_what_was_expected),
        cmocka_unit_test(a_template_may_refuse_a_conversation),
        cmocka_unit_test(the_sandbox_keeps_its_input),
        cmocka_unit_test(endless_templates_end),
        cmocka_unit_test(expensive_operations_count_for_more),
        cmocka_unit_test(large_templates_stay_small),
        cmocka_unit_test(nesting_is_bounded_and_useful),
        cmocka_unit_test(long_chains_are_bounded_and_useful),
        cmocka_unit_test(a_text_joined_piece_by_piece_is_not_copied_each_time),
        cmocka_unit_test(every_failed_allocation_is_survived),
        IN_FOLDER(a_folder_gives_template_and_tokens),
        IN_FOLDER(named_templates_are_chosen_by_tools_and_by_name),
        IN_FOLDER(a_gguf_file_gives_templates_and_tokens),
        IN_FOLDER(bad_configs_are_named_and_none_is_no_failure),
        IN_FOLDER(opening_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
