/* bench_versus - two sides of a benchmark in turns. Private to `hone bench`; one thread. */
#ifndef HONE_CLI_BENCH_VERSUS_H
#define HONE_CLI_BENCH_VERSUS_H

#include "cli/bench_run.h"

/* a is open; side B is what --versus names, a change of config or another model. */
HONE_CHECKED hone_status bench_versus(bench *a, const hone_config *config);

#endif
