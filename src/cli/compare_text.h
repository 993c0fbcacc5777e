/* compare_text - a comparison as an aligned table. One thread. */
#ifndef HONE_CLI_COMPARE_TEXT_H
#define HONE_CLI_COMPARE_TEXT_H

#include "report/report_compare.h"

/* On standard output. */
HONE_CHECKED hone_status cli_print_compare(const hone_compare *c);

#endif
