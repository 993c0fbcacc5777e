/*
 * isa - the instruction sets that hone has kernels for, and which of them this process may use.
 *
 * A set counts as supported when the processor has it (CPUID), the operating system saves its
 * registers (XGETBV) and, for AMX, the process has the permission for tile data (arch_prctl), which
 * hone_isa_supported asks for. Call hone_isa_pick once before threads start: the permission then
 * holds for all of them.
 *
 * Threading: any thread; the first call detects, later ones read.
 */
#ifndef HONE_HW_ISA_H
#define HONE_HW_ISA_H

#include "base/status.h"

#include <stdbool.h>

/* X(id, name), from weakest to strongest. */
#define HONE_ISA_LIST(X)                                                                           \
    X(SCALAR, "scalar")                                                                            \
    X(AVX2, "avx2")                                                                                \
    X(AVX512, "avx512")                                                                            \
    X(AVX512_VNNI, "avx512-vnni")                                                                  \
    X(AMX_BF16, "amx-bf16")                                                                        \
    X(AMX_INT8, "amx-int8")

typedef enum hone_isa {
#define HONE_ISA_ENUM(id, name) HONE_ISA_##id,
    HONE_ISA_LIST(HONE_ISA_ENUM)
#undef HONE_ISA_ENUM
        HONE_ISA_COUNT
} hone_isa;

const char *hone_isa_name(hone_isa isa); /* "avx2"; "?" if there is no such set */
bool hone_isa_supported(hone_isa isa);   /* HONE_ISA_SCALAR always is */
/* Whether the processor has VDPBF16PS on AVX-512 (AVX512_BF16, supported with HONE_ISA_AVX512). */
bool hone_isa_has_bf16(void);
hone_isa hone_isa_best(void); /* the strongest supported */

/* The set to run with: `name`, or the environment's HONE_ISA if name is NULL or "", or the best if
 * that is unset too. Errors: USAGE, listing the supported sets, if the name is unknown or
 * unavailable here. */
HONE_CHECKED hone_status hone_isa_pick(const char *name, hone_isa *out);

/* Flush-to-zero and denormals-are-zero, which every kernel expects of its thread. enter returns the
 * former mode for leave. A worker thread that runs only kernels may enter once and never leave. */
unsigned hone_fp_mode_enter(void);
void hone_fp_mode_leave(unsigned former);

#endif
