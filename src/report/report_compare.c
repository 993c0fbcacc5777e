#include "report/report_compare.h"

#include "base/json.h"
#include "base/mem.h"
#include "report/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void hone_compare_side_clear(hone_compare_side *s)
{
    *s = (hone_compare_side){.stored_bytes = NAN,
                             .bits = NAN,
                             .memory_bytes = NAN,
                             .perplexity = NAN,
                             .perplexity_ratio = NAN,
                             .kl_mean = NAN,
                             .kl_p99 = NAN,
                             .top1 = NAN,
                             .cost_seconds = NAN};
    for (size_t t = 0; t < HONE_COMPARE_TESTS; t++)
        s->speed[t] =
            (hone_compare_speed){.tok_s = {NAN, NAN, NAN}, .ratio = {NAN, NAN, NAN}, .rounds = 0};
}

/* ---- configurations -------------------------------------------------------------------------- */

static void add_value(char *line, size_t size, size_t i, const json_t *v)
{
    char *text = v ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    size_t used = strlen(line);
    snprintf(line + used, size - used, "%s%s", i ? ", " : "", text ? text : "-");
    hone_free(text);
}

static void compare_key(hone_compare *c, json_t *const *all, const char *key)
{
    const json_t *first = json_object_get(all[0], key);
    bool differs = false;
    for (size_t i = 1; i < c->n_sides; i++)
        differs |= !json_equal(first, json_object_get(all[i], key));
    if (!differs || c->n_differences == HONE_COMPARE_DIFFERENCES)
        return;
    char *line = c->differences[c->n_differences++];
    snprintf(line, sizeof c->differences[0], "%.60s: ", key);
    for (size_t i = 0; i < c->n_sides; i++)
        add_value(line, sizeof c->differences[0], i, json_object_get(all[i], key));
}

hone_status hone_compare_configs(hone_compare *c)
{
    hone_json_use_memory();
    json_t **all = hone_calloc(c->n_sides + 1, sizeof *all);
    if (!all)
        return hone_fail_memory(c->n_sides * sizeof *all, "configurations");
    hone_status s = HONE_OK;
    bool known = c->n_sides > 1;
    for (size_t i = 0; i < c->n_sides && s == HONE_OK && known; i++) {
        known = c->sides[i].config != NULL;
        if (known)
            s = hone_json_parse(c->sides[i].config, strlen(c->sides[i].config), 8, 1000,
                                "a configuration", &all[i]);
    }
    const char *key;
    json_t *value;
    if (s == HONE_OK && known)
        json_object_foreach(all[0], key, value) compare_key(c, all, key);
    for (size_t i = 0; i < c->n_sides; i++)
        json_decref(all[i]);
    hone_free(all);
    return s;
}

/* ---- words ----------------------------------------------------------------------------------- */

const char *hone_compare_words(const hone_compare *c, size_t i, size_t test, char *buf, size_t size)
{
    const hone_compare_speed *s = &c->sides[i].speed[test];
    buf[0] = 0;
    if (i > 0 && isfinite(s->ratio.point))
        hone_versus_say(&s->ratio, c->margin, c->sides[0].label, c->sides[i].label, buf, size);
    return buf;
}

bool hone_compare_on_front(const hone_compare *c, size_t i, int test)
{
    const hone_compare_side *a = &c->sides[i];
    double x = test < 0 ? a->stored_bytes : -a->speed[test].tok_s.point;
    if (!isfinite(x) || !isfinite(a->kl_mean))
        return false;
    for (size_t k = 0; k < c->n_sides; k++) {
        const hone_compare_side *b = &c->sides[k];
        double y = test < 0 ? b->stored_bytes : -b->speed[test].tok_s.point;
        bool no_worse = y <= x && b->kl_mean <= a->kl_mean;
        if (k != i && no_worse && (y < x || b->kl_mean < a->kl_mean))
            return false;
    }
    return true;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void put(json_t *o, const char *key, double v)
{
    if (isfinite(v))
        json_object_set_new(o, key, json_real(v));
}

static void put_text(json_t *o, const char *key, const char *text)
{
    if (text && *text)
        json_object_set_new(o, key, hone_report_text(text));
}

static json_t *speed_json(const hone_compare *c, size_t i, size_t test)
{
    const hone_compare_speed *s = &c->sides[i].speed[test];
    json_t *o = json_pack("{s:s}", "test", c->tests[test]);
    char words[512];
    put(o, "tok_s", s->tok_s.point);
    put(o, "tok_s_lo", s->tok_s.lo);
    put(o, "tok_s_hi", s->tok_s.hi);
    if (i > 0 && isfinite(s->ratio.point)) {
        put(o, "ratio", s->ratio.point);
        put(o, "ratio_lo", s->ratio.lo);
        put(o, "ratio_hi", s->ratio.hi);
        put_text(o, "verdict", hone_verdict_name(hone_versus_judge(&s->ratio, c->margin)));
        put_text(o, "words", hone_compare_words(c, i, test, words, sizeof words));
    }
    if (s->rounds)
        json_object_set_new(o, "rounds", json_integer((json_int_t)s->rounds));
    return o;
}

static json_t *side_json(const hone_compare *c, size_t i)
{
    const hone_compare_side *s = &c->sides[i];
    json_t *o = json_pack("{s:o}", "label", hone_report_text(s->label)), *speeds = json_array();
    put_text(o, "model", s->path);
    put_text(o, "note", s->note);
    if (s->config)
        json_object_set_new(o, "config", json_loads(s->config, 0, NULL));
    put(o, "bytes", s->stored_bytes);
    put(o, "bits_per_weight", s->bits);
    put(o, "memory_bytes", s->memory_bytes);
    put(o, "perplexity", s->perplexity);
    put(o, "perplexity_to_original", s->perplexity_ratio);
    put(o, "kl", s->kl_mean);
    put(o, "kl_p99", s->kl_p99);
    put(o, "top1_agreement", s->top1);
    put(o, "cost_seconds", s->cost_seconds);
    for (size_t t = 0; t < c->n_tests; t++)
        if (isfinite(s->speed[t].tok_s.point))
            json_array_append_new(speeds, speed_json(c, i, t));
    json_object_set_new(o, "speed", speeds);
    return o;
}

json_t *hone_compare_json(const hone_compare *c)
{
    hone_json_use_memory();
    json_t *o = json_pack("{s:o, s:b, s:f}", "compare", hone_report_text(c->title), "in_turns",
                          (int)c->in_turns, "margin", c->margin);
    json_t *sides = json_array(), *skipped = json_array(), *differences = json_array();
    put_text(o, "data", c->data);
    put_text(o, "protocol", c->protocol);
    put_text(o, "reference", c->reference);
    for (size_t i = 0; i < c->n_sides; i++)
        json_array_append_new(sides, side_json(c, i));
    for (size_t i = 0; i < c->n_skipped; i++)
        json_array_append_new(skipped, hone_report_text(c->skipped[i]));
    for (size_t i = 0; i < c->n_differences; i++)
        json_array_append_new(differences, hone_report_text(c->differences[i]));
    json_object_set_new(o, "sides", sides);
    json_object_set_new(o, "skipped", skipped);
    json_object_set_new(o, "differences", differences);
    return o;
}
