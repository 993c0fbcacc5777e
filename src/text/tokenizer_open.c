/* Finding out what a path holds, and handing it to its loader. */
#include "base/io.h"
#include "file/file.h"
#include "text/tokenizer_internal.h"

#include <string.h>

const char *const hone_tokenizer_files[HONE_TOKENIZER_FILES] = {"tokenizer.json",
                                                                "tokenizer_config.json",
                                                                "special_tokens_map.json",
                                                                "tokenizer.model",
                                                                "vocab.json",
                                                                "merges.txt",
                                                                "added_tokens.json",
                                                                "chat_template.jinja",
                                                                "chat_template.json",
                                                                "vocab.txt",
                                                                "spiece.model",
                                                                "sentencepiece.bpe.model",
                                                                "qwen.tiktoken",
                                                                "generation_config.json"};

/* What a loader needs. */
typedef struct source {
    const char *text; /* tokenizer.json, vocab.json with `merges`, or what `load` reads */
    hone_status (*load)(hone_tokenizer *t, const char *text, size_t n);
    bool words; /* text is a vocab.txt */
    const uint8_t *spm;
    const hone_file *gguf;
    size_t n;
    const char *merges;
    size_t n_merges;
    const char *config; /* tokenizer_config.json, or NULL */
    size_t n_config;
    char *ends; /* generation_config.json, or config.json where there is none, or NULL */
    size_t n_ends;
    bool ends_of_model; /* it is config.json */
} source;

static hone_status fill(hone_tokenizer *t, const source *from)
{
    if (from->gguf)
        HONE_TRY(hone_load_tokenizer_gguf(t, from->gguf));
    else if (from->spm)
        HONE_TRY(hone_load_tokenizer_spm(t, from->spm, from->n, from->config, from->n_config));
    else if (from->merges)
        HONE_TRY(hone_load_vocab_merges(t, from->text, from->n, from->merges, from->n_merges));
    else if (from->words)
        HONE_TRY(hone_load_vocab_txt(t, from->text, from->n, from->config, from->n_config));
    else if (from->load)
        HONE_TRY(from->load(t, from->text, from->n));
    else
        HONE_TRY(hone_load_tokenizer_json(t, from->text, from->n));
    if (from->config) {
        hone_status s =
            hone_load_tokenizer_config(t, from->config, from->n_config, from->spm || from->merges);
        if (s != HONE_OK)
            return hone_fail_in(s, "tokenizer_config.json");
    }
    if (from->ends) {
        hone_status s = hone_load_ends(t, from->ends, from->n_ends, from->ends_of_model);
        if (s != HONE_OK)
            return hone_fail_in(s, from->ends_of_model ? "config.json" : "generation_config.json");
    }
    return hone_tokenizer_finish(t);
}

static hone_status load(const source *from, const char *path, hone_tokenizer **out)
{
    hone_tokenizer *t;
    *out = NULL;
    HONE_TRY(hone_tokenizer_new(&t));
    hone_status s = fill(t, from);
    if (s != HONE_OK) {
        hone_tokenizer_close(t);
        return hone_fail_in(s, "%s", path);
    }
    *out = t;
    return HONE_OK;
}

/* A tokenizer in one file that is no GGUF: what it is, its content says. */
static source look_at(const char *data, size_t n)
{
    size_t i = 0;
    while (i < n && memchr(" \t\r\n", data[i], 4))
        i++;
    source from = {.text = data, .n = n};
    if (i < n && data[i] == '{')
        return from;
    if (hone_is_tiktoken(data, n))
        from.load = hone_load_tiktoken;
    else if (hone_is_rwkv(data, n))
        from.load = hone_load_rwkv;
    else
        from = (source){.spm = (const uint8_t *)data, .n = n};
    return from;
}

static hone_status read_member(const char *folder, const char *name, char **text, size_t *n)
{
    return hone_read_member(folder, name, HONE_TOKENIZER_MAX, text, n);
}

static hone_status open_folder(const char *folder, hone_tokenizer **out)
{
    static const char *const files[] = {"tokenizer.model", "spiece.model",
                                        "sentencepiece.bpe.model", "qwen.tiktoken"};
    char *json = NULL, *model = NULL, *vocab = NULL, *merges = NULL, *config = NULL, *ends = NULL;
    size_t n_config, n;
    source from = {0};
    hone_status s;
    HONE_GOTO(s, done, read_member(folder, "tokenizer_config.json", &config, &n_config));
    HONE_GOTO(s, done, read_member(folder, "tokenizer.json", &json, &from.n));
    from.text = json;
    for (size_t i = 0; i < sizeof files / sizeof *files && !json && !model; i++) {
        HONE_GOTO(s, done, read_member(folder, files[i], &model, &n));
        if (model)
            from = look_at(model, n);
    }
    if (!json && !model) {
        HONE_GOTO(s, done, read_member(folder, "vocab.json", &vocab, &from.n));
        HONE_GOTO(s, done, read_member(folder, "merges.txt", &merges, &from.n_merges));
        if (!vocab) {
            HONE_GOTO(s, done, read_member(folder, "vocab.txt", &vocab, &from.n));
            from.words = vocab != NULL;
        }
        from.text = vocab;
        from.merges = from.words ? NULL : merges;
        if (!vocab || !(merges || from.words))
            HONE_GOTO(s, done,
                      hone_fail(HONE_NOT_FOUND,
                                "%s holds no tokenizer: neither tokenizer.json, tokenizer.model, "
                                "spiece.model, vocab.txt nor vocab.json with merges.txt",
                                folder));
    }
    from.config = config;
    from.n_config = n_config;
    HONE_GOTO(s, done, read_member(folder, "generation_config.json", &ends, &from.n_ends));
    from.ends_of_model = ends == NULL; /* as transformers does */
    if (!ends)
        HONE_GOTO(s, done, read_member(folder, "config.json", &ends, &from.n_ends));
    from.ends = ends;
    s = load(&from, folder, out);
done:
    hone_free(json);
    hone_free(model);
    hone_free(vocab);
    hone_free(merges);
    hone_free(config);
    hone_free(ends);
    return s;
}

hone_status hone_tokenizer_from_file(const struct hone_file *f, hone_tokenizer **out)
{
    *out = NULL;
    if (hone_file_kind(f) == HONE_FILE_HF)
        return open_folder(hone_file_path(f), out);
    if (hone_file_kind(f) != HONE_FILE_GGUF)
        return hone_fail(HONE_NOT_FOUND, "%s carries no tokenizer: name one of its own",
                         hone_file_path(f));
    return load(&(source){.gguf = f}, hone_file_path(f), out);
}

hone_status hone_tokenizer_of_model(const char *path, hone_tokenizer **out)
{
    hone_file *f;
    *out = NULL;
    HONE_TRY(hone_file_open(path, &f));
    hone_status s = hone_tokenizer_from_file(f, out);
    hone_file_close(f);
    return s;
}

static hone_status open_file(const char *path, hone_tokenizer **out)
{
    hone_map m;
    HONE_TRY(hone_map_open(path, &m));
    if (m.bytes >= 4 && memcmp(m.data, "GGUF", 4) == 0) {
        hone_map_close(&m);
        return hone_tokenizer_of_model(path, out);
    }
    hone_status s;
    source from = look_at((const char *)m.data, m.bytes);
    if (m.bytes > HONE_TOKENIZER_MAX)
        s = hone_fail(HONE_LIMIT, "%s has %zu bytes, too many for a tokenizer", path, m.bytes);
    else if (m.bytes == 0)
        s = hone_fail(HONE_FORMAT, "%s is empty", path);
    else
        s = load(&from, path, out);
    hone_map_close(&m);
    return s;
}

hone_status hone_tokenizer_open(const char *path, hone_tokenizer **out)
{
    *out = NULL;
    return hone_is_directory(path) ? open_folder(path, out) : open_file(path, out);
}
