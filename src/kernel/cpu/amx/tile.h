/*
 * tile - the AMX instructions that hone uses, as macros over literal tile numbers 0..7. Inline
 * assembly that clobbers memory: gcc 12's _tile_loadconfig lacks it (PR114098), and stores to the
 * configuration could be dropped.
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

/* Accumulators (0..3) of `rows` rows of 64 bytes; activations (4, 5) of `rows` rows of k bytes,
 * weights (6, 7) of k / 4 rows of 64 bytes. k is a multiple of 4, at most 64. */
static inline void tile_fill_config(tile_config *c, int rows, int k)
{
    memset(c, 0, sizeof *c);
    c->palette = 1;
    for (int i = 0; i < 8; i++) {
        c->row_bytes[i] = (uint16_t)(i == 4 || i == 5 ? k : 64);
        c->rows[i] = (uint8_t)(i >= 6 ? k / 4 : rows);
    }
}

#define tile_set_config(c) __asm__ volatile("ldtilecfg %0" ::"m"(*(c)) : "memory")
#define tile_release()     __asm__ volatile("tilerelease" ::: "memory")
#define tile_zero(t)       __asm__ volatile("tilezero %%tmm" #t ::: "memory")
#define tile_load(t, p, stride)                                                                    \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t ::"r"(p), "r"((int64_t)(stride)) : "memory")
/* The same of what is not needed again soon: it should not drive other lines out of L1. */
#define tile_load_past(t, p, ld)                                                                   \
    __asm__ volatile("tileloaddt1 (%0,%1,1), %%tmm" #t ::"r"(p), "r"((int64_t)(ld)) : "memory")
#define tile_store(t, p, stride)                                                                   \
    __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)" ::"r"(p), "r"((int64_t)(stride))          \
                     : "memory")
/* tile c += tile a x tile b */
#define tile_dpbf16(c, a, b)                                                                       \
    __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::: "memory")
#define tile_dpbssd(c, a, b)                                                                       \
    __asm__ volatile("tdpbssd %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::: "memory")

#endif
