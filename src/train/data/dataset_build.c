/*
 * Documents are read in lots, the documents of a lot are encoded by the pool, and what they became
 * is written in their order.
 */
#define XXH_STATIC_LINKING_ONLY /* the state of a hash as a plain struct */
#include "train/data/dataset_build.h"

#include "base/interrupt.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/threads.h"
#include "text/documents.h"
#include "text/tokenizer.h"
#include "train/data/dataset.h"
#include "train/data/dataset_file.h"
#include "train/data/dataset_item.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* One of the two files. */
typedef struct side {
    XXH3_state_t hash;
    hone_writer *writer;
    uint64_t *offsets; /* [documents + 1] */
    size_t n_offsets, offsets_capacity;
    uint8_t *learn; /* bits */
    size_t learn_capacity;
    uint64_t tokens;
    bool masked;
    hone_dataset_counts counts;
} side;

/* Hashes of all documents, by open addressing. */
typedef struct hash_set {
    XXH128_hash_t *slots; /* 0: empty */
    size_t mask, n;
} hash_set;

typedef struct builder {
    const hone_dataset_build_options *options;
    side *sides; /* train, validation */
    uint32_t width;
    hash_set seen;
    hone_document_lot lot;
    hone_dataset_item *items; /* [lot.n] */
    size_t n_items;
    hone_pool *pool;
    hone_dataset_build_report report;
} builder;

static const char *const names[3] = {"train.tokens", "validation.tokens", "data.json"};

/* ---- hashes ---- */

static hone_status set_grow(hash_set *x)
{
    size_t old = x->slots ? x->mask + 1 : 0, size = old ? 2 * old : 1024;
    hash_set y = {hone_calloc(size, sizeof *y.slots), size - 1, x->n};
    if (!y.slots)
        return hone_fail_memory(size * sizeof *y.slots, "the hashes of documents");
    for (size_t i = 0; i < old; i++) {
        XXH128_hash_t h = x->slots[i];
        if (!(h.low64 | h.high64))
            continue;
        size_t at = h.low64 & y.mask;
        while (y.slots[at].low64 | y.slots[at].high64)
            at = (at + 1) & y.mask;
        y.slots[at] = h;
    }
    hone_free(x->slots);
    *x = y;
    return HONE_OK;
}

static hone_status set_put(hash_set *x, XXH128_hash_t h, bool *was_there)
{
    if (!x->slots || 2 * x->n > x->mask)
        HONE_TRY(set_grow(x));
    h.low64 += !(h.low64 | h.high64); /* 0 means empty */
    size_t at = h.low64 & x->mask;
    for (; x->slots[at].low64 | x->slots[at].high64; at = (at + 1) & x->mask)
        if ((*was_there = XXH128_isEqual(x->slots[at], h)))
            return HONE_OK;
    *was_there = false;
    x->slots[at] = h;
    x->n++;
    return HONE_OK;
}

/* ---- a file ---- */

static hone_status side_write(side *x, const void *data, size_t n)
{
    XXH3_64bits_update(&x->hash, data, n);
    return hone_writer_write(x->writer, data, n);
}

static hone_status side_pad(side *x)
{
    static const uint8_t zeros[8];
    uint64_t at = hone_writer_offset(x->writer);
    return side_write(x, zeros, (size_t)(hone_dataset_pad8(at) - at));
}

static hone_status side_room(side *x, size_t tokens)
{
    if (x->n_offsets + 1 >= x->offsets_capacity) {
        size_t capacity = x->offsets_capacity ? 2 * x->offsets_capacity : 1024;
        uint64_t *more = hone_reallocarray(x->offsets, capacity, sizeof *more);
        if (!more)
            return hone_fail_memory(capacity * sizeof *more, "the offsets of documents");
        x->offsets = more;
        x->offsets_capacity = capacity;
    }
    size_t need = (size_t)(x->tokens + tokens) / 8 + 8;
    if (need > x->learn_capacity) {
        size_t capacity = need + need / 2 + 1024;
        uint8_t *more = hone_realloc(x->learn, capacity);
        if (!more)
            return hone_fail_memory(capacity, "which tokens are to be learned");
        memset(more + x->learn_capacity, 0, capacity - x->learn_capacity);
        x->learn = more;
        x->learn_capacity = capacity;
    }
    return HONE_OK;
}

static hone_status side_put(side *x, const hone_dataset_item *item, uint32_t width)
{
    HONE_TRY(side_room(x, item->n_ids));
    for (size_t i = 0; i < item->n_ids; i++) {
        uint64_t at = x->tokens + i;
        bool learn = item->learn ? item->learn[i] : true;
        x->learn[at >> 3] |= (uint8_t)(learn << (at & 7));
        x->counts.targets += learn && i > 0;
        uint16_t narrow = (uint16_t)item->ids[i];
        HONE_TRY(width == 2 ? side_write(x, &narrow, 2) : side_write(x, &item->ids[i], 4));
    }
    x->masked |= item->learn != NULL;
    x->tokens += item->n_ids;
    x->offsets[++x->n_offsets] = x->tokens;
    x->counts.documents++;
    x->counts.bytes += item->bytes;
    x->counts.tokens = x->tokens;
    return HONE_OK;
}

static hone_status side_finish(side *x, uint32_t width, const hone_tokenizer *t)
{
    HONE_TRY(side_pad(x));
    if (x->masked)
        HONE_TRY(side_write(x, x->learn, (size_t)((x->tokens + 7) / 8)));
    HONE_TRY(side_pad(x));
    HONE_TRY(side_write(x, x->offsets, (x->n_offsets + 1) * sizeof *x->offsets));
    hone_dataset_footer f = {.documents = x->n_offsets,
                             .tokens = x->tokens,
                             .targets = x->counts.targets,
                             .fingerprint = hone_dataset_fingerprint(t),
                             .content = XXH3_64bits_digest(&x->hash),
                             .width = width,
                             .vocab = (uint32_t)hone_tokenizer_vocab_size(t),
                             .masked = x->masked};
    f.check = XXH3_64bits(&f, offsetof(hone_dataset_footer, check));
    memcpy(f.magic, HONE_DATASET_MAGIC, sizeof f.magic);
    return hone_writer_write(x->writer, &f, sizeof f);
}

/* Also removes what an earlier build left, when this one has no documents for the side. */
static hone_status side_commit(side *x, const char *path)
{
    hone_writer *w = x->writer;
    x->writer = NULL;
    if (x->n_offsets)
        return hone_writer_commit(w);
    hone_writer_abort(w);
    unlink(path);
    return HONE_OK;
}

/* ---- lots ---- */

static void encode_one(void *arg, size_t i, int thread)
{
    builder *b = arg;
    (void)thread;
    if (hone_interrupted())
        return;
    hone_dataset_item_encode(b->options, &b->lot.of[i], &b->items[i]);
}

static hone_status item_broken(builder *b, const hone_document *d, const hone_dataset_item *item)
{
    const char *why = item->why ? item->why : hone_status_text(item->status);
    hone_status s =
        hone_fail(item->status, "%s: line %llu: %s", d->file, (unsigned long long)d->line, why);
    bool skip = b->options->skip_broken && s != HONE_MEMORY && s != HONE_INTERRUPTED;
    if (!skip)
        return s;
    b->report.broken++;
    if (b->options->on_broken)
        b->options->on_broken(b->options->arg, hone_error());
    return HONE_OK;
}

static hone_status item_write(builder *b, const hone_document *d, const hone_dataset_item *item)
{
    bool again;
    if (item->status != HONE_OK)
        return item_broken(b, d, item);
    if (item->n_ids == 0)
        return HONE_OK;
    HONE_TRY(set_put(&b->seen, item->hash, &again));
    b->report.duplicates += again;
    if (again && b->options->drop_duplicates)
        return HONE_OK;
    double place = (double)(item->hash.high64 >> 11) * 0x1p-53;
    return side_put(&b->sides[place < b->options->validation], item, b->width);
}

static void drop_items(builder *b)
{
    for (size_t i = 0; i < b->n_items; i++)
        hone_dataset_item_free(&b->items[i]);
    hone_free(b->items);
    b->items = NULL;
    b->n_items = 0;
}

static hone_status lot_write(builder *b)
{
    b->items = hone_calloc(b->lot.n + 1, sizeof *b->items);
    if (!b->items)
        return hone_fail_memory(b->lot.n * sizeof *b->items, "documents");
    b->n_items = b->lot.n;
    hone_pool_run(b->pool, encode_one, b, b->n_items);
    HONE_TRY(hone_interrupt_check());
    for (size_t i = 0; i < b->n_items; i++)
        HONE_TRY(item_write(b, &b->lot.of[i], &b->items[i]));
    drop_items(b);
    return HONE_OK;
}

static hone_status read_all(builder *b, hone_documents *documents)
{
    do {
        HONE_TRY(hone_documents_next_lot(documents, &b->lot));
        HONE_TRY(lot_write(b));
        if (b->options->on_progress)
            b->options->on_progress(b->options->arg, documents);
    } while (b->lot.n);
    return HONE_OK;
}

/* ---- the folder ---- */

static json_t *counts_json(const side *x)
{
    return json_pack("{s:I, s:I, s:I, s:I}", "documents", (json_int_t)x->counts.documents, "bytes",
                     (json_int_t)x->counts.bytes, "tokens", (json_int_t)x->counts.tokens, "targets",
                     (json_int_t)x->counts.targets);
}

static hone_status write_manifest(builder *b, const char *path)
{
    hone_json_use_memory();
    char print[17];
    snprintf(print, sizeof print, "%016llx",
             (unsigned long long)hone_dataset_fingerprint(b->options->tokenizer));
    json_t *o = json_pack(
        "{s:s, s:s, s:i, s:f, s:I, s:I, s:o, s:o}", "format", HONE_DATASET_MAGIC, "tokenizer",
        print, "vocab", (int)hone_tokenizer_vocab_size(b->options->tokenizer), "validation",
        b->options->validation, "duplicates", (json_int_t)b->report.duplicates, "broken",
        (json_int_t)b->report.broken, "train", counts_json(&b->sides[0]), "validation_counts",
        counts_json(&b->sides[1]));
    char *text = o ? json_dumps(o, JSON_INDENT(1)) : NULL;
    json_decref(o);
    if (!text)
        return hone_fail_memory(1024, "data.json");
    hone_status s = hone_write_file(path, text, strlen(text));
    hone_free(text);
    return s;
}

static hone_status start(builder *b, char *paths[3])
{
    const hone_dataset_build_options *o = b->options;
    b->width = hone_tokenizer_vocab_size(o->tokenizer) <= 1 << 16 ? 2 : 4;
    HONE_TRY(hone_pool_open(o->threads, NULL, &b->pool));
    for (int i = 0; i < 2; i++) {
        XXH3_64bits_reset(&b->sides[i].hash);
        HONE_TRY(hone_writer_open(paths[i], &b->sides[i].writer));
        HONE_TRY(side_room(&b->sides[i], 0));
        b->sides[i].offsets[0] = 0;
    }
    return HONE_OK;
}

static hone_status finish(builder *b, char *paths[3])
{
    if (b->sides[0].n_offsets + b->sides[1].n_offsets == 0)
        return hone_fail(HONE_DATA, "there is no document to make a data set of");
    for (int i = 0; i < 2; i++)
        HONE_TRY(side_finish(&b->sides[i], b->width, b->options->tokenizer));
    for (int i = 0; i < 2; i++)
        HONE_TRY(side_commit(&b->sides[i], paths[i]));
    return write_manifest(b, paths[2]);
}

static void free_builder(builder *b)
{
    hone_pool_close(b->pool);
    for (int i = 0; i < 2; i++) {
        hone_writer_abort(b->sides[i].writer);
        hone_free(b->sides[i].offsets);
        hone_free(b->sides[i].learn);
    }
    drop_items(b);
    hone_document_lot_free(&b->lot);
    hone_free(b->seen.slots);
    hone_free(b);
}

hone_status hone_dataset_build(hone_documents *documents, const hone_dataset_build_options *options,
                               const char *folder, hone_dataset_build_report *out)
{
    side sides[2] = {0}; /* here, for the alignment of their hashes */
    char *paths[3] = {NULL};
    builder *b = hone_calloc(1, sizeof *b);
    if (!b)
        return hone_fail_memory(sizeof *b, "making a data set");
    b->options = options;
    b->sides = sides;
    const bool made = !hone_is_directory(folder);
    hone_status s = hone_make_directory(folder);
    for (int i = 0; s == HONE_OK && i < 3; i++) {
        paths[i] = hone_path_join(folder, names[i]);
        if (!paths[i])
            s = hone_fail_memory(strlen(folder), "a path");
    }
    if (s == HONE_OK)
        s = start(b, paths);
    if (s == HONE_OK)
        s = read_all(b, documents);
    b->report.broken += hone_documents_broken(documents);
    b->report.ends = hone_tokenizer_eos(options->tokenizer) >= 0;
    if (s == HONE_OK)
        s = finish(b, paths);
    b->report.train = sides[0].counts;
    b->report.validation = sides[1].counts;
    *out = b->report;
    free_builder(b);
    for (int i = 0; i < 3; i++)
        hone_free(paths[i]);
    if (s != HONE_OK && made)
        (void)rmdir(folder);
    return s;
}
