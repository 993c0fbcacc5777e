#include "report/report_profile.h"

#include "report/profile_plot.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char style[] =
    ":root{--c0:#3b6fb6;--c1:#2f8f74;--c2:#8a6bbf;--c3:#c2762b;--c4:#a34a6b;--wait:#b9bdc4}\n"
    "@media(prefers-color-scheme:dark){:root{--c0:#6da2ea;--c1:#55c2a2;--c2:#b79cf0;--c3:#e8a45e;"
    "--c4:#e183a5;--wait:#555c66}}\n"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.7rem;"
    "margin:1.1rem 0}\n"
    ".tile{background:var(--card);border:1px solid var(--line);border-radius:6px;"
    "padding:.6rem .8rem}.tile b{display:block;font-size:1.35rem;font-weight:600;"
    "font-variant-numeric:tabular-nums}.tile span{color:var(--soft);font-size:.85rem}\n"
    "h3{font-size:.95rem;margin:1.2rem 0 .3rem}\n"
    ".keys{display:flex;flex-wrap:wrap;gap:.3rem 1.1rem;font-size:.85rem;color:var(--soft);"
    "margin:.4rem 0}.keys i{display:inline-block;width:.75rem;height:.75rem;border-radius:2px;"
    "margin-right:.4rem;vertical-align:-1px}\n"
    ".k0{background:var(--c0)}.k1{background:var(--c1)}.k2{background:var(--c2)}"
    ".k3{background:var(--c3)}.k4{background:var(--c4)}.k5{background:var(--wait)}\n"
    "svg .g0{fill:var(--c0)}svg .g1{fill:var(--c1)}svg .g2{fill:var(--c2)}"
    "svg .g3{fill:var(--c3)}svg .g4{fill:var(--c4)}svg .g5{fill:var(--wait)}\n"
    "svg rect.cell{stroke:var(--card);stroke-width:1}svg rect.whole{fill:var(--line)}\n"
    "svg .dim{opacity:.72}svg .deep{opacity:.5}svg text{fill:var(--ink)}\n"
    "svg text.on{fill:#fff;font-weight:600;pointer-events:none}\n"
    "@media(prefers-color-scheme:dark){svg text.on{fill:#15171a}}\n"
    "svg text.tick{fill:var(--soft)}svg .roof{stroke:var(--ink);stroke-width:1.6;fill:none}\n"
    "svg .roof2{stroke:var(--soft);stroke-width:1.2;stroke-dasharray:6 4;fill:none}\n"
    "svg circle,svg .square{stroke:var(--card);stroke-width:1.2}svg .lead{stroke:var(--soft);"
    "stroke-width:.7}\n"
    "tr.eighty td{border-bottom:2px solid var(--gate)}\n"
    "td .bar{display:inline-block;height:.65rem;border-radius:2px;vertical-align:middle;"
    "min-width:1px}td.meter{width:11rem;min-width:6rem}\n";

/* ---- head ---------------------------------------------------------------------------------------
 */

static void put_tile(report_page *p, const char *what, double seconds, const char *more)
{
    char text[32];
    if (!(seconds > 0))
        return;
    report_put(p, "<div class=\"tile\"><b>%s</b><span>%s%s</span></div>\n",
               hone_report_seconds(seconds, text, sizeof text), what, more);
}

static void put_head(report_page *p, const hone_report_profile *r)
{
    const hone_profile *f = r->profile;
    const hone_report_advice *a = &r->advice[HONE_PHASE_DECODE];
    char cost[32], more[64];
    report_put(p, "<header class=\"head plain\">\n<p class=\"quiet\">hone profile: ");
    report_put_text(p, r->model);
    report_put(p, "</p>\n<h1>Decoding is bound by %s: %s per token", a->bottleneck,
               hone_report_seconds(a->cost, cost, sizeof cost));
    if (a->least > 0 && a->cost > 0)
        report_put(p, ", %.0f %% of the machine's limit", 100 * a->least / a->cost);
    report_put(p,
               "</h1>\n<p class=\"quiet\">%u tokens of prompt, %u after the first, %u requests "
               "after a cold one, %d threads</p>\n</header>\n<div class=\"tiles\">\n",
               f->prompt_tokens, f->decode_tokens, f->requests, f->threads);
    put_tile(p, "load, once", f->load_s, "");
    put_tile(p, "first token, cold", f->first_cold_s, "");
    snprintf(more, sizeof more, " (%.0f tok/s)",
             f->first_s > 0 ? f->prompt_tokens / f->first_s : 0);
    put_tile(p, "first token, warm", f->first_s, more);
    put_tile(p, "second token", f->second_s, "");
    snprintf(more, sizeof more, " (%.1f tok/s)", f->steady_s > 0 ? 1 / f->steady_s : 0);
    put_tile(p, "steady token", f->steady_s, more);
    put_tile(p, "95 % of them below", f->steady_p95_s, "");
    report_put(p, "</div>\n");
}

static void put_words(report_page *p, const hone_report_profile *r)
{
    report_put(p, "<section>\n<h2>What bounds it</h2>\n");
    for (int i = HONE_PHASES - 1; i >= 0; i--) {
        if (!r->profile->phases[i].stretches)
            continue;
        report_put(p, "<p>");
        report_put_text(p, r->advice[i].words);
        report_put(p, "</p>\n<p class=\"quiet\">");
        report_put_text(p, r->advice[i].next);
        report_put(p, "</p>\n");
    }
    if (r->changed && *r->changed) {
        report_put(p, "<p><strong>Since the profile of ");
        report_put_text(p, r->changed_since);
        report_put(p, ":</strong> ");
        report_put_text(p, r->changed);
        report_put(p, "</p>\n");
    }
    if (r->profile->dropped)
        report_put(p, "<p class=\"rejected\">%zu records did not fit and are missing.</p>\n",
                   r->profile->dropped);
    report_put(p, "</section>\n");
}

static void put_keys(report_page *p)
{
    report_put(p, "<div class=\"keys\">");
    for (int g = 0; g < HONE_PROFILE_GROUPS; g++)
        report_put(p, "<span><i class=\"k%d\"></i>%s</span>", g,
                   hone_profile_group_name((hone_profile_group)g));
    report_put(p, "<span><i class=\"k5\"></i>waiting, between</span></div>\n");
}

/* ---- tables -------------------------------------------------------------------------------------
 */

typedef struct row {
    const char *name, *text;
    int group;
    double seconds;
    const hone_profile_part *part; /* NULL: waiting, between */
} row;

static size_t list_rows(const hone_profile_phase *f, row rows[HONE_SPAN_KINDS + 2])
{
    size_t n = 0;
    for (int k = 0; k < HONE_SPAN_KINDS + 2; k++) {
        row x = {.group = HONE_PROFILE_GROUPS};
        if (k < HONE_SPAN_KINDS)
            x = (row){hone_span_name((hone_span_kind)k), hone_span_text((hone_span_kind)k),
                      (int)hone_profile_group_of(k), f->parts[k].seconds - f->parts[k].waiting_s,
                      &f->parts[k]};
        else if (k == HONE_SPAN_KINDS)
            x.name = "waiting", x.text = "for other threads", x.seconds = f->waiting_s;
        else
            x.name = "between", x.text = "in no part", x.seconds = f->between_s;
        if (!(x.seconds > 0))
            continue;
        size_t at = n++;
        for (; at > 0 && rows[at - 1].seconds < x.seconds; at--)
            rows[at] = rows[at - 1];
        rows[at] = x;
    }
    return n;
}

static void put_rate(report_page *p, double n, double s)
{
    if (n > 0 && s > 0)
        report_put(p, "<td class=\"n\">%.1f</td>", n / s / 1e9);
    else
        report_put(p, "<td class=\"n\"></td>");
}

static void put_row(report_page *p, const row *x, const hone_profile_phase *f, double per,
                    double sum, bool eighty)
{
    char time[32];
    double share = f->wall_s > 0 ? 100 * x->seconds / f->wall_s : 0;
    report_put(p,
               "<tr%s><td class=\"label\" title=\"%s\">%s</td><td class=\"n\">%s</td>"
               "<td class=\"meter\"><span class=\"bar k%d\" style=\"width:%.1f%%\"></span></td>"
               "<td class=\"n\">%.1f %%</td><td class=\"n\">%.1f %%</td>",
               eighty ? " class=\"eighty\"" : "", x->text, x->name,
               hone_report_seconds(x->seconds / per, time, sizeof time), x->group, share, share,
               f->wall_s > 0 ? 100 * sum / f->wall_s : 0);
    if (!x->part) {
        report_put(p, "<td></td><td></td><td></td><td></td></tr>\n");
        return;
    }
    const hone_profile_part *part = x->part;
    report_put(p, "<td class=\"n\">%.2f</td>", part->busy_s / part->seconds);
    put_rate(p, part->bytes, part->seconds);
    put_rate(p, part->flops, part->seconds);
    if (part->limit_s > 0)
        report_put(p, "<td class=\"n\">%.0f %%</td></tr>\n", 100 * part->limit_s / part->seconds);
    else
        report_put(p, "<td class=\"n\"></td></tr>\n");
}

static void put_table(report_page *p, const hone_profile *profile, hone_phase phase)
{
    const hone_profile_phase *f = &profile->phases[phase];
    row rows[HONE_SPAN_KINDS + 2];
    size_t n = list_rows(f, rows);
    double sum = 0, per = phase == HONE_PHASE_PROMPT ? (double)f->stretches : (double)f->tokens;
    char wall[32], cpu[32];
    report_put(p, "<h3>%s: %s wall, %s CPU per %s</h3>\n", hone_phase_text(phase),
               hone_report_seconds(f->wall_s / per, wall, sizeof wall),
               hone_report_seconds(f->cpu_s / per, cpu, sizeof cpu),
               phase == HONE_PHASE_PROMPT ? "request" : "token");
    report_put(p, "<div class=\"wide\"><table>\n<tr><th>part</th><th class=\"n\">time</th><th></th>"
                  "<th class=\"n\">share</th><th class=\"n\">sum</th><th class=\"n\">threads</th>"
                  "<th class=\"n\">GB/s</th><th class=\"n\">Gop/s</th>"
                  "<th class=\"n\">of its limit</th></tr>\n");
    for (size_t i = 0; i < n; i++) {
        bool before = sum < 0.8 * f->wall_s;
        sum += rows[i].seconds;
        put_row(p, &rows[i], f, per, sum, before && sum >= 0.8 * f->wall_s);
    }
    report_put(p, "</table></div>\n");
}

static void put_anatomy(report_page *p, const hone_report_profile *r)
{
    report_put(p, "<section>\n<h2>Anatomy</h2>\n");
    put_keys(p);
    for (int i = HONE_PHASES - 1; i >= 0; i--)
        if (r->profile->phases[i].stretches)
            put_table(p, r->profile, (hone_phase)i);
    report_put(p, "<p class=\"quiet\">The line stands where the parts above make 80 %%. Waiting is "
                  "the driving thread's and is taken out of the parts: the rows make the whole. "
                  "Threads: how many were at work on average. Norms, activations and the like have "
                  "no limit of their own: their data lie in the caches.</p>\n</section>\n");
}

/* ---- techniques, machine ------------------------------------------------------------------------
 */

static void put_techniques(report_page *p, const hone_report_profile *r)
{
    char times[32];
    report_put(p, "<section>\n<h2>What to try</h2>\n<div class=\"wide\"><table>\n<tr><th>technique"
                  "</th><th>for</th><th class=\"n\">by the roofline</th><th>bound by after it</th>"
                  "<th>quality</th><th>when not</th></tr>\n");
    size_t n = 0;
    for (int i = HONE_PHASES - 1; i >= 0; i--) {
        const hone_report_advice *a = &r->advice[i];
        for (size_t k = 0; k < a->n_rows; k++) {
            const hone_report_advice_row *x = &a->rows[k];
            if (!x->addressed)
                continue;
            n++;
            report_put(p, "<tr><td class=\"label\">");
            report_put_text(p, x->label);
            report_put(p, "<span class=\"quiet\">");
            report_put_text(p, x->title);
            report_put(p,
                       "</span></td><td>%s</td><td class=\"n\">%s</td><td>%s</td><td>%s</td>"
                       "<td class=\"why\">",
                       hone_phase_name((hone_phase)i),
                       hone_report_times(x->predicted, times, sizeof times), x->next,
                       x->lossy ? "must pass the gate" : "the same bits");
            report_put_text(p, x->when_not);
            report_put(p, "</td></tr>\n");
        }
    }
    if (!n)
        report_put(p, "<tr><td colspan=\"6\">No technique of the table addresses these "
                      "bottlenecks here.</td></tr>\n");
    report_put(p, "</table></div>\n<p class=\"quiet\">Predictions are bytes and operations over "
                  "measured limits; hone optimize measures the effect and the quality.</p>\n"
                  "</section>\n");
}

static void put_fact(report_page *p, const char *name, const char *value)
{
    report_put(p, "<tr><td>");
    report_put_text(p, name);
    report_put(p, "</td><td>");
    report_put_text(p, value);
    report_put(p, "</td></tr>\n");
}

static void put_environment(report_page *p, const char *text)
{
    json_t *o = text ? json_loads(text, 0, NULL) : NULL;
    const char *key;
    json_t *v;
    json_object_foreach(o, key, v)
    {
        char *other = json_is_string(v) ? NULL : json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
        const char *value = json_is_string(v) ? json_string_value(v) : other;
        char name[64];
        snprintf(name, sizeof name, "%s", key);
        for (char *c = name; *c; c++)
            *c = *c == '_' ? ' ' : *c;
        if (value && *value)
            put_fact(p, name, value);
        hone_free(other);
    }
    json_decref(o);
}

static void put_machine(report_page *p, const hone_report_profile *r)
{
    char text[64];
    report_put(p, "<section>\n<h2>Model and machine</h2>\n<div class=\"wide\">"
                  "<table class=\"facts\">\n");
    put_fact(p, "model", r->model);
    put_fact(p, "configuration", r->config);
    snprintf(text, sizeof text, "%.1f GB/s read", r->profile->read_bytes_s / 1e9);
    put_fact(p, "memory's limit", text);
    snprintf(text, sizeof text, "%.1f Gop/s for the prompt, %.1f for one token",
             r->profile->ops_s[0] / 1e9, r->profile->ops_s[1] / 1e9);
    put_fact(p, "arithmetic's limit", text);
    put_environment(p, r->environment);
    report_put(p, "</table></div>\n</section>\n");
}

hone_status hone_report_profile_html(const hone_report_profile *r, char **html, size_t *bytes)
{
    report_page p = {0};
    *html = NULL;
    *bytes = 0;
    hone_json_use_memory();
    const char *slash = strrchr(r->model, '/');
    report_put(&p, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
                   "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/>\n"
                   "<title>hone profile: ");
    report_put_short(&p, slash && slash[1] ? slash + 1 : r->model, 80);
    report_put(&p, "</title>\n");
    report_put_style(&p);
    report_put(&p, "<style>\n%s</style>\n</head>\n<body>\n<main>\n", style);
    put_head(&p, r);
    put_words(&p, r);
    report_put(&p, "<section>\n<h2>Flame view</h2>\n");
    put_keys(&p);
    for (int i = HONE_PHASES - 1; i >= 0; i--)
        report_put_flame(&p, r->profile, (hone_phase)i);
    report_put(&p, "</section>\n");
    put_anatomy(&p, r);
    report_put_timeline(&p, r->profile);
    report_put_roofline(&p, r->profile);
    report_put_layers(&p, r->profile);
    put_techniques(&p, r);
    put_machine(&p, r);
    report_put(&p, "</main>\n</body>\n</html>\n");
    if (p.failed) {
        hone_free(p.data);
        return hone_fail_memory(p.bytes, "a profile's page");
    }
    *html = p.data;
    *bytes = p.bytes;
    return HONE_OK;
}
