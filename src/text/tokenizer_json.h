/*
 * tokenizer_json - reading of tokenizer.json shared by its two halves. Private to text/.
 */
#ifndef HONE_TEXT_TOKENIZER_JSON_H
#define HONE_TEXT_TOKENIZER_JSON_H

#include "text/tokenizer_internal.h"

#include <jansson.h>

enum {
    HONE_JSON_NESTED_MAX = 8,       /* Sequence in Sequence */
    HONE_JSON_DEPTH_MAX = 64,       /* levels of the file */
    HONE_JSON_VALUES_MAX = 12 << 20 /* values of the file */
};

const char *hone_json_type(const json_t *o); /* the member "type", "" if none */
bool hone_json_flag(const json_t *o, const char *key, bool fallback);

/* Members of tokenizer.json; o may be NULL or null. */
HONE_CHECKED hone_status hone_json_normalizer(hone_tokenizer *t, const json_t *o, int depth);
HONE_CHECKED hone_status hone_json_pre_tokenizer(hone_tokenizer *t, const json_t *o, int depth);
HONE_CHECKED hone_status hone_json_post_processor(hone_tokenizer *t, const json_t *o, int depth);
HONE_CHECKED hone_status hone_json_decoder(hone_tokenizer *t, const json_t *o);

/* UnicodeScripts: a cut wherever the script changes (token_scripts.c). */
HONE_CHECKED hone_status hone_json_add_scripts(hone_tokenizer *t, const json_t *o);

#endif
