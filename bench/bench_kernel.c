/*
 * bench_kernel - every kernel on every instruction set of this machine, one thread, beside what one
 * core can do: multiply-adds from registers and reading memory, both measured in the same run
 * with random data. Usage: bench_kernel [seconds per measurement, default 0.3]
 * [isa [weight type or "all" [products]]]
 */
#include "base/mem.h"
#include "base/rng.h"
#include "hw/limits.h"
#include "kernel/kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static double seconds = 0.3;

typedef void job_fn(void *arg);

/* CPU time of this thread: what other processes take does not count. */
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Best rate of calls per second of CPU time over rounds of `seconds` / 8 (the machine may be
 * shared). */
static double rate(job_fn *fn, void *arg)
{
    double best = 0;
    fn(arg);
    for (int round = 0; round < 8; round++) {
        size_t calls = 0;
        double t0 = now(), t;
        do {
            fn(arg);
            calls++;
            t = now() - t0;
        } while (t < seconds / 8);
        best = (double)calls / t > best ? (double)calls / t : best;
    }
    return best;
}

static void *get(size_t bytes)
{
    void *p = hone_alloc_big(bytes);
    if (!p) {
        fprintf(stderr, "bench_kernel: %s\n", "out of memory");
        exit(7);
    }
    return p;
}

static void fill(void *p, size_t bytes, uint64_t seed)
{
    uint64_t *to = p;
    for (size_t i = 0; i < bytes / 8; i++)
        to[i] = hone_rng_u64(seed, 0, i);
}

static void fill_normal(float *x, size_t n, uint64_t seed)
{
    double g[2];
    for (size_t i = 0; i < n; i++) {
        hone_rng_normal2(seed, 1, i, g);
        x[i] = (float)g[0];
    }
}

/* ---- limits ---------------------------------------------------------------------------------- */

static volatile float sink;
static float start_values[32];

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static void fma_256(void *arg)
{
    (void)arg;
    __m256 c[12], a = _mm256_loadu_ps(start_values), b = _mm256_loadu_ps(start_values + 8);
    for (int i = 0; i < 12; i++)
        c[i] = _mm256_loadu_ps(start_values + i);
    for (int n = 0; n < 10000; n++)
        for (int i = 0; i < 12; i++)
            c[i] = _mm256_fmadd_ps(c[i], a, b);
    for (int i = 1; i < 12; i++)
        c[0] = _mm256_add_ps(c[0], c[i]);
    sink = _mm256_cvtss_f32(c[0]);
}

__attribute__((target("avx512f"))) static void fma_512(void *arg)
{
    (void)arg;
    __m512 c[12], a = _mm512_loadu_ps(start_values), b = _mm512_loadu_ps(start_values + 8);
    for (int i = 0; i < 12; i++)
        c[i] = _mm512_loadu_ps(start_values + i);
    for (int n = 0; n < 10000; n++)
        for (int i = 0; i < 12; i++)
            c[i] = _mm512_fmadd_ps(c[i], a, b);
    for (int i = 1; i < 12; i++)
        c[0] = _mm512_add_ps(c[0], c[i]);
    sink = _mm512_cvtss_f32(c[0]);
}
#endif

static void fma_scalar(void *arg)
{
    (void)arg;
    float c[12];
    memcpy(c, start_values, sizeof c);
    for (int n = 0; n < 1000; n++)
        for (int i = 0; i < 12; i++)
            c[i] = __builtin_fmaf(c[i], start_values[12], start_values[13]);
    for (int i = 1; i < 12; i++)
        c[0] += c[i];
    sink = c[0];
}

#if defined(__x86_64__)
static float tile_values[HONE_PEAK_DATA_BYTES / 4];

static void tiles(void *arg)
{
    hone_peak_run(*(const hone_peak *)arg, tile_values, 5000);
}

/* As hone doctor --measure does it, on bfloat16 in the second half (random bytes: any int8). */
static double peak_tiles(hone_peak peak)
{
    uint16_t *to = (uint16_t *)(void *)tile_values;
    for (size_t i = 0; i < HONE_PEAK_DATA_BYTES / 2; i++)
        to[i] = (uint16_t)(0x3e00 | (hone_rng_u64(7, 0, i) & 0x81ff));
    double ops = hone_peak_run(peak, tile_values, 5000);
    return rate(tiles, &peak) * ops * 1e-9;
}
#endif

/* GFLOP/s of what products of the set are made of: tiles, or fused multiply-adds at the width of
 * its registers */
static double peak_flops(hone_isa isa, hone_products products)
{
#if defined(__x86_64__)
    bool whole = products == HONE_PRODUCTS_INT8 || products == HONE_PRODUCTS_INT8_ROW;
    if (isa >= HONE_ISA_AMX_BF16 && products != HONE_PRODUCTS_BF16_DOT)
        return peak_tiles(whole && isa == HONE_ISA_AMX_INT8 ? HONE_PEAK_AMX_INT8
                                                            : HONE_PEAK_AMX_BF16);
    if (isa >= HONE_ISA_AVX512)
        return rate(fma_512, NULL) * 10000.0 * 12 * 32 * 1e-9;
    if (isa >= HONE_ISA_AVX2)
        return rate(fma_256, NULL) * 10000.0 * 12 * 16 * 1e-9;
#endif
    (void)isa, (void)products;
    return rate(fma_scalar, NULL) * 1000.0 * 12 * 2 * 1e-9;
}

typedef struct block {
    uint8_t *p;
    size_t bytes;
} block;

/* Four streams, as the kernels have four panels in flight. */
static void read_all(void *arg)
{
    const block *b = arg;
    uint64_t s[8] = {0};
    size_t quarter = b->bytes / 4;
    for (size_t i = 0; i < quarter; i += 64)
        for (int q = 0; q < 4; q++) {
            const uint8_t *at = b->p + (size_t)q * quarter + i;
            const uint64_t *x = (const uint64_t *)(const void *)at;
            __builtin_prefetch(at + 4096);
            for (int k = 0; k < 8; k++)
                s[k] ^= x[k];
        }
    for (int k = 1; k < 8; k++)
        s[0] ^= s[k];
    sink = (float)s[0];
}

/* ---- kernels --------------------------------------------------------------------------------- */

enum { N = 8192, K = 2048, MANY = 256, FEW_BYTES = 160 << 20, Y_BYTES = 16 << 20 };

typedef struct product_job {
    const hone_kernels *kt;
    hone_packed w;
    hone_act a;
    size_t rows;
    float *y;
    void *scratch;
} product_job;

static void do_product(void *arg)
{
    product_job *j = arg;
    /* pieces of 16 panels, as the engine cuts them */
    for (size_t p = 0; p < j->w.n_panels; p += 16)
        hone_product(j->kt, &j->w, &j->a, 0, j->rows, p,
                     p + 16 < j->w.n_panels ? p + 16 : j->w.n_panels, j->y, j->w.n, NULL,
                     j->scratch);
}

static void bench_products(const hone_kernels *kt, const char *only, double flops_peak,
                           double bytes_peak)
{
    static const hone_dtype types[] = {HONE_DTYPE_BF16, HONE_DTYPE_F32,  HONE_DTYPE_Q8_0,
                                       HONE_DTYPE_Q4_0, HONE_DTYPE_Q4_1, HONE_DTYPE_Q4_K,
                                       HONE_DTYPE_Q6_K};
    static const size_t rows[] = {1, 2, 4, 8, 16, 32, MANY};
    float *x = get(MANY * K * 4), *y = get(Y_BYTES);
    void *scratch = get(hone_product_scratch_bytes());
    fill_normal(x, (size_t)MANY * K, 3);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        product_job j = {.kt = kt, .y = y, .scratch = scratch};
        if (only && strcmp(only, hone_dtype_name(types[t])) != 0)
            continue;
        bool f32 = types[t] == HONE_DTYPE_F32;
        /* enough columns that no cache holds them; N of them when arithmetic counts */
        hone_coding coding = hone_dtype_coding(types[t]);
        hone_layout layout = hone_layout_for(&coding, f32);
        if (hone_packed_plan(layout, &coding, 16, K, &j.w) != HONE_OK)
            continue;
        size_t few = FEW_BYTES / j.w.panel_bytes;
        if (hone_packed_plan(layout, &coding, few * 16, K, &j.w) != HONE_OK)
            continue;
        /* random codes; the scales are some small number */
        size_t bytes = hone_packed_bytes(&j.w);
        uint8_t *data = get(bytes);
        fill(data, bytes < 4 << 20 ? bytes : 4 << 20, 5);
        for (size_t i = 4 << 20; i < bytes; i++)
            data[i] = data[i % (4 << 20)];
        for (size_t p = 0; p < j.w.n_panels; p++) {
            uint8_t *panel = data + p * j.w.panel_bytes;
            for (size_t i = j.w.scale_offset; j.w.scale_bytes && i < j.w.panel_bytes; i += 2)
                memcpy(panel + i, &(uint16_t){0x2c00}, 2);
            if (j.w.layout == HONE_LAYOUT_F32)
                memcpy(panel, p ? data : (uint8_t *)x, j.w.panel_bytes);
            for (size_t i = 0; j.w.layout == HONE_LAYOUT_BF16 && i < j.w.panel_bytes; i += 2)
                panel[i + 1] = (uint8_t)((panel[i + 1] & 0x80) | 0x3e);
        }
        j.w.data = data;
        int flags = hone_act_flags(&j.w);
        size_t act_bytes = hone_act_bytes(kt, MANY, K, flags);
        void *mem = get(act_bytes);
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
            if (kt->isa == HONE_ISA_SCALAR && rows[r] > 1)
                continue;
            j.rows = rows[r];
            hone_act_init(kt, j.rows, K, flags, mem, &j.a);
            kt->act_pack(&j.a, x, K, 0, j.rows);
            j.w.n_panels = rows[r] > 4 ? N / 16 : few;
            j.w.n = j.w.n_panels * 16;
            double calls = rate(do_product, &j);
            hone_cost cost = hone_product_cost(&j.w, rows[r]);
            double gf = calls * cost.flops * 1e-9, gb = calls * cost.bytes * 1e-9;
            printf("%-12s product %-8s %-5s %4zu rows  %8.1f GFLOP/s %5.1f %% of limit  %6.2f GB/s "
                   "%5.1f %% of limit\n",
                   hone_isa_name(kt->isa), hone_products_name(kt->products),
                   hone_dtype_name(types[t]), rows[r], gf, 100 * gf / flops_peak, gb,
                   100 * gb / bytes_peak);
            fflush(stdout);
        }
        hone_free_big(mem, act_bytes);
        hone_free_big(data, bytes);
    }
    hone_free_big(x, MANY * K * 4);
    hone_free_big(y, Y_BYTES);
    hone_free_big(scratch, hone_product_scratch_bytes());
}

typedef struct attn_job {
    const hone_kernels *kt;
    hone_attn t;
    void *scratch;
} attn_job;

static void do_attention(void *arg)
{
    attn_job *j = arg;
    hone_attention(j->kt, &j->t, 0, j->t.tokens * j->t.group, j->scratch);
}

static void bench_attention(const hone_kernels *kt, double flops_peak, double bytes_peak)
{
    enum { HEAD = 64, GROUP = 4, DEPTH = 65536, TOKENS = 64 };
    float *q = get(TOKENS * GROUP * HEAD * 4), *out = get(TOKENS * GROUP * HEAD * 4);
    float kv_row[HEAD];
    int32_t last[TOKENS];
    static const void *pages[DEPTH / 64];
    fill_normal(q, TOKENS * GROUP * HEAD, 11);
    for (int f = 0; f < HONE_KV_COUNT; f++) {
        hone_kv kv = {.format = (hone_kv_format)f, .k_dim = HEAD, .v_dim = HEAD};
        size_t page = hone_kv_page_bytes(&kv), bytes = page * (DEPTH / 64);
        size_t depth = kt->isa == HONE_ISA_SCALAR ? 1024 : DEPTH;
        uint8_t *mem = get(bytes);
        for (size_t i = 0; i < depth; i++) {
            fill_normal(kv_row, HEAD, i);
            pages[i / 64] = mem + i / 64 * page;
            kt->kv_write(&kv, mem + i / 64 * page, i % 64, kv_row, kv_row);
        }
        void *scratch = get(hone_attn_scratch_bytes(&kv));
        for (size_t tokens = 1; tokens <= TOKENS; tokens *= TOKENS) {
            /* prefill in the middle of a context that stays in the cache, decode at full depth */
            for (size_t i = 0; i < tokens; i++)
                last[i] = (int32_t)((tokens > 1 && depth > 2048 ? 2048 : depth) - tokens + i);
            attn_job j = {.kt = kt, .scratch = scratch};
            j.t = (hone_attn){.kv = kv,
                              .tokens = tokens,
                              .group = GROUP,
                              .q = q,
                              .ldq = GROUP * HEAD,
                              .last = last,
                              .scale = 0.125f,
                              .pages = pages,
                              .out = out,
                              .ldo = GROUP * HEAD};
            if (kt->isa == HONE_ISA_SCALAR && tokens > 1)
                continue;
            double calls = rate(do_attention, &j);
            hone_cost cost = hone_attn_cost(&j.t);
            double gf = calls * cost.flops * 1e-9, gb = calls * cost.bytes * 1e-9;
            printf("%-12s attention %-4s %3zu tokens x %d heads  %8.1f GFLOP/s %5.1f %% of limit  "
                   "%6.2f GB/s %5.1f %% of limit\n",
                   hone_isa_name(kt->isa), hone_kv_format_name(kv.format), tokens, (int)GROUP, gf,
                   100 * gf / flops_peak, gb, 100 * gb / bytes_peak);
            fflush(stdout);
        }
        hone_free_big(scratch, hone_attn_scratch_bytes(&kv));
        hone_free_big(mem, bytes);
    }
    hone_free_big(q, TOKENS * GROUP * HEAD * 4);
    hone_free_big(out, TOKENS * GROUP * HEAD * 4);
}

typedef struct row_job {
    const hone_kernels *kt;
    const float *x;
    float *y;
    int which;
} row_job;

enum { ROW = 4096 };

static const char *const row_names[] = {"rmsnorm", "rope",   "silu_mul", "add",       "scale",
                                        "max",     "argmax", "exp_sum",  "logsumexp", "round_bf16"};

static void do_row(void *arg)
{
    row_job *j = arg;
    const hone_kernels *kt = j->kt;
    switch (j->which) {
    case 0:
        kt->rmsnorm(j->x, ROW, j->x, 1e-5f, 1, ROW, j->y, ROW);
        break;
    case 1:
        kt->rope(j->y, ROW / 64, 64, 64, j->x, j->x + 32, 0);
        break;
    case 2:
        kt->silu_mul(j->x, j->x, ROW, j->y);
        break;
    case 3:
        kt->add(j->y, j->x, ROW);
        break;
    case 4:
        kt->scale(j->y, 1.0f, ROW);
        break;
    case 5:
        sink = kt->max(j->x, ROW);
        break;
    case 6:
        sink = (float)kt->argmax(j->x, ROW);
        break;
    case 7:
        sink = kt->exp_sum(j->x, 1.0f, ROW, j->y);
        break;
    case 8:
        sink = kt->logsumexp(j->x, ROW);
        break;
    default:
        kt->round_bf16(j->x, ROW, j->y);
    }
}

static void bench_rows(const hone_kernels *kt)
{
    row_job j = {.kt = kt, .y = get(ROW * 4)};
    float *x = get(ROW * 4);
    fill_normal(x, ROW, 17);
    j.x = x;
    for (j.which = 0; j.which < (int)(sizeof row_names / sizeof *row_names); j.which++) {
        memset(j.y, 0, ROW * 4);
        printf("%-12s %-10s %6.2f elements/ns\n", hone_isa_name(kt->isa), row_names[j.which],
               rate(do_row, &j) * ROW * 1e-9);
    }
    hone_free_big(x, ROW * 4);
    hone_free_big(j.y, ROW * 4);
}

int main(int argc, char **argv)
{
    seconds = argc > 1 ? atof(argv[1]) : seconds;
    hone_products products = HONE_PRODUCTS_EXACT;
    for (int p = 0; argc > 4 && p < HONE_PRODUCTS_COUNT; p++)
        if (strcmp(argv[4], hone_products_name((hone_products)p)) == 0)
            products = (hone_products)p;
    hone_fp_mode_enter();
    fill_normal(start_values, 32, 1);
    block b = {get((size_t)256 << 20), (size_t)256 << 20};
    fill(b.p, 1 << 20, 2);
    for (size_t i = 1 << 20; i < b.bytes; i += 1 << 20)
        memcpy(b.p + i, b.p, 1 << 20);
    for (int i = 0; i < HONE_ISA_COUNT; i++) {
        hone_isa isa = (hone_isa)i;
        if (!hone_isa_supported(isa) || (argc > 2 && strcmp(argv[2], hone_isa_name(isa)) != 0))
            continue;
        const hone_kernels *kt = hone_kernels_with(isa, products);
        double flops = peak_flops(isa, products),
               bytes = rate(read_all, &b) * (double)b.bytes * 1e-9;
        printf("%-12s limits of one core: %.1f GFLOP/s (%s), %.2f GB/s read\n", hone_isa_name(isa),
               flops, isa >= HONE_ISA_AMX_BF16 ? "tiles" : "fused multiply-adds", bytes);
        bench_products(kt, argc > 3 && strcmp(argv[3], "all") != 0 ? argv[3] : NULL, flops, bytes);
        if (argc > 3)
            continue;
        bench_attention(kt, flops, bytes);
        bench_rows(kt);
    }
    hone_free_big(b.p, b.bytes);
    return 0;
}
