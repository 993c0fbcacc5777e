/* report_scatter - what each experiment costs in quality against what it gains, as SVG. */
#include "report/report_page.h"

#include <math.h>
#include <string.h>

enum {
    WIDTH = 760,
    HEIGHT = 430,
    LEFT = 150, /* the gutter of what was not judged lies between GUTTER and LEFT */
    GUTTER = 62,
    RIGHT = 740,
    TOP = 16,
    BOTTOM = 372,
    POINTS_MAX = 64,
    LABEL_MAX = 26
};

typedef struct point {
    const hone_report_experiment *e;
    double gain, gain_lo, gain_hi; /* the baseline is 1 by definition */
    double x, y, lo, hi;
    const char *style; /* class of the mark */
} point;

typedef struct plot {
    const hone_report *r;
    point points[POINTS_MAX];
    size_t n;
    double knee; /* losses below it are spread evenly, above it by decades */
    double x_lo, x_hi, y_lo, y_hi;
    report_box taken[3 * POINTS_MAX];
    size_t n_taken;
} plot;

static double spread(const plot *p, double loss)
{
    return asinh(loss / p->knee);
}

static double x_of(const plot *p, double loss)
{
    double t = (spread(p, loss) - p->x_lo) / (p->x_hi - p->x_lo);
    return LEFT + 24 + t * (RIGHT - LEFT - 40);
}

static double y_of(const plot *p, double gain)
{
    double t = (log(gain) - p->y_lo) / (p->y_hi - p->y_lo);
    return BOTTOM - 8 - t * (BOTTOM - TOP - 16);
}

static const char *style_of(const plot *p, const hone_report_experiment *e)
{
    if (p->r->choice >= 0 && e == &p->r->experiments[p->r->choice])
        return "won";
    if (!e->has_quality)
        return "none";
    if (e->role == HONE_REPORT_BASE)
        return e->loss_upper <= p->r->max_loss ? "pass" : "fail";
    return e->loss_upper <= p->r->max_loss && e->gain_lo > 1 ? "pass" : "fail";
}

static void find_range(plot *p)
{
    double worst = p->r->max_loss, best = 0, top = 1, bottom = 1;
    for (size_t i = 0; i < p->n; i++) {
        const hone_report_experiment *e = p->points[i].e;
        top = fmax(top, p->points[i].gain_hi);
        bottom = fmin(bottom, p->points[i].gain_lo);
        if (e->has_quality) {
            worst = fmax(worst, e->loss_upper);
            best = fmin(best, e->loss_upper);
        }
    }
    p->knee = fmax(p->r->max_loss, 1e-6) / 2;
    p->x_lo = spread(p, best);
    p->x_hi = fmax(spread(p, 1.5 * worst), p->x_lo + 0.1);
    p->y_lo = log(fmax(bottom, 1e-3)) - 0.03;
    p->y_hi = fmax(log(top) + 0.06, p->y_lo + 0.2);
}

static bool add_point(plot *p, const hone_report_experiment *e)
{
    bool base = e->role == HONE_REPORT_BASE;
    double gain = base ? 1 : e->gain;
    if (!e->compared || p->n == POINTS_MAX)
        return false;
    if (gain > 1000 || gain < 1e-3 || e->gain_hi > 1000)
        return false; /* not a measurement; the table has it */
    bool bars = !base && e->gain_lo > 0 && isfinite(e->gain_lo) && isfinite(e->gain_hi);
    p->points[p->n++] = (point){.e = e,
                                .gain = gain,
                                .gain_lo = bars ? e->gain_lo : gain,
                                .gain_hi = bars ? e->gain_hi : gain};
    return true;
}

static void place_points(plot *p)
{
    for (size_t i = 0; i < p->r->n_experiments; i++)
        add_point(p, &p->r->experiments[i]);
    find_range(p);
    size_t unjudged = 0;
    for (size_t i = 0; i < p->n; i++) {
        point *q = &p->points[i];
        const hone_report_experiment *e = q->e;
        q->style = style_of(p, e);
        q->x =
            e->has_quality ? x_of(p, e->loss_upper) : GUTTER + 12 + 13 * (double)(unjudged++ % 6);
        q->y = y_of(p, q->gain);
        q->lo = y_of(p, fmax(q->gain_lo, exp(p->y_lo)));
        q->hi = y_of(p, q->gain_hi);
        p->taken[p->n_taken++] = (report_box){q->x - 6, q->y - 6, q->x + 6, q->y + 6};
        p->taken[p->n_taken++] = (report_box){q->x - 1, q->hi, q->x + 1, q->lo};
    }
}

static void put_label(report_page *page, plot *p, const point *q)
{
    static const report_box frame = {GUTTER, TOP, RIGHT, BOTTOM};
    size_t points = report_code_points(q->e->label);
    double width = 6.6 * (double)(points < LABEL_MAX ? points : LABEL_MAX) + 2;
    for (int ring = 0; ring < 6; ring++) {
        double far = 9 + 13 * ring;
        const report_box places[] = {{q->x + 9, q->y - 7 - 13 * ring, 0, 0},
                                     {q->x - 9 - width, q->y - 7 - 13 * ring, 0, 0},
                                     {q->x + 9, q->y - 7 + 13 * ring, 0, 0},
                                     {q->x - 9 - width, q->y - 7 + 13 * ring, 0, 0},
                                     {q->x - width / 2, q->y - far - 13, 0, 0},
                                     {q->x - width / 2, q->y + far, 0, 0}};
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            report_box b = {places[i].x0, places[i].y0, places[i].x0 + width, places[i].y0 + 13};
            if (!report_box_is_free(&b, &frame, p->taken, p->n_taken))
                continue;
            p->taken[p->n_taken++] = b;
            if (ring) {
                double end = b.x0 > q->x ? b.x0 : b.x1 < q->x ? b.x1 : q->x;
                report_put(page,
                           "<line class=\"lead\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" "
                           "y2=\"%.1f\"/>\n",
                           q->x, q->y, end, (b.y0 + b.y1) / 2);
            }
            report_put(page, "<text class=\"name %s\" x=\"%.1f\" y=\"%.1f\">", q->style, b.x0 + 1,
                       b.y0 + 10);
            report_put_short(page, q->e->label, LABEL_MAX);
            report_put(page, "</text>\n");
            return;
        }
    }
}

static void put_point(report_page *page, const point *q)
{
    char gain[64], loss[32];
    report_put(page, "<g class=\"%s\"><title>", q->style);
    report_put_text(page, q->e->label);
    report_put(page, ": %s", hone_report_interval(q->e, gain, sizeof gain));
    if (q->e->has_quality)
        report_put(page, ", loss at most %s",
                   hone_report_percent(q->e->loss_upper, loss, sizeof loss));
    report_put(page, "</title><line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>", q->x, q->lo,
               q->x, q->hi);
    report_put(page, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%s\"/></g>\n", q->x, q->y,
               strcmp(q->style, "won") == 0 ? "6" : "4.5");
}

/* Multiples of the baseline: 1, 1.1, 1.2 ... as far apart as can be read. */
static void put_y_axis(report_page *page, const plot *p)
{
    static const double steps[] = {0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 50, 100};
    double lo = exp(p->y_lo), hi = exp(p->y_hi), step = 1000;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        if ((hi - lo) / steps[i] <= 9) {
            step = steps[i];
            break;
        }
    }
    double last = 1e9;
    for (int i = (int)ceil(lo / step); i * step <= hi; i++) {
        double g = i * step, y = y_of(p, g);
        if (g <= 0 || last - y < 14)
            continue;
        last = y;
        report_put(page, "<line class=\"%s\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>",
                   fabs(g - 1) < 1e-9 ? "one" : "grid", GUTTER, y, RIGHT, y);
        report_put(page, "<text class=\"tick end\" x=\"%d\" y=\"%.1f\">%.4g\xC3\x97</text>\n",
                   GUTTER - 6, y + 4, g);
    }
}

static void put_x_tick(report_page *page, const plot *p, double loss, double *last, double gate)
{
    char text[32];
    double x = x_of(p, loss);
    if (x > RIGHT - 4 || x < LEFT || x - *last < 52 || (loss != gate && fabs(x - gate) < 52))
        return;
    *last = x;
    report_put(page, "<line class=\"grid\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>", x, TOP,
               x, BOTTOM);
    report_put(page, "<text class=\"tick mid\" x=\"%.1f\" y=\"%d\">%s</text>\n", x, BOTTOM + 16,
               hone_report_percent(loss, text, sizeof text));
}

static void put_x_axis(report_page *page, const plot *p)
{
    char text[32];
    double last = -1e9, gate = x_of(p, p->r->max_loss);
    put_x_tick(page, p, 0, &last, gate);
    for (int k = -8; k <= 3; k++)
        put_x_tick(page, p, pow(10, k), &last, gate);
    report_put(page, "<line class=\"gate\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>", gate,
               TOP, gate, BOTTOM + 4);
    report_put(page, "<text class=\"tick mid gate\" x=\"%.1f\" y=\"%d\">gate %s</text>\n", gate,
               BOTTOM + 16, hone_report_percent(p->r->max_loss, text, sizeof text));
    report_put(page, "<line class=\"axis\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>\n", LEFT, TOP,
               LEFT, BOTTOM);
    report_put(page, "<text class=\"tick mid\" x=\"%d\" y=\"%d\">not judged</text>\n",
               (GUTTER + LEFT) / 2, BOTTOM + 16);
    report_put(page,
               "<text class=\"tick mid\" x=\"%d\" y=\"%d\">loss of perplexity, upper bound "
               "(close to linear below the gate, logarithmic above)</text>\n",
               (LEFT + RIGHT) / 2, BOTTOM + 38);
}

/* The front from the cheapest in quality to the fastest. */
static void put_front(report_page *page, const plot *p)
{
    double from = -1e9, x = 0, y = 0;
    for (bool started = false;;) {
        const point *next = NULL;
        for (size_t i = 0; i < p->n; i++) {
            const point *q = &p->points[i];
            if (q->e->front && q->x > from && (!next || q->x < next->x))
                next = q;
        }
        if (!next)
            return;
        if (started)
            report_put(page, "<path class=\"front\" d=\"M%.1f %.1fH%.1fV%.1f\"/>\n", x, y, next->x,
                       next->y);
        started = true;
        from = x = next->x;
        y = next->y;
    }
}

void report_put_scatter(report_page *page, const hone_report *r)
{
    plot *p = hone_calloc(1, sizeof *p);
    if (!p) {
        page->failed = true;
        return;
    }
    p->r = r;
    place_points(p);
    if (!p->n) {
        hone_free(p);
        report_put(page, "<p class=\"quiet\">No candidate has been measured.</p>\n");
        return;
    }
    report_put(page,
               "<div class=\"wide\"><svg viewBox=\"0 0 %d %d\" role=\"img\" "
               "aria-label=\"gain against loss of each experiment\">\n",
               WIDTH, HEIGHT);
    put_y_axis(page, p);
    put_x_axis(page, p);
    put_front(page, p);
    for (size_t i = 0; i < p->n; i++)
        put_point(page, &p->points[i]);
    for (int pass = 0; pass < 2; pass++) /* what matters takes the good places */
        for (size_t i = 0; i < p->n; i++)
            if ((strcmp(p->points[i].style, "won") == 0) == (pass == 0))
                put_label(page, p, &p->points[i]);
    report_put(page, "</svg></div>\n");
    hone_free(p);
}
