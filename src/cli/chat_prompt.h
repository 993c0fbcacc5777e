/*
 * chat_prompt - conversations as token ids: the model's template, or one to fall back on.
 *
 * Threading: one thread.
 */
#ifndef HONE_CLI_CHAT_PROMPT_H
#define HONE_CLI_CHAT_PROMPT_H

#include "text/chat_template.h"
#include "text/tokenizer.h"

typedef struct cli_chat_format {
    hone_chat_template *template; /* closed with hone_chat_template_close */
    const char *stop;             /* text that ends an answer, beside the end tokens; or NULL */
    int32_t end;                  /* the token that the template puts after an answer, or -1 */
    const char *source;           /* where the template is from, for people */
} cli_chat_format;

/* The model's templates and special tokens; with `file` (may be NULL) that file as the default
 * template. A model without any gets ChatML if its vocabulary has its tokens, else plain "User:"
 * and "Assistant:", and standard error says so. */
HONE_CHECKED hone_status cli_chat_open(const char *model, const hone_tokenizer *t, const char *file,
                                       cli_chat_format *out);

/* Renders and encodes: special tokens of the template count as such, nothing is put around (as
 * transformers' apply_chat_template does). *ids: hone_free. */
HONE_CHECKED hone_status cli_chat_encode(const cli_chat_format *f, const hone_tokenizer *t,
                                         const hone_chat_request *request, int32_t **ids,
                                         size_t *n);

/* One message of a user. *format: how the answer ends; its template is closed again. */
HONE_CHECKED hone_status cli_chat_encode_one(const char *model, const hone_tokenizer *t,
                                             const char *text, size_t bytes,
                                             cli_chat_format *format, int32_t **ids, size_t *n);

/* Bytes of an answer that are certain: all before `stop`, if that has come (*found), else all but
 * what may be its beginning. stop NULL or "": all. */
size_t cli_chat_certain(const char *text, size_t bytes, const char *stop, bool *found);

#endif
