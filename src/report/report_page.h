/* report_page - HTML put together in one growing buffer. Private to report/. */
#ifndef HONE_REPORT_PAGE_H
#define HONE_REPORT_PAGE_H

#include "report/report.h"

typedef struct report_page {
    char *data;
    size_t bytes, capacity;
    bool failed; /* out of memory; everything after it is ignored */
} report_page;

/* A copy as hone_report_clean makes it. NULL = no memory (never for text NULL, which is ""). */
const char *report_clean(hone_arena *arena, const char *text);

/* Markup of our own: the arguments must not be texts of the run. */
void report_put(report_page *p, const char *fmt, ...) HONE_PRINTF(2, 3);
/* Text of the run, as hone_report_clean has it and escaped for content and attribute values alike.
 */
void report_put_text(report_page *p, const char *text);
/* At most `most` code points, with an ellipsis where cut. */
void report_put_short(report_page *p, const char *text, size_t most);
size_t report_code_points(const char *text);

/* Where a label of a picture may stand: inside of the frame, and on nothing that is taken. */
typedef struct report_box {
    double x0, y0, x1, y1;
} report_box;
bool report_box_is_free(const report_box *b, const report_box *frame, const report_box *taken,
                        size_t n);

/* The style that all pages share. */
void report_put_style(report_page *p);
/* Quality against speed as inline SVG. */
void report_put_scatter(report_page *p, const hone_report *r);

#endif
