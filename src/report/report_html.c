/* report_html - the page: one file that needs nothing else. */
#include "report/report_page.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char style[] =
    ":root{color-scheme:light dark;--bg:#fcfcfa;--card:#fff;--ink:#1c1d1f;--soft:#62666d;"
    "--line:#dfe1e4;--good:#14804a;--bad:#b3392f;--bar:#3b6fb6;--gate:#b7791f}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#15171a;--card:#1d2024;--ink:#e8e9eb;"
    "--soft:#9ba1a9;--line:#343940;--good:#4cc38a;--bad:#f08378;--bar:#6da2ea;--gate:#e0ae55}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,sans-serif}\n"
    "main{max-width:76rem;margin:0 auto;padding:1.25rem 1rem 4rem}\n"
    "h1{font-size:1.55rem;line-height:1.3;margin:.3rem 0 .6rem;overflow-wrap:anywhere}\n"
    "h2{font-size:1.1rem;margin:2.2rem 0 .6rem}\n"
    "p{margin:.4rem 0;overflow-wrap:anywhere}.quiet{color:var(--soft);font-size:.9rem}\n"
    ".head{border-left:5px solid var(--soft);padding-left:1rem}\n"
    ".head.good{border-color:var(--good)}.head.open{border-color:var(--gate)}\n"
    ".wide{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:6px}\n"
    "table{border-collapse:collapse;width:100%;font-size:.86rem;font-variant-numeric:tabular-nums}"
    "\n"
    "th,td{padding:.4rem .6rem;text-align:left;vertical-align:top;"
    "border-bottom:1px solid var(--line)}\n"
    "td.label span{display:block;font-weight:400;overflow-wrap:normal}\n"
    "th{color:var(--soft);font-weight:600}tr:last-child td{border-bottom:0}\n"
    "td.n,th.n{text-align:right;white-space:nowrap}\n"
    "td.label{font-weight:600;min-width:8.5rem;max-width:16rem;overflow-wrap:anywhere}\n"
    "td.why{min-width:14rem;max-width:24rem;overflow-wrap:anywhere}\n"
    ".chosen,.accepted{color:var(--good)}.rejected{color:var(--bad)}\n"
    ".facts td:first-child{color:var(--soft);white-space:nowrap;width:1%}\n"
    ".facts td{overflow-wrap:anywhere}\n"
    ".part{display:grid;grid-template-columns:7.5rem 1fr 9.5rem 8.5rem;gap:.7rem;"
    "align-items:center;padding:.22rem 0;font-size:.9rem;font-variant-numeric:tabular-nums}\n"
    ".part .r{text-align:right}.part "
    ".track{background:var(--line);border-radius:3px;height:.8rem}\n"
    ".part .fill{background:var(--bar);border-radius:3px;height:.8rem;min-width:1px}\n"
    "@media(max-width:80rem){table{font-size:.78rem}th,td{padding:.35rem .35rem}"
    "td.label{min-width:6rem}td.why{min-width:9rem}}\n"
    "@media(max-width:40rem){.part{grid-template-columns:1fr auto auto;gap:.1rem .8rem}"
    ".part .track{grid-column:1/-1;grid-row:2}}\n"
    "pre{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:.7rem .9rem;"
    "white-space:pre-wrap;overflow-wrap:anywhere;font:.85rem/1.5 ui-monospace,monospace;"
    "margin:.4rem 0}\n"
    "svg{display:block;width:100%;min-width:36rem;font:12px system-ui,sans-serif}\n"
    "svg .grid{stroke:var(--line)}svg .axis{stroke:var(--soft)}svg .one{stroke:var(--soft)}\n"
    "svg line.gate{stroke:var(--gate);stroke-width:1.5;stroke-dasharray:5 4}\n"
    "svg .tick{fill:var(--soft)}svg text.gate{fill:var(--gate);font-weight:600}\n"
    "svg .mid{text-anchor:middle}svg .end{text-anchor:end}\n"
    "svg .front{fill:none;stroke:var(--good);stroke-opacity:.45}svg .lead{stroke:var(--soft)}\n"
    "svg .won{fill:var(--good);stroke:var(--good)}svg .pass{fill:var(--card);stroke:var(--good)}\n"
    "svg .fail{fill:var(--card);stroke:var(--bad)}svg .none{fill:var(--card);stroke:var(--soft)}\n"
    "svg g{stroke-width:1.6}svg text.name{stroke:none;fill:var(--ink)}\n"
    "svg text.none{fill:var(--soft)}svg text.won{font-weight:700}\n";

void report_put_style(report_page *p)
{
    report_put(p, "<style>\n%s</style>\n", style);
}

static void put_cell(report_page *p, const char *class, const char *text)
{
    report_put(p, "<td class=\"%s\">", class);
    report_put_text(p, text);
    report_put(p, "</td>");
}

static void put_paragraph(report_page *p, const char *class, const char *text)
{
    if (!*text)
        return;
    report_put(p, "<p class=\"%s\">", class);
    report_put_text(p, text);
    report_put(p, "</p>\n");
}

/* ---- head ---------------------------------------------------------------------------------------
 */

static void put_head(report_page *p, const hone_report *r)
{
    char text[2048];
    report_put(p, "<header class=\"head %s\">\n<p class=\"quiet\">hone, run %lld: ",
               !r->done ? "open"
               : r->won ? "good"
                        : "plain",
               (long long)r->run);
    report_put_text(p, *r->model_name ? r->model_name : r->model_path);
    report_put(p, ", goal ");
    report_put_text(p, r->goal);
    report_put(p, "</p>\n<h1>");
    report_put_text(p, hone_report_headline(r, text, sizeof text));
    report_put(p, "</h1>\n");
    put_paragraph(p, "price", hone_report_price(r, text, sizeof text));
    if (r->in_force && !r->promoted)
        put_paragraph(p, "quiet", "In force for the model, by another run's promotion.");
    else if (r->in_force)
        put_paragraph(p, "quiet", "Promoted: this configuration is in force for the model.");
    else if (r->promoted)
        put_paragraph(p, "quiet", "Was promoted; another configuration is in force by now.");
    else if (r->won)
        put_paragraph(p, "quiet", "Not promoted.");
    report_put(p, "</header>\n");
}

static void put_decision(report_page *p, const hone_report *r)
{
    size_t count[3] = {0};
    static const char *const verdicts[] = {"chosen", "accepted", "rejected"};
    report_put(p, "<section>\n<h2>The decision</h2>\n");
    for (size_t i = 0; i < r->n_experiments; i++)
        for (int v = 0; v < 3; v++)
            count[v] += strcmp(r->experiments[i].verdict, verdicts[v]) == 0;
    if (!r->done)
        put_paragraph(p, "why", "None yet: decisions are written when the run ends.");
    if (r->choice >= 0) {
        report_put(p, "<p><strong class=\"chosen\">");
        report_put_text(p, r->experiments[r->choice].label);
        report_put(p, "</strong>: ");
        report_put_text(p, r->experiments[r->choice].why);
        report_put(p, "</p>\n");
    }
    if (r->done)
        report_put(p,
                   "<p>%zu chosen, %zu accepted, %zu rejected; the reason of each stands in the "
                   "table.</p>\n",
                   count[0], count[1], count[2]);
    if (*r->config) {
        report_put(p, "<p class=\"quiet\">Configuration:</p>\n<pre>");
        report_put_text(p, r->config);
        report_put(p, "</pre>\n");
    }
    if (r->unreadable)
        report_put(p, "<p class=\"rejected\">%zu records could not be read.</p>\n", r->unreadable);
    report_put(p, "</section>\n");
}

static void put_plot(report_page *p, const hone_report *r)
{
    report_put(p, "<section>\n<h2>Gain against loss</h2>\n");
    report_put_scatter(p, r);
    report_put(p, "<p class=\"quiet\">Times better than the baseline, with its interval; to the "
                  "right of the gate is what loses too much. Not judged: not measurably better, so "
                  "its quality was not evaluated. Combinations are measured against what they "
                  "build on, and stand in the table only.</p>\n</section>\n");
}

/* ---- time anatomy -------------------------------------------------------------------------------
 */

static void put_part(report_page *p, const hone_report_part *part, double sum, double longest)
{
    char seconds[32];
    report_put(p, "<div class=\"part\" title=\"");
    report_put_text(p, part->text);
    report_put(p, "\"><span>");
    report_put_short(p, part->name, 24);
    report_put(
        p, "</span><div class=\"track\"><div class=\"fill\" style=\"width:%.1f%%\"></div></div>",
        longest > 0 ? 100 * part->seconds / longest : 0);
    report_put(p, "<span class=\"r\">%s, %.1f %%</span><span class=\"r quiet\">",
               hone_report_seconds(part->seconds, seconds, sizeof seconds),
               sum > 0 ? 100 * part->seconds / sum : 0);
    if (part->limit_share > 1) /* from the caches, or the limit was measured low */
        report_put(p, "above its limit");
    else if (part->limit_share > 0)
        report_put(p, "%.0f %% of limit", 100 * part->limit_share);
    else
        report_put(p, "no limit known");
    report_put(p, "</span></div>\n");
}

/* What is paid once, not with every step. */
static void put_once(report_page *p, const hone_report *r)
{
    char seconds[32];
    size_t n = 0;
    for (size_t i = 0; i < r->n_parts; i++) {
        if (!r->parts[i].once)
            continue;
        report_put(p, n++ ? ", " : "<p class=\"quiet\">Paid once: ");
        report_put_short(p, r->parts[i].name, 24);
        report_put(p, " %s", hone_report_seconds(r->parts[i].seconds, seconds, sizeof seconds));
    }
    if (n)
        report_put(p, ".</p>\n");
}

static void put_anatomy(report_page *p, const hone_report *r)
{
    char cost[32], limit[32];
    double sum = 0, longest = 0;
    report_put(p, "<section>\n<h2>Where the baseline's time goes</h2>\n");
    for (size_t i = 0; i < r->n_parts; i++) {
        if (r->parts[i].once)
            continue;
        sum += r->parts[i].seconds;
        longest = fmax(longest, r->parts[i].seconds);
    }
    for (size_t i = 0; i < r->n_parts; i++)
        if (!r->parts[i].once)
            put_part(p, &r->parts[i], sum, longest);
    put_once(p, r);
    if (!r->n_parts)
        put_paragraph(p, "quiet", "The baseline was not profiled.");
    if (*r->bottleneck) {
        report_put(p, "<p>Bottleneck: <strong>");
        report_put_text(p, r->bottleneck);
        report_put(p, "</strong>");
        report_put(p, *r->bottleneck_text ? " (" : "");
        report_put_text(p, r->bottleneck_text);
        report_put(p, *r->bottleneck_text ? ")." : ".");
        if (r->profile_cost > 0)
            report_put(
                p, " Measured %s%s%s.", hone_report_cost(r, r->profile_cost, cost, sizeof cost),
                hone_report_limit_words(r),
                r->limit_cost > 0 ? hone_report_cost(r, r->limit_cost, limit, sizeof limit) : "");
        report_put(p, "</p>\n");
    }
    report_put(p, "</section>\n");
}

/* ---- experiments --------------------------------------------------------------------------------
 */

static const char *number(char *buf, size_t size, const char *fmt, double x)
{
    if (isnan(x))
        snprintf(buf, size, "-");
    else if (fmt[0] == 'e')
        snprintf(buf, size, x != 0 && fabs(x) < 1e-3 ? "%.1e" : "%.4f", x);
    else
        snprintf(buf, size, "%.2f %%", 100 * x);
    return buf;
}

static void put_verdict(report_page *p, const hone_report_experiment *e)
{
    bool failed = strcmp(e->state, "failed") == 0;
    const char *word = *e->verdict                        ? e->verdict
                       : failed                           ? "failed"
                       : strcmp(e->state, "running") == 0 ? "unfinished"
                                                          : "undecided";
    report_put(p, "<td class=\"why\"><strong class=\"");
    report_put_text(p, *e->verdict ? e->verdict : "quiet");
    report_put(p, "\">");
    report_put_text(p, word);
    report_put(p, "</strong> ");
    report_put_text(p, *e->why ? e->why : e->error);
    report_put(p, "</td>");
}

static void put_experiment(report_page *p, const hone_report_experiment *e)
{
    char a[64], b[64], kl[160];
    report_put(p, "<tr><td class=\"label\">");
    report_put_text(p, e->label);
    report_put(p, "<span class=\"quiet\">%s%s</span></td>", hone_report_role_text(e->role),
               e->role == HONE_REPORT_COMBINE ? ", against what it builds on" : "");
    put_cell(p, "n", hone_report_times(e->predicted, a, sizeof a));
    put_cell(p, "n", hone_report_interval(e, a, sizeof a));
    put_cell(p, "n", hone_report_percent(e->loss, a, sizeof a));
    put_cell(p, "n", hone_report_percent(e->loss_upper, a, sizeof a));
    snprintf(kl, sizeof kl, e->has_quality ? "%s / %s" : "-", number(a, sizeof a, "e", e->kl_mean),
             number(b, sizeof b, "e", e->kl_p99));
    put_cell(p, "n", kl);
    put_cell(p, "n", number(a, sizeof a, "%", e->top1_agreement));
    put_cell(p, "n", hone_report_bytes(e->weight_bytes, a, sizeof a));
    put_verdict(p, e);
    report_put(p, "</tr>\n");
}

static void put_experiments(report_page *p, const hone_report *r)
{
    report_put(
        p,
        "<section>\n<h2>Experiments</h2>\n<div class=\"wide\"><table>\n<tr>"
        "<th>experiment</th><th class=\"n\">predicted</th><th class=\"n\">measured</th>"
        "<th class=\"n\">loss</th><th class=\"n\">at most</th><th class=\"n\">KL mean / 99 %%</th>"
        "<th class=\"n\">same top-1</th>"
        "<th class=\"n\">weights</th><th>verdict</th></tr>\n");
    size_t rows = 0;
    for (size_t i = 0; i < r->n_experiments; i++) {
        if (r->experiments[i].role == HONE_REPORT_PROFILE)
            continue;
        put_experiment(p, &r->experiments[i]);
        rows++;
    }
    if (!rows)
        report_put(p, "<tr><td colspan=\"9\">none</td></tr>\n");
    report_put(p, "</table></div>\n<p class=\"quiet\">Measured: times better than the baseline, "
                  "within pairs taken in turns. The intervals of the candidates hold all at once; "
                  "the confirmation has fresh samples. KL divergence in nats.</p>\n</section>\n");
}

/* ---- how it was measured ------------------------------------------------------------------------
 */

static void put_fact(report_page *p, const char *name, const char *value)
{
    if (!*value)
        return;
    report_put(p, "<tr><td>");
    for (; *name; name++) { /* "memory_bytes" reads better with blanks */
        char one[2] = {*name == '_' ? ' ' : *name, 0};
        report_put_text(p, one);
    }
    report_put(p, "</td><td>");
    report_put_text(p, value);
    report_put(p, "</td></tr>\n");
}

static void put_protocol(report_page *p, const hone_report *r)
{
    char a[64];
    report_put(
        p, "<section>\n<h2>How quality was judged</h2>\n<p>The original is the file's own "
           "weights in float32. A candidate is scored on the same held-out tokens as the "
           "original; the loss is the relative rise of perplexity, paired token by token, and "
           "its one-sided upper bound (95 %%; of the choice, on text of its own, 97.5 %% or more) "
           "must not exceed the gate. Neighbouring tokens count as one observation.</p>\n<div "
           "class=\"wide\"><table class=\"facts\">\n");
    put_fact(p, "gate", hone_report_percent(r->max_loss, a, sizeof a));
    if (r->base >= 0 && r->experiments[r->base].scored > 0) {
        snprintf(a, sizeof a, "%.0f", r->experiments[r->base].scored);
        put_fact(p, "tokens scored", a);
    }
    put_fact(p, "data (hash)", r->data_hash);
    snprintf(a, sizeof a, "%llu", (unsigned long long)r->seed);
    put_fact(p, "seed", a);
    for (size_t i = 0; i < r->n_settings; i++)
        put_fact(p, r->settings[i].name, r->settings[i].value);
    report_put(p, "</table></div>\n</section>\n");
}

static void put_environment(report_page *p, const hone_report *r)
{
    char a[64];
    report_put(p, "<section>\n<h2>Model and machine</h2>\n<div class=\"wide\">"
                  "<table class=\"facts\">\n");
    put_fact(p, "model", r->model_path);
    put_fact(p, "architecture", r->model_arch);
    put_fact(p, "file size", hone_report_bytes((double)r->model_bytes, a, sizeof a));
    put_fact(p, "sha256", r->model_sha256);
    put_fact(p, "started", r->started);
    put_fact(p, "finished", r->finished);
    for (size_t i = 0; i < r->n_environment; i++)
        put_fact(p, r->environment[i].name, r->environment[i].value);
    report_put(p, "</table></div>\n</section>\n");
}

static void put_commands(report_page *p, const hone_report *r)
{
    report_put(p, "<section>\n<h2>Do it again, take it back</h2>\n<p class=\"quiet\">%s</p>\n<pre>",
               r->done ? "Measures again with --fresh; without it the finished run is shown."
                       : "Goes on where the run was stopped.");
    report_put_text(p, r->reproduce);
    report_put(p, "</pre>\n<p class=\"quiet\">Puts back what was in force before the last "
                  "promotion:</p>\n<pre>");
    report_put_text(p, r->rollback);
    report_put(p, "</pre>\n");
    if (r->n_promotions)
        report_put(p, "<div class=\"wide\"><table>\n<tr><th>when</th><th>what</th><th>run</th>"
                      "<th>configuration</th></tr>\n");
    for (size_t i = 0; i < r->n_promotions; i++) {
        const hone_report_promotion *o = &r->promotions[i];
        report_put(p, "<tr>");
        put_cell(p, "when", o->when);
        put_cell(p, "what", o->action);
        report_put(p, o->run ? "<td>%lld</td>" : "<td>-</td>", (long long)o->run);
        put_cell(p, "why", *o->config ? o->config : "the file as it is");
        report_put(p, "</tr>\n");
    }
    if (r->n_promotions)
        report_put(p, "</table></div>\n");
    report_put(p, "</section>\n");
}

hone_status hone_report_html(const hone_report *report, char **html, size_t *bytes)
{
    report_page p = {0};
    *html = NULL;
    *bytes = 0;
    report_put(&p, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
                   "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/>\n"
                   "<title>hone: ");
    report_put_short(&p, *report->model_name ? report->model_name : report->model_path, 80);
    report_put(&p, "</title>\n");
    report_put_style(&p);
    report_put(&p, "</head>\n<body>\n<main>\n");
    put_head(&p, report);
    put_decision(&p, report);
    put_plot(&p, report);
    put_anatomy(&p, report);
    put_experiments(&p, report);
    put_protocol(&p, report);
    put_environment(&p, report);
    put_commands(&p, report);
    report_put(&p, "</main>\n</body>\n</html>\n");
    if (p.failed) {
        hone_free(p.data);
        return hone_fail_memory(p.bytes, "a report's page");
    }
    *html = p.data;
    *bytes = p.bytes;
    return HONE_OK;
}
