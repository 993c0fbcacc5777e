#include "base/clock.h"

#include <time.h>

/* 0 where the clock fails */
static struct timespec now(clockid_t clock)
{
    struct timespec t;
    return clock_gettime(clock, &t) == 0 ? t : (struct timespec){0};
}

static double seconds(clockid_t clock)
{
    const struct timespec t = now(clock);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

uint64_t hone_clock_ns(void)
{
    const struct timespec t = now(CLOCK_MONOTONIC);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double hone_clock_s(void)
{
    return (double)hone_clock_ns() * 1e-9;
}

double hone_clock_cpu_s(void)
{
    return seconds(CLOCK_PROCESS_CPUTIME_ID);
}

double hone_clock_wall_s(void)
{
    return seconds(CLOCK_REALTIME);
}
