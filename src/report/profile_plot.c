#include "report/profile_plot.h"

#include <math.h>
#include <stdio.h>

enum { WIDTH = 1000, ROW = 24, NONE = HONE_PROFILE_GROUPS /* the colour of waiting */ };

static void put_cell(report_page *p, double x, double y, double w, double h, int group,
                     const char *more, const char *name, double seconds, double share)
{
    char time[32];
    if (w < 0.15)
        return;
    report_put(p,
               "<rect class=\"cell g%d %s\" x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%.1f\">"
               "<title>%s: %s, %.1f %%</title></rect>",
               group, more, x, y, w, h, name, hone_report_seconds(seconds, time, sizeof time),
               100 * share);
    if (h >= ROW - 4 && w > 9 + 6.6 * (double)report_code_points(name))
        report_put(p, "<text class=\"on\" x=\"%.1f\" y=\"%.1f\">%s</text>", x + 5, y + h / 2 + 4,
                   name);
    report_put(p, "\n");
}

/* ---- the flame view -----------------------------------------------------------------------------
 */

typedef struct flame {
    report_page *page;
    const hone_profile *profile;
    const hone_profile_phase *phase;
    double per; /* requests or tokens */
} flame;

static double wide(const flame *f, double seconds)
{
    return f->phase->wall_s > 0 ? WIDTH * seconds / f->phase->wall_s : 0;
}

static void put_cells_of_layers(const flame *f, int kind, int group, double x, double y)
{
    char name[48];
    for (uint32_t i = 0; i < f->profile->layers; i++) {
        double s = f->phase->layers[i][kind].seconds, w = wide(f, s);
        snprintf(name, sizeof name, "%s, layer %u", hone_span_name((hone_span_kind)kind), i);
        if (w >= 0.8)
            put_cell(f->page, x, y, w, ROW / 2.0, group, "deep", name, s / f->per,
                     s / f->phase->wall_s);
        x += w;
    }
}

static double group_seconds(const hone_profile_phase *phase, int group)
{
    double s = 0;
    for (int k = 0; k < HONE_SPAN_KINDS; k++)
        if ((int)hone_profile_group_of(k) == group)
            s += phase->parts[k].seconds;
    return s;
}

static void put_group(const flame *f, int group, double x)
{
    double s = group_seconds(f->phase, group), y = ROW + 2;
    put_cell(f->page, x, y, wide(f, s), ROW, group, "",
             hone_profile_group_name((hone_profile_group)group), s / f->per, s / f->phase->wall_s);
    for (int k = 0; k < HONE_SPAN_KINDS; k++) {
        const hone_profile_part *part = &f->phase->parts[k];
        if ((int)hone_profile_group_of(k) != group || !(part->seconds > 0))
            continue;
        double w = wide(f, part->seconds), waits = wide(f, part->waiting_s);
        put_cell(f->page, x, y + ROW + 2, w, ROW, group, "dim", hone_span_name((hone_span_kind)k),
                 part->seconds / f->per, part->seconds / f->phase->wall_s);
        put_cells_of_layers(f, k, group, x, y + 2 * (ROW + 2));
        put_cell(f->page, x + w - waits, y + 2.5 * (ROW + 2), waits, 6, NONE, "", "waiting",
                 part->waiting_s / f->per, part->waiting_s / f->phase->wall_s);
        x += w;
    }
}

void report_put_flame(report_page *p, const hone_profile *profile, hone_phase phase)
{
    const hone_profile_phase *x = &profile->phases[phase];
    bool prompt = phase == HONE_PHASE_PROMPT;
    flame f = {p, profile, x, prompt ? (double)x->stretches : (double)x->tokens};
    char wall[32];
    double at = 0;
    if (!x->stretches || x->wall_s <= 0)
        return;
    report_put(p,
               "<h3>%s</h3>\n<div class=\"wide\"><svg viewBox=\"0 0 %d %d\" role=\"img\" "
               "aria-label=\"flame view of %s\">\n",
               prompt ? "A prompt" : "A token", WIDTH, (int)(3.9 * (ROW + 2)),
               hone_phase_name(phase));
    report_put(p,
               "<rect class=\"whole\" x=\"0\" y=\"0\" width=\"%d\" height=\"%d\"/>"
               "<text x=\"5\" y=\"16\">%s %s</text>\n",
               WIDTH, ROW, prompt ? "prompt to first token" : "one token",
               hone_report_seconds(x->wall_s / f.per, wall, sizeof wall));
    for (int g = 0; g < HONE_PROFILE_GROUPS; g++) {
        put_group(&f, g, at);
        at += wide(&f, group_seconds(x, g));
    }
    put_cell(p, at, ROW + 2, wide(&f, x->between_s), ROW, NONE, "", "between", x->between_s / f.per,
             x->between_s / x->wall_s);
    report_put(p,
               "</svg></div>\n<p class=\"quiet\">Below each part its layers, and below them what "
               "the driving thread waited.</p>\n");
}

/* ---- one step -----------------------------------------------------------------------------------
 */

enum { LANE = 20, LEFT = 92, LANES_MAX = 16 };

static const hone_span *middle_step(const hone_profile *f)
{
    const hone_span *steps[2] = {NULL, NULL};
    size_t n = 0;
    for (int pass = 0; pass < 2; pass++) {
        size_t seen = 0;
        for (size_t i = 0; i < f->spans.count; i++) {
            const hone_span *s = &f->spans.list[i];
            bool fits = s->kind == HONE_SPAN_STEP && f->n_last &&
                        s->begin_ns >= f->last[f->n_last - 1].begin_ns;
            if (fits && pass == 1 && seen == n / 2)
                steps[0] = s;
            seen += fits;
        }
        n = seen;
    }
    return steps[0];
}

typedef struct lane {
    report_page *page;
    uint64_t begin, end;
    double y;
} lane;

static double at(const lane *l, uint64_t ns)
{
    double x = ns <= l->begin ? 0 : (double)(ns - l->begin) / (double)(l->end - l->begin);
    return LEFT + (WIDTH - LEFT) * fmin(x, 1);
}

static void put_lane_cell(const lane *l, uint64_t begin, uint64_t end, int group, const char *name,
                          int layer)
{
    char time[32], more[24] = "";
    double x = at(l, begin), w = at(l, end) - x;
    if (w < 0.12)
        return;
    if (layer >= 0)
        snprintf(more, sizeof more, ", layer %d", layer);
    report_put(l->page,
               "<rect class=\"g%d\" x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%d\"><title>"
               "%s%s: %s</title></rect>\n",
               group, x, l->y, w, LANE - 4, name, more,
               hone_report_seconds(1e-9 * (double)(end - begin), time, sizeof time));
}

static void put_thread_lane(const lane *l, const hone_pool_track *t)
{
    uint64_t since = l->begin;
    for (size_t i = 0; i < t->count; i++) {
        const hone_pool_mark *m = &t->list[i];
        if (m->end_ns <= l->begin || m->begin_ns >= l->end)
            continue;
        if (m->items)
            put_lane_cell(l, m->begin_ns, m->end_ns, HONE_PROFILE_MIXER, "work", -1);
        else
            put_lane_cell(l, m->begin_ns, m->end_ns, NONE, "waiting", -1);
        since = m->end_ns;
    }
    (void)since;
}

void report_put_timeline(report_page *p, const hone_profile *f)
{
    const hone_span *step = middle_step(f);
    char time[32];
    if (!step || step->end_ns <= step->begin_ns)
        return;
    int threads = f->threads < LANES_MAX ? f->threads : LANES_MAX;
    lane l = {p, step->begin_ns, step->end_ns, 2};
    report_put(p,
               "<section>\n<h2>One step of decoding, as it went: %s</h2>\n<div class=\"wide\">"
               "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"timeline of one step\">\n",
               hone_report_seconds(1e-9 * (double)(l.end - l.begin), time, sizeof time), WIDTH,
               (threads + 1) * LANE + 6);
    report_put(p, "<text class=\"tick\" x=\"6\" y=\"14\">step</text>\n");
    for (size_t i = 0; i < f->spans.count; i++) {
        const hone_span *s = &f->spans.list[i];
        if (s->kind != HONE_SPAN_STEP && s->begin_ns >= l.begin && s->end_ns <= l.end)
            put_lane_cell(&l, s->begin_ns, s->end_ns, (int)hone_profile_group_of(s->kind),
                          hone_span_name((hone_span_kind)s->kind), s->layer);
    }
    for (int t = 0; t < threads; t++) {
        l.y = 2 + (t + 1) * LANE;
        report_put(p, "<text class=\"tick\" x=\"6\" y=\"%.0f\">thread %d</text>\n", l.y + 12, t);
        put_thread_lane(&l, &f->spans.threads->tracks[t]);
    }
    report_put(p, "</svg></div>\n<p class=\"quiet\">Above what is done, below where: blue is work "
                  "that was shared out, grey the driving thread's waiting, blank what a thread did "
                  "not take part in. hone profile --trace writes the whole request for "
                  "ui.perfetto.dev.</p>\n</section>\n");
}

/* ---- layers -------------------------------------------------------------------------------------
 */

enum { COLUMNS = 150 };

static double layer_group(const hone_profile_phase *x, uint32_t layer, int group)
{
    double s = 0;
    for (int k = 0; k < HONE_SPAN_KINDS; k++)
        if ((int)hone_profile_group_of(k) == group)
            s += x->layers[layer][k].seconds;
    return s;
}

static void put_columns(report_page *p, const hone_profile *f, hone_phase phase)
{
    const hone_profile_phase *x = &f->phases[phase];
    double per = phase == HONE_PHASE_PROMPT ? (double)x->stretches : (double)x->tokens, most = 0;
    char time[32];
    for (uint32_t i = 0; i < f->layers; i++) {
        double all = 0;
        for (int g = 0; g < HONE_PROFILE_GROUPS; g++)
            all += layer_group(x, i, g);
        most = fmax(most, all);
    }
    if (!(most > 0))
        return;
    double step = (double)(WIDTH - LEFT) / f->layers, w = fmin(step * 0.82, 46);
    report_put(p,
               "<h3>%s</h3>\n<div class=\"wide\"><svg viewBox=\"0 0 %d %d\" role=\"img\" "
               "aria-label=\"time of each layer, %s\">\n<text class=\"tick\" x=\"6\" y=\"20\">%s"
               "</text><line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"16\" y2=\"16\"/>\n",
               phase == HONE_PHASE_PROMPT ? "A prompt" : "A token", WIDTH, COLUMNS + 44,
               hone_phase_name(phase), hone_report_seconds(most / per, time, sizeof time), LEFT,
               WIDTH);
    for (uint32_t i = 0; i < f->layers; i++) {
        double y = 16 + COLUMNS, left = LEFT + step * i + (step - w) / 2;
        for (int g = 0; g < HONE_PROFILE_GROUPS; g++) {
            double s = layer_group(x, i, g), h = COLUMNS * s / most;
            char name[64];
            snprintf(name, sizeof name, "layer %u, %s", i,
                     hone_profile_group_name((hone_profile_group)g));
            y -= h;
            if (h > 0.1)
                report_put(p,
                           "<rect class=\"g%d\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                           "height=\"%.1f\"><title>%s: %s</title></rect>",
                           g, left, y, w, h, name, hone_report_seconds(s / per, time, sizeof time));
        }
        if (f->layers <= 40 || i % 8 == 0)
            report_put(p, "<text class=\"tick mid\" x=\"%.1f\" y=\"%d\">%u</text>\n", left + w / 2,
                       COLUMNS + 32, i);
    }
    report_put(p, "</svg></div>\n");
}

void report_put_layers(report_page *p, const hone_profile *f)
{
    if (!f->layers)
        return;
    report_put(p, "<section>\n<h2>Each layer</h2>\n");
    for (int i = HONE_PHASES - 1; i >= 0; i--)
        if (f->phases[i].stretches)
            put_columns(p, f, (hone_phase)i);
    report_put(p, "</section>\n");
}
