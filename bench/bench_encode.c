/*
 * bench_encode - hone's encoders beside ggml's on a model's own matrices: relative squared error,
 * plain and weighted by an importance of each column, and time.
 *
 *   bench_encode model.safetensors path/to/libggml-base.so
 *
 * Importance: made up, log-normal by column (seeded), as mean squares of activations are.
 */
#include "base/mem.h"
#include "base/rng.h"
#include "file/file.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef size_t ggml_quantize_fn(int type, const float *src, void *dst, int64_t start, int64_t rows,
                                int64_t per_row, const float *importance);

typedef struct sums {
    double error, size, seconds;
} sums;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void add_error(hone_dtype t, const float *x, const float *weights, const void *bytes,
                      size_t rows, size_t k, float *row, sums *s)
{
    size_t row_bytes = 0;
    (void)!hone_dtype_row_bytes(t, k, &row_bytes);
    for (size_t r = 0; r < rows; r++) {
        (void)!hone_dtype_decode(t, (const uint8_t *)bytes + r * row_bytes, k, row);
        for (size_t i = 0; i < k; i++) {
            double w = weights ? (double)weights[i] : 1.0, e = (double)(row[i] - x[r * k + i]);
            s->error += w * e * e;
            s->size += w * (double)x[r * k + i] * (double)x[r * k + i];
        }
    }
}

/* Rows of k values, encoded by either side; row: room for one, bytes: for all of them. */
static bool compare(hone_dtype t, const float *x, const float *weights, size_t rows, size_t k,
                    ggml_quantize_fn *theirs, uint8_t *bytes, float *row, sums *ours, sums *peers)
{
    size_t row_bytes = 0;
    (void)!hone_dtype_row_bytes(t, k, &row_bytes);
    double t0 = now();
    for (size_t r = 0; r < rows; r++)
        if (!hone_dtype_encode_weighted(t, x + r * k, weights, k, bytes + r * row_bytes))
            return false;
    double t1 = now();
    add_error(t, x, weights, bytes, rows, k, row, ours);
    double t2 = now();
    theirs(hone_dtype_describe(t)->ggml, x, bytes, 0, (int64_t)rows, (int64_t)k, weights);
    double t3 = now();
    add_error(t, x, weights, bytes, rows, k, row, peers);
    ours->seconds += t1 - t0;
    peers->seconds += t3 - t2;
    return true;
}

static int one_type(hone_dtype t, const hone_file *f, ggml_quantize_fn *theirs, bool weighted)
{
    sums ours = {0}, peers = {0};
    for (size_t i = 0; i < hone_file_tensor_count(f); i++) {
        const hone_tensor *m = hone_file_tensor_at(f, i);
        if (m->n_dims != 2 || m->shape[1] % 256)
            continue;
        size_t rows = (size_t)m->shape[0], k = (size_t)m->shape[1], row_bytes = 0;
        (void)!hone_dtype_row_bytes(t, k, &row_bytes);
        float *x = malloc(rows * k * 4), *row = malloc(k * 4), *w = malloc(k * 4);
        uint8_t *bytes = malloc(rows * row_bytes);
        for (size_t c = 0; w && c < k; c++) {
            double g[2];
            hone_rng_normal2(1, i, c, g);
            w[c] = (float)exp(g[0]);
        }
        bool fine = x && row && w && bytes &&
                    hone_dtype_decode((hone_dtype)m->dtype, m->data, rows * k, x) &&
                    compare(t, x, weighted ? w : NULL, rows, k, theirs, bytes, row, &ours, &peers);
        free(x), free(row), free(w), free(bytes);
        if (!fine)
            return 1;
    }
    printf("%-8s %-9s %12.4e %12.4e %7.4f %9.2f %9.2f\n", hone_dtype_name(t),
           weighted ? "weighted" : "plain", ours.error / ours.size, peers.error / peers.size,
           ours.error / peers.error, ours.seconds, peers.seconds);
    return 0;
}

int main(int argc, char **argv)
{
    static const hone_dtype types[] = {
        HONE_DTYPE_Q4_0,   HONE_DTYPE_Q4_1,   HONE_DTYPE_Q5_0, HONE_DTYPE_Q5_1, HONE_DTYPE_Q8_0,
        HONE_DTYPE_Q2_K,   HONE_DTYPE_Q3_K,   HONE_DTYPE_Q4_K, HONE_DTYPE_Q5_K, HONE_DTYPE_Q6_K,
        HONE_DTYPE_IQ4_NL, HONE_DTYPE_IQ4_XS, HONE_DTYPE_MXFP4};
    hone_file *f;
    if (argc != 3) {
        fprintf(stderr, "usage: bench_encode MODEL libggml-base.so\n");
        return 2;
    }
    void *lib = dlopen(argv[2], RTLD_NOW);
    void *symbol = lib ? dlsym(lib, "ggml_quantize_chunk") : NULL;
    ggml_quantize_fn *theirs;
    if (!symbol || hone_file_open(argv[1], &f) != HONE_OK) {
        fprintf(stderr, "bench_encode: %s\n", symbol ? hone_error() : dlerror());
        return 1;
    }
    memcpy(&theirs, &symbol, sizeof theirs);
    printf("%-8s %-9s %12s %12s %7s %9s %9s\n", "type", "error", "hone", "ggml", "ratio", "hone s",
           "ggml s");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        for (int weighted = 0; weighted < 2; weighted++)
            if (one_type(types[i], f, theirs, weighted))
                return 1;
    hone_file_close(f);
    return 0;
}
