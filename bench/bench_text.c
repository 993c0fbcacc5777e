/*
 * Speed of a tokenizer: encodes a text again and again and prints one line of JSON. Times are user
 * CPU seconds of this thread, the least of the rounds.
 *
 *   bench_text TOKENIZER TEXT ROUNDS
 */
#include "base/io.h"
#include "base/mem.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int fail(void)
{
    fprintf(stderr, "bench_text: %s\n", hone_error());
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: bench_text TOKENIZER TEXT ROUNDS\n");
        return 2;
    }
    hone_tokenizer *t;
    char *text, *back;
    size_t bytes, n = 0, m;
    double open = cpu_seconds(), best = 1e9, undo = 1e9;
    if (hone_tokenizer_open(argv[1], &t) != HONE_OK)
        return fail();
    open = cpu_seconds() - open;
    if (hone_read_file(argv[2], (size_t)1 << 30, &text, &bytes) != HONE_OK)
        return fail();
    for (int i = 0; i < atoi(argv[3]); i++) {
        int32_t *ids;
        double start = cpu_seconds();
        if (hone_tokenizer_encode(t, text, bytes, 0, &ids, &n) != HONE_OK)
            return fail();
        double took = cpu_seconds() - start;
        best = took < best ? took : best;
        start = cpu_seconds();
        if (hone_tokenizer_decode(t, ids, n, 0, &back, &m) != HONE_OK)
            return fail();
        took = cpu_seconds() - start;
        undo = took < undo ? took : undo;
        hone_free(back);
        hone_free(ids);
    }
    printf("{\"bytes\": %zu, \"tokens\": %zu, \"open_s\": %.4f, \"encode_s\": %.6f, "
           "\"decode_s\": %.6f}\n",
           bytes, n, open, best, undo);
    hone_free(text);
    hone_tokenizer_close(t);
    return 0;
}
