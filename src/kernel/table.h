/* table - what a set's folder gives to the table: a function that puts its slots over the weaker
 * ones. */
#ifndef HONE_KERNEL_TABLE_H
#define HONE_KERNEL_TABLE_H

#include "kernel/kernel.h"

void hone_kernels_scalar(hone_kernels *t);
void hone_kernels_avx2(hone_kernels *t);
void hone_kernels_avx512(hone_kernels *t);
void hone_kernels_vnni(hone_kernels *t);
void hone_kernels_amx(hone_kernels *t);
void hone_kernels_amx_emulated(hone_kernels *t); /* tests: tiles in plain C */

#endif
