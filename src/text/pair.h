/*
 * pair - what an encoder reads: a text or two with the special tokens that its tokenizer prescribes
 * around and between them, their token types, cut to a number of tokens.
 *
 * The parts come from the tokenizer's file: the post-processor of a tokenizer.json, the flags of a
 * GGUF file. Threading and ownership: as in tokenizer.h.
 */
#ifndef HONE_TEXT_PAIR_H
#define HONE_TEXT_PAIR_H

#include "text/tokenizer.h"

#include <stddef.h>

typedef struct hone_encoded {
    int32_t *ids, *types; /* [n]; hone_encoded_free */
    size_t n;
    size_t whole; /* tokens that there were before cutting */
} hone_encoded;

/* Encodes a[n_a], and with it b[n_b] unless b is NULL, as one sequence. most: cut what comes of the
 * texts, never the special tokens, so that at most so many tokens are left, the longer text first
 * (as "longest_first" of the tokenizers package); 0 = do not cut. flags: HONE_ENCODE_PARSE_SPECIAL;
 * special tokens are always added. Errors: as hone_tokenizer_encode; UNSUPPORTED if the tokenizer
 * does not say how two texts are put together; USAGE if `most` leaves no room for any text. */
HONE_CHECKED hone_status hone_tokenizer_encode_pair(const hone_tokenizer *t, const char *a,
                                                    size_t n_a, const char *b, size_t n_b,
                                                    unsigned flags, size_t most, hone_encoded *out);
void hone_encoded_free(hone_encoded *e);

#endif
