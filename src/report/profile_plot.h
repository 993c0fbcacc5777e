/* profile_plot - the pictures of a profile's page as inline SVG. Private to report/. */
#ifndef HONE_REPORT_PROFILE_PLOT_H
#define HONE_REPORT_PROFILE_PLOT_H

#include "observe/profile.h"
#include "report/report_page.h"

/* A phase from the whole down to the layers of each part. */
void report_put_flame(report_page *p, const hone_profile *f, hone_phase phase);
/* One step in the middle of the recorded decoding: what was done, and by which thread. */
void report_put_timeline(report_page *p, const hone_profile *f);
/* The parts of both phases under the machine's roofs, log against log. */
void report_put_roofline(report_page *p, const hone_profile *f);
/* Each layer's time, stacked by group. */
void report_put_layers(report_page *p, const hone_profile *f);

#endif
