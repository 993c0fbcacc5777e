/*
 * interrupt - ctrl-C (SIGINT) and SIGTERM as a flag that long work looks at between its pieces.
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
/* Forgets the signal (and catches the next one again): for a program in which ctrl-C stops one
 * answer. Returns the signal's number, 0 if none came. */
int hone_interrupt_clear(void);

#endif
