/*
 * Unigram: the pieces of a word whose scores add up to the most (Kudo 2018, section 3.1; the walk
 * is the one of sentencepiece, unigram_model.cc: EncodeOptimized). A character that no piece covers
 * by itself may be the unknown token, at ten less than the least score. Each byte of a word is
 * visited once, each piece that starts there once.
 */
#include "text/tokenizer_internal.h"

#include <math.h>

static const double unknown_penalty = 10;

/* The best way to a byte of the word. */
typedef struct hone_path {
    double score;
    uint32_t start; /* of the last piece; UINT32_MAX: no way yet */
    int32_t id;
} hone_path;

static hone_status build(hone_tokenizer *t)
{
    bool any = false;
    double least = 0;
    HONE_TRY(hone_scores_reserve(t, (size_t)t->n_tokens)); /* added tokens have none of their own */
    for (int32_t i = 0; i < t->n_tokens; i++) {
        if (!isfinite(t->scores[i]))
            return hone_fail(HONE_FORMAT, "the score of token %d is no finite number", i);
        /* SentencePiece asks its normal pieces only, the tokenizers library all of them. */
        bool counts =
            t->single ? t->types[i] == HONE_TOKEN_NORMAL : (t->flags[i] & HONE_TOKEN_IS_MODEL) != 0;
        if (counts && (!any || t->scores[i] < least)) {
            least = t->scores[i];
            any = true;
        }
    }
    t->unk_score =
        t->single ? (double)((float)least - (float)unknown_penalty) : least - unknown_penalty;
    return hone_trie_of_symbols(&t->words, t, (hone_str){0, 0});
}

static void reach(const hone_tokenizer *t, hone_path *paths, uint32_t start, uint32_t end,
                  double score, int32_t id)
{
    double sum = paths[start].score + score;
    if (t->single)
        sum = (double)((float)paths[start].score + (float)score);
    if (paths[end].start == UINT32_MAX || sum > paths[end].score)
        paths[end] = (hone_path){sum, start, id};
}

/* Follows every piece that starts at byte i. */
static void visit(const hone_tokenizer *t, hone_path *paths, const char *p, uint32_t n, uint32_t i,
                  uint32_t character)
{
    bool alone = false;
    uint32_t k = i;
    uint32_t node = t->words.n_nodes ? t->words.roots[(uint8_t)p[k]] : 0;
    while (node) {
        k++;
        int32_t id = t->words.nodes[node].value;
        if (id >= 0) {
            reach(t, paths, i, k, t->scores[id], id);
            alone = alone || k - i == character;
        }
        node = k < n ? hone_trie_child(&t->words, node, (uint8_t)p[k]) : 0;
    }
    if (!alone)
        reach(t, paths, i, i + character, t->unk_score, -1);
}

/* The ids from the first to the last; runs of unknown characters are one. */
static hone_status put_path(const hone_tokenizer *t, hone_scratch *s, hone_str w)
{
    hone_path *paths = s->paths;
    uint32_t end = w.n, next = UINT32_MAX;
    while (end > 0) { /* turn the way round: `start` becomes where the next piece ends */
        uint32_t start = paths[end].start;
        paths[end].start = next;
        next = end;
        end = start;
    }
    for (uint32_t start = 0; next != UINT32_MAX; start = end) {
        end = next;
        int32_t id = paths[end].id;
        next = paths[end].start;
        while (id < 0 && next != UINT32_MAX && paths[next].id < 0) {
            end = next;
            next = paths[end].start;
        }
        if (id >= 0)
            HONE_TRY(hone_scratch_put_id(s, id));
        else
            HONE_TRY(hone_scratch_put_unknown(t, s, (hone_str){w.at + start, end - start}));
    }
    return HONE_OK;
}

static hone_status encode(const hone_tokenizer *t, hone_scratch *s, hone_str w)
{
    HONE_TRY(HONE_GROW(s->paths, s->path_capacity, (size_t)w.n + 1));
    s->paths[0] = (hone_path){.start = 0};
    for (uint32_t i = 1; i <= w.n; i++)
        s->paths[i].start = UINT32_MAX;
    const char *p = s->text + w.at;
    for (uint32_t i = 0; i < w.n;) {
        uint32_t character = hone_symbol_bytes(t, p + i, w.n - i);
        visit(t, s->paths, p, w.n, i, character);
        i += character;
    }
    return put_path(t, s, w);
}

const hone_token_model hone_model_unigram = {"unigram", build, encode};
