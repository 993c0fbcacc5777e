#include "cli/train_folder.h"

#include "base/io.h"
#include "base/mem.h"
#include "train/fresh.h"
#include "train/trainer.h"

#include <string.h>
#include <unistd.h>

/* There while what the folder holds is not a run that can go on. */
#define BEGUN "training.begun"

enum { CONFIG_BYTES_MAX = 1 << 20, COPIED_BYTES_MAX = 256 << 20 };

static const char *const tokenizer_files[] = {"tokenizer.json",
                                              "tokenizer_config.json",
                                              "special_tokens_map.json",
                                              "tokenizer.model",
                                              "vocab.json",
                                              "merges.txt",
                                              "added_tokens.json",
                                              "chat_template.jinja",
                                              "vocab.txt",
                                              "generation_config.json"};

static hone_status write_member(const char *folder, const char *name, const char *text, size_t n)
{
    char *path = hone_path_join(folder, name);
    hone_status s = path ? hone_write_file(path, text, n) : hone_fail_memory(strlen(folder), name);
    hone_free(path);
    return s;
}

static bool has(const char *folder, const char *name)
{
    char *path = hone_path_join(folder, name);
    bool there = path && hone_is_file(path);
    hone_free(path);
    return there;
}

static void drop(const char *folder, const char *name)
{
    char *path = hone_path_join(folder, name);
    if (path)
        (void)unlink(path);
    hone_free(path);
}

static hone_status copy_tokenizer(const char *from, const char *to)
{
    for (size_t i = 0; i < sizeof tokenizer_files / sizeof *tokenizer_files; i++) {
        char *text;
        size_t n;
        HONE_TRY(hone_read_member(from, tokenizer_files[i], COPIED_BYTES_MAX, &text, &n));
        hone_status s = text ? write_member(to, tokenizer_files[i], text, n) : HONE_OK;
        hone_free(text);
        HONE_TRY(s);
    }
    return HONE_OK;
}

static const char *folder_of(const cli_train_start *s)
{
    return s->model ? s->model : s->like ? s->like : s->branch;
}

/* The text of the config.json to go by. */
static hone_status read_config(const cli_train_start *s, char **text, size_t *n)
{
    const char *folder = folder_of(s);
    if (!folder)
        return hone_read_file(s->config, CONFIG_BYTES_MAX, text, n);
    if (!hone_is_directory(folder))
        return hone_fail(HONE_USAGE,
                         "%s is not a Hugging Face folder: hone train reads and writes those",
                         folder);
    HONE_TRY(hone_read_member(folder, "config.json", CONFIG_BYTES_MAX, text, n));
    return *text ? HONE_OK : hone_fail(HONE_NOT_FOUND, "%s holds no config.json", folder);
}

static hone_status begin(const cli_train_start *s, const char *folder, const char *config, size_t n)
{
    const char *from = folder_of(s);
    HONE_TRY(hone_make_directory(folder));
    if (!has(folder, BEGUN) && (has(folder, "config.json") || has(folder, "model.safetensors")))
        return hone_fail(HONE_USAGE,
                         "%s holds a model that is no run of hone train; give another --output",
                         folder);
    HONE_TRY(write_member(folder, BEGUN, "", 0));
    drop(folder, "config.json");
    drop(folder, "model.safetensors");
    if (s->model)
        HONE_TRY(write_member(folder, "config.json", config, n));
    else
        HONE_TRY(hone_fresh_write(config, from ? from : s->config, s->seed, folder));
    if (from)
        HONE_TRY(copy_tokenizer(from, folder));
    if (s->tokenizer) {
        char *text;
        HONE_TRY(hone_read_file(s->tokenizer, COPIED_BYTES_MAX, &text, &n));
        hone_status status = write_member(folder, "tokenizer.json", text, n);
        hone_free(text);
        HONE_TRY(status);
    }
    return HONE_OK;
}

hone_status cli_train_prepare(const cli_train_start *s, const char *folder, const char **source)
{
    char *config;
    size_t n;
    *source = folder;
    if (hone_checkpoint_exists(folder))
        return HONE_OK;
    if ((s->model != NULL) + (s->like != NULL) + (s->config != NULL) + (s->branch != NULL) != 1)
        return hone_fail(HONE_USAGE,
                         "give one of --model FOLDER (go on from its weights), --like FOLDER (its "
                         "shape, fresh weights), --config FILE (a config.json, fresh weights) or "
                         "--branch FOLDER (go on from another run's checkpoint)");
    if (s->branch && !hone_checkpoint_exists(s->branch))
        return hone_fail(HONE_NOT_FOUND, "%s holds no run of hone train", s->branch);
    if (s->model)
        *source = s->model;
    HONE_TRY(read_config(s, &config, &n));
    hone_status status = begin(s, folder, config, n);
    hone_free(config);
    return status;
}

hone_status cli_train_prepare_adapter(const char *model, const char *folder)
{
    static const char *const others[] = {"config.json", "model.safetensors", "adapter_config.json",
                                         "adapter_model.safetensors"};
    if (!model)
        return hone_fail(HONE_USAGE,
                         "--lora and --adapter-from train beside the weights of a model: "
                         "give --model");
    if (hone_checkpoint_exists(folder))
        return HONE_OK;
    for (size_t i = 0; i < sizeof others / sizeof *others && !has(folder, BEGUN); i++)
        if (has(folder, others[i]))
            return hone_fail(HONE_USAGE,
                             "%s holds %s, but no run of hone train; give another --output", folder,
                             others[i]);
    HONE_TRY(hone_make_directory(folder));
    return write_member(folder, BEGUN, "", 0);
}

void cli_train_begun(const char *folder)
{
    drop(folder, BEGUN);
}
