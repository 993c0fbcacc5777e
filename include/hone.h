/*
 * hone as a library: load a model, feed sessions, sample, decode.
 *
 *     #include <hone.h>                       cc program.c $(pkg-config --cflags --libs hone)
 *
 *     hone_config config = hone_config_default();
 *     hone_engine *engine;
 *     if (hone_engine_open("model.gguf", &config, NULL, NULL, &engine) != HONE_OK)
 *         return fprintf(stderr, "%s\n", hone_error()), 1;
 *
 * An engine is a loaded model and its memory; a session is one mutable timeline of tokens; one step
 * advances any number of sessions together. The parts have their own contracts (ownership,
 * threading, errors) in the headers that this one gathers; tests/e2e/library.c is a whole program.
 *
 * A library call never prints and never exits: it returns a hone_status, and hone_error() tells
 * what was wrong, where, and what to do. Before version 1 these interfaces may change.
 */
#ifndef HONE_H
#define HONE_H

#ifdef __cplusplus
extern "C" {
#endif

#include "base/mem.h"       /* hone_free of what calls hand over */
#include "base/status.h"    /* hone_status, hone_error */
#include "engine/engine.h"  /* engines, sessions, steps */
#include "engine/sampler.h" /* logits to the next token */
#include "eval/eval.h"      /* perplexity, comparison of two engines */
#include "text/tokenizer.h" /* text to tokens and back */

#ifdef __cplusplus
}
#endif

#endif
