/* The trainer from open to tokenizer.json; bpe_words.c counts, bpe_pairs.c merges. */
#include "text/bpe_train.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/bpe_internal.h"

#include <stdlib.h>

enum { BYTES = 256, TOKEN_BYTES_MIN = 2 };

/* ---- open ---- */

hone_status hone_bpe_put_piece(hone_bpe *b, const char *piece, size_t n, uint32_t length)
{
    HONE_TRY(HONE_GROW(b->pieces, b->pieces_capacity, (size_t)b->n_pieces + 1));
    HONE_TRY(HONE_GROW(b->lengths, b->lengths_capacity, (size_t)b->n_pieces + 1));
    HONE_TRY(hone_pool_add(b->t, piece, n, &b->pieces[b->n_pieces]));
    b->lengths[b->n_pieces] = length;
    HONE_TRY(hone_str_index_put(&b->by_piece, b->t, b->pieces, b->n_pieces));
    b->n_pieces++;
    return HONE_OK;
}

hone_status hone_bpe_charge(hone_bpe *b, size_t bytes, const char *doing)
{
    if (bytes > b->stats.memory_bytes)
        b->stats.memory_bytes = bytes;
    if (!b->options.memory_max || bytes <= b->options.memory_max)
        return HONE_OK;
    return hone_fail(HONE_MEMORY,
                     "%s takes %zu KiB so far, more than the %zu KiB allowed: allow more, or give "
                     "fewer documents (a part of them, taken at random, gives nearly the same "
                     "tokens)",
                     doing, bytes / 1024 + (bytes % 1024 > 0), b->options.memory_max / 1024);
}

static hone_status check_special(const hone_bpe *b, size_t i)
{
    const char *s = b->options.specials[i];
    size_t n = strlen(s);
    if (n == 0 || n > HONE_ADDED_MAX || hone_utf8_valid_prefix(s, n) != n)
        return hone_fail(HONE_USAGE, "special token %zu is empty, no UTF-8 or longer than %d bytes",
                         i + 1, HONE_ADDED_MAX);
    if (hone_utf8_length(*s) == n)
        return hone_fail(HONE_USAGE, "\"%s\" cannot be a special token: it is one character", s);
    for (size_t k = 0; k < i; k++)
        if (strcmp(b->options.specials[k], s) == 0)
            return hone_fail(HONE_USAGE, "the special token \"%s\" is given twice", s);
    return HONE_OK;
}

static hone_status put_specials(hone_bpe *b)
{
    for (size_t i = 0; i < b->options.n_specials; i++) {
        HONE_TRY(check_special(b, i));
        HONE_TRY(hone_bpe_put_piece(b, b->options.specials[i], strlen(b->options.specials[i]), 0));
    }
    return HONE_OK;
}

/* The stand-ins of the bytes in the order of their code points. */
static hone_status put_alphabet(hone_bpe *b)
{
    for (uint32_t code = 0, found = 0; found < BYTES; code++) {
        for (uint32_t byte = 0; byte < BYTES; byte++) {
            if (hone_byte_alphabet_code((uint8_t)byte) != code)
                continue;
            char piece[4];
            HONE_TRY(hone_bpe_put_piece(b, piece, hone_utf8_put(code, piece), 1));
            found++;
        }
    }
    return HONE_OK;
}

/* Names of the families that hone can write, as far as they fit. */
static const char *known_families(char *buf, size_t size)
{
    const hone_gguf_pre *row;
    size_t used = 0;
    for (size_t i = 0; (row = hone_gguf_pre_row(i)); i++) {
        int n = (int)strcspn(row->names, " ");
        if (hone_gguf_is_byte_level(row) && used + (size_t)n + 3 < size)
            used += (size_t)snprintf(buf + used, size - used, "%s%.*s", used ? ", " : "", n,
                                     row->names);
    }
    return buf;
}

static hone_status find_family(hone_bpe *b)
{
    char names[700] = "";
    b->row = hone_gguf_find_pre(b->options.pre);
    if (!b->row)
        return hone_fail(HONE_USAGE, "no pre-tokenizer is called \"%s\"; there are %s",
                         b->options.pre, known_families(names, sizeof names));
    if (!hone_gguf_is_byte_level(b->row))
        return hone_fail(HONE_UNSUPPORTED,
                         "the pre-tokenizer \"%s\" is not byte-level, or has no form in "
                         "tokenizer.json; there are %s",
                         b->options.pre, known_families(names, sizeof names));
    return hone_gguf_add_patterns(b->t, b->row);
}

static hone_status prepare(hone_bpe *b)
{
    const hone_bpe_options *o = &b->options;
    uint64_t least = BYTES + (uint64_t)o->n_specials;
    if (o->vocab < least || o->vocab > HONE_VOCAB_MAX)
        return hone_fail(HONE_USAGE,
                         "a vocabulary of %u tokens cannot be: %d bytes and %zu special tokens are "
                         "%llu, and %d is the most",
                         o->vocab, BYTES, o->n_specials, (unsigned long long)least, HONE_VOCAB_MAX);
    if (o->token_bytes_max && o->token_bytes_max < TOKEN_BYTES_MIN)
        return hone_fail(HONE_USAGE, "tokens of at most %u byte would be the bytes alone",
                         o->token_bytes_max);
    HONE_TRY(hone_tokenizer_new(&b->t));
    HONE_TRY(find_family(b));
    HONE_TRY(put_specials(b));
    return put_alphabet(b);
}

hone_status hone_bpe_open(const hone_bpe_options *options, hone_bpe **out)
{
    *out = NULL;
    hone_bpe *b = hone_calloc(1, sizeof *b);
    if (!b)
        return hone_fail_memory(sizeof *b, "learning a vocabulary");
    b->options = *options;
    hone_status s = prepare(b);
    if (s != HONE_OK) {
        hone_bpe_close(b);
        return s;
    }
    *out = b;
    return HONE_OK;
}

void hone_bpe_close(hone_bpe *b)
{
    if (!b)
        return;
    hone_tokenizer_close(b->t);
    hone_bpe_words_free(&b->words);
    hone_free(b->pieces);
    hone_free(b->by_piece.slots);
    hone_free(b->lengths);
    hone_free(b->merges);
    hone_free(b);
}

const hone_bpe_stats *hone_bpe_get_stats(const hone_bpe *b)
{
    return &b->stats;
}

/* ---- tokenizer.json ---- */

static json_t *piece_json(const hone_bpe *b, uint32_t id)
{
    return json_stringn(hone_pool_str(b->t, b->pieces[id]), b->pieces[id].n);
}

static json_t *vocab_json(const hone_bpe *b)
{
    json_t *vocab = json_object();
    for (uint32_t i = 0; vocab && i < b->n_pieces; i++)
        if (json_object_setn_new(vocab, hone_pool_str(b->t, b->pieces[i]), b->pieces[i].n,
                                 json_integer(i)) != 0) {
            json_decref(vocab);
            return NULL;
        }
    return vocab;
}

static json_t *merges_json(const hone_bpe *b)
{
    json_t *list = json_array();
    for (uint32_t i = 0; list && i < b->n_merges; i++)
        if (json_array_append_new(list, json_pack("[o, o]", piece_json(b, b->merges[i].left),
                                                  piece_json(b, b->merges[i].right))) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *added_json(const hone_bpe *b)
{
    json_t *list = json_array();
    for (uint32_t i = 0; list && i < b->options.n_specials; i++)
        if (json_array_append_new(list,
                                  json_pack("{s:i, s:o, s:b, s:b, s:b, s:b, s:b}", "id", (int)i,
                                            "content", piece_json(b, i), "single_word", 0, "lstrip",
                                            0, "rstrip", 0, "normalized", 0, "special", 1)) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

hone_status hone_bpe_to_json(const hone_bpe *b, json_t **out)
{
    json_t *pre, *decoder;
    hone_json_use_memory();
    *out = NULL;
    if (hone_byte_level_json(b->row, &pre, &decoder)) {
        json_t *model = json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:o}", "type",
                                  "BPE", "dropout", "unk_token", "continuing_subword_prefix",
                                  "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0,
                                  "ignore_merges", (b->row->flags & HONE_PRE_WHOLE_WORDS) != 0,
                                  "vocab", vocab_json(b), "merges", merges_json(b));
        *out =
            json_pack("{s:s, s:n, s:n, s:o, s:n, s:o, s:n, s:o, s:o}", "version", "1.0",
                      "truncation", "padding", "added_tokens", added_json(b), "normalizer",
                      "pre_tokenizer", pre, "post_processor", "decoder", decoder, "model", model);
    }
    return *out ? HONE_OK : hone_fail_memory(b->n_pieces * 64, "tokenizer.json");
}
