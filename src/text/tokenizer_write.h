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

struct hone_file;

/* f: an open GGUF file. Errors: NOT_FOUND (it has no tokenizer), UNSUPPORTED (a kind that
 * tokenizer.json has no form for: RWKV's, digits by threes), FORMAT, MEMORY. */
HONE_CHECKED hone_status hone_tokenizer_to_json(const struct hone_file *f, json_t **tokenizer,
                                                json_t **config);

#endif
