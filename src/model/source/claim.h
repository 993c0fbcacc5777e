/*
 * claim - what config.json says of how a matrix is stored. The tensors decide how it is read; a
 * claim tells what they cannot (versions, block sizes), and one that contradicts them is an error
 * that names both.
 *
 * Known sections: quantization_config, or compression_config of older files; its quant_method is
 * one of the rows in claim.c. Ownership: strings belong to the file. Threading: any thread.
 */
#ifndef HONE_MODEL_SOURCE_CLAIM_H
#define HONE_MODEL_SOURCE_CLAIM_H

#include "file/file.h"

typedef struct hone_claim {
    const char *method;  /* "gptq"; NULL: config.json tells of no quantisation */
    const char *format;  /* checkpoint_format, version or format, or NULL */
    bool known;          /* hone reads this method */
    bool ignored;        /* the matrix is on a list of those left alone */
    const char *ignores; /* then: the entry of the list */
    int64_t bits;        /* of a weight; 0 = not said */
    int64_t group;       /* weights per scale; -1 = a row; 0 = not said */
    uint64_t block[2];   /* rows and columns per scale; 0 = not said */
} hone_claim;

/* Of the matrix called `weight`. Errors: FORMAT for a section that contradicts itself or holds a
 * value of a wrong type, LIMIT for an expression that takes too long. */
HONE_CHECKED hone_status hone_claim_read(const hone_file *f, const char *weight, hone_claim *out);

#endif
