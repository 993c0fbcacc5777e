/* bench_record - a benchmark's place in the registry, and its baseline. Private to `hone bench`. */
#ifndef HONE_CLI_BENCH_RECORD_H
#define HONE_CLI_BENCH_RECORD_H

#include "cli/bench_run.h"

/* Keeps what was measured (summarised tests), and with --baseline says on standard error how it
 * compares with the bench of that name, and gives it as JSON in *compared (the caller's; else
 * NULL); the first one takes the name. A registry that cannot be opened costs the keeping alone,
 * unless --baseline asks for it. */
HONE_CHECKED hone_status bench_record(const bench *b, json_t **compared);

#endif
