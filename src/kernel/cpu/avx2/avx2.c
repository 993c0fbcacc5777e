/* avx2 - the generic kernels over two 256-bit registers per sixteen lanes. */
#include "kernel/cpu/avx2/vec.h"

#define FEW_PANELS_1 2
#define FEW_PANELS_2 1
#define FEW_PANELS_3 0
#define FEW_PANELS_4 0
#define FEW_PREFETCH 4096
#define MANY_ROWS    6
#define MANY_PANELS  1

#include "kernel/cpu/generic/attention.h"
#include "kernel/cpu/generic/elementwise.h"
#include "kernel/cpu/generic/product.h"
#include "kernel/table.h"

void hone_kernels_avx2(hone_kernels *t)
{
    t->act_pack = act_pack;
    t->product_few = product_few;
    t->product_many = product_many;
    t->attn_piece = attn_piece;
    t->attn_merge = attn_merge;
    t->attn_finish = attn_finish;
#include "kernel/cpu/generic/slots.inc"
}
