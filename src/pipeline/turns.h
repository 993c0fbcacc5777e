/*
 * turns - two sides measured next to each other, A B, B A, A B..., so that what drifts slowly
 * (clocks, temperature, neighbours) and what comes first favour neither.
 * Threading: one thread.
 */
#ifndef HONE_PIPELINE_TURNS_H
#define HONE_PIPELINE_TURNS_H

#include "base/status.h"

/* Measures one side (0 or 1) once: *cost, what it took. */
typedef hone_status hone_turn_fn(void *arg, int side, double *cost);

/* n pairs; pair i begins with side 0 if first + i is even. Looks for ctrl-C before each pair. */
HONE_CHECKED hone_status hone_turns_take(hone_turn_fn *fn, void *arg, size_t first, size_t n,
                                         double *a, double *b);

#endif
