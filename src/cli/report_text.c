#include "cli/report_text.h"

#include "cli/table.h"
#include "engine/config.h"

#include <math.h>
#include <string.h>

/* At most `most` code points of text in buf. */
static const char *cut(const char *text, size_t most, char *buf, size_t size)
{
    size_t bytes = 0, points = 0;
    for (; text[bytes]; bytes++) {
        points += ((unsigned char)text[bytes] & 0xC0) != 0x80;
        if (points > most)
            break;
    }
    snprintf(buf, size, "%.*s%s", (int)bytes, text, text[bytes] ? "..." : "");
    return buf;
}

static void add_sum(cli_table *t, double seconds)
{
    char a[32];
    cli_table_cell(t, "together");
    cli_table_cell(t, "%s", hone_report_seconds(seconds, a, sizeof a));
    cli_table_cell(t, "100 %%");
    cli_table_end_row(t);
}

static hone_status print_parts(const hone_report *r, FILE *f)
{
    cli_table *t;
    char a[32];
    double sum = 0;
    bool summed = false;
    if (!r->n_parts)
        return HONE_OK;
    for (size_t i = 0; i < r->n_parts; i++)
        sum += r->parts[i].once ? 0 : r->parts[i].seconds;
    HONE_TRY(cli_table_open("part,>time,>share,>of limit,", &t));
    for (size_t i = 0; i < r->n_parts; i++) {
        const hone_report_part *p = &r->parts[i];
        if (p->once && !summed)
            add_sum(t, sum);
        summed |= p->once;
        cli_table_cell(t, "%.40s", p->name);
        cli_table_cell(t, "%s", hone_report_seconds(p->seconds, a, sizeof a));
        if (p->once) {
            cli_table_cell(t, "once");
            cli_table_end_row(t);
            continue;
        }
        cli_table_cell(t, "%.1f %%", sum > 0 ? 100 * p->seconds / sum : 0);
        if (p->limit_share > 1) /* from the caches, or the limit was measured low */
            cli_table_cell(t, "> 100 %%");
        else if (p->limit_share > 0)
            cli_table_cell(t, "%.0f %%", 100 * p->limit_share);
        else
            cli_table_cell(t, "-");
        int bar = sum > 0 ? (int)lrint(30 * p->seconds / sum) : 0;
        cli_table_cell(t, "%.*s", bar, "##############################");
    }
    if (!summed)
        add_sum(t, sum);
    HONE_TRY(cli_table_print(t, f));
    if (r->profile_cost > 0)
        fprintf(f, "measured: %s", hone_report_cost(r, r->profile_cost, a, sizeof a));
    if (r->profile_cost > 0 && r->limit_cost > 0)
        fprintf(f, "%s%s", hone_report_limit_words(r),
                hone_report_cost(r, r->limit_cost, a, sizeof a));
    if (r->profile_cost > 0)
        fputc('\n', f);
    if (*r->bottleneck)
        fprintf(f, "bottleneck: %s%s%s%s\n", r->bottleneck, *r->bottleneck_text ? " (" : "",
                r->bottleneck_text, *r->bottleneck_text ? ")" : "");
    fputc('\n', f);
    return HONE_OK;
}

static void add_experiment(cli_table *t, const hone_report_experiment *e)
{
    char a[64], label[256];
    cli_table_cell(t, "%s", cut(e->label, 40, label, sizeof label));
    cli_table_cell(t, "%s", hone_report_role_text(e->role));
    cli_table_cell(t, "%s", hone_report_times(e->predicted, a, sizeof a));
    cli_table_cell(t, "%s", hone_report_interval(e, a, sizeof a));
    cli_table_cell(t, "%s", hone_report_percent(e->loss_upper, a, sizeof a));
    cli_table_cell(t, isnan(e->kl_mean) ? "-" : "%.2g", e->kl_mean);
    cli_table_cell(t, isnan(e->top1_agreement) ? "-" : "%.2f %%", 100 * e->top1_agreement);
    cli_table_cell(t, "%s", hone_report_bytes(e->weight_bytes, a, sizeof a));
    cli_table_cell(t, "%s%s", *e->verdict ? e->verdict : e->state, e->front ? " *" : "");
}

/* Why each was rejected or failed, and the like; what was accepted has its figures in the table. */
static hone_status print_reasons(const hone_report *r, FILE *f)
{
    cli_table *t;
    char label[256];
    size_t n = 0;
    HONE_TRY(cli_table_open("experiment,,verdict,why", &t));
    for (size_t i = 0; i < r->n_experiments; i++) {
        const hone_report_experiment *e = &r->experiments[i];
        const char *why = *e->error ? e->error : e->why;
        if (!*why || (int)i == r->choice || strcmp(e->verdict, "accepted") == 0)
            continue;
        cli_table_cell(t, "%s", cut(e->label, 40, label, sizeof label));
        cli_table_cell(t, "%s", hone_report_role_text(e->role));
        cli_table_cell(t, "%s", *e->verdict ? e->verdict : e->state);
        cli_table_cell(t, "%s", why);
        n++;
    }
    if (n) {
        fputc('\n', f);
        return cli_table_print(t, f);
    }
    cli_table_close(t);
    return HONE_OK;
}

static hone_status print_experiments(const hone_report *r, FILE *f)
{
    cli_table *t;
    bool any = false;
    HONE_TRY(cli_table_open("experiment,,>predicted,>measured,>loss at most,>KL,>same top-1,"
                            ">weights,verdict",
                            &t));
    for (size_t i = 0; i < r->n_experiments; i++) {
        if (r->experiments[i].role == HONE_REPORT_PROFILE)
            continue;
        add_experiment(t, &r->experiments[i]);
        any = true;
    }
    if (!any) {
        cli_table_close(t);
        return HONE_OK;
    }
    HONE_TRY(cli_table_print(t, f));
    fputs("* on the Pareto front: nothing measured is better in both speed and quality\n", f);
    HONE_TRY(print_reasons(r, f));
    fputc('\n', f);
    return HONE_OK;
}

hone_status cli_print_report(const hone_report *r, FILE *f)
{
    char text[2048];
    fprintf(f, "run %lld: %s, goal %s, seed %llu, started %s\n\n%s\n", (long long)r->run,
            *r->model_path ? r->model_path : r->model_name, r->goal, (unsigned long long)r->seed,
            r->started, hone_report_headline(r, text, sizeof text));
    if (r->done)
        fprintf(f, "Chosen: %s\n",
                r->won                                  ? r->label
                : strcmp(r->label, "baseline f32") == 0 ? "float32: in bf16 the file loses more "
                                                          "than is allowed, and nothing beats it"
                                                        : "the baseline");
    if (*hone_report_price(r, text, sizeof text))
        fprintf(f, "%s\n", text);
    if (r->choice >= 0 && *r->experiments[r->choice].why)
        fprintf(f, "Why: %s\n", r->experiments[r->choice].why);
    if (r->won || r->promoted)
        fprintf(f, "%s\n",
                r->in_force && !r->promoted ? "In force for this model, by another run's promotion."
                : r->in_force               ? "Promoted: in force for this model."
                : r->promoted ? "Was promoted; another configuration is in force by now."
                              : "Not promoted.");
    if (r->unreadable)
        fprintf(f, "%zu records could not be read.\n", r->unreadable);
    fputc('\n', f);
    HONE_TRY(print_parts(r, f));
    HONE_TRY(print_experiments(r, f));
    hone_config config;
    if (*r->config && hone_config_from_json(r->config, &config) == HONE_OK) {
        hone_config_describe(&config, text, sizeof text);
        fprintf(f, "configuration: %s\n", text);
    }
    fprintf(f, "%s: %s\n", r->done ? "again" : "go on", r->reproduce);
    if (r->promoted)
        fprintf(f, "take back: %s\n", r->rollback);
    return ferror(f) ? hone_fail(HONE_DISK, "cannot write the report") : HONE_OK;
}
