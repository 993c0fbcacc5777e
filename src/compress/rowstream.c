#include "compress/rowstream.h"

#include "base/interrupt.h"
#include "base/mem.h"

#include <stdatomic.h>

enum { PIECE_BYTES = 8 << 20, ITEM_ELEMENTS = 64 << 10 };

struct hone_rowstream {
    hone_gguf_writer *writer;
    hone_pool *pool;
    uint8_t *piece;
    size_t piece_bytes;
    float *row; /* row_elements for each thread */
    size_t row_elements;
};

/* What the threads see of one piece. */
typedef struct piece_job {
    hone_rowstream *s;
    hone_dtype type;
    uint64_t first, rows, k, rows_per_item;
    size_t row_bytes;
    hone_rowstream_source *source;
    void *arg;
    const float *weights; /* [matrices][k] or NULL */
    uint64_t rows_per_matrix;
    _Atomic uint64_t bad; /* row + 1 of a row that could not be stored */
} piece_job;

hone_status hone_rowstream_open(hone_gguf_writer *w, hone_pool *pool, hone_rowstream **out)
{
    hone_rowstream *s = hone_calloc(1, sizeof *s);
    if (!s)
        return hone_fail_memory(sizeof *s, "a writer of tensors");
    s->writer = w;
    s->pool = pool;
    *out = s;
    return HONE_OK;
}

void hone_rowstream_close(hone_rowstream *s)
{
    if (!s)
        return;
    hone_free(s->piece);
    hone_free(s->row);
    hone_free(s);
}

static void encode_item(void *arg, size_t item, int thread)
{
    piece_job *j = arg;
    float *row = j->s->row + (size_t)thread * j->s->row_elements;
    uint64_t begin = (uint64_t)item * j->rows_per_item, end = begin + j->rows_per_item;
    if (end > j->rows)
        end = j->rows;
    for (uint64_t r = begin; r < end; r++) {
        const float *weights =
            j->weights ? j->weights + (j->first + r) / j->rows_per_matrix * j->k : NULL;
        if (j->source(j->arg, j->first + r, j->k, row) &&
            hone_dtype_encode_weighted(j->type, row, weights, (size_t)j->k,
                                       j->s->piece + r * j->row_bytes))
            continue;
        atomic_store(&j->bad, j->first + r + 1);
        return;
    }
}

/* Rows of a piece; the buffers hold them afterwards. */
static hone_status reserve(hone_rowstream *s, size_t row_bytes, uint64_t k, uint64_t *rows)
{
    uint64_t n = PIECE_BYTES / row_bytes;
    n = n ? n : 1;
    size_t bytes = (size_t)n * row_bytes, threads = (size_t)hone_pool_threads(s->pool);
    if (bytes > s->piece_bytes) {
        hone_free(s->piece);
        s->piece = hone_malloc(bytes);
        s->piece_bytes = s->piece ? bytes : 0;
        if (!s->piece)
            return hone_fail_memory(bytes, "a piece of a tensor");
    }
    if (k > s->row_elements) {
        hone_free(s->row);
        s->row = hone_reallocarray(NULL, (size_t)k, threads * sizeof(float));
        s->row_elements = s->row ? (size_t)k : 0;
        if (!s->row)
            return hone_fail_memory((size_t)k * threads * sizeof(float), "rows of a tensor");
    }
    *rows = n;
    return HONE_OK;
}

hone_status hone_rowstream_encode(hone_rowstream *s, const char *name, hone_dtype type,
                                  uint64_t rows, uint64_t k, hone_rowstream_source *source,
                                  void *arg)
{
    return hone_rowstream_encode_weighted(s, name, type, rows, k, source, arg, NULL, 1);
}

hone_status hone_rowstream_encode_weighted(hone_rowstream *s, const char *name, hone_dtype type,
                                           uint64_t rows, uint64_t k, hone_rowstream_source *source,
                                           void *arg, const float *weights, uint64_t matrices)
{
    piece_job j = {.s = s,
                   .type = type,
                   .k = k,
                   .source = source,
                   .arg = arg,
                   .weights = weights,
                   .rows_per_matrix = rows / matrices};
    uint64_t step;
    if (!hone_dtype_row_bytes(type, k, &j.row_bytes) || j.row_bytes == 0)
        return hone_fail(HONE_USAGE, "tensor %s: rows of %llu elements do not fit %s", name,
                         (unsigned long long)k, hone_dtype_name(type));
    HONE_TRY(reserve(s, j.row_bytes, k, &step));
    j.rows_per_item = ITEM_ELEMENTS / k ? ITEM_ELEMENTS / k : 1;
    for (j.first = 0; j.first < rows; j.first += step) {
        j.rows = rows - j.first < step ? rows - j.first : step;
        HONE_TRY(hone_interrupt_check());
        hone_pool_run(s->pool, encode_item, &j,
                      (size_t)((j.rows + j.rows_per_item - 1) / j.rows_per_item));
        uint64_t bad = atomic_load(&j.bad);
        if (bad)
            return hone_fail(HONE_FORMAT,
                             "tensor %s, row %llu: a value is NaN, infinite or too large for %s; "
                             "mend the model, or choose bf16 or f32",
                             name, (unsigned long long)(bad - 1), hone_dtype_name(type));
        HONE_TRY(hone_gguf_writer_write(s->writer, s->piece, (size_t)j.rows * j.row_bytes));
    }
    return HONE_OK;
}

hone_status hone_rowstream_copy(hone_rowstream *s, hone_dtype type, uint64_t rows, uint64_t k,
                                hone_rowstream_rows *source, void *arg)
{
    size_t row_bytes;
    if (!hone_dtype_row_bytes(type, k, &row_bytes))
        return hone_fail(HONE_INTERNAL, "a stored row of %llu elements is no whole block",
                         (unsigned long long)k);
    for (uint64_t r = 0; r < rows; r++) {
        if (r % 4096 == 0)
            HONE_TRY(hone_interrupt_check());
        HONE_TRY(hone_gguf_writer_write(s->writer, source(arg, r), row_bytes));
    }
    return HONE_OK;
}
