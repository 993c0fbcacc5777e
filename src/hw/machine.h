/*
 * machine - what the machine alone is known by, whatever hone it runs: processor, CPUs and memory
 * allowed, governor, huge pages, kernel. What was measured on one machine holds where this is
 * equal.
 *
 * Reads /proc and /sys below root ("" for this machine; tests give a folder); what is not there is
 * "unknown". Threading: any thread.
 */
#ifndef HONE_HW_MACHINE_H
#define HONE_HW_MACHINE_H

#include <jansson.h>

/* A fresh object; NULL = no memory. */
json_t *hone_machine_facts(const char *root);

/* Memory that this process may have: the machine's, or what its control group leaves it of that. */
double hone_machine_memory_bytes(const char *root);

#endif
