#include "report/report.h"

#include "base/json.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

typedef struct building {
    hone_registry *r;
    json_t *document, *experiments; /* borrowed from document */
    int64_t run, model;
} building;

static hone_status parse(const char *text, json_t **out)
{
    return hone_json_parse(text, strlen(text), 16, 100000, "a record of the registry", out);
}

/* Sets key to the JSON in text, or to null. */
static hone_status set_text(json_t *o, const char *key, const char *text)
{
    json_t *value = json_null();
    if (text)
        HONE_TRY(parse(text, &value));
    return json_object_set_new(o, key, value) == 0 ? HONE_OK : hone_fail_memory(64, "the report");
}

static hone_status take_run(void *arg, const hone_run_record *run)
{
    building *b = arg;
    if (b->run && run->id != b->run)
        return HONE_OK;
    json_t *o = json_pack(
        "{s:I, s:I, s:I, s:s, s:f, s:s, s:I, s:s, s:s, s:s?}", "id", (json_int_t)run->id, "model",
        (json_int_t)run->model, "environment", (json_int_t)run->environment, "goal", run->goal,
        "max_loss", run->max_loss, "data_sha256", run->data_hash, "seed", (json_int_t)run->seed,
        "state", run->state, "started", run->started, "finished", run->finished);
    if (!o || json_object_set_new(b->document, "run", o) != 0)
        return hone_fail_memory(256, "the report");
    HONE_TRY(set_text(o, "settings", run->settings));
    return set_text(b->document, "result", run->result);
}

static hone_status take_model(void *arg, const hone_model_record *m)
{
    building *b = arg;
    if (m->id != b->model)
        return HONE_OK;
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:I}", "sha256", m->sha256, "path", m->path, "name",
                          m->name, "arch", m->arch, "bytes", (json_int_t)m->bytes);
    return o && json_object_set_new(b->document, "model", o) == 0
               ? HONE_OK
               : hone_fail_memory(256, "the report");
}

static hone_status take_experiment(void *arg, const hone_experiment_record *e)
{
    building *b = arg;
    if (strcmp(e->key, "profile") == 0)
        return set_text(b->document, "profile", e->metrics);
    json_t *o = json_pack("{s:I, s:s, s:s, s:s}", "id", (json_int_t)e->id, "key", e->key, "label",
                          e->label, "state", e->state);
    if (!o || json_array_append_new(b->experiments, o) != 0)
        return hone_fail_memory(256, "the report");
    HONE_TRY(set_text(o, "config", e->config));
    HONE_TRY(set_text(o, "predicted", e->predicted));
    return set_text(o, "metrics", e->metrics);
}

static hone_status take_decision(void *arg, const hone_decision_record *d)
{
    building *b = arg;
    size_t i;
    json_t *e;
    json_array_foreach(b->experiments, i, e)
    {
        if (json_integer_value(json_object_get(e, "id")) != d->experiment)
            continue;
        json_object_set_new(e, "verdict", json_string(d->verdict));
        json_object_set_new(e, "why", json_string(d->why));
    }
    return HONE_OK;
}

static bool starts_with(const char *text, const char *prefix)
{
    return text && strncmp(text, prefix, strlen(prefix)) == 0;
}

/* A point of the plot: gain over the baseline, and the bound of the loss. An `add:` was measured
 * against another candidate, so it is no point; its confirmation is. */
static bool point_of(const json_t *e, double *gain, double *loss)
{
    const char *key = json_string_value(json_object_get(e, "key"));
    const json_t *m = json_object_get(e, "metrics"), *q = json_object_get(m, "quality");
    if (!json_is_object(q) || starts_with(key, "add:"))
        return false;
    const json_t *g = json_object_get(m, "gain");
    *gain = g ? json_number_value(json_object_get(g, "point")) : 1;
    *loss = json_number_value(json_object_get(q, "loss_upper"));
    return true;
}

static void mark_front(json_t *experiments)
{
    size_t i, k;
    json_t *e, *other;
    json_array_foreach(experiments, i, e)
    {
        double gain, loss, gain2, loss2;
        bool front = point_of(e, &gain, &loss);
        if (!front)
            continue;
        json_array_foreach(experiments, k, other)
        {
            if (k != i && point_of(other, &gain2, &loss2) && gain2 >= gain && loss2 <= loss &&
                (gain2 > gain || loss2 < loss))
                front = false;
        }
        json_object_set_new(e, "pareto", json_boolean(front));
    }
}

static hone_status build(building *b)
{
    HONE_TRY(hone_registry_each_run(b->r, b->model, take_run, b));
    const json_t *run = json_object_get(b->document, "run");
    if (!run)
        return hone_fail(HONE_NOT_FOUND, "registry %s has no such run; `hone history` lists them",
                         hone_registry_path(b->r));
    b->run = json_integer_value(json_object_get(run, "id"));
    b->model = json_integer_value(json_object_get(run, "model"));
    HONE_TRY(hone_registry_each_model(b->r, take_model, b));
    char *environment;
    HONE_TRY(hone_registry_environment(
        b->r, json_integer_value(json_object_get(run, "environment")), &environment));
    hone_status s = set_text(b->document, "environment", environment);
    hone_free(environment);
    HONE_TRY(s);
    HONE_TRY(hone_registry_each_experiment(b->r, b->run, take_experiment, b));
    HONE_TRY(hone_registry_each_decision(b->r, b->run, take_decision, b));
    mark_front(b->experiments);
    return HONE_OK;
}

hone_status hone_report_document(hone_registry *r, int64_t model, int64_t run, json_t **out)
{
    hone_json_use_memory();
    building b = {.r = r, .run = run, .model = model};
    b.document = json_pack("{s:[]}", "experiments");
    if (!b.document)
        return hone_fail_memory(256, "the report");
    b.experiments = json_object_get(b.document, "experiments");
    hone_status s = build(&b);
    if (s != HONE_OK) {
        json_decref(b.document);
        b.document = NULL;
    }
    *out = b.document;
    return s;
}
