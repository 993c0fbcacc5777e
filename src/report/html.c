/* html - the report as one file. Whatever comes from outside goes through write_escaped. */
#include "report/render.h"

#include <math.h>
#include <string.h>

static void write_escaped(FILE *f, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '<':
            fputs("&lt;", f);
            break;
        case '>':
            fputs("&gt;", f);
            break;
        case '&':
            fputs("&amp;", f);
            break;
        case '"':
            fputs("&quot;", f);
            break;
        case '\'':
            fputs("&#39;", f);
            break;
        default:
            fputc((unsigned char)*text < 0x20 ? ' ' : *text, f);
        }
    }
}

static void write_cell(FILE *f, const char *class, const char *text)
{
    fprintf(f, "<td class=\"%s\">", class);
    write_escaped(f, text);
    fputs("</td>", f);
}

static const char style[] =
    "body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;"
    "color:#1c2430;background:#fff}h1{font-size:1.5rem;margin-bottom:.2rem}"
    "h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;width:100%;font-size:."
    "87rem}"
    "td,th{padding:.3rem .6rem;border-bottom:1px solid #e3e7ec;text-align:left;vertical-align:top}"
    "th{color:#5a6675;font-weight:600}.n{text-align:right;font-variant-numeric:tabular-nums;"
    "white-space:nowrap}.chosen{color:#0a6b3d;font-weight:600}.accepted{color:#0a6b3d}"
    ".rejected{color:#98312b}.big{font-size:1.15rem;background:#eef6f1;border-left:4px solid "
    "#0a6b3d;padding:.7rem 1rem}.dim{color:#5a6675}svg{width:100%;height:auto}"
    "svg text{font:12px system-ui,sans-serif;fill:#3a4655}.wide{overflow-x:auto}";

/* ---- time anatomy -------------------------------------------------------------------------------
 */

static void write_part(FILE *f, const json_t *part, double total, double largest, int y)
{
    double seconds = report_number(part, "seconds", NULL);
    double limit = report_number(part, "limit_share", NULL);
    double width = largest > 0 ? 420 * seconds / largest : 0;
    fprintf(f, "<text x=\"128\" y=\"%d\" text-anchor=\"end\">", y + 13);
    write_escaped(f, report_text(part, "name", NULL));
    fprintf(f,
            "</text><rect x=\"138\" y=\"%d\" width=\"%.1f\" height=\"17\" rx=\"2\" "
            "fill=\"#c9d5e3\"/><rect x=\"138\" y=\"%d\" width=\"%.1f\" height=\"17\" rx=\"2\" "
            "fill=\"#3b6ea5\"/><text x=\"%.1f\" y=\"%d\">%.1f %%",
            y, width, y, width * fmin(1, limit), 146 + width, y + 13,
            total > 0 ? 100 * seconds / total : 0);
    if (limit > 1)
        fputs(", above its limit", f); /* from the caches, or the limit was measured low */
    else if (limit > 0)
        fprintf(f, ", at %.0f %% of its limit", 100 * limit);
    fputs("</text>", f);
}

static void write_anatomy(FILE *f, const json_t *document)
{
    const json_t *profile = json_object_get(document, "profile"), *part;
    const json_t *parts = json_object_get(profile, "parts");
    double total = report_number(profile, "seconds", NULL), largest = 0;
    size_t i;
    int rows = 0;
    json_array_foreach(parts, i, part)
    {
        if (json_is_true(json_object_get(part, "once")))
            continue;
        largest = fmax(largest, report_number(part, "seconds", NULL));
        rows++;
    }
    if (!rows)
        return;
    char cost[32];
    report_cost(report_text(document, "run", "goal", NULL), report_number(profile, "cost", NULL),
                cost, sizeof cost);
    fprintf(f, "<h2>Where the time goes</h2><p>Baseline: %s. Bottleneck: <b>", cost);
    write_escaped(f, report_text(profile, "bottleneck", NULL));
    fputs("</b>, ", f);
    write_escaped(f, report_text(profile, "bottleneck_text", NULL));
    fprintf(f,
            ". Dark: what the part would take at the measured limit of this machine.</p>"
            "<svg viewBox=\"0 0 760 %d\" role=\"img\" aria-label=\"time by part\">",
            rows * 23 + 6);
    int y = 3;
    json_array_foreach(parts, i, part)
    {
        if (json_is_true(json_object_get(part, "once")))
            continue;
        write_part(f, part, total, largest, y);
        y += 23;
    }
    fputs("</svg><p class=\"dim\">Once: ", f);
    json_array_foreach(parts, i, part)
    {
        if (!json_is_true(json_object_get(part, "once")))
            continue;
        write_escaped(f, report_text(part, "name", NULL));
        fprintf(f, " %.1f ms. ", 1e3 * report_number(part, "seconds", NULL));
    }
    fputs("</p>", f);
}

/* ---- loss against gain
 * ---------------------------------------------------------------------------- */

enum { LEFT = 60, RIGHT = 700, TOP = 20, BOTTOM = 300 };

/* Logarithmic: losses differ by orders of magnitude. Below 0.0001 % all is the left edge. */
static double plot_x(double loss)
{
    double decade = log10(fmin(fmax(loss, 1e-6), 1)); /* -6..0 */
    return LEFT + (RIGHT - LEFT) * (decade + 6) / 6;
}

static double plot_y(double gain, double top)
{
    return BOTTOM - (BOTTOM - TOP) * fmin(fmax(gain, 0), top) / top;
}

static bool is_point(const json_t *e)
{
    return json_object_get(e, "pareto") !=
           NULL; /* the document marks points, on the front or not */
}

static void write_axes(FILE *f, double top, double max_loss)
{
    static const char *const names[] = {"0.0001 %", "0.001 %", "0.01 %", "0.1 %",
                                        "1 %",      "10 %",    "100 %"};
    fprintf(f, "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"#eef6f1\"/>", LEFT, TOP,
            plot_x(max_loss) - LEFT, BOTTOM - TOP);
    for (int i = 0; i < 7; i++) {
        double x = plot_x(pow(10, i - 6));
        fprintf(f,
                "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" stroke=\"#e3e7ec\"/>"
                "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>",
                x, x, TOP, BOTTOM, x, BOTTOM + 18, names[i]);
    }
    double step = top > 8 ? 2 : top > 3 ? 1 : 0.5;
    for (double g = 0; g <= top + 1e-9; g += step)
        fprintf(f,
                "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>"
                "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.1fx</text>",
                LEFT, RIGHT, plot_y(g, top), plot_y(g, top), g == 1 ? "#8995a3" : "#e3e7ec",
                LEFT - 6, plot_y(g, top) + 4, g);
    fprintf(
        f,
        "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">loss of perplexity, upper bound (green: "
        "allowed)</text>",
        (LEFT + RIGHT) / 2, BOTTOM + 40);
}

static void write_point(FILE *f, const json_t *e, double top)
{
    const json_t *m = json_object_get(e, "metrics"), *gain = json_object_get(m, "gain");
    double g = gain ? report_number(gain, "point", NULL) : 1;
    double lo = gain ? report_number(gain, "lo", NULL) : 1;
    double hi = gain ? report_number(gain, "hi", NULL) : 1;
    double x = plot_x(report_number(m, "quality", "loss_upper", NULL));
    bool front = json_is_true(json_object_get(e, "pareto"));
    const char *color = strcmp(report_text(e, "verdict", NULL), "rejected") == 0 ? "#b5473f"
                        : strcmp(report_text(e, "verdict", NULL), "chosen") == 0 ? "#0a6b3d"
                                                                                 : "#3b6ea5";
    fprintf(
        f,
        "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>"
        "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" fill=\"%s\" stroke=\"%s\" stroke-width=\"1.5\">"
        "<title>",
        x, x, plot_y(lo, top), plot_y(hi, top), color, x, plot_y(g, top), front ? color : "#fff",
        color);
    write_escaped(f, report_text(e, "label", NULL));
    fprintf(f, "</title></circle><text x=\"%.1f\" y=\"%.1f\"%s>", x > RIGHT - 120 ? x - 8 : x + 8,
            plot_y(g, top) - 7, x > RIGHT - 120 ? " text-anchor=\"end\"" : "");
    if (front)
        write_escaped(f, report_text(e, "label", NULL));
    fputs("</text>", f);
}

static void write_scatter(FILE *f, const json_t *document)
{
    const json_t *list = json_object_get(document, "experiments"), *e;
    double top = 1.5;
    size_t i;
    json_array_foreach(list, i, e)
    {
        if (is_point(e))
            top = fmax(top, 1.1 * report_number(e, "metrics", "gain", "hi", NULL));
    }
    fprintf(f,
            "<h2>Gain against loss</h2><p>Each point is a configuration that is measurably better; "
            "filled ones are on the Pareto front: nothing else is both better and closer to the "
            "original.</p><svg viewBox=\"0 0 760 %d\" role=\"img\" aria-label=\"gain over the "
            "baseline against loss of perplexity\">",
            BOTTOM + 50);
    write_axes(f, top, report_number(document, "run", "max_loss", NULL));
    json_array_foreach(list, i, e)
    {
        if (is_point(e))
            write_point(f, e, top);
    }
    fputs("</svg>", f);
}

/* ---- tables
 * --------------------------------------------------------------------------------------- */

static void write_row(FILE *f, const json_t *e)
{
    const json_t *m = json_object_get(e, "metrics"), *gain = json_object_get(m, "gain");
    const char *verdict = report_text(e, "verdict", NULL);
    char cell[64] = "";
    fputs("<tr><td>", f);
    write_escaped(f, report_text(e, "label", NULL));
    fprintf(f, "%s</td>", report_stage(e));
    if (report_number(e, "predicted", "gain", NULL) > 0)
        snprintf(cell, sizeof cell, "%.2fx", report_number(e, "predicted", "gain", NULL));
    write_cell(f, "n", cell);
    cell[0] = 0;
    if (gain)
        snprintf(cell, sizeof cell, "%.3fx [%.3f, %.3f]", report_number(gain, "point", NULL),
                 report_number(gain, "lo", NULL), report_number(gain, "hi", NULL));
    write_cell(f, "n", cell);
    const json_t *q = json_object_get(m, "quality");
    char loss[64] = "", kl[64] = "", top1[64] = "";
    if (json_is_object(q)) {
        report_percent(report_number(q, "loss_upper", NULL), loss, sizeof loss);
        snprintf(kl, sizeof kl, "%.5f / %.5f", report_number(q, "kl_mean", NULL),
                 report_number(q, "kl_p99", NULL));
        snprintf(top1, sizeof top1, "%.2f %%", 100 * report_number(q, "top1_agreement", NULL));
    }
    write_cell(f, "n", loss);
    write_cell(f, "n", kl);
    write_cell(f, "n", top1);
    bool known = strcmp(verdict, "chosen") == 0 || strcmp(verdict, "accepted") == 0 ||
                 strcmp(verdict, "rejected") == 0;
    write_cell(f, known ? verdict : "", verdict);
    write_cell(f, "dim", report_text(e, "why", NULL));
    fputs("</tr>\n", f);
}

static void write_table(FILE *f, const json_t *document)
{
    const json_t *e;
    size_t i;
    fputs(
        "<h2>Experiments</h2><p>Gain: how many times better than the baseline, measured in turns, "
        "with its confidence interval (of a combination \"a + b\": first on top of a, then against "
        "the baseline with fresh samples). Loss: relative increase of perplexity against the "
        "file's own weights in float32, upper bound at 95 %.</p><div class=\"wide\"><table><tr>"
        "<th>candidate</th><th>predicted</th><th>gain</th><th>loss &le;</th><th>KL mean / p99</th>"
        "<th>same top token</th><th>verdict</th><th>why</th></tr>\n",
        f);
    json_array_foreach(json_object_get(document, "experiments"), i, e) write_row(f, e);
    fputs("</table></div>", f);
}

static void write_object(FILE *f, const char *title, const json_t *o)
{
    const char *key;
    json_t *value;
    fprintf(f, "<h2>%s</h2><table>", title);
    json_object_foreach((json_t *)(uintptr_t)o, key, value)
    {
        char number[64] = "";
        if (json_is_number(value))
            snprintf(number, sizeof number, "%.15g", json_number_value(value));
        if (json_is_object(value) || json_is_array(value))
            continue;
        fputs("<tr>", f);
        write_cell(f, "dim", key);
        write_cell(f, "", json_is_string(value) ? json_string_value(value) : number);
        fputs("</tr>", f);
    }
    fputs("</table>", f);
}

static void write_head(FILE *f, const json_t *document)
{
    char allowed[32];
    report_percent(report_number(document, "run", "max_loss", NULL), allowed, sizeof allowed);
    fputs("<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" "
          "content=\"width=device-width\"><title>hone: ",
          f);
    write_escaped(f, report_text(document, "model", "name", NULL));
    fprintf(f, "</title><style>%s</style>\n<h1>", style);
    write_escaped(f, report_text(document, "model", "name", NULL));
    fputs("</h1><p class=\"dim\">Goal ", f);
    write_escaped(f, report_text(document, "run", "goal", NULL));
    fprintf(f, ", loss allowed %s. ", allowed);
    write_escaped(f, report_text(document, "environment", "cpu", NULL));
    fputs(". ", f);
    write_escaped(f, report_text(document, "run", "started", NULL));
    fputs("</p><p class=\"big\">", f);
    const json_t *result = json_object_get(document, "result");
    if (!json_is_object(result)) {
        fputs("Not finished: the same <code>hone optimize</code> goes on from here.", f);
    } else if (json_is_true(json_object_get(result, "won"))) {
        fputs("Chosen: <b>", f);
        write_escaped(f, report_text(result, "label", NULL));
        fputs("</b>", f);
    } else {
        fputs("The baseline stays: nothing was both measurably better and good enough.", f);
    }
    fputs("</p>\n", f);
}

static void write_html(FILE *f, const json_t *document)
{
    write_head(f, document);
    write_anatomy(f, document);
    write_scatter(f, document);
    write_table(f, document);
    write_object(f, "Model", json_object_get(document, "model"));
    write_object(f, "Run", json_object_get(document, "run"));
    write_object(f, "Workload and protocol",
                 json_object_get(json_object_get(document, "run"), "settings"));
    write_object(f, "Environment", json_object_get(document, "environment"));
    fputs("</html>\n", f);
}

hone_status hone_report_html(const json_t *document, char **html)
{
    return report_print(write_html, document, html);
}
