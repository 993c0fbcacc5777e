/* text - the report for a terminal. */
#include "report/render.h"

static void write_profile(FILE *f, const json_t *document)
{
    const json_t *profile = json_object_get(document, "profile"), *part;
    const char *goal = report_text(document, "run", "goal", NULL);
    if (!json_is_object(profile))
        return;
    char cost[32];
    size_t i;
    double total = report_number(profile, "seconds", NULL);
    report_cost(goal, report_number(profile, "cost", NULL), cost, sizeof cost);
    fprintf(f, "Where the time goes (baseline, %s: %s)\n", goal, cost);
    fprintf(f, "  %-12s %9s %7s %9s  %s\n", "part", "time", "share", "of limit", "what");
    json_array_foreach(json_object_get(profile, "parts"), i, part)
    {
        double seconds = report_number(part, "seconds", NULL);
        double limit = report_number(part, "limit_share", NULL);
        bool once = json_is_true(json_object_get(part, "once"));
        char share[16] = "once", of_limit[16] = "";
        if (!once && total > 0)
            snprintf(share, sizeof share, "%.1f %%", 100 * seconds / total);
        if (limit > 1)
            snprintf(of_limit, sizeof of_limit, "> 100 %%");
        else if (limit > 0)
            snprintf(of_limit, sizeof of_limit, "%.0f %%", 100 * limit);
        fprintf(f, "  %-12s %6.2f ms %7s %9s  %s\n", report_text(part, "name", NULL), 1e3 * seconds,
                share, of_limit, report_text(part, "text", NULL));
    }
    fprintf(f, "  bottleneck: %s (%s)\n\n", report_text(profile, "bottleneck", NULL),
            report_text(profile, "bottleneck_text", NULL));
}

static void write_experiment(FILE *f, const json_t *e)
{
    const json_t *m = json_object_get(e, "metrics"), *gain = json_object_get(m, "gain");
    char interval[48] = "", predicted[16] = "", loss[32] = "", kl[32] = "", same[16] = "";
    if (gain)
        snprintf(interval, sizeof interval, "%.3fx [%.3f, %.3f]",
                 report_number(gain, "point", NULL), report_number(gain, "lo", NULL),
                 report_number(gain, "hi", NULL));
    if (report_number(e, "predicted", "gain", NULL) > 0)
        snprintf(predicted, sizeof predicted, "%.2fx", report_number(e, "predicted", "gain", NULL));
    if (json_is_object(json_object_get(m, "quality"))) {
        report_percent(report_number(m, "quality", "loss_upper", NULL), loss, sizeof loss);
        snprintf(kl, sizeof kl, "%.5f", report_number(m, "quality", "kl_mean", NULL));
        snprintf(same, sizeof same, "%.2f %%",
                 100 * report_number(m, "quality", "top1_agreement", NULL));
    }
    const char *verdict = report_text(e, "verdict", NULL);
    fprintf(f, "  %c %-26s %9s %-22s %10s %9s %9s  %s%s\n",
            json_is_true(json_object_get(e, "pareto")) ? '*' : ' ', report_text(e, "label", NULL),
            predicted, interval, loss, kl, same, *verdict ? verdict : report_text(e, "state", NULL),
            report_stage(e));
}

static void write_experiments(FILE *f, const json_t *document)
{
    const json_t *list = json_object_get(document, "experiments"), *e;
    size_t i;
    fprintf(f, "Experiments (gain over the baseline with its interval; loss of perplexity, upper "
               "bound; * = Pareto front)\n");
    fprintf(f, "  %c %-26s %9s %-22s %10s %9s %9s  %s\n", ' ', "candidate", "predicted", "gain",
            "loss <=", "KL mean", "same top", "verdict");
    json_array_foreach(list, i, e) write_experiment(f, e);
    fprintf(f, "\nWhy\n");
    json_array_foreach(list, i, e)
    {
        const char *why = report_text(e, "why", NULL);
        if (*why)
            fprintf(f, "  %-26s %-9s %s%s\n", report_text(e, "label", NULL),
                    report_text(e, "verdict", NULL), why, report_stage(e));
    }
}

static void write_text(FILE *f, const json_t *document)
{
    char allowed[32];
    report_percent(report_number(document, "run", "max_loss", NULL), allowed, sizeof allowed);
    fprintf(f, "Run %.0f of %s: goal %s, loss allowed %s, %s\n",
            report_number(document, "run", "id", NULL),
            report_text(document, "model", "path", NULL),
            report_text(document, "run", "goal", NULL), allowed,
            report_text(document, "run", "started", NULL));
    fprintf(f, "On %s, %.0f CPUs, best instruction set %s\n\n",
            report_text(document, "environment", "cpu", NULL),
            report_number(document, "environment", "cpus_allowed", NULL),
            report_text(document, "environment", "isa_best", NULL));
    write_profile(f, document);
    write_experiments(f, document);
    const json_t *result = json_object_get(document, "result");
    if (!json_is_object(result))
        fprintf(f, "\nNot finished: the same `hone optimize` goes on from here.\n");
    else if (json_is_true(json_object_get(result, "won")))
        fprintf(f, "\nChosen: %s\n", report_text(result, "label", NULL));
    else
        fprintf(f, "\nChosen: the baseline. Nothing was both measurably better and good enough.\n");
}

hone_status hone_report_text(const json_t *document, char **text)
{
    return report_print(write_text, document, text);
}
