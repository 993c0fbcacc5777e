/* report_text - a report as tables on the terminal: `hone report`, and the end of `hone optimize`.
 */
#ifndef HONE_CLI_REPORT_TEXT_H
#define HONE_CLI_REPORT_TEXT_H

#include "report/report.h"

#include <stdio.h>

HONE_CHECKED hone_status cli_print_report(const hone_report *r, FILE *f);

#endif
