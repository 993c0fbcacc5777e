/*
 * tokenizer_gguf - the pre-tokenizers that GGUF files name. Private to text/.
 */
#ifndef HONE_TEXT_TOKENIZER_GGUF_H
#define HONE_TEXT_TOKENIZER_GGUF_H

#include "text/tokenizer_internal.h"

#include <jansson.h>

enum { HONE_GGUF_PATTERNS_MAX = 6 };

enum {
    HONE_PRE_WHOLE_WORDS = 1,   /* a word that is a token is taken whole */
    HONE_PRE_BOS = 2,           /* BOS goes before the text when the file does not say */
    HONE_PRE_WHOLE_NUMBERS = 8, /* threes only in a number that ends a word */
    HONE_PRE_META = 4           /* no bytes but characters; a blank is U+2581; byte fallback */
};

typedef struct hone_gguf_pre {
    const char *names; /* separated by blanks */
    unsigned flags;
    const char *patterns[HONE_GGUF_PATTERNS_MAX]; /* applied one after the other */
} hone_gguf_pre;

/* Stands for a pattern: digits in groups of three, counted from the right. */
extern const char hone_gguf_triples[];

const hone_gguf_pre *hone_gguf_find_pre(const char *name); /* NULL: unknown */
const hone_gguf_pre *hone_gguf_pre_row(size_t i);          /* NULL beyond the last */

/* Whether the family cuts bytes, and tokenizer.json can say how. */
bool hone_gguf_is_byte_level(const hone_gguf_pre *row);
/* The family's steps as the tokenizer's pre-tokenizer. */
HONE_CHECKED hone_status hone_gguf_add_patterns(hone_tokenizer *t, const hone_gguf_pre *row);
/* "pre_tokenizer" and "decoder" of tokenizer.json for such a family; false: no memory, and then
 * both are NULL (tokenizer_write.c). */
bool hone_byte_level_json(const hone_gguf_pre *row, json_t **pre, json_t **decoder);

#endif
