/*
 * activation - the functions between the matrices of an MLP, by the names that configs use. One row
 * each; the arithmetic is a kernel (kernels.def), the definition is in docs/numerics.md.
 */
#ifndef HONE_MODEL_ACTIVATION_H
#define HONE_MODEL_ACTIVATION_H

#include "kernel/kernel.h"

/* y = act(a) * b; b NULL: y = act(a). y may be a or b. */
typedef hone_silu_mul_fn hone_activate_fn;
/* da = dy * b * act'(a), db = dy * act(a); b and db NULL: da = dy * act'(a). */
typedef hone_silu_back_fn hone_activate_back_fn;

typedef struct hone_activation {
    const char *name;     /* "gelu" */
    const char *names[4]; /* as config.json calls it; NULL after the last */
    size_t slot, back;    /* of the kernels in hone_kernels */
} hone_activation;

const hone_activation *hone_activation_find(const char *name); /* NULL = unknown */
/* All names, for messages: at most n bytes with the 0. */
void hone_activation_names(char *out, size_t n);
hone_activate_fn *hone_activation_kernel(const hone_activation *a, const hone_kernels *kt);
hone_activate_back_fn *hone_activation_back(const hone_activation *a, const hone_kernels *kt);

#endif
