#include "cli/compare_formats.h"

#include "base/io.h"
#include "base/mem.h"
#include "compress/export.h"
#include "compress/quantize.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char standard[] = "f16,q8_0,q6_k,q5_k_m,q4_k_m,q4_0,mxfp4,int8-channel,gptq-4bit-g32,"
                               "gptq-4bit-g128";

typedef struct names {
    const char *all[HONE_COMPARE_SIDES];
    size_t n;
    char *text; /* of a list that was given */
} names;

static bool is_known(const char *name)
{
    hone_dtype t;
    return hone_mix_by_name(name) || hone_coded_find(name) ||
           (hone_dtype_by_name(name, &t) && hone_dtype_can_encode(t) && t != HONE_DTYPE_F64);
}

/* Every type and every mix that hone writes; f16 first, as what the others are held against. */
static void list_all(names *l)
{
    l->all[l->n++] = "f16";
    for (int t = 0; t < HONE_DTYPE_COUNT && l->n < HONE_COMPARE_SIDES; t++) {
        const char *name = hone_dtype_name((hone_dtype)t);
        if (is_known(name) && strcmp(name, "f16") != 0)
            l->all[l->n++] = name;
    }
    hone_dtype t;
    for (size_t i = 0; hone_mix_at(i) && l->n < HONE_COMPARE_SIDES; i++)
        if (!hone_dtype_by_name(hone_mix_name(hone_mix_at(i)), &t))
            l->all[l->n++] = hone_mix_name(hone_mix_at(i));
    for (size_t i = 0; hone_coded_at(i) && l->n < HONE_COMPARE_SIDES; i++)
        l->all[l->n++] = hone_coded_name(hone_coded_at(i));
}

static hone_status read_names(const char *list, names *l)
{
    *l = (names){0};
    if (strcmp(list, "all") == 0) {
        list_all(l);
        return HONE_OK;
    }
    l->text = hone_strdup(strcmp(list, "standard") == 0 ? standard : list);
    if (!l->text)
        return hone_fail_memory(strlen(list), "a list of formats");
    char *rest = NULL;
    for (char *name = strtok_r(l->text, ", ", &rest); name; name = strtok_r(NULL, ", ", &rest)) {
        hone_status s = HONE_OK;
        if (!is_known(name))
            s = hone_fail(HONE_USAGE,
                          "--formats: hone writes no \"%s\"; standard is %s, all is everything",
                          name, standard);
        else if (l->n == HONE_COMPARE_SIDES)
            s = hone_fail(HONE_USAGE, "--formats: at most %d", (int)HONE_COMPARE_SIDES);
        if (s != HONE_OK) {
            hone_free(l->text);
            return s;
        }
        l->all[l->n++] = name;
    }
    if (l->n > 0)
        return HONE_OK;
    hone_free(l->text);
    return hone_fail(HONE_USAGE, "--formats: an empty list");
}

hone_status compare_formats_count(const char *list, size_t *n)
{
    names l;
    HONE_TRY(read_names(list, &l));
    *n = l.n;
    hone_free(l.text);
    return HONE_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

typedef struct maker {
    const hone_file *f;
    hone_pool *pool;
    char *folder, note[300];
    bool keep;
} maker;

static void progress(void *arg, const char *tensor, double done, double total)
{
    (void)arg;
    cli_progress(total > 0 ? done / total : 0, "writing %s", tensor);
}

static void remark(void *arg, const char *text)
{
    maker *m = arg;
    if (!*m->note)
        snprintf(m->note, sizeof m->note, "%s", text);
}

static hone_status write_gguf(maker *m, const char *name, const char *path)
{
    const hone_quantize_events events = {.progress = progress, .remark = remark, .arg = m};
    hone_quantize_options o = {.mix = hone_mix_by_name(name), .kind = {-1, -1, -1, -1}};
    hone_quantize_result r;
    if (o.mix)
        o.type = hone_mix_base(o.mix);
    else if (!hone_dtype_by_name(name, &o.type))
        return hone_fail(HONE_USAGE, "there is no type \"%s\"", name);
    hone_status s = hone_quantize(m->f, &o, path, m->pool, &events, &r);
    cli_progress_end();
    HONE_TRY(s);
    if (r.requantized && o.type != HONE_DTYPE_F16 && o.type != HONE_DTYPE_F32)
        remark(m, "the model is quantised already: errors add up");
    return HONE_OK;
}

static hone_status write_coded(maker *m, const hone_coded *form, const char *path)
{
    const hone_quantize_events events = {.progress = progress, .remark = remark, .arg = m};
    hone_export_result r;
    hone_status s = hone_export_coded(m->f, form, path, m->pool, &events, &r);
    cli_progress_end();
    return s;
}

static void forget(const maker *m, const char *path)
{
    struct dirent *entry;
    DIR *folder = m->keep ? NULL : opendir(path);
    while (folder && (entry = readdir(folder)))
        (void)unlinkat(dirfd(folder), entry->d_name, 0); /* what export makes holds files only */
    if (folder)
        closedir(folder);
    if (!m->keep)
        (void)(hone_is_directory(path) ? rmdir(path) : unlink(path));
}

static hone_status add_format(compare_live *l, maker *m, const char *name,
                              const hone_config *config)
{
    const hone_coded *form = hone_coded_find(name);
    char member[96];
    snprintf(member, sizeof member, "%s%s", name, form ? "" : ".gguf");
    char *path = hone_path_join(m->folder, member);
    if (!path)
        return hone_fail_memory(strlen(m->folder), "a path");
    m->note[0] = 0;
    hone_status s = HONE_OK;
    char *config_json = form ? hone_path_join(path, "config.json") : NULL; /* comes last */
    if (!m->keep || !hone_is_file(form && config_json ? config_json : path))
        s = form ? write_coded(m, form, path) : write_gguf(m, name, path);
    if (s == HONE_OK)
        s = compare_live_add(l, name, path, config, m->note);
    forget(m, path);
    hone_free(config_json);
    hone_free(path);
    return s;
}

static hone_status add_formats(compare_live *l, maker *m, const names *list,
                               const hone_config *config)
{
    for (size_t i = 0; i < list->n; i++) {
        fprintf(stderr, "%zu of %zu: %s\n", i + 1, list->n, list->all[i]);
        hone_status s = add_format(l, m, list->all[i], config);
        bool cannot = s == HONE_UNSUPPORTED || s == HONE_FORMAT || s == HONE_USAGE;
        if (cannot && l->page->n_skipped < HONE_COMPARE_SIDES)
            snprintf(l->page->skipped[l->page->n_skipped++], sizeof l->page->skipped[0], "%s: %s",
                     list->all[i], hone_error());
        else if (s != HONE_OK)
            return s;
    }
    return l->page->n_sides ? HONE_OK : hone_fail(HONE_UNSUPPORTED, "%s", l->page->skipped[0]);
}

static hone_status open_folder(const compare_live *l, maker *m)
{
    const char *keep = cli_text(l->c, "keep"), *tmp = getenv("TMPDIR");
    char name[1024];
    m->keep = keep != NULL;
    if (keep) {
        m->folder = hone_strdup(keep);
        if (!m->folder)
            return hone_fail_memory(strlen(keep), "a path");
        return hone_is_directory(keep) ? HONE_OK : hone_make_directory(keep);
    }
    snprintf(name, sizeof name, "%s/hone-compare-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(name))
        return hone_fail(HONE_DISK, "%s: no folder can be made there; --keep names another", name);
    m->folder = hone_strdup(name);
    return m->folder ? HONE_OK : hone_fail_memory(strlen(name), "a path");
}

hone_status compare_formats(compare_live *l, const char *model, const char *list,
                            const hone_config *config)
{
    maker m = {0};
    names n;
    hone_file *f = NULL;
    HONE_TRY(read_names(list, &n));
    hone_status s = open_folder(l, &m);
    if (s == HONE_OK)
        s = hone_file_open(model, &f);
    if (s == HONE_OK)
        s = hone_pool_open((int)cli_int(l->c, "threads"), NULL, &m.pool);
    m.f = f;
    if (s == HONE_OK)
        s = compare_live_original(l, model);
    if (s == HONE_OK)
        s = add_formats(l, &m, &n, config);
    if (s == HONE_INTERRUPTED && l->page->n_sides)
        fprintf(
            stderr,
            m.keep ? "hone: the files that are finished stay in %s and are not written again\n"
                   : "hone: %s is gone and all starts anew; --keep FOLDER keeps what is finished\n",
            m.folder);
    hone_pool_close(m.pool);
    if (f)
        hone_file_close(f);
    if (m.folder && !m.keep)
        (void)rmdir(m.folder);
    hone_free(m.folder);
    hone_free(n.text);
    return s;
}
