/*
 * machine - what the machine alone is known by, whatever hone it runs: processor, CPUs and memory
 * allowed, governor, huge pages, kernel. What was measured on one machine holds where this is
 * equal.
 *
 * Reads /proc and /sys; what is not there is "unknown". Threading: any thread.
 */
#ifndef HONE_HW_MACHINE_H
#define HONE_HW_MACHINE_H

#include <jansson.h>

/* A fresh object; NULL = no memory. */
json_t *hone_machine_facts(void);

#endif
