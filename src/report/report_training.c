#include "report/report_training.h"

#include "report/report_page.h"
#include "stat/stat.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 900, LEFT = 64, RIGHT = 884, TOP = 14, TICKS = 5, BINS = 400 };

/* ---- from the registry ------------------------------------------------------------------------
 */

static hone_status see_training(void *arg, const hone_training_record *t)
{
    hone_report_training *r = arg;
    hone_training_record *to = &r->record;
    *to = *t;
    to->folder = report_clean(&r->arena, t->folder);
    to->settings = report_clean(&r->arena, t->settings);
    to->arch = report_clean(&r->arena, t->arch);
    to->state = report_clean(&r->arena, t->state);
    to->started = report_clean(&r->arena, t->started);
    to->updated = report_clean(&r->arena, t->updated);
    bool all = to->folder && to->settings && to->arch && to->state && to->started && to->updated;
    return all ? HONE_OK : hone_fail_memory(1, "a report");
}

static hone_status see_point(void *arg, const hone_training_point *p)
{
    hone_report_training *r = arg;
    if (r->n == r->capacity) {
        size_t more = 2 * r->capacity + 256;
        hone_training_point *points = hone_realloc(r->points, more * sizeof *points);
        if (!points)
            return hone_fail_memory(more * sizeof *points, "a report's points");
        r->points = points;
        r->capacity = more;
    }
    r->points[r->n++] = *p;
    return HONE_OK;
}

hone_status hone_report_training_load(hone_registry *r, const char *folder, int64_t id,
                                      hone_report_training *out)
{
    *out = (hone_report_training){0};
    hone_status s = hone_registry_each_training(r, folder, id, see_training, out);
    if (s == HONE_OK && !out->record.id)
        s = hone_fail(HONE_NOT_FOUND, "%s has no such run of hone train", hone_registry_path(r));
    if (s == HONE_OK)
        s = hone_registry_each_training_point(r, out->record.id, see_point, out);
    if (s != HONE_OK)
        hone_report_training_free(out);
    return s;
}

void hone_report_training_free(hone_report_training *r)
{
    hone_free(r->points);
    hone_arena_free(&r->arena);
    *r = (hone_report_training){0};
}

/* ---- in numbers ------------------------------------------------------------------------------ */

void hone_report_training_sum_up(const hone_report_training *r, hone_report_training_sum *out)
{
    double sum = 0, count = 0;
    *out = (hone_report_training_sum){
        .loss = (double)NAN, .validation = (double)NAN, .best = (double)NAN};
    for (size_t i = 0; i < r->n; i++) {
        const hone_training_point *p = &r->points[i];
        out->step = p->step;
        out->tokens = p->tokens;
        out->skipped += !isfinite(p->loss) || !isfinite(p->norm);
        if (isfinite(p->loss) && i + 1 > r->n - (r->n + 19) / 20) {
            sum += p->loss;
            count++;
        }
        if (!isfinite(p->validation))
            continue;
        out->validation = p->validation;
        if (!(p->validation >= out->best)) {
            out->best = p->validation;
            out->best_step = p->step;
        }
    }
    if (count > 0)
        out->loss = sum / count;
}

/* ---- plots ----------------------------------------------------------------------------------- */

typedef struct plot {
    report_page *page;
    const hone_report_training *r;
    int height;
    double x_hi, y_lo, y_hi; /* tokens; the values shown */
} plot;

static double member(const hone_training_point *p, size_t offset)
{
    double v;
    memcpy(&v, (const char *)p + offset, sizeof v);
    return v;
}

/* The range of a member: from its least to what only a fiftieth of the points exceeds. */
static hone_status find_range(plot *f, size_t offset)
{
    size_t n = 0;
    f->x_hi = f->r->n ? (double)f->r->points[f->r->n - 1].tokens : 0;
    double *x = hone_malloc((f->r->n + 1) * sizeof *x);
    if (!x)
        return hone_fail_memory(f->r->n * sizeof *x, "a plot");
    for (size_t i = 0; i < f->r->n; i++)
        if (isfinite(member(&f->r->points[i], offset)))
            x[n++] = member(&f->r->points[i], offset);
    f->y_lo = 0;
    f->y_hi = 1;
    hone_status s = n ? hone_stat_quantile(x, n, 0, &f->y_lo) : HONE_OK;
    if (s == HONE_OK && n)
        s = hone_stat_quantile(x, n, 0.98, &f->y_hi);
    hone_free(x);
    double room = f->y_hi > f->y_lo ? 0.05 * (f->y_hi - f->y_lo) : fabs(f->y_lo) * 0.1 + 1e-9;
    f->y_lo = f->y_lo >= 0 && f->y_lo < room ? 0 : f->y_lo - room;
    f->y_hi += room;
    return s;
}

static double x_of(const plot *f, double tokens)
{
    return LEFT + (f->x_hi > 0 ? tokens / f->x_hi : 0) * (RIGHT - LEFT);
}

static double y_of(const plot *f, double v)
{
    double t = (v - f->y_lo) / (f->y_hi - f->y_lo);
    return f->height - 30 - fmin(fmax(t, 0), 1) * (f->height - 30 - TOP);
}

/* 1, 2 or 5 times a power of ten, so that the range has about TICKS of them */
static double tick_step(double range)
{
    double base = pow(10, floor(log10(range / TICKS)));
    double times = range / TICKS / base;
    return base * (times < 1.5 ? 1 : times < 3.5 ? 2 : times < 7.5 ? 5 : 10);
}

static void put_axes(const plot *f)
{
    double step = tick_step(f->y_hi - f->y_lo), first = ceil(f->y_lo / step);
    for (int i = 0; (first + i) * step <= f->y_hi && i < 2 * TICKS; i++) {
        double v = (first + i) * step;
        report_put(f->page,
                   "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/><text "
                   "class=\"tick end\" x=\"%d\" y=\"%.1f\">%.4g</text>\n",
                   LEFT, RIGHT, y_of(f, v), y_of(f, v), LEFT - 6, y_of(f, v) + 4, v + 0.0);
    }
    if (!(f->x_hi > 0))
        return;
    step = tick_step(f->x_hi);
    for (int i = 1; i * step <= f->x_hi && i < 2 * TICKS; i++)
        report_put(f->page, "<text class=\"tick mid\" x=\"%.1f\" y=\"%d\">%.4gM</text>\n",
                   x_of(f, i * step), f->height - 12, i * step / 1e6);
}

/* Means of the points that share a place; every point where there are few. */
static void put_line(const plot *f, size_t offset, const char *class, bool dots)
{
    size_t n = f->r->n, per = dots ? 1 : (n + BINS - 1) / BINS;
    bool open = false;
    report_put(f->page, "<path class=\"%s\" d=\"", class);
    for (size_t i = 0; i < n; i += per) {
        double sum = 0, tokens = 0, count = 0;
        for (size_t j = i; j < i + per && j < n; j++) {
            double v = member(&f->r->points[j], offset);
            if (!isfinite(v))
                continue;
            sum += v;
            tokens += (double)f->r->points[j].tokens;
            count++;
        }
        if (count > 0) {
            report_put(f->page, "%c%.1f %.1f", open ? 'L' : 'M', x_of(f, tokens / count),
                       y_of(f, sum / count));
            open = true;
        }
    }
    report_put(f->page, "\"/>\n");
}

static hone_status put_plot(report_page *page, const hone_report_training *r, const char *title,
                            size_t offset, bool validation, int height)
{
    plot f = {.page = page, .r = r, .height = height};
    HONE_TRY(find_range(&f, offset));
    report_put(page,
               "<h2>%s</h2>\n<div class=\"wide\"><svg viewBox=\"0 0 %d %d\" role=\"img\" "
               "aria-label=\"%s against tokens\">\n",
               title, WIDTH, height, title);
    put_axes(&f);
    put_line(&f, offset, "curve", false);
    if (validation)
        put_line(&f, offsetof(hone_training_point, validation), "curve held", true);
    report_put(page, "</svg></div>\n");
    return HONE_OK;
}

/* ---- the page -------------------------------------------------------------------------------- */

static void put_fact(report_page *p, const char *name, const char *fmt, ...) HONE_PRINTF(3, 4);
static void put_fact(report_page *p, const char *name, const char *fmt, ...)
{
    char text[2048];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    report_put(p, "<tr><td>%s</td><td>", name);
    report_put_text(p, text);
    report_put(p, "</td></tr>\n");
}

static void put_head(report_page *p, const hone_report_training *r)
{
    hone_report_training_sum sum;
    hone_report_training_sum_up(r, &sum);
    report_put(
        p, "<header class=\"head %s\">\n<p class=\"quiet\">hone train, run %" PRId64 "</p>\n<h1>",
        strcmp(r->record.state, "done") == 0 ? "good" : "open", r->record.id);
    report_put_text(p, r->record.folder);
    report_put(p, "</h1>\n<div class=\"wide\"><table class=\"facts\">\n");
    put_fact(p, "state", "%s, step %" PRIu64 " of %" PRIu64 ", %.4g M tokens", r->record.state,
             sum.step, r->record.steps, (double)sum.tokens / 1e6);
    put_fact(p, "model", "%s, %" PRIu64 " parameters", r->record.arch, r->record.parameters);
    if (isfinite(sum.loss))
        put_fact(p, "loss", "%.4f (mean of the last twentieth)", sum.loss);
    if (isfinite(sum.validation))
        put_fact(p, "validation", "%.4f (perplexity %.2f); best %.4f at step %" PRIu64,
                 sum.validation, exp(sum.validation), sum.best, sum.best_step);
    if (sum.skipped)
        put_fact(p, "skipped", "%" PRIu64 " steps that were not finite", sum.skipped);
    put_fact(p, "settings", "%s", r->record.settings);
    put_fact(p, "started", "%s", r->record.started);
    put_fact(p, "last change", "%s", r->record.updated);
    report_put(p, "</table></div>\n</header>\n");
}

static hone_status put_page(report_page *p, const hone_report_training *r)
{
    report_put(p, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
                  "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/>\n"
                  "<title>hone train: ");
    report_put_short(p, r->record.folder, 80);
    report_put(p, "</title>\n");
    report_put_style(p);
    report_put(p, "<style>svg .curve{fill:none;stroke:var(--bar);stroke-width:1.4}"
                  "svg .held{stroke:var(--bad);stroke-width:2}</style>\n"
                  "</head>\n<body>\n<main>\n");
    put_head(p, r);
    report_put(p, "<section>\n");
    if (!r->n)
        report_put(p, "<p class=\"quiet\">No step was made yet.</p>\n");
    const struct {
        const char *title;
        size_t offset;
        bool validation;
        int height;
    } plots[] = {{"Loss", offsetof(hone_training_point, loss), true, 360},
                 {"Learning rate", offsetof(hone_training_point, rate), false, 170},
                 {"Norm of the gradient", offsetof(hone_training_point, norm), false, 170},
                 {"Tokens per second", offsetof(hone_training_point, tokens_s), false, 170}};
    for (size_t i = 0; i < sizeof plots / sizeof *plots && r->n; i++)
        HONE_TRY(
            put_plot(p, r, plots[i].title, plots[i].offset, plots[i].validation, plots[i].height));
    report_put(p, "<p class=\"quiet\">Against tokens seen. Thin: the step's own batch, in means; "
                  "bold: text that is never trained on. What exceeds a plot, as the first steps "
                  "do, is at its edge.</p>\n</section>\n</main>\n</body>\n</html>\n");
    return HONE_OK;
}

hone_status hone_report_training_html(const hone_report_training *r, char **html, size_t *bytes)
{
    report_page p = {0};
    *html = NULL;
    *bytes = 0;
    hone_status s = put_page(&p, r);
    if (s == HONE_OK && p.failed)
        s = hone_fail_memory(p.bytes, "a report's page");
    if (s != HONE_OK) {
        hone_free(p.data);
        return s;
    }
    *html = p.data;
    *bytes = p.bytes;
    return HONE_OK;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *number(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

json_t *hone_report_training_json(const hone_report_training *r)
{
    const hone_training_record *t = &r->record;
    json_t *points = json_array();
    for (size_t i = 0; i < r->n; i++) {
        const hone_training_point *p = &r->points[i];
        json_t *one = json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "step", (json_int_t)p->step,
                                "tokens", (json_int_t)p->tokens, "loss", number(p->loss), "rate",
                                number(p->rate), "norm", number(p->norm), "tokens_s",
                                number(p->tokens_s), "validation", number(p->validation));
        if (!one || json_array_append_new(points, one) != 0) {
            json_decref(points);
            return NULL;
        }
    }
    return json_pack("{s:I, s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:s, s:o}", "run", (json_int_t)t->id,
                     "folder", t->folder, "settings", t->settings, "arch", t->arch, "parameters",
                     (json_int_t)t->parameters, "steps", (json_int_t)t->steps, "state", t->state,
                     "started", t->started, "updated", t->updated, "points", points);
}
