/*
 * interrupt - ctrl-C (SIGINT), SIGTERM and SIGHUP as a flag that long work looks at between its
 * pieces. SIGHUP stays ignored where it was (nohup).
 *
 * The first signal sets the flag; a second one, a moment later, ends the process. A command that
 * never looks at the flag does not install the handler, so that the first ctrl-C ends it.
 *
 * Threading: the flag may be read from any thread; install from the main thread.
 */
#ifndef HONE_BASE_INTERRUPT_H
#define HONE_BASE_INTERRUPT_H

#include "base/status.h"

#include <stdbool.h>

void hone_interrupt_install(void);
bool hone_interrupted(void);
/* HONE_INTERRUPTED with a message once a signal came, else HONE_OK: for HONE_TRY inside a loop. */
HONE_CHECKED hone_status hone_interrupt_check(void);
/* Forgets a ctrl-C (and catches the next one again): for a program in which it stops one answer.
 * HONE_INTERRUPTED after another signal. */
HONE_CHECKED hone_status hone_interrupt_clear(void);

#endif
