/* report_compare_page - the page of a comparison: table, plots, what may be said. */
#include "report/report_compare.h"

#include "base/json.h"
#include "report/report_page.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 760, HEIGHT = 400, LEFT = 70, RIGHT = 740, TOP = 16, BOTTOM = 340, BOXES = 160 };

/* ---- plots ----------------------------------------------------------------------------------- */

typedef struct box {
    double x0, y0, x1, y1;
} box;

typedef struct plot {
    const hone_compare *c;
    int test;                      /* -1: size */
    double x_lo, x_hi, y_lo, y_hi; /* log10 */
    box taken[BOXES];
    size_t n;
} plot;

static double x_value(const plot *p, size_t i)
{
    const hone_compare_side *s = &p->c->sides[i];
    return p->test < 0 ? s->stored_bytes : s->speed[p->test].tok_s.point;
}

/* Of the reference itself there is nothing to see: its divergence is 0. */
static bool is_shown(const plot *p, size_t i)
{
    return x_value(p, i) > 0 && p->c->sides[i].kl_mean > 0;
}

static double x_at(const plot *p, double v)
{
    return LEFT + 30 + (log10(v) - p->x_lo) / (p->x_hi - p->x_lo) * (RIGHT - LEFT - 90);
}

static double y_at(const plot *p, double v)
{
    return BOTTOM - 14 - (log10(v) - p->y_lo) / (p->y_hi - p->y_lo) * (BOTTOM - TOP - 34);
}

static bool find_range(plot *p)
{
    size_t shown = 0;
    p->x_lo = p->y_lo = INFINITY;
    p->x_hi = p->y_hi = -INFINITY;
    for (size_t i = 0; i < p->c->n_sides; i++) {
        if (!is_shown(p, i))
            continue;
        double x = log10(x_value(p, i)), y = log10(p->c->sides[i].kl_mean);
        p->x_lo = fmin(p->x_lo, x);
        p->x_hi = fmax(p->x_hi, x);
        p->y_lo = fmin(p->y_lo, y);
        p->y_hi = fmax(p->y_hi, y);
        shown++;
    }
    p->x_hi = fmax(p->x_hi, p->x_lo + 0.02);
    p->y_hi = fmax(p->y_hi, p->y_lo + 0.1);
    return shown > 1;
}

static void put_y_axis(report_page *page, const plot *p)
{
    for (int k = -12; k <= 3; k++) {
        double y = y_at(p, pow(10, k));
        if (y < TOP || y > BOTTOM)
            continue;
        report_put(page,
                   "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>"
                   "<text class=\"tick end\" x=\"%d\" y=\"%.1f\">%g</text>\n",
                   LEFT, y, RIGHT, y, LEFT - 6, y + 4, pow(10, k));
    }
}

static void put_x_axis(report_page *page, const plot *p, const char *title)
{
    static const double steps[] = {1, 1.5, 2, 3, 5, 7};
    char text[32];
    double last = -1e9;
    for (int k = 0; k <= 13; k++) {
        for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
            int thousands = p->test < 0 ? k / 3 : 0, tens = p->test < 0 ? k % 3 : k - 4;
            double v = steps[i] * pow(1024, thousands) * pow(10, tens), x = x_at(p, v);
            if (x < LEFT || x > RIGHT || x - last < 60)
                continue;
            last = x;
            if (p->test < 0)
                hone_report_bytes(v, text, sizeof text);
            else
                snprintf(text, sizeof text, "%g", v);
            report_put(page,
                       "<line class=\"grid\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>"
                       "<text class=\"tick mid\" x=\"%.1f\" y=\"%d\">%s</text>\n",
                       x, TOP, x, BOTTOM, x, BOTTOM + 16, text);
        }
    }
    report_put(page, "<text class=\"tick mid\" x=\"%d\" y=\"%d\">%s</text>\n", (LEFT + RIGHT) / 2,
               BOTTOM + 38, title);
}

static bool is_free(const plot *p, box b)
{
    if (b.x0 < LEFT || b.x1 > RIGHT + 16 || b.y0 < TOP - 8 || b.y1 > BOTTOM)
        return false;
    for (size_t i = 0; i < p->n; i++)
        if (b.x0 < p->taken[i].x1 && p->taken[i].x0 < b.x1 && b.y0 < p->taken[i].y1 &&
            p->taken[i].y0 < b.y1)
            return false;
    return true;
}

static void take(plot *p, box b)
{
    if (p->n < BOXES)
        p->taken[p->n++] = b;
}

static void put_label(report_page *page, plot *p, size_t i, double x, double y)
{
    const char *label = p->c->sides[i].label;
    size_t points = report_code_points(label);
    double width = 6.6 * (double)(points < 24 ? points : 24) + 2;
    for (int ring = 0; ring < 8; ring++) {
        for (int side = 0; side < 4; side++) {
            double x0 = side % 2 ? x - 9 - width : x + 9;
            double y0 = y - 17 + (side < 2 ? -13.0 : 13.0) * ring; /* above the line of the front */
            box b = {x0, y0, x0 + width, y0 + 13};
            if (!is_free(p, b))
                continue;
            take(p, b);
            if (ring)
                report_put(page,
                           "<line class=\"lead\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" "
                           "y2=\"%.1f\"/>",
                           x, y, side % 2 ? b.x1 : b.x0, y0 + 10);
            report_put(page, "<text class=\"name\" x=\"%.1f\" y=\"%.1f\">", x0 + 1, y0 + 10);
            report_put_short(page, label, 24);
            report_put(page, "</text>\n");
            return;
        }
    }
}

/* Steps between the points that nothing beats in both, from left to right. */
static void put_front(report_page *page, const plot *p)
{
    double from = -1e9, x = 0, y = 0;
    for (bool started = false;; started = true) {
        size_t next = p->c->n_sides;
        for (size_t i = 0; i < p->c->n_sides; i++)
            if (is_shown(p, i) && hone_compare_on_front(p->c, i, p->test) &&
                x_at(p, x_value(p, i)) > from &&
                (next == p->c->n_sides || x_value(p, i) < x_value(p, next)))
                next = i;
        if (next == p->c->n_sides)
            return;
        double nx = x_at(p, x_value(p, next)), ny = y_at(p, p->c->sides[next].kl_mean);
        if (started) /* of size less is better: the step goes right, then down; of speed it is up */
            report_put(page, "<path class=\"front\" d=\"M%.1f %.1f%c%.1f%c%.1f\"/>\n", x, y,
                       p->test < 0 ? 'H' : 'V', p->test < 0 ? nx : ny, p->test < 0 ? 'V' : 'H',
                       p->test < 0 ? ny : nx);
        from = x = nx;
        y = ny;
    }
}

static void put_plot(report_page *page, const hone_compare *c, int test)
{
    plot p = {.c = c, .test = test};
    char title[160];
    if (!find_range(&p))
        return;
    snprintf(title, sizeof title, "%s against divergence", test < 0 ? "Size" : c->tests[test]);
    report_put(page,
               "<section>\n<h2>%s</h2>\n<p class=\"quiet\">Down is nearer to the original, "
               "%s; the line joins what nothing beats in both.</p>\n",
               title, test < 0 ? "left is smaller" : "right is faster");
    report_put(page,
               "<div class=\"wide\"><svg viewBox=\"0 0 %d %d\" role=\"img\" "
               "aria-label=\"%s\">\n",
               WIDTH, HEIGHT, title);
    put_y_axis(page, &p);
    put_x_axis(page, &p, test < 0 ? "tensors in the file" : "tokens per second");
    report_put(page, "<text class=\"tick\" x=\"%d\" y=\"%d\">KL divergence, nats</text>\n",
               LEFT + 4, TOP + 10);
    put_front(page, &p);
    for (size_t i = 0; i < c->n_sides; i++) {
        if (!is_shown(&p, i))
            continue;
        double x = x_at(&p, x_value(&p, i)), y = y_at(&p, c->sides[i].kl_mean);
        take(&p, (box){x - 6, y - 6, x + 6, y + 6});
        report_put(page, "<g class=\"%s\"><circle cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\"/></g>\n",
                   hone_compare_on_front(c, i, test) ? "won" : "none", x, y);
    }
    for (size_t i = 0; i < c->n_sides; i++)
        if (is_shown(&p, i))
            put_label(page, &p, i, x_at(&p, x_value(&p, i)), y_at(&p, c->sides[i].kl_mean));
    report_put(page, "</svg></div>\n</section>\n");
}

/* ---- table ----------------------------------------------------------------------------------- */

static void put_number(report_page *p, const char *fmt, double v)
{
    char text[40];
    if (!isfinite(v))
        snprintf(text, sizeof text, "-");
    else if (*fmt == 'b')
        hone_report_bytes(v, text, sizeof text);
    else if (*fmt == '%')
        snprintf(text, sizeof text, "%.1f %%", 100 * v);
    else if (*fmt == 's')
        snprintf(text, sizeof text, "%.1f", v);
    else if (*fmt == 'r')
        snprintf(text, sizeof text, "%.5f", v);
    else
        snprintf(text, sizeof text, "%.4g", v);
    report_put(p, "<td class=\"n\">%s</td>", text);
}

static void put_speed(report_page *p, const hone_compare *c, size_t i, size_t test)
{
    const hone_compare_speed *s = &c->sides[i].speed[test];
    char words[512];
    put_number(p, "s", s->tok_s.point);
    report_put(p, "<td class=\"n\" title=\"");
    report_put_text(p, hone_compare_words(c, i, test, words, sizeof words));
    if (i == 0 || !isfinite(s->ratio.point)) {
        report_put(p, "\">%s</td>", i || !isfinite(s->tok_s.point) ? "-" : "1");
        return;
    }
    hone_verdict v = hone_versus_judge(&s->ratio, c->margin);
    report_put(p, "\"><span class=\"%s\">%.2f\xC3\x97</span> [%.2f, %.2f]%s</td>",
               v == HONE_VERDICT_FASTER   ? "accepted"
               : v == HONE_VERDICT_SLOWER ? "rejected"
                                          : "quiet",
               s->ratio.point, s->ratio.lo, s->ratio.hi, v == HONE_VERDICT_UNKNOWN ? " ?" : "");
}

static bool is_related(const hone_compare *c)
{
    bool any = false;
    for (size_t i = 0; i < c->n_sides; i++)
        any |= isfinite(c->sides[i].perplexity_ratio);
    return any;
}

static void put_row(report_page *p, const hone_compare *c, size_t i)
{
    const hone_compare_side *s = &c->sides[i];
    report_put(p, "<tr><td class=\"label\">");
    report_put_text(p, s->label);
    if (*s->note) {
        report_put(p, "<span class=\"quiet\">");
        report_put_text(p, s->note);
        report_put(p, "</span>");
    }
    report_put(p, "</td>");
    put_number(p, "b", s->stored_bytes);
    put_number(p, "s", s->bits);
    put_number(p, "b", s->memory_bytes);
    for (size_t t = 0; t < c->n_tests; t++)
        put_speed(p, c, i, t);
    put_number(p, "g", s->perplexity);
    if (is_related(c))
        put_number(p, "r", s->perplexity_ratio);
    put_number(p, "g", s->kl_mean);
    put_number(p, "g", s->kl_p99);
    put_number(p, "%", s->top1);
    report_put(p, "</tr>\n");
}

static void put_table(report_page *p, const hone_compare *c)
{
    report_put(p, "<section>\n<div class=\"wide\"><table>\n<tr><th></th><th class=\"n\">size</th>"
                  "<th class=\"n\">bits / weight</th><th class=\"n\">memory</th>");
    for (size_t t = 0; t < c->n_tests; t++) {
        report_put(p, "<th class=\"n\">");
        const char *plain = strstr(c->tests[t], ", depth 0, batch 1");
        char name[96];
        snprintf(name, sizeof name, "%.*s",
                 plain ? (int)(plain - c->tests[t]) : (int)sizeof name - 1, c->tests[t]);
        report_put_text(p, name);
        report_put(p, "<br/>tok/s</th><th class=\"n\">ratio</th>");
    }
    report_put(p, "<th class=\"n\">perplexity</th>%s",
               is_related(c) ? "<th class=\"n\">perplexity to the original's</th>" : "");
    report_put(p, "<th class=\"n\">KL mean</th><th class=\"n\">KL "
                  "p99</th><th class=\"n\">top-1</th></tr>\n");
    for (size_t i = 0; i < c->n_sides; i++)
        put_row(p, c, i);
    report_put(p, "</table></div>\n<p class=\"quiet\">Ratio: times as fast as ");
    report_put_text(p, c->sides[0].label);
    report_put(p,
               ", with its interval (95 %%, %s); green and red are claims, grey is equal to "
               "within %.3g %%, ? is hidden by the noise.</p>\n</section>\n",
               c->in_turns ? "measured in turns" : "NOT measured in turns", 100 * c->margin);
}

static void put_line(report_page *p, const char *before, const char *text)
{
    report_put(p, "<p>%s", before);
    report_put_text(p, text);
    report_put(p, "</p>\n");
}

static void put_words(report_page *p, const hone_compare *c)
{
    char words[512];
    report_put(p, "<section>\n<h2>How it was measured</h2>\n");
    if (*c->data)
        put_line(p, "Text: ", c->data);
    if (*c->protocol)
        put_line(p, "Protocol: ", c->protocol);
    if (*c->reference)
        put_line(p, "Divergence is from: ", c->reference);
    for (size_t t = 0; t < c->n_tests && c->n_sides == 2; t++)
        if (*hone_compare_words(c, 1, t, words, sizeof words))
            put_line(p, "", words);
    for (size_t i = 0; i < c->n_differences; i++)
        put_line(p, "Configurations differ in ", c->differences[i]);
    for (size_t i = 0; i < c->n_skipped; i++)
        put_line(p, "Left out: ", c->skipped[i]);
    report_put(p, "</section>\n");
}

static void put_machine(report_page *p, const hone_compare *c)
{
    const char *key;
    json_t *o = NULL, *v;
    if (!c->environment || hone_json_parse(c->environment, strlen(c->environment), 8, 1000,
                                           "the environment", &o) != HONE_OK)
        return;
    report_put(p, "<section>\n<h2>Machine</h2>\n<div class=\"wide\"><table class=\"facts\">\n");
    json_object_foreach(o, key, v)
    {
        char *text = json_is_string(v) ? hone_strdup(json_string_value(v))
                                       : json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
        report_put(p, "<tr><td>");
        report_put_text(p, key);
        report_put(p, "</td><td>");
        report_put_text(p, text ? text : "");
        report_put(p, "</td></tr>\n");
        hone_free(text);
    }
    report_put(p, "</table></div>\n</section>\n");
    json_decref(o);
}

hone_status hone_compare_html(const hone_compare *c, char **html, size_t *bytes)
{
    report_page p = {0};
    report_put(&p, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
                   "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/>\n"
                   "<title>hone compare: ");
    report_put_short(&p, c->title, 80);
    report_put(&p, "</title>\n");
    report_put_style(&p);
    report_put(&p,
               "</head>\n<body>\n<main>\n<header class=\"head plain\">\n<p class=\"quiet\">hone "
               "compare</p>\n<h1>");
    report_put_text(&p, c->title);
    report_put(&p, ": %zu side by side</h1>\n</header>\n", c->n_sides);
    put_table(&p, c);
    put_plot(&p, c, -1);
    for (size_t t = 0; t < c->n_tests; t++)
        put_plot(&p, c, (int)t);
    put_words(&p, c);
    put_machine(&p, c);
    report_put(&p, "</main>\n</body>\n</html>\n");
    if (p.failed) {
        hone_free(p.data);
        return hone_fail_memory(p.bytes, "a page");
    }
    *html = p.data;
    *bytes = p.bytes;
    return HONE_OK;
}
