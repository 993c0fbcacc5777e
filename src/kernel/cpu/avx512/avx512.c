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
static void kv_put_key(uint8_t *to, v16 v, size_t n)
{
    const __m512i x = _mm512_castps_si512(v),
                  places = _mm512_setr_epi32(0, 0, 16, 16, 32, 32, 48, 48, 64, 64, 80, 80, 96, 96,
                                             112, 112);
    /* of each pair the even one has the word: its own half and its neighbour's */
    __m512i next = _mm512_shuffle_epi32(x, _MM_PERM_DDBB);
    _mm512_mask_i32scatter_epi32(to, v16_mask_n(n) & 0x5555, places,
                                 _mm512_or_si512(_mm512_srli_epi32(x, 16), next), 4);
}

static void kv_put_value(uint8_t *to, bool odd, v16 v, size_t n)
{
    const __m512i x = _mm512_castps_si512(v), old = _mm512_maskz_loadu_epi32(v16_mask_n(n), to);
    _mm512_mask_storeu_epi32(
        to, v16_mask_n(n),
        odd ? _mm512_mask_blend_epi16(0x55555555, x, old)
            : _mm512_mask_blend_epi16(0xaaaaaaaa, _mm512_srli_epi32(x, 16), old));
}

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
