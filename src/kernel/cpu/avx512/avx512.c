/* avx512 - the generic kernels over one 512-bit register per sixteen lanes. */
#include "kernel/cpu/avx512/vec.h"

#define FEW_PANELS_1 4
#define FEW_PANELS_2 4
#define FEW_PANELS_3 2
#define FEW_PANELS_4 2
#define FEW_PANELS_6 2
#define CORE_SUMS    16
#define FEW_PREFETCH 4096
#define DIRECT_ROWS  32
#define DIRECT_CODES 48
#define MANY_ROWS    7
#define MANY_PANELS  2

#include "kernel/cpu/generic/attn_product.h"

#include "kernel/cpu/generic/attention.h"
#include "kernel/cpu/generic/elementwise.h"
#include "kernel/cpu/generic/kv_write.h"
#include "kernel/cpu/generic/product.h"
#include "kernel/cpu/generic/rounded.h"
#include "kernel/table.h"

void hone_kernels_avx512(hone_kernels *t)
{
    t->act_pack = act_pack;
    t->act_part = act_part;
    t->act_whole = false;
    t->product_few = product_few;
    t->product_many = product_expanded;
    rounded_below = t->product_rounded;
    t->product_rounded = product_rounded;
    t->numbers = numbers;
    set_few_rows(t);
    kv_write_slot(t);
    t->attn_piece = attn_piece;
    t->attn_merge = attn_merge;
    t->attn_finish = attn_finish;
#include "kernel/cpu/generic/slots.inc"
}
