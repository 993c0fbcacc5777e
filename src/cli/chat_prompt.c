#include "cli/chat_prompt.h"

#include "base/io.h"
#include "base/mem.h"
#include "text/jinja.h"

#include <stdio.h>
#include <string.h>

static const char chatml[] =
    "{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '\\n' ~ m.content ~ '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

static const char plain[] =
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}\n\n"
    "{% else %}{{ 'Assistant' if m.role == 'assistant' else 'User' }}: {{ m.content|trim }}\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}";

static hone_status add_file(hone_chat_template *t, const char *path)
{
    char *text;
    size_t n;
    HONE_TRY(hone_read_file(path, JINJA_SOURCE_MAX, &text, &n));
    hone_status s = hone_chat_template_add(t, text, n);
    hone_free(text);
    return s == HONE_OK ? s : hone_fail_in(s, "%s", path);
}

static hone_status add_fallback(cli_chat_format *f, const hone_tokenizer *t)
{
    bool marks = hone_tokenizer_find(t, "<|im_start|>", 12) >= 0 &&
                 hone_tokenizer_find(t, "<|im_end|>", 10) >= 0;
    f->source = marks ? "ChatML (the model has no template)"
                      : "plain User: and Assistant: (the model has no template)";
    f->stop = marks ? "<|im_end|>" : "\nUser:";
    fprintf(stderr,
            "the model has no chat template: %s is used; hone chat takes another one, --template "
            "FILE\n",
            marks ? "ChatML" : "plain \"User:\" and \"Assistant:\"");
    const char *text = marks ? chatml : plain;
    return hone_chat_template_add(f->template, text, strlen(text));
}

/* The special token (after white space) in the text behind an answer, or -1. */
static int32_t first_special(const hone_tokenizer *t, const char *text, size_t bytes)
{
    int32_t *ids, found = -1;
    size_t n;
    if (hone_tokenizer_encode(t, text, bytes, HONE_ENCODE_PARSE_SPECIAL, &ids, &n) != HONE_OK)
        return -1;
    for (size_t i = 0; i < n; i++) {
        size_t length;
        const char *piece = hone_tokenizer_bytes(t, ids[i], &length);
        if (hone_tokenizer_is_special(t, ids[i]))
            found = ids[i];
        if (found >= 0 || strspn(piece, " \n") != length)
            break;
    }
    hone_free(ids);
    return found;
}

/* What a template writes after an answer is what the model ends its answers with: seen by rendering
 * a conversation that ends with one. A template that refuses it tells nothing. */
static int32_t find_end(const hone_chat_template *template, const hone_tokenizer *t)
{
    static const char mark[] = "HONE-ANSWER-ENDS-HERE";
    json_t *messages = json_pack("[{s:s, s:s}, {s:s, s:s}]", "role", "user", "content", "a", "role",
                                 "assistant", "content", mark);
    hone_chat_request request = {.messages = messages};
    char *text;
    size_t bytes;
    int32_t end = -1;
    if (messages && hone_chat_template_render(template, &request, &text, &bytes) == HONE_OK) {
        const char *at = memmem(text, bytes, mark, sizeof mark - 1);
        if (at)
            end = first_special(t, at + sizeof mark - 1,
                                bytes - (size_t)(at - text) - (sizeof mark - 1));
        hone_free(text);
    }
    json_decref(messages);
    return end;
}

hone_status cli_chat_open(const char *model, const hone_tokenizer *t, const char *file,
                          cli_chat_format *out)
{
    *out = (cli_chat_format){.source = "the model's own", .end = -1};
    HONE_TRY(hone_chat_template_open(model, &out->template));
    hone_status s = HONE_OK;
    if (file) {
        s = add_file(out->template, file);
        out->source = file;
    } else if (hone_chat_template_count(out->template) == 0) {
        s = add_fallback(out, t);
    }
    if (s == HONE_OK) {
        out->end = find_end(out->template, t);
        return s;
    }
    hone_chat_template_close(out->template);
    out->template = NULL;
    return s;
}

hone_status cli_chat_encode(const cli_chat_format *f, const hone_tokenizer *t,
                            const hone_chat_request *request, int32_t **ids, size_t *n)
{
    char *text;
    size_t bytes;
    HONE_TRY(hone_chat_template_render(f->template, request, &text, &bytes));
    hone_status s = hone_tokenizer_encode(t, text, bytes, HONE_ENCODE_PARSE_SPECIAL, ids, n);
    hone_free(text);
    return s;
}

hone_status cli_chat_encode_one(const char *model, const hone_tokenizer *t, const char *text,
                                size_t bytes, cli_chat_format *format, int32_t **ids, size_t *n)
{
    HONE_TRY(cli_chat_open(model, t, NULL, format));
    json_t *messages = json_pack("[{s:s, s:s%}]", "role", "user", "content", text, bytes);
    hone_chat_request request = {.messages = messages, .add_generation_prompt = true};
    hone_status s = messages ? cli_chat_encode(format, t, &request, ids, n)
                             : hone_fail(HONE_DATA, "the prompt is no valid UTF-8");
    json_decref(messages);
    hone_chat_template_close(format->template);
    format->template = NULL;
    return s;
}

size_t cli_chat_certain(const char *text, size_t bytes, const char *stop, bool *found)
{
    size_t n = stop ? strlen(stop) : 0;
    const char *at = n ? memmem(text, bytes, stop, n) : NULL;
    *found = at != NULL;
    if (at)
        return (size_t)(at - text);
    size_t m = n ? n - 1 : 0;
    if (m > bytes)
        m = bytes;
    while (m > 0 && memcmp(text + bytes - m, stop, m) != 0)
        m--;
    return bytes - m;
}
