/* render - what text and HTML share: reading the document, formatting numbers. Private to report/.
 */
#ifndef HONE_REPORT_RENDER_H
#define HONE_REPORT_RENDER_H

#include "report/report.h"

#include <stdbool.h>
#include <stdio.h>

/* Value at a path of keys ("run", "goal", NULL): "" or 0 when it is not there. */
const char *report_text(const json_t *o, ...) __attribute__((sentinel));
double report_number(const json_t *o, ...) __attribute__((sentinel));

/* " (measured again)", " (on top)" or "": how an experiment of this label came about. */
const char *report_stage(const json_t *experiment);

/* "1.23 ms", "4.5 GiB" for a cost of the goal. */
void report_cost(const char *goal, double cost, char *out, size_t n);
/* "0.0123 %" with as many digits as it takes. */
void report_percent(double share, char *out, size_t n);

/* Collects what `write` prints into a fresh string (hone_free). */
HONE_CHECKED hone_status report_print(void (*write)(FILE *f, const json_t *document),
                                      const json_t *document, char **text);

#endif
