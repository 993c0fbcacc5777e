/*
 * chat_session - a conversation with a loaded model: messages, what of them is in the session, and
 * answers as they come.
 *
 * Each answer renders the whole conversation, and only what differs from the tokens that are in the
 * session already is computed: the session is cut back to the common beginning. Threading: one
 * thread. Ownership: cli_chat_close frees everything.
 */
#ifndef HONE_CLI_CHAT_SESSION_H
#define HONE_CLI_CHAT_SESSION_H

#include "cli/chat_prompt.h"
#include "cli/cli.h"
#include "engine/engine.h"
#include "engine/sampler.h"

typedef struct cli_chat_stats {
    size_t prompt, reused, tokens; /* of the last answer; reused: of the prompt */
    double prefill_s, decode_s;
    const char *stop; /* "end", "stop", "length", "context", "interrupted" */
} cli_chat_stats;

typedef struct cli_chat {
    const cli_context *c;
    hone_engine *engine;
    hone_tokenizer *tokenizer;
    cli_chat_format format;
    hone_session *session;
    hone_detok *detok;
    float *logits; /* [vocab] */
    hone_sampling sampling;
    hone_logit_bias *bias;
    int64_t tokens_max;        /* of an answer */
    json_t *messages;          /* array */
    json_t *tools, *variables; /* NULL or array; object */
    int32_t *fed;              /* tokens in the session, [room] */
    size_t n_fed, room;
    char *text; /* the answer so far; the first `shown` bytes are printed */
    size_t text_bytes, text_room, shown;
    cli_chat_stats last;
    size_t answers, all_tokens;
    bool quiet; /* print nothing while answering (--json) */
} cli_chat;

/* Opens model, tokenizer and template as the options of `hone chat` say. */
HONE_CHECKED hone_status cli_chat_begin(const cli_context *c, cli_chat *out);
void cli_chat_close(cli_chat *k);

/* Appends a message. DATA: no valid UTF-8. */
HONE_CHECKED hone_status cli_chat_say(cli_chat *k, const char *role, const char *text,
                                      size_t bytes);
/* Forgets all messages but the system's. */
void cli_chat_reset(cli_chat *k);
/* The system's message; "" takes it away. */
HONE_CHECKED hone_status cli_chat_set_system(cli_chat *k, const char *text);
/* Drops the last message if it is of this role; true if it was. */
bool cli_chat_drop(cli_chat *k, const char *role);

/* Answers the conversation and appends the answer to it, printing it as it comes. A signal ends
 * the answer (last.stop says so); ctrl-C is then forgotten. After a failure the messages
 * are as before. */
HONE_CHECKED hone_status cli_chat_answer(cli_chat *k);
/* The conversation as text, as the next answer would begin. *text: hone_free. */
HONE_CHECKED hone_status cli_chat_text(const cli_chat *k, char **text, size_t *bytes);

#endif
