#include "base/interrupt.h"

#include <signal.h>
#include <string.h>

static volatile sig_atomic_t signalled;

static void on_signal(int number)
{
    signalled = number;
}

void hone_interrupt_install(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    /* The default action is back after the first signal: the second one ends the process. */
    action.sa_flags = (int)SA_RESETHAND;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
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
                     signalled == SIGTERM ? "SIGTERM" : "ctrl-C");
}

int hone_interrupt_clear(void)
{
    int number = signalled;
    signalled = 0;
    hone_interrupt_install();
    return number;
}
