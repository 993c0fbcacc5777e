#include "pipeline/trial.h"

#include "base/json.h"
#include "base/mem.h"
#include "kernel/kernel.h"
#include "pipeline/advise.h"
#include "store/digest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TRIALS_MAX = 64,
    CONFIRMATIONS = 3, /* choices that are put to the proof, best first, until one passes */
    PAIRS_MIN = 11     /* allows intervals for TRIALS_MAX / 2 candidates */
};

/* ---- profile ----------------------------------------------------------------------------------
 */

static json_t *profile_json(const hone_pipeline_profile *f, const hone_roofline *r,
                            hone_bottleneck b)
{
    json_t *parts = json_array();
    for (size_t i = 0; i < f->n_parts; i++)
        json_array_append_new(
            parts, json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:b}", "name", f->parts[i].name,
                             "text", f->parts[i].text, "seconds", f->parts[i].seconds, "bytes",
                             f->parts[i].bytes, "ops", f->parts[i].ops, "limit_share",
                             f->parts[i].limit_share, "once", (int)f->parts[i].once));
    return json_pack("{s:o, s:f, s:f, s:f, s:s, s:s}", "parts", parts, "seconds", f->seconds,
                     "cost", f->cost, "limit_cost", r->cost, "bottleneck", hone_bottleneck_name(b),
                     "bottleneck_text", hone_bottleneck_text(b));
}

static hone_status profile(pipeline *p)
{
    HONE_TRY(pipeline_need_base(p));
    HONE_TRY(p->b->facts(p->b->self, p->base_variant, &p->facts));
    hone_roofline r = hone_technique_roofline(&p->facts, &p->base, p->q->goal);
    hone_experiment_record e = {
        .run = p->run, .key = "profile", .label = "profile", .config = p->base_json};
    int64_t id;
    bool failed;
    char *metrics;
    HONE_TRY(hone_registry_start_experiment(p->r, &e, &id, &failed, &metrics));
    if (!metrics) {
        hone_pipeline_profile *f = hone_calloc(1, sizeof *f);
        if (!f)
            return hone_fail_memory(sizeof *f, "the profile");
        hone_status s = p->b->profile(p->b->self, p->base_variant, p->q->goal, f);
        if (s == HONE_OK)
            s = pipeline_text_of(profile_json(f, &r, hone_bottleneck_find(p->q->goal, &r, f->cost)),
                                 &metrics);
        if (s == HONE_OK)
            s = hone_registry_finish_experiment(p->r, id, false, metrics, NULL, NULL, 0);
        hone_free(f);
        if (s != HONE_OK) {
            hone_free(metrics);
            return s;
        }
    }
    json_t *m;
    hone_status s = hone_json_parse(metrics, strlen(metrics), 8, 10000, "the profile", &m);
    hone_free(metrics);
    HONE_TRY(s);
    p->bottleneck =
        hone_bottleneck_find(p->q->goal, &r, json_number_value(json_object_get(m, "cost")));
    json_decref(m);
    pipeline_note(p, "bottleneck: %s (%s)", hone_bottleneck_name(p->bottleneck),
                  hone_bottleneck_text(p->bottleneck));
    return HONE_OK;
}

/* ---- the baseline -------------------------------------------------------------------------------
 */

static hone_status set_base(pipeline *p, hone_config c)
{
    hone_free(p->base_json);
    p->base_json = NULL;
    pipeline_drop_base(p);
    p->base = c;
    return hone_config_to_json(&c, &p->base_json);
}

static hone_status try_base(pipeline *p, pipeline_trial *t)
{
    HONE_TRY(pipeline_do_trial(p, t));
    return t->failed ? hone_fail(HONE_UNSUPPORTED, "the baseline cannot be evaluated: %s", t->error)
                     : HONE_OK;
}

/* The original is what quality is measured from: its own is known. */
static hone_status take_f32(pipeline *p, pipeline_trial *t)
{
    hone_config f32 = p->base;
    f32.compute = HONE_COMPUTE_F32;
    f32.kv_format = HONE_KV_F32;
    f32.products = HONE_PRODUCTS_EXACT;
    p->base_is_f32 = true;
    p->base_quality = (pipeline_quality){.perplexity_ref = p->base_quality.perplexity_ref,
                                         .perplexity = p->base_quality.perplexity_ref,
                                         .top1_agreement = 1,
                                         .level = p->base_quality.level,
                                         .scored = p->base_quality.scored};
    HONE_TRY(set_base(p, f32));
    *t = (pipeline_trial){
        .key = "base:f32", .label = "baseline f32", .config = f32, .judge_only = true};
    return try_base(p, t);
}

/* The default arithmetic must pass the gate itself; if it does not, float32 is the baseline. t[2]:
 * how they were judged; *n: how many. */
static hone_status choose_base(pipeline *p, pipeline_trial *t, size_t *n)
{
    *n = 1;
    HONE_TRY(set_base(p, hone_config_default()));
    *t = (pipeline_trial){.key = "base:bf16",
                          .label = "baseline bf16",
                          .config = p->base,
                          .lossy = true,
                          .judge_only = true};
    HONE_TRY(try_base(p, t));
    p->base_quality = t->quality;
    if (pipeline_passes(p, t))
        return HONE_OK;
    pipeline_note(p, "bf16 arithmetic loses up to %.5f %%: the baseline is float32",
                  100 * t->quality.loss_upper);
    *n = 2;
    return take_f32(p, &t[1]);
}

/* ---- candidates ---------------------------------------------------------------------------------
 */

typedef struct candidates {
    pipeline_trial list[TRIALS_MAX];
    size_t count, screened;
} candidates;

static int by_promise(const void *a, const void *b)
{
    const pipeline_trial *x = a, *y = b;
    if (x->addressed != y->addressed)
        return x->addressed ? -1 : 1;
    return (x->predicted < y->predicted) - (x->predicted > y->predicted);
}

/* What changes logits and is predicted to gain nothing is not worth its evaluation, as long as the
 * roofline explains the time. What is lossless is decided by measurement alone. */
static bool worth_trying(const pipeline *p, const hone_technique *t, double predicted)
{
    if (p->q->goal == HONE_GOAL_MEMORY)
        return predicted > 1;
    return !t->lossy || predicted == 0 || predicted > 1.02 ||
           p->bottleneck == HONE_BOTTLENECK_OVERHEAD;
}

static void list_candidates(pipeline *p, candidates *c)
{
    size_t rows;
    const hone_technique *const *table = hone_techniques(&rows);
    for (size_t i = 0; i < rows; i++) {
        const hone_technique *t = table[i];
        for (size_t v = 0; v < t->n_values && c->count < TRIALS_MAX / 2; v++) {
            if (!t->applies(&p->facts, &p->base, t->values[v].knob))
                continue;
            pipeline_trial trial = {.config = p->base,
                                    .against = p->base,
                                    .over_base = 1,
                                    .knob = t->knob,
                                    .lossy = t->lossy,
                                    .addressed = t->addresses == p->bottleneck};
            t->apply(t->values[v].knob, &trial.config);
            trial.predicted =
                hone_technique_predict(&p->facts, &p->base, &trial.config, p->q->goal);
            if (!worth_trying(p, t, trial.predicted))
                continue;
            snprintf(trial.label, sizeof trial.label, "%s", t->values[v].label);
            snprintf(trial.key, sizeof trial.key, "try:%s", trial.label);
            c->list[c->count++] = trial;
        }
    }
    qsort(c->list, c->count, sizeof *c->list, by_promise);
    for (size_t i = 0; i < c->count; i++)
        c->list[i].level = 1 - 0.05 / (double)c->count;
    c->screened = c->count;
}

static void note_trial(const pipeline *p, const pipeline_trial *t)
{
    char predicted[48] = "";
    if (t->predicted > 0)
        snprintf(predicted, sizeof predicted, " (predicted %.2fx)", t->predicted);
    if (t->failed)
        pipeline_note(p, "%-28s cannot run: %s", t->label, t->error);
    else if (!t->has_quality)
        pipeline_note(p, "%-28s %.3fx [%.3f, %.3f]%s: no gain that can be claimed", t->label,
                      t->gain.point, t->gain.lo, t->gain.hi, predicted);
    else
        pipeline_note(p, "%-28s %.3fx [%.3f, %.3f]%s, loss %.4f %% (at most %.4f %%): %s", t->label,
                      t->gain.point, t->gain.lo, t->gain.hi, predicted, 100 * t->quality.loss,
                      100 * t->quality.loss_upper,
                      pipeline_passes(p, t) ? "passes" : "loses too much");
}

static hone_status try_one(pipeline *p, pipeline_trial *t)
{
    HONE_TRY(pipeline_do_trial(p, t));
    note_trial(p, t);
    t->over_base *= t->gain.point;
    return HONE_OK;
}

/* ---- choice -------------------------------------------------------------------------------------
 */

static bool is_accepted(const pipeline *p, const pipeline_trial *t)
{
    return pipeline_is_faster(t) && pipeline_passes(p, t);
}

/* Index of the best accepted screened candidate among the knobs not yet used, or count. */
static size_t best_of(const pipeline *p, const candidates *c, const bool *used)
{
    size_t best = c->count;
    for (size_t i = 0; i < c->screened; i++)
        if (!used[c->list[i].knob] && is_accepted(p, &c->list[i]) &&
            (best == c->count || c->list[i].gain.point > c->list[best].gain.point))
            best = i;
    return best;
}

/* `value` put on top of `current`, measured against `current`. */
static pipeline_trial combine(const pipeline *p, const pipeline_trial *current,
                              const pipeline_trial *value)
{
    pipeline_trial t = {.against = current->config,
                        .config = current->config,
                        .over_base = current->over_base,
                        .knob = value->knob,
                        .lossy = current->lossy || value->lossy,
                        .level = 0.95};
    const hone_technique *technique;
    const hone_technique_value *v;
    if (hone_technique_find(value->label, &technique, &v))
        technique->apply(v->knob, &t.config);
    t.predicted = hone_technique_predict(&p->facts, &t.against, &t.config, p->q->goal);
    char label[PIPELINE_LABEL];
    snprintf(label, sizeof label, "%.90s + %.30s", current->label, value->label);
    snprintf(t.key, sizeof t.key, "add:%s", label);
    memcpy(t.label, label, sizeof label);
    return t;
}

/* Adds the winners of the other knobs to the best one, each kept only if it gains on top and the
 * combination passes. */
static hone_status combine_winners(pipeline *p, candidates *c)
{
    bool used[HONE_KNOBS] = {false};
    size_t current = best_of(p, c, used);
    if (current == c->count)
        return HONE_OK;
    used[c->list[current].knob] = true;
    for (;;) {
        size_t next = best_of(p, c, used);
        if (next == c->count || c->count == TRIALS_MAX - CONFIRMATIONS)
            break;
        used[c->list[next].knob] = true;
        c->list[c->count] = combine(p, &c->list[current], &c->list[next]);
        HONE_TRY(try_one(p, &c->list[c->count]));
        if (is_accepted(p, &c->list[c->count]))
            current = c->count;
        c->count++;
    }
    return HONE_OK;
}

/* Index of the fastest accepted trial of the first n that was not put to the proof, or n. */
static size_t fastest_of(const pipeline *p, const candidates *c, size_t n, const bool *tried)
{
    size_t best = n;
    for (size_t i = 0; i < n; i++)
        if (!tried[i] && is_accepted(p, &c->list[i]) &&
            (best == n || c->list[i].over_base > c->list[best].over_base))
            best = i;
    return best;
}

/* Fresh samples and fresh text for a choice against the baseline. */
static hone_status confirm(pipeline *p, candidates *c, size_t choice, double level, bool *won)
{
    char label[PIPELINE_LABEL];
    pipeline_trial *t = &c->list[c->count];
    memcpy(label, c->list[choice].label, sizeof label);
    *t = (pipeline_trial){.config = c->list[choice].config,
                          .against = p->base,
                          .over_base = 1,
                          .knob = c->list[choice].knob,
                          .lossy = c->list[choice].lossy,
                          .confirm = true,
                          .level = level};
    t->predicted = hone_technique_predict(&p->facts, &p->base, &t->config, p->q->goal);
    memcpy(t->label, label, sizeof label);
    snprintf(t->key, sizeof t->key, "confirm:%s", label);
    HONE_TRY(try_one(p, t));
    c->count++;
    *won = is_accepted(p, t);
    return HONE_OK;
}

/* The best of many looks better than it is, so the choice must show itself again; if it does not,
 * the next best may. Each proof has half of the former one's chance of error: together below 5 %.
 */
static hone_status choose(pipeline *p, candidates *c, hone_pipeline_result *out)
{
    bool tried[TRIALS_MAX] = {false};
    size_t n = c->count;
    double error = 0.05;
    for (int i = 0; i < CONFIRMATIONS && !out->won; i++) {
        size_t choice = fastest_of(p, c, n, tried);
        if (choice == n)
            break;
        tried[choice] = true;
        error /= 2;
        HONE_TRY(confirm(p, c, choice, 1 - error, &out->won));
        if (out->won) {
            out->chosen = c->list[choice].config;
            memcpy(out->label, c->list[choice].label, sizeof out->label);
        }
    }
    return HONE_OK;
}

/* ---- what is written down
 * ------------------------------------------------------------------------ */

static hone_status decide(pipeline *p, const pipeline_trial *t, bool chosen)
{
    char why[1024];
    double loss = 100 * t->quality.loss_upper, bound = 100 * p->q->max_loss;
    if (t->failed)
        snprintf(why, sizeof why, "cannot run: %s", t->error);
    else if (!t->judge_only && !pipeline_is_faster(t))
        snprintf(why, sizeof why, "%.3fx [%.3f, %.3f]: no gain that can be claimed", t->gain.point,
                 t->gain.lo, t->gain.hi);
    else if (!pipeline_passes(p, t))
        snprintf(why, sizeof why, "loss up to %.5f %%, allowed are %.5f %%", loss, bound);
    else if (t->judge_only)
        snprintf(why, sizeof why, "the baseline: loss up to %.5f %% of %.5f %%", loss, bound);
    else
        snprintf(why, sizeof why, "%.3fx [%.3f, %.3f], loss up to %.5f %% of %.5f %%",
                 t->gain.point, t->gain.lo, t->gain.hi, loss, bound);
    bool good = pipeline_passes(p, t) && (t->judge_only || pipeline_is_faster(t));
    hone_decision_record d = {.run = p->run,
                              .experiment = t->id,
                              .verdict = chosen ? "chosen"
                                         : good ? "accepted"
                                                : "rejected",
                              .why = why};
    return hone_registry_put_decision(p->r, &d);
}

static hone_status write_result(pipeline *p, const hone_pipeline_result *out, const char *config)
{
    json_t *parsed;
    HONE_TRY(hone_json_parse(config, strlen(config), 8, 1000, "a configuration", &parsed));
    char *text;
    HONE_TRY(pipeline_text_of(json_pack("{s:o, s:s, s:b, s:s}", "config", parsed, "label",
                                        out->label, "won", (int)out->won, "bottleneck",
                                        hone_bottleneck_name(p->bottleneck)),
                              &text));
    hone_status s = hone_registry_finish_run(p->r, p->run, text);
    hone_free(text);
    return s;
}

/* Whether the choice must be put in force: it beats the baseline, or the baseline is float32
 * because the file in its default arithmetic does not keep the bound. */
static bool must_promote(const pipeline *p, const hone_pipeline_result *out)
{
    return p->q->promote && (out->won || out->chosen.compute != hone_config_default().compute);
}

/* Decisions, the run's end and the promotion: one transaction. */
static hone_status conclude(pipeline *p, const pipeline_trial *base, size_t n_base,
                            const candidates *c, hone_pipeline_result *out)
{
    char *config;
    HONE_TRY(hone_config_to_json(&out->chosen, &config));
    hone_status s = hone_registry_begin(p->r);
    if (s == HONE_OK) {
        for (size_t i = 0; s == HONE_OK && i < n_base; i++)
            s = decide(p, &base[i], false);
        for (size_t i = 0; s == HONE_OK && i < c->count; i++)
            s = decide(p, &c->list[i], out->won && i + 1 == c->count);
        if (s == HONE_OK)
            s = write_result(p, out, config);
        if (s == HONE_OK && must_promote(p, out))
            s = hone_registry_promote(p->r, p->model, config, p->run);
        if (s == HONE_OK)
            s = hone_registry_commit(p->r);
        else
            hone_registry_abort(p->r);
    }
    hone_free(config);
    out->promoted = s == HONE_OK && must_promote(p, out);
    return s;
}

static hone_status work(pipeline *p, candidates *c, hone_pipeline_result *out)
{
    pipeline_trial base[2];
    size_t n_base;
    HONE_TRY(choose_base(p, base, &n_base));
    HONE_TRY(profile(p));
    list_candidates(p, c);
    for (size_t i = 0; i < c->screened; i++)
        HONE_TRY(try_one(p, &c->list[i]));
    HONE_TRY(combine_winners(p, c));
    out->chosen = p->base;
    snprintf(out->label, sizeof out->label, "%s", p->base_is_f32 ? "baseline f32" : "baseline");
    HONE_TRY(choose(p, c, out));
    return conclude(p, base, n_base, c, out);
}

/* ---- a run and its resumption
 * -------------------------------------------------------------------- */

static hone_status run_key(const hone_pipeline_request *q, char key[HONE_DIGEST_BYTES])
{
    char *text;
    HONE_TRY(pipeline_text_of(
        json_pack("{s:s, s:s, s:s, s:f, s:I, s:i, s:s, s:s, s:i}", "model", q->model.sha256, "data",
                  q->data_hash, "goal", hone_goal_name(q->goal), "max_loss", q->max_loss, "seed",
                  (json_int_t)q->seed, "pairs", q->pairs, "settings", q->settings, "environment",
                  q->environment_key, "numerics", (int)HONE_NUMERICS_VERSION),
        &text));
    hone_digest_bytes(text, strlen(text), key);
    hone_free(text);
    return HONE_OK;
}

typedef struct wanted_run {
    int64_t id;
    char *result;
} wanted_run;

static hone_status find_result(void *arg, const hone_run_record *run)
{
    wanted_run *w = arg;
    if (run->id != w->id || !run->result)
        return HONE_OK;
    w->result = hone_strdup(run->result);
    return w->result ? HONE_OK : hone_fail_memory(strlen(run->result), "a result");
}

/* The outcome of a run that was finished before; puts its winner in force if that is asked for. */
static hone_status read_result(pipeline *p, hone_pipeline_result *out)
{
    wanted_run w = {.id = p->run};
    HONE_TRY(hone_registry_each_run(p->r, p->model, find_result, &w));
    if (!w.result)
        return hone_fail(HONE_FORMAT, "run %lld has no result", (long long)p->run);
    json_t *m;
    hone_status s = hone_json_parse(w.result, strlen(w.result), 8, 1000, "a run's result", &m);
    hone_free(w.result);
    HONE_TRY(s);
    const char *label = json_string_value(json_object_get(m, "label"));
    snprintf(out->label, sizeof out->label, "%s", label ? label : "?");
    out->won = json_is_true(json_object_get(m, "won"));
    out->was_done = true;
    char *config;
    s = pipeline_text_of(json_incref(json_object_get(m, "config")), &config);
    if (s == HONE_OK) {
        s = hone_config_from_json(config, &out->chosen);
        hone_free(config);
    }
    if (s == HONE_OK && must_promote(p, out)) {
        s = hone_config_to_json(&out->chosen, &config);
        if (s == HONE_OK) {
            s = hone_registry_promote(p->r, p->model, config, p->run);
            hone_free(config);
        }
        out->promoted = s == HONE_OK;
    }
    json_decref(m);
    return s;
}

/* The settings and what else a person has to say to have this run again. */
static hone_status record_settings(const hone_pipeline_request *q, char **text)
{
    json_t *o;
    HONE_TRY(hone_json_parse(q->settings, strlen(q->settings), 8, 1000, "the settings", &o));
    json_object_set_new(o, "pairs", json_integer(q->pairs));
    if (q->eval_tokens)
        json_object_set_new(o, "eval_tokens", json_integer((json_int_t)q->eval_tokens));
    return pipeline_text_of(o, text);
}

static hone_status start_run(pipeline *p, bool *done)
{
    const hone_pipeline_request *q = p->q;
    char key[HONE_DIGEST_BYTES];
    int64_t environment;
    HONE_TRY(run_key(q, key));
    HONE_TRY(hone_registry_put_model(p->r, &q->model, &p->model));
    HONE_TRY(hone_registry_put_environment(p->r, q->environment_key, q->environment, &environment));
    char *settings;
    HONE_TRY(record_settings(q, &settings));
    hone_run_record run = {.key = key,
                           .model = p->model,
                           .environment = environment,
                           .goal = hone_goal_name(q->goal),
                           .max_loss = q->max_loss,
                           .data_hash = q->data_hash,
                           .seed = q->seed,
                           .settings = settings};
    hone_status s = hone_registry_start_run(p->r, &run, &p->run, done);
    hone_free(settings);
    HONE_TRY(s);
    if (!*done || q->fresh) /* two at once would measure each other */
        HONE_TRY(hone_registry_lock_run(p->r, p->run, &p->lock));
    if (!q->fresh)
        return HONE_OK;
    *done = false;
    return hone_registry_restart_run(p->r, p->run);
}

hone_status hone_pipeline_optimize(const hone_pipeline_request *q, const hone_pipeline_backend *b,
                                   hone_registry *r, hone_pipeline_result *out)
{
    memset(out, 0, sizeof *out);
    if (q->pairs < PAIRS_MIN || !(q->max_loss >= 0))
        return hone_fail(HONE_USAGE, "at least %d pairs of samples and a loss of at least 0",
                         PAIRS_MIN);
    hone_json_use_memory();
    pipeline p = {.q = q, .b = b, .r = r, .lock = -1};
    bool done;
    hone_status s = start_run(&p, &done);
    candidates *c = s == HONE_OK && !done ? hone_calloc(1, sizeof *c) : NULL;
    out->run = p.run;
    out->model = p.model;
    if (s == HONE_OK && done)
        s = read_result(&p, out);
    else if (s == HONE_OK)
        s = c ? work(&p, c, out) : hone_fail_memory(sizeof *c, "the candidates");
    pipeline_drop_base(&p);
    hone_free(p.base_json);
    hone_free(c);
    if (p.lock >= 0)
        (void)close(p.lock);
    return s;
}
