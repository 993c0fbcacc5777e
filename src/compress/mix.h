/* mix - which format each matrix gets under a name such as Q4_K_M: the usual distributions of
 * llama.cpp for dense models (its tool `llama-quantize`), as a table. */
#ifndef HONE_COMPRESS_MIX_H
#define HONE_COMPRESS_MIX_H

#include "dtype/dtype.h"

typedef struct hone_mix hone_mix;

/* What decides beside the matrix's name. */
typedef struct hone_mix_model {
    uint32_t layers, heads_per_kv;
    bool tied;       /* the embedding is the output head */
    bool importance; /* an importance matrix is given */
} hone_mix_model;

/* NULL if there is no mix of that name; names are compared without regard to case. */
const hone_mix *hone_mix_by_name(const char *name);
const hone_mix *hone_mix_at(size_t i); /* NULL past the last */
const char *hone_mix_name(const hone_mix *m);
hone_dtype hone_mix_base(const hone_mix *m);    /* of most matrices */
uint32_t hone_mix_file_type(const hone_mix *m); /* general.file_type (llama.h, llama_ftype) */

/* Format of the matrix with this GGUF name. */
hone_dtype hone_mix_dtype(const hone_mix *m, const hone_mix_model *model, const char *name);

/* What takes the place of t in rows of k elements that its blocks do not divide: t if they do;
 * otherwise a format with smaller blocks, in the end `plain`. */
hone_dtype hone_mix_fallback(hone_dtype t, uint64_t k, hone_dtype plain);

#endif
