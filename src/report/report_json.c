/* report_json - a report as JSON. */
#include "report/report.h"

#include <math.h>

static void set(json_t *o, const char *key, double value)
{
    if (isfinite(value))
        json_object_set_new(o, key, json_real(value));
}

static void set_text(json_t *o, const char *key, const char *value)
{
    if (*value)
        json_object_set_new(o, key, json_string(value));
}

static json_t *facts(const hone_report_fact *list, size_t n)
{
    json_t *o = json_object();
    for (size_t i = 0; i < n; i++)
        json_object_set_new(o, list[i].name, json_string(list[i].value));
    return o;
}

static json_t *interval(const hone_report_experiment *e)
{
    json_t *o = json_object();
    set(o, "point", e->gain);
    set(o, "lo", e->gain_lo);
    set(o, "hi", e->gain_hi);
    set(o, "level", e->level);
    return o;
}

static json_t *quality(const hone_report_experiment *e)
{
    json_t *o = json_object();
    set(o, "perplexity_original", e->perplexity_original);
    set(o, "perplexity", e->perplexity);
    set(o, "loss", e->loss);
    set(o, "loss_upper", e->loss_upper);
    set(o, "level", e->loss_level);
    set(o, "kl_mean", e->kl_mean);
    set(o, "kl_p99", e->kl_p99);
    set(o, "top1_agreement", e->top1_agreement);
    set(o, "scored", e->scored);
    return o;
}

static json_t *experiment(const hone_report_experiment *e)
{
    json_t *o = json_object(), *ratios = json_array();
    set_text(o, "key", e->key);
    set_text(o, "label", e->label);
    set_text(o, "state", e->state);
    set_text(o, "verdict", e->verdict);
    set_text(o, "why", e->why);
    set_text(o, "error", e->error);
    set_text(o, "config", e->config);
    json_object_set_new(o, "pareto_front", json_boolean(e->front));
    json_object_set_new(o, "role", json_string(hone_report_role_text(e->role)));
    set(o, "predicted", e->predicted);
    set(o, "cost", e->cost);
    set(o, "cost_against", e->cost_against);
    set(o, "weight_bytes", e->weight_bytes);
    if (!isnan(e->gain))
        json_object_set_new(o, "gain", interval(e));
    if (e->has_quality) {
        json_object_set_new(o, "quality", quality(e));
        json_object_set_new(o, "same_bits_as_baseline", json_boolean(e->same_bits));
    }
    for (size_t i = 0; i < e->pairs; i++)
        json_array_append_new(ratios, json_real(e->ratios[i]));
    json_object_set_new(o, "ratios", ratios);
    return o;
}

static json_t *part(const hone_report_part *p)
{
    json_t *o = json_object();
    set_text(o, "name", p->name);
    set_text(o, "text", p->text);
    set(o, "seconds", p->seconds);
    set(o, "bytes", p->bytes);
    set(o, "ops", p->ops);
    if (p->limit_share > 0)
        set(o, "limit_share", p->limit_share);
    json_object_set_new(o, "once", json_boolean(p->once));
    return o;
}

static json_t *promotion(const hone_report_promotion *p)
{
    json_t *o = json_object();
    set_text(o, "action", p->action);
    set_text(o, "when", p->when);
    set_text(o, "config", p->config);
    if (p->run)
        json_object_set_new(o, "run", json_integer((json_int_t)p->run));
    return o;
}

static json_t *model(const hone_report *r)
{
    json_t *o = json_object();
    set_text(o, "path", r->model_path);
    set_text(o, "name", r->model_name);
    set_text(o, "architecture", r->model_arch);
    set_text(o, "sha256", r->model_sha256);
    json_object_set_new(o, "bytes", json_integer((json_int_t)r->model_bytes));
    return o;
}

static json_t *profile(const hone_report *r)
{
    json_t *o = json_object(), *parts = json_array();
    set(o, "seconds", r->profile_seconds);
    set(o, "cost", r->profile_cost);
    set(o, "limit_cost", r->limit_cost);
    set_text(o, "bottleneck", r->bottleneck);
    for (size_t i = 0; i < r->n_parts; i++)
        json_array_append_new(parts, part(&r->parts[i]));
    json_object_set_new(o, "parts", parts);
    return o;
}

json_t *hone_report_json(const hone_report *r)
{
    char text[2048];
    json_t *o = json_object(), *experiments = json_array(), *promotions = json_array();
    json_object_set_new(o, "run", json_integer((json_int_t)r->run));
    json_object_set_new(o, "state", json_string(r->done ? "done" : "unfinished"));
    json_object_set_new(o, "won", json_boolean(r->won));
    json_object_set_new(o, "promoted", json_boolean(r->promoted));
    json_object_set_new(o, "in_force", json_boolean(r->in_force));
    set_text(o, "headline", hone_report_headline(r, text, sizeof text));
    set_text(o, "quality", hone_report_price(r, text, sizeof text));
    set_text(o, "goal", r->goal);
    set(o, "max_loss", r->max_loss);
    json_object_set_new(o, "seed", json_integer((json_int_t)r->seed));
    set_text(o, "data_hash", r->data_hash);
    set_text(o, "started", r->started);
    set_text(o, "finished", r->finished);
    set_text(o, "label", r->label);
    set_text(o, "config", r->config);
    set_text(o, "reproduce", r->reproduce);
    set_text(o, "rollback", r->rollback);
    json_object_set_new(o, "model", model(r));
    json_object_set_new(o, "profile", profile(r));
    for (size_t i = 0; i < r->n_experiments; i++)
        if (r->experiments[i].role != HONE_REPORT_PROFILE)
            json_array_append_new(experiments, experiment(&r->experiments[i]));
    json_object_set_new(o, "experiments", experiments);
    for (size_t i = 0; i < r->n_promotions; i++)
        json_array_append_new(promotions, promotion(&r->promotions[i]));
    json_object_set_new(o, "promotions", promotions);
    json_object_set_new(o, "settings", facts(r->settings, r->n_settings));
    json_object_set_new(o, "environment", facts(r->environment, r->n_environment));
    json_object_set_new(o, "unreadable_records", json_integer((json_int_t)r->unreadable));
    return o;
}
