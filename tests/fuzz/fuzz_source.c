// links: model
// corpus: tests/fuzz/corpus/source
/* A config.json and the tensors of a checkpoint, in any combination: every matrix that is found is
 * read. Input: u16 length of the config, the config, a safetensors file. */
#include "base/mem.h"
#include "file/internal.h"
#include "model/source.h"
#include "model/source/claim.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STRIP = 256, ROWS = 20 };

static void read_row(const hone_source *s, size_t row)
{
    float values[STRIP], scales[STRIP], mins[STRIP];
    int8_t codes[STRIP];
    volatile bool sink = false;
    for (size_t k0 = 0; k0 < s->k; k0 += STRIP) {
        size_t count = s->k - k0 < STRIP ? s->k - k0 : STRIP;
        sink = s->rows.decode(&s->rows, row, k0, count, values);
        if (s->rows.coding.bits)
            sink = s->rows.codes(&s->rows, row, k0, count, codes, scales, mins);
    }
    (void)sink;
}

static void read_source(void *arg, const char *weight, hone_status status, const hone_source *s)
{
    (void)arg;
    if ((status == HONE_OK) != (s != NULL) || (status != HONE_OK && !hone_error()[0]))
        abort();
    if (!s)
        return;
    if (!s->n || !s->k || !s->name || !s->tensors[0] || !weight[0])
        abort();
    for (size_t k = 0; s->order && k < s->k; k++)
        if (s->order[k] >= s->k)
            abort();
    for (size_t r = 0; r < s->n && r < ROWS; r++)
        read_row(s, r);
    read_row(s, s->n - 1);
}

static void count_leftover(void *arg, const hone_tensor *t)
{
    *(size_t *)arg += t->bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint16_t length;
    hone_file *f = NULL;
    size_t left = 0;
    if (size < 2)
        return 0;
    memcpy(&length, data, 2);
    if (length > size - 2)
        return 0;
    size_t bytes = size - 2 - length;
    uint8_t *tensors = malloc(bytes ? bytes : 1); /* so that a sanitizer sees what lies beyond */
    if (!tensors)
        return 0;
    memcpy(tensors, data + 2 + length, bytes);
    if (hone_file_open_bytes(HONE_FILE_SAFETENSORS, tensors, bytes, &f) == HONE_OK) {
        hone_claim claim;
        hone_status s = hone_file_read_config(f, (const char *)data + 2, length);
        hone_source_each(f, read_source, NULL);
        s = hone_source_leftovers(f, count_leftover, &left);
        s = hone_claim_read(f, "a.weight", &claim);
        (void)s;
    }
    hone_file_close(f);
    free(tensors);
    return 0;
}
