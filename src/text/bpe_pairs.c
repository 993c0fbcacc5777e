/*
 * Merging. Every word is a run of symbols (ids); every pair of neighbours has a count, kept up to
 * date as words change; a heap hands out the commonest. An entry of the heap is a pair, the count
 * it had and the words in which it was then: when its count has changed since, it goes back with
 * the new one. A pair that comes up again later (in words that another merge changed) gets a second
 * entry of its own, which, as in the package, is merged by itself.
 */
#include "base/utf8.h"
#include "text/bpe_internal.h"

#include "base/interrupt.h"
#include "base/mem.h"

#include <assert.h>

typedef struct word {
    uint64_t at; /* first of its symbols */
    uint64_t count;
    uint32_t n;
} word;

typedef struct pair {
    uint64_t key;     /* left << 32 | right */
    int64_t count;    /* never taken back for the pair that is merged, as in the package */
    uint32_t step;    /* when it was last met as a new pair, and in that step: */
    uint32_t n, last; /* words, the last of them */
    uint64_t at;      /* where they are put */
} pair;

typedef struct entry {
    uint64_t count, key;
    uint64_t at; /* its words: places[at .. at + n) */
    uint32_t n, pair;
} entry;

typedef struct event { /* a pair newly in a word */
    uint32_t pair, word;
} event;

typedef struct merging {
    hone_bpe *b;
    uint32_t *symbols;
    uint64_t n_symbols;
    word *words;
    uint32_t n_words;
    pair *pairs;
    uint32_t n_pairs, pairs_capacity;
    uint32_t *slots; /* pair + 1 by key */
    uint32_t slots_mask;
    entry *heap;
    uint32_t n_heap, heap_capacity;
    uint32_t *places; /* words of entries; only grows: a pair can be new only where two were one */
    uint64_t n_places, places_capacity;
    event *events;
    uint32_t n_events, events_capacity;
    uint32_t *touched;
    uint32_t n_touched, touched_capacity;
    uint32_t step;
} merging;

/* ---- pairs ---- */

static uint32_t hash_key(uint64_t key)
{
    key *= 0x9E3779B97F4A7C15u;
    return (uint32_t)(key >> 32);
}

static hone_status grow_slots(merging *m)
{
    size_t size = m->slots ? 2 * ((size_t)m->slots_mask + 1) : 1 << 12;
    uint32_t *slots = hone_calloc(size, sizeof *slots);
    if (!slots)
        return hone_fail_memory(size * sizeof *slots, "pairs of tokens");
    hone_free(m->slots);
    m->slots = slots;
    m->slots_mask = (uint32_t)(size - 1);
    for (uint32_t i = 0; i < m->n_pairs; i++) {
        uint32_t at = hash_key(m->pairs[i].key) & m->slots_mask;
        while (slots[at])
            at = (at + 1) & m->slots_mask;
        slots[at] = i + 1;
    }
    return HONE_OK;
}

static hone_status find_pair(merging *m, uint32_t left, uint32_t right, uint32_t *out)
{
    uint64_t key = (uint64_t)left << 32 | right;
    if (!m->slots || m->n_pairs >= m->slots_mask / 4 * 3)
        HONE_TRY(grow_slots(m));
    uint32_t at = hash_key(key) & m->slots_mask;
    for (; m->slots[at]; at = (at + 1) & m->slots_mask)
        if (m->pairs[m->slots[at] - 1].key == key) {
            *out = m->slots[at] - 1;
            return HONE_OK;
        }
    HONE_TRY(HONE_GROW(m->pairs, m->pairs_capacity, (size_t)m->n_pairs + 1));
    m->pairs[m->n_pairs] = (pair){.key = key, .step = UINT32_MAX};
    m->slots[at] = m->n_pairs + 1;
    *out = m->n_pairs++;
    return HONE_OK;
}

/* The pair is there n times more (or less) in a word. */
static hone_status change(merging *m, uint32_t left, uint32_t right, int n, uint32_t in)
{
    uint32_t i;
    HONE_TRY(find_pair(m, left, right, &i));
    pair *p = &m->pairs[i];
    p->count += n * (int64_t)m->words[in].count;
    if (n < 0)
        return HONE_OK;
    if (p->step != m->step) {
        HONE_TRY(HONE_GROW(m->touched, m->touched_capacity, (size_t)m->n_touched + 1));
        m->touched[m->n_touched++] = i;
        p->step = m->step;
        p->n = 0;
    } else if (p->last == in) {
        return HONE_OK;
    }
    HONE_TRY(HONE_GROW(m->events, m->events_capacity, (size_t)m->n_events + 1));
    m->events[m->n_events++] = (event){i, in};
    p->last = in;
    p->n++;
    return HONE_OK;
}

/* ---- the heap ---- */

/* The commoner pair first; of equals the one with the lesser ids; then the older entry. */
static bool before(const entry *x, const entry *y)
{
    if (x->count != y->count)
        return x->count > y->count;
    if (x->key != y->key)
        return x->key < y->key;
    return x->at < y->at;
}

static hone_status push(merging *m, entry e)
{
    HONE_TRY(HONE_GROW(m->heap, m->heap_capacity, (size_t)m->n_heap + 1));
    uint32_t i = m->n_heap++;
    for (; i > 0 && before(&e, &m->heap[(i - 1) / 2]); i = (i - 1) / 2)
        m->heap[i] = m->heap[(i - 1) / 2];
    m->heap[i] = e;
    return HONE_OK;
}

static entry pop(merging *m)
{
    entry top = m->heap[0], e = m->heap[--m->n_heap];
    uint32_t i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= m->n_heap)
            break;
        child += child + 1 < m->n_heap && before(&m->heap[child + 1], &m->heap[child]);
        if (!before(&m->heap[child], &e))
            break;
        m->heap[i] = m->heap[child];
        i = child;
    }
    if (m->n_heap)
        m->heap[i] = e;
    return top;
}

/* The pairs that the step made or met become entries, with their words in the order of the events.
 */
static hone_status push_touched(merging *m)
{
    uint64_t need = m->n_places + m->n_events;
    if (need > m->places_capacity) {
        uint64_t capacity = need + need / 2;
        uint32_t *more = hone_reallocarray(m->places, capacity, sizeof *more);
        if (!more)
            return hone_fail_memory(capacity * sizeof *more, "where pairs of tokens are");
        m->places = more;
        m->places_capacity = capacity;
    }
    for (uint32_t i = 0; i < m->n_touched; i++) {
        pair *p = &m->pairs[m->touched[i]];
        p->at = m->n_places;
        if (p->count > 0)
            HONE_TRY(push(m, (entry){(uint64_t)p->count, p->key, p->at, p->n, m->touched[i]}));
        m->n_places += p->n;
    }
    for (uint32_t i = 0; i < m->n_events; i++)
        m->places[m->pairs[m->events[i].pair].at++] = m->events[i].word;
    m->n_events = m->n_touched = 0;
    m->step++;
    return HONE_OK;
}

/* ---- words ---- */

static hone_status cut_words(merging *m)
{
    const hone_bpe_words *w = &m->b->words;
    uint32_t id_of[256];
    for (uint32_t i = 0; i < 256; i++) {
        char piece[4];
        size_t n = hone_utf8_put(hone_byte_alphabet_code((uint8_t)i), piece);
        id_of[i] = (uint32_t)hone_str_index_find(&m->b->by_piece, m->b->t, m->b->pieces, piece, n);
    }
    m->words = hone_reallocarray(NULL, (size_t)w->n + 1, sizeof *m->words);
    m->symbols = hone_reallocarray(NULL, w->bytes_n + 1, sizeof *m->symbols);
    if (!m->words || !m->symbols)
        return hone_fail_memory(w->bytes_n * sizeof *m->symbols, "the words of the documents");
    m->n_words = w->n;
    for (uint32_t i = 0; i < w->n; i++) {
        m->words[i] = (word){m->n_symbols, w->of[i].count, w->of[i].n};
        for (uint32_t k = 0; k < w->of[i].n; k++)
            m->symbols[m->n_symbols++] = id_of[(uint8_t)w->bytes[w->of[i].at + k]];
    }
    return HONE_OK;
}

static hone_status count_pairs(merging *m)
{
    for (uint32_t i = 0; i < m->n_words; i++) {
        const uint32_t *s = m->symbols + m->words[i].at;
        for (uint32_t k = 0; k + 1 < m->words[i].n; k++)
            HONE_TRY(change(m, s[k], s[k + 1], 1, i));
    }
    return push_touched(m);
}

/* A pair with a new token that would be longer than a token may be is not counted. */
static hone_status change_new(merging *m, uint32_t left, uint32_t right, uint32_t in)
{
    const uint32_t *lengths = m->b->lengths;
    uint64_t length = (uint64_t)lengths[left] + lengths[right];
    uint32_t most = m->b->options.token_bytes_max;
    return most && length > most ? HONE_OK : change(m, left, right, 1, in);
}

/* left right -> made, from the start of the word on. */
static hone_status merge_word(merging *m, uint32_t i, uint32_t left, uint32_t right, uint32_t made)
{
    word *w = &m->words[i];
    uint32_t *s = m->symbols + w->at, to = 0;
    for (uint32_t from = 0; from < w->n; from++) {
        if (s[from] != left || from + 1 == w->n || s[from + 1] != right) {
            s[to++] = s[from];
            continue;
        }
        if (to > 0) {
            HONE_TRY(change(m, s[to - 1], left, -1, i));
            HONE_TRY(change_new(m, s[to - 1], made, i));
        }
        s[to++] = made;
        from++;
        if (from + 1 < w->n) {
            HONE_TRY(change(m, right, s[from + 1], -1, i));
            HONE_TRY(change_new(m, made, s[from + 1], i));
        }
    }
    w->n = to;
    return HONE_OK;
}

/* ---- merges ---- */

/* The token of a pair, made if there is none. *made false: it is spelled like a special token. */
static hone_status make_token(hone_bpe *b, uint32_t left, uint32_t right, uint32_t *id, bool *made)
{
    hone_str x = b->pieces[left], y = b->pieces[right], s;
    char small[256], *text = x.n + y.n > sizeof small ? hone_malloc(x.n + y.n) : small;
    if (!text)
        return hone_fail_memory(x.n + y.n, "a token");
    memcpy(text, hone_pool_str(b->t, x), x.n);
    memcpy(text + x.n, hone_pool_str(b->t, y), y.n);
    s.n = x.n + y.n;
    int32_t known = hone_str_index_find(&b->by_piece, b->t, b->pieces, text, s.n);
    *made = known < 0 || (size_t)known >= b->options.n_specials;
    *id = known < 0 ? b->n_pieces : (uint32_t)known;
    hone_status status =
        known < 0 ? hone_bpe_put_piece(b, text, s.n, b->lengths[left] + b->lengths[right])
                  : HONE_OK;
    if (text != small)
        hone_free(text);
    return status;
}

static hone_status merge_entry(merging *m, entry e)
{
    hone_bpe *b = m->b;
    uint32_t left = (uint32_t)(e.key >> 32), right = (uint32_t)e.key, id;
    bool made;
    HONE_TRY(make_token(b, left, right, &id, &made));
    if (!made)
        return HONE_OK;
    HONE_TRY(HONE_GROW(b->merges, b->merges_capacity, (size_t)b->n_merges + 1));
    b->merges[b->n_merges++] = (hone_bpe_merged){left, right};
    b->stats.last_count = e.count;
    for (uint32_t i = 0; i < e.n; i++)
        HONE_TRY(merge_word(m, m->places[e.at + i], left, right, id));
    return push_touched(m);
}

static size_t memory_of(const merging *m)
{
    return hone_bpe_words_memory(&m->b->words) + m->n_symbols * sizeof *m->symbols +
           m->n_words * sizeof *m->words + m->pairs_capacity * sizeof *m->pairs +
           ((size_t)m->slots_mask + 1) * sizeof *m->slots + m->heap_capacity * sizeof *m->heap +
           m->places_capacity * sizeof *m->places + m->events_capacity * sizeof *m->events +
           m->touched_capacity * sizeof *m->touched;
}

static hone_status merge_all(merging *m, void (*on_progress)(void *arg, double done), void *arg)
{
    hone_bpe *b = m->b;
    uint32_t start = b->n_pieces;
    HONE_TRY(cut_words(m));
    HONE_TRY(count_pairs(m));
    while (b->n_pieces < b->options.vocab && m->n_heap) {
        entry e = pop(m);
        uint64_t now = (uint64_t)m->pairs[e.pair].count;
        if (e.count != now) {
            e.count = now;
            HONE_TRY(push(m, e));
            continue;
        }
        if (e.count < 1 || e.count < b->options.frequency_min)
            break;
        HONE_TRY(merge_entry(m, e));
        if (m->step % 256 == 0) {
            HONE_TRY(hone_interrupt_check());
            HONE_TRY(hone_bpe_charge(b, memory_of(m), "merging"));
            if (on_progress)
                on_progress(arg, (double)(b->n_pieces - start) / (b->options.vocab - start));
        }
    }
    return hone_bpe_charge(b, memory_of(m), "merging");
}

/* Of merges that were made twice the last counts: it is the one whose rank the package keeps. */
static hone_status drop_repeated(hone_bpe *b)
{
    merging m = {.b = b};
    hone_status s = HONE_OK;
    uint32_t kept = b->n_merges;
    for (uint32_t i = b->n_merges; i-- > 0 && s == HONE_OK;) {
        uint32_t known = m.n_pairs, at;
        s = find_pair(&m, b->merges[i].left, b->merges[i].right, &at);
        if (s == HONE_OK && m.n_pairs > known)
            b->merges[--kept] = b->merges[i];
    }
    if (s == HONE_OK) {
        memmove(b->merges, b->merges + kept, (b->n_merges - kept) * sizeof *b->merges);
        b->n_merges -= kept;
    }
    hone_free(m.pairs);
    hone_free(m.slots);
    return s;
}

hone_status hone_bpe_merge(hone_bpe *b, void (*on_progress)(void *arg, double done), void *arg)
{
    merging m = {.b = b};
    if (b->words.n == 0)
        return hone_fail(HONE_DATA, "there are no words to learn a vocabulary from");
    hone_bpe_words_sort(&b->words);
    b->stats.words = b->words.total;
    b->stats.distinct = b->words.n;
    hone_status s = merge_all(&m, on_progress, arg);
    if (s == HONE_OK && b->n_merges)
        s = drop_repeated(b);
    for (uint32_t i = 0; m.words && i < m.n_words; i++)
        b->stats.tokens += m.words[i].count * m.words[i].n;
    b->stats.vocab = b->n_pieces;
    b->stats.merges = b->n_merges;
    void *owned[] = {m.symbols, m.words, m.pairs, m.slots, m.heap, m.places, m.events, m.touched};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        hone_free(owned[i]);
    return s;
}
