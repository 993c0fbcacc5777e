#include "base/interrupt.h"

#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

/* A second signal ends the process, but not one that comes with the first: whoever signals a
 * process and its group (timeout, a terminal's wrapper) sends two. */
enum { TOGETHER_MS = 300 };

static volatile sig_atomic_t signalled;
static struct timespec first; /* when; written before `signalled` is */

static void on_signal(int number)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now); /* async-signal-safe (POSIX.1-2008) */
    if (!signalled) {
        first = now;
        signalled = number;
        return;
    }
    int64_t ms = (now.tv_sec - first.tv_sec) * 1000 + (now.tv_nsec - first.tv_nsec) / 1000000;
    if (ms < TOGETHER_MS)
        return;
    signal(number, SIG_DFL);
    raise(number);
}

void hone_interrupt_install(void)
{
    struct sigaction action, before;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigfillset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
        sigaction(SIGHUP, &action, NULL);
}

bool hone_interrupted(void)
{
    return signalled != 0;
}

hone_status hone_interrupt_check(void)
{
    if (!signalled)
        return HONE_OK;
    return hone_fail(HONE_INTERRUPTED, "stopped by %s",
                     signalled == SIGTERM  ? "SIGTERM"
                     : signalled == SIGHUP ? "SIGHUP"
                                           : "ctrl-C");
}

hone_status hone_interrupt_clear(void)
{
    if (signalled == SIGINT)
        signalled = 0;
    return hone_interrupt_check();
}
