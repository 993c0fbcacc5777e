/* variants_kept - what was chosen, in a file of the cache's folder, for the machine and build
 * that it was measured on. Whatever a file says, it can only choose among kernels of equal bits. */
#include "base/hone_commit.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "engine/variants.h"
#include "hw/machine.h"
#include "model/packed_cache.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FILE_BYTES_MAX = 1 << 16 };

/* What the choices depend on */
static json_t *circumstances(void)
{
    json_t *o = hone_machine_facts("");
    if (o && json_object_set_new(o, "commit", json_string(HONE_COMMIT)) == 0 &&
        json_object_set_new(o, "compiler", json_string(__VERSION__)) == 0)
        return o;
    json_decref(o);
    return NULL;
}

char *hone_variants_to_json(const hone_variants *v)
{
    char at[32] = "", value[32];
    time_t t = time(NULL);
    struct tm utc;
    if (gmtime_r(&t, &utc))
        strftime(at, sizeof at, "%Y-%m-%d %H:%M", &utc);
    hone_json_use_memory();
    json_t *list = json_object();
    for (size_t i = 0; i < v->count; i++) {
        const hone_variant *x = &v->list[i];
        json_object_set_new(list, x->name,
                            json_pack("{s:s, s:f}", "chosen",
                                      hone_variant_value(x, x->chosen, value, sizeof value), "gain",
                                      x->gain));
    }
    json_t *o = json_pack("{s:o, s:s, s:s, s:o}", "of", circumstances(), "set",
                          hone_isa_name(v->table.isa), "at", at, "variants", list);
    char *text = o ? json_dumps(o, JSON_INDENT(1) | JSON_SORT_KEYS) : NULL;
    json_decref(o);
    return text;
}

static bool read_one(hone_variants *v, hone_variant *x, const json_t *o)
{
    char set[96];
    const char *chosen = json_string_value(json_object_get(o, "chosen"));
    double gain = json_number_value(json_object_get(o, "gain"));
    if (!chosen || strlen(chosen) > 31 || strpbrk(chosen, ":,") || !isfinite(gain) || gain < 0)
        return false;
    snprintf(set, sizeof set, "%s:%s", x->name, chosen);
    if (hone_variants_force(v, set) != HONE_OK)
        return false;
    x->gain = gain;
    return true;
}

bool hone_variants_from_json(hone_variants *v, const char *text, size_t bytes)
{
    json_t *o = NULL, *now = circumstances();
    bool fits = now && hone_json_parse(text, bytes, 4, 1000, "kernel variants", &o) == HONE_OK;
    const char *set = json_string_value(json_object_get(o, "set")),
               *at = json_string_value(json_object_get(o, "at"));
    fits = fits && json_equal(json_object_get(o, "of"), now) && set && at && strlen(at) < 32 &&
           strcmp(set, hone_isa_name(v->table.isa)) == 0;
    for (size_t i = 0; fits && i < v->count; i++)
        fits = read_one(v, &v->list[i],
                        json_object_get(json_object_get(o, "variants"), v->list[i].name));
    if (fits)
        snprintf(v->origin, sizeof v->origin, "measured %s UTC", at);
    else
        hone_variants_usual(v->table.isa, v);
    json_decref(o);
    json_decref(now);
    return fits;
}

/* The file's path, or NULL where nothing is kept */
static char *file_of(hone_isa isa)
{
    char *folder, *path = NULL, name[64];
    if (hone_packed_folder(&folder) != HONE_OK || !folder)
        return NULL;
    char *slash = strrchr(folder, '/'); /* beside the folder of packed weights */
    if (slash && slash > folder) {
        *slash = 0;
        snprintf(name, sizeof name, "variants-%s.json", hone_isa_name(isa));
        path = hone_make_directory(folder) == HONE_OK ? hone_path_join(folder, name) : NULL;
    }
    hone_free(folder);
    return path;
}

static void find(hone_isa isa, bool fresh, hone_variants *v)
{
    char *text = NULL, *path = file_of(isa);
    size_t bytes;
    bool others = isa == hone_isa_best(); /* a weaker set was asked for: then all of it */
    hone_variants_usual(isa, v);
    bool found = path && !fresh && hone_is_file(path) &&
                 hone_read_file(path, FILE_BYTES_MAX, &text, &bytes) == HONE_OK &&
                 hone_variants_from_json(v, text, bytes);
    hone_free(text);
    if (!found && hone_variants_measure(isa, others, v) != HONE_OK) {
        hone_variants_usual(isa, v);
        snprintf(v->origin, sizeof v->origin, "not measured: %.70s", hone_error());
    } else if (!found && path && isa != HONE_ISA_SCALAR) {
        text = hone_variants_to_json(v);
        if (!text || hone_write_file(path, text, strlen(text)) != HONE_OK)
            snprintf(v->origin + strlen(v->origin), sizeof v->origin - strlen(v->origin),
                     ", not kept");
        hone_free(text);
    }
    hone_free(path);
}

/* By HONE_VARIANTS, or found */
static hone_status decide(hone_isa isa, hone_variants *v)
{
    const char *wish = getenv("HONE_VARIANTS");
    if (!wish || !*wish || strcmp(wish, "fresh") == 0) {
        find(isa, wish && *wish, v);
        return HONE_OK;
    }
    hone_variants_usual(isa, v);
    if (strcmp(wish, "off") != 0)
        HONE_TRY(hone_variants_force(v, wish));
    snprintf(v->origin, sizeof v->origin, "HONE_VARIANTS=%.70s", wish);
    return HONE_OK;
}

hone_status hone_variants_get(hone_isa isa, const hone_variants **out)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static hone_variants all[HONE_ISA_COUNT];
    static bool known[HONE_ISA_COUNT];
    hone_status s = HONE_OK;
    pthread_mutex_lock(&lock);
    if (!known[isa])
        s = decide(isa, &all[isa]);
    known[isa] = known[isa] || s == HONE_OK;
    pthread_mutex_unlock(&lock);
    *out = &all[isa];
    return s;
}
