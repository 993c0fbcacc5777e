#include "pipeline/advise.h"

#include "report/report.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

hone_bottleneck hone_bottleneck_find(hone_goal g, const hone_roofline *r, double cost)
{
    bool in_cache = r->cached && r->bound != HONE_BOTTLENECK_ARITHMETIC;
    bool explained = g == HONE_GOAL_MEMORY || (!in_cache && r->cost > 0 && cost < 3 * r->cost);
    return explained ? r->bound : HONE_BOTTLENECK_OVERHEAD;
}

size_t hone_profile_rank(const hone_profile_phase *f, int order[HONE_SPAN_KINDS])
{
    size_t n = 0;
    for (int k = 0; k < HONE_SPAN_KINDS; k++) {
        if (!(f->parts[k].seconds > 0))
            continue;
        size_t at = n++;
        for (; at > 0 && f->parts[order[at - 1]].seconds < f->parts[k].seconds; at--)
            order[at] = order[at - 1];
        order[at] = k;
    }
    return n;
}

/* ---- words --------------------------------------------------------------------------------------
 */

typedef struct sentence {
    char *text;
    size_t used, size;
} sentence;

static void say(sentence *s, const char *fmt, ...) HONE_PRINTF(2, 3);
static void say(sentence *s, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(s->text + s->used, s->size - s->used, fmt, args);
    va_end(args);
    if (n > 0)
        s->used = s->used + (size_t)n < s->size ? s->used + (size_t)n : s->size - 1;
}

static void say_seconds(sentence *s, double x)
{
    char text[32];
    say(s, "%s", hone_report_seconds(x, text, sizeof text));
}

/* "mlp_up, mlp_down and head make 83 % of it": up to 80 %, or what takes 3 % at least. */
static void say_largest(sentence *s, const hone_profile_phase *f)
{
    int order[HONE_SPAN_KINDS];
    size_t n = hone_profile_rank(f, order), take = 0;
    double sum = 0;
    while (take < n && sum < 0.8 * f->wall_s && f->parts[order[take]].seconds > 0.03 * f->wall_s)
        sum += f->parts[order[take++]].seconds;
    if (!take)
        return;
    say(s, " ");
    for (size_t i = 0; i < take; i++)
        say(s, "%s%s",
            i == 0          ? ""
            : i + 1 == take ? " and "
                            : ", ",
            hone_span_name((hone_span_kind)order[i]));
    say(s, take == 1 ? " takes %.0f %% of it." : " make %.0f %% of it.", 100 * sum / f->wall_s);
    if (f->between_s > 0.05 * f->wall_s)
        say(s, " %.0f %% lie between the parts.", 100 * f->between_s / f->wall_s);
}

/* The part whose distance from its limit costs most. */
static void say_furthest(sentence *s, const hone_profile_phase *f)
{
    int worst = -1;
    double most = 0;
    for (int k = 0; k < HONE_SPAN_KINDS; k++) {
        const hone_profile_part *p = &f->parts[k];
        double lost = p->limit_s > 0 ? p->seconds - p->limit_s : 0;
        if (lost > most) {
            most = lost;
            worst = k;
        }
    }
    if (worst < 0 || most < 0.02 * f->wall_s)
        return;
    const hone_profile_part *p = &f->parts[worst];
    say(s, " Furthest from its limit: %s, at %.0f %% of what the machine allows; at the limit ",
        hone_span_name((hone_span_kind)worst), 100 * p->limit_s / p->seconds);
    say(s, "the phase would be %.0f %% shorter.", 100 * most / f->wall_s);
}

static void say_waiting(sentence *s, const hone_profile *p, const hone_profile_phase *f)
{
    double busy = 0;
    for (int k = 0; k < HONE_SPAN_KINDS; k++)
        busy += f->parts[k].busy_s;
    double idle = p->threads > 1 && f->wall_s > 0 ? 1 - busy / (f->wall_s * p->threads) : 0;
    if (idle > 0.02)
        say(s,
            " The %d threads are at work %.0f %% of the time; the rest is waiting, and work "
            "that one of them does alone.",
            p->threads, 100 * (1 - idle));
}

/* What makes the figures worth less: other processes, and single slow tokens. */
static void say_disturbed(sentence *s, const hone_profile *p, const hone_advice *a,
                          const hone_profile_phase *f)
{
    double busy = 0;
    for (int k = 0; k < HONE_SPAN_KINDS; k++)
        busy += f->parts[k].busy_s;
    if (busy > 0 && f->cpu_s < 0.85 * busy)
        say(s,
            " Other processes were running: the threads had a processor for %.0f %% of the time "
            "that they were at work, so measure again on a quiet machine.",
            100 * f->cpu_s / busy);
    else if (a->phase == HONE_PHASE_DECODE && p->steady_s > 0 && a->cost > 1.3 * p->steady_s) {
        say(s, " Single tokens were slow: half of them took at most ");
        say_seconds(s, p->steady_s);
        say(s, ".");
    }
}

static void say_bound(sentence *s, const hone_profile *p, const hone_advice *a,
                      const hone_profile_phase *f)
{
    bool prompt = a->phase == HONE_PHASE_PROMPT;
    say(s, "%s is bound by %s (%s): ", prompt ? "The prompt" : "Decoding",
        hone_bottleneck_name(a->bottleneck), hone_bottleneck_text(a->bottleneck));
    say_seconds(s, a->cost);
    say(s, prompt ? " to the first token" : " per token");
    if (a->least > 0 && a->cached)
        say(s, ", of a model so small that it stays in the caches.");
    else if (a->least > 0) {
        say(s, ", of which the machine's limits ask ");
        say_seconds(s, a->least);
        say(s, " (%.0f %%).", 100 * a->least / a->cost);
    } else
        say(s, ".");
    say_largest(s, f);
    say_furthest(s, f);
    say_waiting(s, p, f);
    say_disturbed(s, p, a, f);
}

static void say_next(sentence *s, const hone_advice *a)
{
    const hone_advice_row *best = NULL;
    for (size_t i = 0; i < a->n_rows; i++)
        if (a->rows[i].addressed && (!best || a->rows[i].predicted > best->predicted))
            best = &a->rows[i];
    if (!best) {
        say(s, "No technique of the table addresses %s here.", hone_bottleneck_name(a->bottleneck));
        return;
    }
    say(s, "%s (%s) addresses it", best->technique->title, best->label);
    if (a->bottleneck == HONE_BOTTLENECK_OVERHEAD || best->predicted <= 0)
        say(s, "; the roofline cannot say by how much");
    else
        say(s, ": %.2fx by the roofline, and then it would %s bound by %s", best->predicted,
            best->next == a->bottleneck ? "still be" : "be", hone_bottleneck_name(best->next));
    say(s, ". hone optimize measures it%s.",
        best->technique->lossy ? " and what it costs in quality" : "");
}

/* ---- rows ---------------------------------------------------------------------------------------
 */

static int by_promise(const void *a, const void *b)
{
    const hone_advice_row *x = a, *y = b;
    if (x->addressed != y->addressed)
        return x->addressed ? -1 : 1;
    return (x->predicted < y->predicted) - (x->predicted > y->predicted);
}

static void list_rows(const hone_technique_facts *f, const hone_config *c, hone_advice *a)
{
    size_t rows;
    const hone_technique *const *table = hone_techniques(&rows);
    for (size_t i = 0; i < rows; i++) {
        const hone_technique *t = table[i];
        for (size_t v = 0; v < t->n_values && a->n_rows < HONE_ADVICE_ROWS; v++) {
            if (!t->applies(f, c, t->values[v].knob))
                continue;
            hone_config after = *c;
            t->apply(t->values[v].knob, &after);
            double predicted = hone_technique_predict(f, c, &after, a->goal);
            bool gains = a->bottleneck == HONE_BOTTLENECK_OVERHEAD || predicted > 1.02;
            a->rows[a->n_rows++] = (hone_advice_row){
                .technique = t,
                .label = t->values[v].label,
                .predicted = predicted,
                .addressed = t->addresses == a->bottleneck && gains,
                .next = hone_technique_roofline(f, &after, a->goal).bound,
            };
        }
    }
    qsort(a->rows, a->n_rows, sizeof *a->rows, by_promise);
}

void hone_advise(const hone_profile *p, hone_phase phase, const hone_technique_facts *f,
                 const hone_config *c, hone_advice *out)
{
    const hone_profile_phase *sums = &p->phases[phase];
    *out = (hone_advice){.phase = phase,
                         .goal = phase == HONE_PHASE_PROMPT ? HONE_GOAL_TTFT
                                                            : HONE_GOAL_DECODE_LATENCY};
    hone_roofline r = hone_technique_roofline(f, c, out->goal);
    uint64_t items = phase == HONE_PHASE_PROMPT ? sums->stretches : sums->tokens;
    out->cost = items ? sums->wall_s / (double)items : 0;
    out->least = r.cost;
    out->bottleneck = hone_bottleneck_find(out->goal, &r, out->cost);
    out->cached = r.cached && r.bound != HONE_BOTTLENECK_ARITHMETIC;
    list_rows(f, c, out);
    sentence words = {out->words, 0, sizeof out->words}, next = {out->next, 0, sizeof out->next};
    say_bound(&words, p, out, sums);
    say_next(&next, out);
}

/* ---- before and now -----------------------------------------------------------------------------
 */

static double number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static const json_t *phase_of(const json_t *profile, const char *list, const char *name)
{
    size_t i;
    const json_t *o;
    json_array_foreach(json_object_get(profile, list), i, o)
    {
        const char *n = json_string_value(json_object_get(o, "name"));
        if (n && strcmp(n, name) == 0)
            return o;
    }
    return NULL;
}

static const char *largest(const json_t *phase, double *share)
{
    const char *name = "";
    size_t i;
    const json_t *o;
    *share = 0;
    json_array_foreach(json_object_get(phase, "parts"), i, o)
    {
        if (number(o, "share") > *share && json_string_value(json_object_get(o, "name"))) {
            *share = number(o, "share");
            name = json_string_value(json_object_get(o, "name"));
        }
    }
    return name;
}

static void compare_phase(sentence *s, const json_t *before, const json_t *now, const char *name,
                          const char *cost)
{
    const json_t *a = phase_of(before, "phases", name), *b = phase_of(now, "phases", name);
    const char *was =
        json_string_value(json_object_get(phase_of(before, "advice", name), "bottleneck"));
    const char *is =
        json_string_value(json_object_get(phase_of(now, "advice", name), "bottleneck"));
    double x = number(before, cost), y = number(now, cost), old_share, share;
    if (!a || !b || !(x > 0) || !(y > 0))
        return;
    say(s, "%s%s: ", s->used ? " " : "", name);
    say_seconds(s, x);
    say(s, " before, ");
    say_seconds(s, y);
    say(s, " now (%.2fx).", x / y);
    if (was && is && strcmp(was, is) != 0)
        say(s, " It was bound by %.40s; the next bottleneck is %.40s.", was, is);
    else if (was && is)
        say(s, " It is still bound by %.40s.", is);
    const char *old = largest(a, &old_share), *new = largest(b, &share);
    if (strcmp(old, new) != 0)
        say(s, " Most time went to %.40s (%.0f %%), now to %.40s (%.0f %%).", old, 100 * old_share,
            new, 100 * share);
}

void hone_profile_compare(const json_t *before, const json_t *now, char *buf, size_t size)
{
    sentence s = {buf, 0, size};
    *buf = 0;
    bool same = number(before, "prompt_tokens") == number(now, "prompt_tokens") &&
                number(before, "decode_tokens") == number(now, "decode_tokens");
    if (!same)
        return;
    compare_phase(&s, before, now, "prompt", "first_s");
    compare_phase(&s, before, now, "decode", "steady_s");
}
