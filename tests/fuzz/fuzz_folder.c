// links: text
/* A folder with a sound tokenizer and checkpoint in which one companion is any bytes; the first
 * byte says which. What opens is used: the tokenizer, its ends, the chat template, the tensors. */
#include "base/io.h"
#include "base/mem.h"
#include "file_touch.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SEEDS HONE_SOURCE_DIR "/tests/fuzz/corpus/tokenizer/"
#define MODEL HONE_SOURCE_DIR "/tests/golden/data/models/llama/"

typedef enum reader { TOKENIZER, TEMPLATE, WEIGHTS } reader;

static const struct companion {
    const char *name;
    reader by;
    const char *tokenizer; /* the sound file beside it, and its name there */
    const char *as;
} companions[] = {
    {"tokenizer_config.json", TOKENIZER, SEEDS "bytes.json", "tokenizer.json"},
    {"generation_config.json", TOKENIZER, SEEDS "bytes.json", "tokenizer.json"},
    {"tokenizer_config.json", TOKENIZER, SEEDS "words.txt", "vocab.txt"},
    {"tokenizer_config.json", TEMPLATE, NULL, NULL},
    {"special_tokens_map.json", TEMPLATE, NULL, NULL},
    {"chat_template.json", TEMPLATE, NULL, NULL},
    {"model.safetensors.index.json", WEIGHTS, NULL, NULL},
};

static void fill_folder(void)
{
    need_folder();
    if (symlink(MODEL "config.json", in_folder("config.json")) != 0 ||
        symlink(MODEL "model.safetensors", in_folder("part.safetensors")) != 0)
        abort();
}

static void said_why(hone_status s)
{
    if (s != HONE_OK && !hone_error()[0])
        abort();
}

static void use_tokenizer(void)
{
    static const char text[] = "<s>ab <|eot_id|>it's  two\n";
    hone_tokenizer *t;
    hone_status s = hone_tokenizer_open(folder, &t);
    said_why(s);
    if (s != HONE_OK)
        return;
    for (unsigned flags = 0; flags < 4; flags++) {
        int32_t *ids;
        size_t n, bytes;
        char *back;
        if (hone_tokenizer_encode(t, text, sizeof text - 1, flags, &ids, &n) != HONE_OK)
            continue;
        for (size_t i = 0; i < n; i++)
            if (ids[i] < 0 || ids[i] >= hone_tokenizer_vocab_size(t))
                abort();
        if (hone_tokenizer_decode(t, ids, n, flags & 1, &back, &bytes) == HONE_OK)
            hone_free(back);
        hone_free(ids);
    }
    hone_tokenizer_close(t);
}

static void use_template(void)
{
    hone_chat_template *t;
    hone_status s = hone_chat_template_open(folder, &t);
    said_why(s);
    if (s != HONE_OK)
        return;
    json_t *messages = json_pack("[{s:s,s:s}]", "role", "user", "content", "hi");
    if (!messages)
        abort();
    for (size_t i = 0; i < hone_chat_template_count(t); i++) {
        hone_chat_request r = {.messages = messages, .name = hone_chat_template_name(t, i)};
        char *text;
        size_t bytes;
        s = hone_chat_template_render(t, &r, &text, &bytes);
        said_why(s);
        if (s == HONE_OK)
            hone_free(text);
    }
    json_decref(messages);
    hone_chat_template_close(t);
}

static void use_weights(void)
{
    hone_file *f;
    hone_status s = hone_file_open(folder, &f);
    said_why(s);
    if (s == HONE_OK)
        touch_file(f);
    hone_file_close(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const use[])(void) = {use_tokenizer, use_template, use_weights};
    static bool made;
    if (!made)
        fill_folder(), made = true;
    if (size == 0)
        return 0;
    const struct companion *c = &companions[data[0] % (sizeof companions / sizeof *companions)];
    FILE *f = fopen(in_folder(c->name), "wb");
    if (!f || fwrite(data + 1, 1, size - 1, f) != size - 1 || fclose(f) != 0)
        abort();
    if (c->as && symlink(c->tokenizer, in_folder(c->as)) != 0)
        abort();
    use[c->by]();
    unlink(in_folder(c->name));
    if (c->as)
        unlink(in_folder(c->as));
    return 0;
}
