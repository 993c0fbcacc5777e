/*
 * bpe_internal - what the files of bpe_train share. Private to text/bpe_*.
 */
#ifndef HONE_TEXT_BPE_INTERNAL_H
#define HONE_TEXT_BPE_INTERNAL_H

#include "base/threads.h"
#include "text/bpe_train.h"
#include "text/tokenizer_gguf.h"

/* ---- bpe_words.c: different words and how often they are there ---- */

typedef struct hone_bpe_word {
    uint64_t hash, count;
    uint64_t at; /* in bytes */
    uint32_t n;
} hone_bpe_word;

typedef struct hone_bpe_words {
    hone_bpe_word *of;
    uint32_t n, capacity;
    hone_str_slot *slots; /* open addressing; at: index + 1 */
    uint32_t mask;
    char *bytes;
    uint64_t bytes_n, bytes_capacity;
    uint64_t total; /* words, equal ones counted each time */
} hone_bpe_words;

size_t hone_bpe_words_memory(const hone_bpe_words *w);
/* Puts them in an order that depends on nothing but the words; no words can be added after it. */
void hone_bpe_words_sort(hone_bpe_words *w);
void hone_bpe_words_free(hone_bpe_words *w);

/* ---- bpe_pairs.c: from words to merges ---- */

typedef struct hone_bpe_merged {
    uint32_t left, right;
} hone_bpe_merged;

struct hone_bpe {
    hone_bpe_options options;
    const hone_gguf_pre *row;
    hone_tokenizer *t; /* its pool and pre-tokenizer */
    hone_bpe_words words;
    hone_bpe_stats stats;

    hone_str *pieces; /* [n_pieces], in the pool, in the printable alphabet */
    uint32_t n_pieces, pieces_capacity;
    hone_str_index by_piece;
    uint32_t *lengths; /* [n_pieces] bytes of text */
    uint32_t lengths_capacity;
    hone_bpe_merged *merges; /* in the order of their ranks */
    uint32_t n_merges, merges_capacity;
};

/* Adds a token at the end of the ids. */
HONE_CHECKED hone_status hone_bpe_put_piece(hone_bpe *b, const char *piece, size_t n,
                                            uint32_t length);
/* MEMORY once more than memory_max is in use. `doing` goes into the message. */
HONE_CHECKED hone_status hone_bpe_charge(hone_bpe *b, size_t bytes, const char *doing);

#endif
