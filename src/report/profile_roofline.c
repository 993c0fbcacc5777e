/* profile_roofline - Williams, Waterman & Patterson 2009: what each part reaches, by its operations
 * per byte, under the lines of what memory and arithmetic allow. */
#include "report/profile_plot.h"

#include <math.h>
#include <stdio.h>

enum { WIDTH = 1000, HEIGHT = 430, LEFT = 78, RIGHT = 985, TOP = 14, BOTTOM = 372, POINTS = 32 };

typedef struct point {
    double x, y; /* of the picture */
    double intensity, ops_s, share;
    hone_phase phase;
    int kind;
} point;

typedef struct plot {
    const hone_profile *f;
    double x_lo, x_hi, y_lo, y_hi; /* log10 */
    point points[POINTS];
    size_t n;
    report_box taken[3 * POINTS];
    size_t n_taken;
} plot;

static double x_of(const plot *p, double intensity)
{
    return LEFT + (RIGHT - LEFT) * (log10(intensity) - p->x_lo) / (p->x_hi - p->x_lo);
}

static double y_of(const plot *p, double ops_s)
{
    return BOTTOM - (BOTTOM - TOP) * (log10(ops_s) - p->y_lo) / (p->y_hi - p->y_lo);
}

static void gather(plot *p)
{
    for (int i = 0; i < HONE_PHASES; i++)
        for (int k = 0; k < HONE_SPAN_KINDS && p->n < POINTS; k++) {
            const hone_profile_part *part = &p->f->phases[i].parts[k];
            if (part->limit_s > 0 && part->seconds > 0 && part->flops > 0 && part->bytes > 0)
                p->points[p->n++] = (point){.intensity = part->flops / part->bytes,
                                            .ops_s = part->flops / part->seconds,
                                            .share = part->limit_s / part->seconds,
                                            .phase = (hone_phase)i,
                                            .kind = k};
        }
}

static void find_range(plot *p)
{
    double top = fmax(p->f->ops_s[0], p->f->ops_s[1]), ridge = top / p->f->read_bytes_s;
    double x0 = ridge, x1 = ridge, y0 = top, y1 = top;
    for (size_t i = 0; i < p->n; i++) {
        x0 = fmin(x0, p->points[i].intensity);
        x1 = fmax(x1, p->points[i].intensity);
        y0 = fmin(y0, p->points[i].ops_s);
        y1 = fmax(y1, p->points[i].ops_s);
    }
    p->x_lo = log10(x0) - 0.35;
    p->x_hi = log10(x1) + 0.55;
    p->y_lo = log10(y0) - 0.25;
    p->y_hi = log10(y1) + 0.2;
    for (size_t i = 0; i < p->n; i++) {
        point *q = &p->points[i];
        q->x = x_of(p, q->intensity);
        q->y = y_of(p, q->ops_s);
        p->taken[p->n_taken++] = (report_box){q->x - 6, q->y - 6, q->x + 6, q->y + 6};
    }
}

static void put_axes(report_page *page, const plot *p)
{
    for (int d = (int)ceil(p->x_lo); d <= (int)floor(p->x_hi); d++) {
        double x = x_of(p, pow(10, d));
        report_put(page,
                   "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>"
                   "<text class=\"tick mid\" x=\"%.1f\" y=\"%d\">%g</text>\n",
                   x, x, TOP, BOTTOM, x, BOTTOM + 18, pow(10, d));
    }
    for (int d = (int)ceil(p->y_lo); d <= (int)floor(p->y_hi); d++) {
        double y = y_of(p, pow(10, d));
        report_put(page,
                   "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
                   "<text class=\"tick end\" x=\"%d\" y=\"%.1f\">%g Gop/s</text>\n",
                   LEFT, RIGHT, y, y, LEFT - 6, y + 4, pow(10, d - 9));
    }
    report_put(page,
               "<text class=\"tick mid\" x=\"%d\" y=\"%d\">operations per byte that has to be "
               "read</text>\n",
               (LEFT + RIGHT) / 2, BOTTOM + 42);
}

static void put_roof(report_page *page, plot *p, hone_phase phase)
{
    double ops = p->f->ops_s[phase], read = p->f->read_bytes_s, ridge = ops / read;
    bool other = phase == HONE_PHASE_DECODE && p->f->ops_s[0] != ops;
    double x0 = pow(10, p->x_lo), y0 = read * x0;
    if (y0 < pow(10, p->y_lo)) {
        y0 = pow(10, p->y_lo);
        x0 = y0 / read;
    }
    report_put(page, "<path class=\"%s\" d=\"M%.1f %.1fL%.1f %.1fH%d\"/>\n",
               other ? "roof2" : "roof", x_of(p, x0), y_of(p, y0), x_of(p, ridge), y_of(p, ops),
               RIGHT);
    report_put(page, "<text class=\"tick end\" x=\"%d\" y=\"%.1f\">%s: %.0f Gop/s</text>\n",
               RIGHT - 4, y_of(p, ops) + (other ? 15 : -6),
               other                              ? "one token"
               : p->f->ops_s[0] == p->f->ops_s[1] ? "arithmetic"
                                                  : "prompt",
               ops / 1e9);
    p->taken[p->n_taken++] =
        (report_box){RIGHT - 170, y_of(p, ops) - 18, RIGHT, y_of(p, ops) + (other ? 18 : 2)};
    if (!other) {
        double x = sqrt(x0 * ridge);
        double tilt =
            -180 / M_PI *
            atan2(y_of(p, read * x) - y_of(p, read * x * 10), x_of(p, x * 10) - x_of(p, x));
        report_put(page,
                   "<text class=\"tick mid\" transform=\"translate(%.1f %.1f) rotate(%.1f)\" "
                   "dy=\"-7\">memory: %.1f GB/s</text>\n",
                   x_of(p, x), y_of(p, read * x), tilt, read / 1e9);
    }
}

static void put_label(report_page *page, plot *p, const point *q)
{
    static const report_box frame = {LEFT, TOP, RIGHT, BOTTOM};
    const char *name = hone_span_name((hone_span_kind)q->kind);
    double w = 6.6 * (double)report_code_points(name) + 40;
    for (int i = 0; i < 40; i++) {
        int turn = i / 2 % 10, line = (turn + 1) / 2, column = i / 20;
        double dy = line * (turn % 2 ? 14 : -14), far = 11 + 22.0 * column;
        double x0 = i % 2 ? q->x - far - w : q->x + far;
        report_box b = {x0, q->y - 7 + dy, x0 + w, q->y + 7 + dy};
        if (!report_box_is_free(&b, &frame, p->taken, p->n_taken))
            continue;
        p->taken[p->n_taken++] = b;
        if (dy != 0)
            report_put(page,
                       "<line class=\"lead\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>",
                       q->x, q->y, i % 2 ? b.x1 - 1 : b.x0 - 2, q->y + dy);
        report_put(page, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">%s %.0f %%</text>\n",
                   i % 2 ? "end" : "begin", i % 2 ? b.x1 - 3 : b.x0, q->y + dy + 4, name,
                   100 * q->share);
        return;
    }
}

static void put_point(report_page *page, const point *q)
{
    int group = (int)hone_profile_group_of(q->kind);
    if (q->phase == HONE_PHASE_DECODE)
        report_put(page, "<circle class=\"g%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"6\">", group, q->x,
                   q->y);
    else
        report_put(page,
                   "<rect class=\"g%d square\" x=\"%.1f\" y=\"%.1f\" width=\"11\" height=\"11\">",
                   group, q->x - 5.5, q->y - 5.5);
    report_put(page,
               "<title>%s, %s: %.1f Gop/s at %.2f operations per byte, %.0f %% of its limit"
               "</title></%s>\n",
               hone_phase_name(q->phase), hone_span_name((hone_span_kind)q->kind), q->ops_s / 1e9,
               q->intensity, 100 * q->share, q->phase == HONE_PHASE_DECODE ? "circle" : "rect");
}

void report_put_roofline(report_page *page, const hone_profile *f)
{
    plot p = {.f = f};
    gather(&p);
    if (!p.n || !(f->read_bytes_s > 0) || !(f->ops_s[0] > 0) || !(f->ops_s[1] > 0))
        return;
    find_range(&p);
    report_put(page,
               "<section>\n<h2>Roofline</h2>\n<div class=\"wide\"><svg viewBox=\"0 0 %d %d\" "
               "role=\"img\" aria-label=\"roofline\">\n",
               WIDTH, HEIGHT);
    put_axes(page, &p);
    for (int i = 0; i < HONE_PHASES; i++)
        if (i == 0 || f->ops_s[i] != f->ops_s[0])
            put_roof(page, &p, (hone_phase)i);
    for (size_t i = 0; i < p.n; i++)
        put_point(page, &p.points[i]);
    for (size_t i = 0; i < p.n; i++)
        put_label(page, &p, &p.points[i]);
    report_put(page, "</svg></div>\n<p class=\"quiet\">Squares are of the prompt, circles of a "
                     "token; the figure is the share of the limit above the point. A point above "
                     "the sloping line had its data in the caches.</p>\n</section>\n");
}
