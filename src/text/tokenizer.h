/*
 * tokenizer - text to token ids and back, equal to the reference tokenizers id by id.
 *
 * A tokenizer is data: added tokens, a normalizer, a pre-tokenizer, a model (merges by rank, the
 * best sum of scores, the longest match), a post-processor (ids put around a text) and a decoder.
 * Loaders fill that data from a tokenizer.json, a SentencePiece model, a tiktoken file, RWKV's
 * vocabulary, vocab.json + merges.txt, or the metadata of a GGUF file; one encoder and one decoder
 * run it.
 *
 * Text is bytes with a length: it may hold 0 bytes and need not be valid UTF-8. Invalid bytes pass
 * unchanged through byte-level tokenizers (each run of them is a word of its own); for the others
 * each of them is read as U+FFFD, as SentencePiece does. Decoded text is always valid UTF-8: what
 * is not (a generation cut inside a character) becomes U+FFFD, one for each maximal invalid part
 * (Unicode 15, section 3.9, table 3-8).
 *
 * Ownership: the tokenizer owns all strings it returns; it keeps nothing of the file it came from.
 * Threading: an opened tokenizer is immutable, any number of threads may encode and decode with it.
 * A hone_detok belongs to one thread.
 */
#ifndef HONE_TEXT_TOKENIZER_H
#define HONE_TEXT_TOKENIZER_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct hone_file;
typedef struct hone_tokenizer hone_tokenizer;

/* Opens the tokenizer at `path`: a folder (tokenizer.json, else tokenizer.model or spiece.model,
 * else vocab.json with merges.txt; tokenizer_config.json and the ends of generation_config.json
 * beside them, or of config.json, are heeded), one of these files, a tiktoken file, RWKV's
 * vocabulary, or a .gguf (tokenizer metadata only). What it is, is read from the content. Errors:
 * NOT_FOUND, PERMISSION, FORMAT (names the file and the entry), UNSUPPORTED (names what hone cannot
 * do yet), LIMIT, MEMORY. */
HONE_CHECKED hone_status hone_tokenizer_open(const char *path, hone_tokenizer **out);

/* That of the model at `path`, which must be one: what hone_file_open refuses is its error, not
 * that of a tokenizer. */
HONE_CHECKED hone_status hone_tokenizer_of_model(const char *path, hone_tokenizer **out);

/* From an opened model: the metadata of a GGUF file, or the files of a Hugging Face folder.
 * NOT_FOUND when the model carries no tokenizer. */
HONE_CHECKED hone_status hone_tokenizer_from_file(const struct hone_file *f, hone_tokenizer **out);
void hone_tokenizer_close(hone_tokenizer *t); /* NULL is fine */

/* Flags of encode. */
enum {
    HONE_ENCODE_ADD_SPECIAL = 1, /* put what the tokenizer prescribes around the text (BOS, EOS) */
    HONE_ENCODE_PARSE_SPECIAL =
        2 /* special tokens written out in the text become their ids; without
             it they are plain text and no special id comes from the text */
};

/* Encodes n bytes. *ids is owned by the caller (hone_free); NULL only on failure, also for 0 ids.
 * Time is linear in n but for the heap's logarithm where merges leave no place to cut.
 * Errors: LIMIT (the pre-tokenizer's expression gave up; names the byte), DATA (a character that
 * the vocabulary cannot express, with no unknown token), MEMORY. */
HONE_CHECKED hone_status hone_tokenizer_encode(const hone_tokenizer *t, const char *text, size_t n,
                                               unsigned flags, int32_t **ids, size_t *n_ids);

enum {
    HONE_DECODE_SKIP_SPECIAL = 1 /* special tokens give no text */
};

/* Decodes n ids into valid UTF-8, terminated by a 0 that *bytes (may be NULL) does not count; owned
 * by the caller (hone_free). The blank that encoding puts before a text is taken off again. Errors:
 * DATA (an id outside the vocabulary: names it and its position), MEMORY. */
HONE_CHECKED hone_status hone_tokenizer_decode(const hone_tokenizer *t, const int32_t *ids,
                                               size_t n, unsigned flags, char **text,
                                               size_t *bytes);

/* The streaming decoder: what its pushes and the finish give, put together, equals what decode
 * gives for all the ids. It never splits a code point. */
typedef struct hone_detok hone_detok;
/* `flags` as for decode. `midway` true when the ids continue a text, so that the blank at the start
 * of a first word is kept (a reply after a prompt). */
HONE_CHECKED hone_status hone_detok_open(const hone_tokenizer *t, unsigned flags, bool midway,
                                         hone_detok **out);
/* Text that is complete after this id, none of an id beyond the vocabulary (a padded row of the
 * embedding): *bytes >= 0 bytes of valid UTF-8 followed by a 0, owned by
 * the detok and valid until its next call. Allocates only when a token is longer than all before
 * it. Errors: as decode; after one the detok is as it was before the push. */
HONE_CHECKED hone_status hone_detok_push(hone_detok *d, int32_t id, const char **text,
                                         size_t *bytes);
/* The rest: an incomplete code point as U+FFFD. The detok may be used for another text afterwards.
 */
HONE_CHECKED hone_status hone_detok_finish(hone_detok *d, const char **text, size_t *bytes);
void hone_detok_close(hone_detok *d); /* NULL is fine */

typedef enum hone_token_type {
    HONE_TOKEN_NORMAL,
    HONE_TOKEN_UNKNOWN, /* stands for what cannot be expressed */
    HONE_TOKEN_CONTROL, /* special: BOS, EOS, roles of a chat */
    HONE_TOKEN_USER,    /* always found in text, whole, but no special */
    HONE_TOKEN_BYTE,    /* stands for one byte that has no token of its own */
    HONE_TOKEN_UNUSED   /* a hole in the ids, or marked unused */
} hone_token_type;

/* Ids run from 0 to vocab - 1. */
int32_t hone_tokenizer_vocab_size(const hone_tokenizer *t);
/* The token as its file writes it ("▁the", "Ġthe", "<0x0A>"); "" for a hole or an id outside. */
const char *hone_tokenizer_piece(const hone_tokenizer *t, int32_t id, size_t *bytes);
/* The bytes that it stands for in decoded text (" the", "\n"); may be part of a code point. */
const char *hone_tokenizer_bytes(const hone_tokenizer *t, int32_t id, size_t *bytes);
hone_token_type hone_tokenizer_type(const hone_tokenizer *t, int32_t id);
bool hone_tokenizer_is_special(const hone_tokenizer *t, int32_t id);
/* The score that a SentencePiece model gives the token; 0 for other tokenizers. */
float hone_tokenizer_score(const hone_tokenizer *t, int32_t id);
/* What a SentencePiece tokenizer does before it cuts, as GGUF files say it; false if it is no
 * unigram. The character map (n bytes, 0: has none) belongs to the tokenizer. */
typedef struct hone_unigram_options {
    const char *charsmap;
    size_t charsmap_bytes;
    bool prefix, collapse; /* a blank before the text; runs of blanks become one */
} hone_unigram_options;
bool hone_tokenizer_unigram(const hone_tokenizer *t, hone_unigram_options *out);
/* The id of a token by its piece, -1 if there is none. */
int32_t hone_tokenizer_find(const hone_tokenizer *t, const char *piece, size_t bytes);

/* -1 when there is none. */
int32_t hone_tokenizer_bos(const hone_tokenizer *t);
int32_t hone_tokenizer_eos(const hone_tokenizer *t); /* end of the text */
int32_t
hone_tokenizer_eot(const hone_tokenizer *t); /* end of a turn of a chat, if it is another one */
int32_t hone_tokenizer_unk(const hone_tokenizer *t);
int32_t hone_tokenizer_pad(const hone_tokenizer *t);
/* True for every id after which generation stops by default (eos, eot and their like). */
bool hone_tokenizer_is_end(const hone_tokenizer *t, int32_t id);
/* Whether ADD_SPECIAL puts a BOS before the text. */
bool hone_tokenizer_adds_bos(const hone_tokenizer *t);

/* "byte-level BPE, 128256 tokens, 280147 merges": one line for people. */
const char *hone_tokenizer_describe(const hone_tokenizer *t);

/* What a model's folder has of these goes along when the model is copied: its tokenizer's files,
 * templates, and which tokens end an answer. tokenizer.json comes first. */
enum { HONE_TOKENIZER_FILES = 14 };
extern const char *const hone_tokenizer_files[HONE_TOKENIZER_FILES];

#endif
