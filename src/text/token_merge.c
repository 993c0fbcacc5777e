/*
 * The model: merges in the order of their ranks (Sennrich et al. 2016), the leftmost of equal ones
 * first. Short words scan for the least rank, longer ones keep a heap of pairs, and a megabyte
 * without a boundary is merged in windows that overlap, so that time is linear and memory a
 * window's.
 */
#include "base/utf8.h"
#include "text/tokenizer_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define NO_RANK UINT32_MAX
enum {
    SHORT_WORD = 48,      /* symbols up to which scanning is quicker than a heap */
    WINDOW = 2048,        /* symbols that are merged at a time */
    CACHED_WORD_MAX = 128 /* bytes of a word worth remembering */
};

typedef struct hone_node {
    int32_t symbol; /* HONE_NO_SYMBOL: a character without one */
    uint32_t at, n; /* bytes of the word */
    uint32_t next, before;
    uint32_t rank, merged; /* of the pair with the next one */
} hone_node;

struct hone_word_slot {
    uint64_t hash;
    hone_str word;
    uint32_t first_id, n_ids;
};

/* ---- the table of merges ---- */

static uint32_t slot_of(uint64_t key, uint32_t mask)
{
    key *= 0x9E3779B97F4A7C15u;
    return (uint32_t)(key >> 32) & mask;
}

static hone_merge *find_merge(const hone_tokenizer *t, int32_t left, int32_t right)
{
    if (left < 0 || right < 0 || !t->merges)
        return NULL;
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    for (uint32_t i = slot_of(key, t->merge_mask);; i = (i + 1) & t->merge_mask) {
        hone_merge *m = &t->merges[i];
        if (m->key == key)
            return m;
        if (m->key == UINT64_MAX)
            return NULL;
    }
}

static void insert_merge(hone_merge *table, uint32_t mask, hone_merge m)
{
    uint32_t i = slot_of(m.key, mask);
    while (table[i].key != UINT64_MAX)
        i = (i + 1) & mask;
    table[i] = m;
}

hone_status hone_merges_reserve(hone_tokenizer *t, size_t n)
{
    size_t had = t->merges ? (size_t)t->merge_mask + 1 : 0, slots = had ? had : 1024;
    while (n > slots / 2)
        slots *= 2;
    if (slots == had)
        return HONE_OK;
    hone_merge *fresh = hone_malloc(slots * sizeof *fresh);
    if (!fresh)
        return hone_fail_memory(slots * sizeof *fresh, "the table of merges");
    memset(fresh, 0xFF, slots * sizeof *fresh);
    for (size_t i = 0; i < had; i++)
        if (t->merges[i].key != UINT64_MAX)
            insert_merge(fresh, (uint32_t)(slots - 1), t->merges[i]);
    hone_free(t->merges);
    t->merges = fresh;
    t->merge_mask = (uint32_t)(slots - 1);
    return HONE_OK;
}

/* Adds left + right -> id; a pair that is there already: see last_merge_counts. */
static hone_status put_merge(hone_tokenizer *t, uint32_t left, uint32_t right, uint32_t rank,
                             uint32_t id)
{
    hone_merge *known = find_merge(t, (int32_t)left, (int32_t)right);
    if (known) {
        if (t->last_merge_counts)
            known->rank = rank;
        return HONE_OK;
    }
    if (t->n_merges >= HONE_MERGES_MAX)
        return hone_fail(HONE_LIMIT, "more than %d merges", HONE_MERGES_MAX);
    HONE_TRY(hone_merges_reserve(t, (size_t)t->n_merges + 1));
    insert_merge(t->merges, t->merge_mask, (hone_merge){(uint64_t)left << 32 | right, rank, id});
    t->n_merges++;
    return HONE_OK;
}

static hone_status need_piece(const hone_tokenizer *t, const char *s, size_t n, uint32_t rank,
                              int32_t *id)
{
    *id = hone_tokenizer_find(t, s, n);
    if (*id < 0 || !(t->flags[*id] & HONE_TOKEN_IS_MODEL))
        return hone_fail(HONE_FORMAT,
                         "merge %u needs the token \"%.*s\", which the vocabulary lacks", rank,
                         (int)(n < 80 ? n : 80), s);
    return HONE_OK;
}

hone_status hone_merges_put_pieces(hone_tokenizer *t, const char *left, size_t n, const char *right,
                                   size_t m, size_t skip, uint32_t rank)
{
    int32_t a, b, c;
    HONE_TRY(need_piece(t, left, n, rank, &a));
    HONE_TRY(need_piece(t, right, m, rank, &b));
    if (skip > m)
        skip = m;
    char few[128], *joined = n + m <= sizeof few ? few : hone_malloc(n + m);
    if (!joined)
        return hone_fail_memory(n + m, "a merge");
    memcpy(joined, left, n);
    memcpy(joined + n, right + skip, m - skip);
    hone_status s = need_piece(t, joined, n + m - skip, rank, &c);
    if (joined != few)
        hone_free(joined);
    HONE_TRY(s);
    /* Text never becomes a special token by merging. */
    if (t->flags[c] & HONE_TOKEN_IS_SPECIAL)
        return HONE_OK;
    return put_merge(t, (uint32_t)a, (uint32_t)b, rank, (uint32_t)c);
}

/* ---- merges from scores (SentencePiece) ---- */

typedef struct scored {
    double score;
    uint32_t id;
} scored;

static int by_score_descending(const void *a, const void *b)
{
    const scored *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* Characters that are part of a token but none themselves become symbols after the ids. */
static hone_status add_character_symbols(hone_tokenizer *t, uint32_t id)
{
    hone_str s = t->symbols[id];
    size_t len;
    for (uint32_t i = 0; i < s.n; i += (uint32_t)len) {
        const char *c = hone_pool_str(t, s) + i;
        if (hone_utf8_next(c, s.n - i, &len) != HONE_UTF8_VALID)
            return hone_fail(HONE_FORMAT, "token %u is not valid UTF-8", id);
        if (hone_str_index_find(&t->by_symbol, t, t->symbols, c, len) >= 0)
            continue;
        HONE_TRY(HONE_GROW(t->symbols, t->symbol_capacity, (size_t)t->n_symbols + 1));
        t->symbols[t->n_symbols] = (hone_str){s.at + i, (uint32_t)len};
        HONE_TRY(hone_str_index_put(&t->by_symbol, t, t->symbols, t->n_symbols));
        t->n_symbols++;
    }
    return HONE_OK;
}

static hone_status put_splits(hone_tokenizer *t, uint32_t id, uint32_t rank)
{
    hone_str s = t->symbols[id];
    const char *p = hone_pool_str(t, s);
    for (uint32_t i = 0; i < s.n;) {
        i += hone_symbol_bytes(t, p + i, s.n - i);
        if (i >= s.n)
            break;
        int32_t left = hone_str_index_find(&t->by_symbol, t, t->symbols, p, i);
        if (left < 0)
            continue;
        int32_t right = hone_str_index_find(&t->by_symbol, t, t->symbols, p + i, s.n - i);
        if (right >= 0)
            HONE_TRY(put_merge(t, (uint32_t)left, (uint32_t)right, rank, id));
    }
    return HONE_OK;
}

hone_status hone_merges_from_scores(hone_tokenizer *t)
{
    size_t n = 0;
    HONE_TRY(hone_scores_reserve(t, (size_t)t->n_tokens)); /* added tokens have none of their own */
    scored *order = hone_malloc((size_t)t->n_tokens * sizeof *order);
    if (!order)
        return hone_fail_memory((size_t)t->n_tokens * sizeof *order, "the order of merges");
    hone_status s = HONE_OK;
    for (uint32_t i = 0; i < (uint32_t)t->n_tokens; i++) {
        hone_str e = t->symbols[i];
        if (e.n == 0)
            continue;
        if (isnan(t->scores[i]))
            HONE_GOTO(s, done, hone_fail(HONE_FORMAT, "the score of token %u is not a number", i));
        if (e.n > HONE_MERGED_PIECE_MAX)
            HONE_GOTO(s, done,
                      hone_fail(HONE_LIMIT, "token %u has %u bytes; merging allows %d", i, e.n,
                                HONE_MERGED_PIECE_MAX));
        if (!t->byte_level)
            HONE_GOTO(s, done, add_character_symbols(t, i));
        order[n++] = (scored){t->scores[i], i};
    }
    qsort(order, n, sizeof *order, by_score_descending);
    uint32_t rank = 0;
    for (size_t i = 0; i < n; i++) {
        rank += i > 0 && order[i].score != order[i - 1].score;
        HONE_GOTO(s, done, put_splits(t, order[i].id, rank));
    }
done:
    hone_free(order);
    return s;
}

/* What a token that merges can make says about where text may be cut. */
static void heed_token(hone_tokenizer *t, hone_str e)
{
    const size_t meta = sizeof HONE_META_SPACE - 1;
    const char *p = hone_pool_str(t, e);
    bool other = false; /* a character before that is not U+2581 */
    for (size_t k = 1; k < e.n; k++)
        t->joined[(uint8_t)p[k - 1]][(uint8_t)p[k] / 8] |= (uint8_t)(1 << (uint8_t)p[k] % 8);
    for (size_t k = 0; k < e.n; k++) {
        if ((uint8_t)p[k] < 128)
            t->cut_ascii[(uint8_t)p[k]] = false;
        bool is_meta = e.n - k >= meta && memcmp(p + k, HONE_META_SPACE, meta) == 0;
        if (is_meta && other)
            t->cut_meta = false;
        other = other || !is_meta;
        if (is_meta)
            k += meta - 1;
    }
}

static bool is_symbol(const hone_tokenizer *t, const char *s, size_t n)
{
    return hone_str_index_find(&t->by_symbol, t, t->symbols, s, n) >= 0;
}

static void find_cuts(hone_tokenizer *t)
{
    t->cut_meta = false;
    memset(t->cut_ascii, 0, sizeof t->cut_ascii);
    t->cut_pairs = t->merges && !t->word_end.n && !t->word_mid.n;
    if (!t->cut_pairs)
        return;
    bool whole = !t->byte_level && !t->ignore_merges; /* the text may be one word */
    t->cut_meta = whole && is_symbol(t, HONE_META_SPACE, sizeof HONE_META_SPACE - 1);
    for (int c = 0; c < 128 && whole; c++) {
        char one = (char)c;
        t->cut_ascii[c] = t->byte_symbol[c] >= 0 || is_symbol(t, &one, 1);
    }
    for (size_t i = 0; i <= t->merge_mask; i++)
        if (t->merges[i].key != UINT64_MAX)
            heed_token(t, t->symbols[t->merges[i].id]);
}

/* ---- scratch ---- */

hone_status hone_scratch_init(hone_scratch *s, size_t text_bytes)
{
    memset(s, 0, sizeof *s);
    size_t slots = 64;
    while (slots < 32768 && slots < text_bytes / 16)
        slots *= 2;
    s->cache = hone_calloc(slots, sizeof *s->cache);
    s->cache_mask = (uint32_t)(slots - 1);
    if (!s->cache)
        return hone_fail_memory(slots * sizeof *s->cache, "the words of a text");
    return hone_scratch_room(s, 64); /* so that text is never NULL */
}

void hone_scratch_free(hone_scratch *s)
{
    void *owned[] = {s->text,  s->pieces[0], s->pieces[1], s->ids,  s->cache,
                     s->nodes, s->heap,      s->paths,     s->codes};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        hone_free(owned[i]);
    pcre2_match_data_free(s->match);
    pcre2_match_context_free(s->context);
    pcre2_jit_stack_free(s->jit_stack);
}

hone_status hone_scratch_put_id(hone_scratch *s, int32_t id)
{
    HONE_TRY(HONE_GROW(s->ids, s->id_capacity, (size_t)s->n_ids + 1));
    s->ids[s->n_ids++] = id;
    s->last_unk = false;
    return HONE_OK;
}

hone_status hone_scratch_room(hone_scratch *s, size_t n)
{
    return HONE_GROW(s->text, s->text_capacity, (size_t)s->text_n + n);
}

hone_status hone_scratch_put_text(hone_scratch *s, const char *text, size_t n)
{
    HONE_TRY(hone_scratch_room(s, n));
    if (n)
        memcpy(s->text + s->text_n, text, n);
    s->text_n += (uint32_t)n;
    return HONE_OK;
}

/* ---- one word ---- */

static void rate(const hone_tokenizer *t, hone_node *nodes, uint32_t i)
{
    uint32_t next = nodes[i].next;
    const hone_merge *m =
        next == UINT32_MAX ? NULL : find_merge(t, nodes[i].symbol, nodes[next].symbol);
    nodes[i].rank = m ? m->rank : NO_RANK;
    nodes[i].merged = m ? m->id : 0;
}

static void merge_at(const hone_tokenizer *t, hone_node *nodes, uint32_t i)
{
    uint32_t gone = nodes[i].next, next = nodes[gone].next;
    nodes[i].symbol = (int32_t)nodes[i].merged;
    nodes[i].n += nodes[gone].n;
    nodes[i].next = next;
    nodes[gone].rank = NO_RANK;
    if (next != UINT32_MAX)
        nodes[next].before = i;
    rate(t, nodes, i);
    if (nodes[i].before != UINT32_MAX)
        rate(t, nodes, nodes[i].before);
}

static void merge_short(const hone_tokenizer *t, hone_node *nodes)
{
    for (;;) {
        uint32_t best = NO_RANK, at = 0;
        for (uint32_t i = 0; i != UINT32_MAX; i = nodes[i].next)
            if (nodes[i].rank < best) {
                best = nodes[i].rank;
                at = i;
            }
        if (best == NO_RANK)
            return;
        merge_at(t, nodes, at);
    }
}

static hone_status heap_push(hone_scratch *s, uint32_t rank, uint32_t at)
{
    if (rank == NO_RANK)
        return HONE_OK;
    HONE_TRY(HONE_GROW(s->heap, s->heap_capacity, (size_t)s->n_heap + 1));
    uint64_t key = (uint64_t)rank << 32 | at;
    size_t i = s->n_heap++;
    for (; i > 0 && s->heap[(i - 1) / 2] > key; i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = key;
    return HONE_OK;
}

static uint64_t heap_pop(hone_scratch *s)
{
    uint64_t top = s->heap[0], last = s->heap[--s->n_heap];
    size_t i = 0, n = s->n_heap;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n)
            break;
        child += child + 1 < n && s->heap[child + 1] < s->heap[child];
        if (s->heap[child] >= last)
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = last;
    return top;
}

static hone_status merge_long(const hone_tokenizer *t, hone_scratch *s, uint32_t n)
{
    hone_node *nodes = s->nodes;
    s->n_heap = 0;
    for (uint32_t i = 0; i < n; i++)
        HONE_TRY(heap_push(s, nodes[i].rank, i));
    while (s->n_heap) {
        uint64_t top = heap_pop(s);
        uint32_t at = (uint32_t)top;
        if (nodes[at].rank != top >> 32)
            continue; /* the pair is no longer what it was */
        merge_at(t, nodes, at);
        HONE_TRY(heap_push(s, nodes[at].rank, at));
        uint32_t before = nodes[at].before;
        if (before != UINT32_MAX)
            HONE_TRY(heap_push(s, nodes[before].rank, before));
    }
    return HONE_OK;
}

/* A character with what stands before it inside a word and behind it at the end. */
static int32_t find_affixed(const hone_tokenizer *t, const char *p, uint32_t n, bool first,
                            bool last)
{
    char whole[128];
    hone_str mid = first ? (hone_str){0, 0} : t->word_mid,
             end = last ? t->word_end : (hone_str){0, 0};
    if (mid.n + n + end.n > sizeof whole)
        return HONE_NO_SYMBOL;
    memcpy(whole, hone_pool_str(t, mid), mid.n);
    memcpy(whole + mid.n, p, n);
    memcpy(whole + mid.n + n, hone_pool_str(t, end), end.n);
    return hone_str_index_find(&t->by_symbol, t, t->symbols, whole, mid.n + n + end.n);
}

/* The word's first symbols from byte `from`, `most` at most: bytes, or characters (with word_mid
 * and word_end). Where they end goes into *to. */
static hone_status cut_symbols(const hone_tokenizer *t, hone_scratch *s, hone_str w, uint32_t from,
                               uint32_t most, uint32_t *count, uint32_t *to)
{
    const char *p = s->text + w.at;
    uint32_t n = 0, i = from;
    for (; i < w.n && n < most; n++) {
        uint32_t len = hone_symbol_bytes(t, p + i, w.n - i);
        HONE_TRY(HONE_GROW(s->nodes, s->node_capacity, (size_t)n + 1));
        int32_t symbol;
        if (t->word_end.n || t->word_mid.n)
            symbol = find_affixed(t, p + i, len, i == 0, i + len == w.n);
        else if (t->byte_level)
            symbol = t->byte_symbol[(uint8_t)p[i]];
        else
            symbol = hone_str_index_find(&t->by_symbol, t, t->symbols, p + i, len);
        s->nodes[n] =
            (hone_node){.symbol = symbol, .at = i, .n = len, .next = n + 1, .before = n - 1};
        i += len;
    }
    s->nodes[n - 1].next = UINT32_MAX; /* before of the first is UINT32_MAX already */
    for (uint32_t k = 0; k < n; k++)
        rate(t, s->nodes, k);
    *count = n;
    *to = i;
    return HONE_OK;
}

hone_status hone_scratch_put_unknown(const hone_tokenizer *t, hone_scratch *s, hone_str w)
{
    const char *p = s->text + w.at;
    uint32_t n = w.n;
    if (t->byte_fallback) {
        uint32_t have = 0;
        while (have < n && t->byte_symbol[(uint8_t)p[have]] >= 0)
            have++;
        if (have == n) {
            for (uint32_t i = 0; i < n; i++)
                HONE_TRY(hone_scratch_put_id(s, t->byte_symbol[(uint8_t)p[i]]));
            return HONE_OK;
        }
    }
    if (t->unk < 0)
        return hone_fail(HONE_DATA,
                         "the vocabulary has neither a token for byte 0x%02X of the text nor an "
                         "unknown token",
                         (uint8_t)p[0]);
    if (t->fuse_unk && s->last_unk)
        return HONE_OK;
    HONE_TRY(hone_scratch_put_id(s, t->unk));
    s->last_unk = true;
    return HONE_OK;
}

static hone_status put_node(const hone_tokenizer *t, hone_scratch *s, hone_str w, hone_node node)
{
    if (node.symbol >= 0 && node.symbol < t->n_tokens)
        return hone_scratch_put_id(s, node.symbol);
    return hone_scratch_put_unknown(t, s, (hone_str){w.at + node.at, node.n});
}

/*
 * The word in windows of `most` symbols. A window's last eighth is left to the next one, which
 * begins where a token began and must begin with that same token; else *whole is false, and the
 * window was too short. Why that is exact: a merge over the border of two tokens, the first one to
 * cross any border, would have the least rank within these two alone as well. So a row of tokens is
 * what merging the whole gives if each two neighbours are what merging these two gives; and in each
 * window they are.
 */
static hone_status merge_windows(const hone_tokenizer *t, hone_scratch *s, hone_str w,
                                 uint32_t most, bool *whole)
{
    hone_node expected = {.n = 0};
    for (uint32_t from = 0, n, to;; from = expected.at) {
        HONE_TRY(cut_symbols(t, s, w, from, most, &n, &to));
        if (n <= SHORT_WORD)
            merge_short(t, s->nodes);
        else
            HONE_TRY(merge_long(t, s, n));
        const hone_node *nodes = s->nodes;
        *whole = !expected.n || (nodes->symbol == expected.symbol && nodes->n == expected.n);
        if (!*whole)
            return HONE_OK;
        uint32_t i = 0, stop = n - n / 8;
        for (; i != UINT32_MAX && (to == w.n || nodes[i].next <= stop); i = nodes[i].next)
            HONE_TRY(put_node(t, s, w, nodes[i]));
        if (to == w.n)
            return HONE_OK;
        *whole = i > 0;
        if (!*whole)
            return HONE_OK;
        expected = nodes[i];
    }
}

static hone_status merge_word(const hone_tokenizer *t, hone_scratch *s, hone_str w)
{
    uint32_t ids = s->n_ids;
    bool last_unk = s->last_unk, whole = false;
    for (uint32_t most = WINDOW; !whole; most = most < w.n / 2 ? 2 * most : w.n) {
        s->n_ids = ids;
        s->last_unk = last_unk;
        HONE_TRY(merge_windows(t, s, w, most, &whole));
    }
    return HONE_OK;
}

/* Unknowns are fused within a word, and over words as well in SentencePiece's models. */
static hone_status copy_ids(const hone_tokenizer *t, hone_scratch *s,
                            const struct hone_word_slot *slot)
{
    uint32_t first = slot->first_id, n = slot->n_ids;
    bool fused = s->last_unk && s->ids[first] == t->unk;
    first += fused;
    n -= fused;
    HONE_TRY(HONE_GROW(s->ids, s->id_capacity, (size_t)s->n_ids + n));
    memcpy(s->ids + s->n_ids, s->ids + first, n * sizeof *s->ids);
    s->n_ids += n;
    s->last_unk = t->fuse_unk && t->unk >= 0 && s->n_ids && s->ids[s->n_ids - 1] == t->unk;
    return HONE_OK;
}

static hone_status build_merges(hone_tokenizer *t)
{
    find_cuts(t);
    return HONE_OK;
}

const hone_token_model hone_model_bpe = {"BPE", build_merges, merge_word};

/* A word, or a part of one that no merge reaches out of. */
static hone_status encode_part(const hone_tokenizer *t, hone_scratch *s, hone_str w)
{
    if (w.n > CACHED_WORD_MAX)
        return t->model->encode(t, s, w);
    const char *p = s->text + w.at;
    uint64_t hash = XXH3_64bits(p, w.n);
    struct hone_word_slot *slot = &s->cache[hash & s->cache_mask];
    if (slot->n_ids && slot->hash == hash && slot->word.n == w.n &&
        memcmp(s->text + slot->word.at, p, w.n) == 0)
        return copy_ids(t, s, slot);
    uint32_t first = s->n_ids;
    bool alone = !s->last_unk; /* else its first unknown may be missing */
    HONE_TRY(t->model->encode(t, s, w));
    if (alone)
        *slot = (struct hone_word_slot){hash, w, first, s->n_ids - first};
    return HONE_OK;
}

/* A long word is cut between bytes that stand side by side in no token that merges make. */
static hone_status encode_long(const hone_tokenizer *t, hone_scratch *s, hone_str w)
{
    uint32_t start = 0;
    for (uint32_t i = 1; i < w.n; i++) {
        const uint8_t *p = (const uint8_t *)s->text + w.at + i;
        bool inside = !t->byte_level && (*p & 0xC0) == 0x80; /* a character */
        if (inside || t->joined[p[-1]][*p / 8] >> *p % 8 & 1)
            continue;
        HONE_TRY(encode_part(t, s, (hone_str){w.at + start, i - start}));
        start = i;
    }
    return encode_part(t, s, (hone_str){w.at + start, w.n - start});
}

hone_status hone_model_encode_word(const hone_tokenizer *t, hone_scratch *s, hone_str w)
{
    if (w.n == 0)
        return HONE_OK;
    s->last_unk = s->last_unk && t->by_score;
    if (t->ignore_merges) {
        int32_t id = hone_str_index_find(&t->by_symbol, t, t->symbols, s->text + w.at, w.n);
        if (id >= 0 && id < t->n_tokens)
            return hone_scratch_put_id(s, id);
    }
    return w.n > SHORT_WORD && t->cut_pairs ? encode_long(t, s, w) : encode_part(t, s, w);
}
