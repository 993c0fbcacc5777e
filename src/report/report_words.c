/* report_words - numbers and sentences of a report, the same on the terminal and on the page. */
#include "report/report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *unknown(char *buf, size_t size)
{
    snprintf(buf, size, "-");
    return buf;
}

const char *hone_report_times(double gain, char *buf, size_t size)
{
    if (!(gain > 0))
        return unknown(buf, size);
    snprintf(buf, size, gain >= 10 ? "%.1fx" : "%.2fx", gain);
    return buf;
}

const char *hone_report_interval(const hone_report_experiment *e, char *buf, size_t size)
{
    if (!(e->gain > 0))
        return unknown(buf, size);
    if (isnan(e->gain_lo) || isnan(e->gain_hi))
        return hone_report_times(e->gain, buf, size);
    bool narrow = fabs(e->gain_hi - e->gain_lo) < 0.1;
    snprintf(buf, size, narrow ? "%.3fx [%.3f, %.3f]" : "%.2fx [%.2f, %.2f]", e->gain, e->gain_lo,
             e->gain_hi);
    return buf;
}

const char *hone_report_percent(double fraction, char *buf, size_t size)
{
    if (isnan(fraction))
        return unknown(buf, size);
    double p = 100 * fraction, a = fabs(p);
    const char *fmt = a == 0      ? "%.0f %%"
                      : a >= 100  ? "%.0f %%"
                      : a >= 10   ? "%.1f %%"
                      : a >= 0.1  ? "%.2f %%"
                      : a >= 1e-2 ? "%.3f %%"
                      : a >= 1e-5 ? "%.6f %%"
                                  : "%.1e %%";
    snprintf(buf, size, fmt, p);
    return buf;
}

const char *hone_report_bytes(double bytes, char *buf, size_t size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t u = 0;
    if (!(bytes >= 0))
        return unknown(buf, size);
    for (; bytes >= 1024 && u + 1 < sizeof units / sizeof *units; u++)
        bytes /= 1024;
    snprintf(buf, size, u == 0 || bytes >= 100 ? "%.0f %s" : "%.1f %s", bytes, units[u]);
    return buf;
}

const char *hone_report_seconds(double seconds, char *buf, size_t size)
{
    static const char *const units[] = {"s", "ms", "us", "ns"};
    size_t u = 0;
    if (!(seconds >= 0))
        return unknown(buf, size);
    for (; seconds < 0.9995 && seconds > 0 && u + 1 < sizeof units / sizeof *units; u++)
        seconds *= 1000;
    snprintf(buf, size, seconds < 999.5 ? "%.3g %s" : "%.0f %s", seconds, units[u]);
    return buf;
}

static bool is_memory(const hone_report *r)
{
    return strcmp(r->goal, "memory") == 0;
}

const char *hone_report_cost(const hone_report *r, double cost, char *buf, size_t size)
{
    return is_memory(r) ? hone_report_bytes(cost, buf, size) : hone_report_seconds(cost, buf, size);
}

const char *hone_report_limit_words(const hone_report *r)
{
    if (r->limit_cost <= 0)
        return "";
    return r->limit_cost <= r->profile_cost ? ", the least that is possible: "
                                            : "; by the limits measured outside the caches: ";
}

const char *hone_report_role_text(hone_report_role role)
{
    static const char *const texts[] = {"baseline",    "profile",      "candidate",
                                        "combination", "confirmation", "experiment"};
    return texts[role];
}

static const char *unit_text(const hone_report *r)
{
    if (is_memory(r))
        return " in all";
    return strcmp(r->goal, "ttft") == 0 ? " to the first token" : " per token";
}

static size_t finished_count(const hone_report *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_experiments; i++)
        n += strcmp(r->experiments[i].state, "running") != 0;
    return n;
}

static size_t tried_count(const hone_report *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_experiments; i++)
        n += r->experiments[i].role == HONE_REPORT_SCREEN ||
             r->experiments[i].role == HONE_REPORT_COMBINE;
    return n;
}

static const char *label_of(const hone_report *r)
{
    return *r->label ? r->label : "the choice";
}

static void winner_text(const hone_report *r, char *buf, size_t size)
{
    char a[32], b[32], gain[64];
    if (r->choice < 0) {
        snprintf(buf, size, "%.200s won.", label_of(r));
        return;
    }
    const hone_report_experiment *e = &r->experiments[r->choice];
    snprintf(gain, sizeof gain, isnan(e->gain) ? "measured as better" : "%.2f times %s", e->gain,
             is_memory(r) ? "smaller" : "as fast");
    int n = snprintf(buf, size, "%.200s is %s", label_of(r), gain);
    if (n > 0 && (size_t)n < size && e->gain_lo > 0 && e->gain_hi > e->gain_lo)
        n += snprintf(buf + n, size - (size_t)n, " (%.3g %% interval %.3f to %.3f)",
                      isnan(e->level) ? 95.0 : 100 * e->level, e->gain_lo, e->gain_hi);
    if (n > 0 && (size_t)n < size && e->cost > 0)
        snprintf(buf + n, size - (size_t)n, ": %s%s instead of %s.",
                 hone_report_cost(r, e->cost, a, sizeof a), unit_text(r),
                 hone_report_cost(r, e->cost_against, b, sizeof b));
    else if (n > 0 && (size_t)n < size)
        snprintf(buf + n, size - (size_t)n, ".");
}

const char *hone_report_headline(const hone_report *r, char *buf, size_t size)
{
    if (!r->done)
        snprintf(buf, size,
                 "Not finished: %zu experiments are done. The same command goes on where it "
                 "stopped.",
                 finished_count(r));
    else if (r->won)
        winner_text(r, buf, size);
    else if (tried_count(r))
        snprintf(buf, size, "Nothing passed: %zu candidates were measured, and the baseline stays.",
                 tried_count(r));
    else
        snprintf(buf, size, "Nothing was tried: no technique applies, and the baseline stays.");
    return buf;
}

const char *hone_report_price(const hone_report *r, char *buf, size_t size)
{
    int index = r->choice >= 0 ? r->choice : r->base;
    *buf = 0;
    if (index < 0 || !r->experiments[index].has_quality)
        return buf;
    const hone_report_experiment *e = &r->experiments[index];
    char loss[32], upper[32], gate[32], level[32] = "", perplexity[96] = "";
    if (e->perplexity > 0 && e->perplexity_original > 0)
        snprintf(perplexity, sizeof perplexity,
                 "perplexity %.4f, the original in float32 has %.4f: ", e->perplexity,
                 e->perplexity_original);
    if (!isnan(e->loss_level))
        snprintf(level, sizeof level, " (%.3g %% bound)", 100 * e->loss_level);
    snprintf(buf, size, "%s: %sa loss of %s, at most %s%s; allowed are %s.%s",
             r->choice >= 0 ? "Quality" : "The baseline", perplexity,
             hone_report_percent(e->loss, loss, sizeof loss),
             hone_report_percent(e->loss_upper, upper, sizeof upper), level,
             hone_report_percent(r->max_loss, gate, sizeof gate),
             r->choice >= 0 && e->same_bits ? " The same bits as the baseline." : "");
    return buf;
}
