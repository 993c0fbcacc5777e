/*
 * tokenizer_write - the tokenizer of a GGUF file as a Hugging Face folder holds it: tokenizer.json,
 * and what of tokenizer_config.json belongs to it (special tokens, chat template).
 *
 * Ownership: the caller gets references. Threading: no state.
 */
#ifndef HONE_TEXT_TOKENIZER_WRITE_H
#define HONE_TEXT_TOKENIZER_WRITE_H

#include "base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct hone_file;

/* f: an open GGUF file. Errors: NOT_FOUND (it has no tokenizer), UNSUPPORTED (a kind that
 * tokenizer.json has no form for: RWKV's, digits by threes), FORMAT, MEMORY. */
HONE_CHECKED hone_status hone_tokenizer_to_json(const struct hone_file *f, json_t **tokenizer,
                                                json_t **config);

enum { HONE_PRE_NAME_MAX = 48 };
/* The other way: GGUF's name (tokenizer.ggml.pre) of a pre-tokenizer that applies these expressions
 * one after the other, and takes words that are tokens whole or not; false if it has none. */
bool hone_gguf_pre_name(const char *const *patterns, size_t n, bool whole_words,
                        char out[HONE_PRE_NAME_MAX]);

#endif
