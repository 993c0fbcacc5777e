// links: text
// corpus: tests/fuzz/corpus/documents
/* Any bytes as a text file and as JSON Lines, with and without skipping what is broken: every
 * document keeps what documents.h promises, and lots hold the same ones. */
#include "base/utf8.h"
#include "text/documents.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const hone_document *d)
{
    if ((d->text != NULL) == (d->messages != NULL) || d->line == 0)
        abort();
    if (d->text && (d->n == 0 || hone_utf8_valid_prefix(d->text, d->n) != d->n))
        abort();
    if (d->messages && json_array_size(d->messages) == 0)
        abort();
}

static size_t one_by_one(const char *const *paths, const hone_documents_options *o)
{
    hone_documents *d;
    hone_document x;
    size_t n = 0;
    uint64_t line = 0;
    bool more;
    if (hone_documents_open(paths, 1, o, &d) != HONE_OK)
        return 0;
    while (hone_documents_next(d, &x, &more) == HONE_OK && more) {
        check(&x);
        if (x.line < line || hone_documents_bytes_read(d) > hone_documents_bytes(d))
            abort();
        line = x.line;
        n++;
    }
    hone_documents_close(d);
    return n;
}

static size_t in_lots(const char *const *paths, const hone_documents_options *o)
{
    hone_documents *d;
    hone_document_lot lot = {0};
    size_t n = 0;
    if (hone_documents_open(paths, 1, o, &d) != HONE_OK)
        return 0;
    while (hone_documents_next_lot(d, &lot) == HONE_OK && lot.n) {
        for (size_t i = 0; i < lot.n; i++)
            check(&lot.of[i]);
        n += lot.n;
    }
    hone_document_lot_free(&lot);
    hone_documents_close(d);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"a.txt", "a.jsonl"};
    if (!folder[0])
        need_folder();
    for (int kind = 0; kind < 2; kind++) {
        const char *const paths[] = {in_folder(names[kind])};
        FILE *f = fopen(paths[0], "wb");
        if (!f)
            return 0;
        if (fwrite(data, 1, size, f) != size)
            abort();
        fclose(f);
        hone_documents_options skip = {.skip_broken = true};
        one_by_one(paths, NULL);
        if (one_by_one(paths, &skip) != in_lots(paths, &skip))
            abort();
        unlink(paths[0]);
    }
    return 0;
}
