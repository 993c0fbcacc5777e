/* report_load - a run of the registry gathered into one struct. */
#include "report/report_page.h"

#include "base/io.h"
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { DEPTH_MAX = 16, VALUES_MAX = 20000, TEXT_MAX = 1 << 16 };

const char *report_clean(hone_arena *arena, const char *text)
{
    size_t size = 3 * (text ? strnlen(text, TEXT_MAX) : 0) + 1;
    char *out = hone_arena_alloc(arena, size);
    return out ? hone_report_clean(text ? text : "", out, size) : NULL;
}

static hone_status take(hone_report *r, const char *text, const char **out)
{
    *out = report_clean(&r->arena, text);
    return *out ? HONE_OK : hone_fail_memory(text ? strlen(text) : 1, "a report's text");
}

/* ---- JSON of the registry -----------------------------------------------------------------------
 */

/* NULL: absent, or damaged (counted). */
static hone_status parse(hone_report *r, const char *text, json_t **out)
{
    *out = NULL;
    if (!text)
        return HONE_OK;
    hone_status s =
        hone_json_parse(text, strlen(text), DEPTH_MAX, VALUES_MAX, "a record of the registry", out);
    if (s == HONE_OK || s == HONE_MEMORY)
        return s;
    *out = NULL;
    r->unreadable++;
    return HONE_OK;
}

static const char *string(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

/* Room for one more in a list of the arena, whose capacity is the power of two above its length. */
static void *grow(hone_report *r, void *list, size_t count, size_t size)
{
    if (count && (count & (count - 1)))
        return list;
    void *more = hone_arena_alloc(&r->arena, (count ? 2 * count : 1) * size);
    if (more && count)
        memcpy(more, list, count * size);
    return more;
}

static hone_status add_fact(hone_report *r, const char *name, const char *value,
                            hone_report_fact **list, size_t *count)
{
    hone_report_fact *more = grow(r, *list, *count, sizeof *more);
    if (!more)
        return hone_fail_memory(sizeof *more, "a report's fact");
    *list = more;
    more += *count;
    HONE_TRY(take(r, name, &more->name));
    HONE_TRY(take(r, value, &more->value));
    ++*count;
    return HONE_OK;
}

/* Every value below o as "outer.inner" and text. */
static hone_status flatten(hone_report *r, const json_t *o, const char *prefix,
                           hone_report_fact **list, size_t *count)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)o, key, v)
    {
        char name[256], text[64], *dump = NULL;
        snprintf(name, sizeof name, "%s%s%s", prefix, *prefix ? "." : "", key);
        const char *value = text;
        if (json_is_object(v)) {
            HONE_TRY(flatten(r, v, name, list, count));
            continue;
        }
        if (json_is_string(v))
            value = json_string_value(v);
        else if (json_is_number(v) && hone_ends_with(key, "_bytes"))
            hone_report_bytes(json_number_value(v), text, sizeof text);
        else if (json_is_integer(v))
            snprintf(text, sizeof text, "%lld", (long long)json_integer_value(v));
        else if (json_is_real(v))
            snprintf(text, sizeof text, "%.6g", json_real_value(v));
        else if (json_is_boolean(v))
            value = json_is_true(v) ? "yes" : "no";
        else if (json_is_null(v))
            value = "-";
        else
            value = dump = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
        hone_status s =
            value ? add_fact(r, name, value, list, count) : hone_fail_memory(64, "a report's fact");
        hone_free(dump);
        HONE_TRY(s);
    }
    return HONE_OK;
}

/* ---- records ------------------------------------------------------------------------------------
 */

typedef struct walk {
    hone_report *r;
    int64_t wanted, model, environment;
    bool found;
} walk;

static hone_status take_result(hone_report *r, const char *text)
{
    json_t *m;
    HONE_TRY(parse(r, text, &m));
    r->won = json_is_true(json_object_get(m, "won"));
    json_t *config = json_object_get(m, "config");
    char *dump = json_is_object(config) ? json_dumps(config, JSON_SORT_KEYS | JSON_COMPACT) : NULL;
    hone_status s = take(r, string(m, "label"), &r->label);
    if (s == HONE_OK)
        s = take(r, dump, &r->config);
    if (s == HONE_OK)
        s = take(r, string(m, "bottleneck"), &r->bottleneck);
    hone_free(dump);
    json_decref(m);
    return s;
}

static hone_status see_run(void *arg, const hone_run_record *run)
{
    walk *w = arg;
    if (w->wanted ? run->id != w->wanted : run->id < w->r->run || strcmp(run->goal, "profile") == 0)
        return HONE_OK;
    hone_report *r = w->r;
    if (strcmp(run->goal, "profile") == 0)
        return hone_fail(HONE_USAGE,
                         "run %lld is a profile, which chose nothing: hone profile MODEL takes it "
                         "anew, with --html as a page",
                         (long long)run->id);
    w->found = true;
    w->model = run->model;
    w->environment = run->environment;
    r->run = run->id;
    r->done = run->state && strcmp(run->state, "done") == 0;
    r->max_loss = run->max_loss;
    r->seed = run->seed;
    r->unreadable = r->n_settings = 0;
    r->won = false;
    HONE_TRY(take(r, run->goal, &r->goal));
    HONE_TRY(take(r, run->data_hash, &r->data_hash));
    HONE_TRY(take(r, run->started, &r->started));
    HONE_TRY(take(r, run->finished, &r->finished));
    HONE_TRY(take_result(r, run->result));
    json_t *settings;
    HONE_TRY(parse(r, run->settings, &settings));
    hone_status s = flatten(r, settings, "", &r->settings, &r->n_settings);
    json_decref(settings);
    return s;
}

static hone_status see_model(void *arg, const hone_model_record *m)
{
    walk *w = arg;
    if (m->id != w->model)
        return HONE_OK;
    w->r->model_bytes = m->bytes;
    HONE_TRY(take(w->r, m->path, &w->r->model_path));
    HONE_TRY(take(w->r, m->name, &w->r->model_name));
    HONE_TRY(take(w->r, m->arch, &w->r->model_arch));
    return take(w->r, m->sha256, &w->r->model_sha256);
}

static hone_status take_environment(hone_report *r, hone_registry *registry, int64_t id)
{
    char *text;
    hone_status s = hone_registry_environment(registry, id, &text);
    if (s == HONE_NOT_FOUND)
        return HONE_OK;
    HONE_TRY(s);
    json_t *m;
    s = parse(r, text, &m);
    hone_free(text);
    HONE_TRY(s);
    s = flatten(r, m, "", &r->environment, &r->n_environment);
    json_decref(m);
    return s;
}

static hone_status take_parts(hone_report *r, const json_t *m)
{
    const json_t *parts = json_object_get(m, "parts");
    r->profile_seconds = hone_json_number(m, "seconds");
    r->profile_cost = hone_json_number(m, "cost");
    r->limit_cost = hone_json_number(m, "limit_cost");
    if (string(m, "bottleneck"))
        HONE_TRY(take(r, string(m, "bottleneck"), &r->bottleneck));
    HONE_TRY(take(r, string(m, "bottleneck_text"), &r->bottleneck_text));
    r->n_parts = 0;
    r->parts = hone_arena_alloc(&r->arena, (json_array_size(parts) + 1) * sizeof *r->parts);
    if (!r->parts)
        return hone_fail_memory(sizeof *r->parts, "a report's parts");
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *o = json_array_get(parts, i);
        hone_report_part *p = &r->parts[r->n_parts];
        *p = (hone_report_part){.seconds = hone_json_number(o, "seconds"),
                                .bytes = hone_json_number(o, "bytes"),
                                .ops = hone_json_number(o, "ops"),
                                .limit_share = hone_json_number(o, "limit_share"),
                                .once = json_is_true(json_object_get(o, "once"))};
        HONE_TRY(take(r, string(o, "name"), &p->name));
        HONE_TRY(take(r, string(o, "text"), &p->text));
        r->n_parts += p->seconds >= 0;
    }
    return HONE_OK;
}

static hone_report_role role_of(const char *key)
{
    static const struct {
        const char *prefix;
        hone_report_role role;
    } roles[] = {{"base:", HONE_REPORT_BASE},
                 {"try:", HONE_REPORT_SCREEN},
                 {"add:", HONE_REPORT_COMBINE},
                 {"confirm:", HONE_REPORT_CONFIRM}};
    if (strcmp(key, "profile") == 0)
        return HONE_REPORT_PROFILE;
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (strncmp(key, roles[i].prefix, strlen(roles[i].prefix)) == 0)
            return roles[i].role;
    return HONE_REPORT_OTHER;
}

static void take_metrics(hone_report_experiment *e, const json_t *m)
{
    const json_t *gain = json_object_get(m, "gain"), *q = json_object_get(m, "quality");
    e->gain = hone_json_number(gain, "point");
    e->gain_lo = hone_json_number(gain, "lo");
    e->gain_hi = hone_json_number(gain, "hi");
    e->level = hone_json_number(gain, "level");
    e->cost = hone_json_number(m, "cost");
    e->cost_against = hone_json_number(m, "cost_against");
    e->weight_bytes = hone_json_number(m, "weight_bytes");
    e->same_bits = json_is_true(json_object_get(m, "same_bits_as_baseline"));
    e->perplexity_original = hone_json_number(q, "perplexity_original");
    e->perplexity = hone_json_number(q, "perplexity");
    e->loss = hone_json_number(q, "loss");
    e->loss_upper = hone_json_number(q, "loss_upper");
    e->loss_level = hone_json_number(q, "level");
    e->kl_mean = hone_json_number(q, "kl_mean");
    e->kl_p99 = hone_json_number(q, "kl_p99");
    e->top1_agreement = hone_json_number(q, "top1_agreement");
    e->scored = hone_json_number(q, "scored");
    e->has_quality = !isnan(e->loss_upper);
}

static hone_status see_experiment(void *arg, const hone_experiment_record *record)
{
    hone_report *r = ((walk *)arg)->r;
    hone_report_experiment *list = grow(r, r->experiments, r->n_experiments, sizeof *list);
    if (!list)
        return hone_fail_memory(sizeof *list, "a report's experiment");
    r->experiments = list;
    hone_report_experiment *e = &list[r->n_experiments];
    *e = (hone_report_experiment){.id = record->id, .verdict = "", .why = ""};
    HONE_TRY(take(r, record->key, &e->key));
    HONE_TRY(take(r, record->label, &e->label));
    HONE_TRY(take(r, record->state, &e->state));
    HONE_TRY(take(r, record->config, &e->config));
    e->role = role_of(e->key);
    json_t *m, *predicted;
    HONE_TRY(parse(r, record->predicted, &predicted));
    e->predicted = hone_json_number(predicted, "gain");
    json_decref(predicted);
    HONE_TRY(parse(r, record->metrics, &m));
    take_metrics(e, m);
    hone_status s = take(r, string(m, "error"), &e->error);
    if (s == HONE_OK && e->role == HONE_REPORT_PROFILE)
        s = take_parts(r, m);
    json_decref(m);
    r->n_experiments += s == HONE_OK;
    return s;
}

static hone_status see_sample(void *arg, int64_t pair, double baseline, double candidate)
{
    hone_report *r = ((walk *)arg)->r;
    hone_report_experiment *e = &r->experiments[((walk *)arg)->wanted];
    double ratio = baseline / candidate;
    (void)pair;
    if (!(ratio > 0) || isinf(ratio))
        return HONE_OK;
    double *more = grow(r, e->ratios, e->pairs, sizeof *more);
    if (!more)
        return hone_fail_memory(sizeof *more, "a report's sample");
    e->ratios = more;
    e->ratios[e->pairs++] = ratio;
    return HONE_OK;
}

static hone_status see_decision(void *arg, const hone_decision_record *d)
{
    hone_report *r = ((walk *)arg)->r;
    for (size_t i = 0; i < r->n_experiments; i++) {
        if (r->experiments[i].id != d->experiment)
            continue;
        HONE_TRY(take(r, d->verdict, &r->experiments[i].verdict));
        HONE_TRY(take(r, d->why, &r->experiments[i].why));
    }
    return HONE_OK;
}

static hone_status see_promotion(void *arg, const hone_promotion_record *p)
{
    hone_report *r = ((walk *)arg)->r;
    hone_report_promotion *list = grow(r, r->promotions, r->n_promotions, sizeof *list);
    if (!list)
        return hone_fail_memory(sizeof *list, "a report's promotion");
    r->promotions = list;
    list += r->n_promotions;
    list->run = p->run;
    HONE_TRY(take(r, p->action, &list->action));
    HONE_TRY(take(r, p->when, &list->when));
    HONE_TRY(take(r, p->config, &list->config));
    r->n_promotions++;
    return HONE_OK;
}

/* ---- what follows from the records --------------------------------------------------------------
 */

static void find_choice(hone_report *r)
{
    r->base = r->choice = -1;
    for (size_t i = 0; i < r->n_experiments; i++) {
        const hone_report_experiment *e = &r->experiments[i];
        if (e->role == HONE_REPORT_BASE) /* the last: those before were found wanting */
            r->base = (int)i;
        if (r->won && strcmp(e->verdict, "chosen") == 0)
            r->choice = (int)i;
    }
    for (size_t i = 0; r->won && r->choice < 0 && i < r->n_experiments; i++)
        if (r->experiments[i].role == HONE_REPORT_CONFIRM &&
            strcmp(r->experiments[i].label, r->label) == 0)
            r->choice = (int)i;
}

/* Combinations were measured against another configuration than the baseline; what was confirmed
 * counts once. */
static void find_compared(hone_report *r)
{
    const hone_report_experiment *choice = r->choice >= 0 ? &r->experiments[r->choice] : NULL;
    for (size_t i = 0; i < r->n_experiments; i++) {
        hone_report_experiment *e = &r->experiments[i];
        bool repeated = choice && e != choice && strcmp(e->label, choice->label) == 0;
        bool base = (int)i == r->base && e->has_quality;
        e->compared = !repeated && e->role != HONE_REPORT_COMBINE && !isinf(e->loss_upper) &&
                      (base || (e->gain > 0 && isfinite(e->gain)));
    }
}

/* The baseline gains 1 by definition. */
static double gain_of(const hone_report_experiment *e)
{
    return e->role == HONE_REPORT_BASE ? 1 : e->gain;
}

static void find_front(hone_report *r)
{
    for (size_t i = 0; i < r->n_experiments; i++) {
        hone_report_experiment *e = &r->experiments[i];
        e->front = e->compared && e->has_quality;
        for (size_t j = 0; j < r->n_experiments && e->front; j++) {
            const hone_report_experiment *o = &r->experiments[j];
            bool as_good = o->compared && o->has_quality && o->loss_upper <= e->loss_upper &&
                           gain_of(o) >= gain_of(e);
            e->front = !as_good || (o->loss_upper == e->loss_upper && gain_of(o) == gain_of(e));
        }
    }
}

static void find_in_force(hone_report *r)
{
    const char *config = NULL;
    for (size_t i = 0; i < r->n_promotions; i++)
        if (r->promotions[i].run == r->run && strcmp(r->promotions[i].action, "promote") == 0)
            config = r->promotions[i].config;
    r->promoted = config != NULL;
    if (!config) /* another run may have promoted the same */
        config = r->config;
    r->in_force = *config && r->n_promotions &&
                  strcmp(config, r->promotions[r->n_promotions - 1].config) == 0;
}

/* The word as a POSIX shell reads it. */
static hone_status quote(hone_report *r, const char *word, const char **out)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "%+,-./:=@_";
    if (*word && strspn(word, plain) == strlen(word)) {
        *out = word;
        return HONE_OK;
    }
    char *text = hone_arena_alloc(&r->arena, 4 * strlen(word) + 3), *p = text;
    if (!text)
        return hone_fail_memory(strlen(word), "a report's command");
    *p++ = '\'';
    for (; *word; word++) {
        if (*word == '\'') {
            memcpy(p, "'\\''", 4);
            p += 4;
        } else {
            *p++ = *word;
        }
    }
    *p++ = '\'';
    *p = 0;
    *out = text;
    return HONE_OK;
}

static const char *setting(const hone_report *r, const char *name)
{
    for (size_t i = 0; i < r->n_settings; i++)
        if (strcmp(r->settings[i].name, name) == 0)
            return r->settings[i].value;
    return NULL;
}

/* The command lines; the data's path is not part of a run, only its hash. */
static hone_status find_commands(hone_report *r)
{
    const char *model, *data = setting(r, "data_path");
    HONE_TRY(quote(r, r->model_path, &model));
    HONE_TRY(quote(r, data ? data : "TEXT", &data));
    static const struct {
        const char *setting, *option;
    } options[] = {{"prompt_tokens", "prompt"},
                   {"sessions", "sessions"},
                   {"eval_tokens", "eval-tokens"},
                   {"pairs", "pairs"}};
    size_t size = strlen(model) + strlen(data) + strlen(r->goal) + 512;
    char *reproduce = hone_arena_alloc(&r->arena, size);
    char *rollback = hone_arena_alloc(&r->arena, size);
    if (!reproduce || !rollback)
        return hone_fail_memory(size, "a report's command");
    snprintf(reproduce, size, "hone optimize %s --data %s --goal %s --max-loss %.10g%% --seed %llu",
             model, data, r->goal, 100 * r->max_loss, (unsigned long long)r->seed);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        const char *value = setting(r, options[i].setting);
        size_t used = strlen(reproduce);
        if (value && strlen(value) <= 20 && strspn(value, "0123456789") == strlen(value))
            snprintf(reproduce + used, size - used, " --%s %s", options[i].option, value);
    }
    snprintf(rollback, size, "hone rollback %s", model);
    r->reproduce = reproduce;
    r->rollback = rollback;
    return HONE_OK;
}

static hone_status gather(hone_report *r, hone_registry *registry, int64_t run)
{
    walk w = {.r = r, .wanted = run};
    HONE_TRY(hone_registry_each_run(registry, 0, see_run, &w));
    if (!w.found && run)
        return hone_fail(HONE_NOT_FOUND, "there is no run %lld in %s: hone history lists them",
                         (long long)run, hone_registry_path(registry));
    if (!w.found)
        return hone_fail(HONE_NOT_FOUND, "there is no run in %s yet: hone optimize makes one",
                         hone_registry_path(registry));
    HONE_TRY(hone_registry_each_model(registry, see_model, &w));
    HONE_TRY(take_environment(r, registry, w.environment));
    HONE_TRY(hone_registry_each_experiment(registry, r->run, see_experiment, &w));
    for (size_t i = 0; i < r->n_experiments; i++) {
        w.wanted = (int64_t)i;
        HONE_TRY(hone_registry_each_sample(registry, r->experiments[i].id, see_sample, &w));
    }
    HONE_TRY(hone_registry_each_decision(registry, r->run, see_decision, &w));
    HONE_TRY(hone_registry_each_promotion(registry, w.model, see_promotion, &w));
    find_choice(r);
    find_compared(r);
    find_front(r);
    find_in_force(r);
    return find_commands(r);
}

hone_status hone_report_load(hone_registry *r, int64_t run, hone_report **out)
{
    *out = NULL;
    if (run < 0)
        return hone_fail(HONE_USAGE, "runs are numbered from 1");
    hone_report *report = hone_calloc(1, sizeof *report);
    if (!report)
        return hone_fail_memory(sizeof *report, "a report");
    report->model_path = report->model_name = report->model_arch = report->model_sha256 = "";
    report->bottleneck = report->bottleneck_text = "";
    report->profile_seconds = report->profile_cost = report->limit_cost = NAN;
    hone_json_use_memory();
    hone_status s = gather(report, r, run);
    if (s == HONE_OK)
        *out = report;
    else
        hone_report_free(report);
    return s;
}

void hone_report_free(hone_report *report)
{
    if (!report)
        return;
    hone_arena_free(&report->arena);
    hone_free(report);
}
