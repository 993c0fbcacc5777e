/* Templates and special tokens of a model, and the variables of a rendering. */
#include "text/chat_template.h"

#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "file/file.h"
#include "text/jinja.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

enum {
    FILE_BYTES_MAX = 256 << 20,
    JSON_DEPTH = 64,
    JSON_VALUES = 12 << 20,
};

typedef struct entry {
    char *name, *source;
    jinja_program *program; /* NULL: does not compile, for this reason: */
    hone_status status;
    char *why;
} entry;

struct hone_chat_template {
    entry entries[HONE_CHAT_TEMPLATES_MAX];
    size_t count;
    json_t *tokens; /* object: variable -> text, or list of texts */
};

static const char *const token_names[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                          "pad_token", "cls_token", "mask_token"};
enum { TOKEN_NAMES = sizeof token_names / sizeof *token_names };

static void free_entry(entry *e)
{
    hone_free(e->name);
    hone_free(e->source);
    jinja_close(e->program);
    hone_free(e->why);
    *e = (entry){0};
}

void hone_chat_template_close(hone_chat_template *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++)
        free_entry(&t->entries[i]);
    json_decref(t->tokens);
    hone_free(t);
}

static hone_status new_template(hone_chat_template **out)
{
    hone_json_use_memory();
    hone_chat_template *t = *out = hone_calloc(1, sizeof *t);
    if (t)
        t->tokens = json_object();
    if (t && t->tokens)
        return HONE_OK;
    hone_chat_template_close(t);
    *out = NULL;
    return hone_fail_memory(sizeof *t, "chat templates");
}

static entry *find_entry(const hone_chat_template *t, const char *name)
{
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->entries[i].name, name) == 0)
            return (entry *)(uintptr_t)&t->entries[i];
    return NULL;
}

/* Keeps a template, compiled or with the reason why it is not. */
static hone_status keep(hone_chat_template *t, const char *name, const char *source, size_t n)
{
    char title[128];
    entry e = {.name = hone_strdup(name), .source = hone_strndup(source, n)};
    snprintf(title, sizeof title,
             strcmp(name, "default") == 0 ? "chat template" : "chat template \"%.60s\"", name);
    e.status = jinja_compile(source, n, title, &e.program);
    if (e.status != HONE_OK)
        e.why = hone_strdup(hone_error());
    if (!e.name || !e.source || e.status == HONE_MEMORY || (e.status != HONE_OK && !e.why)) {
        free_entry(&e);
        return hone_fail_memory(n, "a chat template");
    }
    entry *old = find_entry(t, name);
    if (old) {
        free_entry(old);
        *old = e;
    } else if (t->count < HONE_CHAT_TEMPLATES_MAX) {
        t->entries[t->count++] = e;
    } else {
        free_entry(&e);
        return hone_fail(HONE_LIMIT, "more than %d chat templates", HONE_CHAT_TEMPLATES_MAX);
    }
    return HONE_OK;
}

hone_status hone_chat_template_add(hone_chat_template *t, const char *source, size_t n)
{
    HONE_TRY(keep(t, "default", source, n));
    const entry *e = find_entry(t, "default");
    return e->program ? HONE_OK : hone_fail(e->status, "%s", e->why);
}

size_t hone_chat_template_count(const hone_chat_template *t)
{
    return t->count;
}

const char *hone_chat_template_name(const hone_chat_template *t, size_t i)
{
    return t->entries[i].name;
}

const char *hone_chat_template_source(const hone_chat_template *t, size_t i)
{
    return t->entries[i].source;
}

const char *hone_chat_template_token(const hone_chat_template *t, const char *name)
{
    return json_string_value(json_object_get(t->tokens, name));
}

/* ---- Hugging Face folders ---- */

/* "<s>" or {"content": "<s>"}; NULL when it is neither. */
static json_t *token_text(const json_t *v)
{
    json_t *text = (json_t *)(uintptr_t)(json_is_object(v) ? json_object_get(v, "content") : v);
    return json_is_string(text) ? text : NULL;
}

static hone_status set_token(hone_chat_template *t, const char *name, json_t *text)
{
    if (json_object_set(t->tokens, name, text) == 0)
        return HONE_OK;
    return hone_fail_memory(64, "special tokens");
}

/* Those that are not known yet. */
static hone_status take_tokens(hone_chat_template *t, const json_t *config)
{
    static const char more[] = "additional_special_tokens";
    for (size_t i = 0; i < TOKEN_NAMES; i++) {
        json_t *text = token_text(json_object_get(config, token_names[i]));
        if (text && !json_object_get(t->tokens, token_names[i]))
            HONE_TRY(set_token(t, token_names[i], text));
    }
    const json_t *list = json_object_get(config, more);
    if (json_array_size(list) == 0 || json_object_get(t->tokens, more))
        return HONE_OK;
    json_t *texts = json_array(), *e;
    size_t i;
    bool fine = texts != NULL;
    json_array_foreach(list, i, e)
    {
        if (token_text(e))
            fine = fine && json_array_append(texts, token_text(e)) == 0;
    }
    hone_status s = fine ? set_token(t, more, texts) : hone_fail_memory(64, "special tokens");
    json_decref(texts);
    return s;
}

/* "chat_template": a text, or a list of {"name", "template"}. */
static hone_status take_templates(hone_chat_template *t, const json_t *v)
{
    if (json_is_string(v))
        return keep(t, "default", json_string_value(v), json_string_length(v));
    size_t i;
    json_t *e;
    json_array_foreach(v, i, e)
    {
        const json_t *name = json_object_get(e, "name"), *text = json_object_get(e, "template");
        if (!json_is_string(name) || !json_is_string(text))
            return hone_fail(HONE_FORMAT, "chat_template: entry %zu has no name and template", i);
        HONE_TRY(
            keep(t, json_string_value(name), json_string_value(text), json_string_length(text)));
    }
    return HONE_OK;
}

static hone_status read_json(const char *folder, const char *name, json_t **out)
{
    char *text;
    size_t n;
    *out = NULL;
    HONE_TRY(hone_read_member(folder, name, FILE_BYTES_MAX, &text, &n));
    if (!text)
        return HONE_OK;
    hone_status s = hone_json_parse(text, n, JSON_DEPTH, JSON_VALUES, name, out);
    hone_free(text);
    return s;
}

static hone_status read_template(hone_chat_template *t, const char *folder, const char *file,
                                 const char *name)
{
    char *text;
    size_t n;
    HONE_TRY(hone_read_member(folder, file, FILE_BYTES_MAX, &text, &n));
    hone_status s = text ? keep(t, name, text, n) : HONE_OK;
    hone_free(text);
    return s;
}

/* take(arg, the folder of additional templates, the file's name) for each of `folder`. */
static hone_status
each_additional(const char *folder,
                hone_status (*take)(void *arg, const char *path, const char *file), void *arg)
{
    char *path = hone_path_join(folder, HONE_CHAT_TEMPLATES_FOLDER);
    if (!path)
        return hone_fail_memory(strlen(folder), "a path");
    DIR *dir = opendir(path);
    hone_status s = HONE_OK;
    for (struct dirent *e; s == HONE_OK && dir && (e = readdir(dir));) {
        const char *dot = strrchr(e->d_name, '.');
        if (dot && dot != e->d_name && strcmp(dot, ".jinja") == 0)
            s = take(arg, path, e->d_name);
    }
    if (dir)
        closedir(dir);
    hone_free(path);
    return s;
}

static hone_status read_additional(void *arg, const char *path, const char *file)
{
    char name[256];
    snprintf(name, sizeof name, "%.*s", (int)(strrchr(file, '.') - file), file);
    return read_template(arg, path, file, name);
}

typedef struct copying {
    const char *to;
    uint64_t *files;
} copying;

static hone_status copy_additional(void *arg, const char *path, const char *file)
{
    const copying *c = arg;
    char *text, *folder = hone_path_join(c->to, HONE_CHAT_TEMPLATES_FOLDER),
                *target = folder ? hone_path_join(folder, file) : NULL;
    size_t n;
    hone_status s = target ? hone_read_member(path, file, FILE_BYTES_MAX, &text, &n)
                           : hone_fail_memory(strlen(file), "a path");
    if (s == HONE_OK && text) {
        s = hone_make_directory(folder);
        if (s == HONE_OK)
            s = hone_write_file(target, text, n);
        hone_free(text);
        ++*c->files;
    }
    hone_free(folder);
    hone_free(target);
    return s;
}

hone_status hone_chat_templates_copy(const char *from, const char *to, uint64_t *files)
{
    return each_additional(from, copy_additional, &(copying){to, files});
}

static hone_status remove_additional(void *arg, const char *path, const char *file)
{
    char *target = hone_path_join(path, file);
    (void)arg;
    if (target)
        (void)unlink(target);
    hone_free(target);
    return HONE_OK;
}

void hone_chat_templates_remove(const char *folder)
{
    char *path = hone_path_join(folder, HONE_CHAT_TEMPLATES_FOLDER);
    if (path && each_additional(folder, remove_additional, NULL) == HONE_OK)
        (void)rmdir(path);
    hone_free(path);
}

static hone_status read_folder(hone_chat_template *t, const char *folder)
{
    static const char *const files[] = {"tokenizer_config.json", "special_tokens_map.json",
                                        "chat_template.json"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        json_t *config;
        HONE_TRY(read_json(folder, files[i], &config));
        hone_status s = take_tokens(t, config);
        if (s == HONE_OK && t->count == 0)
            s = take_templates(t, json_object_get(config, "chat_template"));
        json_decref(config);
        if (s != HONE_OK)
            return hone_fail_in(s, "%s", files[i]);
    }
    HONE_TRY(read_template(t, folder, "chat_template.jinja", "default"));
    return each_additional(folder, read_additional, t);
}

/* ---- GGUF ---- */

static hone_status gguf_tokens(hone_chat_template *t, const hone_file *f)
{
    static const char *const keys[TOKEN_NAMES] = {"bos",     "eos", "unknown", "seperator",
                                                  "padding", "cls", "mask"};
    hone_array tokens;
    if (!hone_file_has(f, "tokenizer.ggml.tokens"))
        return HONE_OK;
    HONE_TRY(hone_file_array(f, "tokenizer.ggml.tokens", &tokens));
    for (size_t i = 0; i < TOKEN_NAMES; i++) {
        char key[64];
        uint64_t id;
        const char *text;
        size_t n;
        snprintf(key, sizeof key, "tokenizer.ggml.%s_token_id", keys[i]);
        if (!hone_file_has(f, key) || hone_file_u64(f, key, &id) != HONE_OK ||
            !hone_array_str(&tokens, id, &text, &n))
            continue;
        json_t *value = json_stringn(text, n); /* NULL: not UTF-8, no use to a template */
        hone_status s = value ? set_token(t, token_names[i], value) : HONE_OK;
        json_decref(value);
        HONE_TRY(s);
    }
    return HONE_OK;
}

static hone_status read_gguf(hone_chat_template *t, const hone_file *f)
{
    static const char key[] = "tokenizer.chat_template";
    const size_t n = sizeof key - 1;
    HONE_TRY(gguf_tokens(t, f));
    for (size_t i = 0; i < hone_file_meta_count(f); i++) {
        const char *name = hone_file_meta_key(f, i), *text;
        if (strncmp(name, key, n) != 0 || (name[n] != 0 && (name[n] != '.' || !name[n + 1])))
            continue;
        HONE_TRY(hone_file_str(f, name, &text));
        HONE_TRY(keep(t, name[n] ? name + n + 1 : "default", text, strlen(text)));
    }
    return HONE_OK;
}

hone_status hone_chat_template_from_file(const struct hone_file *f, hone_chat_template **out)
{
    HONE_TRY(new_template(out));
    hone_status s = hone_file_kind(f) == HONE_FILE_HF     ? read_folder(*out, hone_file_path(f))
                    : hone_file_kind(f) == HONE_FILE_GGUF ? read_gguf(*out, f)
                                                          : HONE_OK;
    if (s == HONE_OK)
        return HONE_OK;
    hone_chat_template_close(*out);
    *out = NULL;
    return hone_fail_in(s, "%s", hone_file_path(f));
}

hone_status hone_chat_template_open(const char *path, hone_chat_template **out)
{
    *out = NULL;
    if (!hone_is_directory(path)) {
        hone_file *f;
        HONE_TRY(hone_file_open(path, &f));
        hone_status s = hone_chat_template_from_file(f, out);
        hone_file_close(f);
        return s;
    }
    HONE_TRY(new_template(out));
    hone_status s = read_folder(*out, path);
    if (s == HONE_OK)
        return HONE_OK;
    hone_chat_template_close(*out);
    *out = NULL;
    return hone_fail_in(s, "%s", path);
}

/* ---- rendering ---- */

static bool set(json_t *o, const char *name, const json_t *v)
{
    if (!v)
        return json_object_set_new(o, name, json_null()) == 0;
    return json_object_set(o, name, (json_t *)(uintptr_t)v) == 0;
}

/* What transformers' apply_chat_template passes. */
static hone_status make_variables(const hone_chat_template *t, const hone_chat_request *r,
                                  json_t **out)
{
    json_t *o = *out = json_copy(t->tokens);
    bool fine = o && set(o, "messages", r->messages) && set(o, "tools", r->tools) &&
                set(o, "documents", r->documents) &&
                json_object_set_new(o, "add_generation_prompt",
                                    json_boolean(r->add_generation_prompt)) == 0 &&
                (!r->variables || json_object_update(o, (json_t *)(uintptr_t)r->variables) == 0);
    if (fine)
        return HONE_OK;
    json_decref(o);
    *out = NULL;
    return hone_fail_memory(256, "the variables of a chat template");
}

static hone_status choose(const hone_chat_template *t, const hone_chat_request *r,
                          const entry **out)
{
    const char *name = r->name;
    if (!name && json_array_size(r->tools) > 0 && find_entry(t, "tool_use"))
        name = "tool_use";
    *out = find_entry(t, name ? name : "default");
    if (!*out && !name && t->count == 1)
        *out = &t->entries[0];
    if (*out && !(*out)->program)
        return hone_fail((*out)->status, "%s", (*out)->why);
    if (*out)
        return HONE_OK;
    if (t->count == 0)
        return hone_fail(HONE_NOT_FOUND, "the model has no chat template: name one of your own");
    return hone_fail(HONE_NOT_FOUND, "the model has no chat template \"%s\", but \"%s\"",
                     name ? name : "default", t->entries[0].name);
}

hone_status hone_chat_template_render(const hone_chat_template *t, const hone_chat_request *request,
                                      char **text, size_t *bytes)
{
    const entry *e;
    json_t *variables;
    *text = NULL;
    *bytes = 0;
    if (!json_is_array(request->messages))
        return hone_fail(HONE_DATA, "the messages are no array");
    if (request->variables && !json_is_object(request->variables))
        return hone_fail(HONE_DATA, "the template's variables are no object");
    HONE_TRY(choose(t, request, &e));
    HONE_TRY(make_variables(t, request, &variables));
    time_t now = request->now ? request->now : time(NULL);
    hone_status s = jinja_render(e->program, variables, now, NULL, text, bytes);
    json_decref(variables);
    return s;
}
