/*
 * From a mapped file of tokens to rows. An epoch is a permutation of the documents and a table that
 * says where in it each row begins; both are made when the epoch begins.
 */
#include "train/data/dataset.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/rng.h"
#include "text/tokenizer.h"
#include "train/data/dataset_file.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

enum { LENGTH_MAX = 1 << 24 };

/* The token `at` of the document order[place] */
typedef struct row_start {
    uint64_t place, at;
} row_start;

typedef struct row {
    row_start from, to; /* `to` is not part of it */
} row;

struct hone_dataset {
    hone_map map;
    hone_dataset_info info;
    hone_dataset_options options;
    uint32_t width;
    const uint8_t *ids, *learn; /* learn NULL: all are */
    const uint64_t *offsets;
    uint64_t *order; /* [documents]; NULL: as in the file */
    row *rows;       /* [n_rows], in the order in which they are read */
    uint64_t n_rows, rows_capacity;
    hone_dataset_cursor at; /* order and rows are those of at.epoch */
};

/* ---- the file ---- */

static hone_status damaged(const hone_map *m, const char *what)
{
    return hone_fail(HONE_FORMAT, "%s: %s; make it again with hone data", m->path, what);
}

/* The parts of the file, from a footer that may say anything. */
static hone_status find_parts(hone_dataset *d, const hone_dataset_footer *f)
{
    uint64_t left = d->map.bytes - sizeof *f;
    if (f->documents > left / 8 || f->tokens > left / 2 || (f->width != 2 && f->width != 4) ||
        f->masked > 1 || f->vocab == 0 || f->vocab > INT32_MAX)
        return damaged(&d->map, "its footer is damaged");
    uint64_t ids = hone_dataset_pad8(f->tokens * f->width);
    uint64_t learn = f->masked ? hone_dataset_pad8((f->tokens + 7) / 8) : 0;
    if (ids + learn + (f->documents + 1) * 8 != left)
        return damaged(&d->map, "its size is not what its footer says");
    d->width = f->width;
    d->ids = d->map.data;
    d->learn = f->masked ? d->map.data + ids : NULL;
    d->offsets = (const uint64_t *)(const void *)(d->map.data + ids + learn);
    d->info = (hone_dataset_info){.documents = f->documents,
                                  .tokens = f->tokens,
                                  .targets = f->targets,
                                  .fingerprint = f->fingerprint,
                                  .content = f->content,
                                  .vocab = (int32_t)f->vocab,
                                  .masked = f->masked};
    return HONE_OK;
}

static inline int32_t id_at(const hone_dataset *d, uint64_t i)
{
    if (d->width == 2) {
        uint16_t v;
        memcpy(&v, d->ids + 2 * i, sizeof v);
        return v;
    }
    int32_t v;
    memcpy(&v, d->ids + 4 * i, sizeof v);
    return v;
}

static hone_status check_parts(hone_dataset *d)
{
    const hone_dataset_info *info = &d->info;
    if (XXH3_64bits(d->map.data, d->map.bytes - sizeof(hone_dataset_footer)) != info->content)
        return damaged(&d->map, "its content is not what was written (checksum)");
    if (d->offsets[0] != 0 || d->offsets[info->documents] != info->tokens)
        return damaged(&d->map, "its documents are not its tokens");
    for (uint64_t i = 0; i < info->documents; i++) {
        if (d->offsets[i + 1] <= d->offsets[i] || d->offsets[i + 1] > info->tokens)
            return damaged(&d->map, "its offsets do not rise");
        uint64_t n = d->offsets[i + 1] - d->offsets[i];
        d->info.longest = n > d->info.longest ? n : d->info.longest;
    }
    for (uint64_t i = 0; i < info->tokens; i++)
        if (id_at(d, i) < 0 || id_at(d, i) >= info->vocab)
            return damaged(&d->map, "an id is outside of its vocabulary");
    if (info->documents == 0)
        return hone_fail(HONE_DATA, "%s holds no documents", d->map.path);
    return HONE_OK;
}

static hone_status open_file(hone_dataset *d, const char *path)
{
    hone_dataset_footer f;
    HONE_TRY(hone_map_open(path, &d->map));
    if (d->map.bytes < sizeof f)
        return damaged(&d->map, "it is no file of tokens, or was cut short");
    memcpy(&f, d->map.data + d->map.bytes - sizeof f, sizeof f);
    if (memcmp(f.magic, HONE_DATASET_MAGIC, sizeof f.magic) != 0)
        return damaged(&d->map, "it is no file of tokens, or was cut short");
    if (XXH3_64bits(&f, offsetof(hone_dataset_footer, check)) != f.check)
        return damaged(&d->map, "its footer is damaged");
    HONE_TRY(find_parts(d, &f));
    return check_parts(d);
}

/* ---- an epoch ---- */

static const uint64_t ROWS_STREAM = (uint64_t)1 << 63; /* draws for rows, not documents */

/* Fisher-Yates; the draws depend on (seed, epoch) alone. */
static void shuffle_documents(hone_dataset *d, uint64_t epoch)
{
    uint64_t n = d->info.documents;
    for (uint64_t i = 0; i < n; i++)
        d->order[i] = i;
    for (uint64_t i = n; i > 1; i--) {
        uint64_t j = hone_rng_below(d->options.seed, epoch, i, i);
        uint64_t t = d->order[i - 1];
        d->order[i - 1] = d->order[j];
        d->order[j] = t;
    }
}

static uint64_t document_at(const hone_dataset *d, uint64_t place)
{
    return d->order ? d->order[place] : place;
}

static uint64_t document_length(const hone_dataset *d, uint64_t place)
{
    uint64_t i = document_at(d, place);
    return d->offsets[i + 1] - d->offsets[i];
}

/* The rows too: those of a long document would come one after the other. */
static void shuffle_rows(hone_dataset *d, uint64_t epoch)
{
    for (uint64_t i = d->n_rows; i > 1; i--) {
        uint64_t j = hone_rng_below(d->options.seed, epoch | ROWS_STREAM, i, i);
        row t = d->rows[i - 1];
        d->rows[i - 1] = d->rows[j];
        d->rows[j] = t;
    }
}

static hone_status put_row(hone_dataset *d, row_start from)
{
    if (d->n_rows == d->rows_capacity) {
        uint64_t capacity = d->rows_capacity ? 2 * d->rows_capacity : 256;
        row *more = hone_reallocarray(d->rows, capacity, sizeof *more);
        if (!more)
            return hone_fail_memory(capacity * sizeof *more, "the rows of an epoch");
        d->rows = more;
        d->rows_capacity = capacity;
    }
    d->rows[d->n_rows++] = (row){from, {d->info.documents, 0}};
    if (d->n_rows > 1)
        d->rows[d->n_rows - 2].to = from;
    return HONE_OK;
}

static hone_status cut_rows(hone_dataset *d)
{
    uint64_t length = d->options.length, used = length; /* of the row at hand */
    d->n_rows = 0;
    for (uint64_t place = 0; place < d->info.documents; place++) {
        uint64_t n = document_length(d, place), at = 0;
        if (d->options.whole && n <= length && n > length - used)
            used = length;
        while (at < n) {
            if (used == length) {
                HONE_TRY(put_row(d, (row_start){place, at}));
                used = 0;
            }
            uint64_t take = n - at < length - used ? n - at : length - used;
            at += take;
            used += take;
        }
    }
    return HONE_OK;
}

/* What the table held once fits into it again. */
static hone_status lay_epoch(hone_dataset *d, uint64_t epoch)
{
    if (d->order)
        shuffle_documents(d, epoch);
    HONE_TRY(cut_rows(d));
    if (d->order)
        shuffle_rows(d, epoch);
    return HONE_OK;
}

/* Makes the order and the rows of an epoch. On failure those of the present one are there again:
 * the table once held them, so that cutting them anew needs no memory. */
static hone_status begin_epoch(hone_dataset *d, uint64_t epoch)
{
    bool had = d->n_rows > 0;
    if (!d->order && had) {
        d->at = (hone_dataset_cursor){epoch, 0};
        return HONE_OK;
    }
    hone_status s = lay_epoch(d, epoch);
    if (s == HONE_OK) {
        d->at = (hone_dataset_cursor){epoch, 0};
    } else if (had) {
        hone_status again = lay_epoch(d, d->at.epoch);
        assert(again == HONE_OK);
        (void)again;
    }
    return s;
}

/* Back to a cursor that was valid before. */
static void go_back(hone_dataset *d, hone_dataset_cursor at)
{
    hone_status s = at.epoch == d->at.epoch ? HONE_OK : begin_epoch(d, at.epoch);
    assert(s == HONE_OK); /* the table held these rows */
    (void)s;
    d->at = at;
}

/* ---- the interface ---- */

hone_status hone_dataset_open(const char *path, const char *split,
                              const hone_dataset_options *options, hone_dataset **out)
{
    *out = NULL;
    if (options->length < 2 || options->length > LENGTH_MAX)
        return hone_fail(HONE_USAGE, "rows of %u tokens: 2 to %d can be", options->length,
                         LENGTH_MAX);
    hone_dataset *d = hone_calloc(1, sizeof *d);
    if (!d)
        return hone_fail_memory(sizeof *d, "a data set");
    d->options = *options;
    char name[64], *file = NULL;
    hone_status s;
    if (hone_is_directory(path)) {
        snprintf(name, sizeof name, "%.50s.tokens", split);
        file = hone_path_join(path, name);
        s = file ? open_file(d, file) : hone_fail_memory(strlen(path), "a path");
    } else {
        s = open_file(d, path);
    }
    if (s == HONE_OK && options->shuffle) {
        d->order = hone_reallocarray(NULL, d->info.documents, sizeof *d->order);
        if (!d->order)
            s = hone_fail_memory(d->info.documents * sizeof *d->order, "the order of documents");
    }
    if (s == HONE_OK)
        s = begin_epoch(d, 0);
    hone_free(file);
    if (s != HONE_OK) {
        hone_dataset_close(d);
        return s;
    }
    *out = d;
    return HONE_OK;
}

void hone_dataset_close(hone_dataset *d)
{
    if (!d)
        return;
    hone_map_close(&d->map);
    hone_free(d->order);
    hone_free(d->rows);
    hone_free(d);
}

const hone_dataset_info *hone_dataset_get_info(const hone_dataset *d)
{
    return &d->info;
}

uint64_t hone_dataset_rows(const hone_dataset *d)
{
    return d->n_rows;
}

hone_status hone_dataset_batch_open(uint32_t rows, uint32_t length, hone_dataset_batch *out)
{
    *out = (hone_dataset_batch){.rows = rows, .length = length};
    size_t n;
    if (hone_mul_overflow(rows, length, &n))
        return hone_fail(HONE_USAGE, "a batch of %u rows of %u tokens is too large", rows, length);
    out->memory = hone_calloc(n, 3 * sizeof(int32_t));
    if (!out->memory)
        return hone_fail_memory(n * 3 * sizeof(int32_t), "a batch");
    out->ids = out->memory;
    out->labels = out->memory + n;
    out->starts = out->memory + 2 * n;
    return HONE_OK;
}

void hone_dataset_batch_close(hone_dataset_batch *b)
{
    hone_free(b->memory);
    *b = (hone_dataset_batch){0};
}

static bool learned(const hone_dataset *d, uint64_t i)
{
    return !d->learn || (d->learn[i >> 3] >> (i & 7) & 1);
}

/* Puts [from, from + n) of the ids into a row from position p on; `end`: of their document. */
static void put_segment(const hone_dataset *d, hone_dataset_batch *b, size_t p, int32_t start,
                        uint64_t from, uint64_t n, uint64_t end)
{
    for (uint64_t i = 0; i < n; i++) {
        uint64_t next = from + i + 1;
        bool label = next < end && learned(d, next);
        b->ids[p + i] = id_at(d, from + i);
        b->labels[p + i] = label ? id_at(d, next) : HONE_NO_LABEL;
        b->starts[p + i] = start;
        b->targets += label;
    }
    b->tokens += n;
}

static void read_row(const hone_dataset *d, uint64_t index, hone_dataset_batch *b, uint32_t to)
{
    uint32_t length = b->length, used = 0;
    size_t base = (size_t)to * length;
    if (index < d->n_rows) {
        row_start at = d->rows[index].from, end = d->rows[index].to;
        while (used < length &&
               (at.place < end.place || (at.place == end.place && at.at < end.at))) {
            uint64_t i = document_at(d, at.place), from = d->offsets[i] + at.at;
            uint64_t left = d->offsets[i + 1] - from;
            uint64_t n = left < length - used ? left : length - used;
            put_segment(d, b, base + used, (int32_t)used, from, n, d->offsets[i + 1]);
            used += (uint32_t)n;
            at = n == left ? (row_start){at.place + 1, 0} : (row_start){at.place, at.at + n};
        }
    }
    for (; used < length; used++) {
        b->ids[base + used] = d->options.padding;
        b->labels[base + used] = HONE_NO_LABEL;
        b->starts[base + used] = (int32_t)used;
    }
}

void hone_dataset_read(const hone_dataset *d, uint64_t first, hone_dataset_batch *b)
{
    assert(b->length == d->options.length);
    b->targets = b->tokens = 0;
    for (uint32_t r = 0; r < b->rows; r++)
        read_row(d, first + r, b, r);
}

hone_status hone_dataset_next(hone_dataset *d, hone_dataset_batch *b)
{
    assert(b->length == d->options.length);
    hone_dataset_cursor before = d->at;
    b->targets = b->tokens = 0;
    for (uint32_t r = 0; r < b->rows; r++) {
        read_row(d, d->at.row++, b, r);
        if (d->at.row < d->n_rows)
            continue;
        hone_status s = begin_epoch(d, d->at.epoch + 1);
        if (s != HONE_OK) {
            go_back(d, before);
            return s;
        }
    }
    return HONE_OK;
}

hone_dataset_cursor hone_dataset_tell(const hone_dataset *d)
{
    return d->at;
}

hone_status hone_dataset_seek(hone_dataset *d, hone_dataset_cursor at)
{
    hone_dataset_cursor before = d->at;
    if (at.epoch != d->at.epoch)
        HONE_TRY(begin_epoch(d, at.epoch));
    if (at.row >= d->n_rows) {
        uint64_t rows = d->n_rows;
        go_back(d, before);
        return hone_fail(HONE_USAGE,
                         "%s has %llu rows of %u tokens in epoch %llu, not %llu: it is another "
                         "data set, or rows have another length",
                         d->map.path, (unsigned long long)rows, d->options.length,
                         (unsigned long long)at.epoch, (unsigned long long)at.row);
    }
    d->at.row = at.row;
    return HONE_OK;
}

uint64_t hone_dataset_fingerprint(const hone_tokenizer *t)
{
    XXH64_hash_t h = 0;
    int32_t n = hone_tokenizer_vocab_size(t);
    for (int32_t i = 0; i < n; i++) {
        size_t bytes;
        const char *piece = hone_tokenizer_piece(t, i, &bytes);
        h = XXH3_64bits_withSeed(piece, bytes, h + (uint64_t)bytes);
    }
    return h;
}
