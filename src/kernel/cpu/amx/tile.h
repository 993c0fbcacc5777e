/*
 * tile - the AMX instructions that hone uses, as macros over literal tile numbers 0..7. With
 * HONE_TILE_EMULATE they are plain C that follows Intel's Software Developer's Manual (TDPBF16PS
 * with the order of sums that docs/numerics.md takes as its definition), so that the kernels' logic
 * is tested on any machine with AVX-512.
 *
 * The real ones are inline assembly that clobbers memory: gcc 12's _tile_loadconfig lacks it
 * (PR114098), and stores to the configuration could be dropped.
 */
#ifndef HONE_KERNEL_AMX_TILE_H
#define HONE_KERNEL_AMX_TILE_H

#include <stdint.h>
#include <string.h>

/* The operand of LDTILECFG: bytes per row and rows of each tile. */
typedef struct __attribute__((aligned(64))) tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

/* Accumulators (0..3) of `rows` rows of 64 bytes; activations (4, 5) of `rows` rows of k bfloat16
 * numbers, weights (6, 7) of k / 2 rows of 64 bytes. k is 32, or 16 for blocks of 16. */
static inline void tile_fill_config(tile_config *c, int rows, int k)
{
    memset(c, 0, sizeof *c);
    c->palette = 1;
    for (int i = 0; i < 8; i++) {
        c->row_bytes[i] = (uint16_t)(i == 4 || i == 5 ? 2 * k : 64);
        c->rows[i] = (uint8_t)(i >= 6 ? k / 2 : rows);
    }
}

#ifndef HONE_TILE_EMULATE

#define tile_set_config(c) __asm__ volatile("ldtilecfg %0" ::"m"(*(c)) : "memory")
#define tile_release()     __asm__ volatile("tilerelease" ::: "memory")
#define tile_zero(t)       __asm__ volatile("tilezero %%tmm" #t ::: "memory")
#define tile_load(t, p, stride)                                                                    \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t ::"r"(p), "r"((int64_t)(stride)) : "memory")
#define tile_store(t, p, stride)                                                                   \
    __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)" ::"r"(p), "r"((int64_t)(stride))          \
                     : "memory")
/* tile c += tile a x tile b */
#define tile_dpbf16(c, a, b)                                                                       \
    __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::: "memory")

#else

#include "dtype/half.h"

#include <stdlib.h>

static _Thread_local struct {
    tile_config config;
    uint8_t data[8][16][64];
} emulated;

static inline void emulated_check(int t)
{
    if (emulated.config.palette != 1 || !emulated.config.rows[t] || emulated.config.rows[t] > 16)
        abort(); /* the processor would fault: no configuration is loaded */
}

static inline void emulated_load(int t, const void *p, int64_t stride)
{
    emulated_check(t);
    memset(emulated.data[t], 0, sizeof emulated.data[t]);
    for (int r = 0; r < emulated.config.rows[t]; r++)
        memcpy(emulated.data[t][r], (const uint8_t *)p + r * stride, emulated.config.row_bytes[t]);
}

static inline void emulated_store(int t, void *p, int64_t stride)
{
    emulated_check(t);
    for (int r = 0; r < emulated.config.rows[t]; r++)
        memcpy((uint8_t *)p + r * stride, emulated.data[t][r], emulated.config.row_bytes[t]);
}

static inline float emulated_bf16(int t, int row, int element)
{
    uint16_t h;
    memcpy(&h, &emulated.data[t][row][2 * element], 2);
    return hone_bf16_to_f32(h);
}

static inline void emulated_dpbf16(int c, int a, int b)
{
    emulated_check(a);
    emulated_check(b);
    for (int m = 0; m < emulated.config.rows[c]; m++)
        for (int n = 0; n < 16; n++) {
            float even = 0.0f, odd = 0.0f, sum;
            for (int k = 0; k < emulated.config.rows[b]; k++) {
                even = __builtin_fmaf(emulated_bf16(a, m, 2 * k), emulated_bf16(b, k, 2 * n), even);
                odd = __builtin_fmaf(emulated_bf16(a, m, 2 * k + 1), emulated_bf16(b, k, 2 * n + 1),
                                     odd);
            }
            memcpy(&sum, &emulated.data[c][m][4 * n], 4);
            sum += even + odd;
            memcpy(&emulated.data[c][m][4 * n], &sum, 4);
        }
}

#define tile_set_config(c)       ((void)(emulated.config = *(c)))
#define tile_release()           ((void)(emulated.config.palette = 0))
#define tile_zero(t)             (emulated_check(t), (void)memset(emulated.data[t], 0, 1024))
#define tile_load(t, p, stride)  emulated_load(t, p, stride)
#define tile_store(t, p, stride) emulated_store(t, p, stride)
#define tile_dpbf16(c, a, b)     emulated_dpbf16(c, a, b)

#endif
#endif
