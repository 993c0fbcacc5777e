/*
 * bpe_train - byte-level BPE learned from documents (Sennrich et al. 2016, "Neural Machine
 * Translation of Rare Words with Subword Units"; over bytes: Radford et al. 2019).
 *
 * Documents are cut into words by the expressions of a named family, equal words are counted once,
 * and then the commonest pair of neighbouring tokens becomes a token, again and again. Ids: the
 * special tokens, the 256 bytes in the order of their printable stand-ins, the merged tokens.
 * Merges, order and ids are those of the `tokenizers` package (BpeTrainer with ByteLevel's
 * alphabet) on the same documents: of pairs that are equally common the one with the least left id,
 * then the least right id goes first. Two things are refused here that the package does: a token
 * spelled like a special one, and counts that overflow 31 bits.
 *
 * The result depends neither on the number of threads nor on the order of the documents.
 *
 * Threading: counts on a pool of its own; one thread calls. Ownership: see each function.
 */
#ifndef HONE_TEXT_BPE_TRAIN_H
#define HONE_TEXT_BPE_TRAIN_H

#include "base/status.h"
#include "text/documents.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

typedef struct hone_bpe_options {
    uint32_t vocab;              /* tokens in all, the special ones and 256 bytes included */
    uint64_t frequency_min;      /* a pair that is rarer is not merged */
    uint32_t token_bytes_max;    /* of a merged token, at least 2; 0: no bound */
    const char *pre;             /* the family's name in GGUF files (tokenizer.ggml.pre): "gpt-2",
                                    "llama-bpe", "qwen2", "gpt-4o"... */
    const char *const *specials; /* [n_specials], ids from 0; they never come from merges */
    size_t n_specials;
    size_t memory_max; /* bytes of words and pairs; 0: no bound */
    int threads;       /* 0: all */
} hone_bpe_options;

typedef struct hone_bpe_stats {
    uint64_t documents, bytes;
    uint64_t words, distinct; /* words in all, different ones */
    uint32_t vocab, merges;   /* reached; below the options' when no pair was left */
    uint64_t tokens;          /* of the documents, once merged */
    uint64_t last_count;      /* how often the last merged pair was there */
    size_t memory_bytes;      /* of words and pairs, at most at any time */
} hone_bpe_stats;

typedef struct hone_bpe hone_bpe;

/* Errors: USAGE (vocab, a special token, the name of the family: says which there are), UNSUPPORTED
 * (a family that is not byte-level), MEMORY. The texts of the options must stay. */
HONE_CHECKED hone_status hone_bpe_open(const hone_bpe_options *options, hone_bpe **out);
void hone_bpe_close(hone_bpe *b); /* NULL is fine */

/* Counts the words of all documents; conversations count as the texts of their messages.
 * on_progress may be NULL. Errors: those of hone_documents_next and of the expression (LIMIT),
 * MEMORY (also: memory_max), INTERRUPTED. */
HONE_CHECKED hone_status hone_bpe_count(hone_bpe *b, hone_documents *documents,
                                        void (*on_progress)(void *arg, const hone_documents *),
                                        void *arg);
/* Learns the merges; once, after counting. Errors: DATA (no words), MEMORY, INTERRUPTED. */
HONE_CHECKED hone_status hone_bpe_merge(hone_bpe *b, void (*on_progress)(void *arg, double done),
                                        void *arg);
const hone_bpe_stats *hone_bpe_get_stats(const hone_bpe *b);
/* tokenizer.json; the caller gets a reference. Errors: MEMORY. */
HONE_CHECKED hone_status hone_bpe_to_json(const hone_bpe *b, json_t **out);

#endif
