/* isa_detect - what the processor and the operating system say; the mode of floating point. */
#include "hw/isa_detect.h"

#include "hw/isa.h"

#include <stdint.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xmmintrin.h>

enum { ARCH_GET_XCOMP_PERM_ = 0x1022, ARCH_REQ_XCOMP_PERM_ = 0x1023, XFEATURE_TILEDATA = 18 };

/* What CPUID calls them: leaf 1 ecx, leaf 7 ebx/ecx/edx, leaf 7.1 eax. */
enum {
    L1C_FMA = 1u << 12,
    L1C_OSXSAVE = 1u << 27,
    L1C_AVX = 1u << 28,
    L1C_F16C = 1u << 29,
    L7B_AVX2 = 1u << 5,
    L7B_BMI2 = 1u << 8,
    L7B_AVX512F = 1u << 16,
    L7B_AVX512DQ = 1u << 17,
    L7B_AVX512CD = 1u << 28,
    L7B_AVX512BW = 1u << 30,
    L7C_VBMI = 1u << 1,
    L7C_VNNI = 1u << 11,
    L7D_AMX_BF16 = 1u << 22,
    L7D_AMX_TILE = 1u << 24,
    L7D_AMX_INT8 = 1u << 25,
    L71A_AVX512_BF16 = 1u << 5
};
#define L7B_AVX512VL (1u << 31)

static uint64_t read_xcr0(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return ((uint64_t)hi << 32) | lo;
}

static bool ask_for_tiles(void)
{
    unsigned long mask = 0;
    if (syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM_, XFEATURE_TILEDATA) != 0)
        return false;
    if (syscall(SYS_arch_prctl, ARCH_GET_XCOMP_PERM_, &mask) != 0)
        return false;
    return (mask >> XFEATURE_TILEDATA) & 1;
}

unsigned hone_isa_detect(void)
{
    unsigned sets = 1u << HONE_ISA_SCALAR, a, b, c, d, a1 = 0, unused;
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return sets;
    unsigned need = L1C_FMA | L1C_OSXSAVE | L1C_AVX | L1C_F16C;
    if ((c & need) != need)
        return sets;
    uint64_t xcr0 = read_xcr0();
    if ((xcr0 & 0x6) != 0x6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return sets;
    unsigned leaf7_max = a;
    if (!(b & L7B_AVX2) || !(b & L7B_BMI2))
        return sets;
    sets |= 1u << HONE_ISA_AVX2;
    unsigned need512 = L7B_AVX512F | L7B_AVX512DQ | L7B_AVX512CD | L7B_AVX512BW | L7B_AVX512VL;
    if ((xcr0 & 0xe6) != 0xe6 || (b & need512) != need512 || !(c & L7C_VBMI))
        return sets;
    sets |= 1u << HONE_ISA_AVX512;
    if (!(c & L7C_VNNI))
        return sets;
    sets |= 1u << HONE_ISA_AVX512_VNNI;
    if (leaf7_max >= 1)
        __get_cpuid_count(7, 1, &a1, &unused, &unused, &unused);
    if ((xcr0 & 0x60000) != 0x60000 || !(d & L7D_AMX_TILE) || !(d & L7D_AMX_BF16) ||
        !(a1 & L71A_AVX512_BF16) || !ask_for_tiles())
        return sets;
    sets |= 1u << HONE_ISA_AMX_BF16;
    if (d & L7D_AMX_INT8)
        sets |= 1u << HONE_ISA_AMX_INT8;
    return sets;
}

bool hone_isa_has_bf16(void)
{
    uint32_t a = 0, b, c, d;
    if (!hone_isa_supported(HONE_ISA_AVX512) || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || a < 1)
        return false;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & L71A_AVX512_BF16);
}

unsigned hone_fp_mode_enter(void)
{
    unsigned former = _mm_getcsr();
    /* flush-to-zero, denormals-are-zero, round to nearest, exceptions masked */
    _mm_setcsr((former & ~0x6000u) | 0x8000u | 0x40u | 0x1f80u);
    return former;
}

void hone_fp_mode_leave(unsigned former)
{
    _mm_setcsr(former);
}

#else

bool hone_isa_has_bf16(void)
{
    return false;
}

unsigned hone_isa_detect(void)
{
    return 1u << HONE_ISA_SCALAR;
}

unsigned hone_fp_mode_enter(void)
{
    return 0;
}

void hone_fp_mode_leave(unsigned former)
{
    (void)former;
}

#endif
