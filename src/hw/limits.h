/*
 * limits - what this machine gives, measured: the roof that every speed is held against.
 *
 * Random data throughout (an all-zero operand draws less power and runs faster than real work ever
 * will). Each figure is the best of a few passes with all threads at once: a limit is what the
 * machine can do, so a pass that was disturbed does not count.
 *
 * Threading: one caller at a time; the functions open their own pool. Nothing is kept.
 */
#ifndef HONE_HW_LIMITS_H
#define HONE_HW_LIMITS_H

#include "base/status.h"
#include "hw/isa.h"

#include <stddef.h>

typedef struct hone_limits {
    int threads;
    double read_bytes_s; /* reading from memory, bytes per second, all threads together */
    /* Multiply-adds, two operations each, per second, all threads together, as each instruction set
     * offers them to its products: float32 FMA for AVX2 and AVX-512, int8 dot products for VNNI,
     * tiles for AMX. 0 = not available (or, for scalar, not measured). */
    double ops_s[HONE_ISA_COUNT];
} hone_limits;

/* Measures everything with so many threads (0 = CPUs allowed); takes about two seconds and a buffer
 * of 256 MiB up to 1 GiB (more than the last-level cache holds). Errors: MEMORY. */
HONE_CHECKED hone_status hone_limits_measure(int threads, hone_limits *out);

/* The read bandwidth alone, bytes per second. */
HONE_CHECKED hone_status hone_limits_measure_read(int threads, double *bytes_s);

/* What ops_s[isa] counts: "float32 FMA", "int8 tiles"... */
const char *hone_limits_ops_text(hone_isa isa);

/* One piece of arithmetic for the measurement (peak.c): runs `rounds` rounds on 8 KiB of random
 * data and returns the operations done; 0 if `isa` has none. The caller checked hone_isa_supported.
 */
enum { HONE_PEAK_DATA_BYTES = 8192 };
double hone_peak_run(hone_isa isa, const void *data, size_t rounds);

#endif
