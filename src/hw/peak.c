/* peak - arithmetic from registers, as densely as each instruction set allows. */
#include "hw/limits.h"

#if defined(__x86_64__)
#include <immintrin.h>

enum { CHAINS = 12 }; /* independent accumulators: two ports of latency four, and some to spare */

/* The sums must look used, or the compiler removes the work. */
static inline void keep_float(float x)
{
    __asm__ volatile("" : : "x"(x));
}

static inline void keep_int(int x)
{
    __asm__ volatile("" : : "r"(x));
}

__attribute__((target("avx2,fma"))) static double peak_avx2(const void *data, size_t rounds)
{
    const float *x = data;
    __m256 acc[CHAINS];
    for (int c = 0; c < CHAINS; c++)
        acc[c] = _mm256_loadu_ps(x + 8 * c);
    for (size_t r = 0; r < rounds; r++) {
        __m256 a = _mm256_loadu_ps(x + (r * 16) % 1024),
               b = _mm256_loadu_ps(x + (r * 16) % 1024 + 8);
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++)
            acc[c] = _mm256_fmadd_ps(acc[c], a, b);
    }
    for (int c = 1; c < CHAINS; c++)
        acc[0] = _mm256_add_ps(acc[0], acc[c]);
    keep_float(_mm256_cvtss_f32(acc[0]));
    return (double)rounds * CHAINS * 8 * 2;
}

__attribute__((target("avx512f"))) static double peak_avx512(const void *data, size_t rounds)
{
    const float *x = data;
    __m512 acc[CHAINS];
    for (int c = 0; c < CHAINS; c++)
        acc[c] = _mm512_loadu_ps(x + 16 * c);
    for (size_t r = 0; r < rounds; r++) {
        __m512 a = _mm512_loadu_ps(x + (r * 32) % 1024),
               b = _mm512_loadu_ps(x + (r * 32) % 1024 + 16);
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++)
            acc[c] = _mm512_fmadd_ps(acc[c], a, b);
    }
    for (int c = 1; c < CHAINS; c++)
        acc[0] = _mm512_add_ps(acc[0], acc[c]);
    keep_float(_mm512_cvtss_f32(acc[0]));
    return (double)rounds * CHAINS * 16 * 2;
}

/* int8 products as AVX2 has them: pairs into 16 bits, pairs of those into 32, and the sum. */
__attribute__((target("avx2"))) static double peak_avx2_int8(const void *data, size_t rounds)
{
    const float *x = data;
    const __m256i one = _mm256_set1_epi16(1);
    __m256i acc[CHAINS];
    for (int c = 0; c < CHAINS; c++)
        acc[c] = _mm256_castps_si256(_mm256_loadu_ps(x + 8 * c));
    for (size_t r = 0; r < rounds; r++) {
        __m256i a = _mm256_castps_si256(_mm256_loadu_ps(x + (r * 16) % 1024));
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++) { /* fresh operands: no chain but that of the sums */
            __m256i b = _mm256_castps_si256(_mm256_loadu_ps(x + 8 * c + (r * 16) % 1024));
            __m256i pairs = _mm256_maddubs_epi16(a, b);
            acc[c] = _mm256_add_epi32(acc[c], _mm256_madd_epi16(pairs, one));
        }
    }
    for (int c = 1; c < CHAINS; c++)
        acc[0] = _mm256_add_epi32(acc[0], acc[c]);
    keep_int(_mm256_extract_epi32(acc[0], 0));
    return (double)rounds * CHAINS * 32 * 2;
}

__attribute__((target("avx512f,avx512bf16"))) static double peak_avx512_bf16(const void *data,
                                                                             size_t rounds)
{
    const float *x = data;
    __m512 acc[CHAINS];
    for (int c = 0; c < CHAINS; c++)
        acc[c] = _mm512_loadu_ps(x + 16 * c);
    for (size_t r = 0; r < rounds; r++) {
        __m512bh a = (__m512bh)_mm512_loadu_ps(x + 1024 + (r * 32) % 512);
        __m512bh b = (__m512bh)_mm512_loadu_ps(x + 1024 + (r * 32) % 512 + 16);
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++)
            acc[c] = _mm512_dpbf16_ps(acc[c], a, b);
    }
    for (int c = 1; c < CHAINS; c++)
        acc[0] = _mm512_add_ps(acc[0], acc[c]);
    keep_float(_mm512_cvtss_f32(acc[0]));
    return (double)rounds * CHAINS * 32 * 2;
}

__attribute__((target("avx512f,avx512vnni"))) static double peak_vnni(const void *data,
                                                                      size_t rounds)
{
    const float *x = data;
    __m512i acc[CHAINS];
    for (int c = 0; c < CHAINS; c++)
        acc[c] = _mm512_loadu_si512(x + 16 * c);
    for (size_t r = 0; r < rounds; r++) {
        __m512i a = _mm512_loadu_si512(x + (r * 32) % 1024);
        __m512i b = _mm512_loadu_si512(x + (r * 32) % 1024 + 16);
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++)
            acc[c] = _mm512_dpbusd_epi32(acc[c], a, b);
    }
    for (int c = 1; c < CHAINS; c++)
        acc[0] = _mm512_add_epi32(acc[0], acc[c]);
    keep_int(_mm_cvtsi128_si32(_mm512_castsi512_si128(acc[0])));
    return (double)rounds * CHAINS * 64 * 2;
}

/* Eight full tiles: 0-3 sums, 4-5 and 6-7 operands. The configuration is per thread; the "memory"
 * clobber matters (gcc PR114098). */
__attribute__((target("amx-tile"))) static void tiles_configure(void)
{
    struct {
        unsigned char palette, start_row, reserved[14];
        unsigned short column_bytes[16];
        unsigned char rows[16];
    } config __attribute__((aligned(64))) = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        config.column_bytes[t] = 64;
        config.rows[t] = 16;
    }
    __asm__ volatile("ldtilecfg %0" : : "m"(config) : "memory");
}

__attribute__((target("amx-tile"))) static void tiles_load(const void *data)
{
    const char *x = data;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_loadd(4, x, 64);
    _tile_loadd(5, x + 1024, 64);
    _tile_loadd(6, x + 2048, 64);
    _tile_loadd(7, x + 3072, 64);
}

__attribute__((target("amx-tile,amx-bf16"))) static double peak_amx_bf16(const void *data,
                                                                         size_t rounds)
{
    tiles_configure();
    tiles_load(data);
    for (size_t r = 0; r < rounds; r++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_release();
    return (double)rounds * 4 * (16 * 16 * 32 * 2);
}

__attribute__((target("amx-tile,amx-int8"))) static double peak_amx_int8(const void *data,
                                                                         size_t rounds)
{
    tiles_configure();
    tiles_load(data);
    for (size_t r = 0; r < rounds; r++) {
        _tile_dpbssd(0, 4, 6);
        _tile_dpbssd(1, 4, 7);
        _tile_dpbssd(2, 5, 6);
        _tile_dpbssd(3, 5, 7);
    }
    _tile_release();
    return (double)rounds * 4 * (16 * 16 * 64 * 2);
}
#endif

bool hone_peak_supported(hone_peak peak)
{
    static const hone_isa needed[HONE_PEAK_COUNT] = {
#define HONE_PEAK_NEEDS(id, isa, name, text) HONE_ISA_##isa,
        HONE_PEAK_LIST(HONE_PEAK_NEEDS)
#undef HONE_PEAK_NEEDS
    };
    return hone_isa_supported(needed[peak]) &&
           (peak != HONE_PEAK_AVX512_BF16 || hone_isa_has_bf16());
}

double hone_peak_run(hone_peak peak, const void *data, size_t rounds)
{
#if defined(__x86_64__)
    typedef double peak_fn(const void *data, size_t rounds);
    static peak_fn *const all[HONE_PEAK_COUNT] = {
        [HONE_PEAK_AVX2_F32] = peak_avx2,     [HONE_PEAK_AVX2_INT8] = peak_avx2_int8,
        [HONE_PEAK_AVX512_F32] = peak_avx512, [HONE_PEAK_AVX512_BF16] = peak_avx512_bf16,
        [HONE_PEAK_AVX512_INT8] = peak_vnni,  [HONE_PEAK_AMX_BF16] = peak_amx_bf16,
        [HONE_PEAK_AMX_INT8] = peak_amx_int8,
    };
    return hone_peak_supported(peak) ? all[peak](data, rounds) : 0;
#else
    (void)peak;
    (void)data;
    (void)rounds;
    return 0;
#endif
}
