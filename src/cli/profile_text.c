#include "cli/profile_text.h"

#include "cli/cli.h"
#include "cli/table.h"
#include "pipeline/advise.h"

static void seconds(cli_table *t, double s)
{
    char text[16];
    if (s > 0)
        cli_table_cell(t, "%s", cli_format_seconds(s, text, sizeof text));
    else
        cli_table_cell(t, "-");
}

static void percent(cli_table *t, double part, double of)
{
    if (of > 0)
        cli_table_cell(t, "%.1f %%", 100 * part / of);
    else
        cli_table_cell(t, "-");
}

static void rate(cli_table *t, double n, double s, double unit)
{
    if (n > 0 && s > 0)
        cli_table_cell(t, "%.1f", n / s / unit);
    else
        cli_table_cell(t, "-");
}

static void plain_row(cli_table *t, const char *name, const char *group, double s, double wall,
                      double per, double *sum)
{
    *sum += s;
    cli_table_cell(t, "%s", name);
    cli_table_cell(t, "%s", group);
    seconds(t, s / per);
    percent(t, s, wall);
    percent(t, *sum, wall);
    cli_table_end_row(t);
}

/* Parts with their waiting taken out, which has a row of its own: the rows make the whole. */
static hone_status print_phase(const hone_profile *p, hone_phase phase, FILE *f)
{
    const hone_profile_phase *x = &p->phases[phase];
    int order[HONE_SPAN_KINDS];
    size_t n = hone_profile_rank(x, order);
    double sum = 0, per = phase == HONE_PHASE_PROMPT ? (double)x->stretches : (double)x->tokens;
    char wall[16], cpu[16];
    if (!x->stretches)
        return HONE_OK;
    fprintf(f, "\n%s: %s: %s wall, %s CPU %s\n", hone_phase_name(phase), hone_phase_text(phase),
            cli_format_seconds(x->wall_s / per, wall, sizeof wall),
            cli_format_seconds(x->cpu_s / per, cpu, sizeof cpu),
            phase == HONE_PHASE_PROMPT ? "a request" : "a token");
    cli_table *t;
    HONE_TRY(cli_table_open("part,of,>time,>share,>sum,>threads,>GB/s,>Gop/s,>of its limit", &t));
    for (size_t i = 0; i < n; i++) {
        const hone_profile_part *part = &x->parts[order[i]];
        double at_work = part->seconds - part->waiting_s;
        sum += at_work;
        cli_table_cell(t, "%s", hone_span_name((hone_span_kind)order[i]));
        cli_table_cell(t, "%s", hone_profile_group_name(hone_profile_group_of(order[i])));
        seconds(t, at_work / per);
        percent(t, at_work, x->wall_s);
        percent(t, sum, x->wall_s);
        cli_table_cell(t, "%.2f", part->busy_s / part->seconds);
        rate(t, part->bytes, part->seconds, 1e9);
        rate(t, part->flops, part->seconds, 1e9);
        percent(t, part->limit_s, part->limit_s > 0 ? part->seconds : 0);
    }
    plain_row(t, "waiting", "for threads", x->waiting_s, x->wall_s, per, &sum);
    plain_row(t, "between", "in no part", x->between_s, x->wall_s, per, &sum);
    return cli_table_print(t, f);
}

static hone_status print_layers(const hone_profile *p, hone_phase phase, FILE *f)
{
    const hone_profile_phase *x = &p->phases[phase];
    double per = phase == HONE_PHASE_PROMPT ? (double)x->stretches : (double)x->tokens;
    cli_table *t;
    if (!x->stretches)
        return HONE_OK;
    fprintf(f, "\n%s, each layer\n", hone_phase_name(phase));
    HONE_TRY(cli_table_open(">layer,>mixer,>attention in it,>channel mixer,>norms,>all,>share,>of "
                            "its limit",
                            &t));
    for (uint32_t i = 0; i < p->layers; i++) {
        double group[HONE_PROFILE_GROUPS] = {0}, all = 0, limit = 0, limited = 0;
        for (int k = 0; k < HONE_SPAN_KINDS; k++) {
            const hone_profile_part *part = &x->layers[i][k];
            group[hone_profile_group_of(k)] += part->seconds;
            all += part->seconds;
            limit += part->limit_s;
            limited += part->limit_s > 0 ? part->seconds : 0;
        }
        cli_table_cell(t, "%u", i);
        seconds(t, group[HONE_PROFILE_MIXER] / per);
        seconds(t, x->layers[i][HONE_SPAN_ATTENTION].seconds / per);
        seconds(t, group[HONE_PROFILE_CHANNEL] / per);
        seconds(t, group[HONE_PROFILE_NORMS] / per);
        seconds(t, all / per);
        percent(t, all, x->wall_s);
        percent(t, limit, limited);
    }
    return cli_table_print(t, f);
}

static hone_status print_head(const hone_profile *p, FILE *f)
{
    const struct {
        const char *what;
        double s;
    } rows[] = {
        {"open the tokenizer, once", p->tokenizer_s},
        {"load and pack the weights, once", p->load_s},
        {"to the first token, of the first request", p->first_cold_s},
        {"to the first token, of the others", p->first_s},
        {"second token", p->second_s},
        {"each token after it, median", p->steady_s},
        {"of these 95 % are below", p->steady_p95_s},
    };
    cli_table *t;
    fprintf(f, "%u tokens of prompt, %u tokens after the first, %u request%s, %d thread%s\n",
            p->prompt_tokens, p->decode_tokens, p->requests, p->requests == 1 ? "" : "s",
            p->threads, p->threads == 1 ? "" : "s");
    HONE_TRY(cli_table_open(",>", &t));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cli_table_cell(t, "%s", rows[i].what);
        seconds(t, rows[i].s);
    }
    return cli_table_print(t, f);
}

hone_status cli_print_profile(const hone_profile *p, bool layers, FILE *f)
{
    HONE_TRY(print_head(p, f));
    for (int i = 0; i < HONE_PHASES; i++)
        HONE_TRY(print_phase(p, (hone_phase)i, f));
    for (int i = 0; layers && i < HONE_PHASES; i++)
        HONE_TRY(print_layers(p, (hone_phase)i, f));
    if (p->dropped)
        fprintf(f, "\n%zu records did not fit and are missing from the sums: fewer --tokens\n",
                p->dropped);
    return HONE_OK;
}
