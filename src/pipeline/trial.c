#include "pipeline/trial.h"

#include "base/json.h"
#include "base/mem.h"
#include "pipeline/turns.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void pipeline_note(const pipeline *p, const char *fmt, ...)
{
    if (!p->q->note)
        return;
    char line[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    p->q->note(p->q->arg, line);
}

hone_status pipeline_text_of(json_t *value, char **text)
{
    *text = value ? json_dumps(value, JSON_SORT_KEYS | JSON_COMPACT) : NULL;
    json_decref(value);
    return *text ? HONE_OK : hone_fail_memory(1024, "a record's JSON");
}

hone_status pipeline_judge(const hone_pipeline_comparison *c, double level, pipeline_quality *out)
{
    if (c->scored < 2 * PIPELINE_RUN_TOKENS)
        return hone_fail(HONE_DATA,
                         "%zu held-out tokens are too few to judge quality: %d are needed",
                         c->scored, 2 * PIPELINE_RUN_TOKENS);
    double *differences = hone_malloc(c->scored * sizeof *differences);
    if (!differences)
        return hone_fail_memory(c->scored * sizeof *differences, "differences of scores");
    for (size_t i = 0; i < c->scored; i++)
        differences[i] = c->nll[i] - c->nll_ref[i];
    double mean, upper;
    hone_status s =
        hone_stat_mean_upper(differences, c->scored, PIPELINE_RUN_TOKENS, level, &mean, &upper);
    hone_free(differences);
    HONE_TRY(s);
    *out = (pipeline_quality){
        .perplexity_ref = exp(hone_stat_mean(c->nll_ref, c->scored)),
        .perplexity = exp(hone_stat_mean(c->nll, c->scored)),
        .loss = expm1(mean),
        /* A text may suit a damaged model by chance: on what the original itself would have said
         * the loss is the divergence, and neither may pass the bound. */
        .loss_upper = fmax(expm1(upper), expm1(c->kl_mean)),
        .kl_mean = c->kl_mean,
        .kl_p99 = c->kl_p99,
        .top1_agreement = c->top1_agreement,
        .level = level,
        .scored = c->scored,
    };
    if (!isfinite(out->loss_upper) || !isfinite(out->perplexity))
        return hone_fail(HONE_DATA, "the scores are not finite");
    return HONE_OK;
}

static json_t *quality_json(const pipeline_quality *q)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I}", "perplexity_original",
                     q->perplexity_ref, "perplexity", q->perplexity, "loss", q->loss, "loss_upper",
                     q->loss_upper, "level", q->level, "kl_mean", q->kl_mean, "kl_p99", q->kl_p99,
                     "top1_agreement", q->top1_agreement, "scored", (json_int_t)q->scored);
}

static double number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static void read_metrics(const json_t *m, pipeline_trial *t)
{
    const json_t *gain = json_object_get(m, "gain"), *q = json_object_get(m, "quality");
    const char *error = json_string_value(json_object_get(m, "error"));
    snprintf(t->error, sizeof t->error, "%s", error ? error : "");
    t->gain = (hone_interval){number(gain, "point"), number(gain, "lo"), number(gain, "hi")};
    t->cost = number(m, "cost");
    t->cost_against = number(m, "cost_against");
    t->bytes = number(m, "weight_bytes");
    t->has_quality = json_is_object(q);
    t->quality = (pipeline_quality){
        .perplexity_ref = number(q, "perplexity_original"),
        .perplexity = number(q, "perplexity"),
        .loss = number(q, "loss"),
        .loss_upper = number(q, "loss_upper"),
        .level = number(q, "level"),
        .kl_mean = number(q, "kl_mean"),
        .kl_p99 = number(q, "kl_p99"),
        .top1_agreement = number(q, "top1_agreement"),
        .scored = (size_t)number(q, "scored"),
    };
}

/* Outcome from its text, whether just written or found: one road for both. */
static hone_status read_metrics_text(const char *text, bool failed, pipeline_trial *t)
{
    json_t *m;
    HONE_TRY(hone_json_parse(text, strlen(text), 8, 1000, "an experiment of the registry", &m));
    t->failed = failed;
    read_metrics(m, t);
    json_decref(m);
    return HONE_OK;
}

hone_status pipeline_need_base(pipeline *p)
{
    return p->base_variant ? HONE_OK : p->b->load(p->b->self, &p->base, &p->base_variant);
}

void pipeline_drop_base(pipeline *p)
{
    if (p->base_variant)
        p->b->unload(p->b->self, p->base_variant);
    p->base_variant = NULL;
}

typedef struct pair {
    pipeline *p;
    const pipeline_trial *t;
    void *side[2];
    size_t taken, all;
} pair;

static hone_status measure_side(void *arg, int side, double *cost)
{
    pair *m = arg;
    const hone_pipeline_backend *back = m->p->b;
    size_t turn = m->taken++ / 2;
    if (m->p->q->progress)
        m->p->q->progress(m->p->q->arg, m->t->label, (double)turn, (double)m->all);
    return back->measure(back->self, m->side[side], m->p->q->goal, cost);
}

static hone_status sample(pipeline *p, const pipeline_trial *t, void *a, void *b, double *cost_a,
                          double *cost_b, size_t n)
{
    pair m = {.p = p, .t = t, .side = {a, b}, .all = n};
    double warm[2];
    HONE_TRY(hone_turns_take(measure_side, &m, 0, 1, &warm[0], &warm[1]));
    m.taken = 0;
    return hone_turns_take(measure_side, &m, 0, n, cost_a, cost_b);
}

static hone_status add_gain(json_t *m, const double *a, const double *b, size_t n, double level,
                            hone_interval *gain)
{
    double median_a, median_b;
    HONE_TRY(hone_stat_ratio_median(a, b, n, level, gain));
    HONE_TRY(hone_stat_median(a, n, &median_a));
    HONE_TRY(hone_stat_median(b, n, &median_b));
    json_object_set_new(m, "gain",
                        json_pack("{s:f, s:f, s:f, s:f}", "point", gain->point, "lo", gain->lo,
                                  "hi", gain->hi, "level", level));
    json_object_set_new(m, "cost", json_real(median_b));
    json_object_set_new(m, "cost_against", json_real(median_a));
    json_object_set_new(m, "pairs", json_integer((json_int_t)n));
    return HONE_OK;
}

static hone_status add_quality(pipeline *p, const pipeline_trial *t, void *variant, json_t *m)
{
    pipeline_quality q = p->base_quality;
    if (t->lossy) {
        hone_pipeline_comparison c = {0};
        HONE_TRY(p->b->compare(p->b->self, variant, t->confirm, &c));
        hone_status s = pipeline_judge(&c, t->confirm ? t->level : 0.95, &q);
        hone_free(c.nll_ref);
        hone_free(c.nll);
        HONE_TRY(s);
    }
    json_object_set_new(m, "quality", quality_json(&q));
    json_object_set_new(m, "same_bits_as_baseline", json_boolean(!t->lossy));
    return HONE_OK;
}

/* Samples and judges; a candidate that is not faster is not compared: the answer is known. */
static hone_status run_loaded(pipeline *p, pipeline_trial *t, void *a, void *b, json_t *m,
                              double *cost_a, double *cost_b, size_t n)
{
    hone_technique_facts facts;
    HONE_TRY(p->b->facts(p->b->self, b, &facts));
    json_object_set_new(m, "weight_bytes", json_real((double)facts.model.packed_bytes));
    hone_interval gain = {0, 0, 0};
    if (!t->judge_only) {
        HONE_TRY(sample(p, t, a, b, cost_a, cost_b, n));
        HONE_TRY(add_gain(m, cost_a, cost_b, n, t->level, &gain));
    }
    if (t->judge_only || gain.lo > 1)
        HONE_TRY(add_quality(p, t, b, m));
    return HONE_OK;
}

static hone_status run_trial(pipeline *p, pipeline_trial *t, json_t *m, double *a, double *b,
                             size_t n)
{
    const hone_pipeline_backend *back = p->b;
    char *against = NULL;
    void *former = NULL, *variant = NULL;
    hone_status s;
    bool over_base = t->judge_only;
    if (!t->judge_only) {
        HONE_TRY(hone_config_to_json(&t->against, &against));
        over_base = strcmp(against, p->base_json) == 0;
        hone_free(against);
        HONE_TRY(over_base ? pipeline_need_base(p) : back->load(back->self, &t->against, &former));
    }
    s = back->load(back->self, &t->config, &variant);
    if (s == HONE_OK)
        s = run_loaded(p, t, over_base ? p->base_variant : former, variant, m, a, b, n);
    if (variant)
        back->unload(back->self, variant);
    if (former)
        back->unload(back->self, former);
    return s;
}

/* Failures that speak against the candidate, not against the run. */
static bool is_candidates_fault(const pipeline_trial *t, hone_status s)
{
    if (s == HONE_MEMORY) /* the baseline has run before: the shortage passes, a verdict stays */
        return !t->judge_only;
    return s == HONE_UNSUPPORTED || s == HONE_LIMIT || s == HONE_DATA || s == HONE_FORMAT;
}

static hone_status finish(pipeline *p, pipeline_trial *t, json_t *m, hone_status outcome,
                          const double *a, const double *b, size_t n)
{
    if (outcome != HONE_OK)
        json_object_set_new(m, "error", json_string(hone_error()));
    char *text;
    HONE_TRY(pipeline_text_of(json_incref(m), &text));
    bool failed = outcome != HONE_OK;
    hone_status s =
        hone_registry_finish_experiment(p->r, t->id, failed, text, a, b, failed ? 0 : n);
    if (s == HONE_OK)
        s = read_metrics_text(text, failed, t);
    hone_free(text);
    return s;
}

static hone_status start(pipeline *p, pipeline_trial *t, char **metrics)
{
    char *config, *predicted;
    HONE_TRY(hone_config_to_json(&t->config, &config));
    hone_status s = pipeline_text_of(json_pack("{s:f}", "gain", t->predicted), &predicted);
    if (s == HONE_OK) {
        hone_experiment_record e = {.run = p->run,
                                    .key = t->key,
                                    .label = t->label,
                                    .config = config,
                                    .predicted = t->predicted > 0 ? predicted : NULL};
        s = hone_registry_start_experiment(p->r, &e, &t->id, &t->failed, metrics);
        hone_free(predicted);
    }
    hone_free(config);
    return s;
}

hone_status pipeline_do_trial(pipeline *p, pipeline_trial *t)
{
    char *metrics;
    HONE_TRY(start(p, t, &metrics));
    if (metrics) {
        hone_status s = read_metrics_text(metrics, t->failed, t);
        hone_free(metrics);
        return s;
    }
    size_t n = t->judge_only ? 0 : (size_t)p->q->pairs;
    double *costs = hone_calloc(2 * n + 1, sizeof *costs);
    json_t *m = json_object();
    hone_status s = costs && m ? HONE_OK : hone_fail_memory(n * sizeof *costs, "samples");
    if (s == HONE_OK) {
        s = run_trial(p, t, m, costs, costs + n, n);
        if (s == HONE_OK || is_candidates_fault(t, s))
            s = finish(p, t, m, s, costs, costs + n, n);
    }
    json_decref(m);
    hone_free(costs);
    return s;
}
