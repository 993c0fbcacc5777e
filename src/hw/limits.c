#include "hw/limits.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/threads.h"
#include "hw/machine.h"

#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
    CHUNK_BYTES = 2 << 20,
    STREAMS = 8,
    READ_PASSES = 6,
    PEAK_PASSES = 4,
    PEAK_PIECES = 16, /* per thread */
    AHEAD_BYTES = 2048,
    CACHE_PASS_BYTES = 256 << 20,
    CACHE_SUMS = 4
};

static const double CLEARLY_FASTER = 1.3;

/* The result is wanted, as far as the compiler can tell. */
static inline void keep(uint64_t x)
{
    __asm__ volatile("" : : "r"(x));
}

typedef struct reader {
    uint8_t *data;
    size_t bytes;
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

/* Of a cache near the core: it needs no asking ahead. */
__attribute__((target("avx2"))) static uint64_t sum_near_avx2(const uint8_t *p, size_t bytes)
{
    __m256i acc[8];
    for (size_t a = 0; a < 8; a++)
        acc[a] = _mm256_setzero_si256();
    for (size_t i = 0; i < bytes; i += 256)
#pragma GCC unroll 8
        for (size_t a = 0; a < 8; a++)
            acc[a] = _mm256_add_epi64(
                acc[a], _mm256_loadu_si256((const __m256i *)(const void *)(p + i + 32 * a)));
    for (size_t a = 1; a < 8; a++)
        acc[0] = _mm256_add_epi64(acc[0], acc[a]);
    return (uint64_t)_mm256_extract_epi64(acc[0], 0) + (uint64_t)_mm256_extract_epi64(acc[0], 3);
}

__attribute__((target("avx512f"))) static uint64_t sum_near_avx512(const uint8_t *p, size_t bytes)
{
    __m512i acc[8];
    for (size_t a = 0; a < 8; a++)
        acc[a] = _mm512_setzero_si512();
    for (size_t i = 0; i < bytes; i += 512)
#pragma GCC unroll 8
        for (size_t a = 0; a < 8; a++)
            acc[a] = _mm512_add_epi64(acc[a], _mm512_loadu_si512(p + i + 64 * a));
    for (size_t a = 1; a < 8; a++)
        acc[0] = _mm512_add_epi64(acc[0], acc[a]);
    uint64_t n[8];
    _mm512_storeu_si512(n, acc[0]);
    return n[0] + n[7];
}

/* STREAMS parts of p side by side: more lines under way at once than some processors ask for
 * along one stream */
__attribute__((target("avx2"))) static uint64_t sum_streams(const uint8_t *p, size_t bytes)
{
    __m256i acc[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    const size_t part = bytes / STREAMS;
    for (size_t i = 0; i < part; i += 64)
#pragma GCC unroll 8
        for (size_t s = 0; s < STREAMS; s++) {
            const uint8_t *at = p + s * part + i;
            _mm_prefetch((const char *)at + AHEAD_BYTES, _MM_HINT_T0);
            for (size_t a = 0; a < 2; a++)
                acc[a] = _mm256_add_epi64(
                    acc[a], _mm256_loadu_si256((const __m256i *)(const void *)(at + 32 * a)));
        }
    acc[0] = _mm256_add_epi64(acc[0], acc[1]);
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
        keep(sum_avx2(p, CHUNK_BYTES));
        return;
    }
#endif
    keep(sum_plain(p, CHUNK_BYTES));
}

static void read_chunk_streams(void *arg, size_t item, int thread)
{
#if defined(__x86_64__)
    const reader *r = arg;
    if (hone_isa_supported(HONE_ISA_AVX2)) {
        keep(sum_streams(r->data + item * CHUNK_BYTES, CHUNK_BYTES));
        return;
    }
#endif
    read_chunk(arg, item, thread);
}

/* More than the last-level cache, at least 256 MiB, at most 1 GiB and a quarter of the free memory
 * and of what the control group allows. */
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
    if ((double)bytes > hone_machine_memory_bytes("") / 4)
        bytes = (size_t)hone_machine_memory_bytes("") / 4;
    if (bytes < (size_t)32 << 20)
        bytes = (size_t)32 << 20;
    return bytes / CHUNK_BYTES * CHUNK_BYTES;
}

#if defined(__x86_64__)
/* Past the caches, as a copy that large does: a line that is only written need not be read. */
static void stream_chunk(uint8_t *to, const uint8_t *from)
{
    __m128i fill = _mm_set1_epi8(0x5a);
    for (size_t i = 0; i < CHUNK_BYTES; i += 64) {
        for (size_t k = 0; k < 64; k += 16)
            _mm_stream_si128((__m128i *)(void *)(to + i + k),
                             from ? _mm_loadu_si128((const __m128i *)(const void *)(from + i + k))
                                  : fill);
    }
    _mm_sfence();
}
#else
static void stream_chunk(uint8_t *to, const uint8_t *from)
{
    if (from)
        memcpy(to, from, CHUNK_BYTES);
    else
        memset(to, 0x5a, CHUNK_BYTES);
}
#endif

static void write_chunk(void *arg, size_t item, int thread)
{
    reader *r = arg;
    (void)thread;
    stream_chunk(r->data + item * CHUNK_BYTES, NULL);
}

/* The first half over the second. */
static void copy_chunk(void *arg, size_t item, int thread)
{
    reader *r = arg;
    size_t half = r->bytes / CHUNK_BYTES / 2;
    (void)thread;
    stream_chunk(r->data + (half + item) * CHUNK_BYTES, r->data + item * CHUNK_BYTES);
}

/* The best of a few passes over so many chunks; *noise (may be NULL): how far the middle one lies
 * below it. */
static double best_pass(hone_pool *pool, hone_pool_fn *fn, reader *r, size_t chunks, double *noise)
{
    double rates[READ_PASSES] = {0};
    for (int pass = 0; pass < READ_PASSES; pass++) {
        double begin = hone_clock_s();
        hone_pool_run(pool, fn, r, chunks);
        double rate = (double)(chunks * CHUNK_BYTES) / (hone_clock_s() - begin);
        int at = pass;
        for (; at > 0 && rates[at - 1] < rate; at--)
            rates[at] = rates[at - 1];
        rates[at] = rate;
    }
    if (noise)
        *noise = 1 - rates[READ_PASSES / 2] / rates[0];
    return rates[0];
}

static hone_status open_reader(hone_pool *pool, reader *r)
{
    *r = (reader){.bytes = read_buffer_bytes()};
    r->data = hone_alloc_big(r->bytes);
    if (!r->data)
        return hone_fail_memory(r->bytes, "measuring the memory");
    hone_pool_run(pool, fill_chunk, r, r->bytes / CHUNK_BYTES);
    return HONE_OK;
}

/* ---- caches ---- */

typedef uint64_t sum_fn(const uint8_t *p, size_t bytes);

typedef struct cache_reader {
    const uint8_t *data;
    size_t bytes, rounds; /* of each item's own part */
    sum_fn *sum;
} cache_reader;

static void read_part(void *arg, size_t item, int thread)
{
    cache_reader *c = arg;
    const uint8_t *p = c->data + item * c->bytes;
    (void)thread;
    for (size_t r = 0; r < c->rounds; r++)
        keep(c->sum(p, c->bytes));
}

/* Ways of reading; a level's limit is what the best of them reaches. */
static size_t list_sums(sum_fn *sums[CACHE_SUMS])
{
    size_t n = 0;
#if defined(__x86_64__)
    if (hone_isa_supported(HONE_ISA_AVX512))
        sums[n++] = sum_near_avx512;
    if (hone_isa_supported(HONE_ISA_AVX2)) {
        sums[n++] = sum_near_avx2;
        sums[n++] = sum_avx2;
        sums[n++] = sum_streams;
        return n;
    }
#endif
    sums[n++] = sum_plain;
    return n;
}

static double best_cache_pass(hone_pool *pool, cache_reader *c)
{
    sum_fn *sums[CACHE_SUMS];
    size_t n = list_sums(sums), threads = (size_t)hone_pool_threads(pool);
    double best = 0;
    for (size_t i = 0; i < n * PEAK_PASSES; i++) {
        c->sum = sums[i % n];
        double begin = hone_clock_s();
        hone_pool_run(pool, read_part, c, threads);
        double rate = (double)(c->bytes * c->rounds * threads) / (hone_clock_s() - begin);
        best = rate > best ? rate : best;
    }
    return best;
}

/* Each thread goes over a part of its own again and again; half of the level, so that what else
 * lives there does not push it out. */
static void measure_caches(hone_pool *pool, const reader *r, hone_limits *out)
{
    static const int names[HONE_CACHE_LEVELS] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE,
                                                 _SC_LEVEL3_CACHE_SIZE};
    size_t threads = (size_t)hone_pool_threads(pool);
    for (int i = 0; i < HONE_CACHE_LEVELS; i++) {
        long bytes = sysconf(names[i]);
        out->cache[i].bytes = bytes > 0 ? (size_t)bytes : 0;
        cache_reader c = {.data = r->data, .bytes = out->cache[i].bytes / 2};
        if (i == 2)
            c.bytes /= threads;
        c.bytes = c.bytes / 512 * 512;
        if (c.bytes == 0 || c.bytes > r->bytes / threads)
            continue;
        /* the faster a level, the more bytes take long enough for the clock */
        c.rounds = ((size_t)CACHE_PASS_BYTES >> i) / c.bytes + 1;
        out->cache[i].read_bytes_s = best_cache_pass(pool, &c);
    }
}

static hone_status measure_memory(hone_pool *pool, bool all, hone_limits *out)
{
    reader r;
    HONE_TRY(open_reader(pool, &r));
    size_t chunks = r.bytes / CHUNK_BYTES;
    out->read_bytes_s = best_pass(pool, read_chunk, &r, chunks, &out->noise);
    double noise, streams = best_pass(pool, read_chunk_streams, &r, chunks, &noise);
    if (streams > out->read_bytes_s) { /* the limit is what any way of reading reaches */
        out->read_bytes_s = streams;
        out->noise = noise;
    }
    if (all) {
        measure_caches(pool, &r, out);
        out->copy_bytes_s = best_pass(pool, copy_chunk, &r, chunks / 2, NULL);
        out->write_bytes_s = best_pass(pool, write_chunk, &r, chunks, NULL);
    }
    hone_free_big(r.data, r.bytes);
    return HONE_OK;
}

/* ---- arithmetic ---- */

typedef struct worker {
    hone_peak peak;
    size_t rounds;
    const void *data;
} worker;

static void run_piece(void *arg, size_t item, int thread)
{
    const worker *w = arg;
    (void)item;
    (void)thread;
    unsigned mode = hone_fp_mode_enter();
    hone_peak_run(w->peak, w->data, w->rounds);
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
static double measure_ops(hone_pool *pool, hone_peak peak, const uint8_t *data)
{
    bool tiles = peak == HONE_PEAK_AMX_BF16 || peak == HONE_PEAK_AMX_INT8;
    worker w = {
        .peak = peak, .rounds = 1000, .data = tiles ? data + HONE_PEAK_DATA_BYTES / 2 : data};
    size_t pieces = (size_t)hone_pool_threads(pool) * PEAK_PIECES;
    double best = 0, begin, per_round = hone_peak_run(peak, w.data, 1);
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
    hone_limits l = {0};
    HONE_TRY(open_pool(threads, &pool));
    hone_status s = measure_memory(pool, false, &l);
    *bytes_s = l.read_bytes_s;
    hone_pool_close(pool);
    return s;
}

/* The kind of arithmetic that ops_s counts for an instruction set; HONE_PEAK_COUNT = none. */
static hone_peak peak_of(hone_isa isa)
{
    static const hone_peak peaks[HONE_ISA_COUNT] = {
        [HONE_ISA_SCALAR] = HONE_PEAK_COUNT,      [HONE_ISA_AVX2] = HONE_PEAK_AVX2_F32,
        [HONE_ISA_AVX512] = HONE_PEAK_AVX512_F32, [HONE_ISA_AVX512_VNNI] = HONE_PEAK_AVX512_INT8,
        [HONE_ISA_AMX_BF16] = HONE_PEAK_AMX_BF16, [HONE_ISA_AMX_INT8] = HONE_PEAK_AMX_INT8,
    };
    return peaks[isa];
}

hone_status hone_limits_measure(int threads, hone_limits *out)
{
    hone_pool *pool;
    memset(out, 0, sizeof *out);
    HONE_TRY(open_pool(threads, &pool));
    out->threads = hone_pool_threads(pool);
    hone_status s = measure_memory(pool, true, out);
    uint8_t *data = s == HONE_OK ? hone_malloc(HONE_PEAK_DATA_BYTES) : NULL;
    if (s == HONE_OK && !data)
        s = hone_fail_memory(HONE_PEAK_DATA_BYTES, "measuring the arithmetic");
    if (s == HONE_OK) {
        fill_random(data);
        for (int p = 0; p < HONE_PEAK_COUNT; p++)
            if (hone_peak_supported((hone_peak)p))
                out->peak_ops_s[p] = measure_ops(pool, (hone_peak)p, data);
        for (int isa = 0; isa < HONE_ISA_COUNT; isa++)
            if (peak_of((hone_isa)isa) != HONE_PEAK_COUNT)
                out->ops_s[isa] = out->peak_ops_s[peak_of((hone_isa)isa)];
    }
    hone_free(data);
    hone_pool_close(pool);
    return s;
}

double hone_limits_cache_bytes(const hone_limits *l)
{
    double most = 0;
    for (int i = 0; i < HONE_CACHE_LEVELS; i++) {
        /* the last is shared, of the others each thread has its own */
        double bytes = (double)l->cache[i].bytes * (i == HONE_CACHE_LEVELS - 1 ? 1 : l->threads);
        if (l->cache[i].read_bytes_s > CLEARLY_FASTER * l->read_bytes_s && bytes > most)
            most = bytes;
    }
    return most;
}

const char *hone_peak_name(hone_peak p)
{
    static const char *const names[HONE_PEAK_COUNT] = {
#define HONE_PEAK_NAME(id, isa, name, text) name,
        HONE_PEAK_LIST(HONE_PEAK_NAME)
#undef HONE_PEAK_NAME
    };
    return p < HONE_PEAK_COUNT ? names[p] : "?";
}

const char *hone_peak_text(hone_peak p)
{
    static const char *const texts[HONE_PEAK_COUNT] = {
#define HONE_PEAK_TEXT(id, isa, name, text) text,
        HONE_PEAK_LIST(HONE_PEAK_TEXT)
#undef HONE_PEAK_TEXT
    };
    return p < HONE_PEAK_COUNT ? texts[p] : "?";
}
