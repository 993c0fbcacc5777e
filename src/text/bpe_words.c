/*
 * Counting: the documents of a lot are cut by the pool, each thread counts in a table of its own,
 * and at the end the tables become one.
 */
#include "text/bpe_internal.h"

#include "base/interrupt.h"
#include "base/mem.h"

#include <stdlib.h>
#include <xxhash.h>

/* ---- the table ---- */

static hone_str_slot *slot_of(const hone_bpe_words *w, const char *s, uint32_t n, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & w->mask, high = (uint32_t)(hash >> 32);
    for (;; at = (at + 1) & w->mask) {
        hone_str_slot *slot = &w->slots[at];
        if (slot->at == 0)
            return slot;
        if (slot->hash != high)
            continue;
        const hone_bpe_word *x = &w->of[slot->at - 1];
        if (x->n == n && memcmp(w->bytes + x->at, s, n) == 0)
            return slot;
    }
}

static hone_status grow_slots(hone_bpe_words *w)
{
    size_t size = w->slots ? 2 * ((size_t)w->mask + 1) : 1024;
    hone_str_slot *slots = hone_calloc(size, sizeof *slots);
    if (!slots)
        return hone_fail_memory(size * sizeof *slots, "the words of the documents");
    hone_free(w->slots);
    w->slots = slots;
    w->mask = (uint32_t)(size - 1);
    for (uint32_t i = 0; i < w->n; i++) {
        uint32_t at = (uint32_t)w->of[i].hash & w->mask;
        while (slots[at].at)
            at = (at + 1) & w->mask;
        slots[at] = (hone_str_slot){i + 1, (uint32_t)(w->of[i].hash >> 32)};
    }
    return HONE_OK;
}

static hone_status add_word(hone_bpe_words *w, const char *s, uint32_t n, uint64_t hash,
                            uint64_t count)
{
    if (!w->slots || w->n >= w->mask / 4 * 3)
        HONE_TRY(grow_slots(w));
    hone_str_slot *slot = slot_of(w, s, n, hash);
    w->total += count;
    if (slot->at) {
        w->of[slot->at - 1].count += count;
        return HONE_OK;
    }
    HONE_TRY(HONE_GROW(w->of, w->capacity, (size_t)w->n + 1));
    if (w->bytes_n + n > w->bytes_capacity) {
        uint64_t capacity = w->bytes_n + n + w->bytes_n / 2 + (1 << 16);
        char *more = hone_realloc(w->bytes, capacity);
        if (!more)
            return hone_fail_memory(capacity, "the words of the documents");
        w->bytes = more;
        w->bytes_capacity = capacity;
    }
    memcpy(w->bytes + w->bytes_n, s, n);
    w->of[w->n++] = (hone_bpe_word){hash, count, w->bytes_n, n};
    *slot = (hone_str_slot){w->n, (uint32_t)(hash >> 32)};
    w->bytes_n += n;
    return HONE_OK;
}

size_t hone_bpe_words_memory(const hone_bpe_words *w)
{
    return w->bytes_capacity + w->capacity * sizeof *w->of +
           (w->slots ? ((size_t)w->mask + 1) * sizeof *w->slots : 0);
}

static int by_hash(const void *a, const void *b, void *bytes)
{
    const hone_bpe_word *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    if (x->n != y->n)
        return x->n < y->n ? -1 : 1;
    return memcmp((char *)bytes + x->at, (char *)bytes + y->at, x->n);
}

void hone_bpe_words_sort(hone_bpe_words *w)
{
    if (w->n)
        qsort_r(w->of, w->n, sizeof *w->of, by_hash, w->bytes);
    hone_free(w->slots);
    w->slots = NULL;
    w->mask = 0;
}

void hone_bpe_words_free(hone_bpe_words *w)
{
    hone_free(w->of);
    hone_free(w->slots);
    hone_free(w->bytes);
    *w = (hone_bpe_words){0};
}

/* ---- counting ---- */

typedef struct counter {
    hone_scratch s;
    hone_bpe_words words;
    hone_status status;
    char *why;
} counter;

typedef struct counting {
    hone_bpe *b;
    hone_pool *pool;
    counter *of; /* [threads] */
    hone_document_lot lot;
} counting;

static hone_status count_text(counting *c, counter *k, const char *text, size_t n)
{
    hone_scratch *s = &k->s;
    int which;
    s->text_n = 0;
    HONE_TRY(hone_scratch_put_text(s, text, n));
    HONE_TRY(hone_split(c->b->t, s, (hone_str){0, (uint32_t)n}, true, &which));
    for (uint32_t i = 0; i < s->n_pieces[which]; i++) {
        hone_str w = s->pieces[which][i];
        const char *p = s->text + w.at;
        HONE_TRY(add_word(&k->words, p, w.n, XXH3_64bits(p, w.n), 1));
    }
    return HONE_OK;
}

static hone_status count_document(counting *c, counter *k, const hone_document *d)
{
    size_t i;
    json_t *message;
    if (d->text)
        return count_text(c, k, d->text, d->n);
    json_array_foreach(d->messages, i, message)
    {
        const json_t *text = json_object_get(message, "content");
        if (json_is_string(text))
            HONE_TRY(count_text(c, k, json_string_value(text), json_string_length(text)));
    }
    return HONE_OK;
}

static void count_one(void *arg, size_t i, int thread)
{
    counting *c = arg;
    counter *k = &c->of[thread];
    const hone_document *d = &c->lot.of[i];
    if (k->status != HONE_OK || hone_interrupted())
        return;
    k->status = count_document(c, k, d);
    if (k->status != HONE_OK) {
        hone_status s =
            hone_fail_in(k->status, "%s: line %llu", d->file, (unsigned long long)d->line);
        (void)s;
        k->why = hone_strdup(hone_error());
    }
}

static hone_status count_lot(counting *c)
{
    size_t memory = c->lot.text_capacity;
    hone_pool_run(c->pool, count_one, c, c->lot.n);
    HONE_TRY(hone_interrupt_check());
    for (int i = 0; i < hone_pool_threads(c->pool); i++) {
        const counter *k = &c->of[i];
        if (k->status != HONE_OK)
            return hone_fail(k->status, "%s", k->why ? k->why : hone_status_text(k->status));
        memory += hone_bpe_words_memory(&k->words) + k->s.text_capacity +
                  (k->s.piece_capacity[0] + k->s.piece_capacity[1]) * sizeof(hone_str);
    }
    for (size_t i = 0; i < c->lot.n; i++)
        c->b->stats.bytes += c->lot.of[i].n;
    c->b->stats.documents += c->lot.n;
    return hone_bpe_charge(c->b, memory, "counting words");
}

static hone_status gather(counting *c)
{
    hone_bpe_words *all = &c->b->words;
    for (int i = 0; i < hone_pool_threads(c->pool); i++) {
        hone_bpe_words *w = &c->of[i].words;
        if (all->n == 0 && all->total == 0) {
            hone_bpe_words_free(all);
            *all = *w;
            *w = (hone_bpe_words){0};
            continue;
        }
        for (uint32_t k = 0; k < w->n; k++)
            HONE_TRY(
                add_word(all, w->bytes + w->of[k].at, w->of[k].n, w->of[k].hash, w->of[k].count));
        hone_bpe_words_free(w);
    }
    return HONE_OK;
}

static hone_status count_all(counting *c, hone_documents *documents,
                             void (*on_progress)(void *arg, const hone_documents *), void *arg)
{
    for (int i = 0; i < hone_pool_threads(c->pool); i++)
        HONE_TRY(hone_scratch_init(&c->of[i].s, 0));
    do {
        HONE_TRY(hone_documents_next_lot(documents, &c->lot));
        HONE_TRY(count_lot(c));
        if (on_progress)
            on_progress(arg, documents);
    } while (c->lot.n);
    return gather(c);
}

hone_status hone_bpe_count(hone_bpe *b, hone_documents *documents,
                           void (*on_progress)(void *arg, const hone_documents *), void *arg)
{
    counting c = {.b = b};
    HONE_TRY(hone_pool_open(b->options.threads, NULL, &c.pool));
    size_t threads = (size_t)hone_pool_threads(c.pool);
    c.of = hone_calloc(threads, sizeof *c.of);
    hone_status s = c.of ? count_all(&c, documents, on_progress, arg)
                         : hone_fail_memory(threads * sizeof *c.of, "counting words");
    for (size_t i = 0; c.of && i < threads; i++) {
        hone_scratch_free(&c.of[i].s);
        hone_bpe_words_free(&c.of[i].words);
        hone_free(c.of[i].why);
    }
    hone_free(c.of);
    hone_document_lot_free(&c.lot);
    hone_pool_close(c.pool);
    return s;
}
