/* rows - what the files of the rows share. Private to technique/. */
#ifndef HONE_TECHNIQUE_ROWS_H
#define HONE_TECHNIQUE_ROWS_H

#include "technique/technique.h"

#define X(row) extern const hone_technique hone_technique_##row;
#include "technique/rows.def"

/* The instruction set that c runs on. */
static inline hone_isa isa_of(const hone_config *c)
{
    return c->isa == HONE_ISA_BEST ? hone_isa_best() : (hone_isa)c->isa;
}

/* Number of weights of a kind in all layers, from the shape (a tied embedding counts as head). */
double hone_technique_weights(const hone_technique_facts *f, hone_weight_kind kind);
/* Bytes that they take in memory under c. */
double hone_technique_weight_bytes(const hone_technique_facts *f, const hone_config *c,
                                   hone_weight_kind kind);
/* Whether they are codes of at most 8 bits there, which int8 products multiply as whole numbers. */
bool hone_technique_codes(const hone_technique_facts *f, const hone_config *c,
                          hone_weight_kind kind);
/* Weights of a kind whose codes have a scale for less than a column. */
double hone_technique_grouped(const hone_technique_facts *f, const hone_config *c,
                              hone_weight_kind kind);

#endif
