/*
 * tokenizer_gguf - the pre-tokenizers that GGUF files name. Private to text/.
 */
#ifndef HONE_TEXT_TOKENIZER_GGUF_H
#define HONE_TEXT_TOKENIZER_GGUF_H

#include "text/tokenizer_internal.h"

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

#endif
