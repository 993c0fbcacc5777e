/*
 * report_profile - a profile as a page: anatomy, a step's timeline, roofline, layers, advice.
 *
 * Ownership: everything passed in stays the caller's. Texts are cleaned of control characters and
 * escaped here. Threading: any thread.
 */
#ifndef HONE_REPORT_REPORT_PROFILE_H
#define HONE_REPORT_REPORT_PROFILE_H

#include "observe/profile.h"

enum { HONE_REPORT_ADVICE_ROWS = 16 };

typedef struct hone_report_advice_row {
    const char *title, *label, *when_not, *next;
    double predicted; /* times better; 0 = unknown */
    bool addressed, lossy;
} hone_report_advice_row;

typedef struct hone_report_advice {
    const char *bottleneck, *words, *next;
    double cost, least; /* seconds: measured, by the limits (0 = they do not tell) */
    hone_report_advice_row rows[HONE_REPORT_ADVICE_ROWS];
    size_t n_rows;
} hone_report_advice;

typedef struct hone_report_profile {
    const hone_profile *profile;         /* held against the limits; its recorder still full */
    const char *model, *config;          /* path, JSON */
    const char *environment;             /* JSON object, or NULL */
    const char *changed, *changed_since; /* "" = nothing to compare with */
    hone_report_advice advice[HONE_PHASES];
} hone_report_profile;

/* One self-contained page (no scripts, nothing fetched) in a fresh string (hone_free). */
HONE_CHECKED hone_status hone_report_profile_html(const hone_report_profile *r, char **html,
                                                  size_t *bytes);

#endif
