/* bench_versus - two sides of a benchmark in turns. Private to `hone bench`; one thread. */
#ifndef HONE_CLI_BENCH_VERSUS_H
#define HONE_CLI_BENCH_VERSUS_H

#include "cli/bench_run.h"

/* What the other side is: a change of the configuration `base` (JSON, or a .json file with it),
 * into *out; else *model is set: another model's path. */
HONE_CHECKED hone_status bench_other(const char *what, const hone_config *base, bool *model,
                                     hone_config *out);
/* a is open; side B is what --versus names: a change of config, another model, "build:PROGRAM" or
 * the address of a server. */
HONE_CHECKED hone_status bench_versus(bench *a, const hone_config *config);

#endif
