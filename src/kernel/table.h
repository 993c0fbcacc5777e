/* table - what a set's folder gives to the table: a function that puts its slots over the weaker
 * ones. */
#ifndef HONE_KERNEL_TABLE_H
#define HONE_KERNEL_TABLE_H

#include "kernel/kernel.h"

/* The scratch of a product: of all, and behind it panels of weights, for product_rounded alone */
enum { HONE_SCRATCH_PRODUCT = 640 << 10, HONE_SCRATCH_PANELS = 4 << 20 };

void hone_kernels_scalar(hone_kernels *t);
void hone_kernels_scalar_techniques(hone_kernels *t);
void hone_kernels_avx2_int8(hone_kernels *t);
void hone_kernels_bf16(hone_kernels *t); /* where there is AVX512_BF16 */
void hone_kernels_avx2(hone_kernels *t);
void hone_kernels_avx512(hone_kernels *t);
/* Slots of kernels_back.def */
void hone_kernels_scalar_back(hone_kernels *t);
void hone_kernels_avx2_back(hone_kernels *t);
void hone_kernels_avx512_back(hone_kernels *t);
void hone_kernels_vnni(hone_kernels *t);
void hone_kernels_amx(hone_kernels *t);
void hone_kernels_amx_back(hone_kernels *t); /* after hone_kernels_amx */
void hone_kernels_amx_int8(hone_kernels *t);

/* attention_back.c: by the table's products, which every set may run */
void hone_attn_back_by_products(const hone_kernels *kt, const hone_attn_back *t, void *scratch);
size_t hone_attn_back_products_bytes(const hone_kernels *kt, const hone_attn_back *t);

/* techniques.c: the tables of products other than exact, and what they keep of activations. */
void hone_techniques_overlay(const hone_kernels exact[HONE_ISA_COUNT]);
void hone_act_int8_init(const hone_kernels *kt, bool tiles_alone, void *mem, size_t *at,
                        hone_act *act); /* hone_cut from mem */
bool hone_act_is_half(const hone_kernels *kt, int flags);
/* The slot that multiplies w under kt's products, or NULL: exactly. */
hone_product_many_fn *hone_technique_product(const hone_kernels *kt, const hone_packed *w,
                                             const hone_act *a);

#endif
