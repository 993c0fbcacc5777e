/*
 * report_training - a run of hone train for people: its curves as a page, and as JSON.
 *
 * Ownership: a report owns its texts, which are clean (report.h, invariant 1), and points.
 * Threading: any thread.
 */
#ifndef HONE_REPORT_REPORT_TRAINING_H
#define HONE_REPORT_REPORT_TRAINING_H

#include "base/json.h"
#include "base/mem.h"
#include "store/training_records.h"

typedef struct hone_report_training {
    hone_training_record record;
    hone_training_point *points; /* in the order of steps */
    size_t n, capacity;
    hone_arena arena;
} hone_report_training;

/* folder (absolute) NULL: any; id 0: the latest that fits. Errors: NOT_FOUND, those of the
 * registry. When it fails there is nothing to free. */
HONE_CHECKED hone_status hone_report_training_load(hone_registry *r, const char *folder, int64_t id,
                                                   hone_report_training *out);
void hone_report_training_free(hone_report_training *r);

/* What came of it; members are NAN where there is nothing. */
typedef struct hone_report_training_sum {
    double loss;       /* mean of the last twentieth of the points */
    double validation; /* the last one, and the best */
    double best;
    uint64_t best_step, step, tokens, skipped;
} hone_report_training_sum;

void hone_report_training_sum_up(const hone_report_training *r, hone_report_training_sum *out);
/* One self-contained page (no scripts, nothing fetched) in a fresh string (hone_free). */
HONE_CHECKED hone_status hone_report_training_html(const hone_report_training *r, char **html,
                                                   size_t *bytes);
/* With every point; NULL = no memory. */
json_t *hone_report_training_json(const hone_report_training *r);

#endif
