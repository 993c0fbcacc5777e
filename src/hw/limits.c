#include "hw/limits.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/threads.h"

#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
    CHUNK_BYTES = 2 << 20,
    READ_PASSES = 6,
    PEAK_PASSES = 4,
    PEAK_PIECES = 16, /* per thread */
    AHEAD_BYTES = 2048
};

typedef struct reader {
    uint8_t *data;
    size_t bytes;
    volatile uint64_t sink;
} reader;

static void fill_chunk(void *arg, size_t item, int thread)
{
    const reader *r = arg;
    uint64_t *words = (uint64_t *)(void *)(r->data + item * CHUNK_BYTES);
    uint64_t x = hone_rng_u64(1, 2, item) | 1;
    (void)thread;
    for (size_t i = 0; i < CHUNK_BYTES / sizeof *words; i++) { /* xorshift64 (Marsaglia 2003) */
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        words[i] = x;
    }
}

static uint64_t sum_plain(const uint8_t *p, size_t bytes)
{
    uint64_t sums[8] = {0};
    for (size_t i = 0; i < bytes; i += 64) {
        uint64_t line[8];
        memcpy(line, p + i, sizeof line);
        for (int w = 0; w < 8; w++)
            sums[w] += line[w];
    }
    return sums[0] + sums[1] + sums[2] + sums[3] + sums[4] + sums[5] + sums[6] + sums[7];
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static uint64_t sum_avx2(const uint8_t *p, size_t bytes)
{
    __m256i acc[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                      _mm256_setzero_si256()};
    for (size_t i = 0; i < bytes; i += 128) {
        _mm_prefetch((const char *)p + i + AHEAD_BYTES, _MM_HINT_T0);
        _mm_prefetch((const char *)p + i + AHEAD_BYTES + 64, _MM_HINT_T0);
#pragma GCC unroll 4
        for (size_t a = 0; a < 4; a++)
            acc[a] = _mm256_add_epi64(
                acc[a], _mm256_loadu_si256((const __m256i *)(const void *)(p + i + 32 * a)));
    }
    acc[0] = _mm256_add_epi64(_mm256_add_epi64(acc[0], acc[1]), _mm256_add_epi64(acc[2], acc[3]));
    return (uint64_t)_mm256_extract_epi64(acc[0], 0) + (uint64_t)_mm256_extract_epi64(acc[0], 3);
}
#endif

static void read_chunk(void *arg, size_t item, int thread)
{
    reader *r = arg;
    const uint8_t *p = r->data + item * CHUNK_BYTES;
    (void)thread;
#if defined(__x86_64__)
    if (hone_isa_supported(HONE_ISA_AVX2)) {
        r->sink = sum_avx2(p, CHUNK_BYTES);
        return;
    }
#endif
    r->sink = sum_plain(p, CHUNK_BYTES);
}

/* More than the last-level cache, at least 256 MiB, at most 1 GiB and a quarter of the free memory.
 */
static size_t read_buffer_bytes(void)
{
    const long cache = sysconf(_SC_LEVEL3_CACHE_SIZE), page = sysconf(_SC_PAGESIZE);
    const long free_pages = sysconf(_SC_AVPHYS_PAGES);
    size_t bytes = (size_t)256 << 20;
    if (cache > 0 && 4 * (size_t)cache > bytes)
        bytes = 4 * (size_t)cache;
    if (bytes > (size_t)1 << 30)
        bytes = (size_t)1 << 30;
    if (page > 0 && free_pages > 0 && bytes > (size_t)free_pages / 4 * (size_t)page)
        bytes = (size_t)free_pages / 4 * (size_t)page;
    if (bytes < (size_t)32 << 20)
        bytes = (size_t)32 << 20;
    return bytes / CHUNK_BYTES * CHUNK_BYTES;
}

static hone_status measure_read(hone_pool *pool, double *bytes_s)
{
    reader r = {.bytes = read_buffer_bytes()};
    r.data = hone_alloc_big(r.bytes);
    if (!r.data)
        return hone_fail_memory(r.bytes, "measuring the memory");
    hone_pool_run(pool, fill_chunk, &r, r.bytes / CHUNK_BYTES);
    *bytes_s = 0;
    for (int pass = 0; pass < READ_PASSES; pass++) {
        double begin = hone_clock_s();
        hone_pool_run(pool, read_chunk, &r, r.bytes / CHUNK_BYTES);
        double rate = (double)r.bytes / (hone_clock_s() - begin);
        if (rate > *bytes_s)
            *bytes_s = rate;
    }
    hone_free_big(r.data, r.bytes);
    return HONE_OK;
}

typedef struct worker {
    hone_isa isa;
    size_t rounds;
    const void *data;
} worker;

static void run_piece(void *arg, size_t item, int thread)
{
    const worker *w = arg;
    (void)item;
    (void)thread;
    unsigned mode = hone_fp_mode_enter();
    hone_peak_run(w->isa, w->data, w->rounds);
    hone_fp_mode_leave(mode);
}

/* Random numbers in [-1, 1): as float32 in the first half, as bfloat16 in the second. */
static void fill_random(void *data)
{
    float *x = data;
    uint16_t *b = (uint16_t *)(void *)(x + HONE_PEAK_DATA_BYTES / 8);
    for (size_t i = 0; i < HONE_PEAK_DATA_BYTES / 8; i++)
        x[i] = (float)(2 * hone_rng_uniform(3, 0, i) - 1);
    for (size_t i = 0; i < HONE_PEAK_DATA_BYTES / 4; i++) {
        float f = (float)(2 * hone_rng_uniform(3, 1, i) - 1);
        uint32_t bits;
        memcpy(&bits, &f, sizeof bits);
        b[i] = (uint16_t)(bits >> 16);
    }
}

/* Best rate of a few passes of about 10 ms on every thread. */
static double measure_ops(hone_pool *pool, hone_isa isa, const uint8_t *data)
{
    bool tiles = isa == HONE_ISA_AMX_BF16 || isa == HONE_ISA_AMX_INT8;
    worker w = {.isa = isa, .rounds = 1000, .data = tiles ? data + HONE_PEAK_DATA_BYTES / 2 : data};
    size_t pieces = (size_t)hone_pool_threads(pool) * PEAK_PIECES;
    double best = 0, begin, per_round = hone_peak_run(isa, w.data, 1);
    if (per_round <= 0)
        return 0;
    do { /* grow until a pass is long enough for the clock */
        w.rounds *= 2;
        begin = hone_clock_s();
        hone_pool_run(pool, run_piece, &w, pieces);
    } while (hone_clock_s() - begin < 0.01);
    for (int pass = 0; pass < PEAK_PASSES; pass++) {
        begin = hone_clock_s();
        hone_pool_run(pool, run_piece, &w, pieces);
        double rate = per_round * (double)w.rounds * (double)pieces / (hone_clock_s() - begin);
        if (rate > best)
            best = rate;
    }
    return best;
}

static hone_status open_pool(int threads, hone_pool **pool)
{
    hone_isa_supported(
        HONE_ISA_AMX_BF16); /* asks for the tile permission before there are threads */
    return hone_pool_open(threads, NULL, pool);
}

hone_status hone_limits_measure_read(int threads, double *bytes_s)
{
    hone_pool *pool;
    HONE_TRY(open_pool(threads, &pool));
    hone_status s = measure_read(pool, bytes_s);
    hone_pool_close(pool);
    return s;
}

hone_status hone_limits_measure(int threads, hone_limits *out)
{
    hone_pool *pool;
    memset(out, 0, sizeof *out);
    HONE_TRY(open_pool(threads, &pool));
    out->threads = hone_pool_threads(pool);
    hone_status s = measure_read(pool, &out->read_bytes_s);
    uint8_t *data = s == HONE_OK ? hone_malloc(HONE_PEAK_DATA_BYTES) : NULL;
    if (s == HONE_OK && !data)
        s = hone_fail_memory(HONE_PEAK_DATA_BYTES, "measuring the arithmetic");
    if (s == HONE_OK) {
        fill_random(data);
        for (int isa = 0; isa < HONE_ISA_COUNT; isa++) {
            if (hone_isa_supported((hone_isa)isa))
                out->ops_s[isa] = measure_ops(pool, (hone_isa)isa, data);
        }
    }
    hone_free(data);
    hone_pool_close(pool);
    return s;
}

const char *hone_limits_ops_text(hone_isa isa)
{
    static const char *const texts[HONE_ISA_COUNT] = {
        [HONE_ISA_AVX2] = "float32 FMA",
        [HONE_ISA_AVX512] = "float32 FMA",
        [HONE_ISA_AVX512_VNNI] = "int8 dot products",
        [HONE_ISA_AMX_BF16] = "bf16 tiles",
        [HONE_ISA_AMX_INT8] = "int8 tiles",
    };
    return isa >= 0 && isa < HONE_ISA_COUNT && texts[isa] ? texts[isa] : "";
}
