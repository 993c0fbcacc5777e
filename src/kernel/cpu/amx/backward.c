/*
 * backward of the AMX set: that of AVX-512, rounded by VCVTNE2PS2BF16, and activations from
 * columns. A tile of 16 rows x 32 along K is 16 rows of 16 pairs; taken from columns, it is a block
 * of a BF16 panel (16 rows of K, two by two, x 16 columns) whose 16 x 16 pairs are transposed.
 */
#include "kernel/cpu/avx512/turn.h"

#include "kernel/cpu/amx/scaled.h"
#include "kernel/cpu/generic/backward.h"
#include "kernel/cpu/generic/unroll.h"
#include "kernel/table.h"

/* 16 or fewer columns of 32 or fewer rows of x */
static void turn_block(const float *x, size_t ldx, size_t rows, size_t columns, uint16_t *to)
{
    float pairs[256] __attribute__((aligned(64)));
    for (size_t i = 0; i < 32; i += 2) {
        v16 even = i < rows ? v16_load_n(x + i * ldx, columns) : v16_zero();
        v16 odd = i + 1 < rows ? v16_load_n(x + (i + 1) * ldx, columns) : v16_zero();
        put_bf16_pairs((uint8_t *)(pairs + i * 8), even, odd);
    }
    transpose16(pairs, 16, (float *)(void *)to, 16);
}

static void columns_to_tiles(hone_act *act, const float *x, size_t ldx, size_t k0, size_t k1)
{
    if (act->f32 || act->half) {
        act_columns(act, x, ldx, k0, k1);
        if (act->f32)
            act_floats_to_tiles(act, 0, act->rows, k0, k1);
        return;
    }
    for (size_t k = k0; k < k1; k += 32)
        for (size_t r = 0; r < act->rows; r += 16)
            turn_block(x + k * ldx + r, ldx, k1 - k < 32 ? k1 - k : 32,
                       act->rows - r < 16 ? act->rows - r : 16, act_tile(act, r, k / 32));
}

#include "kernel/cpu/amx/attention_back.h"

void hone_kernels_amx_back(hone_kernels *t)
{
    attn_back_below = t->attn_back;
    attn_back_bytes_below = t->attn_back_bytes;
    BACKWARD_SLOTS(t);
    t->attn_back = attn_back;
    t->attn_back_bytes = attn_back_bytes;
    t->act_columns = columns_to_tiles;
}
