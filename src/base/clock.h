/* clock - monotonic time in seconds and nanoseconds, and the CPU time of the process. */
#ifndef HONE_BASE_CLOCK_H
#define HONE_BASE_CLOCK_H

#include <stdint.h>

uint64_t hone_clock_ns(void);  /* CLOCK_MONOTONIC */
double hone_clock_s(void);     /* the same in seconds */
double hone_clock_cpu_s(void); /* CPU seconds of the whole process */

#endif
