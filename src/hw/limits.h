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

#include <stdbool.h>
#include <stddef.h>

/* Arithmetic by instruction set and type: X(id, instruction set that must be supported, name,
 * what is counted). A row of peak.c each. */
#define HONE_PEAK_LIST(X)                                                                          \
    X(AVX2_F32, AVX2, "avx2 f32", "float32 FMA")                                                   \
    X(AVX2_INT8, AVX2, "avx2 int8", "vpmaddubsw, vpmaddwd and vpaddd")                             \
    X(AVX512_F32, AVX512, "avx512 f32", "float32 FMA")                                             \
    X(AVX512_BF16, AVX512, "avx512 bf16", "vdpbf16ps")                                             \
    X(AVX512_INT8, AVX512_VNNI, "avx512 int8", "vpdpbusd")                                         \
    X(AMX_BF16, AMX_BF16, "amx bf16", "tdpbf16ps")                                                 \
    X(AMX_INT8, AMX_INT8, "amx int8", "tdpbssd")

typedef enum hone_peak {
#define HONE_PEAK_ENUM(id, isa, name, text) HONE_PEAK_##id,
    HONE_PEAK_LIST(HONE_PEAK_ENUM)
#undef HONE_PEAK_ENUM
        HONE_PEAK_COUNT
} hone_peak;

enum { HONE_CACHE_LEVELS = 3 };

typedef struct hone_limits {
    int threads;
    double read_bytes_s; /* reading from memory, bytes per second, all threads together */
    /* Multiply-adds, two operations each, per second, all threads together, as each instruction set
     * offers them to its products: float32 FMA for AVX2 and AVX-512, int8 dot products for VNNI,
     * tiles for AMX. 0 = not available (or, for scalar, not measured). */
    double ops_s[HONE_ISA_COUNT];
    double write_bytes_s, copy_bytes_s; /* copy: bytes copied (each is read and written once) */
    double noise; /* of reading: how far the middle pass lies below the best; 0.02 = 2 % */
    double peak_ops_s[HONE_PEAK_COUNT]; /* as ops_s, by type; 0 = the machine has it not */
    struct {
        size_t bytes;        /* of one core's, as the system tells; 0 = it does not */
        double read_bytes_s; /* half of it (each thread its own half, a shared one divided) */
    } cache[HONE_CACHE_LEVELS];
} hone_limits;

/* Measures everything with so many threads (0 = CPUs allowed); takes about three seconds and a
 * buffer of 256 MiB up to 1 GiB (more than the last-level cache holds). Errors: MEMORY. */
HONE_CHECKED hone_status hone_limits_measure(int threads, hone_limits *out);

/* The read bandwidth alone, bytes per second. */
HONE_CHECKED hone_status hone_limits_measure_read(int threads, double *bytes_s);

/* What the caches hold of which all threads read one part each: of the largest level that reads
 * clearly faster than memory (the last level of a virtual machine may not); 0 = none, or unknown.
 */
double hone_limits_cache_bytes(const hone_limits *l);

const char *hone_peak_name(hone_peak p); /* "amx bf16" */
const char *hone_peak_text(hone_peak p); /* the instruction that is counted */

/* One piece of arithmetic for the measurement (peak.c): runs `rounds` rounds on 8 KiB of random
 * data and returns the operations done; 0 if this machine has it not. */
enum { HONE_PEAK_DATA_BYTES = 8192 };
double hone_peak_run(hone_peak peak, const void *data, size_t rounds);
bool hone_peak_supported(hone_peak peak);

#endif
