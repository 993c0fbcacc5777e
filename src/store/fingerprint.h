/*
 * fingerprint - the environment that goes with every number: processor, instruction sets, governor,
 * memory, kernel, load, and the versions of hone and its numerics.
 *
 * The key covers what should make measurements comparable; the load and the time are only noted.
 * Threading: any thread. Reads /proc and /sys; what is not there is "unknown".
 */
#ifndef HONE_STORE_FINGERPRINT_H
#define HONE_STORE_FINGERPRINT_H

#include "base/status.h"
#include "store/digest.h"

/* *json: an object with sorted keys, in a fresh string (hone_free). */
HONE_CHECKED hone_status hone_fingerprint_take(char **json, char key[HONE_DIGEST_BYTES]);

/* What the machine alone is known by, whatever hone it runs: processor, CPUs and memory allowed,
 * governor, huge pages, kernel. The key of measured limits and of a history of speeds. */
HONE_CHECKED hone_status hone_fingerprint_machine(char key[HONE_DIGEST_BYTES]);

#endif
