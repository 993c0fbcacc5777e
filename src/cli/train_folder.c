#include "cli/train_folder.h"

#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/arch.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "train/fresh.h"
#include "train/trainer.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

/* There while what the folder holds is not a run that can go on. Its lines: the tokenizer's files
 * and the folder of templates that were put there, and "." if the folder was made. */
#define BEGUN "training.begun"

enum {
    CONFIG_BYTES_MAX = 1 << 20,
    CONFIG_DEPTH = 32,
    CONFIG_VALUES = 1 << 20,
    COPIED_BYTES_MAX = 256 << 20
};

/* What a run has besides; without BEGUN they are the user's. */
static const char *const run_files[] = {"config.json", "model.safetensors", "adapter_config.json",
                                        "adapter_model.safetensors"};
enum { RUN_FILES = sizeof run_files / sizeof *run_files };

typedef struct content {
    char *text; /* NULL = there is none */
    size_t n;
} content;

/* What a run begins with besides weights: config.json (NULL: no option gives one) and the
 * tokenizer's files, in their order above. */
typedef struct origin {
    const char *config_option, *config_from, *tokenizer_option, *tokenizer_from;
    content config, tokenizer[HONE_TOKENIZER_FILES];
} origin;

/* ---- files ----------------------------------------------------------------------------------- */

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

static bool has_templates(const char *folder)
{
    char *path = folder ? hone_path_join(folder, HONE_CHAT_TEMPLATES_FOLDER) : NULL;
    bool there = path && hone_is_directory(path);
    hone_free(path);
    return there;
}

/* With what a kill -9 left of it */
static void drop(const char *folder, const char *name)
{
    hone_drop_temporaries(folder, name);
    char *path = hone_path_join(folder, name);
    if (path)
        (void)unlink(path);
    hone_free(path);
}

static hone_status read_member(const char *folder, const char *name, content *out)
{
    return hone_read_member(folder, name, COPIED_BYTES_MAX, &out->text, &out->n);
}

/* Whether the folder's file is this; of what is not there, *there is false. */
static hone_status is_member(const char *folder, const char *name, const content *c, bool *there,
                             bool *same)
{
    content now;
    HONE_TRY(read_member(folder, name, &now));
    *there = now.text != NULL;
    *same = now.text && now.n == c->n && memcmp(now.text, c->text, c->n) == 0;
    hone_free(now.text);
    return HONE_OK;
}

/* Whether `name` is a line of text. */
static bool lists(const char *text, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n')
        if (strncmp(p, name, n) == 0 && p[n] == '\n')
            return true;
    return false;
}

/* ---- where it comes from --------------------------------------------------------------------- */

/* The weights are written as plain numbers: what config.json says of quantised ones goes. */
static hone_status drop_quantization(content *c, const char *path)
{
    static const char *const sections[] = {"quantization_config", "compression_config"};
    json_t *config;
    if (!strstr(c->text, sections[0]) && !strstr(c->text, sections[1]))
        return HONE_OK;
    hone_json_mend_infinity(c->text, c->n);
    HONE_TRY(hone_json_parse(c->text, c->n, CONFIG_DEPTH, CONFIG_VALUES, path, &config));
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++)
        (void)json_object_del(config, sections[i]);
    char *text = json_dumps(config, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    json_decref(config);
    if (!text)
        return hone_fail_memory(c->n, "config.json");
    hone_free(c->text);
    *c = (content){text, strlen(text)};
    return HONE_OK;
}

static hone_status read_config(const char *folder, origin *o)
{
    if (!folder) {
        HONE_TRY(hone_read_file(o->config_from, CONFIG_BYTES_MAX, &o->config.text, &o->config.n));
        return drop_quantization(&o->config, o->config_from);
    }
    if (access(folder, F_OK) != 0)
        return hone_fail_errno(errno, "cannot open %s", folder);
    if (!hone_is_directory(folder))
        return hone_fail(HONE_USAGE,
                         "%s is not a Hugging Face folder: hone train reads and writes those",
                         folder);
    HONE_TRY(
        hone_read_member(folder, "config.json", CONFIG_BYTES_MAX, &o->config.text, &o->config.n));
    return o->config.text ? drop_quantization(&o->config, folder)
                          : hone_fail(HONE_NOT_FOUND, "%s holds no config.json", folder);
}

/* Of a folder the files that a tokenizer may have; else the one file, a tokenizer.json. */
static hone_status read_tokenizer(origin *o)
{
    const char *from = o->tokenizer_from;
    if (hone_is_directory(from)) {
        for (int i = 0; i < HONE_TOKENIZER_FILES; i++)
            HONE_TRY(read_member(from, hone_tokenizer_files[i], &o->tokenizer[i]));
        return HONE_OK;
    }
    HONE_TRY(hone_read_file(from, COPIED_BYTES_MAX, &o->tokenizer[0].text, &o->tokenizer[0].n));
    const char *text = o->tokenizer[0].text;
    return text[strspn(text, " \t\r\n")] == '{'
               ? HONE_OK
               : hone_fail(HONE_FORMAT,
                           "%s is no tokenizer.json: give one, or the folder that holds the "
                           "tokenizer's files",
                           from);
}

static void origin_free(origin *o)
{
    hone_free(o->config.text);
    for (int i = 0; i < HONE_TOKENIZER_FILES; i++)
        hone_free(o->tokenizer[i].text);
}

/* On failure too *o is to be freed. */
static hone_status origin_read(const cli_train_start *s, origin *o)
{
    const char *folder = s->model ? s->model : s->like ? s->like : s->branch;
    const char *option = s->model ? "--model" : s->like ? "--like" : "--branch";
    *o = (origin){.config_option = folder ? option : "--config",
                  .config_from = folder ? folder : s->config,
                  .tokenizer_option = s->tokenizer ? "--tokenizer" : option,
                  .tokenizer_from = s->tokenizer ? s->tokenizer : folder};
    if (o->config_from)
        HONE_TRY(read_config(folder, o));
    return o->tokenizer_from ? read_tokenizer(o) : HONE_OK;
}

/* ---- what may not be ------------------------------------------------------------------------- */

static hone_status check_ids(const cli_train_start *s, const origin *o, const hone_tokenizer *t,
                             uint32_t vocab)
{
    const char *from = o->tokenizer_from;
    uint32_t n = (uint32_t)hone_tokenizer_vocab_size(t);
    uint64_t print = hone_dataset_fingerprint(t);
    if (n > vocab)
        return hone_fail(
            HONE_DATA,
            "the tokenizer of %s has %u tokens, the vocabulary of %s %u: give one that "
            "fits, or a larger shape",
            from, n, o->config_from, vocab);
    if (s->fingerprint && s->fingerprint != print)
        return hone_fail(HONE_DATA,
                         "%s was cut by another tokenizer (%016" PRIx64
                         ") than that of %s (%016" PRIx64
                         "), which would stand beside the model: make the data with that one "
                         "(hone data %s ...), or give the other by --tokenizer",
                         s->data, s->fingerprint, from, print, from);
    return HONE_OK;
}

/* The tokenizer that the folder gets, against the model and the data. A folder may have none. */
static hone_status check_tokenizer(const cli_train_start *s, const origin *o, uint32_t vocab)
{
    hone_tokenizer *t;
    if (!o->tokenizer_from)
        return HONE_OK;
    hone_status status = hone_tokenizer_open(o->tokenizer_from, &t);
    if (status == HONE_NOT_FOUND && !s->tokenizer)
        return HONE_OK;
    HONE_TRY(status);
    status = check_ids(s, o, t, vocab);
    hone_tokenizer_close(t);
    return status;
}

static hone_status check_origin(const cli_train_start *s, const origin *o)
{
    hone_file *f;
    const hone_arch *a;
    hone_hparams *h = hone_malloc(sizeof *h);
    if (!h)
        return hone_fail_memory(sizeof *h, "hyper-parameters");
    hone_status status = hone_file_from_config(o->config.text, o->config_from, &f);
    if (status == HONE_OK) {
        status = hone_arch_read(f, &a, h);
        hone_file_close(f);
    }
    if (status == HONE_OK)
        status = check_tokenizer(s, o, h->vocab);
    hone_free(h);
    return status;
}

static hone_status check_same(const char *folder, const char *name, const content *c,
                              const char *option, const char *from)
{
    bool there, same;
    if (!c->text)
        return HONE_OK;
    HONE_TRY(is_member(folder, name, c, &there, &same));
    return same ? HONE_OK
                : hone_fail(HONE_USAGE,
                            "%s is a run with another %s than %s %s gives: give what it began "
                            "with, leave %s out, or give another --output",
                            folder, name, option, from, option);
}

/* A run that goes on: the options that are given say what they said when it began. */
static hone_status check_run(const origin *o, const char *folder)
{
    HONE_TRY(check_same(folder, "config.json", &o->config, o->config_option, o->config_from));
    for (int i = 0; i < HONE_TOKENIZER_FILES; i++)
        HONE_TRY(check_same(folder, hone_tokenizer_files[i], &o->tokenizer[i], o->tokenizer_option,
                            o->tokenizer_from));
    return HONE_OK;
}

/* ---- the folder ------------------------------------------------------------------------------ */

static void take_back(const char *folder)
{
    content list;
    if (read_member(folder, BEGUN, &list) != HONE_OK || !list.text)
        return;
    for (int i = 0; i < RUN_FILES; i++)
        drop(folder, run_files[i]);
    for (int i = 0; i < HONE_TOKENIZER_FILES; i++)
        if (lists(list.text, hone_tokenizer_files[i]))
            drop(folder, hone_tokenizer_files[i]);
    if (lists(list.text, HONE_CHAT_TEMPLATES_FOLDER))
        hone_chat_templates_remove(folder);
    drop(folder, BEGUN);
    if (lists(list.text, "."))
        (void)rmdir(folder);
    hone_free(list.text);
}

/* Leaves *list, the lines of BEGUN, with what is to be written: all but what is there already. */
static hone_status plan(const origin *o, const char *folder, char *list, size_t size)
{
    for (int i = 0; i < HONE_TOKENIZER_FILES; i++) {
        const char *name = hone_tokenizer_files[i];
        bool there, same;
        if (!o->tokenizer[i].text)
            continue;
        HONE_TRY(is_member(folder, name, &o->tokenizer[i], &there, &same));
        if (there && !same)
            return hone_fail(HONE_USAGE, "%s holds another %s; give another --output", folder,
                             name);
        size_t used = strlen(list);
        if (!there)
            snprintf(list + used, size - used, "%s\n", name);
    }
    size_t used = strlen(list);
    if (has_templates(o->tokenizer_from) && has_templates(folder))
        return hone_fail(HONE_USAGE,
                         "%s holds other " HONE_CHAT_TEMPLATES_FOLDER "; give another --output",
                         folder);
    if (has_templates(o->tokenizer_from))
        snprintf(list + used, size - used, HONE_CHAT_TEMPLATES_FOLDER "\n");
    return HONE_OK;
}

/* Makes the folder, with BEGUN in it. */
static hone_status open_folder(const char *folder, char *list, size_t size)
{
    const bool made = !hone_is_directory(folder);
    size_t used = strlen(list);
    if (made)
        snprintf(list + used, size - used, ".\n");
    HONE_TRY(hone_make_directory(folder));
    hone_status s = write_member(folder, BEGUN, list, strlen(list));
    if (s != HONE_OK && made)
        (void)rmdir(folder);
    return s;
}

/* What take_back would take away is not the user's. */
static hone_status check_free(const char *folder)
{
    for (int i = 0; i < RUN_FILES; i++)
        if (has(folder, run_files[i]))
            return hone_fail(HONE_USAGE,
                             "%s holds %s, but no run of hone train; give another --output", folder,
                             run_files[i]);
    return HONE_OK;
}

static hone_status begin(const cli_train_start *s, const origin *o, const char *folder, bool *begun)
{
    char list[512] = "";
    take_back(folder);
    HONE_TRY(check_free(folder));
    HONE_TRY(plan(o, folder, list, sizeof list));
    HONE_TRY(open_folder(folder, list, sizeof list));
    *begun = true;
    if (s->model)
        HONE_TRY(write_member(folder, "config.json", o->config.text, o->config.n));
    else
        HONE_TRY(hone_fresh_write(o->config.text, o->config_from, s->seed, s->threads, folder));
    for (int i = 0; i < HONE_TOKENIZER_FILES; i++)
        if (lists(list, hone_tokenizer_files[i]))
            HONE_TRY(write_member(folder, hone_tokenizer_files[i], o->tokenizer[i].text,
                                  o->tokenizer[i].n));
    uint64_t files = 0;
    return lists(list, HONE_CHAT_TEMPLATES_FOLDER)
               ? hone_chat_templates_copy(o->tokenizer_from, folder, &files)
               : HONE_OK;
}

hone_status cli_train_prepare(const cli_train_start *s, const char *folder, const char **source,
                              bool *begun)
{
    const bool goes_on = hone_checkpoint_exists(folder);
    int given = (s->model != NULL) + (s->like != NULL) + (s->config != NULL) + (s->branch != NULL);
    *source = folder;
    if (given > 1 || (given == 0 && !goes_on))
        return hone_fail(HONE_USAGE,
                         "give one of --model FOLDER (go on from its weights), --like FOLDER (its "
                         "shape, fresh weights), --config FILE (a config.json, fresh weights) or "
                         "--branch FOLDER (go on from another run's checkpoint)");
    if (s->branch && !hone_checkpoint_exists(s->branch))
        return hone_fail(HONE_NOT_FOUND, "%s holds no run of hone train", s->branch);
    origin o;
    hone_status status = origin_read(s, &o);
    if (status == HONE_OK && goes_on) {
        status = check_run(&o, folder);
    } else if (status == HONE_OK) {
        if (s->model)
            *source = s->model;
        status = check_origin(s, &o);
        if (status == HONE_OK)
            status = begin(s, &o, folder, begun);
    }
    origin_free(&o);
    return status;
}

hone_status cli_train_prepare_adapter(const char *model, const char *folder, bool *begun)
{
    char list[8] = "";
    if (!model)
        return hone_fail(HONE_USAGE,
                         "--lora and --adapter-from train beside the weights of a model: "
                         "give --model");
    if (hone_checkpoint_exists(folder))
        return HONE_OK;
    take_back(folder);
    HONE_TRY(check_free(folder));
    HONE_TRY(open_folder(folder, list, sizeof list));
    *begun = true;
    return HONE_OK;
}

void cli_train_settle(const char *folder)
{
    if (hone_checkpoint_exists(folder))
        drop(folder, BEGUN);
    else
        take_back(folder);
}
