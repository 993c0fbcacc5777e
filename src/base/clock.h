/* clock - monotonic time in seconds and nanoseconds, the CPU time of the process, the time of day.
 * A clock that fails gives 0. */
#ifndef HONE_BASE_CLOCK_H
#define HONE_BASE_CLOCK_H

#include <stdint.h>

uint64_t hone_clock_ns(void);   /* CLOCK_MONOTONIC */
double hone_clock_s(void);      /* the same in seconds */
double hone_clock_cpu_s(void);  /* CPU seconds of the whole process */
double hone_clock_wall_s(void); /* since 1970, to be shown only: it may jump */

#endif
