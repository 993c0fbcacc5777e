/*
 * report - one run of the registry as a person wants to read it: what won, by how much, what it
 * costs, why, and how it was measured.
 *
 * hone_report_load gathers everything into one plain struct; the renderers only read it. Whatever
 * JSON member is absent or of another type becomes NAN, "" or an empty list: a report can be made
 * of an interrupted run, and of one that another version of hone wrote.
 *
 * Invariants:
 *  1. Every text in the struct is valid UTF-8 without control characters (C0, C1, line and
 *     paragraph separators, bidirectional overrides), so that neither a terminal nor a page can be
 *     led astray by a label.
 *  2. Texts are never NULL.
 *
 * Ownership: the report owns all of its texts and lists. Threading: read by any thread, if nobody
 * frees it.
 */
#ifndef HONE_REPORT_REPORT_H
#define HONE_REPORT_REPORT_H

#include "base/json.h"
#include "base/mem.h"
#include "store/registry.h"

typedef enum hone_report_role {
    HONE_REPORT_BASE,    /* the baseline, judged alone */
    HONE_REPORT_PROFILE, /* where its time goes */
    HONE_REPORT_SCREEN,  /* one candidate against the baseline */
    HONE_REPORT_COMBINE, /* one more change on top of a winner; measured against that winner */
    HONE_REPORT_CONFIRM, /* the choice against the baseline, with fresh samples */
    HONE_REPORT_OTHER
} hone_report_role;

typedef struct hone_report_experiment {
    int64_t id;
    hone_report_role role;
    const char *key, *label, *state, *config, *error;
    const char *verdict, *why;                       /* "" = not decided */
    double predicted, gain, gain_lo, gain_hi, level; /* ratios; above 1 = better */
    double cost, cost_against, weight_bytes;
    bool has_quality, same_bits;
    bool compared; /* measured against the baseline (or is it), and not shown by another row */
    bool front;    /* compared, and none is better in both quality and speed: the Pareto front */
    double perplexity_original, perplexity, loss, loss_upper; /* losses: 0.01 = 1 % */
    double loss_level; /* of loss_upper: 0.95 = 95 %; NAN: an old record does not say */
    double kl_mean, kl_p99, top1_agreement, scored;
    double *ratios; /* [pairs]: baseline / candidate; owned by the report */
    size_t pairs;
} hone_report_experiment;

typedef struct hone_report_part {
    const char *name, *text;
    double seconds, bytes, ops;
    double limit_share; /* of the machine's limit, 0.7 = 70 %; NAN or 0 = unknown. Above 1: its
                         * data came from the caches, or the limit was measured too low. */
    bool once;          /* not part of a step: loading, tokenising */
} hone_report_part;

typedef struct hone_report_fact {
    const char *name, *value;
} hone_report_fact;

typedef struct hone_report_promotion {
    const char *action, *when, *config;
    int64_t run;
} hone_report_promotion;

typedef struct hone_report {
    int64_t run;
    bool done, won; /* not done: still running or interrupted */
    bool promoted;  /* this run has promoted its choice */
    bool in_force;  /* its choice is what the model uses now, whichever run promoted it */
    double max_loss;
    uint64_t seed;
    const char *goal, *data_hash, *started, *finished;
    const char *model_path, *model_name, *model_arch, *model_sha256;
    uint64_t model_bytes;
    const char *label, *config; /* of the choice; the baseline when nothing won */
    const char *bottleneck, *bottleneck_text;
    double profile_seconds, profile_cost, limit_cost;
    const char *reproduce, *rollback; /* command lines */
    size_t unreadable;                /* records whose JSON could not be read */

    hone_report_experiment *experiments;
    size_t n_experiments;
    hone_report_part *parts;
    size_t n_parts;
    hone_report_fact *settings, *environment;
    size_t n_settings, n_environment;
    hone_report_promotion *promotions; /* of the model, by any run */
    size_t n_promotions;
    /* Indices into experiments, or -1: the baseline as judged, and what backs the choice (its
     * confirmation; else what was decided). */
    int base, choice;

    hone_arena arena;
} hone_report;

/* run 0 = the latest. Errors: NOT_FOUND (no such run, or none at all), USAGE (a
 * run of hone profile), those of the registry. */
HONE_CHECKED hone_status hone_report_load(hone_registry *r, int64_t run, hone_report **out);
void hone_report_free(hone_report *report); /* NULL is fine */

/* One self-contained page (no scripts, nothing fetched) in a fresh string (hone_free). */
HONE_CHECKED hone_status hone_report_html(const hone_report *report, char **html, size_t *bytes);

/* Everything as JSON; what is unknown is left out. NULL = no memory. */
json_t *hone_report_json(const hone_report *report);

/* One or two sentences in plain text, without a line break, for terminals and the page's head: what
 * came of the run, and what it costs in quality ("" if there is nothing to say). Returns buf. */
const char *hone_report_headline(const hone_report *r, char *buf, size_t size);
const char *hone_report_price(const hone_report *r, char *buf, size_t size);

/* A text as the first invariant wants it: what is not fit to be shown becomes U+FFFD, blanks of
 * every kind a space; cut between two characters where buf is full. Returns buf. */
const char *hone_report_clean(const char *text, char *buf, size_t size);
/* The whole of it as JSON: paths and labels of the user's may be no UTF-8. NULL = no memory. */
json_t *hone_report_text(const char *text);

/* "1.83x", "1.83x [1.79, 1.87]", "0.21 %", "170 us" or "1.5 GiB" by the goal; "-" = unknown. */
const char *hone_report_times(double gain, char *buf, size_t size);
const char *hone_report_interval(const hone_report_experiment *e, char *buf, size_t size);
const char *hone_report_percent(double fraction, char *buf, size_t size);
const char *hone_report_cost(const hone_report *r, double cost, char *buf, size_t size);

/* What stands between the measured cost and that of the limit, which a model that the caches hold
 * can beat; "" without a limit. */
const char *hone_report_limit_words(const hone_report *r);
const char *hone_report_bytes(double bytes, char *buf, size_t size);
const char *hone_report_seconds(double seconds, char *buf, size_t size);
/* What the experiment is, in a word: "baseline", "candidate", "combination", "confirmation". */
const char *hone_report_role_text(hone_report_role role);

#endif
