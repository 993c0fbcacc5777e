/* compare_stored - sides that were measured before: runs of the registry, and what `hone bench
 * --json` printed. Private to `hone compare`; one thread. */
#ifndef HONE_CLI_COMPARE_STORED_H
#define HONE_CLI_COMPARE_STORED_H

#include "cli/cli.h"
#include "report/report_compare.h"

/* Whether an operand is a run's number or a .json file that holds a benchmark. */
bool compare_is_stored(const char *operand);
/* One side from it. Tests are matched by their names. */
HONE_CHECKED hone_status compare_add_stored(const cli_context *c, const char *operand,
                                            hone_compare *page);
/* Ratios to the first side, as far as the intervals allow. */
void compare_stored_finish(hone_compare *page);

#endif
