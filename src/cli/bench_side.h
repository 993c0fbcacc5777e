/*
 * bench_side - what a benchmark in turns has on either side: an engine of this process, another
 * build of hone, a server. Private to `hone bench`; one thread.
 */
#ifndef HONE_CLI_BENCH_SIDE_H
#define HONE_CLI_BENCH_SIDE_H

#include "cli/bench_run.h"

#include <jansson.h>

typedef struct bench_side {
    char name[800]; /* for a person: "model.gguf (bf16 threads=2)" */
    json_t *json;   /* the same for --json */
    /* One measurement of a test: seconds per token, all sequences together */
    hone_status (*sample)(void *of, const bench_test *t, double *cost);
    void (*close)(void *of);
    void *of;
} bench_side;

/* An open bench, which stays the caller's. */
HONE_CHECKED hone_status bench_side_engine(bench *b, bench_side *out);
/* The program of another build, which opens a's model under the configuration and serves as
 * `hone bench --worker`. */
HONE_CHECKED hone_status bench_side_build(const char *program, const bench *a,
                                          const hone_config *config, bench_side *out);
/* An OpenAI-compatible server (http://HOST:PORT, with or without /v1): POST /v1/completions with
 * random tokens, never the same twice. A prompt is timed to the answer of one token; decoding from
 * when every answer's first token has come to when the first answer ends. OPENAI_API_KEY is sent to
 * https and to this machine only. Errors: USAGE (no address), IO, FORMAT. */
HONE_CHECKED hone_status bench_side_endpoint(const char *url, const bench *a, bench_side *out);
void bench_side_close(bench_side *s);

/* What `--worker` does: the other end of bench_side_build, on standard input and output. Lines of
 * JSON: {"config": {...}, "batch": N, "tokens": N} -> {"name": "..."}, then tests as in a suite ->
 * {"cost": seconds per token}; {"error": "..."} and the end if something fails. */
HONE_CHECKED hone_status bench_worker_serve(const cli_context *c);

#endif
