/*
 * backward of the AMX set: activations that only tiles read (HONE_ACT_TILES), written to them at
 * once. A tile of 16 rows x 32 along K is 16 rows of 16 pairs; taken from columns, it is a block of
 * a BF16 panel (16 rows of K, two by two, x 16 columns) whose 16 x 16 pairs are transposed.
 */
#include "kernel/cpu/avx512/turn.h"

#include "kernel/kernel.h"
#include "kernel/table.h"

static hone_act_pack_fn *pack_below;
static hone_act_columns_fn *columns_below;

/* Row `row` of a block of 32 along K, 64 bytes; the rows after it follow. */
static uint16_t *tile_row(const hone_act *a, size_t row, size_t block)
{
    size_t n = a->tile_rows;
    return a->bf16 + ((row / n * (a->k_pad / 32) + block) * n + row % n) * 32;
}

/* Numbers that are rounded already, as bfloat16 */
static __m512i halves(v16 low, v16 high)
{
    __m512i words = _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33,
                                     31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    return _mm512_permutex2var_epi16(_mm512_castps_si512(low), words, _mm512_castps_si512(high));
}

static void act_pack(hone_act *act, const float *x, size_t ldx, size_t row0, size_t row1)
{
    if (act->f32 || act->half) {
        pack_below(act, x, ldx, row0, row1);
        return;
    }
    for (size_t r = row0; r < row1; r++)
        for (size_t k = 0; k < act->k_pad; k += 32) {
            const float *at = x + r * ldx + k;
            size_t n = act->k - k, low = n < 16 ? n : 16;
            v16 a = v16_load_n(at, low), b = n > 16 ? v16_load_n(at + 16, n - 16) : v16_zero();
            _mm512_storeu_si512(tile_row(act, r, k / 32),
                                halves(v16_round_bf16(a), v16_round_bf16(b)));
        }
}

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

static void act_columns(hone_act *act, const float *x, size_t ldx, size_t k0, size_t k1)
{
    if (act->f32 || act->half) {
        columns_below(act, x, ldx, k0, k1);
        for (size_t r = 0; r < act->rows && act->bf16 && act->f32; r++)
            for (size_t k = k0; k < k1 && !(act->flags & HONE_ACT_F32); k += 32) {
                const float *at = act->f32 + r * act->ld + k;
                _mm512_storeu_si512(tile_row(act, r, k / 32),
                                    halves(v16_load(at), v16_load(at + 16)));
            }
        return;
    }
    for (size_t k = k0; k < k1; k += 32)
        for (size_t r = 0; r < act->rows; r += 16)
            turn_block(x + k * ldx + r, ldx, k1 - k < 32 ? k1 - k : 32,
                       act->rows - r < 16 ? act->rows - r : 16, tile_row(act, r, k / 32));
}

void hone_kernels_amx_back(hone_kernels *t)
{
    pack_below = t->act_pack;
    columns_below = t->act_columns;
    t->act_pack = act_pack;
    t->act_columns = act_columns;
}
