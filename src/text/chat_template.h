/*
 * chat_template - a conversation as the text that a model was trained on, by the model's own
 * template (Jinja; text/jinja.h runs it).
 *
 * Where templates come from: a Hugging Face folder (chat_template.jinja, else `chat_template` of
 * tokenizer_config.json, a text or a list of named ones, else chat_template.json; and
 * additional_chat_templates/NAME.jinja), or the metadata of a GGUF file (tokenizer.chat_template,
 * tokenizer.chat_template.NAME). The special tokens (bos_token, eos_token...) come from the same
 * place and are variables of the template, as in transformers' apply_chat_template.
 *
 * Ownership: strings belong to the object. Threading: immutable once opened (and added to): any
 * number of threads may render.
 */
#ifndef HONE_TEXT_CHAT_TEMPLATE_H
#define HONE_TEXT_CHAT_TEMPLATE_H

#include "base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct hone_file;
typedef struct hone_chat_template hone_chat_template;

enum { HONE_CHAT_TEMPLATES_MAX = 64 }; /* of one model */

/* Opens what the model at `path` (folder or .gguf) carries; it may carry none
 * (hone_chat_template_count is 0). A template that does not compile is kept as such: rendering it
 * says why. Errors: NOT_FOUND, FORMAT, LIMIT, MEMORY, IO. */
HONE_CHECKED hone_status hone_chat_template_open(const char *path, hone_chat_template **out);
HONE_CHECKED hone_status hone_chat_template_from_file(const struct hone_file *f,
                                                      hone_chat_template **out);
void hone_chat_template_close(hone_chat_template *t); /* NULL is fine */

/* Adds (or replaces) the template "default"; n bytes of source. Errors: those of jinja_compile. */
HONE_CHECKED hone_status hone_chat_template_add(hone_chat_template *t, const char *source,
                                                size_t n);

/* The other templates of a folder, which are files in a folder of their own: copied, *files grows
 * by their number; or removed. */
#define HONE_CHAT_TEMPLATES_FOLDER "additional_chat_templates"
HONE_CHECKED hone_status hone_chat_templates_copy(const char *from, const char *to,
                                                  uint64_t *files);
void hone_chat_templates_remove(const char *folder);

size_t hone_chat_template_count(const hone_chat_template *t);
const char *hone_chat_template_name(const hone_chat_template *t, size_t i); /* "default"... */
const char *hone_chat_template_source(const hone_chat_template *t, size_t i);
/* A special token by its variable's name ("eos_token"); NULL when the model has none. */
const char *hone_chat_template_token(const hone_chat_template *t, const char *name);

typedef struct hone_chat_request {
    const json_t *messages;  /* array of {"role": ..., "content": ...} */
    const json_t *tools;     /* array, or NULL for none */
    const json_t *documents; /* array, or NULL */
    const json_t *variables; /* object with further variables (enable_thinking...), or NULL */
    const char *name;        /* which template; NULL: "tool_use" with tools if there is one, else
                                "default" */
    time_t now;              /* what strftime_now prints, local time; 0 = the present */
    bool add_generation_prompt;
} hone_chat_request;

/* Renders. *text (hone_free) ends with a 0 that *bytes does not count. Errors: NOT_FOUND (no such
 * template), DATA (the template refuses the conversation, or fails on it), and those of
 * jinja_compile and jinja_render. */
HONE_CHECKED hone_status hone_chat_template_render(const hone_chat_template *t,
                                                   const hone_chat_request *request, char **text,
                                                   size_t *bytes);

#endif
