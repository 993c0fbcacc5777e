// links: text
/*
 * Conversations through chat templates against what transformers rendered (chat.json, made by
 * golden_text.py of the shared data: jinja2 as transformers sets it up, the clock at 2026-11-21).
 * The models' own templates are in the shared data; templates written for the goldens are here.
 */
#include "base/io.h"
#include "base/mem.h"
#include "text/chat_template.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../folder.h"
#include "../shared.h"

static const char *own(const char *name)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/tests/golden/data/chat/%s", HONE_SOURCE_DIR, name);
    return path;
}

static json_t *golden(void)
{
    json_error_t e;
    json_t *root = json_load_file(own("chat.json"), 0, &e);
    if (!root)
        fail_msg("chat.json: %s", e.text);
    return root;
}

static time_t frozen(void)
{
    struct tm noon = {.tm_year = 126, .tm_mon = 10, .tm_mday = 21, .tm_hour = 12, .tm_isdst = -1};
    return mktime(&noon);
}

/* bos_token and eos_token as the goldens passed them, and the conversation's own variables. */
static json_t *variables_of(const json_t *template, const json_t *conversation)
{
    json_t *o = json_object();
    json_object_set(o, "bos_token", json_object_get(template, "bos_token"));
    json_object_set(o, "eos_token", json_object_get(template, "eos_token"));
    json_object_update(o, json_object_get(conversation, "kwargs"));
    return o;
}

static bool check(const hone_chat_template *t, const char *name, const json_t *template,
                  const json_t *conversation, const json_t *want)
{
    const json_t *prompt = json_object_get(conversation, "add_generation_prompt");
    json_t *variables = variables_of(template, conversation);
    hone_chat_request request = {.messages = json_object_get(conversation, "messages"),
                                 .tools = json_object_get(conversation, "tools"),
                                 .variables = variables,
                                 .now = frozen(),
                                 .add_generation_prompt = !prompt || json_is_true(prompt)};
    char *text;
    size_t n;
    hone_status s = hone_chat_template_render(t, &request, &text, &n);
    const char *error = json_string_value(json_object_get(want, "error"));
    const json_t *expected = json_object_get(want, "text");
    bool same;
    if (error) { /* "UndefinedError: 'dict object' has no..." (cut): its message is in ours */
        const char *message = strstr(error, ": ") + 2;
        same = s == HONE_DATA && strstr(hone_error(), message);
    } else {
        same = s == HONE_OK && n == json_string_length(expected) &&
               memcmp(text, json_string_value(expected), n) == 0;
    }
    if (!same)
        print_message("%s, \"%s\":\n want %s\n got  %s\n", name,
                      json_string_value(json_object_get(conversation, "name")),
                      error ? error : json_string_value(expected), s ? hone_error() : text);
    hone_free(text);
    json_decref(variables);
    return same;
}

/* All conversations of the goldens through the template `name`; the number of renderings. */
static size_t check_all(const json_t *root, const char *name, const hone_chat_template *t)
{
    const json_t *conversations = json_object_get(root, "conversations");
    const json_t *template = json_object_get(json_object_get(root, "templates"), name);
    const json_t *renderings = json_object_get(template, "renderings");
    size_t i, bad = 0;
    json_t *want;
    assert_int_equal(json_array_size(renderings), json_array_size(conversations));
    json_array_foreach(renderings, i, want)
    {
        bad += !check(t, name, template, json_array_get(conversations, i), want);
    }
    assert_int_equal(bad, 0);
    return json_array_size(renderings);
}

/* A template file and nothing else: what `own:` templates of the goldens are. */
static hone_chat_template *from_file(const char *path)
{
    char *text;
    size_t n;
    hone_chat_template *t;
    assert_int_equal(make_folder(NULL), 0);
    assert_int_equal(hone_chat_template_open(folder, &t), HONE_OK);
    assert_int_equal(hone_chat_template_count(t), 0);
    assert_int_equal(remove_folder(NULL), 0);
    if (hone_read_file(path, 1 << 20, &text, &n) != HONE_OK)
        fail_msg("%s", hone_error());
    if (hone_chat_template_add(t, text, n) != HONE_OK)
        fail_msg("%s", hone_error());
    hone_free(text);
    return t;
}

static void templates_of_the_goldens_render_alike(void **state)
{
    (void)state;
    json_t *root = golden();
    const char *name;
    json_t *o;
    size_t count = 0;
    json_object_foreach(json_object_get(root, "templates"), name, o)
    {
        char file[64];
        if (strncmp(name, "own:", 4) != 0)
            continue;
        snprintf(file, sizeof file, "%s.jinja", name + 4);
        hone_chat_template *t = from_file(own(file));
        count += check_all(root, name, t);
        hone_chat_template_close(t);
    }
    assert_int_equal(count, 60);
    print_message("%zu renderings of templates written for the goldens are equal\n", count);
    json_decref(root);
}

static void templates_of_models_render_alike(void **state)
{
    (void)state;
    need_shared(__func__, "tokenizers/qwen3");
    json_t *root = golden();
    const char *name;
    json_t *o;
    size_t count = 0;
    json_object_foreach(json_object_get(root, "templates"), name, o)
    {
        if (strncmp(name, "own:", 4) == 0)
            continue;
        char from[256];
        snprintf(from, sizeof from, "tokenizers/%s", name);
        hone_chat_template *t;
        if (hone_chat_template_open(shared(from), &t) != HONE_OK)
            fail_msg("%s", hone_error());
        assert_int_equal(hone_chat_template_count(t), 1);
        const char *eos = hone_chat_template_token(t, "eos_token");
        assert_string_equal(eos, json_string_value(json_object_get(o, "eos_token")));
        count += check_all(root, name, t);
        hone_chat_template_close(t);
    }
    assert_int_equal(count, 60);
    print_message("%zu renderings of models' templates are equal\n", count);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_of_the_goldens_render_alike),
        cmocka_unit_test(templates_of_models_render_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
