/*
 * amx_emulator - runs AMX instructions on processors that have none. A test program that links it
 * (tests/extra.cmake) finds amx-int8 supported wherever there is AVX-512 with VNNI; its tile
 * instructions, as they were compiled, trap and are carried out from the handler of SIGILL. Where
 * there is AMX nothing is replaced and the same program runs the hardware.
 *
 * What the processor would fault on (a configuration with reserved bits or wrong sizes, tiles that
 * are not configured or whose shapes do not fit, an encoding that it does not have) ends the
 * program with a line on stderr that says what and where.
 *
 * Threading: any thread; each has tiles of its own.
 */
#ifndef HONE_TESTS_AMX_EMULATOR_H
#define HONE_TESTS_AMX_EMULATOR_H

#include <stdbool.h>

/* Whether the instructions trap here. Asks for the sets first, so that they do from now on. */
bool amx_emulated(void);

/* How many threads have tiles configured: a kernel must leave none. On the hardware only the
 * calling thread is looked at. */
int amx_tiles_held(void);

#endif
