#include "train/data/dataset_item.h"

#include "base/mem.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

#include <string.h>

/* What templates take for today (26 July 2024), so that the same input gives the same file. */
enum { RENDERED_AT = 1722000000 };

void hone_dataset_item_free(hone_dataset_item *item)
{
    hone_free(item->why);
    hone_free(item->ids);
    hone_free(item->learn);
    *item = (hone_dataset_item){0};
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* The hash of a text in which runs of white space are one blank, without those at its ends. */
static hone_status hash_text(const char *text, size_t n, XXH128_hash_t *out)
{
    char *copy = hone_malloc(n + 1);
    if (!copy)
        return hone_fail_memory(n, "the hash of a document");
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (!is_blank(text[i]))
            copy[k++] = text[i];
        else if (k && copy[k - 1] != ' ')
            copy[k++] = ' ';
    }
    k -= k && copy[k - 1] == ' ';
    *out = XXH3_128bits(copy, k);
    hone_free(copy);
    return HONE_OK;
}

/* Appends the tokens of a part of the text. */
static hone_status put_part(const hone_tokenizer *t, hone_dataset_item *item, const char *text,
                            size_t n, unsigned flags, bool learn)
{
    int32_t *ids;
    size_t m;
    HONE_TRY(hone_tokenizer_encode(t, text, n, flags, &ids, &m));
    size_t all = item->n_ids + m;
    int32_t *more = hone_reallocarray(item->ids, all + 2, sizeof *more);
    if (more)
        item->ids = more;
    uint8_t *marks = hone_realloc(item->learn, all + 2);
    if (marks)
        item->learn = marks;
    if (more && marks && m) {
        memcpy(item->ids + item->n_ids, ids, m * sizeof *ids);
        memset(item->learn + item->n_ids, learn, m);
        item->n_ids = all;
    }
    hone_free(ids);
    item->bytes += n;
    return more && marks ? HONE_OK : hone_fail_memory(all * 5, "the tokens of a conversation");
}

static hone_status encode_text(const hone_dataset_build_options *o, const hone_document *d,
                               hone_dataset_item *item)
{
    const hone_tokenizer *t = o->tokenizer;
    HONE_TRY(hash_text(d->text, d->n, &item->hash));
    HONE_TRY(
        hone_tokenizer_encode(t, d->text, d->n, HONE_ENCODE_ADD_SPECIAL, &item->ids, &item->n_ids));
    item->bytes = d->n;
    int32_t eos = hone_tokenizer_eos(t);
    if (eos < 0 || (item->n_ids && item->ids[item->n_ids - 1] == eos))
        return HONE_OK;
    int32_t *more = hone_reallocarray(item->ids, item->n_ids + 1, sizeof *more);
    if (!more)
        return hone_fail_memory((item->n_ids + 1) * sizeof *more, "the tokens of a document");
    item->ids = more;
    item->ids[item->n_ids++] = eos;
    return HONE_OK;
}

/* What the model is to learn is the completion and the end of the text. */
static hone_status encode_prompt(const hone_dataset_build_options *o, const hone_document *d,
                                 hone_dataset_item *item)
{
    const hone_tokenizer *t = o->tokenizer;
    int32_t eos = hone_tokenizer_eos(t);
    HONE_TRY(hash_text(d->text, d->n, &item->hash));
    HONE_TRY(put_part(t, item, d->text, d->prompt, 0, false));
    HONE_TRY(put_part(t, item, d->text + d->prompt, d->n - d->prompt, 0, true));
    /* Room is there for one more on either side (put_part). */
    if (hone_tokenizer_adds_bos(t)) {
        memmove(item->ids + 1, item->ids, item->n_ids * sizeof *item->ids);
        memmove(item->learn + 1, item->learn, item->n_ids);
        item->ids[0] = hone_tokenizer_bos(t);
        item->learn[0] = 0;
        item->n_ids++;
    }
    if (eos >= 0) {
        item->ids[item->n_ids] = eos;
        item->learn[item->n_ids++] = 1;
    }
    return HONE_OK;
}

/* ---- conversations ---- */

static hone_status render(const hone_dataset_build_options *o, const json_t *messages, bool prompt,
                          char **text, size_t *n)
{
    hone_chat_request request = {
        .messages = messages, .add_generation_prompt = prompt, .now = RENDERED_AT};
    return hone_chat_template_render(o->chat, &request, text, n);
}

typedef struct turns {
    json_t *said; /* the messages so far */
    char *before; /* rendered, up to the last assistant's turn */
    size_t n_before;
} turns;

static bool starts_with(const char *s, size_t n, const char *start, size_t m)
{
    return n >= m && (m == 0 || memcmp(s, start, m) == 0);
}

/* x->said ends with an assistant's message: what came before it since the last one, then it. */
static hone_status put_answer(const hone_dataset_build_options *o, hone_dataset_item *item,
                              turns *x, json_t *answer)
{
    char *prompt = NULL, *full = NULL;
    size_t n_prompt, n_full;
    hone_status s;
    HONE_GOTO(s, done, render(o, x->said, true, &prompt, &n_prompt));
    if (json_array_append(x->said, answer) != 0)
        HONE_GOTO(s, done, hone_fail_memory(64, "a conversation"));
    HONE_GOTO(s, done, render(o, x->said, false, &full, &n_full));
    if (!starts_with(prompt, n_prompt, x->before, x->n_before) ||
        !starts_with(full, n_full, prompt, n_prompt))
        HONE_GOTO(s, done,
                  hone_fail(HONE_DATA, "the chat template writes earlier turns otherwise once "
                                       "later ones follow: what the model is to learn cannot be "
                                       "told from the rest (one answer a conversation would do)"));
    HONE_GOTO(s, done,
              put_part(o->tokenizer, item, prompt + x->n_before, n_prompt - x->n_before,
                       HONE_ENCODE_PARSE_SPECIAL, false));
    HONE_GOTO(s, done,
              put_part(o->tokenizer, item, full + n_prompt, n_full - n_prompt,
                       HONE_ENCODE_PARSE_SPECIAL, true));
    hone_free(x->before);
    x->before = full;
    x->n_before = n_full;
    full = NULL;
done:
    hone_free(prompt);
    hone_free(full);
    return s;
}

static hone_status put_turns(const hone_dataset_build_options *o, const json_t *messages,
                             hone_dataset_item *item, turns *x)
{
    size_t i;
    json_t *message;
    json_array_foreach(messages, i, message)
    {
        const char *role = json_string_value(json_object_get(message, "role"));
        if (!role)
            return hone_fail(HONE_DATA, "message %zu has no \"role\"", i + 1);
        if (strcmp(role, "assistant") == 0)
            HONE_TRY(put_answer(o, item, x, message));
        else if (json_array_append(x->said, message) != 0)
            return hone_fail_memory(64, "a conversation");
    }
    if (x->n_before == 0)
        return hone_fail(HONE_DATA, "the conversation has no turn of the assistant to learn from");
    return hash_text(x->before, x->n_before, &item->hash);
}

static hone_status encode_chat(const hone_dataset_build_options *o, const json_t *messages,
                               hone_dataset_item *item)
{
    if (!o->chat)
        return hone_fail(HONE_DATA, "a conversation, but there is no chat template");
    turns x = {.said = json_array()};
    if (!x.said)
        return hone_fail_memory(64, "a conversation");
    hone_status s = put_turns(o, messages, item, &x);
    json_decref(x.said);
    hone_free(x.before);
    return s;
}

void hone_dataset_item_encode(const hone_dataset_build_options *o, const hone_document *d,
                              hone_dataset_item *item)
{
    item->status = d->messages ? encode_chat(o, d->messages, item)
                   : d->prompt ? encode_prompt(o, d, item)
                               : encode_text(o, d, item);
    if (item->status != HONE_OK)
        item->why = hone_strdup(hone_error());
}
