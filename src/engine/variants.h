/*
 * variants - which of several kernels with the same bits runs here, by a short measurement.
 *
 * Some choices cannot be made once for all machines: up to how many rows codes are read anew for
 * every few rows rather than expanded for all of them, and whether the widest instruction set is
 * also the fastest (it may lower the clock; tiles have sixteen rows). All of them give the same
 * bits (kernel.h), so they are free to differ from machine to machine and from start to start.
 *
 * The first engine of a process looks for what was measured before, in variants-<set>.json
 * beside the packed weights' folder (docs/packed-cache.md), which is used if it is of this machine,
 * this build and these kernels; else it measures (tens of milliseconds of this thread) and writes
 * it. HONE_VARIANTS=off takes the usual ones, =fresh measures anew, =NAME:VALUE,... sets single
 * ones (names and values: hone doctor).
 *
 * Ownership: a hone_variants is one plain struct; the table in it must outlive its users.
 * Threading: hone_variants_get from any thread, the others are for their caller alone.
 */
#ifndef HONE_ENGINE_VARIANTS_H
#define HONE_ENGINE_VARIANTS_H

#include "kernel/kernel.h"

enum { HONE_VARIANTS_MAX = 8 };

typedef struct hone_variant {
    const char *name; /* "rows-int8" */
    const char *text; /* "rows straight from the codes, int8 weights" */
    bool set;         /* usual and chosen are a hone_isa, otherwise a number of rows */
    int usual, chosen;
    double gain; /* time with the usual one by time with the chosen one; 1 = the same; 0 = not
                    measured */
} hone_variant;

typedef struct hone_variants {
    hone_kernels table; /* with what was chosen */
    hone_variant list[HONE_VARIANTS_MAX];
    size_t count;
    char origin[96]; /* "measured now...", "measured ... UTC", "HONE_VARIANTS=off" */
} hone_variants;

/* The usual ones: table of `isa` as it is. */
void hone_variants_usual(hone_isa isa, hone_variants *v);
/* Measures and chooses. others: weaker sets may take the place of isa's kernels. Errors: MEMORY. */
HONE_CHECKED hone_status hone_variants_measure(hone_isa isa, bool others, hone_variants *v);
/* Changes v by "name:value,name:value". Errors: USAGE, naming what there is. */
HONE_CHECKED hone_status hone_variants_force(hone_variants *v, const char *text);
/* "24" or "avx2" into buf, which is returned. */
const char *hone_variant_value(const hone_variant *v, int value, char *buf, size_t size);

/* v with what it holds for (machine, build) as JSON, and back over the usual ones of v's table:
 * false, and v the usual ones, if text is of another machine or build, or damaged. */
char *hone_variants_to_json(const hone_variants *v); /* hone_free; NULL = no memory */
bool hone_variants_from_json(hone_variants *v, const char *text, size_t bytes);

/* What this process runs with, found out once for each set; *out stays. Weaker sets may take part
 * in the best one only. What cannot be measured, read or written leaves the usual ones, and origin
 * says why. Errors: USAGE (HONE_VARIANTS). */
HONE_CHECKED hone_status hone_variants_get(hone_isa isa, const hone_variants **out);

#endif
