/*
 * Models that take the longest token that fits: WordPiece (Wu et al. 2016; all of a word or
 * nothing), RWKV's vocabulary of byte strings, and whole words.
 */
#include "base/utf8.h"
#include "text/tokenizer_internal.h"

/* ---- WordPiece ---- */

static hone_status build_wordpiece(hone_tokenizer *t)
{
    HONE_TRY(hone_trie_of_symbols(&t->words, t, (hone_str){0, 0}));
    return hone_trie_of_symbols(&t->tails, t, t->word_mid);
}

static bool is_too_long(const hone_tokenizer *t, const char *p, uint32_t n)
{
    if (n <= t->word_chars)
        return false;
    uint32_t characters = 0;
    for (uint32_t i = 0; i < n; i++)
        characters += ((uint8_t)p[i] & 0xC0) != 0x80;
    return characters > t->word_chars;
}

static hone_status encode_wordpiece(const hone_tokenizer *t, hone_scratch *s, hone_str w)
{
    uint32_t before = s->n_ids;
    bool bad = is_too_long(t, s->text + w.at, w.n);
    for (uint32_t i = 0; i < w.n && !bad;) {
        const hone_trie *x = i ? &t->tails : &t->words;
        int32_t id = -1;
        size_t n = hone_trie_longest(x, s->text + w.at + i, w.n - i, &id);
        bad = n == 0;
        if (!bad)
            HONE_TRY(hone_scratch_put_id(s, id));
        i += (uint32_t)n;
    }
    if (!bad)
        return HONE_OK;
    s->n_ids = before;
    return hone_scratch_put_unknown(t, s, w);
}

const hone_token_model hone_model_wordpiece = {"WordPiece", build_wordpiece, encode_wordpiece};

/* ---- RWKV ---- */

static hone_status build_longest(hone_tokenizer *t)
{
    return hone_trie_of_symbols(&t->words, t, (hone_str){0, 0});
}

static hone_status encode_longest(const hone_tokenizer *t, hone_scratch *s, hone_str w)
{
    for (uint32_t i = 0; i < w.n;) {
        int32_t id = -1;
        size_t n = hone_trie_longest(&t->words, s->text + w.at + i, w.n - i, &id);
        if (n)
            HONE_TRY(hone_scratch_put_id(s, id));
        else
            HONE_TRY(hone_scratch_put_unknown(t, s, (hone_str){w.at + i, 1}));
        i += n ? (uint32_t)n : 1;
    }
    return HONE_OK;
}

const hone_token_model hone_model_longest = {"longest match", build_longest, encode_longest};

/* ---- whole words ---- */

static hone_status encode_whole(const hone_tokenizer *t, hone_scratch *s, hone_str w)
{
    int32_t id = hone_str_index_find(&t->by_symbol, t, t->symbols, s->text + w.at, w.n);
    return id >= 0 && id < t->n_tokens ? hone_scratch_put_id(s, id)
                                       : hone_scratch_put_unknown(t, s, w);
}

const hone_token_model hone_model_word = {"words", NULL, encode_whole};
